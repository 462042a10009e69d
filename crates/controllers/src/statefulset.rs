//! The StatefulSet controller: pods with stable names, and claims that stay with them.
//!
//! | module | decides |
//! | --- | --- |
//! | `identity` | names, labels, volumes |
//! | `claims` | the claims of a pod, and who owns them |
//! | `replicas` | (types) the inputs of a decision; which template a new pod gets |
//! | `status` | counts |
//! | `update` | which old pods are replaced by new ones |
//! | `metrics` | (no decision) what is measured |
//! | `plan` | the order of everything |
//! | `failures` | what follows from writes that failed |
//!
//! Each uses only those above it.
//!
//! It follows upstream's `pkg/controller/statefulset`.

use std::collections::BTreeMap;
use std::sync::Arc;

use client::{Informer, LeanPod, key_of};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use object::ObjectKey;

use crate::framework::{Controller, Failure, Look, Plan, Wiring, controller_of, woken_by_owned};
use crate::pods;

mod claims;
mod failures;
mod identity;
mod metrics;
mod plan;
mod replicas;
mod status;
#[cfg(test)]
mod tests;
mod update;

pub use metrics::Metrics;
use replicas::{Replicas, Snapshot};

pub(crate) struct StatefulSetController {
    sets: Arc<Informer<StatefulSet>>,
    revisions: Arc<Informer<ControllerRevision>>,
    pods: Arc<Informer<LeanPod>>,
    claims: Arc<Informer<PersistentVolumeClaim>>,
    metrics: Metrics,
}

impl StatefulSetController {
    /// The claims that exist of pods that the set has or wants.
    fn claims_of(
        &self,
        set: &StatefulSet,
        pods: &[Arc<LeanPod>],
    ) -> BTreeMap<String, Arc<PersistentVolumeClaim>> {
        let namespace = set.metadata.namespace.as_deref().unwrap_or_default();
        let start = identity::start(set);
        let wanted = start..start.saturating_add(identity::wanted(set));
        let others = pods.iter().filter_map(|pod| identity::ordinal(pod));
        let others = others.filter(|ordinal| !identity::is_wanted(set, *ordinal));
        let mut claims = BTreeMap::new();
        for ordinal in wanted.chain(others) {
            for template in identity::claim_templates(set) {
                let name = identity::claim_name(set, template, ordinal);
                if let Some(claim) = self.claims.get(&ObjectKey::namespaced(namespace, &*name)) {
                    claims.insert(name, claim);
                }
            }
        }
        claims
    }
}

impl Controller for StatefulSetController {
    const NAME: &'static str = "statefulset-controller";
    const ACCOUNT: &'static str = "statefulset-controller";
    const QUEUE: &'static str = "statefulset";
    type Key = ObjectKey;
    type Snapshot = Snapshot;
    type Memory = ();

    fn wire(wiring: &mut Wiring<ObjectKey>) -> StatefulSetController {
        let sets = wiring.informer::<StatefulSet>();
        let revisions = wiring.informer::<ControllerRevision>();
        let pods = wiring.informer::<LeanPod>();
        let claims = wiring.informer::<PersistentVolumeClaim>();
        pods.add_index(pods::BY_CONTROLLER, pods::controller_uid);
        wiring.wake_self(&sets);
        let candidates = Arc::clone(&sets);
        wiring.wake(&revisions, move |change| {
            woken_by_owned(&candidates, change, |owner| semantics::selector(&owner.spec.selector))
        });
        let candidates = Arc::clone(&sets);
        wiring.wake(&pods, move |change| {
            woken_by_owned(&candidates, change, |owner| semantics::selector(&owner.spec.selector))
        });
        let holders = Arc::clone(&sets);
        wiring.wake(&claims, move |change| {
            let sets = holders.in_namespace(change.key.namespace());
            let holding = sets.iter().filter(|set| identity::may_claim(set, &change.key.name));
            holding.map(|set| key_of(&**set)).collect::<Vec<_>>()
        });
        let metrics = wiring.metrics().stateful_sets.clone();
        StatefulSetController { sets, revisions, pods, claims, metrics }
    }

    fn observe(&self, key: &ObjectKey, look: &mut Look<'_, ()>) -> Option<Snapshot> {
        let Some(set) = self.sets.get(key) else {
            self.metrics.forget(key);
            return None;
        };
        let uid = set.metadata.uid.as_deref().unwrap_or_default();
        let mut pods = self.pods.indexed(pods::BY_CONTROLLER, uid);
        self.metrics.record(&set, &Replicas::new(&set, &pods), look.now);
        let mut orphans = self.pods.indexed(pods::BY_CONTROLLER, "");
        orphans.retain(|pod| pod.metadata.namespace() == key.namespace() && identity::is_member(&set, pod));
        pods.extend(orphans);
        let mut revisions = self.revisions.in_namespace(key.namespace());
        revisions.retain(|revision| controller_of(&revision.metadata).is_none_or(|owner| owner.uid == uid));
        let claims = self.claims_of(&set, &pods);
        Some(Snapshot { set, revisions, pods, claims })
    }

    fn plan(snapshot: &Snapshot, now: Timestamp) -> Plan {
        plan::plan(snapshot, now)
    }

    fn recover(snapshot: &Snapshot, failures: &[Failure], now: Timestamp) -> Plan {
        failures::recover(snapshot, failures, now)
    }
}
