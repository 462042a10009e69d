//! Documents of OpenAPI 3.0: one for each group version.

use std::collections::BTreeMap;

use object::{Value, value};

use super::definitions::Definitions;
use super::operations::{Operation, Payload};
use super::parameters::{Parameter, Place};
use super::v2::{patches, produces, reason};

/// The document of some operations.
pub(super) fn document(operations: &[Operation<'_>], mut definitions: Definitions<'_>) -> Value {
    let mut paths: BTreeMap<&str, Value> = BTreeMap::new();
    for operation in operations {
        let item = paths.entry(&operation.path).or_insert_with(Value::map);
        item.set(operation.method, method(operation, &mut definitions));
        let of_path = operation.parameters.iter().filter(|parameter| parameter.place == Place::Path);
        let of_path: Vec<Value> = of_path.map(parameter).collect();
        if !of_path.is_empty() {
            item.set("parameters", of_path);
        }
    }
    let mut path_items = Value::map();
    for (path, item) in paths {
        path_items.set(path.to_owned(), item);
    }
    value!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": crate::KUBERNETES_VERSION},
        "paths": path_items,
        "components": {
            "schemas": definitions.finish(),
            "securitySchemes": {"BearerToken": {
                "type": "apiKey", "name": "authorization", "in": "header", "description": "A bearer token."
            }}
        },
        "security": [{"BearerToken": []}]
    })
}

fn content(media: &[&str], schema: &Value) -> Value {
    let mut content = Value::map();
    for media in media {
        content.set((*media).to_owned(), value!({"schema": schema.clone()}));
    }
    content
}

fn method(operation: &Operation<'_>, definitions: &mut Definitions<'_>) -> Value {
    let mut responses = Value::map();
    let media = produces(operation);
    for code in operation.codes {
        let schema = match &operation.payload {
            Payload::Object(ty) => definitions.reference(ty),
            Payload::Text => value!({"type": "string"}),
        };
        let response = value!({"description": reason(*code), "content": content(&media, &schema)});
        responses.set(code.to_string(), response);
    }
    responses.set("401", value!({"description": "Unauthorized"}));
    let mut out = value!({
        "tags": [operation.tag.as_str()], "operationId": operation.id.as_str(), "responses": responses
    });
    let queries = operation.parameters.iter().filter(|parameter| parameter.place == Place::Query);
    let queries: Vec<Value> = queries.map(parameter).collect();
    if !queries.is_empty() {
        out.set("parameters", queries);
    }
    if let Some(body) = operation.parameters.iter().find(|parameter| parameter.place == Place::Body) {
        let schema = definitions.reference(&body.ty);
        let media = if operation.method == "patch" { patches(operation) } else { vec!["*/*"] };
        let mut request = value!({"content": content(&media, &schema)});
        if body.required {
            request.set("required", true);
        }
        out.set("requestBody", request);
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

fn parameter(parameter: &Parameter) -> Value {
    let place = if parameter.place == Place::Path { "path" } else { "query" };
    let mut out = value!({
        "name": &*parameter.name, "in": place, "schema": {"type": &*parameter.ty, "uniqueItems": true}
    });
    if !parameter.description.is_empty() {
        out.set("description", &*parameter.description);
    }
    if parameter.required {
        out.set("required", true);
    }
    out
}
