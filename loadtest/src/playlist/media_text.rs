//! Reads the text of a media playlist.
//!
//! Tags that belong to the next segment are held until its address comes; those that no address follows belong to
//! the open segment.

use std::sync::Arc;
use std::time::Duration;

use super::attributes::Attributes;
use super::media::{
    ByteRange, HintKind, Map, MediaPlaylist, OpenSegment, Part, PlaylistKind, PreloadHint, RenditionReport,
    Segment, ServerControl,
};
use super::text::{Reading, byte_range, date_unix_us, split_at_byte};
use super::{PLAYLIST_PARTS_MAX, PLAYLIST_SEGMENTS_MAX, PlaylistError};

impl MediaPlaylist {
    /// Reads a media playlist.
    pub fn parse(text: &str) -> Result<Self, PlaylistError> {
        let mut reader = Reader::default();
        let mut lines = reader.reading.open(text)?;
        while let Some(line) = reader.reading.next_line(&mut lines)? {
            match line.strip_prefix("#EXT") {
                Some(tag) => {
                    let (name, value) = split_at_byte(tag, b':').unwrap_or((tag, ""));
                    reader.read_tag(name, value)?;
                }
                None => reader.close_segment(line)?,
            }
        }
        reader.finish()
    }
}

/// A tag that stands at most once in a playlist (4.4.3); each is one bit.
#[derive(Debug, Clone, Copy)]
enum Once {
    Version,
    TargetDuration,
    MediaSequence,
    DiscontinuitySequence,
    EndList,
    Kind,
    IFramesOnly,
    PartInf,
    ServerControl,
    IndependentSegments,
    Start,
    Skip,
}

#[derive(Debug, Default)]
struct Reader {
    reading: Reading,
    /// Bits of the [`Once`] tags met.
    seen: u16,
    version: Option<u32>,
    target_duration_s: Option<u32>,
    part_target: Option<Duration>,
    server_control: Option<ServerControl>,
    media_sequence: u64,
    discontinuity_sequence: u64,
    skipped_segments_count: u32,
    segments: Vec<Segment>,
    /// Parts listed so far, of all segments; never more than [`PLAYLIST_PARTS_MAX`].
    parts_count: usize,
    preload_hints: Vec<PreloadHint>,
    rendition_reports: Vec<RenditionReport>,
    ended: bool,
    kind: Option<PlaylistKind>,
    independent_segments: bool,
    encrypted: bool,
    /// What is known of the segment whose address has not come yet.
    next: OpenSegment,
    /// Its EXTINF.
    next_duration: Option<Duration>,
    /// Its EXT-X-BYTERANGE: length, and start where given.
    next_byte_range: Option<(u64, Option<u64>)>,
    /// EXT-X-DISCONTINUITY tags so far.
    discontinuities_count: u64,
}

impl Reader {
    fn read_tag(&mut self, name: &str, value: &str) -> Result<(), PlaylistError> {
        // The most frequent first.
        match name {
            "-X-PART" => self.read_part(value),
            "INF" => self.read_extinf(value),
            "-X-PROGRAM-DATE-TIME" => {
                self.expect_before_parts("EXT-X-PROGRAM-DATE-TIME");
                let date = date_unix_us(value)
                    .ok_or_else(|| self.reading.syntax(value, "an ISO 8601 date and time"))?;
                self.next.program_date_time_unix_us = Some(date);
                Ok(())
            }
            "-X-DISCONTINUITY" => {
                self.expect_before_parts("EXT-X-DISCONTINUITY");
                if !self.next.discontinuity {
                    self.discontinuities_count += 1;
                }
                self.next.discontinuity = true;
                Ok(())
            }
            "-X-GAP" => {
                self.next.gap = true;
                Ok(())
            }
            "-X-BYTERANGE" => {
                let range =
                    byte_range(value).ok_or_else(|| self.reading.syntax(value, "<length>[@<start>]"))?;
                self.next_byte_range = Some(range);
                Ok(())
            }
            "-X-MAP" => self.read_map(value),
            "-X-KEY" => self.read_key(value),
            "-X-PRELOAD-HINT" => self.read_preload_hint(value),
            "-X-RENDITION-REPORT" => self.read_rendition_report(value),
            "-X-STREAM-INF" => Err(self.other_kind("EXT-X-STREAM-INF")),
            "-X-I-FRAME-STREAM-INF" => Err(self.other_kind("EXT-X-I-FRAME-STREAM-INF")),
            "-X-MEDIA" => Err(self.other_kind("EXT-X-MEDIA")),
            _ => self.read_playlist_tag(name, value),
        }
    }

    /// The tags that hold for the whole playlist.
    fn read_playlist_tag(&mut self, name: &str, value: &str) -> Result<(), PlaylistError> {
        match name {
            "-X-VERSION" if self.is_first(Once::Version, name) => {
                self.version = Some(self.reading.integer_u32(value)?);
            }
            "-X-TARGETDURATION" if self.is_first(Once::TargetDuration, name) => {
                self.target_duration_s = Some(self.reading.integer_u32(value)?);
            }
            "-X-MEDIA-SEQUENCE" if self.is_first(Once::MediaSequence, name) => {
                self.expect_before_segments("EXT-X-MEDIA-SEQUENCE");
                self.media_sequence = self.reading.integer(value)?;
            }
            "-X-DISCONTINUITY-SEQUENCE" if self.is_first(Once::DiscontinuitySequence, name) => {
                self.expect_before_segments("EXT-X-DISCONTINUITY-SEQUENCE");
                self.discontinuity_sequence = self.reading.integer(value)?;
            }
            "-X-ENDLIST" if self.is_first(Once::EndList, name) => self.ended = true,
            "-X-PLAYLIST-TYPE" if self.is_first(Once::Kind, name) => match value {
                "EVENT" => self.kind = Some(PlaylistKind::Event),
                "VOD" => self.kind = Some(PlaylistKind::Vod),
                _ => self.reading.breach(value, "EVENT or VOD"),
            },
            "-X-INDEPENDENT-SEGMENTS" if self.is_first(Once::IndependentSegments, name) => {
                self.independent_segments = true;
            }
            "-X-PART-INF" if self.is_first(Once::PartInf, name) => self.read_part_inf(value)?,
            "-X-SERVER-CONTROL" if self.is_first(Once::ServerControl, name) => {
                self.read_server_control(value)?
            }
            "-X-SKIP" if self.is_first(Once::Skip, name) => self.read_skip(value)?,
            // Not used, but not to be repeated either.
            "-X-I-FRAMES-ONLY" => _ = self.is_first(Once::IFramesOnly, name),
            "-X-START" => _ = self.is_first(Once::Start, name),
            "M3U" => self.reading.breach("EXTM3U", "#EXTM3U once"),
            // 6.3.1: tags that are not known are ignored.
            _ => {}
        }
        Ok(())
    }

    /// 4.4.3: a media playlist MUST NOT contain more than one tag of each of these kinds. The first stands.
    fn is_first(&mut self, tag: Once, name: &str) -> bool {
        let bit = 1_u16 << tag as u16;
        let is_first = self.seen & bit == 0;
        self.seen |= bit;
        if !is_first {
            self.reading.breach(name, "this tag once");
        }
        is_first
    }

    /// 4.4.4.9: what holds for a whole segment stands before its first part.
    fn expect_before_parts(&mut self, tag: &str) {
        if !self.next.parts.is_empty() {
            self.reading.breach(tag, "this tag before the first EXT-X-PART of its segment");
        }
    }

    fn expect_before_segments(&mut self, tag: &str) {
        if !self.segments.is_empty() || self.discontinuities_count > 0 || !self.next.parts.is_empty() {
            self.reading.breach(tag, "this tag before the first segment and EXT-X-DISCONTINUITY");
        }
    }

    fn other_kind(&self, found: &'static str) -> PlaylistError {
        PlaylistError::OtherKind { line: self.reading.line, found, allowed: "a media playlist" }
    }

    fn read_extinf(&mut self, value: &str) -> Result<(), PlaylistError> {
        if self.next_duration.is_some() {
            self.reading.breach("EXTINF", "an address between two EXTINF");
        }
        let duration = match split_at_byte(value, b',') {
            Some((duration, _title)) => duration,
            None => {
                self.reading.breach(value, "<duration>, with the comma");
                value
            }
        };
        self.next_duration = Some(self.reading.duration(duration)?);
        Ok(())
    }

    fn read_part(&mut self, value: &str) -> Result<(), PlaylistError> {
        let (mut duration, mut uri, mut range_text) = (None, None, None);
        let (mut independent, mut gap) = (None, None);
        let mut attributes = Attributes::new(value);
        while let Some(attribute) = attributes.next(&mut self.reading)? {
            match attribute.name {
                "DURATION" => attribute.duration(&mut duration, &mut self.reading)?,
                "URI" => attribute.text(&mut uri, &mut self.reading),
                "INDEPENDENT" => attribute.yes(&mut independent, &mut self.reading),
                "BYTERANGE" => attribute.quoted(&mut range_text, &mut self.reading),
                "GAP" => attribute.yes(&mut gap, &mut self.reading),
                _ => {}
            }
        }
        self.reading.room(self.parts_count, PLAYLIST_PARTS_MAX, "parts")?;
        self.parts_count += 1;
        let uri = uri.ok_or_else(|| self.reading.missing("EXT-X-PART", "URI"))?;
        let duration = duration.ok_or_else(|| self.reading.missing("EXT-X-PART", "DURATION"))?;
        let byte_range = match range_text {
            Some(text) => Some(self.part_byte_range(text, &uri)?),
            None => None,
        };
        if self.next.parts.is_empty() {
            // Segments tend to have as many parts as the one before.
            self.next.parts.reserve(self.segments.last().map_or(4, |segment| segment.parts.len().max(4)));
        }
        let index = u32::try_from(self.next.parts.len()).unwrap_or(u32::MAX);
        self.next.parts.push(Part {
            index,
            duration,
            uri,
            byte_range,
            independent: independent.unwrap_or(false),
            gap: gap.unwrap_or(false),
        });
        Ok(())
    }

    fn part_byte_range(&mut self, text: &str, uri: &str) -> Result<ByteRange, PlaylistError> {
        let previous_part = self.next.parts.last().or_else(|| self.segments.last()?.parts.last());
        let previous = previous_part.filter(|part| *part.uri == *uri).and_then(|part| part.byte_range);
        let range = byte_range(text).ok_or_else(|| self.reading.syntax(text, "<length>[@<start>]"))?;
        self.resolve(range, previous)
    }

    /// 4.4.4.2: without a start, a range begins where the previous one of the same resource ends.
    fn resolve(
        &mut self,
        (length, start): (u64, Option<u64>),
        previous: Option<ByteRange>,
    ) -> Result<ByteRange, PlaylistError> {
        let end_of_previous = previous.and_then(|range| range.start.checked_add(range.length));
        if start.is_none() && end_of_previous.is_none() {
            self.reading
                .breach("a byte range without a start", "one that follows a range of the same resource");
        }
        let range = ByteRange { start: start.or(end_of_previous).unwrap_or(0), length };
        match range.start.checked_add(length) {
            Some(_) => Ok(range),
            None => Err(self.reading.syntax("a byte range that ends past 2^64", "one that ends before")),
        }
    }

    fn read_map(&mut self, value: &str) -> Result<(), PlaylistError> {
        self.expect_before_parts("EXT-X-MAP");
        let (mut uri, mut range_text) = (None, None);
        let mut attributes = Attributes::new(value);
        while let Some(attribute) = attributes.next(&mut self.reading)? {
            match attribute.name {
                "URI" => attribute.text(&mut uri, &mut self.reading),
                "BYTERANGE" => attribute.quoted(&mut range_text, &mut self.reading),
                _ => {}
            }
        }
        let uri = uri.ok_or_else(|| self.reading.missing("EXT-X-MAP", "URI"))?;
        let byte_range = match range_text {
            Some(text) => {
                let range = byte_range(text).ok_or_else(|| self.reading.syntax(text, "<length>@<start>"))?;
                Some(self.resolve(range, None)?)
            }
            None => None,
        };
        self.next.map = Some(Arc::new(Map { uri, byte_range }));
        Ok(())
    }

    fn read_key(&mut self, value: &str) -> Result<(), PlaylistError> {
        self.expect_before_parts("EXT-X-KEY");
        let mut method = None;
        let mut attributes = Attributes::new(value);
        while let Some(attribute) = attributes.next(&mut self.reading)? {
            if attribute.name == "METHOD" {
                attribute.word(&mut method, &mut self.reading);
            }
        }
        let method = method.ok_or_else(|| self.reading.missing("EXT-X-KEY", "METHOD"))?;
        self.encrypted |= method != "NONE";
        Ok(())
    }

    fn read_part_inf(&mut self, value: &str) -> Result<(), PlaylistError> {
        let mut attributes = Attributes::new(value);
        while let Some(attribute) = attributes.next(&mut self.reading)? {
            if attribute.name == "PART-TARGET" {
                attribute.duration(&mut self.part_target, &mut self.reading)?;
            }
        }
        if self.part_target.is_none() {
            return Err(self.reading.missing("EXT-X-PART-INF", "PART-TARGET"));
        }
        Ok(())
    }

    fn read_server_control(&mut self, value: &str) -> Result<(), PlaylistError> {
        let mut control = ServerControl::default();
        let (mut can_block_reload, mut can_skip_dateranges) = (None, None);
        let mut attributes = Attributes::new(value);
        while let Some(attribute) = attributes.next(&mut self.reading)? {
            match attribute.name {
                "CAN-BLOCK-RELOAD" => attribute.yes(&mut can_block_reload, &mut self.reading),
                "CAN-SKIP-DATERANGES" => attribute.yes(&mut can_skip_dateranges, &mut self.reading),
                "PART-HOLD-BACK" => attribute.duration(&mut control.part_hold_back, &mut self.reading)?,
                "HOLD-BACK" => attribute.duration(&mut control.hold_back, &mut self.reading)?,
                "CAN-SKIP-UNTIL" => attribute.duration(&mut control.can_skip_until, &mut self.reading)?,
                _ => {}
            }
        }
        control.can_block_reload = can_block_reload.unwrap_or(false);
        control.can_skip_dateranges = can_skip_dateranges.unwrap_or(false);
        self.server_control = Some(control);
        Ok(())
    }

    fn read_skip(&mut self, value: &str) -> Result<(), PlaylistError> {
        if !self.segments.is_empty() || !self.next.parts.is_empty() {
            self.reading.breach("EXT-X-SKIP", "this tag before the first segment");
        }
        let mut count = None;
        let mut attributes = Attributes::new(value);
        while let Some(attribute) = attributes.next(&mut self.reading)? {
            if attribute.name == "SKIPPED-SEGMENTS" {
                attribute.integer(&mut count, &mut self.reading)?;
            }
        }
        let count = count.ok_or_else(|| self.reading.missing("EXT-X-SKIP", "SKIPPED-SEGMENTS"))?;
        let allowed = PLAYLIST_SEGMENTS_MAX;
        let too_many = PlaylistError::TooMany { line: self.reading.line, what: "skipped segments", allowed };
        self.skipped_segments_count =
            u32::try_from(count).ok().filter(|&count| count as usize <= allowed).ok_or(too_many)?;
        Ok(())
    }

    fn read_preload_hint(&mut self, value: &str) -> Result<(), PlaylistError> {
        let (mut kind, mut uri, mut start, mut length) = (None, None, None, None);
        let mut attributes = Attributes::new(value);
        while let Some(attribute) = attributes.next(&mut self.reading)? {
            match attribute.name {
                "TYPE" => attribute.word(&mut kind, &mut self.reading),
                "URI" => attribute.text(&mut uri, &mut self.reading),
                "BYTERANGE-START" => attribute.integer(&mut start, &mut self.reading)?,
                "BYTERANGE-LENGTH" => attribute.integer(&mut length, &mut self.reading)?,
                _ => {}
            }
        }
        let kind = match kind.ok_or_else(|| self.reading.missing("EXT-X-PRELOAD-HINT", "TYPE"))? {
            "PART" => HintKind::Part,
            "MAP" => HintKind::Map,
            // 4.4.5.3: a client ignores hints of types it does not know.
            _ => return Ok(()),
        };
        let uri = uri.ok_or_else(|| self.reading.missing("EXT-X-PRELOAD-HINT", "URI"))?;
        let hint = PreloadHint { kind, uri, byte_range_start: start.unwrap_or(0), byte_range_length: length };
        self.reading.push(&mut self.preload_hints, hint, "preload hints")
    }

    fn read_rendition_report(&mut self, value: &str) -> Result<(), PlaylistError> {
        let (mut uri, mut last_media_sequence, mut last_part_index) = (None, None, None);
        let mut attributes = Attributes::new(value);
        while let Some(attribute) = attributes.next(&mut self.reading)? {
            match attribute.name {
                "URI" => attribute.text(&mut uri, &mut self.reading),
                "LAST-MSN" => attribute.integer(&mut last_media_sequence, &mut self.reading)?,
                "LAST-PART" => attribute.integer(&mut last_part_index, &mut self.reading)?,
                _ => {}
            }
        }
        let uri = uri.ok_or_else(|| self.reading.missing("EXT-X-RENDITION-REPORT", "URI"))?;
        let report = RenditionReport { uri, last_media_sequence, last_part_index };
        self.reading.push(&mut self.rendition_reports, report, "rendition reports")
    }

    /// An address: it ends the segment that the tags before it describe.
    fn close_segment(&mut self, uri: &str) -> Result<(), PlaylistError> {
        let Some(duration) = self.next_duration.take() else {
            return Err(self.reading.syntax(uri, "an address after EXTINF"));
        };
        self.reading.room(self.segments.len(), PLAYLIST_SEGMENTS_MAX, "segments")?;
        let byte_range = match self.next_byte_range.take() {
            Some(range) => {
                let previous = self.segments.last().filter(|segment| *segment.uri == *uri);
                let previous = previous.and_then(|segment| segment.byte_range);
                Some(self.resolve(range, previous)?)
            }
            None => None,
        };
        let map = self.next.map.clone();
        let next = std::mem::replace(&mut self.next, OpenSegment { map, ..OpenSegment::default() });
        self.segments.push(Segment {
            // Numbers are given at the end: MEDIA-SEQUENCE may stand in the wrong place.
            media_sequence: 0,
            duration,
            uri: Arc::from(uri),
            byte_range,
            parts: next.parts,
            discontinuity: next.discontinuity,
            discontinuity_number: self.discontinuities_count,
            gap: next.gap,
            map: next.map,
            program_date_time_unix_us: next.program_date_time_unix_us,
        });
        Ok(())
    }

    fn finish(mut self) -> Result<MediaPlaylist, PlaylistError> {
        if self.next_duration.is_some() {
            self.reading.breach("EXTINF", "an address after EXTINF");
        }
        // 4.4.3.1: TARGETDURATION is REQUIRED.
        let target_duration_s =
            self.target_duration_s.ok_or(PlaylistError::TagMissing { tag: "EXT-X-TARGETDURATION" })?;
        let too_large =
            |found: u64| self.reading.syntax(&found.to_string(), "sequence numbers that stay below 2^64");
        let segments_count = self.segments.len() as u64;
        let first = self.media_sequence.checked_add(u64::from(self.skipped_segments_count));
        // Numbers for the open segment and for the one after it must exist as well.
        let first = first.filter(|first| first.checked_add(segments_count + 2).is_some());
        let first = first.ok_or_else(|| too_large(self.media_sequence))?;
        if self.discontinuity_sequence.checked_add(self.discontinuities_count + 1).is_none() {
            return Err(too_large(self.discontinuity_sequence));
        }
        for (media_sequence, segment) in (first..).zip(&mut self.segments) {
            segment.media_sequence = media_sequence;
            segment.discontinuity_number += self.discontinuity_sequence;
        }
        self.next.media_sequence = first + segments_count;
        self.next.discontinuity_number = self.discontinuity_sequence + self.discontinuities_count;
        Ok(MediaPlaylist {
            version: self.version.unwrap_or(1),
            target_duration_s,
            part_target: self.part_target,
            server_control: self.server_control,
            media_sequence: self.media_sequence,
            discontinuity_sequence: self.discontinuity_sequence,
            skipped_segments_count: self.skipped_segments_count,
            segments: self.segments,
            open: self.next,
            preload_hints: self.preload_hints,
            rendition_reports: self.rendition_reports,
            ended: self.ended,
            kind: self.kind,
            independent_segments: self.independent_segments,
            encrypted: self.encrypted,
            breaches: self.reading.breaches,
        })
    }
}
