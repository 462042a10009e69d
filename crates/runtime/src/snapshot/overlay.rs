//! Overlay mounts.
//!
//! A mount is created detached, with the new mount API, and attached to a path only if the path is needed. Lower
//! directories are passed one by one (`lowerdir+`, Linux 6.8); older kernels get the single option string of
//! `mount(2)`, with short paths through `/proc/self/fd`.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags,
};

/// The kernel refuses longer strings in `fsconfig`.
const FSCONFIG_STRING_BYTES_MAX: usize = 255;
/// `mount(2)` takes one page of options.
const MOUNT_DATA_BYTES_MAX: usize = 4095;

/// Why an overlay could not be mounted.
#[derive(Debug, thiserror::Error)]
#[error("cannot mount an overlay file system on {directory}{kernel_log}: {cure}")]
pub struct OverlayError {
    /// The directory that it was to be on.
    pub directory: PathBuf,
    /// The kernel's error.
    pub source: io::Error,
    /// The kernel's log messages about it, after a space and in parentheses; may be empty.
    pub kernel_log: String,
    /// Advice for an administrator.
    pub cure: &'static str,
}

impl OverlayError {
    fn new(directory: &Path, errno: Errno, kernel_log: String) -> OverlayError {
        let cure = match errno {
            Errno::NODEV => "the kernel has no overlayfs: load it (`modprobe overlay`)",
            Errno::PERM | Errno::ACCESS => "run as root with CAP_SYS_ADMIN",
            Errno::NOSPC => "free some space, or raise fs.mount-max if the disk has space",
            _ => {
                "keep the data directory on a file system that overlayfs can write to: ext4, btrfs, or \
                  xfs with ftype=1; not NFS and not another overlay"
            }
        };
        OverlayError { directory: directory.to_owned(), source: errno.into(), kernel_log, cure }
    }
}

/// An overlay to mount.
pub(super) struct Overlay<'a> {
    /// The lower directories, the topmost first; at least one, and two without `upper`.
    pub(super) lower: &'a [PathBuf],
    /// The directory for changes, with a work directory.
    pub(super) upper: Option<(&'a Path, &'a Path)>,
    /// A directory that may be mounted on for a moment, for kernels without `lowerdir+`.
    pub(super) scratch: &'a Path,
}

impl Overlay<'_> {
    /// Mounts it detached; it disappears with the descriptor unless it was attached.
    pub(super) fn mount_detached(&self) -> Result<OwnedFd, OverlayError> {
        match self.mount_by_fsconfig() {
            Err(Failure { unknown_option: true, .. }) => self.mount_by_options(),
            result => result,
        }
        .map_err(|failure| OverlayError::new(self.directory(), failure.errno, failure.kernel_log))
    }

    fn directory(&self) -> &Path {
        self.upper.map_or(self.scratch, |(upper, _)| upper)
    }

    fn mount_by_fsconfig(&self) -> Result<OwnedFd, Failure> {
        let context = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
        let fail = |errno: Errno| Failure { errno, kernel_log: kernel_log(&context), unknown_option: false };
        let set = |key: &str, value: &str| rustix::mount::fsconfig_set_string(&context, key, value);
        // Descriptors of directories with long paths stay open until the mount exists.
        let mut open = Vec::new();
        set("source", "overlay").map_err(fail)?;
        for lower in self.lower {
            let value = short_path(lower, &mut open)?;
            set("lowerdir+", &value)
                .map_err(|errno| Failure { unknown_option: errno == Errno::INVAL, ..fail(errno) })?;
        }
        if let Some((upper, work)) = self.upper {
            set("upperdir", &short_path(upper, &mut open)?).map_err(fail)?;
            set("workdir", &short_path(work, &mut open)?).map_err(fail)?;
            for key in WRITABLE_OPTIONS {
                match key.split_once('=') {
                    Some((key, value)) => set(key, value),
                    None => rustix::mount::fsconfig_set_flag(&context, key),
                }
                .map_err(fail)?;
            }
        }
        rustix::mount::fsconfig_create(&context).map_err(fail)?;
        let attributes = match self.upper {
            Some(_) => MountAttrFlags::empty(),
            None => MountAttrFlags::MOUNT_ATTR_RDONLY,
        };
        rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes).map_err(fail)
    }

    fn mount_by_options(&self) -> Result<OwnedFd, Failure> {
        let mut open = Vec::new();
        let mut lower = Vec::with_capacity(self.lower.len());
        for directory in self.lower {
            lower.push(descriptor_path(directory, &mut open)?);
        }
        let mut options = format!("lowerdir={}", lower.join(":"));
        let mut flags = MountFlags::empty();
        match self.upper {
            Some((upper, work)) => {
                let upper = descriptor_path(upper, &mut open)?;
                let work = descriptor_path(work, &mut open)?;
                options.push_str(&format!(",upperdir={upper},workdir={work}"));
                for option in WRITABLE_OPTIONS {
                    options.push(',');
                    options.push_str(option);
                }
            }
            None => flags |= MountFlags::RDONLY,
        }
        if options.len() > MOUNT_DATA_BYTES_MAX {
            return Err(Errno::TOOBIG.into());
        }
        let options = std::ffi::CString::new(options).map_err(|_| Errno::INVAL)?;
        rustix::mount::mount("overlay", self.scratch, "overlay", flags, options.as_c_str())?;
        let tree = rustix::mount::open_tree(
            CWD,
            self.scratch,
            OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC,
        );
        rustix::mount::unmount(self.scratch, UnmountFlags::DETACH)?;
        Ok(tree?)
    }
}

/// Options of every writable overlay. `volatile`: the data are discarded after a crash of the machine (a half-unpacked
/// layer, the writable layer of a container that no longer runs), so there is no need to sync them. The other options
/// keep each upper directory independent of the lower ones that it was written over, which the next layer's mounts rely
/// on.
const WRITABLE_OPTIONS: [&str; 4] = ["volatile", "index=off", "redirect_dir=off", "metacopy=off"];

struct Failure {
    errno: Errno,
    kernel_log: String,
    unknown_option: bool,
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Failure {
        Failure { errno, kernel_log: String::new(), unknown_option: false }
    }
}

/// Attaches a detached mount to a directory.
pub(super) fn attach(mount: &OwnedFd, target: &Path) -> io::Result<()> {
    rustix::mount::move_mount(mount, "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    Ok(())
}

/// Whether a mount is attached to this directory.
pub(super) fn is_mount_point(path: &Path) -> io::Result<bool> {
    /// `STATX_ATTR_MOUNT_ROOT` of `linux/stat.h`, Linux 5.8.
    const ATTR_MOUNT_ROOT: u64 = 0x2000;
    match rustix::fs::statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::TYPE) {
        Ok(stat) => Ok(stat.stx_attributes.bits() & ATTR_MOUNT_ROOT != 0),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Detaches every mount from this directory.
pub(super) fn detach(path: &Path) -> io::Result<()> {
    while is_mount_point(path)? {
        rustix::mount::unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)?;
    }
    Ok(())
}

fn short_path(path: &Path, open: &mut Vec<OwnedFd>) -> Result<String, Errno> {
    match path.to_str() {
        Some(text) if text.len() <= FSCONFIG_STRING_BYTES_MAX => Ok(text.to_owned()),
        _ => descriptor_path(path, open),
    }
}

fn descriptor_path(path: &Path, open: &mut Vec<OwnedFd>) -> Result<String, Errno> {
    let directory =
        rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let text = format!("/proc/self/fd/{}", directory.as_raw_fd());
    open.push(directory);
    Ok(text)
}

/// The kernel's messages about a failed configuration.
fn kernel_log(context: &OwnedFd) -> String {
    let mut messages = Vec::new();
    let mut buffer = [0; 1024];
    while let Ok(count) = rustix::io::read(context, &mut buffer) {
        // Each message begins with its level: `e `, `w ` or `i `.
        let text = String::from_utf8_lossy(&buffer[..count]);
        messages.push(text.trim().get(2..).unwrap_or_default().to_owned());
    }
    if messages.is_empty() { String::new() } else { format!(" ({})", messages.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// Both ways of mounting result in the same view.
    #[test]
    fn merges_layers_by_either_api() {
        let directory = tempfile::tempdir().unwrap();
        let deep = directory.path().join("long".repeat(50)).join("path".repeat(20));
        let lower: Vec<PathBuf> = (0..60).map(|number| deep.join(format!("{number}"))).collect();
        for (number, path) in lower.iter().enumerate() {
            fs::create_dir_all(path).unwrap();
            fs::write(path.join("top"), number.to_string()).unwrap();
            fs::write(path.join(format!("own-{number}")), "").unwrap();
        }
        type Mount = fn(&Overlay<'_>) -> Result<OwnedFd, Failure>;
        let ways: [(&str, Mount); 2] =
            [("new", |o| o.mount_by_fsconfig()), ("old", |o| o.mount_by_options())];
        for (name, mount) in ways {
            let base = deep.join(name);
            let [upper, work, scratch] = ["upper", "work", "scratch"].map(|part| base.join(part));
            for path in [&upper, &work, &scratch] {
                fs::create_dir_all(path).unwrap();
            }
            let overlay = Overlay { lower: &lower, upper: Some((&upper, &work)), scratch: &scratch };
            let mounted = mount(&overlay).map_err(|failure| failure.errno).unwrap();
            let root = PathBuf::from(format!("/proc/self/fd/{}", mounted.as_raw_fd()));
            assert_eq!(fs::read_to_string(root.join("top")).unwrap(), "0", "{name}");
            assert_eq!(fs::read_dir(&root).unwrap().count(), 61, "{name}");
            fs::write(root.join("new"), "x").unwrap();
            assert!(upper.join("new").exists(), "{name}");
            assert!(!is_mount_point(&scratch).unwrap(), "{name}");
        }
    }

    #[test]
    fn an_error_names_its_cure() {
        let directory = tempfile::tempdir().unwrap();
        let missing = [directory.path().join("missing")];
        let overlay = Overlay { lower: &missing, upper: None, scratch: directory.path() }.mount_detached();
        let text = overlay.unwrap_err().to_string();
        assert!(text.contains("cannot mount an overlay file system on"), "{text}");
        let text = OverlayError::new(Path::new("/x"), Errno::NODEV, String::new()).to_string();
        assert!(text.contains("modprobe overlay"), "{text}");
    }
}
