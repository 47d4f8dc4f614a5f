//! Playlist reloads with delivery directives (draft-pantos-hls-rfc8216bis-22, section 6.2.5).
//!
//! A reload is decided, never waited for: who must wait is told what for, and is decided again when that
//! has come.

use super::media_playlist::Form;
use super::window::{PartKey, RenditionWindow, Session, Window};
use super::{RenditionId, SessionId};

/// `_HLS_msn`, `_HLS_part` and `_HLS_skip` of a query. What is malformed is kept, since it counts for nothing
/// after ENDLIST.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Directives {
    media_sequence: Field<u64>,
    part_index: Field<u64>,
    skip: Field<Form>,
}

/// One directive of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Field<T> {
    #[default]
    Absent,
    Value(T),
    /// Not of its type, or given twice with different values.
    Malformed,
}

/// What a reload is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    /// The newest playlist, in this form.
    Ready(Form),
    /// Nothing yet: decide again when this is listed, or the session has ended.
    Wait(Until),
    /// An error at once.
    Reject(Reject),
}

/// What a reload waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Until {
    /// This part, or any later one.
    Part(PartKey),
    /// EXTINF and URI of this segment, or of a later one.
    Segment {
        /// Its media sequence number.
        media_sequence: u64,
    },
}

/// Why a reload is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Reject {
    /// A part was asked for without its segment.
    #[error("_HLS_part without _HLS_msn")]
    PartWithoutSegment,
    /// A directive's value is not a decimal integer below 2^64, or there are two.
    #[error("{0} is not one decimal integer below 2^64")]
    Malformed(&'static str),
    /// The segment lies too far ahead.
    #[error("_HLS_msn {asked} is too far ahead: at most {allowed}")]
    SegmentTooFarAhead {
        /// `_HLS_msn`.
        asked: u64,
        /// The last complete segment plus 2.
        allowed: u64,
    },
    /// The part lies too far ahead.
    #[error("_HLS_part {asked} is too far ahead: at most {allowed}")]
    PartTooFarAhead {
        /// `_HLS_part`.
        asked: u64,
        /// By the Advance Part Limit.
        allowed: u64,
    },
    /// There is no such session or rendition, or nothing of it is answered yet.
    #[error("no such playlist")]
    Unknown,
}

/// The playlist that answers a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Resolved {
    /// The session that answers, perhaps another than was asked for.
    pub session: SessionId,
    /// Its rendition.
    pub rendition: RenditionId,
    /// True when the client's older playlists are of another session, so that a delta would not fit them.
    pub full_only: bool,
}

impl Reject {
    /// The HTTP status.
    pub fn status(&self) -> u16 {
        if *self == Self::Unknown { 404 } else { 400 }
    }
}

impl Directives {
    /// Reads a query, without its `?`. The order does not matter, other parameters are ignored, names and
    /// values may be percent-encoded; the same value twice is one.
    pub fn parse(query: &str) -> Self {
        let mut directives = Self::default();
        for parameter in query.split('&') {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            if encodes(name, "_HLS_msn") {
                directives.media_sequence.add(integer(value));
            } else if encodes(name, "_HLS_part") {
                directives.part_index.add(integer(value));
            } else if encodes(name, "_HLS_skip") {
                // 6.2.5.1 defines two values; others, such as NO, ask for nothing.
                if encodes(value, "YES") {
                    directives.skip.add(Some(Form::Delta));
                } else if encodes(value, "v2") {
                    directives.skip.add(Some(Form::DeltaV2));
                }
            }
        }
        directives
    }

    /// True when the query had none: the response may be cached for a shorter time.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl<T: Copy + PartialEq> Field<T> {
    fn add(&mut self, value: Option<T>) {
        *self = match (*self, value) {
            (Self::Absent, Some(value)) => Self::Value(value),
            (Self::Value(before), Some(value)) if before == value => *self,
            _ => Self::Malformed,
        }
    }

    fn value(self, name: &'static str) -> Result<Option<T>, Reject> {
        match self {
            Self::Absent => Ok(None),
            Self::Value(value) => Ok(Some(value)),
            Self::Malformed => Err(Reject::Malformed(name)),
        }
    }
}

/// True when `text` is `plain` once percent-decoded.
fn encodes(text: &str, plain: &str) -> bool {
    decoded(text).eq(plain.bytes().map(Some))
}

/// A decimal-integer, percent-decoded.
fn integer(text: &str) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    decoded(text).try_fold(0u64, |value, byte| {
        let digit = byte.filter(u8::is_ascii_digit)? - b'0';
        value.checked_mul(10)?.checked_add(digit.into())
    })
}

/// The bytes of a percent-encoded text; `None` stands for a broken escape.
fn decoded(text: &str) -> impl Iterator<Item = Option<u8>> {
    let mut bytes = text.bytes();
    let hex = |byte: Option<u8>| char::from(byte?).to_digit(16);
    std::iter::from_fn(move || {
        let byte = bytes.next()?;
        if byte != b'%' {
            return Some(Some(byte));
        }
        let (high, low) = (hex(bytes.next()), hex(bytes.next()));
        Some(high.zip(low).and_then(|(high, low)| u8::try_from(high << 4 | low).ok()))
    })
}

/// Finds what answers a request for a session's rendition; `None` is 404.
///
/// An unknown session older than the live one's epoch is one that a crash has ended: its pages stay open if
/// the live session has the same TARGETDURATION and PART-TARGET, since nothing else of it matters to them.
pub fn resolve(window: &Window, asked: SessionId, rendition: &str) -> Option<Resolved> {
    let (session, full_only) = match window.start(asked) {
        Some(_) => (asked, false),
        None => {
            let live = window.live()?;
            let epoch = window.start(live)?.epoch;
            let fits = asked.started_unix_ms < epoch.started_unix_ms
                && asked.target_duration_s == live.target_duration_s
                && asked.part_target_ms == live.part_target_ms;
            (fits.then_some(live)?, true)
        }
    };
    if !window.is_playable(session) {
        return None;
    }
    Some(Resolved { session, rendition: window.rendition_id(session, rendition)?, full_only })
}

/// How far a reload's client is, in parts by their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The newest part that is listed.
    pub newest: u64,
    /// The first part that the client has not seen listed, if it said so; at most `newest` + 1.
    pub asked: Option<u64>,
}

/// How far the client of a reload is; `None` before there are parts.
pub fn progress(window: &Window, resolved: &Resolved, directives: &Directives) -> Option<Progress> {
    let session = window.session(resolved.session)?;
    let rendition = session.rendition(resolved.rendition)?;
    let newest = rendition.part_next()?.checked_sub(1)?;
    let (Field::Value(media_sequence), Field::Value(index)) =
        (directives.media_sequence, directives.part_index)
    else {
        return Some(Progress { newest, asked: None });
    };
    let asked = match rendition.segment(media_sequence) {
        Some(segment) => Some(segment.part_first.saturating_add(index).min(newest + 1)),
        None => (media_sequence > rendition.last_part()?.media_sequence).then_some(newest + 1),
    };
    Some(Progress { newest, asked })
}

/// Decides a reload by what is listed now.
pub fn decide(window: &Window, resolved: &Resolved, directives: &Directives) -> Reload {
    let session = window.session(resolved.session).filter(|session| session.bandwidth.is_some());
    let rendition = session.and_then(|session| session.rendition(resolved.rendition));
    let (Some(session), Some(rendition)) = (session, rendition) else {
        return Reload::Reject(Reject::Unknown);
    };
    // 6.2.5: a playlist with ENDLIST ignores every directive.
    if session.is_ended() {
        return Reload::Ready(Form::Full);
    }
    match awaited(session, rendition, directives) {
        Err(reject) => Reload::Reject(reject),
        Ok(Some(until)) => Reload::Wait(until),
        Ok(None) if resolved.full_only => Reload::Ready(Form::Full),
        Ok(None) => match directives.skip {
            Field::Value(form) => Reload::Ready(form.possible(session, rendition)),
            _ => Reload::Ready(Form::Full),
        },
    }
}

/// What a live playlist must list before it answers; `None` when it does.
fn awaited(
    session: &Session,
    window: &RenditionWindow,
    directives: &Directives,
) -> Result<Option<Until>, Reject> {
    let media_sequence = directives.media_sequence.value("_HLS_msn")?;
    let part_index = directives.part_index.value("_HLS_part")?;
    directives.skip.value("_HLS_skip")?;
    let Some(asked) = media_sequence else {
        // 6.2.5.2: a part means nothing without its segment.
        return if part_index.is_some() { Err(Reject::PartWithoutSegment) } else { Ok(None) };
    };
    let (Some(complete), Some(last)) = (window.last_complete(), window.last_part()) else {
        return Err(Reject::Unknown);
    };
    let complete_number = complete.head.media_sequence;
    let allowed = complete_number.saturating_add(2);
    if asked > allowed {
        return Err(Reject::SegmentTooFarAhead { asked, allowed });
    }
    let Some(index) = part_index else {
        let listed = asked <= complete_number;
        return Ok((!listed).then_some(Until::Segment { media_sequence: asked }));
    };
    if asked > complete_number {
        // The limit counts from the last part of the segment asked for, or from its beginning.
        let from = if asked == last.media_sequence { last.index } else { 0 };
        let allowed = from.saturating_add(advance_part_limit(session.start.session.part_target_ms));
        if index > allowed {
            return Err(Reject::PartTooFarAhead { asked: index, allowed });
        }
    }
    let mut target = PartKey { media_sequence: asked, index };
    // 6.2.5.2: an index past the last part of a complete segment means part 0 of the next one. Older
    // segments have a successor already.
    if asked == complete_number && index >= complete.parts.len() as u64 {
        target = PartKey { media_sequence: asked.saturating_add(1), index: 0 };
    }
    let listed = target.media_sequence < complete_number || target <= last;
    Ok((!listed).then_some(Until::Part(target)))
}

/// 6.2.5.2: three parts, or the parts of three seconds when they are shorter than one. It is compared with
/// whole numbers, so its fraction does not matter.
fn advance_part_limit(part_target_ms: u32) -> u64 {
    u64::from(if part_target_ms < 1000 { 3000 / part_target_ms.max(1) } else { 3 })
}
