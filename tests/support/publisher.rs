//! ffmpeg as a publisher: a test picture and a sine, in real time.

use super::http::{Client, resolve};
use super::playlist::{Multivariant, parse_multivariant};
use super::{Collected, poll_until, signal};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// What is published.
#[derive(Debug, Clone)]
pub struct Source {
    /// The program: Debian's ffmpeg unless said otherwise.
    pub program: String,
    /// Frames per second, as ffmpeg takes it: `30`, `30000/1001`.
    pub fps: &'static str,
    pub gop_frames: u32,
    pub b_frames: u32,
    pub size: &'static str,
    pub video: bool,
    pub audio: bool,
    pub audio_rate_hz: u32,
    /// `-re`; a file is written as fast as it can be.
    pub real_time: bool,
    /// Ends by itself after this much media.
    pub seconds: Option<f64>,
    /// Output options before the URL.
    pub extra: Vec<String>,
}

impl Default for Source {
    fn default() -> Self {
        Self {
            program: "ffmpeg".to_owned(),
            fps: "30",
            gop_frames: 30,
            b_frames: 0,
            size: "320x180",
            video: true,
            audio: true,
            audio_rate_hz: 48_000,
            real_time: true,
            seconds: None,
            extra: Vec::new(),
        }
    }
}

impl Source {
    /// Publishes to an `rtmp://` or `rtmps://` URL, or writes a file.
    pub fn publish(&self, url: &str) -> Publisher {
        let pace: &[&str] = if url.starts_with("rtmp") && self.real_time { &["-re"] } else { &[] };
        let mut command = Command::new(&self.program);
        command.args(["-hide_banner", "-nostats", "-loglevel", "warning"]);
        if self.video {
            let picture = format!("testsrc2=size={}:rate={}", self.size, self.fps);
            command.args(pace).args(["-f", "lavfi", "-i", &picture]);
        }
        if self.audio {
            let sound = format!("sine=frequency=440:sample_rate={}", self.audio_rate_hz);
            command.args(pace).args(["-f", "lavfi", "-i", &sound]);
        }
        if self.video {
            let gop = self.gop_frames.to_string();
            command.args(["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-b:v", "400k"]);
            command.args(["-g", &gop, "-keyint_min", &gop, "-sc_threshold", "0"]);
            command.args(["-bf", &self.b_frames.to_string()]);
        }
        if self.audio {
            command.args(["-c:a", "aac", "-b:a", "64k"]);
        }
        if let Some(seconds) = self.seconds {
            command.args(["-t", &seconds.to_string()]);
        }
        command.args(&self.extra).args(["-f", "flv", url]);
        Publisher::start(command)
    }
}

/// A publishing process; killed when dropped.
pub struct Publisher {
    child: Child,
    output: Collected,
}

impl Publisher {
    /// Runs any encoder.
    pub fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let output = Collected::start(child.stderr.take().expect("its stderr is a pipe"));
        Self { child, output }
    }

    /// SIGINT, on which ffmpeg and gst-launch say goodbye to the server, and waits for the end.
    pub fn stop(&mut self) {
        if self.is_running() {
            signal(self.child.id(), "INT");
        }
        if self.wait(Duration::from_secs(10)).is_none() {
            self.kill();
        }
    }

    /// SIGKILL: the connection just ends.
    pub fn kill(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGSTOP: the connection stays and says nothing.
    pub fn freeze(&self) {
        signal(self.child.id(), "STOP");
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        signal(self.child.id(), "CONT");
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    pub fn wait(&mut self, within: Duration) -> Option<ExitStatus> {
        poll_until(within, || self.child.try_wait().ok().flatten())
    }

    /// What it wrote to stderr.
    pub fn log(&self) -> String {
        self.output.text()
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- log of the publisher\n{}---", self.log());
        }
    }
}

/// A stream that plays: its multivariant playlist, and the paths of its media playlists.
pub struct Playable {
    pub multivariant: Multivariant,
    pub media_paths: Vec<String>,
}

/// Asks for a multivariant playlist until there is one.
///
/// # Panics
/// With the last answer when there is none in time, or with what is wrong with it.
pub fn wait_until_playable(http: &str, path: &str, within: Duration) -> Playable {
    let mut client = Client::connect(http).expect("the server accepts a connection");
    let mut last = String::new();
    let answer = poll_until(within, || {
        let response = client.get(path).unwrap_or_else(|error| panic!("{path}: {error}"));
        last = format!("{} {}", response.status, response.text());
        (response.status == 200).then_some(response)
    });
    let text = answer.unwrap_or_else(|| panic!("{path} is not playable: {last}")).text();
    let multivariant =
        parse_multivariant(&text).unwrap_or_else(|violations| panic!("{path}: {violations:?}\n{text}"));
    let media_paths = multivariant.media_uris().into_iter().map(|uri| resolve(path, uri)).collect();
    Playable { multivariant, media_paths }
}
