// node --test tests/players/findings.test.mjs
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { runInNewContext } from 'node:vm';

const SCRIPT = readFileSync(new URL('../../src/pages/assets/findings.js', import.meta.url), 'utf8');
const NOW_MS = Date.parse('2026-11-28T12:00:00Z');

/** As much of an element as the script touches. */
class Element {
  textContent = '';
  className = '';
  hidden = false;
  value = '';
  children = [];
  listeners = {};
  dataset = { name: 'live/show' };
  #open = false;

  addEventListener(type, listener) { this.listeners[type] = listener; }
  append(...children) { this.children.push(...children); }
  replaceChildren(...children) { this.children = children; }
  get open() { return this.#open; }
  set open(open) {
    const changes = open !== this.#open;
    this.#open = open;
    if (changes) queueMicrotask(() => this.listeners.toggle?.());
  }
}

/** Options of a command line stand in elements of their own. */
const text = ({ children }) => children.map((child) => (child instanceof Element ? `[${child.textContent}]` : child)).join('');

/** The script of the watch page with a server that answers `streams` to those who have `key`. */
function page({ stored = {}, key = 'right', findings = [], status = 200 } = {}) {
  const elements = {};
  let next = null;
  const asked = [];
  const find = (id) => (elements[id] ??= new Element());
  const document = {
    hidden: false,
    getElementById: find,
    querySelector: find,
    createElement: () => new Element(),
  };
  const sessionStorage = {
    getItem: (name) => stored[name] ?? null,
    setItem: (name, value) => { stored[name] = value; },
    removeItem: (name) => { delete stored[name]; },
  };
  const fetch = async (url, { headers }) => {
    asked.push({ url, authorization: headers.Authorization });
    const details = headers.Authorization === `Bearer ${key}` ? { findings } : undefined;
    return {
      ok: status === 200,
      status,
      headers: new Map([['date', new Date(NOW_MS).toUTCString()]]),
      json: async () => ({ name: 'live/show', details }),
    };
  };
  const context = {
    document, sessionStorage, fetch, Date,
    setTimeout: (again) => { next = again; return 1; },
    clearTimeout: () => { next = null; },
  };
  runInNewContext(SCRIPT, context);
  const settle = () => new Promise((done) => setTimeout(done, 0));
  return {
    asked,
    stored,
    element: find,
    settle,
    waits: () => next !== null,
    async open(open = true) { find('encoder').open = open; await settle(); },
    async submit(text) {
      find('admin-key').value = text;
      find('admin').listeners.submit({ preventDefault() {} });
      await settle();
    },
    async look() { const again = next; next = null; again(); await settle(); },
    shown: () => find('findings').children.map(({ className, children: [head, advice] }) =>
      [className, ...head.children.map(({ textContent }) => textContent), text(advice)]),
  };
}

const finding = (name, severity, agoMs, more = {}) =>
  ({ name, severity, count: 3, firstSeenAtUnixMs: 1, lastSeenAtUnixMs: NOW_MS - agoMs, advice: `About ${name}.`, ...more });

test('nothing is asked of the server without a key, and the key never stands in an address', async () => {
  const shown = page();
  await shown.settle();
  assert.equal(shown.element('encoder').open, false);
  await shown.open();
  assert.equal(shown.element('admin').hidden, false);
  assert.deepEqual(shown.asked, []);
  assert.ok(!shown.waits());
  await shown.submit(' right ');
  assert.deepEqual(shown.asked, [{ url: '/api/v1/streams/live/show', authorization: 'Bearer right' }]);
  assert.deepEqual(shown.stored, { 'rapidrtmp-admin-key': 'right' });
  assert.equal(shown.element('admin').hidden, true);
  assert.equal(shown.element('admin-key').value, '');
  assert.match(shown.element('findings-message').textContent, /Nothing is wrong/);
});

test('a key that is not the server\'s is forgotten and asked for again', async () => {
  for (const [wrong, asked] of [['wrong', 1], ['a wrong key', 1], ['schlüssel', 0], ['', 0]]) {
    const shown = page();
    await shown.open();
    await shown.submit(wrong);
    assert.deepEqual(shown.stored, {}, wrong);
    assert.equal(shown.element('admin').hidden, false);
    assert.match(shown.element('findings-message').textContent, /not the server’s admin key/);
    assert.equal(shown.asked.length, asked);
    assert.ok(!shown.waits());
  }
});

test('a remembered key shows the list at once, for as long as it is open', async () => {
  const shown = page({ stored: { 'rapidrtmp-admin-key': 'right' } });
  await shown.settle();
  assert.equal(shown.element('encoder').open, true);
  assert.equal(shown.asked.length, 1);
  await shown.look();
  assert.equal(shown.asked.length, 2);
  await shown.open(false);
  assert.ok(!shown.waits());
  await shown.open();
  assert.equal(shown.asked.length, 3);
});

test('what holds now stands first, warnings before the rest, each with its amount, count, age and advice', async () => {
  const findings = [
    finding('b_frames', 'info', 0, { value: 67, unit: 'ms', advice: 'Turn B-frames off (ffmpeg: -bf 0 or -c:v x).' }),
    finding('frame_missing', 'warning', 31_000),
    finding('gop_too_long', 'warning', 1000, { value: 10_000, unit: 'ms' }),
    finding('video_drift', 'info', 3 * 3600_000, { value: -40, unit: 'ppm' }),
  ];
  const shown = page({ stored: { 'rapidrtmp-admin-key': 'right' }, findings });
  await shown.settle();
  assert.deepEqual(shown.shown(), [
    ['warning', 'gop too long', '10000 ms', '3 ×', 'now', 'About gop_too_long.'],
    ['info', 'b frames', '67 ms', '3 ×', 'now', 'Turn B-frames off (ffmpeg: [-bf] 0 or [-c:v] x).'],
    ['warning past', 'frame missing', '', '3 ×', '31 s ago', 'About frame_missing.'],
    ['info past', 'video drift', '-40 ppm', '3 ×', '3 h ago', 'About video_drift.'],
  ]);
  assert.equal(shown.element('findings-message').hidden, true);
});

test('a stream that nobody publishes is said to be none, and looked for again', async () => {
  const shown = page({ stored: { 'rapidrtmp-admin-key': 'right' }, status: 404 });
  await shown.settle();
  assert.match(shown.element('findings-message').textContent, /Nobody publishes live\/show/);
  assert.ok(shown.waits());
});
