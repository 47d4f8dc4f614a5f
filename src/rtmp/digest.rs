//! Digests in the handshake, as Flash Player and what descends from it sign (not in the Adobe text).
//!
//! A signed packet holds an HMAC-SHA256 over all its other bytes, at an offset that four of its bytes
//! say. A server proves itself with a second HMAC, keyed with that of the client's digest.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::handshake::PACKET_BYTES;

/// Length of a digest.
const DIGEST_BYTES: usize = 32;

/// What both full keys end with.
const KEY_SUFFIX: [u8; 32] = [
    0xf0, 0xee, 0xc2, 0x4a, 0x80, 0x68, 0xbe, 0xe8, 0x2e, 0x00, 0xd0, 0xd1, 0x02, 0x9e, 0x7e, 0x57, 0x6e,
    0xec, 0x5d, 0x2d, 0x29, 0x80, 0x6f, 0xab, 0x93, 0xb8, 0xe6, 0x36, 0xcf, 0xeb, 0x31, 0xae,
];

/// Whose published key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// The connecting side.
    Player,
    /// The receiving side.
    Server,
}

impl Key {
    fn name(self) -> &'static [u8] {
        match self {
            Self::Player => b"Genuine Adobe Flash Player 001",
            Self::Server => b"Genuine Adobe Flash Media Server 001",
        }
    }
}

/// Where a packet keeps the four bytes that say where its digest is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    /// Right behind time and version; what ffmpeg uses.
    Front,
    /// In the middle.
    Middle,
}

impl Scheme {
    /// Both, in the order they are tried.
    pub const ALL: [Self; 2] = [Self::Front, Self::Middle];

    /// Where the digest of `packet` is: at most 776 + 727 + 32 = 1,535 bytes into it.
    fn digest_offset(self, packet: &[u8]) -> usize {
        let base = match self {
            Self::Front => 8,
            Self::Middle => 772,
        };
        let sum: usize = packet[base..base + 4].iter().map(|&b| usize::from(b)).sum();
        sum % 728 + base + 4
    }
}

/// The digest of `packet` and its scheme, if it is signed with `key`. `packet` has 1,536 bytes.
pub(super) fn find(packet: &[u8], key: Key) -> Option<(Scheme, [u8; DIGEST_BYTES])> {
    debug_assert_eq!(packet.len(), PACKET_BYTES);
    Scheme::ALL.into_iter().find_map(|scheme| {
        let offset = scheme.digest_offset(packet);
        let found = <[u8; DIGEST_BYTES]>::try_from(&packet[offset..offset + DIGEST_BYTES]).ok()?;
        packet_hmac(packet, offset, key).verify_slice(&found).is_ok().then_some((scheme, found))
    })
}

/// Puts a digest into `packet`, which has 1,536 bytes.
pub(super) fn sign(packet: &mut [u8], scheme: Scheme, key: Key) {
    debug_assert_eq!(packet.len(), PACKET_BYTES);
    let offset = scheme.digest_offset(packet);
    let digest = packet_hmac(packet, offset, key).finalize().into_bytes();
    packet[offset..offset + DIGEST_BYTES].copy_from_slice(&digest);
}

/// S2 for a client whose C1 held `c1_digest`: random bytes, then their HMAC with a key that only the
/// holder of the server's full key and of that digest has.
pub(super) fn answer(c1_digest: &[u8; DIGEST_BYTES], random: &[u8]) -> [u8; PACKET_BYTES] {
    let (signed, digest_at) = (PACKET_BYTES - DIGEST_BYTES, PACKET_BYTES - DIGEST_BYTES..);
    let mut s2 = [0; PACKET_BYTES];
    s2[..signed].copy_from_slice(&random[..signed]);
    let full_key = [Key::Server.name(), &KEY_SUFFIX].concat();
    let key = hmac(&full_key).chain_update(c1_digest).finalize().into_bytes();
    let digest = hmac(&key).chain_update(&s2[..signed]).finalize().into_bytes();
    s2[digest_at].copy_from_slice(&digest);
    s2
}

fn packet_hmac(packet: &[u8], digest_offset: usize, key: Key) -> Hmac<Sha256> {
    hmac(key.name())
        .chain_update(&packet[..digest_offset])
        .chain_update(&packet[digest_offset + DIGEST_BYTES..])
}

fn hmac(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes a key of any length")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_found_where_it_was_put_and_no_changed_bit_passes() {
        for scheme in Scheme::ALL {
            for fill in [0, 0x5a, 0xff] {
                let mut packet = [fill; PACKET_BYTES];
                sign(&mut packet, scheme, Key::Player);
                assert_eq!(find(&packet, Key::Player).map(|found| found.0), Some(scheme));
                assert_eq!(find(&packet, Key::Server), None);
                packet[700] ^= 1;
                assert_eq!(find(&packet, Key::Player), None);
            }
        }
    }
}
