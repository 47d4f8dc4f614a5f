//! Completes a delta update from the playlist before it (8216bis, 4.4.5.2 and 6.2.5.1).

use std::sync::Arc;

use super::media::{MediaPlaylist, Segment};
use super::text::Shown;
use crate::fault::{Fault, FaultKind};

/// The whole playlist that `update` stands for: what it skips is taken from `previous` by media sequence number.
///
/// An update that skips nothing is returned as it is. `previous` has to be whole itself: one that was completed
/// here, or one that skipped nothing.
pub fn merge_delta(previous: &MediaPlaylist, update: MediaPlaylist) -> Result<MediaPlaylist, Fault> {
    if update.skipped_segments_count == 0 {
        return Ok(update);
    }
    let skipped = skipped_segments(previous, &update)?;
    check_discontinuity_sequence(skipped, &update)?;
    check_overlap(previous, &update)?;

    let mut merged = update;
    let last_skipped = skipped.last();
    let map = last_skipped.and_then(|segment| segment.map.clone());
    // DISCONTINUITY-SEQUENCE counts from the first skipped segment: the skipped tags were not seen by the reader.
    let discontinuities_skipped = last_skipped
        .map_or(0, |segment| segment.discontinuity_number.saturating_sub(merged.discontinuity_sequence));
    for segment in &mut merged.segments {
        segment.discontinuity_number = segment.discontinuity_number.saturating_add(discontinuities_skipped);
        // The EXT-X-MAP that was skipped with its segment holds on until the next one.
        if segment.map.is_none() {
            segment.map.clone_from(&map);
        }
    }
    let open = &mut merged.open;
    open.discontinuity_number = open.discontinuity_number.saturating_add(discontinuities_skipped);
    if open.map.is_none() {
        open.map = map.as_ref().map(Arc::clone);
    }
    let mut segments = Vec::with_capacity(skipped.len() + merged.segments.len());
    segments.extend_from_slice(skipped);
    segments.append(&mut merged.segments);
    merged.segments = segments;
    merged.skipped_segments_count = 0;
    // EXT-X-KEY may have been skipped with its segment.
    merged.encrypted |= previous.encrypted;
    Ok(merged)
}

/// The segments of `previous` that `update` leaves out.
fn skipped_segments<'a>(previous: &'a MediaPlaylist, update: &MediaPlaylist) -> Result<&'a [Segment], Fault> {
    let count = update.skipped_segments_count as usize;
    let first = update.media_sequence;
    let listed = || -> Option<&'a [Segment]> {
        if previous.skipped_segments_count != 0 {
            return None;
        }
        let from = usize::try_from(first.checked_sub(previous.media_sequence)?).ok()?;
        previous.segments.get(from..from.checked_add(count)?)
    };
    listed().ok_or_else(|| {
        let found = first.saturating_add(u64::from(update.skipped_segments_count) - 1);
        let detail = format!(
            "segments {first} to {found} are skipped; the playlist before lists {} to {}",
            previous.media_sequence,
            previous.open.media_sequence.saturating_sub(1),
        );
        Fault::new(FaultKind::DeltaWrong, detail)
    })
}

fn check_discontinuity_sequence(skipped: &[Segment], update: &MediaPlaylist) -> Result<(), Fault> {
    let Some(first) = skipped.first() else { return Ok(()) };
    let allowed = first.discontinuity_number - u64::from(first.discontinuity);
    // 4.4.5.2: a SKIP does not change the discontinuity sequence number.
    if update.discontinuity_sequence == allowed {
        return Ok(());
    }
    let detail = format!(
        "EXT-X-DISCONTINUITY-SEQUENCE is {} with segment {} first; the playlist before makes it {allowed}",
        update.discontinuity_sequence, first.media_sequence,
    );
    Err(Fault::new(FaultKind::DeltaWrong, detail))
}

/// A wrong count of skipped segments gives those after them wrong numbers, which shows where both list them.
fn check_overlap(previous: &MediaPlaylist, update: &MediaPlaylist) -> Result<(), Fault> {
    for listed in &update.segments {
        let Some(known) = previous.segment(listed.media_sequence) else { continue };
        if known.uri != listed.uri
            || known.byte_range != listed.byte_range
            || known.duration != listed.duration
        {
            let detail = format!(
                "after {} skipped segments, segment {} is `{}`; the playlist before has `{}` there",
                update.skipped_segments_count,
                listed.media_sequence,
                Shown(&listed.uri),
                Shown(&known.uri),
            );
            return Err(Fault::new(FaultKind::DeltaWrong, detail));
        }
    }
    Ok(())
}
