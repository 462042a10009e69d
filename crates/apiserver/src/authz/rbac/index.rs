//! Who is granted what, by subject.
//!
//! The work for a change grows with the changed object, not with the number of roles and bindings: whoever may write
//! bindings in a namespace can write many and change one of them often, and every request waits for the index.

use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::api::rbac::v1::{
    ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject,
};
use object::{Versioned, quote};

use crate::authz::follow::{Position, Seen};
use crate::cache::{ChangeKind, Collection};
use crate::user::User;

/// The name of a role or a binding: its namespace, empty for those of the cluster, and its own.
pub(super) type Name = (Arc<str>, Arc<str>);

/// A binding, without its subjects.
pub(super) struct Binding {
    name: Name,
    pub(super) role: Name,
    /// The message if the role does not exist.
    pub(super) absent: Arc<str>,
}

impl Binding {
    /// Whether it grants rights in one namespace only.
    pub(super) fn is_namespaced(&self) -> bool {
        !self.name.0.is_empty()
    }
}

/// The rights that a binding gives to one subject.
pub(super) struct Grant {
    pub(super) binding: Arc<Binding>,
    /// The reason in decisions.
    pub(super) reason: Arc<str>,
}

/// A subject as requests show it.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Holder {
    User(Arc<str>),
    Group(Arc<str>),
}

/// A binding with its subjects.
struct Bound {
    binding: Arc<Binding>,
    holders: HashMap<Holder, Arc<str>>,
}

/// One of the collections that are followed.
#[derive(Clone, Copy)]
enum Part {
    ClusterRoles,
    Roles,
    ClusterBindings,
    Bindings,
}

const PARTS: [Part; 4] = [Part::ClusterRoles, Part::Roles, Part::ClusterBindings, Part::Bindings];

/// The grants in one namespace, or those in the whole cluster; those of one subject in the order of their bindings.
#[derive(Default)]
struct Space {
    users: HashMap<Arc<str>, Vec<Grant>>,
    groups: HashMap<Arc<str>, Vec<Grant>>,
}

/// All grants. They are kept by namespace, so that bindings in one, however many, cost nothing in the others.
#[derive(Default)]
pub(super) struct Index {
    /// How far the collections have been followed.
    positions: [Position; 4],
    rules: HashMap<Name, Arc<[PolicyRule]>>,
    bindings: HashMap<Name, Bound>,
    /// By namespace; empty for the whole cluster.
    spaces: HashMap<Arc<str>, Space>,
}

impl Space {
    /// Where the grants of a subject are, and the subject's name.
    fn of<'n>(&mut self, holder: &'n Holder) -> (&mut HashMap<Arc<str>, Vec<Grant>>, &'n Arc<str>) {
        match holder {
            Holder::User(name) => (&mut self.users, name),
            Holder::Group(name) => (&mut self.groups, name),
        }
    }
}

impl Index {
    /// Whether it has everything of the cluster's roles, the roles, the cluster's bindings and the bindings.
    pub(super) fn is_current(&self, collections: [&Collection; 4]) -> bool {
        self.positions.iter().zip(collections).all(|(position, collection)| position.is_current(collection))
    }

    /// Takes in what has changed.
    pub(super) fn follow(&mut self, collections: [&Collection; 4]) {
        for (index, (part, collection)) in PARTS.into_iter().zip(collections).enumerate() {
            match self.positions[index].follow(collection) {
                Seen::Changes(changes) => {
                    for change in changes {
                        self.set(part, &change.object, change.kind != ChangeKind::Deleted);
                    }
                }
                Seen::All(objects) => {
                    self.forget(part);
                    objects.values().for_each(|object| self.set(part, object, true));
                }
            }
        }
    }

    /// Takes in one object, or its deletion.
    fn set(&mut self, part: Part, object: &Versioned, exists: bool) {
        let name = name_of(object);
        let object = exists.then_some(object);
        match part {
            Part::ClusterRoles => {
                let role = object.and_then(typed::<ClusterRole>);
                self.set_rules(name, role.map(|role| role.rules.clone()));
            }
            Part::Roles => {
                let role = object.and_then(typed::<Role>);
                self.set_rules(name, role.map(|role| role.rules.clone()));
            }
            Part::ClusterBindings => {
                let typed = object.and_then(typed::<ClusterRoleBinding>);
                let new = typed.map(|it| bound(&name, &it.role_ref, it.subjects.as_deref()));
                self.set_binding(&name, new);
            }
            Part::Bindings => {
                let typed = object.and_then(typed::<RoleBinding>);
                let new = typed.map(|it| bound(&name, &it.role_ref, it.subjects.as_deref()));
                self.set_binding(&name, new);
            }
        }
    }

    /// Forgets everything that one of the collections had.
    fn forget(&mut self, part: Part) {
        let is_of_cluster = matches!(part, Part::ClusterRoles | Part::ClusterBindings);
        let is_part = |name: &Name| name.0.is_empty() == is_of_cluster;
        if matches!(part, Part::ClusterRoles | Part::Roles) {
            self.rules.retain(|name, _| !is_part(name));
            return;
        }
        let gone: Vec<Name> = self.bindings.keys().filter(|name| is_part(name)).cloned().collect();
        gone.iter().for_each(|name| self.set_binding(name, None));
    }

    fn set_rules(&mut self, name: Name, rules: Option<Option<Vec<PolicyRule>>>) {
        match rules {
            Some(rules) => drop(self.rules.insert(name, rules.unwrap_or_default().into())),
            None => drop(self.rules.remove(&name)),
        }
    }

    fn set_binding(&mut self, name: &Name, new: Option<Bound>) {
        let old = self.bindings.remove(name);
        // Subjects that keep their grant cost nothing: there may be very many.
        let has = |bound: Option<&Bound>, of: &Bound, holder: &Holder| {
            bound.is_some_and(|bound| {
                bound.binding.role == of.binding.role && bound.holders.get(holder) == of.holders.get(holder)
            })
        };
        if let Some(bound) = &old {
            let gone = bound.holders.keys().filter(|holder| !has(new.as_ref(), bound, holder));
            gone.for_each(|holder| self.withdraw(holder, name));
        }
        let Some(new) = new else { return };
        for (holder, reason) in &new.holders {
            if !has(old.as_ref(), &new, holder) {
                self.give(holder, Grant { binding: Arc::clone(&new.binding), reason: Arc::clone(reason) });
            }
        }
        self.bindings.insert(name.clone(), new);
    }

    fn give(&mut self, holder: &Holder, grant: Grant) {
        let space = self.spaces.entry(Arc::clone(&grant.binding.name.0)).or_default();
        let (all, who) = space.of(holder);
        let grants = all.entry(Arc::clone(who)).or_default();
        let place = grants.partition_point(|other| other.binding.name < grant.binding.name);
        grants.insert(place, grant);
    }

    fn withdraw(&mut self, holder: &Holder, binding: &Name) {
        let Some(space) = self.spaces.get_mut(&binding.0) else { return };
        let (all, who) = space.of(holder);
        let Some(grants) = all.get_mut(who) else { return };
        if let Ok(place) = grants.binary_search_by(|grant| grant.binding.name.cmp(binding)) {
            grants.remove(place);
        }
        if grants.is_empty() {
            all.remove(who);
        }
        if space.users.is_empty() && space.groups.is_empty() {
            self.spaces.remove(&binding.0);
        }
    }

    /// The grants of a user and of the user's groups in the whole cluster, then those in a namespace unless it is empty.
    pub(super) fn grants<'i>(
        &'i self,
        user: &'i User,
        namespace: &'i str,
    ) -> impl Iterator<Item = &'i Grant> {
        let homes = std::iter::once("").chain(Some(namespace).filter(|namespace| !namespace.is_empty()));
        homes.filter_map(|home| self.spaces.get(home)).flat_map(|space| {
            let groups = user.groups.iter().filter_map(|group| space.groups.get(group.as_str()));
            space.users.get(user.name.as_str()).into_iter().chain(groups).flatten()
        })
    }

    /// The rules of a grant; `None` if its role does not exist.
    pub(super) fn rules(&self, grant: &Grant) -> Option<&[PolicyRule]> {
        self.rules.get(&grant.binding.role).map(|rules| &**rules)
    }
}

fn name_of(object: &Versioned) -> Name {
    (object.namespace().into(), object.name().into())
}

fn bound(name: &Name, role: &RoleRef, subjects: Option<&[Subject]>) -> Bound {
    let (namespace, own) = name;
    let of_role = format!("of {} {}", role.kind, quote(&role.name));
    let title = match &**namespace {
        "" => format!("ClusterRoleBinding {} {of_role}", quote(own)),
        namespace => format!("RoleBinding {} {of_role}", quote(&format!("{own}/{namespace}"))),
    };
    let home = if role.kind == "ClusterRole" { Arc::default() } else { Arc::clone(namespace) };
    let kind = role.kind.to_lowercase();
    let absent = format!("{kind}.rbac.authorization.k8s.io {} not found", quote(&role.name)).into();
    let binding = Binding { name: name.clone(), role: (home, role.name.as_str().into()), absent };
    let mut holders = HashMap::new();
    for subject in subjects.unwrap_or_default() {
        let home = subject.namespace.as_deref().unwrap_or(namespace);
        let (holder, shown) = match subject.kind.as_str() {
            "User" => (Holder::User(subject.name.as_str().into()), subject.name.clone()),
            "Group" => (Holder::Group(subject.name.as_str().into()), subject.name.clone()),
            "ServiceAccount" => {
                let user = format!("system:serviceaccount:{home}:{}", subject.name);
                (Holder::User(user.into()), format!("{}/{home}", subject.name))
            }
            _ => continue,
        };
        let reason = || format!("RBAC: allowed by {title} to {} {}", subject.kind, quote(&shown)).into();
        holders.entry(holder).or_insert_with(reason);
    }
    Bound { binding: Arc::new(binding), holders }
}

fn typed<T: serde::de::DeserializeOwned + Send + Sync + 'static>(object: &Versioned) -> Option<Arc<T>> {
    object
        .typed::<T>()
        .inspect_err(|error| {
            let error: &(dyn std::error::Error + 'static) = error;
            tracing::warn!(object = %object.key(), error, "a stored role or binding cannot be read and grants nothing");
        })
        .ok()
}
