//! How many watch a stream, from nothing but their reloads of its first rendition.
//!
//! Neither a connection nor an address is a viewer: a browser spreads its reloads over several connections and
//! shards, and a network or a proxy is one address with very many viewers. But whoever watches has every part
//! listed to him once. So viewers are the parts that reloads have brought, divided by the parts there were: a
//! blocking reload says which part its client lacks, and brings all from there to the newest. A reload that
//! does not say it stands for the target duration after which its client reloads again.
//!
//! Both are counted over periods of two target durations, which begin at the same part on every shard, so that
//! the shares of one viewer that several shards have seen add up.

use std::cell::Cell;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::hls::SessionId;
use crate::hls::reload::Progress;

/// Shares of a viewer are counted in thousandths.
const VIEWER_MILLI: u64 = 1000;
/// Target durations of a period.
const PERIOD_TARGETS: u64 = 2;
/// Plain reloads of one viewer in a period.
const PLAIN_RELOADS_MAX: u64 = PERIOD_TARGETS;
/// Periods without a reload after which nobody watches. A blocking one may last one and a half.
const SILENT_PERIODS_MAX: u64 = 2;

/// One stream's viewers on one shard.
#[derive(Debug, Default)]
pub struct Audience {
    pace: Cell<Pace>,
    current: Cell<Period>,
    /// What the period before came to; nothing, if nobody reloaded in it.
    before: Cell<Shares>,
    /// When the newest reload came.
    heard_us: Cell<u64>,
}

/// Lengths of the newest session.
#[derive(Debug, Clone, Copy, Default)]
struct Pace {
    period_us: u64,
    part_us: u64,
    /// Parts of a period; at least 1 once there was a reload.
    period_parts: u64,
}

/// What reloads have brought in one period.
#[derive(Debug, Clone, Copy, Default)]
struct Period {
    /// Its parts' numbers divided by [`Pace::period_parts`], plus 1; 0 before the first reload.
    number: u64,
    /// When it began here, or its first reload came.
    began_us: u64,
    /// The newest part at the newest reload.
    newest: u64,
    /// Parts brought by reloads that said what their clients lack.
    parts: u64,
    /// Of `parts`, those for the newest one.
    parts_newest: u64,
    /// Reloads that did not.
    plain: u64,
}

/// What one connection has added to a period: never more than one viewer.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counted {
    /// [`Period::number`]
    period: u64,
    parts: u64,
    plain: u64,
}

/// Viewers of a stream on one shard.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen {
    /// In the period before, as long as the first parts of this one say little.
    before: Shares,
    now: Shares,
}

/// Viewers in thousandths.
#[derive(Debug, Clone, Copy, Default)]
struct Shares {
    blocking: u64,
    plain: u64,
    /// The part of `plain` that those explain who began to wait for parts: each of them has made one plain
    /// reload before. Below 0 where they became fewer.
    joined: i64,
}

/// What one shard has [`Seen`], for all to read.
#[derive(Debug, Default)]
pub struct SeenBoard {
    before: SharesBoard,
    now: SharesBoard,
}

#[derive(Debug, Default)]
struct SharesBoard {
    blocking: AtomicU64,
    plain: AtomicU64,
    joined: AtomicI64,
}

impl Audience {
    /// Notes a reload on a connection that has `counted` so far; returns what it has counted now.
    pub fn note(&self, counted: Counted, progress: Progress, session: SessionId, now_us: u64) -> Counted {
        self.pace.set(Pace::of(session));
        self.turn(progress.newest, now_us);
        self.heard_us.set(now_us);
        let (mut period, pace) = (self.current.get().with_newest(progress.newest), self.pace.get());
        let mut counted = match counted.period == period.number {
            true => counted,
            false => Counted { period: period.number, ..Counted::default() },
        };
        let parts_count = period.parts_count(pace);
        match progress.asked {
            Some(asked) => {
                // What was listed before the period was counted then, or missed.
                let from = asked.max(period.part_first(pace));
                let brought = (asked.max(progress.newest) + 1).saturating_sub(from);
                let brought = brought.min(parts_count.saturating_sub(counted.parts));
                counted.parts += brought;
                period.parts += brought;
                period.parts_newest += brought.min(1);
            }
            None => {
                let due = if pace.is_early(parts_count) { 1 } else { PLAIN_RELOADS_MAX };
                let one = u64::from(counted.plain < due);
                counted.plain += one;
                period.plain += one;
            }
        }
        self.current.set(period);
        counted
    }

    /// Viewers here. `newest` is the newest part, of which no reload may have come here.
    pub fn seen(&self, newest: u64, now_us: u64) -> Seen {
        let (current, pace) = (self.current.get(), self.pace.get());
        let silent_us = now_us.saturating_sub(self.heard_us.get());
        if current.number == 0 || silent_us > SILENT_PERIODS_MAX * pace.period_us {
            return Seen::default();
        }
        let newest = newest.max(current.newest);
        let (before, now) = match pace.period(newest) - current.number {
            0 => {
                let current = current.with_newest(newest);
                (self.before.get(), self.shares_of(current, current.settled(pace).blocking(pace), now_us))
            }
            1 => (self.whole(current, now_us), Shares::default()),
            _ => return Seen::default(),
        };
        let is_early = pace.is_early(newest % pace.period_parts + 1);
        Seen { before: if is_early { before } else { Shares::default() }, now }
    }

    /// Begins a new period with its first part.
    fn turn(&self, newest: u64, now_us: u64) {
        let (current, number) = (self.current.get(), self.pace.get().period(newest));
        if number == current.number {
            return;
        }
        let follows = current.number > 0 && number == current.number + 1;
        self.before.set(if follows { self.whole(current, now_us) } else { Shares::default() });
        self.current.set(Period { number, began_us: now_us, newest, ..Period::default() });
    }

    /// A period that is over.
    fn whole(&self, period: Period, now_us: u64) -> Shares {
        let pace = self.pace.get();
        let period = period.with_newest(period.part_first(pace) + pace.period_parts - 1);
        self.shares_of(period, period.blocking(pace), now_us.min(period.began_us + pace.period_us))
    }

    /// `blocking` is [`Shares::blocking`].
    fn shares_of(&self, period: Period, blocking: u64, now_us: u64) -> Shares {
        let (before, pace) = (self.before.get(), self.pace.get());
        // A period grows long where parts are short of their target, or the encoder pauses.
        let lasted_us = now_us.saturating_sub(period.began_us).max(period.parts_count(pace) * pace.part_us);
        let lasted_us = lasted_us.max(pace.period_us / 2);
        let plain_milli = VIEWER_MILLI * pace.period_us / PLAIN_RELOADS_MAX / lasted_us;
        let joined = (blocking as i64 - before.blocking as i64) * plain_milli as i64 / VIEWER_MILLI as i64;
        Shares { blocking, plain: period.plain * plain_milli, joined }
    }
}

impl Pace {
    fn of(session: SessionId) -> Self {
        let period_ms = PERIOD_TARGETS * 1000 * u64::from(session.target_duration_s.max(1));
        let part_ms = u64::from(session.part_target_ms.max(1));
        let period_parts = (period_ms / part_ms).max(1);
        Self { period_us: 1000 * period_ms, part_us: 1000 * part_ms, period_parts }
    }

    /// [`Period::number`] of a part.
    fn period(self, part: u64) -> u64 {
        part / self.period_parts + 1
    }

    /// True in the first half of a period.
    fn is_early(self, parts_count: u64) -> bool {
        2 * parts_count <= self.period_parts
    }
}

impl Period {
    /// `newest` is no older than the newest part so far.
    fn with_newest(self, newest: u64) -> Self {
        let parts_newest = if newest == self.newest { self.parts_newest } else { 0 };
        Self { newest, parts_newest, ..self }
    }

    /// Without its newest part: whoever watches may not have come for it yet. The first one stays.
    fn settled(self, pace: Pace) -> Self {
        if self.newest == self.part_first(pace) {
            return self;
        }
        let parts = self.parts - self.parts_newest;
        Self { newest: self.newest - 1, parts, parts_newest: 0, ..self }
    }

    /// [`Shares::blocking`]
    fn blocking(self, pace: Pace) -> u64 {
        self.parts * VIEWER_MILLI / self.parts_count(pace)
    }

    /// Number of its first part.
    fn part_first(self, pace: Pace) -> u64 {
        self.number.saturating_sub(1) * pace.period_parts
    }

    /// Parts listed in it so far, at least 1.
    fn parts_count(self, pace: Pace) -> u64 {
        (self.newest + 1).saturating_sub(self.part_first(pace)).max(1)
    }
}

impl SeenBoard {
    /// What the shard has seen.
    pub fn set(&self, seen: Seen) {
        self.before.set(seen.before);
        self.now.set(seen.now);
    }
}

impl SharesBoard {
    fn set(&self, shares: Shares) {
        self.blocking.store(shares.blocking, Ordering::Relaxed);
        self.plain.store(shares.plain, Ordering::Relaxed);
        self.joined.store(shares.joined, Ordering::Relaxed);
    }
}

/// Viewers by what all shards have seen.
pub fn viewers(shards: &[SeenBoard]) -> u64 {
    whole(shards.iter().map(|seen| &seen.before)).max(whole(shards.iter().map(|seen| &seen.now)))
}

/// To the nearest whole one, and whoever is there at all is one.
fn whole<'a>(shards: impl Iterator<Item = &'a SharesBoard>) -> u64 {
    let (mut blocking, mut plain, mut joined) = (0, 0, 0);
    for shares in shards {
        blocking += shares.blocking.load(Ordering::Relaxed);
        plain += shares.plain.load(Ordering::Relaxed);
        joined += shares.joined.load(Ordering::Relaxed);
    }
    let milli = blocking + plain.saturating_sub(joined.max(0) as u64);
    let is_anybody = blocking + plain > 0;
    ((milli + VIEWER_MILLI / 2) / VIEWER_MILLI).max(is_anybody.into())
}

#[cfg(test)]
#[path = "audience_tests.rs"]
mod tests;
