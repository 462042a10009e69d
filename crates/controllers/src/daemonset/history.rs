//! The history of a DaemonSet's templates, kept in ControllerRevisions, so that it can be rolled back.

use std::collections::HashSet;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use serde_json::json;

use crate::framework::{Action, Plan, controller_reference};
use crate::template;

/// The label of pods and revisions that tells templates apart.
pub(super) const HASH_LABEL: &str = "controller-revision-hash";
/// Says that there are that many revisions to keep where the spec does not say.
const LIMIT_DEFAULT: i32 = 10;

/// The revisions of a DaemonSet.
pub(super) struct History {
    /// That of the present template.
    pub(super) current: Option<Arc<ControllerRevision>>,
    /// The others, the oldest first.
    pub(super) old: Vec<Arc<ControllerRevision>>,
}

impl History {
    pub(super) fn new(daemon_set: &DaemonSet, mut revisions: Vec<Arc<ControllerRevision>>) -> History {
        revisions.sort_by_key(|revision| (revision.revision, revision.metadata.name.clone()));
        let data = data(daemon_set);
        let position = revisions.iter().rposition(|revision| revision.data == data);
        let current = position.map(|position| revisions.remove(position));
        History { current, old: revisions }
    }

    /// The hash of the present template.
    pub(super) fn hash(&self) -> Option<&str> {
        self.current.as_ref()?.metadata.labels.as_ref()?.get(HASH_LABEL).map(String::as_str)
    }

    fn next(&self) -> i64 {
        self.old.iter().filter_map(|revision| revision.revision).max().unwrap_or(0) + 1
    }

    /// Makes the present template the newest revision, if it is not.
    pub(super) fn bring_up(&self, daemon_set: &DaemonSet, plan: &mut Plan) {
        let next = self.next();
        match &self.current {
            None => plan.then(Action::create(create(daemon_set, next))),
            Some(current) if current.revision.unwrap_or(0) < next => {
                let mut newest = (**current).clone();
                newest.revision = Some(next);
                plan.then(Action::update(newest));
            }
            Some(_) => {}
        }
    }

    /// Deletes the oldest revisions that no pod is of, beyond those that are kept for rollbacks.
    pub(super) fn clean_up(&self, daemon_set: &DaemonSet, pods: &[Arc<Pod>], plan: &mut Plan) {
        let limit = daemon_set.spec.revision_history_limit.unwrap_or(LIMIT_DEFAULT);
        let excess = self.old.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
        let label =
            |meta: &ObjectMeta| meta.labels.as_ref().and_then(|labels| labels.get(HASH_LABEL).cloned());
        let live: HashSet<_> = pods.iter().filter_map(|pod| label(&pod.metadata)).collect();
        let unused = self
            .old
            .iter()
            .filter(|revision| label(&revision.metadata).is_none_or(|hash| !live.contains(&hash)));
        plan.together(unused.take(excess).map(|revision| Action::delete(&**revision)).collect());
    }
}

/// A template as revisions carry it: the patch that brings it back.
fn data(daemon_set: &DaemonSet) -> RawExtension {
    let mut template = json!(daemon_set.spec.template);
    template["$patch"] = "replace".into();
    RawExtension(json!({"spec": {"template": template}}))
}

fn create(daemon_set: &DaemonSet, revision: i64) -> ControllerRevision {
    let collisions = daemon_set.status.as_ref().and_then(|status| status.collision_count);
    let hash = template::hash(&daemon_set.spec.template, collisions);
    let template_meta = daemon_set.spec.template.metadata.as_ref();
    let mut labels = template_meta.and_then(|meta| meta.labels.clone()).unwrap_or_default();
    labels.insert(HASH_LABEL.into(), hash.clone());
    ControllerRevision {
        metadata: ObjectMeta {
            name: Some(format!("{}-{hash}", daemon_set.metadata.name.as_deref().unwrap_or_default())),
            namespace: daemon_set.metadata.namespace.clone(),
            labels: Some(labels),
            annotations: daemon_set.metadata.annotations.clone(),
            owner_references: Some(vec![controller_reference(daemon_set)]),
            ..ObjectMeta::default()
        },
        data: data(daemon_set),
        revision: Some(revision),
    }
}
