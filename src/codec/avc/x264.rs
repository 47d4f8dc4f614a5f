//! The options that x264 writes into its first access unit, as an unregistered user data SEI
//! (ISO/IEC 14496-10, section D.2.7): the only place where the wire says how long a GOP may be.

use super::NAL_SEI;
use crate::codec::nal::{nal_units, unescape};
use crate::codec::sei::messages;
use crate::codec::video::FrameRate;
use crate::limits::SEI_SEARCHED_BYTES_MAX;

/// uuid_iso_iec_11578 of x264's SEI.
const UUID: [u8; 16] =
    [0xdc, 0x45, 0xe9, 0xbd, 0xe6, 0xd9, 0x48, 0xb7, 0x96, 0x2c, 0xd8, 0x20, 0xd9, 0x23, 0xee, 0xef];
const PAYLOAD_USER_DATA_UNREGISTERED: u32 = 5;

/// What x264 says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct X264Options {
    /// Most frames from one IDR to the next; `None` when absent or `infinite`.
    pub keyint: Option<u32>,
    /// Fewest frames between IDRs.
    pub keyint_min: Option<u32>,
    /// Most B-frames in a row.
    pub bframes: Option<u32>,
    /// Threshold of scene cuts; 0 means that IDRs come at `keyint` only.
    pub scenecut: Option<u32>,
    /// Frame rate; only special builds write it.
    pub fps: Option<FrameRate>,
}

/// Finds x264's options in a whole access unit with 4-byte lengths. `None` when there are none; an
/// access unit with a wrong length is searched up to there.
pub fn x264_options(access_unit: &[u8]) -> Option<X264Options> {
    nal_units(access_unit)
        .map_while(Result::ok)
        .filter(|unit| unit.first().is_some_and(|header| header & 0x1f == NAL_SEI))
        .find_map(|unit| in_sei(&unescape(&unit[1..], SEI_SEARCHED_BYTES_MAX)))
}

/// In an SEI without its header.
fn in_sei(plain: &[u8]) -> Option<X264Options> {
    messages(plain).filter(|(payload_type, _)| *payload_type == PAYLOAD_USER_DATA_UNREGISTERED).find_map(
        |(_, payload)| {
            let text = payload.strip_prefix(&UUID)?;
            text.starts_with(b"x264 - core").then(|| parse_options(&String::from_utf8_lossy(text)))
        },
    )
}

/// x265 writes its options alike.
pub(in crate::codec) fn parse_options(text: &str) -> X264Options {
    let mut options = X264Options::default();
    for (name, value) in text.split([' ', '\0']).filter_map(|option| option.split_once('=')) {
        let number = value.parse().ok();
        match name {
            "keyint" => options.keyint = number,
            "keyint_min" => options.keyint_min = number,
            "bframes" => options.bframes = number,
            "scenecut" => options.scenecut = number,
            "fps" => options.fps = parse_rate(value),
            _ => {}
        }
    }
    options
}

fn parse_rate(value: &str) -> Option<FrameRate> {
    let (frames, seconds) = value.split_once('/').unwrap_or((value, "1"));
    FrameRate::new(frames.parse().ok()?, seconds.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An access unit whose SEI holds a first message with an escaped byte, then x264's text.
    fn access_unit(text: &str) -> Vec<u8> {
        let mut unit = vec![NAL_SEI, 1, 3, 0, 0, 3, 1];
        unit.push(5);
        let size = UUID.len() + text.len();
        unit.extend(vec![255; size / 255]);
        unit.push((size % 255) as u8);
        unit.extend(UUID);
        unit.extend(text.bytes());
        unit.push(0x80);
        let mut access_unit = vec![0, 0, 0, 2, 0x09, 0xf0];
        access_unit.extend((unit.len() as u32).to_be_bytes());
        access_unit.extend(unit);
        access_unit
    }

    const TEXT: &str = "x264 - core 164 r3108 31e19f9 - H.264/MPEG-4 AVC codec - options: cabac=1 ref=3 \
                        bframes=3 keyint=250 keyint_min=25 scenecut=40 crf=23.0\0";

    #[test]
    fn reads_the_options_behind_another_message() {
        let options = x264_options(&access_unit(TEXT)).unwrap();
        assert_eq!(
            options,
            X264Options {
                keyint: Some(250),
                keyint_min: Some(25),
                bframes: Some(3),
                scenecut: Some(40),
                fps: None
            }
        );
        let infinite = TEXT.replace("keyint=250", "keyint=infinite fps=30000/1001");
        let options = x264_options(&access_unit(&infinite)).unwrap();
        assert_eq!((options.keyint, options.fps), (None, FrameRate::new(30_000, 1001)));
    }

    #[test]
    fn other_encoders_and_cut_units_say_nothing() {
        assert_eq!(x264_options(&access_unit(&TEXT.replace("x264", "x265"))), None);
        assert_eq!(x264_options(&[]), None);
        let whole = access_unit(TEXT);
        for length in 0..whole.len() {
            assert_eq!(x264_options(&whole[..length]), None, "the unit is cut at {length}");
        }
    }
}
