//! One part to 1,000 and 10,000 parked viewers on one shard, plain and over TLS: from the landing to the last
//! byte handed to the sockets.
//!
//! The list, the landing pass, the tasks, the transports and the sockets are the server's; the request before
//! and the head of the response are not in it, and the sockets are local ones, whose sends cost less than
//! TCP's. What a viewer costs in all is the floor bench's first row.
//!
//! Last comes the same part sent to the same crowd by a bare loop over the sockets, without a list, tasks or a
//! set of descriptors: landing and loop in turns, and the ratio of their medians.
//!
//! `cargo bench --bench fanout`. The viewers' ends are in a process of their own, so that each side needs one
//! descriptor a viewer: where the system does not allow 10,000, that row is left out and said to be.

#[allow(dead_code)]
#[path = "../tests/support/tls.rs"]
mod tls;

use std::{
    cell::Cell,
    env,
    io::{self, IoSlice, Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    process::{Child, Command},
    rc::Rc,
    sync::{Arc, Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use criterion::{BenchmarkId, Criterion, Throughput};
use rapidrtmp::{
    control::Pem,
    shard::{
        Certificates, Parked, Plan, ServerConfig, Shard, Shards, Socket, Transport, Woken, spawn_shards,
        tls::{TlsBuffers, TlsSocket},
    },
};
use rustls::{
    ClientConfig, ClientConnection,
    pki_types::{CertificateDer, ServerName},
};
use tempfile::TempDir;
use tls::Identity;

/// A video part of 2 Mbit/s and 0.2 s.
const PART_BYTES: usize = 53_000;
/// What a record adds in TLS 1.3: header, content type, tag.
const RECORD_OVERHEAD_BYTES: usize = 22;
const RECORD_BYTES_MAX: usize = 16 * 1024;
/// Shards, rings, files of the process itself.
const OWN_DESCRIPTORS_COUNT: usize = 200;
const HOST: &str = "localhost";
/// Has the bench be the other side: the directory of the socket and the certificate, how many, over what.
const DRAIN: &str = "--drain";
const SOCKET_FILE: &str = "viewers";
const CERTIFICATE_FILE: &str = "certificate.der";

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [DRAIN, directory, viewers_count, kind] =
        arguments.iter().map(String::as_str).collect::<Vec<_>>()[..]
    {
        let kind = [Kind::Plain, Kind::Tls, Kind::Bare].into_iter().find(|known| known.name() == kind);
        return drain(
            Path::new(directory),
            viewers_count.parse().expect("how many"),
            kind.expect("over what"),
        );
    }
    let mut criterion = Criterion::default().configure_from_args().sample_size(10);
    let mut group = criterion.benchmark_group("fanout");
    for viewers_count in [1_000, 10_000] {
        if !are_descriptors_allowed(viewers_count + OWN_DESCRIPTORS_COUNT) {
            eprintln!("{viewers_count} viewers are left out: raise the limit of open files (`ulimit -Hn`)");
            continue;
        }
        group.throughput(Throughput::Elements(viewers_count as u64));
        for kind in [Kind::Plain, Kind::Tls] {
            let mut crowd = None;
            group.bench_function(BenchmarkId::new(kind.name(), viewers_count), |bencher| {
                // Only now it is known that this row is asked for.
                let crowd = crowd.get_or_insert_with(|| Crowd::start(kind, viewers_count));
                bencher.iter_custom(|parts_count| crowd.land(parts_count));
            });
        }
    }
    group.finish();
    criterion.final_summary();
    compare_with_bare_loop();
}

/// Parts of each side of the comparison, and its crowd.
const COMPARED_PARTS_COUNT: usize = 41;
const COMPARED_VIEWERS_COUNT: usize = 5_000;

fn compare_with_bare_loop() {
    if !are_descriptors_allowed(2 * COMPARED_VIEWERS_COUNT + OWN_DESCRIPTORS_COUNT) {
        eprintln!("the bare loop is left out: raise the limit of open files (`ulimit -Hn`)");
        return;
    }
    let crowds = [Kind::Plain, Kind::Bare].map(|kind| Crowd::start(kind, COMPARED_VIEWERS_COUNT));
    let mut spent = [const { Vec::new() }; 2];
    for _ in 0..COMPARED_PARTS_COUNT {
        for (crowd, spent) in crowds.iter().zip(&mut spent) {
            spent.push(crowd.land(1));
        }
    }
    let [landing, bare] = spent.map(|mut spent| {
        spent.sort_unstable();
        spent[spent.len() / 2].as_secs_f64() * 1000.0
    });
    eprintln!(
        "one part to {COMPARED_VIEWERS_COUNT} viewers, medians of {COMPARED_PARTS_COUNT} in turns: \
         landing {landing:.1} ms, bare loop {bare:.1} ms, ratio {:.2}",
        landing / bare
    );
}

/// Raises the limit of open files by `prlimit(1)`, so that no bench needs `unsafe`. A privileged user may
/// raise the hard limit as well.
fn are_descriptors_allowed(count: usize) -> bool {
    let own = std::process::id().to_string();
    [format!("--nofile={count}:"), format!("--nofile={count}:{count}")].iter().any(|limit| {
        let raised = Command::new("prlimit").args(["--pid", &own, limit]).output();
        raised.is_ok_and(|raised| raised.status.success())
    })
}

#[derive(Clone, Copy)]
enum Kind {
    Plain,
    Tls,
    /// Plain, and sent without anything of the server's.
    Bare,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Tls => "TLS",
            Self::Bare => "bare",
        }
    }
}

/// How the server speaks TLS; the certificate is left for the other side to trust.
fn server_config(directory: &Path) -> Arc<ServerConfig> {
    let identity = Identity::new(&[HOST]);
    std::fs::write(directory.join(CERTIFICATE_FILE), &identity.der).expect("a file");
    let pem = Pem { name: "chain".into(), chain: identity.chain, key_name: "key".into(), key: identity.key };
    let certificates = Certificates::new(&[pem]).expect("a certificate that does");
    certificates.server_configs(true).expect("TLS starts").https
}

/// Parked viewers on a shard; it ends with them when this is dropped.
struct Crowd {
    ask: Option<mpsc::Sender<u64>>,
    spent: mpsc::Receiver<Duration>,
    shards: Option<Shards>,
    drain: Child,
    _directory: TempDir,
}

impl Crowd {
    fn start(kind: Kind, viewers_count: usize) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let server = match kind {
            Kind::Plain | Kind::Bare => None,
            Kind::Tls => Some(server_config(directory.path())),
        };
        let listener = UnixListener::bind(directory.path().join(SOCKET_FILE)).expect("a socket");
        let mut other_side = Command::new(env::current_exe().expect("this bench"));
        other_side.arg(DRAIN).arg(directory.path()).args([&viewers_count.to_string(), kind.name()]);
        let drain = other_side.spawn().expect("the other side starts");
        let sockets = (0..viewers_count).map(|_| listener.accept().expect("descriptors").0).collect();
        let (ask, asked) = mpsc::channel();
        let (tell, spent) = mpsc::channel();
        let orders = Arc::new(Mutex::new(Some(Orders { sockets, server, asked, tell })));
        let shards = spawn_shards(&Plan { shards_count: 1, processors: Vec::new() }, move |shard| {
            let orders = orders.lock().expect("one shard").take().expect("one shard");
            async move {
                match kind {
                    Kind::Plain | Kind::Tls => serve(shard, orders).await,
                    Kind::Bare => serve_bare(orders),
                }
            }
        });
        Self { ask: Some(ask), spent, shards: Some(shards.expect("a shard")), drain, _directory: directory }
    }

    /// Lands so many parts, one after the other, and returns how long that took.
    fn land(&self, parts_count: u64) -> Duration {
        self.ask.as_ref().expect("not dropped").send(parts_count).expect("the shard lives");
        self.spent.recv().expect("the shard lives")
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.ask = None;
        let ended = self.shards.take().map(Shards::join);
        // With its sockets it ends as well.
        let drained = self.drain.wait();
        let is_well = matches!((ended, drained), (Some(Ok(())), Ok(status)) if status.success());
        assert!(thread::panicking() || is_well);
    }
}

/// What the shard is started with.
struct Orders {
    sockets: Vec<UnixStream>,
    /// How TLS is spoken, if it is.
    server: Option<Arc<ServerConfig>>,
    /// How many parts are to land.
    asked: mpsc::Receiver<u64>,
    /// How long they took.
    tell: mpsc::Sender<Duration>,
}

/// Lands as many parts as it is asked to, and answers how long that took.
async fn serve(shard: Shard, Orders { sockets, server, asked, tell }: Orders) {
    let parked = Parked::new(&shard);
    let (part, sent_count) = (Rc::new(vec![7; PART_BYTES]), Rc::new(Cell::new(0)));
    let (buffers, viewers_count) = (Rc::new(TlsBuffers::default()), sockets.len());
    let is_over = Rc::new(Cell::new(false));
    for socket in sockets {
        let socket = Socket::from_fd(&shard, socket.into()).expect("a place in the set");
        let (parked, part, sent_count) = (parked.clone(), Rc::clone(&part), Rc::clone(&sent_count));
        let (server, buffers, is_over) = (server.clone(), Rc::clone(&buffers), Rc::clone(&is_over));
        shard.spawn("viewer", async move {
            let transport = match server {
                None => Transport::Plain(socket),
                Some(server) => {
                    let accepted = TlsSocket::accept(socket, server, buffers).await;
                    Transport::Tls(Box::new(accepted.expect("a handshake")))
                }
            };
            while is_woken(&transport, &parked).await && !is_over.get() {
                send(&transport, &part).await.expect("the peer reads");
                sent_count.set(sent_count.get() + 1);
            }
        });
    }
    let wait_for = async |parked_count: usize| {
        while parked.waiting_count() < parked_count {
            shard.ring_turn().await;
        }
    };
    wait_for(viewers_count).await;
    // Blocks the shard, which carries nothing while nobody asks.
    while let Ok(parts_count) = asked.recv() {
        let mut spent = Duration::ZERO;
        for _ in 0..parts_count {
            sent_count.set(0);
            let start = Instant::now();
            parked.land();
            while sent_count.get() < viewers_count {
                shard.ring_turn().await;
            }
            spent += start.elapsed();
            wait_for(viewers_count).await;
        }
        tell.send(spent).expect("the bench waits");
    }
    // A task that does not end by itself would take its descriptor along.
    is_over.set(true);
    parked.land();
    while shard.stats().tasks.get() > 0 {
        shard.ring_turn().await;
    }
}

/// As [`serve`], with nothing but the sends.
fn serve_bare(Orders { sockets, asked, tell, .. }: Orders) {
    let part = vec![7; PART_BYTES];
    for socket in &sockets {
        socket.set_nonblocking(true).expect("a socket");
    }
    let mut unsent = Vec::with_capacity(sockets.len());
    while let Ok(parts_count) = asked.recv() {
        let start = Instant::now();
        for _ in 0..parts_count {
            unsent.extend(sockets.iter().map(|socket| (socket, &part[..])));
            while !unsent.is_empty() {
                unsent.retain_mut(|(socket, rest)| {
                    match socket.write(rest) {
                        Ok(count) => *rest = &rest[count..],
                        Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
                    }
                    !rest.is_empty()
                });
            }
        }
        tell.send(start.elapsed()).expect("the bench waits");
    }
}

/// Parks until a part lands.
async fn is_woken(transport: &Transport, parked: &Parked) -> bool {
    // Until nothing is there, so that a read is worth trying only when something comes.
    while let Ok(Some(1..)) = transport.try_recv(<[u8]>::len) {}
    parked.park(parked.generation(), transport.socket()).await == Woken::Landed
}

/// All of it in one call where the socket takes it, as in a response.
async fn send(transport: &Transport, part: &[u8]) -> io::Result<()> {
    let taken = transport.try_send(&[IoSlice::new(part)])?.unwrap_or(0);
    transport.send_all(&part[taken..]).await
}

/// The other side: reads what the viewers are sent; over TLS without decrypting it.
fn drain(directory: &Path, viewers_count: usize, kind: Kind) {
    let connect = |_| UnixStream::connect(directory.join(SOCKET_FILE)).expect("descriptors");
    let mut peers: Vec<_> = (0..viewers_count).map(connect).collect();
    let mut part_bytes = PART_BYTES;
    if matches!(kind, Kind::Tls) {
        part_bytes += PART_BYTES.div_ceil(RECORD_BYTES_MAX) * RECORD_OVERHEAD_BYTES;
        let certificate = std::fs::read(directory.join(CERTIFICATE_FILE)).expect("a certificate");
        let client =
            tls::client_config_trusting([CertificateDer::from(certificate)], &[], &[&rustls::version::TLS13]);
        for peer in &mut peers {
            shake_hands(peer, &client).expect("a handshake");
        }
    }
    let mut buffer = vec![0; part_bytes];
    // Tickets that came with the handshake stay ahead of the parts, by the same few bytes for ever.
    for mut peer in peers.iter().cycle() {
        if peer.read_exact(&mut buffer).is_err() {
            return;
        }
    }
}

fn shake_hands(peer: &mut (impl Read + Write), config: &Arc<ClientConfig>) -> io::Result<()> {
    let name = ServerName::try_from(HOST).map_err(io::Error::other)?;
    let mut connection = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
    while connection.is_handshaking() {
        connection.complete_io(peer)?;
    }
    Ok(())
}
