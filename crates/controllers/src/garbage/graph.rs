//! Who owns whom.

use std::collections::{BTreeSet, HashMap};

use client::ResourceType;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use object::{ObjectKey, Uid};

/// Holds an owner until its dependents are gone.
pub(super) const FOREGROUND: &str = "foregroundDeletion";
/// Holds an owner until its dependents have forgotten it.
pub(super) const ORPHAN: &str = "orphan";

/// What is known of an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OwnerState {
    /// It is there.
    Solid,
    /// There is no such object.
    Absent,
    /// It goes when its dependents are gone.
    Waiting,
}

/// One object.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(super) resource: ResourceType,
    pub(super) key: ObjectKey,
    pub(super) resource_version: Option<String>,
    pub(super) owners: Vec<OwnerReference>,
    /// It is being deleted.
    pub(super) deleting: bool,
    /// ... and waits for its dependents.
    pub(super) foreground: bool,
    /// ... and its dependents are to forget it.
    pub(super) orphaning: bool,
}

impl Node {
    pub(super) fn new(resource: ResourceType, meta: &ObjectMeta) -> Node {
        let deleting = meta.deletion_timestamp.is_some();
        let held_by =
            |name: &str| deleting && meta.finalizers.iter().flatten().any(|finalizer| finalizer == name);
        Node {
            resource,
            key: client::meta_key(meta),
            resource_version: meta.resource_version.clone(),
            owners: meta.owner_references.clone().unwrap_or_default(),
            deleting,
            foreground: held_by(FOREGROUND),
            orphaning: held_by(ORPHAN),
        }
    }

    /// Whether the owner must wait for this one.
    pub(super) fn blocks(&self, owner: &Uid) -> bool {
        self.owners.iter().any(|o| o.uid == owner.as_str() && o.block_owner_deletion == Some(true))
    }

    fn owner_uids(&self) -> impl Iterator<Item = Uid> {
        self.owners.iter().map(|owner| Uid::from(owner.uid.as_str()))
    }
}

/// All objects, by UID.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    nodes: HashMap<Uid, Node>,
    /// Also of owners that are not (yet) known.
    dependents: HashMap<Uid, BTreeSet<Uid>>,
}

impl Graph {
    pub(super) fn get(&self, uid: &Uid) -> Option<&Node> {
        self.nodes.get(uid)
    }

    /// The dependents of an object.
    pub(super) fn dependents(&self, owner: &Uid) -> impl Iterator<Item = &Node> {
        self.dependents.get(owner).into_iter().flatten().filter_map(|uid| self.nodes.get(uid))
    }

    /// What the graph knows of an object's owner; `None` if it must be asked for.
    pub(super) fn owner_state(&self, owner: &OwnerReference, dependent: &Node) -> Option<OwnerState> {
        let node = self.nodes.get(&Uid::from(owner.uid.as_str()))?;
        // The reference must also name it rightly: an owner in another namespace is none.
        let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
        let same_kind = node.resource.kind == owner.kind && node.resource.group == group;
        let same_place = node.key.namespace.is_none() || node.key.namespace == dependent.key.namespace;
        if !same_kind || !same_place || *node.key.name != *owner.name {
            return None;
        }
        Some(if node.foreground { OwnerState::Waiting } else { OwnerState::Solid })
    }

    /// Takes in an object's present state, and returns the objects that must be looked at for it.
    pub(super) fn put(&mut self, uid: &Uid, node: Node) -> Vec<Uid> {
        let mut concerned = Vec::new();
        let owners: BTreeSet<Uid> = node.owner_uids().collect();
        let old = self.nodes.insert(uid.clone(), node.clone());
        if let Some(old) = &old {
            for owner in old.owner_uids() {
                if !owners.contains(&owner) {
                    self.forget_dependent(&owner, uid);
                }
                // It may have blocked the owner until now.
                if old.blocks(&owner) && !node.blocks(&owner) {
                    concerned.extend(self.waiting(&owner));
                }
            }
        }
        for owner in owners {
            self.dependents.entry(owner).or_default().insert(uid.clone());
        }
        let news = old.as_ref().is_none_or(|old| old.owners != node.owners || old.deleting != node.deleting);
        let unsure =
            node.owners.iter().any(|owner| self.owner_state(owner, &node) != Some(OwnerState::Solid));
        if node.foreground || node.orphaning || (news && unsure) {
            concerned.push(uid.clone());
        }
        if node.foreground && old.is_none_or(|old| !old.foreground) {
            concerned.extend(self.dependents.get(uid).into_iter().flatten().cloned());
        }
        concerned
    }

    /// Takes an object out, and returns the objects that must be looked at for it.
    pub(super) fn remove(&mut self, uid: &Uid) -> Vec<Uid> {
        let Some(node) = self.nodes.remove(uid) else { return Vec::new() };
        let mut concerned: Vec<Uid> = self.dependents.get(uid).into_iter().flatten().cloned().collect();
        for owner in node.owner_uids() {
            self.forget_dependent(&owner, uid);
            concerned.extend(self.waiting(&owner));
        }
        concerned
    }

    /// The object if it waits for its dependents.
    fn waiting(&self, uid: &Uid) -> Option<Uid> {
        self.nodes.get(uid).filter(|node| node.foreground).map(|_| uid.clone())
    }

    fn forget_dependent(&mut self, owner: &Uid, dependent: &Uid) {
        if let Some(dependents) = self.dependents.get_mut(owner) {
            dependents.remove(dependent);
            if dependents.is_empty() {
                self.dependents.remove(owner);
            }
        }
    }
}
