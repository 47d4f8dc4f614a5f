// What the server itself adds to the latency, on the watch page: medians and 99th percentiles from the histograms
// of /metrics, of all streams and shards. They are asked for only while somebody has them open: the text is that of
// the whole server, and a thousand pages that read it all the time would cost more than their players do.
'use strict';
(() => {
  const LOOK_EVERY_MS = 5000;
  // Looks that the figures reach back: a minute.
  const LOOKS_KEPT = 12;
  const FIGURES = {
    'frame-to-part': 'frame_to_part',
    'part-to-viewer': 'part_to_last_viewer',
    'between-shards': 'event_delivery',
  };

  const details = document.getElementById('server');
  const looks = [];
  let timer = null;

  /** [bound in seconds, how many were not above it] of a histogram, all shards together, in rising order. */
  function histogram(text, name) {
    const counts = new Map();
    const bucket = new RegExp(`^rapidrtmp_${name}_seconds_bucket\\{(?:.*,)?le="([^"]+)".*\\} (\\d+)`, 'gm');
    for (const [, bound, count] of text.matchAll(bucket)) {
      const seconds = bound === '+Inf' ? Infinity : Number(bound);
      counts.set(seconds, (counts.get(seconds) ?? 0) + Number(count));
    }
    return [...counts].sort(([a], [b]) => a - b);
  }

  /** What came since, or all there is when nothing did. */
  function since(now, before) {
    const fresh = now.map(([bound, count], index) => [bound, count - (before[index]?.[1] ?? 0)]);
    return fresh.length && fresh.at(-1)[1] > 0 && fresh.every(([, count]) => count >= 0) ? fresh : now;
  }

  /** Seconds that a share of the values is not above, within a bucket by proportion; null without values. */
  function quantile(buckets, share) {
    const wanted = share * (buckets.at(-1)?.[1] ?? 0);
    if (wanted === 0) return null;
    const at = buckets.findIndex(([, count]) => count >= wanted);
    const [low, below] = at === 0 ? [0, 0] : buckets[at - 1];
    const [high, count] = buckets[at];
    return high === Infinity ? Infinity : low + (high - low) * (wanted - below) / (count - below);
  }

  function shown(buckets, share) {
    const value = quantile(buckets, share);
    if (value === null) return '–';
    if (value === Infinity) return `over ${buckets.at(-2)[0]} s`;
    return `${(1000 * value).toFixed(value < 0.01 ? 2 : 0)} ms`;
  }

  async function look() {
    let text = '';
    try {
      const response = await fetch('/metrics', { cache: 'no-store' });
      if (response.ok) text = await response.text();
    } catch { /* the player says that the server is away */ }
    const now = Object.fromEntries(Object.entries(FIGURES).map(([id, name]) => [id, histogram(text, name)]));
    for (const [id, buckets] of Object.entries(now)) {
      const recent = since(buckets, looks[0]?.[id] ?? []);
      document.getElementById(id).textContent = `${shown(recent, 0.5)} / ${shown(recent, 0.99)}`;
    }
    if (text) looks.push(now);
    if (looks.length > LOOKS_KEPT) looks.shift();
  }

  /** One look after the other, while they are shown. */
  async function follow() {
    if (!document.hidden) await look();
    if (details.open) timer = setTimeout(follow, LOOK_EVERY_MS);
  }

  details.addEventListener('toggle', () => {
    clearTimeout(timer);
    if (details.open) follow();
  });
})();
