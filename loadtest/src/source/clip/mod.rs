//! Clips: FLV and MP4 files with H.264, AAC or both, played as they are, without transcoding.
//!
//! The first video track and the first audio track are taken; what else a file holds is left out. The clip
//! begins with the first sync frame of its video: frames that only an earlier one could decode are left out
//! as well. It ends where its longest track ends, and all tracks restart there together, so that none
//! overlaps itself and sound and picture stay together; where one is shorter than another there is a gap.
//! Times are taken as microseconds, rounded down once.

mod flv;
mod mp4;
#[cfg(test)]
mod tests;

use super::aac::AudioConfig;
use super::h264::AvcConfig;
use super::{AudioConfigError, AudioTrack, AvcConfigError, Kind, Reel, Sample, Track, VideoTrack};
use bytes::Bytes;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Bytes of the largest clip: it is held in memory as it is, and offsets in it have 32 bits.
pub const CLIP_BYTES_MAX: u64 = 1024 * 1024 * 1024;
const _: () = assert!(CLIP_BYTES_MAX <= u32::MAX as u64);
/// Frames of a track: 18 hours at 60 frames a second, at 32 bytes each in memory.
pub const CLIP_FRAMES_MAX: usize = 4_000_000;
/// Length of the longest clip: RTMP timestamps and all arithmetic on loops have room for many of them.
pub const CLIP_SECONDS_MAX: i64 = 24 * 3600;
/// Seconds between decoding and presentation of a frame: far below what 24 bits of milliseconds can say.
pub const COMPOSITION_SECONDS_MAX: i64 = 60;

/// Why a file is no clip. Offsets are bytes from the file's start.
#[derive(Debug, thiserror::Error)]
pub enum ClipError {
    /// The file cannot be read.
    #[error("cannot read it: {0}")]
    Io(#[from] std::io::Error),
    /// The file is too large.
    #[error("a file of {found} bytes; allowed are {CLIP_BYTES_MAX}")]
    FileTooLarge {
        /// Bytes of the file.
        found: u64,
    },
    /// Neither FLV nor MP4.
    #[error("neither FLV nor MP4: it begins with {}", .found.escape_ascii())]
    NotMedia {
        /// The file's first bytes, at most 8.
        found: Vec<u8>,
    },
    /// The file ends, or something in it ends, too early.
    #[error("truncated: {what} at byte {offset} wants {wanted} bytes, {left} are left")]
    Truncated {
        /// What is cut short.
        what: String,
        /// Where it begins.
        offset: usize,
        /// Bytes it has by its header.
        wanted: u64,
        /// Bytes that are there.
        left: usize,
    },
    /// A structure that cannot be read.
    #[error("{what} at byte {offset}: {why}")]
    Malformed {
        /// The structure.
        what: String,
        /// Where it begins.
        offset: usize,
        /// What is wrong with it.
        why: String,
    },
    /// A codec other than H.264 and AAC.
    #[error("{kind} in {codec} at byte {offset}: RTMP carries H.264 and AAC, and nothing is transcoded here")]
    Codec {
        /// The track's kind.
        kind: Kind,
        /// The codec's name.
        codec: String,
        /// Where it is said.
        offset: usize,
    },
    /// No H.264 video and no AAC audio.
    #[error("no H.264 video and no AAC audio in it")]
    NoTrack,
    /// A decoder configuration that changes in mid-clip.
    #[error("{kind} configuration changes at byte {offset}: a clip has one throughout")]
    ConfigChange {
        /// The track's kind.
        kind: Kind,
        /// Where the second one is.
        offset: usize,
    },
    /// An AVCDecoderConfigurationRecord that cannot be used.
    #[error("AVCDecoderConfigurationRecord: {0}")]
    AvcConfig(#[from] AvcConfigError),
    /// An AudioSpecificConfig that cannot be used.
    #[error("AudioSpecificConfig: {0}")]
    AudioConfig(#[from] AudioConfigError),
    /// Too many frames.
    #[error("more than {CLIP_FRAMES_MAX} {kind} frames")]
    TooManyFrames {
        /// The track's kind.
        kind: Kind,
    },
    /// Decode times that go back.
    #[error("{kind} frame {frame} is decoded {back_us} µs before the one in front of it")]
    TimeGoesBack {
        /// The track's kind.
        kind: Kind,
        /// Counts from 0.
        frame: usize,
        /// Microseconds.
        back_us: i64,
    },
    /// A clip that is too long, perhaps by one frame far from all others.
    #[error("a clip of {found_s} s; allowed are {CLIP_SECONDS_MAX}")]
    TooLong {
        /// Seconds from its first frame to its end.
        found_s: i64,
    },
    /// A frame shown too long after it is decoded.
    #[error(
        "{kind} frame {frame} is shown {found_s} s after it is decoded; allowed are {COMPOSITION_SECONDS_MAX} s"
    )]
    Composition {
        /// The track's kind.
        kind: Kind,
        /// Counts from 0.
        frame: usize,
        /// Seconds.
        found_s: i64,
    },
    /// No frame with which decoding could begin.
    #[error("no sync frame among {frames_count} video frames")]
    NoSyncFrame {
        /// Frames of the track.
        frames_count: usize,
    },
    /// An access unit whose NAL units do not fill it.
    #[error(
        "video frame {frame} at byte {offset} is no access unit with NAL unit lengths of {nal_length_size} bytes"
    )]
    AccessUnit {
        /// Counts from 0.
        frame: usize,
        /// Where it begins.
        offset: usize,
        /// Bytes of a length.
        nal_length_size: u8,
    },
}

/// Reads a clip from a file, whole.
///
/// # Errors
/// [`ClipError`] says what was found, where, and what is allowed; the path is for the caller to add.
pub fn open(path: &Path) -> Result<Reel, ClipError> {
    let file = File::open(path)?;
    let mut bytes = Vec::new();
    // One byte more than is allowed, to notice it, whatever the file's metadata say.
    let found = file.take(CLIP_BYTES_MAX + 1).read_to_end(&mut bytes)? as u64;
    if found > CLIP_BYTES_MAX {
        let found = std::fs::metadata(path)?.len().max(found);
        return Err(ClipError::FileTooLarge { found });
    }
    parse(bytes.into())
}

/// Reads a clip from the bytes of a file.
///
/// # Errors
/// [`ClipError`] says what was found, where, and what is allowed.
pub fn parse(file: Bytes) -> Result<Reel, ClipError> {
    if file.len() as u64 > CLIP_BYTES_MAX {
        return Err(ClipError::FileTooLarge { found: file.len() as u64 });
    }
    let tracks = if file.starts_with(b"FLV") {
        flv::read(&file)?
    } else if mp4::is_mp4(&file) {
        mp4::read(&file)?
    } else {
        return Err(ClipError::NotMedia { found: file[..file.len().min(8)].to_vec() });
    };
    assemble(&file, tracks)
}

/// What a container holds, in its own ticks.
#[derive(Debug, Default)]
struct Tracks {
    video: Option<RawTrack>,
    audio: Option<RawTrack>,
}

#[derive(Debug)]
struct RawTrack {
    /// AVCDecoderConfigurationRecord or AudioSpecificConfig.
    config: Vec<u8>,
    /// Not 0.
    ticks_per_s: u32,
    /// Microseconds by which the track is late against the others, by its edit list.
    late_us: i64,
    /// In decode order. At most [`CLIP_FRAMES_MAX`].
    samples: Vec<RawSample>,
    /// Decode time of the frame that would come next, where the container says.
    end_ticks: Option<i64>,
}

#[derive(Debug, Clone, Copy)]
struct RawSample {
    decode_ticks: i64,
    composition_ticks: i64,
    /// Where its bytes begin in the file; it ends within the file.
    start: u32,
    bytes_count: u32,
    is_sync: bool,
}

/// A track in microseconds on the clip's time line, not yet moved to where the clip begins.
struct TimedTrack {
    config: Vec<u8>,
    samples: Vec<TimedSample>,
    end_us: i64,
}

impl TimedTrack {
    /// Seconds from its first frame to its end, not to the clip's.
    fn span_s(&self) -> f64 {
        let first_us = self.samples.first().map_or(0, |sample| sample.decode_us);
        self.end_us.saturating_sub(first_us).max(1) as f64 / 1e6
    }
}

struct TimedSample {
    decode_us: i64,
    composition_us: i64,
    start: u32,
    bytes_count: u32,
    is_sync: bool,
}

fn assemble(file: &Bytes, tracks: Tracks) -> Result<Reel, ClipError> {
    let avc = tracks.video.as_ref().map(|video| AvcConfig::parse(&video.config)).transpose()?;
    let aac = tracks.audio.as_ref().map(|audio| AudioConfig::parse(&audio.config)).transpose()?;
    let video = tracks.video.filter(|video| !video.samples.is_empty());
    let audio = tracks.audio.filter(|audio| !audio.samples.is_empty());
    let video = video.map(|video| timed(Kind::Video, video, None)).transpose()?;
    let aac_frame = aac.map(|aac| (aac.frame_samples, aac.sample_rate));
    let audio = audio.map(|audio| timed(Kind::Audio, audio, aac_frame)).transpose()?;

    let present = || [&video, &audio].into_iter().flatten();
    let first_us = |track: &TimedTrack| track.samples.first().map(|sample| sample.decode_us);
    let start_us = present().filter_map(first_us).min().ok_or(ClipError::NoTrack)?;
    let end_us = present().map(|track| track.end_us).max().unwrap_or(start_us);
    let loop_us = end_us.saturating_sub(start_us);
    if loop_us > CLIP_SECONDS_MAX * 1_000_000 {
        return Err(ClipError::TooLong { found_s: loop_us / 1_000_000 });
    }
    let place = |track| placed(file, track, start_us, loop_us);

    let video = match (avc, video) {
        (Some(avc), Some(track)) => {
            check_access_units(file, &track, avc.nal_length_size)?;
            let span_s = track.span_s();
            let (config, track) = place(track);
            Some(VideoTrack {
                avc_config: config,
                width: avc.width,
                height: avc.height,
                frames_per_s: track.frames_per_s(span_s),
                bits_per_s: track.bits_per_s(span_s),
                nal_length_size: avc.nal_length_size,
                track,
            })
        }
        _ => None,
    };
    let audio = match (aac, audio) {
        (Some(aac), Some(track)) => {
            let span_s = track.span_s();
            let (config, track) = place(track);
            Some(AudioTrack {
                audio_specific_config: config,
                sample_rate: aac.sample_rate,
                channels: aac.channels,
                bits_per_s: track.bits_per_s(span_s),
                track,
            })
        }
        _ => None,
    };
    Reel::new(video, audio).ok_or(ClipError::NoTrack)
}

/// Turns ticks into microseconds, and leaves out what comes before the first sync frame. `frame_length` is
/// samples of a frame and samples a second, where frames are alike.
fn timed(kind: Kind, track: RawTrack, frame_length: Option<(u32, u32)>) -> Result<TimedTrack, ClipError> {
    let ticks_per_s = i128::from(track.ticks_per_s);
    // 64-bit ticks may be more microseconds than 64 bits hold: those are too long anyway.
    let micros = |ticks: i64| {
        let micros = (i128::from(ticks) * 1_000_000).div_euclid(ticks_per_s) + i128::from(track.late_us);
        micros.clamp(i64::MIN.into(), i64::MAX.into()) as i64
    };
    let frames_count = track.samples.len();
    let first = track.samples.iter().position(|sample| sample.is_sync);
    let first = first.ok_or(ClipError::NoSyncFrame { frames_count })?;
    let mut samples: Vec<TimedSample> = Vec::with_capacity(frames_count - first);
    let mut last_us = i64::MIN;
    for (frame, sample) in track.samples.iter().enumerate().skip(first) {
        let clip_us = micros(sample.decode_ticks);
        if clip_us < last_us {
            return Err(ClipError::TimeGoesBack { kind, frame, back_us: last_us.saturating_sub(clip_us) });
        }
        last_us = clip_us;
        // Clocks of a millisecond may give two frames the same time: they get to be a microsecond apart.
        let after_us = samples.last().map_or(i64::MIN, |last| last.decode_us.saturating_add(1));
        let decode_us = clip_us.max(after_us);
        let shown_us = micros(sample.decode_ticks.saturating_add(sample.composition_ticks));
        let composition_us = shown_us.saturating_sub(decode_us);
        if composition_us.saturating_abs() > COMPOSITION_SECONDS_MAX * 1_000_000 {
            return Err(ClipError::Composition { kind, frame, found_s: composition_us / 1_000_000 });
        }
        let &RawSample { start, bytes_count, is_sync, .. } = sample;
        samples.push(TimedSample { decode_us, composition_us, start, bytes_count, is_sync });
    }
    // Nothing is shown before it is decoded: where offsets are negative, all is decoded earlier.
    let early_us = samples.iter().map(|sample| sample.composition_us).min().unwrap_or(0).min(0);
    let end_us = track.end_ticks.map(micros).unwrap_or_else(|| guessed_end_us(&samples, frame_length));
    // A container may say that its last frame takes no time.
    let end_us = end_us.max(samples.last().map_or(0, |last| last.decode_us.saturating_add(1)));
    for sample in &mut samples {
        sample.decode_us = sample.decode_us.saturating_add(early_us);
        sample.composition_us -= early_us;
    }
    Ok(TimedTrack { config: track.config, samples, end_us: end_us.saturating_add(early_us) })
}

/// Where the last frame ends if it is as long as its codec or the frame before it says; FLV does not say.
fn guessed_end_us(samples: &[TimedSample], frame_length: Option<(u32, u32)>) -> i64 {
    /// Of a track of one frame.
    const FRAME_US_DEFAULT: i64 = 33_333;
    let last_us = samples.last().map_or(0, |sample| sample.decode_us);
    let frame_us = match (frame_length, samples) {
        (Some((frame_samples, sample_rate)), _) => {
            i64::from(frame_samples) * 1_000_000 / i64::from(sample_rate)
        }
        (None, [.., before, last]) => last.decode_us.saturating_sub(before.decode_us),
        (None, _) => FRAME_US_DEFAULT,
    };
    last_us.saturating_add(frame_us)
}

/// Moves a track to where the clip begins, and gives it the clip's length.
fn placed(file: &Bytes, track: TimedTrack, start_us: i64, loop_us: i64) -> (Bytes, Track) {
    let place = |sample: &TimedSample| Sample {
        // The clip begins with the first frame of all: none is before it.
        decode_ticks: sample.decode_us.saturating_sub(start_us).max(0) as u64,
        composition_ticks: sample.composition_us,
        start: sample.start,
        bytes_count: sample.bytes_count,
        is_sync: sample.is_sync,
    };
    let samples = track.samples.iter().map(place).collect();
    let placed =
        Track { bytes: file.clone(), samples, ticks_per_s: 1_000_000, loop_ticks: loop_us.max(1) as u64 };
    placed.debug_assert_invariants();
    (track.config.into(), placed)
}

/// Whether each access unit is NAL units behind their lengths, to its end.
fn check_access_units(file: &[u8], track: &TimedTrack, nal_length_size: u8) -> Result<(), ClipError> {
    for (frame, sample) in track.samples.iter().enumerate() {
        let offset = sample.start as usize;
        let mut rest = &file[offset..offset + sample.bytes_count as usize];
        while !rest.is_empty() {
            let length_bytes = rest.len().min(usize::from(nal_length_size));
            let (length, behind) = rest.split_at(length_bytes);
            let unit_bytes = length.iter().fold(0, |length, &byte| length << 8 | usize::from(byte));
            let whole = length_bytes == usize::from(nal_length_size);
            let behind = behind.get(unit_bytes..).filter(|_| whole);
            rest = behind.ok_or(ClipError::AccessUnit { frame, offset, nal_length_size })?;
        }
    }
    Ok(())
}
