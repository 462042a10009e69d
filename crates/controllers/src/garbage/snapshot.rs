//! The inputs of a decision about one object.

use std::sync::Arc;

use client::PartialObject;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use super::graph::{Node, OwnerState};

/// The inputs of a decision about one object.
#[derive(Debug)]
pub(crate) enum Snapshot {
    /// It has owners that are gone, or that will be deleted after it.
    Dependent {
        node: Node,
        /// The object at the server.
        live: Arc<PartialObject>,
        owners: Vec<(OwnerReference, OwnerState)>,
        has_dependents: bool,
        /// A dependent waits for its own dependents: there may be a circle.
        dependent_waits: bool,
    },
    /// Its owners exist as far as is known, but the graph has not seen all of them: if one were deleted now, there
    /// would be no notification.
    Unobserved,
    /// It is being deleted and waits for its dependents.
    Foreground { node: Node, live: Arc<PartialObject>, blocked: bool },
    /// It is being deleted and its dependents are to stay.
    Orphaning { node: Node, live: Arc<PartialObject>, dependents: Vec<Node> },
}
