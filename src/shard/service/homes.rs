//! The streams whose home this shard is: made, called, told about, ended.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Message, Service};
use crate::config::Config;
use crate::control::RecordingOptions;
use crate::fmp4::BufferPool;
use crate::hls::Wishes;
use crate::hls::numbering::StreamRecord;
use crate::limits::STATE_RECORDS_MAX;
use crate::media::StreamName;
use crate::metrics::EndedBecause;
use crate::origin::home::{Home, HomeError, HomeSettings, Output, PublisherId, StreamState};
use crate::origin::live::SessionSettings;
use crate::origin::recording::{Beginning, Ending, Recorder};
use crate::shard::fault::{Fault, FaultAt};
use crate::shard::runtime::message_of;
use crate::shard::streams::{EndedBy, HomeHere, Shared, Stream, home_of};

impl Service {
    /// The stream with its home here, made if it is not there. `None` when there are too many.
    pub fn home_stream(&self, name: &StreamName) -> Option<Rc<Stream>> {
        if let Some(stream) = self.streams.find(name.as_str()) {
            return Some(stream);
        }
        let config = self.config();
        let streams_max = config.ingest.streams_max as usize;
        let has_room = |count| (count < streams_max).then_some(count + 1);
        self.setup.streams_count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, has_room).ok()?;
        let mut random = [0; 2];
        // Without randomness the milliseconds alone name the epoch.
        let _ = getrandom::fill(&mut random);
        let random = u16::from_be_bytes(random);
        let record = self.records.borrow().get(name.as_str()).cloned();
        let (settings, now) = (home_settings(&config), self.shard.now());
        let mut home = Home::new(name.clone(), settings, random, record.as_ref(), now);
        let recording = RecordingOptions::of(&config.ingest, name).map(|options| {
            home.record_to(Recorder::new(Beginning::new(name, settings, random, record.as_ref()), now));
            self.setup.control.record(name, home.epoch(), options)
        });
        let stream = Rc::new(Stream::at_home(&self.shard, home, recording));
        self.streams.insert(Rc::clone(&stream));
        self.streams.up(Arc::clone(&stream.shared));
        self.metrics.active_streams.inc();
        self.to_others(|| Message::Up(Arc::clone(&stream.shared)));
        Some(stream)
    }

    /// A name for a publisher.
    pub fn next_publisher(&self) -> u64 {
        self.publisher_next.set(self.publisher_next.get() + 1);
        self.publisher_next.get()
    }

    /// Runs `act` on a stream's home and passes on what it changed. A panic ends the stream, and a
    /// failure the publisher that it is of, which is the one on air unless it says otherwise.
    ///
    /// Returns what `act` returned, or the text of its failure.
    pub fn at_home<R>(
        &self,
        stream: &Rc<Stream>,
        act: impl FnOnce(&mut HomeHere, &mut BufferPool) -> Result<R, HomeFailure>,
    ) -> Result<R, HomeFailure> {
        let Some(here) = stream.home().filter(|_| !stream.is_abandoned.get()) else {
            return Err(HomeFailure::NotHere);
        };
        let acted = self.guarded(stream, || {
            let (result, output, now) = {
                let mut here = here.borrow_mut();
                let result = act(&mut here, &mut self.pool.borrow_mut());
                let now = self.shard.now();
                stream.deadline_us.set(here.home.deadline_us(now).unwrap_or(u64::MAX));
                (result, here.home.take_output(), now)
            };
            self.publish(stream, here, output, now.monotonic_us);
            result
        });
        // Who is to be told was told when the stream was abandoned.
        let result = acted.ok_or(HomeFailure::Panicked)?;
        if let Err(failure) = &result {
            let here = here.borrow();
            let on_air = || here.home.present().next().map(|present| present.id);
            if let Some(id) = failure.publisher().or_else(on_air) {
                tracing::warn!(stream = %stream.shared.name, "publisher ended: {failure}");
                self.metrics.rtmp_errors.of(failure.because()).inc();
                here.end_publisher(id, EndedBy::Failure);
            }
        }
        result
    }

    /// Runs `act` on a stream's state. A panic in it ends the stream: for everybody where it is at home,
    /// else on this shard until it is followed anew. `None` then.
    pub fn guarded<R>(&self, stream: &Rc<Stream>, act: impl FnOnce() -> R) -> Option<R> {
        let acted = self.caught(stream.shared.name.as_str(), act);
        if acted.is_none() {
            match stream.home() {
                Some(_) => self.abandon(stream),
                None => self.unfollow(stream),
            }
        }
        acted
    }

    /// Runs `act`; a panic in it is counted and logged as that of `whose`, and gives `None`.
    pub fn caught<R>(&self, whose: &str, act: impl FnOnce() -> R) -> Option<R> {
        catch_unwind(AssertUnwindSafe(act))
            .map_err(|panic| {
                self.metrics.panics.inc();
                tracing::error!(shard = self.shard.index(), whose, "panicked: {}", message_of(&*panic));
            })
            .ok()
    }

    /// Where a test makes something go wrong.
    ///
    /// # Panics
    /// When the test's hook says so.
    pub fn fault(&self, at: FaultAt, name: &str) -> Option<Fault> {
        let fault = self.setup.faults.as_ref().and_then(|hook| hook(at, name));
        assert!(fault != Some(Fault::Panic), "on purpose, at {at:?}");
        fault
    }

    /// Passes on what a home changed by then: to those parked here, to the shards that follow, to the state file.
    pub(super) fn publish(
        &self,
        stream: &Rc<Stream>,
        here: &RefCell<HomeHere>,
        output: Output,
        published_us: u64,
    ) {
        for received_us in output.listed_frames_us {
            self.note_listed(published_us.saturating_sub(received_us));
        }
        for wake in output.wakes {
            self.land(stream, wake, published_us);
        }
        for note in output.notes {
            self.note(&stream.shared.name, note);
        }
        if let Some(record) = output.record {
            self.save(stream.shared.name.as_str(), record);
        }
        if !output.recorded.is_empty() {
            here.borrow_mut().record(output.recorded);
        }
        if !output.lent.is_empty() {
            self.lent.borrow_mut().add(output.lent);
        }
        if output.events.is_empty() {
            return;
        }
        let mut here = here.borrow_mut();
        let here = &mut *here;
        for event in &output.events {
            here.books.event(&self.metrics, &stream.shared.name, event);
            for follower in here.followers.iter_mut().filter(|follower| !follower.is_stale) {
                let message = Message::Event(Arc::clone(&stream.shared), event.clone(), published_us);
                follower.is_stale = !self.tell_follower(follower.shard, &stream.shared, message);
                self.metrics.replicas_stale.inc_by(follower.is_stale.into());
            }
        }
        self.refresh_followers(&stream.shared, here);
    }

    /// A follower whose inbox was full gets a snapshot as soon as there is room.
    pub(super) fn refresh_followers(&self, shared: &Arc<Shared>, here: &mut HomeHere) {
        for follower in here.followers.iter_mut().filter(|follower| follower.is_stale) {
            let state = Box::new(here.home.view().snapshot());
            let message = Message::Snapshot(Arc::clone(shared), state, shared.published.events_count());
            follower.is_stale = !self.tell_follower(follower.shard, shared, message);
        }
    }

    /// False when the inbox of that shard is full.
    pub(super) fn tell_follower(&self, shard: usize, shared: &Shared, message: Message) -> bool {
        self.fault(FaultAt::Inbox, shared.name.as_str()).is_none()
            && self.mesh.try_send(shard, message).is_ok()
    }

    pub(super) fn save(&self, name: &str, record: StreamRecord) {
        if let Ok(text) = serde_json::to_vec(&record) {
            self.setup.control.save(name, text);
        }
        self.interrupted.borrow_mut().remove(name);
        let mut records = self.records.borrow_mut();
        if records.len() < STATE_RECORDS_MAX || records.contains_key(name) {
            records.insert(name.into(), record);
        }
    }

    /// A core that panicked: its viewers get 404, its publisher is closed, and who publishes next begins
    /// a new epoch above its numbers.
    pub(super) fn abandon(&self, stream: &Rc<Stream>) {
        stream.is_abandoned.set(true);
        if let Some(here) = stream.home() {
            let here = &mut *here.borrow_mut();
            // With the call that made it panic.
            let recorded = here.home.take_output().recorded;
            here.record(recorded);
            here.stop_recording(Ending::Panicked);
            let errors = self.metrics.rtmp_errors.of(HomeFailure::Panicked.because());
            errors.inc_by(here.publishers.len() as u64);
            here.end_publishers(EndedBy::Failure);
        }
        self.remove_home(stream);
        self.interrupt(stream.shared.name.as_str());
        stream.land_all();
    }

    pub(super) fn remove_home(&self, stream: &Rc<Stream>) {
        let name = stream.shared.name.as_str();
        // A stream of the same name may have begun since.
        if self.streams.find(name).is_none_or(|current| !Rc::ptr_eq(&current, stream)) {
            return;
        }
        self.streams.remove(name);
        self.streams.down(name);
        self.setup.streams_count.fetch_sub(1, Ordering::Relaxed);
        self.metrics.active_streams.dec();
        self.to_others(|| Message::Down(Arc::clone(&stream.shared)));
    }

    /// Ends a stream, wherever its home is. False when there is none, or it has ended.
    pub fn stop(&self, name: &StreamName) -> bool {
        let Some(shared) = self.streams.known(name.as_str()) else { return false };
        let home = home_of(name, self.shard.shards_count());
        if home == self.shard.index() {
            return self.stop_here(name);
        }
        let has_ended = shared.status().state == StreamState::Ended;
        !has_ended && self.mesh.try_send(home, Message::Stop(name.clone())).is_ok()
    }

    pub(super) fn stop_here(&self, name: &StreamName) -> bool {
        let Some(stream) = self.streams.find(name.as_str()) else { return false };
        let now = self.shard.now();
        let stopped = self.at_home(&stream, |here, pool| {
            if here.home.state() == StreamState::Ended {
                return Ok(false);
            }
            here.end_publishers(EndedBy::Stop);
            here.home.stop(now, pool);
            // Whoever asks next, on any shard, is to know.
            stream.shared.set_status(crate::shard::status::of(here));
            Ok(true)
        });
        let has_stopped = matches!(stopped, Ok(true));
        if has_stopped {
            tracing::info!(stream = %name, "stopped by the API");
        }
        has_stopped
    }

    pub(super) fn reload(&self, config: Arc<Config>) {
        for stream in self.streams.all_here() {
            if let Some(here) = stream.home() {
                let here = &mut *here.borrow_mut();
                here.home.set_settings(home_settings(&config));
                if !config.ingest.records(stream.shared.name.as_str()) {
                    here.stop_recording(Ending::SwitchedOff);
                }
            }
        }
        *self.config.borrow_mut() = config;
    }

    pub(super) fn drain(&self) {
        let now = self.shard.now();
        for stream in self.streams.all_here() {
            // Failures are logged where they happen, and the drain goes on.
            let _ = self.at_home(&stream, |here, pool| {
                here.end_publishers(EndedBy::Drain);
                here.home.stop(now, pool);
                Ok(())
            });
        }
    }
}

/// Why something could not be done at a home.
#[derive(Debug, thiserror::Error)]
pub enum HomeFailure {
    /// The stream is not at home on this shard.
    #[error("the stream's home is another shard")]
    NotHere,
    /// The core failed.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The core cannot take what this publisher sends.
    #[error("{1}")]
    Publisher(PublisherId, HomeError),
    /// The core panicked.
    #[error("the stream's core panicked")]
    Panicked,
}

impl HomeFailure {
    /// As the metrics have it.
    pub fn because(&self) -> EndedBecause {
        match self {
            Self::Home(error) | Self::Publisher(_, error) => match error {
                HomeError::RetainedBytes { .. } | HomeError::Turns(_) => EndedBecause::Bound,
                _ => EndedBecause::Protocol,
            },
            Self::Panicked => EndedBecause::Panic,
            Self::NotHere => EndedBecause::Protocol,
        }
    }

    /// Whose it is, if it is only one's.
    fn publisher(&self) -> Option<PublisherId> {
        match self {
            Self::Publisher(id, _) => Some(*id),
            _ => None,
        }
    }
}

fn home_settings(config: &Config) -> HomeSettings {
    let hls = &config.hls;
    let seconds = |value: u32| u64::from(value) * 1_000_000;
    HomeSettings {
        wishes: Wishes {
            part_ms: hls.part_wish_or_preset_ms(),
            segment_ms: hls.segment_target_or_preset_ms(),
        },
        session: SessionSettings {
            muxed: hls.muxed,
            window_segments_min: hls.window_segments,
            prefill_gap_segments: hls.prefill_gap_segments,
            retained_bytes_max: hls.retained_bytes_max,
        },
        gop_ms: (hls.expected_gop_ms > 0).then_some(hls.expected_gop_ms),
        unpublish_grace_us: seconds(config.ingest.unpublish_grace_s),
        reconnect_grace_us: seconds(config.ingest.reconnect_grace_s),
        takeover_silence_us: seconds(config.ingest.takeover_silence_s),
        failback_us: seconds(config.ingest.failback_s),
    }
}
