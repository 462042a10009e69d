//! Keeps mounts away from the container's `/proc`.
//!
//! A mount over a part of `/proc` controls what later steps read and write there: masks have no effect, and parameters
//! end up in other files (CVE-2019-16884, CVE-2019-19921, CVE-2023-28642). The check is made on the opened descriptor,
//! not on its path, so that neither links in an image nor links that change in the meantime matter.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, StatxFlags};

use super::Result;
use super::target::{self, PLAIN};
use crate::shim::error::{Context, StartError};
use crate::shim::procfs;

/// Files of `/proc` that may be replaced: a file system in user space shows the container's own numbers there, or an
/// administrator does. The list is runc's.
const REPLACEABLE: [&str; 10] = [
    "cpuinfo",
    "diskstats",
    "meminfo",
    "stat",
    "swaps",
    "uptime",
    "loadavg",
    "slabinfo",
    "sys/kernel/ns_last_pid",
    "sys/crypto/fips_enabled",
];

/// The inode of the root of every procfs.
const PROC_ROOT_INODE: u64 = 1;

/// What is mounted on the container's `/proc`.
#[derive(Default)]
pub(super) struct ProcGuard(Vec<OwnedFd>);

impl ProcGuard {
    /// Takes note of a mount on `/proc`.
    pub(super) fn note(&mut self, mount: &OwnedFd) -> Result<()> {
        self.0.push(mount.try_clone().step(|| "keep /proc".into())?);
        Ok(())
    }

    /// Refuses to mount `source` on `place`, which `destination` led to, if that would change `/proc`.
    pub(super) fn check(&mut self, source: &OwnedFd, place: &OwnedFd, destination: &str) -> Result<()> {
        let fails = || "inspect the mount".to_owned();
        let mount_id = mount_id(place).step(fails)?;
        let mut inside = None;
        for mount in &self.0 {
            if self::mount_id(mount).step(fails)? == mount_id {
                inside = Some(mount);
            }
        }
        let Some(mount) = inside else {
            return match inside_by_name(destination) {
                // On top of what replaced a file.
                Some(name) if REPLACEABLE.contains(&name.as_str()) => Ok(()),
                // In the place of our own.
                Some(name) if name.is_empty() => self.cover(source, destination),
                Some(_) => Err(StartError::InsideProc(destination.to_owned())),
                None => Ok(()),
            };
        };
        if is_same(mount, place).step(fails)? {
            return self.cover(source, destination);
        }
        let replaceable = REPLACEABLE.iter().any(|name| {
            let file = target::open(mount.as_fd(), name, PLAIN);
            file.is_ok_and(|file| is_same(&file, place).unwrap_or(false))
        });
        if replaceable { Ok(()) } else { Err(StartError::InsideProc(destination.to_owned())) }
    }

    /// Lets only another procfs replace `/proc`.
    fn cover(&mut self, source: &OwnedFd, destination: &str) -> Result<()> {
        let fails = || "inspect the source".to_owned();
        let stat = rustix::fs::fstat(source).step(fails)?;
        if !procfs::is_procfs(source).step(fails)? || stat.st_ino != PROC_ROOT_INODE {
            return Err(StartError::OverProc(destination.to_owned()));
        }
        self.note(source)
    }
}

/// The path below `/proc` that a destination names, if it does.
fn inside_by_name(destination: &str) -> Option<String> {
    let parts = target::split(destination);
    let (first, rest) = parts.split_first()?;
    (first == "proc").then(|| rest.join("/"))
}

fn mount_id(file: &OwnedFd) -> rustix::io::Result<u64> {
    Ok(rustix::fs::statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?.stx_mnt_id)
}

fn is_same(one: &OwnedFd, other: &OwnedFd) -> rustix::io::Result<bool> {
    let (one, other) = (rustix::fs::fstat(one)?, rustix::fs::fstat(other)?);
    Ok((one.st_dev, one.st_ino) == (other.st_dev, other.st_ino))
}
