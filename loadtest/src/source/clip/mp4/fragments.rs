//! Movie fragments (ISO/IEC 14496-12, 8.8): where each sample of a moof box is, and when.

use super::boxes::MediaBox;
use super::{Samples, Track};
use crate::source::clip::{CLIP_FRAMES_MAX, ClipError};
use mp4_atom::{Tfdt, Tfhd, Trex, Trun};

/// Of sample flags (8.8.3.1): decoding cannot begin here.
const SAMPLE_IS_NON_SYNC: u32 = 0x0001_0000;

/// Reads the fragments of a file, one after the other.
#[derive(Debug)]
pub(super) struct Fragments {
    defaults: Vec<Trex>,
    file_bytes: usize,
    /// Samples seen so far, of all tracks, empty ones included: at most twice [`CLIP_FRAMES_MAX`].
    seen_count: usize,
}

/// What a track's samples are unless they say otherwise.
struct Defaults {
    duration: u32,
    size: u32,
    flags: u32,
}

impl Fragments {
    pub(super) fn new(defaults: Vec<Trex>, file_bytes: usize) -> Self {
        Self { defaults, file_bytes, seen_count: 0 }
    }

    /// Appends the samples of a fragment to those of their tracks; those of other tracks are left out.
    pub(super) fn append(&mut self, fragment: &MediaBox<'_>, tracks: &mut [Track]) -> Result<(), ClipError> {
        let fragment_start = fragment.start as u64;
        // 8.8.7.1: the base of the first track is the moof box; that of others, unless they say, the end of
        // the data of the track before.
        let mut data_end = fragment_start;
        for child in fragment.children() {
            let child = child?;
            if child.kind != *b"traf" {
                continue;
            }
            let header: Tfhd = child.must_child(b"tfhd")?.decode()?;
            let base = match header.base_data_offset {
                Some(base) => base,
                None if header.default_base_is_moof => fragment_start,
                None => data_end,
            };
            let track = tracks.iter_mut().find(|track| track.track_id == header.track_id);
            let mut samples = track.map(|track| &mut track.samples);
            if let (Some(samples), Some(time)) = (&mut samples, child.child(b"tfdt")?) {
                let decode_time = time.decode::<Tfdt>()?.base_media_decode_time;
                let too_late = |_| time.malformed(format!("a decode time of {decode_time}"));
                samples.next_ticks = i64::try_from(decode_time).map_err(too_late)?;
            }
            data_end = self.append_runs(&child, base, &self.defaults_of(&header), samples)?;
        }
        Ok(())
    }

    /// Appends the samples of a track's runs; returns where their data end.
    fn append_runs(
        &mut self,
        track: &MediaBox<'_>,
        base: u64,
        defaults: &Defaults,
        mut samples: Option<&mut Samples>,
    ) -> Result<u64, ClipError> {
        let mut offset = base;
        for child in track.children() {
            let child = child?;
            if child.kind != *b"trun" {
                continue;
            }
            let run: Trun = child.decode()?;
            self.seen_count = self.seen_count.saturating_add(run.samples.len());
            if self.seen_count > 2 * CLIP_FRAMES_MAX {
                return Err(
                    child.malformed(format!("more than {} samples in fragments", 2 * CLIP_FRAMES_MAX))
                );
            }
            if let Some(data_offset) = run.data_offset {
                offset = base.saturating_add_signed(data_offset.into());
            }
            for entry in &run.samples {
                let bytes_count = entry.size.unwrap_or(defaults.size);
                if let Some(samples) = &mut samples {
                    let duration = entry.duration.unwrap_or(defaults.duration);
                    let is_sync = entry.flags.unwrap_or(defaults.flags) & SAMPLE_IS_NON_SYNC == 0;
                    let composition = entry.cts.unwrap_or(0);
                    samples.push(offset, bytes_count, duration, composition, is_sync, self.file_bytes)?;
                }
                offset = offset.saturating_add(bytes_count.into());
            }
        }
        Ok(offset)
    }

    fn defaults_of(&self, header: &Tfhd) -> Defaults {
        let track = self.defaults.iter().find(|track| track.track_id == header.track_id);
        let of_track = |field: fn(&Trex) -> u32| track.map_or(0, field);
        let or = |of_fragment: Option<u32>, field| of_fragment.unwrap_or_else(|| of_track(field));
        Defaults {
            duration: or(header.default_sample_duration, |track| track.default_sample_duration),
            size: or(header.default_sample_size, |track| track.default_sample_size),
            flags: or(header.default_sample_flags, |track| track.default_sample_flags),
        }
    }
}
