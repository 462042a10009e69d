//! The scheduler's writes besides bindings: conditions, nominations, events and deletions of victims.

use std::collections::HashMap;
use std::sync::Arc;

use client::{
    Client, ClientError, DeleteOptions, EventType, LeanCondition, LeanPod, Patch, Recorder, ResourceType,
};
use k8s_openapi::api::core::v1::{Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use semantics::conditions::{self, Condition as _};
use serde_json::json;

use crate::extender::Extenders;
use crate::state::PodInfo;

/// The maximum length of an event's message, in bytes.
const MESSAGE_MAX: usize = 1024;

/// Writes through the API server.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    pub(super) client: Client,
    /// By the name of the profile.
    pub(super) recorders: Arc<HashMap<String, Recorder>>,
    /// Programs that may bind pods.
    pub(super) extenders: Extenders,
}

/// Why a pod is not scheduled.
pub(super) struct Condition {
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl Writer {
    /// Sets the pod's `PodScheduled` condition to `False`, unless it says so already, and the node for which the pod is
    /// nominated, if one is given; an empty one clears the nomination.
    pub(super) async fn set_condition(&self, pod: &PodInfo, to: Condition, nominated: Option<&str>) {
        let condition = self.condition(pod.pod(), to);
        let nominated = nominated.filter(|node| *node != pod.nominated_node_name().unwrap_or_default());
        let mut status = serde_json::Map::new();
        if let Some(condition) = condition {
            status.insert("conditions".to_owned(), json!([condition]));
        }
        if let Some(node) = nominated {
            let node = (!node.is_empty()).then_some(node);
            status.insert("nominatedNodeName".to_owned(), json!(node));
        }
        if !status.is_empty() {
            self.patch_status(pod, status.into()).await;
        }
    }

    /// Reports that an attempt to schedule a pod failed. A nomination is given up, as the next attempt begins anew.
    pub(super) async fn report_failure(&self, pod: &PodInfo, message: String) {
        self.record(pod, EventType::Warning, "FailedScheduling", &message);
        self.set_condition(pod, Condition { reason: "SchedulerError", message }, Some("")).await;
    }

    /// Takes the nomination of a pod back.
    pub(super) async fn clear_nomination(&self, pod: &PodInfo) {
        self.patch_status(pod, json!({"nominatedNodeName": null})).await;
    }

    async fn patch_status(&self, pod: &PodInfo, status: serde_json::Value) {
        match self.try_patch_status(pod, status).await {
            Err(error) if error.is_not_found() || error.is_conflict() => {
                tracing::debug!(pod = %pod.key, %error, "the pod changed before its status was written");
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(pod = %pod.key, error, "cannot write the status of a pod");
            }
            Ok(()) => {}
        }
    }

    async fn try_patch_status(&self, pod: &PodInfo, status: serde_json::Value) -> Result<(), ClientError> {
        // The pod that has this name by now may be another.
        let change = json!({"metadata": {"uid": pod.uid.as_str()}, "status": status});
        self.client
            .patch_object(&ResourceType::of::<Pod>(), &pod.key, "status", &Patch::Strategic(change))
            .await
    }

    fn condition(&self, pod: &LeanPod, to: Condition) -> Option<PodCondition> {
        self.unless_said(pod, "PodScheduled", conditions::FALSE, to)
    }

    /// A condition; `None` if the pod has it so already.
    fn unless_said(&self, pod: &LeanPod, kind: &str, status: &str, to: Condition) -> Option<PodCondition> {
        let old = condition(pod, kind);
        let since = old.filter(|old| &*old.status == status).and_then(|old| old.since().cloned());
        let condition = PodCondition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason: Some(to.reason.to_owned()),
            message: Some(to.message),
            last_transition_time: since.or_else(|| Some(self.now())),
            last_probe_time: None,
            observed_generation: pod.metadata.generation,
        };
        (!old.is_some_and(|old| conditions::says_the_same(old, &condition))).then_some(condition)
    }

    fn now(&self) -> Time {
        Time(self.client.clock().now_seconds())
    }

    /// Deletes a pod in favour of another.
    pub(super) async fn preempt(
        &self,
        preemptor: &PodInfo,
        victim: &PodInfo,
        node: &str,
    ) -> Result<(), ClientError> {
        let told = self.tell_victim(preemptor, victim).await;
        let deleted = match told {
            Ok(()) => {
                let options = DeleteOptions::of_uid(victim.uid.as_str());
                self.client.delete::<Pod>(&victim.key, &options).await.map(drop)
            }
            Err(error) => Err(error),
        };
        match deleted {
            // It is already gone, and another may have its name.
            Err(error) if error.is_not_found() || error.is_conflict() => return Ok(()),
            other => other?,
        }
        let message = format!("Preempted by pod {} on node {node}", preemptor.uid);
        self.record(victim, EventType::Normal, "Preempted", &message);
        Ok(())
    }

    async fn tell_victim(&self, preemptor: &PodInfo, victim: &PodInfo) -> Result<(), ClientError> {
        let scheduler = preemptor.scheduler_name();
        let message = format!("{scheduler}: preempting to accommodate a higher priority pod");
        let to = Condition { reason: "PreemptionByScheduler", message };
        let Some(condition) = self.unless_said(victim.pod(), "DisruptionTarget", conditions::TRUE, to) else {
            return Ok(());
        };
        self.try_patch_status(victim, json!({"conditions": [condition]})).await
    }

    /// Records an event about a pod.
    pub(super) fn record(&self, pod: &PodInfo, kind: EventType, reason: &str, message: &str) {
        let reference = client::reference_to(&**pod.pod());
        // A victim may belong to another scheduler; any of ours may report it.
        let own = self.recorders.get(pod.scheduler_name());
        if let Some(recorder) = own.or_else(|| self.recorders.values().next()) {
            recorder.record(&reference, kind, reason, truncated(message));
        }
    }
}

fn condition<'p>(pod: &'p LeanPod, kind: &str) -> Option<&'p LeanCondition> {
    pod.status.as_ref()?.conditions.iter().find(|condition| condition.kind() == kind)
}

fn truncated(message: &str) -> String {
    const SUFFIX: &str = " ...";
    if message.len() <= MESSAGE_MAX {
        return message.to_owned();
    }
    let end = message.floor_char_boundary(MESSAGE_MAX - SUFFIX.len());
    format!("{}{SUFFIX}", &message[..end])
}
