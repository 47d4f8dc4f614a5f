//! HTTP/1.1 (RFC 9110, RFC 9112): request heads in, response heads out, nothing in between.
//!
//! [`parse`] borrows everything from the receive buffer and [`write_head`] appends to a buffer that the
//! connection keeps, so neither allocates. A [`Response`] knows no protocol version: HTTP/2 prints the
//! same fields from [`Response::each_field`].

mod body;
mod date;
mod fields;
mod path;
mod preface;
mod priority;
mod range;
mod request;
mod response;

pub use body::Body;
pub use date::HttpDate;
pub use path::{PathError, decode_path};
pub use preface::is_http2;
pub use priority::urgency_of;
pub use range::RangeSpec;
pub use request::{Method, Parsed, Refusal, Request, Version, parse};
pub use response::{CONTINUE, Cache, ETag, Encoding, Extra, Response, Status, content_type, write_head};
