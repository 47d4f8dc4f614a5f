//! Coded frames with a stamp inside: when each was sent, and its number.
//!
//! The pictures are one group of testsrc, over and over (a player shows the same second again and again):
//! ```text
//! ffmpeg -f lavfi -i testsrc=size=320x180:rate=30 -frames:v 30 -pix_fmt yuv420p -c:v libx264 -profile:v baseline \
//!   -preset slow -b:v 150k -maxrate 200k -bufsize 100k -g 30 -keyint_min 30 -bf 0 \
//!   -x264-params slices=1:threads=1:scenecut=0:ref=1 -bsf:v filter_units=remove_types=6 -f h264 gop.h264
//! ```

use std::sync::LazyLock;

use super::stream::Track;

/// Bytes of a stamp: UUID, time, number.
pub const STAMP_BYTES: usize = 28;
const STAMP_UUID: &[u8; 16] = b"RapidRTMP-sent-1";
/// The width and height of the pictures.
pub const PICTURE_SIZE: (u16, u16) = (320, 180);

const NAL_SEI: u8 = 6;
const NAL_SPS: u8 = 7;
const NAL_PPS: u8 = 8;
const SEI_USER_DATA_UNREGISTERED: u8 = 5;

/// The parameter sets and the slices of one group of pictures, one slice a picture, without start codes.
pub struct Gop {
    /// Sequence parameter set.
    pub sps: &'static [u8],
    /// Picture parameter set.
    pub pps: &'static [u8],
    slices: Vec<&'static [u8]>,
}

/// The group that is sent over and over.
pub static GOP: LazyLock<Gop> = LazyLock::new(|| {
    let mut gop = Gop { sps: &[], pps: &[], slices: Vec::new() };
    for nal in nals(include_bytes!("gop.h264")) {
        match nal[0] & 0x1f {
            NAL_SPS => gop.sps = nal,
            NAL_PPS => gop.pps = nal,
            _ => gop.slices.push(nal),
        }
    }
    gop
});

/// An AAC-LC frame of silence: one mono channel with no scale factor band at all.
///
/// ISO/IEC 14496-3, 4.4.2.1: ID_SCE (3 bits) and tag (4), global gain (8), ics_info (11: long window, no bands, no
/// prediction), no pulses, no TNS, no gain control (3), and ID_END (3), which makes 32 bits.
const AAC_SILENCE: [u8; 4] = [0, 0, 0, 0b111];

/// Who was sent when.
pub fn stamp(sent_unix_us: u64, number: u32) -> [u8; STAMP_BYTES] {
    let mut stamp = [0; STAMP_BYTES];
    stamp[..16].copy_from_slice(STAMP_UUID);
    stamp[16..24].copy_from_slice(&sent_unix_us.to_be_bytes());
    stamp[24..].copy_from_slice(&number.to_be_bytes());
    stamp
}

/// An access unit with four-byte NAL lengths: the stamp as SEI, and a picture of the group.
pub fn video(stamp: &[u8; STAMP_BYTES], picture_index: u64) -> Vec<u8> {
    let slice = GOP.slices[usize::try_from(picture_index).expect("a picture of the group")];
    let mut unit = Vec::with_capacity(slice.len() + 2 * STAMP_BYTES);
    for nal in [&sei(stamp)[..], slice] {
        unit.extend(u32::try_from(nal.len()).expect("a small picture").to_be_bytes());
        unit.extend(nal);
    }
    unit
}

/// A raw data block: the stamp as data_stream_element, and silence.
///
/// 4.4.2.7: ID_DSE (3 bits: 100), tag (4: 0), data_byte_align_flag (1), count; the stamp then starts on a byte, and so
/// does what follows.
pub fn audio(stamp: &[u8; STAMP_BYTES]) -> Vec<u8> {
    let mut block = vec![0b1000_0001, STAMP_BYTES as u8];
    block.extend(stamp);
    block.extend(AAC_SILENCE);
    block
}

/// The same media in other bytes: as many, as well-formed, with the same stamps.
pub fn altered(track: Track, fragment: &[u8]) -> Vec<u8> {
    let mut bytes = fragment.to_vec();
    let (at, bit) = match track {
        // Inside the last slice, where a byte that stays above 3 cannot become an emulation of a start code.
        Track::Video => (bytes.iter().rposition(|byte| *byte >= 0x10).expect("a slice"), 1),
        // The gain of the last frame, which no scale factor band has a use for.
        Track::Audio => (bytes.len() - 3, 2),
    };
    bytes[at] ^= bit;
    bytes
}

/// H.264, 7.3.2.3: payload type, payload size, payload, trailing bits.
fn sei(stamp: &[u8; STAMP_BYTES]) -> Vec<u8> {
    let mut nal = vec![NAL_SEI];
    let mut zeros = 0;
    for byte in [SEI_USER_DATA_UNREGISTERED, STAMP_BYTES as u8].into_iter().chain(*stamp).chain([0x80]) {
        // 7.4.1: no three bytes 000000, 000001, 000002 or 000003 inside a NAL unit.
        if zeros == 2 && byte <= 3 {
            nal.push(3);
            zeros = 0;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        nal.push(byte);
    }
    nal
}

/// Splits at start codes (Annex B).
fn nals(stream: &'static [u8]) -> Vec<&'static [u8]> {
    let starts: Vec<_> = (0..stream.len() - 2).filter(|at| stream[*at..].starts_with(&[0, 0, 1])).collect();
    let ends = starts.iter().skip(1).copied().chain([stream.len()]);
    let nal = |(start, end): (&usize, usize)| {
        let nal = &stream[start + 3..end];
        // The zero of the next start code's long form; a NAL unit itself does not end in one.
        &nal[..nal.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)]
    };
    starts.iter().zip(ends).map(nal).collect()
}
