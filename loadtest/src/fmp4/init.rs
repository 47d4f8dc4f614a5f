//! The init segment: what tracks there are (8216bis, 3.1.2; ISO/IEC 14496-12, 8.2 to 8.8).

use std::num::NonZeroU32;

use super::boxes::{BoxError, BoxPath, Boxes, FourCc, Mp4Box};
use super::{Findings, TRACKS_MAX};
use crate::fault::{Fault, FaultKind};

/// Bytes of the fields of a visual sample entry before its boxes (12.1.3), and where its width stands.
const VISUAL_ENTRY_BYTES: usize = 78;
const VISUAL_ENTRY_WIDTH_AT: usize = 24;
/// Where the size of a NAL unit's length stands in avcC and hvcC (ISO/IEC 14496-15, 5.3.3 and 8.3.3).
const AVCC_LENGTH_SIZE_AT: usize = 4;
const HVCC_LENGTH_SIZE_AT: usize = 21;

/// An init segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Init {
    /// Its tracks, at least one.
    pub tracks: Vec<Track>,
    /// What is wrong with it and did not keep it from being read.
    pub faults: Vec<Fault>,
}

/// One track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Track {
    /// track_ID.
    pub id: u32,
    /// What it carries.
    pub kind: TrackKind,
    /// Ticks of its timeline in a second.
    pub timescale: NonZeroU32,
    /// Type of its sample entry: `avc1`, `mp4a`.
    pub codec: FourCc,
    /// Bytes of the length before each NAL unit, for H.264 and HEVC.
    pub nal_length_size: Option<u8>,
    /// Width in pixels; 0 for what is no video.
    pub width: u16,
    /// Height in pixels; 0 for what is no video.
    pub height: u16,
    /// What holds for samples that do not say otherwise.
    pub defaults: SampleDefaults,
}

/// What a track carries, by its handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TrackKind {
    /// `vide`.
    Video,
    /// `soun`.
    Audio,
    /// Anything else.
    Other,
}

/// Defaults of `trex`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SampleDefaults {
    /// default_sample_duration.
    pub duration: u32,
    /// default_sample_size.
    pub size: u32,
    /// default_sample_flags.
    pub flags: u32,
}

impl Track {
    /// Whether its samples are H.264 access units.
    pub fn is_h264(&self) -> bool {
        matches!(&self.codec.0, b"avc1" | b"avc3")
    }

    /// Whether its samples are AAC raw_data_blocks, or other MPEG-4 audio.
    pub fn is_mp4_audio(&self) -> bool {
        self.codec.0 == *b"mp4a"
    }
}

impl Init {
    /// Reads an init segment. An error means that its tracks cannot be told; everything else that is wrong with it
    /// is in [`faults`](Self::faults).
    pub fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        let mut findings = Findings::default();
        let moov = find_moov(bytes, &mut findings)?;
        check_zero_duration(&moov.child(b"mvhd")?, &mut findings)?;
        let mut tracks = Vec::new();
        let mut extends = Vec::new();
        let mut has_extends = false;
        for child in moov.children() {
            let child = child?;
            if child.is(b"trak") {
                if has_extends {
                    wrong(&mut findings, child.at, "stands behind `mvex`; before it is allowed");
                }
                if tracks.len() == TRACKS_MAX {
                    return Err(child.field_error("count", TRACKS_MAX as u64 + 1, "up to 16 tracks").into());
                }
                tracks.push(read_track(&child, &mut findings)?);
            } else if child.is(b"mvex") {
                has_extends = true;
                extends = read_extends(&child)?;
            }
        }
        if tracks.is_empty() {
            return Err(BoxError::Missing { at: moov.at, missing: FourCc(*b"trak") }.into());
        }
        if !has_extends {
            wrong(&mut findings, moov.at, "has no `mvex`; needs one");
        }
        join_defaults(&mut tracks, &extends, moov.at, &mut findings)?;
        Ok(Self { tracks, faults: findings.faults })
    }

    /// The track of this track_ID.
    pub fn track(&self, id: u32) -> Option<&Track> {
        self.tracks.iter().find(|track| track.id == id)
    }
}

fn wrong(findings: &mut Findings, at: BoxPath, what: &str) {
    findings.add(FaultKind::BoxStructure, || format!("{at}: {what}"));
}

/// 3.1.2: `ftyp` with a brand of iso6 or later, immediately followed by `moov`, and no media.
fn find_moov<'a>(bytes: &'a [u8], findings: &mut Findings) -> Result<Mp4Box<'a>, BoxError> {
    let mut moov: Option<Mp4Box<'a>> = None;
    let mut boxes_count = 0;
    for found in Boxes::of_file(bytes) {
        let found = found?;
        match (&found.at.kind.0, boxes_count) {
            (b"ftyp", 0) => check_brands(&found, findings)?,
            (_, 0) => wrong(findings, found.at, "stands first; `ftyp` is allowed"),
            (b"ftyp", _) => wrong(findings, found.at, "stands behind others; first is allowed"),
            (b"moov", 1) => {}
            (_, 1) => wrong(findings, found.at, "stands second; `moov` is allowed"),
            (b"mdat" | b"moof", _) => wrong(findings, found.at, "holds media, which an init segment may not"),
            _ => {}
        }
        if found.is(b"moov") && moov.replace(found).is_some() {
            return Err(BoxError::Repeated { at: found.at });
        }
        boxes_count += 1;
    }
    moov.ok_or(BoxError::FileMissing { missing: FourCc(*b"moov"), found_count: boxes_count })
}

fn check_brands(ftyp: &Mp4Box<'_>, findings: &mut Findings) -> Result<(), BoxError> {
    let mut fields = ftyp.fields();
    let major = fields.four_cc()?;
    fields.skip(4)?;
    let mut is_new_enough = is_iso6_or_later(major);
    while fields.rest_bytes() >= 4 {
        is_new_enough |= is_iso6_or_later(fields.four_cc()?);
    }
    if !is_new_enough {
        wrong(findings, ftyp.at, "names no brand of iso6 or later, or of CMAF; one is needed");
    }
    Ok(())
}

/// iso6 to iso9, isoa to isoc, and those of CMAF, which build on them.
fn is_iso6_or_later(brand: FourCc) -> bool {
    matches!(&brand.0, [b'i', b's', b'o', b'6'..=b'9' | b'a'..=b'c'] | [b'c', b'm', b'f', _])
}

fn read_track(trak: &Mp4Box<'_>, findings: &mut Findings) -> Result<Track, BoxError> {
    let tkhd = trak.child(b"tkhd")?;
    let mut fields = tkhd.fields();
    let (version, _) = fields.version_and_flags()?;
    fields.skip(if version == 0 { 8 } else { 16 })?;
    let id = fields.u32()?;
    fields.skip(4)?;
    check_zero(&tkhd, fields.by_version(version)?, findings);
    if id == 0 {
        return Err(tkhd.field_error("track_ID", 0, "1 and more"));
    }
    let mdia = trak.child(b"mdia")?;
    let timescale = read_timescale(&mdia.child(b"mdhd")?, findings)?;
    let mut fields = mdia.child(b"hdlr")?.fields();
    fields.skip(8)?;
    let kind = match &fields.four_cc()?.0 {
        b"vide" => TrackKind::Video,
        b"soun" => TrackKind::Audio,
        _ => TrackKind::Other,
    };
    let stbl = mdia.child(b"minf")?.child(b"stbl")?;
    check_holds_no_samples(&stbl, findings)?;
    let track = Track {
        id,
        kind,
        timescale,
        codec: FourCc([0; 4]),
        nal_length_size: None,
        width: 0,
        height: 0,
        defaults: SampleDefaults::default(),
    };
    read_sample_entry(&stbl.child(b"stsd")?, track, findings)
}

/// 3.1.2: durations of an init segment are 0: that of the presentation is not known.
fn check_zero(at: &Mp4Box<'_>, found: u64, findings: &mut Findings) {
    if found != 0 {
        wrong(findings, at.at, &format!("duration is {found}; 0 is allowed"));
    }
}

fn check_zero_duration(mvhd: &Mp4Box<'_>, findings: &mut Findings) -> Result<(), BoxError> {
    let mut fields = mvhd.fields();
    let (version, _) = fields.version_and_flags()?;
    fields.skip(if version == 0 { 12 } else { 20 })?;
    check_zero(mvhd, fields.by_version(version)?, findings);
    Ok(())
}

fn read_timescale(mdhd: &Mp4Box<'_>, findings: &mut Findings) -> Result<NonZeroU32, BoxError> {
    let mut fields = mdhd.fields();
    let (version, _) = fields.version_and_flags()?;
    fields.skip(if version == 0 { 8 } else { 16 })?;
    let timescale = fields.u32()?;
    check_zero(mdhd, fields.by_version(version)?, findings);
    NonZeroU32::new(timescale).ok_or_else(|| mdhd.field_error("timescale", 0, "1 and more"))
}

/// 3.1.2: an init segment contains no samples.
fn check_holds_no_samples(stbl: &Mp4Box<'_>, findings: &mut Findings) -> Result<(), BoxError> {
    for (kind, count_at, is_needed) in [
        (b"stts", 4, true),
        (b"stsc", 4, true),
        (b"stsz", 8, false),
        (b"stz2", 8, false),
        (b"stco", 4, false),
        (b"co64", 4, false),
    ] {
        let Some(table) = stbl.optional_child(kind)? else {
            if is_needed {
                wrong(findings, stbl.at, &format!("has no `{}`; needs one", FourCc(*kind)));
            }
            continue;
        };
        let mut fields = table.fields();
        fields.skip(count_at)?;
        let count = fields.u32()?;
        if count != 0 {
            wrong(findings, table.at, &format!("has {count} entries; none is allowed"));
        }
    }
    Ok(())
}

fn read_sample_entry(stsd: &Mp4Box<'_>, track: Track, findings: &mut Findings) -> Result<Track, BoxError> {
    let mut fields = stsd.fields();
    fields.version_and_flags()?;
    let count = fields.u32()?;
    let mut entries = stsd.children_after(8);
    let Some(entry) = entries.next().transpose()? else {
        return Err(stsd.field_error("entry_count", u64::from(count), "1"));
    };
    if count != 1 || entries.next().is_some() {
        wrong(findings, stsd.at, &format!("entry_count is {count}; 1, and as many entries, is allowed"));
    }
    let mut track = Track { codec: entry.at.kind, ..track };
    if track.kind != TrackKind::Video {
        return Ok(track);
    }
    let mut fields = entry.fields();
    fields.skip(VISUAL_ENTRY_WIDTH_AT)?;
    track.width = fields.u16()?;
    track.height = fields.u16()?;
    let (config, length_size_at) = match &entry.at.kind.0 {
        b"avc1" | b"avc3" => (b"avcC", AVCC_LENGTH_SIZE_AT),
        b"hvc1" | b"hev1" => (b"hvcC", HVCC_LENGTH_SIZE_AT),
        _ => return Ok(track),
    };
    let missing = BoxError::Missing { at: entry.at, missing: FourCc(*config) };
    let config = entry.children_after(VISUAL_ENTRY_BYTES).only(config)?.ok_or(missing)?;
    let mut fields = config.fields();
    fields.skip(length_size_at)?;
    let length_size = (fields.u8()? & 3) + 1;
    // ISO/IEC 14496-15, 5.3.3.1.2: lengthSizeMinusOne is 0, 1 or 3.
    if length_size == 3 {
        return Err(config.field_error("lengthSizeMinusOne", 2, "0, 1 or 3"));
    }
    track.nal_length_size = Some(length_size);
    Ok(track)
}

/// The `trex` boxes: where, for which track, and what.
fn read_extends(mvex: &Mp4Box<'_>) -> Result<Vec<(BoxPath, u32, SampleDefaults)>, BoxError> {
    let mut extends = Vec::new();
    for child in mvex.children() {
        let child = child?;
        if !child.is(b"trex") {
            continue;
        }
        if extends.len() == TRACKS_MAX {
            return Err(child.field_error("count", TRACKS_MAX as u64 + 1, "one for each track"));
        }
        let mut fields = child.fields();
        fields.version_and_flags()?;
        let id = fields.u32()?;
        fields.skip(4)?;
        let defaults = SampleDefaults { duration: fields.u32()?, size: fields.u32()?, flags: fields.u32()? };
        extends.push((child.at, id, defaults));
    }
    Ok(extends)
}

/// 8.8.3: each track has one `trex`, and each `trex` its track.
fn join_defaults(
    tracks: &mut [Track],
    extends: &[(BoxPath, u32, SampleDefaults)],
    moov: BoxPath,
    findings: &mut Findings,
) -> Result<(), BoxError> {
    for position in 0..tracks.len() {
        let (before, rest) = tracks.split_at_mut(position);
        let Some(track) = rest.first_mut() else { break };
        if before.iter().any(|other| other.id == track.id) {
            let allowed = "one track of each number";
            return Err(BoxError::Field { at: moov, field: "track_ID", found: u64::from(track.id), allowed });
        }
        let mut of_track = extends.iter().filter(|(_, id, _)| *id == track.id);
        match of_track.next() {
            Some((_, _, defaults)) => track.defaults = *defaults,
            None => wrong(findings, moov, &format!("has no `trex` for track {}; needs one", track.id)),
        }
        if let Some((at, _, _)) = of_track.next() {
            wrong(findings, *at, &format!("is a second one for track {}; one is allowed", track.id));
        }
    }
    for (at, id, _) in extends {
        if tracks.iter().all(|track| track.id != *id) {
            wrong(findings, *at, &format!("is for track {id}; only tracks of this file are allowed"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::build::{self, InitParts, replace};
    use super::*;

    #[test]
    fn reads_the_tracks_of_a_healthy_init() {
        let init = Init::parse(&build::init(&[build::video_track(), build::audio_track()])).unwrap();
        assert_eq!(init.faults, []);
        let expected = [
            Track {
                id: 1,
                kind: TrackKind::Video,
                timescale: NonZeroU32::new(90_000).unwrap(),
                codec: FourCc(*b"avc1"),
                nal_length_size: Some(4),
                width: 1280,
                height: 720,
                defaults: SampleDefaults { duration: 3000, size: 0, flags: 0x0101_0000 },
            },
            Track {
                id: 2,
                kind: TrackKind::Audio,
                timescale: NonZeroU32::new(48_000).unwrap(),
                codec: FourCc(*b"mp4a"),
                nal_length_size: None,
                width: 0,
                height: 0,
                defaults: SampleDefaults { duration: 1024, size: 0, flags: 0x0200_0000 },
            },
        ];
        assert_eq!(init.tracks, expected);
        assert_eq!(init.track(2), init.tracks.get(1));
        assert_eq!(init.track(3), None);
    }

    /// Whether reading goes on with faults, and how many; `None` for an error.
    fn faults_count(bytes: &[u8]) -> Option<usize> {
        let init = Init::parse(bytes).ok()?;
        assert!(init.faults.iter().all(|fault| fault.kind == FaultKind::BoxStructure));
        Some(init.faults.len())
    }

    #[test]
    fn each_breach_is_a_fault_and_the_tracks_are_read() {
        let parts = InitParts::new(&[build::video_track()]);
        let whole = parts.join();
        let InitParts { ftyp, mvhd, traks, mvex } = parts;
        let moov = |children: &[&[u8]]| build::boxed(b"moov", &children.concat());
        let trak = traks.concat();
        let mdat = build::boxed(b"mdat", b"x");
        let old_ftyp = build::boxed(b"ftyp", b"mp42\0\0\0\x01mp41mp42isomhlsf");
        let nonzero = |kind: &[u8; 4], at: usize| build::patch(&whole, kind, at, &[0, 0, 0, 9]);
        let two_trex = build::boxed(b"mvex", &[build::trex(1, 0, 0), build::trex(1, 0, 0)].concat());
        let other_trex = build::boxed(b"mvex", &[build::trex(1, 0, 0), build::trex(7, 0, 0)].concat());
        for (name, bytes, expected) in [
            ("healthy", whole.clone(), 0),
            ("no ftyp", moov(&[&mvhd, &trak, &mvex]), 1),
            ("old brand", [old_ftyp, moov(&[&mvhd, &trak, &mvex])].concat(), 1),
            (
                "box between",
                [&ftyp[..], &build::boxed(b"free", b""), &moov(&[&mvhd, &trak, &mvex])].concat(),
                1,
            ),
            ("moov first", [moov(&[&mvhd, &trak, &mvex]), ftyp.clone()].concat(), 2),
            ("media", [whole.clone(), mdat].concat(), 1),
            ("mvex first", [ftyp.clone(), moov(&[&mvhd, &mvex, &trak])].concat(), 1),
            ("no mvex", [ftyp.clone(), moov(&[&mvhd, &trak])].concat(), 2),
            ("no trex", [ftyp.clone(), moov(&[&mvhd, &trak, &build::boxed(b"mvex", b"")])].concat(), 1),
            ("two trex", [ftyp.clone(), moov(&[&mvhd, &trak, &two_trex])].concat(), 1),
            ("trex for no track", [ftyp.clone(), moov(&[&mvhd, &trak, &other_trex])].concat(), 1),
            ("mvhd duration", nonzero(b"mvhd", 16), 1),
            ("tkhd duration", nonzero(b"tkhd", 20), 1),
            ("mdhd duration", nonzero(b"mdhd", 16), 1),
            ("stts entries", nonzero(b"stts", 4), 1),
            ("stsz entries", nonzero(b"stsz", 8), 1),
            ("stco entries", nonzero(b"stco", 4), 1),
            ("no stts", replace(&whole, b"stts", b"free"), 1),
            ("two sample entries", build::patch(&whole, b"stsd", 4, &[0, 0, 0, 2]), 1),
        ] {
            assert_eq!(faults_count(&bytes), Some(expected), "{name}");
        }
    }

    #[test]
    fn what_tells_no_tracks_is_an_error() {
        let whole = build::init(&[build::video_track()]);
        let twice = build::init(&[build::video_track(), build::video_track()]);
        let many: Vec<_> = (1..=17).map(|id| build::TrackParts { id, ..build::video_track() }).collect();
        for (name, bytes) in [
            ("empty", vec![]),
            ("no moov", build::boxed(b"ftyp", b"iso6\0\0\0\0")),
            ("two moov", [whole.clone(), whole.clone()].concat()),
            ("no tracks", build::init(&[])),
            ("too many tracks", build::init(&many)),
            ("one number twice", twice),
            ("track 0", build::patch(&whole, b"tkhd", 12, &[0; 4])),
            ("timescale 0", build::patch(&whole, b"mdhd", 12, &[0; 4])),
            ("length size 3", build::patch(&whole, b"avcC", 4, &[0xfe])),
            ("no mvhd", replace(&whole, b"mvhd", b"free")),
            ("no tkhd", replace(&whole, b"tkhd", b"free")),
            ("no mdia", replace(&whole, b"mdia", b"free")),
            ("no hdlr", replace(&whole, b"hdlr", b"free")),
            ("no stsd", replace(&whole, b"stsd", b"free")),
            ("no avcC", replace(&whole, b"avcC", b"free")),
        ] {
            assert_eq!(faults_count(&bytes), None, "{name}");
        }
    }

    #[test]
    fn every_truncation_is_an_error() {
        let whole = build::init(&[build::video_track(), build::audio_track()]);
        for end in 0..whole.len() {
            assert_eq!(faults_count(whole.get(..end).unwrap()), None, "{end}");
        }
    }
}
