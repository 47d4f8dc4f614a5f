//! A viewer in miniature, strict and slow, which proves that each misbehaviour shows under its own name only.
//!
//! It plays one rendition with blocking delta reloads, loads each part twice and compares, and collects the names of
//! the faults it finds. loadtest's own viewer is another program; this one is here to judge the judge.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// What a busy machine may add to a part interval.
const LATE: Duration = Duration::from_millis(300);
const ANSWER_WAIT: Duration = Duration::from_millis(1500);
/// Listed and real durations agree this well, in seconds.
const DURATION_TOLERANCE: f64 = 0.002;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Head, as it came.
    pub head: String,
    /// Body.
    pub body: Vec<u8>,
}

/// A client with one connection, renewed when it breaks.
#[derive(Debug)]
pub struct Client {
    host: String,
    stream: Option<TcpStream>,
}

impl Client {
    /// A client of the origin with this multivariant playlist.
    pub fn new(url: &str) -> Self {
        let host = url.split('/').nth(2).expect("a host").to_owned();
        Self { host, stream: None }
    }

    /// Gets a file of the stream; or tells by a fault's name why not.
    pub fn get(&mut self, name: &str) -> Result<Answer, &'static str> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => TcpStream::connect(&self.host).map_err(|_| "connect")?,
        };
        let answer =
            exchange(&mut stream, &format!("GET /live/test/{name} HTTP/1.1\r\nHost: {}\r\n\r\n", self.host))?;
        self.stream = Some(stream);
        match answer.status {
            200 => Ok(answer),
            400..500 => Err("status_4xx"),
            _ => Err("status_5xx"),
        }
    }

    /// The text of a playlist.
    pub fn text(&mut self, name: &str) -> Result<String, &'static str> {
        self.get(name).map(|answer| String::from_utf8(answer.body).expect("a text"))
    }
}

fn exchange(stream: &mut TcpStream, request: &str) -> Result<Answer, &'static str> {
    let fault = |error: std::io::Error| match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => "timeout",
        _ => "cut",
    };
    stream.set_read_timeout(Some(ANSWER_WAIT)).map_err(fault)?;
    stream.write_all(request.as_bytes()).map_err(fault)?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).map_err(fault)?;
        head.extend(byte);
    }
    let head = String::from_utf8(head).map_err(|_| "http")?;
    let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok()).ok_or("http")?;
    let length =
        head.lines().find_map(|line| line.strip_prefix("Content-Length: ")?.parse().ok()).ok_or("http")?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).map_err(fault)?;
    Ok(Answer { status, head, body })
}

/// A part's line.
#[derive(Debug, Clone, PartialEq)]
pub struct PartLine {
    /// DURATION.
    pub duration: f64,
    /// URI.
    pub uri: String,
    /// INDEPENDENT.
    pub independent: bool,
}

/// A segment's lines; open while it has no EXTINF.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SegmentLines {
    /// EXTINF and address.
    pub complete: Option<(f64, String)>,
    /// Parts, as long as they are listed.
    pub parts: Vec<PartLine>,
}

/// A media playlist; delta updates merged.
#[derive(Debug, Clone, Default)]
pub struct Playlist {
    /// TARGETDURATION, PART-TARGET and SERVER-CONTROL, as they came.
    pub fixed: [String; 3],
    /// MEDIA-SEQUENCE.
    pub first_msn: u64,
    /// Segments, the last one open.
    pub segments: Vec<SegmentLines>,
    /// The hinted part.
    pub hint: String,
    /// SKIPPED-SEGMENTS.
    pub skipped_count: u64,
}

impl Playlist {
    /// Reads a playlist; `known` is what a delta update is for.
    pub fn parse(text: &str, known: Option<&Self>) -> Result<Self, &'static str> {
        let mut playlist = Self::default();
        let mut segment = SegmentLines::default();
        let number = |text: &str| text.parse::<f64>().map_err(|_| "playlist_syntax");
        for line in text.lines() {
            let (tag, value) = line.split_once(':').unwrap_or((line, ""));
            match tag {
                "#EXT-X-TARGETDURATION" => value.clone_into(&mut playlist.fixed[0]),
                "#EXT-X-PART-INF" => value.clone_into(&mut playlist.fixed[1]),
                "#EXT-X-SERVER-CONTROL" => value.clone_into(&mut playlist.fixed[2]),
                "#EXT-X-MEDIA-SEQUENCE" => {
                    playlist.first_msn = value.parse().map_err(|_| "playlist_syntax")?
                }
                "#EXT-X-SKIP" => {
                    playlist.skipped_count =
                        attribute(value, "SKIPPED-SEGMENTS")?.parse().map_err(|_| "playlist_syntax")?;
                    let known = known.ok_or("delta_wrong")?;
                    let start = playlist.first_msn.checked_sub(known.first_msn).ok_or("delta_wrong")?;
                    let skipped = start as usize..(start + playlist.skipped_count) as usize;
                    playlist.segments.extend_from_slice(known.segments.get(skipped).ok_or("delta_wrong")?);
                }
                "#EXT-X-PART" => segment.parts.push(PartLine {
                    duration: number(attribute(value, "DURATION")?)?,
                    uri: attribute(value, "URI")?.to_owned(),
                    independent: attribute(value, "INDEPENDENT") == Ok("YES"),
                }),
                "#EXTINF" => segment.complete = Some((number(value.trim_end_matches(','))?, String::new())),
                "#EXT-X-PRELOAD-HINT" => attribute(value, "URI")?.clone_into(&mut playlist.hint),
                _ if !line.starts_with('#') => {
                    line.clone_into(&mut segment.complete.as_mut().ok_or("playlist_syntax")?.1);
                    playlist.segments.push(std::mem::take(&mut segment));
                }
                _ => {}
            }
        }
        playlist.segments.push(segment);
        if playlist.fixed.iter().any(String::is_empty) { Err("playlist_syntax") } else { Ok(playlist) }
    }

    /// PART-TARGET.
    pub fn part_target(&self) -> f64 {
        attribute(&self.fixed[1], "PART-TARGET").expect("parsed").parse().expect("a number")
    }

    /// Number and index of the part that comes next.
    pub fn next(&self) -> (u64, u64) {
        let open_msn = self.first_msn + self.segments.len() as u64 - 1;
        (open_msn, self.segments.last().map_or(0, |open| open.parts.len() as u64))
    }

    /// The segment with this number.
    pub fn segment(&self, msn: u64) -> Option<&SegmentLines> {
        self.segments.get(usize::try_from(msn.checked_sub(self.first_msn)?).ok()?)
    }
}

fn attribute<'a>(list: &'a str, name: &str) -> Result<&'a str, &'static str> {
    let value = list.split(',').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    value.map(|value| value.trim_matches('"')).ok_or("playlist_syntax")
}

/// What is in a part.
#[derive(Debug)]
pub struct Media {
    /// Decode time of its first frame.
    pub decode_time: u64,
    /// What its frames last.
    pub ticks: u64,
    /// Each frame's time and number.
    pub stamps: Vec<(u64, u32)>,
    /// Whether each frame is marked as a sync sample, and whether it is one.
    pub syncs: Vec<(bool, bool)>,
}

impl Media {
    /// Reads a part; `None` when its structure is broken.
    pub fn parse(part: &[u8], is_video: bool) -> Option<Self> {
        let traf = child(child(part, b"moof")?, b"traf")?;
        let decode_time = u64::from_be_bytes(child(traf, b"tfdt")?.get(4..12)?.try_into().ok()?);
        let words: Vec<_> = child(traf, b"trun")?
            .chunks(4)
            .map(|word| word.try_into().map(u32::from_be_bytes))
            .collect::<Result<_, _>>()
            .ok()?;
        let mut media = Self { decode_time, ticks: 0, stamps: Vec::new(), syncs: Vec::new() };
        let mut offset = usize::try_from(words[2]).ok()?;
        for sample in words[3..].chunks(3) {
            let bytes = part.get(offset..offset + sample[1] as usize)?;
            offset += sample[1] as usize;
            media.ticks += u64::from(sample[0]);
            media.stamps.push(stamp(bytes, is_video)?);
            let sei_bytes = u32::from_be_bytes(bytes[..4].try_into().ok()?) as usize;
            media.syncs.push((sample[2] & 0x1_0000 == 0, !is_video || bytes[sei_bytes + 8] & 0x1f == 5));
        }
        (offset == part.len()).then_some(media)
    }
}

fn child<'a>(mut boxes: &'a [u8], kind: &[u8; 4]) -> Option<&'a [u8]> {
    loop {
        let size = u32::from_be_bytes(boxes.get(..4)?.try_into().ok()?) as usize;
        if &boxes[4..8] == kind {
            return boxes.get(8..size);
        }
        boxes = boxes.get(size..)?;
    }
}

/// The time and number in a frame.
pub fn stamp(sample: &[u8], is_video: bool) -> Option<(u64, u32)> {
    let mut bytes = Vec::new();
    for byte in sample {
        // An emulation prevention byte is followed by none: it starts a new run of zeros.
        let is_prevention = is_video && *byte == 3 && bytes.ends_with(&[Some(0), Some(0)]);
        bytes.push(if is_prevention { None } else { Some(*byte) });
    }
    let bytes: Vec<u8> = bytes.into_iter().flatten().collect();
    let at = bytes.windows(16).position(|window| window == b"RapidRTMP-sent-1")? + 16;
    let time = u64::from_be_bytes(bytes.get(at..at + 8)?.try_into().ok()?);
    Some((time, u32::from_be_bytes(bytes.get(at + 8..at + 12)?.try_into().ok()?)))
}

/// The viewer.
#[derive(Debug)]
pub struct Viewer {
    clients: [Client; 2],
    track: &'static str,
    known: Option<Playlist>,
    wants_full: bool,
    listed_at: Instant,
    next_decode_time: Option<u64>,
    next_number: Option<u32>,
    /// Names of the faults it has found, each with what was found first.
    pub faults: BTreeMap<&'static str, String>,
    /// Parts that it has loaded.
    pub parts_count: u32,
}

impl Viewer {
    /// A viewer of `video` or `audio`.
    pub fn new(url: &str, track: &'static str) -> Self {
        Self {
            clients: [Client::new(url), Client::new(url)],
            track,
            known: None,
            wants_full: true,
            listed_at: Instant::now(),
            next_decode_time: None,
            next_number: None,
            faults: BTreeMap::new(),
            parts_count: 0,
        }
    }

    /// Plays on for a time.
    pub fn play(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            if let Err(fault) = self.step() {
                self.fault(fault, format!("at {:?}", self.known.as_ref().map(Playlist::next)));
                self.wants_full = true;
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    fn step(&mut self) -> Result<(), &'static str> {
        let mut name = format!("{}.m3u8", self.track);
        if let Some(known) = &self.known {
            let (msn, part) = known.next();
            name += &format!("?_HLS_msn={msn}&_HLS_part={part}");
            if !self.wants_full {
                name += "&_HLS_skip=YES";
            }
        }
        let asked = Instant::now();
        let text = self.clients[0].text(&name)?;
        let (now, playlist) = (Instant::now(), Playlist::parse(&text, self.known.as_ref())?);
        self.wants_full = false;
        let Some(known) = self.known.replace(playlist.clone()) else {
            self.listed_at = now;
            return Ok(());
        };
        self.compare(&known, &playlist);
        if known.next() < playlist.next() {
            let due = self.listed_at + Duration::from_secs_f64(playlist.part_target());
            // A viewer that was kept elsewhere cannot tell.
            if asked < due && now > due + LATE {
                self.fault("part_late", format!("{:?}", now - self.listed_at));
            }
            self.listed_at = now;
        }
        for msn in known.next().0..=playlist.next().0 {
            let Some(segment) = playlist.segment(msn) else { continue };
            let seen_count = if msn == known.next().0 { known.next().1 as usize } else { 0 };
            for (index, part) in segment.parts.iter().enumerate().skip(seen_count) {
                let is_last = segment.complete.is_some() && index + 1 == segment.parts.len();
                self.part(part, playlist.part_target(), is_last);
            }
            let sum: f64 = segment.parts.iter().map(|part| part.duration).sum();
            let Some((duration, _)) = &segment.complete else { continue };
            let has_parts = !segment.parts.is_empty();
            if has_parts && (sum - duration).abs() > DURATION_TOLERANCE {
                self.fault("part_missing", format!("{sum} of {duration} in {msn}"));
            }
            if duration.round() > playlist.fixed[0].parse().expect("a number") {
                self.fault("segment_long", format!("{duration}"));
            }
        }
        Ok(())
    }

    fn compare(&mut self, known: &Playlist, playlist: &Playlist) {
        if playlist.next() <= known.next() {
            let same = playlist.first_msn == known.first_msn;
            self.fault(if same { "reload_unchanged" } else { "reload_early" }, format!("{:?}", known.next()));
        }
        if playlist.first_msn < known.first_msn {
            self.fault("sequence_back", format!("{}", playlist.first_msn));
        }
        let segment_changed = (playlist.first_msn..playlist.next().0).any(|msn| {
            let (Some(old), Some(new)) = (known.segment(msn), playlist.segment(msn)) else { return false };
            let parts_changed = old.parts.iter().zip(&new.parts).any(|(old, new)| old != new);
            parts_changed || old.complete.is_some() && old.complete != new.complete
        });
        if playlist.fixed != known.fixed || segment_changed {
            self.fault("playlist_changed", format!("{:?}", playlist.fixed));
        }
    }

    fn part(&mut self, line: &PartLine, target: f64, is_last: bool) {
        if line.duration > target {
            self.fault("part_long", format!("{line:?}"));
        }
        if line.duration < 0.85 * target && !line.independent && !is_last {
            self.fault("part_short", format!("{line:?}"));
        }
        let bytes = self.clients[0].get(&line.uri).map(|answer| answer.body);
        let media = bytes
            .clone()
            .and_then(|bytes| Media::parse(&bytes, self.track == "video").ok_or("box_structure"));
        let media = match media {
            Ok(media) => media,
            Err(fault) => {
                self.fault(fault, line.uri.clone());
                (self.next_decode_time, self.next_number) = (None, None);
                return;
            }
        };
        self.parts_count += 1;
        if bytes != self.clients[1].get(&line.uri).map(|answer| answer.body) {
            self.fault("content_differs", line.uri.clone());
        }
        let timescale = if self.track == "video" { 90_000.0 } else { 48_000.0 };
        if (media.ticks as f64 / timescale - line.duration).abs() > DURATION_TOLERANCE {
            self.fault("duration_wrong", format!("{} ticks, {line:?}", media.ticks));
        }
        let end = media.decode_time + media.ticks;
        match self.next_decode_time.replace(end).map(|expected| media.decode_time.cmp(&expected)) {
            Some(Ordering::Greater) => self.fault("tfdt_gap", format!("{} {line:?}", media.decode_time)),
            Some(Ordering::Less) => self.fault("tfdt_repeat", format!("{} {line:?}", media.decode_time)),
            _ => {}
        }
        let has_independent = media.syncs.iter().any(|(marked, _)| *marked);
        if media.syncs.iter().any(|(marked, real)| marked != real) || line.independent != has_independent {
            self.fault("sync_flag", format!("{:?}, {line:?}", media.syncs));
        }
        for (_, number) in &media.stamps {
            match self.next_number.replace(number + 1).map(|expected| number.cmp(&expected)) {
                Some(Ordering::Greater) => {
                    self.fault("frame_missing", format!("{:?} {line:?}", media.stamps))
                }
                Some(Ordering::Less) => self.fault("frame_repeated", format!("{:?} {line:?}", media.stamps)),
                _ => {}
            }
        }
    }

    fn fault(&mut self, name: &'static str, found: String) {
        self.faults.entry(name).or_insert(found);
    }
}
