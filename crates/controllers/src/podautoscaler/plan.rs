//! The plan of a decision: its events, the new number of replicas, and the status.

use std::sync::Arc;
use std::time::Duration;

use client::{EventType, ResourceType, reference_to};
use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v1::{Scale, ScaleSpec};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use object::ObjectKey;

use super::decision::{Decision, failed_to_scale};
use crate::framework::{Action, Body, Failure, Note, Plan};

/// What is known of an autoscaler.
#[derive(Clone, Debug)]
pub(crate) enum Snapshot {
    /// It was looked at less than a period ago: so much of it is left.
    Early(Duration),
    /// It has been decided.
    Decided(Box<Decided>),
}

/// A decision, and what it is about.
#[derive(Clone, Debug)]
pub(crate) struct Decided {
    pub(super) autoscaler: Arc<HorizontalPodAutoscaler>,
    /// The target's resource and its scale, if it has one.
    pub(super) target: Option<(ResourceType, Arc<Scale>)>,
    pub(super) decision: Decision,
    pub(super) period: Duration,
}

/// The subresource that holds the replicas.
const SCALE: &str = "scale";

pub(super) fn plan(snapshot: &Snapshot) -> Plan {
    let mut plan = Plan::default();
    let decided = match snapshot {
        Snapshot::Early(left) => {
            plan.requeue_after(*left);
            return plan;
        }
        Snapshot::Decided(decided) => decided,
    };
    plan.requeue_after(decided.period);
    let Decided { autoscaler, target, decision, .. } = &**decided;
    for (kind, reason, message) in &decision.events {
        plan.record(note(autoscaler, *kind, reason, message.clone()));
    }
    if let (Some(rescale), Some((resource, scale))) = (&decision.rescale, target) {
        let key = ObjectKey::namespaced(
            autoscaler.metadata.namespace.as_deref().unwrap_or_default(),
            autoscaler.spec.scale_target_ref.name.as_str(),
        );
        let mut scale = Scale::clone(scale);
        scale.spec = Some(ScaleSpec { replicas: Some(rescale.to) });
        // Whatever else changes about the target, the number is right: upstream tries again with the newest version.
        scale.metadata.resource_version = None;
        plan.then(Action::Update { object: Body::part(resource.clone(), key, scale), subresource: SCALE });
        let message = format!("New size: {}; reason: {}", rescale.to, rescale.reason);
        plan.record(note(autoscaler, EventType::Normal, "SuccessfulRescale", message));
    }
    if autoscaler.status.as_ref() != Some(&decision.status) {
        let mut changed = HorizontalPodAutoscaler::clone(autoscaler);
        changed.status = Some(decision.status.clone());
        plan.then(Action::update_status(changed));
    }
    plan
}

/// Tells of what could not be written.
pub(super) fn recover(snapshot: &Snapshot, failures: &[Failure], now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let Snapshot::Decided(decided) = snapshot else { return plan };
    let Decided { autoscaler, decision, .. } = &**decided;
    for failure in failures {
        let is_scale = matches!(&failure.action, Action::Update { subresource, .. } if *subresource == SCALE);
        let Some(rescale) = decision.rescale.as_ref().filter(|_| is_scale) else {
            plan.record(note(autoscaler, EventType::Warning, "FailedUpdateStatus", failure.why()));
            continue;
        };
        let why = failure.why();
        let message = format!("New size: {}; reason: {}; error: {why}", rescale.to, rescale.reason);
        plan.record(note(autoscaler, EventType::Warning, "FailedRescale", message));
        let mut changed = HorizontalPodAutoscaler::clone(autoscaler);
        let mut status = rescale.otherwise.clone();
        failed_to_scale(&mut status, &why, now);
        changed.status = Some(status);
        plan.then(Action::update_status(changed));
    }
    plan
}

fn note(
    autoscaler: &HorizontalPodAutoscaler,
    kind: EventType,
    reason: &'static str,
    message: String,
) -> Note {
    Note { about: reference_to(autoscaler), kind, reason, message }
}
