//! The usage of pods. Trees are measured on dedicated threads and cached ([`hostfs::Usages`]).

use std::collections::BTreeMap;
use std::path::PathBuf;

use cri::{ContainerStats, ContainerStatsFilter, StringMap};
use hostfs::Usage;
use k8s_openapi::api::core::v1::Volume;

use crate::label;
use crate::pod::PodInfo;
use crate::shared::Shared;

/// The usage of one container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ContainerUsage {
    pub(crate) name: String,
    /// Bytes that cannot be reclaimed at once.
    pub(crate) memory: i64,
    /// The size of its writable layer.
    pub(crate) root: Usage,
    pub(crate) logs: Usage,
}

impl ContainerUsage {
    fn new(name: &str) -> ContainerUsage {
        ContainerUsage { name: name.to_owned(), ..ContainerUsage::default() }
    }
}

/// The usage of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PodUsage {
    pub(crate) containers: Vec<ContainerUsage>,
    /// Its volumes on the node's disk, by name.
    pub(crate) volumes: BTreeMap<String, Usage>,
    /// Files that the agent keeps for it and containers may write to: their termination messages.
    pub(crate) own: Usage,
}

impl PodUsage {
    pub(crate) fn memory(&self) -> i64 {
        self.containers.iter().map(|container| container.memory).sum()
    }

    pub(crate) fn roots(&self) -> Usage {
        sum(self.containers.iter().map(|container| container.root))
    }

    /// The usage of the node's disk apart from root file systems.
    pub(crate) fn local(&self) -> Usage {
        sum(self.containers.iter().map(|c| c.logs).chain(self.volumes.values().copied()).chain([self.own]))
    }

    pub(crate) fn disk(&self) -> Usage {
        sum([self.roots(), self.local()].into_iter())
    }
}

fn sum(usages: impl Iterator<Item = Usage>) -> Usage {
    usages.fold(Usage::default(), |mut sum, usage| {
        sum += usage;
        sum
    })
}

/// The current usage of a pod; `None` if the engine does not report it.
pub(crate) async fn of_pod(shared: &Shared, pod: &PodInfo) -> Option<PodUsage> {
    let containers = containers(shared, pod).await?;
    Some(with_disk(shared, pod, containers).await)
}

/// What the engine reports of a pod's containers.
async fn containers(shared: &Shared, pod: &PodInfo) -> Option<Vec<ContainerUsage>> {
    let filter = ContainerStatsFilter {
        label_selector: StringMap::from([(label::POD_UID.to_owned(), pod.uid.clone())]),
        ..ContainerStatsFilter::default()
    };
    match shared.runtime.list_container_stats(&filter).await {
        Ok(stats) => Some(stats.iter().map(of_container).collect()),
        // Usage of the node's disk is measured without the engine.
        Err(error) if error.is_unimplemented() => {
            let containers = pod.containers.iter();
            Some(containers.map(|container| ContainerUsage::new(container.name())).collect())
        }
        Err(error) => {
            tracing::debug!(pod = %pod.key, error = error.full_message(), "cannot query a pod's usage");
            None
        }
    }
}

/// Measures what a pod has on the node's disk.
async fn with_disk(shared: &Shared, pod: &PodInfo, stats: Vec<ContainerUsage>) -> PodUsage {
    let logs = log_directory(shared, pod);
    let tree = async |path: PathBuf| {
        shared.usages.get(&path).await.map(|measured| measured.usage).unwrap_or_default()
    };
    let containers = stats.into_iter().map(|usage| {
        let logs = tree(logs.join(&usage.name));
        async move { ContainerUsage { logs: logs.await, ..usage } }
    });
    let on_disk = pod.spec().volumes.iter().flatten().filter(|volume| is_on_disk(volume));
    let volumes = on_disk.map(|volume| async {
        let path = shared.volumes.empty_dir_path(&pod.uid, &volume.name);
        (volume.name.clone(), tree(path).await)
    });
    let own = tree(own_directory(shared, pod));
    let (containers, volumes, own) =
        tokio::join!(futures::future::join_all(containers), futures::future::join_all(volumes), own);
    PodUsage { containers, volumes: volumes.into_iter().collect(), own }
}

/// Where the logs of a pod's containers are, each in a directory of its name.
pub(crate) fn log_directory(shared: &Shared, pod: &PodInfo) -> PathBuf {
    shared.config.log_dir.join(format!("{}_{}_{}", pod.key.namespace(), pod.key.name, pod.uid))
}

/// Where the files are that the agent keeps for a pod's containers.
pub(crate) fn own_directory(shared: &Shared, pod: &PodInfo) -> PathBuf {
    shared.volumes.pod_directory(&pod.uid).join("containers")
}

/// Whether a volume takes space on the node's disk that counts as the pod's.
pub(crate) fn is_on_disk(volume: &Volume) -> bool {
    let medium = volume.empty_dir.as_ref().map(|source| source.medium.as_deref().unwrap_or_default());
    medium.is_some_and(str::is_empty)
}

fn of_container(stats: &ContainerStats) -> ContainerUsage {
    let memory = stats.memory.as_ref().map_or(0, |memory| memory.working_set_bytes);
    let root = stats
        .writable_layer
        .as_ref()
        .map(|layer| Usage { bytes: layer.used_bytes, inodes: layer.inodes_used })
        .unwrap_or_default();
    ContainerUsage {
        memory: i64::try_from(memory).unwrap_or(i64::MAX),
        root,
        ..ContainerUsage::new(&stats.metadata.name)
    }
}
