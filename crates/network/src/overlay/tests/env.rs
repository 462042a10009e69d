//! A cluster of namespaces.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use client::Informers;
use hostnet::NetNs;
use hostnet::testing::{Greeter, ask_tcp, ip};
use k8s_openapi::api::core::v1::Node;
use object::ObjectKey;
use serde_json::json;
use simulation::Apart;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::backend_type::BackendType;
use crate::overlay::{OverlayConfig, run};
pub(super) use crate::testing::eventually;
use crate::testing::once_free;
use crate::{LocalConfig, LocalNetwork};

/// Nodes on a common link. Node `n` has 192.0.2.`n` and fd99::`n`, and pods of 10.42.`n`.0/24 and fd42:0:0:`n`::/64.
pub(super) struct Cluster {
    pub(super) server: Apart,
    pub(super) underlay: NetNs,
    pub(super) nodes: Vec<TestNode>,
    pub(super) backend: watch::Sender<BackendType>,
    /// Whether the nodes' first addresses, which carry tunnels, are of IPv6.
    over_ipv6: bool,
}

pub(super) struct TestNode {
    pub(super) name: String,
    pub(super) host: NetNs,
    pub(super) pods: Vec<NetNs>,
    pub(super) state: tempfile::TempDir,
    number: usize,
    running: Option<Running>,
}

struct Running {
    stop: CancellationToken,
    thread: std::thread::JoinHandle<()>,
}

impl Cluster {
    pub(super) fn new(backend: BackendType, nodes: usize) -> Cluster {
        Cluster::over(backend, nodes, false)
    }

    pub(super) fn over(backend: BackendType, nodes: usize, over_ipv6: bool) -> Cluster {
        let underlay = NetNs::create().unwrap();
        ip(&underlay, "link add br0 type bridge mcast_snooping 0\n link set br0 up\n link set lo up");
        let mut cluster = Cluster {
            server: Apart::start(),
            underlay,
            nodes: Vec::new(),
            backend: watch::Sender::new(backend),
            over_ipv6,
        };
        for number in 1..=nodes {
            cluster.add_node(number);
        }
        cluster
    }

    /// Adds a node with one pod and starts it.
    pub(super) fn add_node(&mut self, number: usize) {
        let host = NetNs::create().unwrap();
        let name = format!("node{number}");
        let path = host.path();
        ip(&self.underlay, &format!("link add up{number} type veth peer name up0 netns {}", path.display()));
        ip(&self.underlay, &format!("link set up{number} master br0 up"));
        host.block_on(|| async {
            // Strict reverse path filters, which often break routed pods.
            for link in ["all", "default", "up0"] {
                std::fs::write(format!("/proc/sys/net/ipv4/conf/{link}/rp_filter"), "1").unwrap();
            }
        })
        .unwrap();
        ip(
            &host,
            &format!(
                "link set lo up\n addr add 192.0.2.{number}/24 dev up0\n addr add fd99::{number}/64 dev up0 nodad\n
                 link set up0 up\n route add default via 192.0.2.254\n -6 route add default via fd99::fe"
            ),
        );
        self.create_node(number, number, json!({}));
        let pods = vec![NetNs::create().unwrap()];
        let mut node =
            TestNode { name, host, pods, state: tempfile::tempdir().unwrap(), number, running: None };
        node.start(self);
        self.nodes.push(node);
    }

    /// Registers node `number` with the subnets of the number `subnet`, as the control plane does.
    pub(super) fn create_node(&self, number: usize, subnet: usize, annotations: serde_json::Value) {
        let name = format!("node{number}");
        let cidrs = [format!("10.42.{subnet}.0/24"), format!("fd42:0:0:{subnet}::/64")];
        let node: Node = serde_json::from_value(json!({
            "metadata": {"name": name, "annotations": annotations},
            "spec": {"podCIDR": cidrs[0], "podCIDRs": cidrs},
        }))
        .unwrap();
        self.server.wait(self.server.create(&node));
    }

    /// Asks a server in a pod of `to` from a pod of `from` until it answers; the answer is the client's address.
    pub(super) fn seen(&self, from: usize, to: usize, ipv4: bool) -> String {
        let server = Greeter::tcp(&self.nodes[to].pods[0], "[::]:80".parse().unwrap(), "pod");
        let answer = answer(&self.nodes[from].pods[0], SocketAddr::new(self.nodes[to].pod_ip(ipv4), 80));
        drop(server);
        answer
    }

    pub(super) fn annotation(&self, node: usize, name: &str) -> Option<String> {
        let key = ObjectKey::cluster(self.nodes[node].name.as_str());
        let node = self.server.wait(self.server.find::<Node>(&key))?;
        node.metadata.annotations?.get(name).cloned()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.nodes.iter_mut().for_each(TestNode::stop);
    }
}

impl TestNode {
    /// The address of its first pod.
    pub(super) fn pod_ip(&self, ipv4: bool) -> IpAddr {
        let number = self.number;
        let text = if ipv4 { format!("10.42.{number}.2") } else { format!("fd42:0:0:{number}::2") };
        text.parse().unwrap()
    }

    pub(super) fn config(&self) -> LocalConfig {
        let number = self.number;
        let net = |text: String| text.parse().unwrap();
        let subnets = vec![net(format!("10.42.{number}.0/24")), net(format!("fd42:0:0:{number}::/64"))];
        let cluster = vec![net("10.42.0.0/16".to_owned()), net("fd42::/48".to_owned())];
        LocalConfig::new(self.state.path(), subnets, cluster)
    }

    /// Starts the node's network, and waits until its pods have their addresses.
    pub(super) fn start(&mut self, cluster: &Cluster) {
        let stop = CancellationToken::new();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let host = NetNs::open(&self.host.path()).unwrap();
        let pods: Vec<_> = self.pods.iter().map(NetNs::path).collect();
        let mut node_ips: Vec<IpAddr> = vec![
            format!("192.0.2.{}", self.number).parse().unwrap(),
            format!("fd99::{}", self.number).parse().unwrap(),
        ];
        if cluster.over_ipv6 {
            node_ips.reverse();
        }
        let node_ips = watch::Sender::new(node_ips).subscribe();
        let overlay = OverlayConfig { node_name: self.name.clone(), node_ips, mtu: None };
        let (config, backend) = (self.config(), cluster.backend.subscribe());
        let client = cluster.server.client(simulation::node(&self.name));
        let informers = Informers::new(cluster.server.client(simulation::network(&self.name)));
        let stopped = stop.clone();
        let work = move || async move {
            let network = Arc::new(once_free(async || LocalNetwork::new(config.clone()).await).await);
            for (number, pod) in pods.iter().enumerate() {
                network.setup(pod, &format!("pod{number}"), &[]).await.unwrap();
            }
            ready.send(()).unwrap();
            tokio::select! {
                () = run(overlay, backend, network, client, &informers) => {}
                () = stopped.cancelled() => {}
            }
        };
        let thread = std::thread::spawn(move || host.block_on(work).unwrap());
        is_ready.recv().expect("the node's network stands");
        self.running = Some(Running { stop, thread });
    }

    /// Stops the agent. Its pods and everything that it created stay.
    pub(super) fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop.cancel();
            // A panic of the node was reported by its own thread.
            let _ = running.thread.join();
        }
    }

    /// The output of an iproute2 command in the node's namespace.
    pub(super) fn output(&self, program: &str, arguments: &str) -> String {
        output(&self.host, program, arguments)
    }

    /// Waits until the command's output satisfies a condition.
    pub(super) fn wait(&self, program: &str, arguments: &str, what: impl Fn(&str) -> bool) {
        eventually(&format!("{}: {program} {arguments}", self.name), || {
            let output = self.output(program, arguments);
            if what(&output) { Ok(()) } else { Err(output) }
        });
    }
}

pub(super) fn output(namespace: &NetNs, program: &str, arguments: &str) -> String {
    let run = || async {
        let output = std::process::Command::new(program).args(arguments.split_whitespace()).output();
        String::from_utf8(output.expect("iproute2 is installed").stdout).unwrap()
    };
    namespace.block_on(run).unwrap()
}

/// Asks until there is an answer; returns the client's address as the server saw it.
pub(super) fn answer(client: &NetNs, address: SocketAddr) -> String {
    let answer = eventually(&address.to_string(), || {
        client.block_on(|| ask_tcp(address)).unwrap().map_err(|error| error.to_string())
    });
    answer.split(' ').nth(1).unwrap().trim_start_matches("::ffff:").to_owned()
}

/// Asks until the server sees the client with the expected address.
pub(super) fn seen_as(client: &NetNs, address: &str, expected: &str) {
    let address = address.parse().unwrap();
    eventually(&format!("{address} sees {expected}"), || {
        let seen = answer(client, address);
        if seen == expected { Ok(()) } else { Err(seen) }
    });
}
