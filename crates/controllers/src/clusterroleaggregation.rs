//! Gathers the rules of ClusterRoles that are made of others (upstream: `clusterroleaggregation_controller.go`).

use std::sync::Arc;

use client::{Informer, Patch, ResourceType, key_of};
use jiff::Timestamp;
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use object::ObjectKey;
use semantics::selector;
use serde_json::json;

use crate::framework::{Action, Controller, Look, Plan, Wiring};

#[cfg(test)]
mod tests;

pub(crate) struct ClusterRoleAggregation {
    roles: Arc<Informer<ClusterRole>>,
}

/// The inputs of a decision about one role.
#[derive(Debug)]
pub(crate) struct Snapshot {
    role: Arc<ClusterRole>,
    /// All roles, in the order of their names.
    all: Vec<Arc<ClusterRole>>,
}

impl Controller for ClusterRoleAggregation {
    const NAME: &'static str = "clusterrole-aggregation-controller";
    const ACCOUNT: &'static str = "clusterrole-aggregation-controller";
    const QUEUE: &'static str = "ClusterRoleAggregator";
    const WORKERS: usize = 1;
    type Key = ObjectKey;
    type Snapshot = Snapshot;
    type Memory = ();

    fn wire(wiring: &mut Wiring<ObjectKey>) -> ClusterRoleAggregation {
        let roles = wiring.informer::<ClusterRole>();
        // Roles are few, and a role may be gathered by way of others: each change wakes all that gather.
        let all = Arc::clone(&roles);
        wiring.wake(&roles, move |change| {
            let gathering = all.list().into_iter().filter(|role| role.aggregation_rule.is_some());
            gathering.map(|role| key_of(&*role)).chain([change.key.clone()]).collect::<Vec<_>>()
        });
        ClusterRoleAggregation { roles }
    }

    fn observe(&self, key: &ObjectKey, _look: &mut Look<'_, ()>) -> Option<Snapshot> {
        let role = self.roles.get(key).filter(|role| role.aggregation_rule.is_some())?;
        let mut all = self.roles.list();
        all.sort_by(|one, other| one.metadata.name.cmp(&other.metadata.name));
        Some(Snapshot { role, all })
    }

    fn plan(snapshot: &Snapshot, _now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let rules = gathered(&snapshot.role, &snapshot.all);
        if rules != *snapshot.role.rules.as_deref().unwrap_or_default() {
            plan.then(apply(&snapshot.role, &rules));
        }
        plan
    }
}

/// The rules of the roles that one selects, each once.
fn gathered(role: &ClusterRole, all: &[Arc<ClusterRole>]) -> Vec<PolicyRule> {
    let selectors = role.aggregation_rule.as_ref().and_then(|rule| rule.cluster_role_selectors.as_ref());
    let mut rules: Vec<PolicyRule> = Vec::new();
    for wanted in selectors.into_iter().flatten() {
        let selector = selector(wanted);
        let others = all.iter().filter(|other| other.metadata.name != role.metadata.name);
        for other in others.filter(|other| selector.matches(&other.metadata.labels)) {
            for rule in other.rules.iter().flatten() {
                if !rules.contains(rule) {
                    rules.push(rule.clone());
                }
            }
        }
    }
    rules
}

fn apply(role: &ClusterRole, rules: &[PolicyRule]) -> Action {
    // The UID keeps it from creating a role that was deleted in the meantime.
    let object = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": role.metadata.name, "uid": role.metadata.uid}, "rules": rules
    });
    Action::Patch {
        resource: ResourceType::of::<ClusterRole>(),
        key: key_of(role),
        subresource: "",
        patch: Patch::Apply { object, field_manager: ClusterRoleAggregation::NAME.to_owned(), force: true },
    }
}
