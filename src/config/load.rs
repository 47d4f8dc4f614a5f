//! Lays file, environment and flags over the defaults; each complaint is one line that says where.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

use super::{Config, duration};
use crate::secret::Secret;

/// What a number may be, and whether 0 is allowed beside it.
const RANGES: &[(&str, bool, RangeInclusive<i64>)] = &[
    ("server.shards", true, 1..=1024),
    ("rtmp.connections_max", false, 1..=1_000_000),
    ("rtmp.connections_per_address_max", false, 1..=1_000_000),
    ("http.connections_max", false, 1..=10_000_000),
    ("http.connections_per_address_max", true, 1..=10_000_000),
    ("http.idle_timeout_s", false, 5..=3600),
    ("http.viewers_per_stream_max", true, 1..=10_000_000),
    ("hls.part_wish_ms", true, 100..=3000),
    ("hls.segment_target_ms", true, 500..=12_000),
    ("hls.window_segments", false, 3..=1000),
    ("hls.retained_bytes_max", false, 16 * 1024 * 1024..=1 << 40),
    ("hls.prefill_gap_segments", true, 1..=10),
    ("hls.expected_gop_ms", true, 100..=12_000),
    ("ingest.handshake_timeout_s", false, 1..=60),
    ("ingest.publish_timeout_s", false, 1..=120),
    ("ingest.first_media_timeout_s", false, 1..=120),
    ("ingest.media_timeout_s", false, 2..=300),
    ("ingest.unpublish_grace_s", true, 1..=600),
    ("ingest.reconnect_grace_s", true, 1..=600),
    ("ingest.takeover_silence_s", false, 1..=60),
    ("ingest.failback_s", true, 1..=3600),
    ("ingest.streams_max", false, 1..=100_000),
    ("ingest.record_bytes_max", false, 64 * 1024..=1 << 50),
    ("ingest.record_total_bytes_max", false, 64 * 1024..=1 << 50),
    ("auth.token_expiry_default_s", false, 1..=100 * 365 * 86_400),
    ("auth.token_expiry_max_s", false, 1..=100 * 365 * 86_400),
];

/// Characters of an admin key that are not warned about: 64 bits as hex digits.
const ADMIN_KEY_CHARS_ADVISED: usize = 16;
/// The same for the signing secret, which can be guessed at without asking us (RFC 7518, section 3.2).
const TOKEN_SECRET_CHARS_ADVISED: usize = 32;

/// The predecessor's environment, and the key each variable means here.
const ENVIRONMENT: &[(&str, &str, Unit)] = &[
    ("HTTP_ADDR", "http.addr", Unit::Plain),
    ("RTMP_ADDR", "rtmp.addr", Unit::Plain),
    ("RTMP_INGEST_ADDR", "rtmp.public_url", Unit::Plain),
    ("DEFAULT_TOKEN_EXPIRATION", "auth.token_expiry_default_s", Unit::DurationS),
    ("MAX_TOKEN_EXPIRATION", "auth.token_expiry_max_s", Unit::DurationS),
    ("MAX_CONCURRENT_STREAMS", "ingest.streams_max", Unit::Plain),
    ("MAX_VIEWERS_PER_STREAM", "http.viewers_per_stream_max", Unit::Plain),
    ("HLS_SEGMENT_DURATION", "hls.segment_target_ms", Unit::DurationMs),
    ("HLS_MAX_SEGMENTS", "hls.window_segments", Unit::Plain),
    ("RAPIDRTMP_ADMIN_KEY", "auth.admin_key", Unit::Plain),
];

/// The predecessor's variables that mean nothing here: media is kept in memory.
const ENVIRONMENT_WITHOUT_MEANING: &[&str] =
    &["STORAGE_TYPE", "STORAGE_DIR", "GCS_PROJECT_ID", "GCS_BUCKET_NAME", "GCS_BASE_DIR"];

/// How an environment variable spells its value.
#[derive(Clone, Copy)]
enum Unit {
    Plain,
    DurationMs,
    DurationS,
}

/// Where a value came from, as messages name it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Origin {
    File { path: String, line: usize },
    Variable(String),
    Flag(String),
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(f, "{path}:{line}"),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Default => write!(f, "default"),
        }
    }
}

/// One line: where, what was found, what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{origin}: {message}")]
pub struct ConfigError {
    origin: Origin,
    message: String,
}

/// Settings on their way from text to [`Config`]. Add the layers in the order file, environment, flags.
#[derive(Debug)]
pub struct Loader {
    /// The defaults, overlaid by what was set; always deserializes to `config`.
    table: Table,
    config: Config,
    /// Of the keys that were set.
    origins: BTreeMap<String, Origin>,
    warnings: Vec<String>,
}

impl Default for Loader {
    fn default() -> Self {
        Self::new()
    }
}

impl Loader {
    /// The defaults alone.
    pub fn new() -> Self {
        let config = Config::default();
        // Sections of strings, integers and booleans, none of them optional: a TOML table by construction.
        let table = Table::try_from(&config).expect("the defaults are a TOML table");
        Self { table, config, origins: BTreeMap::new(), warnings: Vec::new() }
    }

    /// Lays a file's text over what there is; `path` is for messages.
    ///
    /// # Errors
    /// [`ConfigError`] for malformed TOML, an unknown key (with the nearest known one), a value of another
    /// type or outside its range; each with the line.
    pub fn file(&mut self, path: &str, text: &str) -> Result<(), ConfigError> {
        let at = |offset: usize| Origin::File { path: path.to_owned(), line: line_at(text, offset) };
        let malformed = |error: toml::de::Error| ConfigError {
            origin: at(error.span().map_or(0, |span| span.start)),
            message: error.message().replace('\n', ", "),
        };
        let spans = DeTable::parse(text).map_err(malformed)?;
        let values: Table = text.parse().map_err(malformed)?;
        for (section, entries) in spans.get_ref() {
            let origin = at(section.span().start);
            let name: &str = section.get_ref();
            if !self.table.contains_key(name) {
                // A key above all sections is as common a slip as a misspelt section.
                let keys: Vec<String> = self.keys().collect();
                let bare = keys.iter().map(|key| (key.rsplit('.').next().unwrap_or(key), key.as_str()));
                let nearest =
                    nearest(name, self.table.keys().map(|key| (key.as_str(), key.as_str())).chain(bare));
                return Err(ConfigError { origin, message: format!("unknown section [{name}]{nearest}") });
            }
            let DeValue::Table(entries) = entries.get_ref() else {
                let message = format!("{name} is a section: write [{name}] and its keys below");
                return Err(ConfigError { origin, message });
            };
            for key in entries.keys().map(Spanned::get_ref) {
                let span = entries.get_key_value(key.as_ref()).map_or(0, |(key, _)| key.span().start);
                // Both tables come of the same text.
                let value = values[name][key.as_ref()].clone();
                self.set(&format!("{name}.{key}"), value, at(span))?;
            }
        }
        Ok(())
    }

    /// Lays the environment over what there is: `RAPIDRTMP_SECTION_KEY` for every key, and the
    /// predecessor's names. Other variables are ignored; empty ones count as unset.
    ///
    /// # Errors
    /// [`ConfigError`] for a value that cannot be read or is outside its range.
    pub fn environment(
        &mut self,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(), ConfigError> {
        let variables: BTreeMap<String, String> =
            variables.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        for &(name, key, unit) in ENVIRONMENT {
            let Some(text) = variables.get(name) else { continue };
            let origin = Origin::Variable(name.to_owned());
            let text = match unit {
                Unit::Plain => text.clone(),
                Unit::DurationMs => duration_text(text, 1, &origin)?,
                Unit::DurationS => duration_text(text, 1000, &origin)?,
            };
            self.set_text(key, &text, origin)?;
        }
        for &name in ENVIRONMENT_WITHOUT_MEANING {
            if variables.contains_key(name) {
                let warning =
                    format!("environment variable {name} has no meaning here: media is kept in memory");
                self.warnings.push(warning);
            }
        }
        let keys: Vec<String> = self.keys().collect();
        for (name, text) in variables.range("RAPIDRTMP_".to_owned()..) {
            let Some(wanted) = name.strip_prefix("RAPIDRTMP_") else { break };
            let spelt = |key: &&String| key.replace('.', "_").to_ascii_uppercase() == wanted;
            if let Some(key) = keys.iter().find(spelt) {
                self.set_text(key, text, Origin::Variable(name.clone()))?;
            } else if !ENVIRONMENT.iter().any(|&(known, ..)| known == name) {
                self.warnings.push(format!("environment variable {name} names no setting"));
            }
        }
        Ok(())
    }

    /// Lays one flag over what there is: `flag` (`--http`) is for messages, `key` is dotted (`http.addr`).
    ///
    /// # Errors
    /// [`ConfigError`] for a value that cannot be read or is outside its range.
    pub fn flag(&mut self, flag: &str, key: &str, text: &str) -> Result<(), ConfigError> {
        self.set_text(key, text, Origin::Flag(flag.to_owned()))
    }

    /// The settings, checked against one another, and warnings to be logged.
    ///
    /// # Errors
    /// [`ConfigError`] when two settings contradict one another.
    pub fn finish(mut self) -> Result<(Config, Vec<String>), ConfigError> {
        let Config { rtmp, http, hls, auth, ingest, .. } = &self.config;
        let (part_ms, segment_ms) = (hls.part_wish_or_preset_ms(), hls.segment_target_or_preset_ms());
        let public_url = &rtmp.public_url;
        let url =
            public_url.is_empty() || public_url.starts_with("rtmp://") || public_url.starts_with("rtmps://");
        for (key, fine, message) in [
            (
                "hls.segment_target_ms",
                segment_ms >= 2 * part_ms,
                format!(
                    "segments of {segment_ms} ms with parts of {part_ms} ms: at least two parts are allowed in one"
                ),
            ),
            (
                "auth.token_expiry_default_s",
                auth.token_expiry_default_s <= auth.token_expiry_max_s,
                format!(
                    "auth.token_expiry_default_s = {}: at most auth.token_expiry_max_s = {} is allowed",
                    auth.token_expiry_default_s, auth.token_expiry_max_s
                ),
            ),
            (
                "ingest.publish_timeout_s",
                ingest.publish_timeout_s >= ingest.handshake_timeout_s,
                format!(
                    "ingest.publish_timeout_s = {}: at least ingest.handshake_timeout_s = {} is allowed",
                    ingest.publish_timeout_s, ingest.handshake_timeout_s
                ),
            ),
            (
                "http.addr",
                !http.addr.clashes_with(rtmp.addr),
                format!(
                    "http.addr {} and rtmp.addr {} are the same address: each needs one of its own",
                    http.addr, rtmp.addr
                ),
            ),
            (
                "rtmp.public_url",
                url,
                format!(
                    "rtmp.public_url = {public_url:?}: rtmp://HOST[:PORT] or rtmps://HOST[:PORT] is allowed"
                ),
            ),
        ] {
            if !fine {
                return Err(self.contradiction(key, message));
            }
        }
        if let Some(message) = self.config.server.cpus_fault() {
            return Err(self.contradiction("server.cpus", message));
        }
        if let Some((key, message)) = self.config.https.fault() {
            return Err(self.contradiction(key, message.to_owned()));
        }
        self.warnings.extend(short_secret("auth.admin_key", &auth.admin_key, ADMIN_KEY_CHARS_ADVISED));
        self.warnings.extend(short_secret(
            "auth.token_secret",
            &auth.token_secret,
            TOKEN_SECRET_CHARS_ADVISED,
        ));
        Ok((self.config, self.warnings))
    }

    fn contradiction(&self, key: &str, message: String) -> ConfigError {
        ConfigError { origin: self.origins.get(key).cloned().unwrap_or(Origin::Default), message }
    }

    /// All keys, dotted.
    fn keys(&self) -> impl Iterator<Item = String> {
        let sections =
            self.table.iter().filter_map(|(section, entries)| Some((section, entries.as_table()?)));
        sections.flat_map(|(section, entries)| entries.keys().map(move |key| format!("{section}.{key}")))
    }

    fn value(&self, dotted: &str) -> Option<&Value> {
        let (section, key) = dotted.split_once('.')?;
        self.table.get(section)?.get(key)
    }

    /// Sets a key from text, read as the type that its default has.
    fn set_text(&mut self, dotted: &str, text: &str, origin: Origin) -> Result<(), ConfigError> {
        let parsed = match self.value(dotted) {
            Some(Value::Integer(_)) => text.parse().ok().map(Value::Integer),
            Some(Value::Boolean(_)) => text.parse().ok().map(Value::Boolean),
            Some(Value::Array(_)) => array(text),
            _ => Some(Value::String(text.to_owned())),
        };
        let Some(value) = parsed else {
            let allowed = self.value(dotted).map_or("nothing", type_text);
            return Err(ConfigError {
                origin,
                message: format!("{dotted} = {text:?}: {allowed} is allowed"),
            });
        };
        self.set(dotted, value, origin)
    }

    fn set(&mut self, dotted: &str, value: Value, origin: Origin) -> Result<(), ConfigError> {
        let error = |message: String| ConfigError { origin: origin.clone(), message };
        let Some(before) = self.value(dotted) else {
            let keys: Vec<String> = self.keys().collect();
            let nearest = nearest(dotted, keys.iter().map(|key| (key.as_str(), key.as_str())));
            return Err(error(format!("unknown key {dotted}{nearest}")));
        };
        if !before.same_type(&value) {
            let (found, allowed) = (type_text(&value), type_text(before));
            return Err(error(format!("{dotted} is {found}: {allowed} is allowed")));
        }
        check_range(dotted, &value).map_err(error)?;

        let (section, key) = dotted.split_once('.').unwrap_or((dotted, ""));
        self.table[section][key] = value.clone();
        match self.table.clone().try_into() {
            Ok(config) => self.config = config,
            Err(refused) => {
                let why = refused.message().trim_end().replace('\n', ", ");
                return Err(error(format!("{dotted} = {value}: {why}")));
            }
        }
        self.origins.insert(dotted.to_owned(), origin);
        Ok(())
    }
}

/// A list as TOML has it: `["one", "two"]`; the brackets may be left out.
fn array(text: &str) -> Option<Value> {
    let (open, close) = if text.trim_start().starts_with('[') { ("", "") } else { ("[", "]") };
    let mut table: Table = format!("list = {open}{text}{close}").parse().ok()?;
    table.remove("list").filter(|value| value.is_array() && table.is_empty())
}

fn check_range(dotted: &str, value: &Value) -> Result<(), String> {
    let Some(found) = value.as_integer() else { return Ok(()) };
    let Some((_, zero, range)) = RANGES.iter().find(|(key, ..)| *key == dotted) else { return Ok(()) };
    if range.contains(&found) || *zero && found == 0 {
        return Ok(());
    }
    let or_zero = if *zero { "0, or " } else { "" };
    Err(format!("{dotted} = {found}: {or_zero}{} to {} is allowed", range.start(), range.end()))
}

/// What is wrong with a secret that is too short to be one.
fn short_secret(key: &str, secret: &Secret, chars_min: usize) -> Option<String> {
    let found = secret.expose().chars().count();
    let short = (1..chars_min).contains(&found);
    short
        .then(|| format!("{key} has {found} characters and can be guessed: at least {chars_min} are advised"))
}

fn duration_text(text: &str, divisor: u64, origin: &Origin) -> Result<String, ConfigError> {
    match duration::parse_ms(text) {
        Some(ms) if ms % divisor == 0 => Ok((ms / divisor).to_string()),
        _ => {
            let message = format!("{text:?}: a duration such as 1h, 1h30m or 90s is allowed");
            Err(ConfigError { origin: origin.clone(), message })
        }
    }
}

fn type_text(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a string",
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a number with decimals",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::Table(_) => "a table",
    }
}

/// Line of a byte offset, from 1.
fn line_at(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|&byte| byte == b'\n').count()
}

/// `; did you mean KEY?`, for the known name with the fewest edits; `known` has names and their keys.
fn nearest<'a>(found: &str, known: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let nearest = known.min_by_key(|(name, _)| edits(found, name));
    nearest.map_or(String::new(), |(_, key)| format!("; did you mean {key}?"))
}

/// Levenshtein distance, one row at a time.
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
