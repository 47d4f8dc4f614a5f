//! What can be said of one snapshot, and of the renditions of one presentation.

use super::parse::rounded_s;
use super::{Findings, Media, Segment, Violation};
use std::collections::HashSet;
use std::time::Duration;

/// How long the stream has been running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The window is still filling.
    WarmUp,
    /// The window is full.
    Steady,
}

/// As printed values are rounded, sums of them may be off by this much.
const ROUNDING: Duration = Duration::from_millis(1);

/// Assertions 2 to 4, 6 to 13, 15 to 18, 20 and 47 on one playlist that was asked for without `_HLS_skip`,
/// or with it if it is a delta.
pub fn check_media(playlist: &Media, stage: Stage) -> Vec<Violation> {
    let mut found = Findings(playlist.form.clone());
    version(playlist, &mut found);
    durations(playlist, &mut found);
    control(playlist, &mut found);
    parts(playlist, &mut found);
    hints(playlist, &mut found);
    dates(playlist, &mut found);
    window(playlist, stage, &mut found);
    unique_uris(playlist, &mut found);
    found.0
}

fn version(playlist: &Media, found: &mut Findings) {
    let version = playlist.version.unwrap_or(1);
    let has_map = playlist.all_segments().any(|segment| segment.map.is_some());
    let skip = playlist.skip.as_ref();
    let has_dateranges = skip.is_some_and(|skip| skip.recently_removed_dateranges.is_some());
    found.unless(!has_map || version >= 6, 3, || format!("version {version} with EXT-X-MAP"));
    found.unless(skip.is_none() || version >= 9, 3, || format!("version {version} with EXT-X-SKIP"));
    found.unless(!has_dateranges || version >= 10, 3, || {
        format!("version {version} with RECENTLY-REMOVED-DATERANGES")
    });
}

fn durations(playlist: &Media, found: &mut Findings) {
    let target = playlist.target_duration_s;
    for segment in &playlist.segments {
        let Some(duration) = segment.duration else { continue };
        let number = segment.media_sequence;
        found.unless(rounded_s(duration) <= target, 4, || {
            format!("segment {number} lasts {duration:?}, the target is {target} s")
        });
        let sum: Duration = segment.parts.iter().map(|part| part.duration).sum();
        found.unless(
            segment.parts.is_empty()
                || lost_its_first_parts(playlist, segment)
                || near(sum, duration, ROUNDING),
            12,
            || format!("parts of segment {number} last {sum:?}, EXTINF says {duration:?}"),
        );
    }
}

/// Parts are withdrawn in order, so the oldest segment that still has some may have lost the first of them.
fn lost_its_first_parts(playlist: &Media, segment: &Segment) -> bool {
    let oldest = playlist.segments.iter().find(|segment| !segment.parts.is_empty());
    let number = segment.media_sequence;
    let sum: Duration = segment.parts.iter().map(|part| part.duration).sum();
    oldest.is_some_and(|oldest| oldest.media_sequence == number)
        && number > playlist.media_sequence
        && segment.duration.is_some_and(|duration| sum < duration)
}

fn control(playlist: &Media, found: &mut Findings) {
    let has_parts = playlist.parts().next().is_some();
    found.unless(!has_parts || playlist.part_target.is_some(), 8, || "parts without PART-INF".to_owned());
    let Some(control) = &playlist.server_control else {
        found.unless(!has_parts, 6, || "parts without EXT-X-SERVER-CONTROL".to_owned());
        return;
    };
    if let Some(part_target) = playlist.part_target {
        let floor = part_target * 3;
        found.unless(control.part_hold_back.is_some_and(|hold_back| hold_back >= floor), 6, || {
            format!("PART-HOLD-BACK is {:?}, three parts are {floor:?}", control.part_hold_back)
        });
    }
    let target = Duration::from_secs(playlist.target_duration_s);
    found.unless(control.hold_back.is_none_or(|hold_back| hold_back >= target * 3), 7, || {
        format!("HOLD-BACK {:?} is under three target durations", control.hold_back)
    });
    found.unless(control.can_skip_until.is_none_or(|until| until >= target * 6), 7, || {
        format!("CAN-SKIP-UNTIL {:?} is under six target durations", control.can_skip_until)
    });
    found.unless(!control.can_skip_dateranges || control.can_skip_until.is_some(), 7, || {
        "CAN-SKIP-DATERANGES without CAN-SKIP-UNTIL".to_owned()
    });
}

fn parts(playlist: &Media, found: &mut Findings) {
    let Some(target) = playlist.part_target else { return };
    let floor = target * 85 / 100;
    for segment in playlist.all_segments() {
        for (index, part) in segment.parts.iter().enumerate() {
            let (number, duration) = (segment.media_sequence, part.duration);
            found.unless(duration <= target, 9, || {
                format!("part {index} of segment {number} lasts {duration:?}, PART-TARGET is {target:?}")
            });
            found.unless(duration > Duration::ZERO, 10, || {
                format!("part {index} of segment {number} is empty")
            });
            // The last part may turn out to be the last of its segment.
            let waived = match segment.parts.get(index + 1) {
                None => true,
                Some(next) => part.independent || part.gap || next.gap,
            };
            found.unless(duration >= floor || waived, 10, || {
                format!(
                    "part {index} of segment {number} lasts {duration:?}, 85% of the target are {floor:?}"
                )
            });
        }
    }
}

fn hints(playlist: &Media, found: &mut Findings) {
    let count = |kind| playlist.hints.iter().filter(|hint| hint.kind == kind).count();
    if playlist.ended {
        found.unless(playlist.hints.is_empty(), 13, || "a hint after ENDLIST".to_owned());
        found.unless(playlist.open.as_ref().is_none_or(|open| open.parts.is_empty()), 13, || {
            "ENDLIST with an open segment".to_owned()
        });
        return;
    }
    found.unless(playlist.parts().next().is_none() || count("PART") == 1, 13, || {
        format!("{} hints of a part, not 1", count("PART"))
    });
    found.unless(count("MAP") <= 1, 13, || "more than one hint of a MAP".to_owned());
    if let Some(hinted) = playlist.hinted_part() {
        let listed = playlist.parts().any(|(_, _, part)| part.byte_range.is_none() && part.uri == hinted);
        found.unless(!listed, 13, || format!("`{hinted}` is hinted and listed"));
    }
}

fn dates(playlist: &Media, found: &mut Findings) {
    if let Some(first) = playlist.all_segments().next() {
        found.unless(
            playlist.all_segments().any(|segment| segment.program_date_time_unix_ms.is_some()),
            15,
            || format!("no PROGRAM-DATE-TIME from segment {} on", first.media_sequence),
        );
    }
    let mut expected: Option<Duration> = None;
    for segment in playlist.all_segments() {
        let stated = segment.program_date_time_unix_ms.map(Duration::from_millis);
        if let (Some(expected), Some(stated), false) = (expected, stated, segment.discontinuity) {
            found.unless(near(stated, expected, Duration::from_millis(10)), 15, || {
                format!(
                    "segment {} begins at {stated:?}, the one before ended at {expected:?}",
                    segment.media_sequence
                )
            });
        }
        if let (Some(expected), Some(stated), true) = (expected, stated, segment.discontinuity) {
            // 6.2.1: overlaps stay under a second.
            found.unless(stated + Duration::from_secs(1) > expected, 15, || {
                format!(
                    "segment {} begins more than a second before its predecessor ends",
                    segment.media_sequence
                )
            });
        }
        expected = stated.or(expected).and_then(|start| Some(start + segment.duration?));
    }
}

fn window(playlist: &Media, stage: Stage, found: &mut Findings) {
    found.unless(playlist.discontinuity_sequence.is_some(), 16, || "no DISCONTINUITY-SEQUENCE".to_owned());
    let target = Duration::from_secs(playlist.target_duration_s);
    let longest = playlist.segments.iter().filter_map(|segment| segment.duration).max().unwrap_or_default();
    let open: Duration = playlist.open.iter().flat_map(|open| &open.parts).map(|part| part.duration).sum();
    let mut from_the_end = open;
    for segment in playlist.segments.iter().rev() {
        let parts: Duration = segment.parts.iter().map(|part| part.duration).sum();
        // The parts of a segment are its last ones, so the first of them ends the latest.
        found.unless(segment.parts.is_empty() || from_the_end <= target * 3 + longest, 17, || {
            format!(
                "parts of segment {}, {:?} from the end, are listed",
                segment.media_sequence,
                from_the_end + parts
            )
        });
        from_the_end += segment.duration.unwrap_or_default();
    }
    if playlist.part_target.is_some() && playlist.skip.is_none() && !playlist.ended {
        for segment in playlist.segments.iter().rev().take(2).filter(|segment| !segment.gap) {
            found.unless(!segment.parts.is_empty(), 17, || {
                format!("segment {}, one of the last two, lists no parts", segment.media_sequence)
            });
        }
    }
    if stage == Stage::Steady && playlist.skip.is_none() && !playlist.ended {
        let (total, count) = (playlist.complete_duration(), playlist.segments.len());
        found.unless(total >= target * 3, 18, || format!("the window of {total:?} is under three targets"));
        found.unless(count >= 6, 18, || format!("the window has {count} segments, not 6"));
    }
}

fn unique_uris(playlist: &Media, found: &mut Findings) {
    let mut seen = HashSet::new();
    let segments = playlist.segments.iter().filter_map(|segment| segment.uri.as_deref());
    let parts = playlist.parts().filter(|(_, _, part)| part.byte_range.is_none());
    for uri in segments.chain(parts.map(|(_, _, part)| part.uri.as_str())) {
        found.unless(seen.insert(uri), 19, || format!("`{uri}` is listed twice"));
    }
}

/// The clock half of assertion 15: nothing is said to begin later than 100 ms from now.
pub fn check_clock(playlist: &Media, now_unix_ms: u64) -> Vec<Violation> {
    let ahead = |segment: &&Segment| {
        segment.program_date_time_unix_ms.is_some_and(|date| date > now_unix_ms.saturating_add(100))
    };
    let ahead = playlist.all_segments().find(ahead);
    let text = |segment: &Segment| format!("segment {} begins in the future", segment.media_sequence);
    ahead.map(|segment| Violation::new(15, text(segment))).into_iter().collect()
}

/// Assertions 5 and 14 over the media playlists of one presentation, each with its URI relative to
/// the others, fetched one right after the other.
pub fn check_renditions(playlists: &[(&str, &Media)]) -> Vec<Violation> {
    let mut found = Findings(Vec::new());
    for (uri, playlist) in playlists {
        let (_, first) = playlists[0];
        let control = |media: &Media| media.server_control.as_ref().map(|control| control.line.clone());
        found.unless(
            playlist.target_duration_s == first.target_duration_s && control(playlist) == control(first),
            5,
            || {
                format!(
                    "TARGETDURATION or SERVER-CONTROL of `{uri}` differ from those of `{}`",
                    playlists[0].0
                )
            },
        );
        if playlist.ended {
            continue;
        }
        let others: Vec<_> = playlists.iter().filter(|(other, _)| other != uri).collect();
        found.unless(playlist.reports.len() == others.len(), 14, || {
            format!("`{uri}` reports {} renditions, not {}", playlist.reports.len(), others.len())
        });
        for report in &playlist.reports {
            found.unless(!report.uri.contains("://") && !report.uri.starts_with('/'), 14, || {
                format!("`{}` is not relative", report.uri)
            });
        }
        for (other, state) in others {
            report_is_fresh(playlist, other, state, &mut found);
        }
    }
    found.0
}

/// LAST-MSN and LAST-PART are at most one part from what the other playlist lists.
fn report_is_fresh(playlist: &Media, other: &str, state: &Media, found: &mut Findings) {
    let Some(report) = playlist.reports.iter().find(|report| report.uri == other) else {
        return found.unless(false, 14, || format!("no report of `{other}`"));
    };
    let (Some(msn), Some(part)) = (report.last_msn, report.last_part) else {
        return found
            .unless(false, 14, || format!("the report of `{other}` leaves out LAST-MSN or LAST-PART"));
    };
    let positions: Vec<(u64, u64)> =
        state.parts().map(|(number, index, _)| (number, u64::try_from(index).unwrap_or(u64::MAX))).collect();
    let newest = positions.last().copied().unwrap_or_default();
    let before = positions.iter().rev().nth(1).copied().unwrap_or(newest);
    let after = [(newest.0, newest.1 + 1), (newest.0 + 1, 0)];
    let reported = (msn, part);
    found.unless(reported == newest || reported == before || after.contains(&reported), 14, || {
        format!("`{other}` is reported at {reported:?}, its playlist is at {newest:?}")
    });
}

fn near(a: Duration, b: Duration, within: Duration) -> bool {
    a.abs_diff(b) <= within
}
