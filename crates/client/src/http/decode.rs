//! Lists and watch events from their JSON. Objects are slices of the answer, not copies.

use std::sync::Arc;

use bytes::Bytes;
use object::{Status, TypeMeta, Versioned};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{ClientError, ListPage, ResourceType, WatchEvent};

#[derive(Deserialize)]
struct RawList<'a> {
    #[serde(default)]
    metadata: ListMeta,
    #[serde(borrow, default)]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ListMeta {
    resource_version: String,
    r#continue: String,
}

#[derive(Deserialize)]
struct RawEvent<'a> {
    r#type: &'a str,
    #[serde(borrow)]
    object: &'a RawValue,
}

#[derive(Deserialize)]
struct OnlyMeta {
    metadata: ListMeta,
}

/// Reads a list. Its items stand for the resource's kind: they need not name it themselves.
pub(super) fn list(resource: &ResourceType, body: &Bytes) -> Result<ListPage, ClientError> {
    let list: RawList<'_> = serde_json::from_slice(body)
        .map_err(|error| ClientError::decode(format!("the list of {}", resource.plural), error))?;
    let type_meta = TypeMeta::new(&resource.api_version(), &resource.kind);
    let items = list.items.unwrap_or_default().into_iter().map(|item| versioned(&type_meta, body, item));
    Ok(ListPage {
        items: items.collect::<Result<_, _>>()?,
        resource_version: list.metadata.resource_version,
        continue_token: list.metadata.r#continue,
    })
}

/// Reads the events of one watch.
pub(super) struct WatchDecoder {
    type_meta: Arc<TypeMeta>,
}

impl WatchDecoder {
    pub(super) fn new(resource: &ResourceType) -> WatchDecoder {
        WatchDecoder { type_meta: TypeMeta::new(&resource.api_version(), &resource.kind) }
    }

    /// Reads one event; an `ERROR` event becomes its status.
    pub(super) fn event(&mut self, line: &Bytes) -> Result<WatchEvent, ClientError> {
        let broken =
            |error| ClientError::decode(format!("the watch event of {}", self.type_meta.kind), error);
        let event: RawEvent<'_> = serde_json::from_slice(line).map_err(broken)?;
        let object = || versioned(&self.type_meta, line, event.object);
        match event.r#type {
            "ADDED" => object().map(WatchEvent::Added),
            "MODIFIED" => object().map(WatchEvent::Modified),
            "DELETED" => object().map(WatchEvent::Deleted),
            "BOOKMARK" => {
                let bookmark: OnlyMeta = serde_json::from_str(event.object.get()).map_err(broken)?;
                Ok(WatchEvent::Bookmark { resource_version: bookmark.metadata.resource_version })
            }
            "ERROR" => {
                let status = object::json::parse(event.object.get().as_bytes()).ok();
                let status = status.as_ref().and_then(Status::from_value);
                Err(status.unwrap_or_else(|| Status::internal_error("a watch ended without a status")).into())
            }
            other => Err(ClientError::decode("the watch event", format!("unknown type {other:?}"))),
        }
    }
}

fn versioned(type_meta: &Arc<TypeMeta>, within: &Bytes, object: &RawValue) -> Result<Versioned, ClientError> {
    // The raw value borrows from `within`, as both callers parse it from there.
    let json = within.slice_ref(object.get().as_bytes());
    Versioned::from_json(Arc::clone(type_meta), json, |_| object::FieldValues::default())
        .map_err(|error| ClientError::decode(&*type_meta.kind, error))
}
