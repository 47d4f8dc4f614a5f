//! RapidRTMP: flags, preflight, signals.
//!
//! `rapidrtmp [serve]` runs the server, `rapidrtmp check` reads its settings, `rapidrtmp token` makes a
//! publishing token, `rapidrtmp replay` takes a recorded ingest through the same code again. A setting, host or file
//! that does not do is one line on standard error and exit code 1.

#[path = "main/banner.rs"]
mod banner;
#[path = "main/cli.rs"]
mod cli;
#[path = "main/replay.rs"]
mod replay;
#[path = "main/server.rs"]
mod server;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // --help and --version.
        Err(told) if !told.use_stderr() => {
            // Standard output may be closed, and then nobody wants to know.
            let _ = told.print();
            return ExitCode::SUCCESS;
        }
        Err(wrong) => {
            eprintln!("rapidrtmp: {}", cli::one_line(&wrong));
            return ExitCode::FAILURE;
        }
    };
    let outcome = match cli.command.unwrap_or(Command::Serve(cli.serve)) {
        Command::Serve(flags) => server::serve(&flags),
        Command::Check(flags) => server::check(&flags),
        Command::Token(flags) => server::token(&flags),
        Command::Replay(flags) => replay::replay(&flags),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("rapidrtmp: {failure}");
            ExitCode::FAILURE
        }
    }
}
