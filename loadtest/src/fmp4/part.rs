//! Fragments of a part or a segment: `moof` and `mdat`, once or several times (ISO/IEC 14496-12, 8.8).
//!
//! Where a sample lies, how long it lasts and whether it is a sync sample follows from four boxes (trex, tfhd, trun
//! and its entries), the later ones overruling the earlier.

use super::boxes::{BoxError, BoxPath, Boxes, FourCc, Mp4Box};
use super::init::{Init, SampleDefaults, Track};
use super::{FRAGMENTS_MAX, Findings, SAMPLES_MAX};
use crate::fault::{Fault, FaultKind};

const TFHD_BASE_DATA_OFFSET: u32 = 0x1;
const TFHD_DESCRIPTION_INDEX: u32 = 0x2;
const TFHD_DURATION: u32 = 0x8;
const TFHD_SIZE: u32 = 0x10;
const TFHD_FLAGS: u32 = 0x20;
const TFHD_DEFAULT_BASE_IS_MOOF: u32 = 0x02_0000;
const TRUN_DATA_OFFSET: u32 = 0x1;
const TRUN_FIRST_FLAGS: u32 = 0x4;
const TRUN_DURATION: u32 = 0x100;
const TRUN_SIZE: u32 = 0x200;
const TRUN_FLAGS: u32 = 0x400;
const TRUN_COMPOSITION: u32 = 0x800;

/// The media of one part or segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media<'a> {
    /// The tracks it has samples of, in the order in which they first occur.
    pub runs: Vec<TrackRun<'a>>,
    /// How many `moof` it has.
    pub fragments_count: u32,
    /// sequence_number of its first `mfhd`.
    pub sequence_first: u32,
    /// And of its last.
    pub sequence_last: u32,
    /// What is wrong with it and did not keep it from being read.
    pub faults: Vec<Fault>,
}

/// All samples of one track, over all fragments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackRun<'a> {
    /// track_ID.
    pub track_id: u32,
    /// Decode time of the first sample: baseMediaDecodeTime of the first `tfdt`.
    pub start: u64,
    /// Decode time at which the last sample ends: the last `tfdt` and the durations after it.
    pub end: u64,
    /// The samples, in decode order.
    pub samples: Vec<Sample<'a>>,
}

/// One sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample<'a> {
    /// When it is decoded.
    pub decode_time: u64,
    /// How long it lasts.
    pub duration: u32,
    /// From decoding to showing it.
    pub composition_offset: i64,
    /// Its flags.
    pub flags: SampleFlags,
    /// Offset of its bytes in the file.
    pub offset: usize,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// Flags of a sample (8.8.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleFlags(pub u32);

impl SampleFlags {
    /// Decoding can begin here.
    pub fn is_sync(self) -> bool {
        self.0 & 0x0001_0000 == 0
    }

    /// sample_depends_on: 1 needs others, 2 needs none, 0 does not say.
    pub fn depends_on(self) -> u8 {
        (self.0 >> 24 & 3) as u8
    }
}

impl TrackRun<'_> {
    /// Whether decoding can begin with its first sample.
    pub fn first_is_sync(&self) -> bool {
        self.samples.first().is_some_and(|sample| sample.flags.is_sync())
    }

    /// Whether decoding can begin anywhere in it.
    pub fn has_sync(&self) -> bool {
        self.samples.iter().any(|sample| sample.flags.is_sync())
    }
}

/// Reads a part or a segment. An error means that its samples cannot be told; everything else that is wrong with it
/// is in [`Media::faults`].
pub fn read_media<'a>(init: &Init, bytes: &'a [u8]) -> Result<Media<'a>, Fault> {
    let mut reader = Reader {
        init,
        bytes,
        media: Media {
            runs: Vec::new(),
            fragments_count: 0,
            sequence_first: 0,
            sequence_last: 0,
            faults: Vec::new(),
        },
        samples_count: 0,
        findings: Findings::default(),
    };
    let mut waiting: Option<Mp4Box<'a>> = None;
    let mut boxes_count = 0;
    for found in Boxes::of_file(bytes) {
        let found = found?;
        boxes_count += 1;
        match &found.at.kind.0 {
            b"moof" => match waiting.replace(found) {
                Some(before) => return Err(without_data(&before).into()),
                None => continue,
            },
            b"mdat" => match waiting.take() {
                Some(moof) => reader.read_fragment(&moof, &found)?,
                None => reader.wrong(found.at, "has no `moof` before it; needs one"),
            },
            // What may stand between fragments: brands, an index, a clock, events, and room.
            b"styp" | b"sidx" | b"prft" | b"emsg" | b"free" | b"skip" | b"uuid" => {}
            _ => reader.wrong(found.at, "has no place among fragments"),
        }
    }
    if let Some(moof) = waiting {
        return Err(without_data(&moof).into());
    }
    if reader.media.fragments_count == 0 {
        return Err(BoxError::FileMissing { missing: FourCc(*b"moof"), found_count: boxes_count }.into());
    }
    Ok(Media { faults: reader.findings.faults, ..reader.media })
}

fn without_data(moof: &Mp4Box<'_>) -> BoxError {
    BoxError::Missing { at: moof.at, missing: FourCc(*b"mdat") }
}

struct Reader<'a, 'i> {
    init: &'i Init,
    bytes: &'a [u8],
    media: Media<'a>,
    /// Of all tracks; never more than [`SAMPLES_MAX`].
    samples_count: usize,
    findings: Findings,
}

/// Where the samples of one `trun` lie, and what holds for them.
struct RunStart {
    /// Offset of the first in the file.
    offset: u64,
    defaults: SampleDefaults,
}

impl<'a> Reader<'a, '_> {
    fn wrong(&mut self, at: BoxPath, what: &str) {
        self.findings.add(FaultKind::BoxStructure, || format!("{at}: {what}"));
    }

    fn read_fragment(&mut self, moof: &Mp4Box<'a>, mdat: &Mp4Box<'a>) -> Result<(), BoxError> {
        if self.media.fragments_count == FRAGMENTS_MAX {
            return Err(moof.field_error("count", u64::from(FRAGMENTS_MAX) + 1, "up to 16384 fragments"));
        }
        self.read_sequence(moof)?;
        // 8.8.7: without a base of its own, a track's data follows that of the track before it.
        let mut data_end = moof.at.offset as u64;
        let mut trafs_count = 0;
        let mut seen_ids = Vec::new();
        for child in moof.children() {
            let child = child?;
            if !child.is(b"traf") {
                continue;
            }
            trafs_count += 1;
            let (id, end) = self.read_track_fragment(&child, moof, mdat, data_end)?;
            data_end = end;
            if seen_ids.contains(&id) {
                self.wrong(
                    child.at,
                    &format!("is a second one for track {id}; one in each `moof` is allowed"),
                );
            } else if seen_ids.len() < super::TRACKS_MAX {
                seen_ids.push(id);
            }
        }
        if trafs_count == 0 {
            return Err(BoxError::Missing { at: moof.at, missing: FourCc(*b"traf") });
        }
        Ok(())
    }

    fn read_sequence(&mut self, moof: &Mp4Box<'a>) -> Result<(), BoxError> {
        let mfhd = moof.child(b"mfhd")?;
        let mut fields = mfhd.fields();
        fields.version_and_flags()?;
        let sequence = fields.u32()?;
        let before = self.media.sequence_last;
        if self.media.fragments_count == 0 {
            self.media.sequence_first = sequence;
        } else if !super::check::is_after(sequence, before) {
            self.wrong(mfhd.at, &format!("sequence_number is {sequence}; more than {before} is allowed"));
        }
        self.media.sequence_last = sequence;
        self.media.fragments_count += 1;
        Ok(())
    }

    /// Reads one `traf`; its track, and where its data ends.
    fn read_track_fragment(
        &mut self,
        traf: &Mp4Box<'a>,
        moof: &Mp4Box<'a>,
        mdat: &Mp4Box<'a>,
        data_end: u64,
    ) -> Result<(u32, u64), BoxError> {
        let tfhd = traf.child(b"tfhd")?;
        let init = self.init;
        let mut fields = tfhd.fields();
        let (_, flags) = fields.version_and_flags()?;
        let id = fields.u32()?;
        let Some(track) = init.track(id) else {
            return Err(tfhd.field_error("track_ID", u64::from(id), "a track of the init segment"));
        };
        let mut base = data_end;
        if flags & TFHD_DEFAULT_BASE_IS_MOOF != 0 {
            base = moof.at.offset as u64;
        } else {
            self.wrong(tfhd.at, "default-base-is-moof is not set; it is needed");
        }
        if flags & TFHD_BASE_DATA_OFFSET != 0 {
            base = fields.u64()?;
            self.wrong(tfhd.at, "has a base-data-offset; none is allowed");
        }
        if flags & TFHD_DESCRIPTION_INDEX != 0 && fields.u32()? != 1 {
            self.wrong(tfhd.at, "sample_description_index is not 1, which is all there is");
        }
        let mut defaults = track.defaults;
        for (flag, value) in [
            (TFHD_DURATION, &mut defaults.duration),
            (TFHD_SIZE, &mut defaults.size),
            (TFHD_FLAGS, &mut defaults.flags),
        ] {
            if flags & flag != 0 {
                *value = fields.u32()?;
            }
        }
        self.begin_track_run(traf, track)?;
        let mut data_end = base;
        for child in traf.children() {
            let child = child?;
            if child.is(b"trun") {
                let start = RunStart { offset: data_end, defaults };
                data_end = self.read_run(&child, id, base, start, mdat)?;
            }
        }
        Ok((id, data_end))
    }

    /// Takes note of a `tfdt`: it begins a track, or continues where the fragment before it ended.
    fn begin_track_run(&mut self, traf: &Mp4Box<'a>, track: &Track) -> Result<(), BoxError> {
        let tfdt = traf.child(b"tfdt")?;
        let mut fields = tfdt.fields();
        let (version, _) = fields.version_and_flags()?;
        let start = fields.by_version(version)?;
        let known = self.media.runs.iter_mut().find(|run| run.track_id == track.id);
        let Some(run) = known else {
            self.media.runs.push(TrackRun { track_id: track.id, start, end: start, samples: Vec::new() });
            return Ok(());
        };
        let end = std::mem::replace(&mut run.end, start);
        if let Some((kind, amount)) = super::check::compare_times(end, start, track.timescale) {
            self.findings.add(kind, || format!("{}: {amount} inside the part", tfdt.at));
        }
        Ok(())
    }

    /// Reads one `trun`; where its data ends.
    fn read_run(
        &mut self,
        trun: &Mp4Box<'a>,
        track_id: u32,
        base: u64,
        start: RunStart,
        mdat: &Mp4Box<'a>,
    ) -> Result<u64, BoxError> {
        let mut fields = trun.fields();
        let (version, flags) = fields.version_and_flags()?;
        let count = fields.u32()?;
        self.samples_count = usize::try_from(count).unwrap_or(usize::MAX).saturating_add(self.samples_count);
        if self.samples_count > SAMPLES_MAX {
            return Err(trun.field_error("sample_count", u64::from(count), "65536 samples in all"));
        }
        let mut offset = start.offset;
        if flags & TRUN_DATA_OFFSET != 0 {
            let data_offset = fields.i32()?;
            let found = base.checked_add_signed(i64::from(data_offset));
            let allowed = "inside the file";
            offset = found.ok_or_else(|| {
                trun.field_error("data_offset", u64::from(data_offset.unsigned_abs()), allowed)
            })?;
        }
        let mut first_flags = None;
        if flags & TRUN_FIRST_FLAGS != 0 {
            first_flags = Some(fields.u32()?);
            if flags & TRUN_FLAGS != 0 {
                self.wrong(
                    trun.at,
                    "has first_sample_flags and flags for each sample; one of them is allowed",
                );
            }
        }
        let Some(run) = self.media.runs.iter_mut().find(|run| run.track_id == track_id) else {
            return Ok(offset);
        };
        run.samples.reserve(count as usize);
        for _ in 0..count {
            let mut field = |flag, default| if flags & flag != 0 { fields.u32() } else { Ok(default) };
            let duration = field(TRUN_DURATION, start.defaults.duration)?;
            let size = field(TRUN_SIZE, start.defaults.size)?;
            let sample_flags = field(TRUN_FLAGS, start.defaults.flags)?;
            let composition = field(TRUN_COMPOSITION, 0)?;
            // 8.8.8: the offset is signed from version 1 on.
            let composition_offset =
                if version == 0 { i64::from(composition) } else { i64::from(composition.cast_signed()) };
            let bytes = sample_bytes(self.bytes, offset, size, mdat);
            let Some((at, bytes)) = bytes else {
                let allowed = "samples inside their `mdat`";
                return Err(trun.field_error(
                    "end of a sample",
                    offset.saturating_add(u64::from(size)),
                    allowed,
                ));
            };
            run.samples.push(Sample {
                decode_time: run.end,
                duration,
                composition_offset,
                flags: SampleFlags(first_flags.take().unwrap_or(sample_flags)),
                offset: at,
                bytes,
            });
            offset += u64::from(size);
            let end = run.end.checked_add(u64::from(duration));
            run.end = end.ok_or_else(|| trun.field_error("decode time", run.end, "an end below 2^64"))?;
        }
        if fields.rest_bytes() != 0 {
            self.wrong(
                trun.at,
                &format!("{} bytes are left behind its samples; none is allowed", fields.rest_bytes()),
            );
        }
        Ok(offset)
    }
}

/// The bytes of a sample, if they lie inside the `mdat` of its fragment.
fn sample_bytes<'a>(bytes: &'a [u8], offset: u64, size: u32, mdat: &Mp4Box<'_>) -> Option<(usize, &'a [u8])> {
    let start = usize::try_from(offset).ok()?;
    let end = start.checked_add(usize::try_from(size).ok()?)?;
    let is_inside = start >= mdat.payload_offset && end <= mdat.payload_offset + mdat.payload.len();
    if is_inside { Some((start, bytes.get(start..end)?)) } else { None }
}
