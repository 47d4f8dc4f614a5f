//! Entries to bytes and back. A reader trusts nothing: a recording may come from anybody who reports a bug.

use std::borrow::Cow;

use super::{Ending, Entry, MAGIC};
use crate::limits::RECORDING_ENTRY_BYTES_MAX;
use crate::media::{Now, TrackKind};
use crate::origin::home::{Departure, PublisherId};
use crate::rtmp::amf::{AmfError, read_values};
use crate::rtmp::{MediaFragment, Role, StreamMetadata};
use crate::wire::{Reader, Truncated};

const TIME: u8 = 0;
const BEGIN: u8 = 1;
const SETTINGS: u8 = 2;
const ATTACH: u8 = 3;
const METADATA: u8 = 4;
const MEDIA: u8 = 5;
const ABORTED: u8 = 6;
const DETACH: u8 = 7;
const STOP: u8 = 8;
const TICK: u8 = 9;
const END: u8 = 10;

const FLAG_VIDEO: u8 = 1;
const FLAG_FIRST: u8 = 2;
const FLAG_LAST: u8 = 4;

/// Bytes before an entry's body.
const HEAD_BYTES: usize = 1 + 4;

const ENDINGS: [Ending; 5] =
    [Ending::Complete, Ending::Behind, Ending::Full, Ending::SwitchedOff, Ending::Panicked];

/// What is wrong with a recording.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// Its first line is another one.
    #[error("no ingest recording of a version that is known here")]
    Magic,
    /// An entry that nobody writes.
    #[error("an entry of {found} bytes; {RECORDING_ENTRY_BYTES_MAX} are allowed")]
    TooLong {
        /// Bytes that it would have.
        found: u32,
    },
    /// An entry is too short for its kind.
    #[error("an entry is too short: {0}")]
    Truncated(#[from] Truncated),
    /// Settings that cannot be read.
    #[error("settings: {0}")]
    Settings(#[from] serde_json::Error),
    /// Metadata that cannot be read.
    #[error("metadata: {0}")]
    Metadata(#[from] AmfError),
    /// A value that is not defined.
    #[error("an unknown {0}")]
    Unknown(&'static str),
    /// It is none that could have followed those before it.
    #[error("{0}")]
    OutOfPlace(&'static str),
}

/// Reads the first line. `None` when there are too few bytes to tell; else how many it has.
///
/// # Errors
/// [`RecordingError::Magic`].
pub fn read_magic(bytes: &[u8]) -> Result<Option<usize>, RecordingError> {
    let count = bytes.len().min(MAGIC.len());
    if bytes[..count] != MAGIC[..count] {
        return Err(RecordingError::Magic);
    }
    Ok((count == MAGIC.len()).then_some(count))
}

impl<'a> Entry<'a> {
    /// Appends it to `output`.
    pub fn write(&self, output: &mut Vec<u8>) {
        let (kind, length_at) = (self.kind(), output.len() + 1);
        output.extend([kind, 0, 0, 0, 0]);
        match self {
            Self::Time(now) => {
                output.extend(now.monotonic_us.to_be_bytes());
                output.extend(now.unix_us.to_be_bytes());
            }
            Self::Begin(beginning) => output.extend(json(beginning)),
            Self::Settings(settings) => output.extend(json(settings)),
            Self::Attach(id, role) => {
                output.extend(id.0.to_be_bytes());
                output.push(u8::from(*role == Role::Backup));
            }
            Self::Metadata(id, metadata) => {
                output.extend(id.0.to_be_bytes());
                metadata.write(output);
            }
            Self::Media(id, media) => {
                output.extend(id.0.to_be_bytes());
                let flag = |is: bool, flag| if is { flag } else { 0 };
                let flags = flag(media.first, FLAG_FIRST) | flag(media.last, FLAG_LAST);
                output.push(flags | video_flag(media.kind));
                output.extend(media.timestamp_ms.to_be_bytes());
                output.extend(media.message_bytes.to_be_bytes());
                output.extend(media.payload);
            }
            Self::Aborted(id, kind) => {
                output.extend(id.0.to_be_bytes());
                output.push(video_flag(*kind));
            }
            Self::Detach(id, departure) => {
                output.extend(id.0.to_be_bytes());
                output.push(u8::from(*departure == Departure::Lost));
            }
            Self::Stop | Self::Tick => {}
            Self::End(ending) => {
                let index = ENDINGS.iter().position(|known| known == ending);
                output.push(index.unwrap_or_default() as u8);
            }
        }
        // A piece of media is no longer than its message, which has a bound far below.
        let length = (output.len() - length_at - 4) as u32;
        output[length_at..length_at + 4].copy_from_slice(&length.to_be_bytes());
    }

    /// Bytes of the entry that `bytes` begin with. `None` when more are needed.
    ///
    /// # Errors
    /// [`RecordingError::TooLong`].
    pub fn measure(bytes: &[u8]) -> Result<Option<usize>, RecordingError> {
        let mut reader = Reader::new(bytes);
        let (Ok(_), Ok(length)) = (reader.u8(), reader.u32()) else { return Ok(None) };
        if length > RECORDING_ENTRY_BYTES_MAX {
            return Err(RecordingError::TooLong { found: length });
        }
        Ok(Some(HEAD_BYTES + length as usize).filter(|count| *count <= bytes.len()))
    }

    /// Reads the entry that `bytes` begin with, and how many bytes it has. `None` when more are needed.
    ///
    /// # Errors
    /// [`RecordingError`] for what is no entry.
    pub fn read(bytes: &'a [u8]) -> Result<Option<(Self, usize)>, RecordingError> {
        let Some(count) = Self::measure(bytes)? else { return Ok(None) };
        Ok(Some((Self::read_body(bytes[0], &bytes[HEAD_BYTES..count])?, count)))
    }

    fn read_body(kind: u8, body: &'a [u8]) -> Result<Self, RecordingError> {
        let mut reader = Reader::new(body);
        let entry = match kind {
            TIME => Self::Time(Now { monotonic_us: reader.u64()?, unix_us: reader.u64()? }),
            BEGIN => Self::Begin(Box::new(serde_json::from_slice(rest(&mut reader)?)?)),
            SETTINGS => Self::Settings(serde_json::from_slice(rest(&mut reader)?)?),
            ATTACH => match (publisher(&mut reader)?, reader.u8()?) {
                (id, 0) => Self::Attach(id, Role::Primary),
                (id, 1) => Self::Attach(id, Role::Backup),
                _ => return Err(RecordingError::Unknown("role")),
            },
            METADATA => {
                let id = publisher(&mut reader)?;
                let metadata = StreamMetadata::from_values(&read_values(rest(&mut reader)?)?);
                Self::Metadata(id, Cow::Owned(metadata.ok_or(RecordingError::Unknown("metadata"))?))
            }
            MEDIA => {
                let (id, flags) = (publisher(&mut reader)?, flags(&mut reader)?);
                let (timestamp_ms, message_bytes) = (reader.u32()?, reader.u32()?);
                let fragment = MediaFragment {
                    kind: track_kind(flags),
                    timestamp_ms,
                    message_bytes,
                    payload: rest(&mut reader)?,
                    first: flags & FLAG_FIRST != 0,
                    last: flags & FLAG_LAST != 0,
                };
                Self::Media(id, fragment)
            }
            ABORTED => Self::Aborted(publisher(&mut reader)?, track_kind(flags(&mut reader)?)),
            DETACH => match (publisher(&mut reader)?, reader.u8()?) {
                (id, 0) => Self::Detach(id, Departure::Unpublished),
                (id, 1) => Self::Detach(id, Departure::Lost),
                _ => return Err(RecordingError::Unknown("departure")),
            },
            STOP => Self::Stop,
            TICK => Self::Tick,
            END => {
                let ending = ENDINGS.get(usize::from(reader.u8()?));
                Self::End(*ending.ok_or(RecordingError::Unknown("ending"))?)
            }
            _ => return Err(RecordingError::Unknown("kind of entry")),
        };
        if reader.is_empty() { Ok(entry) } else { Err(RecordingError::Unknown("end of an entry")) }
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Time(_) => TIME,
            Self::Begin(_) => BEGIN,
            Self::Settings(_) => SETTINGS,
            Self::Attach(..) => ATTACH,
            Self::Metadata(..) => METADATA,
            Self::Media(..) => MEDIA,
            Self::Aborted(..) => ABORTED,
            Self::Detach(..) => DETACH,
            Self::Stop => STOP,
            Self::Tick => TICK,
            Self::End(_) => END,
        }
    }
}

fn json(value: &impl serde::Serialize) -> Vec<u8> {
    // Plain fields, numbers and text: nothing in them fails to be written.
    serde_json::to_vec(value).unwrap_or_default()
}

fn rest<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Truncated> {
    reader.take(reader.remaining())
}

fn publisher(reader: &mut Reader<'_>) -> Result<PublisherId, Truncated> {
    reader.u64().map(PublisherId)
}

fn flags(reader: &mut Reader<'_>) -> Result<u8, RecordingError> {
    let flags = reader.u8()?;
    let is_known = flags <= FLAG_VIDEO | FLAG_FIRST | FLAG_LAST;
    if is_known { Ok(flags) } else { Err(RecordingError::Unknown("flag")) }
}

fn video_flag(kind: TrackKind) -> u8 {
    if kind == TrackKind::Video { FLAG_VIDEO } else { 0 }
}

fn track_kind(flags: u8) -> TrackKind {
    if flags & FLAG_VIDEO != 0 { TrackKind::Video } else { TrackKind::Audio }
}
