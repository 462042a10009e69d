//! Linux capabilities, by name and number (`capabilities(7)`).

use crate::shim::protocol::Capabilities;
use cri::{Capability, CriError};

/// All capabilities; a name's position is its number in the kernel.
#[rustfmt::skip]
const NAMES: [&str; 41] = [
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
    "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
    "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
    "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL",
    "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ",
    "PERFMON", "BPF", "CHECKPOINT_RESTORE",
];

/// The default capabilities of a container: the set of containerd and Docker.
#[rustfmt::skip]
const DEFAULT: [&str; 14] = [
    "CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP",
    "SETPCAP", "NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE",
];

/// All capabilities in the list.
pub(super) const ALL: u64 = (1 << NAMES.len()) - 1;

/// The bit of a capability, by its name with or without `CAP_`, in any case.
pub(super) fn bit(name: &str) -> Option<u64> {
    let upper = name.to_ascii_uppercase();
    let plain = upper.strip_prefix("CAP_").unwrap_or(&upper);
    NAMES.iter().position(|known| *known == plain).map(|number| 1 << number)
}

/// The capabilities of a container.
pub(super) fn effective(config: &Capability, privileged: bool) -> Result<Capabilities, CriError> {
    if privileged {
        return Ok(Capabilities { bounding: ALL, ambient: 0 });
    }
    let default = DEFAULT.iter().filter_map(|name| bit(name)).fold(0, |all, one| all | one);
    let is_all = |list: &[String]| list.iter().any(|name| name.eq_ignore_ascii_case("ALL"));
    let bits = |list: &[String]| {
        list.iter().filter(|name| !name.eq_ignore_ascii_case("ALL")).try_fold(0, |all, name| {
            bit(name)
                .map(|one| all | one)
                .ok_or_else(|| CriError::InvalidArgument(format!("unknown capability {name:?}")))
        })
    };
    // "ALL" on either side is the base; the names on both sides then adjust it (as containerd does).
    let base = match (is_all(&config.add_capabilities), is_all(&config.drop_capabilities)) {
        (_, true) => 0,
        (true, false) => ALL,
        (false, false) => default,
    };
    let ambient = bits(&config.add_ambient_capabilities)?;
    let added = base | bits(&config.add_capabilities)? | ambient;
    let bounding = added & !bits(&config.drop_capabilities)?;
    Ok(Capabilities { bounding, ambient: ambient & bounding })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(add: &[&str], drop: &[&str]) -> u64 {
        let own = |list: &[&str]| list.iter().map(|name| name.to_string()).collect();
        let config =
            Capability { add_capabilities: own(add), drop_capabilities: own(drop), ..Default::default() };
        effective(&config, false).unwrap().bounding
    }

    #[test]
    fn sets_are_put_together() {
        assert_eq!(of(&[], &[]), 0xa804_25fb);
        assert_eq!(of(&[], &["ALL"]), 0);
        assert_eq!(of(&["NET_BIND_SERVICE"], &["ALL"]), 1 << 10);
        assert_eq!(of(&["cap_sys_admin"], &[]), 0xa824_25fb);
        assert_eq!(of(&["ALL"], &["SYS_ADMIN"]), ALL & !(1 << 21));
        assert_eq!(of(&[], &["CAP_MKNOD"]), 0xa004_25fb);
        assert_eq!(effective(&Capability::default(), true).unwrap().bounding, ALL);
    }

    #[test]
    fn unknown_names_are_refused() {
        let config = Capability { add_capabilities: vec!["NONSENSE".to_owned()], ..Default::default() };
        assert!(effective(&config, false).is_err());
    }
}
