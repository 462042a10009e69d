//! Metrics of the collections, under upstream's names (`storage/cacher/metrics`, and those of lists in
//! `storage/etcd3/metrics`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use metrics::{Counter, EncodeLabelSet, Family, Histogram, Histograms, Register, Registry};

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
    /// Metrics that nobody sees.
    fn default() -> CacheMetrics {
        CacheMetrics::register(&mut Registry::default())
    }
}

impl CacheMetrics {
    /// Metrics that are registered there.
    pub fn register(registry: &mut Registry) -> CacheMetrics {
        let cache = registry.sub_registry_with_prefix("apiserver_watch_cache");
        let initializations = cache.add("initializations", "Times the cache was filled from the store");
        let received = cache.add("events_received", "Changes that came from the store");
        let dispatched = cache.add("events_dispatched", "Changes that watchers were told of");
        let help = "Time that reads waited for the cache, in seconds";
        let waits = cache.add_histograms("read_wait_seconds", help, || Histogram::new(WAITS));
        let help = "Reads of the cache that saw all writes before them";
        let consistent = cache.add("consistent_read", help);
        let apiserver = registry.sub_registry_with_prefix("apiserver");
        CacheMetrics {
            initializations,
            received,
            dispatched,
            waits,
            consistent,
            init_events: apiserver.add("init_events", "Objects that the cache was filled with"),
            terminated: apiserver.add("terminated_watchers", "Watches that were too slow and ended"),
            undecodable: apiserver.add("storage_decode_errors", "Stored objects that cannot be read"),
            lists: apiserver.add("cache_list", "Lists that were read from the cache"),
            fetched: apiserver.add("cache_list_fetched_objects", "Objects that lists looked at in the cache"),
            returned: apiserver
                .add("cache_list_returned_objects", "Objects that lists of the cache returned"),
            past_lists: apiserver.add("storage_list", "Lists that were read from the store"),
            past_fetched: apiserver
                .add("storage_list_fetched_objects", "Objects that lists read from the store"),
            past_evaluated: apiserver
                .add("storage_list_evaluated_objects", "Objects that lists of the store tested"),
            past_returned: apiserver
                .add("storage_list_returned_objects", "Objects that lists of the store returned"),
        }
    }

    /// The metrics of one resource.
    pub fn of(&self, group: &str, resource: &str) -> Meter {
        let labels = Resource { group: group.into(), resource: resource.into() };
        let counters = Arc::new(Counters::new(self, &labels));
        Meter { all: self.clone(), counters, labels, is_gone: Arc::default() }
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
    /// The resource is not served any more.
    is_gone: Arc<AtomicBool>,
}

impl Default for Meter {
    fn default() -> Meter {
        CacheMetrics::default().of("", "")
    }
}

impl Meter {
    /// Whether the resource is not served any more: nothing shall be shown of it.
    pub(crate) fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::SeqCst)
    }

    /// The resource is not served any more: its metrics disappear, and late reports are not shown.
    pub(crate) fn end(&self) {
        self.is_gone.store(true, Ordering::SeqCst);
        let Meter { all, labels, .. } = self;
        let counts = [
            &all.initializations,
            &all.init_events,
            &all.received,
            &all.dispatched,
            &all.terminated,
            &all.undecodable,
            &all.returned,
            &all.past_lists,
            &all.past_fetched,
            &all.past_evaluated,
            &all.past_returned,
        ];
        for counts in counts {
            counts.remove(labels);
        }
        all.waits.remove(labels);
        for success in [true, false] {
            all.consistent.remove(&self.consistency(success));
        }
        let indexed = self.indexed();
        all.lists.remove(&indexed);
        all.fetched.remove(&indexed);
    }

    fn count(&self, counts: &Counts) -> Counter {
        counts.get_while(&self.labels, || !self.is_gone())
    }

    fn indexed(&self) -> Indexed {
        let Resource { group, resource } = self.labels.clone();
        Indexed { group, resource, index: "" }
    }

    fn consistency(&self, is_success: bool) -> Consistent {
        let Resource { group, resource } = self.labels.clone();
        let success = if is_success { "true" } else { "false" };
        Consistent { group, resource, success, fallback: "false" }
    }

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
        self.count(&self.all.terminated).inc();
    }

    /// A stored object cannot be read.
    pub(super) fn undecodable(&self) {
        self.count(&self.all.undecodable).inc();
    }

    /// A read has waited for the cache.
    pub(crate) fn waited(&self, time: Duration) {
        self.all.waits.get_while(&self.labels, || !self.is_gone()).observe(time.as_secs_f64());
    }

    /// A read was to see all earlier writes.
    pub(crate) fn consistent(&self, is_success: bool) {
        self.all.consistent.get_while(&self.consistency(is_success), || !self.is_gone()).inc();
    }

    /// A list was served from the cache.
    pub(crate) fn listed(&self, fetched: usize, returned: usize) {
        let labels = self.indexed();
        self.all.lists.get_while(&labels, || !self.is_gone()).inc();
        self.all.fetched.get_while(&labels, || !self.is_gone()).inc_by(fetched as u64);
        self.count(&self.all.returned).inc_by(returned as u64);
    }

    /// A list was served from the store's history.
    pub(crate) fn listed_past(&self, fetched: usize, returned: usize) {
        self.count(&self.all.past_lists).inc();
        self.count(&self.all.past_fetched).inc_by(fetched as u64);
        self.count(&self.all.past_evaluated).inc_by(fetched as u64);
        self.count(&self.all.past_returned).inc_by(returned as u64);
    }
}
