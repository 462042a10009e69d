//! Every field of every kind: a value of the wrong type is refused, and valid objects that set them all are taken as
//! they are. The rules of the fields are tried in `kinds/tests/fields.rs`.

use std::collections::HashSet;
use std::path::PathBuf;

use apiserver::registry::api_version;
use apiserver::testing::TestServer;
use object::{Value, value};
use schema::{Field, FieldType, ResourceDef, Shape, TypeDef, TypeRef, Verb};

use crate::kinds::collection;
use crate::support::*;

/// A value of a type that the field has not; `None` where any will do.
fn misfit(field: &Field) -> Option<Value> {
    if field.shape != Shape::Single {
        return Some(Value::from("text"));
    }
    match &field.ty {
        FieldType::Bool
        | FieldType::Int32
        | FieldType::Int64
        | FieldType::Double
        | FieldType::Message(_)
        | FieldType::StringList => Some(Value::from("text")),
        FieldType::String
        | FieldType::Bytes
        | FieldType::Time
        | FieldType::MicroTime
        | FieldType::Duration => Some(Value::from(5i64)),
        FieldType::Quantity | FieldType::IntOrString => Some(Value::from(true)),
        FieldType::JsonSchemaOrArray(_)
        | FieldType::JsonSchemaOrBool(_)
        | FieldType::JsonSchemaOrStringArray(_)
        | FieldType::Nested(_)
        | FieldType::FieldsV1
        | FieldType::RawExtension
        | FieldType::Json => None,
    }
}

/// One step on the way from an object to a field: its name, and what is between it and the next.
type Step = (String, Shape);

/// Calls `visit` with each field of each type that has not been seen, and the way to it.
fn walk(
    ty: &'static TypeDef,
    way: &[Step],
    seen: &mut HashSet<&'static str>,
    visit: &mut dyn FnMut(&[Step], &'static Field),
) {
    if !seen.insert(&ty.name) {
        return;
    }
    ty.for_each_json_field(&mut |field| {
        if way.is_empty() && matches!(&*field.name, "apiVersion" | "kind") {
            return;
        }
        let way = [way, &[(field.name.to_string(), field.shape)]].concat();
        visit(&way, field);
        if let FieldType::Message(TypeRef::Static(inner)) = &field.ty {
            walk(inner, &way, seen, visit);
        }
    });
}

/// An object that has nothing but a value at the end of a way.
fn only(way: &[Step], value: Value) -> Value {
    let mut value = value;
    for (index, (name, shape)) in way.iter().enumerate().rev() {
        if index + 1 < way.len() {
            value = match shape {
                Shape::Single => value,
                Shape::List => Value::from(vec![value]),
                Shape::Map => value!({"key": value}),
            };
        }
        let mut object = Value::map();
        object.set(name.clone(), value);
        value = object;
    }
    value
}

fn creatable() -> impl Iterator<Item = &'static ResourceDef> {
    schema::resources().iter().filter(|def| def.supports(Verb::Create) && def.supports(Verb::List))
}

/// The first field of the wrong type ends the decoding: 400, with the field's name and type in Go's words.
#[tokio::test]
async fn a_value_of_the_wrong_type_is_refused_in_every_field() {
    let server = TestServer::start().await;
    let (mut seen, mut cases) = (HashSet::new(), Vec::new());
    for def in creatable() {
        let TypeRef::Static(ty) = &def.ty else { continue };
        walk(ty, &[], &mut seen, &mut |way, field| {
            if let Some(misfit) = misfit(field) {
                cases.push((def, way.to_vec(), field, only(way, misfit)));
            }
        });
    }
    assert!(cases.len() > 1000, "{}", cases.len());
    let mut wrong = Vec::new();
    for (def, way, field, mut object) in cases {
        object.set("apiVersion", api_version(&def.group, &def.version));
        object.set("kind", &*def.kind);
        let names: Vec<&str> = way.iter().map(|(name, _)| name.as_str()).collect();
        let reply = call(&server, "POST", &collection(def), &object).await;
        let (code, reason, message) = reply.status();
        let starts =
            format!("{} in version {:?} cannot be handled as a {}: ", def.kind, def.version, def.kind);
        let names_field = message.contains(&format!(".{} of type ", names.join(".")));
        // Types with a form of their own are decoded by their own code, which does not know the field.
        let own_form = field.shape == Shape::Single
            && matches!(
                field.ty,
                FieldType::Time
                    | FieldType::MicroTime
                    | FieldType::Duration
                    | FieldType::Quantity
                    | FieldType::IntOrString
            );
        if (code, reason.as_str()) != (400, "BadRequest")
            || !message.starts_with(&starts)
            || !(names_field || own_form)
        {
            wrong.push(format!("{} {}: {code} {message}", def.plural, names.join(".")));
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

/// What the server puts in the place of what a client sends, by resource.
const REPLACED: [(&str, &str); 4] = [
    ("certificatesigningrequests", "spec.extra"),
    ("certificatesigningrequests", "spec.groups"),
    ("certificatesigningrequests", "spec.uid"),
    ("certificatesigningrequests", "spec.username"),
];

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../kinds/tests/fields"))
}

fn name(def: &ResourceDef) -> String {
    let group = if def.group.is_empty() { "core" } else { &*def.group };
    format!("{group}.{}.{}", def.version, def.plural)
}

/// The fields that a strategy takes out of what clients send.
fn dropped(def: &ResourceDef) -> Vec<String> {
    let rules = std::fs::read_to_string(folder().join("rules.txt")).unwrap();
    let own = rules.lines().skip_while(|line| *line != name(def)).skip(1);
    let fields =
        own.take_while(|line| line.starts_with(' ')).filter_map(|line| line.strip_suffix(" dropped"));
    fields.map(|field| field.split('{').next().unwrap_or(field).trim().to_owned()).collect()
}

/// The valid objects of `kinds/tests/fields`.
fn objects(def: &ResourceDef) -> Vec<Value> {
    let text = std::fs::read_to_string(folder().join(format!("{}.yaml", name(def)))).unwrap_or_default();
    let documents = text.split("\n---\n").filter(|document| !document.trim().is_empty());
    documents.map(|document| object::yaml::parse(document.as_bytes()).unwrap()).collect()
}

/// Where the answer differs from what was sent; what the server adds is no difference.
fn differences(sent: &Value, got: &Value, way: &str, found: &mut Vec<String>) {
    match (sent, got) {
        (Value::Map(_), _) => {
            for (name, value) in sent.entries().filter(|(name, _)| !way.is_empty() || *name != "status") {
                let dot = if way.is_empty() { "" } else { "." };
                differences(value, got.get(name), &format!("{way}{dot}{name}"), found);
            }
        }
        (Value::List(sent), Value::List(_) | Value::Null) if !sent.is_empty() => {
            let nothing = Value::Null;
            let items = got.items().chain(std::iter::repeat(&nothing));
            for (sent, got) in sent.iter().zip(items) {
                differences(sent, got, &format!("{way}[]"), found);
            }
        }
        // Go leaves out zeros.
        (sent, got) if sent == got || sent.is_empty() && got.is_null() => {}
        (sent, got) => found.push(format!("{way}: {sent:?} is {got:?}")),
    }
}

#[tokio::test]
async fn valid_objects_with_every_field_are_taken_as_they_are() {
    let server = server_for_pods().await;
    let mut wrong = Vec::new();
    for (path, object) in [
        (
            "/api/v1/namespaces",
            value!({"metadata": {"name": "ns", "labels": {"resource.kubernetes.io/admin-access": "true"}}}),
        ),
        (
            "/apis/node.k8s.io/v1/runtimeclasses",
            value!({"metadata": {"name": "r"}, "handler": "h", "overhead": {"podFixed": {"cpu": "1"}}}),
        ),
        (
            "/apis/scheduling.k8s.io/v1/priorityclasses",
            value!({"metadata": {"name": "c"}, "value": 5i64, "preemptionPolicy": "Never"}),
        ),
    ] {
        call(&server, "POST", path, &object).await.success();
    }
    for def in creatable() {
        let dropped = dropped(def);
        for (index, mut object) in objects(def).into_iter().enumerate() {
            if def.plural == "pods" {
                // These are added to a pod that runs.
                object.entry("spec").remove("ephemeralContainers");
            }
            let namespace = object.str_at("metadata.namespace").to_owned();
            let path = collection(def).replace("/namespaces/default/", &format!("/namespaces/{namespace}/"));
            let reply = call(&server, "POST", &format!("{path}?dryRun=All"), &object).await;
            if reply.code != 201 {
                wrong.push(format!("{} {index}: {} {}", def.plural, reply.code, reply.status().2));
                continue;
            }
            let mut found = Vec::new();
            differences(&object, &reply.json(), "", &mut found);
            let known = |way: &str| {
                let replaced = REPLACED.iter().filter(|(plural, _)| *plural == def.plural);
                replaced
                    .map(|(_, start)| *start)
                    .chain(dropped.iter().map(String::as_str))
                    .any(|start| way.starts_with(start))
            };
            found.retain(|way| !known(way));
            wrong.extend(found.into_iter().map(|way| format!("{} {index} {way}", def.plural)));
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}
