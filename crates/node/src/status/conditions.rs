//! The conditions of a pod (`pkg/kubelet/status/generate.go`).

use k8s_openapi::api::core::v1::{ContainerStatus, PodCondition, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use semantics::conditions::{TRUE, find, keep_time};

use super::{Input, Phase, whole_seconds};
use crate::pod::{ContainerKind, PodInfo};
use crate::text::go_list;

/// Whether a condition is true, and why not.
struct Verdict {
    kind: &'static str,
    holds: bool,
    reason: &'static str,
    message: String,
}

impl Verdict {
    fn holds(kind: &'static str) -> Verdict {
        Verdict { kind, holds: true, reason: "", message: String::new() }
    }

    fn fails(kind: &'static str, reason: &'static str, message: String) -> Verdict {
        Verdict { kind, holds: false, reason, message }
    }
}

/// The conditions of a pod: the agent's own, and those of others unchanged.
pub(super) fn conditions(
    input: &Input<'_>,
    status: &PodStatus,
    phase: Phase,
    old: &PodStatus,
) -> Vec<PodCondition> {
    let containers_ready = containers_ready("ContainersReady", input.pod, status, phase);
    let ready = ready(input, &containers_ready);
    let sandbox = match input.observed.ready_sandbox().is_some() && !input.terminated {
        true => Verdict::holds("PodReadyToStartContainers"),
        false => Verdict::fails("PodReadyToStartContainers", "", String::new()),
    };
    let mut own = vec![
        sandbox,
        initialized(input.pod, status, phase),
        ready,
        containers_ready,
        Verdict::holds("PodScheduled"),
    ];
    own.extend(input.disruption.map(|message| Verdict {
        kind: "DisruptionTarget",
        holds: true,
        reason: "TerminationByKubelet",
        message: message.to_owned(),
    }));
    let others = input.pod.api_status().conditions.iter().flatten();
    let others =
        others.filter(|condition| own.iter().all(|verdict| verdict.kind != condition.type_)).cloned();
    let mut all: Vec<PodCondition> = own.iter().map(|verdict| to_condition(input, verdict, old)).collect();
    all.extend(others);
    all
}

fn to_condition(input: &Input<'_>, verdict: &Verdict, old: &PodStatus) -> PodCondition {
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let mut condition = PodCondition {
        type_: verdict.kind.to_owned(),
        status: semantics::conditions::status(verdict.holds).to_owned(),
        reason: text(verdict.reason),
        message: text(&verdict.message),
        last_transition_time: Some(Time(whole_seconds(input.now))),
        last_probe_time: None,
        observed_generation: input.pod.pod.metadata.generation,
    };
    keep_time(&old.conditions, &mut condition);
    condition
}

/// `ContainersReady`: every regular container and every sidecar is ready.
fn containers_ready(kind: &'static str, pod: &PodInfo, status: &PodStatus, phase: Phase) -> Verdict {
    match phase {
        Phase::Succeeded => return Verdict::fails(kind, "PodCompleted", String::new()),
        Phase::Failed => return Verdict::fails(kind, "PodFailed", String::new()),
        Phase::Pending | Phase::Running => {}
    }
    let is_sidecar = |status: &&ContainerStatus| {
        pod.container(&status.name).is_some_and(|container| container.kind == ContainerKind::Sidecar)
    };
    let sidecars = status.init_container_statuses.iter().flatten().filter(is_sidecar);
    let all = sidecars.chain(status.container_statuses.iter().flatten());
    let unready: Vec<&str> = all.filter(|status| !status.ready).map(|status| status.name.as_str()).collect();
    if unready.is_empty() {
        return Verdict::holds(kind);
    }
    Verdict::fails(
        kind,
        "ContainersNotReady",
        format!("containers with unready status: {}", go_list(&unready)),
    )
}

/// `Ready`: the containers are, and every readiness gate is open.
fn ready(input: &Input<'_>, containers_ready: &Verdict) -> Verdict {
    if !containers_ready.holds {
        return Verdict::fails("Ready", containers_ready.reason, containers_ready.message.clone());
    }
    let api = input.pod.api_status();
    let closed = |gate: &str| match find(&api.conditions, gate) {
        None => Some(format!("corresponding condition of pod readiness gate {gate:?} does not exist.")),
        Some(condition) if condition.status != TRUE => Some(format!(
            "the status of pod readiness gate {gate:?} is not \"True\", but {}",
            condition.status
        )),
        Some(_) => None,
    };
    let gates = input.pod.spec().readiness_gates.iter().flatten();
    let closed: Vec<String> = gates.filter_map(|gate| closed(&gate.condition_type)).collect();
    match closed.is_empty() {
        true => Verdict::holds("Ready"),
        false => Verdict::fails("Ready", "ReadinessGatesNotReady", closed.join(", ")),
    }
}

/// `Initialized`: every init container has finished its work.
fn initialized(pod: &PodInfo, status: &PodStatus, phase: Phase) -> Verdict {
    if phase == Phase::Succeeded {
        return Verdict { reason: "PodCompleted", ..Verdict::holds("Initialized") };
    }
    let done = |status: &&ContainerStatus| {
        let kind = pod.container(&status.name).map(|container| container.kind);
        if kind == Some(ContainerKind::Sidecar) { status.started == Some(true) } else { status.ready }
    };
    let regular_started =
        status.container_statuses.iter().flatten().any(|status| status.container_id.is_some());
    let init = status.init_container_statuses.iter().flatten();
    let incomplete: Vec<&ContainerStatus> = init.filter(|status| !done(status)).collect();
    if incomplete.is_empty() || regular_started {
        return Verdict::holds("Initialized");
    }
    let incomplete: Vec<&str> = incomplete.iter().map(|status| status.name.as_str()).collect();
    let message = format!("containers with incomplete status: {}", go_list(&incomplete));
    Verdict::fails("Initialized", "ContainersNotInitialized", message)
}
