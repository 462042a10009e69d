//! Resources by group and plural name, whatever the version.

use crate::ResourceDef;

/// A resource of one API group. Plural names alone mean nothing: a custom resource may be called `pods` too, so
/// whatever treats one resource specially compares this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupResource<'a> {
    /// The API group; empty for the core group.
    pub group: &'a str,
    /// The plural name, as in URLs.
    pub plural: &'a str,
}

/// Names of the built-in resources, fit for patterns.
macro_rules! known {
    ($($(#[doc = $doc:literal])* $name:ident = $group:literal $plural:literal;)*) => {
        impl<'a> GroupResource<'a> {
            $(
                $(#[doc = $doc])*
                pub const $name: GroupResource<'a> = GroupResource { group: $group, plural: $plural };
            )*
        }
    };
}

known! {
    /// Bindings of pods to nodes
    BINDINGS = "" "bindings";
    /// The health of the control plane's parts
    COMPONENT_STATUSES = "" "componentstatuses";
    /// Namespaces
    NAMESPACES = "" "namespaces";
    /// Nodes
    NODES = "" "nodes";
    /// Pods
    PODS = "" "pods";
    /// Service accounts
    SERVICE_ACCOUNTS = "" "serviceaccounts";
    /// Services
    SERVICES = "" "services";
    /// Questions about rights in a namespace
    LOCAL_SUBJECT_ACCESS_REVIEWS = "authorization.k8s.io" "localsubjectaccessreviews";
    /// Requests for certificates
    CERTIFICATE_SIGNING_REQUESTS = "certificates.k8s.io" "certificatesigningrequests";
    /// Certificates that signers are trusted by
    CLUSTER_TRUST_BUNDLES = "certificates.k8s.io" "clustertrustbundles";
    /// Requests for certificates of pods
    POD_CERTIFICATE_REQUESTS = "certificates.k8s.io" "podcertificaterequests";
    /// What nodes use
    NODE_METRICS = "metrics.k8s.io" "nodes";
    /// What pods use
    POD_METRICS = "metrics.k8s.io" "pods";
    /// Roles of a namespace
    ROLES = "rbac.authorization.k8s.io" "roles";
    /// Bindings of roles in a namespace
    ROLE_BINDINGS = "rbac.authorization.k8s.io" "rolebindings";
    /// Roles of the cluster
    CLUSTER_ROLES = "rbac.authorization.k8s.io" "clusterroles";
    /// Bindings of roles in the cluster
    CLUSTER_ROLE_BINDINGS = "rbac.authorization.k8s.io" "clusterrolebindings";
}

impl<'a> GroupResource<'a> {
    /// A resource of a group.
    pub const fn new(group: &'a str, plural: &'a str) -> GroupResource<'a> {
        GroupResource { group, plural }
    }
}

impl ResourceDef {
    /// Group and plural name.
    pub fn group_resource(&self) -> GroupResource<'_> {
        GroupResource { group: &self.group, plural: &self.plural }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_means_something_within_its_group_only() {
        assert_eq!(GroupResource::new("", "pods"), GroupResource::PODS);
        assert_ne!(GroupResource::new("example.com", "pods"), GroupResource::PODS);
        let known = [
            GroupResource::BINDINGS,
            GroupResource::COMPONENT_STATUSES,
            GroupResource::NAMESPACES,
            GroupResource::NODES,
            GroupResource::PODS,
            GroupResource::SERVICE_ACCOUNTS,
            GroupResource::SERVICES,
            GroupResource::LOCAL_SUBJECT_ACCESS_REVIEWS,
            GroupResource::CERTIFICATE_SIGNING_REQUESTS,
            GroupResource::CLUSTER_TRUST_BUNDLES,
            GroupResource::POD_CERTIFICATE_REQUESTS,
            GroupResource::NODE_METRICS,
            GroupResource::POD_METRICS,
            GroupResource::ROLES,
            GroupResource::ROLE_BINDINGS,
            GroupResource::CLUSTER_ROLES,
            GroupResource::CLUSTER_ROLE_BINDINGS,
        ];
        for name in known {
            assert!(crate::resources().iter().any(|def| def.group_resource() == name), "{name:?}");
        }
    }
}
