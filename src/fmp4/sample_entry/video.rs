//! Sample entries of pictures (ISO/IEC 14496-12, section 12.1.3; 14496-15, sections 5.4 and 8.4; the bindings of AV1
//! and VP9).

use crate::codec::{CodecConfig, Colour, Hdr, Picture};
use crate::fmp4::boxes::boxed;
use bytes::BufMut;

/// The code point of H.273 that says nothing.
const UNSPECIFIED: u8 = 2;

pub(super) fn write(out: &mut Vec<u8>, config: &CodecConfig, picture: &Picture) {
    let (entry, record_box, record) = match config {
        CodecConfig::Avc(config) => (b"avc1", b"avcC", config.sample_entry_record()),
        CodecConfig::Hevc(config) => (b"hvc1", b"hvcC", config.sample_entry_record()),
        CodecConfig::Av1(config) => (b"av01", b"av1C", config.sample_entry_record()),
        CodecConfig::Vp9(config) => (b"vp09", b"vpcC", config.sample_entry_record()),
        CodecConfig::Aac(_) | CodecConfig::Opus(_) | CodecConfig::Ac3(_) | CodecConfig::Flac(_) => return,
    };
    boxed(out, entry, |out| {
        out.put_bytes(0, 6);
        out.put_u16(1); // data_reference_index
        out.put_bytes(0, 16);
        // A side has at most PICTURE_SIDE_PIXELS_MAX pixels.
        out.put_u16(picture.width as u16);
        out.put_u16(picture.height as u16);
        out.put_u32(0x0048_0000); // 72 dpi
        out.put_u32(0x0048_0000);
        out.put_u32(0);
        out.put_u16(1); // frame_count
        out.put_bytes(0, 32); // compressorname
        out.put_u16(0x0018); // depth
        out.put_u16(0xffff); // pre_defined
        boxed(out, record_box, |out| out.put_slice(&record));
        write_hdr(out, &config.hdr());
        if let Some((width, height)) = picture.sample_aspect {
            boxed(out, b"pasp", |out| {
                out.put_u32(u32::from(width));
                out.put_u32(u32::from(height));
            });
        }
    });
}

/// colr, mdcv and clli (sections 12.1.5 to 12.1.7).
fn write_hdr(out: &mut Vec<u8>, hdr: &Hdr) {
    if let Some(Colour { primaries, transfer, matrix, full_range }) = hdr.colour
        && (full_range || [primaries, transfer, matrix] != [UNSPECIFIED; 3])
    {
        boxed(out, b"colr", |out| {
            out.put_slice(b"nclx");
            for code_point in [primaries, transfer, matrix] {
                out.put_u16(u16::from(code_point));
            }
            out.put_u8(u8::from(full_range) << 7);
        });
    }
    if let Some(display) = hdr.mastering {
        boxed(out, b"mdcv", |out| {
            for (x, y) in display.primaries.into_iter().chain([display.white_point]) {
                out.put_u16(x);
                out.put_u16(y);
            }
            out.put_u32(display.luminance_max);
            out.put_u32(display.luminance_min);
        });
    }
    if let Some(light) = hdr.light {
        boxed(out, b"clli", |out| {
            out.put_u16(light.content_max);
            out.put_u16(light.frame_average_max);
        });
    }
}
