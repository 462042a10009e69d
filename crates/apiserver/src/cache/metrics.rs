//! Metrics of the collections, under upstream's names (`storage/cacher/metrics`, and those of lists in
//! `storage/etcd3/metrics`).

use std::sync::Arc;
use std::time::Duration;

use metrics::{Counter, EncodeLabelSet, Family, Histogram, Histograms, Registry};

/// Upstream's buckets for waiting times, in seconds.
const WAITS: [f64; 13] = [0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0];

/// A resource, by its name in the catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Resource {
    group: Arc<str>,
    resource: Arc<str>,
}

/// The index of a list: none, everything below a prefix is scanned.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Indexed {
    group: Arc<str>,
    resource: Arc<str>,
    index: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Consistent {
    group: Arc<str>,
    resource: Arc<str>,
    success: &'static str,
    fallback: &'static str,
}

type Counts = Family<Resource, Counter>;

/// The metrics of all collections. Clones share them.
#[derive(Clone)]
pub struct CacheMetrics {
    initializations: Counts,
    init_events: Counts,
    received: Counts,
    dispatched: Counts,
    terminated: Counts,
    undecodable: Counts,
    waits: Histograms<Resource>,
    consistent: Family<Consistent, Counter>,
    lists: Family<Indexed, Counter>,
    fetched: Family<Indexed, Counter>,
    returned: Counts,
    past_lists: Counts,
    past_fetched: Counts,
    past_evaluated: Counts,
    past_returned: Counts,
}

impl Default for CacheMetrics {
    fn default() -> CacheMetrics {
        CacheMetrics {
            initializations: Counts::default(),
            init_events: Counts::default(),
            received: Counts::default(),
            dispatched: Counts::default(),
            terminated: Counts::default(),
            undecodable: Counts::default(),
            waits: Family::new_with_constructor(|| Histogram::new(WAITS)),
            consistent: Family::default(),
            lists: Family::default(),
            fetched: Family::default(),
            returned: Counts::default(),
            past_lists: Counts::default(),
            past_fetched: Counts::default(),
            past_evaluated: Counts::default(),
            past_returned: Counts::default(),
        }
    }
}

impl CacheMetrics {
    /// Metrics that are registered there.
    pub fn register(registry: &mut Registry) -> CacheMetrics {
        let metrics = CacheMetrics::default();
        let of_cache = "apiserver_watch_cache";
        let counters = [
            (
                format!("{of_cache}_initializations"),
                "Times the cache was filled from the store",
                &metrics.initializations,
            ),
            ("apiserver_init_events".into(), "Objects that the cache was filled with", &metrics.init_events),
            (format!("{of_cache}_events_received"), "Changes that came from the store", &metrics.received),
            (
                format!("{of_cache}_events_dispatched"),
                "Changes that watchers were told of",
                &metrics.dispatched,
            ),
            (
                "apiserver_terminated_watchers".into(),
                "Watches that were too slow and ended",
                &metrics.terminated,
            ),
            (
                "apiserver_storage_decode_errors".into(),
                "Stored objects that cannot be read",
                &metrics.undecodable,
            ),
            (
                "apiserver_cache_list_returned_objects".into(),
                "Objects that lists of the cache returned",
                &metrics.returned,
            ),
            ("apiserver_storage_list".into(), "Lists that were read from the store", &metrics.past_lists),
            (
                "apiserver_storage_list_fetched_objects".into(),
                "Objects that lists read from the store",
                &metrics.past_fetched,
            ),
            (
                "apiserver_storage_list_evaluated_objects".into(),
                "Objects that lists of the store tested",
                &metrics.past_evaluated,
            ),
            (
                "apiserver_storage_list_returned_objects".into(),
                "Objects that lists of the store returned",
                &metrics.past_returned,
            ),
        ];
        for (name, help, counts) in counters {
            registry.register(name, help, counts.clone());
        }
        registry.register(
            "apiserver_cache_list",
            "Lists that were read from the cache",
            metrics.lists.clone(),
        );
        let help = "Objects that lists looked at in the cache";
        registry.register("apiserver_cache_list_fetched_objects", help, metrics.fetched.clone());
        let help = "Time that reads waited for the cache, in seconds";
        registry.register("apiserver_watch_cache_read_wait_seconds", help, metrics.waits.clone());
        let help = "Reads of the cache that saw all writes before them";
        registry.register("apiserver_watch_cache_consistent_read", help, metrics.consistent.clone());
        metrics
    }

    /// The metrics of one resource.
    pub fn of(&self, group: &str, resource: &str) -> Meter {
        let labels = Resource { group: group.into(), resource: resource.into() };
        Meter { all: self.clone(), counters: Arc::new(Counters::new(self, &labels)), labels }
    }
}

/// Frequently used counters, looked up once.
struct Counters {
    initializations: Counter,
    init_events: Counter,
    received: Counter,
    dispatched: Counter,
}

impl Counters {
    fn new(all: &CacheMetrics, labels: &Resource) -> Counters {
        Counters {
            initializations: all.initializations.get_or_create_owned(labels),
            init_events: all.init_events.get_or_create_owned(labels),
            received: all.received.get_or_create_owned(labels),
            dispatched: all.dispatched.get_or_create_owned(labels),
        }
    }
}

/// The metrics of one collection. Clones share them.
#[derive(Clone)]
pub struct Meter {
    all: CacheMetrics,
    labels: Resource,
    counters: Arc<Counters>,
}

impl Default for Meter {
    fn default() -> Meter {
        CacheMetrics::default().of("", "")
    }
}

impl Meter {
    /// The collection was filled with this many objects.
    pub(super) fn loaded(&self, objects: usize) {
        self.counters.initializations.inc();
        self.counters.init_events.inc_by(objects as u64);
    }

    /// This many changes came from the store.
    pub(super) fn received(&self, changes: usize) {
        self.counters.received.inc_by(changes as u64);
    }

    /// A change is visible to watchers.
    pub(super) fn dispatched(&self) {
        self.counters.dispatched.inc();
    }

    /// A watcher was too slow.
    pub(super) fn terminated(&self) {
        self.all.terminated.get_or_create(&self.labels).inc();
    }

    /// A stored object cannot be read.
    pub(super) fn undecodable(&self) {
        self.all.undecodable.get_or_create(&self.labels).inc();
    }

    /// A read has waited for the cache.
    pub(crate) fn waited(&self, time: Duration) {
        self.all.waits.get_or_create(&self.labels).observe(time.as_secs_f64());
    }

    /// A read was to see all earlier writes.
    pub(crate) fn consistent(&self, is_success: bool) {
        let Resource { group, resource } = self.labels.clone();
        let success = if is_success { "true" } else { "false" };
        self.all.consistent.get_or_create(&Consistent { group, resource, success, fallback: "false" }).inc();
    }

    /// A list was served from the cache.
    pub(crate) fn listed(&self, fetched: usize, returned: usize) {
        let Resource { group, resource } = self.labels.clone();
        let labels = Indexed { group, resource, index: "" };
        self.all.lists.get_or_create(&labels).inc();
        self.all.fetched.get_or_create(&labels).inc_by(fetched as u64);
        self.all.returned.get_or_create(&self.labels).inc_by(returned as u64);
    }

    /// A list was served from the store's history.
    pub(crate) fn listed_past(&self, fetched: usize, returned: usize) {
        self.all.past_lists.get_or_create(&self.labels).inc();
        self.all.past_fetched.get_or_create(&self.labels).inc_by(fetched as u64);
        self.all.past_evaluated.get_or_create(&self.labels).inc_by(fetched as u64);
        self.all.past_returned.get_or_create(&self.labels).inc_by(returned as u64);
    }
}
