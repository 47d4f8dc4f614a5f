//! Multivariant playlists (4.4.6).

use super::Violation;
use super::lexical::{Attributes, seconds};
use super::parse::lines_of;

/// A multivariant playlist.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Multivariant {
    pub version: Option<u64>,
    pub independent_segments: bool,
    pub variants: Vec<Variant>,
    pub audio: Vec<Audio>,
}

/// EXT-X-STREAM-INF and its URI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    pub uri: String,
    pub bandwidth: u64,
    pub average_bandwidth: Option<u64>,
    pub codecs: Vec<String>,
    pub resolution: Option<(u64, u64)>,
    pub frame_rate: Option<String>,
    pub video_range: Option<String>,
    pub audio_group: Option<String>,
}

/// EXT-X-MEDIA of TYPE=AUDIO.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audio {
    pub group: String,
    pub name: String,
    pub language: Option<String>,
    pub channels: Option<String>,
    /// Absent when the audio is in the variant's own segments.
    pub uri: Option<String>,
}

impl Multivariant {
    /// The URIs of all media playlists, the variants' first.
    pub fn media_uris(&self) -> Vec<&str> {
        let variants = self.variants.iter().map(|variant| variant.uri.as_str());
        variants.chain(self.audio.iter().filter_map(|audio| audio.uri.as_deref())).collect()
    }
}

/// Parses a multivariant playlist strictly; what Apple demands of a STREAM-INF must be there.
///
/// # Errors
/// Everything that is wrong, 69 for what the attributes of a variant say or leave out.
pub fn parse_multivariant(text: &str) -> Result<Multivariant, Vec<Violation>> {
    let mut found = Vec::new();
    let parsed = parse(text, &mut found).map_err(|violation| vec![violation])?;
    for variant in &parsed.variants {
        check_variant(variant, &parsed, &mut found);
    }
    if parsed.variants.is_empty() {
        found.push(Violation::new(1, "no variant"));
    }
    if found.is_empty() { Ok(parsed) } else { Err(found) }
}

fn parse(text: &str, found: &mut Vec<Violation>) -> Result<Multivariant, Violation> {
    let mut parsed = Multivariant::default();
    let mut pending: Option<Variant> = None;
    for line in lines_of(text, found)?.into_iter().skip(1) {
        let (tag, value) = line.split_once(':').unwrap_or((line, ""));
        if pending.is_some() && line.starts_with('#') {
            return Err(Violation::new(1, format!("`{line}` between EXT-X-STREAM-INF and its URI")));
        }
        match tag {
            "#EXT-X-VERSION" if parsed.version.is_none() => {
                parsed.version = super::lexical::integer(value);
            }
            "#EXT-X-INDEPENDENT-SEGMENTS" if !parsed.independent_segments => {
                parsed.independent_segments = true
            }
            "#EXT-X-STREAM-INF" => pending = Some(stream_inf(tag, value)?),
            "#EXT-X-MEDIA" => parsed.audio.push(media(tag, value)?),
            _ if line.starts_with('#') => {
                found.push(Violation::new(2, format!("`{line}` is unknown here or stands twice")));
            }
            _ => {
                let mut variant = pending
                    .take()
                    .ok_or_else(|| Violation::new(1, format!("`{line}` without STREAM-INF")))?;
                variant.uri = line.to_owned();
                parsed.variants.push(variant);
            }
        }
    }
    Ok(parsed)
}

fn stream_inf(tag: &str, value: &str) -> Result<Variant, Violation> {
    let attributes = Attributes::parse(tag, value)?;
    let resolution = attributes
        .enumerated("RESOLUTION")?
        .map(|text| {
            let (width, height) = text.split_once('x')?;
            Some((super::lexical::integer(width)?, super::lexical::integer(height)?))
        })
        .map(|size| size.ok_or_else(|| Violation::new(69, "RESOLUTION is no WxH")))
        .transpose()?;
    attributes.enumerated("CLOSED-CAPTIONS")?;
    Ok(Variant {
        uri: String::new(),
        bandwidth: attributes
            .integer("BANDWIDTH")?
            .filter(|&bits| bits > 0)
            .ok_or_else(|| Violation::new(69, "STREAM-INF without BANDWIDTH"))?,
        average_bandwidth: attributes.integer("AVERAGE-BANDWIDTH")?,
        codecs: attributes
            .quoted("CODECS")?
            .map_or(Vec::new(), |list| list.split(',').map(str::to_owned).collect()),
        resolution,
        frame_rate: attributes.enumerated("FRAME-RATE")?.map(str::to_owned),
        video_range: attributes.enumerated("VIDEO-RANGE")?.map(str::to_owned),
        audio_group: attributes.quoted("AUDIO")?,
    })
}

fn media(tag: &str, value: &str) -> Result<Audio, Violation> {
    let attributes = Attributes::parse(tag, value)?;
    if attributes.enumerated("TYPE")? != Some("AUDIO") {
        return Err(Violation::new(1, "EXT-X-MEDIA of a TYPE that this checker does not know"));
    }
    Ok(Audio {
        group: attributes.quoted_required("GROUP-ID")?,
        name: attributes.quoted_required("NAME")?,
        language: attributes.quoted("LANGUAGE")?,
        channels: attributes.quoted("CHANNELS")?,
        uri: attributes.quoted("URI")?,
    })
}

fn check_variant(variant: &Variant, parsed: &Multivariant, found: &mut Vec<Violation>) {
    let mut unless = |holds: bool, text: &str| {
        if !holds {
            found.push(Violation::new(69, format!("variant `{}`: {text}", variant.uri)));
        }
    };
    unless(!variant.codecs.is_empty(), "no CODECS");
    unless(variant.average_bandwidth.is_some(), "no AVERAGE-BANDWIDTH");
    unless(
        variant.average_bandwidth.is_none_or(|average| average <= variant.bandwidth),
        "AVERAGE-BANDWIDTH above BANDWIDTH",
    );
    let video = ["avc1", "hvc1", "av01", "vp09"];
    if variant.codecs.iter().any(|codec| video.iter().any(|name| codec.starts_with(name))) {
        unless(variant.resolution.is_some(), "video without RESOLUTION");
        let rate = variant.frame_rate.as_deref();
        let decimals = |text: &str| text.split_once('.').is_some_and(|(_, decimals)| decimals.len() == 3);
        unless(
            rate.is_some_and(|text| decimals(text) && seconds(text).is_some()),
            "video without a FRAME-RATE of three decimals",
        );
    }
    if let Some(group) = &variant.audio_group {
        unless(parsed.audio.iter().any(|audio| audio.group == *group), "AUDIO names no group");
    }
}
