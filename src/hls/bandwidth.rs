//! What a session declares as BANDWIDTH and AVERAGE-BANDWIDTH (sections 4.4.6.2 and 6.2.4 of
//! draft-pantos-hls-rfc8216bis-22), measured once, before its first playlist.

use super::SessionId;
use super::window::{DeclaredBandwidth, RenditionWindow, Segment, Window};

/// Declared figures are whole kilobits.
const DECLARED_STEP_BITS: u64 = 1_000;

/// Measures a session's listed segments: the sum over its renditions, which play together. `None` while one
/// of them has no complete segment with media.
///
/// Live streams vary: the peak is declared with 25% to spare and the average with 10%, the tolerances that
/// Apple's rules 1.28 and 1.29 give to what is measured later.
pub fn declare(window: &Window, session: SessionId) -> Option<DeclaredBandwidth> {
    let session = window.session(session)?;
    let target_ms = u64::from(session.start.session.target_duration_s) * 1000;
    let (mut peak_bits, mut average_bits) = (0u64, 0u64);
    for window in &session.renditions {
        let (peak, average) = measure(window, target_ms)?;
        peak_bits = peak_bits.saturating_add(peak);
        average_bits = average_bits.saturating_add(average);
    }
    let declared = |bits: u64, percent: u64| {
        let with_margin = u128::from(bits) * u128::from(percent) / 100;
        let bits = u64::try_from(with_margin).unwrap_or(u64::MAX - DECLARED_STEP_BITS);
        bits.next_multiple_of(DECLARED_STEP_BITS)
    };
    let average_bits = declared(average_bits, 110);
    Some(DeclaredBandwidth { peak_bits: declared(peak_bits, 125).max(average_bits), average_bits })
}

/// Peak and average of one rendition, bits a second. The peak is taken over all contiguous runs of segments
/// that last 0.5 to 1.5 target durations; where there is none, over each segment.
fn measure(window: &RenditionWindow, target_ms: u64) -> Option<(u64, u64)> {
    let measured = |segment: &&Segment| segment.complete && !segment.is_gap();
    let segments: Vec<(u64, u64)> = window
        .listed()
        .filter(measured)
        .map(|segment| (segment_bytes(segment), window.ms_floor(segment.duration_ticks).max(1)))
        .collect();
    let (bytes, ms) = segments.iter().fold((0, 0), |sum, each| (sum.0 + each.0, sum.1 + each.1));
    let mut peak = None;
    for from in 0..segments.len() {
        let (mut bytes, mut ms) = (0, 0);
        for segment in &segments[from..] {
            bytes += segment.0;
            ms += segment.1;
            if 2 * ms > 3 * target_ms {
                break;
            }
            if 2 * ms >= target_ms {
                peak = peak.max(Some(bits_per_second(bytes, ms)));
            }
        }
    }
    let each = || segments.iter().map(|&(bytes, ms)| bits_per_second(bytes, ms)).max();
    Some((peak.or_else(each)?, bits_per_second(bytes, ms)))
}

fn segment_bytes(segment: &Segment) -> u64 {
    segment.parts.iter().filter_map(|part| part.media.as_ref()).map(|media| media.len() as u64).sum()
}

/// Bytes are bounded by what a stream may keep, so a thousandfold of their bits fits.
fn bits_per_second(bytes: u64, ms: u64) -> u64 {
    bytes.saturating_mul(8 * 1000) / ms.max(1)
}
