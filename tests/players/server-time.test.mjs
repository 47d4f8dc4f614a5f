// node --test tests/players/server-time.test.mjs
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { runInNewContext } from 'node:vm';

const SCRIPT = readFileSync(new URL('../../src/pages/assets/server.js', import.meta.url), 'utf8');

/** The script of the watch page with a server that answers these texts, one a look. */
function page(texts) {
  const elements = {};
  let toggled;
  let next;
  const element = () => ({ textContent: '', open: false, addEventListener: (_, listener) => { toggled = listener; } });
  const document = { hidden: false, getElementById: (id) => (elements[id] ??= element()) };
  const asked = [];
  const fetch = async (url) => {
    asked.push(url);
    return { ok: true, text: async () => texts.shift() };
  };
  const context = { document, fetch, setTimeout: (again) => { next = again; return 1; }, clearTimeout: () => { next = null; } };
  runInNewContext(SCRIPT, context);
  const settle = () => new Promise((done) => setTimeout(done, 0));
  return {
    asked,
    text: (id) => elements[id].textContent,
    waits: () => next !== undefined && next !== null,
    async toggle(open) { elements.server.open = open; toggled(); await settle(); },
    async look() { const again = next; next = null; again(); await settle(); },
  };
}

/** A histogram of two shards, as the server prints it. */
function metrics(counts, name = 'frame_to_part') {
  const lines = [];
  for (const shard of [0, 1]) {
    for (const [bound, count] of Object.entries(counts)) {
      lines.push(`rapidrtmp_${name}_seconds_bucket{le="${bound}",shard="${shard}"} ${count}`);
    }
  }
  return `${lines.join('\n')}\n# EOF\n`;
}

test('nothing is asked for until it is opened, nor after it is closed', async () => {
  const shown = page([metrics({ '+Inf': 0 })]);
  assert.deepEqual(shown.asked, []);
  await shown.toggle(true);
  assert.deepEqual(shown.asked, ['/metrics']);
  assert.equal(shown.text('frame-to-part'), '– / –');
  assert.ok(shown.waits());
  await shown.toggle(false);
  assert.ok(!shown.waits());
});

test('quantiles lie within their buckets, all shards together', async () => {
  const shown = page([metrics({ '5e-5': 0, '0.001': 50, '0.002': 98, '1.0': 100, '+Inf': 100 })]);
  await shown.toggle(true);
  assert.equal(shown.text('frame-to-part'), '1.00 ms / 501 ms');
  assert.equal(shown.text('between-shards'), '– / –');
});

test('the figures are those of the last looks, and of all time when nothing came since', async () => {
  const before = { '0.001': 100, '1.0': 100, '+Inf': 100 };
  const slow = { '0.001': 100, '1.0': 100, '+Inf': 120 };
  const shown = page([metrics(before), metrics(slow), metrics(slow), metrics({ '0.001': 1, '+Inf': 1 })]);
  await shown.toggle(true);
  assert.equal(shown.text('frame-to-part'), '0.50 ms / 0.99 ms');
  await shown.look();
  assert.equal(shown.text('frame-to-part'), 'over 1 s / over 1 s');
  await shown.look();
  // A server that has started anew counts from zero.
  await shown.look();
  assert.equal(shown.text('frame-to-part'), '0.50 ms / 0.99 ms');
});
