//! What each assertion came to, with the evidence.

use crate::assertions::NAMES;
use crate::support::playlist::Violation;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

/// Evidence lines of one assertion that are shown.
const EVIDENCE_MAX: usize = 4;

/// Collects outcomes from every thread of a run.
#[derive(Default)]
pub struct Report {
    outcomes: Mutex<BTreeMap<u8, Outcomes>>,
}

#[derive(Default)]
struct Outcomes {
    passed: Vec<String>,
    failed: Vec<String>,
    skipped: Vec<String>,
}

impl Report {
    /// Holds, or not, with what was seen.
    pub fn expect(&self, assertion: u8, holds: bool, evidence: impl Into<String>) {
        let mut outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        let outcomes = outcomes.entry(assertion).or_default();
        let list = if holds { &mut outcomes.passed } else { &mut outcomes.failed };
        list.push(evidence.into());
    }

    pub fn skip(&self, assertion: u8, reason: impl Into<String>) {
        let mut outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        outcomes.entry(assertion).or_default().skipped.push(reason.into());
    }

    /// Violations that a checker found; those of `checked` that have none pass.
    pub fn checked(&self, checked: &[u8], violations: &[Violation], evidence: &str) {
        for violation in violations {
            self.expect(violation.assertion, false, format!("{evidence}: {}", violation.text));
        }
        for &assertion in checked {
            if violations.iter().all(|violation| violation.assertion != assertion) {
                self.expect(assertion, true, evidence);
            }
        }
    }

    /// One line for each assertion, and how many failed. An assertion without an outcome has failed.
    pub fn finish(&self, title: &str) -> (String, usize) {
        let outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = format!("=== {title}\n");
        let mut counts = [0; 3];
        for (number, name) in (1u8..).zip(NAMES) {
            let (verdict, evidence) = match outcomes.get(&number) {
                Some(found) if !found.failed.is_empty() => ("FAIL", &found.failed),
                Some(found) if !found.passed.is_empty() => ("pass", &found.passed),
                Some(found) => ("skip", &found.skipped),
                None => ("FAIL", const { &Vec::new() }),
            };
            counts[match verdict {
                "pass" => 0,
                "skip" => 1,
                _ => 2,
            }] += 1;
            let shown = if verdict == "FAIL" { EVIDENCE_MAX } else { 1 };
            let mut distinct = evidence.clone();
            distinct.dedup();
            let more = distinct.len().saturating_sub(shown);
            let mut evidence = distinct.iter().take(shown).cloned().collect::<Vec<_>>().join(" | ");
            if evidence.is_empty() {
                "nothing was seen that could show it".clone_into(&mut evidence);
            }
            if more > 0 {
                let _ = write!(evidence, " (and {more} more)");
            }
            let _ = writeln!(text, "{number:2} {verdict} {name}: {evidence}");
        }
        let [passed, skipped, failed] = counts;
        let _ = writeln!(text, "=== {title}: {passed} pass, {skipped} skipped, {failed} FAIL");
        (text, failed)
    }
}

#[test]
fn an_assertion_fails_if_any_of_its_evidence_does_or_there_is_none() {
    let report = Report::default();
    report.expect(1, true, "seen");
    report.expect(2, true, "seen");
    report.expect(2, false, "broken once");
    report.skip(3, "elsewhere");
    report.skip(4, "elsewhere");
    report.expect(4, false, "broken");
    report.checked(&[5, 6], &[Violation { assertion: 6, text: "odd".to_owned() }], "a snapshot");
    let (text, failed) = report.finish("title");
    let verdicts: Vec<&str> = text.lines().skip(1).take(7).map(|line| &line[..7]).collect();
    assert_eq!(verdicts, [" 1 pass", " 2 FAIL", " 3 skip", " 4 FAIL", " 5 pass", " 6 FAIL", " 7 FAIL"]);
    assert_eq!(failed, NAMES.len() - 3);
    assert!(text.contains("broken once") && text.contains("nothing was seen"));
}
