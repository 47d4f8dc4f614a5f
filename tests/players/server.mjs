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
  async kill() {
    const child = this.#child;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
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

/** ffmpeg with a test picture and a sine, GOP of one second; `options` of the output go before these. */
export class Encoder {
  #child;

  constructor(server, key, options = '') {
    const source = '-hide_banner -nostats -loglevel error -re -f lavfi -i testsrc2=size=320x180:rate=30 -re -f lavfi -i sine=frequency=440:sample_rate=48000 '
      + '-c:v libx264 -preset ultrafast -pix_fmt yuv420p -b:v 400k -g 30 -keyint_min 30 -sc_threshold 0 -bf 0 -c:a aac -b:a 64k';
    const all = `${source} ${options} -f flv`.split(' ').filter(Boolean);
    this.#child = spawn('ffmpeg', [...all, `rtmp://${server.rtmp}/live/${key}`], { stdio: ['ignore', 'ignore', 'inherit'] });
  }

  async kill() {
    const child = this.#child;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
  }
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
