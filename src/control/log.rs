//! Log lines leave a shard through a bounded, lossy channel of their own: a terminal that stops reading must not
//! stop the stream, nor what is kept on disk.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;

use super::Control;
use crate::limits::{LOG_END_MS_MAX, LOG_LINES_QUEUED_MAX};

/// Hands lines to the thread that writes them.
#[derive(Debug, Clone)]
pub(super) struct Log {
    /// `None` is the last one.
    lines: SyncSender<Option<Vec<u8>>>,
}

impl Log {
    pub(super) fn start(mut terminal: impl Write + Send + 'static) -> io::Result<(Self, JoinHandle<()>)> {
        let (lines, received) = sync_channel::<Option<Vec<u8>>>(LOG_LINES_QUEUED_MAX);
        let thread = std::thread::Builder::new().name("log".into()).spawn(move || {
            while let Ok(Some(line)) = received.recv() {
                // A closed standard error loses the line: there is nowhere else to say it.
                let _ = terminal.write_all(&line);
            }
        })?;
        Ok((Self { lines }, thread))
    }

    /// Waits for what is queued to be written, as long as the terminal takes it.
    pub(super) fn stop(&self, thread: &JoinHandle<()>) {
        let end = Instant::now() + Duration::from_millis(LOG_END_MS_MAX);
        let mut is_told = false;
        while !thread.is_finished() && Instant::now() < end {
            is_told = is_told || self.lines.try_send(None).is_ok();
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Hands formatted lines to the log's thread; what does not fit is dropped and counted.
#[derive(Debug, Clone)]
pub struct LogWriter {
    log: Log,
    dropped: Arc<AtomicU64>,
}

impl LogWriter {
    /// A writer over the log's thread.
    pub fn new(control: Control) -> Self {
        Self { log: control.log, dropped: Arc::default() }
    }

    /// Lines dropped so far because the queue was full.
    pub fn dropped(&self) -> Arc<AtomicU64> {
        self.dropped.clone()
    }
}

/// `tracing_subscriber` writes one whole event per call.
impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.log.lines.try_send(Some(line.to_vec())).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
