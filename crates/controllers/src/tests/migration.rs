//! Migrations of stored objects, on the real API server.

use std::sync::Arc;

use apiserver::testing::TestServer;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::storagemigration::v1::StorageVersionMigration;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use object::ObjectKey;
use serde_json::{Value as Json, json};

use super::real::RealCluster;
use crate::Config;

/// More than a page.
const WIDGETS: usize = 620;
const PATH: &str = "/apis/example.com/v1/namespaces/default/widgets";

/// Widgets in two versions with the same content, one of which is stored; with a default that appeared later, or not.
fn definition(stored: &str, with_default: bool) -> CustomResourceDefinition {
    let color = match with_default {
        true => json!({"type": "string", "default": "red"}),
        false => json!({"type": "string"}),
    };
    let version = |name: &str| {
        json!({
            "name": name, "served": true, "storage": name == stored,
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                "spec": {"type": "object", "default": {}, "properties": {"size": {"type": "integer"}, "color": color}},
            }}},
        })
    };
    serde_json::from_value(json!({
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"kind": "Widget", "plural": "widgets"},
            "versions": [version("v1"), version("v2")],
        },
    }))
    .unwrap()
}

fn migration(name: &str, group: &str, resource: &str) -> StorageVersionMigration {
    serde_json::from_value(json!({
        "metadata": {"name": name}, "spec": {"resource": {"group": group, "resource": resource}},
    }))
    .unwrap()
}

fn condition<'a>(migration: &'a StorageVersionMigration, kind: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let all = migration.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let mut of = all.filter(|one| one.type_ == kind);
    of.next().map(|one| (&*one.status, &*one.reason, &*one.message))
}

/// Migrates, and returns the migration when it has ended and is not among those that run any more.
async fn migrate(cluster: &RealCluster, migration: &StorageVersionMigration) -> Arc<StorageVersionMigration> {
    cluster.client.create(migration).await.unwrap();
    let key = client::key_of(migration);
    let ended = |one: &StorageVersionMigration| {
        condition(one, "Running") == Some(("False", "MigrationCompleted", "Migration completed"))
    };
    cluster.until_one("the end of a migration", &key, ended).await
}

/// Defines widgets, or changes what is defined, and waits until that is served.
async fn define(cluster: &RealCluster, server: &TestServer, definition: &CustomResourceDefinition) {
    let mut generations = server.catalogue().changed();
    generations.mark_unchanged();
    let key = client::key_of(definition);
    match cluster.client.find::<CustomResourceDefinition>(&key).await.unwrap() {
        None => drop(cluster.client.create(definition).await.unwrap()),
        Some(mut known) => {
            known.spec.versions.clone_from(&definition.spec.versions);
            cluster.client.update(&known).await.unwrap();
        }
    }
    generations.changed().await.unwrap();
    let established = |one: &CustomResourceDefinition| {
        let conditions = one.status.iter().flat_map(|status| status.conditions.iter().flatten());
        conditions.into_iter().any(|one| one.type_ == "Established" && one.status == "True")
    };
    cluster.until_one("an established definition", &key, established).await;
}

fn counted(stored: &[(String, u64)], what: &str) -> usize {
    stored.iter().filter(|(text, _)| text.contains(what)).count()
}

struct Migrations {
    cluster: RealCluster,
    server: Arc<TestServer>,
}

impl Migrations {
    async fn start() -> Migrations {
        let server = Arc::new(TestServer::start().await);
        let cluster = RealCluster::over(Arc::clone(&server), Config::default()).await;
        Migrations { cluster, server }
    }

    async fn make(&self, count: usize) {
        for index in 0..count {
            let widget = object::value!({
                "apiVersion": "example.com/v1", "kind": "Widget",
                "metadata": {"name": format!("w{index}")}, "spec": {"size": 1i64}
            });
            self.server.json("POST", PATH, &widget).await.unwrap();
        }
    }

    /// The widgets as they are in the store.
    async fn stored(&self) -> Vec<(String, u64)> {
        self.server.stored("/registry/example.com/widgets/").await
    }

    async fn definition(&self) -> CustomResourceDefinition {
        self.cluster.client.get(&ObjectKey::cluster("widgets.example.com")).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_objects_are_stored_in_the_version_that_is_stored_now() {
    let test = Migrations::start().await;
    define(&test.cluster, &test.server, &definition("v1", false)).await;
    test.make(WIDGETS).await;
    define(&test.cluster, &test.server, &definition("v2", false)).await;
    let before = test.stored().await;
    assert_eq!(counted(&before, r#""apiVersion":"example.com/v1","metadata""#), WIDGETS);
    assert_eq!(test.definition().await.status.unwrap().stored_versions.unwrap(), ["v1", "v2"]);

    let ended = migrate(&test.cluster, &migration("first", "example.com", "widgets")).await;
    assert_eq!(condition(&ended, "Succeeded"), Some(("True", "StorageVersionMigrationSucceeded", "")));
    let version: u64 = ended.status.as_ref().unwrap().resource_version.as_ref().unwrap().parse().unwrap();
    assert!(before.iter().all(|(_, written)| *written <= version));
    let after = test.stored().await;
    assert_eq!(counted(&after, r#""apiVersion":"example.com/v2","metadata""#), WIDGETS);
    assert!(after.iter().all(|(_, written)| *written > version), "every one was written anew");
    // Nobody else shows as a manager, and nothing else has changed.
    assert_eq!(counted(&after, "storage-version-migrator-controller"), 0);
    assert_eq!(counted(&after, r#""generation":1"#), WIDGETS);

    let definition = test.definition().await;
    let status = definition.status.unwrap();
    assert_eq!(status.stored_versions.unwrap(), ["v2"]);
    let migrating =
        status.conditions.unwrap().into_iter().find(|one| one.type_ == "StorageMigrating").unwrap();
    assert_eq!((&*migrating.status, migrating.reason.as_deref()), ("False", Some("MigrationSucceeded")));
    assert_eq!(
        migrating.message.as_deref(),
        Some("The migration has succeeded and the stored versions have been updated")
    );
    assert_eq!(migrating.observed_generation, definition.metadata.generation);

    // What is stored in its form already is not written again; the definition keeps what it says.
    let ended = migrate(&test.cluster, &migration("second", "example.com", "widgets")).await;
    assert_eq!(condition(&ended, "Succeeded").unwrap().0, "True");
    assert_eq!(test.stored().await, after);
    assert_eq!(test.definition().await.status.unwrap().stored_versions.unwrap(), ["v2"]);
    assert_eq!(test.cluster.log.refused(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_are_stored_with_defaults_that_came_later() {
    let test = Migrations::start().await;
    define(&test.cluster, &test.server, &definition("v1", false)).await;
    test.make(3).await;
    define(&test.cluster, &test.server, &definition("v1", true)).await;
    assert_eq!(counted(&test.stored().await, "red"), 0, "readers get them, the store has not");
    migrate(&test.cluster, &migration("m", "example.com", "widgets")).await;
    assert_eq!(counted(&test.stored().await, r#""color":"red""#), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn built_in_resources_are_migrated_one_after_the_other() {
    let test = Migrations::start().await;
    let mut map = ConfigMap::default();
    map.metadata.name = Some("m".into());
    map.metadata.namespace = Some("default".into());
    let map = test.cluster.client.create(&map).await.unwrap();
    let (first, second) = (migration("a", "", "configmaps"), migration("b", "", "configmaps"));
    let (first, second) = tokio::join!(migrate(&test.cluster, &first), migrate(&test.cluster, &second));
    for ended in [first, second] {
        assert_eq!(condition(&ended, "Succeeded").unwrap().0, "True");
    }
    let same: ConfigMap = test.cluster.client.get(&client::key_of(&map)).await.unwrap();
    assert_eq!(same.metadata.resource_version, map.metadata.resource_version, "it was stored in its form");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_waits_for_a_definition_that_comes_after_it() {
    let test = Migrations::start().await;
    let early = migration("early", "example.com", "widgets");
    test.cluster.client.create(&early).await.unwrap();
    let key = client::key_of(&early);
    let running = |one: &StorageVersionMigration| {
        condition(one, "Running") == Some(("True", "MigrationRunning", "The migration is running"))
    };
    test.cluster.until_one("a migration that has begun", &key, running).await;
    define(&test.cluster, &test.server, &definition("v1", false)).await;
    let succeeded = |one: &StorageVersionMigration| condition(one, "Succeeded").is_some();
    let ended: Arc<StorageVersionMigration> = test.cluster.until_one("its success", &key, succeeded).await;
    assert_eq!(condition(&ended, "Failed"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_is_refused_fails_the_migration() {
    let test = Migrations::start().await;
    define(&test.cluster, &test.server, &definition("v1", false)).await;
    test.make(2).await;
    define(&test.cluster, &test.server, &definition("v2", false)).await;
    let policy: Json = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "frozen"},
        "spec": {
            "matchConstraints": {"resourceRules": [{
                "apiGroups": ["example.com"], "apiVersions": ["*"], "operations": ["UPDATE"], "resources": ["widgets"],
            }]},
            "validations": [{"expression": "false", "message": "frozen"}],
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": "frozen"}, "spec": {"policyName": "frozen", "validationActions": ["Deny"]},
    });
    for (plural, object) in
        [("validatingadmissionpolicies", policy), ("validatingadmissionpolicybindings", binding)]
    {
        let path = format!("/apis/admissionregistration.k8s.io/v1/{plural}");
        test.server.json("POST", &path, &object::to_value(&object).unwrap()).await.unwrap();
    }
    let ended = migrate(&test.cluster, &migration("m", "example.com", "widgets")).await;
    let (status, reason, message) = condition(&ended, "Failed").unwrap();
    assert_eq!((status, reason), ("True", "StorageVersionMigrationFailed"));
    assert!(message.starts_with("migration encountered unhandled error: widgets.example.com"), "{message}");
    assert!(message.ends_with("denied request: frozen"), "{message}");
    assert_eq!(test.definition().await.status.unwrap().stored_versions.unwrap(), ["v1", "v2"]);
}
