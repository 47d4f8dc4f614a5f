//! What is answered to a connect that says what it can do (Enhanced RTMP v2, "Enhancing NetConnection connect
//! Command").
//!
//! Only to who asks, and only what was asked about: nothing depends on it, since OBS and ffmpeg send every codec
//! without a word.

use crate::rtmp::amf::{AmfWriter, Value};

/// FourCCs of the pictures that are carried,
pub const VIDEO_FOUR_CCS: [&str; 4] = ["avc1", "hvc1", "av01", "vp09"];
/// and of the sound.
pub const AUDIO_FOUR_CCS: [&str; 5] = ["mp4a", "Opus", "ac-3", "ec-3", "fLaC"];

/// FourCcInfoMask.CanForward: it is given on as it came.
const CAN_FORWARD: f64 = 4.0;
/// CapsExMask: Multitrack (0x02), ModEx (0x04) and TimestampNanoOffset (0x08). Not Reconnect: nobody is asked to.
const CAPS_EX: f64 = 14.0;

/// The properties that a client's connect object asks about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Asked {
    four_cc_list: bool,
    video_map: bool,
    audio_map: bool,
    caps_ex: bool,
}

impl Asked {
    /// Looks for them in the command object of connect.
    pub(super) fn of(object: &Value) -> Self {
        let has = |name| object.property(name).is_some();
        Self {
            four_cc_list: has("fourCcList"),
            video_map: has("videoFourCcInfoMap"),
            audio_map: has("audioFourCcInfoMap"),
            caps_ex: has("capsEx"),
        }
    }

    /// Appends the answers to the information object of the result.
    pub(super) fn answer(self, writer: &mut AmfWriter) {
        let map = |writer: &mut AmfWriter, name, codecs: &[&str]| {
            writer.key(name).object(|writer| {
                for codec in codecs {
                    writer.key(codec).number(CAN_FORWARD);
                }
            });
        };
        if self.four_cc_list {
            let codecs = || VIDEO_FOUR_CCS.iter().chain(&AUDIO_FOUR_CCS);
            writer.key("fourCcList").strict_array(codecs().count() as u32, |writer| {
                for codec in codecs() {
                    writer.string(codec);
                }
            });
        }
        if self.video_map {
            map(writer, "videoFourCcInfoMap", &VIDEO_FOUR_CCS);
        }
        if self.audio_map {
            map(writer, "audioFourCcInfoMap", &AUDIO_FOUR_CCS);
        }
        if self.caps_ex {
            writer.key("capsEx").number(CAPS_EX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Codec;

    #[test]
    fn what_is_said_is_what_is_carried() {
        for (four_ccs, video) in [(&VIDEO_FOUR_CCS[..], true), (&AUDIO_FOUR_CCS[..], false)] {
            for four_cc in four_ccs {
                let codec = Codec::from_four_cc(four_cc.as_bytes().try_into().unwrap());
                assert_eq!(codec.map(Codec::is_video), Some(video), "{four_cc}");
            }
        }
        for four_cc in [*b"vp08", *b"vvc1", *b".mp3"] {
            assert_eq!(Codec::from_four_cc(four_cc), None);
        }
    }
}
