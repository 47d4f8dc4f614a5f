//! TLS, HTTP/2 and RTMPS against Debian's nginx in front of the server.

mod support;

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use loadtest::net::Trust;
use loadtest::run::{OwnServer, RunError, Settings};
use loadtest::watch::JoinError;
use support::{faults, run, scenario};
use tempfile::TempDir;

const LISTENS_WITHIN: Duration = Duration::from_secs(10);

/// nginx with TLS and HTTP/2 before a server's HTTP port, and TLS before its RTMP port.
struct Nginx {
    child: Child,
    folder: TempDir,
    /// HTTP/1.1 and HTTP/2 by ALPN.
    https: SocketAddr,
    /// HTTP/2 by prior knowledge.
    h2c: SocketAddr,
    rtmps: SocketAddr,
}

impl Nginx {
    fn start(server: &OwnServer) -> Self {
        let folder = tempfile::tempdir().expect("a folder for nginx");
        let certified = rcgen::generate_simple_self_signed(vec!["localhost".into(), "127.0.0.1".into()]);
        let certified = certified.expect("a certificate");
        std::fs::write(folder.path().join("cert.pem"), certified.cert.pem()).unwrap();
        std::fs::write(folder.path().join("key.pem"), certified.signing_key.serialize_pem()).unwrap();
        let [https, h2c, rtmps] = [free_port(), free_port(), free_port()];
        let config = config(folder.path(), server, https, h2c, rtmps);
        std::fs::write(folder.path().join("nginx.conf"), config).unwrap();
        let child = Command::new("nginx")
            .args(["-p", &folder.path().display().to_string(), "-c", "nginx.conf", "-e", "error.log"])
            .stdin(Stdio::null())
            .spawn()
            .expect("nginx is installed");
        let nginx = Self { child, folder, https, h2c, rtmps };
        for address in [https, h2c, rtmps] {
            nginx.wait_for(address);
        }
        nginx
    }

    fn wait_for(&self, address: SocketAddr) {
        let give_up = Instant::now() + LISTENS_WITHIN;
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < give_up, "nginx does not listen: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("error.log")).unwrap_or_default()
    }

    fn trusted(&self) -> Settings {
        let ca_file: PathBuf = self.folder.path().join("cert.pem");
        Settings {
            trust: Trust { ca_file: Some(ca_file), insecure: false },
            wait: Duration::from_secs(20),
            ..Settings::default()
        }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}

fn free_port() -> SocketAddr {
    TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr()).expect("a free port")
}

fn config(
    folder: &Path,
    server: &OwnServer,
    https: SocketAddr,
    h2c: SocketAddr,
    rtmps: SocketAddr,
) -> String {
    let mut config = String::new();
    let module = Path::new("/usr/lib/nginx/modules/ngx_stream_module.so");
    if module.exists() {
        writeln!(config, "load_module {};", module.display()).unwrap();
    }
    let tls = "ssl_certificate cert.pem; ssl_certificate_key key.pem;";
    let (http, rtmp) = (&server.http, &server.rtmp);
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {};", folder.join(name).display()))
        .concat();
    write!(
        config,
        "daemon off; pid nginx.pid; worker_processes 1;
        events {{ worker_connections 1024; }}
        http {{
            access_log off; {temporary}
            upstream origin {{ server {http}; keepalive 64; }}
            server {{
                listen {https} ssl http2; {tls}
                location / {{ proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection ''; }}
            }}
            server {{
                listen {h2c} http2;
                location / {{ proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection ''; }}
            }}
        }}
        stream {{ server {{ listen {rtmps} ssl; {tls} proxy_pass {rtmp}; tcp_nodelay on; }} }}"
    )
    .unwrap();
    config
}

fn watched(publish: &str, watch: &str, http: &str) -> loadtest::scenario::Scenario {
    scenario(&format!(
        r#"
        title = "proxy"
        [[publish]]
        url = "{publish}"
        width = 320
        height = 180
        video_kbit_s = 300
        [[watch]]
        url = "{watch}"
        viewers = 6
        mode = {{ parts = 34, hint = 33, delta = 33 }}
        http = "{http}"
        verify_percent = 100
        [[phase]]
        name = "publish"
        seconds = 0.5
        publishers_percent = 100
        [[phase]]
        name = "watch"
        seconds = 5
        viewers_percent = 100
        measured = true
        "#
    ))
}

#[test]
fn rtmps_and_every_http_are_spoken() {
    let server =
        OwnServer::start(&["--latency".into(), "ultra".into()], &mut |_| {}).expect("the server starts");
    let nginx = Nginx::start(&server);
    let Nginx { https, h2c, rtmps, .. } = &nginx;
    for (name, watch, http) in [
        ("tls1", format!("https://{https}"), "1.1"),
        ("tls2", format!("https://{https}"), "2"),
        ("h2c", format!("http://{h2c}"), "2"),
        ("plain", format!("http://{}", server.http), "1.1"),
    ] {
        let publish = format!("rtmps://{rtmps}/live/{name}");
        let watch = format!("{watch}/live/{name}/index.m3u8");
        let report = run(&watched(&publish, &watch, http), &nginx.trusted(), |_| {});
        let report = report.unwrap_or_else(|error| panic!("{name}: {error}; nginx: {}", nginx.log()));
        let figure = |name: &str| report.figures[name];
        // A machine that is busy lists parts late; anything else is a fault of someone's.
        let found: Vec<_> =
            faults(&report).into_iter().filter(|fault| !fault.starts_with("part_late")).collect();
        assert_eq!(found, Vec::<String>::new(), "{name}: {}", nginx.log());
        assert_eq!((figure("joins"), figure("join_count")), (6.0, 6.0), "{name}");
        assert_eq!((figure("publishes"), figure("publishers_lost")), (1.0, 0.0), "{name}");
        assert!(figure("parts") > 6.0 * 2.0 * 15.0, "{name}: {} parts", figure("parts"));
        assert_eq!(figure("parts_unstamped"), 0.0, "{name}");
    }
}

#[test]
fn a_certificate_of_nobody_known_is_not_trusted_unless_asked_to() {
    let server = OwnServer::start(&[], &mut |_| {}).expect("the server starts");
    let nginx = Nginx::start(&server);
    let watch = format!("https://{}/live/a/index.m3u8", nginx.https);
    let viewers = support::viewers_of(&watch, 1, "parts", 1.0);
    let unknown = run(&viewers, &Settings::default(), |_| {}).expect_err("nobody vouches for it");
    let text = unknown.to_string();
    assert!(text.contains("is not trusted") && text.contains("--ca FILE"), "{text}");
    // Trusted, what is wrong is that nobody publishes.
    for trust in [nginx.trusted().trust, Trust { ca_file: None, insecure: true }] {
        let settings = Settings { trust, ..Settings::default() };
        let error = run(&viewers, &settings, |_| {}).expect_err("nobody publishes");
        assert!(matches!(error, RunError::Watch { reason: JoinError::Status(404), .. }), "{error}");
    }
    let publish = scenario(&format!(
        "title = 'p'\n[[publish]]\nurl = 'rtmps://{}/live/a'\n[[phase]]\nname = 'p'\nseconds = 5\npublishers_percent = 100",
        nginx.rtmps
    ));
    let error = run(&publish, &Settings::default(), |_| {}).expect_err("nobody vouches for it").to_string();
    assert!(error.contains("nobody can publish") && error.contains("is not trusted"), "{error}");
}
