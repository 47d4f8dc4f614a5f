//! Sound that is sent ahead of the pictures of its time, or behind them: nothing that was sent is
//! taken for missing.

use super::*;

/// By how much sound is ahead, milliseconds.
const AHEAD_MS: [i64; 8] = [-500, -100, -20, 20, 40, 100, 300, 500];

/// Publishes groups of `keyint` pictures under a plan made for groups of `planned`.
fn publish(publisher: &Publisher, planned: u64, keyint: u64, wishes: Wishes, seed: u64) -> Caller {
    let plan = Publisher { keyint: planned, ..*publisher }.plan(wishes);
    let mut caller = Caller::new(plan);
    let cadences: Vec<Cadence> = publisher.cadences().iter().map(|&(_, cadence)| cadence).collect();
    let mut timeline = Timeline::new(&cadences, publisher.first_ms);
    let published = Publisher { keyint, ..*publisher };
    published.publish(&mut caller, &mut timeline, 40, &mut Random(seed | 1 << 40));
    caller
}

/// No GAP parts and no silence; every segment within bounds, which the caller checks at each; and
/// segments of the same number as far apart as the tracks, or a part.
fn assert_complete(caller: &Caller, publisher: &Publisher, case: &str) {
    let gaps: u64 = caller.renditions.iter().map(|output| output.gaps).sum();
    let findings = caller.segmenter.findings();
    assert_eq!((gaps, caller.fills), (0, 0), "{case}: {findings:?}");
    assert_eq!((findings.frames_late, findings.parts_short), (0, 0), "{case}: {findings:?}");
    let part_us = i64::from(caller.plan.part_target_ms) * 1000;
    let off_us_max = part_us.max(publisher.audio_ahead_us) + 50_000;
    let [video, others @ ..] = &caller.renditions[..] else { panic!("no renditions") };
    for (segment, lead) in others.iter().flat_map(|output| output.segments.iter().zip(&video.segments)) {
        assert_eq!(segment.cut, lead.cut);
        let off_us = segment.presentation_us - lead.presentation_us;
        assert!(off_us.abs() <= off_us_max, "{case}: segment {} is {off_us} us off", segment.cut);
    }
}

#[test]
fn a_forced_cut_leaves_no_gap_however_far_sound_is_ahead_or_behind() {
    for rate in [(15u32, 1u32), (24, 1), (30_000, 1001), (30, 1), (60, 1)] {
        for wishes in PRESETS {
            for ahead_ms in AHEAD_MS {
                for (planned, keyint) in [(2, 5), (2, 1_000_000), (2, 2)] {
                    let fps = u64::from(rate.0.div_ceil(rate.1));
                    let mut publisher = Publisher::plain(rate, Some(48_000), 0);
                    publisher.audio_ahead_us = ahead_ms * 1000;
                    let caller = publish(&publisher, planned * fps, keyint * fps, wishes, 5);
                    let case = format!("{rate:?} {wishes:?} {ahead_ms} {keyint}");
                    assert_complete(&caller, &publisher, &case);
                    let forced = caller.segmenter.findings().forced_cuts;
                    let longest_s = u64::from(caller.plan.target_duration_s);
                    assert_eq!(forced > 0, keyint > longest_s, "{case}: {forced}");
                    let lead = &caller.renditions[0].segments;
                    assert!(lead.iter().all(|segment| segment.independent != segment.forced), "{case}");
                }
            }
        }
    }
}

/// A GOP as long as a segment may be: the cut is known only when sound is past it.
#[test]
fn sound_ahead_of_a_key_frame_that_comes_at_the_last_moment_is_cut_without_it() {
    for ahead_ms in AHEAD_MS {
        let mut publisher = Publisher::plain((30, 1), Some(44_100), 0);
        publisher.audio_ahead_us = ahead_ms * 1000;
        let caller = publish(&publisher, 72, 72, PRESETS[1], 3);
        assert_complete(&caller, &publisher, &format!("{ahead_ms}"));
        assert_eq!(caller.segmenter.findings().forced_cuts, 0, "{ahead_ms}");
    }
}

#[test]
fn random_groups_reordering_and_interleaving_leave_no_gap() {
    for seed in 1..=300u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        random.below(2);
        let rate = RATES[random.below(10) as usize];
        let mut publisher = Publisher::plain(rate, [Some(44_100), Some(48_000)][random.below(2) as usize], 0);
        publisher.audio_ahead_us = random.below(1_000_001) as i64 - 500_000;
        publisher.scene_cut_in = random.below(3) * 60;
        publisher.reorder = random.below(4) as i64;
        publisher.jitter_ms = [0, 2][random.below(2) as usize];
        let keyint = 10 + random.below(600);
        let mut caller =
            publish(&publisher, 10 + random.below(120), keyint, PRESETS[random.below(3) as usize], seed);
        assert_complete(&caller, &publisher, &format!("seed {seed}"));
        caller.close_all();
    }
}

/// The pictures stop while sound is ahead, in mid segment or behind a cut that sound has made alone.
#[test]
fn a_publisher_that_leaves_while_sound_is_a_cut_ahead_leaves_equal_segments_behind() {
    for frames in 60..160 {
        let mut publisher = Publisher::plain((30, 1), Some(48_000), 60);
        publisher.audio_ahead_us = 400_000;
        let mut caller = Caller::new(publisher.plan(PRESETS[1]));
        let audio_frames = (frames * 1600 + 19_200) / 1024;
        caller.frame(0, video_frame(0), true);
        let mut audio = 0;
        for n in 1..frames {
            caller.at(n * 1_000_000 / 30);
            while audio < (n * 1600 + 19_200) / 1024 {
                caller.frame(1, audio_frame(audio), true);
                audio += 1;
            }
            caller.frame(0, video_frame(n), false);
        }
        for m in audio..audio_frames {
            caller.frame(1, audio_frame(m), true);
        }
        caller.close_all();
        let last_us = caller.renditions[1].segments.last().expect("segments").presentation_us;
        let video = caller.renditions[0].segments.last().expect("segments").presentation_us;
        assert!(last_us.abs_diff(video) <= 450_000, "{frames}: {last_us} {video}");
        feed(&mut caller, frames + 45..frames + 120, 45, |_, _| false);
        caller.close_all();
    }
}
