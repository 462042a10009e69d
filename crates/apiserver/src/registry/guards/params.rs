//! Users cannot make policies read what they may not read: parameters of a policy are shown to whoever it refuses
//! (upstream: `pkg/registry/admissionregistration/*/authz.go`).

use async_trait::async_trait;
use object::field::{Error, Path};
use object::{Status, Value, quote};
use schema::GroupResource;

use super::{Guard, Guards, Server, WriteRequest};
use crate::admission::{GroupVersionKind, Reader, Shapes};
use crate::authz::{Attributes, Target};
use crate::user::GROUP_MASTERS;

const GROUP: &str = "admissionregistration.k8s.io";
const POLICIES: [GroupResource<'static>; 2] = [
    GroupResource::new(GROUP, "validatingadmissionpolicies"),
    GroupResource::new(GROUP, "mutatingadmissionpolicies"),
];
const BINDINGS: [GroupResource<'static>; 2] = [
    GroupResource::new(GROUP, "validatingadmissionpolicybindings"),
    GroupResource::new(GROUP, "mutatingadmissionpolicybindings"),
];

/// Refuses policies and bindings whose parameters their author may not read.
pub(super) struct Params;

#[async_trait]
impl Guard for Params {
    fn concerns(&self, resource: GroupResource<'_>) -> bool {
        POLICIES.contains(&resource) || BINDINGS.contains(&resource)
    }

    async fn check(
        &self,
        guards: &Guards,
        write: &WriteRequest<'_>,
        server: &Server<'_>,
    ) -> Result<(), Status> {
        if write.call.user.in_group(GROUP_MASTERS) || !write.call.subresource.is_empty() {
            return Ok(());
        }
        match BINDINGS.iter().position(|bindings| *bindings == write.resource()) {
            None => check_policy(guards, write, server).await,
            Some(at) => check_binding(guards, write, server, POLICIES[at]).await,
        }
    }
}

async fn check_policy(guards: &Guards, write: &WriteRequest<'_>, server: &Server<'_>) -> Result<(), Status> {
    let kind = write.object.at("spec.paramKind");
    if kind.is_null() || kind == write.old.at("spec.paramKind") {
        return Ok(());
    }
    if may_get(guards, write, server, kind, "*", "*").await? {
        return Ok(());
    }
    let why = format!(
        "user {} must have \"get\" permission on all objects of the referenced paramKind (kind={}, apiVersion={})",
        quote(&write.call.user.name),
        kind.str_at("kind"),
        kind.str_at("apiVersion")
    );
    Err(refused(write, "paramKind", why))
}

async fn check_binding(
    guards: &Guards,
    write: &WriteRequest<'_>,
    server: &Server<'_>,
    policies: GroupResource<'_>,
) -> Result<(), Status> {
    let (spec, old) = (write.object.get("spec"), write.old.get("spec"));
    let reference = spec.get("paramRef");
    let is_same = |member: &str| spec.get(member) == old.get(member);
    if reference.is_null() || (is_same("paramRef") && is_same("policyName")) {
        return Ok(());
    }
    let policy = server.get(policies, "", spec.str_at("policyName")).map(|policy| policy.value());
    let kind = policy.map(|policy| policy.at("spec.paramKind").clone()).unwrap_or_default();
    if may_get(guards, write, server, &kind, reference.str_at("namespace"), reference.str_at("name")).await? {
        return Ok(());
    }
    let user = quote(&write.call.user.name);
    let why = format!("user {user} does not have \"get\" permission on the object referenced by paramRef");
    Err(refused(write, "paramRef", why))
}

/// Whether the author may read objects of a kind; of all kinds, where it is not known.
async fn may_get(
    guards: &Guards,
    write: &WriteRequest<'_>,
    server: &Server<'_>,
    kind: &Value,
    namespace: &str,
    name: &str,
) -> Result<bool, Status> {
    let api_version = kind.str_at("apiVersion");
    let (group, version) = match (kind.is_null(), api_version.rsplit_once('/')) {
        (true, _) => ("*", "*"),
        (false, Some(both)) => both,
        (false, None) => ("", api_version),
    };
    let served = server.of_kind(GroupVersionKind { group, version, kind: kind.str_at("kind") });
    let resource = served.as_ref().map_or("*", |served| served.shape.resource().plural);
    let target = Target::Resource { group, version, resource, subresource: "", namespace, name };
    let asked = Attributes::new(write.call.user, "get", target);
    Ok(guards.authorizer()?.authorize(&asked).await.is_allowed())
}

fn refused(write: &WriteRequest<'_>, member: &str, why: String) -> Status {
    let spec = Path::root("spec");
    let error = Error::forbidden(&spec.child(member), why);
    let def = &write.endpoint.def;
    Status::invalid(&def.group, &def.kind, write.name, &error.into())
}
