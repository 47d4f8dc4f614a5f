//! Every bound of the server in one place, each with its reason, and assertions between neighbours.
//!
//! A queue, map, loop or recursion over what a peer sends points at a line of this file.

// Names ---------------------------------------------------------------------------------------

/// Characters of one path segment of a stream's name (`app`, `key`).
pub const NAME_SEGMENT_CHARS_MAX: usize = 128;
/// Path segments of an application name: ffmpeg takes up to two of a URL's.
pub const APP_SEGMENTS_MAX: usize = 2;
/// Characters of a stream's name in a log line.
pub const NAME_LOGGED_CHARS_MAX: usize = 64;
/// First path segments that the HTTP side keeps for itself, so that no application has them.
pub const APPS_RESERVED: [&str; 7] = ["api", "watch", "status", "metrics", "health", "ready", "assets"];

// Shards --------------------------------------------------------------------------------------

/// Submission entries of a shard's rings: 8 executors of this depth fit the usual 8 MiB of RLIMIT_MEMLOCK.
pub const RING_ENTRIES: usize = 1024;
/// Bytes that a shard registers with its ring. The sockets do not use them; this is the least glommio takes.
pub const RING_IO_BYTES: usize = 64 * 1024;
/// Bytes of locked memory a shard's rings are counted with (8 executors at [`RING_ENTRIES`] fit 8 MiB).
pub const SHARD_MEMLOCK_BYTES: u64 = 1024 * 1024;
/// Bytes of RLIMIT_MEMLOCK below which glommio starts no executor, whoever runs it.
pub const MEMLOCK_BYTES_MIN: u64 = 512 * 1024;
const _: () = assert!(SHARD_MEMLOCK_BYTES >= MEMLOCK_BYTES_MIN);
/// Open files below which a server is of no use: rings, listeners and a few hundred viewers.
pub const OPEN_FILES_MIN: u64 = 1024;
/// Shards of one process: a bound for typing errors, above the processors of any host we know.
pub const SHARDS_MAX: usize = 1024;
/// Microseconds between two ticks of a shard: the timer that keeps the executor awake also drives the deadlines.
pub const TICK_US: u64 = 5_000;
/// Microseconds that a tick may be late before it counts as a stall.
pub const STALL_US: u64 = 8_000;
const _: () = assert!(STALL_US > TICK_US);
/// Ticks that the deadline wheel spans at once (5.12 s); later deadlines go round again.
pub const DEADLINE_TICKS: usize = 1024;
const _: () = assert!(DEADLINE_TICKS.is_power_of_two());
/// Events taken from the epoll set in one borrow of the slab.
pub const POLL_EVENTS_MAX: usize = 64;
/// Bytes of a shard's receive buffer: what one read takes at most.
pub const RECV_BYTES_MAX: usize = 64 * 1024;
/// Bytes that a task reads or writes before it takes a ring turn.
pub const TURN_BYTES_MAX: usize = 256 * 1024;
const _: () = assert!(TURN_BYTES_MAX >= RECV_BYTES_MAX);
/// Requests, connections or messages that a task handles before it takes a ring turn.
pub const TURN_REQUESTS_MAX: usize = 64;
/// Slices gathered into one `sendmsg`; the kernel's IOV_MAX is 1024.
pub const GATHER_SLICES_MAX: usize = 64;
const _: () = assert!(GATHER_SLICES_MAX <= 1024);
/// Connections the kernel queues for a listener; it cuts this to `net.core.somaxconn`.
pub const LISTEN_BACKLOG: i32 = 4096;
/// Milliseconds without accepting after the process or host ran out of descriptors or memory.
pub const ACCEPT_PAUSE_MS: u64 = 100;
/// Parked viewers that one ring turn wakes: a crowd must not delay what else the shard carries.
pub const WAKES_PER_TURN_MAX: usize = 256;
/// Parked viewers of one list that are woken before the next list has its share.
pub const WAKES_PER_LIST_MAX: usize = 64;
const _: () = assert!(WAKES_PER_LIST_MAX <= WAKES_PER_TURN_MAX);
