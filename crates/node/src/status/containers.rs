//! The status of one container.

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus,
    ContainerUser, LinuxContainerUser, PodStatus, VolumeMountStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{Input, whole_seconds};
use crate::observed::restart_count;
use crate::plan::is_initialized;
use crate::pod::{ContainerKind, PodContainer};

/// The exit code of a container whose exit was not observed: that of SIGKILL.
const LOST_EXIT_CODE: i32 = 137;

/// The maximum total length of a pod's termination messages.
const MESSAGES_BYTES_MAX: usize = 12 << 10;

/// How long the end of a container is shown before the reason why it waits for its restart.
pub(crate) const END_SHOWN_FOR: SignedDuration = SignedDuration::from_secs(3);

pub(super) fn status(input: &Input<'_>, container: &PodContainer, old: &PodStatus) -> ContainerStatus {
    let name = container.name();
    let seen = input.observed.containers.get(name).map(Vec::as_slice).unwrap_or_default();
    // A container that was created and is not running yet is not shown: until then, the previous one is.
    let made = seen.iter().take_while(|status| status.state == cri::ContainerState::Created).count();
    let seen = &seen[made..];
    let old = old_status(old, name);
    let mut status = match seen.first() {
        Some(newest) => of_engine(input, container, newest),
        None => unseen(input, container, old),
    };
    if let Some(before) = seen.get(1).filter(|before| before.state == cri::ContainerState::Exited) {
        status.last_state = Some(terminated(input, before));
    } else if status.last_state.is_none() {
        status.last_state = old.and_then(|old| old.last_state.clone());
    }
    if let Some(waiting) = input.waiting.get(name).filter(|_| !input.terminated && !is_running(&status)) {
        match seen.first().filter(|_| has_ended(&status)) {
            Some(newest) if !is_end_known(input, newest, name) => {}
            newest => {
                if newest.is_some() {
                    status.last_state = status.state.take();
                }
                status.state = Some(waiting_state(waiting.reason, &waiting.message));
            }
        }
    }
    cut_messages(&mut status, input);
    status
}

/// Whether a container's end was visible: the API server has had it for a while.
fn is_end_known(input: &Input<'_>, newest: &cri::ContainerStatus, name: &str) -> bool {
    let id = input.observed.engine.container_id(&newest.id);
    let known = old_status(input.pod.api_status(), name).is_some_and(|known| {
        let ends = [known.state.as_ref(), known.last_state.as_ref()].into_iter().flatten();
        let mut ends = ends.filter_map(|state| state.terminated.as_ref());
        ends.any(|end| end.container_id.as_deref() == Some(&id))
    });
    known && newest.finished_at.is_none_or(|at| input.now >= at + END_SHOWN_FOR)
}

fn is_running(status: &ContainerStatus) -> bool {
    status.state.as_ref().is_some_and(|state| state.running.is_some())
}

fn has_ended(status: &ContainerStatus) -> bool {
    status.state.as_ref().is_some_and(|state| state.terminated.is_some())
}

fn old_status<'a>(old: &'a PodStatus, name: &str) -> Option<&'a ContainerStatus> {
    let lists = [&old.container_statuses, &old.init_container_statuses, &old.ephemeral_container_statuses];
    lists.into_iter().flatten().flatten().find(|status| status.name == name)
}

/// The status of a container that the engine has.
fn of_engine(input: &Input<'_>, container: &PodContainer, newest: &cri::ContainerStatus) -> ContainerStatus {
    let running = newest.state == cri::ContainerState::Running;
    let probes = input.probes.of(&newest.id);
    let started = running && (container.spec.startup_probe.is_none() || probes.startup == Some(true));
    let ready = match container.kind {
        ContainerKind::Init => newest.state == cri::ContainerState::Exited && newest.exit_code == 0,
        ContainerKind::Ephemeral => false,
        _ => started && (container.spec.readiness_probe.is_none() || probes.readiness == Some(true)),
    };
    let state = match newest.state {
        cri::ContainerState::Running => ContainerState {
            running: Some(ContainerStateRunning {
                started_at: newest.started_at.map(|at| Time(whole_seconds(at))),
            }),
            ..ContainerState::default()
        },
        // Not shown: see `status`.
        cri::ContainerState::Created => default_waiting(input),
        cri::ContainerState::Exited | cri::ContainerState::Unknown => terminated(input, newest),
    };
    ContainerStatus {
        name: container.name().to_owned(),
        state: Some(state),
        ready,
        started: Some(started),
        restart_count: i32::try_from(restart_count(newest)).unwrap_or(i32::MAX),
        image: container.spec.image.clone().unwrap_or_default(),
        image_id: if newest.image_ref.is_empty() {
            newest.image_id.clone()
        } else {
            newest.image_ref.clone()
        },
        container_id: Some(input.observed.engine.container_id(&newest.id)),
        user: newest.user.as_ref().map(user),
        resources: container.spec.resources.clone(),
        allocated_resources: container
            .spec
            .resources
            .as_ref()
            .and_then(|resources| resources.requests.clone()),
        volume_mounts: Some(mounts(container)).filter(|mounts| !mounts.is_empty()),
        ..ContainerStatus::default()
    }
}

/// The status of a container that the engine does not have: it was not created yet, or it was removed.
fn unseen(input: &Input<'_>, container: &PodContainer, old: Option<&ContainerStatus>) -> ContainerStatus {
    let mut status = ContainerStatus {
        name: container.name().to_owned(),
        image: container.spec.image.clone().unwrap_or_default(),
        started: Some(false),
        state: Some(default_waiting(input)),
        ..ContainerStatus::default()
    };
    if let Some(old) = old {
        status.restart_count = old.restart_count;
        let was_running = is_running(old);
        if has_ended(old) {
            // Its container has been garbage collected since.
            return old.clone();
        }
        if was_running {
            let lost = lost(
                "The container could not be located when the pod was deleted.  The container used to be Running",
            );
            status.last_state = Some(lost);
            status.restart_count += 1;
        }
    }
    let done_init = container.kind == ContainerKind::Init && is_initialized(input.pod, input.observed);
    if done_init {
        status.ready = true;
        status.state = Some(ContainerState {
            terminated: Some(ContainerStateTerminated {
                reason: Some("Completed".to_owned()),
                message: Some(
                    "Unable to get init container status from container runtime and pod has been initialized, \
                     but it exited with code 0"
                        .to_owned(),
                ),
                ..ContainerStateTerminated::default()
            }),
            ..ContainerState::default()
        });
    } else if input.terminated && may_have_run(input) {
        status.state = Some(lost("The container could not be located when the pod was terminated"));
    }
    status
}

/// Whether the regular containers were started: if init containers fail, they stay waiting.
fn may_have_run(input: &Input<'_>) -> bool {
    is_initialized(input.pod, input.observed)
        || !input.pod.containers.iter().any(|container| container.kind.is_init())
}

fn lost(message: &str) -> ContainerState {
    ContainerState {
        terminated: Some(ContainerStateTerminated {
            reason: Some("ContainerStatusUnknown".to_owned()),
            message: Some(message.to_owned()),
            exit_code: LOST_EXIT_CODE,
            ..ContainerStateTerminated::default()
        }),
        ..ContainerState::default()
    }
}

fn default_waiting(input: &Input<'_>) -> ContainerState {
    let has_init = input.pod.containers.iter().any(|container| container.kind.is_init());
    waiting_state(if has_init { "PodInitializing" } else { "ContainerCreating" }, "")
}

fn waiting_state(reason: &str, message: &str) -> ContainerState {
    let message = Some(message.to_owned()).filter(|message| !message.is_empty());
    let waiting = ContainerStateWaiting { reason: Some(reason.to_owned()), message };
    ContainerState { waiting: Some(waiting), ..ContainerState::default() }
}

fn terminated(input: &Input<'_>, status: &cri::ContainerStatus) -> ContainerState {
    let said = input.messages.get(&status.id).cloned().unwrap_or_default();
    let message =
        [status.message.clone(), said].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>();
    let unknown = status.state == cri::ContainerState::Unknown;
    let reason = if unknown { "ContainerStatusUnknown" } else { status.reason.as_str() };
    ContainerState {
        terminated: Some(ContainerStateTerminated {
            exit_code: if unknown { LOST_EXIT_CODE } else { status.exit_code },
            reason: Some(reason.to_owned()).filter(|reason| !reason.is_empty()),
            message: Some(message.join(": ")).filter(|message| !message.is_empty()),
            started_at: status.started_at.map(|at| Time(whole_seconds(at))),
            finished_at: status.finished_at.map(|at| Time(whole_seconds(at))),
            container_id: Some(input.observed.engine.container_id(&status.id)),
            signal: None,
        }),
        ..ContainerState::default()
    }
}

/// All messages of a pod together are bounded: each container has its share, and its current message takes precedence
/// over the previous one.
fn cut_messages(status: &mut ContainerStatus, input: &Input<'_>) {
    let mut share = MESSAGES_BYTES_MAX / input.pod.containers.len().max(1);
    for state in [&mut status.state, &mut status.last_state].into_iter().flatten() {
        let Some(message) = state.terminated.as_mut().and_then(|end| end.message.as_mut()) else { continue };
        message.truncate(message.floor_char_boundary(share));
        share -= message.len();
    }
}

fn user(user: &cri::ContainerUser) -> ContainerUser {
    let linux = &user.linux;
    ContainerUser {
        linux: Some(LinuxContainerUser {
            uid: linux.uid,
            gid: linux.gid,
            supplemental_groups: Some(linux.supplemental_groups.clone()).filter(|groups| !groups.is_empty()),
        }),
    }
}

fn mounts(container: &PodContainer) -> Vec<VolumeMountStatus> {
    let mounts = container.spec.volume_mounts.iter().flatten();
    mounts
        .map(|mount| VolumeMountStatus {
            name: mount.name.clone(),
            mount_path: mount.mount_path.clone(),
            read_only: mount.read_only.filter(|read_only| *read_only),
            recursive_read_only: mount
                .read_only
                .filter(|read_only| *read_only)
                .map(|_| mount.recursive_read_only.clone().unwrap_or_else(|| "Disabled".to_owned())),
            ..VolumeMountStatus::default()
        })
        .collect()
}
