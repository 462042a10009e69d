//! What is measured of each set, under upstream's names (`pkg/controller/statefulset/metrics`).

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use metrics::{Family, Gauge, Register, Registry};
use object::ObjectKey;

use super::replicas::{self, Replicas};
use super::{identity, update};

type Labels = [(&'static str, String); 3];

/// The metrics of all sets. Clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    max_unavailable: Family<Labels, Gauge>,
    unavailable_replicas: Family<Labels, Gauge>,
}

impl Default for Metrics {
    /// Metrics that nobody sees.
    fn default() -> Metrics {
        Metrics::register(&mut Registry::default())
    }
}

impl Metrics {
    /// Metrics that are registered with `registry`.
    pub(crate) fn register(registry: &mut Registry) -> Metrics {
        let sets = registry.sub_registry_with_prefix("statefulset_controller");
        Metrics {
            max_unavailable: sets.add(
                "statefulset_max_unavailable",
                "How many pods of a StatefulSet may be unavailable during an update",
            ),
            unavailable_replicas: sets
                .add("statefulset_unavailable_replicas", "How many pods of a StatefulSet are unavailable"),
        }
    }

    /// Records the state of a set that is updated by itself.
    pub(super) fn record(&self, set: &StatefulSet, replicas: &Replicas, now: Timestamp) {
        if replicas::is_on_delete(set) {
            return;
        }
        let labels = [
            ("statefulset_namespace", set.metadata.namespace.clone().unwrap_or_default()),
            ("statefulset_name", identity::name_of(set).to_owned()),
            ("pod_management_policy", set.spec.pod_management_policy.clone().unwrap_or_default()),
        ];
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.max_unavailable.get_or_create(&labels).set(number(update::max_unavailable(set)));
        let unavailable = update::unavailable(set, replicas, now);
        self.unavailable_replicas.get_or_create(&labels).set(number(unavailable));
    }

    /// Forgets a set that is gone.
    pub(super) fn forget(&self, key: &ObjectKey) {
        let is_other = |[namespace, name, _]: &Labels| namespace.1 != key.namespace() || name.1 != *key.name;
        self.max_unavailable.retain(is_other);
        self.unavailable_replicas.retain(is_other);
    }
}
