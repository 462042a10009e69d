//! An in-memory API server, for tests of code that uses a connection.
//!
//! It handles objects, versions, deletions and watches as a server does, and can be told to fail. It knows no kinds:
//! there are no defaults, no validation and no graceful deletion, and strategic merge patches merge as plain ones do.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use async_trait::async_trait;
use clock::Clock;
use futures::StreamExt;
use object::{MODIFIED, ObjectKey, Status, TypeMeta, Value, Versioned, json};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::{
    ByteStream, Client, ClientError, Connection, Content, ContentType, ListPage, Object, Request,
    ResourceType, Response, ServedResource, ServedStream, Verb, WatchEvent, WatchStream,
};

mod discovery;
mod selection;
use selection::Filter;

/// The server. Clones share it.
#[derive(Clone)]
pub struct MemoryServer {
    state: Arc<Mutex<State>>,
    changed: watch::Sender<u64>,
    /// Told when something else is served.
    served: watch::Sender<()>,
    clock: Clock,
}

#[derive(Default)]
struct State {
    revision: u64,
    /// Watches from before this revision are refused.
    compacted: u64,
    /// Raised to end all running watches.
    epoch: u64,
    objects: BTreeMap<Place, Value>,
    log: Vec<Logged>,
    faults: VecDeque<(Verb, String, Status)>,
    requests: Vec<String>,
    served: Vec<ServedResource>,
}

/// The collection (`pods`, `deployments.apps`) and the key in it.
type Place = (String, ObjectKey);

struct Logged {
    revision: u64,
    collection: String,
    /// `None` in a bookmark.
    old_new: Option<(Value, Value)>,
}

impl MemoryServer {
    /// An empty server.
    pub fn new(clock: Clock) -> MemoryServer {
        MemoryServer {
            state: Arc::default(),
            changed: watch::Sender::new(0),
            served: watch::Sender::new(()),
            clock,
        }
    }

    /// A client of it.
    pub fn client(&self) -> Client {
        Client::new(Arc::new(self.clone()), self.clock.clone())
    }

    /// Stores an object, as another client's create or update would.
    pub fn put<K: Object>(&self, object: &K) {
        let json = serde_json::to_vec(object).expect("a typed object has a JSON form");
        let mut value = json::parse(&json).expect("serde_json writes JSON");
        let place = (collection(&ResourceType::of::<K>()), ObjectKey::of(&value));
        let mut state = self.state.lock();
        let old = state.objects.get(&place).cloned().unwrap_or_default();
        self.complete(&mut value, &old);
        state.commit(place, old, value);
        self.announce(&state);
    }

    /// Removes an object at once.
    pub fn remove<K: Object>(&self, key: &ObjectKey) {
        let mut state = self.state.lock();
        let place = (collection(&ResourceType::of::<K>()), key.clone());
        let old = state.objects.get(&place).cloned().unwrap_or_default();
        state.commit(place, old, Value::Null);
        self.announce(&state);
    }

    /// One object as it is stored.
    pub fn get<K: Object>(&self, key: &ObjectKey) -> Option<K> {
        let place = (collection(&ResourceType::of::<K>()), key.clone());
        let json = json::to_bytes(self.state.lock().objects.get(&place)?);
        Some(serde_json::from_slice(&json).expect("what was stored fits its kind"))
    }

    /// All objects of a kind, by namespace and name.
    pub fn list<K: Object>(&self) -> Vec<K> {
        let state = self.state.lock();
        let here = collection(&ResourceType::of::<K>());
        let objects = state.objects.iter().filter(|((collection, _), _)| *collection == here);
        let typed = objects.map(|(_, value)| serde_json::from_slice(&json::to_bytes(value)));
        typed.collect::<Result<_, _>>().expect("what was stored fits its kind")
    }

    /// Answers the next request with this verb to this plural name with an error.
    pub fn fail_next(&self, verb: Verb, plural: &str, status: Status) {
        self.state.lock().faults.push_back((verb, plural.to_owned(), status));
    }

    /// Ends all watches, as if the connection broke.
    pub fn end_watches(&self) {
        let mut state = self.state.lock();
        state.epoch += 1;
        self.changed.send_modify(|revision| *revision = state.revision);
    }

    /// Forgets all history: watches from older versions get 410.
    pub fn compact(&self) {
        let mut state = self.state.lock();
        state.revision += 1;
        state.compacted = state.revision;
        state.log.clear();
    }

    /// Sends the watches of a kind a bookmark: nothing newer has changed.
    pub fn bookmark<K: Object>(&self) {
        let mut state = self.state.lock();
        state.revision += 1;
        let (revision, collection) = (state.revision, collection(&ResourceType::of::<K>()));
        state.log.push(Logged { revision, collection, old_new: None });
        self.announce(&state);
    }

    /// Returns the requests so far, as `verb path?query`, and forgets them.
    pub fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().requests)
    }

    fn announce(&self, state: &State) {
        self.changed.send_replace(state.revision);
    }

    /// Sets the fields that a server sets on every object.
    fn complete(&self, value: &mut Value, old: &Value) {
        let uid = match (value.str_at("metadata.uid"), old.str_at("metadata.uid")) {
            ("", "") => self.clock.uid(),
            ("", old) => old.to_owned(),
            (new, _) => new.to_owned(),
        };
        value.set_path(&["metadata", "uid"], uid.into());
        if value.at("metadata.creationTimestamp").is_null() {
            let since = match old.at("metadata.creationTimestamp") {
                Value::Null => self.clock.now_seconds().to_string().into(),
                since => since.clone(),
            };
            value.set_path(&["metadata", "creationTimestamp"], since);
        }
        let generation = old.at("metadata.generation").as_i64().unwrap_or(0);
        let changed = old.is_null() || value.get("spec") != old.get("spec");
        value.set_path(&["metadata", "generation"], (generation + i64::from(changed)).into());
    }

    fn handle(&self, request: &Request) -> Result<Value, Status> {
        let mut state = self.state.lock();
        state.requests.push(format!("{} {}", request.verb.as_str(), request.path_and_query()));
        state.take_fault(request)?;
        let body = request.body.clone();
        if request.verb == Verb::DeleteCollection {
            return self.delete_collection(&mut state, request, &body);
        }
        let target = &request.target;
        let key = ObjectKey::namespaced(&*target.namespace, &*target.name);
        let place = (collection(&target.resource), key);
        if request.verb == Verb::Create && target.subresource.is_empty() {
            return self.create(&mut state, place.0, body);
        }
        if request.verb == Verb::Create {
            // Bindings, tokens, evictions: tests only check that they were requested.
            return Ok(body);
        }
        let (group, plural) = (&target.resource.group, &target.resource.plural);
        let old = state.objects.get(&place).cloned();
        let old = old.ok_or_else(|| Status::not_found(group, plural, &target.name))?;
        let new = match (request.verb, request.content_type) {
            (Verb::Get, _) => return Ok(old),
            (Verb::Update, _) => body,
            (Verb::Patch, ContentType::MergePatch | ContentType::StrategicMergePatch) => {
                let mut new = old.clone();
                merge(&mut new, body);
                new
            }
            (Verb::Delete, _) => return self.delete(&mut state, place, old, &body, request),
            _ => return Err(Status::method_not_supported(group, plural, request.verb.as_str())),
        };
        let (stored, given) =
            (old.str_at("metadata.resourceVersion"), new.str_at("metadata.resourceVersion"));
        if !given.is_empty() && given != stored {
            return Err(Status::conflict(group, plural, &target.name, MODIFIED));
        }
        let mut new = if target.subresource == "status" {
            let mut merged = old.clone();
            merged.set("status", new.get("status").clone());
            // A status write of most kinds may change metadata.
            merged.set_path(&["metadata", "annotations"], new.at("metadata.annotations").clone());
            merged
        } else {
            new
        };
        self.complete(&mut new, &old);
        if new.at("metadata.annotations").is_null() {
            new.entry("metadata").remove("annotations");
        }
        if new == old {
            return Ok(old);
        }
        let done = new.at("metadata.deletionTimestamp").as_str().is_some()
            && new.at("metadata.finalizers").items().len() == 0;
        let committed = state.commit(place, old, if done { Value::Null } else { new });
        self.announce(&state);
        Ok(committed)
    }

    fn create(&self, state: &mut State, collection: String, mut body: Value) -> Result<Value, Status> {
        if body.str_at("metadata.name").is_empty() {
            let name = format!("{}{}", body.str_at("metadata.generateName"), self.clock.name_suffix(5));
            body.set_path(&["metadata", "name"], name.into());
        }
        let place = (collection, ObjectKey::of(&body));
        if state.objects.contains_key(&place) {
            let (plural, group) = place.0.split_once('.').unwrap_or((&place.0, ""));
            return Err(Status::already_exists(group, plural, &place.1.name));
        }
        self.complete(&mut body, &Value::Null);
        let committed = state.commit(place, Value::Null, body);
        self.announce(state);
        Ok(committed)
    }

    fn delete_collection(
        &self,
        state: &mut State,
        request: &Request,
        options: &Value,
    ) -> Result<Value, Status> {
        let (here, filter) = (collection(&request.target.resource), Filter::new(request)?);
        let selected =
            state.objects.iter().filter(|((place, _), value)| *place == here && filter.matches(value));
        let selected: Vec<_> = selected.map(|(place, value)| (place.clone(), value.clone())).collect();
        for (place, value) in selected {
            self.delete(state, place, value, options, request)?;
        }
        Ok(Status::success(None).to_value())
    }

    fn delete(
        &self,
        state: &mut State,
        place: Place,
        old: Value,
        options: &Value,
        request: &Request,
    ) -> Result<Value, Status> {
        for field in ["uid", "resourceVersion"] {
            let (wanted, found) =
                (options.get("preconditions").str_at(field), old.get("metadata").str_at(field));
            if !wanted.is_empty() && wanted != found {
                let resource = &request.target.resource;
                let why = format!("the {field} in the precondition ({wanted}) does not match ({found})");
                return Err(Status::conflict(&resource.group, &resource.plural, &place.1.name, &why));
            }
        }
        let mut new = old.clone();
        let added = match options.str_at("propagationPolicy") {
            "Foreground" => Some("foregroundDeletion"),
            "Orphan" => Some("orphan"),
            _ => None,
        };
        if let Some(finalizer) = added {
            let mut finalizers: Vec<Value> = old.at("metadata.finalizers").items().cloned().collect();
            finalizers.push(finalizer.into());
            new.set_path(&["metadata", "finalizers"], Value::List(finalizers));
        }
        if new.at("metadata.finalizers").items().len() == 0 {
            state.commit(place, old, Value::Null);
        } else if old.at("metadata.deletionTimestamp").is_null() {
            let now = self.clock.now_seconds().to_string();
            new.set_path(&["metadata", "deletionTimestamp"], now.into());
            state.commit(place, old, new);
        }
        self.announce(state);
        Ok(Status::success(None).to_value())
    }
}

impl State {
    fn take_fault(&mut self, request: &Request) -> Result<(), Status> {
        let resource = &request.target.resource;
        let matches =
            |(verb, plural, _): &(Verb, String, Status)| *verb == request.verb && *plural == resource.plural;
        match self.faults.iter().position(matches).and_then(|index| self.faults.remove(index)) {
            Some((_, _, status)) => Err(status),
            None => Ok(()),
        }
    }

    /// Stores an object at the next revision, or removes it where `new` is null, and logs it.
    fn commit(&mut self, place: Place, old: Value, mut new: Value) -> Value {
        self.revision += 1;
        let mut logged_old = old;
        let stamped = if new.is_null() { &mut logged_old } else { &mut new };
        stamped.set_path(&["metadata", "resourceVersion"], self.revision.to_string().into());
        if new.is_null() {
            self.objects.remove(&place);
        } else {
            self.objects.insert(place.clone(), new.clone());
        }
        let result = if new.is_null() { logged_old.clone() } else { new.clone() };
        self.log.push(Logged {
            revision: self.revision,
            collection: place.0,
            old_new: Some((logged_old, new)),
        });
        result
    }
}

#[async_trait]
impl Connection for MemoryServer {
    async fn call(&self, request: Request) -> Result<Response, ClientError> {
        let answer = self.handle(&request)?;
        Ok(Response { code: 200, body: Content::Tree(answer), warnings: Vec::new() })
    }

    async fn list(&self, request: Request) -> Result<ListPage, ClientError> {
        let mut state = self.state.lock();
        state.requests.push(format!("{} {}", request.verb.as_str(), request.path_and_query()));
        state.take_fault(&request)?;
        let filter = Filter::new(&request)?;
        let here = collection(&request.target.resource);
        let type_meta = TypeMeta::new(&request.target.resource.api_version(), &request.target.resource.kind);
        let objects = state.objects.iter().filter(|((collection, _), _)| *collection == here);
        let items = objects.filter(|(_, value)| filter.matches(value));
        let mut items: Vec<_> = items.map(|(_, value)| versioned(&type_meta, value)).collect();
        // The token is the count of the objects before the page.
        let start: usize = query(&request, "continue").parse().unwrap_or(0);
        let limit: usize = query(&request, "limit").parse().unwrap_or(usize::MAX);
        let mut rest = items.split_off(start.min(items.len()));
        let continue_token = if rest.len() > limit { (start + limit).to_string() } else { String::new() };
        rest.truncate(limit);
        Ok(ListPage { items: rest, resource_version: state.revision.to_string(), continue_token })
    }

    async fn watch(&self, request: Request) -> Result<WatchStream, ClientError> {
        let mut state = self.state.lock();
        state.requests.push(format!("{} {}", request.verb.as_str(), request.path_and_query()));
        state.take_fault(&request)?;
        let from: u64 = query(&request, "resourceVersion").parse().unwrap_or(0);
        let watcher = Watcher {
            server: self.clone(),
            changed: self.changed.subscribe(),
            filter: Filter::new(&request)?,
            collection: collection(&request.target.resource),
            type_meta: TypeMeta::new(&request.target.resource.api_version(), &request.target.resource.kind),
            seen: from,
            epoch: state.epoch,
            ended: false,
        };
        Ok(futures::stream::unfold(watcher, |mut watcher| async {
            let event = watcher.next().await?;
            Some((event, watcher))
        })
        .boxed())
    }

    async fn get_path(&self, path: &str, _accept: &str) -> Result<Response, ClientError> {
        let body = match path {
            "/api" => self.discovery(true),
            "/apis" => self.discovery(false),
            _ => return Err(Status::not_found("", "paths", path).into()),
        };
        Ok(Response { code: 200, body: Content::Text(body.into()), warnings: Vec::new() })
    }

    async fn follow_served(&self) -> Result<ServedStream, ClientError> {
        let mut served = self.served.subscribe();
        served.mark_unchanged();
        Ok(futures::stream::unfold(served, |mut served| async {
            served.changed().await.ok()?;
            Some(((), served))
        })
        .boxed())
    }

    async fn stream(&self, request: Request) -> Result<ByteStream, ClientError> {
        let resource = &request.target.resource;
        Err(Status::method_not_supported(&resource.group, &resource.plural, "stream").into())
    }
}

struct Watcher {
    server: MemoryServer,
    changed: watch::Receiver<u64>,
    filter: Filter,
    collection: String,
    type_meta: Arc<TypeMeta>,
    seen: u64,
    epoch: u64,
    ended: bool,
}

impl Watcher {
    async fn next(&mut self) -> Option<Result<WatchEvent, ClientError>> {
        loop {
            self.changed.borrow_and_update();
            {
                let state = self.server.state.lock();
                if self.ended || state.epoch != self.epoch {
                    return None;
                }
                if self.seen < state.compacted {
                    self.ended = true;
                    return Some(Err(Status::resource_expired("too old resource version").into()));
                }
                while let Some(logged) = state.log.iter().find(|logged| logged.revision > self.seen) {
                    self.seen = logged.revision;
                    if logged.collection == self.collection
                        && let Some(event) = self.event(logged)
                    {
                        return Some(Ok(event));
                    }
                }
            }
            self.changed.changed().await.ok()?;
        }
    }

    fn event(&self, logged: &Logged) -> Option<WatchEvent> {
        let Some((old, new)) = &logged.old_new else {
            return Some(WatchEvent::Bookmark { resource_version: logged.revision.to_string() });
        };
        match (self.filter.matches(old), self.filter.matches(new)) {
            (false, true) => Some(WatchEvent::Added(versioned(&self.type_meta, new))),
            (true, true) => Some(WatchEvent::Modified(versioned(&self.type_meta, new))),
            (true, false) => {
                let mut last = old.clone();
                last.set_path(&["metadata", "resourceVersion"], logged.revision.to_string().into());
                Some(WatchEvent::Deleted(versioned(&self.type_meta, &last)))
            }
            (false, false) => None,
        }
    }
}

fn versioned(type_meta: &Arc<TypeMeta>, value: &Value) -> Versioned {
    Versioned::from_value(Arc::clone(type_meta), value, Vec::new()).expect("revisions are numbers")
}

fn collection(resource: &ResourceType) -> String {
    if resource.group.is_empty() {
        resource.plural.to_string()
    } else {
        format!("{}.{}", resource.plural, resource.group)
    }
}

fn query<'a>(request: &'a Request, name: &str) -> &'a str {
    request.query.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value)
}

/// RFC 7386.
fn merge(into: &mut Value, patch: Value) {
    match patch {
        Value::Map(patch) => {
            for (name, value) in patch {
                if value.is_null() {
                    into.remove(name.as_str());
                } else {
                    merge(into.entry(name), value);
                }
            }
        }
        other => *into = other,
    }
}
