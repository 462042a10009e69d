use std::collections::{BTreeMap, BTreeSet};

use schema::ResourceDef;

use super::*;
use crate::request::Parameters;

fn documents() -> Documents {
    Documents::default()
}

fn get(documents: &Documents, path: &str, headers: &[(HeaderName, &str)]) -> (u16, HeaderMap, Vec<u8>) {
    use http_body_util::BodyExt;
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(name, HeaderValue::from_str(value).unwrap());
    }
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    let response =
        match documents.answer(&Catalogue::of_table(), path, Parameters::parse(query).get("hash"), &map) {
            Ok(response) => response.expect("the path is served"),
            Err(status) => return (status.code, HeaderMap::new(), Vec::new()),
        };
    let (parts, body) = response.into_parts();
    let bytes = futures::executor::block_on(body.collect()).unwrap().to_bytes().to_vec();
    (parts.status.as_u16(), parts.headers, bytes)
}

/// Follows references to shared parameters.
fn resolve<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value.str_at("$ref").strip_prefix("#/parameters/") {
        Some(name) => document.get("parameters").get(name),
        None => value,
    }
}

/// Name, place, type and whether it is required, of every parameter of an operation.
fn parameters_of(document: &Value, item: &Value, operation: &Value) -> BTreeSet<String> {
    let all = item.get("parameters").items().chain(operation.get("parameters").items());
    let describe = |parameter: &Value| {
        let parameter = resolve(document, parameter);
        let ty = if parameter.get("schema").is_null() {
            parameter.str_at("type").to_owned()
        } else {
            parameter.get("schema").str_at("$ref").to_owned()
        };
        let required = parameter.get("required").as_bool().unwrap_or(false);
        format!("{} {} {ty} {required}", parameter.str_at("name"), parameter.str_at("in"))
    };
    all.map(describe).collect()
}

/// An operation without descriptions and media types.
fn summary(document: &Value, item: &Value, operation: &Value) -> BTreeMap<&'static str, String> {
    let responses: Vec<String> = operation
        .get("responses")
        .entries()
        .map(|(code, response)| format!("{code}:{}", response.get("schema").str_at("$ref")))
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let tags: Vec<&str> = operation.get("tags").items().filter_map(Value::as_str).collect();
    let parameters: Vec<String> = parameters_of(document, item, operation).into_iter().collect();
    let gvk = operation.get("x-kubernetes-group-version-kind");
    BTreeMap::from([
        ("id", operation.str_at("operationId").to_owned()),
        ("tags", tags.join(",")),
        ("action", operation.str_at("x-kubernetes-action").to_owned()),
        ("gvk", format!("{}/{}/{}", gvk.str_at("group"), gvk.str_at("version"), gvk.str_at("kind"))),
        ("responses", responses.join(" ")),
        ("parameters", parameters.join("\n")),
    ])
}

const METHODS: [&str; 7] = ["get", "put", "post", "delete", "options", "head", "patch"];

/// Whether a path of upstream's is served here.
fn is_served(path: &str) -> bool {
    let mut parts = path.trim_start_matches('/').split('/');
    match parts.next() {
        Some("logs") => false,
        Some("apis") => {
            let (group, version) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
            let served =
                |def: &ResourceDef| def.group == group && (version.is_empty() || def.version == version);
            group.is_empty() || schema::resources().iter().any(served)
        }
        _ => true,
    }
}

/// Upstream's document of 1.36. Tests that need it print a message if it is missing.
fn upstream() -> Option<Value> {
    let Some(fixtures) = std::env::var_os("IRONHULL_FIXTURES") else {
        eprintln!("IRONHULL_FIXTURES is not set: the comparison with upstream's document was not made");
        return None;
    };
    let path = std::path::Path::new(&fixtures).join("openapi/swagger-1.36.json");
    Some(object::json::parse(&std::fs::read(path).unwrap()).unwrap())
}

/// Parameters that exist upstream only: of a gate that is off.
const UPSTREAM_ONLY: [&str; 1] = ["shardSelector query string false"];

#[test]
fn operations_are_upstream_s() {
    let Some(theirs) = upstream() else { return };
    let ours = super::generation::v2_document(schema::resources());
    let mut differences = Vec::new();
    let mut compared = 0;
    for (path, item) in theirs.get("paths").entries().filter(|(path, _)| is_served(path)) {
        let own = ours.get("paths").get(path);
        for method in METHODS {
            match (item.get(method), own.get(method)) {
                (Value::Null, Value::Null) => {}
                (Value::Null, _) => differences.push(format!("{method} {path}: ours only")),
                (_, Value::Null) => differences.push(format!("{method} {path}: missing")),
                (their_operation, own_operation) => {
                    compared += 1;
                    let mut expected = summary(&theirs, item, their_operation);
                    let parameters = expected.get_mut("parameters").unwrap();
                    *parameters = parameters
                        .lines()
                        .filter(|line| !UPSTREAM_ONLY.contains(line))
                        .collect::<Vec<_>>()
                        .join("\n");
                    if expected["action"] == "connect" {
                        // Ours have the kind of the options; see the operations.
                        expected.remove("gvk");
                    }
                    let got = summary(&ours, own, own_operation);
                    for (what, expected) in expected {
                        if got[what] != expected {
                            differences
                                .push(format!("{method} {path}: {what}\n  {expected}\n  {}", got[what]));
                        }
                    }
                }
            }
        }
    }
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
    assert!(compared > 800, "only {compared} operations were compared");
}

/// Group versions that became stable in 1.37, and so have paths here and none in the document of 1.36.
const NEW_PATHS: [&str; 4] = [
    "/apis/certificates.k8s.io/v1/clustertrustbundles",
    "podcertificaterequests",
    "devicetaintrules",
    "/apis/storagemigration.k8s.io/",
];

#[test]
fn paths_of_ours_alone_are_those_of_the_newer_version() {
    let Some(theirs) = upstream() else { return };
    let ours = super::generation::v2_document(schema::resources());
    let known = theirs.get("paths");
    for (path, _) in ours.get("paths").entries() {
        let is_new = NEW_PATHS.iter().any(|new| path.contains(new)) || path.contains("clustertrustbundles");
        // Upstream serves these by a program of its own, which has a document of its own.
        let is_new = is_new || path.starts_with("/apis/metrics.k8s.io/");
        assert!(is_new || !known.get(path).is_null(), "{path} is unknown to upstream");
    }
}

/// The differences between 1.37 and 1.36, by type; and a list marker on bytes, which has no meaning.
const NEWER: [(&str, &str); 15] = [
    (".apps.v1.ControllerRevision", "required"),
    (".apps.v1.DaemonSetCondition", "required"),
    (".apps.v1.DeploymentCondition", "required"),
    (".apps.v1.ReplicaSetCondition", "required"),
    (".apps.v1.StatefulSetCondition", "required"),
    (".core.v1.NodeAllocatableResourceClaimStatus", "property resources"),
    (".core.v1.NodeAllocatableResourceClaimStatus", "required"),
    (".core.v1.PersistentVolumeClaimStatus", "property allocatedResourceStatuses"),
    (".core.v1.PodStatus", "property nodeAllocatableResourceClaimStatuses"),
    (".resource.v1.Device", "property nodeAllocatableResourceMappings"),
    (".resource.v1.DeviceClass", "required"),
    (".resource.v1.ResourceClaim", "required"),
    (".resource.v1.ResourceClaimTemplate", "required"),
    (".resource.v1.ResourceClaimTemplateSpec", "required"),
    (".APIServiceSpec", "property caBundle"),
];

/// A definition without texts, and with upstream's implicit defaults made explicit: a list without a marker is atomic.
fn normalized(definition: &Value) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    for (name, value) in definition.entries() {
        match name {
            "description" | "properties" | "x-kubernetes-unions" => {}
            "required" => {
                let names: BTreeSet<&str> = value.items().filter_map(Value::as_str).collect();
                out.insert(name.to_owned(), format!("{names:?}"));
            }
            _ => {
                out.insert(name.to_owned(), canonical(value));
            }
        }
    }
    for (name, property) in definition.get("properties").entries() {
        let mut property = property.clone();
        property.remove("description");
        if property.str_at("type") == "array" {
            property.set_default("x-kubernetes-list-type", "atomic");
        }
        out.insert(format!("property {name}"), canonical(&property));
    }
    out
}

fn canonical(value: &Value) -> String {
    let mut value = value.clone();
    sort(&mut value);
    String::from_utf8(object::json::to_vec(&value)).unwrap()
}

fn sort(value: &mut Value) {
    match value {
        Value::Map(map) => {
            map.sort();
            map.iter_mut().for_each(|(_, value)| sort(value));
        }
        Value::List(items) => items.iter_mut().for_each(sort),
        _ => {}
    }
}

#[test]
fn definitions_are_upstream_s() {
    let Some(theirs) = upstream() else { return };
    let ours = super::generation::v2_document(schema::resources());
    let mut differences = Vec::new();
    let mut compared = 0;
    for (name, definition) in ours.get("definitions").entries() {
        let expected = theirs.get("definitions").get(name);
        if expected.is_null() {
            continue;
        }
        compared += 1;
        let got = normalized(definition);
        for (what, expected) in normalized(expected) {
            // Options and events list every group version, also those that are off.
            let is_listing = what == "x-kubernetes-group-version-kind" && expected.len() > 200;
            let is_newer = NEWER.iter().any(|(ty, member)| name.ends_with(ty) && what == *member);
            match got.get(&what) {
                _ if is_listing || is_newer => {}
                Some(got) if *got == expected => {}
                got => differences.push(format!("{name} {what}\n  {expected}\n  {got:?}")),
            }
        }
    }
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
    assert!(compared > 500, "only {compared} definitions were compared");
}

#[test]
fn references_lead_somewhere_and_fields_are_described() {
    let v2 = super::generation::v2_document(schema::resources());
    let text = String::from_utf8(object::json::to_vec(&v2)).unwrap();
    for part in text.split("\"$ref\":\"#/definitions/").skip(1) {
        let name = part.split('"').next().unwrap();
        assert!(!v2.get("definitions").get(name).is_null(), "{name} is not defined");
    }
    let mut without = Vec::new();
    // Lists have no descriptions, and upstream describes hardly any field of JSON schemas.
    let described = |name: &str| {
        // Nor has the dependency that the texts come from those of another program.
        let is_metric = name.starts_with("io.k8s.metrics.");
        !name.ends_with("List") && !name.contains("JSONSchemaProps") && !is_metric
    };
    for (name, definition) in v2.get("definitions").entries().filter(|(name, _)| described(name)) {
        for (field, property) in definition.get("properties").entries() {
            if property.str_at("description").is_empty() {
                without.push(format!("{name}.{field}"));
            }
        }
    }
    assert!(without.len() < 20, "fields without a description: {without:?}");
}

#[test]
fn documents_are_negotiated_cached_and_compressed() {
    let documents = documents();
    let (code, headers, index) = get(&documents, "/openapi/v3", &[]);
    assert_eq!((code, headers[CONTENT_TYPE].to_str().unwrap()), (200, JSON));
    let index = object::json::parse(&index).unwrap();
    let url = index.get("paths").get("apis/apps/v1").str_at("serverRelativeURL").to_owned();
    let (code, headers, plain) = get(&documents, &url, &[(ACCEPT, JSON)]);
    assert_eq!(code, 200);
    assert!(headers[CACHE_CONTROL].to_str().unwrap().contains("immutable"));
    let document = object::json::parse(&plain).unwrap();
    assert_eq!(document.str_at("openapi"), "3.0.0");
    let (_, headers, packed) = get(&documents, &url, &[(ACCEPT_ENCODING, "gzip")]);
    assert_eq!(headers[CONTENT_ENCODING], "gzip");
    assert!(packed.len() * 5 < plain.len());
    let etag = headers[ETAG].to_str().unwrap().to_owned();
    let (code, _, body) = get(&documents, "/openapi/v3/apis/apps/v1", &[(IF_NONE_MATCH, &etag)]);
    assert_eq!((code, body.len()), (304, 0));
    let (code, headers, _) = get(&documents, "/openapi/v3/apis/apps/v1?hash=OLD", &[]);
    assert_eq!((code, headers[LOCATION].to_str().unwrap()), (301, url.as_str()));
    for (path, accept, expected) in [
        ("/openapi/v3", "text/html", 406),
        ("/openapi/v2", "text/html", 406),
        ("/openapi/v2", "*/*", 200),
        ("/openapi/v2", V2_PROTOBUF_OLD, 200),
    ] {
        assert_eq!(get(&documents, path, &[(ACCEPT, accept)]).0, expected, "{path} {accept}");
    }
    assert!(
        documents
            .answer(&Catalogue::of_table(), "/openapi/v3/apis/none/v1", None, &HeaderMap::new())
            .unwrap()
            .is_none()
    );
}

#[test]
fn version_3_tells_clients_that_writes_can_be_validated() {
    let documents = documents();
    let (_, _, bytes) = get(&documents, "/openapi/v3/api/v1", &[]);
    let document = object::json::parse(&bytes).unwrap();
    let item = document.get("paths").get("/api/v1/namespaces/{namespace}/pods/{name}");
    let names: Vec<&str> =
        item.at("patch.parameters").items().map(|parameter| parameter.str_at("name")).collect();
    for name in ["dryRun", "fieldManager", "fieldValidation", "force"] {
        assert!(names.contains(&name), "{name}");
    }
    let pod = document.at("components.schemas").get("io.k8s.api.core.v1.PodSpec");
    let containers = pod.at("properties.containers");
    assert_eq!(containers.str_at("x-kubernetes-patch-merge-key"), "name");
    assert_eq!(containers.at("items.allOf").items().count(), 1);
    assert!(containers.str_at("description").contains("containers"));
}
