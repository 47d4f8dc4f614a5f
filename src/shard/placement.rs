//! Which processor each shard runs on.

/// How many shards, and the processors to pin them to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// At least 1, at most [`SHARDS_MAX`](crate::limits::SHARDS_MAX).
    pub shards_count: usize,
    /// Shards are pinned to these in order, if there is one for each; else none is pinned.
    pub processors: Vec<usize>,
}

/// The shards cannot be placed as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlacementError {
    /// A processor that is not there, or that the process is kept from.
    #[error(
        "server.cpus names CPU {found}, on which this process may not run: {} allowed here (taskset, \
         CPUAffinity= in systemd, --cpuset-cpus in docker)",
        ranges(allowed)
    )]
    NotAllowed {
        /// The first such one.
        found: usize,
        /// Those it may run on, in rising order.
        allowed: Vec<usize>,
    },
}

impl Plan {
    /// A plan over the processors that this thread may run on.
    pub fn new(shards_count: usize) -> Self {
        Self { shards_count, processors: allowed_processors() }
    }

    /// A plan over these processors alone, the first for the first shard.
    ///
    /// # Errors
    /// [`PlacementError`] when this thread may not run on one of them.
    pub fn on(shards_count: usize, processors: Vec<usize>) -> Result<Self, PlacementError> {
        let allowed = allowed_processors();
        match processors.iter().find(|processor| !allowed.contains(processor)) {
            Some(&found) => Err(PlacementError::NotAllowed { found, allowed }),
            None => Ok(Self { shards_count, processors }),
        }
    }
}

/// The processors that this thread may run on; empty when the host does not tell.
pub fn allowed_processors() -> Vec<usize> {
    // SAFETY: a cpu_set_t is plain bits, of which all zero is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set outlives the call, which is told its size.
    if unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set) } != 0 {
        return Vec::new();
    }
    // SAFETY: CPU_ISSET reads one bit below CPU_SETSIZE of a set it borrows.
    (0..libc::CPU_SETSIZE as usize).filter(|&processor| unsafe { libc::CPU_ISSET(processor, &set) }).collect()
}

/// `0-3,8 are`, as the kernel writes lists of processors.
fn ranges(processors: &[usize]) -> String {
    let mut text = String::new();
    let mut rest = processors;
    while let Some((&first, _)) = rest.split_first() {
        let count = rest.iter().zip(first..).take_while(|(processor, next)| *processor == next).count();
        let separator = if text.is_empty() { "" } else { "," };
        match count {
            1 => text.push_str(&format!("{separator}{first}")),
            _ => text.push_str(&format!("{separator}{first}-{}", first + count - 1)),
        }
        rest = &rest[count..];
    }
    match processors.len() {
        0 => "none is".to_owned(),
        1 => text + " is",
        _ => text + " are",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_processors_that_are_allowed_are_planned_for() {
        let allowed = allowed_processors();
        let newest = *allowed.last().expect("this test runs on one");
        assert_eq!(Plan::on(1, vec![newest]), Ok(Plan { shards_count: 1, processors: vec![newest] }));
        let error = Plan::on(1, vec![newest, 1_000_000]).unwrap_err();
        assert_eq!(error, PlacementError::NotAllowed { found: 1_000_000, allowed });
    }

    #[test]
    fn a_refusal_says_what_is_allowed() {
        for (processors, text) in
            [(&[][..], "none is"), (&[2], "2 is"), (&[0, 1], "0-1 are"), (&[0, 2, 3, 4, 9], "0,2-4,9 are")]
        {
            assert_eq!(ranges(processors), text);
        }
    }
}
