//! What the process costs, as the kernel counts it.

/// Processor time since it started, user and system, all threads, in microseconds.
pub fn cpu_us() -> u64 {
    // SAFETY: an rusage is plain integers, of which all zero is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` outlives the call, which fills it.
    if unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut usage) } != 0 {
        return 0;
    }
    let of = |time: libc::timeval| time.tv_sec as u64 * 1_000_000 + time.tv_usec as u64;
    of(usage.ru_utime) + of(usage.ru_stime)
}

/// Memory that is resident now, in bytes; `None` where `/proc` does not say. Reading it waits for no disk.
pub fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    // SAFETY: sysconf takes no pointers.
    let page_bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    Some(pages * u64::try_from(page_bytes).ok()?)
}

/// Has the allocator give the pages of freed memory back to the system, which it does by itself only at the end of an
/// arena. It walks the arenas, each under its lock, so it is not for a shard.
pub fn give_memory_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim takes a number and touches only memory that is free.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_process_has_used_both() {
        let before = cpu_us();
        let spun: u64 = (0..20_000_000_u64).fold(0, |sum, number| std::hint::black_box(sum ^ number));
        assert!(cpu_us() > before, "{spun}");
        assert!(resident_bytes().unwrap() > 1 << 20);
    }
}
