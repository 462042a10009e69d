//! How long a pod takes to start, told once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::PodStatus;
use tokio::time::Instant;

use crate::metrics::{Metrics, Start};
use crate::observed::Observed;
use crate::pod::{ContainerKind, PodInfo};
use crate::status::Phase;

/// What is known of a pod's start.
pub(super) struct Startup {
    /// When the agent saw the pod first.
    seen: Instant,
    pulled: Pulled,
    /// It ran already when the agent saw it, or its start was told.
    is_over: bool,
}

/// The time in which images of a pod were made ready. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Pulled(Arc<AtomicU64>);

impl Pulled {
    /// An image was made ready.
    pub(super) fn add(&self, took: Duration) {
        self.0.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn get(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

impl Startup {
    /// Of a pod that is seen for the first time, with this status.
    pub(super) fn new(status: &PodStatus) -> Startup {
        let is_over = status.phase.as_deref().is_some_and(|phase| phase != "Pending");
        Startup { seen: Instant::now(), pulled: Pulled::default(), is_over }
    }

    pub(super) fn pulled(&self) -> Pulled {
        self.pulled.clone()
    }

    /// Tells of the start once the pod runs.
    pub(super) fn look(
        &mut self,
        metrics: &Metrics,
        pod: &PodInfo,
        observed: &Observed,
        status: &PodStatus,
        now: Timestamp,
    ) {
        match Phase::parse(status.phase.as_deref()) {
            _ if self.is_over => return,
            Some(Phase::Running) => self.is_over = true,
            Some(phase) if phase.is_terminal() => {
                self.is_over = true;
                return;
            }
            _ => return,
        }
        let created = pod.pod.metadata.creation_timestamp.as_ref().map(|created| created.0);
        let since_created = created.map(|created| now.duration_since(created));
        metrics.pod_started(&Start {
            since_seen: self.seen.elapsed(),
            since_created: since_created.and_then(|since| since.try_into().ok()).unwrap_or_default(),
            excluded: self.pulled.get() + init_time(pod, observed),
            has_network: !pod.host_network(),
        });
    }
}

/// How long init containers ran.
fn init_time(pod: &PodInfo, observed: &Observed) -> Duration {
    let times = pod.of_kind(ContainerKind::Init).filter_map(|container| {
        let status = observed.newest(container.name())?;
        Duration::try_from(status.finished_at?.duration_since(status.started_at?)).ok()
    });
    times.sum()
}
