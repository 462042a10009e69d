//! The engine's implementation of [`RuntimeService`].

use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::sync::broadcast::error::RecvError;

use super::Engine;
use super::status::sandbox_status;
use crate::shim::protocol::Request;
use cri::{
    AttachOptions, CgroupDriver, Container, ContainerConfig, ContainerEvent, ContainerFilter, ContainerStats,
    ContainerStatsFilter, ContainerStatus, CriError, DuplexStream, ExecOptions, ExecSyncResult,
    LinuxContainerResources, PodSandbox, PodSandboxConfig, PodSandboxFilter, PodSandboxStats,
    PodSandboxStatsFilter, PodSandboxStatus, RuntimeCondition, RuntimeHandler, RuntimeService, RuntimeStatus,
    StreamingSession, VersionInfo,
};

#[async_trait]
impl RuntimeService for Engine {
    async fn version(&self) -> Result<VersionInfo, CriError> {
        Ok(VersionInfo {
            runtime_name: "ironhull".to_owned(),
            runtime_version: env!("CARGO_PKG_VERSION").to_owned(),
            runtime_api_version: "v1".to_owned(),
        })
    }

    async fn status(&self) -> Result<RuntimeStatus, CriError> {
        let problem = self.0.network.problem().await;
        let condition = |kind: &str, problem: Option<String>| RuntimeCondition {
            kind: kind.to_owned(),
            status: problem.is_none(),
            reason: problem.as_ref().map_or(String::new(), |_| "NetworkPluginNotReady".to_owned()),
            message: problem.unwrap_or_default(),
        };
        Ok(RuntimeStatus {
            conditions: vec![
                condition(RuntimeCondition::RUNTIME_READY, None),
                condition(RuntimeCondition::NETWORK_READY, problem),
            ],
            runtime_handlers: vec![RuntimeHandler {
                name: String::new(),
                recursive_read_only_mounts: true,
                user_namespaces: false,
            }],
            supplemental_groups_policy: true,
        })
    }

    async fn status_changed(&self) {
        self.0.network.changed().await;
    }

    async fn cgroup_driver(&self) -> Result<CgroupDriver, CriError> {
        Ok(CgroupDriver::Cgroupfs)
    }

    async fn update_pod_cidr(&self, pod_cidr: &str) -> Result<(), CriError> {
        self.0.network.update_pod_cidr(pod_cidr).await
    }

    async fn run_pod_sandbox(
        &self,
        config: &PodSandboxConfig,
        runtime_handler: &str,
    ) -> Result<String, CriError> {
        self.run_sandbox(config, runtime_handler).await
    }

    async fn stop_pod_sandbox(&self, pod_sandbox_id: &str) -> Result<(), CriError> {
        self.stop_sandbox(pod_sandbox_id).await
    }

    async fn remove_pod_sandbox(&self, pod_sandbox_id: &str) -> Result<(), CriError> {
        self.remove_sandbox(pod_sandbox_id).await
    }

    async fn pod_sandbox_status(&self, pod_sandbox_id: &str) -> Result<PodSandboxStatus, CriError> {
        Ok(sandbox_status(&self.sandbox(pod_sandbox_id)?.snapshot()))
    }

    async fn list_pod_sandbox(&self, filter: &PodSandboxFilter) -> Result<Vec<PodSandbox>, CriError> {
        Ok(self.list_sandboxes(filter))
    }

    async fn update_pod_sandbox_resources(
        &self,
        pod_sandbox_id: &str,
        overhead: &LinuxContainerResources,
        new: &LinuxContainerResources,
    ) -> Result<(), CriError> {
        // The node agent sets the limits of the pod's cgroup itself; here they are only kept.
        let sandbox = self.sandbox(pod_sandbox_id)?;
        let _operation = sandbox.operation.lock().await;
        let record = {
            let mut record = sandbox.record.lock();
            record.config.linux.overhead = Some(overhead.clone());
            record.config.linux.resources = Some(new.clone());
            record.clone()
        };
        self.0.store.save_sandbox(&record).map_err(|error| CriError::internal("save the sandbox", error))
    }

    async fn create_container(
        &self,
        pod_sandbox_id: &str,
        config: &ContainerConfig,
        _sandbox_config: &PodSandboxConfig,
    ) -> Result<String, CriError> {
        self.create(pod_sandbox_id, config).await
    }

    async fn start_container(&self, container_id: &str) -> Result<(), CriError> {
        self.start(container_id).await
    }

    async fn stop_container(&self, container_id: &str, timeout: Duration) -> Result<(), CriError> {
        self.stop(container_id, timeout).await
    }

    async fn remove_container(&self, container_id: &str) -> Result<(), CriError> {
        self.remove(container_id).await
    }

    async fn list_containers(&self, filter: &ContainerFilter) -> Result<Vec<Container>, CriError> {
        Ok(self.list(filter))
    }

    async fn container_status(&self, container_id: &str) -> Result<ContainerStatus, CriError> {
        self.status_of(container_id)
    }

    async fn update_container_resources(
        &self,
        container_id: &str,
        resources: &LinuxContainerResources,
    ) -> Result<(), CriError> {
        self.update_resources(container_id, resources).await
    }

    async fn reopen_container_log(&self, container_id: &str) -> Result<(), CriError> {
        let container = self.container(container_id)?;
        if !container.is_running() {
            return Err(CriError::FailedPrecondition(format!("container {container_id} is not running")));
        }
        let sandbox_id = container.record.lock().sandbox_id.clone();
        let request = Request::ReopenLog { container: container_id.to_owned() };
        let reply = self.sandbox(&sandbox_id)?.shim.call(request).await;
        reply.map(drop).map_err(|error| CriError::internal("reopen the container's log", error))
    }

    async fn exec_sync(
        &self,
        container_id: &str,
        command: &[String],
        timeout: Duration,
    ) -> Result<ExecSyncResult, CriError> {
        self.exec_and_wait(container_id, command, timeout).await
    }

    async fn exec(&self, container_id: &str, options: ExecOptions) -> Result<StreamingSession, CriError> {
        self.exec_session(container_id, &options).await
    }

    async fn attach(&self, container_id: &str, options: AttachOptions) -> Result<StreamingSession, CriError> {
        self.attach_session(container_id, &options).await
    }

    async fn port_forward(&self, pod_sandbox_id: &str, port: u16) -> Result<DuplexStream, CriError> {
        self.connect_port(pod_sandbox_id, port).await
    }

    async fn container_stats(&self, container_id: &str) -> Result<ContainerStats, CriError> {
        self.stats_of(container_id).await
    }

    async fn list_container_stats(
        &self,
        filter: &ContainerStatsFilter,
    ) -> Result<Vec<ContainerStats>, CriError> {
        self.list_stats(filter).await
    }

    async fn list_pod_sandbox_stats(
        &self,
        filter: &PodSandboxStatsFilter,
    ) -> Result<Vec<PodSandboxStats>, CriError> {
        self.list_sandbox_stats(filter).await
    }

    async fn events(&self) -> Result<BoxStream<'static, Result<ContainerEvent, CriError>>, CriError> {
        let receiver = Some(self.0.events.subscribe());
        let stream = futures::stream::unfold(receiver, |receiver| async move {
            let mut receiver = receiver?;
            match receiver.recv().await {
                Ok(event) => Some((Ok(event), Some(receiver))),
                Err(RecvError::Lagged(count)) => {
                    let error = CriError::Unavailable(format!("{count} events were lost"));
                    Some((Err(error), None))
                }
                Err(RecvError::Closed) => None,
            }
        });
        Ok(stream.boxed())
    }
}
