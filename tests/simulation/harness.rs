//! A stream at its home, without sockets and on a clock of its own: messages in, and a viewer of every
//! rendition who reads each playlist and each byte with the strict checkers.

use super::support::encoder::{Encoder, Message, Random};
use super::support::mp4;
use super::support::playlist::{self, Media, Watcher};
use rapidrtmp::auth::TokenDigest;
use rapidrtmp::fmp4::BufferPool;
use rapidrtmp::hls::numbering::StreamRecord;
use rapidrtmp::hls::{EventBody, StreamEvent, Wishes, path};
use rapidrtmp::http::Body;
use rapidrtmp::media::{Now, StreamName, TrackKind};
use rapidrtmp::origin::home::{Departure, Home, HomeError, HomeSettings, Note, PublisherId};
use rapidrtmp::origin::live::SessionSettings;
use rapidrtmp::origin::recording::{Beginning, Recorder};
use rapidrtmp::origin::resource::Resource;
use rapidrtmp::origin::view::{Answer, View};
use rapidrtmp::rtmp::{MediaFragment, Role};
use std::collections::BTreeMap;

/// 2026-11-22T12:00:00Z.
pub const START_UNIX_US: u64 = 1_795_348_800_000_000;
pub const NAME: &str = "live/sim";

pub const ULTRA: Wishes = Wishes { part_ms: 200, segment_ms: 1000 };
pub const LOW: Wishes = Wishes { part_ms: 334, segment_ms: 2000 };
pub const SAFE: Wishes = Wishes { part_ms: 1000, segment_ms: 6000 };

/// The server's defaults.
pub fn settings() -> HomeSettings {
    HomeSettings {
        wishes: LOW,
        session: SessionSettings {
            muxed: false,
            window_segments_min: 6,
            prefill_gap_segments: 0,
            retained_bytes_max: 256 << 20,
        },
        gop_ms: None,
        unpublish_grace_us: 10_000_000,
        reconnect_grace_us: 15_000_000,
        takeover_silence_us: 2_000_000,
        failback_us: 30_000_000,
    }
}

/// A home, its clock, and who watches it.
pub struct Simulation {
    pub home: Home,
    pub pool: BufferPool,
    pub now: Now,
    pub viewer: Viewer,
    /// Every event so far.
    pub events: Vec<StreamEvent>,
    /// How long the newest frame of each part was here before it was listed, microseconds.
    pub frame_to_part_us: Vec<u64>,
    /// When each session could first be played, monotonic microseconds.
    pub playable_at_us: Vec<u64>,
    /// What was said of pairs of publishers.
    pub notes: Vec<Note>,
    /// The newest record.
    pub record: Option<StreamRecord>,
    /// A recording of all that the home was told.
    pub recorded: Vec<u8>,
    publisher: u64,
    /// Messages come in pieces of up to this many bytes.
    pub piece_bytes: usize,
    random: Random,
}

impl Simulation {
    pub fn new(settings: HomeSettings) -> Self {
        let now = Now { monotonic_us: 5_000_000, unix_us: START_UNIX_US };
        Self::with_record(settings, None, now)
    }

    pub fn with_record(settings: HomeSettings, record: Option<&StreamRecord>, now: Now) -> Self {
        let name = StreamName::parse(NAME).expect("a name");
        let recorder = Recorder::new(Beginning::new(&name, settings, 7, record), now);
        let mut home = Home::new(name, settings, 7, record, now);
        home.record_to(recorder);
        Self {
            home,
            pool: BufferPool::new(rapidrtmp::limits::PART_POOL_IDLE_BYTES_MAX),
            now,
            viewer: Viewer::default(),
            events: Vec::new(),
            frame_to_part_us: Vec::new(),
            playable_at_us: Vec::new(),
            notes: Vec::new(),
            record: None,
            recorded: Vec::new(),
            publisher: 0,
            piece_bytes: 4096,
            random: Random::new(9),
        }
    }

    /// A publisher comes.
    pub fn attach(&mut self) -> PublisherId {
        self.attach_by(None)
    }

    /// One that has shown this token.
    pub fn attach_by(&mut self, token: Option<TokenDigest>) -> PublisherId {
        self.publisher += 1;
        let id = PublisherId(self.publisher);
        self.home.attach(id, Role::Primary, token, self.now).expect("attaches");
        self.drain();
        id
    }

    /// As [`Self::attach`], of a stream that may keep too much.
    pub fn try_attach(&mut self) -> Result<PublisherId, HomeError> {
        self.publisher += 1;
        let id = PublisherId(self.publisher);
        let attached = self.home.attach(id, Role::Primary, None, self.now);
        self.drain();
        attached.map(|()| id)
    }

    /// One of a pair.
    pub fn attach_as(&mut self, role: Role) -> PublisherId {
        self.publisher += 1;
        let id = PublisherId(self.publisher);
        self.home.attach(id, role, None, self.now).expect("attaches");
        self.drain();
        id
    }

    pub fn detach(&mut self, id: PublisherId, departure: Departure) {
        self.home.detach(id, departure, self.now, &mut self.pool);
        self.drain();
    }

    /// Time passes, timers fire as they are asked for.
    pub fn advance_to(&mut self, monotonic_us: u64) {
        let mut rounds = 0;
        while let Some(deadline) = self.home.deadline_us(self.now).filter(|&at| at <= monotonic_us) {
            self.set_clock(deadline.max(self.now.monotonic_us));
            match self.home.handle_time(self.now, &mut self.pool) {
                Ok(()) => self.drain(),
                // As a shard does: the publisher is ended.
                Err(HomeError::RetainedBytes { .. }) => {
                    self.detach(PublisherId(self.publisher), Departure::Lost)
                }
                Err(error) => panic!("time may pass: {error}"),
            }
            rounds += 1;
            assert!(rounds < 10_000, "a deadline that is never met: {deadline} at {:?}", self.now);
        }
        self.set_clock(monotonic_us);
    }

    pub fn advance_ms(&mut self, ms: u64) {
        self.advance_to(self.now.monotonic_us + ms * 1000);
    }

    fn set_clock(&mut self, monotonic_us: u64) {
        self.now.unix_us += monotonic_us - self.now.monotonic_us;
        self.now.monotonic_us = monotonic_us;
    }

    /// A whole message, now, in pieces.
    pub fn send(&mut self, id: PublisherId, message: &Message) -> Result<(), HomeError> {
        self.pieces(id, message, usize::MAX)
    }

    /// The first pieces of a message, and then nothing.
    pub fn send_pieces(&mut self, id: PublisherId, message: &Message, count: usize) {
        self.pieces(id, message, count).expect("takes them");
    }

    /// The message of this kind that was begun is aborted.
    pub fn abort(&mut self, id: PublisherId, kind: TrackKind) -> Result<(), HomeError> {
        let aborted = self.home.media_aborted(id, kind, self.now, &mut self.pool);
        self.drain();
        aborted
    }

    /// The first pieces of a message.
    pub fn pieces(&mut self, id: PublisherId, message: &Message, count: usize) -> Result<(), HomeError> {
        let kind = if message.video { TrackKind::Video } else { TrackKind::Audio };
        let (mut at, mut sent, length) = (0, 0, message.body.len());
        while at < length && sent < count {
            sent += 1;
            let piece = 1 + self.random.below(self.piece_bytes as u64) as usize;
            let end = (at + piece).min(length);
            let fragment = MediaFragment {
                kind,
                timestamp_ms: message.timestamp_ms,
                message_bytes: length as u32,
                payload: &message.body[at..end],
                first: at == 0,
                last: end == length,
            };
            self.fragment(id, &fragment)?;
            at = end;
        }
        Ok(())
    }

    /// A piece of a message, now.
    pub fn fragment(&mut self, id: PublisherId, fragment: &MediaFragment<'_>) -> Result<(), HomeError> {
        let taken = self.home.media(id, fragment, self.now, &mut self.pool);
        self.drain();
        taken
    }

    /// Plays messages at their times, counted from now.
    pub fn play(&mut self, id: PublisherId, messages: &[Message]) {
        let began_us = self.now.monotonic_us;
        for message in messages {
            self.advance_to(began_us + message.at_us);
            self.send(id, message).expect("takes every message");
        }
    }

    /// A publisher that is there for this long.
    pub fn publish(&mut self, encoder: &Encoder, seconds: u32) -> PublisherId {
        let id = self.attach();
        self.play(id, &encoder.messages(seconds));
        id
    }

    /// The API stops the stream, and the viewer reads to its end.
    pub fn stop(&mut self) {
        self.home.stop(self.now, &mut self.pool);
        self.viewer.skip = 0;
        self.drain();
    }

    /// Passes on what changed.
    fn drain(&mut self) {
        let output = self.home.take_output();
        self.recorded.extend(&output.recorded);
        self.record = output.record.or(self.record.take());
        let waits_us = output.listed_frames_us.iter().map(|received_us| self.now.monotonic_us - received_us);
        self.frame_to_part_us.extend(waits_us);
        self.notes.extend(output.notes);
        if !output.events.is_empty() {
            let is_playable = |event: &StreamEvent| matches!(event.body, EventBody::Playable { .. });
            if output.events.iter().any(is_playable) {
                self.playable_at_us.push(self.now.monotonic_us);
            }
            self.events.extend(output.events);
            self.viewer.see(self.home.view_mut(), self.now);
        }
    }
}

/// The body of a resource, as `path` names it; `None` for anything but 200.
pub fn get(view: &mut View, path: &str) -> Option<Vec<u8>> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let parsed = path::parse(path).unwrap_or_else(|| panic!("`{path}` is none of our paths"));
    let resource = Resource::new(&parsed.resource, query)?;
    match view.answer(&resource, false, None) {
        Answer::Now(response) => match response.body {
            _ if response.status.code() != 200 => None,
            Body::Empty => Some(Vec::new()),
            Body::One(bytes) => Some(bytes.to_vec()),
            Body::Chain(parts) => Some(parts.concat()),
        },
        Answer::Wait(_) => None,
    }
}

pub fn get_text(view: &mut View, path: &str) -> Option<String> {
    get(view, path).map(|bytes| String::from_utf8(bytes).expect("a playlist is text"))
}

/// A viewer of all renditions, and what is wrong with what it saw.
#[derive(Default)]
pub struct Viewer {
    /// By the URI in the multivariant playlist.
    renditions: BTreeMap<String, Rendition>,
    /// Reads playlists only at every so many-th change; 0 is every one.
    pub skip: usize,
    skipped: usize,
    pub faults: Vec<String>,
    /// Frames read, video and audio.
    pub samples: [u64; 2],
    /// Notes when each picture is shown.
    pub keep_presentations: bool,
    /// In the order of decoding, in ticks.
    pub presentations: Vec<u64>,
    /// The newest multivariant playlist.
    pub multivariant: String,
    /// Keeps what it reads, for [`Viewer::media`].
    pub keep_media: bool,
}

#[derive(Default)]
struct Rendition {
    full: Watcher,
    delta: Watcher,
    /// MSN and index of the newest part that was read, in full.
    newest: Option<(u64, u64)>,
    init: Option<(String, mp4::Init)>,
    /// Where each track's decode time goes on; by track id.
    decode_next: BTreeMap<u32, u64>,
    sequence: u32,
    /// Durations met, with how often, by track id.
    durations: BTreeMap<(u32, u32), u64>,
    newest_segment: Option<u64>,
    /// When the pictures read since are shown, in ticks.
    presentations: Vec<u64>,
    text: String,
    /// Init segments and parts as they were read, if they are to be kept.
    media: Option<Vec<u8>>,
}

impl Viewer {
    /// Reads what is there now.
    pub fn see(&mut self, view: &mut View, now: Now) {
        self.skipped += 1;
        if self.skipped <= self.skip {
            return;
        }
        let Some(multivariant) = get_text(view, &format!("/{NAME}/index.m3u8")) else { return };
        self.skipped = 0;
        self.multivariant.clone_from(&multivariant);
        let multivariant = match playlist::parse_multivariant(&multivariant) {
            Ok(parsed) => parsed,
            Err(violations) => return self.faults.extend(violations.iter().map(ToString::to_string)),
        };
        let mut snapshots: Vec<(String, Media)> = Vec::new();
        for uri in multivariant.media_uris() {
            let rendition = self.renditions.entry(uri.to_owned()).or_default();
            if self.keep_media {
                rendition.media.get_or_insert_default();
            }
            let mut faults = rendition.see(view, uri, now, &mut self.samples);
            if self.keep_presentations {
                self.presentations.append(&mut rendition.presentations);
            }
            self.faults.append(&mut faults);
            if let Some(held) = rendition.full.held() {
                let (_, name) = uri.split_once('/').expect("SESSION/RENDITION.m3u8");
                snapshots.push((name.to_owned(), held.clone()));
            }
        }
        let pairs: Vec<(&str, &Media)> = snapshots.iter().map(|(uri, media)| (uri.as_str(), media)).collect();
        self.faults.extend(playlist::check_renditions(&pairs).iter().map(ToString::to_string));
    }

    /// How often each duration was met in a rendition named so (`v`, `a`, `av`), by track id.
    pub fn durations(&self, name: &str) -> BTreeMap<(u32, u32), u64> {
        let ending = format!("/{name}.m3u8");
        let of_name = self.renditions.iter().filter(|(uri, _)| uri.ends_with(&ending));
        let mut all = BTreeMap::new();
        for (key, count) in of_name.flat_map(|(_, rendition)| &rendition.durations) {
            *all.entry(*key).or_default() += count;
        }
        all
    }

    /// The newest full snapshot of a rendition of the newest session.
    pub fn held(&self, name: &str) -> Option<&Media> {
        let ending = format!("/{name}.m3u8");
        let mut of_name = self.renditions.iter().filter(|(uri, _)| uri.ends_with(&ending));
        of_name.next_back().and_then(|(_, rendition)| rendition.full.held())
    }

    /// Init segments and parts of a rendition, one behind the other: a file.
    pub fn media(&self, name: &str) -> Vec<u8> {
        let ending = format!("/{name}.m3u8");
        let of_name = self.renditions.iter().filter(|(uri, _)| uri.ends_with(&ending));
        of_name.filter_map(|(_, rendition)| rendition.media.clone()).flatten().collect()
    }

    /// Codecs of the init segments of a rendition, as their bytes say.
    pub fn codecs(&self, name: &str) -> Vec<String> {
        let ending = format!("/{name}.m3u8");
        let of_name = self.renditions.iter().filter(|(uri, _)| uri.ends_with(&ending));
        let inits = of_name.filter_map(|(_, rendition)| rendition.init.as_ref());
        inits.flat_map(|(_, init)| init.tracks.iter().map(|track| track.codec.clone())).collect()
    }

    /// Sessions seen.
    pub fn sessions(&self) -> Vec<String> {
        let mut sessions: Vec<String> =
            self.renditions.keys().filter_map(|uri| Some(uri.split_once('/')?.0.to_owned())).collect();
        sessions.dedup();
        sessions
    }

    pub fn assert_faultless(&self, of: &str) {
        let first: Vec<&String> = self.faults.iter().take(8).collect();
        assert!(self.faults.is_empty(), "{of}: {} faults, the first: {first:#?}", self.faults.len());
    }
}

impl Rendition {
    fn see(&mut self, view: &mut View, uri: &str, now: Now, samples: &mut [u64; 2]) -> Vec<String> {
        let path = format!("/{NAME}/{uri}");
        let Some(full) = get_text(view, &path) else {
            return vec![format!("`{uri}` is named and not there")];
        };
        if full == self.text {
            return Vec::new();
        }
        self.text.clone_from(&full);
        let mut found = self.full.see(&full);
        if let Some(media) = self.full.held() {
            found.extend(playlist::check_clock(media, now.unix_us / 1000));
        }
        let delta = get_text(view, &format!("{path}?_HLS_skip=YES")).unwrap_or_default();
        if self.delta.snapshots_count() == 0 {
            found.extend(self.delta.see(&full));
        } else {
            found.extend(self.delta.see(&delta));
            // After ENDLIST directives count for nothing (6.2.5).
            if let (Ok(delta), Ok(full)) = (playlist::parse_media(&delta), playlist::parse_media(&full))
                && !full.ended
            {
                found.extend(playlist::check_delta(&delta, &full));
            }
        }
        let mut faults: Vec<String> = found.iter().map(|violation| format!("{uri}: {violation}")).collect();
        if let Err(fault) = self.read_media(view, uri, samples) {
            faults.push(format!("{uri}: {fault}"));
        }
        faults
    }

    /// Reads the parts that are new, and the segments that are complete since.
    fn read_media(&mut self, view: &mut View, uri: &str, samples: &mut [u64; 2]) -> Result<(), String> {
        let Some(media) = self.full.held().cloned() else { return Ok(()) };
        let directory = uri.rsplit_once('/').map_or("", |(directory, _)| directory);
        let absolute = |uri: &str| {
            let mut path: Vec<&str> = NAME.split('/').chain(directory.split('/')).collect();
            for step in uri.split('/') {
                if step == ".." {
                    path.pop();
                } else {
                    path.push(step);
                }
            }
            format!("/{}", path.join("/"))
        };
        let mut fetch = |uri: &str| get(view, &absolute(uri)).ok_or_else(|| format!("`{uri}` is not there"));
        for segment in media.all_segments() {
            let number = segment.media_sequence;
            if let Some(map) = &segment.map
                && self.init.as_ref().is_none_or(|(known, _)| *known != map.uri)
                && self.newest.is_none_or(|newest| number > newest.0)
            {
                let bytes = fetch(&map.uri)?;
                if let Some(media) = &mut self.media {
                    media.extend(&bytes);
                }
                self.init = Some((map.uri.clone(), mp4::check_init(&bytes)?));
            }
            let Some((_, init)) = &self.init else { return Err(format!("segment {number} without a MAP")) };
            for (index, part) in (0..).zip(&segment.parts) {
                if self.newest.is_some_and(|newest| (number, index) <= newest) {
                    continue;
                }
                if self.newest.is_some_and(|newest| (number, index) > newest)
                    && index == 0
                    && segment.discontinuity
                {
                    self.decode_next.clear();
                }
                self.newest = Some((number, index));
                if part.gap {
                    self.decode_next.clear();
                    continue;
                }
                let at = |fault: String| format!("part {index} of segment {number}: {fault}");
                let bytes = fetch(&part.uri).map_err(at)?;
                if let Some(media) = &mut self.media {
                    media.extend(&bytes);
                }
                mp4::check_samples(init, &bytes).map_err(at)?;
                mp4::check_listed(init, &bytes, part.duration.as_secs_f64(), part.independent).map_err(at)?;
                let fragment = mp4::check_part(&bytes).map_err(at)?;
                if fragment.sequence <= self.sequence {
                    return Err(at(format!("mfhd {} after {}", fragment.sequence, self.sequence)));
                }
                self.sequence = fragment.sequence;
                for run in &fragment.runs {
                    let next = run.base_decode_time + run.duration();
                    if let Some(expected) = self.decode_next.insert(run.track_id, next)
                        && expected != run.base_decode_time
                    {
                        return Err(at(format!("tfdt {}, expected {expected}", run.base_decode_time)));
                    }
                    let video = init.tracks.iter().any(|track| track.track_id == run.track_id && track.video);
                    samples[usize::from(!video)] += run.samples.len() as u64;
                    let mut decode = run.base_decode_time;
                    for sample in &run.samples {
                        if video {
                            self.presentations
                                .push(decode.saturating_add_signed(sample.composition_offset.into()));
                        }
                        decode += u64::from(sample.duration);
                        *self.durations.entry((run.track_id, sample.duration)).or_default() += 1;
                    }
                }
            }
        }
        for segment in &media.segments {
            let number = segment.media_sequence;
            if self.newest_segment.is_some_and(|newest| number <= newest) || segment.gap {
                continue;
            }
            self.newest_segment = Some(number);
            let at = |fault: String| format!("segment {number}: {fault}");
            let uri = segment.uri.as_deref().unwrap_or_default();
            let whole = fetch(uri).map_err(at)?;
            if segment.parts.is_empty() {
                continue;
            }
            let parts: Result<Vec<Vec<u8>>, String> =
                segment.parts.iter().filter(|part| !part.gap).map(|part| fetch(&part.uri)).collect();
            if whole != parts.map_err(at)?.concat() {
                return Err(at("it is not the concatenation of its parts".to_owned()));
            }
        }
        Ok(())
    }
}
