//! Users cannot grant rights that they do not have, by a role or by a binding, unless a rule lets them `escalate` or
//! `bind` (upstream: `pkg/registry/rbac/*/policybased`).

use async_trait::async_trait;
use k8s_openapi::api::rbac::v1::{PolicyRule, RoleRef};
use object::{Status, Value};
use schema::GroupResource;

use super::{Guard, Guards, Parts, Server, WriteRequest};
use crate::authz::{self, ANY_VERSION, Attributes, Authorizer, Target};
use crate::errors::from_cache;
use crate::user::GROUP_MASTERS;

/// Refuses roles and bindings that would grant more than their author has.
pub(super) struct Escalation;

#[async_trait]
impl Guard for Escalation {
    fn concerns(&self, resource: GroupResource<'_>) -> bool {
        matches!(
            resource,
            GroupResource::ROLES
                | GroupResource::CLUSTER_ROLES
                | GroupResource::ROLE_BINDINGS
                | GroupResource::CLUSTER_ROLE_BINDINGS
        )
    }

    async fn check(
        &self,
        guards: &Guards,
        write: &WriteRequest<'_>,
        _server: &Server<'_>,
    ) -> Result<(), Status> {
        if write.call.user.in_group(GROUP_MASTERS) || write.changes_ownership_only() {
            return Ok(());
        }
        let parts = guards.parts()?;
        if check(parts, write).await.is_ok() {
            return Ok(());
        }
        // The role or the author's own rights may have been created a moment ago.
        parts.hub.catch_up().await.map_err(from_cache)?;
        check(parts, write).await
    }
}

async fn check(parts: &Parts, write: &WriteRequest<'_>) -> Result<(), Status> {
    match write.resource() {
        GroupResource::ROLES | GroupResource::CLUSTER_ROLES => check_role(parts, write).await,
        _ => check_binding(parts, write).await,
    }
}

async fn check_role(parts: &Parts, write: &WriteRequest<'_>) -> Result<(), Status> {
    let def = &write.endpoint.def;
    if may(parts, write, "escalate", def.group_resource(), write.call.name).await {
        return Ok(());
    }
    let rules = write.object.get("rules");
    let wanted: Vec<PolicyRule> =
        if rules.is_null() { Vec::new() } else { object::from_value(rules).map_err(malformed)? };
    check_rules(parts, write, &wanted)?;
    let gathers = |role: &Value| !role.at("aggregationRule.clusterRoleSelectors").is_empty();
    if !gathers(&write.object) && !gathers(write.old) {
        return Ok(());
    }
    // The aggregated rules may be anything, and a role that no longer aggregates keeps its rules.
    check_rules(parts, write, &everything())
        .map_err(|_| write.forbidden("must have cluster-admin privileges to use the aggregationRule"))
}

async fn check_binding(parts: &Parts, write: &WriteRequest<'_>) -> Result<(), Status> {
    let reference: RoleRef = object::from_value(write.object.get("roleRef")).map_err(malformed)?;
    let role = match reference.kind.as_str() {
        "ClusterRole" => "clusterroles",
        "Role" => "roles",
        other => return Err(Status::bad_request(format!("unsupported role reference kind: {other:?}"))),
    };
    let role = GroupResource::new(reference.api_group.as_deref().unwrap_or_default(), role);
    if may(parts, write, "bind", role, &reference.name).await {
        return Ok(());
    }
    let rules = parts.rbac.rules_of_role(&reference, write.call.namespace);
    let rules =
        rules.ok_or_else(|| Status::not_found(&write.endpoint.def.group, role.plural, &reference.name))?;
    check_rules(parts, write, &rules)
}

/// Refuses rules that the user does not have in the object's namespace.
fn check_rules(parts: &Parts, write: &WriteRequest<'_>, wanted: &[PolicyRule]) -> Result<(), Status> {
    let user = write.call.user;
    let owned = parts.rbac.rules_of(user, write.call.namespace);
    let missing = authz::missing(&owned.rules, wanted).map_err(|authz::TooLarge| {
        write.forbidden("a rule expands to too many permissions to compare them with those of its author")
    })?;
    if missing.is_empty() {
        return Ok(());
    }
    let mut why = format!(
        "user {} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
        object::quote(&user.name),
        authz::quote_all(&user.groups),
        authz::describe(&missing)
    );
    if !owned.errors.is_empty() {
        why.push_str(&format!("; resolution errors: [{}]", owned.errors.join(" ")));
    }
    Err(write.forbidden(&why))
}

async fn may(
    parts: &Parts,
    write: &WriteRequest<'_>,
    verb: &str,
    resource: GroupResource<'_>,
    name: &str,
) -> bool {
    let GroupResource { group, plural } = resource;
    let namespace = write.call.namespace;
    let target =
        Target::Resource { group, version: ANY_VERSION, resource: plural, subresource: "", namespace, name };
    parts.authorizer.authorize(&Attributes::new(write.call.user, verb, target)).await.is_allowed()
}

/// Everything on all resources and paths.
fn everything() -> [PolicyRule; 2] {
    let all = || vec!["*".to_owned()];
    let resources =
        PolicyRule { verbs: all(), api_groups: Some(all()), resources: Some(all()), ..PolicyRule::default() };
    [resources, PolicyRule { verbs: all(), non_resource_urls: Some(all()), ..PolicyRule::default() }]
}

fn malformed(error: object::TypedError) -> Status {
    Status::bad_request(error.to_string())
}
