//! A strict reader of what the server writes as fragmented MP4, apart from the server's own code:
//! pure functions over bytes that answer with what they found or with the first thing that is wrong.
#![allow(dead_code)]

use std::fmt::Write;

/// What is wrong, in words.
pub type Found<T> = Result<T, String>;

macro_rules! ensure {
    ($condition:expr, $($message:tt)*) => {
        let holds: bool = $condition;
        if !holds {
            return Err(format!($($message)*));
        }
    };
}

#[path = "mp4_codecs.rs"]
mod codecs;

use codecs::{Role, check_entry, has_clean_join, role};

/// A box: its kind, and what is behind its header.
#[derive(Debug, Clone, Copy)]
pub struct Atom<'a> {
    pub kind: [u8; 4],
    /// Where the box begins in its parent's content.
    pub start: usize,
    pub content: &'a [u8],
}

/// Splits bytes into boxes without a rest; sizes of 0 (to the end) and 1 (64 bits) are refused.
pub fn atoms(mut bytes: &[u8]) -> Found<Vec<Atom<'_>>> {
    let mut found = vec![];
    let mut start = 0;
    while !bytes.is_empty() {
        ensure!(bytes.len() >= 8, "{} bytes are no box", bytes.len());
        let size = be(bytes, 0, 4)? as usize;
        ensure!(size >= 8, "a box with size {size}");
        ensure!(size <= bytes.len(), "a box of {size} bytes in {} bytes", bytes.len());
        let kind = bytes[4..8].try_into().expect("four bytes");
        found.push(Atom { kind, start, content: &bytes[8..size] });
        start += size;
        bytes = &bytes[size..];
    }
    Ok(found)
}

fn be(bytes: &[u8], at: usize, count: usize) -> Found<u64> {
    let field = bytes.get(at..at + count).ok_or_else(|| format!("{count} bytes at {at} are not there"))?;
    Ok(field.iter().fold(0, |value, &byte| value << 8 | u64::from(byte)))
}

fn child<'a>(parent: &'a [u8], kind: &[u8; 4]) -> Found<&'a [u8]> {
    let mut children = atoms(parent)?.into_iter().filter(|atom| &atom.kind == kind);
    let first = children.next().ok_or_else(|| format!("no {}", kind.escape_ascii()))?;
    ensure!(children.next().is_none(), "more than one {}", kind.escape_ascii());
    Ok(first.content)
}

fn children<'a>(parent: &'a [u8], kind: &[u8; 4]) -> Found<Vec<&'a [u8]>> {
    Ok(atoms(parent)?.iter().filter(|atom| &atom.kind == kind).map(|atom| atom.content).collect())
}

fn path<'a>(mut bytes: &'a [u8], kinds: &[&[u8; 4]]) -> Found<&'a [u8]> {
    for kind in kinds {
        bytes = child(bytes, kind)?;
    }
    Ok(bytes)
}

/// The box tree in lines, with sizes and the start of each leaf: for golden files.
pub fn tree(bytes: &[u8]) -> Found<String> {
    let mut out = String::new();
    write_tree(&mut out, bytes, 0)?;
    Ok(out)
}

fn write_tree(out: &mut String, bytes: &[u8], depth: usize) -> Found<()> {
    for atom in atoms(bytes)? {
        let (kind, size) = (atom.kind.escape_ascii(), atom.content.len() + 8);
        write!(out, "{:depth$}{kind} {size}", "", depth = 2 * depth).expect("a string");
        // Where a container's children begin.
        let inner = match &atom.kind {
            b"moov" | b"trak" | b"mdia" | b"minf" | b"dinf" | b"stbl" | b"mvex" | b"moof" | b"traf" => {
                Some(0)
            }
            b"stsd" | b"dref" => Some(8),
            b"avc1" | b"hvc1" | b"av01" | b"vp09" => Some(78),
            b"mp4a" | b"Opus" | b"ac-3" | b"ec-3" | b"fLaC" => Some(28),
            _ => None,
        };
        let fields = &atom.content[..inner.unwrap_or(atom.content.len().min(96))];
        if !fields.is_empty() && &atom.kind != b"mdat" {
            write!(out, " {}", fields.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
                .expect("a string");
        }
        out.push('\n');
        if let Some(inner) = inner {
            write_tree(out, &atom.content[inner..], depth + 1)?;
        }
    }
    Ok(())
}

/// An init segment that passed.
#[derive(Debug, Clone, PartialEq)]
pub struct Init {
    pub tracks: Vec<InitTrack>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct InitTrack {
    pub track_id: u32,
    pub timescale: u32,
    /// Of the sample entry: `avc1`, `Opus`.
    pub kind: [u8; 4],
    pub video: bool,
    /// Coded size of the sample entry.
    pub size: (u16, u16),
    /// The configuration box's content, or the AudioSpecificConfig.
    pub config: Vec<u8>,
    /// RFC 6381, from the bytes.
    pub codec: String,
}

/// llhls.md's assertion 63: ftyp with iso6 or later, moov, durations 0, no samples, mvex and trex.
pub fn check_init(bytes: &[u8]) -> Found<Init> {
    let top: Vec<[u8; 4]> = atoms(bytes)?.iter().map(|atom| atom.kind).collect();
    ensure!(top == [*b"ftyp", *b"moov"], "an init segment of {:?}", top.map_to_text());
    let ftyp = child(bytes, b"ftyp")?;
    ensure!(ftyp.len() % 4 == 0 && ftyp.len() >= 12, "ftyp without compatible brands");
    let brands: Vec<&[u8]> =
        ftyp.chunks(4).enumerate().filter(|(i, _)| *i != 1).map(|(_, brand)| brand).collect();
    ensure!(
        brands.iter().any(|brand| *brand >= b"iso6".as_slice() && brand.starts_with(b"iso")),
        "no brand iso6 or later"
    );
    let moov = child(bytes, b"moov")?;
    ensure!(be(child(moov, b"mvhd")?, 16, 4)? == 0, "mvhd duration is not 0");
    let kinds: Vec<[u8; 4]> = atoms(moov)?.iter().map(|atom| atom.kind).collect();
    ensure!(kinds.last() == Some(b"mvex"), "mvex is not last");
    let trexes = children(child(moov, b"mvex")?, b"trex")?;
    let traks = children(moov, b"trak")?;
    ensure!(!traks.is_empty() && traks.len() == trexes.len(), "{} trak, {} trex", traks.len(), trexes.len());
    let mut tracks: Vec<InitTrack> = vec![];
    for trak in traks {
        let track = check_trak(trak)?;
        let extended = trexes.iter().filter(|trex| be(trex, 4, 4) == Ok(track.track_id.into())).count();
        ensure!(extended == 1, "track {} has {extended} trex", track.track_id);
        ensure!(
            tracks.iter().all(|other| other.track_id != track.track_id),
            "track {} twice",
            track.track_id
        );
        tracks.push(track);
    }
    let next = be(child(moov, b"mvhd")?, 96, 4)?;
    ensure!(tracks.iter().all(|track| u64::from(track.track_id) < next), "next_track_ID {next} is taken");
    Ok(Init { tracks })
}

trait ToText {
    fn map_to_text(&self) -> Vec<String>;
}

impl ToText for Vec<[u8; 4]> {
    fn map_to_text(&self) -> Vec<String> {
        self.iter().map(|kind| kind.escape_ascii().to_string()).collect()
    }
}

fn check_trak(trak: &[u8]) -> Found<InitTrack> {
    let tkhd = child(trak, b"tkhd")?;
    let track_id = be(tkhd, 12, 4)? as u32;
    ensure!(track_id > 0, "track id 0");
    ensure!(be(tkhd, 20, 4)? == 0, "tkhd duration is not 0");
    let mdia = child(trak, b"mdia")?;
    let mdhd = child(mdia, b"mdhd")?;
    let timescale = be(mdhd, 12, 4)? as u32;
    ensure!(timescale > 0, "timescale 0");
    ensure!(be(mdhd, 16, 4)? == 0, "mdhd duration is not 0");
    let handler = be(child(mdia, b"hdlr")?, 8, 4)? as u32;
    let stbl = path(mdia, &[b"minf", b"stbl"])?;
    for (table, at) in [(b"stts", 4), (b"stsc", 4), (b"stsz", 8), (b"stco", 4)] {
        ensure!(be(child(stbl, table)?, at, 4)? == 0, "{} is not empty", table.escape_ascii());
    }
    let stsd = child(stbl, b"stsd")?;
    ensure!(be(stsd, 4, 4)? == 1, "stsd has not one entry");
    let entries = atoms(&stsd[8..])?;
    ensure!(entries.len() == 1, "stsd holds {} boxes", entries.len());
    let entry = entries[0];
    check_entry(entry.kind, handler.to_be_bytes(), track_id, timescale, tkhd, entry.content)
}

fn check_avc1(track_id: u32, timescale: u32, tkhd: &[u8], entry: &[u8]) -> Found<InitTrack> {
    let size = (be(entry, 24, 2)? as u16, be(entry, 26, 2)? as u16);
    ensure!(be(tkhd, 80, 4)? >> 16 == u64::from(size.1), "tkhd and avc1 differ in height");
    let config = child(entry.get(78..).ok_or("avc1 is cut")?, b"avcC")?.to_vec();
    ensure!(config.len() > 8 && config[0] == 1, "avcC version");
    ensure!(config[4] & 3 == 3, "NAL lengths of {} bytes", (config[4] & 3) + 1);
    // The first SPS: 16-bit length, header byte, then profile, compatibility, level.
    let sps = config.get(8..8 + be(&config, 6, 2)? as usize).ok_or("avcC is cut")?;
    ensure!(sps.len() > 4 && sps[0] & 0x1f == 7, "avcC holds no SPS");
    ensure!(config[1..4] == sps[1..4], "avcC says {:02x?}, its SPS {:02x?}", &config[1..4], &sps[1..4]);
    let found = sps_size(sps)?;
    ensure!(found == (u32::from(size.0), u32::from(size.1)), "avc1 says {size:?}, its SPS {found:?}");
    let codec = format!("avc1.{:02X}{:02X}{:02X}", config[1], config[2], config[3]);
    Ok(InitTrack { track_id, timescale, kind: *b"avc1", video: true, size, config, codec })
}

/// Picture size by an independent parser.
fn sps_size(sps: &[u8]) -> Found<(u32, u32)> {
    use h264_reader::nal::{Nal, RefNal, sps::SeqParameterSet};
    let unit = RefNal::new(sps, &[], true);
    let sps = SeqParameterSet::from_bits(unit.rbsp_bits()).map_err(|error| format!("SPS: {error:?}"))?;
    sps.pixel_dimensions().map_err(|error| format!("SPS: {error:?}"))
}

fn check_mp4a(track_id: u32, timescale: u32, entry: &[u8]) -> Found<InitTrack> {
    let esds = child(entry.get(28..).ok_or("mp4a is cut")?, b"esds")?;
    let es = descriptor(esds.get(4..).ok_or("esds is cut")?, 3)?;
    let decoder = descriptor(es.get(3..).ok_or("ES descriptor is cut")?, 4)?;
    ensure!(decoder.first() == Some(&0x40), "not AAC");
    let config = descriptor(decoder.get(13..).ok_or("decoder descriptor is cut")?, 5)?.to_vec();
    ensure!(config.len() >= 2, "AudioSpecificConfig of {} bytes", config.len());
    let codec = format!("mp4a.40.{}", config[0] >> 3);
    Ok(InitTrack { track_id, timescale, kind: *b"mp4a", video: false, size: (0, 0), config, codec })
}

fn descriptor(bytes: &[u8], tag: u8) -> Found<&[u8]> {
    ensure!(bytes.first() == Some(&tag), "descriptor {tag} is missing");
    let (mut size, mut at) = (0usize, 1);
    loop {
        let byte = *bytes.get(at).ok_or("descriptor is cut")?;
        (size, at) = (size << 7 | usize::from(byte & 0x7f), at + 1);
        if byte & 0x80 == 0 {
            return bytes.get(at..at + size).ok_or_else(|| "descriptor is cut".to_owned());
        }
        ensure!(at <= 4, "descriptor size of more than 4 bytes");
    }
}

/// A part that passed.
#[derive(Debug, Clone, PartialEq)]
pub struct Fragment {
    pub sequence: u32,
    pub runs: Vec<Run>,
}

/// One track's samples of a part.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    pub track_id: u32,
    pub base_decode_time: u64,
    pub samples: Vec<Sample>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// From the part's first byte.
    pub offset: usize,
    pub size: usize,
    pub duration: u32,
    pub composition_offset: i32,
    pub sync: bool,
}

impl Run {
    pub fn duration(&self) -> u64 {
        self.samples.iter().map(|sample| u64::from(sample.duration)).sum()
    }
}

/// One moof and one mdat, addressed from the moof, each byte of the mdat in exactly one sample.
pub fn check_part(bytes: &[u8]) -> Found<Fragment> {
    let top: Vec<[u8; 4]> = atoms(bytes)?.iter().map(|atom| atom.kind).collect();
    ensure!(top == [*b"moof", *b"mdat"], "a part of {:?}", top.map_to_text());
    let moof = child(bytes, b"moof")?;
    let media_start = moof.len() + 16;
    ensure!(atoms(moof)?[0].kind == *b"mfhd", "moof does not begin with mfhd");
    let sequence = be(child(moof, b"mfhd")?, 4, 4)? as u32;
    let mut runs: Vec<Run> = vec![];
    let mut next = media_start;
    for traf in children(moof, b"traf")? {
        let run = check_traf(traf)?;
        for sample in &run.samples {
            ensure!(sample.offset == next, "a sample at {}, expected at {next}", sample.offset);
            next += sample.size;
        }
        ensure!(runs.iter().all(|other| other.track_id != run.track_id), "track {} twice", run.track_id);
        runs.push(run);
    }
    ensure!(!runs.is_empty(), "no traf");
    ensure!(next == bytes.len(), "samples end at {next}, the part at {}", bytes.len());
    Ok(Fragment { sequence, runs })
}

fn check_traf(traf: &[u8]) -> Found<Run> {
    let kinds: Vec<[u8; 4]> = atoms(traf)?.iter().map(|atom| atom.kind).collect();
    ensure!(kinds == [*b"tfhd", *b"tfdt", *b"trun"], "a traf of {:?}", kinds.map_to_text());
    let tfhd = child(traf, b"tfhd")?;
    let flags = be(tfhd, 1, 3)?;
    ensure!(flags & 0x1 == 0, "base-data-offset is set");
    ensure!(flags & 0x02_0000 != 0, "default-base-is-moof is not set");
    ensure!(flags & !0x02_0038 == 0, "tfhd flags {flags:#x}");
    let track_id = be(tfhd, 4, 4)? as u32;
    let mut at = 8;
    let mut default = |flag: u64| -> Found<Option<u64>> {
        if flags & flag == 0 {
            return Ok(None);
        }
        at += 4;
        be(tfhd, at - 4, 4).map(Some)
    };
    let (default_duration, default_size, default_flags) = (default(0x8)?, default(0x10)?, default(0x20)?);
    ensure!(at == tfhd.len(), "tfhd has {} bytes too many", tfhd.len() - at);

    let tfdt = child(traf, b"tfdt")?;
    ensure!(tfdt.len() == 12 && tfdt[0] == 1, "tfdt is not version 1");
    let base_decode_time = be(tfdt, 4, 8)?;
    ensure!(base_decode_time < 1 << 62, "decode time {base_decode_time} has wrapped");

    let trun = child(traf, b"trun")?;
    ensure!(trun.first() == Some(&1), "trun is not version 1");
    let flags = be(trun, 1, 3)?;
    ensure!(flags & !0xf05 == 0 && flags & 1 != 0, "trun flags {flags:#x}");
    let count = be(trun, 4, 4)?;
    ensure!(count > 0, "no samples");
    let mut offset = be(trun, 8, 4)? as usize;
    let mut at = 12;
    let mut field = |flag: u64| -> Found<Option<u64>> {
        if flags & flag == 0 {
            return Ok(None);
        }
        at += 4;
        be(trun, at - 4, 4).map(Some)
    };
    let first_flags = field(0x4)?;
    let mut samples = vec![];
    for index in 0..count {
        let duration = field(0x100)?.or(default_duration).ok_or("a sample without a duration")? as u32;
        let size = field(0x200)?.or(default_size).ok_or("a sample without a size")? as usize;
        let own_flags = field(0x400)?;
        let composition_offset = field(0x800)?.unwrap_or(0) as u32 as i32;
        let first = first_flags.filter(|_| index == 0);
        let sync = match own_flags.or(first).or(default_flags) {
            Some(0x0200_0000) => true,
            Some(0x0101_0000) => false,
            other => return Err(format!("sample flags {other:x?}")),
        };
        ensure!(duration > 0, "sample {index} has no duration");
        ensure!(size > 0, "sample {index} has no bytes");
        samples.push(Sample { offset, size, duration, composition_offset, sync });
        offset += size;
    }
    ensure!(at == trun.len(), "trun has {} bytes too many", trun.len() - at);
    Ok(Run { track_id, base_decode_time, samples })
}

/// Samples of a part against what the init segment says of their tracks: bytes that are what the codec says, and
/// sync flags where, and only where, decoding can begin.
pub fn check_samples(init: &Init, part: &[u8]) -> Found<()> {
    for run in check_part(part)?.runs {
        let track = init.tracks.iter().find(|track| track.track_id == run.track_id);
        let track = track.ok_or_else(|| format!("track {} is not in the init segment", run.track_id))?;
        for (index, sample) in run.samples.iter().enumerate() {
            let bytes = &part[sample.offset..sample.offset + sample.size];
            let role = role(track, bytes).map_err(|fault| format!("sample {index}: {fault}"))?;
            // ISO/IEC 14496-15, section 8.3: of HEVC a CRA picture as well.
            let sync = role != Role::Other;
            ensure!(sync == sample.sync, "sample {index}: {role:?}, sync {}", sample.sync);
        }
    }
    Ok(())
}

/// Parts in the order of their playlist, without a discontinuity between them: mfhd rises, each
/// track's decode times are contiguous, every part fits the init segment.
pub fn check_parts<'a>(init: &Init, parts: impl IntoIterator<Item = &'a [u8]>) -> Found<Vec<Fragment>> {
    let mut found: Vec<Fragment> = vec![];
    let mut expected: Vec<(u32, u64)> = vec![];
    for (index, bytes) in parts.into_iter().enumerate() {
        let at = |error: String| format!("part {index}: {error}");
        let part = check_part(bytes).map_err(at)?;
        check_samples(init, bytes).map_err(at)?;
        if let Some(last) = found.last() {
            ensure!(
                part.sequence > last.sequence,
                "part {index}: mfhd {} after {}",
                part.sequence,
                last.sequence
            );
        }
        for run in &part.runs {
            let end = run.base_decode_time + run.duration();
            match expected.iter_mut().find(|(track_id, _)| *track_id == run.track_id) {
                None => expected.push((run.track_id, end)),
                Some((track_id, next)) => {
                    ensure!(
                        run.base_decode_time == *next,
                        "part {index}: track {track_id} at {}, expected {next}",
                        run.base_decode_time
                    );
                    *next = end;
                }
            }
        }
        found.push(part);
    }
    Ok(found)
}

/// A segment is the concatenation of its parts and begins with a sync sample of its first track.
pub fn check_segment(segment: &[u8], parts: &[&[u8]]) -> Found<()> {
    ensure!(segment == parts.concat(), "the segment is not the concatenation of its parts");
    let first = check_part(parts.first().ok_or("no parts")?)?;
    ensure!(first.runs[0].samples[0].sync, "the segment does not begin with a sync sample");
    Ok(())
}

/// A part against its line in the playlist: DURATION to a millisecond, INDEPENDENT where a viewer can join.
pub fn check_listed(init: &Init, part: &[u8], duration_s: f64, independent: bool) -> Found<()> {
    let run = &check_part(part)?.runs[0];
    let track = init.tracks.iter().find(|track| track.track_id == run.track_id).ok_or("an unknown track")?;
    let found = run.duration() as f64 / f64::from(track.timescale);
    ensure!((found - duration_s).abs() < 0.001, "DURATION={duration_s}, its samples last {found}");
    let clean = has_clean_join(track, run, part)?;
    ensure!(clean == independent, "INDEPENDENT={independent}, a clean point to join at {clean}");
    Ok(())
}
