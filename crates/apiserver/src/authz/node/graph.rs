//! Which objects each node may reach, through the pods on it.
//!
//! The graph is updated before each query, from the changes that the watch cache has seen since the last one. So a node
//! that has seen a pod may read the pod's objects at once, and no query scans all pods.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;

use super::references::{Kind, Reference, of_persistent_volume, of_pod};
use crate::authz::follow::{Position, Seen};
use crate::cache::{Change, ChangeKind, Collection};

/// The graph.
pub(super) struct Graph {
    pods: Arc<Collection>,
    volumes: Arc<Collection>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// How far the collections have been followed.
    pods_read: Position,
    volumes_read: Position,
    pods: HashMap<Box<str>, (String, Vec<Reference>)>,
    /// The nodes with access to an object, each with the number of its pods that refer to it.
    nodes: HashMap<Reference, HashMap<String, usize>>,
    volumes: HashMap<Box<str>, (Reference, Vec<Reference>)>,
    /// The volumes that need a secret.
    volumes_of: HashMap<Reference, HashSet<Box<str>>>,
}

impl Graph {
    pub(super) fn new(pods: Arc<Collection>, volumes: Arc<Collection>) -> Graph {
        Graph { pods, volumes, state: Mutex::default() }
    }

    /// Whether a pod on the node needs the object, directly or through a claim and its volume.
    pub(super) fn leads_to(&self, node: &str, object: &Reference) -> bool {
        let mut state = self.state.lock();
        state.follow_pods(&self.pods);
        if matches!(object.kind, Kind::Volume | Kind::Secret) {
            state.follow_volumes(&self.volumes);
        }
        let by_claim =
            |volume: &str| state.volumes.get(volume).is_some_and(|(claim, _)| state.has(node, claim));
        match object.kind {
            Kind::Volume => by_claim(&object.name),
            Kind::Secret => {
                let mut volumes = state.volumes_of.get(object).into_iter().flatten();
                state.has(node, object) || volumes.any(|volume| by_claim(volume))
            }
            _ => state.has(node, object),
        }
    }
}

impl State {
    fn has(&self, node: &str, object: &Reference) -> bool {
        self.nodes.get(object).is_some_and(|nodes| nodes.contains_key(node))
    }

    fn follow_pods(&mut self, collection: &Collection) {
        match self.pods_read.follow(collection) {
            Seen::Changes(changes) => {
                for change in changes {
                    let gone = change.kind == ChangeKind::Deleted;
                    self.set_pod(&key(&change), if gone { None } else { of_pod(&change.object) });
                }
            }
            Seen::All(objects) => {
                self.pods.clear();
                self.nodes.clear();
                for pod in objects.values() {
                    self.set_pod(&pod.key().to_string(), of_pod(pod));
                }
            }
        }
    }

    fn set_pod(&mut self, key: &str, new: Option<(String, Vec<Reference>)>) {
        if self.pods.get(key) == new.as_ref() {
            return;
        }
        if let Some((node, references)) = self.pods.remove(key) {
            for reference in references {
                let Some(nodes) = self.nodes.get_mut(&reference) else { continue };
                if let Some(count) = nodes.get_mut(&node) {
                    *count -= 1;
                    if *count == 0 {
                        nodes.remove(&node);
                    }
                }
                if nodes.is_empty() {
                    self.nodes.remove(&reference);
                }
            }
        }
        if let Some((node, references)) = new {
            for reference in &references {
                let nodes = self.nodes.entry(reference.clone()).or_default();
                *nodes.entry(node.clone()).or_default() += 1;
            }
            self.pods.insert(key.into(), (node, references));
        }
    }

    fn follow_volumes(&mut self, collection: &Collection) {
        match self.volumes_read.follow(collection) {
            Seen::Changes(changes) => {
                for change in changes {
                    let gone = change.kind == ChangeKind::Deleted;
                    let new = if gone { None } else { of_persistent_volume(&change.object) };
                    self.set_volume(&key(&change), new);
                }
            }
            Seen::All(objects) => {
                self.volumes.clear();
                self.volumes_of.clear();
                for volume in objects.values() {
                    self.set_volume(volume.name(), of_persistent_volume(volume));
                }
            }
        }
    }

    fn set_volume(&mut self, name: &str, new: Option<(Reference, Vec<Reference>)>) {
        if let Some((_, secrets)) = self.volumes.remove(name) {
            for secret in secrets {
                if let Some(volumes) = self.volumes_of.get_mut(&secret) {
                    volumes.remove(name);
                    if volumes.is_empty() {
                        self.volumes_of.remove(&secret);
                    }
                }
            }
        }
        if let Some((claim, secrets)) = new {
            for secret in &secrets {
                self.volumes_of.entry(secret.clone()).or_default().insert(name.into());
            }
            self.volumes.insert(name.into(), (claim, secrets));
        }
    }
}

fn key(change: &Change) -> String {
    change.object.key().to_string()
}
