//! Where a container's mounts are put together: a filesystem that only the new mount namespace has.
//!
//! A mount that is attached nowhere misses what happens in its peer group: no kernel before 6.15 propagates to it, and
//! later ones only to some. A clone that is attached a moment later would lack for good what another pod has mounted in
//! between. So what shall propagate is bound here, in one step, and moved to its place from here.
//!
//! The namespace's mounts stay peers of the host's until the old root has been left, because copies of mounts that
//! have become slaves could not be shared both ways. This filesystem and what it is attached to are private, so
//! that nothing of it appears on the host; and it is left out of copies, of `/` for instance.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::mount::{MountAttrFlags, MoveMountFlags};

use super::{Result, filesystem, target};
use crate::shim::error::Context;
use crate::shim::protocol::Propagation;
use crate::shim::sys::{self, mount_attr};

/// A mount that is there in every mount namespace, and a directory in it that every kernel has and nobody mounts on.
const CARRIER: (&str, &str) = ("/proc", "/proc/driver");

/// The filesystem, in a mount namespace that has just been made.
pub(super) struct Workshop(OwnedFd);

impl Workshop {
    pub(super) fn new() -> Result<Workshop> {
        let (mount, place) = CARRIER;
        let fails = || format!("prepare {place}");
        sys::mount_setattr(open(Path::new(mount))?, false, 0, mount_attr::PROPAGATE_PRIVATE).step(fails)?;
        let workshop = filesystem("tmpfs", &["mode=700".to_owned()], MountAttrFlags::MOUNT_ATTR_NOSUID)?;
        let onto = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        rustix::mount::move_mount(&workshop, "", CWD, place, onto).step(fails)?;
        sys::mount_setattr(&workshop, false, 0, mount_attr::PROPAGATE_UNBINDABLE).step(fails)?;
        Ok(Workshop(workshop))
    }

    /// Attaches a mount that does not propagate.
    pub(super) fn attach(&self, mount: &OwnedFd, name: &str) -> Result<()> {
        let place = self.place(name, true)?;
        super::attach(mount, &place)
    }

    /// A copy of the mount at a path and of all below it, which has been and remains attached. The path was found to
    /// have no links: it must not have got any since.
    pub(super) fn bind(&self, path: &Path, name: &str, propagation: Propagation) -> Result<OwnedFd> {
        let fails = || format!("open {}", path.display());
        let source = open(path)?;
        let directory = target::is_directory(&source).step(fails)?;
        drop(self.place(name, directory)?);
        let place = format!("{}/{name}", CARRIER.1);
        rustix::mount::mount_bind_recursive(format!("/proc/self/fd/{}", source.as_raw_fd()), &place)
            .step(fails)?;
        let bound = open(Path::new(&place))?;
        if propagation == Propagation::HostToContainer {
            sys::mount_setattr(&bound, true, 0, mount_attr::PROPAGATE_SLAVE).step(fails)?;
        }
        Ok(bound)
    }

    /// Something to mount on.
    fn place(&self, name: &str, directory: bool) -> Result<OwnedFd> {
        let fails = || format!("make a place for {name}");
        let kind = if directory { FileType::Directory } else { FileType::RegularFile };
        match kind {
            FileType::Directory => rustix::fs::mkdirat(&self.0, name, Mode::RWXU),
            _ => rustix::fs::mknodat(&self.0, name, kind, Mode::RUSR, 0),
        }
        .step(fails)?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&self.0, name, flags, Mode::empty()).step(fails)
    }
}

/// What is at a path without links, for reference.
pub(super) fn open(path: &Path) -> Result<OwnedFd> {
    let plain = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), plain)
        .step(|| format!("open {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use nix::mount::{MsFlags, mount};
    use nix::sched::{CloneFlags, unshare};

    use super::*;

    fn tmpfs(path: &Path) {
        std::fs::create_dir_all(path).unwrap();
        mount(Some("none"), path, Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
    }

    /// The mount points below a directory, which a thread of its own namespace sees.
    fn below(directory: &Path) -> Vec<PathBuf> {
        let table = std::fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        let points = table.lines().map(|line| line.split(' ').nth(4).unwrap());
        points.filter_map(|point| Path::new(point).strip_prefix(directory).ok()).map(Path::to_owned).collect()
    }

    /// Runs in a mount namespace of its own, where `host` is a shared mount, and which ends with its thread.
    fn on_a_host(test: impl FnOnce(&Path) + Send) {
        let directory = tempfile::tempdir().unwrap();
        let host = directory.path().canonicalize().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                unshare(CloneFlags::CLONE_NEWNS).unwrap();
                let change = |path: &Path, flags| {
                    mount(None::<&str>, path, None::<&str>, flags, None::<&str>).unwrap();
                };
                change(Path::new("/"), MsFlags::MS_REC | MsFlags::MS_PRIVATE);
                tmpfs(&host);
                change(&host, MsFlags::MS_SHARED);
                test(&host);
            });
        });
    }

    fn moved(mount: &OwnedFd, to: &Path) {
        std::fs::create_dir_all(to).unwrap();
        super::super::attach(mount, &open(to).unwrap()).unwrap();
    }

    #[test]
    fn nothing_is_missed_on_the_way() {
        on_a_host(|host| {
            let volume = host.join("volume");
            tmpfs(&volume.join("before"));
            let workshop = Workshop::new().unwrap();
            let bound = workshop.bind(&volume, "0", Propagation::HostToContainer).unwrap();
            tmpfs(&volume.join("between"));
            let place = tempfile::tempdir().unwrap();
            let place = place.path().canonicalize().unwrap();
            moved(&bound, &place);
            tmpfs(&volume.join("after"));
            assert_eq!(below(&place), ["", "before", "between", "after"].map(PathBuf::from));
            tmpfs(&place.join("own"));
            assert_eq!(below(&volume), ["before", "between", "after"].map(PathBuf::from));
        });
    }

    #[test]
    fn both_ways() {
        on_a_host(|host| {
            let volume = host.join("volume");
            std::fs::create_dir(&volume).unwrap();
            let workshop = Workshop::new().unwrap();
            let bound = workshop.bind(&volume, "0", Propagation::Bidirectional).unwrap();
            tmpfs(&volume.join("between"));
            let place = tempfile::tempdir().unwrap();
            let place = place.path().canonicalize().unwrap();
            moved(&bound, &place);
            tmpfs(&place.join("own"));
            assert_eq!(below(&volume), ["between", "own"].map(PathBuf::from));
        });
    }

    #[test]
    fn the_workshop_is_not_part_of_the_host() {
        on_a_host(|host| {
            let workshop = Workshop::new().unwrap();
            let proc = workshop.bind(Path::new("/proc"), "0", Propagation::HostToContainer).unwrap();
            let place = host.join("proc");
            moved(&proc, &place);
            assert!(below(&place.join("driver")).is_empty());
            let volume = workshop.bind(host, "1", Propagation::HostToContainer).unwrap();
            drop(volume);
            assert!(below(&place.join("driver")).is_empty());
        });
    }

    #[test]
    fn a_file_can_be_bound() {
        on_a_host(|host| {
            let file = host.join("file");
            std::fs::write(&file, "content").unwrap();
            let workshop = Workshop::new().unwrap();
            let bound = workshop.bind(&file, "0", Propagation::HostToContainer).unwrap();
            assert!(!target::is_directory(&bound).unwrap());
            assert_eq!(rustix::fs::fstat(&bound).unwrap().st_size, 7);
        });
    }
}
