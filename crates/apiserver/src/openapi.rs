//! OpenAPI documents: version 2 of the whole API, version 3 of each group version.
//!
//! They are made from the catalogue and the table of types on first request, and only their compressed bytes are kept
//! (about 0.6 MB for all of them). The next generation reuses everything that did not change; of the one document of
//! version 2 these are parts, which are joined as they are. Descriptions come from
//! the crate `openapi`.

use std::io::{Read, Write};

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
use sha2::{Digest, Sha256};

use self::generation::V3;
use self::packed::Packed;
use self::parts::V2;
use crate::body::{self, Body};
use crate::catalogue::{Catalogue, Derived};

mod custom;
mod definitions;
mod generation;
mod gnostic;
mod operations;
mod packed;
mod parameters;
mod parts;
#[cfg(test)]
mod tests;
mod v2;
mod v3;

const JSON: &str = "application/json";
/// The media type of version 2 in protobuf, as answers name it.
const V2_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
/// The same in the form that old clients use, which is not a valid media type.
const V2_PROTOBUF_OLD: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

/// The OpenAPI documents of the server, of whatever generation they are asked for.
#[derive(Default)]
pub struct Documents {
    v2: Derived<V2>,
    v3: Derived<V3>,
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

    /// A document whose pieces are compressed already.
    fn joined<'a>(pieces: impl Iterator<Item = &'a Packed> + Clone) -> Document {
        let (packed, hash) = packed::join(pieces);
        Document { packed, hash }
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
        if crate::negotiate::takes_gzip(text(request, ACCEPT_ENCODING)) {
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
    /// Whether the documents of a path are made, so that an answer costs little.
    pub fn are_made(&self, catalogue: &Catalogue, path: &str) -> bool {
        match path {
            "/openapi/v2" => self.v2.is_made(catalogue),
            _ => self.v3.is_made(catalogue),
        }
    }

    /// The document of a generation at a path; `hash` is that of the document which the client expects there.
    ///
    /// # Errors
    /// 406 if the client accepts none of its forms.
    pub fn answer(
        &self,
        catalogue: &Catalogue,
        path: &str,
        hash: Option<&str>,
        headers: &HeaderMap,
    ) -> Result<Option<Response<Body>>, Status> {
        let accept = text(headers, ACCEPT);
        if path == "/openapi/v2" {
            let form = negotiate(accept, &[JSON, V2_PROTOBUF, V2_PROTOBUF_OLD])?;
            let v2 = self.v2.get(catalogue, V2::new);
            return match form {
                JSON => v2.json.answer(JSON, headers),
                _ => v2.protobuf.answer(V2_PROTOBUF, headers),
            }
            .map(Some);
        }
        let Some(rest) = path.strip_prefix("/openapi/v3") else { return Ok(None) };
        negotiate(accept, &[JSON])?;
        let v3 = self.v3.get(catalogue, V3::new);
        if rest.is_empty() {
            return v3.index.answer(JSON, headers).map(Some);
        }
        let Some(document) = v3.documents.get(rest.trim_start_matches('/')) else { return Ok(None) };
        match hash {
            // The address of another state of the document: the client is sent to the current one.
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
