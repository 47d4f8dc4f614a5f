//! The two loops of a rendition: one keeps a reload open, the other loads media in order.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::{Followed, Viewer};
use crate::clock;
use crate::fault::{Fault, FaultKind};
use crate::fmp4::{self, Init};
use crate::measure::{Counter, Meter};
use crate::net::{Answer, Body, Connection, Request, RequestError};
use crate::player::{
    Address, ListedPiece, PartRead, PartRecord, Playback, Reloaded, Taken, Wanted, WantedKind, hash_of,
};

/// An init segment that is not to be had is asked for again after this.
const INIT_AGAIN_AFTER: Duration = Duration::from_millis(500);
/// Lost parts of one viewer that are reckoned among the latencies at once: five minutes of them.
const LOST_RECORDED_MAX: u64 = 1500;
/// A request for media that was cut or hung is made once more, as players do.
const ATTEMPTS_MAX: u32 = 2;

/// Keeps the playlist of one rendition current until it ends.
pub(super) async fn follow_playlist(viewer: Rc<Viewer>, index: usize, mut connection: Connection) {
    let followed = &viewer.renditions[index];
    loop {
        viewer.conduct.may_ask().await;
        let reload = followed.rendition.borrow().next_reload();
        let due_us = reload.due_us.max(viewer.conduct.resumed_us.get());
        if due_us > clock::monotonic_us() {
            tokio::time::sleep_until(clock::instant_at(due_us)).await;
            viewer.conduct.may_ask().await;
        }
        let asked_us = clock::monotonic_us();
        let request = Request::playlist(&reload.resource);
        let got = connection.get(&viewer.plan.client, request, reload.within, &viewer.pace).await;
        let now_us = clock::monotonic_us() - read_late_us(&got);
        // One that failed took its time all the same.
        viewer.worker.measure(|measure| measure.record_us(Meter::Reload, now_us.saturating_sub(due_us)));
        let Some(answer) = viewer.good_answer(got, &followed.path, &[200]) else {
            followed.rendition.borrow_mut().reload_failed(now_us);
            continue;
        };
        viewer.worker.measure(|measure| measure.add(Counter::Reloads, 1));
        let (became, faults) =
            followed.rendition.borrow_mut().reloaded(&reload, &answer.body, answer.gzip, asked_us, now_us);
        viewer.tell_faults(&followed.path, faults);
        match became {
            Reloaded::Advanced => followed.changed.notify_one(),
            Reloaded::Unchanged => {}
            Reloaded::Failed(fault) => {
                viewer.fault(Fault::new(fault.kind, format!("{}: {}", followed.path, fault.detail)));
            }
        }
        if followed.rendition.borrow().has_ended() {
            followed.changed.notify_one();
            return;
        }
    }
}

/// Loads the media of one rendition in order until it ends.
pub(super) async fn follow_media(viewer: Rc<Viewer>, index: usize, mut connection: Connection) {
    let followed = &viewer.renditions[index];
    let mut init = LoadedInit::default();
    loop {
        viewer.conduct.may_ask().await;
        let (last_sent, next) = {
            let mut rendition = followed.rendition.borrow_mut();
            (rendition.last_sent(), rendition.next_wanted())
        };
        let wanted = match next {
            Ok(wanted) => wanted,
            Err(Taken::Gap(duration)) => {
                viewer.play(index, duration);
                continue;
            }
            Err(Taken::Lost(parts)) => {
                viewer.lose(parts, last_sent);
                continue;
            }
            Err(Taken::Nothing) if followed.rendition.borrow().is_done() => {
                viewer.end(index);
                return;
            }
            Err(Taken::Nothing) => {
                followed.changed.notified().await;
                continue;
            }
        };
        let hinted = followed.rendition.borrow_mut().take_hinted(&wanted);
        if let (Some(record), Some(listed)) = (&hinted, &wanted.listed) {
            viewer.take(index, listed, record);
            continue;
        }
        if let Some(map) = &wanted.map
            && !viewer.load_init(&mut init, map, &mut connection, followed).await
        {
            // Nothing can be played without it.
            tokio::time::sleep(INIT_AGAIN_AFTER).await;
            continue;
        }
        let loaded = viewer.load(&wanted, init.init.as_ref(), &mut connection, followed).await;
        match (&wanted.listed, loaded) {
            (Some(listed), Some(record)) => viewer.take(index, listed, &record),
            (Some(listed), None) => {
                followed.rendition.borrow_mut().passed_over(listed);
                viewer.lose(1, None);
                // Players jump over a hole of one part, but do not begin with one.
                if viewer.has_started() {
                    viewer.play(index, listed.duration);
                }
            }
            (None, Some(record)) => {
                if followed.rendition.borrow_mut().keep_hinted(&wanted, record) {
                    viewer.worker.measure(|measure| measure.add(Counter::HintsWrong, 1));
                }
            }
            (None, None) => {}
        }
    }
}

/// The init segment that a viewer has loaded last.
#[derive(Default)]
struct LoadedInit {
    url: Option<Arc<str>>,
    /// `None` when it is of no use.
    init: Option<Arc<Init>>,
}

impl Viewer {
    /// Counts a fault of this viewer's own requests.
    fn fault(&self, fault: Fault) {
        self.screen.figures.borrow_mut().faults += 1;
        self.worker.fault(fault);
    }

    /// Faults of one viewer's reload are its own; those of the playlist are told once for all viewers.
    fn tell_faults(&self, path: &str, faults: Vec<Fault>) {
        if faults.is_empty() {
            return;
        }
        let is_own =
            |fault: &Fault| matches!(fault.kind, FaultKind::ReloadEarly | FaultKind::ReloadUnchanged);
        let (own, shared): (Vec<_>, Vec<_>) = faults.into_iter().partition(is_own);
        for fault in own {
            self.fault(Fault::new(fault.kind, format!("{path}: {}", fault.detail)));
        }
        self.worker.shared_faults(path, shared);
    }

    /// Counts an answer; `None`, and a fault, when it is not one of these statuses.
    fn good_answer(&self, got: Result<Answer, RequestError>, path: &str, statuses: &[u16]) -> Option<Answer> {
        let answer = match got {
            Ok(answer) => answer,
            Err(error) => {
                if error.is_own() {
                    self.worker.measure(|measure| measure.add(Counter::OwnErrors, 1));
                }
                self.fault(error.fault(path));
                return None;
            }
        };
        self.worker.measure(|measure| {
            measure.add(Counter::Requests, 1);
            measure.add(Counter::ReceivedBytes, answer.received_bytes);
            if let Some(late_us) = answer.read_late_us {
                measure.record_us(Meter::ReadLateness, late_us);
            }
        });
        if statuses.contains(&answer.status) {
            return Some(answer);
        }
        self.fault(status_fault(&answer, path));
        None
    }

    /// True when it is there, now or from before; whether it is of use is judged once for all.
    async fn load_init(
        &self,
        loaded: &mut LoadedInit,
        map: &Address,
        connection: &mut Connection,
        followed: &Followed,
    ) -> bool {
        if loaded.url.as_ref() == Some(&map.url) {
            return true;
        }
        let known = self.worker.shared.init(&map.url);
        let body = if known.is_some() { Body::Count } else { Body::Keep };
        let within = followed.rendition.borrow().media_within();
        let request = Request::whole(&map.resource, body);
        let got = connection.get(&self.plan.client, request, within, &self.pace).await;
        let path = map.resource.path();
        let Some(answer) = self.good_answer(got, path, &[200]) else { return false };
        loaded.init = known.unwrap_or_else(|| {
            let init = match Init::parse(&answer.body) {
                Ok(init) => {
                    self.worker.shared_faults(path, init.faults.clone());
                    Some(Arc::new(init))
                }
                Err(fault) => {
                    self.worker.shared_faults(path, vec![fault]);
                    None
                }
            };
            self.worker.shared.keep_init(&map.url, init.clone());
            init
        });
        loaded.url = Some(Arc::clone(&map.url));
        true
    }

    /// Loads a piece; `None` when it is not to be had.
    async fn load(
        &self,
        wanted: &Wanted,
        init: Option<&Arc<Init>>,
        connection: &mut Connection,
        followed: &Followed,
    ) -> Option<Arc<PartRecord>> {
        let worker = &self.worker;
        let url = match wanted.byte_range {
            None => Arc::clone(&wanted.address.url),
            Some(range) => format!("{}#{}+{}", wanted.address.url, range.start, range.length).into(),
        };
        let mut record = worker.parts.borrow_mut().record(&url, || worker.shared.part(&url));
        let within = followed.rendition.borrow().media_within();
        let path = wanted.address.resource.path();
        for attempt in 1..=ATTEMPTS_MAX {
            let is_reader = record.begin_reading();
            let verifies = is_reader || worker.happens(self.plan.verify_percent);
            let request = Request {
                range: wanted.byte_range.map(|range| (range.start, range.length)),
                ..Request::whole(&wanted.address.resource, if verifies { Body::Keep } else { Body::Count })
            };
            let got = connection.get(&self.plan.client, request, within, &self.pace).await;
            let received_unix_us = clock::unix_us() - read_late_us(&got);
            if got.is_err() && wanted.kind == WantedKind::Part {
                // One that failed took its time all the same.
                let took_us = clock::monotonic_us().saturating_sub(self.due_us_of(wanted));
                worker.measure(|measure| measure.record_us(Meter::Part, took_us));
            }
            let may_try_again = got.is_err() && attempt < ATTEMPTS_MAX;
            if wanted.kind == WantedKind::Hint && matches!(&got, Ok(answer) if answer.status == 404) {
                // 8216bis, 6.2.6: a hint may be withdrawn.
                worker.measure(|measure| measure.add(Counter::HintsWrong, 1));
                if is_reader {
                    record.give_up_reading();
                }
                return None;
            }
            let answer =
                self.good_answer(got, path, if wanted.byte_range.is_some() { &[206] } else { &[200] });
            if let Some(answer) = answer {
                if self.is_another(&record, &answer, verifies, path) {
                    record = worker.parts.borrow_mut().replace(&url, worker.shared.replace_part(&url));
                }
                if verifies {
                    self.verify(&record, &answer, init, path);
                }
                self.received(wanted, &record, &answer, received_unix_us);
                return Some(record);
            }
            if is_reader {
                record.give_up_reading();
            }
            if !may_try_again {
                break;
            }
        }
        None
    }

    /// Reads a body that was kept: the first of its address is judged, others are compared with it.
    fn verify(&self, record: &PartRecord, answer: &Answer, init: Option<&Arc<Init>>, path: &str) {
        self.worker.measure(|measure| measure.add(Counter::Verified, 1));
        if record.read().is_some() {
            return;
        }
        let (bytes, hash) = (answer.body_bytes, hash_of(&answer.body));
        let summary = match init.map(|init| fmp4::summarise(init, &answer.body)) {
            Some(Ok((summary, faults))) => {
                self.worker.shared_faults(path, faults);
                Some(summary)
            }
            Some(Err(fault)) => {
                self.worker.shared_faults(path, vec![fault]);
                None
            }
            None => None,
        };
        record.keep(PartRead { bytes, hash, summary });
    }

    /// True, and a fault, when this is not what others got from the same address.
    fn is_another(&self, record: &PartRecord, answer: &Answer, is_kept: bool, path: &str) -> bool {
        let Some(read) = record.read() else { return false };
        let is_other = read.bytes != answer.body_bytes || (is_kept && read.hash != hash_of(&answer.body));
        if is_other {
            let (found, before) = (answer.body_bytes, read.bytes);
            let detail = format!("{path}: {found} bytes that are not the {before} bytes of before");
            self.fault(Fault::new(FaultKind::ContentDiffers, detail));
        }
        is_other
    }

    /// When a request for a listed piece was due: when it was first listed, or when a pause was over.
    fn due_us_of(&self, wanted: &Wanted) -> u64 {
        wanted.listed_us.max(self.conduct.resumed_us.get())
    }

    /// Parts that this viewer will not have. Had it waited for them, they would have been at least so late.
    fn lose(&self, parts: u64, last_sent: Option<(u64, u64)>) {
        self.screen.figures.borrow_mut().parts_skipped += parts;
        let now_unix_us = clock::unix_us();
        self.worker.measure(|measure| {
            measure.add(Counter::PartsSkipped, parts);
            let Some((sent_us, part_us)) = last_sent else { return };
            for part in 1..=parts.min(LOST_RECORDED_MAX) {
                let late_us = now_unix_us.saturating_sub(sent_us + part * part_us);
                if late_us > 0 {
                    measure.record_us(Meter::LatencyNewest, late_us);
                }
            }
        });
    }

    fn has_started(&self) -> bool {
        self.screen.playback.borrow().as_ref().is_some_and(Playback::has_started)
    }

    /// Times and counts a piece that came.
    fn received(&self, wanted: &Wanted, record: &Arc<PartRecord>, answer: &Answer, unix_us: u64) {
        let now_us = clock::monotonic_us() - answer.read_late_us.unwrap_or(0);
        let is_segment = wanted.kind == WantedKind::Segment;
        debug_assert!(record.read().is_none_or(|read| read.bytes == answer.body_bytes));
        self.screen.figures.borrow_mut().parts += 1;
        let spread_us = record.received(unix_us);
        let is_backlog = wanted.listed.is_some_and(|listed| listed.is_backlog);
        self.worker.measure(|measure| {
            measure.add(if is_segment { Counter::Segments } else { Counter::Parts }, 1);
            if is_backlog {
                return;
            }
            if !is_segment {
                measure.record_us(Meter::Spread, spread_us);
            }
            if wanted.kind == WantedKind::Part {
                measure.record_us(Meter::Part, now_us.saturating_sub(self.due_us_of(wanted)));
            }
            if let Some(ends_unix_us) = wanted.listed.and_then(|listed| listed.ends_unix_us) {
                measure.record_us(Meter::LatencyDate, unix_us.saturating_sub(ends_unix_us.max(0) as u64));
            }
            self.worker.parts.borrow_mut().received(record, is_segment, unix_us, measure);
        });
        if !is_backlog
            && !is_segment
            && let Some(stamps) = record.read().and_then(|read| read.summary.as_ref()?.stamps())
        {
            let latency_us = unix_us.saturating_sub(stamps.newest_sent_unix_us);
            let figures = &mut *self.screen.figures.borrow_mut();
            figures.latency_max_us = figures.latency_max_us.max(latency_us);
        }
    }

    /// A listed piece is there: judges it by the playlist and by the piece before, and plays it.
    fn take(&self, index: usize, listed: &ListedPiece, record: &Arc<PartRecord>) {
        let followed = &self.renditions[index];
        let previous = followed.rendition.borrow_mut().loaded(listed, record);
        let summary = |record: &PartRecord| record.read().and_then(|read| read.summary.clone());
        if record.read().is_some()
            && record.begin_listed_check()
            && let Some(summary) = summary(record)
        {
            let faults = fmp4::check_listed(&summary, listed.duration, listed.independent);
            self.tell_at(followed, listed, faults);
        }
        if let Some(previous) = previous
            && previous.read().is_some()
            && record.read().is_some()
            && record.begin_continuity_check()
            && let (Some(before), Some(after)) = (summary(&previous), summary(record))
        {
            self.tell_at(followed, listed, fmp4::check_continuity(&before, &after));
        }
        self.play(index, listed.duration);
    }

    /// Tells faults of a piece with its place.
    fn tell_at(&self, followed: &Followed, listed: &ListedPiece, mut faults: Vec<Fault>) {
        for fault in &mut faults {
            fault.detail = format!("{}: {}", listed.position, fault.detail);
        }
        self.worker.shared_faults(&followed.path, faults);
    }

    /// Media is there to be played.
    fn play(&self, index: usize, duration: Duration) {
        let now_us = clock::monotonic_us();
        let mut screen = self.screen.playback.borrow_mut();
        let Some(playback) = screen.as_mut() else { return };
        let had_started = playback.has_started();
        let stall = playback.received(index, duration.as_micros() as u64, now_us);
        let has_joined = !had_started && playback.has_started();
        self.worker.measure(|measure| {
            if let Some(stall) = stall {
                measure.record_us(Meter::Stall, stall.stalled_us);
            }
            if has_joined {
                measure.record_us(Meter::Join, now_us.saturating_sub(self.screen.due_us));
            }
        });
        if has_joined {
            self.screen.figures.borrow_mut().join_us = Some(now_us.saturating_sub(self.screen.due_us));
        }
    }

    /// A rendition has come to its end.
    fn end(&self, index: usize) {
        let now_us = clock::monotonic_us();
        if let Some(playback) = self.screen.playback.borrow_mut().as_mut()
            && let Some(stall) = playback.ended(index, now_us)
        {
            self.worker.measure(|measure| measure.record_us(Meter::Stall, stall.stalled_us));
        }
    }
}

/// [`Answer::read_late_us`]; a failure came when it was seen.
fn read_late_us(got: &Result<Answer, RequestError>) -> u64 {
    got.as_ref().ok().and_then(|answer| answer.read_late_us).unwrap_or(0)
}

fn status_fault(answer: &Answer, path: &str) -> Fault {
    let kind = match answer.status {
        400..=499 => FaultKind::Status4xx,
        500..=599 => FaultKind::Status5xx,
        _ => FaultKind::Http,
    };
    Fault::new(kind, format!("{path}: status {}", answer.status))
}
