//! A connection on the shard's epoll set.
//!
//! Each call tries the system call first and parks after. One task reads and one writes, usually the
//! same; the deadline belongs to the socket and wakes whoever waited last.

use std::{
    cell::Cell,
    future::poll_fn,
    io::{self, IoSlice, Read},
    net::{Shutdown, SocketAddr},
    os::fd::{AsFd, OwnedFd},
    task::{Context, Poll},
};

use super::{Deadline, Shard, poll::Registration, slab::Direction};
use crate::limits::{GATHER_SLICES_MAX, TURN_BYTES_MAX};

/// A connected stream socket of this shard.
pub struct Socket {
    // Before `socket`: it must leave the epoll set before the descriptor closes.
    registration: Registration,
    socket: socket2::Socket,
    deadline: Deadline,
    shard: Shard,
    received_bytes: Cell<u64>,
    sent_bytes: Cell<u64>,
}

impl Socket {
    /// Puts a connected socket on this shard, for example one that [`Self::into_fd`] took off another.
    ///
    /// # Errors
    /// ENOSPC and ENOMEM of the epoll set; ENOTSOCK and the like for a descriptor that is no socket.
    pub fn from_fd(shard: &Shard, descriptor: OwnedFd) -> io::Result<Self> {
        let socket = socket2::Socket::from(descriptor);
        socket.set_nonblocking(true)?;
        Self::from_nonblocking(shard, socket)
    }

    pub(super) fn from_nonblocking(shard: &Shard, socket: socket2::Socket) -> io::Result<Self> {
        Ok(Self {
            registration: shard.inner().poll_set.register(socket.as_fd())?,
            socket,
            deadline: shard.deadline(),
            shard: shard.clone(),
            received_bytes: Cell::new(0),
            sent_bytes: Cell::new(0),
        })
    }

    /// Takes the socket off this shard, to be put on another. Its deadline is left behind.
    pub fn into_fd(self) -> OwnedFd {
        let Self { registration, socket, .. } = self;
        drop(registration);
        socket.into()
    }

    /// Waits for bytes and hands them to `take`: what the socket held, up to the shard's 64 KiB. None is the
    /// peer's end. `take` runs while the shard's buffer is lent, so it must not read from another socket.
    ///
    /// # Errors
    /// `TimedOut` when the deadline has passed, even if bytes are there; else those of `recv`.
    pub async fn recv<R>(&self, take: impl FnOnce(&[u8]) -> R) -> io::Result<R> {
        let mut take = Some(take);
        poll_fn(|context| {
            if self.poll_deadline(context).is_ready() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.registration.poll_call(Direction::Read, context, || self.read_now(&mut take))
        })
        .await
    }

    /// As [`Self::recv`], without waiting: `None` when nothing is there.
    ///
    /// # Errors
    /// Those of `recv`; the deadline is not looked at.
    pub fn try_recv<R>(&self, take: impl FnOnce(&[u8]) -> R) -> io::Result<Option<R>> {
        let mut take = Some(take);
        self.registration.try_call(Direction::Read, || self.read_now(&mut take))
    }

    fn read_now<R>(&self, take: &mut Option<impl FnOnce(&[u8]) -> R>) -> io::Result<R> {
        let mut scratch = self.registration.set.scratch.borrow_mut();
        let received = (&self.socket).read(&mut scratch)?;
        // A full buffer may have left bytes behind; after the end, reading on tells it again.
        if received > 0 && received < scratch.len() {
            self.registration.clear(Direction::Read);
        }
        self.received_bytes.set(self.received_bytes.get() + received as u64);
        let take = take.take().expect("a read that succeeded ends the call");
        Ok(take(&scratch[..received]))
    }

    /// Waits until there is something to read: bytes, the end, an error.
    ///
    /// # Errors
    /// `TimedOut` when the deadline has passed.
    pub async fn readable(&self) -> io::Result<()> {
        poll_fn(|context| {
            if self.poll_deadline(context).is_ready() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.poll_readable(context).map(Ok)
        })
        .await
    }

    /// Ready when a read is worth trying; else the task's waker is left for the next event.
    pub fn poll_readable(&self, context: &Context<'_>) -> Poll<()> {
        if self.is_readable() {
            return Poll::Ready(());
        }
        self.registration.leave_waker(Direction::Read, context);
        Poll::Pending
    }

    /// True when a read is worth trying.
    pub fn is_readable(&self) -> bool {
        self.registration.is_readable()
    }

    /// True once the peer has ended its side or the connection has failed. It may still read what we owe it.
    pub fn is_hung_up(&self) -> bool {
        self.registration.is_hung_up()
    }

    /// Waits until some of the bytes are sent, and returns how many; slices past [`GATHER_SLICES_MAX`] wait.
    ///
    /// # Errors
    /// `TimedOut` when the deadline has passed; else those of `sendmsg` (EPIPE, ECONNRESET).
    pub async fn send(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        poll_fn(|context| {
            if self.poll_deadline(context).is_ready() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.registration.poll_call(Direction::Write, context, || self.send_now(slices))
        })
        .await
    }

    /// As [`Self::send`], without waiting: `None` when the socket's buffer is full.
    ///
    /// # Errors
    /// Those of `sendmsg`; the deadline is not looked at.
    pub fn try_send(&self, slices: &[IoSlice<'_>]) -> io::Result<Option<usize>> {
        self.registration.try_call(Direction::Write, || self.send_now(slices))
    }

    fn send_now(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let gathered = &slices[..slices.len().min(GATHER_SLICES_MAX)];
        let sent = self.socket.send_vectored_with_flags(gathered, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)?;
        if sent < gathered.iter().map(|slice| slice.len()).sum() {
            self.registration.clear(Direction::Write);
        }
        self.sent_bytes.set(self.sent_bytes.get() + sent as u64);
        Ok(sent)
    }

    /// Sends all of the slices in order, with a ring turn after every [`TURN_BYTES_MAX`].
    ///
    /// # Errors
    /// Those of [`Self::send`]; how much was sent until then is not told.
    pub async fn send_all<S: AsRef<[u8]>>(&self, slices: &[S]) -> io::Result<()> {
        let (mut place, mut turn_bytes) = (Place { index: 0, offset: 0 }, 0);
        place.advance(slices, 0);
        while place.index < slices.len() {
            let sent = poll_fn(|context| {
                if self.poll_deadline(context).is_ready() {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
                self.registration.poll_call(Direction::Write, context, || {
                    place.with_gathered(slices, |rest| self.send_now(rest))
                })
            })
            .await?;
            place.advance(slices, sent);
            turn_bytes += sent;
            if turn_bytes >= TURN_BYTES_MAX {
                self.shard.ring_turn().await;
                turn_bytes = 0;
            }
        }
        Ok(())
    }

    /// Every wait of this socket ends at `at_us` of the monotonic clock, up to two ticks late.
    pub fn set_deadline(&self, at_us: u64) {
        self.deadline.set(at_us);
    }

    /// The socket's waits have no end of their own.
    pub fn clear_deadline(&self) {
        self.deadline.clear();
    }

    /// Ready when the socket's deadline has passed; else the task is woken then.
    pub fn poll_deadline(&self, context: &Context<'_>) -> Poll<()> {
        self.deadline.poll_expired(context)
    }

    /// The peer's address.
    ///
    /// # Errors
    /// ENOTCONN after a reset; `InvalidInput` for a socket that is neither IPv4 nor IPv6.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.peer_addr()?.as_socket().ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }

    /// Sends small writes at once. Accepted sockets have it set.
    ///
    /// # Errors
    /// EOPNOTSUPP when the socket is not TCP.
    pub fn nodelay(&self) -> io::Result<()> {
        self.socket.set_tcp_nodelay(true)
    }

    /// Ends one or both directions; what was sent still arrives.
    ///
    /// # Errors
    /// ENOTCONN when the peer is gone.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket.shutdown(how)
    }

    /// Bytes received since the socket came to this shard.
    pub fn received_bytes(&self) -> u64 {
        self.received_bytes.get()
    }

    /// Bytes sent since the socket came to this shard.
    pub fn sent_bytes(&self) -> u64 {
        self.sent_bytes.get()
    }
}

/// How far a gather list has been sent.
struct Place {
    /// The slice that is sent next; never an empty one.
    index: usize,
    /// Bytes of it that are sent.
    offset: usize,
}

impl Place {
    fn advance<S: AsRef<[u8]>>(&mut self, slices: &[S], sent: usize) {
        self.offset += sent;
        while let Some(slice) = slices.get(self.index)
            && self.offset >= slice.as_ref().len()
        {
            self.offset -= slice.as_ref().len();
            self.index += 1;
        }
    }

    fn with_gathered<S: AsRef<[u8]>, R>(&self, slices: &[S], send: impl FnOnce(&[IoSlice<'_>]) -> R) -> R {
        let mut gathered = [IoSlice::new(&[]); GATHER_SLICES_MAX];
        let count = gathered.len().min(slices.len() - self.index);
        for (place, slice) in gathered.iter_mut().zip(&slices[self.index..]) {
            *place = IoSlice::new(slice.as_ref());
        }
        gathered[0].advance(self.offset);
        send(&gathered[..count])
    }
}
