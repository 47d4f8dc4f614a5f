//! Codec headers: decoder configuration records and the strings that name codecs (RFC 6381).
