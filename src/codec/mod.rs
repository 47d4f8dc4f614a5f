//! Codec headers: decoder configuration records and the strings that name codecs (RFC 6381).

pub mod aac;
pub mod avc;
mod bits;

pub use bits::OutOfBits;

use bytes::Bytes;

/// How a track is decoded. Two are equal when their records are the same bytes, so a repeated
/// identical configuration is no change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CodecConfig {
    /// H.264, an AVCDecoderConfigurationRecord.
    Avc(avc::DecoderConfig),
    /// AAC, an AudioSpecificConfig.
    Aac(aac::AudioConfig),
}

impl CodecConfig {
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
        match self {
            Self::Avc(_) => true,
            Self::Aac(_) => false,
        }
    }
}
