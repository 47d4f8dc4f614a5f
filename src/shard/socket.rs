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
    time::Duration,
};

use socket2::TcpKeepalive;

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

    /// Has the shard look at this socket before those of viewers: what it receives is late for all who watch.
    ///
    /// # Errors
    /// ENOSPC and ENOMEM of the epoll set; the socket is then looked at as before.
    pub fn look_first(&self) -> io::Result<()> {
        self.registration.look_first()
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
        let mut take = Some(|bytes: &mut [u8]| take(bytes));
        poll_fn(|context| self.poll_recv_in_place(context, &mut take)).await
    }

    /// As [`Self::recv`], for who works in the buffer itself; `take` is gone once it is ready without an error.
    pub(super) fn poll_recv_in_place<R>(
        &self,
        context: &Context<'_>,
        take: &mut Option<impl FnOnce(&mut [u8]) -> R>,
    ) -> Poll<io::Result<R>> {
        if self.poll_deadline(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        self.registration.poll_call(Direction::Read, context, || self.read_now(take))
    }

    /// As [`Self::recv`], without waiting: `None` when nothing is there.
    ///
    /// # Errors
    /// Those of `recv`; the deadline is not looked at.
    pub fn try_recv<R>(&self, take: impl FnOnce(&[u8]) -> R) -> io::Result<Option<R>> {
        self.try_recv_in_place(|bytes| take(bytes))
    }

    /// As [`Self::try_recv`], for who works in the buffer itself.
    pub(super) fn try_recv_in_place<R>(&self, take: impl FnOnce(&mut [u8]) -> R) -> io::Result<Option<R>> {
        let mut take = Some(take);
        self.registration.try_call(Direction::Read, || self.read_now(&mut take))
    }

    fn read_now<R>(&self, take: &mut Option<impl FnOnce(&mut [u8]) -> R>) -> io::Result<R> {
        let mut scratch = self.registration.set.scratch.borrow_mut();
        let received = (&self.socket).read(&mut scratch)?;
        // A full buffer may have left bytes behind; after the end, reading on tells it again.
        if received > 0 && received < scratch.len() {
            self.registration.clear(Direction::Read);
        }
        self.received_bytes.set(self.received_bytes.get() + received as u64);
        let take = take.take().expect("a read that succeeded ends the call");
        Ok(take(&mut scratch[..received]))
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
        poll_fn(|context| self.poll_send(context, slices)).await
    }

    /// As [`Self::send`].
    pub(super) fn poll_send(&self, context: &Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if self.poll_deadline(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        self.registration.poll_call(Direction::Write, context, || self.send_now(slices))
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

    /// The deadline of its waits.
    pub(super) fn deadline(&self) -> &Deadline {
        &self.deadline
    }

    /// The shard that it is on.
    pub fn shard(&self) -> &Shard {
        &self.shard
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

    /// Has TCP ask a silent peer's host every so many seconds whether it is there.
    ///
    /// # Errors
    /// EOPNOTSUPP when the socket is not TCP.
    pub fn keep_alive(&self, every_s: u32) -> io::Result<()> {
        let every = Duration::from_secs(every_s.into());
        self.socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(every).with_interval(every))
    }

    /// How long the peer's host may leave unacknowledged what it was sent or asked, before the socket fails with
    /// ETIMEDOUT; `None` is the kernel's own quarter of an hour. A peer that acknowledges and does not read
    /// counts as well.
    ///
    /// # Errors
    /// EOPNOTSUPP when the socket is not TCP.
    pub fn set_unacknowledged_max(&self, ms: Option<u32>) -> io::Result<()> {
        self.socket.set_tcp_user_timeout(ms.map(|ms| Duration::from_millis(ms.into())))
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

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, net::TcpStream, os::unix::net::UnixStream, rc::Rc, thread};

    use super::*;
    use crate::{
        limits::{POLL_EVENTS_MAX, RECV_BYTES_MAX},
        shard::{Listener, bind, testing::on_one_shard},
    };

    /// A socket on the shard and its peer, which does not block.
    fn pair(shard: &Shard) -> (Socket, UnixStream) {
        let (ours, peer) = UnixStream::pair().unwrap();
        peer.set_nonblocking(true).unwrap();
        (Socket::from_fd(shard, ours.into()).unwrap(), peer)
    }

    /// Pseudo-random bytes, so that a lost or doubled one shows.
    fn noise(bytes_count: usize) -> Vec<u8> {
        let mut state = 0x2545_f491_u32;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state as u8
        };
        (0..bytes_count).map(|_| next()).collect()
    }

    #[test]
    fn bytes_are_received_as_they_come_and_the_end_is_told_again_and_again() {
        on_one_shard(|shard| async move {
            let (socket, mut peer) = pair(&shard);
            assert!(socket.try_recv(|_| ()).unwrap().is_none());
            let writer = shard.clone();
            shard.spawn("peer", async move {
                for text in ["one", "two"] {
                    io::Write::write_all(&mut peer, text.as_bytes()).unwrap();
                    writer.sleep_until(0).await;
                }
            });
            for expected in ["one", "two", "", ""] {
                assert_eq!(socket.recv(|bytes| bytes.to_vec()).await.unwrap(), expected.as_bytes());
            }
            assert!(socket.is_hung_up());
            assert_eq!(socket.received_bytes(), 6);
        });
    }

    #[test]
    fn what_lies_behind_a_full_buffer_is_read_without_another_event() {
        on_one_shard(|shard| async move {
            let (socket, mut peer) = pair(&shard);
            let sent = noise(RECV_BYTES_MAX + 10_000);
            io::Write::write_all(&mut peer, &sent).unwrap();
            let mut received = Vec::new();
            while received.len() < sent.len() {
                socket.recv(|bytes| received.extend_from_slice(bytes)).await.unwrap();
            }
            assert!(received == sent && socket.try_recv(|_| ()).unwrap().is_none());
        });
    }

    /// Far more than a socket holds, in more slices than one call takes, to a peer that reads slowly.
    #[test]
    fn a_long_gather_list_arrives_whole_at_a_slow_reader() {
        on_one_shard(|shard| async move {
            let (socket, mut peer) = pair(&shard);
            let sent = noise(3_000_000);
            let mut slices: Vec<Vec<u8>> = sent.chunks(7_919).map(<[u8]>::to_vec).collect();
            slices.insert(0, Vec::new());
            slices.insert(70, Vec::new());
            slices.push(Vec::new());
            let received = Rc::new(RefCell::new(Vec::new()));
            let (read, reader) = (Rc::clone(&received), shard.clone());
            shard.spawn("reader", async move {
                let mut buffer = vec![0; 100_000];
                loop {
                    match io::Read::read(&mut peer, &mut buffer) {
                        Ok(0) => break,
                        Ok(count) => read.borrow_mut().extend_from_slice(&buffer[..count]),
                        Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
                    }
                    if read.borrow().len() % 3 == 0 {
                        reader.sleep_until(0).await;
                    }
                    reader.ring_turn().await;
                }
            });
            socket.send_all(&slices).await.unwrap();
            assert_eq!(socket.sent_bytes(), sent.len() as u64);
            drop(socket);
            while shard.stats().tasks.get() > 0 {
                shard.ring_turn().await;
            }
            assert!(*received.borrow() == sent && shard.stats().panics.get() == 0);
        });
    }

    #[test]
    fn an_empty_gather_list_is_sent_at_once() {
        on_one_shard(|shard| async move {
            let (socket, _peer) = pair(&shard);
            socket.send_all::<&[u8]>(&[]).await.unwrap();
            socket.send_all(&[b"", b""]).await.unwrap();
            assert_eq!(socket.sent_bytes(), 0);
        });
    }

    #[test]
    fn a_deadline_ends_a_wait_in_either_direction() {
        on_one_shard(|shard| async move {
            let (socket, _peer) = pair(&shard);
            socket.set_deadline(shard.monotonic_us() + 1);
            assert_eq!(socket.recv(|_| ()).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
            socket.clear_deadline();
            assert!(socket.try_recv(|_| ()).unwrap().is_none());
            socket.set_deadline(shard.monotonic_us() + 1);
            let error = socket.send_all(&[noise(8 << 20)]).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        });
    }

    #[test]
    fn writing_to_a_peer_that_is_gone_is_an_error_and_no_signal() {
        on_one_shard(|shard| async move {
            let (socket, peer) = pair(&shard);
            drop(peer);
            assert_eq!(socket.send_all(&[b"late"]).await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        });
    }

    #[test]
    fn a_connection_moves_with_what_it_has_not_read() {
        on_one_shard(|shard| async move {
            let (socket, mut peer) = pair(&shard);
            let registered = shard.descriptors_count();
            io::Write::write_all(&mut peer, b"unread").unwrap();
            let descriptor = socket.into_fd();
            assert_eq!(shard.descriptors_count(), registered - 1);
            let moved = Socket::from_fd(&shard, descriptor).unwrap();
            assert_eq!(moved.recv(<[u8]>::len).await.unwrap(), 6);
            moved.send_all(&[b"reply"]).await.unwrap();
            let mut reply = [0; 5];
            io::Read::read_exact(&mut peer, &mut reply).unwrap();
            assert_eq!(&reply, b"reply");
        });
    }

    #[test]
    fn a_crowd_does_not_delay_who_is_looked_at_first() {
        const CROWD_COUNT: usize = 10 * POLL_EVENTS_MAX;
        on_one_shard(|shard| async move {
            let read = Rc::new(Cell::new(0));
            let read_before = Rc::new(Cell::new(None));
            let mut peers = Vec::new();
            for index in 0..=CROWD_COUNT {
                let (socket, peer) = pair(&shard);
                let (read, read_before) = (Rc::clone(&read), Rc::clone(&read_before));
                if index == CROWD_COUNT {
                    socket.look_first().unwrap();
                }
                shard.spawn("reader", async move {
                    socket.recv(<[u8]>::len).await.unwrap();
                    if index == CROWD_COUNT {
                        read_before.set(Some(read.get()));
                    }
                    read.set(read.get() + 1);
                });
                peers.push(peer);
            }
            // That all have found nothing to read, and wait.
            shard.sleep_until(0).await;
            for peer in &mut peers {
                io::Write::write_all(peer, b"x").unwrap();
            }
            while shard.stats().tasks.get() > 0 {
                shard.ring_turn().await;
            }
            assert_eq!(read.get(), CROWD_COUNT + 1);
            // The last to speak, it is among the first to be heard.
            assert_eq!(read_before.get(), Some(0));
        });
    }

    /// Clients connect, send and vanish while others are served: every slot comes back.
    #[test]
    fn churning_connections_are_all_answered_and_leave_nothing_behind() {
        const CLIENTS_COUNT: usize = 300;
        on_one_shard(|shard| async move {
            let mut listener = Listener::new(&shard, bind("127.0.0.1:0".parse().unwrap()).unwrap()).unwrap();
            let address = listener.local_addr().unwrap();
            let clients = thread::spawn(move || {
                for number in 0..CLIENTS_COUNT {
                    let mut stream = TcpStream::connect(address).unwrap();
                    if number % 3 == 0 {
                        continue;
                    }
                    io::Write::write_all(&mut stream, &[number as u8]).unwrap();
                    let mut reply = [0];
                    io::Read::read_exact(&mut stream, &mut reply).unwrap();
                    assert_eq!(reply, [number as u8]);
                }
            });
            for _ in 0..CLIENTS_COUNT {
                let (socket, peer) = listener.accept().await.unwrap();
                assert_eq!(socket.peer_addr().unwrap(), peer);
                shard.spawn("echo", async move {
                    while let Ok(bytes) = socket.recv(<[u8]>::to_vec).await
                        && !bytes.is_empty()
                        && socket.send_all(&[bytes]).await.is_ok()
                    {}
                });
            }
            while shard.stats().tasks.get() > 0 {
                shard.ring_turn().await;
            }
            clients.join().unwrap();
            assert_eq!(shard.stats().accepted.get(), CLIENTS_COUNT as u64);
            assert_eq!((shard.descriptors_count(), shard.stats().panics.get()), (1, 0));
        });
    }
}
