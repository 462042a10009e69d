//! Which pods a node under pressure admits, and which it never evicts.

use semantics::{Effect, QosClass, Taint, Toleration, qos_class, tolerations};

use crate::pod::PodInfo;
use crate::pressure::{EVICTED, Pressure, Pressures};
use crate::rejection::Rejection;
use crate::text::go_list;

/// The priority from which on a pod is critical for the cluster (`system-cluster-critical`).
const CRITICAL_PRIORITY: i32 = 2_000_000_000;
const MEMORY_TAINT: &str = "node.kubernetes.io/memory-pressure";
/// The annotation with the source of a pod; for pods from the API server it is `api`.
const SOURCE: &str = "kubernetes.io/config.source";

/// Whether a pod is critical.
pub(crate) fn is_critical(pod: &PodInfo) -> bool {
    let annotations = pod.pod.metadata.annotations.as_ref();
    let source = annotations.and_then(|all| all.get(SOURCE)).map(String::as_str);
    let is_static = source.is_some_and(|source| source != "api")
        || annotations.is_some_and(|all| all.contains_key("kubernetes.io/config.mirror"));
    is_static || pod.spec().priority.is_some_and(|priority| priority >= CRITICAL_PRIORITY)
}

/// Why a node with these conditions does not admit a pod.
pub(crate) fn refusal(pod: &PodInfo, pressures: &Pressures) -> Option<Rejection> {
    if pressures.is_empty() || is_critical(pod) {
        return None;
    }
    let only_memory = pressures.len() == 1 && pressures.contains(&Pressure::Memory);
    let best_effort = qos_class(&*pod.pod) == QosClass::BestEffort;
    let taint = Taint::new(MEMORY_TAINT, Effect::NoSchedule);
    if only_memory && (!best_effort || Toleration::any_tolerates(&tolerations(&*pod.pod), &taint)) {
        return None;
    }
    let names: Vec<&str> = pressures.iter().map(|pressure| pressure.as_str()).collect();
    Some(Rejection { reason: EVICTED, message: format!("The node had condition: {}. ", go_list(&names)) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pod;
    use serde_json::json;

    #[test]
    fn a_node_that_runs_short_is_choosy() {
        let container = json!([{"name": "c"}]);
        let best_effort = pod(json!({"containers": container}));
        let burstable =
            pod(json!({"containers": [{"name": "c", "resources": {"requests": {"memory": "1Mi"}}}]}));
        let critical = pod(json!({"containers": container, "priority": 2_000_000_000}));
        let tolerant = |toleration| pod(json!({"containers": container, "tolerations": [toleration]}));
        let memory = tolerant(json!({"key": MEMORY_TAINT, "operator": "Exists", "effect": "NoSchedule"}));
        let all = tolerant(json!({"operator": "Exists"}));
        let disk = tolerant(json!({"key": "node.kubernetes.io/disk-pressure", "operator": "Exists"}));
        let refused = |pod: &PodInfo, pressures: &[Pressure]| {
            refusal(pod, &pressures.iter().copied().collect()).map(|rejection| rejection.message)
        };
        let message = |names: &str| Some(format!("The node had condition: [{names}]. "));
        use Pressure::{Disk, Memory};
        for pod in [&best_effort, &burstable, &critical, &memory, &all, &disk] {
            assert_eq!(refused(pod, &[]), None);
        }
        assert_eq!(refused(&best_effort, &[Memory]), message("MemoryPressure"));
        assert_eq!(refused(&disk, &[Memory]), message("MemoryPressure"));
        for pod in [&burstable, &critical, &memory, &all] {
            assert_eq!(refused(pod, &[Memory]), None);
        }
        for pod in [&best_effort, &burstable, &memory, &all] {
            assert_eq!(refused(pod, &[Disk]), message("DiskPressure"));
            assert_eq!(refused(pod, &[Memory, Disk]), message("MemoryPressure DiskPressure"));
        }
        assert_eq!(refused(&critical, &[Memory, Disk]), None);
    }
}
