//! Views of objects: tables for people, and metadata for clients that need nothing else.

use clock::Clock;
use object::{Value, value};

use crate::negotiate::MetaVersion;
use crate::options::IncludeObject;
use crate::registry::{Endpoint, Listing};

/// The table of one object.
pub fn of_object(
    endpoint: &Endpoint,
    object: &Value,
    version: MetaVersion,
    include: IncludeObject,
    clock: &Clock,
) -> Value {
    let metadata = value!({"resourceVersion": object.at("metadata.resourceVersion").clone()});
    table(endpoint, metadata, vec![row(endpoint, object, version, include, clock)], version)
}

/// The table of a list, without its rows.
pub fn without_rows(endpoint: &Endpoint, listing: &Listing, version: MetaVersion) -> Value {
    value!({
        "kind": "Table", "apiVersion": version.api_version(),
        "metadata": list_metadata(listing),
        "columnDefinitions": endpoint.strategy.column_definitions()
    })
}

fn table(endpoint: &Endpoint, metadata: Value, rows: Vec<Value>, version: MetaVersion) -> Value {
    value!({
        "kind": "Table", "apiVersion": version.api_version(),
        "metadata": metadata,
        "columnDefinitions": endpoint.strategy.column_definitions(),
        "rows": rows
    })
}

/// The row of an object.
pub fn row(
    endpoint: &Endpoint,
    object: &Value,
    version: MetaVersion,
    include: IncludeObject,
    clock: &Clock,
) -> Value {
    let mut row = value!({"cells": endpoint.strategy.row(object, clock)});
    let conditions = endpoint.strategy.row_conditions(object);
    if !conditions.is_empty() {
        row.set("conditions", conditions);
    }
    match include {
        IncludeObject::None => {}
        IncludeObject::Metadata => row.set("object", metadata_of(object, version)),
        IncludeObject::Object => row.set("object", object.clone()),
    }
    row
}

/// An object's metadata alone.
pub fn metadata_of(object: &Value, version: MetaVersion) -> Value {
    value!({
        "kind": "PartialObjectMetadata", "apiVersion": version.api_version(),
        "metadata": object.get("metadata").clone()
    })
}

/// The metadata of a list itself.
pub fn list_metadata(listing: &Listing) -> Value {
    let mut metadata = value!({"resourceVersion": listing.revision.to_string()});
    if let Some(token) = &listing.continue_token {
        metadata.set("continue", token.as_str());
    }
    if let Some(remaining) = listing.remaining {
        metadata.set("remainingItemCount", i64::try_from(remaining).unwrap_or(i64::MAX));
    }
    metadata
}
