//! The default roles and bindings (upstream: `plugin/pkg/auth/authorizer/rbac/bootstrappolicy`), and ours.
//!
//! Rules are written in short form: lists are words separated by spaces, and the core group is the word `core`.
//! Upstream's roles keep upstream's names and rules. Ours start with `ironhull:`. Each controller acts as the service
//! account that its role is bound to; the informers that they share read as `system:kube-controller-manager`.

use k8s_openapi::api::rbac::v1::PolicyRule;
use object::{Value, value};

use self::controllers::CONTROLLERS;
use self::namespaces::{NAMESPACE_BINDINGS, NAMESPACE_ROLES};
use self::roles::ROLES;

mod controllers;
mod namespaces;
mod roles;
#[cfg(test)]
mod tests;

/// The prefix of the names of controllers' roles.
const CONTROLLER_PREFIX: &str = "system:controller:";
const RBAC_GROUP: &str = "rbac.authorization.k8s.io";
/// The identity under which informers read for all controllers.
pub(super) const CONTROLLER_MANAGER_NAME: &str = "system:kube-controller-manager";
const CONTROLLER_MANAGER: Subject = Subject::User(CONTROLLER_MANAGER_NAME);

const READ: &str = "get list watch";
const WRITE: &str = "create delete deletecollection patch update";
const READ_WRITE: &str = "create delete deletecollection get list patch update watch";

/// One rule.
enum Rule {
    /// Verbs on resources of groups; if there are names, only on objects with these names.
    On { verbs: &'static str, groups: &'static str, resources: &'static str, names: &'static str },
    /// `get` on non-resource paths.
    Paths(&'static str),
    /// Every verb on every path.
    AllPaths,
}

/// Verbs on resources of groups.
const fn on(verbs: &'static str, groups: &'static str, resources: &'static str) -> Rule {
    Rule::On { verbs, groups, resources, names: "" }
}

/// Verbs on objects with these names.
const fn on_named(
    verbs: &'static str,
    groups: &'static str,
    resources: &'static str,
    names: &'static str,
) -> Rule {
    Rule::On { verbs, groups, resources, names }
}

/// The rights that all recorders of events need.
const EVENTS: Rule = on("create patch update", "core events.k8s.io", "events");

/// A role with its rules.
struct Role {
    name: &'static str,
    rules: &'static [Rule],
    /// The roles into which this one is aggregated.
    gathered_by: &'static [&'static str],
    /// The roles that this one aggregates, in the order of their names.
    gathers: &'static [&'static str],
}

const fn role(name: &'static str, rules: &'static [Rule]) -> Role {
    Role { name, rules, gathered_by: &[], gathers: &[] }
}

impl Role {
    const fn gathered_by(self, roles: &'static [&'static str]) -> Role {
        Role { gathered_by: roles, ..self }
    }

    const fn gathers(self, roles: &'static [&'static str]) -> Role {
        Role { gathers: roles, ..self }
    }
}

/// The subjects of a binding.
#[derive(Clone, Copy)]
enum Subject {
    User(&'static str),
    Group(&'static str),
    /// A service account of `kube-system`.
    ServiceAccount(&'static str),
}

/// The bindings of cluster roles: name, role and subjects.
#[rustfmt::skip]
const BINDINGS: &[(&str, &str, &[Subject])] = &[
    ("cluster-admin", "cluster-admin", &[Subject::Group("system:masters")]),
    ("ironhull:dns", "ironhull:network", &[Subject::User("system:coredns")]),
    ("ironhull:networks", "ironhull:network", &[Subject::Group("ironhull:networks")]),
    ("ironhull:node-autoapprove-bootstrap", "system:certificates.k8s.io:certificatesigningrequests:nodeclient", &[Subject::Group("system:bootstrappers")]),
    ("ironhull:node-autoapprove-rotation", "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient", &[Subject::Group("system:nodes")]),
    ("ironhull:kubelet-api", "system:kubelet-api-admin", &[Subject::User("kube-apiserver-kubelet-client")]),
    ("ironhull:node-bootstrap", "system:node-bootstrapper", &[Subject::Group("system:bootstrappers")]),
    ("ironhull:node-labels", "ironhull:node-labels", &[Subject::User("ironhull:node-labels")]),
    ("ironhull:proxy", "ironhull:network", &[Subject::User("system:kube-proxy")]),
    ("system:basic-user", "system:basic-user", &[Subject::Group("system:authenticated")]),
    ("system:cluster-trust-bundle-discovery", "system:cluster-trust-bundle-discovery", &[Subject::Group("system:serviceaccounts")]),
    ("system:discovery", "system:discovery", &[Subject::Group("system:authenticated")]),
    ("system:kube-controller-manager", "system:kube-controller-manager", &[CONTROLLER_MANAGER]),
    ("system:kube-dns", "system:kube-dns", &[Subject::ServiceAccount("kube-dns")]),
    ("system:kube-scheduler", "system:kube-scheduler", &[Subject::User("system:kube-scheduler")]),
    ("system:monitoring", "system:monitoring", &[Subject::Group("system:monitoring")]),
    ("system:node", "system:node", &[]),
    ("system:node-proxier", "system:node-proxier", &[Subject::User("system:kube-proxy")]),
    ("system:public-info-viewer", "system:public-info-viewer", &[Subject::Group("system:authenticated"), Subject::Group("system:unauthenticated")]),
    ("system:service-account-issuer-discovery", "system:service-account-issuer-discovery", &[Subject::Group("system:serviceaccounts")]),
    ("system:volume-scheduler", "system:volume-scheduler", &[Subject::User("system:kube-scheduler")]),
];

/// The rights of every node that do not depend on its pods.
pub fn node_rules() -> Vec<PolicyRule> {
    let strings = |text: &'static str| -> Vec<String> {
        text.split_whitespace().map(|word| if word == "core" { "" } else { word }.to_owned()).collect()
    };
    let rule = |rule: &Rule| match rule {
        Rule::On { verbs, groups, resources, .. } => Some(PolicyRule {
            verbs: strings(verbs),
            api_groups: Some(strings(groups)),
            resources: Some(strings(resources)),
            ..PolicyRule::default()
        }),
        Rule::Paths(_) | Rule::AllPaths => None,
    };
    roles::NODE.iter().filter_map(rule).collect()
}

/// Resource, namespace and name of the bindings of controllers' roles.
pub(super) fn controller_bindings() -> impl Iterator<Item = (&'static str, &'static str, String)> {
    let clusters =
        CONTROLLERS.iter().map(|(name, _)| ("clusterrolebindings", "", format!("{CONTROLLER_PREFIX}{name}")));
    let of_namespaces = NAMESPACE_BINDINGS.iter().filter(|(_, name, ..)| name.starts_with(CONTROLLER_PREFIX));
    clusters
        .chain(of_namespaces.map(|(namespace, name, ..)| ("rolebindings", *namespace, (*name).to_owned())))
}

/// The roles and bindings, each with its resource.
pub(super) fn objects() -> Vec<(&'static str, Value)> {
    let mut objects: Vec<(&'static str, Value)> = Vec::new();
    objects.extend(ROLES.iter().map(|role| ("clusterroles", cluster_role(role))));
    for (name, role, subjects) in BINDINGS {
        objects.push(("clusterrolebindings", binding("", name, "ClusterRole", role, subjects)));
    }
    for (name, rules) in CONTROLLERS {
        let full = format!("{CONTROLLER_PREFIX}{name}");
        objects
            .push(("clusterroles", value!({"metadata": {"name": full.as_str()}, "rules": rules_of(*rules)})));
        let account = [Subject::ServiceAccount(name)];
        objects.push(("clusterrolebindings", binding("", &full, "ClusterRole", &full, &account)));
    }
    for (namespace, name, rules) in NAMESPACE_ROLES {
        let role = value!({"metadata": {"namespace": *namespace, "name": *name}, "rules": rules_of(*rules)});
        objects.push(("roles", role));
    }
    for (namespace, name, role, subjects) in NAMESPACE_BINDINGS {
        objects.push(("rolebindings", binding(namespace, name, "Role", role, subjects)));
    }
    objects
}

fn cluster_role(role: &Role) -> Value {
    let mut object = value!({"metadata": {"name": role.name}, "rules": rules_of(gathered(role))});
    for gatherer in role.gathered_by {
        let label = format!("{RBAC_GROUP}/aggregate-to-{gatherer}");
        object.entry("metadata").entry("labels").set(label, "true");
    }
    if !role.gathers.is_empty() {
        let mut labels = Value::map();
        labels.set(format!("{RBAC_GROUP}/aggregate-to-{}", role.name), "true");
        object.set("aggregationRule", value!({"clusterRoleSelectors": [{"matchLabels": labels}]}));
    }
    object
}

/// A role's own rules, and those of the roles that it aggregates, each once.
fn gathered(role: &Role) -> Vec<&'static Rule> {
    let others = role.gathers.iter().filter_map(|name| ROLES.iter().find(|other| other.name == *name));
    let mut rules: Vec<&'static Rule> = Vec::new();
    for rule in role.rules.iter().chain(others.flat_map(gathered)) {
        if !rules.iter().any(|known| std::ptr::eq(*known, rule)) {
            rules.push(rule);
        }
    }
    rules
}

fn rules_of(rules: impl IntoIterator<Item = &'static Rule>) -> Vec<Value> {
    rules.into_iter().map(rule_of).collect()
}

fn rule_of(rule: &Rule) -> Value {
    match rule {
        Rule::On { verbs, groups, resources, names } => {
            let mut rule = value!({
                "apiGroups": words(groups), "resources": words(resources), "verbs": words(verbs)
            });
            if !names.is_empty() {
                rule.set("resourceNames", words(names));
            }
            rule
        }
        Rule::Paths(paths) => value!({"nonResourceURLs": words(paths), "verbs": ["get"]}),
        Rule::AllPaths => value!({"nonResourceURLs": ["*"], "verbs": ["*"]}),
    }
}

fn words(text: &'static str) -> Vec<Value> {
    text.split_whitespace().map(|word| Value::from(if word == "core" { "" } else { word })).collect()
}

fn binding(namespace: &str, name: &str, kind: &str, role: &str, subjects: &[Subject]) -> Value {
    let subjects: Vec<Value> = subjects.iter().map(|subject| subject_of(*subject)).collect();
    let mut object = value!({
        "metadata": {"name": name},
        "roleRef": {"apiGroup": RBAC_GROUP, "kind": kind, "name": role},
        "subjects": subjects
    });
    if !namespace.is_empty() {
        object.entry("metadata").set("namespace", namespace);
    }
    object
}

fn subject_of(subject: Subject) -> Value {
    match subject {
        Subject::User(name) => value!({"apiGroup": RBAC_GROUP, "kind": "User", "name": name}),
        Subject::Group(name) => value!({"apiGroup": RBAC_GROUP, "kind": "Group", "name": name}),
        Subject::ServiceAccount(name) => {
            value!({"kind": "ServiceAccount", "namespace": "kube-system", "name": name})
        }
    }
}
