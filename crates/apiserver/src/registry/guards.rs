//! Rights that the user of a write must have, whatever the write's form.
//!
//! Every write passes here twice. First, before anything else happens, its user must have the rights that the request
//! itself needs ([`Guards::check_request`]). Then, after the last change to the new state (by the client, by admission
//! plugins, by the strategy and by hooks) and before it is validated and stored, the rights that depend on the object's
//! content are checked ([`Guards::check_state`]), so that additions by an admission plugin to a role are covered too.
//! Such a right is never checked where a request is routed.

use std::sync::Arc;

use async_trait::async_trait;
use object::{Status, Value};
use schema::GroupResource;

use super::access::Server;
use super::write::{Effect, WriteRequest};
use super::{Call, Endpoint};
use crate::authz::{Attributes, Chain, Rbac, Target};
use crate::cache::Hub;

mod devices;
mod escalation;
mod params;
mod signers;

/// A right that depends on an object's content.
#[async_trait]
trait Guard: Send + Sync {
    /// Whether the guard is for this resource.
    fn concerns(&self, resource: GroupResource<'_>) -> bool;

    /// Refuses a new state that its user has no right to.
    async fn check(
        &self,
        guards: &Guards,
        write: &WriteRequest<'_>,
        server: &Server<'_>,
    ) -> Result<(), Status>;
}

/// The verb of those who may delete objects that cannot be read.
const UNSAFE_DELETE: &str = "unsafe-delete-ignore-read-errors";

/// All guards, in their order.
const GUARDS: &[&dyn Guard] =
    &[&escalation::Escalation, &params::Params, &signers::Attest, &signers::Sign, &devices::AdminAccess];

impl WriteRequest<'_> {
    /// Whether only owner references and finalizers change. Those are written by the garbage collector, which has none
    /// of the rights in the roles that it cleans up. Labels are not among them, because a role's rules are aggregated
    /// into others by labels.
    fn changes_ownership_only(&self) -> bool {
        let Some(old) = self.old() else { return false };
        let rest = |object: &Value| {
            let mut rest = object.clone();
            for member in ["ownerReferences", "finalizers", "managedFields", "resourceVersion"] {
                rest.entry("metadata").remove(member);
            }
            rest
        };
        kinds::validation::same(&rest(&self.object), &rest(old))
    }
}

struct Parts {
    authorizer: Arc<Chain>,
    /// Compares granted rules with those of the user.
    rbac: Arc<Rbac>,
    hub: Arc<Hub>,
}

/// The guards. Without an authorizer, everything that needs a right is refused.
#[derive(Default)]
pub struct Guards {
    parts: Option<Parts>,
}

impl Guards {
    /// Guards that ask this authorizer and compare these rules, over the collections that this hub feeds.
    pub fn new(authorizer: Arc<Chain>, rbac: Arc<Rbac>, hub: Arc<Hub>) -> Guards {
        Guards { parts: Some(Parts { authorizer, rbac, hub }) }
    }

    /// Refuses a request that its user is not allowed to make, regardless of the object.
    ///
    /// # Errors
    /// 403
    pub(super) async fn check_request(&self, write: &WriteRequest<'_>) -> Result<(), Status> {
        if !write.creates_by_update {
            return Ok(());
        }
        // Updating an object that does not exist creates it.
        let (def, call) = (&write.endpoint.def, write.call);
        let target = Target::Resource {
            group: &def.group,
            version: &def.version,
            resource: &def.plural,
            subresource: call.subresource,
            namespace: call.namespace,
            name: call.name,
        };
        self.authorizer()?.demand(&Attributes::new(call.user, "create", target)).await
    }

    /// Refuses the deletion of an object that nobody can read to users who are not expressly allowed to do that.
    ///
    /// # Errors
    /// 403
    pub(super) async fn check_unsafe_deletion(
        &self,
        endpoint: &Endpoint,
        call: &Call<'_>,
    ) -> Result<(), Status> {
        let def = &endpoint.def;
        let forbidden = |why: &str| Err(Status::forbidden(&def.group, &def.plural, call.name, why));
        if !call.subresource.is_empty() {
            return forbidden(
                "ignoreStoreReadErrorWithClusterBreakingPotential delete option is not allowed on a subresource or \
                 non-resource request",
            );
        }
        let target = Target::Resource {
            group: &def.group,
            version: &def.version,
            resource: &def.plural,
            subresource: "",
            namespace: call.namespace,
            name: call.name,
        };
        let ruling = self.authorizer()?.authorize(&Attributes::new(call.user, UNSAFE_DELETE, target)).await;
        match (ruling.is_allowed(), &*ruling.failure()) {
            (true, _) => Ok(()),
            (false, "") => {
                forbidden(&format!("not permitted to do {UNSAFE_DELETE:?}, reason: {}", ruling.reason()))
            }
            (false, why) => {
                forbidden(&format!("error while checking permission for {UNSAFE_DELETE:?}, {why}"))
            }
        }
    }

    /// Asks every guard about the final state.
    ///
    /// # Errors
    /// The first refusal: 403, or 404 if a binding refers to a role that does not exist.
    pub(super) async fn check_state(
        &self,
        write: &WriteRequest<'_>,
        server: &Server<'_>,
    ) -> Result<(), Status> {
        if !matches!(write.effect, Effect::Insert | Effect::Replace(_)) {
            // Deletions and commands write no state of the client's choice.
            return Ok(());
        }
        let resource = write.resource();
        for guard in GUARDS.iter().filter(|guard| guard.concerns(resource)) {
            guard.check(self, write, server).await?;
        }
        Ok(())
    }

    fn parts(&self) -> Result<&Parts, Status> {
        let parts = self.parts.as_ref();
        parts.ok_or_else(|| Status::internal_error("this server has no authorizer to ask about the write"))
    }

    fn authorizer(&self) -> Result<&Chain, Status> {
        Ok(&self.parts()?.authorizer)
    }
}
