//! How long after a part was listed those who waited for it were sent it: the first of them and the last.
//!
//! One for each list of those who wait. It is told the list's generations and the times, reads no clock and
//! allocates nothing. A crowd may still be served when the next part lands, so several landings are kept at
//! once; whoever is later than all of them counts for the oldest, by which he is at least so late.

use std::cell::Cell;

use crate::limits::LANDINGS_KEPT;

/// The newest landings of one list.
#[derive(Debug, Default)]
pub struct Landings([Cell<Landing>; LANDINGS_KEPT]);

#[derive(Debug, Clone, Copy, Default)]
struct Landing {
    /// The list's when it had landed; 0 for a place that was never used.
    generation: u64,
    listed_us: u64,
    /// Somebody was sent it.
    has_first: bool,
    /// When the last one so far was, until that has been told.
    last_us: Option<u64>,
}

impl Landing {
    fn told(self) -> (Self, Option<u64>) {
        let last = self.last_us.map(|last_us| last_us.saturating_sub(self.listed_us));
        (Self { last_us: None, ..self }, last)
    }
}

impl Landings {
    /// A part was listed then, and the list has landed for it. Returns how long the last one took of the
    /// landing whose place it gets.
    pub fn landed(&self, generation: u64, listed_us: u64) -> Option<u64> {
        let place = &self.0[generation as usize % LANDINGS_KEPT];
        place.replace(Landing { generation, listed_us, has_first: false, last_us: None }).told().1
    }

    /// Somebody who began to wait at generation `seen` is sent what he waited for. Returns how long that took,
    /// if he is the first of the landing.
    pub fn sent(&self, seen: u64, now_us: u64) -> Option<u64> {
        // What landed without listing anything, as the end of a stream does, is not among them.
        let later = self.0.iter().filter(|place| place.get().generation > seen);
        let place = later.min_by_key(|place| place.get().generation)?;
        let landing = place.get();
        place.set(Landing { has_first: true, last_us: Some(now_us), ..landing });
        (!landing.has_first).then(|| now_us.saturating_sub(landing.listed_us))
    }

    /// How long the last one took of each landing from before `listed_before_us`: nobody else is expected, and
    /// who comes all the same is told apart.
    pub fn settle(&self, listed_before_us: u64) -> impl Iterator<Item = u64> {
        let old = self.0.iter().filter(move |place| place.get().listed_us < listed_before_us);
        old.filter_map(|place| {
            let (landing, last) = place.get().told();
            place.set(landing);
            last
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_the_last_of_each_landing_are_told() {
        let landings = Landings::default();
        assert_eq!(landings.landed(1, 1000), None);
        let sent = [1200, 1300, 1700].map(|now_us| landings.sent(0, now_us));
        assert_eq!(sent, [Some(200), None, None]);
        assert_eq!(landings.settle(1000).count(), 0, "it is too young");
        assert_eq!(landings.settle(1001).collect::<Vec<_>>(), [700]);
        assert_eq!(landings.settle(1001).count(), 0, "told once");
    }

    #[test]
    fn who_is_still_served_when_the_next_part_lands_counts_for_his_own() {
        let landings = Landings::default();
        landings.landed(1, 1000);
        landings.sent(0, 1100);
        landings.landed(2, 2000);
        assert_eq!(landings.sent(1, 2050), Some(50));
        assert_eq!(landings.sent(0, 2900), None, "not the first of the first landing");
        assert_eq!(landings.settle(u64::MAX).collect::<Vec<_>>(), [1900, 50]);
    }

    #[test]
    fn a_landing_that_lists_nothing_counts_for_nobody() {
        let landings = Landings::default();
        landings.landed(1, 1000);
        // Generation 2 was the end of the stream: who waited for it has seen 1.
        assert_eq!(landings.sent(1, 2000), None);
        // And who was woken by it in vain waits on at 2, for the part at 3.
        landings.landed(3, 3000);
        assert_eq!(landings.sent(2, 3010), Some(10));
        assert_eq!(landings.settle(u64::MAX).collect::<Vec<_>>(), [10]);
    }

    #[test]
    fn a_place_is_told_before_it_is_used_again_and_the_latest_counts_for_the_oldest_kept() {
        let landings = Landings::default();
        for generation in 1..=LANDINGS_KEPT as u64 {
            assert_eq!(landings.landed(generation, 1000 * generation), None);
            landings.sent(generation - 1, 1000 * generation + generation);
        }
        let next = LANDINGS_KEPT as u64 + 1;
        assert_eq!(landings.landed(next, 1000 * next), Some(1), "of the first landing");
        assert_eq!(landings.landed(next + 1, 1000 * (next + 1)), Some(2));
        // He waited for the first one, which is forgotten.
        assert_eq!(landings.sent(0, 50_000), None);
        assert_eq!(landings.settle(u64::MAX).max(), Some(50_000 - 3000));
    }
}
