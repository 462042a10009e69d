//! CustomResourceDefinitions as objects: what they define is served, changes with them and goes with them.

use std::sync::Arc;

use apiserver::testing::{TestServer, admin};
use clock::Clock;
use object::{Value, value};

use crate::support::*;

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const WIDGETS: &str = "/apis/example.com/v1/namespaces/default/widgets";

fn version(name: &str, storage: bool) -> Value {
    value!({
        "name": name, "served": true, "storage": storage,
        "schema": {"openAPIV3Schema": {
            "type": "object", "description": "A thing.",
            "properties": {
                "spec": {"type": "object", "required": ["size"], "properties": {
                    "size": {"type": "integer", "minimum": 1i64, "description": "How large it is."},
                    "color": {"type": "string", "default": "red", "anyOf": [{"enum": ["red"]}, {"minLength": 5i64}]},
                    "replicas": {"type": "integer"},
                    "template": {
                        "type": "object", "x-kubernetes-embedded-resource": true,
                        "x-kubernetes-preserve-unknown-fields": true
                    }
                }},
                "status": {"type": "object", "properties": {
                    "replicas": {"type": "integer"}, "selector": {"type": "string"}
                }}
            }
        }},
        "subresources": {"status": {}, "scale": {
            "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector"
        }},
        "additionalPrinterColumns": [{"name": "Size", "type": "integer", "jsonPath": ".spec.size", "priority": 1i64}],
        "selectableFields": [{"jsonPath": ".spec.color"}]
    })
}

fn definition(plural: &str, kind: &str) -> Value {
    value!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.example.com")},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": plural, "kind": kind, "shortNames": [(&plural[..2])], "categories": ["all"]},
            "versions": [(version("v1", true))]
        }
    })
}

fn widget(name: &str) -> Value {
    value!({
        "apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}, "spec": {"size": 3i64}
    })
}

fn condition<'a>(definition: &'a Value, kind: &str) -> (&'a str, &'a str) {
    let found = definition.at("status.conditions").items().find(|other| other.str_at("type") == kind);
    found.map_or(("", ""), |found| (found.str_at("status"), found.str_at("reason")))
}

/// Waits until a definition shows a condition, and returns it.
async fn wait_for(server: &TestServer, name: &str, kind: &str, status: &str) -> Value {
    let path = format!("{DEFINITIONS}?fieldSelector=metadata.name%3D{name}&watch=1&resourceVersion=0");
    let mut watch = Watch::open(server, &path).await;
    loop {
        let event = watch.next().await.expect("the watch goes on");
        let object = event.get("object");
        if condition(object, kind).0 == status {
            return object.clone();
        }
    }
}

async fn define(server: &TestServer, definition: &Value) -> Value {
    call(server, "POST", DEFINITIONS, definition).await.success();
    wait_for(server, definition.str_at("metadata.name"), "Established", "True").await
}

#[tokio::test]
async fn a_definition_is_served_until_it_is_deleted_with_its_objects() {
    let server = TestServer::start().await;
    let made = define(&server, &definition("widgets", "Widget")).await;
    assert_eq!(condition(&made, "NamesAccepted"), ("True", "NoConflicts"));
    assert_eq!(condition(&made, "Established"), ("True", "InitialNamesAccepted"));
    assert_eq!(made.at("status.acceptedNames"), made.at("spec.names"));
    assert_eq!(made.at("status.storedVersions"), &value!(["v1"]));
    assert_eq!(made.str_at("spec.names.listKind"), "WidgetList");
    assert_eq!(made.str_at("spec.conversion.strategy"), "None");

    let resources = get(&server, "/apis/example.com/v1").await.success();
    let listed: Vec<&str> = resources.get("resources").items().map(|one| one.str_at("name")).collect();
    assert_eq!(listed, ["widgets", "widgets/scale", "widgets/status"]);
    let aggregated = [("accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")];
    let all = send(&server, Some(&admin()), "GET", "/apis", &aggregated, "").await.success();
    let found = all.get("items").items().find(|item| item.str_at("metadata.name") == "example.com").unwrap();
    let resource = &found.get("versions").as_list().unwrap()[0].get("resources").as_list().unwrap()[0];
    assert_eq!(
        (resource.str_at("singularResource"), resource.get("categories")),
        ("widget", &value!(["all"]))
    );
    assert_eq!(resource.get("subresources").items().count(), 2);
    let made = call(&server, "POST", WIDGETS, &widget("a")).await.success();
    assert_eq!((made.str_at("spec.color"), made.at("metadata.generation").as_i64()), ("red", Some(1)));
    let mut wrong = widget("b");
    wrong.entry("spec").set("size", "big");
    let (code, _, message) = call(&server, "POST", WIDGETS, &wrong).await.status();
    assert_eq!(code, 422);
    assert!(message.contains(r#"spec.size in body must be of type integer: "string""#), "{message}");
    let mut held = widget("held");
    held.entry("metadata").set("finalizers", value!(["example.com/hold"]));
    call(&server, "POST", WIDGETS, &held).await.success();

    let path = format!("{DEFINITIONS}/widgets.example.com");
    call(&server, "DELETE", &path, &Value::Null).await.success();
    let ending = wait_for(&server, "widgets.example.com", "Terminating", "True").await;
    assert!(!ending.at("metadata.finalizers").is_empty());
    // What is left can be released, but nothing new comes.
    let mut watch = Watch::open(&server, &format!("{WIDGETS}?watch=1&resourceVersion=0")).await;
    loop {
        let event = watch.next().await.expect("the objects are deleted first");
        if event.str_at("object.metadata.name") == "held"
            && !event.at("object.metadata.deletionTimestamp").is_null()
        {
            break;
        }
    }
    let (code, reason, message) = call(&server, "POST", WIDGETS, &widget("late")).await.status();
    assert_eq!((code, reason.as_str()), (403, "Forbidden"), "{message}");
    assert!(
        message.contains("create not allowed while custom resource definition is terminating"),
        "{message}"
    );
    let mut ends = Watch::open(
        &server,
        &format!("{DEFINITIONS}?watch=1&resourceVersion={}", ending.str_at("metadata.resourceVersion")),
    )
    .await;
    let release = value!({"metadata": {"finalizers": null}});
    call(&server, "PATCH", &format!("{WIDGETS}/held"), &release).await.success();
    while ends.next().await.expect("the definition ends").str_at("type") != "DELETED" {}
    while watch.next().await.is_some() {}
    assert_eq!(get(&server, WIDGETS).await.code, 404);
    assert_eq!(get(&server, "/apis/example.com").await.code, 404);

    // The same definition begins without the old objects.
    define(&server, &definition("widgets", "Widget")).await;
    assert_eq!(get(&server, WIDGETS).await.success().get("items").items().count(), 0);
}

#[tokio::test]
async fn definitions_take_every_operation() {
    let server = TestServer::start().await;
    let group = get(&server, "/apis/apiextensions.k8s.io").await.success();
    assert_eq!(group.str_at("preferredVersion.groupVersion"), "apiextensions.k8s.io/v1");
    let resources = get(&server, "/apis/apiextensions.k8s.io/v1").await.success();
    let mut listed = resources.get("resources").items().map(|one| one.str_at("name"));
    assert!(listed.any(|name| name == "customresourcedefinitions/status"));
    for (plural, kind) in [("widgets", "Widget"), ("gadgets", "Gadget")] {
        let mut labelled = definition(plural, kind);
        labelled.entry("metadata").set("labels", value!({"of": "test"}));
        define(&server, &labelled).await;
    }
    let ours = format!("{DEFINITIONS}?labelSelector=of%3Dtest");
    let list = get(&server, &ours).await.success();
    assert_eq!((list.str_at("kind"), list.get("items").items().count()), ("CustomResourceDefinitionList", 2));

    let status = format!("{DEFINITIONS}/widgets.example.com/status");
    let read = get(&server, &status).await.success();
    let mut updated = read.clone();
    let condition =
        value!({"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set by a test"});
    updated.entry("status").entry("conditions").as_list_mut().unwrap().push(condition);
    let updated = call(&server, "PUT", &status, &updated).await.success();
    assert_eq!(self::condition(&updated, "StatusUpdate"), ("True", "E2E"));
    assert_eq!(updated.get("spec"), read.get("spec"));
    let patch =
        value!({"status": {"storedVersions": ["v1"]}, "metadata": {"annotations": {"patched": "true"}}});
    let patched = call(&server, "PATCH", &status, &patch).await.success();
    assert_eq!(patched.str_at("metadata.annotations.patched"), "true");
    assert_eq!(self::condition(&patched, "Established").0, "True");

    let as_table = [("accept", "application/json;as=Table;g=meta.k8s.io;v=v1")];
    let table = send(&server, Some(&admin()), "GET", DEFINITIONS, &as_table, "").await.success();
    let cells = table.get("rows").items().next().unwrap().get("cells");
    assert_eq!(
        cells.as_list().unwrap()[..3],
        [value!("gadgets.example.com"), value!("Namespaced"), value!("v1(storage)")]
    );
    let revision = list.str_at("metadata.resourceVersion");
    let mut watch = Watch::open(&server, &format!("{ours}&watch=1&resourceVersion={revision}")).await;
    call(&server, "DELETE", &ours, &Value::Null).await.success();
    let mut gone = 0;
    while gone < 2 {
        let event = watch.next().await.expect("the definitions end");
        gone += usize::from(event.str_at("type") == "DELETED");
    }
    assert_eq!(get(&server, &ours).await.success().get("items").items().count(), 0);
}

#[tokio::test]
async fn names_belong_to_the_first_definition_until_it_is_gone() {
    let server = TestServer::start().await;
    define(&server, &definition("widgets", "Widget")).await;
    let mut second = definition("windows", "Widget");
    second.entry("spec").entry("names").set("shortNames", value!(["ww"]));
    call(&server, "POST", DEFINITIONS, &second).await.success();
    let refused = wait_for(&server, "windows.example.com", "NamesAccepted", "False").await;
    assert_eq!(condition(&refused, "NamesAccepted").1, "ListKindConflict");
    assert_eq!(condition(&refused, "Established"), ("False", "NotAccepted"));
    assert_eq!(get(&server, &WIDGETS.replace("widgets", "windows")).await.code, 404);
    call(&server, "DELETE", &format!("{DEFINITIONS}/widgets.example.com"), &Value::Null).await.success();
    wait_for(&server, "windows.example.com", "Established", "True").await;
    get(&server, &WIDGETS.replace("widgets", "windows")).await.success();
}

/// The definition of a type in OpenAPI v2.
async fn published(server: &TestServer, name: &str) -> Option<Value> {
    let document = get(server, "/openapi/v2").await.success();
    let found = document.get("definitions").get(name);
    (!found.is_null()).then(|| found.clone())
}

#[tokio::test]
async fn every_definition_is_published() {
    let server = TestServer::start().await;
    define(&server, &definition("widgets", "Widget")).await;
    let mut gadgets = definition("gadgets", "Gadget");
    let mut only = version("v1", true);
    only.set(
        "schema",
        value!({"openAPIV3Schema": {
            "type": "object", "x-kubernetes-preserve-unknown-fields": true,
            "properties": {"spec": {"type": "object", "properties": {"known": {"type": "string"}}}}
        }}),
    );
    only.remove("selectableFields");
    gadgets.entry("spec").set("versions", vec![only]);
    define(&server, &gadgets).await;
    let mut other = definition("widgets", "Widget");
    other.entry("metadata").set("name", "widgets.example.org");
    other.entry("spec").set("group", "example.org");
    define(&server, &other).await;
    for name in ["com.example.v1.Widget", "org.example.v1.Widget"] {
        let found = published(&server, name).await.unwrap();
        assert_eq!(found.str_at("properties.spec.properties.size.description"), "How large it is.");
        assert_eq!(
            found.str_at("properties.metadata.$ref"),
            "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
        );
    }
    let whole = get(&server, "/openapi/v3/apis/example.com/v1").await.success();
    for name in ["com.example.v1.Widget", "com.example.v1.WidgetList"] {
        for found in
            [published(&server, name).await.unwrap(), whole.at("components.schemas").get(name).clone()]
        {
            let selectable = found.get("x-kubernetes-selectable-fields");
            assert_eq!(selectable, &value!([{"fieldPath": "spec.color"}]), "{name}");
        }
    }
    // Nothing is said about objects with any field: clients would take it for all that there can be.
    let free = published(&server, "com.example.v1.Gadget").await.unwrap();
    assert_eq!((free.str_at("type"), free.get("properties").is_null()), ("object", true));
    let whole = get(&server, "/openapi/v3/apis/example.com/v1").await.success();
    let free = whole.at("components.schemas").get("com.example.v1.Gadget");
    assert_eq!(free.str_at("properties.spec.properties.known.type"), "string");

    let path = WIDGETS.replace("widgets", "gadgets");
    let strict = format!("{path}?fieldValidation=Strict");
    let body = r#"{
        "apiVersion": "example.com/v1", "kind": "Gadget", "metadata": {"name": "a"}, "any": {"thing": 1},
        "spec": {"known": "b"}
    }"#;
    let json = [("content-type", "application/json")];
    let made = send(&server, Some(&admin()), "POST", &strict, &json, body).await.success();
    assert_eq!(made.at("any.thing").as_i64(), Some(1));
    let twice = body.replace(r#""thing": 1"#, r#""thing": 1, "thing": 2"#).replace(r#""a""#, r#""b""#);
    let twice = twice.replace(r#""any""#, r#""other": 1, "other": 2, "any""#);
    let (code, _, message) = send(&server, Some(&admin()), "POST", &strict, &json, twice).await.status();
    assert_eq!(code, 400);
    for expected in [r#"duplicate field "any.thing""#, r#"duplicate field "other""#] {
        assert!(message.contains(expected), "{expected}: {message}");
    }
}

#[tokio::test]
async fn versions_come_and_go_with_changes_of_the_definition() {
    let server = TestServer::start().await;
    define(&server, &definition("widgets", "Widget")).await;
    call(&server, "POST", WIDGETS, &widget("a")).await.success();
    let path = format!("{DEFINITIONS}/widgets.example.com");
    let beta = WIDGETS.replace("/v1/", "/v1beta1/");
    let mut generations = server.catalogue().changed();
    generations.mark_unchanged();
    let both = value!({"spec": {"versions": [(version("v1", true)), (version("v1beta1", false))]}});
    call(&server, "PATCH", &path, &both).await.success();
    generations.changed().await.unwrap();
    let read = get(&server, &format!("{beta}/a")).await.success();
    assert_eq!((read.str_at("apiVersion"), read.at("spec.size").as_i64()), ("example.com/v1beta1", Some(3)));
    let schemas = get(&server, "/openapi/v3/apis/example.com/v1beta1").await.success();
    let schema = schemas.at("components.schemas").get("com.example.v1beta1.Widget");
    let spec = schema.at("properties.spec.properties");
    assert_eq!(spec.str_at("size.description"), "How large it is.");
    assert_eq!(spec.at("color.anyOf").items().count(), 2);
    let swagger = get(&server, "/openapi/v2").await.success();
    let schema = swagger.get("definitions").get("com.example.v1beta1.Widget");
    assert!(schema.at("properties.spec.properties.color.anyOf").is_null());
    let spec = schema.at("properties.spec.properties");
    assert_eq!(spec.at("color.default").as_str(), Some("red"));
    assert_eq!(spec.at("template.x-kubernetes-embedded-resource").as_bool(), Some(true));
    assert!(spec.at("template.type").is_null() && spec.at("template.properties").is_null());

    let mut unserved = version("v1beta1", false);
    unserved.set("served", false);
    let one = value!({"spec": {"versions": [(version("v1", true)), unserved]}});
    call(&server, "PATCH", &path, &one).await.success();
    generations.changed().await.unwrap();
    assert_eq!(get(&server, &beta).await.code, 404);
    get(&server, WIDGETS).await.success();
    assert!(published(&server, "com.example.v1beta1.Widget").await.is_none());
    assert!(published(&server, "com.example.v1.Widget").await.is_some());
    let renamed = value!({"spec": {"versions": [(version("v1", true)), (version("v1beta2", false))]}});
    call(&server, "PATCH", &path, &renamed).await.success();
    generations.changed().await.unwrap();
    assert!(published(&server, "com.example.v1beta1.Widget").await.is_none());
    assert!(published(&server, "com.example.v1beta2.Widget").await.is_some());
    let (code, _, message) =
        call(&server, "PATCH", &path, &value!({"spec": {"scope": "Cluster"}})).await.status();
    assert_eq!(code, 422);
    assert!(message.contains("spec.scope: Invalid value: \"Cluster\": field is immutable"), "{message}");
}

#[tokio::test]
async fn scale_status_columns_and_selectable_fields_follow_the_definition() {
    let server = TestServer::start().await;
    define(&server, &definition("widgets", "Widget")).await;
    call(&server, "POST", WIDGETS, &widget("a")).await.success();
    let item = format!("{WIDGETS}/a");
    assert_eq!(get(&server, &format!("{item}/scale")).await.code, 500, "it has no replicas");
    call(&server, "PATCH", &item, &value!({"spec": {"replicas": 2i64, "color": "green"}})).await.success();
    let status = value!({"status": {"replicas": 1i64, "selector": "app=a"}, "spec": {"size": 9i64}});
    let after = call(&server, "PATCH", &format!("{item}/status"), &status).await.success();
    assert_eq!(
        (after.at("spec.size").as_i64(), after.at("metadata.generation").as_i64()),
        (Some(3), Some(2))
    );
    let scale = get(&server, &format!("{item}/scale")).await.success();
    assert_eq!(scale.at("spec.replicas").as_i64(), Some(2));
    assert_eq!(scale.get("status"), &value!({"replicas": 1i64, "selector": "app=a"}));
    let wanted = value!({"spec": {"replicas": 5i64}});
    call(&server, "PATCH", &format!("{item}/scale"), &wanted).await.success();
    let read = get(&server, &item).await.success();
    assert_eq!(
        (read.at("spec.replicas").as_i64(), read.at("metadata.generation").as_i64()),
        (Some(5), Some(3))
    );

    call(&server, "POST", WIDGETS, &widget("b")).await.success();
    let list = get(&server, &format!("{WIDGETS}?fieldSelector=spec.color%3Dgreen")).await.success();
    assert_eq!(list.get("items").items().count(), 1);
    let revision = list.str_at("metadata.resourceVersion");
    let selected = format!("{WIDGETS}?fieldSelector=spec.color%3Dgreen&watch=1&resourceVersion={revision}");
    let mut watch = Watch::open(&server, &selected).await;
    let paint = |color: &str| value!({"spec": {"color": color}});
    call(&server, "PATCH", &format!("{WIDGETS}/b"), &paint("green")).await.success();
    watch.expect("ADDED b").await;
    call(&server, "PATCH", &format!("{WIDGETS}/b"), &paint("violet")).await.success();
    watch.expect("DELETED b").await;
    let as_table = [("accept", "application/json;as=Table;g=meta.k8s.io;v=v1")];
    let table = send(&server, Some(&admin()), "GET", WIDGETS, &as_table, "").await.success();
    let column = table.get("columnDefinitions").items().nth(1).unwrap();
    assert_eq!(
        (column.str_at("name"), column.get("priority").as_i64(), column.str_at("description")),
        ("Size", Some(1), "Custom resource definition column (in JSONPath format): .spec.size")
    );
}

#[tokio::test]
async fn unknown_fields_are_told_also_inside_of_objects() {
    let server = TestServer::start().await;
    define(&server, &definition("widgets", "Widget")).await;
    let body = r#"{
        "apiVersion": "example.com/v1", "kind": "Widget",
        "metadata": {"name": "a", "unknownMeta": 1},
        "spec": {"size": 3, "size": 3, "extra": 1, "template": {
            "apiVersion": "v1", "kind": "Pod", "metadata": {"unknownSubMeta": 1}, "anything": 1
        }}
    }"#;
    let strict = format!("{WIDGETS}?fieldValidation=Strict");
    let json = [("content-type", "application/json")];
    let (code, _, message) = send(&server, Some(&admin()), "POST", &strict, &json, body).await.status();
    assert_eq!(code, 400);
    for expected in [
        r#"unknown field "metadata.unknownMeta""#,
        r#"unknown field "spec.extra""#,
        r#"unknown field "spec.template.metadata.unknownSubMeta""#,
        r#"duplicate field "spec.size""#,
    ] {
        assert!(message.contains(expected), "{expected}: {message}");
    }
    let made = send(&server, Some(&admin()), "POST", WIDGETS, &json, body).await;
    assert_eq!(made.warnings().len(), 4, "{:?}", made.warnings());
    let made = made.success();
    assert!(made.at("spec.extra").is_null() && made.at("spec.template.metadata.unknownSubMeta").is_null());
    assert_eq!(made.at("spec.template.anything").as_i64(), Some(1));
}

#[tokio::test]
async fn defaults_and_pruning_hold_for_stored_objects() {
    let server = TestServer::start().await;
    define(&server, &definition("widgets", "Widget")).await;
    let path = format!("{DEFINITIONS}/widgets.example.com");
    call(&server, "POST", WIDGETS, &widget("a")).await.success();
    let mut generations = server.catalogue().changed();
    generations.mark_unchanged();
    let mut changed = version("v1", true);
    let spec = changed.at_mut("schema.openAPIV3Schema.properties.spec.properties").unwrap();
    spec.set("shape", value!({"type": "string", "default": "round"}));
    spec.remove("color");
    changed.remove("selectableFields");
    let mut other = changed.clone();
    other.set("name", "v2");
    other.set("storage", false);
    let spec = other.at_mut("schema.openAPIV3Schema.properties.spec.properties").unwrap();
    spec.set("weight", value!({"type": "integer", "default": 7i64}));
    call(&server, "PATCH", &path, &value!({"spec": {"versions": [changed, other]}})).await.success();
    generations.changed().await.unwrap();
    for (version, weight) in [("v1", None), ("v2", Some(7))] {
        let path = WIDGETS.replace("/v1/", &format!("/{version}/"));
        let read = get(&server, &format!("{path}/a")).await.success();
        let list = get(&server, &path).await.success();
        for object in [&read, &list.get("items").as_list().unwrap()[0]] {
            let spec = object.get("spec");
            assert_eq!((spec.str_at("shape"), spec.get("color").is_null()), ("round", true));
            assert_eq!(spec.get("weight").as_i64(), weight);
        }
    }
}

#[tokio::test]
async fn servers_over_one_store_and_later_ones_serve_the_same() {
    let store: Arc<dyn store::Store> = Arc::new(store::Embedded::in_memory(Clock::system()));
    let first = TestServer::over(Arc::clone(&store), &["10.43.0.0/16"]).await;
    let second = TestServer::over(Arc::clone(&store), &["10.43.0.0/16"]).await;
    let mut generations = second.catalogue().changed();
    generations.mark_unchanged();
    define(&first, &definition("widgets", "Widget")).await;
    generations.changed().await.unwrap();
    call(&second, "POST", WIDGETS, &widget("a")).await.success();
    let third = TestServer::over(store, &["10.43.0.0/16"]).await;
    get(&third, &format!("{WIDGETS}/a")).await.success();
    call(&third, "DELETE", &format!("{DEFINITIONS}/widgets.example.com"), &Value::Null).await.success();
    while first.catalogue().endpoint("example.com", "v1", "widgets").is_some() {
        first.catalogue().changed().changed().await.unwrap();
    }
    first.registry.hub.catch_up().await.unwrap();
    assert_eq!(get(&first, &format!("{DEFINITIONS}/widgets.example.com")).await.code, 404);
}

#[tokio::test]
async fn what_cannot_be_served_is_refused_with_its_place() {
    let server = TestServer::start().await;
    let mut wrong = definition("widgets", "Widget");
    let mut only = version("v1", true);
    only.set(
        "schema",
        value!({"openAPIV3Schema": {"type": "object", "properties": {"spec": {
            "type": "object", "x-kubernetes-validations": [{"rule": "self.size == 1"}]
        }}}}),
    );
    wrong.entry("spec").set("versions", vec![only]);
    wrong.entry("spec").set("preserveUnknownFields", true);
    let (code, reason, message) = call(&server, "POST", DEFINITIONS, &wrong).await.status();
    assert_eq!((code, reason.as_str()), (422, "Invalid"));
    for expected in [
        "spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[0].rule: Invalid value: \
         {\"rule\":\"self.size == 1\"}: compilation failed: ERROR: <input>:1:5: undefined field 'size'",
        "spec.preserveUnknownFields: Invalid value: true",
        "spec.selectableFields[0].jsonPath: Invalid value: \".spec.color\": is an invalid path",
    ] {
        assert!(message.contains(expected), "{expected}: {message}");
    }
}

/// Rules in CEL: on create, on update with the earlier state, and as warnings where nothing has changed.
#[tokio::test]
async fn rules_of_a_definition_are_kept() {
    let server = TestServer::start().await;
    let mut ruled = definition("widgets", "Widget");
    let mut only = version("v1", true);
    let spec = only.at_mut("schema.openAPIV3Schema.properties.spec").unwrap();
    spec.set(
        "x-kubernetes-validations",
        vec![
            value!({"rule": "!has(self.replicas) || self.size <= self.replicas", "message": "too few replicas"}),
            value!({"rule": "self.color == oldSelf.color", "message": "stays", "fieldPath": ".color", "reason": "FieldValueForbidden"}),
        ],
    );
    ruled.entry("spec").set("versions", vec![only.clone()]);
    define(&server, &ruled).await;
    let mut wrong = widget("a");
    wrong.set_path(&["spec", "replicas"], Value::from(2i64));
    let refused = call(&server, "POST", WIDGETS, &wrong).await.status();
    let why = "Widget.example.com \"a\" is invalid: spec: Invalid value: too few replicas";
    assert_eq!(refused, (422, "Invalid".to_owned(), why.to_owned()));
    let mut created = call(&server, "POST", WIDGETS, &widget("a")).await.success();
    created.set_path(&["spec", "color"], Value::from("green"));
    let path = format!("{WIDGETS}/a");
    let (code, _, message) = call(&server, "PUT", &path, &created).await.status();
    assert_eq!(
        (code, message.as_str()),
        (422, "Widget.example.com \"a\" is invalid: spec.color: Forbidden: stays")
    );

    // A rule that comes later is told about what was there.
    let stored = get(&server, &format!("{DEFINITIONS}/widgets.example.com")).await.success();
    let mut later = stored.clone();
    let spec = later.at_mut("spec.versions").unwrap().as_list_mut().unwrap()[0]
        .at_mut("schema.openAPIV3Schema.properties.spec")
        .unwrap();
    spec.set("x-kubernetes-validations", vec![value!({"rule": "self.size > 100", "message": "large"})]);
    call(&server, "PUT", &format!("{DEFINITIONS}/widgets.example.com"), &later).await.success();
    let mut generations = server.catalogue().changed();
    loop {
        let mut labelled = get(&server, &path).await.success();
        labelled.set_path(&["metadata", "labels"], value!({"a": "b"}));
        let reply = call(&server, "PUT", &path, &labelled).await;
        if reply.warnings().iter().any(|warning| warning.contains("spec: Invalid value: large")) {
            reply.success();
            break;
        }
        reply.success();
        generations.changed().await.unwrap();
    }
    let mut other = widget("b");
    other.set_path(&["spec", "size"], Value::from(101i64));
    call(&server, "POST", WIDGETS, &other).await.success();
}
