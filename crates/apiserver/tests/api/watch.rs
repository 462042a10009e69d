//! Watching collections.

use apiserver::testing::TestServer;
use object::{Value, value};

use crate::support::*;

async fn make(server: &TestServer, name: &str, labels: &[(&'static str, &str)]) -> String {
    let made = call(server, "POST", CONFIG_MAPS, &config_map(name, labels)).await.success();
    made.str_at("metadata.resourceVersion").to_owned()
}

#[tokio::test]
async fn a_watch_tells_what_there_is_and_what_happens() {
    let server = TestServer::start().await;
    make(&server, "a", &[]).await;
    let mut watch = Watch::open(&server, &format!("{CONFIG_MAPS}?watch=true")).await;
    watch.expect("ADDED a").await;
    let after = make(&server, "b", &[]).await;
    watch.expect("ADDED b").await;
    call(&server, "PATCH", &format!("{CONFIG_MAPS}/b"), &value!({"data": {"key": "new"}})).await.success();
    let changed = watch.expect("MODIFIED b").await;
    assert_eq!(changed.str_at("data.key"), "new");
    assert_eq!(changed.str_at("kind"), "ConfigMap");
    server.delete("", "configmaps", "default", "b").await.unwrap();
    let deleted = watch.expect("DELETED b").await;
    // A deletion carries the version of the deletion.
    assert!(version(&deleted) > version(&changed));
    let mut later = Watch::open(&server, &format!("{CONFIG_MAPS}?watch=1&resourceVersion={after}")).await;
    later.expect("MODIFIED b").await;
    later.expect("DELETED b").await;
}

fn version(object: &Value) -> u64 {
    object.str_at("metadata.resourceVersion").parse().unwrap()
}

#[tokio::test]
async fn an_object_comes_into_a_selection_and_leaves_it() {
    let server = TestServer::start().await;
    let path = format!("{CONFIG_MAPS}?watch=true&labelSelector=app%3Dweb");
    let mut watch = Watch::open(&server, &path).await;
    make(&server, "a", &[]).await;
    let label = |app: &str| value!({"metadata": {"labels": {"app": app}}});
    let item = format!("{CONFIG_MAPS}/a");
    call(&server, "PATCH", &item, &label("web")).await.success();
    watch.expect("ADDED a").await;
    call(&server, "PATCH", &item, &value!({"data": {"key": "1"}})).await.success();
    watch.expect("MODIFIED a").await;
    let left = call(&server, "PATCH", &item, &label("db")).await.success();
    let deleted = watch.expect("DELETED a").await;
    assert_eq!(deleted.str_at("metadata.labels.app"), "web", "the last state that matched");
    assert_eq!(version(&deleted), version(&left));
    // What happens outside is not told; it comes back as something new.
    call(&server, "PATCH", &item, &value!({"data": {"key": "2"}})).await.success();
    call(&server, "PATCH", &item, &label("web")).await.success();
    assert_eq!(watch.expect("ADDED a").await.str_at("data.key"), "2");
}

#[tokio::test]
async fn one_object_is_watched_by_its_name() {
    let server = TestServer::start().await;
    make(&server, "a", &[]).await;
    make(&server, "b", &[]).await;
    let by_field = format!("{CONFIG_MAPS}?watch=true&fieldSelector=metadata.name%3Db");
    let by_path = "/api/v1/watch/namespaces/default/configmaps/b".to_owned();
    for path in [by_field, by_path] {
        let mut watch = Watch::open(&server, &path).await;
        watch.expect("ADDED b").await;
        let value = if path.contains("fieldSelector") { "1" } else { "2" };
        call(&server, "PATCH", &format!("{CONFIG_MAPS}/a"), &value!({"data": {"key": value}}))
            .await
            .success();
        call(&server, "PATCH", &format!("{CONFIG_MAPS}/b"), &value!({"data": {"key": value}}))
            .await
            .success();
        watch.expect("MODIFIED b").await;
    }
}

#[tokio::test]
async fn a_streamed_list_ends_with_a_bookmark() {
    let server = TestServer::start().await;
    make(&server, "a", &[]).await;
    make(&server, "b", &[]).await;
    let query =
        "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut watch = Watch::open(&server, &format!("{CONFIG_MAPS}?{query}")).await;
    watch.expect("ADDED a").await;
    let last = watch.expect("ADDED b").await;
    let bookmark = watch.expect("BOOKMARK").await;
    let end = bookmark.at_path(&["metadata", "annotations", "k8s.io/initial-events-end"]);
    assert_eq!(end.as_str(), Some("true"));
    assert!(version(&bookmark) >= version(&last));
    make(&server, "c", &[]).await;
    watch.expect("ADDED c").await;
}

#[tokio::test]
async fn a_watch_ends_when_it_is_told_to_and_bookmarks_before() {
    let server = TestServer::start().await;
    let made = make(&server, "a", &[]).await;
    let query = format!("watch=true&timeoutSeconds=1&allowWatchBookmarks=true&resourceVersion={made}");
    let mut watch = Watch::open(&server, &format!("{CONFIG_MAPS}?{query}")).await;
    let mut kinds = Vec::new();
    while let Some(event) = watch.next().await {
        kinds.push(event.str_at("type").to_owned());
    }
    assert!(kinds.iter().all(|kind| kind == "BOOKMARK"), "{kinds:?}");
    assert!(!kinds.is_empty());
}

#[tokio::test]
async fn a_version_that_does_not_come_is_waited_for_and_given_up() {
    let server = TestServer::start().await;
    let made: u64 = make(&server, "a", &[]).await.parse().unwrap();
    let (code, reason, message) =
        get(&server, &format!("{CONFIG_MAPS}?resourceVersion={}", made + 100_000)).await.status();
    assert_eq!((code, reason.as_str()), (504, "Timeout"));
    assert!(message.contains("Too large resource version"), "{message}");
}

#[tokio::test]
async fn tables_are_watched_too() {
    let server = TestServer::start().await;
    make(&server, "a", &[]).await;
    let headers = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
    let path = format!("{CONFIG_MAPS}?watch=true&timeoutSeconds=1");
    let reply = send(&server, Some(&apiserver::testing::admin()), "GET", &path, &headers, "").await;
    let event = reply.json();
    assert_eq!(event.str_at("object.kind"), "Table");
    assert!(!event.at("object.columnDefinitions").is_empty());
}
