//! The requests that each signer accepts (upstream: `pkg/apis/certificates/helpers.go`).

use super::request::Request;

/// The signers of this process. Requests for other signers are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignerName {
    /// `kubernetes.io/kube-apiserver-client`: clients of the API server.
    ApiServerClient,
    /// `kubernetes.io/kube-apiserver-client-kubelet`: nodes, as clients of the API server.
    Kubelet,
    /// `kubernetes.io/kubelet-serving`: nodes, as servers of their own API.
    KubeletServing,
    /// `kubernetes.io/legacy-unknown`: everything else.
    LegacyUnknown,
    /// `ironhull.io/network-client`: the network parts of nodes, as clients of the API server.
    Network,
}

/// The group of nodes, and the prefix of their user names.
const NODES: (&str, &str) = ("system:nodes", "system:node:");
/// The same for nodes' network components.
const NETWORKS: (&str, &str) = ("ironhull:networks", "ironhull:network:");

impl SignerName {
    /// The signer of a name, if it is one of these.
    pub(super) fn of(name: &str) -> Option<SignerName> {
        Some(match name {
            "kubernetes.io/kube-apiserver-client" => SignerName::ApiServerClient,
            "kubernetes.io/kube-apiserver-client-kubelet" => SignerName::Kubelet,
            "kubernetes.io/kubelet-serving" => SignerName::KubeletServing,
            "kubernetes.io/legacy-unknown" => SignerName::LegacyUnknown,
            "ironhull.io/network-client" => SignerName::Network,
            _ => return None,
        })
    }

    /// Whether the signer accepts this request.
    ///
    /// # Errors
    /// The reason for a refusal, for users.
    pub(super) fn check(self, request: &Request, usages: &[String]) -> Result<(), String> {
        match self {
            SignerName::ApiServerClient => check_client_usages(usages),
            SignerName::Kubelet => check_client(request, usages, NODES),
            SignerName::Network => check_client(request, usages, NETWORKS),
            SignerName::KubeletServing => check_serving(request, usages),
            SignerName::LegacyUnknown => Ok(()),
        }
    }
}

/// The node that a subject names, if it is a node's.
pub(super) fn node_of(common_name: &str) -> Option<&str> {
    common_name.strip_prefix(NODES.1).filter(|name| !name.is_empty())
}

/// The node whose network components a subject names.
pub(super) fn node_of_network(common_name: &str) -> Option<&str> {
    common_name.strip_prefix(NETWORKS.1).filter(|name| !name.is_empty())
}

fn check_client(request: &Request, usages: &[String], (group, prefix): (&str, &str)) -> Result<(), String> {
    check_organization(request, group)?;
    let kinds = [
        ("DNS", !request.dns_names.is_empty()),
        ("Email", request.has_emails),
        ("IP", !request.ip_addresses.is_empty()),
        ("URI", request.has_uris),
    ];
    if let Some((kind, _)) = kinds.iter().find(|(_, is_there)| *is_there) {
        return Err(format!("{kind} subjectAltNames are not allowed"));
    }
    check_common_name(request, prefix)?;
    check_usages(usages, "client auth")
}

fn check_serving(request: &Request, usages: &[String]) -> Result<(), String> {
    let (group, prefix) = NODES;
    check_organization(request, group)?;
    if request.dns_names.is_empty() && request.ip_addresses.is_empty() {
        return Err("DNS or IP subjectAltName is required".to_owned());
    }
    if request.has_emails {
        return Err("Email subjectAltNames are not allowed".to_owned());
    }
    if request.has_uris {
        return Err("URI subjectAltNames are not allowed".to_owned());
    }
    check_usages(usages, "server auth")?;
    check_common_name(request, prefix)
}

fn check_organization(request: &Request, group: &str) -> Result<(), String> {
    if request.organizations == [group] {
        return Ok(());
    }
    Err(format!("subject organization is not {group}"))
}

fn check_common_name(request: &Request, prefix: &str) -> Result<(), String> {
    if request.common_name.starts_with(prefix) {
        return Ok(());
    }
    Err(format!("subject common name does not begin with {prefix}"))
}

/// Only signing, encipherment (which keys other than RSA do not need) and this one.
fn check_usages(usages: &[String], own: &str) -> Result<(), String> {
    let required = [own, "digital signature", "key encipherment"];
    let fits = usages.iter().all(|usage| required.contains(&usage.as_str()))
        && [own, "digital signature"].iter().all(|usage| usages.iter().any(|given| given == usage));
    if fits {
        return Ok(());
    }
    let mut sorted = required;
    sorted.sort_unstable();
    Err(format!("usages did not match [{}]", sorted.join(" ")))
}

fn check_client_usages(usages: &[String]) -> Result<(), String> {
    let known = ["client auth", "digital signature", "key encipherment"];
    if let Some(other) = usages.iter().find(|usage| !known.contains(&usage.as_str())) {
        return Err(format!("invalid usage for client certificate: {other}"));
    }
    if !usages.iter().any(|usage| usage == "client auth") {
        return Err("missing required usage for client certificate: client auth".to_owned());
    }
    Ok(())
}
