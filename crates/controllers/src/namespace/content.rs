//! The content of a namespace that is being deleted.

use std::sync::Arc;

use client::{PartialObject, ResourceType, ServedResource};
use k8s_openapi::api::core::v1::Namespace;

/// The finalizer that this controller serves.
pub(super) const FINALIZER: &str = "kubernetes";

/// The inputs of a decision about one namespace; read from the server, not from caches, because nothing must be
/// overlooked.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(super) namespace: Arc<Namespace>,
    /// The remaining objects, by resource.
    pub(super) remaining: Vec<Remaining>,
    /// Of what it is not known whether anything is left.
    pub(super) unlisted: Vec<Unlisted>,
    /// Group versions whose server does not answer.
    pub(super) undiscovered: Vec<String>,
}

/// A resource whose objects cannot be listed.
#[derive(Debug)]
pub(super) struct Unlisted {
    pub(super) resource: ResourceType,
    pub(super) why: String,
}

/// The remaining objects of a resource.
#[derive(Debug)]
pub(super) struct Remaining {
    pub(super) resource: ServedResource,
    pub(super) objects: Arc<Vec<PartialObject>>,
}
