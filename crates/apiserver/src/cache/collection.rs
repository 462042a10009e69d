//! The objects of one stored resource.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use imbl::OrdMap;
use object::{FieldValues, TypeMeta, Value, Versioned, VersionedError};
use parking_lot::RwLock;
use store::{Event, KeyValue};
use tokio::sync::watch;

use super::watcher::{Change, ChangeKind, Watcher};
use super::{CacheError, Hub};

/// How many changes a collection remembers at most.
const LOG_CHANGES_MAX: usize = 8192;
/// How many bytes of objects those changes may hold at most; the newest change is always kept.
const LOG_BYTES_MAX: usize = 32 << 20;
/// How many snapshots are kept for lists that go on page by page.
const PINNED_MAX: usize = 64;

/// What a collection must know of its resource.
pub struct CollectionSpec {
    /// Where its keys start in the store, for example `/registry/pods/`.
    pub prefix: String,
    /// `apiVersion` and `kind` of the stored objects.
    pub type_meta: Arc<TypeMeta>,
    /// The values that field selectors may ask for.
    pub fields: Box<dyn Fn(&Value) -> FieldValues + Send + Sync>,
}

/// The objects of one stored resource, with their recent changes.
pub struct Collection {
    spec: CollectionSpec,
    /// What the JSON of every object starts with, up to and with the brace that opens `metadata`.
    head: Bytes,
    state: RwLock<State>,
    /// The revision of the last change, to wake watchers.
    changed: watch::Sender<u64>,
}

/// The objects at one moment, by their keys behind the collection's prefix.
#[derive(Clone, Default)]
pub struct Snapshot {
    /// The objects.
    pub objects: OrdMap<Arc<str>, Versioned>,
    /// The store's revision.
    pub revision: u64,
}

#[derive(Default)]
struct State {
    objects: OrdMap<Arc<str>, Versioned>,
    log: VecDeque<Arc<Change>>,
    log_bytes: usize,
    /// The sequence number of the log's first entry.
    log_start: u64,
    /// The revision from which on the log is whole: watches may start from here.
    complete_from: u64,
    /// Snapshots of lists that have not come to their end.
    pinned: VecDeque<Snapshot>,
}

impl Collection {
    /// An empty collection.
    pub fn new(spec: CollectionSpec) -> Collection {
        let head = format!(
            "{{\"kind\":{:?},\"apiVersion\":{:?},\"metadata\":{{",
            spec.type_meta.kind, spec.type_meta.api_version
        );
        Collection { spec, head: head.into(), state: RwLock::default(), changed: watch::Sender::new(0) }
    }

    /// Where the keys start in the store.
    pub fn prefix(&self) -> &str {
        &self.spec.prefix
    }

    /// `apiVersion` and `kind` of the stored objects.
    pub fn type_meta(&self) -> &Arc<TypeMeta> {
        &self.spec.type_meta
    }

    /// The key in the store.
    pub fn store_key(&self, namespace: &str, name: &str) -> String {
        let prefix = &self.spec.prefix;
        if namespace.is_empty() { format!("{prefix}{name}") } else { format!("{prefix}{namespace}/{name}") }
    }

    /// The object as it is now in the cache.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Versioned> {
        let state = self.state.read();
        if namespace.is_empty() {
            state.objects.get(name).cloned()
        } else {
            state.objects.get(format!("{namespace}/{name}").as_str()).cloned()
        }
    }

    /// All objects as they are now in the cache. `revision` is what the hub says of the cache's progress.
    pub fn snapshot(&self, hub: &Hub) -> Snapshot {
        // The revision is read first: the objects may be newer than it, never older.
        let revision = hub.revision();
        let state = self.state.read();
        let newest = state.log.back().map_or(0, |change| change.revision);
        Snapshot { objects: state.objects.clone(), revision: revision.max(newest) }
    }

    /// How often the collection changed, to tell whether something derived from it is still right.
    pub fn generation(&self) -> u64 {
        *self.changed.borrow()
    }

    /// Keeps a snapshot for the next page of a list.
    pub fn pin(&self, snapshot: Snapshot) {
        let mut state = self.state.write();
        if state.pinned.iter().any(|pinned| pinned.revision == snapshot.revision) {
            return;
        }
        if state.pinned.len() == PINNED_MAX {
            state.pinned.pop_front();
        }
        state.pinned.push_back(snapshot);
    }

    /// The snapshot that was kept at this revision.
    pub fn pinned(&self, revision: u64) -> Option<Snapshot> {
        self.state.read().pinned.iter().find(|pinned| pinned.revision == revision).cloned()
    }

    /// A watcher of the changes after `revision`.
    ///
    /// # Errors
    /// [`CacheError::TooOld`] where the log does not reach back so far.
    pub fn watch_from(self: &Arc<Self>, revision: u64) -> Result<Watcher, CacheError> {
        let state = self.state.read();
        if revision < state.complete_from {
            return Err(CacheError::TooOld { requested: revision, oldest: state.complete_from });
        }
        let skipped = state.log.partition_point(|change| change.revision <= revision);
        let next = state.log_start + skipped as u64;
        Ok(Watcher::new(Arc::clone(self), next, self.changed.subscribe()))
    }

    /// A watcher of the changes after a snapshot that is taken in the same moment.
    pub fn watch_from_now(self: &Arc<Self>, hub: &Hub) -> (Snapshot, Watcher) {
        let revision = hub.revision();
        let state = self.state.read();
        let newest = state.log.back().map_or(0, |change| change.revision);
        let snapshot = Snapshot { objects: state.objects.clone(), revision: revision.max(newest) };
        let next = state.log_start + state.log.len() as u64;
        (snapshot, Watcher::new(Arc::clone(self), next, self.changed.subscribe()))
    }

    /// The changes from a position in the log, some at a time; `None` where the log has moved past it.
    pub(super) fn changes_from(&self, position: u64, max: usize) -> Option<Vec<Arc<Change>>> {
        let state = self.state.read();
        let skipped = usize::try_from(position.checked_sub(state.log_start)?).ok()?;
        Some(state.log.iter().skip(skipped).take(max).cloned().collect())
    }

    /// The oldest revision that a watch can start from.
    pub(super) fn oldest(&self) -> u64 {
        self.state.read().complete_from
    }

    /// Fills the collection from the store, before its first change.
    pub(super) fn load(&self, kvs: &[Arc<KeyValue>], revision: u64) -> Result<(), CacheError> {
        let mut objects = OrdMap::new();
        for kv in kvs {
            objects.insert(self.suffix(&kv.key), self.decode(kv)?);
        }
        let mut state = self.state.write();
        *state = State { objects, complete_from: revision, ..State::default() };
        drop(state);
        self.changed.send_replace(revision);
        Ok(())
    }

    /// Takes a change of the store.
    pub(super) fn apply(&self, event: &Event) -> Result<(), CacheError> {
        let revision = event.revision().0;
        let key = self.suffix(event.key());
        let object = match event {
            Event::Put { kv, .. } => Some(self.decode(kv)?),
            Event::Delete { .. } => None,
        };
        let mut state = self.state.write();
        let previous = match &object {
            Some(object) => state.objects.insert(key, object.clone()),
            None => state.objects.remove(&key),
        };
        let (kind, object) = match (object, &previous) {
            (Some(object), None) => (ChangeKind::Added, object),
            (Some(object), Some(_)) => (ChangeKind::Modified, object),
            // A deletion shows the last state, with the version of the deletion.
            (None, Some(previous)) => (ChangeKind::Deleted, self.at_version(previous, revision)?),
            (None, None) => return Ok(()),
        };
        state.append(Arc::new(Change { kind, revision, object, previous }));
        drop(state);
        self.changed.send_replace(revision);
        Ok(())
    }

    fn suffix(&self, key: &[u8]) -> Arc<str> {
        String::from_utf8_lossy(&key[self.spec.prefix.len()..]).into()
    }

    /// A version of an object from what the store holds.
    pub fn decode(&self, kv: &KeyValue) -> Result<Versioned, CacheError> {
        self.versioned(&kv.value, kv.mod_revision.0).map_err(|source| CacheError::Corrupt {
            key: String::from_utf8_lossy(&kv.key).into_owned(),
            source,
        })
    }

    /// A version of an object from its stored JSON, which has no resource version.
    pub fn versioned(&self, stored: &Bytes, revision: u64) -> Result<Versioned, VersionedError> {
        let json = match stored.strip_prefix(self.head.as_ref()) {
            Some(rest) => splice(&self.head, rest, revision),
            None => {
                let mut object = object::json::parse(stored)?;
                object.entry("metadata").set("resourceVersion", revision.to_string());
                object::json::to_bytes(&object)
            }
        };
        Versioned::from_json(Arc::clone(&self.spec.type_meta), json, &self.spec.fields)
    }

    /// The same object with another resource version.
    ///
    /// # Errors
    /// [`CacheError::Corrupt`] if it cannot be encoded.
    pub fn at_version(&self, object: &Versioned, revision: u64) -> Result<Versioned, CacheError> {
        let mut value = object.value();
        value.entry("metadata").set("resourceVersion", revision.to_string());
        let fields = (self.spec.fields)(&value);
        Versioned::from_value(Arc::clone(&self.spec.type_meta), &value, fields)
            .map_err(|source| CacheError::Corrupt { key: object.key().to_string(), source })
    }

    /// The JSON that the store keeps of an object: without resource version, and in the order that
    /// [`Collection::versioned`] reads without parsing.
    pub fn encode(&self, mut object: Value) -> Bytes {
        let mut metadata = object.remove("metadata").unwrap_or_default();
        metadata.remove("resourceVersion");
        object.remove("kind");
        object.remove("apiVersion");
        let mut ordered = object::Map::with_capacity(8);
        ordered.insert("kind", Value::from(&*self.spec.type_meta.kind));
        ordered.insert("apiVersion", Value::from(&*self.spec.type_meta.api_version));
        ordered.insert("metadata", metadata);
        if let Value::Map(rest) = object {
            for (key, value) in rest {
                ordered.push(key, value);
            }
        }
        object::json::to_bytes(&Value::Map(ordered))
    }
}

/// Puts the resource version first into `metadata`.
fn splice(head: &[u8], rest: &[u8], revision: u64) -> Bytes {
    let mut json = BytesMut::with_capacity(head.len() + rest.len() + 44);
    json.put_slice(head);
    json.put_slice(b"\"resourceVersion\":\"");
    json.put_slice(revision.to_string().as_bytes());
    json.put_slice(if rest.starts_with(b"}") { b"\"" } else { b"\"," });
    json.put_slice(rest);
    json.freeze()
}

impl State {
    fn append(&mut self, change: Arc<Change>) {
        self.log_bytes += change.bytes();
        self.log.push_back(change);
        while self.log.len() > LOG_CHANGES_MAX || (self.log_bytes > LOG_BYTES_MAX && self.log.len() > 1) {
            let Some(evicted) = self.log.pop_front() else { break };
            self.log_bytes -= evicted.bytes();
            self.log_start += 1;
            self.complete_from = evicted.revision;
        }
    }
}
