//! Random lives of a stream, seeded: windows that started at different moments render the same bytes,
//! successive playlists differ by permitted edits only, and every promise of a playlist is kept.

use std::collections::{BTreeMap, HashMap};

use super::*;
use crate::hls::path::{self, Resource};
use crate::hls::reload::{Directives, Reload, Until, decide, resolve};
use crate::hls::window::Lookup;
use crate::media::buffer_bytes;

/// xorshift64*: the same life for the same seed, everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}

/// A playlist taken apart by its own reader, not by the one of the server.
#[derive(Debug, Clone, Default, PartialEq)]
struct Playlist {
    head: Vec<String>,
    media_sequence: u64,
    discontinuity_sequence: u64,
    skipped: u64,
    /// Lines of each segment without its parts, by media sequence number; the last may be open.
    segments: BTreeMap<u64, Vec<String>>,
    parts: BTreeMap<u64, Vec<String>>,
    complete: BTreeMap<u64, u64>,
    /// DISCONTINUITY without a segment yet.
    discontinuity_pending: bool,
    hints: Vec<String>,
    ended: bool,
}

fn attribute<'a>(line: &'a str, name: &str) -> &'a str {
    let from = line.find(&format!("{name}=")).unwrap() + name.len() + 1;
    let rest = &line[from..];
    rest.strip_prefix('"')
        .map_or_else(|| rest.split(',').next().unwrap(), |quoted| quoted.split('"').next().unwrap())
}

/// `2.00000` as 200,000.
fn units(decimal: &str) -> u64 {
    let (whole, fraction) = decimal.split_once('.').unwrap();
    assert_eq!(fraction.len(), 5, "{decimal}");
    whole.parse::<u64>().unwrap() * 100_000 + fraction.parse::<u64>().unwrap()
}

impl Playlist {
    fn read(text: &str) -> Self {
        let mut playlist = Self::default();
        let mut number = 0;
        let mut pending: Vec<String> = Vec::new();
        let mut extinf = 0;
        let mut map = String::new();
        for line in text.lines() {
            let value = |tag: &str| line.strip_prefix(tag);
            if let Some(value) = value("#EXT-X-MEDIA-SEQUENCE:") {
                playlist.media_sequence = value.parse().unwrap();
                number = playlist.media_sequence;
            } else if let Some(value) = value("#EXT-X-DISCONTINUITY-SEQUENCE:") {
                playlist.discontinuity_sequence = value.parse().unwrap();
            } else if line.starts_with("#EXT-X-SKIP:") {
                playlist.skipped = attribute(line, "SKIPPED-SEGMENTS").parse().unwrap();
                number += playlist.skipped;
            } else if line.starts_with("#EXT-X-MAP:") {
                map = line.to_string();
            } else if line.starts_with("#EXT-X-PART:") {
                playlist.parts.entry(number).or_default().push(line.to_string());
            } else if line.starts_with("#EXT-X-PRELOAD-HINT:") {
                playlist.hints.push(line.to_string());
            } else if line.starts_with("#EXT-X-RENDITION-REPORT:") {
            } else if line == "#EXT-X-ENDLIST" {
                playlist.ended = true;
            } else if let Some(value) = value("#EXTINF:") {
                extinf = units(value.strip_suffix(',').unwrap());
                pending.push(line.to_string());
            } else if !line.starts_with('#') {
                pending.extend([map.clone(), line.to_string()]);
                playlist.segments.insert(number, std::mem::take(&mut pending));
                playlist.complete.insert(number, extinf);
                number += 1;
            } else if line == "#EXT-X-DISCONTINUITY"
                || line == "#EXT-X-GAP"
                || line.starts_with("#EXT-X-PROGRAM-DATE-TIME:")
            {
                pending.push(line.to_string());
            } else {
                playlist.head.push(line.to_string());
            }
        }
        playlist.discontinuity_pending = pending == ["#EXT-X-DISCONTINUITY"];
        playlist
    }

    fn discontinuities(&self, numbers: impl Iterator<Item = u64>) -> u64 {
        let has_tag = |number: &u64| self.segments[number].iter().any(|line| line == "#EXT-X-DISCONTINUITY");
        numbers.filter(has_tag).count() as u64
    }

    fn assert_well_formed(&self, start: &SessionStart) {
        let target_units = u64::from(start.session.part_target_ms) * 100;
        for (number, parts) in &self.parts {
            let durations: Vec<u64> = parts.iter().map(|part| units(attribute(part, "DURATION"))).collect();
            assert!(durations.iter().all(|&duration| duration <= target_units), "{parts:?}");
            if let Some(&extinf) = self.complete.get(number) {
                assert_eq!(durations.iter().sum::<u64>(), extinf);
            }
        }
        let target_s = u64::from(start.session.target_duration_s);
        assert!(self.complete.values().all(|extinf| (extinf + 50_000) / 100_000 <= target_s));
        let part_hints = self.hints.iter().filter(|hint| attribute(hint, "TYPE") == "PART").count();
        assert_eq!(part_hints, usize::from(!self.ended));
    }

    /// Section 6.2.1: what a reload may find changed.
    fn assert_follows(&self, before: &Self) {
        assert_eq!(self.head, before.head);
        assert!(self.media_sequence >= before.media_sequence);
        let left = before.media_sequence..self.media_sequence;
        let tags_left = before.discontinuities(left);
        assert_eq!(self.discontinuity_sequence, before.discontinuity_sequence + tags_left);
        for (number, lines) in before.segments.range(self.media_sequence..) {
            assert_eq!(self.segments.get(number), Some(lines), "segment {number}");
        }
        for (number, parts) in &before.parts {
            match self.parts.get(number) {
                Some(now) => assert_eq!(&now[..parts.len()], &parts[..], "segment {number}"),
                None => assert!(self.parts.keys().next().is_none_or(|first| first > number)),
            }
        }
        let (Some(&last_before), Some(&last)) =
            (before.complete.keys().next_back(), self.complete.keys().next_back())
        else {
            panic!("a playlist without complete segments")
        };
        assert!(last >= last_before);
        if before.discontinuity_pending && last > last_before {
            assert!(self.segments[&(last_before + 1)].contains(&"#EXT-X-DISCONTINUITY".to_string()));
        }
        assert!(self.ended || !before.ended);
    }
}

/// A life in progress, and what its playlists have promised.
struct Life {
    random: Random,
    stream: Stream,
    /// Started with an empty window, and with a snapshot.
    replicas: Vec<Window>,
    before: HashMap<(SessionId, RenditionId), Playlist>,
    /// Media URIs that were listed, and until when they must be there.
    promised: HashMap<String, u64>,
    open_ticks: [u64; 2],
    /// Init segments by the first media sequence number that uses them.
    init_of: BTreeMap<u64, u32>,
    init_newest: u32,
}

impl Life {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut start = session_start(vec![video(), audio(A)]);
        start.window_segments_min = random.below(12) as u32;
        start.window_ms_min = random.below(30_000) as u32;
        start.prefill_gap_segments = random.below(4) as u32;
        let stream = Stream::new(start);
        let mut replica = Window::new();
        stream.events.iter().for_each(|event| assert!(replica.apply(event).is_ok()));
        Self {
            random,
            stream,
            replicas: vec![replica],
            before: HashMap::new(),
            promised: HashMap::new(),
            open_ticks: [0; 2],
            init_of: BTreeMap::from([(1001, 0)]),
            init_newest: 0,
        }
    }

    /// Whether a segment is discontinuous, the same for both renditions.
    fn is_discontinuous(&self, media_sequence: u64) -> bool {
        media_sequence % 7 == 3
    }

    fn step(&mut self) {
        self.stream.at_unix_ms += self.random.below(400);
        let rendition = RenditionId(self.random.below(2) as u8);
        let index = usize::from(rendition.0);
        let number = self.stream.media_sequence_next[index];
        let target_ticks = self.stream.part_ticks(rendition);
        let short = rendition == V && self.random.one_in(3);
        let ticks = if short { target_ticks * 86 / 100 } else { target_ticks };
        let open = self.open_ticks[index];
        let close = Close {
            rendition,
            discontinuity_follows: self.is_discontinuous(number) && number.is_multiple_of(2),
        };
        if open == 0 {
            let discontinuity = self.is_discontinuous(number);
            if discontinuity && !self.init_of.contains_key(&number) {
                self.push_inits(number);
            }
            // The newest change at or before this segment.
            self.stream.init = *self.init_of.range(..=number).next_back().unwrap().1;
            let part = self.stream.next_part(rendition, Some(discontinuity), ticks);
            self.push_part(part, None);
            self.open_ticks[index] = ticks;
        } else if open > 2 * target_ticks || self.random.one_in(8) {
            self.open_ticks[index] = 0;
            if self.random.one_in(2) {
                self.push(EventBody::Close(close));
            } else {
                let part = self.stream.next_part(rendition, None, ticks);
                self.push_part(part, Some(close));
            }
        } else {
            let part = self.stream.next_part(rendition, None, ticks);
            self.push_part(part, None);
            self.open_ticks[index] += ticks;
        }
        self.begin_or_end();
        if self.random.one_in(40) && self.replicas.len() < 3 {
            self.replicas.push(Window::from_snapshot(self.stream.window.snapshot()));
        }
    }

    fn begin_or_end(&mut self) {
        let session = self.stream.start.session;
        let first = self.stream.start.media_sequence_first;
        let both = [V, A].iter().all(|&rendition| {
            let position = self.stream.window.position(session, rendition).unwrap();
            position.last_complete.is_some_and(|last| last >= first)
        });
        if both && !self.stream.window.is_playable(session) {
            self.push(EventBody::Playable { bandwidth_bits: 9, average_bandwidth_bits: 8 });
        }
        if !self.stream.window.is_playable(session) || !self.random.one_in(150) {
            return;
        }
        for rendition in [V, A] {
            if std::mem::take(&mut self.open_ticks[usize::from(rendition.0)]) > 0 {
                self.push(EventBody::Close(Close { rendition, discontinuity_follows: false }));
            }
        }
        self.push(EventBody::End);
        let retire_at_unix_ms = self.stream.window.retire_at_unix_ms(session).unwrap();
        let mut start = self.stream.start.clone();
        start.session.started_unix_ms = self.stream.at_unix_ms.max(session.started_unix_ms + 1);
        let next = self.stream.media_sequence_next.iter().max().unwrap() + 1;
        start.media_sequence_first = next + u64::from(start.prefill_gap_segments);
        self.stream.media_sequence_next = vec![start.media_sequence_first; 2];
        self.init_of.clear();
        self.stream.start = start.clone();
        let media_sequence_first = start.media_sequence_first;
        self.push(EventBody::Start(Box::new(start)));
        self.push_inits(media_sequence_first);
        if self.random.one_in(2) {
            // To the last moment everything is there, and with the last promise it may go.
            self.stream.at_unix_ms = self.stream.at_unix_ms.max(retire_at_unix_ms - 1);
            self.check();
            self.stream.at_unix_ms += 1;
            self.before.retain(|&(id, _), _| id != session);
            self.push(EventBody::Retire(session));
        }
    }

    /// New init segments, used from this media sequence number on.
    fn push_inits(&mut self, media_sequence: u64) {
        self.init_newest += 1;
        let number = self.init_newest;
        self.init_of.insert(media_sequence, number);
        for rendition in [V, A] {
            let bytes = Bytes::from(format!("init {number}"));
            self.push(EventBody::Init(InitSegment { rendition, number, bytes }));
        }
    }

    fn push_part(&mut self, mut part: Part, close: Option<Close>) {
        if self.random.one_in(12) {
            part.media = None;
        }
        self.assert_hinted(&part);
        self.push(match close {
            Some(close) => EventBody::PartAndClose(part, close),
            None => EventBody::Part(part),
        });
    }

    /// The newest playlist has named this part before it was there.
    fn assert_hinted(&self, part: &Part) {
        let session = self.stream.start.session;
        if let Some(playlist) = self.before.get(&(session, part.rendition)) {
            let name = &self.stream.start.renditions[usize::from(part.rendition.0)].name;
            let uri = format!("../{EPOCH}/{name}-{}.m4s", part.number);
            assert_eq!(attribute(&playlist.hints[0], "URI"), uri);
            assert_eq!(self.stream.window.part(EPOCH, name, part.number), Lookup::Hinted);
        }
    }

    fn push(&mut self, body: EventBody) {
        let waiting = self.waiting();
        let change = self.stream.push(body);
        let event = self.stream.events.last().unwrap();
        for replica in &mut self.replicas {
            assert_eq!(replica.apply(event).unwrap(), change);
        }
        self.assert_woken(&waiting, change);
        self.check();
    }

    /// What reloads of the live session would wait for now.
    fn waiting(&self) -> Vec<(RenditionId, String, Until)> {
        let (window, session) = (&self.stream.window, self.stream.start.session);
        let mut waiting = Vec::new();
        for name in ["v", "a"] {
            let Some(resolved) = resolve(window, session, name) else { continue };
            let complete = window.position(session, resolved.rendition).unwrap().last_complete.unwrap();
            for (ahead, part) in [(0, Some(5)), (1, None), (1, Some(0)), (1, Some(3)), (2, Some(1))] {
                let part = part.map_or(String::new(), |part| format!("&_HLS_part={part}"));
                let query = format!("_HLS_msn={}{part}", complete + ahead);
                if let Reload::Wait(until) = decide(window, &resolved, &Directives::parse(&query)) {
                    waiting.push((resolved.rendition, query, until));
                }
            }
        }
        waiting
    }

    /// Whoever waited is ready exactly when the change says so.
    fn assert_woken(&self, waiting: &[(RenditionId, String, Until)], change: Change) {
        for (rendition, query, until) in waiting {
            let woken = match change {
                Change::Ended(_) => true,
                Change::Updated { rendition: updated, last_part, closed, .. } if updated == *rendition => {
                    match *until {
                        Until::Part(key) => key <= last_part,
                        Until::Segment { media_sequence } => {
                            closed.is_some_and(|closed| closed.media_sequence >= media_sequence)
                        }
                    }
                }
                _ => false,
            };
            let (window, directives) = (&self.stream.window, Directives::parse(query));
            // A session that has just begun is not the one that they wait in.
            let session = match change {
                Change::Started(_) | Change::Retired(_) => continue,
                _ => self.stream.start.session,
            };
            let name = ["v", "a"][usize::from(rendition.0)];
            let ready = matches!(
                decide(window, &resolve(window, session, name).unwrap(), &directives),
                Reload::Ready(_)
            );
            assert_eq!(ready, woken, "{query} {until:?} {change:?}");
        }
    }

    fn check(&mut self) {
        let at_unix_ms = self.stream.at_unix_ms;
        let sessions: Vec<SessionId> = self.stream.window.sessions().collect();
        for &session in &sessions {
            for rendition in [V, A] {
                let render = |window: &Window, form| media_playlist::render(window, session, rendition, form);
                for form in [Form::Full, Form::Delta, Form::DeltaV2] {
                    let text = render(&self.stream.window, form);
                    for replica in &self.replicas {
                        assert_eq!(render(replica, form), text);
                    }
                }
                let Some(text) = render(&self.stream.window, Form::Full) else { continue };
                let playlist = Playlist::read(&text);
                let start = self.stream.window.start(session).unwrap();
                playlist.assert_well_formed(start);
                let before = self.before.insert((session, rendition), playlist.clone());
                if let Some(before) = &before {
                    playlist.assert_follows(before);
                }
                let delta = Playlist::read(&render(&self.stream.window, Form::Delta).unwrap());
                assert_delta_merges(&playlist, &delta);
                let listed_ms = playlist.complete.values().sum::<u64>() / 100;
                let parts = playlist.parts.values().flatten().filter(|part| !part.contains("GAP=YES"));
                let parts = parts.map(|part| (attribute(part, "URI").to_string(), 6_000));
                let segments =
                    playlist.segments.iter().filter(|(_, lines)| !lines.contains(&"#EXT-X-GAP".into()));
                let segments = segments.map(|(number, lines)| {
                    (lines.last().unwrap().clone(), playlist.complete[number] / 100 + listed_ms)
                });
                // The promises of an ended playlist run from its end, however long it is answered.
                let ended_before = before.is_some_and(|before| before.ended);
                let promises: Vec<(String, u64)> = parts.chain(segments).filter(|_| !ended_before).collect();
                for (uri, kept_ms) in promises {
                    let until_unix_ms = self.promised.entry(uri).or_default();
                    *until_unix_ms = (*until_unix_ms).max(at_unix_ms + kept_ms);
                }
            }
        }
        self.promised.retain(|_, until_unix_ms| *until_unix_ms >= at_unix_ms);
        for uri in self.promised.keys() {
            assert!(self.is_found(uri), "{uri}");
        }
        let mut bytes = 0;
        let mut state = self.stream.window.snapshot();
        state.for_each_bytes_mut(|media| bytes += buffer_bytes(media.len()) as u64);
        assert_eq!(bytes, self.stream.window.retained_bytes());
    }

    fn is_found(&self, uri: &str) -> bool {
        let location = uri.replacen("..", "/live/demo", 1);
        let window = &self.stream.window;
        match path::parse(&location).unwrap().resource {
            Resource::Part { epoch, rendition, number } => {
                matches!(window.part(epoch, rendition, number), Lookup::Found(_))
            }
            Resource::Segment { epoch, rendition, media_sequence } => {
                matches!(window.segment(epoch, rendition, media_sequence), Lookup::Found(_))
            }
            _ => false,
        }
    }
}

/// The full playlist's segments from the skipped ones on are those of the delta; MAP included, since the
/// delta repeats it.
fn assert_delta_merges(full: &Playlist, delta: &Playlist) {
    assert_eq!(delta.media_sequence, full.media_sequence);
    assert_eq!(delta.discontinuity_sequence, full.discontinuity_sequence);
    assert_eq!(delta.skipped + delta.segments.len() as u64, full.segments.len() as u64);
    for (number, lines) in &delta.segments {
        assert_eq!(full.segments.get(number), Some(lines));
    }
    assert_eq!((&delta.parts, &delta.hints), (&full.parts, &full.hints));
    let after: u64 = delta.complete.values().sum();
    let kept_with_next: u64 = delta.complete.values().skip(1).sum();
    // 12 s is the boundary: all that lies before it is skipped, and nothing else.
    assert!(delta.skipped == 0 || after >= 1_200_000);
    assert!(delta.ended || kept_with_next < 1_200_001, "{kept_with_next}");
}

#[test]
fn every_window_renders_the_same_and_keeps_its_promises() {
    for seed in 0..4 {
        let mut life = Life::new(seed);
        for _ in 0..300 {
            life.step();
        }
        assert!(life.replicas.len() > 1, "seed {seed} took no snapshot");
        for &(session, rendition) in life.before.keys() {
            let playlist = media_playlist::render(&life.stream.window, session, rendition, Form::Full);
            parsed(&playlist.unwrap());
        }
    }
}
