//! The status of a pod: computed from its specification, its state in the engine and the results of probes (upstream's
//! `generateAPIPodStatus`, `kubelet_pods.go`, and `pkg/kubelet/status/generate.go`).

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, HostIP, PodIP, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::observed::Observed;
use crate::pod::{ContainerKind, PodInfo};
use crate::probe::ProbeView;
use crate::waiting::Waiting;

mod conditions;
mod containers;
pub(crate) mod ends;
mod phase;
#[cfg(test)]
mod tests;

pub(crate) use containers::END_SHOWN_FOR;
pub(crate) use phase::Phase;

/// The inputs of a status.
#[derive(Clone, Copy)]
pub(crate) struct Input<'a> {
    pub(crate) pod: &'a PodInfo,
    pub(crate) observed: &'a Observed,
    pub(crate) probes: &'a ProbeView,
    /// Why containers do not run, by name.
    pub(crate) waiting: &'a BTreeMap<String, Waiting>,
    /// Termination messages of exited containers, by ID.
    pub(crate) messages: &'a BTreeMap<String, String>,
    pub(crate) host_ips: &'a [String],
    /// Nothing in the pod is running or will run.
    pub(crate) terminated: bool,
    /// The agent's reason for terminating the pod, with a message.
    pub(crate) failure: Option<(&'a str, &'a str)>,
    /// The agent's reason for evicting a pod.
    pub(crate) disruption: Option<&'a str>,
    pub(crate) now: Timestamp,
}

/// Computes the status of a pod. `old` is the previous status, or the one from the API server.
pub(crate) fn status(input: Input<'_>, old: &PodStatus) -> PodStatus {
    let pod = input.pod;
    let list = |kinds: &[ContainerKind]| -> Vec<ContainerStatus> {
        let chosen = pod.containers.iter().filter(|container| kinds.contains(&container.kind));
        chosen.map(|container| containers::status(&input, container, old)).collect()
    };
    let init = list(&[ContainerKind::Init, ContainerKind::Sidecar]);
    let regular = list(&[ContainerKind::Regular]);
    let ephemeral = list(&[ContainerKind::Ephemeral]);
    let mut phase = phase::phase(pod, &init, &regular, input.terminated);
    // A finished pod stays finished, whatever has happened to its containers since.
    match (Phase::parse(old.phase.as_deref()), input.failure) {
        (Some(over @ (Phase::Succeeded | Phase::Failed)), _) => phase = over,
        (_, Some(_)) if input.terminated => phase = Phase::Failed,
        _ => {}
    }
    let ips = match (pod.host_network(), input.observed.ips()) {
        (true, _) if !input.observed.sandboxes.is_empty() => input.host_ips.to_vec(),
        // A stopped sandbox no longer has an address, but the pod had one.
        (_, ips) if ips.is_empty() => known_ips(old),
        (_, ips) => ips,
    };
    let mut status = PodStatus {
        phase: Some(phase.as_str().to_owned()),
        reason: input.failure.map(|(reason, _)| reason.to_owned()).or_else(|| old.reason.clone()),
        message: input.failure.map(|(_, message)| message.to_owned()).or_else(|| old.message.clone()),
        host_ip: input.host_ips.first().cloned(),
        host_ips: Some(input.host_ips.iter().map(|ip| HostIP { ip: ip.clone() }).collect()),
        pod_ip: ips.first().cloned(),
        pod_ips: Some(ips.into_iter().map(|ip| PodIP { ip }).collect::<Vec<_>>())
            .filter(|ips| !ips.is_empty()),
        start_time: old.start_time.clone().or_else(|| Some(Time(whole_seconds(input.now)))),
        qos_class: Some(
            old.qos_class.clone().unwrap_or_else(|| semantics::qos_class(&*pod.pod).as_str().to_owned()),
        ),
        observed_generation: pod.pod.metadata.generation,
        init_container_statuses: Some(init).filter(|list| !list.is_empty()),
        container_statuses: Some(regular),
        ephemeral_container_statuses: Some(ephemeral).filter(|list| !list.is_empty()),
        ..pod.api_status().clone()
    };
    status.conditions = Some(conditions::conditions(&input, &status, phase, old));
    status
}

fn known_ips(old: &PodStatus) -> Vec<String> {
    old.pod_ips.iter().flatten().map(|ip| ip.ip.clone()).collect()
}

/// API times have no fractions.
pub(crate) fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}
