//! Requests and limits as cgroup values (`pkg/kubelet/cm/helpers_linux.go`).

use cri::{CgroupDriver, LinuxContainerResources, StringMap};
use k8s_openapi::api::core::v1::{Container, ResourceRequirements};
use semantics::{QosClass, qos_class};

use super::amount;
use crate::pod::{ContainerKind, PodInfo};

const CPU_PERIOD_MICROS: i64 = 100_000;
const QUOTA_MICROS_MIN: i64 = 1000;
const SHARES_PER_CPU: i64 = 1024;
const SHARES_MIN: i64 = 2;
const SHARES_MAX: i64 = 262_144;

fn shares(milli_cpu: i64) -> i64 {
    (milli_cpu * SHARES_PER_CPU / 1000).clamp(SHARES_MIN, SHARES_MAX)
}

fn quota(milli_cpu: i64) -> i64 {
    if milli_cpu == 0 { 0 } else { (milli_cpu * CPU_PERIOD_MICROS / 1000).max(QUOTA_MICROS_MIN) }
}

fn of_requirements(resources: Option<&ResourceRequirements>) -> LinuxContainerResources {
    let limit = |name| amount(resources.and_then(|r| r.limits.as_ref()), name);
    let request = |name| amount(resources.and_then(|r| r.requests.as_ref()), name);
    let cpu_limit = limit("cpu").map_or(0, |cpu| cpu.milli_value());
    let cpu_request = request("cpu").map_or(cpu_limit, |cpu| cpu.milli_value());
    LinuxContainerResources {
        cpu_period: CPU_PERIOD_MICROS,
        cpu_quota: quota(cpu_limit),
        cpu_shares: shares(cpu_request),
        memory_limit_in_bytes: limit("memory").map_or(0, |memory| memory.value()),
        ..LinuxContainerResources::default()
    }
}

/// The cgroup values of a container. `unified` says whether the host has only cgroup v2.
pub(super) fn container_resources(
    pod: &PodInfo,
    container: &Container,
    memory_capacity: i64,
    unified: bool,
) -> LinuxContainerResources {
    let mut resources = of_requirements(container.resources.as_ref());
    resources.oom_score_adj = oom_score_adj(pod, container, memory_capacity);
    if unified {
        // The processes of a container are killed together when it runs out of memory.
        resources.unified = StringMap::from([("memory.oom.group".to_owned(), "1".to_owned())]);
    }
    resources
}

/// The OOM score adjustment of a container's processes (`pkg/kubelet/qos/policy.go`).
fn oom_score_adj(pod: &PodInfo, container: &Container, memory_capacity: i64) -> i64 {
    if pod.spec().priority_class_name.as_deref() == Some("system-node-critical") {
        return -997;
    }
    match qos_class(&*pod.pod) {
        QosClass::Guaranteed => -997,
        QosClass::BestEffort => 1000,
        QosClass::Burstable => {
            let requests = container.resources.as_ref().and_then(|resources| resources.requests.as_ref());
            let request = amount(requests, "memory").map_or(0, |memory| memory.value());
            let share = i128::from(request) * 1000 / i128::from(memory_capacity.max(1));
            (1000 - i64::try_from(share).unwrap_or(1000)).clamp(3, 999)
        }
    }
}

/// The sum of a pod's containers, as its own cgroup limits it: a limit only if every container has one.
pub(crate) fn pod_resources(pod: &PodInfo) -> LinuxContainerResources {
    if let Some(own) =
        pod.spec().resources.as_ref().filter(|own| own.limits.is_some() || own.requests.is_some())
    {
        return of_requirements(Some(own));
    }
    let steady =
        pod.containers.iter().filter(|c| matches!(c.kind, ContainerKind::Regular | ContainerKind::Sidecar));
    let each: Vec<_> = steady.map(|container| of_requirements(container.spec.resources.as_ref())).collect();
    let sum_of_limits = |limit: fn(&LinuxContainerResources) -> i64| {
        if each.iter().all(|resources| limit(resources) > 0) { each.iter().map(limit).sum() } else { 0 }
    };
    LinuxContainerResources {
        cpu_period: CPU_PERIOD_MICROS,
        cpu_quota: sum_of_limits(|resources| resources.cpu_quota),
        cpu_shares: each
            .iter()
            .map(|resources| resources.cpu_shares)
            .sum::<i64>()
            .clamp(SHARES_MIN, SHARES_MAX),
        memory_limit_in_bytes: sum_of_limits(|resources| resources.memory_limit_in_bytes),
        ..LinuxContainerResources::default()
    }
}

/// The cgroup of a pod, a path from the hierarchy's root as the engine's driver forms it
/// (`pkg/kubelet/cm/cgroup_manager_linux.go`). systemd's slices contain their path in their names:
/// `/a.slice/a-b.slice`.
pub(crate) fn cgroup_parent(pod: &PodInfo, root: &str, driver: CgroupDriver) -> String {
    let class = match qos_class(&*pod.pod) {
        QosClass::Guaranteed => None,
        QosClass::Burstable => Some("burstable"),
        QosClass::BestEffort => Some("besteffort"),
    };
    let own = format!("pod{}", pod.uid);
    let parts = root.split('/').filter(|part| !part.is_empty()).chain(class).chain([own.as_str()]);
    let (mut path, mut slice) = (String::new(), String::new());
    for part in parts {
        path.push('/');
        match driver {
            CgroupDriver::Cgroupfs => path.push_str(part),
            CgroupDriver::Systemd => {
                if !slice.is_empty() {
                    slice.push('-');
                }
                slice.push_str(&part.replace('-', "_"));
                path.push_str(&slice);
                path.push_str(".slice");
            }
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use serde_json::json;

    #[test]
    fn the_cgroup_of_a_pod_has_the_name_that_the_engines_driver_wants() {
        let mut pod = testing::pod(json!({"containers": [{"name": "c"}]}));
        pod.uid = "12-ab".to_owned();
        let parent = |root: &str, driver| cgroup_parent(&pod, root, driver);
        assert_eq!(parent("/kubepods", CgroupDriver::Cgroupfs), "/kubepods/besteffort/pod12-ab");
        assert_eq!(
            parent("/kubepods", CgroupDriver::Systemd),
            "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod12_ab.slice"
        );
        assert_eq!(
            parent("/my-cluster/n1", CgroupDriver::Systemd),
            "/my_cluster.slice/my_cluster-n1.slice/my_cluster-n1-besteffort.slice/my_cluster-n1-besteffort-pod12_ab.slice"
        );
        let amounts = json!({"cpu": "1", "memory": "1Gi"});
        let resources = json!({"requests": amounts, "limits": amounts});
        let mut guaranteed = testing::pod(json!({"containers": [{"name": "c", "resources": resources}]}));
        guaranteed.uid = "u".to_owned();
        let parent = cgroup_parent(&guaranteed, "/kubepods", CgroupDriver::Systemd);
        assert_eq!(parent, "/kubepods.slice/kubepods-podu.slice");
    }

    #[test]
    fn requests_and_limits_become_cgroup_values() {
        let cases = [
            (json!({}), (0, 2, 0)),
            (json!({"requests": {"cpu": "500m"}}), (0, 512, 0)),
            (json!({"limits": {"cpu": "2", "memory": "1Mi"}}), (200_000, 2048, 1 << 20)),
            (json!({"limits": {"cpu": "1m"}, "requests": {"cpu": "1m"}}), (1000, 2, 0)),
        ];
        for (resources, (quota, shares, memory)) in cases {
            let parsed: ResourceRequirements = serde_json::from_value(resources).unwrap();
            let made = of_requirements(Some(&parsed));
            assert_eq!(
                (made.cpu_quota, made.cpu_shares, made.memory_limit_in_bytes),
                (quota, shares, memory)
            );
        }
    }
}
