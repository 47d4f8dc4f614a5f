//! Judges one media playlist by itself.

use std::time::Duration;

use super::Findings;
use super::media::{HintKind, MediaPlaylist, Part, Position, Segment};
use super::text::{Seconds, Shown};
use crate::fault::{Fault, FaultKind};

/// How far the parts of a segment may add up to something else than its EXTINF. Both are printed with five or six
/// decimals: the roundings of a hundred parts come to less.
pub const PARTS_SUM_TOLERANCE: Duration = Duration::from_millis(1);

/// Of PART-TARGET, in percent, what a part must last at least (4.4.4.9).
const PART_TARGET_PERCENT_MIN: u128 = 85;

/// What one playlist alone must hold.
///
/// Give it the answer as it came: of a delta update also what it skips is judged, which can no longer be told once
/// it was merged.
pub fn check_form(playlist: &MediaPlaylist) -> Vec<Fault> {
    let mut findings = Findings { faults: playlist.breaches.clone() };
    check_version(playlist, &mut findings);
    check_server_control(playlist, &mut findings);
    check_skip(playlist, &mut findings);
    check_segments(playlist, &mut findings);
    check_parts(playlist, &mut findings);
    check_hints(playlist, &mut findings);
    findings.faults
}

/// Section 8: the version a playlist must state at least.
fn check_version(playlist: &MediaPlaylist, findings: &mut Findings) {
    let needs_map =
        playlist.open.map.is_some() || playlist.segments.iter().any(|segment| segment.map.is_some());
    let (feature, needed) = match (playlist.skipped_segments_count > 0, needs_map) {
        (true, _) => ("EXT-X-SKIP", 9),
        (false, true) => ("EXT-X-MAP", 6),
        (false, false) => return,
    };
    if playlist.version < needed {
        findings.add(FaultKind::PlaylistSyntax, || {
            format!("EXT-X-VERSION is {}; {feature} needs at least {needed}", playlist.version)
        });
    }
}

/// 4.4.3.8: what EXT-X-SERVER-CONTROL must have, and how large.
fn check_server_control(playlist: &MediaPlaylist, findings: &mut Findings) {
    let control = playlist.server_control.unwrap_or_default();
    let target = Duration::from_secs(u64::from(playlist.target_duration_s));
    match (playlist.part_target, control.part_hold_back) {
        (Some(_), None) => {
            findings.add(FaultKind::PlaylistSyntax, || "EXT-X-PART-INF without a PART-HOLD-BACK".to_owned());
        }
        (Some(part_target), Some(found)) => {
            check_least("PART-HOLD-BACK", Some(found), part_target * 2, "2 part targets", findings);
        }
        (None, _) => {}
    }
    check_least("HOLD-BACK", control.hold_back, target * 3, "3 target durations", findings);
    check_least("CAN-SKIP-UNTIL", control.can_skip_until, target * 6, "6 target durations", findings);
    if control.can_skip_dateranges && control.can_skip_until.is_none() {
        findings.add(FaultKind::PlaylistSyntax, || "CAN-SKIP-DATERANGES without CAN-SKIP-UNTIL".to_owned());
    }
}

fn check_least(
    name: &str,
    found: Option<Duration>,
    allowed_min: Duration,
    allowed_words: &str,
    findings: &mut Findings,
) {
    if let Some(found) = found.filter(|&found| found < allowed_min) {
        findings.add(FaultKind::PlaylistSyntax, || {
            format!("{name} is {}; at least {} ({allowed_words})", Seconds(found), Seconds(allowed_min))
        });
    }
}

/// 4.4.5.2: only what lies further than CAN-SKIP-UNTIL from the end of the last complete segment may be skipped.
fn check_skip(playlist: &MediaPlaylist, findings: &mut Findings) {
    if playlist.skipped_segments_count == 0 {
        return;
    }
    let Some(boundary) = playlist.server_control.and_then(|control| control.can_skip_until) else {
        findings.add(FaultKind::DeltaWrong, || "EXT-X-SKIP without a CAN-SKIP-UNTIL".to_owned());
        return;
    };
    let listed = playlist.segments_duration();
    if listed < boundary {
        findings.add(FaultKind::DeltaWrong, || {
            format!(
                "segment {} is skipped, {} from the end; CAN-SKIP-UNTIL is {}",
                playlist.open.media_sequence - playlist.segments.len() as u64 - 1,
                Seconds(listed),
                Seconds(boundary)
            )
        });
    }
}

fn check_segments(playlist: &MediaPlaylist, findings: &mut Findings) {
    let has_no_date = playlist.open.program_date_time_unix_us.is_none()
        && playlist.segments.iter().all(|segment| segment.program_date_time_unix_us.is_none());
    // B.1: EXT-X-PROGRAM-DATE-TIME in all media playlists of low latency.
    if has_no_date && playlist.has_parts() {
        findings.add(FaultKind::PlaylistSyntax, || {
            "parts and no EXT-X-PROGRAM-DATE-TIME; one is needed at least".to_owned()
        });
    }
    for segment in &playlist.segments {
        // 4.4.3.1: EXTINF, rounded to the nearest whole second, must not exceed TARGETDURATION.
        let rounded_s = (segment.duration + Duration::from_millis(500)).as_secs();
        if rounded_s > u64::from(playlist.target_duration_s) {
            findings.add(FaultKind::SegmentLong, || {
                format!(
                    "segment {} lasts {}, rounded {rounded_s} s; TARGETDURATION is {} s",
                    segment.media_sequence,
                    Seconds(segment.duration),
                    playlist.target_duration_s
                )
            });
        }
        // 4.4.4.7: the parts of a segment with EXT-X-GAP need GAP=YES.
        if segment.gap && segment.parts.iter().any(|part| !part.gap) {
            findings.add(FaultKind::PlaylistSyntax, || {
                format!("segment {} has EXT-X-GAP; all its parts need GAP=YES", segment.media_sequence)
            });
        }
    }
    let mut with_parts = playlist.segments.iter().filter(|segment| !segment.parts.is_empty()).peekable();
    let mut is_oldest = true;
    while let Some(segment) = with_parts.next() {
        // Parts are removed in order as they grow old: the oldest segment that has any may have lost its first.
        let may_be_trimmed = is_oldest && with_parts.peek().is_some();
        check_parts_sum(segment, may_be_trimmed, findings);
        is_oldest = false;
    }
}

/// 3.2: the parts and their segment contain the same media.
fn check_parts_sum(segment: &Segment, may_be_trimmed: bool, findings: &mut Findings) {
    let sum: Duration = segment.parts.iter().map(|part| part.duration).sum();
    let is_short = sum + PARTS_SUM_TOLERANCE < segment.duration;
    let is_long = sum > segment.duration + PARTS_SUM_TOLERANCE;
    if is_long || is_short && !may_be_trimmed {
        findings.add(FaultKind::PartMissing, || {
            format!(
                "the {} parts of segment {} add up to {}; its EXTINF is {}",
                segment.parts.len(),
                segment.media_sequence,
                Seconds(sum),
                Seconds(segment.duration)
            )
        });
    }
}

fn check_parts(playlist: &MediaPlaylist, findings: &mut Findings) {
    let Some(part_target) = playlist.part_target else {
        // 4.4.3.7: EXT-X-PART-INF is REQUIRED where parts are listed.
        if playlist.has_parts() {
            findings.add(FaultKind::PlaylistSyntax, || "EXT-X-PART without an EXT-X-PART-INF".to_owned());
        }
        return;
    };
    for segment in &playlist.segments {
        check_part_durations(segment.media_sequence, &segment.parts, part_target, findings);
    }
    check_part_durations(playlist.open.media_sequence, &playlist.open.parts, part_target, findings);
}

/// 4.4.4.9: no part exceeds PART-TARGET as printed, and none is shorter than 85% of it, but for parts that are
/// INDEPENDENT or a GAP, that a GAP follows, and the last of a segment.
///
/// The last that is listed of an open segment may turn out to be its last, so it is judged when another follows.
fn check_part_durations(media_sequence: u64, parts: &[Part], part_target: Duration, findings: &mut Findings) {
    for (position, part) in parts.iter().enumerate() {
        let name = Position { media_sequence, part_index: part.index };
        if part.duration > part_target {
            findings.add(FaultKind::PartLong, || {
                format!("{name} lasts {}; PART-TARGET is {}", Seconds(part.duration), Seconds(part_target))
            });
        }
        let is_short = part.duration.as_nanos() * 100 < part_target.as_nanos() * PART_TARGET_PERCENT_MIN;
        let follower = parts.get(position + 1);
        let is_judged = follower.is_some_and(|follower| !follower.gap) && !part.independent && !part.gap;
        if is_short && is_judged {
            findings.add(FaultKind::PartShort, || {
                format!(
                    "{name} lasts {}; at least {PART_TARGET_PERCENT_MIN}% of PART-TARGET {}",
                    Seconds(part.duration),
                    Seconds(part_target)
                )
            });
        }
    }
}

/// B.1: exactly one hint for the next part while live; none with ENDLIST (4.4.5.3).
fn check_hints(playlist: &MediaPlaylist, findings: &mut Findings) {
    let count_of = |kind| playlist.preload_hints.iter().filter(|hint| hint.kind == kind).count();
    if playlist.ended {
        if let Some(hint) = playlist.preload_hints.first() {
            findings.add(FaultKind::PlaylistSyntax, || {
                format!("a preload hint for `{}`; none is allowed with EXT-X-ENDLIST", Shown(&hint.uri))
            });
        }
        return;
    }
    let part_hints_count = count_of(HintKind::Part);
    if part_hints_count == 0 && playlist.has_parts() || part_hints_count > 1 {
        findings.add(FaultKind::PlaylistSyntax, || {
            format!("{part_hints_count} preload hints of type PART; 1 is needed while parts are listed")
        });
    }
    let map_hints_count = count_of(HintKind::Map);
    if map_hints_count > 1 {
        findings.add(FaultKind::PlaylistSyntax, || {
            format!("{map_hints_count} preload hints of type MAP; at most 1")
        });
    }
    let Some(hint) = playlist.part_hint() else { return };
    let last_segment_parts = playlist.last_segment().map_or(&[][..], |segment| &segment.parts);
    let is_listed = |part: &&Part| {
        let start = part.byte_range.map_or(0, |range| range.start);
        part.uri == hint.uri && start == hint.byte_range_start
    };
    if let Some(part) = playlist.open.parts.iter().chain(last_segment_parts).rev().find(is_listed) {
        findings.add(FaultKind::PlaylistSyntax, || {
            format!(
                "the preload hint names `{}`, which is listed already; the next part is allowed",
                Shown(&part.uri)
            )
        });
    }
}
