//! The init segment: ftyp and moov without a sample (ISO/IEC 14496-12, section 8.2).

use super::boxes::{boxed, full_boxed};
use super::sample_entry;
use crate::codec::{Codec, CodecConfig, Picture};
use crate::media::Timescale;
use bytes::{BufMut, Bytes};

/// A track of an init segment.
#[derive(Debug, Clone, Copy)]
pub struct InitTrack<'a> {
    /// Not 0, and not that of another track.
    pub track_id: u32,
    /// Ticks of the parts' decode times and durations.
    pub timescale: Timescale,
    /// How it is decoded.
    pub config: &'a CodecConfig,
}

/// Ticks of mvhd, whose only time is a duration of 0.
const MOVIE_TIMESCALE: u32 = 1000;
/// ISO 639-2 "und", five bits a letter.
const LANGUAGE_UND: u16 = 0x55c4;

/// Writes ftyp and moov for one track, or for two that share their parts.
pub fn init_segment(tracks: &[InitTrack<'_>]) -> Bytes {
    debug_assert!((1..=2).contains(&tracks.len()));
    let mut out = Vec::with_capacity(1024);
    boxed(&mut out, b"ftyp", |out| {
        out.put_slice(b"iso6");
        out.put_u32(0);
        out.put_slice(b"iso6cmfcmp41");
        if tracks.iter().any(|track| track.config.codec() == Codec::Av1) {
            out.put_slice(b"av01"); // AV1 Codec ISO Media File Format Binding, section 2.1
        }
    });
    boxed(&mut out, b"moov", |out| {
        write_mvhd(out, tracks);
        for track in tracks {
            boxed(out, b"trak", |out| write_trak(out, track));
        }
        boxed(out, b"mvex", |out| {
            for track in tracks {
                full_boxed(out, b"trex", 0, 0, |out| {
                    out.put_u32(track.track_id);
                    out.put_u32(1); // default_sample_description_index
                    out.put_bytes(0, 12); // default duration, size, flags: each part says its own
                });
            }
        });
    });
    out.into()
}

fn write_mvhd(out: &mut Vec<u8>, tracks: &[InitTrack<'_>]) {
    full_boxed(out, b"mvhd", 0, 0, |out| {
        out.put_bytes(0, 8); // creation and modification time
        out.put_u32(MOVIE_TIMESCALE);
        out.put_u32(0); // duration: it has no end
        out.put_u32(0x0001_0000); // rate 1
        out.put_u16(0x0100); // volume 1
        out.put_bytes(0, 10);
        write_matrix(out);
        out.put_bytes(0, 24);
        out.put_u32(tracks.iter().map(|track| track.track_id).max().unwrap_or(0).saturating_add(1));
    });
}

/// The unity transformation.
fn write_matrix(out: &mut Vec<u8>) {
    for value in [0x0001_0000, 0, 0, 0, 0x0001_0000, 0, 0, 0, 0x4000_0000u32] {
        out.put_u32(value);
    }
}

fn write_trak(out: &mut Vec<u8>, track: &InitTrack<'_>) {
    let (volume, (width, height)) = match track.config.picture() {
        Some(picture) => (0, display_size(&picture)),
        None => (0x0100, (0, 0)),
    };
    // Flags: enabled, in the movie, in the preview.
    full_boxed(out, b"tkhd", 0, 7, |out| {
        out.put_bytes(0, 8); // creation and modification time
        out.put_u32(track.track_id);
        out.put_bytes(0, 4);
        out.put_u32(0); // duration
        out.put_bytes(0, 8);
        out.put_u32(0); // layer, alternate_group
        out.put_u16(volume);
        out.put_u16(0);
        write_matrix(out);
        out.put_u32(width);
        out.put_u32(height);
    });
    boxed(out, b"mdia", |out| {
        full_boxed(out, b"mdhd", 0, 0, |out| {
            out.put_bytes(0, 8); // creation and modification time
            out.put_u32(track.timescale.get());
            out.put_u32(0); // duration
            out.put_u16(LANGUAGE_UND);
            out.put_u16(0);
        });
        let (handler, name) = if track.config.is_video() { (b"vide", "video") } else { (b"soun", "audio") };
        full_boxed(out, b"hdlr", 0, 0, |out| {
            out.put_u32(0);
            out.put_slice(handler);
            out.put_bytes(0, 12);
            out.put_slice(name.as_bytes());
            out.put_u8(0);
        });
        boxed(out, b"minf", |out| write_minf(out, track.config));
    });
}

/// Width and height as 16.16 fixed point: samples that are not square widen the picture (8.3.2).
fn display_size(picture: &Picture) -> (u32, u32) {
    let (aspect_width, aspect_height) = picture.sample_aspect.unwrap_or((1, 1));
    let width = (u64::from(picture.width) << 16) * u64::from(aspect_width) / u64::from(aspect_height);
    (u32::try_from(width).unwrap_or(u32::MAX), picture.height << 16)
}

fn write_minf(out: &mut Vec<u8>, config: &CodecConfig) {
    if config.is_video() {
        full_boxed(out, b"vmhd", 0, 1, |out| out.put_bytes(0, 8));
    } else {
        full_boxed(out, b"smhd", 0, 0, |out| out.put_bytes(0, 4));
    }
    boxed(out, b"dinf", |out| {
        full_boxed(out, b"dref", 0, 0, |out| {
            out.put_u32(1);
            full_boxed(out, b"url ", 0, 1, |_| {}); // the media is in the same file
        });
    });
    boxed(out, b"stbl", |out| {
        full_boxed(out, b"stsd", 0, 0, |out| {
            out.put_u32(1);
            sample_entry::write(out, config);
        });
        for table in [b"stts", b"stsc"] {
            full_boxed(out, table, 0, 0, |out| out.put_u32(0));
        }
        full_boxed(out, b"stsz", 0, 0, |out| out.put_u64(0)); // sample_size, sample_count
        full_boxed(out, b"stco", 0, 0, |out| out.put_u32(0));
    });
}
