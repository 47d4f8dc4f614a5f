//! What is kept of each part once it was read: enough to judge the part after it.

use std::num::NonZeroU32;

use super::Findings;
use super::init::{Init, Track, TrackKind};
use super::nal;
use super::part::{Sample, TrackRun, read_media};
use crate::fault::{Fault, FaultKind};
use crate::stamp::{self, Stamp};

/// One part or segment, without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaSummary {
    /// The tracks it has samples of.
    pub tracks: Vec<TrackSummary>,
    /// How many `moof` it has.
    pub fragments_count: u32,
    /// sequence_number of its first `mfhd`.
    pub sequence_first: u32,
    /// And of its last.
    pub sequence_last: u32,
}

/// One track of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrackSummary {
    /// track_ID.
    pub track_id: u32,
    /// What it carries.
    pub kind: TrackKind,
    /// Ticks of its timeline in a second.
    pub timescale: NonZeroU32,
    /// Decode time of the first sample.
    pub start: u64,
    /// Decode time at which the last sample ends.
    pub end: u64,
    /// How many samples.
    pub samples_count: u32,
    /// Decoding can begin with the first.
    pub first_is_sync: bool,
    /// Decoding can begin somewhere.
    pub has_sync: bool,
    /// What a publisher of ours wrote into the frames; `None` for any other's.
    pub stamps: Option<StampSpan>,
}

/// The stamps of a part, over all frames that have one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StampSpan {
    /// When the frame was sent that waited longest, in Unix microseconds.
    pub oldest_sent_unix_us: u64,
    /// When the frame was sent that waited least.
    pub newest_sent_unix_us: u64,
    /// Number of the first frame.
    pub first_frame: u32,
    /// Number of the last frame.
    pub last_frame: u32,
    /// How many frames have a stamp.
    pub frames_count: u32,
}

impl MediaSummary {
    /// The track whose duration a playlist states: video where there is any, else audio, else the first.
    pub fn main_track(&self) -> Option<&TrackSummary> {
        let of_kind = |kind| self.tracks.iter().find(|track| track.kind == kind);
        of_kind(TrackKind::Video).or_else(|| of_kind(TrackKind::Audio)).or_else(|| self.tracks.first())
    }

    /// The stamps by which a part's latency is told: those of the main track, else of any.
    pub fn stamps(&self) -> Option<StampSpan> {
        self.main_track()?.stamps.or_else(|| self.tracks.iter().find_map(|track| track.stamps))
    }
}

/// Reads a part or a segment, and judges what can be judged of it alone. An error means that its samples cannot be
/// told.
pub fn summarise(init: &Init, bytes: &[u8]) -> Result<(MediaSummary, Vec<Fault>), Fault> {
    let media = read_media(init, bytes)?;
    let mut findings = Findings { faults: media.faults };
    let mut tracks = Vec::with_capacity(media.runs.len());
    for run in &media.runs {
        let Some(track) = init.track(run.track_id) else { continue };
        check_samples(track, run, &mut findings);
        tracks.push(TrackSummary {
            track_id: run.track_id,
            kind: track.kind,
            timescale: track.timescale,
            start: run.start,
            end: run.end,
            samples_count: u32::try_from(run.samples.len()).unwrap_or(u32::MAX),
            first_is_sync: run.first_is_sync(),
            has_sync: run.has_sync(),
            stamps: read_stamps(track, run, &mut findings),
        });
    }
    let summary = MediaSummary {
        tracks,
        fragments_count: media.fragments_count,
        sequence_first: media.sequence_first,
        sequence_last: media.sequence_last,
    };
    Ok((summary, findings.faults))
}

/// Occurrences of one kind, told as one fault with the first of them.
#[derive(Default)]
struct Tally {
    count: usize,
    first: Option<String>,
}

impl Tally {
    fn add(&mut self, words: impl FnOnce() -> String) {
        self.count += 1;
        self.first.get_or_insert_with(words);
    }

    fn tell(self, kind: FaultKind, run: &TrackRun<'_>, findings: &mut Findings) {
        let Some(first) = self.first else { return };
        findings.add(kind, || {
            let (count, all) = (self.count, run.samples.len());
            format!("track {}, {count} of {all} samples, the first at {first}", run.track_id)
        });
    }
}

/// Whether NAL units fill their samples, and sync flags agree with them.
fn check_samples(track: &Track, run: &TrackRun<'_>, findings: &mut Findings) {
    let (mut unfilled, mut unsynced) = (Tally::default(), Tally::default());
    for sample in &run.samples {
        let offset = sample.offset;
        if sample.flags.is_sync() && sample.flags.depends_on() == 1 {
            unsynced.add(|| format!("byte {offset}: a sync sample that depends on others"));
        }
        let Some(nal_length_size) = track.nal_length_size else { continue };
        if sample.bytes.is_empty() {
            unfilled.add(|| format!("byte {offset}: no NAL unit; 1 is needed at least"));
            continue;
        }
        if !track.is_h264() {
            if let Err(words) = nal::each_nal_unit(sample.bytes, nal_length_size, |_| {}) {
                unfilled.add(|| format!("byte {offset}: {words}"));
            }
            continue;
        }
        match nal::read_access_unit(sample.bytes, nal_length_size) {
            Err(words) => unfilled.add(|| format!("byte {offset}: {words}")),
            // 7.4.1.2.4: where one slice of a picture is IDR, all are.
            Ok(unit) if unit.has_idr && unit.has_other_slice => {
                unfilled.add(|| format!("byte {offset}: slices of IDR and of other pictures"));
            }
            Ok(unit) if unit.has_idr && !sample.flags.is_sync() => {
                unsynced.add(|| format!("byte {offset}: an IDR picture that is no sync sample"));
            }
            Ok(unit) if !unit.has_idr && sample.flags.is_sync() => {
                unsynced.add(|| format!("byte {offset}: a sync sample without an IDR picture"));
            }
            Ok(_) => {}
        }
    }
    unfilled.tell(FaultKind::BoxStructure, run, findings);
    unsynced.tell(FaultKind::SyncFlag, run, findings);
}

fn read_stamp(track: &Track, sample: &Sample<'_>) -> Option<Stamp> {
    match track.nal_length_size {
        Some(nal_length_size) if track.is_h264() => stamp::read_access_unit(sample.bytes, nal_length_size),
        None if track.is_mp4_audio() => stamp::read_raw_data_block(sample.bytes),
        _ => None,
    }
}

/// The stamps of a track, whose frame numbers run on by one. Frames without a stamp are a server's own.
fn read_stamps(track: &Track, run: &TrackRun<'_>, findings: &mut Findings) -> Option<StampSpan> {
    let mut span: Option<StampSpan> = None;
    for sample in &run.samples {
        let Some(found) = read_stamp(track, sample) else { continue };
        let Some(span) = &mut span else {
            span = Some(StampSpan {
                oldest_sent_unix_us: found.sent_unix_us,
                newest_sent_unix_us: found.sent_unix_us,
                first_frame: found.frame,
                last_frame: found.frame,
                frames_count: 1,
            });
            continue;
        };
        if let Some((kind, words)) = super::check::compare_frames(span.last_frame, found.frame) {
            findings.add(kind, || format!("track {}, inside the part: {words}", run.track_id));
        }
        span.oldest_sent_unix_us = span.oldest_sent_unix_us.min(found.sent_unix_us);
        span.newest_sent_unix_us = span.newest_sent_unix_us.max(found.sent_unix_us);
        span.last_frame = found.frame;
        span.frames_count += 1;
    }
    span
}
