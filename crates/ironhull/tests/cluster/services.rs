//! Services, as users and pods see them: the `[sig-network]` tests of the conformance suite about Services and their
//! endpoints, whose titles are above ours. `docs/sig-network.md` has the table of both.

use std::collections::BTreeSet;
use std::sync::Arc;

use libtest_mimic::Trial;
use testbed::HOST_ADDRESS;

use crate::support::{Cluster, Namespace, SharedCluster, timed_trial, trial};

pub fn trials(shared: &Arc<SharedCluster>) -> Vec<Trial> {
    let trial = |name, test| trial(shared, "services", name, test);
    let healing = timed_trial("services::rules_that_others_remove_come_back", || {
        rules_that_others_remove_come_back();
        Ok(())
    });
    vec![
        trial("should_serve_endpoints_from_pods", should_serve_endpoints_from_pods),
        trial("should_be_able_to_change_the_type", should_be_able_to_change_the_type),
        trial("should_have_session_affinity", should_have_session_affinity),
        trial("should_manage_services_as_objects", should_manage_services_as_objects),
        trial("should_mirror_custom_endpoints", should_mirror_custom_endpoints),
        trial("should_support_hand_made_slices", should_support_hand_made_slices),
        trial("should_proxy_through_the_api_server", should_proxy_through_the_api_server),
        trial("should_find_endpoints_soon", should_find_endpoints_soon),
        trial("should_have_host_ports_without_conflict", should_have_host_ports_without_conflict),
        trial("the_api_server_is_a_service", the_api_server_is_a_service),
        trial("a_load_balancer_needs_no_cloud", a_load_balancer_needs_no_cloud),
        healing,
    ]
}

/// Two web servers that return their names, and a pod to send requests from.
const PODS: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: one, labels: {app: web}}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: c, image: $NGINX, ports: [{name: http, containerPort: 80}], readinessProbe: {httpGet: {port: 80}, periodSeconds: 1}}]
---
apiVersion: v1
kind: Pod
metadata: {name: two, labels: {app: web}}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: c, image: $NGINX, ports: [{name: http, containerPort: 80}], readinessProbe: {httpGet: {port: 80}, periodSeconds: 1}}]
---
apiVersion: v1
kind: Pod
metadata: {name: client}
spec: {terminationGracePeriodSeconds: 0, containers: [{name: c, image: $BUSYBOX, command: [sleep, '1000']}]}
"#;

fn start_pods(namespace: &Namespace) {
    namespace.apply(PODS);
    namespace.run(&["wait", "pod", "--all", "--for=condition=Ready", crate::support::LIMIT]);
}

/// The name that a server returns to one request from the pod `client`.
fn answer(namespace: &Namespace, address: &str, port: &str) -> Result<String, String> {
    let script = format!("printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 3 {address} {port}");
    let mut exec = namespace.kubectl(&["exec", "client", "--", "sh", "-c", &script]);
    let answer = testbed::output(&mut exec).map_err(|error| error.to_string())?;
    let page = answer.split_once("\r\n\r\n").filter(|(head, _)| head.contains(" 200 "));
    let name = page.and_then(|(_, page)| page.split(' ').next());
    name.map(str::to_owned).ok_or(answer)
}

/// Sends requests until there is an answer.
fn answered(namespace: &Namespace, address: &str, port: &str) -> String {
    namespace.until(&format!("an answer from {address}:{port}"), || answer(namespace, address, port))
}

/// The addresses behind a Service, by its slices.
fn endpoints(namespace: &Namespace, service: &str) -> BTreeSet<String> {
    let selector = format!("kubernetes.io/service-name={service}");
    // Not by JSONPath, where kubectl ends a range over the lists of many objects at the first empty one.
    let text = namespace.run(&["get", "endpointslices", "-l", &selector, "-o", "json"]);
    let slices: serde_json::Value = serde_json::from_str(&text).unwrap();
    let endpoints = slices["items"].as_array().unwrap().iter();
    let endpoints = endpoints.flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten());
    endpoints.map(|endpoint| endpoint["addresses"][0].as_str().unwrap().to_owned()).collect()
}

fn until_endpoints(namespace: &Namespace, service: &str, expected: &[&str]) {
    let expected: BTreeSet<String> = expected.iter().map(|address| (*address).to_owned()).collect();
    namespace.until(&format!("endpoints {expected:?} of {service}"), || {
        let endpoints = endpoints(namespace, service);
        if endpoints == expected { Ok(()) } else { Err(format!("{endpoints:?}")) }
    });
}

/// "[sig-network] Services should serve a basic endpoint from pods [Conformance]",
/// "[sig-network] Services should serve multiport endpoints from pods [Conformance]",
/// "[sig-network] EndpointSlice should create Endpoints and EndpointSlices for Pods matching a Service [Conformance]",
/// "[sig-network] EndpointSlice should create and delete EndpointSlices for a Service with a selector that matches no
/// pods [Conformance]", and the two tests of EndpointsController of the same meaning.
fn should_serve_endpoints_from_pods(namespace: &Namespace) {
    namespace.apply(
        "apiVersion: v1\nkind: Service\nmetadata: {name: web}\n\
         spec: {selector: {app: web}, ports: [{name: a, port: 80, targetPort: http}, {name: b, port: 8080, targetPort: 80}]}\n",
    );
    let selector = ["get", "endpointslices", "-l", "kubernetes.io/service-name=web", "-o", "name"];
    namespace.until_output(&selector, "endpointslice.discovery.k8s.io/web-");
    until_endpoints(namespace, "web", &[]);
    namespace.wait("endpoints/web", "create");
    assert_eq!(namespace.field("endpoints/web", ".subsets"), "");
    start_pods(namespace);
    let [one, two] = ["one", "two"].map(|pod| namespace.field(&format!("pod/{pod}"), ".status.podIP"));
    until_endpoints(namespace, "web", &[&one, &two]);
    namespace
        .until_output(&["get", "endpoints", "web", "-o", "jsonpath={.subsets[*].addresses[*].ip}"], &two);
    for port in ["80", "8080"] {
        assert!(["one", "two"].contains(&answered(namespace, "web", port).as_str()));
    }
    namespace.run(&["delete", "pod", "two"]);
    until_endpoints(namespace, "web", &[&one]);
    assert_eq!(answered(namespace, "web", "80"), "one");
    namespace.run(&["delete", "pod", "one"]);
    until_endpoints(namespace, "web", &[]);
    namespace.run(&["delete", "service", "web"]);
    let gone = |kind: &str| {
        let mut get = namespace.kubectl(&["get", kind, "-o", "name"]);
        let text = testbed::output(&mut get).map_err(|error| error.to_string())?;
        if text.contains("/web") { Err(text) } else { Ok(()) }
    };
    namespace.until("the end of the slices", || gone("endpointslices"));
    namespace.until("the end of the endpoints", || gone("endpoints"));
}

/// "[sig-network] Services should be able to change the type from ExternalName to ClusterIP [Conformance]", and the
/// three others about changes of the type; "[sig-network] Services should be able to create a functioning NodePort
/// service [Conformance]".
fn should_be_able_to_change_the_type(namespace: &Namespace) {
    start_pods(namespace);
    namespace.run(&["create", "service", "externalname", "web", "--external-name=example.com"]);
    assert_eq!(namespace.field("service/web", ".spec.clusterIP"), "");
    let patch = |patch: &str| namespace.run(&["patch", "service", "web", "-p", patch]);
    patch(
        r#"{"spec": {"type": "ClusterIP", "externalName": null, "selector": {"app": "web"}, "ports": [{"port": 80, "protocol": "TCP"}]}}"#,
    );
    let address = namespace.field("service/web", ".spec.clusterIP");
    assert!(!address.is_empty());
    answered(namespace, "web", "80");
    answered(namespace, &address, "80");
    patch(r#"{"spec": {"type": "ExternalName", "externalName": "example.com", "clusterIP": null}}"#);
    assert_eq!(namespace.field("service/web", ".spec.clusterIP"), "");
    patch(r#"{"spec": {"type": "NodePort", "externalName": null}}"#);
    let address = namespace.field("service/web", ".spec.clusterIP");
    let node_port = namespace.field("service/web", ".spec.ports[0].nodePort");
    answered(namespace, "web", "80");
    answered(namespace, &address, "80");
    answered(namespace, &HOST_ADDRESS.to_string(), &node_port);
    patch(r#"{"spec": {"type": "ExternalName", "externalName": "example.com", "clusterIP": null}}"#);
    let spec = namespace.field("service/web", ".spec");
    assert!(!spec.contains("clusterIP") && !spec.contains("nodePort"), "{spec}");
    // The node port is free again.
    let taken = format!("--node-port={node_port}");
    namespace.run(&["create", "service", "nodeport", "other", "--tcp=80", &taken]);
    namespace
        .until("the refusal at the old address", || namespace.cluster.is_refused(&format!("{address}:80")));
}

/// "[sig-network] Services should have session affinity work for NodePort service [LinuxOnly] [Conformance]",
/// "[sig-network] Services should be able to switch session affinity for service with type clusterIP [LinuxOnly]
/// [Conformance]", and the two others about affinity.
fn should_have_session_affinity(namespace: &Namespace) {
    start_pods(namespace);
    namespace.apply(
        "apiVersion: v1\nkind: Service\nmetadata: {name: web}\n\
         spec: {type: NodePort, sessionAffinity: ClientIP, selector: {app: web}, ports: [{port: 80}]}\n",
    );
    let address = namespace.field("service/web", ".spec.clusterIP");
    let node_port = namespace.field("service/web", ".spec.ports[0].nodePort");
    let node = HOST_ADDRESS.to_string();
    let fronts = [(address.as_str(), "80"), (node.as_str(), node_port.as_str())];
    let seen = |(address, port): (&str, &str), count: usize| -> BTreeSet<String> {
        (0..count).map(|_| answered(namespace, address, port)).collect()
    };
    let sticks = |front| {
        namespace.until("one server for all", || {
            let seen = seen(front, 8);
            if seen.len() == 1 { Ok(()) } else { Err(format!("{seen:?}")) }
        });
    };
    fronts.into_iter().for_each(sticks);
    namespace.run(&["patch", "service", "web", "-p", r#"{"spec": {"sessionAffinity": "None"}}"#]);
    for front in fronts {
        namespace.until("every server in turn", || {
            let seen = seen(front, 8);
            if seen.len() == 2 { Ok(()) } else { Err(format!("{seen:?}")) }
        });
    }
    namespace.run(&["patch", "service", "web", "-p", r#"{"spec": {"sessionAffinity": "ClientIP"}}"#]);
    fronts.into_iter().for_each(sticks);
}

/// "[sig-network] Services should complete a service status lifecycle [Conformance]", "[sig-network] Services should
/// delete a collection of services [Conformance]", "[sig-network] Services should find a service from listing all
/// namespaces [Conformance]", and "[sig-network] Endpoints should test the lifecycle of an Endpoint [Conformance]".
fn should_manage_services_as_objects(namespace: &Namespace) {
    for name in ["a", "b", "c"] {
        namespace.run(&["create", "service", "clusterip", name, "--tcp=80"]);
    }
    namespace.run(&["label", "service", "a", "b", "end=soon"]);
    namespace.run(&["delete", "services", "-l", "end=soon"]);
    assert_eq!(namespace.run(&["get", "services", "-o", "name"]).trim(), "service/c");
    let all = namespace.run(&["get", "services", "--all-namespaces", "--no-headers"]);
    assert!(all.lines().any(|line| line.starts_with("default ") && line.contains(" kubernetes ")), "{all}");

    let condition = r#"{"status": {"conditions": [{"type": "Tested", "status": "True", "reason": "T", "message": "m",
        "lastTransitionTime": "2026-01-01T00:00:00Z"}]}}"#;
    namespace.run(&["patch", "service", "c", "--subresource=status", "--type=merge", "-p", condition]);
    assert_eq!(namespace.field("service/c", ".status.conditions[0].type"), "Tested");
    namespace.run(&["annotate", "service", "c", "patched=true"]);
    assert_eq!(namespace.field("service/c", ".metadata.annotations.patched"), "true");

    namespace.apply("apiVersion: v1\nkind: Endpoints\nmetadata: {name: mine, labels: {test: ep}}\nsubsets: [{addresses: [{ip: 10.1.2.3}], ports: [{port: 80}]}]\n");
    namespace.run(&["label", "endpoints", "mine", "more=1"]);
    let patch = r#"{"subsets": [{"addresses": [{"ip": "10.1.2.4"}], "ports": [{"name": "x", "port": 81}]}]}"#;
    namespace.run(&["patch", "endpoints", "mine", "-p", patch]);
    assert_eq!(namespace.field("endpoints/mine", ".subsets[0].addresses[0].ip"), "10.1.2.4");
    namespace.run(&["delete", "endpoints", "-l", "test=ep"]);
    assert_eq!(namespace.run(&["get", "endpoints", "-l", "test=ep", "-o", "name"]), "");
}

/// "[sig-network] EndpointSliceMirroring should mirror a custom Endpoints resource through create update and delete
/// [Conformance]".
fn should_mirror_custom_endpoints(namespace: &Namespace) {
    start_pods(namespace);
    let [one, two] = ["one", "two"].map(|pod| namespace.field(&format!("pod/{pod}"), ".status.podIP"));
    namespace.run(&["create", "service", "clusterip", "custom", "--tcp=80"]);
    namespace.run(&[
        "patch",
        "service",
        "custom",
        "--type=json",
        "-p",
        r#"[{"op": "remove", "path": "/spec/selector"}]"#,
    ]);
    let apply = |address: &str| {
        namespace.apply(&format!(
            "apiVersion: v1\nkind: Endpoints\nmetadata: {{name: custom}}\n\
             subsets: [{{addresses: [{{ip: {address}}}], ports: [{{name: \"80\", port: 80}}]}}]\n"
        ));
    };
    for (address, name) in [(&one, "one"), (&two, "two")] {
        apply(address);
        until_endpoints(namespace, "custom", &[address]);
        namespace.until(&format!("the answer of {name}"), || {
            let answer = answer(namespace, "custom", "80")?;
            if answer == name { Ok(()) } else { Err(answer) }
        });
    }
    namespace.run(&["delete", "endpoints", "custom"]);
    until_endpoints(namespace, "custom", &[]);
}

/// "[sig-network] EndpointSlice should support a Service with multiple endpoint IPs specified in multiple
/// EndpointSlices [Conformance]", "... with multiple ports specified in multiple EndpointSlices [Conformance]", and
/// "[sig-network] EndpointSlice should support creating EndpointSlice API operations [Conformance]".
fn should_support_hand_made_slices(namespace: &Namespace) {
    start_pods(namespace);
    namespace.apply(
        "apiVersion: v1\nkind: Service\nmetadata: {name: made}\n\
         spec: {ports: [{name: a, port: 81}, {name: b, port: 82}]}\n",
    );
    for (pod, port) in [("one", "a"), ("two", "b")] {
        let address = namespace.field(&format!("pod/{pod}"), ".status.podIP");
        namespace.apply(&format!(
            "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
             metadata: {{name: made-{port}, labels: {{kubernetes.io/service-name: made}}}}\naddressType: IPv4\n\
             ports: [{{name: {port}, port: 80}}]\nendpoints: [{{addresses: [{address}]}}]\n"
        ));
    }
    assert_eq!(answered(namespace, "made", "81"), "one");
    assert_eq!(answered(namespace, "made", "82"), "two");
    namespace.run(&["label", "endpointslices", "--all", "of=made"]);
    let patch = r#"{"endpoints": [{"addresses": ["10.1.2.3"], "conditions": {"ready": false}}]}"#;
    namespace.run(&["patch", "endpointslice", "made-b", "-p", patch]);
    assert_eq!(namespace.field("endpointslice/made-b", ".endpoints[0].conditions.ready"), "false");
    let all = namespace.run(&["get", "endpointslices", "-A", "-l", "of=made", "-o", "name"]);
    assert_eq!(all.lines().count(), 2, "{all}");
    namespace.run(&["delete", "endpointslices", "-l", "of=made"]);
    until_endpoints(namespace, "made", &[]);
}

/// "[sig-network] Proxy version v1 A set of valid responses are returned for both pod and service Proxy
/// [Conformance]", and "... ProxyWithPath [Conformance]".
fn should_proxy_through_the_api_server(namespace: &Namespace) {
    start_pods(namespace);
    namespace.run(&["expose", "pod", "one", "--name=web", "--port=80"]);
    until_endpoints(
        namespace,
        "web",
        &[&namespace.field("pod/one", ".status.podIP"), &namespace.field("pod/two", ".status.podIP")],
    );
    let base = format!("/api/v1/namespaces/{}", namespace.name);
    for path in [
        "pods/one/proxy",
        "pods/http:one:80/proxy/",
        "services/web/proxy",
        "services/http:web:80/proxy/some/path",
    ] {
        let text = namespace.run(&["get", "--raw", &format!("{base}/{path}")]);
        assert!(text.contains("version 1"), "{path}: {text}");
    }
    for verb in ["create", "replace"] {
        let path = format!("{base}/services/http:web:80/proxy/some/path");
        let raw = namespace.cluster.server.kubectl_with_input(&[verb, "--raw", &path, "-f", "-"], "{}");
        assert!(raw.as_ref().is_ok_and(|text| text.contains("version 1")), "{verb}: {raw:?}");
    }
    namespace.run(&["delete", "--raw", &format!("{base}/pods/one/proxy/some/path")]);
}

/// "[sig-network] Service endpoints latency should not be very high [Conformance]": twenty seconds for a hundred
/// Services at once, where it allows them for one.
fn should_find_endpoints_soon(namespace: &Namespace) {
    start_pods(namespace);
    let service = |number: usize| {
        format!(
            "---\napiVersion: v1\nkind: Service\nmetadata: {{name: s{number}, labels: {{many: s}}}}\n\
             spec: {{selector: {{app: web}}, ports: [{{port: 80}}]}}\n"
        )
    };
    namespace.apply(&(0..100).map(service).collect::<String>());
    let limit = std::time::Duration::from_secs(20);
    let found = || {
        let path = "jsonpath={range .items[*]}{.endpoints[0].addresses[0]}{\"\\n\"}{end}";
        let mut get = namespace.kubectl(&["get", "endpointslices", "-l", "many=s", "-o", path]);
        let text = testbed::output(&mut get).map_err(|error| error.to_string())?;
        let count = text.lines().filter(|line| !line.is_empty()).count();
        if count == 100 { Ok(()) } else { Err(count.to_string()) }
    };
    testbed::until("endpoints of all Services", limit, found).unwrap_or_else(|error| panic!("{error:?}"));
    answered(namespace, "s99", "80");
}

/// "[sig-network] HostPort validates that there is no conflict between pods with same hostPort but different hostIP
/// and protocol [LinuxOnly] [Conformance]".
fn should_have_host_ports_without_conflict(namespace: &Namespace) {
    let pod = |name: &str, address: &str, protocol: &str| {
        namespace.apply(&format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  terminationGracePeriodSeconds: 0\n  \
             containers: [{{name: c, image: $NGINX, ports: [{{containerPort: 80, hostPort: 54323, hostIP: {address}, \
             protocol: {protocol}}}]}}]\n"
        ));
    };
    let node = HOST_ADDRESS.to_string();
    pod("one", "127.0.0.1", "TCP");
    pod("two", &node, "TCP");
    pod("three", &node, "UDP");
    namespace.run(&["wait", "pod", "--all", "--for=condition=Ready", crate::support::LIMIT]);
    for (address, name) in [("127.0.0.1", "one"), (&node, "two")] {
        let page = namespace.until("the page", || namespace.cluster.fetch(&format!("{address}:54323")));
        assert!(page.starts_with(name), "{page}");
    }
    pod("four", &node, "TCP");
    let message = ["get", "pod", "four", "-o", "jsonpath={.status.conditions[*].message}"];
    namespace.until_output(&message, "didn't have free ports for the requested pod ports");
}

/// "[sig-network] API Server should provide secure master service [Conformance]", and "[sig-network] API Server should
/// have Endpoints and EndpointSlices pointing to API Server [Conformance]".
fn the_api_server_is_a_service(namespace: &Namespace) {
    let field = |what: &str, path: &str| {
        namespace.run(&["get", "-n", "default", what, "-o", &format!("jsonpath={{{path}}}")])
    };
    assert_eq!(field("service/kubernetes", ".spec.ports[0].name"), "https");
    assert_eq!(field("service/kubernetes", ".spec.ports[0].port"), "443");
    let endpoints = field("endpoints/kubernetes", ".subsets[0].addresses[0].ip");
    assert_eq!(field("endpointslice/kubernetes", ".endpoints[0].addresses[0]"), endpoints);
    assert_eq!(endpoints, HOST_ADDRESS.to_string());
}

fn a_load_balancer_needs_no_cloud(namespace: &Namespace) {
    start_pods(namespace);
    namespace.apply(
        "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {type: LoadBalancer, externalTrafficPolicy: Local, \
         selector: {app: web}, ports: [{port: 7080, targetPort: 80}]}\n",
    );
    namespace.wait("service/web", &format!("jsonpath={{.status.loadBalancer.ingress[0].ip}}={HOST_ADDRESS}"));
    let page = format!("{HOST_ADDRESS}:7080");
    namespace.until("the page", || namespace.cluster.fetch(&page));
    answered(namespace, &HOST_ADDRESS.to_string(), "7080");
    let check = namespace.field("service/web", ".spec.healthCheckNodePort");
    let health =
        namespace.until("the health check", || namespace.cluster.fetch(&format!("127.0.0.1:{check}")));
    assert!(health.contains("\"localEndpoints\":2"), "{health}");
    assert!(namespace.cluster.fetch("127.0.0.1:10256/healthz").unwrap().contains("\"nodeEligible\":true"));

    // The port is taken: the younger Service waits, and an event gives the reason.
    namespace.run(&["create", "service", "loadbalancer", "late", "--tcp=7080:80"]);
    let events =
        ["get", "events", "--field-selector=involvedObject.name=late", "-o", "jsonpath={.items[*].message}"];
    namespace.until_output(&events, "port 7080/TCP is taken by the load balancer of");
    namespace.run(&["delete", "pod", "one", "two"]);
    namespace.until("the end of its addresses", || {
        let addresses = namespace.field("service/web", ".status.loadBalancer.ingress");
        if addresses.is_empty() { Ok(()) } else { Err(addresses) }
    });
    namespace.run(&["patch", "service", "web", "-p", r#"{"spec": {"type": "ClusterIP"}}"#]);
    namespace.until("the end of the finalizer", || {
        let finalizers = namespace.field("service/web", ".metadata.finalizers");
        if finalizers.is_empty() { Ok(()) } else { Err(finalizers) }
    });
    namespace
        .wait("service/late", &format!("jsonpath={{.status.loadBalancer.ingress[0].ip}}={HOST_ADDRESS}"));
    namespace.run(&["delete", "service", "late", crate::support::LIMIT]);
}

/// Uses a separate cluster, because others would be affected.
fn rules_that_others_remove_come_back() {
    let cluster = Arc::new(Cluster::start());
    let namespace = Namespace::new(&cluster, "tampered");
    start_pods(&namespace);
    namespace.run(&["expose", "pod", "one", "--name=web", "--port=80"]);
    let address = namespace.field("service/web", ".spec.clusterIP");
    namespace.until("the page", || cluster.fetch(&address));
    for damage in ["flush table ip ironhull-services", "delete table ip ironhull-services"] {
        let mut nft = cluster.host().command("nft");
        testbed::output(nft.args(damage.split(' '))).unwrap_or_else(|error| panic!("{error:?}"));
        namespace.until(&format!("the page after `{damage}`"), || cluster.fetch(&address));
    }
    assert!(cluster.server.log().contains("changed the service rules"), "{}", cluster.server.log());
}
