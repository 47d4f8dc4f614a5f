//! A recording told to a home.

use smallvec::SmallVec;

use super::{Beginning, Ending, Entry, RecordingError};
use crate::fmp4::BufferPool;
use crate::limits::{
    PART_POOL_IDLE_BYTES_MAX, PART_TARGET_MS_MAX, RECORDING_TIME_BACK_US_MAX, RECORDING_TIME_US_MAX,
    RTMP_VIDEO_BYTES_MAX, SEGMENT_TARGET_MS_MAX,
};
use crate::media::{Now, StreamName};
use crate::origin::home::{Home, HomeError, HomeSettings, Output, PublisherId};
use crate::rtmp::Role;

/// A home that is told a recording, entry by entry.
#[derive(Debug)]
pub struct Replay {
    home: Option<Home>,
    pool: BufferPool,
    now: Option<Now>,
    /// Who publishes.
    publishers: SmallVec<[(PublisherId, Role); 2]>,
    ending: Option<Ending>,
}

/// What an entry has done.
#[derive(Debug, Default)]
pub struct Replayed {
    /// What changed.
    pub output: Output,
    /// The home failed at the call, as it did when it was recorded: its publisher was ended.
    pub failure: Option<HomeError>,
}

impl Default for Replay {
    fn default() -> Self {
        Self {
            home: None,
            pool: BufferPool::new(PART_POOL_IDLE_BYTES_MAX),
            now: None,
            publishers: SmallVec::new(),
            ending: None,
        }
    }
}

impl Replay {
    /// The home, once it has begun.
    pub fn home_mut(&mut self) -> Option<&mut Home> {
        self.home.as_mut()
    }

    /// The time of the newest entry; zero before there was one.
    pub fn now(&self) -> Now {
        self.now.unwrap_or_default()
    }

    /// Why the recording ends; `None` as long as it has said nothing of that.
    pub fn ending(&self) -> Option<Ending> {
        self.ending
    }

    /// Makes the call that an entry holds.
    ///
    /// # Errors
    /// [`RecordingError`] for an entry that no home was ever told.
    pub fn apply(&mut self, entry: Entry<'_>) -> Result<Replayed, RecordingError> {
        let out_of_place = |what| Err(RecordingError::OutOfPlace(what));
        if self.ending.is_some() {
            return out_of_place("an entry behind the end");
        }
        match entry {
            Entry::Time(now) => {
                // A call may be told the time of a moment before the one that came ahead of it.
                let before = self.now().monotonic_us.saturating_sub(RECORDING_TIME_BACK_US_MAX);
                if !(before..RECORDING_TIME_US_MAX).contains(&now.monotonic_us)
                    || now.unix_us >= RECORDING_TIME_US_MAX
                {
                    return out_of_place("a time that goes back, or is none");
                }
                self.now = Some(now);
                return Ok(Replayed::default());
            }
            Entry::End(ending) => {
                self.ending = Some(ending);
                return Ok(Replayed::default());
            }
            _ => {}
        }
        let Some(now) = self.now else { return out_of_place("an entry without a time") };
        match (entry, &mut self.home) {
            (Entry::Begin(beginning), home @ None) => {
                *home = Some(begin(&beginning, now)?);
                Ok(Replayed::default())
            }
            (Entry::Begin(_), Some(_)) => out_of_place("a second beginning"),
            (_, None) => out_of_place("a call before the beginning"),
            (entry, Some(home)) => {
                let called = call(home, &mut self.publishers, &mut self.pool, entry, now)?;
                Ok(Replayed { output: home.take_output(), failure: called.err() })
            }
        }
    }
}

fn begin(beginning: &Beginning, now: Now) -> Result<Home, RecordingError> {
    let Ok(name) = StreamName::parse(&beginning.stream) else {
        return Err(RecordingError::OutOfPlace("a name that no stream has"));
    };
    check(&beginning.settings)?;
    Ok(Home::new(name, beginning.settings, beginning.random, beginning.record.as_ref(), now))
}

/// Settings are those of a server: its own bounds hold, by which a home is not made to do too much.
fn check(settings: &HomeSettings) -> Result<(), RecordingError> {
    let HomeSettings { wishes, session, gop_ms, .. } = settings;
    let graces = [settings.unpublish_grace_us, settings.reconnect_grace_us, settings.takeover_silence_us];
    let are_sane = (1..=PART_TARGET_MS_MAX).contains(&wishes.part_ms)
        && (1..=SEGMENT_TARGET_MS_MAX).contains(&wishes.segment_ms)
        && session.window_segments_min <= 1000
        && session.prefill_gap_segments <= 10
        && session.retained_bytes_max <= 1 << 40
        && gop_ms.is_none_or(|gop_ms| gop_ms <= 12_000)
        && graces.iter().all(|grace_us| *grace_us <= 600_000_000)
        && settings.failback_us <= 3_600_000_000;
    if are_sane { Ok(()) } else { Err(RecordingError::OutOfPlace("settings that no server has")) }
}

/// What the home says of the call.
fn call(
    home: &mut Home,
    publishers: &mut SmallVec<[(PublisherId, Role); 2]>,
    pool: &mut BufferPool,
    entry: Entry<'_>,
    now: Now,
) -> Result<Result<(), HomeError>, RecordingError> {
    match entry {
        Entry::Settings(settings) => {
            check(&settings)?;
            home.set_settings(settings);
        }
        Entry::Attach(id, role) => {
            if publishers.iter().any(|present| present.0 == id || present.1 == role) {
                return Err(RecordingError::OutOfPlace("two publishers of one role at once"));
            }
            let attached = home.attach(id, role, None, now);
            if attached.is_ok() {
                publishers.push((id, role));
            }
            return Ok(attached);
        }
        Entry::Metadata(id, metadata) => home.metadata(id, &metadata),
        Entry::Media(id, fragment) => {
            if fragment.message_bytes > RTMP_VIDEO_BYTES_MAX {
                return Err(RecordingError::OutOfPlace("a message that is longer than any"));
            }
            return Ok(home.media(id, &fragment, now, pool));
        }
        Entry::Aborted(id, kind) => return Ok(home.media_aborted(id, kind, now, pool)),
        Entry::Detach(id, departure) => {
            publishers.retain(|present| present.0 != id);
            home.detach(id, departure, now, pool);
        }
        Entry::Stop => {
            publishers.clear();
            home.stop(now, pool);
        }
        Entry::Tick => return Ok(home.handle_time(now, pool)),
        Entry::Time(_) | Entry::Begin(_) | Entry::End(_) => {}
    }
    Ok(Ok(()))
}
