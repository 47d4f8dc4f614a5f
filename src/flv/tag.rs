//! The headers in front of what a message carries: legacy FLV tags (FLV 10.1, annex E.4) and enhanced ones
//! (Enhanced RTMP v2, sections "Enhanced Video" and "Enhanced Audio").
//!
//! A message has a [`Header`]; each track in it has a [`BodyHeader`], whether the message names tracks or not.
//! Order matters: ModEx prefixes come before all else, and packet type Metadata is looked at before frame type
//! Command, since ffmpeg writes colour metadata as 0xD4, which is both.

use crate::codec::Codec;
use crate::media::TrackKind;
use crate::wire::{Reader, Truncated};

/// What a message is, by its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Header {
    /// A command frame (seek markers of recorded files).
    Command,
    /// Nothing that is known here.
    Unsupported(Unsupported),
    /// One track's media, or several tracks'.
    Media(Media),
}

/// What all tracks of a message have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Media {
    packet: Packet,
    layout: Layout,
    /// `None` when each track names its own.
    four_cc: Option<[u8; 4]>,
    key: bool,
    /// Legacy tags have it in the header of every packet.
    composition_ms: Option<i32>,
    offset_ns: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packet {
    SequenceStart,
    CodedFrames,
    /// Video: without a composition offset.
    CodedFramesX,
    SequenceEnd,
    Metadata,
    Multichannel,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// The message is of track 0 and does not say so.
    Unnamed,
    /// One track, which has its number.
    OneTrack,
    /// Several, each with its number and size.
    ManyTracks,
}

/// One track's part of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BodyHeader {
    /// 0 is the one that is played.
    pub track: u8,
    /// Its codec, known here or not.
    pub four_cc: [u8; 4],
    /// What the body is.
    pub body: Body,
    /// Bytes of the body; `None` for all that is left of the message.
    pub body_bytes: Option<u32>,
}

/// What follows the headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// A decoder configuration record.
    Config(Codec),
    /// A coded frame.
    Frame {
        codec: Codec,
        key: bool,
        composition_ms: i32,
        /// To be added to the presentation time, nanoseconds.
        offset_ns: u32,
    },
    EndOfSequence,
    /// Colour metadata.
    Metadata,
    /// A layout of channels.
    Multichannel,
    Unsupported(Unsupported),
}

/// Why there is no [`BodyHeader`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeaderError {
    /// More bytes are needed.
    Truncated,
    /// A track of so many bytes is smaller than its own header.
    TrackSize(u32),
}

impl From<Truncated> for HeaderError {
    fn from(_: Truncated) -> Self {
        Self::Truncated
    }
}

/// What a publisher sends that this server does not carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsupported {
    /// A legacy CodecID other than 7 (AVC) and 12 (HEVC).
    VideoCodec(u8),
    /// A legacy SoundFormat other than 10 (AAC).
    AudioCodec(u8),
    /// An enhanced codec.
    FourCc([u8; 4]),
    /// A way to put several tracks into a message that is not known here.
    MultitrackType(u8),
    /// An enhanced packet type that is not known here.
    PacketType(u8),
}

impl std::fmt::Display for Unsupported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::VideoCodec(id) => write!(f, "codec not supported: FLV video codec {id}"),
            Self::AudioCodec(2) | Self::AudioCodec(14) => f.write_str("codec not supported: MP3"),
            Self::AudioCodec(id) => write!(f, "codec not supported: FLV sound format {id}"),
            Self::FourCc(four_cc) => write!(f, "codec not supported: {}", four_cc.escape_ascii()),
            Self::MultitrackType(multitrack) => write!(f, "multitrack type {multitrack} not supported"),
            Self::PacketType(packet_type) => write!(f, "enhanced packet type {packet_type} not supported"),
        }
    }
}

const LEGACY_AVC: u8 = 7;
/// In no specification: what Chinese encoders send.
const LEGACY_HEVC: u8 = 12;
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
const CODED_FRAMES_X: u8 = 3;
/// Video: metadata. Audio: multichannel layout.
const METADATA: u8 = 4;
const MULTITRACK_AUDIO: u8 = 5;
const MULTITRACK_VIDEO: u8 = 6;
const MOD_EX: u8 = 7;

const MULTITRACK_ONE: u8 = 0;
const MULTITRACK_MANY: u8 = 1;
const MULTITRACK_MANY_CODECS: u8 = 2;

/// ModEx type TimestampOffsetNano, and the greatest offset there is.
const MOD_EX_NANO: u8 = 0;
const OFFSET_NS_MAX: u32 = 999_999;

/// Bytes of a composition time offset.
const COMPOSITION_BYTES: u32 = 3;

impl Header {
    /// Reads it; the reader then stands at the first [`BodyHeader`].
    ///
    /// # Errors
    /// [`Truncated`] when more bytes are needed.
    pub(super) fn read(kind: TrackKind, reader: &mut Reader<'_>) -> Result<Self, Truncated> {
        match kind {
            TrackKind::Video => read_video(reader),
            TrackKind::Audio => read_audio(reader),
        }
    }
}

impl Media {
    /// True when another track may follow the first.
    pub(super) fn has_many_tracks(&self) -> bool {
        self.layout == Layout::ManyTracks
    }

    /// Reads what stands in front of a track; the reader then stands at its body.
    ///
    /// # Errors
    /// [`HeaderError`].
    pub(super) fn read_body(&self, reader: &mut Reader<'_>) -> Result<BodyHeader, HeaderError> {
        let four_cc = match self.four_cc {
            Some(four_cc) => four_cc,
            None => read_four_cc(reader)?,
        };
        let track = if self.layout == Layout::Unnamed { 0 } else { reader.u8()? };
        let mut body_bytes = if self.has_many_tracks() { Some(reader.u24()?) } else { None };
        let body = match (self.packet, Codec::from_four_cc(four_cc)) {
            (Packet::Metadata, _) => Body::Metadata,
            (Packet::Multichannel, _) => Body::Multichannel,
            (_, None) => Body::Unsupported(Unsupported::FourCc(four_cc)),
            (Packet::SequenceStart, Some(codec)) => Body::Config(codec),
            (Packet::SequenceEnd, Some(_)) => Body::EndOfSequence,
            (Packet::CodedFrames | Packet::CodedFramesX, Some(codec)) => {
                let composition_ms = match self.composition_ms {
                    Some(ms) => ms,
                    None if self.packet == Packet::CodedFrames && codec.has_composition_offset() => {
                        if let Some(bytes) = &mut body_bytes {
                            let left = bytes.checked_sub(COMPOSITION_BYTES);
                            *bytes = left.ok_or(HeaderError::TrackSize(*bytes))?;
                        }
                        reader.i24()?
                    }
                    None => 0,
                };
                Body::Frame { codec, key: self.key, composition_ms, offset_ns: self.offset_ns }
            }
        };
        Ok(BodyHeader { track, four_cc, body, body_bytes })
    }
}

fn read_video(reader: &mut Reader<'_>) -> Result<Header, Truncated> {
    let first = reader.u8()?;
    let frame_type = first >> 4 & 7;
    let key = matches!(frame_type, FRAME_KEY | FRAME_KEY_GENERATED);
    if first & 0x80 != 0 {
        return read_enhanced(reader, TrackKind::Video, first & 0x0f, frame_type == FRAME_COMMAND, key);
    }
    if frame_type == FRAME_COMMAND {
        return Ok(Header::Command);
    }
    let four_cc = match first & 0x0f {
        LEGACY_AVC => *b"avc1",
        LEGACY_HEVC => *b"hvc1",
        other => return Ok(Header::Unsupported(Unsupported::VideoCodec(other))),
    };
    let packet_type = reader.u8()?;
    // E.4.3.2: CompositionTime is there for every packet type, 0 unless it is a frame.
    let composition_ms = reader.i24()?;
    Ok(legacy(packet_type, four_cc, key, composition_ms))
}

fn read_audio(reader: &mut Reader<'_>) -> Result<Header, Truncated> {
    let first = reader.u8()?;
    match first >> 4 {
        AUDIO_EX => read_enhanced(reader, TrackKind::Audio, first & 0x0f, false, true),
        LEGACY_AAC => Ok(legacy(reader.u8()?, *b"mp4a", true, 0)),
        other => Ok(Header::Unsupported(Unsupported::AudioCodec(other))),
    }
}

fn legacy(packet_type: u8, four_cc: [u8; 4], key: bool, composition_ms: i32) -> Header {
    let packet = match packet_type {
        0 => Packet::SequenceStart,
        1 => Packet::CodedFrames,
        2 if &four_cc != b"mp4a" => Packet::SequenceEnd,
        other => return Header::Unsupported(Unsupported::PacketType(other)),
    };
    let composition_ms = Some(composition_ms);
    let layout = Layout::Unnamed;
    Header::Media(Media { packet, layout, four_cc: Some(four_cc), key, composition_ms, offset_ns: 0 })
}

fn read_enhanced(
    reader: &mut Reader<'_>,
    kind: TrackKind,
    packet_type: u8,
    is_command: bool,
    key: bool,
) -> Result<Header, Truncated> {
    let (mut packet_type, offset_ns) = read_mod_ex(reader, packet_type)?;
    let multitrack = match kind {
        TrackKind::Video => MULTITRACK_VIDEO,
        TrackKind::Audio => MULTITRACK_AUDIO,
    };
    let mut multitrack_type = None;
    if packet_type == multitrack {
        let types = reader.u8()?;
        (multitrack_type, packet_type) = (Some(types >> 4), types & 0x0f);
    }
    if is_command && packet_type != METADATA {
        return Ok(Header::Command);
    }
    let packet = match (kind, packet_type) {
        (_, SEQUENCE_START) => Packet::SequenceStart,
        (_, CODED_FRAMES) => Packet::CodedFrames,
        (_, SEQUENCE_END) => Packet::SequenceEnd,
        (TrackKind::Video, CODED_FRAMES_X) => Packet::CodedFramesX,
        (TrackKind::Video, METADATA) => Packet::Metadata,
        (TrackKind::Audio, METADATA) => Packet::Multichannel,
        (_, other) => return Ok(Header::Unsupported(Unsupported::PacketType(other))),
    };
    let (layout, four_cc) = match multitrack_type {
        None => (Layout::Unnamed, Some(read_four_cc(reader)?)),
        Some(MULTITRACK_ONE) => (Layout::OneTrack, Some(read_four_cc(reader)?)),
        Some(MULTITRACK_MANY) => (Layout::ManyTracks, Some(read_four_cc(reader)?)),
        Some(MULTITRACK_MANY_CODECS) => (Layout::ManyTracks, None),
        Some(other) => return Ok(Header::Unsupported(Unsupported::MultitrackType(other))),
    };
    Ok(Header::Media(Media { packet, layout, four_cc, key, composition_ms: None, offset_ns }))
}

/// Reads ModEx prefixes; returns the packet type behind them and the last timestamp offset among them.
fn read_mod_ex(reader: &mut Reader<'_>, mut packet_type: u8) -> Result<(u8, u32), Truncated> {
    let mut offset_ns = 0;
    // Each turn takes at least 3 bytes of a header that FLV_TAG_HEADER_BYTES_MAX bounds.
    while packet_type == MOD_EX {
        let mut size = usize::from(reader.u8()?) + 1;
        if size == 256 {
            size = usize::from(reader.u16()?) + 1;
        }
        let said = reader.take(size)?;
        let types = reader.u8()?;
        packet_type = types & 0x0f;
        if types >> 4 == MOD_EX_NANO
            && let &[a, b, c, ..] = said
        {
            let found = u32::from_be_bytes([0, a, b, c]);
            offset_ns = if found <= OFFSET_NS_MAX { found } else { offset_ns };
        }
    }
    Ok((packet_type, offset_ns))
}

fn read_four_cc(reader: &mut Reader<'_>) -> Result<[u8; 4], Truncated> {
    Ok(reader.u32()?.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The header of a message's first track, and where its body begins.
    fn first(kind: TrackKind, message: &[u8]) -> Result<(BodyHeader, usize), String> {
        let mut reader = Reader::new(message);
        match Header::read(kind, &mut reader).unwrap() {
            Header::Media(media) => Ok((media.read_body(&mut reader).unwrap(), reader.offset())),
            Header::Command => Err("command".to_owned()),
            Header::Unsupported(what) => Err(what.to_string()),
        }
    }

    fn video(message: &[u8]) -> Result<(Body, usize), String> {
        first(TrackKind::Video, message).map(|(header, offset)| (header.body, offset))
    }

    fn frame(codec: Codec, key: bool, composition_ms: i32) -> Body {
        Body::Frame { codec, key, composition_ms, offset_ns: 0 }
    }

    #[test]
    fn video_headers_legacy_and_enhanced() {
        for (header, body, bytes) in [
            (&b"\x17\x00\x00\x00\x00"[..], Body::Config(Codec::Avc), 5),
            (b"\x17\x01\x00\x00\x42", frame(Codec::Avc, true, 66), 5),
            (b"\x27\x01\xff\xff\xdf", frame(Codec::Avc, false, -33), 5),
            (b"\x17\x02\x00\x00\x00", Body::EndOfSequence, 5),
            (b"\x1c\x00\x00\x00\x00", Body::Config(Codec::Hevc), 5),
            (b"\x2c\x01\x00\x00\x42", frame(Codec::Hevc, false, 66), 5),
            (b"\x90avc1", Body::Config(Codec::Avc), 5),
            (b"\x91avc1\x00\x00\x21", frame(Codec::Avc, true, 33), 8),
            (b"\xa3avc1", frame(Codec::Avc, false, 0), 5),
            (b"\xa2avc1", Body::EndOfSequence, 5),
            (b"\x90hvc1", Body::Config(Codec::Hevc), 5),
            (b"\xa1hvc1\x00\x00\xa6", frame(Codec::Hevc, false, 166), 8),
            // No composition offset in front of these.
            (b"\x91av01\x12\x00\x0a", frame(Codec::Av1, true, 0), 5),
            (b"\xa1vp09\x86\x00\x40", frame(Codec::Vp9, false, 0), 5),
            (b"\x90vp08", Body::Unsupported(Unsupported::FourCc(*b"vp08")), 5),
            // ffmpeg's colour metadata: Metadata and Command at once.
            (b"\xd4hvc1\x02", Body::Metadata, 5),
            // ModEx prefixes, then CodedFramesX of a key frame.
            (
                b"\x97\x02\x00\x01\x02\x03avc1",
                Body::Frame { codec: Codec::Avc, key: true, composition_ms: 0, offset_ns: 258 },
                10,
            ),
            (
                b"\x97\x02\x0f\x42\x3f\x07\x02\x0f\x42\x40\x07\x00\xaa\x13avc1",
                Body::Frame { codec: Codec::Avc, key: true, composition_ms: 0, offset_ns: 999_999 },
                18,
            ),
        ] {
            assert_eq!(video(header), Ok((body, bytes)), "{header:x?}");
        }
        for (header, refused) in [
            (&b"\x14"[..], "codec not supported: FLV video codec 4"),
            (b"\x57\x00", "command"),
            (b"\xd1\x00", "command"),
            (b"\x95avc1", "enhanced packet type 5 not supported"),
            (b"\x96\x30avc1\x00", "multitrack type 3 not supported"),
            (b"\x96\x06avc1\x00", "enhanced packet type 6 not supported"),
        ] {
            assert_eq!(video(header), Err(refused.to_owned()), "{header:x?}");
        }
    }

    #[test]
    fn audio_headers_legacy_and_enhanced() {
        let audio = |message: &[u8]| first(TrackKind::Audio, message).map(|(header, _)| header.body);
        for (header, body) in [
            (&b"\xaf\x00"[..], Body::Config(Codec::Aac)),
            (b"\xaf\x01", frame(Codec::Aac, true, 0)),
            (b"\x90mp4a", Body::Config(Codec::Aac)),
            (b"\x91mp4a", frame(Codec::Aac, true, 0)),
            (b"\x94mp4a", Body::Multichannel),
            (b"\x90Opus", Body::Config(Codec::Opus)),
            (b"\x91ac-3", frame(Codec::Ac3, true, 0)),
            (b"\x91ec-3", frame(Codec::Eac3, true, 0)),
            (b"\x92fLaC", Body::EndOfSequence),
            (b"\x91.mp3", Body::Unsupported(Unsupported::FourCc(*b".mp3"))),
            (
                b"\x97\x02\x00\x00\x01\x01Opus",
                Body::Frame { codec: Codec::Opus, key: true, composition_ms: 0, offset_ns: 1 },
            ),
        ] {
            assert_eq!(audio(header), Ok(body), "{header:x?}");
        }
        for (header, refused) in [
            (&b"\x2f"[..], "codec not supported: MP3"),
            (b"\xaf\x02", "enhanced packet type 2 not supported"),
            (b"\x93Opus", "enhanced packet type 3 not supported"),
        ] {
            assert_eq!(audio(header), Err(refused.to_owned()), "{header:x?}");
        }
    }

    #[test]
    fn tracks_say_their_numbers_sizes_and_codecs() {
        let one = first(TrackKind::Video, b"\x96\x03avc1\x05rest").unwrap();
        let expected =
            BodyHeader { track: 5, four_cc: *b"avc1", body: frame(Codec::Avc, true, 0), body_bytes: None };
        assert_eq!(one, (expected, 7));
        // The size counts the composition offset.
        let many = first(TrackKind::Video, b"\xa6\x11hvc1\x01\x00\x00\x08\x00\x00\x21rest.").unwrap();
        let expected = BodyHeader {
            track: 1,
            four_cc: *b"hvc1",
            body: frame(Codec::Hevc, false, 33),
            body_bytes: Some(5),
        };
        assert_eq!(many, (expected, 13));
        let codecs = first(TrackKind::Audio, b"\x95\x21Opus\x02\x00\x00\x03abc").unwrap();
        let expected = BodyHeader {
            track: 2,
            four_cc: *b"Opus",
            body: frame(Codec::Opus, true, 0),
            body_bytes: Some(3),
        };
        assert_eq!(codecs, (expected, 10));
        // Colour metadata of a track, which is a command frame to the eye.
        assert_eq!(first(TrackKind::Video, b"\xd6\x04avc1\x01").unwrap().0.body, Body::Metadata);
        let mut reader = Reader::new(b"\xa6\x11hvc1\x01\x00\x00\x02\x00\x00\x21");
        let Ok(Header::Media(media)) = Header::read(TrackKind::Video, &mut reader) else { panic!() };
        assert_eq!(media.read_body(&mut reader), Err(HeaderError::TrackSize(2)));
    }

    #[test]
    fn a_header_that_is_not_all_there_asks_for_more() {
        for header in [
            &b"\x17\x01\x00\x00\x42"[..],
            b"\x91avc1\x00\x00\x21",
            b"\x97\x02\x00\x01\x02\x03avc1",
            b"\xa6\x11hvc1\x01\x00\x00\x08\x00\x00\x21",
            b"\xa6\x21hvc1\x01\x00\x00\x08\x00\x00\x21",
        ] {
            for length in 0..header.len() {
                let mut reader = Reader::new(&header[..length]);
                match Header::read(TrackKind::Video, &mut reader) {
                    Err(_) => {}
                    Ok(Header::Media(media)) => {
                        assert_eq!(media.read_body(&mut reader), Err(HeaderError::Truncated), "{header:x?}");
                    }
                    Ok(other) => panic!("{other:?}"),
                }
            }
        }
    }

    #[test]
    fn what_is_not_supported_is_named_without_raw_bytes() {
        assert_eq!(Unsupported::FourCc(*b"vp08").to_string(), "codec not supported: vp08");
        assert_eq!(
            Unsupported::FourCc([0, 10, 255, b'"']).to_string(),
            r#"codec not supported: \x00\n\xff\""#
        );
    }
}
