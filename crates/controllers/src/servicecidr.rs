//! The ServiceCIDR controller (KEP-1880): marks networks of Services as ready, and keeps a deleted one for as long as
//! Services have addresses that are in no other network.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use client::{Informer, Object, Patch, ResourceType, key_of};
use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::networking::v1::{IPAddress, ServiceCIDR};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use object::ObjectKey;
use semantics::conditions;
use serde_json::{Value as Json, json};

use crate::framework::{Action, Controller, Look, Plan, Wiring, api_time};

#[cfg(test)]
mod tests;

const FINALIZER: &str = "networking.k8s.io/service-cidr-finalizer";
const READY: &str = "Ready";
/// The label of addresses that Services have, and its value.
const MANAGED_BY: (&str, &str) = ("ipaddress.kubernetes.io/managed-by", "ipallocator.k8s.io");
/// An API server may not know yet that a network is going, and give out one more address of it.
const GRACE: SignedDuration = SignedDuration::from_secs(10);

pub(crate) struct ServiceCidrs {
    cidrs: Arc<Informer<ServiceCIDR>>,
    addresses: Arc<Informer<IPAddress>>,
}

/// The inputs of a decision about one network.
#[derive(Debug)]
pub(crate) struct Snapshot {
    cidr: Arc<ServiceCIDR>,
    /// All others.
    others: Vec<Arc<ServiceCIDR>>,
    /// The addresses that Services have; asked for only where the network is on its way out.
    addresses: Vec<IpAddr>,
}

impl Controller for ServiceCidrs {
    const NAME: &'static str = "service-cidr-controller";
    const ACCOUNT: &'static str = "service-cidrs-controller";
    const QUEUE: &'static str = "servicecidrs";
    const WORKERS: usize = 1;
    type Key = ObjectKey;
    type Snapshot = Snapshot;
    type Memory = ();

    fn wire(wiring: &mut Wiring<ObjectKey>) -> ServiceCidrs {
        let cidrs = wiring.informer::<ServiceCIDR>();
        let addresses = wiring.informer::<IPAddress>();
        let all = Arc::clone(&cidrs);
        // One that comes may hold the addresses of one that goes, and they are few.
        wiring.wake(&cidrs, move |change| {
            let mut keys: Vec<ObjectKey> = all.list().iter().map(|cidr| key_of(&**cidr)).collect();
            keys.push(change.key.clone());
            keys
        });
        let all = Arc::clone(&cidrs);
        wiring.wake(&addresses, move |change| {
            let moved = change.old.is_none() || change.new.is_none();
            let going = all.list().into_iter().filter(|cidr| moved && is_going(cidr));
            going.map(|cidr| key_of(&*cidr)).collect::<Vec<_>>()
        });
        ServiceCidrs { cidrs, addresses }
    }

    fn observe(&self, key: &ObjectKey, _look: &mut Look<'_, ()>) -> Option<Snapshot> {
        let cidr = self.cidrs.get(key)?;
        let mut others = self.cidrs.list();
        others.retain(|other| other.metadata.name != cidr.metadata.name);
        let mut addresses = Vec::new();
        if is_going(&cidr) {
            self.addresses.for_each(|address| addresses.extend(managed(address)));
        }
        Some(Snapshot { cidr, others, addresses })
    }

    fn plan(snapshot: &Snapshot, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let cidr = &*snapshot.cidr;
        let Some(deleted) = &cidr.metadata.deletion_timestamp else {
            if !has_finalizer(cidr) {
                plan.then(set_finalizer(cidr, true));
            }
            plan.together(set_ready(cidr, true, now));
            return plan;
        };
        if !is_free(snapshot) {
            plan.together(set_ready(cidr, false, now));
            return plan;
        }
        let left = GRACE - now.duration_since(deleted.0);
        match Duration::try_from(left) {
            Ok(left) if !left.is_zero() => plan.requeue_after(left),
            _ if has_finalizer(cidr) => plan.then(set_finalizer(cidr, false)),
            _ => {}
        }
        plan
    }
}

fn is_going(cidr: &ServiceCIDR) -> bool {
    cidr.metadata.deletion_timestamp.is_some()
}

/// The address of an IPAddress that a Service has.
fn managed(address: &IPAddress) -> Option<IpAddr> {
    let (label, value) = MANAGED_BY;
    let manager = address.metadata.labels.as_ref()?.get(label)?;
    (manager == value).then(|| address.metadata.name.as_ref()?.parse().ok()).flatten()
}

fn networks(cidr: &ServiceCIDR) -> Vec<IpNet> {
    let texts = cidr.spec.iter().flat_map(|spec| spec.cidrs.iter().flatten());
    texts.filter_map(|text| text.parse().ok()).collect()
}

/// Whether no Service would be left with an address of no network.
fn is_free(snapshot: &Snapshot) -> bool {
    let own = networks(&snapshot.cidr);
    let others: Vec<IpNet> = snapshot.others.iter().flat_map(|other| networks(other)).collect();
    if own.iter().all(|network| others.iter().any(|other| other.contains(network))) {
        return true;
    }
    let is_stranded = |address: &&IpAddr| {
        own.iter().any(|network| network.contains(*address))
            && !others.iter().any(|network| network.contains(*address))
    };
    !snapshot.addresses.iter().any(|address| is_stranded(&address))
}

fn has_finalizer(cidr: &ServiceCIDR) -> bool {
    cidr.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == FINALIZER)
}

fn set_finalizer(cidr: &ServiceCIDR, present: bool) -> Action {
    let mut finalizers = cidr.metadata.finalizers.clone().unwrap_or_default();
    finalizers.retain(|finalizer| finalizer != FINALIZER);
    finalizers.extend(present.then(|| FINALIZER.to_owned()));
    let version = &cidr.metadata.resource_version;
    patch(cidr, "", json!({"metadata": {"resourceVersion": version, "finalizers": finalizers}}))
}

/// The condition, if it is not so already.
fn set_ready(cidr: &ServiceCIDR, ready: bool, now: Timestamp) -> Vec<Action> {
    let (status, reason, message) = match ready {
        true => ("True", "", "Kubernetes Service CIDR is ready"),
        false => (
            "False",
            "Terminating",
            "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR",
        ),
    };
    let mut conditions = cidr.status.as_ref().and_then(|status| status.conditions.clone());
    let condition = Condition {
        type_: READY.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        last_transition_time: api_time(now),
        observed_generation: None,
    };
    if conditions::find(&conditions, READY).is_some_and(|old| conditions::says_the_same(old, &condition)) {
        return Vec::new();
    }
    conditions::set_last(&mut conditions, condition);
    vec![patch(cidr, "status", json!({"status": {"conditions": conditions}}))]
}

fn patch<K: Object>(object: &K, subresource: &'static str, change: Json) -> Action {
    Action::Patch {
        resource: ResourceType::of::<K>(),
        key: key_of(object),
        subresource,
        patch: Patch::Merge(change),
    }
}
