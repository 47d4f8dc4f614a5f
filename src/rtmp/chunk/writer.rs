//! Messages to chunks, with the smallest header that says the same (Adobe RTMP 1.0, 5.3.1.2).

use super::EXTENDED;
use crate::limits::{RTMP_CHUNK_BYTES_DEFAULT, RTMP_CHUNK_BYTES_MAX};
use crate::rtmp::message::{CONTROL_CHUNK_STREAM, MessageHeader, message_type};

/// Time differences from here on are steps back: they are written as absolute times.
const BACKWARD_MS: u32 = 1 << 31;
/// Chunk streams from here on have a basic header of two bytes, and of three.
const TWO_BYTE_CHUNK_STREAM: u32 = 64;
const THREE_BYTE_CHUNK_STREAM: u32 = 64 + 256;

/// What the reader of a chunk stream remembers.
#[derive(Debug)]
struct ChunkStream {
    id: u32,
    header: MessageHeader,
    /// `None` after a header of type 0: readers differ on what a type 3 header then repeats.
    delta_ms: Option<u32>,
}

/// Writes one connection's chunks after the handshake.
#[derive(Debug)]
pub struct ChunkWriter {
    chunk_bytes: u32,
    streams: Vec<ChunkStream>,
}

impl Default for ChunkWriter {
    fn default() -> Self {
        Self::new()
    }
}

impl ChunkWriter {
    /// A writer at the end of the handshake.
    pub fn new() -> Self {
        Self { chunk_bytes: RTMP_CHUNK_BYTES_DEFAULT, streams: Vec::new() }
    }

    /// Tells the peer a chunk size and uses it from then on; it is brought into 1..=16,777,215.
    pub fn set_chunk_bytes(&mut self, output: &mut Vec<u8>, chunk_bytes: u32) {
        let chunk_bytes = chunk_bytes.clamp(1, RTMP_CHUNK_BYTES_MAX);
        let header = MessageHeader { type_id: message_type::SET_CHUNK_SIZE, ..MessageHeader::default() };
        self.write(output, CONTROL_CHUNK_STREAM, header, &[&chunk_bytes.to_be_bytes()]);
        self.chunk_bytes = chunk_bytes;
    }

    /// Appends a message to `output`. `header.message_bytes` is taken from `pieces`, which together have at most
    /// 16,777,215 bytes; `chunk_stream` is 2 to 65,599.
    pub fn write(
        &mut self,
        output: &mut Vec<u8>,
        chunk_stream: u32,
        mut header: MessageHeader,
        pieces: &[&[u8]],
    ) {
        let message_bytes: usize = pieces.iter().map(|piece| piece.len()).sum();
        debug_assert!(message_bytes <= RTMP_CHUNK_BYTES_MAX as usize);
        debug_assert!((2..=65_599).contains(&chunk_stream));
        header.message_bytes = message_bytes as u32;
        let chunk_bytes = self.chunk_bytes as usize;
        output.reserve(message_bytes + (message_bytes / chunk_bytes + 1) * 7 + 18);

        let extended = self.write_header(output, chunk_stream, header);
        let mut room = chunk_bytes;
        for piece in pieces {
            let mut piece = *piece;
            while !piece.is_empty() {
                if room == 0 {
                    write_basic_header(output, 3, chunk_stream);
                    // 5.3.1.3: present in type 3 chunks too when it was in the one they repeat.
                    if let Some(field) = extended {
                        output.extend_from_slice(&field.to_be_bytes());
                    }
                    room = chunk_bytes;
                }
                let (now, later) = piece.split_at(piece.len().min(room));
                output.extend_from_slice(now);
                room -= now.len();
                piece = later;
            }
        }
    }

    /// The header of a message's first chunk; returns its extended timestamp field.
    fn write_header(
        &mut self,
        output: &mut Vec<u8>,
        chunk_stream: u32,
        header: MessageHeader,
    ) -> Option<u32> {
        let known = self.streams.iter().position(|stream| stream.id == chunk_stream);
        let index = known.unwrap_or_else(|| {
            self.streams.push(ChunkStream { id: chunk_stream, header, delta_ms: None });
            self.streams.len() - 1
        });
        let last = &mut self.streams[index];
        let delta_ms = header.timestamp_ms.wrapping_sub(last.header.timestamp_ms);
        let same_shape =
            (header.message_bytes, header.type_id) == (last.header.message_bytes, last.header.type_id);
        let absolute =
            known.is_none() || header.message_stream != last.header.message_stream || delta_ms >= BACKWARD_MS;
        let format = match () {
            () if absolute => 0,
            () if !same_shape => 1,
            () if last.delta_ms != Some(delta_ms) => 2,
            () => 3,
        };
        let time = if absolute { header.timestamp_ms } else { delta_ms };
        (last.header, last.delta_ms) = (header, (!absolute).then_some(delta_ms));

        write_basic_header(output, format, chunk_stream);
        if format < 3 {
            write_u24(output, time.min(EXTENDED));
        }
        if format < 2 {
            write_u24(output, header.message_bytes);
            output.push(header.type_id);
        }
        if format == 0 {
            output.extend_from_slice(&header.message_stream.to_le_bytes());
        }
        let extended = (time >= EXTENDED).then_some(time);
        if let Some(field) = extended {
            output.extend_from_slice(&field.to_be_bytes());
        }
        extended
    }
}

fn write_basic_header(output: &mut Vec<u8>, format: u8, chunk_stream: u32) {
    let format = format << 6;
    if chunk_stream < TWO_BYTE_CHUNK_STREAM {
        output.push(format | chunk_stream as u8);
    } else if chunk_stream < THREE_BYTE_CHUNK_STREAM {
        output.extend_from_slice(&[format, (chunk_stream - 64) as u8]);
    } else {
        let [low, high, ..] = (chunk_stream - 64).to_le_bytes();
        output.extend_from_slice(&[format | 1, low, high]);
    }
}

fn write_u24(output: &mut Vec<u8>, value: u32) {
    output.extend_from_slice(&value.to_be_bytes()[1..]);
}
