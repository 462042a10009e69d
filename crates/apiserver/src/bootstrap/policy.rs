//! Upstream's default roles and bindings.

use object::{Value, value};

/// The roles and bindings, each with its resource.
pub(super) fn objects() -> Vec<(&'static str, Value)> {
    vec![
        (
            "clusterroles",
            value!({"metadata": {"name": "cluster-admin"}, "rules": [
                {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
                {"nonResourceURLs": ["*"], "verbs": ["*"]}
            ]}),
        ),
        (
            "clusterrolebindings",
            value!({
                "metadata": {"name": "cluster-admin"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
                "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:masters"}]
            }),
        ),
    ]
}
