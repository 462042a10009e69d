//! A cluster of three hosts: pods on one can be reached from all.

use std::collections::BTreeSet;
use std::sync::Arc;

use libtest_mimic::Trial;
use testbed::output;

use crate::deployment::WEB;
use crate::images::NGINX_2;
use crate::support::{LIMIT, Load, Namespace, SharedCluster, trial};

pub fn trials(shared: &Arc<SharedCluster>) -> Vec<Trial> {
    let trial = |name, test| trial(shared, "hosts", name, test);
    vec![
        trial(
            "pods_of_every_host_are_reached_from_every_host",
            pods_of_every_host_are_reached_from_every_host,
        ),
        trial(
            "a_rolling_update_on_several_hosts_loses_no_request",
            a_rolling_update_on_several_hosts_loses_no_request,
        ),
        trial("servers_in_the_hosts_network_answer_over_udp", servers_in_the_hosts_network_answer_over_udp),
    ]
}

/// A web server on each host, behind a Service of each outward type.
const EVERYWHERE: &str = r#"
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: nginx
        image: $NGINX
        ports: [{name: http, containerPort: 80}]
        readinessProbe: {httpGet: {path: /, port: http}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: NodePort, selector: {app: web}, ports: [{port: 80, targetPort: http}]}
"#;

/// Name, node and address of each pod.
pub fn pods(namespace: &Namespace) -> Vec<[String; 3]> {
    let path = r#"jsonpath={range .items[*]}{.metadata.name} {.spec.nodeName} {.status.podIP}{"\n"}{end}"#;
    let text = namespace.run(&["get", "pods", "-l", "app=web", "-o", path]);
    let line = |line: &str| -> [String; 3] {
        let fields: Vec<String> = line.split(' ').map(str::to_owned).collect();
        fields.try_into().unwrap()
    };
    text.lines().map(line).collect()
}

fn pods_of_every_host_are_reached_from_every_host(namespace: &Namespace) {
    namespace.apply(EVERYWHERE);
    namespace.run(&["rollout", "status", "daemonset/web", LIMIT]);
    let pods = pods(namespace);
    let nodes: BTreeSet<&str> = pods.iter().map(|[_, node, _]| node.as_str()).collect();
    assert_eq!(nodes, BTreeSet::from(["node-1", "node-2", "node-3"]));

    // Each pod from each, with the client's address.
    for [client, _, source] in &pods {
        for [server, _, address] in &pods {
            let page = namespace.until("a page of another host", || {
                let mut exec = namespace.kubectl(&[
                    "exec",
                    client,
                    "--",
                    "sh",
                    "-c",
                    &format!("timeout 5 wget -q -O - http://{address}/?from={client}"),
                ]);
                output(&mut exec).map_err(|error| error.to_string())
            });
            assert_eq!(page, format!("{server} version 1\n"));
            namespace.until_output(&["logs", server], &format!("{source} - - ["));
        }
    }
    // By the Service's name, from each host, and each pod answers.
    let all: BTreeSet<String> = pods.iter().map(|[name, ..]| format!("{name} version 1")).collect();
    for [client, ..] in &pods {
        let script = "for i in $(seq 40); do timeout 10 wget -q -O - http://web/ || exit 1; done";
        let seen: BTreeSet<String> = namespace.exec(client, script).lines().map(str::to_owned).collect();
        assert_eq!(seen, all, "asked by {client}");
    }
    // By the port of each node, from outside.
    let port = namespace.field("service/web", ".spec.ports[0].nodePort");
    for host in namespace.cluster.hosts() {
        let url = format!("http://{}:{port}/", host.address());
        let page = namespace.until("a page by a node's port", || {
            let mut curl = host.network().command("curl");
            output(curl.args(["-sSf", "-m", "5", &url])).map_err(|error| error.to_string())
        });
        assert!(page.ends_with(" version 1\n"), "{page}");
    }
    // kubectl reaches a pod of another host in every way.
    let [far, ..] = pods.iter().find(|[_, node, _]| node == "node-3").unwrap();
    let forward = namespace.follow(&["port-forward", &format!("pod/{far}"), "18080:80"]);
    forward.until("Forwarding from 127.0.0.1:18080");
    assert_eq!(namespace.cluster.fetch("127.0.0.1:18080/").unwrap(), format!("{far} version 1\n"));
}

fn a_rolling_update_on_several_hosts_loses_no_request(namespace: &Namespace) {
    namespace.apply(WEB);
    namespace.run(&["rollout", "status", "deployment/web", LIMIT]);
    let nodes: BTreeSet<String> = pods(namespace).into_iter().map(|[_, node, _]| node).collect();
    assert!(nodes.len() > 1, "the pods are spread: {nodes:?}");
    let address = namespace.field("service/web", ".spec.clusterIP");
    namespace.until("the page", || namespace.cluster.fetch(&address));
    let loads: Vec<Load> =
        namespace.cluster.hosts().map(|host| Load::start(host, &format!("{address}:80"))).collect();
    namespace.run(&["set", "image", "deployment/web", &format!("nginx={NGINX_2}")]);
    namespace.run(&["rollout", "status", "deployment/web", LIMIT]);
    namespace.until("the end of the old pods", || {
        let pods = namespace.run(&["get", "pods", "-l", "app=web", "-o", "name"]);
        if pods.lines().count() == 3 { Ok(()) } else { Err(pods) }
    });
    for load in loads {
        let (pages, failures) = load.stop();
        assert_eq!(failures, Vec::<String>::new(), "besides {} pages", pages.len());
        let old = pages.iter().filter(|page| page.ends_with("version 1\n")).count();
        assert!(old > 0 && old < pages.len(), "{old} of {} pages were old", pages.len());
    }
}

/// On each host a server in the host's network that returns its node's name, and a client in a pod.
const UDP: &str = r#"
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: server}
spec:
  selector: {matchLabels: {app: server}}
  template:
    metadata: {labels: {app: server}}
    spec:
      hostNetwork: true
      terminationGracePeriodSeconds: 0
      containers:
      - name: c
        image: $NGINX
        env: [{name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}]
        ports: [{name: ask, containerPort: 15353, protocol: UDP}]
        command: [perl, -e, 'socket(S, 2, 2, 17) or die; bind(S, pack("SnC4x8", 2, 15353, 0, 0, 0, 0)) or die $!;
          while (1) { my $from = recv(S, $asked, 99, 0); send(S, $ENV{NODE}, 0, $from) }']
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: client}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: c, image: $NGINX, command: [sleep, '1000']}]
---
apiVersion: v1
kind: Service
metadata: {name: server}
spec: {selector: {app: server}, ports: [{port: 53, targetPort: ask, protocol: UDP}]}
"#;

/// A client takes an answer only from the address that it asked, of the same host and of others, directly and through a
/// Service.
fn servers_in_the_hosts_network_answer_over_udp(namespace: &Namespace) {
    namespace.apply(UDP);
    for name in ["server", "client"] {
        namespace.run(&["rollout", "status", &format!("daemonset/{name}"), LIMIT]);
    }
    let nodes: Vec<(String, String)> =
        namespace.cluster.hosts().map(|host| (host.name().to_owned(), host.address().to_string())).collect();
    let service = namespace.field("service/server", ".spec.clusterIP");
    let clients = pods(namespace);
    assert_eq!(clients.len(), nodes.len());
    for [client, at, _] in &clients {
        let ask = |address: &str, port: u16| {
            let to = address.replace('.', ", ");
            let script = format!(
                "perl -e 'socket(S, 2, 2, 17) or die; connect(S, pack(\"SnC4x8\", 2, {port}, {to})) or die $!; alarm 5; \
                 send(S, \"x\", 0) or die $!; defined(recv(S, $answer, 99, 0)) or die $!; print $answer'"
            );
            let mut exec = namespace.kubectl(&["exec", client, "--", "sh", "-ec", &script]);
            output(&mut exec).map_err(|error| error.to_string())
        };
        for (name, address) in &nodes {
            let what = format!("{name}'s answer to a pod of {at}");
            let answer = namespace.until(&what, || ask(address, 15353));
            assert_eq!(&answer, name, "{what}");
        }
        let mut seen = BTreeSet::new();
        namespace.until(&format!("answers of all through the Service to a pod of {at}"), || {
            seen.insert(ask(&service, 53)?);
            if seen.len() == nodes.len() { Ok(()) } else { Err(format!("{seen:?}")) }
        });
        assert!(nodes.iter().all(|(name, _)| seen.contains(name)), "{seen:?}");
    }
}
