use super::*;
use crate::codec::VideoRange;

/// ffmpeg 9 with x265, Main, 160x90 at 30 Hz (capture ff9_hevc_aac): 2,451 bytes, most of them SEI.
const X265: &[u8] = include_bytes!("../../../tests/data/hvcc_x265.bin");
/// Its parameter sets.
const VPS: &[u8] = &[
    0x40, 0x01, 0x0c, 0x01, 0xff, 0xff, 0x01, 0x60, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00,
    0x00, 0x03, 0x00, 0x3c, 0x95, 0x94, 0x09,
];
const SPS: &[u8] = &[
    0x42, 0x01, 0x01, 0x01, 0x60, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00, 0x00, 0x03, 0x00,
    0x3c, 0xa0, 0x14, 0x20, 0x61, 0xf2, 0x65, 0x95, 0x95, 0x29, 0x30, 0xbc, 0x05, 0xa0, 0x20, 0x00, 0x00,
    0x03, 0x00, 0x20, 0x00, 0x00, 0x03, 0x03, 0xc1,
];
const PPS: &[u8] = &[0x44, 0x01, 0xc0, 0x73, 0xc1, 0x89];

fn parse(record: &[u8]) -> Result<DecoderConfig, ConfigError> {
    DecoderConfig::parse(Bytes::copy_from_slice(record))
}

/// With 4-byte lengths.
fn access_unit(units: &[&[u8]]) -> Vec<u8> {
    units.iter().flat_map(|unit| [&(unit.len() as u32).to_be_bytes(), *unit].concat()).collect()
}

/// An SPS of level 4, written bit by bit; zeros behind it.
fn written_sps(after_nal_header: &str) -> Vec<u8> {
    let mut bits: Vec<u8> =
        after_nal_header.bytes().filter(|b| *b == b'0' || *b == b'1').map(|b| b - b'0').collect();
    bits.resize(bits.len().next_multiple_of(8) + 8, 0);
    let mut unit = vec![NAL_SPS << 1, 1];
    let mut zeros = 0;
    for byte in bits.chunks(8).map(|byte| byte.iter().fold(0, |v, b| v << 1 | b)) {
        if zeros == 2 && byte <= 3 {
            unit.push(3);
            zeros = 0;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        unit.push(byte);
    }
    unit
}

/// ue(v).
fn ue(value: u32) -> String {
    let code = format!("{:b}", value + 1);
    "0".repeat(code.len() - 1) + &code
}

#[test]
fn reads_the_record_of_a_real_encoder_and_leaves_out_its_sei() {
    let config = parse(X265).unwrap();
    assert_eq!(config.rfc6381(), "hvc1.1.6.L60.90");
    let picture = config.picture();
    assert_eq!((picture.width, picture.height, picture.bit_depth), (160, 90, 8));
    assert_eq!(picture.frame_rate, FrameRate::new(30, 1));
    assert_eq!((config.nal_length_bytes(), config.record().len()), (4, X265.len()));
    assert_eq!(config.keyint(&[]), Some(60), "as x265 says it in the SEI");
    for (nal_type, unit) in [(NAL_VPS, VPS), (NAL_SPS, SPS), (NAL_PPS, PPS)] {
        assert_eq!(config.units(nal_type).collect::<Vec<_>>(), [unit]);
    }
    let written = config.sample_entry_record();
    assert_eq!(written.len(), 23 + 3 * 5 + VPS.len() + SPS.len() + PPS.len());
    assert_eq!(written[..22], X265[..22], "its head was true");
    let again = parse(&written).unwrap();
    assert_eq!((again.sps(), again.sample_entry_record()), (config.sps(), written));
}

#[test]
fn the_sample_entry_says_what_the_sps_says_and_4_byte_lengths() {
    let mut record = X265.to_vec();
    record[1..13].fill(0x55);
    record[16..19].fill(0xff);
    record[21] = 0x05;
    let config = parse(&record).unwrap();
    assert_eq!(config.nal_length_bytes(), 2);
    assert_eq!(config.sample_entry_record(), parse(X265).unwrap().sample_entry_record());
}

/// Main 10, 4:2:2, high tier, three temporal layers, a conformance window, scaling lists, PCM, predicted reference
/// sets, long-term pictures, and a VUI with everything in front of its timing.
#[test]
fn every_field_of_an_sps_is_found_behind_all_that_is_optional() {
    let sub_layers = format!("10 01 {} {} {}", "00".repeat(6), "0".repeat(88), "00011110");
    let ptl =
        format!("00 1 00100 {:032b} {:048b} 01111000 {sub_layers}", 0x0800_0000u32, 0x9d08_0000_0000u64);
    let ordering = format!("1 {}", [ue(4), ue(2), ue(0)].concat().repeat(3));
    // Sizes 0 and 1: predicted; 2 and 3: explicit, with a DC coefficient.
    let explicit = format!("1 {}", "1".repeat(65));
    let scaling =
        format!("{}{}{}", format!("0 {}", ue(0)).repeat(12), explicit.repeat(6), explicit.repeat(2));
    let reference_sets = [
        ue(3),
        // Explicit: two before, one after.
        format!("{} {} {}", ue(2), ue(1), format!("{} 1", ue(0)).repeat(3)),
        // Predicted from it, over four flags: used, not used but kept, neither, used.
        format!("1 0 {} 1 01 00 1", ue(0)),
        // Predicted from that one's three, over four flags.
        format!("1 1 {} 1 1 1 1", ue(1)),
    ]
    .concat();
    let vui = format!(
        "1 11111111 {:016b} {:016b} 1 0 1 101 1 1 00001001 00010000 00001001 1 {} {} 0 0 0 1 {} 1 {:032b} {:032b}",
        4,
        3,
        ue(0),
        ue(1),
        ue(1).repeat(4),
        1001,
        24_000
    );
    let text = [
        format!("0000 010 1 {ptl} {} {}", ue(1), ue(2)),
        format!("{} {} 1 {} {} {} {}", ue(1920), ue(1088), ue(3), ue(5), ue(0), ue(8)),
        format!("{} {} {} {ordering} {}", ue(2), ue(3), ue(4), ue(1).repeat(6)),
        format!("1 1 {scaling} 1 1 1 00000000 {} {} 0", ue(0), ue(1)),
        format!("{reference_sets} 1 {} {}", ue(2), "000000001".repeat(2)),
        format!("1 1 1 {vui}"),
    ]
    .concat();
    let sps = Sps::parse(&written_sps(&text)).unwrap();
    let ptl = ProfileTierLevel {
        profile_space: 0,
        high_tier: true,
        profile: 4,
        compatibility: 0x0800_0000,
        constraints: [0x9d, 0x08, 0, 0, 0, 0],
        level: 120,
    };
    assert_eq!(
        sps,
        Sps {
            id: 1,
            ptl,
            temporal_layers: 3,
            temporal_id_nested: true,
            chroma_format: 2,
            width: 1920 - 2 * 8,
            height: 1080,
            bit_depth_luma: 10,
            bit_depth_chroma: 11,
            sample_aspect: Some((4, 3)),
            colour: Some(Colour { primaries: 9, transfer: 16, matrix: 9, full_range: true }),
            frame_rate: FrameRate::new(24_000, 1001),
        }
    );
    let unit = written_sps(&text);
    let config = DecoderConfig::from_access_unit(&access_unit(&[VPS, &unit, PPS])).unwrap();
    assert_eq!(config.rfc6381(), "hvc1.4.10.H120.9D.8");
    assert_eq!(config.hdr().colour.unwrap().video_range(), VideoRange::Pq);
    assert_eq!(config.sample_entry_record()[21], 3 << 3 | 1 << 2 | 3);
    // Cut anywhere: an error, or a VUI that says less.
    let whole = unit.len();
    for length in 0..whole {
        if let Ok(cut) = Sps::parse(&unit[..length]) {
            assert!(length > whole - 50, "the VUI stands at the end");
            assert_eq!((cut.ptl, cut.width, cut.height, cut.id), (sps.ptl, sps.width, sps.height, sps.id));
        }
    }
}

#[test]
fn names_of_codecs() {
    let config = parse(X265).unwrap();
    let named =
        |ptl: ProfileTierLevel| DecoderConfig { sps: Sps { ptl, ..config.sps }, ..config.clone() }.rfc6381();
    let main =
        ProfileTierLevel { profile: 1, compatibility: 0x6000_0000, level: 93, ..ProfileTierLevel::default() };
    let constraints = [0xb0, 0, 0, 0, 0, 0];
    assert_eq!(named(ProfileTierLevel { constraints, ..main }), "hvc1.1.6.L93.B0");
    assert_eq!(named(main), "hvc1.1.6.L93");
    let main10 = ProfileTierLevel { profile: 2, compatibility: 0x2000_0000, ..main };
    assert_eq!(named(main10), "hvc1.2.4.L93");
    let constraints = [0xb0, 0, 0x02, 0, 0, 0];
    let spaced = ProfileTierLevel { profile_space: 1, high_tier: true, level: 153, constraints, ..main10 };
    assert_eq!(named(spaced), "hvc1.A2.4.H153.B0.0.2");
}

#[test]
fn parameter_sets_in_band_are_compared_by_what_they_replace() {
    let config = DecoderConfig::from_access_unit(&access_unit(&[VPS, SPS, PPS, &[0x28, 1, 9]])).unwrap();
    assert_eq!((config.picture().width, config.picture().height), (160, 90));
    assert_eq!(parse(config.record()).unwrap(), config, "what is built is a record");
    assert_eq!(config.in_band(&[]), None);
    assert_eq!(config.in_band(&[VPS, SPS, PPS]), None);
    // Another PPS with the same id, then one with id 1.
    let changed = config.in_band(&[&[0x44, 0x01, 0xc0, 0x73, 0xc1, 0x8a]]).unwrap();
    assert_eq!(changed.units(NAL_PPS).collect::<Vec<_>>(), [[0x44, 0x01, 0xc0, 0x73, 0xc1, 0x8a]]);
    let changed = config.in_band(&[&[0x44, 0x01, 0x50]]).unwrap();
    assert_eq!(changed.units(NAL_PPS).count(), 2);
    assert_ne!(changed, config);
    // An SPS that cannot be used changes nothing.
    assert_eq!(config.in_band(&[&[0x42, 0x01]]), None);
    for (units, missing) in [(&[SPS, PPS][..], "VPS"), (&[VPS, PPS], "SPS"), (&[VPS, SPS], "PPS")] {
        let found = DecoderConfig::from_access_unit(&access_unit(units));
        assert_eq!(found, Err(ConfigError::ParameterSet { missing }));
    }
}

/// ffmpeg 9 with x265 (hdr10=1, made on 2026-11-27): SPS and the two SEI units of its record.
const HDR_SPS: &[u8] = &[
    0x42, 0x01, 0x01, 0x02, 0x20, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00, 0x00, 0x03, 0x00,
    0x3c, 0xa0, 0x0a, 0x08, 0x0c, 0x1f, 0x3b, 0x65, 0x95, 0x95, 0x29, 0x30, 0xbc, 0x05, 0xa8, 0x48, 0x80,
    0x48, 0x20, 0x00, 0x00, 0x03, 0x00, 0x20, 0x00, 0x00, 0x03, 0x03, 0xc1,
];
const HDR_LIGHT: &[u8] = &[0x4e, 0x01, 0x90, 0x04, 0x03, 0xe8, 0x01, 0x90, 0x80];
const HDR_DISPLAY: &[u8] = &[
    0x4e, 0x01, 0x89, 0x18, 0x33, 0xc2, 0x86, 0xc4, 0x1d, 0x4c, 0x0b, 0xb8, 0x84, 0xd0, 0x3e, 0x80, 0x3d,
    0x13, 0x40, 0x42, 0x00, 0x98, 0x96, 0x80, 0x00, 0x00, 0x03, 0x00, 0x32, 0x80,
];

#[test]
fn colour_and_light_come_from_sps_and_sei() {
    let config =
        DecoderConfig::from_access_unit(&access_unit(&[HDR_LIGHT, HDR_DISPLAY, VPS, HDR_SPS, PPS])).unwrap();
    assert_eq!(config.rfc6381(), "hvc1.2.4.L60.90");
    assert_eq!((config.picture().width, config.picture().height, config.picture().bit_depth), (320, 180, 10));
    assert_eq!(
        config.hdr().colour,
        Some(Colour { primaries: 9, transfer: 16, matrix: 9, full_range: false })
    );
    let display = config.hdr().mastering.unwrap();
    assert_eq!(display.primaries, [(13_250, 34_500), (7_500, 3_000), (34_000, 16_000)]);
    assert_eq!((display.luminance_max, display.luminance_min), (10_000_000, 50));
    assert_eq!(config.hdr().light, ContentLight::from_nits(1000.0, 400.0));
    // In an array of the record.
    let mut record = config.record().to_vec();
    record[22] += 1;
    record.extend([0x80 | NAL_SEI_PREFIX, 0, 2]);
    for unit in [HDR_LIGHT, HDR_DISPLAY] {
        record.extend([0, unit.len() as u8]);
        record.extend(unit);
    }
    assert_eq!(parse(&record).unwrap().hdr(), config.hdr());
    assert_eq!(&parse(&record).unwrap().sample_entry_record(), config.record());
}

/// Broadcasters write BT.2020 into the SPS for old decoders, and HLG into SEI.
#[test]
fn the_preferred_transfer_of_sei_is_the_one_that_is_meant() {
    let sei = [NAL_SEI_PREFIX << 1, 1, SEI_TRANSFER as u8, 1, 18, 0x80];
    let config = DecoderConfig::from_access_unit(&access_unit(&[&sei, VPS, HDR_SPS, PPS])).unwrap();
    assert_eq!(config.hdr().colour.unwrap().video_range(), VideoRange::Hlg);
    let changed = config.in_band(&[&[0x44, 0x01, 0x50]]).unwrap();
    assert_eq!(changed.hdr(), config.hdr(), "it stays with other parameter sets");
}

#[test]
fn every_truncation_and_every_missing_set_is_an_error() {
    let config = parse(X265).unwrap();
    let written = config.sample_entry_record();
    for length in 0..written.len() {
        assert!(parse(&written[..length]).is_err(), "{length} bytes");
    }
    for length in 0..X265.len() {
        assert!(parse(&X265[..length]).is_err(), "{length} bytes");
    }
    let changed = |at: usize, value: u8| {
        let mut record = written.to_vec();
        record[at] = value;
        parse(&record)
    };
    assert_eq!(changed(0, 2), Err(ConfigError::Version { found: 2 }));
    assert_eq!(changed(22, 2), Err(ConfigError::ParameterSet { missing: "PPS" }));
    assert_eq!(changed(23, 0xa1), Err(ConfigError::NalType { found: NAL_VPS, array: NAL_SPS }));
    assert!(matches!(parse(&vec![1; CODEC_CONFIG_BYTES_MAX + 1]), Err(ConfigError::TooLarge { .. })));
    // Different PPS, more than ids can tell apart.
    let mut record = written[..22].to_vec();
    record.extend([1, NAL_PPS, 0, 200]);
    for number in 0..200 {
        record.extend([0, 3, NAL_PPS << 1, 1, number]);
    }
    assert_eq!(parse(&record), Err(ConfigError::TooMany));
    assert_eq!(Sps::parse(PPS), Err(SpsError::NalType { found: NAL_PPS }));
}
