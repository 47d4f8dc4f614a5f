//! What a reload asks for, and whether the playlist has it (RFC 8216bis, section 6.2.5).

use super::stream::{Rendition, TARGET_S, Track};

/// The delivery directives of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Directives {
    /// `_HLS_msn`.
    pub msn: Option<u64>,
    /// `_HLS_part`.
    pub part: Option<u64>,
    /// `_HLS_skip`, `YES` or `v2`.
    pub skip: bool,
}

impl Directives {
    /// Reads a query; `None` for a directive that is no number or comes twice. Other parameters are ignored.
    pub fn parse(query: &str) -> Option<Self> {
        let mut directives = Self::default();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let number = match name {
                "_HLS_msn" => &mut directives.msn,
                "_HLS_part" => &mut directives.part,
                "_HLS_skip" => {
                    directives.skip = matches!(value, "YES" | "v2");
                    continue;
                }
                _ => continue,
            };
            if !value.bytes().all(|byte| byte.is_ascii_digit()) || number.is_some() {
                return None;
            }
            *number = Some(value.parse().ok()?);
        }
        // 6.2.5.2: _HLS_part without _HLS_msn is refused.
        (directives.part.is_none() || directives.msn.is_some()).then_some(directives)
    }

    /// Whether there are any.
    pub fn any(&self) -> bool {
        self.msn.is_some() || self.skip
    }
}

/// What to do with a reload now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The playlist has what was asked for.
    Ready,
    /// It will have it.
    Wait,
    /// It is too far ahead.
    Reject,
}

/// Whether the playlist has what is asked for.
pub fn decide(rendition: &Rendition, directives: Directives) -> Decision {
    let Some(mut msn) = directives.msn else { return Decision::Ready };
    let (open_msn, open_parts_count) = rendition.hint();
    // 6.2.5.2: two segments behind the last complete one are too far.
    if msn > open_msn + 1 {
        return Decision::Reject;
    }
    let Some(mut part) = directives.part else {
        return if msn < open_msn { Decision::Ready } else { Decision::Wait };
    };
    // 6.2.5.2: a part index past a complete segment's last part means part 0 of the next segment.
    let past_its_end =
        rendition.segment(msn).is_some_and(|segment| msn < open_msn && part >= segment.listed_count());
    if past_its_end {
        (msn, part) = (msn + 1, 0);
    }
    let have_count = if msn == open_msn { open_parts_count } else { 0 };
    if msn < open_msn || part < have_count {
        Decision::Ready
    } else if part > have_count.saturating_sub(1) + advance_part_limit(rendition) {
        Decision::Reject
    } else {
        Decision::Wait
    }
}

/// 6.2.5.2: three seconds of parts, or three parts where they are longer.
fn advance_part_limit(rendition: &Rendition) -> u64 {
    let target_ticks = rendition.shape.part_frames * Track::Video.frame_ticks();
    (3 * Track::Video.timescale()).div_ceil(target_ticks).max(3)
}

/// How long a request may wait before it gets 503: 6.2.5.2 has three target durations.
pub const WAIT_S: u64 = 3 * TARGET_S;
