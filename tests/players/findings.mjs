// What is wrong with an encoder, on the server's own page: shown to who has the admin key, and to nobody else. Runs
// alone, or as a part of run.mjs:
//
//   node findings.mjs

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { launch } from './browser.mjs';
import { Encoder, Server } from './server.mjs';

const KEY = 'a key for the operator';
const STREAM = '/live/bad/index.m3u8';
// Groups of 10 s with B-frames, and a fraction of the bit rate that is declared.
const OPTIONS = '-g 300 -bf 3 -b:v 4000k -qmin 30';
const EXPECTED = ['gop too long', 'b frames', 'bit rate low'];
// A bit rate is measured over 10 s, looked at every second, and shown every 5 s.
const FOUND_WITHIN_MS = 40_000;
const SHOWN_WITHIN_MS = 10_000;
const SCREENSHOTS = fileURLToPath(new URL('screenshots', import.meta.url));

/** Returns what is wrong. */
export async function findings(browser) {
  const faults = [];
  const expect = (holds, text) => {
    console.log(`findings: ${holds ? 'yes' : 'NO'}: ${text}`);
    if (!holds) faults.push(`findings: not so: ${text}`);
  };
  const server = await new Server(['--open'], `[auth]\nadmin_key = ${JSON.stringify(KEY)}\n`).start();
  const encoder = new Encoder(server, 'bad', OPTIONS);
  const page = await browser.newPage({ viewport: { width: 1000, height: 900 } });
  const asked = [];
  page.on('request', (request) => asked.push(request.url()));
  const messages = [];
  page.on('pageerror', (error) => messages.push(error.message));
  page.on('console', (message) => { if (message.type() === 'error') messages.push(message.text()); });
  const shows = (names, within) => page.waitForFunction((wanted) => {
    const shown = [...document.querySelectorAll('#findings strong')].map(({ textContent }) => textContent);
    return wanted.every((name) => shown.includes(name));
  }, names, { timeout: within, polling: 100 }).then(() => true, () => false);
  const screenshot = (name) => page.screenshot({ path: join(SCREENSHOTS, `findings-${name}.png`), fullPage: true });
  mkdirSync(SCREENSHOTS, { recursive: true });
  try {
    await server.playable(STREAM);
    await page.goto(server.url('/watch/live/bad'));
    await page.locator('#encoder summary').click();
    // The page is told that it was opened a moment later.
    const isAsked = await page.locator('#admin').waitFor({ timeout: SHOWN_WITHIN_MS }).then(() => true, () => false);
    expect(isAsked, 'the admin key is asked for');
    expect(!asked.some((url) => url.includes('/api/')), 'and nothing of the server before it is given');
    await screenshot('asked');
    await page.locator('#admin-key').fill('another key');
    await page.locator('#admin button').click();
    await page.locator('#findings-message').filter({ hasText: 'not the server’s admin key' }).waitFor({ timeout: SHOWN_WITHIN_MS });
    expect(await page.locator('#admin').isVisible() && await page.locator('#findings li').count() === 0, 'another key shows nothing');
    await page.locator('#admin-key').fill(KEY);
    await page.locator('#admin-key').press('Enter');
    expect(await shows(EXPECTED, FOUND_WITHIN_MS), `the key shows ${EXPECTED.join(', ')}`);
    expect(!await page.locator('#admin').isVisible(), 'and is not asked for again');
    await screenshot('wide');

    await page.reload();
    expect(await shows(EXPECTED, SHOWN_WITHIN_MS), 'nor after a reload');
    await page.setViewportSize({ width: 390, height: 844 });
    await screenshot('phone');
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    expect(overflow <= 0, `nothing is wider than a phone: ${overflow} pixels`);
    expect(!asked.some((url) => url.includes(KEY.split(' ').at(-1))), 'the key stands in no address');
    expect(messages.length === 0, `no error: ${messages.join('; ')}`);
    const other = await browser.newPage();
    await other.goto(server.url('/watch/live/bad'));
    expect(await other.locator('#findings li').count() === 0 && !await other.locator('#admin').isVisible(), 'another tab shows nothing');
    await other.close();
  } catch (error) {
    faults.push(`findings: ${error.message}\n${server.log}`);
  } finally {
    await page.close();
    await encoder.kill();
    await server.remove();
  }
  return faults;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const browser = await launch();
  const faults = await findings(browser);
  await browser.close();
  for (const fault of faults) console.error(`FAIL ${fault}`);
  process.exitCode = faults.length === 0 ? 0 : 1;
}
