//! From seconds to figures: what was measured, what it cost, and whether it may be believed.

use std::collections::BTreeMap;

use super::Settings;
use super::watched::{Reading, Watched};
use crate::address::printable;
use crate::clock;
use crate::engine::WorkerSecond;
use crate::measure::{Counter, Measure, Meter};
use crate::net::USER_AGENT;
use crate::report::{Distribution, FaultCount, REPORT_FORMAT, Report, Second, ViewerRow, figures_of};
use crate::scenario::Scenario;
use crate::worker::ViewerFigures;

/// A second that lasted less says nothing.
const SECOND_US_MIN: u64 = 50_000;

/// What has been measured so far.
pub struct Totals {
    watched: Watched,
    began_us: u64,
    began_unix_ms: u64,
    /// End of the last second.
    last_us: u64,
    last: Reading,
    last_cpu_us: Vec<u64>,
    /// Server's memory before the first viewer.
    empty_bytes: Option<u64>,
    timeline: Vec<Second>,
    /// What each viewer saw.
    viewers: Vec<ViewerFigures>,
    /// Why the server's cost, or the server, is no longer there.
    server_gone: Option<String>,
    /// From the beginning, for what happens once.
    whole: Measure,
    measured: Measured,
}

/// Of the measured seconds alone.
#[derive(Default)]
struct Measured {
    measure: Measure,
    time_us: u64,
    server_cpu_us: Option<u64>,
    /// The server's memory at the end of them.
    resident_bytes: Option<u64>,
    own_cpu_us: u64,
    /// By worker.
    worker_cpu_us: Vec<u64>,
    /// Share of the machine's processors, summed over time.
    machine_busy_us: f64,
    /// Summed over time.
    viewer_us: u64,
    publisher_us: u64,
}

impl Totals {
    /// Nothing yet.
    pub fn new(watched: Watched) -> Self {
        let now_us = clock::monotonic_us();
        Self {
            watched,
            began_us: now_us,
            began_unix_ms: clock::unix_us() / 1000,
            last_us: now_us,
            last: Reading::default(),
            last_cpu_us: Vec::new(),
            empty_bytes: None,
            timeline: Vec::new(),
            viewers: Vec::new(),
            server_gone: None,
            whole: Measure::default(),
            measured: Measured::default(),
        }
    }

    /// The server's memory now is that without viewers.
    pub fn viewers_begin(&mut self) {
        self.empty_bytes = self.last.server.map(|server| server.resident_bytes);
    }

    /// The server is no longer there.
    pub fn server_ended(&mut self, reason: String) {
        self.server_gone.get_or_insert(reason);
    }

    /// True when there is no server to measure.
    pub fn has_server_ended(&self) -> bool {
        self.server_gone.is_some()
    }

    /// Adds what is known only at the end.
    pub fn end(&mut self, ends: Vec<WorkerSecond>) {
        for end in ends {
            // The others saw the same last second.
            self.whole.append(&end.measure);
            self.viewers.extend(end.viewers);
        }
    }

    /// Adds what was measured since the last time; returns the second, if it was one.
    pub fn add(&mut self, measure: &Measure, worker_cpu_us: &[u64], is_measured: bool) -> Option<&Second> {
        let now_us = clock::monotonic_us();
        let time_us = now_us - self.last_us;
        let reading = self.watched.read().unwrap_or_else(|error| {
            self.server_ended(format!("the server cannot be watched any more: {error}"));
            self.watched.read_own()
        });
        let before = std::mem::replace(&mut self.last, reading);
        let cpu_before = std::mem::replace(&mut self.last_cpu_us, worker_cpu_us.to_vec());
        self.last_us = now_us;
        let server_cpu_us =
            reading.server.zip(before.server).map(|(now, before)| since(now.cpu_us, before.cpu_us));
        let own_cpu_us = since(reading.own.cpu_us, before.own.cpu_us);
        self.whole.append_second(measure);
        if is_measured {
            self.measured.add(measure, time_us, &reading, &before, &self.last_cpu_us, &cpu_before);
        }
        if time_us < SECOND_US_MIN || (before.own.cpu_us == 0 && self.timeline.is_empty()) {
            return None;
        }
        let latency = measure.meter(Meter::LatencyNewest);
        let percentile = |percent: f64| {
            (!latency.is_empty()).then(|| latency.value_at_quantile(percent / 100.0) as f64 / 1000.0)
        };
        let cores = |cpu_us: u64| cpu_us as f64 / time_us as f64;
        self.timeline.push(Second {
            at_s: (now_us - self.began_us) as f64 / 1e6,
            measured: is_measured,
            viewers: measure.viewers,
            publishers: measure.publishers,
            requests: measure.count(Counter::Requests),
            received_bytes: measure.count(Counter::ReceivedBytes),
            sent_bytes: measure.count(Counter::SentBytes),
            latency_p50_ms: percentile(50.0),
            latency_p99_ms: percentile(99.0),
            stalls: measure.count(Counter::Stalls),
            faults: measure.faults_count(),
            own_lateness_p99_ms: measure.meter(Meter::OwnLateness).value_at_quantile(0.99) as f64 / 1000.0,
            server_cores: server_cpu_us.map(cores),
            own_cores: cores(own_cpu_us),
        });
        self.timeline.last()
    }

    /// The report of all that was measured.
    pub fn report(self, scenario: &Scenario, settings: &Settings, interrupted: bool) -> Report {
        let figures = self.measured.figures(&self.whole, self.empty_bytes);
        let mut void = void(scenario, &figures);
        void.extend(self.server_gone);
        let expectations = scenario.expect.iter().map(|expect| expect.judge(&figures)).collect();
        let measure = &self.measured.measure;
        let histograms = Meter::ALL.iter().filter_map(|meter| {
            let of = if meter.is_of_whole_run() { &self.whole } else { measure };
            let histogram = of.meter(*meter);
            (!histogram.is_empty())
                .then(|| (meter.name().to_owned(), Distribution::from_histogram(histogram)))
        });
        let faults = self.whole.faults.iter().map(|(kind, (count, examples))| {
            (kind.name().to_owned(), FaultCount { count: *count, examples: examples.clone() })
        });
        Report {
            format: REPORT_FORMAT,
            tool: USER_AGENT.to_owned(),
            title: scenario.title.clone(),
            began_unix_ms: self.began_unix_ms,
            measured_s: self.measured.time_us as f64 / 1e6,
            interrupted,
            void,
            expectations,
            settings: settings_of(scenario, settings),
            histograms: histograms.collect(),
            faults: faults.collect(),
            viewers: worst_first(&self.viewers),
            figures,
            timeline: self.timeline,
        }
    }
}

/// Viewers as the report has them: those who stood still longest first, then those who waited longest.
fn worst_first(viewers: &[ViewerFigures]) -> Vec<ViewerRow> {
    let ms = |us: u64| us as f64 / 1000.0;
    let mut rows: Vec<ViewerRow> = viewers
        .iter()
        .map(|viewer| ViewerRow {
            number: viewer.number,
            stream: viewer.stream.clone(),
            mode: viewer.mode.to_owned(),
            join_ms: viewer.join_us.map(ms),
            stayed_s: ms(viewer.stayed_us) / 1000.0,
            parts: viewer.parts,
            parts_skipped: viewer.parts_skipped,
            stalls: viewer.stalls,
            stalled_s: ms(viewer.stalled_us) / 1000.0,
            faults: viewer.faults,
            latency_max_ms: ms(viewer.latency_max_us),
        })
        .collect();
    let rank =
        |row: &ViewerRow| (row.join_ms.is_none(), row.stalled_s, row.faults as f64, row.latency_max_ms);
    rows.sort_by(|one, other| rank(other).partial_cmp(&rank(one)).unwrap_or(std::cmp::Ordering::Equal));
    rows
}

fn since(now: u64, before: u64) -> u64 {
    now.saturating_sub(before)
}

impl Measured {
    fn add(
        &mut self,
        measure: &Measure,
        time_us: u64,
        now: &Reading,
        before: &Reading,
        worker_cpu_us: &[u64],
        worker_cpu_before_us: &[u64],
    ) {
        self.measure.append_second(measure);
        self.time_us += time_us;
        self.viewer_us += measure.viewers * time_us;
        self.publisher_us += measure.publishers * time_us;
        if let (Some(now), Some(before)) = (now.server, before.server) {
            *self.server_cpu_us.get_or_insert(0) += since(now.cpu_us, before.cpu_us);
            self.resident_bytes = Some(now.resident_bytes);
        }
        self.own_cpu_us += since(now.own.cpu_us, before.own.cpu_us);
        self.machine_busy_us += now.machine.busy_since(before.machine) * time_us as f64;
        self.worker_cpu_us.resize(worker_cpu_us.len(), 0);
        for (index, cpu_us) in worker_cpu_us.iter().enumerate() {
            let before_us = worker_cpu_before_us.get(index).copied().unwrap_or(*cpu_us);
            self.worker_cpu_us[index] += since(*cpu_us, before_us);
        }
    }

    fn figures(&self, whole: &Measure, empty_bytes: Option<u64>) -> BTreeMap<String, f64> {
        let mut figures = BTreeMap::new();
        if self.time_us == 0 {
            return figures;
        }
        let time_s = self.time_us as f64 / 1e6;
        let measure = &self.measure;
        for meter in Meter::ALL {
            let of = if meter.is_of_whole_run() { whole } else { measure };
            figures.extend(figures_of(meter.name(), of.meter(*meter)));
        }
        // The figure that is asked for first has the shortest names.
        for name in ["p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms"] {
            if let Some(value) = figures.get(&format!("latency_newest_{name}")).copied() {
                figures.insert(name.to_owned(), value);
            }
        }
        for counter in Counter::ALL {
            let of = if counter.is_of_whole_run() { whole } else { measure };
            figures.insert(counter.name().to_owned(), of.count(*counter) as f64);
        }
        // Seconds are read by people, and expected of.
        for (from, to) in [("stalled_us", "stalled_s"), ("watched_us", "watched_s")] {
            if let Some(value) = figures.remove(from) {
                figures.insert(to.to_owned(), value / 1e6);
            }
        }
        let mut put = |name: &str, value: f64| figures.insert(name.to_owned(), value);
        let viewers = self.viewer_us as f64 / self.time_us as f64;
        let requests = measure.count(Counter::Requests) as f64;
        put("measured_s", time_s);
        put("viewers", viewers);
        put("publishers", self.publisher_us as f64 / self.time_us as f64);
        // Whenever they were: a ramp is no excuse.
        put("faults", whole.faults_count() as f64);
        put("requests_per_s", requests / time_s);
        put("received_mbit_s", measure.count(Counter::ReceivedBytes) as f64 * 8.0 / 1e6 / time_s);
        put("sent_mbit_s", measure.count(Counter::SentBytes) as f64 * 8.0 / 1e6 / time_s);
        let watched_us = measure.count(Counter::WatchedUs);
        if watched_us > 0 {
            put("stalled_share", measure.count(Counter::StalledUs) as f64 / watched_us as f64);
        }
        let frames = measure.count(Counter::FramesSent);
        if frames > 0 {
            put("late_sends_percent", measure.count(Counter::LateSends) as f64 * 100.0 / frames as f64);
        }
        let own_us = self.own_cpu_us as f64;
        put("own_cores", own_us / self.time_us as f64);
        let busiest_us = self.worker_cpu_us.iter().max().copied().unwrap_or(0);
        put("own_core_percent", busiest_us as f64 * 100.0 / self.time_us as f64);
        put("machine_percent", self.machine_busy_us * 100.0 / self.time_us as f64);
        if requests > 0.0 {
            put("own_us_per_request", own_us / requests);
            put("own_cores_per_10k_requests_s", own_us / requests * 10_000.0 / 1e6);
        }
        if let Some(server_us) = self.server_cpu_us.map(|cpu_us| cpu_us as f64) {
            put("server_cores", server_us / self.time_us as f64);
            if requests > 0.0 {
                put("server_cpu_us_per_request", server_us / requests);
            }
            if viewers > 0.0 {
                put("server_cpu_ms_per_viewer_minute", server_us / 1e3 / (viewers * time_s / 60.0));
            }
        }
        if let Some(resident_bytes) = self.resident_bytes {
            put("server_rss_mib", resident_bytes as f64 / 1024.0 / 1024.0);
            if let Some(empty_bytes) = empty_bytes.filter(|_| viewers > 0.0) {
                let grown_kib = (resident_bytes as f64 - empty_bytes as f64) / 1024.0;
                put("server_rss_kib_per_viewer", grown_kib / viewers);
            }
        }
        figures
    }
}

/// Why a run does not count: what it found may be the doing of this tool or of the machine.
fn void(scenario: &Scenario, figures: &BTreeMap<String, f64>) -> Vec<String> {
    let limits = &scenario.limits;
    let beyond = |figure: &str, limit: f64, unit: &str, what: &str| {
        let found = figures.get(figure).copied().filter(|found| *found > limit)?;
        Some(format!("{what}: {found:.1} {unit}, {limit} are allowed"))
    };
    let checks = [
        beyond(
            "own_lateness_p99_ms",
            limits.own_lateness_p99_ms,
            "ms",
            "the load generator's timers were late, 99th percentile",
        ),
        beyond("own_core_percent", limits.own_core_percent, "%", "a worker had no processor time left"),
        beyond("machine_percent", limits.machine_percent, "%", "the machine had no processor time left"),
        beyond("late_sends_percent", limits.late_sends_percent, "%", "publishers sent frames late"),
        beyond("own_errors", 0.0, "times", "this host had no descriptor or port left"),
        beyond(
            "received_before_sent",
            0.0,
            "parts",
            "the clocks of publisher and viewer are apart: parts came before they were sent",
        ),
    ];
    let mut void: Vec<String> = checks.into_iter().flatten().collect();
    if figures.is_empty() {
        void.push("nothing was measured: it ended before a measured phase".to_owned());
    }
    void
}

fn settings_of(scenario: &Scenario, settings: &Settings) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut put = |name: String, value: String| found.insert(name, value);
    put("seed".to_owned(), scenario.seed.to_string());
    if let Some(server) = &scenario.server {
        put("server.arguments".to_owned(), server.arguments.join(" "));
    }
    if let Some(workers) = settings.workers {
        put("workers".to_owned(), workers.to_string());
    }
    for (index, group) in scenario.publish.iter().enumerate() {
        let source = match &group.clip {
            Some(clip) => clip.display().to_string(),
            None => format!(
                "{}{}",
                if group.video {
                    format!(
                        "{}x{} {}/{} fps {} kbit/s, GOP of {} frames, {} B-frames",
                        group.width,
                        group.height,
                        group.fps.numerator,
                        group.fps.denominator,
                        group.video_kbit_s,
                        group.gop_frames,
                        group.b_frames
                    )
                } else {
                    "no picture".to_owned()
                },
                if group.audio {
                    format!(", AAC {} Hz {} kbit/s", group.sample_rate, group.audio_kbit_s)
                } else {
                    ", no sound".to_owned()
                }
            ),
        };
        let url = printable(&group.url);
        put(format!("publish.{index}"), format!("{} streams to {url}: {source}", group.streams));
        if group.drop_every_s > 0.0 {
            put(format!("publish.{index}.drop_every_s"), group.drop_every_s.to_string());
            put(format!("publish.{index}.away_s"), group.away_s.to_string());
        }
    }
    for (index, group) in scenario.watch.iter().enumerate() {
        let url = printable(&group.url);
        let version = match group.http {
            crate::net::HttpVersion::Http1 => "1.1",
            crate::net::HttpVersion::Http2 => "2",
        };
        put(
            format!("watch.{index}"),
            format!(
                "{} viewers of {} streams at {url}: mode {}, HTTP/{version}, gzip {}, {} % verified",
                group.viewers, group.streams, group.mode, group.gzip, group.verify_percent
            ),
        );
        for (name, value) in [
            ("line_kbit_s", f64::from(group.line_kbit_s)),
            ("stay_s", group.stay_s),
            ("vanish_percent", group.vanish_percent),
            ("pause_every_s", group.pause_every_s),
            ("pause_s", if group.pause_every_s > 0.0 { group.pause_s } else { 0.0 }),
        ] {
            if value > 0.0 {
                put(format!("watch.{index}.{name}"), value.to_string());
            }
        }
    }
    for (index, phase) in scenario.phase.iter().enumerate() {
        let share =
            |percent: Option<f64>| percent.map_or("as before".to_owned(), |percent| format!("{percent} %"));
        put(
            format!("phase.{index}"),
            format!(
                "{}: {} s, publishers {}, viewers {}{}",
                phase.name,
                phase.seconds,
                share(phase.publishers_percent),
                share(phase.viewers_percent),
                if phase.measured { ", measured" } else { "" }
            ),
        );
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_of_the_measured_time() {
        let mut measured = Measured::default();
        let mut measure = Measure::default();
        (measure.viewers, measure.publishers) = (100, 2);
        measure.add(Counter::Requests, 2000);
        measure.add(Counter::StalledUs, 1_000_000);
        measure.add(Counter::WatchedUs, 100_000_000);
        measure.record_us(Meter::LatencyNewest, 40_000);
        let reading = |cpu_us, resident_bytes| Reading {
            server: Some(crate::cost::Cost { cpu_us, resident_bytes }),
            own: crate::cost::Cost { cpu_us: cpu_us / 2, resident_bytes: 0 },
            ..Reading::default()
        };
        let (before, now) = (reading(1_000_000, 0), reading(1_100_000, 1 << 20));
        measured.add(&measure, 1_000_000, &now, &before, &[30_000, 20_000], &[0, 0]);
        let figures = measured.figures(&measure, Some(1 << 19));
        let near = |name: &str, wanted: f64| {
            let found = figures[name];
            assert!((found - wanted).abs() < 0.02 * wanted.abs() + 1e-9, "{name}: {found}, {wanted} wanted");
        };
        near("p99_ms", 40.0);
        near("requests_per_s", 2000.0);
        near("server_cpu_ms_per_viewer_minute", 60.0);
        near("server_cpu_us_per_request", 50.0);
        near("server_rss_kib_per_viewer", 5.12);
        near("own_cores_per_10k_requests_s", 0.25);
        near("own_core_percent", 3.0);
        near("stalled_share", 0.01);
        near("stalled_s", 1.0);
        assert_eq!(figures["stalls"], 0.0);
    }
}
