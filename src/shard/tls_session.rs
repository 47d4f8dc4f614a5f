//! One TLS connection as bytes in and bytes out: the states of rustls's unbuffered interface, worked off.

use std::io::{self, IoSlice};

use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus, WriteTraffic};

use crate::limits::{TLS_RECORD_BYTES_MAX, TLS_UNREAD_BYTES_MAX};

/// Bytes that a record adds: header, explicit nonce, content type, tag. A first guess, rustls knows better.
const RECORD_OVERHEAD_BYTES: usize = 64;

/// The state of a connection, and what was received of a record that is not whole.
pub(super) struct Session {
    connection: UnbufferedServerConnection,
    /// The beginning of a record, or of a handshake message in several.
    unread: Vec<u8>,
    /// The peer has sent its close_notify.
    is_ended: bool,
    /// After an error rustls is not asked again: it still counts the bytes that it was shown before.
    has_failed: bool,
}

/// Encrypted bytes in memory that is reused.
#[derive(Default)]
pub(super) struct Outgoing {
    /// Bytes behind `filled` are of no meaning: filling them with zeros each time would cost as much as a copy.
    bytes: Vec<u8>,
    filled: usize,
    /// Small pieces on their way into one record.
    record: Vec<u8>,
}

impl Session {
    pub(super) fn new(connection: UnbufferedServerConnection) -> Self {
        Self { connection, unread: Vec::new(), is_ended: false, has_failed: false }
    }

    pub(super) fn connection(&self) -> &UnbufferedServerConnection {
        &self.connection
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    pub(super) fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// Appends the plaintext of whole records to `plain`, and to `out` what TLS itself has to answer.
    ///
    /// # Errors
    /// `InvalidData`; `out` then ends with the alert, and every later call is the same error.
    pub(super) fn decrypt(
        &mut self,
        received: &mut [u8],
        plain: &mut Vec<u8>,
        out: &mut Outgoing,
    ) -> io::Result<()> {
        if self.has_failed {
            return Err(invalid("TLS has failed before"));
        }
        let decrypted = self.decrypt_next(received, plain, out);
        self.has_failed = decrypted.is_err();
        decrypted
    }

    fn decrypt_next(
        &mut self,
        received: &mut [u8],
        plain: &mut Vec<u8>,
        out: &mut Outgoing,
    ) -> io::Result<()> {
        if self.unread.is_empty() {
            let used = self.advance(received, plain, out)?;
            self.unread.extend_from_slice(&received[used..]);
        } else {
            let mut unread = std::mem::take(&mut self.unread);
            unread.extend_from_slice(received);
            let used = self.advance(&mut unread, plain, out)?;
            unread.drain(..used);
            if !unread.is_empty() {
                self.unread = unread;
            }
        }
        if self.unread.len() > TLS_UNREAD_BYTES_MAX {
            return Err(invalid("a handshake message that does not end"));
        }
        Ok(())
    }

    /// Works off all records that are whole; returns how many bytes those were.
    fn advance(&mut self, bytes: &mut [u8], plain: &mut Vec<u8>, out: &mut Outgoing) -> io::Result<usize> {
        let mut used = 0;
        loop {
            let UnbufferedStatus { mut discard, state } =
                self.connection.process_tls_records(&mut bytes[used..]);
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(invalid)?;
                        plain.extend_from_slice(record.payload);
                        discard += record.discard;
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut message)) => out.encode(|room| message.encode(room))?,
                // It goes out in the order in which it was encoded, before anything later.
                Ok(ConnectionState::TransmitTlsData(message)) => message.done(),
                Ok(ConnectionState::PeerClosed) => self.is_ended = true,
                Ok(
                    ConnectionState::BlockedHandshake
                    | ConnectionState::WriteTraffic(_)
                    | ConnectionState::Closed,
                ) => return Ok(used + discard),
                // Early data is not offered, and there is no other state.
                Ok(_) => return Err(invalid("an unknown state of TLS")),
                Err(error) => {
                    self.take_alert(&mut bytes[used..], out);
                    return Err(invalid(error));
                }
            }
            used += discard;
        }
    }

    /// After an error: what the peer is to be told.
    fn take_alert(&mut self, bytes: &mut [u8], out: &mut Outgoing) {
        // No further: it would read the same bytes again, and find the same fault.
        while self.connection.wants_write() {
            let Ok(ConnectionState::EncodeTlsData(mut message)) =
                self.connection.process_tls_records(bytes).state
            else {
                return;
            };
            if out.encode(|room| message.encode(room)).is_err() {
                return;
            }
        }
    }

    /// Encrypts up to `bytes_max` bytes of the slices into full records; returns how many.
    ///
    /// # Errors
    /// `BrokenPipe` after our close_notify, or when the keys are worn out and cannot be renewed.
    pub(super) fn encrypt(
        &mut self,
        slices: &[IoSlice<'_>],
        bytes_max: usize,
        out: &mut Outgoing,
    ) -> io::Result<usize> {
        self.writing(out, |traffic, out| {
            let mut taken = 0;
            out.record.clear();
            for slice in slices {
                let mut rest = &slice[..slice.len().min(bytes_max - taken)];
                taken += rest.len();
                while !rest.is_empty() {
                    let (now, later) = if out.record.is_empty() && rest.len() >= TLS_RECORD_BYTES_MAX {
                        let (whole, later) = rest.split_at(rest.len() - rest.len() % TLS_RECORD_BYTES_MAX);
                        out.seal(traffic, whole)?;
                        (&[][..], later)
                    } else {
                        rest.split_at(rest.len().min(TLS_RECORD_BYTES_MAX - out.record.len()))
                    };
                    out.record.extend_from_slice(now);
                    if out.record.len() == TLS_RECORD_BYTES_MAX {
                        out.seal_record(traffic)?;
                    }
                    rest = later;
                }
            }
            out.seal_record(traffic)?;
            Ok(taken)
        })
    }

    /// Appends our close_notify, where the connection still has a say.
    pub(super) fn close(&mut self, out: &mut Outgoing) {
        // A connection that failed has had its alert.
        let _ = self.writing(out, |traffic, out| out.encode(|room| traffic.queue_close_notify(room)));
    }

    /// Goes to the state in which something can be written.
    fn writing<R>(
        &mut self,
        out: &mut Outgoing,
        write: impl FnOnce(
            &mut WriteTraffic<'_, rustls::server::ServerConnectionData>,
            &mut Outgoing,
        ) -> io::Result<R>,
    ) -> io::Result<R> {
        if self.has_failed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut unread = std::mem::take(&mut self.unread);
        let result = loop {
            // With the bytes that it has seen the beginning of: it counts from there.
            let UnbufferedStatus { discard, state } = self.connection.process_tls_records(&mut unread);
            debug_assert!(discard == 0, "whole records are worked off as they come");
            match state {
                Ok(ConnectionState::WriteTraffic(mut traffic)) => break write(&mut traffic, out),
                Ok(ConnectionState::EncodeTlsData(mut message)) => {
                    if let Err(error) = out.encode(|room| message.encode(room)) {
                        break Err(error);
                    }
                }
                Ok(ConnectionState::TransmitTlsData(message)) => message.done(),
                Ok(ConnectionState::PeerClosed) => self.is_ended = true,
                Ok(_) => break Err(io::ErrorKind::BrokenPipe.into()),
                Err(error) => break Err(invalid(error)),
            }
        };
        self.unread = unread;
        result
    }
}

impl Outgoing {
    pub(super) fn clear(&mut self) {
        self.filled = 0;
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }

    fn seal_record(
        &mut self,
        traffic: &mut WriteTraffic<'_, rustls::server::ServerConnectionData>,
    ) -> io::Result<()> {
        if self.record.is_empty() {
            return Ok(());
        }
        let mut record = std::mem::take(&mut self.record);
        let sealed = self.seal(traffic, &record);
        record.clear();
        self.record = record;
        sealed
    }

    fn seal(
        &mut self,
        traffic: &mut WriteTraffic<'_, rustls::server::ServerConnectionData>,
        plain: &[u8],
    ) -> io::Result<()> {
        let records_count = plain.len().div_ceil(TLS_RECORD_BYTES_MAX);
        self.make_room(plain.len() + records_count * RECORD_OVERHEAD_BYTES);
        self.encode(|room| traffic.encrypt(plain, room))
    }

    fn make_room(&mut self, bytes: usize) {
        let wanted = self.filled + bytes;
        if self.bytes.len() < wanted {
            self.bytes.resize(wanted, 0);
        }
    }

    /// Runs an encoder over the room behind what is filled, again with as much as it asks for.
    fn encode<E: Into<Short>>(
        &mut self,
        mut encoder: impl FnMut(&mut [u8]) -> Result<usize, E>,
    ) -> io::Result<()> {
        loop {
            match encoder(&mut self.bytes[self.filled..]).map_err(Into::into) {
                Ok(written) => {
                    self.filled += written;
                    return Ok(());
                }
                Err(Short { required: Some(required) }) if required > self.bytes.len() - self.filled => {
                    self.make_room(required);
                }
                Err(_) => return Err(io::ErrorKind::BrokenPipe.into()),
            }
        }
    }
}

/// How much room an encoder wants; nothing helps without.
struct Short {
    required: Option<usize>,
}

impl From<EncodeError> for Short {
    fn from(error: EncodeError) -> Self {
        let required = match error {
            EncodeError::InsufficientSize(short) => Some(short.required_size),
            EncodeError::AlreadyEncoded => None,
        };
        Self { required }
    }
}

impl From<EncryptError> for Short {
    fn from(error: EncryptError) -> Self {
        let required = match error {
            EncryptError::InsufficientSize(short) => Some(short.required_size),
            EncryptError::EncryptExhausted => None,
        };
        Self { required }
    }
}

fn invalid(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::{PrivateKeyDer, ServerName, pem::PemObject as _};
    use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig};
    use std::sync::Arc;

    fn configs() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::from_pem_slice(made.signing_key.serialize_pem().as_bytes()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        (Arc::new(server), Arc::new(client))
    }

    fn session(config: &Arc<ServerConfig>) -> Session {
        Session::new(UnbufferedServerConnection::new(Arc::clone(config)).unwrap())
    }

    #[test]
    fn a_connection_may_move_to_another_core() {
        fn movable<T: Send + 'static>() {}
        movable::<Session>();
    }

    /// The first record of a client, in two pieces, and behind it the whole handshake and some bytes.
    #[test]
    fn a_hello_cut_anywhere_shakes_hands() {
        let (server, client) = configs();
        let mut split = 1;
        loop {
            let name = ServerName::try_from("localhost").unwrap();
            let mut peer = ClientConnection::new(Arc::clone(&client), name).unwrap();
            let mut session = session(&server);
            let (mut plain, mut out, mut hello) = (Vec::new(), Outgoing::default(), Vec::new());
            peer.write_tls(&mut hello).unwrap();
            if split == hello.len() {
                break;
            }
            let (before, after) = hello.split_at_mut(split);
            session.decrypt(before, &mut plain, &mut out).unwrap();
            assert!(out.as_slice().is_empty(), "{split}");
            session.decrypt(after, &mut plain, &mut out).unwrap();
            peer.read_tls(&mut out.as_slice()).unwrap();
            peer.process_new_packets().unwrap();
            assert!(!peer.is_handshaking(), "{split}");
            std::io::Write::write_all(&mut peer.writer(), b"C0").unwrap();
            let mut finished = Vec::new();
            while peer.wants_write() {
                peer.write_tls(&mut finished).unwrap();
            }
            out.clear();
            session.decrypt(&mut finished, &mut plain, &mut out).unwrap();
            assert!(!session.is_handshaking() && plain == b"C0", "{split}");
            split += 1;
        }
        assert!(split > 100, "a hello of {split} bytes");
    }

    /// rustls counts the half message of the first record, and would look behind it in what comes after the error.
    #[test]
    fn after_an_error_nothing_is_read_or_written() {
        let (mut session, mut plain, mut out) = (session(&configs().0), Vec::new(), Outgoing::default());
        let begun = [22, 3, 1, 0, 3, 1, 0, 2];
        session.decrypt(&mut begun.clone(), &mut plain, &mut out).unwrap();
        assert_eq!(session.unread.len(), begun.len());
        let garbage = [0xff; 40];
        assert!(session.decrypt(&mut garbage.clone(), &mut plain, &mut out).is_err());
        for more in 1..10 {
            let error = session.decrypt(&mut vec![0; more], &mut plain, &mut out).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
        let error = session.encrypt(&[IoSlice::new(b"late")], 100, &mut out).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        session.close(&mut out);
        assert!(plain.is_empty());
    }
}
