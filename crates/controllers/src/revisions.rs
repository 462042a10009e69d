//! The history of templates that a workload keeps in ControllerRevisions, so that it can be rolled back.
//!
//! It follows upstream's `pkg/controller/history`.

use std::collections::HashSet;
use std::sync::Arc;

use client::{Form, LeanPod, Object};
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use serde_json::json;

use crate::framework::{Action, Plan, controller_reference};
use crate::template;

/// The label of pods that distinguishes templates; a DaemonSet's revisions have it too.
pub(crate) const HASH_LABEL: &str = "controller-revision-hash";

/// A workload as its history sees it.
pub(crate) struct Versioned<'a, O> {
    /// The workload.
    pub(crate) owner: &'a O,
    /// The current template of its pods.
    pub(crate) template: &'a PodTemplateSpec,
    /// How often a hash collided with the name of another revision.
    pub(crate) collisions: Option<i32>,
    /// The label of its revisions with the hash.
    pub(crate) hash_label: &'static str,
}

impl<O> Versioned<'_, O> {
    /// The template as revisions carry it: the patch that brings it back.
    fn data(&self) -> RawExtension {
        let mut template = json!(self.template);
        template["$patch"] = "replace".into();
        RawExtension(json!({"spec": {"template": template}}))
    }
}

impl<O: Object> Versioned<'_, O> {
    /// The revision with this number of the current template.
    fn revision(&self, number: i64) -> ControllerRevision {
        let meta = self.owner.metadata();
        let hash = template::hash(self.template, self.collisions);
        let template_meta = self.template.metadata.as_ref();
        let mut labels = template_meta.and_then(|meta| meta.labels.clone()).unwrap_or_default();
        labels.insert(self.hash_label.into(), hash.clone());
        ControllerRevision {
            metadata: ObjectMeta {
                name: Some(format!("{}-{hash}", meta.name.as_deref().unwrap_or_default())),
                namespace: meta.namespace.clone(),
                labels: Some(labels),
                annotations: meta.annotations.clone(),
                owner_references: Some(vec![controller_reference(self.owner)]),
                ..ObjectMeta::default()
            },
            data: self.data(),
            revision: Some(number),
        }
    }
}

/// The revisions of a workload.
pub(crate) struct History {
    /// That of the current template.
    pub(crate) current: Option<Arc<ControllerRevision>>,
    /// The others, the oldest first.
    pub(crate) old: Vec<Arc<ControllerRevision>>,
}

impl History {
    /// Tells the revision of the current template from the others.
    pub(crate) fn new<O>(of: &Versioned<'_, O>, mut revisions: Vec<Arc<ControllerRevision>>) -> History {
        revisions.sort_by_key(|revision| (revision.revision, revision.metadata.name.clone()));
        let data = of.data();
        let position = revisions.iter().rposition(|revision| revision.data == data);
        let current = position.map(|position| revisions.remove(position));
        History { current, old: revisions }
    }

    /// The hash of the current template.
    pub(crate) fn hash(&self) -> Option<&str> {
        self.current.as_ref()?.metadata.labels.as_ref()?.get(HASH_LABEL).map(String::as_str)
    }

    fn next(&self) -> i64 {
        self.old.iter().filter_map(|revision| revision.revision).max().unwrap_or(0) + 1
    }

    /// Makes the current template the newest revision, if it is not.
    pub(crate) fn bring_up<O: Object>(&self, of: &Versioned<'_, O>, plan: &mut Plan) {
        let next = self.next();
        match &self.current {
            None => plan.then(Action::create(of.revision(next))),
            Some(current) if current.revision.unwrap_or(0) < next => {
                let mut newest = (**current).clone();
                newest.revision = Some(next);
                plan.then(Action::update(newest));
            }
            Some(_) => {}
        }
    }

    /// Deletes the oldest revisions that no pod is of, beyond the `limit` that is kept for rollbacks.
    pub(crate) fn clean_up(&self, limit: i32, pods: &[Arc<LeanPod>], plan: &mut Plan) {
        let excess = self.old.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
        let live: HashSet<_> = pods.iter().filter_map(|pod| pod.metadata.labels.get(HASH_LABEL)).collect();
        let unused = self
            .old
            .iter()
            .filter(|revision| revision.labels().label(HASH_LABEL).is_none_or(|hash| !live.contains(hash)));
        plan.together(unused.take(excess).map(|revision| Action::delete(&**revision)).collect());
    }

    /// Deletes the oldest revisions that nothing refers to by name, beyond the `limit` of such that are kept.
    pub(crate) fn truncate(&self, limit: usize, is_live: impl Fn(&str) -> bool, plan: &mut Plan) {
        let is_unused =
            |revision: &&Arc<ControllerRevision>| !revision.metadata.name.as_deref().is_some_and(&is_live);
        let unused: Vec<_> = self.old.iter().filter(is_unused).collect();
        let excess = unused.len().saturating_sub(limit);
        plan.together(unused[..excess].iter().map(|revision| Action::delete(&***revision)).collect());
    }
}
