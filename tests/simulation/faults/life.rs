//! One life of a stream: publishers come and go, and everything is checked as it happens.

use super::super::harness::{LOW, SAFE, Simulation, ULTRA, settings};
use super::super::support::encoder::{Message, Random};
use super::super::support::mp4;
use super::checks::{Audience, Rules};
use super::script::{Deed, FAULTS, Fault, Script};
use rapidrtmp::hls::{EventBody, Part, StreamEvent};
use rapidrtmp::limits::{PART_BUFFER_BYTES_MIN, PART_POOL_IDLE_BYTES_MAX};
use rapidrtmp::media::{Now, TrackKind};
use rapidrtmp::origin::home::{Departure, HomeError, HomeSettings, PublisherId};
use rapidrtmp::origin::live::SessionSettings;
use rapidrtmp::rtmp::MediaFragment;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// What was lived through.
#[derive(Debug, Default)]
pub struct Lived {
    publishers: AtomicU64,
    refused: AtomicU64,
    sessions: AtomicU64,
    parts: AtomicU64,
    gaps: AtomicU64,
    discontinuities: AtomicU64,
    samples: AtomicU64,
    answered: AtomicU64,
    milliseconds: AtomicU64,
    faults: [AtomicU64; FAULTS.len()],
}

impl Lived {
    fn counts(&self) -> impl Iterator<Item = &AtomicU64> {
        let one = [
            &self.publishers,
            &self.refused,
            &self.sessions,
            &self.parts,
            &self.gaps,
            &self.discontinuities,
            &self.samples,
            &self.answered,
            &self.milliseconds,
        ];
        one.into_iter().chain(&self.faults)
    }

    pub fn add(&self, other: &Self) {
        for (total, more) in self.counts().zip(other.counts()) {
            total.fetch_add(more.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    /// Chance has left nothing out.
    pub fn assert_varied(&self) {
        for (fault, count) in FAULTS.iter().zip(&self.faults) {
            assert!(count.load(Ordering::Relaxed) > 0, "{fault:?} never happened");
        }
        assert!(self.counts().all(|count| count.load(Ordering::Relaxed) > 0), "{self}");
    }
}

impl fmt::Display for Lived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        write!(
            f,
            "{} s of {} publishers ({} refused), {} sessions, {} parts ({} gaps), {} discontinuities, {} samples, \
             {} waits answered; faults",
            get(&self.milliseconds) / 1000,
            get(&self.publishers),
            get(&self.refused),
            get(&self.sessions),
            get(&self.parts),
            get(&self.gaps),
            get(&self.discontinuities),
            get(&self.samples),
            get(&self.answered),
        )?;
        for (fault, count) in FAULTS.iter().zip(&self.faults) {
            write!(f, " {fault:?} {}", get(count))?;
        }
        Ok(())
    }
}

struct Life {
    random: Random,
    settings: HomeSettings,
    simulation: Simulation,
    rules: Rules,
    audience: Audience,
    /// Events that were looked at.
    seen: usize,
    is_late: bool,
    has_open_gops: bool,
    lived: Lived,
    tells: bool,
}

/// Lives once.
///
/// # Panics
/// When a rule is broken.
pub fn live(seed: u64, tells: bool) -> Lived {
    let mut random = Random::new(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9));
    (0..4).for_each(|_| _ = random.below(2));
    let settings = chosen_settings(&mut random);
    let mut simulation = Simulation::new(settings);
    // Parts are listed for three target durations: who looks rarely misses long ones.
    simulation.viewer.skip = random.below(7) as usize;
    if settings.wishes == ULTRA {
        simulation.viewer.skip = simulation.viewer.skip.min(2);
    }
    simulation.piece_bytes = [40, 128, 4096][random.below(3) as usize];
    let every = 1 + random.below(8);
    let mut life = Life {
        random,
        settings,
        simulation,
        rules: Rules::default(),
        audience: Audience::new(every),
        seen: 0,
        is_late: false,
        has_open_gops: false,
        lived: Lived::default(),
        tells,
    };
    if tells {
        println!("{:?}", life.settings);
    }
    for _ in 0..1 + life.random.below(3) {
        life.publisher();
        if life.random.below(8) == 0 {
            life.restart();
        }
    }
    life.end();
    life.lived
}

fn chosen_settings(random: &mut Random) -> HomeSettings {
    let base = settings();
    let one_in = |random: &mut Random, count: u64| random.below(count) == 0;
    let retained_bytes_max = if one_in(random, 12) { 1_500_000 } else { 256 << 20 };
    HomeSettings {
        wishes: [ULTRA, LOW, LOW, SAFE][random.below(4) as usize],
        session: SessionSettings {
            muxed: one_in(random, 5),
            prefill_gap_segments: if one_in(random, 6) { 3 } else { 0 },
            retained_bytes_max,
            ..base.session
        },
        gop_ms: one_in(random, 4).then_some(1000),
        unpublish_grace_us: if one_in(random, 4) { 0 } else { base.unpublish_grace_us },
        ..base
    }
}

/// What a publisher leaves beyond the bound: the part at which it is refused, of two renditions, those that are closed
/// with it, and their init segments.
const LEFT_BYTES_MAX: u64 = 6 * PART_BUFFER_BYTES_MIN as u64;

impl Life {
    fn publisher(&mut self) {
        let script = Script::new(&mut self.random);
        self.is_late |= script.is_late;
        self.has_open_gops |= script.has_open_gops;
        if self.tells {
            println!("a publisher:\n{script}");
        }
        for fault in &script.faults {
            let index = FAULTS.iter().position(|known| known == fault).expect("a fault of the list");
            self.lived.faults[index].fetch_add(1, Ordering::Relaxed);
        }
        self.lived.publishers.fetch_add(1, Ordering::Relaxed);
        let id = match self.simulation.try_attach() {
            Ok(id) => id,
            Err(error) => {
                assert!(matches!(error, HomeError::RetainedBytes { .. }), "{error}");
                self.lived.refused.fetch_add(1, Ordering::Relaxed);
                self.simulation.advance_ms(20_000);
                self.look();
                return;
            }
        };
        let began_us = self.simulation.now.monotonic_us;
        for (at_us, deed) in &script.deeds {
            self.simulation.advance_to((began_us + at_us).max(self.simulation.now.monotonic_us));
            if let Err(error) = self.perform(id, deed) {
                assert!(!matches!(error, HomeError::Window(_)), "our own mistake: {error}");
                if self.tells {
                    println!("refused after {at_us} us: {error}");
                }
                self.lived.refused.fetch_add(1, Ordering::Relaxed);
                self.simulation.detach(id, Departure::Lost);
                self.look();
                break;
            }
            self.look();
        }
        let passed_us = self.simulation.now.monotonic_us - began_us;
        self.lived.milliseconds.fetch_add(passed_us / 1000, Ordering::Relaxed);
        match self.random.below(8) {
            0 => self.simulation.stop(),
            // Another takes its place: of the message that was half there the rest never comes.
            1 | 2 => {
                let half = Message { at_us: 0, video: true, timestamp_ms: 0, body: vec![0x27; 3000] };
                self.simulation.send_pieces(id, &half, 1);
                self.simulation.detach(id, Departure::Lost);
            }
            3 | 4 => self.simulation.detach(id, Departure::Unpublished),
            _ => self.simulation.detach(id, Departure::Lost),
        }
        self.look();
        let away_ms = [0, 0, 500, 3_000, 9_000, 20_000][self.random.below(6) as usize];
        self.simulation.advance_ms(away_ms);
        self.look();
        let home = &self.simulation.home;
        let retained = home.view().window().retained_bytes();
        let retained_max = self.settings.session.retained_bytes_max + LEFT_BYTES_MAX;
        assert!(retained <= retained_max, "{retained} bytes are kept");
        assert!(home.retired_count() < 1_000, "{} pieces wait", home.retired_count());
        assert!(self.simulation.pool.idle_bytes() <= PART_POOL_IDLE_BYTES_MAX);
        self.audience.compare_with(self.simulation.home.view_mut());
        self.judge();
    }

    fn perform(&mut self, id: PublisherId, deed: &Deed) -> Result<(), HomeError> {
        let simulation = &mut self.simulation;
        match deed {
            Deed::Send(message) if message.body.is_empty() => {
                let kind = if message.video { TrackKind::Video } else { TrackKind::Audio };
                let fragment = MediaFragment {
                    kind,
                    timestamp_ms: message.timestamp_ms,
                    message_bytes: 0,
                    payload: &[],
                    first: true,
                    last: true,
                };
                simulation.fragment(id, &fragment)
            }
            Deed::Send(message) => simulation.send(id, message),
            Deed::Abandon { message, pieces, aborts } => {
                simulation.pieces(id, message, *pieces)?;
                if *aborts {
                    let kind = if message.video { TrackKind::Video } else { TrackKind::Audio };
                    simulation.abort(id, kind)?;
                }
                Ok(())
            }
            Deed::Metadata(metadata) => {
                simulation.home.metadata(id, metadata);
                Ok(())
            }
            Deed::SetClock(by_us) => {
                let unix_us = simulation.now.unix_us.saturating_add_signed(*by_us);
                simulation.now = Now { unix_us, ..simulation.now };
                Ok(())
            }
        }
    }

    /// Everything that was made since the last look.
    fn look(&mut self) {
        let now_us = self.simulation.now.monotonic_us;
        while let Some(event) = self.simulation.events.get(self.seen) {
            self.seen += 1;
            if self.tells {
                println!("{now_us:>10} us: {}", told(event));
            }
            self.rules.see(event);
            self.audience.see(event, now_us, &mut self.random);
        }
    }

    /// What the viewer has found, but for what no server can help.
    fn judge(&mut self) {
        let is_late = self.is_late;
        let is_muxed = self.settings.session.muxed;
        let has_open_gops = self.has_open_gops;
        let cannot_be_helped = |fault: &String| {
            let says = |what: &str| fault.contains(what);
            // Of a rate that is not known none can be said.
            says("without a FRAME-RATE")
                // Frames that suddenly come sooner: the date may not step back.
                || (is_late && says("begins in the future"))
                // Where one of two tracks is silent, parts last as long as the other, and sound leaves holes.
                || (is_muxed && (says("its samples last") || says("tfdt") || says("INDEPENDENT")))
                // Leading pictures that are lost, or shown when they are not: what a decoder shows is its own affair.
                || (has_open_gops && says("INDEPENDENT"))
        };
        let viewer = &mut self.simulation.viewer;
        viewer.faults.retain(|fault| !cannot_be_helped(fault));
        viewer.assert_faultless("a life");
    }

    /// Another process, with what the last one has written down.
    fn restart(&mut self) {
        self.tally();
        let unix_us = self.simulation.now.unix_us + 3_000_000;
        let now = Now { monotonic_us: 1_000_000, unix_us };
        let next = Simulation::with_record(self.settings, self.simulation.record.as_ref(), now);
        let before = std::mem::replace(&mut self.simulation, next);
        self.simulation.viewer.skip = before.viewer.skip;
        self.simulation.piece_bytes = before.piece_bytes;
        self.audience = Audience::new(3);
        self.rules.restart();
        self.seen = 0;
        if self.tells {
            println!("a restart");
        }
    }

    fn tally(&mut self) {
        let viewer = &self.simulation.viewer;
        self.lived.sessions.fetch_add(viewer.sessions().len() as u64, Ordering::Relaxed);
        self.lived.samples.fetch_add(viewer.samples.iter().sum(), Ordering::Relaxed);
        self.lived.answered.fetch_add(self.audience.answered, Ordering::Relaxed);
    }

    /// The stream is stopped and forgotten.
    fn end(&mut self) {
        self.simulation.stop();
        self.look();
        self.judge();
        self.audience.compare_with(self.simulation.home.view_mut());
        self.simulation.advance_ms(600_000);
        self.look();
        assert!(self.simulation.home.is_over(), "nothing is left of it");
        assert_eq!(self.simulation.home.view().window().retained_bytes(), 0);
        assert_eq!(self.simulation.home.retired_count(), 0);
        self.tally();
        self.lived.parts.fetch_add(self.rules.parts, Ordering::Relaxed);
        self.lived.gaps.fetch_add(self.rules.gaps, Ordering::Relaxed);
        self.lived.discontinuities.fetch_add(self.rules.discontinuities, Ordering::Relaxed);
    }
}

/// An event in a line.
fn told(event: &StreamEvent) -> String {
    match &event.body {
        EventBody::Part(part) | EventBody::PartAndClose(part, _) => {
            let Part { rendition, number, opens, duration_ticks, independent, media } = part;
            let closes = matches!(event.body, EventBody::PartAndClose(..));
            let decode = media.as_ref().and_then(|media| mp4::check_part(media.bytes()).ok());
            let decode = decode.map(|fragment| fragment.runs[0].base_decode_time);
            format!(
                "part {number} of {}: {duration_ticks} ticks from {decode:?}, independent {independent}, closes \
                 {closes}, {opens:?}",
                rendition.0
            )
        }
        EventBody::Init(init) => format!("init {} of {}", init.number, init.rendition.0),
        EventBody::Start(start) => format!("session {}, {:?}", start.session, start.renditions),
        other => format!("{other:?}"),
    }
}

const _: () = assert!(FAULTS.len() == Fault::HostClock as usize + 1);
