//! Where a viewer may join a video track, by what its pictures turned out to be.
//!
//! An encoder with open groups of pictures (HEVC: x265 by default) begins all but the first with a CRA picture,
//! and sends after it RASL pictures, which are shown before it and lean on pictures from before it. A decoder can
//! begin at such a picture: it leaves the RASL pictures out. So segments are cut there, and its sample is a sync
//! sample (ISO/IEC 14496-15, section 8.3); otherwise nobody could ever join. But the cut is no clean one, since
//! frames of the segment are missing for who joins: its part is not called INDEPENDENT, and it is counted.
//! A CRA picture whose successor is shown after it has no such pictures, and is as good as an IDR.

use crate::codec::FrameRole;

/// What is known of one video track since it began or was last interrupted.
#[derive(Debug)]
pub(super) struct Joins {
    /// No picture was taken yet.
    is_fresh: bool,
    /// RASL pictures lean on what is not there: they are thrown away until the next picture to begin at.
    drops_leading: bool,
    /// The open part holds a picture at which one can join cleanly.
    part_is_clean: bool,
    /// Presentation time of the newest CRA picture, until its first successor tells about it,
    open: Option<u64>,
    /// and whether the open part is the one that it is in.
    open_is_in_part: bool,
    open_gops: u64,
}

impl Joins {
    pub(super) fn new() -> Self {
        Self {
            is_fresh: true,
            drops_leading: false,
            part_is_clean: false,
            open: None,
            open_is_in_part: false,
            open_gops: 0,
        }
    }

    /// What follows does not lean on what came so far.
    pub(super) fn interrupt(&mut self) {
        *self = Self { open_gops: self.open_gops, ..Self::new() };
    }

    /// Another encoder's pictures follow in the same part.
    pub(super) fn splice(&mut self) {
        *self = Self { open_gops: self.open_gops, part_is_clean: self.part_is_clean, ..Self::new() };
    }

    /// False for a picture that cannot be decoded here and is to be thrown away.
    pub(super) fn takes(&mut self, role: FrameRole) -> bool {
        match role {
            FrameRole::OpenSync => self.drops_leading = self.is_fresh,
            FrameRole::Sync => self.drops_leading = false,
            FrameRole::SkippedLeading if self.drops_leading => return false,
            FrameRole::SkippedLeading | FrameRole::Dependent => {}
        }
        self.is_fresh = false;
        true
    }

    /// A picture is in the open part, shown at this time.
    pub(super) fn note(&mut self, role: FrameRole, presentation: u64) {
        match role {
            FrameRole::Sync => {
                self.part_is_clean = true;
                self.open = None;
            }
            FrameRole::OpenSync => {
                self.open = Some(presentation);
                self.open_is_in_part = true;
            }
            FrameRole::SkippedLeading => self.open_gops += u64::from(self.open.take().is_some()),
            // All leading pictures come before the first that is shown later (H.265, section 7.4.2.2).
            FrameRole::Dependent if self.open.is_some_and(|open| presentation > open) => {
                self.part_is_clean |= self.open_is_in_part;
                self.open = None;
            }
            FrameRole::Dependent => {}
        }
    }

    /// The open part is sealed: can one join cleanly in it? What is not known yet is not said.
    pub(super) fn seal(&mut self) -> bool {
        self.open_is_in_part = false;
        std::mem::take(&mut self.part_is_clean)
    }

    /// Groups of pictures that began with a CRA picture and RASL pictures.
    pub(super) fn open_gops(&self) -> u64 {
        self.open_gops
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use FrameRole::{Dependent, OpenSync, SkippedLeading, Sync};

    /// Whether each part is clean; a part is a list of pictures.
    fn parts(joins: &mut Joins, parts: &[&[(FrameRole, u64)]]) -> Vec<bool> {
        let part = |pictures: &&[(FrameRole, u64)]| {
            for &(role, presentation) in *pictures {
                if joins.takes(role) {
                    joins.note(role, presentation);
                }
            }
            joins.seal()
        };
        parts.iter().map(part).collect()
    }

    #[test]
    fn a_cra_with_rasl_pictures_is_no_clean_join_and_one_without_is() {
        let mut joins = Joins::new();
        let idr: &[_] = &[(Sync, 2), (Dependent, 6), (Dependent, 4)];
        let open: &[_] = &[(OpenSync, 12), (SkippedLeading, 10), (SkippedLeading, 11), (Dependent, 13)];
        // RADL pictures first, as an encoder may mix them.
        let mixed: &[_] = &[(OpenSync, 22), (Dependent, 20), (SkippedLeading, 21), (Dependent, 23)];
        let closed: &[_] = &[(OpenSync, 32), (Dependent, 33)];
        assert_eq!(parts(&mut joins, &[idr, open, mixed, closed]), [true, false, false, true]);
        assert_eq!(joins.open_gops(), 2);
    }

    #[test]
    fn a_part_that_ends_with_a_cra_does_not_know() {
        let mut joins = Joins::new();
        let first: &[_] = &[(Sync, 2)];
        assert_eq!(
            parts(&mut joins, &[first, &[(OpenSync, 12)], &[(Dependent, 13)], &[(Dependent, 14)]]),
            [true, false, false, false]
        );
        assert_eq!(parts(&mut joins, &[&[(OpenSync, 22)], &[(SkippedLeading, 20)]]), [false, false]);
        assert_eq!(joins.open_gops(), 1);
    }

    #[test]
    fn rasl_pictures_without_what_they_lean_on_are_thrown_away() {
        let mut joins = Joins::new();
        let takes = |joins: &mut Joins, roles: &[FrameRole]| -> Vec<bool> {
            roles.iter().map(|&role| joins.takes(role)).collect()
        };
        let group = [OpenSync, SkippedLeading, Dependent, SkippedLeading, Dependent];
        assert_eq!(takes(&mut joins, &group), [true, false, true, false, true]);
        assert_eq!(takes(&mut joins, &group), [true; 5], "the next group leans on this one");
        joins.interrupt();
        assert_eq!(takes(&mut joins, &group), [true, false, true, false, true]);
        joins.interrupt();
        assert_eq!(takes(&mut joins, &[Sync, SkippedLeading]), [true, true]);
        joins.note(Sync, 2);
        joins.splice();
        assert_eq!(takes(&mut joins, &group), [true, false, true, false, true], "another encoder's");
        assert!(joins.seal(), "the part's own key picture counts");
    }
}
