//! What one shard does besides carrying connections: it is home to streams, follows others for its
//! viewers, and speaks with the other shards.

mod followed;
mod homes;
mod latency;
mod pairs;
mod resumption;
mod upkeep;

use std::cell::{Cell, RefCell, RefMut};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};

use super::admission::Connections;
use super::books::ShardBooks;
use super::calls::ServedFile;
use super::certificates::ServerConfigs;
use super::fault::{FaultAt, FaultHook};
use super::handover::Handover;
use super::http2::RecentFields;
use super::lent::Lent;
use super::pending::Pending;
use super::process;
use super::streams::{Shared, Streams};
use super::tls::{TlsBuffers, TlsSocket};
use super::{MeshInbox, MeshSender, Origin, Parked, Shard};
use crate::auth::{AdminKey, Backoff, Tokens};
use crate::config::Config;
use crate::control::Control;
use crate::fmp4::BufferPool;
use crate::hls::StreamEvent;
use crate::hls::numbering::StreamRecord;
use crate::hls::window::WindowState;
use crate::http::HttpDate;
use crate::limits::{
    PART_POOL_GIVEN_BACK_BYTES_MIN, PART_POOL_IDLE_BYTES_MAX, PART_POOL_TRIM_EVERY_US, SERVICE_TICK_US,
    STATUS_EVERY_US,
};
use crate::media::StreamName;
use crate::metrics::{Registry, ShardMetrics};
use crate::pages::PlayerScript;

pub use followed::Unwatched;
pub use homes::HomeFailure;
use resumption::Interrupted;
pub use resumption::wait_text;

/// What one shard tells another, or the process tells a shard.
pub enum Message {
    /// A publisher for a stream whose home is there.
    Publisher(Box<Handover>),
    /// A stream is up, or its record was renewed.
    Up(Arc<Shared>),
    /// A stream is no more.
    Down(Arc<Shared>),
    /// The sender has viewers for this stream.
    Follow(StreamName),
    /// The sender has no viewers for it any more.
    Unfollow(StreamName),
    /// The whole state of a followed stream, and how many events made it.
    Snapshot(Arc<Shared>, Box<WindowState>, u64),
    /// One change of a followed stream, and when its home published it, monotonic microseconds.
    Event(Arc<Shared>, StreamEvent, u64),
    /// The API wants the stream to end.
    Stop(StreamName),
    /// New settings, for sessions and connections that begin from here on.
    Reload(Arc<Config>),
    /// The server is about to end: no new publishers, end those there are.
    Drain,
    /// End now.
    Exit,
}

/// What all shards of the process share.
pub struct Setup {
    /// Signs and checks tokens.
    pub tokens: Tokens,
    /// Guards what changes or reveals.
    pub admin_key: AdminKey,
    /// The control thread.
    pub control: Control,
    /// Every shard's figures.
    pub registry: Registry,
    /// How the watch page gets its player.
    pub player: PlayerScript,
    /// `Content-Security-Policy` of the pages.
    pub page_policy: &'static str,
    /// The player itself, when it is served from here.
    pub player_file: Option<ServedFile>,
    /// Port of the RTMP listener, for the index page.
    pub rtmp_port: u16,
    /// `rtmp://HOST[:PORT]` as encoders reach it.
    pub public_url: String,
    /// Set when the server is about to end.
    pub draining: AtomicBool,
    /// Lines that the log has dropped.
    pub log_lines_dropped: Arc<AtomicU64>,
    /// How TLS is spoken, when there is a certificate.
    pub tls: Option<ServerConfigs>,
    /// Connections by address and in all.
    pub connections: Connections,
    /// Addresses that guessed tokens.
    pub backoff: Backoff,
    /// Bytes of memory of media out of retention that slow viewers hold, on all shards.
    pub lent_bytes: AtomicI64,
    /// Bytes of answers to calls that are not sent yet, on all shards.
    pub answer_bytes: Arc<AtomicUsize>,
    /// Streams with a home on any shard.
    pub streams_count: AtomicUsize,
    /// Faults on purpose, for tests.
    pub faults: Option<FaultHook>,
}

/// One shard's part in the service.
pub struct Service {
    /// The shard.
    pub shard: Shard,
    /// What all shards share.
    pub setup: Arc<Setup>,
    /// This shard's figures.
    pub metrics: ShardMetrics,
    /// The streams it knows.
    pub streams: Streams,
    /// Memory of parts.
    pub pool: RefCell<BufferPool>,
    /// Memory of parts that slow viewers hold.
    pub lent: RefCell<Lent>,
    /// What its TLS connections encrypt and decrypt in.
    pub tls_buffers: Rc<TlsBuffers>,
    /// Its RTMP connections that do not publish.
    pub pending: Pending,
    /// Memory in which its HTTP/2 connections gather frames.
    pub http2_spare: Rc<RefCell<Vec<u8>>>,
    /// Fields of what was sent over HTTP/2 lately.
    pub http2_fields: RecentFields,
    /// Lands when the server begins to end.
    pub drains: Parked,
    config: RefCell<Arc<Config>>,
    mesh: MeshSender<Message>,
    records: RefCell<HashMap<Box<str>, StreamRecord>>,
    /// Until the stream's next record.
    interrupted: RefCell<HashMap<Box<str>, Interrupted>>,
    /// Ups and downs that wait for room in another shard's inbox.
    outbox: RefCell<VecDeque<(usize, Message)>>,
    /// Date of this second, and the second.
    date: Cell<(u64, HttpDate)>,
    /// Where response heads are written.
    head: RefCell<Vec<u8>>,
    books: ShardBooks,
    publisher_next: Cell<u64>,
    exiting: Cell<bool>,
    exit: super::Deadline,
}

impl Service {
    /// A shard's service. `records` are those of the streams it is home to.
    pub fn new(
        shard: &Shard,
        setup: Arc<Setup>,
        config: Arc<Config>,
        metrics: ShardMetrics,
        mesh: MeshSender<Message>,
        records: HashMap<Box<str>, StreamRecord>,
    ) -> Rc<Self> {
        let service = Self {
            shard: shard.clone(),
            setup,
            metrics,
            streams: Streams::default(),
            pool: RefCell::new(BufferPool::new(PART_POOL_IDLE_BYTES_MAX)),
            lent: RefCell::default(),
            tls_buffers: Rc::default(),
            pending: Pending::default(),
            http2_spare: Rc::default(),
            http2_fields: RecentFields::default(),
            drains: Parked::new(shard),
            config: RefCell::new(config),
            mesh,
            records: RefCell::new(records),
            interrupted: RefCell::default(),
            outbox: RefCell::default(),
            date: Cell::new((0, HttpDate::from_unix_s(0))),
            head: RefCell::default(),
            books: ShardBooks::default(),
            publisher_next: Cell::new(0),
            exiting: Cell::new(false),
            exit: shard.deadline(),
        };
        service.interrupt_all();
        Rc::new(service)
    }

    /// The settings of now.
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.borrow())
    }

    /// The Date of a response sent now.
    pub fn date(&self) -> HttpDate {
        let now_s = self.shard.unix_us() / 1_000_000;
        let (second, date) = self.date.get();
        if second == now_s {
            return date;
        }
        let date = HttpDate::from_unix_s(now_s);
        self.date.set((now_s, date));
        date
    }

    /// Room for one response head; not to be kept over an await.
    pub fn head_scratch(&self) -> RefMut<'_, Vec<u8>> {
        self.head.borrow_mut()
    }

    /// Counts a TLS handshake that is complete.
    pub fn count_tls(&self, socket: &TlsSocket) {
        self.metrics.tls_handshakes.inc();
        if socket.is_resumed() {
            self.metrics.tls_resumed.inc();
        }
    }

    /// True while slow viewers hold so much media that none of them is waited for any longer than needed.
    pub fn is_lending_too_much(&self) -> bool {
        self.setup.lent_bytes.load(Ordering::Relaxed) > self.config.borrow().hls.retained_bytes_max as i64
    }

    /// True while the server ends.
    pub fn is_draining(&self) -> bool {
        self.setup.draining.load(Ordering::Relaxed)
    }

    /// True once the shard was told to end.
    pub fn is_exiting(&self) -> bool {
        self.exiting.get()
    }

    /// Completes when the shard is told to end.
    pub async fn exited(&self) {
        self.exit.set(u64::MAX);
        while !self.exiting.get() {
            self.exit.expired().await;
        }
    }

    /// Reads the inbox until the shard ends.
    pub async fn run_inbox(self: Rc<Self>, mut inbox: MeshInbox<Message>) {
        loop {
            let (origin, message) = inbox.recv().await;
            // What belongs to a stream was caught with it; for the rest, a deaf shard would be worse.
            self.caught("message", || self.handle(origin, message));
        }
    }

    /// Calls the homes whose time has come, and keeps the books.
    pub async fn run_ticks(self: Rc<Self>) {
        let (mut status_at_us, mut trim_at_us) = (0, 0);
        loop {
            let now = self.shard.now();
            let mut due = Vec::new();
            self.streams.each_here(|stream| {
                if stream.deadline_us.get() <= now.monotonic_us {
                    due.push(Rc::clone(stream));
                }
            });
            for stream in due {
                // A failure ends the publisher there, with its log line.
                let _ = self.at_home(&stream, |here, pool| {
                    self.fault(FaultAt::Time, stream.shared.name.as_str());
                    Ok(here.home.handle_time(now, pool)?)
                });
            }
            self.drain_outbox();
            if now.monotonic_us >= status_at_us {
                status_at_us = now.monotonic_us + STATUS_EVERY_US;
                self.caught("books", || self.keep_books(now));
            }
            if now.monotonic_us >= trim_at_us {
                trim_at_us = now.monotonic_us + PART_POOL_TRIM_EVERY_US;
                if self.pool.borrow_mut().trim() >= PART_POOL_GIVEN_BACK_BYTES_MIN {
                    // Dropped, it is done at the next look that finds as much.
                    let _ = self.setup.control.run(process::give_memory_back);
                }
            }
            self.shard.sleep_until(now.monotonic_us + SERVICE_TICK_US).await;
        }
    }

    fn handle(self: &Rc<Self>, origin: Origin, message: Message) {
        self.metrics.shard_messages.inc();
        self.fault(FaultAt::Message, "");
        match message {
            Message::Publisher(handover) => handover.resume(self),
            Message::Up(shared) => self.streams.up(shared),
            Message::Down(shared) => self.forget_followed(&shared),
            Message::Follow(name) => {
                if let (Origin::Shard(shard), Some(stream)) = (origin, self.streams.find(name.as_str())) {
                    self.add_follower(&stream, shard);
                }
            }
            Message::Unfollow(name) => {
                if let (Origin::Shard(shard), Some(stream)) = (origin, self.streams.find(name.as_str()))
                    && let Some(here) = stream.home()
                {
                    here.borrow_mut().followers.retain(|follower| follower.shard != shard);
                }
            }
            Message::Snapshot(shared, state, events_count) => self.snapshot(&shared, *state, events_count),
            Message::Event(shared, event, published_us) => {
                self.followed_event(&shared, event, published_us);
            }
            Message::Stop(name) => {
                // Who asked was answered by the status; it may have ended since.
                self.stop_here(&name);
            }
            Message::Reload(config) => self.reload(config),
            Message::Drain => {
                self.drain();
                self.drains.land();
            }
            Message::Exit => {
                self.exiting.set(true);
                self.exit.set(0);
            }
        }
    }

    /// Sends to every other shard, in order. What does not fit now waits: nobody would say it again, and
    /// there are at most two of these messages a stream.
    fn to_others(&self, message: impl Fn() -> Message) {
        let mut outbox = self.outbox.borrow_mut();
        for shard in (0..self.shard.shards_count()).filter(|shard| *shard != self.shard.index()) {
            outbox.push_back((shard, message()));
        }
        drop(outbox);
        self.drain_outbox();
    }

    fn drain_outbox(&self) {
        use super::TrySendError::{Closed, Full};
        let mut outbox = self.outbox.borrow_mut();
        while let Some((shard, message)) = outbox.pop_front() {
            match self.mesh.try_send(shard, message) {
                Ok(()) | Err(Closed(_)) => {}
                Err(Full(message)) => {
                    outbox.push_front((shard, message));
                    return;
                }
            }
        }
    }

    /// Hands a publisher to the home of its stream.
    ///
    /// # Errors
    /// The handover, when that shard's inbox is full.
    pub fn hand_over(&self, home: usize, handover: Box<Handover>) -> Result<(), Box<Handover>> {
        use super::TrySendError::{Closed, Full};
        match self.mesh.try_send(home, Message::Publisher(handover)) {
            Ok(()) => Ok(()),
            Err(Full(Message::Publisher(handover)) | Closed(Message::Publisher(handover))) => Err(handover),
            Err(Full(_) | Closed(_)) => Ok(()),
        }
    }
}
