//! One publisher's ingest, one stream as one shard sees it, media requests to responses.
