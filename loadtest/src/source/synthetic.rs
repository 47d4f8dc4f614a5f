//! The built-in source: colour bars with a wandering square, and silence, at the rates asked for.
//!
//! The video repeats two GOPs, since idr_pic_id must differ between an IDR picture and the next; that is
//! all the memory it takes, at most [`REEL_BYTES_MAX`]. Bits are dealt out among the pictures of a GOP and
//! each picture is filled up with SEI user data in front of its slice. What is too little for a filler is
//! left to the next picture, so that the total is right. The audio repeats up to [`AUDIO_FRAMES_MAX`]
//! frames of two sizes.
//!
//! All rates include the stamps that a publisher adds, [`SEI_BYTES`] a picture and
//! [`DATA_STREAM_ELEMENT_BYTES`] an audio frame, but no headers of FLV, RTMP or TCP.

use super::aac::{self, CHANNEL_FRAME_BYTES_MAX, FRAME_SAMPLES};
use super::gop::{self, Planned};
use super::h264::{self, FILLER_BYTES_MIN, NAL_LENGTH_SIZE, Picture, PictureKind};
use super::{AudioTrack, Reel, Sample, Track, VideoTrack};
use crate::stamp::{DATA_STREAM_ELEMENT_BYTES, SEI_BYTES};

/// Least width: the square's strip needs four macroblocks.
pub const WIDTH_PIXELS_MIN: u32 = 64;
/// Least height: a row of bars and the strip.
pub const HEIGHT_PIXELS_MIN: u32 = 32;
/// Largest side: that of 8K.
pub const SIDE_PIXELS_MAX: u32 = 8192;
/// Most frames a second, and most of each of the two numbers that say how many.
pub const FRAMES_PER_S_MAX: u32 = 300;
const FRAME_RATE_TERM_MAX: u32 = 1_000_000;
/// Most frames of a GOP: 25 s at 60 frames a second.
pub const GOP_FRAMES_MAX: u32 = 1500;
/// Most B pictures in a row.
pub const B_FRAMES_MAX: u32 = 3;
/// Bytes that the video of a reel, two GOPs, may take: 100 Mbit/s with a GOP of 10 s.
pub const REEL_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Audio frames until they repeat: enough for the bit rate to come out to a byte a loop.
const AUDIO_FRAMES_MAX: u32 = 1024;
const GOPS_COUNT: u32 = 2;

/// What to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Synthetic {
    /// The video, if there is to be one.
    pub video: Option<SyntheticVideo>,
    /// The audio, if there is to be one.
    pub audio: Option<SyntheticAudio>,
}

/// Colour bars in H.264.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyntheticVideo {
    /// Pixels; even, [`WIDTH_PIXELS_MIN`] to [`SIDE_PIXELS_MAX`].
    pub width: u32,
    /// Pixels; even, [`HEIGHT_PIXELS_MIN`] to [`SIDE_PIXELS_MAX`].
    pub height: u32,
    /// Frames a second, as a fraction: `(30_000, 1001)`. At most [`FRAMES_PER_S_MAX`].
    pub frame_rate: (u32, u32),
    /// Bits a second, stamps included.
    pub bits_per_s: u64,
    /// Frames from one IDR picture to the next, 1 to [`GOP_FRAMES_MAX`].
    pub gop_frames: u32,
    /// B pictures in a row, 0 to [`B_FRAMES_MAX`].
    pub b_frames: u32,
}

/// Silence in AAC-LC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyntheticAudio {
    /// Hz; one of the rates of ISO/IEC 14496-3, table 1.18.
    pub sample_rate: u32,
    /// 1 or 2.
    pub channels: u8,
    /// Bits a second, stamps included.
    pub bits_per_s: u64,
}

/// What cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SyntheticError {
    /// Neither video nor audio.
    #[error("neither video nor audio: there is nothing to send")]
    NoTrack,
    /// A size that is odd, too small or too large.
    #[error(
        "a picture of {width}x{height}; sides are even, from {WIDTH_PIXELS_MIN}x{HEIGHT_PIXELS_MIN} to \
         {SIDE_PIXELS_MAX}x{SIDE_PIXELS_MAX}"
    )]
    Size {
        /// Pixels asked for.
        width: u32,
        /// Pixels asked for.
        height: u32,
    },
    /// A frame rate that is no number, or too high or too low.
    #[error("a frame rate of {}/{}; allowed is 1 to {FRAMES_PER_S_MAX}", .found.0, .found.1)]
    FrameRate {
        /// The fraction asked for.
        found: (u32, u32),
    },
    /// A GOP of no frame or too many.
    #[error("a GOP of {found} frames; allowed is 1 to {GOP_FRAMES_MAX}")]
    GopFrames {
        /// Frames asked for.
        found: u32,
    },
    /// Too many B pictures in a row.
    #[error("{found} B pictures in a row; allowed is 0 to {B_FRAMES_MAX}")]
    BFrames {
        /// B pictures asked for.
        found: u32,
    },
    /// Not enough bits for the pictures themselves.
    #[error("video of {found} bit/s; the least possible here is {least} bit/s")]
    VideoRateTooLow {
        /// Bits a second asked for.
        found: u64,
        /// The least that would do.
        least: u64,
    },
    /// Nothing a decoder could be asked for.
    #[error(
        "no level of H.264 allows {width}x{height} at {}/{} frames a second and {bits_per_s} bit/s",
        .frame_rate.0, .frame_rate.1
    )]
    NoLevel {
        /// Pixels asked for.
        width: u32,
        /// Pixels asked for.
        height: u32,
        /// The fraction asked for.
        frame_rate: (u32, u32),
        /// Bits a second asked for.
        bits_per_s: u64,
    },
    /// Two GOPs that take too much memory.
    #[error("two GOPs of {found} bytes together; allowed are {REEL_BYTES_MAX}")]
    ReelTooLarge {
        /// Bytes they would have.
        found: u64,
    },
    /// A sampling rate that AAC has no index for.
    #[error("a sampling rate of {found} Hz; allowed are {:?}", aac::RATES)]
    SampleRate {
        /// Hz asked for.
        found: u32,
    },
    /// Neither mono nor stereo.
    #[error("{found} audio channels; allowed are 1 and 2")]
    Channels {
        /// Channels asked for.
        found: u8,
    },
    /// Too few bits for silence and stamp, or more than a decoder buffers.
    #[error("audio of {found} bit/s; possible here are {least} to {most} bit/s")]
    AudioRate {
        /// Bits a second asked for.
        found: u64,
        /// The least that would do.
        least: u64,
        /// The most that a decoder's input buffer allows.
        most: u64,
    },
}

impl Synthetic {
    /// Makes the reel. It takes as long as it takes to write two GOPs to memory.
    ///
    /// # Errors
    /// [`SyntheticError`] says what is not allowed, and what is.
    pub fn reel(&self) -> Result<Reel, SyntheticError> {
        let video = self.video.map(|video| video.track()).transpose()?;
        let audio = self.audio.map(|audio| audio.track()).transpose()?;
        Reel::new(video, audio).ok_or(SyntheticError::NoTrack)
    }
}

impl SyntheticVideo {
    fn track(&self) -> Result<VideoTrack, SyntheticError> {
        self.check()?;
        let avc_config = self.format().config_record().ok_or(SyntheticError::NoLevel {
            width: self.width,
            height: self.height,
            frame_rate: self.frame_rate,
            bits_per_s: self.bits_per_s,
        })?;
        let reel_bytes = self.bytes_of(GOPS_COUNT);
        if reel_bytes > REEL_BYTES_MAX {
            return Err(SyntheticError::ReelTooLarge { found: reel_bytes });
        }
        let planned = gop::decode_order(self.gop_frames, self.b_frames);
        let (frames, seconds) = self.frame_rate;
        let delay = gop::presentation_delay_frames(self.b_frames);
        let gops: Vec<_> = (0..GOPS_COUNT).map(|gop_index| self.slices(gop_index, &planned)).collect();
        self.check_rate(&gops)?;
        let mut bytes = Vec::with_capacity(reel_bytes as usize);
        let mut samples = Vec::with_capacity(planned.len() * GOPS_COUNT as usize);
        // Bytes that are due by the end of a picture and that it has with its stamp.
        let (mut due_bytes, mut spent_bytes) = (0, 0);
        for (gop_index, slices) in (0..).zip(&gops) {
            let needs = slices.iter().map(|slice| needed_bytes(slice));
            let pictures: Vec<_> = planned.iter().map(|picture| picture.kind).zip(needs).collect();
            let shares = gop::deal_out(&pictures, self.bytes_of(1));
            for ((picture, slice), share) in planned.iter().zip(slices).zip(shares) {
                let start = bytes.len();
                due_bytes += share as usize;
                let spare = due_bytes.saturating_sub(spent_bytes + SEI_BYTES + slice.len());
                if spare >= FILLER_BYTES_MIN {
                    h264::push_filler(spare, &mut bytes);
                }
                bytes.extend(slice);
                spent_bytes += SEI_BYTES + bytes.len() - start;
                let decode_index = samples.len() as u64;
                let shown_index = u64::from(gop_index * self.gop_frames + picture.display_index + delay);
                samples.push(Sample {
                    decode_ticks: decode_index * u64::from(seconds),
                    composition_ticks: (shown_index as i64 - decode_index as i64) * i64::from(seconds),
                    // REEL_BYTES_MAX fits.
                    start: start as u32,
                    bytes_count: (bytes.len() - start) as u32,
                    is_sync: picture.kind == PictureKind::Idr,
                });
            }
        }
        let loop_ticks = samples.len() as u64 * u64::from(seconds);
        let track = Track { bytes: bytes.into(), samples, ticks_per_s: frames, loop_ticks };
        track.debug_assert_invariants();
        Ok(VideoTrack {
            avc_config: avc_config.into(),
            width: self.width,
            height: self.height,
            frames_per_s: track.frames_per_s(track.loop_s()),
            bits_per_s: track.bits_per_s(track.loop_s()),
            nal_length_size: NAL_LENGTH_SIZE,
            track,
        })
    }

    fn check(&self) -> Result<(), SyntheticError> {
        let &Self { width, height, frame_rate: (frames, seconds), gop_frames, b_frames, .. } = self;
        let width_is_allowed = (WIDTH_PIXELS_MIN..=SIDE_PIXELS_MAX).contains(&width) && width % 2 == 0;
        let height_is_allowed = (HEIGHT_PIXELS_MIN..=SIDE_PIXELS_MAX).contains(&height) && height % 2 == 0;
        if !width_is_allowed || !height_is_allowed {
            return Err(SyntheticError::Size { width, height });
        }
        let terms_are_allowed = (1..=FRAME_RATE_TERM_MAX).contains(&frames) && seconds > 0;
        if !terms_are_allowed
            || seconds > frames
            || u64::from(frames) > u64::from(seconds) * u64::from(FRAMES_PER_S_MAX)
        {
            return Err(SyntheticError::FrameRate { found: self.frame_rate });
        }
        if !(1..=GOP_FRAMES_MAX).contains(&gop_frames) {
            return Err(SyntheticError::GopFrames { found: gop_frames });
        }
        if b_frames > B_FRAMES_MAX {
            return Err(SyntheticError::BFrames { found: b_frames });
        }
        Ok(())
    }

    fn format(&self) -> h264::Format {
        h264::Format {
            width: self.width,
            height: self.height,
            frame_rate: self.frame_rate,
            bits_per_s: self.bits_per_s,
            reorders: self.b_frames > 0,
        }
    }

    /// Bytes of so many GOPs at the bit rate, rounded down.
    fn bytes_of(&self, gops_count: u32) -> u64 {
        let (frames, seconds) = self.frame_rate;
        let bits =
            u128::from(self.bits_per_s) * u128::from(gops_count * self.gop_frames) * u128::from(seconds);
        u64::try_from(bits / 8 / u128::from(frames)).unwrap_or(u64::MAX)
    }

    /// The slices of a GOP, in decode order.
    fn slices(&self, gop_index: u32, planned: &[Planned]) -> Vec<Vec<u8>> {
        let references = planned.iter().filter(|picture| picture.kind != PictureKind::B).count() as u32;
        let slice = |planned: &Planned| {
            let picture = Picture {
                kind: planned.kind,
                width: self.width,
                height: self.height,
                references_count: planned.references_count,
                display_index: planned.display_index,
                idr_pic_id: gop_index % 2,
                steps_count: gop_index * references + planned.references_count,
            };
            picture.slice()
        };
        planned.iter().map(slice).collect()
    }

    /// Whether the bit rate is enough for each GOP.
    fn check_rate(&self, gops: &[Vec<Vec<u8>>]) -> Result<(), SyntheticError> {
        let gop_bytes = |slices: &Vec<Vec<u8>>| slices.iter().map(|slice| needed_bytes(slice)).sum::<u64>();
        let least_bytes = gops.iter().map(gop_bytes).max().unwrap_or(0);
        if self.bytes_of(1) >= least_bytes {
            return Ok(());
        }
        let (frames, seconds) = self.frame_rate;
        let least_bits = u128::from(least_bytes) * 8 * u128::from(frames);
        let least = least_bits.div_ceil(u128::from(self.gop_frames) * u128::from(seconds));
        Err(SyntheticError::VideoRateTooLow { found: self.bits_per_s, least: least as u64 })
    }
}

/// Bytes of a picture without filler.
fn needed_bytes(slice: &[u8]) -> u64 {
    (slice.len() + SEI_BYTES) as u64
}

impl SyntheticAudio {
    fn track(&self) -> Result<AudioTrack, SyntheticError> {
        let &Self { sample_rate, channels, bits_per_s } = self;
        if !(1..=2).contains(&channels) {
            return Err(SyntheticError::Channels { found: channels });
        }
        let config = aac::low_complexity_config(sample_rate, channels);
        let config = config.ok_or(SyntheticError::SampleRate { found: sample_rate })?;
        let frame_bytes_min = (DATA_STREAM_ELEMENT_BYTES + aac::silence_bytes_min(channels)) as u64;
        let frame_bytes_max = u64::from(CHANNEL_FRAME_BYTES_MAX * u32::from(channels));
        let rate_of = |frame_bytes: u64| frame_bytes * 8 * u64::from(sample_rate);
        let least = rate_of(frame_bytes_min).div_ceil(u64::from(FRAME_SAMPLES));
        let most = rate_of(frame_bytes_max) / u64::from(FRAME_SAMPLES);
        if !(least..=most).contains(&bits_per_s) {
            return Err(SyntheticError::AudioRate { found: bits_per_s, least, most });
        }
        // A frame has this many bytes a `sample_rate`th: 128 is 1024 samples in bytes for bits.
        let frame_byte_parts = bits_per_s * u64::from(FRAME_SAMPLES / 8);
        let frames_count = (sample_rate / divisor(frame_byte_parts, sample_rate)).min(AUDIO_FRAMES_MAX);
        // Frames of the same size are the same bytes: one, or two that differ by a byte.
        let smaller_bytes = (frame_byte_parts / u64::from(sample_rate)) as usize - DATA_STREAM_ELEMENT_BYTES;
        let smaller = aac::silence(channels, smaller_bytes);
        let larger = aac::silence(channels, smaller_bytes + 1);
        let samples = (0..u64::from(frames_count))
            .map(|index| {
                let due_bytes = |index: u64| frame_byte_parts * index / u64::from(sample_rate);
                let bytes_count = due_bytes(index + 1) - due_bytes(index) - DATA_STREAM_ELEMENT_BYTES as u64;
                Sample {
                    decode_ticks: index * u64::from(FRAME_SAMPLES),
                    composition_ticks: 0,
                    start: if bytes_count as usize == smaller_bytes { 0 } else { smaller_bytes as u32 },
                    bytes_count: bytes_count as u32,
                    is_sync: true,
                }
            })
            .collect();
        let loop_ticks = u64::from(frames_count) * u64::from(FRAME_SAMPLES);
        let track =
            Track { bytes: [smaller, larger].concat().into(), samples, ticks_per_s: sample_rate, loop_ticks };
        track.debug_assert_invariants();
        Ok(AudioTrack {
            audio_specific_config: config.to_vec().into(),
            sample_rate,
            channels,
            bits_per_s: track.bits_per_s(track.loop_s()),
            track,
        })
    }
}

/// The greatest common divisor, which divides `small`.
fn divisor(large: u64, small: u32) -> u32 {
    let (mut one, mut other) = (large, u64::from(small));
    while other > 0 {
        (one, other) = (other, one % other);
    }
    one as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIDEO: SyntheticVideo = SyntheticVideo {
        width: 640,
        height: 360,
        frame_rate: (30, 1),
        bits_per_s: 1_000_000,
        gop_frames: 60,
        b_frames: 2,
    };
    const AUDIO: SyntheticAudio = SyntheticAudio { sample_rate: 48_000, channels: 2, bits_per_s: 128_000 };

    #[test]
    fn what_cannot_be_made_is_said_with_what_can() {
        let video = |video| Synthetic { video: Some(video), audio: None };
        let audio = |audio| Synthetic { video: None, audio: Some(audio) };
        for (synthetic, message) in [
            (Synthetic { video: None, audio: None }, "neither video nor audio: there is nothing to send"),
            (
                video(SyntheticVideo { width: 641, ..VIDEO }),
                "a picture of 641x360; sides are even, from 64x32 to 8192x8192",
            ),
            (
                video(SyntheticVideo { frame_rate: (30, 0), ..VIDEO }),
                "a frame rate of 30/0; allowed is 1 to 300",
            ),
            (
                video(SyntheticVideo { frame_rate: (301, 1), ..VIDEO }),
                "a frame rate of 301/1; allowed is 1 to 300",
            ),
            (video(SyntheticVideo { gop_frames: 0, ..VIDEO }), "a GOP of 0 frames; allowed is 1 to 1500"),
            (video(SyntheticVideo { b_frames: 4, ..VIDEO }), "4 B pictures in a row; allowed is 0 to 3"),
            (
                video(SyntheticVideo { bits_per_s: 900_000_000, ..VIDEO }),
                "no level of H.264 allows 640x360 at 30/1 frames a second and 900000000 bit/s",
            ),
            (
                video(SyntheticVideo { bits_per_s: 700_000_000, gop_frames: 1500, ..VIDEO }),
                "two GOPs of 8750000000 bytes together; allowed are 268435456",
            ),
            (audio(SyntheticAudio { channels: 3, ..AUDIO }), "3 audio channels; allowed are 1 and 2"),
            (
                audio(SyntheticAudio { bits_per_s: 1000, ..AUDIO }),
                "audio of 1000 bit/s; possible here are 13500 to 576000 bit/s",
            ),
        ] {
            assert_eq!(synthetic.reel().unwrap_err().to_string(), message);
        }
        assert!(audio(SyntheticAudio { sample_rate: 44_000, ..AUDIO }).reel().is_err());
    }

    #[test]
    fn the_least_rate_named_is_possible_and_less_is_not() {
        for gop_frames in [1, 2, 59, 250] {
            let video = SyntheticVideo { gop_frames, bits_per_s: 1, ..VIDEO };
            let Err(SyntheticError::VideoRateTooLow { least, .. }) = video.track() else { panic!("1 bit/s") };
            assert!(SyntheticVideo { bits_per_s: least, ..video }.track().is_ok(), "{gop_frames}: {least}");
            assert!(
                SyntheticVideo { bits_per_s: least - 1, ..video }.track().is_err(),
                "{gop_frames}: {least}"
            );
        }
    }

    #[test]
    fn audio_rates_come_out_exactly() {
        for sample_rate in aac::RATES {
            for channels in 1..=2 {
                for bits_per_s in [64_000, 96_000, 64_001] {
                    let audio = SyntheticAudio { sample_rate, channels, bits_per_s };
                    let Ok(track) = audio.track() else { continue };
                    let stamps = DATA_STREAM_ELEMENT_BYTES as f64
                        * 8.0
                        * track.track.frames_per_s(track.track.loop_s());
                    let found = track.bits_per_s + stamps;
                    assert!((found / bits_per_s as f64 - 1.0).abs() < 1e-4, "{audio:?}: {found}");
                }
            }
        }
    }
}
