//! Whose turn it is to send on one connection (RFC 9218): the most urgent response first, responses of the
//! same urgency one after the other in the order of their requests. A response that its own stream's window
//! holds up lets the next one pass; one that only waits for the socket does not.

use std::cell::RefCell;
use std::task::{Context, Poll, Waker};

/// Smaller goes first: our urgency, the client's, the stream's number.
pub(super) type Rank = (u8, u8, u32);

/// The responses of one connection that have something to send; at most as many as there are streams.
#[derive(Default)]
pub(super) struct Turns(RefCell<Vec<Entry>>);

struct Entry {
    rank: Rank,
    /// It has handed over what it may.
    is_waiting: bool,
    /// And all of that was sent: its window is used up.
    is_held_up: bool,
    waker: Option<Waker>,
}

/// A response's place; given up when dropped.
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    rank: Rank,
}

impl Turns {
    /// A place for a response. Ranks differ, since streams do.
    pub(super) fn enter(&self, rank: Rank) -> Turn<'_> {
        self.0.borrow_mut().push(Entry { rank, is_waiting: false, is_held_up: false, waker: None });
        Turn { turns: self, rank }
    }

    /// Everything that was handed over is sent: who still waits is held up by its window.
    pub(super) fn settle(&self) {
        let mut entries = self.0.borrow_mut();
        let waiting = entries.iter_mut().filter(|entry| entry.is_waiting && !entry.is_held_up);
        let changed_count = waiting.map(|entry| entry.is_held_up = true).count();
        drop(entries);
        if changed_count > 0 {
            self.wake_first();
        }
    }

    fn wake_first(&self) {
        let mut entries = self.0.borrow_mut();
        let first = entries.iter_mut().filter(|entry| !entry.is_held_up).min_by_key(|entry| entry.rank);
        let waker = first.and_then(|entry| entry.waker.take());
        drop(entries);
        waker.into_iter().for_each(Waker::wake);
    }
}

impl Turn<'_> {
    /// Ready when nobody goes before.
    pub(super) fn poll(&self, context: &Context<'_>) -> Poll<()> {
        let mut entries = self.turns.0.borrow_mut();
        if !entries.iter().any(|other| !other.is_held_up && other.rank < self.rank) {
            return Poll::Ready(());
        }
        let own = entries.iter_mut().find(|entry| entry.rank == self.rank);
        let replaced = own.and_then(|own| own.waker.replace(context.waker().clone()));
        drop(entries);
        drop(replaced);
        Poll::Pending
    }

    /// It waits to be allowed more, or was allowed it and takes its place back.
    pub(super) fn wait(&self, is_waiting: bool) {
        let mut entries = self.turns.0.borrow_mut();
        if let Some(own) = entries.iter_mut().find(|entry| entry.rank == self.rank) {
            own.is_waiting = is_waiting;
            own.is_held_up &= is_waiting;
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.turns.0.borrow_mut().retain(|entry| entry.rank != self.rank);
        self.turns.wake_first();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_ready(turn: &Turn<'_>) -> bool {
        turn.poll(&Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn the_most_urgent_goes_first_then_the_oldest() {
        let turns = Turns::default();
        let (video, late_video) = (turns.enter((3, 3, 1)), turns.enter((3, 3, 5)));
        assert!(is_ready(&video) && !is_ready(&late_video));
        let playlist = turns.enter((1, 3, 7));
        assert!(is_ready(&playlist) && !is_ready(&video));
        // The client's own wish counts among equals.
        let wanted = turns.enter((3, 1, 9));
        drop(playlist);
        assert!(is_ready(&wanted) && !is_ready(&video));
    }

    #[test]
    fn whoever_is_held_up_lets_the_next_pass_and_keeps_its_place() {
        let turns = Turns::default();
        let (first, second) = (turns.enter((2, 3, 1)), turns.enter((2, 3, 3)));
        first.wait(true);
        assert!(!is_ready(&second), "the socket may be what it waits for");
        turns.settle();
        assert!(is_ready(&second));
        first.wait(false);
        assert!(!is_ready(&second) && is_ready(&first));
    }
}
