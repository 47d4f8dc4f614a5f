//! Bytes that wait to be sent, and the messages that both sides send.

use super::amf::AmfWriter;
use super::chunk::ChunkWriter;
use super::message::{COMMAND_CHUNK_STREAM, CONTROL_CHUNK_STREAM, MessageHeader, message_type};

/// Sent bytes that may stay in front of the queue before it is moved up.
const SENT_BYTES_KEPT: usize = 4096;

/// A queue of encoded bytes; its owner bounds it.
#[derive(Debug, Default)]
pub(super) struct Output {
    bytes: Vec<u8>,
    /// Bytes in front that were sent; never more than there are.
    sent: usize,
    writer: ChunkWriter,
}

impl Output {
    /// What waits to be sent.
    pub fn pending(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    /// The first `count` pending bytes were sent.
    pub fn written(&mut self, count: usize) {
        debug_assert!(count <= self.pending().len());
        self.sent = self.bytes.len().min(self.sent + count);
        if self.sent == self.bytes.len() {
            self.bytes.clear();
            self.sent = 0;
        } else if self.sent > SENT_BYTES_KEPT {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// For what is no chunk: the handshake.
    pub fn raw(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Announces a chunk size and uses it.
    pub fn set_chunk_bytes(&mut self, chunk_bytes: u32) {
        self.writer.set_chunk_bytes(&mut self.bytes, chunk_bytes);
    }

    /// Any message, from pieces.
    pub fn message(&mut self, chunk_stream: u32, header: MessageHeader, pieces: &[&[u8]]) {
        self.writer.write(&mut self.bytes, chunk_stream, header, pieces);
    }

    /// A protocol control message with one number.
    pub fn control(&mut self, type_id: u8, value: u32) {
        self.control_message(type_id, &value.to_be_bytes());
    }

    /// A user control message (6.2): an event and its value.
    pub fn user_control(&mut self, event: u16, value: u32) {
        let [a, b] = event.to_be_bytes();
        let [c, d, e, f] = value.to_be_bytes();
        self.control_message(message_type::USER_CONTROL, &[a, b, c, d, e, f]);
    }

    /// A protocol control message.
    pub fn control_message(&mut self, type_id: u8, body: &[u8]) {
        let header = MessageHeader { type_id, ..MessageHeader::default() };
        self.message(CONTROL_CHUNK_STREAM, header, &[body]);
    }

    /// A command in AMF0 on `message_stream`: name, transaction and what `arguments` writes.
    pub fn command(
        &mut self,
        message_stream: u32,
        name: &str,
        transaction: f64,
        arguments: impl FnOnce(&mut AmfWriter),
    ) {
        let mut body = Vec::new();
        arguments(AmfWriter::new(&mut body).string(name).number(transaction));
        let type_id = message_type::COMMAND_AMF0;
        let header = MessageHeader { type_id, message_stream, ..MessageHeader::default() };
        self.message(COMMAND_CHUNK_STREAM, header, &[&body]);
    }
}

/// Events of user control messages, 6.2.
pub(super) mod user_control {
    /// A message stream can be used.
    pub const STREAM_BEGIN: u16 = 0;
    /// Wants an answer with the same value.
    pub const PING_REQUEST: u16 = 6;
    /// Is that answer.
    pub const PING_RESPONSE: u16 = 7;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_leaves_the_queue_however_it_is_cut() {
        for step in [1, 7, 4000, 5000] {
            let mut output = Output::default();
            let queued: Vec<u8> = (0..10_000).map(|i| i as u8).collect();
            output.raw().extend_from_slice(&queued);
            let mut sent = Vec::new();
            while !output.pending().is_empty() {
                let count = step.min(output.pending().len());
                sent.extend_from_slice(&output.pending()[..count]);
                output.written(count);
                assert!(output.bytes.len() <= queued.len() - sent.len() + SENT_BYTES_KEPT);
            }
            assert_eq!(sent, queued);
        }
    }
}
