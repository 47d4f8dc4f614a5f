//! Publish tokens: JSON Web Tokens (RFC 7515, 7519) in compact form, HS256 and nothing else.
//!
//! The header that a token brings chooses nothing: the signature is checked by HS256 whatever it says, and then
//! it must say so. Tokens of other tools verify if they have the secret and our claims.

use std::borrow::Cow;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::base64url;
use super::permit::{Permit, TokenDigest};
use crate::limits::{TOKEN_BYTES_MAX, TOKEN_SUBJECT_BYTES_MAX};
use crate::secret::Secret;

/// The header of every token that we make.
const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;
/// The one thing that tokens are for.
const ACT_PUBLISH: &str = "publish";

/// What a token says: who may publish which stream, and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// `app/key`.
    pub stream: String,
    /// When it was made, Unix seconds.
    pub issued_unix_s: u64,
    /// The first second in which it is no longer valid, Unix seconds.
    pub expires_unix_s: u64,
}

/// Why a token was refused. Holds nothing of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// An empty text.
    #[error("no token")]
    Missing,
    /// Longer than any of ours.
    #[error("token of {found} bytes; at most {TOKEN_BYTES_MAX} are allowed")]
    TooLong {
        /// Bytes found.
        found: usize,
    },
    /// Not three base64url fields, or not our claims in them.
    #[error("malformed token")]
    Malformed,
    /// Another algorithm than HS256.
    #[error("token not signed by HS256")]
    Algorithm,
    /// Not signed with our secret.
    #[error("token not signed by this server")]
    Signature,
    /// For something else than publishing.
    #[error("token not for publishing")]
    Act,
    /// For another stream.
    #[error("token for another stream")]
    OtherStream,
    /// Past its end.
    #[error("token expired {ago_s} s ago")]
    Expired {
        /// Seconds since.
        ago_s: u64,
    },
}

/// Makes and checks tokens with one secret.
#[derive(Clone)]
pub struct Tokens {
    /// The keyed state, before any message.
    hmac: Hmac<Sha256>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens(..)")
    }
}

/// What we read of a header.
#[derive(Deserialize)]
struct Header<'a> {
    alg: &'a str,
    /// Extensions that must be understood (RFC 7515, section 4.1.11): we understand none.
    crit: Option<serde::de::IgnoredAny>,
}

#[derive(Serialize, Deserialize)]
struct Payload<'a> {
    #[serde(borrow)]
    sub: Cow<'a, str>,
    #[serde(borrow)]
    act: Cow<'a, str>,
    iat: u64,
    exp: u64,
}

impl Tokens {
    /// Signs and checks with this secret.
    pub fn new(secret: &Secret) -> Self {
        let hmac = Hmac::new_from_slice(secret.expose().as_bytes());
        Self { hmac: hmac.expect("HMAC takes a key of any length") }
    }

    /// The token for these claims; it needs no escaping in a URL or in an encoder's key field. The stream's
    /// name is one that was checked, so the token is shorter than `TOKEN_BYTES_MAX`.
    pub fn mint(&self, claims: &Claims) -> String {
        debug_assert!(claims.stream.len() <= TOKEN_SUBJECT_BYTES_MAX);
        let (sub, act) = (claims.stream.as_str().into(), ACT_PUBLISH.into());
        let payload = Payload { sub, act, iat: claims.issued_unix_s, exp: claims.expires_unix_s };
        let json = serde_json::to_vec(&payload).expect("two texts and two numbers are JSON");
        let mut token = base64url::encode(HEADER.as_bytes());
        token.push('.');
        token.push_str(&base64url::encode(&json));
        let signature = self.hmac.clone().chain_update(token.as_bytes()).finalize().into_bytes();
        token.push('.');
        token.push_str(&base64url::encode(&signature));
        token
    }

    /// Checks a token for publishing `stream` (`app/key`) at a time in Unix seconds. The signature comes
    /// first, so nothing is parsed that we did not sign, and the work does not depend on the stream.
    ///
    /// # Errors
    /// [`TokenError`]: the first check that failed, in the order of its variants.
    pub fn verify(&self, token: &str, stream: &str, now_unix_s: u64) -> Result<Claims, TokenError> {
        if token.is_empty() {
            return Err(TokenError::Missing);
        }
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::TooLong { found: token.len() });
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        let signature = base64url::decode(signature).ok_or(TokenError::Malformed)?;
        // Compared in constant time by the crate.
        let hmac = self.hmac.clone().chain_update(signed.as_bytes());
        hmac.verify_slice(&signature).map_err(|_| TokenError::Signature)?;

        let header = base64url::decode(header).ok_or(TokenError::Malformed)?;
        let header: Header<'_> = serde_json::from_slice(&header).map_err(|_| TokenError::Malformed)?;
        if header.alg != "HS256" || header.crit.is_some() {
            return Err(TokenError::Algorithm);
        }
        let payload = base64url::decode(payload).ok_or(TokenError::Malformed)?;
        let payload: Payload<'_> = serde_json::from_slice(&payload).map_err(|_| TokenError::Malformed)?;
        if payload.act != ACT_PUBLISH {
            return Err(TokenError::Act);
        }
        if !bool::from(payload.sub.as_bytes().ct_eq(stream.as_bytes())) {
            return Err(TokenError::OtherStream);
        }
        // RFC 7519, 4.1.4: not accepted on or after the expiration time.
        if now_unix_s >= payload.exp {
            return Err(TokenError::Expired { ago_s: now_unix_s - payload.exp });
        }
        let stream = payload.sub.into_owned();
        Ok(Claims { stream, issued_unix_s: payload.iat, expires_unix_s: payload.exp })
    }

    /// What a token allows on `stream` at a time in Unix seconds.
    ///
    /// # Errors
    /// [`TokenError`] of any kind but [`TokenError::Expired`].
    pub fn permit(&self, token: &str, stream: &str, now_unix_s: u64) -> Result<Permit, TokenError> {
        match self.verify(token, stream, now_unix_s) {
            Ok(_) => Ok(Permit::Valid(TokenDigest::of(token))),
            // The last of the checks: all others were passed.
            Err(TokenError::Expired { ago_s }) => {
                Ok(Permit::Expired { token: TokenDigest::of(token), ago_s })
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: u64 = 1_800_000_000;
    const KNOWN: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.\
        eyJzdWIiOiJsaXZlL2RlbW8iLCJhY3QiOiJwdWJsaXNoIiwiaWF0IjoxODAwMDAwMDAwLCJleHAiOjE4MDAwMDAwNjB9.\
        BeXXjMlrAAQSix4GcBcV-m8Z9lcMk6XG0eZtmRiGviU";

    fn tokens() -> Tokens {
        Tokens::new(&Secret::new("a secret of thirty-two characters"))
    }

    fn claims() -> Claims {
        Claims { stream: "live/demo".into(), issued_unix_s: NOW, expires_unix_s: NOW + 60 }
    }

    /// Signs any header and payload, as a holder of the secret could.
    fn signed(header: &str, payload: &str) -> String {
        let signed =
            format!("{}.{}", base64url::encode(header.as_bytes()), base64url::encode(payload.as_bytes()));
        let signature = tokens().hmac.chain_update(signed.as_bytes()).finalize().into_bytes();
        format!("{signed}.{}", base64url::encode(&signature))
    }

    /// Computed by another implementation (Python's hmac and base64).
    #[test]
    fn mints_what_any_other_tool_would_verify() {
        assert_eq!(tokens().mint(&claims()), KNOWN);
        assert_eq!(tokens().verify(KNOWN, "live/demo", NOW), Ok(claims()));
    }

    #[test]
    fn defect_9_only_an_unexpired_token_of_ours_for_this_stream_lets_publish() {
        use TokenError::*;
        let token = tokens().mint(&claims());
        let payload = r#"{"sub":"live/demo","act":"publish","iat":0,"exp":9999999999}"#;
        let (header, rest) = token.split_once('.').unwrap();
        let none = base64url::encode(br#"{"alg":"none","typ":"JWT"}"#);
        let other = Tokens::new(&Secret::new("another secret")).mint(&claims());
        for (token, stream, now, error) in [
            ("", "live/demo", NOW, Missing),
            ("x", "live/demo", NOW, Malformed),
            ("..", "live/demo", NOW, Signature),
            (&format!("{header}.{rest}=") as &str, "live/demo", NOW, Malformed),
            (&format!("{token}.{token}"), "live/demo", NOW, Signature),
            (&"x".repeat(TOKEN_BYTES_MAX + 1), "live/demo", NOW, TooLong { found: TOKEN_BYTES_MAX + 1 }),
            (&format!("{none}.{rest}"), "live/demo", NOW, Signature),
            (&format!("{none}.{}.", base64url::encode(payload.as_bytes())), "live/demo", NOW, Signature),
            (&other, "live/demo", NOW, Signature),
            (&signed(r#"{"alg":"HS512"}"#, payload), "live/demo", NOW, Algorithm),
            (&signed(r#"{"alg":"none"}"#, payload), "live/demo", NOW, Algorithm),
            (&signed(r#"{"alg":"HS256","crit":["x"]}"#, payload), "live/demo", NOW, Algorithm),
            (&signed("{}", payload), "live/demo", NOW, Malformed),
            (&signed(HEADER, "{}"), "live/demo", NOW, Malformed),
            (&signed(HEADER, r#"{"sub":"live/demo","act":"publish","iat":0}"#), "live/demo", NOW, Malformed),
            (&signed(HEADER, &payload.replace("publish", "watch")), "live/demo", NOW, Act),
            (&token, "live/demo2", NOW, OtherStream),
            (&token, "live/dem", NOW, OtherStream),
            (&token, "", NOW, OtherStream),
            (&token, "live/demo", NOW + 60, Expired { ago_s: 0 }),
            (&token, "live/demo", NOW + 65, Expired { ago_s: 5 }),
        ] {
            assert_eq!(tokens().verify(token, stream, now), Err(error), "{token} {stream} {now}");
        }
        assert_eq!(tokens().verify(&token, "live/demo", NOW + 59), Ok(claims()));
    }

    #[test]
    fn only_a_token_that_is_in_order_but_for_its_age_permits_what_an_expired_one_does() {
        let token = tokens().mint(&claims());
        let digest = TokenDigest::of(&token);
        let permit = |token: &str, stream, now| tokens().permit(token, stream, now);
        assert_eq!(permit(&token, "live/demo", NOW + 59), Ok(Permit::Valid(digest)));
        let expired = Permit::Expired { token: digest, ago_s: 5 };
        assert_eq!(permit(&token, "live/demo", NOW + 65), Ok(expired));
        assert_eq!(permit(&token, "live/other", NOW + 65), Err(TokenError::OtherStream));
        let other = Tokens::new(&Secret::new("another secret")).mint(&claims());
        assert_eq!(permit(&other, "live/demo", NOW + 65), Err(TokenError::Signature));
        assert_eq!(permit("", "live/demo", NOW + 65), Err(TokenError::Missing));
    }

    #[test]
    fn the_longest_name_fits_in_a_token() {
        let stream = "x".repeat(TOKEN_SUBJECT_BYTES_MAX);
        let claims = Claims { stream: stream.clone(), issued_unix_s: u64::MAX, expires_unix_s: u64::MAX };
        let token = tokens().mint(&claims);
        assert!(token.len() <= TOKEN_BYTES_MAX, "{}", token.len());
        assert_eq!(tokens().verify(&token, &stream, NOW), Ok(claims));
    }

    proptest! {
        #[test]
        fn a_token_with_one_byte_changed_is_worth_nothing(place in 0..KNOWN.len(), byte in 0x20u8..0x7f) {
            let mut changed = KNOWN.as_bytes().to_vec();
            prop_assume!(changed[place] != byte);
            changed[place] = byte;
            let changed = String::from_utf8(changed).unwrap();
            prop_assert!(tokens().verify(&changed, "live/demo", NOW).is_err());
        }
    }
}
