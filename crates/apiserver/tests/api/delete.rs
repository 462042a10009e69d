//! Deleting objects.

use object::{Value, value};

use apiserver::testing::TestServer;

use crate::support::*;

#[tokio::test]
async fn a_deleted_object_is_gone_and_says_which_it_was() {
    let server = TestServer::start().await;
    let made = call(&server, "POST", CONFIG_MAPS, &config_map("a", &[])).await.success();
    let path = format!("{CONFIG_MAPS}/a");
    let answer = call(&server, "DELETE", &path, &Value::Null).await.success();
    assert_eq!((answer.str_at("kind"), answer.str_at("status")), ("Status", "Success"));
    assert_eq!(answer.str_at("details.uid"), made.str_at("metadata.uid"));
    assert_eq!((answer.str_at("details.name"), answer.str_at("details.kind")), ("a", "configmaps"));
    let (code, reason, message) = call(&server, "DELETE", &path, &Value::Null).await.status();
    assert_eq!((code, reason.as_str(), message.as_str()), (404, "NotFound", "configmaps \"a\" not found"));
}

#[tokio::test]
async fn preconditions_are_checked() {
    let server = TestServer::start().await;
    let made = call(&server, "POST", CONFIG_MAPS, &config_map("a", &[])).await.success();
    let path = format!("{CONFIG_MAPS}/a");
    for wrong in [value!({"uid": "other"}), value!({"resourceVersion": "1"})] {
        let options = value!({"preconditions": wrong});
        let (code, reason, message) = call(&server, "DELETE", &path, &options).await.status();
        assert_eq!((code, reason.as_str()), (409, "Conflict"), "{message}");
        assert!(message.starts_with("Operation cannot be fulfilled on configmaps \"a\": "), "{message}");
    }
    let uid = made.str_at("metadata.uid");
    let version = made.str_at("metadata.resourceVersion");
    let right = value!({"preconditions": {"uid": uid, "resourceVersion": version}});
    call(&server, "DELETE", &path, &right).await.success();
}

#[tokio::test]
async fn finalizers_hold_an_object() {
    let server = TestServer::start().await;
    let mut object = config_map("a", &[]);
    object.set_path(&["metadata", "finalizers"], value!(["example.com/hold"]));
    call(&server, "POST", CONFIG_MAPS, &object).await.success();
    let path = format!("{CONFIG_MAPS}/a");
    let marked = call(&server, "DELETE", &path, &Value::Null).await.success();
    assert_eq!(marked.str_at("kind"), "ConfigMap");
    assert!(!marked.at("metadata.deletionTimestamp").is_null());
    assert_eq!(marked.at("metadata.deletionGracePeriodSeconds").as_i64(), Some(0));
    let again = call(&server, "DELETE", &path, &Value::Null).await.success();
    assert_eq!(again.at("metadata.deletionTimestamp"), marked.at("metadata.deletionTimestamp"));
    let more = value!({"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}});
    let (code, _, message) = call(&server, "PATCH", &path, &more).await.status();
    assert_eq!(code, 422);
    assert!(message.contains("no new finalizers can be added if the object is being deleted"), "{message}");
    let none = value!({"metadata": {"finalizers": null}});
    call(&server, "PATCH", &path, &none).await.success();
    assert_eq!(get(&server, &path).await.code, 404);
}

#[tokio::test]
async fn propagation_is_left_to_the_collector_by_finalizers() {
    let server = TestServer::start().await;
    let table =
        [("Foreground", Some("foregroundDeletion")), ("Orphan", Some("orphan")), ("Background", None)];
    for (policy, finalizer) in table {
        call(&server, "POST", DEPLOYMENTS, &deployment("d")).await.success();
        let path = format!("{DEPLOYMENTS}/d");
        call(&server, "DELETE", &path, &value!({"propagationPolicy": policy})).await.success();
        let left = get(&server, &path).await;
        match finalizer {
            None => assert_eq!(left.code, 404, "{policy}"),
            Some(finalizer) => {
                let left = left.success();
                assert_eq!(left.at("metadata.finalizers"), &value!([finalizer]), "{policy}");
                call(&server, "PATCH", &path, &value!({"metadata": {"finalizers": null}})).await.success();
            }
        }
    }
    let bad = value!({"propagationPolicy": "Sideways"});
    call(&server, "POST", DEPLOYMENTS, &deployment("d")).await.success();
    let (code, _, message) = call(&server, "DELETE", &format!("{DEPLOYMENTS}/d"), &bad).await.status();
    assert_eq!(code, 422);
    assert!(message.contains("propagationPolicy: Unsupported value: \"Sideways\""), "{message}");
    let both = value!({"propagationPolicy": "Orphan", "orphanDependents": true});
    assert_eq!(call(&server, "DELETE", &format!("{DEPLOYMENTS}/d"), &both).await.code, 422);
}

#[tokio::test]
async fn a_pod_on_a_node_gets_its_grace() {
    let server = server_for_pods().await;
    call(&server, "POST", PODS, &pod("p")).await.success();
    call(&server, "POST", &format!("{PODS}/p/binding"), &value!({"target": {"name": "n"}})).await;
    let path = format!("{PODS}/p");
    let marked = call(&server, "DELETE", &path, &Value::Null).await.success();
    assert_eq!(marked.at("metadata.deletionGracePeriodSeconds").as_i64(), Some(30));
    assert_eq!(marked.str_at("kind"), "Pod");
    let shorter = call(&server, "DELETE", &path, &value!({"gracePeriodSeconds": 5i64})).await.success();
    assert_eq!(shorter.at("metadata.deletionGracePeriodSeconds").as_i64(), Some(5));
    let longer = call(&server, "DELETE", &path, &value!({"gracePeriodSeconds": 50i64})).await.success();
    assert_eq!(longer.at("metadata.deletionGracePeriodSeconds").as_i64(), Some(5));
    let last = call(&server, "DELETE", &format!("{path}?gracePeriodSeconds=0"), &Value::Null).await.success();
    assert_eq!(last.str_at("kind"), "Pod");
    assert_eq!(get(&server, &path).await.code, 404);
}

#[tokio::test]
async fn a_collection_is_deleted_by_selector() {
    let server = TestServer::start().await;
    for (name, app) in [("a", "web"), ("b", "web"), ("c", "db")] {
        call(&server, "POST", CONFIG_MAPS, &config_map(name, &[("app", app)])).await.success();
    }
    call(&server, "DELETE", &format!("{CONFIG_MAPS}?labelSelector=app%3Dweb"), &Value::Null).await.success();
    let left = get(&server, CONFIG_MAPS).await.success();
    let names: Vec<&str> = left.get("items").items().map(|item| item.str_at("metadata.name")).collect();
    assert_eq!(names, ["c"]);
    call(&server, "DELETE", CONFIG_MAPS, &Value::Null).await.success();
    assert!(get(&server, CONFIG_MAPS).await.success().get("items").is_empty());
}

#[tokio::test]
async fn a_namespace_ends_when_it_is_finalized() {
    let server = TestServer::start().await;
    let namespaces = "/api/v1/namespaces";
    call(&server, "POST", namespaces, &value!({"metadata": {"name": "n"}})).await.success();
    let path = format!("{namespaces}/n");
    let marked = call(&server, "DELETE", &path, &Value::Null).await.success();
    assert_eq!(marked.str_at("status.phase"), "Terminating");
    server.registry.hub.catch_up().await.unwrap();
    let (code, reason, message) =
        call(&server, "POST", "/api/v1/namespaces/n/configmaps", &config_map("a", &[])).await.status();
    assert_eq!((code, reason.as_str()), (403, "Forbidden"));
    assert!(message.contains("because it is being terminated"), "{message}");
    let mut empty = get(&server, &path).await.success();
    empty.set_path(&["spec", "finalizers"], value!([]));
    call(&server, "PUT", &format!("{path}/finalize"), &empty).await.success();
    assert_eq!(get(&server, &path).await.code, 404);
}
