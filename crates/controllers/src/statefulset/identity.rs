//! The identity of a pod: its name with an ordinal, the labels that repeat it, and its volumes.

use client::LeanPod;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaimVolumeSource, Pod, PodTemplateSpec, Volume};

use crate::revisions::HASH_LABEL;
use crate::template;

/// The label with the pod's own name, so that a Service can select one pod.
pub(super) const POD_NAME_LABEL: &str = "statefulset.kubernetes.io/pod-name";
/// The label with the ordinal.
pub(super) const POD_INDEX_LABEL: &str = "apps.kubernetes.io/pod-index";

/// The set's name and the ordinal in a pod's name; the ordinal is `None` if it is not written as a set writes it.
pub(super) fn parts(name: &str) -> Option<(&str, Option<i32>)> {
    let (set, digits) = name.rsplit_once('-')?;
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let ordinal = digits.parse().ok().filter(|ordinal: &i32| ordinal.to_string() == digits);
    Some((set, ordinal))
}

/// The name of the set that a pod is named after.
pub(super) fn set_of(name: &str) -> &str {
    parts(name).map_or("", |(set, _)| set)
}

/// The ordinal of a pod.
pub(super) fn ordinal(pod: &LeanPod) -> Option<i32> {
    parts(pod.metadata.name())?.1
}

/// Whether a pod is named like one of the set's.
pub(super) fn is_member(set: &StatefulSet, pod: &LeanPod) -> bool {
    parts(pod.metadata.name()).is_some_and(|(name, _)| name == name_of(set))
}

pub(super) fn name_of(set: &StatefulSet) -> &str {
    set.metadata.name.as_deref().unwrap_or_default()
}

pub(super) fn pod_name(set: &StatefulSet, ordinal: i32) -> String {
    format!("{}-{ordinal}", name_of(set))
}

/// The name of the claim that the pod with this ordinal has from a template.
pub(super) fn claim_name(set: &StatefulSet, template: &str, ordinal: i32) -> String {
    format!("{template}-{}-{ordinal}", name_of(set))
}

/// The names of the set's claim templates.
pub(super) fn claim_templates(set: &StatefulSet) -> impl Iterator<Item = &str> {
    let templates = set.spec.volume_claim_templates.as_deref().unwrap_or_default();
    templates.iter().map(|template| template.metadata.name.as_deref().unwrap_or_default())
}

/// Whether a claim is named like one of the set's pods.
pub(super) fn may_claim(set: &StatefulSet, claim: &str) -> bool {
    let Some((prefix, Some(_))) = parts(claim) else { return false };
    let templates = prefix.strip_suffix(name_of(set)).and_then(|prefix| prefix.strip_suffix('-'));
    templates.is_some_and(|template| claim_templates(set).any(|name| name == template))
}

/// The first ordinal.
pub(super) fn start(set: &StatefulSet) -> i32 {
    set.spec.ordinals.as_ref().and_then(|ordinals| ordinals.start).unwrap_or(0)
}

/// How many pods are wanted.
pub(super) fn wanted(set: &StatefulSet) -> i32 {
    set.spec.replicas.unwrap_or(1)
}

/// Whether the set wants a pod with this ordinal.
pub(super) fn is_wanted(set: &StatefulSet, ordinal: i32) -> bool {
    (start(set)..start(set).saturating_add(wanted(set))).contains(&ordinal)
}

/// The name of the revision that a pod is of.
pub(super) fn revision(pod: &LeanPod) -> &str {
    pod.metadata.labels.get(HASH_LABEL).unwrap_or_default()
}

/// A new pod of a template.
pub(super) fn new_pod(set: &StatefulSet, template: &PodTemplateSpec, revision: &str, ordinal: i32) -> Pod {
    let mut pod = template::pod(set, template);
    let name = pod_name(set, ordinal);
    let labels = pod.metadata.labels.get_or_insert_default();
    labels.insert(POD_NAME_LABEL.into(), name.clone());
    labels.insert(POD_INDEX_LABEL.into(), ordinal.to_string());
    labels.insert(HASH_LABEL.into(), revision.into());
    let spec = pod.spec.get_or_insert_default();
    spec.hostname = Some(name.clone());
    spec.subdomain.clone_from(&set.spec.service_name);
    let claimed = volumes(set, ordinal);
    if !claimed.is_empty() {
        let mut others = spec.volumes.take().unwrap_or_default();
        others.retain(|volume| claimed.iter().all(|claimed| claimed.name != volume.name));
        spec.volumes = Some(claimed.into_iter().chain(others).collect());
    }
    pod.metadata.name = Some(name);
    pod
}

/// The volumes of a pod that have claims from templates.
pub(super) fn volumes(set: &StatefulSet, ordinal: i32) -> Vec<Volume> {
    let volume = |template: &str| Volume {
        name: template.to_owned(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: claim_name(set, template, ordinal),
            ..PersistentVolumeClaimVolumeSource::default()
        }),
        ..Volume::default()
    };
    claim_templates(set).map(volume).collect()
}

/// Whether a pod has the label that repeats its name.
pub(super) fn is_labelled(pod: &LeanPod) -> bool {
    pod.metadata.labels.get(POD_NAME_LABEL) == Some(pod.metadata.name())
}

/// Whether a pod has a volume for each claim template.
pub(super) fn has_volumes(set: &StatefulSet, pod: &LeanPod, ordinal: i32) -> bool {
    let volumes = pod.spec.as_ref().map(|spec| &*spec.volumes).unwrap_or_default();
    claim_templates(set).all(|template| {
        let volume = volumes.iter().find(|volume| &*volume.name == template);
        let claim = volume.and_then(|volume| volume.persistent_volume_claim.as_ref());
        claim.is_some_and(|claim| *claim.claim_name == *claim_name(set, template, ordinal))
    })
}
