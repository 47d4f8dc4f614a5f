//! Codec headers: decoder configuration records and the strings that name codecs (RFC 6381), and what is to be known
//! of a frame.

pub mod aac;
pub mod ac3;
pub mod av1;
pub mod avc;
mod bits;
mod config;
pub mod flac;
mod frame;
pub mod hevc;
mod in_band;
mod nal;
pub mod opus;
mod piece;
mod sei;
mod sps;
mod video;
pub mod vp9;

pub use bits::OutOfBits;
pub use config::{CodecConfig, ConfigError, Parsed, Sound, Unfinished};
pub use frame::{Frame, FrameError, FrameRole, FrameWalker};
pub use in_band::InBand;
pub use piece::{Inline, Piece};
pub use sps::SpsError;
pub use video::{Colour, ContentLight, FrameRate, Hdr, MasteringDisplay, Picture, VideoRange};

/// A codec that is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// H.264.
    Avc,
    /// H.265.
    Hevc,
    /// AV1.
    Av1,
    /// VP9.
    Vp9,
    /// AAC.
    Aac,
    /// Opus.
    Opus,
    /// Dolby Digital.
    Ac3,
    /// Dolby Digital Plus.
    Eac3,
    /// FLAC.
    Flac,
}

impl Codec {
    /// By the FourCC of Enhanced RTMP.
    pub fn from_four_cc(four_cc: [u8; 4]) -> Option<Self> {
        Some(match &four_cc {
            b"avc1" => Self::Avc,
            b"hvc1" => Self::Hevc,
            b"av01" => Self::Av1,
            b"vp09" => Self::Vp9,
            b"mp4a" => Self::Aac,
            b"Opus" => Self::Opus,
            b"ac-3" => Self::Ac3,
            b"ec-3" => Self::Eac3,
            b"fLaC" => Self::Flac,
            _ => return None,
        })
    }

    /// As people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Avc => "H.264",
            Self::Hevc => "HEVC",
            Self::Av1 => "AV1",
            Self::Vp9 => "VP9",
            Self::Aac => "AAC",
            Self::Opus => "Opus",
            Self::Ac3 => "AC-3",
            Self::Eac3 => "E-AC-3",
            Self::Flac => "FLAC",
        }
    }

    /// True for pictures, false for sound.
    pub fn is_video(self) -> bool {
        matches!(self, Self::Avc | Self::Hevc | Self::Av1 | Self::Vp9)
    }

    /// True when the CodedFrames of Enhanced RTMP have a composition time offset in front.
    pub fn has_composition_offset(self) -> bool {
        matches!(self, Self::Avc | Self::Hevc)
    }
}
