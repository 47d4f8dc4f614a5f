//! What a request names, in a form that a waiting viewer can keep: owned, small, without allocation.

use crate::hls::reload::Directives;
use crate::hls::{Epoch, SessionId, path};
use crate::limits::RENDITION_NAME_BYTES_MAX;

/// A rendition's name as a path gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RenditionName {
    bytes: [u8; RENDITION_NAME_BYTES_MAX],
    len: u8,
}

impl RenditionName {
    /// `None` for a name longer than any of ours.
    pub fn new(name: &str) -> Option<Self> {
        let mut bytes = [0; RENDITION_NAME_BYTES_MAX];
        bytes.get_mut(..name.len())?.copy_from_slice(name.as_bytes());
        Some(Self { bytes, len: name.len() as u8 })
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        // It came from a whole `&str`.
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }
}

/// A thing of one stream that can be asked for.
#[derive(Debug, Clone, Copy)]
pub enum Resource {
    /// `index.m3u8`
    Multivariant,
    /// A media playlist, perhaps to be waited for.
    Playlist {
        /// The session in the path.
        session: SessionId,
        /// The rendition in the path.
        rendition: RenditionName,
        /// The delivery directives of the query.
        directives: Directives,
    },
    /// An init segment, a part or a segment.
    Media {
        /// The epoch in the path.
        epoch: Epoch,
        /// The rendition in the path.
        rendition: RenditionName,
        /// Which one.
        number: MediaNumber,
    },
}

/// The kinds of media, with the number that each is named by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MediaNumber {
    /// Init segment.
    Init(u32),
    /// Part counter.
    Part(u64),
    /// Media sequence number.
    Segment(u64),
}

impl Resource {
    /// From a parsed path and its query; `None` when no rendition of ours can have that name.
    pub fn new(path: &path::Resource<'_>, query: &str) -> Option<Self> {
        let media = |epoch: Epoch, rendition: &str, number| {
            Some(Self::Media { epoch, rendition: RenditionName::new(rendition)?, number })
        };
        match *path {
            path::Resource::Multivariant => Some(Self::Multivariant),
            path::Resource::MediaPlaylist { session, rendition } => Some(Self::Playlist {
                session,
                rendition: RenditionName::new(rendition)?,
                directives: Directives::parse(query),
            }),
            path::Resource::Init { epoch, rendition, number } => {
                media(epoch, rendition, MediaNumber::Init(number))
            }
            path::Resource::Part { epoch, rendition, number } => {
                media(epoch, rendition, MediaNumber::Part(number))
            }
            path::Resource::Segment { epoch, rendition, media_sequence } => {
                media(epoch, rendition, MediaNumber::Segment(media_sequence))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rendition_name_is_kept_whole_or_not_at_all() {
        assert_eq!(RenditionName::new("av").unwrap().as_str(), "av");
        assert_eq!(RenditionName::new("").unwrap().as_str(), "");
        assert!(RenditionName::new("ninechars").is_none());
    }
}
