//! Init segments of every codec, judged by a reader that is not ours.

use super::super::{InitTrack, init_segment};
use crate::codec::{Codec, CodecConfig, Colour, ContentLight, Hdr, MasteringDisplay, Parsed};
use crate::media::Timescale;
use bytes::Bytes;
use mp4_atom::{Codec as Entry, Decode, Ftyp, Moov};

const X265: &[u8] = include_bytes!("../../../tests/data/hvcc_x265.bin");
/// ffmpeg 9 (captures ff9_av1_opus, ff9_vp9_ac3, ff9_h264_eac3_51, ff9_h264_flac).
const AV1C: &[u8] = b"\x81\x00\x0c\x00\x0a\x0b\x02\x00\x00\x05\x1d\xa7\xec\x80\x5f\x00\x08";
const VPCC: &[u8] = b"\x01\x00\x00\x00\x00\x0a\x82\x02\x02\x02\x00\x00";
const VP9_KEY: &[u8] = b"\x82\x49\x83\x42\x00\x09\xf0\x05\x96\x05";
const OPUS: &[u8] = b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\0";
const AC3: &[u8] = b"\x0b\x77\x38\x90\x0c\x40\x43\xe1\x06\xf0";
const EAC3: &[u8] = b"\x0b\x77\x01\x7f\x3f\x87\xc0\x00\x20\xf8";
const STREAMINFO: &[u8] =
    b"\x04\0\x04\0\0\0\0\0\x08\x15\x0b\xb8\0\xf0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

fn config(codec: Codec, record: &'static [u8], frame: &[u8]) -> CodecConfig {
    match CodecConfig::parse(codec, Bytes::from_static(record)).unwrap() {
        Parsed::Whole(config) => config,
        Parsed::Unfinished(unfinished) => unfinished.finish(frame).unwrap(),
    }
}

fn init(config: &CodecConfig) -> Bytes {
    let ticks = config.sound().map_or(90_000, |sound| sound.sample_rate);
    init_segment(&[InitTrack { track_id: 1, timescale: Timescale::new(ticks).unwrap(), config }])
}

fn entry(config: &CodecConfig) -> Entry {
    let init = init(config);
    let mut bytes = &init[..];
    Ftyp::decode(&mut bytes).unwrap();
    let moov = Moov::decode(&mut bytes).unwrap();
    assert!(bytes.is_empty());
    moov.trak[0].mdia.minf.stbl.stsd.codecs[0].clone()
}

/// The content of the first box of this kind.
fn content(init: &[u8], kind: &[u8; 4]) -> Vec<u8> {
    let at = init.windows(4).position(|window| window == kind).expect("the box is there");
    let size = u32::from_be_bytes(init[at - 4..at].try_into().unwrap()) as usize;
    init[at + 4..at - 4 + size].to_vec()
}

#[test]
fn hevc_has_its_parameter_sets_and_nothing_else() {
    let Entry::Hvc1(entry) = entry(&config(Codec::Hevc, X265, &[])) else { panic!("hvc1") };
    assert_eq!((entry.visual.width, entry.visual.height), (160, 90));
    let hvcc = entry.hvcc;
    assert_eq!((hvcc.general_profile_idc, hvcc.general_level_idc, hvcc.length_size_minus_one), (1, 60, 3));
    let arrays: Vec<_> = hvcc
        .arrays
        .iter()
        .map(|array| (array.nal_unit_type, array.completeness, array.nalus.len()))
        .collect();
    assert_eq!(arrays, [(32, true, 1), (33, true, 1), (34, true, 1)]);
}

#[test]
fn av1_and_vp9_have_their_records_and_av1_its_brand() {
    let av1 = config(Codec::Av1, AV1C, &[]);
    let Entry::Av01(entry) = entry(&av1) else { panic!("av01") };
    assert_eq!((entry.visual.width, entry.visual.height), (160, 90));
    assert_eq!((entry.av1c.seq_profile, entry.av1c.high_bitdepth), (0, false));
    assert_eq!(entry.av1c.config_obus, AV1C[4..]);
    let ftyp = Ftyp::decode(&mut &init(&av1)[..]).unwrap();
    assert!(ftyp.compatible_brands.iter().any(|brand| &*brand.to_string() == "av01"));
    let vp9 = config(Codec::Vp9, VPCC, VP9_KEY);
    let Entry::Vp09(entry) = self::entry(&vp9) else { panic!("vp09") };
    assert_eq!((entry.visual.width, entry.visual.height), (160, 90));
    assert_eq!((entry.vpcc.profile, entry.vpcc.level, entry.vpcc.bit_depth), (0, 10, 8));
    assert_eq!(content(&init(&vp9), b"vpcC"), VPCC);
}

#[test]
fn sound_has_its_rate_its_channels_and_its_record() {
    let Entry::Opus(opus) = entry(&config(Codec::Opus, OPUS, &[])) else { panic!("Opus") };
    assert_eq!((opus.audio.channel_count, opus.audio.sample_rate.integer()), (2, 48_000));
    assert_eq!(
        (opus.dops.output_channel_count, opus.dops.pre_skip, opus.dops.input_sample_rate),
        (2, 312, 48_000)
    );
    let Entry::Ac3(ac3) = entry(&config(Codec::Ac3, &[], AC3)) else { panic!("ac-3") };
    assert_eq!((ac3.audio.channel_count, ac3.audio.sample_rate.integer()), (2, 48_000));
    assert_eq!((ac3.dac3.bsid, ac3.dac3.acmod, ac3.dac3.lfeon, ac3.dac3.bit_rate_code), (8, 2, false, 6));
    let Entry::Eac3(eac3) = entry(&config(Codec::Eac3, &[], EAC3)) else { panic!("ec-3") };
    assert_eq!((eac3.audio.channel_count, eac3.dec3.data_rate, eac3.dec3.substreams.len()), (6, 192, 1));
    let substream = &eac3.dec3.substreams[0];
    assert_eq!((substream.bsid, substream.acmod, substream.lfeon, substream.num_dep_sub), (16, 7, true, 0));
    let Entry::Flac(flac) = entry(&config(Codec::Flac, STREAMINFO, &[])) else { panic!("fLaC") };
    assert_eq!((flac.audio.channel_count, flac.audio.sample_size), (1, 16));
    assert_eq!(flac.audio.sample_rate.integer(), 48_000);
    assert_eq!(flac.dfla.blocks.len(), 1);
}

/// What the publisher says beside the record: colr, mdcv and clli in the sample entry, and no colr that says nothing.
#[test]
fn hdr_stands_in_the_sample_entry() {
    let p3 = [0.68, 0.32, 0.265, 0.69, 0.15, 0.06, 0.3127, 0.329];
    let hdr = Hdr {
        colour: Some(Colour { primaries: 9, transfer: 16, matrix: 9, full_range: false }),
        mastering: MasteringDisplay::from_cie(p3, 1000.0, 0.005),
        light: ContentLight::from_nits(1000.0, 400.0),
    };
    let plain = config(Codec::Vp9, VPCC, VP9_KEY);
    assert!(
        !init(&plain)
            .windows(4)
            .any(|window| [b"colr", b"mdcv", b"clli"].contains(&window.try_into().unwrap()))
    );
    for config in [plain, config(Codec::Av1, AV1C, &[]), config(Codec::Hevc, X265, &[])] {
        let init = init(&config.with_hdr(hdr));
        assert_eq!(content(&init, b"colr"), b"nclx\0\x09\0\x10\0\x09\0");
        let display = b"\x33\xc2\x86\xc4\x1d\x4c\x0b\xb8\x84\xd0\x3e\x80\x3d\x13\x40\x42\x00\x98\x96\x80\x00\x00\x00\x32";
        assert_eq!(content(&init, b"mdcv"), display);
        assert_eq!(content(&init, b"clli"), b"\x03\xe8\x01\x90");
    }
}

/// 96 kHz does not fit 16 bits before the point.
#[test]
fn rates_that_do_not_fit_a_sample_entry_are_halved_there() {
    for (hz, said) in [
        (44_100, 44_100),
        (65_535, 65_535),
        (88_200, 44_100),
        (96_000, 48_000),
        (176_400, 44_100),
        (192_000, 48_000),
        (88_201, 65_535),
        (655_350, 65_535),
    ] {
        let mut record = STREAMINFO.to_vec();
        // 20 bits, then what stands there of channels.
        let packed = u32::from_be_bytes([0, record[10], record[11], record[12]]);
        let packed = hz << 4 | packed & 0xf;
        record[10..13].copy_from_slice(&packed.to_be_bytes()[1..]);
        let Parsed::Whole(config) = CodecConfig::parse(Codec::Flac, record.into()).unwrap() else {
            panic!("a configuration")
        };
        assert_eq!(config.sound().unwrap().sample_rate, hz);
        let Entry::Flac(flac) = entry(&config) else { panic!("fLaC") };
        assert_eq!(flac.audio.sample_rate.integer(), said, "{hz}");
    }
}
