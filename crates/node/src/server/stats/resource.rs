//! `/metrics/resource`: the metrics that metrics-server reads (`pkg/kubelet/metrics/collectors/resource_metrics.go`).

use jiff::Timestamp;
use object::Status;

use super::exposed::{Exposed, Heading, Sample};
use super::{Seen, SeenContainer, SeenPod};
use crate::server::Server;

impl Server {
    pub(in crate::server) async fn resource_metrics(&self) -> Result<String, Status> {
        Ok(metrics(&self.look().await?))
    }
}

/// A value with the time when it was measured.
type Measured = Option<(f64, Timestamp)>;

fn nanos((nanos, at): (u64, Timestamp)) -> (f64, Timestamp) {
    (nanos as f64 / 1e9, at)
}

fn bytes((bytes, at): (u64, Timestamp)) -> (f64, Timestamp) {
    (bytes as f64, at)
}

type OfContainer = (Heading, fn(&SeenContainer) -> Measured);

const OF_CONTAINERS: [OfContainer; 5] = [
    (
        Heading::counter(
            "container_cpu_usage_seconds_total",
            "[STABLE] Processor time that the container has used, in core-seconds",
        ),
        |one| {
            let cpu = one.stats.cpu.as_ref()?;
            Some(nanos((cpu.usage_core_nano_seconds, cpu.timestamp)))
        },
    ),
    (
        Heading::gauge(
            "container_memory_working_set_bytes",
            "[STABLE] Present working set of the container in bytes",
        ),
        |one| {
            let memory = one.stats.memory.as_ref()?;
            Some(bytes((memory.working_set_bytes, memory.timestamp)))
        },
    ),
    (Heading::gauge("container_swap_usage_bytes", "Swap that the container uses, in bytes"), |one| {
        let swap = one.stats.swap.as_ref()?;
        Some(bytes((swap.swap_usage_bytes, swap.timestamp)))
    }),
    (Heading::gauge("container_swap_limit_bytes", "Swap that the container may use, in bytes"), |one| {
        let swap = one.stats.swap.as_ref()?;
        Some(bytes((swap.swap_usage_bytes + swap.swap_available_bytes?, swap.timestamp)))
    }),
    (
        Heading::gauge(
            "container_start_time_seconds",
            "[STABLE] When the container started, in seconds since 1970",
        ),
        |one| {
            let at = one.stats.cpu.as_ref()?.timestamp;
            Some((one.started?.as_millisecond() as f64 / 1e3, at))
        },
    ),
];

type OfPod = (Heading, fn(&SeenPod, Timestamp) -> Measured);

const OF_PODS: [OfPod; 3] = [
    (
        Heading::counter(
            "pod_cpu_usage_seconds_total",
            "[STABLE] Processor time that the pod has used, in core-seconds",
        ),
        |pod, now| Some(nanos((pod.cpu(now)?.usage_core_nano_seconds, now))),
    ),
    (
        Heading::gauge("pod_memory_working_set_bytes", "[STABLE] Present working set of the pod in bytes"),
        |pod, now| Some(bytes((pod.memory(now)?.working_set_bytes, now))),
    ),
    (Heading::gauge("pod_swap_usage_bytes", "Swap that the pod uses, in bytes"), |pod, now| {
        Some(bytes((pod.swap(now)?.swap_usage_bytes, now)))
    }),
];

fn metrics(seen: &Seen) -> String {
    let Seen { at, machine, pods } = seen;
    let mut exposed = Exposed::default();
    let mut of_node = |heading: Heading, value: Option<f64>| {
        exposed.add(heading, value.map(|value| Sample { labels: Vec::new(), value, at: Some(*at) }));
    };
    of_node(
        Heading::counter(
            "node_cpu_usage_seconds_total",
            "[STABLE] Processor time that the node has used, in core-seconds",
        ),
        machine.cpu_nanos.map(|nanos| nanos as f64 / 1e9),
    );
    of_node(
        Heading::gauge("node_memory_working_set_bytes", "[STABLE] Present working set of the node in bytes"),
        machine.memory.map(|memory| memory.working_set as f64),
    );
    of_node(
        Heading::gauge("node_swap_usage_bytes", "Swap that the node uses, in bytes"),
        machine.swap.map(|swap| swap.usage as f64),
    );
    for (heading, of) in OF_CONTAINERS {
        let all = pods.iter().flat_map(|pod| pod.containers.iter().map(move |container| (pod, container)));
        exposed.add(
            heading,
            all.filter_map(|(pod, container)| {
                let (value, at) = of(container)?;
                let mut labels = labels(pod);
                labels.push(("container", container.stats.metadata.name.clone()));
                Some(Sample { labels, value, at: Some(at) })
            }),
        );
    }
    for (heading, of) in OF_PODS {
        exposed.add(
            heading,
            pods.iter().filter_map(|pod| {
                let (value, at) = of(pod, *at)?;
                Some(Sample { labels: labels(pod), value, at: Some(at) })
            }),
        );
    }
    let help = "[STABLE] 1 if the containers could not be measured, otherwise 0";
    let no_error = Sample { labels: Vec::new(), value: 0.0, at: None };
    exposed.add(Heading::gauge("resource_scrape_error", help), [no_error]);
    exposed.into_text()
}

fn labels(pod: &SeenPod) -> Vec<(&'static str, String)> {
    vec![("namespace", pod.namespace.clone()), ("pod", pod.name.clone())]
}

#[cfg(test)]
mod tests {
    use super::super::tests::seen;
    use super::*;

    #[test]
    fn usage_is_exposed_by_container_and_pod() {
        let text = metrics(&seen());
        for line in [
            "node_cpu_usage_seconds_total 2.5 1800000000000",
            "node_memory_working_set_bytes 400 1800000000000",
            "node_swap_usage_bytes 3 1800000000000",
            "container_cpu_usage_seconds_total{container=\"a\",namespace=\"default\",pod=\"web\"} 1 1800000000000",
            "container_start_time_seconds{container=\"a\",namespace=\"default\",pod=\"web\"} 1799999995 1800000000000",
            "pod_cpu_usage_seconds_total{namespace=\"default\",pod=\"web\"} 1.5 1800000000000",
            "pod_memory_working_set_bytes{namespace=\"default\",pod=\"web\"} 2 1800000000000",
            "resource_scrape_error 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("container_swap_usage_bytes"), "{text}");
    }
}
