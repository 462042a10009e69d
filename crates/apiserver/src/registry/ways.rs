//! The ways to a new state of an object, one file each: they make a [`WriteRequest`](super::write::WriteRequest) and
//! pass it to the pipeline.
//!
//! The way of a path is looked up by group, resource and subresource together: a custom resource may be called `pods`
//! and have a `status`, but has nothing else in common with a pod.

use async_trait::async_trait;
use object::{Status, Value};
use schema::GroupResource;

use self::change::Make;
use super::{Answer, Call, Endpoint, Registry};
use crate::options::Query;

mod apply;
mod approval;
mod binding;
mod change;
mod component_statuses;
mod connect;
mod create;
mod delete;
mod ephemeral_containers;
mod eviction;
mod finalize;
mod patch;
mod resize;
mod review;
mod scale;
mod status;
mod token;
mod update;
mod usage;
mod whole;

pub use patch::{ChangeKind, Patch, PatchKind};
pub use review::Reviewer;
pub use token::Secrets;

/// How often a change is retried when another one came first, for clients that did not name the version that it is
/// based on.
const TRIES: usize = 16;

/// A request for a path.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    /// The registry.
    pub registry: &'a Registry,
    /// Answers reviews.
    pub reviewer: Reviewer<'a>,
    /// The resource.
    pub endpoint: &'a Endpoint,
    /// The user, and the request.
    pub call: &'a Call<'a>,
}

impl At<'_> {
    /// The response if this is not supported.
    pub(crate) fn not_allowed(&self, action: &str) -> Status {
        let (def, subresource) = (&self.endpoint.def, self.call.subresource);
        let resource = match subresource {
            "" => def.plural.to_string(),
            part => format!("{}/{part}", def.plural),
        };
        Status::method_not_supported(&def.group, &resource, action)
    }
}

/// The operations of a path. Operations that a path does not have are not allowed there.
#[async_trait]
pub(crate) trait Way: Send + Sync {
    /// Reads the path (GET): the object, unless the path shows it in a different form.
    async fn read(&self, at: &At<'_>, query: &Query) -> Result<Answer, Status> {
        at.registry.get(at.endpoint, at.call, query).await
    }

    /// Reads the objects at the path (GET without a name).
    async fn list(&self, at: &At<'_>, query: &Query) -> Result<Answer, Status> {
        at.registry.list(at.endpoint, at.call, query).await
    }

    /// Creates something from a body (POST).
    async fn create(&self, at: &At<'_>, _body: Value) -> Result<Answer, Status> {
        Err(at.not_allowed("create"))
    }

    /// Computes the new state from the current one (PATCH).
    async fn change(&self, at: &At<'_>, _make: &mut dyn Make) -> Result<Answer, Status> {
        Err(at.not_allowed("update"))
    }

    /// Takes a body as the new state (PUT).
    async fn replace(&self, at: &At<'_>, body: Value) -> Result<Answer, Status> {
        self.change(at, &mut |_: &Value| Ok(body.clone())).await
    }
}

/// Paths of single resources that differ from those of all others.
const OWN: &[(GroupResource<'static>, &str, &dyn Way)] = &[
    (GroupResource::BINDINGS, "", &binding::Binding),
    (GroupResource::COMPONENT_STATUSES, "", &component_statuses::ComponentStatuses),
    (GroupResource::PODS, "binding", &binding::Binding),
    (GroupResource::PODS, "ephemeralcontainers", &ephemeral_containers::EphemeralContainers),
    (GroupResource::PODS, "eviction", &eviction::Eviction),
    (GroupResource::PODS, "resize", &resize::Resize),
    (GroupResource::NAMESPACES, "finalize", &finalize::Finalize),
    (GroupResource::SERVICE_ACCOUNTS, "token", &token::Token),
    (GroupResource::CERTIFICATE_SIGNING_REQUESTS, "approval", &approval::Approval),
    (GroupResource::NODE_METRICS, "", &usage::NODES),
    (GroupResource::POD_METRICS, "", &usage::PODS),
    (review::SELF_SUBJECT_REVIEWS, "", &review::Review),
    (review::TOKEN_REVIEWS, "", &review::Review),
    (review::SUBJECT_ACCESS_REVIEWS, "", &review::Review),
    (review::SELF_SUBJECT_ACCESS_REVIEWS, "", &review::Review),
    (review::SELF_SUBJECT_RULES_REVIEWS, "", &review::Review),
    (GroupResource::LOCAL_SUBJECT_ACCESS_REVIEWS, "", &review::Review),
];

/// The operations of a path; `None` if it supports no write.
pub(crate) fn way(endpoint: &Endpoint, subresource: &str) -> Option<&'static dyn Way> {
    let resource = endpoint.def.group_resource();
    // The plural name tells most of them apart.
    let is_own = |of: &GroupResource<'_>| of.plural == resource.plural && of.group == resource.group;
    let own = OWN.iter().find(|(of, part, _)| is_own(of) && *part == subresource);
    if let Some((_, _, way)) = own {
        return Some(*way);
    }
    match subresource {
        "" => Some(&whole::Whole),
        "status" => Some(&status::Status),
        part if endpoint.is_scale(part) => Some(&scale::Scale),
        _ => None,
    }
}
