//! Which case a Deployment is in, and the plan for it.

use std::sync::Arc;

use client::{EventType, reference_to};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, ReplicaSet, ReplicaSetSpec};

use super::status::{self, Progress};
use super::{Snapshot, revision, rolling, scale};
use crate::framework::{Action, Claim, Failure, Note, Plan, controller_reference, labels, sort_by_age};
use crate::template;

/// A Deployment with its ReplicaSets told apart.
pub(super) struct Rollout<'a> {
    pub(super) deployment: &'a Deployment,
    pub(super) spec: &'a DeploymentSpec,
    /// The ReplicaSet of the present template.
    pub(super) new: Option<Arc<ReplicaSet>>,
    /// The others, the oldest first.
    pub(super) old: Vec<Arc<ReplicaSet>>,
    pub(super) snapshot: &'a Snapshot,
}

impl Rollout<'_> {
    /// All ReplicaSets.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<ReplicaSet>> {
        self.old.iter().chain(&self.new)
    }

    /// How many pods are wanted.
    pub(super) fn replicas(&self) -> i32 {
        replicas(self.spec)
    }

    /// How many more pods than wanted there may be; those of a Recreate never surge.
    pub(super) fn max_surge(&self) -> i32 {
        rolling::fenceposts(self.spec).surge
    }

    pub(super) fn note(&self, kind: EventType, reason: &'static str, message: String) -> Note {
        Note { about: reference_to(self.deployment), kind, reason, message }
    }
}

/// How many pods a Deployment wants.
pub(super) fn replicas(spec: &DeploymentSpec) -> i32 {
    spec.replicas.unwrap_or(1)
}

/// How many pods a ReplicaSet wants.
pub(super) fn wanted(replica_set: &ReplicaSet) -> i32 {
    replica_set.spec.replicas.unwrap_or(1)
}

pub(super) fn plan(snapshot: &Snapshot, now: Timestamp) -> Plan {
    let deployment = &*snapshot.deployment;
    let spec = &deployment.spec;
    if labels::is_empty(&spec.selector) {
        return selects_everything(deployment);
    }
    let selector = labels::selector(&spec.selector);
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
    // If several have the present template, the oldest is the new one, so that all choose the same.
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

/// Creates the ReplicaSet of the present template, with as many pods as may be there at once.
pub(super) fn create_new(rollout: &Rollout<'_>, plan: &mut Plan, now: Timestamp) {
    let Rollout { deployment, spec, .. } = rollout;
    let collisions = deployment.status.as_ref().and_then(|status| status.collision_count);
    let hash = template::hash(&spec.template, collisions);
    let mut template = spec.template.clone();
    let template_meta = template.metadata.get_or_insert_default();
    template_meta.labels.get_or_insert_default().insert(revision::HASH_LABEL.into(), hash.clone());
    let mut selector = spec.selector.clone();
    selector.match_labels.get_or_insert_default().insert(revision::HASH_LABEL.into(), hash.clone());
    let replicas = rolling::new_replicas(rollout);

    let mut created = ReplicaSet::default();
    let meta = &mut created.metadata;
    meta.name = Some(format!("{}-{hash}", deployment.metadata.name.as_deref().unwrap_or_default()));
    meta.namespace.clone_from(&deployment.metadata.namespace);
    meta.labels.clone_from(&template.metadata.as_ref().and_then(|meta| meta.labels.clone()));
    meta.owner_references = Some(vec![controller_reference(*deployment)]);
    created.spec = ReplicaSetSpec {
        replicas: Some(replicas),
        min_ready_seconds: spec.min_ready_seconds,
        selector,
        template: Some(template),
    };
    let next = revision::next(&rollout.old);
    revision::annotate_new(rollout, &mut created, next);
    let name = created.metadata.name.clone().unwrap_or_default();
    plan.then(Action::create(created));
    if replicas > 0 {
        let message = format!("Scaled up replica set {name} from 0 to {replicas}");
        plan.record(rollout.note(EventType::Normal, "ScalingReplicaSet", message));
    }
    status::finish(rollout, plan, Progress::Created { name, revision: next }, now);
}

/// Brings the new ReplicaSet's annotations and the Deployment's revision up to date. If the ReplicaSet must be
/// written for it, that is all for now.
pub(super) fn update_new(rollout: &Rollout<'_>, new: &ReplicaSet, plan: &mut Plan) -> bool {
    let mut changed = new.clone();
    revision::annotate_existing(rollout, &mut changed, revision::next(&rollout.old));
    changed.spec.min_ready_seconds = rollout.spec.min_ready_seconds;
    let differs = changed != *new;
    if differs {
        plan.then(Action::update(changed));
    }
    differs
}

/// What to do when a step of a plan failed.
pub(super) fn recover(snapshot: &Snapshot, failures: &[Failure], now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    for Failure { action, error } in failures {
        let Action::Create { object, .. } = action else { continue };
        let Some(wanted) = object.get::<ReplicaSet>() else { continue };
        let name = wanted.metadata.name.as_deref().unwrap_or_default();
        if error.is_already_exists() {
            // Its own is told by the next plan, when the cache shows it. Another's takes the name for good.
            let found =
                snapshot.replica_sets.iter().find(|other| other.metadata.name == wanted.metadata.name);
            if found.is_some() {
                let mut deployment = (*snapshot.deployment).clone();
                *deployment.status.get_or_insert_default().collision_count.get_or_insert(0) += 1;
                plan.then(Action::update_status(deployment));
            }
        } else if !error.is_namespace_terminating() {
            let message = format!("Failed to create new replica set {name:?}: {error}");
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
