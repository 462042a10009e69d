//! Runs a probe or a lifecycle hook against its container.

use std::sync::Arc;
use std::time::Duration;

use client::Recorder;
use clock::Clock;
use cri::{Code, RuntimeService};
use tokio::net::TcpStream;

use super::outcome::Outcome;
use super::target::Target;
use super::{grpc, http};
use crate::metrics::ProbeMetrics;

/// How much of a command's output an event shows.
const OUTPUT_BYTES_MAX: usize = 10 << 10;

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
