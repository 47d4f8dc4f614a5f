//! One edge-triggered epoll set per shard, awaited by the executor as one descriptor.
//!
//! A descriptor is added once (IN, OUT, RDHUP) and never modified. The poll task takes a batch of
//! events in one borrow, ends the borrow, wakes, and then always awaits the set again, even after a
//! full batch: what is left in the set makes it readable at once, and the ring has had its turn.
//!
//! A set tells of its descriptors in the order of their events: behind a crowd of 5,000 viewers a publisher
//! would wait for all of them (30 ms were seen). So those that a crowd must not delay are in a second set,
//! nested in the first and looked at before it.

use std::{
    cell::{Cell, RefCell},
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    rc::Rc,
    task::{Context, Poll, Waker},
};

use super::{
    ring,
    slab::{Direction, Readiness, Slab, Token},
};
use crate::limits::{POLL_EVENTS_MAX, RECV_BYTES_MAX};

/// The epoll set of a shard, its slab, and the buffer its sockets read into.
pub(super) struct PollSet {
    /// All that is not in `first`, and `first` itself.
    epoll: OwnedFd,
    /// Publishers, and what other shards say.
    first: OwnedFd,
    slab: RefCell<Slab>,
    /// Where every socket of the shard reads into; borrowed for one system call and one closure.
    pub(super) scratch: RefCell<Box<[u8]>>,
    pub(super) passes_count: Cell<u64>,
    pub(super) events_count: Cell<u64>,
}

impl PollSet {
    /// # Errors
    /// EMFILE, ENFILE, ENOMEM of `epoll_create1`.
    pub(super) fn new() -> io::Result<Rc<Self>> {
        let (epoll, first) = (new_set()?, new_set()?);
        // Level-triggered: what a full batch leaves in it is told again.
        add(&epoll, first.as_raw_fd(), libc::EPOLLIN, FIRST_EVENT)?;
        Ok(Rc::new(Self {
            epoll,
            first,
            slab: RefCell::default(),
            scratch: RefCell::new(vec![0; RECV_BYTES_MAX].into()),
            passes_count: Cell::new(0),
            events_count: Cell::new(0),
        }))
    }

    /// The poll task.
    pub(super) async fn run(self: Rc<Self>) {
        let mut woken = Vec::with_capacity(2 * POLL_EVENTS_MAX);
        loop {
            self.take_events(&mut woken);
            woken.drain(..).for_each(Waker::wake);
            self.passes_count.set(self.passes_count.get() + 1);
            ring::readable(self.epoll.as_fd()).await;
        }
    }

    fn take_events(&self, woken: &mut Vec<Waker>) {
        let mut batch = [NO_EVENT; POLL_EVENTS_MAX];
        let found = wait(&self.epoll, &mut batch);
        let mut slab = self.slab.borrow_mut();
        let mut note = |events: &[libc::epoll_event]| {
            self.events_count.set(self.events_count.get() + events.len() as u64);
            for event in events {
                slab.note(Token::from_event(event.u64), readiness_of(event.events as i32), woken);
            }
        };
        // Behind a full batch it may be waiting in vain to be told of.
        if found.len() == POLL_EVENTS_MAX || found.iter().any(|event| event.u64 == FIRST_EVENT) {
            note(wait(&self.first, &mut [NO_EVENT; POLL_EVENTS_MAX]));
        }
        note(found);
    }

    /// Adds a descriptor, which must not block.
    ///
    /// # Errors
    /// ENOSPC beyond `fs.epoll.max_user_watches`, ENOMEM; EEXIST for one that is in the set.
    pub(super) fn register(self: &Rc<Self>, descriptor: BorrowedFd<'_>) -> io::Result<Registration> {
        let descriptor = descriptor.as_raw_fd();
        let token = self.slab.borrow_mut().insert().ok_or(io::ErrorKind::OutOfMemory)?;
        if let Err(error) = add(&self.epoll, descriptor, SOCKET_EVENTS, token.to_event()) {
            self.slab.borrow_mut().remove(token);
            return Err(error);
        }
        Ok(Registration { set: Rc::clone(self), token, descriptor, is_first: Cell::new(false) })
    }

    pub(super) fn registered_count(&self) -> usize {
        self.slab.borrow().occupied_count()
    }
}

/// What is asked about a socket.
const SOCKET_EVENTS: i32 = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET;
/// Stands for the nested set: the slab has no such slot.
const FIRST_EVENT: u64 = u64::MAX;
const NO_EVENT: libc::epoll_event = libc::epoll_event { events: 0, u64: 0 };

fn new_set() -> io::Result<OwnedFd> {
    // SAFETY: epoll_create1 takes no pointers.
    let descriptor = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so the descriptor is open and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

fn add(set: &OwnedFd, descriptor: RawFd, bits: i32, named: u64) -> io::Result<()> {
    let mut event = libc::epoll_event { events: bits as u32, u64: named };
    // SAFETY: `event` outlives the call; the descriptor is open, its owner lent it.
    let added = unsafe { libc::epoll_ctl(set.as_raw_fd(), libc::EPOLL_CTL_ADD, descriptor, &mut event) };
    if added < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn remove(set: &OwnedFd, descriptor: RawFd) {
    // SAFETY: a null event is allowed for DEL; the descriptor is still open, its owner closes it later.
    unsafe {
        libc::epoll_ctl(set.as_raw_fd(), libc::EPOLL_CTL_DEL, descriptor, std::ptr::null_mut());
    }
}

/// What the set tells now, without waiting.
fn wait<'a>(set: &OwnedFd, batch: &'a mut [libc::epoll_event; POLL_EVENTS_MAX]) -> &'a [libc::epoll_event] {
    // SAFETY: the array holds POLL_EVENTS_MAX events and outlives the call.
    let found = unsafe { libc::epoll_wait(set.as_raw_fd(), batch.as_mut_ptr(), POLL_EVENTS_MAX as i32, 0) };
    // EINTR is the only failure of an open set; the next pass takes what there is.
    &batch[..usize::try_from(found).unwrap_or(0)]
}

fn readiness_of(bits: i32) -> Readiness {
    Readiness {
        readable: bits & libc::EPOLLIN != 0,
        writable: bits & libc::EPOLLOUT != 0,
        hung_up: bits & (libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) != 0,
    }
}

/// A descriptor's place in the set. Whoever owns the descriptor drops this before closing it.
pub(super) struct Registration {
    pub(super) set: Rc<PollSet>,
    token: Token,
    descriptor: RawFd,
    /// It is in the set that is looked at first.
    is_first: Cell<bool>,
}

impl Registration {
    /// From here on a crowd does not delay its events.
    ///
    /// # Errors
    /// Those of [`PollSet::register`]; it is then told of as before.
    pub(super) fn look_first(&self) -> io::Result<()> {
        if !self.is_first.get() {
            // Whatever it is ready for at this moment is told anew.
            add(&self.set.first, self.descriptor, SOCKET_EVENTS, self.token.to_event())?;
            remove(&self.set.epoll, self.descriptor);
            self.is_first.set(true);
        }
        Ok(())
    }

    /// True when a read may succeed: bytes, the end or an error.
    pub(super) fn is_readable(&self) -> bool {
        let readiness = self.readiness();
        readiness.readable || readiness.hung_up
    }

    pub(super) fn is_hung_up(&self) -> bool {
        self.readiness().hung_up
    }

    fn readiness(&self) -> Readiness {
        self.set.slab.borrow().readiness(self.token)
    }

    /// The system call would have blocked, or took less than it was offered.
    pub(super) fn clear(&self, direction: Direction) {
        self.set.slab.borrow_mut().clear(self.token, direction);
    }

    /// Leaves the task's waker for the next event of this direction.
    pub(super) fn leave_waker(&self, direction: Direction, context: &Context<'_>) {
        let replaced = self.set.slab.borrow_mut().set_waker(self.token, direction, context.waker());
        drop(replaced);
    }

    /// Runs a system call that does not block, once there is reason to; parks when it would block.
    ///
    /// # Errors
    /// Those of the call, except EAGAIN and EINTR.
    pub(super) fn poll_call<T>(
        &self,
        direction: Direction,
        context: &Context<'_>,
        call: impl FnMut() -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        match self.try_call(direction, call) {
            Ok(Some(value)) => Poll::Ready(Ok(value)),
            Err(error) => Poll::Ready(Err(error)),
            Ok(None) => {
                self.leave_waker(direction, context);
                Poll::Pending
            }
        }
    }

    /// As [`Self::poll_call`], without parking: `None` when it would block.
    pub(super) fn try_call<T>(
        &self,
        direction: Direction,
        mut call: impl FnMut() -> io::Result<T>,
    ) -> io::Result<Option<T>> {
        let readiness = self.readiness();
        let worth_trying = match direction {
            Direction::Read => readiness.readable || readiness.hung_up,
            Direction::Write => readiness.writable || readiness.hung_up,
        };
        if !worth_trying {
            return Ok(None);
        }
        loop {
            match call() {
                Ok(value) => return Ok(Some(value)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.clear(direction);
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // Explicitly: closing alone leaves the entry while a duplicate lives, on another shard for example.
        remove(if self.is_first.get() { &self.set.first } else { &self.set.epoll }, self.descriptor);
        let wakers = self.set.slab.borrow_mut().remove(self.token);
        drop(wakers);
    }
}
