//! A store that behaves like etcd where the embedded engine offers more: for tests of code that uses a store.
//!
//! Keys of one transaction change at one revision, and so do those of an expiring lease; events contain the previous
//! version only for watches that ask for it; every answer is a separate copy; an answer that is too large is refused.
//! The implementation is as simple as possible: this is a reference, not a store for production.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream};
use imbl::OrdMap;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::{
    Event, Expect, KeyValue, LeaseId, RangeContent, RangeRequest, RangeResponse, Revision, Store, StoreError,
    Text, WatchBatch, WatchRequest, WatchStream, Write, WriteOp, WriteOutcome,
};

/// The largest answer of a range, in bytes; etcd's clients take 2 GiB by default, proxies and older ones 4 MiB.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// Events in one batch of a watch, except where one revision has more.
const BATCH_EVENTS: usize = 100;

type Keys = OrdMap<Bytes, KeyValue>;

struct Lease {
    ttl: Duration,
    ends: Instant,
}

struct State {
    revision: Revision,
    compacted: Revision,
    /// The keyspace at every revision since the start.
    past: BTreeMap<Revision, Keys>,
    /// All events with their previous versions, by revision.
    events: Vec<Event>,
    leases: BTreeMap<LeaseId, Lease>,
    leases_made: i64,
}

/// See the module. Clones share it.
#[derive(Clone)]
pub struct EtcdLike {
    state: Arc<Mutex<State>>,
    /// Counts up with every write and every request for progress.
    changed: watch::Sender<u64>,
}

impl State {
    fn now(&self) -> &Keys {
        &self.past[&self.revision]
    }

    fn check(&self, revision: Revision) -> Result<(), StoreError> {
        if revision < self.compacted {
            return Err(StoreError::Compacted { requested: revision, oldest: self.compacted });
        }
        if revision > self.revision {
            return Err(StoreError::FutureRevision { requested: revision, current: self.revision });
        }
        Ok(())
    }

    /// The effect of a write at `revision`, if any; `Err` with the current version if its precondition fails.
    fn change(&self, write: &Write, revision: Revision) -> Result<Option<Event>, Option<KeyValue>> {
        let current = self.now().get(&write.key).cloned();
        let holds = match write.expect {
            Expect::Any => true,
            Expect::Absent => current.is_none(),
            Expect::ModRevision(expected) => current.as_ref().is_some_and(|kv| kv.mod_revision == expected),
        };
        if !holds {
            return Err(current);
        }
        Ok(match (&write.op, current) {
            (WriteOp::Put(value), current) => {
                let kv = KeyValue {
                    key: copy(&write.key),
                    value: copy_text(value),
                    create_revision: current.as_ref().map_or(revision, |kv| kv.create_revision),
                    mod_revision: revision,
                    version: current.as_ref().map_or(1, |kv| kv.version + 1),
                    lease: write.lease,
                };
                Some(Event::Put { kv: Arc::new(kv), prev: current.map(Arc::new) })
            }
            (WriteOp::Delete, Some(current)) => {
                let key = copy(&write.key);
                Some(Event::Delete { key, revision, prev: Some(Arc::new(current)) })
            }
            (WriteOp::Delete, None) => None,
        })
    }

    /// Makes all events happen at their one revision.
    fn commit(&mut self, events: Vec<Event>) {
        let Some(first) = events.first() else { return };
        let revision = first.revision();
        let mut keys = self.now().clone();
        for event in &events {
            match event {
                Event::Put { kv, .. } => keys.insert(kv.key.clone(), KeyValue::clone(kv)),
                Event::Delete { key, .. } => keys.remove(key),
            };
        }
        self.past.insert(revision, keys);
        self.events.extend(events);
        self.revision = revision;
    }

    fn end_lease(&mut self, lease: LeaseId) -> Result<(), StoreError> {
        self.leases.remove(&lease).ok_or(StoreError::LeaseNotFound(lease))?;
        let revision = self.revision.next();
        let attached = self.now().values().filter(|kv| kv.lease == Some(lease));
        let deletion =
            |kv: &KeyValue| Event::Delete { key: copy(&kv.key), revision, prev: Some(Arc::new(kv.clone())) };
        let events: Vec<_> = attached.map(deletion).collect();
        self.commit(events);
        Ok(())
    }

    fn range(&self, request: &RangeRequest) -> Result<RangeResponse, StoreError> {
        let revision = request.revision.unwrap_or(self.revision);
        self.check(revision)?;
        let after = |kv: &&KeyValue| request.after.as_ref().is_none_or(|after| kv.key > after);
        let all = self.past[&revision].values().filter(|kv| request.range.contains(&kv.key));
        let all: Vec<&KeyValue> = all.filter(after).collect();
        let limit = match request.content {
            RangeContent::CountOnly => 0,
            _ => request.limit.map_or(usize::MAX, usize::from),
        };
        let mut kvs: Vec<_> = all.iter().take(limit).map(|kv| answer(kv, request.content)).collect();
        let mut bytes = 0;
        let fit = kvs.iter().take_while(|kv| {
            bytes += kv.key.len() + kv.value.len();
            bytes <= ANSWER_BYTES_MAX
        });
        let fit = fit.count().max(1);
        if fit < kvs.len() {
            if request.limit.is_none() {
                return Err(StoreError::Backend("the answer is too large".into()));
            }
            kvs.truncate(fit);
        }
        let wants_count = request.counted || request.content == RangeContent::CountOnly;
        Ok(RangeResponse {
            more: request.content != RangeContent::CountOnly && kvs.len() < all.len(),
            count: wants_count.then_some(all.len()),
            kvs,
            revision,
        })
    }

    /// The next batch of a watch that has delivered everything up to `last`; `None` if nothing concerns it.
    fn batch(&self, request: &WatchRequest, last: Revision) -> Option<WatchBatch> {
        let start = self.events.partition_point(|event| event.revision() <= last);
        let mut events = Vec::new();
        for event in self.events[start..].iter().filter(|event| request.range.contains(event.key())) {
            let is_full = events.len() >= BATCH_EVENTS;
            if is_full && events.last().is_some_and(|last: &Event| last.revision() < event.revision()) {
                break;
            }
            events.push(copy_event(event, request.previous));
        }
        let revision = events.last()?.revision();
        Some(WatchBatch { events, revision })
    }
}

/// Returned values never share memory with the stored ones.
fn copy(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

fn copy_text(text: &Text) -> Text {
    text.to_bytes().into()
}

fn copy_kv(kv: &KeyValue) -> Arc<KeyValue> {
    Arc::new(KeyValue { key: copy(&kv.key), value: copy_text(&kv.value), ..kv.clone() })
}

fn answer(kv: &KeyValue, content: RangeContent) -> Arc<KeyValue> {
    match content {
        RangeContent::KeysOnly => {
            Arc::new(KeyValue { key: copy(&kv.key), value: Text::default(), ..kv.clone() })
        }
        _ => copy_kv(kv),
    }
}

fn copy_event(event: &Event, previous: bool) -> Event {
    let prev = event.prev().filter(|_| previous).map(|prev| copy_kv(prev));
    match event {
        Event::Put { kv, .. } => Event::Put { kv: copy_kv(kv), prev },
        Event::Delete { key, revision, .. } => Event::Delete { key: copy(key), revision: *revision, prev },
    }
}

impl EtcdLike {
    /// An empty store. Must be used on a tokio runtime, which runs the expiry of leases.
    pub fn new() -> EtcdLike {
        let state = State {
            revision: Revision::EMPTY,
            compacted: Revision::EMPTY,
            past: BTreeMap::from([(Revision::EMPTY, Keys::new())]),
            events: Vec::new(),
            leases: BTreeMap::new(),
            leases_made: 0,
        };
        EtcdLike { state: Arc::new(Mutex::new(state)), changed: watch::Sender::new(0) }
    }

    /// Writes several keys at one revision, or none if a precondition fails: as another program may do. Returns the
    /// revision.
    pub fn transact(&self, writes: &[Write]) -> Option<Revision> {
        let mut state = self.state.lock();
        let revision = state.revision.next();
        let keys: BTreeSet<_> = writes.iter().map(|write| &write.key).collect();
        assert_eq!(keys.len(), writes.len(), "a transaction changes each key once");
        let changes: Result<Vec<_>, _> = writes.iter().map(|write| state.change(write, revision)).collect();
        let events = changes.ok()?.into_iter().flatten().collect();
        state.commit(events);
        drop(state);
        self.announce();
        Some(revision)
    }

    fn announce(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    /// Expires a lease at its time, unless it is kept alive.
    async fn expire(self, lease: LeaseId) {
        loop {
            let Some(ends) = self.state.lock().leases.get(&lease).map(|lease| lease.ends) else { return };
            if ends > Instant::now() {
                tokio::time::sleep_until(ends).await;
                continue;
            }
            // It has not ended since.
            let _ = self.state.lock().end_lease(lease);
            return self.announce();
        }
    }
}

impl Default for EtcdLike {
    fn default() -> EtcdLike {
        EtcdLike::new()
    }
}

/// A watch.
struct Cursor {
    store: EtcdLike,
    request: WatchRequest,
    last: Revision,
    changed: watch::Receiver<u64>,
    /// Whether it was woken since its last batch without events.
    progress_due: bool,
}

impl Cursor {
    async fn next(&mut self) -> Result<WatchBatch, StoreError> {
        loop {
            let (batch, revision) = {
                let state = self.store.state.lock();
                let batch = state.batch(&self.request, self.last);
                let first = batch.as_ref().and_then(|batch| Some(batch.events.first()?.revision()));
                if let Some(first) = first.filter(|first| *first <= state.compacted) {
                    return Err(StoreError::Compacted { requested: first, oldest: state.compacted });
                }
                (batch, state.revision)
            };
            if let Some(batch) = batch {
                self.last = batch.revision;
                return Ok(batch);
            }
            self.last = revision;
            if std::mem::take(&mut self.progress_due) && self.request.progress {
                return Ok(WatchBatch { events: Vec::new(), revision });
            }
            if self.changed.changed().await.is_err() {
                return Err(StoreError::Closed);
            }
            self.progress_due = true;
        }
    }
}

#[async_trait]
impl Store for EtcdLike {
    async fn range(&self, request: RangeRequest) -> Result<RangeResponse, StoreError> {
        self.state.lock().range(&request)
    }

    async fn write(&self, write: Write) -> Result<WriteOutcome, StoreError> {
        let mut state = self.state.lock();
        let revision = state.revision.next();
        if let Some(lease) = write.lease.filter(|lease| !state.leases.contains_key(lease)) {
            return Err(StoreError::LeaseNotFound(lease));
        }
        let event = match state.change(&write, revision) {
            Ok(Some(event)) => event,
            Ok(None) => {
                return Ok(WriteOutcome::Committed { revision: state.revision, previous: None });
            }
            Err(current) => {
                let current = current.as_ref().map(copy_kv);
                return Ok(WriteOutcome::Conflict { current, revision: state.revision });
            }
        };
        let previous = event.prev().map(|prev| copy_kv(prev));
        state.commit(vec![event]);
        drop(state);
        self.announce();
        Ok(WriteOutcome::Committed { revision, previous })
    }

    async fn watch(&self, request: WatchRequest) -> Result<WatchStream, StoreError> {
        let state = self.state.lock();
        let last = request.from.unwrap_or(state.revision);
        state.check(last)?;
        let changed = self.changed.subscribe();
        drop(state);
        let cursor = Cursor { store: self.clone(), request, last, changed, progress_due: false };
        let batches = stream::unfold(Some(cursor), |cursor| async {
            let mut cursor = cursor?;
            match cursor.next().await {
                Ok(batch) => Some((Ok(batch), Some(cursor))),
                Err(error) => Some((Err(error), None)),
            }
        });
        Ok(batches.boxed())
    }

    async fn request_progress(&self) -> Result<(), StoreError> {
        self.announce();
        Ok(())
    }

    async fn current_revision(&self) -> Result<Revision, StoreError> {
        Ok(self.state.lock().revision)
    }

    async fn compact(&self, revision: Revision) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        if revision <= state.compacted {
            return Err(StoreError::Compacted { requested: revision, oldest: state.compacted });
        }
        state.check(revision)?;
        state.compacted = revision;
        Ok(())
    }

    async fn grant_lease(&self, ttl: Duration) -> Result<LeaseId, StoreError> {
        let mut state = self.state.lock();
        state.leases_made += 1;
        let lease = LeaseId(state.leases_made);
        state.leases.insert(lease, Lease { ttl, ends: Instant::now() + ttl });
        drop(state);
        tokio::spawn(self.clone().expire(lease));
        Ok(lease)
    }

    async fn keep_lease_alive(&self, lease: LeaseId) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        let known = state.leases.get_mut(&lease).ok_or(StoreError::LeaseNotFound(lease))?;
        known.ends = Instant::now() + known.ttl;
        Ok(())
    }

    async fn revoke_lease(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.state.lock().end_lease(lease)?;
        self.announce();
        Ok(())
    }

    async fn backup(&self, _path: &Path) -> Result<(), StoreError> {
        Err(StoreError::Backup("this store is for tests and has no backups".into()))
    }
}
