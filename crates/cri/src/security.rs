//! Security settings of sandboxes and containers.

use serde::{Deserialize, Serialize};

/// Whose namespace a container uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum NamespaceMode {
    /// The sandbox's, shared by the pod's containers.
    #[default]
    Pod,
    /// A new one.
    Container,
    /// The host's.
    Node,
    /// That of the container in [`NamespaceOption::target_id`] (ephemeral containers; only PID).
    Target,
}

/// How a user namespace is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum UserNamespaceMode {
    /// One for the pod, with the given mappings.
    Pod,
    /// The host's.
    #[default]
    Node,
}

/// A range of IDs and its range on the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IdMapping {
    /// The first id on the host.
    pub host_id: u32,
    /// The first id in the container.
    pub container_id: u32,
    /// How many ids.
    pub length: u32,
}

/// A user namespace with its mappings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UserNamespace {
    /// Whose it is.
    pub mode: UserNamespaceMode,
    /// User ids.
    pub uids: Vec<IdMapping>,
    /// Group ids.
    pub gids: Vec<IdMapping>,
}

/// The namespaces of a sandbox or a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NamespaceOption {
    /// Network: [`NamespaceMode::Pod`] or [`NamespaceMode::Node`].
    pub network: NamespaceMode,
    /// Processes. CRI's zero value is `Pod`; the node agent asks for `Container` unless the pod shares.
    pub pid: NamespaceMode,
    /// System V IPC and POSIX queues: [`NamespaceMode::Pod`] or [`NamespaceMode::Node`].
    pub ipc: NamespaceMode,
    /// The container whose PID namespace to join with [`NamespaceMode::Target`].
    pub target_id: String,
    /// The user namespace; absent is the host's.
    pub userns: Option<UserNamespace>,
}

/// How the supplementary groups of the image's user are treated (KEP-3619).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SupplementalGroupsPolicy {
    /// Groups of the image's `/etc/group` are added.
    #[default]
    Merge,
    /// Only the listed groups apply.
    Strict,
}

/// Which security profile applies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProfileType {
    /// The engine's default profile.
    RuntimeDefault,
    /// None.
    #[default]
    Unconfined,
    /// The one in [`SecurityProfile::localhost_ref`].
    Localhost,
}

/// A seccomp or AppArmor profile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SecurityProfile {
    /// Which kind.
    pub profile_type: ProfileType,
    /// For [`ProfileType::Localhost`]: the absolute path of a seccomp profile, or an AppArmor profile's
    /// name.
    pub localhost_ref: String,
}

/// An SELinux label in its parts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SeLinuxOption {
    /// User.
    pub user: String,
    /// Role.
    pub role: String,
    /// Type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Level.
    pub level: String,
}

/// Capabilities to add and to drop, without the `CAP_` prefix; `ALL` means all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Capability {
    /// Added to the engine's default set.
    pub add_capabilities: Vec<String>,
    /// Dropped from it.
    pub drop_capabilities: Vec<String>,
    /// Added to the ambient set too.
    pub add_ambient_capabilities: Vec<String>,
}

/// Security settings of a sandbox.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LinuxSandboxSecurityContext {
    /// Namespaces.
    pub namespace_options: NamespaceOption,
    /// SELinux label.
    pub selinux_options: Option<SeLinuxOption>,
    /// User of the sandbox's own process.
    pub run_as_user: Option<i64>,
    /// Group of the sandbox's own process; needs `run_as_user`.
    pub run_as_group: Option<i64>,
    /// The root file system is read-only.
    pub readonly_rootfs: bool,
    /// More groups.
    pub supplemental_groups: Vec<i64>,
    /// How the image's groups are treated.
    pub supplemental_groups_policy: SupplementalGroupsPolicy,
    /// A container in the sandbox will be privileged.
    pub privileged: bool,
    /// Seccomp profile; absent means unconfined.
    pub seccomp: Option<SecurityProfile>,
    /// AppArmor profile; absent means the engine's default.
    pub apparmor: Option<SecurityProfile>,
}

/// Security settings of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LinuxContainerSecurityContext {
    /// Capabilities.
    pub capabilities: Capability,
    /// All capabilities, all devices, nothing masked.
    pub privileged: bool,
    /// Namespaces.
    pub namespace_options: NamespaceOption,
    /// SELinux label.
    pub selinux_options: Option<SeLinuxOption>,
    /// User by number; wins over `run_as_username`.
    pub run_as_user: Option<i64>,
    /// Group by number; needs a user.
    pub run_as_group: Option<i64>,
    /// User by name, looked up in the image's `/etc/passwd`.
    pub run_as_username: String,
    /// The root file system is read-only.
    pub readonly_rootfs: bool,
    /// More groups.
    pub supplemental_groups: Vec<i64>,
    /// How the image's groups are treated.
    pub supplemental_groups_policy: SupplementalGroupsPolicy,
    /// Forbids gaining privileges by exec.
    pub no_new_privs: bool,
    /// Paths to hide.
    pub masked_paths: Vec<String>,
    /// Paths to make read-only.
    pub readonly_paths: Vec<String>,
    /// Seccomp profile; absent means unconfined.
    pub seccomp: Option<SecurityProfile>,
    /// AppArmor profile; absent means the engine's default.
    pub apparmor: Option<SecurityProfile>,
}
