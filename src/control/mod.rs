//! Ordinary threads for what may block: one for state files and certificates, one for the log, one for recordings,
//! so that none waits for another's disk or terminal. Shards hand them work through bounded channels and never wait.

mod certificates;
mod log;
mod recorder;
mod state;
mod watched;

use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub use certificates::{CertificateError, CertificateSource, Pem};
pub use log::LogWriter;
pub use recorder::{Recording, RecordingOptions, check_record_dir};
pub use state::{StateDir, StateError, StateLock};
pub use watched::Install;

use crate::hls::Epoch;
use crate::limits::{CERTIFICATE_LOOK_EVERY_MS, CONTROL_QUEUE_MAX, RECORDINGS_END_MS_MAX};
use crate::media::StreamName;
use log::Log;
use recorder::Recorder;
use watched::Watched;

/// What is asked of the thread for files.
enum Command {
    /// Keeps a stream's numbers over a restart.
    Save { name: Box<str>, record: Vec<u8> },
    /// Looks at certificates from now on.
    Watch(Box<Watched>),
    /// Reads certificates now, from these files from now on.
    Reread(Box<CertificateSource>),
    /// Does what would keep a shard from its sockets.
    Run(fn()),
    /// Ends the thread after what was queued before.
    Stop,
}

/// A handle to the threads: cheap to clone, never blocks.
#[derive(Debug, Clone)]
pub struct Control {
    commands: SyncSender<Command>,
    log: Log,
    recorder: Recorder,
}

/// The running threads.
#[derive(Debug)]
pub struct ControlThread {
    control: Control,
    thread: JoinHandle<()>,
    log: JoinHandle<()>,
    recorder: JoinHandle<()>,
}

impl ControlThread {
    /// Starts the threads. Records go to `state`, if there is one; log lines to standard error.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn start(state: Option<StateDir>) -> io::Result<Self> {
        Self::start_with(state, io::stderr())
    }

    fn start_with(state: Option<StateDir>, terminal: impl io::Write + Send + 'static) -> io::Result<Self> {
        let (commands, received) = sync_channel(CONTROL_QUEUE_MAX);
        let thread =
            std::thread::Builder::new().name("control".into()).spawn(move || run(&received, state))?;
        let (log, log_thread) = Log::start(terminal)?;
        let (recorder, recorder_thread) = Recorder::start()?;
        let control = Control { commands, log, recorder };
        Ok(Self { control, thread, log: log_thread, recorder: recorder_thread })
    }

    /// A handle for a shard.
    pub fn handle(&self) -> Control {
        self.control.clone()
    }

    /// Finishes what is queued and ends the threads, the log last. For a terminal or a disk of recordings that does not
    /// take what is left nobody waits for long.
    pub fn stop(self) {
        self.control.recorder.stop();
        // A full queue drains, so this waits; a dead thread has nothing left to finish.
        self.control.send(Command::Stop);
        let _ = self.thread.join();
        let end = Instant::now() + Duration::from_millis(RECORDINGS_END_MS_MAX);
        while !self.recorder.is_finished() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
        if !self.recorder.is_finished() {
            tracing::warn!(
                "recordings are cut off: their disk has not taken what was left in {RECORDINGS_END_MS_MAX} ms"
            );
        }
        self.control.log.stop(&self.log);
    }
}

impl Control {
    /// Keeps `record` as the newest of the stream `name`. A full queue drops it: the next segment
    /// brings a newer one.
    ///
    /// Returns false when it was dropped.
    pub fn save(&self, name: &str, record: Vec<u8>) -> bool {
        self.commands.try_send(Command::Save { name: name.into(), record }).is_ok()
    }

    /// Begins the recording of an ingest.
    pub fn record(&self, name: &StreamName, epoch: Epoch, options: RecordingOptions) -> Recording {
        self.recorder.begin(name, epoch, options)
    }

    /// Has the thread run `work` when it comes to it. A full queue drops it.
    ///
    /// Returns false when it was dropped.
    pub fn run(&self, work: fn()) -> bool {
        self.commands.try_send(Command::Run(work)).is_ok()
    }

    /// Has these certificates, which are in force, read again when their files change, and given to `install`.
    /// Waits for room in the queue, so it is not for shards.
    pub fn watch(&self, source: CertificateSource, install: Install) {
        self.send(Command::Watch(Box::new(Watched::new(source, install))));
    }

    /// Reads certificates again now, and watches these from now on; of no effect where none are watched. Waits
    /// for room in the queue, so it is not for shards.
    pub fn reread(&self, source: CertificateSource) {
        self.send(Command::Reread(Box::new(source)));
    }

    fn send(&self, command: Command) {
        // A thread that is gone could not even log it.
        let _ = self.commands.send(command);
    }
}

fn run(commands: &Receiver<Command>, state: Option<StateDir>) {
    let mut watched: Option<Box<Watched>> = None;
    loop {
        let command = match &watched {
            Some(_) => commands.recv_timeout(Duration::from_millis(CERTIFICATE_LOOK_EVERY_MS)),
            None => commands.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        // Busy streams must not keep a renewed certificate waiting.
        watched.iter_mut().for_each(|watched| watched.look());
        match command {
            Ok(Command::Save { name, record }) => {
                let Some(state) = &state else { continue };
                if let Err(error) = state.save(&name, &record) {
                    tracing::error!("a stream's numbers are not kept: {error}");
                }
            }
            Ok(Command::Watch(fresh)) => watched = Some(fresh),
            Ok(Command::Reread(source)) => watched.iter_mut().for_each(|watched| watched.reread(&source)),
            Ok(Command::Run(work)) => work(),
            Err(RecvTimeoutError::Timeout) => {}
            Ok(Command::Stop) | Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// The text of a small file, for configuration and secrets.
///
/// # Errors
/// What the file system says.
pub fn read_text(path: &Path) -> io::Result<String> {
    std::fs::read_to_string(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::atomic::Ordering;
    use std::sync::mpsc::{Receiver, channel};

    const SAVES: usize = 50;

    /// Takes nothing until it is told to, as a terminal whose user has pressed Ctrl-S.
    struct Stopped(Receiver<()>);

    impl Write for Stopped {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn numbers_are_kept_while_the_log_is_flooded_and_its_terminal_stands_still() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        let (release, stopped) = channel();
        let threads = ControlThread::start_with(Some(state.clone()), Stopped(stopped)).unwrap();
        let mut log = LogWriter::new(threads.handle());
        let dropped = log.dropped();
        while dropped.load(Ordering::Relaxed) < 10_000 {
            log.write_all(b"a stranger knocks\n").unwrap();
        }
        for number in 0..SAVES {
            assert!(threads.handle().save("live/a", number.to_string().into_bytes()));
        }
        // Nobody waits for the terminal, not even at the end.
        threads.stop();
        let last = (SAVES - 1).to_string().into_bytes();
        assert_eq!(state.load().unwrap(), [("live/a".to_owned(), last)]);
        drop(release);
    }
}
