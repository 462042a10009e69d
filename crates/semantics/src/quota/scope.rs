//! Scopes: which objects a quota is for.

use std::fmt;

use crate::{Field, QosClass, View, qos_class};

/// A requirement for the objects that a quota counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    name: String,
    operator: Operator,
    values: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

/// As upstream's messages show it: `{NAME OPERATOR [VALUES]}`.
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{} {:?} [{}]}}", self.name, self.operator, self.values.join(" "))
    }
}

/// The scopes of a quota: an object must be in all of them.
pub fn scopes(quota: &dyn View) -> Vec<Scope> {
    let spec = quota.field("spec");
    let plain = spec.field("scopes").items().filter_map(Field::as_text).map(|name| Scope {
        name: name.to_owned(),
        operator: Operator::Exists,
        values: Vec::new(),
    });
    let expressions = spec.field("scopeSelector").field("matchExpressions").items();
    plain.chain(expressions.map(Scope::read)).collect()
}

impl Scope {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn read(expression: Field<'_>) -> Scope {
        let operator = match expression.field("operator").text() {
            "In" => Operator::In,
            "NotIn" => Operator::NotIn,
            "DoesNotExist" => Operator::DoesNotExist,
            _ => Operator::Exists,
        };
        let values = expression.field("values").items().filter_map(Field::as_text);
        Scope {
            name: expression.field("scopeName").text().to_owned(),
            operator,
            values: values.map(str::to_owned).collect(),
        }
    }

    pub(super) fn has_pod(&self, pod: &dyn View) -> bool {
        let spec = pod.field("spec");
        // Zero is a deadline too.
        let ends = || spec.field("activeDeadlineSeconds").as_integer().is_some_and(|seconds| seconds >= 0);
        let is_best_effort = || qos_class(pod) == QosClass::BestEffort;
        match &*self.name {
            "Terminating" => ends(),
            "NotTerminating" => !ends(),
            "BestEffort" => is_best_effort(),
            "NotBestEffort" => !is_best_effort(),
            "PriorityClass" => self.selects(Some(spec.field("priorityClassName").text())),
            "CrossNamespacePodAffinity" => crosses_namespaces(spec.field("affinity")),
            _ => false,
        }
    }

    pub(super) fn has_claim(&self, claim: &dyn View) -> bool {
        if self.name != "VolumeAttributesClass" {
            return false;
        }
        let status = claim.field("status");
        let classes = [
            claim.field("spec").field("volumeAttributesClassName"),
            status.field("currentVolumeAttributesClassName"),
            status.field("modifyVolumeStatus").field("targetVolumeAttributesClassName"),
        ];
        let named = || classes.iter().map(|class| class.text()).filter(|class| !class.is_empty());
        if named().next().is_none() {
            self.selects(None)
        } else {
            named().any(|class| self.selects(Some(class)))
        }
    }

    /// Whether the scope is for objects of this class.
    fn selects(&self, class: Option<&str>) -> bool {
        let class = class.filter(|class| !class.is_empty());
        let is_listed = || class.is_some_and(|class| self.values.iter().any(|value| value == class));
        match self.operator {
            Operator::In => is_listed(),
            Operator::NotIn => !is_listed(),
            Operator::Exists => class.is_some(),
            Operator::DoesNotExist => class.is_none(),
        }
    }
}

/// Whether a pod must be near pods of other namespaces, or far from them.
fn crosses_namespaces(affinity: Field<'_>) -> bool {
    let crosses = |term: Field<'_>| {
        !term.field("namespaces").is_empty() || !term.field("namespaceSelector").is_absent()
    };
    ["podAffinity", "podAntiAffinity"].into_iter().any(|kind| {
        let terms = affinity.field(kind);
        let mut required = terms.field("requiredDuringSchedulingIgnoredDuringExecution").items();
        let mut preferred = terms.field("preferredDuringSchedulingIgnoredDuringExecution").items();
        required.any(crosses) || preferred.any(|term| crosses(term.field("podAffinityTerm")))
    })
}
