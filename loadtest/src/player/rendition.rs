//! One rendition as one viewer follows it: the next reload, the next piece of media, and what became of them.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{Address, Channel, Listing, PartRecord};
use crate::address::Resource;
use crate::fault::{Fault, FaultKind};
use crate::playlist::{ByteRange, PieceKind, Position};
use crate::scenario::Mode;

/// A failed reload is asked again without directives after this, as hls.js does.
const AGAIN_AFTER_US: u64 = 1_000_000;
/// A blocking reload may take three target durations, and then the server says 503 (8216bis, 6.2.5.2).
const RELOAD_GRACE: Duration = Duration::from_secs(2);
/// Listings whose arrival is remembered: those of a viewer that takes nothing.
const FIRST_LISTED_MAX: usize = 1024;
/// Any request may take at least this.
const WITHIN_MIN: Duration = Duration::from_secs(5);

/// A reload to make.
#[derive(Debug, Clone)]
pub struct Reload {
    /// What to ask for.
    pub resource: Rc<Resource>,
    /// When, by the monotonic clock.
    pub due_us: u64,
    /// The segment, and the part of it, that the answer must list; `None` for a plain reload.
    pub asked: Option<(u64, Option<u32>)>,
    /// How long it may take.
    pub within: Duration,
}

/// What kind of media is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WantedKind {
    /// A part that is listed.
    Part,
    /// A segment that is listed.
    Segment,
    /// A part that is hinted: the answer comes when it exists.
    Hint,
}

/// Media to load.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Part, segment or hinted part.
    pub kind: WantedKind,
    /// Where it is.
    pub address: Rc<Address>,
    /// The bytes of it, when not all.
    pub byte_range: Option<ByteRange>,
    /// Where its init segment is.
    pub map: Option<Rc<Address>>,
    /// When the playlist arrived that lists it.
    pub listed_us: u64,
    /// What the playlist says of it; `None` for a hint.
    pub listed: Option<ListedPiece>,
}

/// What a playlist says of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedPiece {
    /// Its place.
    pub position: Position,
    /// Its duration.
    pub duration: Duration,
    /// A player can begin with it.
    pub independent: bool,
    /// It continues the piece that was taken before it.
    pub continues: bool,
    /// It was listed already when the viewer came: its age says nothing about the server.
    pub is_backlog: bool,
    /// When it ends, by the playlist's dates, in Unix microseconds.
    pub ends_unix_us: Option<i64>,
}

/// Something that playback must hear of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// Nothing is there to load.
    Nothing,
    /// Media that cannot be loaded by design: it counts as received.
    Gap(Duration),
    /// The viewer fell behind what is listed and goes on near the live edge: so many parts are lost to it.
    Lost(u64),
}

/// What became of a reload.
#[derive(Debug)]
pub enum Reloaded {
    /// It brought something.
    Advanced,
    /// It brought nothing new.
    Unchanged,
    /// It could not be used: this is wrong with it.
    Failed(Fault),
}

/// One rendition of one viewer.
pub struct Rendition {
    channel: Rc<RefCell<Channel>>,
    mode: Mode,
    listing: Option<Rc<Listing>>,
    /// When the listing arrived here.
    listed_us: u64,
    /// When the places that were not taken yet were first listed here, the oldest first.
    first_listed: VecDeque<(Position, u64)>,
    /// Why the next reload is a plain one, and when it is due.
    plain_due_us: Option<u64>,
    /// The last piece that was loaded or passed over.
    taken: Option<Position>,
    /// The newest place that was listed when playback was begun, or went on after a pause.
    began_at: Option<Position>,
    /// The viewer has paused: what the next reload brings was there before it asked.
    has_paused: bool,
    /// The record of the piece before the next, when they are continuous.
    previous: Option<Arc<PartRecord>>,
    /// A hinted part that came: its address as it stood in the hint, and its record.
    hinted: Option<Hinted>,
    /// The hint that was last asked for.
    hint_asked: Option<Arc<str>>,
}

struct Hinted {
    uri: Arc<str>,
    record: Arc<PartRecord>,
}

impl Rendition {
    /// A rendition of which nothing was asked yet.
    pub fn new(channel: Rc<RefCell<Channel>>, mode: Mode) -> Self {
        Self {
            channel,
            mode,
            listing: None,
            listed_us: 0,
            first_listed: VecDeque::new(),
            plain_due_us: Some(0),
            taken: None,
            began_at: None,
            has_paused: false,
            previous: None,
            hinted: None,
            hint_asked: None,
        }
    }

    /// What is listed.
    pub fn listing(&self) -> Option<&Rc<Listing>> {
        self.listing.as_ref()
    }

    /// Path of its playlist, for reports.
    pub fn path(&self) -> String {
        self.channel.borrow().resource.path().to_owned()
    }

    /// True when nothing will be added, and all of it was taken.
    pub fn is_done(&self) -> bool {
        self.listing.as_ref().is_some_and(|listing| {
            listing.playlist.ended && listing.playlist.pieces_after(self.taken).next().is_none()
        })
    }

    /// True when its playlist will not change any more.
    pub fn has_ended(&self) -> bool {
        self.listing.as_ref().is_some_and(|listing| listing.playlist.ended)
    }

    /// The next reload.
    pub fn next_reload(&self) -> Reload {
        let plain = |due_us| Reload {
            resource: Rc::new(self.channel.borrow().resource.clone()),
            due_us,
            asked: None,
            within: self.within(),
        };
        let Some(listing) = &self.listing else { return plain(0) };
        if let Some(due_us) = self.plain_due_us {
            return plain(due_us);
        }
        let playlist = &listing.playlist;
        let can_block = playlist.server_control.is_some_and(|control| control.can_block_reload);
        if self.mode == Mode::Segments || !can_block {
            // 8216bis, 6.3.4: a target duration after a change.
            let step = match playlist.part_target {
                Some(part_target) if self.mode != Mode::Segments => part_target,
                _ => Duration::from_secs(u64::from(playlist.target_duration_s)),
            };
            return plain(self.listed_us + step.as_micros() as u64);
        }
        let can_skip = playlist.server_control.is_some_and(|control| control.can_skip_until.is_some());
        let resource = listing.reload(self.mode == Mode::Delta && can_skip);
        let asked = Some(playlist.next_reload());
        Reload { resource, due_us: self.listed_us, asked, within: self.within() }
    }

    fn within(&self) -> Duration {
        let target_s =
            self.listing.as_ref().map_or(0, |listing| u64::from(listing.playlist.target_duration_s));
        (3 * Duration::from_secs(target_s) + RELOAD_GRACE).max(WITHIN_MIN)
    }

    /// How long a piece of media may take. What is listed is there (8216bis, 6.2.1).
    pub fn media_within(&self) -> Duration {
        self.within()
    }

    /// Playback begins: what is listed by now was there before the viewer.
    pub fn began(&mut self) {
        self.began_at = self.listing.as_ref().and_then(|listing| listing.playlist.newest());
    }

    /// The viewer has paused, and goes on.
    pub fn paused(&mut self) {
        self.has_paused = true;
    }

    /// When a place was first listed here.
    fn first_listed_us(&self, position: Position) -> u64 {
        let found = self.first_listed.iter().find(|(newest, _)| *newest >= position);
        found.map_or(self.listed_us, |(_, listed_us)| *listed_us)
    }

    /// When the frames of the last piece were sent, in Unix microseconds, and how long pieces last: what those that
    /// were lost since are reckoned from.
    pub fn last_sent(&self) -> Option<(u64, u64)> {
        let sent_us = self.previous.as_ref()?.read()?.summary.as_ref()?.stamps()?.newest_sent_unix_us;
        Some((sent_us, self.listing.as_ref()?.playlist.part_target?.as_micros() as u64))
    }

    /// An answer of status 200 to a reload.
    pub fn reloaded(
        &mut self,
        reload: &Reload,
        body: &Bytes,
        gzip: bool,
        asked_us: u64,
        now_us: u64,
    ) -> (Reloaded, Vec<Fault>) {
        let read = self.channel.borrow_mut().read(body, gzip, self.listing.as_ref(), asked_us, now_us);
        let mut faults = read.faults;
        let listing = match read.listing {
            Ok(listing) => listing,
            Err(fault) => {
                self.reload_failed(now_us);
                return (Reloaded::Failed(fault), faults);
            }
        };
        let newest = listing.playlist.newest();
        let is_same = self.listing.as_ref().is_some_and(|before| {
            Rc::ptr_eq(before, &listing)
                || (before.playlist.newest() == newest
                    && before.playlist.segments.len() == listing.playlist.segments.len()
                    && before.playlist.ended == listing.playlist.ended)
        });
        if let Some((media_sequence, part_index)) = reload.asked
            && !listing.playlist.answers(media_sequence, part_index)
        {
            let wanted = part_index.map_or_else(
                || Position::whole(media_sequence).to_string(),
                |part_index| Position { media_sequence, part_index }.to_string(),
            );
            let kind = if is_same { FaultKind::ReloadUnchanged } else { FaultKind::ReloadEarly };
            let found = newest.map_or_else(|| "nothing".to_owned(), |newest| newest.to_string());
            faults.push(Fault::new(kind, format!("{wanted} was asked for, the answer ends with {found}")));
        }
        if let Some(newest) = newest.filter(|_| !is_same) {
            let taken = self.taken;
            self.first_listed.retain(|(place, _)| taken.is_none_or(|taken| *place > taken));
            if self.first_listed.len() == FIRST_LISTED_MAX {
                self.first_listed.pop_front();
            }
            self.first_listed.push_back((newest, now_us));
        }
        if std::mem::take(&mut self.has_paused) {
            self.began_at = newest;
        }
        let target_us = u64::from(listing.playlist.target_duration_s) * 1_000_000;
        // hls.js: after an answer that brought nothing, half a target duration.
        self.plain_due_us = is_same.then_some(now_us + target_us / 2);
        self.listing = Some(listing);
        self.listed_us = now_us;
        (if is_same { Reloaded::Unchanged } else { Reloaded::Advanced }, faults)
    }

    /// A reload failed.
    pub fn reload_failed(&mut self, now_us: u64) {
        self.plain_due_us = Some(now_us + AGAIN_AFTER_US);
    }

    /// How far from its live edge playback begins.
    pub fn hold_back(&self) -> Option<Duration> {
        let playlist = &self.listing.as_ref()?.playlist;
        let three_targets = Duration::from_secs(3 * u64::from(playlist.target_duration_s));
        Some(match self.mode {
            Mode::Segments => {
                playlist.server_control.and_then(|control| control.hold_back).unwrap_or(three_targets)
            }
            _ => playlist.hold_back(),
        })
    }

    /// Live edge by the playlist's dates, in Unix microseconds.
    pub fn edge_unix_us(&self) -> Option<i64> {
        self.listing.as_ref()?.playlist.edge_unix_us()
    }

    /// Chooses where to begin, `hold_back` before the live edge. Returns how long before that point the first
    /// piece begins; `None` when there is nothing to begin with.
    pub fn start(&mut self, hold_back: Duration) -> Option<Duration> {
        let playlist = &self.listing.as_ref()?.playlist;
        let (starts_at, before) = match self.mode {
            Mode::Segments => {
                let point = playlist.segments_duration().saturating_sub(hold_back);
                let mut starts_at = Duration::ZERO;
                let mut found = None;
                for segment in &playlist.segments {
                    if found.is_some() && starts_at > point {
                        break;
                    }
                    found = Some((starts_at, segment.media_sequence));
                    starts_at += segment.duration;
                }
                let (starts_at, media_sequence) = found?;
                (starts_at, media_sequence.checked_sub(1).map(Position::whole))
            }
            _ => {
                let piece = playlist.start_piece(hold_back)?;
                let before = playlist
                    .pieces_after(None)
                    .map(|piece| piece.position)
                    .take_while(|position| *position < piece.position)
                    .last();
                let before_all = piece.position.media_sequence.checked_sub(1).map(Position::whole);
                (piece.starts_at, before.or(before_all))
            }
        };
        let edge = match self.mode {
            Mode::Segments => playlist.segments_duration(),
            _ => playlist.duration(),
        };
        let lead = edge.saturating_sub(hold_back).saturating_sub(starts_at);
        self.taken = before;
        self.previous = None;
        Some(lead)
    }

    /// The next media to load.
    ///
    /// # Errors
    /// What else there is to know when there is none.
    pub fn next_wanted(&mut self) -> Result<Wanted, Taken> {
        let Some(listing) = self.listing.clone() else { return Err(Taken::Nothing) };
        let playlist = &listing.playlist;
        let behind = self.taken.is_some_and(|taken| {
            let is_gone = taken.media_sequence + 1 < playlist.media_sequence && !playlist.segments.is_empty();
            // Numbers fell: what was taken is of another time.
            let is_ahead =
                playlist.newest().is_some_and(|newest| newest.media_sequence + 1 < taken.media_sequence);
            is_gone || is_ahead
        });
        if behind {
            return Err(self.catch_up(&listing));
        }
        if self.mode == Mode::Segments {
            return self.next_segment(&listing);
        }
        let piece = playlist.pieces_after(self.taken).next();
        let Some(piece) = piece else { return self.next_hint(&listing) };
        if piece.repeats {
            return Err(self.catch_up(&listing));
        }
        if piece.gap {
            (self.taken, self.previous) = (Some(piece.position), None);
            return Err(Taken::Gap(piece.duration));
        }
        let Ok(address) = listing.address(piece.uri) else {
            (self.taken, self.previous) = (Some(piece.position), None);
            return Err(Taken::Lost(1));
        };
        let edge = playlist.edge_unix_us();
        let to_edge = playlist.duration().saturating_sub(piece.starts_at + piece.duration);
        let listed = ListedPiece {
            position: piece.position,
            duration: piece.duration,
            independent: piece.independent,
            continues: !piece.discontinuity,
            is_backlog: self.is_backlog(piece.position),
            ends_unix_us: edge.map(|edge| edge - to_edge.as_micros() as i64),
        };
        Ok(Wanted {
            kind: if piece.kind == PieceKind::Part { WantedKind::Part } else { WantedKind::Segment },
            address,
            byte_range: piece.byte_range,
            map: piece.map.and_then(|map| listing.address(&map.uri).ok()),
            listed_us: self.first_listed_us(piece.position),
            listed: Some(listed),
        })
    }

    fn next_segment(&mut self, listing: &Rc<Listing>) -> Result<Wanted, Taken> {
        let playlist = &listing.playlist;
        let passed = self.taken.map_or(0, |taken| taken.media_sequence + 1);
        let segment = playlist.segments.iter().find(|segment| segment.media_sequence >= passed);
        let Some(segment) = segment else { return Err(Taken::Nothing) };
        let position = Position::whole(segment.media_sequence);
        if segment.gap {
            (self.taken, self.previous) = (Some(position), None);
            return Err(Taken::Gap(segment.duration));
        }
        let Ok(address) = listing.address(&segment.uri) else {
            (self.taken, self.previous) = (Some(position), None);
            return Err(Taken::Lost(1));
        };
        Ok(Wanted {
            kind: WantedKind::Segment,
            address,
            byte_range: segment.byte_range,
            map: segment.map.as_ref().and_then(|map| listing.address(&map.uri).ok()),
            listed_us: self.first_listed_us(position),
            listed: Some(ListedPiece {
                position,
                duration: segment.duration,
                independent: true,
                continues: !segment.discontinuity,
                is_backlog: self.is_backlog(position),
                ends_unix_us: None,
            }),
        })
    }

    /// A segment that was open is complete later: its last parts were not there.
    fn is_backlog(&self, position: Position) -> bool {
        let Some(began_at) = self.began_at else { return false };
        match position.part_index {
            Position::WHOLE => position.media_sequence < began_at.media_sequence,
            _ => position <= began_at,
        }
    }

    fn next_hint(&mut self, listing: &Rc<Listing>) -> Result<Wanted, Taken> {
        if self.mode != Mode::Hint || listing.playlist.ended {
            return Err(Taken::Nothing);
        }
        let Some(hint) = listing.playlist.part_hint() else { return Err(Taken::Nothing) };
        let is_new = self.hint_asked.as_ref() != Some(&hint.uri);
        // Byte ranges without an end are not asked for: no server is known to answer them rightly.
        let is_whole = hint.byte_range_start == 0 && hint.byte_range_length.is_none();
        if !is_new || !is_whole {
            return Err(Taken::Nothing);
        }
        let Ok(address) = listing.address(&hint.uri) else { return Err(Taken::Nothing) };
        self.hint_asked = Some(Arc::clone(&hint.uri));
        let open = &listing.playlist.open;
        Ok(Wanted {
            kind: WantedKind::Hint,
            address,
            byte_range: None,
            map: open.map.as_ref().and_then(|map| listing.address(&map.uri).ok()),
            listed_us: self.listed_us,
            listed: None,
        })
    }

    /// Goes on near the live edge; says how many parts are lost.
    fn catch_up(&mut self, listing: &Rc<Listing>) -> Taken {
        let playlist = &listing.playlist;
        let taken = self.taken;
        let hold_back = self.hold_back().unwrap_or_default();
        if self.start(hold_back).is_none() {
            return Taken::Nothing;
        }
        // Parts that are not listed any more are counted by their target duration.
        let missed_segments = self
            .taken
            .zip(taken)
            .map_or(0, |(now, before)| now.media_sequence.saturating_sub(before.media_sequence));
        let part_us = playlist.part_target.map_or(0, |target| target.as_micros() as u64);
        let segment_us = u64::from(playlist.target_duration_s) * 1_000_000;
        let parts_a_segment =
            if part_us == 0 || self.mode == Mode::Segments { 1 } else { segment_us / part_us };
        Taken::Lost((missed_segments * parts_a_segment.max(1)).max(1))
    }

    /// The hinted part that came, if it is the one that is wanted now.
    pub fn take_hinted(&mut self, wanted: &Wanted) -> Option<Arc<PartRecord>> {
        self.hinted.take_if(|hinted| hinted.uri == wanted.address.url).map(|hinted| hinted.record)
    }

    /// A hinted part came. True when one that came before it was never listed.
    pub fn keep_hinted(&mut self, wanted: &Wanted, record: Arc<PartRecord>) -> bool {
        self.hinted.replace(Hinted { uri: Arc::clone(&wanted.address.url), record }).is_some()
    }

    /// A listed piece was loaded. Returns the record of the piece before it, if they are continuous.
    pub fn loaded(&mut self, piece: &ListedPiece, record: &Arc<PartRecord>) -> Option<Arc<PartRecord>> {
        self.taken = Some(piece.position);
        let previous = self.previous.replace(Arc::clone(record));
        previous.filter(|_| piece.continues)
    }

    /// A listed piece could not be had, and is passed over.
    pub fn passed_over(&mut self, piece: &ListedPiece) {
        (self.taken, self.previous) = (Some(piece.position), None);
    }
}
