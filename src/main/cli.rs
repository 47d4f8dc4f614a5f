//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// RTMP in, Low-Latency HLS out.
#[derive(Debug, Parser)]
#[command(name = "rapidrtmp", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub serve: ServeFlags,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs the server; the same as no command.
    Serve(ServeFlags),
    /// Reads settings and host, says what is wrong with them, and ends.
    Check(ServeFlags),
    /// Makes a token that allows publishing.
    Token(TokenFlags),
    /// Makes of a recorded ingest the playlists and parts that the server made of it.
    Replay(ReplayFlags),
}

#[derive(Debug, Clone, Default, Args)]
pub struct ServeFlags {
    /// Settings file; `config/server.toml` of the source shows every key.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Publishes a test picture with a running clock and sound to live/demo.
    #[arg(long)]
    pub demo: bool,
    /// Lets anyone publish.
    #[arg(long)]
    pub open: bool,
    /// Where publishers connect, such as :1935 or 127.0.0.1:0.
    #[arg(long, value_name = "ADDR")]
    pub rtmp: Option<String>,
    /// Where viewers connect, such as :8080.
    #[arg(long, value_name = "ADDR")]
    pub http: Option<String>,
    /// Where viewers connect over TLS, such as :8443; the certificate is a matter of the settings file.
    #[arg(long, value_name = "ADDR")]
    pub https: Option<String>,
    /// Executors, each on a core; 0 is one for each core.
    #[arg(long, value_name = "N")]
    pub shards: Option<String>,
    /// CPUs to run the executors on, such as 2,3; all that the process may run on without it.
    #[arg(long, value_name = "LIST")]
    pub cpus: Option<String>,
    /// Latency preset: ultra, low or safe.
    #[arg(long, value_name = "PRESET")]
    pub latency: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub struct TokenFlags {
    /// The stream: KEY, which is live/KEY, or APP/KEY.
    pub key: String,
    /// Seconds that it is valid; the configured default without it.
    #[arg(long, value_name = "SECONDS")]
    pub expires_in: Option<u64>,
    /// Settings file with the secret or the state directory.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub struct ReplayFlags {
    /// A recording from `ingest.record_dir`.
    pub file: PathBuf,
    /// Directory, new or empty, for what viewers could fetch; without it only the summary is told.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// What is wrong with the flags, without the usage below it.
pub fn one_line(wrong: &clap::Error) -> String {
    let text = wrong.to_string();
    let told = text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
    let told: Vec<&str> = told.filter(|line| !line.is_empty() && !line.starts_with("For more")).collect();
    told.join("; ").replace(":;", ":").trim_start_matches("error: ").to_owned()
}
