//! A container's root filesystem: its mounts, devices and hidden paths.
//!
//! Everything is done with descriptors of the new mount API, before the process is inside. A destination is resolved by
//! the kernel inside the container's root (`RESOLVE_IN_ROOT`), so that no link in an image or in a volume leads out of
//! it, and a new filesystem is mounted on a path without any link. From then on the descriptor is used, never the path
//! again: other containers of the pod may change shared files at any time.

mod dev;
mod proc_guard;
mod restrict;
mod target;
mod workshop;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::sched::{CloneFlags, unshare};
use rustix::fs::CWD;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags,
    UnmountFlags,
};

use super::cgroup;
use super::error::{Context, StartError};
use super::protocol::{Launch, Mount, MountSource, Propagation};
use super::sys::{self, mount_attr};
use dev::NullSource;
pub(super) use dev::{Terminal, null};
use proc_guard::ProcGuard;
use target::{INSIDE, PLAIN};
use workshop::Workshop;

type Result<T> = std::result::Result<T, StartError>;

/// The descriptors that a process takes into its root.
pub(super) struct Entered {
    /// The null device.
    pub(super) null: OwnedFd,
    /// Its terminal, if it has one.
    pub(super) terminal: Option<Terminal>,
}

/// The root while it is put together.
struct Assembly<'a> {
    launch: &'a Launch,
    root: OwnedFd,
    proc_guard: ProcGuard,
    /// The container's own `/dev`; `None` if a volume replaces it.
    dev: Option<OwnedFd>,
    /// The container's own `/dev/pts`.
    devpts: Option<OwnedFd>,
}

/// Moves the process into a new mount namespace whose root is the container's.
pub(super) fn enter(launch: &Launch) -> Result<Entered> {
    let root = clone_root(&launch.rootfs)?;
    sys::mount_setattr(&root, false, 0, mount_attr::PROPAGATE_PRIVATE)
        .step(|| "detach the root filesystem".into())?;
    let mut sources = launch.mounts.iter().map(private_source).collect::<Result<Vec<_>>>()?;

    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWCGROUP)
        .step(|| "create a mount namespace".into())?;
    let workshop = Workshop::new()?;
    for (index, mount) in launch.mounts.iter().enumerate() {
        if let (MountSource::Bind(path), None) = (&mount.source, &sources[index]) {
            let source = workshop.bind(path, &index.to_string(), mount.propagation)?;
            set_attributes(&source, mount, path)?;
            sources[index] = Some(source);
        }
    }
    // The null device is on a separate mount, which the container cannot reach.
    let null = NullSource::new()?;
    workshop.attach(&null.0, "null")?;
    workshop.attach(&root, "root")?;

    let mut assembly = Assembly { launch, root, proc_guard: ProcGuard::default(), dev: None, devpts: None };
    for (mount, source) in launch.mounts.iter().zip(sources) {
        assembly.place(mount, source).map_err(|error| in_mount(mount, error))?;
    }
    let terminal = launch.process.tty.then(|| assembly.terminal()).transpose()?;
    let cwd = if launch.process.cwd.is_empty() { "/" } else { &launch.process.cwd };
    target::make(assembly.root.as_fd(), cwd, true, INSIDE).map_err(|error| match error {
        StartError::InsideProc(_) => {
            StartError::Invalid(format!("the working directory {cwd:?} does not exist"))
        }
        error => error,
    })?;
    restrict::restrict(&assembly.root, launch, &null)?;
    pivot(assembly.root.as_fd())?;
    Ok(Entered { null: null.stream()?, terminal })
}

impl Assembly<'_> {
    fn place(&mut self, mount: &Mount, source: Option<OwnedFd>) -> Result<()> {
        if let Some(source) = source {
            if target::split(&mount.destination).is_empty() {
                return Err(StartError::Invalid("the container's root cannot be mounted over".to_owned()));
            }
            let directory = target::is_directory(&source).step(|| "inspect the source".into())?;
            let place = target::make(self.root.as_fd(), &mount.destination, directory, INSIDE)?;
            self.proc_guard.check(&source, &place, &mount.destination)?;
            return attach(&source, &place);
        }
        let place = target::make(self.root.as_fd(), &mount.destination, true, PLAIN)?;
        let MountSource::Filesystem { kind, options } = &mount.source else {
            return place_cgroups(mount, &place);
        };
        let filesystem = filesystem(kind, options, attributes(mount))?;
        match mount.destination.as_str() {
            "/proc" => self.proc_guard.note(&filesystem)?,
            "/dev" => {
                let console = self.launch.process.tty;
                dev::populate(&filesystem, self.root.as_fd(), &self.launch.devices, console)?;
            }
            _ => {}
        }
        attach(&filesystem, &place)?;
        match mount.destination.as_str() {
            "/dev" => self.dev = Some(filesystem),
            "/dev/pts" => self.devpts = Some(filesystem),
            _ => {}
        }
        Ok(())
    }

    /// Opens the process's terminal and makes it the console.
    fn terminal(&self) -> Result<Terminal> {
        let Some(devpts) = &self.devpts else { return Terminal::alone() };
        let terminal = Terminal::of(devpts)?;
        if let Some(dev) = &self.dev {
            terminal.mount_console(dev)?;
        }
        Ok(terminal)
    }
}

/// Moves the process into an empty root. `place` is a directory to mount it on temporarily, which others continue to
/// see unchanged.
pub(super) fn enter_nothing(place: &Path) -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWCGROUP)
        .step(|| "create a mount namespace".into())?;
    let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", slave).step(|| "detach the mount namespace".into())?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let root = filesystem("tmpfs", &[], attributes)?;
    let onto = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    rustix::mount::move_mount(&root, "", CWD, place, onto).step(|| "mount an empty root".into())?;
    pivot(root.as_fd())
}

fn in_mount(mount: &Mount, error: StartError) -> StartError {
    let what = match &mount.source {
        MountSource::Bind(path) => path.display().to_string(),
        MountSource::Filesystem { kind, .. } => kind.clone(),
        MountSource::Cgroup => "cgroup".to_owned(),
    };
    StartError::Invalid(format!("mount {what} to {}: {}", mount.destination, causes::chain(&error)))
}

fn clone_root(path: &Path) -> Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    rustix::mount::open_tree(CWD, path, flags).step(|| format!("open {}", path.display()))
}

/// A copy of what is to be mounted, if that is a part of the host which does not propagate. The path was found to have
/// no links: it must not have got any since.
fn private_source(mount: &Mount) -> Result<Option<OwnedFd>> {
    let (MountSource::Bind(path), Propagation::Private) = (&mount.source, mount.propagation) else {
        return Ok(None);
    };
    let source = workshop::open(path)?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE
        | OpenTreeFlags::AT_EMPTY_PATH;
    let fails = || format!("open {}", path.display());
    let clone = rustix::mount::open_tree(&source, "", flags).step(fails)?;
    sys::mount_setattr(&clone, true, 0, mount_attr::PROPAGATE_PRIVATE).step(fails)?;
    set_attributes(&clone, mount, path)?;
    Ok(Some(clone))
}

fn set_attributes(source: &OwnedFd, mount: &Mount, path: &Path) -> Result<()> {
    let mut attributes = if mount.readonly { mount_attr::RDONLY } else { 0 };
    if mount.restricted {
        attributes |= mount_attr::NOSUID | mount_attr::NODEV | mount_attr::NOEXEC;
    }
    if attributes == 0 {
        return Ok(());
    }
    sys::mount_setattr(source, mount.recursive_readonly, attributes, 0)
        .step(|| format!("prepare {}", path.display()))
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

/// Mounts the cgroup hierarchies as seen in the container's cgroup namespace.
fn place_cgroups(mount: &Mount, place: &OwnedFd) -> Result<()> {
    let views = cgroup::views().step(|| "find the cgroup hierarchies".into())?;
    if let [(name, _)] = &views[..]
        && name.is_empty()
    {
        return attach(&filesystem("cgroup2", &[], attributes(mount))?, place);
    }
    let writable = attributes(mount) - MountAttrFlags::MOUNT_ATTR_RDONLY;
    let base = filesystem("tmpfs", &["mode=755".to_owned(), "size=64k".to_owned()], writable)?;
    attach(&base, place)?;
    for (name, controllers) in &views {
        let place = target::make(base.as_fd(), name, true, PLAIN)?;
        let options: Vec<_> = controllers.split(',').map(str::to_owned).collect();
        attach(&filesystem("cgroup", &options, attributes(mount))?, &place)?;
        for controller in controllers.split(',').filter(|controller| controller != name) {
            rustix::fs::symlinkat(name.as_str(), &base, controller).step(|| format!("link {controller}"))?;
        }
    }
    if mount.readonly {
        sys::mount_setattr(&base, false, mount_attr::RDONLY, 0).step(|| "make it read-only".into())?;
    }
    Ok(())
}

/// Makes a mount the root, and leaves the old one without a trace of that on the host.
fn pivot(root: BorrowedFd<'_>) -> Result<()> {
    let fails = || "switch to the root filesystem".to_owned();
    let old = workshop::open(Path::new("/"))?;
    rustix::process::fchdir(root).step(fails)?;
    // If both paths are the same, the old root ends up on top of the new one, where it is unmounted.
    rustix::process::pivot_root(".", ".").step(fails)?;
    sys::mount_setattr(&old, true, 0, mount_attr::PROPAGATE_SLAVE).step(fails)?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).step(fails)?;
    rustix::process::chdir("/").step(fails)
}
