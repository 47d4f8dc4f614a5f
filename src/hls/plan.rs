//! What is frozen from a session's first playlist: PART-TARGET, TARGETDURATION, hold-back, skip
//! boundary (draft-pantos-hls-rfc8216bis-22, 4.4.3.1, 4.4.3.7, 4.4.3.8, 4.4.4.9).
//!
//! A preset is a wish. A part lasts between 85% and 100% of PART-TARGET as printed, and is made of
//! whole frames; so PART-TARGET is a number of frames, rounded up to a millisecond.

use serde::{Deserialize, Serialize};

use super::RenditionId;
use crate::limits::{PART_TARGET_MS_MAX, SEGMENT_TARGET_MS_MAX, TRACKS_MAX};
use crate::media::{Cadence, TrackId, TrackKind};

/// What a preset asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wishes {
    /// Duration of a part, milliseconds.
    pub part_ms: u32,
    /// Duration from which a segment is cut, milliseconds.
    pub segment_ms: u32,
}

/// One track as it was learnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LearntTrack {
    /// Its place among the publisher's.
    pub track: TrackId,
    /// The rendition that carries it; two tracks of one rendition are muxed.
    pub rendition: RenditionId,
    /// Pictures or sound.
    pub kind: TrackKind,
    /// How its frames follow one another.
    pub cadence: Cadence,
}

/// The frozen values of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// PART-TARGET, milliseconds.
    pub part_target_ms: u32,
    /// PART-HOLD-BACK, milliseconds.
    pub part_hold_back_ms: u32,
    /// TARGETDURATION, seconds.
    pub target_duration_s: u32,
    /// CAN-SKIP-UNTIL, seconds.
    pub can_skip_until_s: u32,
    /// From here on a segment is cut at a key frame, milliseconds.
    pub segment_target_ms: u32,
    /// Expected group of pictures, milliseconds; 0 without video.
    pub gop_ms: u32,
    /// By [`TrackId`]: `tracks[i].track == TrackId(i)`.
    pub tracks: Vec<TrackPlan>,
}

/// One track of a planned session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrackPlan {
    /// Its place in [`Plan::tracks`].
    pub track: TrackId,
    /// The rendition that carries it.
    pub rendition: RenditionId,
    /// Pictures or sound.
    pub kind: TrackKind,
    /// How its frames follow one another.
    pub cadence: Cadence,
    /// Frames of a full part; one of a variable rate may hold more.
    pub frames_per_part: u32,
}

/// Why no session can be planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// No tracks, too many, or not numbered from 0 without holes.
    #[error("{found} tracks, or their numbers have holes; 1 to {TRACKS_MAX} are allowed")]
    Tracks {
        /// Tracks given.
        found: usize,
    },
    /// Wishes of zero or beyond their bounds.
    #[error(
        "a part of {part_ms} ms in segments of {segment_ms} ms; up to {PART_TARGET_MS_MAX} and {SEGMENT_TARGET_MS_MAX} are allowed"
    )]
    Wishes {
        /// Part wish.
        part_ms: u32,
        /// Segment target.
        segment_ms: u32,
    },
    /// Frames come so rarely that parts would be longer than allowed.
    #[error("no part of up to {PART_TARGET_MS_MAX} ms holds whole frames of every track to 85%")]
    FramesTooLong,
}

/// A part is at least this much of PART-TARGET (4.4.4.9), per cent.
pub(super) const PART_FILL_PERCENT_MIN: u64 = 85;
/// No segment is longer than TARGETDURATION and this, milliseconds.
pub(super) const ROUNDING_MS: u32 = 499;

impl Plan {
    /// Plans a session. `gop_ms` is the expected group of pictures, 0 when there is no video.
    ///
    /// # Errors
    /// [`PlanError`] when the tracks or wishes are out of bounds, or no PART-TARGET suits the tracks.
    pub fn new(wishes: Wishes, gop_ms: u32, tracks: &[LearntTrack]) -> Result<Self, PlanError> {
        let Wishes { part_ms, segment_ms } = wishes;
        let mut learnt = tracks.to_vec();
        learnt.sort_by_key(|track| track.track);
        let numbered = learnt.iter().enumerate().all(|(index, track)| usize::from(track.track.0) == index);
        if learnt.is_empty() || learnt.len() > TRACKS_MAX || !numbered || !renditions_are_numbered(&learnt) {
            return Err(PlanError::Tracks { found: tracks.len() });
        }
        let allowed = 1..=PART_TARGET_MS_MAX;
        if !allowed.contains(&part_ms) || !(part_ms..=SEGMENT_TARGET_MS_MAX).contains(&segment_ms) {
            return Err(PlanError::Wishes { part_ms, segment_ms });
        }
        let part_target_ms = part_target_ms(part_ms, &learnt).ok_or(PlanError::FramesTooLong)?;
        let frames = FramesMs::of(&learnt);
        let segment_ms_max = segment_ms
            .max(gop_ms.min(SEGMENT_TARGET_MS_MAX) + frames.longest_other)
            .max(frames.segment_min() + frames.longest_other);
        // 4.4.3.1: an EXTINF, rounded to the nearest integer, is at most TARGETDURATION.
        let target_duration_s = ((segment_ms_max + 500) / 1000).max(part_target_ms.div_ceil(1000));
        Ok(Self {
            part_target_ms,
            part_hold_back_ms: 3 * part_target_ms,
            target_duration_s,
            can_skip_until_s: 6 * target_duration_s,
            segment_target_ms: segment_ms,
            gop_ms,
            tracks: learnt.iter().map(|track| planned(track, part_target_ms)).collect(),
        })
    }

    /// True when a returning publisher's tracks can go on under these values: the same tracks and
    /// timescales, whose frames fill parts of this PART-TARGET to 85% and leave room for cuts within
    /// this TARGETDURATION.
    pub fn fits(&self, tracks: &[LearntTrack]) -> bool {
        let same = |plan: &TrackPlan| {
            let returned = tracks.iter().find(|track| track.track == plan.track);
            returned.is_some_and(|track| {
                (track.rendition, track.kind) == (plan.rendition, plan.kind)
                    && track.cadence.timescale() == plan.cadence.timescale()
                    && fills_parts(track, self.part_target_ms)
            })
        };
        let cuts_have_room = || {
            let frames = FramesMs::of(tracks);
            let longest = u64::from(frames.segment_min()) + u64::from(frames.longest_other);
            longest <= u64::from(self.segment_ms_max())
        };
        tracks.len() == self.tracks.len() && self.tracks.iter().all(same) && cuts_have_room()
    }

    /// Longest EXTINF that still rounds to TARGETDURATION, milliseconds.
    pub(super) fn segment_ms_max(&self) -> u32 {
        self.target_duration_s * 1000 + ROUNDING_MS
    }

    /// These values for a returning publisher that [fits](Self::fits).
    pub fn with_cadences(&self, tracks: &[LearntTrack]) -> Self {
        let mut plan = self.clone();
        for track in tracks {
            if let Some(place) = plan.tracks.get_mut(usize::from(track.track.0)) {
                *place = planned(track, self.part_target_ms);
            }
        }
        plan
    }

    /// The track that cuts are made on: the first video track, or the first audio track.
    pub fn cutting_track(&self) -> &TrackPlan {
        self.tracks.iter().find(|track| track.kind == TrackKind::Video).unwrap_or(&self.tracks[0])
    }
}

/// How long frames last, milliseconds, rounded up.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct FramesMs {
    /// Of the track with the longest ones.
    longest: u32,
    /// The same beside the track that cuts are made on: the others end up to a frame later than it.
    pub(super) longest_other: u32,
}

impl FramesMs {
    /// Of a session's tracks; nothing where there are none.
    fn of(tracks: &[LearntTrack]) -> Self {
        let Some(cutting) = tracks.first().map(|_| cutting_track(tracks).track) else {
            return Self::default();
        };
        Self::new(cutting, tracks.iter().map(|track| (track.track, track.cadence)))
    }

    /// Of tracks of which `cutting` is the one that cuts are made on.
    pub(super) fn new(cutting: TrackId, tracks: impl Iterator<Item = (TrackId, Cadence)>) -> Self {
        tracks.fold(Self::default(), |frames, (track, cadence)| {
            let ms = frame_ms_ceil(cadence);
            let other = if track == cutting { 0 } else { ms };
            Self { longest: frames.longest.max(ms), longest_other: frames.longest_other.max(other) }
        })
    }

    /// The shortest segment: two frames, so that every rendition has one in between.
    pub(super) fn segment_min(self) -> u32 {
        self.longest.saturating_mul(2)
    }
}

fn planned(learnt: &LearntTrack, part_target_ms: u32) -> TrackPlan {
    let &LearntTrack { track, rendition, kind, cadence } = learnt;
    let frames_per_part = whole_frames(cadence, part_target_ms).max(1);
    TrackPlan { track, rendition, kind, cadence, frames_per_part }
}

/// Renditions are numbered from 0 without holes.
fn renditions_are_numbered(tracks: &[LearntTrack]) -> bool {
    let mut ids: Vec<u8> = tracks.iter().map(|track| track.rendition.0).collect();
    ids.sort_unstable();
    ids.dedup();
    ids.iter().enumerate().all(|(index, &id)| usize::from(id) == index)
}

fn cutting_track(tracks: &[LearntTrack]) -> &LearntTrack {
    tracks.iter().find(|track| track.kind == TrackKind::Video).unwrap_or(&tracks[0])
}

/// The number of frames nearest to the wish, raised until the parts of every track are full enough.
fn part_target_ms(wish_ms: u32, tracks: &[LearntTrack]) -> Option<u32> {
    let longest_ms = |track: &LearntTrack| {
        let longest = i64::from(track.cadence.longest_ticks());
        u32::try_from(track.cadence.timescale().to_us_floor(longest) / 1000 + 1).unwrap_or(u32::MAX)
    };
    let suits =
        |&target: &u32| target <= PART_TARGET_MS_MAX && tracks.iter().all(|track| fills_parts(track, target));
    let cadence = cutting_track(tracks).cadence;
    match cadence {
        Cadence::Grid { timescale, frame_ticks, .. } | Cadence::Samples { timescale, frame_ticks, .. } => {
            let (rate, frame) = (u64::from(timescale.get()), u64::from(frame_ticks));
            let nearest = (u64::from(wish_ms) * rate + 500 * frame) / (1000 * frame);
            let targets = (nearest.max(1)..).map(|frames| (frames * frame * 1000).div_ceil(rate));
            let mut targets =
                targets.map_while(|ms| u32::try_from(ms).ok()).take_while(|&ms| ms <= PART_TARGET_MS_MAX);
            targets.find(suits)
        }
        Cadence::Variable { .. } => {
            let longest = tracks.iter().map(longest_ms).max().unwrap_or(0);
            (wish_ms.max(longest)..=PART_TARGET_MS_MAX).find(suits)
        }
    }
}

/// Whole frames of a track fill a part to 85% and no more than 100%. Audio must still do so with
/// its clock slewed by a millisecond; of a variable rate typical frames must, and the longest one fit.
fn fills_parts(track: &LearntTrack, part_target_ms: u32) -> bool {
    let rate = u64::from(track.cadence.timescale().get());
    let slew_ms = u32::from(matches!(track.cadence, Cadence::Samples { .. }));
    let frames = u64::from(whole_frames(track.cadence, part_target_ms.saturating_sub(slew_ms)));
    let filled = frames * u64::from(track.cadence.frame_ticks()) * 1000 * 100;
    filled >= PART_FILL_PERCENT_MIN * u64::from(part_target_ms) * rate
        && u64::from(track.cadence.longest_ticks()) * 1000 <= u64::from(part_target_ms) * rate
}

/// Frames of the grid, or typical ones, that fit in this time.
fn whole_frames(cadence: Cadence, ms: u32) -> u32 {
    let ticks = u64::from(ms) * u64::from(cadence.timescale().get()) / 1000;
    u32::try_from(ticks / u64::from(cadence.frame_ticks().max(1))).unwrap_or(u32::MAX)
}

/// Duration of a frame in milliseconds, rounded up: of sound the longest one, of pictures a typical one.
fn frame_ms_ceil(cadence: Cadence) -> u32 {
    let frame_ticks = match cadence {
        Cadence::Samples { longest_ticks, .. } => longest_ticks,
        Cadence::Grid { .. } | Cadence::Variable { .. } => cadence.frame_ticks(),
    };
    let ticks = u64::from(frame_ticks) * 1000;
    u32::try_from(ticks.div_ceil(u64::from(cadence.timescale().get()))).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{FrameRate, Timescale};
    use proptest::prelude::*;

    fn video(frames: u32, seconds: u32) -> Cadence {
        let rate = FrameRate::new(frames, seconds).unwrap();
        let dts: Vec<i64> = (0..600).map(|n| n * 1000 * i64::from(seconds) / i64::from(frames)).collect();
        Cadence::learn_video(&dts, &[rate])
    }

    fn audio(rate: u32) -> Cadence {
        Cadence::learn_audio(&[], Timescale::new(rate).unwrap(), 1024)
    }

    fn tracks(cadences: &[(TrackKind, Cadence)]) -> Vec<LearntTrack> {
        let track = |(index, &(kind, cadence)): (u8, &(TrackKind, Cadence))| LearntTrack {
            track: TrackId(index),
            rendition: RenditionId(index),
            kind,
            cadence,
        };
        (0u8..).zip(cadences).map(track).collect()
    }

    const RATES: [(u32, u32); 10] = [
        (15, 1),
        (24_000, 1001),
        (24, 1),
        (25, 1),
        (30_000, 1001),
        (30, 1),
        (48, 1),
        (50, 1),
        (60_000, 1001),
        (60, 1),
    ];
    const PRESETS: [Wishes; 3] = [
        Wishes { part_ms: 200, segment_ms: 1000 },
        Wishes { part_ms: 334, segment_ms: 2000 },
        Wishes { part_ms: 1000, segment_ms: 6000 },
    ];

    /// The rules of 4.4.3.1, 4.4.3.7, 4.4.3.8 and 4.4.4.9, from the outside.
    fn assert_lawful(plan: &Plan) {
        let (target_ms, td_ms) = (f64::from(plan.part_target_ms), f64::from(plan.target_duration_s) * 1000.0);
        assert!(plan.part_hold_back_ms == 3 * plan.part_target_ms);
        assert!(plan.can_skip_until_s >= 6 * plan.target_duration_s);
        for track in &plan.tracks {
            if let Cadence::Grid { timescale, frame_ticks, .. }
            | Cadence::Samples { timescale, frame_ticks, .. } = track.cadence
            {
                let frame_ms = f64::from(frame_ticks) * 1000.0 / f64::from(timescale.get());
                let part_ms = f64::from(track.frames_per_part) * frame_ms;
                assert!(part_ms <= target_ms + 1e-9, "{plan:?}");
                assert!(part_ms >= 0.85 * target_ms - 1e-9, "{plan:?}");
                assert!(part_ms + frame_ms > target_ms, "{plan:?}");
            }
        }
        assert!(td_ms + 499.0 >= f64::from(plan.segment_target_ms.max(plan.gop_ms)), "{plan:?}");
        // Two frames of every track between cuts, and another one until the last rendition has made the cut.
        let frame_ms = |track: &TrackPlan| {
            f64::from(track.cadence.frame_ticks()) * 1000.0 / f64::from(track.cadence.timescale().get())
        };
        let longest = |tracks: &mut dyn Iterator<Item = &TrackPlan>| tracks.map(frame_ms).fold(0.0, f64::max);
        let cutting = plan.cutting_track().track;
        let others = longest(&mut plan.tracks.iter().filter(|track| track.track != cutting));
        assert!(td_ms + 499.0 >= 2.0 * longest(&mut plan.tracks.iter()) + others, "{plan:?}");
    }

    #[test]
    fn every_rate_and_preset_gets_lawful_values_near_the_wish() {
        for (frames, seconds) in RATES {
            for audio_rate in [Some(44_100), Some(48_000), None] {
                for wishes in PRESETS {
                    let mut cadences = vec![(TrackKind::Video, video(frames, seconds))];
                    cadences.extend(audio_rate.map(|rate| (TrackKind::Audio, audio(rate))));
                    let learnt = tracks(&cadences);
                    for gop_ms in [500, 1000, 2000, 2002, 8333, 10_000] {
                        let plan = Plan::new(wishes, gop_ms, &learnt).unwrap();
                        assert_lawful(&plan);
                        assert!(plan.fits(&learnt));
                        let off = plan.part_target_ms.abs_diff(wishes.part_ms);
                        assert!(
                            off <= 34,
                            "{frames}/{seconds} {audio_rate:?} {wishes:?}: {}",
                            plan.part_target_ms
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn known_targets() {
        for (frames, seconds, wish, expected) in [
            (30_000, 1001, 200, 201),
            (24, 1, 200, 209),
            (30, 1, 200, 200),
            (30, 1, 334, 334),
            (25, 1, 334, 320),
            (60, 1, 1000, 1000),
        ] {
            let wishes = Wishes { part_ms: wish, segment_ms: 2000 };
            let learnt =
                tracks(&[(TrackKind::Video, video(frames, seconds)), (TrackKind::Audio, audio(48_000))]);
            assert_eq!(Plan::new(wishes, 2000, &learnt).unwrap().part_target_ms, expected, "{frames} {wish}");
        }
        for (gop_ms, expected) in
            [(0, 2), (2000, 2), (2400, 2), (2490, 3), (8333, 8), (8490, 9), (10_000, 10)]
        {
            let learnt = tracks(&[(TrackKind::Video, video(30, 1)), (TrackKind::Audio, audio(48_000))]);
            assert_eq!(
                Plan::new(PRESETS[1], gop_ms, &learnt).unwrap().target_duration_s,
                expected,
                "{gop_ms}"
            );
        }
    }

    #[test]
    fn audio_alone_is_planned_on_its_own_frames() {
        for rate in [22_050, 32_000, 44_100, 48_000] {
            for wishes in PRESETS {
                let plan = Plan::new(wishes, 0, &tracks(&[(TrackKind::Audio, audio(rate))])).unwrap();
                assert_lawful(&plan);
                assert_eq!(plan.cutting_track().kind, TrackKind::Audio);
                assert_eq!(plan.target_duration_s * 1000, wishes.segment_ms);
            }
        }
    }

    #[test]
    fn a_variable_rate_gets_parts_of_its_longest_gap() {
        let variable =
            Cadence::Variable { timescale: Timescale::VIDEO, typical_ticks: 3000, longest_ticks: 40_500 };
        let learnt = tracks(&[(TrackKind::Video, variable), (TrackKind::Audio, audio(48_000))]);
        let plan = Plan::new(PRESETS[1], 2000, &learnt).unwrap();
        assert!((451..470).contains(&plan.part_target_ms), "{}", plan.part_target_ms);
        assert_lawful(&plan);
    }

    /// 4.4.4.9: at 5 frames a second a part of 334 ms holds one frame, 60% of it.
    #[test]
    fn typical_frames_of_a_variable_rate_fill_its_parts() {
        for (typical_ms, longest_ms) in [(200, 200), (200, 201), (250, 260), (40, 400), (1000, 1000)] {
            let cadence = Cadence::Variable {
                timescale: Timescale::VIDEO,
                typical_ticks: typical_ms * 90,
                longest_ticks: longest_ms * 90,
            };
            let learnt = tracks(&[(TrackKind::Video, cadence), (TrackKind::Audio, audio(48_000))]);
            for wishes in PRESETS {
                let plan = Plan::new(wishes, 2000, &learnt).unwrap();
                let target_ms = plan.part_target_ms;
                let filled_ms = target_ms / typical_ms * typical_ms;
                assert!(filled_ms * 100 >= target_ms * 85, "{typical_ms} ms in {target_ms} ms");
                assert!(target_ms >= longest_ms, "{longest_ms} ms in {target_ms} ms");
            }
        }
    }

    /// FLAC has blocks of up to 65,535 samples, a packet of E-AC-3 many frames; video may be a picture in two seconds.
    #[test]
    fn long_frames_get_a_target_duration_that_cuts_have_room_in() {
        let samples = |samples| Cadence::learn_audio(&[], Timescale::new(48_000).unwrap(), samples);
        let grid = |frame_ms: u32| Cadence::Grid {
            timescale: Timescale::VIDEO,
            frame_ticks: frame_ms * 90,
            tolerance_ticks: 0,
        };
        let with = |video, audio| tracks(&[(TrackKind::Video, video), (TrackKind::Audio, audio)]);
        for (video, audio, target_duration_s) in [
            (video(30, 1), samples(65_535), 4),
            (video(30, 1), samples(43 * 1536), 4),
            (grid(2000), samples(1024), 4),
            (grid(4000), samples(1024), 8),
            (grid(4000), samples(4 * 48_000 - 1024), 12),
        ] {
            for wishes in PRESETS {
                let learnt = with(video, audio);
                let plan = Plan::new(wishes, 2000, &learnt).unwrap();
                assert_lawful(&plan);
                assert!(plan.target_duration_s >= target_duration_s, "{plan:?}");
                assert!(plan.fits(&learnt));
            }
        }
        // Blocks that are mostly short, of a FLAC that announces long ones.
        let learnt = with(video(30, 1), samples(4096).with_longest_samples(65_535));
        let plan = Plan::new(PRESETS[1], 2000, &learnt).unwrap();
        assert!(plan.part_target_ms >= 1366 && plan.target_duration_s >= 4, "{plan:?}");
        assert_lawful(&plan);
        // One frame fills the parts of many, and leaves no room for two of them between cuts.
        let frozen = Wishes { part_ms: 1400, segment_ms: 2000 };
        let plan = Plan::new(frozen, 2000, &with(video(30, 1), samples(1024))).unwrap();
        assert_eq!(plan.target_duration_s, 2);
        assert!(fills_parts(&with(video(30, 1), samples(65_535))[1], plan.part_target_ms));
        assert!(!plan.fits(&with(video(30, 1), samples(65_535))));
    }

    #[test]
    fn refuses_what_cannot_be_planned() {
        let slow = Cadence::Grid { timescale: Timescale::VIDEO, frame_ticks: 900_000, tolerance_ticks: 1 };
        let one = |cadence| tracks(&[(TrackKind::Video, cadence)]);
        assert_eq!(Plan::new(PRESETS[0], 0, &one(slow)), Err(PlanError::FramesTooLong));
        assert_eq!(Plan::new(PRESETS[0], 0, &[]), Err(PlanError::Tracks { found: 0 }));
        let mut holes = one(audio(48_000));
        holes[0].track = TrackId(1);
        assert_eq!(Plan::new(PRESETS[0], 0, &holes), Err(PlanError::Tracks { found: 1 }));
        for (part_ms, segment_ms) in [(0, 1000), (2000, 1000), (6000, 7000), (200, 70_000)] {
            let wishes = Wishes { part_ms, segment_ms };
            let found = Plan::new(wishes, 0, &one(audio(48_000)));
            assert_eq!(found, Err(PlanError::Wishes { part_ms, segment_ms }));
        }
    }

    #[test]
    fn a_returning_publisher_fits_when_its_frames_fill_the_frozen_parts() {
        let with = |frames, seconds, rate| {
            tracks(&[(TrackKind::Video, video(frames, seconds)), (TrackKind::Audio, audio(rate))])
        };
        let plan = Plan::new(PRESETS[1], 2000, &with(30, 1, 48_000)).unwrap();
        assert!(plan.fits(&with(60, 1, 48_000)), "twice the frames fill the same parts");
        assert_eq!(plan.with_cadences(&with(60, 1, 48_000)).tracks[0].frames_per_part, 20);
        assert!(!plan.fits(&with(30, 1, 44_100)), "another timescale");
        assert!(!plan.fits(&with(30_000, 1001, 48_000)), "another timescale");
        assert!(!plan.fits(&with(30, 1, 48_000)[..1]), "a track less");
        assert!(!plan.fits(&with(4, 1, 48_000)), "250 of 334 ms");
    }

    proptest! {
        #[test]
        fn any_grid_gets_lawful_values_or_none(
            frame_ticks in 300u32..90_000,
            rate in 8_000u32..96_000,
            samples in prop::sample::select(vec![480u32, 576, 960, 1024, 1152, 1536, 2048]),
            part_ms in 100u32..2000,
            gop_ms in 0u32..12_000,
        ) {
            let grid = Cadence::Grid { timescale: Timescale::VIDEO, frame_ticks, tolerance_ticks: 0 };
            let audio = Cadence::learn_audio(&[], Timescale::new(rate).unwrap(), samples);
            let learnt = tracks(&[(TrackKind::Video, grid), (TrackKind::Audio, audio)]);
            let wishes = Wishes { part_ms, segment_ms: 2000 };
            match Plan::new(wishes, gop_ms, &learnt) {
                Ok(plan) => assert_lawful(&plan),
                Err(error) => prop_assert_eq!(error, PlanError::FramesTooLong),
            }
        }
    }
}
