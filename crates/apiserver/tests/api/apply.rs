//! Server-side apply and the managers of fields (KEP-555).

use apiserver::testing::{TestServer, admin};
use apiserver::user::User;
use object::{Value, value};

use crate::support::*;

/// Applies as a manager; `query` adds to the parameters.
async fn apply_with(server: &TestServer, path: &str, manager: &str, query: &str, config: &Value) -> Reply {
    let path = format!("{path}?fieldManager={manager}{query}");
    let text = object::json::to_vec(config);
    send(server, Some(&admin()), "PATCH", &path, &[("content-type", "application/apply-patch+yaml")], text)
        .await
}

async fn apply(server: &TestServer, path: &str, manager: &str, config: &Value) -> Reply {
    apply_with(server, path, manager, "", config).await
}

/// Writes as a manager with another verb.
async fn write(server: &TestServer, method: &str, path: &str, manager: &str, body: &Value) -> Reply {
    call(server, method, &format!("{path}?fieldManager={manager}"), body).await
}

fn map(data: Value) -> Value {
    value!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": data})
}

const MAP: &str = "/api/v1/namespaces/default/configmaps/m";
const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/default/deployments/d";

/// The managers: operation, name, subresource, version, and their fields.
fn managers(object: &Value) -> Vec<(String, String)> {
    let entries = object.at("metadata.managedFields").items();
    entries
        .map(|entry| {
            assert_eq!(entry.str_at("fieldsType"), "FieldsV1");
            assert!(!entry.str_at("time").is_empty(), "{entry:?}");
            let text = |name: &str| entry.str_at(name).to_owned();
            let who = [text("operation"), text("manager"), text("subresource"), text("apiVersion")].join(" ");
            (who, String::from_utf8(object::json::to_vec(entry.get("fieldsV1"))).unwrap())
        })
        .collect()
}

fn expect_managers(object: &Value, expected: &[(&str, &str)]) {
    let found = managers(object);
    let found: Vec<(&str, &str)> = found.iter().map(|(who, what)| (who.as_str(), what.as_str())).collect();
    assert_eq!(found, expected);
}

/// Message, and the causes' reasons, messages and fields.
fn conflict(reply: &Reply) -> (String, Vec<String>) {
    let (code, reason, message) = reply.status();
    assert_eq!((code, reason.as_str()), (409, "Conflict"), "{message}");
    let status = reply.json();
    let causes = status.at("details.causes").items();
    let text = |cause: &Value| {
        ["reason", "message", "field"].map(|member| cause.str_at(member).to_owned()).join("; ")
    };
    (message, causes.map(text).collect())
}

#[tokio::test]
async fn an_apply_creates_changes_and_removes() {
    let server = TestServer::start().await;
    let made = apply(&server, MAP, "m1", &map(value!({"a": "1", "b": "1"}))).await;
    assert_eq!(made.code, 201);
    let made = made.success();
    expect_managers(&made, &[("Apply m1  v1", r#"{"f:data":{"f:a":{},"f:b":{}}}"#)]);
    let second = apply(&server, MAP, "m2", &map(value!({"b": "1", "c": "1"}))).await;
    assert_eq!(second.code, 200);
    // What nobody else wants goes with who wanted it; what others want too stays.
    let less = apply(&server, MAP, "m1", &map(value!({}))).await.success();
    assert_eq!(less.get("data"), &value!({"b": "1", "c": "1"}));
    let all = apply(&server, MAP, "m2", &map(value!({"c": "2"}))).await.success();
    assert_eq!(all.get("data"), &value!({"c": "2"}));
    assert_eq!(get(&server, MAP).await.success(), all);
}

#[tokio::test]
async fn a_repeated_apply_changes_nothing() {
    let server = TestServer::start().await;
    let config = deployment("d");
    let first = apply(&server, DEPLOYMENT, "m", &config).await.success();
    let second = apply(&server, DEPLOYMENT, "m", &config).await.success();
    assert_eq!(first, second);
    let other = apply(&server, DEPLOYMENT, "n", &config).await.success();
    assert_ne!(other.str_at("metadata.resourceVersion"), first.str_at("metadata.resourceVersion"));
    assert_eq!(other.at("metadata.generation"), first.at("metadata.generation"));
    assert_eq!(managers(&other).len(), 2);
}

#[tokio::test]
async fn what_another_manager_wants_is_a_conflict() {
    let server = TestServer::start().await;
    apply(&server, MAP, "m1", &map(value!({"a": "1", "b": "1"}))).await.success();
    let reply = apply(&server, MAP, "m2", &map(value!({"a": "2"}))).await;
    let one = r#"Apply failed with 1 conflict: conflict with "m1": .data.a"#;
    let cause = r#"FieldManagerConflict; conflict with "m1"; .data.a"#;
    assert_eq!(conflict(&reply), (one.to_owned(), vec![cause.to_owned()]));
    write(&server, "PATCH", MAP, "edit", &value!({"data": {"b": "3"}})).await.success();
    let reply = apply(&server, MAP, "m2", &map(value!({"a": "2", "b": "2"}))).await;
    let several = "Apply failed with 2 conflicts: conflicts with \"edit\" using v1:\n- .data.b\nconflicts with \"m1\":\n- .data.a";
    assert_eq!(conflict(&reply).0, several);
    let forced = apply_with(&server, MAP, "m2", "&force=true", &map(value!({"a": "2", "b": "2"}))).await;
    let forced = forced.success();
    assert_eq!(forced.get("data"), &value!({"a": "2", "b": "2"}));
    expect_managers(&forced, &[("Apply m2  v1", r#"{"f:data":{"f:a":{},"f:b":{}}}"#)]);
    // With the same value there is none.
    let shared = apply(&server, MAP, "m1", &map(value!({"a": "2"}))).await.success();
    assert_eq!(managers(&shared).len(), 2);
}

#[tokio::test]
async fn every_write_makes_its_manager_one_of_the_fields_that_it_changes() {
    let server = TestServer::start().await;
    let path = format!("{CONFIG_MAPS}?fieldManager=maker");
    let mut object = map(value!({"a": "1", "b": "1"}));
    object.entry("metadata").set("labels", value!({"app": "x"}));
    let made = call(&server, "POST", &path, &object).await.success();
    let maker = r#"{"f:data":{".":{},"f:a":{},"f:b":{}},"f:metadata":{"f:labels":{".":{},"f:app":{}}}}"#;
    expect_managers(&made, &[("Update maker  v1", maker)]);
    // Clients that do not know managers leave them out.
    object.entry("data").set("b", "2");
    let changed = write(&server, "PUT", MAP, "changer", &object).await.success();
    let left = r#"{"f:data":{".":{},"f:a":{}},"f:metadata":{"f:labels":{".":{},"f:app":{}}}}"#;
    let changer = ("Update changer  v1", r#"{"f:data":{"f:b":{}}}"#);
    let mut expected = [("Update maker  v1", left), changer];
    let found = managers(&changed);
    if found[0].0.contains("changer") {
        // In the same second they are in the order of their names.
        expected.reverse();
    }
    expect_managers(&changed, &expected);
    let same = write(&server, "PUT", MAP, "nobody", &object).await.success();
    assert_eq!(same, changed, "who changes nothing manages nothing");
    let gone = write(&server, "PATCH", MAP, "remover", &value!({"data": {"b": null}})).await.success();
    expect_managers(&gone, &[("Update maker  v1", left)]);
    // One empty entry gives all of them up; an object without managers gets none by an update.
    let reset = value!({"metadata": {"managedFields": [{}]}, "data": {"a": "9"}});
    let reset = write(&server, "PATCH", MAP, "resetter", &reset).await.success();
    assert!(reset.at("metadata.managedFields").is_null());
    let after = write(&server, "PATCH", MAP, "later", &value!({"data": {"a": "8"}})).await.success();
    assert!(after.at("metadata.managedFields").is_null());
    // Whoever applies first finds all fields in the hands of those before.
    let first = apply(&server, MAP, "m", &map(value!({"a": "7"}))).await;
    let expected = r#"Apply failed with 1 conflict: conflict with "before-first-apply" using v1: .data.a"#;
    assert_eq!(conflict(&first).0, expected);
}

#[tokio::test]
async fn paths_manage_what_they_write() {
    let server = TestServer::start().await;
    let mut config = deployment("d");
    config.set("status", value!({"replicas": 7}));
    let made = apply(&server, DEPLOYMENT, "m", &config).await.success();
    assert!(made.at("status.replicas").is_null());
    let spec = r#"{"f:spec":{"f:replicas":{},"f:selector":{},"f:template":{"f:metadata":{"f:labels":{"f:app":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"main\"}":{".":{},"f:image":{},"f:name":{}}}}}}}"#;
    expect_managers(&made, &[("Apply m  apps/v1", spec)]);
    let mut status = made.clone();
    status.entry("spec").set("replicas", 99);
    status.entry("metadata").set("labels", value!({"ignored": "here"}));
    status.set("status", value!({"replicas": 1}));
    let status =
        write(&server, "PUT", &format!("{DEPLOYMENT}/status"), "controller", &status).await.success();
    let controller = ("Update controller status apps/v1", r#"{"f:status":{"f:replicas":{}}}"#);
    expect_managers(&status, &[("Apply m  apps/v1", spec), controller]);
    // A status can be applied too, where it is one.
    let applied = value!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
        "spec": {"replicas": 5}, "status": {"replicas": 2}});
    let reply = apply(&server, &format!("{DEPLOYMENT}/status"), "other", &applied).await;
    let expected = r#"Apply failed with 1 conflict: conflict with "controller" with subresource "status" using apps/v1: .status.replicas"#;
    assert_eq!(conflict(&reply).0, expected);
    let missing = apply(&server, &format!("{DEPLOYMENTS}/none/status"), "other", &applied).await;
    assert_eq!(missing.code, 404);
}

#[tokio::test]
async fn the_replicas_have_managers_in_the_scale_too() {
    let server = TestServer::start().await;
    let config = deployment("d");
    apply(&server, DEPLOYMENT, "m", &config).await.success();
    let path = format!("{DEPLOYMENT}/scale");
    let mut scale = get(&server, &path).await.success();
    assert!(scale.at("metadata.managedFields").is_null());
    scale.entry("spec").set("replicas", 5);
    write(&server, "PUT", &path, "scaler", &scale).await.success();
    let object = get(&server, DEPLOYMENT).await.success();
    let found = managers(&object);
    assert!(!found[0].1.contains("f:replicas"), "{found:?}");
    assert_eq!(
        found[1],
        ("Update scaler scale apps/v1".to_owned(), r#"{"f:spec":{"f:replicas":{}}}"#.to_owned())
    );
    let reply = apply(&server, DEPLOYMENT, "m", &config).await;
    let expected = r#"Apply failed with 1 conflict: conflict with "scaler" with subresource "scale" using apps/v1: .spec.replicas"#;
    assert_eq!(conflict(&reply).0, expected);
    // Scales are applied like objects.
    let wanted = value!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "d"}, "spec": {"replicas": 6}});
    let reply = apply(&server, &path, "other", &wanted).await;
    let expected = r#"Apply failed with 1 conflict: conflict with "scaler" with subresource "scale" using autoscaling/v1: .spec.replicas"#;
    assert_eq!(conflict(&reply).0, expected);
    let forced = apply_with(&server, &path, "other", "&force=true", &wanted).await.success();
    assert_eq!(forced.at("spec.replicas").as_i64(), Some(6));
    let object = get(&server, DEPLOYMENT).await.success();
    let found: Vec<String> = managers(&object).into_iter().map(|(who, _)| who).collect();
    assert_eq!(found, ["Apply m  apps/v1", "Apply other scale apps/v1"]);
    assert_eq!(object.at("spec.replicas").as_i64(), Some(6));
}

/// Lists merge by the keys that the table names, in the order of the configuration.
#[tokio::test]
async fn lists_merge_by_their_keys() {
    let server = server_for_pods().await;
    let container = |name: &str, image: &str| value!({"name": name, "image": image});
    let mut config = deployment("d");
    let set =
        |config: &mut Value, list: Value| config.set_path(&["spec", "template", "spec", "containers"], list);
    set(
        &mut config,
        value!([{"name": "main", "image": "1"}, {"name": "side", "image": "1",
        "ports": [{"containerPort": 80}], "args": ["a", "b"]}]),
    );
    apply(&server, DEPLOYMENT, "m", &config).await.success();
    let mut other = value!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}});
    set(
        &mut other,
        value!([{"name": "side", "ports": [{"containerPort": 80, "protocol": "UDP"}]}, {"name": "injected", "image": "1"}]),
    );
    let both = apply(&server, DEPLOYMENT, "n", &other).await.success();
    let containers = both.at("spec.template.spec.containers");
    let names: Vec<&str> = containers.items().map(|container| container.str_at("name")).collect();
    assert_eq!(names, ["main", "side", "injected"]);
    let side = containers.items().nth(1).unwrap();
    assert_eq!(side.get("ports").items().count(), 2);
    assert_eq!((side.str_at("image"), side.get("args").items().count()), ("1", 2));
    set(&mut config, Value::from(vec![container("main", "2")]));
    let less = apply(&server, DEPLOYMENT, "m", &config).await;
    // The other manager still wants this container, which has lost its image.
    assert_eq!(less.code, 422, "{:?}", less.bytes);
    let mut twice = config.clone();
    set(&mut twice, Value::from(vec![container("main", "2"), container("main", "3")]));
    let (code, _, message) = apply(&server, DEPLOYMENT, "m", &twice).await.status();
    assert_eq!(code, 500);
    let expected = r#"failed to create typed patch object (default/d; apps/v1, Kind=Deployment): .spec.template.spec.containers: duplicate entries for key [name="main"]"#;
    assert_eq!(message, expected);
}

#[tokio::test]
async fn an_apply_that_cannot_be_is_refused() {
    let server = TestServer::start().await;
    let typed =
        |why: &str| format!("failed to create typed patch object (default/m; /v1, Kind=ConfigMap): {why}");
    let with = |path: &[&'static str], value: Value| {
        let mut object = map(value!({"a": "1"}));
        object.set_path(path, value);
        object
    };
    let table = [
        (with(&["spec"], value!({})), 500, typed(".spec: field not declared in schema")),
        (with(&["data"], value!("text")), 500, typed(".data: expected map, got &{text}")),
        (
            with(&["data"], value!({"a": 1, "b": true})),
            500,
            typed(
                "errors:\n  .data.a: expected string, got &value.valueUnstructured{Value:1}\n  .data.b: expected string, got \
                 &value.valueUnstructured{Value:true}",
            ),
        ),
        (with(&["immutable"], value!("no")), 500, typed(".immutable: expected boolean, got &{no}")),
        (with(&["metadata", "generation"], value!("no")), 500, typed(".metadata.generation: expected numeric (int or float), got string")),
        (with(&["metadata", "managedFields"], value!([])), 400, "metadata.managedFields must be nil".to_owned()),
        (
            with(&["apiVersion"], value!("v2")),
            400,
            "Incorrect version specified in apply patch. Specified patch version: v2, expected: v1".to_owned(),
        ),
        (
            with(&["metadata", "name"], value!("other")),
            400,
            "the name of the object (other) does not match the name on the URL (m)".to_owned(),
        ),
        (
            with(&["metadata", "uid"], value!("u")),
            409,
            "Operation cannot be fulfilled on configmaps \"m\": uid mismatch: the provided object specified uid u, and no \
             existing object was found"
                .to_owned(),
        ),
    ];
    for (config, code, expected) in table {
        let (found, _, message) = apply(&server, MAP, "m", &config).await.status();
        assert_eq!((found, message), (code, expected));
    }
    let kind = &[("content-type", "application/apply-patch+yaml")];
    let path = format!("{MAP}?fieldManager=m");
    for (path, text, code, expected) in [
        (
            MAP,
            "{}",
            422,
            "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch",
        ),
        (&path, "a: [", 400, "error decoding YAML: error converting YAML to JSON: yaml: line 1: "),
        (
            &format!("{path}&fieldValidation=Strict"),
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata:\n  a: b\n  a: c\n",
            400,
            "error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n  line 6: key \"a\" already set in map",
        ),
    ] {
        let (found, _, message) =
            send(&server, Some(&admin()), "PATCH", path, kind, text.to_owned()).await.status();
        assert_eq!(found, code, "{message}");
        assert!(message.starts_with(expected), "{message}");
    }
    assert_eq!(get(&server, MAP).await.code, 404);
    // By default a key that comes twice is a warning.
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata:\n  a: b\n  a: c\n";
    let yaml = &[("content-type", "application/yaml")];
    for reply in [
        send(&server, Some(&admin()), "PATCH", &path, kind, text).await,
        send(&server, Some(&admin()), "PUT", MAP, yaml, text).await,
    ] {
        assert_eq!(reply.warnings(), [r#"299 - "line 6: key \"a\" already set in map""#]);
        assert_eq!(reply.success().at("data.a").as_str(), Some("c"));
    }
}

#[tokio::test]
async fn a_dry_run_applies_nothing() {
    let server = TestServer::start().await;
    let made = apply_with(&server, MAP, "m", "&dryRun=All", &map(value!({"a": "1"}))).await;
    assert_eq!(made.code, 201);
    assert_eq!(managers(&made.success()).len(), 1);
    assert_eq!(get(&server, MAP).await.code, 404);
    let first = apply(&server, MAP, "m", &map(value!({"a": "1"}))).await.success();
    let changed = apply_with(&server, MAP, "m", "&dryRun=All", &map(value!({"a": "2"}))).await.success();
    assert_eq!(changed.at("data.a").as_str(), Some("2"));
    assert_eq!(get(&server, MAP).await.success(), first);
}

#[tokio::test]
async fn an_apply_may_rest_on_a_version() {
    let server = TestServer::start().await;
    let made = apply(&server, MAP, "m", &map(value!({"a": "1"}))).await.success();
    let mut config = map(value!({"a": "2"}));
    config.entry("metadata").set("resourceVersion", made.str_at("metadata.resourceVersion"));
    apply(&server, MAP, "m", &config).await.success();
    config.entry("data").set("a", "3");
    let (code, reason, message) = apply(&server, MAP, "m", &config).await.status();
    assert_eq!((code, reason.as_str()), (409, "Conflict"), "{message}");
    assert!(message.ends_with(object::MODIFIED), "{message}");
}

/// Who may patch but not create cannot create by applying.
#[tokio::test]
async fn an_apply_that_creates_needs_the_right_to_create() {
    let server = TestServer::start().await;
    let rules = value!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["patch"]}]);
    let role = value!({"metadata": {"name": "patcher"}, "rules": rules});
    server.create("rbac.authorization.k8s.io", "clusterroles", "", role).await.unwrap();
    let binding = value!({"metadata": {"name": "patcher"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "patcher"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "u"}]});
    server.create("rbac.authorization.k8s.io", "clusterrolebindings", "", binding).await.unwrap();
    server.registry.hub.catch_up().await.unwrap();
    let user = User::new("u", &[]);
    let path = format!("{MAP}?fieldManager=m");
    let kind = &[("content-type", "application/apply-patch+yaml")];
    let text = object::json::to_vec(&map(value!({"a": "1"})));
    let (code, _, message) = send(&server, Some(&user), "PATCH", &path, kind, text.clone()).await.status();
    assert_eq!(code, 403, "{message}");
    assert!(message.contains(r#"cannot create resource "configmaps""#), "{message}");
    apply(&server, MAP, "admin", &map(value!({"b": "1"}))).await.success();
    send(&server, Some(&user), "PATCH", &path, kind, text).await.success();
}

/// What client-side apply wrote is no conflict for the same program, and its annotation follows.
#[tokio::test]
async fn client_side_apply_becomes_server_side_apply() {
    let server = TestServer::start().await;
    let last = "kubectl.kubernetes.io/last-applied-configuration";
    let text = |object: &Value| String::from_utf8(object::json::to_vec(object)).unwrap();
    let mut object = map(value!({"a": "1", "b": "1"}));
    let annotation = text(&object);
    object.set_path(&["metadata", "annotations"], Value::map());
    object.entry("metadata").entry("annotations").set(last, annotation);
    let path = format!("{CONFIG_MAPS}?fieldManager=kubectl-client-side-apply");
    call(&server, "POST", &path, &object).await.success();
    write(&server, "PATCH", MAP, "edit", &value!({"data": {"b": "2"}})).await.success();
    let config = map(value!({"a": "2"}));
    let other = apply(&server, MAP, "another", &config).await;
    assert!(conflict(&other).0.contains("kubectl-client-side-apply"));
    let both = map(value!({"a": "2", "b": "3"}));
    let edited = apply(&server, MAP, "kubectl", &both).await;
    let expected = r#"Apply failed with 1 conflict: conflict with "edit" using v1: .data.b"#;
    assert_eq!(conflict(&edited).0, expected);
    let applied = apply(&server, MAP, "kubectl", &config).await.success();
    assert_eq!(applied.at("data.a").as_str(), Some("2"));
    let kept = applied.at("metadata.annotations").get(last).as_str().unwrap();
    assert_eq!(
        kept,
        "{\"apiVersion\":\"v1\",\"data\":{\"a\":\"2\"},\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"m\"}}\n"
    );
}

/// A manager that named its fields in one version keeps them when another one is used.
#[tokio::test]
async fn managers_of_other_versions_take_part() {
    let server = TestServer::start().await;
    let v1 = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers/h";
    let v2 = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers/h";
    let target = || value!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"});
    let in_v1 = |max: i64, cpu: i64| {
        value!({"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "h"}, "spec": {"maxReplicas": max, "scaleTargetRef": target(), "targetCPUUtilizationPercentage": cpu}})
    };
    apply(&server, v1, "m", &in_v1(3, 50)).await.success();
    let in_v2 = |max: i64| {
        value!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "h"}, "spec": {"maxReplicas": max}})
    };
    let reply = apply(&server, v2, "n", &in_v2(4)).await;
    assert_eq!(conflict(&reply).0, r#"Apply failed with 1 conflict: conflict with "m": .spec.maxReplicas"#);
    let forced = apply_with(&server, v2, "n", "&force=true", &in_v2(4)).await.success();
    assert_eq!(forced.at("spec.metrics").items().count(), 1);
    let found: Vec<String> = managers(&forced).into_iter().map(|(who, _)| who).collect();
    assert_eq!(found, ["Apply m  autoscaling/v1", "Apply n  autoscaling/v2"]);
    // The same manager in the other version: what it applied in the first one goes.
    let mut own = in_v2(4);
    own.entry("spec").set("scaleTargetRef", target());
    let own = apply(&server, v2, "m", &own).await.success();
    let metrics = own.at("spec.metrics").items().count();
    let names: Vec<String> = managers(&own).into_iter().map(|(who, _)| who).collect();
    assert_eq!(names, ["Apply m  autoscaling/v2", "Apply n  autoscaling/v2"]);
    assert_eq!(metrics, 1, "the default: nobody wants another measure");
}

/// Of many managers that apply at once each gets what it wants, also where none finds an object.
#[tokio::test]
async fn managers_that_apply_at_once_all_arrive() {
    let server = TestServer::start().await;
    let applies = (0..12).map(|index| {
        let server = &server;
        async move {
            let mut data = Value::map();
            data.set(format!("key-{index}"), "x");
            apply(server, MAP, &format!("m{index}"), &map(data)).await.success()
        }
    });
    let replies = futures::future::join_all(applies).await;
    assert_eq!(replies.len(), 12);
    let object = get(&server, MAP).await.success();
    assert_eq!(object.get("data").entries().count(), 12);
    assert_eq!(managers(&object).len(), 12);
}

/// Managers do not pile up: those of many updates are put together, those that apply are limited by their size.
#[tokio::test]
async fn managers_are_limited() {
    let server = TestServer::start().await;
    call(&server, "POST", &format!("{CONFIG_MAPS}?fieldManager=u"), &map(value!({"a": "1"}))).await.success();
    for index in 0..14 {
        let mut data = Value::map();
        data.set(format!("key-{index}"), "x");
        write(&server, "PATCH", MAP, &format!("u{index}"), &value!({"data": data})).await.success();
    }
    let object = get(&server, MAP).await.success();
    let found = managers(&object);
    assert_eq!(found.len(), 10);
    assert!(found.iter().any(|(who, _)| who == "Update ancient-changes  v1"), "{found:?}");
    let mut data = Value::map();
    for index in 0..4_000 {
        data.set(format!("{index:0>150}"), "");
    }
    let large = map(data);
    apply(&server, MAP, "large", &large).await.success();
    let (code, _, message) = apply(&server, MAP, "larger", &large).await.status();
    assert_eq!(code, 413, "{message}");
}

/// The rules of custom resources are those of their schema.
#[tokio::test]
async fn custom_resources_merge_by_their_schema() {
    let server = TestServer::start().await;
    server.catalogue().add(crate::custom::things(&value!({
        "type": "object", "properties": {
            "spec": {"type": "object", "properties": {
                "items": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id"],
                    "items": {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}, "value": {"type": "string"}}}},
                "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
                "lines": {"type": "array", "items": {"type": "string"}},
                "whole": {"type": "object", "x-kubernetes-map-type": "atomic", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}},
                "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}
            }},
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}
        }
    }))).await.unwrap();
    let path = "/apis/example.com/v1/namespaces/default/things/t";
    let thing = |spec: Value| {
        let mut thing = value!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "t"}});
        thing.set("spec", spec);
        thing
    };
    let first = value!({"items": [{"id": "a", "value": "1"}], "tags": ["x"], "lines": ["1"], "whole": {"a": "1"}, "any": {"k": {"l": 1}}});
    let made = apply(&server, path, "m", &thing(first)).await;
    assert_eq!(made.code, 201, "{:?}", made.bytes);
    let fields = r#"{"f:spec":{"f:any":{"f:k":{".":{},"f:l":{}}},"f:items":{"k:{\"id\":\"a\"}":{".":{},"f:id":{},"f:value":{}}},"f:lines":{},"f:tags":{"v:\"x\"":{}},"f:whole":{}}}"#;
    let found = managers(&made.success());
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].0, "Apply m  example.com/v1");
    assert_eq!(found[0].1.replace(r#""f:k":{"f:l":{}}"#, r#""f:k":{".":{},"f:l":{}}"#), fields);
    let second = value!({"items": [{"id": "b", "value": "2"}], "tags": ["y"]});
    let both = apply(&server, path, "n", &thing(second)).await.success();
    assert_eq!(both.at("spec.items").items().count(), 2);
    assert_eq!(both.at("spec.tags"), &value!(["x", "y"]));
    for (spec, field) in
        [(value!({"lines": ["2"]}), ".spec.lines"), (value!({"whole": {"b": "1"}}), ".spec.whole")]
    {
        let reply = apply(&server, path, "n", &thing(spec)).await;
        assert_eq!(conflict(&reply).0, format!("Apply failed with 1 conflict: conflict with \"m\": {field}"));
    }
    let (code, _, message) = apply(&server, path, "n", &thing(value!({"x": 1}))).await.status();
    assert_eq!(code, 500);
    assert!(message.ends_with(".spec.x: field not declared in schema"), "{message}");
}

/// "FieldValidation should detect unknown metadata fields in both the root and embedded object of a CR", "... should detect
/// duplicates in a CR when preserving unknown fields", "... should create/apply a CR with unknown fields for CRD with no
/// validation schema".
#[tokio::test]
async fn custom_objects_are_checked_as_they_are_applied() {
    let server = TestServer::start().await;
    let schema = value!({
        "type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"spec": {
            "type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {
                "template": {"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true},
                "foo": {"type": "string"}
            }
        }}
    });
    server.catalogue().add(crate::custom::things(&schema)).await.unwrap();
    let path = "/apis/example.com/v1/namespaces/default/things/t?fieldManager=m&fieldValidation=Strict";
    let send = async |text: &str| {
        let kind = &[("content-type", "application/apply-patch+yaml")];
        send(&server, Some(&admin()), "PATCH", path, kind, text.to_owned()).await
    };
    let unknown = "apiVersion: example.com/v1\nkind: Thing\nmetadata:\n  name: t\n  unknownMeta: x\nspec:\n  template:\n    \
                   apiVersion: v1\n    kind: Pod\n    metadata:\n      unknownSubMeta: x\n      name: p\n";
    let (_, _, message) = send(unknown).await.status();
    for expected in [
        ".metadata.unknownMeta: field not declared in schema",
        ".spec.template.metadata.unknownSubMeta: field not declared in schema",
    ] {
        assert!(message.contains(expected), "{message}");
    }
    let twice = "apiVersion: example.com/v1\nkind: Thing\nmetadata:\n  name: t\nspec:\n  unknown: 1\n  foo: foo1\n  foo: foo2\n";
    let (code, _, message) = send(twice).await.status();
    assert_eq!(code, 400);
    assert!(message.contains(r#"line 8: key "foo" already set in map"#), "{message}");
    let kept = send(&twice.replace("  foo: foo2\n", "")).await.success();
    assert_eq!(kept.at("spec.unknown").as_i64(), Some(1));
}

#[tokio::test]
async fn the_server_manages_what_it_makes() {
    let server = TestServer::start().await;
    let object = get(&server, "/api/v1/namespaces/default").await.success();
    let found: Vec<String> = managers(&object).into_iter().map(|(who, _)| who).collect();
    assert_eq!(found, ["Update kube-apiserver  v1"]);
}
