//! Media playlists: full and delta (draft-pantos-hls-rfc8216bis-22, sections 4.4.3 to 4.4.5).
//!
//! Every URI is relative to `/APP/KEY/SESSION/`, so a playlist holds under whatever session it was asked.
//! What stands in a playlist about a segment never changes while it is listed.

use super::text::{moment_units, push_date_time, push_integer, push_ms, push_units};
use super::window::{RenditionWindow, Segment, Session, Window};
use super::{RenditionId, SessionId};

/// The kinds of answer to a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Form {
    /// Everything.
    Full,
    /// Without the segments past the skip boundary: `_HLS_skip=YES`.
    Delta,
    /// As `Delta`, for `_HLS_skip=v2`, which may also leave date ranges out.
    DeltaV2,
}

/// Bytes of the head, hint and reports, generously.
const FRAME_BYTES: usize = 512;
/// Bytes of a segment's own lines beside its epoch and names, and of a part's.
const SEGMENT_BYTES: usize = 120;
const PART_BYTES: usize = 96;

impl Form {
    /// The form that a session can answer with: a delta needs something to skip, and a playlist without
    /// ENDLIST (6.2.5.1).
    pub(super) fn possible(self, session: &Session, window: &RenditionWindow) -> Self {
        let skippable = skip_boundary_ticks(session, window)
            .zip(window.listed().next())
            .is_some_and(|(boundary_ticks, oldest)| oldest.end_ticks() <= boundary_ticks);
        if skippable && !session.is_ended() { self } else { Self::Full }
    }
}

/// A rendition's playlist; `None` when the session or rendition is unknown or nothing is answered yet.
/// A delta without anything to skip is the full playlist.
pub fn render(window: &Window, session: SessionId, rendition: RenditionId, form: Form) -> Option<String> {
    let session = window.session(session).filter(|session| session.bandwidth.is_some())?;
    let window = session.rendition(rendition)?;
    let name = &session.start.renditions.get(usize::from(rendition.0))?.name;
    let form = form.possible(session, window);
    let boundary_ticks = skip_boundary_ticks(session, window).filter(|_| form != Form::Full);
    // 4.4.5.2: those that end at least CAN-SKIP-UNTIL before the end of the last complete segment.
    let skipped = boundary_ticks.map_or(0, |ticks| window.listed_count_until(ticks));
    let media_prefix = format!("../{}/{name}-", session.start.epoch);
    let (segments, parts) = window.listed().skip(skipped).fold((0, 0), |(segments, parts), segment| {
        let listed = if parts_are_listed(session, window, segment) { segment.parts.len() } else { 0 };
        (segments + 1, parts + listed)
    });
    let capacity = FRAME_BYTES * (1 + session.renditions.len())
        + segments * (SEGMENT_BYTES + media_prefix.len())
        + parts * (PART_BYTES + media_prefix.len());
    let out = String::with_capacity(capacity);
    Some(Writer { out, session, window, rendition, form, skipped, media_prefix }.write())
}

/// CAN-SKIP-UNTIL before the end of the last complete segment, on the session's timeline; `None` when
/// the session is younger.
fn skip_boundary_ticks(session: &Session, window: &RenditionWindow) -> Option<u64> {
    let skip_until_ticks = u64::from(session.start.can_skip_until_s) * u64::from(window.timescale().get());
    window.last_complete()?.end_ticks().checked_sub(skip_until_ticks)
}

struct Writer<'a> {
    out: String,
    session: &'a Session,
    window: &'a RenditionWindow,
    rendition: RenditionId,
    form: Form,
    /// Segments that a delta leaves out; 0 in the full form.
    skipped: usize,
    /// `../EPOCH/NAME-`: what the media URIs begin with.
    media_prefix: String,
}

impl Writer<'_> {
    fn write(mut self) -> String {
        self.write_head();
        if self.skipped > 0 {
            self.write_skip();
        }
        let mut last: Option<&Segment> = None;
        for segment in self.window.listed().skip(self.skipped) {
            self.write_segment(segment, last.map(|last| last.head.init));
            last = Some(segment);
        }
        // The tag goes with the segment that it precedes; here that one is yet to come.
        if last.is_some_and(|last| last.discontinuity_follows) {
            self.out.push_str("#EXT-X-DISCONTINUITY\n");
        }
        if self.session.is_ended() {
            self.out.push_str("#EXT-X-ENDLIST\n");
        } else {
            self.write_hints();
        }
        self.write_reports();
        self.out
    }

    fn write_head(&mut self) {
        let start = &self.session.start;
        // Section 8: SKIP needs 9; the form that may leave date ranges out needs 10.
        let version = if self.form == Form::DeltaV2 { 10 } else { 9 };
        self.integer("#EXTM3U\n#EXT-X-VERSION:", version);
        self.integer("\n#EXT-X-TARGETDURATION:", start.session.target_duration_s.into());
        self.ms("\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=", start.part_hold_back_ms);
        self.integer(",CAN-SKIP-UNTIL=", start.can_skip_until_s.into());
        self.ms(".0\n#EXT-X-PART-INF:PART-TARGET=", start.session.part_target_ms);
        let oldest = self.window.listed().next();
        let media_sequence = oldest.map_or(start.media_sequence_first, |oldest| oldest.head.media_sequence);
        self.integer("\n#EXT-X-MEDIA-SEQUENCE:", media_sequence);
        self.integer("\n#EXT-X-DISCONTINUITY-SEQUENCE:", self.window.discontinuity_sequence());
        self.out.push('\n');
    }

    fn write_skip(&mut self) {
        self.integer("#EXT-X-SKIP:SKIPPED-SEGMENTS=", self.skipped as u64);
        if self.form == Form::DeltaV2 {
            // Required in this form; we list no date ranges, so none was ever removed.
            self.out.push_str(",RECENTLY-REMOVED-DATERANGES=\"\"");
        }
        self.out.push('\n');
    }

    /// `init` is the one that holds so far: none at the start, and none after SKIP, since Shaka begins each
    /// parse without one.
    fn write_segment(&mut self, segment: &Segment, init: Option<u32>) {
        if segment.head.discontinuity {
            self.out.push_str("#EXT-X-DISCONTINUITY\n");
        }
        if init != Some(segment.head.init) {
            self.media_uri("#EXT-X-MAP:URI=\"", "i", segment.head.init.into(), ".mp4\"\n");
        }
        self.out.push_str("#EXT-X-PROGRAM-DATE-TIME:");
        push_date_time(&mut self.out, segment.head.program_date_time_unix_ms);
        self.out.push('\n');
        if parts_are_listed(self.session, self.window, segment) {
            self.write_parts(segment);
        }
        if segment.complete {
            if segment.is_gap() {
                self.out.push_str("#EXT-X-GAP\n");
            }
            self.out.push_str("#EXTINF:");
            self.duration(segment.start_ticks, segment.end_ticks());
            self.media_uri(",\n", "s", segment.head.media_sequence, ".m4s\n");
        }
    }

    fn write_parts(&mut self, segment: &Segment) {
        let mut from_ticks = segment.start_ticks;
        for (number, part) in (segment.part_first..).zip(&segment.parts) {
            let to_ticks = from_ticks + part.duration_ticks;
            self.out.push_str("#EXT-X-PART:DURATION=");
            self.duration(from_ticks, to_ticks);
            self.media_uri(",URI=\"", "", number, ".m4s\"");
            if part.independent && part.media.is_some() {
                self.out.push_str(",INDEPENDENT=YES");
            }
            if part.media.is_none() {
                self.out.push_str(",GAP=YES");
            }
            self.out.push('\n');
            from_ticks = to_ticks;
        }
    }

    fn write_hints(&mut self) {
        if let Some(number) = self.window.part_next() {
            self.media_uri("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"", "", number, ".m4s\"\n");
        }
        // Only between two segments is it certain that the next part uses the newest init segment; and VHS
        // ignores the parts of an open segment beside this hint.
        let last = self.window.listed().next_back().filter(|last| last.complete);
        let newest = self.window.init_newest();
        if let (Some(last), Some(newest)) = (last, newest)
            && newest > last.head.init
        {
            self.media_uri("#EXT-X-PRELOAD-HINT:TYPE=MAP,URI=\"", "i", newest.into(), ".mp4\"\n");
        }
    }

    fn write_reports(&mut self) {
        let session = self.session;
        for (rendition, window) in session.start.renditions.iter().zip(&session.renditions) {
            let Some(last) = window.last_part().filter(|_| rendition.id != self.rendition) else { continue };
            self.out.push_str("#EXT-X-RENDITION-REPORT:URI=\"");
            self.out.push_str(&rendition.name);
            self.integer(".m3u8\",LAST-MSN=", last.media_sequence);
            self.integer(",LAST-PART=", last.index);
            self.out.push('\n');
        }
    }

    fn integer(&mut self, before: &str, value: u64) {
        self.out.push_str(before);
        push_integer(&mut self.out, value);
    }

    fn ms(&mut self, before: &str, ms: u32) {
        self.out.push_str(before);
        push_ms(&mut self.out, ms.into());
    }

    fn media_uri(&mut self, before: &str, kind: &str, number: u64, after: &str) {
        self.out.push_str(before);
        self.out.push_str(&self.media_prefix);
        self.out.push_str(kind);
        push_integer(&mut self.out, number);
        self.out.push_str(after);
    }

    fn duration(&mut self, from_ticks: u64, to_ticks: u64) {
        let units = |ticks| moment_units(ticks, self.window.timescale());
        push_units(&mut self.out, units(to_ticks) - units(from_ticks));
    }
}

/// 6.2.2: EXT-X-PART goes once it lies more than three target durations before the end; a segment's parts
/// go together, so the one across that line keeps all of them.
fn parts_are_listed(session: &Session, window: &RenditionWindow, segment: &Segment) -> bool {
    let reach_s = 3 * u64::from(session.start.session.target_duration_s);
    let reach_ticks = reach_s * u64::from(window.timescale().get());
    window.end_ticks() - segment.end_ticks() < reach_ticks
}
