//! TLS on a socket of the shard: rustls told the bytes, by its unbuffered interface (RFC 8446, RFC 5246).
//!
//! Records are decrypted where the shard received them, and a response is encrypted into one buffer of the
//! shard and goes out in one send. A connection keeps bytes of its own only while a record is half received
//! or the socket does not take what is encrypted; idle, it is the session's keys and nothing else.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::mem::ManuallyDrop;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::server::UnbufferedServerConnection;
use rustls::{HandshakeKind, ServerConfig};

use super::tls_session::{Outgoing, Session};
use super::{Shard, Socket};
use crate::limits::{TLS_SEND_BYTES_MAX, TLS_SLOW_SEND_BYTES_MAX, TURN_BYTES_MAX};

/// A connection under TLS, after its handshake. Reads and writes as a [`Socket`] does.
pub struct TlsSocket {
    socket: Socket,
    buffers: Rc<TlsBuffers>,
    state: RefCell<State>,
}

/// What the TLS connections of a shard use in turn, each within one call.
#[derive(Default)]
pub struct TlsBuffers {
    plain: RefCell<Vec<u8>>,
    cipher: RefCell<Outgoing>,
}

/// A connection between two shards: with all of TLS that is not the shard's.
pub(super) struct Moving {
    descriptor: OwnedFd,
    state: Box<State>,
}

struct State {
    session: Session,
    /// Decrypted with the last message of the handshake.
    early: Vec<u8>,
    /// Encrypted and not yet taken by the socket, from `unsent_from` on.
    unsent: Vec<u8>,
    unsent_from: usize,
    /// Our close_notify is on its way.
    has_ended: bool,
}

impl TlsSocket {
    /// Shakes hands; the socket's deadline bounds it.
    ///
    /// # Errors
    /// `InvalidData` for a peer that breaks the protocol or has no version or cipher suite in common with
    /// us, `UnexpectedEof` for one that leaves; else those of the socket.
    pub async fn accept(
        socket: Socket,
        config: Arc<ServerConfig>,
        buffers: Rc<TlsBuffers>,
    ) -> io::Result<Self> {
        Self::accept_after(socket, config, buffers, &mut []).await
    }

    /// As [`Self::accept`], for a socket of which `received` was read already.
    ///
    /// # Errors
    /// As there.
    pub async fn accept_after(
        socket: Socket,
        config: Arc<ServerConfig>,
        buffers: Rc<TlsBuffers>,
        received: &mut [u8],
    ) -> io::Result<Self> {
        let connection = UnbufferedServerConnection::new(config).map_err(io::Error::other)?;
        let state = State {
            session: Session::new(connection),
            early: Vec::new(),
            unsent: Vec::new(),
            unsent_from: 0,
            has_ended: false,
        };
        let stream = Self { socket, buffers, state: RefCell::new(state) };
        if !received.is_empty() {
            stream.shake(received)?;
        }
        while stream.state.borrow().session.is_handshaking() {
            while stream.unsent_bytes() > 0 {
                poll_fn(|context| stream.poll_send(context, &[])).await?;
            }
            let mut step = Some(|bytes: &mut [u8]| match bytes {
                [] => Err(io::ErrorKind::UnexpectedEof.into()),
                bytes => stream.shake(bytes),
            });
            poll_fn(|context| stream.socket.poll_recv_in_place(context, &mut step)).await??;
        }
        while stream.unsent_bytes() > 0 {
            poll_fn(|context| stream.poll_send(context, &[])).await?;
        }
        Ok(stream)
    }

    fn shake(&self, received: &mut [u8]) -> io::Result<()> {
        self.decrypt(received)?;
        self.state.borrow_mut().early.extend_from_slice(&self.buffers.plain.borrow());
        Ok(())
    }

    /// Takes the connection off this shard, to be put on another with [`Self::settle`]. The socket's deadline
    /// is left behind.
    pub(super) fn into_moving(self) -> Moving {
        let left = ManuallyDrop::new(self);
        // SAFETY: `left` is never dropped, and each of its fields is read exactly once.
        let (socket, buffers, state) = unsafe {
            (
                std::ptr::read(&raw const left.socket),
                std::ptr::read(&raw const left.buffers),
                std::ptr::read(&raw const left.state),
            )
        };
        drop(buffers);
        Moving { descriptor: socket.into_fd(), state: Box::new(state.into_inner()) }
    }

    /// Goes on with a connection on this shard.
    ///
    /// # Errors
    /// As [`Socket::from_fd`].
    pub(super) fn settle(moving: Moving, shard: &Shard, buffers: Rc<TlsBuffers>) -> io::Result<Self> {
        let Moving { descriptor, state } = moving;
        Ok(Self { socket: Socket::from_fd(shard, descriptor)?, buffers, state: RefCell::new(*state) })
    }

    /// The socket under it: its deadline, and when a read is worth trying.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// What ALPN agreed on.
    pub fn is_protocol(&self, name: &[u8]) -> bool {
        self.state.borrow().session.connection().alpn_protocol() == Some(name)
    }

    /// True when the client brought a ticket or session that spared the full handshake.
    pub fn is_resumed(&self) -> bool {
        self.state.borrow().session.connection().handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// As [`Socket::recv`].
    ///
    /// # Errors
    /// As there, and `InvalidData` for a peer that breaks the protocol.
    pub async fn recv<R>(&self, take: impl FnOnce(&[u8]) -> R) -> io::Result<R> {
        let (mut take, mut turn_from) = (Some(take), self.socket.received_bytes());
        loop {
            if let Some(taken) = poll_fn(|context| self.poll_recv(context, &mut take)).await? {
                return Ok(taken);
            }
            // Records without content come without end from who likes.
            if self.socket.received_bytes() - turn_from >= TURN_BYTES_MAX as u64 {
                self.socket.shard().ring_turn().await;
                turn_from = self.socket.received_bytes();
            }
        }
    }

    /// One read; `None` when it brought no plaintext. `take` is gone once it is `Some`.
    pub(super) fn poll_recv<R>(
        &self,
        context: &Context<'_>,
        take: &mut Option<impl FnOnce(&[u8]) -> R>,
    ) -> Poll<io::Result<Option<R>>> {
        if let Some(taken) = self.take_held(take) {
            return Poll::Ready(Ok(Some(taken)));
        }
        let mut read = Some(|bytes: &mut [u8]| self.take_received(bytes, take));
        self.socket.poll_recv_in_place(context, &mut read).map(|taken| taken?)
    }

    /// As [`Socket::try_recv`]; also `None` when what was there is no whole record.
    ///
    /// # Errors
    /// As [`Self::recv`]; the deadline is not looked at.
    pub fn try_recv<R>(&self, take: impl FnOnce(&[u8]) -> R) -> io::Result<Option<R>> {
        let mut take = Some(take);
        if let Some(taken) = self.take_held(&mut take) {
            return Ok(Some(taken));
        }
        match self.socket.try_recv_in_place(|bytes| self.take_received(bytes, &mut take))? {
            Some(taken) => taken,
            None => Ok(None),
        }
    }

    /// What came with the handshake, or the end that came with the last bytes.
    fn take_held<R>(&self, take: &mut Option<impl FnOnce(&[u8]) -> R>) -> Option<R> {
        let mut state = self.state.borrow_mut();
        if state.early.is_empty() && !state.session.is_ended() {
            return None;
        }
        let early = std::mem::take(&mut state.early);
        drop(state);
        take.take().map(|take| take(&early))
    }

    fn take_received<R>(
        &self,
        bytes: &mut [u8],
        take: &mut Option<impl FnOnce(&[u8]) -> R>,
    ) -> io::Result<Option<R>> {
        let is_end = bytes.is_empty();
        if !is_end {
            self.decrypt(bytes)?;
        }
        let plain = self.buffers.plain.borrow();
        let plain: &[u8] = if is_end { &[] } else { &plain };
        if plain.is_empty() && !is_end && !self.state.borrow().session.is_ended() {
            return Ok(None);
        }
        Ok(take.take().map(|take| take(plain)))
    }

    /// Leaves the plaintext in the shard's buffer, and answers what TLS itself asks.
    fn decrypt(&self, received: &mut [u8]) -> io::Result<()> {
        let (mut plain, mut cipher) = (self.buffers.plain.borrow_mut(), self.buffers.cipher.borrow_mut());
        plain.clear();
        cipher.clear();
        let mut state = self.state.borrow_mut();
        let decrypted = state.session.decrypt(received, &mut plain, &mut cipher);
        // After an error it is the alert that says what was wrong.
        let pushed = state.push(&self.socket, cipher.as_slice());
        if decrypted.is_err() {
            // The alert was the last word.
            state.has_ended = true;
        }
        decrypted.and(pushed)
    }

    /// Encrypts bytes of the slices and sends them in one call, `None` when the socket is full. Returns how
    /// many were taken: what the socket leaves of them is kept, see [`Self::unsent_bytes`].
    ///
    /// # Errors
    /// As [`Socket::try_send`].
    pub fn try_send(&self, slices: &[IoSlice<'_>]) -> io::Result<Option<usize>> {
        if !self.state.borrow_mut().flush(&self.socket)? {
            return Ok(None);
        }
        self.encrypt(slices, TLS_SEND_BYTES_MAX).map(Some)
    }

    /// Waits until the socket takes something, and returns how many bytes of the slices were taken: 0 when
    /// it was what had been kept.
    pub(super) fn poll_send(&self, context: &Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut state = self.state.borrow_mut();
        if state.unsent_bytes() > 0 {
            let sent = {
                let unsent = IoSlice::new(&state.unsent[state.unsent_from..]);
                ready!(self.socket.poll_send(context, &[unsent]))?
            };
            if !state.forget_sent(sent) {
                return Poll::Ready(Ok(0));
            }
        }
        drop(state);
        Poll::Ready(self.encrypt(slices, TLS_SLOW_SEND_BYTES_MAX))
    }

    fn encrypt(&self, slices: &[IoSlice<'_>], bytes_max: usize) -> io::Result<usize> {
        if slices.is_empty() {
            return Ok(0);
        }
        let mut cipher = self.buffers.cipher.borrow_mut();
        cipher.clear();
        let mut state = self.state.borrow_mut();
        let taken = state.session.encrypt(slices, bytes_max, &mut cipher)?;
        state.push(&self.socket, cipher.as_slice())?;
        Ok(taken)
    }

    /// Bytes that are encrypted and not yet sent, at most what [`TLS_SEND_BYTES_MAX`] becomes.
    pub fn unsent_bytes(&self) -> usize {
        self.state.borrow().unsent_bytes()
    }

    /// Says that nothing more comes, and ends our side; the peer may still send.
    pub fn close_write(&self) {
        self.say_goodbye();
        // A peer that is gone needs no end.
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    fn say_goodbye(&self) {
        // Not there while a panic unwinds through a call.
        let (Ok(mut state), Ok(mut cipher)) =
            (self.state.try_borrow_mut(), self.buffers.cipher.try_borrow_mut())
        else {
            return;
        };
        if std::mem::replace(&mut state.has_ended, true) {
            return;
        }
        cipher.clear();
        state.session.close(&mut cipher);
        // A socket that is full has a peer that does not read.
        let _ = state.push(&self.socket, cipher.as_slice());
    }
}

impl Drop for TlsSocket {
    /// Without close_notify the peer could not tell the end from an attacker's.
    fn drop(&mut self) {
        self.say_goodbye();
    }
}

impl State {
    fn unsent_bytes(&self) -> usize {
        self.unsent.len() - self.unsent_from
    }

    /// Sends what is encrypted, behind what was kept, and keeps what the socket does not take.
    fn push(&mut self, socket: &Socket, cipher: &[u8]) -> io::Result<()> {
        if cipher.is_empty() {
            return Ok(());
        }
        let sent = match self.flush(socket)? {
            true => socket.try_send(&[IoSlice::new(cipher)])?.unwrap_or(0),
            false => 0,
        };
        self.unsent.extend_from_slice(&cipher[sent..]);
        Ok(())
    }

    /// True when nothing is kept any more.
    fn flush(&mut self, socket: &Socket) -> io::Result<bool> {
        while self.unsent_bytes() > 0 {
            let Some(sent) = socket.try_send(&[IoSlice::new(&self.unsent[self.unsent_from..])])? else {
                return Ok(false);
            };
            self.forget_sent(sent);
        }
        Ok(true)
    }

    /// True when that was all.
    fn forget_sent(&mut self, sent: usize) -> bool {
        self.unsent_from += sent;
        let is_all = self.unsent_from == self.unsent.len();
        if is_all {
            (self.unsent, self.unsent_from) = (Vec::new(), 0);
        }
        is_all
    }
}
