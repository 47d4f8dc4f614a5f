//! FLV tag bodies of H.264 and AAC (Adobe FLV 10.1, annex E.4.2 and E.4.3): what an RTMP video or audio
//! message carries. A frame's body is its header here, then the access unit or raw data block.

use bytes::BufMut;

/// Before a raw AAC frame: AAC, 44 kHz, 16 bits, stereo (E.4.2.1: always said so for AAC), raw.
pub const AAC_FRAME_HEADER: [u8; 2] = [0xaf, 1];

const AAC_CONFIG_HEADER: [u8; 2] = [0xaf, 0];
const KEY_FRAME_AVC: u8 = 0x17;
const INTER_FRAME_AVC: u8 = 0x27;
const AVC_CONFIG: u8 = 0;
const AVC_NAL_UNITS: u8 = 1;

/// Before an access unit; the composition offset is 0, since nothing is reordered.
pub fn avc_frame_header(idr: bool) -> [u8; 5] {
    [if idr { KEY_FRAME_AVC } else { INTER_FRAME_AVC }, AVC_NAL_UNITS, 0, 0, 0]
}

/// The AVC sequence header: the AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3.1) of one SPS and
/// one PPS, NAL unit lengths of four bytes. `None` when a set is empty or does not fit its 16-bit length.
pub fn avc_config(sps: &[u8], pps: &[u8]) -> Option<Vec<u8>> {
    let &[_, profile, compatibility, level, ..] = sps else { return None };
    let (sps_bytes, pps_bytes) = (u16::try_from(sps.len()).ok()?, u16::try_from(pps.len()).ok()?);
    if pps.is_empty() {
        return None;
    }
    let mut tag = vec![KEY_FRAME_AVC, AVC_CONFIG, 0, 0, 0];
    // Version 1; reserved ones and lengthSizeMinusOne 3; reserved ones and one SPS.
    tag.extend([1, profile, compatibility, level, 0xff, 0xe1]);
    tag.put_u16(sps_bytes);
    tag.extend(sps);
    tag.push(1);
    tag.put_u16(pps_bytes);
    tag.extend(pps);
    Some(tag)
}

/// The AAC sequence header.
pub fn aac_config(audio_specific_config: [u8; 2]) -> [u8; 4] {
    let [kind, packet] = AAC_CONFIG_HEADER;
    let [high, low] = audio_specific_config;
    [kind, packet, high, low]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_tag_bodies() {
        let sps = [0x67, 0x42, 0xc0, 0x1e, 0xaa];
        let pps = [0x68, 0xce];
        let config = avc_config(&sps, &pps).unwrap();
        let expected = [
            &[0x17, 0, 0, 0, 0][..],
            &[1, 0x42, 0xc0, 0x1e, 0xff, 0xe1, 0, 5, 0x67, 0x42, 0xc0, 0x1e, 0xaa],
            &[1, 0, 2, 0x68, 0xce],
        ];
        assert_eq!(config, expected.concat());
        assert_eq!(avc_frame_header(true), [0x17, 1, 0, 0, 0]);
        assert_eq!(avc_frame_header(false), [0x27, 1, 0, 0, 0]);
        assert_eq!(aac_config([0x11, 0x90]), [0xaf, 0, 0x11, 0x90]);
    }

    #[test]
    fn no_config_without_parameter_sets() {
        assert_eq!(avc_config(&[], &[0x68]), None);
        assert_eq!(avc_config(&[0x67, 0x42, 0xc0], &[0x68]), None);
        assert_eq!(avc_config(&[0x67, 0x42, 0xc0, 0x1e], &[]), None);
    }
}
