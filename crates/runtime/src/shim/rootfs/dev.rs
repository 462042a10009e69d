//! Devices of a container: its `/dev`, its terminal, the null device.
//!
//! A container's `/dev` is assembled before anything from the container or a volume is attached, so that nothing can
//! put a link or a file where a device is expected. If a volume replaces `/dev`, nothing in it is opened: terminals and
//! null devices then come from file systems that no other process sees (CVE-2025-31133, CVE-2025-52565).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, OpenTreeFlags};
use rustix::pty::OpenptFlags;

use super::target::{self, PLAIN};
use super::{Result, attach, filesystem};
use crate::shim::error::{Context, StartError};
use crate::shim::protocol::Device;

/// The device nodes that every container has: name, major and minor number.
const DEVICES: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

/// The links that every container has in `/dev`.
const LINKS: [(&str, &str); 6] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
    ("core", "/proc/kcore"),
];

/// The `fstatfs` magic of a file system of terminals.
const DEVPTS_MAGIC: rustix::fs::FsWord = 0x1cd1;

/// The options of a file system of terminals of the container's own.
const DEVPTS_OPTIONS: [&str; 4] = ["newinstance", "ptmxmode=0666", "mode=0620", "gid=5"];

/// A file system with a null device alone.
pub(super) struct NullSource(pub(super) OwnedFd);

impl NullSource {
    pub(super) fn new() -> Result<NullSource> {
        let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        let options = ["mode=755", "size=4k", "nr_inodes=4"].map(str::to_owned);
        let mount = filesystem("tmpfs", &options, attributes)?;
        make_node(&mount, "null", FileType::CharacterDevice, (1, 3), 0o666)?;
        Ok(NullSource(mount))
    }

    /// The device for reference, to be bound.
    pub(super) fn node(&self) -> Result<OwnedFd> {
        self.open(OFlags::PATH)
    }

    /// The device, to be read and written.
    pub(super) fn stream(&self) -> Result<OwnedFd> {
        self.open(OFlags::RDWR | OFlags::NOCTTY)
    }

    fn open(&self, flags: OFlags) -> Result<OwnedFd> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let null = rustix::fs::openat2(&self.0, "null", flags, Mode::empty(), PLAIN)
            .step(|| "open the null device".into())?;
        verify(&null, FileType::CharacterDevice, (1, 3), "the null device")?;
        Ok(null)
    }
}

/// A null device that no other process can reach.
pub(crate) fn null() -> Result<OwnedFd> {
    NullSource::new()?.stream()
}

/// Fills a `/dev` that is attached nowhere yet.
pub(super) fn populate(dev: &OwnedFd, root: BorrowedFd<'_>, devices: &[Device], console: bool) -> Result<()> {
    for (name, major, minor) in DEVICES {
        make_node(dev, name, FileType::CharacterDevice, (major, minor), 0o666)?;
    }
    for (name, to) in LINKS {
        rustix::fs::symlinkat(to, dev, name).step(|| format!("make /dev/{name}"))?;
    }
    if console {
        make_node(dev, "console", FileType::RegularFile, (0, 0), 0o600)?;
    }
    for device in devices {
        match device.path.strip_prefix("/dev/") {
            // The host's own, which a link or a terminal replaces in the container.
            Some(path) if path == "console" || LINKS.iter().any(|(name, _)| *name == path) => {}
            Some(path) => make_device(dev.as_fd(), path, device)?,
            None => make_device(root, &device.path, device)?,
        }
    }
    Ok(())
}

fn make_device(root: BorrowedFd<'_>, path: &str, device: &Device) -> Result<()> {
    let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
    let parent = target::make(root, parent, true, PLAIN)?;
    let kind = if device.block { FileType::BlockDevice } else { FileType::CharacterDevice };
    make_node(&parent, name, kind, (device.major, device.minor), device.mode)?;
    let owner = rustix::fs::Uid::from_raw(device.uid);
    let group = rustix::fs::Gid::from_raw(device.gid);
    rustix::fs::chownat(&parent, name, Some(owner), Some(group), AtFlags::SYMLINK_NOFOLLOW)
        .step(|| format!("make device {}", device.path))
}

/// Creates a node, or accepts an identical existing one.
fn make_node(directory: &OwnedFd, name: &str, kind: FileType, number: (u32, u32), mode: u32) -> Result<()> {
    let fails = || format!("make device {name}");
    let mode = Mode::from_raw_mode(mode & 0o777);
    let device = rustix::fs::makedev(number.0, number.1);
    match rustix::fs::mknodat(directory, name, kind, mode, device) {
        Ok(()) => rustix::fs::chmodat(directory, name, mode, AtFlags::empty()).step(fails),
        Err(Errno::EXIST) => {
            let there = target::open(directory.as_fd(), name, PLAIN).step(fails)?;
            verify(&there, kind, number, name)
        }
        Err(error) => Err(error).step(fails),
    }
}

/// Makes sure that a file is the device that it must be.
fn verify(file: &OwnedFd, kind: FileType, number: (u32, u32), name: &str) -> Result<()> {
    let stat = rustix::fs::fstat(file).step(|| format!("inspect {name}"))?;
    let found = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
    if FileType::from_raw_mode(stat.st_mode) == kind && (kind == FileType::RegularFile || found == number) {
        return Ok(());
    }
    Err(StartError::Invalid(format!("{name} is not the device {}:{}", number.0, number.1)))
}

/// Both sides of a terminal.
pub(crate) struct Terminal {
    pub(crate) master: OwnedFd,
    pub(crate) terminal: OwnedFd,
}

impl Terminal {
    /// A terminal of this file system of terminals.
    pub(super) fn of(devpts: &OwnedFd) -> Result<Terminal> {
        let step = || "open a terminal".to_owned();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let master = rustix::fs::openat2(devpts, "ptmx", flags, Mode::empty(), PLAIN).step(step)?;
        verify(&master, FileType::CharacterDevice, (5, 2), "the terminal multiplexer")?;
        rustix::pty::unlockpt(&master).step(step)?;
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let terminal = rustix::pty::ioctl_tiocgptpeer(&master, flags).step(step)?;
        Ok(Terminal { master, terminal })
    }

    /// A terminal from a separate file system.
    pub(super) fn alone() -> Result<Terminal> {
        let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        Terminal::of(&filesystem("devpts", &DEVPTS_OPTIONS.map(str::to_owned), attributes)?)
    }

    /// A terminal for one more process of the container that the calling process has entered: one of the container's
    /// own, if `/dev/pts` is a file system of terminals.
    pub(crate) fn in_container() -> Result<Terminal> {
        let root = rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
            .step(|| "open / in the container".into())?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let found = rustix::fs::openat2(&root, "dev/pts", flags, Mode::empty(), PLAIN);
        let of_terminals =
            |file: &OwnedFd| rustix::fs::fstatfs(file).is_ok_and(|stat| stat.f_type == DEVPTS_MAGIC);
        match found.ok().filter(of_terminals) {
            Some(devpts) => Terminal::of(&devpts),
            None => Terminal::alone(),
        }
    }

    /// Mounts the terminal on the `console` of a `/dev`, unless a volume is mounted there.
    pub(super) fn mount_console(&self, dev: &OwnedFd) -> Result<()> {
        let fails = || "mount /dev/console".to_owned();
        let resolve = PLAIN | ResolveFlags::NO_XDEV;
        let place = match target::open(dev.as_fd(), "console", resolve) {
            Err(Errno::XDEV) => return Ok(()),
            place => place.step(fails)?,
        };
        let flags =
            OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
        let view = rustix::mount::open_tree(&self.terminal, "", flags).step(fails)?;
        attach(&view, &place)
    }
}
