//! The next step of a migration.

use std::time::Duration;

use client::ClientError;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::storagemigration::v1::StorageVersionMigration;

use super::snapshot::{Snapshot, Target};
use super::{definition, status};
use crate::framework::{Action, Failure, Plan};

/// The manager in whose name objects are written.
pub(super) const MANAGER: &str = "storage-version-migrator-controller";
/// How long a migration waits for its resource, which may be defined together with it.
const GRACE: SignedDuration = SignedDuration::from_mins(1);
/// How soon a server that does not answer is asked again.
const UNKNOWN_PAUSE: Duration = Duration::from_secs(10);

pub(super) fn plan(snapshot: &Snapshot, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    match snapshot {
        Snapshot::Ended { migration, definition } => {
            if let Some(definition) = definition {
                plan.then(definition::end(definition, status::has_succeeded(migration), now));
            }
            plan.then(Action::update_status(status::ended(migration, now)));
        }
        Snapshot::Next { migration, definition } => {
            if let Some(definition) = definition {
                let name = migration.metadata.name.as_deref().unwrap_or_default();
                plan.then(definition::begin(definition, name, now));
            }
            plan.then(Action::update_status(status::begun(migration, now)));
        }
        Snapshot::Running { migration, target } => run(&mut plan, migration, target, now),
    }
    plan
}

fn run(plan: &mut Plan, migration: &StorageVersionMigration, target: &Target, now: Timestamp) {
    let is_begun = !status::version(migration).is_empty();
    match target {
        Target::Unknown => plan.requeue_after(UNKNOWN_PAUSE),
        Target::Missing if is_begun => {
            give_up(plan, migration, unhandled("unable to obtain GVR from discovery"), now);
        }
        Target::Missing => give_up(plan, migration, "resource does not exist in discovery".into(), now),
        Target::Fixed => give_up(plan, migration, unhandled("resource does not exist in GC"), now),
        Target::Served { version, .. } if !is_begun => {
            plan.then(Action::update_status(status::at_version(migration, version)));
        }
        Target::Served { resource, version } => match version.parse() {
            Ok(up_to) => {
                plan.then(Action::Rewrite { resource: resource.clone(), up_to, manager: MANAGER });
                plan.then(Action::update_status(status::succeeded(migration, now)));
            }
            Err(_) => {
                let why = format!(
                    "error comparing resource versions between GC and SVM resource: resource version is not \
                     well formed: {version}"
                );
                plan.then(Action::update_status(status::failed(migration, unhandled(&why), now)));
            }
        },
    }
}

/// The migration fails if its resource has not come within a minute.
fn give_up(plan: &mut Plan, migration: &StorageVersionMigration, why: String, now: Timestamp) {
    let created = migration.metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
    let left = GRACE - now.duration_since(created);
    if left.is_positive() {
        plan.requeue_after(left.unsigned_abs());
    } else {
        plan.then(Action::update_status(status::failed(migration, why, now)));
    }
}

fn unhandled(why: &str) -> String {
    format!("migration encountered unhandled error: {why}")
}

/// An object that the server refuses to write fails the migration. Everything else is tried again.
pub(super) fn recover(snapshot: &Snapshot, failures: &[Failure], now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let Snapshot::Running { migration, .. } = snapshot else { return plan };
    let of_object = |failure: &&Failure| matches!(failure.action, Action::Rewrite { .. });
    if let Some(failure) = failures.iter().find(of_object).filter(|failure| is_final(&failure.error)) {
        plan.then(Action::update_status(status::failed(migration, unhandled(&failure.why()), now)));
    }
    plan
}

/// Whether an error is an answer that will not change by itself. The resource itself may be gone, which the next look at
/// what is served shows.
fn is_final(error: &ClientError) -> bool {
    !(error.is_temporary() || error.is_not_found() || error.is_method_not_supported() || error.is_expired())
}
