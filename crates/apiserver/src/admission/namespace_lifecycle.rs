//! NamespaceLifecycle: nothing comes into a namespace that does not exist or is ending.

use std::sync::Arc;

use async_trait::async_trait;
use object::{Cause, Status, Value};
use schema::GroupResource;

use super::{Attributes, Operation, Plugin};
use crate::cache::{Collection, Hub};
use crate::errors::from_cache;

/// The namespaces that cannot be deleted.
const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

/// The plugin.
pub struct NamespaceLifecycle {
    /// What tells how fresh the cache is.
    pub hub: Arc<Hub>,
    /// The namespaces.
    pub namespaces: Arc<Collection>,
}

#[async_trait]
impl Plugin for NamespaceLifecycle {
    fn name(&self) -> &'static str {
        "NamespaceLifecycle"
    }

    async fn validate(&self, what: &Attributes<'_>, _object: &Value, _old: &Value) -> Result<(), Status> {
        let def = &what.endpoint.def;
        if what.is("", "namespaces") && what.operation == Operation::Delete {
            if IMMORTAL.contains(&what.name) {
                return Err(Status::forbidden(
                    "",
                    "namespaces",
                    what.name,
                    "this namespace may not be deleted",
                ));
            }
            return Ok(());
        }
        let is_review = def.group_resource() == GroupResource::LOCAL_SUBJECT_ACCESS_REVIEWS;
        if what.namespace.is_empty() || what.operation != Operation::Create || is_review {
            return Ok(());
        }
        let mut namespace = self.namespaces.get("", what.namespace);
        if namespace.is_none() {
            // It may have been made a moment ago: look again when the cache has caught up.
            self.hub.catch_up().await.map_err(from_cache)?;
            namespace = self.namespaces.get("", what.namespace);
        }
        let Some(namespace) = namespace else {
            return Err(Status::not_found("", "namespaces", what.namespace));
        };
        if !namespace.is_deleting() {
            return Ok(());
        }
        let why = format!(
            "unable to create new content in namespace {} because it is being terminated",
            what.namespace
        );
        let mut status = Status::forbidden(&def.group, &def.plural, what.name, &why);
        if let Some(details) = &mut status.details {
            details.causes.push(Cause {
                reason: "NamespaceTerminating".into(),
                message: format!("namespace {} is being terminated", what.namespace),
                field: "metadata.namespace".into(),
            });
        }
        Err(status)
    }
}
