//! Viewers that wait for a part, and the pass that wakes them in slices.
//!
//! A parked viewer is a generation it has seen, a waker in a list, and its waker in the socket's slot,
//! so that bytes or a hang-up wake it too. When the part lands, the list is swapped out whole and the
//! shard's landing task works it off: [`WAKES_PER_TURN_MAX`] a ring turn, lists taking turns, so that a
//! crowd delays neither the shard's other sockets nor another stream's part. Lists are reused.

use std::{
    cell::RefCell,
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use super::{Deadline, Shard, Socket};
use crate::limits::{WAKES_PER_LIST_MAX, WAKES_PER_TURN_MAX};

/// Those who wait for one thing: the next part, or the next segment, of one rendition. A cheap clone.
#[derive(Clone)]
pub struct Parked {
    waiting: Rc<RefCell<Waiting>>,
    landing: Rc<Landing>,
}

#[derive(Default)]
struct Waiting {
    generation: u64,
    /// One place per waiting [`Park`] of this generation; `None` where one has left.
    places: Vec<Option<Waker>>,
    free: Vec<usize>,
}

/// What ended a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// The generation is no longer the one that was seen.
    Landed,
    /// The socket has something to read: bytes, or the peer's end.
    Readable,
    /// The socket's deadline has passed.
    Expired,
}

impl Parked {
    /// An empty list on this shard, at generation 0.
    pub fn new(shard: &Shard) -> Self {
        Self { waiting: Rc::default(), landing: Rc::clone(&shard.inner().landing) }
    }

    /// How often this has landed. Look at it before looking for the thing itself.
    pub fn generation(&self) -> u64 {
        self.waiting.borrow().generation
    }

    /// Waits until the generation is no longer `seen`, the socket has something to read, or its deadline
    /// passes; the first that holds, in this order.
    pub fn park<'a>(&'a self, seen: u64, socket: &'a Socket) -> Park<'a> {
        Park { parked: self, ends: Ends::Readable(socket), seen, place: None }
    }

    /// As [`Self::park`], but what the socket has to read stays there: for who holds enough already.
    pub fn park_deaf<'a>(&'a self, seen: u64, socket: &'a Socket) -> Park<'a> {
        Park { parked: self, ends: Ends::Deadline(socket.deadline()), seen, place: None }
    }

    /// Waits until the generation is no longer `seen` or the deadline passes.
    pub fn park_until<'a>(&'a self, seen: u64, deadline: &'a Deadline) -> Park<'a> {
        Park { parked: self, ends: Ends::Deadline(deadline), seen, place: None }
    }

    /// Raises the generation and leaves those who wait to the landing task. Costs the same for any crowd.
    pub fn land(&self) {
        let mut waiting = self.waiting.borrow_mut();
        waiting.generation += 1;
        waiting.free.clear();
        if waiting.places.is_empty() {
            return;
        }
        let empty = self.landing.spare_list();
        let landed = std::mem::replace(&mut waiting.places, empty);
        drop(waiting);
        self.landing.push(landed);
    }

    /// How many wait now.
    pub fn waiting_count(&self) -> usize {
        let waiting = self.waiting.borrow();
        waiting.places.len() - waiting.free.len()
    }
}

/// The future of [`Parked::park`].
pub struct Park<'a> {
    parked: &'a Parked,
    ends: Ends<'a>,
    seen: u64,
    /// Where the waker stands, and in which generation's list.
    place: Option<(u64, usize)>,
}

/// What else ends a wait.
enum Ends<'a> {
    /// Something to read, and the socket's deadline.
    Readable(&'a Socket),
    /// This alone.
    Deadline(&'a Deadline),
}

impl Future for Park<'_> {
    type Output = Woken;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Woken> {
        if self.parked.generation() != self.seen {
            return Poll::Ready(Woken::Landed);
        }
        let deadline = match self.ends {
            Ends::Readable(socket) => {
                if socket.poll_readable(context).is_ready() {
                    return Poll::Ready(Woken::Readable);
                }
                socket.deadline()
            }
            Ends::Deadline(deadline) => deadline,
        };
        if deadline.poll_expired(context).is_ready() {
            return Poll::Ready(Woken::Expired);
        }
        let mut waiting = self.parked.waiting.borrow_mut();
        let index = match self.place {
            Some((_, index)) => index,
            None => waiting.free.pop().unwrap_or_else(|| {
                waiting.places.push(None);
                waiting.places.len() - 1
            }),
        };
        let place = &mut waiting.places[index];
        let replaced = match place {
            Some(left) if left.will_wake(context.waker()) => None,
            _ => place.replace(context.waker().clone()),
        };
        drop(waiting);
        drop(replaced);
        self.place = Some((self.seen, index));
        Poll::Pending
    }
}

impl Drop for Park<'_> {
    fn drop(&mut self) {
        let Some((generation, index)) = self.place else { return };
        let mut waiting = self.parked.waiting.borrow_mut();
        if waiting.generation != generation {
            return;
        }
        waiting.free.push(index);
        let left = waiting.places[index].take();
        drop(waiting);
        drop(left);
    }
}

/// The lists that have landed on this shard and are not yet woken to the end.
#[derive(Default)]
pub(super) struct Landing {
    state: RefCell<LandingState>,
}

#[derive(Default)]
struct LandingState {
    /// In the order of their next turn.
    landed: VecDeque<Landed>,
    /// Empty lists that keep their memory.
    spare: Vec<Vec<Option<Waker>>>,
    task: Option<Waker>,
}

struct Landed {
    places: Vec<Option<Waker>>,
    /// Places before this one have been woken.
    next: usize,
}

impl Landing {
    fn spare_list(&self) -> Vec<Option<Waker>> {
        self.state.borrow_mut().spare.pop().unwrap_or_default()
    }

    fn push(&self, places: Vec<Option<Waker>>) {
        let mut state = self.state.borrow_mut();
        state.landed.push_back(Landed { places, next: 0 });
        let task = state.task.take();
        drop(state);
        task.into_iter().for_each(Waker::wake);
    }

    /// The landing task.
    pub(super) async fn run(self: Rc<Self>, shard: Shard) {
        let mut slice = Vec::with_capacity(WAKES_PER_TURN_MAX);
        loop {
            poll_fn(|context| self.poll_landed(context)).await;
            self.take_slice(&mut slice);
            slice.drain(..).for_each(Waker::wake);
            shard.ring_turn().await;
        }
    }

    fn poll_landed(&self, context: &Context<'_>) -> Poll<()> {
        let mut state = self.state.borrow_mut();
        if !state.landed.is_empty() {
            return Poll::Ready(());
        }
        let replaced = state.task.replace(context.waker().clone());
        drop(state);
        drop(replaced);
        Poll::Pending
    }

    /// Moves up to [`WAKES_PER_TURN_MAX`] wakers into `slice`, each list giving its share in turn.
    fn take_slice(&self, slice: &mut Vec<Waker>) {
        let mut state = self.state.borrow_mut();
        while slice.len() < WAKES_PER_TURN_MAX
            && let Some(mut list) = state.landed.pop_front()
        {
            let share = WAKES_PER_LIST_MAX.min(WAKES_PER_TURN_MAX - slice.len());
            let share_end = slice.len() + share;
            while slice.len() < share_end && list.next < list.places.len() {
                slice.extend(list.places[list.next].take());
                list.next += 1;
            }
            if list.next < list.places.len() {
                state.landed.push_back(list);
            } else {
                list.places.clear();
                state.spare.push(list.places);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, io::Write, os::unix::net::UnixStream};

    use super::*;
    use crate::shard::testing::on_one_shard;

    fn pair(shard: &Shard) -> (Socket, UnixStream) {
        let (ours, peer) = UnixStream::pair().unwrap();
        let socket = Socket::from_fd(shard, ours.into()).unwrap();
        // A new socket is taken to be readable until a read has found nothing.
        assert!(socket.try_recv(|_| ()).unwrap().is_none());
        (socket, peer)
    }

    #[test]
    fn a_wait_ends_with_the_part_with_bytes_with_the_peers_end_or_with_the_deadline() {
        on_one_shard(|shard| async move {
            let parked = Parked::new(&shard);
            let (socket, mut peer) = pair(&shard);

            let landing = (parked.clone(), shard.clone());
            shard.spawn("lands", async move {
                landing.1.sleep_until(0).await;
                landing.0.land();
            });
            assert_eq!(parked.park(0, &socket).await, Woken::Landed);
            assert_eq!(
                parked.park(0, &socket).await,
                Woken::Landed,
                "a generation that is over ends it at once"
            );

            socket.set_deadline(shard.monotonic_us());
            assert_eq!(parked.park(1, &socket).await, Woken::Expired);
            socket.clear_deadline();

            peer.write_all(b"next").unwrap();
            assert_eq!(parked.park(1, &socket).await, Woken::Readable);
            socket.recv(|_| ()).await.unwrap();
            drop(peer);
            assert_eq!(parked.park(1, &socket).await, Woken::Readable);
            assert!(socket.is_hung_up());
            assert_eq!(parked.waiting_count(), 0);
        });
    }

    #[test]
    fn bytes_that_keep_waking_a_viewer_do_not_grow_the_list() {
        on_one_shard(|shard| async move {
            let parked = Parked::new(&shard);
            let (socket, mut peer) = pair(&shard);
            let writer = shard.clone();
            shard.spawn("peer", async move {
                for _ in 0..20 {
                    peer.write_all(b"x").unwrap();
                    writer.sleep_until(0).await;
                }
            });
            for _ in 0..20 {
                assert_eq!(parked.park(0, &socket).await, Woken::Readable);
                socket.recv(|_| ()).await.unwrap();
            }
            assert_eq!(parked.waiting_count(), 0);
            assert!(parked.waiting.borrow().places.len() <= 1);
        });
    }

    #[test]
    fn a_crowd_larger_than_a_slice_is_woken_whole_each_time() {
        const VIEWERS_COUNT: usize = 3 * WAKES_PER_TURN_MAX + 7;
        const PARTS_COUNT: u64 = 5;
        on_one_shard(|shard| async move {
            let parked = Parked::new(&shard);
            let woken = Rc::new(Cell::new(0));
            for _ in 0..VIEWERS_COUNT {
                let (parked, woken, shard) = (parked.clone(), Rc::clone(&woken), shard.clone());
                let (socket, peer) = pair(&shard);
                shard.spawn("viewer", async move {
                    for part in 0..PARTS_COUNT {
                        assert_eq!(parked.park(part, &socket).await, Woken::Landed);
                        woken.set(woken.get() + 1);
                    }
                    drop(peer);
                });
            }
            for part in 1..=PARTS_COUNT as usize {
                while parked.waiting_count() < VIEWERS_COUNT {
                    assert_eq!(shard.stats().panics.get(), 0);
                    shard.ring_turn().await;
                }
                let turns = shard.stats().ring_turns.get();
                parked.land();
                while woken.get() < part * VIEWERS_COUNT {
                    shard.ring_turn().await;
                }
                assert!(shard.stats().ring_turns.get() - turns >= 3, "slices have turns between them");
            }
        });
    }

    fn list_of(count: usize) -> Vec<Option<Waker>> {
        vec![Some(Waker::noop().clone()); count]
    }

    #[test]
    fn a_slice_is_bounded_and_a_small_list_waits_for_no_crowd() {
        let (landing, mut slice) = (Landing::default(), Vec::new());
        landing.push(list_of(1000));
        landing.push(list_of(10));
        landing.take_slice(&mut slice);
        assert_eq!(slice.len(), WAKES_PER_TURN_MAX);
        assert_eq!(landing.state.borrow().landed.len(), 1, "the small list is done within the first slice");
        let mut woken_count = 0;
        while !slice.is_empty() {
            woken_count += slice.len();
            slice.clear();
            landing.take_slice(&mut slice);
        }
        assert_eq!(woken_count, 1010);
    }

    #[test]
    fn lists_keep_their_memory_for_the_next_crowd() {
        let (landing, mut slice) = (Landing::default(), Vec::new());
        landing.push(list_of(200));
        landing.take_slice(&mut slice);
        assert!(landing.spare_list().capacity() >= 200);
    }
}
