//! The newest numbers that a stream's home has published, for the shards that follow it: a viewer who
//! read the playlist on one shard may ask for its part on another that has not heard of it yet.

use std::sync::atomic::{AtomicU64, Ordering};

use super::resource::MediaNumber;
use crate::hls::{EventBody, Part, StreamEvent};
use crate::limits::RENDITIONS_MAX;

/// One set of numbers a rendition, written by the home alone.
#[derive(Debug, Default)]
pub struct Published {
    renditions: [Numbers; RENDITIONS_MAX],
    events_count: AtomicU64,
}

/// Each is the newest number plus 1, so that 0 is "none yet".
#[derive(Debug, Default)]
struct Numbers {
    /// First bytes of the rendition's name, which a later session may change.
    name: AtomicU64,
    init: AtomicU64,
    part: AtomicU64,
    segment: AtomicU64,
}

impl Published {
    /// Notes an event that the home applied. `names` maps rendition ids to names when a session starts.
    pub fn observe(&self, event: &StreamEvent) {
        self.events_count.fetch_add(1, Ordering::Relaxed);
        match &event.body {
            EventBody::Start(start) => {
                for (numbers, rendition) in self.renditions.iter().zip(&start.renditions) {
                    numbers.name.store(packed(&rendition.name), Ordering::Relaxed);
                }
            }
            EventBody::Init(init) => {
                self.raise(init.rendition.0, |numbers| &numbers.init, u64::from(init.number));
            }
            EventBody::Part(part) => self.part(part),
            EventBody::PartAndClose(part, _) => self.part(part),
            EventBody::Announce
            | EventBody::Formats(_)
            | EventBody::Close(_)
            | EventBody::Playable { .. }
            | EventBody::End
            | EventBody::Retire(_) => {}
        }
    }

    /// Events that the home has made.
    pub fn events_count(&self) -> u64 {
        self.events_count.load(Ordering::Relaxed)
    }

    fn part(&self, part: &Part) {
        self.raise(part.rendition.0, |numbers| &numbers.part, part.number);
        if let Some(head) = &part.opens {
            // The segment before is complete when its successor opens; asking for the open one early
            // costs a wait of a part, not an error.
            self.raise(part.rendition.0, |numbers| &numbers.segment, head.media_sequence);
        }
    }

    fn raise(&self, rendition: u8, field: impl Fn(&Numbers) -> &AtomicU64, newest: u64) {
        if let Some(numbers) = self.renditions.get(usize::from(rendition)) {
            field(numbers).store(newest.saturating_add(1), Ordering::Release);
        }
    }

    /// True when the home has published this one, or names it in its hint.
    pub fn covers(&self, rendition: &str, number: MediaNumber) -> bool {
        let name = packed(rendition);
        self.renditions.iter().filter(|numbers| numbers.name.load(Ordering::Relaxed) == name).any(|numbers| {
            match number {
                MediaNumber::Init(number) => u64::from(number) < numbers.init.load(Ordering::Acquire),
                // Newest + 1 is the hint.
                MediaNumber::Part(number) => number <= numbers.part.load(Ordering::Acquire),
                MediaNumber::Segment(number) => number < numbers.segment.load(Ordering::Acquire),
            }
        })
    }
}

/// A rendition's name in one word; names are at most eight bytes.
fn packed(name: &str) -> u64 {
    name.bytes().take(8).fold(0, |word, byte| word << 8 | u64::from(byte))
}
