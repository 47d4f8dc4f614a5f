//! Typed configuration: what can be set, its defaults, and what `config/server.toml` says about each.
//!
//! [`Loader`] lays file, environment and flags over the defaults, in this order; it reads no file itself.

mod address;
mod duration;
mod load;
mod memory;

use serde::{Deserialize, Serialize};

pub use address::ListenAddress;
pub use load::{ConfigError, Loader};
pub use memory::MemoryBounds;

use crate::secret::Secret;

/// `config/server.toml`: every key at its default, with its unit and what raising it costs.
pub const SERVER_TOML: &str = include_str!("../../config/server.toml");

/// All settings. `Default` is what a server without file, environment and flags runs with.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// The process.
    pub server: Server,
    /// Where publishers connect.
    pub rtmp: Rtmp,
    /// Where viewers connect.
    pub http: Http,
    /// The same over TLS.
    pub https: Https,
    /// How streams are cut and listed.
    pub hls: Hls,
    /// How long publishers are waited for, and how many there may be.
    pub ingest: Ingest,
    /// Who may publish and administer.
    pub auth: Auth,
    /// The player page.
    pub pages: Pages,
}

/// The process.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Server {
    /// Executors, each on a core of its own; 0 is one for each core.
    pub shards: u32,
    /// Cores that they are pinned to, in order; empty: those that the process may run on.
    pub cpus: Vec<u32>,
    /// Directory of what survives a restart; empty: nothing does.
    pub state_dir: String,
    /// What is logged.
    pub log_level: LogLevel,
    /// How it is logged.
    pub log_format: LogFormat,
}

/// Where publishers connect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rtmp {
    /// RTMP over TCP, and over TLS where [`Https`] has a certificate.
    pub addr: ListenAddress,
    /// `rtmp://HOST[:PORT]` as encoders reach it, for printed URLs; empty: localhost and the port of `addr`.
    pub public_url: String,
    /// Connections at once, publishing or not.
    pub connections_max: u32,
    /// The same from one address, before they publish.
    pub connections_per_address_max: u32,
}

/// Where viewers connect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Http {
    /// HTTP.
    pub addr: ListenAddress,
    /// Connections at once.
    pub connections_max: u32,
    /// The same from one address; 0: no limit.
    pub connections_per_address_max: u32,
    /// Seconds that a connection may be idle between requests.
    pub idle_timeout_s: u32,
    /// Viewers of one stream; 0: no limit.
    pub viewers_per_stream_max: u32,
    /// HTTP/2 is spoken to whoever asks for it.
    pub http2: bool,
}

/// Where viewers connect over TLS. Bounds and time-outs are those of [`Http`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Https {
    /// HTTPS.
    pub addr: ListenAddress,
    /// Certificate chain in PEM, the server's own first; for every name that no other certificate has.
    pub cert_file: String,
    /// Its private key in PEM.
    pub key_file: String,
    /// Further certificates, chosen by the name that the client asks for.
    pub certificates: Vec<CertificateFiles>,
    /// A certificate made here, for trying it out, instead of `cert_file`.
    pub self_signed: bool,
    /// Names and addresses in it, besides those of this host.
    pub self_signed_names: Vec<String>,
}

/// The files of one certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateFiles {
    /// Certificate chain in PEM.
    pub cert_file: String,
    /// Its private key in PEM.
    pub key_file: String,
}

/// How streams are cut and listed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Hls {
    /// Sets both numbers below.
    pub latency: Latency,
    /// Wished length of a part, milliseconds; 0: the preset's. See [`Hls::part_wish_or_preset_ms`].
    pub part_wish_ms: u32,
    /// Length at which a segment is cut, milliseconds; 0: the preset's. See [`Hls::segment_target_or_preset_ms`].
    pub segment_target_ms: u32,
    /// Complete segments in a playlist; at least seven target durations are listed all the same.
    pub window_segments: u32,
    /// Bytes of media that one stream may keep.
    pub retained_bytes_max: u64,
    /// GAP segments listed before the first real one.
    pub prefill_gap_segments: u32,
    /// One rendition with video and audio, instead of one each.
    pub muxed: bool,
    /// GOP of the encoders, milliseconds; 0: learnt.
    pub expected_gop_ms: u32,
}

/// How long publishers are waited for, and how many there may be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ingest {
    /// Seconds from accepting a connection to the end of its handshake.
    pub handshake_timeout_s: u32,
    /// Seconds from accepting a connection to `publish`.
    pub publish_timeout_s: u32,
    /// Seconds from `publish` to the first frame.
    pub first_media_timeout_s: u32,
    /// Seconds without a frame after which a publisher counts as gone.
    pub media_timeout_s: u32,
    /// Seconds that a stream waits for a publisher that said goodbye; 0 ends it at once.
    pub unpublish_grace_s: u32,
    /// Seconds that a stream waits for a publisher whose connection just ended.
    pub reconnect_grace_s: u32,
    /// Seconds of silence after which a second publisher with a valid token takes over.
    pub takeover_silence_s: u32,
    /// Seconds that a primary must have been steady to go on air again in the place of its backup; 0: it never does
    /// by itself.
    pub failback_s: u32,
    /// Streams live at once.
    pub streams_max: u32,
    /// Directory that ingests are recorded to; empty: none is.
    pub record_dir: String,
    /// `APP/KEY` of the streams that are recorded; empty: all.
    pub record_streams: Vec<String>,
    /// Bytes of one recording.
    pub record_bytes_max: u64,
    /// Bytes of all recordings in the directory.
    pub record_total_bytes_max: u64,
}

/// Who may publish and administer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Auth {
    /// Anyone may publish.
    pub open: bool,
    /// For changing calls of the JSON interface; unset: made at random and shown once.
    pub admin_key: Secret,
    /// Signs tokens; unset: from `server.state_dir`, else it lives as long as the process.
    pub token_secret: Secret,
    /// Seconds that a token is valid unless asked otherwise.
    pub token_expiry_default_s: u64,
    /// Seconds that a token is valid at most.
    pub token_expiry_max_s: u64,
}

/// The player page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pages {
    /// Where the page loads hls.js from.
    pub hls_js_url: String,
    /// Subresource integrity of it; empty: unchecked.
    pub hls_js_integrity: String,
    /// A local hls.js that is served instead; empty: none.
    pub hls_js_file: String,
}

/// The latency presets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Latency {
    /// Parts of 0.2 s, segments of 1 s.
    Ultra,
    /// Parts of 0.334 s, segments of 2 s.
    #[default]
    Low,
    /// Parts of 1 s, segments of 6 s.
    Safe,
}

/// The least severe level that is logged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Errors.
    Error,
    /// And warnings.
    Warn,
    /// And what happens once a connection or stream.
    #[default]
    Info,
    /// And what happens once a segment.
    Debug,
    /// And what happens once a message.
    Trace,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Latency {
    /// Wished length of a part, milliseconds.
    pub fn part_wish_ms(self) -> u32 {
        match self {
            Self::Ultra => 200,
            Self::Low => 334,
            Self::Safe => 1000,
        }
    }

    /// Length at which a segment is cut, milliseconds.
    pub fn segment_target_ms(self) -> u32 {
        match self {
            Self::Ultra => 1000,
            Self::Low => 2000,
            Self::Safe => 6000,
        }
    }
}

impl LogLevel {
    /// Its name, as a filter takes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl Hls {
    /// The part wish in milliseconds: the number if set, else the preset's.
    pub fn part_wish_or_preset_ms(&self) -> u32 {
        if self.part_wish_ms == 0 { self.latency.part_wish_ms() } else { self.part_wish_ms }
    }

    /// The segment target in milliseconds: the number if set, else the preset's.
    pub fn segment_target_or_preset_ms(&self) -> u32 {
        if self.segment_target_ms == 0 { self.latency.segment_target_ms() } else { self.segment_target_ms }
    }
}

impl Server {
    /// What is wrong with the list of cores.
    fn cpus_fault(&self) -> Option<String> {
        let repeated = (1..self.cpus.len()).find(|&at| self.cpus[..at].contains(&self.cpus[at]));
        if let Some(at) = repeated {
            return Some(format!(
                "server.cpus names CPU {} twice: each shard needs one of its own",
                self.cpus[at]
            ));
        }
        let is_short = !self.cpus.is_empty() && self.cpus.len() < self.shards as usize;
        is_short.then(|| {
            let (shards, found) = (self.shards, self.cpus.len());
            format!("server.cpus names {found} CPU(s) for server.shards = {shards}: each shard needs one of its own")
        })
    }
}

impl Https {
    /// There is a certificate for every name: TLS can be spoken.
    pub fn has_certificate(&self) -> bool {
        self.self_signed || !self.cert_file.is_empty()
    }

    /// The files of all certificates, the one for every name first; without it when it is made here.
    pub fn files(&self) -> Vec<CertificateFiles> {
        let first = CertificateFiles { cert_file: self.cert_file.clone(), key_file: self.key_file.clone() };
        let first = Some(first).filter(|_| !self.cert_file.is_empty());
        first.into_iter().chain(self.certificates.iter().cloned()).collect()
    }

    /// What keeps it from serving, with the key that is to blame.
    fn fault(&self) -> Option<(&'static str, &'static str)> {
        let half = |files: &CertificateFiles| files.cert_file.is_empty() != files.key_file.is_empty();
        let own = CertificateFiles { cert_file: self.cert_file.clone(), key_file: self.key_file.clone() };
        if half(&own) {
            let key = if self.key_file.is_empty() { "https.cert_file" } else { "https.key_file" };
            return Some((key, "https.cert_file and https.key_file go together: set both"));
        }
        if self.certificates.iter().any(|files| files.cert_file.is_empty() || files.key_file.is_empty()) {
            return Some(("https.certificates", "each of https.certificates has a cert_file and a key_file"));
        }
        if self.self_signed && !self.cert_file.is_empty() {
            let text =
                "https.self_signed makes a certificate, and https.cert_file names one: set one of them";
            return Some(("https.self_signed", text));
        }
        if !self.addr.is_off() && !self.has_certificate() {
            let text = "https.addr needs a certificate: set https.cert_file and https.key_file, or \
                        https.self_signed = true to try it out";
            return Some(("https.addr", text));
        }
        None
    }
}

impl Ingest {
    /// The stream `app/key` is to be recorded.
    pub fn records(&self, name: &str) -> bool {
        let is_listed =
            || self.record_streams.is_empty() || self.record_streams.iter().any(|one| one == name);
        !self.record_dir.is_empty() && is_listed()
    }
}

impl Rtmp {
    /// `rtmp://HOST[:PORT]` for printed URLs, without a slash at its end.
    pub fn public_url_or_local(&self) -> String {
        if !self.public_url.is_empty() {
            return self.public_url.trim_end_matches('/').to_owned();
        }
        match self.addr.port() {
            Some(1935) | None => "rtmp://localhost".to_owned(),
            Some(port) => format!("rtmp://localhost:{port}"),
        }
    }
}

impl Rtmp {
    /// `rtmps://HOST:PORT` for printed URLs. The port is never left out: encoders take 443 for that of rtmps.
    pub fn rtmps_url_or_local(&self, port: u16) -> String {
        let public_url = self.public_url.trim_end_matches('/');
        if public_url.starts_with("rtmps://") {
            return public_url.to_owned();
        }
        let host = public_url.strip_prefix("rtmp://").unwrap_or_default();
        let has_port = host.rsplit_once(':').is_some_and(|(_, digits)| digits.parse::<u16>().is_ok());
        match (host, has_port) {
            ("", _) => format!("rtmps://localhost:{port}"),
            (host, true) => format!("rtmps://{host}"),
            (host, false) => format!("rtmps://{host}:1935"),
        }
    }
}

impl Default for Rtmp {
    fn default() -> Self {
        Self {
            addr: ListenAddress::EveryInterface { port: 1935 },
            public_url: String::new(),
            connections_max: 1000,
            connections_per_address_max: 16,
        }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self {
            addr: ListenAddress::EveryInterface { port: 8080 },
            connections_max: 100_000,
            connections_per_address_max: 0,
            idle_timeout_s: 60,
            viewers_per_stream_max: 0,
            http2: true,
        }
    }
}

impl Default for Hls {
    fn default() -> Self {
        Self {
            latency: Latency::default(),
            part_wish_ms: 0,
            segment_target_ms: 0,
            window_segments: 6,
            retained_bytes_max: 256 * 1024 * 1024,
            prefill_gap_segments: 0,
            muxed: false,
            expected_gop_ms: 0,
        }
    }
}

impl Default for Ingest {
    fn default() -> Self {
        Self {
            handshake_timeout_s: 5,
            publish_timeout_s: 10,
            first_media_timeout_s: 15,
            media_timeout_s: 10,
            unpublish_grace_s: 10,
            reconnect_grace_s: 15,
            takeover_silence_s: 2,
            failback_s: 30,
            streams_max: 100,
            record_dir: String::new(),
            record_streams: Vec::new(),
            record_bytes_max: 1 << 30,
            record_total_bytes_max: 8 << 30,
        }
    }
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            open: false,
            admin_key: Secret::default(),
            token_secret: Secret::default(),
            token_expiry_default_s: 3600,
            token_expiry_max_s: 24 * 3600,
        }
    }
}

impl Default for Pages {
    fn default() -> Self {
        Self {
            hls_js_url: "https://cdn.jsdelivr.net/npm/hls.js@1.7.4/dist/hls.min.js".into(),
            hls_js_integrity: "sha384-p9vgU/7IYJWd3I4STrtqxqR/2cAQlhIX7D/HrTnIMEjjcUox165b7se7sxmm3zDg"
                .into(),
            hls_js_file: String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Config {
        let mut loader = Loader::new();
        loader.file("server.toml", text).unwrap();
        loader.finish().unwrap().0
    }

    #[test]
    fn the_shipped_file_is_the_built_in_defaults_and_holds_every_key() {
        assert_eq!(load(SERVER_TOML), Config::default());
        assert_eq!(load(""), Config::default());
        let shipped: toml::Table = SERVER_TOML.parse().unwrap();
        assert_eq!(shipped, toml::Table::try_from(Config::default()).unwrap());
    }

    #[test]
    fn every_key_of_the_shipped_file_is_explained() {
        let lines: Vec<&str> = SERVER_TOML.lines().collect();
        let keys: Vec<usize> = (0..lines.len())
            .filter(|&at| lines[at].contains(" = "))
            .filter(|&at| !lines[at].starts_with('#'))
            .collect();
        assert!(keys.len() > 30, "{} keys", keys.len());
        for at in keys {
            let above = lines[..at].iter().rev().take_while(|line| line.starts_with("# "));
            let words = above.flat_map(|line| line.split_whitespace()).count();
            assert!(words > 5, "line {}: {}", at + 1, lines[at]);
        }
    }

    #[test]
    fn each_number_of_a_preset_can_be_set_alone() {
        for (text, part_ms, segment_ms) in [
            ("", 334, 2000),
            ("latency = \"ultra\"", 200, 1000),
            ("latency = \"safe\"", 1000, 6000),
            ("latency = \"ultra\"\npart_wish_ms = 250", 250, 1000),
            ("segment_target_ms = 4000", 334, 4000),
        ] {
            let hls = load(&format!("[hls]\n{text}")).hls;
            let wishes = (hls.part_wish_or_preset_ms(), hls.segment_target_or_preset_ms());
            assert_eq!(wishes, (part_ms, segment_ms), "{text}");
        }
    }

    #[test]
    fn printed_urls_follow_the_public_address_or_the_port() {
        for (text, url) in [
            ("", "rtmp://localhost"),
            ("addr = \":1936\"", "rtmp://localhost:1936"),
            ("public_url = \"rtmp://in.example/\"", "rtmp://in.example"),
        ] {
            assert_eq!(load(&format!("[rtmp]\n{text}")).rtmp.public_url_or_local(), url, "{text}");
        }
        for (public_url, url) in [
            ("", "rtmps://localhost:1936"),
            ("rtmp://in.example/", "rtmps://in.example:1935"),
            ("rtmp://[2001:db8::1]", "rtmps://[2001:db8::1]:1935"),
            ("rtmp://in.example:19350", "rtmps://in.example:19350"),
            ("rtmps://in.example", "rtmps://in.example"),
        ] {
            let rtmp = load(&format!("[rtmp]\npublic_url = {public_url:?}")).rtmp;
            assert_eq!(rtmp.rtmps_url_or_local(1936), url, "{public_url}");
        }
    }

    #[test]
    fn a_stream_is_recorded_where_there_is_a_directory_and_a_list_names_it_or_nobody() {
        for (directory, streams, expected) in [
            ("", "[]", [false, false]),
            ("", "['live/a']", [false, false]),
            ("/r", "[]", [true, true]),
            ("/r", "['live/a', 'live/c']", [true, false]),
        ] {
            let ingest =
                load(&format!("[ingest]\nrecord_dir = '{directory}'\nrecord_streams = {streams}")).ingest;
            assert_eq!(["live/a", "live/b"].map(|name| ingest.records(name)), expected, "{streams}");
        }
    }
}
