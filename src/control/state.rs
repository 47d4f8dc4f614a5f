//! The state directory: one small file a stream with the numbers that must never go back, and the
//! secret that signs tokens.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::limits::{STATE_RECORD_BYTES_MAX, STATE_RECORDS_MAX};

/// A directory that only we write.
#[derive(Debug, Clone)]
pub struct StateDir {
    streams: PathBuf,
    secret: PathBuf,
    self_signed: PathBuf,
    lock: PathBuf,
}

/// The right to write records, of one process at a time; given back when it is dropped, and by the kernel
/// however the process ends.
#[derive(Debug)]
pub struct StateLock {
    _file: File,
}

/// What went wrong, with the path.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process keeps its numbers here: two would write over one another's.
    #[error("{}: another server uses this directory", path.display())]
    InUse {
        /// Which file is locked.
        path: PathBuf,
    },
    /// The secret can be read by others.
    #[error("{}: mode {found:o}, but a secret must be 600: chmod 600 it", path.display())]
    SecretReadable {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        found: u32,
    },
    /// The secret is empty or no text.
    #[error("{}: holds no secret; remove it to have one made", path.display())]
    SecretEmpty {
        /// Which file.
        path: PathBuf,
    },
}

impl StateDir {
    /// Opens `path`, making it (mode 700) if it is not there.
    ///
    /// # Errors
    /// [`StateError::Io`] when it cannot be made or is not a directory.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        let streams = path.join("streams");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&streams).map_err(at(&streams))?;
        let [secret, self_signed, lock] = ["token_secret", "self_signed", "lock"].map(|name| path.join(name));
        Ok(Self { streams, secret, self_signed, lock })
    }

    /// Takes the directory for this process.
    ///
    /// # Errors
    /// [`StateError::InUse`] while another one has it, [`StateError::Io`] where files cannot be locked.
    pub fn lock(&self) -> Result<StateLock, StateError> {
        let path = &self.lock;
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
        let file = file.map_err(at(path))?;
        match file.try_lock() {
            Ok(()) => Ok(StateLock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(StateError::InUse { path: path.clone() }),
            Err(TryLockError::Error(error)) => Err(at(path)(error)),
        }
    }

    /// Finds out now, and not at the first segment, that nothing can be kept here.
    ///
    /// # Errors
    /// [`StateError::Io`] when no file can be written.
    pub fn check_writable(&self) -> Result<(), StateError> {
        let probe = self.streams.join("probe");
        fs::File::create(&probe).map_err(at(&probe))?;
        // `check` beside a server that starts may have been first.
        fs::remove_file(&probe).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(at(&probe)(error)),
        })
    }

    /// The kept secret, or `fresh` kept from now on.
    ///
    /// # Errors
    /// [`StateError`] when it cannot be read or written, or when others can read it.
    pub fn secret_or(&self, fresh: &str) -> Result<String, StateError> {
        if let Some(secret) = self.secret()? {
            return Ok(secret);
        }
        self.replace(&self.secret, fresh.as_bytes())?;
        Ok(fresh.to_owned())
    }

    /// The kept secret; `None` before there is one.
    ///
    /// # Errors
    /// [`StateError`] when it cannot be read, or when others can read it.
    pub fn secret(&self) -> Result<Option<String>, StateError> {
        let path = &self.secret;
        match fs::metadata(path) {
            Ok(metadata) => {
                let found = metadata.permissions().mode() & 0o777;
                if found & 0o077 != 0 {
                    return Err(StateError::SecretReadable { path: path.clone(), found });
                }
                let secret = fs::read_to_string(path).map_err(at(path))?.trim().to_owned();
                if secret.is_empty() {
                    Err(StateError::SecretEmpty { path: path.clone() })
                } else {
                    Ok(Some(secret))
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(at(path)(error)),
        }
    }

    /// Every kept record with its stream's name; the newest [`STATE_RECORDS_MAX`] of them. Files that
    /// are no records of ours are passed over.
    ///
    /// # Errors
    /// [`StateError::Io`] when the directory cannot be read.
    pub fn load(&self) -> Result<Vec<(String, Vec<u8>)>, StateError> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.streams).map_err(at(&self.streams))? {
            let entry = entry.map_err(at(&self.streams))?;
            let file_name = entry.file_name();
            let Some(stem) = file_name.to_str().and_then(|name| name.strip_suffix(".json")) else { continue };
            let metadata = entry.metadata().map_err(at(&entry.path()))?;
            if metadata.len() <= STATE_RECORD_BYTES_MAX {
                files.push((
                    metadata.modified().map_err(at(&entry.path()))?,
                    stem.replace('~', "/"),
                    entry.path(),
                ));
            }
        }
        files.sort_by_key(|file| std::cmp::Reverse(file.0));
        files.truncate(STATE_RECORDS_MAX);
        files.into_iter().map(|(_, name, path)| Ok((name, fs::read(&path).map_err(at(&path))?))).collect()
    }

    /// Replaces a stream's record: the old one or the new one is there at any moment, never half of one.
    ///
    /// # Errors
    /// [`StateError::Io`].
    pub fn save(&self, name: &str, record: &[u8]) -> Result<(), StateError> {
        // A name holds no `~`, so no two names share a file.
        self.replace(&self.streams.join(format!("{}.json", name.replace('/', "~"))), record)
    }

    /// Where the certificate that was made here is kept.
    pub(super) fn self_signed_chain(&self) -> PathBuf {
        self.self_signed.with_extension("pem")
    }

    /// Its key.
    pub(super) fn self_signed_key(&self) -> PathBuf {
        self.self_signed.with_extension("key")
    }

    pub(super) fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), StateError> {
        let fresh = path.with_extension("new");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&fresh).map_err(at(&fresh))?;
        file.write_all(bytes).and_then(|()| file.sync_data()).map_err(at(&fresh))?;
        fs::rename(&fresh, path).map_err(at(path))
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> StateError + '_ {
    |source| StateError::Io { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_under_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        state.save("live/demo", b"{1}").unwrap();
        state.save("live/demo", b"{2}").unwrap();
        state.save("a/b/c", b"{3}").unwrap();
        fs::write(folder.path().join("streams/readme.txt"), "not ours").unwrap();
        let mut records = StateDir::open(folder.path()).unwrap().load().unwrap();
        records.sort();
        assert_eq!(
            records,
            [("a/b/c".to_owned(), b"{3}".to_vec()), ("live/demo".to_owned(), b"{2}".to_vec())]
        );
    }

    #[test]
    fn a_directory_that_takes_no_file_is_told_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        state.check_writable().unwrap();
        assert_eq!(fs::read_dir(folder.path().join("streams")).unwrap().count(), 0);
        // Modes do not hold root back, a directory in the way does.
        fs::create_dir(folder.path().join("streams/probe")).unwrap();
        assert!(matches!(state.check_writable(), Err(StateError::Io { .. })));
    }

    #[test]
    fn a_directory_is_of_one_server_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let open = || StateDir::open(folder.path()).unwrap();
        let lock = open().lock().unwrap();
        assert!(matches!(open().lock(), Err(StateError::InUse { .. })));
        drop(lock);
        open().lock().unwrap();
    }

    #[test]
    fn a_secret_is_made_once_and_must_be_private() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        assert_eq!(state.secret_or("first").unwrap(), "first");
        assert_eq!(state.secret_or("second").unwrap(), "first");
        let path = folder.path().join("token_secret");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(state.secret_or("third"), Err(StateError::SecretReadable { found: 0o644, .. })));
    }
}
