//! Follows one media playlist as a player does, keeps every rule in sight and fetches all that is listed.

use crate::Target;
use crate::report::Report;
use crate::support::http::{Client, Response, resolve};
use crate::support::now_unix_ms;
use crate::support::playlist::{
    Media, Segment, Stage, Violation, Watcher, check_clock, check_delta, check_media, merge, parse_media,
};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Assertions that the checkers of `support::playlist` decide on every snapshot.
const CHECKED: [u8; 16] = [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15, 17, 19, 20];
/// How long before its end a promised retention is probed.
const PROBE_MARGIN: Duration = Duration::from_millis(300);

/// What an observer saw of one rendition.
#[derive(Default)]
pub struct Seen {
    pub path: String,
    pub violations: Vec<Violation>,
    pub snapshots_count: usize,
    pub deltas_count: usize,
    pub merges_count: usize,
    /// When each part was first listed, and its duration.
    pub parts: Vec<(Instant, Duration)>,
    /// When each segment was first listed as complete.
    pub closed_at: Vec<Instant>,
    pub fetched_count: usize,
    pub fetch_failures: Vec<String>,
    /// Complete segments whose every part was fetched.
    pub segments: Vec<SeenSegment>,
    pub bodies: HashMap<String, Vec<u8>>,
    pub part_probes: Vec<(String, u16)>,
    pub segment_probes: Vec<(String, u16)>,
    pub first_media_sequence: Option<u64>,
    pub target_duration: Duration,
    pub part_target: Duration,
}

/// A complete segment as it was listed, with the path of its init segment.
pub struct SeenSegment {
    pub segment: Segment,
    pub init_path: Option<String>,
    pub path: String,
    pub part_paths: Vec<String>,
}

struct Probe {
    due: Instant,
    path: String,
    of_part: bool,
}

/// Reloads until it is told to stop or the playlist has ended.
pub fn observe(target: &Target, path: &str, stop: &AtomicBool) -> Seen {
    let mut observer = Observer {
        seen: Seen { path: path.to_owned(), ..Seen::default() },
        watcher: Watcher::new(),
        playlists: target.client(),
        media: target.client(),
        full: target.client(),
        listed: HashMap::new(),
        probes: Vec::new(),
    };
    let mut reload = 0;
    let mut failures = 0;
    while !stop.load(Ordering::Relaxed) && failures < 3 {
        match observer.reload(reload % 2 == 1) {
            Ok(true) => failures = 0,
            Ok(false) => break,
            Err(text) => {
                failures += 1;
                observer.seen.fetch_failures.push(text);
                observer.playlists = target.client();
                observer.media = target.client();
                observer.full = target.client();
            }
        }
        reload += 1;
    }
    observer.seen.snapshots_count = observer.watcher.snapshots_count();
    observer.seen
}

struct Observer {
    seen: Seen,
    watcher: Watcher,
    playlists: Client,
    media: Client,
    full: Client,
    /// When each resource was first listed, by path.
    listed: HashMap<String, Instant>,
    probes: Vec<Probe>,
}

impl Observer {
    /// One reload and all that follows from it; false when the playlist has ended.
    fn reload(&mut self, delta: bool) -> Result<bool, String> {
        let target = self.next_target(delta);
        let response = self.playlists.get(&target).map_err(|error| format!("{target}: {error}"))?;
        if response.status != 200 {
            return Err(format!("{target}: {}", response.status));
        }
        let text = response.text();
        let before = self.watcher.held().cloned();
        let violations = self.watcher.see(&text);
        self.note(violations);
        let Some(held) = self.watcher.held().cloned() else {
            return Err(format!("{target}: not a playlist"));
        };
        self.note(check_clock(&held, now_unix_ms()));
        self.arrivals(before.as_ref(), &held, &response);
        self.fetch_new(&held)?;
        if let Ok(snapshot) = parse_media(&text)
            && snapshot.skip.is_some()
        {
            self.seen.deltas_count += 1;
            self.compare_with_full(before.as_ref(), &snapshot)?;
        } else if delta && before.is_some() && !held.ended {
            self.note(check_delta(&held, &held));
        }
        self.withdrawn(before.as_ref(), &held);
        self.probe()?;
        Ok(!held.ended)
    }

    fn next_target(&self, delta: bool) -> String {
        let path = &self.seen.path;
        let Some(held) = self.watcher.held() else { return path.clone() };
        let (msn, part) = match (held.last_complete(), held.last_part()) {
            (Some(complete), Some((msn, part))) if msn > complete => (msn, part + 1),
            (complete, _) => (complete.map_or(held.media_sequence, |complete| complete + 1), 0),
        };
        let skip = if delta { "&_HLS_skip=YES" } else { "" };
        format!("{path}?_HLS_msn={msn}&_HLS_part={part}{skip}")
    }

    /// A violation counts once for each text.
    fn note(&mut self, violations: Vec<Violation>) {
        for violation in violations {
            if !self.seen.violations.contains(&violation) {
                self.seen.violations.push(violation);
            }
        }
    }

    fn arrivals(&mut self, before: Option<&Media>, held: &Media, response: &Response) {
        self.seen.first_media_sequence.get_or_insert(held.media_sequence);
        self.seen.target_duration = Duration::from_secs(held.target_duration_s);
        self.seen.part_target = held.part_target.unwrap_or_default();
        let Some(before) = before else { return };
        let known: HashSet<&str> = before.parts().map(|(_, _, part)| part.uri.as_str()).collect();
        let new = held.parts().filter(|(_, _, part)| !known.contains(part.uri.as_str()));
        for (_, _, part) in new {
            self.seen.parts.push((response.complete_at, part.duration));
        }
        if held.last_complete() > before.last_complete() {
            self.seen.closed_at.push(response.complete_at);
        }
    }

    /// Everything that a playlist lists can be fetched when it arrives (38).
    fn fetch_new(&mut self, held: &Media) -> Result<(), String> {
        let mut init_path = None;
        for segment in held.all_segments() {
            if let Some(map) = &segment.map {
                let path = resolve(&self.seen.path, &map.uri);
                self.fetch_once(&path)?;
                init_path = Some(path);
            }
            let mut part_paths = Vec::new();
            for part in segment.parts.iter().filter(|part| !part.gap) {
                let path = resolve(&self.seen.path, &part.uri);
                self.fetch_once(&path)?;
                part_paths.push(path);
            }
            let Some(uri) = segment.uri.as_ref().filter(|_| !segment.gap) else { continue };
            let path = resolve(&self.seen.path, uri);
            if self.fetch_once(&path)? && !part_paths.is_empty() {
                let init_path = init_path.clone();
                self.seen.segments.push(SeenSegment {
                    segment: segment.clone(),
                    init_path,
                    path,
                    part_paths,
                });
            }
        }
        Ok(())
    }

    fn fetch_once(&mut self, path: &str) -> Result<bool, String> {
        if self.seen.bodies.contains_key(path) {
            return Ok(false);
        }
        let response = self.media.get(path).map_err(|error| format!("{path}: {error}"))?;
        self.seen.fetched_count += 1;
        // What stood in the first snapshot has been listed for a time that we do not know.
        if self.watcher.snapshots_count() > 1 {
            self.listed.insert(path.to_owned(), response.sent_at);
        }
        if response.status != 200 {
            self.seen.fetch_failures.push(format!("{path}: {}", response.status));
        }
        self.seen.bodies.insert(path.to_owned(), response.body);
        Ok(true)
    }

    /// Assertions 41 to 43 and 48, if the full playlist of the same snapshot can still be had.
    fn compare_with_full(&mut self, before: Option<&Media>, delta: &Media) -> Result<(), String> {
        let path = &self.seen.path;
        let response = self.full.get(path).map_err(|error| format!("{path}: {error}"))?;
        let full = match parse_media(&response.text()) {
            Ok(full) => full,
            Err(violations) => {
                self.note(violations);
                return Ok(());
            }
        };
        let position = |media: &Media| (media.last_complete(), media.last_part(), media.ended);
        // Reports change with the other renditions.
        let moved = full.reports.len() == delta.reports.len() && full.reports != delta.reports;
        if position(&full) != position(delta) || moved {
            return Ok(());
        }
        self.note(check_media(&full, Stage::WarmUp));
        self.note(check_delta(delta, &full));
        if let Some(Ok(merged)) = before.map(|before| merge(before, delta)) {
            let plain = |media: &Media| -> Vec<(u64, Option<String>, Option<Duration>)> {
                let fields =
                    |segment: &Segment| (segment.media_sequence, segment.uri.clone(), segment.duration);
                media.all_segments().map(fields).collect()
            };
            if plain(&merged) != plain(&full) {
                let text =
                    format!("the merged playlist is {:?}, the full one {:?}", plain(&merged), plain(&full));
                self.note(vec![Violation { assertion: 48, text }]);
            }
            self.seen.merges_count += 1;
        }
        Ok(())
    }

    /// Plans to ask for what was withdrawn shortly before its retention ends (54).
    fn withdrawn(&mut self, before: Option<&Media>, held: &Media) {
        let Some(before) = before else { return };
        let now = Instant::now();
        let still: HashSet<&str> = held.parts().map(|(_, _, part)| part.uri.as_str()).collect();
        let target = Duration::from_secs(held.target_duration_s);
        for (_, _, part) in before.parts().filter(|(_, _, part)| !still.contains(part.uri.as_str())) {
            let path = resolve(&self.seen.path, &part.uri);
            self.probes.push(Probe { due: now + target * 3 - PROBE_MARGIN, path, of_part: true });
        }
        let gone = before.segments.iter().filter(|segment| segment.media_sequence < held.media_sequence);
        for segment in gone.filter(|segment| !segment.gap) {
            let Some(uri) = &segment.uri else { continue };
            let path = resolve(&self.seen.path, uri);
            let Some(listed_at) = self.listed.get(&path) else { continue };
            let lifetime = segment.duration.unwrap_or_default() + before.complete_duration();
            self.probes.push(Probe { due: *listed_at + lifetime - PROBE_MARGIN, path, of_part: false });
        }
    }

    fn probe(&mut self) -> Result<(), String> {
        let now = Instant::now();
        let (due, later) = std::mem::take(&mut self.probes).into_iter().partition(|probe| probe.due <= now);
        self.probes = later;
        let due: Vec<Probe> = due;
        for probe in due {
            let response = self.media.get(&probe.path).map_err(|error| format!("{}: {error}", probe.path))?;
            let list = if probe.of_part { &mut self.seen.part_probes } else { &mut self.seen.segment_probes };
            list.push((probe.path, response.status));
        }
        Ok(())
    }
}

impl Seen {
    /// Reports what holds for any rendition.
    pub fn report(&self, report: &Report) {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        let evidence = format!("{name}, {} snapshots", self.snapshots_count);
        report.checked(&CHECKED, &self.violations, &evidence);
        if self.deltas_count > 0 {
            let evidence = format!("{name}, {} deltas, {} merged", self.deltas_count, self.merges_count);
            report.checked(&[41, 42, 43, 47, 48], &self.violations, &evidence);
        }
        let failures = &self.fetch_failures;
        let evidence = format!("{name}, {} fetched, failed: {failures:?}", self.fetched_count);
        report.expect(38, failures.is_empty() && self.fetched_count > 0, evidence);
    }

    /// Reports the cadence, for a steady publisher.
    pub fn report_cadence(&self, report: &Report, noise: Duration) {
        let mut gaps: Vec<Duration> = self.parts.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        gaps.sort();
        let p99 = percentile(&gaps, 99);
        let allowed = self.part_target + Duration::from_millis(50) + noise;
        let evidence = format!("p99 {p99:?} of {} gaps, {allowed:?} allowed", gaps.len());
        report.expect(39, gaps.len() > 10 && p99 <= allowed, evidence);
        let longest = self.closed_at.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default();
        let allowed = self.target_duration * 3 / 2 + noise;
        let evidence = format!("a segment after {longest:?} at most, {allowed:?} allowed");
        report.expect(39, longest > Duration::ZERO && longest <= allowed, evidence);
    }

    /// Reports what was still there when its promised time was nearly over.
    pub fn report_retention(&self, report: &Report) {
        for (what, probes) in [("parts", &self.part_probes), ("segments", &self.segment_probes)] {
            let missing: Vec<_> = probes.iter().filter(|(_, status)| *status != 200).collect();
            let evidence = format!("{} withdrawn {what} asked for, missing: {missing:?}", probes.len());
            report.expect(54, !probes.is_empty() && missing.is_empty(), evidence);
        }
    }
}

/// The value that `percent` of the sorted list do not exceed; zero of an empty one.
pub fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let index = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(index).copied().unwrap_or_default()
}
