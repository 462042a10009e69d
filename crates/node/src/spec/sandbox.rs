//! The configuration of a sandbox.

use std::path::{Path, PathBuf};

use cri::{
    CgroupDriver, DnsConfig, LinuxPodSandboxConfig, PodSandboxConfig, PodSandboxMetadata, PortMapping,
    Protocol, StringMap,
};
use object::names::normalize_sysctl;

use super::{cgroup_parent, hosts, pod_resources, security};
use crate::config::NodeConfig;
use crate::label;
use crate::pod::PodInfo;

/// The inputs of a sandbox's configuration, in addition to the pod.
pub(crate) struct SandboxInput<'a> {
    pub(crate) config: &'a NodeConfig,
    pub(crate) attempt: u32,
    pub(crate) cgroup_driver: CgroupDriver,
    pub(crate) dns: DnsConfig,
}

/// The directory of a pod's logs.
pub(crate) fn log_directory(pod: &PodInfo, root: &Path) -> PathBuf {
    root.join(format!("{}_{}_{}", pod.key.namespace(), pod.key.name, pod.uid))
}

/// The labels that a pod's sandboxes and containers are found by.
pub(super) fn pod_labels(pod: &PodInfo) -> StringMap {
    StringMap::from([
        (label::POD_NAME.to_owned(), pod.key.name.to_string()),
        (label::POD_NAMESPACE.to_owned(), pod.key.namespace().to_owned()),
        (label::POD_UID.to_owned(), pod.uid.clone()),
    ])
}

pub(crate) fn sandbox_config(pod: &PodInfo, input: SandboxInput<'_>) -> PodSandboxConfig {
    let spec = pod.spec();
    let mut labels: StringMap = pod.pod.metadata.labels.clone().unwrap_or_default();
    labels.extend(pod_labels(pod));
    let sysctls = spec.security_context.iter().flat_map(|context| context.sysctls.iter().flatten());
    let hostname = match pod.host_network() {
        true => String::new(),
        false => hosts::kernel_hostname(pod, &input.config.cluster_domain),
    };
    PodSandboxConfig {
        metadata: PodSandboxMetadata {
            name: pod.key.name.to_string(),
            uid: pod.uid.clone(),
            namespace: pod.key.namespace().to_owned(),
            attempt: input.attempt,
        },
        hostname,
        log_directory: log_directory(pod, &input.config.log_dir).to_string_lossy().into_owned(),
        dns_config: Some(input.dns),
        port_mappings: if pod.host_network() { Vec::new() } else { port_mappings(pod) },
        labels,
        annotations: pod.pod.metadata.annotations.clone().unwrap_or_default(),
        linux: LinuxPodSandboxConfig {
            cgroup_parent: cgroup_parent(pod, &input.config.cgroup_root, input.cgroup_driver),
            security_context: security::of_sandbox(pod, &input.config.seccomp_dir),
            sysctls: sysctls.map(|sysctl| (normalize_sysctl(&sysctl.name), sysctl.value.clone())).collect(),
            overhead: None,
            resources: Some(pod_resources(pod)),
        },
    }
}

fn port_mappings(pod: &PodInfo) -> Vec<PortMapping> {
    let ports = pod.containers.iter().flat_map(|container| container.spec.ports.iter().flatten());
    ports
        .filter_map(|port| {
            let host_port = u16::try_from(port.host_port?).ok().filter(|port| *port != 0)?;
            Some(PortMapping {
                protocol: match port.protocol.as_deref() {
                    Some("UDP") => Protocol::Udp,
                    Some("SCTP") => Protocol::Sctp,
                    _ => Protocol::Tcp,
                },
                container_port: u16::try_from(port.container_port).ok()?,
                host_port,
                host_ip: port.host_ip.clone().unwrap_or_default(),
            })
        })
        .collect()
}
