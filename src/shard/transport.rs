//! A connection, plain or under TLS.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::tls::{self, TlsBuffers, TlsSocket};
use super::{Shard, Socket};
use crate::limits::{HTTP_CLOSE_US, HTTP_PIPELINED_BYTES_MAX};

/// Bytes in, bytes out; what [`Socket`] says of its calls holds for these.
pub enum Transport {
    /// As they are.
    Plain(Socket),
    /// Under TLS; boxed, since it is ten times the size.
    Tls(Box<TlsSocket>),
}

/// A connection on its way to another shard: out of the epoll set that it was in.
pub struct Moving(Way);

enum Way {
    Plain(OwnedFd),
    Tls(tls::Moving),
}

impl Moving {
    /// Goes on with the connection on this shard.
    ///
    /// # Errors
    /// As [`Socket::from_fd`].
    pub fn settle(self, shard: &Shard, buffers: &Rc<TlsBuffers>) -> io::Result<Transport> {
        Ok(match self.0 {
            Way::Plain(descriptor) => Transport::Plain(Socket::from_fd(shard, descriptor)?),
            Way::Tls(moving) => {
                Transport::Tls(Box::new(TlsSocket::settle(moving, shard, Rc::clone(buffers))?))
            }
        })
    }
}

impl Transport {
    /// Takes the connection off this shard, with what was received of it and what it has still to send. The
    /// deadline is left behind.
    pub fn into_moving(self) -> Moving {
        Moving(match self {
            Self::Plain(socket) => Way::Plain(socket.into_fd()),
            Self::Tls(tls) => Way::Tls(tls.into_moving()),
        })
    }

    /// True under TLS.
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// The socket under it: its deadline, and when a read is worth trying.
    pub fn socket(&self) -> &Socket {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(tls) => tls.socket(),
        }
    }

    /// As [`Socket::recv`].
    ///
    /// # Errors
    /// As there, and `InvalidData` for a peer that breaks TLS.
    pub async fn recv<R>(&self, take: impl FnOnce(&[u8]) -> R) -> io::Result<R> {
        match self {
            Self::Plain(socket) => socket.recv(take).await,
            Self::Tls(tls) => tls.recv(take).await,
        }
    }

    /// As [`Socket::try_recv`].
    ///
    /// # Errors
    /// As [`Self::recv`].
    pub fn try_recv<R>(&self, take: impl FnOnce(&[u8]) -> R) -> io::Result<Option<R>> {
        match self {
            Self::Plain(socket) => socket.try_recv(take),
            Self::Tls(tls) => tls.try_recv(take),
        }
    }

    /// One read; `None` when it brought nothing that is the caller's. `take` is gone once it is `Some`.
    pub(super) fn poll_recv<R>(
        &self,
        context: &Context<'_>,
        take: &mut Option<impl FnOnce(&[u8]) -> R>,
    ) -> Poll<io::Result<Option<R>>> {
        match self {
            Self::Plain(socket) => {
                let mut read = Some(|bytes: &mut [u8]| take.take().map(|take| take(bytes)));
                socket.poll_recv_in_place(context, &mut read)
            }
            Self::Tls(tls) => tls.poll_recv(context, take),
        }
    }

    /// As [`Socket::try_send`]; what was taken may not all be sent, see [`Self::unsent_bytes`].
    ///
    /// # Errors
    /// As there.
    pub fn try_send(&self, slices: &[IoSlice<'_>]) -> io::Result<Option<usize>> {
        match self {
            Self::Plain(socket) => socket.try_send(slices),
            Self::Tls(tls) => tls.try_send(slices),
        }
    }

    /// Waits until something is sent, and returns how many bytes of the slices were taken: 0 when that was
    /// taken before.
    ///
    /// # Errors
    /// As [`Socket::send`].
    pub async fn send(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        poll_fn(|context| self.poll_send(context, slices)).await
    }

    /// As [`Self::send`].
    pub(super) fn poll_send(&self, context: &Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(socket) => socket.poll_send(context, slices),
            Self::Tls(tls) => tls.poll_send(context, slices),
        }
    }

    /// Sends all of a few bytes.
    ///
    /// # Errors
    /// As [`Socket::send`].
    pub async fn send_all(&self, bytes: &[u8]) -> io::Result<()> {
        let mut taken = 0;
        while taken < bytes.len() || self.unsent_bytes() > 0 {
            taken += self.send(&[IoSlice::new(&bytes[taken..])]).await?;
        }
        Ok(())
    }

    /// Bytes that were taken and are not yet sent.
    pub fn unsent_bytes(&self) -> usize {
        match self {
            Self::Plain(_) => 0,
            Self::Tls(tls) => tls.unsent_bytes(),
        }
    }

    /// Closes so that the peer can read what was sent last: with unread input a close is a reset.
    pub async fn close(&self) {
        self.close_write();
        self.socket().set_deadline(self.socket().shard().monotonic_us() + HTTP_CLOSE_US);
        let mut left = HTTP_PIPELINED_BYTES_MAX;
        while let Ok(count @ 1..) = self.recv(<[u8]>::len).await {
            left = left.saturating_sub(count);
            if left == 0 {
                return;
            }
        }
    }

    /// Ends our side, in order; what was sent still arrives.
    pub fn close_write(&self) {
        match self {
            Self::Plain(socket) => {
                // A peer that is gone needs no end.
                let _ = socket.shutdown(Shutdown::Write);
            }
            Self::Tls(tls) => tls.close_write(),
        }
    }
}
