//! Lists in the form that was asked for, object by object.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use object::protobuf::ListEnvelope;
use object::{Status, Value, Versioned, VersionedError, json, value, yaml};
use schema::TypeRef;

use super::pieces::{Frame, ListPieces};
use super::{Writer, partial};
use crate::errors::internal;
use crate::negotiate::{Encoding, Format, View};
use crate::registry::{Endpoint, Listing};
use crate::table;

#[cfg(test)]
mod tests;

/// How many bytes of messages are kept between their measuring and their sending: a list of protobuf begins with its
/// length. The messages beyond that are encoded twice, and so are all of them while very many lists are being sent.
const MESSAGES_BYTES_MAX: usize = 1 << 20;

/// Makes what an answer shows of an object.
type Show = Box<dyn Fn(&Versioned) -> Value + Send>;

impl Writer {
    /// The list in pieces.
    ///
    /// # Errors
    /// 406 if the form is one of single objects, 500 for objects that have no protobuf form.
    pub(super) fn list(&self, endpoint: &Arc<Endpoint>, listing: Listing) -> Result<ListPieces, Status> {
        let Format { view, encoding, pretty } = self.format;
        match (view, encoding) {
            (View::Metadata(_), _) => {
                let kind = &endpoint.def.list_kind;
                Err(Status::not_acceptable_view("PartialObjectMetadata", &format!("is a list ({kind})")))
            }
            (_, Encoding::Protobuf) => self.messages(endpoint, listing),
            (View::Object | View::AggregatedDiscovery, Encoding::Json) if !pretty => {
                let frame = plain(&self.without_items(endpoint, &listing), "items");
                Ok(ListPieces::kept(frame, listing.items))
            }
            _ => Ok(self.text(endpoint, listing)),
        }
    }

    /// The list without its objects.
    fn without_items(&self, endpoint: &Endpoint, listing: &Listing) -> Value {
        match self.format.view {
            View::Table(version) => table::without_rows(endpoint, listing, version),
            View::MetadataList(version) => value!({
                "kind": "PartialObjectMetadataList", "apiVersion": version.api_version(),
                "metadata": table::list_metadata(listing)
            }),
            _ => value!({
                "kind": &*endpoint.def.list_kind, "apiVersion": endpoint.api_version(),
                "metadata": table::list_metadata(listing)
            }),
        }
    }

    fn show(&self, endpoint: &Arc<Endpoint>) -> Show {
        match self.format.view {
            View::Table(version) => {
                let (writer, endpoint) = (self.clone(), Arc::clone(endpoint));
                Box::new(move |item| {
                    table::row(&endpoint, &item.value(), version, writer.include, &writer.clock)
                })
            }
            View::MetadataList(version) => Box::new(move |item| partial::metadata(item, version)),
            _ => Box::new(Versioned::value),
        }
    }

    /// The list as JSON or YAML, of objects that are not sent as they are kept.
    fn text(&self, endpoint: &Arc<Endpoint>, listing: Listing) -> ListPieces {
        let list = self.without_items(endpoint, &listing);
        let member = if matches!(self.format.view, View::Table(_)) { "rows" } else { "items" };
        let show = self.show(endpoint);
        let is_empty = listing.items.is_empty();
        match (self.format.encoding, self.format.pretty) {
            (Encoding::Yaml, _) => ListPieces::new(
                in_yaml(&list, member, is_empty),
                listing.items,
                Box::new(move |item, out| {
                    out.extend_from_slice(yaml::to_string(&vec![show(item)].into()).as_bytes());
                }),
            ),
            (_, true) => ListPieces::new(
                indented(&list, member, is_empty),
                listing.items,
                Box::new(move |item, out| {
                    out.extend_from_slice(b"\n    ");
                    let text = super::indented(&show(item));
                    let mut lines = text.split(|byte| *byte == b'\n');
                    out.extend_from_slice(lines.next().unwrap_or_default());
                    for line in lines {
                        out.extend_from_slice(b"\n    ");
                        out.extend_from_slice(line);
                    }
                }),
            ),
            (_, false) => ListPieces::new(
                plain(&list, member),
                listing.items,
                Box::new(move |item, out| {
                    json::to_writer(&show(item), out);
                }),
            ),
        }
    }

    /// The list as protobuf.
    fn messages(&self, endpoint: &Arc<Endpoint>, listing: Listing) -> Result<ListPieces, Status> {
        let list = self.without_items(endpoint, &listing);
        let message = self.message(endpoint)?;
        let room = self.shared.room(MESSAGES_BYTES_MAX);
        let kept_max = if room.is_some() { MESSAGES_BYTES_MAX } else { 0 };
        let (mut lens, mut kept, mut kept_bytes) =
            (Vec::with_capacity(listing.items.len()), VecDeque::new(), 0);
        for item in &listing.items {
            let message = message(item).map_err(|error| internal(&error))?;
            lens.push(message.len());
            if kept.len() + 1 == lens.len() && kept_bytes + message.len() <= kept_max {
                kept_bytes += message.len();
                kept.push_back(message);
            }
        }
        let (api_version, kind) = (list.str_at("apiVersion"), list.str_at("kind"));
        let envelope = ListEnvelope::new(api_version, kind, list.get("metadata"), lens.into_iter());
        let envelope = envelope.map_err(|error| internal(&error))?;
        let frame = Frame { head: envelope.head().to_vec(), between: b"", tail: envelope.tail().to_vec() };
        Ok(ListPieces::new(
            frame,
            listing.items,
            Box::new(move |item, out| {
                let _taken = &room;
                let kept = kept.pop_front().map_or_else(|| message(item), Ok);
                envelope.item(&kept.expect("it was encoded to measure it"), out);
            }),
        ))
    }

    /// Encodes objects in the list's view.
    fn message(&self, endpoint: &Arc<Endpoint>) -> Result<Message, Status> {
        let View::MetadataList(version) = self.format.view else {
            let endpoint = Arc::clone(endpoint);
            return Ok(Box::new(move |item| item.protobuf_once(&endpoint.def.ty)));
        };
        let ty: TypeRef = schema::type_by_gvk("meta.k8s.io", "v1", "PartialObjectMetadata")
            .ok_or_else(|| Status::internal_error("PartialObjectMetadata"))?;
        Ok(Box::new(move |item| {
            let metadata = partial::metadata(item, version);
            object::protobuf::encode_message(&metadata, &ty)
                .map_err(|source| VersionedError::Protobuf { key: item.key().clone(), source })
        }))
    }
}

/// Encodes an object, without an envelope.
type Message = Box<dyn Fn(&Versioned) -> Result<Bytes, VersionedError> + Send>;

/// A list as JSON; its objects are its last member.
fn plain(list: &Value, member: &str) -> Frame {
    let mut head = json::to_vec(list);
    head.pop();
    head.extend_from_slice(format!(",\"{member}\":[").as_bytes());
    Frame { head, between: b",", tail: b"]}".to_vec() }
}

/// A list as JSON for people.
fn indented(list: &Value, member: &str, is_empty: bool) -> Frame {
    let mut head = super::indented(list);
    head.truncate(head.len().saturating_sub(b"\n}".len()));
    head.extend_from_slice(format!(",\n  \"{member}\": [").as_bytes());
    let tail: &[u8] = if is_empty { b"]\n}\n" } else { b"\n  ]\n}\n" };
    Frame { head, between: b",", tail: tail.to_vec() }
}

/// A list as YAML, whose members are sorted.
fn in_yaml(list: &Value, member: &str, is_empty: bool) -> Frame {
    let (mut before, mut behind) = (Value::map(), Value::map());
    for (key, value) in list.as_map().into_iter().flat_map(object::Map::iter) {
        let part = if key < member { &mut before } else { &mut behind };
        part.set(key.to_owned(), value.clone());
    }
    let text = |part: &Value| match part.is_empty() {
        true => Vec::new(),
        false => yaml::to_string(part).into_bytes(),
    };
    let mut head = text(&before);
    head.extend_from_slice(format!("{member}:{}\n", if is_empty { " []" } else { "" }).as_bytes());
    Frame { head, between: b"", tail: text(&behind) }
}
