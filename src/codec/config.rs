//! The configuration of a track, whatever its codec.

use super::{Codec, FrameWalker, Hdr, Picture, VideoRange, aac, ac3, av1, avc, flac, hevc, opus, vp9};
use crate::limits::SOUND_FRAME_MS_MAX;
use bytes::Bytes;

/// Why a configuration was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// H.264.
    #[error(transparent)]
    Avc(#[from] avc::ConfigError),
    /// HEVC.
    #[error(transparent)]
    Hevc(#[from] hevc::ConfigError),
    /// AV1.
    #[error(transparent)]
    Av1(#[from] av1::ConfigError),
    /// VP9.
    #[error(transparent)]
    Vp9(#[from] vp9::ConfigError),
    /// AAC.
    #[error(transparent)]
    Aac(#[from] aac::AscError),
    /// Opus.
    #[error(transparent)]
    Opus(#[from] opus::ConfigError),
    /// AC-3 and E-AC-3.
    #[error(transparent)]
    Ac3(#[from] ac3::SyncError),
    /// FLAC.
    #[error(transparent)]
    Flac(#[from] flac::ConfigError),
    /// A frame is of another codec than it was said to be.
    #[error("{said}: a frame of {found}")]
    OtherCodec {
        /// As people call it.
        said: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// Frames of this codec do not say how they are decoded.
    #[error("no configuration of {codec} in its frames")]
    NotInFrames {
        /// As people call it.
        codec: &'static str,
    },
}

/// How a track is decoded. Two are equal when their records are the same bytes and the same was said beside them, so
/// a repeated identical configuration is no change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CodecConfig {
    /// H.264, an AVCDecoderConfigurationRecord.
    Avc(avc::DecoderConfig),
    /// HEVC, an HEVCDecoderConfigurationRecord.
    Hevc(Box<hevc::DecoderConfig>),
    /// AV1, an AV1CodecConfigurationRecord.
    Av1(av1::DecoderConfig),
    /// VP9, a VPCodecConfigurationRecord and the size of its pictures.
    Vp9(vp9::DecoderConfig),
    /// AAC, an AudioSpecificConfig.
    Aac(aac::AudioConfig),
    /// Opus, an identification header.
    Opus(opus::AudioConfig),
    /// AC-3 or E-AC-3, by its frames.
    Ac3(ac3::AudioConfig),
    /// FLAC, a STREAMINFO block.
    Flac(flac::AudioConfig),
}

/// What became of a configuration record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed {
    /// It says all.
    Whole(CodecConfig),
    /// The first frame says the rest.
    Unfinished(Unfinished),
}

/// A configuration record that a frame has to complete: AC-3 and E-AC-3 have none at all, that of VP9 has no size,
/// that of AV1 may have no sequence header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    codec: Codec,
    record: Bytes,
}

impl Unfinished {
    /// Whose it is.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Completes it by the first frame, whole or its first [`FIRST_FRAME_BYTES`](crate::limits::FIRST_FRAME_BYTES):
    /// of pictures a key frame.
    ///
    /// # Errors
    /// [`ConfigError`] when the frame does not have what is wanted; the next one may.
    pub fn finish(&self, frame: &[u8]) -> Result<CodecConfig, ConfigError> {
        match self.codec {
            Codec::Vp9 => Ok(CodecConfig::Vp9(vp9::DecoderConfig::new(self.record.clone(), frame)?)),
            codec => CodecConfig::from_frame(codec, frame),
        }
    }
}

/// Sound as a configuration describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sound {
    /// Hz: the timescale of its track.
    pub sample_rate: u32,
    /// Channels, low frequency effects included; `None` when the configuration does not say.
    pub channels: Option<u8>,
    /// Samples of every frame; `None` when frames differ, so that each says its own
    /// ([`Frame::samples`](super::Frame::samples)).
    pub frame_samples: Option<u32>,
}

impl CodecConfig {
    /// Parses a codec's configuration record.
    ///
    /// # Errors
    /// [`ConfigError`] of the codec.
    pub fn parse(codec: Codec, record: Bytes) -> Result<Parsed, ConfigError> {
        let unfinished = |record| Ok(Parsed::Unfinished(Unfinished { codec, record }));
        Ok(Parsed::Whole(match codec {
            Codec::Avc => Self::Avc(avc::DecoderConfig::parse(record)?),
            Codec::Hevc => Self::Hevc(Box::new(hevc::DecoderConfig::parse(record)?)),
            Codec::Av1 => match av1::DecoderConfig::parse(record.clone()) {
                Err(av1::ConfigError::NoSequence) => return unfinished(record),
                parsed => Self::Av1(parsed?),
            },
            Codec::Vp9 => {
                vp9::Record::parse(&record)?;
                return unfinished(record);
            }
            Codec::Aac => Self::Aac(aac::AudioConfig::parse(record)?),
            Codec::Opus => Self::Opus(opus::AudioConfig::parse(record)?),
            Codec::Ac3 | Codec::Eac3 => return unfinished(Bytes::new()),
            Codec::Flac => Self::Flac(flac::AudioConfig::parse(record)?),
        }))
    }

    /// The configuration that stands in a frame, whole or its first
    /// [`FIRST_FRAME_BYTES`](crate::limits::FIRST_FRAME_BYTES), for publishers that send no record. NAL units have
    /// 4-byte lengths; of pictures it is a key frame.
    ///
    /// # Errors
    /// [`ConfigError`] when it has none: of H.264, AAC, Opus and FLAC no frame has.
    pub fn from_frame(codec: Codec, frame: &[u8]) -> Result<Self, ConfigError> {
        Ok(match codec {
            Codec::Hevc => Self::Hevc(Box::new(hevc::DecoderConfig::from_access_unit(frame)?)),
            Codec::Av1 => Self::Av1(av1::DecoderConfig::from_temporal_unit(frame)?),
            Codec::Vp9 => Self::Vp9(vp9::DecoderConfig::from_key_frame(frame)?),
            Codec::Ac3 | Codec::Eac3 => {
                let config = Self::Ac3(ac3::AudioConfig::from_packet(frame)?);
                // bsid tells them apart; a stream that is called one and is the other is mistaken in one.
                if config.codec() != codec {
                    let (said, found) = (codec.name(), config.codec().name());
                    return Err(ConfigError::OtherCodec { said, found });
                }
                config
            }
            Codec::Avc | Codec::Aac | Codec::Opus | Codec::Flac => {
                return Err(ConfigError::NotInFrames { codec: codec.name() });
            }
        })
    }

    /// Whose configuration it is.
    pub fn codec(&self) -> Codec {
        match self {
            Self::Avc(_) => Codec::Avc,
            Self::Hevc(_) => Codec::Hevc,
            Self::Av1(_) => Codec::Av1,
            Self::Vp9(_) => Codec::Vp9,
            Self::Aac(_) => Codec::Aac,
            Self::Opus(_) => Codec::Opus,
            Self::Ac3(config) if config.is_enhanced() => Codec::Eac3,
            Self::Ac3(_) => Codec::Ac3,
            Self::Flac(_) => Codec::Flac,
        }
    }

    /// The record as the publisher sent it, or as it was made where it sent none.
    pub fn record(&self) -> &Bytes {
        match self {
            Self::Avc(config) => config.record(),
            Self::Hevc(config) => config.record(),
            Self::Av1(config) => config.record(),
            Self::Vp9(config) => config.record(),
            Self::Aac(config) => config.record(),
            Self::Opus(config) => config.record(),
            Self::Ac3(config) => config.record(),
            Self::Flac(config) => config.record(),
        }
    }

    /// The codec's name in CODECS: `avc1.64001F`, `mp4a.40.2`.
    pub fn rfc6381(&self) -> String {
        match self {
            Self::Avc(config) => config.rfc6381(),
            Self::Hevc(config) => config.rfc6381(),
            Self::Av1(config) => config.rfc6381(),
            Self::Vp9(config) => config.rfc6381(),
            Self::Aac(config) => config.rfc6381(),
            Self::Opus(config) => config.rfc6381(),
            Self::Ac3(config) => config.rfc6381(),
            Self::Flac(config) => config.rfc6381(),
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
            Self::Hevc(config) => Some(config.picture()),
            Self::Av1(config) => Some(config.picture()),
            Self::Vp9(config) => Some(config.picture()),
            Self::Aac(_) | Self::Opus(_) | Self::Ac3(_) | Self::Flac(_) => None,
        }
    }

    /// What its sound is; `None` for pictures.
    pub fn sound(&self) -> Option<Sound> {
        let (sample_rate, channels, frame_samples) = match self {
            Self::Avc(_) | Self::Hevc(_) | Self::Av1(_) | Self::Vp9(_) => return None,
            Self::Aac(config) => (config.sample_rate(), config.channels(), Some(config.frame_samples())),
            Self::Opus(config) => (opus::SAMPLE_RATE, Some(config.channels()), None),
            Self::Ac3(config) => (config.sample_rate(), Some(config.channels()), config.packet_samples()),
            Self::Flac(config) => (config.sample_rate(), Some(config.channels()), config.frame_samples()),
        };
        Some(Sound { sample_rate, channels, frame_samples })
    }

    /// Colour and light, by the bitstream, else as the publisher said; nothing for sound.
    pub fn hdr(&self) -> Hdr {
        match self {
            Self::Avc(config) => config.hdr(),
            Self::Hevc(config) => config.hdr(),
            Self::Av1(config) => config.hdr(),
            Self::Vp9(config) => config.hdr(),
            Self::Aac(_) | Self::Opus(_) | Self::Ac3(_) | Self::Flac(_) => Hdr::default(),
        }
    }

    /// The same configuration, and what the publisher says beside it. Means nothing for sound.
    pub fn with_hdr(self, signalled: Hdr) -> Self {
        match self {
            Self::Avc(config) => Self::Avc(config.with_hdr(signalled)),
            Self::Hevc(config) => Self::Hevc(Box::new(config.with_hdr(signalled))),
            Self::Av1(config) => Self::Av1(config.with_hdr(signalled)),
            Self::Vp9(config) => Self::Vp9(config.with_hdr(signalled)),
            sound => sound,
        }
    }

    /// VIDEO-RANGE; `None` for sound.
    pub fn video_range(&self) -> Option<VideoRange> {
        let range = || self.hdr().colour.map_or(VideoRange::Sdr, |colour| colour.video_range());
        self.is_video().then(range)
    }

    /// Most frames from one key frame to the next, when x264 or x265 says it in the record or in this whole frame
    /// (NAL units with 4-byte lengths).
    pub fn keyint_frames(&self, frame: &[u8]) -> Option<u32> {
        match self {
            Self::Avc(_) => avc::x264_options(frame)?.keyint,
            Self::Hevc(config) => config.keyint(frame),
            _ => None,
        }
    }

    /// A frame of silence, to continue a track that fell silent and whose frames last `samples`; `None` where none is
    /// known. Frames of AAC all last equally long, those of Opus may not.
    pub fn silent_frame(&self, samples: u32) -> Option<&'static [u8]> {
        match self {
            Self::Aac(config) => config.silent_frame(),
            Self::Opus(config) => config.silent_frame().filter(|_| samples == opus::SILENT_SAMPLES),
            _ => None,
        }
    }

    /// Walks a frame of `frame_bytes`.
    pub fn walker(&self, frame_bytes: u32) -> FrameWalker {
        let walker = match self {
            Self::Avc(config) => FrameWalker::avc(config.nal_length_bytes(), frame_bytes),
            Self::Hevc(config) => FrameWalker::hevc(config.nal_length_bytes(), frame_bytes),
            Self::Av1(config) => FrameWalker::av1(config.sequence().still, frame_bytes),
            Self::Vp9(_) => FrameWalker::vp9(frame_bytes),
            Self::Aac(config) => FrameWalker::samples(config.frame_samples(), frame_bytes),
            Self::Opus(_) => FrameWalker::opus(frame_bytes),
            Self::Ac3(_) => FrameWalker::ac3(frame_bytes),
            Self::Flac(_) => FrameWalker::flac(frame_bytes),
        };
        let samples_max = |sound: Sound| u64::from(sound.sample_rate) * u64::from(SOUND_FRAME_MS_MAX) / 1000;
        let samples_max = self.sound().map_or(u64::MAX, samples_max);
        walker.with_samples_max(u32::try_from(samples_max).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Frame, FrameError};

    /// ffmpeg 9: 48 kHz, stereo at 96 kbit/s and 5.1 at 192 kbit/s.
    const AC3: &[u8] = &[0x0b, 0x77, 0x38, 0x90, 0x0c, 0x40, 0x43, 0xe1, 0x06, 0xf0];
    const EAC3: &[u8] = &[0x0b, 0x77, 0x01, 0x7f, 0x3f, 0x87, 0xc0, 0x00, 0x20, 0xf8];
    /// The shortest frame that has a header, six blocks of 256 samples.
    const EAC3_TINY: [u8; 8] = [0x0b, 0x77, 0x00, 0x03, 0x3f, 0x87, 0xc0, 0x00];

    fn walked(config: &CodecConfig, frame: &[u8]) -> Result<Frame, FrameError> {
        let mut walker = config.walker(frame.len() as u32);
        let mut input = frame;
        while walker.step(&mut input)?.is_some() {}
        walker.finish()
    }

    /// A packet of E-AC-3 lasts as long as its frames say, and 32,768 of them fit in a message.
    #[test]
    fn sound_that_claims_to_last_longer_than_any_part_is_refused() {
        let config = CodecConfig::from_frame(Codec::Eac3, EAC3).unwrap();
        let samples = |frames: usize| walked(&config, &EAC3_TINY.repeat(frames)).map(|frame| frame.samples);
        // 5 s at 48 kHz are 240,000 samples, 156.25 frames.
        assert_eq!(samples(156), Ok(Some(156 * 1536)));
        assert_eq!(samples(157), Err(FrameError::TooLong { found: 157 * 1536, allowed: 240_000 }));
        assert_eq!(samples(32_768), Err(FrameError::TooLong { found: 32_768 * 1536, allowed: 240_000 }));
        // FLAC of 8 kHz: 5 s are 40,000 samples; blocks have up to 65,536.
        let streaminfo = b"\x04\0\xff\xff\0\0\0\0\0\0\x01\xf4\0\xf0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
        let Ok(Parsed::Whole(flac)) = CodecConfig::parse(Codec::Flac, Bytes::from_static(streaminfo)) else {
            panic!("a configuration")
        };
        let block = |samples: u16| {
            let [high, low] = (samples - 1).to_be_bytes();
            walked(&flac, &[0xff, 0xf8, 0x7a, 0x08, 0, high, low]).map(|frame| frame.samples)
        };
        assert_eq!(block(40_000), Ok(Some(40_000)));
        assert_eq!(block(40_001), Err(FrameError::TooLong { found: 40_001, allowed: 40_000 }));
    }

    #[test]
    fn frames_of_another_codec_than_the_one_that_is_said_are_refused() {
        for (said, frame, is_well) in [
            (Codec::Ac3, AC3, true),
            (Codec::Eac3, EAC3, true),
            (Codec::Ac3, EAC3, false),
            (Codec::Eac3, AC3, false),
        ] {
            let found = CodecConfig::from_frame(said, frame);
            assert_eq!(found.is_ok(), is_well, "{found:?}");
            assert!(is_well || matches!(found, Err(ConfigError::OtherCodec { .. })), "{found:?}");
        }
    }
}
