//! Decides by roles and bindings (upstream: `plugin/pkg/auth/authorizer/rbac`).
//!
//! Roles and bindings are read from the watch cache and compiled into an index by subject, which is rebuilt when one of
//! them has changed; a decision looks only at the rules of the user and of the user's groups.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use k8s_openapi::api::rbac::v1::{
    ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject,
};
use object::{Versioned, quote};
use parking_lot::Mutex;

use super::attributes::{Attributes, Target};
use super::authorizer::{Authorizer, Decision, Reply, Rules, aggregate};
use super::rules::{allows_path, allows_resource};
use crate::cache::Collection;
use crate::user::User;

/// Decides by roles and bindings.
pub struct Rbac {
    roles: Arc<Collection>,
    cluster_roles: Arc<Collection>,
    bindings: Arc<Collection>,
    cluster_bindings: Arc<Collection>,
    index: ArcSwap<Index>,
    /// Held while the index is built, so that it is built once.
    making: Mutex<()>,
}

/// The rules of a role that is bound, or the message that it does not exist.
type Bound = Result<Arc<[PolicyRule]>, Arc<str>>;

/// The rights that a binding gives to one subject.
#[derive(Clone)]
struct Grant {
    /// The namespace; `None` for all.
    namespace: Option<Arc<str>>,
    /// The rules.
    rules: Bound,
    /// The reason in decisions.
    reason: Arc<str>,
}

#[derive(Default)]
struct Index {
    /// The generations of the collections from which it was built.
    generations: [u64; 4],
    users: HashMap<String, Vec<Grant>>,
    groups: HashMap<String, Vec<Grant>>,
}

impl Rbac {
    /// An authorizer over the collections of roles and bindings.
    pub fn new(
        roles: Arc<Collection>,
        cluster_roles: Arc<Collection>,
        bindings: Arc<Collection>,
        cluster_bindings: Arc<Collection>,
    ) -> Rbac {
        Rbac {
            roles,
            cluster_roles,
            bindings,
            cluster_bindings,
            index: ArcSwap::default(),
            making: Mutex::new(()),
        }
    }

    fn decide(&self, what: &Attributes<'_>) -> Decision {
        let namespace = match what.target {
            Target::Resource { namespace, .. } => namespace,
            Target::Path(_) => "",
        };
        let index = self.index();
        let mut missing: Vec<&str> = Vec::new();
        for grant in grants(&index, what.user) {
            if grant.namespace.as_deref().is_some_and(|own| own.is_empty() || own != namespace) {
                continue;
            }
            match &grant.rules {
                Ok(rules) if rules.iter().any(|rule| allows(rule, what, grant.namespace.is_some())) => {
                    return Decision::Allow(Arc::clone(&grant.reason));
                }
                Ok(_) => {}
                Err(absent) => missing.push(absent),
            }
        }
        if missing.is_empty() {
            return Decision::NoOpinion(Arc::default());
        }
        Decision::NoOpinion(format!("RBAC: {}", aggregate(missing)).into())
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

    fn generations(&self) -> [u64; 4] {
        [&self.roles, &self.cluster_roles, &self.bindings, &self.cluster_bindings].map(|c| c.generation())
    }

    fn index(&self) -> Arc<Index> {
        let index = self.index.load_full();
        if index.generations == self.generations() {
            return index;
        }
        let _made_once = self.making.lock();
        let generations = self.generations();
        let index = self.index.load_full();
        if index.generations == generations {
            return index;
        }
        let made = Arc::new(self.make_index(generations));
        self.index.store(Arc::clone(&made));
        made
    }

    fn make_index(&self, generations: [u64; 4]) -> Index {
        let mut index = Index { generations, ..Index::default() };
        let mut known: HashMap<(String, String), Bound> = HashMap::new();
        let mut rules_of = |reference: &RoleRef, namespace: &str| {
            let home = if reference.kind == "ClusterRole" { "" } else { namespace };
            let key = (home.to_owned(), reference.name.clone());
            let find =
                || self.rules_of_role(reference, namespace).map(Arc::from).ok_or_else(|| absent(reference));
            known.entry(key).or_insert_with(find).clone()
        };
        for binding in typed::<ClusterRoleBinding>(&self.cluster_bindings) {
            let name = binding.metadata.name.as_deref().unwrap_or_default();
            let role = &binding.role_ref;
            let title = format!("ClusterRoleBinding {} of {} {}", quote(name), role.kind, quote(&role.name));
            index.add(binding.subjects.as_deref(), None, &rules_of(role, ""), &title);
        }
        for binding in typed::<RoleBinding>(&self.bindings) {
            let name = binding.metadata.name.as_deref().unwrap_or_default();
            let namespace = binding.metadata.namespace.as_deref().unwrap_or_default();
            let role = &binding.role_ref;
            let place = quote(&format!("{name}/{namespace}"));
            let title = format!("RoleBinding {place} of {} {}", role.kind, quote(&role.name));
            let rules = rules_of(role, namespace);
            index.add(binding.subjects.as_deref(), Some(namespace.into()), &rules, &title);
        }
        index
    }
}

/// The message about a bound role that does not exist.
fn absent(reference: &RoleRef) -> Arc<str> {
    let kind = reference.kind.to_lowercase();
    format!("{kind}.rbac.authorization.k8s.io {} not found", quote(&reference.name)).into()
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
        for grant in grants(&index, user) {
            if grant.namespace.as_deref().is_some_and(|own| own != namespace) {
                continue;
            }
            match &grant.rules {
                Ok(rules) => all.rules.extend(rules.iter().cloned()),
                Err(absent) => all.errors.push(Arc::clone(absent)),
            }
        }
        all
    }
}

impl Index {
    fn add(
        &mut self,
        subjects: Option<&[Subject]>,
        namespace: Option<Arc<str>>,
        rules: &Bound,
        binding: &str,
    ) {
        for subject in subjects.unwrap_or_default() {
            let home = subject.namespace.as_deref().or(namespace.as_deref()).unwrap_or_default();
            let (to, key, title) = match subject.kind.as_str() {
                "User" => (&mut self.users, subject.name.clone(), subject.name.clone()),
                "Group" => (&mut self.groups, subject.name.clone(), subject.name.clone()),
                "ServiceAccount" => {
                    let user = format!("system:serviceaccount:{home}:{}", subject.name);
                    (&mut self.users, user, format!("{}/{home}", subject.name))
                }
                _ => continue,
            };
            let (namespace, rules) = (namespace.clone(), rules.clone());
            let reason = format!("RBAC: allowed by {binding} to {} {}", subject.kind, quote(&title)).into();
            to.entry(key).or_default().push(Grant { namespace, rules, reason });
        }
    }
}

fn grants<'i>(index: &'i Index, user: &'i User) -> impl Iterator<Item = &'i Grant> {
    let groups = user.groups.iter().filter_map(|group| index.groups.get(group));
    index.users.get(&user.name).into_iter().chain(groups).flatten()
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

fn typed<T: serde::de::DeserializeOwned + Send + Sync + 'static>(collection: &Collection) -> Vec<Arc<T>> {
    let objects = collection.objects();
    let decode = |object: &Versioned| match object.typed::<T>() {
        Ok(typed) => Some(typed),
        Err(error) => {
            let error: &(dyn std::error::Error + 'static) = &error;
            tracing::warn!(object = %object.key(), error, "a stored role or binding cannot be read and grants nothing");
            None
        }
    };
    objects.values().filter_map(decode).collect()
}
