//! Text to [`Media`]: every line is understood or is a violation.

use super::lexical::{Attributes, date_unix_ms, integer, seconds};
use super::{Hint, Map, Media, Part, Report, Segment, ServerControl, Skip, Violation};
use std::time::Duration;

/// Tags that stand at most once (4.4.2, 4.4.3).
const ONCE: [&str; 10] = [
    "#EXT-X-VERSION",
    "#EXT-X-INDEPENDENT-SEGMENTS",
    "#EXT-X-START",
    "#EXT-X-TARGETDURATION",
    "#EXT-X-MEDIA-SEQUENCE",
    "#EXT-X-DISCONTINUITY-SEQUENCE",
    "#EXT-X-ENDLIST",
    "#EXT-X-PLAYLIST-TYPE",
    "#EXT-X-SERVER-CONTROL",
    "#EXT-X-PART-INF",
];

/// Parses a media playlist strictly.
///
/// # Errors
/// What has no clear meaning. What has one, but breaks the form, is in [`Media::form`].
pub fn parse_media(text: &str) -> Result<Media, Vec<Violation>> {
    let mut parser = Parser::default();
    let lines = lines_of(text, &mut parser.media.form).map_err(|violation| vec![violation])?;
    for line in lines.into_iter().skip(1) {
        parser.line(line).map_err(|violation| vec![violation])?;
    }
    parser.finish()
}

/// The lines of any playlist; the first is `#EXTM3U`. Blank lines and comments are dropped.
pub(super) fn lines_of<'a>(text: &'a str, form: &mut Vec<Violation>) -> Result<Vec<&'a str>, Violation> {
    if text.starts_with('\u{feff}') {
        return Err(Violation::new(1, "a byte order mark"));
    }
    if let Some(control) = text.chars().find(|&c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return Err(Violation::new(1, format!("control character {control:?}")));
    }
    if !text.ends_with('\n') {
        form.push(Violation::new(1, "the last line has no end"));
    }
    let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    if lines.first() != Some(&"#EXTM3U") {
        return Err(Violation::new(1, format!("first line is {:?}, not #EXTM3U", lines.first())));
    }
    if let Some(line) = lines.iter().find(|line| line.trim() != **line) {
        form.push(Violation::new(20, format!("white space around `{line}`")));
    }
    Ok(lines.into_iter().filter(|line| !line.starts_with('#') || line.starts_with("#EXT")).collect())
}

#[derive(Default)]
struct Parser<'a> {
    media: Media,
    seen: Vec<&'a str>,
    target_duration_s: Option<u64>,
    media_sequence: Option<u64>,
    /// The segment whose lines are being read.
    current: Segment,
    /// A hint or report was read: nothing of a segment may follow.
    tail: bool,
}

impl<'a> Parser<'a> {
    fn line(&mut self, line: &'a str) -> Result<(), Violation> {
        if !line.starts_with('#') {
            return self.uri(line);
        }
        let (tag, value) = line.split_once(':').unwrap_or((line, ""));
        if ONCE.contains(&tag) {
            if self.seen.contains(&tag) {
                self.form(2, format!("{tag} stands twice"));
            }
            self.seen.push(tag);
        }
        match tag {
            "#EXT-X-VERSION" => self.media.version = Some(number(tag, value)?),
            "#EXT-X-TARGETDURATION" => {
                self.target_duration_s = Some(number(tag, value)?);
                self.header(line);
            }
            "#EXT-X-MEDIA-SEQUENCE" => {
                self.before_segments(tag)?;
                self.media_sequence = Some(number(tag, value)?);
            }
            "#EXT-X-DISCONTINUITY-SEQUENCE" => {
                self.before_segments(tag)?;
                self.media.discontinuity_sequence = Some(number(tag, value)?);
            }
            "#EXT-X-INDEPENDENT-SEGMENTS" => {
                self.media.independent_segments = true;
                self.header(line);
            }
            "#EXT-X-START" => self.header(line),
            "#EXT-X-PLAYLIST-TYPE" => self.form(16, format!("{line} in a sliding playlist")),
            "#EXT-X-SERVER-CONTROL" => {
                self.media.server_control = Some(server_control(tag, value)?);
                self.header(line);
            }
            "#EXT-X-PART-INF" => {
                let attributes = Attributes::parse(tag, value)?;
                self.media.part_target = attributes.seconds("PART-TARGET")?;
                self.header(line);
            }
            "#EXT-X-SKIP" => self.skip(tag, value)?,
            "#EXT-X-ENDLIST" => self.media.ended = true,
            "#EXT-X-PRELOAD-HINT" => self.hint(tag, value)?,
            "#EXT-X-RENDITION-REPORT" => self.report(tag, value)?,
            _ => self.segment_tag(tag, value, line)?,
        }
        Ok(())
    }

    /// A tag of the segment that is being read.
    fn segment_tag(&mut self, tag: &'a str, value: &'a str, line: &str) -> Result<(), Violation> {
        if self.tail {
            self.form(13, format!("`{line}` after a hint or a rendition report"));
        }
        let after_parts = !self.current.parts.is_empty();
        match tag {
            "#EXT-X-MAP" => {
                let attributes = Attributes::parse(tag, value)?;
                self.current.map = Some(Map {
                    uri: attributes.quoted_required("URI")?,
                    byte_range: attributes.quoted("BYTERANGE")?,
                });
                self.before_parts(line, after_parts);
                // A MAP moves to the first listed segment as the window slides, so it is no line of
                // the segment's own.
                return Ok(());
            }
            "#EXT-X-DISCONTINUITY" => {
                if self.current.discontinuity {
                    self.form(2, "EXT-X-DISCONTINUITY stands twice before one segment");
                }
                self.current.discontinuity = true;
                self.before_parts(line, after_parts);
            }
            "#EXT-X-PROGRAM-DATE-TIME" => {
                let date = date_unix_ms(value).ok_or_else(|| {
                    Violation::new(15, format!("`{line}` is no ISO 8601 date with zone and milliseconds"))
                })?;
                if self.current.program_date_time_unix_ms.replace(date).is_some() {
                    self.form(2, "EXT-X-PROGRAM-DATE-TIME stands twice before one segment");
                }
                self.before_parts(line, after_parts);
            }
            "#EXT-X-KEY" => self.before_parts(line, after_parts),
            "#EXT-X-GAP" => self.current.gap = true,
            "#EXT-X-PART" => {
                let attributes = Attributes::parse(tag, value)?;
                self.current.parts.push(Part {
                    duration: attributes
                        .seconds("DURATION")?
                        .ok_or_else(|| Violation::new(20, format!("part without DURATION: `{line}`")))?,
                    uri: attributes.quoted_required("URI")?,
                    byte_range: attributes.quoted("BYTERANGE")?,
                    independent: attributes.flag("INDEPENDENT")?,
                    gap: attributes.flag("GAP")?,
                });
            }
            "#EXTINF" => {
                let (duration, _title) = value
                    .split_once(',')
                    .ok_or_else(|| Violation::new(20, format!("`{line}` has no comma")))?;
                let duration = seconds(duration)
                    .ok_or_else(|| Violation::new(20, format!("`{line}` is no decimal number of seconds")))?;
                if self.current.duration.replace(duration).is_some() {
                    self.form(2, "EXTINF stands twice before one segment");
                }
            }
            "#EXT-X-DATERANGE" | "#EXT-X-BITRATE" | "#EXT-X-BYTERANGE" => {}
            _ => self.form(1, format!("tag that this checker does not know: `{line}`")),
        }
        self.current.lines.push(line.to_owned());
        Ok(())
    }

    fn before_parts(&mut self, line: &str, after_parts: bool) {
        if after_parts {
            self.form(11, format!("`{line}` stands after a part of its segment"));
        }
    }

    fn uri(&mut self, line: &str) -> Result<(), Violation> {
        if self.current.duration.is_none() {
            return Err(Violation::new(4, format!("`{line}` has no EXTINF before it")));
        }
        if self.tail {
            self.form(13, format!("`{line}` after a hint or a rendition report"));
        }
        self.current.uri = Some(line.to_owned());
        self.current.lines.push(line.to_owned());
        self.media.segments.push(std::mem::take(&mut self.current));
        Ok(())
    }

    fn skip(&mut self, tag: &str, value: &str) -> Result<(), Violation> {
        if self.media.skip.is_some() {
            self.form(41, "EXT-X-SKIP stands twice");
        }
        if !self.media.segments.is_empty() || self.media_sequence.is_none() {
            self.form(41, "EXT-X-SKIP does not stand between MEDIA-SEQUENCE and the first segment");
        }
        let attributes = Attributes::parse(tag, value)?;
        let count = attributes.integer("SKIPPED-SEGMENTS")?.filter(|&count| count > 0);
        self.media.skip = Some(Skip {
            segments_count: count
                .ok_or_else(|| Violation::new(41, "EXT-X-SKIP without SKIPPED-SEGMENTS above 0"))?,
            recently_removed_dateranges: attributes.quoted("RECENTLY-REMOVED-DATERANGES")?,
        });
        Ok(())
    }

    fn hint(&mut self, tag: &str, value: &str) -> Result<(), Violation> {
        let attributes = Attributes::parse(tag, value)?;
        let kind = attributes.enumerated("TYPE")?.filter(|kind| matches!(*kind, "PART" | "MAP"));
        self.media.hints.push(Hint {
            kind: kind
                .ok_or_else(|| Violation::new(13, "hint whose TYPE is neither PART nor MAP"))?
                .to_owned(),
            uri: attributes.quoted_required("URI")?,
            byte_range_start: attributes.integer("BYTERANGE-START")?,
        });
        self.tail = true;
        Ok(())
    }

    fn report(&mut self, tag: &str, value: &str) -> Result<(), Violation> {
        let attributes = Attributes::parse(tag, value)?;
        self.media.reports.push(Report {
            uri: attributes.quoted_required("URI")?,
            last_msn: attributes.integer("LAST-MSN")?,
            last_part: attributes.integer("LAST-PART")?,
        });
        self.tail = true;
        Ok(())
    }

    /// 4.4.3.2, 4.4.3.3: before the first segment and whatever belongs to it.
    fn before_segments(&mut self, tag: &str) -> Result<(), Violation> {
        if self.media.segments.is_empty() && self.current == Segment::default() {
            return Ok(());
        }
        Err(Violation::new(1, format!("{tag} stands after the first segment's first line")))
    }

    fn header(&mut self, line: &str) {
        self.media.header.push(line.to_owned());
    }

    fn form(&mut self, assertion: u8, text: impl Into<String>) {
        self.media.form.push(Violation::new(assertion, text));
    }

    fn finish(mut self) -> Result<Media, Vec<Violation>> {
        if self.current.duration.is_some() {
            return Err(vec![Violation::new(4, "the last EXTINF has no URI after it")]);
        }
        match self.target_duration_s {
            Some(0) => self.form(4, "EXT-X-TARGETDURATION is 0"),
            Some(value) => self.media.target_duration_s = value,
            None => return Err(vec![Violation::new(4, "no EXT-X-TARGETDURATION")]),
        }
        self.media.media_sequence = self.media_sequence.unwrap_or(0);
        if self.current != Segment::default() {
            self.media.open = Some(self.current);
        }
        let numbers = self.media.first_listed()..;
        for (segment, number) in self.media.segments.iter_mut().chain(&mut self.media.open).zip(numbers) {
            segment.media_sequence = number;
        }
        Ok(self.media)
    }
}

fn number(tag: &str, value: &str) -> Result<u64, Violation> {
    let number = if value.is_empty() { None } else { integer(value) };
    number.ok_or_else(|| Violation::new(20, format!("{tag} is no decimal integer: `{value}`")))
}

fn server_control(tag: &str, value: &str) -> Result<ServerControl, Violation> {
    let attributes = Attributes::parse(tag, value)?;
    Ok(ServerControl {
        line: value.to_owned(),
        can_block_reload: attributes.flag("CAN-BLOCK-RELOAD")?,
        part_hold_back: attributes.seconds("PART-HOLD-BACK")?,
        hold_back: attributes.seconds("HOLD-BACK")?,
        can_skip_until: attributes.seconds("CAN-SKIP-UNTIL")?,
        can_skip_dateranges: attributes.flag("CAN-SKIP-DATERANGES")?,
    })
}

/// The EXTINF of a segment rounded to the nearest second (4.4.3.1).
pub(super) fn rounded_s(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() >= 500_000_000)
}
