//! Which pod is evicted first, and with which message.

use std::cmp::{Ordering, Reverse};
use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use object::Quantity;

use super::decide::Observation;
use crate::admission;
use crate::pod::{ContainerKind, PodInfo};
use crate::pressure::{Pressure, Signal, Threshold};
use crate::text::quantity;
use crate::usage::{ContainerUsage, PodUsage};

/// A pod that may be evicted.
pub(super) struct Candidate<'a> {
    pub(super) pod: &'a PodInfo,
    /// `None` if unknown: such a pod is evicted first.
    pub(super) usage: Option<PodUsage>,
}

/// The criteria, in this order: whether usage exceeds the request, the priority (lower first), and by how much usage
/// exceeds the request (larger first).
struct Key {
    exceeds: bool,
    priority: i32,
    more: i64,
}

impl Key {
    fn of(candidate: &Candidate<'_>, signal: Signal, has_image_disk: bool) -> Option<Key> {
        let usage = candidate.usage.as_ref()?;
        let requests = admission::requests(candidate.pod);
        let requested = |name: &str| requests.get(name).copied().unwrap_or(0);
        let (used, exceeds_from, less) = match signal.pressure() {
            Pressure::Memory => (usage.memory(), requested("memory"), requested("memory")),
            // The number of processes of a pod is unknown, and there are no requests for them.
            Pressure::Pid => (0, 0, 0),
            Pressure::Disk => {
                let disk = match (has_image_disk, signal.is_of_images()) {
                    (false, _) => usage.disk(),
                    (true, true) => usage.roots(),
                    (true, false) => usage.local(),
                };
                let storage = requested("ephemeral-storage");
                match signal.counts_inodes() {
                    // There are no requests for inodes; upstream subtracts the request for bytes nevertheless.
                    true => (signed(disk.inodes), 0, storage),
                    false => (signed(disk.bytes), storage, storage),
                }
            }
        };
        let priority = candidate.pod.spec().priority.unwrap_or(0);
        Some(Key { exceeds: used > exceeds_from, priority, more: used.saturating_sub(less) })
    }

    fn before(&self, other: &Key) -> Ordering {
        let order = |key: &Key| (Reverse(key.exceeds), key.priority, Reverse(key.more));
        order(self).cmp(&order(other))
    }
}

fn signed(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}

/// Sorts pods by the order of eviction.
pub(super) fn rank(candidates: &mut Vec<Candidate<'_>>, signal: Signal, has_image_disk: bool) {
    let keyed = std::mem::take(candidates).into_iter();
    let mut keyed: Vec<_> = keyed.map(|c| (Key::of(&c, signal, has_image_disk), c)).collect();
    keyed.sort_by(|(one, _), (other, _)| match (one, other) {
        (Some(one), Some(other)) => one.before(other),
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Less,
        (Some(_), None) => Ordering::Greater,
    });
    candidates.extend(keyed.into_iter().map(|(_, candidate)| candidate));
}

/// The status and the event of an evicted pod.
pub(super) fn message(
    candidate: &Candidate<'_>,
    threshold: &Threshold,
    seen: Option<&Observation>,
) -> String {
    let resource = threshold.signal.resource();
    let mut message = format!("The node was low on resource: {resource}. ");
    if let Some(seen) = seen {
        let show = match threshold.signal {
            Signal::NodeFsInodesFree | Signal::ImageFsInodesFree | Signal::PidAvailable => quantity::number,
            _ => quantity::bytes,
        };
        let value = threshold.value.of(seen.capacity);
        message.push_str(&format!(
            "Threshold quantity: {}, available: {}. ",
            show(value),
            show(seen.available)
        ));
    }
    let Some(usage) = &candidate.usage else { return message };
    for used in &usage.containers {
        let known = candidate.pod.container(&used.name);
        let Some(container) = known.filter(|container| container.kind != ContainerKind::Ephemeral) else {
            continue;
        };
        let list = container.spec.resources.as_ref().and_then(|resources| resources.requests.as_ref());
        let request = request(list, resource);
        let Some(amount) = amount(used, resource).filter(|amount| *amount > request.value()) else {
            continue;
        };
        message.push_str(&format!(
            "Container {} was using {}, request is {request}, has larger consumption of {resource}. ",
            used.name,
            quantity::bytes(amount)
        ));
    }
    message
}

fn amount(used: &ContainerUsage, resource: &str) -> Option<i64> {
    match resource {
        "memory" => Some(used.memory),
        "ephemeral-storage" => Some(signed(used.root.bytes + used.logs.bytes)),
        _ => None,
    }
}

fn request(list: Option<&BTreeMap<String, ApiQuantity>>, resource: &str) -> Quantity {
    let given = list.and_then(|list| Quantity::parse(&list.get(resource)?.0).ok());
    given.unwrap_or_else(|| Quantity::parse("0").expect("zero is a quantity"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pressure::Amount;
    use hostfs::Usage;
    use serde_json::{Value, json};
    use std::sync::Arc;
    use std::time::Duration;

    fn pod(name: &str, priority: i32, requests: Value) -> PodInfo {
        let container = json!({"name": "c", "resources": {"requests": requests}});
        let pod = json!({"metadata": {"name": name, "namespace": "a", "uid": name},
            "spec": {"priority": priority, "containers": [container]}});
        PodInfo::new(Arc::new(serde_json::from_value(pod).unwrap()))
    }

    fn usage(memory: i64, root: Usage, volume: Usage) -> Option<PodUsage> {
        let container = ContainerUsage { name: "c".into(), memory, root, logs: Usage::default() };
        let volumes = BTreeMap::from([("v".to_owned(), volume)]);
        Some(PodUsage { containers: vec![container], volumes, own: Usage::default() })
    }

    fn disk(bytes: u64, inodes: u64) -> Usage {
        Usage { bytes, inodes }
    }

    fn order(mut candidates: Vec<Candidate<'_>>, signal: Signal, has_image_disk: bool) -> String {
        rank(&mut candidates, signal, has_image_disk);
        candidates.iter().map(|candidate| candidate.pod.key.name.to_string()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn requests_priority_and_usage_decide() {
        let pods = [
            pod("within", 0, json!({"memory": "100"})),
            pod("much", 0, json!({"memory": "10"})),
            pod("little", 0, json!({"memory": "50"})),
            pod("low", -5, json!({"memory": "50"})),
            pod("high", 100, json!({})),
            pod("unknown", 1000, json!({})),
        ];
        let memory = [90, 90, 90, 51, 1000, 0];
        let zero = Usage::default();
        let candidates = pods.iter().zip(memory).map(|(pod, memory)| Candidate {
            pod,
            usage: usage(memory, zero, zero).filter(|_| *pod.key.name != *"unknown"),
        });
        let expected = "unknown low much little high within";
        assert_eq!(order(candidates.collect(), Signal::MemoryAvailable, false), expected);
    }

    #[test]
    fn the_disk_that_runs_short_counts() {
        let pods = ["root", "volume", "files"].map(|name| pod(name, 0, json!({})));
        let candidates = || {
            let usages = [
                usage(0, disk(100, 1), disk(1, 1)),
                usage(0, disk(1, 1), disk(150, 1)),
                usage(0, disk(2, 50), disk(2, 500)),
            ];
            pods.iter().zip(usages).map(|(pod, usage)| Candidate { pod, usage }).collect::<Vec<_>>()
        };
        assert_eq!(order(candidates(), Signal::NodeFsAvailable, false), "volume root files");
        assert_eq!(order(candidates(), Signal::ImageFsAvailable, true), "root files volume");
        assert_eq!(order(candidates(), Signal::NodeFsAvailable, true), "volume files root");
        assert_eq!(order(candidates(), Signal::NodeFsInodesFree, false), "files root volume");
    }

    #[test]
    fn messages_are_upstreams() {
        let threshold = |signal, value| Threshold { signal, value, grace: Duration::ZERO, reclaim_min: None };
        let pod = pod("p", 0, json!({"memory": "64Mi"}));
        let candidate = Candidate { pod: &pod, usage: usage(100 << 20, disk(3 << 20, 1), disk(1, 1)) };
        let seen = Observation { available: 95_268 << 10, capacity: 1 << 30 };
        let memory = threshold(Signal::MemoryAvailable, Amount::Units(100 << 20));
        assert_eq!(
            message(&candidate, &memory, Some(&seen)),
            "The node was low on resource: memory. Threshold quantity: 100Mi, available: 95268Ki. Container c was \
             using 100Mi, request is 64Mi, has larger consumption of memory. "
        );
        let storage = threshold(Signal::NodeFsAvailable, Amount::Part(0.5));
        assert_eq!(
            message(&candidate, &storage, Some(&seen)),
            "The node was low on resource: ephemeral-storage. Threshold quantity: 512Mi, available: 95268Ki. \
             Container c was using 3Mi, request is 0, has larger consumption of ephemeral-storage. "
        );
        let inodes = threshold(Signal::NodeFsInodesFree, Amount::Units(1000));
        assert_eq!(
            message(&candidate, &inodes, Some(&Observation { available: 500, capacity: 9 })),
            "The node was low on resource: inodes. Threshold quantity: 1k, available: 500. "
        );
    }
}
