//! The servers under comparison.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io::{self, IoSlice, Read},
    net::{SocketAddr, TcpListener},
    os::fd::{AsFd, FromRawFd, IntoRawFd},
    pin::Pin,
    rc::Rc,
    task::{Poll, Waker},
    time::Duration,
};

use futures_io::{AsyncRead, AsyncWrite};
use rapidrtmp::{
    limits::LISTEN_BACKLOG,
    shard::{self, Listener, Parked, Plan, Shard, Socket, Woken, ring, spawn_shards},
};
use socket2::{Domain, Type};

use crate::{
    epoll::{Epoll, Ticker, pin_to},
    responder::{Reply, Responder, ResponseBytes},
};

/// Between the parts of one rendition.
pub const PERIOD: Duration = Duration::from_millis(200);

/// Which server.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The program itself, with a live stream: its responses are what the others send.
    Served,
    /// The yardstick. No runtime: one thread, one epoll set, blocking in it.
    Bare,
    /// The server's sockets: a task per connection on the shard's sockets.
    ShardTask,
    /// A task per connection on glommio's own streams.
    GlommioStream,
    /// The bare loop as one task, which awaits its set through a stream round the descriptor.
    SetByStream,
    /// The same, which looks at its set every millisecond.
    SetByTimer,
}

impl Kind {
    pub const ALL: [Self; 6] =
        [Self::Served, Self::Bare, Self::ShardTask, Self::GlommioStream, Self::SetByStream, Self::SetByTimer];

    pub fn name(self) -> &'static str {
        match self {
            Self::Served => "the server, whole",
            Self::Bare => "bare epoll loop",
            Self::ShardTask => "shard sockets, task a connection",
            Self::GlommioStream => "glommio streams",
            Self::SetByStream => "loop as a task, set by stream",
            Self::SetByTimer => "loop as a task, set by 1 ms timer",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Serves for ever, on the first processor, having printed its address.
pub fn serve(kind: Kind, bytes: ResponseBytes) {
    let mut plan = Plan::new(1);
    plan.processors.truncate(1);
    if kind == Kind::Bare {
        pin_to(plan.processors[0]);
        let mut server = BareServer::new(bytes);
        loop {
            server.pass(-1);
        }
    }
    let shards = spawn_shards(&plan, move |shard| async move {
        match kind {
            Kind::Served | Kind::Bare => unreachable!("not served here"),
            Kind::ShardTask => serve_shard_tasks(shard, bytes).await,
            Kind::GlommioStream => serve_glommio_streams(bytes).await,
            Kind::SetByStream | Kind::SetByTimer => serve_loop_as_task(kind, bytes).await,
        }
    });
    shards.and_then(|shards| shards.join().map_err(|_| unreachable!("it serves for ever"))).expect("a shard");
}

async fn serve_shard_tasks(shard: Shard, bytes: ResponseBytes) {
    let bound = shard::bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let mut listener = Listener::new(&shard, bound).expect("a place in the set");
    println!("{}", listener.local_addr().expect("bound"));
    let (responder, parked) = (Rc::new(Responder::new(bytes)), Parked::new(&shard));
    shard.spawn("parts", land_parts(shard.clone(), parked.clone()));
    while let Ok((socket, _)) = listener.accept().await {
        let (responder, parked) = (Rc::clone(&responder), parked.clone());
        shard.spawn("viewer", serve_shard_socket(shard.clone(), socket, responder, parked));
    }
}

async fn land_parts(shard: Shard, parked: Parked) {
    let mut next_us = shard.monotonic_us();
    loop {
        next_us += PERIOD.as_micros() as u64;
        shard.sleep_until(next_us).await;
        parked.land();
    }
}

async fn serve_shard_socket(shard: Shard, socket: Socket, responder: Rc<Responder>, parked: Parked) {
    let (mut leftover, mut budget) = (Vec::new(), shard.budget());
    loop {
        socket.set_deadline(shard.monotonic_us() + 30_000_000);
        let taken = socket.recv(|received| match received.is_empty() {
            true => Taken::End,
            false => take_request(&responder, &mut leftover, received),
        });
        let reply = match taken.await {
            Ok(Taken::Reply(reply)) => reply,
            Ok(Taken::Nothing) => continue,
            _ => return,
        };
        if reply.waits && parked.park(parked.generation(), &socket).await != Woken::Landed {
            return;
        }
        if socket.send_all(&[reply.bytes]).await.is_err() {
            return;
        }
        budget.spend_request().await;
    }
}

enum Taken {
    Reply(Reply),
    Nothing,
    End,
}

/// Takes the request out of what was received; the viewers never pipeline.
fn take_request(responder: &Responder, leftover: &mut Vec<u8>, received: &[u8]) -> Taken {
    if leftover.is_empty()
        && let Some(reply) = responder.respond(received)
    {
        return Taken::Reply(reply);
    }
    leftover.extend_from_slice(received);
    let Some(reply) = responder.respond(leftover) else { return Taken::Nothing };
    leftover.clear();
    Taken::Reply(reply)
}

/// The parts, for those who wait on glommio's streams.
#[derive(Default)]
struct Parts {
    count: Cell<u64>,
    waiting: RefCell<Vec<Waker>>,
}

impl Parts {
    async fn land(self: Rc<Self>) {
        loop {
            glommio::timer::sleep(PERIOD).await;
            self.count.set(self.count.get() + 1);
            self.waiting.take().into_iter().for_each(Waker::wake);
        }
    }

    async fn next(&self) {
        let seen = self.count.get();
        poll_fn(|context| {
            if self.count.get() != seen {
                return Poll::Ready(());
            }
            self.waiting.borrow_mut().push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

async fn serve_glommio_streams(bytes: ResponseBytes) {
    let listener = listen();
    // SAFETY: the descriptor is open and given away here.
    let listener = unsafe { glommio::net::TcpListener::from_raw_fd(listener.into_raw_fd()) };
    let (responder, parts) = (Rc::new(Responder::new(bytes)), Rc::new(Parts::default()));
    glommio::spawn_local(Rc::clone(&parts).land()).detach();
    while let Ok(stream) = listener.accept().await {
        stream.set_nodelay(true).expect("a TCP socket");
        glommio::spawn_local(serve_glommio_stream(stream, Rc::clone(&responder), Rc::clone(&parts))).detach();
    }
}

async fn serve_glommio_stream(
    mut stream: glommio::net::TcpStream,
    responder: Rc<Responder>,
    parts: Rc<Parts>,
) {
    let (mut leftover, mut buffer) = (Vec::new(), [0; 1024]);
    loop {
        let read = poll_fn(|context| Pin::new(&mut stream).poll_read(context, &mut buffer));
        let Ok(received @ 1..) = read.await else { return };
        let Taken::Reply(reply) = take_request(&responder, &mut leftover, &buffer[..received]) else {
            continue;
        };
        if reply.waits {
            parts.next().await;
        }
        let mut sent = 0;
        while sent < reply.bytes.len() {
            let write = poll_fn(|context| Pin::new(&mut stream).poll_write(context, &reply.bytes[sent..]));
            let Ok(written @ 1..) = write.await else { return };
            sent += written;
        }
    }
}

async fn serve_loop_as_task(kind: Kind, bytes: ResponseBytes) {
    let mut server = BareServer::new(bytes);
    loop {
        server.pass(0);
        match kind {
            Kind::SetByStream => ring::readable(server.epoll.as_fd()).await,
            _ => glommio::timer::sleep(Duration::from_millis(1)).await,
        }
    }
}

/// Listens, and prints where. The standard listener's backlog of 128 would have viewers retry for seconds.
fn listen() -> TcpListener {
    let listener = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).expect("a descriptor");
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    listener.bind(&address.into()).and_then(|()| listener.listen(LISTEN_BACKLOG)).expect("a free port");
    let listener = TcpListener::from(listener);
    println!("{}", listener.local_addr().expect("bound"));
    listener
}

/// The floor: no task, no waker, no deadline; a connection is its socket and what is not yet sent.
struct BareServer {
    epoll: Epoll,
    listener: TcpListener,
    ticker: Ticker,
    responder: Responder,
    connections: Vec<Option<Connection>>,
    /// Connections that wait for a part, and what they get then.
    waiting: Vec<(usize, &'static [u8])>,
    scratch: Vec<u8>,
}

struct Connection {
    socket: socket2::Socket,
    leftover: Vec<u8>,
    unsent: &'static [u8],
}

const LISTENER: usize = usize::MAX;
const TICKER: usize = usize::MAX - 1;

impl BareServer {
    fn new(bytes: ResponseBytes) -> Self {
        let (epoll, ticker) = (Epoll::new(), Ticker::new(PERIOD));
        epoll.add(&ticker, TICKER);
        let listener = listen();
        listener.set_nonblocking(true).expect("a socket");
        epoll.add(&listener, LISTENER);
        Self {
            epoll,
            listener,
            ticker,
            responder: Responder::new(bytes),
            connections: Vec::new(),
            waiting: Vec::new(),
            scratch: vec![0; 64 * 1024],
        }
    }

    fn pass(&mut self, timeout_ms: i32) {
        let Self { epoll, listener, responder, ticker, connections, waiting, scratch } = self;
        epoll.wait(timeout_ms, |event| match event.number {
            LISTENER => {
                while let Ok((socket, _)) = listener.accept() {
                    socket
                        .set_nonblocking(true)
                        .and_then(|()| socket.set_nodelay(true))
                        .expect("a TCP socket");
                    epoll.add(&socket, connections.len());
                    let socket = socket2::Socket::from(socket);
                    connections.push(Some(Connection { socket, leftover: Vec::new(), unsent: &[] }));
                }
            }
            TICKER => {
                ticker.read();
                for (number, reply) in waiting.drain(..) {
                    let Some(connection) = &mut connections[number] else { continue };
                    connection.unsent = reply;
                    // What fails or would block is an event of its own.
                    let _ = connection.send_unsent();
                }
            }
            number => {
                let place = &mut connections[number];
                let Some(connection) = place else { return };
                let served = connection.serve(responder, scratch);
                if event.is_hung_up
                    || served.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::WouldBlock)
                {
                    *place = None;
                } else if let Ok(Some(reply)) = served {
                    waiting.push((number, reply));
                }
            }
        });
    }
}

impl Connection {
    /// Sends and answers until a call would block, which is its usual error; any other ends the connection.
    /// Returns a reply that is to wait.
    fn serve(&mut self, responder: &Responder, scratch: &mut [u8]) -> io::Result<Option<&'static [u8]>> {
        loop {
            self.send_unsent()?;
            let received = (&self.socket).read(scratch)?;
            if received == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Taken::Reply(reply) = take_request(responder, &mut self.leftover, &scratch[..received]) {
                if reply.waits {
                    return Ok(Some(reply.bytes));
                }
                self.unsent = reply.bytes;
            }
            // A short read has emptied the socket: the next bytes are an event of their own.
            if received < scratch.len() {
                return self.send_unsent().map(|()| None);
            }
        }
    }

    fn send_unsent(&mut self) -> io::Result<()> {
        if self.unsent.is_empty() {
            return Ok(());
        }
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        let sent = self.socket.send_vectored_with_flags(&[IoSlice::new(self.unsent)], flags)?;
        self.unsent = &self.unsent[sent..];
        match self.unsent.is_empty() {
            true => Ok(()),
            false => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}
