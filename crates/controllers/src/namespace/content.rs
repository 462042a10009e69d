//! The inputs of a decision about one namespace.

use std::sync::Arc;

use client::{PartialObject, ServedResource};
use k8s_openapi::api::core::v1::Namespace;

/// The finalizer that this controller serves.
pub(super) const FINALIZER: &str = "kubernetes";

/// What a decision about one namespace is made from; asked from the server, not from caches, as nothing must
/// be overlooked.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(super) namespace: Arc<Namespace>,
    /// What is left, by resource.
    pub(super) remaining: Vec<Remaining>,
    /// Group versions whose server does not answer.
    pub(super) undiscovered: Vec<String>,
}

/// What is left of a resource.
#[derive(Debug)]
pub(super) struct Remaining {
    pub(super) resource: ServedResource,
    pub(super) objects: Arc<Vec<PartialObject>>,
}
