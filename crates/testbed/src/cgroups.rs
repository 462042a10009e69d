//! The part of each cgroup hierarchy that a test host sees as its root.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::cannot;
use crate::{TestbedError, until};

/// How long the kernel may take to release a cgroup whose processes have ended.
const PATIENCE: Duration = Duration::from_secs(20);

/// A cgroup of the host's name in every hierarchy.
#[derive(Debug)]
pub(crate) struct HostCgroups {
    mounts: BTreeSet<PathBuf>,
    name: String,
}

impl HostCgroups {
    /// Those of a host, whether or not they exist.
    pub(crate) fn of(name: &str) -> Result<HostCgroups, TestbedError> {
        Ok(HostCgroups { mounts: mounts()?, name: name.to_owned() })
    }

    /// Makes the cgroups.
    pub(super) fn create(name: &str) -> Result<HostCgroups, TestbedError> {
        let cgroups = HostCgroups::of(name)?;
        for mount in &cgroups.mounts {
            delegate(mount);
            let directory = mount.join(name);
            fs::create_dir(&directory).map_err(cannot(format!("make the cgroup {}", directory.display())))?;
            // In v1 a new cpuset is empty, and no process can enter an empty one.
            for file in ["cpuset.cpus", "cpuset.mems"] {
                if let Ok(all) = fs::read(mount.join(file)) {
                    let _ = fs::write(directory.join(file), all);
                }
            }
        }
        Ok(cgroups)
    }

    /// Moves the processes that hold the host's namespaces out of the way: in v2 a cgroup with processes cannot
    /// give controllers to those below.
    pub(super) fn settle(&self, processes: &[u32]) -> Result<(), TestbedError> {
        let is_v2 = |directory: &PathBuf| directory.join("cgroup.controllers").exists();
        for directory in self.directories().into_iter().filter(is_v2) {
            let leaf = directory.join("holder");
            fs::create_dir(&leaf).map_err(cannot(format!("make the cgroup {}", leaf.display())))?;
            for process in processes {
                fs::write(leaf.join("cgroup.procs"), process.to_string())
                    .map_err(cannot("move the host's first process"))?;
            }
        }
        Ok(())
    }

    /// Where hierarchies are mounted.
    pub(super) fn mounts(&self) -> impl Iterator<Item = &PathBuf> {
        self.mounts.iter()
    }

    /// The host's cgroups.
    pub(super) fn directories(&self) -> Vec<PathBuf> {
        self.mounts.iter().map(|mount| mount.join(&self.name)).collect()
    }

    /// Removes the cgroups with all below, of which no process is left. The kernel gets its time once, not for each of a
    /// dozen hierarchies: what it keeps longer goes with the next host that is made.
    pub(crate) fn remove(&self) {
        let mut left = self.directories();
        let _ = until("the end of a host's cgroups", PATIENCE, || {
            left.retain(|directory| {
                remove_tree(directory);
                directory.exists()
            });
            if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
        });
    }
}

/// Lets cgroups below the root of a v2 hierarchy use the root's controllers; in v1 this is neither possible nor needed.
fn delegate(mount: &Path) {
    let Ok(controllers) = fs::read_to_string(mount.join("cgroup.controllers")) else { return };
    for controller in controllers.split_whitespace() {
        let _ = fs::write(mount.join("cgroup.subtree_control"), format!("+{controller}"));
    }
}

/// Where hierarchies are mounted.
pub(crate) fn mounts() -> Result<BTreeSet<PathBuf>, TestbedError> {
    let mounts = fs::read_to_string("/proc/mounts").map_err(cannot("read /proc/mounts"))?;
    let found = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (place, kind) = (fields.next()?, fields.next()?);
        matches!(kind, "cgroup" | "cgroup2").then(|| PathBuf::from(place))
    });
    Ok(found.filter(|place| place.starts_with("/sys/fs/cgroup")).collect())
}

/// Removes a cgroup and those below, as far as they have no processes.
pub(crate) fn remove_tree(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path());
        }
    }
    let _ = fs::remove_dir(directory);
}
