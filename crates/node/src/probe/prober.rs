//! Runs a probe or a lifecycle hook against its container.

use std::sync::Arc;
use std::time::Duration;

use client::Recorder;
use clock::Clock;
use cri::{Code, RuntimeService};
use k8s_openapi::api::core::v1::{HTTPGetAction, LifecycleHandler, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::net::TcpStream;

use super::grpc;
use super::http::{self, HttpTarget};
use crate::metrics::ProbeMetrics;
use crate::pod::PodContainer;

/// How much of a command's output an event shows.
const OUTPUT_BYTES_MAX: usize = 10 << 10;

/// The result of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Success,
    /// A success with a warning.
    Warning(String),
    Failure(String),
    /// The probe could not be run.
    Error(String),
}

/// The target of a probe or a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Exec(Vec<String>),
    Http(HttpTarget),
    Tcp { host: String, port: u16 },
    Grpc { host: String, port: u16, service: String },
    Sleep(Duration),
}

/// Runs probes. Clones are equivalent.
#[derive(Clone)]
pub(crate) struct Prober {
    runtime: Arc<dyn RuntimeService>,
    /// The recorder for events of failed probes.
    pub(super) recorder: Recorder,
    pub(super) clock: Clock,
    pub(super) metrics: ProbeMetrics,
}

impl Prober {
    pub(crate) fn new(
        runtime: Arc<dyn RuntimeService>,
        recorder: Recorder,
        clock: Clock,
        metrics: ProbeMetrics,
    ) -> Prober {
        Prober { runtime, recorder, clock, metrics }
    }

    /// Runs one probe of a container.
    pub(crate) async fn probe(&self, target: &Target, container_id: &str, timeout: Duration) -> Outcome {
        match target {
            Target::Exec(command) => self.exec(command, container_id, timeout).await,
            Target::Http(target) => http::probe(target, timeout).await,
            Target::Tcp { host, port } => tcp(host, *port, timeout).await,
            Target::Grpc { host, port, service } => grpc::probe(host, *port, service, timeout).await,
            Target::Sleep(duration) => {
                tokio::time::sleep(*duration).await;
                Outcome::Success
            }
        }
    }

    async fn exec(&self, command: &[String], container_id: &str, timeout: Duration) -> Outcome {
        match self.runtime.exec_sync(container_id, command, timeout).await {
            Ok(result) if result.exit_code == 0 => Outcome::Success,
            Ok(result) => {
                let output = [&result.stdout[..], &result.stderr[..]].concat();
                Outcome::Failure(
                    String::from_utf8_lossy(&output[..output.len().min(OUTPUT_BYTES_MAX)]).into_owned(),
                )
            }
            Err(error) if error.code() == Code::DeadlineExceeded => Outcome::Failure(format!(
                "command timed out: {:?} timed out after {}",
                command.join(" "),
                crate::text::go_duration(timeout)
            )),
            Err(error) => Outcome::Error(error.full_message()),
        }
    }
}

async fn tcp(host: &str, port: u16, timeout: Duration) -> Outcome {
    let address = http::join_host_port(host, port);
    match tokio::time::timeout(timeout, TcpStream::connect((host, port))).await {
        Ok(Ok(_)) => Outcome::Success,
        Ok(Err(error)) => Outcome::Failure(format!("dial tcp {address}: {}", http::connect_error(&error))),
        Err(_) => Outcome::Failure(format!("dial tcp {address}: i/o timeout")),
    }
}

/// The target of a probe.
///
/// # Errors
/// The reason why there is none.
pub(super) fn probe_target(
    probe: &Probe,
    container: &PodContainer,
    ips: &[String],
) -> Result<Target, String> {
    let handler = LifecycleHandler {
        exec: probe.exec.clone(),
        http_get: probe.http_get.clone(),
        tcp_socket: probe.tcp_socket.clone(),
        sleep: None,
    };
    match &probe.grpc {
        Some(grpc) => Ok(Target::Grpc {
            host: ips.first().cloned().unwrap_or_default(),
            port: u16::try_from(grpc.port).map_err(|_| format!("invalid port number: {}", grpc.port))?,
            service: grpc.service.clone().unwrap_or_default(),
        }),
        None => handler_target(&handler, container, ips),
    }
}

/// The target of a lifecycle hook.
///
/// # Errors
/// The reason why there is none.
pub(crate) fn handler_target(
    handler: &LifecycleHandler,
    container: &PodContainer,
    ips: &[String],
) -> Result<Target, String> {
    let own_ip = || ips.first().cloned().unwrap_or_default();
    let host_or_own =
        |host: &Option<String>| host.clone().filter(|host| !host.is_empty()).unwrap_or_else(own_ip);
    if let Some(exec) = &handler.exec {
        return Ok(Target::Exec(exec.command.clone().unwrap_or_default()));
    }
    if let Some(get) = &handler.http_get {
        return Ok(Target::Http(http_target(get, container, host_or_own(&get.host))?));
    }
    if let Some(tcp) = &handler.tcp_socket {
        return Ok(Target::Tcp { host: host_or_own(&tcp.host), port: port(&tcp.port, container)? });
    }
    if let Some(sleep) = &handler.sleep {
        return Ok(Target::Sleep(Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or(0))));
    }
    Err("missing probe handler".to_owned())
}

fn http_target(get: &HTTPGetAction, container: &PodContainer, host: String) -> Result<HttpTarget, String> {
    let headers = get.http_headers.iter().flatten();
    Ok(HttpTarget {
        tls: get.scheme.as_deref().is_some_and(|scheme| scheme.eq_ignore_ascii_case("https")),
        host,
        port: port(&get.port, container)?,
        path: get.path.clone().unwrap_or_default(),
        headers: headers.map(|header| (header.name.clone(), header.value.clone())).collect(),
    })
}

/// A port by number, or by its name in the container.
fn port(wanted: &IntOrString, container: &PodContainer) -> Result<u16, String> {
    let number = match wanted {
        IntOrString::Int(number) => *number,
        IntOrString::String(name) => {
            let mut ports = container.spec.ports.iter().flatten();
            let named = ports.find(|port| port.name.as_deref() == Some(name)).map(|port| port.container_port);
            named
                .or_else(|| name.parse().ok())
                .ok_or_else(|| format!("strconv.Atoi: parsing {name:?}: invalid syntax"))?
        }
    };
    u16::try_from(number)
        .ok()
        .filter(|port| *port > 0)
        .ok_or_else(|| format!("invalid port number: {number}"))
}
