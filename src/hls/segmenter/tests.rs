//! Publishers simulated from seeds; after each event the output is checked from the outside.

mod interleaving;

use super::super::plan::{LearntTrack, Plan, Wishes};
use super::*;
use crate::media::{Cadence, FrameRate, Placed, Timeline, Timescale};

const PRESETS: [Wishes; 3] = [
    Wishes { part_ms: 200, segment_ms: 1000 },
    Wishes { part_ms: 334, segment_ms: 2000 },
    Wishes { part_ms: 1000, segment_ms: 6000 },
];
const RATES: [(u32, u32); 10] = [
    (15, 1),
    (24_000, 1001),
    (24, 1),
    (25, 1),
    (30_000, 1001),
    (30, 1),
    (48, 1),
    (50, 1),
    (60_000, 1001),
    (60, 1),
];

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound.max(1)
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}

/// What the caller makes of the actions: parts and segments, checked as they come.
struct Caller {
    plan: Plan,
    segmenter: Segmenter,
    now: Now,
    renditions: Vec<Output>,
    /// Contiguous end of each track.
    ends: Vec<Option<u64>>,
    forced: u64,
    fills: u64,
}

#[derive(Default)]
struct Output {
    segments: Vec<Segment>,
    open: bool,
    /// Durations of samples in the open part.
    samples: Vec<u64>,
    held: bool,
    /// Parts sealed without samples.
    gaps: u64,
    /// The open segment's last sealed part, and whether it was under 85% without a waiver of its own.
    short: bool,
    /// Parts that may be seen in the playlist.
    listed: u64,
    sealed: u64,
    together: u64,
}

#[derive(Debug, Clone, Default)]
struct Segment {
    cut: u64,
    presentation_us: i64,
    independent: bool,
    forced: bool,
    discontinuity: bool,
    parts: Vec<u64>,
    closed: bool,
    duration_us: i64,
}

impl Caller {
    fn new(plan: Plan) -> Self {
        let count = plan.tracks.iter().map(|track| usize::from(track.rendition.0) + 1).max().unwrap();
        Self {
            segmenter: Segmenter::new(&plan),
            now: Now::default(),
            renditions: (0..count).map(|_| Output::default()).collect(),
            ends: vec![None; plan.tracks.len()],
            forced: 0,
            fills: 0,
            plan,
        }
    }

    fn track(&self, rendition: usize) -> &super::super::TrackPlan {
        let index = self.segmenter.renditions[rendition].measure;
        &self.plan.tracks[index]
    }

    fn at(&mut self, us: u64) {
        self.now = Now { monotonic_us: us.max(self.now.monotonic_us), unix_us: us };
        while let Some(deadline) = self.segmenter.deadline_us().filter(|&d| d <= self.now.monotonic_us) {
            self.segmenter.handle_time(Now { monotonic_us: deadline, unix_us: 0 });
            self.perform();
        }
    }

    /// A whole frame at once.
    fn frame(&mut self, track: usize, time: FrameTime, key: bool) {
        let id = TrackId(track as u8);
        for _ in 0..3 {
            let verdict = self.segmenter.frame_begins(id, time, key);
            self.perform();
            match verdict {
                Verdict::Discard => return,
                Verdict::Append(time) => {
                    self.append(track, time);
                    self.segmenter.frame_ends(id, self.now);
                    self.perform();
                    return;
                }
                Verdict::Fill { from, until } => self.fill(track, from, until),
            }
        }
        panic!("filled twice, and still a hole before {time:?}");
    }

    fn append(&mut self, track: usize, time: FrameTime) {
        assert!(time.duration > 0);
        if let Some(end) = self.ends[track] {
            assert_eq!(time.decode, end, "track {track} is not contiguous");
        }
        self.ends[track] = Some(time.end());
        let rendition = usize::from(self.plan.tracks[track].rendition.0);
        assert!(self.renditions[rendition].open, "a frame outside any segment");
        if self.segmenter.renditions[rendition].measure == track {
            self.renditions[rendition].samples.push(u64::from(time.duration));
        }
    }

    /// Audio: silent frames; video: gap parts.
    fn fill(&mut self, track: usize, from: u64, until: u64) {
        self.fills += 1;
        let plan = self.plan.tracks[track];
        if plan.kind == TrackKind::Audio {
            let duration = plan.cadence.frame_ticks();
            let mut decode = from;
            while decode + u64::from(duration) <= until {
                let time = FrameTime { decode, duration, composition_offset: 0 };
                self.frame(track, time, true);
                decode += u64::from(duration);
            }
        } else {
            self.segmenter.fill_gap(plan.track, until);
            self.ends[track] = self.segmenter.tracks[track].end;
            self.perform();
        }
    }

    fn close_all(&mut self) {
        self.segmenter.close_all(true);
        self.perform();
        for output in &self.renditions {
            assert!(!output.open && !output.held);
        }
        self.ends = vec![None; self.ends.len()];
        let last = |output: &Output| output.segments.last().map(|segment| segment.cut);
        assert!(self.renditions.iter().all(|output| last(output) == last(&self.renditions[0])));
    }

    fn perform(&mut self) {
        while let Some(action) = self.segmenter.poll_action() {
            self.apply(action);
        }
    }

    fn apply(&mut self, action: Action) {
        match action {
            Action::OpenSegment { rendition, cut, presentation_us, independent, forced, discontinuity } => {
                let output = &mut self.renditions[usize::from(rendition.0)];
                assert!(!output.open && output.samples.is_empty());
                assert_eq!(cut, output.segments.last().map_or(0, |last| last.cut + 1));
                self.forced += u64::from(forced);
                output.open = true;
                output.short = false;
                output.segments.push(Segment {
                    cut,
                    presentation_us,
                    independent,
                    forced,
                    discontinuity,
                    ..Segment::default()
                });
            }
            Action::Stretch { track, by_ticks } => {
                let index = usize::from(track.0);
                let rendition = usize::from(self.plan.tracks[index].rendition.0);
                *self.renditions[rendition].samples.last_mut().expect("a sample to stretch") +=
                    u64::from(by_ticks);
                self.ends[index] = self.ends[index].map(|end| end + u64::from(by_ticks));
            }
            Action::SealPart { rendition, duration_ticks, independent, listing } => {
                self.seal(usize::from(rendition.0), duration_ticks, independent, listing);
            }
            Action::ListPart { rendition } => {
                let output = &mut self.renditions[usize::from(rendition.0)];
                assert!(std::mem::take(&mut output.held));
                output.listed += 1;
            }
            Action::CloseSegment { rendition, with_held_part, .. } => {
                self.close(usize::from(rendition.0), with_held_part);
            }
            Action::Fill { track, from, until } => {
                assert!(until > from);
                self.fill(usize::from(track.0), from, until);
            }
        }
    }

    fn seal(&mut self, rendition: usize, duration: u64, independent: bool, listing: Listing) {
        let track = *self.track(rendition);
        let rate = u64::from(track.cadence.timescale().get());
        let target = u64::from(self.plan.part_target_ms);
        let output = &mut self.renditions[rendition];
        assert!(output.open && !output.held, "a part outside a segment, or over a held one");
        assert!(duration > 0);
        assert!(duration * 1000 <= target * rate, "{duration} ticks exceed {target} ms");
        let printed = format!("{:.5}", duration as f64 / rate as f64);
        assert!(printed.parse::<f64>().unwrap() <= target as f64 / 1000.0);
        let samples: u64 = output.samples.drain(..).sum();
        let gap = samples == 0;
        assert!(!output.short || gap, "a part under 85% that is neither its segment's last nor before a gap");
        assert!(gap || samples == duration, "the part says {duration}, its samples {samples}");
        output.gaps += u64::from(gap);
        output.short = duration * 100 * 1000 < 85 * target * rate && !independent && !gap;
        output.held = listing == Listing::Held;
        output.listed += u64::from(listing == Listing::Now);
        output.sealed += 1;
        output.segments.last_mut().unwrap().parts.push(duration);
    }

    fn close(&mut self, rendition: usize, with_held_part: bool) {
        let track = *self.track(rendition);
        let td = i64::from(self.plan.target_duration_s);
        let output = &mut self.renditions[rendition];
        assert!(output.open && output.samples.is_empty());
        assert_eq!(std::mem::take(&mut output.held), with_held_part);
        output.listed += u64::from(with_held_part);
        output.together += u64::from(with_held_part);
        assert_eq!(output.listed, output.sealed, "everything is listed when its segment closes");
        output.open = false;
        let segment = output.segments.last_mut().unwrap();
        segment.closed = true;
        assert!(!segment.parts.is_empty(), "an empty segment");
        let ticks: u64 = segment.parts.iter().sum();
        segment.duration_us = track.cadence.timescale().to_us_floor(ticks as i64);
        assert!(segment.duration_us < td * 1_000_000 + 500_000, "{segment:?} against {td} s");
    }

    /// Segments of the same number start within a part of one another, and dates agree with durations.
    fn check_alignment(&self) {
        let part_us = i64::from(self.plan.part_target_ms) * 1000 + 1;
        let leading = &self.renditions[self.segmenter.tracks[self.segmenter.cutting].rendition].segments;
        for output in &self.renditions {
            for (segment, lead) in output.segments.iter().zip(leading) {
                assert_eq!((segment.cut, segment.discontinuity), (lead.cut, lead.discontinuity));
                let off = segment.presentation_us - lead.presentation_us;
                assert!(off.abs() <= part_us, "segment {} is {off} us off", segment.cut);
            }
        }
    }
}

fn learnt(cadences: &[(TrackKind, Cadence)], muxed: bool) -> Vec<LearntTrack> {
    (0u8..)
        .zip(cadences)
        .map(|(index, &(kind, cadence))| LearntTrack {
            track: TrackId(index),
            rendition: RenditionId(if muxed { 0 } else { index }),
            kind,
            cadence,
        })
        .collect()
}

fn video_cadence((frames, seconds): (u32, u32)) -> Cadence {
    let rate = FrameRate::new(frames, seconds).unwrap();
    let dts: Vec<i64> = (0..300).map(|n| n * 1000 * i64::from(seconds) / i64::from(frames)).collect();
    Cadence::learn_video(&dts, &[rate])
}

fn audio_cadence(rate: u32) -> Cadence {
    Cadence::learn_audio(&[], Timescale::new(rate).unwrap(), 1024)
}

/// A publisher with exact encoder clocks and millisecond timestamps.
struct Publisher {
    rate: (u32, u32),
    audio_rate: Option<u32>,
    /// Of a frame of sound.
    audio_samples: u32,
    /// Frames of a group of pictures.
    keyint: u64,
    /// One frame in so many is a scene cut; 0 for none.
    scene_cut_in: u64,
    /// Frames of reordering.
    reorder: i64,
    /// One video frame in so many is missing; 0 for none.
    drop_in: u64,
    /// Timestamps are up to this much off, milliseconds.
    jitter_ms: u64,
    truncated: bool,
    first_ms: i64,
    muxed: bool,
    /// Sound is sent this long before the pictures of its time; behind them when negative.
    audio_ahead_us: i64,
}

impl Publisher {
    fn plain(rate: (u32, u32), audio_rate: Option<u32>, keyint: u64) -> Self {
        Self {
            rate,
            audio_rate,
            audio_samples: 1024,
            keyint,
            scene_cut_in: 0,
            reorder: 0,
            drop_in: 0,
            jitter_ms: 0,
            truncated: true,
            first_ms: 0,
            muxed: false,
            audio_ahead_us: 0,
        }
    }

    fn cadences(&self) -> Vec<(TrackKind, Cadence)> {
        let mut cadences = vec![(TrackKind::Video, video_cadence(self.rate))];
        let audio = |rate| Cadence::learn_audio(&[], Timescale::new(rate).unwrap(), self.audio_samples);
        cadences.extend(self.audio_rate.map(|rate| (TrackKind::Audio, audio(rate))));
        cadences
    }

    fn plan(&self, wishes: Wishes) -> Plan {
        let gop_ms = self.keyint * 1000 * u64::from(self.rate.1) / u64::from(self.rate.0);
        Plan::new(wishes, gop_ms as u32, &learnt(&self.cadences(), self.muxed)).unwrap()
    }

    /// Publishes for some seconds; the caller's checks run at each event.
    fn publish(&self, caller: &mut Caller, timeline: &mut Timeline, seconds: u64, random: &mut Random) {
        let (frames, per) = (u64::from(self.rate.0), u64::from(self.rate.1));
        let video_us = |n: u64| n * 1_000_000 * per / frames;
        let samples = u64::from(self.audio_samples);
        let audio_us = |n: u64| n * samples * 1_000_000 / u64::from(self.audio_rate.unwrap_or(1));
        let start_us = caller.now.monotonic_us;
        let (mut video, mut audio, mut since_key, mut gone) = (0u64, 0u64, 0u64, 0u64);
        while video_us(video) < seconds * 1_000_000 {
            let audio_sent_us = audio_us(audio) as i64 - self.audio_ahead_us;
            // Sound that came before the first picture is placed behind it.
            let is_audio = self.audio_rate.is_some() && video > 0 && audio_sent_us <= video_us(video) as i64;
            let at_us = if is_audio { audio_us(audio) } else { video_us(video) };
            let sent_us = if is_audio { audio_sent_us.max(0) as u64 } else { at_us };
            caller.at(start_us + sent_us + random.below(3000));
            let half = if self.truncated { 0 } else { 500 };
            let jitter = random.below(self.jitter_ms + 1) as i64;
            let dts_ms = self.first_ms + (at_us as i64 + half) / 1000 + jitter;
            if is_audio {
                audio += 1;
                self.place(caller, timeline, 1, dts_ms, 0, true);
                continue;
            }
            video += 1;
            let scene_cut = self.scene_cut_in > 0 && random.one_in(self.scene_cut_in) && since_key > 24;
            let key = video == 1 || since_key >= self.keyint || scene_cut;
            since_key = if key { 1 } else { since_key + 1 };
            if !key && self.drop_in > 0 && (random.one_in(self.drop_in) || gone % 4 > 0) {
                gone += 1;
                continue;
            }
            let cto_frames = if key || self.reorder == 0 {
                self.reorder
            } else {
                random.below(self.reorder as u64 * 2) as i64
            };
            let cto_ms = cto_frames * 1000 * i64::from(self.rate.1) / i64::from(self.rate.0);
            self.place(caller, timeline, 0, dts_ms, cto_ms as i32, key);
        }
    }

    fn place(&self, caller: &mut Caller, timeline: &mut Timeline, track: u8, dts: i64, cto: i32, key: bool) {
        match timeline.place(TrackId(track), dts, cto) {
            Placed::Now(time) => caller.frame(usize::from(track), time, key),
            Placed::Discard => {}
            Placed::Held { .. } => unreachable!("grids only"),
            Placed::Discontinuity => {
                caller.close_all();
                timeline.rebase(dts);
                let Placed::Now(time) = timeline.place(TrackId(track), dts, cto) else {
                    panic!("a frame at the anchor is not placed")
                };
                caller.frame(usize::from(track), time, key);
            }
        }
    }

    fn run(&self, wishes: Wishes, seconds: u64, seed: u64) -> (Caller, Timeline) {
        let mut caller = Caller::new(self.plan(wishes));
        let cadences: Vec<Cadence> = self.cadences().iter().map(|&(_, cadence)| cadence).collect();
        let mut timeline = Timeline::new(&cadences, self.first_ms);
        self.publish(&mut caller, &mut timeline, seconds, &mut Random(seed | 1 << 40));
        caller.check_alignment();
        (caller, timeline)
    }
}

#[test]
fn ten_minutes_of_every_rate_and_preset_keep_all_rules_and_predict_every_cut() {
    for rate in RATES {
        for audio_rate in [Some(44_100), Some(48_000), None] {
            for wishes in PRESETS {
                let keyint = u64::from(rate.0.div_ceil(rate.1)) * 2;
                let publisher = Publisher::plain(rate, audio_rate, keyint);
                let (caller, timeline) = publisher.run(wishes, 600, 7);
                let case = format!("{rate:?} {audio_rate:?} {wishes:?}");
                let findings = caller.segmenter.findings();
                assert_eq!((findings.forced_cuts, findings.parts_short, caller.fills), (0, 0, 0), "{case}");
                assert_eq!(timeline.repairs().missing_frames, 0, "{case}");
                let lead = &caller.renditions[0];
                assert!(lead.segments.iter().all(|segment| segment.independent), "{case}");
                // Every closed segment's last video part came with its EXTINF.
                assert_eq!(lead.together + 1, lead.segments.len() as u64, "{case}");
                let full = u64::from(caller.plan.tracks[0].frames_per_part)
                    * u64::from(caller.plan.tracks[0].cadence.frame_ticks());
                let odd = lead.segments.iter().flat_map(|s| s.parts.split_last().map_or(&[][..], |p| p.1));
                assert!(odd.into_iter().all(|&part| part == full), "{case}");
            }
        }
    }
}

#[test]
fn ten_minutes_of_scene_cuts_and_of_long_groups_keep_all_rules() {
    for rate in RATES {
        for wishes in PRESETS {
            for scene_cut_in in [0, 100, 40] {
                let mut publisher = Publisher::plain(rate, Some(48_000), 250);
                publisher.scene_cut_in = scene_cut_in;
                publisher.reorder = 2;
                let (caller, _) = publisher.run(wishes, 600, u64::from(rate.0) + scene_cut_in);
                let findings = caller.segmenter.findings();
                assert_eq!((findings.forced_cuts, findings.parts_short), (0, 0), "{rate:?} {wishes:?}");
                assert!(caller.renditions[0].segments.len() > 30);
            }
        }
    }
}

/// Blocks of FLAC and packets of E-AC-3 may be longer than half a segment of the preset, slow pictures too.
#[test]
fn frames_longer_than_half_a_segment_keep_all_rules() {
    for wishes in PRESETS {
        for (rate, keyint, audio_samples) in [
            ((30, 1), 60, 65_535),
            ((30, 1), 55, 65_535),
            ((30, 1), 60, 43 * 1536),
            ((30, 1), 300, 43 * 1536),
            ((1, 2), 1, 1024),
            ((1, 2), 5, 93 * 1024),
        ] {
            for (muxed, audio_ahead_us) in [(false, 0), (false, -1_500_000), (true, 0)] {
                let mut publisher = Publisher::plain(rate, Some(48_000), keyint);
                (publisher.audio_samples, publisher.muxed) = (audio_samples, muxed);
                publisher.audio_ahead_us = audio_ahead_us;
                let (mut caller, _) = publisher.run(wishes, 120, 5);
                caller.close_all();
                caller.check_alignment();
                assert!(caller.renditions[0].segments.len() > 7, "{rate:?} {audio_samples} {wishes:?}");
            }
        }
    }
}

#[test]
fn a_group_longer_than_the_target_is_cut_without_a_key_frame_and_counted() {
    let publisher = Publisher::plain((30, 1), Some(48_000), 60);
    let plan = publisher.plan(PRESETS[1]);
    let mut caller = Caller::new(plan);
    let long = Publisher::plain((30, 1), Some(48_000), 300);
    let mut timeline = Timeline::new(&[video_cadence((30, 1)), audio_cadence(48_000)], 0);
    long.publish(&mut caller, &mut timeline, 600, &mut Random(3));
    caller.check_alignment();
    let findings = caller.segmenter.findings();
    assert!(findings.forced_cuts > 200, "{findings:?}");
    assert_eq!(findings.parts_short, 0);
    for segment in &caller.renditions[0].segments {
        assert_eq!(segment.independent, !segment.forced);
    }
}

/// Predecessor's defect 4: cut by a ticker, not on key frames, and every EXTINF 1.000.
#[test]
fn defect_4_segments_begin_with_key_frames_and_last_as_long_as_their_samples() {
    let mut publisher = Publisher::plain((25, 1), Some(44_100), 48);
    publisher.scene_cut_in = 90;
    let (caller, _) = publisher.run(PRESETS[1], 120, 11);
    let segments = &caller.renditions[0].segments;
    assert!(segments.iter().all(|segment| segment.independent && !segment.forced));
    let durations: std::collections::BTreeSet<i64> =
        segments.iter().filter(|segment| segment.closed).map(|segment| segment.duration_us).collect();
    assert!(durations.len() > 3, "true durations differ: {durations:?}");
    for pair in segments.windows(2) {
        let between = pair[1].presentation_us - pair[0].presentation_us;
        assert!((between - pair[0].duration_us).abs() <= 1);
    }
}

#[test]
fn thousands_of_random_publishers_keep_all_rules_at_each_event() {
    let mut filled = 0;
    for seed in 1..=3000u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        for _ in 0..4 {
            random.below(2);
        }
        let rate = RATES[random.below(10) as usize];
        let audio_rate = [Some(44_100), Some(48_000), Some(22_050), None][random.below(4) as usize];
        let mut publisher = Publisher::plain(rate, audio_rate, 10 + random.below(300));
        publisher.scene_cut_in = random.below(3) * 60;
        publisher.reorder = random.below(4) as i64;
        publisher.drop_in = [0, 0, 200, 30][random.below(4) as usize];
        publisher.jitter_ms = [0, 0, 2, 8][random.below(4) as usize];
        publisher.truncated = random.one_in(2);
        publisher.first_ms = random.below(1 << 33) as i64;
        publisher.muxed = random.one_in(4);
        let wishes = PRESETS[random.below(3) as usize];
        let mut caller = Caller::new(publisher.plan(wishes));
        let cadences: Vec<Cadence> = publisher.cadences().iter().map(|&(_, cadence)| cadence).collect();
        let mut timeline = Timeline::new(&cadences, publisher.first_ms);
        for _ in 0..1 + random.below(3) {
            let before = caller.renditions[0].segments.len();
            publisher.publish(&mut caller, &mut timeline, 5 + random.below(20), &mut random);
            assert!(caller.renditions[0].segments.len() > before, "seed {seed}");
            // The publisher's clock leaps, or it goes and comes back.
            publisher.first_ms += [-50_000, 40_000, 3_600_000][random.below(3) as usize];
            if random.one_in(2) {
                caller.close_all();
                timeline.resume(&cadences, publisher.first_ms);
            }
        }
        caller.close_all();
        caller.check_alignment();
        filled += caller.fills;
        assert_eq!(caller.segmenter.findings().parts_short, 0, "seed {seed}");
    }
    assert!(filled > 0, "no simulation lost more than a part");
}

/// A caller at 30 frames a second and 48 kHz, TD 2, parts of 10 frames.
fn at_30_and_48k(muxed: bool) -> Caller {
    let mut publisher = Publisher::plain((30, 1), Some(48_000), 60);
    publisher.muxed = muxed;
    Caller::new(publisher.plan(PRESETS[1]))
}

fn video_frame(n: u64) -> FrameTime {
    FrameTime { decode: 90_000 + n * 3000, duration: 3000, composition_offset: 0 }
}

fn audio_frame(n: u64) -> FrameTime {
    FrameTime { decode: 48_000 + n * 1024, duration: 1024, composition_offset: 0 }
}

/// Both tracks from one frame of video to another; a track is silent where `silent` says so.
fn feed(caller: &mut Caller, frames: std::ops::Range<u64>, keyint: u64, silent: impl Fn(usize, u64) -> bool) {
    for n in frames {
        caller.at(n * 1_000_000 / 30);
        if !silent(0, n) {
            caller.frame(0, video_frame(n), n % keyint == 0);
        }
        let audio_from = (n * 1600).div_ceil(1024);
        for m in audio_from..((n + 1) * 1600).div_ceil(1024) {
            if !silent(1, n) {
                caller.frame(1, audio_frame(m), true);
            }
        }
    }
}

#[test]
fn a_track_that_falls_silent_is_continued_and_comes_back() {
    for muxed in [false, true] {
        for quiet in [0usize, 1] {
            let mut caller = at_30_and_48k(muxed);
            feed(&mut caller, 0..200, 60, |_, _| false);
            assert_eq!(caller.fills, 0);
            feed(&mut caller, 200..380, 60, |track, _| track == quiet);
            let lead = caller.ends[0].unwrap() * 1_000_000 / 90_000;
            let audio = caller.ends[1].unwrap() * 1_000_000 / 48_000;
            assert!(lead.abs_diff(audio) < 1_100_000, "{muxed} {quiet}: {lead} {audio}");
            feed(&mut caller, 380..600, 60, |_, _| false);
            caller.check_alignment();
            let gaps: u64 = caller.renditions.iter().map(|output| output.gaps).sum();
            assert_eq!(gaps > 0, quiet == 0, "silence for audio, GAP parts for video");
            caller.close_all();
            caller.check_alignment();
        }
    }
}

#[test]
fn a_part_before_a_predicted_cut_is_listed_with_its_segment_or_alone_in_time() {
    let mut caller = at_30_and_48k(false);
    feed(&mut caller, 0..120, 60, |_, _| false);
    assert!(caller.renditions[0].held);
    let held_until = caller.segmenter.deadline_us().unwrap();
    assert_eq!(held_until, caller.now.monotonic_us + 50_000 - 1, "1.5 frames of 33,333 us");
    // The key frame comes: one update for part, EXTINF and the hint.
    caller.frame(0, video_frame(120), true);
    assert_eq!(caller.renditions[0].segments.len(), 3);
    assert_eq!(caller.renditions[0].together, 2);
    assert_eq!(caller.segmenter.findings().held_in_vain, 0);

    // It does not come: listed alone, and the segment goes on.
    let mut caller = at_30_and_48k(false);
    feed(&mut caller, 0..120, 60, |_, _| false);
    caller.at(held_until);
    assert!(!caller.renditions[0].held && caller.segmenter.deadline_us().is_none());
    caller.frame(0, video_frame(120), true);
    assert_eq!(caller.renditions[0].together, 1, "then EXTINF is an update of its own");

    // A frame that is no key frame comes instead.
    let mut caller = at_30_and_48k(false);
    feed(&mut caller, 0..120, 60, |_, _| false);
    caller.frame(0, video_frame(120), false);
    assert_eq!(caller.segmenter.findings().held_in_vain, 1);
    assert_eq!(caller.renditions[0].segments.len(), 2);
}

#[test]
fn missing_frames_go_into_the_frames_around_them() {
    // 3 frames are missing in the middle of a part: the one before the hole takes them.
    let mut caller = at_30_and_48k(false);
    feed(&mut caller, 0..20, 60, |track, n| track == 0 && (14..17).contains(&n));
    assert_eq!(caller.renditions[0].segments[0].parts, [30_000, 30_000]);
    // Across a seal: what the first part has room for, and the rest in the frame after.
    let mut caller = at_30_and_48k(false);
    feed(&mut caller, 0..30, 60, |track, n| track == 0 && (17..23).contains(&n));
    assert_eq!(caller.renditions[0].segments[0].parts, [30_000, 30_000, 30_000]);
    assert_eq!((caller.fills, caller.segmenter.findings().stretched), (0, 1));
    // More than two parts can take: a gap.
    let mut caller = at_30_and_48k(false);
    feed(&mut caller, 0..40, 60, |track, n| track == 0 && (11..33).contains(&n));
    assert!(caller.renditions[0].gaps > 0 && caller.fills > 0);
}

#[test]
fn audio_alone_is_cut_at_the_target() {
    for rate in [44_100, 48_000] {
        for wishes in PRESETS {
            let cadence = audio_cadence(rate);
            let plan = Plan::new(wishes, 0, &learnt(&[(TrackKind::Audio, cadence)], false)).unwrap();
            let mut caller = Caller::new(plan);
            for n in 0..20_000u64 {
                caller.at(n * 1024 * 1_000_000 / u64::from(rate));
                let time = FrameTime { decode: n * 1024, duration: 1024, composition_offset: 0 };
                caller.frame(0, time, true);
            }
            let output = &caller.renditions[0];
            assert!(
                output.segments.len() as u64
                    > 20_000 * 1024 / u64::from(rate) / (u64::from(wishes.segment_ms) / 1000 + 1)
            );
            for segment in output.segments.iter().filter(|segment| segment.closed) {
                let over_us = segment.duration_us - i64::from(wishes.segment_ms) * 1000;
                assert!((0..24_000).contains(&over_us) && segment.independent);
            }
            assert_eq!(caller.segmenter.findings().held_in_vain, 0);
        }
    }
}

#[test]
fn parts_of_a_variable_rate_are_full_enough_too() {
    for seed in 1..200 {
        let mut random = Random(seed << 20 | 12345);
        let variable =
            Cadence::Variable { timescale: Timescale::VIDEO, typical_ticks: 3600, longest_ticks: 18_000 };
        let tracks = learnt(&[(TrackKind::Video, variable)], false);
        let mut caller = Caller::new(Plan::new(PRESETS[1], 2000, &tracks).unwrap());
        let mut decode = 90_000;
        for n in 0..2000 {
            let longest_ms = if random.one_in(50) { 700 } else { 200 };
            let duration = 90 * (1 + random.below(longest_ms)) as u32;
            caller.at(decode * 100 / 9);
            caller.frame(0, FrameTime { decode, duration, composition_offset: 0 }, n % 20 == 0);
            decode += u64::from(duration);
        }
        assert_eq!(caller.segmenter.findings().parts_short, 0, "seed {seed}");
    }
}

#[test]
fn nothing_begins_before_the_first_key_frame() {
    let mut caller = at_30_and_48k(false);
    for n in 0..10 {
        caller.frame(0, video_frame(n), false);
        caller.frame(1, audio_frame(n), true);
    }
    assert_eq!(caller.segmenter.findings().frames_discarded, 20);
    caller.segmenter.close_all(false);
    assert_eq!(caller.segmenter.poll_action(), None);
    feed(&mut caller, 11..80, 70, |_, _| false);
    for output in &caller.renditions {
        let begun_us = 1_000_000 + 70 * 100_000 / 3;
        assert_eq!(output.segments.len(), 1);
        assert!((0..22_000).contains(&(output.segments[0].presentation_us - begun_us)));
    }
}

#[test]
fn a_publisher_that_leaves_at_any_moment_leaves_equal_segments_behind() {
    for frames in 1..200 {
        for half_received in [None, Some(0u8), Some(1)] {
            let mut caller = at_30_and_48k(false);
            feed(&mut caller, 0..frames, 45, |_, _| false);
            if let Some(track) = half_received {
                let time = if track == 0 {
                    video_frame(frames)
                } else {
                    audio_frame((frames * 1600).div_ceil(1024))
                };
                caller.segmenter.frame_begins(TrackId(track), time, frames % 45 == 0);
                caller.perform();
            }
            caller.close_all();
            feed(&mut caller, frames + 45..frames + 120, 45, |_, _| false);
            caller.close_all();
            caller.check_alignment();
            assert!(caller.renditions[0].segments.iter().any(|segment| segment.discontinuity));
        }
    }
}
