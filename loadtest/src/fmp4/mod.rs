//! Reads and judges fragmented MP4 of any server (ISO/IEC 14496-12; 8216bis, 3.1.2; CMAF).
//!
//! What makes media unreadable ends the reading with a fault; what is wrong but can be read is reported beside the
//! result. Nothing here is shared with the server under test, lest the checker have the server's own bug.

mod boxes;
mod check;
mod init;
mod nal;
mod part;
mod summary;

#[cfg(test)]
mod build;
#[cfg(test)]
mod check_tests;
#[cfg(test)]
mod ffmpeg_tests;
#[cfg(test)]
mod part_tests;

pub use boxes::{BoxError, BoxPath, FourCc};
pub use check::{DURATION_TOLERANCE, check_continuity, check_listed};
pub use init::{Init, SampleDefaults, Track, TrackKind};
pub use part::{Media, Sample, SampleFlags, TrackRun, read_media};
pub use summary::{MediaSummary, StampSpan, TrackSummary, summarise};

/// Tracks one init segment may have.
pub const TRACKS_MAX: usize = 16;
/// Samples of one part or segment, over all tracks: a minute of 48 kHz audio and 60 fps video has some 6 400. A
/// run of samples with defaults takes no bytes for each, so that the size of the body does not bound them.
pub const SAMPLES_MAX: usize = 65_536;
/// Fragments of one part or segment.
pub const FRAGMENTS_MAX: u32 = 16_384;
/// Faults that the reading of one part or segment reports.
pub const MEDIA_FAULTS_MAX: usize = 16;

const _: () = assert!(FRAGMENTS_MAX as usize <= SAMPLES_MAX);

/// Faults of one reading, no more than are worth it.
#[derive(Debug, Default)]
struct Findings {
    /// Never more than [`MEDIA_FAULTS_MAX`].
    faults: Vec<crate::fault::Fault>,
}

impl Findings {
    fn add(&mut self, kind: crate::fault::FaultKind, detail: impl FnOnce() -> String) {
        if self.faults.len() < MEDIA_FAULTS_MAX {
            self.faults.push(crate::fault::Fault::new(kind, detail()));
        }
    }
}
