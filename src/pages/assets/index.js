// The index page: what is live, and this host in the lines to paste.
'use strict';
(() => {
  const POLL_MS = 2000;

  const main = document.querySelector('main');
  const message = document.getElementById('message');
  const list = document.getElementById('streams');

  function fillInHost() {
    const port = main.dataset.rtmpPort;
    const host = location.hostname + (port === '1935' ? '' : `:${port}`);
    for (const element of [document.getElementById('obs-server'), document.getElementById('ffmpeg')]) {
      element.textContent = element.textContent.replace('HOST', host);
    }
  }

  function show(streams) {
    message.textContent = streams.length ? '' : 'Nothing is live. As soon as an encoder publishes, it is listed here.';
    list.replaceChildren(...streams.map(({ name, state }) => {
      const link = document.createElement('a');
      link.href = '/watch/' + name.split('/').map(encodeURIComponent).join('/');
      link.textContent = name;
      const badge = document.createElement('span');
      badge.className = state === 'live' ? 'state live' : 'state';
      badge.textContent = state;
      const item = document.createElement('li');
      item.append(link, badge);
      return item;
    }));
  }

  let shown = '';
  async function poll() {
    try {
      const response = await fetch('/api/v1/streams', { cache: 'no-store' });
      if (!response.ok) throw new Error(`status ${response.status}`);
      const text = await response.text();
      // An unchanged list stays as it is, so that it keeps its focus.
      if (text !== shown) {
        show(JSON.parse(text).streams);
        shown = text;
      }
    } catch (error) {
      shown = '';
      message.textContent = `The server does not answer (${error.message}); asking again.`;
    }
    setTimeout(poll, POLL_MS);
  }

  fillInHost();
  poll();
})();
