//! `fsGroup`: the owner of a volume's files.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::Path;

use k8s_openapi::api::core::v1::Pod;

use crate::VolumeError;

/// The group that a volume's files get, and whether files that have it already are left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FsGroup {
    /// The group.
    pub gid: u32,
    /// `fsGroupChangePolicy: OnRootMismatch`: nothing is changed if the volume's root is right already.
    pub on_root_mismatch: bool,
}

impl FsGroup {
    /// The settings in the pod's security context.
    pub fn of(pod: &Pod) -> Option<FsGroup> {
        let context = pod.spec.as_ref()?.security_context.as_ref()?;
        let gid = u32::try_from(context.fs_group?).ok()?;
        let policy = context.fs_group_change_policy.as_deref();
        Some(FsGroup { gid, on_root_mismatch: policy == Some("OnRootMismatch") })
    }
}

/// Set-group-ID: entries created in a directory get its group.
const SETGID: u32 = 0o2000;

/// Gives a volume's files to the group, readable and (unless `read_only`) writable, as upstream's
/// `SetVolumeOwnership` does.
pub(crate) fn give_to(path: &Path, group: FsGroup, read_only: bool) -> Result<(), VolumeError> {
    let rights = if read_only { 0o440 } else { 0o660 };
    let root = fs::metadata(path).map_err(VolumeError::io("look at", path))?;
    let directory_rights = rights | 0o110 | SETGID;
    let right_already = root.gid() == group.gid && root.mode() & directory_rights == directory_rights;
    if group.on_root_mismatch && right_already {
        return Ok(());
    }
    give(path, group.gid, rights).map_err(VolumeError::io("change the group of", path))
}

fn give(path: &Path, gid: u32, rights: u32) -> io::Result<()> {
    let meta = fs::symlink_metadata(path)?;
    lchown(path, None, Some(gid))?;
    if meta.is_symlink() {
        return Ok(());
    }
    let rights = if meta.is_dir() { rights | 0o110 | SETGID } else { rights };
    fs::set_permissions(path, fs::Permissions::from_mode((meta.mode() & 0o7777) | rights))?;
    if meta.is_dir() {
        for entry in fs::read_dir(path)? {
            give(&entry?.path(), gid, rights & 0o660)?;
        }
    }
    Ok(())
}
