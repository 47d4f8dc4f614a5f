//! What may change from one snapshot of a media playlist to the next (6.2.1, 6.2.2), and delta updates
//! against a reference client (4.4.5.2, 6.2.5.1).

use super::{Findings, Media, Segment, Skip, Stage, Violation, check_media, parse_media};
use std::time::Duration;

/// Assertions 5, 13, 19 and 74: only the permitted edits lead from one full snapshot to a later one.
pub fn check_edit(before: &Media, after: &Media) -> Vec<Violation> {
    let mut found = Findings::default();
    found.unless(before.header == after.header, 5, || {
        format!("header tags changed from {:?} to {:?}", before.header, after.header)
    });
    found.unless(before.version == after.version, 19, || "EXT-X-VERSION changed".to_owned());
    found.unless(after.media_sequence >= before.media_sequence, 74, || {
        format!("MEDIA-SEQUENCE went back from {} to {}", before.media_sequence, after.media_sequence)
    });
    found.unless(after.discontinuity_sequence >= before.discontinuity_sequence, 74, || {
        format!(
            "DISCONTINUITY-SEQUENCE went back from {:?} to {:?}",
            before.discontinuity_sequence, after.discontinuity_sequence
        )
    });
    found.unless(after.last_complete() >= before.last_complete(), 19, || {
        format!("segments vanished from the end: {:?} to {:?}", before.last_complete(), after.last_complete())
    });
    found.unless(after.last_part() >= before.last_part(), 19, || {
        format!("parts vanished from the end: {:?} to {:?}", before.last_part(), after.last_part())
    });
    if before.ended {
        found.unless(after.ended, 19, || "ENDLIST vanished".to_owned());
        found.unless(after.last_complete() == before.last_complete(), 19, || {
            "segments after ENDLIST".to_owned()
        });
    }
    let later = after.resolved();
    for (old, old_discontinuity, old_map) in before.resolved() {
        let number = old.media_sequence;
        let Some((new, new_discontinuity, new_map)) =
            later.iter().find(|(segment, _, _)| segment.media_sequence == number)
        else {
            found.unless(number < after.media_sequence || is_bare(old), 19, || {
                format!("segment {number} vanished from within")
            });
            continue;
        };
        found.unless(old_discontinuity == *new_discontinuity, 19, || {
            format!("segment {number}: discontinuity number {old_discontinuity} became {new_discontinuity}")
        });
        found.unless(old_map == *new_map || is_bare(old), 19, || {
            format!("segment {number}: MAP {old_map:?} became {new_map:?}")
        });
        if let Some(text) = segment_edit(old, new) {
            found.unless(false, 19, || format!("segment {number}: {text}"));
        }
    }
    parts_leave_in_order(before, after, &mut found);
    if let (Some(hinted), Some(next)) = (before.hinted_part(), next_part(before, after)) {
        found.unless(hinted == next, 13, || format!("`{hinted}` was hinted, `{next}` came"));
    }
    found.0
}

/// An open segment of which nothing is listed but what stands before its first part.
fn is_bare(segment: &Segment) -> bool {
    segment.uri.is_none() && segment.parts.is_empty()
}

/// What is wrong with the way one segment changed.
fn segment_edit(old: &Segment, new: &Segment) -> Option<String> {
    let own = |segment: &Segment| -> Vec<String> {
        segment.lines.iter().filter(|line| !line.starts_with("#EXT-X-PART:")).cloned().collect()
    };
    let (old_lines, new_lines) = (own(old), own(new));
    if old.uri.is_some() && old_lines != new_lines {
        return Some(format!("its lines changed from {old_lines:?} to {new_lines:?}"));
    }
    if !new_lines.starts_with(&old_lines) {
        return Some(format!("{new_lines:?} does not begin with {old_lines:?}"));
    }
    if old.uri.is_none() {
        let extends = new.parts.starts_with(&old.parts);
        // A segment that closed long ago may have lost its parts.
        let withdrawn = new.uri.is_some() && new.parts.is_empty();
        return (!extends && !withdrawn).then(|| "its parts changed while it was open".to_owned());
    }
    (!old.parts.ends_with(&new.parts)).then(|| "its parts changed after it was complete".to_owned())
}

/// Parts are withdrawn oldest first: once a segment keeps some, so do all after it.
fn parts_leave_in_order(before: &Media, after: &Media, found: &mut Findings) {
    let had_parts =
        |number| before.all_segments().any(|old| old.media_sequence == number && !old.parts.is_empty());
    let mut kept = false;
    for segment in &after.segments {
        let number = segment.media_sequence;
        found.unless(!(kept && segment.parts.is_empty() && had_parts(number)), 19, || {
            format!("parts of segment {number} went before older ones")
        });
        kept |= !segment.parts.is_empty();
    }
}

/// The part that follows the last one of `before`, if `after` lists it.
fn next_part<'a>(before: &Media, after: &'a Media) -> Option<&'a str> {
    let last = before.parts().last()?.2.uri.clone();
    let mut parts = after.parts().skip_while(|(_, _, part)| part.uri != last);
    parts.next()?;
    parts.next().map(|(_, _, part)| part.uri.as_str())
}

/// Assertions 41 to 43: a delta against the full playlist of the same snapshot.
pub fn check_delta(delta: &Media, full: &Media) -> Vec<Violation> {
    let mut found = Findings(delta.form.clone());
    let Some(Skip { segments_count, .. }) = delta.skip else {
        found.unless(qualifying(full) == 0, 41, || {
            "a full playlist where segments could have been skipped".to_owned()
        });
        return found.0;
    };
    let listed = u64::try_from(delta.segments.len()).unwrap_or(u64::MAX);
    let total = u64::try_from(full.segments.len()).unwrap_or(u64::MAX);
    found.unless(segments_count + listed == total, 41, || {
        format!("{segments_count} skipped and {listed} listed of {total} segments")
    });
    found.unless(
        (delta.media_sequence, delta.discontinuity_sequence)
            == (full.media_sequence, full.discontinuity_sequence),
        41,
        || "MEDIA-SEQUENCE or DISCONTINUITY-SEQUENCE differ from the full playlist's".to_owned(),
    );
    let qualifying = qualifying(full);
    found.unless(segments_count <= qualifying, 42, || {
        format!("{segments_count} skipped, {qualifying} are old enough")
    });
    found.unless(segments_count >= qualifying, 42, || {
        format!("{segments_count} skipped of {qualifying} old enough")
    });
    let lines = |media: &Media| -> Vec<(u64, Vec<String>)> {
        let listed = media.all_segments().filter(|segment| segment.media_sequence >= delta.first_listed());
        listed.map(|segment| (segment.media_sequence, segment.lines.clone())).collect()
    };
    found.unless(lines(delta) == lines(full), 43, || "segments differ from the full playlist's".to_owned());
    found.unless(
        delta.header == full.header && delta.hints == full.hints && delta.reports == full.reports,
        43,
        || "header, hints or reports differ from the full playlist's".to_owned(),
    );
    found.0
}

/// Segments that end CAN-SKIP-UNTIL or more before the end of the last complete one.
fn qualifying(full: &Media) -> u64 {
    let control = full.server_control.as_ref();
    let Some(until) = control.and_then(|control| control.can_skip_until) else { return 0 };
    let mut to_the_end = Duration::ZERO;
    let mut count = 0;
    for segment in full.segments.iter().rev() {
        count += u64::from(to_the_end >= until);
        to_the_end += segment.duration.unwrap_or_default();
    }
    count
}

/// A reference client (6.3.7): what it holds, brought up to date by a delta.
///
/// # Errors
/// The delta skips segments that the client does not hold.
pub fn merge(held: &Media, delta: &Media) -> Result<Media, Vec<Violation>> {
    if delta.skip.is_none() {
        return Ok(delta.clone());
    }
    let skipped = delta.media_sequence..delta.first_listed();
    let kept: Vec<&Segment> =
        held.segments.iter().filter(|segment| skipped.contains(&segment.media_sequence)).collect();
    if !kept.iter().map(|segment| segment.media_sequence).eq(skipped.clone()) {
        let text = format!("segments {skipped:?} are skipped, the client holds them only in part");
        return Err(vec![Violation::new(48, text)]);
    }
    let mut kept: Vec<Segment> = kept.into_iter().cloned().collect();
    // A withdrawn segment may have carried the MAP that is in force for those that stay.
    let maps = held.resolved();
    for segment in &mut kept {
        let map = maps.iter().find(|(known, _, _)| known.media_sequence == segment.media_sequence);
        segment.map = map.and_then(|(_, _, map)| map.cloned());
        // Whether a segment that is skipped still has its parts is not said; it is too old for them.
        segment.parts.clear();
        segment.lines.retain(|line| !line.starts_with("#EXT-X-PART:"));
    }
    kept.extend(delta.segments.iter().cloned());
    Ok(Media { segments: kept, skip: None, ..delta.clone() })
}

/// Sees every snapshot of one media playlist, full ones and deltas in any order, and runs every check.
#[derive(Debug, Default)]
pub struct Watcher {
    held: Option<Media>,
    snapshots_count: usize,
}

impl Watcher {
    pub fn new() -> Self {
        Self::default()
    }

    /// Snapshots seen so far.
    pub fn snapshots_count(&self) -> usize {
        self.snapshots_count
    }

    /// The newest state.
    pub fn held(&self) -> Option<&Media> {
        self.held.as_ref()
    }

    /// Takes a later snapshot.
    pub fn see(&mut self, text: &str) -> Vec<Violation> {
        let snapshot = match parse_media(text) {
            Ok(snapshot) => snapshot,
            Err(violations) => return violations,
        };
        self.snapshots_count += 1;
        let mut found = check_media(&snapshot, Stage::WarmUp);
        let full = match &self.held {
            Some(held) => match merge(held, &snapshot) {
                Ok(full) => full,
                Err(violations) => {
                    found.extend(violations);
                    return found;
                }
            },
            None if snapshot.skip.is_some() => {
                found.push(Violation::new(47, "a delta update to a client that holds nothing"));
                return found;
            }
            None => snapshot,
        };
        if let Some(held) = &self.held {
            found.extend(check_edit(held, &full));
        }
        self.held = Some(full);
        found
    }
}
