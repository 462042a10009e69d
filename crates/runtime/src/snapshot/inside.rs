//! Paths inside an untrusted root directory.
//!
//! Every lookup is `openat2` with `RESOLVE_IN_ROOT`: symbolic links, absolute ones and `..` included, are
//! followed as if the root were the process's own root, so none leads out of it.

use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;

pub(crate) use hostfs::{c_string, open, open_directory, open_root, read_file};

/// The parts of a path, cleaned of `.`, `..` and empty ones; `None` if it leads above its beginning.
pub(crate) fn clean(path: &[u8]) -> Option<Vec<&[u8]>> {
    let mut parts = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts)
}

/// Where a link in `directory` leads, from the root. Above that is nothing.
pub(crate) fn led_to(directory: &[u8], target: &[u8]) -> Vec<u8> {
    let start = if target.starts_with(b"/") { &b""[..] } else { directory };
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in start.split(|byte| *byte == b'/').chain(target.split(|byte| *byte == b'/')) {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join(&b'/')
}

/// A path for calls that have no `*at` form: through `/proc`, the last component is not followed by calls
/// that do not follow links.
pub(crate) fn descriptor_path(directory: impl AsFd, name: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    let mut path = PathBuf::from(format!("/proc/self/fd/{}", directory.as_fd().as_raw_fd()));
    path.push(std::ffi::OsStr::from_bytes(name));
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleans_paths() {
        let clean = |path: &str| clean(path.as_bytes()).map(|parts| parts.join(&b'/'));
        assert_eq!(clean("./a//b/../c/").unwrap(), b"a/c");
        assert_eq!(clean("/").unwrap(), b"");
        assert_eq!(clean("/a/../../b"), None);
        assert_eq!(clean(".."), None);
    }
}
