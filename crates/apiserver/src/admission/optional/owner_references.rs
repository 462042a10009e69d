//! OwnerReferencesPermissionEnforcement: whoever changes an object's owners could have it deleted, so may only who may
//! delete it; and whoever blocks the deletion of an owner needs the right to set its finalizers (upstream:
//! `plugin/pkg/admission/gc`).

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use object::{Status, Value};
use schema::GroupResource;

use crate::admission::{Attributes, GroupVersionKind, Operation, Plugin};
use crate::authz::{self, Chain, Target};

/// The plugin.
pub struct OwnerReferences {
    /// Authorizes users.
    pub authorizer: Arc<Chain>,
}

#[async_trait]
impl Plugin for OwnerReferences {
    fn name(&self) -> &'static str {
        "OwnerReferencesPermissionEnforcement"
    }

    async fn validate(&self, what: &Attributes<'_>, object: &Value, old: &Value) -> Result<(), Status> {
        let writes = matches!(what.operation, Operation::Create | Operation::Update);
        // An update of a pod's status changes no owners.
        if !writes || what.is_part(GroupResource::PODS, "status") {
            return Ok(());
        }
        let owners = |of: &Value| of.at("metadata.ownerReferences").clone();
        let (owners, before) = (owners(object), owners(old));
        if owners.items().eq(before.items()) {
            return Ok(());
        }
        let own = Target::Resource {
            group: what.resource.group,
            version: what.resource.version,
            resource: what.resource.plural,
            subresource: what.subresource,
            namespace: what.namespace,
            name: what.name,
        };
        self.demand(what, "delete", own, "cannot set an ownerRef on a resource you can't delete").await?;
        let blocks = |owner: &&Value| owner.get("blockOwnerDeletion").as_bool() == Some(true);
        let blocked_before: HashSet<&str> =
            before.items().filter(blocks).map(|owner| owner.str_at("uid")).collect();
        for owner in owners.items().filter(blocks) {
            if !blocked_before.contains(owner.str_at("uid")) {
                self.may_block(what, owner).await?;
                // As many as fit into an object.
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }
}

impl OwnerReferences {
    async fn may_block(&self, what: &Attributes<'_>, owner: &Value) -> Result<(), Status> {
        let (api_version, kind) = (owner.str_at("apiVersion"), owner.str_at("kind"));
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        let Some(served) = what.shapes.of_kind(GroupVersionKind { group, version, kind }) else {
            return Err(what.forbidden(&format!(
                "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion {api_version} Kind {kind}: no matches for kind {kind:?} in version {api_version:?}"
            )));
        };
        let target = Target::Resource {
            group,
            version,
            resource: served.shape.resource().plural,
            subresource: "finalizers",
            namespace: if served.is_namespaced { what.namespace } else { "" },
            name: owner.str_at("name"),
        };
        let why = "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on";
        self.demand(what, "update", target, why).await
    }

    async fn demand(
        &self,
        what: &Attributes<'_>,
        verb: &str,
        target: Target<'_>,
        why: &str,
    ) -> Result<(), Status> {
        let ruling = self.authorizer.authorize(&authz::Attributes::new(what.user, verb, target)).await;
        if ruling.is_allowed() {
            return Ok(());
        }
        let failure = Some(ruling.failure()).filter(|failure| !failure.is_empty());
        let failure = failure.unwrap_or_else(|| "<nil>".to_owned());
        Err(what.forbidden(&format!("{why}: {}, {failure}", ruling.reason())))
    }
}
