//! cgroup v2: one hierarchy for all controllers.

use std::fs;
use std::io;
use std::path::Path;

use super::super::protocol::Resources;
use super::{Usage, keyed, number, read, write};

/// The controllers that are handed down to containers.
const CONTROLLERS: [&str; 6] = ["cpu", "cpuset", "io", "memory", "pids", "hugetlb"];

/// Makes the cgroup, with the controllers handed down on the way to it.
pub(super) fn create(root: &Path, path: &Path) -> io::Result<()> {
    let mut directory = root.to_owned();
    for part in path {
        for controller in CONTROLLERS {
            // A controller that the kernel lacks or does not delegate fails later, if a limit needs it.
            let _ = write(&directory, "cgroup.subtree_control", &format!("+{controller}"));
        }
        directory.push(part);
        match fs::create_dir(&directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Sets the limits that are named.
pub(super) fn apply(directory: &Path, resources: &Resources) -> io::Result<()> {
    for (file, value) in settings(resources) {
        match write(directory, &file, &value) {
            // Kernels without swap accounting lack the file, and then there is no swap to limit.
            Err(error) if error.kind() == io::ErrorKind::NotFound && file == "memory.swap.max" => {}
            result => result?,
        }
    }
    Ok(())
}

/// The files to write and their contents.
fn settings(resources: &Resources) -> Vec<(String, String)> {
    let mut settings = Vec::new();
    let mut set = |file: &str, value: String| settings.push((file.to_owned(), value));
    if resources.cpu_shares > 0 {
        set("cpu.weight", cpu_weight(resources.cpu_shares).to_string());
    }
    if resources.cpu_quota != 0 {
        let period = if resources.cpu_period > 0 { resources.cpu_period } else { 100_000 };
        set("cpu.max", format!("{} {period}", max_or(resources.cpu_quota)));
    }
    if resources.memory_limit != 0 {
        set("memory.max", max_or(resources.memory_limit));
    }
    if resources.memory_swap_limit != 0 {
        // v1 limits the sum, v2 swap alone.
        let swap = match resources.memory_swap_limit {
            sum if sum < 0 => -1,
            sum => (sum - resources.memory_limit.max(0)).max(0),
        };
        set("memory.swap.max", max_or(swap));
    }
    if !resources.cpuset_cpus.is_empty() {
        set("cpuset.cpus", resources.cpuset_cpus.clone());
    }
    if !resources.cpuset_mems.is_empty() {
        set("cpuset.mems", resources.cpuset_mems.clone());
    }
    for (size, bytes) in &resources.hugepage_limits {
        set(&format!("hugetlb.{size}.max"), bytes.to_string());
    }
    for (file, value) in resources.unified.iter().filter(|(file, _)| !file.contains('/')) {
        set(file, value.clone());
    }
    settings
}

fn max_or(value: i64) -> String {
    if value < 0 { "max".to_owned() } else { value.to_string() }
}

/// Maps shares of v1 (2 to 262144) to weights of v2 (1 to 10000), as KEP-2254 defines it.
fn cpu_weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142
}

/// Reads the counters.
pub(super) fn usage(directory: &Path) -> io::Result<Usage> {
    let cpu = read(directory, "cpu.stat")?;
    let stat = read(directory, "memory.stat")?;
    Ok(Usage {
        cpu_nanos: keyed(&cpu, "usage_usec").unwrap_or(0) * 1000,
        memory: number(directory, "memory.current")?.unwrap_or(0),
        inactive_file: keyed(&stat, "inactive_file").unwrap_or(0),
        rss: keyed(&stat, "anon").unwrap_or(0),
        page_faults: keyed(&stat, "pgfault").unwrap_or(0),
        major_page_faults: keyed(&stat, "pgmajfault").unwrap_or(0),
        memory_limit: number(directory, "memory.max")?,
        swap: number(directory, "memory.swap.current").ok().flatten(),
        swap_limit: number(directory, "memory.swap.max").ok().flatten(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_become_files() {
        let resources = Resources {
            cpu_shares: 1024,
            cpu_quota: 50_000,
            memory_limit: 1 << 20,
            memory_swap_limit: 3 << 20,
            cpuset_cpus: "0-1".to_owned(),
            hugepage_limits: vec![("2MB".to_owned(), 4)],
            unified: vec![
                ("memory.oom.group".to_owned(), "1".to_owned()),
                ("../x".to_owned(), "1".to_owned()),
            ],
            ..Default::default()
        };
        let expected = [
            ("cpu.weight", "39"),
            ("cpu.max", "50000 100000"),
            ("memory.max", "1048576"),
            ("memory.swap.max", "2097152"),
            ("cpuset.cpus", "0-1"),
            ("hugetlb.2MB.max", "4"),
            ("memory.oom.group", "1"),
        ];
        assert_eq!(settings(&resources), expected.map(|(file, value)| (file.to_owned(), value.to_owned())));
        assert_eq!(settings(&Resources::default()), []);
    }

    #[test]
    fn weights_span_the_whole_range() {
        assert_eq!([2, 262_144, 0].map(cpu_weight), [1, 10_000, 1]);
    }
}
