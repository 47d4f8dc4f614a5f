//! The init segment: ftyp and moov without a sample (ISO/IEC 14496-12, section 8.2; the sample
//! entries are those of ISO/IEC 14496-15, section 5.4, and 14496-14, section 5.6).

use super::boxes::{boxed, full_boxed};
use crate::codec::{CodecConfig, aac, avc};
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
/// objectTypeIndication of AAC, and the streamType of audio with its reserved bit (14496-1, 7.2.6.6).
const ESDS_AAC: u8 = 0x40;
const ESDS_AUDIO_STREAM: u8 = 0x15;

/// Writes ftyp and moov for one track, or for two that share their parts.
pub fn init_segment(tracks: &[InitTrack<'_>]) -> Bytes {
    debug_assert!((1..=2).contains(&tracks.len()));
    let mut out = Vec::with_capacity(1024);
    boxed(&mut out, b"ftyp", |out| {
        out.put_slice(b"iso6");
        out.put_u32(0);
        out.put_slice(b"iso6cmfcmp41");
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
    let (volume, width, height) = match track.config {
        CodecConfig::Avc(config) => {
            let (width, height) = display_size(config.sps());
            (0, width, height)
        }
        CodecConfig::Aac(_) => (0x0100, 0, 0),
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
        let (handler, name) = match track.config {
            CodecConfig::Avc(_) => (b"vide", "video"),
            CodecConfig::Aac(_) => (b"soun", "audio"),
        };
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
fn display_size(sps: &avc::Sps) -> (u32, u32) {
    let (aspect_width, aspect_height) = sps.sample_aspect.unwrap_or((1, 1));
    let width = (u64::from(sps.width) << 16) * u64::from(aspect_width) / u64::from(aspect_height);
    (u32::try_from(width).unwrap_or(u32::MAX), sps.height << 16)
}

fn write_minf(out: &mut Vec<u8>, config: &CodecConfig) {
    match config {
        CodecConfig::Avc(_) => full_boxed(out, b"vmhd", 0, 1, |out| out.put_bytes(0, 8)),
        CodecConfig::Aac(_) => full_boxed(out, b"smhd", 0, 0, |out| out.put_bytes(0, 4)),
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
            match config {
                CodecConfig::Avc(config) => write_avc1(out, config),
                CodecConfig::Aac(config) => write_mp4a(out, config),
            }
        });
        for table in [b"stts", b"stsc"] {
            full_boxed(out, table, 0, 0, |out| out.put_u32(0));
        }
        full_boxed(out, b"stsz", 0, 0, |out| out.put_u64(0)); // sample_size, sample_count
        full_boxed(out, b"stco", 0, 0, |out| out.put_u32(0));
    });
}

fn write_avc1(out: &mut Vec<u8>, config: &avc::DecoderConfig) {
    let sps = config.sps();
    boxed(out, b"avc1", |out| {
        out.put_bytes(0, 6);
        out.put_u16(1); // data_reference_index
        out.put_bytes(0, 16);
        // A side has at most PICTURE_SIDE_PIXELS_MAX pixels.
        out.put_u16(sps.width as u16);
        out.put_u16(sps.height as u16);
        out.put_u32(0x0048_0000); // 72 dpi
        out.put_u32(0x0048_0000);
        out.put_u32(0);
        out.put_u16(1); // frame_count
        out.put_bytes(0, 32); // compressorname
        out.put_u16(0x0018); // depth
        out.put_u16(0xffff); // pre_defined
        boxed(out, b"avcC", |out| out.put_slice(&config.sample_entry_record()));
        if let Some(colour) = sps.colour {
            boxed(out, b"colr", |out| {
                out.put_slice(b"nclx");
                out.put_u16(u16::from(colour.primaries));
                out.put_u16(u16::from(colour.transfer));
                out.put_u16(u16::from(colour.matrix));
                out.put_u8(u8::from(colour.full_range) << 7);
            });
        }
        if let Some((width, height)) = sps.sample_aspect {
            boxed(out, b"pasp", |out| {
                out.put_u32(u32::from(width));
                out.put_u32(u32::from(height));
            });
        }
    });
}

fn write_mp4a(out: &mut Vec<u8>, config: &aac::AudioConfig) {
    boxed(out, b"mp4a", |out| {
        out.put_bytes(0, 6);
        out.put_u16(1); // data_reference_index
        out.put_bytes(0, 8);
        out.put_u16(u16::from(config.channels().unwrap_or(2)));
        out.put_u16(16); // samplesize
        out.put_u32(0);
        // 16.16 fixed point: rates that do not fit are left to the AudioSpecificConfig.
        out.put_u16(u16::try_from(config.sample_rate()).unwrap_or(0));
        out.put_u16(0);
        full_boxed(out, b"esds", 0, 0, |out| {
            descriptor(out, 3, |out| {
                out.put_u16(1); // ES_ID
                out.put_u8(0);
                descriptor(out, 4, |out| {
                    out.put_u8(ESDS_AAC);
                    out.put_u8(ESDS_AUDIO_STREAM);
                    out.put_bytes(0, 3); // bufferSizeDB
                    out.put_u64(0); // maxBitrate, avgBitrate: not known of a live stream
                    descriptor(out, 5, |out| out.put_slice(config.record()));
                });
                descriptor(out, 6, |out| out.put_u8(2)); // SLConfig: as in mp4
            });
        });
    });
}

/// Appends a descriptor of ISO/IEC 14496-1, section 8.3.3: its size has 7 bits a byte.
fn descriptor(out: &mut Vec<u8>, tag: u8, content: impl FnOnce(&mut Vec<u8>)) {
    let mut inner = Vec::new();
    content(&mut inner);
    out.put_u8(tag);
    let size = inner.len();
    debug_assert!(size < 1 << 28);
    for shift in [21, 14, 7] {
        if size >> shift > 0 {
            out.put_u8((size >> shift) as u8 & 0x7f | 0x80);
        }
    }
    out.put_u8(size as u8 & 0x7f);
    out.extend(inner);
}
