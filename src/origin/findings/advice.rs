//! What a finding means to who set the encoder up: its unit, its weight, and a sentence on what to change there.

use super::{Found, Severity};
use crate::metrics::{Finding, Label};

impl Finding {
    /// As the API, the log and the metrics have it.
    pub fn name(self) -> &'static str {
        Self::TEXTS[self.index()]
    }

    /// How much it matters.
    pub fn severity(self) -> Severity {
        match self {
            Self::BFrames
            | Self::OpenGop
            | Self::VariableFrameRate
            | Self::TimestampRepaired
            | Self::BitRateLow
            | Self::VideoDrift
            | Self::AudioDrift => Severity::Info,
            Self::GopTooLong
            | Self::FrameMissing
            | Self::Discontinuity
            | Self::ParametersChanged
            | Self::PublisherReturned
            | Self::BitRateHigh
            | Self::AudioLate
            | Self::UplinkBurst => Severity::Warning,
        }
    }

    /// Of its value; `None` for one that has none.
    pub fn unit(self) -> Option<&'static str> {
        match self {
            Self::GopTooLong
            | Self::BFrames
            | Self::PublisherReturned
            | Self::AudioLate
            | Self::UplinkBurst => Some("ms"),
            Self::BitRateLow | Self::BitRateHigh => Some("kbit/s"),
            Self::VideoDrift | Self::AudioDrift => Some("ppm"),
            Self::OpenGop
            | Self::VariableFrameRate
            | Self::FrameMissing
            | Self::TimestampRepaired
            | Self::Discontinuity
            | Self::ParametersChanged => None,
        }
    }

    /// Its value is the worst one; else the newest.
    pub(super) fn keeps_worst(self) -> bool {
        self.unit() == Some("ms")
    }
}

/// A clock that is off by more is none: what sends is faster or slower than real time, parts per million.
const CLOCK_PPM_MAX: i64 = 1000;

impl Found {
    /// Its value in the [`Finding::unit`], the worst or the newest.
    pub fn value(&self) -> Option<i64> {
        self.finding.unit().map(|_| self.amount.value)
    }

    /// What was found, and what to change in the encoder.
    pub fn advice(&self) -> String {
        let (value, beside) = (self.amount.value, self.amount.beside);
        match self.finding {
            Finding::GopTooLong => {
                let seconds = (beside / 1000).max(1);
                let frames = 30 * seconds;
                format!(
                    "Keyframes were up to {value} ms apart where segments are to last {beside} ms: set a keyframe interval of {seconds} s (OBS: Settings, Output, Keyframe Interval; ffmpeg: -g {frames} at 30 frames a second)."
                )
            }
            Finding::BFrames => format!(
                "Pictures are sent in another order than they are shown in, which delays all of them by up to {value} ms: turn B-frames off (OBS: Settings, Output, Tune zerolatency, or Max B-frames 0; ffmpeg: -tune zerolatency or -bf 0)."
            ),
            Finding::OpenGop => {
                "Pictures after a keyframe lean on ones before it, so that viewers who join there miss some: close the groups of pictures (ffmpeg: -x265-params open-gop=0).".into()
            }
            Finding::VariableFrameRate => {
                "Pictures follow no exact frame rate, so that each waits for the next one: send a constant rate (OBS: Settings, Video, Common FPS Values; ffmpeg: -r 30 -fps_mode cfr).".into()
            }
            Finding::FrameMissing => {
                "Frames are missing: the encoder is too slow or drops them for its uplink, so choose a faster preset or a lower bit rate (OBS: View, Stats says which; ffmpeg: -preset veryfast, -b:v).".into()
            }
            Finding::TimestampRepaired => {
                "Timestamps are uneven and were smoothed: take pictures and sound from one steady clock (OBS: one sample rate in Settings, Audio and in all devices; ffmpeg: -fps_mode cfr -af aresample=async=1).".into()
            }
            Finding::Discontinuity => {
                "The media broke off for more than a second or its time leapt, and players had to begin anew: keep the source running, with timestamps that rise evenly (ffmpeg: -fflags +genpts, and no -c copy of files with gaps).".into()
            }
            Finding::ParametersChanged => {
                "Tracks or their parameters changed, and players had to begin anew: fix picture size, codecs and sample rate before the start (OBS: Settings, Video, Output Resolution; ffmpeg: -s, -ar).".into()
            }
            Finding::PublisherReturned => format!(
                "The encoder was away for up to {value} ms and came back, which viewers saw as a break: if nobody stopped it, give it a cable or a lower bit rate (OBS: Settings, Advanced, Automatically Reconnect with a delay of 1 s)."
            ),
            Finding::BitRateLow => format!(
                "{value} kbit/s came where {beside} kbit/s are declared: let the encoder fill its rate, or set a lower one (OBS: Settings, Output, Rate Control CBR; ffmpeg: -minrate and -maxrate as large as -b:v, -bufsize, and -x264-params nal-hrd=cbr)."
            ),
            Finding::BitRateHigh => format!(
                "{value} kbit/s came where {beside} kbit/s are declared, which the uplink has to carry: bound it (OBS: Settings, Output, Rate Control CBR; ffmpeg: -maxrate and -bufsize as large as -b:v)."
            ),
            Finding::AudioLate => format!(
                "Sound came up to {value} ms after the pictures of its time, and players wait for it: lower its delay (OBS: Advanced Audio Properties, Sync Offset 0; ffmpeg: -thread_queue_size 512 before the sound's -i)."
            ),
            Finding::VideoDrift => drift("pictures", "-fps_mode cfr", value, beside),
            Finding::AudioDrift => drift("sound", "-af aresample=async=1", value, beside),
            Finding::UplinkBurst => format!(
                "Frames stood still for up to {value} ms and then came at once: the uplink is too slow or shared, so lower the bit rate or use a cable (OBS: Settings, Advanced, Dynamically change bitrate; ffmpeg: -b:v with -maxrate and -bufsize, -tune zerolatency)."
            ),
        }
    }
}

fn drift(of: &str, option: &str, ppm: i64, error_ppm: i64) -> String {
    let rate = if ppm > 0 { "fast" } else { "slow" };
    let cure = if ppm.abs() < CLOCK_PPM_MAX {
        format!(
            "set the encoder's host by NTP, and take the {of} from that clock (OBS does; ffmpeg: {option})"
        )
    } else if ppm > 0 {
        "send in real time (ffmpeg: -re before -i)".into()
    } else {
        "the encoder does not keep up, so choose a faster preset or a smaller picture (OBS: View, Stats; ffmpeg: -preset veryfast)".into()
    };
    format!(
        "The clock of the {of} runs {} ppm (± {error_ppm}) {rate} against the server's: {cure}.",
        ppm.abs()
    )
}
