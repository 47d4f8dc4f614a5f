//! One stream's playlists and media as one shard knows them: every shard applies the same events and
//! renders the same bytes (draft-pantos-hls-rfc8216bis-22, sections 6.2.1 and 6.2.2).
//!
//! There is no clock: retention runs on the times of the events. What left a playlist stays fetchable for
//! its promised time, so a window holds about twice of what it lists.

mod lookup;
mod rendition;

use bytes::Bytes;

pub use lookup::{Lookup, SegmentMedia};
pub(super) use rendition::{RenditionWindow, Segment};

use super::{Close, Epoch, EventBody, Part, Rendition, RenditionId, SessionId, SessionStart, StreamEvent};
use crate::limits::{
    PREFILL_GAP_SEGMENTS_MAX, RENDITION_NAME_CHARS_MAX, RENDITIONS_MAX, RETAINED_PER_LISTED,
    RETAINED_SHRINK_PERCENT, SESSIONS_KEPT_MAX, WINDOW_SEGMENTS_MAX,
};
use crate::media::MediaRef;

/// One stream's sessions: the newest, live or ended, and those before it until they are retired.
#[derive(Debug, Default)]
pub struct Window {
    state: WindowState,
    /// Media let go by the last event.
    retired: Vec<MediaRef>,
}

/// A window's whole content as plain owned data; media bytes are shared, not copied.
#[derive(Debug, Clone, Default)]
pub struct WindowState {
    /// Oldest first; only the last may be live.
    sessions: Vec<Session>,
    /// Time of the newest event.
    at_unix_ms: u64,
    /// A new session will follow the ended one.
    announced: bool,
}

/// One session's playlists.
#[derive(Debug, Clone)]
pub(super) struct Session {
    pub start: SessionStart,
    /// By [`RenditionId`].
    pub renditions: Vec<RenditionWindow>,
    /// Set once every rendition has a complete segment and playlists are answered.
    pub bandwidth: Option<DeclaredBandwidth>,
    /// When it ended.
    ended_unix_ms: Option<u64>,
}

/// What the multivariant playlist declares, bits a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeclaredBandwidth {
    /// BANDWIDTH.
    pub peak_bits: u64,
    /// AVERAGE-BANDWIDTH.
    pub average_bits: u64,
}

/// What an event changed, for those who wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A session began; it is not answered yet.
    Started(SessionId),
    /// An init segment can be fetched.
    Init {
        /// Whose session.
        session: SessionId,
        /// Whose rendition.
        rendition: RenditionId,
        /// Its number.
        number: u32,
    },
    /// A rendition's playlist has grown.
    Updated {
        /// Whose session.
        session: SessionId,
        /// Whose rendition.
        rendition: RenditionId,
        /// The newest part: those who wait for it or an earlier one have it.
        last_part: PartKey,
        /// True when this update lists a part.
        part_listed: bool,
        /// Set when a segment was completed: those who wait for it have it, and those who wait for a part
        /// of it from `parts_count` on must be decided again.
        closed: Option<Closed>,
    },
    /// Playlists of the session are answered from here on.
    Playable(SessionId),
    /// The multivariant playlist names no session until the next one starts.
    Announced,
    /// The multivariant playlist describes the session's renditions anew.
    Formats(SessionId),
    /// ENDLIST: everybody who waits in the session is to be answered.
    Ended(SessionId),
    /// Nothing of the session can be fetched any more.
    Retired(SessionId),
}

/// A completed segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed {
    /// Its media sequence number.
    pub media_sequence: u64,
    /// Its parts.
    pub parts_count: u64,
}

/// A part by its place; ordered as the playlist is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartKey {
    /// Media sequence number of its segment.
    pub media_sequence: u64,
    /// Its index in the segment, from 0.
    pub index: u64,
}

/// Where a rendition's playlist ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Media sequence number of the newest complete segment.
    pub last_complete: Option<u64>,
    /// The newest part.
    pub last_part: Option<PartKey>,
    /// The number that the next part will have in its URL; `None` before the first.
    pub part_number_next: Option<u64>,
    /// Number of the newest init segment.
    pub init_newest: Option<u32>,
}

/// What is counted and bounded in a rendition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CountOf {
    /// Init segments.
    Inits,
    /// Parts.
    Parts,
    /// Segments.
    Segments,
}

/// An event that does not follow from those before it, or for which there is no room. It comes from our
/// own home shard, so it is a defect or a bound; the window is as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// A session is live already, or none is.
    #[error("the event does not fit the state of the session")]
    Session,
    /// The session's values break a rule of section 4.4.3 or a bound.
    #[error("session start: {0}")]
    Start(&'static str),
    /// There is no such rendition.
    #[error("rendition {0:?} is unknown")]
    Rendition(RenditionId),
    /// A number is not the one that comes next.
    #[error("rendition {rendition:?}: {what:?}: number {found}, expected {allowed}")]
    Number {
        /// Whose.
        rendition: RenditionId,
        /// Of what.
        what: CountOf,
        /// The event's.
        found: u64,
        /// The one expected, or the least.
        allowed: u64,
    },
    /// A segment names an init segment that was not announced, or an older one than its predecessor.
    #[error("rendition {rendition:?}: init segment {number} is unknown or older than the last")]
    InitUnknown {
        /// Whose.
        rendition: RenditionId,
        /// The number named.
        number: u32,
    },
    /// A part outside a segment, a second opening, a close of nothing, a promised discontinuity that
    /// did not come.
    #[error("rendition {rendition:?}: out of order")]
    Order {
        /// Whose.
        rendition: RenditionId,
    },
    /// A part has no duration or more than PART-TARGET.
    #[error("rendition {rendition:?}: a part of {found_ticks} ticks, PART-TARGET is {target_ms} ms")]
    PartDuration {
        /// Whose.
        rendition: RenditionId,
        /// Its duration.
        found_ticks: u64,
        /// PART-TARGET.
        target_ms: u32,
    },
    /// EXTINF would round above TARGETDURATION.
    #[error("rendition {rendition:?}: a segment would exceed TARGETDURATION {allowed_s}")]
    SegmentDuration {
        /// Whose.
        rendition: RenditionId,
        /// TARGETDURATION.
        allowed_s: u32,
    },
    /// A bound of `limits` is reached.
    #[error("rendition {rendition:?}: {what:?}: {allowed} are kept, there is no room for another")]
    Full {
        /// Whose.
        rendition: RenditionId,
        /// Of what.
        what: CountOf,
        /// The bound.
        allowed: usize,
    },
}

impl Window {
    /// A window without any session.
    pub fn new() -> Self {
        Self::default()
    }

    /// Everything that the window holds, to start a replica from; media is shared.
    pub fn snapshot(&self) -> WindowState {
        self.state.clone()
    }

    /// A window that goes on where the snapshot was taken.
    pub fn from_snapshot(state: WindowState) -> Self {
        Self { state, retired: Vec::new() }
    }

    /// Applies the next event: one atomic update of the playlists that it touches.
    ///
    /// # Errors
    /// [`EventError`] when the event contradicts those before it or a bound is reached; nothing has
    /// changed then. The home applies an event before it sends it anywhere.
    pub fn apply(&mut self, event: &StreamEvent) -> Result<Change, EventError> {
        self.retired.clear();
        let at_unix_ms = self.state.at_unix_ms.max(event.at_unix_ms);
        let change = match &event.body {
            EventBody::Start(start) => self.start_session(start)?,
            EventBody::Announce => {
                if self.live().is_some() {
                    return Err(EventError::Session);
                }
                self.state.announced = true;
                Change::Announced
            }
            EventBody::Formats(renditions) => {
                let session = self.live_session()?;
                check_formats(&session.start, renditions)?;
                session.start.renditions.clone_from(renditions);
                Change::Formats(session.start.session)
            }
            EventBody::Init(init) => {
                let (session, window, _) = self.live_rendition(init.rendition)?;
                window.add_init(init)?;
                Change::Init { session, rendition: init.rendition, number: init.number }
            }
            EventBody::Part(part) => self.update(part.rendition, Some(part), None, at_unix_ms)?,
            EventBody::Close(close) => self.update(close.rendition, None, Some(close), at_unix_ms)?,
            EventBody::PartAndClose(part, close) if part.rendition == close.rendition => {
                self.update(part.rendition, Some(part), Some(close), at_unix_ms)?
            }
            EventBody::PartAndClose(part, _) => return Err(EventError::Order { rendition: part.rendition }),
            &EventBody::Playable { bandwidth_bits, average_bandwidth_bits } => {
                let session = self.live_session()?;
                let every_has_one = session.renditions.iter().all(RenditionWindow::has_segment);
                if session.bandwidth.is_some() || !every_has_one {
                    return Err(EventError::Session);
                }
                let bandwidth =
                    DeclaredBandwidth { peak_bits: bandwidth_bits, average_bits: average_bandwidth_bits };
                session.bandwidth = Some(bandwidth);
                Change::Playable(session.start.session)
            }
            EventBody::End => {
                let session = self.live_session()?;
                session.ended_unix_ms = Some(at_unix_ms);
                Change::Ended(session.start.session)
            }
            &EventBody::Retire(id) => {
                let ended = |session: &Session| session.start.session == id && session.is_ended();
                let index = self.state.sessions.iter().position(ended).ok_or(EventError::Session)?;
                self.retire(index);
                Change::Retired(id)
            }
        };
        self.state.at_unix_ms = at_unix_ms;
        for window in self.state.sessions.iter_mut().flat_map(|session| &mut session.renditions) {
            window.expire(at_unix_ms, &mut self.retired);
        }
        Ok(change)
    }

    fn start_session(&mut self, start: &SessionStart) -> Result<Change, EventError> {
        let newest = self.state.sessions.last();
        let not_newer = |last: &Session| last.start.session.started_unix_ms >= start.session.started_unix_ms;
        if newest.is_some_and(|last| !last.is_ended() || not_newer(last)) {
            return Err(EventError::Session);
        }
        check_start(start)?;
        let renditions = start.renditions.iter().map(|rendition| {
            let earlier = self.state.renditions_named(start.epoch, &rendition.name);
            let (part_min, init_min) = earlier.fold((0, 0), |(part, init), (_, window)| {
                (part.max(window.part_floor()), init.max(window.init_floor()))
            });
            RenditionWindow::new(rendition.timescale, start, part_min, init_min)
        });
        let session = Session {
            renditions: renditions.collect(),
            start: start.clone(),
            bandwidth: None,
            ended_unix_ms: None,
        };
        if self.state.sessions.len() == SESSIONS_KEPT_MAX {
            self.retire(0);
        }
        self.state.sessions.push(session);
        self.state.announced = false;
        Ok(Change::Started(start.session))
    }

    fn update(
        &mut self,
        rendition: RenditionId,
        part: Option<&Part>,
        close: Option<&Close>,
        at_unix_ms: u64,
    ) -> Result<Change, EventError> {
        let part_bytes = part.and_then(|part| part.media.as_ref()).map_or(0, MediaRef::memory_bytes) as u64;
        let kept_bytes = self.retained_bytes() + part_bytes;
        let listed_bytes = match close {
            Some(_) => part_bytes + self.listed_bytes(),
            None => 0,
        };
        let (session, window, start) = self.live_rendition(rendition)?;
        match (part, close) {
            (Some(part), _) => window.check_part(part, start)?,
            (None, Some(close)) => window.check_close(close)?,
            (None, None) => {}
        }
        if let Some(part) = part {
            window.add_part(part, start);
        }
        let shrink = kept_bytes > start.retained_bytes_max / 100 * RETAINED_SHRINK_PERCENT
            || listed_bytes > start.retained_bytes_max / RETAINED_PER_LISTED;
        let closed = close.map(|close| window.close(close, start, shrink, at_unix_ms));
        let last_part = window.last_part().ok_or(EventError::Order { rendition })?;
        Ok(Change::Updated { session, rendition, last_part, part_listed: part.is_some(), closed })
    }

    /// Bytes that the live session's playlists list.
    fn listed_bytes(&self) -> u64 {
        let live = self.state.sessions.last().filter(|session| !session.is_ended());
        live.into_iter().flat_map(|session| &session.renditions).map(RenditionWindow::listed_bytes).sum()
    }

    fn live_session(&mut self) -> Result<&mut Session, EventError> {
        self.state.sessions.last_mut().filter(|session| !session.is_ended()).ok_or(EventError::Session)
    }

    fn live_rendition(
        &mut self,
        id: RenditionId,
    ) -> Result<(SessionId, &mut RenditionWindow, &SessionStart), EventError> {
        let session = self.live_session()?;
        let window = session.renditions.get_mut(usize::from(id.0)).ok_or(EventError::Rendition(id))?;
        Ok((session.start.session, window, &session.start))
    }

    fn retire(&mut self, index: usize) {
        let session = self.state.sessions.remove(index);
        self.retired.extend(session.renditions.into_iter().flat_map(RenditionWindow::into_media));
    }

    /// Media whose time was over with the last event, oldest first, so that its memory can be used again.
    /// The next event drops what nobody took.
    pub fn take_retired(&mut self) -> Vec<MediaRef> {
        std::mem::take(&mut self.retired)
    }

    /// Bytes of memory that parts and init segments take, listed or promised, all sessions. Buffers are twice that at
    /// most.
    pub fn retained_bytes(&self) -> u64 {
        let windows = self.state.sessions.iter().flat_map(|session| &session.renditions);
        windows.map(RenditionWindow::bytes).sum()
    }

    /// True when the stream holds more than it may even though its window has shrunk to three target
    /// durations, or no count is left: the publisher is to be refused.
    pub fn over_bound(&self) -> bool {
        let Some(newest) = self.state.sessions.last() else { return false };
        self.retained_bytes() > newest.start.retained_bytes_max
            || newest.renditions.iter().any(RenditionWindow::is_full)
    }

    /// The newest session, live or ended: the one that the multivariant playlist names.
    pub fn current(&self) -> Option<SessionId> {
        let newest = self
            .state
            .sessions
            .last()
            .filter(|session| !(session.ended_unix_ms.is_some() && self.state.announced));
        newest.map(|session| session.start.session)
    }

    /// The session that is not ended.
    pub fn live(&self) -> Option<SessionId> {
        self.state.sessions.last().filter(|session| !session.is_ended()).map(|session| session.start.session)
    }

    /// All that are kept, oldest first.
    pub fn sessions(&self) -> impl Iterator<Item = SessionId> {
        self.state.sessions.iter().map(|session| session.start.session)
    }

    /// A session's frozen values.
    pub fn start(&self, session: SessionId) -> Option<&SessionStart> {
        self.session(session).map(|session| &session.start)
    }

    /// What a session declares; `None` until it is playable.
    pub fn bandwidth(&self, session: SessionId) -> Option<DeclaredBandwidth> {
        self.session(session)?.bandwidth
    }

    /// True when the session's playlists are answered.
    pub fn is_playable(&self, session: SessionId) -> bool {
        self.bandwidth(session).is_some()
    }

    /// True when the session is kept and has its ENDLIST.
    pub fn is_ended(&self, session: SessionId) -> bool {
        self.session(session).is_some_and(Session::is_ended)
    }

    /// When everything that an ended session's playlists have promised is over, Unix milliseconds: the time to
    /// retire it. `None` for a live or unknown session.
    pub fn retire_at_unix_ms(&self, session: SessionId) -> Option<u64> {
        let session = self.session(session)?;
        let ended_unix_ms = session.ended_unix_ms?;
        let promised =
            |window: &RenditionWindow| window.promised_until_unix_ms(&session.start, ended_unix_ms);
        session.renditions.iter().map(promised).max()
    }

    /// Where a rendition's playlist ends.
    pub fn position(&self, session: SessionId, rendition: RenditionId) -> Option<Position> {
        let window = self.session(session)?.rendition(rendition)?;
        Some(Position {
            last_complete: window.last_complete().map(|segment| segment.head.media_sequence),
            last_part: window.last_part(),
            part_number_next: window.part_next(),
            init_newest: window.init_newest(),
        })
    }

    /// A rendition of a session by its name in URLs.
    pub fn rendition_id(&self, session: SessionId, name: &str) -> Option<RenditionId> {
        let renditions = &self.session(session)?.start.renditions;
        renditions.iter().find(|rendition| &*rendition.name == name).map(|rendition| rendition.id)
    }

    pub(super) fn session(&self, id: SessionId) -> Option<&Session> {
        self.state.sessions.iter().rev().find(|session| session.start.session == id)
    }
}

impl WindowState {
    /// Gives every media and init segment to `apply`: a shard wraps the bytes once for itself, so that
    /// cores do not fight over one reference count.
    pub fn for_each_bytes_mut(&mut self, mut apply: impl FnMut(&mut Bytes)) {
        for window in self.sessions.iter_mut().flat_map(|session| &mut session.renditions) {
            window.for_each_bytes_mut(&mut apply);
        }
    }

    /// The renditions whose media has this epoch and name in its URL, newest session first; true for a
    /// live one.
    fn renditions_named(&self, epoch: Epoch, name: &str) -> impl Iterator<Item = (bool, &RenditionWindow)> {
        let sessions = self.sessions.iter().rev().filter(move |session| session.start.epoch == epoch);
        sessions.filter_map(move |session| {
            let index = session.start.renditions.iter().position(|rendition| &*rendition.name == name)?;
            Some((!session.is_ended(), session.renditions.get(index)?))
        })
    }
}

impl Session {
    pub fn is_ended(&self) -> bool {
        self.ended_unix_ms.is_some()
    }

    pub fn rendition(&self, id: RenditionId) -> Option<&RenditionWindow> {
        self.renditions.get(usize::from(id.0))
    }
}

/// Nothing changes of what media and playlists are named and measured by.
fn check_formats(start: &SessionStart, renditions: &[Rendition]) -> Result<(), EventError> {
    let measures = |rendition: &Rendition| {
        let &Rendition { id, ref name, kind, timescale, .. } = rendition;
        (id, name.clone(), kind, timescale)
    };
    if !renditions.iter().map(measures).eq(start.renditions.iter().map(measures)) {
        return Err(EventError::Start("renditions are not those of the session"));
    }
    check_start(&SessionStart { renditions: renditions.to_vec(), ..start.clone() })
}

/// The rules for what is frozen with the first playlist.
fn check_start(start: &SessionStart) -> Result<(), EventError> {
    let SessionId { target_duration_s, part_target_ms, .. } = start.session;
    let quoted = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
    let name = |text: &str| {
        (1..=RENDITION_NAME_CHARS_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    let in_place = |index: usize| usize::from(start.renditions[index].id.0) == index;
    let named_once = |index: usize| {
        start.renditions[..index].iter().all(|earlier| earlier.name != start.renditions[index].name)
    };
    let count = start.renditions.len();
    let rules = [
        ((1..=RENDITIONS_MAX).contains(&count), "the number of renditions is out of bounds"),
        ((0..count).all(in_place), "renditions are not in the order of their ids"),
        ((0..count).all(named_once), "two renditions have one name"),
        (start.renditions.iter().all(|each| name(&each.name)), "a rendition's name is not [a-z0-9]+"),
        (start.renditions.iter().all(|each| quoted(&each.codecs)), "codecs cannot stand in quotes"),
        (target_duration_s > 0 && part_target_ms > 0, "a target of zero"),
        (
            u64::from(part_target_ms) <= u64::from(target_duration_s) * 1000,
            "PART-TARGET exceeds TARGETDURATION",
        ),
        (
            u64::from(start.part_hold_back_ms) >= 3 * u64::from(part_target_ms),
            "PART-HOLD-BACK is less than three PART-TARGETs",
        ),
        (
            u64::from(start.can_skip_until_s) >= 6 * u64::from(target_duration_s),
            "CAN-SKIP-UNTIL is less than six TARGETDURATIONs",
        ),
        (start.window_segments_min <= WINDOW_SEGMENTS_MAX, "the window has too many segments"),
        (start.prefill_gap_segments <= PREFILL_GAP_SEGMENTS_MAX, "too many GAP segments"),
        (
            start.media_sequence_first >= u64::from(start.prefill_gap_segments),
            "no media sequence numbers are left for the GAP segments",
        ),
        (start.media_sequence_first < u64::MAX / 2, "the media sequence number is too large"),
        (start.discontinuity_sequence_first < u64::MAX / 2, "the discontinuity sequence is too large"),
    ];
    match rules.iter().find(|(holds, _)| !holds) {
        Some(&(_, broken)) => Err(EventError::Start(broken)),
        None => Ok(()),
    }
}
