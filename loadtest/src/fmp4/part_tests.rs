//! That parts are read by the rules of their boxes, and what is wrong with them is found.

use proptest::prelude::*;

use super::build::{self, NON_SYNC, RunParts, SYNC, boxed, frame, full, patch, replace, video_run, words};
use super::{Init, Media, SAMPLES_MAX, SampleFlags, check_continuity, check_listed, read_media, summarise};
use crate::fault::{Fault, FaultKind};

fn init() -> Init {
    Init::parse(&build::init(&[build::video_track(), build::audio_track()])).unwrap()
}

fn audio_run(tfdt: u64, count: usize) -> RunParts {
    RunParts { id: 2, tfdt, samples: vec![build::audio_frame(b"\x21\x10\x05"); count] }
}

/// Six frames of video, nine of audio.
fn healthy() -> Vec<u8> {
    build::fragment(7, &[video_run(900_000, 6), audio_run(480_000, 9)])
}

fn read(bytes: &[u8]) -> Result<Media<'_>, Fault> {
    read_media(&init(), bytes)
}

#[test]
fn reads_every_sample_of_every_track() {
    let bytes = healthy();
    let media = read(&bytes).unwrap();
    assert_eq!(media.faults, []);
    assert_eq!((media.fragments_count, media.sequence_first, media.sequence_last), (1, 7, 7));
    let [video, audio] = &media.runs[..] else { panic!("two tracks") };
    assert_eq!((video.track_id, video.start, video.end), (1, 900_000, 918_000));
    assert_eq!((audio.track_id, audio.start, audio.end), (2, 480_000, 489_216));
    assert_eq!((video.samples.len(), audio.samples.len()), (6, 9));
    assert!(video.first_is_sync() && video.has_sync());
    for (number, sample) in (0..).zip(&video.samples) {
        assert_eq!(sample.decode_time, 900_000 + number * 3_000);
        assert_eq!(sample.bytes, frame(number == 0, &[]).bytes);
        assert_eq!(bytes.get(sample.offset..sample.offset + 6), Some(sample.bytes));
    }
    assert!(audio.samples.iter().all(|sample| sample.bytes == b"\x21\x10\x05" && sample.flags.is_sync()));
}

/// A part whose only `traf` is made of these boxes, with 40 bytes of media: 00 01 02 ...
fn with_traf(boxes: &[Vec<u8>]) -> Vec<u8> {
    let moof = boxed(b"moof", &[full(b"mfhd", 0, 0, &words(&[1])), boxed(b"traf", &boxes.concat())].concat());
    let media: Vec<u8> = (0..40).collect();
    [moof, boxed(b"mdat", &media)].concat()
}

/// Where the media of [`with_traf`] begins, counted from the `moof`, with these boxes.
fn media_at(boxes: &[Vec<u8>]) -> u32 {
    u32::try_from(with_traf(boxes).len() - 40).unwrap()
}

/// `tfhd`, `tfdt` of version 0, and one `trun`, whose data offset is set when it has one.
fn run_boxes(tfhd_flags: u32, tfhd: &[u32], trun_version: u8, trun_flags: u32, trun: &[u32]) -> Vec<Vec<u8>> {
    let build = |data_offset: u32| {
        let mut fields = trun.to_vec();
        if trun_flags & 1 != 0 {
            fields.insert(1, data_offset);
        }
        vec![
            full(b"tfhd", 0, tfhd_flags, &words(&[&[1], tfhd].concat())),
            full(b"tfdt", 0, 0, &words(&[100])),
            full(b"trun", trun_version, trun_flags, &words(&fields)),
        ]
    };
    build(media_at(&build(0)))
}

#[test]
fn the_later_default_overrules_the_earlier() {
    // trex says 3000, 0 bytes, no sync.
    type Expected<'a> = &'a [(u32, usize, u32, i64)];
    let cases: &[(&str, Vec<Vec<u8>>, Expected<'_>)] = &[
        (
            "trex",
            run_boxes(0x2_0000, &[], 0, 0x201, &[2, 5, 6]),
            &[(3_000, 5, NON_SYNC, 0), (3_000, 6, NON_SYNC, 0)],
        ),
        ("tfhd", run_boxes(0x2_003a, &[1, 50, 7, SYNC], 0, 0x1, &[2]), &[(50, 7, SYNC, 0), (50, 7, SYNC, 0)]),
        (
            "first_sample_flags",
            run_boxes(0x2_0010, &[4], 0, 0x5, &[3, SYNC]),
            &[(3_000, 4, SYNC, 0), (3_000, 4, NON_SYNC, 0), (3_000, 4, NON_SYNC, 0)],
        ),
        (
            "each sample",
            run_boxes(0x2_0018, &[50, 7], 0, 0x701, &[2, 10, 3, SYNC, 20, 4, NON_SYNC]),
            &[(10, 3, SYNC, 0), (20, 4, NON_SYNC, 0)],
        ),
        (
            "unsigned offsets",
            run_boxes(0x2_0010, &[1], 0, 0x801, &[1, 0xffff_ffff]),
            &[(3_000, 1, NON_SYNC, 0xffff_ffff)],
        ),
        (
            "signed offsets",
            run_boxes(0x2_0010, &[1], 1, 0x801, &[1, 0xffff_ffff]),
            &[(3_000, 1, NON_SYNC, -1)],
        ),
        ("no samples", run_boxes(0x2_0000, &[], 0, 0x1, &[0]), &[]),
    ];
    for (name, boxes, expected) in cases {
        let bytes = with_traf(boxes);
        let media = read(&bytes).unwrap();
        assert_eq!(media.faults, [], "{name}");
        let [run] = &media.runs[..] else { panic!("one track") };
        let found: Vec<_> = run
            .samples
            .iter()
            .map(|it| (it.duration, it.bytes.len(), it.flags.0, it.composition_offset))
            .collect();
        assert_eq!(found, *expected, "{name}");
        let all: Vec<u8> = run.samples.iter().flat_map(|it| it.bytes).copied().collect();
        assert!(all.iter().copied().eq(0..u8::try_from(all.len()).unwrap()), "{name}");
        assert_eq!(run.start, 100, "{name}");
    }
}

#[test]
fn a_second_run_follows_the_first() {
    let mut boxes = run_boxes(0x2_0010, &[4], 0, 0x1, &[2]);
    boxes.push(full(b"trun", 0, 0, &words(&[3])));
    // The data offset was for one `trun`: 16 bytes more stand before the media.
    let moved = media_at(&boxes);
    let bytes = patch(&with_traf(&boxes), b"trun", 8, &moved.to_be_bytes());
    let media = read(&bytes).unwrap();
    let [run] = &media.runs[..] else { panic!("one track") };
    assert_eq!((run.samples.len(), run.end), (5, 100 + 5 * 3_000));
    assert_eq!(run.samples.last().map(|sample| sample.bytes), Some(&[16, 17, 18, 19][..]));
}

#[test]
fn old_ways_of_addressing_are_faults_but_read() {
    let check = |boxes: &[Vec<u8>], expected_faults: usize, expected_bytes: [u8; 4]| {
        let bytes = with_traf(boxes);
        let media = read(&bytes).unwrap();
        assert_eq!(media.faults.len(), expected_faults, "{:?}", media.faults);
        let first = media.runs.first().and_then(|run| run.samples.first());
        assert_eq!(first.map(|sample| sample.bytes), Some(&expected_bytes[..]));
    };
    check(&run_boxes(0x10, &[4], 0, 0x1, &[1]), 1, [0, 1, 2, 3]);
    // A base_data_offset is one of the file, in two words.
    let based = |base: u32| {
        vec![
            full(b"tfhd", 0, 0x11, &words(&[1, 0, base, 4])),
            full(b"tfdt", 0, 0, &words(&[100])),
            full(b"trun", 0, 0, &words(&[1])),
        ]
    };
    check(&based(media_at(&based(0)) + 2), 2, [2, 3, 4, 5]);
}

#[test]
fn without_a_base_a_track_follows_the_one_before() {
    let traf = |id: u32, trun: Vec<u8>| {
        let boxes = [full(b"tfhd", 0, 0x10, &words(&[id, 4])), full(b"tfdt", 0, 0, &words(&[0])), trun];
        boxed(b"traf", &boxes.concat())
    };
    let build = |data_offset: u32| {
        let first = traf(1, full(b"trun", 0, 1, &words(&[3, data_offset])));
        let second = traf(2, full(b"trun", 0, 0, &words(&[2])));
        boxed(b"moof", &[full(b"mfhd", 0, 0, &words(&[1])), first, second].concat())
    };
    let data_offset = u32::try_from(build(0).len() + 8).unwrap();
    let bytes = [build(data_offset), boxed(b"mdat", &(0..20).collect::<Vec<u8>>())].concat();
    let media = read(&bytes).unwrap();
    assert_eq!(media.faults.len(), 2);
    let firsts: Vec<_> =
        media.runs.iter().map(|run| run.samples.first().and_then(|it| it.bytes.first())).collect();
    assert_eq!(firsts, [Some(&0), Some(&12)]);
}

#[test]
fn several_fragments_and_other_boxes_are_one_part() {
    let bytes = [
        boxed(b"styp", b"msdh\0\0\0\0"),
        boxed(b"prft", &[0; 20]),
        boxed(b"emsg", &[0; 30]),
        boxed(b"sidx", &[0; 30]),
        build::fragment(1, &[video_run(0, 3)]),
        boxed(b"free", b""),
        build::fragment(2, &[video_run(9_000, 2), audio_run(5, 1)]),
    ]
    .concat();
    let media = read(&bytes).unwrap();
    assert_eq!(media.faults, []);
    let runs: Vec<_> =
        media.runs.iter().map(|run| (run.track_id, run.start, run.end, run.samples.len())).collect();
    assert_eq!(runs, [(1, 0, 15_000, 5), (2, 5, 1_029, 1)]);
    assert_eq!((media.fragments_count, media.sequence_first, media.sequence_last), (2, 1, 2));
}

#[test]
fn each_breach_is_a_fault_and_the_samples_are_read() {
    use FaultKind::{BoxStructure, TfdtGap, TfdtRepeat};
    let pair = |second: u32, tfdt| {
        [build::fragment(5, &[video_run(0, 3)]), build::fragment(second, &[video_run(tfdt, 3)])].concat()
    };
    let whole = healthy();
    for (name, bytes, expected) in [
        ("healthy", pair(6, 9_000), &[][..]),
        ("sequence repeats", pair(5, 9_000), &[BoxStructure]),
        ("sequence falls", pair(4, 9_000), &[BoxStructure]),
        ("gap", pair(6, 9_001), &[TfdtGap]),
        ("repeat", pair(6, 8_999), &[TfdtRepeat]),
        ("mdat alone", [boxed(b"mdat", b"x"), whole.clone()].concat(), &[BoxStructure]),
        ("moov", [boxed(b"moov", b""), whole.clone()].concat(), &[BoxStructure]),
        ("default-base-is-moof", patch(&whole, b"tfhd", 0, &[0; 4]), &[BoxStructure]),
        (
            "two trafs of one track",
            build::fragment(1, &[video_run(0, 1), video_run(3_000, 1)]),
            &[BoxStructure],
        ),
        (
            "both kinds of flags",
            with_traf(&run_boxes(0x2_0010, &[4], 0, 0x405, &[1, SYNC, NON_SYNC])),
            &[BoxStructure],
        ),
        ("bytes left in trun", with_traf(&run_boxes(0x2_0010, &[4], 0, 0x1, &[1, 9])), &[BoxStructure]),
        ("description index", with_traf(&run_boxes(0x2_0012, &[2, 4], 0, 0x1, &[1])), &[BoxStructure]),
    ] {
        let kinds: Vec<_> = read(&bytes).unwrap().faults.into_iter().map(|fault| fault.kind).collect();
        assert_eq!(kinds, expected, "{name}");
    }
}

#[test]
fn what_tells_no_samples_is_an_error() {
    let whole = healthy();
    let many = u32::try_from(SAMPLES_MAX + 1).unwrap();
    for (name, bytes) in [
        ("empty", vec![]),
        ("no moof", boxed(b"mdat", b"x")),
        ("moof alone", whole.get(..whole.len() - 8 - 6 * 6 - 9 * 3).unwrap().to_vec()),
        ("two moof", [&whole[..whole.len() - 71], &whole].concat()),
        ("no mfhd", replace(&whole, b"mfhd", b"free")),
        ("no traf", replace(&with_traf(&[]), b"traf", b"free")),
        ("no tfhd", replace(&whole, b"tfhd", b"free")),
        ("no tfdt", replace(&whole, b"tfdt", b"free")),
        ("unknown track", patch(&whole, b"tfhd", 4, &[0, 0, 0, 9])),
        ("data before the mdat", patch(&whole, b"trun", 8, &[0, 0, 0, 8])),
        ("data before the file", patch(&whole, b"trun", 8, &[0xff; 4])),
        ("data behind the mdat", patch(&whole, b"trun", 16, &[0, 1, 0, 0])),
        ("too many samples", with_traf(&run_boxes(0x2_0000, &[], 0, 0x1, &[many]))),
        ("more samples than entries", patch(&whole, b"trun", 4, &[0, 0, 0, 7])),
        ("time past 2^64", patch(&whole, b"tfdt", 4, &[0xff; 8])),
    ] {
        assert_eq!(read(&bytes).map_err(|fault| fault.kind), Err(FaultKind::BoxStructure), "{name}");
    }
}

#[test]
fn sync_flags_are_told_from_depends_on() {
    assert!(SampleFlags(SYNC).is_sync() && SampleFlags(0).is_sync() && !SampleFlags(NON_SYNC).is_sync());
    assert_eq!([SYNC, NON_SYNC, 0].map(|flags| SampleFlags(flags).depends_on()), [2, 1, 0]);
}

/// Everything that can be done with bytes.
fn exercise(init: &Init, bytes: &[u8]) {
    let _ = Init::parse(bytes);
    let Ok((summary, _)) = summarise(init, bytes) else { return };
    let _ = check_continuity(&summary, &summary);
    let _ = check_listed(&summary, std::time::Duration::from_millis(200), true);
}

#[test]
fn every_truncation_is_an_error_but_between_fragments() {
    let first = healthy();
    let whole = [first.clone(), build::fragment(8, &[video_run(918_000, 2)])].concat();
    for end in 0..whole.len() {
        let is_read = read(whole.get(..end).unwrap()).is_ok();
        assert_eq!(is_read, end == first.len(), "{end}");
    }
}

proptest! {
    #[test]
    fn no_changed_bytes_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let init_bytes = build::init(&[build::video_track(), build::audio_track()]);
        let init = init();
        for mut file in [init_bytes, healthy()] {
            for (position, byte) in &changes {
                let position = position.index(file.len());
                file.splice(position..=position, [*byte]);
            }
            exercise(&init, &file);
        }
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        exercise(&init(), &bytes);
        // Behind a header, so that more is looked at.
        exercise(&init(), &[boxed(b"moof", &bytes), boxed(b"mdat", b"x")].concat());
        exercise(&init(), &with_traf(&[full(b"tfhd", 0, 0x2_0000, &words(&[1])), full(b"tfdt", 0, 0, &words(&[0])), boxed(b"trun", &bytes)]));
    }
}
