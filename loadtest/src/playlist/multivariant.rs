//! A multivariant playlist, and what a simple player plays of it (8216bis, 4.4.6).

use std::sync::Arc;

use super::PlaylistError;
use super::attributes::Attributes;
use super::text::{Reading, decimal, integer};
use crate::fault::Fault;

/// One multivariant playlist. Addresses are kept as they stand, relative or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Multivariant {
    /// EXT-X-VERSION; 1 when there is none.
    pub version: u32,
    /// EXT-X-INDEPENDENT-SEGMENTS.
    pub independent_segments: bool,
    /// EXT-X-STREAM-INF, at least one.
    pub variants: Vec<Variant>,
    /// EXT-X-MEDIA.
    pub renditions: Vec<Rendition>,
    /// Breaches of the grammar that left the meaning clear.
    pub breaches: Vec<Fault>,
}

/// EXT-X-STREAM-INF (4.4.6.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// Address of its media playlist.
    pub uri: Arc<str>,
    /// BANDWIDTH.
    pub bandwidth_bps: u64,
    /// AVERAGE-BANDWIDTH.
    pub average_bandwidth_bps: Option<u64>,
    /// CODECS, as it stands.
    pub codecs: Option<Arc<str>>,
    /// RESOLUTION.
    pub resolution: Option<Resolution>,
    /// FRAME-RATE in thousandths: 29.970 is 29 970.
    pub frame_rate_mhz: Option<u64>,
    /// AUDIO: the group its audio is in.
    pub audio_group: Option<Arc<str>>,
}

/// Width and height in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resolution {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
}

/// EXT-X-MEDIA (4.4.6.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendition {
    /// TYPE.
    pub kind: RenditionKind,
    /// GROUP-ID.
    pub group: Arc<str>,
    /// NAME.
    pub name: Arc<str>,
    /// LANGUAGE.
    pub language: Option<Arc<str>>,
    /// DEFAULT=YES.
    pub default: bool,
    /// AUTOSELECT=YES.
    pub autoselect: bool,
    /// Address of its media playlist; `None` when its media is in the variant's own.
    pub uri: Option<Arc<str>>,
}

/// TYPE of an EXT-X-MEDIA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenditionKind {
    /// AUDIO.
    Audio,
    /// VIDEO.
    Video,
    /// SUBTITLES.
    Subtitles,
    /// CLOSED-CAPTIONS.
    ClosedCaptions,
    /// A type that is not known here.
    Other,
}

/// Which variant to play.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Choice {
    /// The one listed first, as a player begins.
    #[default]
    First,
    /// The one at this place, from 0.
    Index(usize),
    /// The one of the highest bandwidth.
    Highest,
    /// The one of the lowest bandwidth.
    Lowest,
}

/// What a player plays together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Selection<'a> {
    /// The variant.
    pub variant: &'a Variant,
    /// The audio that has a playlist of its own; `None` where the variant has all there is.
    pub audio: Option<&'a Rendition>,
}

impl Multivariant {
    /// Reads a multivariant playlist; a media playlist is [`PlaylistError::OtherKind`].
    pub fn parse(text: &str) -> Result<Self, PlaylistError> {
        let mut reading = Reading::default();
        let mut lines = reading.open(text)?;
        let (mut version, mut independent_segments) = (None, false);
        let (mut variants, mut renditions) = (Vec::new(), Vec::new());
        let mut pending: Option<Variant> = None;
        while let Some(line) = reading.next_line(&mut lines)? {
            let Some(tag) = line.strip_prefix("#EXT") else {
                match pending.take() {
                    Some(variant) => {
                        let variant = Variant { uri: Arc::from(line), ..variant };
                        reading.push(&mut variants, variant, "variants")?;
                    }
                    None => reading.breach(line, "an address after EXT-X-STREAM-INF"),
                }
                continue;
            };
            let (name, value) = tag.split_once(':').unwrap_or((tag, ""));
            match name {
                "-X-STREAM-INF" => {
                    let unfinished = pending.replace(read_variant(&mut reading, value)?);
                    if unfinished.is_some() {
                        reading.breach(name, "an address after each EXT-X-STREAM-INF");
                    }
                }
                "-X-MEDIA" => {
                    let rendition = read_rendition(&mut reading, value)?;
                    reading.push(&mut renditions, rendition, "renditions")?;
                }
                "-X-VERSION" => version = Some(reading.integer_u32(value)?),
                "-X-INDEPENDENT-SEGMENTS" => independent_segments = true,
                "INF" => return Err(other_kind(&reading, "EXTINF")),
                "-X-TARGETDURATION" => return Err(other_kind(&reading, "EXT-X-TARGETDURATION")),
                "-X-MEDIA-SEQUENCE" => return Err(other_kind(&reading, "EXT-X-MEDIA-SEQUENCE")),
                "-X-PART-INF" => return Err(other_kind(&reading, "EXT-X-PART-INF")),
                "-X-SERVER-CONTROL" => return Err(other_kind(&reading, "EXT-X-SERVER-CONTROL")),
                "-X-PART" => return Err(other_kind(&reading, "EXT-X-PART")),
                _ => {}
            }
        }
        if pending.is_some() {
            reading.breach("EXT-X-STREAM-INF", "an address after it");
        }
        if variants.is_empty() {
            return Err(PlaylistError::TagMissing { tag: "EXT-X-STREAM-INF" });
        }
        let version = version.unwrap_or(1);
        Ok(Self { version, independent_segments, variants, renditions, breaches: reading.breaches })
    }

    /// What a simple player plays: one variant, and of the variant's audio group the default rendition. `None` when
    /// there is no variant at that place.
    pub fn select(&self, choice: Choice) -> Option<Selection<'_>> {
        let variant = match choice {
            Choice::First => self.variants.first(),
            Choice::Index(index) => self.variants.get(index),
            // Of equal ones the first, as a player would.
            Choice::Highest => self.variants.iter().rev().max_by_key(|variant| variant.bandwidth_bps),
            Choice::Lowest => self.variants.iter().min_by_key(|variant| variant.bandwidth_bps),
        }?;
        let audio = variant.audio_group.as_deref().and_then(|group| self.default_audio(group));
        Some(Selection { variant, audio: audio.filter(|rendition| rendition.uri.is_some()) })
    }

    /// 4.4.6.1: the DEFAULT one, else the first that may be chosen without being asked for, else the first.
    fn default_audio(&self, group: &str) -> Option<&Rendition> {
        let in_group = || {
            self.renditions
                .iter()
                .filter(|rendition| rendition.kind == RenditionKind::Audio && *rendition.group == *group)
        };
        in_group()
            .find(|rendition| rendition.default)
            .or_else(|| in_group().find(|rendition| rendition.autoselect))
            .or_else(|| in_group().next())
    }
}

fn other_kind(reading: &Reading, found: &'static str) -> PlaylistError {
    PlaylistError::OtherKind { line: reading.line, found, allowed: "a multivariant playlist" }
}

fn read_variant(reading: &mut Reading, value: &str) -> Result<Variant, PlaylistError> {
    let (mut bandwidth, mut average, mut codecs, mut audio_group) = (None, None, None, None);
    let (mut resolution_text, mut frame_rate_text) = (None, None);
    let mut attributes = Attributes::new(value);
    while let Some(attribute) = attributes.next(reading)? {
        match attribute.name {
            "BANDWIDTH" => attribute.integer(&mut bandwidth, reading)?,
            "AVERAGE-BANDWIDTH" => attribute.integer(&mut average, reading)?,
            "CODECS" => attribute.text(&mut codecs, reading),
            "RESOLUTION" => attribute.word(&mut resolution_text, reading),
            "FRAME-RATE" => attribute.word(&mut frame_rate_text, reading),
            "AUDIO" => attribute.text(&mut audio_group, reading),
            _ => {}
        }
    }
    let resolution = resolution_text.and_then(|text| {
        let resolution = resolution(text);
        if resolution.is_none() {
            reading.breach(text, "<width>x<height>");
        }
        resolution
    });
    let frame_rate_mhz = frame_rate_text.and_then(|text| {
        let per_second = decimal(text);
        if per_second.is_none() {
            reading.breach(text, "digits and one point");
        }
        per_second.and_then(|per_second| u64::try_from(per_second.as_millis()).ok())
    });
    let bandwidth_bps = bandwidth.ok_or_else(|| reading.missing("EXT-X-STREAM-INF", "BANDWIDTH"))?;
    Ok(Variant {
        uri: Arc::from(""),
        bandwidth_bps,
        average_bandwidth_bps: average,
        codecs,
        resolution,
        frame_rate_mhz,
        audio_group,
    })
}

fn resolution(text: &str) -> Option<Resolution> {
    let (width, height) = text.split_once('x')?;
    let pixels = |text| integer(text).and_then(|count| u32::try_from(count).ok());
    Some(Resolution { width: pixels(width)?, height: pixels(height)? })
}

fn read_rendition(reading: &mut Reading, value: &str) -> Result<Rendition, PlaylistError> {
    let (mut kind, mut group, mut name, mut language, mut uri) = (None, None, None, None, None);
    let (mut default, mut autoselect) = (None, None);
    let mut attributes = Attributes::new(value);
    while let Some(attribute) = attributes.next(reading)? {
        match attribute.name {
            "TYPE" => attribute.word(&mut kind, reading),
            "GROUP-ID" => attribute.text(&mut group, reading),
            "NAME" => attribute.text(&mut name, reading),
            "LANGUAGE" => attribute.text(&mut language, reading),
            "URI" => attribute.text(&mut uri, reading),
            "DEFAULT" => attribute.yes(&mut default, reading),
            "AUTOSELECT" => attribute.yes(&mut autoselect, reading),
            _ => {}
        }
    }
    let kind = match kind.ok_or_else(|| reading.missing("EXT-X-MEDIA", "TYPE"))? {
        "AUDIO" => RenditionKind::Audio,
        "VIDEO" => RenditionKind::Video,
        "SUBTITLES" => RenditionKind::Subtitles,
        "CLOSED-CAPTIONS" => RenditionKind::ClosedCaptions,
        _ => RenditionKind::Other,
    };
    let group = group.ok_or_else(|| reading.missing("EXT-X-MEDIA", "GROUP-ID"))?;
    // NAME is REQUIRED, but nothing is played by it.
    let name = name.unwrap_or_else(|| {
        reading.breach("EXT-X-MEDIA", "a NAME");
        Arc::from("")
    });
    Ok(Rendition {
        kind,
        group,
        name,
        language,
        default: default.unwrap_or(false),
        autoselect: autoselect.unwrap_or(false),
        uri,
    })
}

#[cfg(test)]
mod tests {
    use super::super::Playlist;
    use super::*;

    const DEMUXED: &str = r#"#EXTM3U
#EXT-X-VERSION:9
#EXT-X-INDEPENDENT-SEGMENTS

#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="Deutsch",LANGUAGE="de",AUTOSELECT=YES,URI="de.m3u8"
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="English",LANGUAGE="en",DEFAULT=YES,AUTOSELECT=YES,URI="en.m3u8"
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="muxed",NAME="Main",DEFAULT=YES
#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="s",NAME="x",URI="s.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=2000000,AVERAGE-BANDWIDTH=1800000,CODECS="avc1.64001f,mp4a.40.2",RESOLUTION=1280x720,FRAME-RATE=29.970,AUDIO="a"
v2.m3u8
#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI="i.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=500000,AUDIO="muxed"
# a comment between is read
v0.m3u8?token=1
#EXT-X-STREAM-INF:BANDWIDTH=4000000
v4.m3u8
"#;

    #[test]
    fn reads_variants_and_renditions() {
        let found = Multivariant::parse(DEMUXED).unwrap();
        assert_eq!((found.version, found.independent_segments), (9, true));
        assert_eq!((found.variants.len(), found.renditions.len()), (3, 4));
        assert_eq!(
            found.variants.first(),
            Some(&Variant {
                uri: "v2.m3u8".into(),
                bandwidth_bps: 2_000_000,
                average_bandwidth_bps: Some(1_800_000),
                codecs: Some("avc1.64001f,mp4a.40.2".into()),
                resolution: Some(Resolution { width: 1280, height: 720 }),
                frame_rate_mhz: Some(29_970),
                audio_group: Some("a".into()),
            })
        );
        assert_eq!(found.breaches, []);
    }

    #[test]
    fn selects_what_a_player_would() {
        let playlist = Multivariant::parse(DEMUXED).unwrap();
        for (choice, expected) in [
            (Choice::First, Some(("v2.m3u8", Some("en.m3u8")))),
            (Choice::Index(1), Some(("v0.m3u8?token=1", None))),
            (Choice::Lowest, Some(("v0.m3u8?token=1", None))),
            (Choice::Highest, Some(("v4.m3u8", None))),
            (Choice::Index(3), None),
        ] {
            let found = playlist.select(choice).map(|selection| {
                (&*selection.variant.uri, selection.audio.and_then(|audio| audio.uri.as_deref()))
            });
            assert_eq!(found, expected, "{choice:?}");
        }
    }

    #[test]
    fn without_a_default_the_first_that_may_be_chosen_is() {
        let without_default = DEMUXED.replace("DEFAULT=YES,", "");
        let playlist = Multivariant::parse(&without_default).unwrap();
        let audio = playlist.select(Choice::First).unwrap().audio.unwrap();
        assert_eq!(&*audio.name, "Deutsch");
        let first = without_default.replace("AUTOSELECT=YES,", "");
        let playlist = Multivariant::parse(&first).unwrap();
        assert_eq!(&*playlist.select(Choice::First).unwrap().audio.unwrap().name, "Deutsch");
    }

    #[test]
    fn tells_the_kinds_apart() {
        let media = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\na\n";
        assert!(matches!(Multivariant::parse(media), Err(PlaylistError::OtherKind { line: 2, .. })));
        assert!(matches!(Playlist::parse(media), Ok(Playlist::Media(_))));
        assert!(matches!(Playlist::parse(DEMUXED), Ok(Playlist::Multivariant(_))));
        let error = super::super::MediaPlaylist::parse(DEMUXED).unwrap_err();
        assert!(matches!(error, PlaylistError::OtherKind { line: 5, .. }), "{error}");
    }

    #[test]
    fn rejects_what_cannot_be_played() {
        for (text, expected) in [
            ("", "NotAPlaylist"),
            ("<html>", "NotAPlaylist"),
            ("\n#EXTM3U\n", "NotAPlaylist"),
            ("#EXTM3U\n", "TagMissing"),
            ("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n", "TagMissing"),
            ("#EXTM3U\n#EXT-X-STREAM-INF:AUDIO=\"a\"\nv\n", "AttributeMissing"),
            ("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=fast\nv\n", "Syntax"),
            ("#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,NAME=\"a\"\n", "AttributeMissing"),
            ("#EXTM3U\n#EXT-X-MEDIA:GROUP-ID=\"a\",NAME=\"a\"\n", "AttributeMissing"),
            (&format!("#EXTM3U\n{}", "#EXT-X-STREAM-INF:BANDWIDTH=1\nv\n".repeat(257)), "TooMany"),
        ] {
            let error = format!("{:?}", Playlist::parse(text).unwrap_err());
            assert!(error.starts_with(expected), "{text:?}: {error}");
        }
    }

    #[test]
    fn notes_breaches_and_reads_on() {
        let text = "#EXTM3U\nstray\n#EXT-X-STREAM-INF:BANDWIDTH=1,RESOLUTION=big,FRAME-RATE=-1\nv\n\
                    #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\"\n#EXT-X-STREAM-INF:BANDWIDTH=2\n#EXT-X-STREAM-INF:BANDWIDTH=3\n";
        let found = Multivariant::parse(text).unwrap();
        assert_eq!((found.variants.len(), found.breaches.len()), (1, 6), "{:?}", found.breaches);
    }
}
