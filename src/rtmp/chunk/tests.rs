use super::*;
use crate::limits::{RTMP_CHUNK_STREAMS_MAX, RTMP_PARTIAL_MESSAGES_MAX, RTMP_VIDEO_BYTES_MAX};
use crate::rtmp::message::{MessageHeader, message_type};

#[derive(Debug, Clone, PartialEq, Eq)]
struct Message {
    chunk_stream: u32,
    header: MessageHeader,
    payload: Vec<u8>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Received {
    messages: Vec<Message>,
    aborted: Vec<u32>,
}

/// Feeds `pieces`, checks what every fragment promises, and puts the messages together.
fn read_pieces(pieces: &[&[u8]]) -> Result<Received, ChunkError> {
    let mut reader = ChunkReader::new();
    let mut open: Vec<Message> = Vec::new();
    let mut received = Received::default();
    for piece in pieces {
        let mut input = *piece;
        loop {
            let before = input.len();
            let Some(event) = reader.poll(&mut input)? else { break };
            assert!(input.len() <= before);
            match event {
                ChunkEvent::Fragment(Fragment { chunk_stream, header, payload, first, last }) => {
                    assert_eq!(payload.is_empty(), header.message_bytes == 0);
                    let found = open.iter().position(|message| message.chunk_stream == chunk_stream);
                    assert_eq!(found.is_none(), first);
                    let index = found.unwrap_or_else(|| {
                        open.push(Message { chunk_stream, header, payload: Vec::new() });
                        open.len() - 1
                    });
                    assert_eq!(open[index].header, header);
                    open[index].payload.extend_from_slice(payload);
                    assert_eq!(last, open[index].payload.len() == header.message_bytes as usize);
                    if last {
                        received.messages.push(open.remove(index));
                    }
                }
                ChunkEvent::Aborted { chunk_stream, header } => {
                    let index = open.iter().position(|message| message.chunk_stream == chunk_stream);
                    assert_eq!(open.remove(index.expect("an open message")).header, header);
                    received.aborted.push(chunk_stream);
                }
            }
        }
        assert!(input.is_empty());
    }
    Ok(received)
}

fn read(bytes: &[u8]) -> Result<Received, ChunkError> {
    read_pieces(&[bytes])
}

/// Whole, byte by byte and at every split: always the same.
fn read_every_way(bytes: &[u8]) -> Result<Received, ChunkError> {
    let whole = read(bytes);
    assert_eq!(read_pieces(&bytes.chunks(1).collect::<Vec<_>>()), whole);
    for split in 0..=bytes.len() {
        let (a, b) = bytes.split_at(split);
        assert_eq!(read_pieces(&[a, b]), whole, "split at {split}");
    }
    whole
}

fn times(received: &Received) -> Vec<u32> {
    received.messages.iter().map(|message| message.header.timestamp_ms).collect()
}

const TYPE: u8 = message_type::VIDEO;

/// A type 0 header on chunk stream 4.
fn full(time: u32, message_bytes: u32) -> Vec<u8> {
    let mut bytes = vec![4];
    bytes.extend_from_slice(&time.min(EXTENDED).to_be_bytes()[1..]);
    bytes.extend_from_slice(&message_bytes.to_be_bytes()[1..]);
    bytes.extend_from_slice(&[TYPE, 1, 0, 0, 0]);
    if time >= EXTENDED {
        bytes.extend_from_slice(&time.to_be_bytes());
    }
    bytes
}

#[test]
fn reads_all_header_forms_and_adds_their_times() {
    let mut bytes = full(1000, 1);
    bytes.push(0xaa);
    bytes.extend([0x44, 0, 0, 20, 0, 0, 2, 8, 0xb0, 0xb1]);
    bytes.extend([0x84, 0, 0, 30, 0xc0, 0xc1]);
    bytes.extend([0xc4, 0xd0, 0xd1]);
    let received = read_every_way(&bytes).unwrap();
    assert_eq!(times(&received), [1000, 1020, 1050, 1080]);
    let types: Vec<u8> = received.messages.iter().map(|message| message.header.type_id).collect();
    assert_eq!(types, [9, 8, 8, 8]);
    assert!(received.messages.iter().all(|message| message.header.message_stream == 1));
    assert_eq!(received.messages[3].payload, [0xd0, 0xd1]);
}

#[test]
fn reads_all_forms_of_chunk_stream_ids() {
    for (id, basic) in [
        (2, &[2][..]),
        (63, &[63]),
        (64, &[0, 0]),
        (319, &[0, 255]),
        (64, &[1, 0, 0]),
        (320, &[1, 0, 1]),
        (65_599, &[1, 255, 255]),
    ] {
        let bytes = [basic, &[0, 0, 1, 0, 0, 1, 8, 1, 0, 0, 0, 0xee]].concat();
        assert_eq!(read_every_way(&bytes).unwrap().messages[0].chunk_stream, id);
    }
}

#[test]
fn a_repeated_type_0_header_means_the_same_time() {
    let mut bytes = full(500, 1);
    bytes.extend([1, 0xc4, 2]);
    assert_eq!(times(&read_every_way(&bytes).unwrap()), [500, 500]);
}

#[test]
fn a_negative_difference_wraps() {
    let mut bytes = full(100, 1);
    bytes.extend([1, 0x84, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xea, 2]);
    assert_eq!(times(&read_every_way(&bytes).unwrap()), [100, 78]);
}

#[test]
fn a_message_without_payload_is_a_message() {
    let mut bytes = full(7, 0);
    bytes.extend(full(8, 0));
    let received = read_every_way(&bytes).unwrap();
    assert_eq!(times(&received), [7, 8]);
}

/// Predecessor's defect 18: a type 3 header past 16,777,215 ms (4.66 h) was read without its extended
/// timestamp. Both habits of senders are read, also when the first payload looks like the field at first.
#[test]
fn defect_18_reads_type_3_headers_past_16777215_ms_of_both_kinds_of_senders() {
    const TIME: u32 = 0x0100_02fb;
    for repeats in [true, false] {
        for payload_byte in [0x55, 0x01] {
            for message_bytes in [129, 130, 131, 132, 256, 257, 400] {
                let mut bytes = Vec::new();
                for message in 0..3 {
                    bytes.extend(full(TIME + message, message_bytes));
                    for (index, chunk) in vec![payload_byte; message_bytes as usize].chunks(128).enumerate() {
                        if index > 0 {
                            bytes.push(0xc4);
                            if repeats {
                                bytes.extend((TIME + message).to_be_bytes());
                            }
                        }
                        bytes.extend(chunk);
                    }
                }
                // Ends a wait for bytes that could still be the field.
                bytes.extend([2, 0, 0, 0, 0, 0, 4, 3, 0, 0, 0, 0, 0, 0, 0, 0]);
                let received = read(&bytes).unwrap();
                assert_eq!(read_pieces(&bytes.chunks(1).collect::<Vec<_>>()).as_ref(), Ok(&received));
                assert_eq!(read_pieces(&bytes.chunks(7).collect::<Vec<_>>()).as_ref(), Ok(&received));
                assert_eq!(times(&received), [TIME, TIME + 1, TIME + 2, 0], "{repeats} {message_bytes}");
                for message in &received.messages[..3] {
                    assert_eq!(message.payload, vec![payload_byte; message_bytes as usize]);
                }
            }
        }
    }
}

#[test]
fn payload_that_begins_as_the_extended_timestamp_is_held_no_longer_than_needed() {
    let mut bytes = full(0x0100_0001, 131);
    bytes.extend([9; 128]);
    bytes.extend([0xc4, 1, 0, 7]);
    let received = read_every_way(&bytes).unwrap();
    assert_eq!(received.messages[0].payload[128..], [1, 0, 7]);
}

#[test]
fn a_new_type_3_message_always_has_its_extended_field() {
    let mut bytes = full(0, 1);
    bytes.push(1);
    // A difference of 0x01000000, twice.
    bytes.extend([0x84, 0xff, 0xff, 0xff, 1, 0, 0, 0, 2]);
    bytes.extend([0xc4, 1, 0, 0, 0, 3]);
    assert_eq!(times(&read_every_way(&bytes).unwrap()), [0, 0x0100_0000, 0x0200_0000]);
}

#[test]
fn the_chunk_size_changes_between_two_chunks_of_a_message() {
    let mut bytes = full(0, 300);
    bytes.extend([1; 128]);
    bytes.extend([2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 0, 100]);
    bytes.push(0xc4);
    bytes.extend([2; 100]);
    bytes.extend([0x42, 0, 0, 0, 0, 0, 4, 1, 0, 0, 1, 0]);
    bytes.push(0xc4);
    bytes.extend([3; 72]);
    let received = read_every_way(&bytes).unwrap();
    assert_eq!(received.messages.len(), 3);
    assert_eq!(received.messages[2].payload.len(), 300);
}

#[test]
fn an_abort_drops_the_open_message_and_no_other() {
    let mut bytes = full(5, 200);
    bytes.extend([1; 128]);
    bytes.extend([2, 0, 0, 0, 0, 0, 4, 2, 0, 0, 0, 0, 0, 0, 0, 4]);
    bytes.extend(full(6, 1));
    bytes.push(9);
    bytes.extend([0x42, 0, 0, 0, 0, 0, 4, 2, 0, 0, 0, 4]);
    let received = read_every_way(&bytes).unwrap();
    assert_eq!(received.aborted, [4]);
    assert_eq!(times(&received), [0, 6, 0]);
}

#[test]
fn a_whole_header_inside_a_message_continues_it_when_it_says_the_same() {
    let mut bytes = full(5, 130);
    bytes.extend([1; 128]);
    bytes.extend(full(5, 130));
    bytes.extend([1; 2]);
    assert_eq!(times(&read_every_way(&bytes).unwrap()), [5]);

    let mut bytes = full(5, 130);
    bytes.extend([1; 128]);
    bytes.extend(full(5, 131));
    assert!(matches!(read(&bytes), Err(ChunkError::HeaderChanged { chunk_stream: 4, offset: 152 })));
}

#[test]
fn control_chunk_stream_may_begin_with_type_1() {
    let received = read_every_way(&[0x42, 0, 0, 0, 0, 0, 4, 5, 0, 0x26, 0x25, 0xa0]).unwrap();
    assert_eq!(received.messages[0].header.type_id, 5);
    for basic in [0x43, 0x82, 0xc2, 0xc5] {
        let bytes = [basic, 0, 0, 0, 0, 0, 4, 5, 0, 0, 0, 0];
        assert!(matches!(read(&bytes), Err(ChunkError::NothingToRepeat { .. })), "{basic:#x}");
    }
}

#[test]
fn bounds_are_errors() {
    let too_large = |type_id: u8, bytes: u32| {
        let mut header = full(0, bytes);
        header[7] = type_id;
        matches!(read(&header), Err(ChunkError::MessageTooLarge { found, .. }) if found == bytes)
    };
    assert!(too_large(9, RTMP_VIDEO_BYTES_MAX + 1) && !too_large(9, RTMP_VIDEO_BYTES_MAX));
    assert!(too_large(8, 256 * 1024 + 1) && too_large(20, 16 * 1024 + 1) && too_large(4, 65));

    for size in [0u32, 0x8000_0000, u32::MAX] {
        let bytes = [&[2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0][..], &size.to_be_bytes()].concat();
        assert!(matches!(read(&bytes), Err(ChunkError::ChunkSize { found, .. }) if found == size));
    }
    let bytes = [2, 0, 0, 0, 0, 0, 5, 1, 0, 0, 0, 0];
    assert!(matches!(read(&bytes), Err(ChunkError::ControlLength { found: 5, .. })));

    let mut bytes = Vec::new();
    for id in 0..=RTMP_CHUNK_STREAMS_MAX as u8 {
        bytes.extend([0, id, 0, 0, 1, 0, 0, 0, 8, 1, 0, 0, 0]);
    }
    assert!(matches!(read(&bytes), Err(ChunkError::TooManyChunkStreams { chunk_stream: 128, .. })));

    let mut bytes = Vec::new();
    for id in 0..=RTMP_PARTIAL_MESSAGES_MAX as u8 {
        bytes.extend([3 + id, 0, 0, 1, 0, 1, 0, 8, 1, 0, 0, 0]);
        bytes.extend([0; 128]);
    }
    assert!(matches!(read(&bytes), Err(ChunkError::TooManyPartialMessages { chunk_stream: 11, .. })));
}

#[test]
fn a_chunk_size_of_one_is_read_but_not_for_long() {
    let mut bytes = vec![2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 0, 1];
    bytes.extend(full(0, 30_000));
    bytes.push(0);
    for _ in 0..10_000 {
        bytes.extend([0xc4, 0]);
    }
    assert!(read(&bytes).is_ok());
    for _ in 10_000..17_000 {
        bytes.extend([0xc4, 0]);
    }
    assert!(matches!(read(&bytes), Err(ChunkError::HeaderFlood { .. })));
}

#[test]
fn a_declared_length_reserves_nothing() {
    let mut reader = ChunkReader::new();
    let mut bytes = Vec::new();
    for id in 3..10 {
        bytes.extend([id, 0, 0, 1, 0x80, 0, 0, 9, 1, 0, 0, 0, 0]);
        bytes.extend([0; 127]);
    }
    let mut input = bytes.as_slice();
    while reader.poll(&mut input).unwrap().is_some() {}
    assert!(reader.memory_bytes() <= RTMP_CHUNK_STREAMS_MAX * 64, "{}", reader.memory_bytes());
}

#[test]
fn fragments_are_as_short_as_they_are_asked_to_be() {
    let mut bytes = full(0, 5);
    bytes.extend([1, 2, 3, 4, 5]);
    let mut reader = ChunkReader::new();
    let mut input = bytes.as_slice();
    let mut lengths = Vec::new();
    while let Some(ChunkEvent::Fragment(fragment)) = reader.poll_at_most(&mut input, |_| 2).unwrap() {
        lengths.push((fragment.payload.len(), fragment.first, fragment.last));
    }
    assert_eq!(lengths, [(2, true, false), (2, false, false), (1, false, true)]);
}

// A reference sender: random chunk streams, header forms, chunk sizes and interleaving -----------

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

/// A chunk stream of the reference sender, in the words of 5.3.1.2.
struct Sender {
    id: u32,
    last: Option<MessageHeader>,
    delta: Option<u32>,
    /// Message being sent, its bytes sent so far, and the extended field of its header.
    sending: Option<(Message, usize, Option<u32>)>,
}

impl Sender {
    fn basic(&self, format: u8, random: &mut Random, bytes: &mut Vec<u8>) {
        let (high, low) = ((self.id.saturating_sub(64) >> 8) as u8, self.id.saturating_sub(64) as u8);
        match self.id {
            0..64 => bytes.push(format << 6 | self.id as u8),
            64..320 if random.below(2) == 0 => bytes.extend([format << 6, low]),
            _ => bytes.extend([format << 6 | 1, low, high]),
        }
    }

    /// Begins a message with a random header form among those that can say it.
    fn begin(&mut self, random: &mut Random, bytes: &mut Vec<u8>) {
        let jump = random.pick(&[
            0,
            0,
            1,
            33,
            33,
            33,
            40,
            70_000,
            0x00ff_fffe,
            0x00ff_ffff,
            0x0100_0000,
            0xffff_ffea,
        ]);
        let last = self.last.unwrap_or_default();
        let header = MessageHeader {
            timestamp_ms: last.timestamp_ms.wrapping_add(jump),
            message_bytes: random.pick(&[0, 1, 2, 3, 4, 127, 128, 129, 200, 5000]),
            type_id: random.pick(&[8, 9]),
            message_stream: if self.last.is_some() && random.below(8) > 0 { last.message_stream } else { 3 },
        };
        let shape_differs = (header.message_bytes, header.type_id) != (last.message_bytes, last.type_id);
        let least = match () {
            () if self.last.is_none() || header.message_stream != last.message_stream => 0,
            () if shape_differs => 1,
            () if self.delta != Some(jump) => 2,
            () => 3,
        };
        let format = random.below(least + 1) as u8;
        let field = if format == 0 { header.timestamp_ms } else { jump };
        self.basic(format, random, bytes);
        if format < 3 {
            bytes.extend(&field.min(0xff_ffff).to_be_bytes()[1..]);
        }
        if format < 2 {
            bytes.extend(&header.message_bytes.to_be_bytes()[1..]);
            bytes.push(header.type_id);
        }
        if format == 0 {
            bytes.extend(header.message_stream.to_le_bytes());
        }
        let extended = (field >= 0xff_ffff).then_some(field);
        bytes.extend(extended.iter().flat_map(|field| field.to_be_bytes()));
        self.last = Some(header);
        self.delta = (format != 0).then_some(jump);
        let payload = (0..header.message_bytes).map(|_| random.below(256) as u8).collect();
        self.sending = Some((Message { chunk_stream: self.id, header, payload }, 0, extended));
    }

    /// Sends a chunk; returns the message when it was the last one.
    fn send(
        &mut self,
        chunk: usize,
        repeats: bool,
        random: &mut Random,
        bytes: &mut Vec<u8>,
    ) -> Option<Message> {
        match &self.sending {
            None => self.begin(random, bytes),
            Some((_, _, extended)) => {
                let extended = extended.filter(|_| repeats);
                self.basic(3, random, bytes);
                bytes.extend(extended.iter().flat_map(|field| field.to_be_bytes()));
            }
        }
        let (message, sent, _) = self.sending.as_mut()?;
        let end = message.payload.len().min(*sent + chunk);
        bytes.extend(&message.payload[*sent..end]);
        *sent = end;
        if end < message.payload.len() {
            return None;
        }
        self.sending.take().map(|(message, ..)| message)
    }
}

#[test]
fn random_interleavings_are_read_as_they_were_sent() {
    for seed in 1..=60 {
        let mut random = Random(0x9e37_79b9_7f4a_7c15u64.wrapping_mul(seed));
        let repeats = seed % 2 == 0;
        let mut senders: Vec<Sender> = [3, 4, 63, 64, 319, 320, 65_599]
            .map(|id| Sender { id, last: None, delta: None, sending: None })
            .into();
        let (mut bytes, mut sent, mut chunk) = (Vec::new(), Vec::new(), 128);
        for _ in 0..400 {
            if random.below(20) == 0 {
                chunk = random.pick(&[64, 100, 128, 4096, 60_000]);
                bytes.extend([2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0]);
                bytes.extend((chunk as u32).to_be_bytes());
            }
            let index = random.below(senders.len() as u64) as usize;
            sent.extend(senders[index].send(chunk, repeats, &mut random, &mut bytes));
        }
        for sender in &mut senders {
            while sender.sending.is_some() {
                sent.extend(sender.send(chunk, repeats, &mut random, &mut bytes));
            }
        }
        let mut pieces = Vec::new();
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let most = random.pick(&[1, 2, 20, 5000]);
            let (piece, left) = rest.split_at(rest.len().min(1 + random.below(most) as usize));
            pieces.push(piece);
            rest = left;
        }
        for received in
            [read(&bytes), read_pieces(&pieces), read_pieces(&bytes.chunks(1).collect::<Vec<_>>())]
        {
            let mut received = received.unwrap().messages;
            received.retain(|message| message.header.type_id != message_type::SET_CHUNK_SIZE);
            assert_eq!(received.len(), sent.len(), "seed {seed}");
            assert!(received == sent, "seed {seed}");
        }
    }
}

#[test]
fn what_the_writer_writes_is_read_and_small() {
    for seed in 1..=40 {
        let mut random = Random(0x9e37_79b9_7f4a_7c15u64.wrapping_mul(seed));
        let (mut writer, mut bytes, mut sent) = (ChunkWriter::new(), Vec::new(), Vec::new());
        let mut time: u32 = random.pick(&[0, 0xff_fff0, 0xffff_ff00]);
        for _ in 0..100 {
            if random.below(10) == 0 {
                writer.set_chunk_bytes(&mut bytes, random.pick(&[1, 128, 4096, 60_000, u32::MAX]));
            }
            time = time.wrapping_add(random.pick(&[0, 33, 33, 0x0100_0000, 0xffff_fff0]));
            let payload: Vec<u8> = (0..random.pick(&[0, 1, 128, 129, 700])).map(|i| i as u8).collect();
            let header = MessageHeader {
                timestamp_ms: time,
                message_bytes: payload.len() as u32,
                type_id: random.pick(&[8, 9]),
                message_stream: 1,
            };
            let chunk_stream = random.pick(&[4, 6, 64, 320]);
            let (a, b) = payload.split_at(payload.len() / 3);
            writer.write(&mut bytes, chunk_stream, header, &[a, b]);
            sent.push(Message { chunk_stream, header, payload });
        }
        let mut received = read(&bytes).unwrap().messages;
        received.retain(|message| message.header.type_id != message_type::SET_CHUNK_SIZE);
        assert!(received == sent, "seed {seed}");
    }
    let (mut writer, mut bytes) = (ChunkWriter::new(), Vec::new());
    let lengths: Vec<usize> = (0..5)
        .map(|frame| {
            let header =
                MessageHeader { timestamp_ms: frame * 40, type_id: 9, message_stream: 1, message_bytes: 0 };
            let before = bytes.len();
            writer.write(&mut bytes, 6, header, &[&[0]]);
            bytes.len() - before - 1
        })
        .collect();
    assert_eq!(lengths, [12, 4, 1, 1, 1]);
}
