//! The status of sandboxes and containers.

use super::Engine;
use super::container::{Container, stop_signal_name};
use super::launch::log_path;
use super::record::{ContainerRecord, SandboxRecord};
use crate::shim::protocol;
use cri::{
    self, ContainerFilter, ContainerResources, ContainerState, ContainerStatus, ContainerUser, CriError,
    LinuxContainerUser, PodSandbox, PodSandboxFilter, PodSandboxNetworkStatus, PodSandboxStatus, StringMap,
};

/// The exit code of a container that could not be started.
const START_FAILED_EXIT_CODE: i32 = 128;

fn timestamp(nanos: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_nanosecond(nanos.into()).unwrap_or_default()
}

/// The status of a sandbox.
pub(super) fn sandbox_status(record: &SandboxRecord) -> PodSandboxStatus {
    let mut ips = record.ips.iter().map(ToString::to_string);
    PodSandboxStatus {
        id: record.id.clone(),
        metadata: record.config.metadata.clone(),
        state: record.state,
        created_at: record.created_at,
        network: PodSandboxNetworkStatus {
            ip: ips.next().unwrap_or_default(),
            additional_ips: ips.collect(),
        },
        namespace_options: record.config.linux.security_context.namespace_options.clone(),
        labels: record.config.labels.clone(),
        annotations: record.config.annotations.clone(),
        runtime_handler: record.runtime_handler.clone(),
    }
}

fn sandbox_summary(record: &SandboxRecord) -> PodSandbox {
    PodSandbox {
        id: record.id.clone(),
        metadata: record.config.metadata.clone(),
        state: record.state,
        created_at: record.created_at,
        labels: record.config.labels.clone(),
        annotations: record.config.annotations.clone(),
        runtime_handler: record.runtime_handler.clone(),
    }
}

fn container_state(record: &ContainerRecord, state: Option<&protocol::ContainerState>) -> ContainerState {
    match state {
        _ if record.start_failure.is_some() => ContainerState::Exited,
        None => ContainerState::Created,
        Some(state) if state.exit.is_some() => ContainerState::Exited,
        Some(_) => ContainerState::Running,
    }
}

/// The status of a container.
pub(super) fn container_status(sandbox: &SandboxRecord, container: &Container) -> ContainerStatus {
    let record = container.snapshot();
    let state = container.state.borrow().clone();
    let mut status = ContainerStatus {
        state: container_state(&record, state.as_ref()),
        started_at: None,
        finished_at: None,
        exit_code: 0,
        reason: String::new(),
        message: String::new(),
        user: None,
        stop_signal: stop_signal_name(&record),
        log_path: log_path(sandbox, &record.config)
            .map(|path| path.display().to_string())
            .unwrap_or_default(),
        resources: ContainerResources { linux: record.resources },
        id: record.id,
        pod_sandbox_id: record.sandbox_id,
        metadata: record.config.metadata,
        created_at: record.created_at,
        image: record.config.image,
        image_ref: record.image_ref,
        image_id: record.image_id,
        labels: record.config.labels,
        annotations: record.config.annotations,
        mounts: record.config.mounts,
    };
    if let Some(failure) = record.start_failure {
        status.finished_at = Some(failure.at);
        status.exit_code = START_FAILED_EXIT_CODE;
        status.reason = "StartError".to_owned();
        status.message = failure.message;
    }
    if let Some(state) = state {
        add_state(&mut status, &state);
    }
    status
}

fn add_state(status: &mut ContainerStatus, state: &protocol::ContainerState) {
    let identity = &state.identity;
    status.started_at = Some(timestamp(state.started_at_nanos));
    status.user = Some(ContainerUser {
        linux: LinuxContainerUser {
            uid: identity.uid.into(),
            gid: identity.gid.into(),
            supplemental_groups: identity.groups.iter().map(|group| i64::from(*group)).collect(),
        },
    });
    if let Some(exit) = &state.exit {
        status.finished_at = Some(timestamp(exit.finished_at_nanos));
        status.exit_code = exit.code;
        let reason = match exit.code {
            _ if exit.oom_killed => "OOMKilled",
            0 => "Completed",
            _ => "Error",
        };
        status.reason = reason.to_owned();
    }
}

fn has_labels(labels: &StringMap, selector: &StringMap) -> bool {
    selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

fn matches<T: PartialEq>(wanted: Option<&T>, value: &T) -> bool {
    wanted.is_none_or(|wanted| wanted == value)
}

/// Identifiers in filters may be cut short.
fn matches_id(wanted: Option<&String>, id: &str) -> bool {
    wanted.is_none_or(|wanted| id.starts_with(wanted.as_str()))
}

impl Engine {
    pub(super) fn list_sandboxes(&self, filter: &PodSandboxFilter) -> Vec<PodSandbox> {
        let sandboxes = self.0.sandboxes.lock();
        let records = sandboxes.values().map(|sandbox| sandbox.snapshot());
        records
            .filter(|record| {
                matches_id(filter.id.as_ref(), &record.id)
                    && matches(filter.state.as_ref(), &record.state)
                    && has_labels(&record.config.labels, &filter.label_selector)
            })
            .map(|record| sandbox_summary(&record))
            .collect()
    }

    pub(super) fn list(&self, filter: &ContainerFilter) -> Vec<cri::Container> {
        let containers = self.0.containers.lock();
        let summaries = containers.values().map(|container| {
            let record = container.snapshot();
            cri::Container {
                state: container_state(&record, container.state.borrow().as_ref()),
                id: record.id,
                pod_sandbox_id: record.sandbox_id,
                metadata: record.config.metadata,
                image: record.config.image,
                image_ref: record.image_ref,
                image_id: record.image_id,
                created_at: record.created_at,
                labels: record.config.labels,
                annotations: record.config.annotations,
            }
        });
        summaries
            .filter(|one| {
                matches_id(filter.id.as_ref(), &one.id)
                    && matches(filter.state.as_ref(), &one.state)
                    && matches(filter.pod_sandbox_id.as_ref(), &one.pod_sandbox_id)
                    && has_labels(&one.labels, &filter.label_selector)
            })
            .collect()
    }

    pub(super) fn status_of(&self, id: &str) -> Result<ContainerStatus, CriError> {
        let container = self.container(id)?;
        let sandbox_id = container.record.lock().sandbox_id.clone();
        let sandbox = self.sandbox(&sandbox_id)?.snapshot();
        Ok(container_status(&sandbox, &container))
    }
}
