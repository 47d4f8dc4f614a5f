//! What a fuzzer calls with any bytes: each must return, and keep the promise it checks.

use rapidrtmp::limits::RTMP_OUTPUT_BYTES_MAX;
use rapidrtmp::media::{Now, TrackKind};
use rapidrtmp::rtmp::amf::read_values;
use rapidrtmp::rtmp::chunk::{ChunkError, ChunkEvent, ChunkReader};
use rapidrtmp::rtmp::{
    ClientConfig, ClientSession, Event, HANDSHAKE_RANDOM_BYTES, Refusal, ServerConfig, ServerSession,
};

/// C0, C1 and C2 as a client sends them that signs nothing.
const HANDSHAKE: [u8; 1 + 2 * 1536] = {
    let mut bytes = [0; 1 + 2 * 1536];
    bytes[0] = 3;
    bytes
};

/// Any bytes as the first ones of a connection: answered once C1 is there, and never more than once.
pub fn handshake(data: &[u8]) {
    let mut session =
        ServerSession::new(ServerConfig::default(), [1; HANDSHAKE_RANDOM_BYTES], Now::default());
    let mut result = Ok(());
    for piece in data.chunks(611) {
        let mut input = piece;
        result = result.and_then(|()| session.poll(&mut input, Now::default()).map(drop));
    }
    let answered = data.len() > 1536 && data[0] == 3;
    assert_eq!(session.output().len() >= HANDSHAKE.len(), answered);
    assert!(data.first().is_none_or(|first| *first == 3) || result.is_err());
}

/// Any bytes as chunks: whole, byte by byte and in pieces they give the same messages or the same error.
pub fn chunks(data: &[u8]) {
    let whole = read_chunks(&[data]);
    assert_eq!(read_chunks(&data.chunks(1).collect::<Vec<_>>()), whole);
    assert_eq!(read_chunks(&data.chunks(37).collect::<Vec<_>>()), whole);
}

/// Chunk stream, whether it was aborted, and the payload so far.
type Message = (u32, bool, Vec<u8>);

/// What was read, and why it ended early.
fn read_chunks(pieces: &[&[u8]]) -> (Vec<Message>, Option<ChunkError>) {
    let mut reader = ChunkReader::new();
    let mut messages: Vec<Message> = Vec::new();
    let mut open: Vec<(u32, Vec<u8>)> = Vec::new();
    for piece in pieces {
        let mut input = *piece;
        loop {
            match reader.poll(&mut input) {
                Ok(None) => break,
                Ok(Some(ChunkEvent::Aborted { chunk_stream, .. })) => {
                    let index = open.iter().position(|(id, _)| *id == chunk_stream);
                    let payload = index.map(|index| open.remove(index).1).unwrap_or_default();
                    messages.push((chunk_stream, true, payload));
                }
                Ok(Some(ChunkEvent::Fragment(fragment))) => {
                    if fragment.first {
                        open.push((fragment.chunk_stream, Vec::new()));
                    }
                    let index = open.iter().position(|(id, _)| *id == fragment.chunk_stream);
                    let index = index.expect("a fragment follows its message's first one");
                    open[index].1.extend_from_slice(fragment.payload);
                    if fragment.last {
                        let (chunk_stream, payload) = open.remove(index);
                        assert_eq!(payload.len(), fragment.header.message_bytes as usize);
                        messages.push((chunk_stream, false, payload));
                    }
                }
                Err(error) => return (messages, Some(error)),
            }
        }
        assert!(input.is_empty());
    }
    (messages, None)
}

/// Any bytes as the body of a command.
pub fn amf0(data: &[u8]) {
    let _ = read_values(data);
}

/// Any bytes behind a handshake: fragments keep their promises, replies stay within their bound. The first
/// byte says how a publish is answered.
pub fn session(data: &[u8]) {
    let Some((answer, data)) = data.split_first() else { return };
    let mut session =
        ServerSession::new(ServerConfig::default(), [1; HANDSHAKE_RANDOM_BYTES], Now::default());
    let mut open = [None; 2];
    let mut now = Now::default();
    for piece in [&HANDSHAKE[..]].into_iter().chain(data.chunks(509)) {
        now.monotonic_us += 1000;
        let mut input = piece;
        loop {
            let event = match session.poll(&mut input, now) {
                Ok(Some(event)) => event,
                Ok(None) => match session.rest_until_us() {
                    Some(until_us) => {
                        now.monotonic_us = until_us;
                        continue;
                    }
                    None => break,
                },
                Err(_) => return,
            };
            match event {
                Event::PublishRequested(_) if answer % 2 == 0 => session.accept_publish(now),
                Event::PublishRequested(_) => session.reject_publish(Refusal::Denied, "no"),
                Event::Media(media) => {
                    let left = &mut open[usize::from(media.kind == TrackKind::Audio)];
                    assert_eq!(left.is_none(), media.first);
                    let before = left.unwrap_or(media.message_bytes as usize);
                    let after = before.checked_sub(media.payload.len()).expect("no more than was declared");
                    assert_eq!(after == 0, media.last);
                    *left = (!media.last).then_some(after);
                }
                Event::MediaAborted(kind) => {
                    assert!(open[usize::from(kind == TrackKind::Audio)].take().is_some());
                }
                Event::Unpublished(_) => open = [None; 2],
                Event::PublishRefused(_) | Event::Metadata(_) => {}
            }
        }
        assert!(input.is_empty());
        let _ = session.handle_time(now);
        assert!(session.output().len() <= RTMP_OUTPUT_BYTES_MAX + 64);
    }
}

/// Any bytes as a server's answers to our publisher.
pub fn client(data: &[u8]) {
    let config = ClientConfig::new("h", "live", "key", None);
    let mut session = ClientSession::new(config, [1; HANDSHAKE_RANDOM_BYTES]);
    for piece in [&HANDSHAKE[..]].into_iter().chain(data.chunks(509)) {
        let mut input = piece;
        loop {
            match session.poll(&mut input) {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => return,
            }
        }
        let sent = session.output().len();
        session.output_written(sent);
    }
}
