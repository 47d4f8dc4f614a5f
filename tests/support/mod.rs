//! What the integration tests share: the real server, real publishers, an HTTP client and strict
//! checkers, none of which uses the code under test. `in_process` and `rtmp_publisher` beside them are
//! made of it, so each test that wants them says so.

// Each test is a crate of its own and uses a part of this.
#![allow(dead_code, unused_imports)]

pub mod decode;
pub mod encoder;
pub mod http;
pub mod http2;
pub mod mp4;
pub mod playlist;
pub mod publisher;
pub mod replay;
pub mod server;
pub mod tls;

use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Unix time in milliseconds.
pub fn now_unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// Asks again every 20 ms until there is an answer or the time is over.
pub fn poll_until<T>(within: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + within;
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if Instant::now() >= end {
            return None;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What a child process wrote to one of its pipes, collected by a thread.
#[derive(Clone, Default)]
pub struct Collected(Arc<Mutex<Vec<u8>>>);

impl Collected {
    fn start(mut pipe: impl Read + Send + 'static) -> Self {
        let collected = Self::default();
        let shared = collected.clone();
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(read @ 1..) = pipe.read(&mut chunk) {
                shared.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&chunk[..read]);
            }
        });
        collected
    }

    /// Everything so far.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

/// Sends a signal by `kill(1)`, so that no test needs `unsafe`.
pub fn signal(process_id: u32, name: &str) {
    let sent = std::process::Command::new("kill").args(["-s", name, &process_id.to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()), "sends SIG{name} to {process_id}");
}

/// Sets this process's limit of open files by `prlimit(1)`: 1,024, the usual one, is less than a crowd.
pub fn allow_open_files(count: usize) {
    let limit = format!("--nofile={count}:");
    let own = std::process::id().to_string();
    let raised = std::process::Command::new("prlimit").args(["--pid", &own, &limit]).status();
    assert!(raised.is_ok_and(|status| status.success()), "{count} open files are allowed");
}
