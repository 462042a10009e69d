//! Metrics of the store, whichever it is, under upstream's names (`storage/etcd3/metrics`).

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use metrics::{Counter, EncodeLabelSet, Family, Histogram, Histograms, Register, Registry};
use parking_lot::RwLock;
use store::{
    Expect, KeyRange, LeaseId, RangeContent, RangeRequest, RangeResponse, Revision, Store, StoreError,
    WatchRequest, WatchStream, Write, WriteOp, WriteOutcome,
};
use tokio::time::Instant;

use crate::catalogue::storage_of;

/// The prefix of all objects.
const ROOT: &str = "/registry/";
/// Upstream's buckets of a request's duration, in seconds.
const DURATIONS: [f64; 23] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0,
    20.0, 30.0, 45.0, 60.0,
];

/// The operations of the store.
#[derive(Clone, Copy)]
enum Operation {
    Get,
    List,
    Count,
    Create,
    Update,
    Delete,
}

/// The names of [`Operation`]s, in their order.
const OPERATIONS: [&str; 6] = ["get", "list", "count", "create", "update", "delete"];

impl Operation {
    fn of_range(request: &RangeRequest) -> Operation {
        match (&request.range, request.content) {
            (_, RangeContent::CountOnly) => Operation::Count,
            (KeyRange::Exact(_), _) => Operation::Get,
            (KeyRange::Prefix(_), _) => Operation::List,
        }
    }

    fn of_write(write: &Write) -> Operation {
        match (&write.op, write.expect) {
            (WriteOp::Delete, _) => Operation::Delete,
            (WriteOp::Put(_), Expect::Absent) => Operation::Create,
            (WriteOp::Put(_), _) => Operation::Update,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Resource {
    group: String,
    resource: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Asked {
    operation: &'static str,
    group: String,
    resource: String,
}

/// The metrics of a store.
pub(crate) struct StoreMetrics {
    durations: Histograms<Asked>,
    requests: Family<Asked, Counter>,
    errors: Family<Asked, Counter>,
    events: Family<Resource, Counter>,
}

impl StoreMetrics {
    /// Metrics that are registered there.
    pub(crate) fn register(registry: &mut Registry) -> StoreMetrics {
        let help = "Time that requests to the store took, in seconds";
        let name = "etcd_request_duration_seconds";
        StoreMetrics {
            durations: registry.add_histograms(name, help, || Histogram::new(DURATIONS)),
            requests: registry.add("etcd_requests", "Requests to the store"),
            errors: registry.add("etcd_request_errors", "Requests that the store failed"),
            events: registry.add("apiserver_storage_events_received", "Changes that the store told of"),
        }
    }
}

/// The metrics of one operation on one resource.
struct OperationMeter {
    duration: Histogram,
    requests: Counter,
    errors: Counter,
}

/// The metrics of one resource.
struct ResourceMeter {
    resource: Resource,
    events: Counter,
    operations: [OnceLock<OperationMeter>; OPERATIONS.len()],
    /// The resource is not served any more.
    is_gone: AtomicBool,
}

impl ResourceMeter {
    fn of(&self, operation: Operation, metrics: &StoreMetrics) -> &OperationMeter {
        let index = operation as usize;
        self.operations[index].get_or_init(|| {
            let Resource { group, resource } = self.resource.clone();
            let asked = Asked { operation: OPERATIONS[index], group, resource };
            let is_served = || !self.is_gone.load(Ordering::SeqCst);
            OperationMeter {
                duration: metrics.durations.get_while(&asked, is_served),
                requests: metrics.requests.get_while(&asked, is_served),
                errors: metrics.errors.get_while(&asked, is_served),
            }
        })
    }
}

/// Meters by the prefix of their resources' keys. Keys come from the registry, which has looked a resource up before it
/// makes one.
struct Meters {
    metrics: StoreMetrics,
    /// Group and resource of the built-in resources, by the path below [`ROOT`].
    built_in: HashMap<&'static str, (&'static str, &'static str)>,
    known: RwLock<HashMap<Box<[u8]>, Arc<ResourceMeter>>>,
    /// Whether a custom resource is served. Nothing is shown of others: of those that are gone, objects may remain.
    is_served: OnceLock<IsServed>,
}

/// Whether a custom resource is served, by its group and plural name.
pub(crate) type IsServed = Box<dyn Fn(&str, &str) -> bool + Send + Sync>;

impl Meters {
    fn of(&self, key: &[u8]) -> Arc<ResourceMeter> {
        let place = place(key);
        if let Some(known) = self.known.read().get(place) {
            return Arc::clone(known);
        }
        let path = String::from_utf8_lossy(place);
        let (group, resource) = match self.built_in.get(&*path) {
            Some((group, resource)) => ((*group).to_owned(), (*resource).to_owned()),
            // A custom resource's, or the server's own records.
            None => path.split_once('/').map_or_else(
                || (String::new(), path.clone().into_owned()),
                |(group, resource)| (group.to_owned(), resource.to_owned()),
            ),
        };
        let resource = Resource { group, resource };
        let is_custom = resource.group.contains('.') && !self.built_in.contains_key(&*path);
        let mut known = self.known.write();
        let is_served = !is_custom
            || self.is_served.get().is_none_or(|is_served| is_served(&resource.group, &resource.resource));
        let meter = Arc::new(ResourceMeter {
            events: self.metrics.events.get_while(&resource, || is_served),
            resource,
            operations: Default::default(),
            is_gone: AtomicBool::new(!is_served),
        });
        if !is_served {
            return meter;
        }
        Arc::clone(known.entry(place.into()).or_insert(meter))
    }

    /// The resource is not served any more: its metrics disappear.
    fn forget(&self, group: &str, resource: &str) {
        let is_it = |found: &Resource| found.group == group && found.resource == resource;
        let is_asked = |asked: &Asked| asked.group == group && asked.resource == resource;
        self.known.write().retain(|_, meter| {
            let is_gone = is_it(&meter.resource);
            meter.is_gone.fetch_or(is_gone, Ordering::SeqCst);
            !is_gone
        });
        self.metrics.events.retain(|found| !is_it(found));
        self.metrics.durations.retain(|asked| !is_asked(asked));
        self.metrics.requests.retain(|asked| !is_asked(asked));
        self.metrics.errors.retain(|asked| !is_asked(asked));
    }
}

/// What is measured of the resources in a store, for those who know which are served.
#[derive(Clone)]
pub(crate) struct StoredResources(Arc<Meters>);

impl StoredResources {
    /// From now on, custom resources are measured if this says that they are served.
    pub(crate) fn ask(&self, is_served: IsServed) {
        // It is set once, when the server starts.
        let _ = self.0.is_served.set(is_served);
    }

    /// A custom resource is not served any more: its metrics disappear.
    pub(crate) fn forget(&self, group: &str, resource: &str) {
        self.0.forget(group, resource);
    }
}

/// The path of a key's resource below [`ROOT`]: one part, or two where the first is a group or has several below it.
fn place(key: &[u8]) -> &[u8] {
    let path = key.strip_prefix(ROOT.as_bytes()).unwrap_or(key);
    let end_from = |start: usize| path[start..].iter().position(|byte| *byte == b'/').map(|at| start + at);
    let Some(first) = end_from(0) else { return path };
    if &path[..first] == b"services" || path[..first].contains(&b'.') {
        return &path[..end_from(first + 1).unwrap_or(path.len())];
    }
    &path[..first]
}

/// A store with metrics.
pub(crate) struct MeasuredStore {
    store: Arc<dyn Store>,
    meters: Arc<Meters>,
}

impl MeasuredStore {
    /// This store, with its metrics.
    pub(crate) fn new(store: Arc<dyn Store>, metrics: StoreMetrics) -> MeasuredStore {
        let stored = schema::resources().iter().filter_map(storage_of);
        let built_in = stored.map(|storage| (storage.path, (storage.group, storage.plural))).collect();
        let (known, is_served) = Default::default();
        MeasuredStore { store, meters: Arc::new(Meters { metrics, built_in, known, is_served }) }
    }

    /// What is measured of the resources in it.
    pub(crate) fn resources(&self) -> StoredResources {
        StoredResources(Arc::clone(&self.meters))
    }

    fn note<T>(&self, key: &[u8], operation: Operation, since: Instant, outcome: &Result<T, StoreError>) {
        let meter = self.meters.of(key);
        let meter = meter.of(operation, &self.meters.metrics);
        meter.duration.observe(since.elapsed().as_secs_f64());
        meter.requests.inc();
        if outcome.is_err() {
            meter.errors.inc();
        }
    }
}

#[async_trait]
impl Store for MeasuredStore {
    async fn range(&self, request: RangeRequest) -> Result<RangeResponse, StoreError> {
        let (since, operation) = (Instant::now(), Operation::of_range(&request));
        let (KeyRange::Exact(key) | KeyRange::Prefix(key)) = request.range.clone();
        let found = self.store.range(request).await;
        self.note(&key, operation, since, &found);
        found
    }

    async fn write(&self, write: Write) -> Result<WriteOutcome, StoreError> {
        let (since, operation, key) = (Instant::now(), Operation::of_write(&write), write.key.clone());
        let written = self.store.write(write).await;
        self.note(&key, operation, since, &written);
        written
    }

    async fn watch(&self, request: WatchRequest) -> Result<WatchStream, StoreError> {
        let meters = Arc::clone(&self.meters);
        let counted = self.store.watch(request).await?.inspect(move |batch| {
            let events = batch.iter().flat_map(|batch| &batch.events);
            events.for_each(|event| {
                meters.of(event.key()).events.inc();
            });
        });
        Ok(counted.boxed())
    }

    async fn request_progress(&self) -> Result<(), StoreError> {
        self.store.request_progress().await
    }

    async fn current_revision(&self) -> Result<Revision, StoreError> {
        self.store.current_revision().await
    }

    async fn compact(&self, revision: Revision) -> Result<(), StoreError> {
        self.store.compact(revision).await
    }

    async fn grant_lease(&self, ttl: Duration) -> Result<LeaseId, StoreError> {
        self.store.grant_lease(ttl).await
    }

    async fn keep_lease_alive(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.store.keep_lease_alive(lease).await
    }

    async fn revoke_lease(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.store.revoke_lease(lease).await
    }

    fn is_full(&self) -> bool {
        self.store.is_full()
    }

    fn size_bytes(&self) -> Option<u64> {
        self.store.size_bytes()
    }

    async fn backup(&self, path: &Path) -> Result<(), StoreError> {
        self.store.backup(path).await
    }
}

#[cfg(test)]
mod tests {
    use clock::Clock;
    use metrics::Exposition;
    use store::Embedded;

    use super::*;

    #[test]
    fn keys_name_their_resource() {
        for (key, expected) in [
            ("/registry/pods/default/web", "pods"),
            ("/registry/pods/", "pods"),
            ("/registry/services/specs/default/web", "services/specs"),
            ("/registry/services/endpoints/", "services/endpoints"),
            ("/registry/example.com/widgets/default/a", "example.com/widgets"),
            ("/registry/", ""),
            ("other", "other"),
        ] {
            assert_eq!(place(key.as_bytes()), expected.as_bytes(), "{key}");
        }
    }

    #[tokio::test]
    async fn requests_are_counted_by_operation_and_resource() {
        let exposition = Exposition::default();
        let metrics = exposition.with(StoreMetrics::register);
        let store = MeasuredStore::new(Arc::new(Embedded::in_memory(Clock::system())), metrics);
        let mut events = store.watch(WatchRequest::prefix("/registry/")).await.unwrap();
        let key = "/registry/services/specs/default/web";
        let write = |expect| store.write(Write::put(key, "{}", expect));
        write(Expect::Absent).await.unwrap();
        // A conflict is a result, not an error.
        write(Expect::Absent).await.unwrap();
        write(Expect::Any).await.unwrap();
        store.range(RangeRequest::exact(key)).await.unwrap();
        store.range(RangeRequest::prefix("/registry/example.com/widgets/")).await.unwrap();
        store.range(RangeRequest::prefix("/registry/minions/").at(Revision(99))).await.unwrap_err();
        store.write(Write::delete(key, Expect::Any)).await.unwrap();
        let mut seen = 0;
        while seen < 3 {
            seen += events.next().await.unwrap().unwrap().events.len();
        }
        let text = exposition.text();
        for sample in [
            "etcd_requests_total{operation=\"create\",group=\"\",resource=\"services\"} 2\n",
            "etcd_requests_total{operation=\"update\",group=\"\",resource=\"services\"} 1\n",
            "etcd_requests_total{operation=\"get\",group=\"\",resource=\"services\"} 1\n",
            "etcd_requests_total{operation=\"delete\",group=\"\",resource=\"services\"} 1\n",
            "etcd_requests_total{operation=\"list\",group=\"example.com\",resource=\"widgets\"} 1\n",
            "etcd_request_errors_total{operation=\"list\",group=\"\",resource=\"nodes\"} 1\n",
            "etcd_request_errors_total{operation=\"create\",group=\"\",resource=\"services\"} 0\n",
            "etcd_request_duration_seconds_count{operation=\"create\",group=\"\",resource=\"services\"} 2\n",
            "apiserver_storage_events_received_total{group=\"\",resource=\"services\"} 3\n",
        ] {
            assert!(text.contains(sample), "no {sample} in\n{text}");
        }
    }
}
