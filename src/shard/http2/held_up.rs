//! How long a response is waited for whose stream has no window, or no turn.

use crate::limits::{HTTP_SEND_FILL_US, HTTP_SEND_LENT_US_MAX, HTTP2_WINDOW_LOOK_US};
use crate::shard::patience::Patience;

/// The time that a peer has left to open a stream's window. Its clock runs only while the stream is without one; what
/// the peer took before that may lie in buffers unread, and earns little.
#[derive(Debug)]
pub(super) struct HeldUp {
    /// Without a window so far, microseconds.
    for_us: u64,
    has_waited: bool,
    patience: Patience,
    /// Since when something holds it up, and when it is given up, whatever that is.
    since_and_end_us: Option<(u64, u64)>,
}

impl Default for HeldUp {
    fn default() -> Self {
        Self { for_us: 0, has_waited: false, patience: Patience::new(0), since_and_end_us: None }
    }
}

impl HeldUp {
    /// It is held up at `now_us`: when it is given up at the latest, `patience_us` after that was so for the first
    /// time.
    pub(super) fn end_us(&mut self, now_us: u64, patience_us: u64) -> u64 {
        self.since_and_end_us.get_or_insert((now_us, now_us + patience_us)).1
    }

    /// It had no window from then until now. While the socket is full the connection's own deadline holds.
    pub(super) fn waited(&mut self, from_us: u64, now_us: u64, is_socket_full: bool) {
        self.has_waited = true;
        if !is_socket_full {
            // A look that took longer was this shard's fault.
            self.for_us += (now_us - from_us).min(2 * HTTP2_WINDOW_LOOK_US);
        }
    }

    /// The peer has let it send so much more.
    pub(super) fn took(&mut self, bytes: u64) {
        let at_us = if self.has_waited { self.for_us.max(HTTP_SEND_FILL_US) } else { 0 };
        self.patience.took(bytes, at_us);
    }

    /// It is given up, with `left_bytes` still to be sent: sooner while slow readers hold too much.
    pub(super) fn is_late(&self, left_bytes: u64, now_us: u64, is_lending_too_much: bool) -> bool {
        let is_over = |(since_us, end_us): (u64, u64)| {
            now_us > end_us || is_lending_too_much && now_us > since_us + HTTP_SEND_LENT_US_MAX
        };
        self.for_us > self.patience.until_us(left_bytes, is_lending_too_much)
            || self.since_and_end_us.is_some_and(is_over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{HTTP_SEND_BYTES_PER_S_MIN, HTTP_SEND_STALL_US_MAX};

    const S: u64 = 1_000_000;
    const LOOK: u64 = HTTP2_WINDOW_LOOK_US;
    const LINE: u64 = HTTP_SEND_BYTES_PER_S_MIN;

    /// Waits look by look from `now_us` on, until it is late or `for_us` are over. Returns when.
    fn wait(held_up: &mut HeldUp, now_us: u64, for_us: u64, left_bytes: u64) -> (bool, u64) {
        let mut at_us = now_us;
        while at_us < now_us + for_us {
            held_up.waited(at_us, at_us + LOOK, false);
            at_us += LOOK;
            if held_up.is_late(left_bytes, at_us, false) {
                return (true, at_us);
            }
        }
        (false, at_us)
    }

    #[test]
    fn a_window_that_never_opens_is_waited_for_ten_seconds_and_twice_that_with_what_buffers_hold() {
        let mut held_up = HeldUp::default();
        let (is_late, at_us) = wait(&mut held_up, 5 * S, 60 * S, 1000 * LINE);
        assert!(is_late && at_us.abs_diff(5 * S + HTTP_SEND_STALL_US_MAX) <= LOOK, "{at_us}");
        let mut held_up = HeldUp::default();
        held_up.took(1000 * LINE);
        let (is_late, at_us) = wait(&mut held_up, 5 * S, 60 * S, 1000 * LINE);
        assert!(is_late && at_us.abs_diff(5 * S + 2 * HTTP_SEND_STALL_US_MAX) <= LOOK, "{at_us}");
    }

    #[test]
    fn the_slowest_line_is_served_to_its_end_and_half_of_it_is_not() {
        for (line, is_served) in [(LINE + LINE / 8, true), (LINE / 2, false)] {
            let (mut held_up, mut now_us, mut left) = (HeldUp::default(), 0, 200 * LINE);
            let mut is_late = false;
            while left > 0 && !is_late {
                // A window of what it reads in five seconds.
                (is_late, now_us) = wait(&mut held_up, now_us, 5 * S, left);
                let taken = left.min(5 * line);
                held_up.took(taken);
                left -= taken;
            }
            assert_eq!(is_late, !is_served, "{line} bytes a second, {left} left");
        }
    }

    #[test]
    fn time_of_a_full_socket_and_of_a_shard_that_stood_still_does_not_count() {
        let mut held_up = HeldUp::default();
        held_up.waited(0, 100 * S, true);
        held_up.waited(0, 100 * S, false);
        assert_eq!(held_up.for_us, 2 * LOOK);
        assert!(!held_up.is_late(1000 * LINE, 100 * S, false));
    }

    #[test]
    fn whatever_holds_it_up_there_is_an_end() {
        let mut held_up = HeldUp::default();
        assert!(!held_up.is_late(LINE, u64::MAX, true), "it was never held up");
        assert_eq!(held_up.end_us(7 * S, 30 * S), 37 * S);
        // Counted once.
        assert_eq!(held_up.end_us(20 * S, 30 * S), 37 * S);
        assert!(!held_up.is_late(LINE, 37 * S, false) && held_up.is_late(LINE, 37 * S + 1, false));
        let lent_us = 7 * S + HTTP_SEND_LENT_US_MAX;
        assert!(!held_up.is_late(LINE, lent_us, true) && held_up.is_late(LINE, lent_us + 1, true));
    }
}
