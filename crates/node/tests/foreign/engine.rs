//! A foreign engine: it has another name, systemd's cgroups, no events, and answers like an engine behind a socket,
//! with codes. It keeps sandboxes and containers in memory and runs nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use clock::Clock;
use cri::*;
use futures::stream::BoxStream;
use parking_lot::Mutex;

/// The label by which a pod's sandboxes and containers are found, upstream's.
const POD_UID: &str = "io.kubernetes.pod.uid";

/// The engine. Clones share it.
#[derive(Clone)]
pub struct Foreign {
    state: Arc<Mutex<State>>,
    clock: Clock,
}

#[derive(Default)]
struct State {
    /// The answer to `RuntimeConfig`, if it is supported.
    driver: Option<CgroupDriver>,
    sandboxes: BTreeMap<String, PodSandboxStatus>,
    containers: BTreeMap<String, ContainerStatus>,
    configs: Vec<PodSandboxConfig>,
    /// How often everything was listed, and how often the sandboxes of one pod.
    full_lists: usize,
    lists_of: BTreeMap<String, usize>,
    /// How often unsupported calls were made.
    unimplemented: BTreeMap<&'static str, usize>,
    made: usize,
}

impl State {
    fn name(&mut self, kind: &str) -> String {
        self.made += 1;
        format!("{kind}{:060}", self.made)
    }

    fn container(&mut self, id: &str) -> Result<&mut ContainerStatus, CriError> {
        self.containers.get_mut(id).ok_or_else(|| not_found(id))
    }

    fn end(&mut self, id: &str, code: i32, now: jiff::Timestamp) {
        let Some(status) = self.containers.get_mut(id) else { return };
        if status.state == ContainerState::Running {
            status.state = ContainerState::Exited;
            status.exit_code = code;
            status.finished_at = Some(now);
        }
    }
}

fn not_found(id: &str) -> CriError {
    CriError::Remote { code: Code::NotFound, message: format!("no such thing: {id}") }
}

impl Foreign {
    pub fn new(clock: Clock, driver: Option<CgroupDriver>) -> Foreign {
        Foreign { state: Arc::new(Mutex::new(State { driver, ..State::default() })), clock }
    }

    /// The requested cgroups of sandboxes.
    pub fn cgroup_parents(&self) -> Vec<String> {
        self.state.lock().configs.iter().map(|config| config.linux.cgroup_parent.clone()).collect()
    }

    /// How often everything was listed, and how often each pod was queried; the counters are reset.
    pub fn take_lists(&self) -> (usize, BTreeMap<String, usize>) {
        let mut state = self.state.lock();
        (std::mem::take(&mut state.full_lists), std::mem::take(&mut state.lists_of))
    }

    /// How often an unsupported call was made.
    pub fn unimplemented(&self, call: &str) -> usize {
        self.state.lock().unimplemented.get(call).copied().unwrap_or(0)
    }

    /// A pod's containers end, and nothing reports it.
    pub fn end_all(&self, pod_uid: &str, code: i32) {
        let mut state = self.state.lock();
        let of_pod =
            state.containers.values().filter(|it| it.labels.get(POD_UID).is_some_and(|it| it == pod_uid));
        let ids: Vec<String> = of_pod.map(|status| status.id.clone()).collect();
        ids.iter().for_each(|id| state.end(id, code, self.clock.now()));
    }

    fn lacks<T>(&self, call: &'static str) -> Result<T, CriError> {
        *self.state.lock().unimplemented.entry(call).or_default() += 1;
        Err(CriError::Remote { code: Code::Unimplemented, message: format!("unknown method {call}") })
    }
}

fn selects(wanted: &StringMap, labels: &StringMap) -> bool {
    wanted.iter().all(|(name, value)| labels.get(name) == Some(value))
}

#[async_trait]
impl RuntimeService for Foreign {
    async fn version(&self) -> Result<VersionInfo, CriError> {
        Ok(VersionInfo {
            runtime_name: "foreign".to_owned(),
            runtime_version: "9.8.7".to_owned(),
            runtime_api_version: "v1".to_owned(),
        })
    }

    async fn status(&self) -> Result<RuntimeStatus, CriError> {
        let condition = |kind: &str| RuntimeCondition {
            kind: kind.to_owned(),
            status: true,
            reason: String::new(),
            message: String::new(),
        };
        let conditions =
            [RuntimeCondition::RUNTIME_READY, RuntimeCondition::NETWORK_READY].map(condition).into();
        Ok(RuntimeStatus { conditions, ..RuntimeStatus::default() })
    }

    async fn cgroup_driver(&self) -> Result<CgroupDriver, CriError> {
        let driver = self.state.lock().driver;
        driver.map_or_else(|| self.lacks("RuntimeConfig"), Ok)
    }

    async fn update_pod_cidr(&self, _pod_cidr: &str) -> Result<(), CriError> {
        self.lacks("UpdateRuntimeConfig")
    }

    async fn run_pod_sandbox(&self, config: &PodSandboxConfig, handler: &str) -> Result<String, CriError> {
        let mut state = self.state.lock();
        let id = state.name("sandbox");
        state.configs.push(config.clone());
        let status = PodSandboxStatus {
            id: id.clone(),
            metadata: config.metadata.clone(),
            state: PodSandboxState::Ready,
            created_at: self.clock.now(),
            network: PodSandboxNetworkStatus { ip: "10.9.8.7".to_owned(), additional_ips: Vec::new() },
            namespace_options: NamespaceOption::default(),
            labels: config.labels.clone(),
            annotations: config.annotations.clone(),
            runtime_handler: handler.to_owned(),
        };
        state.sandboxes.insert(id.clone(), status);
        Ok(id)
    }

    async fn stop_pod_sandbox(&self, id: &str) -> Result<(), CriError> {
        let mut state = self.state.lock();
        let inside = state.containers.values().filter(|status| status.pod_sandbox_id == id);
        let inside: Vec<String> = inside.map(|status| status.id.clone()).collect();
        inside.iter().for_each(|container| state.end(container, 137, self.clock.now()));
        if let Some(status) = state.sandboxes.get_mut(id) {
            status.state = PodSandboxState::NotReady;
        }
        Ok(())
    }

    async fn remove_pod_sandbox(&self, id: &str) -> Result<(), CriError> {
        let mut state = self.state.lock();
        state.sandboxes.remove(id);
        state.containers.retain(|_, status| status.pod_sandbox_id != id);
        Ok(())
    }

    async fn pod_sandbox_status(&self, id: &str) -> Result<PodSandboxStatus, CriError> {
        self.state.lock().sandboxes.get(id).cloned().ok_or_else(|| not_found(id))
    }

    async fn list_pod_sandbox(&self, filter: &PodSandboxFilter) -> Result<Vec<PodSandbox>, CriError> {
        let mut state = self.state.lock();
        match filter.label_selector.get(POD_UID) {
            Some(uid) => *state.lists_of.entry(uid.clone()).or_default() += 1,
            None => state.full_lists += 1,
        }
        let selected = state.sandboxes.values().filter(|it| selects(&filter.label_selector, &it.labels));
        let listed = selected.map(|status| PodSandbox {
            id: status.id.clone(),
            metadata: status.metadata.clone(),
            state: status.state,
            created_at: status.created_at,
            labels: status.labels.clone(),
            annotations: status.annotations.clone(),
            runtime_handler: status.runtime_handler.clone(),
        });
        Ok(listed.collect())
    }

    async fn update_pod_sandbox_resources(
        &self,
        _id: &str,
        _overhead: &LinuxContainerResources,
        _resources: &LinuxContainerResources,
    ) -> Result<(), CriError> {
        self.lacks("UpdatePodSandboxResources")
    }

    async fn create_container(
        &self,
        sandbox_id: &str,
        config: &ContainerConfig,
        sandbox: &PodSandboxConfig,
    ) -> Result<String, CriError> {
        let mut state = self.state.lock();
        let id = state.name("container");
        let status = ContainerStatus {
            id: id.clone(),
            pod_sandbox_id: sandbox_id.to_owned(),
            metadata: config.metadata.clone(),
            state: ContainerState::Created,
            created_at: self.clock.now(),
            started_at: None,
            finished_at: None,
            exit_code: 0,
            image: config.image.clone(),
            image_ref: config.image.image.clone(),
            image_id: config.image.image.clone(),
            reason: String::new(),
            message: String::new(),
            labels: config.labels.clone(),
            annotations: config.annotations.clone(),
            mounts: config.mounts.clone(),
            log_path: format!("{}/{}", sandbox.log_directory, config.log_path),
            resources: ContainerResources::default(),
            user: None,
            stop_signal: String::new(),
        };
        state.containers.insert(id.clone(), status);
        Ok(id)
    }

    async fn start_container(&self, id: &str) -> Result<(), CriError> {
        let mut state = self.state.lock();
        let status = state.container(id)?;
        status.state = ContainerState::Running;
        status.started_at = Some(self.clock.now());
        Ok(())
    }

    async fn stop_container(&self, id: &str, _timeout: Duration) -> Result<(), CriError> {
        self.state.lock().end(id, 137, self.clock.now());
        Ok(())
    }

    async fn remove_container(&self, id: &str) -> Result<(), CriError> {
        self.state.lock().containers.remove(id);
        Ok(())
    }

    async fn list_containers(&self, filter: &ContainerFilter) -> Result<Vec<Container>, CriError> {
        let state = self.state.lock();
        let selected = state.containers.values().filter(|status| {
            selects(&filter.label_selector, &status.labels)
                && filter.state.is_none_or(|it| it == status.state)
        });
        let listed = selected.map(|status| Container {
            id: status.id.clone(),
            pod_sandbox_id: status.pod_sandbox_id.clone(),
            metadata: status.metadata.clone(),
            image: status.image.clone(),
            image_ref: status.image_ref.clone(),
            image_id: status.image_id.clone(),
            state: status.state,
            created_at: status.created_at,
            labels: status.labels.clone(),
            annotations: status.annotations.clone(),
        });
        Ok(listed.collect())
    }

    async fn container_status(&self, id: &str) -> Result<ContainerStatus, CriError> {
        self.state.lock().container(id).cloned()
    }

    async fn update_container_resources(
        &self,
        _id: &str,
        _resources: &LinuxContainerResources,
    ) -> Result<(), CriError> {
        self.lacks("UpdateContainerResources")
    }

    async fn reopen_container_log(&self, _id: &str) -> Result<(), CriError> {
        self.lacks("ReopenContainerLog")
    }

    async fn exec_sync(
        &self,
        _id: &str,
        _command: &[String],
        _timeout: Duration,
    ) -> Result<ExecSyncResult, CriError> {
        self.lacks("ExecSync")
    }

    async fn exec(&self, _id: &str, _options: ExecOptions) -> Result<StreamingSession, CriError> {
        self.lacks("Exec")
    }

    async fn attach(&self, _id: &str, _options: AttachOptions) -> Result<StreamingSession, CriError> {
        self.lacks("Attach")
    }

    async fn port_forward(&self, _id: &str, _port: u16) -> Result<DuplexStream, CriError> {
        self.lacks("PortForward")
    }

    async fn container_stats(&self, _id: &str) -> Result<ContainerStats, CriError> {
        self.lacks("ContainerStats")
    }

    async fn list_container_stats(
        &self,
        _filter: &ContainerStatsFilter,
    ) -> Result<Vec<ContainerStats>, CriError> {
        self.lacks("ListContainerStats")
    }

    async fn list_pod_sandbox_stats(
        &self,
        _filter: &PodSandboxStatsFilter,
    ) -> Result<Vec<PodSandboxStats>, CriError> {
        self.lacks("ListPodSandboxStats")
    }

    async fn events(&self) -> Result<BoxStream<'static, Result<ContainerEvent, CriError>>, CriError> {
        self.lacks("GetContainerEvents")
    }
}

#[async_trait]
impl ImageService for Foreign {
    async fn list_images(&self, _filter: &ImageFilter) -> Result<Vec<Image>, CriError> {
        Ok(Vec::new())
    }

    async fn image_status(&self, image: &ImageSpec) -> Result<Option<Image>, CriError> {
        let id = format!("sha256:{}", image.image.trim_start_matches("sha256:"));
        Ok(Some(Image { id, ..Image::default() }))
    }

    async fn pull_image(
        &self,
        image: &ImageSpec,
        _auth: Option<&AuthConfig>,
        _sandbox: Option<&PodSandboxConfig>,
    ) -> Result<String, CriError> {
        Ok(format!("sha256:{}", image.image))
    }

    async fn remove_image(&self, _image: &ImageSpec) -> Result<(), CriError> {
        Ok(())
    }

    async fn image_fs_info(&self) -> Result<ImageFsInfo, CriError> {
        self.lacks("ImageFsInfo")
    }
}
