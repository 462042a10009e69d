//! Which nodes a pod may or would rather run on: `nodeSelector` and node affinity in matching form.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{NodeSelectorRequirement, NodeSelectorTerm as ApiTerm, PodSpec};
use object::{Operator, Requirement};

/// Something that counts more or less.
#[derive(Clone, Debug, PartialEq)]
pub struct Weighted<T> {
    /// How much it counts.
    pub weight: i64,
    /// What counts.
    pub term: T,
}

/// What a pod says about nodes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeTerms {
    /// `spec.nodeSelector`: labels that the node must have.
    pub labels: Vec<(String, String)>,
    /// The required terms, of which one must hold; `None` if the pod has no such demand.
    pub required: Option<Vec<NodeSelectorTerm>>,
    /// The preferred terms.
    pub preferred: Vec<Weighted<NodeSelectorTerm>>,
}

/// A node selector term: all of its requirements must hold.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeSelectorTerm {
    labels: Vec<Requirement>,
    /// The conditions on `metadata.name`, the only field that can be selected by: equal or unequal.
    names: Vec<(bool, String)>,
    /// An empty term matches no node, and neither does one that cannot be read.
    matches_nothing: bool,
}

impl NodeTerms {
    /// Reads them from a pod's spec.
    pub fn new(spec: &PodSpec) -> NodeTerms {
        let labels = spec.node_selector.iter().flatten();
        let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
        let required = affinity.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
        let preferred =
            affinity.and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_ref());
        NodeTerms {
            labels: labels.map(|(key, value)| (key.clone(), value.clone())).collect(),
            required: required.map(|all| all.node_selector_terms.iter().map(NodeSelectorTerm::new).collect()),
            preferred: preferred
                .into_iter()
                .flatten()
                .map(|term| Weighted {
                    weight: i64::from(term.weight),
                    term: NodeSelectorTerm::new(&term.preference),
                })
                .collect(),
        }
    }

    /// Only the demands.
    #[must_use]
    pub fn demands(&self) -> NodeTerms {
        NodeTerms { labels: self.labels.clone(), required: self.required.clone(), preferred: Vec::new() }
    }

    /// Whether the pod demands nothing of its node.
    pub fn demands_nothing(&self) -> bool {
        self.labels.is_empty() && self.required.is_none()
    }

    /// Whether a node of this name and these labels fulfils the demands.
    pub fn are_fulfilled_by(&self, name: &str, labels: &BTreeMap<String, String>) -> bool {
        self.labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.required.as_ref().is_none_or(|terms| terms.iter().any(|term| term.matches(name, labels)))
    }
}

impl NodeSelectorTerm {
    /// Reads it.
    pub fn new(term: &ApiTerm) -> NodeSelectorTerm {
        let labels = term.match_expressions.as_deref().unwrap_or_default();
        let fields = term.match_fields.as_deref().unwrap_or_default();
        let parsed = labels.iter().map(label_requirement).collect::<Option<Vec<_>>>();
        let names = fields.iter().map(name_requirement).collect::<Option<Vec<_>>>();
        NodeSelectorTerm {
            matches_nothing: labels.is_empty() && fields.is_empty() || parsed.is_none() || names.is_none(),
            labels: parsed.unwrap_or_default(),
            names: names.unwrap_or_default(),
        }
    }

    /// Whether a node of this name and these labels fulfils all requirements.
    pub fn matches(&self, name: &str, labels: &BTreeMap<String, String>) -> bool {
        !self.matches_nothing
            && self.names.iter().all(|(equal, wanted)| (name == wanted) == *equal)
            && self.labels.iter().all(|requirement| requirement.matches(labels))
    }

    /// The only nodes, by name, that can match: `None` if names do not decide it.
    pub fn node_names(&self) -> Option<Vec<&str>> {
        let mut wanted = self.names.iter().filter(|(equal, _)| *equal).map(|(_, name)| name.as_str());
        let first = wanted.next()?;
        Some(if wanted.all(|other| other == first) { vec![first] } else { Vec::new() })
    }
}

fn label_requirement(from: &NodeSelectorRequirement) -> Option<Requirement> {
    let operator = match from.operator.as_str() {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        "Gt" => Operator::GreaterThan,
        "Lt" => Operator::LessThan,
        _ => return None,
    };
    Requirement::new(&from.key, operator, from.values.clone().unwrap_or_default()).ok()
}

fn name_requirement(from: &NodeSelectorRequirement) -> Option<(bool, String)> {
    let equal = match from.operator.as_str() {
        "In" => true,
        "NotIn" => false,
        _ => return None,
    };
    match from.values.as_deref() {
        Some([name]) if from.key == "metadata.name" => Some((equal, name.clone())),
        _ => None,
    }
}
