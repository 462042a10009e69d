//! Pods with the Job controller's finalizer that no Job counts any more.

use std::sync::Arc;

use client::{Informer, LeanPod, ResourceType};
use k8s_openapi::Resource;
use k8s_openapi::api::batch::v1::Job;
use object::ObjectKey;

use super::terms::{is_finished, is_managed_elsewhere};
use super::tracked;
use crate::framework::{Live, Plan, controller_of};

/// A pod with the finalizer.
#[derive(Clone, Debug)]
pub(crate) struct Orphan {
    pub(super) pod: Arc<LeanPod>,
    /// Whether a Job exists that will count it.
    pub(super) is_counted: bool,
}

/// Whether the pod has the finalizer and no controller of another kind.
pub(super) fn may_be(pod: &LeanPod) -> bool {
    let owner = controller_of(&pod.metadata);
    tracked::is_tracked(pod)
        && owner.is_none_or(|owner| owner.kind == Job::KIND && owner.group() == Job::GROUP)
}

impl Orphan {
    /// Looks for the pod's Job. That the informer knows of none is not enough.
    pub(super) fn look(pod: Arc<LeanPod>, jobs: &Informer<Job>, live: &mut Live) -> Option<Orphan> {
        let Some(owner) = controller_of(&pod.metadata) else {
            return Some(Orphan { pod, is_counted: false });
        };
        let (key, uid) = (ObjectKey::namespaced(pod.metadata.namespace(), owner.name), owner.uid);
        let is_counted = match jobs.get(&key).filter(|job| job.metadata.uid.as_deref() == Some(uid)) {
            Some(job) => is_managed_elsewhere(&job) || !is_finished(&job),
            None => {
                let found = live.metadata(&ResourceType::of::<Job>(), &key)?;
                found.is_some_and(|job| job.metadata.uid.as_deref() == Some(uid))
            }
        };
        Some(Orphan { pod, is_counted })
    }

    pub(super) fn plan(&self) -> Plan {
        let mut plan = Plan::default();
        if !self.is_counted {
            plan.then(tracked::untrack_unless_changed(&self.pod));
        }
        plan
    }
}
