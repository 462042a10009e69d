//! The roles of the controllers that run here, compared with upstream's (`bootstrappolicy/controller_policy.go`), which
//! are written down separately from our table: verbs, groups, resources and names as upstream has them.

use std::collections::BTreeSet;

use super::*;

/// Upstream's `eventsRule()`.
const EVENT_RULE: &str = "create,update,patch core,events.k8s.io events";

/// Account and rules, each `VERBS GROUPS RESOURCES [NAMES]`.
#[rustfmt::skip]
const FACTS: &[(&str, &[&str])] = &[
    ("certificate-controller", &[
        "get,list,watch,delete certificates.k8s.io certificatesigningrequests",
        "update certificates.k8s.io certificatesigningrequests/status,certificatesigningrequests/approval",
        "approve certificates.k8s.io signers kubernetes.io/kube-apiserver-client-kubelet",
        "sign certificates.k8s.io signers kubernetes.io/legacy-unknown,kubernetes.io/kube-apiserver-client,kubernetes.io/kube-apiserver-client-kubelet,kubernetes.io/kubelet-serving",
        "create authorization.k8s.io subjectaccessreviews",
        EVENT_RULE,
    ]),
    ("daemon-set-controller", &[
        "get,list,watch extensions,apps daemonsets",
        "update extensions,apps daemonsets/status",
        "update extensions,apps daemonsets/finalizers",
        "list,watch core nodes",
        "list,watch,create,delete,patch core pods",
        "create core pods/binding",
        "get,list,watch,create,delete,update,patch apps controllerrevisions",
        EVENT_RULE,
    ]),
    ("deployment-controller", &[
        "get,list,watch,update extensions,apps deployments",
        "update extensions,apps deployments/status",
        "update extensions,apps deployments/finalizers",
        "get,list,watch,create,update,patch,delete apps,extensions replicasets",
        "get,list,watch,update core pods",
        EVENT_RULE,
    ]),
    ("endpoint-controller", &[
        "get,list,watch core services,pods",
        "get,list,watch,create,update,delete core endpoints",
        "create core endpoints/restricted",
        EVENT_RULE,
    ]),
    ("endpointslice-controller", &[
        "get,list,watch core services,pods,nodes",
        "update core services/finalizers",
        "get,list,watch,create,update,delete discovery.k8s.io endpointslices",
        EVENT_RULE,
    ]),
    ("endpointslicemirroring-controller", &[
        "get,list,watch core services,endpoints",
        "update core services/finalizers",
        "update core endpoints/finalizers",
        "get,list,watch,create,update,delete discovery.k8s.io endpointslices",
        EVENT_RULE,
    ]),
    ("generic-garbage-collector", &["get,list,watch,patch,update,delete * *", EVENT_RULE]),
    ("namespace-controller", &[
        "get,list,watch,delete core namespaces",
        "update core namespaces/finalize,namespaces/status",
        "get,list,watch,delete,deletecollection * *",
    ]),
    ("node-controller", &[
        "get,list,watch,update,delete,patch core nodes",
        "patch,update core nodes/status",
        "patch,update core pods/status",
        "list,watch,get,delete core pods",
        EVENT_RULE,
    ]),
    ("pod-garbage-collector", &[
        "list,watch,delete core pods",
        "get,list,watch core nodes",
        "patch core pods/status",
    ]),
    ("replicaset-controller", &[
        "get,list,watch,update apps,extensions replicasets",
        "update apps,extensions replicasets/status",
        "update apps,extensions replicasets/finalizers",
        "list,watch,patch,create,delete core pods",
        EVENT_RULE,
    ]),
    ("replication-controller", &[
        "get,list,watch,update core replicationcontrollers",
        "update core replicationcontrollers/status",
        "update core replicationcontrollers/finalizers",
        "list,watch,patch,create,delete core pods",
        EVENT_RULE,
    ]),
    ("root-ca-cert-publisher", &["create,update core configmaps", EVENT_RULE]),
    ("service-account-controller", &["create core serviceaccounts", EVENT_RULE]),
    ("service-cidrs-controller", &[
        "get,list,watch,patch,update networking.k8s.io servicecidrs",
        "patch,update networking.k8s.io servicecidrs/finalizers",
        "patch,update networking.k8s.io servicecidrs/status",
        "get,list,watch networking.k8s.io ipaddresses",
        EVENT_RULE,
    ]),
    ("service-controller", &[
        "get,list,watch core services",
        "patch,update core services/status",
        "list,watch core nodes",
        EVENT_RULE,
    ]),
];

/// Additional rules of ours.
#[rustfmt::skip]
const BEYOND: &[(&str, &[&str])] = &[
    // Nodes' serving certificates and those of their network parts are approved and signed here too.
    ("certificate-controller", &[
        "approve certificates.k8s.io signers ironhull.io/network-client,kubernetes.io/kubelet-serving",
        "sign certificates.k8s.io signers ironhull.io/network-client",
    ]),
];

/// Verb, group, resource and name.
type Right = [String; 4];

/// Every verb, group, resource and name by itself.
fn spelled_out(verbs: &str, groups: &str, resources: &str, names: &str) -> BTreeSet<Right> {
    let words = |text: &str| text.split([',', ' ']).map(str::to_owned).collect::<Vec<_>>();
    let mut rights = BTreeSet::new();
    for verb in words(verbs) {
        for group in words(groups) {
            for resource in words(resources) {
                for name in words(names) {
                    rights.insert([verb.clone(), group.clone(), resource.clone(), name]);
                }
            }
        }
    }
    rights
}

fn of_facts(facts: &[(&str, &[&str])], account: &str) -> BTreeSet<Right> {
    let rules = facts.iter().filter(|(name, _)| *name == account).flat_map(|(_, rules)| *rules);
    let rights = rules.flat_map(|rule| {
        let mut parts = rule.split(' ');
        let mut next = || parts.next().unwrap_or_default();
        spelled_out(next(), next(), next(), next())
    });
    rights.collect()
}

#[test]
fn controllers_have_upstreams_rights() {
    for (account, _) in FACTS {
        let (_, rules) = CONTROLLERS.iter().find(|(name, _)| name == account).expect(account);
        let of_rule = |rule: &Rule| match rule {
            Rule::On { verbs, groups, resources, names } => spelled_out(verbs, groups, resources, names),
            Rule::Paths(_) | Rule::AllPaths => panic!("{account} has rights to paths"),
        };
        let ours: BTreeSet<Right> = rules.iter().flat_map(of_rule).collect();
        let mut expected = of_facts(FACTS, account);
        expected.extend(of_facts(BEYOND, account));
        let missing: Vec<_> = expected.difference(&ours).collect();
        let extra: Vec<_> = ours.difference(&expected).collect();
        assert!(
            missing.is_empty() && extra.is_empty(),
            "{account} lacks {missing:?} and has {extra:?} besides"
        );
    }
}

#[tokio::test]
async fn only_its_own_account_has_a_controllers_role() {
    let server = TestServer::start().await;
    for (account, _) in CONTROLLERS {
        let name = format!("{CONTROLLER_PREFIX}{account}");
        let binding =
            server.get("rbac.authorization.k8s.io", "clusterrolebindings", "", &name).await.unwrap();
        let subjects: Vec<_> =
            binding.get("subjects").items().map(|subject| subject.str_at("name")).collect();
        assert_eq!(subjects, [*account], "{name}");
    }
}

/// In older clusters all controllers acted as one user, who had all of their roles.
#[tokio::test]
async fn older_clusters_lose_the_right_of_one_for_all() {
    let server = TestServer::start().await;
    let group = "rbac.authorization.k8s.io";
    let places = [
        ("clusterrolebindings", "", "system:controller:deployment-controller"),
        ("rolebindings", "kube-system", "system:controller:token-cleaner"),
    ];
    for (plural, namespace, name) in places {
        let path = format!("{}/{name}", crate::testing::collection_path(group, plural, namespace));
        let mut binding = server.get(group, plural, namespace, name).await.unwrap();
        let mut subjects: Vec<Value> = binding.get("subjects").items().cloned().collect();
        subjects.push(subject_of(CONTROLLER_MANAGER));
        binding.set("subjects", subjects);
        server.json("PUT", &path, &binding).await.unwrap();
    }
    server.bootstrap().await.unwrap();
    for (plural, namespace, name) in places {
        let binding = server.get(group, plural, namespace, name).await.unwrap();
        assert_eq!(binding.get("subjects").items().len(), 1, "{name}");
    }
}
