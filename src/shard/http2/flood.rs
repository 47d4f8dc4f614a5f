//! What a peer may make us do for nothing: frames that bring no request, and requests that it takes back.

use crate::limits::{
    HTTP2_ASKING_BURST_MAX, HTTP2_ASKING_PER_S_MAX, HTTP2_IDLE_BYTES_BURST_MAX, HTTP2_IDLE_BYTES_PER_S_MAX,
    HTTP2_RESETS_BURST_MAX, HTTP2_RESETS_PER_S_MAX, HTTP2_SENT_BYTES_PER_IDLE_BYTE,
};

/// The account of one connection.
#[derive(Debug)]
pub(super) struct Flood {
    /// Bytes that brought nothing, less what was forgiven since.
    idle_bytes: u64,
    /// Received, sent and counted when that was last looked at.
    received_bytes: u64,
    sent_bytes: u64,
    asking_count: u64,
    /// Requests taken back.
    resets: Account,
    /// Frames that want to be acknowledged: no request pays for them.
    asking: Account,
    looked_us: u64,
}

/// Events of which some are allowed at once and so many a second.
#[derive(Debug, Default)]
struct Account {
    /// In millionths, less what was forgiven since.
    millionths: u64,
}

impl Account {
    fn add(&mut self, count: u64) {
        self.millionths += count * 1_000_000;
    }

    /// True when there were too many. What comes first is forgiven last: else an hour of silence would pay for the
    /// flood after it.
    fn look(&mut self, since_us: u64, burst_max: u64, per_s_max: u64) -> bool {
        let forgiven = since_us * per_s_max;
        let is_above = self.millionths > burst_max * 1_000_000 + forgiven;
        self.millionths = self.millionths.saturating_sub(forgiven);
        is_above
    }
}

impl Flood {
    pub(super) fn new(now_us: u64) -> Self {
        Self {
            idle_bytes: 0,
            received_bytes: 0,
            sent_bytes: 0,
            asking_count: 0,
            resets: Account::default(),
            asking: Account::default(),
            looked_us: now_us,
        }
    }

    /// A request came: what was received before it was for something.
    pub(super) fn request(&mut self, received_bytes: u64) {
        self.received_bytes = received_bytes;
        self.idle_bytes = 0;
    }

    /// The peer took a request back.
    pub(super) fn reset(&mut self) {
        self.resets.add(1);
    }

    /// It has been dealt with.
    pub(super) fn forget(&mut self) {
        self.idle_bytes = 0;
        (self.resets, self.asking) = (Account::default(), Account::default());
    }

    /// True when a bound is passed. Bytes and frames are those of the connection so far.
    pub(super) fn is_flooded(
        &mut self,
        received_bytes: u64,
        sent_bytes: u64,
        asking_count: u64,
        now_us: u64,
    ) -> bool {
        let since_us = now_us.saturating_sub(self.looked_us);
        let forgiven = (sent_bytes - self.sent_bytes) / HTTP2_SENT_BYTES_PER_IDLE_BYTE
            + since_us * HTTP2_IDLE_BYTES_PER_S_MAX / 1_000_000;
        self.idle_bytes += received_bytes - self.received_bytes;
        self.asking.add(asking_count - self.asking_count);
        (self.received_bytes, self.sent_bytes) = (received_bytes, sent_bytes);
        (self.asking_count, self.looked_us) = (asking_count, now_us);
        // As in an account.
        let is_idle = self.idle_bytes > HTTP2_IDLE_BYTES_BURST_MAX + forgiven;
        self.idle_bytes = self.idle_bytes.saturating_sub(forgiven);
        let is_resetting = self.resets.look(since_us, HTTP2_RESETS_BURST_MAX, HTTP2_RESETS_PER_S_MAX);
        let is_asking = self.asking.look(since_us, HTTP2_ASKING_BURST_MAX, HTTP2_ASKING_PER_S_MAX);
        is_idle || is_resetting || is_asking
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_that_bring_nothing_are_bounded_at_once_and_in_the_long_run() {
        let mut flood = Flood::new(0);
        assert!(!flood.is_flooded(HTTP2_IDLE_BYTES_BURST_MAX, 0, 0, 0));
        assert!(flood.is_flooded(HTTP2_IDLE_BYTES_BURST_MAX + 1, 0, 0, 0));
        let mut flood = Flood::new(0);
        let half = HTTP2_IDLE_BYTES_PER_S_MAX / 2;
        assert!((1..10_000).all(|second| !flood.is_flooded(second * half, 0, 0, second * 1_000_000)));
        let twice = HTTP2_IDLE_BYTES_PER_S_MAX * 2;
        let mut flood = Flood::new(0);
        assert!((1..60).any(|second| flood.is_flooded(second * twice, 0, 0, second * 1_000_000)));
    }

    #[test]
    fn requests_and_what_is_sent_are_worth_frames() {
        let mut flood = Flood::new(0);
        for round in 1..100 {
            let received = round * HTTP2_IDLE_BYTES_BURST_MAX;
            assert!(!flood.is_flooded(received, 0, 0, 0));
            flood.request(received);
        }
        let mut flood = Flood::new(0);
        assert!((1..1000).all(|round| !flood.is_flooded(round * 13 * 100, round * 100 * 1024, 0, 0)));
    }

    #[test]
    fn requests_that_are_taken_back_are_bounded() {
        let mut flood = Flood::new(0);
        (0..HTTP2_RESETS_BURST_MAX).for_each(|_| flood.reset());
        assert!(!flood.is_flooded(0, 0, 0, 0));
        flood.reset();
        assert!(flood.is_flooded(0, 0, 0, 0));
        let mut flood = Flood::new(0);
        let a_second = |second: u64| {
            (0..HTTP2_RESETS_PER_S_MAX / 2).for_each(|_| flood.reset());
            !flood.is_flooded(0, 0, 0, second * 1_000_000)
        };
        assert!((1..1000).all(a_second));
    }

    /// A request pays for the bytes before it, and not for the answers that they ask for.
    #[test]
    fn frames_that_want_to_be_acknowledged_are_bounded_whatever_is_between_them() {
        let mut flood = Flood::new(0);
        assert!(!flood.is_flooded(100, 0, HTTP2_ASKING_BURST_MAX, 0));
        flood.request(100);
        assert!(flood.is_flooded(200, 0, HTTP2_ASKING_BURST_MAX + 1, 0));
        let in_the_long_run = |per_s: u64| {
            let mut flood = Flood::new(0);
            (1..1000).any(|second| {
                flood.request(second * 1000);
                flood.is_flooded(second * 1000, 0, second * per_s, second * 1_000_000)
            })
        };
        assert!(!in_the_long_run(HTTP2_ASKING_PER_S_MAX) && in_the_long_run(HTTP2_ASKING_PER_S_MAX + 1));
    }
}
