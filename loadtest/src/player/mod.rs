//! A player without sockets: what it asks for next, and what it makes of the answers.

mod listing;
mod parts;
mod playback;
mod rendition;
#[cfg(test)]
mod rendition_tests;

pub use listing::{Address, Channel, Listing, Listings, unpack};
pub use parts::{PartRead, PartRecord, Parts, hash_of};
pub use playback::{Playback, Stall};
pub use rendition::{ListedPiece, Reload, Reloaded, Rendition, Taken, Wanted, WantedKind};
