//! Bounded first-in first-out queues from every shard, and from ordinary threads, to every shard.
//!
//! Each receiving shard has one eventfd, its bell, in its epoll set: a message from elsewhere wakes it in
//! the same pass as its sockets do. A flag keeps senders from ringing a bell that already rings.

use std::{
    collections::VecDeque,
    fmt,
    fs::File,
    future::poll_fn,
    io::{self, Write},
    os::fd::AsFd,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use super::{Budget, Shard, poll::Registration, ring, slab::Direction};

/// Where a message came from. Messages of one origin arrive in the order they were sent in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A shard, by its number.
    Shard(usize),
    /// A thread that is no shard.
    Outside,
}

/// A message that was not taken, handed back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TrySendError<M> {
    /// The queue holds as many as it may; decide on the spot what that means.
    Full(M),
    /// The receiving shard has ended.
    Closed(M),
}

impl<M> fmt::Debug for TrySendError<M> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Full(_) => "Full",
            Self::Closed(_) => "Closed",
        })
    }
}

/// The queues of all shards.
pub struct Mesh<M> {
    targets: Arc<[Target<M>]>,
}

impl<M> Clone for Mesh<M> {
    fn clone(&self) -> Self {
        Self { targets: Arc::clone(&self.targets) }
    }
}

/// What one shard receives.
struct Target<M> {
    /// One per sending shard, and the last for all other threads.
    queues: Vec<Mutex<Queue<M>>>,
    bell: File,
    /// Set by the sender that rings, cleared by the receiver before it looks.
    is_rung: AtomicBool,
    is_joined: AtomicBool,
}

struct Queue<M> {
    /// Never longer than `capacity`.
    messages: VecDeque<M>,
    capacity: usize,
    is_closed: bool,
}

impl<M> Target<M> {
    fn queue(&self, origin: usize) -> MutexGuard<'_, Queue<M>> {
        // Nothing under the lock can panic half way.
        self.queues[origin].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Queues of `capacity` messages each between `shards_count` shards, and from outside to each of them.
///
/// # Errors
/// EMFILE and ENFILE, when there is no descriptor left for the bells.
pub fn mesh<M: Send>(shards_count: usize, capacity: usize) -> io::Result<Mesh<M>> {
    let new_target = |_| {
        let new_queue =
            |_| Mutex::new(Queue { messages: VecDeque::with_capacity(capacity), capacity, is_closed: false });
        Ok(Target {
            queues: (0..=shards_count).map(new_queue).collect(),
            bell: File::from(ring::eventfd(0)?),
            is_rung: AtomicBool::new(false),
            is_joined: AtomicBool::new(false),
        })
    };
    Ok(Mesh { targets: (0..shards_count).map(new_target).collect::<io::Result<_>>()? })
}

impl<M: Send> Mesh<M> {
    /// This shard's end of the mesh. Messages sent before are waiting in it.
    ///
    /// # Errors
    /// `AlreadyExists` for a shard that has joined before, `NotFound` for one beyond the mesh; else those of
    /// the epoll set.
    pub fn join(&self, shard: &Shard) -> io::Result<(MeshSender<M>, MeshInbox<M>)> {
        let index = shard.index();
        let target = self.targets.get(index).ok_or(io::ErrorKind::NotFound)?;
        if target.is_joined.swap(true, Ordering::AcqRel) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let registration = shard.inner().poll_set.register(target.bell.as_fd())?;
        // A part from its home is not to wait for the viewers of the one before.
        registration.look_first()?;
        let sender = MeshSender { mesh: self.clone(), origin: index };
        let inbox = MeshInbox { registration, mesh: self.clone(), index, next: 0, budget: shard.budget() };
        Ok((sender, inbox))
    }

    /// A sender for threads that are no shard; they share one queue per receiving shard.
    pub fn outside(&self) -> MeshSender<M> {
        MeshSender { mesh: self.clone(), origin: self.targets.len() }
    }
}

/// Sends to any shard, the own one included.
pub struct MeshSender<M> {
    mesh: Mesh<M>,
    origin: usize,
}

impl<M> Clone for MeshSender<M> {
    fn clone(&self) -> Self {
        Self { mesh: self.mesh.clone(), origin: self.origin }
    }
}

impl<M: Send> MeshSender<M> {
    /// Queues a message for shard `to`, which exists. Never blocks longer than a push or a pop.
    ///
    /// # Errors
    /// [`TrySendError`] with the message, when the queue is full or the shard has ended.
    pub fn try_send(&self, to: usize, message: M) -> Result<(), TrySendError<M>> {
        let target = &self.mesh.targets[to];
        {
            let mut queue = target.queue(self.origin);
            if queue.is_closed {
                return Err(TrySendError::Closed(message));
            }
            if queue.messages.len() == queue.capacity {
                return Err(TrySendError::Full(message));
            }
            queue.messages.push_back(message);
        }
        if !target.is_rung.swap(true, Ordering::AcqRel) {
            // An edge-triggered set tells each write, so the count is never read; it would take 2^64 - 2 rings
            // to fill it, the only failure there is.
            let rung = (&target.bell).write(&1_u64.to_ne_bytes());
            debug_assert!(rung.is_ok());
        }
        Ok(())
    }
}

/// The receiving end of one shard. Dropping it closes its queues and drops what is in them.
pub struct MeshInbox<M> {
    // Before `mesh`: the bell must leave the epoll set before it may close.
    registration: Registration,
    mesh: Mesh<M>,
    index: usize,
    /// The origin whose turn it is.
    next: usize,
    budget: Budget,
}

impl<M> MeshInbox<M> {
    /// The next message, origins taking turns; with a ring turn now and then, so that it may be called in a loop.
    pub async fn recv(&mut self) -> (Origin, M) {
        self.budget.spend_request().await;
        poll_fn(|context| self.poll_recv(context)).await
    }

    fn poll_recv(&mut self, context: &Context<'_>) -> Poll<(Origin, M)> {
        if let Some(received) = self.try_recv() {
            return Poll::Ready(received);
        }
        self.registration.clear(Direction::Read);
        self.registration.leave_waker(Direction::Read, context);
        // Whoever sends from here on rings; who found the flag set before has queued, and is seen now.
        self.mesh.targets[self.index].is_rung.swap(false, Ordering::AcqRel);
        self.try_recv().map_or(Poll::Pending, Poll::Ready)
    }

    /// The next message, if there is one.
    pub fn try_recv(&mut self) -> Option<(Origin, M)> {
        let target = &self.mesh.targets[self.index];
        let origins_count = target.queues.len();
        for step in 0..origins_count {
            let origin = (self.next + step) % origins_count;
            let Some(message) = target.queue(origin).messages.pop_front() else { continue };
            self.next = (origin + 1) % origins_count;
            let outside = origins_count - 1;
            let origin = if origin == outside { Origin::Outside } else { Origin::Shard(origin) };
            return Some((origin, message));
        }
        None
    }
}

impl<M> Drop for MeshInbox<M> {
    fn drop(&mut self) {
        let target = &self.mesh.targets[self.index];
        for origin in 0..target.queues.len() {
            let mut queue = target.queue(origin);
            queue.is_closed = true;
            let dropped = std::mem::take(&mut queue.messages);
            drop(queue);
            drop(dropped);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::shard::{Plan, spawn_shards, testing::on_one_shard};

    #[test]
    fn a_full_queue_hands_the_message_back_and_room_comes_with_reading() {
        let mesh = mesh::<u32>(1, 2).unwrap();
        on_one_shard(move |shard| {
            let mesh = mesh.clone();
            async move {
                let outside = mesh.outside();
                outside.try_send(0, 1).unwrap();
                let (sender, mut inbox) = mesh.join(&shard).unwrap();
                outside.try_send(0, 2).unwrap();
                assert_eq!(outside.try_send(0, 3), Err(TrySendError::Full(3)));
                sender.try_send(0, 10).unwrap();
                let received = [inbox.recv().await, inbox.recv().await, inbox.recv().await];
                assert_eq!(received, [(Origin::Shard(0), 10), (Origin::Outside, 1), (Origin::Outside, 2)]);
                outside.try_send(0, 3).unwrap();
                assert!(mesh.join(&shard).is_err());
                drop(inbox);
                assert_eq!(outside.try_send(0, 4), Err(TrySendError::Closed(4)));
            }
        });
    }

    /// Every message arrives once and in its sender's order, from a shard and from two threads at once.
    #[test]
    fn messages_of_many_senders_arrive_once_and_in_order() {
        const MESSAGES_COUNT: u32 = 20_000;
        let mesh = mesh::<(usize, u32)>(2, 64).unwrap();
        let threads: Vec<_> = (1..=2)
            .map(|sender| {
                let outside = mesh.outside();
                thread::spawn(move || {
                    for number in 0..MESSAGES_COUNT {
                        while outside.try_send(0, (sender, number)).is_err() {
                            thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        let plan = Plan { shards_count: 2, processors: Vec::new() };
        let shards = spawn_shards(&plan, move |shard| {
            let mesh = mesh.clone();
            async move {
                let (sender, mut inbox) = mesh.join(&shard).unwrap();
                if shard.index() == 1 {
                    for number in 0..MESSAGES_COUNT {
                        while sender.try_send(0, (0, number)).is_err() {
                            shard.ring_turn().await;
                        }
                    }
                    return;
                }
                let mut expected = [0; 3];
                for _ in 0..3 * MESSAGES_COUNT {
                    let (origin, (sender, number)) = inbox.recv().await;
                    assert_eq!(origin, if sender == 0 { Origin::Shard(1) } else { Origin::Outside });
                    assert_eq!(number, expected[sender]);
                    expected[sender] += 1;
                }
                assert_eq!(expected, [MESSAGES_COUNT; 3]);
            }
        });
        shards.unwrap().join().unwrap();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }

    /// A ball goes to and fro: every wake-up comes from the other shard, and one lost would end the game.
    #[test]
    fn no_wake_up_between_shards_is_lost() {
        const ROUNDS_COUNT: u32 = 10_000;
        let mesh = mesh::<u32>(2, 1).unwrap();
        let plan = Plan { shards_count: 2, processors: Vec::new() };
        let shards = spawn_shards(&plan, move |shard| {
            let mesh = mesh.clone();
            async move {
                let (sender, mut inbox) = mesh.join(&shard).unwrap();
                let other = 1 - shard.index();
                if shard.index() == 0 {
                    sender.try_send(other, 0).unwrap();
                }
                loop {
                    let (_, round) = inbox.recv().await;
                    // The last ball may find the other shard gone home.
                    let _ = sender.try_send(other, round + 1);
                    if round + 1 >= ROUNDS_COUNT {
                        break;
                    }
                }
            }
        });
        shards.unwrap().join().unwrap();
    }
}
