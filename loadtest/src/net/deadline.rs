//! The time limit of requests that follow one another.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// One timer for all of them: it is not set anew for each request, but runs out now and then, sees when the
/// request of that moment is due, and is set for that. Setting one was a tenth of what a request costs here.
#[derive(Debug, Default)]
pub struct Deadline {
    /// Due no later than the request, once there was one.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    /// What the future comes to; `None` when it does not within this time.
    pub async fn within<F: Future>(&mut self, within: Duration, future: F) -> Option<F::Output> {
        let due = Instant::now() + within;
        let mut future = pin!(future);
        poll_fn(|context| {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return Poll::Ready(Some(output));
            }
            let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
            if timer.deadline() > due {
                timer.as_mut().reset(due);
            }
            loop {
                ready!(timer.as_mut().poll(context));
                if timer.deadline() >= due {
                    return Poll::Ready(None);
                }
                timer.as_mut().reset(due);
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(10);
    const SHORT: Duration = Duration::from_secs(2);

    /// On a clock that moves on when all wait.
    fn on_paused_clock(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap()
            .block_on(test);
    }

    #[test]
    fn each_request_has_its_own_time_whatever_came_before_it() {
        on_paused_clock(async {
            let mut deadline = Deadline::default();
            for within in [LONG, SHORT, LONG, LONG, SHORT, SHORT] {
                for took in [within / 4, within / 2, within * 3 / 4] {
                    let slept = deadline.within(within, tokio::time::sleep(took)).await;
                    assert!(slept.is_some(), "{took:?} of {within:?}");
                }
                let began = Instant::now();
                assert!(deadline.within(within, std::future::pending::<()>()).await.is_none());
                let waited = began.elapsed();
                assert!(waited >= within && waited < within + Duration::from_millis(5), "{waited:?}");
            }
        });
    }

    #[test]
    fn what_is_there_at_once_needs_no_timer() {
        on_paused_clock(async {
            let mut deadline = Deadline::default();
            assert_eq!(deadline.within(Duration::ZERO, async { 7 }).await, Some(7));
            assert!(deadline.timer.is_none());
        });
    }
}
