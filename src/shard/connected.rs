//! A viewer's connection in the books: its place, and how it ended.

use std::io;
use std::rc::Rc;

use super::admission::Place;
use super::service::Service;
use crate::metrics::EndedBecause;

/// A connection that was let in. Dropped without [`Connected::end`], it was cut off by a panic.
pub struct Connected {
    service: Rc<Service>,
    _place: Place,
    has_ended: bool,
}

/// Why a connection ended, when it was not simply closed.
pub enum End {
    /// It was.
    Closed,
    /// This.
    Because(EndedBecause),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut => Self::Because(EndedBecause::Timeout),
            io::ErrorKind::InvalidData => Self::Because(EndedBecause::Protocol),
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Because(EndedBecause::Socket),
        }
    }
}

impl Connected {
    /// A connection that was let in.
    pub fn new(service: Rc<Service>, place: Place) -> Self {
        Self { service, _place: place, has_ended: false }
    }

    /// The shard's part in the service.
    pub fn service(&self) -> &Rc<Service> {
        &self.service
    }

    /// It came to its end.
    pub fn end(mut self, end: Result<(), End>) {
        if let Err(End::Because(because)) = end {
            self.service.metrics.http_errors.of(because).inc();
        }
        self.has_ended = true;
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        let metrics = &self.service.metrics;
        metrics.http_disconnects.inc();
        if !self.has_ended && !self.service.is_exiting() {
            metrics.http_errors.of(EndedBecause::Panic).inc();
        }
    }
}
