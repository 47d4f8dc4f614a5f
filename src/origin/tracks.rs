//! What was learnt of a publisher's tracks, and how they are laid out in renditions.

use crate::codec::CodecConfig;
use crate::flv::FrameBegin;
use crate::hls::LearntTrack;
use crate::hls::{Rendition, RenditionId};
use crate::media::Cadence;
use crate::media::{TrackId, TrackKind};

/// One track as it was learnt.
#[derive(Debug, Clone)]
pub struct StreamTrack {
    /// Video or audio.
    pub kind: TrackKind,
    /// How its frames follow one another.
    pub cadence: Cadence,
    /// What they are decoded with.
    pub config: CodecConfig,
    /// Of sound, when its configuration or its publisher says.
    pub channels: Option<u8>,
}

/// All tracks of a publisher, video first; `tracks[i]` is TrackId(i).
#[derive(Debug, Clone, Default)]
pub struct LearntStream {
    /// One or two.
    pub tracks: Vec<StreamTrack>,
}

impl LearntStream {
    /// By TrackId.
    pub fn cadences(&self) -> Vec<Cadence> {
        self.tracks.iter().map(|track| track.cadence).collect()
    }

    /// A group of pictures of it begins with this frame, or it has none.
    pub fn begins_with(&self, frame: &FrameBegin) -> bool {
        let has_video = self.has(TrackKind::Video);
        if has_video { frame.kind == TrackKind::Video && frame.key } else { frame.kind == TrackKind::Audio }
    }

    /// It has a track of this kind.
    pub fn has(&self, kind: TrackKind) -> bool {
        self.tracks.iter().any(|track| track.kind == kind)
    }

    /// For the plan: the tracks with the renditions they go to.
    pub fn planned(&self, muxed: bool) -> Vec<LearntTrack> {
        let planned = self.tracks.iter().enumerate().map(|(index, track)| LearntTrack {
            track: TrackId(index as u8),
            rendition: if muxed { RenditionId(0) } else { rendition_of(index) },
            kind: track.kind,
            cadence: track.cadence,
        });
        planned.collect()
    }
}

/// The rendition with this index.
pub fn rendition_of(index: usize) -> RenditionId {
    RenditionId(index as u8)
}

/// Which tracks share a rendition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RenditionLayout {
    muxed: bool,
}

impl RenditionLayout {
    /// One rendition a track; or one for both, if that is wanted and there are two.
    pub fn new(muxed: bool, stream: &LearntStream) -> Self {
        Self { muxed: muxed && stream.tracks.len() > 1 }
    }

    /// The session's renditions, by id.
    pub fn renditions(self, stream: &LearntStream) -> Vec<Rendition> {
        if self.muxed {
            return vec![describe(RenditionId(0), "av", &stream.tracks)];
        }
        let each = stream.tracks.iter().enumerate().map(|(index, track)| {
            let name = if track.kind == TrackKind::Video { "v" } else { "a" };
            describe(rendition_of(index), name, std::slice::from_ref(track))
        });
        each.collect()
    }
}

/// The first track is the one that cuts are made on.
fn describe(id: RenditionId, name: &str, tracks: &[StreamTrack]) -> Rendition {
    let codecs: Vec<String> = tracks.iter().map(|track| track.config.rfc6381()).collect();
    let mut rendition = Rendition {
        id,
        name: name.into(),
        kind: tracks[0].kind,
        timescale: tracks[0].cadence.timescale(),
        codecs: codecs.join(",").into(),
        resolution: None,
        frame_rate_milli: None,
        video_range: None,
        channels: None,
    };
    for track in tracks {
        if let Some(picture) = track.config.picture() {
            rendition.resolution = Some((picture.width, picture.height));
            rendition.frame_rate_milli = track.cadence.frame_rate().map(|rate| rate.milli());
            rendition.video_range = track.config.video_range();
        }
        rendition.channels = rendition.channels.or(track.channels);
    }
    rendition
}
