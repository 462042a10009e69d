//! The one path on which every resource is served.
//!
//! An [`Endpoint`] of the catalogue is a served resource: its facts, its strategy, the collection that holds its
//! objects. The operations (create, read, update, patch, delete) are written once, over endpoints; the differences
//! between kinds are in the strategy. Nothing here knows HTTP: requests arrive decoded, answers leave as [`Answer`].

use std::sync::Arc;
use std::time::Duration;

use clock::Clock;
use ipnet::IpNet;
use object::{Status, Value, Versioned};
use tokio::time::Instant;

use crate::admission::{self, Warnings};
use crate::aside::Aside;
use crate::cache::{Collection, Hub};
use crate::catalogue::LiveCatalogue;
use crate::components::Components;
use crate::errors::from_cache;
use crate::options::WriteOptions;
use crate::usage::Measures;
use crate::user::User;

mod access;
mod decode;
mod guards;
mod hooks;
mod managers;
mod metadata;
mod own;
mod pipeline;
mod read;
mod watch;
mod ways;
mod write;

pub use crate::catalogue::{EVENTS, Endpoint, api_version};
pub(crate) use access::Server;
pub use decode::{Body, Expected};
pub use guards::Guards;
#[cfg(test)]
pub(crate) use hooks::Hook;
pub use hooks::first_service_address;
use hooks::{Hooks, Requesters, Services};
pub(crate) use own::Own;
pub use pipeline::{Passage, Stage, StageObserver};
pub use read::Listing;
pub use watch::{WatchItem, WatchReply};
pub(crate) use ways::{At, way};
pub use ways::{ChangeKind, Patch, PatchKind, Reviewer, Secrets};
pub use write::ManagerOperation;

/// The context of an operation.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// The user who sent the request.
    pub user: &'a User,
    /// The namespace of the path.
    pub namespace: &'a str,
    /// The name of the path.
    pub name: &'a str,
    /// The subresource of the path.
    pub subresource: &'a str,
    /// The additional context of a write.
    pub options: &'a WriteOptions,
    /// Identifies the request.
    pub uid: &'a str,
    /// When the request is over, for admission and whatever else may take long.
    pub deadline: Instant,
    /// Takes the warnings, if somebody wants them: they belong to a refusal as well as to a success.
    pub warnings: Option<&'a Warnings>,
}

/// The answer to an operation.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status code.
    pub code: u16,
    /// The content of the response.
    pub body: AnswerBody,
    /// Warnings for the client's user, once the request is over.
    pub warnings: Vec<String>,
}

/// The answer of an operation.
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
    /// A status.
    Status(Box<Status>),
}

impl AnswerBody {
    /// How many objects there are in it, and how many bytes of JSON they are.
    pub(crate) fn size(&self) -> (usize, usize) {
        match self {
            AnswerBody::List(listing) => {
                (listing.items.len(), listing.items.iter().map(Versioned::json_len).sum())
            }
            AnswerBody::Version(version) => (1, version.json_len()),
            _ => (1, 0),
        }
    }
}

impl Call<'_> {
    /// Adds warnings for the client's user.
    pub(crate) fn warn(&self, warnings: impl IntoIterator<Item = String>) {
        if let Some(kept) = self.warnings {
            warnings.into_iter().for_each(|warning| kept.add(warning));
        }
    }
}

impl Answer {
    fn ok(body: AnswerBody) -> Answer {
        Answer { code: 200, body, warnings: Vec::new() }
    }

    /// A refusal with its warnings.
    pub(crate) fn refusal(status: Status, warnings: Vec<String>) -> Answer {
        Answer { code: status.code(), body: AnswerBody::Status(Box::new(status)), warnings }
    }

    fn created(body: AnswerBody) -> Answer {
        Answer { code: 201, ..Answer::ok(body) }
    }
}

/// Everything the generic path needs.
pub struct Registry {
    /// The hub that feeds the collections.
    pub hub: Arc<Hub>,
    /// The served resources.
    pub catalogue: Arc<LiveCatalogue>,
    /// Time and identity.
    pub clock: Clock,
    /// Checks of the rights of a write's user.
    pub guards: Guards,
    /// The admission plugins.
    pub admission: admission::Chain,
    /// Signs the tokens that the registry issues (service account tokens).
    pub secrets: Secrets,
    /// Their health is shown.
    pub components: Components,
    /// What nodes and pods use.
    pub measures: Measures,
    /// Observes the stage that each write has reached.
    pub observer: Option<Arc<dyn StageObserver>>,
    pub(crate) hooks: Hooks,
    /// Where validation is done that takes long.
    pub(crate) aside: Arc<Aside>,
}

impl Registry {
    /// Every resource of the built-in table, over a hub that is not started yet. Services get addresses of these
    /// networks, events live for `event_ttl` (0: forever).
    pub fn new(
        hub: Arc<Hub>,
        clock: Clock,
        secrets: Secrets,
        service_networks: Vec<IpNet>,
        event_ttl: Duration,
    ) -> Registry {
        let catalogue = Arc::new(LiveCatalogue::new(Arc::clone(&hub), event_ttl));
        let services = Services::new(service_networks, Arc::clone(&hub), clock.clone());
        Registry {
            observer: None,
            hooks: Hooks::new(vec![Arc::new(Requesters), Arc::new(services)]),
            hub,
            clock,
            guards: Guards::default(),
            admission: admission::Chain::default(),
            secrets,
            components: Components::default(),
            measures: Measures::default(),
            catalogue,
            aside: Arc::default(),
        }
    }

    /// Releases what a server that was killed during a write has left behind. No write may have begun yet.
    pub async fn repair(&self) {
        self.hooks.repair(&access::Server::new(self, false)).await;
    }

    /// The endpoint of a path, for the whole of a request.
    pub fn endpoint(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Endpoint>> {
        self.catalogue.endpoint(group, version, plural)
    }

    /// The collection of a built-in resource at a path below `/registry/`, for example `pods` or `services/specs`.
    pub fn collection(&self, path: &str) -> Option<&Arc<Collection>> {
        self.catalogue.built_in(path)
    }

    /// The stored object, with its version.
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
        // The cache usually has this version already, decoded.
        match collection.get(namespace, name) {
            Some(cached) if cached.resource_version() == kv.mod_revision.0 => Ok(cached),
            _ => collection.decode(kv).map_err(from_cache),
        }
    }
}
