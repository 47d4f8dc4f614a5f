//! The order of a synthetic stream's pictures, and how its bits are dealt out among them.
//!
//! In presentation order a GOP is an IDR picture, then runs of B pictures, each before a P picture; the
//! last run is as short as it must be for the GOP to end with a P picture, so that nothing refers to the
//! next GOP. In decode order each P picture comes before its run of B pictures, which are shown one frame
//! later than they could be.

use super::h264::PictureKind;

/// One picture of a GOP, in decode order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Planned {
    pub(super) kind: PictureKind,
    /// Place in presentation order, the IDR picture's being 0.
    pub(super) display_index: u32,
    /// Reference pictures of the GOP before it in decode order.
    pub(super) references_count: u32,
}

/// The pictures of a GOP of `gop_frames` in decode order, up to `b_frames` B pictures before each P picture.
pub(super) fn decode_order(gop_frames: u32, b_frames: u32) -> Vec<Planned> {
    let mut planned = vec![Planned { kind: PictureKind::Idr, display_index: 0, references_count: 0 }];
    let mut anchor = 0;
    let mut references_count = 1;
    while anchor + 1 < gop_frames {
        let next_anchor = (anchor + 1 + b_frames).min(gop_frames - 1);
        planned.push(Planned { kind: PictureKind::P, display_index: next_anchor, references_count });
        references_count += 1;
        planned.extend((anchor + 1..next_anchor).map(|display_index| Planned {
            kind: PictureKind::B,
            display_index,
            references_count,
        }));
        anchor = next_anchor;
    }
    debug_assert_eq!(planned.len(), gop_frames as usize);
    planned
}

/// Frames by which presentation lags behind decoding: with B pictures, the P picture that they wait for.
pub(super) fn presentation_delay_frames(b_frames: u32) -> u32 {
    u32::from(b_frames > 0)
}

/// Of a picture's share of the bits: an IDR picture gets four times a P picture's, a B picture half of it.
fn weight(kind: PictureKind) -> u64 {
    match kind {
        PictureKind::Idr => 8,
        PictureKind::P => 2,
        PictureKind::B => 1,
    }
}

/// Deals `total_bytes`, at least what all need together, out among pictures of these kinds and needs, by
/// weight, none getting less than it needs; in the pictures' order.
pub(super) fn deal_out(pictures: &[(PictureKind, u64)], total_bytes: u64) -> Vec<u64> {
    debug_assert!(total_bytes >= pictures.iter().map(|&(_, needed)| needed).sum());
    // A picture that needs more than its share gets what it needs; the others share what is left, again and
    // again until all have enough. Each turn settles at least one picture.
    let mut settled = vec![false; pictures.len()];
    loop {
        let mut left_bytes = total_bytes;
        let mut left_weight = 0;
        for (&(kind, needed), &settled) in pictures.iter().zip(&settled) {
            if settled {
                left_bytes -= needed;
            } else {
                left_weight += weight(kind);
            }
        }
        let mut changed = false;
        for (&(kind, needed), settled) in pictures.iter().zip(&mut settled) {
            if !*settled && needed * left_weight > left_bytes * weight(kind) {
                *settled = true;
                changed = true;
            }
        }
        if changed {
            continue;
        }
        // Shares end where the sum of weights so far ends, rounded down: their sum is the total, exactly.
        let mut weight_so_far = 0;
        let share = |(&(kind, needed), &settled): (&(PictureKind, u64), &bool)| {
            if settled {
                return needed;
            }
            let begin = left_bytes * weight_so_far / left_weight;
            weight_so_far += weight(kind);
            left_bytes * weight_so_far / left_weight - begin
        };
        return pictures.iter().zip(&settled).map(share).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use PictureKind::{B, Idr, P};

    fn in_short(gop_frames: u32, b_frames: u32) -> String {
        let pictures = decode_order(gop_frames, b_frames);
        let letter = |kind| match kind {
            Idr => 'I',
            P => 'P',
            B => 'B',
        };
        pictures.iter().map(|picture| format!("{}{}", letter(picture.kind), picture.display_index)).collect()
    }

    #[test]
    fn golden_orders() {
        for (gop_frames, b_frames, order) in [
            (1, 0, "I0"),
            (1, 3, "I0"),
            (4, 0, "I0P1P2P3"),
            (6, 1, "I0P2B1P4B3P5"),
            (7, 2, "I0P3B1B2P6B4B5"),
            (8, 2, "I0P3B1B2P6B4B5P7"),
            (9, 3, "I0P4B1B2B3P8B5B6B7"),
        ] {
            assert_eq!(in_short(gop_frames, b_frames), order);
        }
    }

    #[test]
    fn each_frame_is_shown_once_and_never_before_it_is_decoded() {
        for b_frames in 0..=3 {
            for gop_frames in 1..=40 {
                let pictures = decode_order(gop_frames, b_frames);
                let mut shown: Vec<_> = pictures.iter().map(|picture| picture.display_index).collect();
                let delay = presentation_delay_frames(b_frames);
                assert!((0..).zip(&shown).all(|(decoded, &shown)| shown + delay >= decoded));
                shown.sort_unstable();
                assert!(shown.into_iter().eq(0..gop_frames));
                let last_shown = pictures.iter().max_by_key(|picture| picture.display_index).unwrap();
                assert!(gop_frames == 1 || last_shown.kind == P);
                let references = pictures.iter().filter(|picture| picture.kind != B).count() as u32;
                assert!(pictures.iter().all(|picture| picture.references_count <= references));
            }
        }
    }

    #[test]
    fn bits_are_dealt_out_by_weight_and_nobody_gets_too_little() {
        assert_eq!(deal_out(&[(Idr, 0), (P, 0), (B, 0)], 1100), [800, 200, 100]);
        assert_eq!(deal_out(&[(Idr, 900), (P, 10), (B, 10)], 1200), [900, 200, 100]);
        // The B picture's share is enough only until the IDR picture has taken more than its own.
        assert_eq!(deal_out(&[(Idr, 900), (P, 10), (B, 90)], 1100), [900, 110, 90]);
        assert_eq!(deal_out(&[(Idr, 900), (P, 10), (B, 10)], 920), [900, 10, 10]);
        assert_eq!(deal_out(&[(Idr, 5), (P, 7), (P, 1), (P, 3)], 1001).iter().sum::<u64>(), 1001);
    }
}
