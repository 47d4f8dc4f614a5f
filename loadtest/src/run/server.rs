//! RapidRTMP itself as a child process, for scenarios that bring their own server.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::RunError;

const READY_WITHIN: Duration = Duration::from_secs(20);
/// A server drains its viewers before it ends.
const ENDED_WITHIN: Duration = Duration::from_secs(5);
/// Lines of its log that are shown when it fails.
const LOG_LINES_SHOWN: usize = 5;

/// Process of the server that runs, 0 for none: for who ends this program without unwinding.
static RUNNING: AtomicI32 = AtomicI32::new(0);

/// Kills the server that a run has started, if there is one.
pub fn kill_running() {
    if let Some(process) = Pid::from_raw(RUNNING.swap(0, Ordering::Relaxed)) {
        // It may have ended already.
        let _ = kill_process(process, Signal::KILL);
    }
}

/// A server on ports of its own; ended when it is dropped.
pub struct OwnServer {
    child: Child,
    /// `HOST:PORT` of RTMP.
    pub rtmp: String,
    /// `HOST:PORT` of HTTP.
    pub http: String,
    /// Where it speaks TLS, when it was asked to.
    pub https: Option<Https>,
}

/// HTTPS with a certificate that the server has made for itself.
pub struct Https {
    /// `HOST:PORT`.
    pub address: String,
    /// The certificate, to be trusted.
    pub ca_file: PathBuf,
    /// Holds it; removed with the server.
    _state: TempDir,
}

impl OwnServer {
    /// Starts it, and builds it first where this is a checkout.
    ///
    /// # Errors
    /// [`RunError::Server`].
    pub fn start(arguments: &[String], note: &mut dyn FnMut(&str)) -> Result<Self, RunError> {
        Self::launch(arguments, None, note)
    }

    /// The same, and has it speak TLS as well, by a certificate of its own.
    ///
    /// # Errors
    /// [`RunError::Server`].
    pub fn start_with_https(arguments: &[String], note: &mut dyn FnMut(&str)) -> Result<Self, RunError> {
        let directory = tempfile::tempdir().map_err(|error| RunError::Server {
            reason: format!("no directory for its certificate: {error}"),
        })?;
        Self::launch(arguments, Some(directory), note)
    }

    fn launch(
        arguments: &[String],
        state: Option<TempDir>,
        note: &mut dyn FnMut(&str),
    ) -> Result<Self, RunError> {
        let binary = binary(note)?;
        let failed = |reason: String| RunError::Server { reason };
        let mut command = Command::new(&binary);
        command.args(["serve", "--open", "--rtmp", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
        if let Some(state) = &state {
            command.args(["--https", "127.0.0.1:0"]);
            command.env("RAPIDRTMP_HTTPS_SELF_SIGNED", "true");
            command.env("RAPIDRTMP_SERVER_STATE_DIR", state.path());
        }
        let mut child = command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A Ctrl-C of the terminal is for the run, which ends it.
            .process_group(0)
            .spawn()
            .map_err(|error| failed(format!("{}: {error}", binary.display())))?;
        RUNNING.store(i32::try_from(child.id()).unwrap_or(0), Ordering::Relaxed);
        let (lines_sender, lines) = mpsc::channel();
        read_lines(child.stdout.take(), lines_sender.clone());
        read_lines(child.stderr.take(), lines_sender);
        let mut server = Self { child, rtmp: String::new(), http: String::new(), https: None };
        let give_up = Instant::now() + READY_WITHIN;
        let mut log: Vec<String> = Vec::new();
        loop {
            match lines.recv_timeout(give_up.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    if let Some(ready) = Ready::parse(&line) {
                        (server.rtmp, server.http) = (ready.rtmp, ready.http);
                        server.https = state.zip(ready.https).map(|(state, address)| Https {
                            address,
                            ca_file: state.path().join("self_signed.pem"),
                            _state: state,
                        });
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
        let ended = self.child.try_wait().ok().flatten();
        if ended.is_some() {
            // From here on its number may be another's.
            RUNNING.store(0, Ordering::Relaxed);
        }
        ended
    }

    /// Its process.
    pub fn process_id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        let has_ended = self.ended().is_some();
        RUNNING.store(0, Ordering::Relaxed);
        if has_ended {
            return;
        }
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

/// `ready rtmp=HOST:PORT http=HOST:PORT [https=HOST:PORT]`.
#[derive(Debug, PartialEq, Eq)]
struct Ready {
    rtmp: String,
    http: String,
    https: Option<String>,
}

impl Ready {
    fn parse(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.strip_prefix("ready ")?.split_whitespace().collect();
        let address = |name: &str| {
            let word = words.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
            word.map(str::to_owned)
        };
        Some(Self { rtmp: address("rtmp")?, http: address("http")?, https: address("https") })
    }
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
    fn the_ready_line_names_the_ports() {
        let found = Ready::parse("ready rtmp=127.0.0.1:1935 http=[::1]:8080").unwrap();
        let expected = Ready { rtmp: "127.0.0.1:1935".into(), http: "[::1]:8080".into(), https: None };
        assert_eq!(found, expected);
        let found = Ready::parse("ready rtmp=127.0.0.1:1935 http=[::1]:8080 https=127.0.0.1:8443").unwrap();
        assert_eq!(found, Ready { https: Some("127.0.0.1:8443".into()), ..expected });
        assert_eq!(Ready::parse("getting ready"), None);
    }
}
