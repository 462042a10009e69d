//! Services of a cluster with two hosts: which host answers, and whose address the pod sees.

use std::sync::Arc;

use libtest_mimic::Trial;
use testbed::{Agent, Host, Network, Server, output, until};

use crate::images;
use crate::support::{Cluster, LIMIT, Namespace, PATIENCE, PROGRAM, timed_trial};

pub fn trials() -> Vec<Trial> {
    vec![timed_trial("services_hosts::policies_choose_the_host", || {
        policies_choose_the_host();
        Ok(())
    })]
}

/// A web server on each host, Services that prefer or require near endpoints, and a load balancer.
const WEB: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: first, labels: {app: web}}
spec:
  nodeName: node-1
  terminationGracePeriodSeconds: 0
  containers: [{name: c, image: $NGINX, readinessProbe: {httpGet: {port: 80}, periodSeconds: 1}}]
---
apiVersion: v1
kind: Pod
metadata: {name: second, labels: {app: web, only: second}}
spec:
  nodeName: node-2
  terminationGracePeriodSeconds: 0
  containers: [{name: c, image: $NGINX, readinessProbe: {httpGet: {port: 80}, periodSeconds: 1}}]
---
apiVersion: v1
kind: Service
metadata: {name: near}
spec: {selector: {app: web}, trafficDistribution: PreferSameNode, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: zoned, annotations: {service.kubernetes.io/topology-mode: Auto}}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: any}
spec: {type: NodePort, selector: {only: second}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: balanced}
spec: {type: LoadBalancer, externalTrafficPolicy: Local, selector: {only: second}, ports: [{port: 7080, targetPort: 80}]}
"#;

fn fetch(host: &Host, address: &str) -> Result<String, String> {
    let mut curl = host.command("curl");
    output(curl.args(["-sS", "-f", "-m", "5", &format!("http://{address}")]))
        .map_err(|error| error.to_string())
}

/// Asks until the pod `name` answers.
fn is_answered_by(host: &Host, address: &str, name: &str) {
    until(&format!("{name} at {address} from {}", host.name()), PATIENCE, || {
        let page = fetch(host, address)?;
        if page.starts_with(&format!("{name} ")) { Ok(()) } else { Err(page) }
    })
    .unwrap_or_else(|error| panic!("{error:?}"));
}

/// Asks until ten answers in a row come from the pod `name`.
fn is_answered_only_by(host: &Host, address: &str, name: &str) {
    until(&format!("only {name} at {address} from {}", host.name()), PATIENCE, || {
        for _ in 0..10 {
            let page = fetch(host, address)?;
            if !page.starts_with(&format!("{name} ")) {
                return Err(page);
            }
        }
        Ok(())
    })
    .unwrap_or_else(|error| panic!("{error:?}"));
}

fn policies_choose_the_host() {
    let network = Network::new().unwrap();
    let host = |name| Arc::new(Host::on(&network, name).unwrap());
    let (first, second, outside) = (host("node-1"), host("node-2"), host("outside"));
    let _registry = images::start_registry(&second);
    let registry = images::start_registry(&first);
    let server = Server::start(&first, PROGRAM, &[]).unwrap_or_else(|error| panic!("{error:?}"));
    let token = std::fs::read_to_string(server.data_dir().join("agent-token")).unwrap();
    let agent = Agent::start(&second, PROGRAM, &server.url(), token.trim(), &[]).unwrap();
    server.wait_node("node-2").unwrap_or_else(|error| panic!("{error:?}\n--- agent\n{}", agent.log()));
    let cluster = Arc::new(Cluster::of(server, registry));
    let namespace = Namespace::new(&cluster, "hosts");
    namespace.apply(WEB);
    namespace.run(&["wait", "pod", "--all", "--for=condition=Ready", LIMIT]);
    let address = |node: &str| {
        namespace.field(&format!("node/{node}"), ".status.addresses[?(@.type==\"InternalIP\")].address")
    };
    let [node_1, node_2] = ["node-1", "node-2"].map(address);

    // Each host's clients stay on it, as long as it has an endpoint.
    let near = namespace.field("service/near", ".spec.clusterIP");
    for (host, name) in [(&first, "first"), (&second, "second")] {
        is_answered_only_by(host, &near, name);
    }

    // If each host is a separate zone, its clients stay in it.
    let zoned = namespace.field("service/zoned", ".spec.clusterIP");
    for zone in ["1", "2"] {
        let label = format!("topology.kubernetes.io/zone=zone-{zone}");
        // The CPU of nodes with the role of the control plane does not count.
        let no_role = "node-role.kubernetes.io/control-plane-";
        namespace.run(&["label", "node", &format!("node-{zone}"), &label, no_role]);
    }
    let told = "TopologyAwareHintsEnabled";
    namespace.until_output(&["get", "events", "--field-selector", &format!("reason={told}")], told);
    for (host, name) in [(&first, "first"), (&second, "second")] {
        is_answered_only_by(host, &zoned, name);
    }

    // A node port leads on from every host to wherever the pod is.
    let port = namespace.field("service/any", ".spec.ports[0].nodePort");
    for host in [&first, &second] {
        is_answered_by(host, &namespace.field("service/any", ".spec.clusterIP"), "second");
        for node in [&node_1, &node_2] {
            is_answered_by(host, &format!("{node}:{port}"), "second");
        }
    }

    // With `Local`, the balancer is the host that has the pod, and the pod sees its client's address.
    namespace.wait("service/balanced", &format!("jsonpath={{.status.loadBalancer.ingress[*].ip}}={node_2}"));
    is_answered_by(&outside, &format!("{node_2}:7080/marked"), "second");
    let log = namespace.run(&["logs", "second"]);
    let line = log.lines().find(|line| line.contains("/marked")).unwrap();
    assert!(line.starts_with(&format!("{} ", outside.address())), "{line}");
    // The host itself is a client inside of the cluster: its requests need not leave it.
    is_answered_by(&first, &format!("{node_2}:7080"), "second");
    let check = namespace.field("service/balanced", ".spec.healthCheckNodePort");
    assert!(fetch(&second, &format!("{node_2}:{check}")).unwrap().contains("\"localEndpoints\":1"));
    // curl's 22: the answer was an error, 503.
    let refusal = fetch(&first, &format!("{node_1}:{check}")).unwrap_err();
    assert!(refusal.contains("503"), "{refusal}");

    // If the near endpoint is gone, the far one serves.
    namespace.run(&["delete", "pod", "first"]);
    is_answered_by(&first, &near, "second");
}
