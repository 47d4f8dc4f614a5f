//! Fragmented MP4: init segments, and fragments of one `moof` and one `mdat` (ISO/IEC 14496-12, -14, -15).

use super::frames::{GOP, PICTURE_SIZE};
use super::stream::Track;

const TRACK_ID: u32 = 1;
/// depends_on = 2: it depends on no other.
const FLAGS_SYNC: u32 = 0x0200_0000;
/// depends_on = 1, and is_non_sync_sample.
const FLAGS_NON_SYNC: u32 = 0x0101_0000;
/// AudioSpecificConfig: AAC-LC (5 bits: 2), 48 kHz (4 bits: 3), mono (4 bits: 1).
const AAC_CONFIG: [u8; 2] = [0b0001_0001, 0b1000_1000];

/// One frame, as it stands in a fragment.
#[derive(Debug, Clone)]
pub struct Sample {
    /// The coded frame.
    pub bytes: Vec<u8>,
    /// Its duration.
    pub ticks: u32,
    /// Whether it is said to be a sync sample.
    pub sync: bool,
}

/// A fragment; with `offset_wrong` its data offset points behind the `mdat`.
pub fn fragment(sequence: u32, decode_time: u64, samples: &[Sample], offset_wrong: bool) -> Vec<u8> {
    let media = samples.iter().map(|sample| &sample.bytes[..]).collect::<Vec<_>>().concat();
    let moof_with = |data_offset: u32| {
        let default_base_is_moof = 0x02_0000;
        let tfhd = full_box(b"tfhd", 0, default_base_is_moof, &[&TRACK_ID.to_be_bytes()]);
        let tfdt = full_box(b"tfdt", 1, 0, &[&decode_time.to_be_bytes()]);
        let each: Vec<u8> = samples
            .iter()
            .flat_map(|sample| {
                let flags = if sample.sync { FLAGS_SYNC } else { FLAGS_NON_SYNC };
                [sample.ticks, len(&sample.bytes), flags]
            })
            .flat_map(u32::to_be_bytes)
            .collect();
        let offset_duration_size_flags = 0x701;
        let count = u32::try_from(samples.len()).expect("few samples");
        let trun = full_box(
            b"trun",
            1,
            offset_duration_size_flags,
            &[&count.to_be_bytes(), &data_offset.to_be_bytes(), &each],
        );
        let mfhd = full_box(b"mfhd", 0, 0, &[&sequence.to_be_bytes()]);
        plain_box(b"moof", &[&mfhd, &plain_box(b"traf", &[&tfhd, &tfdt, &trun])])
    };
    let mdat = plain_box(b"mdat", &[&media]);
    let moof_bytes = len(&moof_with(0));
    let data_offset = moof_bytes + if offset_wrong { len(&mdat) } else { 8 };
    [moof_with(data_offset), mdat].concat()
}

/// The init segment of a track.
pub fn init(track: Track) -> Vec<u8> {
    let timescale = u32::try_from(track.timescale()).expect("a small timescale").to_be_bytes();
    let (width, height, volume, handler, media_header, entry) = match track {
        Track::Video => {
            let (width, height) = PICTURE_SIZE;
            let vmhd = full_box(b"vmhd", 0, 1, &[&[0; 8]]);
            (u32::from(width) << 16, u32::from(height) << 16, [0, 0], b"vide", vmhd, avc1())
        }
        Track::Audio => (0, 0, [1, 0], b"soun", full_box(b"smhd", 0, 0, &[&[0; 4]]), mp4a()),
    };

    let ftyp = plain_box(b"ftyp", &[b"iso6", &[0; 4], b"iso6", b"cmfc", b"mp41"]);
    // Times and durations are 0; rate 1.0, volume 1.0; the next track's ID last.
    let movie_fields: [&[u8]; 8] = [
        &[0; 8],
        &1000_u32.to_be_bytes(),
        &[0; 4],
        &[0, 1, 0, 0, 1, 0],
        &[0; 10],
        &matrix(),
        &[0; 24],
        &(TRACK_ID + 1).to_be_bytes(),
    ];
    let mvhd = full_box(b"mvhd", 0, 0, &movie_fields);
    let enabled_in_movie_in_preview = 7;
    let track_fields: [&[u8]; 8] = [
        &[0; 8],
        &TRACK_ID.to_be_bytes(),
        &[0; 20],
        &volume,
        &[0; 2],
        &matrix(),
        &width.to_be_bytes(),
        &height.to_be_bytes(),
    ];
    let tkhd = full_box(b"tkhd", 0, enabled_in_movie_in_preview, &track_fields);
    let language_und = 0x55c4_u16.to_be_bytes();
    let mdhd = full_box(b"mdhd", 0, 0, &[&[0; 8], &timescale, &[0; 4], &language_und, &[0; 2]]);
    let hdlr = full_box(b"hdlr", 0, 0, &[&[0; 4], handler, &[0; 12], b"test\0"]);
    let self_contained = full_box(b"url ", 0, 1, &[]);
    let dref = full_box(b"dref", 0, 0, &[&1_u32.to_be_bytes(), &self_contained]);
    let dinf = plain_box(b"dinf", &[&dref]);
    let stsd = full_box(b"stsd", 0, 0, &[&1_u32.to_be_bytes(), &entry]);
    let stts = full_box(b"stts", 0, 0, &[&[0; 4]]);
    let stsc = full_box(b"stsc", 0, 0, &[&[0; 4]]);
    let stsz = full_box(b"stsz", 0, 0, &[&[0; 8]]);
    let stco = full_box(b"stco", 0, 0, &[&[0; 4]]);
    let stbl = plain_box(b"stbl", &[&stsd, &stts, &stsc, &stsz, &stco]);
    let minf = plain_box(b"minf", &[&media_header, &dinf, &stbl]);
    let mdia = plain_box(b"mdia", &[&mdhd, &hdlr, &minf]);
    let trak = plain_box(b"trak", &[&tkhd, &mdia]);
    let trex = full_box(b"trex", 0, 0, &[&TRACK_ID.to_be_bytes(), &1_u32.to_be_bytes(), &[0; 12]]);
    let mvex = plain_box(b"mvex", &[&trex]);
    [ftyp, plain_box(b"moov", &[&mvhd, &trak, &mvex])].concat()
}

/// The track's entry in CODECS (RFC 6381).
pub fn codec(track: Track) -> String {
    match track {
        Track::Video => format!("avc1.{:02x}{:02x}{:02x}", GOP.sps[1], GOP.sps[2], GOP.sps[3]),
        Track::Audio => "mp4a.40.2".to_owned(),
    }
}

fn avc1() -> Vec<u8> {
    let (sps, pps) = (GOP.sps, GOP.pps);
    let (sps_bytes, pps_bytes) = (short_len(sps), short_len(pps));
    // Four-byte NAL lengths; one SPS and one PPS.
    let fields: [&[u8]; 7] =
        [&[1, sps[1], sps[2], sps[3], 0xff, 0xe1], &sps_bytes, sps, &[1], &pps_bytes, pps, &[]];
    let avcc = plain_box(b"avcC", &fields);
    let (width, height) = PICTURE_SIZE;
    let resolution_72_dpi = 0x0048_0000_u32.to_be_bytes();
    let fields: [&[u8]; 11] = [
        &[0, 0, 0, 0, 0, 0, 0, 1],
        &[0; 16],
        &width.to_be_bytes(),
        &height.to_be_bytes(),
        &resolution_72_dpi,
        &resolution_72_dpi,
        &[0; 4],
        &[0, 1],
        &[0; 32],
        &[0, 0x18, 0xff, 0xff],
        &avcc,
    ];
    plain_box(b"avc1", &fields)
}

fn mp4a() -> Vec<u8> {
    let specific = descriptor(5, &[&AAC_CONFIG]);
    // MPEG-4 audio; an audio stream; buffer size and bit rates unknown.
    let config = descriptor(4, &[&[0x40, 0x15], &[0; 11], &specific]);
    let sync_layer_mp4 = descriptor(6, &[&[2]]);
    let esds = full_box(b"esds", 0, 0, &[&descriptor(3, &[&[0, 1, 0], &config, &sync_layer_mp4])]);
    let rate = (Track::Audio.timescale() as u32) << 16;
    plain_box(
        b"mp4a",
        &[&[0, 0, 0, 0, 0, 0, 0, 1], &[0; 8], &[0, 1, 0, 16], &[0; 4], &rate.to_be_bytes(), &esds],
    )
}

fn descriptor(tag: u8, fields: &[&[u8]]) -> Vec<u8> {
    let body = fields.concat();
    assert!(body.len() < 0x80, "a length of one byte");
    [&[tag, body.len() as u8], &body[..]].concat()
}

/// The unity matrix.
fn matrix() -> Vec<u8> {
    [0x1_0000_u32, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000].into_iter().flat_map(u32::to_be_bytes).collect()
}

fn full_box(kind: &[u8; 4], version: u8, flags: u32, fields: &[&[u8]]) -> Vec<u8> {
    let head = (u32::from(version) << 24 | flags).to_be_bytes();
    plain_box(kind, &[&head, &fields.concat()])
}

fn plain_box(kind: &[u8; 4], fields: &[&[u8]]) -> Vec<u8> {
    let body = fields.concat();
    [&(len(&body) + 8).to_be_bytes(), &kind[..], &body].concat()
}

fn len(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("small boxes")
}

fn short_len(bytes: &[u8]) -> [u8; 2] {
    u16::try_from(bytes.len()).expect("small parameter sets").to_be_bytes()
}
