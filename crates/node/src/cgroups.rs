//! The cgroup of a pod: the limits that its containers share. The engine creates and removes the directories.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use cri::CgroupDriver;

use crate::pod::PodInfo;
use crate::spec::{cgroup_parent, pod_resources};

const MOUNT: &str = "/sys/fs/cgroup";

/// Sets the limits of a pod's cgroup, if it exists in the hierarchy.
pub(crate) fn limit_pod(pod: &PodInfo, root: &str, driver: CgroupDriver) -> io::Result<()> {
    let parent = cgroup_parent(pod, root, driver);
    let parent = parent.trim_start_matches('/');
    for (path, value) in settings(pod, parent, Path::new(MOUNT).join("cgroup.controllers").exists()) {
        // A missing controller limits nothing.
        if path.exists() {
            fs::write(&path, value)
                .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
        }
    }
    Ok(())
}

/// Files and their new content.
fn settings(pod: &PodInfo, parent: &str, unified: bool) -> Vec<(PathBuf, String)> {
    let resources = pod_resources(pod);
    let (quota, period) = (resources.cpu_quota, resources.cpu_period);
    let mut settings = Vec::new();
    let mut set = |controller: &str, file: &str, value: String| {
        let directory = if unified {
            Path::new(MOUNT).join(parent)
        } else {
            Path::new(MOUNT).join(controller).join(parent)
        };
        settings.push((directory.join(file), value));
    };
    if unified {
        set("cpu", "cpu.weight", weight(resources.cpu_shares).to_string());
        if quota > 0 {
            set("cpu", "cpu.max", format!("{quota} {period}"));
        }
        if resources.memory_limit_in_bytes > 0 {
            set("memory", "memory.max", resources.memory_limit_in_bytes.to_string());
        }
    } else {
        set("cpu", "cpu.shares", resources.cpu_shares.to_string());
        if quota > 0 {
            set("cpu", "cpu.cfs_period_us", period.to_string());
            set("cpu", "cpu.cfs_quota_us", quota.to_string());
        }
        if resources.memory_limit_in_bytes > 0 {
            set("memory", "memory.limit_in_bytes", resources.memory_limit_in_bytes.to_string());
        }
    }
    settings
}

/// cgroup v1's shares (2 to 262144) on v2's scale (1 to 10000), as OCI runtimes convert them.
fn weight(shares: i64) -> i64 {
    1 + (shares - 2) * 9999 / 262_142
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_become_weights() {
        assert_eq!([weight(2), weight(1024), weight(262_144)], [1, 39, 10_000]);
    }
}
