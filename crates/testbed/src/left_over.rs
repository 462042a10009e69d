//! Remains of hosts whose test was killed. Their processes, mounts and interfaces ended with it.

use std::fs;
use std::path::Path;

use crate::cgroups;

/// How names of hosts and their files begin; the id of the process that made them follows, and a dash.
pub(crate) const PREFIX: &str = "ironhull-test-";

/// Removes the cgroups of hosts whose maker does not run any more, and their files in `directory`.
///
/// Making a host does so, too.
pub(crate) fn sweep(directory: &Path) {
    for mount in cgroups::mounts().into_iter().flatten() {
        for name in left_over(&mount) {
            cgroups::remove_tree(&mount.join(name));
        }
    }
    for name in left_over(directory) {
        let _ = fs::remove_dir_all(directory.join(name));
    }
}

/// Removes what hosts have left whose files are in `directory`, and the files. The caller knows that their maker has
/// ended; its last processes may still be about to.
pub fn remove(directory: &Path) {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    for name in names.filter(|name| name.starts_with(PREFIX)) {
        let id = name.split('.').next().unwrap_or(&name);
        if let Ok(cgroups) = cgroups::HostCgroups::of(id) {
            cgroups.remove();
        }
        let _ = fs::remove_dir_all(directory.join(name));
    }
}

/// The entries of hosts whose test does not run any more.
fn left_over(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let is_over = |name: &String| {
        let pid = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        pid.is_some_and(|pid| pid.parse::<u32>().is_ok() && !Path::new("/proc").join(pid).exists())
    };
    names.filter(is_over).collect()
}
