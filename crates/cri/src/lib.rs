//! The Container Runtime Interface as Rust traits, in the shape of CRI v1.
//!
//! Names and meanings are those of `k8s.io/cri-api/pkg/apis/runtime/v1/api.proto`, so that an
//! implementation can be the embedded engine or a gRPC client of another engine. Differences, each
//! because caller and engine may share a process:
//!
//! - times are [`jiff::Timestamp`]s, and absent where the protocol says 0;
//! - `exec`, `attach` and `port_forward` give streams ([`StreamingSession`], [`DuplexStream`]) instead of
//!   the URL of a streaming server;
//! - fields that only Windows uses, and the deprecated ones, are left out.
//!
//! The types derive serde, so that an engine can store the configuration of its sandboxes and containers.
//!
//! This crate must not know any engine, nor the Kubernetes API. It is separate so that it is visible that `node` uses
//! only this interface and no engine.

mod container;
mod error;
mod image;
mod network;
mod pressure;
mod sandbox;
mod security;
mod stats;
mod stream;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;

pub use container::{
    Container, ContainerConfig, ContainerFilter, ContainerMetadata, ContainerResources, ContainerState,
    ContainerStatus, ContainerUser, Device, HugepageLimit, KeyValue, LinuxContainerConfig,
    LinuxContainerResources, LinuxContainerUser, Mount, MountPropagation,
};
pub use error::{Code, CriError, PullErrorKind};
pub use image::{AuthConfig, FilesystemUsage, Image, ImageFilter, ImageFsInfo, ImageSpec};
pub use network::{NetworkRequest, PodNetwork};
pub use pressure::{Pressure, Pressures, Stalls};
pub use sandbox::{
    DnsConfig, LinuxPodSandboxConfig, PodSandbox, PodSandboxConfig, PodSandboxFilter, PodSandboxMetadata,
    PodSandboxNetworkStatus, PodSandboxState, PodSandboxStatus, PortMapping, Protocol,
};
pub use security::{
    Capability, IdMapping, LinuxContainerSecurityContext, LinuxSandboxSecurityContext, NamespaceMode,
    NamespaceOption, ProfileType, SeLinuxOption, SecurityProfile, SupplementalGroupsPolicy, UserNamespace,
    UserNamespaceMode,
};
pub use stats::{
    ContainerStats, ContainerStatsFilter, CpuUsage, MemoryUsage, NetworkInterfaceUsage, NetworkUsage,
    PodSandboxStats, PodSandboxStatsFilter, SwapUsage, Transfer,
};
pub use stream::{
    AttachOptions, Duplex, DuplexStream, ExecOptions, ExecSyncResult, ExitFuture, InputStream, OutputStream,
    StreamingSession, TerminalSize,
};

/// Labels and annotations, in the order of their keys.
pub type StringMap = BTreeMap<String, String>;

/// Facts that an engine reports about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionInfo {
    /// The engine's name, for example `ironhull` or `containerd`.
    pub runtime_name: String,
    /// The engine's version, a semantic version.
    pub runtime_version: String,
    /// The version of CRI it speaks: `v1`.
    pub runtime_api_version: String,
}

/// One condition of an engine: `RuntimeReady` or `NetworkReady`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeCondition {
    /// The condition's name.
    pub kind: String,
    /// Whether it is true.
    pub status: bool,
    /// A CamelCase word for why it is not true.
    pub reason: String,
    /// A message for people.
    pub message: String,
}

impl RuntimeCondition {
    /// The engine can run containers.
    pub const RUNTIME_READY: &'static str = "RuntimeReady";
    /// The pod network is set up.
    pub const NETWORK_READY: &'static str = "NetworkReady";
}

/// A runtime handler (the target of a RuntimeClass) and what it can do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuntimeHandler {
    /// The handler's name; empty for the default one.
    pub name: String,
    /// Supports recursive read-only mounts.
    pub recursive_read_only_mounts: bool,
    /// Supports pods in user namespaces.
    pub user_namespaces: bool,
}

/// The engine's conditions and abilities.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuntimeStatus {
    /// At least [`RuntimeCondition::RUNTIME_READY`] and [`RuntimeCondition::NETWORK_READY`].
    pub conditions: Vec<RuntimeCondition>,
    /// The handlers that sandboxes may ask for.
    pub runtime_handlers: Vec<RuntimeHandler>,
    /// Honours [`SupplementalGroupsPolicy`].
    pub supplemental_groups_policy: bool,
}

/// The driver that the engine manages cgroups with; the node agent must use the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupDriver {
    /// Through systemd's slices and scopes.
    Systemd,
    /// Directly in the file system.
    Cgroupfs,
}

/// An event of a container (or a sandbox, which counts as one here).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerEventType {
    /// It was created.
    Created,
    /// It was started.
    Started,
    /// It ended or was stopped.
    Stopped,
    /// It was removed.
    Deleted,
}

/// One event of a container's life.
#[derive(Clone, Debug)]
pub struct ContainerEvent {
    /// The container, or the sandbox.
    pub container_id: String,
    /// What happened.
    pub event_type: ContainerEventType,
    /// When.
    pub created_at: jiff::Timestamp,
    /// The sandbox at that time; absent after its removal.
    pub pod_sandbox_status: Option<PodSandboxStatus>,
    /// The statuses of all containers in the sandbox at that time.
    pub containers_statuses: Vec<ContainerStatus>,
}

/// Sandboxes and containers: CRI's `RuntimeService`.
///
/// Calls that stop or remove something succeed if it is already stopped or gone.
#[async_trait]
pub trait RuntimeService: Send + Sync {
    /// Name and version of the engine.
    async fn version(&self) -> Result<VersionInfo, CriError>;

    /// Conditions of the engine.
    async fn status(&self) -> Result<RuntimeStatus, CriError>;

    /// Waits until the answer of [`status`](Self::status) may have changed, if the engine supports that; it is polled
    /// in any case. A change without a waiter is reported to the next one.
    async fn status_changed(&self) {
        std::future::pending().await
    }

    /// The engine's cgroup driver (CRI's `RuntimeConfig`). Older engines do not have this call.
    async fn cgroup_driver(&self) -> Result<CgroupDriver, CriError>;

    /// Tells the engine the node's pod subnets (CRI's `UpdateRuntimeConfig`); empty if not known yet.
    async fn update_pod_cidr(&self, pod_cidr: &str) -> Result<(), CriError>;

    /// Creates and starts a sandbox and returns its ID; it is ready when this returns.
    async fn run_pod_sandbox(
        &self,
        config: &PodSandboxConfig,
        runtime_handler: &str,
    ) -> Result<String, CriError>;

    /// Ends every process of the sandbox and releases its network. Idempotent.
    async fn stop_pod_sandbox(&self, pod_sandbox_id: &str) -> Result<(), CriError>;

    /// Removes the sandbox and its containers, ending what still runs. Idempotent.
    async fn remove_pod_sandbox(&self, pod_sandbox_id: &str) -> Result<(), CriError>;

    /// The sandbox's status; [`CriError::NotFound`] if there is none.
    async fn pod_sandbox_status(&self, pod_sandbox_id: &str) -> Result<PodSandboxStatus, CriError>;

    /// The sandboxes that the filter selects.
    async fn list_pod_sandbox(&self, filter: &PodSandboxFilter) -> Result<Vec<PodSandbox>, CriError>;

    /// Changes the resources of the sandbox as a whole (CRI's `UpdatePodSandboxResources`).
    async fn update_pod_sandbox_resources(
        &self,
        pod_sandbox_id: &str,
        overhead: &LinuxContainerResources,
        resources: &LinuxContainerResources,
    ) -> Result<(), CriError>;

    /// Creates a container in a sandbox without starting it, and returns its ID.
    async fn create_container(
        &self,
        pod_sandbox_id: &str,
        config: &ContainerConfig,
        sandbox_config: &PodSandboxConfig,
    ) -> Result<String, CriError>;

    /// Starts a created container.
    async fn start_container(&self, container_id: &str) -> Result<(), CriError>;

    /// Sends the stop signal and, after `timeout`, SIGKILL (at once if zero). Idempotent.
    async fn stop_container(&self, container_id: &str, timeout: Duration) -> Result<(), CriError>;

    /// Removes a container, ending it if it runs. Idempotent.
    async fn remove_container(&self, container_id: &str) -> Result<(), CriError>;

    /// The containers that the filter selects.
    async fn list_containers(&self, filter: &ContainerFilter) -> Result<Vec<Container>, CriError>;

    /// The container's status; [`CriError::NotFound`] if there is none.
    async fn container_status(&self, container_id: &str) -> Result<ContainerStatus, CriError>;

    /// Changes the resources of a container; zero and empty fields stay as they are.
    async fn update_container_resources(
        &self,
        container_id: &str,
        resources: &LinuxContainerResources,
    ) -> Result<(), CriError>;

    /// Reopens the container's log after the caller has rotated it.
    async fn reopen_container_log(&self, container_id: &str) -> Result<(), CriError>;

    /// Runs a command in the container and waits for it; [`CriError::DeadlineExceeded`] after `timeout`
    /// (no limit if zero).
    async fn exec_sync(
        &self,
        container_id: &str,
        command: &[String],
        timeout: Duration,
    ) -> Result<ExecSyncResult, CriError>;

    /// Runs a command in the container with streams.
    async fn exec(&self, container_id: &str, options: ExecOptions) -> Result<StreamingSession, CriError>;

    /// Joins the streams of the container's own process.
    async fn attach(&self, container_id: &str, options: AttachOptions) -> Result<StreamingSession, CriError>;

    /// Connects to a TCP port of the loopback address inside the sandbox's network.
    async fn port_forward(&self, pod_sandbox_id: &str, port: u16) -> Result<DuplexStream, CriError>;

    /// Resource usage of one container.
    async fn container_stats(&self, container_id: &str) -> Result<ContainerStats, CriError>;

    /// Resource usage of the containers that the filter selects.
    async fn list_container_stats(
        &self,
        filter: &ContainerStatsFilter,
    ) -> Result<Vec<ContainerStats>, CriError>;

    /// Resource usage of the ready sandboxes that the filter selects.
    async fn list_pod_sandbox_stats(
        &self,
        filter: &PodSandboxStatsFilter,
    ) -> Result<Vec<PodSandboxStats>, CriError>;

    /// Events of all containers from now on (CRI's `GetContainerEvents`). The stream ends, with an error if the caller
    /// fell behind, when events may have been lost: list, and subscribe again. An engine without events returns
    /// [`Code::Unimplemented`].
    async fn events(&self) -> Result<BoxStream<'static, Result<ContainerEvent, CriError>>, CriError>;
}

/// Images: CRI's `ImageService`.
#[async_trait]
pub trait ImageService: Send + Sync {
    /// The images that the filter selects.
    async fn list_images(&self, filter: &ImageFilter) -> Result<Vec<Image>, CriError>;

    /// The image, by tag, digest or id; `None` if it is not present.
    async fn image_status(&self, image: &ImageSpec) -> Result<Option<Image>, CriError>;

    /// Pulls an image and returns the reference by which to run it (its ID).
    async fn pull_image(
        &self,
        image: &ImageSpec,
        auth: Option<&AuthConfig>,
        sandbox_config: Option<&PodSandboxConfig>,
    ) -> Result<String, CriError>;

    /// Removes an image with all its tags. Idempotent.
    async fn remove_image(&self, image: &ImageSpec) -> Result<(), CriError>;

    /// Usage of the file systems that hold images and the containers' writable layers.
    async fn image_fs_info(&self) -> Result<ImageFsInfo, CriError>;
}
