use std::collections::BTreeSet;

use super::*;
use crate::authz::{Attributes, Target};
use crate::testing::TestServer;
use crate::user::User;

mod controllers;

/// Upstream's cluster roles that are not a controller's.
const UPSTREAM: [&str; 35] = [
    "admin",
    "cluster-admin",
    "edit",
    "system:aggregate-to-admin",
    "system:aggregate-to-edit",
    "system:aggregate-to-view",
    "system:aggregated-metrics-reader",
    "system:auth-delegator",
    "system:basic-user",
    "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
    "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
    "system:certificates.k8s.io:kube-apiserver-client-approver",
    "system:certificates.k8s.io:kube-apiserver-client-kubelet-approver",
    "system:certificates.k8s.io:kubelet-serving-approver",
    "system:certificates.k8s.io:legacy-unknown-approver",
    "system:cluster-trust-bundle-discovery",
    "system:discovery",
    "system:heapster",
    "system:kube-aggregator",
    "system:kube-controller-manager",
    "system:kube-dns",
    "system:kube-scheduler",
    "system:kubelet-api-admin",
    "system:monitoring",
    "system:node",
    "system:node-bootstrapper",
    "system:node-problem-detector",
    "system:node-proxier",
    "system:persistent-volume-provisioner",
    "system:public-info-viewer",
    "system:service-account-issuer-discovery",
    "system:volume-scheduler",
    "view",
    "ironhull:network",
    "ironhull:node-labels",
];

#[test]
fn names_are_unique_and_bindings_lead_to_roles() {
    let objects = objects();
    let mut seen = BTreeSet::new();
    for (plural, object) in &objects {
        let key = (*plural, object.str_at("metadata.namespace"), object.str_at("metadata.name"));
        assert!(seen.insert(key), "{key:?} twice");
    }
    for (plural, object) in objects.iter().filter(|(plural, _)| plural.ends_with("bindings")) {
        let roles = if object.str_at("roleRef.kind") == "Role" { "roles" } else { "clusterroles" };
        let key = (roles, object.str_at("metadata.namespace"), object.str_at("roleRef.name"));
        assert!(seen.contains(&key), "{plural}: {key:?} is missing");
    }
    let gatherers = ROLES.iter().flat_map(|role| role.gathers);
    for name in gatherers {
        assert!(ROLES.iter().any(|role| role.name == *name && !role.gathered_by.is_empty()), "{name}");
    }
}

#[tokio::test]
async fn every_default_role_is_there() {
    let server = TestServer::start().await;
    let group = "rbac.authorization.k8s.io";
    for name in UPSTREAM {
        let role = server.get(group, "clusterroles", "", name).await.unwrap();
        assert!(!role.get("rules").is_empty(), "{name} has no rules");
    }
    for (plural, object) in objects() {
        let (namespace, name) = (object.str_at("metadata.namespace"), object.str_at("metadata.name"));
        let stored = server.get(group, plural, namespace, name).await.unwrap();
        let label = stored.at_path(&["metadata", "labels", "kubernetes.io/bootstrapping"]);
        assert_eq!(label.as_str(), Some("rbac-defaults"), "{name}");
    }
    let admin = server.get(group, "clusterroles", "", "admin").await.unwrap();
    let of_view = server.get(group, "clusterroles", "", "system:aggregate-to-view").await.unwrap();
    for rule in of_view.get("rules").items() {
        assert!(admin.get("rules").items().any(|own| own == rule), "admin lacks {rule:?}");
    }
}

/// User, verb, group, resource with subresource, namespace, whether it is allowed.
#[rustfmt::skip]
const MATRIX: &[(&str, &str, &str, &str, &str, bool)] = &[
    ("nobody", "list", "", "pods", "default", false),
    ("nobody", "list", "metrics.k8s.io", "pods", "default", false),
    ("nobody", "get", "metrics.k8s.io", "nodes", "", false),
    ("nobody", "create", "authorization.k8s.io", "selfsubjectaccessreviews", "", true),
    ("system:kube-scheduler", "create", "", "pods/binding", "default", true),
    ("system:kube-scheduler", "patch", "", "pods/status", "default", true),
    ("system:kube-scheduler", "delete", "", "pods", "default", true),
    ("system:kube-scheduler", "create", "", "pods", "default", false),
    ("system:kube-scheduler", "list", "", "secrets", "default", false),
    ("system:kube-scheduler", "update", "", "persistentvolumes", "", true),
    ("system:kube-scheduler", "create", "coordination.k8s.io", "leases", "kube-system", true),
    ("system:kube-controller-manager", "create", "", "pods", "default", false),
    ("system:serviceaccount:kube-system:replication-controller", "create", "", "pods", "default", true),
    ("system:kube-controller-manager", "create", "apps", "replicasets", "default", false),
    ("system:serviceaccount:kube-system:deployment-controller", "create", "apps", "replicasets", "default", true),
    ("system:kube-controller-manager", "update", "apps", "deployments/status", "default", false),
    ("system:serviceaccount:kube-system:deployment-controller", "update", "apps", "deployments/status", "default", true),
    ("system:kube-controller-manager", "update", "", "namespaces/finalize", "a", false),
    ("system:serviceaccount:kube-system:namespace-controller", "update", "", "namespaces/finalize", "a", true),
    ("system:kube-controller-manager", "create", "discovery.k8s.io", "endpointslices", "default", false),
    ("system:serviceaccount:kube-system:endpointslice-controller", "create", "discovery.k8s.io", "endpointslices", "default", true),
    ("system:kube-controller-manager", "get", "apps", "deployments/scale", "default", false),
    ("system:serviceaccount:kube-system:horizontal-pod-autoscaler", "get", "apps", "deployments/scale", "default", true),
    ("system:kube-controller-manager", "escalate", "rbac.authorization.k8s.io", "roles", "default", false),
    ("system:kube-controller-manager", "impersonate", "", "users", "", false),
    ("system:kube-controller-manager", "update", "coordination.k8s.io", "leases", "kube-system", true),
    ("system:serviceaccount:kube-system:replicaset-controller", "create", "", "pods", "default", true),
    ("system:serviceaccount:kube-system:replicaset-controller", "create", "apps", "deployments", "default", false),
    ("system:serviceaccount:default:replicaset-controller", "create", "", "pods", "default", false),
    ("system:kube-controller-manager", "watch", "apps", "deployments", "", true),
    ("kube-apiserver-kubelet-client", "create", "", "nodes/proxy", "", true),
    ("kube-apiserver-kubelet-client", "get", "", "secrets", "default", false),
    ("kube-apiserver-kubelet-client", "create", "", "pods", "default", false),
    ("system:kube-proxy", "watch", "discovery.k8s.io", "endpointslices", "", true),
    ("system:kube-proxy", "watch", "", "pods", "", true),
    ("system:kube-proxy", "get", "", "secrets", "default", false),
    ("system:coredns", "list", "", "namespaces", "", true),
    ("system:coredns", "watch", "discovery.k8s.io", "endpointslices", "", true),
    ("system:coredns", "create", "", "pods", "default", false),
    ("system:node:a", "create", "", "nodes", "", true),
    ("system:node:a", "patch", "", "pods/status", "default", true),
    ("system:node:a", "create", "", "serviceaccounts/token", "default", false),
    ("system:node:a", "create", "coordination.k8s.io", "leases", "kube-node-lease", true),
    ("system:node:a", "update", "coordination.k8s.io", "leases", "kube-node-lease", false),
    ("system:node:a", "list", "", "services", "", true),
    ("system:node:a", "list", "", "nodes", "", false),
    ("system:node:a", "list", "", "secrets", "default", false),
    ("system:node:a", "delete", "", "nodes", "", false),
    ("system:node:a", "create", "apps", "deployments", "default", false),
];

#[tokio::test]
async fn users_may_what_their_roles_say() {
    let server = TestServer::start().await;
    // From the first request on.
    for (name, verb, group, resource, namespace, expected) in MATRIX {
        let groups: &[&str] = if name.starts_with("system:node:") { &["system:nodes"] } else { &[] };
        let user = User::new(*name, groups);
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let target = Target::Resource { group, version: "v1", resource, subresource, namespace, name: "" };
        let allowed = server.authorizer.authorize(&Attributes::new(&user, verb, target)).await.is_allowed();
        assert_eq!(allowed, *expected, "{name} {verb} {group}/{resource}/{subresource}");
    }
    let paths = [
        (User::anonymous(), "/healthz", true),
        (User::anonymous(), "/version", true),
        (User::anonymous(), "/apis", false),
        (User::new("somebody", &[]), "/openapi/v3/api/v1", true),
        (User::new("somebody", &[]), "/metrics", false),
        (User::new("prometheus", &["system:monitoring"]), "/metrics", true),
    ];
    for (user, path, expected) in paths {
        let what = Attributes::new(&user, "get", Target::Path(path));
        assert_eq!(server.authorizer.authorize(&what).await.is_allowed(), expected, "{} {path}", user.name);
    }
}

#[tokio::test]
async fn admin_edit_and_view_differ_by_what_they_may() {
    let server = TestServer::start().await;
    let group = "rbac.authorization.k8s.io";
    for role in ["admin", "edit", "view"] {
        let binding = binding("default", role, "ClusterRole", role, &[Subject::User(role)]);
        server.create(group, "rolebindings", "default", binding).await.unwrap();
    }
    // Verb, group, resource, and who may.
    let table = [
        ("get", "", "pods", "admin edit view"),
        ("get", "", "secrets", "admin edit"),
        ("create", "", "pods", "admin edit"),
        ("create", "apps", "deployments", "admin edit"),
        ("impersonate", "", "serviceaccounts", "admin edit"),
        ("create", "rbac.authorization.k8s.io", "rolebindings", "admin"),
        ("create", "", "resourcequotas", ""),
        ("update", "", "namespaces", ""),
    ];
    for (verb, group, resource, who) in table {
        for role in ["admin", "edit", "view"] {
            let target = Target::Resource {
                group,
                version: "v1",
                resource,
                subresource: "",
                namespace: "default",
                name: "",
            };
            let user = User::new(role, &[]);
            // The cache follows the store at once, but not before the write's answer.
            server.registry.hub.catch_up().await.unwrap();
            let allowed =
                server.authorizer.authorize(&Attributes::new(&user, verb, target)).await.is_allowed();
            assert_eq!(allowed, who.contains(role), "{role} {verb} {resource}");
            let elsewhere = Target::Resource {
                group,
                version: "v1",
                resource,
                subresource: "",
                namespace: "kube-system",
                name: "",
            };
            let attributes = Attributes::new(&user, verb, elsewhere);
            assert!(
                !server.authorizer.authorize(&attributes).await.is_allowed(),
                "{role} in another namespace"
            );
        }
    }
}
