//! OpenAPI documents: version 2 of the whole API, version 3 of each group version.
//!
//! They are made from the table of resources and types when somebody first asks, and only their compressed bytes
//! are kept (about 0.6 MB for all of them). Descriptions come from the crate `openapi`.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::sync::OnceLock;

use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderName, HeaderValue,
    IF_NONE_MATCH, LOCATION, VARY,
};
use http::{HeaderMap, Response, StatusCode};
use object::{Status, Value};
use schema::ResourceDef;
use sha2::{Digest, Sha256};

use self::definitions::{Definitions, Version};
use self::operations::Operation;
use crate::body::{self, Body};

mod definitions;
mod gnostic;
mod operations;
mod parameters;
#[cfg(test)]
mod tests;
mod v2;
mod v3;

const JSON: &str = "application/json";
/// The media type of version 2 in protobuf, as answers name it.
const V2_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
/// The same in the form of old clients, which is no valid media type.
const V2_PROTOBUF_OLD: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

/// The OpenAPI documents of the server.
pub struct Documents {
    resources: &'static [ResourceDef],
    v2: OnceLock<V2>,
    v3: OnceLock<V3>,
}

/// The two forms of the document of version 2.
struct V2 {
    json: Document,
    protobuf: Document,
}

/// The documents of version 3 by path, and their index.
struct V3 {
    index: Document,
    documents: BTreeMap<String, Document>,
}

/// A document that is ready to be sent.
struct Document {
    /// Its bytes, compressed with gzip.
    packed: Bytes,
    /// The digest of its bytes.
    hash: String,
}

impl Document {
    fn new(bytes: &[u8]) -> Document {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).expect("writing to a vector never fails");
        let packed = encoder.finish().expect("writing to a vector never fails");
        let hash = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02X}")).collect();
        Document { packed: packed.into(), hash }
    }

    fn of(value: &Value) -> Document {
        Document::new(&object::json::to_vec(value))
    }

    fn answer(&self, content_type: &'static str, request: &HeaderMap) -> Result<Response<Body>, Status> {
        let etag = format!("\"{}\"", self.hash);
        let unchanged = request.get(IF_NONE_MATCH).and_then(|given| given.to_str().ok());
        let unchanged = unchanged
            .is_some_and(|given| given.split(',').any(|one| one.trim().trim_start_matches("W/") == etag));
        let mut response = Response::new(body::empty());
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
        if let Ok(etag) = HeaderValue::from_str(&etag) {
            headers.insert(ETAG, etag);
        }
        if unchanged {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return Ok(response);
        }
        if text(request, ACCEPT_ENCODING).is_some_and(|accept| accept.contains("gzip")) {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            *response.body_mut() = body::full(self.packed.clone());
        } else {
            *response.body_mut() = body::full(self.bytes()?);
        }
        Ok(response)
    }

    fn bytes(&self) -> Result<Vec<u8>, Status> {
        let mut bytes = Vec::new();
        let read = GzDecoder::new(&*self.packed).read_to_end(&mut bytes);
        read.map_err(|error| crate::errors::internal(&error))?;
        Ok(bytes)
    }
}

impl Documents {
    /// The documents of these resources.
    pub fn new(resources: &'static [ResourceDef]) -> Documents {
        Documents { resources, v2: OnceLock::new(), v3: OnceLock::new() }
    }

    /// The document at a path; `hash` is that of the document which the client expects there.
    ///
    /// # Errors
    /// 406 where the client accepts none of its forms.
    pub fn answer(
        &self,
        path: &str,
        hash: Option<&str>,
        headers: &HeaderMap,
    ) -> Result<Option<Response<Body>>, Status> {
        let accept = text(headers, ACCEPT);
        if path == "/openapi/v2" {
            let form = negotiate(accept, &[JSON, V2_PROTOBUF, V2_PROTOBUF_OLD])?;
            let v2 = self.v2.get_or_init(|| make_v2(self.resources));
            return match form {
                JSON => v2.json.answer(JSON, headers),
                _ => v2.protobuf.answer(V2_PROTOBUF, headers),
            }
            .map(Some);
        }
        let Some(rest) = path.strip_prefix("/openapi/v3") else { return Ok(None) };
        negotiate(accept, &[JSON])?;
        let v3 = self.v3.get_or_init(|| make_v3(self.resources));
        if rest.is_empty() {
            return v3.index.answer(JSON, headers).map(Some);
        }
        let Some(document) = v3.documents.get(rest.trim_start_matches('/')) else { return Ok(None) };
        match hash {
            // The address of another state of the document: the client is sent to the present one.
            Some(hash) if hash != document.hash => Ok(Some(redirect(path, &document.hash))),
            hash => {
                let mut response = document.answer(JSON, headers)?;
                if hash.is_some() {
                    let forever = HeaderValue::from_static("public, immutable, max-age=31536000");
                    response.headers_mut().insert(CACHE_CONTROL, forever);
                }
                Ok(Some(response))
            }
        }
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn redirect(path: &str, hash: &str) -> Response<Body> {
    let mut response = Response::new(body::empty());
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    if let Ok(location) = HeaderValue::from_str(&format!("{path}?hash={hash}")) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// The first of the offered media types in the order of the client's wishes.
fn negotiate(accept: Option<&str>, offered: &[&'static str]) -> Result<&'static str, Status> {
    let Some(accept) = accept.filter(|accept| !accept.trim().is_empty()) else { return Ok(offered[0]) };
    let wishes = accept.split(',').map(|clause| clause.split(';').next().unwrap_or_default().trim());
    for wish in wishes {
        if matches!(wish, "*/*" | "application/*") {
            return Ok(offered[0]);
        }
        if let Some(media) = offered.iter().find(|media| **media == wish) {
            return Ok(media);
        }
    }
    Err(Status::not_acceptable(offered))
}

/// A group version with its resources.
type GroupVersion<'a> = ((&'a str, &'a str), Vec<&'a ResourceDef>);

fn group_versions(resources: &'static [ResourceDef]) -> Vec<GroupVersion<'static>> {
    let mut versions: BTreeMap<(&str, &str), Vec<&ResourceDef>> = BTreeMap::new();
    for def in resources {
        versions.entry((&def.group, &def.version)).or_default().push(def);
    }
    versions.into_iter().collect()
}

/// Every operation with the name of the version 3 document that holds it.
fn all_operations(
    versions: &[GroupVersion<'static>],
    texts: &openapi::Descriptions,
) -> BTreeMap<String, Vec<Operation<'static>>> {
    let mut documents: BTreeMap<String, Vec<Operation<'static>>> = BTreeMap::new();
    for (name, operation) in operations::plain_paths() {
        documents.entry(name.to_owned()).or_default().push(operation);
    }
    for ((group, version), defs) in versions {
        let name = match *group {
            "" => format!("api/{version}"),
            group => {
                let of_group = documents.entry(format!("apis/{group}")).or_default();
                if of_group.is_empty() {
                    of_group.push(operations::of_group(group));
                }
                format!("apis/{group}/{version}")
            }
        };
        documents.insert(name, operations::of_group_version(group, version, defs, texts));
    }
    documents
}

fn names(versions: &[GroupVersion<'static>]) -> Vec<(&'static str, &'static str)> {
    versions.iter().map(|(name, _)| *name).collect()
}

fn v2_document(resources: &'static [ResourceDef]) -> Value {
    let texts = openapi::Descriptions::load();
    let versions = group_versions(resources);
    let operations: Vec<_> = all_operations(&versions, &texts).into_values().flatten().collect();
    let names = names(&versions);
    v2::document(&operations, Definitions::new(Version::V2, &texts, &names))
}

fn make_v2(resources: &'static [ResourceDef]) -> V2 {
    let document = v2_document(resources);
    V2 { protobuf: Document::new(&gnostic::encode(&document)), json: Document::of(&document) }
}

fn make_v3(resources: &'static [ResourceDef]) -> V3 {
    let texts = openapi::Descriptions::load();
    let versions = group_versions(resources);
    let names = names(&versions);
    let mut documents = BTreeMap::new();
    let mut paths = Value::map();
    for (name, operations) in all_operations(&versions, &texts) {
        let value = v3::document(&operations, Definitions::new(Version::V3, &texts, &names));
        let document = Document::of(&value);
        let url = format!("/openapi/v3/{name}?hash={}", document.hash);
        paths.set(name.clone(), object::value!({"serverRelativeURL": url}));
        documents.insert(name, document);
    }
    V3 { index: Document::of(&object::value!({"paths": paths})), documents }
}
