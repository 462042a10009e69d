//! The desired state, the actual state, and the steps from one to the other. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::DeviceId;

#[cfg(test)]
mod tests;

/// How a volume is created: its identity besides its pod and its own name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    /// The plugin, by the name of its directory.
    pub(crate) plugin: String,
    pub(crate) device: Option<DeviceId>,
}

/// A volume that was published, or was to be when the agent was cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Published {
    pub(crate) source: Source,
    /// The directory that the plugin was given.
    pub(crate) directory: PathBuf,
    /// Where something is mounted; known once the volume was published by this agent.
    pub(crate) mount_point: Option<PathBuf>,
}

/// Volumes of pods: by the pods' UIDs, then by their names.
type OfPods<T> = BTreeMap<String, BTreeMap<String, T>>;

/// The desired volumes: those of the pods that run here.
#[derive(Debug, Default)]
pub(crate) struct Desired(OfPods<Source>);

impl Desired {
    pub(crate) fn set(&mut self, uid: &str, volumes: BTreeMap<String, Source>) {
        self.0.insert(uid.to_owned(), volumes);
    }

    pub(crate) fn remove(&mut self, uid: &str) {
        self.0.remove(uid);
    }

    fn of(&self, uid: &str) -> impl Iterator<Item = (&String, &Source)> {
        self.0.get(uid).into_iter().flatten()
    }

    fn uses(&self, device: &DeviceId) -> bool {
        self.0.values().flat_map(BTreeMap::values).any(|source| source.device.as_ref() == Some(device))
    }
}

/// The actual volumes, as far as is known: those in the records, and those on disk.
#[derive(Debug, Default)]
pub(crate) struct Actual {
    pods: OfPods<Published>,
    /// The devices that are staged, or were to be, with their plugins.
    devices: BTreeMap<DeviceId, String>,
}

impl Actual {
    pub(crate) fn of(&self, uid: &str) -> BTreeMap<String, Published> {
        self.pods.get(uid).cloned().unwrap_or_default()
    }

    pub(crate) fn pods(&self) -> impl Iterator<Item = &String> {
        self.pods.keys()
    }

    pub(crate) fn publish(&mut self, uid: &str, volume: &str, published: Published) {
        self.pods.entry(uid.to_owned()).or_default().insert(volume.to_owned(), published);
    }

    pub(crate) fn unpublish(&mut self, uid: &str, volume: &str) {
        if let Some(volumes) = self.pods.get_mut(uid) {
            volumes.remove(volume);
            if volumes.is_empty() {
                self.pods.remove(uid);
            }
        }
    }

    pub(crate) fn stage(&mut self, device: DeviceId, plugin: String) {
        self.devices.insert(device, plugin);
    }

    pub(crate) fn unstage(&mut self, device: &DeviceId) {
        self.devices.remove(device);
    }

    pub(crate) fn is_staged(&self, device: &DeviceId) -> bool {
        self.devices.contains_key(device)
    }

    fn uses(&self, device: &DeviceId) -> bool {
        let mut published = self.pods.values().flat_map(BTreeMap::values);
        published.any(|published| published.source.device.as_ref() == Some(device))
    }
}

/// One step towards the desired state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Take a volume from its pod.
    Unpublish { volume: String },
    /// Make a device ready for a volume.
    Stage { device: DeviceId, volume: String },
    /// Give a volume to its pod, or bring it up to date.
    Publish { volume: String },
}

/// The steps for one pod: first for volumes that are no longer wanted, or wanted differently, then for those that are
/// wanted. A volume that is already published is published again too: its content may have changed, and its mount may
/// be gone.
pub(crate) fn steps(desired: &Desired, actual: &Actual, uid: &str) -> Vec<Step> {
    let wanted: BTreeMap<&String, &Source> = desired.of(uid).collect();
    let present = actual.pods.get(uid).into_iter().flatten();
    let stale = present.filter(|(volume, published)| wanted.get(volume) != Some(&&published.source));
    let mut steps: Vec<Step> = stale.map(|(volume, _)| Step::Unpublish { volume: volume.clone() }).collect();
    for (volume, source) in wanted {
        if let Some(device) = source.device.as_ref() {
            steps.push(Step::Stage { device: device.clone(), volume: volume.clone() });
        }
        steps.push(Step::Publish { volume: volume.clone() });
    }
    steps
}

/// The staged devices that no pod has or needs, with their plugins.
pub(crate) fn idle_devices(desired: &Desired, actual: &Actual) -> Vec<(DeviceId, String)> {
    let idle = actual.devices.iter().filter(|(device, _)| !desired.uses(device) && !actual.uses(device));
    idle.map(|(device, plugin)| (device.clone(), plugin.clone())).collect()
}

/// The pods with a missing mount.
pub(crate) fn unmounted(
    desired: &Desired,
    actual: &Actual,
    mount_points: &BTreeSet<PathBuf>,
) -> BTreeSet<String> {
    let is_lost = |published: &Published| {
        published.mount_point.as_ref().is_some_and(|mount_point| !mount_points.contains(mount_point))
    };
    let wanted = actual.pods.iter().filter(|(uid, _)| desired.0.contains_key(*uid));
    let lost = wanted.filter(|(_, volumes)| volumes.values().any(is_lost));
    lost.map(|(uid, _)| uid.clone()).collect()
}
