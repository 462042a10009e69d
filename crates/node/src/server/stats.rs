//! Resource usage, measured, and `/metrics/resource`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;

use cri::{ContainerStats, ContainerStatsFilter};
use jiff::Timestamp;
use object::Status;

use super::Server;
use crate::label;

/// The unit of times in `/proc/stat`: 100 on every architecture.
const TICKS_PER_SECOND: u64 = 100;

/// Usage of the whole machine.
pub(super) struct NodeUsage {
    pub(super) cpu_nanos: u64,
    pub(super) memory_bytes: u64,
}

/// Processor time and memory in use, from the kernel's files.
fn node_usage(stat: &str, meminfo: &str, ticks_per_second: u64) -> NodeUsage {
    let line = stat.lines().next().unwrap_or_default();
    let ticks: Vec<u64> = line.split_whitespace().skip(1).filter_map(|word| word.parse().ok()).collect();
    // user, nice, system, (idle, iowait,) irq, softirq, steal
    let busy: u64 = ticks
        .iter()
        .enumerate()
        .filter(|(index, _)| [0, 1, 2, 5, 6, 7].contains(index))
        .map(|(_, t)| t)
        .sum();
    let kib = |name: &str| -> u64 {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    };
    NodeUsage {
        cpu_nanos: busy * (1_000_000_000 / ticks_per_second),
        memory_bytes: kib("MemTotal:").saturating_sub(kib("MemAvailable:")) * 1024,
    }
}

pub(super) fn read_node_usage() -> NodeUsage {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    node_usage(&read("/proc/stat"), &read("/proc/meminfo"), TICKS_PER_SECOND)
}

/// Namespace, name and UID of a pod.
pub(super) type PodKey = (String, String, String);

pub(super) fn by_pod(stats: &[ContainerStats]) -> BTreeMap<PodKey, Vec<&ContainerStats>> {
    let mut pods = BTreeMap::<PodKey, Vec<_>>::new();
    for container in stats {
        let text = |name: &str| container.labels.get(name).cloned().unwrap_or_default();
        let key = (text(label::POD_NAMESPACE), text(label::POD_NAME), text(label::POD_UID));
        pods.entry(key).or_default().push(container);
    }
    pods
}

pub(super) fn cpu(container: &ContainerStats) -> u64 {
    container.cpu.as_ref().map_or(0, |cpu| cpu.usage_core_nano_seconds)
}

fn working_set(container: &ContainerStats) -> u64 {
    container.memory.as_ref().map_or(0, |memory| memory.working_set_bytes)
}

fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

/// The metrics that metrics-server reads (`pkg/kubelet/metrics/collectors/resource_metrics.go`).
fn metrics(usage: &NodeUsage, stats: &[ContainerStats], now: Timestamp) -> String {
    let mut families: [(&str, &str, &str, Vec<String>); 6] = [
        (
            "node_cpu_usage_seconds_total",
            "counter",
            "Cumulative cpu time consumed by the node in core-seconds",
            Vec::new(),
        ),
        ("node_memory_working_set_bytes", "gauge", "Current working set of the node in bytes", Vec::new()),
        (
            "container_cpu_usage_seconds_total",
            "counter",
            "Cumulative cpu time consumed by the container in core-seconds",
            Vec::new(),
        ),
        (
            "container_memory_working_set_bytes",
            "gauge",
            "Current working set of the container in bytes",
            Vec::new(),
        ),
        (
            "pod_cpu_usage_seconds_total",
            "counter",
            "Cumulative cpu time consumed by the pod in core-seconds",
            Vec::new(),
        ),
        ("pod_memory_working_set_bytes", "gauge", "Current working set of the pod in bytes", Vec::new()),
    ];
    let now = now.as_millisecond();
    families[0].3.push(format!(" {} {now}", seconds(usage.cpu_nanos)));
    families[1].3.push(format!(" {} {now}", usage.memory_bytes));
    for ((namespace, pod, _), containers) in by_pod(stats) {
        for container in &containers {
            let name = &container.metadata.name;
            let labels = format!("{{container=\"{name}\",namespace=\"{namespace}\",pod=\"{pod}\"}}");
            if let Some(cpu) = &container.cpu {
                let at = cpu.timestamp.as_millisecond();
                families[2].3.push(format!("{labels} {} {at}", seconds(cpu.usage_core_nano_seconds)));
            }
            if let Some(memory) = &container.memory {
                let at = memory.timestamp.as_millisecond();
                families[3].3.push(format!("{labels} {} {at}", memory.working_set_bytes));
            }
        }
        let labels = format!("{{namespace=\"{namespace}\",pod=\"{pod}\"}}");
        let sum =
            |of: fn(&ContainerStats) -> u64| containers.iter().map(|container| of(container)).sum::<u64>();
        families[4].3.push(format!("{labels} {} {now}", seconds(sum(cpu))));
        families[5].3.push(format!("{labels} {} {now}", sum(working_set)));
    }
    let mut text = String::new();
    for (name, kind, help, samples) in families {
        writeln!(text, "# HELP {name} [STABLE] {help}\n# TYPE {name} {kind}")
            .expect("writing to a string cannot fail");
        for sample in samples {
            writeln!(text, "{name}{sample}").expect("writing to a string cannot fail");
        }
    }
    text.push_str("# HELP resource_scrape_error [STABLE] 1 if there was an error while getting container metrics, 0 otherwise\n");
    text.push_str("# TYPE resource_scrape_error gauge\nresource_scrape_error 0\n");
    text
}

impl Server {
    pub(super) async fn container_stats(&self) -> Result<Vec<ContainerStats>, Status> {
        let stats = self.shared.runtime.list_container_stats(&ContainerStatsFilter::default()).await;
        match stats {
            // The node's own usage is known even then.
            Err(error) if error.is_unimplemented() => Ok(Vec::new()),
            stats => stats.map_err(|error| Status::internal_error(error.full_message())),
        }
    }

    pub(super) async fn resource_metrics(&self) -> Result<String, Status> {
        let stats = self.container_stats().await?;
        Ok(metrics(&read_node_usage(), &stats, self.shared.clock.now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cri::{ContainerMetadata, CpuUsage, StringMap};

    #[test]
    fn usage_is_summed_by_pod() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let container = |name: &str, nanos| ContainerStats {
            id: name.into(),
            pod_sandbox_id: "s".into(),
            metadata: ContainerMetadata { name: name.into(), attempt: 0 },
            labels: StringMap::from([(label::POD_NAME.to_owned(), "web".to_owned())]),
            annotations: StringMap::new(),
            cpu: Some(CpuUsage { timestamp: now, usage_core_nano_seconds: nanos }),
            memory: None,
            swap: None,
            writable_layer: None,
        };
        let stats = [container("a", 1_000_000_000), container("b", 500_000_000)];
        let usage = node_usage("cpu 100 0 50 900 0 0 0 0\n", "MemTotal: 100 kB\nMemAvailable: 40 kB\n", 100);
        assert_eq!((usage.cpu_nanos, usage.memory_bytes), (1_500_000_000, 60 * 1024));
        let text = metrics(&usage, &stats, now);
        assert!(
            text.contains("pod_cpu_usage_seconds_total{namespace=\"\",pod=\"web\"} 1.5 1800000000000\n"),
            "{text}"
        );
    }
}
