//! Faults on purpose: a test gives [`super::service::Setup`] a hook, which is asked at each place where
//! something can go wrong that no peer can make go wrong. A server has none.

use std::sync::Arc;

/// A place that can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultAt {
    /// A stream's home takes media.
    Media,
    /// A stream's home is called for its time.
    Time,
    /// A stream's home takes part in the books.
    Books,
    /// A view answers a viewer.
    Answer,
    /// A replica applies an event.
    Event,
    /// A viewer's task, outside any stream.
    Viewer,
    /// A publisher's task, outside any stream.
    Publisher,
    /// A shard handles a message.
    Message,
    /// A home sends to a follower's inbox, which may be full.
    Inbox,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A panic.
    Panic,
    /// The queue is full.
    Full,
}

/// Says what goes wrong at a place, for the stream of this name; it is called on every shard.
pub type FaultHook = Arc<dyn Fn(FaultAt, &str) -> Option<Fault> + Send + Sync>;
