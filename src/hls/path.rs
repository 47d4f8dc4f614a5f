//! Request paths of playlists and media, read from the right since an application may have two segments.
//!
//! ```text
//! /APP/KEY/index.m3u8              multivariant playlist
//! /APP/KEY/SESSION/RENDITION.m3u8  media playlist
//! /APP/KEY/EPOCH/RENDITION-iN.mp4  init segment
//! /APP/KEY/EPOCH/RENDITION-N.m4s   part
//! /APP/KEY/EPOCH/RENDITION-sM.m4s  segment M
//! ```
//!
//! Our names consist of characters that no client escapes, so a path is taken as it was received and each
//! resource has one spelling: a percent sign, a leading zero or an empty segment is somebody else's URL.

use std::str::FromStr;

use super::{Epoch, SessionId};
use crate::limits::{APP_SEGMENTS_MAX, NAME_SEGMENT_CHARS_MAX, RENDITION_NAME_CHARS_MAX};

/// A path that may name something of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MediaPath<'a> {
    /// `app/key`, in the characters of a [`crate::media::StreamName`].
    pub stream: &'a str,
    /// What of it.
    pub resource: Resource<'a>,
}

/// One resource of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource<'a> {
    /// The multivariant playlist.
    Multivariant,
    /// A media playlist.
    MediaPlaylist {
        /// The session asked for; another one may answer.
        session: SessionId,
        /// The rendition's name.
        rendition: &'a str,
    },
    /// An init segment.
    Init {
        /// Epoch of its URL.
        epoch: Epoch,
        /// The rendition's name.
        rendition: &'a str,
        /// Its number.
        number: u32,
    },
    /// A part.
    Part {
        /// Epoch of its URL.
        epoch: Epoch,
        /// The rendition's name.
        rendition: &'a str,
        /// Its number.
        number: u64,
    },
    /// A whole segment.
    Segment {
        /// Epoch of its URL.
        epoch: Epoch,
        /// The rendition's name.
        rendition: &'a str,
        /// Its media sequence number.
        media_sequence: u64,
    },
}

/// Reads a path without its query; `None` when it can name nothing of a stream.
pub fn parse(path: &str) -> Option<MediaPath<'_>> {
    let (directory, file) = path.strip_prefix('/')?.rsplit_once('/')?;
    let (stem, extension) = file.rsplit_once('.')?;
    if file == "index.m3u8" {
        return Some(MediaPath { stream: stream(directory)?, resource: Resource::Multivariant });
    }
    let (stream_path, scope) = directory.rsplit_once('/')?;
    let resource = match extension {
        "m3u8" => Resource::MediaPlaylist { session: scope.parse().ok()?, rendition: rendition(stem)? },
        "mp4" | "m4s" => media(scope.parse().ok()?, stem, extension)?,
        _ => return None,
    };
    Some(MediaPath { stream: stream(stream_path)?, resource })
}

fn media<'a>(epoch: Epoch, stem: &'a str, extension: &str) -> Option<Resource<'a>> {
    let (name, number) = stem.rsplit_once('-')?;
    let rendition = rendition(name)?;
    match (extension, number.strip_prefix('i'), number.strip_prefix('s')) {
        ("mp4", Some(number), _) => Some(Resource::Init { epoch, rendition, number: decimal(number)? }),
        ("m4s", _, Some(number)) => {
            Some(Resource::Segment { epoch, rendition, media_sequence: decimal(number)? })
        }
        ("m4s", None, None) => Some(Resource::Part { epoch, rendition, number: decimal(number)? }),
        _ => None,
    }
}

fn stream(path: &str) -> Option<&str> {
    let segments = path.split('/');
    let (mut count, mut allowed) = (0, true);
    for segment in segments {
        let first = segment.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        allowed &= first && segment.len() <= NAME_SEGMENT_CHARS_MAX && segment.bytes().all(plain);
        count += 1;
    }
    (allowed && (2..=APP_SEGMENTS_MAX + 1).contains(&count)).then_some(path)
}

fn rendition(name: &str) -> Option<&str> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let length = (1..=RENDITION_NAME_CHARS_MAX).contains(&name.len());
    (length && name.bytes().all(plain)).then_some(name)
}

/// Digits only, without leading zeros.
fn decimal<T: FromStr>(text: &str) -> Option<T> {
    let one_spelling = text == "0" || !text.starts_with('0');
    if !one_spelling || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: SessionId =
        SessionId { started_unix_ms: 1_795_000_000_123, target_duration_s: 2, part_target_ms: 334 };
    const EPOCH: Epoch = Epoch { started_unix_ms: 1_795_000_000_000, random: 0xbeef };

    #[test]
    fn reads_every_resource_of_applications_of_one_and_two_segments() {
        let (v, number) = ("v", 17);
        for stream in ["live/demo", "live/sub/demo", "l/k.1_2-3"] {
            for (rest, resource) in [
                ("index.m3u8".to_string(), Resource::Multivariant),
                (format!("{SESSION}/v.m3u8"), Resource::MediaPlaylist { session: SESSION, rendition: v }),
                (format!("{EPOCH}/v-i0.mp4"), Resource::Init { epoch: EPOCH, rendition: v, number: 0 }),
                (format!("{EPOCH}/v-17.m4s"), Resource::Part { epoch: EPOCH, rendition: v, number }),
                (
                    format!("{EPOCH}/v-s17.m4s"),
                    Resource::Segment { epoch: EPOCH, rendition: v, media_sequence: number },
                ),
            ] {
                let path = format!("/{stream}/{rest}");
                assert_eq!(parse(&path), Some(MediaPath { stream, resource }), "{path}");
            }
        }
    }

    #[test]
    fn refuses_every_other_spelling() {
        let max = u64::MAX;
        for path in [
            String::new(),
            "/".into(),
            "index.m3u8".into(),
            "/index.m3u8".into(),
            "/demo/index.m3u8".into(),
            "//demo/index.m3u8".into(),
            "/a/b/c/d/index.m3u8".into(),
            "/live/../index.m3u8".into(),
            "/live/%64emo/index.m3u8".into(),
            "/live/demo/Index.m3u8".into(),
            "/live/demo/v.m3u8".into(),
            format!("/live/demo/{EPOCH}/v.m3u8"),
            format!("/live/demo/{SESSION}/V.m3u8"),
            format!("/live/demo/{SESSION}/.m3u8"),
            format!("/demo/{SESSION}/v.m3u8"),
            format!("/live/demo/{SESSION}/v-17.m4s"),
            format!("/live/demo/{EPOCH}/v-017.m4s"),
            format!("/live/demo/{EPOCH}/v-+17.m4s"),
            format!("/live/demo/{EPOCH}/v-.m4s"),
            format!("/live/demo/{EPOCH}/-17.m4s"),
            format!("/live/demo/{EPOCH}/v-17.mp4"),
            format!("/live/demo/{EPOCH}/v-i17.m4s"),
            format!("/live/demo/{EPOCH}/v-i{max}.mp4"),
            format!("/live/demo/{EPOCH}/v-{max}0.m4s"),
            format!("/live/demo/{EPOCH}/v-17.ts"),
            format!("/live/demo/{EPOCH}/{}-17.m4s", "v".repeat(17)),
            format!("/live/{}/index.m3u8", "k".repeat(129)),
        ] {
            assert_eq!(parse(&path), None, "{path}");
        }
    }

    #[test]
    fn a_prefix_of_a_path_never_panics_and_a_suffix_neither() {
        let path = format!("/live/d\u{e9}mo/{EPOCH}/v-s17.m4s");
        for cut in (0..=path.len()).filter(|&cut| path.is_char_boundary(cut)) {
            parse(&path[..cut]);
            parse(&path[cut..]);
        }
    }
}
