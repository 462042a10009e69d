//! Kernel parameters of a sandbox.
//!
//! Only parameters that belong to a namespace are set, and only where the sandbox has that namespace to itself:
//! everything else would change the host. The list is runc's. Which of them a pod may request is decided earlier; the
//! engine never lets a caller change the host's parameters.

use std::fs::File;
use std::io;
use std::path::Path;

use nix::sched::{CloneFlags, setns};

use super::namespaces;
use crate::shim::procfs::Procfs;
use cri::{CriError, NamespaceMode, PodSandboxConfig, StringMap};

/// The parameters of the IPC namespace below `kernel`.
const IPC: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

/// Why a parameter is not set. The wording is the one that users of other engines know.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum SysctlError {
    #[error("sysctl {0:?} is not the name of a kernel parameter")]
    Name(String),
    #[error("sysctl {0:?} is not in a separate kernel namespace")]
    Host(String),
    #[error("sysctl {0:?} is not allowed in the hosts ipc namespace")]
    HostIpc(String),
    #[error("sysctl {0:?} not allowed in host network namespace")]
    HostNetwork(String),
}

/// The private namespaces of a sandbox.
#[derive(Clone, Copy)]
struct Own {
    network: bool,
    ipc: bool,
}

impl Own {
    fn of(config: &PodSandboxConfig) -> Own {
        let options = &config.linux.security_context.namespace_options;
        Own { network: options.network != NamespaceMode::Node, ipc: options.ipc != NamespaceMode::Node }
    }
}

/// Refuses a sandbox that requests a parameter outside its own namespaces.
pub(super) fn check(config: &PodSandboxConfig) -> Result<(), CriError> {
    let own = Own::of(config);
    let mut names = config.linux.sysctls.keys();
    names
        .try_for_each(|name| path(name, own).map(drop))
        .map_err(|error| CriError::InvalidArgument(error.to_string()))
}

/// Sets the parameters in the namespaces that are mounted in the sandbox's directory. Blocks.
pub(super) fn apply(directory: &Path, config: &PodSandboxConfig) -> io::Result<()> {
    let sysctls: &StringMap = &config.linux.sysctls;
    if sysctls.is_empty() {
        return Ok(());
    }
    let own = Own::of(config);
    namespaces::in_own_thread(|| {
        let pins = [
            (own.network, namespaces::network_path(directory), CloneFlags::CLONE_NEWNET),
            (own.network, namespaces::uts_path(directory), CloneFlags::CLONE_NEWUTS),
            (own.ipc, namespaces::ipc_path(directory), CloneFlags::CLONE_NEWIPC),
        ];
        for (_, pin, kind) in pins.iter().filter(|(own, ..)| *own) {
            setns(File::open(pin)?, *kind)?;
        }
        let procfs = Procfs::new()?;
        for (name, value) in sysctls {
            let path = path(name, own).map_err(io::Error::other)?;
            procfs.write(&path, value).map_err(|error| {
                io::Error::new(error.kind(), format!("set sysctl {name} to {value:?}: {error}"))
            })?;
        }
        Ok(())
    })
}

/// The path of a parameter below `/proc`.
fn path(name: &str, own: Own) -> Result<String, SysctlError> {
    let dotted = dotted(name);
    let parts: Vec<String> = dotted.split('.').map(|part| part.replace('/', ".")).collect();
    let plain = |part: &String| !matches!(part.as_str(), "" | "." | "..") && !part.contains('\0');
    if parts.len() < 2 || !parts.iter().all(plain) {
        return Err(SysctlError::Name(name.to_owned()));
    }
    let denied = match dotted.as_str() {
        dotted if IPC.contains(&dotted) || dotted.starts_with("fs.mqueue.") => {
            (!own.ipc).then(|| SysctlError::HostIpc(dotted.to_owned()))
        }
        dotted if dotted.starts_with("net.") => {
            (!own.network).then(|| SysctlError::HostNetwork(dotted.to_owned()))
        }
        // A sandbox has its own host name if and only if it has its own network.
        "kernel.domainname" if own.network => None,
        dotted => Some(SysctlError::Host(dotted.to_owned())),
    };
    denied.map_or_else(|| Ok(format!("sys/{}", parts.join("/"))), Err)
}

/// The name with dots between its parts. Where the first separator is a slash, slashes separate and dots belong to
/// the parts (`sysctl.d(5)`).
fn dotted(name: &str) -> String {
    let swap = |c| match c {
        '/' => '.',
        '.' => '/',
        c => c,
    };
    match name.find(['.', '/']).map(|at| name.as_bytes()[at]) {
        Some(b'/') => name.chars().map(swap).collect(),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, network: bool, ipc: bool) -> Result<String, String> {
        path(name, Own { network, ipc }).map_err(|error| error.to_string())
    }

    #[test]
    fn only_parameters_of_the_sandboxs_own_namespaces_have_a_path() {
        let own = |name| of(name, true, true);
        for (name, expected) in [
            ("net.core.somaxconn", "sys/net/core/somaxconn"),
            ("net/core/somaxconn", "sys/net/core/somaxconn"),
            ("net/ipv4/conf/eth0.1/forwarding", "sys/net/ipv4/conf/eth0.1/forwarding"),
            ("net.ipv4.conf.eth0/1.forwarding", "sys/net/ipv4/conf/eth0.1/forwarding"),
            ("kernel.shm_rmid_forced", "sys/kernel/shm_rmid_forced"),
            ("kernel/sem", "sys/kernel/sem"),
            ("fs.mqueue.msg_max", "sys/fs/mqueue/msg_max"),
            ("kernel.domainname", "sys/kernel/domainname"),
        ] {
            assert_eq!(own(name).as_deref(), Ok(expected), "{name}");
        }
        for name in [
            "kernel.core_pattern",
            "kernel/core_pattern",
            "kernel.hostname",
            "kernel.shmx",
            "kernel.sem.x",
            "vm.swappiness",
            "user.max_user_namespaces",
            "fs.suid_dumpable",
            "netx.core",
        ] {
            assert!(
                own(name).is_err_and(|error| error.ends_with("is not in a separate kernel namespace")),
                "{name}"
            );
        }
        for name in [
            "net/../kernel/core_pattern",
            "net.//.kernel.core_pattern",
            "net.core/../../kernel/core_pattern",
            "net/./x",
            "net..core",
            "net.",
            "/net/core",
            "net",
            "",
        ] {
            assert!(
                own(name).is_err_and(|error| error.contains("is not the name of")),
                "{name}: {:?}",
                own(name)
            );
        }
        assert_eq!(
            of("net/core/x", false, true).unwrap_err(),
            r#"sysctl "net.core.x" not allowed in host network namespace"#
        );
        assert_eq!(
            of("kernel.sem", true, false).unwrap_err(),
            r#"sysctl "kernel.sem" is not allowed in the hosts ipc namespace"#
        );
        assert!(of("kernel.domainname", false, true).is_err());
    }

    /// The vulnerability that this module prevents: a name that leads out of the parameters, and one that is a link.
    #[test]
    fn a_name_does_not_lead_out_of_the_parameters() {
        let Ok(procfs) = Procfs::new() else { return };
        for path in ["sys/../self/comm", "self/comm", "sys/net/../../1/comm"] {
            assert!(procfs.write(path, "x").is_err(), "{path}");
        }
    }
}
