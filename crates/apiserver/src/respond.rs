//! Answers on the wire: the object, list or watch in the negotiated form.

use std::sync::Arc;

use bytes::Bytes;
use clock::Clock;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, RETRY_AFTER, VARY, WARNING};
use http::{Response, StatusCode};
use object::{Status, Value, Versioned};

use crate::body::{self, Body};
use crate::errors::internal;
use crate::negotiate::{Encoding, Format, View};
use crate::options::IncludeObject;
use crate::registry::{Answer, AnswerBody, Endpoint};
use crate::table;

mod frames;
mod list;
mod members;
mod partial;
mod pieces;
mod watch;

pub use frames::Shared;
use pieces::Gzip;

/// From which size on answers are compressed for clients that accept it, in bytes (upstream: 128 KiB).
pub(crate) const COMPRESS_FROM: usize = 128 << 10;

/// How many characters all warnings of an answer may have (upstream's), and each of them where they have more.
const WARNINGS_MAX: usize = 4096;
const WARNING_MAX: usize = 256;

/// How an answer is to be written.
#[derive(Clone)]
pub struct Writer {
    /// The form.
    pub format: Format,
    /// The content of a table's rows.
    pub include: IncludeObject,
    /// The client accepts gzip.
    pub gzip: bool,
    /// Tells ages.
    pub clock: Clock,
    /// What this answer shares with others.
    pub shared: Arc<Shared>,
}

impl Writer {
    /// The HTTP answer. Objects of `endpoint`'s kind are shown in its views.
    pub fn write(&self, endpoint: &Arc<Endpoint>, answer: Answer) -> Response<Body> {
        let Answer { code, body, warnings } = answer;
        let written = match body {
            AnswerBody::Watch(watch) => Ok(self.watch(watch)),
            AnswerBody::Status(status) => {
                return with_warnings(status_response(&status, self.format), &warnings);
            }
            AnswerBody::List(listing) => {
                self.list(endpoint, listing).map(|pieces| self.pieces(code, !pieces.is_kept(), pieces))
            }
            AnswerBody::Version(version) => {
                self.version(endpoint, &version).map(|bytes| self.whole(code, bytes))
            }
            AnswerBody::Value(value) => self.value(endpoint, &value).map(|bytes| self.whole(code, bytes)),
        };
        match written {
            Ok(response) => with_warnings(response, &warnings),
            Err(status) => status_response(&status, self.format),
        }
    }

    fn whole(&self, code: u16, bytes: Bytes) -> Response<Body> {
        self.pieces(code, false, std::iter::once(bytes))
    }

    /// What stands behind an answer: JSON ends with a line, unless it was laid out for people (as Go's encoders do it).
    fn end(&self) -> Option<Bytes> {
        let is_line = self.format.encoding == Encoding::Json && !self.format.pretty;
        is_line.then(|| Bytes::from_static(b"\n"))
    }

    /// An answer that is made, compressed and sent piece by piece; `is_work` if it is not only copied.
    fn pieces(
        &self,
        code: u16,
        is_work: bool,
        pieces: impl Iterator<Item = Bytes> + Send + Unpin + 'static,
    ) -> Response<Body> {
        let mut pieces = pieces.chain(self.end());
        // How long the answer is need not be known, but whether it is short.
        let mut first: Vec<Bytes> = Vec::new();
        let mut length = 0;
        while length < COMPRESS_FROM
            && let Some(piece) = pieces.next()
        {
            length += piece.len();
            first.push(piece);
        }
        let is_short = length < COMPRESS_FROM;
        if is_short && first.len() > 1 {
            first = vec![first.concat().into()];
        }
        let pieces = first.into_iter().chain(pieces);
        let mut response = Response::new(Body::default());
        *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::OK);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.format.encoding.content_type()));
        headers.insert(http::header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
        if self.gzip && !is_short {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
            *response.body_mut() = body::work(Gzip::new(pieces));
        } else if is_work && !is_short {
            *response.body_mut() = body::work(pieces);
        } else {
            *response.body_mut() = body::pieces(pieces, is_short.then_some(length as u64));
        }
        response
    }

    fn version(&self, endpoint: &Endpoint, version: &Versioned) -> Result<Bytes, Status> {
        match (self.format.view, self.format.encoding) {
            (View::Object, Encoding::Json) if !self.format.pretty => Ok(version.json()),
            (View::Object, Encoding::Protobuf) => {
                let raw = version.protobuf(&endpoint.def.ty).map_err(|error| internal(&error))?;
                Ok(object::protobuf::envelope(version.api_version(), version.kind(), &raw))
            }
            (View::Metadata(of), _) if version.kind() == endpoint.def.kind => {
                let metadata = partial::metadata(version, of);
                self.encode_typed(&metadata, "meta.k8s.io", "v1", "PartialObjectMetadata")
            }
            _ => self.value(endpoint, &version.value()),
        }
    }

    /// The same for an answer that is shared by all who ask for it: a message is not kept with its version too.
    fn version_once(&self, endpoint: &Endpoint, version: &Versioned) -> Result<Bytes, Status> {
        if (self.format.view, self.format.encoding) != (View::Object, Encoding::Protobuf) {
            return self.version(endpoint, version);
        }
        let raw = version.protobuf_once(&endpoint.def.ty).map_err(|error| internal(&error))?;
        Ok(object::protobuf::envelope(version.api_version(), version.kind(), &raw))
    }

    fn value(&self, endpoint: &Endpoint, object: &Value) -> Result<Bytes, Status> {
        match self.format.view {
            View::Table(version) if is_of(endpoint, object) => {
                let table = table::of_object(endpoint, object, version, self.include, &self.clock);
                Ok(self.encode(&table))
            }
            View::Metadata(version) if is_of(endpoint, object) => {
                let metadata = table::metadata_of(object, version);
                self.encode_typed(&metadata, "meta.k8s.io", "v1", "PartialObjectMetadata")
            }
            View::MetadataList(_) if is_of(endpoint, object) => {
                let what = format!("is not a list ({})", endpoint.def.kind);
                Err(Status::not_acceptable_view("PartialObjectMetadataList", &what))
            }
            _ => {
                let (group, version) = group_version(object.str_at("apiVersion"));
                self.encode_typed(object, group, version, object.str_at("kind"))
            }
        }
    }

    fn encode(&self, object: &Value) -> Bytes {
        match self.format.encoding {
            Encoding::Yaml => object::yaml::to_string(object).into(),
            _ if self.format.pretty => pretty(object),
            _ => object::json::to_bytes(object),
        }
    }

    fn encode_typed(&self, object: &Value, group: &str, version: &str, kind: &str) -> Result<Bytes, Status> {
        if self.format.encoding != Encoding::Protobuf {
            return Ok(self.encode(object));
        }
        let ty = schema::type_by_gvk(group, version, kind).ok_or_else(|| {
            Status::internal_error(format!("{kind} of {group}/{version} has no protobuf form"))
        })?;
        object::protobuf::encode(object, &ty).map_err(|error| internal(&error))
    }
}

/// JSON text that ends with a line.
fn line(value: &Value) -> Bytes {
    let mut text = Vec::with_capacity(512);
    object::json::to_writer(value, &mut text);
    text.push(b'\n');
    text.into()
}

/// The answer that tells how a request went.
pub fn status_response(status: &Status, format: Format) -> Response<Body> {
    let value = status.to_value();
    let (encoding, bytes) = match format.encoding {
        Encoding::Protobuf => {
            let ty = schema::type_by_gvk("", "v1", "Status");
            match ty.and_then(|ty| object::protobuf::encode(&value, &ty).ok()) {
                Some(bytes) => (Encoding::Protobuf, bytes),
                None => (Encoding::Json, line(&value)),
            }
        }
        Encoding::Yaml => (Encoding::Yaml, object::yaml::to_string(&value).into()),
        Encoding::Json => (Encoding::Json, line(&value)),
    };
    let mut response = Response::new(body::full(bytes));
    *response.status_mut() = StatusCode::from_u16(status.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(encoding.content_type()));
    headers.insert(http::header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    if let Some(seconds) = status.retry_after_seconds() {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

fn with_warnings(mut response: Response<Body>, warnings: &[String]) -> Response<Body> {
    for text in shortened(warnings) {
        let text = text.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(header) = HeaderValue::from_str(&format!("299 - \"{text}\"")) {
            response.headers_mut().append(WARNING, header);
        }
    }
    response
}

/// Warnings as they fit into headers: where there are too many, their beginnings, and those that come first.
fn shortened(warnings: &[String]) -> Vec<String> {
    let length = |text: &str| text.chars().count();
    if warnings.iter().map(|text| length(text)).sum::<usize>() <= WARNINGS_MAX {
        return warnings.to_vec();
    }
    let mut left = WARNINGS_MAX;
    let short = warnings.iter().map(|text| text.chars().take(WARNING_MAX).collect::<String>());
    short
        .take_while(|text| {
            let fits = length(text) <= left;
            left = left.saturating_sub(length(text));
            fits
        })
        .collect()
}

/// Indented JSON, for people.
fn indented(object: &Value) -> Vec<u8> {
    serde_json::to_vec_pretty(object).expect("a tree has string keys and finite numbers")
}

/// The same as an answer, which ends with a line.
fn pretty(object: &Value) -> Bytes {
    let mut text = indented(object);
    text.push(b'\n');
    text.into()
}

/// Whether the object is of the endpoint's own kind, so that its views can show it.
fn is_of(endpoint: &Endpoint, object: &Value) -> bool {
    object.str_at("kind") == endpoint.def.kind
}

/// The two parts of an `apiVersion`.
pub fn group_version(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}
