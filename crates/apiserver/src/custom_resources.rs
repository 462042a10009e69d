//! CustomResourceDefinitions become served resources.
//!
//! The publisher follows the collection of definitions: it accepts their names ([`names`]), adds what they define to the
//! catalogue ([`parse`]), and, when one is deleted, deletes its objects first ([`cleanup`]). Upstream spreads this over
//! controllers (`apiextensions-apiserver/pkg/controller/{status,establish,finalizer}`) and a handler. Several servers
//! over one store each serve what the collection says; what they write into a status is the same, and a conflict is
//! answered by the next event.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Weak};
use std::time::Duration;

use object::{Status, Value, value};
use schema::GroupResource;
use tokio::task::JoinSet;

use crate::cache::{CacheError, Change, Collection, Watcher};
use crate::dial::Dial;
use crate::registry::Registry;

mod cleanup;
mod conversion;
mod names;
mod parse;
#[cfg(test)]
mod tests;

/// Where definitions are stored.
const DEFINITIONS: &str = "apiextensions.k8s.io/customresourcedefinitions";
/// How long a failure is waited for before the next try.
const RETRY: Duration = Duration::from_secs(1);

/// What this server serves of a definition.
struct Served {
    group: String,
    plural: String,
    /// The hash of everything that decides about what is served.
    content: u64,
}

/// Makes the catalogue follow the definitions.
pub(crate) struct Publisher {
    registry: Weak<Registry>,
    collection: Arc<Collection>,
    /// To the webhooks that convert objects.
    way: conversion::Way,
    /// By the names of the definitions.
    served: HashMap<String, Served>,
    /// The definitions whose objects are being deleted.
    cleaning: BTreeSet<String>,
    cleanups: JoinSet<String>,
    /// The definitions that are to be looked at.
    pending: BTreeSet<String>,
    /// The definitions that are tried again.
    failed: BTreeSet<String>,
}

impl Publisher {
    /// A publisher that serves nothing yet, and dials conversion webhooks by `dialer`; `None` if the table has no
    /// definitions.
    pub(crate) fn new(registry: &Arc<Registry>, dialer: Arc<dyn Dial>) -> Option<Publisher> {
        let collection = Arc::clone(registry.collection(DEFINITIONS)?);
        let way =
            conversion::Way { registry: Arc::downgrade(registry), dialer, clock: registry.clock.clone() };
        Some(Publisher {
            registry: Arc::downgrade(registry),
            collection,
            way,
            served: HashMap::new(),
            cleaning: BTreeSet::new(),
            cleanups: JoinSet::new(),
            pending: BTreeSet::new(),
            failed: BTreeSet::new(),
        })
    }

    /// Serves what is established already, as at the start of a server.
    pub(crate) async fn load(&mut self) {
        let Some(registry) = self.registry.upgrade() else { return };
        for (_, version) in &self.collection.objects() {
            let definition = version.value();
            if is_accepted(&definition) {
                self.publish(&registry, &definition).await;
            }
        }
    }

    /// Follows the definitions in a separate task, for as long as the registry lives and the store is open.
    pub(crate) fn run(mut self) {
        tokio::spawn(async move {
            while let Some(hub) = self.registry.upgrade().map(|registry| Arc::clone(&registry.hub)) {
                let (snapshot, watcher) = Watcher::with_snapshot(&self.collection, &hub);
                drop(hub);
                self.pending = snapshot.objects.values().map(|version| version.name().to_owned()).collect();
                self.pending.extend(self.served.keys().cloned());
                match self.follow(watcher).await {
                    // It was too slow, and looks at everything again.
                    CacheError::TooOld { .. } => {}
                    _ => return,
                }
            }
        });
    }

    async fn follow(&mut self, mut watcher: Watcher) -> CacheError {
        loop {
            if !self.turn().await {
                return CacheError::Ended;
            }
            let wait_to_retry = !self.failed.is_empty();
            tokio::select! {
                changes = watcher.next() => match changes {
                    Ok(changes) => self.note(&changes),
                    Err(error) => return error,
                },
                Some(done) = self.cleanups.join_next() => {
                    if let Ok(name) = done {
                        self.cleaning.remove(&name);
                        self.pending.insert(name);
                    }
                }
                () = tokio::time::sleep(RETRY), if wait_to_retry => self.pending.append(&mut self.failed),
            }
        }
    }

    fn note(&mut self, changes: &[Arc<Change>]) {
        self.pending.extend(changes.iter().map(|change| change.object.name().to_owned()));
    }

    /// Looks at all pending definitions; whether the registry still lives.
    async fn turn(&mut self) -> bool {
        let Some(registry) = self.registry.upgrade() else { return false };
        while let Some(name) = self.pending.pop_first() {
            // A name that has just been accepted must be seen before the next definition asks for it.
            let caught_up = registry.hub.catch_up().await.is_ok();
            match self.sync(&registry, &name).await {
                Ok(()) if caught_up => {}
                Ok(()) => {
                    self.failed.insert(name);
                }
                // The next event shows what has changed, or that it is gone.
                Err(status) if matches!(status.code, 404 | 409) => {}
                Err(status) => {
                    tracing::warn!(name, error = status.message, "cannot update a CustomResourceDefinition");
                    self.failed.insert(name);
                }
            }
        }
        true
    }

    async fn sync(&mut self, registry: &Arc<Registry>, name: &str) -> Result<(), Status> {
        let Some(version) = self.collection.get("", name) else {
            self.withdraw(registry, name).await;
            return Ok(());
        };
        let definition = version.value();
        if version.is_deleting() {
            if is_accepted(&definition) {
                self.publish(registry, &definition).await;
            }
            if cleanup::is_due(&definition) && self.cleaning.insert(name.to_owned()) {
                self.cleanups.spawn(cleanup::run(Weak::clone(&self.registry), name.to_owned()));
            }
            return Ok(());
        }
        let mut next = definition.clone();
        let time = registry.clock.now_seconds().to_string();
        // Others are only read where names are asked for: a group may have thousands.
        let asks = definition.at("spec.names") != definition.at("status.acceptedNames");
        let is_named = asks && names::accept(&mut next, &self.others(&definition), &time);
        if is_named | conditions(&mut next, &time) {
            let released = definition.at("status.acceptedNames") != next.at("status.acceptedNames");
            write_status(registry, name, next).await?;
            if released {
                self.reconsider(&definition);
            }
            return Ok(());
        }
        if is_accepted(&definition) {
            if self.publish(registry, &definition).await {
                names::establish(&mut next, &time);
            }
        } else {
            names::distrust(&mut next, &time);
        }
        if next != definition {
            write_status(registry, name, next).await?;
        }
        Ok(())
    }

    /// The other definitions of a group.
    fn others(&self, definition: &Value) -> Vec<Value> {
        let (group, name) = (definition.str_at("spec.group"), definition.str_at("metadata.name"));
        let objects = self.collection.objects();
        let suffix = format!(".{group}");
        let others = objects.values().filter(|other| other.name() != name && other.name().ends_with(&suffix));
        others.map(|other| other.value()).filter(|other| other.str_at("spec.group") == group).collect()
    }

    /// Looks at the other definitions of a group whose names are not accepted: one may be free now.
    fn reconsider(&mut self, definition: &Value) {
        let refused = self
            .others(definition)
            .into_iter()
            .filter(|other| other.at("spec.names") != other.at("status.acceptedNames"));
        let names: Vec<String> = refused.map(|other| other.str_at("metadata.name").to_owned()).collect();
        self.pending.extend(names);
    }

    /// Serves a definition as it is; whether that is so now.
    async fn publish(&mut self, registry: &Registry, definition: &Value) -> bool {
        let name = definition.str_at("metadata.name").to_owned();
        let content = content(definition);
        if self.served.get(&name).is_some_and(|served| served.content == content) {
            return true;
        }
        let parsed = match registry.aside.run(|| parse::definition(definition, &self.way)).await {
            Ok(parsed) => parsed,
            Err(error) => {
                tracing::warn!(name, error, "cannot serve a CustomResourceDefinition");
                return false;
            }
        };
        let (group, plural) = (parsed.group.clone(), parsed.plural.clone());
        let changed = match self.served.contains_key(&name) {
            true => registry.catalogue.replace(parsed).await,
            false => registry.catalogue.add(parsed).await,
        };
        match changed {
            Ok(()) => {
                self.served.insert(name, Served { group, plural, content });
                true
            }
            Err(error) => {
                tracing::warn!(
                    name,
                    error = causes::chain(&error),
                    "cannot serve a CustomResourceDefinition"
                );
                false
            }
        }
    }

    /// Stops serving a definition that is gone.
    async fn withdraw(&mut self, registry: &Registry, name: &str) {
        let Some(Served { group, plural, .. }) = self.served.remove(name) else { return };
        if let Err(error) = registry.catalogue.remove(&group, &plural).await {
            tracing::warn!(name, error = causes::chain(&error), "a deleted resource was not served");
        }
        let gone = value!({"metadata": {"name": name}, "spec": {"group": group}});
        self.reconsider(&gone);
    }
}

/// Whether a definition is served.
fn is_accepted(definition: &Value) -> bool {
    let can_be =
        || is_true(definition, "NamesAccepted") && kinds::validation::conversion_can_be_trusted(definition);
    is_true(definition, "Established") || can_be()
}

fn is_true(definition: &Value, condition: &str) -> bool {
    kinds::custom_resource_definition::is_condition_true(definition, condition)
}

/// The hash of everything that decides about what is served.
fn content(definition: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    for part in [definition.get("spec"), definition.at("status.acceptedNames")] {
        object::json::to_vec(part).hash(&mut hasher);
    }
    (!definition.at("metadata.deletionTimestamp").is_null()).hash(&mut hasher);
    definition.str_at("metadata.uid").hash(&mut hasher);
    hasher.finish()
}

/// Sets the conditions about the group's policy and the schemas; whether they have changed.
fn conditions(definition: &mut Value, time: &str) -> bool {
    let before: BTreeMap<String, Value> = by_type(definition);
    for condition in [
        kinds::validation::approval_condition(definition),
        kinds::validation::non_structural_schema(definition),
    ] {
        if !condition.is_null() {
            kinds::custom_resource_definition::set_condition(definition, condition, time.into());
        }
    }
    by_type(definition) != before
}

fn by_type(definition: &Value) -> BTreeMap<String, Value> {
    let conditions = definition.at("status.conditions").items();
    conditions.map(|condition| (condition.str_at("type").to_owned(), condition.clone())).collect()
}

/// Writes a status, on the condition that the definition has not changed.
async fn write_status(registry: &Registry, name: &str, definition: Value) -> Result<(), Status> {
    let resource = GroupResource::new("apiextensions.k8s.io", "customresourcedefinitions");
    registry.write_status(resource, name, definition, "kube-apiserver").await
}
