//! The volumes of a node's pods: brings the actual state to the desired state.
//!
//! [`Volumes`] holds the desired state (from the pods that are set up) and the actual state (from the records on disk,
//! the directories, and its own actions since), gets the necessary steps from [`crate::state`], and carries them out
//! through the plugins.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use client::Client;
use k8s_openapi::api::core::v1::{Node, Pod, Volume};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use crate::empty_dir::EmptyDir;
use crate::host_path::HostPath;
use crate::lane::blocking;
use crate::mount_table::{self, MountTable};
use crate::ownership::FsGroup;
use crate::plugin::{DeviceId, Mounted, Publish, Stage, VolumePlugin, remove_mounted};
use crate::projected::Projected;
use crate::record::{self, DEVICE_FILE, DeviceRecord, POD_FILE, PodRecord, VolumeRecord};
use crate::state::{self, Actual, Desired, Published, Source, Step};
use crate::{ObjectCache, VolumeError, mount};

#[cfg(test)]
mod tests;

/// How long after a change the mount table is read: mounts come and go in groups.
const GATHER: Duration = Duration::from_secs(1);

/// The results for a pod's volumes, by name. `None` for those that the container engine creates itself (images).
pub type SetUpResults = Vec<(String, Result<Option<Mounted>, VolumeError>)>;

#[derive(Default)]
struct State {
    desired: Desired,
    actual: Actual,
}

/// The volumes of the pods of a node. Only one call per pod may be in progress.
pub struct Volumes {
    root: PathBuf,
    plugins: Vec<Arc<dyn VolumePlugin>>,
    state: Mutex<State>,
    /// Held while a device is staged or unstaged: pods share devices.
    devices: tokio::sync::Mutex<()>,
}

impl Volumes {
    /// The volumes below `root` (`<root>/pods/...`), with all plugins of this crate. Volumes left by an earlier agent
    /// are known from then on.
    pub fn new(root: impl Into<PathBuf>, client: Client, objects: Arc<ObjectCache>) -> Volumes {
        let plugins: Vec<Arc<dyn VolumePlugin>> = vec![
            Arc::new(EmptyDir),
            Arc::new(HostPath),
            Arc::new(Projected::config_map(client.clone(), Arc::clone(&objects))),
            Arc::new(Projected::secret(client.clone(), Arc::clone(&objects))),
            Arc::new(Projected::downward_api(client.clone(), Arc::clone(&objects))),
            Arc::new(Projected::of_sources(client, objects)),
        ];
        Volumes::with_plugins(root, plugins)
    }

    /// The same with other plugins.
    pub fn with_plugins(root: impl Into<PathBuf>, plugins: Vec<Arc<dyn VolumePlugin>>) -> Volumes {
        let volumes = Volumes {
            root: root.into(),
            plugins,
            state: Mutex::default(),
            devices: tokio::sync::Mutex::default(),
        };
        let pods = entries(&volumes.root.join("pods")).unwrap_or_default();
        pods.iter().filter_map(|path| path.file_name()?.to_str()).for_each(|uid| volumes.recall(uid));
        volumes.recall_devices();
        volumes
    }

    /// The directory of everything that belongs to a pod.
    pub fn pod_directory(&self, uid: &str) -> PathBuf {
        self.root.join("pods").join(uid)
    }

    /// Where an `emptyDir` volume of a pod is.
    pub fn empty_dir_path(&self, uid: &str, volume: &str) -> PathBuf {
        self.directory(uid, EmptyDir.directory(), volume)
    }

    /// Where the volumes of a pod are that are published, by name.
    pub fn published(&self, uid: &str) -> BTreeMap<String, PathBuf> {
        let published = self.state.lock().actual.of(uid);
        published.into_iter().map(|(name, published)| (name, published.directory)).collect()
    }

    fn directory(&self, uid: &str, plugin: &str, volume: &str) -> PathBuf {
        self.pod_directory(uid).join("volumes").join(plugin).join(volume)
    }

    /// The directory of a device: its record, and where it is staged.
    fn device_directory(&self, device: &DeviceId) -> PathBuf {
        let digest = Sha256::digest(device.0.as_bytes());
        let name: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        self.root.join("devices").join(name)
    }

    fn stage_directory(&self, device: &DeviceId) -> PathBuf {
        self.device_directory(device).join("mount")
    }

    fn plugin(&self, name: &str) -> Option<&Arc<dyn VolumePlugin>> {
        self.plugins.iter().find(|plugin| plugin.directory() == name)
    }

    fn plugin_of(&self, volume: &Volume) -> Option<&Arc<dyn VolumePlugin>> {
        self.plugins.iter().find(|plugin| plugin.supports(volume))
    }

    /// Brings the volumes of a pod to the desired state: sets them up, updates them, remounts those that are no longer
    /// mounted, and removes those that differ.
    pub async fn set_up(&self, pod: &Pod, node: &Node) -> SetUpResults {
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        let mut results = SetUpResults::new();
        let mut wanted = BTreeMap::new();
        let volumes: BTreeMap<&str, &Volume> =
            pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()).map(|v| (&*v.name, v)).collect();
        for volume in volumes.values() {
            match self.plugin_of(volume) {
                _ if volume.image.is_some() => results.push((volume.name.clone(), Ok(None))),
                Some(plugin) => {
                    let device = plugin.device(pod, volume);
                    let source = Source { plugin: plugin.directory().to_owned(), device };
                    wanted.insert(volume.name.clone(), source);
                }
                None => results.push((volume.name.clone(), Err(VolumeError::NoPlugin))),
            }
        }
        let steps = {
            let mut state = self.state.lock();
            state.desired.set(uid, wanted.clone());
            state::steps(&state.desired, &state.actual, uid)
        };
        let (stale, wanted_steps): (Vec<_>, Vec<_>) =
            steps.into_iter().partition(|step| matches!(step, Step::Unpublish { .. }));
        let mut failed = self.unpublish_all(uid, stale).await;
        wanted.retain(|volume, _| !failed.iter().any(|(name, _)| name == volume));
        if let Err(error) = self.intend(uid, &wanted).await {
            // Nothing is made that is not written down.
            failed.push((String::new(), error));
            wanted.clear();
        }
        results.extend(failed.into_iter().map(|(volume, error)| (volume, Err(error))));
        for step in wanted_steps {
            let (Step::Stage { volume, .. } | Step::Publish { volume } | Step::Unpublish { volume }) = &step;
            let (Some(source), Some(spec)) = (wanted.get(volume).cloned(), volumes.get(&**volume)) else {
                continue;
            };
            let request = Wanted { pod, volume: spec, node, source: &source };
            let done = match &step {
                Step::Stage { device, .. } => self.stage(device, request).await.map(|()| None),
                _ => self.publish(uid, request).await.map(Some),
            };
            match done {
                Ok(None) => {}
                Ok(mounted) => results.push((volume.clone(), Ok(mounted))),
                Err(error) => {
                    wanted.remove(volume);
                    results.push((volume.clone(), Err(error)));
                }
            }
        }
        self.unstage_idle().await;
        results
    }

    /// Records volumes before they are made.
    async fn intend(&self, uid: &str, wanted: &BTreeMap<String, Source>) -> Result<(), VolumeError> {
        {
            let mut state = self.state.lock();
            let present = state.actual.of(uid);
            let is_new = wanted.iter().any(|(volume, _)| !present.contains_key(volume));
            for (volume, source) in wanted.iter().filter(|(volume, _)| !present.contains_key(*volume)) {
                let directory = self.directory(uid, &source.plugin, volume);
                let published = Published { source: source.clone(), directory, mount_point: None };
                state.actual.publish(uid, volume, published);
            }
            if !is_new {
                return Ok(());
            }
        }
        self.write_record(uid).await
    }

    /// Records the actual state of a pod's volumes.
    async fn write_record(&self, uid: &str) -> Result<(), VolumeError> {
        let volumes = self.state.lock().actual.of(uid);
        let volumes: Vec<_> = volumes
            .into_iter()
            .map(|(name, published)| VolumeRecord {
                name,
                plugin: published.source.plugin,
                device: published.source.device.map(|device| device.0),
                directory: published.directory,
            })
            .collect();
        let directory = self.pod_directory(uid);
        let failed = {
            let path = directory.clone();
            move |source| VolumeError::Record { path, source }
        };
        let write = move || match volumes.is_empty() {
            true => record::remove(&directory, POD_FILE),
            false => record::write(&directory, POD_FILE, &PodRecord { volumes }),
        };
        blocking(move || write().map_err(failed)).await
    }

    /// Makes a device ready, if it is not.
    async fn stage(&self, device: &DeviceId, wanted: Wanted<'_>) -> Result<(), VolumeError> {
        let Some(plugin) = self.plugin(&wanted.source.plugin) else { return Err(VolumeError::NoPlugin) };
        if plugin.is_attachable() && !is_attached(wanted.node, device) {
            return Err(VolumeError::NotAttached(device.to_string()));
        }
        let _one = self.devices.lock().await;
        let directory = self.stage_directory(device);
        if self.state.lock().actual.is_staged(device) && plugin.is_published(&directory).await? {
            return Ok(());
        }
        let record = DeviceRecord { device: device.0.clone(), plugin: wanted.source.plugin.clone() };
        let (place, made) = (self.device_directory(device), directory.clone());
        blocking(move || {
            let failed = |source| VolumeError::Record { path: place.clone(), source };
            record::write(&place, DEVICE_FILE, &record).map_err(failed)?;
            fs::create_dir_all(&made).map_err(VolumeError::io("make", &made))
        })
        .await?;
        self.state.lock().actual.stage(device.clone(), wanted.source.plugin.clone());
        let Wanted { pod, volume, .. } = wanted;
        plugin.stage(Stage { device, volume, pod, directory: &directory }).await
    }

    async fn publish(&self, uid: &str, wanted: Wanted<'_>) -> Result<Mounted, VolumeError> {
        let Wanted { pod, volume, node, source } = wanted;
        let Some(plugin) = self.plugin(&source.plugin) else { return Err(VolumeError::NoPlugin) };
        let directory = self.directory(uid, &source.plugin, &volume.name);
        let staged = source.device.as_ref().map(|device| self.stage_directory(device));
        let fs_group = FsGroup::of(pod);
        let request =
            Publish { pod, volume, node, directory: &directory, staged: staged.as_deref(), fs_group };
        let mounted = plugin.publish(request).await?;
        // By the name that the kernel has for it.
        let path = mounted.path.clone();
        let mount_point = match mounted.is_mount {
            true => blocking(move || Ok(fs::canonicalize(path).ok())).await?,
            false => None,
        };
        let published = Published { source: source.clone(), directory, mount_point };
        self.state.lock().actual.publish(uid, &volume.name, published);
        Ok(mounted)
    }

    /// Takes volumes from a pod. What fails stays recorded.
    async fn unpublish_all(&self, uid: &str, steps: Vec<Step>) -> Vec<(String, VolumeError)> {
        let present = self.state.lock().actual.of(uid);
        let mut failed = Vec::new();
        let mut is_less = false;
        for step in steps {
            let Step::Unpublish { volume } = step else { continue };
            let Some(published) = present.get(&volume) else { continue };
            let done = match self.plugin(&published.source.plugin) {
                Some(plugin) => plugin.unpublish(&published.directory).await,
                // A newer or an older program's.
                None => remove_mounted(&published.directory).await,
            };
            match done {
                Ok(()) => {
                    self.state.lock().actual.unpublish(uid, &volume);
                    is_less = true;
                }
                Err(error) => failed.push((volume, error)),
            }
        }
        if is_less && let Err(error) = self.write_record(uid).await {
            failed.push((String::new(), error));
        }
        failed
    }

    /// Unstages the devices that no pod has or needs. Failures are retried when the next pod ends.
    pub async fn unstage_idle(&self) {
        let idle = |volumes: &Volumes| {
            let state = volumes.state.lock();
            state::idle_devices(&state.desired, &state.actual)
        };
        if idle(self).is_empty() {
            return;
        }
        let _one = self.devices.lock().await;
        // Some may be wanted again since.
        for (device, plugin) in idle(self) {
            if let Err(error) = self.unstage(&device, &plugin).await {
                tracing::warn!(%device, error = error.full_message(), "cannot unstage a device");
            }
        }
    }

    async fn unstage(&self, device: &DeviceId, plugin: &str) -> Result<(), VolumeError> {
        let directory = self.stage_directory(device);
        match self.plugin(plugin) {
            Some(plugin) => plugin.unstage(device, &directory).await?,
            None => remove_mounted(&directory).await?,
        }
        remove_mounted(&self.device_directory(device)).await?;
        self.state.lock().actual.unstage(device);
        Ok(())
    }

    /// Removes all volumes of a pod, according to the record and the disk: the pod need not be known any more.
    ///
    /// # Errors
    /// The first error; everything that can be removed is removed nevertheless.
    pub async fn tear_down_all(&self, uid: &str) -> Result<(), VolumeError> {
        self.recall_directories(uid)?;
        let steps = {
            let mut state = self.state.lock();
            state.desired.remove(uid);
            state::steps(&state.desired, &state.actual, uid)
        };
        let failed = self.unpublish_all(uid, steps).await;
        self.unstage_idle().await;
        failed.into_iter().next().map_or(Ok(()), |(_, error)| Err(error))
    }

    /// Removes a pod's directory. Its volumes must be torn down: a mount in there is an error, and nothing on
    /// another file system is touched.
    ///
    /// # Errors
    /// What cannot be removed.
    pub async fn remove_pod_directory(&self, uid: &str) -> Result<(), VolumeError> {
        let directory = self.pod_directory(uid);
        blocking(move || mount::remove_tree(&directory)).await
    }

    /// The UIDs of the pods that have volumes or a directory here.
    ///
    /// # Errors
    /// If the directories cannot be read.
    pub fn pods(&self) -> Result<BTreeSet<String>, VolumeError> {
        let names = entries(&self.root.join("pods"))?;
        let on_disk = names.iter().filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()));
        Ok(on_disk.chain(self.state.lock().actual.pods().cloned()).collect())
    }

    /// Reports pods whose volumes were unmounted and must be set up again. Never returns. Must be called inside a tokio
    /// runtime.
    ///
    /// # Errors
    /// If the kernel does not report mounts.
    pub async fn watch_mounts(&self, lost: impl Fn(&str) + Send) -> io::Result<()> {
        let table = MountTable::open()?;
        loop {
            table.changed().await?;
            tokio::time::sleep(GATHER).await;
            let mount_points = mount_table::mount_points()?;
            let pods = {
                let state = self.state.lock();
                state::unmounted(&state.desired, &state.actual, &mount_points)
            };
            for uid in pods {
                tracing::warn!(uid, "a pod's volume is no longer mounted; mounting it again");
                lost(&uid);
            }
        }
    }

    /// Loads the record of a pod, and its directories on disk.
    fn recall(&self, uid: &str) {
        let directory = self.pod_directory(uid);
        match record::read::<PodRecord>(&directory, POD_FILE) {
            Ok(known) => {
                let mut state = self.state.lock();
                let volumes = known.into_iter().flat_map(|known| known.volumes);
                // Nothing else of the host is a volume of this pod.
                for volume in volumes.filter(|volume| is_inside(&volume.directory, &directory)) {
                    let source = Source { plugin: volume.plugin, device: volume.device.map(DeviceId) };
                    let published = Published { source, directory: volume.directory, mount_point: None };
                    state.actual.publish(uid, &volume.name, published);
                }
            }
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(
                    uid,
                    error,
                    "cannot read the record of a pod's volumes; scanning its directories"
                );
            }
        }
        if let Err(error) = self.recall_directories(uid) {
            tracing::warn!(uid, error = error.full_message(), "cannot scan for a pod's volumes");
        }
    }

    /// Adopts the volumes on the disk that are not recorded: those of earlier versions of this program, or of a record
    /// that was lost with the machine.
    fn recall_directories(&self, uid: &str) -> Result<(), VolumeError> {
        for plugin in entries(&self.pod_directory(uid).join("volumes"))? {
            let Some(name) = plugin.file_name().and_then(|name| name.to_str()) else { continue };
            for directory in entries(&plugin)? {
                let Some(volume) = directory.file_name().and_then(|name| name.to_str()) else { continue };
                let mut state = self.state.lock();
                if !state.actual.of(uid).contains_key(volume) {
                    let source = Source { plugin: name.to_owned(), device: None };
                    let published = Published { source, directory: directory.clone(), mount_point: None };
                    state.actual.publish(uid, volume, published);
                }
            }
        }
        Ok(())
    }

    fn recall_devices(&self) {
        for directory in entries(&self.root.join("devices")).unwrap_or_default() {
            match record::read::<DeviceRecord>(&directory, DEVICE_FILE) {
                Ok(Some(known)) => self.state.lock().actual.stage(DeviceId(known.device), known.plugin),
                Ok(None) => {}
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(directory = %directory.display(), error, "cannot read the record of a \
                        staged device");
                }
            }
        }
    }
}

/// One volume that is wanted.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    pod: &'a Pod,
    volume: &'a Volume,
    node: &'a Node,
    source: &'a Source,
}

fn is_attached(node: &Node, device: &DeviceId) -> bool {
    let attached = node.status.iter().flat_map(|status| status.volumes_attached.iter().flatten());
    attached.into_iter().any(|attached| attached.name == device.0)
}

/// Whether a path in a record is below a pod's directory, without `..`.
fn is_inside(path: &Path, pod_directory: &Path) -> bool {
    path.starts_with(pod_directory.join("volumes")) && !path.components().any(|part| part.as_os_str() == "..")
}

/// Unmounts and removes all volumes below `root`, of whatever pods: for the cleanup of a host. No agent may run. It is
/// not an error if there are none.
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
    for device in entries(&root.join("devices"))? {
        mount::unmount(&device.join("mount"))?;
    }
    mount::remove_tree(&root.join("devices"))?;
    mount::remove_tree(&root.join("pods"))
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>, VolumeError> {
    match fs::read_dir(directory) {
        Ok(entries) => entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<io::Result<_>>()
            .map_err(VolumeError::io("read", directory)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(VolumeError::io("read", directory)(error)),
    }
}
