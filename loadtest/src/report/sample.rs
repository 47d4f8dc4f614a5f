//! Reports for tests: one as a real run would leave it, and one full of hostile text.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::{
    latency::figures_of,
    model::{Distribution, Expectation, FaultCount, REPORT_FORMAT, Report, Second},
};

/// Seconds of ramp before anything is measured.
const RAMP_S: u64 = 20;
const MEASURED_S: u64 = 120;
const VIEWERS: u64 = 1000;

/// A ramp to 1,000 viewers, then two minutes with a bump of latency, a few stalls and faults.
pub(super) fn run() -> Report {
    shaped(1.0)
}

/// The same run with every latency and cost multiplied.
pub(super) fn shaped(slower: f64) -> Report {
    let mut random = Random(7);
    let mut newest = histogram();
    let mut oldest = histogram();
    let mut spread = histogram();
    let mut join = histogram();
    let mut reload = histogram();
    let mut part = histogram();
    let mut own = histogram();
    let mut timeline = Vec::new();
    for at in 1..=RAMP_S + MEASURED_S {
        let mut second = histogram();
        for _ in 0..400 {
            let tail = random.tail();
            let ms = slower * (24.0 + 10.0 * random.unit() + 6.0 * tail + bump(at) * (30.0 + 30.0 * tail));
            record(&mut second, ms);
            if at > RAMP_S {
                record(&mut newest, ms);
                record(&mut oldest, ms + 334.0 + 2.0 * tail);
                record(&mut part, slower * (0.6 + 0.4 * tail));
                record(&mut reload, 300.0 + 34.0 * random.unit() + slower * tail);
                record(&mut own, 0.03 + 0.02 * tail);
            }
        }
        if at > RAMP_S {
            record(&mut spread, slower * (3.0 + 2.0 * random.tail()));
        } else {
            for _ in 0..VIEWERS / RAMP_S {
                record(&mut join, slower * (30.0 + 12.0 * random.tail()));
            }
        }
        timeline.push(second_of(at, &second, slower));
    }
    let mut figures: BTreeMap<String, f64> = fixed_figures(slower);
    let histograms = [
        ("latency_newest", "", newest),
        ("latency_oldest", "latency_oldest", oldest),
        ("spread", "spread", spread),
        ("join", "join", join),
        ("reload", "reload", reload),
        ("part", "part", part),
        ("own_lateness", "own_lateness", own),
    ];
    for (_, name, histogram) in &histograms {
        figures.extend(figures_of(name, histogram));
    }
    let p99_ms = figures["p99_ms"];
    Report {
        format: REPORT_FORMAT,
        tool: "loadtest 0.1.0".into(),
        title: "watch http://127.0.0.1:8080/live/a/index.m3u8".into(),
        began_unix_ms: 1_795_793_041_000,
        measured_s: MEASURED_S as f64,
        expectations: vec![
            Expectation { text: "p99_ms < 250".into(), found: Some(p99_ms), held: p99_ms < 250.0 },
            Expectation { text: "stalls == 0".into(), found: Some(figures["stalls"]), held: false },
        ],
        settings: settings(),
        histograms: histograms
            .into_iter()
            .map(|(name, _, histogram)| (name.into(), Distribution::from_histogram(&histogram)))
            .collect(),
        figures,
        faults: faults(),
        timeline,
        ..Report::default()
    }
}

/// Every text of it tries to break out of a page or a terminal.
pub(super) fn hostile() -> Report {
    let texts = [
        "</script><script>alert(1)</script>",
        "<!--<script>",
        "\"'><img src=x onerror=alert(2)>",
        "]]>&lt;b&gt; \u{1b}[2J\u{202e}\u{2028}\0",
    ];
    let all = texts.join(" ");
    Report {
        format: REPORT_FORMAT,
        tool: all.clone(),
        title: all.clone(),
        void: vec![all.clone()],
        expectations: vec![Expectation { text: all.clone(), found: None, held: false }],
        settings: texts.iter().map(|text| ((*text).to_owned(), all.clone())).collect(),
        figures: BTreeMap::from([(all.clone(), 1.0)]),
        histograms: BTreeMap::from([(
            all.clone(),
            Distribution { unit: all.clone(), count: 1, hdr: all.clone(), ..Distribution::default() },
        )]),
        faults: BTreeMap::from([(all.clone(), FaultCount { count: 1, examples: vec![all] })]),
        ..Report::default()
    }
}

fn second_of(at: u64, latency: &Histogram<u64>, slower: f64) -> Second {
    let viewers = (VIEWERS * at / RAMP_S).min(VIEWERS);
    let load = viewers as f64 / VIEWERS as f64;
    // The publisher reconnects: for two seconds nothing is received.
    let away = (84..86).contains(&at);
    Second {
        at_s: at as f64 + 0.002,
        measured: at > RAMP_S,
        viewers,
        publishers: u64::from(!away),
        requests: if away { 0 } else { 6 * viewers },
        received_bytes: if away { 0 } else { viewers * 185_000 },
        sent_bytes: if away { 0 } else { 180_000 },
        latency_p50_ms: (!away).then(|| latency.value_at_percentile(50.0) as f64 / 1000.0),
        latency_p99_ms: (!away).then(|| latency.value_at_percentile(99.0) as f64 / 1000.0),
        stalls: match at {
            61 => 3,
            63 | 85 => 1,
            _ => 0,
        },
        faults: match at {
            61 => 4,
            62 => 2,
            86 => 1,
            _ => 0,
        },
        own_lateness_p99_ms: thousandths(0.1 + 0.3 * load + 0.8 * bump(at)),
        server_cores: Some(thousandths(0.02 + slower * load * (0.42 + 0.2 * bump(at)))),
        own_cores: thousandths(0.05 + 0.62 * load),
    }
}

/// As a measured number would be.
fn thousandths(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// Between 0 and 1, highest about second 62.
fn bump(at: u64) -> f64 {
    let from = (at as f64 - 62.0) / 3.0;
    (-from * from).exp()
}

fn fixed_figures(slower: f64) -> BTreeMap<String, f64> {
    let figures = [
        ("viewers", VIEWERS as f64),
        ("publishers", 1.0),
        ("requests", 714_000.0),
        ("requests_per_s", 5950.0),
        ("received_bytes", 21.83e9),
        ("received_mbit_s", 1455.3),
        ("parts", 354_000.0),
        ("segments", 0.0),
        ("reloads", 360_000.0),
        ("parts_verified", 35_400.0),
        ("parts_skipped", 0.0),
        ("stalls", 5.0),
        ("stalled_s", 1.92),
        ("stalled_share", 0.000_016),
        ("joins_failed", 0.0),
        ("faults", 7.0),
        ("server_cpu_ms_per_viewer_minute", 26.4 * slower),
        ("server_rss_kib_per_viewer", 41.7),
        ("server_cpu_us_per_request", 73.9 * slower),
        ("server_cores", 0.44 * slower),
        ("own_cores", 0.668),
        ("own_us_per_request", 112.3),
        ("own_cores_per_10k_requests_s", 1.123),
    ];
    figures.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn settings() -> BTreeMap<String, String> {
    let settings = [
        ("url", "http://127.0.0.1:8080/live/a/index.m3u8"),
        ("viewers", "1000"),
        ("ramp", "20s"),
        ("duration", "2m"),
        ("http", "1.1"),
        ("verify", "0.1"),
        ("tls_insecure", "false"),
        ("json", "run.json"),
        ("server_pid", "4711"),
    ];
    settings.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn faults() -> BTreeMap<String, FaultCount> {
    let fault = |count, examples: &[&str]| FaultCount {
        count,
        examples: examples.iter().map(|&text| text.into()).collect(),
    };
    BTreeMap::from([
        (
            "part_late".into(),
            fault(
                6,
                &[
                    "/live/a/video.m3u8: part 41.2 was listed 812 ms after part 41.1; PART-TARGET is 334 ms, 668 ms are \
                     allowed",
                    "/live/a/video.m3u8: part 41.3 was listed 701 ms after part 41.2; PART-TARGET is 334 ms, 668 ms are \
                     allowed",
                    "/live/a/audio.m3u8: part 41.2 was listed 690 ms after part 41.1; PART-TARGET is 334 ms, 668 ms are \
                     allowed",
                ],
            ),
        ),
        ("timeout".into(), fault(1, &["viewer 812: no whole answer to GET /live/a/video.m3u8 within 6 s"])),
    ])
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("bounds are in order")
}

fn record(histogram: &mut Histogram<u64>, ms: f64) {
    histogram.record((ms * 1000.0) as u64).expect("below a minute");
}

/// SplitMix64: the same numbers in every test.
struct Random(u64);

impl Random {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Exponential, mean 1.
    fn tail(&mut self) -> f64 {
        -(1.0 - self.unit()).ln()
    }
}
