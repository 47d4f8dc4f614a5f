// Plays one URL in a real browser and prints what was measured as JSON:
//   node play.mjs URL [--player hls|shaka|shaka-window|watch] [--seconds 15]

import { parseArgs } from 'node:util';
import { Player, launch, servePages } from './browser.mjs';

const { values, positionals: [url] } = parseArgs({
  allowPositionals: true,
  options: { player: { type: 'string', default: 'hls' }, seconds: { type: 'string', default: '15' } },
});
const pages = await servePages();
const browser = await launch();
try {
  const player = await Player.open(browser, values.player, url, pages.origin);
  const started = await player.started(20_000);
  await player.reset();
  await new Promise((resolve) => setTimeout(resolve, 1000 * Number(values.seconds)));
  const figures = await player.figures();
  await player.screenshot(`play-${values.player}`);
  console.log(JSON.stringify(figures, null, 2));
  process.exitCode = started && figures.fatal.length === 0 ? 0 : 1;
} finally {
  await browser.close();
  pages.close();
}
