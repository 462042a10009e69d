//! What the agent measures of itself, as scrapers read it: `/metrics` and `/metrics/probes`.

use cri::{ContainerFilter, ContainerState, PodSandboxFilter, PodSandboxState};
use http::header::ACCEPT;
use http::{HeaderMap, Method, Response, StatusCode};
use metrics::Exposition;
use object::Status;

use super::{Body, Server, full};
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
        self.measure_claims().await;
        self.shared.metrics.runs(self.pods.list().len(), ready, states);
        Ok(exposed(&self.shared.metrics.exposition, headers))
    }

    /// What probes of containers found.
    pub(super) fn probe_metrics(&self, headers: &HeaderMap) -> Response<Body> {
        exposed(&self.shared.metrics.probes.exposition, headers)
    }
}
