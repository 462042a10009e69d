//! The quality of service class of a pod (`pkg/apis/core/v1/helper/qos`).

use std::collections::BTreeMap;

use object::{Quantity, Value};

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

/// The resources that decide.
const COMPUTE: [&str; 2] = ["cpu", "memory"];

/// The amounts of [`COMPUTE`] above zero.
type Amounts = BTreeMap<&'static str, Quantity>;

/// The class of a pod whose defaults are filled in. The pod's own resources decide where it has any, and else
/// those of all its containers together.
pub fn qos_class(pod: &Value) -> QosClass {
    let spec = pod.get("spec");
    let own = spec.get("resources");
    let containers = || spec.get("initContainers").items().chain(spec.get("containers").items());
    let (mut requests, mut limits) = (Amounts::new(), Amounts::new());
    let mut is_limited = true;
    let mut add = |resources: &Value, asks_for_limits: bool| {
        sum(&mut requests, &amounts(resources.get("requests")));
        let limited = amounts(resources.get("limits"));
        is_limited &= !asks_for_limits || limited.len() == COMPUTE.len();
        sum(&mut limits, &limited);
    };
    if own.is_empty() {
        containers().for_each(|container| add(container.get("resources"), true));
    } else {
        add(own, !own.get("limits").is_empty());
    }
    if requests.is_empty() && limits.is_empty() {
        QosClass::BestEffort
    } else if is_limited && requests == limits {
        QosClass::Guaranteed
    } else {
        QosClass::Burstable
    }
}

fn amounts(list: &Value) -> Amounts {
    let amount = |name: &'static str| {
        let quantity = Quantity::parse(list.get(name).as_str()?).ok()?;
        (quantity.sign() > 0).then_some((name, quantity))
    };
    COMPUTE.into_iter().filter_map(amount).collect()
}

fn sum(total: &mut Amounts, amounts: &Amounts) {
    for (name, amount) in amounts {
        *total.entry(name).or_default() += amount;
    }
}
