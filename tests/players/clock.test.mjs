// node --test tests/players/clock.test.mjs
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { readClock } from './clock.mjs';

// The clock's row of a frame of the demo after H.264 at 100 kbit/s, as decoded; src/demo/clock.rs reads the same file.
const ROW = readFileSync(new URL('../data/clock-640x24.luma', import.meta.url));
const ROW_UNIX_MS = 1795000013979;

function picture(width, height, level) {
  const data = new Uint8ClampedArray(4 * width * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) data.fill(level(x, y), 4 * (y * width + x), 4 * (y * width + x) + 3);
  }
  return { data, width, height };
}

const compressed = (width, height) => picture(width, height, (x, y) => {
  const source = Math.floor(y * 360 / height) * 640 + Math.floor(x * 640 / width);
  return ROW[source] ?? 0;
});

test('reads the time of a compressed frame', () => {
  assert.equal(readClock(compressed(640, 360)), ROW_UNIX_MS);
});

test('reads it at other scales', () => {
  for (const [width, height] of [[1280, 720], [480, 270], [320, 180], [853, 480]]) {
    assert.equal(readClock(compressed(width, height)), ROW_UNIX_MS, `${width}x${height}`);
  }
});

test('refuses a picture without a clock, and one with a wrong cell', () => {
  for (const level of [() => 0, () => 255, (x) => x % 256, (x, y) => (x ^ y) & 255]) {
    assert.equal(readClock(picture(640, 360, level)), null);
  }
  for (let cell = 0; cell < 64; cell++) {
    const right = compressed(640, 360);
    const wrong = picture(640, 360, (x, y) => {
      const value = right.data[4 * (y * 640 + x)];
      return Math.floor(x / 10) === cell ? 255 - value : value;
    });
    assert.equal(readClock(wrong), null, `cell ${cell}`);
  }
});
