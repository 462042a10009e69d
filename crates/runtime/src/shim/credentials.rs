//! The credentials of a process: user, groups, capabilities.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::path::Path;

use nix::unistd::{Gid, Uid};
use rustix::fs::OFlags;
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::error::{Context, StartError};
use super::procfs::{self, Procfs};
use super::protocol::{Identity, Process, User};
use super::sys;
use crate::images::user::{GROUPS_MAX, resolve_user};

type Result<T> = std::result::Result<T, StartError>;

/// A user as numbers.
pub(super) struct Resolved {
    pub(super) identity: Identity,
    pub(super) home: String,
}

/// Resolves a user with the files of the root that the process is in.
pub(super) fn resolve(user: &User) -> Result<Resolved> {
    let found = resolve_user(Path::new("/"), &user.user)?;
    let gid = user.group.unwrap_or(found.gid);
    let listed = if user.strict_groups { &[][..] } else { &found.supplemental_gids };
    let mut groups = vec![gid];
    let mut known = BTreeSet::from([gid]);
    groups.extend(listed.iter().chain(&user.supplemental_groups).filter(|group| known.insert(**group)));
    if groups.len() > GROUPS_MAX {
        return Err(StartError::Invalid(format!("a process can be in {GROUPS_MAX} groups at most")));
    }
    Ok(Resolved { identity: Identity { uid: found.uid, gid, groups }, home: found.home })
}

/// The procfs file through which AppArmor gets the profile for the next `execve`. It is opened before the process
/// enters a container, where `/proc` may be anything.
#[derive(Default)]
pub(super) struct ExecLabel(Option<OwnedFd>);

impl ExecLabel {
    /// Opens the file if the process should have a profile.
    pub(super) fn open(process: &Process) -> Result<ExecLabel> {
        if process.apparmor.is_none() {
            return Ok(ExecLabel(None));
        }
        let open = || {
            let pid = rustix::process::getpid().as_raw_nonzero();
            Procfs::new()?.open(&format!("{pid}/attr/apparmor/exec"), OFlags::WRONLY)
        };
        open().map(|file| ExecLabel(Some(file))).step(|| "prepare the AppArmor profile".into())
    }

    fn write(&self, profile: &str) -> Result<()> {
        let step = || format!("apply the AppArmor profile {profile}");
        let missing = || StartError::Invalid("no way to apply an AppArmor profile".to_owned());
        let file = self.0.as_ref().ok_or_else(missing)?;
        procfs::write_whole(file, &format!("exec {profile}")).step(step)
    }
}

/// Takes on the identity, with the process's capabilities and seccomp filter. Nothing privileged works
/// afterwards.
pub(super) fn assume(identity: &Identity, process: &Process, label: &ExecLabel) -> Result<()> {
    own_streams(identity, process.tty).step(|| "change the owner of the standard streams".into())?;
    let groups: Vec<Gid> = identity.groups.iter().map(|group| Gid::from_raw(*group)).collect();
    nix::unistd::setgroups(&groups).step(|| "set groups".into())?;
    let gid = Gid::from_raw(identity.gid);
    nix::unistd::setresgid(gid, gid, gid).step(|| "set group".into())?;

    if let Some(profile) = &process.apparmor {
        label.write(profile)?;
    }
    // Without `no_new_privs` installing a filter needs CAP_SYS_ADMIN, so that it cannot wait for the end.
    let filter = process.seccomp.as_deref();
    if let (Some(filter), false) = (filter, process.no_new_privileges) {
        sys::install_seccomp(filter).step(|| "install the seccomp filter".into())?;
    }
    set_user(identity, process)?;
    if process.no_new_privileges {
        sys::set_no_new_privileges().step(|| "set no_new_privs".into())?;
        if let Some(filter) = filter {
            sys::install_seccomp(filter).step(|| "install the seccomp filter".into())?;
        }
    }
    Ok(())
}

/// Makes the user the owner of the standard streams, so that they can be reopened as `/dev/stdout`. Devices other than
/// its terminal do not belong to the container.
fn own_streams(identity: &Identity, tty: bool) -> rustix::io::Result<()> {
    let owner = rustix::fs::Uid::from_raw(identity.uid);
    for number in 0..=2 {
        let stream = sys::standard_stream(number);
        let kind = rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(stream)?.st_mode);
        if tty || kind == rustix::fs::FileType::Fifo {
            rustix::fs::fchown(stream, Some(owner), None)?;
        }
    }
    Ok(())
}

fn set_user(identity: &Identity, process: &Process) -> Result<()> {
    let fails = || "set capabilities".to_owned();
    let bounding = CapabilitySet::from_bits_retain(process.capabilities.bounding);
    for bit in 0..64 {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        if !bounding.contains(capability) {
            match rustix::thread::remove_capability_from_bounding_set(capability) {
                // Past the last capability that this kernel knows.
                Err(rustix::io::Errno::INVAL) => break,
                result => result.step(fails)?,
            }
        }
    }
    rustix::thread::set_keep_capabilities(true).step(fails)?;
    let uid = Uid::from_raw(identity.uid);
    nix::unistd::setresuid(uid, uid, uid).step(|| "set user".into())?;

    let ambient = CapabilitySet::from_bits_retain(process.capabilities.ambient) & bounding;
    let known = rustix::thread::capabilities(None).step(fails)?.permitted;
    let held = bounding & known;
    let sets = CapabilitySets { effective: held, permitted: held, inheritable: ambient };
    rustix::thread::set_capabilities(None, sets).step(fails)?;
    rustix::thread::set_keep_capabilities(false).step(fails)?;
    rustix::thread::clear_ambient_capability_set().step(fails)?;
    for capability in ambient.iter() {
        rustix::thread::configure_capability_in_ambient_set(capability, true).step(fails)?;
    }
    Ok(())
}
