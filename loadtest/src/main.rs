//! Commands and flags; exit codes: 0 for a run that went as expected, 1 for one that did not, 130 when interrupted.

mod cli;
mod shown;

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Parser as _;
use loadtest::report::{self, Comparison, Report, Verdict};
use loadtest::run;
use loadtest::scenario::{Scenario, ScenarioError};

use cli::{Cli, Outputs};
use shown::Terminal;

/// As a shell counts a program that SIGINT ended.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        cli::Command::Compare { files, html } => compare(&files, html.as_deref()),
        cli::Command::Publish(arguments) => {
            prepared(arguments.scenario(), arguments.host.settings(), &arguments.outputs)
        }
        cli::Command::Watch(arguments) => {
            prepared(arguments.scenario(), arguments.settings(), &arguments.outputs)
        }
        cli::Command::Run(arguments) if arguments.is_check() => arguments
            .scenario()
            .map_err(|error| error.to_string())
            .and_then(|scenario| print(&format!("{} can be run\n", scenario.title)))
            .map(|()| ExitCode::SUCCESS),
        cli::Command::Run(arguments) => {
            prepared(arguments.scenario(), arguments.settings(), &arguments.outputs)
        }
    };
    match done {
        Ok(code) => code,
        Err(reason) => {
            // Nothing else can be done about an error stream that is closed.
            let _ = writeln!(std::io::stderr(), "loadtest: {}", reason.replace('\n', " "));
            ExitCode::FAILURE
        }
    }
}

fn prepared(
    scenario: Result<Scenario, ScenarioError>,
    settings: Result<run::Settings, String>,
    outputs: &Outputs,
) -> Result<ExitCode, String> {
    measure(&scenario.map_err(|error| error.to_string())?, &settings?, outputs)
}

fn measure(scenario: &Scenario, settings: &run::Settings, outputs: &Outputs) -> Result<ExitCode, String> {
    for path in [&outputs.json, &outputs.html].into_iter().flatten() {
        can_be_written(path)?;
    }
    let stop = Arc::new(AtomicBool::new(false));
    watch_signals(&stop)?;
    let mut terminal = Terminal::new(outputs.quiet);
    let ran = run::run(scenario, settings, &stop, &mut terminal);
    terminal.end();
    let report = ran.map_err(|error| error.to_string())?;
    print(&report::table(&report))?;
    write_outputs(&report, outputs)?;
    Ok(if report.interrupted {
        ExitCode::from(INTERRUPTED)
    } else {
        match Verdict::of(&report) {
            Verdict::Void | Verdict::Fail => ExitCode::FAILURE,
            Verdict::Pass | Verdict::Measured => ExitCode::SUCCESS,
        }
    })
}

/// A run of an hour should not end in a folder that is not there.
fn can_be_written(path: &std::path::Path) -> Result<(), String> {
    let opened = std::fs::OpenOptions::new().append(true).create(true).open(path);
    opened.map(drop).map_err(|error| format!("{}: {error}", path.display()))
}

fn write_outputs(report: &Report, outputs: &Outputs) -> Result<(), String> {
    if let Some(path) = &outputs.json {
        report::write(path, report).map_err(|error| error.to_string())?;
    }
    if let Some(path) = &outputs.html {
        let page = report::page(report);
        report::replace(path, page.as_bytes()).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

fn compare(files: &[std::path::PathBuf], html: Option<&std::path::Path>) -> Result<ExitCode, String> {
    let mut runs = Vec::new();
    for path in files {
        let report = report::read(path).map_err(|error| error.to_string())?;
        runs.push((path.display().to_string(), report));
    }
    let comparison = Comparison::new(runs).map_err(|error| error.to_string())?;
    if let Some(path) = html {
        let page = report::comparison_page(&comparison);
        report::replace(path, page.as_bytes()).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    print(&report::comparison_table(&comparison))?;
    Ok(ExitCode::SUCCESS)
}

fn print(text: &str) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| format!("stdout: {error}"))
}

/// The first SIGINT or SIGTERM ends the run with its report, the second one at once.
fn watch_signals(stop: &Arc<AtomicBool>) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("signals: {error}"))?;
    let stop = Arc::clone(stop);
    std::thread::spawn(move || {
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let (Ok(mut interrupt), Ok(mut terminate)) =
                (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
            else {
                return;
            };
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if stop.swap(true, Ordering::Relaxed) {
                    std::process::exit(i32::from(INTERRUPTED));
                }
            }
        });
    });
    Ok(())
}
