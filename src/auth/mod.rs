//! Who may publish and who may administer: tokens, the admin key, and a wait for those who guess.
//!
//! All comparisons of secrets take the same time wherever they differ, and no error holds what was presented.

mod admin;
mod backoff;
mod base64url;
mod permit;
mod token;

pub use admin::AdminKey;
pub use backoff::{Backoff, host};
pub use permit::{Permit, TokenDigest};
pub use token::{Claims, TokenError, Tokens};
