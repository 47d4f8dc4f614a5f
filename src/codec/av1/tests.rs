use super::*;
use crate::codec::{Colour, FrameRate, VideoRange};

/// ffmpeg 9 with SVT-AV1, 160x90 (capture ff9_av1_opus): the record, and the first bytes of its first frame.
const FFMPEG: &[u8] =
    &[0x81, 0x00, 0x0c, 0x00, 0x0a, 0x0b, 0x02, 0x00, 0x00, 0x05, 0x1d, 0xa7, 0xec, 0x80, 0x5f, 0x00, 0x08];
const FFMPEG_FRAME: &[u8] = &[
    0x12, 0x00, 0x0a, 0x0b, 0x02, 0x00, 0x00, 0x05, 0x1d, 0xa7, 0xec, 0x89, 0x5f, 0x20, 0x08, 0x32, 0x03,
    0x10, 0x00, 0x82,
];
/// OBS 30 with SVT-AV1, 320x180 (capture obs30_av1_aac).
const OBS: &[u8] = &[
    0x81, 0x00, 0x0d, 0x00, 0x0a, 0x0e, 0x00, 0x00, 0x00, 0x04, 0x3c, 0xfe, 0xcc, 0x02, 0xf8, 0x10, 0x10,
    0x10, 0x12, 0x40,
];

/// ffmpeg 9 with SVT-AV1, 320x180, 10 bits, BT.2020 and PQ (made on 2026-11-27): the record, the first OBUs.
const PQ: &[u8] = &[
    0x81, 0x00, 0x4c, 0x00, 0x0a, 0x0e, 0x02, 0x00, 0x00, 0x05, 0x61, 0xe7, 0xf6, 0x60, 0x17, 0xc2, 0x84,
    0x88, 0x04, 0x82,
];
const PQ_FRAME: &[u8] = &[
    0x12, 0x00, 0x0a, 0x0e, 0x02, 0x00, 0x00, 0x05, 0x61, 0xe7, 0xf6, 0x63, 0x57, 0xce, 0x84, 0x88, 0x04,
    0x82,
];

fn parse(record: &[u8]) -> Result<DecoderConfig, ConfigError> {
    DecoderConfig::parse(Bytes::copy_from_slice(record))
}

/// Bits as text, blanks for readers; zeros behind them.
fn packed(text: &str) -> Vec<u8> {
    let mut bits: Vec<u8> = text.bytes().filter(|b| *b != b' ').map(|b| b - b'0').collect();
    bits.resize(bits.len().next_multiple_of(8) + 8, 0);
    bits.chunks(8).map(|byte| byte.iter().fold(0, |v, b| v << 1 | b)).collect()
}

/// Main profile of so many bits a sample, 1280x720, with this colour description.
fn sequence(profile: &str, high_bitdepth: &str, colour: &str) -> SequenceHeader {
    let text = format!(
        // profile, no still, timing of 60000/1001 with equal intervals, no model, no delay, one point of level 8, tier
        "{profile} 0 0 1 {:032b} {:032b} 1 1 0 0 00000 000000000000 01000 1 \
         1010 1001 {:011b} {:010b} 0 000 0000 0 1 1 000 {high_bitdepth} {colour}",
        1001, 60_000, 1279, 719
    );
    SequenceHeader::parse(&packed(&text)).unwrap()
}

#[test]
fn reads_the_records_of_real_encoders() {
    for (record, width, height, codec) in
        [(FFMPEG, 160, 90, "av01.0.00M.08"), (OBS, 320, 180, "av01.0.00M.08")]
    {
        let config = parse(record).unwrap();
        let picture = config.picture();
        assert_eq!((picture.width, picture.height, picture.bit_depth), (width, height, 8));
        assert_eq!(config.rfc6381(), codec);
        assert_eq!(config.sample_entry_record(), record, "nothing to repair");
        assert_eq!(config.hdr().colour.unwrap().video_range(), VideoRange::Sdr);
    }
}

#[test]
fn every_field_of_a_sequence_header_is_found_behind_all_that_is_optional() {
    let header = sequence("000", "1", "0 1 00001001 00010000 00001001 0 10");
    assert_eq!(
        header,
        SequenceHeader {
            profile: 0,
            level: 8,
            high_tier: true,
            still: false,
            width: 1280,
            height: 720,
            bit_depth: 10,
            monochrome: false,
            subsampling_x: true,
            subsampling_y: true,
            chroma_position: 2,
            colour: Colour { primaries: 9, transfer: 16, matrix: 9, full_range: false },
            frame_rate: FrameRate::new(60_000, 1001),
        }
    );
    let chroma = |header: SequenceHeader| {
        (header.bit_depth, header.monochrome, header.subsampling_x, header.subsampling_y)
    };
    assert_eq!(chroma(sequence("000", "0", "1 0 0")), (8, true, true, true));
    assert_eq!(chroma(sequence("001", "0", "0 0")), (8, false, false, false));
    assert_eq!(chroma(sequence("010", "1 0", "0 0 0")), (10, false, true, false));
    assert_eq!(chroma(sequence("010", "1 1", "0 0 0 1 1 00")), (12, false, true, true));
    assert_eq!(chroma(sequence("010", "1 1", "0 0 0 0")), (12, false, false, false));
    let srgb = sequence("001", "0", "1 00000001 00001101 00000000");
    assert!(srgb.colour.full_range && !srgb.subsampling_x);
}

#[test]
fn a_still_picture_header_is_short() {
    // profile, still, reduced, level; 16x8 in 4 bits each
    let header =
        SequenceHeader::parse(&packed("000 1 1 00100 0011 0011 1111 0111 000 000 0 0 0 0 00")).unwrap();
    assert_eq!((header.still, header.level, header.width, header.height), (true, 4, 16, 8));
}

#[test]
fn what_is_no_default_has_the_long_name() {
    let config = |sequence: SequenceHeader| DecoderConfig {
        hdr: Hdr { colour: Some(sequence.colour), ..Hdr::default() },
        sequence,
        ..parse(FFMPEG).unwrap()
    };
    for (profile, depth, colour, codec) in [
        ("000", "0", "0 1 00000001 00000001 00000001 0 00", "av01.0.08H.08"),
        ("000", "1", "0 1 00001001 00010000 00001001 0 10", "av01.0.08H.10.0.112.09.16.09.0"),
        ("000", "1", "0 1 00001001 00010010 00001001 1 00", "av01.0.08H.10.0.110.09.18.09.1"),
        ("000", "0", "1 0 0", "av01.0.08H.08.1.110.02.02.02.0"),
        ("001", "0", "0 0", "av01.1.08H.08.0.000.02.02.02.0"),
    ] {
        assert_eq!(config(sequence(profile, depth, colour)).rfc6381(), codec);
    }
    let said = Colour { primaries: 9, transfer: 16, matrix: 9, full_range: false };
    let config = parse(FFMPEG).unwrap().with_hdr(Hdr { colour: Some(said), ..Hdr::default() });
    assert_eq!(config.rfc6381(), "av01.0.00M.08.0.110.09.16.09.0");
}

#[test]
fn other_coding_tools_in_band_are_no_change_another_size_is() {
    let config = parse(FFMPEG).unwrap();
    assert_ne!(FFMPEG[6..], FFMPEG_FRAME[4..15], "what SVT-AV1 writes in band");
    assert_eq!(config.in_band(FFMPEG_FRAME), None);
    assert_eq!(config.in_band(&[0x12, 0x00, 0x1a, 0x01, 0xe8]), None);
    let changed = config.in_band(&OBS[4..]).unwrap();
    assert_eq!((changed.picture().width, &changed.record()[..]), (320, OBS));
    let config_pq = parse(PQ).unwrap();
    assert_ne!(PQ[4..], PQ_FRAME[2..]);
    assert_eq!(
        (config_pq.in_band(PQ_FRAME), config_pq.rfc6381().as_str()),
        (None, "av01.0.00M.10.0.110.09.16.09.0")
    );
    assert_eq!(config_pq.hdr().colour.unwrap().video_range(), VideoRange::Pq);
    // A publisher without a record.
    let found = DecoderConfig::from_temporal_unit(FFMPEG_FRAME).unwrap();
    assert_eq!((found.sequence(), found.record().len()), (config.sequence(), FFMPEG.len()));
}

#[test]
fn light_comes_from_metadata() {
    let light = [0x2a, 5, 1, 0x03, 0xe8, 0x01, 0x90];
    let mut display = vec![0x2a, 25, 2];
    for coordinate in [0.68, 0.32, 0.265, 0.69, 0.15, 0.06, 0.3127, 0.329] {
        display.extend(((coordinate * 65_536.0f64).round() as u16).to_be_bytes());
    }
    display.extend((1000u32 << 8).to_be_bytes());
    display.extend(82u32.to_be_bytes()); // 0.005
    let hdr = parse(&[FFMPEG, &light, &display].concat()).unwrap().hdr();
    assert_eq!(hdr.light, ContentLight::from_nits(1000.0, 400.0));
    let display = hdr.mastering.unwrap();
    assert_eq!(display.primaries, [(13_250, 34_500), (7_500, 3_000), (34_000, 16_000)]);
    assert_eq!((display.white_point, display.luminance_max), ((15_635, 16_450), 10_000_000));
    assert_eq!(display.luminance_min, 50);
}

#[test]
fn every_truncation_and_reserved_value_is_an_error() {
    for record in [FFMPEG, OBS] {
        for length in 0..record.len() {
            assert!(parse(&record[..length]).is_err(), "{length} bytes");
        }
    }
    assert_eq!(parse(&FFMPEG[..4]), Err(ConfigError::NoSequence));
    assert_eq!(parse(&[0x01; 8]), Err(ConfigError::Version { found: 1 }));
    assert_eq!(SequenceHeader::parse(&[0xff; 20]), Err(SequenceError::Profile { found: 7 }));
    assert!(matches!(parse(&vec![0x81; CODEC_CONFIG_BYTES_MAX + 1]), Err(ConfigError::TooLarge { .. })));
    let huge = packed("000 1 1 00100 1111 1111 1111111111111111 0000000000000000 000 000 0 0 0 0 00");
    assert!(matches!(SequenceHeader::parse(&huge), Err(SequenceError::Size { width: 65_536, height: 1 })));
    let payload = packed("000 0 0 1");
    for length in 0..payload.len() {
        assert!(SequenceHeader::parse(&payload[..length]).is_err());
    }
}
