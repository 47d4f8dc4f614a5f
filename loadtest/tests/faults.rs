//! Viewers against an origin that misbehaves: every fault is found and named, and a healthy run has none.

mod origin;
mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use loadtest::fault::FaultKind;
use loadtest::report::Report;
use loadtest::run::Settings;
use origin::{Misbehaviour, Options, Origin};
use support::{faults, run, viewers_of};

/// Runs at once: they wait most of the time.
const AT_ONCE: usize = 7;
/// After this many seconds the origin misbehaves: everyone has joined.
const MISBEHAVES_AFTER: usize = 2;

/// A part that the machine itself delayed by this much may be told to be late.
const MACHINE_LATE_MAX: Duration = Duration::from_millis(100);

/// What was found, without what the machine did: a process that was kept from its processor lists its parts late.
fn found_in(report: &Report, origin: &Origin) -> BTreeSet<String> {
    let own_lateness = Duration::from_secs_f64(report.figures["own_lateness_max_ms"] / 1000.0);
    let is_machine_late = origin.lateness_max() + own_lateness > MACHINE_LATE_MAX;
    let may_count = |name: &&String| !(is_machine_late && *name == FaultKind::PartLate.name());
    report.faults.keys().filter(may_count).cloned().collect()
}

/// One run of viewers, while the origin misbehaves; what they found, in short and in words.
fn watch_while(misbehaviour: Misbehaviour) -> (BTreeSet<String>, Vec<String>, u64) {
    let origin = Origin::start(Options::default());
    let mode = match misbehaviour {
        Misbehaviour::DeltaWrong => "delta",
        _ => "parts",
    };
    // A request that hangs is given up, asked again, and given up again.
    let seconds = if misbehaviour == Misbehaviour::Hang { 15.0 } else { 6.0 };
    let scenario = viewers_of(&origin.url(), 2, mode, seconds);
    let report = run(&scenario, &Settings::default(), |second| {
        if second == MISBEHAVES_AFTER {
            origin.misbehave(misbehaviour);
        }
    });
    let report = report.unwrap_or_else(|error| panic!("{misbehaviour:?}: {error}"));
    let mut found = found_in(&report, &origin);
    if matches!(misbehaviour, Misbehaviour::PartLate(_)) {
        found.extend(report.faults.keys().cloned());
    }
    (found, faults(&report), origin.misbehaved_count())
}

/// What is wrong with how a misbehaviour was reported.
fn judge(misbehaviour: Misbehaviour) -> Option<String> {
    let (found, in_words, misbehaved) = watch_while(misbehaviour);
    let wanted = misbehaviour.fault_name();
    let is_allowed = |name: &str| name == wanted || misbehaviour.may_also().contains(&name);
    if misbehaved == 0 {
        return Some(format!("{misbehaviour:?}: the origin did not misbehave"));
    }
    if !found.contains(wanted) {
        return Some(format!("{misbehaviour:?}: {wanted} was not found, but {in_words:?}"));
    }
    let more: Vec<_> = found.iter().filter(|name| !is_allowed(name)).collect();
    (!more.is_empty()).then(|| format!("{misbehaviour:?}: also {more:?}: {in_words:?}"))
}

#[test]
fn every_misbehaviour_is_found_and_named_and_nothing_else() {
    let mut wrong = Vec::new();
    for batch in Misbehaviour::ALL.chunks(AT_ONCE) {
        std::thread::scope(|scope| {
            let judged: Vec<_> = batch.iter().map(|one| scope.spawn(|| judge(*one))).collect();
            wrong.extend(judged.into_iter().filter_map(|thread| thread.join().expect("a judge's thread")));
        });
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_kind_of_fault_can_be_provoked() {
    let provoked: BTreeSet<&str> = Misbehaviour::ALL.iter().map(|one| one.fault_name()).collect();
    let never: Vec<_> =
        FaultKind::ALL.iter().map(|kind| kind.name()).filter(|name| !provoked.contains(name)).collect();
    // Nobody listens: tests/commands.rs.
    assert_eq!(never, ["connect"]);
}

#[test]
fn a_healthy_origin_has_no_fault_in_any_mode() {
    std::thread::scope(|scope| {
        for mode in ["parts", "hint", "delta", "segments", "mix"] {
            scope.spawn(move || {
                let origin = Origin::start(Options::default());
                let report = run(&viewers_of(&origin.url(), 8, mode, 6.0), &Settings::default(), |_| {});
                let report = report.unwrap_or_else(|error| panic!("{mode}: {error}"));
                assert_eq!(found_in(&report, &origin), BTreeSet::new(), "{mode}: {:?}", faults(&report));
                let figure = |name: &str| report.figures[name];
                for name in ["joins_failed", "parts_skipped", "parts_unstamped", "hints_wrong"] {
                    assert_eq!(figure(name), 0.0, "{mode}: {name}");
                }
                assert_eq!(figure("joins"), 8.0, "{mode}");
                assert_eq!(figure("join_count"), 8.0, "{mode}: everyone has a picture");
                let media = figure("parts") + figure("segments");
                assert!(media >= 8.0 * 2.0 * 5.0, "{mode}: {media} pieces of media");
                assert_eq!(figure("verified"), media, "{mode}: all were read");
            });
        }
    });
}

#[test]
fn sound_that_is_not_there_is_not_asked_for() {
    let origin = Origin::start(Options { with_audio: false, ..Options::default() });
    let report = run(&viewers_of(&origin.url(), 2, "parts", 3.0), &Settings::default(), |_| {}).unwrap();
    assert_eq!(found_in(&report, &origin), BTreeSet::new(), "{:?}", faults(&report));
    assert_eq!(report.figures["join_count"], 2.0);
}
