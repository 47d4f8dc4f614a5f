//! `rapidrtmp replay`: a recorded ingest through the code that serves it, without sockets or a clock.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rapidrtmp::hls::EventBody;
use rapidrtmp::origin::recording::{
    Change, Ending, Entry, Files, RecordingError, Replay, Replayed, read_magic,
};
use sha2::{Digest, Sha256};

use super::cli::ReplayFlags;
use super::server::Failure;

/// Read from the file at a time.
const READ_BYTES: usize = 1024 * 1024;
const PROGRESS_EVERY: Duration = Duration::from_secs(2);

/// Reads the recording, makes all calls in it, and tells what came of them. What is whole of a broken or truncated
/// file is replayed; then that is the failure.
pub fn replay(flags: &ReplayFlags) -> Result<(), Failure> {
    let path = flags.file.display().to_string();
    let in_file = |source| Failure::File { path: path.clone(), source };
    let file = File::open(&flags.file).map_err(in_file)?;
    let length = file.metadata().map_err(in_file)?.len();
    let mut replayer = Replayer {
        recording: Recording { file, path: path.clone(), length, buffer: Vec::new(), start: 0, offset: 0 },
        replay: Replay::default(),
        files: Files::default(),
        output: Output::new(flags.out.as_deref())?,
        summary: Summary::default(),
    };
    let replayed = replayer.run();
    let told = replayer.tell();
    replayed.and(told)
}

struct Replayer {
    recording: Recording,
    replay: Replay,
    files: Files,
    output: Output,
    summary: Summary,
}

/// The file, read in order.
struct Recording {
    file: File,
    path: String,
    length: u64,
    /// What was read and not used before `start`.
    buffer: Vec<u8>,
    start: usize,
    /// Of `buffer[start]` in the file.
    offset: u64,
}

#[derive(Default)]
struct Summary {
    stream: String,
    began_us: Option<u64>,
    publishers: u64,
    sessions: u64,
    parts: u64,
    segments: u64,
    playlists: u64,
    /// Calls at which the home failed, which ended a publisher.
    failures: u64,
    first_failure: Option<String>,
}

impl Replayer {
    fn run(&mut self) -> Result<(), Failure> {
        let mut progress_at = Instant::now() + PROGRESS_EVERY;
        let magic = self.recording.whole(read_magic)?;
        self.recording.used(magic);
        while !self.recording.is_at_end(&self.replay)? {
            self.recording.whole(Entry::measure)?;
            let read = Entry::read(self.recording.rest());
            let (entry, count) = match read {
                Ok(Some(read)) => read,
                Ok(None) => return Err(self.recording.truncated()),
                Err(error) => return Err(self.recording.broken(&error.to_string())),
            };
            match &entry {
                Entry::Begin(beginning) => self.summary.begin(&beginning.stream, &beginning.server),
                Entry::Attach(..) => self.summary.publishers += 1,
                _ => {}
            }
            // As the server does, which ends the stream then.
            let called = catch_unwind(AssertUnwindSafe(|| self.replay.apply(entry)));
            let replayed = match called {
                Ok(Ok(replayed)) => replayed,
                Ok(Err(error)) => return Err(self.recording.broken(&error.to_string())),
                Err(_) => return Err(self.recording.broken("the stream's core panicked at this call")),
            };
            self.recording.used(count);
            self.follow(replayed)?;
            if Instant::now() >= progress_at {
                progress_at = Instant::now() + PROGRESS_EVERY;
                let percent = self.recording.offset * 100 / self.recording.length.max(1);
                eprintln!("rapidrtmp: {percent} % replayed");
            }
        }
        Ok(())
    }

    /// Writes down what a call has changed.
    fn follow(&mut self, replayed: Replayed) -> Result<(), Failure> {
        let now_us = self.replay.now().monotonic_us;
        let since_us = now_us.saturating_sub(*self.summary.began_us.get_or_insert(now_us));
        if let Some(failure) = replayed.failure {
            self.summary.failures += 1;
            self.summary.first_failure.get_or_insert_with(|| failure.to_string());
        }
        let events = replayed.output.events;
        events.iter().for_each(|event| self.summary.count(&event.body));
        let Some(home) = self.replay.home_mut() else { return Ok(()) };
        for change in self.files.changes(home, &events) {
            self.summary.playlists += u64::from(change.path.ends_with(".m3u8"));
            self.output.write(since_us, &change)?;
        }
        Ok(())
    }

    /// The summary, and the last of the output.
    fn tell(&mut self) -> Result<(), Failure> {
        let digest = self.output.finish()?;
        let Summary { stream, publishers, sessions, parts, segments, playlists, .. } = &self.summary;
        if stream.is_empty() {
            return Ok(());
        }
        let began_us = self.summary.began_us.unwrap_or_default();
        let ms = self.replay.now().monotonic_us.saturating_sub(began_us) / 1000;
        let mut text = format!(
            "{stream}: {}.{:03} s, publishers {publishers}, sessions {sessions}, parts {parts}, segments {segments}, changes of playlists {playlists}, digest {digest}\n",
            ms / 1000,
            ms % 1000,
        );
        if let Some(failure) = &self.summary.first_failure {
            let count = self.summary.failures;
            text.push_str(&format!("publishers ended by a failure {count}, the first one: {failure}\n"));
        }
        match self.replay.ending() {
            Some(Ending::Complete) | None => {}
            Some(early) => text.push_str(&format!("the recording ends early: {}\n", early.as_str())),
        }
        // Unlike print!, no panic when nobody reads.
        let told = io::stdout().write_all(text.as_bytes());
        told.map_err(|source| Failure::Io { what: "standard output", source })
    }
}

impl Recording {
    fn rest(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    fn used(&mut self, count: usize) {
        self.start += count;
        self.offset += count as u64;
    }

    /// Reads until `measure` finds something whole, and returns its length.
    fn whole(
        &mut self,
        measure: fn(&[u8]) -> Result<Option<usize>, RecordingError>,
    ) -> Result<usize, Failure> {
        loop {
            match measure(self.rest()) {
                Ok(Some(count)) => return Ok(count),
                Ok(None) if self.read_more()? => {}
                Ok(None) => return Err(self.truncated()),
                Err(error) => return Err(self.broken(&error.to_string())),
            }
        }
    }

    /// Nothing is left of a recording that has said that it ends.
    fn is_at_end(&mut self, replay: &Replay) -> Result<bool, Failure> {
        Ok(replay.ending().is_some() && self.rest().is_empty() && !self.read_more()?)
    }

    /// False at the end of the file. An entry has a bound, and so has what is kept of the file.
    fn read_more(&mut self) -> Result<bool, Failure> {
        self.buffer.drain(..self.start);
        self.start = 0;
        let read = (&self.file).take(READ_BYTES as u64).read_to_end(&mut self.buffer);
        let count = read.map_err(|source| Failure::File { path: self.path.clone(), source })?;
        Ok(count > 0)
    }

    fn broken(&self, what: &str) -> Failure {
        Failure::Text(format!("{}: byte {}: {what}", self.path, self.offset))
    }

    fn truncated(&self) -> Failure {
        self.broken("the recording is cut off here; what is before it was replayed")
    }
}

impl Summary {
    fn begin(&mut self, stream: &str, server: &str) {
        stream.clone_into(&mut self.stream);
        let own = env!("CARGO_PKG_VERSION");
        if server != own {
            eprintln!(
                "rapidrtmp: recorded by version {server}, replayed by {own}: what comes out may differ"
            );
        }
    }

    fn count(&mut self, event: &EventBody) {
        match event {
            EventBody::Start(_) => self.sessions += 1,
            EventBody::Part(_) => self.parts += 1,
            EventBody::Close(_) => self.segments += 1,
            EventBody::PartAndClose(..) => {
                self.parts += 1;
                self.segments += 1;
            }
            _ => {}
        }
    }
}

/// Where files go, and one digest of them all.
struct Output {
    folder: Option<(PathBuf, BufWriter<File>)>,
    digest: Sha256,
}

impl Output {
    fn new(path: Option<&Path>) -> Result<Self, Failure> {
        let folder = match path {
            None => None,
            Some(path) => {
                let failed = |source| Failure::File { path: path.display().to_string(), source };
                fs::create_dir_all(path).map_err(failed)?;
                if fs::read_dir(path).map_err(failed)?.next().is_some() {
                    return Err(Failure::Text(format!("--out {}: it is not empty", path.display())));
                }
                let changes = File::create_new(path.join("changes.txt")).map_err(failed)?;
                Some((path.to_owned(), BufWriter::new(changes)))
            }
        };
        Ok(Self { folder, digest: Sha256::new() })
    }

    /// A file as it is from `since_us` on, and its line among the changes.
    fn write(&mut self, since_us: u64, change: &Change) -> Result<(), Failure> {
        let (digest, length) = match &change.body {
            Some(body) => (hex(&Sha256::digest(body)), body.len()),
            None => ("404".to_owned(), 0),
        };
        let (seconds, us) = (since_us / 1_000_000, since_us % 1_000_000);
        let line = format!("{seconds}.{us:06} {digest} {length} {}\n", change.path);
        self.digest.update(&line);
        let Some((folder, changes)) = &mut self.folder else { return Ok(()) };
        // Names of streams and renditions hold nothing that leads elsewhere.
        let path = folder.join(change.path.trim_start_matches('/'));
        let failed = |source| Failure::File { path: path.display().to_string(), source };
        changes.write_all(line.as_bytes()).map_err(failed)?;
        let Some(body) = &change.body else { return Ok(()) };
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(failed)?;
        }
        fs::write(&path, body).map_err(failed)
    }

    fn finish(&mut self) -> Result<String, Failure> {
        if let Some((_, changes)) = &mut self.folder {
            changes.flush().map_err(|source| Failure::Io { what: "changes.txt", source })?;
        }
        Ok(hex(&std::mem::take(&mut self.digest).finalize()))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
