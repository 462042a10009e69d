//! Hidden and read-only parts of a container's root.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, OpenTreeFlags};

use super::dev::NullSource;
use super::target::{self, INSIDE};
use super::{Result, attach, filesystem};
use crate::shim::error::{Context, StartError};
use crate::shim::protocol::Launch;
use crate::shim::sys::{self, mount_attr};

/// Makes the root read-only and hides the masked paths; called when nothing more is created in it.
pub(super) fn restrict(root: &OwnedFd, launch: &Launch, null: &NullSource) -> Result<()> {
    if launch.readonly_rootfs {
        sys::mount_setattr(root, false, mount_attr::RDONLY, 0).step(|| "make / read-only".into())?;
    }
    for path in &launch.readonly_paths {
        let step = |error| named(format!("make {path} read-only"), error);
        if let Some(place) = find(root.as_fd(), path).map_err(step)? {
            make_readonly(&place).map_err(step)?;
        }
    }
    for path in &launch.masked_paths {
        let step = |error| named(format!("mask {path}"), error);
        if let Some(place) = find(root.as_fd(), path).map_err(step)? {
            mask(&place, null).map_err(step)?;
        }
    }
    Ok(())
}

fn named(step: String, error: StartError) -> StartError {
    StartError::Invalid(format!("{step}: {}", causes::chain(&error)))
}

/// The place of a path; one that does not exist needs no protection.
fn find(root: BorrowedFd<'_>, path: &str) -> Result<Option<OwnedFd>> {
    match target::open(root, path, INSIDE) {
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        place => place.map(Some).step(|| "open it".into()),
    }
}

/// Puts a read-only view of a place over it.
fn make_readonly(place: &OwnedFd) -> Result<()> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE
        | OpenTreeFlags::AT_EMPTY_PATH;
    let view = rustix::mount::open_tree(place, "", flags).step(|| "copy the mount".into())?;
    sys::mount_setattr(&view, true, mount_attr::RDONLY, 0).step(|| "change the mount".into())?;
    attach(&view, place)
}

/// Puts an empty read-only directory or the null device over a place.
fn mask(place: &OwnedFd, null: &NullSource) -> Result<()> {
    let cover = if target::is_directory(place).step(|| "inspect it".into())? {
        let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
            | MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        filesystem("tmpfs", &[], attributes)?
    } else {
        let flags =
            OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
        rustix::mount::open_tree(null.node()?, "", flags).step(|| "copy the null device".into())?
    };
    attach(&cover, place)
}
