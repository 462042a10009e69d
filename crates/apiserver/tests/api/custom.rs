//! Resources unknown at build time: added, served, discovered and removed while the server runs and clients write.

use std::collections::HashMap;
use std::io::Read;
use std::sync::Arc;

use apiserver::catalogue::{CatalogueError, Convert, Definition, Version};
use apiserver::testing::{TestServer, admin};
use kinds::custom::{JsonPath, PrinterColumn};
use object::{Status, Value, value};
use schema::Scope;

use crate::support::*;

pub(crate) const WIDGETS: &str = "/apis/example.com/v1/namespaces/default/widgets";
/// How many clients write at a time, and how many objects each of them makes.
const CLIENTS: usize = 4;
const OBJECTS_EACH: usize = 12;

fn schema() -> Value {
    value!({
        "type": "object", "description": "A thing that does something.", "required": ["spec"],
        "properties": {
            "spec": {
                "type": "object", "required": ["size"],
                "properties": {
                    "size": {"type": "integer", "minimum": 1i64, "maximum": 9i64, "description": "How large it is."},
                    "color": {"type": "string", "enum": ["red", "green"], "default": "red"},
                    "name": {"type": "string", "pattern": "^[a-z]+$"},
                    "matrix": {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}},
                    "routes": {"type": "object", "additionalProperties": {
                        "type": "array", "items": {"type": "object", "properties": {
                            "port": {"x-kubernetes-int-or-string": true}, "weight": {"type": "integer", "default": 1i64}
                        }}
                    }},
                    "extra": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                    "template": {
                        "type": "object", "x-kubernetes-embedded-resource": true,
                        "x-kubernetes-preserve-unknown-fields": true
                    }
                }
            },
            "status": {"type": "object", "properties": {"phase": {"type": "string"}}}
        }
    })
}

fn version(name: &str) -> Version {
    let size = PrinterColumn {
        name: "Size".to_owned(),
        kind: "integer".to_owned(),
        path: JsonPath::parse(".spec.size").unwrap(),
        ..PrinterColumn::age()
    };
    Version {
        name: name.to_owned(),
        served: true,
        schema: schema(),
        has_status: true,
        columns: vec![size, PrinterColumn::age()],
        selectable: vec![JsonPath::parse(".spec.color").unwrap()],
        scale: None,
        deprecation: None,
    }
}

fn widgets() -> Definition {
    Definition {
        group: "example.com".to_owned(),
        plural: "widgets".to_owned(),
        singular: "widget".to_owned(),
        kind: "Widget".to_owned(),
        list_kind: "WidgetList".to_owned(),
        short_names: vec!["wd".to_owned()],
        categories: vec!["all".to_owned()],
        scope: Scope::Namespaced,
        versions: vec![version("v1")],
        stored_version: "v1".to_owned(),
        conversion: None,
        terminating: false,
    }
}

/// A resource `things` with this schema.
pub(crate) fn things(schema: &Value) -> Definition {
    Definition {
        plural: "things".to_owned(),
        singular: "thing".to_owned(),
        kind: "Thing".to_owned(),
        list_kind: "ThingList".to_owned(),
        short_names: Vec::new(),
        versions: vec![Version { schema: schema.clone(), selectable: Vec::new(), ..version("v1") }],
        ..widgets()
    }
}

pub(crate) fn widget(name: &str) -> Value {
    value!({
        "apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"size": 3i64}
    })
}

pub(crate) async fn server_with_widgets() -> TestServer {
    let server = TestServer::start().await;
    server.catalogue().add(widgets()).await.unwrap();
    server
}

fn revision(object: &Value) -> u64 {
    object.str_at("metadata.resourceVersion").parse().unwrap()
}

fn names(list: &Value) -> Vec<&str> {
    list.get("items").items().map(|item| item.str_at("metadata.name")).collect()
}

#[tokio::test]
async fn objects_are_pruned_defaulted_and_validated() {
    let server = server_with_widgets().await;
    let mut wanted = widget("a");
    let spec = wanted.entry("spec");
    spec.set("matrix", value!([[1i64, 2i64], [3i64]]));
    spec.set("routes", value!({"r": [{"port": "http", "gone": 1i64}]}));
    spec.set("extra", value!({"any": {"thing": null}}));
    spec.set("template", value!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {}}));
    spec.set("unknown", true);
    wanted.set("status", value!({"phase": "set by nobody"}));
    let reply = call(&server, "POST", WIDGETS, &wanted).await;
    assert_eq!(reply.warnings().len(), 2, "{:?}", reply.warnings());
    let made = reply.success();
    let spec = made.get("spec");
    assert_eq!(spec.at("routes.r"), &value!([{"port": "http", "weight": 1i64}]));
    assert_eq!(spec.get("matrix"), &value!([[1i64, 2i64], [3i64]]));
    assert_eq!(spec.get("extra"), &value!({"any": {"thing": null}}));
    assert_eq!(spec.str_at("template.metadata.name"), "p");
    assert_eq!((spec.str_at("color"), spec.get("unknown").is_null()), ("red", true));
    assert!(made.get("status").is_null());
    assert_eq!(made.at("metadata.generation").as_i64(), Some(1));

    let strict = call(&server, "POST", &format!("{WIDGETS}?fieldValidation=Strict"), &wanted).await;
    assert_eq!(strict.code, 400);
    for (member, bad, expected) in [
        (
            "size",
            value!(10i64),
            "spec.size: Invalid value: 10: spec.size in body should be less than or equal to 9",
        ),
        (
            "size",
            value!("big"),
            r#"spec.size: Invalid value: "string": spec.size in body must be of type integer: "string""#,
        ),
        ("size", Value::Null, "spec.size: Required value"),
        (
            "color",
            value!("blue"),
            r#"spec.color: Unsupported value: "blue": supported values: "red", "green""#,
        ),
        ("name", value!("A"), "spec.name in body should match '^[a-z]+$'"),
        ("matrix", value!([[1i64], ["x"]]), "spec.matrix[1][0] in body must be of type integer"),
        ("template", value!({"kind": "Pod"}), "spec.template.apiVersion: Required value"),
    ] {
        let mut object = widget("bad");
        object.entry("spec").set(member, bad);
        let (code, reason, message) = call(&server, "POST", WIDGETS, &object).await.status();
        assert_eq!((code, reason.as_str()), (422, "Invalid"), "{message}");
        assert!(message.contains(expected), "{expected}: {message}");
    }
}

#[tokio::test]
async fn every_verb_works() {
    let server = server_with_widgets().await;
    let a = call(&server, "POST", WIDGETS, &widget("a")).await.success();
    call(&server, "POST", WIDGETS, &widget("b")).await.success();
    let item = format!("{WIDGETS}/a");
    assert_eq!(get(&server, &item).await.success(), a);

    let patched = call(&server, "PATCH", &item, &value!({"spec": {"color": "green"}})).await.success();
    assert_eq!(patched.at("metadata.generation").as_i64(), Some(2));
    let operations = r#"[{"op": "replace", "path": "/spec/size", "value": 5}]"#;
    let json_patch = [("content-type", "application/json-patch+json")];
    let patched = send(&server, Some(&admin()), "PATCH", &item, &json_patch, operations).await.success();
    assert_eq!((patched.at("spec.size").as_i64(), patched.str_at("spec.color")), (Some(5), "green"));

    let mut old = a.clone();
    old.entry("spec").set("size", 6i64);
    assert_eq!(call(&server, "PUT", &item, &old).await.code, 409);
    let mut new = patched.clone();
    new.entry("spec").set("size", 7i64);
    assert_eq!(call(&server, "PUT", &item, &new).await.success().at("spec.size").as_i64(), Some(7));
    let status = value!({"status": {"phase": "Ready"}, "spec": {"size": 1i64}});
    let status = call(&server, "PATCH", &format!("{item}/status"), &status).await.success();
    assert_eq!((status.str_at("status.phase"), status.at("spec.size").as_i64()), ("Ready", Some(7)));

    for (query, expected) in [
        ("", &["a", "b"][..]),
        ("?labelSelector=app%3Db", &["b"]),
        ("?fieldSelector=spec.color%3Dgreen", &["a"]),
        ("?fieldSelector=metadata.name%3Db", &["b"]),
        ("?limit=1", &["a"]),
    ] {
        let list = get(&server, &format!("{WIDGETS}{query}")).await.success();
        assert_eq!((list.str_at("kind"), names(&list)), ("WidgetList", expected.to_vec()), "{query}");
    }
    assert_eq!(get(&server, &format!("{WIDGETS}?fieldSelector=spec.size%3D7")).await.code, 400);

    let as_table = [("accept", "application/json;as=Table;g=meta.k8s.io;v=v1")];
    let table = send(&server, Some(&admin()), "GET", WIDGETS, &as_table, "").await.success();
    let columns: Vec<&str> =
        table.get("columnDefinitions").items().map(|column| column.str_at("name")).collect();
    assert_eq!(columns, ["Name", "Size", "Age"]);
    let cells = table.get("rows").items().next().unwrap().get("cells");
    assert_eq!(cells.as_list().unwrap()[..2], [value!("a"), value!(7i64)]);

    call(&server, "DELETE", &item, &Value::Null).await.success();
    assert_eq!(get(&server, &item).await.code, 404);
    call(&server, "DELETE", WIDGETS, &Value::Null).await.success();
    assert_eq!(names(&get(&server, WIDGETS).await.success()), [""; 0]);
}

#[tokio::test]
async fn what_custom_resources_have_no_form_of_is_refused() {
    let server = server_with_widgets().await;
    call(&server, "POST", WIDGETS, &widget("a")).await.success();
    let strategic = [("content-type", "application/strategic-merge-patch+json")];
    let item = format!("{WIDGETS}/a");
    let reply = send(&server, Some(&admin()), "PATCH", &item, &strategic, "{}").await;
    assert_eq!((reply.status().0, reply.status().1.as_str()), (415, "UnsupportedMediaType"));
    let protobuf = "application/vnd.kubernetes.protobuf";
    let reply = send(&server, Some(&admin()), "POST", WIDGETS, &[("content-type", protobuf)], "k8s\0").await;
    assert_eq!(reply.status().0, 415);
    assert_eq!(send(&server, Some(&admin()), "GET", &item, &[("accept", protobuf)], "").await.code, 406);
    let both = format!("{protobuf},application/json");
    send(&server, Some(&admin()), "GET", &item, &[("accept", &both)], "").await.success();
}

#[tokio::test]
async fn discovery_and_openapi_tell_of_it_at_once_and_of_nothing_else_anew() {
    let server = TestServer::start().await;
    let before = get(&server, "/openapi/v3").await.success();
    let swagger = get(&server, "/openapi/v2").await.success();
    let mut changed = server.catalogue().changed();
    server.catalogue().add(widgets()).await.unwrap();
    assert!(changed.has_changed().unwrap());
    changed.mark_unchanged();

    let group = get(&server, "/apis/example.com").await.success();
    assert_eq!(group.str_at("preferredVersion.groupVersion"), "example.com/v1");
    let resources = get(&server, "/apis/example.com/v1").await.success();
    let listed: Vec<&str> =
        resources.get("resources").items().map(|resource| resource.str_at("name")).collect();
    assert_eq!(listed, ["widgets", "widgets/status"]);
    let aggregated =
        [("accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json")];
    let all = send(&server, Some(&admin()), "GET", "/apis", &aggregated, "").await.success();
    let found = all.get("items").items().find(|item| item.str_at("metadata.name") == "example.com").unwrap();
    let resource = found.get("versions").items().next().unwrap().get("resources").items().next().unwrap();
    assert_eq!(resource.get("shortNames"), &value!(["wd"]));

    let after = get(&server, "/openapi/v3").await.success();
    for (name, entry) in before.get("paths").entries() {
        assert_eq!(entry, after.get("paths").get(name), "{name}");
    }
    let url = after.get("paths").get("apis/example.com/v1").str_at("serverRelativeURL").to_owned();
    let document = get(&server, &url).await.success();
    let schemas = document.at("components.schemas");
    let widget = schemas.get("com.example.v1.Widget");
    assert_eq!(widget.str_at("description"), "A thing that does something.");
    let spec = widget.at("properties.spec.properties");
    assert_eq!(spec.at("size.maximum").as_i64(), Some(9));
    assert_eq!(spec.get("matrix"), schema().at("properties.spec.properties.matrix"));
    let kind = widget.get("x-kubernetes-group-version-kind").items().next().unwrap();
    assert_eq!((kind.str_at("group"), kind.str_at("kind")), ("example.com", "Widget"));
    assert!(!schemas.get("com.example.v1.WidgetList").is_null());
    let item = document.get("paths").get("/apis/example.com/v1/namespaces/{namespace}/widgets/{name}");
    let patches: Vec<&str> = item.at("patch.requestBody.content").entries().map(|(media, _)| media).collect();
    assert!(!patches.contains(&"application/strategic-merge-patch+json"), "{patches:?}");
    let extended = get(&server, "/openapi/v2").await.success();
    assert!(!extended.get("definitions").get("com.example.v1.Widget").is_null());
    let known = |document: &Value| document.get("definitions").entries().count();
    assert_eq!(known(&extended), known(&swagger) + 2);

    server.catalogue().remove("example.com", "widgets").await.unwrap();
    assert!(changed.has_changed().unwrap());
    assert_eq!(get(&server, "/apis/example.com/v1").await.code, 404);
    assert_eq!(get(&server, "/openapi/v3").await.success(), before);
    assert_eq!(get(&server, "/openapi/v2").await.success(), swagger);
}

/// The document of version 2 is joined from parts that were compressed one by one; what several of them need is in it once.
#[tokio::test]
async fn the_document_of_the_whole_api_is_joined_from_parts() {
    let server = TestServer::start().await;
    let read = async |accept: &str, encoding: &str| {
        let headers = [("accept", accept), ("accept-encoding", encoding)];
        let reply = send(&server, Some(&admin()), "GET", "/openapi/v2", &headers, "").await;
        assert_eq!(reply.code, 200);
        (reply.headers["etag"].clone(), reply.bytes)
    };
    let (before, _) = read("application/json", "identity").await;
    let other = Definition { group: "other.example.com".to_owned(), ..widgets() };
    let newer = Definition { versions: vec![version("v1"), version("v2")], ..widgets() };
    server.catalogue().add(newer).await.unwrap();
    let (one, _) = read("application/json", "identity").await;
    server.catalogue().add(other).await.unwrap();
    let (both, text) = read("application/json", "identity").await;
    assert!(before != one && one != both && both != before);
    assert_eq!(read("application/json", "identity").await, (both.clone(), text.clone()));
    let (etag, packed) = read("application/json", "gzip").await;
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(&*packed).read_to_end(&mut unpacked).unwrap();
    assert!(etag == both && unpacked == text);

    let document = object::json::parse(&text).unwrap();
    let text = String::from_utf8(text.to_vec()).unwrap();
    for (section, names) in [
        (
            "paths",
            &["/apis/example.com/", "/apis/example.com/v2/widgets", "/apis/other.example.com/v1/widgets"][..],
        ),
        (
            "definitions",
            &["com.example.v1.Widget", "com.example.v2.WidgetList", "com.example.other.v1.Widget"],
        ),
    ] {
        for name in names {
            assert!(!document.get(section).get(name).is_null(), "{name}");
        }
    }
    for section in ["definitions", "parameters"] {
        let reference = format!("\"$ref\":\"#/{section}/");
        let references = text.split(&reference).skip(1);
        for name in references.map(|rest| rest.split('"').next().unwrap()) {
            assert!(!document.get(section).get(name).is_null(), "{section}: {name}");
        }
    }
    // The three versions describe the name of a Widget in the same words.
    let item = document.get("paths").get("/apis/other.example.com/v1/namespaces/{namespace}/widgets/{name}");
    let of_path = item.get("parameters").items().map(|parameter| parameter.str_at("$ref"));
    let name =
        of_path.map(|reference| reference.rsplit('/').next().unwrap()).find(|name| name.starts_with("name-"));
    let name = name.unwrap();
    assert_eq!(text.matches(&format!("\"{name}\":{{")).count(), 1);
    let (_, message) = read("application/com.github.proto-openapi.spec.v2.v1.0+protobuf", "identity").await;
    let pair = [&[0x0a, u8::try_from(name.len()).unwrap()], name.as_bytes()].concat();
    assert_eq!(message.windows(pair.len()).filter(|window| *window == pair).count(), 1);
    server.catalogue().remove("other.example.com", "widgets").await.unwrap();
    assert_eq!(read("application/json", "identity").await.0, one);
}

/// One in three objects of a client stays.
fn stays(number: usize) -> bool {
    number.is_multiple_of(3)
}

/// Makes, changes and deletes objects; every answer is a success.
async fn write(server: Arc<TestServer>, path: &'static str, client: usize, object: fn(&str) -> Value) {
    for number in 0..OBJECTS_EACH {
        let name = format!("c{client}-{number}");
        call(&server, "POST", path, &object(&name)).await.success();
        let item = format!("{path}/{name}");
        let change = value!({"metadata": {"labels": {"changed": "yes"}}});
        call(&server, "PATCH", &item, &change).await.success();
        if !stays(number) {
            call(&server, "DELETE", &item, &Value::Null).await.success();
        }
    }
}

fn clients(
    server: &Arc<TestServer>,
    path: &'static str,
    object: fn(&str) -> Value,
) -> tokio::task::JoinSet<()> {
    (0..CLIENTS).map(|client| write(Arc::clone(server), path, client, object)).collect()
}

/// How many events the writes of all clients make.
const EVENTS: usize = CLIENTS * (2 * OBJECTS_EACH + OBJECTS_EACH - OBJECTS_EACH.div_ceil(3));

/// Reads all events of the clients' writes, and reopens the watch after every `resume` of them. Each object must have
/// been created, changed and deleted once, in this order.
async fn follow(server: Arc<TestServer>, path: &'static str, from: u64, resume: usize) {
    let mut seen: HashMap<String, Vec<String>> = HashMap::new();
    let (mut last, mut count) = (from, 0);
    while count < EVENTS {
        let mut watch = Watch::open(&server, &format!("{path}?watch=1&resourceVersion={last}")).await;
        for _ in 0..resume.min(EVENTS - count) {
            let event = watch.next().await.expect("the watch goes on");
            let object = event.get("object");
            assert!(revision(object) > last, "in the order of the revisions: {event:?}");
            last = revision(object);
            let name = object.str_at("metadata.name").to_owned();
            seen.entry(name).or_default().push(event.str_at("type").to_owned());
            count += 1;
        }
    }
    assert_eq!(seen.len(), CLIENTS * OBJECTS_EACH);
    for (name, events) in seen {
        let number: usize = name.rsplit('-').next().unwrap().parse().unwrap();
        let expected = ["ADDED", "MODIFIED", "DELETED"];
        assert_eq!(events, expected[..if stays(number) { 2 } else { 3 }], "{name}");
    }
}

async fn all(mut tasks: tokio::task::JoinSet<()>) {
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
}

fn plain(name: &str) -> Value {
    config_map(name, &[])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resource_comes_and_goes_while_clients_write() {
    let server = Arc::new(TestServer::start().await);
    let start = revision(&call(&server, "POST", CONFIG_MAPS, &plain("first")).await.success());
    // Clients of built-in kinds notice nothing of what follows.
    let mut others = clients(&server, CONFIG_MAPS, plain);
    others.spawn(follow(Arc::clone(&server), CONFIG_MAPS, start, usize::MAX));

    assert_eq!(get(&server, WIDGETS).await.code, 404);
    server.catalogue().add(widgets()).await.unwrap();
    assert!(matches!(server.catalogue().add(widgets()).await, Err(CatalogueError::Taken(_))));
    let first = get(&server, WIDGETS).await.success();
    let mut writers = clients(&server, WIDGETS, widget);
    writers.spawn(follow(Arc::clone(&server), WIDGETS, revision(&first), usize::MAX));
    writers.spawn(follow(Arc::clone(&server), WIDGETS, revision(&first), 7));
    all(writers).await;
    let before = get(&server, WIDGETS).await.success();
    assert_eq!(names(&before).len(), CLIENTS * OBJECTS_EACH.div_ceil(3));

    let mut open =
        Watch::open(&server, &format!("{WIDGETS}?watch=1&resourceVersion={}", revision(&before))).await;
    call(&server, "POST", WIDGETS, &widget("last")).await.success();
    server.catalogue().remove("example.com", "widgets").await.unwrap();
    open.expect("ADDED last").await;
    assert!(open.next().await.is_none(), "the watch ends with its resource");
    for path in [WIDGETS.to_owned(), format!("{WIDGETS}/last"), format!("{WIDGETS}?watch=1")] {
        assert_eq!(get(&server, &path).await.code, 404, "{path}");
    }
    assert!(matches!(
        server.catalogue().remove("example.com", "widgets").await,
        Err(CatalogueError::NotServed(_))
    ));
    assert!(matches!(server.catalogue().remove("", "configmaps").await, Err(CatalogueError::NotServed(_))));

    server.catalogue().add(widgets()).await.unwrap();
    let again = get(&server, WIDGETS).await.success();
    assert_eq!(names(&again).len(), names(&before).len() + 1);
    let item =
        |list: &Value| list.get("items").items().find(|item| item.str_at("metadata.name") == "c0-0").cloned();
    assert_eq!(item(&again), item(&before), "what is in the store is served as it was");
    let mut watch =
        Watch::open(&server, &format!("{WIDGETS}?watch=1&resourceVersion={}", revision(&again))).await;
    call(&server, "DELETE", &format!("{WIDGETS}/last"), &Value::Null).await.success();
    watch.expect("DELETED last").await;
    all(others).await;
}

/// Says of every object in which version it was asked for. Objects of a certain name cannot be converted.
struct Slow;

#[async_trait::async_trait]
impl Convert for Slow {
    async fn convert(&self, mut objects: Vec<Value>, to: &str) -> Result<Vec<Value>, Status> {
        tokio::task::yield_now().await;
        for object in &mut objects {
            if object.str_at("metadata.name") == "stuck" {
                return Err(Status::internal_error("conversion webhook failed"));
            }
            object.set("apiVersion", to);
            object.entry("spec").set("extra", value!({"asked": to}));
        }
        Ok(objects)
    }
}

#[tokio::test]
async fn another_version_is_converted_and_may_fail() {
    let server = TestServer::start().await;
    let definition = Definition {
        versions: vec![version("v1"), version("v2beta1")],
        conversion: Some(Arc::new(Slow)),
        ..widgets()
    };
    server.catalogue().add(definition).await.unwrap();
    let start = revision(&get(&server, WIDGETS).await.success());
    call(&server, "POST", WIDGETS, &widget("a")).await.success();
    let beta = WIDGETS.replace("/v1/", "/v2beta1/");
    let mut watch = Watch::open(&server, &format!("{beta}?watch=1&resourceVersion={start}")).await;
    let watched = watch.expect("ADDED a").await;
    let read = get(&server, &format!("{beta}/a")).await.success();
    assert_eq!(watched, read);
    assert_eq!(
        (read.str_at("apiVersion"), read.str_at("spec.extra.asked")),
        ("example.com/v2beta1", "example.com/v2beta1")
    );
    let group = get(&server, "/apis/example.com").await.success();
    assert_eq!(group.str_at("preferredVersion.version"), "v1");

    let patched =
        call(&server, "PATCH", &format!("{beta}/a"), &value!({"spec": {"size": 8i64}})).await.success();
    assert_eq!(patched.str_at("apiVersion"), "example.com/v2beta1");
    let stored = get(&server, &format!("{WIDGETS}/a")).await.success();
    assert_eq!(
        (stored.at("spec.size").as_i64(), stored.str_at("spec.extra.asked")),
        (Some(8), "example.com/v1")
    );

    call(&server, "POST", WIDGETS, &widget("stuck")).await.success();
    for path in [beta.clone(), format!("{beta}/stuck")] {
        assert_eq!(get(&server, &path).await.code, 500, "{path}");
    }
    watch.expect("MODIFIED a").await;
    assert_eq!(watch.next().await.unwrap().str_at("type"), "ERROR");
    assert!(watch.next().await.is_none());
    get(&server, &format!("{WIDGETS}/stuck")).await.success();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_definition_changes_while_clients_write() {
    let server = Arc::new(server_with_widgets().await);
    let mut open = Watch::open(&server, &format!("{WIDGETS}?watch=1&resourceVersion=0")).await;
    let writers = clients(&server, WIDGETS, widget);
    for weight in 1..4i64 {
        let mut changed = version("v1");
        let spec = changed.schema.at_mut("properties.spec.properties").unwrap();
        spec.set("weight", value!({"type": "integer", "default": weight}));
        let definition = Definition { versions: vec![changed, version("v2")], ..widgets() };
        server.catalogue().replace(definition).await.unwrap();
        let made = call(&server, "POST", WIDGETS, &widget(&format!("w{weight}"))).await.success();
        assert_eq!(made.at("spec.weight").as_i64(), Some(weight));
    }
    all(writers).await;
    while open.next().await.is_some() {}
    let list = get(&server, &WIDGETS.replace("/v1/", "/v2/")).await.success();
    assert_eq!(list.str_at("apiVersion"), "example.com/v2");
    let stay = (0..OBJECTS_EACH).filter(|number| stays(*number)).count();
    assert_eq!(names(&list).len(), CLIENTS * stay + 3);
    // An invalid definition changes nothing.
    let mut broken = version("v1");
    broken.schema = value!({"type": "object", "properties": {"spec": {"type": "text"}}});
    let broken = Definition { versions: vec![broken], ..widgets() };
    let refused = server.catalogue().replace(broken).await;
    assert!(matches!(refused, Err(CatalogueError::Definition { .. })));
    get(&server, &WIDGETS.replace("/v1/", "/v2/")).await.success();
    let absent = Definition { plural: "gadgets".to_owned(), ..widgets() };
    assert!(matches!(server.catalogue().replace(absent).await, Err(CatalogueError::NotServed(_))));
}

/// The samples of a server about widgets.
async fn samples(server: &TestServer) -> Vec<String> {
    let text = String::from_utf8(get(server, "/metrics").await.bytes.to_vec()).unwrap();
    text.lines().filter(|line| line.contains("widgets")).map(str::to_owned).collect()
}

#[track_caller]
fn assert_shown(samples: &[String], start: &str, end: &str) {
    let is_it = |sample: &&String| sample.starts_with(start) && sample.ends_with(end);
    assert!(samples.iter().any(|sample| is_it(&sample)), "no {start}...{end} in {samples:#?}");
}

#[tokio::test]
async fn what_was_measured_of_a_resource_goes_with_it() {
    let server = server_with_widgets().await;
    let watch = format!("{WIDGETS}?watch=1");
    let replaced = Watch::open(&server, &watch).await;
    let first = call(&server, "POST", WIDGETS, &widget("a")).await.success();
    call(&server, "POST", WIDGETS, &widget("b")).await.success();
    get(&server, WIDGETS).await.success();
    // Read from the store, as the cache has forgotten it.
    let now = server.registry.hub.catch_up().await.unwrap();
    server.registry.hub.forget_before(store::Revision(now));
    let past = format!("{WIDGETS}?resourceVersion={}&resourceVersionMatch=Exact", revision(&first));
    get(&server, &past).await.success();
    server.catalogue().replace(widgets()).await.unwrap();
    let open = Watch::open(&server, &watch).await;
    let shown = samples(&server).await;
    for start in [
        "apiserver_request_total{verb=\"POST\"",
        "apiserver_request_duration_seconds_count{verb=\"LIST\"",
        "apiserver_response_sizes_count{verb=\"LIST\"",
        "apiserver_resource_objects{",
        "apiserver_watch_cache_initializations_total{",
        "apiserver_watch_cache_events_dispatched_total{",
        "apiserver_watch_cache_read_wait_seconds_count{",
        "apiserver_watch_cache_consistent_read_total{",
        "apiserver_cache_list_total{",
        "apiserver_storage_list_total{",
        "etcd_requests_total{operation=\"create\"",
        "etcd_request_duration_seconds_count{operation=\"create\"",
        "apiserver_storage_events_received_total{",
    ] {
        assert_shown(&shown, start, "");
    }
    assert_shown(&shown, "apiserver_longrunning_requests{verb=\"WATCH\"", "} 2");
    drop(replaced);
    assert_shown(&samples(&server).await, "apiserver_longrunning_requests{verb=\"WATCH\"", "} 1");

    server.catalogue().remove("example.com", "widgets").await.unwrap();
    assert_eq!(samples(&server).await, [""; 0]);
    // Neither do late reports bring it back: a watch that ends, and a change that another server made.
    drop(open);
    let key = "/registry/example.com/widgets/default/c";
    let write = store::Write::put(key, "{}", store::Expect::Absent);
    server.registry.hub.store().write(write).await.unwrap();
    server.registry.hub.catch_up().await.unwrap();
    assert_eq!(samples(&server).await, [""; 0]);
    let write = store::Write::delete(key, store::Expect::Any);
    server.registry.hub.store().write(write).await.unwrap();

    server.catalogue().add(widgets()).await.unwrap();
    call(&server, "POST", WIDGETS, &widget("d")).await.success();
    let shown = samples(&server).await;
    assert_shown(&shown, "apiserver_request_total{verb=\"POST\"", "} 1");
    assert_shown(&shown, "etcd_requests_total{operation=\"create\"", "} 1");
    assert!(!shown.iter().any(|sample| sample.starts_with("apiserver_longrunning")), "{shown:#?}");
}
