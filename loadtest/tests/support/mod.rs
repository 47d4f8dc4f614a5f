//! What the tests of runs have in common.

#![allow(dead_code, reason = "each test crate that includes this uses its own part of it")]

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use loadtest::report::{Report, Second};
use loadtest::run::{self, Progress, RunError, Settings};
use loadtest::scenario::Scenario;

/// Calls a function at the end of each second, with how many have passed.
pub struct EachSecond<F: FnMut(usize)> {
    act: F,
    seconds: usize,
}

impl<F: FnMut(usize)> Progress for EachSecond<F> {
    fn second(&mut self, _: &Second) {
        self.seconds += 1;
        (self.act)(self.seconds);
    }

    fn note(&mut self, _: &str) {}
}

/// A scenario from its text.
pub fn scenario(text: &str) -> Scenario {
    let scenario: Scenario = toml::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    scenario.check().unwrap_or_else(|error| panic!("{error}\n{text}"));
    scenario
}

/// Runs it on one worker, acting at the end of each second.
pub fn run(scenario: &Scenario, settings: &Settings, act: impl FnMut(usize)) -> Result<Report, RunError> {
    let stop = Arc::new(AtomicBool::new(false));
    let settings = Settings { workers: Some(1), ..settings.clone() };
    run::run(scenario, &settings, &stop, &mut EachSecond { act, seconds: 0 })
}

/// Viewers of one address: they join within a second and are measured from their first moment.
pub fn viewers_of(url: &str, viewers: u32, mode: &str, seconds: f64) -> Scenario {
    scenario(&format!(
        r#"
        title = "test"
        [[watch]]
        url = "{url}"
        viewers = {viewers}
        mode = "{mode}"
        verify_percent = 100
        [[phase]]
        name = "watch"
        seconds = 0.5
        viewers_percent = 100
        measured = true
        [[phase]]
        name = "and on"
        seconds = {seconds}
        measured = true
        "#
    ))
}

/// The faults of a report, by name, with their first example.
pub fn faults(report: &Report) -> Vec<String> {
    let of_kind = |(name, count): (&String, &loadtest::report::FaultCount)| {
        format!("{name} x {}: {}", count.count, count.examples.join(" | "))
    };
    report.faults.iter().map(of_kind).collect()
}
