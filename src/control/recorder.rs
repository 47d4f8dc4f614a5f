//! Recordings of ingests on disk, written by a thread of their own: a disk that is slow holds up neither a shard nor
//! what else is kept, and a recording that it cannot follow ends.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use crate::config::Ingest;
use crate::hls::Epoch;
use crate::limits::RECORDINGS_QUEUED_BYTES_MAX;
use crate::media::StreamName;
use crate::origin::recording::{Ending, Entry};

/// How the names of recordings end.
const EXTENSION: &str = "ingest";
/// Bytes of memory that a write takes besides its own.
const WRITE_BYTES: usize = 128;
/// Characters of a stream's name in a file's, which may have 255.
const NAME_CHARS_MAX: usize = 160;

/// Where recordings go, and how large they may grow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingOptions {
    directory: PathBuf,
    bytes_max: u64,
    total_bytes_max: u64,
}

impl RecordingOptions {
    /// As the settings have it for a stream; `None` when it is not to be recorded.
    pub fn of(ingest: &Ingest, name: &StreamName) -> Option<Self> {
        ingest.records(name.as_str()).then(|| Self {
            directory: PathBuf::from(&ingest.record_dir),
            bytes_max: ingest.record_bytes_max,
            total_bytes_max: ingest.record_total_bytes_max,
        })
    }
}

/// Makes the directory (mode 700) if it is not there, and finds out whether files can be written to it.
///
/// # Errors
/// What the file system says.
pub fn check_record_dir(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let probe = path.join(format!("probe-{}", std::process::id()));
    File::create(&probe).and_then(|_| fs::remove_file(&probe))
}

enum Command {
    Begin { id: u64, name: StreamName, epoch: Epoch, options: RecordingOptions, is_over: Arc<AtomicBool> },
    Write { id: u64, bytes: Vec<u8> },
    End { id: u64, ending: Ending },
    Stop,
}

/// Hands what is to be recorded to the thread. Cheap to clone, never blocks: the channel takes everything, and who
/// writes asks for room in it first.
#[derive(Debug, Clone)]
pub(super) struct Recorder {
    commands: Sender<Command>,
    queued_bytes: Arc<AtomicUsize>,
    id_next: Arc<AtomicU64>,
}

/// One recording. Dropped, it is complete.
#[derive(Debug)]
pub struct Recording {
    recorder: Recorder,
    id: u64,
    /// Its file takes no more, whoever decided that.
    is_over: Arc<AtomicBool>,
}

impl Recorder {
    pub(super) fn start() -> io::Result<(Self, JoinHandle<()>)> {
        let (commands, received) = channel();
        let queued_bytes = Arc::<AtomicUsize>::default();
        let queued = Arc::clone(&queued_bytes);
        let thread =
            std::thread::Builder::new().name("recorder".into()).spawn(move || run(&received, &queued))?;
        Ok((Self { commands, queued_bytes, id_next: Arc::default() }, thread))
    }

    /// Ends all recordings and the thread.
    pub(super) fn stop(&self) {
        self.send(Command::Stop);
    }

    pub(super) fn begin(&self, name: &StreamName, epoch: Epoch, options: RecordingOptions) -> Recording {
        let id = self.id_next.fetch_add(1, Ordering::Relaxed);
        let is_over = Arc::<AtomicBool>::default();
        let begin = Command::Begin { id, name: name.clone(), epoch, options, is_over: Arc::clone(&is_over) };
        self.send(begin);
        Recording { recorder: self.clone(), id, is_over }
    }

    fn send(&self, command: Command) {
        // A thread that is gone has ended all recordings.
        let _ = self.commands.send(command);
    }
}

impl Recording {
    /// Goes on with these bytes, which are whole entries.
    ///
    /// Returns false when the recording is over: it was full, its file has failed, or the disk did not follow.
    pub fn write(&self, bytes: Vec<u8>) -> bool {
        if self.is_over.load(Ordering::Relaxed) {
            return false;
        }
        let queued = &self.recorder.queued_bytes;
        let room = |before: usize| {
            Some(before + bytes.len() + WRITE_BYTES).filter(|after| *after <= RECORDINGS_QUEUED_BYTES_MAX)
        };
        if queued.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_err() {
            self.end(Ending::Behind);
            return false;
        }
        self.recorder.send(Command::Write { id: self.id, bytes });
        true
    }

    /// Ends it; what comes later is not recorded.
    pub fn end(&self, ending: Ending) {
        if !self.is_over.swap(true, Ordering::Relaxed) {
            self.recorder.send(Command::End { id: self.id, ending });
        }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.end(Ending::Complete);
    }
}

fn run(commands: &Receiver<Command>, queued_bytes: &AtomicUsize) {
    let mut files = Files::default();
    while let Ok(command) = commands.recv() {
        match command {
            Command::Begin { id, name, epoch, options, is_over } => {
                files.begin(id, &name, epoch, options, is_over);
            }
            Command::Write { id, bytes } => {
                files.write(id, &bytes);
                queued_bytes.fetch_sub(bytes.len() + WRITE_BYTES, Ordering::Relaxed);
            }
            Command::End { id, ending } => files.end(id, ending),
            Command::Stop => return files.end_all(),
        }
    }
}

/// The recordings that are being written.
#[derive(Default)]
struct Files {
    open: HashMap<u64, Open>,
    /// Bytes of the recordings in each directory.
    totals: HashMap<PathBuf, u64>,
}

struct Open {
    name: StreamName,
    file: File,
    path: PathBuf,
    bytes: u64,
    options: RecordingOptions,
    is_over: Arc<AtomicBool>,
}

impl Files {
    fn begin(
        &mut self,
        id: u64,
        name: &StreamName,
        epoch: Epoch,
        options: RecordingOptions,
        is_over: Arc<AtomicBool>,
    ) {
        let mut readable = name.as_str().replace('/', "~");
        readable.truncate(NAME_CHARS_MAX);
        let path = options.directory.join(format!("{readable}-{epoch}.{EXTENSION}"));
        // Counted anew each time: somebody may have taken files away since.
        let total = match check_record_dir(&options.directory).and_then(|()| total(&options.directory)) {
            Ok(total) => total,
            Err(error) => return failed(name, &options.directory, &error, &is_over),
        };
        self.totals.insert(options.directory.clone(), total);
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(file) => {
                tracing::info!(stream = %name, file = %path.display(), "recording the ingest");
                self.open.insert(id, Open { name: name.clone(), file, path, bytes: 0, options, is_over });
            }
            Err(error) => failed(name, &path, &error, &is_over),
        }
    }

    fn write(&mut self, id: u64, bytes: &[u8]) {
        let Some(open) = self.open.get_mut(&id) else { return };
        let added = bytes.len() as u64;
        let total = self.totals.entry(open.options.directory.clone()).or_default();
        let room_for_end = end_of(Ending::Full).len() as u64;
        if open.bytes + added + room_for_end > open.options.bytes_max
            || *total + added + room_for_end > open.options.total_bytes_max
        {
            return self.end(id, Ending::Full);
        }
        *total += added;
        open.bytes += added;
        if let Err(error) = open.file.write_all(bytes) {
            failed(&open.name, &open.path, &error, &open.is_over);
            self.open.remove(&id);
        }
    }

    fn end(&mut self, id: u64, ending: Ending) {
        let Some(mut open) = self.open.remove(&id) else { return };
        open.is_over.store(true, Ordering::Relaxed);
        if let Err(error) = open.file.write_all(&end_of(ending)) {
            return failed(&open.name, &open.path, &error, &open.is_over);
        }
        let (stream, file, bytes) = (&open.name, open.path.display(), open.bytes);
        match ending {
            Ending::Complete | Ending::SwitchedOff => {
                tracing::info!(%stream, %file, bytes, "the recording has ended: {}", ending.as_str());
            }
            Ending::Behind | Ending::Full | Ending::Panicked => {
                tracing::warn!(%stream, %file, bytes, "the recording has ended: {}", ending.as_str());
            }
        }
    }

    fn end_all(&mut self) {
        let ids: Vec<u64> = self.open.keys().copied().collect();
        ids.into_iter().for_each(|id| self.end(id, Ending::Complete));
    }
}

fn end_of(ending: Ending) -> Vec<u8> {
    let mut bytes = Vec::new();
    Entry::End(ending).write(&mut bytes);
    bytes
}

fn failed(name: &StreamName, path: &Path, error: &io::Error, is_over: &AtomicBool) {
    is_over.store(true, Ordering::Relaxed);
    tracing::error!(stream = %name, "the ingest is not recorded: {}: {error}", path.display());
}

/// Bytes of the recordings in a directory.
fn total(directory: &Path) -> io::Result<u64> {
    let mut total = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|extension| extension == EXTENSION) {
            total += entry.metadata()?.len();
        }
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPOCH: Epoch = Epoch { started_unix_ms: 1_795_348_800_000, random: 7 };

    fn options(directory: &Path, bytes_max: u64, total_bytes_max: u64) -> RecordingOptions {
        RecordingOptions { directory: directory.to_owned(), bytes_max, total_bytes_max }
    }

    /// What a thread of its own makes of what `act` asks of it.
    fn with_recorder(act: impl FnOnce(&Recorder)) {
        let (recorder, thread) = Recorder::start().unwrap();
        act(&recorder);
        recorder.stop();
        thread.join().unwrap();
    }

    fn files(directory: &Path) -> Vec<Vec<u8>> {
        let mut paths: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths.iter().map(|path| fs::read(path).unwrap()).collect()
    }

    fn ends_with(file: &[u8], ending: Ending) -> bool {
        file.ends_with(&end_of(ending))
    }

    #[test]
    fn a_recording_holds_what_was_written_and_says_why_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("made");
        with_recorder(|recorder| {
            let name = |key| StreamName::new("live", key).unwrap();
            let all = || options(&directory, 1000, 10_000);
            let a = recorder.begin(&name("a"), EPOCH, all());
            assert!(a.write(b"one".to_vec()) && a.write(b"two".to_vec()));
            drop(a);
            let b = recorder.begin(&name("b"), EPOCH, all());
            b.end(Ending::SwitchedOff);
            assert!(!b.write(b"three".to_vec()));
            // Cut off by the end of the process.
            let c = recorder.begin(&name("c"), EPOCH, all());
            assert!(c.write(b"four".to_vec()));
            recorder.stop();
            let long = recorder.begin(&name(&"d".repeat(128)), EPOCH, all());
            assert!(long.write(b"nobody is there to write it".to_vec()));
        });
        let files = files(&directory);
        let ended = |bytes: &[u8], ending| [bytes, &end_of(ending)].concat();
        let expected = [
            ended(b"onetwo", Ending::Complete),
            ended(b"", Ending::SwitchedOff),
            ended(b"four", Ending::Complete),
        ];
        assert_eq!(files, expected);
    }

    #[test]
    fn the_longest_name_is_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let long = "n".repeat(128);
        with_recorder(|recorder| {
            let name = StreamName::new(&format!("{long}/{long}"), &long).unwrap();
            assert!(recorder.begin(&name, EPOCH, options(folder.path(), 1000, 1000)).write(vec![1; 10]));
        });
        assert_eq!(files(folder.path()).concat().len(), 10 + end_of(Ending::Complete).len());
    }

    #[test]
    fn each_bound_ends_a_recording_with_a_mark() {
        for (bytes_max, total_bytes_max, others) in [(100, 1000, 0), (1000, 100, 0), (1000, 1000, 900)] {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join(format!("zz.{EXTENSION}")), vec![0; others]).unwrap();
            // Another file does not count.
            fs::write(folder.path().join("notes.txt"), vec![0; 10_000]).unwrap();
            with_recorder(|recorder| {
                let name = StreamName::new("live", "a").unwrap();
                let recording =
                    recorder.begin(&name, EPOCH, options(folder.path(), bytes_max, total_bytes_max));
                // The end of it may come late to who writes; nothing more is written then.
                assert!((0..20).filter(|_| recording.write(vec![9; 10])).count() > 0);
            });
            let files = files(folder.path());
            assert!(ends_with(&files[0], Ending::Full), "{bytes_max} {total_bytes_max} {others}");
            let allowed = bytes_max.min(total_bytes_max - others as u64);
            let written = files[0].len() as u64;
            assert!(written <= allowed && written + 10 > allowed - 10, "{written} of {allowed}");
        }
    }

    /// Nobody reads the queue: the recording ends instead of growing, and its end is still queued.
    #[test]
    fn a_queue_that_is_full_ends_the_recording() {
        let (commands, received) = channel();
        let recorder = Recorder { commands, queued_bytes: Arc::default(), id_next: Arc::default() };
        let name = StreamName::new("live", "a").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let recording = recorder.begin(&name, EPOCH, options(folder.path(), u64::MAX / 2, u64::MAX / 2));
        let piece = 1024 * 1024;
        let taken = (0..64).take_while(|_| recording.write(vec![7; piece])).count();
        assert_eq!(taken, RECORDINGS_QUEUED_BYTES_MAX / (piece + WRITE_BYTES));
        assert!(!recording.write(Vec::new()));
        let queued = Arc::clone(&recorder.queued_bytes);
        recorder.stop();
        run(&received, &queued);
        assert_eq!(queued.load(Ordering::Relaxed), 0);
        let file = files(folder.path()).concat();
        assert_eq!(file.len(), taken * piece + end_of(Ending::Behind).len());
        assert!(ends_with(&file, Ending::Behind));
    }

    #[test]
    fn a_directory_that_cannot_be_written_to_is_told_at_once_and_ends_the_recording() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(check_record_dir(&file).is_err() && check_record_dir(&file.join("below")).is_err());
        check_record_dir(&folder.path().join("a/b")).unwrap();
        with_recorder(|recorder| {
            let name = StreamName::new("live", "a").unwrap();
            let recording = recorder.begin(&name, EPOCH, options(&file, 1000, 1000));
            while !recording.is_over.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
            assert!(!recording.write(vec![1]));
        });
    }
}
