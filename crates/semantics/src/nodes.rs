//! The nodes on which a pod may run or prefers to run: `nodeSelector` and node affinity.
//!
//! The rules are those of upstream's `k8s.io/component-helpers/scheduling/corev1/nodeaffinity`.

use object::{Labels, Operator, Requirement};

use crate::{Field, View};

/// The only field of a node that terms can select by.
pub const NAME_FIELD: &str = "metadata.name";

/// Something that counts more or less.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weighted<T> {
    /// How much it counts.
    pub weight: i64,
    /// What counts.
    pub term: T,
}

/// A pod's terms about nodes, in matching form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeTerms {
    /// `spec.nodeSelector`: labels that the node must have.
    pub labels: Vec<(String, String)>,
    /// The required terms, of which one must hold; `None` if the pod has no such demand.
    pub required: Option<Vec<NodeSelectorTerm>>,
    /// The preferred terms.
    pub preferred: Vec<Weighted<NodeSelectorTerm>>,
}

/// A node selector term: all of its requirements must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSelectorTerm {
    labels: Vec<Requirement>,
    /// The conditions on the node's name: equal or unequal.
    names: Vec<(bool, String)>,
    /// An empty term matches no node, and neither does one that cannot be read.
    matches_nothing: bool,
}

impl NodeTerms {
    /// Reads them from a pod's spec.
    pub fn new(spec: &dyn View) -> NodeTerms {
        let affinity = spec.field("affinity").field("nodeAffinity");
        let required = affinity.field("requiredDuringSchedulingIgnoredDuringExecution");
        let preferred = affinity.field("preferredDuringSchedulingIgnoredDuringExecution");
        let mut labels = Vec::new();
        spec.field("nodeSelector")
            .each(&mut |name, value| labels.push((name.to_owned(), value.text().to_owned())));
        // In trees the order is the author's.
        labels.sort_unstable();
        let terms =
            || required.field("nodeSelectorTerms").items().map(|term| NodeSelectorTerm::new(&term)).collect();
        let weighted = |term: Field<'_>| Weighted {
            weight: term.field("weight").as_integer().unwrap_or(0),
            term: NodeSelectorTerm::new(&term.field("preference")),
        };
        NodeTerms {
            labels,
            required: (!required.is_absent()).then(terms),
            preferred: preferred.items().map(weighted).collect(),
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
    pub fn match_node(&self, name: &str, labels: &(impl Labels + ?Sized)) -> bool {
        self.labels.iter().all(|(key, value)| labels.label(key) == Some(value.as_str()))
            && self.required.as_ref().is_none_or(|terms| terms.iter().any(|term| term.matches(name, labels)))
    }
}

impl NodeSelectorTerm {
    /// Reads a term.
    pub fn new(term: &dyn View) -> NodeSelectorTerm {
        let (expressions, fields) = (term.field("matchExpressions"), term.field("matchFields"));
        let labels = expressions.items().map(label_requirement).collect::<Option<Vec<_>>>();
        let names = fields.items().map(name_requirement).collect::<Option<Vec<_>>>();
        NodeSelectorTerm {
            matches_nothing: expressions.is_empty() && fields.is_empty()
                || labels.is_none()
                || names.is_none(),
            labels: labels.unwrap_or_default(),
            names: names.unwrap_or_default(),
        }
    }

    /// Whether a node of this name and these labels fulfils all requirements.
    pub fn matches(&self, name: &str, labels: &(impl Labels + ?Sized)) -> bool {
        !self.matches_nothing
            && self.names.iter().all(|(equal, wanted)| (wanted.as_str() == name) == *equal)
            && self.labels.iter().all(|requirement| requirement.matches(labels))
    }

    /// The only nodes, by name, that can match: `None` if names do not decide it.
    pub fn node_names(&self) -> Option<Vec<&str>> {
        let mut wanted = self.names.iter().filter(|(equal, _)| *equal).map(|(_, name)| name.as_str());
        let first = wanted.next()?;
        Some(if wanted.all(|other| other == first) { vec![first] } else { Vec::new() })
    }
}

fn texts(list: Field<'_>) -> Vec<String> {
    list.items().filter_map(Field::as_text).map(str::to_owned).collect()
}

fn label_requirement(from: Field<'_>) -> Option<Requirement> {
    let operator = match from.field("operator").text() {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        "Gt" => Operator::GreaterThan,
        "Lt" => Operator::LessThan,
        _ => return None,
    };
    Requirement::new(from.field("key").text(), operator, texts(from.field("values"))).ok()
}

fn name_requirement(from: Field<'_>) -> Option<(bool, String)> {
    let equal = match from.field("operator").text() {
        "In" => true,
        "NotIn" => false,
        _ => return None,
    };
    let mut values = texts(from.field("values"));
    (from.field("key").text() == NAME_FIELD && values.len() == 1).then(|| (equal, values.remove(0)))
}
