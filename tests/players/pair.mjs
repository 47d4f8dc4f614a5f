// Two encoders for one stream: the primary is killed with -9 while players play, the backup goes on, and the primary
// comes back. Runs alone, or as a part of run.mjs:
//
//   node pair.mjs [--players hls,shaka,videojs] [--gop 30]

import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Player, launch, servePages } from './browser.mjs';
import { ClockEncoder, Server, metric, sleep } from './server.mjs';

const STREAM = '/live/pair/index.m3u8';
const CONFIG = '[ingest]\nfailback_s = 4\n';
const FPS = 30;
const PLAYS_WITHIN_MS = 30_000;
const PLAYERS = ['hls', 'shaka', 'videojs'];
const GOP_FRAMES = 30;
// hls.js says so of every picture that stands still for a quarter of a second.
const NO_ERRORS = ['bufferStalledError'];
// Shaka Player stands still for a second and more in some sessions without any take-over (see SHOWN_MIN in run.mjs), and
// for longer after it has run dry: it must report nothing and play on, and its longest pause is only printed.
const HALTING = ['shaka'];

async function until(what, holds, withinMs = 20_000) {
  for (const end = Date.now() + withinMs; Date.now() < end; await sleep(100)) {
    if (await holds()) return;
  }
  throw new Error(`it does not come to that: ${what}`);
}

/** Reads the playlist of the pictures until it is told to stop, and says what a take-over must not do to it. */
function watch(server, media) {
  const wrong = new Set();
  let [stopped, before] = [false, null];
  const run = async () => {
    while (!stopped) {
      const text = await (await fetch(media)).text();
      const number = (tag) => Number(new RegExp(`^#EXT-X-${tag}:(\\d+)$`, 'm').exec(text)?.[1]);
      const now = {
        first: number('MEDIA-SEQUENCE'), next: number('MEDIA-SEQUENCE') + text.match(/^#EXTINF/gm).length,
        breaks: number('DISCONTINUITY-SEQUENCE'), map: /^#EXT-X-MAP:(.*)$/m.exec(text)?.[1],
      };
      if (/^#EXT-X-(DISCONTINUITY|GAP)$/m.test(text) || text.includes('GAP=YES')) wrong.add('a discontinuity or a gap');
      if (text.includes('#EXT-X-ENDLIST')) wrong.add('an end');
      if (before && (now.first < before.first || now.next < before.next || now.next > before.next + 1)) wrong.add('media sequence numbers that jump');
      if (before && (now.breaks !== before.breaks || now.map !== before.map)) wrong.add('another init segment or discontinuity sequence');
      before = now;
      await sleep(200);
    }
    return [...wrong];
  };
  const done = run();
  return () => { stopped = true; return done; };
}

/** Forgets what was measured and reported so far: three players that start at once on a shared machine report much. */
async function forget(player) {
  await player.reset();
  await player.page.evaluate(() => { if (window.playerStats) window.playerStats.errors = {}; });
}

/** Returns what is wrong; `figures` gets what was measured. */
export async function pair(browser, pages, figures, { kinds = PLAYERS, gop = GOP_FRAMES } = {}) {
  // The picture may stand for as long as the backup's next key frame takes, and half a second.
  const stillMsMax = 1000 * gop / FPS + 500;
  const faults = [];
  const expect = (holds, text) => {
    console.log(`pair: ${holds ? 'yes' : 'NO'}: ${text}`);
    if (!holds) faults.push(`pair: not so: ${text}`);
  };
  const server = await new Server(['--open'], CONFIG).start();
  const players = [];
  let primary = new ClockEncoder(server, 'pair', { gop });
  let backup;
  try {
    // Its key frames come at another time than the primary's.
    await sleep(700);
    backup = new ClockEncoder(server, 'pair?role=backup', { gop });
    await server.playable(STREAM);
    for (const kind of kinds) {
      const url = server.url(kind === 'watch' ? '/watch/live/pair' : STREAM);
      players.push(await Player.open(browser, kind, url, pages.origin));
    }
    // video.js begins to play some seconds after it has shown the first picture.
    const moves = () => window.collected.frames > 30;
    const plays = ({ page }) => page.waitForFunction(moves, null, { timeout: PLAYS_WITHIN_MS, polling: 100 }).then(() => true, () => false);
    const played = await Promise.all(players.map(plays));
    for (const [index, { kind }] of players.entries()) expect(played[index], `${kind} plays`);
    await until('the backup is held ready', async () => await metric(server, 'standby_publishers') === 1);
    const multivariant = await (await fetch(server.url(STREAM))).text();
    const media = new URL(/^[^#].*$/m.exec(multivariant)[0], server.url(STREAM));
    const stop = watch(server, media);
    const judge = async (name) => {
      for (const player of players) {
        const figure = { preset: name, ...await player.figures() };
        figures.push(figure);
        const errors = Object.entries(figure.errors).filter(([error]) => !NO_ERRORS.includes(error));
        const wrong = [...figure.fatal, ...figure.failed, ...errors.map(([error, count]) => `${count} times ${error}`)];
        const { kind } = player;
        expect(wrong.length === 0, `${name}: ${kind} reports no error ${wrong.join('; ')}`);
        expect(HALTING.includes(kind) || figure.longestStillMs <= stillMsMax, `${name}: the picture of ${kind} stood still for ${figure.longestStillMs} ms at most, ${stillMsMax} are allowed (latency ${figure.latencyMs.p50} ms, stalls ${figure.stalls})`);
        expect(HALTING.includes(kind) || figure.framesShown > 60, `${name}: ${kind} has shown ${figure.framesShown} frames`);
        await player.screenshot(`${name}-${kind}`.replaceAll(' ', '-'));
        await forget(player);
      }
    };
    for (const player of players) await forget(player);
    await sleep(4000);
    await judge('pair, both there');

    // Its first key frame was sent as soon as it could publish. Just after one there is the longest wait for the next.
    const published = Date.parse(/^(\S+) .*publishing .*role="backup"/m.exec(server.log)[1]);
    const sinceKeyMs = () => (Date.now() - published) % (1000 * gop / FPS);
    await until('its key frame', () => sinceKeyMs() > 200 && sinceKeyMs() < 350);
    const killed = Date.now();
    await primary.kill();
    await until('the backup takes over', async () => await metric(server, 'takeovers_total', 'reason="left"') === 1);
    console.log(`pair: the backup took over after ${Date.now() - killed} ms`);
    await sleep(8000);
    await judge('primary killed');

    primary = new ClockEncoder(server, 'pair', { gop });
    await until('the primary comes back', async () => await metric(server, 'takeovers_total', 'reason="returned"') === 1);
    await sleep(4000);
    await judge('primary back');

    const wrong = await stop();
    expect(wrong.length === 0, `nothing in the playlists tells of it ${wrong.join('; ')}`);
  } catch (error) {
    faults.push(`pair: ${error.message}\n${server.log}`);
  } finally {
    for (const player of players) await player.close();
    await primary.kill();
    await backup?.kill();
    await server.remove();
  }
  if (faults.length > 0) console.log(server.log);
  return faults;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const pages = await servePages();
  const browser = await launch();
  const { values } = parseArgs({ options: { players: { type: 'string' }, gop: { type: 'string', default: `${GOP_FRAMES}` } } });
  const faults = await pair(browser, pages, [], { kinds: values.players?.split(','), gop: Number(values.gop) });
  await browser.close();
  pages.close();
  for (const fault of faults) console.error(`FAIL ${fault}`);
  process.exitCode = faults.length === 0 ? 0 : 1;
}
