//! What holds after every event, whatever was sent.

use super::super::harness::{NAME, get};
use super::super::support::encoder::Random;
use super::super::support::mp4;
use rapidrtmp::hls::{EventBody, Part, SessionId, SessionStart, StreamEvent, path};
use rapidrtmp::http::Body;
use rapidrtmp::media::MediaRef;
use rapidrtmp::origin::resource::Resource;
use rapidrtmp::origin::view::{Answer, Updates, View, Wait, Wake};
use std::collections::BTreeMap;

/// Numbers, times and durations of one stream's events, over sessions and restarts.
#[derive(Debug, Default)]
pub struct Rules {
    session: Option<SessionStart>,
    renditions: Vec<Rendition>,
    /// By name: the part that comes next, of this process.
    parts_next: BTreeMap<String, u64>,
    /// Of all sessions.
    media_sequence_next: u64,
    discontinuity_sequence: u64,
    pub parts: u64,
    pub discontinuities: u64,
    pub gaps: u64,
}

#[derive(Debug, Default)]
struct Rendition {
    /// Where each track goes on, by its number: nothing behind a discontinuity or a gap.
    decode_next: BTreeMap<u32, u64>,
    sequence: u32,
    media_sequence: Option<u64>,
    discontinuities: u64,
    /// Date of the open segment, and what is listed of it.
    segment: Option<(u64, u64)>,
}

impl Rules {
    /// Another process goes on.
    pub fn restart(&mut self) {
        self.parts_next.clear();
        self.session = None;
    }

    pub fn see(&mut self, event: &StreamEvent) {
        match &event.body {
            EventBody::Start(start) => self.start(start),
            EventBody::Part(part) | EventBody::PartAndClose(part, _) => self.part(part),
            EventBody::End => self.session = None,
            EventBody::Announce
            | EventBody::Formats(_)
            | EventBody::Init(_)
            | EventBody::Close(_)
            | EventBody::Playable { .. }
            | EventBody::Retire(_) => {}
        }
    }

    fn start(&mut self, start: &SessionStart) {
        assert!(self.session.is_none(), "a session within a session");
        assert!(start.media_sequence_first >= self.media_sequence_next, "media sequence numbers go back");
        assert!(
            start.discontinuity_sequence_first >= self.discontinuity_sequence,
            "discontinuity sequences go back"
        );
        self.renditions = start.renditions.iter().map(|_| Rendition::default()).collect();
        self.session = Some(start.clone());
    }

    fn part(&mut self, part: &Part) {
        self.parts += 1;
        let start = self.session.as_ref().expect("a part belongs to a session");
        let described = &start.renditions[usize::from(part.rendition.0)];
        let rendition = &mut self.renditions[usize::from(part.rendition.0)];
        let next = self.parts_next.entry(described.name.to_string()).or_insert(part.number);
        assert_eq!(part.number, *next, "parts of `{}` are numbered one after the other", described.name);
        *next += 1;
        let timescale = u64::from(described.timescale.get());
        let target = u64::from(start.session.part_target_ms) * timescale / 1000;
        assert!((1..=target).contains(&part.duration_ticks), "a part of {} of {target}", part.duration_ticks);
        if let Some(head) = &part.opens {
            let expected = rendition.media_sequence.map_or(start.media_sequence_first, |last| last + 1);
            assert_eq!(head.media_sequence, expected, "media sequence numbers follow one another");
            rendition.media_sequence = Some(expected);
            self.media_sequence_next = self.media_sequence_next.max(expected + 1);
            let date_ms = head.program_date_time_unix_ms;
            if let Some((began_ms, ticks)) = rendition.segment {
                let ended_ms = began_ms + ticks * 1000 / timescale;
                let off_ms = date_ms as i64 - ended_ms as i64;
                let is_well = if head.discontinuity { off_ms > -1000 } else { off_ms.abs() <= 10 };
                assert!(is_well, "`{}`: the date of {expected} steps by {off_ms} ms", described.name);
            }
            rendition.segment = Some((date_ms, 0));
            if head.discontinuity {
                rendition.discontinuities += 1;
                let sequence = start.discontinuity_sequence_first + rendition.discontinuities;
                self.discontinuity_sequence = self.discontinuity_sequence.max(sequence);
                self.discontinuities += 1;
                rendition.decode_next.clear();
            }
        }
        let (_, ticks) = rendition.segment.as_mut().expect("a part belongs to a segment");
        *ticks += part.duration_ticks;
        let longest_ms = u64::from(start.session.target_duration_s) * 1000 + 500;
        assert!(*ticks * 1000 < longest_ms * timescale, "a segment of {ticks} ticks");
        let Some(MediaRef::Memory(bytes)) = &part.media else {
            self.gaps += 1;
            rendition.decode_next.clear();
            return;
        };
        let fragment = mp4::check_part(bytes).expect("a part is moof and mdat");
        assert!(fragment.sequence > rendition.sequence, "mfhd rises");
        rendition.sequence = fragment.sequence;
        // Where both tracks are in one rendition, there may be no picture.
        if &*described.name != "av" {
            let duration = fragment.runs[0].duration();
            assert_eq!(duration, part.duration_ticks, "a part lasts as long as its samples");
        }
        for run in &fragment.runs {
            let next = rendition.decode_next.insert(run.track_id, run.base_decode_time + run.duration());
            let next = next.unwrap_or(run.base_decode_time);
            // Sound without a known silence leaves holes in parts that go on with pictures.
            let is_hole = &*described.name == "av" && run.base_decode_time > next;
            assert!(run.base_decode_time == next || is_hole, "tfdt {}, not {next}", run.base_decode_time);
        }
    }
}

/// Viewers of a replica who wait, and replicas beside it.
pub struct Audience {
    view: View,
    /// Joined later, by a snapshot.
    late: Option<View>,
    waiting: Vec<Waiting>,
    /// Playlists are compared after every so many-th event.
    every: u64,
    events: u64,
    pub answered: u64,
}

struct Waiting {
    path: String,
    resource: Resource,
    wait: Wait,
    since_us: u64,
}

const WAITING_MAX: usize = 12;

impl Audience {
    pub fn new(every: u64) -> Self {
        Self { view: View::new(), late: None, waiting: Vec::new(), every, events: 0, answered: 0 }
    }

    /// One event of the home, and what those who wait make of it.
    pub fn see(&mut self, event: &StreamEvent, now_us: u64, random: &mut Random) {
        let wake = self.view.apply(event).expect("a replica takes what the home took");
        if let Some(late) = &mut self.late {
            assert_eq!(late.apply(event).expect("so does the other"), wake);
        }
        self.events += 1;
        self.wake(wake, event);
        let wait_ms_max = |waiting: &Waiting| waiting.wait.wait_ms_max * 1000;
        self.waiting.retain(|waiting| now_us < waiting.since_us + wait_ms_max(waiting));
        if self.waiting.len() < WAITING_MAX && random.below(3) == 0 {
            self.ask(now_us, random);
        }
        if random.below(60) == 0 {
            self.late = Some(View::from_snapshot(self.view.snapshot()));
        }
        if self.events.is_multiple_of(self.every) {
            self.compare();
        }
    }

    /// Whoever is answered now was woken, and gets what was promised.
    fn wake(&mut self, wake: Wake, event: &StreamEvent) {
        let part = match &event.body {
            EventBody::Part(part) | EventBody::PartAndClose(part, _) => part.media.as_ref(),
            _ => None,
        };
        let (view, answered) = (&mut self.view, &mut self.answered);
        self.waiting.retain(|waiting| {
            let Answer::Now(response) = view.answer(&waiting.resource, false, None) else { return true };
            let Waiting { path, wait, .. } = waiting;
            let is_woken = match wake {
                Wake::None => false,
                Wake::Rendition { rendition, closed } => {
                    rendition == wait.rendition && (closed || wait.updates == Updates::Parts)
                }
                Wake::All => true,
            };
            assert!(is_woken, "nobody woke `{path}`");
            *answered += 1;
            if response.status.code() == 200
                && path.ends_with(".m4s")
                && let Body::One(bytes) = &response.body
            {
                assert!(
                    part.is_some_and(|MediaRef::Memory(media)| media == bytes),
                    "`{path}` is another part"
                );
            }
            let is_gone = matches!(event.body, EventBody::End | EventBody::Retire(_)) || part.is_none();
            assert!(response.status.code() == 200 || is_gone, "`{path}`: {:?}", response.status);
            false
        });
    }

    /// Somebody asks for what comes next.
    fn ask(&mut self, now_us: u64, random: &mut Random) {
        let window = self.view.window();
        let Some(session) = window.live() else { return };
        let Some(start) = window.start(session) else { return };
        let rendition = &start.renditions[random.below(start.renditions.len() as u64) as usize];
        let Some(position) = window.position(session, rendition.id) else { return };
        let (Some(last), Some(next)) = (position.last_part, position.part_number_next) else { return };
        let (name, epoch) = (&rendition.name, start.epoch);
        let (msn, part) = (last.media_sequence, last.index + 1);
        let path = match random.below(4) {
            0 => format!("/{NAME}/{epoch}/{name}-{next}.m4s"),
            1 => format!("/{NAME}/{session}/{name}.m3u8?_HLS_msn={}", msn + 1),
            2 => format!("/{NAME}/{session}/{name}.m3u8?_HLS_msn={}&_HLS_part=0&_HLS_skip=YES", msn + 1),
            _ => format!("/{NAME}/{session}/{name}.m3u8?_HLS_msn={msn}&_HLS_part={part}"),
        };
        let (resource_path, query) = path.split_once('?').unwrap_or((&path, ""));
        let parsed = path::parse(resource_path).expect("one of our paths");
        let resource = Resource::new(&parsed.resource, query).expect("one of our renditions");
        if let Answer::Wait(wait) = self.view.answer(&resource, false, None) {
            self.waiting.push(Waiting { path, resource, wait, since_us: now_us });
        }
    }

    fn compare(&mut self) {
        let Some(late) = &mut self.late else { return };
        assert_eq!(rendered(late), rendered(&mut self.view), "replicas differ");
    }

    /// The home has the same playlists.
    pub fn compare_with(&mut self, home: &mut View) {
        self.compare();
        assert_eq!(rendered(home), rendered(&mut self.view), "home and replica differ");
        assert_eq!(home.window().retained_bytes(), self.view.window().retained_bytes());
    }
}

/// All playlists that there are.
fn rendered(view: &mut View) -> Vec<Option<Vec<u8>>> {
    let window = view.window();
    let names = |session: SessionId| -> Vec<String> {
        let renditions = window.start(session).map(|start| &start.renditions);
        let names = renditions.into_iter().flatten().map(|rendition| rendition.name.to_string());
        names.map(|name| format!("/{NAME}/{session}/{name}.m3u8")).collect()
    };
    let mut paths: Vec<String> = window.sessions().last().into_iter().flat_map(names).collect();
    let deltas: Vec<String> = paths.iter().map(|path| format!("{path}?_HLS_skip=YES")).collect();
    paths.extend(deltas);
    paths.push(format!("/{NAME}/index.m3u8"));
    paths.iter().map(|path| get(view, path)).collect()
}
