//! The handshake, simple and with digests, of both sides (Adobe RTMP 1.0, 5.2).
//!
//! C0 and S0 are one byte, C1, S1, C2 and S2 are 1,536 each. Our side never waits for C2 before it
//! answers and never compares it: GStreamer rewrites four of its bytes. Bytes after C2 stay in the
//! input: clients send C2, Set Chunk Size and connect in one segment.

use super::digest::{self, Key};
use super::opening::{Opening, RTMP_VERSION as VERSION};

/// Length of C1, S1, C2 and S2.
pub(super) const PACKET_BYTES: usize = 1536;
/// Time and zero (or version) in front of the random bytes.
const PACKET_HEADER_BYTES: usize = 8;
/// Version of a server that signs; any but zero will do.
const SIGNED_VERSION: [u8; 4] = [4, 5, 0, 1];

/// Random bytes that a handshake sends; the caller makes them.
pub const HANDSHAKE_RANDOM_BYTES: usize = PACKET_BYTES - PACKET_HEADER_BYTES;

/// Why a handshake failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// The first byte is not RTMP's version 3.
    #[error("the first byte is {found:#04x}, {}; RTMP begins with {VERSION:#04x}", Opening::of(*found))]
    Version {
        /// The byte.
        found: u8,
    },
}

/// The receiving side of a connection.
#[derive(Debug)]
pub(super) struct ServerHandshake {
    random: Box<[u8; HANDSHAKE_RANDOM_BYTES]>,
    stage: Stage,
}

/// What is received next. Each side receives a version, a packet that it echoes, and an echo.
#[derive(Debug)]
enum Stage {
    Version,
    /// C1 or S1 so far; it grows with what arrives.
    Packet(Vec<u8>),
    /// Bytes of C2 or S2 still to come.
    Echo(usize),
}

impl Stage {
    /// Receives up to the next point where something is to be done: the peer's whole packet as
    /// `Some`, or the end of the input as `None`. The echo ends at `Echo(0)`.
    fn receive(&mut self, input: &mut &[u8]) -> Result<Option<Vec<u8>>, HandshakeError> {
        loop {
            match self {
                Self::Version => {
                    let Some((&found, rest)) = input.split_first() else { return Ok(None) };
                    if found != VERSION {
                        return Err(HandshakeError::Version { found });
                    }
                    *input = rest;
                    *self = Self::Packet(Vec::new());
                }
                Self::Packet(packet) => {
                    let (taken, rest) = input.split_at(input.len().min(PACKET_BYTES - packet.len()));
                    packet.extend_from_slice(taken);
                    *input = rest;
                    if packet.len() < PACKET_BYTES {
                        return Ok(None);
                    }
                    let packet = std::mem::take(packet);
                    *self = Self::Echo(PACKET_BYTES);
                    return Ok(Some(packet));
                }
                Self::Echo(left) => {
                    let skipped = input.len().min(*left);
                    *left -= skipped;
                    *input = &input[skipped..];
                    return Ok(None);
                }
            }
        }
    }

    fn is_done(&self) -> bool {
        matches!(self, Self::Echo(0))
    }
}

impl ServerHandshake {
    /// Waits for C0.
    pub fn new(random: [u8; HANDSHAKE_RANDOM_BYTES]) -> Self {
        Self { random: Box::new(random), stage: Stage::Version }
    }

    /// Consumes `input` up to the end of C2, and appends S0, S1 and S2 to `output` as soon as C1 is
    /// complete. Returns true when C2 is complete; what follows it stays in `input`.
    ///
    /// # Errors
    /// [`HandshakeError::Version`] when the first byte is no RTMP.
    pub fn poll(&mut self, input: &mut &[u8], output: &mut Vec<u8>) -> Result<bool, HandshakeError> {
        while let Some(c1) = self.stage.receive(input)? {
            self.answer(&c1, output);
        }
        Ok(self.stage.is_done())
    }

    fn answer(&self, c1: &[u8], output: &mut Vec<u8>) {
        output.push(VERSION);
        let s1_offset = output.len();
        output.extend_from_slice(&[0; PACKET_HEADER_BYTES]);
        output.extend_from_slice(&self.random[..]);
        match digest::find(c1, Key::Player) {
            Some((scheme, c1_digest)) => {
                let s1 = &mut output[s1_offset..];
                s1[4..PACKET_HEADER_BYTES].copy_from_slice(&SIGNED_VERSION);
                digest::sign(s1, scheme, Key::Server);
                output.extend_from_slice(&digest::answer(&c1_digest, &self.random[..]));
            }
            // S2 echoes C1 exactly: strict clients compare it.
            None => output.extend_from_slice(c1),
        }
    }
}

/// The connecting side of a connection: simple, since no server asks a publisher for more.
#[derive(Debug)]
pub(super) struct ClientHandshake {
    stage: Stage,
}

impl ClientHandshake {
    /// Appends C0 and C1 to `output` and waits for S0.
    pub fn new(random: &[u8; HANDSHAKE_RANDOM_BYTES], output: &mut Vec<u8>) -> Self {
        output.push(VERSION);
        output.extend_from_slice(&[0; PACKET_HEADER_BYTES]);
        output.extend_from_slice(random);
        Self { stage: Stage::Version }
    }

    /// Consumes `input` up to the end of S2 and appends C2 to `output` when S1 is complete. Returns
    /// true when S2 is complete.
    ///
    /// # Errors
    /// [`HandshakeError::Version`] when the first byte is no RTMP.
    pub fn poll(&mut self, input: &mut &[u8], output: &mut Vec<u8>) -> Result<bool, HandshakeError> {
        while let Some(s1) = self.stage.receive(input)? {
            output.extend_from_slice(&s1);
        }
        Ok(self.stage.is_done())
    }
}

#[cfg(test)]
mod tests {
    use super::super::digest::Scheme;
    use super::*;

    fn random() -> [u8; HANDSHAKE_RANDOM_BYTES] {
        std::array::from_fn(|i| (i * 31 % 251) as u8)
    }

    fn c1(scheme: Option<Scheme>) -> Vec<u8> {
        let mut c1: Vec<u8> = (0..PACKET_BYTES).map(|i| (i * 7 + 3) as u8).collect();
        if let Some(scheme) = scheme {
            digest::sign(&mut c1, scheme, Key::Player);
        }
        c1
    }

    /// The server's answer, and the input that is left.
    fn run(pieces: &[&[u8]]) -> (Vec<u8>, Vec<u8>) {
        let mut handshake = ServerHandshake::new(random());
        let (mut output, mut left, mut done) = (Vec::new(), Vec::new(), false);
        for piece in pieces {
            let mut input = *piece;
            if !done {
                done = handshake.poll(&mut input, &mut output).unwrap();
            }
            left.extend_from_slice(input);
        }
        assert!(done);
        (output, left)
    }

    #[test]
    fn echoes_c1_and_keeps_what_follows_at_every_split() {
        let mut bytes = vec![VERSION];
        bytes.extend(c1(None));
        bytes.extend([0xee; PACKET_BYTES]);
        bytes.extend(b"next");
        let (output, left) = run(&[&bytes]);
        assert_eq!((output.len(), left.as_slice()), (1 + 2 * PACKET_BYTES, &b"next"[..]));
        assert_eq!(output[1..9], [0; 8]);
        assert_eq!(output[9..1 + PACKET_BYTES], random());
        assert_eq!(output[1 + PACKET_BYTES..], c1(None));
        for split in 0..bytes.len() {
            let (a, b) = bytes.split_at(split);
            assert_eq!(run(&[a, b]), (output.clone(), left.clone()), "split at {split}");
        }
        let bytewise: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(run(&bytewise), (output, left));
    }

    #[test]
    fn answers_before_c2_arrives() {
        let mut handshake = ServerHandshake::new(random());
        let mut bytes = vec![VERSION];
        bytes.extend(c1(None));
        let mut output = Vec::new();
        assert!(!handshake.poll(&mut bytes.as_slice(), &mut output).unwrap());
        assert_eq!(output.len(), 1 + 2 * PACKET_BYTES);
    }

    #[test]
    fn signs_for_a_client_that_signs_in_the_same_scheme() {
        for scheme in Scheme::ALL {
            let c1 = c1(Some(scheme));
            let mut bytes = vec![VERSION];
            bytes.extend(&c1);
            bytes.extend([0; PACKET_BYTES]);
            let (output, _) = run(&[&bytes]);
            let (s1, s2) = output[1..].split_at(PACKET_BYTES);
            assert_ne!(s1[4..8], [0; 4]);
            assert_eq!(digest::find(s1, Key::Server).map(|found| found.0), Some(scheme));
            let (_, c1_digest) = digest::find(&c1, Key::Player).unwrap();
            assert_eq!(s2, digest::answer(&c1_digest, &random()));
        }
    }

    #[test]
    fn refuses_what_is_not_plain_rtmp() {
        for found in [0, 2, 6, 8, 0x16, b'G'] {
            let result = ServerHandshake::new(random()).poll(&mut &[found, 1][..], &mut Vec::new());
            assert_eq!(result, Err(HandshakeError::Version { found }));
        }
    }

    #[test]
    fn client_and_server_meet_at_every_split_of_the_answer() {
        for split in [0, 1, 2, 1536, 1537, 1538, 3072, 3073] {
            let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
            let mut client = ClientHandshake::new(&random(), &mut to_server);
            let mut server = ServerHandshake::new(random());
            assert!(!server.poll(&mut to_server.as_slice(), &mut to_client).unwrap());
            to_server.clear();
            let (a, b) = to_client.split_at(split);
            let early = client.poll(&mut &a[..], &mut to_server).unwrap();
            assert_eq!(early, split == to_client.len());
            assert!(client.poll(&mut &b[..], &mut to_server).unwrap());
            assert_eq!(to_server, to_client[1..=PACKET_BYTES]);
            assert!(server.poll(&mut to_server.as_slice(), &mut Vec::new()).unwrap());
        }
    }
}
