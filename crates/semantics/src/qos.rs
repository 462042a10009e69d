//! The quality of service class of a pod (upstream's `pkg/apis/core/v1/helper/qos`).

use crate::amounts::quantity;
use crate::{Field, View};

/// How a pod is treated where a node runs out of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QosClass {
    /// Every container has equal requests and limits of CPU and memory: evicted last.
    Guaranteed,
    /// Something is requested or limited.
    Burstable,
    /// Nothing is requested: evicted first.
    BestEffort,
}

impl QosClass {
    /// The class as the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            QosClass::Guaranteed => "Guaranteed",
            QosClass::Burstable => "Burstable",
            QosClass::BestEffort => "BestEffort",
        }
    }
}

/// The class of a pod whose defaults are filled in, by its requests and limits of CPU and memory: those of the pod as a
/// whole where it has any, else those of its containers.
pub fn qos_class(pod: &dyn View) -> QosClass {
    let spec = pod.field("spec");
    let own = spec.field("resources");
    if !own.field("requests").is_empty() || !own.field("limits").is_empty() {
        return class(own);
    }
    let containers = spec.field("containers").items().chain(spec.field("initContainers").items());
    let mut classes = containers.map(|container| class(container.field("resources")));
    let first = classes.next().unwrap_or(QosClass::BestEffort);
    if classes.all(|class| class == first) { first } else { QosClass::Burstable }
}

fn class(resources: Field<'_>) -> QosClass {
    let of = |name: &str| {
        let amount = |list: &str| quantity(resources.field(list).field(name)).unwrap_or_default();
        let (request, limit) = (amount("requests"), amount("limits"));
        match (request == limit, limit.is_zero()) {
            (true, true) => QosClass::BestEffort,
            (true, false) => QosClass::Guaranteed,
            (false, _) => QosClass::Burstable,
        }
    };
    let (cpu, memory) = (of("cpu"), of("memory"));
    if cpu == memory { cpu } else { QosClass::Burstable }
}
