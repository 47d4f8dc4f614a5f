//! Log lines leave a shard through a bounded, lossy channel: a terminal that stops reading must not
//! stop the stream.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing_subscriber::fmt::MakeWriter;

use super::{Command, Control};

/// Hands formatted lines to the control thread; what does not fit is dropped and counted.
#[derive(Debug, Clone)]
pub struct LogWriter {
    control: Control,
    dropped: Arc<AtomicU64>,
}

impl LogWriter {
    /// A writer over the control thread.
    pub fn new(control: Control) -> Self {
        Self { control, dropped: Arc::default() }
    }

    /// Lines dropped so far because the queue was full.
    pub fn dropped(&self) -> Arc<AtomicU64> {
        self.dropped.clone()
    }
}

/// `tracing_subscriber` writes one whole event per call.
impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if !self.control.try_send(Command::Log(line.to_vec())) {
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

/// Writes to standard error. A closed standard error loses the line: there is nowhere else to say it.
pub(super) fn write(line: &[u8]) {
    let _ = io::stderr().lock().write_all(line);
}
