//! A stream at its home shard: who publishes it, which session it is in, what its viewers are told.
//! Only the home creates, arbitrates, numbers and ends a stream.

mod pair;
mod session;
mod turns;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::findings::StreamFindings;
use super::ingest::{FramesReceived, Ingest, IngestError, Step};
use super::live::{Fit, FrameTimes, Live, LiveError, SessionSettings};
use super::published::Published;
use super::recording::{Entry, Recorder};
use super::view::{View, Wake};
use crate::auth::TokenDigest;
use crate::flv::ExtraTrack;
use crate::fmp4::BufferPool;
use crate::hls::numbering::{Numbering, StreamRecord};
use crate::hls::window::EventError;
use crate::hls::{Epoch, EventBody, SessionId, StreamEvent};
use crate::hls::{PlanError, Wishes};
use crate::limits::{RECLAIM_DELAY_MS, TIMESTAMP_LEAP_MS_MAX};
use crate::media::{Now, StreamName, TrackKind};
use crate::metrics::Finding;
use crate::rtmp::{MediaFragment, Role, StreamMetadata};
use turns::Turns;

pub use pair::{Because, Note, Present};
pub use turns::TurnsError;

/// Settings of a stream. A session that runs keeps what it was planned with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HomeSettings {
    /// Wished part and segment lengths.
    pub wishes: Wishes,
    /// What every session is started with.
    pub session: SessionSettings,
    /// The encoder's GOP, when the operator has said it.
    pub gop_ms: Option<u32>,
    /// How long a stream waits for a publisher that said goodbye, microseconds.
    pub unpublish_grace_us: u64,
    /// How long it waits for one whose connection just ended, microseconds.
    pub reconnect_grace_us: u64,
    /// How long its publisher must have been silent for another to take its place, microseconds.
    pub takeover_silence_us: u64,
    /// How long a primary that came back must have been steady to go on air again, microseconds; 0 for never.
    pub failback_us: u64,
}

/// Names a publisher within its stream's home.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublisherId(pub u64);

/// What a second publisher of a key is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Challenge {
    /// Nobody publishes: attach.
    Free,
    /// The one that publishes has been silent too long: cut it off, then attach.
    TakeOver,
    /// The one that publishes is alive: BadName.
    Busy,
    /// Too early to tell: ask again.
    Wait,
}

/// How a publisher left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Departure {
    /// FCUnpublish, deleteStream or closeStream.
    Unpublished,
    /// The connection just ended.
    Lost,
}

/// Where a stream is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamState {
    /// Nobody publishes; an ended session may still be played out.
    Ended,
    /// A publisher is there and is being learnt.
    Starting,
    /// A publisher is there and its session grows.
    Live,
    /// The session waits for its publisher to return.
    Waiting,
}

impl StreamState {
    /// As the API says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::Starting => "starting",
            Self::Live => "live",
            Self::Waiting => "waiting",
        }
    }
}

/// What ends a publisher. The stream itself is in order again when it is returned.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// Its media cannot be taken.
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// Its frames cannot be written.
    #[error(transparent)]
    Live(#[from] LiveError),
    /// No session can be made of its tracks.
    #[error("no session can be made of these tracks: {0}")]
    Plan(#[from] PlanError),
    /// The window refused what we made: our mistake, or a bound.
    #[error("the window refused an event: {0}")]
    Window(#[from] EventError),
    /// Its parameters or its time change again and again.
    #[error(transparent)]
    Turns(#[from] TurnsError),
    /// The stream keeps too many bytes, even with its shortest window.
    #[error(
        "the stream keeps {found} bytes of media, {allowed} are allowed: lower the bit rate or raise hls.retained_bytes_max"
    )]
    RetainedBytes {
        /// Bytes kept.
        found: u64,
        /// Bytes allowed.
        allowed: u64,
    },
}

/// What a call changed, for the shard to pass on.
#[derive(Debug, Default)]
pub struct Output {
    /// For every shard that follows the stream, in order.
    pub events: Vec<StreamEvent>,
    /// Who is to be woken here.
    pub wakes: Vec<Wake>,
    /// When the newest frame of each part that viewers see listed was received, monotonic microseconds.
    pub listed_frames_us: FrameTimes,
    /// To be kept over a restart.
    pub record: Option<StreamRecord>,
    /// What a recording of the ingest goes on with; empty where there is none.
    pub recorded: Vec<u8>,
    /// Media out of retention that viewers still hold.
    pub lent: Vec<Bytes>,
    /// For the log and the metrics.
    pub notes: SmallVec<[Note; 2]>,
}

/// One stream at its home.
#[derive(Debug)]
pub struct Home {
    name: StreamName,
    settings: HomeSettings,
    numbering: Numbering,
    view: View,
    live: Option<Live>,
    /// The one on air, or that will be with its next key frame.
    publisher: Option<Publisher>,
    /// The one that is held ready: there is another one on air, of the other role.
    standby: Option<Publisher>,
    /// The session waits for its publisher until then, monotonic microseconds.
    grace_until_us: Option<u64>,
    /// Ended sessions and when they are forgotten, by [`Home::clock_unix_ms`].
    retiring: VecDeque<(SessionId, u64)>,
    /// Media out of retention, on its way back to the pool, with the time it left, monotonic microseconds.
    retired: VecDeque<(u64, Bytes)>,
    published: Arc<Published>,
    /// Frames of publishers that have left.
    frames_before: FramesReceived,
    findings: StreamFindings,
    /// When it was made.
    since: Now,
    output: Output,
    /// Notes every call that changes something.
    recorder: Option<Recorder>,
}

#[derive(Debug)]
struct Publisher {
    id: PublisherId,
    role: Role,
    /// What it showed; `None` where nobody is asked for a token.
    token: Option<TokenDigest>,
    ingest: Ingest,
    last_media_us: u64,
    /// When its media went to the session last, or it came.
    live_us: u64,
    /// What it declared.
    metadata: Option<StreamMetadata>,
    turns: Turns,
    /// Held ready: how it fits the session, as was said last.
    fit: Option<Fit>,
}

impl Home {
    /// A stream about which only its last record is known.
    pub fn new(
        name: StreamName,
        settings: HomeSettings,
        random: u16,
        record: Option<&StreamRecord>,
        now: Now,
    ) -> Self {
        Self {
            name,
            settings,
            numbering: Numbering::new(now.unix_us / 1000, random, record),
            view: View::new(),
            live: None,
            publisher: None,
            standby: None,
            grace_until_us: None,
            retiring: VecDeque::new(),
            retired: VecDeque::new(),
            published: Arc::default(),
            frames_before: FramesReceived::default(),
            findings: StreamFindings::default(),
            since: now,
            output: Output::default(),
            recorder: None,
        }
    }

    /// Records the calls that follow, of a home that has just begun as the recorder was told.
    pub fn record_to(&mut self, recorder: Recorder) {
        self.recorder = Some(recorder);
    }

    /// Nobody wants the recording any more.
    pub fn stop_recording(&mut self) {
        self.recorder = None;
    }

    fn note(&mut self, now: Option<Now>, entry: Entry<'_>) {
        if let Some(recorder) = &mut self.recorder {
            recorder.note(now, &entry);
        }
    }

    /// New settings: of lengths and windows for the next session, of graces and silences from now on.
    pub fn set_settings(&mut self, settings: HomeSettings) {
        self.note(None, Entry::Settings(settings));
        self.settings = settings;
    }

    /// Frames received from those that publish and those before them.
    pub fn frames_received(&self) -> FramesReceived {
        let present = self.publisher.iter().chain(&self.standby);
        present.fold(self.frames_before, |sum, publisher| sum + publisher.ingest.frames())
    }

    /// What its operator should know of its publishers, since this home was made.
    pub fn findings(&self) -> &StreamFindings {
        &self.findings
    }

    /// As [`Home::findings`], to take the news of.
    pub fn findings_mut(&mut self) -> &mut StreamFindings {
        &mut self.findings
    }

    /// A codec that the publisher sends and that is not taken.
    pub fn unsupported(&self) -> Option<&str> {
        self.publisher.as_ref().and_then(|publisher| publisher.ingest.unsupported())
    }

    /// Tracks that the publisher sends beside those that are played.
    pub fn extra_tracks(&self) -> &[ExtraTrack] {
        self.publisher.as_ref().map_or(&[], |publisher| publisher.ingest.extra_tracks())
    }

    /// Its name.
    pub fn name(&self) -> &StreamName {
        &self.name
    }

    /// The lifetime of its state, which names its media.
    pub fn epoch(&self) -> Epoch {
        self.numbering.epoch()
    }

    /// What its viewers on the home shard see.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// As [`Home::view`], to answer from.
    pub fn view_mut(&mut self) -> &mut View {
        &mut self.view
    }

    /// The session that is published or waits.
    pub fn live(&self) -> Option<&Live> {
        self.live.as_ref()
    }

    /// The newest numbers, for the shards that follow.
    pub fn published(&self) -> &Arc<Published> {
        &self.published
    }

    /// Where the stream is in its life.
    pub fn state(&self) -> StreamState {
        match (&self.publisher, &self.live) {
            (Some(publisher), Some(_)) if publisher.ingest.is_live() => StreamState::Live,
            (Some(_), _) => StreamState::Starting,
            (None, Some(_)) => StreamState::Waiting,
            (None, None) => StreamState::Ended,
        }
    }

    /// True when nothing of the stream is left but its numbers.
    pub fn is_over(&self) -> bool {
        let has_media = !self.retiring.is_empty() || !self.retired.is_empty();
        self.publisher.is_none() && self.live.is_none() && !has_media
    }

    /// The numbers, for a stream that is to be forgotten.
    pub fn record(&self) -> StreamRecord {
        self.numbering.record()
    }

    /// May one that has waited since `since_us` publish in this role? The other role is no hindrance.
    pub fn challenge(&self, role: Role, since_us: u64, now: Now) -> Challenge {
        match self.of_role(role) {
            None => Challenge::Free,
            Some(publisher) if publisher.last_media_us > since_us => Challenge::Busy,
            Some(publisher)
                if now.monotonic_us >= publisher.last_media_us + self.settings.takeover_silence_us =>
            {
                Challenge::TakeOver
            }
            Some(_) => Challenge::Wait,
        }
    }

    /// There is a session, and it was started with this token: until ENDLIST that is good for going on with
    /// it, expired or not.
    pub fn is_resumed_by(&self, token: TokenDigest) -> bool {
        self.live.is_some() && self.numbering.token() == Some(token)
    }

    /// A publisher begins. [`Home::challenge`] allowed it, and its token. Where one of the other role is on air, it
    /// is held ready.
    ///
    /// # Errors
    /// [`HomeError::Window`]; [`HomeError::RetainedBytes`] while what those before it have left is too much.
    pub fn attach(
        &mut self,
        id: PublisherId,
        role: Role,
        token: Option<TokenDigest>,
        now: Now,
    ) -> Result<(), HomeError> {
        debug_assert!(self.of_role(role).is_none());
        self.note(Some(now), Entry::Attach(id, role));
        // Each that comes would add to it before it is refused.
        self.check_retained(self.settings.session.retained_bytes_max)?;
        if self.publisher.is_some() {
            let mut standby = Publisher::new(id, role, token, &self.settings, true, now);
            standby.ingest.stand_by();
            self.standby = Some(standby);
            return Ok(());
        }
        if self.live.is_none() && self.view.window().current().is_some() {
            // Who comes now must not be sent into the session that has ended.
            self.emit(EventBody::Announce, now)?;
        }
        self.grace_until_us = None;
        self.watch_publisher(self.live.is_some(), now);
        self.publisher = Some(Publisher::new(id, role, token, &self.settings, self.live.is_some(), now));
        Ok(())
    }

    /// onMetaData.
    pub fn metadata(&mut self, id: PublisherId, metadata: &StreamMetadata) {
        self.note(None, Entry::Metadata(id, Cow::Borrowed(metadata)));
        if let Some(standby) = self.standby.as_mut().filter(|standby| standby.id == id) {
            standby.ingest.metadata(metadata);
            standby.metadata = Some(metadata.clone());
        }
        if let Some(publisher) = self.publisher.as_mut().filter(|publisher| publisher.id == id) {
            publisher.ingest.metadata(metadata);
            publisher.metadata = Some(metadata.clone());
            self.findings.declare(metadata);
        }
    }

    /// A fragment of an audio or video message. Ignored when `id` no longer publishes.
    ///
    /// # Errors
    /// [`HomeError`]: end this publisher's connection, then [`Home::detach`] it.
    pub fn media(
        &mut self,
        id: PublisherId,
        fragment: &MediaFragment<'_>,
        now: Now,
        pool: &mut BufferPool,
    ) -> Result<(), HomeError> {
        self.note(Some(now), Entry::Media(id, *fragment));
        if self.standby.as_ref().is_some_and(|standby| standby.id == id) {
            return self.standby_media(fragment, now, pool);
        }
        let tolerance_us = self.tolerance_us();
        let Some(publisher) = self.publisher.as_mut().filter(|publisher| publisher.id == id) else {
            return Ok(());
        };
        let silent_us = now.monotonic_us.saturating_sub(publisher.last_media_us);
        publisher.last_media_us = now.monotonic_us;
        let leaps = |live: Option<&Live>| live.map_or(0, |live| live.repairs().discontinuities);
        let leaps_before = leaps(self.live.as_ref());
        let findings = &mut self.findings;
        let step = publisher.ingest.media(fragment, self.live.as_mut(), findings, now, pool)?;
        publisher.ingest.note_pace(tolerance_us, now);
        // A take-over with a discontinuity is no leap of its time.
        let is_leap = !matches!(step, Step::OnAir { .. });
        let leaps_count = if is_leap { leaps(self.live.as_ref()) - leaps_before } else { 0 };
        if publisher.ingest.is_live() && !publisher.ingest.is_off_air() {
            publisher.live_us = now.monotonic_us;
        }
        findings.note(Finding::Discontinuity, leaps_count, now);
        // A gap that has really lasted so long is no fault of the timestamps.
        if silent_us < TIMESTAMP_LEAP_MS_MAX as u64 * 1000 {
            publisher.turns.leaps(leaps_count, now)?;
        }
        // While it is being learnt, a change costs no viewer anything, but the frames that were kept.
        let is_turn = matches!(step, Step::Relearn | Step::NewSession);
        findings.note(Finding::ParametersChanged, is_turn.into(), now);
        for _ in 0..publisher.ingest.take_changes().max(is_turn.into()) {
            publisher.turns.change(now)?;
        }
        // Here as well: while media comes in time, [`Home::handle_time`] may not be due for hours.
        self.reclaim(now, pool);
        let advanced = self.advance(step, now, pool);
        if let Some(live) = &self.live {
            self.findings.counted(live.repairs(), live.open_gops(), now);
        }
        advanced
    }

    /// The message of which fragments came will not be completed.
    ///
    /// # Errors
    /// As [`Home::media`].
    pub fn media_aborted(
        &mut self,
        id: PublisherId,
        kind: TrackKind,
        now: Now,
        pool: &mut BufferPool,
    ) -> Result<(), HomeError> {
        self.note(Some(now), Entry::Aborted(id, kind));
        if let Some(publisher) = self.publisher.as_mut().filter(|publisher| publisher.id == id) {
            publisher.ingest.media_aborted(kind, self.live.as_mut(), now, pool)?;
        } else if let Some(standby) = self.standby.as_mut().filter(|standby| standby.id == id) {
            standby.ingest.media_aborted(kind, None, now, pool)?;
        }
        self.drain_live(now)
    }

    /// The publisher is gone: the one that was held ready takes over, or its session closes what is open and waits.
    /// Nothing happens when `id` no longer publishes, and nobody notices when it was held ready.
    pub fn detach(&mut self, id: PublisherId, departure: Departure, now: Now, pool: &mut BufferPool) {
        self.note(Some(now), Entry::Detach(id, departure));
        if let Some(standby) = self.standby.take_if(|standby| standby.id == id) {
            self.frames_before = self.frames_before + standby.ingest.frames();
            return;
        }
        if self.publisher.as_ref().is_none_or(|publisher| publisher.id != id) {
            return;
        }
        self.publisher_gone(now);
        if self.promote(departure, now, pool) || self.live.is_none() {
            return;
        }
        let grace_us = self.grace_us(departure);
        let closed = self.close_live(grace_us > 0, now, pool);
        if grace_us == 0 || closed.is_err() {
            self.end_session(now, pool);
        } else {
            self.grace_until_us = Some(now.monotonic_us + grace_us);
        }
    }

    /// Ends the stream at once, whoever publishes it.
    pub fn stop(&mut self, now: Now, pool: &mut BufferPool) {
        self.note(Some(now), Entry::Stop);
        self.publisher_gone(now);
        if let Some(standby) = self.standby.take() {
            self.frames_before = self.frames_before + standby.ingest.frames();
        }
        if self.live.is_some() {
            // What the close cannot list is lost with the session either way.
            let _ = self.close_live(false, now, pool);
            self.end_session(now, pool);
        }
    }

    /// When [`Home::handle_time`] wants to be called, monotonic microseconds.
    pub fn deadline_us(&self, now: Now) -> Option<u64> {
        let live = self.live.as_ref().and_then(Live::deadline_us);
        let present = self.publisher.iter().chain(&self.standby);
        let learning = present.filter_map(|publisher| publisher.ingest.deadline_us(now)).min();
        let until_us = |at_unix_ms: u64| {
            self.since.monotonic_us + (at_unix_ms * 1000).saturating_sub(self.since.unix_us)
        };
        let retire = self.retiring.front().map(|&(_, at_unix_ms)| until_us(at_unix_ms));
        // A publisher's media sees to it.
        let reclaim = self.retired.front().filter(|_| self.publisher.is_none());
        let reclaim = reclaim.map(|(at_us, _)| at_us + RECLAIM_DELAY_MS * 1000);
        [live, learning, retire, reclaim, self.grace_until_us].into_iter().flatten().min()
    }

    /// Pieces of media that nobody can ask for any more and whose memory is not yet given back.
    pub fn retired_count(&self) -> usize {
        self.retired.len()
    }

    /// Lists what is late, ends what has waited long enough, forgets what is over.
    ///
    /// # Errors
    /// [`HomeError`]: end the publisher's connection.
    pub fn handle_time(&mut self, now: Now, pool: &mut BufferPool) -> Result<(), HomeError> {
        self.note(Some(now), Entry::Tick);
        let moved_on = self.move_on(now, pool);
        // What failed must not keep the stream from its end.
        if self.grace_until_us.is_some_and(|until| now.monotonic_us >= until) {
            match self.publisher.take() {
                None => self.end_session(now, pool),
                // It was to take over, and no key frame came.
                Some(mut publisher) => {
                    self.end_for_good(now, pool);
                    publisher.ingest.learn_anew();
                    self.publisher = Some(publisher);
                    self.watch_publisher(false, now);
                }
            }
        }
        while let Some(&(session, at_unix_ms)) = self.retiring.front() {
            if self.clock_unix_ms(now) < at_unix_ms {
                break;
            }
            self.retiring.pop_front();
            self.emit(EventBody::Retire(session), now)?;
        }
        self.reclaim(now, pool);
        moved_on
    }

    fn move_on(&mut self, now: Now, pool: &mut BufferPool) -> Result<(), HomeError> {
        if let Some(live) = &mut self.live {
            live.handle_time(now, pool)?;
        }
        self.drain_live(now)?;
        if let Some(step) = self.standby.as_mut().and_then(|standby| standby.ingest.handle_time(now)) {
            self.standby_step(step, None, now)?;
        }
        match self.publisher.as_mut().and_then(|publisher| publisher.ingest.handle_time(now)) {
            Some(step) => self.advance(step, now, pool),
            None => Ok(()),
        }
    }

    /// The clock of its events: the host's when the home was made, and what has passed since. Retention runs on it,
    /// which a step of the host's clock would end too early or never.
    fn clock_unix_ms(&self, now: Now) -> u64 {
        (self.since.unix_us + now.monotonic_us.saturating_sub(self.since.monotonic_us)) / 1000
    }

    /// What changed since the last call.
    pub fn take_output(&mut self) -> Output {
        self.output.recorded = self.recorder.as_mut().map(Recorder::take).unwrap_or_default();
        std::mem::take(&mut self.output)
    }

    /// How long the stream waits for the return of one that left so.
    fn grace_us(&self, departure: Departure) -> u64 {
        match departure {
            Departure::Unpublished => self.settings.unpublish_grace_us,
            Departure::Lost => self.settings.reconnect_grace_us,
        }
    }

    /// Whoever is on air from now on is watched for findings. `returns`: the session waits for it.
    fn watch_publisher(&mut self, returns: bool, now: Now) {
        let gop_ms = self.settings.wishes.segment_ms.max(self.settings.gop_ms.unwrap_or(0));
        self.findings.publisher_begins(gop_ms, returns, now);
        if let Some(metadata) = self.publisher.as_ref().and_then(|publisher| publisher.metadata.as_ref()) {
            self.findings.declare(metadata);
        }
    }

    fn publisher_gone(&mut self, now: Now) {
        if let Some(publisher) = self.publisher.take() {
            self.frames_before = self.frames_before + publisher.ingest.frames();
            self.findings.publisher_leaves(now);
        }
    }
}
