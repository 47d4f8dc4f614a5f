//! What all workers share: parts, init segments, and which faults were already told.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use crate::fault::FaultKind;
use crate::fmp4::Init;
use crate::player::PartRecord;

/// Parts known at once: 20 renditions of five parts a second, for five minutes.
const PARTS_MAX: usize = 32_768;
/// Init segments known at once.
const INITS_MAX: usize = 4096;
/// Faults of playlists and media that are told once, whoever sees them.
const TOLD_MAX: usize = 65_536;

/// Shared by all workers of a run.
#[derive(Default)]
pub struct Shared {
    /// Of all that is random.
    pub seed: u64,
    parts: Mutex<Bounded<Arc<PartRecord>>>,
    inits: Mutex<Bounded<Option<Arc<Init>>>>,
    told: Mutex<HashSet<u64>>,
}

/// A map that forgets the oldest entries.
struct Bounded<T> {
    entries: HashMap<Arc<str>, T>,
    /// As many as there are entries, the oldest first.
    order: VecDeque<Arc<str>>,
}

impl<T> Default for Bounded<T> {
    fn default() -> Self {
        Self { entries: HashMap::new(), order: VecDeque::new() }
    }
}

impl<T: Clone> Bounded<T> {
    fn insert(&mut self, key: &Arc<str>, value: T, entries_max: usize) {
        if self.entries.insert(Arc::clone(key), value).is_some() {
            return;
        }
        self.order.push_back(Arc::clone(key));
        if self.order.len() > entries_max
            && let Some(oldest) = self.order.pop_front()
        {
            self.entries.remove(&oldest);
        }
    }
}

impl Shared {
    /// For one run.
    pub fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self { seed, ..Self::default() })
    }

    /// The record of the part at this address, the same for everyone.
    pub fn part(&self, url: &Arc<str>) -> Arc<PartRecord> {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = parts.entries.get(url) {
            return Arc::clone(known);
        }
        let record = Arc::new(PartRecord::default());
        parts.insert(url, Arc::clone(&record), PARTS_MAX);
        record
    }

    /// A new record for an address that another resource has taken.
    pub fn replace_part(&self, url: &Arc<str>) -> Arc<PartRecord> {
        let record = Arc::new(PartRecord::default());
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts.insert(url, Arc::clone(&record), PARTS_MAX);
        record
    }

    /// The init segment at this address: `None` when nobody has read it, `Some(None)` when it is of no use.
    pub fn init(&self, url: &str) -> Option<Option<Arc<Init>>> {
        self.inits.lock().unwrap_or_else(PoisonError::into_inner).entries.get(url).cloned()
    }

    /// Keeps an init segment that was read.
    pub fn keep_init(&self, url: &Arc<str>, init: Option<Arc<Init>>) {
        self.inits.lock().unwrap_or_else(PoisonError::into_inner).insert(url, init, INITS_MAX);
    }

    /// True for the first who asks. A fault of one playlist or part is seen by every viewer, and is one fault.
    pub fn is_news(&self, kind: FaultKind, what: impl Hash) -> bool {
        let mut hasher = DefaultHasher::new();
        (kind, what).hash(&mut hasher);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() >= TOLD_MAX {
            told.clear();
        }
        told.insert(hasher.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_the_same_for_everyone_and_bounded() {
        let shared = Shared::new(1);
        let url: Arc<str> = "http://h/0".into();
        let record = shared.part(&url);
        assert!(Arc::ptr_eq(&record, &shared.part(&url)));
        for number in 1..=PARTS_MAX {
            shared.part(&format!("http://h/{number}").into());
        }
        assert!(!Arc::ptr_eq(&record, &shared.part(&url)), "the oldest was forgotten");
        assert_eq!(shared.parts.lock().unwrap().entries.len(), PARTS_MAX);
    }

    #[test]
    fn a_fault_is_news_once() {
        let shared = Shared::new(1);
        assert!(shared.is_news(FaultKind::TfdtGap, ("v", 1)));
        assert!(!shared.is_news(FaultKind::TfdtGap, ("v", 1)));
        assert!(shared.is_news(FaultKind::TfdtGap, ("v", 2)));
        assert!(shared.is_news(FaultKind::TfdtRepeat, ("v", 1)));
    }
}
