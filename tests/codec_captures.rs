//! Recordings of real publishers of every codec, through configuration, frame walker and part writer, against
//! ffprobe and ffmpeg. Enhanced tags are taken apart here, by their fixed sizes.

use rapidrtmp::codec::{Codec, CodecConfig, FrameRole, InBand, Parsed};
use rapidrtmp::fmp4::{BufferPool, InitTrack, PartWriter, init_segment};
use rapidrtmp::media::Timescale;
use rapidrtmp::rtmp::chunk::{ChunkEvent, ChunkReader};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// C0, C1 and C2.
const HANDSHAKE_BYTES: usize = 1 + 2 * 1536;
const AUDIO: u8 = 8;
const VIDEO: u8 = 9;

/// Audio and video messages of a recording: type, body.
fn messages(name: &str) -> Vec<(u8, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/rtmp-captures");
    let bytes = std::fs::read(folder.join(format!("{name}.c2s.bin"))).unwrap();
    let mut input = &bytes[HANDSHAKE_BYTES..];
    let (mut reader, mut open, mut found) = (ChunkReader::new(), BTreeMap::<u32, Vec<u8>>::new(), vec![]);
    while let Some(event) = reader.poll(&mut input).unwrap() {
        let ChunkEvent::Fragment(fragment) = event else { panic!("{event:?}") };
        let body = open.entry(fragment.chunk_stream).or_default();
        body.extend_from_slice(fragment.payload);
        if fragment.last {
            let body = std::mem::take(body);
            if matches!(fragment.header.type_id, AUDIO | VIDEO) {
                found.push((fragment.header.type_id, body));
            }
        }
    }
    found
}

/// What a message of a track is.
enum Body<'a> {
    Config(&'a [u8]),
    Frame { composition_ms: i32, bytes: &'a [u8] },
    Other,
}

/// Codec and body of a message; enhanced or legacy H.264 and AAC.
fn split(type_id: u8, body: &[u8]) -> (Codec, Body<'_>) {
    let offset = |bytes: &[u8]| i32::from_be_bytes([bytes[0], bytes[1], bytes[2], 0]) >> 8;
    if body[0] & 0x80 != 0 && (type_id == VIDEO || body[0] >> 4 == 9) {
        let codec = Codec::from_four_cc(body[1..5].try_into().unwrap()).unwrap();
        let body = match (body[0] & 0x0f, &body[5..]) {
            (0, record) => Body::Config(record),
            (1, [a, b, c, bytes @ ..]) if codec.has_composition_offset() => {
                Body::Frame { composition_ms: offset(&[*a, *b, *c]), bytes }
            }
            (1 | 3, bytes) if !bytes.is_empty() => Body::Frame { composition_ms: 0, bytes },
            _ => Body::Other,
        };
        return (codec, body);
    }
    match (type_id, body[1]) {
        (VIDEO, 0) => (Codec::Avc, Body::Config(&body[5..])),
        (VIDEO, 1) => (Codec::Avc, Body::Frame { composition_ms: offset(&body[2..]), bytes: &body[5..] }),
        (AUDIO, 0) => (Codec::Aac, Body::Config(&body[2..])),
        (AUDIO, 1) => (Codec::Aac, Body::Frame { composition_ms: 0, bytes: &body[2..] }),
        _ => (Codec::Avc, Body::Other),
    }
}

#[derive(Default)]
struct Track {
    mp4: Vec<u8>,
    config: Option<CodecConfig>,
    frames: usize,
    roles: Vec<FrameRole>,
    /// Samples of sound, or ticks of pictures.
    ticks: u64,
}

/// One track of a recording in an mp4 of parts of up to 25 frames.
fn remux(name: &str, wanted: u8) -> Track {
    let (mut track, mut unfinished, mut parsed) = (Track::default(), None, None);
    let (mut writer, mut pool) = (PartWriter::new(&[1], 25), BufferPool::new(1 << 20));
    let (mut parts, mut sealed_ticks) = (vec![], 0);
    for (type_id, body) in messages(name).iter().filter(|message| message.0 == wanted) {
        match split(*type_id, body) {
            (codec, Body::Config(record)) => match CodecConfig::parse(codec, record.to_vec().into()).unwrap()
            {
                Parsed::Whole(config) => {
                    assert!(parsed.is_none() || parsed.as_ref() == Some(&config), "{name}: no change");
                    parsed = Some(config);
                }
                Parsed::Unfinished(left) => unfinished = Some(left),
            },
            (_, Body::Frame { composition_ms, bytes }) => {
                if let Some(left) = unfinished.take() {
                    parsed = Some(left.finish(bytes).unwrap());
                }
                let config = parsed.as_ref().expect("configured before the first frame");
                let mut walker = config.walker(bytes.len() as u32);
                writer.begin_sample(0, false, &mut pool).unwrap();
                for mut piece in bytes.chunks(97) {
                    while let Some(bytes) = walker.step(&mut piece).unwrap() {
                        writer.append(0, &bytes).unwrap();
                    }
                }
                let frame = walker.finish().unwrap();
                let in_band = config.in_band(bytes, frame.role.is_sync());
                assert!(!matches!(in_band, InBand::Other(_)), "{name}: {in_band:?}");
                let duration = frame.samples.unwrap_or(3000);
                let offset = (f64::from(composition_ms) * 0.03).round() as i32 * 3000;
                writer.end_sample(0, duration, offset, frame.role.is_sync());
                track.roles.push(frame.role);
                track.frames += 1;
                track.ticks += u64::from(duration);
                if track.frames % 25 == 0 {
                    parts.extend(writer.seal(track.frames as u32, &[sealed_ticks], &mut pool));
                    sealed_ticks = track.ticks;
                }
            }
            (_, Body::Other) => {}
        }
    }
    let config = parsed.unwrap();
    parts.extend(writer.seal(u32::MAX, &[sealed_ticks], &mut pool));
    let ticks = config.sound().map_or(90_000, |sound| sound.sample_rate);
    let timescale = Timescale::new(ticks).unwrap();
    track.mp4 = init_segment(&[InitTrack { track_id: 1, timescale, config: &config }]).to_vec();
    parts.iter().for_each(|part| track.mp4.extend_from_slice(&part.bytes));
    track.config = Some(config);
    track
}

/// Runs a tool that must succeed without a word; returns what it printed.
fn run(command: &mut Command) -> String {
    let output = command.output().expect("ffmpeg and ffprobe are required by the tests");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.is_empty(), "{command:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// Frames and their number are those of the recordings' README, which counted what ffmpeg 9 decodes.
#[test]
fn every_codec_of_the_recordings_comes_out_and_decodes_without_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out.mp4");
    for (name, kind, frames, shown) in [
        ("ff9_hevc_aac", VIDEO, 150, "hevc,hvc1,160,90"),
        ("ff9_hevc_aac", AUDIO, 236, "aac,mp4a,48000,1"),
        ("ff9_av1_opus", VIDEO, 150, "av1,av01,160,90"),
        ("ff9_av1_opus", AUDIO, 251, "opus,Opus,48000,2"),
        ("ff9_vp9_ac3", VIDEO, 150, "vp9,vp09,160,90"),
        ("ff9_vp9_ac3", AUDIO, 157, "ac3,ac-3,48000,2"),
        ("ff9_h264_eac3_51", VIDEO, 120, "h264,avc1,160,90"),
        ("ff9_h264_eac3_51", AUDIO, 125, "eac3,ec-3,48000,6"),
        ("ff9_h264_flac", AUDIO, 188, "flac,fLaC,48000,1"),
        ("obs30_av1_aac", VIDEO, 241, "av1,av01,320,180"),
    ] {
        let track = remux(name, kind);
        assert_eq!(track.frames, frames, "{name}");
        std::fs::write(&file, &track.mp4).unwrap();
        let entries = if kind == VIDEO {
            "codec_name,codec_tag_string,width,height"
        } else {
            "codec_name,codec_tag_string,sample_rate,channels"
        };
        let probe = |args: &[&str]| {
            run(Command::new("ffprobe").args(["-v", "warning", "-of", "csv=p=0"]).args(args).arg(&file))
        };
        assert_eq!(
            probe(&["-show_entries", &format!("stream={entries}")]).trim_end_matches([',', '\n']),
            shown,
            "{name}"
        );
        let counted = probe(&[
            "-count_frames",
            "-show_entries",
            "stream=nb_read_packets,nb_read_frames",
            "-count_packets",
        ]);
        assert_eq!(
            counted.trim_end_matches([',', '\n']),
            format!("{frames},{frames}"),
            "{name}: frames and packets"
        );
        run(Command::new("ffmpeg").args(["-v", "warning", "-i"]).arg(&file).args(["-f", "null", "-"]));
    }
}

/// The encoder calls frames key at which nobody can join cleanly: with x265, all but the first.
#[test]
fn only_clean_points_are_sync_samples() {
    let count = |name, role| remux(name, VIDEO).roles.iter().filter(|found| **found == role).count();
    // GOP of 60 frames in 150: an IDR and two CRA, each with three RASL behind it.
    assert_eq!(count("ff9_hevc_aac", FrameRole::Sync), 1);
    assert_eq!(count("ff9_hevc_aac", FrameRole::OpenSync), 2);
    assert_eq!(count("ff9_hevc_aac", FrameRole::SkippedLeading), 6);
    assert_eq!(count("ff9_av1_opus", FrameRole::Sync), 3);
    assert_eq!(count("ff9_vp9_ac3", FrameRole::Sync), 3);
    assert_eq!(count("ff9_h264_eac3_51", FrameRole::Sync), 2);
    assert_eq!(count("obs30_av1_aac", FrameRole::Sync), 5);
}

/// The frame that continues Opus decodes to silence, without a word.
#[test]
fn silent_opus_decodes_to_zeros() {
    let folder = tempfile::tempdir().unwrap();
    let (file, samples) = (folder.path().join("silence.mp4"), folder.path().join("silence.s16"));
    for channels in [1, 2] {
        let mut record = b"OpusHead\x01\x02\0\0\x80\xbb\0\0\0\0\0".to_vec();
        record[9] = channels;
        let Ok(Parsed::Whole(config)) = CodecConfig::parse(Codec::Opus, record.into()) else {
            panic!("Opus")
        };
        let (mut writer, mut pool) = (PartWriter::new(&[1], 10), BufferPool::new(0));
        for _ in 0..10 {
            writer.begin_sample(0, false, &mut pool).unwrap();
            writer.append(0, config.silent_frame(960).unwrap()).unwrap();
            writer.end_sample(0, 960, 0, true);
        }
        assert_eq!(config.silent_frame(480), None);
        let part = writer.seal(1, &[0], &mut pool).unwrap();
        let timescale = Timescale::new(48_000).unwrap();
        let init = init_segment(&[InitTrack { track_id: 1, timescale, config: &config }]);
        std::fs::write(&file, [init, part.bytes].concat()).unwrap();
        let args = ["-v", "warning", "-y", "-i"];
        run(Command::new("ffmpeg").args(args).arg(&file).args(["-f", "s16le"]).arg(&samples));
        let decoded = std::fs::read(&samples).unwrap();
        assert_eq!(decoded.len(), 10 * 960 * 2 * usize::from(channels));
        assert!(decoded.iter().all(|byte| *byte == 0));
    }
}
