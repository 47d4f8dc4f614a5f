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

// Control thread ------------------------------------------------------------------------------

/// Commands that wait for the control thread: a record for each segment of a stream, about 500 bytes. More are
/// dropped; the stream's next segment brings another.
pub const CONTROL_QUEUE_MAX: usize = 4096;
/// Log lines that wait to be written; more are dropped and counted. A line is about 200 bytes, so this is about 1 MiB.
pub const LOG_LINES_QUEUED_MAX: usize = 4096;
/// Milliseconds that the end of the process waits for a terminal to take the last lines.
pub const LOG_END_MS_MAX: u64 = 1_000;
/// Stream records read at start: the newest ones. About 200 bytes each in memory.
pub const STATE_RECORDS_MAX: usize = 10_000;
/// Bytes of one record; a larger file is not ours.
pub const STATE_RECORD_BYTES_MAX: u64 = 4096;
/// Milliseconds between two looks at certificates; a change is read at the second look that finds it.
pub const CERTIFICATE_LOOK_EVERY_MS: u64 = 1_000;
/// Bytes of a file with a certificate chain or a key: a chain of a dozen certificates is under 32 KiB.
pub const CERTIFICATE_FILE_BYTES_MAX: u64 = 256 * 1024;
/// Days that a certificate lasts that is made here; Apple's systems trust none of more than 825.
pub const SELF_SIGNED_DAYS: u64 = 800;
/// Days after which a start makes another one.
pub const SELF_SIGNED_RENEWED_DAYS: u64 = 365;
const _: () = assert!(SELF_SIGNED_RENEWED_DAYS < SELF_SIGNED_DAYS && SELF_SIGNED_DAYS <= 825);

// Recordings of ingests -----------------------------------------------------------------------

/// Bytes that wait to be written to recordings, of all streams: half a second of 100 streams of 5 Mbit/s. A
/// recording for which there is no room ends.
pub const RECORDINGS_QUEUED_BYTES_MAX: usize = 32 * 1024 * 1024;
const _: () = assert!(RECORDINGS_QUEUED_BYTES_MAX > 64 * RECV_BYTES_MAX);
/// Milliseconds that the end of the process waits for a disk to take what is left of them.
pub const RECORDINGS_END_MS_MAX: u64 = 5_000;
/// Bytes of one entry of a recording: the largest message in one piece, and what is said of it.
pub const RECORDING_ENTRY_BYTES_MAX: u32 = RTMP_VIDEO_BYTES_MAX + 64;
/// Microseconds by which the time of a call may be before that of the call ahead of it: who waits for its turn on a shard
/// has looked at the clock before.
pub const RECORDING_TIME_BACK_US_MAX: u64 = 1_000_000;
/// A clock in a recording shows less, microseconds: the year 2255, so that sums with it fit.
pub const RECORDING_TIME_US_MAX: u64 = 9_000_000_000_000_000;

// HTTP ----------------------------------------------------------------------------------------

/// Bytes of a request head. Browsers send under 1 KiB; CMCD and signed queries reach 3 KiB.
pub const HTTP_HEAD_BYTES_MAX: usize = 8 * 1024;
/// Bytes of a request target. Room for a long signed query, and for fields after it.
pub const HTTP_TARGET_BYTES_MAX: usize = 4 * 1024;
const _: () = assert!(HTTP_TARGET_BYTES_MAX < HTTP_HEAD_BYTES_MAX);
/// Fields of a request head; they are kept on the stack. Browsers behind a CDN send about 30.
pub const HTTP_FIELDS_MAX: usize = 64;
/// Bytes of a request body: only the JSON interface takes any, and its requests are small.
pub const HTTP_BODY_BYTES_MAX: u64 = 16 * 1024;
/// Bytes of a field value that we print, the longest being a Content-Range of three 20-digit numbers.
pub const HTTP_FIELD_PRINTED_BYTES_MAX: usize = 80;
const _: () = assert!(HTTP_FIELD_PRINTED_BYTES_MAX >= "bytes -/".len() + 3 * 20);

// Tokens --------------------------------------------------------------------------------------

/// Bytes of a publish token: a header, three short claims and a name of at most 386 characters, in base64.
pub const TOKEN_BYTES_MAX: usize = 1024;
/// Bytes of a stream's name in a token: the longest name there is.
pub const TOKEN_SUBJECT_BYTES_MAX: usize = (APP_SEGMENTS_MAX + 1) * NAME_SEGMENT_CHARS_MAX + APP_SEGMENTS_MAX;
const _: () = assert!((TOKEN_SUBJECT_BYTES_MAX + 128) * 4 / 3 + 128 <= TOKEN_BYTES_MAX);
/// Addresses whose failed attempts the process remembers; about 64 KiB. A full table forgets the oldest.
pub const BACKOFF_ADDRESSES_MAX: usize = 1024;
/// Failed attempts that cost nothing: a wrong paste or two in OBS.
pub const BACKOFF_FREE_ATTEMPTS: u32 = 3;
/// The first wait after those, microseconds; doubled by each further failure.
pub const BACKOFF_FIRST_US: u64 = 1_000_000;
/// The longest wait, microseconds; failures are forgotten after as long without one.
pub const BACKOFF_LONGEST_US: u64 = 300_000_000;
const _: () = assert!(BACKOFF_FIRST_US < BACKOFF_LONGEST_US);
// RTMP ----------------------------------------------------------------------------------------

/// Chunk streams of one connection. Clients use six; the table is searched linearly.
pub const RTMP_CHUNK_STREAMS_MAX: usize = 64;
/// Messages of one connection that may be half received at once: one per track kind, and some commands.
pub const RTMP_PARTIAL_MESSAGES_MAX: usize = 8;
const _: () = assert!(RTMP_PARTIAL_MESSAGES_MAX <= RTMP_CHUNK_STREAMS_MAX);
/// Chunk size before anybody sets one (Adobe RTMP 1.0, 5.4.1).
pub const RTMP_CHUNK_BYTES_DEFAULT: u32 = 128;
/// Largest chunk: a message is no longer than this.
pub const RTMP_CHUNK_BYTES_MAX: u32 = 0xff_ffff;
/// The chunk size of our replies: each of them is one chunk.
pub const RTMP_CHUNK_BYTES_SENT: u32 = 4096;
const _: () = assert!(RTMP_CHUNK_BYTES_SENT <= RTMP_CHUNK_BYTES_MAX);
/// A protocol control or user control message: the largest defined one has 10 bytes.
pub const RTMP_CONTROL_BYTES_MAX: u32 = 64;
/// A command or data message before a publish is accepted: a full connect is under 2 KiB.
pub const RTMP_COMMAND_BYTES_MAX_BEFORE_PUBLISH: u32 = 16 * 1024;
/// A command or data message afterwards: metadata may carry cue points and captions.
pub const RTMP_COMMAND_BYTES_MAX: u32 = 64 * 1024;
const _: () = assert!(RTMP_CONTROL_BYTES_MAX < RTMP_COMMAND_BYTES_MAX_BEFORE_PUBLISH);
const _: () = assert!(RTMP_COMMAND_BYTES_MAX_BEFORE_PUBLISH <= RTMP_COMMAND_BYTES_MAX);
/// An audio message: one second of 8-channel FLAC is under it.
pub const RTMP_AUDIO_BYTES_MAX: u32 = 256 * 1024;
/// A video or aggregate message: a key frame at 60 Mbit/s that takes a whole second.
pub const RTMP_VIDEO_BYTES_MAX: u32 = 8 * 1024 * 1024;
const _: () = assert!(RTMP_COMMAND_BYTES_MAX <= RTMP_AUDIO_BYTES_MAX);
const _: () = assert!(RTMP_AUDIO_BYTES_MAX <= RTMP_VIDEO_BYTES_MAX);
const _: () = assert!(RTMP_VIDEO_BYTES_MAX <= RTMP_CHUNK_BYTES_MAX);
/// Bytes that one connection may have in half-received messages. It follows from the others, since
/// one message per track kind may be open: stated for whoever sizes a host.
pub const RTMP_PENDING_BYTES_MAX: u32 = 12 * 1024 * 1024;
const _: () = assert!(
    RTMP_VIDEO_BYTES_MAX + RTMP_AUDIO_BYTES_MAX + RTMP_PARTIAL_MESSAGES_MAX as u32 * RTMP_COMMAND_BYTES_MAX
        <= RTMP_PENDING_BYTES_MAX
);
/// Payload bytes that must come with each continuation chunk header on average, so that a chunk
/// size of 1 cannot buy two parser steps a byte. Message starts are bounded by rate instead: silent
/// AAC is honest at ten bytes a message.
pub const RTMP_PAYLOAD_BYTES_PER_HEADER_MIN: u32 = 64;
/// Bytes over which that average is taken.
pub const RTMP_HEADER_CREDIT_BYTES: u32 = 1024 * 1024;
const _: () = assert!(RTMP_PAYLOAD_BYTES_PER_HEADER_MIN < RTMP_CHUNK_BYTES_DEFAULT);
const _: () = assert!(RTMP_PAYLOAD_BYTES_PER_HEADER_MIN < RTMP_HEADER_CREDIT_BYTES);
/// Messages a second of one connection, in the long run: 240 fps with eight audio tracks is under 700. What comes
/// faster is read no faster: it waits in its sender's socket.
pub const RTMP_MESSAGES_PER_S_MAX: u32 = 2000;
/// Messages at once after a network stall: 20 s of a usual stream (60 fps and 47 audio frames a second).
pub const RTMP_MESSAGES_BURST_MAX: u32 = 4000;
/// Microseconds that reading rests when they are used up: 40 more messages.
pub const RTMP_REST_US: u64 = 20_000;
/// Microseconds of such rests, half of the time that has passed taken off, after which a connection ends: half a
/// minute of one that never has enough. No encoder needs more than a few rests after a stall.
pub const RTMP_FLOOD_US_MAX: u64 = 15_000_000;
const _: () = assert!(RTMP_REST_US < RTMP_FLOOD_US_MAX);
/// Milliseconds that media may come before its time, as a file does that is not sent in real time; then it is read in
/// real time. A relay begins with what it has kept: three of x264's usual GOPs at 25 fps.
pub const RTMP_AHEAD_MS_MAX: u32 = 30_000;
/// Milliseconds that media may lag and then catch up without counting as early: longer than any silence that a
/// publisher survives.
pub const RTMP_BEHIND_MS_MAX: u32 = 60_000;
const _: () = assert!(RTMP_BEHIND_MS_MAX > RTMP_MEDIA_TIMEOUT_MS);
/// Percent of real time at which early media is read, so that an encoder whose clock is fast is never held back.
pub const RTMP_AHEAD_READ_PERCENT: u64 = 101;
/// Commands a second of one connection: a publisher opens with five.
pub const RTMP_COMMANDS_PER_S_MAX: u32 = 32;
const _: () = assert!(RTMP_COMMANDS_PER_S_MAX < RTMP_MESSAGES_PER_S_MAX);
const _: () = assert!(RTMP_MESSAGES_PER_S_MAX <= RTMP_MESSAGES_BURST_MAX);
/// Message streams of one connection; a publisher needs one.
pub const RTMP_MESSAGE_STREAMS_MAX: u32 = 8;
/// Reply bytes that wait for a client which does not read; beyond it the connection ends.
pub const RTMP_OUTPUT_BYTES_MAX: usize = 64 * 1024;
/// Characters of a description that we send to a client.
pub const RTMP_DESCRIPTION_CHARS_MAX: usize = 512;
const _: () = assert!(RTMP_DESCRIPTION_CHARS_MAX * 4 < RTMP_OUTPUT_BYTES_MAX);
/// Characters of an encoder's name that are kept.
pub const RTMP_ENCODER_CHARS_MAX: usize = 128;
/// Characters of a token; a signed one is under 400.
pub const RTMP_TOKEN_CHARS_MAX: usize = 2048;
/// Window of acknowledgements that we announce; real clients announce the same.
pub const RTMP_ACK_WINDOW_BYTES: u32 = 2_500_000;
/// Smallest acknowledgement window of a peer that we follow: each one costs 16 bytes.
pub const RTMP_ACK_WINDOW_BYTES_MIN: u32 = 4096;
const _: () = assert!(RTMP_ACK_WINDOW_BYTES_MIN <= RTMP_ACK_WINDOW_BYTES);

/// Nesting of an AMF value. Real metadata nests three deep; one stack frame each.
pub const AMF_DEPTH_MAX: usize = 16;
/// Values in one AMF message; the largest metadata seen has 26.
pub const AMF_VALUES_MAX: usize = 512;
/// Named properties in one AMF message.
pub const AMF_KEYS_MAX: usize = 256;
const _: () = assert!(AMF_DEPTH_MAX < AMF_KEYS_MAX && AMF_KEYS_MAX <= AMF_VALUES_MAX);
/// Bytes of an AMF string or key.
pub const AMF_STRING_BYTES_MAX: usize = 8 * 1024;
const _: () = assert!(AMF_STRING_BYTES_MAX < RTMP_COMMAND_BYTES_MAX_BEFORE_PUBLISH as usize);

/// From accept to the last byte of the handshake. Deadlines are absolute: a byte a second buys nothing.
pub const RTMP_HANDSHAKE_TIMEOUT_MS: u32 = 5_000;
/// From the handshake to connect.
pub const RTMP_CONNECT_TIMEOUT_MS: u32 = 5_000;
/// From accept to publish, and from an unpublish to the next publish.
pub const RTMP_PUBLISH_TIMEOUT_MS: u32 = 10_000;
const _: () = assert!(RTMP_HANDSHAKE_TIMEOUT_MS + RTMP_CONNECT_TIMEOUT_MS <= RTMP_PUBLISH_TIMEOUT_MS);
/// From the acceptance of a publish to the first media message; OBS takes up to 2.2 s.
pub const RTMP_FIRST_MEDIA_TIMEOUT_MS: u32 = 15_000;
/// Between two media messages. Bytes that complete no message do not count.
pub const RTMP_MEDIA_TIMEOUT_MS: u32 = 10_000;
const _: () = assert!(RTMP_MEDIA_TIMEOUT_MS <= RTMP_FIRST_MEDIA_TIMEOUT_MS);
/// Microseconds without a byte of a publisher after which its host is to show that it is there.
pub const RTMP_SILENCE_US: u64 = 2_000_000;
/// Milliseconds for which that host may then acknowledge nothing: three questions of TCP's keep-alive. It is less than
/// the time for media, so that a host that is gone is told from an encoder that pauses, and more than a
/// phone needs from one cell to the next.
pub const RTMP_UNACKNOWLEDGED_MS_MAX: u32 = 6_000;
const _: () = assert!(RTMP_SILENCE_US < RTMP_UNACKNOWLEDGED_MS_MAX as u64 * 1000);
const _: () = assert!(RTMP_UNACKNOWLEDGED_MS_MAX < RTMP_MEDIA_TIMEOUT_MS);
/// Seconds of silence before such a question, and between two.
pub const RTMP_KEEPALIVE_S: u32 = 2;
const _: () = assert!(RTMP_KEEPALIVE_S * 1000 * 2 <= RTMP_UNACKNOWLEDGED_MS_MAX);
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
/// Bytes not yet sent that the kernel takes of a connection: a part of 5 Mbit/s at 0.2 s goes in at once, and
/// what a slow viewer has not taken stays here, shared.
pub const NOTSENT_BYTES_MAX: u32 = 128 * 1024;
/// Milliseconds without accepting after the process or host ran out of descriptors or memory.
pub const ACCEPT_PAUSE_MS: u64 = 100;
/// Parked viewers that one ring turn wakes: a crowd must not delay what else the shard carries.
pub const WAKES_PER_TURN_MAX: usize = 256;
/// Parked viewers of one list that are woken before the next list has its share.
pub const WAKES_PER_LIST_MAX: usize = 64;
const _: () = assert!(WAKES_PER_LIST_MAX <= WAKES_PER_TURN_MAX);
/// Landings of a list whose viewers may still be served: 1.6 s at parts of 0.2 s.
pub const LANDINGS_KEPT: usize = 8;
// Demo encoder --------------------------------------------------------------------------------

/// Pixels of the demo picture, across: five for each of the clock's 64 cells, so that they survive compression,
pub const DEMO_WIDTH_MIN: u16 = 320;
/// to what one core encodes in real time.
pub const DEMO_WIDTH_MAX: u16 = 1920;
const _: () = assert!(DEMO_WIDTH_MIN < DEMO_WIDTH_MAX);
/// Lines of the demo picture: twelve for the clock's row,
pub const DEMO_HEIGHT_MIN: u16 = 180;
/// to what goes with the greatest width.
pub const DEMO_HEIGHT_MAX: u16 = 1080;
const _: () = assert!(DEMO_HEIGHT_MIN < DEMO_HEIGHT_MAX);
/// Frames a second: below this a frame no longer fits the shortest part,
pub const DEMO_FPS_MIN: u32 = 10;
/// above it one core no longer encodes in real time.
pub const DEMO_FPS_MAX: u32 = 60;
const _: () = assert!(DEMO_FPS_MIN < DEMO_FPS_MAX);
/// Frames from one IDR to the next: ten seconds at the highest rate.
pub const DEMO_GOP_FRAMES_MAX: u32 = 10 * DEMO_FPS_MAX;
/// Bits a second below which the clock's cells would no longer be readable (tested at this rate),
pub const DEMO_BITRATE_BITS_MIN: u32 = 100_000;
/// and beyond which the picture gains nothing.
pub const DEMO_BITRATE_BITS_MAX: u32 = 20_000_000;
const _: () = assert!(DEMO_BITRATE_BITS_MIN < DEMO_BITRATE_BITS_MAX);
/// Milliseconds from connecting to the accepted publish. Longer than the server makes a second
/// publisher wait for the first one's silence.
pub const DEMO_CONNECT_MS_MAX: u64 = 10_000;
/// Milliseconds that the server may refuse to take our bytes.
pub const DEMO_WRITE_MS_MAX: u64 = 5_000;
/// Milliseconds a blocking read waits before the encoder looks whether it is to stop.
pub const DEMO_READ_MS_MAX: u64 = 100;
const _: () = assert!(DEMO_READ_MS_MAX < DEMO_CONNECT_MS_MAX);
/// Milliseconds that the encoder waits, when stopped, for the server to close the connection.
pub const DEMO_CLOSE_MS_MAX: u64 = 1_000;
const _: () = assert!(DEMO_READ_MS_MAX < DEMO_CLOSE_MS_MAX);
/// Milliseconds before the first reconnection; doubled at each that fails,
pub const DEMO_BACKOFF_MS_MIN: u64 = 100;
/// up to this: a restarted server is on air again about two seconds later.
pub const DEMO_BACKOFF_MS_MAX: u64 = 2_000;
const _: () = assert!(DEMO_BACKOFF_MS_MIN < DEMO_BACKOFF_MS_MAX);
/// Milliseconds that the encoder may fall behind before it skips frames instead of hurrying after them.
pub const DEMO_LATE_MS_MAX: u64 = 500;

// Origin --------------------------------------------------------------------------------------

/// Bytes of a rendition's name in a URL (`v`, `a`, `av`; ladders will need `v12`).
pub const RENDITION_NAME_BYTES_MAX: usize = 8;
/// Segments of one stream and shard whose gather lists are kept for the next viewer who asks.
pub const SEGMENT_CHAINS_KEPT_MAX: usize = 16;
/// Seconds a cache may keep media: its URL names these bytes for ever. At least six of the longest
/// target duration (B.1).
pub const MEDIA_MAX_AGE_S: u32 = 3600;
/// Seconds a cache may keep the multivariant playlist: the next publish brings another one.
pub const MULTIVARIANT_MAX_AGE_S: u32 = 1;
/// Bytes of frames kept while a publisher is learnt: 12 s of a GOP at 40 Mbit/s. Beyond it what is known must do.
pub const LEARNING_BYTES_MAX: usize = 60 * 1024 * 1024;
/// How long the first video frames are awaited to tell their grid, microseconds: nine frames at 10 frames a second.
pub const LEARNING_CADENCE_US_MAX: u64 = 1_000_000;
/// How far a publisher's media may be behind its own clock before the other one of its pair is to take over, parts:
/// less than the hold-back of three, so that players have not run dry.
pub const BEHIND_PARTS_MAX: u32 = 2;
/// and for how long, microseconds.
pub const BEHIND_US_MAX: u64 = 1_000_000;
/// How long a publisher may be without media that plays before the other one of its pair is to take over, microseconds:
/// longer than it may be learnt.
pub const NOT_LIVE_US_MAX: u64 = 5_000_000;
const _: () = assert!(NOT_LIVE_US_MAX > 2 * LEARNING_CADENCE_US_MAX);
/// How long a session waits for the key frame of the one that is to take over, microseconds: the longest group of
/// pictures that a session is planned for.
pub const TAKE_OVER_US_MAX: u64 = GOP_LEARNING_MS_MAX as u64 * 1000;
/// How often one frame may ask for a hole to be filled before it.
pub const FILL_ROUNDS_MAX: usize = 4;
/// Milliseconds of sound kept while the first picture is awaited.
pub const LEARNING_AUDIO_LEAD_MS: i64 = 2_000;
/// Milliseconds after which retired media is offered to the buffer pool: every shard has let go of it by then.
pub const RECLAIM_DELAY_MS: u64 = 1_000;

// API -----------------------------------------------------------------------------------------

/// Characters of a stream key in a body, before it is parsed as a name.
pub const API_STREAM_KEY_CHARS_MAX: usize = 3 * (NAME_SEGMENT_CHARS_MAX + 1);
/// Codecs looked at when a session is described.
pub const API_DETAILS_CODECS_MAX: usize = 8;
// Codec headers, FLV, fMP4 ---------------------------------------------------------------------

/// Bytes of a decoder configuration record: ffmpeg's largest seen is an hvcC of 2,456.
pub const CODEC_CONFIG_BYTES_MAX: usize = 16 * 1024;
/// Pixels of a picture's side: 8K with room; keeps every product of two sides within 32 bits.
pub const PICTURE_SIDE_PIXELS_MAX: u32 = 16_384;
const _: () = assert!((PICTURE_SIDE_PIXELS_MAX as u64).pow(2) <= u32::MAX as u64);
/// NAL units of one access unit: a 4K picture in single-row slices needs a few hundred.
pub const ACCESS_UNIT_NALS_MAX: u16 = 1024;
/// Parameter sets of an HEVC configuration: as many as their ids can tell apart.
pub const PARAMETER_SETS_MAX: usize = 16 + 16 + 64;
const _: () = assert!(PARAMETER_SETS_MAX * 3 < CODEC_CONFIG_BYTES_MAX);
/// Parameter sets of an access unit that are looked at, and of a configuration that is compared with them: encoders have
/// two to five, and each is compared with each.
pub const IN_BAND_SETS_MAX: usize = 16;
const _: () = assert!(IN_BAND_SETS_MAX <= PARAMETER_SETS_MAX);
/// NAL units of an access unit among which they are looked for: each one more is a walk from its beginning.
pub const IN_BAND_UNITS_MAX: usize = 64;
const _: () = assert!(IN_BAND_SETS_MAX < IN_BAND_UNITS_MAX);
/// OBUs of one temporal unit: a large picture in tile groups of one tile has a few hundred.
pub const TEMPORAL_UNIT_OBUS_MAX: u16 = 1024;
/// Bytes of a first frame that complete a configuration: a packet of E-AC-3 with its substreams, parameter sets
/// behind a large SEI.
pub const FIRST_FRAME_BYTES: usize = 16 * 1024;
const _: () = assert!(FIRST_FRAME_BYTES >= CODEC_CONFIG_BYTES_MAX);
/// Bytes of an SEI unit that are searched for encoder options; x264 writes about 700, x265 2,300.
pub const SEI_SEARCHED_BYTES_MAX: usize = 4 * 1024;
/// Bytes in front of a coded frame in an RTMP message: 5 in legacy tags, 8 in enhanced ones, and
/// room for several ModEx prefixes.
pub const FLV_TAG_HEADER_BYTES_MAX: usize = 64;
/// Tracks in one message of Enhanced RTMP: ladders have fewer than ten.
pub const FLV_MESSAGE_TRACKS_MAX: u8 = 16;
/// Tracks of one publisher, beside those that are played, that are listed.
pub const FLV_EXTRA_TRACKS_MAX: usize = 16;
/// Bytes of a metadata packet of the pictures: a whole colorInfo has about 500.
pub const VIDEO_METADATA_BYTES_MAX: usize = 4 * 1024;
/// Bytes of a channel layout: an order, a count, and a byte for each channel or a mask.
pub const CHANNEL_LAYOUT_BYTES_MAX: usize = 2 + 255;
const _: () = assert!(VIDEO_METADATA_BYTES_MAX <= CODEC_CONFIG_BYTES_MAX);
const _: () = assert!(CHANNEL_LAYOUT_BYTES_MAX <= CODEC_CONFIG_BYTES_MAX);
/// Bytes of one part: a second of 400 Mbit/s. Sizes and offsets inside a part fit 32 bits with it.
pub const PART_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Samples of one part and track: a second of the finest audio frames, many times over.
pub const PART_SAMPLES_MAX: usize = 4096;
/// Bytes in front of a part's first sample for each track: mfhd, tfhd, tfdt, trun and mdat headers
/// take 108 with one track and 184 with two.
pub const PART_HEAD_FIXED_BYTES: usize = 128;
/// Bytes of a sample's entry in trun: duration, size, flags, composition offset.
pub const PART_HEAD_SAMPLE_BYTES: usize = 16;
const _: () = assert!(
    PART_BYTES_MAX + 2 * (PART_HEAD_FIXED_BYTES + PART_HEAD_SAMPLE_BYTES * PART_SAMPLES_MAX)
        < i32::MAX as usize
);
/// Bytes of the smallest pooled part buffer: four pages, an audio part.
pub const PART_BUFFER_BYTES_MIN: usize = 16 * 1024;
const _: () = assert!(PART_BUFFER_BYTES_MIN.is_power_of_two() && PART_BUFFER_BYTES_MIN <= PART_BYTES_MAX);
/// Bytes of part buffers that one shard keeps for reuse: what retires within a part's time at
/// a gigabit a second, since warm memory takes a copy five times faster than fresh memory.
pub const PART_POOL_IDLE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Microseconds between two looks for buffers that nobody has needed since the last one. Parts retire by the segment,
/// and the next ones take their memory while one lasts: longer than that.
pub const PART_POOL_TRIM_EVERY_US: u64 = 20_000_000;
/// Bytes of them from which on the system is to have its pages back: by itself the allocator keeps what is freed.
pub const PART_POOL_GIVEN_BACK_BYTES_MIN: usize = 1024 * 1024;
const _: () = assert!(PART_POOL_GIVEN_BACK_BYTES_MIN < PART_POOL_IDLE_BYTES_MAX);
const _: () = assert!(PART_POOL_TRIM_EVERY_US > GOP_LEARNING_MS_MAX as u64 * 1000);
// A publisher that turns ----------------------------------------------------------------------

/// Changes of parameters or tracks of one publisher in a minute: each closes what is open, and may begin a
/// session. Who tries out settings makes a few.
pub const PARAMETER_CHANGES_PER_MIN_MAX: u32 = 10;
/// Leaps of one publisher's time in a minute: each is a discontinuity, at which players begin anew.
pub const TIMESTAMP_LEAPS_PER_MIN_MAX: u64 = 30;
// Time, cuts ----------------------------------------------------------------------------------

/// Tracks of one publisher: video and audio, and room for a ladder of renditions.
pub const TRACKS_MAX: usize = 8;
/// Timestamps that an exact frame rate must be borne out by: eight differences.
pub const CADENCE_FRAMES_MIN: usize = 9;
/// Pictures without which no rate is told at all, though they are seconds apart; only a publisher that sends fewer in
/// [`GOP_LEARNING_MS_MAX`] begins without.
pub const CADENCE_PICTURES_MIN: usize = 3;
const _: () = assert!(CADENCE_PICTURES_MIN < CADENCE_FRAMES_MIN);
/// Milliseconds that fewer timestamps must span to bear out a rate that headers claim: all but a frame of the
/// second that is waited for, at 4 frames a second.
pub const CADENCE_CLAIMED_MS_MIN: i64 = 750;
const _: () = assert!(CADENCE_CLAIMED_MS_MIN * 1000 < LEARNING_CADENCE_US_MAX as i64);
/// Frames a second beyond which a claimed rate is nonsense.
pub const FRAMES_PER_SECOND_MAX: u64 = 300;
/// Milliseconds that a timestamp may stray from its track's clock and still be jitter: GStreamer was
/// measured to clamp by up to 138 ms; twice that.
pub const TIMESTAMP_JITTER_MS_MAX: i64 = 300;
/// Milliseconds that a publisher's time may leap forward, for all its tracks, before it is a discontinuity.
pub const TIMESTAMP_LEAP_MS_MAX: i64 = 1000;
const _: () = assert!(TIMESTAMP_LEAP_MS_MAX > TIMESTAMP_JITTER_MS_MAX);
/// Milliseconds that a track's timestamps may go back before it is a discontinuity.
pub const TIMESTAMP_BACK_MS_MAX: i64 = 100;
/// Frames in a row of one track that are thrown away as stray before its time is believed again.
pub const STRAY_FRAMES_MAX: u32 = 64;
/// Frames of a track that are thrown away as too many before its frame rate is learnt anew.
pub const FRAMES_TOO_MANY_MIN: u32 = 16;
/// Media time at which output begins, so that a track which starts a little before the anchor
/// needs no negative time.
pub const TIMELINE_LEAD_MS: i64 = 1000;
const _: () = assert!(TIMELINE_LEAD_MS >= TIMESTAMP_LEAP_MS_MAX);
/// Largest composition offset that is believed, milliseconds: 16 frames of reordering at 8 a second.
pub const COMPOSITION_OFFSET_MS_MAX: i64 = 2000;
/// Seconds over which the least delayed arrival is sought: longer than a congested moment.
pub const WALL_CLOCK_BUCKETS: usize = 10;
/// How fast dates may drift from media time, parts per million.
pub const DATE_SLEW_PPM_MAX: i64 = 500;
/// and by how much at once, microseconds: players align renditions by dates to about 10 ms.
pub const DATE_SLEW_US_MAX: i64 = 5000;
/// How far a date may be off before it is moved at all, microseconds: a frame or two, which nobody sees,
/// and what a connection's first burst of frames is commonly late by.
pub const DATE_TOLERANCE_US: i64 = 50_000;
/// How early dates may be for the sake of take-overs without a discontinuity, microseconds: the next one that
/// would lose more gets one, where dates may step. Pages that tell a latency by dates tell as much too much.
pub const DATE_LAG_US_MAX: i64 = 10_000_000;
/// How far a date may lie ahead of the clock when its segment opens, microseconds. It is listed with its
/// first part, so a wish for parts of 100 ms, the least, still has nobody read a date to come.
pub const DATE_AHEAD_US_MAX: i64 = 75_000;
/// and by how much a date that would lie further ahead is moved back at once: what players take for no step.
pub const DATE_BACK_US_MAX: i64 = 8_000;
const _: () = assert!(DATE_BACK_US_MAX >= DATE_SLEW_US_MAX && DATE_BACK_US_MAX < 10_000);
/// Milliseconds of a part above which a stream is refused: a publisher of less than one frame in
/// five seconds is no live video.
pub const PART_TARGET_MS_MAX: u32 = 5000;
/// Milliseconds of a frame of sound above which it is refused: a packet of E-AC-3 may claim a quarter of an
/// hour, and no part holds more than this.
pub const SOUND_FRAME_MS_MAX: u32 = PART_TARGET_MS_MAX;
/// Milliseconds of a segment target above which a configuration is refused.
pub const SEGMENT_TARGET_MS_MAX: u32 = 60_000;
const _: () = assert!(PART_TARGET_MS_MAX < SEGMENT_TARGET_MS_MAX);
/// Milliseconds for which a publisher's group of pictures is waited for, and the longest that a session is
/// planned for.
pub const GOP_LEARNING_MS_MAX: u32 = 12_000;
const _: () = assert!(GOP_LEARNING_MS_MAX < SEGMENT_TARGET_MS_MAX);
/// Milliseconds of x264's keyint beyond which it says nothing about key frames: `-g 9999` is there to be out
/// of the way of those that are forced. ffmpeg's default of 250 frames is less from 5 frames a second on.
pub const GOP_SAID_MS_MAX: u32 = 60_000;
const _: () = assert!(GOP_SAID_MS_MAX > GOP_LEARNING_MS_MAX);
/// Milliseconds for which the second kind of track is waited for.
pub const TRACK_LEARNING_MS_MAX: u64 = 1000;
/// Cuts that a rendition may be behind the one they are made on; then that one makes no further
/// until this one has followed.
pub const CUTS_PENDING_MAX: usize = 16;
/// Milliseconds that a track may lag behind the others beyond two parts and its usual lag, before
/// it is taken for silent: what fits in the hold-back of three parts.
pub const SILENCE_LAG_MS_MIN: u32 = 500;
/// Milliseconds by which frames of a track that was taken for silent may come late and still be used.
pub const FRAME_LATE_MS_MAX: i64 = 1000;
// Playlists and retention ---------------------------------------------------------------------

/// Renditions of one session: a ladder of a few pictures, languages of sound.
pub const RENDITIONS_MAX: usize = 16;
/// Characters of a rendition's name in URLs.
pub const RENDITION_NAME_CHARS_MAX: usize = 16;
/// Different rendition names whose numbers a stream remembers; the server makes them up, not the publisher.
pub const RENDITION_NAMES_KEPT_MAX: usize = 64;
const _: () = assert!(RENDITION_NAMES_KEPT_MAX >= RENDITIONS_MAX);
/// Sessions of one stream kept at once, ended ones included. A publisher that changes its tracks again
/// and again makes a session each time; the oldest ended one goes when there is no room.
pub const SESSIONS_KEPT_MAX: usize = 16;
const _: () = assert!(SESSIONS_KEPT_MAX >= 2);
/// Complete segments that a window may be asked to hold: over an hour of the shortest, 2 s.
pub const WINDOW_SEGMENTS_MAX: u32 = 2_000;
/// GAP segments before a session's first; Apple's rule asks for 6 segments in a live playlist.
pub const PREFILL_GAP_SEGMENTS_MAX: u32 = 16;
const _: () = assert!(PREFILL_GAP_SEGMENTS_MAX < WINDOW_SEGMENTS_MAX);
/// Segments of one rendition in memory, listed or in retention. Retention lasts about as long again
/// as the window.
pub const SEGMENTS_KEPT_MAX: usize = 8_192;
const _: () = assert!(SEGMENTS_KEPT_MAX >= 4 * WINDOW_SEGMENTS_MAX as usize);
/// Parts of one rendition in memory; about 100 bytes each beside their media.
pub const PARTS_KEPT_MAX: usize = 131_072;
const _: () = assert!(PARTS_KEPT_MAX >= 16 * SEGMENTS_KEPT_MAX);
/// Init segments of one rendition in memory: one for each change of parameters within retention.
pub const INITS_KEPT_MAX: usize = 1_024;
const _: () = assert!(INITS_KEPT_MAX <= SEGMENTS_KEPT_MAX);
/// Share of a stream's retained bytes above which its window shrinks to three target durations. What
/// has left the window stays for its promised time, so shrinking must begin before the bound.
pub const RETAINED_SHRINK_PERCENT: u64 = 75;
const _: () = assert!(RETAINED_SHRINK_PERCENT < 100);
/// The window shrinks as well once what it lists, this many times, is more than a stream may keep: a
/// segment stays for about two playlists' time after it left, so what was listed long cannot be let go.
pub const RETAINED_PER_LISTED: u64 = 3;
const _: () = assert!(RETAINED_PER_LISTED > 1);

// HTTP/2 --------------------------------------------------------------------------------------

/// Requests of one connection at once. A player has four or five open; a proxy shares one connection
/// between many viewers, and Apple's profile asks for 100.
pub const HTTP2_STREAMS_MAX: u32 = 256;
/// Places for requests that a connection keeps while it is idle: those of a player.
pub const HTTP2_PLACES_KEPT_MAX: usize = 8;
const _: () = assert!(HTTP2_PLACES_KEPT_MAX < HTTP2_STREAMS_MAX as usize);
/// Bytes of a request's fields, as HPACK counts them: 32 more for each field.
pub const HTTP2_FIELDS_BYTES_MAX: u32 = (HTTP_HEAD_BYTES_MAX + 32 * HTTP_FIELDS_MAX) as u32;
/// Bytes of a response that wait inside the HTTP/2 layer; shared, not copied.
pub const HTTP2_STREAM_SEND_BYTES_MAX: usize = 128 * 1024;
/// Bytes that a response hands over at once, before another one may have its turn.
pub const HTTP2_TURN_BYTES_MAX: usize = 64 * 1024;
const _: () = assert!(HTTP2_TURN_BYTES_MAX <= HTTP2_STREAM_SEND_BYTES_MAX);
/// Microseconds between two looks of a response whose window is used up at what else holds it up.
pub const HTTP2_WINDOW_LOOK_US: u64 = 100_000;
const _: () = assert!(HTTP2_WINDOW_LOOK_US < HTTP_SEND_STALL_US_MAX);
/// Microseconds for which an HTTP/2 connection whose socket was full is still remembered as a slow reader's.
pub const HTTP2_OWING_US: u64 = 1_000_000;
/// Bytes of frames that wait for the socket: one gathering send under TLS.
pub const HTTP2_SEND_BYTES_MAX: usize = TLS_SEND_BYTES_MAX;
/// The same while the socket is full: of a slow reader's media little is copied and encrypted ahead.
pub const HTTP2_SLOW_SEND_BYTES_MAX: usize = 64 * 1024;
const _: () = assert!(HTTP2_SLOW_SEND_BYTES_MAX <= HTTP2_SEND_BYTES_MAX);
/// Responses whose fields a shard remembers: those of two parts and their playlists, of a few streams.
pub const HTTP2_RECENT_FIELDS_MAX: usize = 16;
/// Streams that the peer reset before anybody looked at their requests: a rapid reset ends there.
pub const HTTP2_RESETS_PENDING_MAX: usize = 32;
/// Requests that the peer may take back at once: a player that changes its level takes back two or three.
pub const HTTP2_RESETS_BURST_MAX: u64 = 200;
/// and how many a second in the long run.
pub const HTTP2_RESETS_PER_S_MAX: u64 = 20;
const _: () = assert!(HTTP2_RESETS_PER_S_MAX < HTTP2_RESETS_BURST_MAX);
/// PING and SETTINGS frames at once: each makes us answer, whatever requests are between them. Clients that measure
/// their line send a PING for each round trip, ten a second at most;
pub const HTTP2_ASKING_BURST_MAX: u64 = 200;
/// and so many a second in the long run.
pub const HTTP2_ASKING_PER_S_MAX: u64 = 20;
const _: () = assert!(HTTP2_ASKING_PER_S_MAX < HTTP2_ASKING_BURST_MAX);
/// Bytes received that bring no request and no response forward: frames of any kind. 7,000 small ones at once,
pub const HTTP2_IDLE_BYTES_BURST_MAX: u64 = 128 * 1024;
/// and 900 a second in the long run.
pub const HTTP2_IDLE_BYTES_PER_S_MAX: u64 = 16 * 1024;
const _: () = assert!(HTTP2_IDLE_BYTES_PER_S_MAX < HTTP2_IDLE_BYTES_BURST_MAX);
const _: () = assert!(HTTP_BODY_BYTES_MAX < HTTP2_IDLE_BYTES_BURST_MAX);
/// Bytes sent that allow for one byte of WINDOW_UPDATE: clients send one of 13 bytes for each few KiB.
pub const HTTP2_SENT_BYTES_PER_IDLE_BYTE: u64 = 64;

// TLS -----------------------------------------------------------------------------------------

/// Microseconds from accepting a connection to the end of its TLS handshake.
pub const TLS_HANDSHAKE_US_MAX: u64 = 10_000_000;
/// Bytes of plaintext in one record (RFC 8446, section 5.1).
pub const TLS_RECORD_BYTES_MAX: usize = 16 * 1024;
/// Bytes received of a record or handshake message that is not whole: a message of 64 KiB, which is the
/// longest that is taken, in records, and the record behind it.
pub const TLS_UNREAD_BYTES_MAX: usize = 96 * 1024;
const _: () = assert!(TLS_UNREAD_BYTES_MAX > 64 * 1024 + TLS_RECORD_BYTES_MAX);
/// Bytes of a response that are encrypted at once and go out in one gathering send: a part at 6 Mbit/s.
/// Also what a viewer that does not read holds in memory of his own; the rest of the response is shared.
pub const TLS_SEND_BYTES_MAX: usize = 256 * 1024;
const _: () = assert!(TLS_SEND_BYTES_MAX >= TLS_RECORD_BYTES_MAX);
/// The same for a viewer whose socket has been full: no more than needed.
pub const TLS_SLOW_SEND_BYTES_MAX: usize = 64 * 1024;
const _: () = assert!(TLS_SLOW_SEND_BYTES_MAX <= TLS_SEND_BYTES_MAX);
/// Sessions of TLS 1.2 clients without tickets that are remembered; about 200 bytes each. All others carry
/// theirs in a ticket.
pub const TLS_SESSIONS_KEPT_MAX: usize = 4096;

// HTTP connections ----------------------------------------------------------------------------

/// Microseconds from a request's first byte to the end of its head or body.
pub const HTTP_HEAD_US_MAX: u64 = 10_000_000;
/// Bytes received behind a request that waits, from which on no more are read; one read may go beyond it.
pub const HTTP_PIPELINED_BYTES_MAX: usize = 16 * 1024;
const _: () = assert!(HTTP_PIPELINED_BYTES_MAX > HTTP_HEAD_BYTES_MAX);
/// Microseconds that a viewer may take no byte of a response.
pub const HTTP_SEND_STALL_US_MAX: u64 = 10_000_000;
/// Microseconds in which sockets take what they hold themselves: no sign of a reader.
pub const HTTP_SEND_FILL_US: u64 = 1_000_000;
/// Microseconds more for what they take then, at most: who reads nothing is cut after twice the stall.
pub const HTTP_SEND_FILL_EARNED_US_MAX: u64 = 10_000_000;
const _: () = assert!(HTTP_SEND_FILL_EARNED_US_MAX <= HTTP_SEND_STALL_US_MAX);
/// Microseconds more for one who is ahead of the slowest line, at most: 1.7 MB a step at 25 kB/s.
pub const HTTP_SEND_EARNED_US_MAX: u64 = 60_000_000;
/// Bytes a second that a viewer takes of a response at least, lest media stay in memory after its retention.
pub const HTTP_SEND_BYTES_PER_S_MIN: u64 = 8 * 1024;
/// Microseconds that a response may take while slow viewers hold more media out of retention, all of them and of all
/// streams, than one stream may keep (`hls.retained_bytes_max`): no player is served by one that takes longer. A segment
/// of 40 MB goes to the slowest line for more than an hour: who asks for each new one would hold the whole hour.
pub const HTTP_SEND_LENT_US_MAX: u64 = 20_000_000;
const _: () = assert!(HTTP_SEND_LENT_US_MAX >= HTTP_SEND_STALL_US_MAX);
/// Microseconds between two looks of a response that nobody takes at whether they do.
pub const HTTP_SEND_LOOK_US: u64 = 2_000_000;
const _: () = assert!(HTTP_SEND_LOOK_US < HTTP_SEND_LENT_US_MAX);
/// Bytes of answers to calls that wait to be sent, of the process: lists and figures, each written for one peer. A
/// connection of HTTP/2 may ask for hundreds and take none. Beyond it calls without the admin key are answered 503.
pub const CALL_ANSWERS_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Microseconds that a closed connection may take to read its last response.
pub const HTTP_CLOSE_US: u64 = 2_000_000;
/// Slices of a gathering send that need no allocation: the head and a segment of parts.
pub const HTTP_SLICES_INLINE: usize = 32;
/// Seconds a cache may keep an asset: its hash is in its URL.
pub const ASSET_MAX_AGE_S: u32 = 31_536_000;

// Findings ------------------------------------------------------------------------------------

/// Milliseconds that a group of pictures may last beyond what is expected of it before it is a finding: 60 frames
/// at 29.97 a second are 2,002 ms. Less than what forces a cut, so that each forced cut is explained.
pub const FINDING_GOP_TOLERANCE_MS: u32 = 250;
/// Milliseconds that sound may come after pictures of its time: the parts of the default preset, and its jitter.
pub const FINDING_AUDIO_LATE_MS: i64 = 500;
/// Microseconds that frames may be held back by before they come at once: more than a part of the default preset,
/// and more than what arrival commonly varies by.
pub const FINDING_BURST_US: i64 = 400_000;
/// Microseconds after which what was held back counts as late for good: two windows, so that the least of both is
/// as late.
pub const FINDING_BURST_OVER_US: u64 = 2 * FINDING_WINDOW_US;
/// Microseconds over which the bit rate is measured, and over which the least delayed frame is sought for the drift.
pub const FINDING_WINDOW_US: u64 = 10_000_000;
/// Windows that a drift is told from: 20 minutes. They cost 8 bytes each, for two kinds of track of each stream.
pub const FINDING_DRIFT_WINDOWS_MAX: usize = 120;
/// Windows before which no drift is told: 5 minutes.
pub const FINDING_DRIFT_WINDOWS_MIN: usize = 30;
const _: () = assert!(FINDING_DRIFT_WINDOWS_MIN <= FINDING_DRIFT_WINDOWS_MAX);
/// Microseconds by which one window may differ from the course of those before it: beyond, the way has changed, and
/// the drift is measured anew.
pub const FINDING_DRIFT_STEP_US: f64 = 50_000.0;
/// Parts per million that a clock must run fast or slow by, for certain: what an ordinary crystal does.
pub const FINDING_DRIFT_PPM_MIN: i64 = 20;
/// Kilobits a second beyond which a declared bit rate is nonsense.
pub const FINDING_DECLARED_KBIT_MAX: f64 = 1e7;
/// Microseconds before the log says the same finding of the same stream again, of another publisher.
pub const FINDING_LOG_EVERY_US: u64 = 600_000_000;

// Service -------------------------------------------------------------------------------------

/// Messages that one shard may have in another's inbox: a second of 200 streams.
pub const MESH_QUEUE_MAX: usize = 4096;
/// Microseconds between two looks at the homes' deadlines.
pub const SERVICE_TICK_US: u64 = 5_000;
/// Microseconds between two statuses of a stream.
pub const STATUS_EVERY_US: u64 = 1_000_000;
/// Microseconds without a request after which a shard no longer follows a stream.
pub const FOLLOW_IDLE_US: u64 = 30_000_000;
/// Milliseconds that a request waits for a replica's snapshot; a lost one is asked for at the second status.
pub const FOLLOW_WAIT_MS_MAX: u64 = 4_000;
const _: () = assert!(FOLLOW_WAIT_MS_MAX * 1000 > 2 * STATUS_EVERY_US);
/// Microseconds between two looks of a second publisher at the first.
pub const CHALLENGE_POLL_US: u64 = 50_000;
/// Microseconds that a refused publisher gets to read why.
pub const RTMP_FAREWELL_US: u64 = 2_000_000;

// Memory --------------------------------------------------------------------------------------
//
// What follows from the above: the most that one peer can have the server hold, beside what the kernel keeps of his
// socket. `config::MemoryBounds` adds it up with the settings, and `tests/memory` presses against each.

/// Times that a buffer which grows as bytes arrive may be larger than what is in it.
pub const GROWTH_MAX: usize = 2;
/// Bytes of a connection's state of one size: its task, the session of RTMP, TLS or HTTP/2. An idle connection of HTTP/2
/// over TLS has about 45 KiB.
pub const CONNECTION_STATE_BYTES_MAX: usize = 64 * 1024;
/// Bytes more under TLS: what is received of a record, and what is encrypted and not taken.
pub const TLS_CONNECTION_BYTES_MAX: usize =
    GROWTH_MAX * (TLS_UNREAD_BYTES_MAX + RECV_BYTES_MAX + TLS_SEND_BYTES_MAX + TLS_RECORD_BYTES_MAX);
/// Bytes of an RTMP connection that does not publish: half-received commands, replies that it does not read, and what
/// was received behind a command.
pub const RTMP_ARRIVING_BYTES_MAX: usize = CONNECTION_STATE_BYTES_MAX
    + GROWTH_MAX
        * (RTMP_PARTIAL_MESSAGES_MAX * RTMP_COMMAND_BYTES_MAX_BEFORE_PUBLISH as usize
            + RTMP_OUTPUT_BYTES_MAX
            + RTMP_CHUNK_BYTES_SENT as usize
            + RECV_BYTES_MAX);
/// The same of one that publishes, and the headers of its codecs; its frames are the stream's.
pub const RTMP_PUBLISHING_BYTES_MAX: usize = CONNECTION_STATE_BYTES_MAX
    + GROWTH_MAX
        * (RTMP_PARTIAL_MESSAGES_MAX * RTMP_COMMAND_BYTES_MAX as usize
            + RTMP_OUTPUT_BYTES_MAX
            + RTMP_CHUNK_BYTES_SENT as usize
            + RECV_BYTES_MAX
            + 2 * TRACKS_MAX * CODEC_CONFIG_BYTES_MAX);
const _: () = assert!(RTMP_ARRIVING_BYTES_MAX < RTMP_PUBLISHING_BYTES_MAX);
const _: () = assert!(RTMP_PUBLISHING_BYTES_MAX < RTMP_VIDEO_BYTES_MAX as usize);
/// Bytes of a page or a refusal, which are written for one peer.
pub const PAGE_BYTES_MAX: usize = 32 * 1024;
/// Bytes of a connection of HTTP/1.1 beside the body that it is sent: a head or a body that is not whole, or requests
/// behind one that waits.
pub const HTTP_CONNECTION_BYTES_MAX: usize = CONNECTION_STATE_BYTES_MAX
    + GROWTH_MAX * (HTTP_PIPELINED_BYTES_MAX + RECV_BYTES_MAX + HTTP_BODY_BYTES_MAX as usize)
    + PAGE_BYTES_MAX;
const _: () = assert!(HTTP_HEAD_BYTES_MAX < HTTP_CONNECTION_BYTES_MAX);
/// Bytes of one request of HTTP/2 beside the body that it is sent: its task, its fields, its own body, a page.
pub const HTTP2_REQUEST_BYTES_MAX: usize =
    8 * 1024 + GROWTH_MAX * (HTTP2_FIELDS_BYTES_MAX as usize + HTTP_BODY_BYTES_MAX as usize) + PAGE_BYTES_MAX;
/// Bytes of a connection of HTTP/2: as many requests as there may be, and frames that wait in either direction.
pub const HTTP2_CONNECTION_BYTES_MAX: usize = CONNECTION_STATE_BYTES_MAX
    + (HTTP2_STREAMS_MAX as usize + HTTP2_RESETS_PENDING_MAX) * HTTP2_REQUEST_BYTES_MAX
    + GROWTH_MAX * (2 * RECV_BYTES_MAX + HTTP2_SEND_BYTES_MAX + HTTP2_TURN_BYTES_MAX);
const _: () = assert!(HTTP_CONNECTION_BYTES_MAX < HTTP2_CONNECTION_BYTES_MAX);
/// Bytes of what a stream keeps of one part, or one segment, beside its media.
pub const PART_RECORD_BYTES_MAX: usize = 256;
/// Bytes of a part that is being written, in the buffer that it has outgrown and in the next one; one with a frame that
/// is carried into the part behind it.
pub const OPEN_PART_BYTES_MAX: usize =
    GROWTH_MAX * (PART_BYTES_MAX + PART_BYTES_MAX / 2 + RTMP_VIDEO_BYTES_MAX as usize);
/// Bytes of frames that are kept while a publisher is learnt, and of those that are half received.
pub const LEARNING_BUFFERS_BYTES_MAX: usize =
    GROWTH_MAX * (LEARNING_BYTES_MAX + RTMP_VIDEO_BYTES_MAX as usize + RTMP_AUDIO_BYTES_MAX as usize);
const _: () =
    assert!(OPEN_PART_BYTES_MAX > PART_BYTES_MAX && LEARNING_BUFFERS_BYTES_MAX > LEARNING_BYTES_MAX);
/// Bytes of a line that a playlist has for a segment or a part, with what stands before it.
pub const PLAYLIST_LINE_BYTES_MAX: usize = 256;
/// Forms of one playlist that are kept: full and two of delta updates, plain and compressed.
pub const PLAYLIST_FORMS_MAX: usize = 6;
/// Bytes of a shard beside its connections, its streams and its pool: executor and rings, buffers for receiving,
/// encrypting and gathering, messages of other shards, records of streams.
pub const SHARD_BYTES_MAX: usize = 64 * 1024 * 1024;
const _: () = assert!(
    SHARD_BYTES_MAX
        > MESH_QUEUE_MAX * 1024
            + STATE_RECORDS_MAX * 1024
            + GROWTH_MAX * (RECV_BYTES_MAX + 3 * TLS_SEND_BYTES_MAX)
);
