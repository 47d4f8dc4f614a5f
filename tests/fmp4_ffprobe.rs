//! What ffmpeg publishes, through demuxer and part writer, against judges that are not ours: the
//! strict checker, mp4-atom, ffprobe and ffmpeg itself.

#[path = "support/mp4.rs"]
mod mp4;

use mp4_atom::{Decode, Ftyp, Mdat, Moof, Moov};
use rapidrtmp::codec::CodecConfig;
use rapidrtmp::codec::aac::AudioConfig;
use rapidrtmp::codec::avc::x264_options;
use rapidrtmp::flv::{Demuxer, Event, Fragment, FrameBegin};
use rapidrtmp::fmp4::{BufferPool, InitTrack, PartWriter, init_segment};
use rapidrtmp::media::{Timescale, TrackKind};
use std::path::Path;
use std::process::Command;

/// Two seconds of x264 with B-frames (GOP 15) and stereo AAC, as ffmpeg publishes them.
fn publish(path: &Path) -> Vec<u8> {
    run(Command::new("ffmpeg")
        .args(["-loglevel", "error", "-y", "-f", "lavfi", "-i", "testsrc2=s=160x90:r=30"])
        .args(["-f", "lavfi", "-i", "sine=f=440:r=48000", "-c:v", "libx264", "-g", "15", "-bf", "2"])
        .args(["-c:a", "aac", "-ac", "2", "-t", "2", "-f", "flv"])
        .arg(path));
    std::fs::read(path).unwrap()
}

/// Runs a tool that must succeed without a word; returns what it printed.
fn run(command: &mut Command) -> String {
    let output = command.output().expect("ffmpeg and ffprobe are required by the tests");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.is_empty(), "{command:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// Audio and video messages of an FLV file: kind, timestamp, body.
fn messages(flv: &[u8]) -> Vec<(TrackKind, u32, &[u8])> {
    let mut found = vec![];
    let mut rest = &flv[13..];
    while let [tag_type, a, b, c, t0, t1, t2, t3, ..] = *rest {
        let size = u32::from_be_bytes([0, a, b, c]) as usize;
        let timestamp_ms = u32::from_be_bytes([t3, t0, t1, t2]);
        let body = &rest[11..11 + size];
        match tag_type {
            8 => found.push((TrackKind::Audio, timestamp_ms, body)),
            9 => found.push((TrackKind::Video, timestamp_ms, body)),
            _ => {}
        }
        rest = &rest[11 + size + 4..];
    }
    found
}

struct Output {
    init: Vec<u8>,
    parts: Vec<Vec<u8>>,
    /// Frames of each kind that went in.
    frames: [usize; 2],
    keyint: Option<u32>,
}

/// Demuxes in fragments of 128 bytes and writes parts of ten frames of the first track.
fn remux(flv: &[u8], kinds: &[TrackKind]) -> Output {
    let (mut demuxer, mut pool) = (Demuxer::new(), BufferPool::new(1 << 20));
    let track_ids: Vec<u32> = (1..=kinds.len() as u32).collect();
    let mut writer = PartWriter::new(&track_ids, 40);
    let (mut parts, mut frames, mut coded_bytes, mut keyint) = (vec![], [0; 2], 0, None);
    let mut decode_times = vec![0; kinds.len()];
    let mut begun: [Option<FrameBegin>; 2] = [None; 2];
    let mut seal = |writer: &mut PartWriter, pool: &mut BufferPool, decode_times: &mut Vec<u64>| {
        let Some(part) = writer.seal(parts.len() as u32 + 1, decode_times, pool) else { return };
        for track in &part.tracks {
            decode_times[track.track_id as usize - 1] += track.duration;
            for sample in &track.samples {
                assert!(sample.offset as usize + sample.size as usize <= part.bytes.len());
            }
        }
        parts.push(part.bytes.to_vec());
        assert!(pool.reclaim(part.bytes));
    };
    for (kind, timestamp_ms, body) in messages(flv) {
        let Some(track) = kinds.iter().position(|wanted| *wanted == kind) else { continue };
        let chunks = body.chunks(128).count();
        for (index, bytes) in body.chunks(128).enumerate() {
            let message_bytes = body.len() as u32;
            let (first, last) = (index == 0, index + 1 == chunks);
            for event in demuxer.feed(Fragment { kind, timestamp_ms, message_bytes, first, last, bytes }) {
                match event {
                    Event::FrameBegin(begin) => {
                        if track == 0 && writer.samples_count(0) == 10 {
                            seal(&mut writer, &mut pool, &mut decode_times);
                        }
                        writer.begin_sample(track, false, &mut pool).unwrap();
                        begun[track] = Some(begin);
                    }
                    Event::FrameBytes { bytes, .. } => {
                        writer.append(track, &bytes).unwrap();
                        coded_bytes += bytes.len() as u64;
                    }
                    Event::FrameEnd { frame, fault, .. } => {
                        let idr = frame.role.is_sync();
                        assert_eq!(fault, None);
                        let begin = begun[track].take().unwrap();
                        assert_eq!(begin.key, idr);
                        keyint =
                            keyint
                                .or(x264_options(writer.open_sample(track).unwrap())
                                    .and_then(|x264| x264.keyint));
                        let (duration, offset) = match kind {
                            TrackKind::Video => {
                                (3000, (f64::from(begin.composition_ms) * 0.03).round() as i32 * 3000)
                            }
                            TrackKind::Audio => (1024, 0),
                        };
                        writer.end_sample(track, duration, offset, idr);
                        frames[track] += 1;
                    }
                    Event::Config { .. } | Event::EndOfSequence { .. } => {}
                    other => panic!("{other:?}"),
                }
            }
        }
    }
    seal(&mut writer, &mut pool, &mut decode_times);
    let counters = writer.counters();
    assert_eq!(counters.bytes_copied, coded_bytes);
    assert_eq!(counters.head_room_short, 0);
    let configs: Vec<CodecConfig> = kinds.iter().map(|kind| demuxer.config(*kind).unwrap().clone()).collect();
    let tracks: Vec<InitTrack> = configs
        .iter()
        .zip(&track_ids)
        .map(|(config, &track_id)| {
            let sound = config.sound().and_then(|sound| Timescale::new(sound.sample_rate));
            let timescale = sound.unwrap_or(Timescale::VIDEO);
            InitTrack { track_id, timescale, config }
        })
        .collect();
    Output { init: init_segment(&tracks).to_vec(), parts, frames, keyint }
}

/// Predecessor's defects 2 (no audio came out) and 3 (composition time was dropped), 15 (the init
/// segment did not belong to the media).
#[test]
fn defect_2_3_15_a_real_publisher_comes_out_whole_and_other_readers_have_nothing_to_say() {
    let folder = tempfile::tempdir().unwrap();
    let flv = publish(&folder.path().join("in.flv"));
    for kinds in [&[TrackKind::Video][..], &[TrackKind::Audio], &[TrackKind::Video, TrackKind::Audio]] {
        let output = remux(&flv, kinds);
        let init = mp4::check_init(&output.init).unwrap();
        let parts = mp4::check_parts(&init, output.parts.iter().map(Vec::as_slice)).unwrap();
        for (track, &frames) in output.frames[..kinds.len()].iter().enumerate() {
            let samples =
                parts.iter().flat_map(|part| &part.runs).filter(|run| run.track_id == track as u32 + 1);
            assert_eq!(samples.map(|run| run.samples.len()).sum::<usize>(), frames);
            assert!(frames >= 60);
        }
        if kinds[0] == TrackKind::Video {
            assert_eq!(output.keyint, Some(15));
            let syncs: usize =
                parts.iter().flat_map(|part| &part.runs[0].samples).filter(|sample| sample.sync).count();
            assert_eq!(syncs, 4);
        }
        decodes_with_mp4_atom(&output);

        let file = folder.path().join("out.mp4");
        std::fs::write(&file, [output.init.clone(), output.parts.concat()].concat()).unwrap();
        run(Command::new("ffmpeg").args(["-v", "warning", "-i"]).arg(&file).args(["-f", "null", "-"]));
        for (track, kind) in kinds.iter().enumerate() {
            let letter = if *kind == TrackKind::Video { "v" } else { "a" };
            let packets = |path: &Path| {
                run(Command::new("ffprobe")
                    .args([
                        "-v",
                        "warning",
                        "-select_streams",
                        letter,
                        "-show_entries",
                        "packet=pts,dts,flags",
                    ])
                    .args(["-of", "csv=p=0"])
                    .arg(path))
            };
            let ours = packets(&file);
            assert_eq!(ours.lines().count(), output.frames[track]);
            if letter == "v" {
                assert_same_order_and_offsets(&ours, &packets(&folder.path().join("in.flv")));
            }
        }
    }
}

/// Presentation less decode time, frame by frame: ticks of 90 kHz here, milliseconds there.
fn assert_same_order_and_offsets(ours: &str, published: &str) {
    let offsets = |text: &str| -> Vec<i64> {
        text.lines()
            .map(|line| {
                let mut fields = line.split(',').map(|field| field.parse::<i64>());
                fields.next().unwrap().unwrap() - fields.next().unwrap().unwrap()
            })
            .collect()
    };
    let (ours, published) = (offsets(ours), offsets(published));
    assert_eq!(ours.len(), published.len());
    assert!(
        ours.iter().zip(&published).all(|(ticks, ms)| (ticks - ms * 90).abs() <= 90),
        "{ours:?} {published:?}"
    );
    assert!(ours.iter().any(|offset| *offset != ours[0]), "there are B-frames");
}

fn decodes_with_mp4_atom(output: &Output) {
    let mut bytes = &output.init[..];
    Ftyp::decode(&mut bytes).unwrap();
    let moov = Moov::decode(&mut bytes).unwrap();
    assert!(bytes.is_empty());
    for part in &output.parts {
        let mut bytes = &part[..];
        let moof = Moof::decode(&mut bytes).unwrap();
        Mdat::decode(&mut bytes).unwrap();
        assert!(bytes.is_empty());
        for traf in &moof.traf {
            assert!(moov.trak.iter().any(|trak| trak.tkhd.track_id == traf.tfhd.track_id));
            assert!(!traf.trun[0].samples.is_empty());
        }
    }
}

/// The frames that continue a track that fell silent decode to silence, without a word.
#[test]
fn silent_frames_decode_to_zeros() {
    let folder = tempfile::tempdir().unwrap();
    for (record, channels) in [(&[0x11, 0x88], 1), (&[0x11, 0x90], 2)] {
        let aac = AudioConfig::parse(record.to_vec().into()).unwrap();
        let timescale = Timescale::new(aac.sample_rate()).unwrap();
        let (mut writer, mut pool) = (PartWriter::new(&[1], 20), BufferPool::new(0));
        for _ in 0..20 {
            writer.begin_sample(0, false, &mut pool).unwrap();
            writer.append(0, aac.silent_frame().unwrap()).unwrap();
            writer.end_sample(0, aac.frame_samples(), 0, true);
        }
        let part = writer.seal(1, &[0], &mut pool).unwrap();
        let config = CodecConfig::Aac(aac);
        let init = init_segment(&[InitTrack { track_id: 1, timescale, config: &config }]);
        let (file, samples) = (folder.path().join("silence.mp4"), folder.path().join("silence.s16"));
        std::fs::write(&file, [init, part.bytes].concat()).unwrap();
        run(Command::new("ffmpeg")
            .args(["-v", "warning", "-y", "-i"])
            .arg(&file)
            .args(["-f", "s16le"])
            .arg(&samples));
        let decoded = std::fs::read(samples).unwrap();
        assert_eq!(decoded.len(), 20 * 1024 * 2 * channels);
        assert!(decoded.iter().all(|byte| *byte == 0));
    }
}
