//! The storage version migrator: writes the objects of a resource anew, so that all of them are stored in the form that the
//! server stores now.
//!
//! A StorageVersionMigration asks for that. Of several for one resource, one runs at a time. When the objects of a custom
//! resource have been written, the older versions are removed from the `storedVersions` of its definition, unless the
//! definition has changed in the meantime; then they may be removed from the definition itself.
//!
//! It follows upstream's `pkg/controller/storageversionmigrator`, whose three controllers share one key here: the resource.

use std::sync::Arc;

use client::{Informer, ListOptions, ResourceType};
use jiff::Timestamp;
use k8s_openapi::api::storagemigration::v1::StorageVersionMigration;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

use crate::framework::{Controller, Failure, Live, Look, Plan, Wiring};

mod definition;
mod plan;
mod snapshot;
mod status;
#[cfg(test)]
mod tests;

use snapshot::{Migrated, Snapshot, Target, Turn};

/// The index of migrations by their resource.
const BY_RESOURCE: &str = "resource";

pub(crate) struct StorageVersionMigrator {
    migrations: Arc<Informer<StorageVersionMigration>>,
}

impl Controller for StorageVersionMigrator {
    const NAME: &'static str = plan::MANAGER;
    const ACCOUNT: &'static str = "storage-version-migrator-controller";
    const QUEUE: &'static str = "storage-version-migrator-controller";
    type Key = Migrated;
    type Snapshot = Snapshot;
    type Memory = ();

    fn wire(wiring: &mut Wiring<Migrated>) -> StorageVersionMigrator {
        let migrations = wiring.informer::<StorageVersionMigration>();
        migrations.add_index(BY_RESOURCE, |migration| vec![Migrated::of(migration).to_string()]);
        wiring.wake(&migrations, |change| [Migrated::of(change.object())]);
        // A resource may be defined after its migration.
        let definitions = wiring.informers().kin(ResourceType::of::<CustomResourceDefinition>());
        let all = Arc::clone(&migrations);
        wiring.wake(&definitions, move |change| {
            let waiting = all.indexed(BY_RESOURCE, &change.key.name);
            waiting.first().map(|migration| Migrated::of(migration))
        });
        StorageVersionMigrator { migrations }
    }

    fn observe(&self, key: &Migrated, look: &mut Look<'_, ()>) -> Option<Snapshot> {
        let migrations = self.migrations.indexed(BY_RESOURCE, &key.to_string());
        match snapshot::turn(&migrations)? {
            Turn::Ended(migration) => {
                Some(Snapshot::Ended { migration, definition: definition_of(key, look.live)? })
            }
            Turn::Next(migration) => {
                Some(Snapshot::Next { migration, definition: definition_of(key, look.live)? })
            }
            Turn::Running(migration) => {
                let target = target(key, &migration, look.live)?;
                Some(Snapshot::Running { migration, target })
            }
        }
    }

    fn plan(snapshot: &Snapshot, now: Timestamp) -> Plan {
        plan::plan(snapshot, now)
    }

    fn recover(snapshot: &Snapshot, failures: &[Failure], now: Timestamp) -> Plan {
        plan::recover(snapshot, failures, now)
    }
}

/// The definition of a resource; the inner `None` if it is not a custom one.
fn definition_of(key: &Migrated, live: &mut Live) -> Option<Option<Arc<CustomResourceDefinition>>> {
    let by_name = ListOptions::fields(format!("metadata.name={key}"));
    live.list::<CustomResourceDefinition>(&by_name).map(|found| found.into_iter().next())
}

/// What there is to migrate.
fn target(key: &Migrated, migration: &StorageVersionMigration, live: &mut Live) -> Option<Target> {
    let served = live.served()?;
    let is_it = |served: &&client::ServedResource| {
        served.resource.group == *key.group && served.resource.plural == *key.plural
    };
    let Some(found) = served.resources.iter().find(is_it) else {
        let of_group = |stale: &String| stale.split('/').next() == Some(&*key.group);
        return Some(if served.stale.iter().any(of_group) { Target::Unknown } else { Target::Missing });
    };
    if !snapshot::is_migrated(found) {
        return Some(Target::Fixed);
    }
    let resource = found.resource.clone();
    let version = match status::version(migration) {
        "" => live.version(&resource)?,
        version => version.to_owned(),
    };
    Some(Target::Served { resource, version })
}
