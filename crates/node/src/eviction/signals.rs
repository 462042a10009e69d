//! Measures the node.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::decide::{Observation, Observations};
use crate::machine::{self, Amounts, Memory, Processes};
use crate::pressure::Signal;

/// Measures the requested signals. `root` is on the node's disk, `images` on that of images. Blocks.
pub(super) fn measure(wanted: &BTreeSet<Signal>, root: &Path, images: Option<&Path>) -> Observations {
    let mut observations = Observations::new();
    let mut see = |signal: Signal, observation: Option<Observation>| {
        if let Some(observation) = observation.filter(|_| wanted.contains(&signal)) {
            observations.insert(signal, observation);
        }
    };
    see(Signal::MemoryAvailable, Memory::read().map(memory));
    for (directory, bytes, inodes) in [
        (Some(root), Signal::NodeFsAvailable, Signal::NodeFsInodesFree),
        (images, Signal::ImageFsAvailable, Signal::ImageFsInodesFree),
    ] {
        let Some(space) = directory.and_then(space) else { continue };
        see(bytes, Some(space.bytes));
        see(inodes, space.inodes);
    }
    if wanted.contains(&Signal::PidAvailable) {
        see(Signal::PidAvailable, Processes::read().map(processes));
    }
    observations
}

fn observation(available: u64, capacity: u64) -> Observation {
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    Observation { available: number(available), capacity: number(capacity) }
}

/// Available memory as upstream counts it: the total, minus memory in use that cannot be reclaimed at once.
fn memory(memory: Memory) -> Observation {
    observation(memory.available(), memory.capacity)
}

/// The process ids that are left.
fn processes(processes: Processes) -> Observation {
    observation(processes.maximum.saturating_sub(processes.current), processes.maximum)
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
    let of = |amounts: Amounts| observation(amounts.available, amounts.capacity);
    let space = machine::space(directory)?;
    Some(Space { bytes: of(space.bytes), inodes: space.inodes.map(of) })
}

/// Whether two directories are on one file system. Blocks.
pub(super) fn same_device(one: &Path, other: &Path) -> bool {
    let device = |path: &Path| -> io::Result<u64> { Ok(fs::metadata(path)?.dev()) };
    matches!((device(one), device(other)), (Ok(one), Ok(other)) if one == other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_observed() {
        let seen = memory(Memory { capacity: 1000, usage: 600, working_set: 400 });
        assert_eq!(seen, Observation { available: 600, capacity: 1000 });
        let seen = memory(Memory { capacity: 1000, usage: 2000, working_set: 2000 });
        assert_eq!(seen, Observation { available: 0, capacity: 1000 });
        let seen = processes(Processes { maximum: 1000, current: 100 });
        assert_eq!(seen, Observation { available: 900, capacity: 1000 });
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
