//! Clocks of publishers over days: they outgrow 24 bits, wrap, and drift. Decode times stay contiguous, sound and
//! pictures within a frame of one another, and dates do not step.

use super::harness::{SAFE, Simulation, settings};
use super::support::encoder::{Encoder, Message, audio_config};
use super::support::mp4;
use super::wire::{Chunks, Wire};
use rapidrtmp::hls::{EventBody, Part, SessionStart, Wishes};
use rapidrtmp::media::MediaRef;
use rapidrtmp::origin::home::HomeSettings;
use std::cmp::Reverse;

/// An encoder whose sound and pictures are counted by clocks of their own. Every frame holds its timestamp.
#[derive(Debug, Clone, Copy)]
struct Source {
    fps: u64,
    hz: u64,
    first_ms: u64,
    /// How much faster than the timestamps' clock the sound's samples are counted, parts per million.
    audio_ppm: i64,
    /// The same of the pictures.
    video_ppm: i64,
    /// How much faster than the server's clock the timestamps' is.
    clock_ppm: i64,
    seconds: u64,
}

/// As OBS on a usual machine.
const SOURCE: Source =
    Source { fps: 30, hz: 48_000, first_ms: 0, audio_ppm: 0, video_ppm: 0, clock_ppm: 0, seconds: 20 };

const SAMPLES: u64 = 1024;
const GOP_S: u64 = 2;
const STAMP_BYTES: usize = 7;

/// No byte of it is 0.
fn stamp(timestamp_ms: u64) -> [u8; STAMP_BYTES] {
    std::array::from_fn(|index| 0x80 | (timestamp_ms >> (7 * index)) as u8)
}

fn stamped(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |stamp, byte| stamp << 7 | u64::from(byte & 0x7f))
}

fn slower(us: u64, ppm: i64) -> u64 {
    us.saturating_add_signed(-(us as i64 / 1000 * ppm / 1000))
}

impl Source {
    fn configurations(self) -> [Message; 2] {
        let encoder = Encoder { fps: Some((self.fps as u32, 1)), ..Encoder::default() };
        let avc = [&[0x17, 0, 0, 0, 0], &encoder.avc_config()[..]].concat();
        let aac = [&[0xaf, 0], &audio_config(self.hz as u32)[..]].concat();
        let timestamp_ms = self.first_ms as u32;
        [(true, avc), (false, aac)].map(|(video, body)| Message { at_us: 0, video, timestamp_ms, body })
    }

    fn message(self, video: bool, index: u64) -> Message {
        let (counted_us, ppm) = if video {
            (index * 1_000_000 / self.fps, self.video_ppm)
        } else {
            (index * SAMPLES * 1_000_000 / self.hz, self.audio_ppm)
        };
        let clock_us = slower(counted_us, ppm);
        let at_ms = self.first_ms + (clock_us + 500) / 1000;
        let body = match (video, index.is_multiple_of(self.fps * GOP_S)) {
            (false, _) => [&[0xaf, 1][..], &stamp(at_ms)].concat(),
            (true, key) => {
                // A key frame is longer than a chunk.
                let mut unit = vec![if key { 0x65 } else { 0x41 }];
                unit.extend(stamp(at_ms));
                unit.resize(if key { 300 } else { 20 }, 7);
                let header = [if key { 0x17 } else { 0x27 }, 1, 0, 0, 0, 0, 0];
                [&header[..], &(unit.len() as u16).to_be_bytes(), &unit].concat()
            }
        };
        Message { at_us: slower(clock_us, self.clock_ppm), video, timestamp_ms: at_ms as u32, body }
    }

    /// All frames, by the times at which they are sent.
    fn messages(self) -> impl Iterator<Item = Message> {
        let counts = [self.seconds * self.hz / SAMPLES, self.seconds * self.fps];
        let mut next = [0, 0];
        let mut waiting = [false, true].map(|video| self.message(video, 0));
        std::iter::from_fn(move || {
            let open = (0..2).filter(|&kind| next[kind] < counts[kind]);
            let kind = open.min_by_key(|&kind| (waiting[kind].at_us, Reverse(kind)))?;
            next[kind] += 1;
            Some(std::mem::replace(&mut waiting[kind], self.message(kind == 1, next[kind])))
        })
    }
}

/// What was listed of one rendition.
#[derive(Debug, Default)]
struct Rendition {
    timescale: u64,
    decode_next: Option<u64>,
    /// Output time less timestamp of the newest sample, microseconds.
    off_us: Option<i64>,
    /// Of the open segment: date less what was listed before it, microseconds.
    date_off_us: Option<i64>,
    listed_ticks: u64,
    segments: u64,
}

/// Reads every part as it is listed, and keeps nothing.
#[derive(Debug, Default)]
struct Follower {
    first_ms: u64,
    renditions: Vec<Rendition>,
    /// Most that sound and pictures were apart, microseconds.
    skew_us: i64,
    /// Most that a date and the durations before it moved against one another.
    date_moved_us: i64,
    samples: u64,
}

impl Follower {
    fn follow(&mut self, simulation: &mut Simulation) {
        for event in std::mem::take(&mut simulation.events) {
            match event.body {
                EventBody::Start(start) => self.start(&start),
                EventBody::Part(part) | EventBody::PartAndClose(part, _) => self.part(&part),
                _ => {}
            }
        }
    }

    fn start(&mut self, start: &SessionStart) {
        assert!(self.renditions.is_empty(), "one session");
        let timescale = |timescale: u32| Rendition { timescale: timescale.into(), ..Rendition::default() };
        self.renditions = start.renditions.iter().map(|each| timescale(each.timescale.get())).collect();
    }

    fn part(&mut self, part: &Part) {
        let is_video = part.rendition.0 == 0;
        let rendition = &mut self.renditions[usize::from(part.rendition.0)];
        let us = |ticks: u64| (u128::from(ticks) * 1_000_000 / u128::from(rendition.timescale)) as i64;
        if let Some(head) = part.opens {
            assert!(!head.discontinuity, "{head:?}");
            let off_us = head.program_date_time_unix_ms as i64 * 1000 - us(rendition.listed_ticks);
            let moved_us = off_us - rendition.date_off_us.unwrap_or(off_us);
            self.date_moved_us = self.date_moved_us.max(moved_us.abs());
            rendition.date_off_us = Some(off_us);
            rendition.segments += 1;
        }
        rendition.listed_ticks += part.duration_ticks;
        let at_s = rendition.listed_ticks / rendition.timescale;
        let Some(MediaRef::Memory(bytes)) = &part.media else { panic!("a gap at {at_s} s: {part:?}") };
        let fragment = mp4::check_part(bytes).expect("a part");
        let [run] = &fragment.runs[..] else { panic!("{} runs", fragment.runs.len()) };
        let mut decode = run.base_decode_time;
        assert_eq!(decode, rendition.decode_next.unwrap_or(decode), "decode times are contiguous");
        for sample in &run.samples {
            // Behind a NAL unit's length and header.
            let at = sample.offset + if is_video { 5 } else { 0 };
            assert!(sample.size >= STAMP_BYTES, "silence was put in at {at_s} s");
            let sent_us = (stamped(&bytes[at..at + STAMP_BYTES]) - self.first_ms) as i64 * 1000;
            rendition.off_us = Some(us(decode) - sent_us);
            decode += u64::from(sample.duration);
        }
        self.samples += run.samples.len() as u64;
        rendition.decode_next = Some(decode);
        if let [Some(video), Some(audio)] = [self.renditions[0].off_us, self.renditions[1].off_us] {
            self.skew_us = self.skew_us.max((video - audio).abs());
        }
    }

    fn assert_well(&self, case: &str, source: &Source) {
        let frame_us = 1_000_000 / source.fps as i64;
        assert!(self.skew_us < frame_us, "{case}: sound and pictures are {} us apart", self.skew_us);
        // A millisecond of printing, and a slew of 500 ppm on 6 s.
        assert!(self.date_moved_us <= 4_000, "{case}: a date moved by {} us", self.date_moved_us);
        let sent = source.seconds * (source.fps + source.hz / SAMPLES);
        assert!(self.samples + 500 + sent / 1000 >= sent, "{case}: {} of {sent} frames", self.samples);
        let segments = self.renditions.iter().map(|rendition| rendition.segments);
        assert!(segments.clone().all(|count| count >= source.seconds / 8), "{case}: {segments:?}");
    }
}

/// Publishes at once what is sent in a second.
fn publish(case: &str, source: Source, wishes: Wishes, chunks: Chunks, wraps_at: u64) -> Simulation {
    let mut simulation = Simulation::new(HomeSettings { wishes, ..settings() });
    // It reads the last minutes: the follower reads every part.
    simulation.viewer.skip = usize::MAX;
    let watched_from_us = source.seconds.saturating_sub(300) * 1_000_000;
    let mut follower = Follower { first_ms: source.first_ms, ..Follower::default() };
    let mut wire = Wire::publish(&mut simulation, chunks);
    let began_us = simulation.now.monotonic_us;
    for mut message in source.configurations().into_iter().chain(source.messages()) {
        message.timestamp_ms &= (wraps_at - 1) as u32;
        simulation.advance_to(began_us + message.at_us);
        wire.send(&mut simulation, &message);
        if message.at_us >= watched_from_us {
            simulation.viewer.skip = 15;
        }
        // One track ends before the other, and is continued.
        if message.at_us + 3_000_000 < source.seconds * 1_000_000 {
            follower.follow(&mut simulation);
        } else {
            simulation.events.clear();
        }
    }
    simulation.stop();
    simulation.viewer.assert_faultless(case);
    follower.assert_well(case, &source);
    simulation
}

const ALL_CHUNKS: [Chunks; 3] =
    [Chunks::Deltas, Chunks::Absolute { repeats: true }, Chunks::Absolute { repeats: false }];

/// 24.8 days: encoders that write FLV start over at 2^31 ms, others at 2^32 (49.7 days).
#[test]
fn a_clock_that_wraps_leaves_no_trace() {
    for wraps_at in [1 << 31, 1 << 32] {
        for chunks in ALL_CHUNKS {
            // The first leaves five seconds to learn from; the last is still learnt when it wraps.
            for before_ms in [10_000, 5_000, 500] {
                let source = Source { first_ms: wraps_at - before_ms, ..SOURCE };
                let case = format!("{before_ms} ms before {wraps_at}, {chunks:?}");
                let simulation = publish(&case, source, settings().wishes, chunks, wraps_at);
                assert_eq!(simulation.viewer.durations("v").len(), 1, "{case}: every picture lasts as long");
                assert_eq!(simulation.viewer.durations("a").len(), 1, "{case}");
            }
        }
    }
}

/// 4 h 39 m: a time of more than 24 bits stands behind the header.
#[test]
fn a_clock_that_outgrows_24_bits_leaves_no_trace() {
    for chunks in ALL_CHUNKS {
        for before_ms in [10_000, 500, 0] {
            let source = Source { first_ms: 0xff_ffff - before_ms, ..SOURCE };
            let case = format!("{before_ms} ms before 4 h 39 m, {chunks:?}");
            let simulation = publish(&case, source, settings().wishes, chunks, 1 << 32);
            assert_eq!(simulation.viewer.durations("v").len(), 1, "{case}: every picture lasts as long");
            assert_eq!(simulation.viewer.durations("a").len(), 1, "{case}");
        }
    }
}

fn drift(cases: &[Source], wishes: Wishes) {
    std::thread::scope(|scope| {
        for &source in cases {
            scope.spawn(move || {
                let case = format!("{source:?}");
                publish(&case, source, wishes, Chunks::Deltas, 1 << 32);
            });
        }
    });
}

/// Ten hours of 30 ppm are more than a second: of sound against pictures, and of both against the server.
const TEN_HOURS: Source = Source { fps: 5, hz: 8_000, seconds: 36_000, ..SOURCE };

#[test]
fn ten_hours_of_drifting_sound_stay_in_step() {
    drift(&[30, -30].map(|audio_ppm| Source { audio_ppm, ..TEN_HOURS }), SAFE);
}

#[test]
fn ten_hours_of_drifting_pictures_stay_in_step() {
    drift(&[30, -30].map(|video_ppm| Source { video_ppm, ..TEN_HOURS }), SAFE);
}

#[test]
fn ten_hours_of_a_drifting_encoder_have_dates_that_do_not_step() {
    drift(&[30, -30].map(|clock_ppm| Source { clock_ppm, ..TEN_HOURS }), SAFE);
}

/// As much drift in a twentieth of the time, at the rates of real encoders, of all clocks against one another.
#[test]
fn half_an_hour_of_much_drift_stays_within_a_frame() {
    let fast = Source { seconds: 1800, ..SOURCE };
    let cases = [
        Source { audio_ppm: 300, video_ppm: -300, clock_ppm: 100, ..fast },
        Source { audio_ppm: -300, video_ppm: 300, clock_ppm: -100, ..fast },
        Source { fps: 60, audio_ppm: 100, video_ppm: -100, seconds: 900, ..fast },
        Source { fps: 25, hz: 44_100, audio_ppm: -100, video_ppm: 100, ..fast },
    ];
    drift(&cases, settings().wishes);
}
