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
