//! Watches, frame by frame.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use futures::{StreamExt, stream};
use http::Response;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, VARY};
use object::{Status, Value, Versioned, value};

use super::frames::Form;
use super::members::Members;
use super::{Writer, group_version};
use crate::body::{self, Body};
use crate::negotiate::{Encoding, Format, View};
use crate::options::IncludeObject;
use crate::registry::{WatchItem, WatchReply};
use crate::table;

/// The annotation of the bookmark behind the initial events of a watch.
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

impl Writer {
    /// The watch, which goes on until it ends or its client leaves. One that begins with a list is compressed for those
    /// who accept it.
    pub(super) fn watch(&self, watch: WatchReply) -> Response<Body> {
        let is_packed = self.gzip && watch.begins_with_list();
        let mut writer = self.clone();
        if let View::MetadataList(_) = writer.format.view {
            // No event is a list, and so each shows its object.
            writer.format.view = View::Object;
        }
        let writer = WatchWriter { writer, watch, first: true, ended: false };
        let frames = Box::pin(stream::unfold(writer, |mut writer| async move {
            let frame = writer.next().await?;
            Some((frame, writer))
        }));
        let mut response = match is_packed {
            true => Response::new(body::stream(Members::new(frames).map(Ok))),
            false => Response::new(body::stream(frames.map(Ok))),
        };
        let headers = response.headers_mut();
        if is_packed {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
        }
        let content_type = HeaderValue::from_static(self.format.encoding.stream_content_type());
        headers.insert(CONTENT_TYPE, content_type);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
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
        if !self.watch.is_shared(&version) {
            return self.object(name, &version);
        }
        let Format { encoding, view, .. } = self.writer.format;
        let is_table = matches!(view, View::Table(_));
        let form = Form {
            event: name,
            encoding,
            view,
            include: self.writer.include,
            has_columns: is_table && self.first,
            second: if is_table { self.writer.clock.now_seconds().as_second() } else { 0 },
        };
        let (shared, endpoint) = (Arc::clone(&self.writer.shared), Arc::clone(self.watch.endpoint()));
        let frame = shared.frames.get(&version, &endpoint, form, || self.object(name, &version));
        self.first = false;
        frame
    }

    /// The frame of a version.
    fn object(&mut self, name: &str, version: &Versioned) -> Result<Bytes, Status> {
        let endpoint = Arc::clone(self.watch.endpoint());
        if let View::Table(_) = self.writer.format.view {
            return self.table(name, &version.value());
        }
        let json = || {
            let plain = Writer {
                format: Format { encoding: Encoding::Json, pretty: false, ..self.writer.format },
                ..self.writer.clone()
            };
            plain.version(&endpoint, version)
        };
        self.frame(name, version.api_version(), version.kind(), json, || {
            self.writer.version_once(&endpoint, version)
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
