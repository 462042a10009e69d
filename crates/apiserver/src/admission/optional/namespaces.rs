//! NamespaceExists: nothing is written in a namespace that does not exist; and NamespaceAutoProvision: it is created then
//! (upstream: `plugin/pkg/admission/namespace`).

use async_trait::async_trait;
use object::{Reason, Status, Value, value};
use schema::GroupResource;

use crate::admission::{Attributes, Operation, Plugin};

/// The plugin that creates namespaces.
pub struct NamespaceAutoProvision;

/// The plugin that refuses.
pub struct NamespaceExists;

/// Whether a request is about something in a namespace.
fn is_in_namespace(what: &Attributes<'_>) -> bool {
    !what.namespace.is_empty() && what.group_resource() != GroupResource::NAMESPACES
}

#[async_trait]
impl Plugin for NamespaceAutoProvision {
    fn name(&self) -> &'static str {
        "NamespaceAutoProvision"
    }

    async fn admit(&self, what: &Attributes<'_>, _object: &mut Value, _old: &Value) -> Result<(), Status> {
        if !is_in_namespace(what) || what.operation != Operation::Create || what.dry_run {
            return Ok(());
        }
        if what.reader.find(GroupResource::NAMESPACES, "", what.namespace).await?.is_some() {
            return Ok(());
        }
        let namespace =
            value!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": (what.namespace)}});
        match what.writer.create(GroupResource::NAMESPACES, namespace).await {
            Err(status) if status.reason != Reason::AlreadyExists => Err(what.forbidden(&status.message)),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Plugin for NamespaceExists {
    fn name(&self) -> &'static str {
        "NamespaceExists"
    }

    async fn validate(&self, what: &Attributes<'_>, _object: &Value, _old: &Value) -> Result<(), Status> {
        if !is_in_namespace(what) || what.operation == Operation::Connect {
            return Ok(());
        }
        match what.reader.find(GroupResource::NAMESPACES, "", what.namespace).await? {
            Some(_) => Ok(()),
            None => Err(Status::not_found("", "namespaces", what.namespace)),
        }
    }
}
