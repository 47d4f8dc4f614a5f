//! The two clocks: one for what must not step, one that publishers and viewers on several hosts share.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Zero of [`monotonic_us`], the same for all threads.
fn zero() -> Instant {
    static ZERO: OnceLock<Instant> = OnceLock::new();
    *ZERO.get_or_init(Instant::now)
}

/// Microseconds since this process first asked.
pub fn monotonic_us() -> u64 {
    zero().elapsed().as_micros() as u64
}

/// When a moment of [`monotonic_us`] is, for a timer.
pub fn instant_at(monotonic_us: u64) -> tokio::time::Instant {
    (zero() + Duration::from_micros(monotonic_us)).into()
}

/// Unix microseconds. Stamps of sending and receipt are taken from it: hosts that are compared share it.
pub fn unix_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_micros() as u64)
}
