//! The space of file systems.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The space of a file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Space {
    /// Bytes.
    pub(crate) bytes: Amounts,
    /// Some file systems do not count inodes.
    pub(crate) inodes: Option<Amounts>,
}

/// Amounts of a resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amounts {
    pub(crate) capacity: u64,
    /// Those that programs without privileges can still get.
    pub(crate) available: u64,
    pub(crate) used: u64,
}

/// The space of a directory's file system. Blocks.
pub(crate) fn space(directory: &Path) -> Option<Space> {
    let stat = rustix::fs::statvfs(directory).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    Some(Space {
        bytes: Amounts {
            capacity: bytes(stat.f_blocks),
            available: bytes(stat.f_bavail),
            used: bytes(stat.f_blocks.saturating_sub(stat.f_bfree)),
        },
        inodes: (stat.f_files > 0).then(|| Amounts {
            capacity: stat.f_files,
            available: stat.f_favail,
            used: stat.f_files.saturating_sub(stat.f_ffree),
        }),
    })
}

/// What is mounted where a directory is: a device, or the name of a file system without one. Blocks.
pub(crate) fn device(directory: &Path) -> Option<String> {
    let number = fs::metadata(directory).ok()?.dev();
    let number = format!("{}:{}", rustix::fs::major(number), rustix::fs::minor(number));
    source(&fs::read_to_string("/proc/self/mountinfo").ok()?, &number)
}

/// The source of the first mount of a device number, from proc(5)'s `mountinfo`: the number is the third field; after a
/// dash follow the file system's type and the source.
fn source(mountinfo: &str, number: &str) -> Option<String> {
    let line = mountinfo.lines().find(|line| line.split(' ').nth(2) == Some(number))?;
    let (_, rest) = line.split_once(" - ")?;
    rest.split(' ').nth(1).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_space_of_this_machine_adds_up() {
        let root = space(Path::new("/")).unwrap();
        for amounts in [Some(root.bytes), root.inodes].into_iter().flatten() {
            assert!(amounts.capacity > 0, "{root:?}");
            assert!(amounts.available + amounts.used <= amounts.capacity, "{root:?}");
        }
        assert_eq!(space(Path::new("/none/such")), None);
    }

    #[test]
    fn the_source_of_a_mount_is_found_by_its_number() {
        let mounts = "21 1 0:20 / /proc rw - proc proc rw\n22 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n";
        assert_eq!(source(mounts, "8:1").as_deref(), Some("/dev/sda1"));
        assert_eq!(source(mounts, "0:20").as_deref(), Some("proc"));
        assert_eq!(source(mounts, "8:2"), None);
    }
}
