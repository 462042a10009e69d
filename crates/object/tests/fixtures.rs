//! The codecs compared with the output of upstream's own Go encoders, for every kind of the table.
//!
//! `IRONHULL_FIXTURES` names the folder; without it there is nothing to compare with, and the tests print that.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use object::{Value, decode, json, protobuf, yaml};
use schema::TypeRef;

/// Kinds of the fixtures that Kubernetes v1.37 no longer serves, or never did: by group and version.
const NOT_SERVED: [&str; 21] = [
    "apidiscovery.k8s.io.v2beta1.",
    "apps.v1beta1.",
    "apps.v1beta2.",
    "authentication.k8s.io.v1beta1.",
    "authorization.k8s.io.v1beta1.",
    "batch.v1beta1.",
    "certificates.k8s.io.v1alpha1.",
    "discovery.k8s.io.v1beta1.",
    "events.k8s.io.v1beta1.",
    "extensions.v1beta1.",
    "flowcontrol.apiserver.k8s.io.v1beta1.",
    "flowcontrol.apiserver.k8s.io.v1beta2.",
    "flowcontrol.apiserver.k8s.io.v1beta3.",
    "networking.k8s.io.v1beta1.",
    "node.k8s.io.v1alpha1.",
    "node.k8s.io.v1beta1.",
    "policy.v1beta1.",
    "rbac.authorization.k8s.io.v1alpha1.",
    "rbac.authorization.k8s.io.v1beta1.",
    "storage.k8s.io.v1alpha1.",
    "storage.k8s.io.v1beta1.",
];

struct Fixture {
    name: String,
    ty: TypeRef,
    json: Vec<u8>,
    yaml: String,
    protobuf: Vec<u8>,
}

fn find(api_version: &str, kind: &str) -> Option<TypeRef> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    schema::type_by_gvk(group, version, kind)
}

/// The fixtures whose kinds the table has, and the names of the others; `None` without the folder.
fn fixtures() -> Option<(Vec<Fixture>, Vec<String>)> {
    let Some(root) = std::env::var_os("IRONHULL_FIXTURES") else {
        eprintln!("IRONHULL_FIXTURES is not set: nothing compared");
        return None;
    };
    let folder = PathBuf::from(root).join("api");
    let (mut known, mut missing) = (Vec::new(), Vec::new());
    let mut names: Vec<String> = fs::read_dir(&folder)
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_suffix(".json").map(str::to_owned))
        .collect();
    names.sort();
    for name in names {
        let (group_version, kind) = name.rsplit_once('.').unwrap();
        let (group, version) = group_version.rsplit_once('.').unwrap();
        let group = if group == "core" { "" } else { group };
        let read = |extension: &str| fs::read(folder.join(format!("{name}.{extension}"))).unwrap();
        match schema::type_by_gvk(group, version, kind) {
            Some(ty) => known.push(Fixture {
                ty,
                json: read("json"),
                yaml: String::from_utf8(read("yaml")).unwrap(),
                protobuf: read("pb"),
                name,
            }),
            None => missing.push(name),
        }
    }
    Some((known, missing))
}

/// The enveloped protobuf of a tree. `WatchEvent` and similar types have no `apiVersion` and `kind`.
fn encode(value: &Value, ty: &TypeRef) -> Vec<u8> {
    protobuf::encode(value, ty).unwrap().to_vec()
}

/// Runs a check on each fixture and reports all failures.
fn check(what: &str, mut check: impl FnMut(&Fixture) -> Result<(), String>) {
    let Some((fixtures, _)) = fixtures() else { return };
    let failures: BTreeMap<&str, String> =
        fixtures.iter().filter_map(|fixture| Some((&*fixture.name, check(fixture).err()?))).collect();
    println!("{what}: {} kinds compared", fixtures.len());
    assert!(failures.is_empty(), "{what}: {} of {} differ: {failures:#?}", failures.len(), fixtures.len());
}

fn same(got: &Value, expected: &Value) -> Result<(), String> {
    if got == expected {
        return Ok(());
    }
    Err(format!("{}\n    is not {}", text(got), text(expected)))
}

fn same_bytes(got: &[u8], expected: &[u8]) -> Result<(), String> {
    if got == expected {
        return Ok(());
    }
    let at = got.iter().zip(expected).take_while(|(a, b)| a == b).count();
    let around = |bytes: &[u8]| {
        let part = &bytes[at.saturating_sub(24).min(bytes.len())..(at + 24).min(bytes.len())];
        part.escape_ascii().to_string()
    };
    Err(format!("byte {at}: {} is not {}", around(got), around(expected)))
}

fn text(value: &Value) -> String {
    String::from_utf8(json::to_vec(value)).unwrap()
}

#[test]
fn the_table_has_every_served_kind() {
    let Some((known, missing)) = fixtures() else { return };
    let unexpected: Vec<&String> =
        missing.iter().filter(|name| !NOT_SERVED.iter().any(|prefix| name.starts_with(prefix))).collect();
    assert!(unexpected.is_empty(), "the table lacks {unexpected:?}");
    assert_eq!((known.len(), missing.len()), (133, 60), "kinds with and without a type");
}

#[test]
fn json_becomes_upstreams_protobuf() {
    check("JSON to protobuf", |fixture| {
        let decoded = decode::decode_json(&fixture.json, &fixture.ty).map_err(|error| error.to_string())?;
        if !decoded.strict_errors.is_empty() {
            return Err(format!("{:?}", decoded.strict_errors));
        }
        same_bytes(&encode(&decoded.value, &fixture.ty), &fixture.protobuf)
    });
}

#[test]
fn json_is_its_own_normal_form() {
    check("JSON to JSON", |fixture| {
        let plain = json::parse(&fixture.json).map_err(|error| error.to_string())?;
        let decoded = decode::decode_json(&fixture.json, &fixture.ty).map_err(|error| error.to_string())?;
        same(&decoded.value, &plain)?;
        same(&json::parse(&json::to_vec(&decoded.value)).map_err(|error| error.to_string())?, &plain)
    });
}

#[test]
fn yaml_becomes_upstreams_protobuf() {
    check("YAML to protobuf", |fixture| {
        let decoded =
            decode::decode_yaml(fixture.yaml.as_bytes(), &fixture.ty).map_err(|error| error.to_string())?;
        same(&decoded.value, &json::parse(&fixture.json).unwrap())?;
        // Free-form parts come in another order from YAML, and stand as text in protobuf.
        let from_json = decode::decode_yaml(&fixture.json, &fixture.ty).map_err(|error| error.to_string())?;
        same_bytes(&encode(&decoded.value, &fixture.ty), &encode(&from_json.value, &fixture.ty))
    });
}

#[test]
fn trees_become_upstreams_yaml() {
    check("JSON to YAML", |fixture| {
        let written = yaml::to_string(&json::parse(&fixture.json).unwrap());
        same_bytes(written.as_bytes(), fixture.yaml.as_bytes())
    });
}

#[test]
fn protobuf_becomes_upstreams_json() {
    check("protobuf to JSON", |fixture| {
        let expected = json::parse(&fixture.json).unwrap();
        let lookup = |api_version: &str, kind: &str| {
            if kind.is_empty() { Some(fixture.ty.clone()) } else { find(api_version, kind) }
        };
        let decoded = protobuf::decode(&fixture.protobuf, &lookup).map_err(|error| error.to_string())?;
        same(&decoded.value, &expected)?;
        same_bytes(&encode(&decoded.value, &fixture.ty), &fixture.protobuf)
    });
}
