//! Every figure of a run, as it stands in the JSON file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Format of the JSON; raised when a reader of the old one would go wrong.
pub const REPORT_FORMAT: u32 = 1;

/// One run, or as much of one as was measured when it was stopped.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`REPORT_FORMAT`].
    pub format: u32,
    /// Name and version of this tool.
    pub tool: String,
    /// What was run, for people: `watch http://...` or the scenario's name.
    pub title: String,
    /// Unix milliseconds when measuring began.
    pub began_unix_ms: u64,
    /// Seconds that were measured; ramps and warm-up are not among them.
    pub measured_s: f64,
    /// True when it was interrupted before its end.
    pub interrupted: bool,
    /// Why nothing here counts: the load generator or the machine was the bottleneck. Empty for a run that counts.
    pub void: Vec<String>,
    /// Each expectation, and whether it held.
    pub expectations: Vec<Expectation>,
    /// All settings, in the words of the command line or the scenario.
    pub settings: BTreeMap<String, String>,
    /// Every number by its name, units last: `p99_ms`, `stalls`, `server_cpu_ms_per_viewer_minute`.
    pub figures: BTreeMap<String, f64>,
    /// Whole distributions by name: `latency_newest`, `latency_oldest`, `spread`, `join`, `reload`, `part`.
    pub histograms: BTreeMap<String, Distribution>,
    /// Faults by their name; those that did not occur are left out.
    pub faults: BTreeMap<String, FaultCount>,
    /// What each viewer saw, over the whole run; the worst first.
    #[serde(default)]
    pub viewers: Vec<ViewerRow>,
    /// One entry a second.
    pub timeline: Vec<Second>,
}

/// One line of a scenario's `expect`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Expectation {
    /// As it was written: `p99_ms < 50`.
    pub text: String,
    /// What was found; `None` when the run has no such figure, which does not hold.
    pub found: Option<f64>,
    /// Whether it held.
    pub held: bool,
}

/// A distribution: enough of it to draw, and all of it to merge.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Distribution {
    /// Of the values below: "ms".
    pub unit: String,
    /// Values recorded.
    pub count: u64,
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
    /// Mean.
    pub mean: f64,
    /// Percentile (0 to 100, denser towards 100) and value, rising.
    pub percentiles: Vec<(f64, f64)>,
    /// The HdrHistogram itself in microseconds, V2 deflate, base64.
    pub hdr: String,
}

/// What one viewer saw.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ViewerRow {
    /// Its number in the run.
    pub number: u32,
    /// Path of what it watched.
    pub stream: String,
    /// How it played.
    pub mode: String,
    /// From when it was to join to its first picture; `None` when it never had one.
    pub join_ms: Option<f64>,
    /// How long it was there.
    pub stayed_s: f64,
    /// Parts and segments received.
    pub parts: u64,
    /// Parts that it should have had and did not.
    pub parts_skipped: u64,
    /// Times that its picture stood still.
    pub stalls: u64,
    /// How long in all.
    pub stalled_s: f64,
    /// Faults of its own requests.
    pub faults: u64,
    /// Newest frame of the part that was latest, from sent to received.
    pub latency_max_ms: f64,
}

/// How often one kind of fault occurred.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FaultCount {
    /// Occurrences.
    pub count: u64,
    /// The first few, in words.
    pub examples: Vec<String>,
}

/// What one second brought.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Second {
    /// Seconds since the run began, at the end of this one; ramp and warm-up are among them.
    pub at_s: f64,
    /// True when the second is inside what was measured.
    pub measured: bool,
    /// Viewers that play or try to, at its end.
    pub viewers: u64,
    /// Publishers that publish, at its end.
    pub publishers: u64,
    /// Answers received.
    pub requests: u64,
    /// Bytes received by viewers, heads included.
    pub received_bytes: u64,
    /// Bytes sent by publishers.
    pub sent_bytes: u64,
    /// Frame sent to received, newest frame of each part, median; `None` when nothing was received.
    pub latency_p50_ms: Option<f64>,
    /// 99th percentile.
    pub latency_p99_ms: Option<f64>,
    /// Stalls that began.
    pub stalls: u64,
    /// Faults of all kinds.
    pub faults: u64,
    /// How late the load generator itself was, 99th percentile.
    pub own_lateness_p99_ms: f64,
    /// Processor time of the server over this second, in cores; `None` when it is not watched.
    pub server_cores: Option<f64>,
    /// Processor time of the load generator over this second, in cores.
    pub own_cores: f64,
}
