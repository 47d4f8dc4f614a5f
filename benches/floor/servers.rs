//! The servers under comparison.

use std::{
    io::{self, IoSlice, Read},
    net::{SocketAddr, TcpListener},
    os::fd::{AsFd, FromRawFd, IntoRawFd},
    pin::Pin,
    rc::Rc,
    time::Duration,
};

use futures_io::{AsyncRead, AsyncWrite};
use rapidrtmp::{
    limits::LISTEN_BACKLOG,
    shard::{self, Listener, Plan, Shard, Socket, ring, spawn_shards},
};
use socket2::{Domain, Type};

use crate::{
    epoll::{Epoll, pin_to},
    responder::Responder,
};

/// Which server; the first is the yardstick.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// No runtime: one thread, one epoll set, blocking in it.
    Bare,
    /// What the server does: a task per connection on the shard's sockets.
    ShardTask,
    /// A task per connection on glommio's own streams.
    GlommioStream,
    /// The bare loop as one task, which awaits its set through a stream round the descriptor.
    SetByStream,
    /// The same, which looks at its set every millisecond.
    SetByTimer,
}

impl Kind {
    pub const ALL: [Self; 5] =
        [Self::Bare, Self::ShardTask, Self::GlommioStream, Self::SetByStream, Self::SetByTimer];

    pub fn name(self) -> &'static str {
        match self {
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
pub fn serve(kind: Kind) {
    let mut plan = Plan::new(1);
    plan.processors.truncate(1);
    if kind == Kind::Bare {
        pin_to(plan.processors[0]);
        let mut server = BareServer::new();
        loop {
            server.pass(-1);
        }
    }
    let shards = spawn_shards(&plan, move |shard| async move {
        match kind {
            Kind::Bare => unreachable!("served above"),
            Kind::ShardTask => serve_shard_tasks(shard).await,
            Kind::GlommioStream => serve_glommio_streams().await,
            Kind::SetByStream | Kind::SetByTimer => serve_loop_as_task(kind).await,
        }
    });
    shards.and_then(|shards| shards.join().map_err(|_| unreachable!("it serves for ever"))).expect("a shard");
}

async fn serve_shard_tasks(shard: Shard) {
    let bound = shard::bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let mut listener = Listener::new(&shard, bound).expect("a place in the set");
    println!("{}", listener.local_addr().expect("bound"));
    let responder = Rc::new(Responder::new());
    while let Ok((socket, _)) = listener.accept().await {
        shard.spawn("viewer", serve_shard_socket(shard.clone(), socket, Rc::clone(&responder)));
    }
}

async fn serve_shard_socket(shard: Shard, socket: Socket, responder: Rc<Responder>) {
    let (mut leftover, mut budget) = (Vec::new(), shard.budget());
    loop {
        socket.set_deadline(shard.now().monotonic_us + 30_000_000);
        let taken = socket.recv(|received| match received.is_empty() {
            true => Taken::End,
            false => take_request(&responder, &mut leftover, received),
        });
        match taken.await {
            Ok(Taken::Reply(reply)) if socket.send_all(&[reply]).await.is_ok() => {
                budget.spend_request().await
            }
            Ok(Taken::Nothing) => {}
            _ => return,
        }
    }
}

enum Taken {
    Reply(&'static [u8]),
    Nothing,
    End,
}

/// Takes the request out of what was received; the viewers never pipeline.
fn take_request(responder: &Responder, leftover: &mut Vec<u8>, received: &[u8]) -> Taken {
    if leftover.is_empty()
        && let Some((_, reply)) = responder.respond(received)
    {
        return Taken::Reply(reply);
    }
    leftover.extend_from_slice(received);
    let Some((_, reply)) = responder.respond(leftover) else { return Taken::Nothing };
    leftover.clear();
    Taken::Reply(reply)
}

async fn serve_glommio_streams() {
    let listener = listen();
    // SAFETY: the descriptor is open and given away here.
    let listener = unsafe { glommio::net::TcpListener::from_raw_fd(listener.into_raw_fd()) };
    let responder = Rc::new(Responder::new());
    while let Ok(stream) = listener.accept().await {
        stream.set_nodelay(true).expect("a TCP socket");
        glommio::spawn_local(serve_glommio_stream(stream, Rc::clone(&responder))).detach();
    }
}

async fn serve_glommio_stream(mut stream: glommio::net::TcpStream, responder: Rc<Responder>) {
    let (mut leftover, mut buffer) = (Vec::new(), [0; 1024]);
    loop {
        let read = std::future::poll_fn(|context| Pin::new(&mut stream).poll_read(context, &mut buffer));
        let Ok(received @ 1..) = read.await else { return };
        let Taken::Reply(reply) = take_request(&responder, &mut leftover, &buffer[..received]) else {
            continue;
        };
        let mut sent = 0;
        while sent < reply.len() {
            let write =
                std::future::poll_fn(|context| Pin::new(&mut stream).poll_write(context, &reply[sent..]));
            let Ok(written @ 1..) = write.await else { return };
            sent += written;
        }
    }
}

async fn serve_loop_as_task(kind: Kind) {
    let mut server = BareServer::new();
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

/// The floor: no task, no waker, no timer; a connection is its socket and what is not yet sent.
struct BareServer {
    epoll: Epoll,
    listener: TcpListener,
    responder: Responder,
    connections: Vec<Option<Connection>>,
    scratch: Vec<u8>,
}

struct Connection {
    socket: socket2::Socket,
    leftover: Vec<u8>,
    unsent: &'static [u8],
}

const LISTENER: usize = usize::MAX;

impl BareServer {
    fn new() -> Self {
        let listener = listen();
        listener.set_nonblocking(true).expect("a socket");
        let epoll = Epoll::new();
        epoll.add(&listener, LISTENER);
        let responder = Responder::new();
        Self { epoll, listener, responder, connections: Vec::new(), scratch: vec![0; 64 * 1024] }
    }

    fn pass(&mut self, timeout_ms: i32) {
        let Self { epoll, listener, responder, connections, scratch } = self;
        epoll.wait(timeout_ms, |event| {
            if event.number == LISTENER {
                while let Ok((socket, _)) = listener.accept() {
                    socket
                        .set_nonblocking(true)
                        .and_then(|()| socket.set_nodelay(true))
                        .expect("a TCP socket");
                    epoll.add(&socket, connections.len());
                    let socket = socket2::Socket::from(socket);
                    connections.push(Some(Connection { socket, leftover: Vec::new(), unsent: &[] }));
                }
                return;
            }
            let place = &mut connections[event.number];
            let Some(connection) = place else { return };
            let served = connection.serve(responder, scratch);
            if event.is_hung_up || served.is_err_and(|error| error.kind() != io::ErrorKind::WouldBlock) {
                *place = None;
            }
        });
    }
}

impl Connection {
    /// Sends and answers until a call would block, which is its usual error; any other ends the connection.
    fn serve(&mut self, responder: &Responder, scratch: &mut [u8]) -> io::Result<()> {
        loop {
            self.send_unsent()?;
            let received = (&self.socket).read(scratch)?;
            if received == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Taken::Reply(reply) = take_request(responder, &mut self.leftover, &scratch[..received]) {
                self.unsent = reply;
            }
            // A short read has emptied the socket: the next bytes are an event of their own.
            if received < scratch.len() {
                return self.send_unsent();
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
