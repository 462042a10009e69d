//! `subPath`: a path inside a volume.
//!
//! A container may write to a volume, so any link in it may lead anywhere. The kernel therefore resolves the path below
//! an open directory and refuses links that leave it (`openat2` with `RESOLVE_IN_ROOT` would reinterpret them;
//! `RESOLVE_BENEATH` refuses them). The result is then bind-mounted onto a path that belongs to the node agent, which
//! no container can change, and containers mount that path.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, mkdirat, openat2};
use rustix::io::Errno;
use rustix::mount::mount_bind;

use crate::{VolumeError, mount};

/// The bits of the volume's mode that a new directory gets: permissions and set-group-ID.
const MODE_TAKEN: Mode = Mode::RWXU.union(Mode::RWXG).union(Mode::RWXO).union(Mode::SGID);

/// The directory below a pod's directory that the bound places are in.
const DIRECTORY: &str = "volume-subpaths";

/// Bind-mounts `sub_path` of a volume to a separate path, and returns that path. A missing directory is created with
/// the mode of the volume, so that it has the same permissions, unless the volume is read-only. Idempotent: an existing
/// bind mount is kept.
///
/// # Errors
/// [`VolumeError::Invalid`] where the path is absolute or climbs, [`VolumeError::Io`] where it leads out of the
/// volume or does not exist.
pub fn bind(
    pod_directory: &Path,
    volume: &str,
    volume_path: &Path,
    container: &str,
    index: usize,
    sub_path: &str,
) -> Result<PathBuf, VolumeError> {
    let parts = parts(sub_path)?;
    let target = pod_directory.join(DIRECTORY).join(volume).join(container).join(index.to_string());
    // A restarted container sees the current state of the path.
    release(&target)?;
    let found =
        open_beneath(volume_path, &parts).map_err(VolumeError::io("find the subPath in", volume_path))?;
    let is_dir = rustix::fs::fstat(&found)
        .map(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir())
        .map_err(|error| VolumeError::io("look at", &target)(error.into()))?;
    let parent = target.parent().unwrap_or(pod_directory);
    fs::create_dir_all(parent).map_err(VolumeError::io("make", parent))?;
    let made = if is_dir { fs::create_dir(&target) } else { fs::File::create(&target).map(drop) };
    made.map_err(VolumeError::io("make", &target))?;
    mount_bind(format!("/proc/self/fd/{}", found.as_raw_fd()), &target)
        .map_err(|error| VolumeError::io("bind the subPath to", &target)(error.into()))?;
    Ok(target)
}

/// Removes all bound places of a pod. Idempotent.
pub fn release_all(pod_directory: &Path) -> Result<(), VolumeError> {
    let directory = pod_directory.join(DIRECTORY);
    let mut pending = vec![directory.clone()];
    while let Some(path) = pending.pop() {
        let depth = path.strip_prefix(&directory).map_or(0, |rest| rest.components().count());
        if depth == 3 {
            release(&path)?;
            continue;
        }
        match fs::read_dir(&path) {
            Ok(entries) => pending.extend(entries.filter_map(|entry| Some(entry.ok()?.path()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(VolumeError::io("read", path)(error)),
        }
    }
    mount::remove_tree(&directory)
}

fn release(target: &Path) -> Result<(), VolumeError> {
    // A file's bind mount may be on the same device as its parent, so the kernel is asked.
    loop {
        match rustix::mount::unmount(
            target,
            rustix::mount::UnmountFlags::NOFOLLOW | rustix::mount::UnmountFlags::DETACH,
        ) {
            Ok(()) => {}
            Err(Errno::INVAL | Errno::NOENT) => break,
            Err(error) => return Err(VolumeError::io("unmount", target)(error.into())),
        }
    }
    mount::remove_tree(target)
}

fn parts(sub_path: &str) -> Result<Vec<&std::ffi::OsStr>, VolumeError> {
    let mut parts = Vec::new();
    for component in Path::new(sub_path).components() {
        match component {
            Component::Normal(part) => parts.push(part),
            Component::CurDir => {}
            _ => {
                return Err(VolumeError::Invalid(format!(
                    "subPath {sub_path:?} must be relative and must not contain '..'"
                )));
            }
        }
    }
    Ok(parts)
}

fn open_beneath(root: &Path, parts: &[&std::ffi::OsStr]) -> io::Result<OwnedFd> {
    let root = rustix::fs::open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mode = Mode::from_raw_mode(rustix::fs::fstat(&root)?.st_mode) & MODE_TAKEN;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let mut path = PathBuf::new();
    let mut last = openat2(&root, ".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)?;
    for part in parts {
        path.push(part);
        last = match openat2(&root, &path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::NOENT) => {
                make_directory(&last, part, mode)?;
                openat2(&root, &path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)?
            }
            other => other?,
        };
    }
    Ok(last)
}

/// Creates a directory with exactly this mode. The mode is set by descriptor: if the directory was replaced in the
/// meantime, the replacement is a directory in the volume, not a link.
fn make_directory(parent: &OwnedFd, name: &std::ffi::OsStr, mode: Mode) -> io::Result<()> {
    mkdirat(parent, name, mode)?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let made = openat2(parent, name, flags, Mode::empty(), resolve)?;
    Ok(rustix::fs::fchmod(made, mode)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn links_do_not_lead_out() {
        let dir = tempfile::tempdir().unwrap();
        let volume = dir.path().join("volume");
        fs::create_dir_all(volume.join("inside")).unwrap();
        symlink("inside", volume.join("good")).unwrap();
        symlink("/etc", volume.join("absolute")).unwrap();
        symlink("../..", volume.join("climbing")).unwrap();
        let open = |path: &str| open_beneath(&volume, &parts(path).unwrap());
        assert!(open("inside").is_ok() && open("good/new/deep").is_ok());
        assert!(volume.join("inside/new/deep").is_dir());
        assert!(open("absolute").is_err() && open("absolute/passwd").is_err() && open("climbing").is_err());
        assert!(parts("/etc").is_err() && parts("a/../b").is_err());
    }

    /// A pod that is not root could not write to its own subPath.
    #[test]
    fn new_directories_have_the_mode_of_the_volume() {
        let dir = tempfile::tempdir().unwrap();
        for mode in [0o777, 0o2775, 0o755] {
            let volume = dir.path().join(format!("{mode:o}"));
            fs::create_dir(&volume).unwrap();
            fs::set_permissions(&volume, fs::Permissions::from_mode(mode)).unwrap();
            open_beneath(&volume, &parts("new/deep").unwrap()).unwrap();
            for made in ["new", "new/deep"] {
                let found = fs::metadata(volume.join(made)).unwrap().permissions().mode();
                assert_eq!(found & 0o7777, mode, "{made} in a volume of mode {mode:o}");
            }
        }
    }
}
