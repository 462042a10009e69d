//! Claims: a pod waits until its claims are bound, and runs only on nodes that can reach their volumes.
//!
//! A controller binds claims. A pod with a claim whose storage class waits for its first consumer
//! (`WaitForFirstConsumer`) finds no node here yet.

use std::sync::Arc;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use object::ObjectKey;

use crate::framework::{Event, EventKinds, Filter, Plugin, PreFilter, Rejection, Subject, Verdict};
use crate::state::{ClaimName, NodeInfo, PodInfo, Snapshot, VolumeChange, VolumeInfo};

/// Rejects pods whose claims are missing or not bound, and nodes from which a bound volume is not reached.
#[derive(Debug)]
pub struct VolumeBinding;

/// The result for the pod's claims.
#[derive(Clone, Debug, Default)]
pub struct Claims {
    bound: Vec<Arc<VolumeInfo>>,
    /// Whether a claim is bound to a volume that does not exist.
    dangling: bool,
    /// Whether a claim waits for its first consumer.
    waiting: bool,
}

impl Plugin for VolumeBinding {
    const NAME: &'static str = "VolumeBinding";
    const WAKES_ON: EventKinds = EventKinds::STORAGE.or(EventKinds::NODE_ADDED).or(EventKinds::NODE_LABELS);

    fn may_help(&self, pod: &PodInfo, event: &Event<'_>) -> bool {
        match event.subject {
            Subject::Storage(VolumeChange::Claim(Some(claim))) => pod.names_claim(claim),
            Subject::Storage(VolumeChange::Claim(None) | VolumeChange::CsiNode(_)) => false,
            _ => true,
        }
    }
}

impl Filter for VolumeBinding {
    type State = Claims;

    fn pre_filter(&self, pod: &PodInfo, snapshot: &Snapshot) -> PreFilter<Claims> {
        if pod.claims.is_empty() {
            return PreFilter::Skip;
        }
        match read_claims(pod, snapshot) {
            Ok(claims) => PreFilter::Check(claims),
            Err(why) => PreFilter::Reject(Rejection::unresolvable(why)),
        }
    }

    fn filter(&self, claims: &Claims, _pod: &PodInfo, node: &NodeInfo) -> Verdict {
        let mut reasons = Vec::new();
        if !claims.bound.iter().all(|volume| volume.is_reached_from(node)) {
            reasons.push("node(s) didn't match PersistentVolume's node affinity".into());
        }
        if claims.waiting {
            reasons.push("node(s) didn't find available persistent volumes to bind".into());
        }
        if claims.dangling {
            reasons.push("node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)".into());
        }
        Rejection::of(reasons, true).map_or(Ok(()), Err)
    }
}

fn read_claims(pod: &PodInfo, snapshot: &Snapshot) -> Result<Claims, String> {
    let mut claims = Claims::default();
    let mut unbound = false;
    for wanted in &pod.claims {
        let claim = usable_claim(wanted, pod, snapshot)?;
        let volume = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()).unwrap_or_default();
        if !volume.is_empty() && is_bound(claim) {
            match snapshot.volumes().volume(volume) {
                Some(volume) => claims.bound.push(Arc::clone(volume)),
                None => claims.dangling = true,
            }
        } else if volume.is_empty() && waits_for_consumer(claim, snapshot) {
            claims.waiting = true;
        } else {
            unbound = true;
        }
    }
    if unbound {
        return Err("pod has unbound immediate PersistentVolumeClaims".to_owned());
    }
    Ok(claims)
}

/// The claim of a volume, if the pod may use it.
fn usable_claim<'s>(
    wanted: &ClaimName,
    pod: &PodInfo,
    snapshot: &'s Snapshot,
) -> Result<&'s PersistentVolumeClaim, String> {
    let name = &wanted.name;
    let key = ObjectKey::namespaced(pod.key.namespace(), name.as_str());
    let claim = snapshot.volumes().claim(&key).ok_or_else(|| match wanted.ephemeral {
        true => {
            format!("waiting for ephemeral volume controller to create the persistentvolumeclaim \"{name}\"")
        }
        false => format!("persistentvolumeclaim \"{name}\" not found"),
    })?;
    if claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Lost") {
        let volume = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()).unwrap_or_default();
        return Err(format!(
            "persistentvolumeclaim \"{name}\" bound to non-existent persistentvolume \"{volume}\""
        ));
    }
    if claim.metadata.deletion_timestamp.is_some() {
        return Err(format!("persistentvolumeclaim \"{name}\" is being deleted"));
    }
    let mut owners = claim.metadata.owner_references.iter().flatten();
    if wanted.ephemeral
        && !owners.any(|owner| owner.controller == Some(true) && *owner.uid == *pod.uid.as_str())
    {
        return Err(format!("PVC {key} was not created for pod {} (pod is not owner)", pod.key));
    }
    Ok(claim)
}

/// Whether the controller finished the binding.
fn is_bound(claim: &PersistentVolumeClaim) -> bool {
    let annotations = claim.metadata.annotations.as_ref();
    annotations.is_some_and(|annotations| annotations.contains_key("pv.kubernetes.io/bind-completed"))
}

fn waits_for_consumer(claim: &PersistentVolumeClaim, snapshot: &Snapshot) -> bool {
    let class = claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref());
    let class = class.and_then(|class| snapshot.volumes().class(class));
    class.is_some_and(|class| class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer"))
}
