//! Nobody grants what he does not have (upstream: `rbac/validation`, the verbs `escalate` and `bind`).

use k8s_openapi::api::rbac::v1::{PolicyRule, RoleRef};
use object::{Status, Value};

use crate::ApiServer;
use crate::authz::{Attributes, Target, covers};
use crate::registry::{Call, Endpoint};
use crate::user::GROUP_MASTERS;

impl ApiServer {
    /// Refuses a role or binding that would give more than its author has.
    pub(super) fn check_escalation(
        &self,
        endpoint: &Endpoint,
        call: &Call<'_>,
        object: &Value,
    ) -> Result<(), Status> {
        let def = endpoint.def;
        if def.group != "rbac.authorization.k8s.io" || call.user.in_group(GROUP_MASTERS) {
            return Ok(());
        }
        let malformed = |error: object::TypedError| Status::bad_request(error.to_string());
        let (verb, wanted) = match &*def.plural {
            "roles" | "clusterroles" => {
                let rules = object.get("rules");
                let rules: Vec<PolicyRule> = if rules.is_null() {
                    Vec::new()
                } else {
                    object::from_value(rules).map_err(malformed)?
                };
                ("escalate", rules)
            }
            _ => {
                let reference: RoleRef = object::from_value(object.get("roleRef")).map_err(malformed)?;
                let rules = self.authorizer.rbac.rules_of_role(&reference, call.namespace);
                let plural = if reference.kind == "ClusterRole" { "clusterroles" } else { "roles" };
                if self.may(call, "bind", plural, &reference.name) {
                    return Ok(());
                }
                let rules = rules.ok_or_else(|| Status::not_found(&def.group, plural, &reference.name))?;
                ("bind", rules)
            }
        };
        if verb == "escalate" && self.may(call, verb, &def.plural, object.str_at("metadata.name")) {
            return Ok(());
        }
        let owned = self.authorizer.rbac.rules_of(call.user, call.namespace);
        let missing: Vec<&PolicyRule> = wanted.iter().filter(|rule| !covers(&owned, rule)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let missing: Vec<String> = missing.into_iter().map(describe).collect();
        let why = format!(
            "user {:?} (groups={:?}) is attempting to grant RBAC permissions not currently held:\n{}",
            call.user.name,
            call.user.groups,
            missing.join("\n")
        );
        Err(Status::forbidden(&def.group, &def.plural, object.str_at("metadata.name"), &why))
    }

    fn may(&self, call: &Call<'_>, verb: &str, resource: &str, name: &str) -> bool {
        let group = "rbac.authorization.k8s.io";
        let target = Target::Resource { group, resource, subresource: "", namespace: call.namespace, name };
        self.authorizer.authorize(call.user, &Attributes::new(verb, target)).is_allowed()
    }
}

/// A rule in upstream's short form.
fn describe(rule: &PolicyRule) -> String {
    let lists = [
        ("APIGroups", rule.api_groups.as_ref()),
        ("Resources", rule.resources.as_ref()),
        ("ResourceNames", rule.resource_names.as_ref()),
        ("NonResourceURLs", rule.non_resource_urls.as_ref()),
        ("Verbs", Some(&rule.verbs)),
    ];
    let parts = lists.into_iter().filter_map(|(name, list)| {
        let list = list.filter(|list| !list.is_empty())?;
        Some(format!("{name}:{list:?}"))
    });
    format!("{{{}}}", parts.collect::<Vec<_>>().join(", "))
}
