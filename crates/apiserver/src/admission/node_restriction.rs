//! NodeRestriction: what a node writes is about itself and the pods on it (upstream:
//! `plugin/pkg/admission/noderestriction`).
//!
//! It sees what the node authorizer cannot: the objects that are written.

use std::sync::Arc;

use async_trait::async_trait;
use object::{Status, Value};

use super::{Attributes, Operation, Plugin};
use crate::authz::Authorizer;
use crate::authz::node::node_of;
use crate::cache::Collection;

mod audience;
#[cfg(test)]
mod tests;

/// Static pods have this annotation.
const MIRROR_ANNOTATION: &str = "kubernetes.io/config.mirror";
/// Where nodes keep their leases.
const LEASES: &str = "kube-node-lease";
/// Labels of these namespaces, and of those below them, are the administrators' to isolate nodes with.
const RESTRICTED: &str = "node-restriction.kubernetes.io";
/// Labels of Kubernetes' namespaces that a node may set on itself ...
const OWN_LABELS: [&str; 12] = [
    "kubernetes.io/hostname",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "beta.kubernetes.io/instance-type",
    "node.kubernetes.io/instance-type",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
    "node.kubernetes.io/windows-build",
];
/// ... and namespaces of which it may set all.
const OWN_NAMESPACES: [&str; 2] = ["kubelet.kubernetes.io", "node.kubernetes.io"];

/// The plugin.
pub struct NodeRestriction {
    /// The pods.
    pub pods: Arc<Collection>,
    /// The nodes.
    pub nodes: Arc<Collection>,
    /// The PersistentVolumeClaims.
    pub claims: Arc<Collection>,
    /// The PersistentVolumes.
    pub volumes: Arc<Collection>,
    /// The CSIDrivers.
    pub drivers: Arc<Collection>,
    /// Tells what roles allow a node besides.
    pub authorizer: Arc<Authorizer>,
}

#[async_trait]
impl Plugin for NodeRestriction {
    fn name(&self) -> &'static str {
        "NodeRestriction"
    }

    async fn validate(&self, what: &Attributes<'_>, object: &Value, old: &Value) -> Result<(), Status> {
        let Some(node) = node_of(what.user) else { return Ok(()) };
        self.check(node, what, object, old).map_err(|why| {
            Status::forbidden(&what.endpoint.def.group, &what.endpoint.def.plural, what.name, &why)
        })
    }
}

impl NodeRestriction {
    fn check(&self, node: &str, what: &Attributes<'_>, object: &Value, old: &Value) -> Result<(), String> {
        if node.is_empty() {
            return Err(format!("could not determine node from user {:?}", what.user.name));
        }
        let is_create = what.operation == Operation::Create;
        match (&*what.endpoint.def.group, &*what.endpoint.def.plural, what.subresource) {
            ("", "pods", "") => self.check_pod(node, what, object, old),
            ("", "pods", "status") => check_pod_status(node, object, old),
            ("", "pods", "eviction") => {
                let pod = self.pods.get(what.namespace, what.name);
                let is_own = pod.is_none_or(|pod| pod.value().str_at("spec.nodeName") == node);
                need(is_own, || format!("node {node} can only evict pods with spec.nodeName set to itself"))
            }
            ("", "pods", other) => {
                Err(format!("unexpected pod subresource {other:?}, only 'status' and 'eviction' are allowed"))
            }
            ("", "nodes", _) => check_node(node, what, object, old),
            ("", "persistentvolumeclaims", "status") => check_claim_status(node, object, old),
            ("", "persistentvolumeclaims", _) => Err("may only update PVC status".to_owned()),
            ("", "serviceaccounts", "token") if is_create => self.check_token(node, what, object),
            ("coordination.k8s.io", "leases", _) => {
                need(what.namespace == LEASES, || {
                    format!("can only access leases in the {LEASES:?} system namespace")
                })?;
                need(what.name == node, || {
                    "can only access node lease with the same name as the requesting node".to_owned()
                })
            }
            ("storage.k8s.io", "csinodes", _) => need(what.name == node, || {
                "can only access CSINode with the same name as the requesting node".to_owned()
            }),
            ("resource.k8s.io", "resourceslices", _) => {
                let slice = if is_create { object } else { old };
                need(slice.str_at("spec.nodeName") == node, || {
                    format!(
                        "can only {} ResourceSlice with the same NodeName as the requesting node",
                        if is_create { "create" } else { "access" }
                    )
                })
            }
            ("certificates.k8s.io", "certificatesigningrequests", "") if is_create => {
                check_signing_request(what, object)
            }
            _ => Ok(()),
        }
    }

    fn check_pod(
        &self,
        node: &str,
        what: &Attributes<'_>,
        object: &Value,
        old: &Value,
    ) -> Result<(), String> {
        match what.operation {
            Operation::Create => self.check_mirror_pod(node, object),
            Operation::Delete => need(old.str_at("spec.nodeName") == node, || {
                format!("node {node:?} can only delete pods with spec.nodeName set to itself")
            }),
            Operation::Update | Operation::Connect => Err(format!(
                "unexpected operation \"UPDATE\", node {node:?} can only create and delete mirror pods"
            )),
        }
    }

    /// The pods that a node makes are pictures of those that it has from elsewhere than the API.
    fn check_mirror_pod(&self, node: &str, pod: &Value) -> Result<(), String> {
        let is_mirror = !pod.at_path(&["metadata", "annotations", MIRROR_ANNOTATION]).is_null();
        need(is_mirror, || {
            format!(
                "pod does not have {MIRROR_ANNOTATION:?} annotation, node {node:?} can only create mirror pods"
            )
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
        let is_itself =
            ["apiVersion", "kind", "name"].map(|member| owner.str_at(member)) == ["v1", "Node", node];
        need(is_itself, itself)?;
        need(owner.get("controller").as_bool() == Some(true), || {
            format!("node {node:?} can only create pods with a controller owner reference set to itself")
        })?;
        need(owner.get("blockOwnerDeletion").as_bool() != Some(true), || {
            format!("node {node:?} must not set blockOwnerDeletion on an owner reference")
        })?;
        let uid = self.nodes.get("", node).map(|node| node.uid().as_str().to_owned()).unwrap_or_default();
        need(owner.str_at("uid") == uid, || {
            format!("node {node} UID mismatch: expected {} got {uid}", owner.str_at("uid"))
        })?;
        refuse_references(node, pod.get("spec"))
    }

    fn check_token(&self, node: &str, what: &Attributes<'_>, request: &Value) -> Result<(), String> {
        let bound = request.at("spec.boundObjectRef");
        let is_to_pod = bound.str_at("apiVersion") == "v1"
            && bound.str_at("kind") == "Pod"
            && !bound.str_at("name").is_empty();
        need(is_to_pod, || "node requested token not bound to a pod".to_owned())?;
        let uid = bound.str_at("uid");
        need(!uid.is_empty(), || "node requested token with a pod binding without a uid".to_owned())?;
        // One that does not exist is refused with that word by the request itself.
        let Some(pod) = self.pods.get(what.namespace, bound.str_at("name")) else { return Ok(()) };
        need(uid == pod.uid().as_str(), || {
            format!(
                "the UID in the bound object reference ({uid}) does not match the UID in record. The object might \
                 have been deleted and then recreated"
            )
        })?;
        let pod = pod.value();
        need(pod.str_at("spec.nodeName") == node, || {
            "node requested token bound to a pod scheduled on a different node".to_owned()
        })?;
        self.check_audience(what, request, &pod)
    }
}

fn need(holds: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why()) }
}

/// Refuses a pod of a node's own making that would open other objects to the node.
fn refuse_references(node: &str, spec: &Value) -> Result<(), String> {
    let refuse = |what: &str| Err(format!("node {node:?} can not create pods that reference {what}"));
    if !spec.str_at("serviceAccountName").is_empty() {
        return refuse("a service account");
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
    // Of all sources of volumes that take a secret the field has a name of this form.
    let takes_secret = |volume: &Value| {
        volume.entries().any(|(kind, source)| {
            (kind == "secret" && !source.is_null())
                || ["secretRef", "nodePublishSecretRef", "secretName"]
                    .iter()
                    .any(|member| !source.get(member).is_empty())
        })
    };
    if !spec.get("imagePullSecrets").is_empty()
        || in_environment("secretRef", "secretKeyRef")
        || volumes().any(takes_secret)
        || sources().any(|source| !source.get("secret").is_null())
    {
        return refuse("secrets");
    }
    if in_environment("configMapRef", "configMapKeyRef")
        || volumes().any(|volume| !volume.get("configMap").is_null())
        || sources().any(|source| !source.get("configMap").is_null())
    {
        return refuse("configmaps");
    }
    if sources().any(|source| !source.get("clusterTrustBundle").is_null()) {
        return refuse("clustertrustbundles");
    }
    if volumes().any(|volume| !volume.get("persistentVolumeClaim").is_null()) {
        return refuse("persistentvolumeclaims");
    }
    if !spec.get("resourceClaims").is_empty() {
        return refuse("resourceclaims");
    }
    Ok(())
}

fn check_pod_status(node: &str, object: &Value, old: &Value) -> Result<(), String> {
    need(old.str_at("spec.nodeName") == node, || {
        format!("node {node:?} can only update pod status for pods with spec.nodeName set to itself")
    })?;
    need(differing(object, old).is_empty(), || {
        format!("node {node:?} cannot update labels through pod status")
    })?;
    let claims = |pod: &Value| pod.at("status.resourceClaimStatuses").as_list().unwrap_or_default().to_vec();
    need(claims(object) == claims(old), || format!("node {node:?} cannot update resource claim statues"))
}

fn check_node(node: &str, what: &Attributes<'_>, object: &Value, old: &Value) -> Result<(), String> {
    need(what.name == node, || format!("node {node:?} is not allowed to modify node {:?}", what.name))?;
    let source = |node: &Value| node.at("spec.configSource").clone();
    match what.operation {
        Operation::Create => {
            need(source(object).is_null(), || {
                format!("node {node:?} is not allowed to create pods with a non-nil configSource")
            })?;
            let forbidden = forbidden_labels(&differing(object, &Value::Null));
            need(forbidden.is_empty(), || {
                format!("node {node:?} is not allowed to set the following labels: {forbidden}")
            })
        }
        Operation::Update => {
            need(source(object).is_null() || source(object) == source(old), || {
                format!("node {node:?} is not allowed to update configSource to a new non-nil configSource")
            })?;
            let taints = |node: &Value| node.at("spec.taints").as_list().unwrap_or_default().to_vec();
            need(taints(object) == taints(old), || format!("node {node:?} is not allowed to modify taints"))?;
            let forbidden = forbidden_labels(&differing(object, old));
            need(forbidden.is_empty(), || format!("is not allowed to modify labels: {forbidden}"))
        }
        Operation::Delete | Operation::Connect => Ok(()),
    }
}

fn check_claim_status(node: &str, object: &Value, old: &Value) -> Result<(), String> {
    let rest = |claim: &Value| {
        let mut claim = claim.clone();
        for member in ["resourceVersion", "managedFields"] {
            claim.entry("metadata").remove(member);
        }
        for member in ["capacity", "conditions", "allocatedResources", "allocatedResourceStatuses"] {
            claim.entry("status").remove(member);
        }
        claim
    };
    need(rest(object) == rest(old), || {
        format!(
            "node {node:?} is not allowed to update fields other than status.capacity and status.conditions"
        )
    })
}

/// A node asks for certificates of nodes under its own name alone.
fn check_signing_request(what: &Attributes<'_>, object: &Value) -> Result<(), String> {
    use base64::Engine;
    let signers = ["kubernetes.io/kubelet-serving", "kubernetes.io/kube-apiserver-client-kubelet"];
    if !signers.contains(&object.str_at("spec.signerName")) {
        return Ok(());
    }
    let pem = base64::engine::general_purpose::STANDARD.decode(object.str_at("spec.request"));
    let name = pem.ok().and_then(|pem| crate::pki::request_common_name(&pem));
    let name = name.ok_or("unable to parse csr: PEM block type must be CERTIFICATE REQUEST")?;
    need(name == what.user.name, || format!("can only create a node CSR with CN={}", what.user.name))
}

/// The keys of the labels in which two objects differ, in order.
fn differing(one: &Value, other: &Value) -> Vec<String> {
    let labels = |object: &Value| object.at("metadata.labels").clone();
    let (one, other) = (labels(one), labels(other));
    let mut keys: Vec<String> = one
        .entries()
        .chain(other.entries())
        .map(|(key, _)| key.to_owned())
        .filter(|key| one.get(key) != other.get(key))
        .collect();
    keys.sort();
    keys.dedup();
    keys
}

/// Of these labels, those that are not a node's to set.
fn forbidden_labels(keys: &[String]) -> String {
    let forbidden = keys.iter().filter(|key| {
        let namespace = key.split_once('/').map_or("", |(namespace, _)| namespace);
        let is_below = |parent: &str| {
            namespace == parent || namespace.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.'))
        };
        let is_reserved = is_below("kubernetes.io") || is_below("k8s.io");
        let is_own = OWN_LABELS.contains(&key.as_str()) || OWN_NAMESPACES.into_iter().any(is_below);
        is_below(RESTRICTED) || (is_reserved && !is_own)
    });
    forbidden.map(String::as_str).collect::<Vec<_>>().join(", ")
}
