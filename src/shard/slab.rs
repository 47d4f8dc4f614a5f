//! The descriptors of one shard: what the epoll set said of each, and who waits for it.
//!
//! Only the poll task sets flags; only a reader or writer clears them. Wakers taken out are handed to
//! the caller, to be dropped when the slab's borrow has ended: dropping one may end a task, whose
//! sockets come back here.

use std::task::Waker;

/// A slot's index and the generation it was given out in: the `u64` of an epoll event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    index: u32,
    generation: u32,
}

impl Token {
    pub(super) fn to_event(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    pub(super) fn from_event(event: u64) -> Self {
        Self { index: event as u32, generation: (event >> 32) as u32 }
    }
}

/// Which of a slot's two wakers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Read,
    Write,
}

/// What is known of a descriptor. A new one may be tried in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Readiness {
    pub(super) readable: bool,
    pub(super) writable: bool,
    /// The peer has ended its side, or the connection failed. Never cleared: a reader reads on to the end.
    pub(super) hung_up: bool,
}

struct Slot {
    generation: u32,
    readiness: Readiness,
    read_waker: Option<Waker>,
    write_waker: Option<Waker>,
}

#[derive(Default)]
pub(super) struct Slab {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

impl Slab {
    /// Gives out a slot. `None` at 2^32 descriptors, which no process has.
    pub(super) fn insert(&mut self) -> Option<Token> {
        let readiness = Readiness { readable: true, writable: true, hung_up: false };
        if let Some(index) = self.free.pop() {
            let slot = &mut self.slots[index as usize];
            slot.readiness = readiness;
            return Some(Token { index, generation: slot.generation });
        }
        let index = u32::try_from(self.slots.len()).ok()?;
        self.slots.push(Slot { generation: 0, readiness, read_waker: None, write_waker: None });
        Some(Token { index, generation: 0 })
    }

    /// Takes a slot back; its wakers are the caller's to drop after the borrow.
    pub(super) fn remove(&mut self, token: Token) -> [Option<Waker>; 2] {
        let slot = &mut self.slots[token.index as usize];
        debug_assert!(slot.generation == token.generation);
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(token.index);
        [slot.read_waker.take(), slot.write_waker.take()]
    }

    /// Notes what an event says and appends who waited for it. An event of an earlier generation is nobody's.
    pub(super) fn note(&mut self, token: Token, found: Readiness, woken: &mut Vec<Waker>) {
        let Some(slot) = self.slots.get_mut(token.index as usize) else { return };
        if slot.generation != token.generation {
            return;
        }
        slot.readiness.readable |= found.readable;
        slot.readiness.writable |= found.writable;
        slot.readiness.hung_up |= found.hung_up;
        if found.readable || found.hung_up {
            woken.extend(slot.read_waker.take());
        }
        if found.writable || found.hung_up {
            woken.extend(slot.write_waker.take());
        }
    }

    pub(super) fn readiness(&self, token: Token) -> Readiness {
        self.slots[token.index as usize].readiness
    }

    /// After EAGAIN or a short transfer: the next event will tell.
    pub(super) fn clear(&mut self, token: Token, direction: Direction) {
        let readiness = &mut self.slots[token.index as usize].readiness;
        match direction {
            Direction::Read => readiness.readable = false,
            Direction::Write => readiness.writable = false,
        }
    }

    /// Leaves a waker for the next event; returns the one that it replaces.
    pub(super) fn set_waker(&mut self, token: Token, direction: Direction, waker: &Waker) -> Option<Waker> {
        let slot = &mut self.slots[token.index as usize];
        let place = match direction {
            Direction::Read => &mut slot.read_waker,
            Direction::Write => &mut slot.write_waker,
        };
        if place.as_ref().is_some_and(|left| left.will_wake(waker)) {
            return None;
        }
        place.replace(waker.clone())
    }

    pub(super) fn occupied_count(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READABLE: Readiness = Readiness { readable: true, writable: false, hung_up: false };

    #[test]
    fn an_event_of_an_earlier_generation_is_nobodys() {
        let (mut slab, mut woken) = (Slab::default(), Vec::new());
        let old = slab.insert().unwrap();
        slab.remove(old);
        let new = slab.insert().unwrap();
        assert_eq!((new.index, new.generation), (old.index, old.generation + 1));
        slab.clear(new, Direction::Read);
        slab.set_waker(new, Direction::Read, Waker::noop());
        slab.note(old, READABLE, &mut woken);
        assert!(woken.is_empty() && !slab.readiness(new).readable);
        slab.note(Token::from_event(new.to_event()), READABLE, &mut woken);
        assert!(woken.len() == 1 && slab.readiness(new).readable);
    }

    #[test]
    fn a_hang_up_wakes_both_directions_and_stays() {
        let (mut slab, mut woken) = (Slab::default(), Vec::new());
        let token = slab.insert().unwrap();
        slab.set_waker(token, Direction::Read, Waker::noop());
        slab.set_waker(token, Direction::Write, Waker::noop());
        slab.note(token, Readiness { readable: false, writable: false, hung_up: true }, &mut woken);
        slab.clear(token, Direction::Read);
        assert_eq!(woken.len(), 2);
        assert!(slab.readiness(token).hung_up);
    }

    #[test]
    fn a_removed_slot_hands_back_its_wakers_and_is_given_out_again() {
        let mut slab = Slab::default();
        let token = slab.insert().unwrap();
        slab.set_waker(token, Direction::Write, Waker::noop());
        assert_eq!(slab.remove(token).iter().flatten().count(), 1);
        assert_eq!(slab.occupied_count(), 0);
        slab.insert().unwrap();
        assert_eq!((slab.occupied_count(), slab.slots.len()), (1, 1));
    }
}
