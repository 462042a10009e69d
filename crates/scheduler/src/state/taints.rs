//! Which taints a toleration covers.

use k8s_openapi::api::core::v1::{Taint, Toleration};

use super::NodeInfo;

/// Whether tolerations cover all taints of a node that keep pods off.
pub fn tolerates_node(tolerations: &[Toleration], node: &NodeInfo) -> bool {
    node.taints
        .iter()
        .filter(|taint| taint.effect == "NoSchedule" || taint.effect == "NoExecute")
        .all(|taint| tolerations.iter().any(|toleration| tolerates_taint(toleration, taint)))
}

/// Whether a toleration covers a taint. Empty effects and keys cover all; numbers are compared by KEP-5471.
pub fn tolerates_taint(toleration: &Toleration, taint: &Taint) -> bool {
    let unless_empty = |wanted: &Option<String>, found: &str| {
        wanted.as_deref().is_none_or(|wanted| wanted.is_empty() || wanted == found)
    };
    if !unless_empty(&toleration.effect, &taint.effect) || !unless_empty(&toleration.key, &taint.key) {
        return false;
    }
    let wanted = toleration.value.as_deref().unwrap_or_default();
    let found = taint.value.as_deref().unwrap_or_default();
    let compare = |holds: fn(i64, i64) -> bool| match (found.parse(), wanted.parse()) {
        (Ok(found), Ok(wanted)) => holds(found, wanted),
        _ => false,
    };
    match toleration.operator.as_deref().unwrap_or_default() {
        "" | "Equal" => wanted == found,
        "Exists" => true,
        "Lt" => compare(|found, wanted| found < wanted),
        "Gt" => compare(|found, wanted| found > wanted),
        _ => false,
    }
}
