//! The plugins that are off by default, as upstream's are (`--enable-admission-plugins`).

use object::Value;
use schema::GroupResource;

use super::{Attributes, Operation};

mod always_pull_images;
mod anti_affinity;
pub mod event_rate_limit;
mod extended_resources;
mod external_ips;
mod namespaces;
mod node_selector;
mod owner_references;
pub mod toleration_restriction;

pub use always_pull_images::AlwaysPullImages;
pub use anti_affinity::LimitPodHardAntiAffinityTopology;
pub use event_rate_limit::EventRateLimit;
pub use extended_resources::ExtendedResourceToleration;
pub use external_ips::DenyServiceExternalIps;
pub use namespaces::{NamespaceAutoProvision, NamespaceExists};
pub use node_selector::{PodNodeSelector, Selectors};
pub use owner_references::OwnerReferences;
pub use toleration_restriction::PodTolerationRestriction;

/// Whether a pod itself is created, or updated where updates count.
fn writes_pod(what: &Attributes<'_>, updates: bool) -> bool {
    let writes = what.operation == Operation::Create || (updates && what.operation == Operation::Update);
    writes && what.is(GroupResource::PODS)
}

/// The lists of a pod's containers.
const CONTAINERS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// The containers of a pod, with the names of their lists and their places in them.
fn containers(pod: &Value) -> impl Iterator<Item = (&'static str, usize, &Value)> {
    let spec = pod.get("spec");
    CONTAINERS.into_iter().flat_map(move |list| {
        spec.get(list).items().enumerate().map(move |(index, container)| (list, index, container))
    })
}
