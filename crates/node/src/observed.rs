//! The sandboxes and containers of a pod, as the engine reports them.

use std::collections::BTreeMap;
use std::sync::Arc;

use cri::{
    ContainerFilter, ContainerState, ContainerStatus, CriError, PodSandboxFilter, PodSandboxState,
    PodSandboxStatus, StringMap,
};

use crate::engine::{Engine, EngineFacts};
use crate::label;

/// The sandboxes and containers of one pod.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observed {
    /// The pod.
    pub(crate) engine: Arc<EngineFacts>,
    /// The newest first.
    pub(crate) sandboxes: Vec<PodSandboxStatus>,
    /// By name, the newest first.
    pub(crate) containers: BTreeMap<String, Vec<ContainerStatus>>,
}

impl Observed {
    /// Queries the engine.
    pub(crate) async fn ask(engine: &Engine, pod_uid: &str) -> Result<Observed, CriError> {
        let (facts, runtime) = (engine.facts().await?, engine.runtime());
        let labels = StringMap::from([(label::POD_UID.to_owned(), pod_uid.to_owned())]);
        let filter = PodSandboxFilter { label_selector: labels.clone(), ..Default::default() };
        let mut sandboxes = Vec::new();
        for sandbox in runtime.list_pod_sandbox(&filter).await? {
            sandboxes.extend(present(runtime.pod_sandbox_status(&sandbox.id).await)?);
        }
        let filter = ContainerFilter { label_selector: labels, ..Default::default() };
        let mut containers = Vec::new();
        for container in runtime.list_containers(&filter).await? {
            if let Some(mut status) = present(runtime.container_status(&container.id).await)? {
                status.pod_sandbox_id = container.pod_sandbox_id;
                containers.push(status);
            }
        }
        Ok(Observed::new(facts, sandboxes, containers))
    }

    pub(crate) fn new(
        engine: Arc<EngineFacts>,
        mut sandboxes: Vec<PodSandboxStatus>,
        containers: Vec<ContainerStatus>,
    ) -> Observed {
        sandboxes.sort_by_key(|sandbox| std::cmp::Reverse((sandbox.created_at, sandbox.metadata.attempt)));
        let mut by_name = BTreeMap::<String, Vec<ContainerStatus>>::new();
        for container in containers {
            by_name.entry(container.metadata.name.clone()).or_default().push(container);
        }
        for statuses in by_name.values_mut() {
            statuses.sort_by_key(|status| std::cmp::Reverse((status.metadata.attempt, status.created_at)));
        }
        Observed { engine, sandboxes, containers: by_name }
    }

    /// The newest container of this name.
    pub(crate) fn newest(&self, name: &str) -> Option<&ContainerStatus> {
        self.containers.get(name)?.first()
    }

    /// Whether a container of this name was started since the earlier observation.
    pub(crate) fn has_started_since(&self, earlier: &Observed, name: &str) -> bool {
        let started = |observed: &Observed| {
            let mut statuses = observed.containers.get(name)?.iter();
            Some(statuses.find(|status| status.state != ContainerState::Created)?.created_at)
        };
        started(self) > started(earlier)
    }

    /// The newest sandbox if it is ready.
    pub(crate) fn ready_sandbox(&self) -> Option<&PodSandboxStatus> {
        self.sandboxes.first().filter(|sandbox| sandbox.state == PodSandboxState::Ready)
    }

    pub(crate) fn all_containers(&self) -> impl Iterator<Item = &ContainerStatus> {
        self.containers.values().flatten()
    }

    pub(crate) fn running(&self) -> impl Iterator<Item = &ContainerStatus> {
        self.all_containers().filter(|status| status.state == ContainerState::Running)
    }

    /// Whether anything of the pod may still run.
    pub(crate) fn is_alive(&self) -> bool {
        self.running().next().is_some()
            || self.sandboxes.iter().any(|sandbox| sandbox.state == PodSandboxState::Ready)
    }

    /// The pod's addresses, the primary one first; empty in the host's network.
    pub(crate) fn ips(&self) -> Vec<String> {
        let Some(sandbox) = self.ready_sandbox() else { return Vec::new() };
        let network = &sandbox.network;
        std::iter::once(&network.ip)
            .chain(&network.additional_ips)
            .filter(|ip| !ip.is_empty())
            .cloned()
            .collect()
    }
}

/// It is not an error if something vanished between the list and the query.
fn present<T>(result: Result<T, CriError>) -> Result<Option<T>, CriError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// How often the container of this status was restarted.
pub(crate) fn restart_count(status: &ContainerStatus) -> u32 {
    let annotated = status.annotations.get(label::RESTART_COUNT).and_then(|count| count.parse().ok());
    annotated.unwrap_or(status.metadata.attempt)
}

#[cfg(test)]
mod tests {
    use cri::ContainerState::{Created, Exited, Running};

    use crate::testing::{container, observed, sandbox};

    #[test]
    fn a_start_is_noticed() {
        let with = |containers| observed(vec![sandbox(0, true)], containers);
        let none = with(vec![]);
        let first = with(vec![container("web", 0, 0, Exited, 1)]);
        let made = with(vec![container("web", 1, 0, Created, 0), container("web", 0, 0, Exited, 1)]);
        let second = with(vec![container("web", 1, 0, Running, 0), container("web", 0, 0, Exited, 1)]);
        for (earlier, later, expected) in [
            (&none, &none, false),
            (&none, &first, true),
            (&first, &first, false),
            (&first, &made, false),
            (&made, &first, false),
            (&made, &second, true),
            (&first, &second, true),
            (&second, &none, false),
        ] {
            assert_eq!(later.has_started_since(earlier, "web"), expected, "{earlier:?} {later:?}");
        }
    }
}
