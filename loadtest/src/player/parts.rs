//! Parts as they were received by all viewers: read and judged once, then told from one another by their address.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hasher as _};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::fmp4::MediaSummary;
use crate::measure::{Counter, Measure, Meter};

/// A part that is received this much before its newest frame was sent shows that the hosts' clocks are apart.
const CLOCKS_APART_US: u64 = 2000;
/// Parts that a worker knows at once.
const LOCAL_PARTS_MAX: usize = 16_384;
/// For how many seconds receipts wait for someone to have read the part.
const UNREAD_SECONDS_MAX: u8 = 10;

/// What is known of one part or segment, shared by all workers.
#[derive(Debug, Default)]
pub struct PartRecord {
    /// Unix microseconds of the first receipt; 0 before it.
    first_received_us: AtomicU64,
    /// Someone has begun to read it.
    is_being_read: AtomicBool,
    read: OnceLock<PartRead>,
    /// It was compared with what its playlist says of it.
    is_listed_checked: AtomicBool,
    /// Its continuity with the part before it was seen to.
    is_continuity_checked: AtomicBool,
}

/// What reading a part has found.
#[derive(Debug, Clone)]
pub struct PartRead {
    /// Bytes of its body.
    pub bytes: u64,
    /// Of its body.
    pub hash: u64,
    /// What is in it; `None` when it could not be understood.
    pub summary: Option<MediaSummary>,
}

impl PartRecord {
    /// True for the one who is to read it.
    pub fn begin_reading(&self) -> bool {
        self.read.get().is_none() && !self.is_being_read.swap(true, Ordering::Relaxed)
    }

    /// Whoever was to read it could not.
    pub fn give_up_reading(&self) {
        self.is_being_read.store(false, Ordering::Relaxed);
    }

    /// It was read; the first reading stands.
    pub fn keep(&self, read: PartRead) {
        // Two readings at once are of the same bytes, or the difference is reported.
        let _ = self.read.set(read);
    }

    /// What reading it has found.
    pub fn read(&self) -> Option<&PartRead> {
        self.read.get()
    }

    /// A viewer has received it; returns how long after the first one, in microseconds.
    pub fn received(&self, unix_us: u64) -> u64 {
        let first = self.first_received_us.compare_exchange(0, unix_us, Ordering::Relaxed, Ordering::Relaxed);
        match first {
            Ok(_) => 0,
            Err(first_us) => {
                self.first_received_us.fetch_min(unix_us, Ordering::Relaxed);
                unix_us.saturating_sub(first_us)
            }
        }
    }

    /// True for the one who is to compare it with its playlist; it must have been read.
    pub fn begin_listed_check(&self) -> bool {
        !self.is_listed_checked.swap(true, Ordering::Relaxed)
    }

    /// True for the one who is to check it against its predecessor; both must have been read.
    pub fn begin_continuity_check(&self) -> bool {
        !self.is_continuity_checked.swap(true, Ordering::Relaxed)
    }
}

/// Of a body.
pub fn hash_of(body: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(body);
    hasher.finish()
}

/// Receipts of parts that nobody has read yet.
struct Unread {
    record: Arc<PartRecord>,
    receipts_unix_us: Vec<u64>,
    is_segment: bool,
    seconds_left: u8,
}

/// The parts that the viewers of a worker have received.
#[derive(Default)]
pub struct Parts {
    known: HashMap<Arc<str>, Arc<PartRecord>>,
    /// As many as are known, the oldest first.
    order: VecDeque<Arc<str>>,
    unread: Vec<Unread>,
}

impl Parts {
    /// The record of a part, asked of `shared` when this worker meets it for the first time.
    pub fn record(&mut self, url: &Arc<str>, shared: impl FnOnce() -> Arc<PartRecord>) -> Arc<PartRecord> {
        if let Some(known) = self.known.get(url) {
            return Arc::clone(known);
        }
        let record = shared();
        self.known.insert(Arc::clone(url), Arc::clone(&record));
        self.order.push_back(Arc::clone(url));
        if self.order.len() > LOCAL_PARTS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        record
    }

    /// Another resource has taken the address: what was known of it is of the old one.
    pub fn replace(&mut self, url: &Arc<str>, record: Arc<PartRecord>) -> Arc<PartRecord> {
        if let Some(known) = self.known.get_mut(url) {
            *known = Arc::clone(&record);
        }
        record
    }

    /// A viewer has received a part: its latency is recorded at once, or when someone has read it.
    pub fn received(
        &mut self,
        record: &Arc<PartRecord>,
        is_segment: bool,
        unix_us: u64,
        measure: &mut Measure,
    ) {
        if let Some(read) = record.read() {
            record_latency(read, is_segment, unix_us, measure);
            return;
        }
        let waiting = self.unread.iter_mut().rev().find(|unread| Arc::ptr_eq(&unread.record, record));
        match waiting {
            Some(unread) => unread.receipts_unix_us.push(unix_us),
            None => self.unread.push(Unread {
                record: Arc::clone(record),
                receipts_unix_us: vec![unix_us],
                is_segment,
                seconds_left: UNREAD_SECONDS_MAX,
            }),
        }
    }

    /// Records what waited for a reader that has come.
    pub fn end_second(&mut self, measure: &mut Measure) {
        self.unread.retain_mut(|unread| {
            unread.seconds_left -= 1;
            match unread.record.read() {
                Some(read) => {
                    for unix_us in &unread.receipts_unix_us {
                        record_latency(read, unread.is_segment, *unix_us, measure);
                    }
                    false
                }
                None if unread.seconds_left == 0 => {
                    measure.add(Counter::PartsUnstamped, unread.receipts_unix_us.len() as u64);
                    false
                }
                None => true,
            }
        });
    }
}

fn record_latency(read: &PartRead, is_segment: bool, unix_us: u64, measure: &mut Measure) {
    let Some(stamps) = read.summary.as_ref().and_then(MediaSummary::stamps) else {
        measure.add(Counter::PartsUnstamped, 1);
        return;
    };
    let (oldest_us, newest_us) = (stamps.oldest_sent_unix_us, stamps.newest_sent_unix_us);
    if is_segment {
        measure.record_us(Meter::LatencySegment, unix_us.saturating_sub(newest_us));
    } else {
        measure.add(Counter::ReceivedBeforeSent, u64::from(unix_us + CLOCKS_APART_US < newest_us));
        measure.record_us(Meter::LatencyNewest, unix_us.saturating_sub(newest_us));
        measure.record_us(Meter::LatencyOldest, unix_us.saturating_sub(oldest_us));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_reads_and_the_first_receipt_counts() {
        let record = PartRecord::default();
        assert!(record.begin_reading());
        assert!(!record.begin_reading());
        record.give_up_reading();
        assert!(record.begin_reading());
        record.keep(PartRead { bytes: 1, hash: 2, summary: None });
        record.give_up_reading();
        assert!(!record.begin_reading(), "it was read");
        assert_eq!([record.received(1000), record.received(1500), record.received(900)], [0, 500, 0]);
        assert_eq!(record.received(1000), 100, "a worker may tell late");
    }

    #[test]
    fn receipts_wait_for_the_reader_and_no_longer_than_that() {
        let (mut parts, mut measure) = (Parts::default(), Measure::default());
        let url: Arc<str> = "http://h/p".into();
        let record = parts.record(&url, Arc::default);
        assert!(Arc::ptr_eq(&record, &parts.record(&url, || unreachable!("it is known"))));
        parts.received(&record, false, 1000, &mut measure);
        parts.end_second(&mut measure);
        assert_eq!(measure.count(Counter::PartsUnstamped), 0);
        record.keep(PartRead { bytes: 1, hash: 2, summary: None });
        parts.end_second(&mut measure);
        assert_eq!(measure.count(Counter::PartsUnstamped), 1);
        let forgotten = Arc::new(PartRecord::default());
        parts.received(&forgotten, false, 1000, &mut measure);
        for _ in 0..UNREAD_SECONDS_MAX {
            parts.end_second(&mut measure);
        }
        assert_eq!((measure.count(Counter::PartsUnstamped), parts.unread.len()), (2, 0));
    }
}
