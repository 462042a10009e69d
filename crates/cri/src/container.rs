//! Containers in the interface.

use serde::{Deserialize, Serialize};

use super::security::{IdMapping, LinuxContainerSecurityContext};
use super::{ImageSpec, StringMap};

/// The identity of a container within its sandbox.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerMetadata {
    /// The name in the pod.
    pub name: String,
    /// Which container of that name this is, counted from 0.
    pub attempt: u32,
}

/// An environment variable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeyValue {
    /// The name.
    pub key: String,
    /// The value.
    pub value: String,
}

/// How mounts made later travel between host and container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountPropagation {
    /// Not at all (`rprivate`).
    #[default]
    Private,
    /// From the host (`rslave`).
    HostToContainer,
    /// Both ways (`rshared`).
    Bidirectional,
}

/// A directory or file of the host, or an image, in a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mount {
    /// Its path in the container.
    pub container_path: String,
    /// The host path that appears there; empty with `image`. If it does not exist, a directory is created.
    pub host_path: String,
    /// Read-only.
    pub readonly: bool,
    /// Label it for SELinux.
    pub selinux_relabel: bool,
    /// Propagation.
    pub propagation: MountPropagation,
    /// Read-only with all mounts below it; needs `readonly` and private propagation.
    pub recursive_read_only: bool,
    /// Idmapped user ids.
    pub uid_mappings: Vec<IdMapping>,
    /// Idmapped group ids.
    pub gid_mappings: Vec<IdMapping>,
    /// An image whose content appears (KEP-4639), always read-only.
    pub image: Option<ImageSpec>,
    /// A path inside that image; empty for its root.
    pub image_sub_path: String,
}

/// A device of the host in a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Device {
    /// Its path in the container.
    pub container_path: String,
    /// The device on the host.
    pub host_path: String,
    /// Of `r`, `w` and `m` (mknod).
    pub permissions: String,
}

/// A limit of one size of huge pages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HugepageLimit {
    /// The size in cgroup's spelling: `2MB`, `1GB`.
    pub page_size: String,
    /// Bytes.
    pub limit: u64,
}

/// Resources of a container; 0 and empty mean unset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LinuxContainerResources {
    /// CFS period in microseconds.
    pub cpu_period: i64,
    /// CFS quota in microseconds.
    pub cpu_quota: i64,
    /// Relative weight, cgroup v1's scale (2 to 262144).
    pub cpu_shares: i64,
    /// Memory limit in bytes.
    pub memory_limit_in_bytes: i64,
    /// The process's `oom_score_adj`.
    pub oom_score_adj: i64,
    /// CPUs to run on, such as `0-3,7`.
    pub cpuset_cpus: String,
    /// Memory nodes to use.
    pub cpuset_mems: String,
    /// Huge page limits.
    pub hugepage_limits: Vec<HugepageLimit>,
    /// cgroup v2 files and what to write into them.
    pub unified: StringMap,
    /// Memory and swap together, in bytes.
    pub memory_swap_limit_in_bytes: i64,
}

/// Linux parts of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LinuxContainerConfig {
    /// Resources.
    pub resources: LinuxContainerResources,
    /// Security settings.
    pub security_context: LinuxContainerSecurityContext,
}

/// The configuration of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerConfig {
    /// Its identity.
    pub metadata: ContainerMetadata,
    /// Its image; `image.image` is what `pull_image` gave.
    pub image: ImageSpec,
    /// Replaces the image's entry point (and its arguments) if not empty.
    pub command: Vec<String>,
    /// Replaces the image's arguments if not empty.
    pub args: Vec<String>,
    /// Replaces the image's working directory if not empty.
    pub working_dir: String,
    /// Added to the image's environment.
    pub envs: Vec<KeyValue>,
    /// Mounts.
    pub mounts: Vec<Mount>,
    /// Devices.
    pub devices: Vec<Device>,
    /// Labels that lists can select by.
    pub labels: StringMap,
    /// Annotations, given back unchanged.
    pub annotations: StringMap,
    /// The log file, relative to the sandbox's log directory; empty for no log.
    pub log_path: String,
    /// Keep standard input open for attach.
    pub stdin: bool,
    /// Close standard input after the first attached client has gone.
    pub stdin_once: bool,
    /// Give it a terminal.
    pub tty: bool,
    /// Linux parts.
    pub linux: LinuxContainerConfig,
    /// The signal that asks it to stop, such as `SIGTERM`; empty for the image's (KEP-4960).
    pub stop_signal: String,
}

/// A container's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContainerState {
    /// Created, not started.
    Created,
    /// Running.
    Running,
    /// Ended.
    Exited,
    /// The engine does not know its state.
    Unknown,
}

/// The resources that a container has now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerResources {
    /// Linux resources.
    pub linux: LinuxContainerResources,
}

/// The identity that a container's first process started with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LinuxContainerUser {
    /// User.
    pub uid: i64,
    /// Primary group.
    pub gid: i64,
    /// Supplementary groups.
    pub supplemental_groups: Vec<i64>,
}

/// See [`LinuxContainerUser`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerUser {
    /// The user on Linux.
    pub linux: LinuxContainerUser,
}

/// The full status of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerStatus {
    /// Its id.
    pub id: String,
    /// Its sandbox. CRI leaves this out of the status; lists have it.
    pub pod_sandbox_id: String,
    /// Its identity.
    pub metadata: ContainerMetadata,
    /// Its state.
    pub state: ContainerState,
    /// When it was created.
    pub created_at: jiff::Timestamp,
    /// When it was started.
    pub started_at: Option<jiff::Timestamp>,
    /// When it ended.
    pub finished_at: Option<jiff::Timestamp>,
    /// Its exit code, 128 + n after signal n; only after its end.
    pub exit_code: i32,
    /// Its image as configured.
    pub image: ImageSpec,
    /// A digest reference of its image, or the ID.
    pub image_ref: String,
    /// The ID of its image.
    pub image_id: String,
    /// A CamelCase word for the end: `Completed`, `Error`, `OOMKilled`, `ContainerCannotRun`.
    pub reason: String,
    /// A message for people.
    pub message: String,
    /// Labels as configured.
    pub labels: StringMap,
    /// Annotations as configured.
    pub annotations: StringMap,
    /// Mounts as configured.
    pub mounts: Vec<Mount>,
    /// The absolute path of its log.
    pub log_path: String,
    /// The resources that apply now.
    pub resources: ContainerResources,
    /// The user its process started as; absent before the start.
    pub user: Option<ContainerUser>,
    /// The signal that asks it to stop.
    pub stop_signal: String,
}

/// A container in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Its id.
    pub id: String,
    /// Its sandbox.
    pub pod_sandbox_id: String,
    /// Its identity.
    pub metadata: ContainerMetadata,
    /// Its image as configured.
    pub image: ImageSpec,
    /// A digest reference of its image, or the ID.
    pub image_ref: String,
    /// The ID of its image.
    pub image_id: String,
    /// Its state.
    pub state: ContainerState,
    /// When it was created.
    pub created_at: jiff::Timestamp,
    /// Labels as configured.
    pub labels: StringMap,
    /// Annotations as configured.
    pub annotations: StringMap,
}

/// Selects containers; all set fields must match, an empty filter selects all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerFilter {
    /// Only this container; a unique prefix is enough.
    pub id: Option<String>,
    /// Only containers in this state.
    pub state: Option<ContainerState>,
    /// Only containers of this sandbox.
    pub pod_sandbox_id: Option<String>,
    /// Only containers with all these labels.
    pub label_selector: StringMap,
}
