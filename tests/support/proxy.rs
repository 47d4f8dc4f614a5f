//! A TCP proxy that does to a publisher what networks do: it delays, throttles, stalls, cuts in mid-message,
//! half-closes and resets. Everything random comes from its seed.

// Each test is a crate of its own and uses a part of this.
#![allow(dead_code)]

use crate::random::Random;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What one direction holds at most: a home router's queue.
const QUEUED_BYTES_MAX: usize = 256 * 1024;
/// How long a direction waits for bytes before it looks what else there is to do.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// The largest piece that goes out at once; how large each one is, is random.
const PIECE_BYTES_MAX: usize = 1460;

/// How a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Both ends are told that nothing more comes.
    Close,
    /// Both ends are reset.
    Reset,
    /// The server alone is told that nothing more comes; what it says still reaches the publisher.
    HalfClose,
}

/// What the line from the publisher to the server does; the way back has its delay alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct Line {
    /// How long every byte is under way,
    pub delay: Duration,
    /// and how much longer at most; bytes never overtake one another.
    pub jitter: Duration,
    pub bytes_per_s: Option<u32>,
    /// Nothing passes, in either direction.
    pub is_stalled: bool,
    /// After so many more bytes.
    pub cut: Option<(u64, Cut)>,
}

/// A listener whose connections all go to one address; what is open ends with it.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    line: Mutex<Line>,
    stop: AtomicBool,
}

impl Shared {
    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

impl Proxy {
    pub fn start(to: SocketAddr, line: Line, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port for the proxy");
        listener.set_nonblocking(true).expect("a listener that does not block");
        let address = listener.local_addr().expect("its address");
        let shared = Arc::new(Shared { line: Mutex::new(line), stop: AtomicBool::new(false) });
        let accepting = Arc::clone(&shared);
        let thread = std::thread::spawn(move || accept(&listener, to, &accepting, seed));
        Self { address, shared, thread: Some(thread) }
    }

    /// Where to connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `rtmp://HOST:PORT/live/KEY`.
    pub fn publish_url(&self, key: &str) -> String {
        format!("rtmp://{}/live/{key}", self.address)
    }

    /// Changes the line from now on.
    pub fn set(&self, change: impl FnOnce(&mut Line)) {
        change(&mut self.shared.line());
    }

    /// Nothing passes for so long; then all that has piled up does.
    pub fn stall(&self, for_time: Duration) {
        self.set(|line| line.is_stalled = true);
        std::thread::sleep(for_time);
        self.set(|line| line.is_stalled = false);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // What went wrong in it has failed the test by what did not arrive.
            let _ = thread.join();
        }
    }
}

fn accept(listener: &TcpListener, to: SocketAddr, shared: &Arc<Shared>, seed: u64) {
    let mut pumps = Vec::new();
    let mut number = 0;
    while !shared.is_stopped() {
        match listener.accept() {
            Ok((publisher, _)) => {
                number += 2;
                let Ok(server) = TcpStream::connect(to) else { continue };
                let is_reset = Arc::new(AtomicBool::new(false));
                for (is_upward, seed) in [(true, seed << 32 | number), (false, seed << 32 | (number + 1))] {
                    let (from, to) = if is_upward { (&publisher, &server) } else { (&server, &publisher) };
                    let pump = Pump::new(from, to, is_upward, Arc::clone(shared), Random(seed), &is_reset);
                    pumps.push(std::thread::spawn(move || pump.run()));
                }
            }
            Err(_) => std::thread::sleep(LOOK_EVERY),
        }
    }
    for pump in pumps {
        let _ = pump.join();
    }
}

/// One direction of one connection.
struct Pump {
    from: TcpStream,
    to: TcpStream,
    is_upward: bool,
    shared: Arc<Shared>,
    random: Random,
    /// Bytes under way and when they arrive, in order.
    queue: VecDeque<(Instant, Vec<u8>)>,
    queued_bytes: usize,
    /// Bytes that may go out now, where the line has a rate.
    allowance: f64,
    looked_at: Instant,
    /// The sender has ended its side.
    is_ended: bool,
    /// Both directions end without a word.
    is_reset: Arc<AtomicBool>,
}

impl Pump {
    fn new(
        from: &TcpStream,
        to: &TcpStream,
        is_upward: bool,
        shared: Arc<Shared>,
        random: Random,
        is_reset: &Arc<AtomicBool>,
    ) -> Self {
        let (from, to) = (from.try_clone().expect("a handle"), to.try_clone().expect("a handle"));
        from.set_nonblocking(false).expect("a socket that blocks");
        from.set_read_timeout(Some(LOOK_EVERY)).expect("a timeout");
        to.set_write_timeout(Some(Duration::from_secs(30))).expect("a timeout");
        to.set_nodelay(true).expect("no delay");
        Self {
            from,
            to,
            is_upward,
            shared,
            random,
            queue: VecDeque::new(),
            queued_bytes: 0,
            allowance: 0.0,
            looked_at: Instant::now(),
            is_ended: false,
            is_reset: Arc::clone(is_reset),
        }
    }

    fn run(mut self) {
        let end = self.carry();
        match end {
            Ok(Some(Cut::HalfClose)) => drop(self.to.shutdown(Shutdown::Write)),
            Ok(Some(Cut::Reset)) | Err(_) => self.reset(),
            Ok(Some(Cut::Close)) => {
                let _ = (self.to.shutdown(Shutdown::Both), self.from.shutdown(Shutdown::Both));
            }
            // The end of one side passes on to the other.
            Ok(None) => drop(self.to.shutdown(Shutdown::Write)),
        }
    }

    /// `SO_LINGER` of zero resets at the last close, which is the other direction's.
    fn reset(&self) {
        for socket in [&self.from, &self.to] {
            let _ = socket2::SockRef::from(socket).set_linger(Some(Duration::ZERO));
        }
        self.is_reset.store(true, Ordering::Relaxed);
    }

    /// Until the sender has ended and all has arrived, or the line is cut.
    fn carry(&mut self) -> io::Result<Option<Cut>> {
        while !self.shared.is_stopped() {
            if self.is_reset.load(Ordering::Relaxed) {
                return Ok(Some(Cut::Reset));
            }
            self.take()?;
            if let Some(cut) = self.give()? {
                return Ok(Some(cut));
            }
            if self.is_ended && self.queue.is_empty() {
                return Ok(None);
            }
        }
        Ok(None)
    }

    fn take(&mut self) -> io::Result<()> {
        if self.is_ended || self.queued_bytes >= QUEUED_BYTES_MAX {
            std::thread::sleep(LOOK_EVERY);
            return Ok(());
        }
        let mut bytes = [0; PIECE_BYTES_MAX];
        let room = 1 + self.random.below(PIECE_BYTES_MAX);
        let count = match self.from.read(&mut bytes[..room]) {
            Ok(count) => count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        self.is_ended = count == 0;
        if count > 0 {
            let line = *self.shared.line();
            let jitter = line.jitter.mul_f64(self.random.below(1001) as f64 / 1000.0);
            let due = Instant::now() + line.delay + jitter;
            let due = self.queue.back().map_or(due, |(before, _)| due.max(*before));
            self.queue.push_back((due, bytes[..count].to_vec()));
            self.queued_bytes += count;
        }
        Ok(())
    }

    fn give(&mut self) -> io::Result<Option<Cut>> {
        let now = Instant::now();
        let passed = now - std::mem::replace(&mut self.looked_at, now);
        let line = *self.shared.line();
        if line.is_stalled {
            return Ok(None);
        }
        let rate = line.bytes_per_s.filter(|_| self.is_upward).map(f64::from);
        // A tenth of a second at once at most, or one piece, so that a pause earns no burst.
        self.allowance = rate.map_or(f64::MAX, |rate| {
            (self.allowance + rate * passed.as_secs_f64()).min((rate / 10.0).max(PIECE_BYTES_MAX as f64))
        });
        while self
            .queue
            .front()
            .is_some_and(|(due, bytes)| *due <= now && bytes.len() as f64 <= self.allowance)
        {
            let Some((_, bytes)) = self.queue.pop_front() else { break };
            self.queued_bytes -= bytes.len();
            self.allowance -= bytes.len() as f64;
            let (bytes, cut) = if self.is_upward { self.cut(&bytes) } else { (&bytes[..], None) };
            self.to.write_all(bytes)?;
            if cut.is_some() {
                return Ok(cut);
            }
        }
        Ok(None)
    }

    /// What of these bytes still passes, and how the line is cut behind them.
    fn cut<'a>(&self, bytes: &'a [u8]) -> (&'a [u8], Option<Cut>) {
        let mut line = self.shared.line();
        let Some((left, how)) = line.cut else { return (bytes, None) };
        let count = bytes.len() as u64;
        if left > count {
            line.cut = Some((left - count, how));
            return (bytes, None);
        }
        // One connection is cut; the next one is not.
        line.cut = None;
        (&bytes[..left as usize], Some(how))
    }
}
