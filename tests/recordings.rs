//! Ingests that a server records and `rapidrtmp replay` replays: what viewers could fetch comes out again, byte for
//! byte, and neither a slow disk nor a full one, nor a token, nor a crash is forgotten.

#[path = "support/in_process.rs"]
mod in_process;
#[path = "support/rtmp_publisher.rs"]
mod rtmp_publisher;
mod support;

use in_process::InProcess;
use rapidrtmp::auth::{Claims, TokenDigest, Tokens};
use rapidrtmp::config::Config;
use rapidrtmp::media::Now;
use rapidrtmp::rtmp::{Event, HANDSHAKE_RANDOM_BYTES, ServerConfig, ServerSession};
use rapidrtmp::secret::Secret;
use rapidrtmp::shard::fault::{Fault, FaultAt};
use rtmp_publisher::{RtmpPublisher, Running};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use support::http::{Client, resolve};
use support::playlist::{parse_media, parse_multivariant};
use support::publisher::wait_until_playable;
use support::server::{ADMIN_KEY, Options, Server};
use support::{poll_until, signal};

/// Generous: an unoptimized server on a shared machine.
const WITHIN: Duration = Duration::from_secs(30);
/// The stream of the recordings of ffmpeg that was killed and came back.
const RESUMED: &str = "ff9_resume_killed";
const ENDS: [&str; 5] = ["complete", "behind", "full", "switched off", "panicked"];

fn options(shards: usize, ingest: &str) -> Options {
    let config = format!("[ingest]\nrecord_dir = \"DIR/recordings\"\n{ingest}\n");
    Options { shards, latency: Some("ultra"), config: Some(config), ..Options::default() }
}

/// The one recording that a server has made.
fn recording(directory: &Path) -> PathBuf {
    let files: Vec<_> = fs::read_dir(directory).expect("a directory of recordings").collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files.into_iter().next().expect("one").expect("a file").path()
}

/// How a recording says that it ends.
fn ending(path: &Path) -> Option<&'static str> {
    let bytes = fs::read(path).expect("reads it");
    let (head, ending) = bytes.split_last_chunk::<6>()?;
    (!head.is_empty() && ending[..5] == [10, 0, 0, 0, 1]).then(|| ENDS[usize::from(ending[5])])
}

fn replay(file: &Path, out: Option<&Path>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rapidrtmp"));
    command.arg("replay").arg(file);
    out.iter().for_each(|out| {
        command.arg("--out").arg(out);
    });
    command.output().expect("replays")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A recorded connection of a real publisher, each piece when the newest timestamp in it is due; it stays open.
fn publish_capture(address: SocketAddr, name: &str) -> TcpStream {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/rtmp-captures/{name}.c2s.bin"));
    let bytes = fs::read(path).expect("a capture");
    let mut socket = TcpStream::connect(address).expect("connects");
    let mut answers = socket.try_clone().expect("a second handle");
    std::thread::spawn(move || while matches!(answers.read(&mut [0; 4096]), Ok(1..)) {});
    let mut reader = ServerSession::new(ServerConfig::default(), [5; HANDSHAKE_RANDOM_BYTES], Now::default());
    let (began, mut due) = (Instant::now(), Duration::ZERO);
    for piece in bytes.chunks(1200) {
        let mut input = piece;
        while let Some(event) = reader.poll(&mut input, Now::default()).expect("a good publisher") {
            match event {
                Event::PublishRequested(_) => reader.accept_publish(Now::default()),
                Event::Media(media) => due = due.max(Duration::from_millis(media.timestamp_ms.into())),
                _ => {}
            }
        }
        let said = reader.output().len();
        reader.output_written(said);
        std::thread::sleep(due.saturating_sub(began.elapsed()));
        socket.write_all(piece).expect("sends");
    }
    socket
}

/// All that a viewer was answered, by path; playlists as they were at some moment.
#[derive(Default)]
struct Fetched(BTreeMap<String, BTreeSet<Vec<u8>>>);

impl Fetched {
    fn fetch(&mut self, client: &mut Client, path: &str) -> Option<String> {
        let response = client.get(path).unwrap_or_else(|error| panic!("{path}: {error}"));
        if response.status != 200 {
            return None;
        }
        let told = String::from_utf8_lossy(&response.body).into_owned();
        self.0.entry(path.to_owned()).or_default().insert(response.body);
        Some(told)
    }

    fn fetch_once(&mut self, client: &mut Client, path: &str) {
        if !self.0.contains_key(path) {
            self.fetch(client, path);
        }
    }

    /// Everything that is listed now, of both renditions. True once the stream has ended.
    fn look(&mut self, client: &mut Client, path: &str) -> bool {
        let Some(multivariant) = self.fetch(client, path) else { return false };
        let multivariant = parse_multivariant(&multivariant).expect("a multivariant playlist");
        let mut ended = true;
        for playlist in multivariant.media_uris().into_iter().map(|uri| resolve(path, uri)) {
            let Some(text) = self.fetch(client, &playlist) else { return false };
            let media = parse_media(&text).expect("a media playlist");
            ended &= media.ended;
            for segment in media.segments.iter().chain(&media.open) {
                let map = segment.map.as_ref().map(|map| map.uri.as_str());
                let parts = segment.parts.iter().filter(|part| !part.gap).map(|part| part.uri.as_str());
                for uri in map.into_iter().chain(parts).chain(segment.uri.as_deref()) {
                    self.fetch_once(client, &resolve(&playlist, uri));
                }
            }
        }
        ended
    }

    /// Each is among what the replay made: playlists at some moment, media as it is.
    fn assert_replayed(&self, out: &Path) {
        let changes = fs::read_to_string(out.join("changes.txt")).expect("its changes");
        let mut digests: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for line in changes.lines() {
            let fields: Vec<&str> = line.split(' ').collect();
            digests.entry(fields[3]).or_default().insert(fields[1]);
        }
        for (path, bodies) in &self.0 {
            let replayed = digests.get(path.as_str()).unwrap_or_else(|| panic!("{path} is not replayed"));
            for body in bodies {
                let digest: String = Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect();
                assert!(replayed.contains(digest.as_str()), "{path}: {}", text(body));
            }
            if !path.ends_with(".m3u8") {
                assert_eq!(fs::read(out.join(&path[1..])).expect("a file"), *bodies.first().expect("one"));
            }
        }
    }

    fn count(&self, ending: &str) -> usize {
        self.0.keys().filter(|path| path.ends_with(ending)).count()
    }
}

/// ffmpeg publishes, is killed, and publishes again within the grace, while viewers on any shard fetch all they can.
#[test]
fn what_viewers_were_served_comes_out_of_a_replay() {
    for shards in [1, 2] {
        let mut server = Server::start(&options(shards, ""));
        let path = format!("/live/{RESUMED}/index.m3u8");
        let (http, rtmp) = (server.http(), server.rtmp());
        let fetched = std::thread::scope(|scope| {
            let watching = scope.spawn(|| {
                let mut clients: Vec<Client> =
                    (0..8).map(|_| Client::connect(http).expect("connects")).collect();
                let mut fetched = Fetched::default();
                let ended = poll_until(2 * WITHIN, || {
                    let looks: Vec<bool> =
                        clients.iter_mut().map(|client| fetched.look(client, &path)).collect();
                    looks.into_iter().all(|ended| ended).then_some(())
                });
                assert!(ended.is_some(), "the end of the playlist is seen on every shard");
                fetched
            });
            let first = publish_capture(rtmp, "ff9_resume_killed_1");
            first.shutdown(Shutdown::Both).expect("is there");
            // As long as an encoder takes to come back.
            std::thread::sleep(Duration::from_millis(700));
            publish_capture(rtmp, "ff9_resume_killed_2");
            let fields = [("Authorization", &*format!("Bearer {ADMIN_KEY}"))];
            let stop = format!("/api/v1/streams/{RESUMED}/stop");
            let stopped = server.client().request("POST", &stop, &fields, b"").expect("an answer");
            assert_eq!(stopped.status, 200);
            watching.join().expect("the viewer is content")
        });
        // Its playlists were seen while it was live as well, on both sides of the break.
        assert!(fetched.count(".mp4") >= 2 && fetched.count(".m4s") > 40, "{:?}", fetched.0.keys());
        assert!(server.terminate(WITHIN).is_some_and(|status| status.success()));
        let directory = server.directory().join("recordings");
        let file = recording(&directory);
        let name = file.file_name().expect("a name").to_string_lossy().into_owned();
        assert!(name.starts_with(&format!("live~{RESUMED}-")) && name.ends_with(".ingest"), "{name}");
        assert_eq!(ending(&file), Some("complete"));
        // As tests/data/recordings/README.md says.
        if let Some(kept) = std::env::var_os("KEEP_RECORDING") {
            fs::copy(&file, kept).expect("keeps it");
        }

        let out = server.directory().join("out");
        let output = replay(&file, Some(&out));
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        let summary = text(&output.stdout);
        let said = format!("live/{RESUMED}: ");
        assert!(summary.starts_with(&said) && summary.contains("publishers 2, sessions 1,"), "{summary}");
        fetched.assert_replayed(&out);
        let last = fs::read(out.join(&path[1..])).expect("the newest multivariant playlist");
        assert!(fetched.0[&path].contains(&last));
        // A second time the same, and nothing over what is there.
        assert_eq!(replay(&file, None).stdout, output.stdout);
        let again = replay(&file, Some(&out));
        assert_eq!(again.status.code(), Some(1));
        assert!(text(&again.stderr).ends_with("it is not empty\n"), "{again:?}");
    }
}

/// A server that is killed leaves a recording that is cut off: what is there is replayed, and said to be less. The token
/// that was published with is not in it.
#[test]
fn a_crash_leaves_what_was_recorded_and_no_token_is_in_it() {
    const SECRET: &str = "a signing secret for tests, of some length";
    let config = format!(
        "[ingest]\nrecord_dir = \"DIR/recordings\"\n[server]\nstate_dir = \"DIR/state\"\n[auth]\ntoken_secret = \"{SECRET}\"\n"
    );
    let mut server = Server::start(&Options {
        open: false,
        latency: Some("ultra"),
        config: Some(config),
        ..Options::default()
    });
    let expires = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + Duration::from_secs(600);
    let token = Tokens::new(&Secret::new(SECRET)).mint(&Claims {
        stream: "live/secret".into(),
        issued_unix_s: 1,
        expires_unix_s: expires.as_secs(),
    });
    // The second life of the server begins with the record of the first.
    for life in 1..=2 {
        let publisher = RtmpPublisher::connect(server.rtmp(), "secret", Some(&token)).expect("publishes");
        let running = Running::go_on(publisher);
        let path = "/live/secret/index.m3u8";
        wait_until_playable(&server.http().to_string(), path, WITHIN);
        let mut fetched = Fetched::default();
        fetched.look(&mut server.client(), path);
        let directory = server.directory().join("recordings");
        // What viewers have is on its way to the disk.
        let newest = || {
            let files = fs::read_dir(&directory).expect("recordings").map(|entry| entry.unwrap().path());
            files.max_by_key(|path| fs::metadata(path).unwrap().created().unwrap()).expect("one")
        };
        let length = fs::metadata(newest()).unwrap().len();
        let grown =
            poll_until(WITHIN, || (fs::metadata(newest()).unwrap().len() > length + 100_000).then_some(()));
        assert!(grown.is_some(), "the recording grows");
        server.kill();
        drop(running);
        let file = newest();
        assert_eq!(ending(&file), None);
        let bytes = fs::read(&file).unwrap();
        let digest = serde_json::to_string(&TokenDigest::of(&token)).unwrap();
        let pieces = token.split('.').chain([digest.trim_matches('"'), SECRET, ADMIN_KEY]);
        for piece in pieces.filter(|piece| piece.len() > 8) {
            assert!(!bytes.windows(piece.len()).any(|window| window == piece.as_bytes()), "{piece}");
        }
        let out = server.directory().join(format!("out{life}"));
        let output = replay(&file, Some(&out));
        let stderr = text(&output.stderr);
        assert_eq!((output.status.code(), stderr.lines().count()), (Some(1), 1), "{stderr}");
        assert!(stderr.contains("the recording is cut off here; what is before it was replayed"), "{stderr}");
        assert!(text(&output.stdout).starts_with("live/secret: "), "{output:?}");
        fetched.assert_replayed(&out);
        if life == 1 {
            server.restart();
        }
    }
}

#[test]
fn a_full_recording_ends_and_its_stream_goes_on() {
    let server = Server::start(&options(1, "record_bytes_max = 65536"));
    let publisher = Running::start(server.rtmp(), "long");
    let path = "/live/long/index.m3u8";
    wait_until_playable(&server.http().to_string(), path, WITHIN);
    let file = recording(&server.directory().join("recordings"));
    assert!(poll_until(WITHIN, || (ending(&file)? == "full").then_some(())).is_some());
    assert!(fs::metadata(&file).unwrap().len() <= 65_536);
    // Told once, however much comes after it.
    let parts = server.metric("rapidrtmp_parts_created_total", "");
    let goes_on =
        poll_until(WITHIN, || (server.metric("rapidrtmp_parts_created_total", "") > parts).then_some(()));
    assert!(goes_on.is_some() && !publisher.has_ended(), "{parts:?}");
    let log = server.log();
    assert_eq!(log.matches("the recording has ended").count(), 1, "{log}");
    let output = replay(&file, None);
    assert!(output.status.success(), "{output:?}");
    assert!(text(&output.stdout).contains("the recording ends early: it has reached"), "{output:?}");
}

#[test]
fn one_stream_of_two_is_recorded_until_that_is_switched_off() {
    let server = Server::start(&options(2, "record_streams = [\"live/wanted\"]"));
    let wanted = Running::start(server.rtmp(), "wanted");
    let _other = Running::start(server.rtmp(), "other");
    for key in ["wanted", "other"] {
        wait_until_playable(&server.http().to_string(), &format!("/live/{key}/index.m3u8"), WITHIN);
    }
    let file = recording(&server.directory().join("recordings"));
    assert!(file.to_string_lossy().contains("live~wanted-"), "{}", file.display());
    fs::write(server.directory().join("server.toml"), "").expect("writes the settings");
    signal(server.process_id(), "HUP");
    assert!(poll_until(WITHIN, || (ending(&file)? == "switched off").then_some(())).is_some());
    assert!(!wanted.has_ended());
    assert!(replay(&file, None).status.success());
    // And on again, for streams that begin then.
    let directory = server.directory().join("recordings");
    let config = format!("[ingest]\nrecord_dir = \"{}\"\n", directory.display());
    fs::write(server.directory().join("server.toml"), config).expect("writes the settings");
    signal(server.process_id(), "HUP");
    let reread = || (server.log().matches("settings were read again").count() == 2).then_some(());
    assert!(poll_until(WITHIN, reread).is_some(), "{}", server.log());
    // A shard may hear of it after the log does.
    let third = (0..50).map(|n| format!("third{n}")).find_map(|key| {
        let _publisher = Running::start(server.rtmp(), &key);
        poll_until(Duration::from_millis(200), || {
            let files = fs::read_dir(&directory).expect("recordings").map(|file| file.unwrap().file_name());
            files.map(|name| name.to_string_lossy().into_owned()).find(|name| name.contains("third"))
        })
    });
    assert!(third.is_some(), "{}", server.log());
    let files = fs::read_dir(&directory).expect("recordings").map(|file| file.unwrap().file_name());
    let running = files.filter(|name| !name.to_string_lossy().contains("third"));
    assert_eq!(running.count(), 1, "streams that run are not recorded from their middle");
}

/// A core that panics: the recording ends there, and says so.
#[test]
fn a_panic_is_the_end_of_a_recording() {
    let folder = tempfile::tempdir().expect("a folder");
    let armed = Arc::new(AtomicBool::new(false));
    let trigger = Arc::clone(&armed);
    let mut config = Config::default();
    config.ingest.record_dir = folder.path().to_string_lossy().into_owned();
    let server = InProcess::start(
        1,
        config,
        Some(Arc::new(move |at, _| {
            (at == FaultAt::Media && trigger.swap(false, Ordering::Relaxed)).then_some(Fault::Panic)
        })),
    );
    let publisher = Running::start(server.rtmp, "struck");
    let file = poll_until(WITHIN, || fs::read_dir(folder.path()).ok()?.next()?.ok());
    let file = file.expect("a recording").path();
    armed.store(true, Ordering::Relaxed);
    assert!(poll_until(WITHIN, || (ending(&file)? == "panicked").then_some(())).is_some());
    assert!(publisher.stop().is_err());
    let output = replay(&file, None);
    assert!(text(&output.stdout).contains("the recording ends early: the stream's core panicked"));
}

#[test]
fn a_file_that_is_no_recording_is_refused_in_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/recordings/reconnect.ingest");
    let whole = fs::read(kept).expect("a recording");
    let mut broken = whole.clone();
    broken[100_000..].fill(0xff);
    for (bytes, expected, has_summary) in [
        (&b""[..], "byte 0: the recording is cut off here", false),
        (b"#EXTM3U\n", "byte 0: no ingest recording of a version that is known here", false),
        (&whole[..29], "byte 29: the recording is cut off here", false),
        (&whole[..whole.len() / 2], "the recording is cut off here", true),
        (&broken, "an entry of 4294967295 bytes", true),
        (&[&whole[..], b"more"].concat(), "the recording is cut off here", true),
        (&[&whole[..], &[9, 0, 0, 0, 0]].concat(), "an entry behind the end", true),
    ] {
        let path = folder.path().join("file.ingest");
        fs::write(&path, bytes).expect("writes");
        let output = replay(&path, None);
        let stderr = text(&output.stderr);
        assert_eq!((output.status.code(), stderr.lines().count()), (Some(1), 1), "{expected}: {stderr}");
        assert!(stderr.starts_with("rapidrtmp: ") && stderr.contains(expected), "{expected}: {stderr}");
        assert_eq!(!output.stdout.is_empty(), has_summary, "{expected}: {output:?}");
    }
    let output = replay(&folder.path().join("none.ingest"), None);
    assert!(output.status.code() == Some(1) && text(&output.stderr).contains("none.ingest: No such file"));
}
