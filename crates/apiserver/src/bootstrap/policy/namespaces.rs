//! Roles and bindings of the system's namespaces.

use super::{CONTROLLER_MANAGER, EVENTS, READ, Rule, Subject, on, on_named};

/// Publishes the data with which machines join.
const JOIN_INFO: Subject = Subject::User("ironhull:join-info");
const SCHEDULER: Subject = Subject::User("system:kube-scheduler");

/// Namespaces, names and rules.
#[rustfmt::skip]
pub(super) static NAMESPACE_ROLES: &[(&str, &str, &[Rule])] = &[
    // Data that a machine must have before it can verify the server.
    ("kube-public", "ironhull:cluster-info", &[on_named("get", "core", "configmaps", "cluster-info")]),
    ("kube-public", "ironhull:join-info", &[
        on("create", "core", "configmaps"),
        on_named("patch", "core", "configmaps", "cluster-info"),
    ]),
    ("kube-public", "system:controller:bootstrap-signer", &[
        on(READ, "core", "configmaps"),
        on_named("update", "core", "configmaps", "cluster-info"),
        EVENTS,
    ]),
    ("kube-system", "extension-apiserver-authentication-reader", &[
        on_named(READ, "core", "configmaps", "extension-apiserver-authentication"),
    ]),
    ("kube-system", "ironhull:cluster-settings", &[on_named(READ, "core", "configmaps", "ironhull-cluster")]),
    ("kube-system", "ironhull:join-info", &[
        on("create", "core", "configmaps"),
        on_named("patch", "core", "configmaps", "ironhull-cluster"),
        on("create get", "core", "secrets"),
    ]),
    ("kube-system", "system::leader-locking-kube-controller-manager", &[
        on("watch", "core", "configmaps"),
        on_named("get update", "core", "configmaps", "kube-controller-manager"),
        on("create get list update watch", "coordination.k8s.io", "leases"),
    ]),
    ("kube-system", "system::leader-locking-kube-scheduler", &[
        on("watch", "core", "configmaps"),
        on_named("get update", "core", "configmaps", "kube-scheduler"),
    ]),
    ("kube-system", "system:controller:bootstrap-signer", &[on(READ, "core", "secrets")]),
    ("kube-system", "system:controller:cloud-provider", &[on("create get list watch", "core", "configmaps")]),
    ("kube-system", "system:controller:token-cleaner", &[on("delete get list watch", "core", "secrets"), EVENTS]),
];

/// Namespaces, names, roles and subjects.
#[rustfmt::skip]
pub(super) static NAMESPACE_BINDINGS: &[(&str, &str, &str, &[Subject])] = &[
    ("kube-public", "ironhull:cluster-info", "ironhull:cluster-info", &[Subject::User("system:anonymous")]),
    ("kube-public", "ironhull:join-info", "ironhull:join-info", &[JOIN_INFO]),
    ("kube-public", "system:controller:bootstrap-signer", "system:controller:bootstrap-signer", &[Subject::ServiceAccount("bootstrap-signer")]),
    ("kube-system", "system::extension-apiserver-authentication-reader", "extension-apiserver-authentication-reader", &[CONTROLLER_MANAGER, SCHEDULER]),
    ("kube-system", "ironhull:cluster-settings", "ironhull:cluster-settings", &[Subject::Group("ironhull:networks"), Subject::Group("system:nodes")]),
    ("kube-system", "ironhull:join-info", "ironhull:join-info", &[JOIN_INFO]),
    ("kube-system", "system::leader-locking-kube-controller-manager", "system::leader-locking-kube-controller-manager", &[CONTROLLER_MANAGER, Subject::ServiceAccount("kube-controller-manager"), Subject::ServiceAccount("leader-election-controller")]),
    ("kube-system", "system::leader-locking-kube-scheduler", "system::leader-locking-kube-scheduler", &[SCHEDULER, Subject::ServiceAccount("kube-scheduler")]),
    ("kube-system", "system:controller:bootstrap-signer", "system:controller:bootstrap-signer", &[Subject::ServiceAccount("bootstrap-signer")]),
    ("kube-system", "system:controller:cloud-provider", "system:controller:cloud-provider", &[Subject::ServiceAccount("cloud-provider")]),
    ("kube-system", "system:controller:token-cleaner", "system:controller:token-cleaner", &[Subject::ServiceAccount("token-cleaner")]),
];
