//! `/stats/summary`: the usage of the node, its pods and their containers.

use std::collections::HashMap;
use std::fs;

use cri::{ContainerFilter, ContainerStats, MemoryUsage, PodSandboxFilter};
use jiff::{SignedDuration, Timestamp};
use object::Status;
use serde_json::{Value, json};

use super::Server;
use super::stats::{NodeUsage, by_pod, cpu, read_node_usage};

/// Start times.
#[derive(Debug, Default)]
struct Starts {
    /// The machine.
    node: Option<Timestamp>,
    /// Pods by UID; the newest sandbox of each counts.
    pods: HashMap<String, Timestamp>,
    /// Containers by ID.
    containers: HashMap<String, Timestamp>,
}

/// Memory figures apart from usage, which the kernel counts for the whole machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct NodeMemory {
    rss_bytes: u64,
    page_faults: u64,
    major_page_faults: u64,
}

impl NodeMemory {
    /// From `/proc/meminfo` and `/proc/vmstat`.
    fn parse(meminfo: &str, vmstat: &str) -> NodeMemory {
        let of = |text: &str, name: &str| -> u64 {
            let mut lines = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix([':', ' ']));
            lines.find_map(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
        };
        NodeMemory {
            rss_bytes: of(meminfo, "AnonPages") * 1024,
            page_faults: of(vmstat, "pgfault"),
            major_page_faults: of(vmstat, "pgmajfault"),
        }
    }
}

/// When the machine started: `uptime` is `/proc/uptime`.
fn started(uptime: &str, now: Timestamp) -> Option<Timestamp> {
    let seconds: f64 = uptime.split_whitespace().next()?.parse().ok()?;
    now.checked_sub(SignedDuration::try_from_secs_f64(seconds).ok()?).ok()
}

fn memory_json(memory: &MemoryUsage) -> Value {
    json!({
        "time": memory.timestamp.to_string(),
        "availableBytes": memory.available_bytes,
        "usageBytes": memory.usage_bytes,
        "workingSetBytes": memory.working_set_bytes,
        "rssBytes": memory.rss_bytes,
        "pageFaults": memory.page_faults,
        "majorPageFaults": memory.major_page_faults,
    })
}

fn container_json(container: &ContainerStats, starts: &Starts) -> Value {
    let mut value = json!({"name": container.metadata.name});
    if let Some(start) = starts.containers.get(&container.id) {
        value["startTime"] = json!(start.to_string());
    }
    if let Some(cpu) = &container.cpu {
        value["cpu"] =
            json!({"time": cpu.timestamp.to_string(), "usageCoreNanoSeconds": cpu.usage_core_nano_seconds});
    }
    if let Some(memory) = &container.memory {
        value["memory"] = memory_json(memory);
    }
    if let Some(layer) = &container.writable_layer {
        let time = layer.timestamp.to_string();
        value["rootfs"] =
            json!({"time": time, "usedBytes": layer.used_bytes, "inodesUsed": layer.inodes_used});
    }
    value
}

/// The memory of all containers; the available amount is known only if each has a limit.
fn sum(containers: &[&ContainerStats], now: Timestamp) -> MemoryUsage {
    let all = || containers.iter().filter_map(|container| container.memory.as_ref());
    let total = |of: fn(&MemoryUsage) -> u64| all().map(of).sum();
    MemoryUsage {
        timestamp: now,
        available_bytes: all().map(|memory| memory.available_bytes).sum::<Option<u64>>(),
        usage_bytes: total(|memory| memory.usage_bytes),
        working_set_bytes: total(|memory| memory.working_set_bytes),
        rss_bytes: total(|memory| memory.rss_bytes),
        page_faults: total(|memory| memory.page_faults),
        major_page_faults: total(|memory| memory.major_page_faults),
    }
}

/// The usage of the node as a whole.
struct OfNode<'a> {
    name: &'a str,
    usage: NodeUsage,
    memory: NodeMemory,
    memory_capacity: i64,
}

/// `stats/v1alpha1 Summary`.
fn summary(node: &OfNode<'_>, stats: &[ContainerStats], starts: &Starts, now: Timestamp) -> Value {
    let time = now.to_string();
    let pods: Vec<Value> = by_pod(stats)
        .into_iter()
        .map(|((namespace, name, uid), containers)| {
            let start = starts.pods.get(&uid).map(ToString::to_string);
            json!({
                "podRef": {"name": name, "namespace": namespace, "uid": uid},
                "startTime": start,
                "containers": containers.iter().map(|one| container_json(one, starts)).collect::<Vec<_>>(),
                "cpu": {"time": time, "usageCoreNanoSeconds": containers.iter().map(|one| cpu(one)).sum::<u64>()},
                "memory": memory_json(&sum(&containers, now)),
            })
        })
        .collect();
    let capacity = u64::try_from(node.memory_capacity).unwrap_or(0);
    let memory = MemoryUsage {
        timestamp: now,
        working_set_bytes: node.usage.memory_bytes,
        available_bytes: Some(capacity.saturating_sub(node.usage.memory_bytes)),
        usage_bytes: node.usage.memory_bytes,
        rss_bytes: node.memory.rss_bytes,
        page_faults: node.memory.page_faults,
        major_page_faults: node.memory.major_page_faults,
    };
    json!({
        "node": {
            "nodeName": node.name,
            "startTime": starts.node.map(|start| start.to_string()),
            "cpu": {"time": time, "usageCoreNanoSeconds": node.usage.cpu_nanos},
            "memory": memory_json(&memory),
        },
        "pods": pods,
    })
}

impl Server {
    /// The start times of the machine, pods and containers; those that the engine does not report are omitted.
    async fn starts(&self, now: Timestamp) -> Result<Starts, Status> {
        let runtime = &self.shared.runtime;
        let failed = |error: cri::CriError| Status::internal_error(error.full_message());
        let containers = runtime.list_containers(&ContainerFilter::default()).await.map_err(failed)?;
        let sandboxes = runtime.list_pod_sandbox(&PodSandboxFilter::default()).await.map_err(failed)?;
        let mut pods = HashMap::<String, Timestamp>::new();
        for sandbox in sandboxes {
            let start = pods.entry(sandbox.metadata.uid).or_insert(sandbox.created_at);
            *start = sandbox.created_at.max(*start);
        }
        Ok(Starts {
            node: started(&fs::read_to_string("/proc/uptime").unwrap_or_default(), now),
            pods,
            containers: containers.into_iter().map(|one| (one.id, one.created_at)).collect(),
        })
    }

    pub(super) async fn stats_summary(&self) -> Result<Vec<u8>, Status> {
        let now = self.shared.clock.now();
        let stats = self.container_stats().await?;
        let starts = self.starts(now).await?;
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let node = OfNode {
            name: &self.shared.config.node_name,
            usage: read_node_usage(),
            memory: NodeMemory::parse(&read("/proc/meminfo"), &read("/proc/vmstat")),
            memory_capacity: self.shared.facts.memory_bytes,
        };
        Ok(summary(&node, &stats, &starts, now).to_string().into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use cri::{ContainerMetadata, CpuUsage, StringMap};

    use super::*;
    use crate::label;

    #[test]
    fn usage_is_summed_by_pod_and_starts_are_told() {
        let at = |second: i64| Timestamp::from_second(1_800_000_000 + second).unwrap();
        let container = |name: &str, nanos| ContainerStats {
            id: name.into(),
            pod_sandbox_id: "s".into(),
            metadata: ContainerMetadata { name: name.into(), attempt: 0 },
            labels: StringMap::from([(label::POD_UID.to_owned(), "u".to_owned())]),
            annotations: StringMap::new(),
            cpu: Some(CpuUsage { timestamp: at(0), usage_core_nano_seconds: nanos }),
            memory: Some(MemoryUsage {
                timestamp: at(0),
                working_set_bytes: 1,
                available_bytes: (name == "a").then_some(5),
                usage_bytes: 2,
                rss_bytes: 3,
                page_faults: 4,
                major_page_faults: 5,
            }),
            swap: None,
            writable_layer: None,
        };
        let starts = Starts {
            node: started("3600.25 1.0\n", at(3600)),
            pods: HashMap::from([("u".to_owned(), at(-10))]),
            containers: HashMap::from([("a".to_owned(), at(-5))]),
        };
        let memory =
            NodeMemory::parse("MemTotal: 9 kB\nAnonPages:  3 kB\n", "pgfault_x 1\npgfault 7\npgmajfault 2\n");
        assert_eq!(memory, NodeMemory { rss_bytes: 3072, page_faults: 7, major_page_faults: 2 });
        let usage = NodeUsage { cpu_nanos: 1, memory_bytes: 1000 };
        let node = OfNode { name: "n", usage, memory, memory_capacity: 5000 };
        let stats = [container("a", 1_000_000_000), container("b", 500_000_000)];
        let summary = summary(&node, &stats, &starts, at(0));
        assert_eq!(summary["node"]["startTime"], "2027-01-15T07:59:59.75Z");
        assert_eq!(summary["node"]["memory"]["pageFaults"], 7);
        let pod = &summary["pods"][0];
        assert_eq!(
            (&pod["startTime"], &pod["cpu"]["usageCoreNanoSeconds"]),
            (&json!("2027-01-15T07:59:50Z"), &json!(1_500_000_000))
        );
        assert_eq!((&pod["memory"]["rssBytes"], &pod["memory"]["availableBytes"]), (&json!(6), &Value::Null));
        assert_eq!(pod["containers"][0]["startTime"], "2027-01-15T07:59:55Z");
        assert_eq!(pod["containers"][1]["memory"]["majorPageFaults"], 5);
    }
}
