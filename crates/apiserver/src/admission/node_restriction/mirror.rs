//! Mirror pods: representations of pods that a node gets from other sources than the API.

use object::Value;
use schema::GroupResource;

use super::need;
use crate::admission::Attributes;

/// Static pods have this annotation.
pub(super) const ANNOTATION: &str = "kubernetes.io/config.mirror";

/// The only pods that a node creates are its own mirror pods, and these give it no access.
pub(super) fn check_mirror_pod(node: &str, what: &Attributes<'_>, pod: &Value) -> Result<(), String> {
    need(is_mirror(pod), || {
        format!("pod does not have {ANNOTATION:?} annotation, node {node:?} can only create mirror pods")
    })?;
    need(pod.str_at("spec.nodeName") == node, || {
        format!("node {node:?} can only create pods with spec.nodeName set to itself")
    })?;
    let owners = pod.at("metadata.ownerReferences").as_list().unwrap_or_default();
    need(owners.len() <= 1, || {
        format!("node {node:?} can only create pods with a single owner reference set to itself")
    })?;
    let itself = || format!("node {node:?} can only create pods with an owner reference set to itself");
    let owner = owners.first().ok_or_else(itself)?;
    let is_itself = ["apiVersion", "kind", "name"].map(|member| owner.str_at(member)) == ["v1", "Node", node];
    need(is_itself, itself)?;
    need(owner.get("controller").as_bool() == Some(true), || {
        format!("node {node:?} can only create pods with a controller owner reference set to itself")
    })?;
    need(owner.get("blockOwnerDeletion").as_bool() != Some(true), || {
        format!("node {node:?} must not set blockOwnerDeletion on an owner reference")
    })?;
    let uid = what.reader.get(GroupResource::NODES, "", node).map(|node| node.uid().as_str().to_owned());
    let uid = uid.ok_or_else(|| format!("node {node:?} not found"))?;
    need(owner.str_at("uid") == uid, || {
        format!("node {node} UID mismatch: expected {} got {uid}", owner.str_at("uid"))
    })?;
    match reference(pod.get("spec")) {
        Some(what) => Err(format!("node {node:?} can not create pods that reference {what}")),
        None => Ok(()),
    }
}

pub(super) fn is_mirror(pod: &Value) -> bool {
    !pod.at_path(&["metadata", "annotations", ANNOTATION]).is_null()
}

/// The other objects that a pod refers to, if any, in upstream's words.
fn reference(spec: &Value) -> Option<&'static str> {
    if !spec.str_at("serviceAccountName").is_empty() {
        return Some("serviceaccounts");
    }
    let volumes = || spec.get("volumes").items();
    let sources = || volumes().flat_map(|volume| volume.at("projected.sources").items());
    let containers = || {
        ["initContainers", "containers", "ephemeralContainers"]
            .into_iter()
            .flat_map(|list| spec.get(list).items())
    };
    let in_environment = |reference: &str, key_reference: &str| {
        containers().any(|container| {
            let mut from = container.get("envFrom").items();
            let mut variables = container.get("env").items();
            from.any(|source| !source.get(reference).is_null())
                || variables.any(|variable| !variable.get("valueFrom").get(key_reference).is_null())
        })
    };
    // All sources of volumes with a secret name it in a field of this form.
    let takes_secret = |volume: &Value| {
        volume.entries().any(|(_, source)| {
            ["secretRef", "nodePublishSecretRef", "secretName"]
                .iter()
                .any(|member| !source.get(member).is_empty())
        })
    };
    if !spec.get("imagePullSecrets").is_empty()
        || in_environment("secretRef", "secretKeyRef")
        || volumes().any(takes_secret)
        || sources().any(|source| !source.at("secret.name").is_empty())
    {
        return Some("secrets");
    }
    if in_environment("configMapRef", "configMapKeyRef")
        || volumes().any(|volume| !volume.at("configMap.name").is_empty())
        || sources().any(|source| !source.at("configMap.name").is_empty())
    {
        return Some("configmaps");
    }
    if !spec.get("resourceClaims").is_empty() {
        return Some("resourceclaims");
    }
    volumes().find_map(of_volume)
}

/// The sources of volumes that need another object even if they do not name it.
const SOURCES: [(&str, &str); 7] = [
    ("configMap", "configmaps (via configmap volumes)"),
    ("secret", "secrets (via secret volumes)"),
    ("csi", "csidrivers (via CSI volumes)"),
    ("glusterfs", "endpoints (via glusterFS volumes)"),
    ("persistentVolumeClaim", "persistentvolumeclaims"),
    ("ephemeral", "persistentvolumeclaims (via ephemeral volumes)"),
    ("azureFile", "secrets (via azureFile volumes)"),
];
const PROJECTIONS: [(&str, &str); 5] = [
    ("configMap", "configmaps (via projected volumes)"),
    ("secret", "secrets (via projected volumes)"),
    ("serviceAccountToken", "serviceaccounts (via projected volumes)"),
    ("clusterTrustBundle", "clustertrustbundles"),
    ("podCertificate", "podcertificates"),
];

fn of_volume(volume: &Value) -> Option<&'static str> {
    let of = |source: &Value, table: &[(&str, &'static str)]| {
        table.iter().find(|(member, _)| !source.get(member).is_null()).map(|(_, what)| *what)
    };
    let mut projected = volume.at("projected.sources").items();
    of(volume, &SOURCES).or_else(|| projected.find_map(|source| of(source, &PROJECTIONS)))
}
