//! How a publisher's connection ends, for its log line and the metrics.

use std::io;

use crate::metrics::EndedBecause;
use crate::rtmp::SessionError;
use crate::shard::service::Service;
use crate::shard::streams::EndedBy;

/// Why a connection ended, for its one log line.
#[derive(Debug)]
pub(super) enum End {
    /// By its own will, or the network's.
    Closed,
    /// It has said goodbye to its stream, and may publish another one.
    Unpublished,
    Io(io::Error),
    Session(EndedBecause, String),
    Refused(String),
    By(EndedBy),
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Closed => f.write_str("closed by the publisher"),
            Self::Unpublished => f.write_str("unpublished"),
            Self::Io(error) if error.kind() == io::ErrorKind::TimedOut => {
                write!(f, "its host acknowledges nothing any more: {error}")
            }
            Self::Io(error) => write!(f, "{error}"),
            Self::Session(_, text) => f.write_str(text),
            Self::Refused(text) => write!(f, "refused: {text}"),
            Self::By(by) => f.write_str(by.as_str()),
        }
    }
}

impl End {
    /// As the metrics have it; `None` for an end that is no error, or is counted where it was decided.
    fn because(&self) -> Option<EndedBecause> {
        match self {
            Self::Io(error) => match error.kind() {
                io::ErrorKind::TimedOut => Some(EndedBecause::Timeout),
                io::ErrorKind::InvalidData => Some(EndedBecause::Protocol),
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => None,
                _ => Some(EndedBecause::Socket),
            },
            Self::Session(because, _) => Some(*because),
            Self::Closed | Self::Unpublished | Self::Refused(_) | Self::By(_) => None,
        }
    }

    /// Adds it to the metrics.
    pub(super) fn count(&self, service: &Service) {
        service.metrics.rtmp_disconnects.inc();
        if let Some(because) = self.because() {
            service.metrics.rtmp_errors.of(because).inc();
        }
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<SessionError> for End {
    fn from(error: SessionError) -> Self {
        let because = match &error {
            SessionError::TimedOut { .. } => EndedBecause::Timeout,
            SessionError::Handshake(_) => EndedBecause::OtherProtocol,
            SessionError::OutputFull { .. } => EndedBecause::SlowReader,
            _ => EndedBecause::Protocol,
        };
        Self::Session(because, error.to_string())
    }
}
