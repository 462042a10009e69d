//! `/stats/summary`: the usage of the node, its pods and their containers.

use std::collections::HashMap;

use futures::future::join_all;
use hostfs::Usage;
use jiff::Timestamp;
use object::Status;

use super::disks::{NodeDisks, PodDisks};
use super::rates::{Observed, Subject, WINDOW_MIN};
use super::types::{
    ContainerStats, CpuStats, FsStats, InterfaceStats, IoStats, MemoryStats, NetworkStats, NodeStats,
    PodReference, PodStats, ProcessStats, PsiStats, RlimitStats, Summary, SwapStats,
};
use super::{Seen, SeenContainer, SeenPod};
use crate::machine::{Machine, Space};
use crate::pod::PodInfo;
use crate::server::Server;
use crate::server::query::Query;

impl Server {
    /// The summary. Processor use at present takes two samples: if there is no recent one, this waits for half a second.
    /// With `only_cpu_and_memory`, as upstream, it tells nothing else.
    pub(in crate::server) async fn stats_summary(&self, query: &Query) -> Result<Vec<u8>, Status> {
        let mut seen = self.look().await?;
        let mut rates = self.rates.observe(seen.samples());
        if rates.is_partial {
            tokio::time::sleep(WINDOW_MIN).await;
            seen = self.look().await?;
            rates = self.rates.observe(seen.samples());
        }
        let summary = if query.flag("only_cpu_and_memory") {
            let pods = seen.pods.iter().map(|pod| processors_and_memory(pod, &rates, seen.at));
            Summary { node: self.node_processors_and_memory(&seen, &rates), pods: pods.collect() }
        } else {
            self.whole(&seen, &rates).await
        };
        serde_json::to_vec(&summary).map_err(|error| Status::internal_error(error.to_string()))
    }

    fn node_processors_and_memory(&self, seen: &Seen, rates: &Observed) -> NodeStats {
        let Seen { machine, at, .. } = seen;
        NodeStats {
            node_name: self.shared.config.node_name.clone(),
            start_time: machine.started,
            cpu: machine.cpu_nanos.map(|usage_core_nano_seconds| CpuStats {
                time: *at,
                usage_nano_cores: rates.of(&Subject::Node),
                usage_core_nano_seconds,
                psi: machine.pressures.cpu.map(PsiStats::from),
            }),
            memory: node_memory(machine, *at),
            ..NodeStats::default()
        }
    }

    async fn whole(&self, seen: &Seen, rates: &Observed) -> Summary {
        let Seen { machine, at, pods } = seen;
        let known: HashMap<String, PodInfo> =
            self.pods.list().into_iter().map(PodInfo::new).map(|pod| (pod.uid.clone(), pod)).collect();
        let of_pods = pods.iter().map(async |pod| match known.get(&pod.uid) {
            Some(info) => PodDisks::measure(&self.shared, pod, info, *at).await,
            // The agent no longer knows it.
            None => PodDisks::default(),
        });
        let (disks, of_pods) = tokio::join!(NodeDisks::measure(&self.shared), join_all(of_pods));
        let pods = pods.iter().zip(of_pods).map(|(pod, of_pod)| whole_pod(pod, of_pod, &disks, rates, *at));
        Summary {
            pods: pods.collect(),
            node: NodeStats {
                io: IoStats::new(*at, machine.pressures.io),
                network: node_network(machine, *at),
                fs: disks.root.map(|space| FsStats::of_space(*at, space)),
                runtime: disks.runtime(*at),
                rlimit: machine.processes.map(|processes| RlimitStats {
                    time: *at,
                    maxpid: processes.maximum,
                    curproc: processes.current,
                }),
                swap: machine.swap.map(|swap| SwapStats {
                    time: *at,
                    swap_available_bytes: Some(swap.available),
                    swap_usage_bytes: swap.usage,
                }),
                ..self.node_processors_and_memory(seen, rates)
            },
        }
    }
}

fn node_memory(machine: &Machine, time: Timestamp) -> Option<MemoryStats> {
    let memory = machine.memory?;
    Some(MemoryStats {
        time,
        available_bytes: Some(memory.available()),
        usage_bytes: memory.usage,
        working_set_bytes: memory.working_set,
        rss_bytes: machine.rss_bytes,
        page_faults: machine.page_faults,
        major_page_faults: machine.major_page_faults,
        psi: machine.pressures.memory.map(PsiStats::from),
    })
}

fn node_network(machine: &Machine, time: Timestamp) -> Option<NetworkStats> {
    let interfaces: Vec<InterfaceStats> = machine.interfaces.iter().map(InterfaceStats::from).collect();
    let is_default = |one: &&InterfaceStats| Some(&one.name) == machine.default_interface.as_ref();
    let default = interfaces.iter().find(is_default).cloned();
    (!interfaces.is_empty()).then_some(NetworkStats { time, default, interfaces })
}

fn pod_network(pod: &SeenPod) -> Option<NetworkStats> {
    let network = pod.sandbox.as_ref()?.network.as_ref()?;
    let all = network.default_interface.iter().chain(&network.interfaces);
    Some(NetworkStats {
        time: network.timestamp,
        default: network.default_interface.as_ref().map(InterfaceStats::from),
        interfaces: all.map(InterfaceStats::from).collect(),
    })
}

fn processors_and_memory(pod: &SeenPod, rates: &Observed, now: Timestamp) -> PodStats {
    let rate = rates.of(&Subject::Pod(pod.uid.clone()));
    let pressures = pod.pressures();
    PodStats {
        pod_ref: PodReference {
            name: pod.name.clone(),
            namespace: pod.namespace.clone(),
            uid: pod.uid.clone(),
        },
        start_time: pod.started,
        containers: pod.containers.iter().map(|one| container(one, rates)).collect(),
        cpu: pod.cpu(now).map(|cpu| CpuStats::new(&cpu, rate, pressures.cpu)),
        memory: pod.memory(now).map(|memory| MemoryStats::new(&memory, pressures.memory)),
        ..PodStats::default()
    }
}

fn container(container: &SeenContainer, rates: &Observed) -> ContainerStats {
    let SeenContainer { stats, started, .. } = container;
    let rate = rates.of(&Subject::Container(stats.id.clone()));
    ContainerStats {
        name: stats.metadata.name.clone(),
        start_time: *started,
        cpu: stats.cpu.as_ref().map(|cpu| CpuStats::new(cpu, rate, stats.pressures.cpu)),
        memory: stats.memory.as_ref().map(|memory| MemoryStats::new(memory, stats.pressures.memory)),
        ..ContainerStats::default()
    }
}

fn whole_pod(
    pod: &SeenPod,
    of_pod: PodDisks,
    disks: &NodeDisks,
    rates: &Observed,
    now: Timestamp,
) -> PodStats {
    let mut stats = processors_and_memory(pod, rates, now);
    for (shown, container) in stats.containers.iter_mut().zip(&pod.containers) {
        let logs = of_pod.logs.get(&shown.name).copied();
        shown.logs = logs.map(|usage| FsStats::of_tree(now, disks.root, Some(usage)));
        shown.rootfs = rootfs(container, disks);
        shown.swap = container.stats.swap.as_ref().map(SwapStats::from);
        let time = container.stats.cpu.as_ref().map_or(now, |cpu| cpu.timestamp);
        shown.io = IoStats::new(time, container.stats.pressures.io);
    }
    PodStats {
        io: IoStats::new(now, pod.pressures().io),
        network: pod_network(pod),
        volumes: of_pod.volumes,
        ephemeral_storage: of_pod.total.map(|usage| FsStats::of_tree(now, disks.root, Some(usage))),
        process_stats: pod
            .sandbox
            .as_ref()
            .and_then(|sandbox| sandbox.process_count)
            .map(|process_count| ProcessStats { process_count }),
        swap: pod.swap(now).as_ref().map(SwapStats::from),
        ..stats
    }
}

/// The writable layer, on the file system of layers.
fn rootfs(container: &SeenContainer, disks: &NodeDisks) -> Option<FsStats> {
    let layer = container.stats.writable_layer.as_ref()?;
    let space: Option<Space> = disks.containers.as_ref().or(disks.images.as_ref()).map(|fs| fs.1);
    let usage = Usage { bytes: layer.used_bytes, inodes: layer.inodes_used };
    Some(FsStats::of_tree(layer.timestamp, space, Some(usage)))
}

#[cfg(test)]
mod tests;
