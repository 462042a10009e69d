//! Approves the requests of nodes, after asking the API server whether the requester is allowed to have the
//! certificate.
//!
//! A machine without an identity uses a bootstrap token and gets a certificate for an unused name. The name of an
//! existing Node is given only to the machine with that Node's key, so a token is not enough to become another node. If
//! several machines request an unused name at the same time, the first gets it; until its Node exists, its request
//! reserves the name. A node then makes requests as itself: for its next certificate, for that of its own API, for its
//! network components.

use std::collections::HashMap;
use std::sync::Arc;

use client::{Informer, ListOptions};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReviewSpec};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::core::v1::Node;
use object::ObjectKey;

use super::request::Request;
use super::rules::{SignerName, node_of, node_of_network};
use super::{NODE_KEY_ANNOTATION, has_condition, is_issued, with_condition};
use crate::framework::{Action, Body, Controller, Look, Notes, Plan, Wiring};

/// How long a name is kept for the machine whose request was approved: as long as it may take to become a Node.
const RESERVED: SignedDuration = SignedDuration::from_mins(2);

pub(crate) struct CsrApproving {
    requests: Arc<Informer<CertificateSigningRequest>>,
    nodes: Arc<Informer<Node>>,
    /// Recent requests whose Node was created and deleted again, with the time of deletion. They reserve no names.
    served: Notes<HashMap<String, Timestamp>>,
}

/// The kinds of requests that are approved here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// A first identity.
    NodeClient,
    /// The next identity of the same node.
    SelfNodeClient,
    /// A certificate of the node's own API.
    Serving,
    /// One of its network components.
    Network,
}

/// The inputs of a decision about one request.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(super) request: Arc<CertificateSigningRequest>,
    pub(super) parsed: Request,
    pub(super) wish: Wish,
    /// Whether the API server allows the requester to have it.
    pub(super) is_allowed: bool,
    /// The Node that the request names.
    pub(super) node: Option<Arc<Node>>,
    /// The request of another machine that is about to become this Node.
    pub(super) rival: Option<String>,
    /// Another Node that has one of the request's addresses.
    pub(super) address_of: Option<String>,
}

impl Controller for CsrApproving {
    const NAME: &'static str = "csrapproving";
    const ACCOUNT: &'static str = "certificate-controller";
    const QUEUE: &'static str = "csrapproving";
    const WORKERS: usize = 1;
    type Key = ObjectKey;
    type Snapshot = Snapshot;
    type Memory = ();

    fn wire(wiring: &mut Wiring<ObjectKey>) -> CsrApproving {
        let requests = wiring.informer::<CertificateSigningRequest>();
        let nodes = wiring.informer::<Node>();
        wiring.wake_self(&requests);
        let served = Notes::<HashMap<String, Timestamp>>::default();
        let of_nodes = Arc::clone(&requests);
        wiring.note(&nodes, &served, move |served, change, now| {
            if change.new.is_none() {
                served.retain(|_, at| now.duration_since(*at) < RESERVED);
                of_nodes.for_each(|request| {
                    if has_condition(request, "Approved") && key_of_node(request, &change.key.name).is_some()
                    {
                        served.insert(request.metadata.name.clone().unwrap_or_default(), now);
                    }
                });
            }
            None
        });
        CsrApproving { requests, nodes, served }
    }

    fn observe(&self, key: &ObjectKey, look: &mut Look<'_, ()>) -> Option<Snapshot> {
        let request = self.requests.get(key).filter(|request| is_open(request))?;
        let parsed = Request::parse(&request.spec.request.0).ok()?;
        let (wish, node) = wish(&request, &parsed)?;
        let is_allowed = match wish {
            Wish::NodeClient => look.live.may(review(&request, "nodeclient"))?,
            Wish::SelfNodeClient => look.live.may(review(&request, "selfnodeclient"))?,
            // The requester is the node itself, which `wish` has ensured.
            Wish::Serving | Wish::Network => true,
        };
        let rival = match wish {
            Wish::NodeClient => self.rival(&node, &parsed, look)?,
            _ => None,
        };
        let address_of = self.address_of(&node, &parsed);
        let node = self.nodes.get(&ObjectKey::cluster(node.as_str()));
        Some(Snapshot { request, parsed, wish, is_allowed, node, rival, address_of })
    }

    fn plan(snapshot: &Snapshot, _now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let Some((kind, reason, message)) = decide(snapshot) else { return plan };
        let decided = with_condition(&snapshot.request, kind, reason, message);
        plan.then(Action::Update { object: Body::new(decided), subresource: "approval" });
        plan
    }
}

impl CsrApproving {
    /// The request of another machine that got the node's name and may not have become a Node yet; the outer `None`
    /// while the answer is pending. It is read from the API server, because requests approved a moment ago count.
    fn rival(&self, node: &str, parsed: &Request, look: &mut Look<'_, ()>) -> Option<Option<String>> {
        let since = look.now.saturating_sub(RESERVED).unwrap_or(look.now);
        let options = ListOptions::fields("spec.signerName=kubernetes.io/kube-apiserver-client-kubelet");
        let requests = look.live.list::<CertificateSigningRequest>(&options)?;
        let mut rivals = requests.iter().filter(|request| is_rival(request, node, parsed, since));
        self.served.read(|served| {
            let name = |request: &Arc<CertificateSigningRequest>| {
                request.metadata.name.clone().filter(|name| !served.contains_key(name))
            };
            Some(rivals.find_map(name))
        })
    }

    /// Another Node that has one of the addresses.
    fn address_of(&self, own: &str, parsed: &Request) -> Option<String> {
        let wanted: Vec<String> = parsed.ip_addresses.iter().map(ToString::to_string).collect();
        let mut found = None;
        self.nodes.for_each(|node| {
            let name = node.metadata.name.as_deref().unwrap_or_default();
            let addresses = node.status.iter().flat_map(|status| status.addresses.iter().flatten());
            if name != own && addresses.into_iter().any(|address| wanted.contains(&address.address)) {
                found = Some(name.to_owned());
            }
        });
        found
    }
}

/// Whether the requester may have this kind of certificate.
fn review(request: &CertificateSigningRequest, subresource: &str) -> SubjectAccessReviewSpec {
    let spec = &request.spec;
    SubjectAccessReviewSpec {
        user: spec.username.clone(),
        uid: spec.uid.clone(),
        groups: spec.groups.clone(),
        extra: spec.extra.clone(),
        resource_attributes: Some(ResourceAttributes {
            group: Some("certificates.k8s.io".to_owned()),
            resource: Some("certificatesigningrequests".to_owned()),
            subresource: Some(subresource.to_owned()),
            verb: Some("create".to_owned()),
            ..ResourceAttributes::default()
        }),
        ..SubjectAccessReviewSpec::default()
    }
}

/// Whether there is no decision yet.
fn is_open(request: &CertificateSigningRequest) -> bool {
    !is_issued(request) && !has_condition(request, "Approved") && !has_condition(request, "Denied")
}

/// Whether a request was approved since then for the node's name, and with another key than this one.
pub(super) fn is_rival(
    request: &CertificateSigningRequest,
    node: &str,
    parsed: &Request,
    since: Timestamp,
) -> bool {
    let mut conditions = request.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let approved = conditions.find(|condition| condition.type_ == "Approved");
    // Times are truncated to seconds.
    let is_recent = approved.is_some_and(|condition| {
        condition.last_update_time.as_ref().is_none_or(|time| time.0.as_second() >= since.as_second())
    });
    if !is_recent || has_condition(request, "Denied") || has_condition(request, "Failed") {
        return false;
    }
    key_of_node(request, node).is_some_and(|key| key != parsed.key_digest())
}

/// The key of a request for this node's name.
fn key_of_node(request: &CertificateSigningRequest, node: &str) -> Option<String> {
    let parsed = Request::parse(&request.spec.request.0).ok()?;
    (node_of(&parsed.common_name) == Some(node)).then(|| parsed.key_digest())
}

/// The kind of a request and its node, if it is approved here at all.
pub(super) fn wish(request: &CertificateSigningRequest, parsed: &Request) -> Option<(Wish, String)> {
    let signer = SignerName::of(&request.spec.signer_name)?;
    signer.check(parsed, request.spec.usages.as_deref().unwrap_or_default()).ok()?;
    let user = request.spec.username.as_deref().unwrap_or_default();
    let is_own = user == parsed.common_name;
    match signer {
        SignerName::Kubelet => {
            let wish = if is_own { Wish::SelfNodeClient } else { Wish::NodeClient };
            Some((wish, node_of(&parsed.common_name)?.to_owned()))
        }
        SignerName::KubeletServing if is_own => {
            let node = node_of(user)?;
            parsed.dns_names.iter().all(|name| name == node).then(|| (Wish::Serving, node.to_owned()))
        }
        SignerName::Network => {
            let node = node_of_network(&parsed.common_name)?;
            (node_of(user) == Some(node)).then(|| (Wish::Network, node.to_owned()))
        }
        _ => None,
    }
}

/// The condition to add: type, reason and message. Without one, users decide.
pub(super) fn decide(snapshot: &Snapshot) -> Option<(&'static str, &'static str, String)> {
    let approve = |message: &str| Some(("Approved", "AutoApproved", message.to_owned()));
    if !snapshot.is_allowed {
        return None;
    }
    match snapshot.wish {
        Wish::SelfNodeClient => {
            approve("Auto approving self kubelet client certificate after SubjectAccessReview.")
        }
        Wish::NodeClient => match &snapshot.node {
            Some(node) if !has_key(node, &snapshot.parsed) => {
                let name = node.metadata.name.as_deref().unwrap_or_default();
                let message = format!(
                    "node {name:?} already exists and has another key. Give this machine another name, or \
                        delete that Node first if this machine replaces it."
                );
                Some(("Denied", "NodeNameTaken", message))
            }
            None if snapshot.rival.is_some() => {
                let rival = snapshot.rival.as_deref().unwrap_or_default();
                let message = format!(
                    "another machine is joining as node {:?} right now (request {rival}). Give this machine another \
                     name. If that machine is gone, delete its request and try again.",
                    node_of(&snapshot.parsed.common_name).unwrap_or_default()
                );
                Some(("Denied", "NodeNameTaken", message))
            }
            _ => approve("Auto approving kubelet client certificate after SubjectAccessReview."),
        },
        Wish::Serving if snapshot.address_of.is_some() => None,
        Wish::Serving => approve("Auto approving the certificate of the node's API."),
        Wish::Network => approve("Auto approving the certificate of the node's network components."),
    }
}

fn has_key(node: &Node, parsed: &Request) -> bool {
    let annotations = node.metadata.annotations.as_ref();
    annotations.and_then(|all| all.get(NODE_KEY_ANNOTATION)).is_some_and(|key| *key == parsed.key_digest())
}
