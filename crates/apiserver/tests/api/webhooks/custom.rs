//! Webhooks for custom resources.

use super::*;

pub const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const THINGS: &str = "/apis/example.com/v1/namespaces/default/things";
const THINGS_V2: &str = "/apis/example.com/v2/namespaces/default/things";

/// A definition of things with these versions, the first of which is stored.
pub fn definition(versions: &[&str]) -> Value {
    let schema = value!({"type": "object", "properties": {"data": {"type": "object", "properties": {
        "key": {"type": "string"}, "known": {"type": "string"}, "filled": {"type": "string", "default": "by default"}
    }}}});
    let version = |(index, name): (usize, &&str)| {
        value!({
            "name": *name, "served": true, "storage": index == 0, "schema": {"openAPIV3Schema": schema.clone()},
            "subresources": {"status": {}}
        })
    };
    let versions: Vec<Value> = versions.iter().enumerate().map(version).collect();
    value!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing"},
            "versions": versions
        }
    })
}

/// Defines things, and waits until they are served.
pub async fn define(server: &TestServer, versions: &[&str]) {
    let mut watch = Watch::open(server, &format!("{DEFINITIONS}?watch=1")).await;
    call(server, "POST", DEFINITIONS, &definition(versions)).await.success();
    loop {
        let event = watch.next().await.expect("the watch goes on");
        let mut conditions = event.at("object.status.conditions").items();
        if conditions.any(|one| one.str_at("type") == "Established" && one.str_at("status") == "True") {
            break;
        }
    }
}

fn thing(name: &str) -> Value {
    value!({"metadata": {"name": name}, "data": {"key": "value"}})
}

#[tokio::test]
async fn custom_objects_are_refused_at_every_step() {
    let server = TestServer::start().await;
    define(&server, &["v1"]).await;
    let hook = Webhook::start(|_, request| {
        let (new, old) = (request.str_at("object.data.key"), request.str_at("oldObject.data.key"));
        match request.str_at("operation") {
            "DELETE" if old == "kept" => deny("it is kept"),
            _ if new == "wrong" => deny("it is wrong"),
            _ => allow(),
        }
    })
    .await;
    let rules = value!([(rule("CREATE UPDATE DELETE", "example.com", "*", "things"))]);
    configure(&server, VALIDATING, "w", vec![hook.hook("/", value!({"rules": rules}))]).await;
    let denied = |why: &str| {
        (400, String::new(), format!("admission webhook \"hook.example.com\" denied the request: {why}"))
    };
    let wrong = value!({"metadata": {"name": "a"}, "data": {"key": "wrong"}});
    assert_eq!(call(&server, "POST", THINGS, &wrong).await.status(), denied("it is wrong"));
    call(&server, "POST", THINGS, &thing("a")).await.success();
    let own = format!("{THINGS}/a");
    let set = async |value: &str| call(&server, "PATCH", &own, &value!({"data": {"key": value}})).await;
    assert_eq!(set("wrong").await.status(), denied("it is wrong"));
    set("kept").await.success();
    hook.take();
    assert_eq!(call(&server, "DELETE", &own, &Value::Null).await.status(), denied("it is kept"));
    let request = hook.take().remove(0).request;
    assert!(request.get("object").is_null());
    assert_eq!(request.str_at("oldObject.metadata.name"), "a");
    assert_eq!((request.str_at("name"), request.str_at("namespace")), ("a", "default"));
    assert_eq!(request.str_at("options.kind"), "DeleteOptions");
    assert_eq!(call(&server, "DELETE", THINGS, &Value::Null).await.status(), denied("it is kept"));
    assert_eq!(hook.take().remove(0).request.str_at("oldObject.data.key"), "kept");
    set("free").await.success();
    call(&server, "DELETE", THINGS, &Value::Null).await.success();
    assert_eq!(get(&server, &own).await.code, 404);
}

#[tokio::test]
async fn custom_objects_are_changed_pruned_and_filled_in() {
    let server = TestServer::start().await;
    define(&server, &["v1"]).await;
    let hook = Webhook::start(|path, _| match path {
        "/known" => add_data("known"),
        "/unknown" => add_data("unknown"),
        _ => patch(value!([{"op": "remove", "path": "/data/filled"}])),
    })
    .await;
    let rules = value!([(rule("CREATE", "example.com", "v1", "things"))]);
    let hooks = ["known", "unknown", "empty"].map(|name| {
        let more = value!({"name": format!("{name}.example.com"), "rules": rules.clone()});
        hook.hook(&format!("/{name}"), more)
    });
    configure(&server, MUTATING, "w", hooks.to_vec()).await;
    let made = call(&server, "POST", THINGS, &thing("a")).await.success();
    assert_eq!(made.get("data"), &value!({"key": "value", "known": "yes", "filled": "by default"}));
}

#[tokio::test]
async fn webhooks_go_on_when_another_version_is_stored() {
    let server = TestServer::start().await;
    define(&server, &["v1", "v2"]).await;
    let hook = Webhook::start(|_, request| match request.str_at("operation") {
        "CREATE" => add_data("known"),
        _ => patch(value!([{"op": "replace", "path": "/data/known", "value": "again"}])),
    })
    .await;
    let rules = value!([(rule("CREATE UPDATE", "example.com", "v1", "things"))]);
    configure(&server, MUTATING, "w", vec![hook.hook("/", value!({"rules": rules}))]).await;
    let made = call(&server, "POST", THINGS, &thing("a")).await.success();
    assert_eq!(made.str_at("data.known"), "yes");
    let mut definition = get(&server, &format!("{DEFINITIONS}/things.example.com")).await.success();
    definition.entry("spec").set("versions", self::definition(&["v2", "v1"]).at("spec.versions").clone());
    call(&server, "PUT", &format!("{DEFINITIONS}/things.example.com"), &definition).await.success();
    let own = format!("{THINGS}/a");
    let changed = call(&server, "PATCH", &own, &value!({"data": {"key": "other"}})).await.success();
    assert_eq!((changed.str_at("data.known"), changed.str_at("apiVersion")), ("again", "example.com/v1"));
}

/// A rule for one version catches requests in another one; the webhook sees them in its own.
#[tokio::test]
async fn requests_in_other_versions_match_if_they_are_equivalent() {
    let server = TestServer::start().await;
    define(&server, &["v1", "v2"]).await;
    let hook = Webhook::start(|path, request| match (path, request.str_at("object.apiVersion")) {
        _ if request.str_at("operation") == "DELETE" => allow(),
        ("/v2", "example.com/v2") => add_data("known"),
        ("/v1", "example.com/v1") => allow(),
        (path, version) => panic!("{path} sees {version}"),
    })
    .await;
    let hooks = [("v2", "Equivalent"), ("v1", "Equivalent"), ("v1", "Exact")].map(|(version, policy)| {
        let name = format!("{version}.{}.example.com", policy.to_lowercase());
        let rules = [rule("CREATE UPDATE DELETE", "example.com", version, "*")];
        let mut hook = hook.hook(&format!("/{version}"), value!({"name": name, "matchPolicy": policy}));
        hook.set("rules", rules.to_vec());
        hook
    });
    configure(&server, MUTATING, "w", hooks.to_vec()).await;
    let made = call(&server, "POST", THINGS, &thing("a")).await.success();
    assert_eq!((made.str_at("apiVersion"), made.str_at("data.known")), ("example.com/v1", "yes"));
    let seen = hook.take();
    assert_eq!(seen.iter().map(|seen| seen.path.as_str()).collect::<Vec<_>>(), ["/v2", "/v1", "/v1"]);
    let request = &seen[0].request;
    assert_eq!(request.get("kind"), &value!({"group": "example.com", "version": "v2", "kind": "Thing"}));
    assert_eq!(
        request.get("resource"),
        &value!({"group": "example.com", "version": "v2", "resource": "things"})
    );
    assert_eq!(request.str_at("requestKind.version"), "v1");
    assert_eq!(request.str_at("requestResource.version"), "v1");

    // Exactly v1 is what this request is not.
    call(&server, "PATCH", &format!("{THINGS_V2}/a"), &value!({"data": {"key": "b"}})).await.success();
    let seen = hook.take();
    assert_eq!(seen.iter().map(|seen| seen.path.as_str()).collect::<Vec<_>>(), ["/v2", "/v1"]);
    assert_eq!(seen[1].request.str_at("oldObject.apiVersion"), "example.com/v1");
    call(&server, "DELETE", &format!("{THINGS_V2}/a"), &Value::Null).await.success();
    let old: Vec<String> =
        hook.take().iter().map(|seen| seen.request.str_at("oldObject.apiVersion").to_owned()).collect();
    assert_eq!(old, ["example.com/v2", "example.com/v1"]);
}

/// Both groups of Events show the same objects, each with fields of its own.
#[tokio::test]
async fn groups_that_show_the_same_objects_are_equivalent() {
    let server = TestServer::start().await;
    let hook = Webhook::start(|_, request| match request.str_at("object.apiVersion") {
        "events.k8s.io/v1" => patch(value!([{"op": "replace", "path": "/note", "value": "changed"}])),
        other => panic!("{other}"),
    })
    .await;
    let rules = value!([(rule("CREATE", "events.k8s.io", "v1", "events"))]);
    configure(&server, MUTATING, "w", vec![hook.hook("/", value!({"rules": rules}))]).await;
    let event = value!({
        "metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"},
        "message": "text", "reason": "Why", "type": "Normal"
    });
    let made = call(&server, "POST", "/api/v1/namespaces/default/events", &event).await.success();
    assert_eq!((made.str_at("message"), made.str_at("reason")), ("changed", "Why"));
}
