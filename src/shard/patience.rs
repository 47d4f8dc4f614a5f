//! How long a peer may take nothing of what it is owed.

use crate::limits::{
    HTTP_SEND_BYTES_PER_S_MIN, HTTP_SEND_EARNED_US_MAX, HTTP_SEND_FILL_EARNED_US_MAX, HTTP_SEND_FILL_US,
    HTTP_SEND_LENT_US_MAX, HTTP_SEND_STALL_US_MAX,
};

/// The time that a reader has left: ten seconds without progress are always granted, more to one who is ahead of
/// the slowest line there may be. A kernel with a buffer of megabytes tells of new room in large steps, which lie
/// far apart when its reader is slow. What the sockets take in the first second earns little: they hold it
/// themselves, whether anybody reads or not.
///
/// Its clock is the caller's, in microseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    since_us: u64,
    moved_us: u64,
    taken_bytes: u64,
    /// Of these, what the sockets took in the beginning.
    filled_bytes: u64,
}

impl Patience {
    /// From `now_us` on something is owed.
    pub(super) fn new(now_us: u64) -> Self {
        Self { since_us: now_us, moved_us: now_us, taken_bytes: 0, filled_bytes: 0 }
    }

    /// The peer has taken some of it.
    pub(super) fn took(&mut self, bytes: u64, now_us: u64) {
        if bytes > 0 {
            self.moved_us = now_us;
            self.taken_bytes += bytes;
            if now_us < self.since_us + HTTP_SEND_FILL_US {
                self.filled_bytes += bytes;
            }
        }
    }

    /// When it is given up, with `left_bytes` still to be taken: at the latest when the slowest line would have
    /// taken everything, and long before that while slow readers hold too much.
    pub(super) fn until_us(&self, left_bytes: u64, is_lending_too_much: bool) -> u64 {
        if is_lending_too_much {
            return self.until_us(left_bytes, false).min(self.since_us + HTTP_SEND_LENT_US_MAX);
        }
        let line_us = |bytes: u64| bytes.saturating_mul(1_000_000) / HTTP_SEND_BYTES_PER_S_MIN;
        let earned_us = line_us(self.filled_bytes).min(HTTP_SEND_FILL_EARNED_US_MAX)
            + line_us(self.taken_bytes - self.filled_bytes);
        let rest_us =
            (self.since_us + earned_us).clamp(self.moved_us, self.moved_us + HTTP_SEND_EARNED_US_MAX);
        rest_us.min(self.since_us + line_us(self.taken_bytes + left_bytes)) + HTTP_SEND_STALL_US_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000;
    const LINE: u64 = HTTP_SEND_BYTES_PER_S_MIN;

    #[test]
    fn who_takes_nothing_has_ten_seconds_and_with_what_the_sockets_hold_twenty() {
        let mut patience = Patience::new(5 * S);
        assert_eq!(patience.until_us(1000 * LINE, false), 5 * S + HTTP_SEND_STALL_US_MAX);
        patience.took(50 * LINE, 5 * S);
        patience.took(50 * LINE, 5 * S + HTTP_SEND_FILL_US / 2);
        let until_us = 5 * S + HTTP_SEND_FILL_EARNED_US_MAX + HTTP_SEND_STALL_US_MAX;
        assert_eq!(patience.until_us(900 * LINE, false), until_us);
    }

    /// `curl --limit-rate 25k` behind a buffer of a megabyte: half of it at a time, 21 s apart.
    #[test]
    fn who_takes_much_at_a_time_may_rest_until_the_slowest_line_has_caught_up() {
        let (mut patience, mut now_us, mut left) = (Patience::new(0), 0, 4 << 20);
        while left > 0 {
            let step = left.min(480 << 10);
            patience.took(step, now_us);
            left -= step;
            now_us += step * S / 25_000;
            assert!(
                left == 0 || now_us < patience.until_us(left, false),
                "cut after {now_us} µs, {left} bytes left"
            );
        }
    }

    #[test]
    fn while_slow_readers_hold_too_much_nobody_has_longer_than_a_player_has_a_use_for() {
        let mut patience = Patience::new(S);
        patience.took(100 * LINE, 15 * S);
        assert_eq!(patience.until_us(1000 * LINE, true), S + HTTP_SEND_LENT_US_MAX);
        assert!(patience.until_us(1000 * LINE, false) > 60 * S);
        // Who takes nothing has no longer for it.
        assert_eq!(Patience::new(S).until_us(1000 * LINE, true), S + HTTP_SEND_STALL_US_MAX);
    }

    #[test]
    fn no_rest_is_longer_than_the_bound() {
        let mut patience = Patience::new(0);
        patience.took(10_000 * LINE, 2 * S);
        assert_eq!(patience.until_us(LINE, false), 2 * S + HTTP_SEND_EARNED_US_MAX + HTTP_SEND_STALL_US_MAX);
    }

    /// A byte now and then is progress, and not enough.
    #[test]
    fn who_trickles_has_no_longer_than_the_slowest_line() {
        let (mut patience, mut now_us) = (Patience::new(0), 0);
        while now_us < patience.until_us(100 * LINE, false) {
            now_us += 9 * S;
            patience.took(1, now_us);
        }
        assert!(now_us > 100 * S && now_us < 100 * S + 2 * HTTP_SEND_STALL_US_MAX);
    }
}
