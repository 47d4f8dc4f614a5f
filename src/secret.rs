//! Text that must not reach a log: keys, tokens, signing secrets.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A secret text. `Debug` prints nothing of it, and there is no `Display`. Its `==` takes its time and is for
/// comparing configurations: what a peer presents is compared by the types that check it.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(Box<str>);

impl Secret {
    /// Takes a text in.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// 64 hex digits of random bytes, so that it can be shown, pasted and kept in a file.
    pub fn from_random(bytes: [u8; 32]) -> Self {
        let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble)]);
        let text: String = bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect();
        Self::new(text)
    }

    /// The text itself; whoever calls this answers for where it goes.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// True when none was set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_empty() { "Secret(unset)" } else { "Secret(..)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_whether_it_is_set_and_nothing_else() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(..)");
        assert_eq!(format!("{:?}", Secret::default()), "Secret(unset)");
    }

    #[test]
    fn random_bytes_become_hex() {
        let mut bytes = [0; 32];
        (bytes[0], bytes[31]) = (0x0f, 0xa5);
        assert_eq!(Secret::from_random(bytes).expose(), format!("0f{}a5", "00".repeat(30)));
    }
}
