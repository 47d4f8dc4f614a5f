// An event that ends: the server's own page plays out what was not seen, says that it is over, and plays the next
// session by itself. Runs alone, or as a part of run.mjs:
//
//   node ended.mjs

import { fileURLToPath } from 'node:url';
import { launch, Player } from './browser.mjs';
import { Encoder, Server, sleep } from './server.mjs';

const CONFIG = '[ingest]\nunpublish_grace_s = 2\nreconnect_grace_s = 4\n';
const STREAM = '/live/over/index.m3u8';
const PLAYS_WITHIN_MS = 20_000;
// The grace, the buffer, and what the browser takes to notice.
const ENDS_WITHIN_MS = 20_000;
// Longer than the page waits before it calls a still picture stuck and starts afresh.
const STAYS_MS = 24_000;
// The page's look at the server, the first segments, and a shared machine.
const AGAIN_WITHIN_MS = 40_000;

const open = (browser, server) => Player.open(browser, 'watch', server.url('/watch/live/over'), null);
const message = ({ page }) => page.locator('#message').innerText();
const enters = ({ page }, wanted, within) => page
  .waitForFunction((name) => window.stats.state === name, wanted, { timeout: within, polling: 50 })
  .then(() => true, () => false);

/** Writes down every state that the page shows from here on. */
const record = ({ page }) => page.evaluate(() => {
  window.states = [window.stats.state];
  const note = () => window.states.push(document.getElementById('state').textContent);
  new MutationObserver(note).observe(document.getElementById('state'), { childList: true, characterData: true, subtree: true });
});
const recorded = ({ page }) => page.evaluate(() => [...new Set(window.states)]);

/** Returns what is wrong. */
export async function ended(browser) {
  const faults = [];
  const expect = (holds, text) => {
    console.log(`ended: ${holds ? 'yes' : 'NO'}: ${text}`);
    if (!holds) faults.push(`ended: not so: ${text}`);
  };
  const server = await new Server(['--open'], CONFIG).start();
  const players = [];
  let encoder = new Encoder(server, 'over');
  try {
    await server.playable(STREAM);
    const watching = await open(browser, server);
    players.push(watching);
    expect(await enters(watching, 'playing', PLAYS_WITHIN_MS), 'a page that is open plays');
    await sleep(5000);

    await encoder.kill();
    await sleep(1500);
    encoder = new Encoder(server, 'over');
    await sleep(6000);
    await watching.reset();
    await sleep(3000);
    expect((await watching.figures()).framesShown > 20, 'an encoder that is back within the grace is played on');

    await encoder.kill();
    expect(await enters(watching, 'ended', ENDS_WITHIN_MS), 'the open page says that the event has ended');
    expect((await message(watching)).includes('has ended'), 'and says it in words');
    await watching.screenshot('ended-watching');
    await watching.reset();
    await record(watching);

    const late = await open(browser, server);
    players.push(late);
    await record(late);
    expect(await enters(late, 'ended', PLAYS_WITHIN_MS), 'a page opened after the end says so');
    await sleep(STAYS_MS);
    await late.screenshot('ended-late');
    expect((await late.figures()).framesShown === 0, 'it shows no picture of the past');
    expect(!(await recorded(late)).includes('playing'), 'and never says that it plays');
    expect((await watching.figures()).framesShown === 0, 'the page that was watching replays nothing');
    expect((await recorded(watching)).join() === 'ended', `and stays: ${await recorded(watching)}`);

    encoder = new Encoder(server, 'over');
    for (const [name, player] of [['that was watching', watching], ['opened after the end', late]]) {
      await player.reset();
      const plays = await enters(player, 'playing', AGAIN_WITHIN_MS);
      await sleep(2000);
      expect(plays && (await player.figures()).framesShown > 20, `the page ${name} plays the next session by itself`);
      expect(await player.page.locator('#message').isHidden(), 'without a word before it');
      await player.screenshot(`ended-again-${players.indexOf(player)}`);
    }

    // Apple's own player is the one to use where it is; hls.js would do there as well.
    const apple = await browser.newPage();
    await apple.addInitScript(() => {
      Object.defineProperty(navigator, 'vendor', { get: () => 'Apple Computer, Inc.' });
      Object.defineProperty(navigator, 'platform', { get: () => 'MacIntel' });
      HTMLMediaElement.prototype.canPlayType = () => 'maybe';
    });
    await apple.goto(server.url('/watch/live/over'));
    const engine = await apple.waitForFunction(() => window.stats.engine, null, { timeout: PLAYS_WITHIN_MS });
    expect(await engine.jsonValue() === 'native', 'Safari plays with its own player');
    await apple.close();
  } catch (error) {
    faults.push(`ended: ${error.message}\n${server.log}`);
  } finally {
    for (const player of players) await player.close();
    await encoder.kill();
    await server.remove();
  }
  return faults;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const browser = await launch();
  const faults = await ended(browser);
  await browser.close();
  for (const fault of faults) console.error(`FAIL ${fault}`);
  process.exitCode = faults.length === 0 ? 0 : 1;
}
