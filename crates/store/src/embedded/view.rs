//! A point-in-time view of the whole store: keyspace, leases and the kept history.
//!
//! Everything in it is a persistent (structure-sharing) collection, so that a clone costs nothing and a
//! published view never changes under its readers. A past revision is read by taking the next later
//! checkpoint of the keyspace and undoing the events in between.

use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use imbl::{OrdMap, OrdSet, Vector};
use texts::Text;

use crate::{
    Event, KeyRange, KeyValue, LeaseId, RangeContent, RangeRequest, RangeResponse, Revision, StoreError,
};

/// Events between two checkpoints: the maximum number undone by one read of the past.
const CHECKPOINT_EVENTS: u64 = 4096;
/// The memory for an event, not counting the data it keeps alive.
const EVENT_BYTES: usize = 256;

type Keyspace = OrdMap<Bytes, Arc<KeyValue>>;

/// A lease and its keys.
#[derive(Clone)]
pub(super) struct Lease {
    pub(super) ttl: Duration,
    /// Its fixed deadline, in seconds since 1970; `None` if it is kept alive.
    pub(super) deadline: Option<i64>,
    pub(super) keys: OrdSet<Bytes>,
}

/// See the module.
///
/// Invariants: `history` holds exactly the events of the revisions `compacted + 1 ..= revision`, one each. Each has the
/// previous version, if there was one: the past is read by undoing them.
#[derive(Clone)]
pub(super) struct View {
    /// The last write.
    pub(super) revision: Revision,
    /// The oldest revision that can be read.
    pub(super) compacted: Revision,
    pub(super) leases: OrdMap<LeaseId, Lease>,
    keys: Keyspace,
    history: Vector<Event>,
    history_bytes: usize,
    /// The keyspace at some kept revisions, oldest first.
    checkpoints: Vector<(Revision, Keyspace)>,
}

impl View {
    /// An empty store whose history starts after `compacted`.
    pub(super) fn new(compacted: Revision) -> View {
        View {
            revision: compacted,
            compacted,
            leases: OrdMap::new(),
            keys: OrdMap::new(),
            history: Vector::new(),
            history_bytes: 0,
            checkpoints: Vector::new(),
        }
    }

    /// The current version of a key.
    pub(super) fn get(&self, key: &Bytes) -> Option<&Arc<KeyValue>> {
        self.keys.get(key)
    }

    /// The current keyspace in key order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<KeyValue>> {
        self.keys.values()
    }

    /// Sets a key without history; returns the replaced version.
    pub(super) fn load(&mut self, kv: Arc<KeyValue>) -> Option<Arc<KeyValue>> {
        self.attach(&kv);
        let old = self.keys.insert(kv.key.clone(), kv);
        self.detach(old.as_ref());
        old
    }

    /// Removes a key without history; returns the removed version.
    pub(super) fn unload(&mut self, key: &Bytes) -> Option<Arc<KeyValue>> {
        let old = self.keys.remove(key);
        self.detach(old.as_ref());
        old
    }

    /// Applies the event of the next revision.
    pub(super) fn apply(&mut self, event: Event) {
        assert_eq!(event.revision(), self.revision.next(), "every revision has one event");
        if self.revision.0.is_multiple_of(CHECKPOINT_EVENTS) && !self.history.is_empty() {
            self.checkpoints.push_back((self.revision, self.keys.clone()));
        }
        self.detach(event.prev());
        match &event {
            Event::Put { kv, .. } => {
                self.attach(kv);
                self.keys.insert(kv.key.clone(), kv.clone());
            }
            Event::Delete { key, .. } => {
                self.keys.remove(key);
            }
        }
        self.revision = event.revision();
        self.history_bytes += event_bytes(&event);
        self.history.push_back(event);
        self.check_history();
    }

    /// Asserts the invariants of every new event. Events from a log are checked where they are read.
    pub(super) fn check_event(&self, event: &Event) {
        let current = self.keys.get(event.key()).map(|kv| kv.mod_revision);
        debug_assert_eq!(
            event.prev().map(|prev| prev.mod_revision),
            current,
            "an event replaces what is there"
        );
        if let Event::Put { kv, prev } = event {
            assert_eq!(kv.mod_revision, event.revision(), "a version has the revision of its event");
            assert!(
                kv.create_revision <= kv.mod_revision && kv.version > 0,
                "a version follows its creation"
            );
            let version = prev.as_ref().map_or(1, |prev| prev.version + 1);
            debug_assert_eq!(kv.version, version, "versions of a key are counted without gaps");
        }
    }

    /// The invariant of the view, as far as it is cheap to check.
    fn check_history(&self) {
        assert!(self.compacted <= self.revision, "nothing that was not written is compacted");
        debug_assert_eq!(
            self.history.len() as u64,
            self.revision.0 - self.compacted.0,
            "one event a revision"
        );
        debug_assert_eq!(self.history.is_empty(), self.history_bytes == 0, "only events cost bytes");
    }

    fn attach(&mut self, kv: &KeyValue) {
        if let Some(lease) = kv.lease.and_then(|lease| self.leases.get_mut(&lease)) {
            lease.keys.insert(kv.key.clone());
        }
    }

    fn detach(&mut self, kv: Option<&Arc<KeyValue>>) {
        let Some(kv) = kv else { return };
        if let Some(lease) = kv.lease.and_then(|lease| self.leases.get_mut(&lease)) {
            lease.keys.remove(&kv.key);
        }
    }

    /// Bytes that the history keeps alive, roughly.
    pub(super) fn history_bytes(&self) -> usize {
        self.history_bytes
    }

    /// Drops the oldest event from the history.
    pub(super) fn forget_oldest(&mut self) -> Option<Event> {
        let event = self.history.pop_front()?;
        assert_eq!(event.revision(), self.compacted.next(), "history is forgotten in its order");
        self.history_bytes -= event_bytes(&event);
        self.compacted = event.revision();
        if self.checkpoints.front().is_some_and(|(revision, _)| *revision < self.compacted) {
            self.checkpoints.pop_front();
        }
        self.check_history();
        Some(event)
    }

    /// Whether `revision` can be read.
    pub(super) fn check(&self, revision: Revision) -> Result<(), StoreError> {
        if revision < self.compacted {
            return Err(StoreError::Compacted { requested: revision, oldest: self.compacted });
        }
        if revision > self.revision {
            return Err(StoreError::FutureRevision { requested: revision, current: self.revision });
        }
        Ok(())
    }

    /// Answers a range request.
    pub(super) fn range(&self, request: &RangeRequest) -> Result<RangeResponse, StoreError> {
        let revision = request.revision.unwrap_or(self.revision);
        self.check(revision)?;
        let past;
        let keys = if revision == self.revision {
            &self.keys
        } else {
            past = self.keys_at(revision, &request.range);
            &past
        };
        let mut response = RangeResponse { kvs: Vec::new(), more: false, count: None, revision };
        let wants_count = request.counted || request.content == RangeContent::CountOnly;
        response.count = wants_count.then_some(0);
        let Some(bounds) = bounds_after(&request.range, request.after.as_ref()) else { return Ok(response) };
        let mut values = keys.range::<_, Bytes>(bounds).map(|(_, kv)| kv);
        let limit = match request.content {
            RangeContent::CountOnly => 0,
            _ => request.limit.map_or(usize::MAX, usize::from),
        };
        response.kvs = match request.content {
            RangeContent::KeysOnly => values.by_ref().take(limit).map(without_value).collect(),
            _ => values.by_ref().take(limit).cloned().collect(),
        };
        let next = values.next();
        response.more = next.is_some() && request.content != RangeContent::CountOnly;
        if wants_count {
            response.count = Some(response.kvs.len() + usize::from(next.is_some()) + values.count());
        }
        Ok(response)
    }

    /// The keyspace at a kept revision; true for the keys in `range` only.
    fn keys_at(&self, revision: Revision, range: &KeyRange) -> Keyspace {
        let next =
            self.checkpoints.binary_search_by_key(&revision, |(at, _)| *at).unwrap_or_else(|next| next);
        let (from, mut keys) = match self.checkpoints.get(next) {
            Some((at, keys)) => (*at, keys.clone()),
            None => (self.revision, self.keys.clone()),
        };
        let undone = self.index_after(revision)..self.index_after(from);
        for event in self.history.focus().narrow(undone).into_iter().rev() {
            if !range.contains(event.key()) {
                continue;
            }
            match event.prev() {
                Some(prev) => keys.insert(prev.key.clone(), prev.clone()),
                None => keys.remove(event.key()),
            };
        }
        keys
    }

    /// The position of the first event after `revision` in the history.
    fn index_after(&self, revision: Revision) -> usize {
        usize::try_from(revision.0 - self.compacted.0).expect("the history is in memory, so its indices fit")
    }

    /// The events of `range` from revision `first` on, at most `limit`, and the revision up to which they
    /// are complete. `first` must be after [`View::compacted`].
    pub(super) fn events_from(
        &self,
        first: Revision,
        range: &KeyRange,
        limit: usize,
    ) -> (Vec<Event>, Revision) {
        let mut events = Vec::new();
        if first > self.revision {
            return (events, self.revision);
        }
        let start = self.index_after(first) - 1;
        for event in self.history.focus().narrow(start..self.history.len()) {
            if range.contains(event.key()) {
                events.push(event.clone());
                if events.len() == limit {
                    return (events, event.revision());
                }
            }
        }
        (events, self.revision)
    }
}

/// The event of the deletion of an existing version.
pub(super) fn deletion(prev: Arc<KeyValue>, revision: Revision) -> Event {
    Event::Delete { key: prev.key.clone(), revision, prev: Some(prev) }
}

fn without_value(kv: &Arc<KeyValue>) -> Arc<KeyValue> {
    Arc::new(KeyValue { value: Text::default(), ..KeyValue::clone(kv) })
}

/// The history keeps each replaced value alive; the newest of a key is in the keyspace anyway.
fn event_bytes(event: &Event) -> usize {
    EVENT_BYTES + event.key().len() + event.prev().map_or(0, |prev| prev.value.own_len())
}

/// The bounds of `range` strictly after `after`; none if nothing is left of it.
fn bounds_after(range: &KeyRange, after: Option<&Bytes>) -> Option<(Bound<Bytes>, Bound<Bytes>)> {
    let (start, end) = range.bounds();
    let Some(after) = after.filter(|after| *after >= range.start()) else { return Some((start, end)) };
    let empty = match &end {
        Bound::Included(end) | Bound::Excluded(end) => after >= end,
        Bound::Unbounded => false,
    };
    (!empty).then(|| (Bound::Excluded(after.clone()), end))
}
