//! The server's shards in this process, on ports of their own: for faults that no peer can cause.

// Each test is a crate of its own and uses a part of this.
#![allow(dead_code)]

use crate::support::http::Client;
use crate::support::tls::{Identity, client_config, connect};
use rapidrtmp::auth::{AdminKey, Backoff, Tokens};
use rapidrtmp::config::Config;
use rapidrtmp::control::{ControlThread, Pem};
use rapidrtmp::metrics::Registry;
use rapidrtmp::pages::PlayerScript;
use rapidrtmp::secret::Secret;
use rapidrtmp::shard::admission::Connections;
use rapidrtmp::shard::fault::FaultHook;
use rapidrtmp::shard::serve::{Running, ServeOptions, start};
use rapidrtmp::shard::service::Setup;
use rapidrtmp::shard::{Certificates, Plan, bind_all};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize};

/// Running shards; ended when dropped.
pub struct InProcess {
    running: Option<Running>,
    control: Option<ControlThread>,
    pub rtmp: SocketAddr,
    pub http: SocketAddr,
    /// The same over TLS.
    pub https: SocketAddr,
    /// What it shows there.
    pub identity: Identity,
}

impl InProcess {
    /// Starts shards on which anyone may publish.
    pub fn start(shards_count: usize, mut config: Config, faults: Option<FaultHook>) -> Self {
        config.auth.open = true;
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let [rtmp, http, https] = [(); 3].map(|()| bind_all(any, shards_count).unwrap());
        let [rtmp_address, http_address, https_address] =
            [&rtmp, &http, &https].map(|listeners| listeners[0].local_addr().unwrap());
        let identity = Identity::new(&["localhost"]);
        let pem = Pem {
            name: "chain".into(),
            chain: identity.chain.clone(),
            key_name: "key".into(),
            key: identity.key.clone(),
        };
        let certificates = Certificates::new(&[pem]).expect("a certificate that does");
        let control = ControlThread::start(None).unwrap();
        let (registry, metrics) = Registry::new(shards_count);
        let setup = Setup {
            tokens: Tokens::new(&Secret::new("a secret for tests")),
            admin_key: AdminKey::new(&Secret::new("an admin key for tests")),
            control: control.handle(),
            registry,
            player: PlayerScript::remote("https://player.example/hls.js", "").unwrap(),
            page_policy: "default-src 'self'",
            player_file: None,
            rtmp_port: rtmp_address.port(),
            public_url: format!("rtmp://{rtmp_address}"),
            draining: AtomicBool::new(false),
            log_lines_dropped: Arc::default(),
            tls: Some(certificates.server_configs(config.http.http2).expect("TLS starts")),
            connections: Connections::default(),
            backoff: Backoff::default(),
            lent_bytes: AtomicI64::default(),
            answer_bytes: Arc::default(),
            streams_count: AtomicUsize::new(0),
            faults,
        };
        let running = start(ServeOptions {
            plan: Plan { shards_count, processors: Vec::new() },
            config: Arc::new(config),
            setup: Arc::new(setup),
            metrics,
            rtmp,
            http,
            https,
            records: Vec::new(),
        });
        Self {
            running: Some(running.expect("the shards start")),
            control: Some(control),
            rtmp: rtmp_address,
            http: http_address,
            https: https_address,
            identity,
        }
    }

    pub fn client(&self) -> Client {
        Client::connect(self.http).expect("the server accepts a connection")
    }

    /// HTTP/1.1 over TLS.
    pub fn tls_client(&self) -> Client {
        let config = client_config(&[&self.identity], &["http/1.1"], &[&rustls::version::TLS13]);
        Client::over_tls(connect(self.https, "localhost", &config).expect("a handshake"))
    }
}

impl Drop for InProcess {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.drain();
            // A shard that has ended by itself was the test's finding.
            let _ = running.exit();
        }
        if let Some(control) = self.control.take() {
            control.stop();
        }
    }
}
