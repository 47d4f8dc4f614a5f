//! Codec headers: decoder configuration records and the strings that name codecs (RFC 6381).

pub mod aac;
pub mod avc;
mod bits;
mod frame;
mod nal;
mod piece;
mod sei;
mod video;

pub use bits::OutOfBits;
pub use frame::{Frame, FrameError, FrameRole, FrameWalker};
pub use piece::Piece;
pub use video::{Colour, ContentLight, FrameRate, Hdr, MasteringDisplay, Picture, VideoRange};

use bytes::Bytes;

/// A codec that is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// H.264.
    Avc,
    /// AAC.
    Aac,
}

impl Codec {
    /// By the FourCC of Enhanced RTMP.
    pub fn from_four_cc(four_cc: [u8; 4]) -> Option<Self> {
        Some(match &four_cc {
            b"avc1" => Self::Avc,
            b"mp4a" => Self::Aac,
            _ => return None,
        })
    }

    /// As people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Avc => "H.264",
            Self::Aac => "AAC",
        }
    }

    /// True for pictures, false for sound.
    pub fn is_video(self) -> bool {
        match self {
            Self::Avc => true,
            Self::Aac => false,
        }
    }

    /// True when the CodedFrames of Enhanced RTMP have a composition time offset in front.
    pub fn has_composition_offset(self) -> bool {
        matches!(self, Self::Avc)
    }
}

/// Why a configuration was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// H.264.
    #[error(transparent)]
    Avc(#[from] avc::ConfigError),
    /// AAC.
    #[error(transparent)]
    Aac(#[from] aac::AscError),
}

/// How a track is decoded. Two are equal when their records are the same bytes and the same was said beside
/// them, so a repeated identical configuration is no change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CodecConfig {
    /// H.264, an AVCDecoderConfigurationRecord.
    Avc(avc::DecoderConfig),
    /// AAC, an AudioSpecificConfig.
    Aac(aac::AudioConfig),
}

/// Sound as a configuration describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sound {
    /// Hz: the timescale of its track.
    pub sample_rate: u32,
    /// Channels, low frequency effects included; `None` when the configuration does not say.
    pub channels: Option<u8>,
    /// Samples of every frame; `None` when frames differ, so that each says its own ([`Frame::samples`]).
    pub frame_samples: Option<u32>,
}

impl CodecConfig {
    /// Parses a codec's configuration record.
    ///
    /// # Errors
    /// [`ConfigError`] of the codec.
    pub fn parse(codec: Codec, record: Bytes) -> Result<Self, ConfigError> {
        Ok(match codec {
            Codec::Avc => Self::Avc(avc::DecoderConfig::parse(record)?),
            Codec::Aac => Self::Aac(aac::AudioConfig::parse(record)?),
        })
    }

    /// Whose configuration it is.
    pub fn codec(&self) -> Codec {
        match self {
            Self::Avc(_) => Codec::Avc,
            Self::Aac(_) => Codec::Aac,
        }
    }

    /// The record as the publisher sent it.
    pub fn record(&self) -> &Bytes {
        match self {
            Self::Avc(config) => config.record(),
            Self::Aac(config) => config.record(),
        }
    }

    /// The codec's name in CODECS: `avc1.64001F`, `mp4a.40.2`.
    pub fn rfc6381(&self) -> String {
        match self {
            Self::Avc(config) => config.rfc6381(),
            Self::Aac(config) => config.rfc6381(),
        }
    }

    /// True for pictures, false for sound.
    pub fn is_video(&self) -> bool {
        self.codec().is_video()
    }

    /// What its pictures are; `None` for sound.
    pub fn picture(&self) -> Option<Picture> {
        match self {
            Self::Avc(config) => Some(config.picture()),
            Self::Aac(_) => None,
        }
    }

    /// What its sound is; `None` for pictures.
    pub fn sound(&self) -> Option<Sound> {
        match self {
            Self::Avc(_) => None,
            Self::Aac(config) => Some(Sound {
                sample_rate: config.sample_rate(),
                channels: config.channels(),
                frame_samples: Some(config.frame_samples()),
            }),
        }
    }

    /// Colour and light, by the bitstream, else as the publisher said; nothing for sound.
    pub fn hdr(&self) -> Hdr {
        match self {
            Self::Avc(config) => config.hdr(),
            Self::Aac(_) => Hdr::default(),
        }
    }

    /// The same configuration, and what the publisher says beside it. Means nothing for sound.
    pub fn with_hdr(self, signalled: Hdr) -> Self {
        match self {
            Self::Avc(config) => Self::Avc(config.with_hdr(signalled)),
            sound => sound,
        }
    }

    /// VIDEO-RANGE; `None` for sound.
    pub fn video_range(&self) -> Option<VideoRange> {
        let range = || self.hdr().colour.map_or(VideoRange::Sdr, |colour| colour.video_range());
        self.is_video().then(range)
    }

    /// A frame of silence, to continue a track that fell silent; `None` where none is known.
    pub fn silent_frame(&self) -> Option<&'static [u8]> {
        match self {
            Self::Avc(_) => None,
            Self::Aac(config) => config.silent_frame(),
        }
    }

    /// Walks a frame of `frame_bytes`.
    pub fn walker(&self, frame_bytes: u32) -> FrameWalker {
        match self {
            Self::Avc(config) => FrameWalker::avc(config.nal_length_bytes(), frame_bytes),
            Self::Aac(config) => FrameWalker::samples(config.frame_samples(), frame_bytes),
        }
    }
}
