use client::ServedResource;
use jiff::Timestamp;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use object::Status;
use serde_json::{Value as Json, json};

use super::snapshot::{is_migrated, turn};
use super::*;
use crate::framework::Action;

/// A minute after the migrations of these tests were created.
const LATER: i64 = 160;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn condition(kind: &str, status: &str, reason: &str, message: &str, since: i64) -> Json {
    json!({
        "type": kind, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": at(since).to_string(),
    })
}

/// A migration with these conditions; those with a dash do not hold.
fn migration(name: &str, version: &str, conditions: &[&str]) -> Arc<StorageVersionMigration> {
    let conditions: Vec<Json> = conditions
        .iter()
        .map(|kind| {
            let status = if kind.starts_with('-') { "False" } else { "True" };
            condition(kind.trim_start_matches('-'), status, "Tested", "", 100)
        })
        .collect();
    Arc::new(
        serde_json::from_value(json!({
            "metadata": {"name": name, "creationTimestamp": at(100).to_string(), "generation": 1},
            "spec": {"resource": {"group": "example.com", "resource": "widgets"}},
            "status": {"resourceVersion": version, "conditions": conditions},
        }))
        .unwrap(),
    )
}

/// A definition of generation 3, whose migration began at `observed`.
fn definition(observed: Option<i64>) -> Arc<CustomResourceDefinition> {
    let version = |name: &str, storage: bool| json!({"name": name, "served": true, "storage": storage});
    let conditions: Vec<Json> = observed
        .map(|generation| json!({"type": "StorageMigrating", "status": "True", "observedGeneration": generation}))
        .into_iter()
        .collect();
    Arc::new(
        serde_json::from_value(json!({
            "metadata": {"name": "widgets.example.com", "generation": 3, "resourceVersion": "7"},
            "spec": {
                "group": "example.com", "scope": "Namespaced", "names": {"kind": "Widget", "plural": "widgets"},
                "versions": [version("v1", false), version("v2", true)],
            },
            "status": {"storedVersions": ["v1", "v2"], "conditions": conditions},
        }))
        .unwrap(),
    )
}

fn widgets() -> ResourceType {
    ResourceType {
        group: "example.com".into(),
        version: "v2".into(),
        plural: "widgets".into(),
        kind: "Widget".into(),
    }
}

fn running(version: &str, target: Target) -> Snapshot {
    Snapshot::Running { migration: migration("m", version, &["Running"]), target }
}

/// The conditions that an action writes: type, status, reason, message.
fn written(action: &Action) -> Vec<[String; 4]> {
    let migration = action.object::<StorageVersionMigration>().unwrap();
    let all = migration.status.as_ref().unwrap().conditions.iter().flatten();
    all.map(|one| [&one.type_, &one.status, &one.reason, &one.message].map(String::clone)).collect()
}

fn is_written(action: &Action, expected: [&str; 4]) {
    assert!(written(action).contains(&expected.map(str::to_owned)), "{:?}", written(action));
}

/// The status that an action applies to the definition.
fn applied(action: &Action) -> Json {
    let Action::Patch { key, subresource: "status", patch, .. } = action else { panic!("{action:?}") };
    let client::Patch::Apply { object, field_manager, force: true } = patch else { panic!("{patch:?}") };
    assert_eq!((&*key.name, &**field_manager), ("widgets.example.com", "migration-runner-controller"));
    assert_eq!(object["metadata"], json!({"name": "widgets.example.com", "resourceVersion": "7"}));
    object["status"].clone()
}

#[test]
fn one_migration_of_a_resource_runs_at_a_time() {
    let name = |one: &StorageVersionMigration| one.metadata.name.clone().unwrap();
    for (all, expected) in [
        (vec![], None),
        (vec![migration("a", "5", &["Succeeded", "-Running"]), migration("b", "5", &["Failed"])], None),
        (vec![migration("b", "", &[]), migration("a", "", &[])], Some("next a")),
        (vec![migration("a", "", &[]), migration("b", "", &["Running"])], Some("running b")),
        (
            vec![migration("a", "", &["Running"]), migration("b", "5", &["Running", "Succeeded"])],
            Some("ended b"),
        ),
        (vec![migration("a", "5", &["Running", "Failed"])], Some("ended a")),
        (vec![migration("a", "5", &["Failed"]), migration("b", "", &[])], Some("next b")),
    ] {
        let found = turn(&all).map(|turn| match turn {
            Turn::Ended(one) => format!("ended {}", name(&one)),
            Turn::Running(one) => format!("running {}", name(&one)),
            Turn::Next(one) => format!("next {}", name(&one)),
        });
        assert_eq!(found.as_deref(), expected);
    }
}

#[test]
fn a_migration_begins_in_its_definition() {
    let begin = |definition| Snapshot::Next { migration: migration("m", "", &[]), definition };
    let plan = plan::plan(&begin(Some(definition(None))), at(100));
    let [first, second] = &plan.actions()[..] else { panic!("{plan:?}") };
    assert_eq!(
        applied(first),
        json!({
            "conditions": [{
                "type": "StorageMigrating", "status": "True", "reason": "MigrationRunning",
                "message": "Migration m is running", "lastTransitionTime": at(100).to_string(),
                "observedGeneration": 3,
            }],
            "storedVersions": ["v1", "v2"],
        })
    );
    is_written(second, ["Running", "True", "MigrationRunning", "The migration is running"]);
    // Only custom resources have one.
    assert_eq!(plan::plan(&begin(None), at(100)).actions().len(), 1);
}

#[test]
fn the_end_of_a_migration_removes_older_versions() {
    let updated = "The migration has succeeded and the stored versions have been updated";
    let outdated = "The migration has succeeded but the stored versions have not been updated due to a \
                    generation mismatch";
    for (conditions, observed, reason, message, stored) in [
        (["Running", "Succeeded"], Some(3), "MigrationSucceeded", updated, json!(["v2"])),
        (["Running", "Succeeded"], Some(2), "MigrationSucceeded", outdated, json!(["v1", "v2"])),
        (["Running", "Succeeded"], None, "MigrationSucceeded", outdated, json!(["v1", "v2"])),
        (["Running", "Failed"], Some(3), "MigrationFailed", "The migration has failed", json!(["v1", "v2"])),
    ] {
        let migration = migration("m", "5", &conditions);
        let snapshot = Snapshot::Ended { migration, definition: Some(definition(observed)) };
        let plan = plan::plan(&snapshot, at(200));
        let [first, second] = &plan.actions()[..] else { panic!("{plan:?}") };
        let status = applied(first);
        let said = &status["conditions"][0];
        assert_eq!((&said["status"], &said["reason"]), (&json!("False"), &json!(reason)));
        assert_eq!((&said["message"], &status["storedVersions"]), (&json!(message), &stored));
        is_written(second, ["Running", "False", "MigrationCompleted", "Migration completed"]);
    }
}

#[test]
fn objects_are_written_up_to_the_version_at_the_beginning() {
    let served = |version: &str| Target::Served { resource: widgets(), version: version.into() };
    let first = plan::plan(&running("", served("41")), at(100));
    let [only] = &first.actions()[..] else { panic!("{first:?}") };
    let noted = only.object::<StorageVersionMigration>().unwrap().status.as_ref().unwrap();
    assert_eq!(noted.resource_version.as_deref(), Some("41"));

    let next = plan::plan(&running("41", served("41")), at(100));
    let [rewrite, success] = &next.actions()[..] else { panic!("{next:?}") };
    let Action::Rewrite { resource, up_to: 41, manager } = rewrite else { panic!("{rewrite:?}") };
    assert_eq!((resource, *manager), (&widgets(), "storage-version-migrator-controller"));
    is_written(success, ["Succeeded", "True", "StorageVersionMigrationSucceeded", ""]);

    let odd = plan::plan(&running("99999999999999999999999", served("99999999999999999999999")), at(100));
    is_written(
        odd.actions()[0],
        [
            "Failed",
            "True",
            "StorageVersionMigrationFailed",
            "migration encountered unhandled error: error comparing resource versions between GC and SVM resource: \
         resource version is not well formed: 99999999999999999999999",
        ],
    );
}

#[test]
fn a_resource_has_a_minute_to_come() {
    for (version, target, message) in [
        ("", Target::Missing, "resource does not exist in discovery"),
        ("5", Target::Missing, "migration encountered unhandled error: unable to obtain GVR from discovery"),
        ("", Target::Fixed, "migration encountered unhandled error: resource does not exist in GC"),
    ] {
        let snapshot = running(version, target);
        let early = plan::plan(&snapshot, at(130));
        assert!(early.is_empty());
        assert_eq!(early.requeue_after.unwrap().as_secs(), 30);
        let late = plan::plan(&snapshot, at(LATER));
        is_written(late.actions()[0], ["Failed", "True", "StorageVersionMigrationFailed", message]);
    }
    let unknown = plan::plan(&running("", Target::Unknown), at(LATER));
    assert!(unknown.is_empty() && unknown.requeue_after.is_some());
}

#[test]
fn a_refused_object_fails_the_migration() {
    let snapshot = running("5", Target::Served { resource: widgets(), version: "5".into() });
    let rewrite = || Action::Rewrite { resource: widgets(), up_to: 5, manager: plan::MANAGER };
    let fails = |status: Status| {
        let failures = [Failure { action: rewrite(), error: status.into() }];
        let plan = plan::recover(&snapshot, &failures, at(100));
        plan.actions().first().map(|action| written(action))
    };
    let refused = fails(Status::forbidden("example.com", "widgets", "w", "no")).unwrap();
    let why = "migration encountered unhandled error: widgets.example.com \"w\" is forbidden: no";
    assert!(
        refused.contains(&["Failed", "True", "StorageVersionMigrationFailed", why].map(str::to_owned)),
        "{refused:?}"
    );
    for passing in [
        Status::internal_error("a webhook does not answer"),
        Status::too_many_requests("later", 1),
        Status::not_found("example.com", "widgets", ""),
    ] {
        assert_eq!(fails(passing), None);
    }
    // The end could not be written.
    let end = Action::update_status(status::succeeded(&migration("m", "5", &["Running"]), at(100)));
    let failures = [Failure { action: end, error: Status::forbidden("", "", "m", "no").into() }];
    assert!(plan::recover(&snapshot, &failures, at(100)).is_empty());
}

#[test]
fn events_and_what_cannot_be_patched_are_not_migrated() {
    let all = ["create", "delete", "get", "list", "patch", "watch"];
    for (group, plural, verbs, expected) in [
        ("", "secrets", &all[..], true),
        ("events.k8s.io", "events", &all[..], false),
        ("", "events", &all[..], false),
        ("example.com", "events", &all[..], true),
        ("authorization.k8s.io", "subjectaccessreviews", &["create"][..], false),
    ] {
        let resource = ResourceType {
            group: group.into(),
            version: "v1".into(),
            plural: plural.into(),
            kind: "X".into(),
        };
        let verbs = verbs.iter().map(ToString::to_string).collect();
        let versions = vec!["v1".to_owned()];
        let served = ServedResource { resource, namespaced: true, verbs, versions, has_scale: false };
        assert_eq!(is_migrated(&served), expected, "{plural}");
    }
}
