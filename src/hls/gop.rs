//! What must be known of a publisher before its session is planned: which tracks it has, and how
//! long its groups of pictures (GOP) are.

use crate::limits::{GOP_LEARNING_MS_MAX, TRACK_LEARNING_MS_MAX};
use crate::media::{Now, TrackKind};

/// Learns the longest group of pictures, unless the encoder or the configuration said it.
#[derive(Debug, Clone, Default)]
pub struct GopLearner {
    known_ms: Option<u32>,
    /// Timestamps of the first key frame, the newest one, and the newest frame, milliseconds.
    first_key_ms: Option<i64>,
    key_ms: i64,
    newest_ms: i64,
    /// Longest complete group.
    longest_ms: Option<u32>,
}

/// A publisher whose first group is short may open with scene cuts: watched for at least this long.
const WATCHED_MS_MIN: i64 = 3000;

impl GopLearner {
    /// `known_ms`: x264's `keyint` frames as milliseconds, or the configured length.
    pub fn new(known_ms: Option<u32>) -> Self {
        Self { known_ms, ..Self::default() }
    }

    /// A frame of the track that cuts are made on, by its unwrapped decode timestamp.
    pub fn handle_frame(&mut self, dts_ms: i64, key: bool) {
        let Some(_) = self.first_key_ms else {
            if key {
                (self.first_key_ms, self.key_ms, self.newest_ms) = (Some(dts_ms), dts_ms, dts_ms);
            }
            return;
        };
        self.newest_ms = self.newest_ms.max(dts_ms);
        if key {
            let length = u32::try_from(dts_ms.saturating_sub(self.key_ms)).unwrap_or(0);
            self.longest_ms = self.longest_ms.max(Some(length));
            self.key_ms = dts_ms;
        }
    }

    /// The expected length, milliseconds, once it is decided: the known one at once; the longest
    /// seen after 3 s and a complete group; `unseen_ms` after 12 s without one.
    pub fn expected_ms(&self, unseen_ms: u32) -> Option<u32> {
        if self.known_ms.is_some() {
            return self.known_ms;
        }
        let watched_ms = self.newest_ms.saturating_sub(self.first_key_ms?);
        match self.longest_ms {
            Some(_) if watched_ms >= WATCHED_MS_MIN => self.longest_ms(),
            _ if watched_ms >= i64::from(GOP_LEARNING_MS_MAX) => Some(unseen_ms),
            _ => None,
        }
    }

    /// The longest complete group so far, for one who cannot wait for more; at most 12 s.
    pub fn longest_ms(&self) -> Option<u32> {
        self.longest_ms.map(|longest| longest.min(GOP_LEARNING_MS_MAX))
    }
}

/// Learns which kinds of track a publisher has.
#[derive(Debug, Clone, Default)]
pub struct TrackLearner {
    /// What its metadata announced.
    expected: Vec<TrackKind>,
    seen: Vec<TrackKind>,
    /// Monotonic microseconds of the first coded frame.
    first_us: Option<u64>,
}

impl TrackLearner {
    /// onMetaData announced these kinds, and no others.
    pub fn expect(&mut self, kinds: &[TrackKind]) {
        self.expected = kinds.to_vec();
    }

    /// A coded frame of this kind came.
    pub fn handle_frame(&mut self, kind: TrackKind, now: Now) {
        self.first_us.get_or_insert(now.monotonic_us);
        if !self.seen.contains(&kind) {
            self.seen.push(kind);
        }
    }

    /// True when everything announced (else both kinds) was seen, or a second after the first frame.
    pub fn is_done(&self, now: Now) -> bool {
        let both = [TrackKind::Video, TrackKind::Audio];
        let awaited = if self.expected.is_empty() { &both[..] } else { &self.expected };
        let complete = awaited.iter().all(|kind| self.seen.contains(kind));
        self.deadline_us().is_some_and(|deadline| complete || now.monotonic_us >= deadline)
    }

    /// When waiting ends, monotonic microseconds; `None` before the first frame.
    pub fn deadline_us(&self) -> Option<u64> {
        self.first_us.map(|first| first.saturating_add(TRACK_LEARNING_MS_MAX * 1000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learn(known_ms: Option<u32>, keys_ms: &[i64], until_ms: i64) -> Option<u32> {
        let mut learner = GopLearner::new(known_ms);
        for dts in (0..=until_ms).step_by(20) {
            learner.handle_frame(dts, keys_ms.contains(&dts));
        }
        learner.expected_ms(2000)
    }

    #[test]
    fn the_longest_group_counts_once_one_is_complete_and_3_s_have_passed() {
        assert_eq!(learn(None, &[0, 1000, 2000], 2980), None);
        assert_eq!(learn(None, &[0, 1000, 2000], 3000), Some(1000));
        assert_eq!(learn(None, &[0, 400, 2400], 3000), Some(2000));
        assert_eq!(learn(None, &[0], 8300), None);
        assert_eq!(learn(None, &[0, 8320], 8320), Some(8320));
        assert_eq!(learn(None, &[0], 11_980), None);
        assert_eq!(learn(None, &[0], 12_000), Some(2000));
        assert_eq!(learn(None, &[], 12_000), None);
        assert_eq!(learn(None, &[500, 1500], 3000), None, "counted from the first key frame");
        assert_eq!(learn(Some(8333), &[], 0), Some(8333));
    }

    #[test]
    fn tracks_are_waited_for_until_all_announced_came_or_a_second_passed() {
        let at = |ms: u64| Now { monotonic_us: ms * 1000, unix_us: 0 };
        let mut learner = TrackLearner::default();
        assert!(!learner.is_done(at(99_000)));
        learner.handle_frame(TrackKind::Video, at(5000));
        assert!(!learner.is_done(at(5999)));
        assert!(learner.is_done(at(6000)));
        learner.handle_frame(TrackKind::Audio, at(5100));
        assert!(learner.is_done(at(5100)));

        let mut video_only = TrackLearner::default();
        video_only.expect(&[TrackKind::Video]);
        assert!(!video_only.is_done(at(0)));
        video_only.handle_frame(TrackKind::Video, at(5000));
        assert!(video_only.is_done(at(5000)));
    }
}
