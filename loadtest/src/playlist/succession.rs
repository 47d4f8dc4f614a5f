//! Judges a media playlist by the one that was known before it (8216bis, 6.2.1 and 6.2.2).
//!
//! A server may add lines at the end, remove segments and parts from the front, and nothing else.

use std::fmt;

use super::Findings;
use super::media::{ByteRange, Map, MediaPlaylist, Part, PlaylistKind, Position, Segment};
use super::text::{Seconds, Shown};
use crate::fault::{Fault, FaultKind};

/// What must hold between a playlist and a later one of the same address; both whole, so merged where they were
/// delta updates. Any number of versions may lie between them.
pub fn check_succession(previous: &MediaPlaylist, next: &MediaPlaylist) -> Vec<Fault> {
    let mut findings = Findings::default();
    check_frozen_values(previous, next, &mut findings);
    check_sequence_numbers(previous, next, &mut findings);
    // Numbers that fell mean a server that began anew: comparing what they name would only repeat it.
    if findings.faults.iter().any(|fault| fault.kind == FaultKind::SequenceBack) {
        return findings.faults;
    }
    check_removal(previous, next, &mut findings);
    for segment in &next.segments {
        if let Some(before) = previous.segment(segment.media_sequence) {
            check_same_segment(before, segment, &mut findings);
        }
    }
    check_parts(previous, next, &mut findings);
    check_open_segment(previous, next, &mut findings);
    check_hint(previous, next, &mut findings);
    findings.faults
}

fn changed(
    findings: &mut Findings,
    what: impl fmt::Display,
    before: impl fmt::Display,
    after: impl fmt::Display,
) {
    findings.add(FaultKind::PlaylistChanged, || {
        format!("{what} was {before} and is {after}; it must not change")
    });
}

fn check_frozen_values(previous: &MediaPlaylist, next: &MediaPlaylist, findings: &mut Findings) {
    if previous.target_duration_s != next.target_duration_s {
        changed(findings, "TARGETDURATION", previous.target_duration_s, next.target_duration_s);
    }
    let or_none =
        |value: Option<std::time::Duration>| value.map_or("none".to_owned(), |it| Seconds(it).to_string());
    if previous.part_target != next.part_target {
        changed(findings, "PART-TARGET", or_none(previous.part_target), or_none(next.part_target));
    }
    let before = previous.server_control.unwrap_or_default();
    let after = next.server_control.unwrap_or_default();
    for (name, before, after) in [
        ("PART-HOLD-BACK", before.part_hold_back, after.part_hold_back),
        ("HOLD-BACK", before.hold_back, after.hold_back),
        ("CAN-SKIP-UNTIL", before.can_skip_until, after.can_skip_until),
    ] {
        if before != after {
            changed(findings, name, or_none(before), or_none(after));
        }
    }
    for (name, before, after) in [
        ("CAN-BLOCK-RELOAD", before.can_block_reload, after.can_block_reload),
        ("CAN-SKIP-DATERANGES", before.can_skip_dateranges, after.can_skip_dateranges),
    ] {
        if before != after {
            changed(findings, name, before, after);
        }
    }
    if previous.ended && !next.ended {
        changed(findings, "EXT-X-ENDLIST", "there", "gone");
    }
}

fn check_sequence_numbers(previous: &MediaPlaylist, next: &MediaPlaylist, findings: &mut Findings) {
    for (name, before, after) in [
        ("EXT-X-MEDIA-SEQUENCE", previous.media_sequence, next.media_sequence),
        ("EXT-X-DISCONTINUITY-SEQUENCE", previous.discontinuity_sequence, next.discontinuity_sequence),
    ] {
        if after < before {
            findings.add(FaultKind::SequenceBack, || {
                format!("{name} was {before} and is {after}; it must not fall")
            });
        }
    }
}

/// 6.2.2: segments are removed from the front, in order.
fn check_removal(previous: &MediaPlaylist, next: &MediaPlaylist, findings: &mut Findings) {
    if next.open.media_sequence < previous.open.media_sequence {
        findings.add(FaultKind::PlaylistChanged, || {
            format!(
                "segments {} to {} were the last and are gone; segments are removed from the front only",
                next.open.media_sequence,
                previous.open.media_sequence - 1
            )
        });
    }
    // 4.4.3.5: an EVENT only grows, a VOD does not change.
    if previous.kind.is_some() && next.media_sequence > previous.media_sequence {
        let name = if previous.kind == Some(PlaylistKind::Event) { "EVENT" } else { "VOD" };
        findings.add(FaultKind::PlaylistChanged, || {
            format!(
                "segments {} to {} were removed; a playlist of type {name} keeps all",
                previous.media_sequence,
                next.media_sequence - 1
            )
        });
    }
}

fn check_same_segment(before: &Segment, after: &Segment, findings: &mut Findings) {
    let name = |what: &str| format!("{what} of segment {}", after.media_sequence);
    if before.uri != after.uri {
        changed(findings, name("the address"), Shown(&before.uri), Shown(&after.uri));
    }
    if before.byte_range != after.byte_range {
        changed(findings, name("the byte range"), Range(before.byte_range), Range(after.byte_range));
    }
    if before.duration != after.duration {
        changed(findings, name("EXTINF"), Seconds(before.duration), Seconds(after.duration));
    }
    if before.gap != after.gap {
        changed(findings, name("EXT-X-GAP"), before.gap, after.gap);
    }
    check_segment_tags(&Tags::of(before), &Tags::of(after), findings);
}

/// What the tags before a segment's first part say.
struct Tags<'a> {
    media_sequence: u64,
    discontinuity: bool,
    discontinuity_number: u64,
    program_date_time_unix_us: Option<i64>,
    map: Option<&'a Map>,
}

impl<'a> Tags<'a> {
    fn of(segment: &'a Segment) -> Self {
        Self {
            media_sequence: segment.media_sequence,
            discontinuity: segment.discontinuity,
            discontinuity_number: segment.discontinuity_number,
            program_date_time_unix_us: segment.program_date_time_unix_us,
            map: segment.map.as_deref(),
        }
    }

    fn of_open(playlist: &'a MediaPlaylist) -> Self {
        let open = &playlist.open;
        Self {
            media_sequence: open.media_sequence,
            discontinuity: open.discontinuity,
            discontinuity_number: open.discontinuity_number,
            program_date_time_unix_us: open.program_date_time_unix_us,
            map: open.map.as_deref(),
        }
    }
}

fn check_segment_tags(before: &Tags<'_>, after: &Tags<'_>, findings: &mut Findings) {
    let name = |what: &str| format!("{what} of segment {}", after.media_sequence);
    if before.discontinuity != after.discontinuity {
        changed(findings, name("EXT-X-DISCONTINUITY"), before.discontinuity, after.discontinuity);
    } else if before.discontinuity_number != after.discontinuity_number {
        // 6.2.2: EXT-X-DISCONTINUITY-SEQUENCE rises by one for each such tag that is removed, and only then.
        changed(
            findings,
            name("the discontinuity number"),
            before.discontinuity_number,
            after.discontinuity_number,
        );
    }
    // A date that is no longer stated says nothing; neither does a map that the first playlist had not yet.
    if let (Some(before), Some(after)) = (before.program_date_time_unix_us, after.program_date_time_unix_us)
        && before != after
    {
        let moved_us = after.saturating_sub(before);
        findings.add(FaultKind::PlaylistChanged, || {
            format!("{} moved by {moved_us} us; it must not change", name("EXT-X-PROGRAM-DATE-TIME"))
        });
    }
    if let (Some(before), Some(after)) = (before.map, after.map)
        && before != after
    {
        changed(findings, name("EXT-X-MAP"), Shown(&before.uri), Shown(&after.uri));
    }
}

/// Every part that both list, of segments complete and open.
fn check_parts(previous: &MediaPlaylist, next: &MediaPlaylist, findings: &mut Findings) {
    let newest = next.last_segment().map(|segment| segment.media_sequence);
    let mut is_oldest = true;
    for segment in next.segments.iter().filter(|segment| !segment.parts.is_empty()) {
        let media_sequence = segment.media_sequence;
        // Parts are removed in order as they grow old: the oldest segment that has any may have lost its first.
        let may_be_trimmed = is_oldest && newest != Some(media_sequence);
        is_oldest = false;
        let was_open = media_sequence == previous.open.media_sequence;
        if !was_open && previous.segment(media_sequence).is_none() {
            continue;
        }
        let before = previous.parts(media_sequence);
        let gone_count = if may_be_trimmed { trimmed_count(before, &segment.parts) } else { 0 };
        let kept = before.get(gone_count..).unwrap_or(&[]);
        compare_parts(media_sequence, kept, &segment.parts, findings);
        let added_count = segment.parts.len().saturating_sub(kept.len());
        if !was_open && added_count > 0 {
            findings.add(FaultKind::PlaylistChanged, || {
                format!("segment {media_sequence} was complete and has {added_count} other parts; none may be added")
            });
        }
    }
    if next.open.media_sequence == previous.open.media_sequence {
        compare_parts(next.open.media_sequence, &previous.open.parts, &next.open.parts, findings);
    }
}

/// How many of the parts that were first are gone: as many as stand before the one that is first now, or all.
fn trimmed_count(before: &[Part], after: &[Part]) -> usize {
    let Some(first) = after.first() else { return before.len() };
    before
        .iter()
        .position(|part| part.uri == first.uri && part.byte_range == first.byte_range)
        .unwrap_or(before.len())
}

/// `after` continues `before`: the same parts in the same places, and perhaps more.
fn compare_parts(media_sequence: u64, before: &[Part], after: &[Part], findings: &mut Findings) {
    if after.len() < before.len() {
        findings.add(FaultKind::PlaylistChanged, || {
            format!(
                "segment {media_sequence} listed {} parts and lists {}; a part may not vanish",
                before.len(),
                after.len()
            )
        });
    }
    for (before, after) in before.iter().zip(after) {
        if before.is_same_as(after) {
            continue;
        }
        let name = Position { media_sequence, part_index: after.index };
        changed(findings, name, Listed(before), Listed(after));
    }
}

/// A segment that was open before: what its tags said holds, whether it is complete by now or not.
fn check_open_segment(previous: &MediaPlaylist, next: &MediaPlaylist, findings: &mut Findings) {
    let before = Tags::of_open(previous);
    // Before its first part, tags may still be added.
    if previous.open.parts.is_empty() {
        return;
    }
    if let Some(segment) = next.segment(before.media_sequence) {
        check_segment_tags(&before, &Tags::of(segment), findings);
    } else if next.open.media_sequence == before.media_sequence {
        check_segment_tags(&before, &Tags::of_open(next), findings);
    }
}

/// 4.4.5.3: the part that follows what was listed is the one that was hinted.
fn check_hint(previous: &MediaPlaylist, next: &MediaPlaylist, findings: &mut Findings) {
    let Some(hint) = previous.part_hint() else { return };
    let Some((position, part)) = part_after_edge(previous, next) else { return };
    let start = part.byte_range.map_or(0, |range| range.start);
    // A server whose plans changed may drop the hint: it says so by a gap.
    let is_hinted = part.uri == hint.uri && start == hint.byte_range_start;
    if is_hinted || part.gap {
        return;
    }
    findings.add(FaultKind::PlaylistChanged, || {
        format!(
            "{position} is `{}` from byte {start}; hinted was `{}` from byte {}",
            Shown(&part.uri),
            Shown(&hint.uri),
            hint.byte_range_start
        )
    });
}

/// The part of `next` that comes right after the last of `previous`; `None` when it is not listed, no longer, or
/// stands behind a discontinuity that was not announced, where a server may have changed its plans.
fn part_after_edge<'a>(previous: &MediaPlaylist, next: &'a MediaPlaylist) -> Option<(Position, &'a Part)> {
    let open = &previous.open;
    let known_count = open.parts.len();
    let is_continuous = |media_sequence: u64| match next.segment(media_sequence) {
        Some(segment) => !segment.discontinuity,
        None => !next.open.discontinuity,
    };
    let listed = next.parts(open.media_sequence);
    // Of a segment that is no longer the newest the first parts may be gone, and places then mean nothing.
    let is_trimmed = match (listed.first(), open.parts.first()) {
        (Some(first), Some(known)) => first.uri != known.uri || first.byte_range != known.byte_range,
        (None, _) => known_count > 0,
        (Some(_), None) => next.open.media_sequence > open.media_sequence + 1,
    };
    if is_trimmed {
        return None;
    }
    if let Some(part) = listed.get(known_count) {
        let is_expected = known_count > 0 || open.discontinuity || is_continuous(open.media_sequence);
        let position = Position { media_sequence: open.media_sequence, part_index: part.index };
        return is_expected.then_some((position, part));
    }
    // The segment closed with what was known of it: the hint was for part 0 of the one after it.
    let follower = open.media_sequence + 1;
    let is_closed = known_count > 0 && next.open.media_sequence == follower;
    let part = next.open.parts.first().filter(|_| is_closed && is_continuous(follower))?;
    Some((Position { media_sequence: follower, part_index: part.index }, part))
}

/// A byte range in words.
struct Range(Option<ByteRange>);

impl fmt::Display for Range {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(range) => write!(formatter, "{} bytes from {}", range.length, range.start),
            None => formatter.write_str("all bytes"),
        }
    }
}

/// A part in words.
struct Listed<'a>(&'a Part);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Part { index: _, duration, uri, byte_range, independent, gap } = self.0;
        write!(formatter, "`{}` ({}, {}", Shown(uri), Seconds(*duration), Range(*byte_range))?;
        formatter.write_str(if *independent { ", independent" } else { "" })?;
        formatter.write_str(if *gap { ", gap)" } else { ")" })
    }
}
