//! Measures the node.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::decide::{Observation, Observations};
use crate::pressure::Signal;

/// The directory of cgroup v1's memory controller, and of v2.
const CGROUP_V1_MEMORY: &str = "/sys/fs/cgroup/memory";

/// Measures the requested signals. `root` is on the node's disk, `images` on that of images. Blocks.
pub(super) fn measure(wanted: &BTreeSet<Signal>, root: &Path, images: Option<&Path>) -> Observations {
    let mut observations = Observations::new();
    let mut see = |signal: Signal, observation: Option<Observation>| {
        if let Some(observation) = observation.filter(|_| wanted.contains(&signal)) {
            observations.insert(signal, observation);
        }
    };
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let v1 = Path::new(CGROUP_V1_MEMORY);
    let of_root = fs::read_to_string(v1.join("memory.usage_in_bytes")).ok();
    let root_memory = of_root.map(|usage| (usage, read(&format!("{CGROUP_V1_MEMORY}/memory.stat"))));
    let root_memory = root_memory.as_ref().map(|(usage, stat)| (usage.as_str(), stat.as_str()));
    see(Signal::MemoryAvailable, memory(&read("/proc/meminfo"), root_memory));
    for (directory, bytes, inodes) in [
        (Some(root), Signal::NodeFsAvailable, Signal::NodeFsInodesFree),
        (images, Signal::ImageFsAvailable, Signal::ImageFsInodesFree),
    ] {
        let Some(space) = directory.and_then(space) else { continue };
        see(bytes, Some(space.bytes));
        see(inodes, space.inodes);
    }
    if wanted.contains(&Signal::PidAvailable) {
        let maximum = ["/proc/sys/kernel/pid_max", "/proc/sys/kernel/threads-max"].map(read);
        see(Signal::PidAvailable, processes(&maximum, &read("/proc/loadavg")));
    }
    observations
}

/// Available memory as upstream counts it: the total, minus memory in use that cannot be reclaimed at once. The root of
/// cgroup v1 reports the memory in use, that of v2 does not.
fn memory(meminfo: &str, root: Option<(&str, &str)>) -> Option<Observation> {
    let of = |name: &str| -> Option<i64> {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.split_whitespace().next()?.parse::<i64>().ok()? * 1024)
    };
    let capacity = of("MemTotal:")?;
    let (usage, inactive) = match root {
        Some((usage, stat)) => {
            let inactive = stat.lines().find_map(|line| line.strip_prefix("total_inactive_file "));
            (usage.trim().parse().ok()?, inactive.and_then(|bytes| bytes.trim().parse().ok()).unwrap_or(0))
        }
        None => (capacity - of("MemFree:")?, of("Inactive(file):").unwrap_or(0)),
    };
    let working_set = (usage - inactive).max(0);
    Some(Observation { available: (capacity - working_set).max(0), capacity })
}

/// The space of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Space {
    pub(super) bytes: Observation,
    /// Some file systems do not count inodes.
    pub(super) inodes: Option<Observation>,
}

/// The space of a directory's file system. Blocks.
pub(super) fn space(directory: &Path) -> Option<Space> {
    let stat = rustix::fs::statvfs(directory).ok()?;
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let bytes = |blocks: u64| number(blocks.saturating_mul(stat.f_frsize));
    let inodes = Observation { available: number(stat.f_favail), capacity: number(stat.f_files) };
    Some(Space {
        bytes: Observation { available: bytes(stat.f_bavail), capacity: bytes(stat.f_blocks) },
        inodes: (stat.f_files > 0).then_some(inodes),
    })
}

/// Whether two directories are on one file system. Blocks.
pub(super) fn same_device(one: &Path, other: &Path) -> bool {
    let device = |path: &Path| -> io::Result<u64> { Ok(fs::metadata(path)?.dev()) };
    matches!((device(one), device(other)), (Ok(one), Ok(other)) if one == other)
}

/// Process ids: `/proc/loadavg` counts tasks as its fourth word, `running/all`.
fn processes(maximum: &[String], loadavg: &str) -> Option<Observation> {
    let capacity = maximum.iter().filter_map(|text| text.trim().parse::<i64>().ok()).min()?;
    let (_, all) = loadavg.split_whitespace().nth(3)?.split_once('/')?;
    let all: i64 = all.parse().ok()?;
    Some(Observation { available: (capacity - all).max(0), capacity })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str =
        "MemTotal:  1000 kB\nMemFree:  300 kB\nMemAvailable: 1 kB\nInactive(file): 200 kB\n";

    #[test]
    fn memory_is_counted_by_either_cgroup_version() {
        let kib = |available: i64| Some(Observation { available: available * 1024, capacity: 1000 * 1024 });
        assert_eq!(memory(MEMINFO, None), kib(500));
        let usage = (600 * 1024).to_string();
        let stat = format!("inactive_file 1\ntotal_inactive_file {}\n", 100 * 1024);
        assert_eq!(memory(MEMINFO, Some((&usage, &stat))), kib(500));
        assert_eq!(memory(MEMINFO, Some((&usage, ""))), kib(400));
        let huge = (2000 * 1024).to_string();
        assert_eq!(memory(MEMINFO, Some((&huge, ""))), kib(0));
        assert_eq!(memory("", None), None);
    }

    #[test]
    fn processes_are_counted() {
        let maximum = ["4194304\n".to_owned(), "1000\n".to_owned()];
        let expected = Some(Observation { available: 900, capacity: 1000 });
        assert_eq!(processes(&maximum, "0.1 0.2 0.3 2/100 4711\n"), expected);
        assert_eq!(processes(&maximum, ""), None);
    }

    #[test]
    fn this_machine_can_be_measured() {
        let wanted = BTreeSet::from([
            Signal::MemoryAvailable,
            Signal::NodeFsAvailable,
            Signal::ImageFsAvailable,
            Signal::PidAvailable,
        ]);
        let root = Path::new("/tmp");
        let seen = measure(&wanted, root, Some(root));
        assert_eq!(seen.len(), 4, "{seen:?}");
        assert!(seen.values().all(|seen| seen.available > 0 && seen.available <= seen.capacity), "{seen:?}");
        assert!(same_device(root, root) && !same_device(root, Path::new("/proc")));
    }
}
