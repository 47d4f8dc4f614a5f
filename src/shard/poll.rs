//! One edge-triggered epoll set per shard, awaited by the executor as one descriptor.
//!
//! A descriptor is added once (IN, OUT, RDHUP) and never modified. The poll task takes a batch of
//! events in one borrow, ends the borrow, wakes, and then always awaits the set again, even after a
//! full batch: what is left in the set makes it readable at once, and the ring has had its turn.

use std::{
    cell::{Cell, RefCell},
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
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
    epoll: OwnedFd,
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
        // SAFETY: epoll_create1 takes no pointers.
        let descriptor = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Rc::new(Self {
            // SAFETY: the call succeeded, so the descriptor is open and nobody else's.
            epoll: unsafe { OwnedFd::from_raw_fd(descriptor) },
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
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; POLL_EVENTS_MAX];
        // SAFETY: the array holds POLL_EVENTS_MAX events and outlives the call.
        let found = unsafe {
            libc::epoll_wait(self.epoll.as_raw_fd(), events.as_mut_ptr(), POLL_EVENTS_MAX as i32, 0)
        };
        // EINTR is the only failure of an open set; the next pass takes what there is.
        let Ok(found) = usize::try_from(found) else { return };
        self.events_count.set(self.events_count.get() + found as u64);
        let mut slab = self.slab.borrow_mut();
        for event in &events[..found] {
            let (token, bits) = (Token::from_event(event.u64), event.events as i32);
            slab.note(token, readiness_of(bits), woken);
        }
    }

    /// Adds a descriptor, which must not block.
    ///
    /// # Errors
    /// ENOSPC beyond `fs.epoll.max_user_watches`, ENOMEM; EEXIST for one that is in the set.
    pub(super) fn register(self: &Rc<Self>, descriptor: BorrowedFd<'_>) -> io::Result<Registration> {
        let descriptor = descriptor.as_raw_fd();
        let token = self.slab.borrow_mut().insert().ok_or(io::ErrorKind::OutOfMemory)?;
        let bits = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET;
        let mut event = libc::epoll_event { events: bits as u32, u64: token.to_event() };
        // SAFETY: `event` outlives the call; the descriptor is open, its owner lent it.
        let added =
            unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, descriptor, &mut event) };
        if added < 0 {
            let error = io::Error::last_os_error();
            self.slab.borrow_mut().remove(token);
            return Err(error);
        }
        Ok(Registration { set: Rc::clone(self), token, descriptor })
    }

    pub(super) fn registered_count(&self) -> usize {
        self.slab.borrow().occupied_count()
    }
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
    descriptor: i32,
}

impl Registration {
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
        // SAFETY: a null event is allowed for DEL; the descriptor is still open, its owner closes it later.
        unsafe {
            libc::epoll_ctl(
                self.set.epoll.as_raw_fd(),
                libc::EPOLL_CTL_DEL,
                self.descriptor,
                std::ptr::null_mut(),
            );
        }
        let wakers = self.set.slab.borrow_mut().remove(self.token);
        drop(wakers);
    }
}
