//! cgroup v1: one hierarchy per controller, or per group of controllers.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::super::protocol::{DeviceRule, Resources};
use super::{Usage, devices, keyed, number, read, write};

/// The controllers that every container is put under. `cpuset` and `hugetlb` are used only with limits for them, and
/// the others are not needed: joining a hierarchy costs a grace period in the kernel.
const CONTROLLERS: [&str; 5] = ["cpu", "cpuacct", "memory", "devices", "pids"];
const CPUSET: &str = "cpuset";
const HUGETLB: &str = "hugetlb";

/// A memory limit above this means no limit: the kernel rounds "unlimited" to pages.
const UNLIMITED_BYTES_MIN: u64 = 1 << 60;

/// The mount point of each controller's hierarchy.
pub(super) struct Mounts(BTreeMap<&'static str, PathBuf>);

impl Mounts {
    pub(super) fn parse(mountinfo: &str) -> Mounts {
        let mut mounts = BTreeMap::new();
        for line in mountinfo.lines() {
            let Some((left, right)) = line.split_once(" - ") else { continue };
            let mut right = right.split(' ');
            if right.next() != Some("cgroup") {
                continue;
            }
            let options = right.nth(1).unwrap_or_default();
            let Some(mount_point) = left.split(' ').nth(4) else { continue };
            for controller in CONTROLLERS.into_iter().chain([CPUSET, HUGETLB]) {
                if options.split(',').any(|option| option == controller) {
                    mounts.entry(controller).or_insert_with(|| PathBuf::from(mount_point));
                }
            }
        }
        Mounts(mounts)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn directory(&self, controller: &str, path: &Path) -> io::Result<PathBuf> {
        self.0.get(controller).map(|mount| mount.join(path)).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::Unsupported,
                format!("cgroup controller {controller} is not mounted"),
            )
        })
    }

    pub(super) fn directories(&self, path: &Path) -> Vec<PathBuf> {
        let mut directories: Vec<_> = self.0.values().map(|mount| mount.join(path)).collect();
        directories.dedup();
        directories
    }

    pub(super) fn views(&self) -> Vec<(String, String)> {
        let mut by_mount: BTreeMap<&Path, Vec<&str>> = BTreeMap::new();
        for (controller, mount) in self.0.iter().filter(|(controller, _)| CONTROLLERS.contains(controller)) {
            by_mount.entry(mount).or_default().push(controller);
        }
        by_mount
            .into_iter()
            .filter_map(|(mount, controllers)| {
                Some((mount.file_name()?.to_str()?.to_owned(), controllers.join(",")))
            })
            .collect()
    }

    pub(super) fn create(&self, path: &Path) -> io::Result<()> {
        for controller in CONTROLLERS {
            if let Ok(directory) = self.directory(controller, path) {
                fs::create_dir_all(directory)?;
            }
        }
        Ok(())
    }

    pub(super) fn apply(&self, path: &Path, resources: &Resources) -> io::Result<()> {
        if resources.cpu_shares > 0 {
            write(&self.directory("cpu", path)?, "cpu.shares", &resources.cpu_shares.to_string())?;
        }
        if resources.cpu_quota != 0 {
            let directory = self.directory("cpu", path)?;
            let period = if resources.cpu_period > 0 { resources.cpu_period } else { 100_000 };
            // A quota that does not fit the old period would be refused: lift it first.
            write(&directory, "cpu.cfs_quota_us", "-1")?;
            write(&directory, "cpu.cfs_period_us", &period.to_string())?;
            write(&directory, "cpu.cfs_quota_us", &resources.cpu_quota.to_string())?;
        }
        self.apply_memory(path, resources)?;
        if !resources.cpuset_cpus.is_empty() || !resources.cpuset_mems.is_empty() {
            self.apply_cpuset(path, resources)?;
        }
        for (size, bytes) in &resources.hugepage_limits {
            let Ok(directory) = self.directory(HUGETLB, path) else { continue };
            self.enter_late(HUGETLB, path)?;
            write(&directory, &format!("hugetlb.{size}.limit_in_bytes"), &bytes.to_string())?;
        }
        Ok(())
    }

    fn apply_memory(&self, path: &Path, resources: &Resources) -> io::Result<()> {
        if resources.memory_limit == 0 {
            return Ok(());
        }
        let directory = self.directory("memory", path)?;
        let limit = resources.memory_limit.to_string();
        let accounts_swap = directory.join("memory.memsw.limit_in_bytes").exists();
        if resources.memory_swap_limit == 0 || !accounts_swap {
            return write(&directory, "memory.limit_in_bytes", &limit);
        }
        // The sum may never be below memory alone, so that the order depends on the direction.
        let swap = resources.memory_swap_limit.to_string();
        let current = number(&directory, "memory.memsw.limit_in_bytes")?.unwrap_or(u64::MAX);
        let grows = resources.memory_swap_limit < 0 || resources.memory_swap_limit as u64 > current;
        let memory = ("memory.limit_in_bytes", &limit);
        let sum = ("memory.memsw.limit_in_bytes", &swap);
        let order = if grows { [sum, memory] } else { [memory, sum] };
        order.into_iter().try_for_each(|(file, value)| write(&directory, file, value))
    }

    fn apply_cpuset(&self, path: &Path, resources: &Resources) -> io::Result<()> {
        let root = self.directory(CPUSET, Path::new(""))?;
        // A cpuset without CPUs or memory nodes accepts no process: each new level inherits its parent's.
        let mut directory = root;
        for part in path {
            let parent = directory.clone();
            directory.push(part);
            fs::create_dir_all(&directory)?;
            for file in ["cpuset.cpus", "cpuset.mems"] {
                if read(&directory, file)?.trim().is_empty() {
                    write(&directory, file, read(&parent, file)?.trim())?;
                }
            }
        }
        let values = [("cpuset.cpus", &resources.cpuset_cpus), ("cpuset.mems", &resources.cpuset_mems)];
        for (file, value) in values.into_iter().filter(|(_, value)| !value.is_empty()) {
            write(&directory, file, value)?;
        }
        self.enter_late(CPUSET, path)
    }

    /// Moves the container's processes into a hierarchy that they were not put under at the start.
    fn enter_late(&self, controller: &str, path: &Path) -> io::Result<()> {
        let directory = self.directory(controller, path)?;
        fs::create_dir_all(&directory)?;
        for pid in read(&self.directory("memory", path)?, "cgroup.procs")?.lines() {
            match write(&directory, "cgroup.procs", pid) {
                // It has exited in the meantime.
                Err(error) if error.raw_os_error() == Some(nix::libc::ESRCH) => {}
                result => result?,
            }
        }
        Ok(())
    }

    pub(super) fn allow_devices(&self, path: &Path, rules: &[DeviceRule]) -> io::Result<()> {
        let Ok(directory) = self.directory("devices", path) else { return Ok(()) };
        write(&directory, "devices.deny", "a")?;
        rules.iter().try_for_each(|rule| write(&directory, "devices.allow", &devices::v1_line(rule)))
    }

    pub(super) fn oom_control(&self, path: &Path) -> io::Result<String> {
        read(&self.directory("memory", path)?, "memory.oom_control")
    }

    pub(super) fn usage(&self, path: &Path) -> io::Result<Usage> {
        let memory = self.directory("memory", path)?;
        let stat = read(&memory, "memory.stat")?;
        let bounded = |limit: Option<u64>| limit.filter(|bytes| *bytes < UNLIMITED_BYTES_MIN);
        let swap = keyed(&stat, "total_swap");
        Ok(Usage {
            cpu_nanos: number(&self.directory("cpuacct", path)?, "cpuacct.usage")?.unwrap_or(0),
            memory: number(&memory, "memory.usage_in_bytes")?.unwrap_or(0),
            inactive_file: keyed(&stat, "total_inactive_file").unwrap_or(0),
            rss: keyed(&stat, "total_rss").unwrap_or(0),
            page_faults: keyed(&stat, "total_pgfault").unwrap_or(0),
            major_page_faults: keyed(&stat, "total_pgmajfault").unwrap_or(0),
            memory_limit: bounded(number(&memory, "memory.limit_in_bytes")?),
            swap,
            swap_limit: None,
        })
    }
}
