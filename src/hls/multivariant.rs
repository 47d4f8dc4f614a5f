//! The multivariant playlist of a session (draft-pantos-hls-rfc8216bis-22, section 4.4.6).
//!
//! Pictures and sound in one rendition, in two, or only one of them: each has its form.

use super::text::{push_integer, push_ms};
use super::window::{DeclaredBandwidth, Window};
use super::{Rendition, SessionId, VideoRange};
use crate::media::TrackKind;

/// Section 8: nothing in it needs more; EXT-X-MAP in its media playlists asks for 6.
const HEAD: &str = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-INDEPENDENT-SEGMENTS\n";

/// The playlist; `None` when the session is unknown or nothing is answered yet.
pub fn render(window: &Window, id: SessionId) -> Option<String> {
    let session = window.session(id)?;
    let bandwidth = session.bandwidth?;
    let of_kind = |kind| session.start.renditions.iter().filter(move |each: &&Rendition| each.kind == kind);
    let audio: Vec<&Rendition> = of_kind(TrackKind::Audio).collect();
    let mut writer = Writer { out: String::with_capacity(1024), directory: format!("{id}/") };
    writer.out.push_str(HEAD);
    if of_kind(TrackKind::Video).next().is_none() {
        // Sound alone: each rendition is a variant of its own, and there is nothing to join a group with.
        audio.iter().for_each(|rendition| writer.write_variant(bandwidth, rendition, &[]));
        return Some(writer.out);
    }
    for (index, rendition) in audio.iter().enumerate() {
        writer.write_audio(rendition, index);
    }
    for rendition in of_kind(TrackKind::Video) {
        writer.write_variant(bandwidth, rendition, &audio);
    }
    Some(writer.out)
}

struct Writer {
    out: String,
    /// `SESSION/`, where the media playlists are.
    directory: String,
}

impl Writer {
    fn write_audio(&mut self, rendition: &Rendition, index: usize) {
        self.out.push_str("#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"Audio ");
        push_integer(&mut self.out, index as u64 + 1);
        // A media playlist has one language; RTMP does not tell which.
        self.out.push_str("\",LANGUAGE=\"und\"");
        if index == 0 {
            self.out.push_str(",DEFAULT=YES");
        }
        self.out.push_str(",AUTOSELECT=YES");
        if let Some(channels) = rendition.channels {
            self.out.push_str(",CHANNELS=\"");
            push_integer(&mut self.out, channels.into());
            self.out.push('"');
        }
        self.out.push_str(",URI=\"");
        self.push_uri(rendition);
        self.out.push_str("\"\n");
    }

    /// A variant: one rendition, and the audio group that plays with it.
    fn write_variant(&mut self, bandwidth: DeclaredBandwidth, rendition: &Rendition, audio: &[&Rendition]) {
        self.out.push_str("#EXT-X-STREAM-INF:BANDWIDTH=");
        push_integer(&mut self.out, bandwidth.peak_bits);
        self.out.push_str(",AVERAGE-BANDWIDTH=");
        push_integer(&mut self.out, bandwidth.average_bits);
        self.push_codecs(rendition, audio);
        if let Some((width, height)) = rendition.resolution {
            self.out.push_str(",RESOLUTION=");
            push_integer(&mut self.out, width.into());
            self.out.push('x');
            push_integer(&mut self.out, height.into());
        }
        if let Some(frame_rate_milli) = rendition.frame_rate_milli {
            self.out.push_str(",FRAME-RATE=");
            push_ms(&mut self.out, frame_rate_milli.into());
        }
        if let Some(range) = rendition.video_range {
            self.out.push_str(match range {
                VideoRange::Sdr => ",VIDEO-RANGE=SDR",
                VideoRange::Hlg => ",VIDEO-RANGE=HLG",
                VideoRange::Pq => ",VIDEO-RANGE=PQ",
            });
        }
        if !audio.is_empty() {
            self.out.push_str(",AUDIO=\"audio\"");
        }
        self.out.push_str(",CLOSED-CAPTIONS=NONE\n");
        self.push_uri(rendition);
        self.out.push('\n');
    }

    /// Every format of every rendition that plays together, each once.
    fn push_codecs(&mut self, rendition: &Rendition, audio: &[&Rendition]) {
        let mut written: Vec<&str> = Vec::new();
        self.out.push_str(",CODECS=\"");
        for codec in [rendition].iter().chain(audio).flat_map(|each| each.codecs.split(',')) {
            if codec.is_empty() || written.contains(&codec) {
                continue;
            }
            if !written.is_empty() {
                self.out.push(',');
            }
            self.out.push_str(codec);
            written.push(codec);
        }
        self.out.push('"');
    }

    fn push_uri(&mut self, rendition: &Rendition) {
        self.out.push_str(&self.directory);
        self.out.push_str(&rendition.name);
        self.out.push_str(".m3u8");
    }
}
