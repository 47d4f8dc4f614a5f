//! Sample entries and samples of every codec, read apart from the server's own code.

use super::{Found, InitTrack, Run, be, check_avc1, check_mp4a, child};
use std::fmt::Write;

/// What a sample entry says of its track.
pub fn check_entry(
    kind: [u8; 4],
    handler: [u8; 4],
    track_id: u32,
    timescale: u32,
    tkhd: &[u8],
    entry: &[u8],
) -> Found<InitTrack> {
    match (&kind, &handler) {
        (b"avc1", b"vide") => check_avc1(track_id, timescale, tkhd, entry),
        (b"mp4a", b"soun") => check_mp4a(track_id, timescale, entry),
        (b"hvc1" | b"av01" | b"vp09", b"vide") => {
            let size = (be(entry, 24, 2)? as u16, be(entry, 26, 2)? as u16);
            ensure!(size.0 > 0 && size.1 > 0, "a picture of {size:?}");
            ensure!(be(tkhd, 80, 4)? >> 16 == u64::from(size.1), "tkhd and sample entry differ in height");
            let boxes = entry.get(78..).ok_or("the sample entry is cut")?;
            let (config, codec) = match &kind {
                b"hvc1" => hevc(child(boxes, b"hvcC")?)?,
                b"av01" => av1(child(boxes, b"av1C")?)?,
                _ => vp9(child(boxes, b"vpcC")?)?,
            };
            Ok(InitTrack { track_id, timescale, kind, video: true, size, config, codec })
        }
        (b"Opus" | b"ac-3" | b"ec-3" | b"fLaC", b"soun") => {
            let boxes = entry.get(28..).ok_or("the sample entry is cut")?;
            let config = match &kind {
                b"Opus" => child(boxes, b"dOps")?,
                b"ac-3" => child(boxes, b"dac3")?,
                b"ec-3" => child(boxes, b"dec3")?,
                _ => child(boxes, b"dfLa")?,
            };
            ensure!(config.len() >= 3, "a configuration of {} bytes", config.len());
            let channels = be(entry, 16, 2)?;
            ensure!((1..=8).contains(&channels), "{channels} channels");
            if &kind == b"Opus" {
                ensure!(config[0] == 0 && u64::from(config[1]) == channels, "dOps {config:02x?}");
                ensure!(timescale == 48_000, "Opus at {timescale}");
            }
            if &kind == b"fLaC" {
                ensure!(config.len() == 42 && config[4] == 0x80, "dfLa {config:02x?}");
                let rate = be(config, 18, 3)? >> 4;
                ensure!(rate == u64::from(timescale), "STREAMINFO says {rate} Hz, the track {timescale}");
            }
            let codec = kind.escape_ascii().to_string();
            Ok(InitTrack {
                track_id,
                timescale,
                kind,
                video: false,
                size: (0, 0),
                config: config.to_vec(),
                codec,
            })
        }
        _ => Err(format!("{} under {}", kind.escape_ascii(), handler.escape_ascii())),
    }
}

/// hvcC (ISO/IEC 14496-15, section 8.3.3.1) with the string of its annex E.
fn hevc(config: &[u8]) -> Found<(Vec<u8>, String)> {
    ensure!(config.len() > 22 && config[0] == 1, "hvcC version");
    ensure!(config[21] & 3 == 3, "NAL lengths of {} bytes", (config[21] & 3) + 1);
    let mut at = 23;
    let mut types = Vec::new();
    for _ in 0..config[22] {
        types.push(be(config, at, 1)? & 0x3f);
        let count = be(config, at + 1, 2)?;
        at += 3;
        for _ in 0..count {
            at += 2 + be(config, at, 2)? as usize;
        }
    }
    ensure!(at == config.len(), "hvcC arrays end at {at} of {}", config.len());
    ensure!([32, 33, 34].iter().all(|set| types.contains(set)), "hvcC holds arrays {types:?}");
    let space = ["", "A", "B", "C"][usize::from(config[1] >> 6)];
    let compatibility = (be(config, 2, 4)? as u32).reverse_bits();
    let tier = if config[1] & 0x20 == 0 { 'L' } else { 'H' };
    let mut codec = format!("hvc1.{space}{}.{compatibility:X}.{tier}{}", config[1] & 0x1f, config[12]);
    let constraints = &config[6..12];
    let used = constraints.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    for byte in &constraints[..used] {
        write!(codec, ".{byte:X}").expect("a string");
    }
    Ok((config.to_vec(), codec))
}

/// av1C (AV1 in ISOBMFF, section 2.3).
fn av1(config: &[u8]) -> Found<(Vec<u8>, String)> {
    ensure!(config.len() > 4 && config[0] == 0x81, "av1C version");
    let types: Vec<u8> = obus(&config[4..])?.iter().map(|obu| obu.0).collect();
    ensure!(types.first() == Some(&1), "av1C holds OBUs {types:?}");
    let tier = if config[2] & 0x80 == 0 { 'M' } else { 'H' };
    let depth = match config[2] >> 5 & 3 {
        0 => 8,
        2 => 10,
        _ => 12,
    };
    Ok((config.to_vec(), format!("av01.{}.{:02}{tier}.{depth:02}", config[1] >> 5, config[1] & 0x1f)))
}

/// vpcC (VP Codec ISO Media File Format Binding, "VP Codec Configuration Box").
fn vp9(config: &[u8]) -> Found<(Vec<u8>, String)> {
    ensure!(config.len() == 12 && config[0] == 1, "vpcC version");
    Ok((config.to_vec(), format!("vp09.{:02}.{:02}.{:02}", config[4], config[5], config[6] >> 4)))
}

/// Type and payload of each OBU (AV1, section 5.3).
fn obus(mut bytes: &[u8]) -> Found<Vec<(u8, &[u8])>> {
    let mut found = Vec::new();
    while let Some(&header) = bytes.first() {
        ensure!(header & 0x81 == 0, "OBU header {header:#x}");
        let mut at = if header & 4 == 0 { 1 } else { 2 };
        let mut size = bytes.len().checked_sub(at).ok_or("an OBU header is cut")?;
        if header & 2 != 0 {
            size = 0;
            for shift in (0..56).step_by(7) {
                let byte = *bytes.get(at).ok_or("an OBU size is cut")?;
                at += 1;
                size |= usize::from(byte & 0x7f) << shift;
                if byte & 0x80 == 0 {
                    break;
                }
            }
        }
        let payload = bytes.get(at..at + size).ok_or_else(|| format!("an OBU of {size} bytes is cut"))?;
        found.push((header >> 3 & 0xf, payload));
        bytes = &bytes[at + size..];
    }
    Ok(found)
}

/// What a sample is, by its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Decoding begins here, and nothing is missing.
    Clean,
    /// Decoding begins here; whether pictures are missing, its successor tells.
    Open,
    Other,
}

/// What a sample of this track is.
pub fn role(track: &InitTrack, sample: &[u8]) -> Found<Role> {
    ensure!(!sample.is_empty(), "no bytes");
    let clean = |is: bool| if is { Role::Clean } else { Role::Other };
    match &track.kind {
        b"avc1" => Ok(clean(nal_units(sample)?.iter().any(|unit| unit[0] & 0x1f == 5))),
        b"hvc1" => {
            let types: Vec<u8> = nal_units(sample)?.iter().map(|unit| unit[0] >> 1 & 0x3f).collect();
            let has = |wanted: &[u8]| types.iter().any(|nal_type| wanted.contains(nal_type));
            Ok(match () {
                () if has(&[17, 18, 19, 20]) => Role::Clean,
                () if has(&[16, 21]) => Role::Open,
                () => Role::Other,
            })
        }
        b"av01" => {
            let obus = obus(sample)?;
            ensure!(obus.iter().all(|obu| obu.0 != 2), "a temporal delimiter in a sample");
            let first = obus.iter().find(|obu| matches!(obu.0, 3 | 6)).ok_or("no frame in a sample")?;
            // show_existing_frame 0, frame_type 0 (KEY_FRAME), show_frame 1.
            let key = first.1.first().is_some_and(|byte| byte >> 4 == 1);
            ensure!(!key || obus.iter().any(|obu| obu.0 == 1), "a key frame without a sequence header");
            Ok(clean(key))
        }
        b"vp09" => {
            ensure!(sample[0] >> 6 == 2, "frame marker {:#x}", sample[0]);
            let shift = if sample[0] >> 4 & 3 == 3 { 1 } else { 0 };
            // show_existing_frame 0, frame_type 0.
            Ok(clean(sample[0] << shift & 0x0c == 0))
        }
        b"ac-3" | b"ec-3" => {
            ensure!(
                sample.starts_with(&[0x0b, 0x77]),
                "no syncword: {:02x?}",
                &sample[..2.min(sample.len())]
            );
            Ok(Role::Clean)
        }
        b"fLaC" => {
            ensure!(
                sample[0] == 0xff && sample.get(1).is_some_and(|byte| byte & 0xfe == 0xf8),
                "no FLAC frame"
            );
            Ok(Role::Clean)
        }
        _ => Ok(Role::Clean),
    }
}

/// Behind their lengths of 4 bytes, which fill the sample.
fn nal_units(mut sample: &[u8]) -> Found<Vec<&[u8]>> {
    let mut units = Vec::new();
    while !sample.is_empty() {
        let length = be(sample, 0, 4)? as usize;
        let unit = sample.get(4..4 + length).filter(|unit| !unit.is_empty());
        units.push(unit.ok_or_else(|| format!("a NAL unit of {length} bytes"))?);
        sample = &sample[4 + length..];
    }
    Ok(units)
}

/// True when a viewer can join cleanly within these samples of a part.
pub fn has_clean_join(track: &InitTrack, run: &Run, part: &[u8]) -> Found<bool> {
    let mut decode = 0;
    let mut open: Option<i64> = None;
    for sample in &run.samples {
        let presentation = decode + i64::from(sample.composition_offset);
        decode += i64::from(sample.duration);
        match role(track, &part[sample.offset..sample.offset + sample.size])? {
            Role::Clean => return Ok(true),
            Role::Open => open = Some(presentation),
            Role::Other if open.take().is_some_and(|open| presentation > open) => return Ok(true),
            Role::Other => {}
        }
    }
    Ok(false)
}
