//! What containers and sandboxes use.

use std::io;
use std::path::Path;

use super::Engine;
use super::launch::cgroup_path;
use super::namespaces::{in_network, network_path};
use super::record::SandboxRecord;
use super::sandbox::{Sandbox, blocking, has_own_network};
use crate::shim::cgroup::{Cgroup, Usage};
use cri::{
    ContainerFilter, ContainerState, ContainerStats, ContainerStatsFilter, CpuUsage, CriError,
    FilesystemUsage, MemoryUsage, NetworkInterfaceUsage, NetworkUsage, PodSandboxFilter, PodSandboxState,
    PodSandboxStats, PodSandboxStatsFilter, Pressures, SwapUsage,
};
use rustix::io::Errno;

/// The counters of the interfaces in the network namespace of the thread that reads them.
const INTERFACES: &str = "/proc/thread-self/net/dev";
/// The interface of a sandbox that leads to other pods.
const DEFAULT_INTERFACE: &str = "eth0";
const LOOPBACK: &str = "lo";

impl Engine {
    pub(super) async fn stats_of(&self, id: &str) -> Result<ContainerStats, CriError> {
        let container = self.container(id)?;
        let record = container.snapshot();
        let sandbox = self.sandbox(&record.sandbox_id)?.snapshot();
        let written = self.0.roots.usage(id).await?;
        let mut stats = ContainerStats {
            writable_layer: Some(FilesystemUsage {
                timestamp: self.0.clock.now(),
                mountpoint: record.rootfs.display().to_string(),
                used_bytes: written.bytes,
                inodes_used: written.inodes,
            }),
            id: record.id,
            pod_sandbox_id: record.sandbox_id,
            metadata: record.config.metadata,
            labels: record.config.labels,
            annotations: record.config.annotations,
            cpu: None,
            memory: None,
            swap: None,
            pressures: Pressures::default(),
        };
        if container.is_running() {
            let path = cgroup_path(&sandbox, id);
            let counters = blocking("read the container's counters", move || counters(&path)).await?;
            if let Some((usage, pressures)) = counters {
                add_usage(&mut stats, &usage, self.0.clock.now());
                stats.pressures = pressures;
            }
        }
        Ok(stats)
    }

    pub(super) async fn list_stats(
        &self,
        filter: &ContainerStatsFilter,
    ) -> Result<Vec<ContainerStats>, CriError> {
        let containers = self.list(&ContainerFilter {
            id: filter.id.clone(),
            state: Some(ContainerState::Running),
            pod_sandbox_id: filter.pod_sandbox_id.clone(),
            label_selector: filter.label_selector.clone(),
        });
        let mut all = Vec::with_capacity(containers.len());
        // Concurrently, so that a tree that takes long to measure does not delay the others.
        let stats = containers.iter().map(|container| self.stats_of(&container.id));
        for stats in futures::future::join_all(stats).await {
            match stats {
                Ok(stats) => all.push(stats),
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }

    pub(super) async fn list_sandbox_stats(
        &self,
        filter: &PodSandboxStatsFilter,
    ) -> Result<Vec<PodSandboxStats>, CriError> {
        let sandboxes = self.list_sandboxes(&PodSandboxFilter {
            id: filter.id.clone(),
            state: Some(PodSandboxState::Ready),
            label_selector: filter.label_selector.clone(),
        });
        let stats = sandboxes.iter().map(|sandbox| self.sandbox_stats_of(&sandbox.id));
        let all = futures::future::join_all(stats).await;
        all.into_iter().filter(|stats| !stats.as_ref().is_err_and(CriError::is_not_found)).collect()
    }

    async fn sandbox_stats_of(&self, id: &str) -> Result<PodSandboxStats, CriError> {
        let sandbox = self.sandbox(id)?;
        let record = sandbox.snapshot();
        let network = self.network_of(&sandbox, &record).await;
        let (counters, process_count) = self.cgroups_of(&record).await?;
        let usage = counters.map(|(usage, _)| usage);
        let now = self.0.clock.now();
        let config = record.config;
        Ok(PodSandboxStats {
            id: record.id,
            metadata: config.metadata,
            labels: config.labels,
            annotations: config.annotations,
            network,
            cpu: usage.map(|usage| cpu(&usage, now)),
            memory: usage.map(|usage| memory(&usage, now)),
            swap: usage.and_then(|usage| swap(&usage, now)),
            pressures: counters.map(|(_, pressures)| pressures).unwrap_or_default(),
            process_count: Some(process_count),
        })
    }

    /// The interfaces of a sandbox; `None` on the host's network, and if they cannot be read: the other figures count
    /// all the same.
    async fn network_of(&self, sandbox: &Sandbox, record: &SandboxRecord) -> Option<NetworkUsage> {
        if !has_own_network(&record.config) {
            return None;
        }
        let path = network_path(&sandbox.directory);
        let read = blocking("read the counters of a sandbox's network", move || interfaces(&path));
        match read.await {
            Ok(interfaces) => Some(network(interfaces, self.0.clock.now())),
            Err(error) => {
                // If it has just ended, its network has too.
                if sandbox.is_ready() {
                    let error = error.full_message();
                    tracing::debug!(sandbox = record.id, error, "cannot read the counters of a network");
                }
                None
            }
        }
    }

    /// The counters of a sandbox's own cgroup, if it has one, and the number of its containers' processes.
    async fn cgroups_of(&self, record: &SandboxRecord) -> Result<(Option<Counters>, u64), CriError> {
        let containers = self.list(&ContainerFilter {
            pod_sandbox_id: Some(record.id.clone()),
            state: Some(ContainerState::Running),
            ..ContainerFilter::default()
        });
        let paths: Vec<String> = containers.iter().map(|one| cgroup_path(record, &one.id)).collect();
        // Sandboxes without one share a default.
        let own = Some(record.config.linux.cgroup_parent.clone()).filter(|parent| !parent.is_empty());
        blocking("read a sandbox's counters", move || {
            let counted = paths.iter().map(|path| Ok(Cgroup::new(path)?.process_count() as u64));
            let processes = counted.sum::<io::Result<u64>>()?;
            // It exists as long as one of its containers.
            Ok((own.and_then(|own| counters(&own).ok().flatten()), processes))
        })
        .await
    }
}

/// What a cgroup counts.
type Counters = (Usage, Pressures);

/// The counters of a cgroup; `None` if it is gone: that of a container that has just ended is removed before the engine
/// hears of the end. Blocks.
fn counters(path: &str) -> io::Result<Option<Counters>> {
    let cgroup = Cgroup::new(path)?;
    match cgroup.usage() {
        Ok(usage) => Ok(Some((usage, cgroup.pressures()))),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the file is missing, or was removed after it had been opened.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(Errno::NODEV.raw_os_error())
}

/// The interfaces in a network namespace. Blocks.
fn interfaces(namespace: &Path) -> io::Result<Vec<NetworkInterfaceUsage>> {
    let text = in_network(namespace, || std::fs::read_to_string(INTERFACES))?;
    Ok(NetworkInterfaceUsage::parse_all(&text))
}

fn network(interfaces: Vec<NetworkInterfaceUsage>, timestamp: jiff::Timestamp) -> NetworkUsage {
    let others = interfaces.into_iter().filter(|interface| interface.name != LOOPBACK);
    let (default, interfaces): (Vec<_>, Vec<_>) =
        others.partition(|interface| interface.name == DEFAULT_INTERFACE);
    NetworkUsage { timestamp, default_interface: default.into_iter().next(), interfaces }
}

fn add_usage(stats: &mut ContainerStats, usage: &Usage, timestamp: jiff::Timestamp) {
    stats.cpu = Some(cpu(usage, timestamp));
    stats.memory = Some(memory(usage, timestamp));
    stats.swap = swap(usage, timestamp);
}

fn cpu(usage: &Usage, timestamp: jiff::Timestamp) -> CpuUsage {
    CpuUsage { timestamp, usage_core_nano_seconds: usage.cpu_nanos }
}

fn memory(usage: &Usage, timestamp: jiff::Timestamp) -> MemoryUsage {
    let working_set_bytes = usage.memory.saturating_sub(usage.inactive_file);
    MemoryUsage {
        timestamp,
        working_set_bytes,
        available_bytes: usage.memory_limit.map(|limit| limit.saturating_sub(working_set_bytes)),
        usage_bytes: usage.memory,
        rss_bytes: usage.rss,
        page_faults: usage.page_faults,
        major_page_faults: usage.major_page_faults,
    }
}

fn swap(usage: &Usage, timestamp: jiff::Timestamp) -> Option<SwapUsage> {
    Some(SwapUsage {
        timestamp,
        swap_available_bytes: usage
            .swap_limit
            .zip(usage.swap)
            .map(|(limit, used)| limit.saturating_sub(used)),
        swap_usage_bytes: usage.swap?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cgroup_that_is_gone_has_no_counters() {
        assert!(matches!(counters("/ironhull-test-gone"), Ok(None)));
        assert!(is_gone(&io::Error::from_raw_os_error(Errno::NODEV.raw_os_error())));
        assert!(!is_gone(&io::Error::from_raw_os_error(Errno::ACCESS.raw_os_error())));
    }
}
