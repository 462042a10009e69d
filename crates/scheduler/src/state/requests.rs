//! What a pod requests in all.
//!
//! Init containers run one after the other, and next to the sidecars before them; containers and sidecars run
//! together. So the request is the larger of what the start needs at most and what the run needs. See upstream's
//! `k8s.io/component-helpers/resource` and KEP-753 (sidecars), KEP-1287 (resize), KEP-2837 (pod level).

use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod, PodSpec, PodStatus};

use super::Resources;

/// What a container without requests counts as when nodes are compared: a tenth of a core and 200 MiB.
const CPU_MILLI_DEFAULT: i64 = 100;
const MEMORY_DEFAULT: i64 = 200 * 1024 * 1024;

/// How containers without a request for CPU or memory count.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// As nothing.
    Zero,
    /// As a little, so that nodes do not look empty which are full of such containers.
    Default,
}

/// The requests of a pod, with its overhead.
pub(super) fn of_pod(pod: &Pod, missing: Missing) -> Resources {
    let Some(spec) = &pod.spec else { return Resources::default() };
    let status = pod.status.as_ref();
    let infeasible = status.is_some_and(resize_is_infeasible);
    let statuses = |of: fn(&PodStatus) -> &Option<Vec<ContainerStatus>>| {
        status.and_then(|status| of(status).as_deref()).unwrap_or_default()
    };
    let of_container = |container: &Container, statuses: &[ContainerStatus]| {
        let status = statuses.iter().find(|status| status.name == container.name);
        with_missing(container, effective(container, status, infeasible), missing)
    };

    let mut running = Resources::default();
    for container in &spec.containers {
        running.add(&of_container(container, statuses(|status| &status.container_statuses)));
    }
    let (mut sidecars, mut starting) = (Resources::default(), Resources::default());
    for container in spec.init_containers.iter().flatten() {
        let restartable = container.restart_policy.as_deref() == Some("Always");
        let statuses = if restartable { statuses(|status| &status.init_container_statuses) } else { &[] };
        let mut peak = of_container(container, statuses);
        if restartable {
            sidecars.add(&peak);
            peak = sidecars.clone();
        } else {
            peak.add(&sidecars);
        }
        starting.raise_to(&peak);
    }
    running.add(&sidecars);
    running.raise_to(&starting);
    apply_pod_level(spec, &mut running);
    running.add(&Resources::from_list(spec.overhead.as_ref()));
    running
}

/// While a container is being resized it counts with the larger of what it has and what it shall have.
fn effective(container: &Container, status: Option<&ContainerStatus>, infeasible: bool) -> Resources {
    let wanted = Resources::from_list(container.resources.as_ref().and_then(|all| all.requests.as_ref()));
    let Some((status, actual)) = status.and_then(|status| Some((status, status.resources.as_ref()?))) else {
        return wanted;
    };
    let mut effective = Resources::from_list(actual.requests.as_ref());
    effective.raise_to(&Resources::from_list(status.allocated_resources.as_ref()));
    if !infeasible {
        effective.raise_to(&wanted);
    }
    effective
}

fn resize_is_infeasible(status: &PodStatus) -> bool {
    status.conditions.iter().flatten().any(|condition| {
        condition.type_ == "PodResizePending" && condition.reason.as_deref() == Some("Infeasible")
    })
}

fn with_missing(container: &Container, mut requests: Resources, missing: Missing) -> Resources {
    if missing == Missing::Default {
        let listed = container.resources.as_ref().and_then(|all| all.requests.as_ref());
        let has = |name: &str| listed.is_some_and(|list| list.contains_key(name));
        if !has("cpu") && requests.cpu_milli == 0 {
            requests.cpu_milli = CPU_MILLI_DEFAULT;
        }
        if !has("memory") && requests.memory == 0 {
            requests.memory = MEMORY_DEFAULT;
        }
    }
    requests
}

/// Requests of the pod as a whole replace the sums of its containers.
fn apply_pod_level(spec: &PodSpec, requests: &mut Resources) {
    let Some(list) = spec.resources.as_ref().and_then(|all| all.requests.as_ref()) else { return };
    let whole = Resources::from_list(Some(list));
    if list.contains_key("cpu") {
        requests.cpu_milli = whole.cpu_milli;
    }
    if list.contains_key("memory") {
        requests.memory = whole.memory;
    }
    for (name, amount) in whole.scalar.iter().filter(|(name, _)| name.starts_with("hugepages-")) {
        requests.scalar.retain(|(found, _)| found != name);
        requests.add(&Resources { scalar: vec![(name.clone(), *amount)], ..Resources::default() });
    }
}
