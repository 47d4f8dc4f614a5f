// What a page measures of its video element. Runs inside the page.

/**
 * Starts measuring `video` and returns nothing; `window.collected` holds the figures.
 * `readClock` takes an ImageData and returns the Unix milliseconds painted into it, or null.
 * It leans on nothing outside itself, since it is evaluated as text.
 */
export function collect(video, readClock) {
  const collected = {
    firstFrameMs: null, // since the page began
    frames: 0,
    stalls: 0,
    stalledMs: 0,
    latencies: [], // ms, one for each frame whose clock could be read
    unreadable: 0,
    longestStillMs: 0, // without another picture, by the clock in it where it has one
    errors: [],
  };
  window.collected = collected;

  let stalledSince = null;
  video.addEventListener('waiting', () => {
    if (collected.firstFrameMs === null || video.seeking || stalledSince !== null) return;
    collected.stalls += 1;
    stalledSince = performance.now();
  });
  video.addEventListener('playing', () => {
    if (stalledSince === null) return;
    collected.stalledMs += performance.now() - stalledSince;
    stalledSince = null;
  });

  let shownAt = null;
  let shown = null;
  const canvas = document.createElement('canvas');
  const context = canvas.getContext('2d', { willReadFrequently: true });
  const onFrame = () => {
    collected.frames += 1;
    collected.firstFrameMs ??= performance.now();
    const { videoWidth: width, videoHeight: height } = video;
    // The clock is a row at the top: the rest of the picture is not copied.
    const rows = Math.ceil(height / 15);
    canvas.width = width;
    canvas.height = rows;
    context.drawImage(video, 0, 0, width, rows, 0, 0, width, rows);
    const { data } = context.getImageData(0, 0, width, rows);
    const painted = readClock({ data, width, height });
    if (painted === null || painted !== shown) {
      const now = performance.now();
      if (shownAt !== null) collected.longestStillMs = Math.max(collected.longestStillMs, now - shownAt);
      [shown, shownAt] = [painted, now];
    }
    if (painted === null) collected.unreadable += 1;
    else collected.latencies.push(Date.now() - painted);
    video.requestVideoFrameCallback(onFrame);
  };
  video.requestVideoFrameCallback(onFrame);
}

/** The plain-page side of hls.js with its defaults. Runs inside the page. */
export function startHls({ url }) {
  const player = { fatal: [], errors: {}, parts: 0, segments: 0, parseMs: [], reloads: 0, latency: null };
  window.playerStats = player;
  const video = document.querySelector('video');
  const hls = new window.Hls();
  window.hls = hls;
  hls.on(window.Hls.Events.FRAG_LOADED, (_, { part }) => {
    if (part) player.parts += 1;
    else player.segments += 1;
  });
  const loaded = (_, { stats }) => {
    player.reloads += 1;
    const { start, end } = stats.parsing;
    if (end > 0) player.parseMs.push(end - start);
  };
  hls.on(window.Hls.Events.LEVEL_LOADED, loaded);
  hls.on(window.Hls.Events.AUDIO_TRACK_LOADED, loaded);
  hls.on(window.Hls.Events.ERROR, (_, error) => {
    player.errors[error.details] = (player.errors[error.details] ?? 0) + 1;
    if (error.fatal) player.fatal.push(`${error.details}: ${error.reason ?? error.error?.message ?? ''}`);
  });
  hls.loadSource(url);
  hls.attachMedia(video);
  video.play().catch((error) => player.fatal.push(`play: ${error.message}`));
}

/** The plain-page side of Shaka Player, low latency, with `settings` besides. Runs inside the page. */
export async function startShaka({ url, settings }) {
  const player = { fatal: [], errors: {}, parts: null, segments: null, parseMs: [], reloads: 0, latency: null };
  window.playerStats = player;
  const note = (error) => {
    const name = error.code ? `shaka ${error.category}.${error.code}` : `shaka: ${error.message ?? error}`;
    player.errors[name] = (player.errors[name] ?? 0) + 1;
    if (error.severity === 2) player.fatal.push(`${name}: ${JSON.stringify(error.data?.slice?.(0, 2))}`);
  };
  const video = document.querySelector('video');
  window.shaka.polyfill.installAll();
  const shaka = new window.shaka.Player();
  window.shakaPlayer = shaka;
  shaka.addEventListener('error', ({ detail }) => note(detail));
  shaka.configure({ streaming: { lowLatencyMode: true } });
  shaka.configure(settings);
  try {
    await shaka.attach(video);
    await shaka.load(url);
    await video.play();
  } catch (error) {
    note(error);
  }
}

/** The plain-page side of video.js with its defaults, but for the browser's own HLS. Runs inside the page. */
export function startVideojs({ url }) {
  const player = { fatal: [], errors: {}, parts: null, segments: null, parseMs: [], reloads: 0, latency: null };
  window.playerStats = player;
  const html5 = { vhs: { overrideNative: true }, nativeAudioTracks: false, nativeVideoTracks: false };
  const made = window.videojs(document.querySelector('video'), { muted: true, html5 });
  window.videojsPlayer = made;
  made.on('error', () => {
    const { code, message } = made.error();
    player.errors[`video.js ${code}`] = (player.errors[`video.js ${code}`] ?? 0) + 1;
    player.fatal.push(`video.js ${code}: ${message}`);
  });
  made.src({ src: url, type: 'application/x-mpegURL' });
  made.ready(() => made.play()?.catch((error) => player.fatal.push(`play: ${error.message}`)));
}
