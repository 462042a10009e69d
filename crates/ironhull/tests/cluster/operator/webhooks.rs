//! What the webhooks answer: conversion between the versions of ships, defaults, and the rules that CEL cannot express.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::program::{Failure, GROUP, setting};

/// Holds the ports that the old version has no place for.
const PORTS: &str = "dockyard.example.com/ports";
/// An object with this annotation cannot be deleted.
const PROTECTED: &str = "dockyard.example.com/protected";

/// Answers a review.
pub fn answer(path: &str, review: &Value) -> Result<Value, Failure> {
    let request = &review["request"];
    let response = match path {
        "/convert" => convert(request),
        "/mutate" => mutate(request)?,
        "/validate" => validate(request)?,
        other => return Err(format!("nothing is at {other}").into()),
    };
    let mut response = response;
    response["uid"] = request["uid"].clone();
    Ok(json!({"apiVersion": review["apiVersion"], "kind": review["kind"], "response": response}))
}

fn convert(request: &Value) -> Value {
    let wanted = request["desiredAPIVersion"].as_str().unwrap_or_default();
    let objects = request["objects"].as_array().into_iter().flatten();
    match objects.map(|object| converted(object, wanted)).collect::<Result<Vec<Value>, String>>() {
        Ok(objects) => json!({"result": {"status": "Success"}, "convertedObjects": objects}),
        Err(message) => json!({"result": {"status": "Failure", "message": message}}),
    }
}

/// The object in another version.
pub fn converted(object: &Value, wanted: &str) -> Result<Value, String> {
    let mut object = object.clone();
    let is = object["apiVersion"].as_str().unwrap_or_default().to_owned();
    if object["kind"] == "Ship" {
        match (is.rsplit('/').next(), wanted.rsplit('/').next()) {
            (Some("v1beta1"), Some("v1")) => to_new(&mut object)?,
            (Some("v1"), Some("v1beta1")) => to_old(&mut object),
            (from, to) if from == to => {}
            _ => return Err(format!("cannot convert {is} to {wanted}")),
        }
    }
    object["apiVersion"] = wanted.into();
    Ok(object)
}

/// `sailors`, `port` and lines of cargo become `crew`, `ports` and a map.
fn to_new(object: &mut Value) -> Result<(), String> {
    let kept =
        object["metadata"]["annotations"].as_object_mut().and_then(|annotations| annotations.remove(PORTS));
    let Some(spec) = object["spec"].as_object_mut() else { return Ok(()) };
    if let Some(sailors) = spec.remove("sailors") {
        spec.insert("crew".to_owned(), sailors);
    }
    let first = spec.remove("port").map(|port| json!({"name": "main", "port": port}));
    let mut ports: Vec<Value> = first.into_iter().collect();
    if let Some(more) = kept.as_ref().and_then(Value::as_str) {
        let more: Vec<Value> = serde_json::from_str(more).map_err(|error| format!("{PORTS}: {error}"))?;
        ports.extend(more);
    }
    if !ports.is_empty() {
        spec.insert("ports".to_owned(), ports.into());
    }
    if let Some(Value::Array(lines)) = spec.remove("cargo") {
        let split = |line: &Value| {
            let (name, value) = line.as_str().and_then(|line| line.split_once('='))?;
            Some((name.to_owned(), Value::from(value)))
        };
        let cargo: Option<Map<String, Value>> = lines.iter().map(split).collect();
        spec.insert("cargo".to_owned(), cargo.ok_or("cargo must be lines of the form name=value")?.into());
    }
    Ok(())
}

/// The reverse.
fn to_old(object: &mut Value) {
    let Some(spec) = object["spec"].as_object_mut() else { return };
    if let Some(crew) = spec.remove("crew") {
        spec.insert("sailors".to_owned(), crew);
    }
    if let Some(Value::Object(cargo)) = spec.remove("cargo") {
        let lines =
            cargo.iter().map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()));
        spec.insert("cargo".to_owned(), lines.collect());
    }
    if let Some(Value::Array(mut ports)) = spec.remove("ports")
        && !ports.is_empty()
    {
        spec.insert("port".to_owned(), ports.remove(0)["port"].clone());
        if !ports.is_empty() {
            object["metadata"]["annotations"][PORTS] = Value::from(ports).to_string().into();
        }
    }
}

fn mutate(request: &Value) -> Result<Value, Failure> {
    let object = &request["object"];
    let mut changes = Vec::new();
    if object["spec"]["image"].is_null() {
        changes.push(json!({"op": "add", "path": "/spec/image", "value": setting("image")?}));
    }
    let label = "dockyard.example.com~1checked";
    match &object["metadata"]["labels"] {
        Value::Null => {
            changes.push(json!({"op": "add", "path": "/metadata/labels", "value": {(format!("{GROUP}/checked")): "yes"}}));
        }
        _ => changes.push(json!({"op": "add", "path": format!("/metadata/labels/{label}"), "value": "yes"})),
    }
    let patch = STANDARD.encode(Value::from(changes).to_string());
    Ok(json!({"allowed": true, "patchType": "JSONPatch", "patch": patch}))
}

fn validate(request: &Value) -> Result<Value, Failure> {
    let refused = |message: String| json!({"allowed": false, "status": {"code": 403, "reason": "Forbidden", "message": message}});
    if request["operation"] == "DELETE" {
        let is_protected = !request["oldObject"]["metadata"]["annotations"][PROTECTED].is_null();
        return Ok(if is_protected {
            refused("it is protected".to_owned())
        } else {
            json!({"allowed": true})
        });
    }
    let spec = &request["object"]["spec"];
    let image = spec["image"].as_str().unwrap_or_default();
    let registry = setting("registry")?;
    if !image.starts_with(&registry) {
        return Ok(refused(format!("{image} is not from {registry}")));
    }
    let warnings =
        if spec["crew"] == 0 { vec!["a ship without a crew stays in the harbour"] } else { Vec::new() };
    Ok(json!({"allowed": true, "warnings": warnings}))
}
