//! Received chunks to fragments of messages (Adobe RTMP 1.0, 5.3.1).
//!
//! Header state is kept per chunk stream: encoders put audio, video and commands on one and use
//! differences across the types. Set Chunk Size and Abort take effect here, at once, even between two
//! chunks of a message.

use super::EXTENDED;
use crate::limits::{
    RTMP_CHUNK_BYTES_DEFAULT, RTMP_CHUNK_BYTES_MAX, RTMP_CHUNK_STREAMS_MAX,
    RTMP_COMMAND_BYTES_MAX_BEFORE_PUBLISH, RTMP_HEADER_CREDIT_BYTES, RTMP_PARTIAL_MESSAGES_MAX,
    RTMP_PAYLOAD_BYTES_PER_HEADER_MIN,
};
use crate::rtmp::message::{CONTROL_CHUNK_STREAM, MessageHeader, message_bytes_max, message_type};
use crate::wire::{Reader, Truncated};

/// Basic header 3, message header 11, extended timestamp 4.
const HEADER_BYTES_MAX: usize = 18;

/// Why a chunk was refused. Offsets count from the end of the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// A compressed header without one before it.
    #[error("chunk stream {chunk_stream} begins with a header of type {format}, at byte {offset}")]
    NothingToRepeat {
        /// Which chunk stream.
        chunk_stream: u32,
        /// Type of the header, 1 to 3.
        format: u8,
        /// Where.
        offset: u64,
    },
    /// One chunk stream too many.
    #[error(
        "chunk stream {chunk_stream} is one more than the {RTMP_CHUNK_STREAMS_MAX} allowed, at byte {offset}"
    )]
    TooManyChunkStreams {
        /// Which chunk stream.
        chunk_stream: u32,
        /// Where.
        offset: u64,
    },
    /// One half-received message too many.
    #[error(
        "chunk stream {chunk_stream} begins one more than {RTMP_PARTIAL_MESSAGES_MAX} messages at once, at byte {offset}"
    )]
    TooManyPartialMessages {
        /// Which chunk stream.
        chunk_stream: u32,
        /// Where.
        offset: u64,
    },
    /// A message longer than its type allows.
    #[error(
        "chunk stream {chunk_stream}: a message of type {type_id} has {found} bytes, {allowed} are allowed, at byte {offset}"
    )]
    MessageTooLarge {
        /// Which chunk stream.
        chunk_stream: u32,
        /// The message's type.
        type_id: u8,
        /// Bytes declared.
        found: u32,
        /// Bytes allowed.
        allowed: u32,
        /// Where.
        offset: u64,
    },
    /// A header inside a message that describes another message.
    #[error("chunk stream {chunk_stream}: the header changes inside a message, at byte {offset}")]
    HeaderChanged {
        /// Which chunk stream.
        chunk_stream: u32,
        /// Where.
        offset: u64,
    },
    /// Set Chunk Size or Abort with another length than 4.
    #[error("a message of type {type_id} has {found} bytes instead of 4, at byte {offset}")]
    ControlLength {
        /// The message's type.
        type_id: u8,
        /// Bytes declared.
        found: u32,
        /// Where.
        offset: u64,
    },
    /// A chunk size of zero, or with the top bit set.
    #[error("the chunk size is set to {found}; 1 to 2147483647 is allowed, at byte {offset}")]
    ChunkSize {
        /// The value.
        found: u32,
        /// Where.
        offset: u64,
    },
    /// More headers than payload justifies.
    #[error(
        "less than {RTMP_PAYLOAD_BYTES_PER_HEADER_MIN} payload bytes for each continuation header, at byte {offset}"
    )]
    HeaderFlood {
        /// Where.
        offset: u64,
    },
}

/// A piece of a message's payload, borrowed from what was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fragment<'a> {
    /// The chunk stream it came on.
    pub chunk_stream: u32,
    /// The message it belongs to.
    pub header: MessageHeader,
    /// Never empty, but in a message without payload.
    pub payload: &'a [u8],
    /// The message begins with it.
    pub first: bool,
    /// The message is complete with it.
    pub last: bool,
}

/// What the reader found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChunkEvent<'a> {
    /// The next piece of a message.
    Fragment(Fragment<'a>),
    /// The sender gave up this message; its remaining bytes never come.
    Aborted {
        /// The chunk stream it came on.
        chunk_stream: u32,
        /// The message.
        header: MessageHeader,
    },
}

/// One chunk stream's memory.
#[derive(Debug)]
struct ChunkStream {
    id: u32,
    /// Of the newest message.
    header: MessageHeader,
    /// What a type 3 header that begins a message adds.
    delta_ms: u32,
    /// The extended timestamp field of the newest header that could have one.
    extended: Option<u32>,
    /// That header was of type 0, so the field is a time and not a difference.
    absolute: bool,
    /// The newest message is not complete.
    partial: bool,
    /// Its bytes so far; less than `header.message_bytes` while `partial`.
    received_bytes: u32,
    /// The payload of Set Chunk Size and Abort so far.
    control: u32,
}

/// A header, understood but not yet applied.
#[derive(Debug, Clone, Copy)]
struct ParsedHeader {
    header_bytes: usize,
    chunk_stream: u32,
    format: u8,
    /// The timestamp field, extended or not; `None` when type 3 has none.
    time: Option<u32>,
    extended: bool,
    /// Length and type, for types 0 and 1.
    shape: Option<(u32, u8)>,
    /// For type 0.
    message_stream: Option<u32>,
    /// What this header proved about extended timestamps on continuations.
    repeats_extended: Option<bool>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Header,
    /// Inside a chunk of `streams[stream]`, with `left` bytes to come; 0 only in a message without payload.
    Payload {
        stream: usize,
        left: u32,
    },
}

/// Reads one connection's chunks after the handshake.
#[derive(Debug)]
pub struct ChunkReader {
    streams: Vec<ChunkStream>,
    state: State,
    /// The peer's chunk size; at most [`RTMP_CHUNK_BYTES_MAX`].
    chunk_bytes: u32,
    command_bytes_max: u32,
    /// Bytes of a header that the last input cut; behind a header, in `Payload`, bytes of payload that were
    /// taken for one.
    held: [u8; HEADER_BYTES_MAX],
    held_count: usize,
    /// Whether continuations repeat the extended timestamp: the first one decides for the connection.
    repeats_extended: Option<bool>,
    partial_count: usize,
    /// Falls with continuation headers, rises with payload; below zero the peer floods.
    header_credit: i64,
    aborted: Option<(u32, MessageHeader)>,
    offset: u64,
}

impl Default for ChunkReader {
    fn default() -> Self {
        Self::new()
    }
}

impl ChunkReader {
    /// A reader at the end of the handshake.
    pub fn new() -> Self {
        Self {
            streams: Vec::new(),
            state: State::Header,
            chunk_bytes: RTMP_CHUNK_BYTES_DEFAULT,
            command_bytes_max: RTMP_COMMAND_BYTES_MAX_BEFORE_PUBLISH,
            held: [0; HEADER_BYTES_MAX],
            held_count: 0,
            repeats_extended: None,
            partial_count: 0,
            header_credit: i64::from(RTMP_HEADER_CREDIT_BYTES),
            aborted: None,
            offset: 0,
        }
    }

    /// Bytes that a command or data message may have from now on.
    pub fn set_command_bytes_max(&mut self, command_bytes_max: u32) {
        self.command_bytes_max = command_bytes_max;
    }

    /// The chunk size that the peer has set.
    pub fn chunk_bytes(&self) -> u32 {
        self.chunk_bytes
    }

    /// Heap bytes that this reader holds.
    #[cfg(test)]
    pub(super) fn memory_bytes(&self) -> usize {
        self.streams.capacity() * size_of::<ChunkStream>()
    }

    /// The next event, consuming `input` up to its end; `None` when `input` is empty.
    ///
    /// # Errors
    /// [`ChunkError`]: the peer broke the protocol or a bound; nothing after it can be read.
    pub fn poll<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<ChunkEvent<'a>>, ChunkError> {
        self.poll_at_most(input, |_| usize::MAX)
    }

    /// As [`ChunkReader::poll`], with fragments of at most as many bytes as `bytes_max` says (at least one).
    ///
    /// # Errors
    /// As [`ChunkReader::poll`].
    pub fn poll_at_most<'a>(
        &mut self,
        input: &mut &'a [u8],
        bytes_max: impl FnOnce(&MessageHeader) -> usize,
    ) -> Result<Option<ChunkEvent<'a>>, ChunkError> {
        if let Some((chunk_stream, header)) = self.aborted.take() {
            return Ok(Some(ChunkEvent::Aborted { chunk_stream, header }));
        }
        loop {
            match self.state {
                State::Header => {
                    if !self.read_header(input)? {
                        return Ok(None);
                    }
                }
                State::Payload { stream, left } => {
                    let fragment = self.read_payload(input, stream, left, bytes_max)?;
                    return Ok(fragment.map(ChunkEvent::Fragment));
                }
            }
        }
    }

    /// Reads one header and enters its chunk; false when the input ended before.
    fn read_header(&mut self, input: &mut &[u8]) -> Result<bool, ChunkError> {
        if self.held_count == 0 {
            if let Ok(parsed) = self.parse_header(input) {
                self.consume(input, parsed.header_bytes);
                return self.enter_chunk(parsed).map(|()| true);
            }
        }
        loop {
            let held_before = self.held_count;
            match self.parse_header(&self.held[..held_before]) {
                Ok(parsed) => {
                    self.held.copy_within(parsed.header_bytes..held_before, 0);
                    self.held_count = held_before - parsed.header_bytes;
                    return self.enter_chunk(parsed).map(|()| true);
                }
                // One at a time: a byte that is not needed stays where it can be borrowed.
                Err(Truncated { .. }) => {
                    let Some(&byte) = input.first() else { return Ok(false) };
                    debug_assert!(held_before < HEADER_BYTES_MAX);
                    self.held[held_before] = byte;
                    self.held_count += 1;
                    self.consume(input, 1);
                }
            }
        }
    }

    fn consume(&mut self, input: &mut &[u8], count: usize) {
        *input = &input[count..];
        self.offset += count as u64;
    }

    /// 5.3.1: basic header, message header, extended timestamp. Fails when `bytes` ends before them.
    fn parse_header(&self, bytes: &[u8]) -> Result<ParsedHeader, Truncated> {
        let mut reader = Reader::new(bytes);
        let basic = reader.u8()?;
        let format = basic >> 6;
        let chunk_stream = match basic & 0x3f {
            0 => 64 + u32::from(reader.u8()?),
            1 => 64 + u32::from(reader.u8()?) + 256 * u32::from(reader.u8()?),
            id => u32::from(id),
        };
        let mut parsed = ParsedHeader {
            header_bytes: 0,
            chunk_stream,
            format,
            time: None,
            extended: false,
            shape: None,
            message_stream: None,
            repeats_extended: None,
        };
        if format == 3 {
            self.parse_repeated_time(&mut reader, &mut parsed)?;
        } else {
            let time = reader.u24()?;
            if format <= 1 {
                parsed.shape = Some((reader.u24()?, reader.u8()?));
            }
            if format == 0 {
                // 5.3.1.2.1: alone in the protocol, the message stream is little-endian.
                parsed.message_stream = Some(reader.u32()?.swap_bytes());
            }
            parsed.extended = time == EXTENDED;
            parsed.time = Some(if parsed.extended { reader.u32()? } else { time });
        }
        parsed.header_bytes = reader.offset();
        Ok(parsed)
    }

    /// 5.3.1.3: a type 3 header has the extended field when the header that it repeats had one. Senders agree
    /// for a new message; inside a message some (OBS before 30.1, mobile ones) leave it out. So the first
    /// continuation is compared with the field: bytes that differ are payload. What it shows holds for the
    /// connection, so that later payload may begin with the same bytes.
    fn parse_repeated_time(&self, reader: &mut Reader, parsed: &mut ParsedHeader) -> Result<(), Truncated> {
        let Some(stream) = self.streams.iter().find(|stream| stream.id == parsed.chunk_stream) else {
            return Ok(());
        };
        let Some(field) = stream.extended else { return Ok(()) };
        if !stream.partial {
            parsed.time = Some(reader.u32()?);
            return Ok(());
        }
        let repeats = match self.repeats_extended {
            Some(repeats) => repeats,
            None => {
                let seen = &reader.rest()[..reader.remaining().min(4)];
                let repeats = field.to_be_bytes().starts_with(seen);
                if repeats && seen.len() < 4 {
                    return reader.u32().map(|_| ());
                }
                parsed.repeats_extended = Some(repeats);
                repeats
            }
        };
        if repeats {
            reader.take(4)?;
        }
        Ok(())
    }

    /// Applies a header: the reader is then inside its chunk.
    fn enter_chunk(&mut self, parsed: ParsedHeader) -> Result<(), ChunkError> {
        let index = self.find_or_add_stream(&parsed)?;
        self.repeats_extended = self.repeats_extended.or(parsed.repeats_extended);
        if self.streams[index].partial {
            self.continue_message(index, &parsed)?;
        } else {
            self.begin_message(index, &parsed)?;
        }
        let stream = &self.streams[index];
        let left = (stream.header.message_bytes - stream.received_bytes).min(self.chunk_bytes);
        self.state = State::Payload { stream: index, left };
        Ok(())
    }

    fn find_or_add_stream(&mut self, parsed: &ParsedHeader) -> Result<usize, ChunkError> {
        let (chunk_stream, format, offset) = (parsed.chunk_stream, parsed.format, self.offset);
        if let Some(index) = self.streams.iter().position(|stream| stream.id == chunk_stream) {
            return Ok(index);
        }
        // Senders that descend from librtmp open the control chunk stream with type 1.
        if format > 1 || (format == 1 && chunk_stream != CONTROL_CHUNK_STREAM) {
            return Err(ChunkError::NothingToRepeat { chunk_stream, format, offset });
        }
        if self.streams.len() == RTMP_CHUNK_STREAMS_MAX {
            return Err(ChunkError::TooManyChunkStreams { chunk_stream, offset });
        }
        self.streams.push(ChunkStream {
            id: chunk_stream,
            header: MessageHeader::default(),
            delta_ms: 0,
            extended: None,
            absolute: true,
            partial: false,
            received_bytes: 0,
            control: 0,
        });
        Ok(self.streams.len() - 1)
    }

    /// A continuation should have type 3; another is taken for one when it describes the same message, whose
    /// time stays as it began.
    fn continue_message(&mut self, index: usize, parsed: &ParsedHeader) -> Result<(), ChunkError> {
        let stream = &self.streams[index];
        let same = |shape| shape == (stream.header.message_bytes, stream.header.type_id);
        if !parsed.shape.is_none_or(same) {
            return Err(ChunkError::HeaderChanged { chunk_stream: stream.id, offset: self.offset });
        }
        self.header_credit -= i64::from(RTMP_PAYLOAD_BYTES_PER_HEADER_MIN);
        if self.header_credit < 0 {
            return Err(ChunkError::HeaderFlood { offset: self.offset });
        }
        Ok(())
    }

    fn begin_message(&mut self, index: usize, parsed: &ParsedHeader) -> Result<(), ChunkError> {
        let offset = self.offset;
        let stream = &mut self.streams[index];
        let header = &mut stream.header;
        if let Some((message_bytes, type_id)) = parsed.shape {
            (header.message_bytes, header.type_id) = (message_bytes, type_id);
        }
        header.message_stream = parsed.message_stream.unwrap_or(header.message_stream);
        match parsed.format {
            0 => {
                // 5.3.1.2.4 makes this time the difference of a type 3 header that follows. Taken by the
                // letter a stream would run away; senders mean the same time again.
                (header.timestamp_ms, stream.delta_ms) = (parsed.time.unwrap_or(0), 0);
                stream.absolute = true;
            }
            // Differences are modulo 2^32: librtmp sends negative ones.
            1 | 2 => {
                stream.delta_ms = parsed.time.unwrap_or(0);
                header.timestamp_ms = header.timestamp_ms.wrapping_add(stream.delta_ms);
                stream.absolute = false;
            }
            _ => match parsed.time {
                Some(time) if stream.absolute => header.timestamp_ms = time,
                _ => {
                    stream.delta_ms = parsed.time.unwrap_or(stream.delta_ms);
                    header.timestamp_ms = header.timestamp_ms.wrapping_add(stream.delta_ms);
                }
            },
        }
        if parsed.format < 3 || parsed.time.is_some() {
            stream.extended = parsed.time.filter(|_| parsed.extended || parsed.format == 3);
        }

        let (chunk_stream, type_id, found) = (stream.id, header.type_id, header.message_bytes);
        let allowed = message_bytes_max(type_id, self.command_bytes_max);
        if found > allowed {
            return Err(ChunkError::MessageTooLarge { chunk_stream, type_id, found, allowed, offset });
        }
        if matches!(type_id, message_type::SET_CHUNK_SIZE | message_type::ABORT) && found != 4 {
            return Err(ChunkError::ControlLength { type_id, found, offset });
        }
        if self.partial_count == RTMP_PARTIAL_MESSAGES_MAX {
            return Err(ChunkError::TooManyPartialMessages { chunk_stream, offset });
        }
        self.partial_count += 1;
        (stream.partial, stream.received_bytes) = (true, 0);
        Ok(())
    }

    /// The next piece of the chunk; `None` when the input is empty.
    fn read_payload<'a>(
        &mut self,
        input: &mut &'a [u8],
        index: usize,
        left: u32,
        bytes_max: impl FnOnce(&MessageHeader) -> usize,
    ) -> Result<Option<Fragment<'a>>, ChunkError> {
        let header = self.streams[index].header;
        let payload = if left == 0 {
            &[]
        } else if self.held_count > 0 {
            self.release_held()
        } else {
            let wanted = (left as usize).min(bytes_max(&header).max(1));
            let payload = &input[..wanted.min(input.len())];
            if payload.is_empty() {
                return Ok(None);
            }
            self.consume(input, payload.len());
            payload
        };

        let payload_bytes = payload.len() as u32;
        self.header_credit =
            (self.header_credit + i64::from(payload_bytes)).min(i64::from(RTMP_HEADER_CREDIT_BYTES));
        let stream = &mut self.streams[index];
        let first = stream.received_bytes == 0;
        stream.received_bytes += payload_bytes;
        debug_assert!(stream.received_bytes <= header.message_bytes);
        let last = stream.received_bytes == header.message_bytes;
        let fragment = Fragment { chunk_stream: stream.id, header, payload, first, last };
        if last {
            stream.partial = false;
            self.partial_count -= 1;
        }
        let left = left - payload_bytes;
        self.state = if left == 0 { State::Header } else { State::Payload { stream: index, left } };
        if matches!(header.type_id, message_type::SET_CHUNK_SIZE | message_type::ABORT) {
            self.read_control(index, &fragment)?;
        }
        Ok(Some(fragment))
    }

    /// One byte of payload that was held because it could have been an extended timestamp: at most four in
    /// the life of a connection. It is no longer in the input, so it is lent from a table.
    fn release_held(&mut self) -> &'static [u8] {
        static EVERY_BYTE: [u8; 256] = {
            let mut table = [0; 256];
            let mut byte = 0;
            while byte < table.len() {
                table[byte] = byte as u8;
                byte += 1;
            }
            table
        };
        let byte = usize::from(self.held[0]);
        self.held.copy_within(1..self.held_count, 0);
        self.held_count -= 1;
        &EVERY_BYTE[byte..=byte]
    }

    /// 5.4.1 and 5.4.2, which are about the chunk streams themselves.
    fn read_control(&mut self, index: usize, fragment: &Fragment) -> Result<(), ChunkError> {
        let stream = &mut self.streams[index];
        for &byte in fragment.payload {
            stream.control = stream.control << 8 | u32::from(byte);
        }
        if !fragment.last {
            return Ok(());
        }
        let value = stream.control;
        if fragment.header.type_id == message_type::SET_CHUNK_SIZE {
            if value == 0 || value > i32::MAX as u32 {
                return Err(ChunkError::ChunkSize { found: value, offset: self.offset });
            }
            // 5.4.1: sizes above 16,777,215 are equivalent.
            self.chunk_bytes = value.min(RTMP_CHUNK_BYTES_MAX);
        } else if let Some(stream) =
            self.streams.iter_mut().find(|stream| stream.id == value && stream.partial)
        {
            stream.partial = false;
            self.partial_count -= 1;
            self.aborted = Some((stream.id, stream.header));
        }
        Ok(())
    }
}
