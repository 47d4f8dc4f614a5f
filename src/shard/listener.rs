//! Listening sockets: one per shard on the same port, the kernel spreads connections over them.

use std::{future::poll_fn, io, net::SocketAddr, os::fd::AsFd};

use socket2::{Domain, Protocol, Type};

use super::{Budget, Shard, Socket, Stats, poll::Registration, slab::Direction};
use crate::limits::{ACCEPT_PAUSE_MS, LISTEN_BACKLOG, NOTSENT_BYTES_MAX};

/// A listening socket that is on no shard yet.
#[derive(Debug)]
pub struct BoundListener {
    socket: socket2::Socket,
}

impl BoundListener {
    /// The address it listens on, with the port that the kernel chose if 0 was asked for.
    ///
    /// # Errors
    /// Those of `getsockname`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }
}

/// Binds and listens, with SO_REUSEPORT: other sockets of this user may listen on the same port.
///
/// # Errors
/// EADDRINUSE when one without SO_REUSEPORT does; EACCES below port 1024; EADDRNOTAVAIL.
pub fn bind(address: SocketAddr) -> io::Result<BoundListener> {
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = socket2::Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    // What is accepted inherits it. A slow viewer's media is not copied into megabytes of the kernel's, and over
    // HTTP/2 what is urgent overtakes all that has not left this process yet.
    socket.set_tcp_notsent_lowat(NOTSENT_BYTES_MAX)?;
    socket.bind(&address.into())?;
    socket.listen(LISTEN_BACKLOG)?;
    Ok(BoundListener { socket })
}

/// One listener for each of `listeners_count` shards; for port 0 the first one's port serves all.
///
/// # Errors
/// Those of [`bind`].
pub fn bind_all(address: SocketAddr, listeners_count: usize) -> io::Result<Vec<BoundListener>> {
    let mut listeners: Vec<BoundListener> = Vec::with_capacity(listeners_count);
    for _ in 0..listeners_count {
        let address = listeners.first().map_or(Ok(address), BoundListener::local_addr)?;
        listeners.push(bind(address)?);
    }
    Ok(listeners)
}

/// A listening socket of this shard. Closing it resets what the kernel has queued for it, so keep it until
/// the process ends, or accept until nothing comes.
pub struct Listener {
    // Before `bound`: it must leave the epoll set before the descriptor closes.
    registration: Registration,
    bound: BoundListener,
    shard: Shard,
    budget: Budget,
}

impl Listener {
    /// Puts a listening socket on this shard.
    ///
    /// # Errors
    /// ENOSPC and ENOMEM of the epoll set.
    pub fn new(shard: &Shard, bound: BoundListener) -> io::Result<Self> {
        Ok(Self {
            registration: shard.inner().poll_set.register(bound.socket.as_fd())?,
            bound,
            shard: shard.clone(),
            budget: shard.budget(),
        })
    }

    /// The address it listens on.
    ///
    /// # Errors
    /// Those of `getsockname`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.bound.local_addr()
    }

    /// Waits for the next connection; small writes on it go out at once.
    ///
    /// When descriptors or memory run out it pauses for [`ACCEPT_PAUSE_MS`], counts that, and goes on;
    /// connections that failed while they were queued are passed over.
    ///
    /// # Errors
    /// What remains: the listening socket itself is broken, and accepting again would fail again.
    pub async fn accept(&mut self) -> io::Result<(Socket, SocketAddr)> {
        loop {
            self.budget.spend_request().await;
            let accepted = poll_fn(|context| {
                self.registration.poll_call(Direction::Read, context, || self.bound.socket.accept())
            })
            .await;
            let placed = accepted.and_then(|(socket, address)| self.place(socket, address));
            match placed {
                Ok(Some(placed)) => return Ok(placed),
                Ok(None) => {}
                Err(error) => self.recover(error).await?,
            }
        }
    }

    /// `None` for a connection that has failed already.
    fn place(
        &self,
        socket: socket2::Socket,
        address: socket2::SockAddr,
    ) -> io::Result<Option<(Socket, SocketAddr)>> {
        socket.set_nonblocking(true)?;
        let Some(address) = address.as_socket() else { return Ok(None) };
        if socket.set_tcp_nodelay(true).is_err() {
            return Ok(None);
        }
        let socket = Socket::from_nonblocking(&self.shard, socket)?;
        Stats::add_one(&self.shard.stats().accepted);
        Ok(Some((socket, address)))
    }

    /// Passes over what is the connection's fault, waits out what is the host's state.
    async fn recover(&self, error: io::Error) -> io::Result<()> {
        match error.raw_os_error() {
            Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM | libc::ENOSPC) => {
                Stats::add_one(&self.shard.stats().accept_pauses);
                let resume_us = self.shard.monotonic_us() + ACCEPT_PAUSE_MS * 1000;
                self.shard.sleep_until(resume_us).await;
                Ok(())
            }
            // accept(2): pending network errors of the new socket are to be treated like EAGAIN.
            Some(
                libc::ECONNABORTED
                | libc::EPROTO
                | libc::ENETDOWN
                | libc::ENOPROTOOPT
                | libc::EHOSTDOWN
                | libc::ENONET
                | libc::EHOSTUNREACH
                | libc::EOPNOTSUPP
                | libc::ENETUNREACH
                | libc::EPERM
                | libc::ETIMEDOUT
                | libc::ECONNRESET,
            ) => Ok(()),
            _ => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_accepted_takes_no_more_unsent_bytes_than_the_bound() {
        let bound = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let _peer = std::net::TcpStream::connect(bound.local_addr().unwrap()).unwrap();
        let (accepted, _) = bound.socket.accept().unwrap();
        assert_eq!(accepted.tcp_notsent_lowat().unwrap(), NOTSENT_BYTES_MAX);
    }
}
