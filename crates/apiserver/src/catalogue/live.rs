//! The current generation, and the creation of the next one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use parking_lot::RwLock;
use tokio::sync::watch;

use super::builtin::{self, Collections};
use super::definition::Entries;
use super::{Catalogue, Definition, DefinitionError, Endpoint};
use crate::cache::{CacheError, Collection, Hub, Meter};

/// The catalogue of a running server.
pub struct LiveCatalogue {
    hub: Arc<Hub>,
    present: ArcSwap<Catalogue>,
    generation: watch::Sender<u64>,
    /// Held while a generation is made from the previous one.
    changing: tokio::sync::Mutex<()>,
    built_in: Collections,
    /// The stored versions of custom resources, by resource and group, also where no version is served.
    stored: RwLock<HashMap<String, Arc<Endpoint>>>,
    removal: RwLock<Vec<OnRemoval>>,
}

/// What is done when a resource, by its group and plural name, is not served any more.
type OnRemoval = Box<dyn Fn(&str, &str) + Send + Sync>;

/// The metrics of a resource that is not served yet. They disappear again if it never is: the waiting call may fail or
/// be cancelled.
struct Provisional(Option<Meter>);

impl Drop for Provisional {
    fn drop(&mut self) {
        if let Some(meter) = &self.0 {
            meter.end();
        }
    }
}

/// Why the catalogue did not change.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// The definition cannot be served.
    #[error("definition of {name}")]
    Definition {
        /// Resource and group.
        name: String,
        /// Why.
        source: DefinitionError,
    },
    /// A resource with this name is served already.
    #[error("{0} is already served")]
    Taken(String),
    /// No custom resource with this name is served.
    #[error("{0} is not a served custom resource")]
    NotServed(String),
    /// The objects cannot be read from the store.
    #[error("cannot read the objects of {name}")]
    Cache {
        /// Resource and group.
        name: String,
        /// Why.
        source: Box<CacheError>,
    },
}

impl LiveCatalogue {
    /// The built-in resources, over a hub that is not started yet. Events live for `event_ttl` (0: forever).
    pub fn new(hub: Arc<Hub>, event_ttl: Duration) -> LiveCatalogue {
        let (catalogue, built_in) = builtin::catalogue(&hub, event_ttl);
        let generation = watch::Sender::new(catalogue.generation());
        let present = ArcSwap::from_pointee(catalogue);
        let (changing, removal, stored) = Default::default();
        LiveCatalogue { hub, present, generation, changing, built_in, stored, removal }
    }

    /// Calls this with group and plural name of each resource that is not served any more.
    pub(crate) fn on_removal(&self, call: impl Fn(&str, &str) + Send + Sync + 'static) {
        self.removal.write().push(Box::new(call));
    }

    /// Whether any version of a resource is served.
    pub(crate) fn serves(&self, group: &str, plural: &str) -> bool {
        self.load().endpoints().any(|endpoint| endpoint.def.group == group && endpoint.def.plural == plural)
    }

    /// The current generation, for as long as it takes to look something up.
    pub fn load(&self) -> Guard<Arc<Catalogue>> {
        self.present.load()
    }

    /// The current generation, to keep for a while.
    pub fn present(&self) -> Arc<Catalogue> {
        self.present.load_full()
    }

    /// The number of the current generation; it wakes those who wait when there is a new one.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    /// The endpoint of a path, to keep for one request.
    pub fn endpoint(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Endpoint>> {
        self.load().endpoint(group, version, plural).cloned()
    }

    /// The collection of a built-in resource at a path below `/registry/`, for example `pods` or `services/specs`.
    pub fn built_in(&self, path: &str) -> Option<&Arc<Collection>> {
        self.built_in.get(path)
    }

    /// Serves a new resource, with its existing objects in the store. When this returns, requests and discovery find
    /// it.
    ///
    /// # Errors
    /// Why it cannot be served; nothing has changed then.
    pub async fn add(&self, definition: Definition) -> Result<(), CatalogueError> {
        let _changing = self.changing.lock().await;
        let (group, plural) = (&*definition.group, &*definition.plural);
        if self.serves(group, plural) || self.stored(group, plural).is_some() {
            return Err(CatalogueError::Taken(name(group, plural)));
        }
        let mut meter = Provisional(Some(self.hub.metrics().of(group, plural)));
        let key = name(group, plural);
        let (endpoints, stored) = self.join(definition, meter.0.clone().unwrap_or_default()).await?;
        self.stored.write().insert(key, stored);
        self.swap(self.present().with(endpoints));
        meter.0 = None;
        Ok(())
    }

    /// Replaces the definition of a custom resource. No request fails because of that; watches end, and clients that
    /// open them again see the new definition.
    ///
    /// # Errors
    /// Why it cannot be served; the old definition stays then.
    pub async fn replace(&self, definition: Definition) -> Result<(), CatalogueError> {
        let _changing = self.changing.lock().await;
        let (group, plural) = (definition.group.clone(), definition.plural.clone());
        let old = self.custom(&group, &plural)?;
        let (endpoints, stored) = self.join(definition, old.meter.clone()).await?;
        self.stored.write().insert(name(&group, &plural), stored);
        self.swap(self.present().without(&group, &plural).with(endpoints));
        self.hub.remove_caught_up(old).await;
        Ok(())
    }

    /// Stops serving a custom resource. Requests in flight finish; watches end after the last change; the objects stay
    /// in the store, and are served again when the resource is added again.
    ///
    /// # Errors
    /// [`CatalogueError::NotServed`], also for built-in resources.
    pub async fn remove(&self, group: &str, plural: &str) -> Result<(), CatalogueError> {
        let _changing = self.changing.lock().await;
        let old = self.custom(group, plural)?;
        self.stored.write().remove(&name(group, plural));
        self.swap(self.present().without(group, plural));
        old.meter.end();
        self.removal.read().iter().for_each(|call| call(group, plural));
        self.hub.remove_caught_up(old).await;
        Ok(())
    }

    /// Compiles a definition and adds its collection, which is measured by `meter`, to the hub.
    async fn join(
        &self,
        definition: Definition,
        meter: Meter,
    ) -> Result<(Vec<Arc<Endpoint>>, Arc<Endpoint>), CatalogueError> {
        let name = name(&definition.group, &definition.plural);
        let Entries { collection, endpoints, stored } = match definition.entries(meter) {
            Ok(entries) => entries,
            Err(source) => return Err(CatalogueError::Definition { name, source }),
        };
        self.hub
            .join(collection)
            .await
            .map_err(|source| CatalogueError::Cache { name, source: Box::new(source) })?;
        Ok((endpoints, stored))
    }

    /// The collection of a custom resource that is served.
    fn custom(&self, group: &str, plural: &str) -> Result<Arc<Collection>, CatalogueError> {
        let collection = self.stored(group, plural).and_then(|endpoint| endpoint.collection.clone());
        collection.ok_or_else(|| CatalogueError::NotServed(name(group, plural)))
    }

    /// The endpoint of the stored version of a custom resource, which need not be served.
    pub(crate) fn stored(&self, group: &str, plural: &str) -> Option<Arc<Endpoint>> {
        self.stored.read().get(&name(group, plural)).cloned()
    }

    fn swap(&self, next: Catalogue) {
        let generation = next.generation();
        self.present.store(Arc::new(next));
        self.generation.send_replace(generation);
    }
}

/// The full name of a resource: `widgets.example.com`.
fn name(group: &str, plural: &str) -> String {
    format!("{plural}.{group}")
}
