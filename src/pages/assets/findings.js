// What the server has found of this stream's encoder, on the watch page, for its operator. The interface shows it to
// nobody without the admin key, and so does the page: the key is asked for once, kept in the tab's sessionStorage, and
// sent in the Authorization field, never in an address. It is looked for only while somebody has it open.
'use strict';
(() => {
  const LOOK_EVERY_MS = 5000;
  // A finding of so long ago still holds: bit rates and clocks are looked at every ten seconds.
  const HOLDS_MS = 30000;
  const REMEMBERED_AS = 'rapidrtmp-admin-key';
  // What an HTTP field may hold of a key.
  const KEY_FORM = /^[\x20-\x7e]+$/;

  const { name } = document.querySelector('main').dataset;
  const details = document.getElementById('encoder');
  const form = document.getElementById('admin');
  const field = document.getElementById('admin-key');
  const message = document.getElementById('findings-message');
  const list = document.getElementById('findings');
  let timer = null;
  let key = remembered();

  // Browsers that keep nothing of this site refuse access to the storage: then the key lasts as long as the page.
  function remembered() {
    try { return sessionStorage.getItem(REMEMBERED_AS); } catch { return null; }
  }
  function remember(next) {
    key = next;
    try {
      if (key === null) sessionStorage.removeItem(REMEMBERED_AS);
      else sessionStorage.setItem(REMEMBERED_AS, key);
    } catch { /* as above */ }
  }

  function say(text) {
    message.textContent = text;
    message.hidden = !text;
  }

  function age(ms) {
    if (ms < HOLDS_MS) return 'now';
    if (ms < 120000) return `${Math.round(ms / 1000)} s ago`;
    return ms < 7200000 ? `${Math.round(ms / 60000)} min ago` : `${Math.round(ms / 3600000)} h ago`;
  }

  function element(tag, className, text) {
    const made = document.createElement(tag);
    made.className = className;
    made.textContent = text;
    return made;
  }

  /** What holds now first, warnings before the rest. */
  function show(findings, nowMs) {
    const rank = ({ severity, lastSeenAtUnixMs }) =>
      (nowMs - lastSeenAtUnixMs < HOLDS_MS ? 0 : 2) + (severity === 'warning' ? 0 : 1);
    const sorted = [...findings].sort((a, b) => rank(a) - rank(b));
    list.replaceChildren(...sorted.map((finding) => {
      const ageMs = nowMs - finding.lastSeenAtUnixMs;
      const item = element('li', ageMs < HOLDS_MS ? finding.severity : `${finding.severity} past`, '');
      const head = element('p', 'finding', '');
      const amount = finding.value === undefined ? '' : `${finding.value} ${finding.unit}`;
      head.append(
        element('strong', '', finding.name.replaceAll('_', ' ')),
        element('span', 'amount', amount),
        element('span', 'count', `${finding.count} ×`),
        element('span', 'age', age(ageMs)),
      );
      const advice = element('p', 'advice', '');
      // Options of a command line stay whole, to be read and copied.
      const pieces = finding.advice.split(/(?<= )(-[a-z][\w:-]*)/);
      advice.append(...pieces.map((piece, index) => (index % 2 ? element('code', '', piece) : piece)));
      item.append(head, advice);
      return item;
    }));
    say(findings.length ? '' : 'Nothing is wrong with what the encoder sends.');
  }

  async function look() {
    form.hidden = key !== null;
    if (key === null) return;
    let response;
    try {
      response = await fetch(`/api/v1/streams/${name}`, { cache: 'no-store', headers: { Authorization: `Bearer ${key}` } });
    } catch {
      say('The server cannot be reached. Trying again.');
      return;
    }
    if (!response.ok) {
      list.replaceChildren();
      say(response.status === 404 ? `Nobody publishes ${name}.` : `The server answers ${response.status}. Trying again.`);
      return;
    }
    const { details: shown } = await response.json();
    if (shown) {
      // By the server's clock, not this machine's.
      show(shown.findings, Date.parse(response.headers.get('date')) || Date.now());
    } else {
      refuse();
    }
  }

  /** Without the key the interface answers names and states alone. */
  function refuse() {
    remember(null);
    form.hidden = false;
    list.replaceChildren();
    say('That is not the server’s admin key.');
  }

  /** One look after the other, while they are shown. */
  async function follow() {
    clearTimeout(timer);
    timer = null;
    if (!document.hidden) await look();
    if (details.open && key !== null && timer === null) timer = setTimeout(follow, LOOK_EVERY_MS);
  }

  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const given = field.value.trim();
    field.value = '';
    say('');
    if (KEY_FORM.test(given)) {
      remember(given);
      follow();
    } else {
      refuse();
    }
  });
  details.addEventListener('toggle', () => {
    if (details.open) follow();
    else clearTimeout(timer);
  });
  details.open = key !== null;
})();
