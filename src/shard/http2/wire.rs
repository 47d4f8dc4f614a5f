//! The bytes between h2 and a viewer's connection.
//!
//! h2 flushes after every frame; here frames pile up until its connection has nothing more to write, and
//! then go out in one send. What waits is bounded: past [`HTTP2_SEND_BYTES_MAX`] h2 is told to wait.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::Frames;
use crate::limits::{
    HTTP_SEND_LENT_US_MAX, HTTP2_OWING_US, HTTP2_SEND_BYTES_MAX, HTTP2_SLOW_SEND_BYTES_MAX, TURN_BYTES_MAX,
};
use crate::shard::Transport;
use crate::shard::patience::Patience;

/// What h2 reads from and writes to; the connection's task holds another one.
#[derive(Clone)]
pub(super) struct Wire(Rc<Inner>);

struct Inner {
    transport: Transport,
    /// Received and not yet read by h2.
    inbound: RefCell<Pile>,
    /// Written by h2 and not yet sent.
    outbound: RefCell<Pile>,
    /// Memory for `outbound`, shared by the connections of the shard.
    spare: Rc<RefCell<Vec<u8>>>,
    /// Received and sent since the last ring turn.
    turn_bytes: Cell<usize>,
    received_bytes: Cell<u64>,
    /// Of what h2 has read.
    frames: RefCell<Frames>,
    /// What the socket had sent when `outbound` began to fill.
    sent_before: Cell<u64>,
    is_full: Cell<bool>,
    /// Of a peer that lately did not take all that it was sent.
    owing: Cell<Option<Owing>>,
}

/// Bytes, the first of which are done with.
#[derive(Default)]
struct Pile {
    bytes: Vec<u8>,
    from: usize,
}

/// A peer that does not take all that it is sent.
#[derive(Clone, Copy)]
struct Owing {
    patience: Patience,
    /// What the socket had sent when that was last looked at, and when that was.
    sent_bytes: u64,
    looked_us: u64,
    /// Since when the socket is full without a break: each part of a good stream may fill it for a moment.
    full_since_us: u64,
}

impl Owing {
    fn look(&mut self, sent_bytes: u64, now_us: u64) {
        self.patience.took(sent_bytes - self.sent_bytes, now_us);
        (self.sent_bytes, self.looked_us) = (sent_bytes, now_us);
    }
}

impl Wire {
    /// `received` is what was read already.
    pub(super) fn new(transport: Transport, received: Vec<u8>, spare: Rc<RefCell<Vec<u8>>>) -> Self {
        Self(Rc::new(Inner {
            transport,
            received_bytes: Cell::new(received.len() as u64),
            inbound: RefCell::new(Pile { bytes: received, from: 0 }),
            frames: RefCell::default(),
            outbound: RefCell::default(),
            spare,
            turn_bytes: Cell::new(0),
            sent_before: Cell::new(0),
            is_full: Cell::new(false),
            owing: Cell::new(None),
        }))
    }

    pub(super) fn transport(&self) -> &Transport {
        &self.0.transport
    }

    /// Bytes received, all in all.
    pub(super) fn received_bytes(&self) -> u64 {
        self.0.received_bytes.get()
    }

    /// Frames that the peer wants acknowledged, all in all.
    pub(super) fn asking_count(&self) -> u64 {
        self.0.frames.borrow().asking_count()
    }

    /// h2 reads no more, and its requests hand over no more than fits, until the shard has had its ring turn.
    pub(super) fn is_turn_spent(&self) -> bool {
        self.0.turn_bytes.get() >= TURN_BYTES_MAX
    }

    pub(super) fn turn_taken(&self) {
        self.0.turn_bytes.set(0);
    }

    /// True while the socket is full.
    pub(super) fn is_owing(&self) -> bool {
        self.0.is_full.get()
    }

    /// When a peer that does not take what it is sent is given up; `None` while it does.
    pub(super) fn stalled_us(&self, is_lending_too_much: bool) -> Option<u64> {
        let owing = self.0.owing.get().filter(|_| self.is_owing())?;
        let left = self.0.outbound.borrow().left().len() + self.0.transport.unsent_bytes();
        let until_us = owing.patience.until_us(left as u64, false);
        let lent_until_us = owing.full_since_us + HTTP_SEND_LENT_US_MAX;
        Some(if is_lending_too_much { until_us.min(lent_until_us) } else { until_us })
    }

    /// Sends what h2 has written, in as few calls as the socket takes. Ready when that is all.
    pub(super) fn poll_send(&self, context: &Context<'_>) -> Poll<io::Result<()>> {
        let Inner { transport, .. } = &*self.0;
        let mut outbound = self.0.outbound.borrow_mut();
        loop {
            if outbound.left().is_empty() && transport.unsent_bytes() == 0 {
                // An idle connection keeps no buffers.
                outbound.give_back(&mut self.0.spare.borrow_mut());
                if self.0.is_full.replace(false) {
                    self.look_at_owing(true);
                }
                return Poll::Ready(Ok(()));
            }
            let slices = [IoSlice::new(outbound.left())];
            // Of what a slow reader has not taken little is encrypted, and shared with nobody.
            let tried = if self.is_owing() { None } else { transport.try_send(&slices)? };
            let taken = match tried {
                Some(taken) => Poll::Ready(Ok(taken)),
                None => transport.poll_send(context, &slices),
            };
            match taken {
                Poll::Ready(taken) => {
                    let taken = taken?;
                    outbound.from += taken;
                    // With a peer that reads as fast as we write nothing else would end this.
                    self.0.turn_bytes.set(self.0.turn_bytes.get() + taken);
                }
                Poll::Pending => {
                    self.look_at_owing(self.0.is_full.replace(true));
                    return Poll::Pending;
                }
            }
        }
    }

    /// The socket has become full, is still full or no longer is.
    fn look_at_owing(&self, was_full: bool) {
        let socket = self.0.transport.socket();
        // Under TLS some of what was kept may have gone as well.
        let (sent_bytes, now_us) = (socket.sent_bytes(), socket.shard().monotonic_us());
        // A window that opens by much takes all that is piled up, and soon what comes after it is too much again.
        let known = self.0.owing.get().filter(|it| was_full || now_us < it.looked_us + HTTP2_OWING_US);
        let mut owing = known.unwrap_or(Owing {
            patience: Patience::new(now_us),
            sent_bytes: self.0.sent_before.get(),
            looked_us: now_us,
            full_since_us: now_us,
        });
        if !was_full {
            owing.full_since_us = now_us;
        }
        owing.look(sent_bytes, now_us);
        self.0.owing.set(Some(owing));
    }

    /// Reads into `buffer` what is there; what does not fit waits in `inbound`.
    fn poll_receive(&self, context: &Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut inbound = self.0.inbound.borrow_mut();
        while inbound.left().is_empty() {
            if self.is_turn_spent() {
                // The connection's task sees it, takes the turn and polls again.
                return Poll::Pending;
            }
            let before = self.0.transport.socket().received_bytes();
            let mut take = Some(|bytes: &[u8]| {
                let (now, later) = bytes.split_at(bytes.len().min(buffer.remaining()));
                buffer.put_slice(now);
                self.0.frames.borrow_mut().read(now);
                (bytes.len(), later.to_vec())
            });
            let received = ready!(self.0.transport.poll_recv(context, &mut take))?;
            let read = self.0.transport.socket().received_bytes() - before;
            self.0.turn_bytes.set(self.0.turn_bytes.get() + read as usize);
            self.0.received_bytes.set(self.0.received_bytes.get() + read);
            if let Some((_, later)) = received {
                // Nothing at all is the peer's end, to h2 as well.
                *inbound = Pile { bytes: later, from: 0 };
                return Poll::Ready(Ok(()));
            }
        }
        let (now, _) = inbound.left().split_at(inbound.left().len().min(buffer.remaining()));
        buffer.put_slice(now);
        self.0.frames.borrow_mut().read(now);
        inbound.from += now.len();
        if inbound.left().is_empty() {
            *inbound = Pile::default();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_take(&self, context: &Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let bytes_max = if self.is_owing() { HTTP2_SLOW_SEND_BYTES_MAX } else { HTTP2_SEND_BYTES_MAX };
        if self.0.outbound.borrow().left().len() >= bytes_max {
            if self.is_turn_spent() {
                // The connection's task sees it, takes the turn and polls again.
                return Poll::Pending;
            }
            ready!(self.poll_send(context))?;
        }
        let mut outbound = self.0.outbound.borrow_mut();
        if outbound.left().is_empty() {
            self.0.sent_before.set(self.0.transport.socket().sent_bytes());
        }
        outbound.make_room(&mut self.0.spare.borrow_mut());
        slices.iter().for_each(|slice| outbound.bytes.extend_from_slice(slice));
        Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()))
    }
}

impl Pile {
    fn left(&self) -> &[u8] {
        &self.bytes[self.from..]
    }

    fn make_room(&mut self, spare: &mut Vec<u8>) {
        if self.bytes.capacity() == 0 {
            self.bytes = std::mem::take(spare);
        } else if self.from >= HTTP2_SLOW_SEND_BYTES_MAX {
            self.bytes.drain(..self.from);
            self.from = 0;
        }
    }

    fn give_back(&mut self, spare: &mut Vec<u8>) {
        let Self { mut bytes, .. } = std::mem::take(self);
        if bytes.capacity() > spare.capacity() {
            bytes.clear();
            *spare = bytes;
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_receive(context, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_take(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_take(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Later, with what else is written: the connection's task sends when h2 has nothing more to write.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_send(context)
    }
}
