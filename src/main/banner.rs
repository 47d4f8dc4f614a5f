//! What the server prints when it stands: lines that can be pasted into an encoder.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// What the banner tells.
pub struct Banner<'a> {
    /// Where publishers connect.
    pub rtmp: SocketAddr,
    /// Where viewers connect.
    pub http: SocketAddr,
    /// Where viewers connect over TLS, if they can.
    pub https: Option<SocketAddr>,
    /// `rtmps://HOST:PORT`, if there is a certificate.
    pub rtmps_url: Option<String>,
    /// The certificate was made here; where it is, if it is kept.
    pub self_signed: Option<Option<&'a str>>,
    /// `rtmp://HOST[:PORT]`
    pub public_url: &'a str,
    /// A token for `live/stream`; `None` when none is asked for.
    pub token: Option<&'a str>,
    /// The admin key, when it was made just now.
    pub admin_key: Option<&'a str>,
    /// Tokens end with the process.
    pub secret_is_fresh: bool,
    /// The demo is published.
    pub demo: bool,
    /// Executors.
    pub shards_count: usize,
}

/// The stream that the pasted lines publish.
pub const EXAMPLE_KEY: &str = "stream";

impl Banner<'_> {
    /// Prints it; a standard output that nobody reads is no reason to end.
    pub fn print(&self) {
        let _ = self.write(&mut io::stdout().lock());
    }

    /// The line that begins with `ready` is for programs.
    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let page = format!("http://{}", reachable(self.http));
        let key = match self.token {
            Some(token) => format!("{EXAMPLE_KEY}?token={token}"),
            None => EXAMPLE_KEY.to_owned(),
        };
        let url = self.public_url;
        writeln!(out, "RapidRTMP {} on {} shard(s)", env!("CARGO_PKG_VERSION"), self.shards_count)?;
        writeln!(out)?;
        if self.demo {
            writeln!(out, "  Watch the demo    {page}/watch/live/demo")?;
        }
        writeln!(out, "  Pages             {page}/")?;
        writeln!(out, "  Watch yours       {page}/watch/live/{EXAMPLE_KEY}")?;
        writeln!(out, "  Playlist          {page}/live/{EXAMPLE_KEY}/index.m3u8")?;
        if let Some(https) = self.https {
            let port = https.port();
            writeln!(out, "  Over TLS          https://localhost:{port}/watch/live/{EXAMPLE_KEY}")?;
            self.write_trust(out, port)?;
        }
        writeln!(out)?;
        writeln!(out, "  OBS               Settings > Stream > Service: Custom...")?;
        writeln!(out, "    Server          {url}/live")?;
        writeln!(out, "    Stream Key      {key}")?;
        writeln!(
            out,
            "  ffmpeg            ffmpeg -re -i FILE -c:v libx264 -preset veryfast -tune zerolatency -g 60 \\"
        )?;
        writeln!(out, "                      -c:a aac -f flv \"{url}/live/{key}\"")?;
        if let Some(rtmps_url) = &self.rtmps_url {
            writeln!(out, "  Over TLS          the same with {rtmps_url}/live")?;
            if self.self_signed.is_some() {
                writeln!(out, "    Self-signed     ffmpeg takes it; OBS does when this system trusts it")?;
            }
        }
        writeln!(out)?;
        match self.token {
            None => writeln!(
                out,
                "  OPEN: anyone who reaches port {} may publish, without a token.",
                self.rtmp.port()
            )?,
            Some(_) if self.secret_is_fresh => {
                writeln!(
                    out,
                    "  Tokens end with this process: set server.state_dir or auth.token_secret to keep them."
                )?;
            }
            Some(_) => {}
        }
        if let Some(admin_key) = self.admin_key {
            writeln!(
                out,
                "  Admin key         {admin_key}  (made just now; set auth.admin_key to keep one)"
            )?;
        }
        write!(out, "ready rtmp={} http={}", self.rtmp, self.http)?;
        match self.https {
            Some(https) => writeln!(out, " https={https}")?,
            None => writeln!(out)?,
        }
        out.flush()
    }

    /// How to have the certificate believed that was made here.
    fn write_trust(&self, out: &mut impl Write, port: u16) -> io::Result<()> {
        match self.self_signed {
            None => Ok(()),
            Some(Some(file)) => {
                writeln!(
                    out,
                    "    Self-signed     import {file} as trusted in the browser or system, or try"
                )?;
                writeln!(out, "                      curl --cacert {file} https://localhost:{port}/")
            }
            Some(None) => {
                writeln!(
                    out,
                    "    Self-signed     for this run only: curl -k https://localhost:{port}/, or accept it in"
                )?;
                writeln!(
                    out,
                    "                      the browser; set server.state_dir to keep one that can be trusted"
                )
            }
        }
    }
}

/// An address as a browser on this machine reaches it.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = if address.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { address.ip() };
    SocketAddr::new(ip, address.port())
}
