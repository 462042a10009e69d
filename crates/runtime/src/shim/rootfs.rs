//! A container's root filesystem: its mounts, devices and what of it is hidden.
//!
//! Everything is done with descriptors of the new mount API. A destination is resolved by the kernel inside
//! the container's root (`RESOLVE_IN_ROOT`), so that no link in an image leads out of it, and a new
//! filesystem is put on a path without any link. Sources are cloned before the mount namespace is left, while
//! they still belong to the host's peer groups: that is what makes two-way propagation possible.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::sched::{CloneFlags, unshare};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags,
    UnmountFlags,
};

use super::cgroup;
use super::error::{Context, StartError};
use super::protocol::{Device, Launch, Mount, MountSource, Propagation};
use super::sys::{self, mount_attr};

type Result<T> = std::result::Result<T, StartError>;

/// The device nodes that every container has: path, major and minor number.
const DEVICES: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

/// How many parts of a destination are made, or links followed, before it is refused.
const TARGET_ROUNDS_MAX: usize = 256;

/// The links that every container has in `/dev`.
const LINKS: [(&str, &str); 6] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
    ("core", "/proc/kcore"),
];

/// Moves the process into a new mount namespace whose root is the container's.
pub(super) fn enter(launch: &Launch) -> Result<()> {
    let root = clone_tree(&launch.rootfs, false)?;
    sys::mount_setattr(&root, false, 0, mount_attr::PROPAGATE_PRIVATE)
        .step(|| "detach the root filesystem".into())?;
    let sources = launch.mounts.iter().map(bind_source).collect::<Result<Vec<_>>>()?;

    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWCGROUP)
        .step(|| "create a mount namespace".into())?;
    let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", slave).step(|| "detach the mount namespace".into())?;
    let onto = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    rustix::mount::move_mount(&root, "", CWD, &launch.rootfs, onto)
        .step(|| format!("mount the root filesystem {}", launch.rootfs.display()))?;

    for (mount, source) in launch.mounts.iter().zip(sources) {
        place(root.as_fd(), mount, source).map_err(|error| in_mount(mount, error))?;
    }
    let cwd = if launch.process.cwd.is_empty() { "/" } else { &launch.process.cwd };
    make_target(root.as_fd(), cwd, true, ResolveFlags::IN_ROOT)?;
    if has_own_dev(launch) {
        populate_dev(root.as_fd(), &launch.devices)?;
    }
    pivot(root.as_fd())
}

/// Makes the root read-only and hides what shall be hidden; called once the process needs to make nothing more.
pub(super) fn restrict(launch: &Launch) -> Result<()> {
    if launch.readonly_rootfs {
        let root = open_path("/").step(|| "open /".into())?;
        sys::mount_setattr(&root, false, mount_attr::RDONLY, 0).step(|| "make / read-only".into())?;
    }
    for path in &launch.readonly_paths {
        make_readonly(path).step(|| format!("make {path} read-only"))?;
    }
    for path in &launch.masked_paths {
        mask(path).step(|| format!("mask {path}"))?;
    }
    Ok(())
}

/// Whether `/dev` is a filesystem of the container's own. One of the host is used as it is.
fn has_own_dev(launch: &Launch) -> bool {
    let on_dev = |mount: &&Mount| mount.destination == "/dev";
    let own = |mount: &Mount| matches!(mount.source, MountSource::Filesystem { .. });
    launch.mounts.iter().rev().find(on_dev).is_some_and(own)
}

fn in_mount(mount: &Mount, error: StartError) -> StartError {
    let what = match &mount.source {
        MountSource::Bind(path) => path.display().to_string(),
        MountSource::Filesystem { kind, .. } => kind.clone(),
        MountSource::Cgroup => "cgroup".to_owned(),
    };
    StartError::Invalid(format!("mount {what} to {}: {error}", mount.destination))
}

fn clone_tree(path: &Path, recursive: bool) -> Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    flags.set(OpenTreeFlags::AT_RECURSIVE, recursive);
    rustix::mount::open_tree(CWD, path, flags).step(|| format!("open {}", path.display()))
}

fn bind_source(mount: &Mount) -> Result<Option<OwnedFd>> {
    let MountSource::Bind(path) = &mount.source else { return Ok(None) };
    let source = clone_tree(path, true)?;
    let propagation = match mount.propagation {
        Propagation::Private => mount_attr::PROPAGATE_PRIVATE,
        Propagation::HostToContainer => mount_attr::PROPAGATE_SLAVE,
        Propagation::Bidirectional => 0,
    };
    let fails = || format!("prepare {}", path.display());
    if propagation != 0 {
        sys::mount_setattr(&source, true, 0, propagation).step(fails)?;
    }
    let mut attributes = if mount.readonly { mount_attr::RDONLY } else { 0 };
    if mount.restricted {
        attributes |= mount_attr::NOSUID | mount_attr::NODEV | mount_attr::NOEXEC;
    }
    if attributes != 0 {
        sys::mount_setattr(&source, mount.recursive_readonly, attributes, 0).step(fails)?;
    }
    Ok(Some(source))
}

fn place(root: BorrowedFd<'_>, mount: &Mount, source: Option<OwnedFd>) -> Result<()> {
    if let Some(source) = source {
        let directory = is_directory(&source).step(|| "look at the source".into())?;
        let target = make_target(root, &mount.destination, directory, ResolveFlags::IN_ROOT)?;
        return attach(&source, &target);
    }
    let plain = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
    let target = make_target(root, &mount.destination, true, plain)?;
    match &mount.source {
        MountSource::Filesystem { kind, options } => {
            attach(&filesystem(kind, options, attributes(mount))?, &target)
        }
        _ => place_cgroups(root, mount, &target),
    }
}

fn attributes(mount: &Mount) -> MountAttrFlags {
    let mut flags = MountAttrFlags::MOUNT_ATTR_NOSUID;
    flags.set(MountAttrFlags::MOUNT_ATTR_RDONLY, mount.readonly);
    flags.set(MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOEXEC, mount.restricted);
    flags
}

fn filesystem(kind: &str, options: &[String], attributes: MountAttrFlags) -> Result<OwnedFd> {
    let make = || {
        let context = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
        rustix::mount::fsconfig_set_string(context.as_fd(), "source", kind)?;
        for option in options {
            match option.split_once('=') {
                Some((key, value)) => rustix::mount::fsconfig_set_string(context.as_fd(), key, value)?,
                None => rustix::mount::fsconfig_set_flag(context.as_fd(), option.as_str())?,
            }
        }
        rustix::mount::fsconfig_create(context.as_fd())?;
        rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
    };
    make().step(|| format!("create a {kind} filesystem"))
}

fn attach(mount: &OwnedFd, target: &OwnedFd) -> Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(mount, "", target, "", flags).step(|| "attach the mount".into())
}

/// Mounts the view of the cgroup hierarchies that the container's cgroup namespace gives.
fn place_cgroups(root: BorrowedFd<'_>, mount: &Mount, target: &OwnedFd) -> Result<()> {
    let views = cgroup::views().step(|| "find the cgroup hierarchies".into())?;
    if let [(name, _)] = &views[..]
        && name.is_empty()
    {
        return attach(&filesystem("cgroup2", &[], attributes(mount))?, target);
    }
    let writable = attributes(mount) - MountAttrFlags::MOUNT_ATTR_RDONLY;
    let base = filesystem("tmpfs", &["mode=755".to_owned(), "size=64k".to_owned()], writable)?;
    attach(&base, target)?;
    for (name, controllers) in &views {
        let path = format!("{}/{name}", mount.destination);
        let target = make_target(root, &path, true, ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS)?;
        let options: Vec<_> = controllers.split(',').map(str::to_owned).collect();
        attach(&filesystem("cgroup", &options, attributes(mount))?, &target)?;
        for controller in controllers.split(',').filter(|controller| controller != name) {
            rustix::fs::symlinkat(name.as_str(), &base, controller).step(|| format!("link {controller}"))?;
        }
    }
    if mount.readonly {
        sys::mount_setattr(&base, false, mount_attr::RDONLY, 0).step(|| "make it read-only".into())?;
    }
    Ok(())
}

/// Opens the path inside the root, making what is missing of it.
fn make_target(root: BorrowedFd<'_>, path: &str, directory: bool, resolve: ResolveFlags) -> Result<OwnedFd> {
    let mut parts = split(path);
    if parts.iter().any(|part| part == "..") {
        return Err(StartError::Invalid(format!("the path {path} leaves its directory")));
    }
    let open = |path: &str| {
        let path = if path.is_empty() { "." } else { path };
        rustix::fs::openat2(root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)
    };
    // Each round makes one missing part, or replaces a link that leads to nothing by where it leads.
    for _ in 0..TARGET_ROUNDS_MAX {
        match open(&parts.join("/")) {
            Err(Errno::NOENT) => {}
            result => return result.step(|| format!("open {path} in the container")),
        }
        let fails = || format!("make {path} in the container");
        let mut parent = open("").step(fails)?;
        let mut index = 0;
        while let Ok(next) = open(&parts[..=index].join("/")) {
            parent = next;
            index += 1;
        }
        let part = parts[index].as_str();
        let made = if directory || index + 1 < parts.len() {
            rustix::fs::mkdirat(&parent, part, Mode::from_raw_mode(0o755))
        } else {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            rustix::fs::openat(&parent, part, flags, Mode::from_raw_mode(0o644)).map(drop)
        };
        match made {
            Ok(()) => {}
            Err(Errno::EXIST) if !resolve.contains(ResolveFlags::NO_SYMLINKS) => {
                let link = rustix::fs::readlinkat(&parent, part, Vec::new()).step(fails)?;
                parts = redirect(&parts, index, &link.to_string_lossy());
            }
            Err(error) => return Err(error).step(fails),
        }
    }
    Err(StartError::Invalid(format!("too many links in {path}")))
}

fn split(path: &str) -> Vec<String> {
    path.split('/').filter(|part| !part.is_empty() && *part != ".").map(str::to_owned).collect()
}

/// The path after the part at `index` turned out to be a link. Steps up stop at the root.
fn redirect(parts: &[String], index: usize, link: &str) -> Vec<String> {
    let mut new = if link.starts_with('/') { Vec::new() } else { parts[..index].to_vec() };
    for part in split(link) {
        if part == ".." {
            new.pop();
        } else {
            new.push(part);
        }
    }
    new.extend_from_slice(&parts[index + 1..]);
    new
}

fn is_directory(file: &OwnedFd) -> rustix::io::Result<bool> {
    Ok(FileType::from_raw_mode(rustix::fs::fstat(file)?.st_mode) == FileType::Directory)
}

fn populate_dev(root: BorrowedFd<'_>, devices: &[Device]) -> Result<()> {
    let plain = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
    let dev = rustix::fs::openat2(root, "dev", OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), plain)
        .step(|| "open /dev in the container".into())?;
    let umask = rustix::process::umask(Mode::empty());
    for (name, major, minor) in DEVICES {
        let device = rustix::fs::makedev(major, minor);
        rustix::fs::mknodat(&dev, name, FileType::CharacterDevice, Mode::from_raw_mode(0o666), device)
            .step(|| format!("make /dev/{name}"))?;
    }
    for (name, target) in LINKS {
        rustix::fs::symlinkat(target, &dev, name).step(|| format!("make /dev/{name}"))?;
    }
    for device in devices {
        make_device(root, device)?;
    }
    rustix::process::umask(umask);
    Ok(())
}

fn make_device(root: BorrowedFd<'_>, device: &Device) -> Result<()> {
    let fails = || format!("make device {}", device.path);
    let (parent, name) = device.path.rsplit_once('/').unwrap_or(("", &device.path));
    let parent = make_target(root, parent, true, ResolveFlags::IN_ROOT)?;
    let kind = if device.block { FileType::BlockDevice } else { FileType::CharacterDevice };
    let number = rustix::fs::makedev(device.major, device.minor);
    match rustix::fs::mknodat(&parent, name, kind, Mode::from_raw_mode(device.mode & 0o777), number) {
        // One of the default devices, listed once more.
        Err(Errno::EXIST) => return Ok(()),
        result => result.step(fails)?,
    }
    let owner = rustix::fs::Uid::from_raw(device.uid);
    let group = rustix::fs::Gid::from_raw(device.gid);
    rustix::fs::chownat(&parent, name, Some(owner), Some(group), AtFlags::SYMLINK_NOFOLLOW).step(fails)
}

fn pivot(root: BorrowedFd<'_>) -> Result<()> {
    let fails = || "switch to the root filesystem".to_owned();
    rustix::process::fchdir(root).step(fails)?;
    // With both paths the same the old root ends up on top of the new one, where it is unmounted.
    rustix::process::pivot_root(".", ".").step(fails)?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).step(fails)?;
    rustix::process::chdir("/").step(fails)
}

fn open_path(path: &str) -> rustix::io::Result<OwnedFd> {
    rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
}

/// Puts a read-only view of a path over it. A path that does not exist needs none.
fn make_readonly(path: &str) -> io::Result<()> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    let view = match rustix::mount::open_tree(CWD, path, flags) {
        Err(Errno::NOENT) => return Ok(()),
        view => view?,
    };
    sys::mount_setattr(&view, true, mount_attr::RDONLY, 0)?;
    rustix::mount::move_mount(&view, "", CWD, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    Ok(())
}

/// Puts an empty read-only directory or the null device over a path. A path that does not exist needs none.
fn mask(path: &str) -> io::Result<()> {
    let target = match open_path(path) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
        target => target?,
    };
    let cover = if is_directory(&target)? {
        let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
            | MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        filesystem("tmpfs", &[], attributes).map_err(io::Error::other)?
    } else {
        let null = open_path("/dev/null")?;
        // A volume may have been mounted there: only the real device hides anything.
        let metadata = File::from(null.try_clone()?).metadata()?;
        if metadata.rdev() != rustix::fs::makedev(1, 3) {
            return Err(io::Error::other("/dev/null is not the null device"));
        }
        let flags =
            OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
        rustix::mount::open_tree(&null, "", flags)?
    };
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(&cover, "", &target, "", flags)?;
    Ok(())
}

/// Puts a terminal on `/dev/console`.
pub(super) fn mount_console(terminal: &OwnedFd) -> Result<()> {
    let fails = || "mount /dev/console".to_owned();
    let create = OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open("/dev/console", create, Mode::from_raw_mode(0o600)).step(fails)?;
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let view = rustix::mount::open_tree(terminal, "", flags).step(fails)?;
    let onto = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    rustix::mount::move_mount(&view, "", CWD, "/dev/console", onto).step(fails)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_below_the_root() {
        let to = |path: &str, index, link: &str| redirect(&split(path), index, link).join("/");
        assert_eq!(to("/var/run/secrets", 1, "/run"), "run/secrets");
        assert_eq!(to("/var/run/secrets", 1, "../run"), "run/secrets");
        assert_eq!(to("/var/run/secrets", 1, "../../../etc"), "etc/secrets");
        assert_eq!(to("/a/b", 1, "./c"), "a/c");
    }

    #[test]
    fn what_is_missing_is_made_inside_the_root() {
        let dir = tempfile::tempdir().unwrap();
        let outside = dir.path().join("outside");
        let inside = dir.path().join("root");
        std::fs::create_dir_all(&outside).unwrap();
        std::fs::create_dir_all(inside.join("var")).unwrap();
        std::os::unix::fs::symlink("/run", inside.join("var/run")).unwrap();
        std::os::unix::fs::symlink(&outside, inside.join("escape")).unwrap();
        let root = open_path(inside.to_str().unwrap()).unwrap();
        let make =
            |path, directory| make_target(root.as_fd(), path, directory, ResolveFlags::IN_ROOT).map(drop);
        make("/var/run/secrets/token", false).unwrap();
        assert!(inside.join("run/secrets/token").is_file());
        make("/escape/directory", true).unwrap();
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
        assert!(make("/a/../../b", true).is_err());
        std::os::unix::fs::symlink("loop", inside.join("loop")).unwrap();
        assert!(make("/loop/x", true).is_err());
        let plain = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
        assert!(make_target(root.as_fd(), "/var/run", true, plain).is_err());
    }
}
