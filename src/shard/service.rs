//! What one shard does besides carrying connections: it is home to streams, follows others for its
//! viewers, and speaks with the other shards.

use std::cell::{Cell, RefCell, RefMut};
use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;

use super::admission::Connections;
use super::books::ShardBooks;
use super::fault::{Fault, FaultAt, FaultHook};
use super::handover::Handover;
use super::runtime::message_of;
use super::streams::{EndedBy, Follower, HomeHere, Shared, Stream, Streams, home_of};
use super::{MeshInbox, MeshSender, Origin, Shard};
use crate::auth::{AdminKey, Backoff, Tokens};
use crate::config::Config;
use crate::control::Control;
use crate::fmp4::BufferPool;
use crate::hls::StreamEvent;
use crate::hls::Wishes;
use crate::hls::numbering::StreamRecord;
use crate::hls::window::WindowState;
use crate::http::HttpDate;
use crate::limits::{
    FOLLOW_IDLE_US, PART_POOL_IDLE_BYTES_MAX, SERVICE_TICK_US, STATE_RECORDS_MAX, STATUS_EVERY_US,
};
use crate::media::{MediaRef, Now, StreamName};
use crate::metrics::{EndedBecause, Registry, ShardMetrics};
use crate::origin::home::{Home, HomeError, HomeSettings, Output};
use crate::origin::live::SessionSettings;
use crate::origin::view::{View, Wake};
use crate::pages::PlayerScript;

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
    /// One change of a followed stream.
    Event(Arc<Shared>, StreamEvent),
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
    pub player_file: Option<Bytes>,
    /// Port of the RTMP listener, for the index page.
    pub rtmp_port: u16,
    /// `rtmp://HOST[:PORT]` as encoders reach it.
    pub public_url: String,
    /// Set when the server is about to end.
    pub draining: AtomicBool,
    /// Lines that the log has dropped.
    pub log_lines_dropped: Arc<AtomicU64>,
    /// Connections by address and in all.
    pub connections: Connections,
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
    /// Addresses that guessed tokens.
    pub backoff: RefCell<Backoff>,
    config: RefCell<Arc<Config>>,
    mesh: MeshSender<Message>,
    records: RefCell<HashMap<Box<str>, StreamRecord>>,
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
        Rc::new(Self {
            shard: shard.clone(),
            setup,
            metrics,
            streams: Streams::default(),
            pool: RefCell::new(BufferPool::new(PART_POOL_IDLE_BYTES_MAX)),
            backoff: RefCell::new(Backoff::new()),
            config: RefCell::new(config),
            mesh,
            records: RefCell::new(records),
            outbox: RefCell::default(),
            date: Cell::new((0, HttpDate::from_unix_s(0))),
            head: RefCell::default(),
            books: ShardBooks::default(),
            publisher_next: Cell::new(0),
            exiting: Cell::new(false),
            exit: shard.deadline(),
        })
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
        let mut status_at_us = 0;
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
            Message::Event(shared, event) => self.followed_event(&shared, event),
            Message::Stop(name) => self.stop_here(&name),
            Message::Reload(config) => self.reload(config),
            Message::Drain => self.drain(),
            Message::Exit => {
                self.exiting.set(true);
                self.exit.set(0);
            }
        }
    }

    // Homes ------------------------------------------------------------------------------------

    /// The stream with its home here, made if it is not there. `None` when there are too many.
    pub fn home_stream(&self, name: &StreamName) -> Option<Rc<Stream>> {
        if let Some(stream) = self.streams.find(name.as_str()) {
            return Some(stream);
        }
        let config = self.config();
        let streams_max = config.ingest.streams_max as usize;
        let has_room = |count| (count < streams_max).then_some(count + 1);
        self.setup.streams_count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, has_room).ok()?;
        let mut random = [0; 2];
        // Without randomness the milliseconds alone name the epoch.
        let _ = getrandom::fill(&mut random);
        let record = self.records.borrow().get(name.as_str()).cloned();
        let home = Home::new(
            name.clone(),
            home_settings(&config),
            u16::from_be_bytes(random),
            record.as_ref(),
            self.shard.now(),
        );
        let stream = Rc::new(Stream::at_home(&self.shard, home));
        self.streams.insert(Rc::clone(&stream));
        self.streams.up(Arc::clone(&stream.shared));
        self.metrics.active_streams.inc();
        self.to_others(|| Message::Up(Arc::clone(&stream.shared)));
        Some(stream)
    }

    /// A name for a publisher.
    pub fn next_publisher(&self) -> u64 {
        self.publisher_next.set(self.publisher_next.get() + 1);
        self.publisher_next.get()
    }

    /// Runs `act` on a stream's home and passes on what it changed. A panic ends the stream, and a
    /// failure its publisher.
    ///
    /// Returns what `act` returned, or the text of its failure.
    pub fn at_home<R>(
        &self,
        stream: &Rc<Stream>,
        act: impl FnOnce(&mut HomeHere, &mut BufferPool) -> Result<R, HomeFailure>,
    ) -> Result<R, HomeFailure> {
        let Some(here) = stream.home().filter(|_| !stream.is_abandoned.get()) else {
            return Err(HomeFailure::NotHere);
        };
        let acted = self.guarded(stream, || {
            let (result, output, deadline_us) = {
                let mut here = here.borrow_mut();
                let result = act(&mut here, &mut self.pool.borrow_mut());
                (result, here.home.take_output(), here.home.deadline_us(self.shard.now()))
            };
            stream.deadline_us.set(deadline_us.unwrap_or(u64::MAX));
            self.publish(stream, here, output);
            result
        });
        // Who is to be told was told when the stream was abandoned.
        let result = acted.ok_or(HomeFailure::Panicked)?;
        if let Err(failure) = &result
            && let Some(publisher) = &here.borrow().publisher
        {
            tracing::warn!(stream = %stream.shared.name, "publisher ended: {failure}");
            self.metrics.rtmp_errors.of(failure.because()).inc();
            publisher.end(EndedBy::Failure);
        }
        result
    }

    /// Runs `act` on a stream's state. A panic in it ends the stream: for everybody where it is at home,
    /// else on this shard until it is followed anew. `None` then.
    pub fn guarded<R>(&self, stream: &Rc<Stream>, act: impl FnOnce() -> R) -> Option<R> {
        let acted = self.caught(stream.shared.name.as_str(), act);
        if acted.is_none() {
            match stream.home() {
                Some(_) => self.abandon(stream),
                None => self.unfollow(stream),
            }
        }
        acted
    }

    /// Runs `act`; a panic in it is counted and logged as that of `whose`, and gives `None`.
    fn caught<R>(&self, whose: &str, act: impl FnOnce() -> R) -> Option<R> {
        catch_unwind(AssertUnwindSafe(act))
            .map_err(|panic| {
                self.metrics.panics.inc();
                tracing::error!(shard = self.shard.index(), whose, "panicked: {}", message_of(&*panic));
            })
            .ok()
    }

    /// Where a test makes something go wrong.
    ///
    /// # Panics
    /// When the test's hook says so.
    pub fn fault(&self, at: FaultAt, name: &str) -> Option<Fault> {
        let fault = self.setup.faults.as_ref().and_then(|hook| hook(at, name));
        assert!(fault != Some(Fault::Panic), "on purpose, at {at:?}");
        fault
    }

    /// Passes on what a home changed: to those parked here, to the shards that follow, to the state file.
    fn publish(&self, stream: &Rc<Stream>, here: &RefCell<HomeHere>, output: Output) {
        for wake in output.wakes {
            stream.land(wake);
        }
        if let Some(record) = output.record {
            self.save(stream.shared.name.as_str(), record);
        }
        if output.events.is_empty() {
            return;
        }
        let mut here = here.borrow_mut();
        let here = &mut *here;
        for event in &output.events {
            here.books.event(&self.metrics, event);
            for follower in here.followers.iter_mut().filter(|follower| !follower.is_stale) {
                let message = Message::Event(Arc::clone(&stream.shared), event.clone());
                follower.is_stale = !self.tell_follower(follower.shard, &stream.shared, message);
                self.metrics.replicas_stale.inc_by(follower.is_stale.into());
            }
        }
        self.refresh_followers(&stream.shared, here);
    }

    /// A follower whose inbox was full gets a snapshot as soon as there is room.
    fn refresh_followers(&self, shared: &Arc<Shared>, here: &mut HomeHere) {
        for follower in here.followers.iter_mut().filter(|follower| follower.is_stale) {
            let state = Box::new(here.home.view().snapshot());
            let message = Message::Snapshot(Arc::clone(shared), state, shared.published.events_count());
            follower.is_stale = !self.tell_follower(follower.shard, shared, message);
        }
    }

    /// False when the inbox of that shard is full.
    fn tell_follower(&self, shard: usize, shared: &Shared, message: Message) -> bool {
        self.fault(FaultAt::Inbox, shared.name.as_str()).is_none()
            && self.mesh.try_send(shard, message).is_ok()
    }

    fn save(&self, name: &str, record: StreamRecord) {
        if let Ok(text) = serde_json::to_vec(&record) {
            self.setup.control.save(name, text);
        }
        let mut records = self.records.borrow_mut();
        if records.len() < STATE_RECORDS_MAX || records.contains_key(name) {
            records.insert(name.into(), record);
        }
    }

    /// A core that panicked: its viewers get 404, its publisher is closed, and who publishes next begins
    /// a new epoch above its numbers.
    fn abandon(&self, stream: &Rc<Stream>) {
        stream.is_abandoned.set(true);
        if let Some(here) = stream.home()
            && let Some(publisher) = &here.borrow().publisher
        {
            self.metrics.rtmp_errors.of(HomeFailure::Panicked.because()).inc();
            publisher.end(EndedBy::Failure);
        }
        self.remove_home(stream);
        stream.land_all();
    }

    fn remove_home(&self, stream: &Rc<Stream>) {
        let name = stream.shared.name.as_str();
        // A stream of the same name may have begun since.
        if self.streams.find(name).is_none_or(|current| !Rc::ptr_eq(&current, stream)) {
            return;
        }
        self.streams.remove(name);
        self.streams.down(name);
        self.setup.streams_count.fetch_sub(1, Ordering::Relaxed);
        self.metrics.active_streams.dec();
        self.to_others(|| Message::Down(Arc::clone(&stream.shared)));
    }

    /// Ends a stream, wherever its home is. True when it is up.
    pub fn stop(&self, name: &StreamName) -> bool {
        if self.streams.known(name.as_str()).is_none() {
            return false;
        }
        let home = home_of(name, self.shard.shards_count());
        if home == self.shard.index() {
            self.stop_here(name);
            return true;
        }
        self.mesh.try_send(home, Message::Stop(name.clone())).is_ok()
    }

    fn stop_here(&self, name: &StreamName) {
        let Some(stream) = self.streams.find(name.as_str()) else { return };
        let now = self.shard.now();
        let stopped = self.at_home(&stream, |here, pool| {
            if let Some(publisher) = &here.publisher {
                publisher.end(EndedBy::Stop);
            }
            here.home.stop(now, pool);
            Ok(())
        });
        if stopped.is_ok() {
            tracing::info!(stream = %name, "stopped by the API");
        }
    }

    fn reload(&self, config: Arc<Config>) {
        for stream in self.streams.all_here() {
            if let Some(here) = stream.home() {
                here.borrow_mut().home.set_settings(home_settings(&config));
            }
        }
        *self.config.borrow_mut() = config;
    }

    fn drain(&self) {
        let now = self.shard.now();
        for stream in self.streams.all_here() {
            // Failures are logged where they happen, and the drain goes on.
            let _ = self.at_home(&stream, |here, pool| {
                if let Some(publisher) = &here.publisher {
                    publisher.end(EndedBy::Drain);
                }
                here.home.stop(now, pool);
                Ok(())
            });
        }
    }

    // Followed streams ---------------------------------------------------------------------------

    /// The stream as this shard sees it, for a viewer: its home, or a replica that begins to follow.
    /// `None` for a name that is not up anywhere: nothing is kept of it.
    pub fn watched(&self, name: &str) -> Option<Rc<Stream>> {
        let stream = match self.streams.find(name) {
            Some(stream) => stream,
            None => {
                let shared = self.streams.known(name)?;
                let home = home_of(&shared.name, self.shard.shards_count());
                if home == self.shard.index() {
                    return None;
                }
                if self.mesh.try_send(home, Message::Follow(shared.name.clone())).is_err() {
                    // The home's inbox is full; the next request tries again.
                    return None;
                }
                let stream = Rc::new(Stream::replica(&self.shard, shared));
                self.streams.insert(Rc::clone(&stream));
                stream
            }
        };
        stream.used_us.set(self.shard.monotonic_us());
        Some(stream)
    }

    fn add_follower(&self, stream: &Rc<Stream>, shard: usize) {
        let Some(here) = stream.home() else { return };
        self.guarded(stream, || {
            let mut here = here.borrow_mut();
            here.followers.retain(|follower| follower.shard != shard);
            // Snapshot and what follows go through one queue, so nothing is missed between them.
            here.followers.push(Follower { shard, is_stale: true });
            self.refresh_followers(&stream.shared, &mut here);
        });
    }

    /// The replica of this very stream: one of the same name may have begun since.
    fn replica(&self, shared: &Arc<Shared>) -> Option<Rc<Stream>> {
        self.streams.find(shared.name.as_str()).filter(|stream| Arc::ptr_eq(&stream.shared, shared))
    }

    fn snapshot(&self, shared: &Arc<Shared>, mut state: WindowState, events_count: u64) {
        let Some(stream) = self.replica(shared) else { return };
        let Some(view) = stream.followed() else { return };
        self.guarded(&stream, || {
            state.for_each_bytes_mut(wrap);
            *view.borrow_mut() = Some(View::from_snapshot(state));
            stream.note_snapshot(events_count);
            stream.land(Wake::All);
        });
    }

    fn followed_event(&self, shared: &Arc<Shared>, mut event: StreamEvent) {
        let Some(stream) = self.replica(shared) else { return };
        let Some(view) = stream.followed() else { return };
        event.for_each_bytes_mut(wrap);
        let applied = self.guarded(&stream, || {
            self.fault(FaultAt::Event, shared.name.as_str());
            view.borrow_mut().as_mut().map(|view| view.apply(&event))
        });
        match applied.flatten() {
            Some(Ok(wake)) => {
                stream.note_event();
                stream.land(wake);
            }
            Some(Err(error)) => {
                tracing::error!(stream = %shared.name, "a followed stream went wrong, following anew: {error}");
                self.unfollow(&stream);
            }
            // Events of before the snapshot are in it.
            None => {}
        }
    }

    fn unfollow(&self, stream: &Rc<Stream>) {
        let name = &stream.shared.name;
        self.streams.remove(name.as_str());
        let home = home_of(name, self.shard.shards_count());
        // A home that does not hear it goes on sending, and what it sends is passed over.
        let _ = self.mesh.try_send(home, Message::Unfollow(name.clone()));
        stream.land_all();
    }

    fn forget_followed(&self, shared: &Arc<Shared>) {
        let name = shared.name.as_str();
        // The message may be older than a stream of the same name that is up again.
        if self.streams.known(name).is_some_and(|known| Arc::ptr_eq(&known, shared)) {
            self.streams.down(name);
        }
        if let Some(stream) = self.replica(shared) {
            self.streams.remove(name);
            stream.land_all();
        }
    }

    // Books ----------------------------------------------------------------------------------------

    fn keep_books(&self, now: Now) {
        let (mut blocked, mut viewers_all, mut retained) = (0, 0, 0);
        for stream in self.streams.all_here() {
            let viewers = stream.viewers(now.monotonic_us);
            stream.shared.set_viewers(self.shard.index(), viewers);
            viewers_all += viewers;
            blocked += stream.waiting_count();
            let kept = self.guarded(&stream, || match stream.home() {
                Some(here) => self.keep_home(&stream, here),
                None => {
                    self.keep_replica(&stream, now);
                    0
                }
            });
            retained += kept.unwrap_or(0);
        }
        self.metrics.blocked_requests.set(blocked as i64);
        self.metrics.active_viewers.set(viewers_all as i64);
        self.metrics.bytes_stored.set(retained as i64);
        self.books.shard(&self.metrics, self.shard.stats());
        if self.shard.index() == 0 {
            self.books.log(&self.metrics, self.setup.log_lines_dropped.load(Ordering::Relaxed));
        }
    }

    /// Returns the bytes of media that it keeps.
    fn keep_home(&self, stream: &Rc<Stream>, here: &RefCell<HomeHere>) -> u64 {
        self.fault(FaultAt::Books, stream.shared.name.as_str());
        let mut here = here.borrow_mut();
        self.refresh_followers(&stream.shared, &mut here);
        stream.shared.set_status(super::status::of(&mut here));
        let HomeHere { home, books, publisher, .. } = &mut *here;
        books.stream(&self.metrics, home);
        let (retained, is_over) =
            (home.view().window().retained_bytes(), home.is_over() && publisher.is_none());
        drop(here);
        if is_over {
            self.remove_home(stream);
            stream.land_all();
        }
        retained
    }

    fn keep_replica(&self, stream: &Rc<Stream>, now: Now) {
        if stream.look_for_staleness(now.monotonic_us) {
            tracing::warn!(stream = %stream.shared.name, "this shard has lost touch with the stream");
            stream.land_all();
        }
        if stream.lacks_snapshot() {
            // The call for it, or the snapshot, was lost: those who wait follow anew.
            self.unfollow(stream);
            return;
        }
        let idle_us = now.monotonic_us.saturating_sub(stream.used_us.get());
        if idle_us > FOLLOW_IDLE_US && stream.waiting_count() == 0 {
            stream.shared.set_viewers(self.shard.index(), 0);
            self.unfollow(stream);
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

/// Why something could not be done at a home.
#[derive(Debug, thiserror::Error)]
pub enum HomeFailure {
    /// The stream is not at home on this shard.
    #[error("the stream's home is another shard")]
    NotHere,
    /// The core failed.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The core panicked.
    #[error("the stream's core panicked")]
    Panicked,
}

impl HomeFailure {
    /// As the metrics have it.
    pub fn because(&self) -> EndedBecause {
        match self {
            Self::Home(HomeError::RetainedBytes { .. }) => EndedBecause::Bound,
            Self::Panicked => EndedBecause::Panic,
            Self::Home(_) | Self::NotHere => EndedBecause::Protocol,
        }
    }
}

/// Bytes that came from another shard, behind a reference count of this one's: cores do not fight over it.
fn wrap(bytes: &mut Bytes) {
    *bytes = Bytes::from_owner(std::mem::take(bytes));
}

fn home_settings(config: &Config) -> HomeSettings {
    let hls = &config.hls;
    let seconds = |value: u32| u64::from(value) * 1_000_000;
    HomeSettings {
        wishes: Wishes {
            part_ms: hls.part_wish_or_preset_ms(),
            segment_ms: hls.segment_target_or_preset_ms(),
        },
        session: SessionSettings {
            muxed: hls.muxed,
            window_segments_min: hls.window_segments,
            prefill_gap_segments: hls.prefill_gap_segments,
            retained_bytes_max: hls.retained_bytes_max,
        },
        gop_ms: (hls.expected_gop_ms > 0).then_some(hls.expected_gop_ms),
        unpublish_grace_us: seconds(config.ingest.unpublish_grace_s),
        reconnect_grace_us: seconds(config.ingest.reconnect_grace_s),
        takeover_silence_us: seconds(config.ingest.takeover_silence_s),
    }
}

/// Media of an event, for [`wrap`].
impl StreamEvent {
    fn for_each_bytes_mut(&mut self, mut visit: impl FnMut(&mut Bytes)) {
        use crate::hls::EventBody;
        match &mut self.body {
            EventBody::Init(init) => visit(&mut init.bytes),
            EventBody::Part(part) | EventBody::PartAndClose(part, _) => {
                if let Some(MediaRef::Memory(bytes)) = &mut part.media {
                    visit(bytes);
                }
            }
            _ => {}
        }
    }
}
