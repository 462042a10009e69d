//! The table compared with upstream's OpenAPI document of the previous release.
//!
//! The environment variable `IRONHULL_FIXTURES` names its folder (with `openapi/swagger-1.36.json`). Without it these
//! tests print that; in CI they fail.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

#[path = "swagger/changes.rs"]
mod changes;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use schema::{Field, FieldType, ListType, ResourceDef, Shape, TypeDef};
use serde_json::Value;

use changes::{ADDED, CHANGED, GONE, REMOVED};

fn document() -> Option<Value> {
    let Some(folder) = std::env::var_os("IRONHULL_FIXTURES") else {
        assert!(std::env::var_os("CI").is_none(), "CI must set IRONHULL_FIXTURES");
        eprintln!("not compared: IRONHULL_FIXTURES does not name the folder of upstream's documents");
        return None;
    };
    let text = std::fs::read(PathBuf::from(folder).join("openapi/swagger-1.36.json")).unwrap();
    Some(serde_json::from_slice(&text).unwrap())
}

/// Fails with all differences at once.
fn report(differences: Vec<String>) {
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn types_fields_and_extensions() {
    let Some(document) = document() else { return };
    let mut differences = Vec::new();
    for (name, definition) in document["definitions"].as_object().unwrap() {
        let Some(properties) = definition["properties"].as_object() else { continue };
        let Some(ty) = schema::type_by_name(name) else {
            if !GONE.iter().any(|prefix| name.starts_with(prefix)) {
                differences.push(format!("{name} is not in the table"));
            }
            continue;
        };
        let required: BTreeSet<&str> =
            definition["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if (definition["x-kubernetes-map-type"] == "atomic") != ty.atomic {
            differences.push(format!("{name} atomic: {}", ty.atomic));
        }
        for (property, facts) in properties {
            let full = format!("{name}.{property}");
            match ty.lookup(property) {
                Some(place) => {
                    let required = required.contains(property.as_str());
                    for (what, ours, theirs) in facts_of(place.field, facts, required) {
                        if ours != theirs && !CHANGED.contains(&full.as_str()) {
                            differences.push(format!("{full} {what}: {ours}, upstream {theirs}"));
                        }
                    }
                }
                None if REMOVED.contains(&full.as_str()) => {}
                None => differences.push(format!("{full} is not in the table")),
            }
        }
        differences.extend(missing_upstream(&ty, properties.keys()));
    }
    report(differences);
}

/// Fields that 1.36 lacks although they were not added by 1.37.
fn missing_upstream<'a>(ty: &TypeDef, upstream: impl Iterator<Item = &'a String>) -> Vec<String> {
    let upstream: BTreeSet<&str> = upstream.map(String::as_str).collect();
    let mut missing = Vec::new();
    ty.for_each_json_field(&mut |field| {
        let name = format!("{}.{}", ty.name, field.name);
        if !upstream.contains(field.name.as_ref()) && !ADDED.contains(&name.as_str()) {
            missing.push(format!("{name} is not known upstream"));
        }
    });
    missing
}

/// Name of the fact, its value in the table, its value upstream.
fn facts_of(field: &Field, upstream: &Value, required: bool) -> Vec<(&'static str, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list_type = match (field.shape, field.list_type) {
        (Shape::List, ListType::Set) => "set",
        (Shape::List, ListType::Map) => "map",
        _ => "",
    };
    // Upstream says "atomic" for some lists and nothing for others, which means the same.
    let theirs = text(&upstream["x-kubernetes-list-type"]);
    let theirs_list = if theirs == "atomic" { String::new() } else { theirs };
    let keys: Vec<&str> = field.list_map_keys.iter().map(AsRef::as_ref).collect();
    let their_keys: Vec<&str> = upstream["x-kubernetes-list-map-keys"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let strategy = match (field.patch.merge, field.patch.retain_keys) {
        _ if field.patch.replace => "replace",
        (true, true) => "merge,retainKeys",
        (true, false) => "merge",
        (false, true) => "retainKeys",
        (false, false) => "",
    };
    let map_type = if field.atomic_map {
        "atomic"
    } else if field.granular {
        "granular"
    } else {
        ""
    };
    let their_map_type = match (&upstream["x-kubernetes-map-type"], field.shape) {
        // Maps are granular unless they say otherwise.
        (Value::String(word), Shape::Map) if word == "granular" => String::new(),
        (other, _) => text(other),
    };
    let merge_key = field.patch.merge_key.as_deref().unwrap_or_default();
    vec![
        ("type", type_of(field), their_type(upstream)),
        ("required", field.required.to_string(), required.to_string()),
        ("list type", list_type.to_owned(), theirs_list),
        ("list map keys", keys.join(","), their_keys.join(",")),
        ("patch strategy", strategy.to_owned(), text(&upstream["x-kubernetes-patch-strategy"])),
        ("merge key", merge_key.to_owned(), text(&upstream["x-kubernetes-patch-merge-key"])),
        ("map type", map_type.to_owned(), their_map_type),
    ]
}

/// The type in one line, from the table.
fn type_of(field: &Field) -> String {
    let value = match &field.ty {
        FieldType::Bool => "boolean".to_owned(),
        FieldType::Int32 => "integer int32".to_owned(),
        FieldType::Int64 => "integer int64".to_owned(),
        FieldType::Double => "number double".to_owned(),
        FieldType::String => "string".to_owned(),
        FieldType::Bytes => "string byte".to_owned(),
        FieldType::Message(ty) => ty.name.rsplit('.').next().unwrap().to_owned(),
        FieldType::Time => "Time".to_owned(),
        FieldType::MicroTime => "MicroTime".to_owned(),
        FieldType::Duration => "Duration".to_owned(),
        FieldType::Quantity => "Quantity".to_owned(),
        FieldType::IntOrString => "IntOrString".to_owned(),
        FieldType::RawExtension => "RawExtension".to_owned(),
        FieldType::FieldsV1 => "FieldsV1".to_owned(),
        FieldType::Json => "JSON".to_owned(),
        FieldType::JsonSchemaOrArray(_) => "JSONSchemaPropsOrArray".to_owned(),
        FieldType::JsonSchemaOrBool(_) => "JSONSchemaPropsOrBool".to_owned(),
        FieldType::JsonSchemaOrStringArray(_) => "JSONSchemaPropsOrStringArray".to_owned(),
        FieldType::StringList => "list of string".to_owned(),
        FieldType::Nested(_) => "nested".to_owned(),
    };
    match field.shape {
        Shape::Single => value,
        Shape::List => format!("list of {value}"),
        Shape::Map => format!("map of {value}"),
    }
}

/// The type in one line, from the document.
fn their_type(value: &Value) -> String {
    if let Some(reference) = value["$ref"].as_str() {
        return reference.rsplit('.').next().unwrap().to_owned();
    }
    match value["type"].as_str().unwrap() {
        "array" => format!("list of {}", their_type(&value["items"])),
        "object" => format!("map of {}", their_type(&value["additionalProperties"])),
        word => match value["format"].as_str() {
            Some(format) => format!("{word} {format}"),
            None => word.to_owned(),
        },
    }
}

/// Verbs by resource or subresource, as paths and actions of the document state them.
type Served = BTreeMap<(String, String, String), BTreeSet<String>>;

#[test]
fn resources_and_verbs() {
    let Some(document) = document() else { return };
    let upstream = served(&document);
    let mut differences = Vec::new();
    for def in schema::resources() {
        // The resources that became stable with 1.37.
        let new =
            ["clustertrustbundles", "devicetaintrules", "podcertificaterequests", "storageversionmigrations"];
        if new.contains(&def.plural.as_ref()) {
            continue;
        }
        // Upstream serves these by a program of its own, which has a document of its own.
        if def.group == "metrics.k8s.io" {
            continue;
        }
        for (path, verbs) in paths_of(def) {
            let key = (def.group.to_string(), def.version.to_string(), path);
            let theirs = upstream.get(&key).cloned().unwrap_or_default();
            if theirs != verbs {
                differences.push(format!("{key:?}: {verbs:?}, upstream {theirs:?}"));
            }
        }
    }
    for (group, version, path) in upstream.keys() {
        let plural = path.split('/').next().unwrap();
        let known = schema::resource(group, version, plural)
            .is_some_and(|def| path.split_once('/').is_none_or(|(_, name)| def.subresource(name).is_some()));
        if !known && !version.contains("alpha") && !version.contains("beta") {
            differences.push(format!("{group}/{version} {path} is not in the table"));
        }
    }
    report(differences);
}

/// The resource and its subresources, each with its verbs; a watch is not a separate operation.
fn paths_of(def: &ResourceDef) -> Vec<(String, BTreeSet<String>)> {
    let names = |verbs: &[schema::Verb]| verbs.iter().map(|verb| verb.as_str().to_owned()).collect();
    let mut paths = vec![(def.plural.to_string(), names(&def.verbs))];
    for subresource in def.subresources.iter() {
        paths.push((format!("{}/{}", def.plural, subresource.name), names(&subresource.verbs)));
    }
    paths
}

fn served(document: &Value) -> Served {
    let mut served = Served::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (group, version, rest) = match parts.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => continue,
        };
        let rest = match rest {
            ["watch", plural] => {
                let key = (group.to_owned(), version.to_owned(), (*plural).to_owned());
                served.entry(key).or_default().insert("watch".to_owned());
                continue;
            }
            ["watch", ..] | [] => continue,
            ["namespaces", "{namespace}", rest @ ..] if !rest.is_empty() => rest,
            other => other,
        };
        let resource = match rest {
            [plural] | [plural, "{name}" | "{namespace}"] => (*plural).to_owned(),
            [plural, "{name}", subresource] => format!("{plural}/{subresource}"),
            _ => continue,
        };
        let key = (group.to_owned(), version.to_owned(), resource);
        let verbs = served.entry(key).or_default();
        for (method, operation) in operations.as_object().unwrap() {
            let action = operation["x-kubernetes-action"].as_str().unwrap_or_default();
            verbs.extend(verb_names(method, action).map(str::to_owned));
        }
    }
    served
}

/// The verbs that discovery shows for an operation.
fn verb_names(method: &str, action: &str) -> impl Iterator<Item = &'static str> {
    let verbs: &[&str] = match (action, method) {
        ("list", _) => &["list"],
        ("post", _) => &["create"],
        ("put", _) => &["update"],
        ("get", _) => &["get"],
        ("patch", _) => &["patch"],
        ("delete", _) => &["delete"],
        ("deletecollection", _) => &["deletecollection"],
        ("connect", "get") => &["get"],
        ("connect", "post") => &["create"],
        ("connect", "put") => &["update"],
        ("connect", "patch") => &["patch"],
        ("connect", "delete") => &["delete"],
        _ => &[],
    };
    verbs.iter().copied()
}
