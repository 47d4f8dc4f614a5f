//! Tracks of a publisher beside the two that are played: what they are and how much of them came.

use crate::codec::CodecConfig;
use crate::limits::FLV_EXTRA_TRACKS_MAX;
use crate::media::TrackKind;

/// One track that is received, counted, and not played.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraTrack {
    /// Pictures or sound.
    pub kind: TrackKind,
    /// Its number among those of its kind: never 0.
    pub id: u8,
    /// Its codec as Enhanced RTMP names it; any four bytes.
    pub four_cc: [u8; 4],
    /// Its RFC 6381 string, once it is configured.
    pub codec: Option<String>,
    /// Pixels of its pictures, once it is configured.
    pub resolution: Option<(u32, u32)>,
    /// Frames so far.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// The first [`FLV_EXTRA_TRACKS_MAX`] such tracks.
#[derive(Debug, Default)]
pub(super) struct ExtraTracks {
    listed: Vec<ExtraTrack>,
}

impl ExtraTracks {
    /// Notes that something of a track came; `None` when no more are listed.
    pub(super) fn note(&mut self, kind: TrackKind, id: u8, four_cc: [u8; 4]) -> Option<&mut ExtraTrack> {
        let known = self.listed.iter().position(|track| (track.kind, track.id) == (kind, id));
        let index = match known {
            Some(index) => index,
            None if self.listed.len() < FLV_EXTRA_TRACKS_MAX => {
                self.listed.push(ExtraTrack {
                    kind,
                    id,
                    four_cc,
                    codec: None,
                    resolution: None,
                    frames: 0,
                    bytes: 0,
                });
                self.listed.len() - 1
            }
            None => return None,
        };
        let track = &mut self.listed[index];
        if track.four_cc != four_cc {
            (track.four_cc, track.codec, track.resolution) = (four_cc, None, None);
        }
        Some(track)
    }

    /// A listed track's configuration is known.
    pub(super) fn configure(&mut self, kind: TrackKind, id: u8, config: &CodecConfig) {
        if let Some(track) = self.listed.iter_mut().find(|track| (track.kind, track.id) == (kind, id)) {
            track.codec = Some(config.rfc6381());
            track.resolution = config.picture().map(|picture| (picture.width, picture.height));
        }
    }

    /// In the order in which they came.
    pub(super) fn listed(&self) -> &[ExtraTrack] {
        &self.listed
    }
}
