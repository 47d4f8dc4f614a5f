//! The streams that one shard knows: those whose home it is, those it follows for its viewers, and the
//! mere names of all others.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::Hasher;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use super::audience::{self, Audience, Seen, SeenBoard};
use super::books::StreamBooks;
use super::landings::Landings;
use super::{Parked, Shard, Transport};
use crate::api::StreamDetails;
use crate::control::Recording;
use crate::hls::RenditionId;
use crate::limits::RENDITIONS_MAX;
use crate::media::StreamName;
use crate::origin::home::{Home, PublisherId, StreamState};
use crate::origin::published::Published;
use crate::origin::recording::Ending;
use crate::origin::view::{Updates, View, Wait, Wake};

/// What every shard may read of a stream; written by its home.
#[derive(Debug)]
pub struct Shared {
    /// Its name.
    pub name: StreamName,
    /// Its newest numbers.
    pub published: Arc<Published>,
    /// Viewers by shard, each written by that shard.
    viewers: Box<[SeenBoard]>,
    status: Mutex<Status>,
}

/// What the API shows of a stream.
#[derive(Debug, Clone)]
pub struct Status {
    /// Where it is in its life.
    pub state: StreamState,
    /// For the admin.
    pub details: StreamDetails,
}

impl Shared {
    /// Of a stream that has just begun.
    pub fn new(name: StreamName, published: Arc<Published>, shards_count: usize) -> Self {
        Self {
            name,
            published,
            viewers: (0..shards_count).map(|_| SeenBoard::default()).collect(),
            status: Mutex::new(Status { state: StreamState::Starting, details: StreamDetails::default() }),
        }
    }

    /// What the home said last.
    pub fn status(&self) -> Status {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner).clone();
        status.details.viewers = self.viewers();
        status
    }

    /// The home says it anew.
    pub fn set_status(&self, status: Status) {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }

    /// Viewers of all shards.
    pub fn viewers(&self) -> u64 {
        audience::viewers(&self.viewers)
    }

    /// This shard's viewers.
    pub fn set_viewers(&self, shard: usize, seen: Seen) {
        if let Some(viewers) = self.viewers.get(shard) {
            viewers.set(seen);
        }
    }
}

/// One stream on one shard.
pub struct Stream {
    /// What all shards share of it.
    pub shared: Arc<Shared>,
    role: Role,
    /// Two lists a rendition: those who wait for parts, those who wait for segments.
    waiting: Vec<[List; 2]>,
    /// When the home wants to be called, monotonic microseconds; `u64::MAX` for never.
    pub deadline_us: Cell<u64>,
    /// Its core panicked: whoever still holds it is not to touch it.
    pub is_abandoned: Cell<bool>,
    /// A replica that lacks what its home published two target durations ago.
    pub is_stale: Cell<bool>,
    lag: Lag,
    /// When a viewer here last asked for something.
    pub used_us: Cell<u64>,
    /// Its viewers here.
    pub audience: Audience,
}

/// Those who wait for one thing, and how soon they are sent it.
struct List {
    parked: Parked,
    landings: Landings,
}

impl List {
    fn new(shard: &Shard) -> Self {
        Self { parked: Parked::new(shard), landings: Landings::default() }
    }

    /// Lands for something that was listed then. Returns how long the last viewer of an earlier landing took.
    fn land(&self, listed_us: u64) -> Option<u64> {
        self.parked.land();
        self.landings.landed(self.parked.generation(), listed_us)
    }
}

enum Role {
    Home(Box<RefCell<HomeHere>>),
    /// `None` until the home's snapshot is here.
    Replica(RefCell<Option<View>>),
}

/// A stream at its home, with those it has to tell.
pub struct HomeHere {
    /// The stream itself.
    pub home: Home,
    /// The shards that follow.
    pub followers: Vec<Follower>,
    /// The connections that publish: one on air, and one held ready.
    pub publishers: Vec<PublisherHere>,
    /// What of its counters the metrics have already.
    pub books: StreamBooks,
    /// Where its ingest is recorded, if it is.
    pub recording: Option<Recording>,
}

/// A shard that follows a stream.
#[derive(Debug)]
pub struct Follower {
    /// Which one.
    pub shard: usize,
    /// Its inbox was full: it has to get a snapshot before further events.
    pub is_stale: bool,
}

/// A publishing connection, as others of its shard may end it.
pub struct PublisherHere {
    /// Its name at the home.
    pub id: PublisherId,
    /// Its deadline is what wakes and ends it.
    pub transport: Rc<Transport>,
    /// Why it was ended, for its log line.
    pub ended: Rc<Cell<Option<EndedBy>>>,
    /// Its address, without the port.
    pub address: String,
    /// What it calls itself.
    pub encoder: String,
    /// Bytes received at the last status, to tell the bit rate.
    pub bytes_before: u64,
}

/// Who ended a publisher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndedBy {
    /// The API.
    Stop,
    /// A second publisher, after a silence.
    TakeOver,
    /// The server drains.
    Drain,
    /// The stream's core failed.
    Failure,
}

impl EndedBy {
    /// For the log and the publisher.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stopped by the API",
            Self::TakeOver => "taken over after a silence",
            Self::Drain => "the server is stopping",
            Self::Failure => "the stream failed",
        }
    }
}

impl HomeHere {
    /// Goes on with the recording, which may be over.
    pub fn record(&mut self, bytes: Vec<u8>) {
        if self.recording.as_ref().is_some_and(|recording| !recording.write(bytes)) {
            self.recording = None;
            self.home.stop_recording();
        }
    }

    /// Ends the recording, if there is one.
    pub fn stop_recording(&mut self, ending: Ending) {
        if let Some(recording) = self.recording.take() {
            recording.end(ending);
            self.home.stop_recording();
        }
    }

    /// Ends the connections that publish.
    pub fn end_publishers(&self, by: EndedBy) {
        self.publishers.iter().for_each(|publisher| publisher.end(by));
    }

    /// Ends the connection of this publisher.
    pub fn end_publisher(&self, id: PublisherId, by: EndedBy) {
        self.publishers.iter().filter(|publisher| publisher.id == id).for_each(|publisher| publisher.end(by));
    }

    /// This publisher is no more.
    pub fn forget_publisher(&mut self, id: PublisherId) {
        self.publishers.retain(|publisher| publisher.id != id);
    }
}

impl PublisherHere {
    /// Ends the connection: its task wakes and finds why.
    pub fn end(&self, by: EndedBy) {
        self.ended.set(Some(by));
        // Not shut down: what it still sends is to be read, or its last words would be lost by a reset.
        self.transport.socket().set_deadline(0);
    }
}

impl Stream {
    /// A stream whose home is this shard.
    pub fn at_home(shard: &Shard, home: Home, recording: Option<Recording>) -> Self {
        let shared = Shared::new(home.name().clone(), Arc::clone(home.published()), shard.shards_count());
        let books = StreamBooks::default();
        let here = HomeHere { home, followers: Vec::new(), publishers: Vec::new(), books, recording };
        Self::new(shard, Arc::new(shared), Role::Home(Box::new(RefCell::new(here))))
    }

    /// A stream that another shard is home of.
    pub fn replica(shard: &Shard, shared: Arc<Shared>) -> Self {
        Self::new(shard, shared, Role::Replica(RefCell::new(None)))
    }

    fn new(shard: &Shard, shared: Arc<Shared>, role: Role) -> Self {
        let lists = || [List::new(shard), List::new(shard)];
        Self {
            shared,
            role,
            waiting: (0..RENDITIONS_MAX).map(|_| lists()).collect(),
            deadline_us: Cell::new(u64::MAX),
            is_abandoned: Cell::new(false),
            is_stale: Cell::new(false),
            lag: Lag::default(),
            used_us: Cell::new(shard.monotonic_us()),
            audience: Audience::default(),
        }
    }

    /// The home, when it is here.
    pub fn home(&self) -> Option<&RefCell<HomeHere>> {
        match &self.role {
            Role::Home(here) => Some(here),
            Role::Replica(_) => None,
        }
    }

    /// The followed view, when the home is elsewhere.
    pub fn followed(&self) -> Option<&RefCell<Option<View>>> {
        match &self.role {
            Role::Home(_) => None,
            Role::Replica(view) => Some(view),
        }
    }

    /// Runs `ask` on the view; `None` while a replica waits for its snapshot.
    pub fn with_view<R>(&self, ask: impl FnOnce(&mut View, Option<&Published>) -> R) -> Option<R> {
        match &self.role {
            Role::Home(here) => Some(ask(here.borrow_mut().home.view_mut(), None)),
            Role::Replica(view) => {
                view.borrow_mut().as_mut().map(|view| ask(view, Some(&self.shared.published)))
            }
        }
    }

    /// The list to wait in.
    pub fn parked(&self, wait: &Wait) -> &Parked {
        &self.list(wait).parked
    }

    fn list(&self, wait: &Wait) -> &List {
        let [parts, segments] = &self.waiting[usize::from(wait.rendition.0) % RENDITIONS_MAX];
        match wait.updates {
            Updates::Parts => parts,
            Updates::Segments => segments,
        }
    }

    /// Lands those whom an event concerns, which was applied here at `listed_us`. `last` is told how long the last
    /// viewers of earlier landings took.
    pub fn land(&self, wake: Wake, listed_us: u64, mut last: impl FnMut(u64)) {
        match wake {
            Wake::None => {}
            Wake::Rendition { rendition: RenditionId(index), closed } => {
                if let Some([parts, segments]) = self.waiting.get(usize::from(index)) {
                    parts.land(listed_us).into_iter().for_each(&mut last);
                    if closed {
                        segments.land(listed_us).into_iter().for_each(last);
                    }
                }
            }
            Wake::All => self.land_all(),
        }
    }

    /// Somebody who has waited since generation `seen` is sent what he waited for. How long that took from its
    /// listing, if he is the first.
    pub fn sent(&self, wait: &Wait, seen: u64, now_us: u64) -> Option<u64> {
        self.list(wait).landings.sent(seen, now_us)
    }

    /// How long the last viewers of landings from before then took.
    pub fn settle_landings(&self, listed_before_us: u64) -> impl Iterator<Item = u64> {
        self.waiting.iter().flatten().flat_map(move |list| list.landings.settle(listed_before_us))
    }

    /// Lands everybody.
    pub fn land_all(&self) {
        for list in self.waiting.iter().flatten() {
            list.parked.land();
        }
    }

    /// Requests that wait here.
    pub fn waiting_count(&self) -> usize {
        self.waiting.iter().flatten().map(|list| list.parked.waiting_count()).sum()
    }

    /// A replica's snapshot holds as many of its home's events.
    pub fn note_snapshot(&self, events_count: u64) {
        self.lag.applied.set(events_count);
        self.is_stale.set(false);
    }

    /// True at the second look, and each one after, at a replica whose snapshot has not come.
    pub fn lacks_snapshot(&self) -> bool {
        self.followed().is_some_and(|view| view.borrow().is_none()) && self.lag.was_empty.replace(true)
    }

    /// A replica has applied one more of its home's events.
    pub fn note_event(&self) {
        self.lag.applied.set(self.lag.applied.get() + 1);
    }

    /// Its viewers here.
    pub fn viewers(&self, now_us: u64) -> Seen {
        let part_next = self.with_view(|view, _| {
            let window = view.window();
            window.position(window.live()?, RenditionId(0))?.part_number_next
        });
        let newest = part_next.flatten().unwrap_or(0).saturating_sub(1);
        self.audience.seen(newest, now_us)
    }

    /// Looks whether a replica has fallen behind its home for too long; true when it has since the last look.
    pub fn look_for_staleness(&self, now_us: u64) -> bool {
        let target_duration_s = self.with_view(|view, _| {
            let window = view.window();
            window.live().or_else(|| window.current()).map(|session| session.target_duration_s)
        });
        let Some(target_duration_s) = target_duration_s.flatten() else { return false };
        let allowed_us = 2_000_000 * u64::from(target_duration_s);
        let is_stale = self.lag.exceeds(allowed_us, self.shared.published.events_count(), now_us);
        is_stale && !self.is_stale.replace(is_stale)
    }
}

/// How far a replica is behind its home, counted in events.
#[derive(Debug, Default)]
struct Lag {
    /// Events of the home that are applied here.
    applied: Cell<u64>,
    /// How many the home had made at some time, and when that was.
    mark: Cell<(u64, u64)>,
    /// There was no snapshot at the last look.
    was_empty: Cell<bool>,
}

impl Lag {
    /// True when what the home had made by `allowed_us` ago is not all here.
    fn exceeds(&self, allowed_us: u64, made: u64, now_us: u64) -> bool {
        let (mark, at_us) = self.mark.get();
        if self.applied.get() >= mark {
            self.mark.set((made, now_us));
            return false;
        }
        now_us - at_us >= allowed_us
    }
}

/// A shard's streams by `app/key`.
#[derive(Default)]
pub struct Streams {
    /// Those with state here.
    here: RefCell<HashMap<Box<str>, Rc<Stream>>>,
    /// Every stream that is up anywhere.
    known: RefCell<HashMap<Box<str>, Arc<Shared>>>,
}

impl Streams {
    /// A stream with state here.
    pub fn find(&self, name: &str) -> Option<Rc<Stream>> {
        self.here.borrow().get(name).cloned()
    }

    /// A stream that is up somewhere.
    pub fn known(&self, name: &str) -> Option<Arc<Shared>> {
        self.known.borrow().get(name).cloned()
    }

    /// Every stream that is up, by name.
    pub fn all_known(&self) -> Vec<Arc<Shared>> {
        let mut all: Vec<_> = self.known.borrow().values().cloned().collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// Every stream with state here.
    pub fn all_here(&self) -> Vec<Rc<Stream>> {
        self.here.borrow().values().cloned().collect()
    }

    /// Calls `visit` for those with state here; it must not add or remove any.
    pub fn each_here(&self, mut visit: impl FnMut(&Rc<Stream>)) {
        for stream in self.here.borrow().values() {
            visit(stream);
        }
    }

    /// Adds one with state here.
    pub fn insert(&self, stream: Rc<Stream>) {
        let name = stream.shared.name.as_str().into();
        self.here.borrow_mut().insert(name, stream);
    }

    /// Forgets the state here.
    pub fn remove(&self, name: &str) -> Option<Rc<Stream>> {
        self.here.borrow_mut().remove(name)
    }

    /// A stream is up.
    pub fn up(&self, shared: Arc<Shared>) {
        let name = shared.name.as_str().into();
        self.known.borrow_mut().insert(name, shared);
    }

    /// A stream is no more.
    pub fn down(&self, name: &str) {
        self.known.borrow_mut().remove(name);
    }
}

/// The shard that is home to a name: the same on every shard and after every restart.
pub fn home_of(name: &StreamName, shards_count: usize) -> usize {
    let mut hasher = std::hash::DefaultHasher::new();
    hasher.write(name.as_str().as_bytes());
    (hasher.finish() % shards_count.max(1) as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_is_stale_when_it_lacks_what_is_older_than_allowed() {
        let lag = Lag::default();
        // (applied, made, now, stale)
        let table = [
            (10, 10, 0, false),
            (10, 12, 1, false),
            // Behind, but it moves: what was marked has come.
            (13, 20, 2, false),
            (20, 30, 3, false),
            (20, 40, 4, false),
            (25, 50, 5, false),
            (25, 60, 6, true),
            (29, 70, 9, true),
            (30, 70, 10, false),
        ];
        for (applied, made, now_us, stale) in table {
            lag.applied.set(applied);
            assert_eq!(lag.exceeds(3, made, now_us), stale, "at {now_us}");
        }
    }
}
