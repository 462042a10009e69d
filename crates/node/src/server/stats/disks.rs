//! What is on disks: of the node, of images, of pods.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use futures::future::join_all;
use hostfs::Usage;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Volume;

use super::SeenPod;
use super::types::{ClaimReference, FsStats, RuntimeStats, VolumeStats};
use crate::machine::{self, Space};
use crate::pod::PodInfo;
use crate::shared::Shared;
use crate::usage;

/// How long a file system may take to answer: one may be on another machine.
const PATIENCE: Duration = Duration::from_secs(2);

impl FsStats {
    /// A tree on a file system.
    pub(super) fn of_tree(time: Timestamp, space: Option<Space>, usage: Option<Usage>) -> FsStats {
        let inodes = space.and_then(|space| space.inodes);
        FsStats {
            time,
            available_bytes: space.map(|space| space.bytes.available),
            capacity_bytes: space.map(|space| space.bytes.capacity),
            used_bytes: usage.map(|usage| usage.bytes),
            inodes_free: inodes.map(|inodes| inodes.available),
            inodes: inodes.map(|inodes| inodes.capacity),
            inodes_used: usage.map(|usage| usage.inodes),
        }
    }

    /// A whole file system.
    pub(super) fn of_space(time: Timestamp, space: Space) -> FsStats {
        let used = FsStats::of_tree(time, Some(space), None);
        FsStats {
            used_bytes: Some(space.bytes.used),
            inodes_used: space.inodes.map(|inodes| inodes.used),
            ..used
        }
    }
}

/// The space of directories' file systems; what does not answer is left out.
pub(super) async fn spaces(shared: &Shared, directories: Vec<PathBuf>) -> BTreeMap<PathBuf, Space> {
    let measure = move || {
        let known =
            directories.into_iter().filter_map(|path| machine::space(&path).map(|space| (path, space)));
        known.collect()
    };
    shared.files.run_within(PATIENCE, measure).await.unwrap_or_default()
}

/// The file systems of the node.
pub(super) struct NodeDisks {
    pub(super) root: Option<Space>,
    pub(super) images: Option<(PathBuf, Space, Usage)>,
    pub(super) containers: Option<(PathBuf, Space, Usage)>,
}

impl NodeDisks {
    pub(super) async fn measure(shared: &Shared) -> NodeDisks {
        let info = shared.images.service().image_fs_info().await.unwrap_or_default();
        let root = shared.config.root_dir.clone();
        let first = |all: &[cri::FilesystemUsage]| {
            let fs = all.first()?;
            let usage = Usage { bytes: fs.used_bytes, inodes: fs.inodes_used };
            Some((PathBuf::from(&fs.mountpoint), usage))
        };
        let (images, containers) = (first(&info.image_filesystems), first(&info.container_filesystems));
        let others = [&images, &containers].into_iter().flatten().map(|(path, _)| path.clone());
        let known = spaces(shared, others.chain([root.clone()]).collect()).await;
        let with_space = |fs: Option<(PathBuf, Usage)>| {
            let (path, usage) = fs?;
            let space = *known.get(&path)?;
            Some((path, space, usage))
        };
        NodeDisks {
            root: known.get(&root).copied(),
            images: with_space(images),
            containers: with_space(containers),
        }
    }

    /// The file systems of images and of containers' writable layers, with what either uses there.
    pub(super) fn runtime(&self, time: Timestamp) -> Option<RuntimeStats> {
        let stats = |fs: &(PathBuf, Space, Usage)| FsStats::of_tree(time, Some(fs.1), Some(fs.2));
        let (image_fs, container_fs) = (self.images.as_ref().map(stats), self.containers.as_ref().map(stats));
        let is_known = image_fs.is_some() || container_fs.is_some();
        is_known.then_some(RuntimeStats { image_fs, container_fs })
    }
}

/// What a pod has on disks.
#[derive(Debug, Default)]
pub(super) struct PodDisks {
    /// The logs of containers, by their names.
    pub(super) logs: BTreeMap<String, Usage>,
    pub(super) volumes: Vec<VolumeStats>,
    /// Everything on the node's disk that counts as the pod's: writable layers, logs, volumes, files of the agent.
    pub(super) total: Option<Usage>,
}

impl PodDisks {
    pub(super) async fn measure(shared: &Shared, seen: &SeenPod, pod: &PodInfo, now: Timestamp) -> PodDisks {
        let directory = usage::log_directory(shared, pod);
        let names = seen.containers.iter().map(|one| one.stats.metadata.name.clone());
        let logs = names.map(|name| async {
            let usage = tree(shared, directory.join(&name)).await;
            (name, usage)
        });
        let own = tree(shared, usage::own_directory(shared, pod));
        let (logs, own, volumes) = tokio::join!(join_all(logs), own, volumes(shared, pod));
        let layers = seen.containers.iter().map(|container| {
            let layer = container.stats.writable_layer.as_ref()?;
            Some(Usage { bytes: layer.used_bytes, inodes: layer.inodes_used })
        });
        let on_disk = volumes.iter().filter(|volume| volume.counts).map(|volume| volume.tree);
        let all = layers.chain(logs.iter().map(|(_, usage)| *usage)).chain(on_disk).chain([own]);
        PodDisks {
            total: sum(all),
            logs: logs.into_iter().filter_map(|(name, usage)| Some((name, usage?))).collect(),
            volumes: volumes.iter().filter_map(|volume| volume.stats(now)).collect(),
        }
    }
}

/// The sum, if all are known.
fn sum(mut usages: impl Iterator<Item = Option<Usage>>) -> Option<Usage> {
    usages.try_fold(Usage::default(), |mut sum, usage| {
        sum += usage?;
        Some(sum)
    })
}

/// The usage of a tree; `None` if it takes too long to measure.
async fn tree(shared: &Shared, path: PathBuf) -> Option<Usage> {
    shared.usages.get(&path).await.map(|measured| measured.usage)
}

/// A volume that can be measured.
struct MeasuredVolume {
    name: String,
    claim: Option<ClaimReference>,
    space: Option<Space>,
    tree: Option<Usage>,
    /// It is measured as a whole file system.
    is_whole: bool,
    /// It counts as the pod's usage of the node's disk.
    counts: bool,
}

impl MeasuredVolume {
    fn stats(&self, now: Timestamp) -> Option<VolumeStats> {
        let fs = match (self.is_whole, self.space) {
            (true, space) => FsStats::of_space(now, space?),
            (false, None) if self.tree.is_none() => return None,
            (false, space) => FsStats::of_tree(now, space, self.tree),
        };
        Some(VolumeStats { fs, name: self.name.clone(), pvc_ref: self.claim.clone() })
    }
}

async fn volumes(shared: &Shared, pod: &PodInfo) -> Vec<MeasuredVolume> {
    let published = shared.volumes.published(&pod.uid);
    let spaces = spaces(shared, published.values().cloned().collect()).await;
    let volumes = pod.spec().volumes.iter().flatten().filter(|volume| is_measured(volume));
    let measured = volumes.filter_map(|volume| {
        let path = published.get(&volume.name)?.clone();
        let space = spaces.get(&path).copied();
        let is_whole = !is_tree(volume);
        Some(async move {
            let tree = if is_whole { None } else { tree(shared, path).await };
            let (name, counts) = (volume.name.clone(), usage::is_on_disk(volume));
            MeasuredVolume { name, claim: claim(pod, volume), space, tree, is_whole, counts }
        })
    });
    join_all(measured).await
}

/// The capacity and usage of a pod's claims.
pub(super) async fn claims(shared: &Shared, pod: &PodInfo) -> Vec<(ClaimReference, Space)> {
    let published = shared.volumes.published(&pod.uid);
    let volumes = pod.spec().volumes.iter().flatten();
    let claims: Vec<(ClaimReference, PathBuf)> = volumes
        .filter_map(|volume| Some((claim(pod, volume)?, published.get(&volume.name)?.clone())))
        .collect();
    if claims.is_empty() {
        return Vec::new();
    }
    let spaces = spaces(shared, claims.iter().map(|(_, path)| path.clone()).collect()).await;
    claims.into_iter().filter_map(|(claim, path)| Some((claim, *spaces.get(&path)?))).collect()
}

/// Whether a volume is the pod's: not a directory of the host, nor an image.
fn is_measured(volume: &Volume) -> bool {
    volume.host_path.is_none() && volume.image.is_none()
}

/// Whether a volume is a tree of files on a file system that it shares, in contrast to one of its own.
fn is_tree(volume: &Volume) -> bool {
    volume.empty_dir.is_some()
        || volume.config_map.is_some()
        || volume.secret.is_some()
        || volume.downward_api.is_some()
        || volume.projected.is_some()
}

/// The claim behind a volume. That of an ephemeral volume is named after pod and volume.
fn claim(pod: &PodInfo, volume: &Volume) -> Option<ClaimReference> {
    let name = match (&volume.persistent_volume_claim, &volume.ephemeral) {
        (Some(source), _) => source.claim_name.clone(),
        (None, Some(_)) => format!("{}-{}", pod.key.name, volume.name),
        (None, None) => return None,
    };
    Some(ClaimReference { name, namespace: pod.key.namespace().to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Amounts;
    use crate::testing::{at, pod};

    use serde_json::json;

    #[test]
    fn volumes_are_trees_or_whole_file_systems() {
        let pod = pod(json!({"containers": [], "volumes": [
            {"name": "scratch", "emptyDir": {}},
            {"name": "data", "persistentVolumeClaim": {"claimName": "db"}},
            {"name": "own", "ephemeral": {}},
            {"name": "host", "hostPath": {"path": "/"}},
        ]}));
        let volumes = pod.spec().volumes.as_ref().unwrap();
        assert_eq!(volumes.iter().map(is_measured).collect::<Vec<_>>(), [true, true, true, false]);
        assert_eq!(volumes.iter().map(is_tree).collect::<Vec<_>>(), [true, false, false, false]);
        let claims: Vec<_> = volumes.iter().filter_map(|volume| claim(&pod, volume)).collect();
        let claims: Vec<_> = claims.iter().map(|claim| (&*claim.namespace, &*claim.name)).collect();
        assert_eq!(claims, [("default", "db"), ("default", "web-own")]);
    }

    #[test]
    fn a_claim_is_used_as_much_as_its_file_system_and_a_tree_as_much_as_its_files() {
        let bytes = Amounts { capacity: 100, available: 60, used: 30 };
        let space = Some(Space { bytes, inodes: None });
        let mut volume = MeasuredVolume {
            name: "v".into(),
            claim: Some(ClaimReference { name: "db".into(), namespace: "default".into() }),
            space,
            tree: None,
            is_whole: true,
            counts: false,
        };
        let shown = |volume: &MeasuredVolume| serde_json::to_value(volume.stats(at(0))).unwrap();
        let expected = json!({
            "time": at(0).to_string(), "availableBytes": 60, "capacityBytes": 100, "usedBytes": 30,
            "name": "v", "pvcRef": {"name": "db", "namespace": "default"},
        });
        assert_eq!(shown(&volume), expected);
        (volume.is_whole, volume.claim) = (false, None);
        volume.tree = Some(Usage { bytes: 7, inodes: 2 });
        let expected = json!({
            "time": at(0).to_string(), "availableBytes": 60, "capacityBytes": 100, "usedBytes": 7, "inodesUsed": 2,
            "name": "v",
        });
        assert_eq!(shown(&volume), expected);
        (volume.space, volume.tree) = (None, None);
        assert!(volume.stats(at(0)).is_none());
    }

    #[test]
    fn a_sum_of_something_unknown_is_unknown() {
        let one = Some(Usage { bytes: 1, inodes: 2 });
        assert_eq!(sum([one, one].into_iter()), Some(Usage { bytes: 2, inodes: 4 }));
        assert_eq!(sum([one, None].into_iter()), None);
    }
}
