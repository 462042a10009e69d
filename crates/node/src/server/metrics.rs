//! What the node measures, as scrapers read it: `/metrics`, `/metrics/probes` and `/metrics/cadvisor`.

use std::fmt::Write;

use cri::{ContainerFilter, ContainerState, ContainerStats, PodSandboxFilter, PodSandboxState};
use http::header::ACCEPT;
use http::{HeaderMap, Method, Response, StatusCode};
use metrics::Exposition;
use object::Status;

use super::{Body, Server, full, text};
use crate::label;
use crate::metrics::HttpRequest;

/// Paths with separate labels; all others share one.
const PATHS: [&str; 15] = [
    "attach",
    "checkpoint",
    "configz",
    "containerLogs",
    "exec",
    "healthz",
    "logs",
    "metrics",
    "metrics/cadvisor",
    "metrics/probes",
    "metrics/resource",
    "pods",
    "portForward",
    "runningpods",
    "stats",
];
/// Those whose answers run on.
const STREAMS: [&str; 3] = ["attach", "exec", "portForward"];

/// A request as the metrics tell it apart. Nobody makes new labels by asking for new paths.
pub(super) fn labels(method: &Method, path: &str) -> HttpRequest {
    let path = path.trim_matches('/');
    let is_it = |known: &&&str| {
        path.strip_prefix(**known).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    // The longest one counts.
    let path = PATHS.iter().filter(is_it).max_by_key(|known| known.len()).copied().unwrap_or_default();
    let method = match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::HEAD => "HEAD",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        _ => "other",
    };
    let long_running = if STREAMS.contains(&path) { "true" } else { "false" };
    HttpRequest { method, path, server_type: "readwrite", long_running }
}

/// Everything of an exposition, in the format that the scraper asks for.
fn exposed(exposition: &Exposition, headers: &HeaderMap) -> Response<Body> {
    let mut accepted = headers.get_all(ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
    if accepted.any(|accept| accept.contains("application/openmetrics-text")) {
        return full(StatusCode::OK, metrics::OPEN_METRICS, exposition.open_metrics());
    }
    full(StatusCode::OK, metrics::TEXT, exposition.text())
}

impl Server {
    /// What the agent measures of itself.
    pub(super) async fn own_metrics(&self, headers: &HeaderMap) -> Result<Response<Body>, Status> {
        let runtime = &self.shared.runtime;
        let failed = |error: cri::CriError| Status::internal_error(error.full_message());
        let sandboxes = runtime.list_pod_sandbox(&PodSandboxFilter::default()).await.map_err(failed)?;
        let containers = runtime.list_containers(&ContainerFilter::default()).await.map_err(failed)?;
        let ready = sandboxes.iter().filter(|sandbox| sandbox.state == PodSandboxState::Ready).count();
        let in_state = |wanted: ContainerState| containers.iter().filter(|c| c.state == wanted).count();
        let states = [
            ("created", in_state(ContainerState::Created)),
            ("running", in_state(ContainerState::Running)),
            ("exited", in_state(ContainerState::Exited)),
            ("unknown", in_state(ContainerState::Unknown)),
        ];
        self.shared.metrics.runs(self.pods.list().len(), ready, states);
        Ok(exposed(&self.shared.metrics.exposition, headers))
    }

    /// What probes of containers found.
    pub(super) fn probe_metrics(&self, headers: &HeaderMap) -> Response<Body> {
        exposed(&self.shared.metrics.probes.exposition, headers)
    }

    /// What containers use, by the names that cAdvisor gave it.
    pub(super) async fn container_metrics(&self) -> Result<Response<Body>, Status> {
        let stats = self.container_stats().await?;
        let facts = &self.shared.facts;
        Ok(text(StatusCode::OK, cadvisor(&stats, facts.cpus, facts.memory_bytes)))
    }
}

/// A family of samples: its name, type and description, and the value that a container has.
type FamilyOf = (&'static str, &'static str, &'static str, fn(&ContainerStats) -> Option<f64>);

const FAMILIES: [FamilyOf; 6] = [
    ("container_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed in seconds.", |stats| {
        Some(stats.cpu.as_ref()?.usage_core_nano_seconds as f64 / 1e9)
    }),
    ("container_memory_usage_bytes", "gauge", "Current memory usage in bytes, all of it.", |stats| {
        Some(stats.memory.as_ref()?.usage_bytes as f64)
    }),
    ("container_memory_working_set_bytes", "gauge", "Current working set in bytes.", |stats| {
        Some(stats.memory.as_ref()?.working_set_bytes as f64)
    }),
    ("container_memory_rss", "gauge", "Size of RSS in bytes.", |stats| {
        Some(stats.memory.as_ref()?.rss_bytes as f64)
    }),
    ("container_memory_swap", "gauge", "Container swap usage in bytes.", |stats| {
        Some(stats.swap.as_ref()?.swap_usage_bytes as f64)
    }),
    ("container_fs_usage_bytes", "gauge", "Bytes that the writable layer takes.", |stats| {
        Some(stats.writable_layer.as_ref()?.used_bytes as f64)
    }),
];

fn cadvisor(stats: &[ContainerStats], cpus: usize, memory_bytes: i64) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let mut line = |text: String| out.push_str(&text);
    line(format!(
        "# HELP machine_cpu_cores Number of logical CPU cores.\n# TYPE machine_cpu_cores gauge\nmachine_cpu_cores {cpus}\n"
    ));
    line(format!(
        "# HELP machine_memory_bytes Amount of memory installed.\n# TYPE machine_memory_bytes gauge\nmachine_memory_bytes {memory_bytes}\n"
    ));
    for (name, kind, help, value) in FAMILIES {
        line(format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        for container in stats {
            let Some(value) = value(container) else { continue };
            let of = |key: &str| container.labels.get(key).map(String::as_str).unwrap_or_default();
            let (pod, namespace) = (of(label::POD_NAME), of(label::POD_NAMESPACE));
            let mut labels = String::new();
            if name == "container_cpu_usage_seconds_total" {
                labels.push_str(",cpu=\"total\"");
            }
            let _ = write!(labels, ",id=\"{}\"", container.id);
            let container = &container.metadata.name;
            line(format!(
                "{name}{{container=\"{container}\",namespace=\"{namespace}\",pod=\"{pod}\"{labels}}} {value}\n"
            ));
        }
    }
    out
}
