//! What a player loads, in order: parts where they are listed, whole segments where they no longer are.

use std::sync::Arc;
use std::time::Duration;

use super::media::{ByteRange, Map, MediaPlaylist, Part, Position, Segment};

/// One thing to load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece<'a> {
    /// Whether it is a part or a whole segment.
    pub kind: PieceKind,
    /// Its place; give it to [`MediaPlaylist::pieces_after`] to go on from there.
    pub position: Position,
    /// Its address, as it stands.
    pub uri: &'a Arc<str>,
    /// The bytes of that address, when it is not all of them.
    pub byte_range: Option<ByteRange>,
    /// DURATION or EXTINF.
    pub duration: Duration,
    /// Where it starts, counted from the start of the first listed segment.
    pub starts_at: Duration,
    /// INDEPENDENT=YES; a whole segment is taken to be.
    pub independent: bool,
    /// It cannot be loaded, and that is no fault.
    pub gap: bool,
    /// Its timeline does not continue that of the piece before: EXT-X-DISCONTINUITY stands before its segment, and
    /// it is the first of that.
    pub discontinuity: bool,
    /// Discontinuity sequence number of its segment.
    pub discontinuity_number: u64,
    /// A whole segment some of whose parts were already passed: its first bytes are not new.
    pub repeats: bool,
    /// The EXT-X-MAP in force.
    pub map: Option<&'a Arc<Map>>,
}

/// What kind of thing to load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PieceKind {
    /// A part.
    Part,
    /// A whole segment, because its parts are not listed.
    Segment,
}

/// What pieces of one segment have in common.
#[derive(Debug, Clone, Copy)]
struct Home<'a> {
    media_sequence: u64,
    discontinuity: bool,
    discontinuity_number: u64,
    gap: bool,
    map: Option<&'a Arc<Map>>,
}

impl MediaPlaylist {
    /// Everything after a place, or everything listed, in order and up to the live edge.
    ///
    /// A place older than what is listed continues at the first segment; one past the edge yields nothing.
    pub fn pieces_after(&self, after: Option<Position>) -> impl Iterator<Item = Piece<'_>> {
        let first_listed =
            self.segments.first().map_or(self.open.media_sequence, |segment| segment.media_sequence);
        let passed = after.map_or(0, |after| after.media_sequence.saturating_sub(first_listed));
        let passed_count = usize::try_from(passed).unwrap_or(usize::MAX).min(self.segments.len());
        let (passed, ahead) = self.segments.split_at(passed_count);
        let mut starts_at: Duration = passed.iter().map(|segment| segment.duration).sum();
        let open = Home {
            media_sequence: self.open.media_sequence,
            discontinuity: self.open.discontinuity,
            discontinuity_number: self.open.discontinuity_number,
            gap: self.open.gap,
            map: self.open.map.as_ref(),
        };
        let open_starts_at = starts_at + ahead.iter().map(|segment| segment.duration).sum::<Duration>();
        ahead
            .iter()
            .flat_map(move |segment| {
                let pieces = pieces_of(segment, starts_at, after);
                starts_at += segment.duration;
                pieces
            })
            .chain(part_pieces(&self.open.parts, open, open_starts_at))
            .filter(move |piece| after.is_none_or(|after| piece.position > after))
    }

    /// Where a player begins: the last independent piece that starts at or before the live edge less `hold_back`,
    /// or the first one after that. `None` when nothing listed can be loaded.
    ///
    /// Where no part is marked INDEPENDENT (audio of some servers), any piece will do.
    pub fn start_piece(&self, hold_back: Duration) -> Option<Piece<'_>> {
        let latest = self.duration().saturating_sub(hold_back);
        let pick = |is_usable: fn(&Piece<'_>) -> bool| {
            let mut last_before = None;
            for piece in self.pieces_after(None).filter(|piece| !piece.gap && is_usable(piece)) {
                if piece.starts_at > latest {
                    return last_before.or(Some(piece));
                }
                last_before = Some(piece);
            }
            last_before
        };
        let any_is_marked =
            self.pieces_after(None).any(|piece| piece.kind == PieceKind::Part && piece.independent);
        let independent = if any_is_marked { pick(|piece| piece.independent) } else { None };
        independent.or_else(|| pick(|_| true))
    }
}

/// The parts of a complete segment, or the segment itself when none is listed.
fn pieces_of(
    segment: &Segment,
    starts_at: Duration,
    after: Option<Position>,
) -> impl Iterator<Item = Piece<'_>> {
    let home = Home {
        media_sequence: segment.media_sequence,
        discontinuity: segment.discontinuity,
        discontinuity_number: segment.discontinuity_number,
        gap: segment.gap,
        map: segment.map.as_ref(),
    };
    let whole = segment.parts.is_empty().then(|| Piece {
        kind: PieceKind::Segment,
        position: Position::whole(segment.media_sequence),
        uri: &segment.uri,
        byte_range: segment.byte_range,
        duration: segment.duration,
        starts_at,
        independent: true,
        gap: segment.gap,
        discontinuity: segment.discontinuity,
        discontinuity_number: segment.discontinuity_number,
        repeats: after.is_some_and(|after| after.media_sequence == segment.media_sequence),
        map: home.map,
    });
    // The last parts are listed longest: of a segment whose first ones are gone, the rest still ends where it does.
    let parts_duration: Duration = segment.parts.iter().map(|part| part.duration).sum();
    let parts_start_at = starts_at + segment.duration.saturating_sub(parts_duration);
    whole.into_iter().chain(part_pieces(&segment.parts, home, parts_start_at))
}

fn part_pieces<'a>(
    parts: &'a [Part],
    home: Home<'a>,
    mut starts_at: Duration,
) -> impl Iterator<Item = Piece<'a>> {
    parts.iter().map(move |part| {
        let piece = Piece {
            kind: PieceKind::Part,
            position: Position { media_sequence: home.media_sequence, part_index: part.index },
            uri: &part.uri,
            byte_range: part.byte_range,
            duration: part.duration,
            starts_at,
            independent: part.independent,
            gap: part.gap || home.gap,
            discontinuity: home.discontinuity && part.index == 0,
            discontinuity_number: home.discontinuity_number,
            repeats: false,
            map: home.map,
        };
        starts_at += part.duration;
        piece
    })
}

#[cfg(test)]
mod tests {
    use super::super::samples::{HEALTHY, edited};
    use super::*;

    fn parse(text: &str) -> MediaPlaylist {
        MediaPlaylist::parse(text).unwrap()
    }

    fn uris_after(playlist: &MediaPlaylist, after: Option<Position>) -> Vec<&str> {
        playlist.pieces_after(after).map(|piece| &**piece.uri).collect()
    }

    fn at(media_sequence: u64, part_index: u32) -> Option<Position> {
        Some(Position { media_sequence, part_index })
    }

    #[test]
    fn walks_segments_then_parts_from_any_place() {
        let playlist = parse(HEALTHY);
        let all =
            ["s10", "s11", "s12", "p0", "p1", "p2", "p3", "p4", "p5", "p6"].map(|name| format!("{name}.m4s"));
        for (after, passed_count) in [
            (None, 0),
            (at(3, 7), 0),
            (Some(Position::whole(10)), 1),
            (Some(Position::whole(12)), 3),
            (at(13, 0), 4),
            (at(13, 3), 7),
            (Some(Position::whole(13)), 7),
            (at(14, 1), 9),
            (at(14, 2), 10),
            (at(14, 200), 10),
            (at(15, 0), 10),
            (at(u64::MAX, u32::MAX), 10),
        ] {
            assert_eq!(uris_after(&playlist, after), all.get(passed_count..).unwrap(), "{after:?}");
        }
    }

    #[test]
    fn a_segment_whose_parts_are_gone_is_loaded_again_as_a_whole() {
        let playlist = parse(HEALTHY);
        let piece = playlist.pieces_after(at(11, 2)).next().unwrap();
        assert_eq!(
            (piece.position, piece.repeats, piece.kind),
            (Position::whole(11), true, PieceKind::Segment)
        );
        assert!(playlist.pieces_after(at(11, 2)).skip(1).all(|piece| !piece.repeats));
    }

    #[test]
    fn pieces_know_where_they_start_and_what_came_before() {
        let playlist = parse(HEALTHY);
        let mut expected_start = Duration::ZERO;
        for piece in playlist.pieces_after(None) {
            assert_eq!(piece.starts_at, expected_start, "{}", piece.position);
            assert_eq!(piece.discontinuity, piece.position == Position::whole(12));
            assert_eq!(
                piece.map.map(|map| &*map.uri),
                Some(if piece.position.media_sequence < 12 { "i0.mp4" } else { "i1.mp4" })
            );
            expected_start += piece.duration;
        }
        assert_eq!(expected_start, playlist.duration());
        let from_the_middle: Vec<_> = playlist.pieces_after(at(13, 1)).collect();
        let from_the_start: Vec<_> = playlist.pieces_after(None).skip(5).collect();
        assert_eq!(from_the_middle, from_the_start);
    }

    #[test]
    fn a_player_begins_at_an_independent_piece_behind_the_hold_back() {
        // Starts: s10 0, s11 2, s12 4, p0 6, p1 6.5, p2 7, p3 7.5, p4 8, p5 8.5, p6 9; the edge is 9.5.
        let playlist = parse(HEALTHY);
        for (hold_back_ms, expected) in [
            (0, "p4.m4s"),
            (1_500, "p4.m4s"),
            (1_501, "p0.m4s"),
            (3_500, "p0.m4s"),
            (3_501, "s12.m4s"),
            (99_000, "s10.m4s"),
        ] {
            let piece = playlist.start_piece(Duration::from_millis(hold_back_ms)).unwrap();
            assert_eq!(&**piece.uri, expected, "{hold_back_ms} ms");
        }
    }

    #[test]
    fn a_player_passes_over_gaps_and_does_without_marks() {
        let unmarked = parse(&edited(&[(",INDEPENDENT=YES", "")]));
        assert_eq!(&**unmarked.start_piece(Duration::from_secs(1)).unwrap().uri, "p5.m4s");
        let gap = parse(&edited(&[("\"p4.m4s\",INDEPENDENT=YES", "\"p4.m4s\",INDEPENDENT=YES,GAP=YES")]));
        assert_eq!(&**gap.start_piece(Duration::from_secs(1)).unwrap().uri, "p0.m4s");
        let nothing = parse("#EXTM3U\n#EXT-X-TARGETDURATION:2\n");
        assert_eq!(nothing.start_piece(Duration::ZERO), None);
        let only_later = parse(
            "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-PART:DURATION=1,URI=\"a\"\n#EXT-X-PART:DURATION=1,URI=\"b\",INDEPENDENT=YES\n",
        );
        assert_eq!(&**only_later.start_piece(Duration::from_secs(9)).unwrap().uri, "b");
    }
}
