//! What people read of a run: the live line, the table at the end, the JSON file, the HTML page, the comparison.
//!
//! `model.rs` says what is known; everything else only shows it. Nothing here measures, and nothing here knows
//! where the figures come from: any [`Report`], also one read from a file of another machine, can be shown.
//! Text in it may come from a server under test, so terminals and pages get it cleaned or escaped.

mod compare;
mod compare_text;
mod distribution;
mod figure;
mod file;
mod html;
mod json;
mod latency;
mod live;
mod model;
mod table;
mod text;
mod verdict;
mod viewers;

#[cfg(test)]
mod sample;

pub use compare::{Comparison, ComparisonError, RUNS_MAX, Run};
pub use compare_text::comparison_table;
pub use distribution::DistributionError;
pub use file::replace;
pub use html::{comparison_page, page};
pub use json::{ReportFileError, read, write};
pub use latency::figures_of;
pub use live::Live;
pub use model::{Distribution, Expectation, FaultCount, REPORT_FORMAT, Report, Second, ViewerRow};
pub use table::table;
pub use verdict::Verdict;
