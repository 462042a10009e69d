//! What the embedded engine measures of itself. The names are our own: a commit here is one transaction of a database on
//! its log, for all writes that were waiting, and is neither of the steps that etcd measures.

use std::time::Duration;

use metrics::{Histogram, Registry, exponential_buckets};

/// The metrics of an embedded store. Clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    commits: Histogram,
    changes: Histogram,
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics {
            // From 0.1 ms to 3 s.
            commits: Histogram::new(exponential_buckets(1e-4, 2.0, 16)),
            changes: Histogram::new(exponential_buckets(1.0, 2.0, 12)),
        }
    }
}

impl Metrics {
    /// Metrics that are shown there: `ironhull_store_commit_duration_seconds` and `ironhull_store_commit_changes`.
    pub fn register(registry: &mut Registry) -> Metrics {
        let metrics = Metrics::default();
        let help = "Time that the embedded store took to make a batch of writes durable, in seconds";
        registry.register("ironhull_store_commit_duration_seconds", help, metrics.commits.clone());
        let help = "Changes that became durable together";
        registry.register("ironhull_store_commit_changes", help, metrics.changes.clone());
        metrics
    }

    /// So many changes became durable within this time.
    pub(crate) fn committed(&self, changes: usize, took: Duration) {
        self.commits.observe(took.as_secs_f64());
        self.changes.observe(changes as f64);
    }
}
