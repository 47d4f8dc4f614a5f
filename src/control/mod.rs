//! One ordinary thread for what may block: state files, certificates and log writing. Shards hand it work through
//! bounded channels and never wait for it.

mod certificates;
mod log;
mod state;
mod watched;

use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

pub use certificates::{CertificateError, CertificateSource, Pem};
pub use log::LogWriter;
pub use state::{StateDir, StateError, StateLock};
pub use watched::Install;

use crate::limits::{CERTIFICATE_LOOK_EVERY_MS, CONTROL_QUEUE_MAX};
use watched::Watched;

/// What a shard asks of the control thread.
enum Command {
    /// Keeps a stream's numbers over a restart.
    Save { name: Box<str>, record: Vec<u8> },
    /// Writes one log line.
    Log(Vec<u8>),
    /// Looks at certificates from now on.
    Watch(Box<Watched>),
    /// Reads certificates now, from these files from now on.
    Reread(Box<CertificateSource>),
    /// Does what would keep a shard from its sockets.
    Run(fn()),
    /// Ends the thread after what was queued before.
    Stop,
}

/// A handle to the control thread: cheap to clone, never blocks.
#[derive(Debug, Clone)]
pub struct Control {
    commands: SyncSender<Command>,
}

/// The running thread.
#[derive(Debug)]
pub struct ControlThread {
    control: Control,
    thread: JoinHandle<()>,
}

impl ControlThread {
    /// Starts the thread. Records go to `state`, if there is one; log lines to standard error.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(state: Option<StateDir>) -> io::Result<Self> {
        let (commands, received) = sync_channel(CONTROL_QUEUE_MAX);
        let thread =
            std::thread::Builder::new().name("control".into()).spawn(move || run(&received, state))?;
        Ok(Self { control: Control { commands }, thread })
    }

    /// A handle for a shard.
    pub fn handle(&self) -> Control {
        self.control.clone()
    }

    /// Finishes what is queued and ends the thread.
    pub fn stop(self) {
        // A full queue drains, so this waits; a dead thread has nothing left to finish.
        if self.control.commands.send(Command::Stop).is_ok() {
            let _ = self.thread.join();
        }
    }
}

impl Control {
    /// Keeps `record` as the newest of the stream `name`. A full queue drops it: the next segment
    /// brings a newer one.
    ///
    /// Returns false when it was dropped.
    pub fn save(&self, name: &str, record: Vec<u8>) -> bool {
        self.try_send(Command::Save { name: name.into(), record })
    }

    /// Has the thread run `work` when it comes to it. A full queue drops it.
    ///
    /// Returns false when it was dropped.
    pub fn run(&self, work: fn()) -> bool {
        self.try_send(Command::Run(work))
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

    fn try_send(&self, command: Command) -> bool {
        match self.commands.try_send(command) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }
}

fn run(commands: &Receiver<Command>, state: Option<StateDir>) {
    let mut watched: Option<Box<Watched>> = None;
    loop {
        let command = match &watched {
            Some(_) => commands.recv_timeout(Duration::from_millis(CERTIFICATE_LOOK_EVERY_MS)),
            None => commands.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        // A busy log must not keep a renewed certificate waiting.
        watched.iter_mut().for_each(|watched| watched.look());
        match command {
            Ok(Command::Save { name, record }) => {
                let Some(state) = &state else { continue };
                if let Err(error) = state.save(&name, &record) {
                    log::write(format!("control: {error}\n").as_bytes());
                }
            }
            Ok(Command::Log(line)) => log::write(&line),
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
