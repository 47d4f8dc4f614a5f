//! The JSON interface: which calls there are, what they are told, what they answer. Performing them is
//! the shard's.

use serde::{Deserialize, Serialize};

use crate::http::{Body, Cache, Extra, Method, Refusal, Response, Status, content_type};
use crate::limits::{API_DETAILS_CODECS_MAX, API_STREAM_KEY_CHARS_MAX};
use crate::media::StreamName;
use crate::origin::findings::Found;

/// The application of a stream that is named by its key alone.
pub const APP_DEFAULT: &str = "live";

/// A call of the interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// `GET /api/ping`
    Ping,
    /// `GET /health`
    Health,
    /// `GET /ready`
    Ready,
    /// `GET /metrics`
    Metrics,
    /// `GET /api/v1/streams`
    Streams,
    /// `GET /api/v1/streams/KEY`
    Stream(StreamName),
    /// `POST /api/v1/streams/KEY/stop`
    Stop(StreamName),
    /// `POST /api/v1/publish`
    Publish,
}

/// What a path of the interface leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// Not one of ours.
    None,
    /// A call.
    Call(Call),
    /// One of ours, under another method.
    WrongMethod {
        /// For `Allow`.
        allowed: &'static str,
    },
    /// One of ours, with a name that no stream can have.
    BadName,
}

impl Route {
    /// Finds the call. `path` is percent-decoded.
    pub fn find(method: Method, path: &str) -> Self {
        let reading = |call| match method {
            Method::Get | Method::Head => Self::Call(call),
            _ => Self::WrongMethod { allowed: "GET, HEAD, OPTIONS" },
        };
        let changing = |call| match method {
            Method::Post => Self::Call(call),
            _ => Self::WrongMethod { allowed: "POST, OPTIONS" },
        };
        match path {
            "/api/ping" => reading(Call::Ping),
            "/health" => reading(Call::Health),
            "/ready" => reading(Call::Ready),
            "/metrics" => reading(Call::Metrics),
            "/api/v1/streams" => reading(Call::Streams),
            "/api/v1/publish" => changing(Call::Publish),
            _ => {
                let Some(rest) = path.strip_prefix("/api/v1/streams/") else { return Self::None };
                let (key, stop) = match rest.strip_suffix("/stop") {
                    Some(key) => (key, true),
                    None => (rest, false),
                };
                match stream_name(key) {
                    Some(name) if stop => changing(Call::Stop(name)),
                    Some(name) => reading(Call::Stream(name)),
                    None => Self::BadName,
                }
            }
        }
    }
}

/// True for a path, decoded or not, of which every error is JSON.
pub fn owns(path: &str) -> bool {
    path.starts_with("/api/")
}

/// The answer to a head that is not served, if it asks for a path of ours; close the connection after it.
pub fn refused(head: &[u8], refusal: Refusal) -> Option<Response> {
    let target = head.split(|byte| *byte == b' ').nth(1)?;
    let is_ours = std::str::from_utf8(target).is_ok_and(owns);
    is_ours.then(|| failure(refusal.status(), &refusal.to_string()))
}

/// Answers a call under the wrong method.
pub fn wrong_method(allowed: &'static str) -> Response {
    Response { extra: Extra::Allow(allowed), ..failure(Status::MethodNotAllowed, "method not allowed") }
}

/// `KEY` is live/KEY; `APP/KEY` is itself.
pub fn stream_name(key: &str) -> Option<StreamName> {
    if key.contains('/') { StreamName::parse(key).ok() } else { StreamName::new(APP_DEFAULT, key).ok() }
}

/// What [`stream_name`] reads: the key of a stream of [`APP_DEFAULT`], else the whole name.
pub fn stream_key(name: &StreamName) -> &str {
    if name.app() == APP_DEFAULT { name.key() } else { name.as_str() }
}

/// One stream in the public list: its names and state, nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamSummary {
    /// KEY of live/KEY, else APP/KEY; what the predecessor called it.
    pub stream_key: String,
    /// `app/key`
    pub name: String,
    /// `starting`, `live`, `waiting` or `ended`.
    pub state: &'static str,
    /// True while a publisher is there.
    pub active: bool,
    /// With the admin key only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<StreamDetails>,
}

/// What the admin key shows of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamDetails {
    /// When its session started, Unix milliseconds.
    pub started_at_unix_ms: Option<u64>,
    /// The address of the publisher on air, without its port.
    pub publisher_address: Option<String>,
    /// What its encoder calls itself.
    pub encoder: Option<String>,
    /// Who publishes: the one on air, and one that is held ready.
    pub publishers: Vec<PublisherDetails>,
    /// RFC 6381 string.
    pub video_codec: Option<String>,
    /// RFC 6381 string.
    pub audio_codec: Option<String>,
    /// `WIDTHxHEIGHT` after cropping.
    pub resolution: Option<String>,
    /// Frames per 1,000 seconds.
    pub frame_rate_milli: Option<u32>,
    /// Received in the last second, bits a second.
    pub bitrate_bits: u64,
    /// By what reloads of the first rendition brought in the last two target durations, all shards.
    pub viewers: u64,
    /// TARGETDURATION, seconds.
    pub target_duration_s: Option<u32>,
    /// PART-TARGET, milliseconds.
    pub part_target_ms: Option<u32>,
    /// The encoder's clock against ours, parts per million.
    pub drift_ppm: Option<i32>,
    /// Repairs of time: frames whose time was missing, moved or thrown away.
    pub repairs: u64,
    /// Discontinuities in the publisher's time.
    pub discontinuities: u64,
    /// Segments cut without a keyframe, since the GOP exceeds the target duration.
    pub forced_cuts: u64,
    /// Groups of pictures that begin with an HEVC CRA picture and RASL pictures: no viewer joins there without
    /// missing frames. Close the encoder's groups (x265: `open-gop=0`).
    pub open_gops: u64,
    /// A codec that was sent and is not taken.
    pub unsupported: Option<String>,
    /// Tracks that are received beside the video and the audio track that are played.
    pub extra_tracks: Vec<ExtraTrackDetails>,
    /// What its operator should know of its publishers.
    pub findings: Vec<FindingDetails>,
}

/// What was found of a stream's publishers, and what to change in the encoder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FindingDetails {
    /// As the metrics label it.
    pub name: &'static str,
    /// `info` or `warning`.
    pub severity: &'static str,
    /// How often.
    pub count: u64,
    /// Unix milliseconds.
    pub first_seen_at_unix_ms: u64,
    /// Unix milliseconds.
    pub last_seen_at_unix_ms: u64,
    /// How much, where that is measured: the worst, or of rates the newest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<i64>,
    /// Of `value`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<&'static str>,
    /// One sentence on what to change in the encoder.
    pub advice: String,
}

impl From<&Found> for FindingDetails {
    fn from(found: &Found) -> Self {
        Self {
            name: found.finding.name(),
            severity: found.finding.severity().as_str(),
            count: found.count,
            first_seen_at_unix_ms: found.first_seen_unix_ms,
            last_seen_at_unix_ms: found.last_seen_unix_ms,
            value: found.value(),
            unit: found.finding.unit(),
            advice: found.advice(),
        }
    }
}

/// A publisher of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PublisherDetails {
    /// `primary` or `backup`.
    pub role: &'static str,
    /// What it sends is played, or will be from its next key frame on.
    pub on_air: bool,
    /// Its address, without the port.
    pub address: String,
    /// What it calls itself.
    pub encoder: Option<String>,
    /// Received in the last second, bits a second.
    pub bitrate_bits: u64,
    /// Held ready, and known: it would take over `hitless`, with a `discontinuity`, or begin a `new session`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub takes_over: Option<&'static str>,
}

/// A track of Enhanced RTMP that is received, counted, and not played.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExtraTrackDetails {
    /// `video` or `audio`.
    pub kind: &'static str,
    /// Its number among those of its kind.
    pub track_id: u8,
    /// RFC 6381 string, or the FourCC as long as it is not configured.
    pub codec: String,
    /// `WIDTHxHEIGHT`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolution: Option<String>,
    /// Frames so far.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
}

#[derive(Serialize)]
struct StreamList<'a> {
    streams: &'a [StreamSummary],
    count: usize,
}

/// Answers the list.
pub fn streams(list: &[StreamSummary]) -> Response {
    json(Status::Ok, &StreamList { streams: list, count: list.len() })
}

/// Answers one stream.
pub fn stream(summary: &StreamSummary) -> Response {
    json(Status::Ok, summary)
}

/// Answers a stop.
pub fn stopped(name: &StreamName) -> Response {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Stopped<'a> {
        stream_key: &'a str,
        name: &'a str,
        state: &'static str,
    }
    json(Status::Ok, &Stopped { stream_key: stream_key(name), name: name.as_str(), state: "stopping" })
}

/// Answers a ping.
pub fn pong() -> Response {
    #[derive(Serialize)]
    struct Pong {
        message: &'static str,
    }
    json(Status::Ok, &Pong { message: "pong" })
}

/// Answers `/health`: the process answers.
pub fn health() -> Response {
    json(Status::Ok, &StatusText { status: "ok" })
}

/// Answers `/ready`: false while the server drains.
pub fn ready(is_ready: bool) -> Response {
    if is_ready {
        json(Status::Ok, &StatusText { status: "ready" })
    } else {
        json(Status::Unavailable, &StatusText { status: "draining" })
    }
}

#[derive(Serialize)]
struct StatusText {
    status: &'static str,
}

/// The body of `POST /api/v1/publish`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PublishRequest {
    /// KEY or APP/KEY.
    pub stream_key: String,
    /// Seconds that the token is valid for; the configured default without it.
    #[serde(default)]
    pub expires_in: Option<u64>,
}

impl PublishRequest {
    /// Parses the body.
    ///
    /// # Errors
    /// The response to send: what is wrong with it, without repeating it.
    pub fn parse(body: &[u8]) -> Result<(StreamName, Option<u64>), Response> {
        let request: Self = serde_json::from_slice(body).map_err(|error| {
            failure(Status::BadRequest, &format!("the body is not {{\"streamKey\": KEY, \"expiresIn\": SECONDS}}: {:?} at line {} column {}", error.classify(), error.line(), error.column()))
        })?;
        if request.stream_key.len() > API_STREAM_KEY_CHARS_MAX {
            return Err(failure(Status::BadRequest, "streamKey is too long"));
        }
        let name = stream_name(&request.stream_key).ok_or_else(|| {
            failure(
                Status::BadRequest,
                "streamKey must be KEY or APP/KEY of A-Z a-z 0-9 . _ -, not beginning with . _ -",
            )
        })?;
        Ok((name, request.expires_in))
    }
}

/// The answer of `POST /api/v1/publish`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PublishGrant {
    /// Ready to publish to, token included.
    pub publish_url: String,
    /// KEY of live/KEY, else APP/KEY.
    pub stream_key: String,
    /// The token alone.
    pub token: String,
    /// RFC 3339, UTC.
    pub expires_at: String,
}

/// Answers a publish call.
pub fn granted(grant: &PublishGrant) -> Response {
    json(Status::Ok, grant)
}

/// Answers with `{"error": text}`.
pub fn failure(status: Status, text: &str) -> Response {
    #[derive(Serialize)]
    struct Failure<'a> {
        error: &'a str,
    }
    json(status, &Failure { error: text })
}

/// Seconds since the Unix epoch as RFC 3339 in UTC.
pub fn rfc3339(unix_s: u64) -> String {
    let (days, second) = (unix_s / 86_400, unix_s % 86_400);
    let (year, month, day) = crate::media::civil_date(days);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

fn json(status: Status, value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(mut body) => {
            body.push(b'\n');
            Response { status, ..Response::ok(content_type::JSON, Cache::NoStore, Body::One(body.into())) }
        }
        Err(_) => Response::error(Status::InternalError, "the answer could not be written\n"),
    }
}

/// What the RFC 6381 strings of sound begin with.
const AUDIO_PREFIXES: [&str; 6] = ["mp4a", "Opus", "opus", "ac-3", "ec-3", "fLaC"];

/// Splits a session's codecs into the first video and the first audio one.
pub fn split_codecs(codecs: &str) -> (Option<String>, Option<String>) {
    let mut video = None;
    let mut audio = None;
    for codec in codecs.split(',').take(API_DETAILS_CODECS_MAX) {
        let is_audio = AUDIO_PREFIXES.iter().any(|prefix| codec.starts_with(prefix));
        let of_kind = if is_audio { &mut audio } else { &mut video };
        of_kind.get_or_insert_with(|| codec.to_owned());
    }
    (video, audio)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_calls_and_refuses_the_wrong_method() {
        let name = StreamName::new("live", "demo").unwrap();
        for (method, path, expected) in [
            (Method::Get, "/health", Route::Call(Call::Health)),
            (Method::Get, "/api/v1/streams/demo", Route::Call(Call::Stream(name.clone()))),
            (Method::Post, "/api/v1/streams/live/demo/stop", Route::Call(Call::Stop(name))),
            (Method::Get, "/api/v1/publish", Route::WrongMethod { allowed: "POST, OPTIONS" }),
            (Method::Post, "/metrics", Route::WrongMethod { allowed: "GET, HEAD, OPTIONS" }),
            (Method::Get, "/api/v1/streams/../x", Route::BadName),
            (Method::Get, "/api/v2/streams", Route::None),
        ] {
            assert_eq!(Route::find(method, path), expected, "{path}");
        }
    }

    #[test]
    fn a_publish_body_is_checked_and_never_repeated() {
        let (name, expires) = PublishRequest::parse(br#"{"streamKey":"demo","expiresIn":60}"#).unwrap();
        assert_eq!((name.as_str(), expires), ("live/demo", Some(60)));
        for body in [&b""[..], b"{}", b"[]", br#"{"streamKey":"../x"}"#, br#"{"streamKey":"a","x":1}"#] {
            assert_eq!(PublishRequest::parse(body).unwrap_err().status, Status::BadRequest);
        }
    }

    #[test]
    fn codecs_are_told_apart_by_what_they_carry() {
        for (codecs, video, audio) in [
            ("avc1.64001F,mp4a.40.2", Some("avc1.64001F"), Some("mp4a.40.2")),
            ("Opus", None, Some("Opus")),
            ("hvc1.1.6.L93.90", Some("hvc1.1.6.L93.90"), None),
            ("av01.0.04M.08,ec-3", Some("av01.0.04M.08"), Some("ec-3")),
        ] {
            assert_eq!(
                split_codecs(codecs),
                (video.map(str::to_owned), audio.map(str::to_owned)),
                "{codecs}"
            );
        }
    }

    #[test]
    fn writes_rfc_3339() {
        for (unix_s, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_795_347_296, "2026-11-22T11:34:56Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
        ] {
            assert_eq!(rfc3339(unix_s), text);
        }
    }
}
