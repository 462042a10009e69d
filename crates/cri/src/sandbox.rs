//! Pod sandboxes in the interface.

use serde::{Deserialize, Serialize};

use super::security::{LinuxSandboxSecurityContext, NamespaceOption};
use super::{LinuxContainerResources, StringMap};

/// The identity of a sandbox; the engine ensures that the four together are unique.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PodSandboxMetadata {
    /// The pod's name.
    pub name: String,
    /// The pod's UID.
    pub uid: String,
    /// The pod's namespace.
    pub namespace: String,
    /// Which sandbox of the pod this is, counted from 0.
    pub attempt: u32,
}

/// The content of the pod's `resolv.conf`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DnsConfig {
    /// Addresses of name servers.
    pub servers: Vec<String>,
    /// Search domains.
    pub searches: Vec<String>,
    /// Options such as `ndots:5`.
    pub options: Vec<String>,
}

/// A transport protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// A port of the host that leads into the sandbox.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PortMapping {
    /// The protocol.
    pub protocol: Protocol,
    /// The port inside the sandbox.
    pub container_port: u16,
    /// The port of the host; 0 maps nothing.
    pub host_port: u16,
    /// The host's address; empty for all.
    pub host_ip: String,
}

/// The configuration of a sandbox.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PodSandboxConfig {
    /// Its identity.
    pub metadata: PodSandboxMetadata,
    /// The host name; empty in the host's own UTS namespace.
    pub hostname: String,
    /// The directory of the host that container log paths are relative to.
    pub log_directory: String,
    /// Name resolution; absent to use the host's.
    pub dns_config: Option<DnsConfig>,
    /// Host ports.
    pub port_mappings: Vec<PortMapping>,
    /// Labels that lists can select by.
    pub labels: StringMap,
    /// Annotations, given back unchanged.
    pub annotations: StringMap,
    /// Linux parts.
    pub linux: LinuxPodSandboxConfig,
}

/// Linux parts of a sandbox.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LinuxPodSandboxConfig {
    /// The cgroup to put the sandbox's cgroups into, a path from the hierarchy's root (or a slice's name
    /// with the systemd driver).
    pub cgroup_parent: String,
    /// Security settings.
    pub security_context: LinuxSandboxSecurityContext,
    /// Namespaced kernel parameters.
    pub sysctls: StringMap,
    /// Resources that the pod needs beyond its containers.
    pub overhead: Option<LinuxContainerResources>,
    /// The sum of the containers' resources.
    pub resources: Option<LinuxContainerResources>,
}

/// A sandbox's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PodSandboxState {
    /// Containers can run in it.
    Ready,
    /// It is stopped, or its processes ended.
    NotReady,
}

/// Addresses of a sandbox; empty in the host's network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PodSandboxNetworkStatus {
    /// The primary address.
    pub ip: String,
    /// More addresses, for example of the other family.
    pub additional_ips: Vec<String>,
}

/// The full status of a sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodSandboxStatus {
    /// Its id.
    pub id: String,
    /// Its identity.
    pub metadata: PodSandboxMetadata,
    /// Its state.
    pub state: PodSandboxState,
    /// When it was created.
    pub created_at: jiff::Timestamp,
    /// Its addresses.
    pub network: PodSandboxNetworkStatus,
    /// Its namespaces.
    pub namespace_options: NamespaceOption,
    /// Labels as configured.
    pub labels: StringMap,
    /// Annotations as configured.
    pub annotations: StringMap,
    /// The handler it runs by.
    pub runtime_handler: String,
}

/// A sandbox in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodSandbox {
    /// Its id.
    pub id: String,
    /// Its identity.
    pub metadata: PodSandboxMetadata,
    /// Its state.
    pub state: PodSandboxState,
    /// When it was created.
    pub created_at: jiff::Timestamp,
    /// Labels as configured.
    pub labels: StringMap,
    /// Annotations as configured.
    pub annotations: StringMap,
    /// The handler it runs by.
    pub runtime_handler: String,
}

/// Selects sandboxes; all set fields must match, an empty filter selects all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodSandboxFilter {
    /// Only this sandbox; a unique prefix is enough.
    pub id: Option<String>,
    /// Only sandboxes in this state.
    pub state: Option<PodSandboxState>,
    /// Only sandboxes with all these labels.
    pub label_selector: StringMap,
}
