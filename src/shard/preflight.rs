//! What must hold before any executor starts, each checked with one clear line when it does not.
//!
//! The runtime itself would panic, or tell only when a shard is joined.

use std::{
    fmt, io,
    net::{SocketAddr, TcpListener},
    os::fd::{FromRawFd, OwnedFd},
};

use crate::limits::{MEMLOCK_BYTES_MIN, OPEN_FILES_MIN, SHARD_MEMLOCK_BYTES};

/// What the host grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    /// Descriptors the process may have open, raised to the hard limit.
    pub open_files_max: u64,
}

/// Why the server cannot run here, and what to change.
#[derive(Debug, thiserror::Error)]
pub enum PreflightError {
    /// The kernel was built without io_uring, or predates it.
    #[error("this kernel has no io_uring: Linux 5.8 or newer with CONFIG_IO_URING is needed")]
    IoUringMissing,
    /// io_uring is there, but without what the runtime needs.
    #[error("this kernel's io_uring is too old: Linux 5.8 or newer is needed")]
    IoUringOld,
    /// A sysctl or a seccomp filter forbids it.
    #[error(
        "io_uring is forbidden here: set `sysctl kernel.io_uring_disabled=0`, and in a container allow \
         io_uring_setup, io_uring_enter and io_uring_register in its seccomp profile"
    )]
    IoUringForbidden,
    /// It fails otherwise.
    #[error("io_uring does not start: {0}")]
    IoUring(io::Error),
    /// Too little memory may be locked for this many rings.
    #[error(
        "RLIMIT_MEMLOCK is {found_bytes} bytes, {wanted_bytes} are wanted for {shards_count} shards: \
         raise it (`ulimit -l`, LimitMEMLOCK= in systemd, --ulimit memlock= in docker) or use fewer shards"
    )]
    MemLock {
        /// The hard limit.
        found_bytes: u64,
        /// What the shards need.
        wanted_bytes: u64,
        /// The shards asked for.
        shards_count: usize,
    },
    /// Too few descriptors may be open.
    #[error(
        "RLIMIT_NOFILE is {found}, at least {OPEN_FILES_MIN} are wanted: raise it (`ulimit -n`, LimitNOFILE=)"
    )]
    OpenFiles {
        /// The hard limit.
        found: u64,
    },
    /// Another process listens there.
    #[error("{address} is in use: another server listens there")]
    AddressInUse {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The address cannot be had for another reason.
    #[error("cannot listen on {address}: {error}")]
    Address {
        /// The address asked for.
        address: SocketAddr,
        /// The system's words.
        error: io::Error,
    },
    /// A limit could not be read or set.
    #[error("cannot read or raise {limit}: {error}")]
    Limit {
        /// Its name.
        limit: Limit,
        /// The system's words.
        error: io::Error,
    },
}

/// A resource limit of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// RLIMIT_MEMLOCK, in bytes.
    MemLock,
    /// RLIMIT_NOFILE, in descriptors.
    OpenFiles,
}

impl fmt::Display for Limit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::MemLock => "RLIMIT_MEMLOCK",
            Self::OpenFiles => "RLIMIT_NOFILE",
        })
    }
}

/// Checks io_uring, memory locking, open files and that nobody listens on `addresses`; raises both limits.
///
/// # Errors
/// [`PreflightError`] for the first thing that does not hold.
pub fn check(shards_count: usize, addresses: &[SocketAddr]) -> Result<Ready, PreflightError> {
    check_on(&ThisHost, shards_count, addresses)
}

/// What the checks ask of a host.
trait Host {
    /// The features of a ring that was made for trying, IORING_FEAT_*.
    fn io_uring_features(&self) -> io::Result<u32>;
    /// Raises a limit to the hard one and returns that.
    fn raise(&self, limit: Limit) -> io::Result<u64>;
    /// True when the kernel lets the process lock more than the limit says (CAP_IPC_LOCK).
    fn is_memlock_unlimited(&self) -> bool;
    /// Listens without SO_REUSEPORT, and stops.
    fn listen(&self, address: SocketAddr) -> io::Result<()>;
}

fn check_on(
    host: &impl Host,
    shards_count: usize,
    addresses: &[SocketAddr],
) -> Result<Ready, PreflightError> {
    check_io_uring(host)?;
    check_memlock(host, shards_count)?;
    let open_files_max = raise(host, Limit::OpenFiles)?;
    if open_files_max < OPEN_FILES_MIN {
        return Err(PreflightError::OpenFiles { found: open_files_max });
    }
    for &address in addresses {
        host.listen(address).map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => PreflightError::AddressInUse { address },
            _ => PreflightError::Address { address, error },
        })?;
    }
    Ok(Ready { open_files_max })
}

/// Came with Linux 5.7; the runtime's own check wants operations of 5.8 and panics without them.
const IORING_FEAT_FAST_POLL: u32 = 1 << 5;

fn check_io_uring(host: &impl Host) -> Result<(), PreflightError> {
    let features = host.io_uring_features().map_err(|error| match error.raw_os_error() {
        Some(libc::ENOSYS) => PreflightError::IoUringMissing,
        Some(libc::EPERM | libc::EACCES) => PreflightError::IoUringForbidden,
        _ => PreflightError::IoUring(error),
    })?;
    match features & IORING_FEAT_FAST_POLL {
        0 => Err(PreflightError::IoUringOld),
        _ => Ok(()),
    }
}

fn check_memlock(host: &impl Host, shards_count: usize) -> Result<(), PreflightError> {
    let found_bytes = raise(host, Limit::MemLock)?;
    let wanted_bytes = match host.is_memlock_unlimited() {
        // The runtime compares the limit with its minimum, whoever runs it.
        true => MEMLOCK_BYTES_MIN,
        false => SHARD_MEMLOCK_BYTES.saturating_mul(shards_count as u64),
    };
    if found_bytes < wanted_bytes {
        return Err(PreflightError::MemLock { found_bytes, wanted_bytes, shards_count });
    }
    Ok(())
}

fn raise(host: &impl Host, limit: Limit) -> Result<u64, PreflightError> {
    host.raise(limit).map_err(|error| PreflightError::Limit { limit, error })
}

struct ThisHost;

impl Host for ThisHost {
    fn io_uring_features(&self) -> io::Result<u32> {
        // struct io_uring_params: 120 bytes, `features` the sixth u32.
        let mut params = [0_u32; 30];
        // SAFETY: the kernel reads and writes the 120 bytes of `params`, which outlives the call.
        let descriptor = unsafe { libc::syscall(libc::SYS_io_uring_setup, 2, params.as_mut_ptr()) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call succeeded, so the descriptor is open and nobody else's.
        drop(unsafe { OwnedFd::from_raw_fd(descriptor as i32) });
        Ok(params[5])
    }

    fn raise(&self, limit: Limit) -> io::Result<u64> {
        let resource = match limit {
            Limit::MemLock => libc::RLIMIT_MEMLOCK,
            Limit::OpenFiles => libc::RLIMIT_NOFILE,
        };
        let mut limits = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: `limits` outlives the call.
        if unsafe { libc::getrlimit(resource, &mut limits) } != 0 {
            return Err(io::Error::last_os_error());
        }
        limits.rlim_cur = limits.rlim_max;
        // SAFETY: `limits` outlives the call, which only reads it.
        if unsafe { libc::setrlimit(resource, &limits) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(limits.rlim_max)
    }

    fn is_memlock_unlimited(&self) -> bool {
        const CAP_IPC_LOCK: u64 = 1 << 14;
        // Without the line the limit is taken at its word, which errs towards a message.
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
        effective
            .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
            .is_some_and(|set| set & CAP_IPC_LOCK != 0)
    }

    fn listen(&self, address: SocketAddr) -> io::Result<()> {
        // The standard listener sets SO_REUSEADDR, which is no help to a second listener.
        TcpListener::bind(address).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::listener;

    struct FakeHost {
        io_uring: Result<u32, i32>,
        memlock_bytes: u64,
        is_memlock_unlimited: bool,
        open_files: u64,
        listen: Result<(), i32>,
    }

    const GOOD: FakeHost = FakeHost {
        io_uring: Ok(IORING_FEAT_FAST_POLL),
        memlock_bytes: 8 << 20,
        is_memlock_unlimited: false,
        open_files: 20_000,
        listen: Ok(()),
    };

    impl Host for FakeHost {
        fn io_uring_features(&self) -> io::Result<u32> {
            self.io_uring.map_err(io::Error::from_raw_os_error)
        }
        fn raise(&self, limit: Limit) -> io::Result<u64> {
            Ok(match limit {
                Limit::MemLock => self.memlock_bytes,
                Limit::OpenFiles => self.open_files,
            })
        }
        fn is_memlock_unlimited(&self) -> bool {
            self.is_memlock_unlimited
        }
        fn listen(&self, _: SocketAddr) -> io::Result<()> {
            self.listen.map_err(io::Error::from_raw_os_error)
        }
    }

    fn found(host: FakeHost, shards_count: usize) -> Result<Ready, PreflightError> {
        check_on(&host, shards_count, &["127.0.0.1:1935".parse().unwrap()])
    }

    #[test]
    fn each_refusal_of_the_host_has_its_own_line() {
        use PreflightError as E;
        type Case = (FakeHost, fn(&E) -> bool, &'static str);
        let cases: [Case; 9] = [
            (
                FakeHost { io_uring: Err(libc::ENOSYS), ..GOOD },
                |e| matches!(e, E::IoUringMissing),
                "CONFIG_IO_URING",
            ),
            (
                FakeHost { io_uring: Err(libc::EPERM), ..GOOD },
                |e| matches!(e, E::IoUringForbidden),
                "seccomp",
            ),
            (
                FakeHost { io_uring: Err(libc::ENOMEM), ..GOOD },
                |e| matches!(e, E::IoUring(_)),
                "does not start",
            ),
            (FakeHost { io_uring: Ok(0), ..GOOD }, |e| matches!(e, E::IoUringOld), "5.8"),
            (FakeHost { memlock_bytes: 1 << 20, ..GOOD }, |e| matches!(e, E::MemLock { .. }), "ulimit -l"),
            (
                FakeHost { memlock_bytes: 64 << 10, is_memlock_unlimited: true, ..GOOD },
                |e| matches!(e, E::MemLock { wanted_bytes: MEMLOCK_BYTES_MIN, .. }),
                "LimitMEMLOCK",
            ),
            (FakeHost { open_files: 256, ..GOOD }, |e| matches!(e, E::OpenFiles { found: 256 }), "ulimit -n"),
            (
                FakeHost { listen: Err(libc::EADDRINUSE), ..GOOD },
                |e| matches!(e, E::AddressInUse { .. }),
                "in use",
            ),
            (
                FakeHost { listen: Err(libc::EACCES), ..GOOD },
                |e| matches!(e, E::Address { .. }),
                "127.0.0.1:1935",
            ),
        ];
        for (host, is_right, mentions) in cases {
            let error = found(host, 2).unwrap_err();
            let line = error.to_string();
            assert!(is_right(&error) && line.contains(mentions) && !line.contains('\n'), "{line}");
        }
    }

    #[test]
    fn a_host_that_grants_everything_is_ready() {
        assert_eq!(found(GOOD, 8).unwrap(), Ready { open_files_max: 20_000 });
        let unlimited = FakeHost { is_memlock_unlimited: true, memlock_bytes: MEMLOCK_BYTES_MIN, ..GOOD };
        assert!(found(unlimited, 64).is_ok());
    }

    #[test]
    fn this_host_passes_and_a_second_server_is_noticed_despite_its_reuseport() {
        let first = listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = first.local_addr().unwrap();
        assert!(matches!(check(1, &[address]), Err(PreflightError::AddressInUse { .. })));
        drop(first);
        assert!(check(1, &[address]).unwrap().open_files_max >= OPEN_FILES_MIN);
    }
}
