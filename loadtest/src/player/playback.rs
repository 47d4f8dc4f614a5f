//! The playback clock of a viewer: where its playhead is, and when it stands still.
//!
//! Media time runs from the point where playback begins, which is PART-HOLD-BACK before the live edge; each
//! rendition's buffer ends where the parts received in order end. The playhead stops at the buffer that ends
//! first, and goes on when every rendition has more. Nothing speeds up or seeks to catch up: what a stall costs
//! stays, as with hls.js at its defaults.

/// A playhead may be this far past the buffer: the last picture stands a frame longer, and nobody sees it.
const OVERRUN_US: i64 = 20_000;

/// A stall that ended, or that is still going on when it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stall {
    /// How long it lasted, in microseconds.
    pub stalled_us: u64,
}

/// The clock of one viewer.
#[derive(Debug, Clone)]
pub struct Playback {
    /// End of each rendition's buffer; `None` once it has received the stream's end.
    buffered_us: Vec<Option<i64>>,
    state: State,
    stalls_begun: u64,
    /// Of stalls that ended, what was not yet taken.
    stalled_us: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Not enough for the first picture yet.
    Starting,
    /// At media time 0 when the monotonic clock said so.
    Playing { zero_us: i64 },
    /// At this media time since then; what was not yet taken of it begins at `untaken_us`.
    Stalled { position_us: i64, since_us: u64, untaken_us: u64 },
    /// At this media time until the viewer goes on.
    Paused { position_us: i64 },
}

impl Playback {
    /// A clock for this many renditions, of which nothing was received.
    ///
    /// `lead_us` says for each how far before the point of playback its first part begins: 0 or less than
    /// a segment.
    pub fn new(lead_us: &[u64]) -> Self {
        let buffered_us = lead_us.iter().map(|lead_us| Some(-(*lead_us as i64))).collect();
        Self { buffered_us, state: State::Starting, stalls_begun: 0, stalled_us: 0 }
    }

    /// True once there was a first picture.
    pub fn has_started(&self) -> bool {
        self.state != State::Starting
    }

    /// True while the playhead moves.
    pub fn is_playing(&self) -> bool {
        matches!(self.state, State::Playing { .. })
    }

    /// How far the buffer reaches past the playhead, in microseconds.
    pub fn ahead_us(&self, now_us: u64) -> u64 {
        let Some(end_us) = self.end_us() else { return u64::MAX };
        end_us.saturating_sub(self.position_us(now_us)).max(0) as u64
    }

    /// A rendition received `media_us` more, in order. Returns the stall that this ends.
    pub fn received(&mut self, rendition: usize, media_us: u64, now_us: u64) -> Option<Stall> {
        self.look(now_us);
        if let Some(Some(end_us)) = self.buffered_us.get_mut(rendition) {
            *end_us += media_us as i64;
        }
        self.go_on(now_us)
    }

    /// A rendition has received all that there will be. Returns the stall that this ends.
    pub fn ended(&mut self, rendition: usize, now_us: u64) -> Option<Stall> {
        self.look(now_us);
        if let Some(end_us) = self.buffered_us.get_mut(rendition) {
            *end_us = None;
        }
        self.go_on(now_us)
    }

    /// Sees whether the playhead has reached the end of the buffer.
    pub fn look(&mut self, now_us: u64) {
        let State::Playing { zero_us } = self.state else { return };
        let Some(end_us) = self.end_us() else { return };
        if now_us as i64 - zero_us > end_us + OVERRUN_US {
            let since_us = (zero_us + end_us).max(0) as u64;
            self.state = State::Stalled { position_us: end_us, since_us, untaken_us: since_us };
            self.stalls_begun += 1;
        }
    }

    /// Stalls that have begun since this was last asked.
    pub fn take_stalls_begun(&mut self) -> u64 {
        std::mem::take(&mut self.stalls_begun)
    }

    /// Microseconds stood still since this was last asked, a stall that is going on included.
    pub fn take_stalled_us(&mut self, now_us: u64) -> u64 {
        let mut stalled_us = std::mem::take(&mut self.stalled_us);
        if let State::Stalled { untaken_us, .. } = &mut self.state {
            stalled_us += now_us.saturating_sub(*untaken_us);
            *untaken_us = now_us;
        }
        stalled_us
    }

    /// It stands still from now on, and that is no stall: the viewer pauses.
    pub fn pause(&mut self, now_us: u64) {
        self.look(now_us);
        let position_us = self.position_us(now_us);
        if let State::Stalled { untaken_us, .. } = self.state {
            self.stalled_us += now_us.saturating_sub(untaken_us);
        }
        if self.state != State::Starting {
            self.state = State::Paused { position_us };
        }
    }

    /// The pause is over.
    pub fn resume(&mut self, now_us: u64) {
        let State::Paused { position_us } = self.state else { return };
        self.state = State::Playing { zero_us: now_us as i64 - position_us };
        // What ran out before the pause has still run out.
        self.look(now_us);
    }

    fn go_on(&mut self, now_us: u64) -> Option<Stall> {
        let ahead_of = |position_us: i64| self.end_us().is_none_or(|end_us| end_us > position_us);
        match self.state {
            State::Starting if ahead_of(0) => {
                self.state = State::Playing { zero_us: now_us as i64 };
                None
            }
            State::Stalled { position_us, since_us, untaken_us } if ahead_of(position_us) => {
                self.stalled_us += now_us.saturating_sub(untaken_us);
                self.state = State::Playing { zero_us: now_us as i64 - position_us };
                Some(Stall { stalled_us: now_us.saturating_sub(since_us) })
            }
            _ => None,
        }
    }

    fn position_us(&self, now_us: u64) -> i64 {
        match self.state {
            State::Starting => 0,
            State::Playing { zero_us } => now_us as i64 - zero_us,
            State::Stalled { position_us, .. } | State::Paused { position_us } => position_us,
        }
    }

    /// Where the buffer that ends first ends; `None` when all have reached the stream's end.
    fn end_us(&self) -> Option<i64> {
        self.buffered_us.iter().flatten().min().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PART_US: u64 = 200_000;

    #[test]
    fn playback_begins_when_every_rendition_covers_its_point() {
        let mut playback = Playback::new(&[PART_US / 2, 0]);
        playback.received(0, PART_US, 1_000_000);
        assert!(!playback.has_started());
        playback.received(1, PART_US, 1_100_000);
        assert!(playback.is_playing());
        assert_eq!(playback.ahead_us(1_100_000), PART_US / 2);
        // A part that ends where playback begins is no picture yet.
        let mut playback = Playback::new(&[PART_US]);
        playback.received(0, PART_US, 1_000_000);
        assert!(!playback.has_started());
    }

    #[test]
    fn a_buffer_that_runs_out_is_one_stall_until_all_renditions_have_more() {
        let mut playback = Playback::new(&[0, 0]);
        playback.received(0, 3 * PART_US, 0);
        playback.received(1, 3 * PART_US, 0);
        playback.look(3 * PART_US + 20_000);
        assert_eq!(playback.take_stalls_begun(), 0, "a frame that stands a little longer is none");
        playback.look(3 * PART_US + 20_001);
        playback.look(3 * PART_US + 20_002);
        assert_eq!(playback.take_stalls_begun(), 1, "it began only once");
        assert_eq!(playback.received(0, PART_US, 700_000), None, "the other rendition has nothing");
        assert_eq!(playback.received(1, PART_US, 750_000), Some(Stall { stalled_us: 150_000 }));
        assert_eq!(playback.ahead_us(750_000), PART_US, "the playhead stood still");
        playback.look(970_000);
        assert!(playback.is_playing());
        playback.look(970_001);
        assert_eq!((playback.is_playing(), playback.take_stalls_begun()), (false, 1));
    }

    #[test]
    fn a_stall_that_nobody_looked_at_counts_from_its_beginning() {
        let mut playback = Playback::new(&[0]);
        playback.received(0, PART_US, 0);
        assert_eq!(playback.received(0, PART_US, 500_000), Some(Stall { stalled_us: 300_000 }));
        assert_eq!((playback.take_stalled_us(500_000), playback.take_stalls_begun()), (300_000, 1));
    }

    #[test]
    fn time_stood_still_is_taken_as_it_passes() {
        let mut playback = Playback::new(&[0]);
        playback.received(0, PART_US, 0);
        playback.look(300_000);
        assert_eq!(playback.take_stalled_us(300_000), 100_000);
        assert_eq!(playback.take_stalled_us(350_000), 50_000);
        playback.received(0, PART_US, 400_000);
        assert_eq!((playback.take_stalled_us(450_000), playback.take_stalled_us(450_000)), (50_000, 0));
    }

    #[test]
    fn a_pause_is_no_stall() {
        let mut playback = Playback::new(&[0]);
        playback.received(0, PART_US, 0);
        playback.pause(100_000);
        playback.look(3_000_000);
        playback.received(0, PART_US, 4_000_000);
        playback.resume(5_100_000);
        playback.look(5_150_000);
        assert_eq!((playback.is_playing(), playback.ahead_us(5_150_000)), (true, 250_000));
        assert_eq!((playback.take_stalls_begun(), playback.take_stalled_us(5_150_000)), (0, 0));
        // One that had run dry stalls on when the pause is over.
        playback.look(6_000_000);
        playback.pause(6_000_000);
        assert_eq!(playback.take_stalls_begun(), 1);
        let before_us = playback.take_stalled_us(6_000_000);
        playback.resume(9_000_000);
        assert!(
            before_us > 0 && playback.take_stalled_us(9_000_000) == 0,
            "the pause itself is no part of it"
        );
    }

    #[test]
    fn nobody_stalls_at_the_end_of_a_stream() {
        let mut playback = Playback::new(&[0, 0]);
        playback.received(0, PART_US, 0);
        playback.received(1, PART_US, 0);
        playback.ended(0, 100_000);
        playback.look(300_000);
        assert!(!playback.is_playing(), "sound is still to come");
        assert_eq!(playback.ended(1, 400_000), Some(Stall { stalled_us: 200_000 }));
        playback.look(10_000_000);
        assert!(playback.is_playing());
    }
}
