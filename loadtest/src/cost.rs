//! What a process and the machine cost: processor time and resident memory, from `/proc` or a metrics page.

/// Clock ticks a second in `/proc`: the same on every Linux that runs this.
const TICKS_PER_S: u64 = 100;

/// A reading of a process.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Cost {
    /// Processor time since it started, user and system, in microseconds: of all threads, those that ended too, to
    /// the 10 ms that the kernel counts in.
    pub cpu_us: u64,
    /// Resident memory in bytes.
    pub resident_bytes: u64,
}

/// A process cannot be watched.
#[derive(Debug, thiserror::Error)]
pub enum CostError {
    /// There is no such process, or it is not ours to look at.
    #[error("process {id} cannot be watched: {reason}")]
    Process {
        /// Its id.
        id: u32,
        /// In the words of the system.
        reason: String,
    },
    /// The metrics page does not say what is wanted.
    #[error("{address} gives no figures: {reason}")]
    Metrics {
        /// The page.
        address: String,
        /// What is wrong.
        reason: String,
    },
}

/// Of a process on this host.
///
/// # Errors
/// [`CostError::Process`].
pub fn of_process(id: u32) -> Result<Cost, CostError> {
    let error = |reason: String| CostError::Process { id, reason };
    let read = |name: &str| {
        std::fs::read_to_string(format!("/proc/{id}/{name}")).map_err(|found| error(found.to_string()))
    };
    let (stat, status) = (read("stat")?, read("status")?);
    let ticks = cpu_ticks(&stat).ok_or_else(|| error("/proc/PID/stat is not understood".to_owned()))?;
    let cpu_us = ticks * 1_000_000 / TICKS_PER_S;
    let resident_kib = resident_kib(&status).unwrap_or(0);
    Ok(Cost { cpu_us, resident_bytes: resident_kib * 1024 })
}

/// Of this process.
pub fn own() -> Cost {
    of_process(std::process::id()).unwrap_or_default()
}

/// Processor time of the calling thread, in microseconds; 0 where `/proc` does not say.
pub fn own_thread_cpu_us() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace().next().and_then(|field| field.parse::<u64>().ok()).unwrap_or(0) / 1000
}

/// Fields 14 and 15, behind the name in parentheses, which may hold anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn resident_kib(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches("kB").trim().parse().ok()
}

/// Busy and all time of the machine's processors, in ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MachineTime {
    /// All but idle and waiting for disks.
    pub busy_ticks: u64,
    /// All.
    pub all_ticks: u64,
}

impl MachineTime {
    /// Now; zero where `/proc/stat` is not to be had.
    pub fn now() -> Self {
        std::fs::read_to_string("/proc/stat").ok().and_then(|text| Self::parse(&text)).unwrap_or_default()
    }

    fn parse(text: &str) -> Option<Self> {
        let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
        let ticks: Vec<u64> = line.split_whitespace().filter_map(|field| field.parse().ok()).collect();
        // user nice system idle iowait irq softirq steal; guest time is inside user time.
        let all_ticks: u64 = ticks.iter().take(8).sum();
        let idle: u64 = ticks.iter().skip(3).take(2).sum();
        Some(Self { busy_ticks: all_ticks.saturating_sub(idle), all_ticks })
    }

    /// Share of busy time since an earlier reading, 0 to 1.
    pub fn busy_since(self, earlier: Self) -> f64 {
        let all = self.all_ticks.saturating_sub(earlier.all_ticks);
        if all == 0 { 0.0 } else { self.busy_ticks.saturating_sub(earlier.busy_ticks) as f64 / all as f64 }
    }
}

/// From a metrics page in the text format of Prometheus: `*process_cpu_seconds_total` and
/// `*process_resident_memory_bytes`, whatever stands before.
///
/// # Errors
/// [`CostError::Metrics`].
pub fn parse_metrics(address: &str, text: &str) -> Result<Cost, CostError> {
    let sum = |suffix: &str| -> Option<f64> {
        let samples = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
            let (name, rest) = line.split_once(['{', ' '])?;
            let value = rest.rsplit_once('}').map_or(rest, |(_, value)| value);
            name.ends_with(suffix).then(|| value.split_whitespace().next()?.parse::<f64>().ok())?
        });
        let values: Vec<f64> = samples.collect();
        (!values.is_empty()).then(|| values.iter().sum())
    };
    let missing =
        |name: &str| CostError::Metrics { address: address.to_owned(), reason: format!("it has no {name}") };
    let cpu_s = sum("process_cpu_seconds_total").ok_or_else(|| missing("process_cpu_seconds_total"))?;
    let resident =
        sum("process_resident_memory_bytes").ok_or_else(|| missing("process_resident_memory_bytes"))?;
    Ok(Cost { cpu_us: (cpu_s * 1e6) as u64, resident_bytes: resident as u64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_a_strange_name_is_read() {
        let stat = "1 (a) b (c)) S 0 1 1 0 -1 4 5 6 7 8 30 12 1 2 20 0 3 0 9 1 1";
        assert_eq!(cpu_ticks(stat), Some(42));
        assert_eq!(resident_kib("Name:\tx\nVmRSS:\t  12345 kB\n"), Some(12345));
        assert!(own().resident_bytes > 100_000);
        assert!(of_process(u32::MAX).is_err());
    }

    #[test]
    fn machine_time_counts_waiting_for_disks_as_idle() {
        let before = MachineTime::parse("cpu  10 0 10 80 0 0 0 0 0 0\ncpu0 1 1\n").unwrap();
        let after = MachineTime::parse("cpu  20 0 20 120 40 0 0 0 7 0\n").unwrap();
        assert_eq!(after.busy_since(before), 0.2);
        assert_eq!(before.busy_since(before), 0.0);
    }

    #[test]
    fn metrics_are_found_behind_any_prefix() {
        let text = "# TYPE a counter\nrapidrtmp_process_cpu_seconds_total{shard=\"0\"} 1.5\n\
                    rapidrtmp_process_cpu_seconds_total{shard=\"1\"} 0.5 1234\nprocess_resident_memory_bytes 2048\n";
        let cost = parse_metrics("m", text).unwrap();
        assert_eq!(cost, Cost { cpu_us: 2_000_000, resident_bytes: 2048 });
        assert!(
            parse_metrics("m", "other 1\n").unwrap_err().to_string().contains("process_cpu_seconds_total")
        );
    }
}
