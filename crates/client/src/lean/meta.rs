//! Metadata without the fields that nothing reads from a cache.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use serde::{Deserialize, Deserializer};

/// The annotation in which `kubectl apply` keeps a copy of the whole object.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// The annotations of pods that components read.
const OF_PODS: [&str; 2] = ["controller.kubernetes.io/pod-deletion-cost", "kubernetes.io/config.mirror"];

/// An object of any kind of which only the metadata matters, without managed fields.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct PartialObject {
    /// The metadata.
    #[serde(default, deserialize_with = "lean_meta")]
    pub metadata: ObjectMeta,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Meta {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    generate_name: Option<String>,
    generation: Option<i64>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    deletion_grace_period_seconds: Option<i64>,
    owner_references: Option<Vec<OwnerReference>>,
    finalizers: Option<Vec<String>>,
}

/// Reads a pod's metadata as [`lean_meta`] does, with the annotations that components read and without the prefix of its
/// name, which tells nothing once it has one.
pub(super) fn pod_meta<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    let mut meta = lean_meta(deserializer)?;
    meta.generate_name = None;
    if let Some(annotations) = &mut meta.annotations {
        annotations.retain(|name, _| OF_PODS.contains(&name.as_str()));
    }
    meta.annotations = meta.annotations.filter(|annotations| !annotations.is_empty());
    Ok(meta)
}

/// Reads metadata; managed fields and what `kubectl apply` keeps in an annotation are skipped.
pub(super) fn lean_meta<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    let mut meta = Option::<Meta>::deserialize(deserializer)?.unwrap_or_default();
    if let Some(annotations) = &mut meta.annotations {
        annotations.remove(LAST_APPLIED);
    }
    Ok(ObjectMeta {
        name: meta.name,
        namespace: meta.namespace,
        uid: meta.uid,
        resource_version: meta.resource_version,
        generate_name: meta.generate_name,
        generation: meta.generation,
        labels: meta.labels,
        annotations: meta.annotations.filter(|annotations| !annotations.is_empty()),
        creation_timestamp: meta.creation_timestamp,
        deletion_timestamp: meta.deletion_timestamp,
        deletion_grace_period_seconds: meta.deletion_grace_period_seconds,
        owner_references: meta.owner_references,
        finalizers: meta.finalizers,
        managed_fields: None,
        self_link: None,
    })
}
