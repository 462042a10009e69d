//! Metadata without the fields that nothing reads from a cache.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use object::{ObjectKey, Pairs, Shared, Uid, Versioned, Word};
use semantics::{Field, View};
use serde::{Deserialize, Deserializer};

use super::Owners;

/// The annotation in which `kubectl apply` keeps a copy of the whole object.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// An object of any kind of which only the metadata matters, without managed fields.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct PartialObject {
    /// The metadata.
    #[serde(default, deserialize_with = "lean_meta")]
    pub metadata: ObjectMeta,
}

/// The metadata of a lean view. Its names and UID are those of the version in the watch cache, and the objects of one
/// template share labels and owners.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(from = "WholeMeta")]
pub struct LeanMeta {
    /// Namespace and name.
    pub key: ObjectKey,
    /// The UID; empty if there is none yet.
    pub uid: Uid,
    /// The resource version; 0 if there is none yet.
    pub resource_version: u64,
    /// `generation`
    pub generation: Option<i64>,
    /// `labels`
    pub labels: Pairs,
    /// Of the annotations those that components read.
    pub annotations: Pairs,
    /// `creationTimestamp`
    pub creation_timestamp: Option<Time>,
    /// `deletionTimestamp`
    pub deletion_timestamp: Option<Time>,
    /// `deletionGracePeriodSeconds`
    pub deletion_grace_period_seconds: Option<i64>,
    /// `finalizers`
    pub finalizers: Box<[Word]>,
    /// `ownerReferences`
    pub owner_references: Shared<Owners>,
}

/// The annotations of lean views that components read.
const READ: [&str; 5] = [
    "batch.kubernetes.io/job-completion-index",
    "batch.kubernetes.io/job-index-failure-count",
    "batch.kubernetes.io/job-index-ignored-failure-count",
    "controller.kubernetes.io/pod-deletion-cost",
    "kubernetes.io/config.mirror",
];

/// Metadata as the API has it.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WholeMeta {
    name: Option<String>,
    namespace: Option<Word>,
    uid: Option<String>,
    resource_version: Option<String>,
    generation: Option<i64>,
    labels: Pairs,
    annotations: Option<BTreeMap<String, String>>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    deletion_grace_period_seconds: Option<i64>,
    finalizers: Option<Vec<Word>>,
    owner_references: Option<Owners>,
}

impl From<WholeMeta> for LeanMeta {
    fn from(meta: WholeMeta) -> LeanMeta {
        let annotations = meta.annotations.unwrap_or_default();
        let read = READ.iter().filter_map(|name| Some((*name, annotations.get(*name)?.as_str())));
        LeanMeta {
            key: ObjectKey::namespaced(meta.namespace.unwrap_or_default(), meta.name.unwrap_or_default()),
            uid: Uid::from(&*meta.uid.unwrap_or_default()),
            resource_version: meta.resource_version.and_then(|version| version.parse().ok()).unwrap_or(0),
            generation: meta.generation,
            labels: meta.labels,
            annotations: read.collect(),
            creation_timestamp: meta.creation_timestamp,
            deletion_timestamp: meta.deletion_timestamp,
            deletion_grace_period_seconds: meta.deletion_grace_period_seconds,
            finalizers: meta.finalizers.unwrap_or_default().into(),
            owner_references: meta.owner_references.unwrap_or_default().into(),
        }
    }
}

impl Default for LeanMeta {
    fn default() -> LeanMeta {
        WholeMeta::default().into()
    }
}

impl LeanMeta {
    /// The name.
    pub fn name(&self) -> &str {
        &self.key.name
    }

    /// The namespace; empty for objects of the cluster.
    pub fn namespace(&self) -> &str {
        self.key.namespace()
    }

    /// Shares names and UID with the version that this was read from.
    pub(super) fn share(&mut self, version: &Versioned) {
        self.key = version.key().clone();
        self.uid = version.uid().clone();
    }
}

impl View for LeanMeta {
    fn as_field(&self) -> Field<'_> {
        Field::Object(self)
    }

    fn field(&self, name: &str) -> Field<'_> {
        fn text(text: &str) -> Field<'_> {
            if text.is_empty() { Field::Absent } else { Field::Text(text) }
        }
        match name {
            "name" => text(self.name()),
            "namespace" => text(self.namespace()),
            "uid" => text(self.uid.as_str()),
            "labels" => self.labels.as_field(),
            "creationTimestamp" => self.creation_timestamp.as_field(),
            "deletionTimestamp" => self.deletion_timestamp.as_field(),
            "ownerReferences" => self.owner_references.as_field(),
            "generation" => self.generation.as_field(),
            _ => Field::Absent,
        }
    }

    fn each<'a>(&'a self, visit: &mut dyn FnMut(&'a str, Field<'a>)) {
        let all = ["name", "namespace", "uid", "labels", "creationTimestamp", "deletionTimestamp"];
        for name in all.into_iter().chain(["ownerReferences", "generation"]) {
            visit(name, self.field(name));
        }
    }
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

/// Reads metadata; managed fields and what `kubectl apply` keeps in an annotation are skipped.
fn lean_meta<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
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
