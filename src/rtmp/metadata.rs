//! onMetaData: what an encoder says of its stream. Hints only; the codecs' own headers win.

use super::amf::{AmfWriter, Value};
use crate::limits::RTMP_ENCODER_CHARS_MAX;

/// The properties that are of use, each as far as it was sent and makes sense.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StreamMetadata {
    /// Width in pixels.
    pub width: Option<f64>,
    /// Height in pixels.
    pub height: Option<f64>,
    /// Frames a second.
    pub framerate: Option<f64>,
    /// A codec id of FLV (7 for AVC), or a FourCC as a number.
    pub video_codec: Option<f64>,
    /// A codec id of FLV (10 for AAC), or a FourCC as a number.
    pub audio_codec: Option<f64>,
    /// Kilobits a second of video.
    pub video_data_rate_kbit: Option<f64>,
    /// Kilobits a second of audio.
    pub audio_data_rate_kbit: Option<f64>,
    /// Samples a second.
    pub audio_sample_rate: Option<f64>,
    /// Channels.
    pub audio_channels: Option<f64>,
    /// Two channels or one.
    pub stereo: Option<bool>,
    /// The encoder's name: at most 128 characters, none of them a control character.
    pub encoder: Option<String>,
}

impl StreamMetadata {
    /// The metadata in a data message's values: `@setDataFrame`, a name and an object, or the name and the
    /// object alone. `None` for any other message.
    pub fn from_values(values: &[Value]) -> Option<Self> {
        let values = match values.first()?.as_str()? {
            "@setDataFrame" => &values[1..],
            _ => values,
        };
        let [name, object @ Value::Object(_), ..] = values else { return None };
        (name.as_str()? == "onMetaData").then(|| Self::from_object(object))
    }

    fn from_object(object: &Value) -> Self {
        let number = |name| {
            let number = object.property(name).and_then(Value::as_f64);
            number.filter(|number| number.is_finite() && *number > 0.0)
        };
        // Some encoders spell the codec: `avc1`, `mp4a`.
        let codec = |name| number(name).or_else(|| four_cc(object.property(name)?.as_str()?));
        Self {
            width: number("width"),
            height: number("height"),
            framerate: number("framerate"),
            video_codec: codec("videocodecid"),
            audio_codec: codec("audiocodecid"),
            video_data_rate_kbit: number("videodatarate"),
            audio_data_rate_kbit: number("audiodatarate"),
            audio_sample_rate: number("audiosamplerate"),
            audio_channels: number("audiochannels"),
            stereo: object.property("stereo").and_then(Value::as_bool),
            encoder: object.property("encoder").and_then(Value::as_str).map(printable),
        }
    }

    /// Appends the body of a data message that says this.
    pub fn write(&self, output: &mut Vec<u8>) {
        let numbers = [
            ("width", self.width),
            ("height", self.height),
            ("framerate", self.framerate),
            ("videocodecid", self.video_codec),
            ("audiocodecid", self.audio_codec),
            ("videodatarate", self.video_data_rate_kbit),
            ("audiodatarate", self.audio_data_rate_kbit),
            ("audiosamplerate", self.audio_sample_rate),
            ("audiochannels", self.audio_channels),
        ];
        let numbers: Vec<_> = numbers.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        let count = numbers.len() + usize::from(self.stereo.is_some()) + usize::from(self.encoder.is_some());
        let mut writer = AmfWriter::new(output);
        writer.string("@setDataFrame").string("onMetaData").ecma_array(count as u32, |writer| {
            for (name, value) in numbers {
                writer.key(name).number(value);
            }
            if let Some(stereo) = self.stereo {
                writer.key("stereo").boolean(stereo);
            }
            if let Some(encoder) = &self.encoder {
                writer.key("encoder").string(encoder);
            }
        });
    }
}

fn four_cc(text: &str) -> Option<f64> {
    let four: [u8; 4] = text.as_bytes().try_into().ok()?;
    Some(f64::from(u32::from_be_bytes(four)))
}

/// An encoder's name as it may stand in a log or on a page's data: bounded, without control characters.
pub(super) fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(RTMP_ENCODER_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::super::amf::read_values;
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let metadata = StreamMetadata {
            width: Some(1920.0),
            framerate: Some(29.97),
            video_codec: Some(7.0),
            stereo: Some(true),
            encoder: Some("demo".into()),
            ..StreamMetadata::default()
        };
        let mut message = Vec::new();
        metadata.write(&mut message);
        let values = read_values(&message).unwrap();
        assert_eq!(StreamMetadata::from_values(&values), Some(metadata.clone()));
        assert_eq!(StreamMetadata::from_values(&values[1..]), Some(metadata));
    }

    #[test]
    fn nonsense_is_no_hint_and_other_messages_are_no_metadata() {
        let mut message = Vec::new();
        AmfWriter::new(&mut message).string("onMetaData").object(|writer| {
            writer.key("width").number(f64::NAN);
            writer.key("height").number(-1.0);
            writer.key("framerate").string("thirty");
            writer.key("videocodecid").string("avc1");
            writer.key("encoder").string("a\r\nb");
        });
        let metadata = StreamMetadata::from_values(&read_values(&message).unwrap()).unwrap();
        let expected = StreamMetadata {
            video_codec: Some(f64::from(0x6176_6331)),
            encoder: Some("ab".into()),
            ..StreamMetadata::default()
        };
        assert_eq!(metadata, expected);

        for name in ["onCuePoint", "@clearDataFrame", "@setDataFrame"] {
            let mut message = Vec::new();
            AmfWriter::new(&mut message).string(name).object(|_| ());
            assert_eq!(StreamMetadata::from_values(&read_values(&message).unwrap()), None);
        }
        assert_eq!(StreamMetadata::from_values(&[]), None);
        assert_eq!(StreamMetadata::from_values(&[Value::Null]), None);
    }
}
