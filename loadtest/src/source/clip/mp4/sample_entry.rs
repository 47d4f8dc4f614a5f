//! Sample entries (ISO/IEC 14496-12, 8.5.2): the decoder configuration in them, byte for byte.

use super::boxes::{Boxes, MediaBox};
use crate::source::Kind;
use crate::source::clip::ClipError;

/// Bytes of a VisualSampleEntry before its boxes.
const VISUAL_BYTES: usize = 78;
/// Bytes of an AudioSampleEntry before its boxes, and what QuickTime's versions 1 and 2 add.
const AUDIO_BYTES: usize = 28;
const AUDIO_V1_BYTES: usize = 16;
const AUDIO_V2_BYTES: usize = 36;

/// Tags of descriptors, and objectTypeIndication of MPEG-4 audio (ISO/IEC 14496-1, 7.2.2.1 and 7.2.6.6).
const ES_DESCRIPTOR: u8 = 3;
const DECODER_CONFIG_DESCRIPTOR: u8 = 4;
const DECODER_SPECIFIC_INFO: u8 = 5;
const MPEG4_AUDIO: u8 = 0x40;

/// The AVCDecoderConfigurationRecord of a video track's first sample entry.
pub(super) fn avc_config(descriptions: &MediaBox<'_>) -> Result<Vec<u8>, ClipError> {
    let entry = first_entry(descriptions)?;
    if !matches!(&entry.kind, b"avc1" | b"avc3") {
        return Err(codec(Kind::Video, entry.kind, entry.start));
    }
    let boxes = boxes_behind(&entry, VISUAL_BYTES)?;
    let config = find(boxes, b"avcC")?.ok_or_else(|| entry.malformed("no box avcC in it"))?;
    Ok(config.body.to_vec())
}

/// The AudioSpecificConfig of an audio track's first sample entry.
pub(super) fn audio_specific_config(descriptions: &MediaBox<'_>) -> Result<Vec<u8>, ClipError> {
    let entry = first_entry(descriptions)?;
    if entry.kind != *b"mp4a" {
        return Err(codec(Kind::Audio, entry.kind, entry.start));
    }
    let added = match entry.body.get(8..10) {
        Some([0, 1]) => AUDIO_V1_BYTES,
        Some([0, 2]) => AUDIO_V2_BYTES,
        _ => 0,
    };
    let boxes = boxes_behind(&entry, AUDIO_BYTES + added)?;
    let mut stream = find(boxes.clone(), b"esds")?;
    if stream.is_none()
        && let Some(wave) = find(boxes, b"wave")?
    {
        // QuickTime puts it one box deeper.
        stream = wave.child(b"esds")?;
    }
    let stream = stream.ok_or_else(|| entry.malformed("no box esds in it"))?;
    let (object_type, config) =
        read_descriptors(stream.body).ok_or_else(|| stream.malformed("it cannot be read"))?;
    if object_type != MPEG4_AUDIO {
        let codec = match object_type {
            0x69 | 0x6b => "MP3".into(),
            other => format!("object type {other:#04x}"),
        };
        return Err(ClipError::Codec { kind: Kind::Audio, codec, offset: stream.start });
    }
    Ok(config.to_vec())
}

fn first_entry<'a>(descriptions: &MediaBox<'a>) -> Result<MediaBox<'a>, ClipError> {
    // Version, flags and entry_count.
    let mut entries = boxes_behind(descriptions, 8)?;
    entries.next().unwrap_or_else(|| Err(descriptions.malformed("no sample entry in it")))
}

/// The boxes in `around` behind so many bytes of fields.
fn boxes_behind<'a>(around: &MediaBox<'a>, bytes: usize) -> Result<Boxes<'a>, ClipError> {
    let cut = || around.malformed(format!("{} bytes, fields take {bytes}", around.body.len()));
    let rest = around.body.get(bytes..).ok_or_else(cut)?;
    Ok(Boxes::new(rest, around.body_start + bytes))
}

fn find<'a>(mut boxes: Boxes<'a>, kind: &[u8; 4]) -> Result<Option<MediaBox<'a>>, ClipError> {
    boxes.find(|found| found.as_ref().is_ok_and(|found| found.kind == *kind)).transpose()
}

/// objectTypeIndication and DecoderSpecificInfo of an esds box (ISO/IEC 14496-1, 7.2.6.5 and 7.2.6.6).
fn read_descriptors(body: &[u8]) -> Option<(u8, &[u8])> {
    let stream = find_descriptor(body.get(4..)?, ES_DESCRIPTOR)?;
    let (&[_, _, flags], mut rest) = stream.split_first_chunk()?;
    if flags & 0x80 != 0 {
        rest = rest.get(2..)?; // dependsOn_ES_ID
    }
    if flags & 0x40 != 0 {
        let (&url_bytes, behind) = rest.split_first()?;
        rest = behind.get(usize::from(url_bytes)..)?;
    }
    if flags & 0x20 != 0 {
        rest = rest.get(2..)?; // OCR_ES_Id
    }
    let decoder = find_descriptor(rest, DECODER_CONFIG_DESCRIPTOR)?;
    // objectTypeIndication, streamType, bufferSizeDB, maxBitrate, avgBitrate.
    let (&[object_type, ..], rest): (&[u8; 13], _) = decoder.split_first_chunk()?;
    Some((object_type, find_descriptor(rest, DECODER_SPECIFIC_INFO).unwrap_or_default()))
}

/// The content of the first descriptor of a tag (ISO/IEC 14496-1, 8.3.3: its size has 7 bits a byte, four
/// at most).
fn find_descriptor(mut rest: &[u8], tag: u8) -> Option<&[u8]> {
    loop {
        let (&found, mut behind) = rest.split_first()?;
        let mut size = 0usize;
        for _ in 0..4 {
            let (&byte, after) = behind.split_first()?;
            behind = after;
            size = size << 7 | usize::from(byte & 0x7f);
            if byte & 0x80 == 0 {
                break;
            }
        }
        let (content, after) = behind.split_at_checked(size)?;
        if found == tag {
            return Some(content);
        }
        rest = after;
    }
}

fn codec(kind: Kind, four_cc: [u8; 4], offset: usize) -> ClipError {
    let name = match &four_cc {
        b"hvc1" | b"hev1" => "HEVC",
        b"av01" => "AV1",
        b"vp09" => "VP9",
        b"mp4v" => "MPEG-4 Visual",
        b"Opus" => "Opus",
        b"ac-3" | b"ec-3" => "Dolby Digital",
        b"fLaC" => "FLAC",
        b".mp3" => "MP3",
        b"encv" | b"enca" => "encrypted",
        _ => "sample entry",
    };
    ClipError::Codec { kind, codec: format!("{name} {}", four_cc.escape_ascii()), offset }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxed(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
        [&(content.len() as u32 + 8).to_be_bytes()[..], kind, content].concat()
    }

    fn descriptions(entry: &[u8]) -> Vec<u8> {
        boxed(b"stsd", &[&[0, 0, 0, 0, 0, 0, 0, 1][..], entry].concat())
    }

    fn read(file: &[u8], reader: fn(&MediaBox<'_>) -> Result<Vec<u8>, ClipError>) -> Result<Vec<u8>, String> {
        let descriptions = Boxes::new(file, 0).next().unwrap().unwrap();
        reader(&descriptions).map_err(|error| error.to_string())
    }

    /// esds of ffmpeg: sizes of four bytes.
    fn stream(object_type: u8) -> Vec<u8> {
        let specific = [5, 0x80, 0x80, 0x80, 2, 0x11, 0x90];
        let decoder = [&[4, 0x80, 0x80, 0x80, 20, object_type, 0x15][..], &[0; 11], &specific].concat();
        let es = [&[3, 0x80, 0x80, 0x80, 31, 0, 1, 0][..], &decoder, &[6, 0x80, 0x80, 0x80, 1, 2]].concat();
        boxed(b"esds", &[&[0; 4][..], &es].concat())
    }

    fn sound(version: u8, added: usize, boxes: &[u8]) -> Vec<u8> {
        let mut fields = vec![0; AUDIO_BYTES + added];
        fields[9] = version;
        descriptions(&boxed(b"mp4a", &[&fields[..], boxes].concat()))
    }

    #[test]
    fn configs_are_taken_byte_for_byte() {
        let visual = boxed(
            b"avc1",
            &[&[0; VISUAL_BYTES][..], &boxed(b"colr", b"x"), &boxed(b"avcC", b"one")].concat(),
        );
        assert_eq!(read(&descriptions(&visual), avc_config).unwrap(), b"one");
        let wave = boxed(b"wave", &[boxed(b"frma", b"mp4a"), stream(MPEG4_AUDIO)].concat());
        for file in [
            sound(0, 0, &stream(MPEG4_AUDIO)),
            sound(1, AUDIO_V1_BYTES, &wave),
            sound(2, AUDIO_V2_BYTES, &stream(MPEG4_AUDIO)),
        ] {
            assert_eq!(read(&file, audio_specific_config).unwrap(), [0x11, 0x90]);
        }
    }

    #[test]
    fn other_codecs_are_named() {
        for (entry, message) in [
            (boxed(b"hvc1", &[0; 90]), "video in HEVC hvc1 at byte 16"),
            (boxed(b"av01", &[]), "video in AV1 av01 at byte 16"),
            (boxed(b"xyz\0", &[]), "video in sample entry xyz\\x00 at byte 16"),
            (boxed(b"avc1", &[0; 77]), "box avc1 at byte 16: 77 bytes, fields take 78"),
            (boxed(b"avc1", &[0; 78]), "box avc1 at byte 16: no box avcC in it"),
            (vec![], "box stsd at byte 0: no sample entry in it"),
        ] {
            let found = read(&descriptions(&entry), avc_config).unwrap_err();
            assert!(found.starts_with(message), "{found}");
        }
        let found = read(&sound(0, 0, &stream(0x6b)), audio_specific_config).unwrap_err();
        assert!(found.starts_with("audio in MP3 at byte 52"), "{found}");
    }

    #[test]
    fn descriptors_cut_anywhere_are_refused() {
        let whole = stream(MPEG4_AUDIO);
        for length in 8..whole.len() - 6 {
            assert!(
                read_descriptors(&whole[8..length]).is_none_or(|(_, config)| config.is_empty()),
                "{length}"
            );
        }
    }
}
