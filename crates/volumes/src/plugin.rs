//! The plugin boundary and the set of plugins.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use client::Client;
use hostfs::Lane;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod, Volume};

use crate::empty_dir::EmptyDir;
use crate::host_path::HostPath;
use crate::ownership::FsGroup;
use crate::projected::Projected;
use crate::{ObjectCache, VolumeError, mount};

/// What a plugin needs to set up one volume of a pod.
#[derive(Clone, Copy, Debug)]
pub struct SetUp<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// The volume.
    pub volume: &'a Volume,
    /// The node as the API server has it, for limits that a pod leaves open.
    pub node: &'a Node,
    /// The directory that the plugin may make.
    pub directory: &'a Path,
    /// Whom the files shall belong to.
    pub fs_group: Option<FsGroup>,
}

/// A volume that is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mounted {
    /// Where it is on the host.
    pub path: PathBuf,
    /// Containers must not write to it.
    pub read_only: bool,
    /// When it must be set up again at the latest, because a token in it ends.
    pub refresh_at: Option<Timestamp>,
}

impl Mounted {
    /// A writable volume that needs no refresh.
    pub fn at(path: impl Into<PathBuf>) -> Mounted {
        Mounted { path: path.into(), read_only: false, refresh_at: None }
    }
}

/// One kind of volume.
#[async_trait]
pub trait VolumePlugin: Send + Sync {
    /// The name of the plugin's directory: `kubernetes.io~` and the plugin.
    fn directory(&self) -> &'static str;

    /// Whether the volume's source is this plugin's.
    fn supports(&self, volume: &Volume) -> bool;

    /// Makes the volume, or brings it up to date. Idempotent: it is called again whenever something that the
    /// volume shows may have changed.
    async fn set_up(&self, request: SetUp<'_>) -> Result<Mounted, VolumeError>;

    /// Removes what [`set_up`](Self::set_up) made. Idempotent.
    async fn tear_down(&self, directory: &Path) -> Result<(), VolumeError> {
        let directory = directory.to_owned();
        blocking(move || mount::remove_tree(&directory)).await
    }
}

/// How much may be under way in file systems at once: containers decide how many files there are to remove, and some
/// file systems do not answer at all.
const LANE_WIDTH: usize = 8;

static LANE: LazyLock<Lane> = LazyLock::new(|| Lane::new(LANE_WIDTH));

/// Runs what may block on a thread for that, a few at a time.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, VolumeError> + Send + 'static,
) -> Result<T, VolumeError> {
    LANE.run(work).await.map_err(VolumeError::io("work on", "a volume"))?
}

/// The volumes of the pods of a node.
pub struct Volumes {
    root: PathBuf,
    plugins: Vec<Arc<dyn VolumePlugin>>,
}

impl Volumes {
    /// The volumes below `root` (`<root>/pods/...`), with all plugins of this crate.
    pub fn new(root: impl Into<PathBuf>, client: Client, objects: Arc<ObjectCache>) -> Volumes {
        let plugins: Vec<Arc<dyn VolumePlugin>> = vec![
            Arc::new(EmptyDir),
            Arc::new(HostPath),
            Arc::new(Projected::config_map(client.clone(), Arc::clone(&objects))),
            Arc::new(Projected::secret(client.clone(), Arc::clone(&objects))),
            Arc::new(Projected::downward_api(client.clone(), Arc::clone(&objects))),
            Arc::new(Projected::of_sources(client, objects)),
        ];
        Volumes { root: root.into(), plugins }
    }

    /// The directory of everything that belongs to a pod.
    pub fn pod_directory(&self, uid: &str) -> PathBuf {
        self.root.join("pods").join(uid)
    }

    /// Where an `emptyDir` volume of a pod is.
    pub fn empty_dir_path(&self, uid: &str, volume: &str) -> PathBuf {
        self.pod_directory(uid).join("volumes").join(EmptyDir.directory()).join(volume)
    }

    /// Sets up one volume of a pod, or brings it up to date. `None` for volumes that the container engine
    /// makes itself (images).
    ///
    /// # Errors
    /// [`VolumeError::NoPlugin`] where the source is not supported, else what the plugin says.
    pub async fn set_up(
        &self,
        pod: &Pod,
        volume: &Volume,
        node: &Node,
    ) -> Result<Option<Mounted>, VolumeError> {
        if volume.image.is_some() {
            return Ok(None);
        }
        let plugin =
            self.plugins.iter().find(|plugin| plugin.supports(volume)).ok_or(VolumeError::NoPlugin)?;
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        let directory = self.pod_directory(uid).join("volumes").join(plugin.directory()).join(&volume.name);
        let fs_group = FsGroup::of(pod);
        plugin.set_up(SetUp { pod, volume, node, directory: &directory, fs_group }).await.map(Some)
    }

    /// Removes all volumes of a pod, by what is on disk: the pod need not be known any more.
    ///
    /// # Errors
    /// The first error; what could be removed is removed all the same.
    pub async fn tear_down_all(&self, uid: &str) -> Result<(), VolumeError> {
        let volumes = self.pod_directory(uid).join("volumes");
        let mut result = Ok(());
        for plugin in &self.plugins {
            let directory = volumes.join(plugin.directory());
            for volume in entries(&directory)? {
                if let Err(error) = plugin.tear_down(&volume).await {
                    result = Err(error);
                }
            }
        }
        result
    }

    /// Removes a pod's directory. Its volumes must be torn down: a mount in there is an error, and nothing on
    /// another file system is touched.
    pub async fn remove_pod_directory(&self, uid: &str) -> Result<(), VolumeError> {
        let directory = self.pod_directory(uid);
        blocking(move || mount::remove_tree(&directory)).await
    }

    /// The UIDs of the pods that have a directory.
    pub fn pods_on_disk(&self) -> Result<Vec<String>, VolumeError> {
        let names = entries(&self.root.join("pods"))?;
        Ok(names.iter().filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }
}

/// Unmounts and removes all volumes below `root`, of whatever pods: for a host that gives back everything. No agent
/// may run. That there is nothing is fine.
///
/// # Errors
/// [`VolumeError::Io`] for the first thing that could not be unmounted or removed.
pub fn reset(root: &Path) -> Result<(), VolumeError> {
    for pod in entries(&root.join("pods"))? {
        crate::subpath::release_all(&pod)?;
        for plugin in entries(&pod.join("volumes"))? {
            for volume in entries(&plugin)? {
                mount::unmount(&volume)?;
            }
        }
    }
    mount::remove_tree(&root.join("pods"))
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>, VolumeError> {
    match std::fs::read_dir(directory) {
        Ok(entries) => entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<io::Result<_>>()
            .map_err(VolumeError::io("read", directory)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(VolumeError::io("read", directory)(error)),
    }
}
