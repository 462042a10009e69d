//! What pods use.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use object::Quantity;

use super::{ResourceList, is_extended, is_native, one};
use crate::{Amounts, Field, Options, View, is_pod_level, pod_limits, pod_requests, pods};

const HUGE_PAGES: &str = "hugepages-";
const REQUESTS: &str = "requests.";
/// Resources of which requests count under their own names too, and limits as `limits.`
const COMPUTE: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];
/// Every container of a pod must specify these if a quota limits them. Upstream regrets that, so nothing is added here.
const REQUIRED: [&str; 6] =
    ["cpu", "limits.cpu", "limits.memory", "memory", "requests.cpu", "requests.memory"];

pub(super) fn measures(name: &str) -> bool {
    let without = |prefix| name.strip_prefix(prefix);
    name == "pods"
        || COMPUTE.contains(&name)
        || without(REQUESTS).or_else(|| without("limits.")).is_some_and(|rest| COMPUTE.contains(&rest))
        || without(REQUESTS).unwrap_or(name).starts_with(HUGE_PAGES)
        || (!is_native(name) && name.starts_with(REQUESTS))
}

/// Whether a pod counts for more than an object: neither ended, nor overdue in its deletion because its node is lost.
pub fn is_charged(pod: &dyn View, now: Timestamp) -> bool {
    !pods::is_terminal(pod) && overdue_at(pod).is_none_or(|overdue| now <= overdue)
}

/// When a pod that is being deleted does not count any more even if it is still there.
fn overdue_at(pod: &dyn View) -> Option<Timestamp> {
    let metadata = pod.field("metadata");
    let deletion = metadata.field("deletionTimestamp").as_time()?;
    let grace = metadata.field("deletionGracePeriodSeconds").as_integer()?;
    deletion.checked_add(SignedDuration::from_secs(grace)).ok()
}

pub(super) fn add_usage(usage: &mut ResourceList, pod: &dyn View, now: Timestamp) {
    if !is_charged(pod, now) {
        return;
    }
    usage.set("pods", one());
    let (requests, limits) = (pod_requests(pod, Options::default()), pod_limits(pod, Options::default()));
    compute(&requests, &limits, &mut |name, amount| usage.set(name, amount.clone()));
}

/// The names and amounts of requests and limits in quotas.
fn compute(requests: &Amounts<'_>, limits: &Amounts<'_>, found: &mut dyn FnMut(String, &Quantity)) {
    for (name, amount) in requests.iter() {
        let under_own_name = COMPUTE.contains(&name) || name.starts_with(HUGE_PAGES);
        if under_own_name {
            found(name.to_owned(), amount);
        }
        if under_own_name || is_extended(name) {
            found(format!("{REQUESTS}{name}"), amount);
        }
    }
    for (name, amount) in limits.iter().filter(|(name, _)| COMPUTE.contains(name)) {
        found(format!("limits.{name}"), amount);
    }
}

/// What containers lack: `must specify cpu for: a,b; memory for: a`.
pub(super) fn unspecified(required: &[&str], pod: &dyn View) -> Option<String> {
    let spec = pod.field("spec");
    let required: Vec<&str> = REQUIRED.into_iter().filter(|name| required.contains(name)).collect();
    if required.is_empty() || has_pod_level(spec.field("resources")) {
        return None;
    }
    let mut missing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for container in spec.field("containers").items().chain(spec.field("initContainers").items()) {
        let resources = container.field("resources");
        let list = |which| Amounts::read(resources.field(which));
        let mut specified: BTreeSet<String> = BTreeSet::new();
        compute(&list("requests"), &list("limits"), &mut |name, _| specified.extend([name]));
        for name in required.iter().filter(|name| !specified.contains(**name)) {
            missing.entry(name).or_default().insert(container.field("name").text());
        }
    }
    if missing.is_empty() {
        return None;
    }
    let each = missing.into_iter().map(|(name, containers)| {
        format!("{name} for: {}", containers.into_iter().collect::<Vec<_>>().join(","))
    });
    Some(format!("must specify {}", each.collect::<Vec<_>>().join("; ")))
}

/// Whether amounts of the pod as a whole are given: then its containers need none.
fn has_pod_level(resources: Field<'_>) -> bool {
    ["requests", "limits"].into_iter().any(|which| {
        let mut found = false;
        resources.field(which).each(&mut |name, _| found |= is_pod_level(name));
        found
    })
}
