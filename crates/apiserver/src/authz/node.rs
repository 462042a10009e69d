//! The node authorizer: a node reads and writes only the objects that its own pods need (upstream:
//! `plugin/pkg/auth/authorizer/node`, with the features of field selectors on).
//!
//! A graph (`graph`) that follows the watch cache knows which objects a node's pods need. The authorizer does not see
//! the objects that are written; the admission plugin `NodeRestriction` checks those.

use std::sync::Arc;

use k8s_openapi::api::rbac::v1::PolicyRule;
use object::{FieldSelector, quote};

use super::attributes::{Attributes, Target};
use super::authorizer::{Authorizer, Decision, Reply, Rules};
use super::rules::{allows_path, allows_resource};
use crate::cache::Collection;
use crate::user::{GROUP_NODES, User};

mod graph;
mod references;
#[cfg(test)]
pub(crate) mod tests;

use graph::Graph;
pub(crate) use references::names_secret;
use references::{Kind, Reference};

/// The prefix of nodes' user names.
const USER_PREFIX: &str = "system:node:";
/// The namespace of nodes' leases.
const LEASES: &str = "kube-node-lease";

/// The node that a user stands for; `None` for users that are not nodes. The name is empty if it is unknown.
pub fn node_of(user: &User) -> Option<&str> {
    let name = user.name.strip_prefix(USER_PREFIX)?;
    user.in_group(GROUP_NODES).then_some(name)
}

/// Decides for nodes.
pub struct NodeAuthorizer {
    graph: Graph,
    attachments: Arc<Collection>,
    slices: Arc<Collection>,
    requests: Arc<Collection>,
    /// The rights of every node.
    rules: Vec<PolicyRule>,
}

/// The collections that show what a node's pods need.
pub struct NodeCollections {
    /// Pods.
    pub pods: Arc<Collection>,
    /// PersistentVolumes.
    pub volumes: Arc<Collection>,
    /// VolumeAttachments.
    pub attachments: Arc<Collection>,
    /// ResourceSlices.
    pub slices: Arc<Collection>,
    /// PodCertificateRequests.
    pub requests: Arc<Collection>,
}

/// A request about a resource.
#[derive(Clone, Copy)]
struct Asked<'a> {
    verb: &'a str,
    subresource: &'a str,
    namespace: &'a str,
    name: &'a str,
    fields: Option<&'a FieldSelector>,
}

/// `Ok`, or the reason of the refusal.
type Answer = Result<(), String>;

impl NodeAuthorizer {
    /// An authorizer by these collections, with the rules that hold for every node.
    pub fn new(collections: NodeCollections, rules: Vec<PolicyRule>) -> NodeAuthorizer {
        let NodeCollections { pods, volumes, attachments, slices, requests } = collections;
        NodeAuthorizer { graph: Graph::new(pods, volumes), attachments, slices, requests, rules }
    }

    fn decide(&self, node: &str, what: &Attributes<'_>) -> Answer {
        let verb = what.verb;
        let (group, resource, asked) = match what.target {
            Target::Path(path) => {
                let is_allowed = self.rules.iter().any(|rule| allows_path(rule, verb, path));
                return is_allowed.then_some(()).ok_or_default();
            }
            Target::Resource { group, resource, subresource, namespace, name, .. } => {
                let fields = what.fields;
                (group, resource, Asked { verb, subresource, namespace, name, fields })
            }
        };
        match (group, resource) {
            ("", "secrets") => self.read(node, Kind::Secret, asked),
            ("", "configmaps") => self.read(node, Kind::ConfigMap, asked),
            ("", "persistentvolumeclaims") if asked.subresource == "status" => match verb {
                "update" | "patch" => self.related(node, Kind::Claim, asked),
                _ => refuse("can only get/update/patch this type"),
            },
            ("", "persistentvolumeclaims") => self.get(node, Kind::Claim, asked),
            ("", "persistentvolumes") => self.get(node, Kind::Volume, asked),
            ("resource.k8s.io", "resourceclaims") => self.get(node, Kind::ResourceClaim, asked),
            ("storage.k8s.io", "volumeattachments") => self.get(node, Kind::Attachment, asked),
            ("", "serviceaccounts") => self.service_account(node, asked),
            ("coordination.k8s.io", "leases") => lease(node, asked),
            ("storage.k8s.io", "csinodes") => csi_node(node, asked),
            ("resource.k8s.io", "resourceslices") => self.slice(node, asked),
            ("certificates.k8s.io", "podcertificaterequests") => self.certificate_request(node, asked),
            ("", "nodes") => own_node(node, asked),
            ("", "pods") => self.pod(node, asked),
            _ => {
                let Asked { subresource, name, .. } = asked;
                let mut rules = self.rules.iter();
                let allows = |rule| allows_resource(rule, verb, group, resource, subresource, name);
                rules.any(allows).then_some(()).ok_or_default()
            }
        }
    }

    /// Reads of single objects in a namespace, watches too.
    fn read(&self, node: &str, kind: Kind, asked: Asked<'_>) -> Answer {
        if !matches!(asked.verb, "get" | "list" | "watch") {
            return refuse("can only read resources of this type");
        }
        if !asked.subresource.is_empty() {
            return refuse("cannot read subresource");
        }
        if asked.namespace.is_empty() {
            return refuse("can only read namespaced object of this type");
        }
        self.related(node, kind, asked)
    }

    fn get(&self, node: &str, kind: Kind, asked: Asked<'_>) -> Answer {
        if asked.verb != "get" {
            return refuse("can only get individual resources of this type");
        }
        if !asked.subresource.is_empty() {
            return refuse("cannot get subresource");
        }
        self.related(node, kind, asked)
    }

    /// Whether the named object is one that a pod of the node needs.
    fn related(&self, node: &str, kind: Kind, asked: Asked<'_>) -> Answer {
        if asked.name.is_empty() {
            return refuse("No Object name found");
        }
        let is_of = |collection: &Collection, path: &str| {
            let namespace = if kind == Kind::CertificateRequest { asked.namespace } else { "" };
            collection.get(namespace, asked.name).is_some_and(|object| object.value().str_at(path) == node)
        };
        let is_related = match kind {
            Kind::Attachment => is_of(&self.attachments, "spec.nodeName"),
            Kind::Slice => is_of(&self.slices, "spec.nodeName"),
            Kind::CertificateRequest => is_of(&self.requests, "spec.nodeName"),
            _ => self.graph.leads_to(node, &Reference::new(kind, asked.namespace, asked.name)),
        };
        if is_related {
            return Ok(());
        }
        Err(format!("no relationship found between node '{node}' and this object"))
    }

    fn service_account(&self, node: &str, asked: Asked<'_>) -> Answer {
        if asked.subresource.is_empty() && asked.verb == "get" {
            // For tokens that are used to pull images.
            return self.related(node, Kind::ServiceAccount, asked);
        }
        if asked.verb != "create" || asked.name.is_empty() {
            return refuse("can only create tokens for individual service accounts");
        }
        if asked.subresource != "token" {
            return refuse("can only create token subresource of serviceaccount");
        }
        self.related(node, Kind::ServiceAccount, asked)
    }

    fn slice(&self, node: &str, asked: Asked<'_>) -> Answer {
        if !asked.subresource.is_empty() {
            return refuse("cannot authorize ResourceSlice subresources");
        }
        match asked.verb {
            // NodeRestriction checks the created object.
            "create" => Ok(()),
            "get" | "update" | "patch" | "delete" => self.related(node, Kind::Slice, asked),
            "list" | "watch" | "deletecollection" if selects(asked, "spec.nodeName", node) => Ok(()),
            "list" | "watch" | "deletecollection" => {
                refuse("can only list/watch/deletecollection resourceslices with nodeName field selector")
            }
            _ => refuse(
                "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, \
                 delete, deletecollection",
            ),
        }
    }

    fn certificate_request(&self, node: &str, asked: Asked<'_>) -> Answer {
        if !asked.subresource.is_empty() {
            return refuse("nodes may not access the status subresource of PodCertificateRequests");
        }
        match asked.verb {
            // NodeRestriction checks the pod.
            "create" => Ok(()),
            "get" => self.related(node, Kind::CertificateRequest, asked),
            "list" | "watch" if selects(asked, "spec.nodeName", node) => Ok(()),
            "list" | "watch" => {
                refuse("can only list/watch podcertificaterequests with nodeName field selector")
            }
            other => Err(format!("nodes may not {other} podcertificaterequests")),
        }
    }

    fn pod(&self, node: &str, asked: Asked<'_>) -> Answer {
        match (asked.subresource, asked.verb) {
            ("", "get") => self.get(node, Kind::Pod, asked),
            ("", "list" | "watch") => {
                if selects(asked, "spec.nodeName", node) {
                    Ok(())
                } else if !asked.name.is_empty() {
                    self.related(node, Kind::Pod, asked)
                } else {
                    refuse("can only list/watch pods with spec.nodeName field selector")
                }
            }
            // NodeRestriction checks the pods.
            ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create") => Ok(()),
            _ => refuse(""),
        }
    }
}

impl Authorizer for NodeAuthorizer {
    fn kind(&self) -> &'static str {
        "Node"
    }

    fn authorize<'a>(&'a self, what: &'a Attributes<'a>) -> Reply<'a> {
        let decision = match node_of(what.user) {
            None => Decision::NoOpinion(Arc::default()),
            Some("") => {
                Decision::NoOpinion(format!("unknown node for user {}", quote(&what.user.name)).into())
            }
            Some(node) => match self.decide(node, what) {
                Ok(()) => Decision::Allow(Arc::default()),
                Err(why) => Decision::NoOpinion(why.into()),
            },
        };
        Reply::Now(decision)
    }

    fn rules_of(&self, user: &User, _namespace: &str) -> Rules {
        if node_of(user).is_none() {
            return Rules::default();
        }
        // The rights of a node depend on its pods.
        let error = "node authorizer does not support user rule resolution";
        Rules { rules: Vec::new(), incomplete: true, errors: vec![error.into()] }
    }
}

fn own_node(node: &str, asked: Asked<'_>) -> Answer {
    match (asked.subresource, asked.verb) {
        // NodeRestriction checks the node.
        ("", "create" | "update" | "patch") | ("status", "update" | "patch") => Ok(()),
        ("", "get" | "list" | "watch") => match asked.name {
            name if name == node => Ok(()),
            "" => Err(format!("node '{node}' cannot read all nodes, only its own Node object")),
            other => Err(format!("node '{node}' cannot read '{other}', only its own Node object")),
        },
        _ => refuse(""),
    }
}

fn lease(node: &str, asked: Asked<'_>) -> Answer {
    if !matches!(asked.verb, "get" | "create" | "update" | "patch" | "delete") {
        return refuse("can only get, create, update, patch, or delete a node lease");
    }
    if asked.namespace != LEASES {
        return Err(format!("can only access leases in the {LEASES:?} system namespace"));
    }
    if asked.verb != "create" && asked.name != node {
        return refuse("can only access node lease with the same name as the requesting node");
    }
    Ok(())
}

fn csi_node(node: &str, asked: Asked<'_>) -> Answer {
    if !matches!(asked.verb, "get" | "create" | "update" | "patch" | "delete") {
        return refuse("can only get, create, update, patch, or delete a CSINode");
    }
    if !asked.subresource.is_empty() {
        return refuse("cannot authorize CSINode subresources");
    }
    if asked.verb != "create" && asked.name != node {
        return refuse("can only access CSINode with the same name as the requesting node");
    }
    Ok(())
}

fn refuse(why: &str) -> Answer {
    Err(why.to_owned())
}

/// Whether only objects with this value in a field are requested.
fn selects(asked: Asked<'_>, field: &str, value: &str) -> bool {
    asked.fields.and_then(|fields| fields.exact(field)) == Some(value)
}

/// A refusal without a message.
trait OkOrDefault {
    fn ok_or_default(self) -> Answer;
}

impl OkOrDefault for Option<()> {
    fn ok_or_default(self) -> Answer {
        self.ok_or_else(String::new)
    }
}
