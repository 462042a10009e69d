//! The identities of this process's components at the API server. Each has only its own role (`apiserver::bootstrap`);
//! none uses the administrator's kubeconfig.

use apiserver::user::{GROUP_NETWORKS, GROUP_NODES, User};

/// The shared informers of a server's components, one per kind. It may read everything and write almost nothing.
pub fn informers() -> User {
    User::new("system:kube-controller-manager", &[])
}

/// A controller: a service account of `kube-system`.
pub fn controller(account: &str) -> User {
    User::service_account("kube-system", account, "")
}

/// The scheduler.
pub fn scheduler() -> User {
    User::new("system:kube-scheduler", &[])
}

/// The agent of a node.
pub fn node(name: &str) -> User {
    User::new(node_name(name), &[GROUP_NODES])
}

/// The name of a node as a user.
pub fn node_name(name: &str) -> String {
    format!("system:node:{name}")
}

/// A node's network parts: service proxy, DNS, network policy.
pub fn network(node_name: &str) -> User {
    User::new(format!("ironhull:network:{node_name}"), &[GROUP_NETWORKS])
}

/// The component that labels the Node of a server's own machine.
pub fn node_labels() -> User {
    User::new("ironhull:node-labels", &[])
}

/// The component that publishes the data with which other machines join.
pub fn join_info() -> User {
    User::new("ironhull:join-info", &[])
}

#[cfg(test)]
mod tests {
    use apiserver::authz::{Attributes, Target};
    use apiserver::testing::TestServer;

    use super::*;

    /// Verb, group, resource, namespace and name.
    type Right = (&'static str, &'static str, &'static str, &'static str, &'static str);

    /// The allowed and forbidden actions of each.
    #[rustfmt::skip]
    const RIGHTS: &[(&str, &[Right], &[Right])] = &[
        ("network",
            &[("create", "", "events", "default", ""), ("list", "", "pods", "", ""), ("watch", "discovery.k8s.io", "endpointslices", "", "")],
            &[("get", "", "secrets", "kube-system", "x"), ("patch", "", "nodes", "", "n"), ("create", "", "pods", "default", "")]),
        ("node_labels",
            &[("patch", "", "nodes", "", "n")],
            &[("get", "", "secrets", "kube-system", "x"), ("delete", "", "nodes", "", "n"), ("patch", "", "pods", "default", "x")]),
        ("join_info",
            &[("create", "", "configmaps", "kube-public", ""), ("patch", "", "configmaps", "kube-public", "cluster-info"),
              ("patch", "", "configmaps", "kube-system", "ironhull-cluster"), ("create", "", "secrets", "kube-system", ""),
              ("get", "", "secrets", "kube-system", "bootstrap-token-x")],
            &[("get", "", "secrets", "default", "x"), ("list", "", "secrets", "kube-system", ""),
              ("patch", "", "configmaps", "kube-system", "other"), ("create", "rbac.authorization.k8s.io", "clusterrolebindings", "", "")]),
        ("informers",
            &[("list", "", "pods", "", ""), ("watch", "apps", "deployments", "", ""), ("create", "", "events", "default", "")],
            &[("create", "", "pods", "default", ""), ("update", "apps", "deployments", "default", "x"), ("delete", "", "nodes", "", "n")]),
        ("controller",
            &[("create", "", "pods", "default", ""), ("update", "apps", "replicasets", "default", "x")],
            &[("get", "", "secrets", "default", "x"), ("create", "apps", "deployments", "default", "")]),
    ];

    #[tokio::test]
    async fn each_may_what_it_needs_and_no_more() {
        let server = TestServer::start().await;
        for (who, may, may_not) in RIGHTS {
            let user = match *who {
                "network" => network("n"),
                "node_labels" => node_labels(),
                "join_info" => join_info(),
                "informers" => informers(),
                _ => controller("replicaset-controller"),
            };
            let rights =
                may.iter().map(|right| (right, true)).chain(may_not.iter().map(|right| (right, false)));
            for ((verb, group, resource, namespace, name), expected) in rights {
                let target =
                    Target::Resource { group, version: "v1", resource, subresource: "", namespace, name };
                let allowed =
                    server.authorizer.authorize(&Attributes::new(&user, verb, target)).await.is_allowed();
                assert_eq!(allowed, expected, "{} {verb} {resource} in {namespace:?}", user.name);
            }
        }
    }
}
