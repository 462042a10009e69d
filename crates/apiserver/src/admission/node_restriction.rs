//! NodeRestriction: a node writes only objects about itself and the pods on it (upstream:
//! `plugin/pkg/admission/noderestriction`).
//!
//! Unlike the node authorizer, it sees the objects that are written.

use std::sync::Arc;

use async_trait::async_trait;
use object::{Status, Value, Versioned};
use schema::GroupResource;

use super::{Attributes, Operation, Plugin};
use crate::authz::Chain;
use crate::authz::node::node_of;

mod audience;
mod certificates;
mod mirror;
#[cfg(test)]
mod tests;

/// The namespace of nodes' leases.
const LEASES: &str = "kube-node-lease";
/// Labels of these namespaces, and of those below them, are reserved for administrators, to isolate nodes.
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
/// ... and namespaces in which it may set all labels.
const OWN_NAMESPACES: [&str; 2] = ["kubelet.kubernetes.io", "node.kubernetes.io"];

/// The plugin.
pub struct NodeRestriction {
    /// Decides what roles allow a node in addition.
    pub authorizer: Arc<Chain>,
}

#[async_trait]
impl Plugin for NodeRestriction {
    fn name(&self) -> &'static str {
        "NodeRestriction"
    }

    async fn validate(&self, what: &Attributes<'_>, object: &Value, old: &Value) -> Result<(), Status> {
        let Some(node) = node_of(what.user) else { return Ok(()) };
        if what.operation == Operation::Connect {
            return Ok(());
        }
        self.check(node, what, object, old).await.map_err(|refusal| match refusal {
            Refusal::Forbidden(why) => what.forbidden(&why),
            Refusal::NotYet(why) => Status::internal_error(why),
        })
    }
}

/// Why a node is refused.
enum Refusal {
    /// It is never allowed.
    Forbidden(String),
    /// The cache may be behind.
    NotYet(String),
}

impl From<String> for Refusal {
    fn from(why: String) -> Refusal {
        Refusal::Forbidden(why)
    }
}

impl NodeRestriction {
    async fn check(
        &self,
        node: &str,
        what: &Attributes<'_>,
        object: &Value,
        old: &Value,
    ) -> Result<(), Refusal> {
        if node.is_empty() {
            return Err(format!("could not determine node from user {:?}", what.user.name).into());
        }
        if what.group_resource() == GroupResource::POD_CERTIFICATE_REQUESTS {
            return self.check_pod_certificate(node, what, object).await;
        }
        Ok(self.check_others(node, what, object, old).await?)
    }

    async fn check_others(
        &self,
        node: &str,
        what: &Attributes<'_>,
        object: &Value,
        old: &Value,
    ) -> Result<(), String> {
        let is_create = what.operation == Operation::Create;
        match (what.resource.group, what.resource.plural, what.subresource) {
            ("", "pods", "") => check_pod(node, what, object, old),
            ("", "pods", "status") => check_pod_status(node, object, old),
            ("", "pods", "eviction") => {
                let pod = pod_now(what, what.name).await?;
                let is_own = pod.is_none_or(|pod| pod.value().str_at("spec.nodeName") == node);
                need(is_own, || format!("node {node} can only evict pods with spec.nodeName set to itself"))
            }
            ("", "pods", other) => {
                Err(format!("unexpected pod subresource {other:?}, only 'status' and 'eviction' are allowed"))
            }
            ("", "nodes", _) => check_node(node, what, object, old),
            ("", "persistentvolumeclaims", "status") => check_claim_status(node, object, old),
            ("", "persistentvolumeclaims", _) => Err("may only update PVC status".to_owned()),
            ("", "serviceaccounts", "token") if is_create => self.check_token(node, what, object).await,
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
                // For changes, the authorizer has checked the slice's node, which never changes.
                let (verb, slice) = match what.operation {
                    Operation::Create => ("create", object),
                    Operation::Delete => ("delete", old),
                    Operation::Update | Operation::Connect => return Ok(()),
                };
                need(slice.str_at("spec.nodeName") == node, || {
                    format!("can only {verb} ResourceSlice with the same NodeName as the requesting node")
                })
            }
            ("certificates.k8s.io", "certificatesigningrequests", "") if is_create => {
                certificates::check_signing_request(what, object)
            }
            _ => Ok(()),
        }
    }

    async fn check_token(&self, node: &str, what: &Attributes<'_>, request: &Value) -> Result<(), String> {
        let bound = request.at("spec.boundObjectRef");
        let is_to_pod = bound.str_at("apiVersion") == "v1"
            && bound.str_at("kind") == "Pod"
            && !bound.str_at("name").is_empty();
        need(is_to_pod, || "node requested token not bound to a pod".to_owned())?;
        let uid = bound.str_at("uid");
        need(!uid.is_empty(), || "node requested token with a pod binding without a uid".to_owned())?;
        // If it does not exist, the request itself is refused for that reason.
        let Some(pod) = pod_now(what, bound.str_at("name")).await? else { return Ok(()) };
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
        self.check_audience(what, request, &pod).await
    }
}

/// A pod of the request's namespace, even if it was created a moment ago: a node must not get at it before its place is
/// known here.
async fn pod_now(what: &Attributes<'_>, name: &str) -> Result<Option<Versioned>, String> {
    let found = what.reader.find(GroupResource::PODS, what.namespace, name).await;
    found.map_err(|status| status.message)
}

fn need(holds: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why()) }
}

fn check_pod(node: &str, what: &Attributes<'_>, object: &Value, old: &Value) -> Result<(), String> {
    match what.operation {
        Operation::Create => mirror::check_mirror_pod(node, what, object),
        Operation::Delete => need(old.str_at("spec.nodeName") == node, || {
            format!("node {node:?} can only delete pods with spec.nodeName set to itself")
        }),
        Operation::Update | Operation::Connect => Err(format!(
            "unexpected operation {:?}, node {node:?} can only create and delete mirror pods",
            what.operation.name()
        )),
    }
}

fn check_pod_status(node: &str, object: &Value, old: &Value) -> Result<(), String> {
    need(old.str_at("spec.nodeName") == node, || {
        format!("node {node:?} can only update pod status for pods with spec.nodeName set to itself")
    })?;
    need(differing(object, old).is_empty(), || {
        format!("node {node:?} cannot update labels through pod status")
    })?;
    let claims = |pod: &Value| pod.at("status.resourceClaimStatuses").as_list().unwrap_or_default().to_vec();
    need(claims(object) == claims(old), || format!("node {node:?} cannot update resource claim statues"))?;
    let extended = |pod: &Value| pod.at("status.extendedResourceClaimStatus").clone();
    need(extended(object) == extended(old), || {
        format!("node {node:?} cannot update extended resource claim status")
    })
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
            let owners =
                |node: &Value| node.at("metadata.ownerReferences").as_list().unwrap_or_default().to_vec();
            need(owners(object) == owners(old), || {
                format!("node {node:?} is not allowed to modify ownerReferences")
            })?;
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
            "node {node:?} is not allowed to update fields other than status.quantity and status.conditions"
        )
    })
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

/// Those of these labels that a node may not set.
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
