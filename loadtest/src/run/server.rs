//! RapidRTMP itself as a child process, for scenarios that bring their own server.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::RunError;

const READY_WITHIN: Duration = Duration::from_secs(20);
/// A server drains its viewers before it ends.
const ENDED_WITHIN: Duration = Duration::from_secs(5);
/// Lines of its log that are shown when it fails.
const LOG_LINES_SHOWN: usize = 5;

/// A server on ports of its own; ended when it is dropped.
pub struct OwnServer {
    child: Child,
    /// `HOST:PORT` of RTMP.
    pub rtmp: String,
    /// `HOST:PORT` of HTTP.
    pub http: String,
}

impl OwnServer {
    /// Starts it, and builds it first where this is a checkout.
    ///
    /// # Errors
    /// [`RunError::Server`].
    pub fn start(arguments: &[String], note: &mut dyn FnMut(&str)) -> Result<Self, RunError> {
        let binary = binary(note)?;
        let failed = |reason: String| RunError::Server { reason };
        let mut child = Command::new(&binary)
            .args(["serve", "--open", "--rtmp", "127.0.0.1:0", "--http", "127.0.0.1:0"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A Ctrl-C of the terminal is for the run, which ends it.
            .process_group(0)
            .spawn()
            .map_err(|error| failed(format!("{}: {error}", binary.display())))?;
        let (lines_sender, lines) = mpsc::channel();
        read_lines(child.stdout.take(), lines_sender.clone());
        read_lines(child.stderr.take(), lines_sender);
        let mut server = Self { child, rtmp: String::new(), http: String::new() };
        let give_up = Instant::now() + READY_WITHIN;
        let mut log: Vec<String> = Vec::new();
        loop {
            match lines.recv_timeout(give_up.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    if let Some((rtmp, http)) = ready(&line) {
                        (server.rtmp, server.http) = (rtmp, http);
                        return Ok(server);
                    }
                    log.push(line);
                }
                Err(_) => {
                    let shown = log[log.len().saturating_sub(LOG_LINES_SHOWN)..].join(" | ");
                    return Err(failed(format!("it did not say that it is ready: {shown}")));
                }
            }
        }
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Its process.
    pub fn process_id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        if let Some(process) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // It may have ended already.
            let _ = kill_process(process, Signal::TERM);
        }
        let give_up = Instant::now() + ENDED_WITHIN;
        while Instant::now() < give_up {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `ready rtmp=HOST:PORT http=HOST:PORT`.
fn ready(line: &str) -> Option<(String, String)> {
    let rest = line.strip_prefix("ready rtmp=")?;
    let (rtmp, http) = rest.split_once(" http=")?;
    Some((rtmp.to_owned(), http.split_whitespace().next()?.to_owned()))
}

/// Reads to the end, so that the server never waits for its log to be read.
fn read_lines(stream: Option<impl std::io::Read + Send + 'static>, lines: mpsc::Sender<String>) {
    let Some(stream) = stream else { return };
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            // Nobody listens once it is ready.
            let _ = lines.send(line);
        }
    });
}

/// The server's binary: what `RAPIDRTMP_BIN` names, what a build of this checkout makes, or what lies beside
/// this program.
fn binary(note: &mut dyn FnMut(&str)) -> Result<PathBuf, RunError> {
    if let Some(named) = std::env::var_os("RAPIDRTMP_BIN") {
        return Ok(named.into());
    }
    let failed = |reason: String| RunError::Server { reason };
    let own = std::env::current_exe().map_err(|error| failed(error.to_string()))?;
    let directory = own.parent().unwrap_or(Path::new("."));
    // Tests lie one folder deeper.
    let directory =
        if directory.ends_with("deps") { directory.parent().unwrap_or(directory) } else { directory };
    let beside = directory.join("rapidrtmp");
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    if let Some(cargo) = std::env::var_os("CARGO").filter(|_| checkout.join("Cargo.toml").exists()) {
        note("building the server");
        let is_release = directory.ends_with("release");
        let built = Command::new(cargo)
            .current_dir(&checkout)
            .args(["build", "--quiet", "--locked", "--bin", "rapidrtmp"])
            .args(is_release.then_some("--release"))
            .status();
        match built {
            Ok(status) if status.success() => {}
            Ok(status) => return Err(failed(format!("it does not build: {status}"))),
            Err(error) => return Err(failed(format!("it does not build: {error}"))),
        }
    }
    if beside.exists() {
        return Ok(beside);
    }
    Err(failed(format!("{} is missing: build it, or name it in RAPIDRTMP_BIN", beside.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_names_both_ports() {
        let found = ready("ready rtmp=127.0.0.1:1935 http=[::1]:8080");
        assert_eq!(found, Some(("127.0.0.1:1935".to_owned(), "[::1]:8080".to_owned())));
        assert_eq!(ready("getting ready"), None);
    }
}
