//! The strict mp4 checker of `tests/support`: it passes what the server writes and names what is wrong
//! in files broken on purpose.

#[path = "support/mp4.rs"]
mod mp4;

use bytes::Bytes;
use rapidrtmp::codec::{CodecConfig, aac::AudioConfig, avc::DecoderConfig};
use rapidrtmp::fmp4::{BufferPool, InitTrack, PartWriter, init_segment};
use rapidrtmp::media::Timescale;

/// OBS 30, High, 320x180.
const AVCC: &[u8] = b"\x01\x64\x00\x0d\xff\xe1\x00\x1cgd\x00\x0d\xac\xd9AA\x9f\x9f\x01\x6a\x02\x02\x02\x80\0\0\x03\0\x80\0\0\x1eG\x8a\x14\xcb\x01\x00\x04h\xef\xbc\xb0";
const ASC: &[u8] = &[0x11, 0x90];

fn init() -> Vec<u8> {
    let video = CodecConfig::Avc(DecoderConfig::parse(Bytes::from_static(AVCC)).unwrap());
    let audio = CodecConfig::Aac(AudioConfig::parse(Bytes::from_static(ASC)).unwrap());
    let tracks = [
        InitTrack { track_id: 1, timescale: Timescale::VIDEO, config: &video },
        InitTrack { track_id: 2, timescale: Timescale::new(48_000).unwrap(), config: &audio },
    ];
    init_segment(&tracks).to_vec()
}

/// Three video samples, the first of the first part an IDR, and two audio samples a part.
fn parts() -> Vec<Vec<u8>> {
    let (mut writer, mut pool) = (PartWriter::new(&[1, 2], 5), BufferPool::new(0));
    let part = |number: u64| {
        for index in 0..3 {
            let idr = number == 0 && index == 0;
            writer.begin_sample(0, false, &mut pool).unwrap();
            writer.append(0, &[0, 0, 0, 2, if idr { 0x65 } else { 0x41 }, index]).unwrap();
            writer.end_sample(0, 3000, [6000, 0, -3000][usize::from(index)], idr);
        }
        for _ in 0..2 {
            writer.begin_sample(1, false, &mut pool).unwrap();
            writer.append(1, &[0x21, 0x10, 0x04, 0x60, 0x8c, 0x1c]).unwrap();
            writer.end_sample(1, 1024, 0, true);
        }
        writer.seal(number as u32 + 1, &[number * 9000, number * 2048], &mut pool).unwrap().bytes.to_vec()
    };
    (0..3).map(part).collect()
}

fn check(parts: &[Vec<u8>]) -> mp4::Found<Vec<mp4::Fragment>> {
    mp4::check_parts(&mp4::check_init(&init())?, parts.iter().map(Vec::as_slice))
}

/// Where a box's kind stands.
fn find(bytes: &[u8], kind: &[u8; 4]) -> usize {
    bytes.windows(4).position(|window| window == kind).unwrap()
}

/// The first part with `change` made to it is refused in these words.
fn refused(words: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let mut parts = parts();
    change(&mut parts[0]);
    let error = check(&parts).expect_err(words);
    assert!(error.contains(words), "{error:?} does not say {words:?}");
}

#[test]
fn what_the_server_writes_passes_and_has_this_tree() {
    let parts = parts();
    let init_found = mp4::check_init(&init()).unwrap();
    let codecs: Vec<&str> = init_found.tracks.iter().map(|track| track.codec.as_str()).collect();
    assert_eq!(codecs, ["avc1.64000D", "mp4a.40.2"]);
    assert_eq!(check(&parts).unwrap().len(), 3);
    let slices: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    mp4::check_segment(&parts.concat(), &slices).unwrap();
    mp4::check_listed(&init_found, &parts[0], 0.1, true).unwrap();
    mp4::check_listed(&init_found, &parts[1], 0.1, false).unwrap();
    let tree = format!("{}\n{}", mp4::tree(&init()).unwrap(), mp4::tree(&parts[0]).unwrap());
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/fmp4_tree.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(golden, &tree).unwrap();
    }
    assert_eq!(tree, std::fs::read_to_string(golden).unwrap(), "UPDATE_GOLDEN=1 writes it anew");
}

#[test]
fn broken_parts_are_named() {
    let patch = |kind: &'static [u8; 4], at: usize, value: u8| {
        move |part: &mut Vec<u8>| {
            let start = find(part, kind);
            part[start + 4 + at] = value;
        }
    };
    refused("a part of [\"moof\"]", |part| part.truncate(find(&part.clone(), b"mdat") - 4));
    refused("a box of", |part| part.truncate(part.len() - 1));
    refused("a box with size 0", |part| {
        let mdat = find(part, b"mdat");
        part[mdat - 4..mdat].fill(0);
    });
    refused("a box with size 1", |part| part[..4].copy_from_slice(&[0, 0, 0, 1]));
    refused("default-base-is-moof", patch(b"tfhd", 1, 0));
    refused("base-data-offset", patch(b"tfhd", 3, 0x29));
    refused("tfdt is not version 1", patch(b"tfdt", 0, 0));
    refused("has wrapped", patch(b"tfdt", 4, 0xff));
    refused("trun is not version 1", patch(b"trun", 0, 0));
    refused("a sample at", patch(b"trun", 11, 0));
    refused("sample flags", patch(b"trun", 12, 7));
    refused("no samples", patch(b"trun", 7, 0));
    refused("trun has", patch(b"trun", 7, 2));
    refused("has no duration", |part| {
        let tfhd = find(part, b"tfhd");
        part[tfhd + 12..tfhd + 16].fill(0);
    });
    refused("Other, sync true", |part| {
        let mdat = find(part, b"mdat");
        part[mdat + 8] = 0x41;
    });
    refused("a NAL unit of 3 bytes", |part| {
        let mdat = find(part, b"mdat");
        part[mdat + 7] = 3;
    });
    refused("track 9 is not in the init segment", patch(b"tfhd", 7, 9));
}

#[test]
fn broken_sequences_are_named() {
    let says = |parts: &[Vec<u8>], words: &str| {
        let error = check(parts).expect_err(words);
        assert!(error.contains(words), "{error:?} does not say {words:?}");
    };
    let good = parts();
    says(&[good[0].clone(), good[2].clone()], "track 1 at 18000, expected 9000");
    says(&[good[1].clone(), good[0].clone()], "mfhd 1 after 2");
    let mut repeated = good.clone();
    let mfhd = find(&repeated[1], b"mfhd");
    repeated[1][mfhd + 11] = 1;
    says(&repeated, "mfhd 1 after 1");
    // The second track's decode time.
    let mut audio = good.clone();
    let second = find(&audio[1], b"trun") + 4;
    let tfdt = second + find(&audio[1][second..], b"tfdt");
    audio[1][tfdt + 15] ^= 1;
    says(&audio, "track 2 at 2049, expected 2048");

    let slices: Vec<&[u8]> = good.iter().map(Vec::as_slice).collect();
    assert!(mp4::check_segment(&good[1..].concat(), &slices).is_err());
    assert!(mp4::check_segment(&good[1..].concat(), &slices[1..]).unwrap_err().contains("sync sample"));
    let init = mp4::check_init(&init()).unwrap();
    assert!(mp4::check_listed(&init, &good[0], 0.102, true).unwrap_err().contains("DURATION"));
    assert!(mp4::check_listed(&init, &good[1], 0.1, true).unwrap_err().contains("INDEPENDENT"));
}

#[test]
fn broken_init_segments_are_named() {
    let says = |words: &str, kind: &[u8; 4], at: usize, value: u8| {
        let mut init = init();
        let start = find(&init, kind);
        init[start + 4 + at] = value;
        let error = mp4::check_init(&init).expect_err(words);
        assert!(error.contains(words), "{error:?} does not say {words:?}");
    };
    says("mvhd duration", b"mvhd", 19, 1);
    says("tkhd duration", b"tkhd", 23, 1);
    says("mdhd duration", b"mdhd", 19, 1);
    says("stts is not empty", b"stts", 7, 1);
    says("track 1 has 0 trex", b"trex", 7, 5);
    says("avcC says", b"avcC", 3, 0x1f);
    says("NAL lengths of 1 bytes", b"avcC", 4, 0xfc);
    says("avc1 says", b"avc1", 25, 0x41);
    says("next_track_ID", b"mvhd", 99, 2);
}
