//! The program as people use it: its commands against the project's own server, its exit codes, its one line for
//! each mistake.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use loadtest::report::{self, Report};
use loadtest::run::OwnServer;

const ENDS_WITHIN: Duration = Duration::from_secs(60);

fn loadtest() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn output(arguments: &[&str]) -> Output {
    loadtest().args(arguments).output().expect("loadtest runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Exit code 1 and one line that holds all of these.
fn fails_with(arguments: &[&str], parts: &[&str]) {
    let output = output(arguments);
    let error = text(&output.stderr);
    let last = error.lines().last().unwrap_or_default().to_owned();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {error}");
    assert_eq!(
        error.lines().filter(|line| line.starts_with("loadtest: ")).count(),
        1,
        "{arguments:?}: {error}"
    );
    for part in parts {
        assert!(last.contains(part), "{arguments:?}: {part:?} is missing in {last:?}");
    }
    assert_eq!(text(&output.stdout), "", "{arguments:?}: nothing was measured");
}

fn server(arguments: &[&str]) -> OwnServer {
    let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
    OwnServer::start(&arguments, &mut |_| {}).expect("the server starts")
}

/// A publisher that goes on until it is dropped.
struct Publisher(Child);

impl Publisher {
    fn start(server: &OwnServer, key: &str) -> Self {
        let url = format!("rtmp://{}/live/{key}", server.rtmp);
        let size = ["--size", "320x180", "--video-kbit-s", "300"];
        let child = loadtest().args(["publish", "--quiet", &url]).args(size).spawn().expect("loadtest runs");
        Self(child)
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status();
    assert!(sent.expect("kill runs").success());
}

fn wait(mut child: Child) -> Output {
    let give_up = Instant::now() + ENDS_WITHIN;
    while child.try_wait().expect("a child of ours").is_none() {
        assert!(Instant::now() < give_up, "loadtest does not end");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.wait_with_output().expect("its output")
}

fn read(path: &Path) -> Report {
    report::read(path).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn every_mistake_is_one_line_that_says_what_to_do() {
    let server = server(&[]);
    let http = format!("http://{}", server.http);
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    for (arguments, parts) in [
        (&["watch", "http://127.0.0.1:1/a.m3u8"][..], &["127.0.0.1:1", "refused"][..]),
        (&["watch", "http://no.such.host.invalid/a.m3u8"], &["no.such.host.invalid", "not found"]),
        (&["watch", "ftp://127.0.0.1/a.m3u8"], &["ftp://", "http or https is allowed"]),
        (&["watch", "127.0.0.1/a.m3u8"], &["no address"]),
        (&["watch", &format!("{http}/live/nobody/index.m3u8")], &["/live/nobody/index.m3u8", "404"]),
        (&["watch", &format!("{http}/")], &["not a playlist", "#EXTM3U"]),
        (&["watch", "http://h/a.m3u8", "--streams", "2"], &["{n}"]),
        (&["publish", "rtmp://127.0.0.1:1/live/a?token=secret"], &["live/a", "refused"]),
        (&["publish", "rtmp://127.0.0.1/a"], &["APP/KEY"]),
        (&["publish", &format!("rtmp://{}/live/a", server.http)], &["live/a"]),
        (&["publish", "rtmp://127.0.0.1/live/a", "--clip", "/no/such/file"], &["/no/such/file"]),
        (&["publish", "rtmp://127.0.0.1/live/a", "--clip", path], &[path]),
        (&["publish", "rtmp://127.0.0.1/live/a", "--video-kbit-s", "1"], &["least"]),
        (&["run", "/no/such/file.toml"], &["/no/such/file.toml"]),
        (&["run", path], &[path, "title"]),
        (&["compare", path, path], &[path]),
        (&["watch", "https://127.0.0.1:1/a.m3u8", "--ca", path], &[path, "PEM"]),
        (&["watch", "http://127.0.0.1:1/a.m3u8", "--server-pid", "4194300"], &["4194300"]),
        (
            &["watch", "http://127.0.0.1:1/a.m3u8", "--metrics", &format!("{http}/health")],
            &["/health", "process_cpu"],
        ),
    ] {
        fails_with(arguments, parts);
        let output = output(arguments);
        assert!(!text(&output.stderr).contains("secret"), "{arguments:?}");
    }
}

#[test]
fn a_limit_of_open_files_is_raised_or_named_before_the_run() {
    let own = env!("CARGO_BIN_EXE_loadtest");
    let run = |limits: &str, viewers: u32| {
        let command = format!("{limits} && exec {own} watch http://127.0.0.1:1/a.m3u8 --viewers {viewers}");
        // Without the capability to raise hard limits, as a user has it.
        let dropped =
            format!("exec setpriv --bounding-set -sys_resource --inh-caps -sys_resource sh -c '{command}'");
        let output = Command::new("sh").args(["-c", &dropped]).output().expect("sh runs");
        (output.status.code(), text(&output.stderr))
    };
    let (code, error) = run("ulimit -Sn 100 && ulimit -Hn 400", 100);
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains("464 open files are needed for 400 connections, 400 are allowed"), "{error}");
    assert!(error.contains("ulimit -Hn 464"), "{error}");
    // The soft limit alone is raised without a word.
    let (_, error) = run("ulimit -Sn 100 && ulimit -Hn 1000", 100);
    assert!(error.contains("refused") && !error.contains("open files"), "{error}");
}

#[test]
fn an_interrupted_run_ends_at_once_with_the_report_of_what_was_measured() {
    let server = server(&["--latency", "ultra"]);
    let _publisher = Publisher::start(&server, "a");
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("a.json");
    let url = format!("http://{}/live/a/index.m3u8", server.http);
    let watch = ["watch", &url, "--viewers", "3", "--ramp-s", "0.5", "--warm-up-s", "0", "--wait-s", "20"];
    let mut child = loadtest().args(watch).arg("--json").arg(&json).spawn().expect("loadtest runs");
    // It is measuring when it has shown a few seconds.
    let mut lines = std::io::BufReader::new(child.stderr.take().unwrap());
    for _ in 0..8 {
        let mut line = String::new();
        std::io::BufRead::read_line(&mut lines, &mut line).unwrap();
    }
    let interrupted = Instant::now();
    signal(&child, "INT");
    let output = wait(child);
    assert!(interrupted.elapsed() < Duration::from_secs(3), "{:?}", interrupted.elapsed());
    assert_eq!(output.status.code(), Some(130));
    assert!(text(&output.stdout).contains("newest frame"), "{}", text(&output.stdout));
    let report = read(&json);
    assert!(report.interrupted && report.measured_s > 1.0, "{} s", report.measured_s);
    assert_eq!(report.figures["joins_failed"], 0.0);
}

#[test]
fn a_clip_is_sent_as_it_is_and_two_runs_are_laid_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let clip = file("clip.mp4");
    let made = Command::new("ffmpeg")
        .args("-v error -f lavfi -i testsrc2=s=320x180:r=30 -f lavfi -i sine -t 4 -pix_fmt yuv420p -c:v libx264".split(' '))
        .args("-preset ultrafast -bf 2 -g 30 -keyint_min 30 -sc_threshold 0 -c:a aac".split(' '))
        .arg(&clip)
        .status();
    assert!(made.expect("ffmpeg runs").success());
    let server = server(&["--latency", "ultra"]);
    let scenario = file("clip.toml");
    let text_of = format!(
        r#"
        title = "clip"
        expect = ["faults == 0", "parts > 50", "parts_unstamped == 0", "publishers_lost == 0"]
        [[publish]]
        url = "rtmp://{{rtmp}}/live/clip"
        clip = "{}"
        [[watch]]
        url = "http://{{http}}/live/clip/index.m3u8"
        viewers = 4
        mode = "parts=50,delta=50"
        verify_percent = 100
        [limits]
        own_lateness_p99_ms = 1000
        machine_percent = 101
        late_sends_percent = 100
        [[phase]]
        name = "publish"
        seconds = 1
        publishers_percent = 100
        [[phase]]
        name = "watch"
        seconds = 1
        viewers_percent = 100
        [[phase]]
        name = "measure"
        seconds = 6
        measured = true
        "#,
        clip.display()
    );
    std::fs::File::create(&scenario).unwrap().write_all(text_of.as_bytes()).unwrap();
    let mut files = Vec::new();
    let (process, metrics) = (server.process_id().to_string(), format!("http://{}/metrics", server.http));
    for name in ["one.json", "two.json"] {
        let (json, html) = (file(name), file(name).with_extension("html"));
        let ran = loadtest()
            .arg("run")
            .arg(&scenario)
            .args(["--rtmp", &server.rtmp, "--http", &server.http])
            .args(if name == "one.json" { ["--server-pid", &process] } else { ["--metrics", &metrics] })
            .args(["--json".as_ref(), json.as_os_str(), "--html".as_ref(), html.as_os_str()])
            .output()
            .expect("loadtest runs");
        assert!(ran.status.success(), "{}{}", text(&ran.stdout), text(&ran.stderr));
        let page = std::fs::read_to_string(html).unwrap();
        assert!(page.contains("<title>") && page.contains("latency_newest"), "{name}: no page of this run");
        let report = read(&json);
        for figure in ["p50_ms", "spread_p99_ms", "join_p50_ms", "server_cores", "own_us_per_request"] {
            assert!(report.figures.contains_key(figure), "{figure} is missing");
        }
        assert!(report.expectations.iter().all(|expectation| expectation.held));
        assert!(report.timeline.len() >= 7, "{} seconds", report.timeline.len());
        files.push(json);
    }
    let page = file("both.html");
    let compared =
        loadtest().arg("compare").args(&files).arg("--html").arg(&page).output().expect("loadtest runs");
    assert!(compared.status.success(), "{}", text(&compared.stderr));
    assert!(text(&compared.stdout).contains("p99_ms"), "{}", text(&compared.stdout));
    assert!(std::fs::read_to_string(page).unwrap().contains("one.json"));
}

#[test]
fn a_scenario_over_tls_starts_a_server_whose_certificate_it_trusts() {
    let folder = tempfile::tempdir().unwrap();
    let (scenario, json) = (folder.path().join("tls.toml"), folder.path().join("tls.json"));
    let text_of = r#"
        title = "tls"
        expect = ["faults == 0", "joins_failed == 0", "parts > 50"]
        [server]
        arguments = ["--shards", "1", "--latency", "ultra"]
        [[publish]]
        url = "rtmp://{rtmp}/live/tls"
        width = 320
        height = 180
        video_kbit_s = 300
        [[watch]]
        url = "https://{https}/live/tls/index.m3u8"
        viewers = 2
        [[watch]]
        url = "https://{https}/live/tls/index.m3u8"
        viewers = 2
        http = "2"
        [limits]
        own_lateness_p99_ms = 1000
        machine_percent = 101
        late_sends_percent = 100
        [[phase]]
        name = "publish"
        seconds = 1
        publishers_percent = 100
        [[phase]]
        name = "watch"
        seconds = 1
        viewers_percent = 100
        [[phase]]
        name = "measure"
        seconds = 5
        measured = true
        "#;
    std::fs::write(&scenario, text_of).unwrap();
    let ran = loadtest().arg("run").arg(&scenario).arg("--json").arg(&json).output().expect("loadtest runs");
    assert!(ran.status.success(), "{}{}", text(&ran.stdout), text(&ran.stderr));
    let report = read(&json);
    assert!(report.expectations.iter().all(|expectation| expectation.held));
    assert!(report.figures.contains_key("server_cores"));
}
