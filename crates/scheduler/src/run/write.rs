//! What the scheduler writes: bindings, the `PodScheduled` condition, and events.

use client::{Client, ClientError, EventType, Patch, Recorder};
use k8s_openapi::api::core::v1::{Binding, ObjectReference, Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde_json::json;

use crate::state::PodInfo;

/// So many bytes an event's message may have.
const MESSAGE_MAX: usize = 1024;

/// Writes through the API server.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    pub(super) client: Client,
    pub(super) recorder: Recorder,
}

/// Why a pod is not scheduled.
pub(super) struct Condition {
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl Writer {
    /// Binds a pod to a node. The server refuses if it is another pod by now, or is bound already.
    pub(super) async fn bind(&self, pod: &PodInfo, node: &str) -> Result<(), ClientError> {
        let binding = Binding {
            metadata: ObjectMeta {
                namespace: Some(pod.key.namespace().to_owned()),
                name: Some(pod.key.name.to_string()),
                uid: Some(pod.uid.to_string()),
                ..ObjectMeta::default()
            },
            target: ObjectReference {
                kind: Some("Node".to_owned()),
                name: Some(node.to_owned()),
                ..ObjectReference::default()
            },
        };
        let bound =
            self.client.create_subresource::<Pod, _, serde_json::Value>(&pod.key, "binding", &binding);
        bound.await.map(drop)
    }

    /// Sets the pod's `PodScheduled` condition to `False`, unless it says so already.
    pub(super) async fn set_condition(&self, pod: &PodInfo, to: Condition) {
        let Some(condition) = self.condition(pod.pod(), to) else { return };
        let change = json!({
            // The pod that has this name by now may be another.
            "metadata": {"uid": pod.uid.as_str()},
            "status": {"conditions": [condition]},
        });
        let written = self.client.patch::<Pod>(&pod.key, "status", &Patch::Strategic(change)).await;
        match written {
            Err(error) if error.is_not_found() || error.is_conflict() => {
                tracing::debug!(pod = %pod.key, %error, "the pod changed before its condition was written");
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(pod = %pod.key, error, "cannot write the condition of a pod");
            }
            Ok(_) => {}
        }
    }

    fn condition(&self, pod: &Pod, to: Condition) -> Option<PodCondition> {
        let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref());
        let old = conditions.unwrap_or_default().iter().find(|condition| condition.type_ == "PodScheduled");
        let unchanged = old.filter(|old| old.status == "False");
        if unchanged.is_some_and(|old| {
            old.reason.as_deref() == Some(to.reason) && old.message.as_deref() == Some(&*to.message)
        }) {
            return None;
        }
        let since = unchanged.and_then(|old| old.last_transition_time.clone());
        Some(PodCondition {
            type_: "PodScheduled".to_owned(),
            status: "False".to_owned(),
            reason: Some(to.reason.to_owned()),
            message: Some(to.message),
            last_transition_time: since.or_else(|| Some(Time(self.client.clock().now_seconds()))),
            last_probe_time: None,
            observed_generation: pod.metadata.generation,
        })
    }

    /// Records an event about a pod.
    pub(super) fn record(&self, pod: &PodInfo, kind: EventType, reason: &str, message: &str) {
        let reference = client::reference_to(&**pod.pod());
        self.recorder.record(&reference, kind, reason, truncated(message));
    }
}

fn truncated(message: &str) -> String {
    const SUFFIX: &str = " ...";
    if message.len() <= MESSAGE_MAX {
        return message.to_owned();
    }
    let end = message.floor_char_boundary(MESSAGE_MAX - SUFFIX.len());
    format!("{}{SUFFIX}", &message[..end])
}
