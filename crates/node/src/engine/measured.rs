//! An engine whose calls are measured (upstream: `kuberuntime/instrumented_services`). It can stand before any engine.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cri::{
    AttachOptions, AuthConfig, CgroupDriver, Container, ContainerConfig, ContainerEvent, ContainerFilter,
    ContainerStats, ContainerStatsFilter, ContainerStatus, CriError, DuplexStream, ExecOptions,
    ExecSyncResult, Image, ImageFilter, ImageFsInfo, ImageService, ImageSpec, LinuxContainerResources,
    PodSandbox, PodSandboxConfig, PodSandboxFilter, PodSandboxStats, PodSandboxStatsFilter, PodSandboxStatus,
    RuntimeService, RuntimeStatus, StreamingSession, VersionInfo,
};
use futures::stream::BoxStream;

use crate::metrics::Operations;

/// The engine's runtime service, measured.
pub(crate) struct MeasuredRuntime {
    pub(crate) inner: Arc<dyn RuntimeService>,
    pub(crate) operations: Operations,
}

/// The engine's image service, measured.
pub(crate) struct MeasuredImages {
    pub(crate) inner: Arc<dyn ImageService>,
    pub(crate) operations: Operations,
}

#[async_trait]
impl RuntimeService for MeasuredRuntime {
    async fn version(&self) -> Result<VersionInfo, CriError> {
        self.operations.measure("version", self.inner.version()).await
    }

    async fn status(&self) -> Result<RuntimeStatus, CriError> {
        self.operations.measure("status", self.inner.status()).await
    }

    async fn status_changed(&self) {
        self.inner.status_changed().await
    }

    async fn cgroup_driver(&self) -> Result<CgroupDriver, CriError> {
        self.operations.measure("runtime_config", self.inner.cgroup_driver()).await
    }

    async fn update_pod_cidr(&self, pod_cidr: &str) -> Result<(), CriError> {
        self.operations.measure("update_runtime_config", self.inner.update_pod_cidr(pod_cidr)).await
    }

    async fn run_pod_sandbox(
        &self,
        config: &PodSandboxConfig,
        runtime_handler: &str,
    ) -> Result<String, CriError> {
        self.operations.measure("run_podsandbox", self.inner.run_pod_sandbox(config, runtime_handler)).await
    }

    async fn stop_pod_sandbox(&self, pod_sandbox_id: &str) -> Result<(), CriError> {
        self.operations.measure("stop_podsandbox", self.inner.stop_pod_sandbox(pod_sandbox_id)).await
    }

    async fn remove_pod_sandbox(&self, pod_sandbox_id: &str) -> Result<(), CriError> {
        self.operations.measure("remove_podsandbox", self.inner.remove_pod_sandbox(pod_sandbox_id)).await
    }

    async fn pod_sandbox_status(&self, pod_sandbox_id: &str) -> Result<PodSandboxStatus, CriError> {
        self.operations.measure("podsandbox_status", self.inner.pod_sandbox_status(pod_sandbox_id)).await
    }

    async fn list_pod_sandbox(&self, filter: &PodSandboxFilter) -> Result<Vec<PodSandbox>, CriError> {
        self.operations.measure("list_podsandbox", self.inner.list_pod_sandbox(filter)).await
    }

    async fn update_pod_sandbox_resources(
        &self,
        pod_sandbox_id: &str,
        overhead: &LinuxContainerResources,
        resources: &LinuxContainerResources,
    ) -> Result<(), CriError> {
        let call = self.inner.update_pod_sandbox_resources(pod_sandbox_id, overhead, resources);
        self.operations.measure("update_podsandbox_resources", call).await
    }

    async fn create_container(
        &self,
        pod_sandbox_id: &str,
        config: &ContainerConfig,
        sandbox_config: &PodSandboxConfig,
    ) -> Result<String, CriError> {
        let call = self.inner.create_container(pod_sandbox_id, config, sandbox_config);
        self.operations.measure("create_container", call).await
    }

    async fn start_container(&self, container_id: &str) -> Result<(), CriError> {
        self.operations.measure("start_container", self.inner.start_container(container_id)).await
    }

    async fn stop_container(&self, container_id: &str, timeout: Duration) -> Result<(), CriError> {
        self.operations.measure("stop_container", self.inner.stop_container(container_id, timeout)).await
    }

    async fn remove_container(&self, container_id: &str) -> Result<(), CriError> {
        self.operations.measure("remove_container", self.inner.remove_container(container_id)).await
    }

    async fn list_containers(&self, filter: &ContainerFilter) -> Result<Vec<Container>, CriError> {
        self.operations.measure("list_containers", self.inner.list_containers(filter)).await
    }

    async fn container_status(&self, container_id: &str) -> Result<ContainerStatus, CriError> {
        self.operations.measure("container_status", self.inner.container_status(container_id)).await
    }

    async fn update_container_resources(
        &self,
        container_id: &str,
        resources: &LinuxContainerResources,
    ) -> Result<(), CriError> {
        let call = self.inner.update_container_resources(container_id, resources);
        self.operations.measure("update_container", call).await
    }

    async fn reopen_container_log(&self, container_id: &str) -> Result<(), CriError> {
        self.operations.measure("reopen_container_log", self.inner.reopen_container_log(container_id)).await
    }

    async fn exec_sync(
        &self,
        container_id: &str,
        command: &[String],
        timeout: Duration,
    ) -> Result<ExecSyncResult, CriError> {
        self.operations.measure("exec_sync", self.inner.exec_sync(container_id, command, timeout)).await
    }

    async fn exec(&self, container_id: &str, options: ExecOptions) -> Result<StreamingSession, CriError> {
        self.operations.measure("exec", self.inner.exec(container_id, options)).await
    }

    async fn attach(&self, container_id: &str, options: AttachOptions) -> Result<StreamingSession, CriError> {
        self.operations.measure("attach", self.inner.attach(container_id, options)).await
    }

    async fn port_forward(&self, pod_sandbox_id: &str, port: u16) -> Result<DuplexStream, CriError> {
        self.operations.measure("port_forward", self.inner.port_forward(pod_sandbox_id, port)).await
    }

    async fn container_stats(&self, container_id: &str) -> Result<ContainerStats, CriError> {
        self.operations.measure("container_stats", self.inner.container_stats(container_id)).await
    }

    async fn list_container_stats(
        &self,
        filter: &ContainerStatsFilter,
    ) -> Result<Vec<ContainerStats>, CriError> {
        self.operations.measure("list_container_stats", self.inner.list_container_stats(filter)).await
    }

    async fn list_pod_sandbox_stats(
        &self,
        filter: &PodSandboxStatsFilter,
    ) -> Result<Vec<PodSandboxStats>, CriError> {
        self.operations.measure("list_podsandbox_stats", self.inner.list_pod_sandbox_stats(filter)).await
    }

    async fn events(&self) -> Result<BoxStream<'static, Result<ContainerEvent, CriError>>, CriError> {
        self.operations.measure("get_container_events", self.inner.events()).await
    }
}

#[async_trait]
impl ImageService for MeasuredImages {
    async fn list_images(&self, filter: &ImageFilter) -> Result<Vec<Image>, CriError> {
        self.operations.measure("list_images", self.inner.list_images(filter)).await
    }

    async fn image_status(&self, image: &ImageSpec) -> Result<Option<Image>, CriError> {
        self.operations.measure("image_status", self.inner.image_status(image)).await
    }

    async fn pull_image(
        &self,
        image: &ImageSpec,
        auth: Option<&AuthConfig>,
        sandbox_config: Option<&PodSandboxConfig>,
    ) -> Result<String, CriError> {
        self.operations.measure("pull_image", self.inner.pull_image(image, auth, sandbox_config)).await
    }

    async fn remove_image(&self, image: &ImageSpec) -> Result<(), CriError> {
        self.operations.measure("remove_image", self.inner.remove_image(image)).await
    }

    async fn image_fs_info(&self) -> Result<ImageFsInfo, CriError> {
        self.operations.measure("image_fs_info", self.inner.image_fs_info()).await
    }
}
