//! The kernel's figures for this process (Prometheus: "process metrics").

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Reads `/proc/self` at each scrape. What cannot be read is left out.
#[derive(Debug)]
pub struct Process;

/// A line of `/proc/self/stat`, as far as it is needed.
#[derive(Debug, PartialEq)]
struct Stat {
    /// Processor time, user's and system's, in ticks.
    ticks: u64,
    /// When the process started, in ticks after the machine did.
    started: u64,
    /// Address space, in bytes.
    virtual_bytes: u64,
    /// Memory, in pages.
    resident_pages: u64,
}

impl Stat {
    /// Reads proc(5)'s format: the second field, in parentheses, may hold anything.
    fn parse(text: &str) -> Option<Stat> {
        let fields: Vec<&str> = text.rsplit_once(") ")?.1.split_ascii_whitespace().collect();
        // The first field here is the third of the line.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Stat {
            ticks: field(14)? + field(15)?,
            started: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

/// When the machine started, in seconds since 1970.
fn boot_time(stat: &str) -> Option<u64> {
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

/// How many files the process may open.
fn descriptors_max(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// A setting of the system, at least 1.
fn setting(name: libc::c_int) -> u64 {
    // SAFETY: the function has no preconditions; it knows every number, or says that it does not.
    let value = unsafe { libc::sysconf(name) };
    u64::try_from(value).unwrap_or(1).max(1)
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let read = |path: &str| std::fs::read_to_string(path).ok();
        let ticks_per_second = setting(libc::_SC_CLK_TCK);
        if let Some(stat) = read("/proc/self/stat").as_deref().and_then(Stat::parse) {
            let seconds = ConstCounter::new(stat.ticks as f64 / ticks_per_second as f64);
            let help = "Total user and system CPU time spent in seconds";
            seconds.encode(encoder.encode_descriptor(
                "process_cpu_seconds",
                help,
                None,
                seconds.metric_type(),
            )?)?;
            let resident = stat.resident_pages * setting(libc::_SC_PAGESIZE);
            gauge(&mut encoder, "process_resident_memory_bytes", "Resident memory size in bytes", resident)?;
            let help = "Virtual memory size in bytes";
            gauge(&mut encoder, "process_virtual_memory_bytes", help, stat.virtual_bytes)?;
            if let Some(boot) = read("/proc/stat").as_deref().and_then(boot_time) {
                let help = "Start time of the process since unix epoch in seconds";
                let started = boot + stat.started / ticks_per_second;
                gauge(&mut encoder, "process_start_time_seconds", help, started)?;
            }
        }
        if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
            let help = "Number of open file descriptors";
            // The directory that is being read is one of them.
            gauge(&mut encoder, "process_open_fds", help, (open.count() as u64).saturating_sub(1))?;
        }
        if let Some(max) = read("/proc/self/limits").as_deref().and_then(descriptors_max) {
            gauge(&mut encoder, "process_max_fds", "Maximum number of open file descriptors", max)?;
        }
        Ok(())
    }
}

fn gauge(encoder: &mut DescriptorEncoder, name: &str, help: &str, value: u64) -> Result<(), fmt::Error> {
    let gauge = ConstGauge::new(value);
    gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_files_are_read() {
        let line = "7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 30 12 0 0 20 0 9 0 5000 4096000 250 18446744073709551615 1";
        let expected = Stat { ticks: 42, started: 5000, virtual_bytes: 4_096_000, resident_pages: 250 };
        assert_eq!(Stat::parse(line), Some(expected));
        assert_eq!(Stat::parse("7 (a) S 1"), None);
        assert_eq!(boot_time("cpu 1 2\nbtime 1700000000\nprocesses 3\n"), Some(1_700_000_000));
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024   4096   files\n";
        assert_eq!(descriptors_max(limits), Some(1024));
    }
}
