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
async fn a_field_selector_makes_changes_into_additions_and_deletions() {
    let server = server_for_pods().await;
    let phase = |phase: &str| value!({"status": {"phase": phase}});
    let mut watch =
        Watch::open(&server, &format!("{PODS}?watch=1&fieldSelector=status.phase%3DRunning")).await;
    call(&server, "POST", PODS, &pod("p")).await.success();
    let status = format!("{PODS}/p/status");
    call(&server, "PATCH", &status, &phase("Running")).await.success();
    watch.expect("ADDED p").await;
    call(&server, "PATCH", &format!("{PODS}/p"), &value!({"metadata": {"labels": {"x": "y"}}}))
        .await
        .success();
    watch.expect("MODIFIED p").await;
    let ended = call(&server, "PATCH", &status, &phase("Succeeded")).await.success();
    let deleted = watch.expect("DELETED p").await;
    assert_eq!((deleted.str_at("status.phase"), version(&deleted)), ("Running", version(&ended)));
}

#[tokio::test]
async fn one_object_is_watched_by_its_name() {
    let server = TestServer::start().await;
    make(&server, "a", &[]).await;
    make(&server, "b", &[]).await;
    let by_field = format!("{CONFIG_MAPS}?watch=true&fieldSelector=metadata.name%3Db");
    let by_path = "/api/v1/watch/namespaces/default/configmaps/b".to_owned();
    for selector in ["metadata.name%3Da", "metadata.namespace%3Ddefault"] {
        let refused = get(&server, &format!("{by_path}?fieldSelector={selector}")).await.status();
        assert_eq!(
            (refused.0, &*refused.2),
            (400, "fieldSelector metadata.name doesn't match requested name")
        );
    }
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

/// The types and names of the events until the watch ends.
async fn until_end(server: &TestServer, query: &str) -> Vec<String> {
    let mut watch = Watch::open(server, &format!("{CONFIG_MAPS}?watch=1&timeoutSeconds=1&{query}")).await;
    let mut events = Vec::new();
    while let Some(event) = watch.next().await {
        let end = ["object", "metadata", "annotations", "k8s.io/initial-events-end"];
        let name = match event.at_path(&end).as_str() {
            Some(_) => "end",
            None => event.str_at("object.metadata.name"),
        };
        events.push(format!("{} {name}", event.str_at("type")).trim_end().to_owned());
    }
    events
}

/// Where watches begin ("API concepts" and KEP-3157): with the objects that exist, from now on, or after a version.
#[tokio::test]
async fn a_watch_begins_where_it_is_told_to() {
    let server = TestServer::start().await;
    let first = make(&server, "a", &[]).await;
    let last = make(&server, "b", &[]).await;
    // Version 0 asks for any state, such as one without them.
    server.registry.hub.catch_up().await.unwrap();
    let initial = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
    let later = "sendInitialEvents=false&resourceVersionMatch=NotOlderThan";
    let marks = "allowWatchBookmarks=true";
    let both = ["ADDED a", "ADDED b"];
    let ended = ["ADDED a", "ADDED b", "BOOKMARK end", "BOOKMARK"];
    let table: [(String, &[&str]); 15] = [
        (String::new(), &both),
        ("resourceVersion=0".into(), &both),
        (marks.into(), &ended),
        (format!("resourceVersion=0&{marks}"), &ended),
        (initial.into(), &both),
        (format!("{initial}&{marks}"), &ended),
        (format!("{initial}&{marks}&resourceVersion=0"), &ended),
        (format!("{initial}&{marks}&resourceVersion={first}"), &ended),
        (later.into(), &[]),
        (format!("{later}&{marks}"), &["BOOKMARK"]),
        (format!("{later}&resourceVersion=0"), &[]),
        (format!("{later}&resourceVersion={first}"), &["ADDED b"]),
        (format!("resourceVersion={first}"), &["ADDED b"]),
        (format!("resourceVersion={first}&{marks}"), &["ADDED b", "BOOKMARK"]),
        (format!("resourceVersion={last}"), &[]),
    ];
    let asked = table.iter().map(|(query, expected)| {
        let server = &server;
        async move { (query, expected, until_end(server, query).await) }
    });
    for (query, expected, events) in futures::future::join_all(asked).await {
        assert_eq!(&events, expected, "{query}");
    }
}

#[tokio::test]
async fn options_of_a_watch_that_contradict_each_other_are_refused() {
    let server = TestServer::start().await;
    let requires = "resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
    let without = "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
    let only = |value: &str| {
        format!("resourceVersionMatch: Unsupported value: \"{value}\": supported values: \"NotOlderThan\"")
    };
    let table = [
        ("sendInitialEvents=true", requires.to_owned()),
        ("sendInitialEvents=false", requires.to_owned()),
        ("sendInitialEvents=true&resourceVersionMatch=Exact", format!("[{requires}, {}]", only("Exact"))),
        ("resourceVersionMatch=NotOlderThan", without.to_owned()),
        ("resourceVersionMatch=Other&resourceVersion=1", format!("[{without}, {}]", only("Other"))),
        (
            "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&continue=x",
            "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden when continue is provided"
                .into(),
        ),
    ];
    for (query, expected) in table {
        let (code, _, message) = get(&server, &format!("{CONFIG_MAPS}?watch=1&{query}")).await.status();
        let expected = format!("ListOptions.meta.k8s.io \"\" is invalid: {expected}");
        assert_eq!((code, message), (422, expected), "{query}");
    }
}

/// As upstream: the answer is a watch, whose first event says why it cannot begin.
#[tokio::test]
async fn a_watch_that_cannot_begin_says_so_in_its_first_event() {
    let server = TestServer::start().await;
    let old = make(&server, "a", &[]).await;
    let last: u64 = make(&server, "b", &[]).await.parse().unwrap();
    server.registry.hub.catch_up().await.unwrap();
    server.registry.hub.forget_before(store::Revision(last));
    let far = last + 100_000;
    let too_old = (410, "Expired", format!("too old resource version: {old} ({last})"));
    let too_new = |current: u64| {
        (504, "Timeout", format!("Timeout: Too large resource version: {far}, current: {current}"))
    };
    let initial = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    for (query, is_old) in
        [(format!("resourceVersion={old}"), true), (format!("{initial}&resourceVersion={far}"), false)]
    {
        let mut watch = Watch::open(&server, &format!("{CONFIG_MAPS}?watch=1&{query}")).await;
        let event = watch.next().await.unwrap();
        let (status, expected) = match is_old {
            true => (event.get("object"), too_old.clone()),
            false => (event.get("object"), too_new(server.registry.hub.revision())),
        };
        let (code, reason, message) = expected;
        assert_eq!((event.str_at("type"), status.str_at("kind")), ("ERROR", "Status"), "{query}");
        assert_eq!((status.get("code").as_i64(), status.str_at("reason")), (Some(code), reason), "{query}");
        assert_eq!(status.str_at("message"), message, "{query}");
        assert!(watch.next().await.is_none(), "nothing follows an error");
    }
}
