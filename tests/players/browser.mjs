// A headless Chromium with a page for each player, and what it measures of a stream.

import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { readClock } from './clock.mjs';
import { collect, startHls, startShaka, startVideojs } from './collect.mjs';

const require = createRequire(import.meta.url);
const here = dirname(fileURLToPath(import.meta.url));
const SCREENSHOTS = join(here, 'screenshots');

export const HLS_JS = require.resolve('hls.js/dist/hls.min.js');
const SCRIPTS = {
  hls: readFileSync(HLS_JS),
  shaka: readFileSync(require.resolve('shaka-player/dist/shaka-player.compiled.js')),
  videojs: readFileSync(require.resolve('video.js/dist/video.min.js')),
};
/** What a page of one kind is made of; `settings` go to the player. */
const PAGES = {
  hls: { script: 'hls', start: startHls },
  shaka: { script: 'shaka', start: startShaka, settings: {} },
  videojs: { script: 'videojs', start: startVideojs },
  // With the window of a live stream given rather than computed from the playlist; see run.mjs.
  'shaka-window': { script: 'shaka', start: startShaka, settings: { manifest: { availabilityWindowOverride: 60 } } },
};

/** Serves the pages of the players, from another origin than the streams, so that CORS is exercised. */
export async function servePages() {
  const server = createServer((request, response) => {
    const [, player, script] = /^\/(hls|shaka|videojs)(\.js)?$/.exec(request.url) ?? [];
    if (!player) {
      response.writeHead(404).end();
    } else if (script) {
      response.writeHead(200, { 'Content-Type': 'text/javascript' }).end(SCRIPTS[player]);
    } else {
      response.writeHead(200, { 'Content-Type': 'text/html' });
      response.end(`<!doctype html><title>${player}</title><video muted playsinline></video><script src="/${player}.js"></script>`);
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { origin: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}

export function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    headless: true,
    args: [
      '--no-sandbox',
      // For the certificate that the server makes itself.
      '--ignore-certificate-errors',
      '--autoplay-policy=no-user-gesture-required',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--disable-extensions',
      '--disable-background-timer-throttling',
      '--disable-backgrounding-occluded-windows',
      '--disable-renderer-backgrounding',
      '--no-first-run',
      '--mute-audio',
    ],
  });
}

/** What the network saw: parts and segments by the numbers in their names, and responses that failed. */
class Traffic {
  parts = 0;
  segments = 0;
  reloads = 0;
  skipped = 0;
  repeated = 0;
  failed = [];
  protocols = new Set();
  #last = new Map();

  constructor(page) {
    page.on('response', (response) => this.#note(new URL(response.url()), response.status()));
  }

  noteProtocol({ url, protocol }) {
    if (/\.(m3u8|m4s)$/.test(new URL(url).pathname)) this.protocols.add(protocol);
  }

  #note(url, status) {
    if (status >= 400) {
      if (!url.pathname.endsWith('favicon.ico')) this.failed.push(`${status} ${url.pathname}${url.search}`);
      return;
    }
    if (url.pathname.endsWith('.m3u8')) this.reloads += 1;
    const [, name, segment, digits] = /^(.*)-(s?)(\d+)\.m4s$/.exec(url.pathname) ?? [];
    if (digits === undefined) return;
    if (segment) {
      this.segments += 1;
      return;
    }
    this.parts += 1;
    const number = Number(digits);
    const last = this.#last.get(name);
    if (last !== undefined && number <= last) this.repeated += 1;
    if (last !== undefined && number > last + 1) this.skipped += number - last - 1;
    this.#last.set(name, Math.max(number, last ?? 0));
  }
}

/** An open page that plays. */
export class Player {
  #cdp;
  #busyBefore;
  #reloadsBefore = 0;

  constructor(page, traffic, cdp) {
    this.page = page;
    this.traffic = traffic;
    this.#cdp = cdp;
  }

  /** `player`: one of PAGES, or watch for the server's own page. */
  static async open(browser, player, url, pagesOrigin) {
    const page = await browser.newPage({ viewport: { width: 800, height: 600 } });
    const messages = [];
    page.on('pageerror', (error) => messages.push(`page: ${error.message}`));
    const traffic = new Traffic(page);
    const cdp = await page.context().newCDPSession(page);
    await cdp.send('Performance.enable');
    await cdp.send('Network.enable');
    cdp.on('Network.responseReceived', ({ response }) => traffic.noteProtocol(response));
    const made = PAGES[player];
    await page.goto(made ? `${pagesOrigin}/${made.script}` : url);
    // As one text: the server's own page forbids scripts of others, and so eval.
    await page.evaluate(`(${collect})(document.querySelector('video'), ${readClock})`);
    if (made) await page.evaluate(made.start, { url, settings: made.settings });
    const opened = new Player(page, traffic, cdp);
    opened.messages = messages;
    opened.kind = player;
    return opened;
  }

  /** True once a frame was shown. */
  async started(withinMs) {
    const shown = () => window.collected.firstFrameMs !== null;
    return this.page.waitForFunction(shown, null, { timeout: withinMs, polling: 100 }).then(() => true, () => false);
  }

  async #busyMs() {
    const { metrics } = await this.#cdp.send('Performance.getMetrics');
    return 1000 * metrics.find(({ name }) => name === 'ScriptDuration').value;
  }

  /** Forgets what was measured so far. */
  async reset() {
    await this.page.evaluate(() => {
      Object.assign(window.collected, { frames: 0, stalls: 0, stalledMs: 0, latencies: [], unreadable: 0, longestStillMs: 0 });
    });
    this.#busyBefore = await this.#busyMs();
    this.#reloadsBefore = this.traffic.reloads;
  }

  async figures() {
    const { collected, stats, quality, time } = await this.page.evaluate(() => {
      const video = document.querySelector('video');
      const { totalVideoFrames, droppedVideoFrames } = video.getVideoPlaybackQuality();
      return {
        collected: window.collected,
        stats: window.playerStats ?? { fatal: [], errors: {}, parseMs: [] },
        quality: { totalVideoFrames, droppedVideoFrames },
        time: video.currentTime,
      };
    });
    const reloads = this.traffic.reloads - this.#reloadsBefore;
    const busy = (await this.#busyMs()) - (this.#busyBefore ?? 0);
    const { parts, segments, skipped, repeated, failed, protocols } = this.traffic;
    return {
      player: this.kind,
      firstFrameMs: Math.round(collected.firstFrameMs ?? -1),
      framesDecoded: quality.totalVideoFrames,
      framesDropped: quality.droppedVideoFrames,
      framesShown: collected.frames,
      clocksUnreadable: collected.unreadable,
      latencyMs: { p50: percentile(collected.latencies, 50), p95: percentile(collected.latencies, 95) },
      stalls: collected.stalls,
      stalledMs: Math.round(collected.stalledMs),
      longestStillMs: Math.round(collected.longestStillMs),
      parts, segments, skipped, repeated, reloads, protocols: [...protocols],
      scriptMsPerReload: reloads > 0 ? Number((busy / reloads).toFixed(2)) : null,
      playlistParseMs: { p50: percentile(stats.parseMs, 50), p95: percentile(stats.parseMs, 95) },
      currentTime: Number(time.toFixed(2)),
      fatal: [...new Set([...stats.fatal, ...this.messages])].slice(0, 5),
      errors: stats.errors,
      failed: [...new Set(failed)].slice(0, 5),
    };
  }

  async screenshot(name) {
    mkdirSync(SCREENSHOTS, { recursive: true });
    await this.page.screenshot({ path: join(SCREENSHOTS, `${name}.png`) });
  }

  close() {
    return this.page.close();
  }
}

export function percentile(values, percent) {
  if (values.length === 0) return null;
  const sorted = [...values].sort((a, b) => a - b);
  return Number(sorted[Math.max(0, Math.ceil(sorted.length * percent / 100) - 1)].toFixed(2));
}
