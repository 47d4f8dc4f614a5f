//! Lives of a stream, made by chance from a seed: encoders of all kinds with all that goes wrong with them, one after
//! the other, in front of a home, replicas and viewers. After every event the rules of llhls.md, section 1, hold.
//!
//! `SEED=7 cargo test --test simulation faults` lives one of them again; `SEEDS=100000` lives so many.

// Seeds that fail, and what a life does that is lived again.
#![allow(clippy::print_stdout)]

mod checks;
mod life;
pub mod media;
mod script;

use std::panic::catch_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{available_parallelism, scope};

/// In a debug build about a minute on two cores.
const SEEDS: u64 = 1_500;
/// Further ones that once broke a rule.
const FOUND: [u64; 1] = [3401];
/// Failures that are told before the rest is left.
const TOLD_MAX: u64 = 8;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn faults_of_every_kind_by_the_thousand_break_no_rule() {
    if let Some(seed) = number("SEED") {
        println!("{}", life::live(seed, true));
        return;
    }
    let seeds = number("SEEDS").unwrap_or(SEEDS);
    let (next, failed) = (AtomicU64::new(0), AtomicU64::new(0));
    let total = life::Lived::default();
    scope(|scope| {
        for _ in 0..available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let found = index.checked_sub(seeds).map(|found| FOUND.get(found as usize).copied());
                    let Some(seed) = found.unwrap_or(Some(index)) else { return };
                    if failed.load(Ordering::Relaxed) >= TOLD_MAX {
                        return;
                    }
                    match catch_unwind(|| life::live(seed, false)) {
                        Ok(lived) => total.add(&lived),
                        // What went wrong has been told by the panic.
                        Err(_) => {
                            failed.fetch_add(1, Ordering::Relaxed);
                            println!("SEED={seed} cargo test --test simulation faults -- --nocapture");
                        }
                    }
                }
            });
        }
    });
    println!("{seeds} lives: {total}");
    assert_eq!(failed.into_inner(), 0, "lives went wrong; each has its command above");
    if seeds >= SEEDS {
        total.assert_varied();
    }
}
