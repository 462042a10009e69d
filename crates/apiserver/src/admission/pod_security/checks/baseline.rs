//! Checks of the level `baseline`.

use object::Value;

use super::{containers, plural, quoted, setters, sorted};
use crate::admission::pod_security::pod::{Finding, Pod};

/// The capabilities that containers have unless they drop them.
const CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];
/// The kernel parameters that a pod may set, in the order in which they were allowed.
const SYSCTLS: [&str; 14] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
    "net.ipv4.tcp_slow_start_after_idle",
    "net.ipv4.tcp_notsent_lowat",
];

fn added(container: &Value) -> impl Iterator<Item = &str> {
    container.at("securityContext.capabilities.add").items().filter_map(Value::as_str)
}

/// No capabilities beyond those that containers have anyway.
pub(super) fn capabilities(pod: Pod<'_>) -> Option<Finding> {
    added_beyond(pod, &CAPABILITIES).map(|detail| Finding { reason: "non-default capabilities", detail })
}

/// The containers that add capabilities other than these.
pub(super) fn added_beyond(pod: Pod<'_>, allowed: &[&str]) -> Option<String> {
    let is_bad = |name: &&str| !allowed.contains(name);
    let bad = pod.names(|container| added(container).any(|name| is_bad(&name)));
    let values = sorted(pod.containers().flat_map(added).filter(is_bad));
    (!bad.is_empty()).then(|| {
        let (who, values) = (containers(&bad), quoted(values));
        format!("{who} must not include {values} in securityContext.capabilities.add")
    })
}

/// No access to the host's network, processes and shared memory.
pub(super) fn host_namespaces(pod: Pod<'_>) -> Option<Finding> {
    let shared = ["hostNetwork", "hostPID", "hostIPC"];
    let shared = shared.iter().filter(|name| pod.spec.get(name).as_bool() == Some(true));
    let shared: Vec<String> = shared.map(|name| format!("{name}=true")).collect();
    (!shared.is_empty()).then(|| Finding { reason: "host namespaces", detail: shared.join(", ") })
}

/// No paths of the host.
pub(super) fn host_paths(pod: Pod<'_>) -> Option<Finding> {
    let volumes = pod.spec.get("volumes").items().filter(|volume| !volume.get("hostPath").is_null());
    let names: Vec<&str> = volumes.map(|volume| volume.str_at("name")).collect();
    (!names.is_empty()).then(|| Finding {
        reason: "hostPath volumes",
        detail: format!("{} {}", plural("volume", "volumes", names.len()), quoted(names)),
    })
}

/// No ports of the host.
pub(super) fn host_ports(pod: Pod<'_>) -> Option<Finding> {
    let ports = |container: &Value| -> Vec<String> {
        let ports = container.get("ports").items().filter_map(|port| port.get("hostPort").as_i64());
        ports.filter(|port| *port != 0).map(|port| port.to_string()).collect()
    };
    let bad = pod.names(|container| !ports(container).is_empty());
    let all: Vec<String> = pod.containers().flat_map(ports).collect();
    let all = sorted(all.iter().map(String::as_str));
    (!bad.is_empty()).then(|| {
        let (who, uses) = (containers(&bad), plural("uses", "use", bad.len()));
        let ports = plural("hostPort", "hostPorts", all.len());
        let list = all.iter().copied().collect::<Vec<_>>().join(", ");
        Finding { reason: "hostPort", detail: format!("{who} {uses} {ports} {list}") }
    })
}

/// Probes and lifecycle handlers may query only the pod itself, and not make the node query others.
pub(super) fn hosts_of_handlers(pod: Pod<'_>) -> Option<Finding> {
    const HANDLERS: [&str; 5] =
        ["livenessProbe", "readinessProbe", "startupProbe", "lifecycle.postStart", "lifecycle.preStop"];
    fn hosts(container: &Value) -> impl Iterator<Item = &str> {
        let handlers = HANDLERS.iter().map(|path| container.at(path));
        handlers
            .flat_map(|handler| ["httpGet.host", "tcpSocket.host"].map(|path| handler.str_at(path)))
            .filter(|host| !host.is_empty())
    }
    let bad = sorted(pod.names(|container| hosts(container).next().is_some()));
    let all = sorted(pod.containers().flat_map(hosts));
    (!bad.is_empty()).then(|| {
        let bad: Vec<&str> = bad.into_iter().collect();
        let (who, uses) = (containers(&bad), plural("uses", "use", bad.len()));
        let what = plural("probe or lifecycle host", "probe or lifecycle hosts", all.len());
        Finding { reason: "probe or lifecycle host", detail: format!("{who} {uses} {what} {}", quoted(all)) }
    })
}

/// No privileged container.
pub(super) fn privileged(pod: Pod<'_>) -> Option<Finding> {
    let bad = pod.names(|container| container.at("securityContext.privileged").as_bool() == Some(true));
    (!bad.is_empty()).then(|| Finding {
        reason: "privileged",
        detail: format!("{} must not set securityContext.privileged=true", containers(&bad)),
    })
}

/// The parts of `/proc` that are masked stay so.
pub(super) fn proc_mount(pod: Pod<'_>) -> Option<Finding> {
    let kind = |container: &'_ Value| match container.str_at("securityContext.procMount") {
        "" | "Default" => None,
        kind => Some(kind.to_owned()),
    };
    let bad = pod.names(|container| kind(container).is_some());
    let all: Vec<String> = pod.containers().filter_map(kind).collect();
    (!bad.is_empty()).then(|| {
        let values = quoted(sorted(all.iter().map(String::as_str)));
        Finding {
            reason: "procMount",
            detail: format!("{} must not set securityContext.procMount to {values}", containers(&bad)),
        }
    })
}

pub(super) fn proc_mount_v35(pod: Pod<'_>) -> Option<Finding> {
    if pod.has_own_users() { None } else { proc_mount(pod) }
}

fn sysctls_but(pod: Pod<'_>, allowed: &[&str]) -> Option<Finding> {
    let names = pod.spec.at("securityContext.sysctls").items().map(|sysctl| sysctl.str_at("name"));
    let bad: Vec<&str> = names.filter(|name| !allowed.contains(name)).collect();
    (!bad.is_empty()).then(|| Finding { reason: "forbidden sysctls", detail: bad.join(", ") })
}

/// Only kernel parameters of the pod's own namespaces.
pub(super) fn sysctls(pod: Pod<'_>) -> Option<Finding> {
    sysctls_but(pod, &SYSCTLS[..5])
}

pub(super) fn sysctls_v27(pod: Pod<'_>) -> Option<Finding> {
    sysctls_but(pod, &SYSCTLS[..6])
}

pub(super) fn sysctls_v29(pod: Pod<'_>) -> Option<Finding> {
    sysctls_but(pod, &SYSCTLS[..10])
}

pub(super) fn sysctls_v32(pod: Pod<'_>) -> Option<Finding> {
    sysctls_but(pod, &SYSCTLS[..12])
}

pub(super) fn sysctls_v37(pod: Pod<'_>) -> Option<Finding> {
    sysctls_but(pod, &SYSCTLS)
}

/// No processes of the host, on Windows.
pub(super) fn windows_host_process(pod: Pod<'_>) -> Option<Finding> {
    let is_bad = |of: &Value| of.at("securityContext.windowsOptions.hostProcess").as_bool() == Some(true);
    let who = setters(is_bad(pod.spec), &pod.names(is_bad));
    (!who.is_empty()).then(|| Finding {
        reason: "hostProcess",
        detail: format!("{who} must not set securityContext.windowsOptions.hostProcess=true"),
    })
}
