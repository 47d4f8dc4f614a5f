//! How long a stream's media takes through the server: into a part, from shard to shard, and out to those who
//! waited for it. Whoever calls has read the clock already.

use super::Service;
use crate::limits::STATUS_EVERY_US;
use crate::origin::view::Wake;
use crate::shard::streams::Stream;

impl Service {
    /// A part was listed so long after its newest frame was here.
    pub(super) fn note_listed(&self, took_us: u64) {
        self.metrics.frame_to_part_seconds.observe(seconds(took_us));
    }

    /// An event was applied here so long after its home had published it.
    pub(super) fn note_delivery(&self, took_us: u64) {
        self.metrics.event_delivery_seconds.observe(seconds(took_us));
    }

    /// Lands those whom an event concerns, which was applied here then.
    pub(super) fn land(&self, stream: &Stream, wake: Wake, listed_us: u64) {
        stream.land(wake, listed_us, |took_us| self.note_last_viewer(took_us));
    }

    /// The first viewer of a landing was sent what he waited for so long after it was listed.
    pub fn note_first_viewer(&self, took_us: u64) {
        self.metrics.part_to_first_viewer_seconds.observe(seconds(took_us));
    }

    fn note_last_viewer(&self, took_us: u64) {
        self.metrics.part_to_last_viewer_seconds.observe(seconds(took_us));
    }

    /// Tells of the last viewers of landings that nobody is still served for: two looks are longer than the
    /// largest bound of the histogram.
    pub(super) fn settle_landings(&self, stream: &Stream, now_us: u64) {
        let settled = stream.settle_landings(now_us.saturating_sub(2 * STATUS_EVERY_US));
        settled.for_each(|took_us| self.note_last_viewer(took_us));
    }
}

fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}
