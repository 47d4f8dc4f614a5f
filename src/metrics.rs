//! Counters and histograms, one set a shard, and their Prometheus text.
