//! Claims, volumes and other objects that determine where a pod's storage is.

use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::{CSINode, StorageClass};
use object::ObjectKey;
use semantics::NodeSelectorTerm;

use super::NodeInfo;

/// The storage of the cluster.
#[derive(Clone, Debug, Default)]
pub struct Volumes {
    claims: HashMap<ObjectKey, Arc<PersistentVolumeClaim>>,
    volumes: HashMap<ObjectKey, Arc<VolumeInfo>>,
    classes: HashMap<ObjectKey, Arc<StorageClass>>,
    csi_nodes: HashMap<ObjectKey, Arc<CSINode>>,
}

/// A volume and the nodes that reach it.
#[derive(Debug)]
pub struct VolumeInfo {
    /// The volume.
    pub volume: Arc<PersistentVolume>,
    /// The terms of which a node must match one; `None` if all nodes reach it.
    reached_from: Option<Vec<NodeSelectorTerm>>,
}

impl VolumeInfo {
    fn new(volume: Arc<PersistentVolume>) -> VolumeInfo {
        let affinity = volume.spec.as_ref().and_then(|spec| spec.node_affinity.as_ref());
        let required = affinity.and_then(|affinity| affinity.required.as_ref());
        let terms = required.map(|required| {
            required.node_selector_terms.iter().map(|term| NodeSelectorTerm::new(term)).collect()
        });
        VolumeInfo { volume, reached_from: terms }
    }

    /// Whether a node reaches the volume.
    pub fn is_reached_from(&self, node: &NodeInfo) -> bool {
        self.reached_from.as_ref().is_none_or(|terms| terms.iter().any(|term| node.is_meant_by(term)))
    }
}

/// A volume that a CSI driver attaches to a node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attachment {
    /// The driver's name.
    pub driver: String,
    /// What the driver calls the volume.
    pub volume: String,
}

/// A change of something that [`Volumes`] holds.
#[derive(Clone, Debug)]
pub enum VolumeChange {
    /// A claim; `None` if it is gone.
    Claim(Option<Arc<PersistentVolumeClaim>>),
    /// A volume; `None` if it is gone.
    Volume(Option<Arc<PersistentVolume>>),
    /// A storage class; `None` if it is gone.
    Class(Option<Arc<StorageClass>>),
    /// A node's drivers; `None` if they are gone.
    CsiNode(Option<Arc<CSINode>>),
}

impl Volumes {
    /// A claim.
    pub fn claim(&self, key: &ObjectKey) -> Option<&Arc<PersistentVolumeClaim>> {
        self.claims.get(key)
    }

    /// A volume.
    pub fn volume(&self, name: &str) -> Option<&Arc<VolumeInfo>> {
        self.volumes.get(&ObjectKey::cluster(name))
    }

    /// A storage class.
    pub fn class(&self, name: &str) -> Option<&Arc<StorageClass>> {
        self.classes.get(&ObjectKey::cluster(name))
    }

    /// The volume that a claim is bound to.
    pub fn of_claim(&self, key: &ObjectKey) -> Option<&Arc<VolumeInfo>> {
        let name = self.claim(key)?.spec.as_ref()?.volume_name.as_deref()?;
        self.volume(name)
    }

    /// Whether one pod alone may use a claim.
    pub fn is_exclusive(&self, key: &ObjectKey) -> bool {
        let modes = self.claim(key).and_then(|claim| claim.spec.as_ref()?.access_modes.as_deref());
        modes.unwrap_or_default().iter().any(|mode| mode == "ReadWriteOncePod")
    }

    /// What attaching the volume of a claim counts as. `None` if no CSI driver attaches it, or that is not known.
    pub fn attachment(&self, key: &ObjectKey) -> Option<Attachment> {
        let spec = self.claim(key)?.spec.as_ref()?;
        if spec.volume_name.as_deref().is_some_and(|name| !name.is_empty()) {
            let csi = self.of_claim(key)?.volume.spec.as_ref()?.csi.as_ref()?;
            return Some(Attachment { driver: csi.driver.clone(), volume: csi.volume_handle.clone() });
        }
        // The volume does not exist yet; it will be one of its class's driver.
        let driver = self.class(spec.storage_class_name.as_deref()?)?.provisioner.clone();
        Some(Attachment { driver, volume: key.to_string() })
    }

    /// How many volumes a driver can attach to a node; `None` if that is not limited, or not known.
    pub fn attachments_max(&self, node: &str, driver: &str) -> Option<usize> {
        let drivers = &self.csi_node(node)?.spec.drivers;
        let found = drivers.iter().find(|found| found.name == driver)?;
        usize::try_from(found.allocatable.as_ref()?.count?).ok()
    }

    /// The drivers of a node.
    pub fn csi_node(&self, name: &str) -> Option<&Arc<CSINode>> {
        self.csi_nodes.get(&ObjectKey::cluster(name))
    }

    pub(super) fn set(&mut self, key: &ObjectKey, change: VolumeChange) {
        match change {
            VolumeChange::Claim(new) => put(&mut self.claims, key, new),
            VolumeChange::Volume(new) => {
                put(&mut self.volumes, key, new.map(|new| Arc::new(VolumeInfo::new(new))))
            }
            VolumeChange::Class(new) => put(&mut self.classes, key, new),
            VolumeChange::CsiNode(new) => put(&mut self.csi_nodes, key, new),
        }
    }
}

fn put<T>(into: &mut HashMap<ObjectKey, T>, key: &ObjectKey, new: Option<T>) {
    match new {
        Some(new) => into.insert(key.clone(), new),
        None => into.remove(key),
    };
}
