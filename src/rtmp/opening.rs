//! What a connection speaks, by its first byte: so that one port takes RTMP and RTMPS (Adobe RTMP 1.0, 5.2.2;
//! RFC 8446, 5.1).

use std::fmt;

/// C0 of RTMP, of its only version that is not encrypted by itself.
pub(super) const RTMP_VERSION: u8 = 3;

/// What begins with a byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// RTMP.
    Rtmp,
    /// A TLS handshake record, and so RTMPS.
    Tls,
    /// RTMP with encryption of its own, which nobody here speaks.
    Rtmpe,
    /// A version of RTMP that there is not.
    RtmpVersion,
    /// Text: HTTP, RTMPT, somebody who scans ports.
    Text,
    /// Anything else.
    Unknown,
}

impl Opening {
    /// What begins with `first`.
    pub fn of(first: u8) -> Self {
        match first {
            RTMP_VERSION => Self::Rtmp,
            0x16 => Self::Tls,
            6 | 8 => Self::Rtmpe,
            // 5.2.2: versions up to 31 are reserved, what follows would be taken for text.
            0..=31 => Self::RtmpVersion,
            b' '..=b'~' => Self::Text,
            _ => Self::Unknown,
        }
    }
}

impl fmt::Display for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rtmp => "RTMP",
            Self::Tls => "TLS",
            Self::Rtmpe => "RTMPE, in whose place there is rtmps://",
            Self::RtmpVersion => "an unknown version of RTMP",
            Self::Text => "text, such as HTTP",
            Self::Unknown => "of no known protocol",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_byte_tells_what_is_spoken() {
        for (bytes, opening) in [
            (&[3][..], Opening::Rtmp),
            (&[0x16], Opening::Tls),
            (&[6, 8], Opening::Rtmpe),
            (&[0, 1, 2, 4, 5, 7, 9, 31], Opening::RtmpVersion),
            (b"GET /~", Opening::Text),
            (&[0x7f, 0x80, 0xff], Opening::Unknown),
        ] {
            for &first in bytes {
                assert_eq!(Opening::of(first), opening, "{first:#x}");
            }
        }
    }
}
