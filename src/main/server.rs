//! The three commands: what is read and checked before the shards start, and what the process does while
//! they run.

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rapidrtmp::auth::{AdminKey, Backoff, Claims, Tokens};
use rapidrtmp::config::{Config, ConfigError, ListenAddress, Loader, LogFormat};
use rapidrtmp::control::{
    CertificateError, CertificateSource, Control, ControlThread, LogWriter, StateDir, StateError,
    check_record_dir, read_text,
};
use rapidrtmp::hls::numbering::StreamRecord;
use rapidrtmp::media::StreamName;
use rapidrtmp::metrics::Registry;
use rapidrtmp::pages::{PlayerScript, ScriptError, content_security_policy};
use rapidrtmp::secret::Secret;
use rapidrtmp::shard::admission::Connections;
use rapidrtmp::shard::serve::{Running, ServeOptions};
use rapidrtmp::shard::service::Setup;
use rapidrtmp::shard::{
    self, BoundListener, Certificates, PlacementError, Plan, PreflightError, ServedFile, ServerConfigs,
    ShardEnded, StartError, TlsError, preflight,
};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::banner::{Banner, EXAMPLE_KEY};
use super::cli::{ServeFlags, TokenFlags};

/// How long viewers have to fetch the last playlists before the server ends.
const DRAIN: Duration = Duration::from_secs(1);
/// Between two looks at signals and shards.
const WATCH_EVERY: Duration = Duration::from_millis(50);

/// Why a command failed. Its text is one line that says what to change.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("{path}: {source}")]
    File { path: String, source: std::io::Error },
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Placement(#[from] PlacementError),
    #[error(transparent)]
    Preflight(#[from] PreflightError),
    #[error("{what} {address}: {source}")]
    Bind { what: &'static str, address: String, source: std::io::Error },
    #[error("https: {0}")]
    Certificate(#[from] CertificateError),
    #[error("https: {0}")]
    Tls(#[from] TlsError),
    #[error("pages.hls_js_url: {0}")]
    Script(#[from] ScriptError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Shard(#[from] ShardEnded),
    #[error("{0}")]
    Text(String),
    #[error("{what}: {source}")]
    Io { what: &'static str, source: std::io::Error },
}

impl From<getrandom::Error> for Failure {
    fn from(error: getrandom::Error) -> Self {
        Self::Text(format!("this host gives no random bytes: {error}"))
    }
}

/// `rapidrtmp check`
pub fn check(flags: &ServeFlags) -> Result<(), Failure> {
    let (config, warnings) = load(flags)?;
    for warning in warnings {
        eprintln!("rapidrtmp: warning: {warning}");
    }
    player(&config)?;
    check_recordings(&config)?;
    let state = match config.server.state_dir.as_str() {
        "" => None,
        _ => Some(check_state_dir(&config)?),
    };
    let plan = plan(&config)?;
    let mut addresses = vec![("rtmp.addr", config.rtmp.addr), ("http.addr", config.http.addr)];
    if config.https.has_certificate() {
        Certificates::new(&CertificateSource::new(&config.https, state.as_ref()).look()?)?;
    }
    if !config.https.addr.is_off() {
        addresses.push(("https.addr", config.https.addr));
    }
    for (key, address) in addresses {
        match listeners(key, address, &plan) {
            // It may be the very server whose settings are checked.
            Err(Failure::Preflight(in_use @ PreflightError::AddressInUse { .. })) => {
                eprintln!("rapidrtmp: warning: {in_use}");
            }
            other => drop(other?),
        }
    }
    eprintln!("rapidrtmp: settings and host are in order");
    Ok(())
}

/// What `serve` would read of the state directory, and no more: nothing is made in it that is kept.
fn check_state_dir(config: &Config) -> Result<StateDir, Failure> {
    let state = state_dir(&config.server.state_dir)?;
    match state.lock() {
        // It may be the very server whose settings are checked.
        Err(in_use @ StateError::InUse { .. }) => {
            eprintln!("rapidrtmp: warning: server.state_dir: {in_use}");
        }
        other => drop(other?),
    }
    if config.auth.token_secret.is_empty() {
        state.secret()?;
    }
    records(Some(&state))?;
    Ok(state)
}

/// `rapidrtmp token`
pub fn token(flags: &TokenFlags) -> Result<(), Failure> {
    let (config, _) = load(&ServeFlags { config: flags.config.clone(), ..ServeFlags::default() })?;
    let name = rapidrtmp::api::stream_name(&flags.key)
        .ok_or_else(|| Failure::Text("the stream must be KEY or APP/KEY of A-Z a-z 0-9 . _ -".into()))?;
    let expires_in_s = flags.expires_in.unwrap_or(config.auth.token_expiry_default_s);
    if !(1..=config.auth.token_expiry_max_s).contains(&expires_in_s) {
        let max = config.auth.token_expiry_max_s;
        return Err(Failure::Text(format!("--expires-in is {expires_in_s}; 1 to {max} seconds are allowed")));
    }
    let secret = if !config.auth.token_secret.is_empty() {
        config.auth.token_secret.clone()
    } else if !config.server.state_dir.is_empty() {
        let state = StateDir::open(Path::new(&config.server.state_dir))?;
        Secret::new(state.secret_or(random_secret()?.expose())?)
    } else {
        let text = "no signing secret is kept: set server.state_dir or auth.token_secret, or ask the running server with POST /api/v1/publish";
        return Err(Failure::Text(text.into()));
    };
    let token = mint(&Tokens::new(&secret), &name, expires_in_s);
    let url = shard::publish_url(&config.rtmp.public_url_or_local(), &name, &token);
    // Unlike println!, no panic when nobody reads.
    writeln!(std::io::stdout(), "{url}").map_err(io("standard output"))
}

/// The state directory, in which the server can write.
fn state_dir(path: &str) -> Result<StateDir, Failure> {
    let usable = StateDir::open(Path::new(path)).and_then(|state| state.check_writable().map(|()| state));
    usable.map_err(|error| Failure::Text(format!("server.state_dir cannot be used: {error}")))
}

/// Finds out now, and not when the stream begins, that it cannot be recorded.
fn check_recordings(config: &Config) -> Result<(), Failure> {
    let ingest = &config.ingest;
    for name in &ingest.record_streams {
        let bad = |error| Failure::Text(format!("ingest.record_streams: {name:?}: {error}"));
        StreamName::parse(name).map_err(bad)?;
    }
    if ingest.record_dir.is_empty() {
        return Ok(());
    }
    let path = Path::new(&ingest.record_dir);
    let unusable = |error| format!("ingest.record_dir cannot be used: {}: {error}", path.display());
    check_record_dir(path).map_err(|error| Failure::Text(unusable(error)))
}

/// `rapidrtmp serve`
pub fn serve(flags: &ServeFlags) -> Result<(), Failure> {
    let (config, warnings) = load(flags)?;
    let state = match config.server.state_dir.as_str() {
        "" => None,
        path => Some(state_dir(path)?),
    };
    let _state_lock = match &state {
        Some(state) => {
            Some(state.lock().map_err(|error| Failure::Text(format!("server.state_dir: {error}")))?)
        }
        None => None,
    };
    let (player, player_file) = player(&config)?;
    check_recordings(&config)?;
    let plan = plan(&config)?;
    let (rtmp, rtmp_address) = listeners("rtmp.addr", config.rtmp.addr, &plan)?;
    let (http, http_address) = listeners("http.addr", config.http.addr, &plan)?;
    let tls = tls(&config, state.as_ref())?;
    let (https, https_address) = match config.https.addr.is_off() {
        true => (Vec::new(), None),
        false => {
            let (https, address) = listeners("https.addr", config.https.addr, &plan)?;
            (https, Some(address))
        }
    };
    let (secret, secret_is_fresh) = token_secret(&config, state.as_ref())?;
    let (admin_key, admin_key_is_fresh) = admin_key(&config)?;
    let records = records(state.as_ref())?;

    let control = ControlThread::start(state.clone()).map_err(io("the control thread"))?;
    let log_lines_dropped = log_to(&control.handle(), &config);
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let tokens = Tokens::new(&secret);
    let public_url = match config.rtmp.addr.port() {
        // Port 0 is whatever the system gave.
        Some(0) if config.rtmp.public_url.is_empty() => format!("rtmp://localhost:{}", rtmp_address.port()),
        _ => config.rtmp.public_url_or_local(),
    };
    let (registry, metrics) = Registry::new(plan.shards_count);
    let setup = Setup {
        tokens: tokens.clone(),
        admin_key: AdminKey::new(&admin_key),
        control: control.handle(),
        registry,
        // Lives as long as the process, and stands in every page's head.
        page_policy: Box::leak(content_security_policy(&player).into_boxed_str()),
        player,
        player_file: player_file.map(ServedFile::new),
        rtmp_port: rtmp_address.port(),
        public_url: public_url.clone(),
        draining: AtomicBool::new(false),
        log_lines_dropped,
        tls: tls.as_ref().map(|tls| tls.configs.clone()),
        connections: Connections::default(),
        backoff: Backoff::default(),
        lent_bytes: AtomicI64::default(),
        answer_bytes: Arc::default(),
        streams_count: AtomicUsize::new(0),
        faults: None,
    };
    let shards_count = plan.shards_count;
    let config = Arc::new(config);
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(io("signals"))?;
    let has_tls = tls.is_some();
    let kept_in = tls.and_then(|tls| tls.watch(&control.handle()));
    let running = shard::serve::start(ServeOptions {
        plan,
        config: Arc::clone(&config),
        setup: Arc::new(setup),
        metrics,
        rtmp,
        http,
        https,
        records,
    })?;
    let token = (!config.auth.open)
        .then(|| StreamName::new("live", EXAMPLE_KEY).ok())
        .flatten()
        .map(|name| mint(&tokens, &name, config.auth.token_expiry_default_s));
    Banner {
        rtmp: rtmp_address,
        http: http_address,
        https: https_address,
        rtmps_url: has_tls.then(|| config.rtmp.rtmps_url_or_local(rtmp_address.port())),
        self_signed: config.https.self_signed.then_some(kept_in.as_deref()),
        public_url: &public_url,
        token: token.as_deref(),
        admin_key: admin_key_is_fresh.then(|| admin_key.expose()),
        secret_is_fresh,
        demo: flags.demo,
        shards_count,
    }
    .print();
    let outcome = {
        // It says goodbye before the others are asked to.
        let _demo = if flags.demo { Some(start_demo(rtmp_address, &tokens, &config)?) } else { None };
        watch(&running, &mut signals, flags, &control.handle(), state.as_ref())
    };
    if outcome.is_ok() {
        running.drain();
        std::thread::sleep(DRAIN);
    }
    let ended = running.exit();
    control.stop();
    outcome?;
    Ok(ended?)
}

/// Until the process is told to end, or a shard does.
fn watch(
    running: &Running,
    signals: &mut Signals,
    flags: &ServeFlags,
    control: &Control,
    state: Option<&StateDir>,
) -> Result<(), Failure> {
    loop {
        for signal in signals.pending() {
            if signal != SIGHUP {
                tracing::info!("stopping");
                return Ok(());
            }
            match load(flags) {
                Ok((config, warnings)) => {
                    for warning in warnings {
                        tracing::warn!("{warning}");
                    }
                    // Without TLS from the start nobody watches them, and this is of no effect.
                    control.reread(CertificateSource::new(&config.https, state));
                    running.reload(&Arc::new(config));
                    tracing::info!("settings were read again; latency keys apply to new sessions");
                }
                Err(failure) => tracing::error!("settings stay as they are: {failure}"),
            }
        }
        if running.has_ended() {
            return Err(Failure::Text("a shard has ended by itself; see the log".into()));
        }
        let next = Instant::now() + WATCH_EVERY;
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

fn load(flags: &ServeFlags) -> Result<(Config, Vec<String>), Failure> {
    let mut loader = Loader::new();
    if let Some(path) = &flags.config {
        let name = path.display().to_string();
        let text = read_text(path).map_err(|source| Failure::File { path: name.clone(), source })?;
        loader.file(&name, &text)?;
    }
    loader.environment(std::env::vars())?;
    let given = [
        ("--rtmp", "rtmp.addr", &flags.rtmp),
        ("--http", "http.addr", &flags.http),
        ("--https", "https.addr", &flags.https),
        ("--shards", "server.shards", &flags.shards),
        ("--cpus", "server.cpus", &flags.cpus),
        ("--latency", "hls.latency", &flags.latency),
    ];
    for (flag, key, value) in given {
        if let Some(value) = value {
            loader.flag(flag, key, value)?;
        }
    }
    if flags.open {
        loader.flag("--open", "auth.open", "true")?;
    }
    Ok(loader.finish()?)
}

fn plan(config: &Config) -> Result<Plan, Failure> {
    let server = &config.server;
    let shards_or = |all| if server.shards == 0 { all } else { server.shards as usize };
    if server.cpus.is_empty() {
        return Ok(Plan::new(shards_or(std::thread::available_parallelism().map_or(1, usize::from))));
    }
    let cpus = server.cpus.iter().map(|&cpu| cpu as usize).collect();
    Ok(Plan::on(shards_or(server.cpus.len()), cpus)?)
}

/// Checks the host and binds one listener a shard to the first candidate that works.
fn listeners(
    what: &'static str,
    address: ListenAddress,
    plan: &Plan,
) -> Result<(Vec<BoundListener>, SocketAddr), Failure> {
    let mut failure = Failure::Text(format!("{what} is off, and without it the server has nothing to do"));
    for candidate in address.candidates() {
        match preflight::check(plan.shards_count, &[candidate]) {
            Ok(_) => {
                let bind = |source| Failure::Bind { what, address: candidate.to_string(), source };
                let bound = shard::bind_all(candidate, plan.shards_count).map_err(bind)?;
                let bind = |source| Failure::Bind { what, address: candidate.to_string(), source };
                let local = bound[0].local_addr().map_err(bind)?;
                return Ok((bound, local));
            }
            Err(error) => failure = error.into(),
        }
    }
    Err(failure)
}

/// TLS before it is spoken: over HTTPS, and by publishers.
struct Tls {
    configs: ServerConfigs,
    certificates: Arc<Certificates>,
    source: CertificateSource,
    /// Where the certificate is that was made here.
    kept_in: Option<String>,
}

/// TLS as the settings have it, if they do.
fn tls(config: &Config, state: Option<&StateDir>) -> Result<Option<Tls>, Failure> {
    if !config.https.has_certificate() {
        return Ok(None);
    }
    let source = CertificateSource::new(&config.https, state);
    let pems = source.read()?;
    let certificates = Certificates::new(&pems)?;
    let configs = certificates.server_configs(config.http.http2)?;
    let kept_in = pems.into_iter().next().filter(|_| state.is_some()).map(|pem| pem.name);
    Ok(Some(Tls { configs, certificates, source, kept_in }))
}

impl Tls {
    /// Has the certificates watched from now on; what is left is where one is kept that was made here.
    fn watch(self, control: &Control) -> Option<String> {
        let certificates = self.certificates;
        let install = move |pems: &[_]| certificates.replace(pems).map_err(|error| error.to_string());
        control.watch(self.source, Box::new(install));
        self.kept_in
    }
}

fn player(config: &Config) -> Result<(PlayerScript, Option<bytes::Bytes>), Failure> {
    let pages = &config.pages;
    if pages.hls_js_file.is_empty() {
        return Ok((PlayerScript::remote(&pages.hls_js_url, &pages.hls_js_integrity)?, None));
    }
    let path = Path::new(&pages.hls_js_file);
    let text = read_text(path)
        .map_err(|source| Failure::File { path: format!("pages.hls_js_file {}", path.display()), source })?;
    let file = bytes::Bytes::from(text);
    Ok((PlayerScript::local(&file), Some(file)))
}

fn random_secret() -> Result<Secret, Failure> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(Secret::from_random(bytes))
}

/// The signing secret, and whether it ends with the process.
fn token_secret(config: &Config, state: Option<&StateDir>) -> Result<(Secret, bool), Failure> {
    if !config.auth.token_secret.is_empty() {
        return Ok((config.auth.token_secret.clone(), false));
    }
    let fresh = random_secret()?;
    match state {
        Some(state) => Ok((Secret::new(state.secret_or(fresh.expose())?), false)),
        None => Ok((fresh, true)),
    }
}

fn admin_key(config: &Config) -> Result<(Secret, bool), Failure> {
    match config.auth.admin_key.is_empty() {
        true => Ok((random_secret()?, true)),
        false => Ok((config.auth.admin_key.clone(), false)),
    }
}

fn records(state: Option<&StateDir>) -> Result<Vec<(StreamName, StreamRecord)>, Failure> {
    let Some(state) = state else { return Ok(Vec::new()) };
    let kept = state.load()?.into_iter().filter_map(|(name, text)| {
        let name = StreamName::parse(&name).ok()?;
        Some((name, serde_json::from_slice(&text).ok()?))
    });
    Ok(kept.collect())
}

fn mint(tokens: &Tokens, name: &StreamName, expires_in_s: u64) -> String {
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    tokens.mint(&Claims {
        stream: name.as_str().to_owned(),
        issued_unix_s: now_s,
        expires_unix_s: now_s + expires_in_s,
    })
}

/// Starts the log; returns the count of lines that it drops.
fn log_to(control: &Control, config: &Config) -> Arc<AtomicU64> {
    let writer = LogWriter::new(control.clone());
    let dropped = writer.dropped();
    // h2 would log a malformed path with its query, and a line for each stray PING.
    let filter = format!("{},h2=off", config.server.log_level.as_str());
    let filter = tracing_subscriber::EnvFilter::new(filter);
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_target(false);
    match config.server.log_format {
        LogFormat::Text => {
            builder.with_ansi(std::io::stderr().is_terminal()).with_writer(writer).init();
        }
        LogFormat::Json => builder.json().with_writer(writer).init(),
    }
    dropped
}

fn io(what: &'static str) -> impl Fn(std::io::Error) -> Failure {
    move |source| Failure::Io { what, source }
}

#[cfg(feature = "demo")]
fn start_demo(
    rtmp: SocketAddr,
    tokens: &Tokens,
    config: &Config,
) -> Result<rapidrtmp::demo::DemoHandle, Failure> {
    use rapidrtmp::demo::{DemoOptions, spawn};
    use std::net::{IpAddr, Ipv4Addr};
    let name = StreamName::new("live", "demo").map_err(|error| Failure::Text(error.to_string()))?;
    let loopback = if rtmp.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { rtmp.ip() };
    let (tokens, expires_in_s) = (tokens.clone(), config.auth.token_expiry_default_s);
    let token = {
        let name = name.clone();
        move || mint(&tokens, &name, expires_in_s)
    };
    let options = DemoOptions::new(SocketAddr::new(loopback, rtmp.port()), name, Some(Arc::new(token)));
    spawn(options).map_err(|error| Failure::Text(format!("--demo: {error}")))
}

#[cfg(not(feature = "demo"))]
fn start_demo(_: SocketAddr, _: &Tokens, _: &Config) -> Result<std::convert::Infallible, Failure> {
    Err(Failure::Text("--demo: this binary was built without the demo feature".into()))
}
