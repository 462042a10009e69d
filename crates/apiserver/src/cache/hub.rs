//! The hub: feeds the collections from the store's watch.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use parking_lot::{Mutex, RwLock};
use store::{Event, KeyValue, RangeRequest, Revision, Store, StoreError, WatchBatch, WatchRequest};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{error, warn};

use super::{CacheError, CacheMetrics, Collection, Snapshot};

/// Where all objects are in the store.
const ROOT: &str = "/registry/";
/// How many objects are read from the store at once.
const PAGE_OBJECTS: usize = 500;
/// How often reading everything is restarted.
const RESTARTS_MAX: usize = 5;
/// How long a read waits for the cache to catch up with the store.
const FRESH_WITHIN: Duration = Duration::from_secs(3);

/// Feeds every collection from one watch of the store.
pub struct Hub {
    store: Arc<dyn Store>,
    /// The collections that are fed, by prefix. While one collection replaces another, both are fed.
    feeds: RwLock<HashMap<String, Vec<Feed>>>,
    /// Locked while collections are read from the store, so that none is read twice at the same time.
    loading: tokio::sync::Mutex<()>,
    /// Up to which revision the collections have everything.
    progress: watch::Sender<u64>,
    /// Since when everything is being read again, because the store's watch broke.
    warming: Mutex<Option<Instant>>,
    metrics: CacheMetrics,
}

/// A collection that is fed by the store's watch.
struct Feed {
    collection: Arc<Collection>,
    /// The changes that wait while the collection is being read from the store.
    waiting: Option<Mutex<Vec<Event>>>,
}

impl Feed {
    /// Takes the changes of one revision.
    fn take(&self, events: &[&Event]) {
        match &self.waiting {
            None => self.collection.apply(events),
            Some(waiting) => waiting.lock().extend(events.iter().copied().cloned()),
        }
    }
}

/// A collection that is removed unless it is kept: the waiting call may be cancelled in the meantime.
struct Provisional<'a> {
    hub: &'a Hub,
    collection: Arc<Collection>,
    is_kept: bool,
}

impl Drop for Provisional<'_> {
    fn drop(&mut self) {
        if !self.is_kept {
            self.hub.remove(&self.collection);
        }
    }
}

impl Hub {
    /// A hub over a store, with no collections yet.
    pub fn new(store: Arc<dyn Store>) -> Hub {
        Hub::measured(store, CacheMetrics::default())
    }

    /// The same, with metrics that somebody sees.
    pub fn measured(store: Arc<dyn Store>, metrics: CacheMetrics) -> Hub {
        Hub {
            store,
            metrics,
            feeds: RwLock::default(),
            loading: tokio::sync::Mutex::default(),
            progress: watch::Sender::new(0),
            warming: Mutex::default(),
        }
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// What is measured of the collections.
    pub fn metrics(&self) -> &CacheMetrics {
        &self.metrics
    }

    /// Up to which revision the collections have everything.
    pub fn revision(&self) -> u64 {
        *self.progress.borrow()
    }

    /// Whether the cache follows the store. While it does not, reads that would wait for it are refused, so that they do
    /// not pile up (KEP-4568).
    ///
    /// # Errors
    /// [`CacheError::Warming`]
    pub fn check_warm(&self) -> Result<(), CacheError> {
        match *self.warming.lock() {
            None => Ok(()),
            Some(since) => Err(CacheError::Warming { since: since.elapsed() }),
        }
    }

    /// All objects of a collection that are currently in the cache, at the revision that the cache has reached.
    pub fn snapshot(&self, collection: &Collection) -> Snapshot {
        // The argument is read first, so that no object is older than it.
        collection.snapshot(self.revision())
    }

    /// Adds a collection before [`Hub::start`], which reads it.
    pub fn add(&self, collection: Arc<Collection>) {
        self.feed(Feed { collection, waiting: None });
    }

    fn feed(&self, feed: Feed) {
        self.feeds.write().entry(feed.collection.prefix().to_owned()).or_default().push(feed);
    }

    /// Adds a collection while the hub runs: reads it from the store, and adds it to the store's watch without losing
    /// or duplicating a change. Changes that arrive during the read are buffered; those that the read already included
    /// are skipped.
    ///
    /// # Errors
    /// The store's errors; the collection is then not added.
    pub async fn join(&self, collection: Arc<Collection>) -> Result<(), CacheError> {
        let mut joining = Provisional { hub: self, collection: Arc::clone(&collection), is_kept: false };
        {
            let _loading = self.loading.lock().await;
            // From here on no change is lost, and the read below is newer than all earlier changes.
            self.feed(Feed { collection: Arc::clone(&collection), waiting: Some(Mutex::default()) });
            self.read_into(&collection).await?;
        }
        // No list may be older than the revision at which the collection was read.
        self.catch_up().await?;
        joining.is_kept = true;
        Ok(())
    }

    async fn read_into(&self, collection: &Arc<Collection>) -> Result<(), CacheError> {
        let (kvs, revision) = self.read_all(collection.prefix()).await?;
        collection.load(&kvs, revision.0);
        let mut feeds = self.feeds.write();
        let all = feeds.get_mut(collection.prefix()).into_iter().flatten();
        let waiting =
            all.filter(|feed| Arc::ptr_eq(&feed.collection, collection)).find_map(|f| f.waiting.take());
        let waiting = waiting.map(Mutex::into_inner).unwrap_or_default();
        for events in waiting.chunk_by(|one, next| one.revision() == next.revision()) {
            collection.apply(&events.iter().collect::<Vec<_>>());
        }
        Ok(())
    }

    /// Stops feeding a collection, and ends its watchers.
    pub fn remove(&self, collection: &Arc<Collection>) {
        let mut feeds = self.feeds.write();
        if let Some(of_prefix) = feeds.get_mut(collection.prefix()) {
            of_prefix.retain(|feed| !Arc::ptr_eq(&feed.collection, collection));
            if of_prefix.is_empty() {
                feeds.remove(collection.prefix());
            }
        }
        drop(feeds);
        collection.end();
    }

    /// Removes a collection when the watch has delivered everything that was written until now.
    pub async fn remove_caught_up(&self, collection: Arc<Collection>) {
        let _removed = Provisional { hub: self, collection, is_kept: false };
        if let Err(error) = self.catch_up().await {
            warn!(error = &error as &dyn std::error::Error, "watches end before their last changes");
        }
    }

    /// Loads everything, then follows the store in a separate task until the store is closed.
    ///
    /// # Errors
    /// Errors of the first read.
    pub async fn start(self: &Arc<Self>) -> Result<(), CacheError> {
        let revision = self.load().await?;
        let hub = Arc::clone(self);
        tokio::spawn(async move {
            let mut revision = revision;
            loop {
                match hub.follow(&mut revision).await {
                    Err(CacheError::Store(StoreError::Closed)) => return,
                    Err(error) => {
                        warn!(
                            error = &error as &dyn std::error::Error,
                            "the watch of the store failed; reading everything again"
                        );
                    }
                    Ok(()) => {}
                }
                hub.warming.lock().get_or_insert_with(Instant::now);
                match hub.load().await {
                    Ok(loaded) => {
                        revision = loaded;
                        *hub.warming.lock() = None;
                    }
                    Err(CacheError::Store(StoreError::Closed)) => return,
                    Err(error) => {
                        error!(error = &error as &dyn std::error::Error, "cannot read the store");
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                }
            }
        });
        Ok(())
    }

    /// Drops everything older than `revision`, as the store did: changes that no watch can resume from any more, and
    /// snapshots of lists that are not continued.
    pub fn forget_before(&self, revision: Revision) {
        for collection in self.all() {
            collection.forget_before(revision.0);
        }
    }

    async fn load(&self) -> Result<Revision, CacheError> {
        let _loading = self.loading.lock().await;
        let (kvs, revision) = self.read_all(ROOT).await?;
        let mut by_prefix: HashMap<String, Vec<_>> = HashMap::new();
        for kv in kvs {
            let feeds = self.feeds.read();
            if let Some((prefix, _)) = feeds_of(&kv.key, &feeds) {
                by_prefix.entry(prefix.to_owned()).or_default().push(kv);
            }
        }
        for collection in self.all() {
            let kvs = by_prefix.get(collection.prefix()).map(Vec::as_slice).unwrap_or_default();
            collection.load(kvs, revision.0);
        }
        self.progress.send_replace(revision.0);
        Ok(revision)
    }

    /// Everything below a prefix at one revision, read page by page. If that revision is compacted in the meantime,
    /// reading starts again.
    async fn read_all(&self, prefix: &str) -> Result<(Vec<Arc<KeyValue>>, Revision), StoreError> {
        let first = RangeRequest::prefix(prefix.to_owned()).limit(PAGE_OBJECTS);
        let (mut request, mut kvs, mut restarts) = (first.clone(), Vec::new(), 0);
        loop {
            let page = match self.store.range(request).await {
                Err(StoreError::Compacted { .. }) if restarts < RESTARTS_MAX => {
                    (request, restarts) = (first.clone(), restarts + 1);
                    kvs.clear();
                    continue;
                }
                page => page?,
            };
            kvs.extend(page.kvs);
            let Some(last) = kvs.last().filter(|_| page.more) else { return Ok((kvs, page.revision)) };
            request = first.clone().at(page.revision).after(last.key.clone());
        }
    }

    async fn follow(&self, revision: &mut Revision) -> Result<(), CacheError> {
        let request = WatchRequest::prefix(ROOT).from(*revision).progress();
        let mut batches = self.store.watch(request).await?;
        while let Some(batch) = batches.next().await {
            let WatchBatch { events, revision: reached } = batch?;
            for events in events.chunk_by(|one, next| one.revision() == next.revision()) {
                self.apply(events);
            }
            *revision = reached;
            self.progress.send_replace(reached.0);
        }
        Ok(())
    }

    /// Passes the changes of one revision to their collections, all changes of a collection at once.
    fn apply(&self, events: &[Event]) {
        let feeds = self.feeds.read();
        let mut rest: Vec<(&Feed, &Event)> = Vec::with_capacity(events.len());
        for event in events {
            let (_, fed) = feeds_of(event.key(), &feeds).unwrap_or_default();
            rest.extend(fed.iter().map(|feed| (feed, event)));
        }
        while let Some((feed, _)) = rest.first().copied() {
            let (own, others): (Vec<_>, Vec<_>) =
                rest.into_iter().partition(|(other, _)| std::ptr::eq(*other, feed));
            rest = others;
            let own: Vec<&Event> = own.into_iter().map(|(_, event)| event).collect();
            feed.take(&own);
        }
    }

    fn all(&self) -> Vec<Arc<Collection>> {
        self.feeds.read().values().flatten().map(|feed| Arc::clone(&feed.collection)).collect()
    }

    /// Waits until the cache has everything that the store had when this was called; a read after it sees
    /// every write that was acknowledged before.
    ///
    /// # Errors
    /// The store's errors; [`CacheError::TooNew`] if the cache does not catch up in time.
    pub async fn catch_up(&self) -> Result<u64, CacheError> {
        let current = self.store.current_revision().await?;
        if self.revision() < current.0 {
            self.store.request_progress().await?;
        }
        self.wait_for(current.0).await
    }

    /// Waits until the cache has reached a revision.
    ///
    /// # Errors
    /// [`CacheError::TooNew`] if it does not get there within 3 s.
    pub async fn wait_for(&self, revision: u64) -> Result<u64, CacheError> {
        let mut progress = self.progress.subscribe();
        let reached = progress.wait_for(|reached| *reached >= revision);
        match tokio::time::timeout(FRESH_WITHIN, reached).await {
            Ok(Ok(reached)) => Ok(*reached),
            _ => Err(CacheError::TooNew { requested: revision, current: self.revision() }),
        }
    }
}

/// The prefix that ends at one of the key's first slashes, and the collections that it feeds.
fn feeds_of<'k, 'f>(key: &'k [u8], feeds: &'f HashMap<String, Vec<Feed>>) -> Option<(&'k str, &'f [Feed])> {
    let key = std::str::from_utf8(key).ok()?;
    let ends = key[ROOT.len().min(key.len())..].match_indices('/').map(|(at, _)| ROOT.len() + at + 1);
    // The longest prefix wins, so that `/registry/services/specs/` is found before `/registry/services/`.
    ends.take(3).filter_map(|end| Some((&key[..end], feeds.get(&key[..end])?.as_slice()))).last()
}
