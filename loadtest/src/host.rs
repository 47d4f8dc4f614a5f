//! What this tool asks of its host before it starts: descriptors and processors.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that the process itself and its runtime need.
const OWN_FILES: u64 = 64;

/// The host does not grant what a run needs.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// Too few descriptors.
    #[error(
        "{wanted} open files are needed for {connections} connections, {allowed} are allowed here: \
         raise the hard limit (`ulimit -Hn {wanted}`, LimitNOFILE=, /etc/security/limits.conf) or run fewer viewers"
    )]
    OpenFiles {
        /// What is needed.
        wanted: u64,
        /// Connections of the run.
        connections: u64,
        /// The hard limit.
        allowed: u64,
    },
}

/// Makes room for this many connections: raises the soft limit as far as the hard one allows.
///
/// # Errors
/// [`HostError::OpenFiles`] when that is not enough.
pub fn allow_connections(connections: u64) -> Result<(), HostError> {
    let wanted = connections + OWN_FILES;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    let allowed = maximum.unwrap_or(u64::MAX);
    // With the right capability the hard limit can be raised as well.
    let raised = if allowed >= wanted { maximum } else { Some(wanted) };
    let limit = Rlimit { current: Some(wanted), maximum: raised };
    setrlimit(Resource::Nofile, limit).map_err(|_| HostError::OpenFiles { wanted, connections, allowed })
}

/// Processors that this thread may run on.
pub fn processors() -> Vec<usize> {
    let Ok(set) = rustix::thread::sched_getaffinity(None) else { return vec![0] };
    (0..rustix::thread::CpuSet::MAX_CPU).filter(|processor| set.is_set(*processor)).collect()
}

/// Keeps this thread on one processor; a host that does not allow it leaves it where it is.
pub fn pin_to(processor: usize) {
    let mut set = rustix::thread::CpuSet::new();
    set.set(processor);
    // Measurements are a little noisier without; nothing else depends on it.
    let _ = rustix::thread::sched_setaffinity(None, &set);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_host_allows_is_named_with_the_number_needed() {
        let error = allow_connections(1 << 40).unwrap_err().to_string();
        assert!(error.contains(&((1u64 << 40) + OWN_FILES).to_string()), "{error}");
        allow_connections(1).unwrap();
    }

    #[test]
    fn there_is_a_processor() {
        assert!(!processors().is_empty());
    }
}
