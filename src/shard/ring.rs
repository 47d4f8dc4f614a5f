//! Waiting for a descriptor through the executor's ring, and the ring turn that ends a budget.
//!
//! glommio has no call to await a descriptor that is not a socket. A stream wrapped round it does the
//! same: it registers a one-shot poll when it is made, and its first read completes with that poll
//! (with ENOTSOCK, which is of no interest).

use std::{
    future::poll_fn,
    io,
    mem::ManuallyDrop,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    pin::Pin,
};

use futures_io::AsyncRead;
use glommio::net::TcpStream;

use super::Shard;
use crate::limits::{TURN_BYTES_MAX, TURN_REQUESTS_MAX};

/// Completes when `descriptor` (an epoll set or an eventfd) is readable: about 4 µs and 4 allocations.
///
/// Not to be dropped before it completes: its poll would stay behind in the ring.
pub async fn readable(descriptor: BorrowedFd<'_>) {
    // SAFETY: the stream only borrows the descriptor: ManuallyDrop keeps it from closing it, and the
    // lifetime of `descriptor` spans the wait. The poll is consumed before this future completes.
    let mut stream = ManuallyDrop::new(unsafe { TcpStream::from_raw_fd(descriptor.as_raw_fd()) });
    let mut byte = [0];
    // The result is ENOTSOCK for either kind of descriptor; that it came is the message.
    let _ = poll_fn(|context| Pin::new(&mut *stream).poll_read(context, &mut byte)).await;
}

/// A new eventfd with `count` in it, that neither blocks nor is inherited.
///
/// # Errors
/// EMFILE and ENFILE, when the process or host has no descriptor left.
pub(super) fn eventfd(count: u32) -> io::Result<OwnedFd> {
    // SAFETY: eventfd takes no pointers.
    let descriptor = unsafe { libc::eventfd(count, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so the descriptor is open and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// What a task may still do before it must let the shard's ring have a turn.
///
/// Every loop over a peer's bytes spends from one: an operation that succeeds at once never yields.
pub struct Budget {
    shard: Shard,
    bytes_left: usize,
    requests_left: usize,
}

impl Budget {
    pub(super) fn new(shard: Shard) -> Self {
        Self { shard, bytes_left: TURN_BYTES_MAX, requests_left: TURN_REQUESTS_MAX }
    }

    /// Accounts for bytes read or written; takes the ring turn when [`TURN_BYTES_MAX`] are used up.
    pub async fn spend_bytes(&mut self, bytes: usize) {
        self.bytes_left = self.bytes_left.saturating_sub(bytes);
        self.turn_if_spent().await;
    }

    /// Accounts for a request, message or connection; takes the turn at [`TURN_REQUESTS_MAX`].
    pub async fn spend_request(&mut self) {
        self.requests_left -= 1;
        self.turn_if_spent().await;
    }

    async fn turn_if_spent(&mut self) {
        if self.bytes_left > 0 && self.requests_left > 0 {
            return;
        }
        self.shard.ring_turn().await;
        self.bytes_left = TURN_BYTES_MAX;
        self.requests_left = TURN_REQUESTS_MAX;
    }
}
