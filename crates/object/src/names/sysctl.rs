//! Names of kernel parameters (`k8s.io/component-helpers/node/util/sysctl`).

use std::fmt;

/// The kernel namespace that a parameter belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SysctlNamespace {
    /// That of System V and POSIX message queues, semaphores and shared memory.
    Ipc,
    /// The network's.
    Network,
}

impl fmt::Display for SysctlNamespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SysctlNamespace::Ipc => "ipc",
            SysctlNamespace::Network => "net",
        })
    }
}

/// The name with dots between its parts. Where the first separator is a slash, slashes separate, and dots are parts
/// of names: they become slashes.
///
/// ```
/// use object::names::normalize_sysctl;
/// assert_eq!(normalize_sysctl("net/ipv4/conf/eno2.100/rp_filter"), "net.ipv4.conf.eno2/100.rp_filter");
/// assert_eq!(normalize_sysctl("net.core.somaxconn"), "net.core.somaxconn");
/// ```
pub fn normalize_sysctl(name: &str) -> String {
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

/// The namespace of a parameter, by its normalized name or the beginning of it; `None` if it is not known to have one.
pub fn sysctl_namespace(name: &str) -> Option<SysctlNamespace> {
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    if name == "kernel.sem" || starts(&["kernel.shm", "kernel.msg", "fs.mqueue."]) {
        return Some(SysctlNamespace::Ipc);
    }
    starts(&["net."]).then_some(SysctlNamespace::Network)
}
