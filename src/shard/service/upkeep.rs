//! What is done once a second: the books, statuses, and what nobody needs any more.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use super::Service;
use crate::limits::FOLLOW_IDLE_US;
use crate::media::Now;
use crate::shard::audience::Seen;
use crate::shard::fault::FaultAt;
use crate::shard::streams::{HomeHere, Stream};

impl Service {
    pub(super) fn keep_books(&self, now: Now) {
        let (mut blocked, mut viewers_all, mut retained, mut standbys) = (0, 0, 0, 0);
        for stream in self.streams.all_here() {
            stream.shared.set_viewers(self.shard.index(), stream.viewers(now.monotonic_us));
            if stream.home().is_some() {
                // Of all shards: one viewer may be on several of them.
                viewers_all += stream.shared.viewers();
            }
            blocked += stream.waiting_count();
            self.settle_landings(&stream, now.monotonic_us);
            let kept = self.guarded(&stream, || match stream.home() {
                Some(here) => {
                    standbys += here.borrow().home.present().filter(|present| !present.is_on_air).count();
                    self.keep_home(&stream, here, now)
                }
                None => {
                    self.keep_replica(&stream, now);
                    0
                }
            });
            retained += kept.unwrap_or(0);
        }
        self.metrics.blocked_requests.set(blocked as i64);
        self.metrics.active_viewers.set(viewers_all as i64);
        self.metrics.standby_publishers.set(standbys as i64);
        self.metrics.bytes_stored.set(retained as i64);
        let lent_bytes = self.lent.borrow_mut().sweep(&mut self.pool.borrow_mut()) as i64;
        let lent_before = self.metrics.lent_bytes.set(lent_bytes);
        self.setup.lent_bytes.fetch_add(lent_bytes - lent_before, Ordering::Relaxed);
        self.metrics.pool_idle_bytes.set(self.pool.borrow().idle_bytes() as i64);
        self.books.shard(&self.metrics, self.shard.stats());
        if self.shard.index() == 0 {
            self.books.process(&self.metrics, self.setup.log_lines_dropped.load(Ordering::Relaxed));
        }
    }

    /// Returns the bytes of media that it keeps.
    pub(super) fn keep_home(&self, stream: &Rc<Stream>, here: &RefCell<HomeHere>, now: Now) -> u64 {
        self.fault(FaultAt::Books, stream.shared.name.as_str());
        let mut here = here.borrow_mut();
        self.refresh_followers(&stream.shared, &mut here);
        stream.shared.set_status(crate::shard::status::of(&mut here));
        let HomeHere { home, books, publishers, .. } = &mut *here;
        books.stream(&self.metrics, &stream.shared.name, home, now);
        let (retained, is_over) =
            (home.view().window().retained_bytes(), home.is_over() && publishers.is_empty());
        drop(here);
        if is_over {
            self.remove_home(stream);
            stream.land_all();
        }
        retained
    }

    pub(super) fn keep_replica(&self, stream: &Rc<Stream>, now: Now) {
        if stream.look_for_staleness(now.monotonic_us) {
            tracing::warn!(stream = %stream.shared.name, "this shard has lost touch with the stream");
            stream.land_all();
        }
        if stream.lacks_snapshot() {
            // The call for it, or the snapshot, was lost: those who wait follow anew.
            self.unfollow(stream);
            return;
        }
        let idle_us = now.monotonic_us.saturating_sub(stream.used_us.get());
        if idle_us > FOLLOW_IDLE_US && stream.waiting_count() == 0 {
            stream.shared.set_viewers(self.shard.index(), Seen::default());
            self.unfollow(stream);
        }
    }
}
