//! Answers on the wire: the object, list or watch in the negotiated form.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use clock::Clock;
use futures::stream;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, RETRY_AFTER, VARY, WARNING};
use http::{Response, StatusCode};
use object::{Status, Value, Versioned, value};

use crate::body::{self, Body};
use crate::errors::internal;
use crate::negotiate::{Encoding, Format, View};
use crate::options::IncludeObject;
use crate::registry::{Answer, AnswerBody, Endpoint, WatchItem, WatchReply};
use crate::table;

mod list;
mod pieces;

use pieces::Gzip;

/// From which size on answers are compressed for clients that accept it, in bytes (upstream: 128 KiB).
const COMPRESS_FROM: usize = 128 << 10;

/// How many characters all warnings of an answer may have (upstream's), and each of them where they have more.
const WARNINGS_MAX: usize = 4096;
const WARNING_MAX: usize = 256;

/// The annotation of the bookmark behind the initial events of a watch.
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

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
            _ => self.value(endpoint, &version.value()),
        }
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

    fn watch(&self, watch: WatchReply) -> Response<Body> {
        let mut writer = self.clone();
        if let View::MetadataList(_) = writer.format.view {
            // No event is a list, and so each shows its object.
            writer.format.view = View::Object;
        }
        let writer = WatchWriter { writer, watch, first: true, ended: false };
        let frames = stream::unfold(writer, |mut writer| async move {
            let frame = writer.next().await?;
            Some((Ok(frame), writer))
        });
        let mut response = Response::new(body::stream(frames));
        let content_type = HeaderValue::from_static(self.format.encoding.stream_content_type());
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        response
            .headers_mut()
            .insert(http::header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
        response
    }
}

/// Writes a watch frame by frame.
struct WatchWriter {
    writer: Writer,
    watch: WatchReply,
    /// The next table is the first, which carries the columns.
    first: bool,
    ended: bool,
}

impl WatchWriter {
    async fn next(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        let frame = match self.watch.next().await? {
            Ok(item) => self.item(item),
            Err(status) => Err(status),
        };
        Some(frame.unwrap_or_else(|status| {
            self.ended = true;
            let status = status.to_value();
            self.frame(
                "ERROR",
                "v1",
                "Status",
                || Ok(object::json::to_bytes(&status)),
                || {
                    let ty = schema::type_by_gvk("", "v1", "Status");
                    ty.and_then(|ty| object::protobuf::encode(&status, &ty).ok())
                        .ok_or_else(|| Status::internal_error("Status"))
                },
            )
            .unwrap_or_default()
        }))
    }

    fn item(&mut self, item: WatchItem) -> Result<Bytes, Status> {
        let (name, version) = match item {
            WatchItem::Added(version) => ("ADDED", version),
            WatchItem::Modified(version) => ("MODIFIED", version),
            WatchItem::Deleted(version) => ("DELETED", version),
            WatchItem::Bookmark { revision, ends_initial } => return self.bookmark(revision, ends_initial),
        };
        let endpoint = Arc::clone(self.watch.endpoint());
        if let View::Table(_) = self.writer.format.view {
            return self.table(name, &version.value());
        }
        let json = || {
            let plain = Writer {
                format: Format { encoding: Encoding::Json, pretty: false, ..self.writer.format },
                ..self.writer.clone()
            };
            plain.version(&endpoint, &version)
        };
        self.frame(name, version.api_version(), version.kind(), json, || {
            self.writer.version(&endpoint, &version)
        })
    }

    fn table(&mut self, name: &str, object: &Value) -> Result<Bytes, Status> {
        let View::Table(version) = self.writer.format.view else {
            return Err(Status::internal_error("the watch shows no tables"));
        };
        let endpoint = Arc::clone(self.watch.endpoint());
        let ends_initial = !object.at_path(&["metadata", "annotations", INITIAL_EVENTS_END]).is_null();
        // The end of the initial events is known by the annotation, and so its row shows it in any case.
        let include = match self.writer.include {
            IncludeObject::None if ends_initial => IncludeObject::Metadata,
            include => include,
        };
        let mut table = table::of_object(&endpoint, object, version, include, &self.writer.clock);
        if !std::mem::take(&mut self.first) {
            table.set("columnDefinitions", Value::Null);
        }
        let json = object::json::to_bytes(&table);
        self.frame(name, version.api_version(), "Table", || Ok(json), || Err(Status::not_acceptable(&[])))
    }

    fn bookmark(&mut self, revision: u64, ends_initial: bool) -> Result<Bytes, Status> {
        let endpoint = Arc::clone(self.watch.endpoint());
        let mut object = value!({
            "kind": &*endpoint.def.kind, "apiVersion": endpoint.api_version(),
            "metadata": {"resourceVersion": revision.to_string(), "creationTimestamp": null}
        });
        if ends_initial {
            object.entry("metadata").entry("annotations").set(INITIAL_EVENTS_END, "true");
        }
        match self.writer.format.view {
            View::Table(_) => self.table("BOOKMARK", &object),
            View::Metadata(version) => {
                object.set("kind", "PartialObjectMetadata");
                object.set("apiVersion", version.api_version());
                self.plain_bookmark(&object)
            }
            _ => self.plain_bookmark(&object),
        }
    }

    fn plain_bookmark(&self, object: &Value) -> Result<Bytes, Status> {
        let (api_version, kind) = (object.str_at("apiVersion"), object.str_at("kind"));
        self.frame(
            "BOOKMARK",
            api_version,
            kind,
            || Ok(object::json::to_bytes(object)),
            || {
                let (group, version) = group_version(api_version);
                self.writer.encode_typed(object, group, version, kind)
            },
        )
    }

    /// One event in the stream's encoding: a JSON document and a line's end, or a length and a protobuf message.
    fn frame(
        &self,
        name: &str,
        _api_version: &str,
        _kind: &str,
        json: impl FnOnce() -> Result<Bytes, Status>,
        protobuf: impl FnOnce() -> Result<Bytes, Status>,
    ) -> Result<Bytes, Status> {
        if self.writer.format.encoding == Encoding::Protobuf {
            return Ok(object::protobuf::watch_frame(name, &protobuf()?));
        }
        let object = json()?;
        let mut frame = BytesMut::with_capacity(object.len() + 40);
        frame.put_slice(b"{\"type\":\"");
        frame.put_slice(name.as_bytes());
        frame.put_slice(b"\",\"object\":");
        frame.put_slice(&object);
        frame.put_slice(b"}\n");
        Ok(frame.freeze())
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
