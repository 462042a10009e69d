//! What must hold for the user of a write, whatever the write's form.
//!
//! Create, update, every kind of patch, creation by update, subresources, dry runs and components of the same process
//! all come to `Registry::create` or `Registry::modify`, and those ask here: after the last change to the new object and
//! before it is validated and stored. A right that depends on the object's content is checked in a guard, never where
//! a request is routed.

use std::sync::Arc;

use object::{Status, Value};
use schema::GroupResource;

use super::{Call, Endpoint};
use crate::authz::{Attributes, Authorizer, Target};
use crate::cache::Hub;

mod escalation;
mod signers;

/// A write that is about to happen.
#[derive(Clone, Copy)]
pub(super) struct WriteRequest<'a> {
    /// The resource.
    pub endpoint: &'a Endpoint,
    /// Who writes, and what the path names. The name is empty where the path has none.
    pub call: &'a Call<'a>,
    /// The new state.
    pub object: &'a Value,
    /// The present state; `None` where an object is made.
    pub old: Option<&'a Value>,
    /// Whether an update makes the object, because there is none.
    pub creates_by_update: bool,
}

impl WriteRequest<'_> {
    fn resource(&self) -> GroupResource<'_> {
        self.endpoint.def.group_resource()
    }

    /// Whether only owner references and finalizers change. Those are the garbage collector's, which holds none of the
    /// rights that it cleans up. Labels are not among them: by a label a role's rules are gathered into others.
    fn changes_ownership_only(&self) -> bool {
        let Some(old) = self.old else { return false };
        let rest = |object: &Value| {
            let mut rest = object.clone();
            for member in ["ownerReferences", "finalizers", "managedFields", "resourceVersion"] {
                rest.entry("metadata").remove(member);
            }
            rest
        };
        kinds::validation::same(&rest(self.object), &rest(old))
    }

    /// The refusal of this write.
    fn forbidden(&self, why: &str) -> Status {
        let def = &self.endpoint.def;
        Status::forbidden(&def.group, &def.plural, self.object.str_at("metadata.name"), why)
    }
}

/// The guards. Without an authorizer nothing passes that needs a right.
#[derive(Default)]
pub struct Guards {
    parts: Option<(Arc<Authorizer>, Arc<Hub>)>,
}

impl Guards {
    /// Guards that ask this authorizer, over the collections that this hub feeds.
    pub fn new(authorizer: Arc<Authorizer>, hub: Arc<Hub>) -> Guards {
        Guards { parts: Some((authorizer, hub)) }
    }

    /// Asks every guard.
    ///
    /// # Errors
    /// The first refusal: 403, or 404 where a binding refers to a role that does not exist.
    pub(super) async fn check(&self, write: &WriteRequest<'_>) -> Result<(), Status> {
        if write.creates_by_update {
            self.check_creates(write)?;
        }
        match write.resource() {
            GroupResource::ROLES
            | GroupResource::CLUSTER_ROLES
            | GroupResource::ROLE_BINDINGS
            | GroupResource::CLUSTER_ROLE_BINDINGS => self.check_escalation(write).await,
            GroupResource::POD_CERTIFICATE_REQUESTS | GroupResource::CLUSTER_TRUST_BUNDLES => {
                self.check_signer(write)
            }
            _ => Ok(()),
        }
    }

    /// Whoever updates what does not exist needs the right to create it.
    fn check_creates(&self, write: &WriteRequest<'_>) -> Result<(), Status> {
        let (def, call) = (&write.endpoint.def, write.call);
        let target = Target::Resource {
            group: &def.group,
            resource: &def.plural,
            subresource: call.subresource,
            namespace: call.namespace,
            name: call.name,
        };
        self.authorizer()?.demand(call.user, &Attributes::new("create", target))
    }

    fn authorizer(&self) -> Result<&Authorizer, Status> {
        let parts = self.parts.as_ref();
        parts
            .map(|(authorizer, _)| authorizer.as_ref())
            .ok_or_else(|| Status::internal_error("this server has no authorizer to ask about the write"))
    }
}
