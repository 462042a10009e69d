//! Resolution of an image's user names to IDs.

use std::io;
use std::path::Path;

use crate::snapshot::{open_root, read_file};

/// The largest `/etc/passwd` or `/etc/group` that is read.
const ACCOUNTS_BYTES_MAX: u64 = 16 << 20;
/// The largest ID; upstream's runtimes refuse numbers that do not fit a signed 32-bit integer.
const ID_MAX: u32 = i32::MAX as u32;

/// The maximum number of groups of a process. The kernel accepts more, but no program needs as many, and an image must
/// not be able to slow down a start with them (CVE-2026-47262).
pub(crate) const GROUPS_MAX: usize = 4096;

/// A user in the kernel's terms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResolvedUser {
    /// The user's number.
    pub uid: u32,
    /// The number of the primary group.
    pub gid: u32,
    /// Groups that the image's `/etc/group` lists the user in, except the primary one.
    pub supplemental_gids: Vec<u32>,
    /// The name, if the image has one.
    pub name: String,
    /// The home directory; `/` if the image does not say.
    pub home: String,
}

/// Why a user could not be found.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// The image has no such user.
    #[error("unable to find user {0}: no matching entries in passwd file")]
    UnknownUser(String),
    /// The image has no such group.
    #[error("unable to find group {0}: no matching entries in group file")]
    UnknownGroup(String),
    /// The image has the user in too many groups.
    #[error("the user {0} is in more than {GROUPS_MAX} groups")]
    TooManyGroups(String),
    /// The number is not a valid user or group ID.
    #[error("uids and gids must be in range 0-2147483647: {0}")]
    OutOfRange(String),
    /// The image's files cannot be read.
    #[error("read {path} of the image")]
    Read {
        /// The file.
        path: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

/// Looks up `user`, `uid`, `user:group`, `uid:gid` and mixtures in the image that is mounted at `rootfs`;
/// the empty text is root. Numbers need no entry in the image's files, names do. Links in the image are
/// followed inside it only.
pub fn resolve_user(rootfs: &Path, user: &str) -> Result<ResolvedUser, UserError> {
    let (user, group) = user.split_once(':').unwrap_or((user, ""));
    let user = if user.is_empty() { "0" } else { user };
    let passwd = read_accounts(rootfs, "/etc/passwd")?;
    let groups = read_accounts(rootfs, "/etc/group")?;

    // A number is never a name: the image must not decide which user a number refers to (CVE-2016-3697).
    let number = parse_id(user)?;
    let account = accounts(&passwd).find(|account| match number {
        Some(_) => account.id == number,
        None => account.name == user,
    });
    let mut resolved = match (&account, number) {
        (Some(account), _) => ResolvedUser {
            uid: account.id.ok_or_else(|| UserError::UnknownUser(user.to_owned()))?,
            gid: account.fields.first().and_then(|gid| gid.parse().ok()).unwrap_or(0),
            name: account.name.to_owned(),
            home: account.fields.get(2).copied().unwrap_or_default().to_owned(),
            supplemental_gids: Vec::new(),
        },
        (None, Some(uid)) => ResolvedUser { uid, ..ResolvedUser::default() },
        (None, None) => return Err(UserError::UnknownUser(user.to_owned())),
    };
    if resolved.home.is_empty() {
        "/".clone_into(&mut resolved.home);
    }
    if !group.is_empty() {
        let named = || accounts(&groups).find(|entry| entry.name == group).and_then(|entry| entry.id);
        let gid = parse_id(group)?.or_else(named);
        resolved.gid = gid.ok_or_else(|| UserError::UnknownGroup(group.to_owned()))?;
    }
    if !resolved.name.is_empty() {
        resolved.supplemental_gids = accounts(&groups)
            .filter(|entry| {
                entry.fields.first().is_some_and(|list| list.split(',').any(|n| n == resolved.name))
            })
            .filter_map(|entry| entry.id)
            .filter(|gid| *gid != resolved.gid)
            .take(GROUPS_MAX + 1)
            .collect();
        if resolved.supplemental_gids.len() > GROUPS_MAX {
            return Err(UserError::TooManyGroups(resolved.name));
        }
    }
    Ok(resolved)
}

/// One line of `/etc/passwd` or `/etc/group`: name, password, id, and the rest.
struct Account<'a> {
    name: &'a str,
    id: Option<u32>,
    fields: Vec<&'a str>,
}

fn accounts(text: &str) -> impl Iterator<Item = Account<'_>> {
    text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let mut fields = line.trim_end().split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let id = fields.nth(1)?.parse().ok().filter(|id| *id <= ID_MAX);
        Some(Account { name, id, fields: fields.collect() })
    })
}

/// The number that a text is, `None` if it is a name.
fn parse_id(text: &str) -> Result<Option<u32>, UserError> {
    match text.parse::<i64>() {
        Ok(number) => match u32::try_from(number) {
            Ok(id) if id <= ID_MAX => Ok(Some(id)),
            _ => Err(UserError::OutOfRange(text.to_owned())),
        },
        // Too large for any number.
        Err(_) if text.trim_start_matches(['+', '-']).bytes().all(|byte| byte.is_ascii_digit()) => {
            Err(UserError::OutOfRange(text.to_owned()))
        }
        Err(_) => Ok(None),
    }
}

/// The text of a file of accounts; an image without it has no accounts.
fn read_accounts(rootfs: &Path, path: &'static str) -> Result<String, UserError> {
    let read = || read_file(open_root(rootfs)?, path.as_bytes(), ACCOUNTS_BYTES_MAX);
    match read() {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(String::new())
        }
        Err(source) => Err(UserError::Read { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("etc")).unwrap();
        let passwd = "# comment\nroot:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n\
                      1234:x:0:0::/:\nbroken\nhuge:x:4294967294:1::/:\n";
        let group = "root:x:0:\nstaff:x:50:other,app\napp:x:1001:app\nwheel:x:10:root,app\n6000:x:0:\n";
        std::fs::write(directory.path().join("etc/passwd"), passwd).unwrap();
        std::fs::write(directory.path().join("etc/group"), group).unwrap();
        directory
    }

    #[test]
    fn finds_users_and_groups() {
        let image = image();
        // text, uid, gid, more groups, home
        let cases: [(&str, u32, u32, &[u32], &str); 9] = [
            ("", 0, 0, &[10], "/root"),
            ("app", 1000, 1001, &[50, 10], "/home/app"),
            ("1000", 1000, 1001, &[50, 10], "/home/app"),
            ("app:staff", 1000, 50, &[1001, 10], "/home/app"),
            ("app:7", 1000, 7, &[50, 1001, 10], "/home/app"),
            ("5000", 5000, 0, &[], "/"),
            ("5000:6000", 5000, 6000, &[], "/"),
            ("5000:wheel", 5000, 10, &[], "/"),
            ("1234", 1234, 0, &[], "/"),
        ];
        for (text, uid, gid, more, home) in cases {
            let user = resolve_user(image.path(), text).unwrap();
            assert_eq!((user.uid, user.gid, user.home.as_str()), (uid, gid, home), "{text}");
            assert_eq!(user.supplemental_gids, more, "{text}");
        }
    }

    #[test]
    fn refuses_what_is_not_there() {
        let image = image();
        for (text, expected) in [
            ("nobody", "unable to find user nobody: no matching entries in passwd file"),
            ("app:nogroup", "unable to find group nogroup: no matching entries in group file"),
            ("99999999999999999999", "uids and gids must be in range 0-2147483647: 99999999999999999999"),
            ("-1", "uids and gids must be in range 0-2147483647: -1"),
            ("4294967296", "uids and gids must be in range 0-2147483647: 4294967296"),
            ("huge", "unable to find user huge: no matching entries in passwd file"),
        ] {
            assert_eq!(resolve_user(image.path(), text).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn groups_have_a_bound() {
        let image = image();
        let line = |number: usize| format!("g{number}:x:{}:app\n", 10_000 + number);
        let groups = |count: usize| (0..count).map(line).collect::<String>();
        let file = image.path().join("etc/group");
        std::fs::write(&file, groups(GROUPS_MAX)).unwrap();
        assert_eq!(resolve_user(image.path(), "app").unwrap().supplemental_gids.len(), GROUPS_MAX);
        std::fs::write(&file, groups(GROUPS_MAX + 1)).unwrap();
        assert!(matches!(resolve_user(image.path(), "app"), Err(UserError::TooManyGroups(_))));
    }

    #[test]
    fn never_reads_outside_the_image() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(directory.path().join("root/etc")).unwrap();
        std::fs::write(directory.path().join("passwd"), "host:x:1:1::/:\n").unwrap();
        std::os::unix::fs::symlink("../../passwd", directory.path().join("root/etc/passwd")).unwrap();
        let root = directory.path().join("root");
        assert!(matches!(resolve_user(&root, "host"), Err(UserError::UnknownUser(_))));
        assert_eq!(resolve_user(&root, "").unwrap().uid, 0, "an image without files has root");
    }
}
