//! Networks of Services in addition to the cluster's own, and the objects that represent addresses.

use std::sync::Arc;

use libtest_mimic::Trial;

use crate::support::{Namespace, SharedCluster, trial};

pub fn trials(shared: &Arc<SharedCluster>) -> Vec<Trial> {
    let trial = |name, test| trial(shared, "service_networks", name, test);
    vec![
        trial("should_support_service_cidr_api_operations", should_support_service_cidr_api_operations),
        trial("addresses_that_leaked_or_are_missing", addresses_that_leaked_or_are_missing),
    ]
}

/// "[sig-network] ServiceCIDR and IPAddress API should support ServiceCIDR API operations [Conformance]", and that a
/// network is used, and kept while it is.
fn should_support_service_cidr_api_operations(namespace: &Namespace) {
    namespace.wait("servicecidr/kubernetes", "condition=Ready");
    assert_eq!(namespace.field("servicecidr/kubernetes", ".spec.cidrs[*]"), "10.43.0.0/16");
    namespace.apply(
        "apiVersion: networking.k8s.io/v1\nkind: ServiceCIDR\nmetadata: {name: more}\nspec: {cidrs: [10.99.0.0/24]}\n",
    );
    namespace.wait("servicecidr/more", "condition=Ready");
    namespace.apply(
        r#"
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec: {containers: [{name: c, image: $NGINX}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {clusterIP: 10.99.0.7, selector: {app: web}, ports: [{port: 80}]}
"#,
    );
    namespace.wait("pod/web", "condition=Ready");
    let page = namespace.until("a page through the new network", || namespace.cluster.fetch("10.99.0.7"));
    assert_eq!(page, "web version 1\n");
    assert_eq!(namespace.field("ipaddress/10.99.0.7", ".spec.parentRef.name"), "web");

    namespace.run(&["delete", "servicecidr", "more", "--wait=false"]);
    namespace.wait("servicecidr/more", "condition=Ready=False");
    let reason = r#".status.conditions[?(@.type=="Ready")].reason"#;
    assert_eq!(namespace.field("servicecidr/more", reason), "Terminating");
    let refused =
        namespace.fails(&["create", "service", "clusterip", "late", "--clusterip=10.99.0.8", "--tcp=80"]);
    assert!(refused.contains("the provided network does not match the current range"), "{refused}");
    namespace.run(&["delete", "service", "web"]);
    namespace.wait("servicecidr/more", "delete");
}

/// As after an API server that ended in the middle of its work.
fn addresses_that_leaked_or_are_missing(namespace: &Namespace) {
    namespace.run(&["create", "service", "clusterip", "web", "--tcp=80"]);
    let address = namespace.field("service/web", ".spec.clusterIP");
    namespace.run(&["delete", "ipaddress", &address]);
    namespace.until_output(&["get", "ipaddress", &address, "-o", "jsonpath={.spec.parentRef.name}"], "web");
    namespace.until_output(
        &["get", "events", "--field-selector=reason=ClusterIPNotAllocated"],
        &format!("Cluster IP {address} is not allocated; repairing"),
    );
    // One that was created by hand stays.
    namespace.apply(
        "apiVersion: networking.k8s.io/v1\nkind: IPAddress\nmetadata: {name: 192.0.2.200}\n\
         spec: {parentRef: {resource: services, namespace: nowhere, name: nothing}}\n",
    );
    namespace.run(&["delete", "ipaddress", "192.0.2.200"]);
}
