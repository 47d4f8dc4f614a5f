//! Judges a part by what the playlist says of it, and by the part before it.

use std::num::NonZeroU32;
use std::time::Duration;

use super::init::TrackKind;
use super::summary::{MediaSummary, TrackSummary};
use crate::fault::{Fault, FaultKind};

/// How far media may last longer or shorter than the playlist says: both are rounded, the one to ticks of 1/90000
/// s or finer, the other to five or six decimals, or to milliseconds by some servers.
pub const DURATION_TOLERANCE: Duration = Duration::from_millis(1);

/// What must hold between a part or segment and the playlist that lists it.
///
/// `independent` is what the playlist says: INDEPENDENT=YES of a part. A whole segment has to hold an independent
/// frame (8216bis, B.1), so it is `true` for those.
pub fn check_listed(summary: &MediaSummary, listed_duration: Duration, independent: bool) -> Vec<Fault> {
    let mut faults = Vec::new();
    let Some(main) = summary.main_track() else {
        faults.push(Fault::new(FaultKind::BoxStructure, "no track at all; one is needed"));
        return faults;
    };
    let found_ns = ticks_to_ns(main.end.saturating_sub(main.start), main.timescale);
    let listed_ns = listed_duration.as_nanos();
    if found_ns.abs_diff(listed_ns) > DURATION_TOLERANCE.as_nanos() {
        let detail = format!(
            "track {} lasts {} ms; the playlist says {} ms",
            main.track_id,
            Ms(found_ns),
            Ms(listed_ns)
        );
        faults.push(Fault::new(FaultKind::DurationWrong, detail));
    }
    // 4.4.4.9: INDEPENDENT=YES has to be true. That it must be there is only asked of video: without a mark, an
    // audio part can be begun with all the same.
    let main_words = if main.kind == TrackKind::Video { "video" } else { "media" };
    if independent && !main.has_sync {
        let detail =
            format!("independent by the playlist; no sync sample in its {main_words}, one is needed");
        faults.push(Fault::new(FaultKind::SyncFlag, detail));
    }
    if !independent && main.has_sync && main.kind == TrackKind::Video {
        let detail = "a sync sample in its video; INDEPENDENT=YES is needed".to_owned();
        faults.push(Fault::new(FaultKind::SyncFlag, detail));
    }
    faults
}

/// What must hold between a part or segment and the one after it. Not to be asked across EXT-X-DISCONTINUITY, nor
/// where something between the two was not loaded.
pub fn check_continuity(previous: &MediaSummary, next: &MediaSummary) -> Vec<Fault> {
    let mut faults = Vec::new();
    if !is_after(next.sequence_first, previous.sequence_last) {
        let detail = format!(
            "sequence_number of `mfhd` is {}; more than {} is allowed",
            next.sequence_first, previous.sequence_last
        );
        faults.push(Fault::new(FaultKind::BoxStructure, detail));
    }
    for before in &previous.tracks {
        let after = next.tracks.iter().find(|track| track.track_id == before.track_id);
        // A part may lack a track that has no frame in its time.
        if let Some(after) = after {
            check_track(before, after, &mut faults);
        }
    }
    faults
}

fn check_track(before: &TrackSummary, after: &TrackSummary, faults: &mut Vec<Fault>) {
    let id = before.track_id;
    if before.timescale != after.timescale || before.kind != after.kind {
        let detail = format!(
            "track {id} has timescale {} after {}; it may change with EXT-X-DISCONTINUITY only",
            after.timescale, before.timescale
        );
        faults.push(Fault::new(FaultKind::BoxStructure, detail));
        return;
    }
    if let Some((kind, words)) = compare_times(before.end, after.start, after.timescale) {
        faults.push(Fault::new(kind, format!("track {id}: {words}")));
    }
    if let (Some(before), Some(after)) = (before.stamps, after.stamps)
        && let Some((kind, words)) = compare_frames(before.last_frame, after.first_frame)
    {
        faults.push(Fault::new(kind, format!("track {id}: {words}")));
    }
}

/// Whether a decode time continues where the media before it ended; if not, by how much it is off.
pub(super) fn compare_times(end: u64, start: u64, timescale: NonZeroU32) -> Option<(FaultKind, String)> {
    let off_ms = Ms(ticks_to_ns(start.abs_diff(end), timescale));
    match start.cmp(&end) {
        std::cmp::Ordering::Equal => None,
        std::cmp::Ordering::Greater => Some((
            FaultKind::TfdtGap,
            format!("decode time {start} is {off_ms} ms past {end}, where it has to be"),
        )),
        std::cmp::Ordering::Less => Some((
            FaultKind::TfdtRepeat,
            format!("decode time {start} is {off_ms} ms before {end}, where it has to be"),
        )),
    }
}

/// Whether a frame number is the one after another; if not, by how many it is off.
pub(super) fn compare_frames(before: u32, after: u32) -> Option<(FaultKind, String)> {
    let step = after.wrapping_sub(before);
    match step {
        1 => None,
        0 => Some((FaultKind::FrameRepeated, format!("frame {after} came twice"))),
        // More than half the numbers ahead is behind.
        2..0x8000_0000 => Some((
            FaultKind::FrameMissing,
            format!("{} frames missing between {before} and {after}", step - 1),
        )),
        _ => Some((
            FaultKind::FrameRepeated,
            format!("frame {after} came after {before}, {} too late", step.wrapping_neg()),
        )),
    }
}

/// Whether a sequence number is later than another; they wrap at 2^32.
pub(super) fn is_after(next: u32, previous: u32) -> bool {
    next.wrapping_sub(previous).wrapping_sub(1) < 0x7fff_ffff
}

/// Ticks of a timeline in nanoseconds, rounded down.
fn ticks_to_ns(ticks: u64, timescale: NonZeroU32) -> u128 {
    u128::from(ticks) * 1_000_000_000 / u128::from(timescale.get())
}

/// Nanoseconds, shown as milliseconds with three decimals.
struct Ms(u128);

impl std::fmt::Display for Ms {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}.{:03}", self.0 / 1_000_000, self.0 / 1_000 % 1_000)
    }
}
