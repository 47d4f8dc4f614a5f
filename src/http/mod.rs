//! HTTP/1.1 (RFC 9112): request heads in, response heads out.
