//! Bodies of FLV tags, as RTMP carries them (FLV 10.1, annex E.4).

use rapidrtmp::rtmp::StreamMetadata;

use crate::source::Reel;

/// A keyframe of AVC that holds an AVCDecoderConfigurationRecord (E.4.3.2).
pub const AVC_CONFIG: [u8; 5] = [0x17, 0, 0, 0, 0];
/// AAC (44 kHz, 16 bits, stereo, whatever it is) that holds an AudioSpecificConfig (E.4.2.2).
pub const AAC_CONFIG: [u8; 2] = [0xaf, 0];
/// AAC that holds a raw frame.
pub const AAC_FRAME: [u8; 2] = [0xaf, 1];

/// FLV's numbers of the codecs in onMetaData.
const FLV_AVC: f64 = 7.0;
const FLV_AAC: f64 = 10.0;

/// What stands before an access unit.
pub fn avc_frame(is_sync: bool, composition_ms: i32) -> [u8; 5] {
    let [_, high, middle, low] = composition_ms.to_be_bytes();
    [if is_sync { 0x17 } else { 0x27 }, 1, high, middle, low]
}

/// onMetaData of a reel.
pub fn metadata(reel: &Reel) -> StreamMetadata {
    let mut metadata =
        StreamMetadata { encoder: Some(super::ENCODER.to_owned()), ..StreamMetadata::default() };
    if let Some(video) = reel.video() {
        metadata.width = Some(f64::from(video.width));
        metadata.height = Some(f64::from(video.height));
        metadata.framerate = Some(video.frames_per_s);
        metadata.video_codec = Some(FLV_AVC);
    }
    if let Some(audio) = reel.audio() {
        metadata.audio_codec = Some(FLV_AAC);
        metadata.audio_sample_rate = Some(f64::from(audio.sample_rate));
        metadata.audio_channels = Some(f64::from(audio.channels));
        metadata.stereo = Some(audio.channels > 1);
    }
    metadata
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn composition_offsets_are_signed_and_have_24_bits() {
        assert_eq!(avc_frame(true, 0), [0x17, 1, 0, 0, 0]);
        assert_eq!(avc_frame(false, 67), [0x27, 1, 0, 0, 67]);
        assert_eq!(avc_frame(false, -1), [0x27, 1, 0xff, 0xff, 0xff]);
    }
}
