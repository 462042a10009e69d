//! The phase of a pod (upstream's `getPhase`).

use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus};

use crate::pod::{ContainerKind, PodInfo, restarts_after};

/// The stage of a pod's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Pending,
    Running,
    Succeeded,
    Failed,
}

impl Phase {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Phase::Pending => "Pending",
            Phase::Running => "Running",
            Phase::Succeeded => "Succeeded",
            Phase::Failed => "Failed",
        }
    }

    pub(crate) fn parse(text: Option<&str>) -> Option<Phase> {
        match text? {
            "Pending" => Some(Phase::Pending),
            "Running" => Some(Phase::Running),
            "Succeeded" => Some(Phase::Succeeded),
            "Failed" => Some(Phase::Failed),
            _ => None,
        }
    }

    /// The pod has terminated.
    pub(crate) fn is_terminal(self) -> bool {
        matches!(self, Phase::Succeeded | Phase::Failed)
    }
}

#[derive(Default)]
struct Counts {
    waiting: usize,
    running: usize,
    sidecars_running: usize,
    stopped: usize,
    succeeded: usize,
    /// The stopped containers that may restart by their own policy or the pod's.
    restarting: usize,
}

/// The last exit code of a container, if it is not running.
fn ended(state: Option<&ContainerState>) -> Option<i32> {
    Some(state?.terminated.as_ref()?.exit_code)
}

pub(super) fn phase(
    pod: &PodInfo,
    init: &[ContainerStatus],
    regular: &[ContainerStatus],
    terminated: bool,
) -> Phase {
    let restarts = |status: &ContainerStatus, code: i32| {
        pod.container(&status.name).is_some_and(|container| restarts_after(pod, container, code))
    };
    let mut initializing = false;
    let mut counts = Counts::default();
    for status in init {
        let is_sidecar = pod.container(&status.name).is_some_and(|c| c.kind == ContainerKind::Sidecar);
        let state = status.state.as_ref();
        let code = ended(state).or_else(|| ended(status.last_state.as_ref()));
        if is_sidecar {
            counts.sidecars_running += usize::from(is_running(state));
            // One that ended once does not hold the pod back.
            initializing |= if is_running(state) { status.started != Some(true) } else { code.is_none() };
            continue;
        }
        match ended(state) {
            Some(0) => {}
            _ if code.is_some_and(|code| code != 0 && !restarts(status, code)) => return Phase::Failed,
            _ => initializing = true,
        }
    }
    for status in regular {
        let state = status.state.as_ref();
        match (is_running(state), ended(state), ended(status.last_state.as_ref())) {
            (true, _, _) => counts.running += 1,
            (false, Some(code), _) => {
                counts.stopped += 1;
                counts.succeeded += usize::from(code == 0);
                counts.restarting += usize::from(restarts(status, code));
            }
            // It waits for its restart.
            (false, None, Some(_)) => {
                counts.stopped += 1;
                counts.restarting += 1;
            }
            (false, None, None) => counts.waiting += 1,
        }
    }
    of_counts(&counts, initializing, terminated)
}

fn is_running(state: Option<&ContainerState>) -> bool {
    state.is_some_and(|state| state.running.is_some())
}

fn of_counts(counts: &Counts, initializing: bool, terminated: bool) -> Phase {
    if terminated {
        let all_went_well = counts.stopped > 0 && counts.stopped == counts.succeeded && counts.waiting == 0;
        return if all_went_well { Phase::Succeeded } else { Phase::Failed };
    }
    match counts {
        Counts { running: 0, .. } if initializing => Phase::Pending,
        Counts { waiting: 1.., .. } => Phase::Pending,
        Counts { running: 1.., .. } | Counts { sidecars_running: 1.., .. } => Phase::Running,
        Counts { stopped: 0, .. } => Phase::Pending,
        Counts { restarting: 1.., .. } => Phase::Running,
        Counts { stopped, succeeded, .. } if stopped == succeeded => Phase::Succeeded,
        _ => Phase::Failed,
    }
}
