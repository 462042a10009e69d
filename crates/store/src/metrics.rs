//! What the embedded engine measures of itself. The names are our own: a commit here is one transaction of a database on
//! its log, for all writes that were waiting, and is neither of the steps that etcd measures.

use std::time::Duration;

use metrics::{Histogram, Register, Registry, exponential_buckets};

/// The metrics of an embedded store. Clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    commits: Histogram,
    changes: Histogram,
}

impl Default for Metrics {
    /// Metrics that nobody sees.
    fn default() -> Metrics {
        Metrics::register(&mut Registry::default())
    }
}

impl Metrics {
    /// Metrics that are shown there: `ironhull_store_commit_duration_seconds` and `ironhull_store_commit_changes`.
    pub fn register(registry: &mut Registry) -> Metrics {
        let store = registry.sub_registry_with_prefix("ironhull_store");
        // From 0.1 ms to 3 s.
        let durations = Histogram::new(exponential_buckets(1e-4, 2.0, 16));
        let changes = Histogram::new(exponential_buckets(1.0, 2.0, 12));
        Metrics {
            commits: store.add_histogram(
                "commit_duration_seconds",
                "Time that the embedded store took to make a batch of writes durable, in seconds",
                durations,
            ),
            changes: store.add_histogram("commit_changes", "Changes that became durable together", changes),
        }
    }

    /// So many changes became durable within this time.
    pub(crate) fn committed(&self, changes: usize, took: Duration) {
        self.commits.observe(took.as_secs_f64());
        self.changes.observe(changes as f64);
    }
}
