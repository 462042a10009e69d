//! Authorization, which is always on. Nodes are authorized by the needs of their pods ([`node`]), and all users by
//! roles.
//!
//! Roles and bindings are read from the watch cache and compiled into an index by subject, which is rebuilt when one of
//! them has changed; a decision looks only at the rules of the user and of the user's groups.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use k8s_openapi::api::rbac::v1::{
    ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject,
};
use object::{FieldSelector, Status, Versioned, quote};
use parking_lot::Mutex;

use crate::cache::{Collection, Hub};
use crate::request::RequestInfo;
use crate::user::{GROUP_MASTERS, User};

mod coverage;
pub mod node;
mod rules;
#[cfg(test)]
mod tests;

pub(crate) use coverage::{TooLarge, describe, missing, quote_all};
pub use node::{NodeAuthorizer, NodeCollections};
pub use rules::{allows_path, allows_resource};

/// What somebody wants to do.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a> {
    /// The verb.
    pub verb: &'a str,
    /// The target.
    pub target: Target<'a>,
    /// Which objects of a collection are asked for: the very selector that the collection obeys.
    pub fields: Option<&'a FieldSelector>,
}

impl<'a> Attributes<'a> {
    /// A verb on a target.
    pub fn new(verb: &'a str, target: Target<'a>) -> Attributes<'a> {
        Attributes { verb, target, fields: None }
    }
}

/// What a verb is about.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// A resource.
    Resource {
        /// The group.
        group: &'a str,
        /// The plural name.
        resource: &'a str,
        /// The subresource, or nothing.
        subresource: &'a str,
        /// The namespace, or nothing.
        namespace: &'a str,
        /// The object's name, or nothing.
        name: &'a str,
    },
    /// Any other path.
    Path(&'a str),
}

impl<'a> From<&'a RequestInfo> for Attributes<'a> {
    fn from(info: &'a RequestInfo) -> Attributes<'a> {
        let target = if info.is_resource {
            Target::Resource {
                group: &info.group,
                resource: &info.resource,
                subresource: &info.subresource,
                namespace: &info.namespace,
                name: &info.name,
            }
        } else {
            Target::Path(&info.path)
        };
        Attributes { fields: info.authorized_fields(), ..Attributes::new(&info.verb, target) }
    }
}

/// A decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Yes, because of this.
    Allowed(String),
    /// No rule says yes; why, where there is something to say.
    NoOpinion(String),
}

impl Decision {
    /// Whether it is a yes.
    pub fn is_allowed(&self) -> bool {
        matches!(self, Decision::Allowed(_))
    }
}

/// Decides: for nodes by what their pods need, then for everybody by roles.
pub struct Authorizer {
    /// Decides for nodes.
    pub node: NodeAuthorizer,
    /// Decides by roles.
    pub rbac: Rbac,
}

impl Authorizer {
    /// Whether the user may.
    pub fn authorize(&self, user: &User, what: &Attributes<'_>) -> Decision {
        let by_node = self.node.authorize(user, what);
        let Decision::NoOpinion(why) = by_node else { return by_node };
        match self.rbac.authorize(user, what) {
            Decision::NoOpinion(other) if other.is_empty() => Decision::NoOpinion(why),
            by_roles => by_roles,
        }
    }

    /// Whether the user may do this for a signer of certificates: for itself, or for all of its domain.
    pub fn may_for_signer(&self, user: &User, verb: &str, signer: &str) -> bool {
        let domain = format!("{}/*", signer.split('/').next().unwrap_or_default());
        [signer, &domain].into_iter().any(|name| {
            let (group, resource) = ("certificates.k8s.io", "signers");
            let target = Target::Resource { group, resource, subresource: "", namespace: "", name };
            self.authorize(user, &Attributes::new(verb, target)).is_allowed()
        })
    }

    /// Refuses what nobody allows the user.
    ///
    /// # Errors
    /// 403 in upstream's words.
    pub fn demand(&self, user: &User, what: &Attributes<'_>) -> Result<(), Status> {
        match self.authorize(user, what) {
            Decision::Allowed(_) => Ok(()),
            Decision::NoOpinion(reason) => Err(refusal(user, what, &reason)),
        }
    }
}

/// The answer to a request that nobody allows (upstream: `responsewriters.ForbiddenStatusError`).
fn refusal(user: &User, what: &Attributes<'_>, reason: &str) -> Status {
    let (user, verb) = (quote(&user.name), what.verb);
    let (why, group, resource, name) = match what.target {
        // Upstream names the empty group and resource of a path, which come out as this.
        Target::Path(path) => (format!("User {user} cannot {verb} path {}", quote(path)), "", "", ""),
        Target::Resource { group, resource, subresource, namespace, name } => {
            let part = if subresource.is_empty() { String::new() } else { format!("/{subresource}") };
            let place = match namespace {
                "" => "at the cluster scope".to_owned(),
                namespace => format!("in the namespace {}", quote(namespace)),
            };
            let (whole, in_group) = (quote(&format!("{resource}{part}")), quote(group));
            let why = format!("User {user} cannot {verb} resource {whole} in API group {in_group} {place}");
            (why, group, resource, name)
        }
    };
    // A browser that shows the answer as a page must find no tags in it.
    let mut why = why.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    if !reason.is_empty() {
        why.push_str(": ");
        why.push_str(reason);
    }
    Status::forbidden(group, resource, name, &why)
}

/// Decides by roles and bindings.
pub struct Rbac {
    hub: Arc<Hub>,
    roles: Arc<Collection>,
    cluster_roles: Arc<Collection>,
    bindings: Arc<Collection>,
    cluster_bindings: Arc<Collection>,
    index: ArcSwap<Index>,
    /// Held while the index is made, so that it is made once.
    making: Mutex<()>,
}

/// What a binding gives to one subject.
#[derive(Clone)]
struct Grant {
    /// Where it holds; everywhere if none.
    namespace: Option<Arc<str>>,
    /// What it allows.
    rules: Arc<[PolicyRule]>,
    /// For the reason of a decision.
    binding: Arc<str>,
}

#[derive(Default)]
struct Index {
    /// The generations of the collections it was made of.
    generations: [u64; 4],
    users: HashMap<String, Vec<Grant>>,
    groups: HashMap<String, Vec<Grant>>,
}

impl Rbac {
    /// An authorizer over the collections of roles and bindings.
    pub fn new(
        hub: Arc<Hub>,
        roles: Arc<Collection>,
        cluster_roles: Arc<Collection>,
        bindings: Arc<Collection>,
        cluster_bindings: Arc<Collection>,
    ) -> Rbac {
        Rbac {
            hub,
            roles,
            cluster_roles,
            bindings,
            cluster_bindings,
            index: ArcSwap::default(),
            making: Mutex::new(()),
        }
    }

    /// Whether the user may.
    pub fn authorize(&self, user: &User, what: &Attributes<'_>) -> Decision {
        if user.in_group(GROUP_MASTERS) {
            return Decision::Allowed(String::new());
        }
        let namespace = match what.target {
            Target::Resource { namespace, .. } => namespace,
            Target::Path(_) => "",
        };
        let index = self.index();
        let granted = grants(&index, user)
            .filter(|grant| grant.namespace.as_deref().is_none_or(|ns| !ns.is_empty() && ns == namespace))
            .find(|grant| grant.rules.iter().any(|rule| allows(rule, what, grant.namespace.is_some())));
        match granted {
            Some(grant) => Decision::Allowed(format!("RBAC: allowed by {}", grant.binding)),
            None => Decision::NoOpinion(String::new()),
        }
    }

    /// All rules of a user in a namespace, for `SelfSubjectRulesReview` and for the check against escalation.
    pub fn rules_of(&self, user: &User, namespace: &str) -> Vec<PolicyRule> {
        let index = self.index();
        grants(&index, user)
            .filter(|grant| grant.namespace.as_deref().is_none_or(|ns| ns == namespace))
            .flat_map(|grant| grant.rules.iter().cloned())
            .collect()
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
        let mut rules: HashMap<(String, String), Arc<[PolicyRule]>> = HashMap::new();
        let mut rules_of = |reference: &RoleRef, namespace: &str| -> Option<Arc<[PolicyRule]>> {
            let home = if reference.kind == "ClusterRole" { "" } else { namespace };
            let key = (home.to_owned(), reference.name.clone());
            if let Some(known) = rules.get(&key) {
                return Some(Arc::clone(known));
            }
            let found: Arc<[PolicyRule]> = self.rules_of_role(reference, namespace)?.into();
            rules.insert(key, Arc::clone(&found));
            Some(found)
        };
        for binding in typed::<ClusterRoleBinding>(&self.cluster_bindings, &self.hub) {
            let name = binding.metadata.name.as_deref().unwrap_or_default();
            let Some(rules) = rules_of(&binding.role_ref, "") else { continue };
            let label = format!(
                "ClusterRoleBinding {name:?} of {} {:?}",
                binding.role_ref.kind, binding.role_ref.name
            );
            index.add(binding.subjects.as_deref(), None, rules, label.into());
        }
        for binding in typed::<RoleBinding>(&self.bindings, &self.hub) {
            let name = binding.metadata.name.as_deref().unwrap_or_default();
            let namespace = binding.metadata.namespace.as_deref().unwrap_or_default();
            let Some(rules) = rules_of(&binding.role_ref, namespace) else { continue };
            let label = format!(
                "RoleBinding \"{name}/{namespace}\" of {} {:?}",
                binding.role_ref.kind, binding.role_ref.name
            );
            index.add(binding.subjects.as_deref(), Some(namespace.into()), rules, label.into());
        }
        index
    }
}

impl Index {
    fn add(
        &mut self,
        subjects: Option<&[Subject]>,
        namespace: Option<Arc<str>>,
        rules: Arc<[PolicyRule]>,
        binding: Arc<str>,
    ) {
        for subject in subjects.unwrap_or_default() {
            let grant = Grant {
                namespace: namespace.clone(),
                rules: Arc::clone(&rules),
                binding: Arc::clone(&binding),
            };
            match subject.kind.as_str() {
                "User" => self.users.entry(subject.name.clone()).or_default().push(grant),
                "Group" => self.groups.entry(subject.name.clone()).or_default().push(grant),
                "ServiceAccount" => {
                    let home = subject.namespace.as_deref().or(namespace.as_deref()).unwrap_or_default();
                    let user = format!("system:serviceaccount:{home}:{}", subject.name);
                    self.users.entry(user).or_default().push(grant);
                }
                _ => {}
            }
        }
    }
}

fn grants<'i>(index: &'i Index, user: &User) -> impl Iterator<Item = &'i Grant> {
    let own = index.users.get(&user.name).into_iter();
    let groups: Vec<_> = user.groups.iter().filter_map(|group| index.groups.get(group)).collect();
    own.chain(groups).flatten()
}

fn allows(rule: &PolicyRule, what: &Attributes<'_>, namespaced: bool) -> bool {
    match what.target {
        Target::Resource { group, resource, subresource, name, .. } => {
            allows_resource(rule, what.verb, group, resource, subresource, name)
        }
        // Rules of a namespace never speak of paths.
        Target::Path(path) => !namespaced && allows_path(rule, what.verb, path),
    }
}

fn typed<T: serde::de::DeserializeOwned + Send + Sync + 'static>(
    collection: &Collection,
    hub: &Hub,
) -> Vec<Arc<T>> {
    let objects = collection.snapshot(hub).objects;
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
