//! Probes: whether containers have started, are alive, and are ready (`pkg/kubelet/prober`).
//!
//! [`PodProbes`] keeps one task for each probe of each running container. A task probes periodically, counts successes
//! and failures, and puts the result into the pod's [`ProbeView`].

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use cri::{ContainerState, ContainerStatus};
use k8s_openapi::api::core::v1::{ContainerStatus as ApiContainerStatus, Probe};
use parking_lot::RwLock;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::engine::EngineFacts;
use crate::observed::Observed;
use crate::pod::{ContainerKind, PodContainer, PodInfo};

mod grpc;
mod http;
mod outcome;
mod prober;
mod target;
mod task;

pub(crate) use http::get;
pub(crate) use outcome::Outcome;
pub(crate) use prober::Prober;
pub(crate) use target::{Target, handler_target};
use task::Task;

/// The results of one container's probes; `None` if there is no result yet, or no such probe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ContainerProbes {
    pub(crate) startup: Option<bool>,
    pub(crate) liveness: Option<bool>,
    pub(crate) readiness: Option<bool>,
}

/// The results of the probes of a pod's containers, by container ID.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProbeView(pub(crate) BTreeMap<String, ContainerProbes>);

impl ProbeView {
    pub(crate) fn of(&self, container_id: &str) -> ContainerProbes {
        self.0.get(container_id).copied().unwrap_or_default()
    }
}

/// Which probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ProbeKind {
    Startup,
    Liveness,
    Readiness,
}

impl ProbeKind {
    const ALL: [ProbeKind; 3] = [ProbeKind::Startup, ProbeKind::Liveness, ProbeKind::Readiness];

    /// The name in events.
    fn as_str(self) -> &'static str {
        match self {
            ProbeKind::Startup => "Startup",
            ProbeKind::Liveness => "Liveness",
            ProbeKind::Readiness => "Readiness",
        }
    }

    fn of(self, container: &PodContainer) -> Option<&Probe> {
        match self {
            ProbeKind::Startup => container.spec.startup_probe.as_ref(),
            ProbeKind::Liveness => container.spec.liveness_probe.as_ref(),
            ProbeKind::Readiness => container.spec.readiness_probe.as_ref(),
        }
    }

    fn slot(self, probes: &mut ContainerProbes) -> &mut Option<bool> {
        match self {
            ProbeKind::Startup => &mut probes.startup,
            ProbeKind::Liveness => &mut probes.liveness,
            ProbeKind::Readiness => &mut probes.readiness,
        }
    }
}

/// Stops its task when it is dropped.
struct Running(AbortHandle);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The probes of one pod.
pub(crate) struct PodProbes {
    view: Arc<RwLock<ProbeView>>,
    running: HashMap<(String, ProbeKind), Running>,
    changed: Arc<Notify>,
}

impl PodProbes {
    /// No probes yet. `changed` is notified when a result changes.
    pub(crate) fn new(changed: Arc<Notify>) -> PodProbes {
        PodProbes { view: Arc::default(), running: HashMap::new(), changed }
    }

    /// The current results.
    pub(crate) fn view(&self) -> ProbeView {
        self.view.read().clone()
    }

    /// Probes exactly the running containers.
    pub(crate) fn follow(&mut self, prober: &Prober, pod: &PodInfo, observed: &Observed, ips: &[String]) {
        let alive = |id: &str| observed.running().any(|status| status.id == id);
        self.running.retain(|(id, _), _| alive(id));
        self.view.write().0.retain(|id, _| alive(id));
        for container in &pod.containers {
            if matches!(container.kind, ContainerKind::Init | ContainerKind::Ephemeral) {
                continue;
            }
            let newest =
                observed.newest(container.name()).filter(|status| status.state == ContainerState::Running);
            let Some(status) = newest else { continue };
            for kind in ProbeKind::ALL {
                let key = (status.id.clone(), kind);
                if let Some(probe) = kind.of(container).filter(|_| !self.running.contains_key(&key)) {
                    let task = self.task(prober, &observed.engine, pod, container, status, kind, probe, ips);
                    self.running.insert(key, Running(tokio::spawn(task.run()).abort_handle()));
                }
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "it gathers what a task keeps")]
    fn task(
        &self,
        prober: &Prober,
        engine: &EngineFacts,
        pod: &PodInfo,
        container: &PodContainer,
        status: &ContainerStatus,
        kind: ProbeKind,
        probe: &Probe,
        ips: &[String],
    ) -> Task {
        // A container that an earlier agent found ready is ready until a probe says otherwise.
        if let Some(known) = known_result(engine, pod, status, kind) {
            let mut view = self.view.write();
            *kind.slot(view.0.entry(status.id.clone()).or_default()) = Some(known);
        }
        let of_pod = (pod.key.namespace(), &*pod.key.name, pod.uid.as_str());
        Task {
            prober: prober.clone(),
            meter: prober.metrics.of(kind.as_str(), of_pod, container.name()),
            about: pod.container_reference(container),
            container_id: status.id.clone(),
            started_at: status.started_at,
            kind,
            target: target::probe_target(probe, container, ips),
            timings: Timings::of(probe),
            has_startup_probe: container.spec.startup_probe.is_some(),
            view: Arc::clone(&self.view),
            changed: Arc::clone(&self.changed),
        }
    }

    /// Stops all probes: the pod is ending.
    pub(crate) fn stop(&mut self) {
        self.running.clear();
    }
}

fn known_result(
    engine: &EngineFacts,
    pod: &PodInfo,
    status: &ContainerStatus,
    kind: ProbeKind,
) -> Option<bool> {
    let api = pod.api_status();
    let lists = [&api.container_statuses, &api.init_container_statuses];
    let id = engine.container_id(&status.id);
    let same = |known: &&ApiContainerStatus| known.container_id.as_deref() == Some(&id);
    let known = lists.into_iter().flatten().flatten().find(same)?;
    match kind {
        ProbeKind::Startup => (known.started == Some(true)).then_some(true),
        ProbeKind::Readiness => known.ready.then_some(true),
        ProbeKind::Liveness => None,
    }
}

/// When and how often a probe runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Timings {
    initial_delay: Duration,
    period: Duration,
    timeout: Duration,
    successes: u32,
    failures: u32,
}

impl Timings {
    fn of(probe: &Probe) -> Timings {
        let seconds = |value: Option<i32>, default: u64| {
            let given = value.and_then(|value| u64::try_from(value).ok()).filter(|value| *value > 0);
            Duration::from_secs(given.unwrap_or(default))
        };
        let count = |value: Option<i32>, default: u32| {
            value.and_then(|value| u32::try_from(value).ok()).filter(|value| *value > 0).unwrap_or(default)
        };
        Timings {
            initial_delay: seconds(probe.initial_delay_seconds, 0),
            period: seconds(probe.period_seconds, 10),
            timeout: seconds(probe.timeout_seconds, 1),
            successes: count(probe.success_threshold, 1),
            failures: count(probe.failure_threshold, 3),
        }
    }
}
