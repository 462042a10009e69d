//! The kernel's table of mounts, and notifications of its changes.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

const TABLE: &str = "/proc/self/mountinfo";

/// The table of this process's mounts.
pub(crate) struct MountTable(AsyncFd<File>);

impl MountTable {
    /// Opens the table. Must be called inside a tokio runtime.
    pub(crate) fn open() -> io::Result<MountTable> {
        let table = File::open(TABLE)?;
        // SAFETY: the `File` owns its descriptor, which stays open and the same while the `AsyncFd` holds it.
        Ok(MountTable(unsafe { AsyncFd::register_with_interest(table, Interest::PRIORITY)? }))
    }

    /// Waits until the table has changed since the last call.
    pub(crate) async fn changed(&self) -> io::Result<()> {
        self.0.ready(Interest::PRIORITY).await?.clear_ready();
        Ok(())
    }
}

/// Where something is mounted now. Blocks.
pub(crate) fn mount_points() -> io::Result<BTreeSet<PathBuf>> {
    Ok(parse(&std::fs::read(TABLE)?))
}

fn parse(table: &[u8]) -> BTreeSet<PathBuf> {
    let lines = table.split(|byte| *byte == b'\n');
    lines.filter_map(|line| line.split(|byte| *byte == b' ').nth(4).map(unescape)).collect()
}

/// Spaces and similar characters are written as a backslash and three octal digits.
fn unescape(field: &[u8]) -> PathBuf {
    let mut path = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let digits = after
            .get(..3)
            .filter(|digits| *first == b'\\' && digits.iter().all(|digit| (b'0'..b'8').contains(digit)));
        match digits {
            Some(digits) => {
                let value = digits.iter().fold(0_u32, |value, digit| value * 8 + u32::from(digit - b'0'));
                path.push(u8::try_from(value).unwrap_or(b'?'));
                rest = &after[3..];
            }
            None => {
                path.push(*first);
                rest = after;
            }
        }
    }
    OsString::from_vec(path).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_read() {
        let table = b"22 1 0:21 / /proc rw - proc proc rw\n30 22 0:30 /a /with\\040space\\134 rw - tmpfs tmpfs rw\n\n";
        let expected = ["/proc", "/with space\\"].map(PathBuf::from);
        assert_eq!(parse(table), BTreeSet::from(expected));
        assert!(mount_points().unwrap().contains(std::path::Path::new("/proc")));
    }
}
