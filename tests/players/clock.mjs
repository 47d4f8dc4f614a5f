// Reads the demo picture's machine-readable clock; the layout is described in src/demo/clock.rs.

/**
 * The Unix time in milliseconds that was painted into a frame, or null where none can be read.
 * `image` is an ImageData (or anything with `data` as RGBA, `width` and `height`) of the whole picture,
 * at any scale that leaves a cell a few pixels.
 *
 * It leans on nothing outside itself, so that `readClock.toString()` may be evaluated in a page.
 */
export function readClock(image) {
  const CELLS = 64;
  const ROW_HEIGHT_DIVISOR = 15;
  const TIME_FIRST = 4;
  const TIME_BITS = 48;
  const CRC_FIRST = TIME_FIRST + TIME_BITS;
  const GUARDS = [[0, 1], [1, 0], [2, 1], [3, 0], [60, 0], [61, 1], [62, 0], [63, 1]];
  // Of 255; a picture without contrast has no clock.
  const CONTRAST_MIN = 64;

  const { data, width, height } = image;
  const cellWidth = width / CELLS;
  const rowHeight = height / ROW_HEIGHT_DIVISOR;
  if (cellWidth < 3 || rowHeight < 3) return null;

  const top = Math.floor(rowHeight / 4);
  const bottom = Math.ceil(rowHeight * 3 / 4);
  const level = (cell) => {
    const left = Math.floor((cell + 0.25) * cellWidth);
    const right = Math.ceil((cell + 0.75) * cellWidth);
    let sum = 0;
    for (let y = top; y < bottom; y++) {
      for (let x = left; x < right; x++) {
        const at = 4 * (y * width + x);
        sum += data[at] + data[at + 1] + data[at + 2];
      }
    }
    return sum / (3 * (bottom - top) * (right - left));
  };

  const guards = { 0: [], 1: [] };
  for (const [cell, bit] of GUARDS) guards[bit].push(level(cell));
  const black = Math.max(...guards[0]);
  const white = Math.min(...guards[1]);
  if (white - black < CONTRAST_MIN) return null;
  const threshold = (black + white) / 2;
  const byte = (first) => {
    let value = 0;
    for (let bit = 0; bit < 8; bit++) value = value << 1 | (level(first + bit) > threshold ? 1 : 0);
    return value;
  };

  let unixMs = 0;
  let crc = 0xff;
  for (let first = TIME_FIRST; first < CRC_FIRST; first += 8) {
    const value = byte(first);
    unixMs = unixMs * 256 + value;
    crc ^= value;
    for (let bit = 0; bit < 8; bit++) crc = crc & 0x80 ? (crc << 1 ^ 0x07) & 0xff : crc << 1;
  }
  return byte(CRC_FIRST) === crc ? unixMs : null;
}
