//! A request as the policies that match it see it.

use object::{Status, Value};
use schema::GroupResource;

use super::super::Attributes;
use super::super::expression::{self, Seen};
use super::super::matching::{Asked, View};

/// The objects of a request in one version, and what expressions see besides them.
pub(super) struct InVersion {
    pub(super) view: View,
    request: Value,
}

impl InVersion {
    pub(super) fn new(what: &Attributes<'_>, asked: &Asked<'_>, view: View) -> InVersion {
        let request = expression::request(what, &asked.own, &view.shape);
        InVersion { view, request }
    }

    /// What expressions see.
    pub(super) fn seen<'v>(&'v self, namespace: &'v Value, params: &'v Value) -> Seen<'v> {
        Seen { object: &self.view.object, old: &self.view.old, request: &self.request, namespace, params }
    }
}

/// `namespaceObject` of a request: null for objects of the cluster, and for Namespaces.
///
/// # Errors
/// The namespace does not exist.
pub(super) async fn namespace(what: &Attributes<'_>) -> Result<Value, Status> {
    if what.namespace.is_empty() || what.group_resource() == GroupResource::NAMESPACES {
        return Ok(Value::Null);
    }
    let found = what.reader.find(GroupResource::NAMESPACES, "", what.namespace).await?;
    let found = found.ok_or_else(|| Status::not_found("", "namespaces", what.namespace))?;
    let mut namespace = found.value();
    if let Some(metadata) = namespace.get_mut("metadata") {
        for member in ["managedFields", "ownerReferences", "selfLink"] {
            metadata.remove(member);
        }
    }
    Ok(namespace)
}
