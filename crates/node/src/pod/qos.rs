//! The quality-of-service class of a pod (`pkg/apis/core/v1/helper/qos`).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use object::Quantity;

/// How well a pod is treated when the node runs short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QosClass {
    Guaranteed,
    Burstable,
    BestEffort,
}

impl QosClass {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            QosClass::Guaranteed => "Guaranteed",
            QosClass::Burstable => "Burstable",
            QosClass::BestEffort => "BestEffort",
        }
    }
}

fn amount(list: Option<&BTreeMap<String, ApiQuantity>>, name: &str) -> Option<Quantity> {
    let quantity = Quantity::parse(&list?.get(name)?.0).ok()?;
    (!quantity.is_zero()).then_some(quantity)
}

/// The class of a pod by its requests and limits of CPU and memory.
pub(crate) fn qos_class(spec: &PodSpec) -> QosClass {
    let of_containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let all: Vec<Option<&ResourceRequirements>> = match &spec.resources {
        // Pod-level resources decide alone (KEP-2837).
        Some(of_pod) if of_pod.requests.is_some() || of_pod.limits.is_some() => vec![Some(of_pod)],
        _ => of_containers.map(|container| container.resources.as_ref()).collect(),
    };
    let (mut any, mut guaranteed) = (false, true);
    for resources in all {
        for name in ["cpu", "memory"] {
            let limit = amount(resources.and_then(|r| r.limits.as_ref()), name);
            let request = amount(resources.and_then(|r| r.requests.as_ref()), name);
            any |= limit.is_some() || request.is_some();
            // A request that is not given is the limit.
            guaranteed &= limit.is_some() && (request.is_none() || request == limit);
        }
    }
    match (any, guaranteed) {
        (false, _) => QosClass::BestEffort,
        (true, true) => QosClass::Guaranteed,
        (true, false) => QosClass::Burstable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn classes_follow_requests_and_limits() {
        let all = json!({"cpu": "1", "memory": "1Gi"});
        let cases = [
            (json!([{}]), QosClass::BestEffort),
            (json!([{"limits": all}]), QosClass::Guaranteed),
            (json!([{"limits": all, "requests": {"cpu": "1000m", "memory": "1Gi"}}]), QosClass::Guaranteed),
            (json!([{"limits": all, "requests": {"cpu": "500m", "memory": "1Gi"}}]), QosClass::Burstable),
            (json!([{"limits": all}, {}]), QosClass::Burstable),
            (json!([{"requests": {"cpu": "0"}}]), QosClass::BestEffort),
            (json!([{"limits": {"cpu": "1"}}]), QosClass::Burstable),
        ];
        for (resources, class) in cases {
            let containers: Vec<_> =
                resources.as_array().unwrap().iter().map(|r| json!({"name": "c", "resources": r})).collect();
            let spec: PodSpec = serde_json::from_value(json!({"containers": containers})).unwrap();
            assert_eq!(qos_class(&spec), class, "{resources}");
        }
    }
}
