//! The quota controller: the status of a quota shows its limits, and what is used of them (upstream:
//! `pkg/controller/resourcequota`).
//!
//! The API server adds to `used` what it admits. This controller counts what there is: when a quota or its limits are new,
//! when something that a quota counts is gone or counts for less, and every few minutes.
//!
//! A count that is lower than what the server has charged must not be written while an object whose quota is charged is
//! not stored yet: it would be missing. So before the count that is written, the server is sent the status as a dry run,
//! which it answers when no such write is under way (`apiserver`'s plugin ResourceQuota), and the count is written on the
//! condition that nothing has been charged since. If something has, it is counted again: while a quota has room, that may
//! take some tries, and one that is exhausted is charged no more.

use std::sync::Arc;
use std::time::Duration;

use client::{Change, Informer, Kin, LeanPod, ResourceType, key_of};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, ResourceQuota, Service};
use object::{ObjectKey, Value};
use semantics::quota::{Measure, ResourceList, scopes};
use semantics::{View, pods};

use crate::framework::{Controller, Everything, Live, Look, Plan, Wiring};

mod plan;
#[cfg(test)]
mod tests;

use plan::Snapshot;

/// The longest delay after a failure: usually something was charged while it was counted.
const RETRY_MAX: Duration = Duration::from_secs(5);
/// Between two counts of a quota pass at least so much time, and so much more for each object counted: where many
/// objects are deleted, not each of them is worth a count.
const PAUSE: SignedDuration = SignedDuration::from_millis(100);
const PAUSE_EACH: SignedDuration = SignedDuration::from_micros(100);

pub(crate) struct QuotaController {
    quotas: Arc<Informer<ResourceQuota>>,
    everything: Everything,
}

/// The result of a count.
struct Count {
    used: ResourceList,
    objects: i32,
}

impl Controller for QuotaController {
    const NAME: &'static str = "resourcequota-controller";
    const ACCOUNT: &'static str = "resourcequota-controller";
    const QUEUE: &'static str = "resourcequota_primary";
    const RETRY_MAX: Duration = RETRY_MAX;
    type Key = ObjectKey;
    type Snapshot = Snapshot;
    /// When the quota may be counted again.
    type Memory = Option<Timestamp>;

    fn wire(wiring: &mut Wiring<ObjectKey>) -> QuotaController {
        let quotas = wiring.informer::<ResourceQuota>();
        wiring.wake(&quotas, |change| {
            let quota = change.new.as_ref()?;
            let is_changed = change.old.as_ref().is_none_or(|old| old.spec != quota.spec);
            (is_changed || plan::is_behind(quota)).then(|| change.key.clone())
        });
        let all = Arc::clone(&quotas);
        let everything = wiring.everything(
            |served| served.namespaced,
            move |resource, change| {
                if is_gone(change) { counting(&all, resource, &change.key) } else { Vec::new() }
            },
        );
        let (pods, all) = (wiring.informer::<LeanPod>(), Arc::clone(&quotas));
        wiring.wake(&pods, move |change| counting_less(&all, change, pod_counts_less));
        let (services, all) = (wiring.informer::<Service>(), Arc::clone(&quotas));
        wiring.wake(&services, move |change| counting_less(&all, change, service_changed));
        let (claims, all) = (wiring.informer::<PersistentVolumeClaim>(), Arc::clone(&quotas));
        wiring.wake(&claims, move |change| counting_less(&all, change, claim_changed));
        QuotaController { quotas, everything }
    }

    fn observe(&self, key: &ObjectKey, look: &mut Look<'_, Option<Timestamp>>) -> Option<Snapshot> {
        let quota = self.quotas.get(key)?;
        let left = look.memory.map(|next| next.duration_since(look.now));
        if let Some(left) = left.filter(SignedDuration::is_positive) {
            return Some(Snapshot::Early(left.unsigned_abs()));
        }
        let mut count = self.count(&quota, "", look.now, look.live)?;
        if plan::status(&quota, &count.used) != plan::current(&quota) {
            look.live.try_status(&*quota)?;
            let version = quota.metadata.resource_version.clone().unwrap_or_default();
            count = self.count(&quota, &version, look.now, look.live)?;
        }
        *look.memory = look.now.checked_add(PAUSE + PAUSE_EACH * count.objects).ok();
        Some(Snapshot::Counted { quota, used: count.used })
    }

    fn plan(snapshot: &Snapshot, _now: Timestamp) -> Plan {
        plan::plan(snapshot)
    }
}

impl QuotaController {
    /// Counts what is used of everything that a quota limits and that the server serves; `None` while the server is
    /// asked. `after` is the occasion.
    fn count(&self, quota: &ResourceQuota, after: &str, now: Timestamp, live: &mut Live) -> Option<Count> {
        let tree = object::to_value(quota).unwrap_or_default();
        let scopes = scopes(&tree);
        let hard = ResourceList::read(tree.at("spec.hard").as_field());
        let mut measures: Vec<Measure<'_>> = hard.names().filter_map(Measure::of_name).collect();
        measures.sort();
        measures.dedup();
        let namespace = quota.metadata.namespace.as_deref().unwrap_or_default();
        // All questions are asked at once.
        let lists: Vec<_> = measures
            .into_iter()
            .filter_map(|measure| {
                let served = self.everything.of_plural(measure.group(), measure.plural())?;
                served.namespaced.then(|| (measure, live.list_in(&served.resource, namespace, after)))
            })
            .collect();
        let mut count = Count { used: ResourceList::default(), objects: 0 };
        for (measure, objects) in lists {
            let objects = objects?;
            let mut used = hard.only(|name| measure.measures(name));
            used.clear();
            for object in &objects {
                let object = if measure.is_number() { Value::Null } else { object.value() };
                if scopes.iter().all(|scope| measure.is_in(scope, &object)) {
                    used.add_listed(&measure.usage(&object, now));
                }
            }
            count.used.add_all(&used);
            count.objects = count.objects.saturating_add(i32::try_from(objects.len()).unwrap_or(i32::MAX));
        }
        Some(count)
    }
}

/// Whether an object is gone, or another one has its name.
fn is_gone(change: &Change<Kin>) -> bool {
    let uid = |kin: &Option<Arc<Kin>>| kin.as_ref().map(|kin| kin.uid.clone());
    change.old.is_some() && uid(&change.old) != uid(&change.new)
}

/// The quotas that count objects of a resource in the namespace of one of them.
fn counting(quotas: &Informer<ResourceQuota>, resource: &ResourceType, object: &ObjectKey) -> Vec<ObjectKey> {
    let Some(measure) = Measure::of(&resource.group, &resource.plural) else { return Vec::new() };
    let mut found = quotas.in_namespace(object.namespace());
    found.retain(|quota| {
        let hard = quota.spec.as_ref().and_then(|spec| spec.hard.as_ref());
        hard.is_some_and(|hard| hard.keys().any(|name| measure.measures(name)))
    });
    found.iter().map(|quota| key_of(&**quota)).collect()
}

/// The quotas that count an object which may count for less now, though it is still there.
fn counting_less<K: client::Form>(
    quotas: &Informer<ResourceQuota>,
    change: &Change<K>,
    counts_less: fn(&K, &K) -> bool,
) -> Vec<ObjectKey> {
    match (&change.old, &change.new) {
        (Some(old), Some(new)) if counts_less(old, new) => {
            counting(quotas, &ResourceType::of::<K>(), &change.key)
        }
        _ => Vec::new(),
    }
}

/// A pod that ends, or is resized.
fn pod_counts_less(old: &LeanPod, new: &LeanPod) -> bool {
    let allocated = |pod: &LeanPod| {
        let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter());
        statuses.map(|status| status.allocated_resources.clone()).collect::<Vec<_>>()
    };
    (pods::is_terminal(new) && !pods::is_terminal(old)) || allocated(old) != allocated(new)
}

fn service_changed(old: &Service, new: &Service) -> bool {
    let kind = |service: &Service| service.spec.as_ref().and_then(|spec| spec.type_.clone());
    kind(old) != kind(new)
}

fn claim_changed(old: &PersistentVolumeClaim, new: &PersistentVolumeClaim) -> bool {
    let classes = |claim: &PersistentVolumeClaim| {
        let wanted = claim.spec.as_ref().and_then(|spec| spec.volume_attributes_class_name.clone());
        let status = claim.status.as_ref();
        let current = status.and_then(|status| status.current_volume_attributes_class_name.clone());
        (wanted, current, status.and_then(|status| status.allocated_resources.clone()))
    };
    classes(old) != classes(new)
}
