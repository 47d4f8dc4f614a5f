//! The real server as a child process.

use super::http::Client;
use super::{Collected, poll_until};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// In `RAPIDRTMP_ADMIN_KEY` of every server that is started here.
pub const ADMIN_KEY: &str = "an admin key for tests";

const READY_WITHIN: Duration = Duration::from_secs(20);

/// How to start a server.
#[derive(Debug, Clone)]
pub struct Options {
    pub shards: usize,
    /// `--open`: anyone may publish.
    pub open: bool,
    /// `--latency`.
    pub latency: Option<&'static str>,
    /// The text of a configuration file.
    pub config: Option<String>,
    pub arguments: Vec<String>,
    pub environment: Vec<(String, String)>,
    /// Files of the server's own directory, there before it starts.
    pub files: Vec<(String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            shards: 1,
            open: true,
            latency: None,
            config: None,
            arguments: Vec::new(),
            environment: Vec::new(),
            files: Vec::new(),
        }
    }
}

/// A running server on ports of its own; killed when dropped, with its log shown if the test fails.
pub struct Server {
    options: Options,
    directory: TempDir,
    child: Child,
    stdout: Collected,
    stderr: Collected,
    rtmp: SocketAddr,
    http: SocketAddr,
    https: Option<SocketAddr>,
}

impl Server {
    /// Starts the binary and waits until it says that it listens.
    ///
    /// # Panics
    /// With its log when it does not.
    pub fn start(options: &Options) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let directory = tempfile::tempdir().expect("a directory for the server's files");
        let (child, stdout, stderr) = spawn(options, &directory, any, any);
        let mut server = Self {
            options: options.clone(),
            directory,
            child,
            stdout,
            stderr,
            rtmp: any,
            http: any,
            https: None,
        };
        server.wait_until_ready();
        server
    }

    pub fn rtmp(&self) -> SocketAddr {
        self.rtmp
    }

    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// Where it speaks TLS; the options have asked for it.
    ///
    /// # Panics
    /// When it does not.
    pub fn https(&self) -> SocketAddr {
        self.https.expect("the server speaks TLS")
    }

    /// An empty directory of the server's own, for `state_dir` and the like.
    pub fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }

    /// `rtmp://HOST:PORT/live/KEY`.
    pub fn publish_url(&self, key: &str) -> String {
        format!("rtmp://{}/live/{key}", self.rtmp)
    }

    /// `rtmps://localhost:PORT/live/KEY`.
    pub fn publish_url_tls(&self, key: &str) -> String {
        format!("rtmps://localhost:{}/live/{key}", self.rtmp.port())
    }

    /// A new connection to the HTTP port.
    pub fn client(&self) -> Client {
        Client::connect(self.http).expect("the server accepts a connection")
    }

    /// What it logged.
    pub fn log(&self) -> String {
        self.stderr.text()
    }

    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// Process id, for `/proc`.
    pub fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM; how it ended, or `None` if it did not within the time.
    pub fn terminate(&mut self, within: Duration) -> Option<ExitStatus> {
        super::signal(self.child.id(), "TERM");
        poll_until(within, || self.child.try_wait().ok().flatten())
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Kills it and starts it again with the same options, files and ports.
    pub fn restart(&mut self) {
        self.kill();
        let (child, stdout, stderr) = spawn(&self.options, &self.directory, self.rtmp, self.http);
        (self.child, self.stdout, self.stderr) = (child, stdout, stderr);
        self.wait_until_ready();
    }

    /// The sum of a metric over its label sets, or those that have a label such as `kind="forced_cut"`;
    /// `None` when `/metrics` has none of them.
    pub fn metric(&self, name: &str, label: &str) -> Option<f64> {
        self.client().metric(name, label)
    }

    fn wait_until_ready(&mut self) {
        let ready = poll_until(READY_WITHIN, || {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return Some(None);
            }
            self.stdout.text().lines().find_map(ready_line).map(Some)
        });
        let Some(Some((rtmp, http, https))) = ready else {
            panic!("the server is not ready; stdout:\n{}\nstderr:\n{}", self.stdout(), self.log());
        };
        (self.rtmp, self.http, self.https) = (rtmp, http, https);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- log of the server\n{}---", self.log());
        }
    }
}

/// The addresses in `ready rtmp=ADDRESS http=ADDRESS [https=ADDRESS]`.
fn ready_line(line: &str) -> Option<(SocketAddr, SocketAddr, Option<SocketAddr>)> {
    let mut words = line.strip_prefix("ready ")?.split(' ');
    let rtmp = words.next()?.strip_prefix("rtmp=")?.parse().ok()?;
    let http = words.next()?.strip_prefix("http=")?.parse().ok()?;
    let https = words.next().and_then(|word| word.strip_prefix("https=")?.parse().ok());
    Some((rtmp, http, https))
}

fn spawn(
    options: &Options,
    directory: &TempDir,
    rtmp: SocketAddr,
    http: SocketAddr,
) -> (Child, Collected, Collected) {
    // Another build of it, such as an optimized one, can be named.
    let binary = std::env::var_os("RAPIDRTMP_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_rapidrtmp").into());
    let mut command = Command::new(binary);
    command.env_remove("RAPIDRTMP_BIN");
    command.arg("serve").args(["--rtmp", &rtmp.to_string(), "--http", &http.to_string()]);
    command.args(["--shards", &options.shards.to_string()]);
    if options.open {
        command.arg("--open");
    }
    if let Some(preset) = options.latency {
        command.args(["--latency", preset]);
    }
    for (name, text) in &options.files {
        std::fs::write(directory.path().join(name), text).expect("writes a file");
    }
    if let Some(text) = &options.config {
        let path = directory.path().join("server.toml");
        // `DIR` in the text is the server's own directory.
        let text = text.replace("DIR", &directory.path().to_string_lossy());
        std::fs::write(&path, text).expect("writes the configuration");
        command.arg("--config").arg(path);
    }
    command.args(&options.arguments);
    command.env("RAPIDRTMP_ADMIN_KEY", ADMIN_KEY).envs(options.environment.iter().cloned());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("starts the server");
    let stdout = Collected::start(child.stdout.take().expect("its stdout is a pipe"));
    let stderr = Collected::start(child.stderr.take().expect("its stderr is a pipe"));
    (child, stdout, stderr)
}
