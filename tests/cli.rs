//! The command line as its users meet it: flags, settings, signals, and one clear line with exit code 1 for
//! whatever does not do.

mod support;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use support::poll_until;
use support::publisher::{Source, wait_until_playable};
use support::server::{Options, Server};

const ENDS_WITHIN: Duration = Duration::from_secs(20);
const PLAYABLE_WITHIN: Duration = Duration::from_secs(30);

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rapidrtmp"));
    command.stdin(Stdio::null());
    command
}

/// Runs to the end, killed when that does not come.
fn finish(mut command: Command) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    if poll_until(ENDS_WITHIN, || child.try_wait().ok().flatten()).is_none() {
        child.kill().expect("is killed");
        let output = child.wait_with_output().expect("ends");
        panic!("{command:?} does not end: {output:?}");
    }
    child.wait_with_output().expect("ends")
}

fn run(arguments: &[&str]) -> Output {
    let mut command = command();
    command.args(arguments);
    finish(command)
}

/// One line on standard error that begins with our name and holds `expected`, exit code 1, and nothing on
/// standard output.
fn assert_refused(output: &Output, expected: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.starts_with("rapidrtmp: ") && stderr.contains(expected), "{expected:?} in {stderr}");
    assert!(output.stdout.is_empty(), "{output:?}");
}

#[test]
fn mistakes_on_the_command_line_are_one_line_and_code_1() {
    for (arguments, expected) in [
        (&["--htp", ":1"][..], "unexpected argument '--htp' found; tip: a similar argument exists: '--http'"),
        (&["serv"], "unrecognized subcommand 'serv'"),
        (&["token"], "required arguments were not provided: <KEY>"),
        (&["--shards", "two"], "--shards: server.shards = \"two\": a whole number is allowed"),
        (&["check", "--cpus", "1000000"], "server.cpus names CPU 1000000, on which this process may not run"),
        (&["--cpus", "1000000"], "server.cpus names CPU 1000000, on which this process may not run"),
        (&["check", "--cpus", "0,0"], "--cpus: server.cpus names CPU 0 twice"),
        (&["--shards", "2", "--cpus", "0"], "--cpus: server.cpus names 1 CPU(s) for server.shards = 2"),
        (&["--cpus", "first"], "--cpus: server.cpus = \"first\": a list is allowed"),
        (&["--latency", "fast"], "--latency: hls.latency = \"fast\""),
        (&["--http", "host:80"], "--http: http.addr = \"host:80\""),
        (&["--https", ":443"], "--https: https.addr needs a certificate"),
        (&["check", "--https", ":443"], "--https: https.addr needs a certificate"),
        (&["--config", "/nowhere/server.toml"], "/nowhere/server.toml: No such file or directory"),
        (&["--config", "/"], "/: Is a directory"),
    ] {
        assert_refused(&run(arguments), expected);
    }
}

#[test]
fn one_address_for_both_ports_is_refused_by_check_and_serve() {
    for name in ["check", "serve"] {
        for rtmp in ["127.0.0.1:19401", ":19401"] {
            let output = run(&[name, "--rtmp", rtmp, "--http", "127.0.0.1:19401"]);
            let text = format!("--http: http.addr 127.0.0.1:19401 and rtmp.addr {rtmp} are the same address");
            assert_refused(&output, &text);
        }
    }
}

#[test]
fn help_and_version_are_told_on_standard_output() {
    for (arguments, expected) in [
        (&["--help"][..], "--latency <PRESET>"),
        (&["serve", "--help"], "--config <FILE>"),
        (&["--version"], env!("CARGO_PKG_VERSION")),
    ] {
        let output = run(arguments);
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains(expected), "{output:?}");
    }
}

#[test]
fn a_bad_file_is_refused_with_its_line_and_the_nearest_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("my.toml");
    let name = path.display();
    for (text, expected) in [
        ("[hls]\nlatancy = \"low\"\n", "my.toml:2: unknown key hls.latancy; did you mean hls.latency?"),
        ("[tls]\nkey_file = \"\"\n", "my.toml:1: unknown section [tls]"),
        ("[https]\nkey_file = \"/k\"\n", "my.toml:2: https.cert_file and https.key_file go together"),
        (
            "[https]\naddr = \":0\"\ncert_file = \"/nowhere/c.pem\"\nkey_file = \"/nowhere/c.key\"\n",
            "https: /nowhere/c.pem: No such file",
        ),
        (
            "[https]\naddr = \":0\"\ncert_file = \"/proc/version\"\nkey_file = \"/proc/version\"\n",
            "https: /proc/version: no certificate in PEM",
        ),
        ("[https]\ncertificates = [{ cert = \"a\" }]\n", "my.toml:2: https.certificates = "),
        ("[hls]\nmuxed = \n", "my.toml:2: "),
        ("[pages]\nhls_js_file = \"/nowhere/hls.js\"\n", "pages.hls_js_file /nowhere/hls.js: No such file"),
        ("[pages]\nhls_js_url = \"ftp://a/h.js\"\n", "pages.hls_js_url: "),
        ("[server]\nstate_dir = \"/dev/null/state\"\n", "/dev/null/state"),
        ("[server]\nstate_dir = \"/proc/rapidrtmp\"\n", "/proc/rapidrtmp"),
        ("[ingest]\nrecord_dir = \"/dev/null/a\"\n", "ingest.record_dir cannot be used: /dev/null/a: "),
        ("[ingest]\nrecord_streams = [\"show\"]\n", "ingest.record_streams: \"show\": the application has 0"),
    ] {
        fs::write(&path, text).expect("writes");
        for verb in ["serve", "check"] {
            let output = run(&[verb, "--config", &name.to_string(), "--rtmp", ":0", "--http", ":0"]);
            assert_refused(&output, expected);
        }
    }
}

#[test]
fn the_shipped_file_and_this_host_are_in_order() {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/config/server.toml");
    let output = run(&["check", "--config", shipped, "--rtmp", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr == "rapidrtmp: settings and host are in order\n", "{stderr}");
}

#[test]
fn a_second_server_on_the_same_port_is_noticed() {
    let server = Server::start(&Options::default());
    let (rtmp, http) = (server.rtmp().to_string(), server.http().to_string());
    assert_refused(&run(&["--rtmp", &rtmp, "--http", "127.0.0.1:0"]), &format!("{rtmp} is in use"));
    assert_refused(&run(&["--rtmp", "127.0.0.1:0", "--http", &http]), &format!("{http} is in use"));
    // Its settings can be checked while it runs.
    let checked = run(&["check", "--rtmp", &rtmp, "--http", &http]);
    assert!(checked.status.success(), "{checked:?}");
    // Anything else that listens there is noticed as well.
    let other = TcpListener::bind("127.0.0.1:0").expect("listens");
    let taken = other.local_addr().expect("has an address").to_string();
    assert_refused(&run(&["--rtmp", "127.0.0.1:0", "--http", &taken]), &format!("{taken} is in use"));
}

#[test]
fn too_little_lockable_memory_and_too_few_descriptors_are_told_with_the_remedy() {
    for (limit, expected) in [("--memlock=8192:8192", "RLIMIT_MEMLOCK"), ("--nofile=32:32", "RLIMIT_NOFILE")]
    {
        let mut limited = Command::new("prlimit");
        limited.args([
            limit,
            env!("CARGO_BIN_EXE_rapidrtmp"),
            "--rtmp",
            "127.0.0.1:0",
            "--http",
            "127.0.0.1:0",
        ]);
        let output = finish(limited);
        assert_refused(&output, expected);
        assert!(String::from_utf8_lossy(&output.stderr).contains("raise it"), "{output:?}");
    }
}

#[test]
fn a_state_directory_that_cannot_be_written_is_refused_by_check_and_serve() {
    let folder = tempfile::tempdir().expect("a folder");
    // Modes do not hold root back, a directory in the way does.
    fs::create_dir_all(folder.path().join("streams/probe")).expect("makes a folder");
    for name in ["check", "serve"] {
        let mut refused = command();
        refused.args([name, "--rtmp", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
        refused.env("RAPIDRTMP_SERVER_STATE_DIR", folder.path());
        assert_refused(&finish(refused), "server.state_dir cannot be used: ");
    }
}

#[test]
fn a_secret_that_others_can_read_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let secret = folder.path().join("token_secret");
    fs::write(&secret, "0123456789abcdef0123456789abcdef").expect("writes");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).expect("sets its mode");
    for name in ["check", "serve"] {
        let mut refused = command();
        refused.args([name, "--rtmp", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
        refused.env("RAPIDRTMP_SERVER_STATE_DIR", folder.path());
        assert_refused(&finish(refused), "token_secret: mode 644, but a secret must be 600: chmod 600 it");
    }
}

#[test]
fn check_keeps_nothing_in_the_state_directory_that_serve_would_have_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut check = command();
    check.args(["check", "--rtmp", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
    check.env("RAPIDRTMP_SERVER_STATE_DIR", folder.path());
    let output = finish(check);
    assert!(output.status.success(), "{output:?}");
    assert!(!folder.path().join("token_secret").exists(), "a secret is made by the server alone");
}

#[test]
fn a_state_directory_that_another_server_uses_is_refused_and_free_again_after_it() {
    let config = Some("[server]\nstate_dir = \"DIR/state\"\n".to_owned());
    let mut server = Server::start(&Options { config, ..Options::default() });
    let state = server.directory().join("state");
    let second = |name: &str| {
        let mut command = command();
        command.args([name, "--rtmp", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
        command.env("RAPIDRTMP_SERVER_STATE_DIR", &state);
        finish(command)
    };
    assert_refused(&second("serve"), "lock: another server uses this directory");
    // Its settings can be checked while it runs.
    let checked = second("check");
    let stderr = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success() && stderr.contains("another server uses this directory"), "{stderr}");
    // However it ends.
    server.restart();
}

#[test]
fn a_token_needs_a_kept_secret_and_a_name_that_a_stream_can_have() {
    let folder = tempfile::tempdir().expect("a folder");
    let token = |arguments: &[&str], state: bool| {
        let mut command = command();
        command.arg("token").args(arguments);
        if state {
            command.env("RAPIDRTMP_SERVER_STATE_DIR", folder.path());
        }
        finish(command)
    };
    assert_refused(&token(&["show"], false), "no signing secret is kept");
    assert_refused(&token(&["../show"], true), "the stream must be KEY or APP/KEY");
    assert_refused(&token(&["show", "--expires-in", "0"], true), "--expires-in is 0");
    let output = token(&["show"], true);
    let url = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && url.starts_with("rtmp://localhost/live/show?token="), "{output:?}");
}

#[test]
fn the_predecessors_environment_starts_the_server() {
    let environment = [
        ("DEFAULT_TOKEN_EXPIRATION", "30m"),
        ("HLS_SEGMENT_DURATION", "4s"),
        ("RTMP_INGEST_ADDR", "rtmp://in.example"),
        ("STORAGE_TYPE", "local"),
    ];
    let owned = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let server = Server::start(&Options { environment: owned.to_vec(), open: false, ..Options::default() });
    assert!(server.stdout().contains("rtmp://in.example/live"), "{}", server.stdout());
    let warned =
        poll_until(ENDS_WITHIN, || server.log().contains("STORAGE_TYPE has no meaning").then_some(()));
    assert!(warned.is_some(), "{}", server.log());
}

#[test]
fn debug_tells_each_segment_and_trace_each_message_and_neither_a_token() {
    for (level, segments, messages) in [("info", false, false), ("debug", true, false), ("trace", true, true)]
    {
        let config = format!("[server]\nlog_level = \"{level}\"\n[hls]\nlatency = \"ultra\"\n");
        let server = Server::start(&Options { shards: 2, config: Some(config), ..Options::default() });
        let _publisher = Source::default().publish(&server.publish_url("told?token=open-sesame"));
        wait_until_playable(&server.http().to_string(), "/live/told/index.m3u8", PLAYABLE_WITHIN);
        let holds =
            |parts: &[&str]| server.log().lines().any(|line| parts.iter().all(|part| line.contains(part)));
        for rendition in ["v", "a"] {
            let rendition = format!("rendition=\"{rendition}\"");
            let segment =
                ["DEBUG", " segment ", "stream=live/told", &rendition, "media_sequence=", "parts=", "bytes="];
            let told = poll_until(ENDS_WITHIN, || (!segments || holds(&segment)).then_some(()));
            assert!(told.is_some() && holds(&segment) == segments, "{level}: {}", server.log());
        }
        for kind in ["command", "set chunk size", "data", "video", "audio"] {
            let kind = format!("type=\"{kind}\"");
            let message = ["TRACE", "rtmp message", "peer=127.0.0.1", &kind, "timestamp_ms=", "bytes="];
            assert_eq!(holds(&message), messages, "{level}: {kind}: {}", server.log());
        }
        assert_eq!(holds(&["TRACE", "stream=live/told"]), messages);
        for secret in ["sesame", "token="] {
            assert!(!server.log().contains(secret), "{level}: {}", server.log());
        }
    }
}

/// Predecessor's defect 17: no graceful shutdown.
#[test]
fn defect_17_sigterm_ends_the_stream_for_those_who_wait_and_exits_0() {
    for shards in [1, 2] {
        let mut server = Server::start(&Options { shards, ..Options::default() });
        let mut publisher = Source::default().publish(&server.publish_url("drained"));
        let path = "/live/drained/index.m3u8";
        let playable = wait_until_playable(&server.http().to_string(), path, PLAYABLE_WITHIN);
        let media = &playable.media_paths[0];
        let mut blocked: Vec<_> = (0..4).map(|_| server.client()).collect();
        let text = blocked[0].get(media).expect("answers").text();
        let open = support::playlist::parse_media(&text).expect("a playlist");
        let next = open.media_sequence + open.segments.len() as u64 + 1;
        for client in &mut blocked {
            client.send("GET", &format!("{media}?_HLS_msn={next}"), &[], &[]).expect("asks");
        }
        let status = server.terminate(ENDS_WITHIN);
        assert_eq!(status.and_then(|status| status.code()), Some(0), "{}", server.log());
        for client in &mut blocked {
            let response = client.receive(ENDS_WITHIN).expect("a last answer");
            assert!(response.status == 200 && response.text().contains("#EXT-X-ENDLIST"), "{response:?}");
        }
        assert!(publisher.wait(ENDS_WITHIN).is_some(), "the publisher's connection ends");
    }
}

/// The PART-TARGET and TARGETDURATION of a stream that is published for a moment under `key`.
fn lengths(server: &Server, key: &str) -> (String, u64) {
    let _publisher = Source::default().publish(&server.publish_url(key));
    let path = format!("/live/{key}/index.m3u8");
    // Until the publisher is there, the session before it is named.
    let live = poll_until(PLAYABLE_WITHIN, || {
        let playable = wait_until_playable(&server.http().to_string(), &path, PLAYABLE_WITHIN);
        let text = server.client().get(&playable.media_paths[0]).expect("answers").text();
        (!text.contains("#EXT-X-ENDLIST")).then_some(text)
    });
    let text = live.expect("a live session");
    let line = text.lines().find_map(|line| line.strip_prefix("#EXT-X-PART-INF:")).unwrap_or_default();
    let media = support::playlist::parse_media(&text).expect("a playlist");
    (line.to_owned(), media.target_duration_s)
}

#[test]
fn sighup_changes_the_lengths_of_new_sessions_even_of_a_stream_that_lives_on() {
    for shards in [1, 2] {
        let config = "[hls]\nlatency = \"low\"\n[ingest]\nunpublish_grace_s = 0\nreconnect_grace_s = 0\n";
        let server = Server::start(&Options { shards, config: Some(config.into()), ..Options::default() });
        let path = server.directory().join("server.toml");
        assert_eq!(lengths(&server, "again"), ("PART-TARGET=0.334".into(), 2));

        fs::write(&path, config.replace("low", "ultra")).expect("writes");
        support::signal(server.process_id(), "HUP");
        let read = || server.log().contains("settings were read again").then_some(());
        assert!(poll_until(ENDS_WITHIN, read).is_some(), "{}", server.log());
        // The ended session is still retained, so it is the same stream that begins anew.
        assert_eq!(lengths(&server, "again"), ("PART-TARGET=0.200".into(), 1));

        fs::write(&path, "[hls]\nlatancy = \"safe\"\n").expect("writes");
        support::signal(server.process_id(), "HUP");
        let told = || server.log().contains("did you mean hls.latency?").then_some(());
        assert!(poll_until(ENDS_WITHIN, told).is_some(), "{}", server.log());
        assert_eq!(lengths(&server, "other"), ("PART-TARGET=0.200".into(), 1));
    }
}
