//! `/metrics/cadvisor`: what the node, its pods and their containers use, by the names and labels that cAdvisor gives it
//! (`pkg/kubelet/server/server.go`: `containerPrometheusLabelsFunc`).

use std::collections::HashMap;
use std::path::Path;

use cri::{FilesystemUsage, MemoryUsage, NetworkInterfaceUsage, NetworkUsage, Pressures, SwapUsage};
use jiff::Timestamp;
use object::Status;

use super::disks::NodeDisks;
use super::exposed::{Exposed, Heading, Sample};
use super::{Seen, SeenContainer, SeenPod};
use crate::machine::{self, Space};
use crate::pod::PodInfo;
use crate::server::Server;
use crate::spec::cgroup_parent;

/// The node as a whole, a pod, or a container. What it has not is empty.
#[derive(Clone, Debug, Default)]
struct Subject {
    /// Its cgroup.
    id: String,
    image: String,
    /// The engine's name for it.
    name: String,
    namespace: String,
    pod: String,
    container: String,
    at: Timestamp,
    cpu_nanos: Option<(u64, Timestamp)>,
    memory: Option<MemoryUsage>,
    swap: Option<SwapUsage>,
    started: Option<Timestamp>,
    processes: Option<u64>,
    pressures: Pressures,
    disk: Option<Disk>,
    /// With its time.
    interfaces: Vec<(NetworkInterfaceUsage, Timestamp)>,
}

/// A file system, and what the subject uses of it.
#[derive(Clone, Debug)]
struct Disk {
    device: String,
    used_bytes: u64,
    space: Option<Space>,
}

/// A value, a label apart from those of every subject, and the time.
type Value = (f64, Option<(&'static str, String)>, Timestamp);

type FamilyOf = (Heading, fn(&Subject) -> Vec<Value>);

/// The value of one figure.
fn one(value: Option<f64>, at: Timestamp) -> Vec<Value> {
    value.map(|value| (value, None, at)).into_iter().collect()
}

fn memory(subject: &Subject, of: fn(&MemoryUsage) -> u64) -> Vec<Value> {
    let memory = subject.memory.as_ref();
    memory.map(|memory| (of(memory) as f64, None, memory.timestamp)).into_iter().collect()
}

fn faults(subject: &Subject) -> Vec<Value> {
    let Some(memory) = &subject.memory else { return Vec::new() };
    let kinds = [("pgfault", memory.page_faults), ("pgmajfault", memory.major_page_faults)];
    let value = |(kind, count): (&str, u64)| {
        (count as f64, Some(("failure_type", kind.to_owned())), memory.timestamp)
    };
    kinds.map(value).into()
}

fn disk(subject: &Subject, of: impl Fn(&Disk) -> Option<u64>) -> Vec<Value> {
    let value = |disk: &Disk| Some((of(disk)? as f64, Some(("device", disk.device.clone())), subject.at));
    subject.disk.as_ref().and_then(value).into_iter().collect()
}

fn network(subject: &Subject, of: fn(&NetworkInterfaceUsage) -> Option<u64>) -> Vec<Value> {
    let value = |(interface, at): &(NetworkInterfaceUsage, Timestamp)| {
        Some((of(interface)? as f64, Some(("interface", interface.name.clone())), *at))
    };
    subject.interfaces.iter().filter_map(value).collect()
}

const USAGE: [FamilyOf; 8] = [
    (Heading::counter("container_cpu_usage_seconds_total", "Processor time in core-seconds."), |subject| {
        let value =
            |(nanos, at): (u64, Timestamp)| (nanos as f64 / 1e9, Some(("cpu", "total".to_owned())), at);
        subject.cpu_nanos.map(value).into_iter().collect()
    }),
    (Heading::gauge("container_memory_usage_bytes", "Memory in use, in bytes, all of it."), |subject| {
        memory(subject, |memory| memory.usage_bytes)
    }),
    (Heading::gauge("container_memory_working_set_bytes", "Working set in bytes."), |subject| {
        memory(subject, |memory| memory.working_set_bytes)
    }),
    (Heading::gauge("container_memory_rss", "Resident memory in bytes."), |subject| {
        memory(subject, |memory| memory.rss_bytes)
    }),
    (Heading::counter("container_memory_failures_total", "Page faults."), faults),
    (Heading::gauge("container_memory_swap", "Swap in use, in bytes."), |subject| {
        let swap = subject.swap.as_ref();
        one(swap.map(|swap| swap.swap_usage_bytes as f64), swap.map_or(subject.at, |swap| swap.timestamp))
    }),
    (Heading::gauge("container_start_time_seconds", "Start in seconds since 1970."), |subject| {
        one(subject.started.map(|started| started.as_millisecond() as f64 / 1e3), subject.at)
    }),
    (Heading::gauge("container_processes", "Number of processes."), |subject| {
        one(subject.processes.map(|count| count as f64), subject.at)
    }),
];

fn pressure(subject: &Subject, of: fn(&Pressures) -> Option<u64>) -> Vec<Value> {
    one(of(&subject.pressures).map(|nanos| nanos as f64 / 1e9), subject.at)
}

const PRESSURES: [FamilyOf; 6] = [
    (
        Heading::counter("container_pressure_cpu_waiting_seconds_total", "Some tasks waited for processors."),
        |subject| pressure(subject, |of| Some(of.cpu?.some.total_nanos)),
    ),
    (
        Heading::counter("container_pressure_cpu_stalled_seconds_total", "All tasks waited for processors."),
        |subject| pressure(subject, |of| Some(of.cpu?.full.total_nanos)),
    ),
    (
        Heading::counter("container_pressure_memory_waiting_seconds_total", "Some tasks waited for memory."),
        |subject| pressure(subject, |of| Some(of.memory?.some.total_nanos)),
    ),
    (
        Heading::counter("container_pressure_memory_stalled_seconds_total", "All tasks waited for memory."),
        |subject| pressure(subject, |of| Some(of.memory?.full.total_nanos)),
    ),
    (
        Heading::counter("container_pressure_io_waiting_seconds_total", "Some tasks waited for disks."),
        |subject| pressure(subject, |of| Some(of.io?.some.total_nanos)),
    ),
    (
        Heading::counter("container_pressure_io_stalled_seconds_total", "All tasks waited for disks."),
        |subject| pressure(subject, |of| Some(of.io?.full.total_nanos)),
    ),
];

const DISKS: [FamilyOf; 4] = [
    (Heading::gauge("container_fs_usage_bytes", "Bytes in use on a file system."), |subject| {
        disk(subject, |disk| Some(disk.used_bytes))
    }),
    (Heading::gauge("container_fs_limit_bytes", "Bytes that a file system can hold."), |subject| {
        disk(subject, |disk| Some(disk.space?.bytes.capacity))
    }),
    (Heading::gauge("container_fs_inodes_free", "Inodes that a file system has left."), |subject| {
        disk(subject, |disk| Some(disk.space?.inodes?.available))
    }),
    (Heading::gauge("container_fs_inodes_total", "Inodes of a file system."), |subject| {
        disk(subject, |disk| Some(disk.space?.inodes?.capacity))
    }),
];

const NETWORK: [FamilyOf; 8] = [
    (Heading::counter("container_network_receive_bytes_total", "Bytes received."), |subject| {
        network(subject, |one| Some(one.received.bytes))
    }),
    (Heading::counter("container_network_receive_errors_total", "Errors while receiving."), |subject| {
        network(subject, |one| Some(one.received.errors))
    }),
    (Heading::counter("container_network_receive_packets_total", "Packets received."), |subject| {
        network(subject, |one| one.received.packets)
    }),
    (
        Heading::counter("container_network_receive_packets_dropped_total", "Packets dropped on receipt."),
        |subject| network(subject, |one| one.received.dropped),
    ),
    (Heading::counter("container_network_transmit_bytes_total", "Bytes sent."), |subject| {
        network(subject, |one| Some(one.sent.bytes))
    }),
    (Heading::counter("container_network_transmit_errors_total", "Errors while sending."), |subject| {
        network(subject, |one| Some(one.sent.errors))
    }),
    (Heading::counter("container_network_transmit_packets_total", "Packets sent."), |subject| {
        network(subject, |one| one.sent.packets)
    }),
    (
        Heading::counter("container_network_transmit_packets_dropped_total", "Packets dropped when sent."),
        |subject| network(subject, |one| one.sent.dropped),
    ),
];

impl Subject {
    /// The machine. Its memory counters are complete only on kernels that count all of them.
    fn node(seen: &Seen, disks: &NodeDisks, device: Option<String>) -> Subject {
        let Seen { at, machine, .. } = seen;
        let memory = || {
            let memory = machine.memory?;
            Some(MemoryUsage {
                timestamp: *at,
                working_set_bytes: memory.working_set,
                available_bytes: Some(memory.available()),
                usage_bytes: memory.usage,
                rss_bytes: machine.rss_bytes?,
                page_faults: machine.page_faults?,
                major_page_faults: machine.major_page_faults?,
            })
        };
        Subject {
            id: "/".to_owned(),
            at: *at,
            cpu_nanos: machine.cpu_nanos.map(|nanos| (nanos, *at)),
            memory: memory(),
            started: machine.started,
            pressures: machine.pressures,
            disk: disks.root.zip(device).map(|(space, device)| Disk {
                device,
                used_bytes: space.bytes.used,
                space: Some(space),
            }),
            interfaces: machine.interfaces.iter().map(|interface| (interface.clone(), *at)).collect(),
            ..Subject::default()
        }
    }

    /// The cgroup of a pod.
    fn pod(pod: &SeenPod, cgroup: &str, now: Timestamp) -> Subject {
        Subject {
            id: cgroup.to_owned(),
            namespace: pod.namespace.clone(),
            pod: pod.name.clone(),
            at: now,
            cpu_nanos: pod.cpu(now).map(|cpu| (cpu.usage_core_nano_seconds, cpu.timestamp)),
            memory: pod.memory(now),
            swap: pod.swap(now),
            started: pod.started,
            pressures: pod.pressures(),
            processes: pod.sandbox.as_ref().and_then(|sandbox| sandbox.process_count),
            ..Subject::default()
        }
    }

    /// The sandbox of a pod, which has the network.
    fn sandbox(pod: &SeenPod, cgroup: &str, now: Timestamp) -> Option<Subject> {
        let sandbox = pod.sandbox.as_ref()?;
        let NetworkUsage { timestamp, default_interface, interfaces } = sandbox.network.as_ref()?;
        let interfaces = default_interface.iter().chain(interfaces);
        Some(Subject {
            id: cgroup.to_owned(),
            name: sandbox.id.clone(),
            namespace: pod.namespace.clone(),
            pod: pod.name.clone(),
            at: now,
            interfaces: interfaces.map(|interface| (interface.clone(), *timestamp)).collect(),
            ..Subject::default()
        })
    }

    fn container(
        pod: &SeenPod,
        container: &SeenContainer,
        cgroup: &str,
        layers: Option<&(String, Space)>,
    ) -> Subject {
        let stats = &container.stats;
        let layer = stats.writable_layer.as_ref();
        let at = layer.map(|layer| layer.timestamp).or(stats.cpu.as_ref().map(|cpu| cpu.timestamp));
        let disk = |layer: &FilesystemUsage| Disk {
            device: layers.map(|(device, _)| device.clone()).unwrap_or_default(),
            used_bytes: layer.used_bytes,
            space: layers.map(|(_, space)| *space),
        };
        Subject {
            id: format!("{cgroup}/{}", stats.id),
            image: container.image.clone(),
            name: stats.id.clone(),
            namespace: pod.namespace.clone(),
            pod: pod.name.clone(),
            container: stats.metadata.name.clone(),
            at: at.unwrap_or_default(),
            cpu_nanos: stats.cpu.as_ref().map(|cpu| (cpu.usage_core_nano_seconds, cpu.timestamp)),
            memory: stats.memory.clone(),
            swap: stats.swap.clone(),
            started: container.started,
            processes: None,
            pressures: stats.pressures,
            disk: layer.map(disk),
            interfaces: Vec::new(),
        }
    }

    /// The labels that every sample has.
    fn labels(&self) -> Vec<(&'static str, String)> {
        vec![
            ("container", self.container.clone()),
            ("id", self.id.clone()),
            ("image", self.image.clone()),
            ("name", self.name.clone()),
            ("namespace", self.namespace.clone()),
            ("pod", self.pod.clone()),
        ]
    }
}

/// Everything in the text format.
fn metrics(subjects: &[Subject], cpus: usize, memory_bytes: i64) -> String {
    let mut exposed = Exposed::default();
    let machine = |value: f64| [Sample { labels: Vec::new(), value, at: None }];
    exposed.add(Heading::gauge("machine_cpu_cores", "Number of logical processors."), machine(cpus as f64));
    let help = "Bytes of memory.";
    exposed.add(Heading::gauge("machine_memory_bytes", help), machine(memory_bytes as f64));
    for (heading, of) in USAGE.into_iter().chain(PRESSURES).chain(DISKS).chain(NETWORK) {
        let samples = subjects.iter().flat_map(|subject| {
            of(subject).into_iter().map(|(value, label, at)| {
                let mut labels = subject.labels();
                // The counters of a cgroup contain those of cgroups below it.
                let is_fault = label.as_ref().is_some_and(|(name, _)| *name == "failure_type");
                labels.extend(is_fault.then(|| ("scope", "hierarchy".to_owned())));
                labels.extend(label);
                Sample { labels, value, at: Some(at) }
            })
        });
        exposed.add(heading, samples);
    }
    exposed.into_text()
}

impl Server {
    /// The metrics of the node, pods and containers.
    pub(in crate::server) async fn container_metrics(&self) -> Result<String, Status> {
        let seen = self.look().await?;
        let disks = NodeDisks::measure(&self.shared).await;
        let layers = disks.containers.as_ref().or(disks.images.as_ref());
        let layers = layers.and_then(|(path, space, _)| Some((machine::device(path)?, *space)));
        let cgroups = self.cgroups().await?;
        let device = machine::device(Path::new(&self.shared.config.root_dir));
        let mut subjects = vec![Subject::node(&seen, &disks, device)];
        for pod in &seen.pods {
            let cgroup = cgroups.get(&pod.uid).map(String::as_str).unwrap_or_default();
            subjects.push(Subject::pod(pod, cgroup, seen.at));
            subjects.extend(Subject::sandbox(pod, cgroup, seen.at));
            let containers = pod.containers.iter();
            subjects.extend(containers.map(|one| Subject::container(pod, one, cgroup, layers.as_ref())));
        }
        let facts = &self.shared.facts;
        Ok(metrics(&subjects, facts.cpus, facts.memory_bytes))
    }

    /// The cgroups of pods, by UID.
    async fn cgroups(&self) -> Result<HashMap<String, String>, Status> {
        let facts = self.shared.engine.facts().await.map_err(super::failed)?;
        let root = &self.shared.config.cgroup_root;
        let pods = self.pods.list().into_iter().map(PodInfo::new);
        Ok(pods.map(|pod| (pod.uid.clone(), cgroup_parent(&pod, root, facts.cgroup_driver))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::seen;
    use super::*;

    #[test]
    fn samples_have_upstreams_names_and_labels() {
        let seen = seen();
        let pod = &seen.pods[0];
        let subjects = [
            Subject::pod(pod, "/kubepods/podu", seen.at),
            Subject::sandbox(pod, "/kubepods/podu", seen.at).unwrap(),
            Subject::container(pod, &pod.containers[0], "/kubepods/podu", None),
        ];
        let text = metrics(&subjects, 2, 1000);
        let of_pod = "namespace=\"default\",pod=\"web\"";
        let sandbox = format!("id=\"/kubepods/podu\",image=\"\",interface=\"eth0\",name=\"s\",{of_pod}");
        let container = format!("id=\"/kubepods/podu/a\",image=\"nginx\",name=\"a\",{of_pod}");
        let at = "1800000000000";
        for line in [
            "machine_cpu_cores 2".to_owned(),
            "machine_memory_bytes 1000".to_owned(),
            format!("container_network_receive_bytes_total{{container=\"\",{sandbox}}} 10 {at}"),
            format!("container_network_transmit_packets_dropped_total{{container=\"\",{sandbox}}} 8 {at}"),
            format!("container_cpu_usage_seconds_total{{container=\"a\",cpu=\"total\",{container}}} 1 {at}"),
            format!(
                "container_memory_failures_total{{container=\"a\",failure_type=\"pgfault\",{container},\
                 scope=\"hierarchy\"}} 4 {at}"
            ),
            format!(
                "container_cpu_usage_seconds_total{{container=\"\",cpu=\"total\",id=\"/kubepods/podu\",image=\"\",\
                 name=\"\",{of_pod}}} 1.5 {at}"
            ),
            format!(
                "container_pressure_io_waiting_seconds_total{{container=\"\",id=\"/kubepods/podu\",image=\"\",\
                 name=\"\",{of_pod}}} 0.000009 {at}"
            ),
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("container_fs_usage_bytes"), "{text}");
    }
}
