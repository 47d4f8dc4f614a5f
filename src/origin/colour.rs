//! What a publisher says of its pictures' light: `colorInfo` of Enhanced RTMP v2 ("Metadata Frame").

use crate::codec::{Colour, ContentLight, Hdr, MasteringDisplay};
use crate::rtmp::amf::{Value, read_values};

/// H.273's code point for "unspecified".
const UNSPECIFIED: u8 = 2;

/// Reads the values of a metadata packet. Each property counts for itself; one that is missing or no value of
/// its kind says nothing. An empty object, or undefined, takes back what was said before.
///
/// `None` when the packet holds no colorInfo or cannot be read: then what was said before holds.
pub(super) fn color_info(amf: &[u8]) -> Option<Hdr> {
    let values = read_values(amf).ok()?;
    let mut pairs = values.chunks_exact(2);
    let info = pairs.find_map(|pair| (pair[0].as_str() == Some("colorInfo")).then_some(&pair[1]))?;
    Some(Hdr {
        colour: info.property("colorConfig").and_then(colour),
        mastering: info.property("hdrMdcv").and_then(mastering),
        light: info.property("hdrCll").and_then(light),
    })
}

fn colour(config: &Value) -> Option<Colour> {
    let code_point = |name| {
        let number = config.property(name).and_then(Value::as_f64)?;
        (0.0..=255.0).contains(&number).then_some(number as u8)
    };
    let points = ["colorPrimaries", "transferCharacteristics", "matrixCoefficients"].map(code_point);
    if points.iter().all(|point| point.is_none_or(|point| point == UNSPECIFIED)) {
        return None;
    }
    let [primaries, transfer, matrix] = points.map(|point| point.unwrap_or(UNSPECIFIED));
    // Nothing is said of the range: video has the narrow one.
    Some(Colour { primaries, transfer, matrix, full_range: false })
}

fn mastering(display: &Value) -> Option<MasteringDisplay> {
    let number = |name| display.property(name).and_then(Value::as_f64);
    let names = ["redX", "redY", "greenX", "greenY", "blueX", "blueY", "whitePointX", "whitePointY"];
    let mut coordinates = [0.0; 8];
    for (coordinate, name) in coordinates.iter_mut().zip(names) {
        *coordinate = number(name)?;
    }
    MasteringDisplay::from_cie(coordinates, number("maxLuminance")?, number("minLuminance")?)
}

fn light(level: &Value) -> Option<ContentLight> {
    let number = |name| level.property(name).and_then(Value::as_f64);
    ContentLight::from_nits(number("maxCLL")?, number("maxFall")?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtmp::amf::AmfWriter;

    fn said(info: impl FnOnce(&mut AmfWriter)) -> Option<Hdr> {
        let mut amf = Vec::new();
        info(AmfWriter::new(&mut amf).string("colorInfo"));
        color_info(&amf)
    }

    /// As OBS sends it for HDR10.
    #[test]
    fn a_whole_color_info_is_read() {
        let hdr = said(|writer| {
            writer.object(|writer| {
                writer.key("colorConfig").object(|writer| {
                    writer.key("bitDepth").number(10.0);
                    writer.key("colorPrimaries").number(9.0);
                    writer.key("transferCharacteristics").number(16.0);
                    writer.key("matrixCoefficients").number(9.0);
                });
                writer.key("hdrCll").object(|writer| {
                    writer.key("maxFall").number(300.0);
                    writer.key("maxCLL").number(1000.0);
                });
                writer.key("hdrMdcv").object(|writer| {
                    for (name, value) in [
                        ("redX", 0.68),
                        ("redY", 0.32),
                        ("greenX", 0.265),
                        ("greenY", 0.69),
                        ("blueX", 0.15),
                        ("blueY", 0.06),
                        ("whitePointX", 0.3127),
                        ("whitePointY", 0.329),
                        ("maxLuminance", 1000.0),
                        ("minLuminance", 0.0),
                    ] {
                        writer.key(name).number(value);
                    }
                });
            });
        });
        let expected = Hdr {
            colour: Some(Colour { primaries: 9, transfer: 16, matrix: 9, full_range: false }),
            mastering: MasteringDisplay::from_cie(
                [0.68, 0.32, 0.265, 0.69, 0.15, 0.06, 0.3127, 0.329],
                1000.0,
                0.0,
            ),
            light: ContentLight::from_nits(1000.0, 300.0),
        };
        assert_eq!(hdr, Some(expected));
        assert!(expected.mastering.is_some() && expected.light.is_some());
    }

    /// ffmpeg's colorConfig is empty when it knows nothing.
    #[test]
    fn what_is_not_said_is_nothing_and_nonsense_neither() {
        assert_eq!(
            said(|writer| {
                writer.object(|writer| {
                    writer.key("colorConfig").object(|_| ());
                });
            }),
            Some(Hdr::default())
        );
        let nonsense = said(|writer| {
            writer.object(|writer| {
                writer.key("colorConfig").object(|writer| {
                    writer.key("colorPrimaries").number(f64::NAN);
                    writer.key("transferCharacteristics").number(18.0);
                    writer.key("matrixCoefficients").number(-1.0);
                });
                writer.key("hdrCll").object(|writer| {
                    writer.key("maxCLL").number(-5.0);
                });
                writer.key("hdrMdcv").number(3.0);
            });
        });
        let colour = Some(Colour { primaries: 2, transfer: 18, matrix: 2, full_range: false });
        assert_eq!(nonsense, Some(Hdr { colour, ..Hdr::default() }));
        assert_eq!(said(|_| ()), None);
        assert_eq!(color_info(b"\x02\x00\x09colorInfo\x06"), Some(Hdr::default()), "undefined takes it back");
        assert_eq!(color_info(b"\x02\x00\x09colorInfo\x03\xff"), None);
        assert_eq!(color_info(b""), None);
    }
}
