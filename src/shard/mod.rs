//! Executors, sockets, parked viewers, shard-to-shard messages.
//!
//! A shard is one glommio executor on one processor with one edge-triggered epoll set. glommio gives
//! the executor, its timer and its ring; sockets are ours. Three rules keep it alive: the run queue
//! drains (no task wakes itself, whoever has done its budget takes a [`Shard::ring_turn`]), tasks are
//! detached and end by themselves, and every shard has its 5 ms tick.

pub mod admission;
mod asking;
pub mod audience;
mod books;
mod calls;
pub mod certificates;
mod connected;
pub mod deadline;
pub mod fault;
pub mod handover;
mod http2;
pub mod landings;
mod lent;
pub mod listener;
pub mod mesh;
pub mod parked;
mod patience;
pub mod pending;
pub mod placement;
mod poll;
pub mod preflight;
mod process;
pub mod publisher;
pub mod ring;
pub mod runtime;
pub mod serve;
pub mod service;
mod slab;
pub mod socket;
mod status;
pub mod streams;
pub mod tls;
mod tls_session;
pub mod transport;
pub mod viewer;

pub use calls::{ServedFile, publish_url};
pub use certificates::{Certificates, ServerConfig, ServerConfigs, TlsError};
pub use deadline::Deadline;
pub use listener::{BoundListener, Listener, bind, bind_all};
pub use mesh::{Mesh, MeshInbox, MeshSender, Origin, TrySendError, mesh};
pub use parked::{Park, Parked, Woken};
pub use placement::{PlacementError, Plan};
pub use preflight::{PreflightError, Ready};
pub use ring::Budget;
pub use runtime::{Shard, ShardEnded, Shards, StartError, Stats, current_task, spawn_shards};
pub use socket::Socket;
pub use transport::Transport;

#[cfg(test)]
mod testing {
    use super::{Plan, Shard, spawn_shards};

    /// Runs `main` on one shard, which is not pinned, to its end.
    pub(super) fn on_one_shard<F: Future<Output = ()> + 'static>(
        main: impl Fn(Shard) -> F + Clone + Send + 'static,
    ) {
        spawn_shards(&Plan { shards_count: 1, processors: Vec::new() }, main).unwrap().join().unwrap();
    }
}
