//! That a part is judged by its samples, by the playlist and by the part before it.

use std::time::Duration;

use super::build::{self, NON_SYNC, RunParts, SYNC, SampleParts, frame, video_run};
use super::{Init, MediaSummary, StampSpan, TrackKind, check_continuity, check_listed, summarise};
use crate::fault::FaultKind::{self, *};
use crate::stamp::Stamp;

const SENT_UNIX_US: u64 = 1_795_341_600_000_000;

fn init() -> Init {
    Init::parse(&build::init(&[build::video_track(), build::audio_track()])).unwrap()
}

fn summary(bytes: &[u8]) -> (MediaSummary, Vec<FaultKind>) {
    let (summary, faults) = summarise(&init(), bytes).unwrap();
    (summary, faults.into_iter().map(|fault| fault.kind).collect())
}

fn video_part(samples: Vec<SampleParts>) -> Vec<u8> {
    build::fragment(1, &[RunParts { id: 1, tfdt: 0, samples }])
}

/// A frame with a stamp, sent every 33 ms.
fn stamped(number: u32, is_idr: bool) -> SampleParts {
    let mut sei = Vec::new();
    Stamp { sent_unix_us: SENT_UNIX_US + u64::from(number) * 33_000, frame: number }.write_sei(4, &mut sei);
    frame(is_idr, &sei)
}

fn stamped_audio(number: u32) -> SampleParts {
    let mut bytes = Vec::new();
    Stamp { sent_unix_us: SENT_UNIX_US + u64::from(number) * 21_333, frame: number }
        .write_data_stream_element(&mut bytes);
    build::audio_frame(&[&bytes[..], b"\x21\x10"].concat())
}

#[test]
fn a_summary_tells_times_and_stamps_of_each_track() {
    let audio = RunParts { id: 2, tfdt: 1_000, samples: (40..49).map(stamped_audio).collect() };
    let video = RunParts {
        id: 1,
        tfdt: 9_000,
        samples: (30..36).map(|number| stamped(number, number == 32)).collect(),
    };
    let (found, faults) = summary(&build::fragment(3, &[audio, video]));
    assert_eq!(faults, []);
    let [audio, video] = &found.tracks[..] else { panic!("two tracks") };
    assert_eq!(
        (audio.kind, audio.start, audio.end, audio.samples_count),
        (TrackKind::Audio, 1_000, 10_216, 9)
    );
    assert_eq!(
        (video.kind, video.start, video.end, video.samples_count),
        (TrackKind::Video, 9_000, 27_000, 6)
    );
    assert!(!video.first_is_sync && video.has_sync && audio.first_is_sync);
    let span = |first: u32, last: u32, step_us: u64| StampSpan {
        oldest_sent_unix_us: SENT_UNIX_US + u64::from(first) * step_us,
        newest_sent_unix_us: SENT_UNIX_US + u64::from(last) * step_us,
        first_frame: first,
        last_frame: last,
        frames_count: last - first + 1,
    };
    assert_eq!(video.stamps, Some(span(30, 35, 33_000)));
    assert_eq!(audio.stamps, Some(span(40, 48, 21_333)));
    assert_eq!(found.main_track(), Some(video));
    assert_eq!(found.stamps(), video.stamps);
    assert_eq!(summary(&build::fragment(1, &[video_run(0, 3)])).0.stamps(), None);
}

#[test]
fn samples_are_judged_by_what_is_in_them() {
    let changed = |change: fn(&mut SampleParts)| {
        let mut samples = vec![frame(true, &[]), frame(false, &[]), frame(false, &[])];
        samples.iter_mut().skip(1).take(1).for_each(change);
        samples
    };
    for (name, samples, expected) in [
        ("healthy", changed(|_| {}), &[][..]),
        ("sync without IDR", changed(|it| it.flags = SYNC), &[SyncFlag]),
        (
            "IDR without sync",
            changed(|it| *it = SampleParts { flags: NON_SYNC, ..frame(true, &[]) }),
            &[SyncFlag],
        ),
        (
            "sync that depends",
            changed(|it| *it = SampleParts { flags: 0x0100_0000, ..frame(true, &[]) }),
            &[SyncFlag],
        ),
        (
            "sync that says nothing more",
            changed(|it| *it = SampleParts { flags: 0, ..frame(true, &[]) }),
            &[],
        ),
        ("bytes left", changed(|it| it.bytes.push(0)), &[BoxStructure]),
        ("unit too long", changed(|it| it.bytes = vec![0, 0, 0, 3, 0x41, 0]), &[BoxStructure]),
        ("empty unit", changed(|it| it.bytes = vec![0, 0, 0, 0]), &[BoxStructure]),
        ("empty sample", changed(|it| it.bytes.clear()), &[BoxStructure]),
        ("both kinds of slice", changed(|it| *it = frame(true, &frame(false, &[]).bytes)), &[BoxStructure]),
        (
            "parameter sets before",
            changed(|it| *it = frame(false, &[0, 0, 0, 1, 0x67, 0, 0, 0, 1, 0x68])),
            &[],
        ),
    ] {
        assert_eq!(summary(&video_part(samples)).1, expected, "{name}");
    }
    let (_, faults) =
        summarise(&init(), &video_part(vec![SampleParts { flags: SYNC, ..frame(false, &[]) }; 4])).unwrap();
    assert_eq!(faults.len(), 1);
    assert!(
        faults.iter().all(|fault| fault.detail.starts_with("track 1, 4 of 4 samples, the first at byte "))
    );
}

#[test]
fn frame_numbers_run_on_inside_a_part() {
    let part = |numbers: &[u32]| {
        let samples =
            numbers.iter().enumerate().map(|(place, &number)| stamped(number, place == 0)).collect();
        summary(&video_part(samples)).1
    };
    assert_eq!(part(&[1, 2, 3, 4]), []);
    assert_eq!(part(&[1, 2, 4, 5]), [FrameMissing]);
    assert_eq!(part(&[1, 2, 2, 3]), [FrameRepeated]);
    assert_eq!(part(&[1, 3, 2, 4]), [FrameMissing, FrameRepeated, FrameMissing]);
    assert_eq!(part(&[u32::MAX - 1, u32::MAX, 0, 1]), []);
    // A frame of the server's own between them says nothing.
    let samples = vec![stamped(1, true), frame(false, &[]), stamped(2, false)];
    let (found, faults) = summary(&video_part(samples));
    assert_eq!((faults, found.stamps().map(|span| span.frames_count)), (vec![], Some(2)));
}

#[test]
fn a_part_is_what_the_playlist_says() {
    let us = Duration::from_micros;
    let with_sync = summary(&build::fragment(1, &[video_run(0, 6)])).0;
    let without_sync = summary(&video_part(vec![frame(false, &[]); 6])).0;
    let audio_run = || RunParts { id: 2, tfdt: 0, samples: vec![build::audio_frame(b"\x21"); 9] };
    let audio = summary(&build::fragment(1, &[audio_run()])).0;
    let muted: Vec<_> = vec![SampleParts { flags: NON_SYNC, ..build::audio_frame(b"\x21") }; 9];
    let unsynced_audio = summary(&build::fragment(1, &[RunParts { id: 2, tfdt: 0, samples: muted }])).0;
    let both = summary(&build::fragment(1, &[audio_run(), video_run(0, 6)])).0;
    for (name, summary, listed, independent, expected) in [
        ("video", &with_sync, us(200_000), true, &[][..]),
        ("as far off as may be", &with_sync, us(201_000), true, &[]),
        ("too short", &with_sync, us(201_001), true, &[DurationWrong]),
        ("too long", &with_sync, us(198_999), true, &[DurationWrong]),
        ("not marked", &with_sync, us(200_000), false, &[SyncFlag]),
        ("no sync", &without_sync, us(200_000), false, &[]),
        ("untrue mark", &without_sync, us(200_000), true, &[SyncFlag]),
        ("audio", &audio, us(192_000), true, &[]),
        ("audio not marked", &audio, us(192_000), false, &[]),
        ("untrue mark on audio", &unsynced_audio, us(192_000), true, &[SyncFlag]),
        ("video counts where both are", &both, us(200_000), true, &[]),
        ("audio's duration where both are", &both, us(192_000), true, &[DurationWrong]),
    ] {
        let kinds: Vec<_> =
            check_listed(summary, listed, independent).into_iter().map(|it| it.kind).collect();
        assert_eq!(kinds, expected, "{name}");
    }
}

#[test]
fn a_part_continues_the_one_before() {
    let part = |sequence, tfdt: u64, numbers: std::ops::Range<u32>| {
        let samples = numbers.map(|number| stamped(number, number % 6 == 0)).collect();
        summary(&build::fragment(sequence, &[RunParts { id: 1, tfdt, samples }])).0
    };
    let before = part(5, 9_000, 0..6);
    for (name, next, expected) in [
        ("healthy", part(6, 27_000, 6..12), &[][..]),
        ("numbers left out", part(60, 27_000, 6..12), &[]),
        ("gap", part(6, 27_001, 6..12), &[TfdtGap]),
        ("repeat", part(6, 26_999, 6..12), &[TfdtRepeat]),
        ("the same again", part(5, 9_000, 0..6), &[BoxStructure, TfdtRepeat, FrameRepeated]),
        ("frames missing", part(6, 27_000, 8..14), &[FrameMissing]),
        ("frames repeated", part(6, 27_000, 5..11), &[FrameRepeated]),
        ("a part missing", part(7, 45_000, 12..18), &[TfdtGap, FrameMissing]),
        ("sequence falls", part(4, 27_000, 6..12), &[BoxStructure]),
    ] {
        let kinds: Vec<_> = check_continuity(&before, &next).into_iter().map(|it| it.kind).collect();
        assert_eq!(kinds, expected, "{name}");
    }
    let details: Vec<_> =
        check_continuity(&before, &part(7, 45_000, 12..18)).into_iter().map(|it| it.detail).collect();
    assert_eq!(
        details,
        [
            "track 1: decode time 45000 is 200.000 ms past 27000, where it has to be",
            "track 1: 6 frames missing between 5 and 12",
        ]
    );
}

#[test]
fn tracks_are_compared_each_with_itself() {
    let audio = |tfdt| RunParts { id: 2, tfdt, samples: vec![build::audio_frame(b"\x21"); 2] };
    let before = summary(&build::fragment(1, &[video_run(0, 3), audio(0)])).0;
    let next = summary(&build::fragment(2, &[audio(2_048), video_run(9_000, 3)])).0;
    assert_eq!(check_continuity(&before, &next), []);
    let late_audio = summary(&build::fragment(2, &[audio(2_049), video_run(9_000, 3)])).0;
    assert_eq!(check_continuity(&before, &late_audio).len(), 1);
    // A part without audio tells nothing of it.
    let video_only = summary(&build::fragment(2, &[video_run(9_000, 3)])).0;
    assert_eq!(check_continuity(&before, &video_only), []);
    let slower = build::TrackParts { timescale: 30_000, ..build::video_track() };
    let other_init = Init::parse(&build::init(&[slower])).unwrap();
    let other = summarise(&other_init, &build::fragment(2, &[video_run(9_000, 3)])).unwrap().0;
    let kinds: Vec<_> = check_continuity(&before, &other).into_iter().map(|it| it.kind).collect();
    assert_eq!(kinds, [BoxStructure]);
}
