//! Discovery: the list of groups, versions and resources, in one document each or all in one.
//!
//! The documents belong to a generation of the catalogue. They are made on first request, and the part of a group
//! version is reused for as long as that group version does not change.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH, VARY,
};
use http::{HeaderMap, Response, StatusCode};
use object::{Status, Value, value};
use schema::{ResourceDef, Scope, SubresourceDef, Verb};
use sha2::{Digest, Sha256};

use crate::body::{self, Body};
use crate::catalogue::{Catalogue, GroupVersion, api_version};
use crate::negotiate::{Encoding, Format, Offers, View, negotiate, takes_gzip};
use crate::respond::COMPRESS_FROM;

mod order;
#[cfg(test)]
mod tests;

/// The `Content-Type` of aggregated discovery.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// The discovery documents of one generation, by path.
pub struct Documents {
    parts: Vec<Arc<Part>>,
    plain: BTreeMap<String, Document>,
    aggregated: BTreeMap<&'static str, Document>,
}

/// The discovery document of one group version.
struct Part {
    version: Arc<GroupVersion>,
    /// Its APIResourceList.
    list: Document,
    /// Its entry in aggregated discovery, as JSON.
    aggregated: String,
}

/// A document in its most common form.
#[derive(Clone)]
struct Document {
    json: Bytes,
    etag: Arc<str>,
    /// The same, compressed, once a client has asked for it.
    packed: OnceLock<Bytes>,
}

impl Document {
    fn new(json: Bytes) -> Document {
        let etag = etag(&json).into();
        Document { json, etag, packed: OnceLock::new() }
    }

    /// The JSON text, compressed.
    fn packed(&self) -> Bytes {
        let pack = || {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(&self.json).expect("writing to memory cannot fail");
            encoder.finish().expect("writing to memory cannot fail").into()
        };
        self.packed.get_or_init(pack).clone()
    }

    fn of(value: &Value) -> Document {
        Document::new(object::json::to_bytes(value))
    }
}

/// The versions of a group, in the order in which they are shown.
type Groups<'a> = BTreeMap<&'a str, Vec<&'a Part>>;

impl Documents {
    /// The documents of a generation, reusing those parts of earlier ones that are still valid.
    pub fn new(catalogue: &Catalogue, earlier: Option<&Documents>) -> Documents {
        let known = |version: &Arc<GroupVersion>| {
            earlier?.parts.iter().find(|part| Arc::ptr_eq(&part.version, version)).cloned()
        };
        let part = |version| known(version).unwrap_or_else(|| Arc::new(Part::new(version)));
        let parts: Vec<Arc<Part>> = catalogue.group_versions().iter().map(part).collect();
        let mut groups: Groups<'_> = BTreeMap::new();
        for part in &parts {
            groups.entry(part.version.group()).or_default().push(part);
        }
        for versions in groups.values_mut() {
            versions.sort_by(|a, b| order::by_preference(a.version.version(), b.version.version()));
        }
        let core = groups.remove("").unwrap_or_default();
        let names: Vec<Value> = core.iter().map(|part| Value::from(part.version.version())).collect();
        let core_document = Document::of(&value!({"kind": "APIVersions", "versions": names}));
        let mut plain = BTreeMap::from([("/api".to_owned(), core_document)]);
        for part in &core {
            plain.insert(format!("/api/{}", part.version.version()), part.list.clone());
        }
        let mut list = Vec::new();
        for (group, versions) in &groups {
            let document = group_document(group, versions);
            let mut whole = document.clone();
            whole.set("kind", "APIGroup");
            whole.set("apiVersion", "v1");
            plain.insert(format!("/apis/{group}"), Document::of(&whole));
            list.push(document);
            for part in versions {
                plain.insert(format!("/apis/{}", part.name()), part.list.clone());
            }
        }
        let list = value!({"kind": "APIGroupList", "apiVersion": "v1", "groups": list});
        plain.insert("/apis".to_owned(), Document::of(&list));
        let core_only: Groups<'_> = BTreeMap::from([("", core)]);
        let aggregated = BTreeMap::from([("/api", aggregate(&core_only)), ("/apis", aggregate(&groups))]);
        Documents { plain, aggregated, parts }
    }

    /// The paths of all documents.
    pub fn paths(&self) -> Vec<String> {
        self.plain.keys().cloned().collect()
    }

    /// The document at a path, in the form that the client accepts.
    ///
    /// # Errors
    /// 406 if it accepts none.
    pub fn answer(&self, path: &str, headers: &HeaderMap) -> Result<Option<Response<Body>>, Status> {
        let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
        let aggregated = self.aggregated.get(path);
        let offers = Offers { protobuf: true, views: false, discovery: aggregated.is_some() };
        let format = negotiate(accept, offers)?;
        let (document, content_type) = match (format.view, aggregated) {
            (View::AggregatedDiscovery, Some(document)) => (document, AGGREGATED),
            _ => match self.plain.get(path) {
                Some(document) => (document, format.encoding.content_type()),
                None => return Ok(None),
            },
        };
        let (mut bytes, etag) = encode(document, format)?;
        let is_kept = bytes.as_ptr() == document.json.as_ptr();
        let is_packed = is_kept
            && bytes.len() >= COMPRESS_FROM
            && takes_gzip(headers.get(ACCEPT_ENCODING).and_then(|accept| accept.to_str().ok()));
        if is_packed {
            bytes = document.packed();
        }
        let unchanged = headers.get(IF_NONE_MATCH).is_some_and(|given| given.as_bytes() == etag.as_bytes());
        let mut response = Response::new(if unchanged { body::empty() } else { body::full(bytes) });
        if unchanged {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(VARY, HeaderValue::from_static("Accept"));
        if is_packed && !unchanged {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
        }
        if let Ok(etag) = HeaderValue::from_str(&etag) {
            headers.insert(ETAG, etag);
        }
        Ok(Some(response))
    }
}

impl Part {
    fn new(version: &Arc<GroupVersion>) -> Part {
        let defs: Vec<&ResourceDef> = version.endpoints().iter().map(|endpoint| &*endpoint.def).collect();
        let resources: Vec<Value> = defs.iter().map(|def| aggregated_resource(def)).collect();
        let entry = value!({"version": version.version(), "resources": resources, "freshness": "Current"});
        let name = api_version(version.group(), version.version());
        Part {
            version: Arc::clone(version),
            list: Document::of(&resource_list(&name, &defs)),
            aggregated: json_text(&entry),
        }
    }

    fn name(&self) -> String {
        api_version(self.version.group(), self.version.version())
    }
}

/// The bytes and their tag.
fn encode(document: &Document, format: Format) -> Result<(Bytes, Arc<str>), Status> {
    let is_json = format.encoding == Encoding::Json;
    if is_json || format.encoding == Encoding::Protobuf && format.view != View::Object {
        return Ok((document.json.clone(), Arc::clone(&document.etag)));
    }
    let value = object::json::parse(&document.json).map_err(|error| crate::errors::internal(&error))?;
    let bytes: Bytes = if format.encoding == Encoding::Yaml {
        object::yaml::to_string(&value).into()
    } else {
        let ty = schema::type_by_gvk("", "v1", value.str_at("kind"));
        let encoded = ty.and_then(|ty| object::protobuf::encode(&value, &ty).ok());
        encoded.ok_or_else(|| Status::internal_error("a discovery document has no protobuf form"))?
    };
    let etag = etag(&bytes).into();
    Ok((bytes, etag))
}

fn etag(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02X}")).collect();
    format!("\"{hex}\"")
}

fn json_text(value: &Value) -> String {
    String::from_utf8_lossy(&object::json::to_vec(value)).into_owned()
}

fn group_document(group: &str, versions: &[&Part]) -> Value {
    let entry = |part: &&Part| value!({"groupVersion": part.name(), "version": part.version.version()});
    let preferred = versions.first().map(entry);
    let entries: Vec<Value> = versions.iter().map(entry).collect();
    value!({"name": group, "versions": entries, "preferredVersion": preferred})
}

fn verbs(verbs: &[Verb]) -> Value {
    Value::from(verbs.iter().map(|verb| Value::from(verb.as_str())).collect::<Vec<_>>())
}

fn texts(list: &[std::borrow::Cow<'static, str>]) -> Option<Vec<Value>> {
    (!list.is_empty()).then(|| list.iter().map(|text| Value::from(&**text)).collect())
}

fn resource_list(group_version: &str, defs: &[&ResourceDef]) -> Value {
    let mut resources = Vec::new();
    for def in defs {
        resources.push(resource(def));
        resources.extend(def.subresources.iter().map(|sub| subresource(def, sub)));
    }
    resources.sort_by(|a, b| a.str_at("name").cmp(b.str_at("name")));
    value!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources})
}

fn resource(def: &ResourceDef) -> Value {
    let mut entry = value!({
        "name": &*def.plural, "singularName": &*def.singular,
        "namespaced": def.scope == Scope::Namespaced, "kind": &*def.kind, "verbs": verbs(&def.verbs)
    });
    for (name, list) in [("shortNames", &def.short_names), ("categories", &def.categories)] {
        if let Some(list) = texts(list) {
            entry.set(name, list);
        }
    }
    entry
}

fn subresource(def: &ResourceDef, sub: &SubresourceDef) -> Value {
    let mut entry = value!({
        "name": format!("{}/{}", def.plural, sub.name), "singularName": "",
        "namespaced": def.scope == Scope::Namespaced, "kind": &*sub.kind, "verbs": verbs(&sub.verbs)
    });
    if sub.group != def.group || sub.version != def.version {
        entry.set("group", &*sub.group);
        entry.set("version", &*sub.version);
    }
    entry
}

/// Groups with all of their resources in one document, put together from the texts of the group versions.
fn aggregate(groups: &Groups<'_>) -> Document {
    let group = |(group, versions): (&&str, &Vec<&Part>)| {
        let metadata = match *group {
            "" => value!({"creationTimestamp": null}),
            group => value!({"name": group, "creationTimestamp": null}),
        };
        let versions: Vec<&str> = versions.iter().map(|part| part.aggregated.as_str()).collect();
        format!("{{\"metadata\":{},\"versions\":[{}]}}", json_text(&metadata), versions.join(","))
    };
    let items: Vec<String> = groups.iter().map(group).collect();
    let text = format!(
        "{{\"kind\":\"APIGroupDiscoveryList\",\"apiVersion\":\"apidiscovery.k8s.io/v2\",\"metadata\":{{}},\"items\":[{}]}}",
        items.join(",")
    );
    Document::new(text.into())
}

fn aggregated_resource(def: &ResourceDef) -> Value {
    let mut entry = value!({
        "resource": &*def.plural,
        "responseKind": {"group": &*def.group, "version": &*def.version, "kind": &*def.kind},
        "scope": if def.scope == Scope::Namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": &*def.singular,
        "verbs": verbs(&def.verbs)
    });
    for (name, list) in [("shortNames", &def.short_names), ("categories", &def.categories)] {
        if let Some(list) = texts(list) {
            entry.set(name, list);
        }
    }
    let subresources: Vec<Value> = def
        .subresources
        .iter()
        .map(|sub| {
            value!({
                "subresource": &*sub.name,
                "responseKind": {"group": &*sub.group, "version": &*sub.version, "kind": &*sub.kind},
                "verbs": verbs(&sub.verbs)
            })
        })
        .collect();
    if !subresources.is_empty() {
        entry.set("subresources", subresources);
    }
    entry
}
