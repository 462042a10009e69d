//! The options of lists: versions, pages, selectors, and what of them is refused.

use std::sync::Arc;

use apiserver::testing::{TestServer, admin};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use object::{Value, value};
use store::Store;

use crate::support::*;

fn names(list: &Value) -> Vec<&str> {
    list.get("items").items().map(|item| item.str_at("metadata.name")).collect()
}

/// A server with ConfigMaps of these names; returns the version of the last one.
async fn with(names: &[&str]) -> (TestServer, u64) {
    let server = TestServer::start().await;
    let version = fill(&server, names).await;
    (server, version)
}

async fn fill(server: &TestServer, names: &[&str]) -> u64 {
    let mut version = 0;
    for name in names {
        let made = call(server, "POST", CONFIG_MAPS, &config_map(name, &[])).await.success();
        version = made.str_at("metadata.resourceVersion").parse().unwrap();
    }
    version
}

/// What `resourceVersion`, `resourceVersionMatch` and `limit` mean together ("API concepts", the table of lists).
#[tokio::test]
async fn a_version_is_exact_or_a_minimum() {
    let (server, old) = with(&["a", "b"]).await;
    let new = fill(&server, &["c"]).await;
    let (then, now) = ("a b", "a b c");
    let table = [
        (String::new(), now, None),
        ("limit=9".into(), now, None),
        ("resourceVersion=0".into(), now, None),
        ("resourceVersion=0&limit=9".into(), now, None),
        ("resourceVersion=0&resourceVersionMatch=NotOlderThan".into(), now, None),
        (format!("resourceVersion={old}"), now, None),
        (format!("resourceVersion={old}&limit=9"), then, Some(old)),
        (format!("resourceVersion={old}&resourceVersionMatch=NotOlderThan"), now, None),
        (format!("resourceVersion={old}&resourceVersionMatch=NotOlderThan&limit=9"), now, None),
        (format!("resourceVersion={old}&resourceVersionMatch=Exact"), then, Some(old)),
        (format!("resourceVersion={old}&resourceVersionMatch=Exact&limit=9"), then, Some(old)),
        (format!("resourceVersion={new}&resourceVersionMatch=Exact"), now, Some(new)),
    ];
    for (query, expected, version) in table {
        let list = get(&server, &format!("{CONFIG_MAPS}?{query}")).await.success();
        assert_eq!(names(&list).join(" "), expected, "{query}");
        let told: u64 = list.str_at("metadata.resourceVersion").parse().unwrap();
        match version {
            Some(version) => assert_eq!(told, version, "{query}"),
            None => assert!(told >= new, "{query}"),
        }
    }
}

/// A version that the store has not reached is waited for, and then refused so that clients can tell it.
#[tokio::test]
async fn a_version_of_the_future_is_too_large() {
    let (server, version) = with(&["a"]).await;
    let far = version + 100_000;
    let token =
        URL_SAFE_NO_PAD.encode(format!(r#"{{"v":"meta.k8s.io/v1","rv":{far},"start":"default/a\u0000"}}"#));
    let queries = [
        format!("?resourceVersion={far}&resourceVersionMatch=Exact"),
        format!("?resourceVersion={far}&resourceVersionMatch=NotOlderThan"),
        format!("?resourceVersion={far}&limit=1"),
        format!("?continue={token}"),
        format!("/a?resourceVersion={far}"),
    ];
    // Each waits 3 seconds.
    let asked = queries.iter().map(|query| {
        let server = &server;
        async move { (query, get(server, &format!("{CONFIG_MAPS}{query}")).await) }
    });
    for (query, refused) in futures::future::join_all(asked).await {
        let (code, reason, message) = refused.status();
        assert_eq!((code, &*reason), (504, "Timeout"), "{query}");
        let current = server.registry.hub.revision();
        let expected = format!("Too large resource version: {far}, current: {current}");
        assert!(message.ends_with(&expected), "{query}: {message}");
        let details = refused.json();
        assert_eq!(details.at("details.retryAfterSeconds").as_i64(), Some(1), "{query}");
        let cause = details.at("details.causes").items().next().cloned().unwrap();
        let cause = (cause.str_at("reason").to_owned(), cause.str_at("message").to_owned());
        assert_eq!(cause, ("ResourceVersionTooLarge".into(), "Too large resource version".into()), "{query}");
    }
}

#[tokio::test]
async fn options_that_contradict_each_other_are_refused_in_upstreams_words() {
    let (server, version) = with(&["a", "b"]).await;
    let page = get(&server, &format!("{CONFIG_MAPS}?limit=1")).await.success();
    let token = page.str_at("metadata.continue");
    let encoded = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let invalid = "ListOptions.meta.k8s.io \"\" is invalid: ";
    let matching = "resourceVersionMatch: ";
    let table = [
        ("resourceVersionMatch=Exact".to_owned(), 422, format!(
            "{invalid}{matching}Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"
        )),
        ("resourceVersion=0&resourceVersionMatch=Exact".into(), 422, format!(
            "{invalid}{matching}Forbidden: resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\""
        )),
        ("resourceVersion=1&resourceVersionMatch=Other".into(), 422, format!(
            "{invalid}{matching}Unsupported value: \"Other\": supported values: \"Exact\", \"NotOlderThan\", \"\""
        )),
        (format!("resourceVersion={version}&resourceVersionMatch=Exact&continue={token}"), 422, format!(
            "{invalid}{matching}Forbidden: resourceVersionMatch is forbidden when continue is provided"
        )),
        ("sendInitialEvents=false".into(), 422, format!(
            "{invalid}sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list"
        )),
        (format!("resourceVersion={version}&continue={token}"), 400,
            "specifying resource version is not allowed when using continue".into()),
        ("resourceVersion=x".into(), 400,
            "invalid resource version: resourceVersion: Invalid value: \"x\": strconv.ParseUint: parsing \"x\": invalid syntax".into()),
        ("resourceVersion=%2B1".into(), 400,
            "invalid resource version: resourceVersion: Invalid value: \"+1\": strconv.ParseUint: parsing \"+1\": invalid syntax".into()),
        ("resourceVersion=99999999999999999999".into(), 400,
            "invalid resource version: resourceVersion: Invalid value: \"99999999999999999999\": strconv.ParseUint: parsing \"99999999999999999999\": value out of range".into()),
        (format!("continue={}", encoded(r#"{"v":"v9","rv":1,"start":"a\u0000"}"#)), 400,
            "invalid continue token: continue key is not valid: server does not recognize this encoded version v9".into()),
        (format!("continue={}", encoded(r#"{"v":"meta.k8s.io/v1","rv":0,"start":"a\u0000"}"#)), 400,
            "invalid continue token: continue key is not valid: incorrect encoded start resourceVersion (version meta.k8s.io/v1)".into()),
        (format!("continue={}", encoded(r#"{"v":"meta.k8s.io/v1","rv":1,"start":""}"#)), 400,
            "invalid continue token: continue key is not valid: encoded start key empty (version meta.k8s.io/v1)".into()),
        (format!("continue={}", encoded(r#"{"v":"meta.k8s.io/v1","rv":1,"start":"../pods/a\u0000"}"#)), 400,
            "invalid continue token: continue key is not valid: ../pods/a\0".into()),
    ];
    for (query, code, expected) in table {
        let (got, _, message) = get(&server, &format!("{CONFIG_MAPS}?{query}")).await.status();
        assert_eq!((got, message), (code, expected), "{query}");
    }
    for text in ["continue=%25", &format!("continue={}", encoded("{"))] {
        let (code, _, message) = get(&server, &format!("{CONFIG_MAPS}?{text}")).await.status();
        assert_eq!(code, 400, "{text}");
        assert!(message.starts_with("invalid continue token: continue key is not valid: "), "{message}");
    }
    // A version `0` beside a token says nothing, and what lists refuse does not concern other requests.
    let rest = get(&server, &format!("{CONFIG_MAPS}?continue={token}&resourceVersion=0")).await.success();
    assert_eq!(names(&rest), ["b"]);
    get(&server, &format!("{CONFIG_MAPS}/a?resourceVersionMatch=Other")).await.success();
}

/// A token names a version and where a page ends, and not a path: with another one it shows nothing beyond that path.
#[tokio::test]
async fn a_token_of_another_path_stays_in_its_path() {
    let (server, _) = with(&["a", "b", "c"]).await;
    call(&server, "POST", "/api/v1/namespaces", &value!({"metadata": {"name": "zone"}})).await.success();
    let zone = "/api/v1/namespaces/zone/configmaps";
    call(&server, "POST", zone, &config_map("z", &[])).await.success();
    let page = get(&server, &format!("{CONFIG_MAPS}?limit=1")).await.success();
    let token = page.str_at("metadata.continue");
    let rest = get(&server, &format!("{CONFIG_MAPS}?continue={token}")).await.success();
    assert_eq!(names(&rest), ["b", "c"]);
    let other = get(&server, &format!("{zone}?continue={token}")).await.success();
    assert_eq!(names(&other), ["z"]);
    let secrets = get(&server, &format!("/api/v1/namespaces/zone/secrets?continue={token}")).await.success();
    assert!(names(&secrets).is_empty());
}

#[tokio::test]
async fn selectors_hide_how_many_objects_remain() {
    let server = TestServer::start().await;
    for (name, app) in [("a", "web"), ("b", "db"), ("c", "web"), ("d", "web")] {
        call(&server, "POST", CONFIG_MAPS, &config_map(name, &[("app", app)])).await.success();
    }
    let table = [
        ("limit=1", "a", Some(3)),
        ("limit=1&labelSelector=app%3Dweb", "a", None),
        ("limit=2&labelSelector=app%3Dweb", "a c", None),
        ("limit=1&fieldSelector=metadata.name%21%3Da", "b", None),
    ];
    for (query, expected, remaining) in table {
        let page = get(&server, &format!("{CONFIG_MAPS}?{query}")).await.success();
        assert_eq!(names(&page).join(" "), expected, "{query}");
        assert_eq!(page.at("metadata.remainingItemCount").as_i64(), remaining, "{query}");
        assert!(!page.str_at("metadata.continue").is_empty(), "{query}");
    }
    // The last page of a selector, though other objects follow.
    let last = format!("{CONFIG_MAPS}?limit=1&labelSelector=app%3Ddb");
    let last = get(&server, &last).await.success();
    assert_eq!((names(&last).join(" "), last.str_at("metadata.continue")), ("b".into(), ""));
}

/// The token for the inconsistent rest names no version: the rest has that of its own first page.
#[tokio::test]
async fn the_rest_of_a_list_that_is_gone_is_of_one_version() {
    let store: Arc<dyn Store> = Arc::new(store::Embedded::in_memory(clock::Clock::system()));
    let server = TestServer::over(Arc::clone(&store), &["10.43.0.0/16"]).await;
    let compact = async |revision: u64| {
        server.registry.hub.catch_up().await.unwrap();
        store.compact(store::Revision(revision)).await.unwrap();
        server.registry.hub.forget_before(store::Revision(revision));
    };
    let old = fill(&server, &["a", "b", "c", "d"]).await;
    let first = get(&server, &format!("{CONFIG_MAPS}?limit=1")).await.success();
    let token = first.str_at("metadata.continue").to_owned();
    compact(fill(&server, &["e"]).await).await;
    let refused = get(&server, &format!("{CONFIG_MAPS}?limit=2&continue={token}")).await;
    let (code, reason, message) = refused.status();
    assert_eq!((code, &*reason), (410, "Expired"));
    assert!(
        message.starts_with("The provided continue parameter is too old to display a consistent"),
        "{message}"
    );
    let token = refused.json().str_at("metadata.continue").to_owned();
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(&token).unwrap()).unwrap();
    assert_eq!(object::json::parse(text.as_bytes()).unwrap().get("rv").as_i64(), Some(-1));
    // It is good however late it is used.
    compact(fill(&server, &["f"]).await).await;
    let second = get(&server, &format!("{CONFIG_MAPS}?limit=2&continue={token}")).await.success();
    assert_eq!(names(&second), ["b", "c"]);
    fill(&server, &["g"]).await;
    let token = second.str_at("metadata.continue");
    let rest = get(&server, &format!("{CONFIG_MAPS}?continue={token}")).await.success();
    assert_eq!(names(&rest), ["d", "e", "f"]);
    assert_eq!(rest.at("metadata.resourceVersion"), second.at("metadata.resourceVersion"));
    // A list without a token has no rest.
    let exact = format!("{CONFIG_MAPS}?resourceVersion={old}&resourceVersionMatch=Exact&limit=1");
    let refused = get(&server, &exact).await;
    let expected =
        (410, "Expired".to_owned(), "The resourceVersion for the provided list is too old.".to_owned());
    assert_eq!(refused.status(), expected);
    assert_eq!(refused.json().str_at("metadata.continue"), "");
}

/// Versions of all resources are numbers that grow together (KEP-5504).
#[tokio::test]
async fn versions_can_be_compared() {
    let server = server_for_pods().await;
    let mut last = 0;
    for round in 0..3 {
        let map = call(&server, "POST", CONFIG_MAPS, &config_map(&format!("m{round}"), &[])).await.success();
        let made = call(&server, "POST", PODS, &pod(&format!("p{round}"))).await.success();
        let list = get(&server, CONFIG_MAPS).await.success();
        for object in [map, made, list] {
            let text = object.str_at("metadata.resourceVersion");
            assert!(!text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit()), "{text}");
            let version: u64 = text.parse().unwrap();
            // A list is as new as what it shows, and may be no newer.
            assert!(version > last || (object.get("items").is_null() && version >= last), "{version} {last}");
            last = last.max(version - u64::from(object.get("items").is_null()));
        }
    }
    for version in ["01", "1", "5"] {
        let mut object = config_map("new", &[]);
        object.entry("metadata").set("resourceVersion", version);
        let (code, _, message) = call(&server, "POST", CONFIG_MAPS, &object).await.status();
        assert_eq!((code, &*message), (400, "resourceVersion should not be set on objects to be created"));
    }
}

#[tokio::test]
async fn a_collection_is_deleted_page_by_page() {
    let server = TestServer::start().await;
    for (name, app) in [("a", "web"), ("b", "db"), ("c", "web"), ("d", "web")] {
        call(&server, "POST", CONFIG_MAPS, &config_map(name, &[("app", app)])).await.success();
    }
    let left = async || names(&get(&server, CONFIG_MAPS).await.success()).join(" ");
    let delete = async |query: &str, options: Value| {
        call(&server, "DELETE", &format!("{CONFIG_MAPS}?{query}"), &options).await
    };
    let all = Value::Null;
    let dry = delete("limit=2&dryRun=All", all.clone()).await.success();
    assert_eq!((names(&dry).join(" "), left().await), ("a b".into(), "a b c d".into()));
    let page = delete("limit=1&labelSelector=app%3Dweb", all.clone()).await.success();
    assert_eq!((names(&page).join(" "), left().await), ("a".into(), "b c d".into()));
    // The answer is the list that was deleted, with the token for the following page.
    let token = page.str_at("metadata.continue").to_owned();
    assert!(!token.is_empty());
    let query = format!("limit=1&labelSelector=app%3Dweb&continue={token}");
    let page = delete(&query, all.clone()).await.success();
    assert_eq!((names(&page).join(" "), left().await), ("c".into(), "b d".into()));
    let by_field = delete("fieldSelector=metadata.name%3Dd", value!({"dryRun": ["All"]})).await.success();
    assert_eq!((names(&by_field).join(" "), left().await), ("d".into(), "b d".into()));
    delete("fieldSelector=metadata.name%3Dd", value!({"propagationPolicy": "Orphan"})).await.success();
    let kept = get(&server, &format!("{CONFIG_MAPS}/d")).await.success();
    assert_eq!(kept.at("metadata.finalizers"), &value!(["orphan"]));
    for (query, code) in [("resourceVersionMatch=Exact", 422), ("limit=x", 400), ("propagationPolicy=x", 422)]
    {
        assert_eq!(delete(query, all.clone()).await.code, code, "{query}");
    }
    assert_eq!(left().await, "b d");
}

/// `watch` with the name of an object in the path is a read of that object (only `/watch/` paths watch one).
#[tokio::test]
async fn a_single_object_is_read_and_not_watched() {
    let (server, _) = with(&["a"]).await;
    let object = get(&server, &format!("{CONFIG_MAPS}/a?watch=1")).await.success();
    assert_eq!((object.str_at("kind"), object.str_at("metadata.name")), ("ConfigMap", "a"));
    let accept = [("accept", "application/yaml")];
    for (path, code) in [(format!("{CONFIG_MAPS}?watch=1"), 406), (format!("{CONFIG_MAPS}/a?watch=1"), 200)] {
        assert_eq!(send(&server, Some(&admin()), "GET", &path, &accept, "").await.code, code, "{path}");
    }
}
