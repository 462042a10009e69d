//! Writes a pod's status to the API server, and deletes the pod when it has finished.
//!
//! A separate task does the writing, so that the worker never waits for the server; of several statuses that arrive
//! during a write, only the last is written.

use std::sync::Arc;
use std::time::Duration;

use client::{Client, ClientError, DeleteOptions, Patch};
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::metrics::Metrics;
use crate::shared::Shared;
use crate::status::ends;

const RETRY_MIN: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(30);

#[derive(Clone)]
struct Wanted {
    pod: Arc<Pod>,
    status: PodStatus,
    /// Then delete the pod.
    delete: bool,
    since: Instant,
}

/// The writer of one pod's status.
pub(super) struct StatusWriter {
    wanted: watch::Sender<Option<Wanted>>,
    task: AbortHandle,
}

impl StatusWriter {
    pub(super) fn start(shared: &Shared, pod: &Pod) -> StatusWriter {
        let (wanted, receiver) = watch::channel(None);
        let (client, metrics) = (shared.client.clone(), Arc::clone(&shared.metrics));
        let task = tokio::spawn(run(client, receiver, Known::of(pod), metrics)).abort_handle();
        StatusWriter { wanted, task }
    }

    /// Submits a status to be written. `pod` is the pod as it was last seen.
    pub(super) fn write(&self, pod: Arc<Pod>, status: PodStatus, delete: bool) {
        self.wanted.send_if_modified(|wanted| {
            let same = wanted
                .as_ref()
                .is_some_and(|w| w.status == status && w.delete == delete && Arc::ptr_eq(&w.pod, &pod));
            if !same {
                *wanted = Some(Wanted { pod, status, delete, since: Instant::now() });
            }
            !same
        });
    }
}

impl Drop for StatusWriter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The newest state that the server is known to have.
struct Known {
    status: PodStatus,
    resource_version: u64,
}

impl Known {
    fn of(pod: &Pod) -> Known {
        let version = pod.metadata.resource_version.as_deref().and_then(|version| version.parse().ok());
        Known { status: pod.status.clone().unwrap_or_default(), resource_version: version.unwrap_or(0) }
    }
}

async fn run(
    client: Client,
    mut wanted: watch::Receiver<Option<Wanted>>,
    mut known: Known,
    metrics: Arc<Metrics>,
) {
    let mut delay = RETRY_MIN;
    while wanted.changed().await.is_ok() {
        loop {
            let Some(now) = wanted.borrow_and_update().clone() else { break };
            let seen = Known::of(&now.pod);
            if seen.resource_version > known.resource_version {
                known = seen;
            }
            match write(&client, &now, &mut known).await {
                Ok(is_written) => {
                    if is_written {
                        metrics.status_written(now.since.elapsed());
                    }
                    delay = RETRY_MIN;
                    break;
                }
                // It is gone, or another pod of the same name took its place.
                Err(error) if error.is_not_found() || error.is_conflict() => break,
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(pod = now.pod.metadata.name, error, "cannot write the status of a pod");
                }
            }
            tokio::time::sleep(delay).await;
            delay = (delay * 2).min(RETRY_MAX);
        }
    }
}

/// Writes what differs; false where nothing does.
async fn write(client: &Client, wanted: &Wanted, known: &mut Known) -> Result<bool, ClientError> {
    let key = client::meta_key(&wanted.pod.metadata);
    let uid = wanted.pod.metadata.uid.clone().unwrap_or_default();
    let mut status = wanted.status.clone();
    if let Some(spec) = &wanted.pod.spec {
        ends::keep(&mut status, &known.status, spec);
    }
    let changes =
        difference(&known.status, &status).map_err(|error| ClientError::decode("a pod's status", error))?;
    let is_changed = !changes.is_empty();
    if is_changed {
        let patch = Patch::Strategic(json!({"metadata": {"uid": uid}, "status": changes}));
        *known = Known::of(&client.patch::<Pod>(&key, "status", &patch).await?);
    }
    if wanted.delete {
        let options = DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::of_uid(uid) };
        client.delete::<Pod>(&key, &options).await?;
    }
    Ok(is_changed)
}

/// The fields that differ, as a strategic merge patch.
fn difference(old: &PodStatus, new: &PodStatus) -> Result<Map<String, Value>, serde_json::Error> {
    let (Value::Object(old), Value::Object(new)) = (serde_json::to_value(old)?, serde_json::to_value(new)?)
    else {
        return Ok(Map::new());
    };
    let mut changes = Map::new();
    for (name, value) in &new {
        if old.get(name) != Some(value) {
            changes.insert(name.clone(), replacing(name, value, old.get(name)));
        }
    }
    for name in old.keys().filter(|name| !new.contains_key(*name)) {
        changes.insert(name.clone(), Value::Null);
    }
    Ok(changes)
}

/// The server merges some lists. An old address must not stay, nor the former reason of a condition; but conditions of
/// others, such as those of readiness gates, must stay.
fn replacing(name: &str, value: &Value, old: Option<&Value>) -> Value {
    match (name, value, old) {
        ("podIPs" | "hostIPs", Value::Array(items), Some(_)) => {
            Value::Array(std::iter::once(json!({"$patch": "replace"})).chain(items.iter().cloned()).collect())
        }
        ("conditions", Value::Array(items), Some(Value::Array(old))) => {
            Value::Array(items.iter().map(|item| without_old_fields(item, old)).collect())
        }
        _ => value.clone(),
    }
}

/// A condition with null for each field that it no longer has.
fn without_old_fields(condition: &Value, old: &[Value]) -> Value {
    let before = old.iter().find(|before| before["type"] == condition["type"]).and_then(Value::as_object);
    let mut condition = condition.clone();
    if let (Some(before), Some(fields)) = (before, condition.as_object_mut()) {
        for name in before.keys() {
            fields.entry(name.clone()).or_insert(Value::Null);
        }
    }
    condition
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_written() {
        let parse = |value: Value| serde_json::from_value::<PodStatus>(value).unwrap();
        let old = parse(
            json!({"phase": "Pending", "reason": "x", "podIPs": [{"ip": "1"}], "qosClass": "Burstable"}),
        );
        let new = parse(json!({"phase": "Running", "podIPs": [{"ip": "2"}], "qosClass": "Burstable"}));
        let changes = Value::Object(difference(&old, &new).unwrap());
        let expected =
            json!({"phase": "Running", "reason": null, "podIPs": [{"$patch": "replace"}, {"ip": "2"}]});
        assert_eq!(changes, expected);
        assert!(difference(&new, &new).unwrap().is_empty());
    }

    #[test]
    fn a_condition_loses_the_reason_that_it_had() {
        let parse = |conditions: Value| -> PodStatus {
            serde_json::from_value(json!({"conditions": conditions})).unwrap()
        };
        let old = parse(json!([
            {"type": "Ready", "status": "False", "reason": "ContainersNotReady", "message": "c"},
            {"type": "example.com/gate", "status": "False", "reason": "Closed"},
        ]));
        let new = parse(json!([{"type": "Ready", "status": "True"}]));
        let changes = Value::Object(difference(&old, &new).unwrap());
        let expected = json!({"type": "Ready", "status": "True", "reason": null, "message": null});
        assert_eq!(changes["conditions"], json!([expected]));
    }
}
