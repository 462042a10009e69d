//! NamespaceLifecycle: nothing is created in a namespace that does not exist or is terminating.

use async_trait::async_trait;
use object::{Cause, Status, Value};
use schema::GroupResource;

use super::{Attributes, Operation, Plugin};

/// The namespaces that cannot be deleted.
const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

/// The plugin.
pub struct NamespaceLifecycle;

#[async_trait]
impl Plugin for NamespaceLifecycle {
    fn name(&self) -> &'static str {
        "NamespaceLifecycle"
    }

    async fn validate(&self, what: &Attributes<'_>, _object: &Value, _old: &Value) -> Result<(), Status> {
        if what.is(GroupResource::NAMESPACES) && what.operation == Operation::Delete {
            if IMMORTAL.contains(&what.name) {
                return Err(what.forbidden("this namespace may not be deleted"));
            }
            return Ok(());
        }
        let is_review = what.is(GroupResource::LOCAL_SUBJECT_ACCESS_REVIEWS);
        if what.namespace.is_empty() || what.operation != Operation::Create || is_review {
            return Ok(());
        }
        let namespace = what.reader.find(GroupResource::NAMESPACES, "", what.namespace).await?;
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
        let mut status = what.forbidden(&why);
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
