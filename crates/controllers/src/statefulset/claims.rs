//! The claims of a set's pods, and who owns them: nobody, the set, or a pod that is no longer wanted. An owned claim is
//! deleted with its owner.

use client::{Identified, LeanPod, Object};
use k8s_openapi::Resource;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use super::identity;
use crate::framework::controller_reference;

/// When claims are deleted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Retention {
    /// With the set.
    pub(super) deleted_with_set: bool,
    /// With a pod that is scaled away.
    pub(super) deleted_with_pod: bool,
}

impl Retention {
    pub(super) fn of(set: &StatefulSet) -> Retention {
        let policy = set.spec.persistent_volume_claim_retention_policy.as_ref();
        let deletes = |when: Option<&String>| when.is_some_and(|when| when == "Delete");
        Retention {
            deleted_with_set: deletes(policy.and_then(|policy| policy.when_deleted.as_ref())),
            deleted_with_pod: deletes(policy.and_then(|policy| policy.when_scaled.as_ref())),
        }
    }

    fn keeps_all(self) -> bool {
        !self.deleted_with_set && !self.deleted_with_pod
    }
}

/// The claims of the pod with this ordinal.
pub(super) fn wanted(set: &StatefulSet, ordinal: i32) -> Vec<PersistentVolumeClaim> {
    let templates = set.spec.volume_claim_templates.as_deref().unwrap_or_default();
    let claim = |template: &PersistentVolumeClaim| {
        let mut claim = template.clone();
        let name = identity::claim_name(set, template.metadata.name.as_deref().unwrap_or_default(), ordinal);
        claim.metadata.name = Some(name);
        claim.metadata.namespace.clone_from(&set.metadata.namespace);
        let selected = set.spec.selector.match_labels.clone().unwrap_or_default();
        claim.metadata.labels.get_or_insert_default().extend(selected);
        claim
    };
    templates.iter().map(claim).collect()
}

/// A claim and the set and pod that may own it.
pub(super) struct Holder<'a> {
    pub(super) set: &'a StatefulSet,
    /// The name of the pod.
    pub(super) pod: String,
    /// The UID of the pod; empty if there is none.
    pub(super) pod_uid: &'a str,
    /// Whether the set wants the pod.
    pub(super) is_wanted: bool,
}

impl<'a> Holder<'a> {
    /// An existing pod.
    pub(super) fn of(set: &'a StatefulSet, pod: &'a LeanPod) -> Holder<'a> {
        Holder {
            set,
            pod: pod.metadata.name().to_owned(),
            pod_uid: pod.uid(),
            is_wanted: identity::ordinal(pod).is_some_and(|ordinal| identity::is_wanted(set, ordinal)),
        }
    }

    /// A pod that does not exist yet.
    pub(super) fn missing(set: &'a StatefulSet, ordinal: i32) -> Holder<'a> {
        Holder { set, pod: identity::pod_name(set, ordinal), pod_uid: "", is_wanted: true }
    }

    fn set_uid(&self) -> &str {
        self.set.metadata.uid.as_deref().unwrap_or_default()
    }

    fn names_set(&self, owner: &OwnerReference) -> bool {
        owner.api_version == StatefulSet::API_VERSION
            && owner.kind == StatefulSet::KIND
            && owner.name == identity::name_of(self.set)
    }

    fn names_pod(&self, owner: &OwnerReference) -> bool {
        owner.api_version == Pod::API_VERSION && owner.kind == Pod::KIND && owner.name == self.pod
    }

    /// Whether a claim belongs to a previous pod of this name, and goes with it.
    pub(super) fn is_of_previous_pod(&self, claim: &PersistentVolumeClaim) -> bool {
        let named = owners(claim).iter().find(|owner| self.names_pod(owner));
        named.is_some_and(|owner| owner.uid != self.pod_uid)
    }

    fn is_of_previous_set(&self, claim: &PersistentVolumeClaim) -> bool {
        let named = owners(claim).iter().find(|owner| self.names_set(owner));
        named.is_some_and(|owner| owner.uid != self.set_uid())
    }

    /// Whether somebody else controls a claim that this set should delete one day.
    pub(super) fn has_rival(&self, claim: &PersistentVolumeClaim) -> bool {
        if Retention::of(self.set).keeps_all() {
            return false;
        }
        owners(claim).iter().any(|owner| {
            if self.names_set(owner) {
                owner.uid != self.set_uid()
            } else if self.names_pod(owner) {
                owner.uid != self.pod_uid
            } else {
                owner.controller == Some(true)
            }
        })
    }

    fn owned_by(&self, claim: &PersistentVolumeClaim) -> (bool, bool) {
        let has = |uid: &str| owners(claim).iter().any(|owner| owner.uid == uid);
        (has(self.set_uid()), has(self.pod_uid))
    }

    /// Whether set and pod should own claims.
    fn should_own(&self) -> (bool, bool) {
        let Retention { deleted_with_set, deleted_with_pod } = Retention::of(self.set);
        let with_pod = deleted_with_pod && !self.is_wanted;
        (deleted_with_set && !with_pod, with_pod)
    }

    /// Whether the owners of a claim are as the policy wants them. Claims of previous sets and pods are left alone.
    pub(super) fn is_settled(&self, claim: &PersistentVolumeClaim) -> bool {
        if self.is_of_previous_set(claim) || self.is_of_previous_pod(claim) {
            return true;
        }
        let owned = self.owned_by(claim);
        if self.has_rival(claim) {
            return owned == (false, false);
        }
        let is_ours = |owner: &&OwnerReference| owner.uid == self.set_uid() || owner.uid == self.pod_uid;
        let all_control = owners(claim).iter().filter(is_ours).all(|owner| owner.controller == Some(true));
        all_control && owned == self.should_own()
    }

    /// The claim with the owners that the policy wants.
    pub(super) fn settle(&self, claim: &PersistentVolumeClaim) -> PersistentVolumeClaim {
        let mut changed = claim.clone();
        let has_rival = self.has_rival(claim);
        let owners = changed.metadata.owner_references.get_or_insert_default();
        owners.retain(|owner| !self.names_set(owner) && !self.names_pod(owner));
        let (set, pod) = self.should_own();
        if set && !has_rival {
            owners.push(controller_reference(self.set));
        }
        if pod && !has_rival {
            owners.push(self.pod_reference());
        }
        changed
    }

    fn pod_reference(&self) -> OwnerReference {
        OwnerReference {
            api_version: Pod::API_VERSION.to_owned(),
            kind: Pod::KIND.to_owned(),
            name: self.pod.clone(),
            uid: self.pod_uid.to_owned(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }
    }
}

fn owners<K: Object>(object: &K) -> &[OwnerReference] {
    object.metadata().owner_references.as_deref().unwrap_or_default()
}
