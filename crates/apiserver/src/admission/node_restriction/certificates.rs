//! Certificates that a node requests: its own, and those of its pods.

use object::{Value, quote};
use schema::GroupResource;

use super::{NodeRestriction, Refusal, mirror, need};
use crate::admission::{Attributes, Operation};
use crate::authz::{self, Target};

/// The signers of nodes' own certificates.
const NODE_SIGNERS: [&str; 2] =
    ["kubernetes.io/kubelet-serving", "kubernetes.io/kube-apiserver-client-kubelet"];
/// The verb with which a role allows further signers, with the signer as the resource.
const VERB: &str = "request-podcertificate-signer";

/// A node requests node certificates only in its own name.
pub(super) fn check_signing_request(what: &Attributes<'_>, object: &Value) -> Result<(), String> {
    use base64::Engine;
    if !NODE_SIGNERS.contains(&object.str_at("spec.signerName")) {
        return Ok(());
    }
    let pem = base64::engine::general_purpose::STANDARD.decode(object.str_at("spec.request"));
    let name = pem.ok().and_then(|pem| crate::pki::request_common_name(&pem));
    let name = name.ok_or("unable to parse csr: PEM block type must be CERTIFICATE REQUEST")?;
    need(name == what.user.name, || format!("can only create a node CSR with CN={}", what.user.name))
}

impl NodeRestriction {
    /// A node requests certificates only for its own running pods, with correct data about them, from signers that the
    /// pod names. If the cache may be stale, the node should retry.
    pub(super) async fn check_pod_certificate(
        &self,
        node: &str,
        what: &Attributes<'_>,
        request: &Value,
    ) -> Result<(), Refusal> {
        if what.operation != Operation::Create {
            return Err(format!("unexpected operation {}", what.operation.name()).into());
        }
        if !what.subresource.is_empty() {
            return Err(format!("unexpected subresource {}", what.subresource).into());
        }
        let spec = request.get("spec");
        let said = |member: &str| quote(spec.str_at(member));
        let full = |name: &str| quote(&format!("{}/{name}", what.namespace));
        let of_pod = format!("PodCertificateRequest for pod {}", full(spec.str_at("podName")));
        need(spec.str_at("nodeName") == node, || {
            let (said, node) = (said("nodeName"), quote(node));
            format!("PodCertificateRequest.Spec.NodeName={said}, which is not the requesting node {node}")
        })?;
        let retrieved = |kind: &str, singular: &str, full: String, name: &str| {
            let name = quote(name);
            Refusal::NotYet(format!(
                "while retrieving {kind} {full} named in the PodCertificateRequest: {singular} {name} not found"
            ))
        };
        let own = what
            .reader
            .get(GroupResource::NODES, "", node)
            .ok_or_else(|| retrieved("node", "node", quote(node), node))?;
        let uid = own.uid().as_str();
        if spec.str_at("nodeUID") != uid {
            let (said, uid) = (said("nodeUID"), quote(uid));
            let why = format!("{of_pod} names node UID {said}, inconsistent with the running node ({uid})");
            return Err(Refusal::NotYet(why));
        }
        let name = spec.str_at("podName");
        let pod = what.reader.get(GroupResource::PODS, what.namespace, name);
        let pod = pod.ok_or_else(|| retrieved("pod", "pod", full(name), name))?;
        if spec.str_at("podUID") != pod.uid().as_str() {
            let (said, uid) = (said("podUID"), quote(pod.uid().as_str()));
            let why = format!("{of_pod} contains pod UID ({said}) which differs from running pod {uid}");
            return Err(Refusal::NotYet(why));
        }
        let pod = pod.value();
        need(pod.str_at("spec.nodeName") == node, || {
            let (pod, node) = (full(name), quote(node));
            format!("pod {pod} is not running on node {node} named in the PodCertificateRequest")
        })?;
        need(!mirror::is_mirror(&pod), || format!("pod {} is a mirror pod", full(name)))?;
        let account = pod.str_at("spec.serviceAccountName");
        need(spec.str_at("serviceAccountName") == account, || {
            let (said, account) = (said("serviceAccountName"), quote(account));
            format!("{of_pod} contains serviceAccountName ({said}) that differs from running pod ({account})")
        })?;
        let found = what.reader.get(GroupResource::SERVICE_ACCOUNTS, what.namespace, account);
        let found =
            found.ok_or_else(|| retrieved("service account", "serviceaccount", full(account), account))?;
        if spec.str_at("serviceAccountUID") != found.uid().as_str() {
            let (said, uid) = (said("serviceAccountUID"), quote(found.uid().as_str()));
            return Err(Refusal::NotYet(format!(
                "{of_pod} names service account UID {said}, which differs from the running service account ({uid})"
            )));
        }
        Ok(self.check_pod_signer(what, spec, &pod).await?)
    }

    async fn check_pod_signer(&self, what: &Attributes<'_>, spec: &Value, pod: &Value) -> Result<(), String> {
        let signer = spec.str_at("signerName");
        let mut sources = pod.at("spec.volumes").items().flat_map(|v| v.at("projected.sources").items());
        let is_named = sources.any(|source| source.at("podCertificate.signerName").as_str() == Some(signer));
        let target = Target::Resource {
            group: "",
            version: "v1",
            resource: signer,
            subresource: "",
            namespace: what.namespace,
            name: spec.str_at("serviceAccountName"),
        };
        let asked = authz::Attributes::new(what.user, VERB, target);
        need(is_named || self.authorizer.authorize(&asked).await.is_allowed(), || {
            format!(
                "signer {} not found in pod spec volume, {} is not authorized to request certificates from this signer",
                quote(signer),
                what.user.name
            )
        })
    }
}
