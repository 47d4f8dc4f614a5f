//! The flags, and the scenario that each command makes of them.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use loadtest::address::printable;
use loadtest::net::{HttpVersion, Trust};
use loadtest::run::Settings;
use loadtest::scenario::{
    Expect, FrameRate, Limits, Modes, Phase, PublishGroup, Scenario, ScenarioError, WatchGroup,
};

/// Without a time, until it is interrupted.
const FOREVER_S: f64 = 86_400.0 * 7.0;

/// Load tests of RTMP and Low-Latency HLS servers.
#[derive(Debug, Parser)]
#[command(version, about = "Publishers and viewers that tell the truth about an RTMP and LL-HLS server")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Publish streams, each frame with the time of its sending inside
    Publish(PublishArguments),
    /// Watch streams as many players would, and measure how late every part is
    Watch(WatchArguments),
    /// Run a scenario: publishers and viewers, phases, expectations
    Run(RunArguments),
    /// Lay runs side by side
    Compare {
        /// JSON files of runs
        #[arg(required = true, num_args = 2..)]
        files: Vec<PathBuf>,
        /// Write one page of all of them
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
    },
}

/// Where a run happens.
#[derive(Debug, Args)]
pub struct HostArguments {
    /// Process of the server, on this host: its processor time and memory are reported
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,
    /// The server's metrics page, http://HOST:PORT/metrics, for the same
    #[arg(long, value_name = "URL")]
    metrics: Option<String>,
    /// Certificates in PEM to trust besides the system's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Trust any certificate
    #[arg(long)]
    insecure: bool,
    /// Worker threads [default: one for each processor]
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    /// Processors to pin workers to, such as 2,3 [default: all that are allowed]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    processors: Option<Vec<usize>>,
}

/// What is written.
#[derive(Debug, Args)]
pub struct Outputs {
    /// Write every figure
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write a page with pictures
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// No live line
    #[arg(long)]
    pub quiet: bool,
}

/// Which HTTP.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Http {
    /// HTTP/1.1
    #[value(name = "1.1")]
    Http1,
    /// HTTP/2
    #[value(name = "2")]
    Http2,
}

/// `publish`.
#[derive(Debug, Args)]
pub struct PublishArguments {
    /// rtmp://HOST/APP/KEY?token=TOKEN or rtmps://..., {n} standing for the stream's number
    url: String,
    /// How many streams
    #[arg(long, default_value_t = 1)]
    streams: u32,
    /// FLV or MP4 file with H.264 and AAC to send as it is, again and again
    #[arg(long, value_name = "FILE")]
    clip: Option<PathBuf>,
    /// Size of the built-in picture
    #[arg(long, default_value = "1280x720", value_name = "WIDTHxHEIGHT", value_parser = size)]
    size: (u32, u32),
    /// Frames a second: 30, 29.97, 30000/1001
    #[arg(long, default_value = "30")]
    fps: FrameRate,
    /// Bit rate of the picture
    #[arg(long, default_value_t = 2000, value_name = "KBIT")]
    video_kbit_s: u32,
    /// Frames from keyframe to keyframe [default: those of a second]
    #[arg(long, default_value_t = 0, hide_default_value = true, value_name = "FRAMES")]
    gop_frames: u32,
    /// B-frames in a row, 0 to 3
    #[arg(long, default_value_t = 0)]
    b_frames: u8,
    /// Bit rate of the sound
    #[arg(long, default_value_t = 128, value_name = "KBIT")]
    audio_kbit_s: u32,
    /// Samples a second of the sound
    #[arg(long, default_value_t = 48_000, value_name = "HZ")]
    sample_rate: u32,
    /// No sound
    #[arg(long)]
    no_audio: bool,
    /// No picture
    #[arg(long)]
    no_video: bool,
    /// Seconds to publish [default: until interrupted]
    #[arg(long, value_name = "S")]
    seconds: Option<f64>,
    /// Seconds over which the streams begin
    #[arg(long, default_value_t = 1.0, value_name = "S")]
    ramp_s: f64,
    /// Mean seconds after which a publisher's connection is cut without a word; 0 is never
    #[arg(long, default_value_t = 0.0, value_name = "S")]
    drop_every_s: f64,
    /// Seconds until it is back
    #[arg(long, default_value_t = 2.0, value_name = "S")]
    away_s: f64,
    /// Where.
    #[command(flatten)]
    pub host: HostArguments,
    /// What is written.
    #[command(flatten)]
    pub outputs: Outputs,
}

/// `watch`.
#[derive(Debug, Args)]
pub struct WatchArguments {
    /// http(s)://HOST/PATH.m3u8, {n} standing for the stream's number
    url: String,
    /// Streams that the viewers are spread over
    #[arg(long, default_value_t = 1)]
    streams: u32,
    /// How many viewers
    #[arg(long, default_value_t = 1)]
    viewers: u32,
    /// parts, hint, delta, segments, mix, or shares: parts=70,hint=30
    #[arg(long, default_value = "parts")]
    mode: Modes,
    /// Which HTTP: over TLS by ALPN, else by prior knowledge
    #[arg(long, value_enum, default_value = "1.1")]
    http: Http,
    /// Do not ask for compressed playlists
    #[arg(long)]
    no_gzip: bool,
    /// Share of the media that is read and checked besides one copy of everything, in percent
    #[arg(long, default_value_t = 1.0, value_name = "PERCENT")]
    verify_percent: f64,
    /// Line of each viewer; 0 is no limit
    #[arg(long, default_value_t = 0, value_name = "KBIT")]
    line_kbit_s: u32,
    /// Mean seconds that a viewer stays before another takes its place; 0 is to the end
    #[arg(long, default_value_t = 0.0, value_name = "S")]
    stay_s: f64,
    /// Of those who go, how many vanish without a word, in percent
    #[arg(long, default_value_t = 0.0, value_name = "PERCENT")]
    vanish_percent: f64,
    /// Mean seconds to a pause; 0 is never
    #[arg(long, default_value_t = 0.0, value_name = "S")]
    pause_every_s: f64,
    /// Seconds of a pause
    #[arg(long, default_value_t = 10.0, value_name = "S")]
    pause_s: f64,
    /// Seconds over which the viewers join
    #[arg(long, default_value_t = 2.0, value_name = "S")]
    ramp_s: f64,
    /// Seconds after that which do not count
    #[arg(long, default_value_t = 3.0, value_name = "S")]
    warm_up_s: f64,
    /// Seconds that are measured [default: until interrupted]
    #[arg(long, value_name = "S")]
    seconds: Option<f64>,
    /// Seconds to wait for a stream that is not there yet
    #[arg(long, default_value_t = 0.0, value_name = "S")]
    wait_s: f64,
    /// What must hold, such as "p99_ms < 50"; may be given several times
    #[arg(long = "expect", value_name = "EXPECTATION")]
    expect: Vec<Expect>,
    /// Of all that is random
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where.
    #[command(flatten)]
    pub host: HostArguments,
    /// What is written.
    #[command(flatten)]
    pub outputs: Outputs,
}

/// `run`.
#[derive(Debug, Args)]
pub struct RunArguments {
    /// A scenario in TOML
    scenario: PathBuf,
    /// Read the scenario, say whether it can be run, and end
    #[arg(long)]
    check: bool,
    /// Stands for {rtmp} in the scenario: HOST:PORT
    #[arg(long, value_name = "HOST:PORT")]
    rtmp: Option<String>,
    /// Stands for {http} in the scenario: HOST:PORT
    #[arg(long, value_name = "HOST:PORT")]
    http: Option<String>,
    /// Stands for {https} in the scenario: HOST:PORT; see --ca
    #[arg(long, value_name = "HOST:PORT")]
    https: Option<String>,
    /// Of all that is random [default: the scenario's]
    #[arg(long)]
    seed: Option<u64>,
    /// Where.
    #[command(flatten)]
    host: HostArguments,
    /// What is written.
    #[command(flatten)]
    pub outputs: Outputs,
}

impl HostArguments {
    /// As a run takes them.
    ///
    /// # Errors
    /// One line for people.
    pub fn settings(&self) -> Result<Settings, String> {
        if self.workers == Some(0) {
            return Err("--workers is 0: at least one is needed".to_owned());
        }
        Ok(Settings {
            trust: Trust { ca_file: self.ca.clone(), insecure: self.insecure },
            server_pid: self.server_pid,
            metrics: self.metrics.clone(),
            workers: self.workers.or(self.processors.as_ref().map(Vec::len)),
            processors: self.processors.clone(),
            ..Settings::default()
        })
    }
}

impl PublishArguments {
    /// As a scenario.
    ///
    /// # Errors
    /// [`ScenarioError`].
    pub fn scenario(&self) -> Result<Scenario, ScenarioError> {
        let group = PublishGroup {
            url: self.url.clone(),
            streams: self.streams,
            clip: self.clip.clone(),
            video: !self.no_video,
            width: self.size.0,
            height: self.size.1,
            fps: self.fps,
            video_kbit_s: self.video_kbit_s,
            gop_frames: self.gop_frames,
            b_frames: self.b_frames,
            audio: !self.no_audio,
            audio_kbit_s: self.audio_kbit_s,
            sample_rate: self.sample_rate,
            drop_every_s: self.drop_every_s,
            away_s: self.away_s,
        };
        let ramp = Phase { publishers_percent: Some(100.0), ..phase("ramp", self.ramp_s) };
        let publish = Phase { measured: true, ..phase("publish", self.seconds.unwrap_or(FOREVER_S)) };
        let scenario = Scenario {
            title: format!("publish {}", printable(&self.url)),
            publish: vec![group],
            phase: vec![ramp, publish],
            ..empty()
        };
        scenario.check()?;
        Ok(scenario)
    }
}

impl WatchArguments {
    /// As a scenario.
    ///
    /// # Errors
    /// [`ScenarioError`].
    pub fn scenario(&self) -> Result<Scenario, ScenarioError> {
        let group = WatchGroup {
            url: self.url.clone(),
            streams: self.streams,
            viewers: self.viewers,
            mode: self.mode.clone(),
            http: match self.http {
                Http::Http1 => HttpVersion::Http1,
                Http::Http2 => HttpVersion::Http2,
            },
            gzip: !self.no_gzip,
            verify_percent: self.verify_percent,
            line_kbit_s: self.line_kbit_s,
            stay_s: self.stay_s,
            vanish_percent: self.vanish_percent,
            pause_every_s: self.pause_every_s,
            pause_s: self.pause_s,
        };
        let ramp = Phase { viewers_percent: Some(100.0), ..phase("ramp", self.ramp_s) };
        let watch = Phase { measured: true, ..phase("watch", self.seconds.unwrap_or(FOREVER_S)) };
        let scenario = Scenario {
            title: format!("watch {}", printable(&self.url)),
            seed: self.seed,
            watch: vec![group],
            phase: vec![ramp, phase("warm-up", self.warm_up_s), watch],
            expect: self.expect.clone(),
            ..empty()
        };
        scenario.check()?;
        Ok(scenario)
    }

    /// As a run takes them.
    ///
    /// # Errors
    /// One line for people.
    pub fn settings(&self) -> Result<Settings, String> {
        let wait = Duration::try_from_secs_f64(self.wait_s).map_err(|_| "--wait-s is no time".to_owned())?;
        Ok(Settings { wait, ..self.host.settings()? })
    }
}

impl RunArguments {
    /// The scenario of the file.
    ///
    /// # Errors
    /// [`ScenarioError`].
    pub fn scenario(&self) -> Result<Scenario, ScenarioError> {
        let mut scenario = Scenario::read(&self.scenario)?;
        scenario.seed = self.seed.unwrap_or(scenario.seed);
        Ok(scenario)
    }

    /// True when the scenario is only to be read.
    pub fn is_check(&self) -> bool {
        self.check
    }

    /// As a run takes them.
    ///
    /// # Errors
    /// One line for people.
    pub fn settings(&self) -> Result<Settings, String> {
        let (rtmp, http, https) = (self.rtmp.clone(), self.http.clone(), self.https.clone());
        Ok(Settings { rtmp, http, https, ..self.host.settings()? })
    }
}

fn empty() -> Scenario {
    Scenario {
        title: String::new(),
        seed: 1,
        server: None,
        publish: Vec::new(),
        watch: Vec::new(),
        phase: Vec::new(),
        limits: Limits::default(),
        expect: Vec::new(),
    }
}

fn phase(name: &str, seconds: f64) -> Phase {
    Phase { name: name.to_owned(), seconds, publishers_percent: None, viewers_percent: None, measured: false }
}

fn size(text: &str) -> Result<(u32, u32), String> {
    let sides =
        text.split_once('x').and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
    sides.ok_or_else(|| format!("{text:?} is no size: 1280x720 is one"))
}
