// The real server and a real encoder as child processes.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { HLS_JS } from './browser.mjs';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const BINARY = process.env.RAPIDRTMP_BIN ?? join(root, 'target/release/rapidrtmp');
const READY = /^ready rtmp=(\S+) http=(\S+)(?: https=(\S+))?$/m;

export class Server {
  #directory = mkdtempSync(join(tmpdir(), 'rapidrtmp-players-'));
  #arguments;
  #child;
  #log = '';

  /** `config` is TOML; DIR in it stands for a directory of the server's own. */
  constructor(args, config) {
    const file = join(this.#directory, 'server.toml');
    const text = `${config}\n[pages]\nhls_js_file = ${JSON.stringify(HLS_JS)}\n`;
    writeFileSync(file, text.replaceAll('DIR', this.#directory));
    this.#arguments = ['serve', '--config', file, ...args];
    this.rtmp = '127.0.0.1:0';
    this.http = '127.0.0.1:0';
  }

  /** Starts it; a second time on the ports that it had. */
  async start() {
    const child = spawn(BINARY, [...this.#arguments, '--rtmp', this.rtmp, '--http', this.http], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child = child;
    child.stderr.on('data', (data) => { this.#log += data; });
    let banner = '';
    await new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`the server is not ready\n${banner}${this.#log}`)), 20_000);
      child.on('error', reject);
      child.on('exit', (code) => reject(new Error(`the server ended with ${code}\n${banner}${this.#log}`)));
      child.stdout.on('data', (data) => {
        banner += data;
        const ready = READY.exec(banner);
        if (!ready) return;
        clearTimeout(late);
        [, this.rtmp, this.http, this.https] = ready;
        resolve();
      });
    });
    return this;
  }

  /** As players have it: over TLS where that was asked for. */
  playerUrl(path) {
    return this.https ? `https://${this.https}${path}` : this.url(path);
  }

  url(path) {
    return `http://${this.http}${path}`;
  }

  /** SIGKILL. */
  kill() {
    return end(this.#child);
  }

  async remove() {
    await this.kill();
    rmSync(this.#directory, { recursive: true, force: true });
  }

  get log() {
    return this.#log;
  }

  /** Waits until the stream plays. */
  async playable(path, withinMs = 30_000) {
    const end = Date.now() + withinMs;
    let last = '';
    while (Date.now() < end) {
      const response = await fetch(this.url(path)).catch((error) => ({ status: error.message }));
      if (response.status === 200) return;
      last = response.status;
      await sleep(100);
    }
    throw new Error(`${path} is not playable: ${last}\n${this.#log}`);
  }
}

/** A value of /metrics, the sum over all shards. */
export async function metric(server, name, label = '') {
  const text = await (await fetch(server.url('/metrics'))).text();
  const values = text.split('\n').filter((line) => line.startsWith(`rapidrtmp_${name}{`) && line.includes(label)).map((line) => Number(line.split(' ').pop()));
  return values.reduce((sum, value) => sum + value, 0);
}

/** ffmpeg with a test picture and a sine, GOP of one second; `options` of the output go before these. */
export class Encoder {
  #child;

  constructor(server, key, options = '') {
    const source = '-hide_banner -nostats -loglevel error -re -f lavfi -i testsrc2=size=320x180:rate=30 -re -f lavfi -i sine=frequency=440:sample_rate=48000 '
      + '-c:v libx264 -preset ultrafast -pix_fmt yuv420p -b:v 400k -g 30 -keyint_min 30 -sc_threshold 0 -bf 0 -c:a aac -b:a 64k';
    const all = `${source} ${options} -f flv`.split(' ').filter(Boolean);
    this.#child = spawn('ffmpeg', [...all, `rtmp://${server.rtmp}/live/${key}`], { stdio: ['ignore', 'ignore', 'inherit'] });
  }

  kill() {
    return end(this.#child);
  }
}

/** ffmpeg with a picture that has the demo's clock in it (src/demo/clock.rs), and a sine. */
export class ClockEncoder {
  #child;
  #timer;

  constructor(server, name, { gop = 60, width = 320, height = 180, fps = 30 } = {}) {
    const source = `-hide_banner -nostats -loglevel error -f rawvideo -pixel_format gray -video_size ${width}x${height} -framerate ${fps} -i pipe:0 `
      + '-re -f lavfi -i sine=frequency=440:sample_rate=48000 '
      + `-c:v libx264 -preset ultrafast -tune zerolatency -threads 1 -pix_fmt yuv420p -b:v 600k -g ${gop} -keyint_min ${gop} -sc_threshold 0 -c:a aac -b:a 64k -f flv`;
    this.#child = spawn('ffmpeg', [...source.split(' '), `rtmp://${server.rtmp}/live/${name}`], { stdio: ['pipe', 'ignore', 'inherit'] });
    // It may be killed between two frames.
    this.#child.stdin.on('error', () => {});
    const picture = Buffer.alloc(width * height, 96);
    const began = performance.now();
    let frames = 0;
    this.#timer = setInterval(() => {
      for (; frames * 1000 / fps <= performance.now() - began; frames++) {
        paintClock(picture, width, Math.floor(height / 15), Date.now());
        this.#child.stdin.write(Buffer.from(picture));
      }
    }, 5);
  }

  /** SIGKILL. */
  kill() {
    clearInterval(this.#timer);
    return end(this.#child);
  }
}

/** Paints the row that `readClock` reads. */
function paintClock(picture, width, rows, unixMs) {
  const bytes = [5, 4, 3, 2, 1, 0].map((place) => Math.floor(unixMs / 256 ** place) % 256);
  let crc = 0xff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 0x80 ? (crc << 1 ^ 0x07) & 0xff : crc << 1;
  }
  const bits = [...bytes, crc].flatMap((byte) => [7, 6, 5, 4, 3, 2, 1, 0].map((bit) => byte >> bit & 1));
  const cells = [1, 0, 1, 0, ...bits, 0, 1, 0, 1];
  for (let x = 0; x < width; x++) picture[x] = cells[Math.floor(x * cells.length / width)] ? 255 : 0;
  for (let y = 1; y < rows; y++) picture.copyWithin(y * width, 0, width);
}

async function end(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
