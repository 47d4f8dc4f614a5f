//! What a peer may make us do for nothing: frames that bring no request, and requests that it takes back.

use crate::limits::{
    HTTP2_IDLE_BYTES_BURST_MAX, HTTP2_IDLE_BYTES_PER_S_MAX, HTTP2_RESETS_BURST_MAX, HTTP2_RESETS_PER_S_MAX,
    HTTP2_SENT_BYTES_PER_IDLE_BYTE,
};

/// The account of one connection.
#[derive(Debug)]
pub(super) struct Flood {
    /// Bytes that brought nothing, less what was forgiven since.
    idle_bytes: u64,
    /// Received and sent when that was last looked at.
    received_bytes: u64,
    sent_bytes: u64,
    /// Requests taken back, in millionths, less what was forgiven since.
    resets_millionths: u64,
    looked_us: u64,
}

impl Flood {
    pub(super) fn new(now_us: u64) -> Self {
        Self { idle_bytes: 0, received_bytes: 0, sent_bytes: 0, resets_millionths: 0, looked_us: now_us }
    }

    /// A request came: what was received before it was for something.
    pub(super) fn request(&mut self, received_bytes: u64) {
        self.received_bytes = received_bytes;
        self.idle_bytes = 0;
    }

    /// The peer took a request back.
    pub(super) fn reset(&mut self) {
        self.resets_millionths += 1_000_000;
    }

    /// It has been dealt with.
    pub(super) fn forget(&mut self) {
        (self.idle_bytes, self.resets_millionths) = (0, 0);
    }

    /// True when a bound is passed.
    pub(super) fn is_flooded(&mut self, received_bytes: u64, sent_bytes: u64, now_us: u64) -> bool {
        let since_us = now_us.saturating_sub(self.looked_us);
        let forgiven = (sent_bytes - self.sent_bytes) / HTTP2_SENT_BYTES_PER_IDLE_BYTE
            + since_us * HTTP2_IDLE_BYTES_PER_S_MAX / 1_000_000;
        self.idle_bytes += received_bytes - self.received_bytes;
        (self.received_bytes, self.sent_bytes, self.looked_us) = (received_bytes, sent_bytes, now_us);
        // What comes first is forgiven last: else an hour of silence would pay for the flood after it.
        let is_flooded = self.idle_bytes > HTTP2_IDLE_BYTES_BURST_MAX + forgiven
            || self.resets_millionths
                > HTTP2_RESETS_BURST_MAX * 1_000_000 + since_us * HTTP2_RESETS_PER_S_MAX;
        self.idle_bytes = self.idle_bytes.saturating_sub(forgiven);
        self.resets_millionths = self.resets_millionths.saturating_sub(since_us * HTTP2_RESETS_PER_S_MAX);
        is_flooded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_that_bring_nothing_are_bounded_at_once_and_in_the_long_run() {
        let mut flood = Flood::new(0);
        assert!(!flood.is_flooded(HTTP2_IDLE_BYTES_BURST_MAX, 0, 0));
        assert!(flood.is_flooded(HTTP2_IDLE_BYTES_BURST_MAX + 1, 0, 0));
        let mut flood = Flood::new(0);
        let half = HTTP2_IDLE_BYTES_PER_S_MAX / 2;
        assert!((1..10_000).all(|second| !flood.is_flooded(second * half, 0, second * 1_000_000)));
        let twice = HTTP2_IDLE_BYTES_PER_S_MAX * 2;
        let mut flood = Flood::new(0);
        assert!((1..60).any(|second| flood.is_flooded(second * twice, 0, second * 1_000_000)));
    }

    #[test]
    fn requests_and_what_is_sent_are_worth_frames() {
        let mut flood = Flood::new(0);
        for round in 1..100 {
            let received = round * HTTP2_IDLE_BYTES_BURST_MAX;
            assert!(!flood.is_flooded(received, 0, 0));
            flood.request(received);
        }
        let mut flood = Flood::new(0);
        assert!((1..1000).all(|round| !flood.is_flooded(round * 13 * 100, round * 100 * 1024, 0)));
    }

    #[test]
    fn requests_that_are_taken_back_are_bounded() {
        let mut flood = Flood::new(0);
        (0..HTTP2_RESETS_BURST_MAX).for_each(|_| flood.reset());
        assert!(!flood.is_flooded(0, 0, 0));
        flood.reset();
        assert!(flood.is_flooded(0, 0, 0));
        let mut flood = Flood::new(0);
        let a_second = |second: u64| {
            (0..HTTP2_RESETS_PER_S_MAX / 2).for_each(|_| flood.reset());
            !flood.is_flooded(0, 0, second * 1_000_000)
        };
        assert!((1..1000).all(a_second));
    }
}
