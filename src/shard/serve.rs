//! Starts the shards: listeners on every one, the mesh between them, and what the process needs to
//! reload, drain and end them.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rustls::ServerConfig;

use super::admission::{Place, Refused};
use super::certificates::ALPN_HTTP2;
use super::connected::Connected;
use super::http2;
use super::publisher::Accepted;
use super::service::{Message, Service, Setup};
use super::streams::home_of;
use super::tls::TlsSocket;
use super::viewer::Viewer;
use super::{
    BoundListener, Listener, MeshInbox, MeshSender, Plan, Shard, ShardEnded, Socket, StartError, Transport,
    mesh, spawn_shards,
};
use crate::config::Config;
use crate::hls::numbering::StreamRecord;
use crate::limits::{MESH_QUEUE_MAX, TLS_HANDSHAKE_US_MAX};
use crate::media::StreamName;
use crate::metrics::{RefusedBecause, ShardMetrics};

/// All that the shards are started with.
pub struct ServeOptions {
    /// How many, and where.
    pub plan: Plan,
    /// The settings of the start.
    pub config: Arc<Config>,
    /// What all shards share.
    pub setup: Arc<Setup>,
    /// One handle set a shard.
    pub metrics: Vec<ShardMetrics>,
    /// One RTMP listener a shard.
    pub rtmp: Vec<BoundListener>,
    /// One HTTP listener a shard.
    pub http: Vec<BoundListener>,
    /// One HTTPS listener a shard, or none at all; [`Setup::tls`] goes with them.
    pub https: Vec<BoundListener>,
    /// Streams of before the restart.
    pub records: Vec<(StreamName, StreamRecord)>,
}

/// The running shards.
pub struct Running {
    /// Waits for the shards, so that one that ends by itself is noticed.
    joined: JoinHandle<Result<(), ShardEnded>>,
    outside: MeshSender<Message>,
    setup: Arc<Setup>,
    shards_count: usize,
}

/// What one shard takes along when it starts.
struct Share {
    rtmp: BoundListener,
    http: BoundListener,
    https: Option<BoundListener>,
    metrics: ShardMetrics,
    records: HashMap<Box<str>, StreamRecord>,
}

/// Starts the shards; they accept connections when this returns.
///
/// # Errors
/// [`StartError`], or the mesh cannot be made.
pub fn start(options: ServeOptions) -> Result<Running, StartError> {
    let shards_count = options.plan.shards_count;
    let mesh = mesh::<Message>(shards_count, MESH_QUEUE_MAX).map_err(|error| StartError::Shard {
        shard: 0,
        reason: format!("no queues between the shards: {error}"),
    })?;
    let outside = mesh.outside();
    let mut records: Vec<HashMap<Box<str>, StreamRecord>> = vec![HashMap::new(); shards_count];
    for (name, record) in options.records {
        records[home_of(&name, shards_count)].insert(name.as_str().into(), record);
    }
    let https = options.https.into_iter().map(Some).chain(std::iter::repeat_with(|| None));
    let listeners = options.rtmp.into_iter().zip(options.http).zip(https);
    let shares = listeners.zip(options.metrics).zip(records);
    let shares: Vec<_> = shares
        .map(|((((rtmp, http), https), metrics), records)| {
            Some(Share { rtmp, http, https, metrics, records })
        })
        .collect();
    let shares = Arc::new(Mutex::new(shares));
    let (config, setup) = (options.config, Arc::clone(&options.setup));
    let shards = spawn_shards(&options.plan, move |shard| {
        let share = {
            let mut shares = shares.lock().unwrap_or_else(PoisonError::into_inner);
            shares.get_mut(shard.index()).and_then(Option::take)
        };
        let (config, setup, mesh) = (Arc::clone(&config), Arc::clone(&setup), mesh.clone());
        async move {
            let Some(share) = share else { return };
            let joined = mesh.join(&shard);
            let result = match joined {
                Ok((sender, inbox)) => serve(shard, share, config, setup, sender, inbox).await,
                Err(error) => Err(error),
            };
            if let Err(error) = result {
                // The shard ends; the process finds that out when it joins.
                tracing::error!("a shard cannot serve: {error}");
            }
        }
    })?;
    let joined = std::thread::Builder::new()
        .name("join".into())
        .spawn(move || shards.join())
        .map_err(|error| StartError::Shard { shard: 0, reason: error.to_string() })?;
    Ok(Running { joined, outside, setup: options.setup, shards_count })
}

impl Running {
    /// New settings, for sessions and connections that begin from here on.
    pub fn reload(&self, config: &Arc<Config>) {
        self.to_all(|| Message::Reload(Arc::clone(config)));
    }

    /// Refuses new publishers, ends those there are with ENDLIST, and answers viewers a last time.
    pub fn drain(&self) {
        self.setup.draining.store(true, Ordering::Relaxed);
        self.to_all(|| Message::Drain);
    }

    /// Ends the shards and waits for them.
    ///
    /// # Errors
    /// [`ShardEnded`] for the first that did not end by itself.
    pub fn exit(self) -> Result<(), ShardEnded> {
        self.to_all(|| Message::Exit);
        self.joined.join().unwrap_or(Ok(()))
    }

    /// True when a shard has ended, asked or not.
    pub fn has_ended(&self) -> bool {
        self.joined.is_finished()
    }

    fn to_all(&self, message: impl Fn() -> Message) {
        for shard in 0..self.shards_count {
            // A full inbox of a live shard empties within milliseconds.
            for _ in 0..200 {
                match self.outside.try_send(shard, message()) {
                    Err(super::TrySendError::Full(_)) => {
                        std::thread::sleep(std::time::Duration::from_millis(5))
                    }
                    Ok(()) | Err(super::TrySendError::Closed(_)) => break,
                }
            }
        }
    }
}

async fn serve(
    shard: Shard,
    share: Share,
    config: Arc<Config>,
    setup: Arc<Setup>,
    sender: MeshSender<Message>,
    inbox: MeshInbox<Message>,
) -> io::Result<()> {
    let rtmp = Listener::new(&shard, share.rtmp)?;
    let http = Listener::new(&shard, share.http)?;
    let https = share.https.map(|https| Listener::new(&shard, https)).transpose()?;
    let service = Service::new(&shard, setup, config, share.metrics, sender, share.records);
    shard.spawn("inbox", Rc::clone(&service).run_inbox(inbox));
    shard.spawn("ticks", Rc::clone(&service).run_ticks());
    shard.spawn("rtmp listener", accept_rtmp(Rc::clone(&service), rtmp));
    shard.spawn("http listener", accept_http(Rc::clone(&service), http, None));
    if let (Some(https), Some(tls)) = (https, &service.setup.tls) {
        let tls = Arc::clone(&tls.https);
        shard.spawn("https listener", accept_http(Rc::clone(&service), https, Some(tls)));
    }
    service.exited().await;
    Ok(())
}

async fn accept_rtmp(service: Rc<Service>, mut listener: Listener) {
    loop {
        let Some((socket, peer)) = accepted(&mut listener).await else { return };
        match enter_rtmp(&service, peer.ip()) {
            Ok(place) => {
                service.metrics.rtmp_connections.inc();
                match Accepted::new(Rc::clone(&service), socket, peer.ip(), place) {
                    Ok(accepted) => service.shard.spawn("rtmp", accepted.run()),
                    Err(error) => tracing::error!("no randomness for a handshake: {error}"),
                }
            }
            Err(refused) => count_refused(&service, refused),
        }
    }
}

/// A place for a publisher. When all are taken, or all of its address, one that does not publish makes room: it goes
/// in a moment, so that until then there are more than allowed, at most by what a listener accepts in a turn.
fn enter_rtmp(service: &Service, address: IpAddr) -> Result<Place, Refused> {
    let config = service.config();
    let (gate, pending) = (&service.setup.connections.rtmp, &service.pending);
    let all_max = config.rtmp.connections_max as usize;
    let unbounded = || gate.enter(address, usize::MAX, Some(usize::MAX));
    let entered = match gate.enter(address, all_max, Some(config.rtmp.connections_per_address_max as usize)) {
        Err(Refused::Address) if pending.make_room_of_own(address) => return unbounded(),
        // Other shards have them all. An address has one place on each, so that they need not ask one another.
        Err(Refused::Address) => gate.enter(address, all_max, Some(usize::MAX)),
        entered => entered,
    };
    match entered {
        Err(Refused::Full) if pending.make_room(address) => unbounded(),
        entered => entered,
    }
}

async fn accept_http(service: Rc<Service>, mut listener: Listener, tls: Option<Arc<ServerConfig>>) {
    loop {
        let Some((socket, peer)) = accepted(&mut listener).await else { return };
        let limits = service.config().http.clone();
        // 0 is no limit: a cache is one address with very many viewers.
        let address_max = match limits.connections_per_address_max {
            0 => None,
            bound => Some(bound as usize),
        };
        let connections = &service.setup.connections.http;
        let place = connections.enter(peer.ip(), limits.connections_max as usize, address_max);
        match place {
            Ok(place) => {
                service.metrics.http_connections.inc();
                match &tls {
                    None => {
                        let connected = Connected::new(Rc::clone(&service), place);
                        service.shard.spawn("http", Viewer::new(Transport::Plain(socket), connected).run());
                    }
                    Some(tls) => {
                        let tls = Arc::clone(tls);
                        let connected = Connected::new(Rc::clone(&service), place);
                        service.shard.spawn("https", serve_tls(socket, tls, connected));
                    }
                }
            }
            Err(refused) => count_refused(&service, refused),
        }
    }
}

async fn serve_tls(socket: Socket, tls: Arc<ServerConfig>, connected: Connected) {
    let service = connected.service();
    let metrics = &service.metrics;
    socket.set_deadline(service.shard.monotonic_us() + TLS_HANDSHAKE_US_MAX);
    match TlsSocket::accept(socket, tls, Rc::clone(&service.tls_buffers)).await {
        Ok(socket) => {
            service.count_tls(&socket);
            let is_http2 = socket.is_protocol(ALPN_HTTP2);
            let transport = Transport::Tls(Box::new(socket));
            match is_http2 {
                true => Box::pin(http2::serve(transport, Vec::new(), connected)).await,
                false => Viewer::new(transport, connected).run().await,
            }
        }
        Err(error) => {
            // Any scanner can make these, so they are no line in the log.
            tracing::debug!("a TLS handshake failed: {error}");
            metrics.tls_failures.inc();
            connected.end(Ok(()));
        }
    }
}

async fn accepted(listener: &mut Listener) -> Option<(super::Socket, SocketAddr)> {
    match listener.accept().await {
        Ok(accepted) => Some(accepted),
        Err(error) => {
            tracing::error!("a listener failed and is closed: {error}");
            None
        }
    }
}

fn count_refused(service: &Service, refused: Refused) {
    let because = match refused {
        Refused::Full => RefusedBecause::ConnectionsMax,
        Refused::Address => RefusedBecause::ConnectionsPerAddress,
    };
    service.metrics.refused.of(because).inc();
}
