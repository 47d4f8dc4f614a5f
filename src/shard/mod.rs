//! Executors, sockets, parked viewers, shard-to-shard events.
