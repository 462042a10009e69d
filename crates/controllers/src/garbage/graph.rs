//! Owners and their dependents.

use std::collections::{BTreeSet, HashMap};
use std::ops::Deref;
use std::sync::Arc;

use client::{Kin, ResourceType};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use object::Uid;

/// Blocks an owner's deletion until its dependents are gone.
pub(super) const FOREGROUND: &str = "foregroundDeletion";
/// Blocks an owner's deletion until its dependents no longer refer to it.
pub(super) const ORPHAN: &str = "orphan";

/// The known state of an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OwnerState {
    /// It exists.
    Solid,
    /// There is no such object.
    Absent,
    /// It is deleted when its dependents are gone.
    Waiting,
}

/// One object.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(super) resource: Arc<ResourceType>,
    pub(super) kin: Arc<Kin>,
}

impl Deref for Node {
    type Target = Kin;
    fn deref(&self) -> &Kin {
        &self.kin
    }
}

impl Node {
    /// Whether it is being deleted and waits for its dependents.
    pub(super) fn waits(&self) -> bool {
        self.deleting && self.is_held_by(FOREGROUND)
    }

    /// Whether it is being deleted and its dependents are to forget it.
    pub(super) fn orphans(&self) -> bool {
        self.deleting && self.is_held_by(ORPHAN)
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

    /// The state of an object's owner in the graph; `None` if the server must be asked.
    pub(super) fn owner_state(&self, owner: &OwnerReference, dependent: &Node) -> Option<OwnerState> {
        let node = self.nodes.get(&Uid::from(owner.uid.as_str()))?;
        // The reference must also be correct: an owner in another namespace does not count.
        let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
        let same_kind = node.resource.kind == owner.kind && node.resource.group == group;
        let same_place = node.key.namespace.is_none() || node.key.namespace == dependent.key.namespace;
        if !same_kind || !same_place || *node.key.name != *owner.name {
            return None;
        }
        Some(if node.waits() { OwnerState::Waiting } else { OwnerState::Solid })
    }

    /// Records an object's current state, and returns the objects that must be checked because of it.
    pub(super) fn put(&mut self, node: Node) -> Vec<Uid> {
        let uid = &node.uid.clone();
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
        if node.waits() || node.orphans() || (news && unsure) {
            concerned.push(uid.clone());
        }
        if node.waits() && old.is_none_or(|old| !old.waits()) {
            concerned.extend(self.dependents.get(uid).into_iter().flatten().cloned());
        }
        concerned
    }

    /// Removes an object, and returns the objects that must be checked because of it.
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
        self.nodes.get(uid).filter(|node| node.waits()).map(|_| uid.clone())
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
