//! What a fuzzer calls with any bytes: each must return, and keep the promise it checks.

use rapidrtmp::limits::RECORDING_ENTRY_BYTES_MAX;
use rapidrtmp::origin::recording::{Entry, Files, MAGIC, Replay, read_magic};

/// Any bytes as a recording behind its first line: an error or a replay, and what was read is what would be written.
/// Returns how many calls were made.
pub fn recording(data: &[u8]) -> usize {
    let first = [MAGIC.as_slice(), data].concat();
    let mut rest = &first[read_magic(&first).expect("its first line").expect("is whole")..];
    let (mut replay, mut files) = (Replay::default(), Files::default());
    let mut calls = 0;
    loop {
        let measured = Entry::measure(rest);
        let (entry, count) = match Entry::read(rest) {
            Ok(Some(read)) => read,
            Ok(None) => {
                assert!(matches!(measured, Ok(None)));
                return calls;
            }
            Err(_) => return calls,
        };
        assert!(matches!(measured, Ok(Some(measured)) if measured == count) && count <= rest.len());
        assert!(count <= RECORDING_ENTRY_BYTES_MAX as usize + 5);
        let mut written = Vec::new();
        entry.write(&mut written);
        let (again, _) = Entry::read(&written).expect("an entry").expect("is whole");
        assert_eq!(again, entry);
        rest = &rest[count..];
        let Ok(replayed) = replay.apply(entry) else { return calls };
        calls += 1;
        if let Some(home) = replay.home_mut() {
            for change in files.changes(home, &replayed.output.events) {
                assert!(change.path.starts_with('/') && !change.path.contains(".."));
            }
        }
    }
}
