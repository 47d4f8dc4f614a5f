//! FLV files (Adobe FLV 10.1, annex E): legacy tags of H.264 and AAC.
//!
//! Times are milliseconds. FLV says nothing of how long a frame is, so the clip's end is guessed.

use super::{CLIP_FRAMES_MAX, ClipError, RawSample, RawTrack, Tracks};
use crate::source::Kind;

const HEADER_BYTES: usize = 9;
const TAG_HEADER_BYTES: usize = 11;
const PREVIOUS_TAG_SIZE_BYTES: usize = 4;

/// TagType (E.4.1), and the bit beside it that says the tag is encrypted.
const TAG_AUDIO: u8 = 8;
const TAG_VIDEO: u8 = 9;
const TAG_SCRIPT: u8 = 18;
const TAG_ENCRYPTED: u8 = 0x20;

const CODEC_AVC: u8 = 7;
const SOUND_AAC: u8 = 10;
/// Enhanced RTMP: a bit of video tags, a SoundFormat of audio tags; a FourCC follows.
const VIDEO_EX: u8 = 0x80;
const SOUND_EX: u8 = 9;
const FRAME_KEY: u8 = 1;
const FRAME_KEY_GENERATED: u8 = 4;
const FRAME_COMMAND: u8 = 5;
/// AVCPacketType and AACPacketType.
const PACKET_CONFIG: u8 = 0;
const PACKET_FRAME: u8 = 1;

/// A tag's header, read.
struct Tag<'a> {
    tag_type: u8,
    timestamp_ms: i64,
    /// Where its body begins in the file.
    offset: usize,
    body: &'a [u8],
}

/// Reads all tags.
pub(super) fn read(file: &[u8]) -> Result<Tracks, ClipError> {
    let header: &[u8; HEADER_BYTES] = file.first_chunk().ok_or_else(|| ClipError::Truncated {
        what: "FLV header".into(),
        offset: 0,
        wanted: HEADER_BYTES as u64,
        left: file.len(),
    })?;
    let [.., a, b, c, d] = *header;
    let mut offset = u32::from_be_bytes([a, b, c, d]) as usize + PREVIOUS_TAG_SIZE_BYTES;
    let mut tracks = Tracks::default();
    while offset < file.len() {
        let tag = read_tag(file, offset)?;
        match tag.tag_type {
            TAG_VIDEO => read_video(&tag, &mut tracks)?,
            TAG_AUDIO => read_audio(&tag, &mut tracks)?,
            TAG_SCRIPT => {}
            other => {
                let why =
                    if other & TAG_ENCRYPTED != 0 { "encrypted" } else { "neither audio, video nor script" };
                return Err(malformed(offset, format!("type {other}: {why}")));
            }
        }
        // The size behind the last tag may be missing.
        offset = tag.offset + tag.body.len() + PREVIOUS_TAG_SIZE_BYTES;
    }
    Ok(tracks)
}

fn read_tag(file: &[u8], start: usize) -> Result<Tag<'_>, ClipError> {
    let rest = &file[start..];
    let truncated = |wanted: usize| ClipError::Truncated {
        what: "FLV tag".into(),
        offset: start,
        wanted: wanted as u64,
        left: rest.len(),
    };
    let (&header, body) = rest.split_first_chunk().ok_or_else(|| truncated(TAG_HEADER_BYTES))?;
    let [tag_type, size @ .., _, _, _]: [u8; TAG_HEADER_BYTES] = header;
    let [size_high, size_middle, size_low, time_high, time_middle, time_low, time_extended] = size;
    let body_bytes = u32::from_be_bytes([0, size_high, size_middle, size_low]) as usize;
    let body = body.get(..body_bytes).ok_or_else(|| truncated(TAG_HEADER_BYTES + body_bytes))?;
    // E.4.1: TimestampExtended is the upper byte of a signed number.
    let timestamp_ms = i32::from_be_bytes([time_extended, time_high, time_middle, time_low]);
    Ok(Tag { tag_type, timestamp_ms: timestamp_ms.into(), offset: start + TAG_HEADER_BYTES, body })
}

fn read_video(tag: &Tag<'_>, tracks: &mut Tracks) -> Result<(), ClipError> {
    let Some(&first) = tag.body.first() else { return Ok(()) };
    let frame_type = first >> 4 & 7;
    if first & VIDEO_EX != 0 {
        return Err(codec(Kind::Video, enhanced_name(tag.body), tag.offset));
    }
    if frame_type == FRAME_COMMAND {
        return Ok(());
    }
    if first & 0x0f != CODEC_AVC {
        return Err(codec(Kind::Video, video_codec_name(first & 0x0f), tag.offset));
    }
    let Some((&[_, packet_type, high, middle, low], payload)) = tag.body.split_first_chunk() else {
        return Err(malformed(tag.offset, "a video tag without AVCPacketType and CompositionTime".into()));
    };
    match packet_type {
        PACKET_CONFIG => set_config(&mut tracks.video, Kind::Video, payload, tag.offset),
        PACKET_FRAME => {
            let composition_ms = i32::from_be_bytes([high, middle, low, 0]) >> 8;
            let is_sync = matches!(frame_type, FRAME_KEY | FRAME_KEY_GENERATED);
            push_frame(&mut tracks.video, Kind::Video, tag, payload, composition_ms, is_sync)
        }
        // End of sequence, or nothing known.
        _ => Ok(()),
    }
}

fn read_audio(tag: &Tag<'_>, tracks: &mut Tracks) -> Result<(), ClipError> {
    let Some(&first) = tag.body.first() else { return Ok(()) };
    let format = first >> 4;
    if format == SOUND_EX {
        return Err(codec(Kind::Audio, enhanced_name(tag.body), tag.offset));
    }
    if format != SOUND_AAC {
        return Err(codec(Kind::Audio, sound_format_name(format), tag.offset));
    }
    let Some((&[_, packet_type], payload)) = tag.body.split_first_chunk() else {
        return Err(malformed(tag.offset, "an audio tag without AACPacketType".into()));
    };
    match packet_type {
        PACKET_CONFIG => set_config(&mut tracks.audio, Kind::Audio, payload, tag.offset),
        PACKET_FRAME => push_frame(&mut tracks.audio, Kind::Audio, tag, payload, 0, true),
        _ => Ok(()),
    }
}

fn set_config(
    track: &mut Option<RawTrack>,
    kind: Kind,
    config: &[u8],
    offset: usize,
) -> Result<(), ClipError> {
    match track {
        // Encoders repeat it; one without a byte changes nothing.
        Some(track) if track.config == config || config.is_empty() => Ok(()),
        Some(_) => Err(ClipError::ConfigChange { kind, offset }),
        None => {
            *track = Some(RawTrack {
                config: config.to_vec(),
                ticks_per_s: 1000,
                late_us: 0,
                samples: Vec::new(),
                end_ticks: None,
            });
            Ok(())
        }
    }
}

fn push_frame(
    track: &mut Option<RawTrack>,
    kind: Kind,
    tag: &Tag<'_>,
    payload: &[u8],
    composition_ms: i32,
    is_sync: bool,
) -> Result<(), ClipError> {
    let Some(track) = track else {
        return Err(malformed(tag.offset, format!("a frame of {kind} in front of the sequence header")));
    };
    if payload.is_empty() {
        return Ok(());
    }
    if track.samples.len() == CLIP_FRAMES_MAX {
        return Err(ClipError::TooManyFrames { kind });
    }
    track.samples.push(RawSample {
        decode_ticks: tag.timestamp_ms,
        composition_ticks: composition_ms.into(),
        // CLIP_BYTES_MAX fits.
        start: (tag.offset + tag.body.len() - payload.len()) as u32,
        bytes_count: payload.len() as u32,
        is_sync,
    });
    Ok(())
}

fn malformed(offset: usize, why: String) -> ClipError {
    ClipError::Malformed { what: "FLV tag".into(), offset, why }
}

fn codec(kind: Kind, codec: String, offset: usize) -> ClipError {
    ClipError::Codec { kind, codec, offset }
}

/// The FourCC of an enhanced tag, where there is no ModEx in front of it.
fn enhanced_name(body: &[u8]) -> String {
    let four_cc = body.get(1..5).unwrap_or_default();
    format!("{} of Enhanced RTMP", four_cc.escape_ascii())
}

/// CodecID (E.4.3.1).
fn video_codec_name(codec_id: u8) -> String {
    match codec_id {
        2 => "Sorenson H.263".into(),
        3 | 6 => "Screen video".into(),
        4 | 5 => "VP6".into(),
        12 => "HEVC (CodecID 12)".into(),
        other => format!("CodecID {other}"),
    }
}

/// SoundFormat (E.4.2.1).
fn sound_format_name(format: u8) -> String {
    match format {
        0 | 3 => "PCM".into(),
        1 => "ADPCM".into(),
        2 | 14 => "MP3".into(),
        4..=6 => "Nellymoser".into(),
        7 | 8 => "G.711".into(),
        11 => "Speex".into(),
        other => format!("SoundFormat {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(tag_type: u8, timestamp_ms: u32, body: &[u8]) -> Vec<u8> {
        let [extended, time @ ..] = timestamp_ms.to_be_bytes();
        let size = (body.len() as u32).to_be_bytes();
        let total = (body.len() as u32 + 11).to_be_bytes();
        [&[tag_type][..], &size[1..], &time, &[extended, 0, 0, 0], body, &total].concat()
    }

    fn flv(tags: &[Vec<u8>]) -> Vec<u8> {
        [&b"FLV\x01\x05\0\0\0\x09\0\0\0\0"[..], &tags.concat()].concat()
    }

    #[test]
    fn frames_with_their_times_and_places() {
        let file = flv(&[
            tag(18, 0, b"onMetaData"),
            tag(9, 0, b"\x17\0\0\0\0config"),
            tag(8, 0, b"\xaf\0\x11\x90"),
            tag(9, 0x0100_0000, b"\x17\x01\0\0\x42video"),
            tag(8, 0x0100_0005, b"\xaf\x01sound"),
            tag(9, 0x0100_0021, b"\x27\x01\xff\xff\xfemore"),
            tag(9, 0x0100_0021, b"\x57\0"),
            tag(9, 0x0100_0042, b"\x17\x02\0\0\0"),
        ]);
        let tracks = read(&file).unwrap();
        let (video, audio) = (tracks.video.unwrap(), tracks.audio.unwrap());
        assert_eq!((&video.config[..], &audio.config[..]), (&b"config"[..], &[0x11, 0x90][..]));
        let read: Vec<_> = [&video.samples[..], &audio.samples]
            .concat()
            .iter()
            .map(|sample| {
                let bytes = &file[sample.start as usize..][..sample.bytes_count as usize];
                (sample.decode_ticks, sample.composition_ticks, sample.is_sync, bytes)
            })
            .collect();
        assert_eq!(read[0], (0x0100_0000, 0x42, true, &b"video"[..]));
        assert_eq!(read[1], (0x0100_0021, -2, false, &b"more"[..]));
        assert_eq!(read[2], (0x0100_0005, 0, true, &b"sound"[..]));
        assert_eq!(read.len(), 3);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let message = |tags: &[Vec<u8>]| read(&flv(tags)).unwrap_err().to_string();
        for (body, tag_type, part) in [
            (&b"\x1c\x01"[..], 9, "video in HEVC (CodecID 12) at byte 24"),
            (b"\x90hvc1", 9, "video in hvc1 of Enhanced RTMP at byte 24"),
            (b"\x2f", 8, "audio in MP3 at byte 24"),
            (b"\x90Opus", 8, "audio in Opus of Enhanced RTMP at byte 24"),
            (
                b"\x17\x01\0\0\0frame",
                9,
                "FLV tag at byte 24: a frame of video in front of the sequence header",
            ),
            (b"\x17\x01", 9, "FLV tag at byte 24: a video tag without AVCPacketType"),
            (b"", 0x28, "FLV tag at byte 13: type 40: encrypted"),
            (b"", 7, "FLV tag at byte 13: type 7: neither"),
        ] {
            let found = message(&[tag(tag_type, 0, body)]);
            assert!(found.starts_with(part), "{found}");
        }
        let configs = [tag(9, 0, b"\x17\0\0\0\0one"), tag(9, 0, b"\x17\0\0\0\0two")];
        assert!(message(&configs).starts_with("video configuration changes at byte"));

        let whole = flv(&[tag(8, 0, b"\xaf\0\x11\x90")]);
        let cut = read(&whole[..whole.len() - 5]).unwrap_err().to_string();
        assert_eq!(cut, "truncated: FLV tag at byte 13 wants 15 bytes, 14 are left");
    }
}
