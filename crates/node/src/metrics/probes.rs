//! Probes of containers. What is measured of a probe is shown as long as it runs.

use std::time::Duration;

use metrics::{Counter, EncodeLabelSet, Exposition, Family, Histograms, Register};

use super::defaults;

/// What a probe found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProbeResult {
    Successful,
    Failed,
    Unknown,
}

impl ProbeResult {
    const ALL: [ProbeResult; 3] = [ProbeResult::Successful, ProbeResult::Failed, ProbeResult::Unknown];

    fn as_str(self) -> &'static str {
        match self {
            ProbeResult::Successful => "successful",
            ProbeResult::Failed => "failed",
            ProbeResult::Unknown => "unknown",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Counted {
    probe_type: &'static str,
    result: &'static str,
    container: String,
    pod: String,
    namespace: String,
    pod_uid: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Timed {
    probe_type: &'static str,
    container: String,
    pod: String,
    namespace: String,
}

/// The metrics of all probes. Clones share them.
#[derive(Clone)]
pub(crate) struct ProbeMetrics {
    /// What `/metrics/probes` shows.
    pub(crate) exposition: Exposition,
    counts: Family<Counted, Counter>,
    durations: Histograms<Timed>,
}

impl ProbeMetrics {
    pub(super) fn new() -> ProbeMetrics {
        let exposition = Exposition::default();
        let help = "Time that probes took, in seconds";
        let (counts, durations) = exposition.with(|registry| {
            let counts = registry.add("prober_probe", "Probes by their result");
            (counts, registry.add_histograms("prober_probe_duration_seconds", help, defaults))
        });
        ProbeMetrics { exposition, counts, durations }
    }

    /// The metrics of one probe of a container.
    pub(crate) fn of(
        &self,
        probe_type: &'static str,
        (namespace, pod, pod_uid): (&str, &str, &str),
        container: &str,
    ) -> ProbeMeter {
        let (container, pod) = (container.to_owned(), pod.to_owned());
        let namespace = namespace.to_owned();
        ProbeMeter {
            pod_uid: pod_uid.to_owned(),
            timed: Timed { probe_type, container, pod, namespace },
            metrics: self.clone(),
        }
    }
}

/// The metrics of one probe; they go with it.
pub(crate) struct ProbeMeter {
    metrics: ProbeMetrics,
    timed: Timed,
    pod_uid: String,
}

impl ProbeMeter {
    fn counted(&self, result: ProbeResult) -> Counted {
        let Timed { probe_type, container, pod, namespace } = self.timed.clone();
        let (result, pod_uid) = (result.as_str(), self.pod_uid.clone());
        Counted { probe_type, result, container, pod, namespace, pod_uid }
    }

    /// The probe was made.
    pub(crate) fn probed(&self, result: ProbeResult, took: Duration) {
        self.metrics.counts.get_or_create(&self.counted(result)).inc();
        self.metrics.durations.get_or_create(&self.timed).observe(took.as_secs_f64());
    }
}

impl Drop for ProbeMeter {
    fn drop(&mut self) {
        for result in ProbeResult::ALL {
            self.metrics.counts.remove(&self.counted(result));
        }
        self.metrics.durations.remove(&self.timed);
    }
}
