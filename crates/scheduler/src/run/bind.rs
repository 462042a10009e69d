//! Writes a binding, and finds out its outcome if no response came.
//!
//! A pod whose binding may have been written must keep its place until that is known: if it were forgotten, another pod would
//! get the place, and the node would be asked for more than it has once the first is seen bound after all.

use std::time::Duration;

use client::{Client, ClientError, LeanPod, ResourceType};
use k8s_openapi::api::core::v1::Pod;
use tokio_util::sync::CancellationToken;

use super::write::Writer;
use crate::framework::{BindingError, Placement};

/// How long to wait after the first missing response, and at most.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// What the server has of a pod that was to be bound.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// The pod is on the node that it was to be bound to.
    Bound,
    /// It has no node.
    Unbound,
    /// It is gone, or another pod has its name, or it is on another node.
    Lost,
}

/// Does everything that binding a pod takes. An error means that the pod is not bound to its node and that this attempt will not
/// bind it any more, unless `cancel` was cancelled: then nobody counts on the place any longer.
pub(super) async fn bind(
    writer: &Writer,
    placement: &Placement,
    cancel: &CancellationToken,
) -> Result<(), BindingError> {
    let client = &writer.client;
    placement.prepare(client).await?;
    let mut pause = RETRY_FIRST;
    loop {
        let Err(error) = try_to_bind(writer, placement).await else { break };
        match find(client, placement, cancel).await {
            Some(Found::Bound) => break,
            // The request may still be on its way. The next one settles it: it binds the pod, or is refused because the first
            // one did.
            Some(Found::Unbound) if error.source.is_open() => {}
            Some(Found::Unbound | Found::Lost) | None => return Err(error),
        }
        let (pod, node) = (&placement.pod.key, &placement.node);
        tracing::warn!(%pod, %node, error = &error as &dyn std::error::Error, "cannot bind a pod yet");
        if !wait(&mut pause, client, cancel).await {
            return Err(error);
        }
    }
    placement.is_bound();
    Ok(())
}

/// Has the pod bound by an extender if one binds pods like it, or else by the plugins.
async fn try_to_bind(writer: &Writer, placement: &Placement) -> Result<(), BindingError> {
    match writer.extenders.bind(&placement.pod, &placement.node).await {
        Some(bound) => bound.map_err(|error| BindingError::of_extender(error.to_string())),
        None => placement.bind(&writer.client).await,
    }
}

/// Asks until there is an answer. `None` if it was cancelled before.
async fn find(client: &Client, placement: &Placement, cancel: &CancellationToken) -> Option<Found> {
    let mut pause = RETRY_FIRST;
    let pod = ResourceType::of::<Pod>();
    loop {
        match client.get_object::<LeanPod>(&pod, &placement.pod.key).await {
            Ok(pod) => return Some(judge(&pod, placement)),
            Err(error) if error.is_not_found() => return Some(Found::Lost),
            Err(error) => cannot_see(placement, &error),
        }
        if !wait(&mut pause, client, cancel).await {
            return None;
        }
    }
}

fn cannot_see(placement: &Placement, error: &ClientError) {
    let error = error as &dyn std::error::Error;
    tracing::warn!(pod = %placement.pod.key, error, "cannot see whether a pod was bound");
}

fn judge(pod: &LeanPod, placement: &Placement) -> Found {
    let is_same = pod.metadata.uid == placement.pod.uid;
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default();
    match (is_same, node) {
        (true, "") => Found::Unbound,
        (true, node) if *node == *placement.node => Found::Bound,
        _ => Found::Lost,
    }
}

/// Waits longer each time, with jitter. Returns whether to continue.
async fn wait(pause: &mut Duration, client: &Client, cancel: &CancellationToken) -> bool {
    let millis = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
    let drawn = Duration::from_millis(millis + client.clock().random_below(millis));
    *pause = (*pause * 2).min(RETRY_MAX);
    cancel.run_until_cancelled(tokio::time::sleep(drawn)).await.is_some()
}
