//! What a publisher may do by the token that it showed.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::base64url;

/// Tells a token again without being one: the SHA-256 of its text, of which 256 bits are a signature.
///
/// It may be kept in a state file. `Debug` prints nothing of it all the same.
#[derive(Clone, Copy)]
pub struct TokenDigest([u8; 32]);

/// What is allowed on one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permit {
    /// Everything: nobody is asked for a token.
    Open,
    /// Starting a session, or going on with one.
    Valid(TokenDigest),
    /// The token is ours, for this stream, and past its end: going on with the session that it started.
    Expired {
        /// Which one it is.
        token: TokenDigest,
        /// Seconds since its end.
        ago_s: u64,
    },
}

impl Permit {
    /// The token that was shown.
    pub fn token(&self) -> Option<TokenDigest> {
        match *self {
            Self::Open => None,
            Self::Valid(token) | Self::Expired { token, .. } => Some(token),
        }
    }
}

impl TokenDigest {
    /// Of a token's text.
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }
}

impl PartialEq for TokenDigest {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for TokenDigest {}

impl std::fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenDigest(..)")
    }
}

impl Serialize for TokenDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&base64url::encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for TokenDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = base64url::decode(&String::deserialize(deserializer)?);
        let bytes = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        bytes.map(Self).ok_or_else(|| serde::de::Error::custom("no digest of a token"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_reads_back_as_it_was_written_and_shows_nothing() {
        let digest = TokenDigest::of("header.payload.signature");
        let text = serde_json::to_string(&digest).unwrap();
        assert_eq!(serde_json::from_str::<TokenDigest>(&text).unwrap(), digest);
        assert_ne!(TokenDigest::of("header.payload.other"), digest);
        assert!(serde_json::from_str::<TokenDigest>(&text.replacen('"', "\"A", 1)).is_err());
        assert_eq!(format!("{digest:?}"), "TokenDigest(..)");
    }
}
