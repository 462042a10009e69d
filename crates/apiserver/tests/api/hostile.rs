//! Clients that make the server hold more than they send.

use apiserver::testing::{TestServer, admin};
use object::{Value, value};

use crate::support::*;

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const HOARDS: &str = "/apis/example.com/v1/namespaces/default/hoards";
const TOO_LARGE: &str = "etcdserver: request is too large";

/// A server of a custom resource with this schema.
async fn server_of(schema: Value) -> TestServer {
    let server = TestServer::start().await;
    let definition = value!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "hoards.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "hoards", "kind": "Hoard"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]
        }
    });
    call(&server, "POST", DEFINITIONS, &definition).await.success();
    established(&server).await;
    server
}

fn hoard(name: &str) -> Value {
    value!({"apiVersion": "example.com/v1", "kind": "Hoard", "metadata": {"name": name}})
}

/// Each patch is small enough, but they add up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patches_do_not_make_an_object_as_large_as_they_like() {
    let any = value!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let server = server_of(any).await;
    let mut first = hoard("h");
    first.set_path(&["metadata", "finalizers"], value!(["example.com/keep"]));
    call(&server, "POST", HOARDS, &first).await.success();
    let path = format!("{HOARDS}/h");
    let add = |number: usize, megabytes: usize| {
        let mut more = Value::map();
        more.set(format!("part{number}"), "x".repeat(megabytes << 20));
        more
    };
    for number in 0..2 {
        call(&server, "PATCH", &path, &add(number, 2)).await.success();
    }
    for query in ["", "?dryRun=All"] {
        let (code, reason, message) =
            call(&server, "PATCH", &format!("{path}{query}"), &add(2, 2)).await.status();
        assert_eq!((code, &*reason, &*message), (500, "", TOO_LARGE), "{query}");
    }
    // A body as large as it may be fits beside what a manager keeps of it.
    call(&server, "PATCH", &path, &add(2, 1)).await.success();
    // What is there can be read, made smaller and deleted.
    get(&server, &path).await.success();
    call(&server, "DELETE", &path, &Value::Null).await.success();
    call(&server, "PATCH", &path, &value!({"part0": null, "part1": null})).await.success();
    call(&server, "PATCH", &path, &value!({"metadata": {"finalizers": null}})).await.success();
    assert_eq!(get(&server, &path).await.code, 404);
}

/// Each item is short, and has long defaults.
#[test]
fn defaults_do_not_make_an_object_as_large_as_they_like() {
    // Memory is counted for each thread.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let item = value!({
        "type": "object", "properties": {"text": {"type": "string", "default": ("x".repeat(20_000))}}
    });
    let schema = value!({"type": "object", "properties": {"list": {"type": "array", "items": item}}});
    let server = runtime.block_on(server_of(schema));
    let items = |count: usize| {
        let mut object = hoard("h");
        object.set("list", vec![Value::map(); count]);
        object
    };
    for query in ["?dryRun=All", ""] {
        let (path, many) = (format!("{HOARDS}{query}"), items(50_000));
        let (refused, spent) =
            fuzz::measured(|| runtime.block_on(async { call(&server, "POST", &path, &many).await.status() }));
        assert_eq!(refused, (500, String::new(), TOO_LARGE.to_owned()), "{query}");
        assert!(spent.peak < 200 << 20, "{spent:?} for a thousand million bytes of defaults");
    }
    let made = runtime.block_on(async { call(&server, "POST", HOARDS, &items(100)).await.success() });
    assert!(made.get("list").items().all(|item| item.str_at("text").len() == 20_000));
}

/// Continue tokens are the client's own text.
#[tokio::test]
async fn forged_tokens_show_nothing_else() {
    use base64::Engine;
    let server = TestServer::start().await;
    let secret = value!({"metadata": {"name": "s"}, "data": {"key": "c2VjcmV0"}});
    call(&server, "POST", "/api/v1/namespaces/default/secrets", &secret).await.success();
    let now = get(&server, CONFIG_MAPS).await.json().str_at("metadata.resourceVersion").to_owned();
    for start in [
        "/../../secrets/default/",
        "..",
        "default/../../secrets",
        "\u{0}",
        "default/\u{10ffff}",
        "/registry/secrets/default/",
    ] {
        let token = value!({"v": "meta.k8s.io/v1", "rv": (now.parse::<i64>().unwrap()), "start": start});
        let token = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(object::json::to_vec(&token));
        let path = format!("{CONFIG_MAPS}?limit=5&continue={token}");
        let reply = send(&server, Some(&admin()), "GET", &path, &[], "").await;
        assert!(matches!(reply.code, 200 | 400), "{start}: {reply:?}");
        assert!(!String::from_utf8_lossy(&reply.bytes).contains("c2VjcmV0"), "{start}: {reply:?}");
    }
}
