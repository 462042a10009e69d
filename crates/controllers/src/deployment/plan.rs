//! Which case a Deployment is in, and the plan for it.

use std::sync::Arc;

use client::{EventType, reference_to};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, ReplicaSet};

use super::rollout::{Rollout, Snapshot};
use super::status::{self, Progress};
use super::{revision, rolling, scale};
use crate::framework::{Action, Claim, Failure, Note, Plan, sort_by_age};

pub(super) fn plan(snapshot: &Snapshot, now: Timestamp) -> Plan {
    let deployment = &*snapshot.deployment;
    let spec = &deployment.spec;
    if semantics::LabelSelector::read(&spec.selector).is_empty() {
        return selects_everything(deployment);
    }
    let selector = semantics::selector(&spec.selector);
    let claimed = Claim { owner: deployment, selector: &selector }.claim(&snapshot.replica_sets, |_| true);
    if !claimed.changes.is_empty() {
        return claimed.changes;
    }
    let rollout = tell_apart(snapshot, spec, claimed.owned);
    let mut plan = Plan::default();
    if deployment.metadata.deletion_timestamp.is_some() {
        status::finish(&rollout, &mut plan, Progress::Unchanged, now);
    } else if spec.paused == Some(true) || scale::is_due(&rollout) {
        scale::plan(&rollout, &mut plan, now);
    } else if spec.strategy.as_ref().and_then(|strategy| strategy.type_.as_deref()) == Some("Recreate") {
        rolling::recreate(&rollout, &mut plan, now);
    } else {
        rolling::roll(&rollout, &mut plan, now);
    }
    plan
}

fn tell_apart<'a>(
    snapshot: &'a Snapshot,
    spec: &'a DeploymentSpec,
    mut owned: Vec<Arc<ReplicaSet>>,
) -> Rollout<'a> {
    sort_by_age(&mut owned);
    // If several have the current template, the oldest is the new one, so that all choose the same.
    let position = owned.iter().position(|replica_set| revision::has_template(replica_set, &spec.template));
    let new = position.map(|position| owned.remove(position));
    Rollout { deployment: &snapshot.deployment, spec, new, old: owned, snapshot }
}

/// Validation refuses this; an old object may have it.
fn selects_everything(deployment: &Deployment) -> Plan {
    let mut plan = Plan::default();
    plan.record(Note {
        about: reference_to(deployment),
        kind: EventType::Warning,
        reason: "SelectingAll",
        message: "This deployment is selecting all pods. A non-empty selector is required.".into(),
    });
    let generation = deployment.metadata.generation;
    if deployment.status.as_ref().and_then(|status| status.observed_generation) < generation {
        let mut deployment = deployment.clone();
        deployment.status.get_or_insert_default().observed_generation = generation;
        plan.then(Action::update_status(deployment));
    }
    plan
}

/// What to do when a step of a plan failed.
pub(super) fn recover(snapshot: &Snapshot, failures: &[Failure], now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    for failure in failures {
        let Failure { action, error } = failure;
        let Action::Create { object, .. } = action else { continue };
        let Some(wanted) = object.get::<ReplicaSet>() else { continue };
        let name = wanted.metadata.name.as_deref().unwrap_or_default();
        if error.is_already_exists() {
            // If it is our own, the next plan reports it when the cache shows it. If another's, the name is taken
            // permanently.
            let found =
                snapshot.replica_sets.iter().find(|other| other.metadata.name == wanted.metadata.name);
            if found.is_some() {
                let mut deployment = (*snapshot.deployment).clone();
                *deployment.status.get_or_insert_default().collision_count.get_or_insert(0) += 1;
                plan.then(Action::update_status(deployment));
            }
        } else if !error.is_namespace_terminating() {
            let message = format!("Failed to create new replica set {name:?}: {}", failure.why());
            plan.record(Note {
                about: reference_to(&*snapshot.deployment),
                kind: EventType::Warning,
                reason: "ReplicaSetCreateError",
                message: message.clone(),
            });
            status::creation_failed(&snapshot.deployment, message, &mut plan, now);
        }
    }
    plan
}
