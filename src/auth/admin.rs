//! The key for the calls that change something.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::secret::Secret;

/// The admin key, kept as its digest: comparing digests takes the same time for any presented length.
#[derive(Clone)]
pub struct AdminKey {
    digest: [u8; 32],
}

impl AdminKey {
    /// Keeps the digest of a key. An empty key is for nobody: [`AdminKey::matches`] never says yes to it.
    pub fn new(key: &Secret) -> Self {
        Self { digest: digest(key.expose()) }
    }

    /// True when `presented` is the key; the work is the same when nothing was presented.
    pub fn matches(&self, presented: Option<&str>) -> bool {
        let presented = presented.unwrap_or("");
        let equal = digest(presented).ct_eq(&self.digest);
        bool::from(equal) && !presented.is_empty()
    }
}

impl std::fmt::Debug for AdminKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AdminKey(..)")
    }
}

fn digest(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Predecessor's defect 10: anyone could mint tokens and stop streams.
    #[test]
    fn defect_10_only_the_key_itself_is_let_in() {
        let key = AdminKey::new(&Secret::new("0123456789abcdef"));
        assert!(key.matches(Some("0123456789abcdef")));
        let wrong =
            [None, Some(""), Some("0123456789abcde"), Some("0123456789abcdeg"), Some("0123456789abcdef ")];
        for presented in wrong {
            assert!(!key.matches(presented), "{presented:?}");
        }
        let unset = AdminKey::new(&Secret::default());
        assert!(!unset.matches(None) && !unset.matches(Some("")));
        assert_eq!(format!("{key:?}"), "AdminKey(..)");
    }
}
