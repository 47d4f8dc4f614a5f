//! The deadlines of one shard: a wheel of 5 ms ticks, driven by the shard's tick.
//!
//! Thousands of connections move their deadline with every request, and nearly none is ever reached.
//! So moving one to a later time, or clearing it, only writes a number: the entry stays where it is in
//! the wheel, and is put right when its tick comes. Nothing is allocated but by [`Deadline`]'s creation.

use std::{
    cell::RefCell,
    future::poll_fn,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use crate::limits::{DEADLINE_TICKS, TICK_US};

const NOWHERE: u32 = u32::MAX;
const NEVER: u64 = u64::MAX;

/// One timer of one task, good for any number of waits, never early and at most two ticks late.
///
/// It wakes the task that polled it last.
pub struct Deadline {
    wheel: Rc<RefCell<Wheel>>,
    index: u32,
}

impl Deadline {
    pub(super) fn new(wheel: &Rc<RefCell<Wheel>>) -> Self {
        let index = wheel.borrow_mut().insert();
        Self { wheel: Rc::clone(wheel), index }
    }

    /// Expires at `at_us` of the monotonic clock (`Now::monotonic_us`), not as set before.
    pub fn set(&self, at_us: u64) {
        self.wheel.borrow_mut().set(self.index, at_us);
    }

    /// Never expires until it is set again.
    pub fn clear(&self) {
        self.wheel.borrow_mut().set(self.index, NEVER);
    }

    /// True from the tick after its time until it is set or cleared.
    pub fn is_expired(&self) -> bool {
        self.wheel.borrow().entries[self.index as usize].is_expired
    }

    /// Ready when it has expired; else the task is woken when it does.
    pub fn poll_expired(&self, context: &Context<'_>) -> Poll<()> {
        let mut wheel = self.wheel.borrow_mut();
        let entry = &mut wheel.entries[self.index as usize];
        if entry.is_expired {
            return Poll::Ready(());
        }
        if !entry.waker.as_ref().is_some_and(|left| left.will_wake(context.waker())) {
            let replaced = entry.waker.replace(context.waker().clone());
            drop(wheel);
            drop(replaced);
        }
        Poll::Pending
    }

    /// Completes when it has expired.
    pub async fn expired(&self) {
        poll_fn(|context| self.poll_expired(context)).await;
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        let waker = self.wheel.borrow_mut().remove(self.index);
        drop(waker);
    }
}

struct Entry {
    due_us: u64,
    is_expired: bool,
    waker: Option<Waker>,
    /// The tick whose list holds the entry, never later than its due time; [`NEVER`] when in none.
    linked_tick: u64,
    previous: u32,
    next: u32,
}

/// Doubly linked lists through a slab, one for each of the next [`DEADLINE_TICKS`] ticks.
pub(super) struct Wheel {
    entries: Vec<Entry>,
    free: Vec<u32>,
    heads: Vec<u32>,
    /// The last tick whose list was worked off.
    tick: u64,
}

impl Wheel {
    pub(super) fn new(now_us: u64) -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
            heads: vec![NOWHERE; DEADLINE_TICKS],
            tick: now_us / TICK_US,
        }
    }

    fn insert(&mut self) -> u32 {
        if let Some(index) = self.free.pop() {
            return index;
        }
        let index = u32::try_from(self.entries.len()).expect("fewer deadlines than descriptors");
        self.entries.push(Entry {
            due_us: NEVER,
            is_expired: false,
            waker: None,
            linked_tick: NEVER,
            previous: NOWHERE,
            next: NOWHERE,
        });
        index
    }

    fn remove(&mut self, index: u32) -> Option<Waker> {
        self.unlink(index);
        self.free.push(index);
        let entry = &mut self.entries[index as usize];
        (entry.due_us, entry.is_expired) = (NEVER, false);
        entry.waker.take()
    }

    fn set(&mut self, index: u32, at_us: u64) {
        let entry = &mut self.entries[index as usize];
        (entry.due_us, entry.is_expired) = (at_us, false);
        // Early is right: when that tick comes, the entry moves on to where it belongs.
        if at_us == NEVER || entry.linked_tick <= at_us.div_ceil(TICK_US) {
            return;
        }
        self.unlink(index);
        self.link(index);
    }

    /// Moves to `now_us` and appends the wakers of what has expired, earliest tick first.
    pub(super) fn advance(&mut self, now_us: u64, woken: &mut Vec<Waker>) {
        let from = self.tick;
        self.tick = self.tick.max(now_us / TICK_US);
        let span = (self.tick - from).min(DEADLINE_TICKS as u64);
        for tick in self.tick - span + 1..=self.tick {
            let mut index = std::mem::replace(&mut self.heads[slot_of(tick)], NOWHERE);
            while index != NOWHERE {
                let tick = self.tick;
                let entry = &mut self.entries[index as usize];
                let next = entry.next;
                (entry.linked_tick, entry.previous, entry.next) = (NEVER, NOWHERE, NOWHERE);
                if entry.due_us.div_ceil(TICK_US) <= tick {
                    entry.is_expired = true;
                    woken.extend(entry.waker.take());
                } else if entry.due_us != NEVER {
                    self.link(index);
                }
                index = next;
            }
        }
    }

    /// Puts an entry into the list of its tick, or of the last one in reach.
    fn link(&mut self, index: u32) {
        let entry = &mut self.entries[index as usize];
        debug_assert!(entry.linked_tick == NEVER);
        let reach = self.tick + 1..=self.tick + DEADLINE_TICKS as u64 - 1;
        entry.linked_tick = entry.due_us.div_ceil(TICK_US).clamp(*reach.start(), *reach.end());
        let slot = slot_of(entry.linked_tick);
        let head = std::mem::replace(&mut self.heads[slot], index);
        (entry.previous, entry.next) = (NOWHERE, head);
        if head != NOWHERE {
            self.entries[head as usize].previous = index;
        }
    }

    fn unlink(&mut self, index: u32) {
        let entry = &mut self.entries[index as usize];
        if entry.linked_tick == NEVER {
            return;
        }
        let (slot, previous, next) = (slot_of(entry.linked_tick), entry.previous, entry.next);
        (entry.linked_tick, entry.previous, entry.next) = (NEVER, NOWHERE, NOWHERE);
        match previous {
            NOWHERE => self.heads[slot] = next,
            previous => self.entries[previous as usize].next = next,
        }
        if next != NOWHERE {
            self.entries[next as usize].previous = previous;
        }
    }
}

fn slot_of(tick: u64) -> usize {
    (tick % DEADLINE_TICKS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wheel() -> Rc<RefCell<Wheel>> {
        Rc::new(RefCell::new(Wheel::new(0)))
    }

    fn advance(wheel: &Rc<RefCell<Wheel>>, now_us: u64) -> usize {
        let mut woken = Vec::new();
        wheel.borrow_mut().advance(now_us, &mut woken);
        woken.len()
    }

    #[test]
    fn expires_at_the_first_tick_past_its_time_and_wakes_once() {
        for due_us in [0, 1, TICK_US - 1, TICK_US, TICK_US + 1, 9_000_000, 70_000_000] {
            let wheel = wheel();
            let deadline = Deadline::new(&wheel);
            deadline.set(due_us);
            assert!(deadline.poll_expired(&Context::from_waker(Waker::noop())).is_pending());
            let (mut now_us, mut woken_count) = (0, 0);
            while !deadline.is_expired() {
                now_us += TICK_US;
                woken_count += advance(&wheel, now_us);
            }
            assert!(now_us >= due_us && now_us <= due_us + TICK_US, "{due_us} at {now_us}");
            assert_eq!(woken_count, 1);
        }
    }

    #[test]
    fn a_cleared_or_dropped_deadline_never_wakes() {
        let wheel = wheel();
        let (cleared, dropped) = (Deadline::new(&wheel), Deadline::new(&wheel));
        for deadline in [&cleared, &dropped] {
            deadline.set(20_000);
            assert!(deadline.poll_expired(&Context::from_waker(Waker::noop())).is_pending());
        }
        cleared.clear();
        drop(dropped);
        assert_eq!(advance(&wheel, 60_000_000), 0);
        assert!(!cleared.is_expired());
    }

    #[test]
    fn a_stall_longer_than_the_wheel_expires_everything_due() {
        let wheel = wheel();
        let deadlines: Vec<_> = (0..2000u64).map(|_| Deadline::new(&wheel)).collect();
        deadlines.iter().zip(0..).for_each(|(deadline, n)| deadline.set(n * 7_000));
        advance(&wheel, 7_000_000);
        let expired_count = deadlines.iter().filter(|deadline| deadline.is_expired()).count();
        assert_eq!(expired_count, 1001);
        advance(&wheel, 60_000_000);
        assert!(deadlines.iter().all(Deadline::is_expired));
    }

    /// Random sets, clears, drops and advances against a plain list of due times.
    #[test]
    fn agrees_with_a_list_of_due_times() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = move |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let wheel = wheel();
        let mut model: Vec<(Deadline, Option<u64>)> = Vec::new();
        let mut now_us = 0;
        for _ in 0..20_000 {
            match random(6) {
                0 if model.len() < 64 => model.push((Deadline::new(&wheel), None)),
                1 if !model.is_empty() => drop(model.swap_remove(random(model.len() as u64) as usize)),
                2 | 3 if !model.is_empty() => {
                    let place = random(model.len() as u64) as usize;
                    let due_us = now_us + random(12_000_000);
                    model[place].0.set(due_us);
                    model[place].1 = Some(due_us);
                }
                4 if !model.is_empty() => {
                    let place = random(model.len() as u64) as usize;
                    model[place].0.clear();
                    model[place].1 = None;
                }
                _ => {
                    now_us += TICK_US + random(400_000);
                    advance(&wheel, now_us);
                    for (deadline, due_us) in &model {
                        let due = due_us.is_some_and(|due_us| due_us.div_ceil(TICK_US) <= now_us / TICK_US);
                        assert_eq!(deadline.is_expired(), due, "due {due_us:?}, now {now_us}");
                    }
                }
            }
        }
    }
}
