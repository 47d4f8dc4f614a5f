use super::*;
use crate::media::FrameRate;

const VIDEO: TrackId = TrackId(0);
const AUDIO: TrackId = TrackId(1);

fn video_at(frames: u32, seconds: u32) -> Cadence {
    let dts: Vec<i64> = (0..300).map(|n| n * 1000 * i64::from(seconds) / i64::from(frames)).collect();
    Cadence::learn_video(&dts, &[FrameRate::new(frames, seconds).unwrap()])
}

fn audio_at(rate: u32) -> Cadence {
    Cadence::learn_audio(&[], Timescale::new(rate).unwrap(), 1024)
}

fn at_30_and_48k(anchor_ms: i64) -> Timeline {
    Timeline::new(&[video_at(30, 1), audio_at(48_000)], anchor_ms)
}

fn now(placed: Placed) -> FrameTime {
    match placed {
        Placed::Now(time) => time,
        other => panic!("{other:?}"),
    }
}

#[test]
fn unwraps_at_2_31_and_2_32_in_both_directions() {
    for (wrap, first) in [(1u64 << 31, (1u64 << 31) - 100), (1 << 32, (1 << 32) - 100), (1 << 33, 5)] {
        let mut unwrap = Unwrap::default();
        // Audio is a little behind video all along.
        for step in 0..50u64 {
            for time in [first + step * 20, first + step * 20 - 5] {
                let extended = unwrap.unwrap_ms((time % wrap) as u32);
                assert_eq!(extended as u64, time, "wrap at {wrap}");
            }
        }
        assert!(unwrap.wraps() > 0 || wrap == 1 << 33);
    }
    let mut unwrap = Unwrap::default();
    let mut time = 0u64;
    for _ in 0..100 {
        assert_eq!(unwrap.unwrap_ms(time as u32) as u64, time, "100 times 20 days");
        time += 1_728_000_000;
    }
}

#[test]
fn a_leap_is_not_taken_for_a_wrap() {
    let mut unwrap = Unwrap::default();
    assert_eq!(unwrap.unwrap_ms(10_000_000), 10_000_000);
    assert_eq!(unwrap.unwrap_ms(0), 0);
    assert_eq!(unwrap.unwrap_ms(3_600_000), 3_600_000);
}

/// Predecessor's defect 3: composition times dropped, every source taken for 30 frames a second.
#[test]
fn defect_3_frame_rate_and_composition_offsets_are_exact_whatever_the_rounding() {
    for (frames, seconds) in
        [(15, 1), (24_000, 1001), (25, 1), (30_000, 1001), (30, 1), (60_000, 1001), (60, 1)]
    {
        for half in [0, 500] {
            for anchor in [0, 16_778_000, (1 << 31) - 1000] {
                let cadence = video_at(frames, seconds);
                let mut timeline = Timeline::new(&[cadence, audio_at(44_100)], anchor);
                let us = |n: i64| n * 1_000_000 * i64::from(seconds) / i64::from(frames);
                let mut expected = now(timeline.place(VIDEO, anchor, 0)).decode;
                assert_eq!(expected, u64::from(cadence.timescale().get()), "one second of lead");
                for n in 1..10 * i64::from(frames / seconds) {
                    expected += u64::from(cadence.frame_ticks());
                    let cto_us = us(n % 4);
                    // Both times are rounded on their own, so their difference jitters.
                    let dts = (us(n) + half) / 1000;
                    let pts = (us(n) + cto_us + half) / 1000;
                    let time = now(timeline.place(VIDEO, anchor + dts, (pts - dts) as i32));
                    assert_eq!((time.decode, time.duration), (expected, cadence.frame_ticks()));
                    assert_eq!(time.composition_offset, (n % 4) as u32 * cadence.frame_ticks());
                }
                assert_eq!(timeline.repairs(), Repairs::default());
            }
        }
    }
}

/// GStreamer's flvmux wrote 112, 112, 112, 145 where 70, 93, 116 were true.
#[test]
fn clamped_audio_runs_on_its_sample_clock() {
    let mut timeline = at_30_and_48k(0);
    let mut expected = None;
    for n in 0..5000i64 {
        let true_ms = n * 1024 * 1000 / 48_000;
        let clamped_ms = (true_ms / 66 + 1) * 66;
        let time = now(timeline.place(AUDIO, clamped_ms, 0));
        assert_eq!(time.decode, expected.unwrap_or(time.decode));
        assert_eq!(time.duration, 1024);
        expected = Some(time.end());
    }
    assert_eq!(timeline.repairs().missing_frames, 0);
    assert!(timeline.repairs().absorbed > 0);
}

#[test]
fn one_anchor_for_all_tracks_keeps_them_in_step() {
    // ffmpeg with B-frames: video from 0, audio from 44 ms; and audio 300 ms before the anchor.
    for (video_ms, audio_ms) in [(0, 44), (1000, 700)] {
        let mut timeline = at_30_and_48k(video_ms);
        let video = now(timeline.place(VIDEO, video_ms, 66));
        let audio = now(timeline.place(AUDIO, audio_ms, 0));
        let apart_us = Timescale::new(48_000).unwrap().to_us_floor(audio.decode as i64)
            - Timescale::VIDEO.to_us_floor(video.decode as i64);
        assert!((apart_us - (audio_ms - video_ms) * 1000).abs() <= 20, "{apart_us}");
    }
}

#[test]
fn missing_frames_leave_a_hole_of_whole_frames() {
    let mut timeline = at_30_and_48k(0);
    let first = now(timeline.place(VIDEO, 0, 0));
    assert_eq!(now(timeline.place(VIDEO, 33, 0)).decode, first.decode + 3000);
    assert_eq!(now(timeline.place(VIDEO, 166, 0)).decode, first.decode + 15_000, "3 are missing");
    assert_eq!(now(timeline.place(VIDEO, 200, 0)).decode, first.decode + 18_000);
    assert_eq!(timeline.repairs().missing_frames, 3);
}

#[test]
fn drift_is_followed_without_a_hole_in_time() {
    for ppm in [-800i64, -100, 100, 800] {
        let mut timeline = at_30_and_48k(0);
        let mut ends: [Option<u64>; 2] = [None, None];
        let mut audio = 0i64;
        for n in 0..30 * 600i64 {
            let skewed = |us: i64| (us + us / 1000 * ppm / 1000) / 1000;
            let dts = skewed(n * 1_000_000 / 30);
            let time = now(timeline.place(VIDEO, dts, 0));
            assert!(time.decode >= ends[0].unwrap_or(0) && time.duration >= 2900 && time.duration <= 3000);
            ends[0] = Some(time.end());
            let video = Timescale::VIDEO.to_us_floor(time.decode as i64) - dts * 1000 - 1_000_000;
            while audio * 1024 * 1_000_000 / 48_000 <= n * 1_000_000 / 30 {
                let dts = skewed(audio * 1024 * 1_000_000 / 48_000);
                let time = now(timeline.place(AUDIO, dts, 0));
                assert_eq!(time.decode, ends[1].unwrap_or(time.decode));
                assert!(time.duration.abs_diff(1024) <= 48);
                ends[1] = Some(time.end());
                let off_us = time.decode as i64 * 1_000_000 / 48_000 - dts * 1000 - 1_000_000;
                assert!(off_us.abs() < 60_000, "{ppm} ppm: audio is {off_us} us off");
                audio += 1;
            }
            assert!(video.abs() < 40_000, "{ppm} ppm: video is {video} us off");
        }
    }
}

#[test]
fn a_leap_is_decided_once_for_all_tracks_and_output_time_goes_on() {
    for leap_ms in [3_600_000i64, -3_600_000, 1500, -150] {
        let mut timeline = at_30_and_48k(10_000_000);
        let mut end_us = 0;
        for n in 0..60i64 {
            let time = now(timeline.place(VIDEO, 10_000_000 + n * 100 / 3, 0));
            end_us = end_us.max(Timescale::VIDEO.to_us_floor(time.end() as i64));
            timeline.place(AUDIO, 10_000_000 + n * 100 / 3, 0);
        }
        let old_ms = 10_002_000;
        let new_ms = old_ms + leap_ms;
        assert_eq!(timeline.place(VIDEO, new_ms, 0), Placed::Discontinuity);
        assert_eq!(timeline.place(VIDEO, new_ms, 0), Placed::Discontinuity, "nothing was placed");
        timeline.rebase(new_ms);
        let video = now(timeline.place(VIDEO, new_ms, 0));
        assert!(Timescale::VIDEO.to_us_floor(video.decode as i64) >= end_us - 1);
        if leap_ms.abs() > 1000 {
            assert_eq!(timeline.place(AUDIO, old_ms, 0), Placed::Discard, "from before the leap");
        }
        assert!(matches!(timeline.place(AUDIO, new_ms + 10, 0), Placed::Now(_)));
        assert_eq!(timeline.repairs().discontinuities, 1);
    }
}

#[test]
fn a_track_that_is_always_elsewhere_is_believed_in_the_end() {
    let mut timeline = at_30_and_48k(0);
    now(timeline.place(VIDEO, 0, 0));
    let mut placed = Placed::Discard;
    for n in 0..=i64::from(STRAY_FRAMES_MAX) {
        assert_eq!(placed, Placed::Discard);
        placed = timeline.place(AUDIO, 90_000_000 + n * 21, 0);
    }
    assert_eq!(placed, Placed::Discontinuity);
}

#[test]
fn a_track_that_comes_back_after_silence_has_not_leapt() {
    let mut timeline = at_30_and_48k(0);
    now(timeline.place(AUDIO, 0, 0));
    for n in 0..300i64 {
        now(timeline.place(VIDEO, n * 100 / 3, 0));
    }
    let audio = now(timeline.place(AUDIO, 9990, 0));
    let expected = 48_000 + 9990 * 48;
    assert!(audio.decode.abs_diff(expected) <= 1024, "{audio:?}");
}

#[test]
fn a_variable_rate_holds_one_frame_until_its_duration_is_known() {
    let variable =
        Cadence::Variable { timescale: Timescale::VIDEO, typical_ticks: 3000, longest_ticks: 9000 };
    let mut timeline = Timeline::new(&[variable], 500);
    assert_eq!(timeline.place(VIDEO, 500, 0), Placed::Held { earlier: None });
    let held = |placed| match placed {
        Placed::Held { earlier: Some(time) } => time,
        other => panic!("{other:?}"),
    };
    let first = held(timeline.place(VIDEO, 540, 20));
    assert_eq!((first.decode, first.duration), (90_000, 3600));
    let second = held(timeline.place(VIDEO, 540, 0));
    assert_eq!((second.decode, second.duration, second.composition_offset), (93_600, 90, 1800));
    let third = held(timeline.place(VIDEO, 600, 0));
    assert_eq!((third.decode, third.end()), (second.end(), 99_000));
    assert_eq!(timeline.flush(VIDEO).unwrap().duration, 3000);
    assert_eq!(timeline.flush(VIDEO), None);
}

#[test]
fn no_input_breaks_the_order_of_decode_times() {
    let mut state = 88_172_645_463_325_252u64;
    let mut random = |bound: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 9) % bound
    };
    let variable =
        Cadence::Variable { timescale: Timescale::VIDEO, typical_ticks: 3000, longest_ticks: 9000 };
    for round in 0..300 {
        let cadences = [if round % 3 == 0 { variable } else { video_at(30, 1) }, audio_at(44_100)];
        let mut unwrap = Unwrap::default();
        let mut timeline = Timeline::new(&cadences, unwrap.unwrap_ms(random(1 << 32) as u32));
        let mut ends = [0u64; 2];
        let mut raw = random(1 << 32) as u32;
        for _ in 0..500 {
            raw = match random(50) {
                0 => random(1 << 32) as u32,
                1 => raw.wrapping_sub(random(2000) as u32),
                _ => raw.wrapping_add(random(60) as u32),
            };
            let track = TrackId(random(3) as u8);
            let dts = unwrap.unwrap_ms(raw);
            let time = match timeline.place(track, dts, random(1 << 25) as i32 - (1 << 24)) {
                Placed::Now(time) | Placed::Held { earlier: Some(time) } => time,
                Placed::Held { earlier: None } | Placed::Discard => continue,
                Placed::Discontinuity => {
                    if let Some(time) = timeline.flush(VIDEO) {
                        assert!(time.decode >= ends[0]);
                        ends[0] = time.end();
                    }
                    timeline.rebase(dts);
                    continue;
                }
            };
            let end = &mut ends[usize::from(track.0)];
            assert!(time.decode >= *end && time.duration > 0, "{time:?} after {end}");
            *end = time.end();
        }
    }
}

#[test]
fn recorded_publishers_get_constant_durations_and_no_hole() {
    let text = include_str!("../../../tests/data/timestamps.txt");
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split(' ');
        let name = words.next().unwrap();
        let (frames, seconds) = words.next().unwrap().split_once('/').unwrap();
        let rate = FrameRate::new(frames.parse().unwrap(), seconds.parse().unwrap()).unwrap();
        let audio_rate: u32 = words.next().unwrap().parse().unwrap();
        let mut at_ms = 0i64;
        let arrivals: Vec<(TrackId, i64)> = words
            .map(|word| {
                at_ms += word[1..].parse::<i64>().unwrap();
                (if word.starts_with('v') { VIDEO } else { AUDIO }, at_ms)
            })
            .collect();
        let dts = |track| -> Vec<i64> {
            arrivals.iter().filter(|arrival| arrival.0 == track).map(|arrival| arrival.1).collect()
        };
        let learnt = [
            Cadence::learn_video(&dts(VIDEO)[..90.min(dts(VIDEO).len())], &[rate]),
            Cadence::learn_audio(&dts(AUDIO), Timescale::new(audio_rate).unwrap(), 1024),
        ];
        assert_eq!(learnt[0].frame_rate(), Some(rate), "{name}");
        let mut timeline = Timeline::new(&learnt, arrivals[0].1);
        let mut ends = [None; 2];
        for &(track, dts_ms) in &arrivals {
            let Placed::Now(time) = timeline.place(track, dts_ms, 0) else {
                panic!("{name}: {track:?} at {dts_ms} is not placed")
            };
            let index = usize::from(track.0);
            assert_eq!(time.decode, ends[index].unwrap_or(time.decode), "{name}: a hole at {dts_ms}");
            ends[index] = Some(time.end());
        }
        assert_eq!(timeline.repairs().missing_frames, 0, "{name}");
        assert_eq!(timeline.repairs().slewed, 0, "{name}");
    }
}

/// Encoders that stamp every frame of a track alike, or whose clock stands still.
#[test]
fn a_track_whose_time_stands_still_does_not_run_away() {
    let variable =
        Cadence::Variable { timescale: Timescale::VIDEO, typical_ticks: 3000, longest_ticks: 9000 };
    for cadence in [video_at(30, 1), variable, audio_at(48_000)] {
        let mut timeline = Timeline::new(&[cadence], 0);
        let mut newest = 0;
        let mut place = |timeline: &mut Timeline, dts_ms| match timeline.place(TrackId(0), dts_ms, 0) {
            Placed::Now(time) | Placed::Held { earlier: Some(time) } => newest = time.end(),
            _ => {}
        };
        (0..5000).for_each(|_| place(&mut timeline, 500));
        let discarded = timeline.repairs().discarded;
        assert!(discarded > 3500, "{cadence:?}: {discarded}");
        // It goes on, and catches up with its timestamps.
        (0..3000i64).for_each(|n| place(&mut timeline, 500 + n * 100 / 3));
        let off_us = cadence.timescale().to_us_floor(newest as i64) - 1_000_000 - 100_500_000;
        assert!(off_us.abs() < 300_000, "{cadence:?}: {off_us} us off");
    }
}

/// Opus may change the length of its frames at any time; the sample clock goes on.
#[test]
fn sound_lasts_as_long_as_each_frame_says() {
    let rate = Timescale::new(48_000).unwrap();
    let cadence = Cadence::of_samples(&[960, 960, 480], rate).unwrap();
    let mut timeline = Timeline::new(&[cadence], 0);
    let (mut samples_before, mut expected) = (0, None);
    for samples in [Some(960), Some(480), Some(480), None, Some(2880), Some(960)] {
        let timestamp_ms = samples_before / 48;
        let stamp = FrameStamp { timestamp_ms, samples, ..FrameStamp::default() };
        let time = now(timeline.place_frame(TrackId(0), &stamp));
        assert_eq!(time.decode, expected.unwrap_or(time.decode), "{samples:?}");
        assert_eq!(time.duration, samples.unwrap_or(960));
        expected = Some(time.end());
        samples_before += i64::from(time.duration);
    }
    assert_eq!(timeline.repairs(), Repairs::default());
}

/// Enhanced RTMP's nanoseconds refine when a picture is shown, where no grid says it exactly.
#[test]
fn nanoseconds_refine_a_variable_rate() {
    let cadence = Cadence::Variable { timescale: Timescale::VIDEO, typical_ticks: 3000, longest_ticks: 9000 };
    let mut timeline = Timeline::new(&[cadence], 0);
    let mut place = |timestamp_ms, offset_ns| {
        let stamp = FrameStamp { timestamp_ms, offset_ns, ..FrameStamp::default() };
        timeline.place_frame(TrackId(0), &stamp)
    };
    assert_eq!(place(0, 0), Placed::Held { earlier: None });
    let Placed::Held { earlier: Some(first) } = place(33, 333_333) else { panic!() };
    let Placed::Held { earlier: Some(second) } = place(66, 999_999) else { panic!() };
    let Placed::Held { earlier: Some(third) } = place(100, 0) else { panic!() };
    let shown = [first, second, third].map(|time| time.presentation() - first.decode);
    assert_eq!(shown, [0, 33 * 90 + 29, 66 * 90 + 89]);
}

/// Sound was sent 150 ms ahead by the one, and is not by the other.
#[test]
fn after_a_splice_decode_times_are_contiguous_and_what_overlaps_is_left_out() {
    let mut timeline = at_30_and_48k(0);
    let pictures = (0..30).map(|n| now(timeline.place(VIDEO, n * 1000 / 30, 0))).last().unwrap();
    let sounds = (0..54).map(|n| now(timeline.place(AUDIO, n * 1024 / 48, 0))).last().unwrap();
    let at_us = timeline.end_us(VIDEO);
    assert!(timeline.longest_us() - at_us > 150_000);

    let cadences = [video_at(30, 1), audio_at(48_000)];
    timeline.splice(&cadences, 700_000, at_us);
    assert_eq!(now(timeline.place(VIDEO, 700_000, 0)).decode, pictures.end());
    let placed: Vec<Placed> = (0..20).map(|n| timeline.place(AUDIO, 700_005 + n * 1024 / 48, 0)).collect();
    let overlap = placed.iter().take_while(|placed| **placed == Placed::Discard).count();
    assert_eq!(overlap, 7, "150 ms of 21.3 ms each");
    let times: Vec<FrameTime> = placed[overlap..].iter().map(|&placed| now(placed)).collect();
    // Less than half a frame is the segmenter's to close.
    assert!((sounds.end()..sounds.end() + 512).contains(&times[0].decode));
    assert!(times.windows(2).all(|pair| pair[1].decode == pair[0].end()));
    assert_eq!(timeline.repairs().discontinuities, 0);
}
