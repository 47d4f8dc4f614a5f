//! The sample table of a progressive MP4 (ISO/IEC 14496-12, 8.5 to 8.7): where each sample is, and when.

use super::Samples;
use super::boxes::MediaBox;
use crate::source::Kind;
use crate::source::clip::{CLIP_FRAMES_MAX, ClipError, RawSample};
use mp4_atom::{Atom, Co64, Ctts, Stco, Stsc, Stss, Stsz, StszSamples, Stts};
use std::iter::repeat_n;

/// Reads the samples that an stbl box lists: none where all are in fragments.
pub(super) fn read(table: &MediaBox<'_>, kind: Kind, file_bytes: usize) -> Result<Samples, ClipError> {
    let sizes = table.must_child(b"stsz")?.decode::<Stsz>()?.samples;
    let samples_count = match &sizes {
        StszSamples::Identical { count, .. } => *count as usize,
        StszSamples::Different { sizes } => sizes.len(),
    };
    let chunk_offsets = read_chunk_offsets(table)?;
    let times = must_decode::<Stts>(table, b"stts")?.entries;
    let mut durations =
        times.iter().flat_map(|entry| repeat_n(entry.sample_delta, entry.sample_count as usize));
    let offsets = decode::<Ctts>(table, b"ctts")?.map(|offsets| offsets.entries).unwrap_or_default();
    let mut compositions =
        offsets.iter().flat_map(|entry| repeat_n(entry.sample_offset, entry.sample_count as usize));
    // Without the box all samples are sync samples (8.6.2.1).
    let mut sync = decode::<Stss>(table, b"stss")?.map(|sync| {
        let mut numbers = sync.entries;
        numbers.sort_unstable();
        numbers.into_iter().peekable()
    });
    let chunks = must_decode::<Stsc>(table, b"stsc")?.entries;
    if chunks.iter().any(|run| run.sample_description_index > 1) {
        return Err(ClipError::ConfigChange { kind, offset: table.must_child(b"stsc")?.start });
    }

    let mut read = Samples { kind, samples: Vec::new(), next_ticks: 0 };
    let mut placed_count = 0;
    let mut runs = chunks.iter().peekable();
    let mut samples_per_chunk = 0;
    // Each turn takes a sample or a chunk: there are no more than the boxes list, and CLIP_FRAMES_MAX.
    for (chunk, mut offset) in (1..).zip(chunk_offsets) {
        while let Some(run) = runs.next_if(|run| run.first_chunk <= chunk) {
            samples_per_chunk = run.samples_per_chunk as usize;
        }
        for _ in 0..samples_per_chunk.min(samples_count - placed_count) {
            let bytes_count = match &sizes {
                StszSamples::Identical { size, .. } => *size,
                StszSamples::Different { sizes } => sizes[placed_count],
            };
            placed_count += 1;
            let is_sync = sync.as_mut().is_none_or(|sync| {
                while sync.next_if(|&number| (number as usize) < placed_count).is_some() {}
                sync.peek().is_some_and(|&number| number as usize == placed_count)
            });
            let duration =
                durations.next().ok_or_else(|| table.malformed("stts lists fewer samples than stsz"))?;
            let composition_ticks = compositions.next().unwrap_or(0);
            read.push(offset, bytes_count, duration, composition_ticks, is_sync, file_bytes)?;
            offset = offset.saturating_add(bytes_count.into());
        }
    }
    if placed_count < samples_count {
        let why = format!("stsc and its chunks hold {placed_count} samples, stsz lists {samples_count}");
        return Err(table.malformed(why));
    }
    Ok(read)
}

impl Samples {
    /// Takes the next sample of the track. One without bytes takes its time but is no frame.
    pub(super) fn push(
        &mut self,
        offset: u64,
        bytes_count: u32,
        duration_ticks: u32,
        composition_ticks: i64,
        is_sync: bool,
        file_bytes: usize,
    ) -> Result<(), ClipError> {
        let decode_ticks = self.next_ticks;
        self.next_ticks = decode_ticks.saturating_add(duration_ticks.into());
        if bytes_count == 0 {
            return Ok(());
        }
        let file_bytes = file_bytes as u64;
        if offset.saturating_add(bytes_count.into()) > file_bytes {
            return Err(ClipError::Truncated {
                what: format!("{} sample {}", self.kind, self.samples.len()),
                offset: offset.min(file_bytes) as usize,
                wanted: bytes_count.into(),
                left: file_bytes.saturating_sub(offset) as usize,
            });
        }
        if self.samples.len() == CLIP_FRAMES_MAX {
            return Err(ClipError::TooManyFrames { kind: self.kind });
        }
        // It ends within the file, whose CLIP_BYTES_MAX fits.
        let start = offset as u32;
        self.samples.push(RawSample { decode_ticks, composition_ticks, start, bytes_count, is_sync });
        Ok(())
    }
}

fn read_chunk_offsets(table: &MediaBox<'_>) -> Result<Vec<u64>, ClipError> {
    if let Some(offsets) = decode::<Stco>(table, b"stco")? {
        return Ok(offsets.entries.into_iter().map(u64::from).collect());
    }
    Ok(must_decode::<Co64>(table, b"co64")?.entries)
}

fn decode<T: Atom>(table: &MediaBox<'_>, kind: &[u8; 4]) -> Result<Option<T>, ClipError> {
    table.child(kind)?.map(|found| found.decode()).transpose()
}

fn must_decode<T: Atom>(table: &MediaBox<'_>, kind: &[u8; 4]) -> Result<T, ClipError> {
    table.must_child(kind)?.decode()
}
