//! Who a process is: user, groups, capabilities.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};

use nix::unistd::{Gid, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::error::{Context, StartError};
use super::protocol::{Identity, Process, User};
use super::sys;

type Result<T> = std::result::Result<T, StartError>;

/// The most that is read of a container's `passwd` or `group` file.
const DATABASE_BYTES_MAX: u64 = 10 << 20;

/// A user as the container's `/etc/passwd` and `/etc/group` have it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Resolved {
    pub(super) identity: Identity,
    pub(super) home: Option<String>,
}

/// Resolves a user with the files of the root that the process is in.
pub(super) fn resolve(user: &User) -> Result<Resolved> {
    resolve_with(user, &read_database("/etc/passwd")?, &read_database("/etc/group")?)
}

/// The lines of a file, each split at colons; none if the file is missing.
fn read_database(path: &str) -> Result<Vec<Vec<String>>> {
    let file = match File::open(path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        file => file.step(|| format!("open {path}"))?,
    };
    BufReader::new(file.take(DATABASE_BYTES_MAX))
        .split(b'\n')
        .map(|line| Ok(String::from_utf8_lossy(&line?).trim().split(':').map(str::to_owned).collect()))
        .collect::<io::Result<_>>()
        .step(|| format!("read {path}"))
}

fn resolve_with(user: &User, passwd: &[Vec<String>], group: &[Vec<String>]) -> Result<Resolved> {
    let (user_part, group_part) = user.user.split_once(':').unwrap_or((&user.user, ""));
    let user_part = if user_part.is_empty() { "0" } else { user_part };
    let entry = passwd.iter().find(|entry| {
        let key = if user_part.parse::<u32>().is_ok() { entry.get(2) } else { entry.first() };
        key.is_some_and(|key| key == user_part)
    });
    let number = |field: usize| entry.and_then(|entry| entry.get(field)?.parse::<u32>().ok());
    let unknown =
        |kind, database, name: &str| StartError::UnknownIdentity { kind, database, name: name.to_owned() };
    let uid = match user_part.parse() {
        Ok(uid) => uid,
        Err(_) => number(2).ok_or_else(|| unknown("user", "passwd", user_part))?,
    };
    let gid = match (user.group, group_part) {
        (Some(gid), _) => gid,
        (None, "") => number(3).unwrap_or(0),
        (None, name) => match name.parse() {
            Ok(gid) => gid,
            Err(_) => group
                .iter()
                .find(|entry| entry.first().is_some_and(|key| key == name))
                .and_then(|entry| entry.get(2)?.parse().ok())
                .ok_or_else(|| unknown("group", "group", name))?,
        },
    };

    let mut groups = vec![gid];
    if let (Some(name), false) = (entry.and_then(|entry| entry.first()), user.strict_groups) {
        let member =
            |entry: &&Vec<String>| entry.get(3).is_some_and(|all| all.split(',').any(|one| one == name));
        groups.extend(group.iter().filter(member).filter_map(|entry| entry.get(2)?.parse::<u32>().ok()));
    }
    groups.extend(&user.supplemental_groups);
    let mut seen = std::collections::BTreeSet::new();
    groups.retain(|group| seen.insert(*group));

    let home = entry.and_then(|entry| entry.get(5)).filter(|home| !home.is_empty()).cloned();
    Ok(Resolved { identity: Identity { uid, gid, groups }, home })
}

/// Takes on the identity, with the process's capabilities and seccomp filter. Nothing privileged works
/// afterwards.
pub(super) fn assume(identity: &Identity, process: &Process) -> Result<()> {
    own_streams(identity, process.tty).step(|| "hand over the standard streams".into())?;
    let groups: Vec<Gid> = identity.groups.iter().map(|group| Gid::from_raw(*group)).collect();
    nix::unistd::setgroups(&groups).step(|| "set groups".into())?;
    let gid = Gid::from_raw(identity.gid);
    nix::unistd::setresgid(gid, gid, gid).step(|| "set group".into())?;

    if let Some(profile) = &process.apparmor {
        std::fs::write("/proc/self/attr/apparmor/exec", format!("exec {profile}"))
            .step(|| format!("apply the AppArmor profile {profile}"))?;
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

/// Gives the standard streams to the user, who may open them anew as `/dev/stdout`. Devices other than its
/// terminal do not belong to the container.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn database(text: &str) -> Vec<Vec<String>> {
        text.lines().map(|line| line.split(':').map(str::to_owned).collect()).collect()
    }

    fn case(user: User) -> Result<(u32, u32, Vec<u32>)> {
        let passwd = database("root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh");
        let group = database("root:x:0:\napp:x:1001:\nwheel:x:10:root,app\nlogs:x:20:app");
        resolve_with(&user, &passwd, &group).map(|resolved| {
            let Identity { uid, gid, groups } = resolved.identity;
            (uid, gid, groups)
        })
    }

    fn named(user: &str) -> User {
        User { user: user.to_owned(), ..Default::default() }
    }

    #[test]
    fn users_resolve() {
        assert_eq!(case(named("")).unwrap(), (0, 0, vec![0, 10]));
        assert_eq!(case(named("app")).unwrap(), (1000, 1001, vec![1001, 10, 20]));
        assert_eq!(case(named("1000")).unwrap(), (1000, 1001, vec![1001, 10, 20]));
        assert_eq!(case(named("app:wheel")).unwrap(), (1000, 10, vec![10, 20]));
        assert_eq!(case(named("7:8")).unwrap(), (7, 8, vec![8]));
        assert_eq!(case(named("7")).unwrap(), (7, 0, vec![0]));
        let user =
            User { group: Some(5), supplemental_groups: vec![6, 5], strict_groups: true, ..named("app") };
        assert_eq!(case(user).unwrap(), (1000, 5, vec![5, 6]));
    }

    #[test]
    fn unknown_names_are_refused() {
        assert_eq!(
            case(named("nobody")).unwrap_err().to_string(),
            "unable to find user nobody: no matching entries in passwd file"
        );
        assert!(case(named("app:none")).is_err());
    }
}
