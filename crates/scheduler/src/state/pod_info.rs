//! A pod and the data computed from it once.

use std::ops::Deref;
use std::sync::Arc;

use client::{LeanPod, LeanPodSpec};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use object::{ObjectKey, Pairs, Shared, Uid};
use semantics::conditions;

use super::pod_needs::{Alike, PodNeeds};
use super::{Namespaces, PodQuery};

/// A claim that a pod uses, in the pod's namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimName {
    /// The name of the PersistentVolumeClaim.
    pub name: String,
    /// Whether it is made for this pod alone (an ephemeral volume).
    pub ephemeral: bool,
}

impl ClaimName {
    /// Namespace and name of the claim of a pod.
    pub fn key(&self, pod: &PodInfo) -> ObjectKey {
        ObjectKey::namespaced(pod.key.namespace(), self.name.as_str())
    }
}

/// A pod and the data computed from it once. It never changes; a newer version of the pod makes a new one.
#[derive(Debug)]
pub struct PodInfo {
    /// Namespace and name.
    pub key: ObjectKey,
    /// The UID.
    pub uid: Uid,
    /// `spec.priority`
    pub priority: i32,
    /// The claims that its volumes name.
    pub claims: Box<[ClaimName]>,
    /// What it needs, shared with the other pods of its template.
    alike: Shared<Alike>,
    pod: Arc<LeanPod>,
}

impl Deref for PodInfo {
    type Target = PodNeeds;
    fn deref(&self) -> &PodNeeds {
        self.alike.needs()
    }
}

impl PodInfo {
    /// Works everything out.
    pub fn new(pod: Arc<LeanPod>) -> PodInfo {
        PodInfo {
            key: pod.metadata.key.clone(),
            uid: pod.metadata.uid.clone(),
            priority: pod.spec.as_ref().and_then(|spec| spec.priority).unwrap_or(0),
            claims: claims(&pod),
            alike: Alike::of(&pod),
            pod,
        }
    }

    /// The pod.
    pub fn pod(&self) -> &Arc<LeanPod> {
        &self.pod
    }

    /// Its spec, if it has one: the API server admits no pod without one.
    pub fn spec(&self) -> Option<&LeanPodSpec> {
        self.pod.spec.as_ref()
    }

    /// Whether a query means it.
    pub fn is_meant_by(&self, query: &PodQuery, namespaces: &Namespaces) -> bool {
        query.matches(self.key.namespace(), self.labels(), self.is_deleting(), namespaces)
    }

    /// Its labels.
    pub fn labels(&self) -> &Pairs {
        &self.pod.metadata.labels
    }

    /// The node that it is bound to.
    pub fn node_name(&self) -> Option<&str> {
        self.spec()?.node_name.as_deref().filter(|name| !name.is_empty())
    }

    /// The node on which room is made for it.
    pub fn nominated_node_name(&self) -> Option<&str> {
        let status = self.pod.status.as_ref()?;
        status.nominated_node_name.as_deref().filter(|name| !name.is_empty())
    }

    /// The scheduler that is to bind it.
    pub fn scheduler_name(&self) -> &str {
        self.spec().and_then(|spec| spec.scheduler_name.as_deref()).unwrap_or("default-scheduler")
    }

    /// Whether a claim is one of those that it uses.
    pub fn names_claim(&self, claim: &PersistentVolumeClaim) -> bool {
        let name = claim.metadata.name.as_deref();
        claim.metadata.namespace.as_deref() == Some(self.key.namespace())
            && self.claims.iter().any(|wanted| Some(wanted.name.as_str()) == name)
    }

    /// Whether its deletion has begun.
    pub fn is_deleting(&self) -> bool {
        self.pod.metadata.deletion_timestamp.is_some()
    }

    /// Whether a scheduler preempted it.
    pub fn is_preempted(&self) -> bool {
        conditions::holds(&self.pod, "DisruptionTarget")
            && conditions::of(&self.pod, "DisruptionTarget").field("reason").text() == "PreemptionByScheduler"
    }

    /// When it started, in seconds since 1970.
    pub fn start_seconds(&self) -> Option<i64> {
        Some(self.pod.status.as_ref()?.start_time.as_ref()?.0.as_second())
    }

    /// Whether it has terminated and holds no resources any more.
    pub fn is_terminal(&self) -> bool {
        semantics::pods::is_terminal(&self.pod)
    }

    /// The images that it needs, one a container, init containers included.
    pub fn images(&self) -> impl Iterator<Item = &str> {
        let spec = self.spec();
        let init = spec.and_then(|spec| spec.init_containers.as_deref()).unwrap_or_default();
        let containers = spec.map(|spec| spec.containers.as_slice()).unwrap_or_default();
        init.iter().chain(containers).map(|container| container.image.as_deref().unwrap_or_default())
    }
}

fn claims(pod: &LeanPod) -> Box<[ClaimName]> {
    let volumes = pod.spec.iter().flat_map(|spec| &spec.volumes);
    let claims = volumes.filter_map(|volume| {
        if let Some(claim) = &volume.persistent_volume_claim {
            return Some(ClaimName { name: claim.claim_name.to_string(), ephemeral: false });
        }
        volume.ephemeral.as_ref()?;
        let pod = pod.metadata.name();
        Some(ClaimName { name: format!("{pod}-{}", volume.name), ephemeral: true })
    });
    claims.collect()
}
