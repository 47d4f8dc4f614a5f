//! The header in front of a coded frame: legacy FLV tags (FLV 10.1, annex E.4) and enhanced ones
//! (Enhanced RTMP v2, sections "Enhanced Video" and "Enhanced Audio").
//!
//! Order matters: ModEx prefixes come before all else, and packet type Metadata is looked at before
//! frame type Command, since ffmpeg writes colour metadata as 0xD4, which is both.

use crate::media::TrackKind;
use crate::wire::{Reader, Truncated};

/// What a message carries, by its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// A decoder configuration record.
    Config,
    /// A coded frame.
    Frame {
        key: bool,
        composition_ms: i32,
    },
    EndOfSequence,
    /// Colour metadata, a multichannel layout: nothing that changes H.264 or AAC.
    Metadata,
    /// A command frame (seek markers of recorded files).
    Command,
    Unsupported(Unsupported),
}

/// What a publisher sends that this server does not carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsupported {
    /// A legacy CodecID other than 7 (AVC).
    VideoCodec(u8),
    /// A legacy SoundFormat other than 10 (AAC).
    AudioCodec(u8),
    /// An enhanced codec.
    FourCc([u8; 4]),
    /// An enhanced packet with tracks beside the first.
    Multitrack,
    /// An enhanced packet type that is not known here.
    PacketType(u8),
}

impl std::fmt::Display for Unsupported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::VideoCodec(12) => f.write_str("codec not supported: HEVC (FLV codec 12)"),
            Self::VideoCodec(id) => write!(f, "codec not supported: FLV video codec {id}"),
            Self::AudioCodec(2) | Self::AudioCodec(14) => f.write_str("codec not supported: MP3"),
            Self::AudioCodec(id) => write!(f, "codec not supported: FLV sound format {id}"),
            Self::FourCc(four_cc) => write!(f, "codec not supported: {}", four_cc.escape_ascii()),
            Self::Multitrack => f.write_str("multitrack not supported: only the first track is taken"),
            Self::PacketType(packet_type) => write!(f, "enhanced packet type {packet_type} not supported"),
        }
    }
}

const LEGACY_AVC: u8 = 7;
const LEGACY_AAC: u8 = 10;
/// SoundFormat of enhanced audio.
const AUDIO_EX: u8 = 9;

const FRAME_KEY: u8 = 1;
/// "Generated key frame": as good as a key frame.
const FRAME_KEY_GENERATED: u8 = 4;
const FRAME_COMMAND: u8 = 5;

const SEQUENCE_START: u8 = 0;
const CODED_FRAMES: u8 = 1;
const SEQUENCE_END: u8 = 2;
/// Video: CodedFrames without a composition offset.
const CODED_FRAMES_X: u8 = 3;
/// Video: metadata. Audio: multichannel layout.
const METADATA: u8 = 4;
const MULTITRACK_AUDIO: u8 = 5;
const MULTITRACK_VIDEO: u8 = 6;
const MOD_EX: u8 = 7;

/// Reads the header; the reader then stands at the body.
///
/// # Errors
/// [`Truncated`] when more bytes are needed.
pub(super) fn read(kind: TrackKind, reader: &mut Reader<'_>) -> Result<Body, Truncated> {
    match kind {
        TrackKind::Video => read_video(reader),
        TrackKind::Audio => read_audio(reader),
    }
}

fn read_video(reader: &mut Reader<'_>) -> Result<Body, Truncated> {
    let first = reader.u8()?;
    let frame_type = first >> 4 & 7;
    let key = matches!(frame_type, FRAME_KEY | FRAME_KEY_GENERATED);
    if first & 0x80 != 0 {
        return read_video_ex(reader, first & 0x0f, frame_type, key);
    }
    if frame_type == FRAME_COMMAND {
        return Ok(Body::Command);
    }
    let codec = first & 0x0f;
    if codec != LEGACY_AVC {
        return Ok(Body::Unsupported(Unsupported::VideoCodec(codec)));
    }
    let packet_type = reader.u8()?;
    // E.4.3.2: CompositionTime is there for every packet type, 0 unless it is a frame.
    let composition_ms = reader.i24()?;
    Ok(match packet_type {
        0 => Body::Config,
        1 => Body::Frame { key, composition_ms },
        2 => Body::EndOfSequence,
        other => Body::Unsupported(Unsupported::PacketType(other)),
    })
}

fn read_video_ex(
    reader: &mut Reader<'_>,
    packet_type: u8,
    frame_type: u8,
    key: bool,
) -> Result<Body, Truncated> {
    let packet_type = skip_mod_ex(reader, packet_type)?;
    if packet_type == METADATA {
        return Ok(Body::Metadata);
    }
    if frame_type == FRAME_COMMAND {
        return Ok(Body::Command);
    }
    if packet_type == MULTITRACK_VIDEO {
        return Ok(Body::Unsupported(Unsupported::Multitrack));
    }
    let four_cc = read_four_cc(reader)?;
    if &four_cc != b"avc1" {
        return Ok(Body::Unsupported(Unsupported::FourCc(four_cc)));
    }
    Ok(match packet_type {
        SEQUENCE_START => Body::Config,
        CODED_FRAMES => Body::Frame { key, composition_ms: reader.i24()? },
        CODED_FRAMES_X => Body::Frame { key, composition_ms: 0 },
        SEQUENCE_END => Body::EndOfSequence,
        other => Body::Unsupported(Unsupported::PacketType(other)),
    })
}

fn read_audio(reader: &mut Reader<'_>) -> Result<Body, Truncated> {
    let first = reader.u8()?;
    let format = first >> 4;
    if format == AUDIO_EX {
        return read_audio_ex(reader, first & 0x0f);
    }
    if format != LEGACY_AAC {
        return Ok(Body::Unsupported(Unsupported::AudioCodec(format)));
    }
    Ok(match reader.u8()? {
        0 => Body::Config,
        1 => Body::Frame { key: true, composition_ms: 0 },
        other => Body::Unsupported(Unsupported::PacketType(other)),
    })
}

fn read_audio_ex(reader: &mut Reader<'_>, packet_type: u8) -> Result<Body, Truncated> {
    let packet_type = skip_mod_ex(reader, packet_type)?;
    if packet_type == MULTITRACK_AUDIO {
        return Ok(Body::Unsupported(Unsupported::Multitrack));
    }
    let four_cc = read_four_cc(reader)?;
    if &four_cc != b"mp4a" {
        return Ok(Body::Unsupported(Unsupported::FourCc(four_cc)));
    }
    Ok(match packet_type {
        SEQUENCE_START => Body::Config,
        CODED_FRAMES => Body::Frame { key: true, composition_ms: 0 },
        SEQUENCE_END => Body::EndOfSequence,
        METADATA => Body::Metadata,
        other => Body::Unsupported(Unsupported::PacketType(other)),
    })
}

/// Skips ModEx prefixes and returns the packet type behind them. Their only defined content is a
/// timestamp offset below a millisecond.
fn skip_mod_ex(reader: &mut Reader<'_>, mut packet_type: u8) -> Result<u8, Truncated> {
    // Each turn takes at least 3 bytes of a header that FLV_TAG_HEADER_BYTES_MAX bounds.
    while packet_type == MOD_EX {
        let mut size = usize::from(reader.u8()?) + 1;
        if size == 256 {
            size = usize::from(reader.u16()?) + 1;
        }
        reader.take(size)?;
        packet_type = reader.u8()? & 0x0f;
    }
    Ok(packet_type)
}

fn read_four_cc(reader: &mut Reader<'_>) -> Result<[u8; 4], Truncated> {
    Ok(reader.u32()?.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn video(header: &[u8]) -> (Body, usize) {
        let mut reader = Reader::new(header);
        let body = read(TrackKind::Video, &mut reader).unwrap();
        (body, reader.offset())
    }

    fn audio(header: &[u8]) -> Body {
        read(TrackKind::Audio, &mut Reader::new(header)).unwrap()
    }

    #[test]
    fn video_headers_legacy_and_enhanced() {
        let frame = |key, composition_ms| Body::Frame { key, composition_ms };
        let unsupported = Body::Unsupported;
        for (header, body, bytes) in [
            (&b"\x17\x00\x00\x00\x00"[..], Body::Config, 5),
            (b"\x17\x01\x00\x00\x42", frame(true, 66), 5),
            (b"\x27\x01\xff\xff\xfe", frame(false, -2), 5),
            (b"\x47\x01\x00\x00\x00", frame(true, 0), 5),
            (b"\x17\x02\x00\x00\x00", Body::EndOfSequence, 5),
            (b"\x57\x00", Body::Command, 1),
            (b"\x1c\x01", unsupported(Unsupported::VideoCodec(12)), 1),
            (b"\x90avc1", Body::Config, 5),
            (b"\x91avc1\x00\x00\x21", frame(true, 33), 8),
            (b"\xa3avc1", frame(false, 0), 5),
            (b"\xa2avc1", Body::EndOfSequence, 5),
            (b"\x90hvc1", unsupported(Unsupported::FourCc(*b"hvc1")), 5),
            (b"\x96\x00avc1\x01", unsupported(Unsupported::Multitrack), 1),
            // ffmpeg's colour metadata: Metadata and Command at once.
            (b"\xd4hvc1\x02", Body::Metadata, 1),
            (b"\xd1\x00", Body::Command, 1),
            // ModEx with a nanosecond offset, then CodedFramesX of a key frame.
            (b"\x97\x02\x00\x01\x02\x03avc1", frame(true, 0), 10),
        ] {
            assert_eq!(video(header), (body, bytes), "{header:x?}");
        }
    }

    #[test]
    fn audio_headers_legacy_and_enhanced() {
        let frame = Body::Frame { key: true, composition_ms: 0 };
        for (header, body) in [
            (&b"\xaf\x00"[..], Body::Config),
            (b"\xaf\x01", frame),
            (b"\x2f", Body::Unsupported(Unsupported::AudioCodec(2))),
            (b"\x90mp4a", Body::Config),
            (b"\x91mp4a", frame),
            (b"\x94mp4a", Body::Metadata),
            (b"\x91Opus", Body::Unsupported(Unsupported::FourCc(*b"Opus"))),
            (b"\x95\x00mp4a\x01", Body::Unsupported(Unsupported::Multitrack)),
        ] {
            assert_eq!(audio(header), body, "{header:x?}");
        }
    }

    #[test]
    fn a_header_that_is_not_all_there_asks_for_more() {
        for header in [&b"\x17\x01\x00\x00\x42"[..], b"\x91avc1\x00\x00\x21", b"\x97\x02\x00\x01\x02\x03avc1"]
        {
            for length in 0..header.len() {
                assert!(read(TrackKind::Video, &mut Reader::new(&header[..length])).is_err(), "{header:x?}");
            }
        }
    }

    #[test]
    fn what_is_not_supported_is_named_without_raw_bytes() {
        assert_eq!(Unsupported::FourCc(*b"hvc1").to_string(), "codec not supported: hvc1");
        assert_eq!(
            Unsupported::FourCc([0, 10, 255, b'"']).to_string(),
            r#"codec not supported: \x00\n\xff\""#
        );
    }
}
