//! What the operator of a stream should know of its publishers: findings, how often, when last, and what to
//! change in the encoder.
//!
//! They are a stream's, and so live as long as its epoch: over reconnects and sessions, until its last session is
//! out of retention. What is measured is one publisher's, and begins anew with the next. A finding is never taken
//! back; when it was made last tells whether it still holds.

mod advice;
mod arrivals;
mod watch;

use crate::codec::FrameRole;
use crate::flv::FrameBegin;
use crate::limits::FINDING_LOG_EVERY_US;
use crate::media::{Now, Repairs, TrackKind};
use crate::metrics::{Finding, Label};
use crate::rtmp::StreamMetadata;
use watch::Watch;

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// It costs latency, or says something about the encoder.
    Info,
    /// Viewers may see or hear it.
    Warning,
}

impl Severity {
    /// As the API says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
        }
    }
}

/// How much it was, in the finding's unit, and what it is to be compared with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Amount {
    value: i64,
    beside: i64,
}

impl Amount {
    const NONE: Self = Self::of(0);

    const fn of(value: i64) -> Self {
        Self { value, beside: 0 }
    }
}

/// A finding that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// What.
    pub finding: Finding,
    /// How often: groups, pictures, frames or events; windows of 10 s where something is measured over them.
    pub count: u64,
    /// Unix milliseconds.
    pub first_seen_unix_ms: u64,
    /// Unix milliseconds.
    pub last_seen_unix_ms: u64,
    amount: Amount,
    /// Of how many-th publisher it was made last,
    publisher: u64,
    /// of which one the log has it, and since when, monotonic microseconds.
    told: Option<(u64, u64)>,
}

/// By [`Finding`].
#[derive(Debug, Default)]
struct Records {
    found: [Option<Found>; Finding::ALL.len()],
    /// Publishers so far.
    publisher: u64,
}

impl Records {
    fn note(&mut self, finding: Finding, count: u64, amount: Amount, now: Now) {
        let unix_ms = now.unix_us / 1000;
        let found = self.found[finding.index()].get_or_insert(Found {
            finding,
            count: 0,
            first_seen_unix_ms: unix_ms,
            last_seen_unix_ms: unix_ms,
            amount,
            publisher: 0,
            told: None,
        });
        found.count += count;
        found.publisher = self.publisher;
        // The clock may be set back.
        found.last_seen_unix_ms = found.last_seen_unix_ms.max(unix_ms);
        if !finding.keeps_worst() || amount.value >= found.amount.value {
            found.amount = amount;
        }
    }
}

/// A stream's findings, and its publisher as far as it is watched for them.
#[derive(Debug)]
pub struct StreamFindings {
    records: Records,
    watch: Watch,
    /// What of the session's counters is noted.
    repairs: Repairs,
    open_gops: u64,
    /// When the last publisher left, monotonic microseconds.
    left_us: u64,
}

impl Default for StreamFindings {
    fn default() -> Self {
        Self {
            records: Records::default(),
            watch: Watch::new(0),
            repairs: Repairs::default(),
            open_gops: 0,
            left_us: 0,
        }
    }
}

impl StreamFindings {
    /// What was found so far, in the order of [`Finding`].
    pub fn found(&self) -> impl Iterator<Item = &Found> {
        self.records.found.iter().flatten()
    }

    /// Findings that are made of this publisher for the first time, for the log; each at most every ten minutes, or
    /// an encoder that comes and goes would fill it.
    pub fn take_news(&mut self, now: Now) -> impl Iterator<Item = &Found> {
        self.records.found.iter_mut().flatten().filter_map(move |found| {
            let is_news = found.told.is_none_or(|(publisher, at_us)| {
                publisher != found.publisher && now.monotonic_us.saturating_sub(at_us) >= FINDING_LOG_EVERY_US
            });
            is_news.then(|| {
                found.told = Some((found.publisher, now.monotonic_us));
                &*found
            })
        })
    }

    /// A publisher begins, whose groups of pictures are to last so long at most, milliseconds. `returns`: a session
    /// waits for it.
    pub(super) fn publisher_begins(&mut self, gop_ms: u32, returns: bool, now: Now) {
        self.records.publisher += 1;
        self.watch = Watch::new(gop_ms);
        if returns {
            let away_us = now.monotonic_us.saturating_sub(self.left_us);
            let away_ms = i64::try_from(away_us / 1000).unwrap_or(i64::MAX);
            self.records.note(Finding::PublisherReturned, 1, Amount::of(away_ms), now);
        }
    }

    /// It has left.
    pub(super) fn publisher_leaves(&mut self, now: Now) {
        self.left_us = now.monotonic_us;
    }

    /// onMetaData.
    pub(super) fn declare(&mut self, metadata: &StreamMetadata) {
        self.watch.declare(metadata);
    }

    /// A frame begins to arrive; `timestamp_ms` is unwrapped.
    pub(super) fn frame_begins(&mut self, begin: &FrameBegin, timestamp_ms: i64, now: Now) {
        self.watch.frame_begins(begin, timestamp_ms, now, &mut self.records);
    }

    /// The frame of this kind that began last turns out to be this.
    pub(super) fn frame_ends(&mut self, kind: TrackKind, role: FrameRole) {
        if kind == TrackKind::Video && matches!(role, FrameRole::Sync | FrameRole::OpenSync) {
            self.watch.key_picture();
        }
    }

    /// Something without an amount happened so many times.
    pub(super) fn note(&mut self, finding: Finding, count: u64, now: Now) {
        if count > 0 {
            self.records.note(finding, count, Amount::NONE, now);
        }
    }

    /// A session begins, whose counters are at zero.
    pub(super) fn session_begins(&mut self) {
        self.repairs = Repairs::default();
        self.open_gops = 0;
    }

    /// What the session has counted so far. Its discontinuities are noted where they are made, since they are not all
    /// of one kind.
    pub(super) fn counted(&mut self, repairs: Repairs, open_gops: u64, now: Now) {
        let mended = |of: &Repairs| of.absorbed + of.slewed + of.composition_clamped + of.discarded;
        let before = std::mem::replace(&mut self.repairs, repairs);
        self.note(Finding::FrameMissing, repairs.missing_frames - before.missing_frames, now);
        self.note(Finding::TimestampRepaired, mended(&repairs) - mended(&before), now);
        let groups = open_gops - std::mem::replace(&mut self.open_gops, open_gops);
        self.note(Finding::OpenGop, groups, now);
    }
}

#[cfg(test)]
mod tests;
