//! Clips made by ffmpeg and read here, against what ffprobe reads in them; and clips that are broken.

use super::*;
use crate::source::tests::{Workspace, flv_of, probe, run};
use crate::source::{Cursor, Synthetic, SyntheticAudio, SyntheticVideo};
use proptest::prelude::*;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

/// Encodes two seconds of a test picture, a tone, or both.
fn encode(file: &Path, inputs: &[&str], arguments: &[&str]) {
    let mut all = vec!["-v", "error", "-nostdin", "-y"];
    for input in inputs {
        all.extend(["-f", "lavfi", "-i", input]);
    }
    all.extend(["-t", "2", "-pix_fmt", "yuv420p"]);
    all.extend(arguments);
    all.push(file.to_str().unwrap());
    run("ffmpeg", &all);
}

const PICTURE: &str = "testsrc2=s=322x182:r=30000/1001";
const TONE: &str = "sine=f=440:r=44100";
const B_FRAMES: [&str; 8] = ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "20"];
const FRAGMENTED: [&str; 4] =
    ["-frag_duration", "500000", "-movflags", "frag_keyframe+empty_moov+default_base_moof"];

/// One frame, in what ffprobe and a reel have in common.
#[derive(Debug, Clone, PartialEq)]
struct Packet {
    decode_us: i64,
    shown_us: i64,
    bytes_count: usize,
    is_sync: bool,
}

/// Packets by ffprobe, times from the first decode time of both streams on.
fn probed(file: &Path) -> [Vec<Packet>; 2] {
    let read = |stream| -> Vec<Packet> {
        let micros = |text: &String| (text.parse::<f64>().unwrap() * 1e6).round() as i64;
        probe(file, stream, "packet=dts_time,pts_time,size,flags")
            .iter()
            .map(|fields| Packet {
                shown_us: micros(&fields[0]),
                decode_us: micros(&fields[1]),
                bytes_count: fields[2].parse().unwrap(),
                is_sync: fields[3].starts_with('K'),
            })
            .collect()
    };
    let mut packets = [read("v"), read("a")];
    let first_us = packets.iter().flatten().map(|packet| packet.decode_us).min().unwrap();
    for packet in packets.iter_mut().flatten() {
        packet.decode_us -= first_us;
        packet.shown_us -= first_us;
    }
    packets
}

/// One loop of a reel, its frames' numbers checked.
fn one_loop(reel: Reel) -> [Vec<Packet>; 2] {
    let counts = [
        reel.video().map_or(0, |video| video.track.samples.len()),
        reel.audio().map_or(0, |audio| audio.track.samples.len()),
    ];
    let mut cursor = Cursor::new(Arc::new(reel), 0);
    let mut packets = [vec![], vec![]];
    for _ in 0..counts.iter().sum() {
        let frame = cursor.next_frame();
        let of_kind = &mut packets[usize::from(frame.kind == Kind::Audio)];
        assert_eq!(frame.number as usize, of_kind.len());
        of_kind.push(Packet {
            decode_us: frame.decode_us as i64,
            shown_us: (frame.decode_us / 1000) as i64 * 1000 + i64::from(frame.composition_ms) * 1000,
            bytes_count: frame.bytes.len(),
            is_sync: frame.is_sync,
        });
    }
    assert_eq!(packets.each_ref().map(Vec::len), counts);
    packets
}

#[test]
fn clips_of_ffmpeg_are_read_as_ffprobe_reads_them() {
    let workspace = Workspace::new("clips");
    let both = [PICTURE, TONE];
    let cases: [(&str, &[&str], &[&str]); 10] = [
        ("both.flv", &both, &[]),
        ("both.mp4", &both, &[]),
        ("fast.mp4", &both, &["-movflags", "+faststart"]),
        ("late.mp4", &[PICTURE, "sine=r=48000,asetpts=PTS+0.3/TB"], &[]),
        ("negative.mp4", &both, &["-movflags", "+negative_cts_offsets"]),
        ("fragments.mp4", &both, &FRAGMENTED),
        ("old.mp4", &both, &["-frag_duration", "300000", "-movflags", "empty_moov"]),
        ("delayed.mp4", &both, &["-movflags", "frag_keyframe+delay_moov"]),
        ("picture.mov", &[PICTURE], &[]),
        ("tone.m4a", &[TONE], &[]),
    ];
    for (name, inputs, arguments) in cases {
        let file = workspace.path(name);
        encode(&file, inputs, &[&B_FRAMES[..], &["-c:a", "aac"], arguments].concat());
        let reel = open(&file).unwrap();
        if let Some(video) = reel.video() {
            assert_eq!((video.width, video.height, video.nal_length_size), (322, 182, 4), "{name}");
            assert!((29.9..30.1).contains(&video.frames_per_s), "{name}: {}", video.frames_per_s);
        }
        let expected = probed(&file);
        let found = one_loop(reel);
        for (expected, found) in expected.iter().zip(&found) {
            assert_eq!(expected.len(), found.len(), "{name}");
            for (frame, (expected, found)) in expected.iter().zip(found).enumerate() {
                let late_us = found.decode_us - expected.decode_us;
                let shown_late_us = found.shown_us - expected.shown_us;
                assert!(late_us.abs() <= 2, "{name}: {frame}: {expected:?}, {found:?}");
                // Presentation is in whole milliseconds, rounded down.
                assert!((-1001..=2).contains(&shown_late_us), "{name}: {frame}: {expected:?}, {found:?}");
                assert_eq!(
                    (expected.bytes_count, expected.is_sync),
                    (found.bytes_count, found.is_sync),
                    "{name}"
                );
            }
        }
    }
}

#[test]
fn other_codecs_and_other_files_are_refused_by_name() {
    let workspace = Workspace::new("codecs");
    for (name, inputs, arguments, part) in [
        (
            "hevc.mp4",
            &[PICTURE, TONE][..],
            &["-c:v", "libx265", "-x265-params", "log-level=none"][..],
            "video in HEVC hev1 at byte",
        ),
        ("mp3.mp4", &[TONE], &["-c:a", "libmp3lame"], "audio in MP3 at byte"),
        ("mp3.flv", &[TONE], &["-c:a", "libmp3lame"], "audio in MP3 at byte"),
        ("h263.flv", &[PICTURE], &["-c:v", "flv1"], "video in Sorenson H.263 at byte"),
        ("opus.mp4", &[TONE], &["-c:a", "libopus"], "audio in Opus Opus at byte"),
        ("x.mkv", &[TONE], &[], "neither FLV nor MP4: it begins with \\x1aE\\xdf\\xa3"),
        ("alac.mp4", &[TONE], &["-c:a", "alac"], "audio in sample entry alac at byte"),
    ] {
        let file = workspace.path(name);
        encode(&file, inputs, arguments);
        let message = open(&file).unwrap_err().to_string();
        assert!(message.starts_with(part), "{name}: {message}");
    }
    assert!(open(&workspace.path("none.mp4")).unwrap_err().to_string().starts_with("cannot read it: "));
    assert_eq!(parse(Bytes::new()).unwrap_err().to_string(), "neither FLV nor MP4: it begins with ");
    let empty = parse(Bytes::from_static(b"FLV\x01\x05\0\0\0\x09\0\0\0\0")).unwrap_err();
    assert_eq!(empty.to_string(), "no H.264 video and no AAC audio in it");
}

#[test]
fn a_synthetic_reel_survives_a_file() {
    let synthetic = Synthetic {
        video: Some(SyntheticVideo {
            width: 320,
            height: 180,
            frame_rate: (25, 1),
            bits_per_s: 500_000,
            gop_frames: 25,
            b_frames: 2,
        }),
        audio: Some(SyntheticAudio { sample_rate: 32_000, channels: 1, bits_per_s: 48_000 }),
    };
    let reel = Arc::new(synthetic.reel().unwrap());
    // 4 s: 100 pictures at 40 ms and 125 audio frames at 32 ms, both exact in milliseconds.
    let clip = parse(flv_of(&reel, 225).into()).unwrap();
    assert_eq!(clip.video().unwrap().avc_config, reel.video().unwrap().avc_config);
    assert_eq!(clip.audio().unwrap().audio_specific_config, reel.audio().unwrap().audio_specific_config);
    assert_eq!((clip.video().unwrap().width, clip.audio().unwrap().sample_rate), (320, 32_000));
    assert!((clip.video().unwrap().frames_per_s - 25.0).abs() < 1e-9);
    let (mut played, mut again) = (Cursor::new(reel, 7), Cursor::new(Arc::new(clip), 7));
    for _ in 0..5 * 225 {
        assert_eq!(played.next_frame(), again.next_frame());
    }
}

/// Tracks of frames of one byte each, an AAC frame or a NAL unit of no use.
fn raw_track(ticks_per_s: u32, times: &[(i64, i64, bool)]) -> RawTrack {
    let samples = times.iter().map(|&(decode_ticks, composition_ticks, is_sync)| RawSample {
        decode_ticks,
        composition_ticks,
        start: 0,
        bytes_count: 5,
        is_sync,
    });
    let config = Synthetic {
        video: Some(SyntheticVideo {
            width: 64,
            height: 32,
            frame_rate: (30, 1),
            bits_per_s: 200_000,
            gop_frames: 30,
            b_frames: 0,
        }),
        audio: None,
    };
    let config = config.reel().unwrap().video().unwrap().avc_config.to_vec();
    RawTrack { config, ticks_per_s, late_us: 0, samples: samples.collect(), end_ticks: None }
}

fn audio_track(times: &[(i64, i64, bool)]) -> RawTrack {
    RawTrack { config: vec![0x11, 0x90], ..raw_track(1000, times) }
}

fn assembled(video: Option<RawTrack>, audio: Option<RawTrack>) -> Result<Reel, String> {
    let file = Bytes::from_static(&[0, 0, 0, 1, 9]);
    assemble(&file, Tracks { video, audio }).map_err(|error| error.to_string())
}

#[test]
fn all_tracks_restart_together_where_the_longest_ends() {
    // Video of 0 to 120 ms; audio of 10 to 52.3 ms: 21.333 ms for its last frame.
    let video = raw_track(1000, &[(0, 0, true), (40, 40, false), (80, 0, false)]);
    let audio = audio_track(&[(10, 0, true), (31, 0, true)]);
    let mut cursor = Cursor::new(Arc::new(assembled(Some(video), Some(audio)).unwrap()), 1000);
    let mut order = vec![];
    for _ in 0..10 {
        let frame = cursor.next_frame();
        order.push((frame.kind == Kind::Video, frame.decode_us / 1000, frame.composition_ms, frame.number));
    }
    let one = [(true, 1, 0, 0), (false, 11, 0, 0), (false, 32, 0, 1), (true, 41, 40, 1), (true, 81, 0, 2)];
    let two = one.map(|(video, at, composition, number)| {
        (video, at + 120, composition, number + 2 + u32::from(video))
    });
    assert_eq!(order, [one, two].concat());
}

#[test]
fn times_are_set_right_and_those_that_cannot_be_are_refused() {
    let times = |track: Result<Reel, String>| {
        let reel = track.unwrap();
        let samples = &reel.video().unwrap().track.samples;
        samples.iter().map(|sample| (sample.decode_ticks, sample.composition_ticks)).collect::<Vec<_>>()
    };
    // Frames before the first sync frame are left out, and time begins with it.
    let open = raw_track(1000, &[(500, 0, false), (540, 0, true), (580, 0, false)]);
    assert_eq!(times(assembled(Some(open), None)), [(0, 0), (40_000, 0)]);
    // Negative offsets: decoded earlier.
    let negative = raw_track(1000, &[(0, 0, true), (40, -40, false)]);
    assert_eq!(times(assembled(Some(negative), None)), [(0, 40_000), (40_000, 0)]);
    // Two frames in one millisecond.
    let same = raw_track(1000, &[(0, 0, true), (0, 0, false), (0, 0, false), (1, 0, false)]);
    assert_eq!(
        times(assembled(Some(same), None)),
        [(0, 0), (1, -1), (2, -2), (1000, 0)].map(|(at, back)| (at, back + 2))
    );

    for (track, message) in [
        (
            &[(10, 0, true), (9, 0, false)][..],
            "video frame 1 is decoded 1000 µs before the one in front of it",
        ),
        (&[(0, 0, false), (1, 0, false)], "no sync frame among 2 video frames"),
        (&[(0, 0, true), (90_000_000, 0, false)], "a clip of 180000 s; allowed are 86400"),
        (&[(0, 61_000, true)], "video frame 0 is shown 61 s after it is decoded; allowed are 60 s"),
        (&[(i64::MIN, 0, true), (i64::MAX, 0, false)], "a clip of 9223372036854 s; allowed are 86400"),
        (&[], "no H.264 video and no AAC audio in it"),
    ] {
        assert_eq!(assembled(Some(raw_track(1000, track)), None).unwrap_err(), message, "{track:?}");
    }
    let mut broken = raw_track(1000, &[(0, 0, true)]);
    broken.samples[0].bytes_count = 3;
    let message = "video frame 0 at byte 0 is no access unit with NAL unit lengths of 4 bytes";
    assert_eq!(assembled(Some(broken), None).unwrap_err(), message);
}

/// Small clips of each kind, made once.
fn small_clips() -> &'static [Vec<u8>] {
    static CLIPS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    CLIPS.get_or_init(|| {
        let workspace = Workspace::new("small");
        let cases: [(&str, &[&str]); 4] = [
            ("a.flv", &[]),
            ("b.mp4", &[]),
            ("c.mp4", &FRAGMENTED),
            ("d.mov", &["-frag_duration", "300000", "-movflags", "empty_moov"]),
        ];
        let make = |(name, arguments): (&str, &[&str])| {
            let file: PathBuf = workspace.path(name);
            let small = ["-c:a", "aac", "-b:a", "16k", "-t", "1"];
            let inputs = ["color=s=64x64:r=10", "sine=r=8000"];
            encode(&file, &inputs, &[&B_FRAMES[..], &small, arguments].concat());
            std::fs::read(file).unwrap()
        };
        cases.map(make).into()
    })
}

/// Reads a clip that may be broken; what can be read must play.
fn read_and_play(bytes: Vec<u8>) {
    let Ok(reel) = parse(bytes.into()) else { return };
    let mut cursor = Cursor::new(Arc::new(reel), 0);
    let mut last_us = [None; 2];
    for _ in 0..200 {
        let frame = cursor.next_frame();
        let last = &mut last_us[usize::from(frame.kind == Kind::Audio)];
        assert!(last.is_none_or(|last| last < frame.decode_us));
        *last = Some(frame.decode_us);
    }
}

#[test]
fn a_clip_cut_anywhere_is_an_error_or_a_reel() {
    for clip in small_clips() {
        read_and_play(clip.clone());
        assert!(parse(clip.clone().into()).is_ok());
        for length in (0..clip.len()).step_by(7) {
            read_and_play(clip[..length].to_vec());
        }
    }
}

/// Where in MP4 clips the structure is: in FLV it is everywhere.
fn structure(clip: &[u8]) -> Vec<usize> {
    let find = |kind: &[u8]| clip.windows(4).position(|four| four == kind);
    let spans = [b"moov", b"moof"]
        .into_iter()
        .filter_map(|kind| find(kind).map(|at| at..(at + 1500).min(clip.len())));
    let spans: Vec<usize> = spans.flatten().collect();
    if spans.is_empty() { (0..clip.len()).collect() } else { spans }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn a_clip_with_wrong_bytes_is_an_error_or_a_reel(
        clip in 0usize..4,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 1..8),
    ) {
        let mut bytes = small_clips()[clip].clone();
        let places = structure(&bytes);
        for (index, byte, anywhere) in changes {
            let at = if anywhere { index.index(bytes.len()) } else { places[index.index(places.len())] };
            bytes[at] = byte;
        }
        read_and_play(bytes);
    }

    #[test]
    fn no_bytes_panic(mut bytes: Vec<u8>, head in 0usize..4) {
        let head: &[u8] = [&b"FLV\x01\x05\0\0\0\x09\0\0\0\0"[..], b"\0\0\0\x08ftyp", b"\0\0\x01\0moov", b""][head];
        bytes.splice(0..0, head.iter().copied());
        read_and_play(bytes);
    }
}
