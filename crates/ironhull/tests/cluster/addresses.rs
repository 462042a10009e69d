//! Running hosts whose addresses change.

use std::sync::Arc;

use libtest_mimic::Trial;
use testbed::{Agent, Host, Network, Server, output};

use crate::images;
use crate::support::{Cluster, LIMIT, Namespace, PROGRAM, timed_trial};

pub fn trials() -> Vec<Trial> {
    ["vxlan", "host-gw", "udp"]
        .map(|backend| {
            timed_trial(
                format!("addresses::running_hosts_change_their_addresses_with_{backend}"),
                move || {
                    running_hosts_change_their_addresses(backend);
                    Ok(())
                },
            )
        })
        .into()
}

/// The server's name for the agent, which outlives its address.
const SERVER_NAME: &str = "control";

/// A web server on each host, behind a Service.
const WEB: &str = "
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: c, image: $NGINX, readinessProbe: {httpGet: {port: 80}, periodSeconds: 1}}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: NodePort, selector: {app: web}, ports: [{port: 80}]}
";

/// A server and an agent, with a web server on each.
struct Pair {
    namespace: Namespace,
    hosts: [Arc<Host>; 2],
    _registry: testbed::Process,
}

/// A pod of the web server.
struct Pod {
    name: String,
    address: String,
}

impl Pair {
    fn new(backend: &str) -> Pair {
        let network = Network::new().unwrap();
        let host = |name| Arc::new(Host::on(&network, name).unwrap());
        let hosts = [host("node-1"), host("node-2")];
        let registry = images::start_registry(&hosts[0]);
        let server = Server::start(&hosts[0], PROGRAM, &["--flannel-backend", backend])
            .unwrap_or_else(|error| panic!("{error:?}"));
        let token = std::fs::read_to_string(server.data_dir().join("agent-token")).unwrap();
        let second = images::serve(&hosts[1], hosts[0].directory());
        name_server(&hosts);
        let url = format!("https://{SERVER_NAME}:6443");
        let agent = Agent::start(&hosts[1], PROGRAM, &url, token.trim(), &[]).unwrap();
        server.wait_node("node-2").unwrap_or_else(|error| panic!("{error:?}\n--- agent\n{}", agent.log()));
        let mut cluster = Cluster::of(server, registry);
        cluster.agents.push(agent);
        let namespace = Namespace::new(&Arc::new(cluster), "addresses");
        namespace.apply(WEB);
        namespace.run(&["rollout", "status", "daemonset/web", LIMIT]);
        Pair { namespace, hosts, _registry: second }
    }

    /// The pods on the first and on the second host.
    fn pods(&self) -> [Pod; 2] {
        ["node-1", "node-2"].map(|node| {
            let field = format!("spec.nodeName={node}");
            let columns = "jsonpath={.items[0].metadata.name} {.items[0].status.podIP}";
            let text = self.namespace.run(&["get", "pods", "--field-selector", &field, "-o", columns]);
            let (name, address) = text.split_once(' ').unwrap();
            Pod { name: name.to_owned(), address: address.to_owned() }
        })
    }

    /// The things that must not change: pods, their containers, and the programs.
    fn identities(&self) -> String {
        let path =
            r#"jsonpath={range .items[*]}{.metadata.uid} {.status.containerStatuses[0].containerID} {end}"#;
        let (server, agent) = (&self.namespace.cluster.server, &self.namespace.cluster.agents[0]);
        format!("{}{:?} {:?}", self.namespace.run(&["get", "pods", "-o", path]), server.pid(), agent.pid())
    }

    /// Waits until the API shows a host's current address.
    fn until_published(&self, number: usize) {
        let (node, address) = (format!("node-{}", number + 1), self.hosts[number].address().to_string());
        let field = format!("spec.nodeName={node}");
        let internal = r#"jsonpath={.status.addresses[?(@.type=="InternalIP")].address}"#;
        let public = r"jsonpath={.metadata.annotations.ironhull\.io/public-ip}";
        let of_pod = "jsonpath={.items[0].status.hostIP}";
        let table: [&[&str]; 3] = [
            &["get", "node", &node, "-o", internal],
            &["get", "node", &node, "-o", public],
            &["get", "pods", "--field-selector", &field, "-o", of_pod],
        ];
        for arguments in table {
            self.namespace.until(&format!("{address} in kubectl {}", arguments.join(" ")), || {
                let seen =
                    output(&mut self.namespace.kubectl(arguments)).map_err(|error| error.to_string())?;
                // The host may have both families.
                if seen.split([',', ' ']).next() == Some(&address) { Ok(()) } else { Err(seen) }
            });
        }
    }

    /// A command in a pod, until it succeeds.
    fn until_exec(&self, pod: &Pod, script: &str) -> String {
        self.namespace.until(&format!("{script} in {}", pod.name), || {
            let mut exec = self.namespace.kubectl(&["exec", &pod.name, "--", "sh", "-c", script]);
            output(&mut exec).map_err(|error| error.to_string())
        })
    }

    /// Pods reach each other, the Service and the API server; hosts reach node ports; the API server reaches nodes.
    fn everything_works(&self) {
        let pods = self.pods();
        let port = self.namespace.field("service/web", ".spec.ports[0].nodePort");
        for (from, to) in [(&pods[0], &pods[1]), (&pods[1], &pods[0])] {
            let page = self.until_exec(from, &format!("timeout 5 wget -q -O - http://{}/", to.address));
            assert_eq!(page, format!("{} version 1\n", to.name));
            // By its name, until the endpoint on the other host has answered too.
            let script = format!(
                "for i in 1 2 3 4 5 6 7 8; do timeout 5 wget -q -O - http://web/; done | grep {}",
                to.name
            );
            self.until_exec(from, &script);
            self.until_exec(from, "timeout 5 nc kubernetes.default 443 </dev/null");
            self.namespace.until(&format!("the log of {}", from.name), || {
                output(&mut self.namespace.kubectl(&["logs", &from.name])).map_err(|error| error.to_string())
            });
        }
        for from in &self.hosts {
            for to in &self.hosts {
                let url = format!("http://{}:{port}/", to.address());
                self.namespace.until(&format!("{url} from {}", from.name()), || {
                    output(from.command("curl").args(["-sSf", "-m", "5", &url]))
                        .map_err(|error| error.to_string())
                });
            }
        }
    }
}

/// Sets the address of the server's name on the second host.
fn name_server([server, other]: &[Arc<Host>; 2]) {
    let script = format!("echo '127.0.0.1 localhost\n{} {SERVER_NAME}' > /etc/hosts", server.address());
    output(other.command("sh").args(["-ec", &script])).unwrap();
}

/// A host's routes to others.
fn ways(host: &Host) -> String {
    let script = "ip route show table all; ip -d link show type vxlan; bridge fdb show";
    output(host.command("sh").args(["-c", script])).unwrap()
}

fn running_hosts_change_their_addresses(backend: &str) {
    let pair = Pair::new(backend);
    pair.everything_works();
    let before = pair.identities();
    // First the agent's host, then the server's.
    for number in [1, 0] {
        let host = &pair.hosts[number];
        let old = format!("{} ", host.address());
        host.change_address().unwrap();
        name_server(&pair.hosts);
        pair.until_published(number);
        pair.everything_works();
        for host in &pair.hosts {
            pair.namespace.until(&format!("no {old} on {}", host.name()), || {
                let ways = ways(host);
                if ways.contains(&old) { Err(ways) } else { Ok(()) }
            });
        }
        assert_eq!(pair.identities(), before);
    }
    // The nodes keep running, and new pods start.
    for node in ["node/node-1", "node/node-2"] {
        pair.namespace.wait(node, "condition=Ready");
    }
    pair.namespace.run(&["delete", "pods", "--all", LIMIT]);
    pair.namespace.run(&["rollout", "status", "daemonset/web", LIMIT]);
    pair.everything_works();
    // The server's certificate is valid for its current address, which other machines learn.
    let server = pair.hosts[0].address();
    let ca = pair.namespace.cluster.server.data_dir().join("tls/server-ca.crt");
    let mut curl = pair.hosts[0].command("curl");
    curl.args(["-sSf", "-m", "10", "--cacert"]).arg(ca).arg(format!("https://{server}:6443/livez"));
    assert_eq!(output(&mut curl).unwrap_or_else(|error| panic!("{error:?}")), "ok");
    let known = pair.namespace.run(&["get", "endpointslice/kubernetes", "-n", "default", "-o", "yaml"]);
    assert!(known.contains(&format!("- {server}\n")), "{known}");
    let info = pair.namespace.run(&["get", "configmap/cluster-info", "-n", "kube-public", "-o", "yaml"]);
    assert!(info.contains(&format!("https://{server}:6443")), "{info}");
}
