//! The interface to kinds of volumes, in the shape of CSI: a step for a device, once per node, and a step for a pod.
//!
//! | step | CSI | who |
//! | --- | --- | --- |
//! | attach | `ControllerPublishVolume` | the control plane; the node waits for it if [`VolumePlugin::is_attachable`] |
//! | [`stage`](VolumePlugin::stage) | `NodeStageVolume` | once for a device, however many pods use it |
//! | [`publish`](VolumePlugin::publish) | `NodePublishVolume` | once for each pod, and again when something changed |
//! | [`unpublish`](VolumePlugin::unpublish) | `NodeUnpublishVolume` | when the pod has ended |
//! | [`unstage`](VolumePlugin::unstage) | `NodeUnstageVolume` | when no pod of the node uses the device any more |
//!
//! Every step may be repeated, and may find the remains of an interrupted step. A plugin keeps nothing in memory:
//! [`Volumes`](crate::Volumes) records the state. This module must not know any plugin.

use std::fmt;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod, Volume};

use crate::lane::blocking;
use crate::ownership::FsGroup;
use crate::{VolumeError, mount};

/// The device behind volumes of one or more pods, by upstream's unique name: `<plugin>/<driver>^<handle>`. It is the
/// name in a node's `volumesAttached`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(pub String);

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The input for staging a device.
#[derive(Clone, Copy, Debug)]
pub struct Stage<'a> {
    /// The device.
    pub device: &'a DeviceId,
    /// A volume that needs it.
    pub volume: &'a Volume,
    /// The pod of that volume.
    pub pod: &'a Pod,
    /// The path where the device should appear; created if missing.
    pub directory: &'a Path,
}

/// The input for publishing a volume to a pod.
#[derive(Clone, Copy, Debug)]
pub struct Publish<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// The volume.
    pub volume: &'a Volume,
    /// The node as the API server has it, for limits that a pod leaves open.
    pub node: &'a Node,
    /// The directory that the plugin may make.
    pub directory: &'a Path,
    /// Where the volume's device is staged, if it has one.
    pub staged: Option<&'a Path>,
    /// The owner of the files.
    pub fs_group: Option<FsGroup>,
}

/// A volume that is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mounted {
    /// Where it is on the host.
    pub path: PathBuf,
    /// Something is mounted there, which could be unmounted by accident.
    pub is_mount: bool,
    /// Containers must not write to it.
    pub read_only: bool,
    /// When it must be published again at the latest, because a token in it expires.
    pub refresh_at: Option<Timestamp>,
}

impl Mounted {
    /// A writable volume that needs no refresh, where nothing is mounted.
    pub fn at(path: impl Into<PathBuf>) -> Mounted {
        Mounted { path: path.into(), is_mount: false, read_only: false, refresh_at: None }
    }

    /// The same with something mounted there.
    #[must_use]
    pub fn mounted(self) -> Mounted {
        Mounted { is_mount: true, ..self }
    }
}

/// One kind of volume.
#[async_trait]
pub trait VolumePlugin: Send + Sync {
    /// The name of the plugin's directory: `kubernetes.io~` and the plugin.
    fn directory(&self) -> &'static str;

    /// Whether the volume's source is this plugin's.
    fn supports(&self, volume: &Volume) -> bool;

    /// The device behind a volume; none where each pod's volume is its own.
    fn device(&self, _pod: &Pod, _volume: &Volume) -> Option<DeviceId> {
        None
    }

    /// Whether the control side attaches devices to the node, so that the node waits for that before it stages one.
    fn is_attachable(&self) -> bool {
        false
    }

    /// Makes a device ready on this node. Idempotent.
    async fn stage(&self, _request: Stage<'_>) -> Result<(), VolumeError> {
        Ok(())
    }

    /// Undoes [`stage`](Self::stage), also one that was interrupted. Idempotent.
    async fn unstage(&self, _device: &DeviceId, directory: &Path) -> Result<(), VolumeError> {
        remove_mounted(directory).await
    }

    /// Creates the volume, or brings it up to date. Idempotent: it is called again whenever something that the volume
    /// shows may have changed, and when the volume is not mounted any more.
    async fn publish(&self, request: Publish<'_>) -> Result<Mounted, VolumeError>;

    /// Removes what [`publish`](Self::publish) made, also what one made that was cut off. Idempotent.
    async fn unpublish(&self, directory: &Path) -> Result<(), VolumeError> {
        remove_mounted(directory).await
    }

    /// Whether something is mounted where [`publish`](Self::publish) put it.
    async fn is_published(&self, directory: &Path) -> Result<bool, VolumeError> {
        let directory = directory.to_owned();
        blocking(move || mount::is_mount_point(&directory).map_err(VolumeError::io("look at", &directory)))
            .await
    }
}

/// Unmounts a directory and removes it.
pub(crate) async fn remove_mounted(directory: &Path) -> Result<(), VolumeError> {
    let directory = directory.to_owned();
    blocking(move || {
        mount::unmount(&directory)?;
        mount::remove_tree(&directory)
    })
    .await
}
