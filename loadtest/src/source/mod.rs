//! What a publisher sends: a reel of coded frames, made once and shared by all publishers, and the cursor
//! with which each of them plays it without end.
//!
//! A reel is made by [`Synthetic`] or read from a file by [`clip::open`]. It holds access units with NAL
//! unit lengths and raw AAC frames, as they go behind the header of an RTMP message. The stamp of
//! [`crate::stamp`] is not in it; a publisher puts it in front, and a synthetic reel's bit rates leave room
//! for it.
//!
//! A frame's time comes from its number and the number of loops, in ticks that the track counts without a
//! remainder, and is rounded once: it is exact after hours as it was at the start. The tracks of a clip
//! restart together; those of a synthetic reel are endless, each repeating its own frames.

mod aac;
mod bits;
pub mod clip;
mod gop;
mod h264;
mod synthetic;
#[cfg(test)]
mod tests;

pub use aac::AudioConfigError;
pub use h264::AvcConfigError;
pub use synthetic::{
    B_FRAMES_MAX, FRAMES_PER_S_MAX, GOP_FRAMES_MAX, HEIGHT_PIXELS_MIN, REEL_BYTES_MAX, SIDE_PIXELS_MAX,
    Synthetic, SyntheticAudio, SyntheticError, SyntheticVideo, WIDTH_PIXELS_MIN,
};

use bytes::Bytes;
use std::sync::Arc;

/// Frames of one video track, one audio track, or both.
#[derive(Debug, Clone)]
pub struct Reel {
    video: Option<VideoTrack>,
    audio: Option<AudioTrack>,
}

impl Reel {
    /// `None` without a track.
    fn new(video: Option<VideoTrack>, audio: Option<AudioTrack>) -> Option<Self> {
        (video.is_some() || audio.is_some()).then_some(Self { video, audio })
    }

    /// The video track, if there is one.
    pub fn video(&self) -> Option<&VideoTrack> {
        self.video.as_ref()
    }

    /// The audio track, if there is one.
    pub fn audio(&self) -> Option<&AudioTrack> {
        self.audio.as_ref()
    }
}

/// H.264 frames and how they are decoded.
#[derive(Debug, Clone)]
pub struct VideoTrack {
    /// AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3.1), for the AVC sequence header.
    pub avc_config: Bytes,
    /// Pixels after cropping.
    pub width: u32,
    /// Pixels after cropping.
    pub height: u32,
    /// Frames a second; of a clip, the mean over this track.
    pub frames_per_s: f64,
    /// Bits a second without stamps and message headers; the mean over this track.
    pub bits_per_s: f64,
    /// Bytes of the length in front of each NAL unit: 1, 2 or 4.
    pub nal_length_size: u8,
    track: Track,
}

/// AAC frames and how they are decoded.
#[derive(Debug, Clone)]
pub struct AudioTrack {
    /// AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1), for the AAC sequence header.
    pub audio_specific_config: Bytes,
    /// Hz, without SBR.
    pub sample_rate: u32,
    /// Channels, without parametric stereo; 0 where only a program_config_element says.
    pub channels: u8,
    /// Bits a second without stamps and message headers; the mean over this track.
    pub bits_per_s: f64,
    track: Track,
}

/// What a frame is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An access unit of H.264.
    Video,
    /// A raw_data_block of AAC.
    Audio,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.pad(match self {
            Self::Video => "video",
            Self::Audio => "audio",
        })
    }
}

/// One frame to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What it is of.
    pub kind: Kind,
    /// When it is to be decoded, and sent: microseconds on the cursor's time line, rounded down. An RTMP
    /// timestamp is this in milliseconds, rounded down. Rises strictly within a track, and never falls
    /// between tracks.
    pub decode_us: u64,
    /// Milliseconds from the RTMP timestamp to the presentation time, that rounded down as well; 0 for audio.
    pub composition_ms: i32,
    /// Whether decoding can begin here; true for audio.
    pub is_sync: bool,
    /// Counts in decode order within the track from 0; runs on over loops, then wraps.
    pub number: u32,
    /// The access unit, NAL units behind their lengths; or the raw_data_block.
    pub bytes: &'a [u8],
}

/// Plays a reel from its start, without end.
#[derive(Debug, Clone)]
pub struct Cursor {
    reel: Arc<Reel>,
    start_us: u64,
    video: Position,
    audio: Position,
}

impl Cursor {
    /// A cursor whose time line begins at `start_us`: the reel's first frame has that decode time, in
    /// microseconds.
    pub fn new(reel: Arc<Reel>, start_us: u64) -> Self {
        Self { reel, start_us, video: Position::default(), audio: Position::default() }
    }

    /// The reel that is played.
    pub fn reel(&self) -> &Arc<Reel> {
        &self.reel
    }

    /// Decode time of the next frame in microseconds: what a publisher waits for.
    pub fn next_decode_us(&self) -> u64 {
        self.next_up().1
    }

    /// The next frame in decode order over both tracks; where two are due at once, video comes first.
    pub fn next_frame(&mut self) -> Frame<'_> {
        let (kind, decode_us) = self.next_up();
        let (track, position) = match (kind, &self.reel.video, &self.reel.audio) {
            (Kind::Video, Some(video), _) => (&video.track, &mut self.video),
            (Kind::Audio, _, Some(audio)) => (&audio.track, &mut self.audio),
            _ => unreachable!("next_up names a track that is there"),
        };
        let sample = &track.samples[position.index];
        let ticks = position.loops * track.loop_ticks + sample.decode_ticks;
        let presentation_us =
            self.start_us + track.micros(ticks.saturating_add_signed(sample.composition_ticks));
        let frame = Frame {
            kind,
            decode_us,
            // A minute at most (COMPOSITION_SECONDS_MAX).
            composition_ms: ((presentation_us / 1000) as i64 - (decode_us / 1000) as i64) as i32,
            is_sync: sample.is_sync,
            number: position.number,
            bytes: &track.bytes[sample.range()],
        };
        position.advance(track);
        frame
    }

    fn next_up(&self) -> (Kind, u64) {
        let video_us = self.reel.video.as_ref().map(|video| video.track.decode_us(&self.video));
        let audio_us = self.reel.audio.as_ref().map(|audio| audio.track.decode_us(&self.audio));
        let (kind, since_start_us) = match (video_us, audio_us) {
            (Some(video_us), Some(audio_us)) if video_us <= audio_us => (Kind::Video, video_us),
            (_, Some(audio_us)) => (Kind::Audio, audio_us),
            (video_us, None) => (Kind::Video, video_us.unwrap_or(0)),
        };
        (kind, self.start_us + since_start_us)
    }
}

/// Where in a track a cursor is.
#[derive(Debug, Clone, Copy, Default)]
struct Position {
    /// Times the track was played to its end.
    loops: u64,
    /// Of the next frame among the track's samples.
    index: usize,
    /// Frames played before it.
    number: u32,
}

impl Position {
    fn advance(&mut self, track: &Track) {
        self.number = self.number.wrapping_add(1);
        self.index += 1;
        if self.index == track.samples.len() {
            self.index = 0;
            self.loops += 1;
        }
    }
}

/// Frames in decode order, and when they repeat.
#[derive(Debug, Clone)]
struct Track {
    /// What the samples lie in.
    bytes: Bytes,
    /// Never none; decode times rise strictly, from less than `loop_ticks`.
    samples: Vec<Sample>,
    ticks_per_s: u32,
    /// From the start of one loop to that of the next; more than the last sample's decode time.
    loop_ticks: u64,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    decode_ticks: u64,
    /// From decoding to presentation.
    composition_ticks: i64,
    /// Where its bytes begin.
    start: u32,
    bytes_count: u32,
    is_sync: bool,
}

impl Sample {
    fn range(&self) -> std::ops::Range<usize> {
        self.start as usize..self.start as usize + self.bytes_count as usize
    }
}

impl Track {
    /// Decode time of the frame at `position` since the reel's start, rounded down.
    fn decode_us(&self, position: &Position) -> u64 {
        self.micros(position.loops * self.loop_ticks + self.samples[position.index].decode_ticks)
    }

    fn micros(&self, ticks: u64) -> u64 {
        // 2^64 microseconds are 584,000 years.
        (u128::from(ticks) * 1_000_000 / u128::from(self.ticks_per_s)) as u64
    }

    /// Seconds from the start of one loop to that of the next.
    fn loop_s(&self) -> f64 {
        self.loop_ticks as f64 / f64::from(self.ticks_per_s)
    }

    /// Frames a second where all of them take `span_s` seconds.
    fn frames_per_s(&self, span_s: f64) -> f64 {
        self.samples.len() as f64 / span_s
    }

    /// Bits a second, likewise.
    fn bits_per_s(&self, span_s: f64) -> f64 {
        let bytes: u64 = self.samples.iter().map(|sample| u64::from(sample.bytes_count)).sum();
        bytes as f64 * 8.0 / span_s
    }

    fn debug_assert_invariants(&self) {
        debug_assert!(!self.samples.is_empty());
        debug_assert!(self.ticks_per_s > 0);
        debug_assert!(self.samples.is_sorted_by(|one, next| one.decode_ticks < next.decode_ticks));
        debug_assert!(self.samples.iter().all(|sample| sample.decode_ticks < self.loop_ticks));
        debug_assert!(self.samples.iter().all(|sample| sample.range().end <= self.bytes.len()));
    }
}
