//! The objects of one stored resource.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use imbl::OrdMap;
use object::{TypeMeta, Value, Versioned, VersionedError, protobuf};
use parking_lot::{Mutex, RwLock};
use store::{Event, Expect, KeyValue, Revision, Store, StoreError, Text, Write, WriteOutcome};
use tokio::sync::watch;

use super::snapshot::Snapshot;
use super::spec::CollectionSpec;
use super::{CacheError, Change, ChangeKind, Damage, Leases, Meter, ParseError, damage};

mod state;

pub(crate) use state::LOG_CHANGES_MAX;
use state::State;

/// How many snapshots are kept for lists that are read page by page.
const PINNED_MAX: usize = 64;
/// How many drafts are kept for the events of their writes: more than one batch of the store contains.
const DRAFTS_MAX: usize = 1024;
/// How large an object may be as it is stored, in bytes: twice as large as the body of a request.
pub(crate) const OBJECT_BYTES_MAX: usize = 6 << 20;

/// The objects of one stored resource, with their recent changes.
pub struct Collection {
    spec: CollectionSpec,
    /// The beginning of the JSON of every object, up to and including the brace that opens `metadata`.
    head: Bytes,
    state: RwLock<State>,
    /// Writes of this process in progress, by key. An event of that key with the same bytes needs no parsing.
    drafts: Mutex<HashMap<Bytes, Versioned>>,
    /// The revision of the last change, to wake watchers.
    changed: watch::Sender<u64>,
    /// The objects that cannot be read.
    pub(crate) damage: Damage,
    pub(crate) meter: Meter,
}

impl Collection {
    /// An empty collection.
    pub fn new(spec: CollectionSpec) -> Collection {
        let head = format!(
            "{{\"kind\":{:?},\"apiVersion\":{:?},\"metadata\":{{",
            spec.type_meta.kind, spec.type_meta.api_version
        );
        Collection {
            spec,
            head: head.into(),
            state: RwLock::default(),
            drafts: Mutex::default(),
            changed: watch::Sender::new(0),
            damage: Damage::default(),
            meter: Meter::default(),
        }
    }

    /// The collection, measured by this.
    #[must_use]
    pub fn measured_by(self, meter: Meter) -> Collection {
        Collection { meter, ..self }
    }

    /// The leases of objects that expire, if they do.
    pub fn leases(&self) -> Option<&Leases> {
        self.spec.leases.as_ref()
    }

    /// The prefix of the keys in the store.
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

    /// The prefix of the keys of a namespace's objects in the store, or of all.
    pub(crate) fn scope(&self, namespace: &str) -> String {
        if namespace.is_empty() { self.spec.prefix.clone() } else { self.store_key(namespace, "") }
    }

    /// The object's current state in the cache.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Versioned> {
        let state = self.state.read();
        if namespace.is_empty() {
            state.objects.get(name).cloned()
        } else {
            state.objects.get(format!("{namespace}/{name}").as_str()).cloned()
        }
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.state.read().objects.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All objects currently in the cache. `reached` is the revision that the cache had reached before this call: the
    /// objects may be newer than it, never older.
    pub(super) fn snapshot(&self, reached: u64) -> Snapshot {
        self.state.read().snapshot(reached)
    }

    /// All objects currently in the cache, where their revision does not matter.
    pub fn objects(&self) -> OrdMap<Arc<str>, Versioned> {
        self.state.read().objects.clone()
    }

    /// The objects of a namespace currently in the cache, in the order of their names.
    pub fn in_namespace(&self, namespace: &str) -> Vec<Versioned> {
        let state = self.state.read();
        let Some(count) = state.counts.get(namespace) else { return Vec::new() };
        let start = format!("{namespace}/");
        let from_start = state.objects.range::<_, str>((Bound::Included(&*start), Bound::Unbounded));
        from_start.take(*count).map(|(_, object)| object.clone()).collect()
    }

    /// How often the collection changed, to see whether something derived from it is still right.
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

    /// The kept snapshot of this revision.
    pub fn pinned(&self, revision: u64) -> Option<Snapshot> {
        self.state.read().pinned.iter().find(|pinned| pinned.revision == revision).cloned()
    }

    /// The collection as it was at a revision, from its present state and its log (KEP-4988); `None` where the log does
    /// not reach back that far, or the store has dropped that revision. `reached` is the revision that the cache has
    /// reached.
    pub(crate) fn snapshot_at(&self, revision: u64, reached: u64) -> Option<Snapshot> {
        let (past, later) = self.state.read().before(revision, reached)?;
        Some(past.without(&later, revision))
    }

    /// The position in the log of the first change after `revision`, and the signal of further changes.
    ///
    /// # Errors
    /// [`CacheError::TooOld`] if the log does not reach back that far.
    pub(super) fn position_after(&self, revision: u64) -> Result<(u64, watch::Receiver<u64>), CacheError> {
        let state = self.state.read();
        if revision < state.complete_from {
            return Err(CacheError::TooOld { requested: revision, oldest: state.complete_from });
        }
        let skipped = state.log.partition_point(|change| change.revision <= revision);
        Ok((state.log_start + skipped as u64, self.changed.subscribe()))
    }

    /// A snapshot as `snapshot` takes it, with the position in the log of the first change after it, and the signal of
    /// further changes.
    pub(super) fn snapshot_and_position(&self, reached: u64) -> (Snapshot, u64, watch::Receiver<u64>) {
        let state = self.state.read();
        (state.snapshot(reached), state.end(), self.changed.subscribe())
    }

    /// All objects, and the position in the log of the first change after them.
    pub(crate) fn start(&self) -> (OrdMap<Arc<str>, Versioned>, u64) {
        let state = self.state.read();
        (state.objects.clone(), state.end())
    }

    /// A batch of changes from a position in the log, with a limit on their bytes; `None` if the log has moved past the
    /// position.
    pub(crate) fn changes_from(
        &self,
        position: u64,
        max: usize,
        bytes_max: usize,
    ) -> Option<Vec<Arc<Change>>> {
        let state = self.state.read();
        let skipped = usize::try_from(position.checked_sub(state.log_start)?).ok()?;
        let mut bytes = 0;
        let fits = |change: &&Arc<Change>| {
            let fits = bytes < bytes_max;
            bytes += change.bytes();
            fits
        };
        Some(state.log.iter().skip(skipped).take(max).take_while(fits).cloned().collect())
    }

    /// How many watchers follow the collection.
    pub fn watchers(&self) -> usize {
        self.changed.receiver_count()
    }

    /// The oldest revision that a watch can start from.
    pub(super) fn oldest(&self) -> u64 {
        self.state.read().complete_from
    }

    /// Whether the resource is not served any more.
    pub(super) fn is_ended(&self) -> bool {
        self.state.read().ended
    }

    /// Ends every watcher after the last change.
    pub(super) fn end(&self) {
        self.state.write().ended = true;
        self.changed.send_modify(|_| ());
    }

    /// Fills the collection from the store, replacing its previous content. Existing watchers have to list again.
    pub(super) fn load(&self, kvs: &[Arc<KeyValue>], revision: u64) {
        let mut loaded = State { complete_from: revision, ..State::default() };
        self.damage.clear();
        for kv in kvs {
            if let Some(object) = self.readable(kv) {
                loaded.put(&self.suffix(&kv.key), object);
            }
        }
        let mut state = self.state.write();
        // Behind every position that a watcher may have, because the changes in between are unknown.
        let log_start = state.end() + 1;
        *state = State { log_start, loaded: revision, ended: state.ended, ..loaded };
        drop(state);
        self.meter.loaded(kvs.len());
        self.changed.send_replace(revision);
    }

    /// The object, if it can be read; otherwise it is damaged.
    fn readable(&self, kv: &KeyValue) -> Option<Versioned> {
        let key = String::from_utf8_lossy(&kv.key);
        match self.decode(kv) {
            Ok(object) => {
                self.damage.forget(&key);
                Some(object)
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a stored object cannot be read");
                self.damage.note(&key, damage::told(&error));
                None
            }
        }
    }

    /// Applies the changes of one revision of the store, all at once, so that no list falls between them. Changes that
    /// the collection already contained when it was loaded are skipped.
    pub(super) fn apply(&self, events: &[&Event]) {
        let object = |event: &&Event| match event {
            Event::Put { kv, .. } => self.readable(kv),
            Event::Delete { .. } => {
                self.damage.forget(&String::from_utf8_lossy(event.key()));
                None
            }
        };
        let objects: Vec<_> = events.iter().map(object).collect();
        let Some(Revision(revision)) = events.last().map(|event| event.revision()) else { return };
        self.meter.received(objects.len());
        let mut state = self.state.write();
        // The store's watch may be behind the read that the collection was loaded by.
        if revision <= state.loaded || state.ended {
            return;
        }
        for (event, object) in events.iter().zip(objects) {
            let (key, Revision(revision)) = (self.suffix(event.key()), event.revision());
            let previous = match &object {
                Some(object) => state.put(&key, object.clone()),
                None => state.remove(&key),
            };
            let (kind, object) = match (object, &previous) {
                (Some(object), None) => (ChangeKind::Added, object),
                (Some(object), Some(_)) => (ChangeKind::Modified, object),
                // A deletion shows the last state, with the version of the deletion.
                (None, Some(previous)) => (ChangeKind::Deleted, previous.at_version(revision)),
                (None, None) => continue,
            };
            state.append(Arc::new(Change { kind, revision, object, previous }));
            self.meter.dispatched();
        }
        drop(state);
        self.changed.send_replace(revision);
    }

    /// The object of a key in the store, as far as it is in the cache.
    fn current(&self, key: &[u8]) -> Option<Versioned> {
        self.state.read().objects.get(&*self.suffix(key)).cloned()
    }

    fn suffix<'k>(&self, key: &'k [u8]) -> Cow<'k, str> {
        String::from_utf8_lossy(&key[self.spec.prefix.len()..])
    }

    /// A version of an object from its stored value.
    ///
    /// # Errors
    /// [`CacheError::Corrupt`]
    pub fn decode(&self, kv: &KeyValue) -> Result<Versioned, CacheError> {
        if let Some(draft) = self.take_draft(&kv.key, &kv.value) {
            return Ok(draft.at_version(kv.mod_revision.0));
        }
        self.parse(&kv.value, kv.mod_revision.0).map_err(|source| {
            self.meter.undecodable();
            let (key, revision) = (String::from_utf8_lossy(&kv.key).into_owned(), kv.mod_revision.0);
            CacheError::Corrupt { key, revision, source }
        })
    }

    /// The draft of these bytes, if this process wrote them.
    fn take_draft(&self, key: &Bytes, text: &Text) -> Option<Versioned> {
        let mut drafts = self.drafts.lock();
        drafts.get(key).filter(|draft| draft.stored() == Some(text))?;
        drafts.remove(key)
    }

    /// A version of an object from its stored JSON, which has no resource version; or from protobuf, as upstream's server
    /// keeps it.
    fn parse(&self, text: &Text, revision: u64) -> Result<Versioned, ParseError> {
        let stored = text.to_cow();
        if let Some(amended) = self.amended(&stored, revision)? {
            return Ok(amended);
        }
        if stored.starts_with(&self.head) {
            let (text, head) = (text.clone(), self.head.len());
            let type_meta = Arc::clone(&self.spec.type_meta);
            return Ok(Versioned::from_stored(type_meta, text, head, revision, &self.spec.fields)?);
        }
        let mut object = match stored.starts_with(&protobuf::MAGIC) {
            true => protobuf::decode(&stored, &stored_type)?.value,
            false => object::json::parse(&stored).map_err(VersionedError::from)?,
        };
        object.entry("metadata").set("resourceVersion", revision.to_string());
        let fields = (self.spec.fields)(&object);
        Ok(Versioned::from_value(self.spec.type_of(&object), &object, fields)?)
    }

    /// The object, if it was stored under other rules.
    fn amended(&self, stored: &[u8], revision: u64) -> Result<Option<Versioned>, ParseError> {
        let Some(amend) = &self.spec.amend else { return Ok(None) };
        let mut object = object::json::parse(stored).map_err(VersionedError::from)?;
        let true = amend(&mut object) else { return Ok(None) };
        object.entry("metadata").set("resourceVersion", revision.to_string());
        let fields = (self.spec.fields)(&object);
        Ok(Some(Versioned::from_value(self.spec.type_of(&object), &object, fields)?))
    }

    /// Writes an object; returns its new version, or `None` if the expectation fails.
    ///
    /// # Errors
    /// The store's errors.
    pub async fn write(
        &self,
        store: &dyn Store,
        key: String,
        object: Value,
        expect: Expect,
    ) -> Result<Option<Versioned>, StoreError> {
        // An object that is being deleted may be changed even on a full disk, because the changes lead to its removal.
        let is_deleting = !object.at("metadata.deletionTimestamp").is_null();
        let previous = self.current(key.as_bytes());
        let (draft, text) = self.draft(object, previous.as_ref());
        check_size(&text, is_deleting)?;
        let key = Bytes::from(key);
        {
            let mut drafts = self.drafts.lock();
            if drafts.len() >= DRAFTS_MAX {
                // They were not used: the watch is far behind.
                drafts.clear();
            }
            drafts.insert(key.clone(), draft.clone());
        }
        let write = Write { makes_space: is_deleting, ..Write::put(key.clone(), text.clone(), expect) };
        match self.write_leased(store, write).await {
            Ok(WriteOutcome::Committed { revision, .. }) => Ok(Some(draft.at_version(revision.0))),
            outcome => {
                self.take_draft(&key, &text);
                outcome.map(|_| None)
            }
        }
    }

    /// Writes with a lease, where objects have one.
    async fn write_leased(&self, store: &dyn Store, write: Write) -> Result<WriteOutcome, StoreError> {
        let Some(leases) = self.leases() else { return store.write(write).await };
        loop {
            let lease = leases.of_now(store).await?;
            match store.write(write.clone().lease(lease)).await {
                Err(StoreError::LeaseNotFound(_)) => leases.forget(lease).await,
                outcome => return outcome,
            }
        }
    }

    /// Drops changes and snapshots that are older than `revision`: clients that need them list again.
    pub(super) fn forget_before(&self, revision: u64) {
        let mut state = self.state.write();
        while state.log.front().is_some_and(|change| change.revision <= revision) {
            state.forget_oldest();
        }
        let kept = 2 * state.log.len();
        state.log.shrink_to(kept);
        state.pinned.retain(|pinned| pinned.revision >= revision);
        state.compacted = state.compacted.max(revision);
    }

    /// An object in its stored form: without resource version, and in the order that [`Collection::decode`] shares
    /// without copying.
    fn draft(&self, mut object: Value, previous: Option<&Versioned>) -> (Versioned, Text) {
        let metadata = object.remove("metadata").filter(|metadata| metadata.as_map().is_some());
        let mut metadata = metadata.unwrap_or_else(Value::map);
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
        let ordered = Value::Map(ordered);
        let text = object::json::with_text(&ordered, Text::compact);
        let (type_meta, fields) = (Arc::clone(&self.spec.type_meta), (self.spec.fields)(&ordered));
        let at = self.head.len();
        (Versioned::draft(type_meta, &ordered, text.clone(), at, fields, previous), text)
    }
}

/// Whether an object may be stored in this form. What a body may say is far from the limit; without one, patches, defaults
/// and webhooks could make an object as large as they like, bit by bit. The deletion of the largest one adds a little to it.
fn check_size(text: &Text, is_deleting: bool) -> Result<(), StoreError> {
    let bytes_max = if is_deleting { 2 * OBJECT_BYTES_MAX } else { OBJECT_BYTES_MAX };
    match text.len() > bytes_max {
        true => Err(StoreError::TooLarge { bytes_max }),
        false => Ok(()),
    }
}

/// The type of an object that is stored as protobuf.
fn stored_type(api_version: &str, kind: &str) -> Option<schema::TypeRef> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    schema::type_by_gvk(group, version, kind)
}
