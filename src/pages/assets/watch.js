// The watch page: waits for the stream, plays it through hls.js (natively in Safari, and where there is no
// MSE), and shows how far behind live it is. Whatever ends playback leads back to waiting, so it comes back
// by itself. What is left of an event that has ended is shown to those who were watching, and to nobody as live.
//
// For tests: window.player (the video element), window.hls (null unless hls.js plays), window.stats.
'use strict';
(() => {
  const POLL_MS_MIN = 500;
  const POLL_MS_MAX = 4000;
  // Between two looks whether an event that has ended is followed by another.
  const POLL_MS_ENDED = 3000;
  const TICK_MS = 500;
  // Without progress for so long the page asks whether the session is still the same; after the second it starts
  // afresh, if the server has news.
  const STUCK_CHECK_MS = 6000;
  const STUCK_RESTART_MS = 20000;
  // Without progress for so long after the end of the playlist, everything has been shown.
  const STUCK_OVER_MS = 4000;
  // A second media error within this time is not worth a second recovery.
  const MEDIA_ERROR_AGAIN_MS = 5000;
  const GRAPH_SAMPLES = 240;
  const HLS_TYPE = 'application/vnd.apple.mpegurl';
  // Seconds beyond the target from which the button to live is offered.
  const FAR_BEHIND_S = 3;

  const main = document.querySelector('main');
  const video = document.getElementById('player');
  const message = document.getElementById('message');
  const state = document.getElementById('state');
  const unmute = document.getElementById('unmute');
  const toLive = document.getElementById('live');
  const { name, src: source } = main.dataset;

  const stats = {
    state: 'waiting', // waiting, starting, playing, stalled, ended
    engine: null, // 'hls.js' or 'native'
    latency: null, // seconds; hls.js's own figure, or the native player's by programme date
    targetLatency: null,
    behindClock: null, // seconds between this machine's clock and the programme date of the picture
    buffer: 0,
    stalls: 0,
    droppedFrames: 0,
    frames: 0,
    parts: 0,
    segments: 0,
    restarts: 0,
    mediaRecoveries: 0,
    lastError: null,
  };
  window.player = video;
  window.hls = null;
  window.stats = stats;

  const samples = [];
  // The multivariant playlist that is being played: it names the session.
  let playing = null;
  // A picture of it was shown since it was started.
  let hasShown = false;
  // Its playlists have ended: nothing follows what they list.
  let isOver = false;
  // Its media playlist at the last look of a page whose picture stands still.
  let listed = null;
  let pollMs = POLL_MS_MIN;
  let mediaErrorAt = -Infinity;
  let progressAt = performance.now();
  let progressTime = -1;
  let checkedStuckAt = 0;

  function enter(next, text) {
    stats.state = next;
    state.textContent = next;
    state.className = `state ${next}`;
    message.textContent = text || '';
    message.hidden = !text;
  }

  // --- waiting

  /** { status, text } of a playlist, the multivariant one by itself; status 0 when the server cannot be reached. */
  async function ask(url = source) {
    try {
      const response = await fetch(url, { cache: 'no-store' });
      return { status: response.status, text: response.ok ? await response.text() : '' };
    } catch {
      return { status: 0, text: '' };
    }
  }

  function waitingFor(status) {
    if (status === 404) return `Waiting for ${name}: nobody publishes it, or its first segments are not complete yet.`;
    if (status === 0) return 'The server cannot be reached. Trying again.';
    return `The server answers ${status}. Trying again.`;
  }

  /** Polls until there is a session that is not `past`, then plays it. `past` is one that has ended, or null. */
  async function wait(past) {
    const { status, text } = await ask();
    if (status === 200 && text !== past) {
      pollMs = POLL_MS_MIN;
      start(text);
    } else if (past !== null) {
      waitForAnother(past);
    } else {
      enter('waiting', waitingFor(status));
      setTimeout(wait, pollMs, null);
      // Somebody who waits for a stream to begin is answered soon; a server that is away is not hammered.
      pollMs = status === 404 ? 2 * POLL_MS_MIN : Math.min(2 * pollMs, POLL_MS_MAX);
    }
  }

  /** Looks again later, and only while somebody looks at the page: it may stay open for days. */
  function waitForAnother(past) {
    setTimeout(() => {
      if (!document.hidden) wait(past);
      else document.addEventListener('visibilitychange', () => wait(past), { once: true });
    }, POLL_MS_ENDED);
  }

  /** The playlists have ended. Who was watching sees the rest; who comes too late is not shown it as if it were live. */
  function over() {
    if (!playing || isOver) return;
    isOver = true;
    if (!hasShown) conclude();
  }

  /** Everything was shown, or nothing is to be. */
  function conclude() {
    const past = playing;
    stop();
    enter('ended', `${name} has ended. This page plays it as soon as somebody publishes it again.`);
    waitForAnother(past);
  }

  function restart(reason) {
    stop();
    stats.restarts += 1;
    stats.lastError = reason;
    enter('waiting', 'The stream was interrupted. Trying again.');
    setTimeout(wait, pollMs, null);
    pollMs = Math.min(2 * pollMs, POLL_MS_MAX);
  }

  function stop() {
    playing = null;
    if (window.hls) window.hls.destroy();
    window.hls = null;
    video.removeAttribute('src');
    video.load();
  }

  // --- playing

  function start(text) {
    playing = text;
    [hasShown, isOver, listed] = [false, false, null];
    progressAt = performance.now();
    progressTime = -1;
    enter('starting', 'Starting …');
    if (!playsNatively() && window.Hls && window.Hls.isSupported()) {
      stats.engine = 'hls.js';
      startHls(window.Hls);
    } else if (video.canPlayType(HLS_TYPE)) {
      stats.engine = 'native';
      video.src = source;
    } else {
      const script = window.Hls ? 'this browser has no Media Source Extensions' : 'the player script could not be loaded';
      enter('waiting', `This browser cannot play the stream: ${script}.`);
      return;
    }
    video.play().catch((error) => {
      if (error.name === 'NotAllowedError' && playing === text) enter('starting', 'Press play to start.');
    });
  }

  /**
   * True where the browser's own player is Apple's, which is to be preferred. Others play HLS by themselves as well,
   * but not at low latency; and WebKit on other systems names the same vendor.
   */
  function playsNatively() {
    const isApple = navigator.vendor.startsWith('Apple') && /^(Mac|iP)/.test(navigator.platform);
    return isApple && video.canPlayType(HLS_TYPE) !== '';
  }

  // Latency settings stay at their defaults. Playlists are asked for longer than by default, so that neither
  // a pause of the encoder nor a restart of the server ends playback; but one that is gone (404) is not: the
  // session is another then, and the multivariant playlist names it.
  function playlistPolicy() {
    const retry = {
      maxNumRetry: 10,
      retryDelayMs: 500,
      maxRetryDelayMs: 2000,
      shouldRetry: (config, count, isTimeout, response) =>
        count < config.maxNumRetry && (isTimeout || !response || response.code === 0 || response.code >= 500),
    };
    return {
      default: {
        maxTimeToFirstByteMs: 10000,
        maxLoadTimeMs: 20000,
        timeoutRetry: { ...retry, retryDelayMs: 0, maxRetryDelayMs: 0 },
        errorRetry: retry,
      },
    };
  }

  function startHls(Hls) {
    const hls = new Hls({ playlistLoadPolicy: playlistPolicy() });
    window.hls = hls;
    hls.on(Hls.Events.FRAG_LOADED, (_, { part }) => {
      if (part) stats.parts += 1;
      else stats.segments += 1;
    });
    hls.on(Hls.Events.LEVEL_LOADED, (_, { details }) => {
      // Not from inside the event: whoever hears it next would find a player that is no more.
      if (!details.live) setTimeout(() => window.hls === hls && over());
    });
    hls.on(Hls.Events.ERROR, (_, error) => {
      stats.lastError = error.details;
      if (!error.fatal) return;
      const now = performance.now();
      if (error.type === Hls.ErrorTypes.MEDIA_ERROR && now - mediaErrorAt > MEDIA_ERROR_AGAIN_MS) {
        mediaErrorAt = now;
        stats.mediaRecoveries += 1;
        hls.recoverMediaError();
      } else {
        restart(error.details);
      }
    });
    hls.loadSource(source);
    hls.attachMedia(video);
  }

  video.addEventListener('playing', () => {
    if (!playing) return;
    pollMs = POLL_MS_MIN;
    hasShown = true;
    enter('playing');
  });
  video.addEventListener('waiting', () => {
    if (stats.state !== 'playing' || video.seeking || video.paused) return;
    stats.stalls += 1;
    enter('stalled');
  });
  video.addEventListener('ended', () => {
    if (playing) conclude();
  });
  video.addEventListener('durationchange', () => {
    // hls.js gives a live stream a length as well.
    if (stats.engine === 'native' && Number.isFinite(video.duration)) over();
  });
  video.addEventListener('error', () => {
    // hls.js reports and recovers its own.
    if (stats.engine === 'native' && playing) restart(video.error ? video.error.message : 'error');
  });

  /** The playlist of the first variant; relative to the multivariant one. */
  function mediaPlaylist(multivariant) {
    const path = multivariant.split('\n').find((line) => line && !line.startsWith('#'));
    return new URL(path, new URL(source, location.href));
  }

  /** A frozen picture can be the end, a pause of the encoder, or a session that is no more. */
  async function checkStuck(now) {
    if (!playing || video.paused || video.currentTime !== progressTime) {
      progressTime = video.currentTime;
      progressAt = now;
      return;
    }
    const stuckMs = now - progressAt;
    if (isOver) {
      if (stuckMs >= STUCK_OVER_MS) conclude();
      return;
    }
    if (stuckMs < STUCK_CHECK_MS || now - checkedStuckAt < STUCK_CHECK_MS / 2) return;
    checkedStuckAt = now;
    const asked = playing;
    const { status, text } = await ask();
    const media = status === 200 && text === asked ? await ask(mediaPlaylist(text)) : null;
    if (playing !== asked || video.currentTime !== progressTime) return;
    // 503 is for those who come anew: a full house, say.
    if (status === 503) return;
    if (media === null || media.status !== 200) {
      restart('stuck');
    } else if (media.text.includes('#EXT-X-ENDLIST')) {
      conclude();
    } else if (media.text !== listed && stuckMs >= STUCK_RESTART_MS) {
      restart('stuck');
    } else {
      listed = media.text;
      enter(stats.state, 'The picture stands still: no new pictures come from the encoder.');
    }
  }

  // --- sound, and the way back to live

  function showButtons() {
    unmute.hidden = !video.muted || stats.state === 'ended';
    const late = stats.latency - (stats.targetLatency ?? 0);
    toLive.hidden = !(stats.state === 'playing' && stats.latency !== null && late > FAR_BEHIND_S);
  }
  unmute.addEventListener('click', () => {
    video.muted = false;
    if (video.volume === 0) video.volume = 1;
    video.play().catch(() => { video.muted = true; });
  });
  toLive.addEventListener('click', () => {
    const seekable = video.seekable;
    const live = window.hls ? window.hls.liveSyncPosition : seekable.length && seekable.end(seekable.length - 1);
    if (live) video.currentTime = live;
    video.play().catch(() => { /* the controls are there */ });
  });
  video.addEventListener('volumechange', showButtons);

  // --- figures

  function bufferedAhead() {
    const { buffered, currentTime } = video;
    for (let i = 0; i < buffered.length; i++) {
      if (buffered.start(i) <= currentTime + 0.1 && currentTime < buffered.end(i)) return buffered.end(i) - currentTime;
    }
    return 0;
  }

  /** Unix milliseconds of the picture that is shown, by EXT-X-PROGRAM-DATE-TIME; null when unknown. */
  function programDate() {
    if (window.hls) return window.hls.playingDate ? window.hls.playingDate.getTime() : null;
    const start = video.getStartDate ? video.getStartDate().getTime() : NaN;
    return Number.isNaN(start) ? null : start + video.currentTime * 1000;
  }

  function measure() {
    const onAir = stats.state === 'playing' || stats.state === 'stalled';
    const quality = video.getVideoPlaybackQuality ? video.getVideoPlaybackQuality() : null;
    stats.buffer = bufferedAhead();
    stats.droppedFrames = quality ? quality.droppedVideoFrames : 0;
    stats.frames = quality ? quality.totalVideoFrames : 0;
    const shown = onAir ? programDate() : null;
    stats.behindClock = shown === null ? null : (Date.now() - shown) / 1000;
    if (window.hls) {
      stats.latency = onAir && !isOver ? window.hls.latency : null;
      stats.targetLatency = window.hls.targetLatency;
    } else {
      stats.latency = isOver ? null : stats.behindClock;
      stats.targetLatency = null;
    }
  }

  const seconds = (value) => (value === null || Number.isNaN(value) ? '–' : `${value.toFixed(2)} s`);
  function show() {
    const fields = {
      latency: seconds(stats.latency),
      target: seconds(stats.targetLatency),
      behind: seconds(stats.behindClock),
      buffer: seconds(stats.buffer),
      stalls: stats.stalls,
      dropped: `${stats.droppedFrames} of ${stats.frames}`,
      parts: stats.parts,
      restarts: stats.restarts,
    };
    for (const [id, value] of Object.entries(fields)) document.getElementById(id).textContent = value;
  }

  /** Latency over the last two minutes, with the target as a broken line. */
  function draw() {
    const canvas = document.getElementById('graph');
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    const context = canvas.getContext('2d');
    context.scale(ratio, ratio);
    const style = getComputedStyle(main);
    const known = samples.filter((sample) => sample !== null);
    const top = Math.max(2, Math.ceil(1.2 * Math.max(0, stats.targetLatency || 0, ...known)));
    const y = (value) => height - 2 - (height - 4) * value / top;

    context.font = '12px system-ui, sans-serif';
    context.fillStyle = style.getPropertyValue('--quiet');
    context.fillText(`${top} s`, 6, 15);
    context.fillText('0 s', 6, height - 6);
    if (stats.targetLatency) {
      context.strokeStyle = style.getPropertyValue('--quiet');
      context.setLineDash([4, 4]);
      context.beginPath();
      context.moveTo(0, y(stats.targetLatency));
      context.lineTo(width, y(stats.targetLatency));
      context.stroke();
      context.setLineDash([]);
    }
    context.strokeStyle = style.getPropertyValue('--accent');
    context.lineWidth = 2;
    context.beginPath();
    let pen = false;
    samples.forEach((sample, index) => {
      const x = width * (GRAPH_SAMPLES - samples.length + index + 1) / GRAPH_SAMPLES;
      if (sample !== null) context[pen ? 'lineTo' : 'moveTo'](x, y(sample));
      pen = sample !== null;
    });
    context.stroke();
  }

  function tick() {
    measure();
    samples.push(stats.latency);
    if (samples.length > GRAPH_SAMPLES) samples.shift();
    show();
    draw();
    showButtons();
    checkStuck(performance.now());
  }

  setInterval(tick, TICK_MS);
  tick();
  wait(null);
})();
