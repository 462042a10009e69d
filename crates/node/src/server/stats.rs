//! What the node, its pods and their containers use: measured when somebody asks.
//!
//! | module | does |
//! | --- | --- |
//! | `disks` | what pods have on disks, and their volumes |
//! | `rates` | *pure*: processor use at present, from two samples |
//! | `summary` | `/stats/summary` |
//! | `types` | the JSON of that |
//! | `exposed` | the text format of metrics |
//! | `resource` | `/metrics/resource` |
//! | `cadvisor` | `/metrics/cadvisor` |
//! | `claims` | the usage of claims among the node's own metrics |

use std::collections::{BTreeMap, HashMap};

use cri::{
    Container, ContainerFilter, ContainerStats, ContainerStatsFilter, CpuUsage, CriError, MemoryUsage,
    PodSandbox, PodSandboxFilter, PodSandboxStats, PodSandboxStatsFilter, Pressures, StringMap, SwapUsage,
};
use jiff::Timestamp;
use object::Status;

use super::Server;
use crate::label;
use crate::machine::Machine;

mod cadvisor;
mod claims;
mod disks;
mod exposed;
mod rates;
mod resource;
mod summary;
mod types;

pub(super) use rates::Rates;
use rates::{Sample, Subject};

/// Everything at one time.
struct Seen {
    at: Timestamp,
    machine: Machine,
    pods: Vec<SeenPod>,
}

/// A pod, by namespace and name.
#[derive(Debug, Default)]
struct SeenPod {
    namespace: String,
    name: String,
    uid: String,
    started: Option<Timestamp>,
    sandbox: Option<PodSandboxStats>,
    containers: Vec<SeenContainer>,
}

#[derive(Debug)]
struct SeenContainer {
    stats: ContainerStats,
    started: Option<Timestamp>,
    /// As configured; empty if it is not known.
    image: String,
}

impl Seen {
    /// The processor time of all subjects.
    fn samples(&self) -> Vec<(Subject, Sample)> {
        let sample = |cpu: CpuUsage| Sample { at: cpu.timestamp, nanos: cpu.usage_core_nano_seconds };
        let node = self.machine.cpu_nanos.map(|nanos| (Subject::Node, Sample { at: self.at, nanos }));
        let mut samples: Vec<_> = node.into_iter().collect();
        for pod in &self.pods {
            samples.extend(pod.cpu(self.at).map(|cpu| (Subject::Pod(pod.uid.clone()), sample(cpu))));
            let containers = pod.containers.iter().filter_map(|container| {
                let cpu = container.stats.cpu.clone()?;
                Some((Subject::Container(container.stats.id.clone()), sample(cpu)))
            });
            samples.extend(containers);
        }
        samples
    }
}

impl SeenPod {
    /// What its cgroup says, otherwise the sum of its running containers.
    fn cpu(&self, now: Timestamp) -> Option<CpuUsage> {
        let own = self.sandbox.as_ref().and_then(|sandbox| sandbox.cpu.clone());
        own.or_else(|| {
            let all: Vec<u64> = self.known(|stats| Some(stats.cpu.as_ref()?.usage_core_nano_seconds));
            (!all.is_empty()).then(|| CpuUsage { timestamp: now, usage_core_nano_seconds: all.iter().sum() })
        })
    }

    /// The same; the available amount of a sum is known only if each container has a limit.
    fn memory(&self, now: Timestamp) -> Option<MemoryUsage> {
        let own = self.sandbox.as_ref().and_then(|sandbox| sandbox.memory.clone());
        own.or_else(|| {
            let all: Vec<&MemoryUsage> = self.known(|stats| stats.memory.as_ref());
            let total = |of: fn(&MemoryUsage) -> u64| all.iter().map(|memory| of(memory)).sum();
            (!all.is_empty()).then(|| MemoryUsage {
                timestamp: now,
                available_bytes: all.iter().map(|memory| memory.available_bytes).sum::<Option<u64>>(),
                usage_bytes: total(|memory| memory.usage_bytes),
                working_set_bytes: total(|memory| memory.working_set_bytes),
                rss_bytes: total(|memory| memory.rss_bytes),
                page_faults: total(|memory| memory.page_faults),
                major_page_faults: total(|memory| memory.major_page_faults),
            })
        })
    }

    /// The same.
    fn swap(&self, now: Timestamp) -> Option<SwapUsage> {
        let own = self.sandbox.as_ref().and_then(|sandbox| sandbox.swap.clone());
        own.or_else(|| {
            let all: Vec<&SwapUsage> = self.known(|stats| stats.swap.as_ref());
            (!all.is_empty()).then(|| SwapUsage {
                timestamp: now,
                swap_available_bytes: all.iter().map(|swap| swap.swap_available_bytes).sum::<Option<u64>>(),
                swap_usage_bytes: all.iter().map(|swap| swap.swap_usage_bytes).sum(),
            })
        })
    }

    /// What its cgroup says.
    fn pressures(&self) -> Pressures {
        self.sandbox.as_ref().map(|sandbox| sandbox.pressures).unwrap_or_default()
    }

    fn known<'a, T>(&'a self, of: impl Fn(&'a ContainerStats) -> Option<T>) -> Vec<T> {
        self.containers.iter().filter_map(|container| of(&container.stats)).collect()
    }
}

/// Groups what the engine reports by pod.
fn by_pod(
    stats: Vec<ContainerStats>,
    sandbox_stats: Vec<PodSandboxStats>,
    containers: Vec<Container>,
    sandboxes: &[PodSandbox],
) -> Vec<SeenPod> {
    let mut created: HashMap<String, Container> =
        containers.into_iter().map(|one| (one.id.clone(), one)).collect();
    let started: HashMap<&str, Timestamp> =
        sandboxes.iter().map(|one| (one.id.as_str(), one.created_at)).collect();
    let mut pods = BTreeMap::<(String, String, String), SeenPod>::new();
    for sandbox in sandbox_stats {
        let pod = entry(&mut pods, &sandbox.labels);
        let sandbox_started = started.get(sandbox.id.as_str()).copied();
        // The newest sandbox counts.
        if pod.sandbox.is_none() || sandbox_started > pod.started {
            pod.started = sandbox_started;
            pod.sandbox = Some(sandbox);
        }
    }
    for stats in stats {
        let pod = entry(&mut pods, &stats.labels);
        if pod.started.is_none() {
            pod.started = started.get(stats.pod_sandbox_id.as_str()).copied();
        }
        let created = created.remove(&stats.id);
        let at = created.as_ref().map(|container| container.created_at);
        let image = created.map(|container| container.image.image).unwrap_or_default();
        pod.containers.push(SeenContainer { stats, started: at, image });
    }
    pods.into_values().collect()
}

/// The pod of something with these labels.
fn entry<'p>(
    pods: &'p mut BTreeMap<(String, String, String), SeenPod>,
    labels: &StringMap,
) -> &'p mut SeenPod {
    let text = |name: &str| labels.get(name).cloned().unwrap_or_default();
    let key = (text(label::POD_NAMESPACE), text(label::POD_NAME), text(label::POD_UID));
    pods.entry(key.clone()).or_insert_with(|| {
        let (namespace, name, uid) = key;
        SeenPod { namespace, name, uid, ..SeenPod::default() }
    })
}

fn failed(error: CriError) -> Status {
    Status::internal_error(error.full_message())
}

/// What an engine reports; nothing if it does not report such.
fn reported<T>(result: Result<Vec<T>, CriError>) -> Result<Vec<T>, Status> {
    match result {
        // The node's own usage is known even then.
        Err(error) if error.is_unimplemented() => Ok(Vec::new()),
        result => result.map_err(failed),
    }
}

impl Server {
    /// Measures everything except for disks.
    async fn look(&self) -> Result<Seen, Status> {
        let runtime = &self.shared.runtime;
        let (container_filter, sandbox_filter) = (ContainerFilter::default(), PodSandboxFilter::default());
        let (stats_filter, sandbox_stats_filter) =
            (ContainerStatsFilter::default(), PodSandboxStatsFilter::default());
        let (stats, sandbox_stats, containers, sandboxes) = tokio::join!(
            runtime.list_container_stats(&stats_filter),
            runtime.list_pod_sandbox_stats(&sandbox_stats_filter),
            runtime.list_containers(&container_filter),
            runtime.list_pod_sandbox(&sandbox_filter),
        );
        let (containers, sandboxes) = (containers.map_err(failed)?, sandboxes.map_err(failed)?);
        let at = self.shared.clock.now();
        Ok(Seen {
            at,
            machine: Machine::read(at),
            pods: by_pod(reported(stats)?, reported(sandbox_stats)?, containers, &sandboxes),
        })
    }
}

#[cfg(test)]
mod tests;
