//! What a frame says of its configuration, beside the record that came before it: some encoders change parameter sets
//! inside the stream, and those of AC-3 and FLAC say it in each frame.
//!
//! Samples called `avc1` and `hvc1` have their parameter sets in the init segment (ISO/IEC 14496-15, sections 5.4.2.1.2
//! and 8.4.3), and decoders differ in whether they follow others; so another set is another configuration.

use super::{CodecConfig, avc, hevc};
use crate::limits::{IN_BAND_SETS_MAX, IN_BAND_UNITS_MAX};
use smallvec::SmallVec;

/// What the first bytes of a frame say of its configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InBand {
    /// Nothing else than the one in force.
    Same,
    /// It is decoded with this one, as are those that follow.
    Other(CodecConfig),
    /// So many of its first bytes are needed to tell. A frame that has fewer, or of which nobody wants to see as many,
    /// is of the configuration in force.
    Needs(u32),
}

impl From<Option<CodecConfig>> for InBand {
    fn from(other: Option<CodecConfig>) -> Self {
        other.map_or(Self::Same, Self::Other)
    }
}

/// Bytes of a temporal unit that hold its sequence header, and light levels behind it.
const AV1_HEAD_BYTES: u32 = 256;
/// Bytes of the uncompressed header of a VP9 key frame, up to its size.
const VP9_HEAD_BYTES: u32 = 16;
/// Bytes of the header of a frame of AC-3 or FLAC.
const SOUND_HEAD_BYTES: u32 = 16;

impl CodecConfig {
    /// Looks at the first bytes of a frame as it is on the wire; pictures say something in key frames only, E-AC-3 in
    /// whole packets. A frame that cannot be read says nothing here.
    pub fn in_band(&self, head: &[u8], key: bool) -> InBand {
        let has = |bytes: u32| head.len() >= bytes as usize;
        match self {
            Self::Avc(config) if key => {
                match leading_sets(head, config.nal_length_bytes(), avc::nal_type, &avc::ROLES) {
                    Ok(sets) => config.in_band(&sets).map(Self::Avc).into(),
                    Err(needed) => InBand::Needs(needed),
                }
            }
            Self::Hevc(config) if key => {
                match leading_sets(head, config.nal_length_bytes(), hevc::nal_type, &hevc::ROLES) {
                    Ok(sets) => config.in_band(&sets).map(Box::new).map(Self::Hevc).into(),
                    Err(needed) => InBand::Needs(needed),
                }
            }
            Self::Av1(_) if key && !has(AV1_HEAD_BYTES) => InBand::Needs(AV1_HEAD_BYTES),
            Self::Av1(config) if key => config.in_band(head).map(Self::Av1).into(),
            Self::Vp9(_) if key && !has(VP9_HEAD_BYTES) => InBand::Needs(VP9_HEAD_BYTES),
            Self::Vp9(config) if key => config.in_band(head).map(Self::Vp9).into(),
            Self::Ac3(_) | Self::Flac(_) if !has(SOUND_HEAD_BYTES) => InBand::Needs(SOUND_HEAD_BYTES),
            Self::Ac3(config) => config.in_band(head).map(Self::Ac3).into(),
            Self::Flac(config) => config.in_band(head).map(Self::Flac).into(),
            _ => InBand::Same,
        }
    }
}

/// Types of NAL units, as ranges.
pub(super) struct NalRoles {
    /// Slices of pictures: what decodes them stands before them.
    pub(super) slices: std::ops::RangeInclusive<u8>,
    /// Parameter sets.
    pub(super) sets: std::ops::RangeInclusive<u8>,
}

/// The parameter sets before the first slice of an access unit; or how many of its bytes are needed.
fn leading_sets<'a>(
    head: &'a [u8],
    length_bytes: u8,
    nal_type: impl Fn(&[u8]) -> u8,
    roles: &NalRoles,
) -> Result<SmallVec<[&'a [u8]; 4]>, u32> {
    let length_bytes = usize::from(length_bytes);
    let mut sets = SmallVec::new();
    let mut begins = 0;
    for _ in 0..IN_BAND_UNITS_MAX {
        // The length and the first byte of the unit, which has its type.
        let needs = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        let Some(length) = head.get(begins..begins + length_bytes) else {
            return Err(needs(begins + length_bytes + 1));
        };
        let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        let (starts, ends) = (begins + length_bytes, begins + length_bytes + length);
        let Some(unit) = head.get(starts..).filter(|unit| !unit.is_empty()) else {
            return Err(needs(starts + 1));
        };
        let unit_type = nal_type(unit);
        // What cannot be walked has its fault told by the walker.
        if length == 0 || roles.slices.contains(&unit_type) || sets.len() == IN_BAND_SETS_MAX {
            return Ok(sets);
        }
        if roles.sets.contains(&unit_type) {
            let Some(set) = unit.get(..length) else { return Err(needs(ends)) };
            sets.push(set);
        }
        begins = ends;
    }
    Ok(sets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Codec, Parsed};
    use bytes::Bytes;

    fn parsed(codec: Codec, record: &[u8]) -> CodecConfig {
        match CodecConfig::parse(codec, Bytes::copy_from_slice(record)) {
            Ok(Parsed::Whole(config)) => config,
            other => panic!("{other:?}"),
        }
    }

    /// Gives as many bytes as are asked for, and says how many those were.
    fn look(config: &CodecConfig, frame: &[u8]) -> (InBand, usize) {
        let mut count = 0;
        loop {
            match config.in_band(&frame[..count], true) {
                InBand::Needs(bytes) if count < frame.len() => {
                    assert!(bytes as usize > count, "it asks for more");
                    count = frame.len().min(bytes as usize);
                }
                told => return (told, count),
            }
        }
    }

    fn access_unit(length_bytes: usize, units: &[&[u8]]) -> Vec<u8> {
        let with_length =
            |unit: &&[u8]| [&(unit.len() as u32).to_be_bytes()[4 - length_bytes..], *unit].concat();
        units.iter().flat_map(with_length).collect()
    }

    /// OBS 30 (x264, High, 320x180), and an SPS of the same encoder of GStreamer's at 160x90.
    const SPS: &[u8] = b"gd\0\x0d\xac\xd9AA\x9f\x9f\x01j\x02\x02\x02\x80\0\0\x03\0\x80\0\0\x1eG\x8a\x14\xcb";
    const PPS: &[u8] = b"h\xef\xbc\xb0";
    const SMALLER: &[u8] =
        b"gd\0\x0b\xac\xb4\x14o\xc9\x80\xb5\x06\x06\x06\xa5\0\0\x03\0\x01\0\0\x03\0\x3c\x8f\x14\x2a\xa0";
    const SEI: &[u8] = &[6; 700];
    const IDR: &[u8] = &[0x65; 5000];

    #[test]
    fn a_crowd_of_other_units_is_not_walked_to_its_end() {
        let crowd = access_unit(1, &[&[6][..]; 8000]);
        let (told, count) = look(&avcc(1), &crowd);
        assert_eq!(told, InBand::Same);
        assert!(count <= 2 * (IN_BAND_UNITS_MAX + 1), "{count} bytes are looked at");
    }

    fn avcc(length_bytes: u8) -> CodecConfig {
        let sps_length = (SPS.len() as u16).to_be_bytes();
        let head = [1, 100, 0, 13, 0xfc | (length_bytes - 1), 0xe1];
        parsed(Codec::Avc, &[&head, &sps_length[..], SPS, &[1, 0, 4], PPS].concat())
    }

    #[test]
    fn the_sets_in_force_cost_a_look_at_what_stands_before_the_slice() {
        for length_bytes in [2, 4] {
            let config = avcc(length_bytes as u8);
            for (units, looked_at) in [
                (&[IDR][..], 0),
                (&[SEI, IDR], SEI.len() + length_bytes),
                (&[&[9, 0xf0], SPS, PPS, IDR], 2 + SPS.len() + PPS.len() + 3 * length_bytes),
            ] {
                let told = look(&config, &access_unit(length_bytes, units));
                assert_eq!(told, (InBand::Same, looked_at + length_bytes + 1));
            }
        }
    }

    #[test]
    fn another_set_is_another_configuration_once() {
        for length_bytes in [2, 4] {
            let config = avcc(length_bytes as u8);
            let unit = access_unit(length_bytes, &[&[9, 0xf0], SEI, SMALLER, PPS, IDR]);
            let (InBand::Other(other), _) = look(&config, &unit) else { panic!("it is another") };
            let picture = other.picture().unwrap();
            assert_eq!((picture.width, picture.height), (160, 90));
            assert_eq!(other.rfc6381(), "avc1.64000B");
            let CodecConfig::Avc(avc) = &other else { panic!("{other:?}") };
            assert_eq!(avc.nal_length_bytes(), length_bytes as u8);
            assert_eq!(avc.sps_units().collect::<Vec<_>>(), [SMALLER], "in the place of the one with its id");
            assert_eq!(avc.pps_units().collect::<Vec<_>>(), [PPS]);
            assert_eq!(look(&other, &unit).0, InBand::Same);
            assert_eq!(config.in_band(&unit, false), InBand::Same, "no key frame");
        }
        // Another id is one more; the first SPS names the codec.
        let second = [&PPS[..1], &[0x5f], &PPS[1..]].concat();
        let (InBand::Other(CodecConfig::Avc(both)), _) = look(&avcc(4), &access_unit(4, &[&second, IDR]))
        else {
            panic!("one more")
        };
        assert_eq!(both.pps_units().collect::<Vec<_>>(), [PPS, &second]);
    }

    #[test]
    fn what_cannot_be_read_says_nothing() {
        let config = avcc(4);
        for unit in [
            access_unit(4, &[&[], SMALLER, IDR]),
            access_unit(4, &[&[0x67], IDR]),
            access_unit(4, &[&SMALLER[..5], IDR]),
            vec![0xff; 64],
            vec![0, 0, 0],
        ] {
            let (told, _) = look(&config, &unit);
            assert!(matches!(told, InBand::Same | InBand::Needs(_)), "{told:?}");
        }
        let crowd: Vec<&[u8]> = vec![SPS; 10_000];
        let (told, looked_at) = look(&config, &access_unit(4, &crowd));
        assert_eq!(told, InBand::Same);
        assert!(looked_at <= (IN_BAND_SETS_MAX + 1) * (SPS.len() + 4), "{looked_at}");
    }

    #[test]
    fn vp9_says_another_size() {
        // ffmpeg's, 160x90.
        let mut frame = vec![0x82, 0x49, 0x83, 0x42, 0x00, 0x09, 0xf0, 0x05, 0x96, 0x05];
        frame.resize(32, 0);
        let config = CodecConfig::from_frame(Codec::Vp9, &frame).unwrap();
        assert_eq!(look(&config, &frame), (InBand::Same, VP9_HEAD_BYTES as usize));
        let mut wider = frame.clone();
        wider[5] = 0x19;
        let (InBand::Other(other), _) = look(&config, &wider) else { panic!("another size") };
        assert_eq!(other.picture().unwrap().width, 416);
        assert_eq!(look(&other, &wider).0, InBand::Same);
    }

    #[test]
    fn sound_says_other_channels() {
        let mut stereo = vec![0x0b, 0x77, 0x38, 0x90, 0x0c, 0x40, 0x43, 0xe1];
        stereo.resize(384, 0);
        let config = CodecConfig::from_frame(Codec::Ac3, &stereo).unwrap();
        assert_eq!(look(&config, &stereo), (InBand::Same, SOUND_HEAD_BYTES as usize));
        let mut other_rate = stereo.clone();
        other_rate[4] = 0x10;
        assert_eq!(look(&config, &other_rate).0, InBand::Same, "the bit rate is no matter of decoding");
        let mut mono = stereo.clone();
        mono[6] = 0x20;
        let (InBand::Other(other), _) = look(&config, &mono) else { panic!("other channels") };
        assert_eq!(other.sound().unwrap().channels, Some(1));
        assert_eq!(look(&config, &[0; 64]).0, InBand::Same);

        // FLAC, 48 kHz mono of 16 bits.
        let streaminfo =
            b"\x04\0\x04\0\0\0\0\0\x08\x15\x0b\xb8\0\xf0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
        let config = parsed(Codec::Flac, streaminfo);
        let frame = |rate_and_size: u8, channels_and_bits: u8| {
            let mut frame = vec![0xff, 0xf8, rate_and_size, channels_and_bits, 0, 0, 0];
            frame.resize(64, 0);
            frame
        };
        for same in [frame(0xaa, 0x08), frame(0xa0, 0x00), frame(0xaa, 0x00)] {
            assert_eq!(look(&config, &same).0, InBand::Same, "{same:?}");
        }
        for (changed, sample_rate, channels) in
            [(frame(0xaa, 0x18), 48_000, 2), (frame(0xa9, 0x08), 44_100, 1), (frame(0xaa, 0x0c), 48_000, 1)]
        {
            let (InBand::Other(other), _) = look(&config, &changed) else { panic!("{changed:?}") };
            let sound = other.sound().unwrap();
            assert_eq!((sound.sample_rate, sound.channels), (sample_rate, Some(channels)));
            assert_eq!(look(&other, &changed).0, InBand::Same);
        }
    }
}
