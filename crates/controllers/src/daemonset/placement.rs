//! The nodes that should run a DaemonSet's pod.

use client::{Change, LeanPod};
use k8s_openapi::api::core::v1::{
    Affinity, Node, NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod, PodSpec,
    Toleration,
};
use semantics::{Effect, NAME_FIELD, NodeTerms};

use crate::pods;

/// Whether a pod may start or remain on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// It belongs there.
    Run,
    /// It would no longer be placed there, but may stay.
    Stay,
    /// It must be deleted.
    Leave,
}

/// The tolerations of every daemon pod, which serves the node in any state.
const TOLERATED: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];
/// The additional tolerations of one in the host's network.
const TOLERATED_ON_HOST_NETWORK: (&str, &str) = ("node.kubernetes.io/network-unavailable", "NoSchedule");

/// Whether a change of a node may change what fits it.
pub(super) fn matters(change: &Change<Node>) -> bool {
    let (Some(old), Some(new)) = (&change.old, &change.new) else { return true };
    old.metadata.labels != new.metadata.labels || semantics::taints(&**old) != semantics::taints(&**new)
}

/// Whether a pod of this spec fits a node.
pub(super) fn fit(spec: &PodSpec, node: &Node) -> Fit {
    let name = node.metadata.name.as_deref().unwrap_or_default();
    let elsewhere = spec.node_name.as_deref().is_some_and(|wanted| !wanted.is_empty() && wanted != name);
    if elsewhere || !NodeTerms::new(spec).match_node(name, &node.metadata.labels) {
        return Fit::Leave;
    }
    let tolerations: Vec<_> =
        tolerations(spec).iter().map(|toleration| semantics::Toleration::read(toleration)).collect();
    let taints = semantics::taints(node);
    let repelling =
        || taints.iter().filter(|taint| !semantics::Toleration::any_tolerates(&tolerations, taint));
    let repelled = repelling().any(|taint| taint.effect.forbids_scheduling());
    match (repelled, repelling().any(|taint| taint.effect == Effect::NoExecute)) {
        (false, _) => Fit::Run,
        (true, false) => Fit::Stay,
        (true, true) => Fit::Leave,
    }
}

fn tolerations(spec: &PodSpec) -> Vec<Toleration> {
    let mut tolerations = spec.tolerations.clone().unwrap_or_default();
    let on_host = (spec.host_network == Some(true)).then_some(TOLERATED_ON_HOST_NETWORK);
    for (key, effect) in TOLERATED.into_iter().chain(on_host) {
        let toleration = Toleration {
            key: Some(key.into()),
            operator: Some("Exists".into()),
            effect: Some(effect.into()),
            ..Toleration::default()
        };
        if !tolerations.contains(&toleration) {
            tolerations.push(toleration);
        }
    }
    tolerations
}

/// Ties a pod to this node. The scheduler binds it, because only it knows what else runs there.
pub(super) fn aim(pod: &mut Pod, node: &str) {
    let spec = pod.spec.get_or_insert_default();
    spec.tolerations = Some(tolerations(spec));
    let affinity: &mut Affinity = spec.affinity.get_or_insert_default();
    let affinity: &mut NodeAffinity = affinity.node_affinity.get_or_insert_default();
    let only = NodeSelectorRequirement {
        key: NAME_FIELD.into(),
        operator: "In".into(),
        values: Some(vec![node.into()]),
    };
    // Replaces all terms: they were matched when the node was chosen.
    affinity.required_during_scheduling_ignored_during_execution = Some(NodeSelector {
        node_selector_terms: vec![NodeSelectorTerm {
            match_fields: Some(vec![only]),
            match_expressions: None,
        }],
    });
}

/// The node that a pod is on, or was created for.
pub(super) fn target(pod: &LeanPod) -> Option<&str> {
    let bound = pods::node_name(pod);
    if !bound.is_empty() {
        return Some(bound);
    }
    let affinity = pod.spec.as_ref()?.affinity.as_ref()?.node_affinity.as_ref()?;
    let terms = &affinity.required_during_scheduling_ignored_during_execution.as_ref()?.node_selector_terms;
    let fields = terms.iter().flat_map(|term| term.match_fields.iter().flatten());
    let mut names = fields.filter(|field| field.key == NAME_FIELD && field.operator == "In");
    names.find_map(|field| field.values.as_ref()?.first()).map(String::as_str)
}
