//! Metrics of work queues, under upstream's names (`component-base/metrics/prometheus/workqueue`).

use std::time::Duration;

use metrics::{Counter, Family, Gauge, Histogram, Histograms, Register, Registry, exponential_buckets};

/// The metrics of all work queues of a process, distinguished by the label `name`. Clones share them.
#[derive(Clone, Debug)]
pub struct QueueMetrics {
    depth: Family<QueueName, Gauge>,
    adds: Family<QueueName, Counter>,
    retries: Family<QueueName, Counter>,
    queue_seconds: Histograms<QueueName>,
    work_seconds: Histograms<QueueName>,
}

/// The one label, `name`.
type QueueName = [(&'static str, &'static str); 1];

/// From a microsecond to a thousand seconds.
fn durations() -> Histogram {
    Histogram::new(exponential_buckets(1e-6, 10.0, 10))
}

impl Default for QueueMetrics {
    /// Metrics that nobody sees.
    fn default() -> QueueMetrics {
        QueueMetrics::register(&mut Registry::default())
    }
}

impl QueueMetrics {
    /// Metrics that are registered with `registry`: `workqueue_depth`, `workqueue_adds_total`,
    /// `workqueue_retries_total`, `workqueue_queue_duration_seconds` and `workqueue_work_duration_seconds`.
    pub fn register(registry: &mut Registry) -> QueueMetrics {
        let queues = registry.sub_registry_with_prefix("workqueue");
        QueueMetrics {
            depth: queues.add("depth", "How many keys wait in the queue"),
            adds: queues.add("adds", "How often a key was added to the queue"),
            retries: queues.add("retries", "How often a key was added again after a failure"),
            queue_seconds: queues.add_histograms(
                "queue_duration_seconds",
                "How long keys wait in the queue until a worker takes them",
                durations,
            ),
            work_seconds: queues.add_histograms(
                "work_duration_seconds",
                "How long a worker takes for a key",
                durations,
            ),
        }
    }

    /// The counts of one queue.
    pub(super) fn of(&self, name: &'static str) -> Meter {
        let name = [("name", name)];
        Meter {
            depth: self.depth.get_or_create(&name).clone(),
            adds: self.adds.get_or_create(&name).clone(),
            retries: self.retries.get_or_create(&name).clone(),
            queue_seconds: self.queue_seconds.get_or_create(&name).clone(),
            work_seconds: self.work_seconds.get_or_create(&name).clone(),
        }
    }
}

/// The counts of one queue.
pub(super) struct Meter {
    depth: Gauge,
    adds: Counter,
    retries: Counter,
    queue_seconds: Histogram,
    work_seconds: Histogram,
}

impl Meter {
    pub(super) fn added(&self) {
        self.adds.inc();
    }

    pub(super) fn retried(&self) {
        self.retries.inc();
    }

    /// Sets the number of waiting keys.
    pub(super) fn waits(&self, depth: usize) {
        self.depth.set(i64::try_from(depth).unwrap_or(i64::MAX));
    }

    /// A worker took a key that had waited for this long; this many are left.
    pub(super) fn taken(&self, depth: usize, waited: Duration) {
        self.waits(depth);
        self.queue_seconds.observe(waited.as_secs_f64());
    }

    /// A worker is done with a key after this time.
    pub(super) fn done(&self, worked: Duration) {
        self.work_seconds.observe(worked.as_secs_f64());
    }
}
