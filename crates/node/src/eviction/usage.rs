//! The usage of pods. Trees are measured on dedicated threads and cached ([`hostfs::Usages`]).

use std::collections::BTreeMap;

use cri::{ContainerStats, ContainerStatsFilter, StringMap};
use hostfs::Usage;

use crate::label;
use crate::pod::PodInfo;
use crate::shared::Shared;

/// The usage of one container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ContainerUsage {
    pub(super) name: String,
    /// Bytes that cannot be reclaimed at once.
    pub(super) memory: i64,
    /// The size of its writable layer.
    pub(super) root: Usage,
    pub(super) logs: Usage,
}

impl ContainerUsage {
    fn new(name: &str) -> ContainerUsage {
        ContainerUsage { name: name.to_owned(), ..ContainerUsage::default() }
    }
}

/// The usage of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PodUsage {
    pub(super) containers: Vec<ContainerUsage>,
    /// Its volumes on the node's disk, by name.
    pub(super) volumes: BTreeMap<String, Usage>,
    /// Files that the agent keeps for it and containers may write to: their termination messages.
    pub(super) own: Usage,
}

impl PodUsage {
    pub(super) fn memory(&self) -> i64 {
        self.containers.iter().map(|container| container.memory).sum()
    }

    pub(super) fn roots(&self) -> Usage {
        sum(self.containers.iter().map(|container| container.root))
    }

    /// The usage of the node's disk apart from root file systems.
    pub(super) fn local(&self) -> Usage {
        sum(self.containers.iter().map(|c| c.logs).chain(self.volumes.values().copied()).chain([self.own]))
    }

    pub(super) fn disk(&self) -> Usage {
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
pub(super) async fn of_pod(shared: &Shared, pod: &PodInfo) -> Option<PodUsage> {
    let filter = ContainerStatsFilter {
        label_selector: StringMap::from([(label::POD_UID.to_owned(), pod.uid.clone())]),
        ..ContainerStatsFilter::default()
    };
    let stats = match shared.runtime.list_container_stats(&filter).await {
        Ok(stats) => stats.iter().map(of_container).collect(),
        // Usage of the node's disk is measured without the engine.
        Err(error) if error.is_unimplemented() => {
            let containers = pod.containers.iter();
            containers.map(|container| ContainerUsage::new(container.name())).collect::<Vec<_>>()
        }
        Err(error) => {
            tracing::debug!(pod = %pod.key, error = error.full_message(), "cannot query a pod's usage");
            return None;
        }
    };
    let logs = shared.config.log_dir.join(format!("{}_{}_{}", pod.key.namespace(), pod.key.name, pod.uid));
    let tree = async |path: std::path::PathBuf| {
        shared.usages.get(&path).await.map(|measured| measured.usage).unwrap_or_default()
    };
    let containers = stats.into_iter().map(|usage| {
        let logs = tree(logs.join(&usage.name));
        async move { ContainerUsage { logs: logs.await, ..usage } }
    });
    let on_disk = pod.spec().volumes.iter().flatten().filter(|volume| {
        volume
            .empty_dir
            .as_ref()
            .is_some_and(|source| source.medium.as_deref().unwrap_or_default().is_empty())
    });
    let volumes = on_disk.map(|volume| async {
        let path = shared.volumes.empty_dir_path(&pod.uid, &volume.name);
        (volume.name.clone(), tree(path).await)
    });
    let own = tree(shared.volumes.pod_directory(&pod.uid).join("containers"));
    let (containers, volumes, own) =
        tokio::join!(futures::future::join_all(containers), futures::future::join_all(volumes), own);
    Some(PodUsage { containers, volumes: volumes.into_iter().collect(), own })
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
