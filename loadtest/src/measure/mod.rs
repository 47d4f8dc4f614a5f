//! What a worker counts and times, and how the seconds of all workers become one.
//!
//! A worker writes to its own [`Measure`] and hands it over once a second: no two cores share a counter.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use crate::fault::{Fault, FaultKind};

/// Longest time that is told apart, in microseconds: an hour.
const TIME_MAX_US: u64 = 3_600_000_000;
/// Significant digits of a time.
const DIGITS: u8 = 3;
/// Examples kept of one kind of fault.
const EXAMPLES_MAX: usize = 5;

macro_rules! names {
    ($(#[$enum_doc:meta])+ $enum:ident { $($(#[$doc:meta])+ $value:ident = $name:literal,)+ }) => {
        $(#[$enum_doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $enum { $($(#[$doc])+ $value,)+ }

        impl $enum {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$value),+];

            /// Its name in the report.
            pub fn name(self) -> &'static str {
                match self { $(Self::$value => $name,)+ }
            }
        }
    };
}

names! {
    /// A distribution of times.
    Meter {
        /// Newest frame of a part: sent by the publisher to received by a viewer.
        LatencyNewest = "latency_newest",
        /// Oldest frame of a part, likewise.
        LatencyOldest = "latency_oldest",
        /// End of a part by the playlist's PROGRAM-DATE-TIME to received: for streams without stamps.
        LatencyDate = "latency_date",
        /// Newest frame of a whole segment, for players without low latency.
        LatencySegment = "latency_segment",
        /// First viewer's receipt of a part to each viewer's.
        Spread = "spread",
        /// From when a viewer was to join to when it could show its first picture.
        Join = "join",
        /// A reload of a playlist: from when it was due to its answer, the wait for media included.
        Reload = "reload",
        /// A part: from when its playlist arrived to its last byte.
        Part = "part",
        /// A stall, from its beginning to its end.
        Stall = "stall",
        /// How late a publisher sent a frame.
        PublisherLate = "publisher_late",
        /// How late the load generator's own timers were.
        OwnLateness = "own_lateness",
        /// How long answers had been here when they were read. It is taken off all times of arrival.
        ReadLateness = "read_lateness",
    }
}

names! {
    /// A number that only grows.
    Counter {
        /// Answers received whole, of any status.
        Requests = "requests",
        /// Bytes of answers, heads included.
        ReceivedBytes = "received_bytes",
        /// Playlists received.
        Reloads = "reloads",
        /// Parts received.
        Parts = "parts",
        /// Whole segments received.
        Segments = "segments",
        /// Parts and segments that were read and checked, not just counted.
        Verified = "verified",
        /// Parts that a viewer should have had and did not: withdrawn, refused, or past the window.
        PartsSkipped = "parts_skipped",
        /// Parts received whose frames carry no stamp.
        PartsUnstamped = "parts_unstamped",
        /// Hinted parts that were withdrawn, or came under another address.
        HintsWrong = "hints_wrong",
        /// Viewers that began.
        Joins = "joins",
        /// Viewers that never had a picture.
        JoinsFailed = "joins_failed",
        /// Viewers that left.
        Leaves = "leaves",
        /// Viewers that vanished without a word.
        Vanished = "vanished",
        /// Times that a playhead reached the end of what was received.
        Stalls = "stalls",
        /// Microseconds that viewers stood still, in all.
        StalledUs = "stalled_us",
        /// Microseconds that viewers played or stood still, in all.
        WatchedUs = "watched_us",
        /// Parts that came before they were sent, by the clocks of two hosts.
        ReceivedBeforeSent = "received_before_sent",
        /// Connections that this host could not open: descriptors or ports ran out.
        OwnErrors = "own_errors",
        /// Frames published.
        FramesSent = "frames_sent",
        /// Bytes published.
        SentBytes = "sent_bytes",
        /// Frames sent more than 10 ms after their time, by this tool's own fault.
        LateSends = "late_sends",
        /// Frames for which the server's socket had no room at first.
        BlockedSends = "blocked_sends",
        /// Publishes that were accepted.
        Publishes = "publishes",
        /// Publishers whose connection the server ended, or did not accept.
        PublishersLost = "publishers_lost",
    }
}

/// What a worker has seen since the last second's end.
#[derive(Debug, Clone)]
pub struct Measure {
    meters: Vec<Histogram<u64>>,
    counters: Vec<u64>,
    /// By kind, with the first examples.
    pub faults: BTreeMap<FaultKind, (u64, Vec<String>)>,
    /// Viewers now.
    pub viewers: u64,
    /// Publishers now that are accepted.
    pub publishers: u64,
}

impl Default for Measure {
    fn default() -> Self {
        let meters = Meter::ALL.iter().map(|_| empty_histogram()).collect();
        Self {
            meters,
            counters: vec![0; Counter::ALL.len()],
            faults: BTreeMap::new(),
            viewers: 0,
            publishers: 0,
        }
    }
}

/// A histogram of microseconds up to an hour.
pub fn empty_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, TIME_MAX_US, DIGITS).expect("bounds that the library allows")
}

impl Meter {
    /// Of the whole run, ramps and warm-up included: it happens once a viewer.
    pub fn is_of_whole_run(self) -> bool {
        self == Self::Join
    }
}

impl Counter {
    /// Of the whole run, ramps and warm-up included: these happen at the beginning.
    pub fn is_of_whole_run(self) -> bool {
        matches!(
            self,
            Self::Joins | Self::JoinsFailed | Self::Publishes | Self::PublishersLost | Self::OwnErrors
        )
    }
}

impl Measure {
    /// Records a time of something that happens every `every_us`: those that it kept from happening are recorded
    /// as well, each as late as it would have been.
    pub fn record_corrected_us(&mut self, meter: Meter, time_us: u64, every_us: u64) {
        // Bounds were chosen for an hour; a time beyond them counts as an hour.
        let _ = self.meters[meter as usize].record_correct(time_us.clamp(1, TIME_MAX_US), every_us.max(1));
    }

    /// Records a time; what is longer than an hour counts as an hour.
    pub fn record_us(&mut self, meter: Meter, time_us: u64) {
        self.meters[meter as usize].saturating_record(time_us.max(1));
    }

    /// Adds to a counter.
    pub fn add(&mut self, counter: Counter, count: u64) {
        self.counters[counter as usize] += count;
    }

    /// Counts a fault.
    pub fn fault(&mut self, fault: Fault) {
        let (count, examples) = self.faults.entry(fault.kind).or_default();
        *count += 1;
        if examples.len() < EXAMPLES_MAX && !examples.contains(&fault.detail) {
            examples.push(fault.detail);
        }
    }

    /// The times of one meter.
    pub fn meter(&self, meter: Meter) -> &Histogram<u64> {
        &self.meters[meter as usize]
    }

    /// The value of one counter.
    pub fn count(&self, counter: Counter) -> u64 {
        self.counters[counter as usize]
    }

    /// Faults of all kinds.
    pub fn faults_count(&self) -> u64 {
        self.faults.values().map(|(count, _)| count).sum()
    }

    /// What was seen so far, leaving zeros; viewers and publishers stay.
    pub fn take(&mut self) -> Self {
        let fresh = Self { viewers: self.viewers, publishers: self.publishers, ..Self::default() };
        std::mem::replace(self, fresh)
    }

    /// Adds what another worker saw in the same second.
    pub fn merge(&mut self, other: &Self) {
        self.append(other);
        self.viewers += other.viewers;
        self.publishers += other.publishers;
    }

    /// Adds a later second, whose viewers and publishers take the place of these.
    pub fn append_second(&mut self, later: &Self) {
        self.append(later);
        (self.viewers, self.publishers) = (later.viewers, later.publishers);
    }

    /// Adds what was seen, leaving the numbers of those who are there.
    pub fn append(&mut self, other: &Self) {
        for (mine, theirs) in self.meters.iter_mut().zip(&other.meters) {
            mine.add(theirs).expect("histograms of the same bounds");
        }
        for (mine, theirs) in self.counters.iter_mut().zip(&other.counters) {
            *mine += theirs;
        }
        for (kind, (count, examples)) in &other.faults {
            let (mine, mine_examples) = self.faults.entry(*kind).or_default();
            *mine += count;
            for example in examples {
                if mine_examples.len() < EXAMPLES_MAX && !mine_examples.contains(example) {
                    mine_examples.push(example.clone());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_of_a_second_add_up_and_seconds_follow_one_another() {
        let mut first = Measure { viewers: 3, ..Measure::default() };
        first.record_us(Meter::Join, 1500);
        first.add(Counter::Parts, 2);
        first.fault(Fault::new(FaultKind::Cut, "a"));
        let mut second = Measure { viewers: 4, ..Measure::default() };
        second.record_us(Meter::Join, 2 * TIME_MAX_US);
        second.fault(Fault::new(FaultKind::Cut, "a"));
        second.fault(Fault::new(FaultKind::Cut, "b"));
        first.merge(&second);
        assert_eq!((first.viewers, first.meter(Meter::Join).len(), first.faults_count()), (7, 2, 3));
        assert_eq!(first.faults[&FaultKind::Cut].1, ["a", "b"]);

        let later = Measure { viewers: 5, ..Measure::default() };
        first.append_second(&later);
        assert_eq!((first.viewers, first.count(Counter::Parts)), (5, 2));
        let taken = first.take();
        assert_eq!((taken.count(Counter::Parts), first.count(Counter::Parts), first.viewers), (2, 0, 5));
    }

    #[test]
    fn names_are_distinct() {
        let names: std::collections::BTreeSet<_> =
            Counter::ALL.iter().map(|counter| counter.name()).collect();
        assert_eq!(names.len(), Counter::ALL.len());
        for (index, counter) in Counter::ALL.iter().enumerate() {
            assert_eq!(*counter as usize, index);
        }
    }
}
