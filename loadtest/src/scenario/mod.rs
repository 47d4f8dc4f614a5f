//! What a run consists of: publishers and viewers in groups, phases, and what is expected of the figures.
//!
//! The commands `publish` and `watch` make a scenario of their flags; `run` reads one from TOML. From there on
//! there is one way.

mod expect;
mod mode;

use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use expect::{Expect, ExpectError};
pub use mode::{Mode, Modes, ModesError};

use crate::net::HttpVersion;

/// Where an address has it, the run's server speaks TLS.
pub const HTTPS_PLACEHOLDER: &str = "{https}";

/// Publishers and viewers of one run.
const STREAMS_MAX: u32 = 100_000;
const VIEWERS_MAX: u32 = 1_000_000;

/// A run.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// For people.
    pub title: String,
    /// Of everything that is random: the same seed makes the same run.
    #[serde(default = "one")]
    pub seed: u64,
    /// A server to start; without it the run needs one that is there.
    pub server: Option<ServerSettings>,
    /// Who publishes.
    #[serde(default)]
    pub publish: Vec<PublishGroup>,
    /// Who watches.
    #[serde(default)]
    pub watch: Vec<WatchGroup>,
    /// What happens when, in order.
    pub phase: Vec<Phase>,
    /// When the run itself is not to be believed.
    #[serde(default)]
    pub limits: Limits,
    /// Of the figures: `p99_ms < 50`, `stalls == 0`.
    #[serde(default)]
    pub expect: Vec<Expect>,
}

/// RapidRTMP itself, started for the run on ports of its own.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerSettings {
    /// Its flags besides addresses.
    #[serde(default)]
    pub arguments: Vec<String>,
}

/// A group of publishers.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PublishGroup {
    /// `rtmp://HOST/APP/KEY`, with `{n}` where the stream's number goes.
    pub url: String,
    /// How many.
    pub streams: u32,
    /// An FLV or MP4 file to send as it is; without it the built-in source below.
    pub clip: Option<PathBuf>,
    /// Picture; false is sound alone.
    pub video: bool,
    /// Size of the picture.
    pub width: u32,
    /// Size of the picture.
    pub height: u32,
    /// Frames a second: `30`, `29.97`, `30000/1001`.
    pub fps: FrameRate,
    /// Bit rate of the picture.
    pub video_kbit_s: u32,
    /// Frames from keyframe to keyframe; 0 is a second's.
    pub gop_frames: u32,
    /// B-frames between two other frames.
    pub b_frames: u8,
    /// Sound; false is picture alone.
    pub audio: bool,
    /// Bit rate of the sound.
    pub audio_kbit_s: u32,
    /// Samples a second of the sound.
    pub sample_rate: u32,
    /// Mean seconds after which a publisher's connection is cut without a word; 0 is never.
    pub drop_every_s: f64,
    /// Seconds until it is back.
    pub away_s: f64,
}

impl Default for PublishGroup {
    fn default() -> Self {
        Self {
            url: String::new(),
            streams: 1,
            clip: None,
            video: true,
            width: 1280,
            height: 720,
            fps: FrameRate { numerator: 30, denominator: 1 },
            video_kbit_s: 2000,
            gop_frames: 0,
            b_frames: 0,
            audio: true,
            audio_kbit_s: 128,
            sample_rate: 48_000,
            drop_every_s: 0.0,
            away_s: 2.0,
        }
    }
}

/// A group of viewers.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WatchGroup {
    /// Address of the multivariant playlist, with `{n}` where the stream's number goes.
    pub url: String,
    /// Streams that they are spread over.
    pub streams: u32,
    /// How many.
    pub viewers: u32,
    /// What they do: one mode, or shares of several.
    pub mode: Modes,
    /// `"1.1"` or `"2"`.
    pub http: HttpVersion,
    /// Ask for compressed playlists, as players do.
    pub gzip: bool,
    /// Share of the media that is read and checked besides one copy of everything, in percent.
    pub verify_percent: f64,
    /// Line of each viewer; 0 is no limit.
    pub line_kbit_s: u32,
    /// Mean seconds that a viewer stays before another takes its place; 0 is to the end.
    pub stay_s: f64,
    /// Of those who go, how many do so without a word, their connections left open and unread, in percent.
    pub vanish_percent: f64,
    /// Mean seconds after which a viewer pauses; 0 is never.
    pub pause_every_s: f64,
    /// Seconds of a pause, in which nothing is asked for.
    pub pause_s: f64,
}

impl Default for WatchGroup {
    fn default() -> Self {
        Self {
            url: String::new(),
            streams: 1,
            viewers: 1,
            mode: Modes::default(),
            http: HttpVersion::Http1,
            gzip: true,
            verify_percent: 1.0,
            line_kbit_s: 0,
            stay_s: 0.0,
            vanish_percent: 0.0,
            pause_every_s: 0.0,
            pause_s: 10.0,
        }
    }
}

/// A stretch of time in which the numbers of publishers and viewers go evenly to where they are to be.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// For people.
    pub name: String,
    /// How long it lasts.
    pub seconds: f64,
    /// Share of all publishers that is there at its end, in percent; left out, it stays as it was.
    pub publishers_percent: Option<f64>,
    /// Share of all viewers that is there at its end, in percent; left out, it stays as it was.
    pub viewers_percent: Option<f64>,
    /// Whether its figures count.
    #[serde(default)]
    pub measured: bool,
}

/// Beyond these a run is void: what it found may be its own doing.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// The load generator's own timers, 99th percentile.
    pub own_lateness_p99_ms: f64,
    /// Processor time of its busiest worker, percent of a core.
    pub own_core_percent: f64,
    /// Processor time of the machine, percent of all cores.
    pub machine_percent: f64,
    /// Frames that were sent more than 10 ms late, percent of all.
    pub late_sends_percent: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            own_lateness_p99_ms: 10.0,
            own_core_percent: 90.0,
            machine_percent: 98.0,
            late_sends_percent: 1.0,
        }
    }
}

/// Frames a second as a fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "FrameRateText")]
pub struct FrameRate {
    /// Frames.
    pub numerator: u32,
    /// In this many seconds.
    pub denominator: u32,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum FrameRateText {
    Whole(u32),
    Decimal(f64),
    Text(String),
}

impl TryFrom<FrameRateText> for FrameRate {
    type Error = String;

    fn try_from(value: FrameRateText) -> Result<Self, String> {
        match value {
            FrameRateText::Whole(rate) => rate.to_string().parse(),
            FrameRateText::Decimal(rate) => rate.to_string().parse(),
            FrameRateText::Text(text) => text.parse(),
        }
    }
}

impl std::str::FromStr for FrameRate {
    type Err = String;

    /// `30`, `30000/1001`, or one of `23.976`, `29.97`, `59.94`, which mean the NTSC fractions.
    fn from_str(text: &str) -> Result<Self, String> {
        let ntsc = [("23.976", 24_000), ("29.97", 30_000), ("59.94", 60_000)];
        let (numerator, denominator) = match ntsc.iter().find(|(name, _)| *name == text) {
            Some((_, numerator)) => (*numerator, 1001),
            None => {
                let (numerator, denominator) = text.split_once('/').unwrap_or((text, "1"));
                match (numerator.parse(), denominator.parse()) {
                    (Ok(numerator), Ok(denominator)) => (numerator, denominator),
                    _ => return Err(format!("{text:?} is no frame rate: 30, 29.97 or 30000/1001 is one")),
                }
            }
        };
        let is_allowed = denominator > 0 && (denominator..=240 * denominator).contains(&numerator);
        if !is_allowed {
            return Err(format!("{text} frames a second: 1 to 240 are allowed"));
        }
        Ok(Self { numerator, denominator })
    }
}

/// A scenario that cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The file cannot be read.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: String,
        /// In the words of the system.
        reason: String,
    },
    /// It is no TOML, or holds what is not known.
    #[error("{path}: {reason}")]
    Syntax {
        /// The file.
        path: String,
        /// Line and what is wrong.
        reason: String,
    },
    /// A number outside of what makes sense.
    #[error("{what} is {found}: {allowed}")]
    Value {
        /// The key.
        what: String,
        /// Its value.
        found: String,
        /// What is allowed.
        allowed: &'static str,
    },
}

impl Scenario {
    /// From a TOML file.
    ///
    /// # Errors
    /// [`ScenarioError`], with the line.
    pub fn read(path: &Path) -> Result<Self, ScenarioError> {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|error| ScenarioError::File { path: shown.clone(), reason: error.to_string() })?;
        let scenario: Self = toml::from_str(&text)
            .map_err(|error| ScenarioError::Syntax { path: shown, reason: error.to_string() })?;
        scenario.check()?;
        Ok(scenario)
    }

    /// True when somebody watches over TLS wherever the run finds it.
    pub fn wants_https(&self) -> bool {
        self.watch.iter().any(|group| group.url.contains(HTTPS_PLACEHOLDER))
    }

    /// Sees that its numbers make sense.
    ///
    /// # Errors
    /// [`ScenarioError::Value`].
    pub fn check(&self) -> Result<(), ScenarioError> {
        let wrong = |what: &str, found: String, allowed| {
            Err(ScenarioError::Value { what: what.to_owned(), found, allowed })
        };
        if self.publish.is_empty() && self.watch.is_empty() {
            return wrong("[[publish]] and [[watch]]", "missing".to_owned(), "a run needs one of them");
        }
        if self.phase.is_empty() {
            return wrong("[[phase]]", "missing".to_owned(), "a run needs at least one");
        }
        if self.streams_count() > STREAMS_MAX {
            return wrong("streams", self.streams_count().to_string(), "at most 100000 in all");
        }
        if self.viewers_count() > VIEWERS_MAX {
            return wrong("viewers", self.viewers_count().to_string(), "at most 1000000 in all");
        }
        for group in &self.publish {
            if group.streams == 0 {
                return wrong("publish.streams", "0".to_owned(), "at least 1");
            }
            if !group.video && !group.audio && group.clip.is_none() {
                return wrong("publish.video and publish.audio", "false".to_owned(), "one of them is needed");
            }
        }
        for group in &self.watch {
            if group.streams == 0 {
                return wrong("watch.streams", "0".to_owned(), "at least 1");
            }
            for (what, percent) in [
                ("watch.verify_percent", group.verify_percent),
                ("watch.vanish_percent", group.vanish_percent),
            ] {
                if !(0.0..=100.0).contains(&percent) {
                    return wrong(what, percent.to_string(), "0 to 100 are allowed");
                }
            }
        }
        for phase in &self.phase {
            if !(0.0..=86_400.0 * 7.0).contains(&phase.seconds) {
                return wrong("phase.seconds", phase.seconds.to_string(), "0 to a week are allowed");
            }
            for percent in [phase.publishers_percent, phase.viewers_percent].into_iter().flatten() {
                if !(0.0..=100.0).contains(&percent) {
                    let what = "phase.publishers_percent and phase.viewers_percent";
                    return wrong(what, percent.to_string(), "0 to 100 are allowed");
                }
            }
        }
        Ok(())
    }

    /// Publishers in all.
    pub fn streams_count(&self) -> u32 {
        self.publish.iter().map(|group| group.streams).fold(0, u32::saturating_add)
    }

    /// Viewers in all.
    pub fn viewers_count(&self) -> u32 {
        self.watch.iter().map(|group| group.viewers).fold(0, u32::saturating_add)
    }

    /// Connections that it may have open at once.
    pub fn connections_max(&self) -> u64 {
        let of_viewers = self.watch.iter().map(|group| {
            let of_one = match group.http {
                HttpVersion::Http1 => HTTP1_CONNECTIONS_A_VIEWER,
                HttpVersion::Http2 => 1,
            };
            // Those that vanished are there a while longer.
            let goes_meanwhile = if group.stay_s > 0.0 { VANISHED_FOR_S / group.stay_s } else { 0.0 };
            let vanished = (goes_meanwhile * group.vanish_percent / 100.0 * f64::from(group.viewers)).ceil();
            (u64::from(group.viewers) + vanished as u64) * of_one
        });
        of_viewers.sum::<u64>() + u64::from(self.streams_count())
    }
}

/// A viewer that vanished keeps its connections open for this long: longer than servers wait for a request.
pub const VANISHED_FOR_S: f64 = 90.0;
/// Picture and sound: a reload and a part each.
const HTTP1_CONNECTIONS_A_VIEWER: u64 = 4;

fn one() -> u64 {
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"
        title = "all"
        expect = ["p99_ms < 50", "stalls == 0"]
        [[publish]]
        url = "rtmp://{rtmp}/live/a{n}"
        streams = 2
        fps = 29.97
        [[watch]]
        url = "http://{http}/live/a{n}/index.m3u8"
        streams = 2
        viewers = 10
        mode = { parts = 70, hint = 30 }
        http = "2"
        [[phase]]
        name = "steady"
        seconds = 5
        viewers_percent = 100
        measured = true
    "#;

    fn parse(text: &str) -> Result<Scenario, String> {
        let scenario: Scenario = toml::from_str(text).map_err(|error| error.to_string())?;
        scenario.check().map_err(|error| error.to_string())?;
        Ok(scenario)
    }

    #[test]
    fn a_whole_scenario_is_read() {
        let scenario = parse(WHOLE).unwrap();
        assert_eq!((scenario.streams_count(), scenario.viewers_count(), scenario.seed), (2, 10, 1));
        assert_eq!(scenario.publish[0].fps, FrameRate { numerator: 30_000, denominator: 1001 });
        assert_eq!(scenario.watch[0].http, HttpVersion::Http2);
        assert_eq!(scenario.connections_max(), 12);
    }

    #[test]
    fn what_is_not_known_or_makes_no_sense_is_refused() {
        for (from, to, what) in [
            ("streams = 2", "strems = 2", "strems"),
            ("streams = 2", "streams = 0", "at least 1"),
            ("fps = 29.97", "fps = 0", "1 to 240"),
            ("fps = 29.97", "fps = 'fast'", "no frame rate"),
            ("seconds = 5", "seconds = -5", "phase.seconds"),
            ("viewers_percent = 100", "viewers_percent = 101", "0 to 100"),
            ("hint = 30", "hunt = 30", "hunt"),
            ("http = \"2\"", "http = \"3\"", "unknown variant"),
            ("p99_ms < 50", "p99_ms ~ 50", "p99_ms ~ 50"),
        ] {
            let error = parse(&WHOLE.replacen(from, to, 1)).unwrap_err();
            assert!(error.contains(what), "{to}: {error}");
        }
    }
}
