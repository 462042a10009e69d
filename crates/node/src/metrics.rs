//! What a node agent measures of itself, by upstream's names (`pkg/kubelet/metrics`, `pkg/kubelet/prober`).
//!
//! They are shown at the node's own `/metrics` and `/metrics/probes`, not at those of an API server in the same process.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use metrics::{
    Counter, EncodeLabelSet, Exposition, Family, Gauge, Histogram, Histograms, Register, Registry,
};

mod claims;
mod operations;
mod probes;
#[cfg(test)]
mod tests;

pub(crate) use claims::ClaimMetrics;
pub(crate) use operations::Operations;
pub(crate) use probes::{ProbeMeter, ProbeMetrics, ProbeResult};

/// A label whose value is one of a few.
type Label = [(&'static str, &'static str); 1];

/// Upstream's buckets of how long pods take to start, in seconds.
const STARTS: [f64; 25] = [
    0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 20.0, 30.0, 45.0, 60.0, 120.0, 180.0, 240.0, 300.0, 360.0,
    480.0, 600.0, 900.0, 1200.0, 1800.0, 2700.0, 3600.0,
];
/// The buckets of clients of Prometheus unless they say otherwise, in seconds.
const DEFAULTS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

fn starts() -> Histogram {
    Histogram::new(STARTS)
}

fn defaults() -> Histogram {
    Histogram::new(DEFAULTS)
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NotStarted {
    container_type: &'static str,
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Handler {
    runtime_handler: String,
}

/// A request to the node's server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct HttpRequest {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) server_type: &'static str,
    pub(crate) long_running: &'static str,
}

/// How a pod came to run.
pub(crate) struct Start {
    /// Since the agent saw it first.
    pub(crate) since_seen: Duration,
    /// Since the API server made it.
    pub(crate) since_created: Duration,
    /// Of that, the time in which images were pulled and init containers ran.
    pub(crate) excluded: Duration,
    /// Whether it has a network of its own.
    pub(crate) has_network: bool,
}

/// The metrics of a node agent.
pub(crate) struct Metrics {
    /// What `/metrics` shows.
    pub(crate) exposition: Exposition,
    pub(crate) probes: ProbeMetrics,
    pub(crate) operations: Operations,
    pub(crate) claims: ClaimMetrics,
    pods: PodMetrics,
    server: ServerMetrics,
    /// A pod with a network of its own has started.
    has_network: AtomicBool,
}

/// The metrics of pods.
struct PodMetrics {
    running_pods: Gauge,
    running_containers: Family<Label, Gauge>,
    desired_pods: Gauge,
    started_pods: Counter,
    started_pods_errors: Counter,
    started_containers: Family<Label, Counter>,
    started_containers_errors: Family<NotStarted, Counter>,
    pod_start: Histogram,
    pod_start_sli: Histograms<Label>,
    pod_start_total: Histograms<Label>,
    pod_worker: Histograms<Label>,
    status_sync: Histogram,
    sandboxes: Histograms<Handler>,
    sandbox_errors: Family<Handler, Counter>,
    evictions: Family<Label, Counter>,
}

/// The metrics of the node API.
struct ServerMetrics {
    requests: Family<HttpRequest, Counter>,
    inflight: Family<HttpRequest, Gauge>,
    durations: Histograms<HttpRequest>,
}

impl Metrics {
    /// The metrics of a node of this name, which are shown there.
    pub(crate) fn new(node_name: &str, exposition: Exposition) -> Metrics {
        // Upstream's name of this counter, which predates the naming convention.
        exposition.without_total("kubelet_evictions");
        let shown = exposition.clone();
        shown.with(|registry| {
            registry.register_collector(Box::new(::metrics::Process));
            let help = "The node's name; the value is always 1";
            let names: Family<[(&'static str, String); 1], Gauge> = registry.add("kubelet_node_name", help);
            names.get_or_create(&[("node", node_name.to_owned())]).set(1);
            Metrics {
                exposition,
                probes: ProbeMetrics::new(),
                operations: Operations::register(registry),
                claims: ClaimMetrics::register(registry),
                pods: PodMetrics::register(registry),
                server: ServerMetrics::register(registry),
                has_network: AtomicBool::new(false),
            }
        })
    }

    /// What runs, as it was just seen.
    pub(crate) fn runs(&self, desired: usize, pods: usize, containers: [(&'static str, usize); 4]) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.pods.desired_pods.set(number(desired));
        self.pods.running_pods.set(number(pods));
        for (state, count) in containers {
            self.pods.running_containers.get_or_create(&[("container_state", state)]).set(number(count));
        }
    }

    /// The sandbox of a pod was to start, with this handler, and how that went.
    pub(crate) fn sandbox_started(&self, handler: &str, took: Duration, is_success: bool) {
        let labels = Handler { runtime_handler: handler.to_owned() };
        self.pods.started_pods.inc();
        self.pods.sandboxes.get_or_create(&labels).observe(took.as_secs_f64());
        if !is_success {
            self.pods.started_pods_errors.inc();
            self.pods.sandbox_errors.get_or_create(&labels).inc();
        }
    }

    /// A container was to start; `error` says why it did not.
    pub(crate) fn container_started(&self, container_type: &'static str, error: Option<&'static str>) {
        self.pods.started_containers.get_or_create(&[("container_type", container_type)]).inc();
        if let Some(code) = error {
            self.pods.started_containers_errors.get_or_create(&NotStarted { container_type, code }).inc();
        }
    }

    /// A pod has come to run.
    pub(crate) fn pod_started(&self, start: &Start) {
        let first = start.has_network && !self.has_network.swap(true, Ordering::Relaxed);
        let labels = [("first_with_network", if first { "true" } else { "false" })];
        self.pods.pod_start.observe(start.since_seen.as_secs_f64());
        self.pods.pod_start_total.get_or_create(&labels).observe(start.since_created.as_secs_f64());
        let own = start.since_created.saturating_sub(start.excluded);
        self.pods.pod_start_sli.get_or_create(&labels).observe(own.as_secs_f64());
    }

    /// A step of a pod took this time.
    pub(crate) fn pod_worked(&self, operation: &'static str, took: Duration) {
        self.pods.pod_worker.get_or_create(&[("operation_type", operation)]).observe(took.as_secs_f64());
    }

    /// A pod's status was written this long after it had changed.
    pub(crate) fn status_written(&self, took: Duration) {
        self.pods.status_sync.observe(took.as_secs_f64());
    }

    /// A pod was evicted for this signal.
    pub(crate) fn evicted(&self, signal: &'static str) {
        self.pods.evictions.get_or_create(&[("eviction_signal", signal)]).inc();
    }

    /// A request came; dropping the result says that it was answered.
    pub(crate) fn requested(&self, request: HttpRequest) -> Answering {
        let inflight = self.server.inflight.get_or_create_owned(&request);
        inflight.inc();
        self.server.requests.get_or_create(&request).inc();
        let duration = self.server.durations.get_or_create_owned(&request);
        Answering { inflight, duration, since: tokio::time::Instant::now() }
    }
}

impl PodMetrics {
    fn register(registry: &mut Registry) -> PodMetrics {
        let evictions = registry.add("kubelet_evictions", "Evictions of pods by their signal");
        let kubelet = registry.sub_registry_with_prefix("kubelet");
        let written = Histogram::new([0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0]);
        PodMetrics {
            running_pods: kubelet.add("running_pods", "Pods that have a running sandbox"),
            running_containers: kubelet.add("running_containers", "Containers by their state"),
            desired_pods: kubelet.add("desired_pods", "Pods that the agent looks after"),
            started_pods: kubelet.add("started_pods", "Pods whose sandbox was to start"),
            started_pods_errors: kubelet
                .add("started_pods_errors", "Sandboxes of pods that could not start"),
            started_containers: kubelet.add("started_containers", "Containers that were to start"),
            started_containers_errors: kubelet
                .add("started_containers_errors", "Containers that could not start"),
            pod_start: kubelet.add_histogram(
                "pod_start_duration_seconds",
                "Time from the agent's first sight of a pod until it runs, in seconds",
                starts(),
            ),
            pod_start_sli: kubelet.add_histograms(
                "pod_start_sli_duration_seconds",
                "Time from a pod's creation until it runs, without image pulls and init containers, in seconds",
                starts,
            ),
            pod_start_total: kubelet.add_histograms(
                "pod_start_total_duration_seconds",
                "Time from a pod's creation until it runs, in seconds",
                starts,
            ),
            pod_worker: kubelet.add_histograms(
                "pod_worker_duration_seconds",
                "Time that steps of pods took, in seconds",
                defaults,
            ),
            status_sync: kubelet.add_histogram(
                "pod_status_sync_duration_seconds",
                "Time until a pod's new status was written to the API server, in seconds",
                written,
            ),
            sandboxes: kubelet.add_histograms(
                "run_podsandbox_duration_seconds",
                "Time that the engine took to start sandboxes, in seconds",
                defaults,
            ),
            sandbox_errors: kubelet
                .add("run_podsandbox_errors", "Sandboxes that the engine could not start"),
            evictions,
        }
    }
}

impl ServerMetrics {
    fn register(registry: &mut Registry) -> ServerMetrics {
        let http = registry.sub_registry_with_prefix("kubelet_http");
        ServerMetrics {
            requests: http.add("requests", "Requests to the node's server"),
            inflight: http.add("inflight_requests", "Requests that are being answered"),
            durations: http.add_histograms(
                "requests_duration_seconds",
                "Time until requests were answered, in seconds",
                defaults,
            ),
        }
    }
}

/// A request that is being answered.
pub(crate) struct Answering {
    inflight: Gauge,
    duration: Histogram,
    since: tokio::time::Instant,
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.inflight.dec();
        self.duration.observe(self.since.elapsed().as_secs_f64());
    }
}
