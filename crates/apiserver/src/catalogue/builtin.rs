//! The entries of the built-in resources.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use object::TypeMeta;
use schema::ResourceDef;

use super::storage::{Storage, storage_of};
use super::{Catalogue, Conversion, Endpoint, Shared, api_version};
use crate::cache::{Collection, CollectionSpec, Hub, Leases};

/// Where events are stored, those of both groups.
pub const EVENTS: &str = "events";

/// The collections of the built-in resources, by their paths below `/registry/`. They are never removed.
pub(super) type Collections = HashMap<&'static str, Arc<Collection>>;

/// The first generation: every resource of the built-in table. Events live for `event_ttl` (0: forever).
pub(super) fn catalogue(hub: &Hub, event_ttl: Duration) -> (Catalogue, Collections) {
    let mut collections = Collections::new();
    let endpoints = schema::resources().iter().map(|def| {
        let storage = storage_of(def);
        let collection = storage.as_ref().map(|storage| {
            let make = || {
                let meter = hub.metrics().of(storage.group, storage.plural);
                let collection = Arc::new(collection_of(storage, def, event_ttl).measured_by(meter));
                hub.add(Arc::clone(&collection));
                collection
            };
            Arc::clone(collections.entry(storage.path).or_insert_with(make))
        });
        Arc::new(Endpoint {
            def: Shared::from(def),
            strategy: Shared::from(kinds::strategy(&def.group, &def.plural)),
            type_meta: TypeMeta::new(&api_version(&def.group, &def.version), &def.kind),
            collection,
            conversion: storage.as_ref().and_then(|storage| Conversion::between(storage, def)),
            terminating: false,
        })
    });
    (Catalogue::default().with(endpoints), collections)
}

fn collection_of(storage: &Storage, def: &ResourceDef, event_ttl: Duration) -> Collection {
    let stored = kinds::strategy(storage.group, storage.plural);
    Collection::new(CollectionSpec {
        prefix: format!("/registry/{}/", storage.path),
        type_meta: TypeMeta::new(&api_version(storage.group, storage.version), &def.kind),
        fields: Box::new(move |object| stored.field_values(object)),
        leases: Some(event_ttl).filter(|ttl| storage.path == EVENTS && !ttl.is_zero()).map(Leases::new),
        amend: None,
    })
}
