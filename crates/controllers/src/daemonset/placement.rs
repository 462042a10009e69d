//! On which nodes a DaemonSet's pod belongs.

use client::Change;
use k8s_openapi::api::core::v1::{
    Affinity, Node, NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod, PodSpec,
    Taint, Toleration,
};
use object::{Operator, Requirement};

use crate::framework::labels::Labels;
use crate::pods;
use crate::tolerations::tolerates;

/// What a pod may do on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// It belongs there.
    Run,
    /// It would not come there any more, but may stay.
    Stay,
    /// It must go.
    Leave,
}

/// What every daemon pod tolerates: it is there for the node, whatever state that is in.
const TOLERATED: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];
/// What one in the host's network tolerates besides.
const TOLERATED_ON_HOST_NETWORK: (&str, &str) = ("node.kubernetes.io/network-unavailable", "NoSchedule");
/// The field of a node that daemon pods are bound by.
const NAME_FIELD: &str = "metadata.name";

/// Whether a change of a node may change what fits it.
pub(super) fn matters(change: &Change<Node>) -> bool {
    let (Some(old), Some(new)) = (&change.old, &change.new) else { return true };
    old.metadata.labels != new.metadata.labels || taints(old) != taints(new)
}

/// Whether a pod of this spec fits a node.
pub(super) fn fit(spec: &PodSpec, node: &Node) -> Fit {
    let name = node.metadata.name.as_deref().unwrap_or_default();
    let elsewhere = spec.node_name.as_deref().is_some_and(|wanted| !wanted.is_empty() && wanted != name);
    if elsewhere || !matches_affinity(spec, node) {
        return Fit::Leave;
    }
    let tolerations = tolerations(spec);
    let repelled = |effects: &[&str]| {
        let taints = taints(node).iter().filter(|taint| effects.contains(&taint.effect.as_str()));
        taints.into_iter().any(|taint| !tolerations.iter().any(|toleration| tolerates(toleration, taint)))
    };
    match (repelled(&["NoSchedule", "NoExecute"]), repelled(&["NoExecute"])) {
        (false, _) => Fit::Run,
        (true, false) => Fit::Stay,
        (true, true) => Fit::Leave,
    }
}

fn taints(node: &Node) -> &[Taint] {
    node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default()
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

fn matches_affinity(spec: &PodSpec, node: &Node) -> bool {
    let empty = Labels::new();
    let labels = node.metadata.labels.as_ref().unwrap_or(&empty);
    let selected = spec.node_selector.iter().flatten().all(|(name, value)| labels.get(name) == Some(value));
    let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let required =
        affinity.and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    selected
        && required.is_none_or(|required| {
            required.node_selector_terms.iter().any(|term| matches_term(term, node, labels))
        })
}

/// All requirements of a term must hold; a term without any matches nothing.
fn matches_term(term: &NodeSelectorTerm, node: &Node, labels: &Labels) -> bool {
    let fields: Labels = [(NAME_FIELD.to_owned(), node.metadata.name.clone().unwrap_or_default())].into();
    let expressions = term.match_expressions.iter().flatten().map(|requirement| (requirement, labels));
    let fields = term.match_fields.iter().flatten().map(|requirement| (requirement, &fields));
    let mut all = expressions.chain(fields).peekable();
    all.peek().is_some() && all.all(|(requirement, labels)| matches_requirement(requirement, labels))
}

fn matches_requirement(requirement: &NodeSelectorRequirement, labels: &Labels) -> bool {
    let operator = match requirement.operator.as_str() {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        "Gt" => Operator::GreaterThan,
        "Lt" => Operator::LessThan,
        _ => return false,
    };
    let values = requirement.values.clone().unwrap_or_default();
    Requirement::new(&requirement.key, operator, values).is_ok_and(|requirement| requirement.matches(labels))
}

/// Makes a pod one for this node. The scheduler binds it: it alone knows what else is there.
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
    // Replaces all terms: that they match was looked at when the node was chosen.
    affinity.required_during_scheduling_ignored_during_execution = Some(NodeSelector {
        node_selector_terms: vec![NodeSelectorTerm {
            match_fields: Some(vec![only]),
            match_expressions: None,
        }],
    });
}

/// The node that a pod is on, or made for.
pub(super) fn target(pod: &Pod) -> Option<&str> {
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
