//! An origin that delays by a known time is measured as late by that time. Alone in its program: it measures.

mod origin;
mod support;

use std::time::Duration;

use loadtest::run::Settings;
use origin::{Options, Origin};
use support::{run, viewers_of};

/// Runs in which the machine itself was late do not count, as long as there are not too many.
const RUNS_MAX: usize = 8;
/// The origin's own lateness, and that of the load generator's timers, 99th percentile.
const MACHINE_LATE_MAX: Duration = Duration::from_millis(5);

struct Measured {
    newest_ms: f64,
    oldest_ms: f64,
    machine_late: Duration,
}

fn measured(delay: Duration) -> Measured {
    let origin = Origin::start(Options { delay, ..Options::default() });
    let report = run(&viewers_of(&origin.url(), 4, "parts", 6.0), &Settings::default(), |_| {}).unwrap();
    let own_late = Duration::from_secs_f64(report.figures["own_lateness_p99_ms"] / 1000.0);
    Measured {
        newest_ms: report.figures["p50_ms"],
        oldest_ms: report.figures["latency_oldest_p50_ms"],
        machine_late: origin.lateness_max().max(own_late),
    }
}

/// Two origins at once, and the difference between them: whatever the machine adds, it adds to both.
#[test]
fn a_delay_of_40_ms_is_measured_as_40_ms() {
    for _ in 0..RUNS_MAX {
        let [at_once, delayed] = std::thread::scope(|scope| {
            [0, 40]
                .map(|ms| scope.spawn(move || measured(Duration::from_millis(ms))))
                .map(|one| one.join().unwrap())
        });
        if at_once.machine_late.max(delayed.machine_late) > MACHINE_LATE_MAX {
            continue;
        }
        let found = delayed.newest_ms - at_once.newest_ms;
        assert!(
            (38.0..=42.0).contains(&found),
            "{found} ms: {} after {}",
            delayed.newest_ms,
            at_once.newest_ms
        );
        // Picture and sound together: parts of six frames of 33 ms, and of nine of 21 ms.
        let apart = delayed.oldest_ms - delayed.newest_ms;
        assert!((160.0..=180.0).contains(&apart), "the oldest frame is {apart} ms older");
        return;
    }
    panic!("the machine was late in each of {RUNS_MAX} runs");
}
