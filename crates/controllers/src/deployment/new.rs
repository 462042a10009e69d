//! The ReplicaSet of the current template.

use client::EventType;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetSpec};

use super::revision;
use super::rollout::{Rollout, wanted};
use super::status::{self, Progress};
use crate::framework::{Action, Plan, controller_reference};
use crate::template;

/// How many pods the new ReplicaSet may have by now.
pub(super) fn replicas(rollout: &Rollout<'_>) -> i32 {
    let present = rollout.new.as_deref().map_or(0, wanted);
    if rollout.spec.strategy.as_ref().and_then(|s| s.type_.as_deref()) == Some("Recreate") {
        return rollout.replicas();
    }
    let total: i32 = rollout.all().map(|replica_set| wanted(replica_set)).sum();
    let room = rollout.replicas() + rollout.max_surge() - total;
    if room <= 0 {
        return present;
    }
    present + room.min(rollout.replicas() - present)
}

/// Creates the ReplicaSet of the current template, with as many pods as are allowed at once.
pub(super) fn create(rollout: &Rollout<'_>, plan: &mut Plan, now: Timestamp) {
    let Rollout { deployment, spec, .. } = rollout;
    let collisions = deployment.status.as_ref().and_then(|status| status.collision_count);
    let hash = template::hash(&spec.template, collisions);
    let mut template = spec.template.clone();
    let template_meta = template.metadata.get_or_insert_default();
    template_meta.labels.get_or_insert_default().insert(revision::HASH_LABEL.into(), hash.clone());
    let mut selector = spec.selector.clone();
    selector.match_labels.get_or_insert_default().insert(revision::HASH_LABEL.into(), hash.clone());
    let replicas = replicas(rollout);

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

/// Updates the new ReplicaSet's annotations and the Deployment's revision. If the ReplicaSet must be written for that,
/// the plan ends there.
pub(super) fn update(rollout: &Rollout<'_>, new: &ReplicaSet, plan: &mut Plan) -> bool {
    let mut changed = new.clone();
    revision::annotate_existing(rollout, &mut changed, revision::next(&rollout.old));
    changed.spec.min_ready_seconds = rollout.spec.min_ready_seconds;
    let differs = changed != *new;
    if differs {
        plan.then(Action::update(changed));
    }
    differs
}
