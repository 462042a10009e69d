//! Stops containers and sandboxes.

use std::time::Duration;

use client::EventType;
use cri::ContainerStatus;
use tokio::time::Instant;

use super::context::Context;
use super::hooks;
use crate::pod::{ContainerKind, PodContainer};

/// The minimum grace period of a container.
const GRACE_MIN: Duration = Duration::from_secs(2);

/// Stops all containers of the pod and then its sandboxes. Returns whether everything succeeded.
pub(super) async fn terminate(context: &Context, grace_seconds: i64) -> bool {
    let end = async {
        end_containers(context, grace_seconds).await;
        stop_sandboxes(context).await
    };
    tokio::select! {
        done = end => done,
        // Less time is left than expected: it starts again.
        () = context.cancel.cancelled() => true,
    }
}

/// Stops the pod's containers together, and the sidecars afterwards, the last one first (KEP-753).
async fn end_containers(context: &Context, grace_seconds: i64) {
    let deadline = Instant::now() + seconds(grace_seconds);
    let is_sidecar = |status: &ContainerStatus| {
        let container = context.pod.container(&status.metadata.name);
        container.is_some_and(|container| container.kind == ContainerKind::Sidecar)
    };
    let (sidecars, others): (Vec<_>, Vec<_>) =
        context.observed.running().partition(|status| is_sidecar(status));
    let end = |status: &ContainerStatus, grace_seconds: i64| {
        let (name, id) = (status.metadata.name.clone(), status.id.clone());
        async move {
            match context.pod.container(&name) {
                Some(container) => {
                    kill(context, &id, container, &format!("Stopping container {name}"), grace_seconds).await
                }
                None => stop(context, &id, seconds(grace_seconds)).await,
            }
        }
    };
    futures::future::join_all(others.into_iter().map(|status| end(status, grace_seconds))).await;
    let order: Vec<&str> = context.pod.containers.iter().map(PodContainer::name).collect();
    let mut sidecars = sidecars;
    sidecars
        .sort_by_key(|status| std::cmp::Reverse(order.iter().position(|name| *name == status.metadata.name)));
    for status in sidecars {
        let left = deadline.saturating_duration_since(Instant::now()).as_secs();
        end(status, i64::try_from(left).unwrap_or(i64::MAX)).await;
    }
}

async fn stop_sandboxes(context: &Context) -> bool {
    let mut stopped = true;
    for sandbox in &context.observed.sandboxes {
        if let Err(error) = context.shared.runtime.stop_pod_sandbox(&sandbox.id).await {
            stopped = false;
            let message =
                format!("error killing pod: failed to \"KillPodSandbox\": {}", error.full_message());
            context.shared.pod_event(&context.pod, EventType::Warning, "FailedKillPod", message);
        }
    }
    stopped
}

/// Stops one container: `preStop`, the stop signal, and SIGKILL when its time is up.
pub(super) async fn kill(
    context: &Context,
    id: &str,
    container: &PodContainer,
    message: &str,
    grace_seconds: i64,
) {
    context.shared.container_event(&context.pod, container, EventType::Normal, "Killing", message);
    let began = Instant::now();
    let grace = seconds(grace_seconds);
    if !grace.is_zero() {
        pre_stop(context, id, container, grace).await;
    }
    stop(context, id, grace.saturating_sub(began.elapsed()).max(GRACE_MIN)).await;
}

async fn pre_stop(context: &Context, id: &str, container: &PodContainer, limit: Duration) {
    let handler = container.spec.lifecycle.as_ref().and_then(|lifecycle| lifecycle.pre_stop.as_ref());
    let Some(handler) = handler else { return };
    let ips = if context.pod.host_network() { context.shared.host_ips() } else { context.observed.ips() };
    let result = tokio::time::timeout(limit, hooks::run(context, handler, container, id, &ips)).await;
    match result {
        Ok(Ok(())) => {}
        Ok(Err(message)) => {
            tracing::debug!(pod = %context.pod.key, container = container.name(), message, "preStop failed");
            let shared = &context.shared;
            shared.container_event(
                &context.pod,
                container,
                EventType::Warning,
                "FailedPreStopHook",
                "PreStopHook failed",
            );
        }
        Err(_) => {
            tracing::debug!(pod = %context.pod.key, container = container.name(), "preStop took too long")
        }
    }
}

async fn stop(context: &Context, id: &str, grace: Duration) {
    if let Err(error) = context.shared.runtime.stop_container(id, grace).await {
        tracing::warn!(pod = %context.pod.key, container = id, error = error.full_message(), "cannot stop a container");
    }
}

fn seconds(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}
