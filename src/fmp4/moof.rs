//! The head of a part: moof and the header of mdat (ISO/IEC 14496-12, section 8.8).

use super::boxes::{boxed, full_boxed};
use bytes::BufMut;

/// sample_flags of a sample that depends on no other.
const FLAGS_SYNC: u32 = 0x0200_0000;
/// sample_flags of one that depends on others: sample_is_non_sync_sample.
const FLAGS_NON_SYNC: u32 = 0x0101_0000;

const TFHD_DEFAULT_DURATION: u32 = 0x08;
const TFHD_DEFAULT_FLAGS: u32 = 0x20;
const TFHD_DEFAULT_BASE_IS_MOOF: u32 = 0x02_0000;

const TRUN_DATA_OFFSET: u32 = 0x001;
const TRUN_FIRST_FLAGS: u32 = 0x004;
const TRUN_DURATION: u32 = 0x100;
const TRUN_SIZE: u32 = 0x200;
const TRUN_FLAGS: u32 = 0x400;
const TRUN_COMPOSITION: u32 = 0x800;

/// Bytes of an mdat header.
const MDAT_HEADER_BYTES: usize = 8;

/// One sample of a sealed part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Where it begins, from the part's first byte.
    pub offset: u32,
    /// Bytes.
    pub size: u32,
    /// Ticks of the track's timescale.
    pub duration: u32,
    /// Presentation time less decode time, ticks.
    pub composition_offset: i32,
    /// A decoder can start here.
    pub sync: bool,
}

impl Sample {
    fn flags(&self) -> u32 {
        if self.sync { FLAGS_SYNC } else { FLAGS_NON_SYNC }
    }
}

/// One track of a sealed part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedTrack {
    /// As in the init segment.
    pub track_id: u32,
    /// Decode time of the first sample, ticks.
    pub base_decode_time: u64,
    /// Sum of the samples' durations, ticks.
    pub duration: u64,
    /// In decoding order; never empty.
    pub samples: Vec<Sample>,
}

/// Writes moof and the mdat header into `out`. Offsets of samples count from the first media byte
/// here; they are moved behind the head by what the head turns out to take.
pub(super) fn write_head(out: &mut Vec<u8>, sequence: u32, tracks: &mut [SealedTrack], media_bytes: usize) {
    out.clear();
    let mut data_offsets = [0usize; 2];
    boxed(out, b"moof", |out| {
        full_boxed(out, b"mfhd", 0, 0, |out| out.put_u32(sequence));
        for (track, data_offset) in tracks.iter().zip(&mut data_offsets) {
            boxed(out, b"traf", |out| *data_offset = write_traf(out, track));
        }
    });
    let head_bytes = (out.len() + MDAT_HEADER_BYTES) as u32;
    for (track, position) in tracks.iter_mut().zip(data_offsets) {
        for sample in &mut track.samples {
            sample.offset += head_bytes;
        }
        out[position..position + 4].copy_from_slice(&track.samples[0].offset.to_be_bytes());
    }
    out.put_u32((MDAT_HEADER_BYTES + media_bytes) as u32);
    out.put_slice(b"mdat");
}

/// Returns where data_offset stands in `out`.
fn write_traf(out: &mut Vec<u8>, track: &SealedTrack) -> usize {
    let samples = &track.samples;
    let (first, last) = (samples[0], samples[samples.len() - 1]);
    let constant_duration = samples.iter().all(|sample| sample.duration == first.duration);
    // What holds for all but perhaps the first is a default.
    let default_flags =
        Some(last.flags()).filter(|flags| samples[1..].iter().all(|sample| sample.flags() == *flags));
    let composed = samples.iter().any(|sample| sample.composition_offset != 0);

    let mut tfhd_flags = TFHD_DEFAULT_BASE_IS_MOOF;
    let mut trun_flags = TRUN_DATA_OFFSET | TRUN_SIZE;
    if constant_duration {
        tfhd_flags |= TFHD_DEFAULT_DURATION;
    } else {
        trun_flags |= TRUN_DURATION;
    }
    match default_flags {
        None => trun_flags |= TRUN_FLAGS,
        Some(flags) => {
            tfhd_flags |= TFHD_DEFAULT_FLAGS;
            if first.flags() != flags {
                trun_flags |= TRUN_FIRST_FLAGS;
            }
        }
    }
    if composed {
        trun_flags |= TRUN_COMPOSITION;
    }

    full_boxed(out, b"tfhd", 0, tfhd_flags, |out| {
        out.put_u32(track.track_id);
        if constant_duration {
            out.put_u32(first.duration);
        }
        if let Some(flags) = default_flags {
            out.put_u32(flags);
        }
    });
    full_boxed(out, b"tfdt", 1, 0, |out| out.put_u64(track.base_decode_time));
    let mut data_offset = 0;
    full_boxed(out, b"trun", 1, trun_flags, |out| {
        out.put_u32(samples.len() as u32);
        data_offset = out.len();
        out.put_u32(0);
        if trun_flags & TRUN_FIRST_FLAGS != 0 {
            out.put_u32(first.flags());
        }
        for sample in samples {
            if !constant_duration {
                out.put_u32(sample.duration);
            }
            out.put_u32(sample.size);
            if default_flags.is_none() {
                out.put_u32(sample.flags());
            }
            if composed {
                out.put_i32(sample.composition_offset);
            }
        }
    });
    data_offset
}
