//! A whole run: what it needs, its phases, its seconds, and the report of them.

mod crowd;
mod figures;
mod prepare;
mod server;
mod watched;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crowd::Crowd;
use figures::Totals;
use prepare::Prepared;
pub use server::{OwnServer, kill_running};
use watched::Watched;

use crate::address::AddressError;
use crate::cost::CostError;
use crate::engine::{WorkerSecond, Workers};
use crate::fault::FaultKind;
use crate::host::{self, HostError};
use crate::measure::{Counter, Measure};
use crate::net::{ConnectError, Trust};
use crate::report::{Report, Second};
use crate::scenario::{Phase, Scenario};
use crate::source::SyntheticError;
use crate::source::clip::ClipError;
use crate::watch::JoinError;
use crate::worker::Shared;
use crate::{clock, watch};

/// How often the run looks whether it is to end, and who is to go.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// For streams that the run itself publishes.
const PLAYABLE_WITHIN: Duration = Duration::from_secs(30);

/// What is not part of a scenario: where it runs.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Stands for `{rtmp}`: `HOST:PORT`.
    pub rtmp: Option<String>,
    /// Stands for `{http}`: `HOST:PORT`.
    pub http: Option<String>,
    /// Stands for `{https}`: `HOST:PORT`.
    pub https: Option<String>,
    /// Whom to trust over TLS.
    pub trust: Trust,
    /// The server's process, for its cost.
    pub server_pid: Option<u32>,
    /// The server's metrics page, for the same.
    pub metrics: Option<String>,
    /// Worker threads; by default one for each processor.
    pub workers: Option<usize>,
    /// Processors to pin them to; by default those that this process may use.
    pub processors: Option<Vec<usize>>,
    /// How long to wait for a stream that somebody else publishes.
    pub wait: Duration,
}

/// Why a run could not begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The host does not grant what is needed.
    #[error(transparent)]
    Host(#[from] HostError),
    /// An address of no use.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// Certificates that cannot be read.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A clip that cannot be sent.
    #[error("{path}: {reason}")]
    Clip {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: ClipError,
    },
    /// A source that cannot be made.
    #[error(transparent)]
    Source(#[from] SyntheticError),
    /// A placeholder without a value.
    #[error("{address} wants {placeholder}: give --{flag} HOST:PORT, or a scenario with a [server]")]
    Placeholder {
        /// The address.
        address: String,
        /// What stands in it.
        placeholder: &'static str,
        /// The flag that gives it a value.
        flag: &'static str,
    },
    /// No publisher is accepted.
    #[error("nobody can publish: {reason}")]
    Publish {
        /// What the first one met.
        reason: String,
    },
    /// Nothing to watch.
    #[error("{url}: {reason}")]
    Watch {
        /// The address, without its query.
        url: String,
        /// What is wrong.
        reason: JoinError,
    },
    /// The server cannot be watched.
    #[error(transparent)]
    Cost(#[from] CostError),
    /// The server of the scenario does not start.
    #[error("the server does not start: {reason}")]
    Server {
        /// In its words.
        reason: String,
    },
    /// A thread cannot be had, or has failed.
    #[error("worker {worker}: {reason}")]
    Worker {
        /// Which.
        worker: usize,
        /// What happened.
        reason: String,
    },
}

/// What a run tells while it goes on.
pub trait Progress {
    /// A second has passed.
    fn second(&mut self, second: &Second);
    /// Something happens that takes a while.
    fn note(&mut self, note: &str);
}

/// Runs a scenario to its end, or until `stop` is set; then the report is of what was measured.
///
/// # Errors
/// [`RunError`]: nothing was measured.
pub fn run(
    scenario: &Scenario,
    settings: &Settings,
    stop: &Arc<AtomicBool>,
    progress: &mut dyn Progress,
) -> Result<Report, RunError> {
    host::allow_connections(scenario.connections_max())?;
    let mut settings = settings.clone();
    let wants_server = [&settings.rtmp, &settings.http, &settings.https].iter().all(|given| given.is_none());
    let mut own_server = match scenario.server.as_ref().filter(|_| wants_server) {
        Some(server) => {
            let mut note = |note: &str| progress.note(note);
            let server = match scenario.wants_https() {
                true => OwnServer::start_with_https(&server.arguments, &mut note),
                false => OwnServer::start(&server.arguments, &mut note),
            }?;
            progress.note(&format!("the server listens on rtmp={} http={}", server.rtmp, server.http));
            settings.rtmp = Some(server.rtmp.clone());
            settings.http = Some(server.http.clone());
            if let Some(https) = &server.https {
                settings.https = Some(https.address.clone());
                settings.trust.ca_file = Some(https.ca_file.clone());
            }
            settings.server_pid = settings.server_pid.or(Some(server.process_id()));
            Some(server)
        }
        None => None,
    };
    let prepared = prepare::prepare(scenario, &settings)?;
    let watched = Watched::new(&settings)?;
    let processors = settings.processors.clone().unwrap_or_else(host::processors);
    let count = settings.workers.unwrap_or(processors.len()).max(1);
    let shared = Shared::new(scenario.seed);
    let workers = Workers::start(&shared, count, &processors)
        .map_err(|error| RunError::Worker { worker: count, reason: error.to_string() })?;
    let mut run = Run {
        scenario,
        settings: &settings,
        stop,
        progress,
        crowd: Crowd::new(&workers, &prepared),
        prepared: &prepared,
        workers: &workers,
        totals: Totals::new(watched),
        own_server: own_server.as_mut(),
        has_published: false,
    };
    let went = run.phases().and_then(|()| run.end());
    let report = went.map(|()| run.totals.report(scenario, &settings, stop.load(Ordering::Relaxed)));
    workers.stop();
    drop(own_server);
    report
}

struct Run<'a> {
    scenario: &'a Scenario,
    settings: &'a Settings,
    stop: &'a AtomicBool,
    progress: &'a mut dyn Progress,
    crowd: Crowd<'a>,
    prepared: &'a Prepared,
    workers: &'a Workers,
    totals: Totals,
    /// Looked at: a server that has ended ends the run.
    own_server: Option<&'a mut OwnServer>,
    /// A publisher was accepted at some time.
    has_published: bool,
}

impl Run<'_> {
    fn phases(&mut self) -> Result<(), RunError> {
        for phase in &self.scenario.phase {
            let begins_watching =
                !self.crowd.has_viewers() && phase.viewers_percent.is_some_and(|percent| percent > 0.0);
            if begins_watching {
                self.probe()?;
                self.totals.viewers_begin();
            }
            if self.is_over() {
                break;
            }
            self.progress.note(&format!("phase {}: {} s", phase.name, phase.seconds));
            self.phase(phase)?;
        }
        Ok(())
    }

    /// What is known only at the end.
    fn end(&mut self) -> Result<(), RunError> {
        let ends = self.workers.end_run().map_err(failed)?;
        self.totals.end(ends);
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.totals.has_server_ended()
    }

    fn phase(&mut self, phase: &Phase) -> Result<(), RunError> {
        let begin_us = clock::monotonic_us();
        let end_us = begin_us + (phase.seconds * 1e6) as u64;
        self.crowd.begin_phase(phase, begin_us, end_us);
        // What the seconds before brought is not this phase's.
        self.end_second(false)?;
        let mut second_us = begin_us;
        loop {
            second_us = (second_us + 1_000_000).min(end_us);
            loop {
                let now_us = clock::monotonic_us();
                if now_us >= second_us || self.is_over() {
                    break;
                }
                self.crowd.look(now_us);
                std::thread::sleep(LOOK_EVERY.min(Duration::from_micros(second_us - now_us)));
            }
            self.crowd.look(clock::monotonic_us());
            self.end_second(phase.measured)?;
            if second_us >= end_us || self.is_over() {
                return Ok(());
            }
        }
    }

    fn end_second(&mut self, is_measured: bool) -> Result<(), RunError> {
        let seconds = self.workers.end_second().map_err(failed)?;
        let mut measure = Measure::default();
        for WorkerSecond { measure: of_worker, .. } in &seconds {
            measure.merge(of_worker);
        }
        self.has_published |= measure.count(Counter::Publishes) > 0;
        if !self.has_published && measure.count(Counter::PublishersLost) > 0 {
            let reason = first_example(&measure);
            return Err(RunError::Publish { reason });
        }
        let cpu_us: Vec<u64> = seconds.iter().map(|second| second.cpu_us).collect();
        if let Some(ended) = self.own_server.as_mut().and_then(|server| server.ended()) {
            self.totals.server_ended(format!("the server has ended: {ended}"));
        }
        if let Some(second) = self.totals.add(&measure, &cpu_us, is_measured) {
            self.progress.second(second);
        }
        Ok(())
    }

    /// Sees that the streams can be watched, before any viewer does.
    fn probe(&mut self) -> Result<(), RunError> {
        let own = !self.scenario.publish.is_empty();
        let wait = if own { PLAYABLE_WITHIN } else { self.settings.wait };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| RunError::Worker { worker: 0, reason: error.to_string() })?;
        for (plan, group) in self.prepared.watch.iter().zip(&self.scenario.watch) {
            let Some(url) = plan.urls.first() else { continue };
            let shown = url.split('?').next().unwrap_or_default().to_owned();
            self.progress.note(&format!("waiting for {shown}"));
            let local = tokio::task::LocalSet::new();
            let wants_parts = group.mode.has_low_latency();
            let stop = self.stop;
            let probed = local.block_on(&runtime, async {
                tokio::select! {
                    probed = watch::probe(&plan.client, url, wants_parts, wait) => probed,
                    // Then nothing is wrong with the stream.
                    () = stopped(stop) => Ok(()),
                }
            });
            probed.map_err(|reason| RunError::Watch { url: shown, reason })?;
            // Publishers that are refused are the reason, and not that nothing can be watched.
            self.end_second(false)?;
        }
        Ok(())
    }
}

/// Completes when the run is to end.
async fn stopped(stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn failed(worker: usize) -> RunError {
    RunError::Worker { worker, reason: "it has failed".to_owned() }
}

fn first_example(measure: &Measure) -> String {
    let kinds = [FaultKind::Connect, FaultKind::Timeout, FaultKind::Cut];
    let example = kinds.iter().find_map(|kind| measure.faults.get(kind)?.1.first());
    example.cloned().unwrap_or_else(|| "its connection ended".to_owned())
}

/// A path of a run's files, for messages.
fn shown(path: &Path) -> String {
    path.display().to_string()
}
