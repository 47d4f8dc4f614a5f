//! The two servers, as child processes on the first processor.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::listed::{poll, resolve};
use crate::publisher::KEY;

/// For how long nginx may not listen after it began.
const READY_WITHIN: Duration = Duration::from_secs(20);

/// This project's server, on one shard.
pub struct Served {
    pub child: Child,
    pub http: SocketAddr,
    pub rtmp: SocketAddr,
}

impl Served {
    pub fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_rapidrtmp"))
            .args(["--open", "--shards", "1", "--latency", "ultra"])
            .args(["--rtmp", "127.0.0.1:0", "--http", "127.0.0.1:0"])
            .stderr(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
        let found = lines.into_iter().find_map(|line| {
            let (rtmp, http) = line.strip_prefix("ready rtmp=")?.split_once(" http=")?;
            Some((rtmp.parse().ok()?, http.split(' ').next()?.parse().ok()?))
        });
        let (rtmp, http) = found.expect("the server prints its addresses");
        Self { child, http, rtmp }
    }

    /// The video's playlist, and the newest part and segment that it lists.
    pub fn paths(&self) -> [String; 3] {
        let index = format!("/live/{KEY}/index.m3u8");
        let multivariant = poll(self.http, &index, "#EXTM3U");
        let video = multivariant.lines().find(|line| line.contains("m3u8") && !line.starts_with('#'));
        let playlist = resolve(&index, video.expect("a video rendition"));
        let text = poll(self.http, &playlist, "#EXTINF:");
        let part = text
            .lines()
            .rfind(|line| line.starts_with("#EXT-X-PART:"))
            .and_then(|line| line.split_once("URI=\"")?.1.split('"').next());
        let segment = text.lines().rfind(|line| !line.starts_with('#') && !line.is_empty());
        let [part, segment] = [part, segment].map(|uri| resolve(&playlist, uri.expect("it is listed")));
        [playlist, part, segment]
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.child.kill().and_then(|()| self.child.wait()).expect("our own child");
    }
}

/// nginx with one worker and static files, named by their places.
pub struct Nginx {
    child: Child,
    _folder: tempfile::TempDir,
    pub http: SocketAddr,
    /// The process that serves.
    pub worker: u32,
}

impl Nginx {
    pub fn start(processor: usize, bodies: &[Vec<u8>]) -> Self {
        let folder = tempfile::tempdir().expect("a folder for nginx");
        for (place, body) in bodies.iter().enumerate() {
            fs::write(folder.path().join(place.to_string()), body).expect("a file");
        }
        // Free when it was asked for; nobody else takes ports meanwhile.
        let http = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port");
        let mask = format!("{:b}", 1_u128 << processor);
        let root = folder.path().display();
        let config = format!(
            "daemon off; pid {root}/pid; user root; worker_processes 1; worker_cpu_affinity {mask};
            error_log stderr crit;
            events {{ worker_connections 1024; }}
            http {{
                access_log off; sendfile on; tcp_nopush on; tcp_nodelay on; keepalive_requests 1000000000;
                open_file_cache max=100;
                server {{ listen {http}; root {root}; default_type application/octet-stream; }}
            }}"
        );
        fs::write(folder.path().join("nginx.conf"), config).expect("a file");
        let child = Command::new("nginx")
            .args(["-p", &root.to_string(), "-c", "nginx.conf", "-e", "stderr"])
            .spawn()
            .expect("nginx is installed");
        let end = Instant::now() + READY_WITHIN;
        while TcpStream::connect(http).is_err() {
            assert!(Instant::now() < end, "nginx does not listen");
            thread::sleep(Duration::from_millis(20));
        }
        let children = format!("/proc/{0}/task/{0}/children", child.id());
        let children = fs::read_to_string(children).expect("nginx runs");
        let worker = children.split_whitespace().next().and_then(|id| id.parse().ok());
        Self { child, _folder: folder, http, worker: worker.expect("nginx has a worker") }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its worker ends with it when it is asked, not when it is killed.
        let id = self.child.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &id]).status();
        assert!(asked.is_ok_and(|status| status.success()), "nginx is asked to end");
        self.child.wait().expect("our own child");
    }
}

/// The body of a resource.
pub fn get(http: SocketAddr, path: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(http).expect("the server listens");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n").expect("it reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    let head_bytes = answer.windows(4).position(|end| end == b"\r\n\r\n").expect("a head") + 4;
    assert!(
        answer.starts_with(b"HTTP/1.1 200"),
        "{path}: {}",
        String::from_utf8_lossy(&answer[..head_bytes])
    );
    answer.split_off(head_bytes)
}
