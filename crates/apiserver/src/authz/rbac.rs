//! Decides by roles and bindings (upstream: `plugin/pkg/auth/authorizer/rbac`).
//!
//! Roles and bindings are compiled into an [index](Index) by subject, which follows the watch cache: before a decision it
//! takes in what has changed since the last one. A decision looks only at the rules of the user and of the user's groups.

use std::collections::HashSet;
use std::sync::Arc;

use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role, RoleRef};
use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use self::index::Index;
use super::attributes::{Attributes, Target};
use super::authorizer::{Authorizer, Decision, Reply, Rules, aggregate};
use super::rules::{allows_path, allows_resource};
use crate::cache::Collection;
use crate::user::User;

mod index;

/// How many bound roles that do not exist a refusal names.
const ABSENT_MAX: usize = 100;

/// Decides by roles and bindings.
pub struct Rbac {
    roles: Arc<Collection>,
    cluster_roles: Arc<Collection>,
    bindings: Arc<Collection>,
    cluster_bindings: Arc<Collection>,
    index: RwLock<Index>,
}

impl Rbac {
    /// An authorizer over the collections of roles and bindings.
    pub fn new(
        roles: Arc<Collection>,
        cluster_roles: Arc<Collection>,
        bindings: Arc<Collection>,
        cluster_bindings: Arc<Collection>,
    ) -> Rbac {
        Rbac { roles, cluster_roles, bindings, cluster_bindings, index: RwLock::default() }
    }

    fn decide(&self, what: &Attributes<'_>) -> Decision {
        let namespace = match what.target {
            Target::Resource { namespace, .. } => namespace,
            Target::Path(_) => "",
        };
        let index = self.index();
        let mut missing: Vec<&str> = Vec::new();
        for grant in index.grants(what.user, namespace) {
            let is_namespaced = grant.binding.is_namespaced();
            match index.rules(grant) {
                Some(rules) if rules.iter().any(|rule| allows(rule, what, is_namespaced)) => {
                    return Decision::Allow(Arc::clone(&grant.reason));
                }
                Some(_) => {}
                None if missing.len() < ABSENT_MAX => missing.push(&grant.binding.absent),
                None => {}
            }
        }
        if missing.is_empty() {
            return Decision::NoOpinion(Arc::default());
        }
        Decision::NoOpinion(format!("RBAC: {}", aggregate(missing)).into())
    }

    /// The index with everything that the cache has.
    fn index(&self) -> RwLockReadGuard<'_, Index> {
        let collections = [&*self.cluster_roles, &*self.roles, &*self.cluster_bindings, &*self.bindings];
        let index = self.index.read();
        if index.is_current(collections) {
            return index;
        }
        drop(index);
        let mut index = self.index.write();
        index.follow(collections);
        RwLockWriteGuard::downgrade(index)
    }

    /// The rules of the role that a binding in `namespace` refers to.
    pub fn rules_of_role(&self, reference: &RoleRef, namespace: &str) -> Option<Vec<PolicyRule>> {
        let found = match reference.kind.as_str() {
            "ClusterRole" => {
                self.cluster_roles.get("", &reference.name)?.typed::<ClusterRole>().ok()?.rules.clone()
            }
            _ => self.roles.get(namespace, &reference.name)?.typed::<Role>().ok()?.rules.clone(),
        };
        Some(found.unwrap_or_default())
    }
}

impl Authorizer for Rbac {
    fn kind(&self) -> &'static str {
        "RBAC"
    }

    fn authorize<'a>(&'a self, what: &'a Attributes<'a>) -> Reply<'a> {
        Reply::Now(self.decide(what))
    }

    fn rules_of(&self, user: &User, namespace: &str) -> Rules {
        let index = self.index();
        let mut all = Rules::default();
        // A role may be bound very often.
        let mut seen = HashSet::new();
        for grant in index.grants(user, namespace).filter(|grant| seen.insert(&grant.binding.role)) {
            match index.rules(grant) {
                Some(rules) => all.rules.extend(rules.iter().cloned()),
                None => all.errors.push(Arc::clone(&grant.binding.absent)),
            }
        }
        all
    }
}

fn allows(rule: &PolicyRule, what: &Attributes<'_>, namespaced: bool) -> bool {
    match what.target {
        Target::Resource { group, resource, subresource, name, .. } => {
            allows_resource(rule, what.verb, group, resource, subresource, name)
        }
        // Rules of a namespace never apply to paths.
        Target::Path(path) => !namespaced && allows_path(rule, what.verb, path),
    }
}
