//! The one path on which every resource is served.
//!
//! An [`Endpoint`] is a served resource: its facts, its strategy, the collection that holds its objects. The
//! operations (create, read, update, patch, delete) are written once, over endpoints; what differs per kind is
//! in the strategy. Nothing here knows HTTP: requests come decoded, answers leave as [`Answer`].

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use clock::Clock;
use ipnet::IpNet;
use kinds::Strategy;
use object::{Status, TypeMeta, Value, Versioned};
use schema::{ResourceDef, Scope};

use crate::admission::{self, Attributes, Operation};
use crate::cache::{Collection, CollectionSpec, Hub, Leases};
use crate::errors::internal;
use crate::user::User;

mod convert;
mod create;
mod decode;
mod delete;
mod guards;
mod metadata;
mod part;
mod patch;
mod read;
mod reviews;
mod service;
mod storage;
mod subresource;
mod update;
mod watch;

pub use convert::Conversion;
pub use decode::{Body, Expected};
pub use guards::Guards;
pub use patch::{Patch, PatchKind};
pub use read::Listing;
pub use reviews::Reviewer;
pub use service::first_service_address;
pub use subresource::Secrets;
pub use watch::{WatchItem, WatchReply};

/// Where events are stored, those of both groups.
pub const EVENTS: &str = "events";

/// A served resource of one group version.
pub struct Endpoint {
    /// The facts.
    pub def: &'static ResourceDef,
    /// What is special about the kind.
    pub strategy: &'static dyn Strategy,
    /// `apiVersion` and `kind` of what is served.
    pub type_meta: Arc<TypeMeta>,
    /// The objects; `None` for resources that are only created (reviews) and for virtual ones.
    pub collection: Option<Arc<Collection>>,
    /// How stored objects become served ones, where the served version is not the stored one.
    pub conversion: Option<Conversion>,
}

impl Endpoint {
    /// The `apiVersion` of what is served.
    pub fn api_version(&self) -> &str {
        &self.type_meta.api_version
    }

    /// Whether objects live in namespaces.
    pub fn namespaced(&self) -> bool {
        self.def.scope == Scope::Namespaced
    }

    /// Whether a subresource is the scale that autoscalers know, in place of the object.
    pub fn is_scale(&self, subresource: &str) -> bool {
        let part = self.def.subresource(subresource).filter(|part| part.name == "scale");
        part.is_some_and(|part| part.group == "autoscaling" && part.kind == "Scale")
    }

    /// The collection of a stored resource.
    ///
    /// # Errors
    /// 405 for resources that are not stored.
    pub fn stored(&self, action: &str) -> Result<&Arc<Collection>, Status> {
        self.collection
            .as_ref()
            .ok_or_else(|| Status::method_not_supported(&self.def.group, &self.def.plural, action))
    }

    fn not_found(&self, name: &str) -> Status {
        Status::not_found(&self.def.group, &self.def.plural, name)
    }

    fn conflict(&self, name: &str, why: &str) -> Status {
        Status::conflict(&self.def.group, &self.def.plural, name, why)
    }

    /// Stored versions as this endpoint serves them.
    fn present_all(&self, versions: Vec<Versioned>) -> Vec<Versioned> {
        match &self.conversion {
            None => versions,
            Some(_) => versions.iter().map(|version| self.present(version)).collect(),
        }
    }

    /// A stored version as this endpoint serves it.
    pub fn present(&self, version: &Versioned) -> Versioned {
        match &self.conversion {
            None => version.clone(),
            Some(conversion) => conversion.present(version, &self.type_meta),
        }
    }
}

/// What an operation is asked with.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// Who asks.
    pub user: &'a User,
    /// The namespace of the path.
    pub namespace: &'a str,
    /// The name of the path.
    pub name: &'a str,
    /// The subresource of the path.
    pub subresource: &'a str,
    /// Nothing is to be stored.
    pub dry_run: bool,
}

impl<'a> Call<'a> {
    fn attributes(&self, operation: Operation, endpoint: &'a Endpoint) -> Attributes<'a> {
        Attributes {
            operation,
            endpoint,
            subresource: self.subresource,
            namespace: self.namespace,
            name: self.name,
            user: self.user,
            dry_run: self.dry_run,
        }
    }
}

/// The answer to an operation.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status code.
    pub code: u16,
    /// What is answered.
    pub body: AnswerBody,
    /// Warnings for the client's user.
    pub warnings: Vec<String>,
}

/// What an operation answers.
#[derive(Debug)]
pub enum AnswerBody {
    /// A stored object.
    Version(Versioned),
    /// An object that is not stored: of a dry run, a scale, a review.
    Value(Value),
    /// A list.
    List(Listing),
    /// A watch.
    Watch(WatchReply),
    /// How it went.
    Status(Box<Status>),
}

impl AnswerBody {
    /// How many objects there are in it.
    pub(crate) fn objects(&self) -> usize {
        match self {
            AnswerBody::List(listing) => listing.items.len(),
            _ => 1,
        }
    }
}

impl Answer {
    fn ok(body: AnswerBody) -> Answer {
        Answer { code: 200, body, warnings: Vec::new() }
    }

    fn created(body: AnswerBody) -> Answer {
        Answer { code: 201, ..Answer::ok(body) }
    }
}

/// Everything the generic path needs.
pub struct Registry {
    /// What feeds the collections.
    pub hub: Arc<Hub>,
    /// Time and identity.
    pub clock: Clock,
    /// What must hold for the user of a write.
    pub guards: Guards,
    /// The admission plugins.
    pub admission: admission::Chain,
    /// Signs what the registry gives out (service account tokens).
    pub secrets: Secrets,
    services: service::Allocator,
    endpoints: HashMap<(&'static str, &'static str, &'static str), Arc<Endpoint>>,
    collections: HashMap<&'static str, Arc<Collection>>,
}

impl Registry {
    /// Every resource of the built-in table, over a hub that is not started yet. Services get addresses of these
    /// networks, events live for `event_ttl` (0: for ever); `None` where the table lacks what that needs.
    pub fn new(
        hub: Arc<Hub>,
        clock: Clock,
        secrets: Secrets,
        service_networks: Vec<IpNet>,
        event_ttl: Duration,
    ) -> Option<Registry> {
        let mut endpoints = HashMap::new();
        let mut collections: HashMap<&'static str, Arc<Collection>> = HashMap::new();
        for def in schema::resources() {
            let strategy = kinds::strategy(&def.group, &def.plural);
            let type_meta = TypeMeta::new(&api_version(&def.group, &def.version), &def.kind);
            let storage = storage::storage_of(def);
            let collection = storage.as_ref().map(|storage| {
                let make = || {
                    let stored = kinds::strategy(storage.group, storage.plural);
                    let collection = Arc::new(Collection::new(CollectionSpec {
                        prefix: format!("/registry/{}/", storage.path),
                        type_meta: TypeMeta::new(&api_version(storage.group, storage.version), &def.kind),
                        fields: Box::new(move |object| {
                            let fields = stored.selectable_fields(object).into_iter();
                            fields.map(|(name, value)| (name, value.into_boxed_str())).collect()
                        }),
                        leases: Some(event_ttl)
                            .filter(|ttl| storage.path == EVENTS && !ttl.is_zero())
                            .map(Leases::new),
                    }));
                    hub.add(Arc::clone(&collection));
                    collection
                };
                Arc::clone(collections.entry(storage.path).or_insert_with(make))
            });
            let conversion = storage.as_ref().and_then(|storage| Conversion::between(storage, def));
            let endpoint = Endpoint { def, strategy, type_meta, collection, conversion };
            endpoints.insert((&*def.group, &*def.version, &*def.plural), Arc::new(endpoint));
        }
        let collection = |path| collections.get(path).cloned();
        let (cidrs, addresses) = (collection("servicecidrs")?, collection("ipaddresses")?);
        let services =
            service::Allocator::new(service_networks, Arc::clone(&hub), cidrs, addresses, clock.clone());
        Some(Registry {
            hub,
            clock,
            guards: Guards::default(),
            admission: admission::Chain::default(),
            secrets,
            services,
            endpoints,
            collections,
        })
    }

    /// The endpoint of a path.
    pub fn endpoint(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Endpoint>> {
        let def = schema::resource(group, version, plural)?;
        self.endpoints.get(&(&*def.group, &*def.version, &*def.plural))
    }

    /// All endpoints, in no order.
    pub fn endpoints(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.endpoints.values()
    }

    /// The collection at a path below `/registry/`, for example `pods` or `services/specs`.
    pub fn collection(&self, path: &str) -> Option<&Arc<Collection>> {
        self.collections.get(path)
    }

    /// The object as the store has it, with its version.
    async fn current(
        &self,
        endpoint: &Endpoint,
        collection: &Collection,
        namespace: &str,
        name: &str,
    ) -> Result<Versioned, Status> {
        let key = collection.store_key(namespace, name);
        let found = self.hub.store().range(store::RangeRequest::exact(key)).await;
        let found = found.map_err(crate::errors::from_store)?;
        let kv = found.kvs.first().ok_or_else(|| endpoint.not_found(name))?;
        // The cache mostly has this very version already, decoded.
        match collection.get(namespace, name) {
            Some(cached) if cached.resource_version() == kv.mod_revision.0 => Ok(cached),
            _ => collection.decode(kv).map_err(|error| internal(&error)),
        }
    }
}

/// `v1` or `GROUP/VERSION`.
pub fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}
