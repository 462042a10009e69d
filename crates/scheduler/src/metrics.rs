//! The scheduler's metrics, under upstream's names.

use std::time::Duration;

use ::metrics::{Counter, Family, Gauge, Histogram, Histograms, Register, Registry, exponential_buckets};

#[cfg(test)]
mod tests;

/// From this attempt on they are counted together.
const ATTEMPTS_MAX: u32 = 15;

type Labels<const N: usize> = [(&'static str, String); N];

/// The result of an attempt to schedule a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempted {
    /// The pod was bound.
    Scheduled,
    /// No node fits.
    Unschedulable,
    /// Something failed.
    Error,
}

impl Attempted {
    fn as_str(self) -> &'static str {
        match self {
            Attempted::Scheduled => "scheduled",
            Attempted::Unschedulable => "unschedulable",
            Attempted::Error => "error",
        }
    }
}

/// The metrics of the scheduler.
#[derive(Debug)]
pub struct Metrics {
    pending_pods: Gauges<4>,
    cache_size: Gauges<3>,
    attempts: Family<Labels<2>, Counter>,
    attempt_seconds: Histograms<Labels<2>>,
    algorithm_seconds: Histogram,
    pod_attempts: Histogram,
    pod_seconds: Histograms<Labels<1>>,
    preemption_attempts: Counter,
    preemption_victims: Histogram,
}

impl Metrics {
    /// Makes the metrics and registers them.
    pub fn register(registry: &mut Registry) -> Metrics {
        let scheduler = registry.sub_registry_with_prefix("scheduler");
        let from_1_ms = || Histogram::new(exponential_buckets(0.001, 2.0, 15));
        let from_10_ms = || Histogram::new(exponential_buckets(0.01, 2.0, 20));
        let powers_of_2 = |count| Histogram::new(exponential_buckets(1.0, 2.0, count));
        let pending = scheduler.add("pending_pods", "Pods that wait, by the queue in which they are");
        let cached = scheduler.add("scheduler_cache_size", "Objects that decisions look at");
        Metrics {
            pending_pods: Gauges::new(&pending, "queue", ["active", "backoff", "unschedulable", "gated"]),
            cache_size: Gauges::new(&cached, "type", ["nodes", "pods", "assumed_pods"]),
            attempts: scheduler.add("schedule_attempts", "Attempts to schedule pods, by their result"),
            attempt_seconds: scheduler.add_histograms(
                "scheduling_attempt_duration_seconds",
                "How long attempts took, with the binding",
                from_1_ms,
            ),
            algorithm_seconds: scheduler.add_histogram(
                "scheduling_algorithm_duration_seconds",
                "How long decisions took",
                from_1_ms(),
            ),
            pod_attempts: scheduler.add_histogram(
                "pod_scheduling_attempts",
                "Attempts until a pod was scheduled",
                powers_of_2(5),
            ),
            pod_seconds: scheduler.add_histograms(
                "pod_scheduling_sli_duration_seconds",
                "How long pods took from when they were queued until they were bound, by the number of attempts",
                from_10_ms,
            ),
            preemption_attempts: scheduler
                .add("preemption_attempts", "Decisions that named pods to make room"),
            preemption_victims: scheduler.add_histogram(
                "preemption_victims",
                "Pods that had to make room at once",
                powers_of_2(7),
            ),
        }
    }

    /// `pending` are the pods that are active, in backoff, unschedulable and gated; `cached` the nodes, pods and
    /// assumed pods.
    pub(crate) fn set_sizes(&self, pending: [usize; 4], cached: [usize; 3]) {
        self.pending_pods.set(pending);
        self.cache_size.set(cached);
    }

    pub(crate) fn decided(&self, took: Duration) {
        self.algorithm_seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn attempted(&self, profile: &str, result: Attempted, took: Duration) {
        let labels = [("profile", profile.to_owned()), ("result", result.as_str().to_owned())];
        self.attempts.get_or_create(&labels).inc();
        self.attempt_seconds.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// A pod was bound, so long after it was queued.
    pub(crate) fn scheduled(&self, attempts: u32, took: Duration) {
        let label = match attempts {
            ATTEMPTS_MAX.. => format!("{ATTEMPTS_MAX}+"),
            few => few.to_string(),
        };
        self.pod_attempts.observe(f64::from(attempts));
        self.pod_seconds.get_or_create(&[("attempts", label)]).observe(took.as_secs_f64());
    }

    pub(crate) fn preempted(&self, victims: usize) {
        self.preemption_attempts.inc();
        self.preemption_victims.observe(victims as f64);
    }
}

/// Gauges that differ by one label. They are set with each decision, so they are looked up only once.
#[derive(Debug)]
struct Gauges<const N: usize>([Gauge; N]);

impl<const N: usize> Gauges<N> {
    fn new(family: &Family<Labels<1>, Gauge>, label: &'static str, values: [&str; N]) -> Gauges<N> {
        Gauges(values.map(|value| family.get_or_create_owned(&[(label, value.to_owned())])))
    }

    fn set(&self, counts: [usize; N]) {
        for (gauge, count) in self.0.iter().zip(counts) {
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }
}

impl Default for Metrics {
    /// Metrics that nobody sees.
    fn default() -> Metrics {
        Metrics::register(&mut Registry::default())
    }
}
