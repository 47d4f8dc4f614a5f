//! Synthetic reels: their times and rates by arithmetic, their pictures and sound by ffmpeg and ffprobe,
//! which must be on the PATH.

use super::*;
use crate::stamp::{self, Stamp};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory of one test, removed behind it.
pub(super) struct Workspace(PathBuf);

impl Workspace {
    pub(super) fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("loadtest-{name}-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs a program that must succeed without a word on stderr; returns its stdout.
pub(super) fn run(program: &str, arguments: &[&str]) -> Vec<u8> {
    let output =
        Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.is_empty(), "{program} {arguments:?}: {stderr}");
    output.stdout
}

/// Decodes a file, each error being fatal.
fn decode(file: &Path) {
    run("ffmpeg", &["-v", "error", "-xerror", "-nostdin", "-i", file.to_str().unwrap(), "-f", "null", "-"]);
}

/// ffprobe's fields of all frames or packets, a line each.
pub(super) fn probe(file: &Path, stream: &str, entries: &str) -> Vec<Vec<String>> {
    let file = file.to_str().unwrap();
    let arguments =
        ["-v", "error", "-select_streams", stream, "-show_entries", entries, "-of", "compact=nk=1:p=0", file];
    let text = String::from_utf8(run("ffprobe", &arguments)).unwrap();
    // Side data stand behind the fields, joined to the line.
    text.lines()
        .filter(|line| !line.is_empty())
        .map(|line| line.split('|').map(str::to_string).collect())
        .collect()
}

fn video(frame_rate: (u32, u32), gop_frames: u32, b_frames: u32) -> SyntheticVideo {
    SyntheticVideo { width: 320, height: 180, frame_rate, bits_per_s: 4_000_000, gop_frames, b_frames }
}

const AUDIO: SyntheticAudio = SyntheticAudio { sample_rate: 48_000, channels: 2, bits_per_s: 128_000 };

fn reel(video: Option<SyntheticVideo>, audio: Option<SyntheticAudio>) -> Arc<Reel> {
    Arc::new(Synthetic { video, audio }.reel().unwrap())
}

const FRAME_RATES: [(u32, u32); 7] =
    [(24_000, 1001), (24, 1), (25, 1), (30_000, 1001), (30, 1), (50, 1), (60, 1)];

/// A stamp as a publisher writes it these years: what its size depends on is the frame number.
fn stamp_of(frame: &Frame<'_>) -> Stamp {
    Stamp { sent_unix_us: 1_795_000_000_123_456 + frame.decode_us, frame: frame.number }
}

/// What a publisher sends: the frame with its stamp.
fn stamped(frame: &Frame<'_>, nal_length_size: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    match frame.kind {
        Kind::Video => {
            let at = stamp::access_unit_insert_offset(frame.bytes, nal_length_size);
            bytes.extend(&frame.bytes[..at]);
            stamp_of(frame).write_sei(nal_length_size, &mut bytes);
            bytes.extend(&frame.bytes[at..]);
            assert_eq!(stamp::read_access_unit(&bytes, nal_length_size), Some(stamp_of(frame)));
            assert_eq!(stamp::read_access_unit(frame.bytes, nal_length_size), None);
        }
        Kind::Audio => {
            stamp_of(frame).write_data_stream_element(&mut bytes);
            bytes.extend(frame.bytes);
            assert_eq!(stamp::read_raw_data_block(&bytes), Some(stamp_of(frame)));
            assert_eq!(stamp::read_raw_data_block(frame.bytes), None);
        }
    }
    bytes
}

#[test]
fn bit_rates_come_out_within_a_hundredth() {
    for frame_rate in FRAME_RATES {
        for b_frames in 0..=3 {
            for gop_frames in [1, 2, 3, 24, 60, 125] {
                let video =
                    |bits_per_s| SyntheticVideo { bits_per_s, ..video(frame_rate, gop_frames, b_frames) };
                let Err(SyntheticError::VideoRateTooLow { least, .. }) =
                    (Synthetic { video: Some(video(1)), audio: None }).reel()
                else {
                    panic!("1 bit/s")
                };
                for bits_per_s in [least, least + least / 20, 3 * least] {
                    let mut cursor = Cursor::new(reel(Some(video(bits_per_s)), None), 0);
                    for gop in 0..3 {
                        let frames_bytes = |_| cursor.next_frame().bytes.len() + stamp::SEI_BYTES;
                        let bytes: usize = (0..gop_frames).map(frames_bytes).sum();
                        let gop_s = f64::from(gop_frames * frame_rate.1) / f64::from(frame_rate.0);
                        let ratio = bytes as f64 * 8.0 / gop_s / bits_per_s as f64;
                        assert!((0.99..1.01).contains(&ratio), "{:?}, GOP {gop}: {ratio}", video(bits_per_s));
                    }
                }
            }
        }
    }
}

#[test]
fn a_stamp_takes_the_bytes_that_were_left_for_it() {
    let mut cursor = Cursor::new(reel(Some(video((30, 1), 30, 2)), Some(AUDIO)), 0);
    let mut extra_bytes = 0;
    for _ in 0..5_000 {
        let frame = cursor.next_frame();
        let stamp_bytes = stamped(&frame, 4).len() - frame.bytes.len();
        match frame.kind {
            Kind::Video => extra_bytes += stamp_bytes - stamp::SEI_BYTES,
            Kind::Audio => assert_eq!(stamp_bytes, stamp::DATA_STREAM_ELEMENT_BYTES),
        }
    }
    // An escape in each of the first 1024 frame numbers; later only where a time happens to have zeros.
    assert!((1024..1500).contains(&extra_bytes), "{extra_bytes} bytes");
}

#[test]
fn an_idr_picture_has_four_times_a_p_pictures_bytes_and_a_b_picture_half() {
    let mut cursor = Cursor::new(reel(Some(video((30, 1), 60, 2)), None), 0);
    // In decode order I P B B; p = 1,000,000 bytes / (4 + 20 + 39 / 2), since the last run has one B picture.
    let bytes: Vec<_> = (0..4).map(|_| cursor.next_frame().bytes.len() + stamp::SEI_BYTES).collect();
    let p = 1_000_000 * 10 / 435;
    for (found, expected) in bytes.into_iter().zip([4 * p, p, p / 2, p / 2]) {
        assert!(found.abs_diff(expected) <= expected / 50, "{found} bytes, expected {expected}");
    }
}

#[test]
fn frames_are_shown_one_by_one_and_never_before_they_are_decoded() {
    for frame_rate in FRAME_RATES {
        for b_frames in 0..=3 {
            for gop_frames in [1, 2, 7, 30] {
                let mut cursor = Cursor::new(reel(Some(video(frame_rate, gop_frames, b_frames)), None), 0);
                let period = |index: u64| index * u64::from(frame_rate.1) * 1000 / u64::from(frame_rate.0);
                let mut shown_ms = Vec::new();
                for index in 0..5 * u64::from(gop_frames) {
                    let frame = cursor.next_frame();
                    assert_eq!(frame.decode_us / 1000, period(index));
                    assert_eq!(frame.is_sync, index % u64::from(gop_frames) == 0);
                    assert!(frame.composition_ms >= 0);
                    shown_ms
                        .push((frame.decode_us / 1000).saturating_add_signed(frame.composition_ms.into()));
                }
                shown_ms.sort_unstable();
                let delay = u64::from(b_frames > 0);
                let expected = (delay..).map(period).take(shown_ms.len());
                assert!(expected.eq(shown_ms), "{frame_rate:?}, {gop_frames} frames, {b_frames} B pictures");
            }
        }
    }
}

#[test]
fn times_are_exact_after_three_hours() {
    for (frame_rate, sample_rate) in [((30_000, 1001), 44_100), ((60, 1), 48_000), ((24_000, 1001), 22_050)] {
        let audio = SyntheticAudio { sample_rate, channels: 1, bits_per_s: 64_000 };
        let start_us = 1_234_567;
        let mut cursor = Cursor::new(reel(Some(video(frame_rate, 48, 3)), Some(audio)), start_us);
        let mut counts = [0u64; 2];
        let mut last_us = 0;
        while cursor.next_decode_us() < start_us + 3 * 3600 * 1_000_000 {
            let next_us = cursor.next_decode_us();
            let frame = cursor.next_frame();
            assert_eq!(next_us, frame.decode_us);
            assert!(frame.decode_us >= last_us);
            last_us = frame.decode_us;
            let (count, ticks, per_s) = match frame.kind {
                Kind::Video => (&mut counts[0], frame_rate.1, frame_rate.0),
                Kind::Audio => (&mut counts[1], 1024, sample_rate),
            };
            assert_eq!(u64::from(frame.number), *count);
            assert_eq!(frame.decode_us - start_us, *count * u64::from(ticks) * 1_000_000 / u64::from(per_s));
            *count += 1;
        }
        let expected = |ticks: u32, per_s: u32| (3 * 3600 * u64::from(per_s)).div_ceil(ticks.into());
        assert_eq!(counts, [expected(frame_rate.1, frame_rate.0), expected(1024, sample_rate)]);
    }
}

#[test]
fn times_of_many_days_are_as_exact() {
    // 100 days: more milliseconds than 32 bits hold.
    let days_us = 100 * 24 * 3600 * 1_000_000;
    let reel = reel(Some(video((60, 1), 30, 3)), Some(AUDIO));
    let (mut young, mut old) = (Cursor::new(reel.clone(), 0), Cursor::new(reel, days_us));
    for _ in 0..1000 {
        let young = young.next_frame();
        assert_eq!(Frame { decode_us: young.decode_us + days_us, ..young }, old.next_frame());
    }
}

#[test]
fn memory_is_two_gops() {
    let reel = reel(Some(video((30, 1), 60, 2)), Some(AUDIO));
    let video = &reel.video().unwrap().track;
    assert_eq!((video.samples.len(), video.bytes.len().div_ceil(1000)), (120, 2000 - 4));
    let audio = &reel.audio().unwrap().track;
    assert_eq!((audio.samples.len(), audio.bytes.len()), (3, 311 + 312));
}

/// Writes so many frames of a reel's video with their stamps, as a byte stream (ITU-T H.264, annex B).
fn write_annex_b(reel: &Arc<Reel>, frames_count: u32, file: &Path) {
    let track = reel.video().unwrap();
    let mut stream = Vec::new();
    let config = &track.avc_config[..];
    let sps_bytes = usize::from(u16::from_be_bytes([config[6], config[7]]));
    for set in [&config[8..8 + sps_bytes], &config[8 + sps_bytes + 3..]] {
        stream.extend([0, 0, 0, 1]);
        stream.extend(set);
    }
    let mut cursor = Cursor::new(reel.clone(), 0);
    for _ in 0..frames_count {
        let access_unit = stamped(&cursor.next_frame(), track.nal_length_size);
        let mut rest = &access_unit[..];
        while let Some((length, behind)) = rest.split_first_chunk::<4>() {
            let (unit, behind) = behind.split_at(u32::from_be_bytes(*length) as usize);
            stream.extend([0, 0, 0, 1]);
            stream.extend(unit);
            rest = behind;
        }
    }
    std::fs::write(file, stream).unwrap();
}

/// Pictures of a GOP in presentation order: I, then runs of B before each P.
fn picture_types(gop_frames: u32, b_frames: u32) -> Vec<&'static str> {
    let of = |index| match index {
        0 => "I",
        index if index % (b_frames + 1) == 0 || index == gop_frames - 1 => "P",
        _ => "B",
    };
    (0..gop_frames).map(of).collect()
}

#[test]
fn ffmpeg_decodes_each_frame_without_a_word_and_sees_the_planned_types() {
    let workspace = Workspace::new("h264");
    let file = workspace.path("x.h264");
    for (width, height, frame_rate, gop_frames) in [
        (64, 32, (25, 1), 13),
        (320, 180, (30_000, 1001), 60),
        (1280, 720, (60, 1), 7),
        (1920, 1080, (30, 1), 5),
        (66, 50, (24, 1), 1),
    ] {
        for b_frames in 0..=3 {
            let bits_per_s = 4_000_000;
            let video = SyntheticVideo { width, height, frame_rate, bits_per_s, gop_frames, b_frames };
            let frames_count = 3 * gop_frames;
            write_annex_b(&reel(Some(video), None), frames_count, &file);
            decode(&file);
            let entries = "frame=width,height,pict_type:stream=profile,has_b_frames,r_frame_rate";
            let mut frames = probe(&file, "v", entries);
            // Behind all frames comes the stream.
            let profile = if b_frames > 0 { "Main" } else { "Constrained Baseline" };
            let rate = format!("{}/{}", frame_rate.0, frame_rate.1);
            let stream = [profile.to_string(), u32::from(b_frames > 0).to_string(), rate];
            assert_eq!(frames.pop().unwrap(), stream, "{video:?}");
            let planned = picture_types(gop_frames, b_frames).repeat(3);
            assert_eq!(frames.len(), frames_count as usize);
            for (frame, planned) in frames.iter().zip(planned) {
                assert_eq!(
                    frame[..3],
                    [width.to_string(), height.to_string(), planned.to_string()],
                    "{video:?}"
                );
            }
        }
    }
}

/// Luma of the picture shown at `shown_index` since the stream began; `None` where a B picture mixes two.
fn expected_luma(video: &SyntheticVideo, shown_index: u32, x: u32, y: u32) -> u8 {
    let columns = video.width.div_ceil(16);
    let strip_row = video.height / 16 - 1;
    let (column, row) = (x / 16, y / 16);
    if row > strip_row {
        return 16;
    }
    if row < strip_row {
        return [180, 168, 145, 134, 63, 51, 28, 16][(column * 8 / columns) as usize];
    }
    let anchors_until = |shown_index: u32| {
        let types = picture_types(video.gop_frames, video.b_frames);
        (0..=shown_index).filter(|&index| types[(index % video.gop_frames) as usize] != "B").count() as u32
    };
    let square = |anchors_count: u32| 1 + (anchors_count - 1) % (columns - 1);
    let anchors_count = anchors_until(shown_index);
    let is_b =
        picture_types(video.gop_frames, video.b_frames)[(shown_index % video.gop_frames) as usize] == "B";
    let luma = |anchors_count| if column == square(anchors_count) { 235u32 } else { 16 };
    let next = if is_b { luma(anchors_count + 1) } else { luma(anchors_count) };
    (luma(anchors_count) + next).div_ceil(2) as u8
}

#[test]
fn ffmpeg_shows_crisp_bars_and_a_square_that_wanders() {
    let workspace = Workspace::new("bars");
    let (stream, raw) = (workspace.path("x.h264"), workspace.path("x.yuv"));
    for (width, height, gop_frames, b_frames) in
        [(64, 32, 11, 0), (160, 90, 24, 2), (176, 144, 7, 1), (322, 182, 23, 3), (128, 64, 1, 0)]
    {
        let video = SyntheticVideo { width, height, ..video((30, 1), gop_frames, b_frames) };
        let frames_count = 2 * gop_frames;
        write_annex_b(&reel(Some(video), None), frames_count, &stream);
        let (stream, raw) = (stream.to_str().unwrap(), raw.to_str().unwrap());
        let output = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-y", raw];
        let input = ["-v", "error", "-xerror", "-nostdin", "-i", stream];
        run("ffmpeg", &[&input[..], &output[..]].concat());
        let pictures = std::fs::read(raw).unwrap();
        let picture_bytes = (width * height * 3 / 2) as usize;
        assert_eq!(pictures.len(), picture_bytes * frames_count as usize);
        for (shown_index, picture) in (0..).zip(pictures.chunks(picture_bytes)) {
            for y in 0..height {
                for x in 0..width {
                    let found = picture[(y * width + x) as usize];
                    let expected = expected_luma(&video, shown_index, x, y);
                    assert_eq!(found, expected, "{video:?}: picture {shown_index} at {x}, {y}");
                }
            }
        }
    }
}

#[test]
fn ffmpeg_hears_silence_of_the_right_length_and_rate() {
    let workspace = Workspace::new("aac");
    let (file, raw) = (workspace.path("x.aac"), workspace.path("x.pcm"));
    for (sample_rate, channels, bits_per_s) in [
        (48_000, 2, 128_000),
        (44_100, 2, 320_000),
        (44_100, 1, 64_000),
        (22_050, 1, 24_000),
        (48_000, 1, 12_750),
    ] {
        let reel = reel(None, Some(SyntheticAudio { sample_rate, channels, bits_per_s }));
        let mut cursor = Cursor::new(reel, 0);
        let rate_index = aac::RATES.iter().position(|&rate| rate == sample_rate).unwrap() as u8;
        let frames_count = 300;
        let mut stream = Vec::new();
        let mut frames_bytes = 0;
        for _ in 0..frames_count {
            let frame = stamped(&cursor.next_frame(), 4);
            frames_bytes += frame.len();
            // ISO/IEC 14496-3, 1.A.2: MPEG-4 AAC-LC without CRC, one raw_data_block, buffer fullness of VBR.
            let [_, high, middle, low] = ((frame.len() as u32 + 7) << 5 | 0x1f).to_be_bytes();
            stream.extend([0xff, 0xf1, 1 << 6 | rate_index << 2 | channels >> 2]);
            stream.extend([channels << 6 | high, middle, low, 0xfc]);
            stream.extend(frame);
        }
        let frames_s = f64::from(frames_count) * 1024.0 / f64::from(sample_rate);
        let ratio = frames_bytes as f64 * 8.0 / frames_s / bits_per_s as f64;
        assert!((0.999..1.001).contains(&ratio), "{bits_per_s} bit/s: {ratio}");
        std::fs::write(&file, stream).unwrap();
        let (input, output) = (file.to_str().unwrap(), raw.to_str().unwrap());
        run("ffmpeg", &["-v", "error", "-xerror", "-nostdin", "-i", input, "-f", "s16le", "-y", output]);
        let samples = std::fs::read(&raw).unwrap();
        assert!(samples.iter().all(|&byte| byte == 0), "silence");
        assert_eq!(samples.len(), frames_count as usize * 1024 * 2 * usize::from(channels));
        let stream = probe(&file, "a", "stream=codec_name,profile,sample_rate,channels");
        let expected = ["aac".to_string(), "LC".to_string(), sample_rate.to_string(), channels.to_string()];
        assert_eq!(stream[0], expected);
    }
}

/// An FLV file of so many frames, as a publisher sends them but without stamps.
pub(super) fn flv_of(reel: &Arc<Reel>, frames_count: usize) -> Vec<u8> {
    let mut file = b"FLV\x01\x05\0\0\0\x09\0\0\0\0".to_vec();
    let mut tag = |kind, timestamp_ms: u64, header: &[u8], body: &[u8]| {
        let [high, time @ ..] = (timestamp_ms as u32).to_be_bytes();
        let bytes_count = (header.len() + body.len()) as u32;
        file.push(if kind == Kind::Video { 9 } else { 8 });
        file.extend(&bytes_count.to_be_bytes()[1..]);
        file.extend(time);
        file.extend([high, 0, 0, 0]);
        file.extend(header);
        file.extend(body);
        file.extend((bytes_count + 11).to_be_bytes());
    };
    if let Some(video) = reel.video() {
        tag(Kind::Video, 0, &[0x17, 0, 0, 0, 0], &video.avc_config);
    }
    if let Some(audio) = reel.audio() {
        tag(Kind::Audio, 0, &[0xaf, 0], &audio.audio_specific_config);
    }
    let mut cursor = Cursor::new(reel.clone(), 0);
    for _ in 0..frames_count {
        let frame = cursor.next_frame();
        let [_, high, middle, low] = frame.composition_ms.to_be_bytes();
        let first = if frame.is_sync { 0x17 } else { 0x27 };
        match frame.kind {
            Kind::Video => {
                tag(frame.kind, frame.decode_us / 1000, &[first, 1, high, middle, low], frame.bytes)
            }
            Kind::Audio => tag(frame.kind, frame.decode_us / 1000, &[0xaf, 1], frame.bytes),
        }
    }
    file
}

#[test]
fn ffprobe_reads_the_times_that_a_publisher_sends() {
    let workspace = Workspace::new("flv");
    let file = workspace.path("x.flv");
    for b_frames in 0..=3 {
        let reel = reel(Some(video((30_000, 1001), 30, b_frames)), Some(AUDIO));
        std::fs::write(&file, flv_of(&reel, 300)).unwrap();
        decode(&file);
        let shown: Vec<_> =
            probe(&file, "v", "frame=pts,pict_type").into_iter().map(|frame| frame[..2].to_vec()).collect();
        let types = picture_types(30, b_frames);
        let delay = u64::from(b_frames > 0);
        // The last run may lack B pictures.
        let shown = &shown[..shown.len() - 3];
        let expected: Vec<_> = (0..shown.len() as u64)
            .map(|index| {
                let shown_ms = (index + delay) * 1001 / 30;
                vec![shown_ms.to_string(), types[index as usize % 30].to_string()]
            })
            .collect();
        assert_eq!(shown, expected, "{b_frames} B pictures");
        assert!(shown.len() > 100);
    }
}
