//! One publisher's ingest, one stream as one shard sees it, media requests to responses.

mod colour;
pub mod findings;
pub mod home;
pub mod ingest;
pub mod learning;
pub mod live;
mod pace;
pub mod published;
pub mod recording;
pub mod resource;
pub mod tracks;
pub mod view;
