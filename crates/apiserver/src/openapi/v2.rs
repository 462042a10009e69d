//! The document of OpenAPI 2.0 ("Swagger"): the whole API in one.

use std::collections::BTreeMap;

use object::{Value, value};
use sha2::{Digest, Sha256};

use super::definitions::Definitions;
use super::operations::{Operation, Payload, Produces};
use super::parameters::{Parameter, Place};

/// The media types of objects.
const OBJECTS: [&str; 3] = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
/// The media types of streams of objects.
const STREAMS: [&str; 2] =
    ["application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"];
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const STRATEGIC_MERGE: &str = "application/strategic-merge-patch+json";
/// The media types of patches.
const PATCHES: [&str; 4] = [
    "application/json-patch+json",
    "application/merge-patch+json",
    STRATEGIC_MERGE,
    "application/apply-patch+yaml",
];

/// The whole document.
pub(super) fn document(operations: &[Operation<'_>], mut definitions: Definitions<'_>) -> Value {
    let mut paths: BTreeMap<&str, Value> = BTreeMap::new();
    let mut shared = BTreeMap::new();
    for operation in operations {
        let item = paths.entry(&operation.path).or_insert_with(Value::map);
        item.set(operation.method, method(operation, &mut definitions, &mut shared));
        // Parameters of the path itself apply to all its methods.
        let of_path = operation.parameters.iter().filter(|parameter| parameter.place == Place::Path);
        let of_path: Vec<Value> = of_path.map(|one| parameter(one, &mut definitions, &mut shared)).collect();
        if !of_path.is_empty() {
            item.set("parameters", of_path);
        }
    }
    let mut path_items = Value::map();
    for (path, item) in paths {
        path_items.set(path.to_owned(), item);
    }
    let mut parameters = Value::map();
    for (name, parameter) in shared {
        parameters.set(name, parameter);
    }
    value!({
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": crate::KUBERNETES_VERSION},
        "paths": path_items,
        "definitions": definitions.finish(),
        "parameters": parameters,
        "securityDefinitions": {"BearerToken": {
            "type": "apiKey", "name": "authorization", "in": "header", "description": "A bearer token."
        }},
        "security": [{"BearerToken": []}]
    })
}

fn texts(list: &[&str]) -> Value {
    Value::from(list.iter().map(|text| Value::from(*text)).collect::<Vec<_>>())
}

/// The media types of an operation's answers.
pub(super) fn produces(operation: &Operation<'_>) -> Vec<&'static str> {
    let mut media = match operation.produces {
        Produces::Objects => OBJECTS.to_vec(),
        Produces::Streams => [&OBJECTS[..], &STREAMS[..]].concat(),
        Produces::Log => [&["text/plain"], &OBJECTS[..]].concat(),
        Produces::Json => vec!["application/json"],
        Produces::Keys => vec!["application/jwk-set+json"],
        Produces::Anything => vec!["*/*"],
    };
    media.retain(|media| !operation.is_custom || !media.starts_with(PROTOBUF));
    media
}

/// The media types of an operation's patches.
pub(super) fn patches(operation: &Operation<'_>) -> Vec<&'static str> {
    PATCHES.into_iter().filter(|media| !operation.is_custom || *media != STRATEGIC_MERGE).collect()
}

/// The description of a success code.
pub(super) fn reason(code: u16) -> &'static str {
    match code {
        201 => "Created",
        202 => "Accepted",
        _ => "OK",
    }
}

fn method(
    operation: &Operation<'_>,
    definitions: &mut Definitions<'_>,
    shared: &mut BTreeMap<String, Value>,
) -> Value {
    let mut responses = Value::map();
    for code in operation.codes {
        let schema = match &operation.payload {
            Payload::Object(ty) => definitions.reference(ty),
            Payload::Text => value!({"type": "string"}),
        };
        responses.set(code.to_string(), value!({"description": reason(*code), "schema": schema}));
    }
    responses.set("401", value!({"description": "Unauthorized"}));
    let consumes = match (operation.action, operation.method) {
        (Some("connect"), _) | (Some(_), "get" | "post" | "put" | "delete") => vec!["*/*"],
        (Some(_), _) => patches(operation),
        (None, _) => produces(operation),
    };
    let mut out = value!({
        "tags": [operation.tag.as_str()],
        "operationId": operation.id.as_str(),
        "consumes": texts(&consumes),
        "produces": texts(&produces(operation)),
        "schemes": ["https"],
        "responses": responses
    });
    let own = operation.parameters.iter().filter(|parameter| parameter.place != Place::Path);
    let own: Vec<Value> = own.map(|one| parameter(one, definitions, shared)).collect();
    if !own.is_empty() {
        out.set("parameters", own);
    }
    if let Some(action) = operation.action {
        out.set("x-kubernetes-action", action);
    }
    if let Some((group, version, kind)) = operation.gvk {
        out.set(
            "x-kubernetes-group-version-kind",
            value!({"group": group, "kind": kind, "version": version}),
        );
    }
    out
}

/// A reference to a parameter, which the document contains once.
fn parameter(
    parameter: &Parameter,
    definitions: &mut Definitions<'_>,
    shared: &mut BTreeMap<String, Value>,
) -> Value {
    let mut out = Value::map();
    out.set("name", &*parameter.name);
    let place = match parameter.place {
        Place::Path => "path",
        Place::Query => "query",
        Place::Body => "body",
    };
    out.set("in", place);
    if !parameter.description.is_empty() {
        out.set("description", &*parameter.description);
    }
    if parameter.place == Place::Body {
        out.set("schema", definitions.reference(&parameter.ty));
    } else {
        out.set("type", &*parameter.ty);
        out.set("uniqueItems", true);
    }
    if parameter.required {
        out.set("required", true);
    }
    let digest = Sha256::digest(object::json::to_bytes(&out));
    let name =
        format!("{}-{:02x}{:02x}{:02x}{:02x}", parameter.name, digest[0], digest[1], digest[2], digest[3]);
    let reference = value!({"$ref": format!("#/parameters/{name}")});
    shared.insert(name, out);
    reference
}
