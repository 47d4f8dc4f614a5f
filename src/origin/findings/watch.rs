//! What the frames of one publisher tell by themselves: their keyframes, their order, their bit rate, and when
//! they came.

use super::arrivals::Arrivals;
use super::{Amount, Records};
use crate::flv::FrameBegin;
use crate::limits::{
    FINDING_AUDIO_LATE_MS, FINDING_DECLARED_KBIT_MAX, FINDING_DRIFT_PPM_MIN, FINDING_GOP_TOLERANCE_MS,
    FINDING_WINDOW_US, TIMESTAMP_BACK_MS_MAX, TIMESTAMP_LEAP_MS_MAX,
};
use crate::media::{Now, TrackKind};
use crate::metrics::Finding;
use crate::rtmp::StreamMetadata;

/// A picture shown earlier than one before it, by more than the rounding of two timestamps.
const REORDERED_MS: i64 = 2;
const RATE_WINDOW_MS: i64 = (FINDING_WINDOW_US / 1000) as i64;

/// One publisher's frames.
#[derive(Debug)]
pub struct Watch {
    /// What a group of pictures is to last at most, milliseconds.
    gop_ms: u32,
    /// By kind.
    arrivals: [Arrivals; 2],
    newest_ms: [Option<i64>; 2],
    /// Timestamp of the newest picture that one can begin at,
    key_ms: Option<i64>,
    /// and whether its group was found too long.
    is_long: bool,
    /// Latest presentation time so far, milliseconds,
    shown_ms: Option<i64>,
    /// and the largest composition offset.
    deepest_ms: i64,
    audio_is_late: bool,
    rate: BitRate,
}

#[derive(Debug, Default)]
struct BitRate {
    /// By kind, kilobits a second.
    declared_kbit: [Option<f64>; 2],
    /// Of the first frame that is counted.
    since_ms: Option<i64>,
    /// By kind.
    bytes: [u64; 2],
}

impl Watch {
    /// A publisher whose groups of pictures are to last so long at most, milliseconds.
    pub fn new(gop_ms: u32) -> Self {
        Self {
            gop_ms,
            arrivals: [Arrivals::new(), Arrivals::new()],
            newest_ms: [None; 2],
            key_ms: None,
            is_long: false,
            shown_ms: None,
            deepest_ms: 0,
            audio_is_late: false,
            rate: BitRate::default(),
        }
    }

    /// onMetaData.
    pub fn declare(&mut self, metadata: &StreamMetadata) {
        let sensible =
            |kbit: Option<f64>| kbit.filter(|kbit| (1.0..=FINDING_DECLARED_KBIT_MAX).contains(kbit));
        let declared = [metadata.video_data_rate_kbit, metadata.audio_data_rate_kbit].map(sensible);
        // Some say it again every few frames.
        if declared != self.rate.declared_kbit {
            self.rate = BitRate { declared_kbit: declared, ..BitRate::default() };
        }
    }

    /// A frame begins to arrive; `timestamp_ms` is unwrapped.
    pub fn frame_begins(&mut self, begin: &FrameBegin, timestamp_ms: i64, now: Now, records: &mut Records) {
        let index = slot(begin.kind);
        if self.newest_ms[index].is_some_and(|newest| is_leap(newest, timestamp_ms)) {
            self.forget_time();
        }
        self.newest_ms[index] = self.newest_ms[index].max(Some(timestamp_ms));
        self.arrival(begin.kind, timestamp_ms, now, records);
        match begin.kind {
            TrackKind::Video => self.picture(begin, timestamp_ms, now, records),
            TrackKind::Audio => self.sound(timestamp_ms, now, records),
        }
        self.rate.frame(begin, timestamp_ms, now, records);
    }

    /// The picture that began last turns out to be one that decoding can begin at.
    pub fn key_picture(&mut self) {
        self.key_ms = self.newest_ms[slot(TrackKind::Video)];
        self.is_long = false;
    }

    fn forget_time(&mut self) {
        self.newest_ms = [None; 2];
        (self.key_ms, self.shown_ms) = (None, None);
        self.audio_is_late = false;
        self.rate.restart();
    }

    fn arrival(&mut self, kind: TrackKind, timestamp_ms: i64, now: Now, records: &mut Records) {
        let arrived = self.arrivals[slot(kind)].arrived(timestamp_ms, now.monotonic_us);
        // Both kinds come by one way, and are held back together.
        let leads = kind == TrackKind::Video || self.newest_ms[slot(TrackKind::Video)].is_none();
        if let Some(burst_us) = arrived.burst_us.filter(|_| leads) {
            records.note(Finding::UplinkBurst, 1, Amount::of(burst_us / 1000), now);
        }
        if let Some(drift) = arrived.drift
            && drift.ppm.abs() - drift.error_ppm >= FINDING_DRIFT_PPM_MIN
        {
            let of_kind = [Finding::VideoDrift, Finding::AudioDrift][slot(kind)];
            records.note(of_kind, 1, Amount { value: drift.ppm, beside: drift.error_ppm }, now);
        }
    }

    fn picture(&mut self, begin: &FrameBegin, timestamp_ms: i64, now: Now, records: &mut Records) {
        let gop_ms = self.key_ms.map_or(0, |key| timestamp_ms - key);
        if gop_ms > i64::from(self.gop_ms + FINDING_GOP_TOLERANCE_MS) {
            let is_another = !std::mem::replace(&mut self.is_long, true);
            let amount = Amount { value: gop_ms, beside: self.gop_ms.into() };
            records.note(Finding::GopTooLong, is_another.into(), amount, now);
        }
        let composition_ms = i64::from(begin.composition_ms);
        let shown_ms = timestamp_ms.saturating_add(composition_ms);
        self.deepest_ms = self.deepest_ms.max(composition_ms);
        if self.shown_ms.is_some_and(|latest| shown_ms + REORDERED_MS < latest) {
            records.note(Finding::BFrames, 1, Amount::of(self.deepest_ms), now);
        }
        self.shown_ms = self.shown_ms.max(Some(shown_ms));
    }

    fn sound(&mut self, timestamp_ms: i64, now: Now, records: &mut Records) {
        let late_ms = self.newest_ms[slot(TrackKind::Video)].map_or(0, |pictures| pictures - timestamp_ms);
        if late_ms > FINDING_AUDIO_LATE_MS {
            let is_another = !std::mem::replace(&mut self.audio_is_late, true);
            records.note(Finding::AudioLate, is_another.into(), Amount::of(late_ms), now);
        } else if late_ms < FINDING_AUDIO_LATE_MS / 2 {
            self.audio_is_late = false;
        }
    }
}

impl BitRate {
    /// Counts a frame, and looks at each ten seconds of them. By timestamps: what is late counts for when it was made.
    fn frame(&mut self, begin: &FrameBegin, timestamp_ms: i64, now: Now, records: &mut Records) {
        let elapsed_ms = timestamp_ms - *self.since_ms.get_or_insert(timestamp_ms);
        if elapsed_ms >= RATE_WINDOW_MS {
            self.compare(elapsed_ms, now, records);
            self.restart();
            self.since_ms = Some(timestamp_ms);
        }
        self.bytes[slot(begin.kind)] += u64::from(begin.coded_bytes);
    }

    fn restart(&mut self) {
        (self.since_ms, self.bytes) = (None, [0; 2]);
    }

    /// Of the kinds that a bit rate was declared of, and that came.
    fn compare(&self, elapsed_ms: i64, now: Now, records: &mut Records) {
        let (mut declared_kbit, mut bytes) = (0.0, 0);
        for (kbit, of_kind) in self.declared_kbit.iter().zip(self.bytes) {
            if let Some(kbit) = kbit.filter(|_| of_kind > 0) {
                declared_kbit += kbit;
                bytes += of_kind;
            }
        }
        let measured_kbit = (bytes * 8) as f64 / elapsed_ms as f64;
        // Encoders with a constant bit rate keep to a few percent of it.
        let finding = if measured_kbit * 3.0 < declared_kbit * 2.0 {
            Finding::BitRateLow
        } else if measured_kbit * 3.0 > declared_kbit * 4.0 && declared_kbit > 0.0 {
            Finding::BitRateHigh
        } else {
            return;
        };
        let amount = Amount { value: measured_kbit.round() as i64, beside: declared_kbit.round() as i64 };
        records.note(finding, 1, amount, now);
    }
}

/// Time that is not the time of before: nothing can be measured across it.
fn is_leap(newest_ms: i64, timestamp_ms: i64) -> bool {
    let step_ms = timestamp_ms.saturating_sub(newest_ms);
    !(-TIMESTAMP_BACK_MS_MAX..=TIMESTAMP_LEAP_MS_MAX).contains(&step_ms)
}

fn slot(kind: TrackKind) -> usize {
    match kind {
        TrackKind::Video => 0,
        TrackKind::Audio => 1,
    }
}
