//! Counters, gauges and histograms, one set a shard, and their OpenMetrics text.
//!
//! A shard writes to handles of its own, so cores do not fight over a cache line; the label `shard` tells
//! them apart in the text. One family holds all shards: a sub-registry for each would print the same HELP
//! and TYPE again for every shard, which scrapers refuse. Label values come from the closed lists below:
//! nothing that a peer sent becomes one. Names that the predecessor had are kept where they mean the same.

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Metric;
use std::sync::atomic::AtomicU64;

/// A label whose values are known beforehand.
pub trait Label: Copy + 'static {
    /// The label's name.
    const NAME: &'static str;
    /// All its values, in the order of [`Label::index`],
    const ALL: &'static [Self];
    /// and their texts.
    const TEXTS: &'static [&'static str];
    /// Place in [`Label::TEXTS`].
    fn index(self) -> usize;
}

macro_rules! labels {
    ($($(#[$doc:meta])+ $label:ident $name:literal { $($(#[$value_doc:meta])+ $value:ident = $text:literal,)+ })+) => {$(
        $(#[$doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $label { $($(#[$value_doc])+ $value,)+ }

        impl Label for $label {
            const NAME: &'static str = $name;
            const ALL: &'static [Self] = &[$(Self::$value),+];
            const TEXTS: &'static [&'static str] = &[$($text),+];
            fn index(self) -> usize {
                self as usize
            }
        }
    )+};
}

labels! {
    /// Why a connection was not let in, or a publisher not accepted.
    RefusedBecause "reason" {
        /// All slots are taken.
        ConnectionsMax = "connections_max",
        /// All slots of its address are taken.
        ConnectionsPerAddress = "connections_per_address",
        /// It did not publish when all slots, or all of its address, were taken and another connection came.
        MadeRoom = "made_room",
        /// Its address failed too often and must wait.
        Backoff = "backoff",
        /// No valid token or key.
        Credentials = "credentials",
        /// The key is taken.
        KeyTaken = "key_taken",
        /// Enough streams are live.
        StreamsMax = "streams_max",
        /// The stream keeps too much of those who published it before.
        RetainedBytes = "retained_bytes",
        /// Enough viewers watch this stream.
        ViewersMax = "viewers_max",
        /// The server is going down.
        Draining = "draining",
    }
    /// Why a connection ended that should not have.
    EndedBecause "reason" {
        /// It broke the protocol.
        Protocol = "protocol",
        /// Its first byte was of another protocol.
        OtherProtocol = "other_protocol",
        /// It passed a bound.
        Bound = "bound",
        /// It was too late with something.
        Timeout = "timeout",
        /// It did not read what we wrote.
        SlowReader = "slow_reader",
        /// Its socket failed.
        Socket = "socket",
        /// Its stream's core panicked.
        Panic = "panic",
    }
    /// What a frame carries.
    FrameType "type" {
        /// A picture.
        Video = "video",
        /// Sound.
        Audio = "audio",
    }
    /// What was repaired in a publisher's time or frames.
    RepairKind "kind" {
        /// A frame was missing; its neighbour carries its time.
        MissingFrame = "missing_frame",
        /// An error of a timestamp was absorbed.
        Absorbed = "absorbed",
        /// A drift was slewed.
        Slewed = "slewed",
        /// A composition offset was clamped.
        CompositionClamped = "composition_clamped",
        /// A jump became a discontinuity.
        Discontinuity = "discontinuity",
        /// A frame could not be used.
        Discarded = "discarded",
        /// A segment was cut without a keyframe.
        ForcedCut = "forced_cut",
        /// Silence or a gap stands for a silent track.
        Silence = "silence",
    }
    /// What of a publisher its operator should know. `origin::findings` says what to change in the encoder.
    Finding "finding" {
        /// Keyframes are further apart than segments are to last.
        GopTooLong = "gop_too_long",
        /// Pictures are sent in another order than they are shown in.
        BFrames = "b_frames",
        /// A group of pictures at which no viewer joins cleanly.
        OpenGop = "open_gop",
        /// No exact frame rate was found.
        VariableFrameRate = "variable_frame_rate",
        /// A frame that the frame rate or sample clock expects did not come.
        FrameMissing = "frame_missing",
        /// A timestamp, duration or composition offset that was mended, or a frame thrown away.
        TimestampRepaired = "timestamp_repaired",
        /// The media broke off, or its time leapt.
        Discontinuity = "discontinuity",
        /// The parameters or tracks are others than before.
        ParametersChanged = "parameters_changed",
        /// The publisher left and came back within the session.
        PublisherReturned = "publisher_returned",
        /// Less was sent than declared.
        BitRateLow = "bit_rate_low",
        /// More was sent than declared.
        BitRateHigh = "bit_rate_high",
        /// Sound came long after the pictures of its time.
        AudioLate = "audio_late",
        /// The pictures' clock runs at another rate than the server's.
        VideoDrift = "video_drift",
        /// The sound's clock does.
        AudioDrift = "audio_drift",
        /// Frames stood still and then came at once.
        UplinkBurst = "uplink_burst",
    }
    /// Why one publisher of a stream took over from the other.
    TakenOverBecause "reason" {
        /// The other one left.
        Left = "left",
        /// The other one's media fell behind.
        Behind = "behind",
        /// It is the primary, and was steady again.
        Returned = "returned",
    }
    /// First digit of a response's status.
    StatusClass "status" {
        /// 200 and on.
        Success = "2xx",
        /// 300 and on.
        Redirection = "3xx",
        /// 400 and on.
        ClientError = "4xx",
        /// 500 and on.
        ServerError = "5xx",
    }
    /// What was asked for.
    Resource "resource" {
        /// A multivariant playlist.
        Multivariant = "multivariant",
        /// A media playlist.
        Playlist = "playlist",
        /// A part.
        Part = "part",
        /// A segment.
        Segment = "segment",
        /// An init segment.
        Init = "init",
        /// Anything else.
        Other = "other",
    }
}

impl StatusClass {
    /// The class of a status; a 1xx counts as success.
    pub fn of(code: u16) -> Self {
        match code {
            ..300 => Self::Success,
            300..400 => Self::Redirection,
            400..500 => Self::ClientError,
            _ => Self::ServerError,
        }
    }
}

/// Counters of one family and shard, one for each value of a label.
#[derive(Debug, Clone)]
pub struct Labelled<L> {
    /// As many as the label has values.
    counters: Box<[Counter]>,
    label: std::marker::PhantomData<L>,
}

impl<L: Label> Labelled<L> {
    /// The counter of one value.
    pub fn of(&self, value: L) -> &Counter {
        &self.counters[value.index()]
    }
}

/// Time that only grows.
pub type Seconds = Counter<f64, AtomicU64>;

/// Bounds of waits, seconds: from a part of the shortest preset to three of the longest target durations.
const WAIT_BUCKETS_S: [f64; 12] = [0.005, 0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 1.0, 2.0, 4.0, 8.0, 18.0];
/// Bounds of what the server itself takes, seconds: from a socket's call to what every player notices.
const SERVER_BUCKETS_S: [f64; 14] =
    [50e-6, 100e-6, 200e-6, 500e-6, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0];
/// Bounds of segment durations, seconds.
const SEGMENT_BUCKETS_S: [f64; 8] = [0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 12.0];
/// Bounds of segment and part sizes, bytes: 4 KiB to 16 MiB.
const SIZE_BUCKETS: [f64; 7] =
    [4096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0, 4_194_304.0, 16_777_216.0];

macro_rules! metrics {
    ($($field:ident: $kind:ident $(<$label:ident>)? $(($buckets:ident))? = $help:literal;)+) => {
        /// One shard's handles. Cloning shares them.
        #[derive(Debug, Clone)]
        pub struct ShardMetrics {
            $(#[doc = concat!($help, ".")] pub $field: $kind $(<$label>)?,)+
        }

        impl Registry {
            /// Registers every metric, and returns the handles of each shard, in order.
            pub fn new(shards: usize) -> (Self, Vec<ShardMetrics>) {
                let mut registry = prometheus_client::registry::Registry::with_prefix("rapidrtmp");
                $(let $field = metrics!(@family registry, $field, $help, $kind $(<$label>)? $(($buckets))?);)+
                let handles = (0..shards).map(|shard| ShardMetrics { $($field: $field(shard)),+ });
                let handles = handles.collect();
                (Self { registry }, handles)
            }
        }
    };
    (@family $registry:ident, $field:ident, $help:literal, Histogram($buckets:ident)) => {
        family(&mut $registry, stringify!($field), $help, || Histogram::new($buckets))
    };
    (@family $registry:ident, $field:ident, $help:literal, Labelled<$label:ident>) => {
        labelled::<$label>(&mut $registry, stringify!($field), $help)
    };
    (@family $registry:ident, $field:ident, $help:literal, $kind:ident) => {
        family(&mut $registry, stringify!($field), $help, $kind::default)
    };
}

/// All metrics of the process. It is shared by the shards, any of which may be asked for the text.
#[derive(Debug)]
pub struct Registry {
    registry: prometheus_client::registry::Registry,
}

// Counters get `_total` behind their name in the text.
metrics! {
    rtmp_connections: Counter = "RTMP connections accepted";
    rtmp_disconnects: Counter = "RTMP connections ended";
    rtmps_connections: Counter = "RTMP connections that speak TLS";
    http_connections: Counter = "HTTP connections accepted";
    http_disconnects: Counter = "HTTP connections ended";
    rtmp_errors: Labelled<EndedBecause> = "RTMP connections ended by an error";
    http2_connections: Counter = "HTTP connections that speak HTTP/2";
    tls_handshakes: Counter = "TLS handshakes completed";
    tls_resumed: Counter = "TLS handshakes that a ticket or a session made short";
    tls_failures: Counter = "TLS handshakes that failed or were given up";
    http_errors: Labelled<EndedBecause> = "HTTP connections ended by an error";
    refused: Labelled<RefusedBecause> = "Connections, publishers and viewers refused";
    active_publishers: Gauge = "Publishers now, those held ready included";
    standby_publishers: Gauge = "Publishers now that are held ready";
    takeovers: Labelled<TakenOverBecause> = "Take-overs by the other publisher of a stream";
    active_streams: Gauge = "Streams live or waiting for their publisher";
    streams_started: Counter = "Sessions started";
    streams_stopped: Counter = "Sessions ended";
    rtmp_bytes_received: Counter = "Bytes received from publishers";
    frames_received: Labelled<FrameType> = "Frames received";
    keyframes: Counter = "Frames received that a player can start at";
    repairs: Labelled<RepairKind> = "Repairs of a publisher's time and frames";
    stream_findings: Labelled<Finding> = "What operators should know of their publishers: how often each finding was made, of all streams";
    parts_created: Counter = "Parts listed";
    part_size_bytes: Histogram(SIZE_BUCKETS) = "Sizes of parts";
    segments_created: Counter = "Segments completed";
    segment_duration_seconds: Histogram(SEGMENT_BUCKETS_S) = "Durations of segments";
    segment_size_bytes: Histogram(SIZE_BUCKETS) = "Sizes of segments";
    bytes_stored: Gauge = "Bytes of memory that media take, each part rounded up to the size of its buffer";
    pool_idle_bytes: Gauge = "Bytes of memory of retired parts, kept for the next ones";
    lent_bytes: Gauge = "Bytes of memory of media out of retention that slow viewers still hold";
    active_viewers: Gauge = "Viewers now of the streams at home here";
    http_requests: Labelled<StatusClass> = "Responses by class of status";
    http_resources: Labelled<Resource> = "Requests by what was asked for";
    http_bytes_sent: Counter = "Bytes sent to viewers";
    blocked_requests: Gauge = "Requests that wait for a part or segment";
    reload_wait_seconds: Histogram(WAIT_BUCKETS_S) = "How long blocked requests waited for their response to be handed to the socket";
    blocked_timeouts: Counter = "Blocked requests answered 503";
    frame_to_part_seconds: Histogram(SERVER_BUCKETS_S) = "From a frame received whole to its part listed, for the newest frame of each part: a part is listed when it is complete, which the next frame may have to tell";
    part_to_first_viewer_seconds: Histogram(SERVER_BUCKETS_S) = "From a part listed on this shard to the response handed to the socket of the first viewer that waited for it";
    part_to_last_viewer_seconds: Histogram(SERVER_BUCKETS_S) = "From a part listed on this shard to the response handed to the socket of the last viewer that waited for it";
    event_delivery_seconds: Histogram(SERVER_BUCKETS_S) = "From an event published on a stream's home to its replica on this shard having applied it";
    wakeups: Counter = "Viewers woken by a part or segment";
    shard_stalls: Counter = "Times that a shard was kept from its sockets for more than 8 ms";
    shard_messages: Counter = "Messages received from other shards";
    replicas_stale: Counter = "Replicas that fell behind and were given a snapshot";
    panics: Counter = "Panics caught";
    process_cpu_seconds: Seconds = "Processor time of the process, user and system";
    process_resident_memory_bytes: Gauge = "Resident memory of the process";
    log_lines_dropped: Counter = "Log lines dropped because the log was slower than the server";
}

impl Registry {
    /// The text, as `application/openmetrics-text; version=1.0.0` wants it.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail, and no metric of ours has a formatting that does.
        encode(&mut text, &self.registry).expect("metrics are printed into a String");
        text
    }
}

type Labels = Vec<(&'static str, String)>;

/// Registers a family, and returns what makes a shard's handle of it.
fn family<M, C>(
    registry: &mut prometheus_client::registry::Registry,
    name: &str,
    help: &str,
    make: C,
) -> impl Fn(usize) -> M + use<M, C>
where
    M: Clone,
    C: MetricConstructor<M> + Clone,
    Family<Labels, M, C>: Metric,
{
    let family = Family::new_with_constructor(make);
    registry.register(name, help, family.clone());
    move |shard| family.get_or_create_owned(&vec![("shard", shard.to_string())])
}

/// As [`family`], with a label more. Every value is there from the start, at 0: a rate over a counter that
/// appears with its first event does not see that event.
fn labelled<L: Label>(
    registry: &mut prometheus_client::registry::Registry,
    name: &str,
    help: &str,
) -> impl Fn(usize) -> Labelled<L> + use<L> {
    let family = Family::<Labels, Counter>::default();
    registry.register(name, help, family.clone());
    move |shard| {
        let counter = |text: &&str| {
            family.get_or_create_owned(&vec![("shard", shard.to_string()), (L::NAME, (*text).to_owned())])
        };
        Labelled { counters: L::TEXTS.iter().map(counter).collect(), label: std::marker::PhantomData }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_shard_counts_for_itself_under_one_help_and_type() {
        let (registry, shards) = Registry::new(2);
        shards[0].rtmp_connections.inc();
        shards[1].rtmp_connections.inc_by(2);
        shards[1].http_requests.of(StatusClass::of(503)).inc();
        shards[0].active_viewers.set(7);
        shards[0].reload_wait_seconds.observe(0.3);
        let text = registry.render();
        let lines: Vec<&str> = text.lines().collect();
        for line in [
            "# HELP rapidrtmp_rtmp_connections RTMP connections accepted.",
            "# TYPE rapidrtmp_rtmp_connections counter",
            "rapidrtmp_rtmp_connections_total{shard=\"0\"} 1",
            "rapidrtmp_rtmp_connections_total{shard=\"1\"} 2",
            "rapidrtmp_http_requests_total{shard=\"1\",status=\"5xx\"} 1",
            "rapidrtmp_http_requests_total{shard=\"0\",status=\"2xx\"} 0",
            "rapidrtmp_active_viewers{shard=\"0\"} 7",
            "rapidrtmp_reload_wait_seconds_bucket{le=\"0.35\",shard=\"0\"} 1",
            "# EOF",
        ] {
            assert_eq!(lines.iter().filter(|&&found| found == line).count(), 1, "{line}\n{text}");
        }
        let comments: Vec<&&str> = lines.iter().filter(|line| line.starts_with("# ")).collect();
        assert_eq!(comments.iter().collect::<BTreeSet<_>>().len(), comments.len(), "repeated in\n{text}");
    }

    #[test]
    fn the_predecessors_names_are_kept() {
        let (registry, _shards) = Registry::new(1);
        let text = registry.render();
        for name in [
            "active_streams",
            "streams_started_total",
            "streams_stopped_total",
            "frames_received_total",
            "keyframes_total",
            "segments_created_total",
            "segment_duration_seconds_bucket",
            "segment_size_bytes_bucket",
            "active_viewers",
            "rtmp_connections_total",
            "rtmp_disconnects_total",
            "rtmp_errors_total",
            "rtmp_bytes_received_total",
            "bytes_stored",
            "http_requests_total",
        ] {
            assert!(text.contains(&format!("\nrapidrtmp_{name}{{")), "{name} in\n{text}");
        }
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            assert!(line.starts_with("rapidrtmp_"), "{line}");
        }
    }

    #[test]
    fn a_label_counts_under_its_own_text() {
        let (registry, shards) = Registry::new(1);
        for (count, value) in
            [RepairKind::MissingFrame, RepairKind::Slewed, RepairKind::Silence].iter().enumerate()
        {
            shards[0].repairs.of(*value).inc_by(count as u64 + 5);
        }
        let text = registry.render();
        for (kind, count) in [("missing_frame", 5), ("slewed", 6), ("silence", 7), ("absorbed", 0)] {
            let line = format!("rapidrtmp_repairs_total{{shard=\"0\",kind=\"{kind}\"}} {count}\n");
            assert!(text.contains(&line), "{line}{text}");
        }
    }

    #[test]
    fn handles_move_to_their_shard() {
        fn is_send<T: Send + Sync>() {}
        is_send::<ShardMetrics>();
        is_send::<Registry>();
    }
}
