//! The stream while it runs: publishes parts at their times, and answers requests, which may wait for them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::http::{Answer, Body, Manner, Request};
use super::misbehaviour::Misbehaviour;
use super::playlist::{self, Report};
use super::reload::{Decision, Directives, WAIT_S, decide};
use super::stream::{NextPart, Part, Rendition, Shape, Track};
use super::time::Clock;
use super::{frames, mp4};

/// Where the playlists and media are.
pub const FOLDER: &str = "/live/test/";
/// How long before a part is due its playlist is rendered; what remains then is spent spinning.
const LEAD_US: u64 = 1_000;
/// How long after a part the next one is made, so that those who waited for this one are served first.
const PAUSE_US: u64 = 5_000;
/// The window is not made shorter by [`Misbehaviour::ReloadEarly`] than so many segments.
const EARLY_SEGMENTS_MIN: usize = 6;

const PLAYLIST: &str = "application/vnd.apple.mpegurl";
const CACHE_PLAIN: &str = "max-age=0";
// B.1: six target durations for media and for playlists asked for with directives, one for media that is not there.
const CACHE_LONG: &str = "max-age=6";
const CACHE_MISSING: &str = "max-age=1";
const CACHE_NEVER: &str = "no-store";

/// What all threads of an origin share.
#[derive(Debug)]
pub struct Live {
    channels: Vec<Channel>,
    multivariant: Body,
    clock: Clock,
    stopped: Mutex<bool>,
    stopping: Condvar,
    /// Set before `stopping` and the channels are notified.
    is_stopped: AtomicBool,
    /// Requests received.
    pub requests_count: AtomicU64,
    /// Misbehaviours done.
    pub misbehaved_count: AtomicU64,
    /// How late a part was published at most, against when it was due.
    pub lateness_max_us: AtomicU64,
}

/// A track's rendition, and those who wait for its next part.
#[derive(Debug)]
struct Channel {
    track: Track,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    rendition: Rendition,
    /// `None` while nobody has made it yet.
    next: Option<NextPart>,
    published_us: u64,
    report: Option<Report>,
    full: Body,
    delta: Body,
    wish: Option<(Misbehaviour, u32)>,
}

impl Live {
    /// A stream with all that it would have published by now.
    pub fn new(shape: Shape, clock: Clock, with_audio: bool) -> Self {
        let tracks = if with_audio { &[Track::Video, Track::Audio][..] } else { &[Track::Video] };
        let now_us = clock.now_us();
        let channels: Vec<_> = tracks.iter().map(|track| Channel::new(*track, shape, now_us)).collect();
        let second_bytes =
            channels.iter().map(|channel| channel.lock().rendition.segment_bytes_max()).sum::<u64>();
        let multivariant = Body::text(playlist::multivariant(with_audio, 8 * second_bytes));
        let live = Self {
            channels,
            multivariant,
            clock,
            stopped: Mutex::new(false),
            stopping: Condvar::new(),
            is_stopped: AtomicBool::new(false),
            requests_count: AtomicU64::new(0),
            misbehaved_count: AtomicU64::new(0),
            lateness_max_us: AtomicU64::new(0),
        };
        for channel in &live.channels {
            let report = live.report_for(channel);
            channel.lock().render(report, None);
        }
        live
    }

    /// Publishes each part when it is due, until the origin stops.
    pub fn publish(&self) {
        loop {
            let next_channel = self.channels.iter().min_by_key(|channel| channel.lock().wake_us());
            let channel = next_channel.expect("video at least");
            let wake_us = channel.lock().wake_us();
            if !self.sleep_until(wake_us) {
                return;
            }
            let mut state = channel.lock();
            let Some(next) = state.next.take() else {
                state.make_next(&self.misbehaved_count);
                continue;
            };
            drop(state);
            let (report, due_us) = (self.report_for(channel), next.due_us);
            let mut state = channel.lock();
            state.publish(next, report);
            // Whoever asks now waits for the lock, and gets what is about to be current.
            while self.clock.now_us() < due_us {
                std::hint::spin_loop();
            }
            let now_us = self.clock.now_us();
            // Parts that fell due while one before them was told to be late are late because of it.
            let on_its_own = due_us > state.published_us + PAUSE_US;
            state.published_us = now_us;
            drop(state);
            channel.changed.notify_all();
            if on_its_own {
                self.lateness_max_us.fetch_max(now_us - due_us, Ordering::Relaxed);
            }
        }
    }

    /// Ends [`Self::publish`] and everything that waits.
    pub fn stop(&self) {
        self.is_stopped.store(true, Ordering::SeqCst);
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.stopping.notify_all();
        for channel in &self.channels {
            // Under the lock, so that none checks before and waits after.
            drop(channel.lock());
            channel.changed.notify_all();
        }
    }

    /// Whether the origin has stopped.
    pub fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::SeqCst)
    }

    /// Returns when the origin stops.
    pub fn wait_until_stopped(&self) {
        let guard = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.stopping.wait_while(guard, |stopped| !*stopped));
    }

    /// Tells a track how to misbehave, and how often.
    pub fn misbehave(&self, track: Track, wish: Option<(Misbehaviour, u32)>) {
        let channel = self.channel(track).expect("a track that the stream has");
        channel.lock().wish = wish;
    }

    /// Answers a request, when there is an answer.
    pub fn answer(&self, request: &Request) -> Answer {
        self.requests_count.fetch_add(1, Ordering::Relaxed);
        match request.method.as_str() {
            "GET" | "HEAD" => {}
            "OPTIONS" => return Answer { status: 204, cache: CACHE_LONG, ..Answer::missing() },
            _ => return Answer { status: 405, cache: CACHE_NEVER, ..Answer::missing() },
        }
        let Some(name) = request.path.strip_prefix(FOLDER) else { return Answer::missing() };
        if name == "index.m3u8" {
            return Answer::playlist(self.multivariant.clone(), CACHE_PLAIN);
        }
        let playlist_of = self.channels.iter().find(|channel| channel.track.playlist_name() == name);
        if let Some(channel) = playlist_of {
            return match Directives::parse(&request.query) {
                Some(directives) => self.reload(channel, directives),
                None => Answer::refused(400),
            };
        }
        self.media(name).unwrap_or_else(Answer::missing)
    }

    fn channel(&self, track: Track) -> Option<&Channel> {
        self.channels.iter().find(|channel| channel.track == track)
    }

    /// What the other channel has; without waiting for it longer than it takes to publish.
    fn report_for(&self, channel: &Channel) -> Option<Report> {
        let other = self.channels.iter().find(|other| other.track != channel.track)?;
        Some(Report { track: other.track, newest: other.lock().rendition.newest() })
    }

    fn sleep_until(&self, wake_us: u64) -> bool {
        let left_us = || wake_us.saturating_sub(self.clock.now_us());
        let mut stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        while !*stopped && left_us() > 0 {
            let left = Duration::from_micros(left_us());
            stopped = self.stopping.wait_timeout(stopped, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        !*stopped
    }

    /// Waits for the next part; `None` when it does not come in time.
    fn wait<'a>(
        &self,
        channel: &'a Channel,
        state: MutexGuard<'a, State>,
        deadline: Instant,
    ) -> Option<MutexGuard<'a, State>> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || self.is_stopped() {
            return None;
        }
        Some(channel.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0)
    }

    fn reload(&self, channel: &Channel, directives: Directives) -> Answer {
        let deadline = Instant::now() + Duration::from_secs(WAIT_S);
        let mut state = channel.lock();
        let mut has_arrived = true;
        loop {
            match decide(&state.rendition, directives) {
                Decision::Ready => return state.playlist(directives),
                Decision::Reject => return Answer::refused(400),
                Decision::Wait => {}
            }
            if std::mem::take(&mut has_arrived) && state.misbehaves_now(&self.misbehaved_count) {
                return state.playlist(directives);
            }
            let Some(changed) = self.wait(channel, state, deadline) else { return Answer::refused(503) };
            state = changed;
        }
    }

    /// `v-init.mp4`, `v-MSN.m4s` and `v-MSN-INDEX.m4s`; `a` for audio.
    fn media(&self, name: &str) -> Option<Answer> {
        let (letter, name) = name.split_once('-')?;
        let channel = self.channels.iter().find(|channel| letter.chars().eq([channel.track.letter()]))?;
        if name == "init.mp4" {
            return Some(Answer::media(channel.track, mp4::init(channel.track).into()));
        }
        let numbers = name.strip_suffix(".m4s")?;
        if let Some((msn, index)) = numbers.split_once('-') {
            return self.part(channel, msn.parse().ok()?, index.parse().ok()?);
        }
        let msn: u64 = numbers.parse().ok()?;
        let state = channel.lock();
        let segment = state.rendition.complete().find(|segment| segment.msn == msn)?;
        Some(Answer::media(channel.track, segment.bytes()))
    }

    fn part(&self, channel: &Channel, msn: u64, index: u64) -> Option<Answer> {
        let deadline = Instant::now() + Duration::from_secs(WAIT_S);
        let mut state = channel.lock();
        loop {
            let segment = state.rendition.segment_mut(msn);
            if let Some(part) = segment.and_then(|segment| segment.listed_part_mut(index)) {
                return Some(Answer::part(channel.track, part));
            }
            // 6.2.6: the hinted part waits until all of it is there; no other does.
            if state.rendition.hint() != (msn, index) {
                return None;
            }
            let Some(changed) = self.wait(channel, state, deadline) else {
                return Some(Answer::refused(503));
            };
            state = changed;
        }
    }
}

impl Channel {
    fn new(track: Track, shape: Shape, now_us: u64) -> Self {
        let mut rendition = Rendition::new(track, shape);
        let next = loop {
            let next = rendition.make_next(None);
            if next.due_us > now_us {
                break next;
            }
            rendition.publish(next);
        };
        let state = State {
            rendition,
            next: Some(next),
            published_us: now_us,
            report: None,
            full: Body::text(String::new()),
            delta: Body::text(String::new()),
            wish: None,
        };
        Self { track, state: Mutex::new(state), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// When there is something to do: a part to publish, or one to make.
    fn wake_us(&self) -> u64 {
        match &self.next {
            Some(next) => next.due_us.saturating_sub(LEAD_US),
            None => self.published_us + PAUSE_US,
        }
    }

    fn make_next(&mut self, misbehaved_count: &AtomicU64) {
        let next = self.rendition.make_next(self.wish.map(|(wish, _)| wish));
        if next.flaw().is_some() {
            self.count_down(misbehaved_count);
        }
        self.next = Some(next);
    }

    fn count_down(&mut self, misbehaved_count: &AtomicU64) {
        self.wish = self.wish.filter(|(_, times)| *times > 1).map(|(wish, times)| (wish, times - 1));
        misbehaved_count.fetch_add(1, Ordering::Relaxed);
    }

    fn publish(&mut self, next: NextPart, report: Option<Report>) {
        let flaw = next.flaw();
        self.rendition.publish(next);
        self.render(report, flaw);
    }

    fn render(&mut self, report: Option<Report>, flaw: Option<Misbehaviour>) {
        self.report = report;
        self.full = Body::text(playlist::media(&self.rendition, report, false, flaw));
        self.delta = Body::text(playlist::media(&self.rendition, report, true, flaw));
    }

    /// Whether a reload that has to wait is not to; the playlist is then as it shall be answered.
    fn misbehaves_now(&mut self, misbehaved_count: &AtomicU64) -> bool {
        match self.wish {
            Some((Misbehaviour::ReloadUnchanged, _)) => {}
            Some((Misbehaviour::ReloadEarly, _)) if self.rendition.listed_count() > EARLY_SEGMENTS_MIN => {
                self.rendition.remove_oldest();
                self.render(self.report, None);
            }
            _ => return false,
        }
        self.count_down(misbehaved_count);
        true
    }

    fn playlist(&self, directives: Directives) -> Answer {
        let body = if directives.skip { &self.delta } else { &self.full };
        Answer::playlist(body.clone(), if directives.any() { CACHE_LONG } else { CACHE_PLAIN })
    }
}

impl Answer {
    fn playlist(body: Body, cache: &'static str) -> Self {
        Self { status: 200, content_type: PLAYLIST, cache, body, manner: Manner::Whole }
    }

    fn media(track: Track, bytes: Arc<[u8]>) -> Self {
        let content_type = match track {
            Track::Video => "video/mp4",
            Track::Audio => "audio/mp4",
        };
        Self { status: 200, content_type, cache: CACHE_LONG, body: Body::plain(bytes), manner: Manner::Whole }
    }

    fn part(track: Track, part: &mut Part) -> Self {
        part.requests_count += 1;
        let whole = Self::media(track, part.bytes.clone());
        match part.flaw {
            Some(Misbehaviour::NotFound) => Self::missing(),
            Some(Misbehaviour::ServerError) => Self::refused(503),
            Some(Misbehaviour::Hang) => Self { manner: Manner::Hang, ..whole },
            Some(Misbehaviour::Cut) => Self { manner: Manner::Cut, ..whole },
            Some(Misbehaviour::NotHttp) => Self { manner: Manner::Rubbish, ..whole },
            Some(Misbehaviour::ContentDiffers) if part.requests_count.is_multiple_of(2) => {
                Self::media(track, frames::altered(track, &part.bytes).into())
            }
            _ => whole,
        }
    }

    fn missing() -> Self {
        Self { cache: CACHE_MISSING, ..Self::refused(404) }
    }

    fn refused(status: u16) -> Self {
        let body = Body::plain([]);
        Self { status, content_type: "", cache: CACHE_NEVER, body, manner: Manner::Whole }
    }
}
