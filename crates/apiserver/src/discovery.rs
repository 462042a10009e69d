//! Discovery: which groups, versions and resources there are, one document each or all in one.

use std::collections::BTreeMap;

use http::header::{ACCEPT, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH, VARY};
use http::{HeaderMap, Response, StatusCode};
use object::{Status, Value, value};
use schema::{ResourceDef, Scope, SubresourceDef, Verb};
use sha2::{Digest, Sha256};

use crate::body::{self, Body};
use crate::negotiate::{Encoding, Format, Offers, View, negotiate};
use crate::registry::api_version;

#[cfg(test)]
mod tests;

/// The `Content-Type` of aggregated discovery.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// The discovery documents, by path.
pub struct Documents {
    plain: BTreeMap<String, Value>,
    aggregated: BTreeMap<&'static str, Value>,
}

/// The versions of a group with their resources, in the order in which they are shown.
type Groups<'a> = BTreeMap<&'a str, Vec<(&'a str, Vec<&'a ResourceDef>)>>;

impl Documents {
    /// The documents of these resources.
    pub fn new(resources: &'static [ResourceDef]) -> Documents {
        let mut groups: Groups<'_> = BTreeMap::new();
        for def in resources {
            let versions = groups.entry(&def.group).or_default();
            match versions.iter_mut().find(|(version, _)| *version == def.version) {
                Some((_, defs)) => defs.push(def),
                None => versions.push((&def.version, vec![def])),
            }
        }
        // The newest version is the preferred one.
        for versions in groups.values_mut() {
            versions.sort_by(|a, b| b.0.cmp(a.0));
        }
        let core = groups.remove("").unwrap_or_default();
        let mut plain = BTreeMap::new();
        let versions: Vec<Value> = core.iter().map(|(version, _)| Value::from(*version)).collect();
        plain.insert("/api".to_owned(), value!({"kind": "APIVersions", "versions": versions}));
        for (version, defs) in &core {
            plain.insert(format!("/api/{version}"), resource_list(version, defs));
        }
        let mut list = Vec::new();
        for (group, versions) in &groups {
            let document = group_document(group, versions);
            let mut whole = document.clone();
            whole.set("kind", "APIGroup");
            whole.set("apiVersion", "v1");
            plain.insert(format!("/apis/{group}"), whole);
            list.push(document);
            for (version, defs) in versions {
                let name = api_version(group, version);
                plain.insert(format!("/apis/{name}"), resource_list(&name, defs));
            }
        }
        plain
            .insert("/apis".to_owned(), value!({"kind": "APIGroupList", "apiVersion": "v1", "groups": list}));
        let core_only: Groups<'_> = BTreeMap::from([("", core)]);
        let aggregated = BTreeMap::from([("/api", aggregate(&core_only)), ("/apis", aggregate(&groups))]);
        Documents { plain, aggregated }
    }

    /// The paths of all documents.
    pub fn paths(&self) -> Vec<String> {
        self.plain.keys().cloned().collect()
    }

    /// The document at a path, in the form that the client accepts.
    ///
    /// # Errors
    /// 406 where it accepts none.
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
        let bytes = encode(document, format)?;
        let etag = format!("\"{}\"", hex(&Sha256::digest(&bytes)));
        let unchanged = headers.get(IF_NONE_MATCH).is_some_and(|given| given.as_bytes() == etag.as_bytes());
        let mut response = Response::new(if unchanged { body::empty() } else { body::full(bytes) });
        if unchanged {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(VARY, HeaderValue::from_static("Accept"));
        if let Ok(etag) = HeaderValue::from_str(&etag) {
            headers.insert(ETAG, etag);
        }
        Ok(Some(response))
    }
}

fn encode(document: &Value, format: Format) -> Result<bytes::Bytes, Status> {
    match format.encoding {
        Encoding::Yaml => Ok(object::yaml::to_string(document).into()),
        Encoding::Protobuf if format.view == View::Object => {
            let ty = schema::type_by_gvk("", "v1", document.str_at("kind"));
            let encoded = ty.and_then(|ty| object::protobuf::encode(document, &ty).ok());
            encoded.ok_or_else(|| Status::internal_error("a discovery document has no protobuf form"))
        }
        _ => Ok(object::json::to_bytes(document)),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

fn group_document(group: &str, versions: &[(&str, Vec<&ResourceDef>)]) -> Value {
    let entry = |version: &str| value!({"groupVersion": api_version(group, version), "version": version});
    let preferred = versions.first().map(|(version, _)| entry(version));
    let entries: Vec<Value> = versions.iter().map(|(version, _)| entry(version)).collect();
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

fn aggregate(groups: &Groups<'_>) -> Value {
    let mut items = Vec::new();
    for (group, versions) in groups {
        let mut entries = Vec::new();
        for (version, defs) in versions {
            let resources: Vec<Value> = defs.iter().map(|def| aggregated_resource(def)).collect();
            entries.push(value!({"version": *version, "resources": resources, "freshness": "Current"}));
        }
        let metadata = if group.is_empty() {
            value!({"creationTimestamp": null})
        } else {
            value!({"name": *group, "creationTimestamp": null})
        };
        items.push(value!({"metadata": metadata, "versions": entries}));
    }
    value!({
        "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {}, "items": items
    })
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
