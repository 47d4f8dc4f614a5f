//! The processes whose cost is read once a second: the server, if it is known, this one, and the machine.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use super::Settings;
use crate::address::{Resource, printable};
use crate::cost::{self, Cost, CostError, MachineTime};

/// For a metrics page.
const METRICS_WITHIN: Duration = Duration::from_secs(2);
/// Of a metrics page.
const METRICS_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Where a server's cost is read.
enum Source {
    Nowhere,
    Process(u32),
    Metrics(Resource),
}

/// Reads costs.
pub struct Watched {
    server: Source,
}

/// Costs at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reading {
    /// Of the server.
    pub server: Option<Cost>,
    /// Of this process.
    pub own: Cost,
    /// Of the machine.
    pub machine: MachineTime,
}

impl Watched {
    /// Sees that the server's cost can be read where it is to be.
    ///
    /// # Errors
    /// [`CostError`].
    pub fn new(settings: &Settings) -> Result<Self, CostError> {
        let server = match (settings.server_pid, &settings.metrics) {
            (Some(id), _) => Source::Process(id),
            (None, Some(address)) => Source::Metrics(Resource::parse(address).map_err(|error| {
                CostError::Metrics { address: printable(address), reason: error.to_string() }
            })?),
            (None, None) => Source::Nowhere,
        };
        let watched = Self { server };
        watched.read()?;
        Ok(watched)
    }

    /// Reads all but the server's.
    pub fn read_own(&self) -> Reading {
        Reading { server: None, own: cost::own(), machine: MachineTime::now() }
    }

    /// Reads all costs.
    ///
    /// # Errors
    /// [`CostError`], when the server has ended or its page fails.
    pub fn read(&self) -> Result<Reading, CostError> {
        let server = match &self.server {
            Source::Nowhere => None,
            Source::Process(id) => Some(cost::of_process(*id)?),
            Source::Metrics(resource) => Some(of_metrics(resource)?),
        };
        Ok(Reading { server, ..self.read_own() })
    }
}

/// A page is small, and read by the thread that has nothing else to do.
fn of_metrics(resource: &Resource) -> Result<Cost, CostError> {
    let address = printable(resource.url.as_str());
    let failed = |reason: String| CostError::Metrics { address: address.clone(), reason };
    if resource.peer.tls {
        return Err(failed("only http:// is read here".to_owned()));
    }
    let fetch = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect((resource.peer.host.as_str(), resource.peer.port))?;
        stream.set_read_timeout(Some(METRICS_WITHIN))?;
        stream.set_write_timeout(Some(METRICS_WITHIN))?;
        let (target, host) = (resource.target(), resource.peer.authority(80));
        // HTTP/1.0: the page ends with the connection, and is not chunked.
        write!(stream, "GET {target} HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.take(METRICS_BYTES_MAX).read_to_string(&mut text)?;
        Ok(text)
    };
    let text = fetch().map_err(|error| failed(error.to_string()))?;
    cost::parse_metrics(&address, &text)
}
