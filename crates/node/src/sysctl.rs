//! The kernel parameters that pods may set (`pkg/kubelet/sysctl`).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PodSpec;
use object::names::{SysctlNamespace, normalize_sysctl, sysctl_namespace};

use crate::rejection::Rejection;

/// The longest name.
const NAME_MAX: usize = 253;

/// The parameters that every pod may set, with the kernel version that made each one namespaced.
const SAFE: [(&str, (u32, u32)); 14] = [
    ("kernel.shm_rmid_forced", (0, 0)),
    ("net.ipv4.ip_local_port_range", (0, 0)),
    ("net.ipv4.tcp_syncookies", (0, 0)),
    ("net.ipv4.ping_group_range", (0, 0)),
    ("net.ipv4.ip_unprivileged_port_start", (0, 0)),
    ("net.ipv4.ip_local_reserved_ports", (3, 16)),
    ("net.ipv4.tcp_keepalive_time", (4, 5)),
    ("net.ipv4.tcp_fin_timeout", (4, 6)),
    ("net.ipv4.tcp_keepalive_intvl", (4, 5)),
    ("net.ipv4.tcp_keepalive_probes", (4, 5)),
    ("net.ipv4.tcp_rmem", (4, 15)),
    ("net.ipv4.tcp_wmem", (4, 15)),
    ("net.ipv4.tcp_slow_start_after_idle", (4, 15)),
    ("net.ipv4.tcp_notsent_lowat", (4, 6)),
];

/// Why a parameter cannot be allowed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SysctlPatternError {
    /// It is neither a name nor a prefix followed by `*`.
    #[error(
        "sysctl {0:?} must have at most {NAME_MAX} characters and match regex \
         ([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*([a-z0-9][-_a-z0-9]*)?[a-z0-9*]"
    )]
    Form(String),
    /// It may affect the whole host.
    #[error(
        "the sysctls {0:?} are not known to be namespaced: only kernel.shm*, kernel.msg*, kernel.sem, fs.mqueue.* and \
         net.* can be allowed"
    )]
    NotNamespaced(String),
}

/// The parameters that pods of a node may set.
#[derive(Clone, Debug)]
pub struct SysctlAllowlist {
    names: BTreeMap<String, SysctlNamespace>,
    prefixes: BTreeMap<String, SysctlNamespace>,
}

impl Default for SysctlAllowlist {
    /// The parameters that are safe on this machine's kernel.
    fn default() -> SysctlAllowlist {
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        SysctlAllowlist::safe(&release)
    }
}

impl SysctlAllowlist {
    /// The parameters that are safe on this machine's kernel, and those that an administrator allows: names, or
    /// prefixes followed by `*`.
    ///
    /// # Errors
    /// If one of them is not a name, or not known to belong to a namespace.
    pub fn with_unsafe(patterns: &[String]) -> Result<SysctlAllowlist, SysctlPatternError> {
        let mut list = SysctlAllowlist::default();
        for pattern in patterns {
            list.allow(pattern)?;
        }
        Ok(list)
    }

    fn safe(kernel_release: &str) -> SysctlAllowlist {
        let kernel = version(kernel_release);
        let mut list = SysctlAllowlist { names: BTreeMap::new(), prefixes: BTreeMap::new() };
        for (name, since) in SAFE {
            if let Some(namespace) = sysctl_namespace(name).filter(|_| kernel >= since) {
                list.names.insert(name.to_owned(), namespace);
            }
        }
        list
    }

    fn allow(&mut self, pattern: &str) -> Result<(), SysctlPatternError> {
        if !is_pattern(pattern) {
            return Err(SysctlPatternError::Form(pattern.to_owned()));
        }
        let normal = normalize_sysctl(pattern);
        let (name, list) = match normal.strip_suffix('*') {
            Some(prefix) => (prefix, &mut self.prefixes),
            None => (normal.as_str(), &mut self.names),
        };
        let unknown = || SysctlPatternError::NotNamespaced(pattern.to_owned());
        let namespace = sysctl_namespace(name).ok_or_else(unknown)?;
        list.insert(name.to_owned(), namespace);
        Ok(())
    }

    /// Refuses a pod that sets a parameter that is not allowed.
    pub(crate) fn check(&self, spec: &PodSpec) -> Result<(), Rejection> {
        let sysctls = spec.security_context.iter().flat_map(|context| context.sysctls.iter().flatten());
        for sysctl in sysctls {
            self.check_one(&normalize_sysctl(&sysctl.name), spec).map_err(|why| Rejection {
                reason: "SysctlForbidden",
                message: format!("forbidden sysctl: {why}"),
            })?;
        }
        Ok(())
    }

    fn check_one(&self, name: &str, spec: &PodSpec) -> Result<(), String> {
        let by_prefix =
            || self.prefixes.iter().find(|(prefix, _)| name.starts_with(*prefix)).map(|(_, found)| found);
        let Some(namespace) = self.names.get(name).or_else(by_prefix) else {
            return Err(format!("{name:?} not allowlisted"));
        };
        let host = match namespace {
            SysctlNamespace::Ipc => spec.host_ipc,
            SysctlNamespace::Network => spec.host_network,
        };
        match host {
            Some(true) => Err(format!("{name:?} not allowed with host {namespace} enabled")),
            _ => Ok(()),
        }
    }
}

/// The first two numbers of a kernel's release.
fn version(release: &str) -> (u32, u32) {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

fn is_pattern(text: &str) -> bool {
    let edge = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let inner = |bytes: &[u8]| bytes.iter().all(|b| edge(b) || b"-_".contains(b));
    let segment = |part: &str| match part.as_bytes() {
        bytes @ ([first, .., last] | [first @ last]) => edge(first) && edge(last) && inner(bytes),
        [] => false,
    };
    let last = |part: &str| match part.strip_suffix('*') {
        Some("") => true,
        Some(start) => start.as_bytes().first().is_some_and(edge) && inner(start.as_bytes()),
        None => segment(part),
    };
    let mut parts: Vec<&str> = text.split(['.', '/']).collect();
    let end = parts.pop().unwrap_or_default();
    text.len() <= NAME_MAX && last(end) && parts.into_iter().all(segment)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(list: &SysctlAllowlist, name: &str, host: &str) -> Result<(), String> {
        let mut spec =
            json!({"containers": [], "securityContext": {"sysctls": [{"name": name, "value": "1"}]}});
        spec[host] = json!(true);
        let spec = serde_json::from_value(spec).unwrap();
        list.check(&spec).map_err(|rejection| {
            assert_eq!(rejection.reason, "SysctlForbidden");
            rejection.message
        })
    }

    #[test]
    fn pods_set_what_is_safe_and_what_the_node_allows() {
        let patterns = ["kernel.msg*", "net.core.somaxconn", "net/ipv4/conf/eth0.1/*", "fs.mqueue.*"];
        let list = SysctlAllowlist::with_unsafe(&patterns.map(str::to_owned)).unwrap();
        let safe = SysctlAllowlist::default();
        let yes = |list: &SysctlAllowlist, name: &str| assert_eq!(check(list, name, "x"), Ok(()), "{name}");
        let no = |list: &SysctlAllowlist, name: &str, why: &str| {
            assert_eq!(check(list, name, "x"), Err(format!("forbidden sysctl: {why}")), "{name}");
        };
        for (name, _) in SAFE {
            yes(&safe, name);
            yes(&list, &name.replace('.', "/"));
        }
        for name in
            ["kernel.msgmax", "kernel/msgmnb", "net/core/somaxconn", "net/ipv4/conf/eth0.1/arp_filter"]
        {
            yes(&list, name);
            no(&safe, name, &format!("{:?} not allowlisted", normalize_sysctl(name)));
        }
        for name in ["kernel.core_pattern", "vm.swappiness", "net.core.rmem_max", "kernel.sem", "fs.mqueue"] {
            no(&list, name, &format!("{name:?} not allowlisted"));
        }
        no(&list, "kernel/core_pattern", r#""kernel.core_pattern" not allowlisted"#);
        assert_eq!(
            check(&list, "kernel.msgmax", "hostIPC").unwrap_err(),
            r#"forbidden sysctl: "kernel.msgmax" not allowed with host ipc enabled"#
        );
        assert_eq!(
            check(&safe, "net.ipv4.tcp_rmem", "hostNetwork").unwrap_err(),
            r#"forbidden sysctl: "net.ipv4.tcp_rmem" not allowed with host net enabled"#
        );
    }

    #[test]
    fn only_parameters_of_namespaces_can_be_allowed() {
        let wrong = |pattern: &str| SysctlAllowlist::with_unsafe(&[pattern.to_owned()]).unwrap_err();
        for pattern in
            ["kernel.*", "vm.swappiness", "*", "net*", "kernel/core_pattern", "fs.*", "user.max_user*"]
        {
            assert_eq!(wrong(pattern), SysctlPatternError::NotNamespaced(pattern.to_owned()));
        }
        for pattern in
            ["", "net.*.x", "net..core", "net.-x", "NET.core", "net.core*x", "net.core.", "net/../x"]
        {
            assert_eq!(wrong(pattern), SysctlPatternError::Form(pattern.to_owned()));
        }
    }

    #[test]
    fn old_kernels_have_fewer_safe_parameters() {
        let of = |release| SysctlAllowlist::safe(release).names.len();
        assert_eq!(
            (of("3.10.0-957.el7"), of("4.5"), of("4.6.0"), of("4.15.1-x"), of("6.18.44")),
            (5, 9, 11, 14, 14)
        );
    }
}
