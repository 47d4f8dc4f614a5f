//! Enhanced RTMP at its home: what recordings of it look like as playlists and boxes, and what happens when a
//! publisher says something else than before.

use super::captures::{Recording, play};
use super::harness::{Simulation, settings};
use super::support::decode::{Of, hashes, missing_around, newer_ffmpeg_or_say};
use super::support::encoder::Message;
use super::support::mp4;
use super::support::playlist::parse_multivariant;
use super::support::replay::{Tag, VIDEO};
use rapidrtmp::hls::EventBody;
use rapidrtmp::origin::home::PublisherId;
use std::path::Path;

const RECORDINGS: [&str; 7] = [
    "ff9_av1_opus",
    "ff9_h264_eac3_51",
    "ff9_h264_flac",
    "ff9_hevc_aac",
    "ff9_multitrack",
    "ff9_vp9_ac3",
    "obs30_av1_aac",
];

/// What a recording sends.
fn tags(name: &'static str) -> Vec<Tag> {
    play(&Recording::open(name), 65_536).tags
}

/// Sends tags at their times, so much later.
fn send(simulation: &mut Simulation, id: PublisherId, tags: &[Tag], later_ms: u32) {
    let mut at_us = 0;
    let message = |tag: &Tag| {
        // Sound and pictures are interleaved, so some are a little earlier than the last.
        at_us = u64::from(tag.timestamp_ms).max(at_us / 1000) * 1000;
        let (video, timestamp_ms) = (tag.kind == VIDEO, tag.timestamp_ms + later_ms);
        Message { at_us, video, timestamp_ms, body: tag.body.clone() }
    };
    let messages: Vec<Message> = tags.iter().map(message).collect();
    simulation.play(id, &messages);
}

fn publish(tags: &[Tag]) -> Simulation {
    let mut simulation = Simulation::new(settings());
    simulation.viewer.keep_media = true;
    let id = simulation.attach();
    send(&mut simulation, id, tags, 0);
    simulation.stop();
    simulation
}

/// As they stand in `tests/data/enhanced`; UPDATE_GOLDEN=1 writes them anew.
#[test]
fn recordings_have_these_playlists_and_init_segments() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/enhanced");
    for name in RECORDINGS {
        let simulation = play(&Recording::open(name), 65_536).simulation;
        let inits = simulation.events.iter().filter_map(|event| match &event.body {
            EventBody::Init(init) => Some(mp4::tree(&init.bytes).expect("boxes")),
            _ => None,
        });
        let inits: Vec<String> = inits.collect();
        for (file, text) in [
            (format!("{name}.m3u8"), simulation.viewer.multivariant.clone()),
            (format!("{name}.init.txt"), inits.join("\n")),
        ] {
            let path = folder.join(&file);
            if std::env::var_os("UPDATE_GOLDEN").is_some() {
                std::fs::write(&path, &text).expect("writes a golden file");
            }
            let golden = std::fs::read_to_string(&path).expect("a golden file");
            assert_eq!(text, golden, "{file}: UPDATE_GOLDEN=1 writes it anew");
        }
    }
}

/// AMF0 object of numbers.
fn object(properties: &[(&str, f64)]) -> Vec<u8> {
    let mut amf = vec![3];
    for (name, value) in properties {
        amf.extend(u16::try_from(name.len()).expect("short").to_be_bytes());
        amf.extend(name.as_bytes());
        amf.push(0);
        amf.extend(value.to_be_bytes());
    }
    amf.extend([0, 0, 9]);
    amf
}

/// An encoder's word for HDR10, where ffmpeg's said nothing.
fn with_hdr10(mut tags: Vec<Tag>) -> Vec<Tag> {
    let colours = [("colorPrimaries", 9.0), ("transferCharacteristics", 16.0), ("matrixCoefficients", 9.0)];
    let light = [("maxCLL", 1000.0), ("maxFall", 400.0)];
    let said = tags.iter_mut().find(|tag| tag.body.starts_with(b"\xd4hvc1")).expect("ffmpeg's metadata");
    said.body = [
        &b"\xd4hvc1\x02\x00\x09colorInfo\x03\x00\x0bcolorConfig"[..],
        &object(&colours),
        b"\x00\x06hdrCll",
        &object(&light),
        b"\x00\x00\x09",
    ]
    .concat();
    tags
}

/// Color metadata comes behind the configuration, as ffmpeg sends it: one init segment says both.
#[test]
fn what_the_publisher_says_of_the_light_reaches_playlist_and_init_segment() {
    let simulation = publish(&with_hdr10(tags("ff9_hevc_aac")));
    simulation.viewer.assert_faultless("HDR10");
    let multivariant = parse_multivariant(&simulation.viewer.multivariant).expect("a playlist");
    assert_eq!(multivariant.variants[0].video_range.as_deref(), Some("PQ"));
    let inits = simulation.events.iter().filter_map(|event| match &event.body {
        EventBody::Init(init) if init.rendition.0 == 0 => Some(mp4::tree(&init.bytes).expect("boxes")),
        _ => None,
    });
    let [init] = &inits.collect::<Vec<_>>()[..] else { panic!("one init segment") };
    // nclx 9, 16, 9, narrow range; MaxCLL 1000, MaxFALL 400.
    assert!(init.contains("colr 19 6e636c7800090010000900"), "{init}");
    assert!(init.contains("clli 12 03e80190"), "{init}");
}

/// Light that changes while a session runs is another multivariant playlist, so another session.
#[test]
fn a_session_ends_where_its_playlist_would_no_longer_be_true() {
    let sdr = tags("ff9_hevc_aac");
    let length_ms = 5_067;
    for (name, next, codecs, range) in [
        ("HDR10", with_hdr10(sdr.clone()), "hvc1.1.6.L60.90", "PQ"),
        ("another codec", tags("ff9_h264_bframes"), "avc1.64000B", "SDR"),
    ] {
        let mut simulation = Simulation::new(settings());
        let id = simulation.attach();
        send(&mut simulation, id, &sdr, 0);
        send(&mut simulation, id, &next, length_ms);
        simulation.stop();
        simulation.viewer.assert_faultless(name);
        assert_eq!(simulation.viewer.sessions().len(), 2, "{name}");
        let multivariant = parse_multivariant(&simulation.viewer.multivariant).expect("a playlist");
        assert_eq!(multivariant.variants[0].codecs, [codecs, "mp4a.40.2"], "{name}");
        assert_eq!(multivariant.variants[0].video_range.as_deref(), Some(range), "{name}");
    }
}

/// Codec id 12 is in no specification, and means HEVC all the same.
#[test]
fn hevc_in_legacy_tags_plays_as_in_enhanced_ones() {
    let enhanced = tags("ff9_hevc_aac");
    let legacy: Vec<Tag> = enhanced
        .iter()
        .filter(|tag| tag.kind != VIDEO || !tag.body.starts_with(b"\xd4"))
        .map(|tag| match (tag.kind, &tag.body[..]) {
            (VIDEO, [first, b'h', b'v', b'c', b'1', body @ ..]) => {
                let (packet, body) = match first & 0xf {
                    0 => (&[0, 0, 0, 0][..], body),
                    1 => (&[1][..], body),
                    3 => (&[1, 0, 0, 0][..], body),
                    _ => (&[2, 0, 0, 0][..], body),
                };
                let body = [&[first & 0x70 | 12], packet, body].concat();
                Tag { body, ..tag.clone() }
            }
            _ => tag.clone(),
        })
        .collect();
    assert!(
        legacy.iter().any(|tag| tag.body[0] == 0x1c)
            && legacy.iter().all(|tag| tag.body[0] & 0x80 == 0 || tag.kind != VIDEO)
    );
    let [enhanced, legacy] = [enhanced, legacy].map(|tags| publish(&tags));
    legacy.viewer.assert_faultless("legacy");
    for rendition in ["v", "a"] {
        assert!(enhanced.viewer.media(rendition) == legacy.viewer.media(rendition), "{rendition}");
    }
}

/// Records that never come: HEVC, AV1, VP9 and AC-3 say in a key frame what they are.
#[test]
fn what_frames_say_of_themselves_needs_no_record() {
    let Some(program) = newer_ffmpeg_or_say() else { return };
    let directory = tempfile::tempdir().expect("a directory");
    for name in ["ff9_av1_opus", "ff9_vp9_ac3"] {
        let whole = tags(name);
        let is_record = |tag: &Tag| matches!(&tag.body[..5], b"\x90av01" | b"\x90vp09" | b"\x90ac-3");
        let without: Vec<Tag> = whole.iter().filter(|tag| !is_record(tag)).cloned().collect();
        assert!(without.len() < whole.len(), "{name}");
        let pictures = [whole, without].map(|tags| {
            let simulation = publish(&tags);
            simulation.viewer.assert_faultless(name);
            let path = directory.path().join("v.mp4");
            std::fs::write(&path, simulation.viewer.media("v")).expect("writes a file");
            hashes(&program, &path.to_string_lossy(), Of::Pictures).expect("decodes")
        });
        assert_eq!(missing_around(&pictures[0], &pictures[1]), Some((0, 0)), "{name}");
    }
}

/// A relay that begins in the middle: the first picture is a CRA, and its RASL pictures lean on what never came.
#[test]
fn leading_pictures_without_what_they_lean_on_are_left_out() {
    let Some(program) = newer_ffmpeg_or_say() else { return };
    let all = tags("ff9_hevc_aac");
    let second =
        all.iter().filter(|tag| tag.body.starts_with(b"\x91hvc1")).nth(1).expect("a CRA").timestamp_ms;
    let is_config = |tag: &Tag| tag.body.starts_with(b"\x90") || tag.body.starts_with(b"\xaf\x00");
    let late: Vec<Tag> =
        all.iter().filter(|tag| is_config(tag) || tag.timestamp_ms >= second).cloned().collect();
    let simulation = publish(&late);
    simulation.viewer.assert_faultless("begins with a CRA");
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("v.mp4");
    std::fs::write(&path, simulation.viewer.media("v")).expect("writes a file");
    let shown = hashes(&program, &path.to_string_lossy(), Of::Pictures).expect("decodes");
    // 150 pictures, 57 of them before the second group, and three RASL pictures of that.
    assert_eq!((shown.len(), simulation.viewer.samples[0]), (90, 90));
}
