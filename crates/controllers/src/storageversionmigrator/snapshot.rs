//! What is known of the migrations of one resource.

use std::fmt;
use std::sync::Arc;

use client::{ResourceType, ServedResource};
use k8s_openapi::api::storagemigration::v1::StorageVersionMigration;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

use super::status::{is_over, is_running};
use crate::framework::sort_by_age;

/// A resource whose objects are migrated, in whatever version.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Migrated {
    /// The API group; empty for the core group.
    pub(super) group: String,
    /// The plural name.
    pub(super) plural: String,
}

impl Migrated {
    /// The resource of a migration.
    pub(super) fn of(migration: &StorageVersionMigration) -> Migrated {
        let resource = migration.spec.as_ref().map(|spec| spec.resource.clone()).unwrap_or_default();
        Migrated { group: resource.group, plural: resource.resource }
    }
}

/// The name of its definition, if it is a custom one.
impl fmt::Display for Migrated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.plural, self.group)
    }
}

/// The inputs of a decision about the migrations of one resource.
#[derive(Debug)]
pub(crate) enum Snapshot {
    /// One has ended, and is still listed as running.
    Ended {
        /// The migration.
        migration: Arc<StorageVersionMigration>,
        /// The definition of the resource, if it is a custom one.
        definition: Option<Arc<CustomResourceDefinition>>,
    },
    /// None runs; this is the next.
    Next {
        /// The migration.
        migration: Arc<StorageVersionMigration>,
        /// The definition of the resource, if it is a custom one.
        definition: Option<Arc<CustomResourceDefinition>>,
    },
    /// One runs.
    Running {
        /// The migration.
        migration: Arc<StorageVersionMigration>,
        /// What it migrates.
        target: Target,
    },
}

/// What is known of the resource that a migration names.
#[derive(Debug)]
pub(crate) enum Target {
    /// Its group cannot be queried at the moment.
    Unknown,
    /// It is not served.
    Missing,
    /// It is served, but has no objects that are stored and can be written.
    Fixed,
    /// It has objects.
    Served {
        /// The resource in the version that the server prefers.
        resource: ResourceType,
        /// The version of the collection: that of the migration's status or, where there is none yet, the present one.
        version: String,
    },
}

/// Whose turn it is.
#[derive(Debug)]
pub(super) enum Turn {
    Ended(Arc<StorageVersionMigration>),
    Running(Arc<StorageVersionMigration>),
    Next(Arc<StorageVersionMigration>),
}

/// The migration of a resource that comes next: of those that wait, the oldest. `None` if all are over.
pub(super) fn turn(migrations: &[Arc<StorageVersionMigration>]) -> Option<Turn> {
    let mut all = migrations.to_vec();
    sort_by_age(&mut all);
    let find = |is_it: fn(&StorageVersionMigration) -> bool| all.iter().find(|one| is_it(one)).cloned();
    find(|one| is_running(one) && is_over(one))
        .map(Turn::Ended)
        .or_else(|| find(is_running).map(Turn::Running))
        .or_else(|| find(|one| !is_over(one)).map(Turn::Next))
}

/// Whether the objects of a resource are migrated: upstream migrates those that its garbage collector follows.
pub(super) fn is_migrated(served: &ServedResource) -> bool {
    let is_events =
        served.resource.plural == "events" && matches!(&*served.resource.group, "" | "events.k8s.io");
    !is_events && served.supports(&["delete", "list", "patch", "watch"])
}
