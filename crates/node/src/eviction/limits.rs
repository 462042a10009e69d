//! Whether a pod exceeds its disk limits (`localStorageEviction`).

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use object::Quantity;

use crate::pod::{ContainerKind, PodInfo};
use crate::text::quantity;
use crate::usage::PodUsage;

const STORAGE: &str = "ephemeral-storage";

/// An amount of a list; an unreadable one limits nothing.
fn amount(list: Option<&BTreeMap<String, ApiQuantity>>) -> Option<Quantity> {
    Quantity::parse(&list?.get(STORAGE)?.0).ok()
}

fn of_container(container: &crate::pod::PodContainer) -> Option<Quantity> {
    amount(container.spec.resources.as_ref().and_then(|resources| resources.limits.as_ref()))
}

/// The limits of volumes on the node's disk. Those in memory are as large as their limit.
fn volume_limits(pod: &PodInfo) -> impl Iterator<Item = (&str, Quantity)> {
    pod.spec().volumes.iter().flatten().filter_map(|volume| {
        let limit = volume.empty_dir.as_ref()?.size_limit.as_ref()?;
        let limit = Quantity::parse(&limit.0).ok().filter(|limit| limit.sign() > 0)?;
        Some((volume.name.as_str(), limit))
    })
}

/// Whether anything limits a pod's share of the disk.
pub(super) fn has_limits(pod: &PodInfo) -> bool {
    pod_limit(pod).is_some() || volume_limits(pod).next().is_some()
}

/// The limit of a pod: its own, or the sum of its containers', or more if an init container may use more before them. A
/// container without a limit adds nothing (upstream's `PodLimits`).
fn pod_limit(pod: &PodInfo) -> Option<i64> {
    let of_pod = pod.spec().resources.as_ref().and_then(|resources| resources.limits.as_ref());
    if let Some(limit) = amount(of_pod) {
        return Some(limit.value());
    }
    let (mut steady, mut peak, mut any) = (0_i64, 0_i64, false);
    for container in &pod.containers {
        let limit = of_container(container);
        any |= limit.is_some() && container.kind != ContainerKind::Ephemeral;
        let bytes = limit.map_or(0, |limit| limit.value());
        match container.kind {
            ContainerKind::Sidecar | ContainerKind::Regular => steady = steady.saturating_add(bytes),
            ContainerKind::Init => peak = peak.max(steady.saturating_add(bytes)),
            ContainerKind::Ephemeral => {}
        }
    }
    let overhead = amount(pod.spec().overhead.as_ref()).map_or(0, |overhead| overhead.value());
    any.then(|| steady.max(peak).saturating_add(overhead))
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// Says which limit a pod exceeds: its name in metrics, and what people are told.
pub(super) fn exceeded(
    pod: &PodInfo,
    usage: &PodUsage,
    has_image_disk: bool,
) -> Option<(&'static str, String)> {
    for (name, limit) in volume_limits(pod) {
        let used = usage.volumes.get(name).map_or(0, |used| signed(used.bytes));
        if used > limit.value() {
            let message = format!("Usage of EmptyDir volume {name:?} exceeds the limit \"{limit}\". ");
            return Some(("emptydirfs.limit", message));
        }
    }
    if let Some(limit) = pod_limit(pod)
        && signed(usage.disk().bytes) > limit
    {
        let limit = quantity::bytes(limit);
        let message =
            format!("Pod ephemeral local storage usage exceeds the total limit of containers {limit}. ");
        return Some(("ephemeralpodfs.limit", message));
    }
    for container in pod.of_kind(ContainerKind::Regular) {
        let Some(limit) = of_container(container).filter(|limit| !limit.is_zero()) else { continue };
        let seen = usage.containers.iter().filter(|usage| usage.name == container.name());
        let used: u64 =
            seen.map(|usage| usage.logs.bytes + if has_image_disk { 0 } else { usage.root.bytes }).sum();
        if signed(used) > limit.value() {
            let name = container.name();
            let message =
                format!("Container {name} exceeded its local ephemeral storage limit \"{limit}\". ");
            return Some(("ephemeralcontainerfs.limit", message));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pod;
    use crate::usage::ContainerUsage;
    use hostfs::Usage;
    use serde_json::{Value, json};

    fn mib(amount: u64) -> Usage {
        Usage { bytes: amount << 20, inodes: 1 }
    }

    fn usage(root: u64, logs: u64, volume: u64, own: u64) -> PodUsage {
        let container = ContainerUsage { name: "c".into(), memory: 0, root: mib(root), logs: mib(logs) };
        PodUsage {
            containers: vec![container],
            volumes: BTreeMap::from([("data".to_owned(), mib(volume))]),
            own: mib(own),
        }
    }

    fn spec(volume: Value, limit: Value) -> PodInfo {
        let limits =
            if limit.is_null() { json!({}) } else { json!({"limits": {"ephemeral-storage": limit}}) };
        pod(json!({
            "containers": [{"name": "c", "resources": limits}, {"name": "d"}],
            "volumes": [{"name": "data", "emptyDir": volume}],
        }))
    }

    #[test]
    fn limits_are_enforced_with_upstreams_words() {
        let volume = "Usage of EmptyDir volume \"data\" exceeds the limit \"10Mi\". ";
        let total = "Pod ephemeral local storage usage exceeds the total limit of containers 20Mi. ";
        let container = "Container c exceeded its local ephemeral storage limit \"20Mi\". ";
        let cases = [
            (json!({"sizeLimit": "10Mi"}), Value::Null, usage(50, 50, 10, 0), None),
            (json!({"sizeLimit": "10Mi"}), Value::Null, usage(0, 0, 11, 0), Some(volume)),
            (json!({"sizeLimit": "0"}), Value::Null, usage(0, 0, 11, 0), None),
            (json!({}), Value::Null, usage(500, 500, 500, 500), None),
            (json!({}), json!("20Mi"), usage(10, 5, 5, 0), None),
            // The volume counts towards the pod, and so does a message.
            (json!({}), json!("20Mi"), usage(10, 5, 6, 0), Some(total)),
            (json!({}), json!("20Mi"), usage(0, 0, 0, 21), Some(total)),
            (json!({"sizeLimit": "10Mi"}), json!("20Mi"), usage(30, 0, 11, 0), Some(volume)),
        ];
        for (source, limit, usage, message) in cases {
            let pod = spec(source.clone(), limit.clone());
            assert_eq!(
                exceeded(&pod, &usage, false).map(|(_, said)| said).as_deref(),
                message,
                "{source} {limit} {usage:?}"
            );
        }
        // A container's own limit counts even if another one has space left.
        let limits = |limit: &str| json!({"limits": {"ephemeral-storage": limit}});
        let two = pod(json!({"containers": [
            {"name": "c", "resources": limits("20Mi")}, {"name": "d", "resources": limits("1Gi")}]}));
        assert_eq!(
            exceeded(&two, &usage(15, 6, 0, 0), false).map(|(_, said)| said).as_deref(),
            Some(container)
        );
        assert_eq!(exceeded(&two, &usage(15, 6, 0, 0), true), None, "the layer lies on another disk");
    }

    #[test]
    fn only_limited_pods_are_measured() {
        assert!(!has_limits(&spec(json!({}), Value::Null)));
        assert!(has_limits(&spec(json!({"sizeLimit": "1Mi"}), Value::Null)));
        assert!(has_limits(&spec(json!({}), json!("1Mi"))));
    }
}
