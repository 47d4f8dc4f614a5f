//! A publisher's connection in memory: messages as the bytes of an RTMP session, read by the server's.

use super::harness::Simulation;
use super::support::encoder::Message;
use rapidrtmp::media::TrackKind;
use rapidrtmp::origin::home::PublisherId;
use rapidrtmp::rtmp::{
    ClientConfig, ClientSession, Event, HANDSHAKE_RANDOM_BYTES, ServerConfig, ServerSession,
};

/// How messages become chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chunks {
    /// Most times are differences, as OBS and ffmpeg send them.
    Deltas,
    /// Every header is of type 0 and says the whole time, in chunks of 128 bytes, as some phones and hardware encoders
    /// send them; behind the headers of a chunk that goes on, an extended time comes again, or does not.
    Absolute { repeats: bool },
}

/// A connection that publishes.
pub struct Wire {
    client: ClientSession,
    server: ServerSession,
    chunks: Chunks,
    pub id: PublisherId,
}

/// Before anybody sets another (Adobe RTMP 1.0, 5.4.1), and as it is set anew here.
const CHUNK_BYTES: usize = 128;
const EXTENDED: u32 = 0xff_ffff;

impl Wire {
    /// Connects, and publishes at the simulation's home.
    pub fn publish(simulation: &mut Simulation, chunks: Chunks) -> Self {
        let random = [5; HANDSHAKE_RANDOM_BYTES];
        let mut server = ServerSession::new(ServerConfig::default(), random, simulation.now);
        let mut client = ClientSession::new(ClientConfig::new("localhost", "live", "sim", None), random);
        let mut id = None;
        while !client.is_publishing() {
            let sent = client.output().to_vec();
            client.output_written(sent.len());
            let mut input = &sent[..];
            while let Some(event) = server.poll(&mut input, simulation.now).expect("a good client") {
                if let Event::PublishRequested(_) = event {
                    server.accept_publish(simulation.now);
                    id = Some(simulation.attach());
                }
            }
            let replied = server.output().to_vec();
            server.output_written(replied.len());
            assert!(!sent.is_empty() || !replied.is_empty(), "both wait");
            let mut input = &replied[..];
            while client.poll(&mut input).expect("a good server").is_some() {}
        }
        let mut wire = Self { client, server, chunks, id: id.expect("it publishes") };
        if chunks != Chunks::Deltas {
            let set_chunk_bytes = chunk(2, 1, 0, 0, &(CHUNK_BYTES as u32).to_be_bytes(), true);
            wire.receive(simulation, &set_chunk_bytes);
        }
        wire
    }

    /// A message, now.
    pub fn send(&mut self, simulation: &mut Simulation, message: &Message) {
        let kind = if message.video { TrackKind::Video } else { TrackKind::Audio };
        let bytes = match self.chunks {
            Chunks::Deltas => {
                self.client.write_media(kind, message.timestamp_ms, &[&message.body]).expect("it publishes");
                let bytes = self.client.output().to_vec();
                self.client.output_written(bytes.len());
                bytes
            }
            Chunks::Absolute { repeats } => {
                let (chunk_stream, type_id) = if message.video { (6, 9) } else { (4, 8) };
                chunk(chunk_stream, type_id, 1, message.timestamp_ms, &message.body, repeats)
            }
        };
        self.receive(simulation, &bytes);
    }

    fn receive(&mut self, simulation: &mut Simulation, bytes: &[u8]) {
        let mut input = bytes;
        while let Some(event) = self.server.poll(&mut input, simulation.now).expect("a good publisher") {
            if let Event::Media(media) = event {
                simulation.fragment(self.id, &media).expect("takes it");
            }
        }
        let replied = self.server.output().len();
        self.server.output_written(replied);
    }
}

/// A message with headers of types 0 and 3.
fn chunk(
    chunk_stream: u8,
    type_id: u8,
    message_stream: u32,
    timestamp_ms: u32,
    body: &[u8],
    repeats: bool,
) -> Vec<u8> {
    let extended = timestamp_ms.to_be_bytes();
    let extended = if timestamp_ms >= EXTENDED { &extended[..] } else { &[] };
    let mut out = vec![chunk_stream];
    out.extend(&timestamp_ms.min(EXTENDED).to_be_bytes()[1..]);
    out.extend(&(body.len() as u32).to_be_bytes()[1..]);
    out.push(type_id);
    out.extend(message_stream.to_le_bytes());
    out.extend(extended);
    for (index, piece) in body.chunks(CHUNK_BYTES).enumerate() {
        if index > 0 {
            out.push(0xc0 | chunk_stream);
            out.extend(if repeats { extended } else { &[] });
        }
        out.extend(piece);
    }
    out
}
