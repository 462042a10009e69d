//! The three kinds of patches.

use apiserver::testing::{TestServer, admin};
use object::{Value, value};

use crate::support::*;

const JSON: &str = "application/json-patch+json";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";

async fn patch(server: &TestServer, path: &str, kind: &str, patch: &Value) -> Reply {
    send(server, Some(&admin()), "PATCH", path, &[("content-type", kind)], object::json::to_vec(patch)).await
}

#[tokio::test]
async fn each_kind_of_patch_does_what_it_says() {
    let server = TestServer::start().await;
    let made = call(&server, "POST", DEPLOYMENTS, &deployment("d")).await.success();
    let path = format!("{DEPLOYMENTS}/d");
    let containers = |object: &Value| -> Vec<String> {
        let list = object.at("spec.template.spec.containers").items();
        list.map(|c| format!("{}={}", c.str_at("name"), c.str_at("image"))).collect()
    };
    let with = |name: &str, image: &str| value!({"spec": {"template": {"spec": {"containers": [{"name": name, "image": image}]}}}});
    let after = patch(&server, &path, STRATEGIC, &with("side", "two")).await.success();
    let mut got = containers(&after);
    got.sort();
    assert_eq!(got, ["main=image", "side=two"]);
    let after = patch(&server, &path, STRATEGIC, &with("main", "new")).await.success();
    let mut got = containers(&after);
    got.sort();
    assert_eq!(got, ["main=new", "side=two"]);
    let delete =
        value!({"spec": {"template": {"spec": {"containers": [{"name": "side", "$patch": "delete"}]}}}});
    assert_eq!(containers(&patch(&server, &path, STRATEGIC, &delete).await.success()), ["main=new"]);
    assert_eq!(containers(&patch(&server, &path, MERGE, &with("only", "one")).await.success()), ["only=one"]);
    let operations = value!([
        {"op": "test", "path": "/spec/replicas", "value": 2i64},
        {"op": "replace", "path": "/spec/replicas", "value": 5i64},
        {"op": "add", "path": "/metadata/annotations", "value": {"a/b": "c"}}
    ]);
    let after = patch(&server, &path, JSON, &operations).await.success();
    assert_eq!(after.at("spec.replicas").as_i64(), Some(5));
    let removed = value!([{"op": "remove", "path": "/metadata/annotations/a~1b"}]);
    let after = patch(&server, &path, JSON, &removed).await.success();
    assert!(after.at("metadata.annotations").is_empty());
    assert!(after.at("metadata.generation").as_i64() > made.at("metadata.generation").as_i64());
}

#[tokio::test]
async fn a_patch_that_changes_nothing_makes_no_version() {
    let server = TestServer::start().await;
    let made = call(&server, "POST", CONFIG_MAPS, &config_map("a", &[])).await.success();
    let path = format!("{CONFIG_MAPS}/a");
    let after = patch(&server, &path, MERGE, &value!({"data": {"key": "value"}})).await.success();
    assert_eq!(after.at("metadata.resourceVersion"), made.at("metadata.resourceVersion"));
}

#[tokio::test]
async fn a_patch_may_rest_on_a_version() {
    let server = TestServer::start().await;
    let made = call(&server, "POST", CONFIG_MAPS, &config_map("a", &[])).await.success();
    let path = format!("{CONFIG_MAPS}/a");
    let version = made.str_at("metadata.resourceVersion");
    let on_version = |key: &str| value!({"metadata": {"resourceVersion": version}, "data": {"key": key}});
    patch(&server, &path, MERGE, &on_version("1")).await.success();
    let (code, reason, _) = patch(&server, &path, MERGE, &on_version("2")).await.status();
    assert_eq!((code, reason.as_str()), (409, "Conflict"));
}

#[tokio::test]
async fn concurrent_patches_all_arrive() {
    let server = TestServer::start().await;
    call(&server, "POST", CONFIG_MAPS, &config_map("a", &[])).await.success();
    let path = format!("{CONFIG_MAPS}/a");
    let patches = (0..12).map(|index| {
        let mut data = Value::map();
        data.set(format!("key-{index}"), "x");
        let change = value!({"data": data});
        let (server, path) = (&server, &path);
        async move { patch(server, path, MERGE, &change).await.success() }
    });
    futures::future::join_all(patches).await;
    let after = get(&server, &path).await.success();
    assert_eq!(after.get("data").entries().count(), 13);
}

/// A manifest from another cluster has another time of creation. What would delete the object is refused.
#[tokio::test]
async fn what_the_server_sets_is_kept_or_refused() {
    let server = TestServer::start().await;
    let made = call(&server, "POST", CONFIG_MAPS, &config_map("a", &[])).await.success();
    let mut other = config_map("b", &[]);
    other.entry("metadata").set("resourceVersion", "0");
    call(&server, "POST", CONFIG_MAPS, &other).await.success();
    let path = format!("{CONFIG_MAPS}/a");
    let ignored = value!({"metadata": {
        "creationTimestamp": "2000-01-01T00:00:00Z", "generation": 7i64, "selfLink": "/x", "uid": null
    }});
    let kept = patch(&server, &path, MERGE, &ignored).await.success();
    assert_eq!(kept, made);
    for (member, value) in
        [("deletionTimestamp", value!("2000-01-01T00:00:00Z")), ("deletionGracePeriodSeconds", value!(0i64))]
    {
        let mut change = value!({"metadata": {}});
        change.entry("metadata").set(member, value);
        let (code, _, message) = patch(&server, &path, MERGE, &change).await.status();
        assert_eq!(code, 422, "{message}");
        assert!(message.contains(&format!("metadata.{member}: Invalid value")), "{message}");
        assert!(message.ends_with("field is immutable"), "{message}");
    }
}

#[tokio::test]
async fn patches_that_make_no_sense_are_refused() {
    let server = TestServer::start().await;
    call(&server, "POST", CONFIG_MAPS, &config_map("a", &[])).await.success();
    let path = format!("{CONFIG_MAPS}/a");
    let many = format!("[{}]", [r#"{"op":"test","path":"/data/key","value":"value"}"#; 10_001].join(","));
    // Kind, body, code and a part of the message.
    let long_key = format!(r#"{{"data":{{"{}":"v"}}}}"#, "k".repeat(2000));
    let table: [(&str, &str, u16, &str); 13] = [
        (MERGE, "{", 400, "error decoding patch"),
        // Patches are JSON, and not YAML, which reads some of it differently.
        (
            MERGE,
            "data: {key: x}",
            400,
            "error decoding patch: invalid character 'd' looking for beginning of value",
        ),
        (
            MERGE,
            r#"{"data":{"key":1e999}}"#,
            400,
            "error decoding patch: json: cannot unmarshal number 1e999",
        ),
        (MERGE, &long_key, 422, "data[kkk"),
        (JSON, "{}", 400, ""),
        (
            JSON,
            r#"[{"op":"remove","path":"/data/none"}]"#,
            422,
            "the server rejected our request due to an error in our request",
        ),
        (JSON, r#"[{"op":"test","path":"/data/key","value":"no"}]"#, 422, "the server rejected our request"),
        (
            MERGE,
            r#"{"data":{"key":1}}"#,
            400,
            "cannot unmarshal number into Go struct field ConfigMap.data of type string",
        ),
        (
            MERGE,
            r#"{"metadata":{"name":"b"}}"#,
            400,
            "the name of the object (b) does not match the name on the URL (a)",
        ),
        (MERGE, r#"{"metadata":{"uid":"x"}}"#, 409, "UID"),
        ("application/json", "{}", 415, "the body of the request was in an unknown format"),
        (JSON, &many, 413, "The allowed maximum operations in a JSON patch is 10000, got 10001"),
        (MERGE, r#"{"immutable":true,"metadata":{"labels":{"-":"x"}}}"#, 422, "metadata.labels"),
    ];
    for (kind, body, code, part) in table {
        let reply =
            send(&server, Some(&admin()), "PATCH", &path, &[("content-type", kind)], body.to_owned()).await;
        let (got, _, message) = reply.status();
        assert_eq!(got, code, "{body}: {message}");
        assert!(message.contains(part), "{body}: {message}");
    }
    assert_eq!(patch(&server, &format!("{CONFIG_MAPS}/none"), MERGE, &value!({})).await.code, 404);
}

#[tokio::test]
async fn unknown_fields_of_patches_follow_the_wish_of_the_client() {
    let server = TestServer::start().await;
    call(&server, "POST", CONFIG_MAPS, &config_map("a", &[])).await.success();
    let unknown = value!({"nonsense": 1i64});
    for kind in [MERGE, STRATEGIC] {
        for (mode, code, warns) in [("Ignore", 200, false), ("Warn", 200, true), ("Strict", 400, false)] {
            let reply =
                patch(&server, &format!("{CONFIG_MAPS}/a?fieldValidation={mode}"), kind, &unknown).await;
            assert_eq!(reply.code, code, "{kind} {mode} {:?}", reply.bytes);
            assert_eq!(!reply.warnings().is_empty(), warns, "{kind} {mode}");
            if code == 400 {
                assert!(
                    reply.status().2.contains("strict decoding error: unknown field \"nonsense\""),
                    "{:?}",
                    reply.bytes
                );
            }
        }
    }
}
