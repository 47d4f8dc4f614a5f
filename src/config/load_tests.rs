//! Layers, and the line that each mistake is answered with.

use super::*;
use crate::config::{Latency, ListenAddress};

fn file(text: &str) -> Result<Config, String> {
    let mut loader = Loader::new();
    loader.file("server.toml", text).map_err(|error| error.to_string())?;
    loader.finish().map(|(config, _)| config).map_err(|error| error.to_string())
}

fn environment(variables: &[(&str, &str)]) -> Result<(Config, Vec<String>), String> {
    let mut loader = Loader::new();
    let owned = variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
    loader.environment(owned).map_err(|error| error.to_string())?;
    loader.finish().map_err(|error| error.to_string())
}

#[test]
fn mistakes_in_a_file_are_answered_with_line_finding_and_what_is_allowed() {
    for (text, message) in [
        ("[hls]\nlatancy = \"low\"", "server.toml:2: unknown key hls.latancy; did you mean hls.latency?"),
        ("\n[htp]\n", "server.toml:2: unknown section [htp]; did you mean http?"),
        ("shards = 2", "server.toml:1: unknown section [shards]; did you mean server.shards?"),
        ("hls = 2", "server.toml:1: hls is a section: write [hls] and its keys below"),
        (
            "[server]\n\nshards = \"two\"",
            "server.toml:3: server.shards is a string: a whole number is allowed",
        ),
        ("[server]\ncpus = 3", "server.toml:2: server.cpus is a whole number: a list is allowed"),
        (
            "[server]\ncpus = [0, 2, 0]",
            "server.toml:2: server.cpus names CPU 0 twice: each shard needs one of its own",
        ),
        (
            "[server]\nshards = 3\ncpus = [4, 5]",
            "server.toml:3: server.cpus names 2 CPU(s) for server.shards = 3: each shard needs one of its own",
        ),
        ("[hls]\nmuxed = 1", "server.toml:2: hls.muxed is a whole number: true or false is allowed"),
        ("[hls]\npart_wish_ms = 50", "server.toml:2: hls.part_wish_ms = 50: 0, or 100 to 3000 is allowed"),
        ("[ingest]\nstreams_max = -1", "server.toml:2: ingest.streams_max = -1: 1 to 100000 is allowed"),
        (
            "[hls]\nlatency = \"lowest\"",
            "server.toml:2: hls.latency = \"lowest\": unknown variant `lowest`, expected one of `ultra`, `low`, `safe`",
        ),
        (
            "[http]\naddr = \"here\"",
            "server.toml:2: http.addr = \"here\": \"here\" is no address; allowed are \":PORT\", \
             \"IPV4:PORT\", \"[IPV6]:PORT\" and \"\" (off)",
        ),
        (
            "[hls]\nlatency = \"ultra\"\nsegment_target_ms = 500\npart_wish_ms = 400",
            "server.toml:3: segments of 500 ms with parts of 400 ms: at least two parts are allowed in one",
        ),
        (
            "[auth]\ntoken_expiry_default_s = 90000",
            "server.toml:2: auth.token_expiry_default_s = 90000: at most auth.token_expiry_max_s = 86400 is allowed",
        ),
        (
            "[rtmp]\npublic_url = \"in.example\"",
            "server.toml:2: rtmp.public_url = \"in.example\": rtmp://HOST[:PORT] or rtmps://HOST[:PORT] is allowed",
        ),
    ] {
        assert_eq!(file(text), Err(message.to_owned()), "{text}");
    }
    for (text, line) in [("[hls]\nmuxed = ", 2), ("[hls]\nmuxed = true\nmuxed = true", 3), ("\n[hls", 2)] {
        let message = file(text).unwrap_err();
        assert!(message.starts_with(&format!("server.toml:{line}: ")), "{text}: {message}");
        assert!(!message.contains('\n'), "{message}");
    }
}

#[test]
fn flags_go_before_the_environment_and_that_before_the_file() {
    let mut loader = Loader::new();
    loader.file("server.toml", "[hls]\nlatency = \"safe\"\nmuxed = true\nwindow_segments = 9").unwrap();
    let variables = [("RAPIDRTMP_HLS_LATENCY", "low"), ("HLS_MAX_SEGMENTS", "12"), ("PATH", "/bin")];
    loader.environment(variables.map(|(name, value)| (name.to_owned(), value.to_owned()))).unwrap();
    loader.flag("--latency", "hls.latency", "ultra").unwrap();
    let (config, warnings) = loader.finish().unwrap();
    assert_eq!(
        (config.hls.latency, config.hls.window_segments, config.hls.muxed),
        (Latency::Ultra, 12, true)
    );
    assert_eq!(warnings, Vec::<String>::new());
}

#[test]
fn the_predecessors_environment_is_understood() {
    let (config, warnings) = environment(&[
        ("HTTP_ADDR", ":8081"),
        ("RTMP_ADDR", "127.0.0.1:1936"),
        ("RTMP_INGEST_ADDR", "rtmp://in.example:1936"),
        ("DEFAULT_TOKEN_EXPIRATION", "30m"),
        ("MAX_TOKEN_EXPIRATION", "24h"),
        ("MAX_CONCURRENT_STREAMS", "7"),
        ("MAX_VIEWERS_PER_STREAM", "1000"),
        ("HLS_SEGMENT_DURATION", "4s"),
        ("HLS_MAX_SEGMENTS", "10"),
        ("STORAGE_TYPE", "local"),
        ("RAPIDRTMP_ADMIN_KEY", "0123456789abcdef"),
    ])
    .unwrap();
    assert_eq!(config.http.addr, ListenAddress::EveryInterface { port: 8081 });
    assert_eq!(config.rtmp.addr.to_string(), "127.0.0.1:1936");
    assert_eq!(config.rtmp.public_url_or_local(), "rtmp://in.example:1936");
    assert_eq!((config.auth.token_expiry_default_s, config.auth.token_expiry_max_s), (1800, 86_400));
    assert_eq!((config.ingest.streams_max, config.http.viewers_per_stream_max), (7, 1000));
    assert_eq!((config.hls.segment_target_or_preset_ms(), config.hls.window_segments), (4000, 10));
    assert_eq!(config.auth.admin_key.expose(), "0123456789abcdef");
    assert_eq!(warnings, ["environment variable STORAGE_TYPE has no meaning here: media is kept in memory"]);
}

#[test]
fn every_key_can_be_set_by_the_environment() {
    for dotted in Loader::new().keys() {
        let name = format!("RAPIDRTMP_{}", dotted.replace('.', "_").to_ascii_uppercase());
        let text = match Loader::new().value(&dotted).unwrap() {
            Value::String(text) => text.clone(),
            value => value.to_string(),
        };
        assert_eq!(environment(&[(&name, &text)]), Ok((Config::default(), vec![])), "{name}");
    }
}

#[test]
fn lists_are_written_as_toml_has_them() {
    let pairs = "[{ cert_file = \"b.pem\", key_file = \"b.key\" }]";
    let names = "[\"video.lan\", \"::1\"]";
    let variables = [("RAPIDRTMP_HTTPS_CERTIFICATES", pairs), ("RAPIDRTMP_HTTPS_SELF_SIGNED_NAMES", names)];
    let https = environment(&variables).unwrap().0.https;
    assert_eq!((https.certificates[0].cert_file.as_str(), https.files().len()), ("b.pem", 1));
    assert_eq!(https.self_signed_names, ["video.lan", "::1"]);
    for (text, cpus) in [("[2, 3]", &[2, 3][..]), ("3,2", &[3, 2]), ("5", &[5]), ("[]", &[])] {
        assert_eq!(environment(&[("RAPIDRTMP_SERVER_CPUS", text)]).unwrap().0.server.cpus, cpus, "{text}");
    }
    for text in ["video.lan", "[1]", "[]\nother = 1"] {
        let found = environment(&[("RAPIDRTMP_HTTPS_SELF_SIGNED_NAMES", text)]).unwrap_err();
        assert!(found.contains("https.self_signed_names"), "{found}");
    }
}

#[test]
fn https_needs_a_certificate_and_one_only() {
    for (text, message) in [
        ("addr = \":1\"", "https.addr needs a certificate"),
        ("cert_file = \"a\"", "https.cert_file and https.key_file go together"),
        ("key_file = \"a\"", "https.cert_file and https.key_file go together"),
        ("self_signed = true\ncert_file = \"a\"\nkey_file = \"b\"", "https.self_signed makes a certificate"),
        ("certificates = [{ cert_file = \"a\", key_file = \"\" }]", "a cert_file and a key_file"),
    ] {
        let mut loader = Loader::new();
        loader.file("server.toml", &format!("[https]\n{text}")).unwrap();
        let found = loader.finish().unwrap_err().to_string();
        assert!(found.contains(message), "{text}: {found}");
    }
}

#[test]
fn mistakes_in_the_environment_and_flags_are_named() {
    for (name, value, message) in [
        ("MAX_CONCURRENT_STREAMS", "many", "ingest.streams_max = \"many\": a whole number is allowed"),
        ("MAX_CONCURRENT_STREAMS", "0", "ingest.streams_max = 0: 1 to 100000 is allowed"),
        ("DEFAULT_TOKEN_EXPIRATION", "3600", "\"3600\": a duration such as 1h, 1h30m or 90s is allowed"),
        ("RAPIDRTMP_AUTH_OPEN", "yes", "auth.open = \"yes\": true or false is allowed"),
    ] {
        let found = environment(&[(name, value)]).unwrap_err();
        assert_eq!(found, format!("environment variable {name}: {message}"));
    }
    let (_, warnings) = environment(&[("RAPIDRTMP_HLS_LATANCY", "low")]).unwrap();
    assert_eq!(warnings, ["environment variable RAPIDRTMP_HLS_LATANCY names no setting"]);

    let error = Loader::new().flag("--shards", "server.shards", "-1").unwrap_err().to_string();
    assert_eq!(error, "--shards: server.shards = -1: 0, or 1 to 1024 is allowed");
}

#[test]
fn every_number_has_a_range_and_every_range_a_number() {
    let loader = Loader::new();
    let numbers: Vec<String> = loader.keys().filter(|key| loader.value(key).unwrap().is_integer()).collect();
    let mut ranged: Vec<&str> = RANGES.iter().map(|(key, ..)| *key).collect();
    ranged.sort_unstable();
    assert_eq!(numbers, ranged);
    for (key, zero, range) in RANGES {
        let default = loader.value(key).unwrap().as_integer().unwrap();
        assert!(range.contains(&default) || *zero && default == 0, "{key}");
    }
}

#[test]
fn a_short_secret_is_warned_about_and_stands_in_no_message() {
    let mut loader = Loader::new();
    let text = "[auth]\nadmin_key = \"hunter2\"\ntoken_secret = \"hunter2 of thirty-two characters!\"";
    loader.file("server.toml", text).unwrap();
    let (config, warnings) = loader.finish().unwrap();
    let warning = "auth.admin_key has 7 characters and can be guessed: at least 16 are advised";
    assert_eq!(warnings, [warning]);
    assert!(!format!("{config:?}").contains("hunter2"));
    assert!(!file("[auth]\nadmin_key = \"hunter2\"\nopen = 3").unwrap_err().contains("hunter2"));
    assert!(!file("[auth]\nadmin_key = [\"hunter2\"]").unwrap_err().contains("hunter2"));
}
