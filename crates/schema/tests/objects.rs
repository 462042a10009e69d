//! The table against objects that upstream's own encoders wrote, with every field filled.
//!
//! The environment variable `IRONHULL_FIXTURES` names their folder (with `api/*.json`). Without it this test prints
//! that; in CI it fails.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::PathBuf;

use schema::{Field, FieldType, Shape, TypeDef};
use serde_json::Value;

#[test]
fn every_field_of_every_kind_is_known() {
    let Some(folder) = std::env::var_os("IRONHULL_FIXTURES") else {
        assert!(std::env::var_os("CI").is_none(), "CI must set IRONHULL_FIXTURES");
        eprintln!("not compared: IRONHULL_FIXTURES does not name the folder of upstream's objects");
        return;
    };
    let mut compared = 0;
    let mut problems = Vec::new();
    for entry in std::fs::read_dir(PathBuf::from(folder).join("api")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let object: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        // GROUP.VERSION.KIND; not every kind names itself in its JSON.
        let name = path.file_stem().unwrap().to_str().unwrap();
        let mut parts = name.rsplitn(3, '.');
        let (kind, version, group) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
        let group = if group == "core" { "" } else { group };
        if let Some(ty) = schema::type_by_gvk(group, version, kind) {
            compared += 1;
            walk(&ty, &object, &ty.name, &mut problems);
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    // The 72 resources, the kinds of bodies and options, and versions that are off by default.
    assert!(compared >= 133, "only {compared} objects have a kind of the table");
}

fn walk(ty: &TypeDef, object: &Value, path: &str, problems: &mut Vec<String>) {
    let Some(object) = object.as_object() else {
        problems.push(format!("{path} is no object"));
        return;
    };
    for (name, value) in object {
        let path = format!("{path}.{name}");
        match ty.lookup(name) {
            Some(place) => check(place.field, value, &path, problems),
            None => problems.push(format!("{path} is not in the table")),
        }
    }
}

fn check(field: &Field, value: &Value, path: &str, problems: &mut Vec<String>) {
    let values: Vec<&Value> = match (field.shape, value) {
        (Shape::Single, value) => vec![value],
        (Shape::List, Value::Array(items)) => items.iter().collect(),
        (Shape::Map, Value::Object(entries)) => entries.values().collect(),
        (_, Value::Null) => Vec::new(),
        _ => {
            problems.push(format!("{path} is not {:?}", field.shape));
            return;
        }
    };
    for value in values {
        let fits = match &field.ty {
            FieldType::Message(ty) => {
                walk(ty, value, path, problems);
                true
            }
            FieldType::Bool => value.is_boolean(),
            FieldType::Int32 | FieldType::Int64 => value.is_i64(),
            FieldType::Double => value.is_number(),
            FieldType::IntOrString => value.is_i64() || value.is_string(),
            FieldType::StringList => value.is_array(),
            FieldType::RawExtension | FieldType::FieldsV1 => value.is_object(),
            FieldType::Json
            | FieldType::JsonSchemaOrArray(_)
            | FieldType::JsonSchemaOrBool(_)
            | FieldType::JsonSchemaOrStringArray(_) => true,
            // Go writes a zero time as null.
            FieldType::Time | FieldType::MicroTime => value.is_string() || value.is_null(),
            _ => value.is_string(),
        };
        if !fits {
            problems.push(format!("{path}: {value} does not fit {:?}", field.ty));
        }
    }
}
