//! Network policy over informers, with real links: pods are namespaces on a node's pod network.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use hostnet::NetNs;
use hostnet::testing::{Greeter, ask_tcp, ask_udp, ask_udp_from, ip, link};
use ipnet::IpNet;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, sendto, socket};
use serde_json::{Value as Json, json};
use simulation::Apart;
use tokio::net::UdpSocket;

use super::*;
use crate::policy::testing::{NODE, policy, policy_key};
use crate::policy::{Policies, PolicyError};
use crate::{HostPort, LocalConfig, LocalNetwork, Protocol};

const TABLE: &str = "ironhull-policy";
/// How long rules may take to follow a change of objects, on a busy machine.
const SOON: Duration = Duration::from_secs(30);

/// A node (192.0.2.1) with its pod network, and a client outside of the cluster (192.0.2.9).
struct Node {
    host: NetNs,
    outside: NetNs,
    state: tempfile::TempDir,
    server: Apart,
}

/// The programs on the node; must be dropped in the node's namespace.
struct Running {
    network: LocalNetwork,
    policies: Arc<Policies>,
    task: tokio::task::JoinHandle<()>,
    informers: Informers,
}

/// A pod that answers on TCP and UDP 80 and 81.
struct Pod {
    netns: NetNs,
    addresses: Vec<IpAddr>,
    _servers: Vec<Greeter>,
}

impl Node {
    fn new() -> Node {
        let (host, outside) = (NetNs::create().unwrap(), NetNs::create().unwrap());
        link(&host, "192.0.2.1/24", &outside, "192.0.2.9/24", "up0");
        ip(&host, "addr add fd99::1/64 dev up0 nodad\n route add default via 192.0.2.9");
        ip(&outside, "addr add fd99::9/64 dev up0 nodad\n route add 10.42.0.0/24 via 192.0.2.1");
        let server = Apart::start();
        server.wait(async {
            for name in ["x", "y"] {
                server.create(&namespace(name)).await;
                server.open(name).await;
            }
        });
        Node { host, outside, state: tempfile::tempdir().unwrap(), server }
    }

    /// Starts the network and its policies, or starts them again.
    async fn start(&self) -> Running {
        let net = |text: &str| text.parse::<IpNet>().unwrap();
        let (pods, cluster) =
            (vec![net("10.42.0.0/24"), net("fd42::/64")], vec![net("10.42.0.0/16"), net("fd42::/56")]);
        let network = LocalNetwork::new(LocalConfig::new(self.state.path(), pods, cluster)).await.unwrap();
        let informers = Informers::new(self.server.client(simulation::network(NODE)));
        let policies = Arc::new(Policies::new(PolicyConfig::new(NODE, self.state.path()), &informers));
        let (running, leases) = (Arc::clone(&policies), network.leases());
        let task = tokio::spawn(async move { running.run(leases).await });
        Running { network, policies, task, informers }
    }

    async fn create_pod(&self, namespace: &str, name: &str) -> PodIdentity {
        let port = |name: &str, port: u16| json!({"name": name, "containerPort": port});
        let pod: k8s_openapi::api::core::v1::Pod = serde_json::from_value(json!({
            "metadata": {"namespace": namespace, "name": name, "labels": {"pod": name}},
            "spec": {"nodeName": NODE, "containers": [
                {"name": "c", "image": "app:1", "ports": [port("first", 80), port("second", 81)]},
            ]},
        }))
        .unwrap();
        let created = self.server.create(&pod).await;
        PodIdentity { uid: created.metadata.uid.unwrap(), ..ghost(namespace, name) }
    }

    async fn put_policy(&self, name: &str, spec: Json) {
        self.server.put(&policy("x", name, spec)).await;
    }
}

fn namespace(name: &str) -> Namespace {
    serde_json::from_value(json!({"metadata": {"name": name, "labels": {"ns": name}}})).unwrap()
}

/// A pod that does not exist.
fn ghost(namespace: &str, name: &str) -> PodIdentity {
    PodIdentity { namespace: namespace.to_owned(), name: name.to_owned(), uid: "ghost".to_owned() }
}

impl Running {
    /// Connects a pod as the node does.
    async fn connect(&self, pod: &PodIdentity, netns: &NetNs, ports: &[HostPort]) -> Vec<IpAddr> {
        let sandbox = &pod.name;
        let addresses = self.network.reserve(sandbox).unwrap();
        self.policies.attach(sandbox, pod, &addresses).await.unwrap();
        self.network.setup(&netns.path(), sandbox, ports).await.unwrap()
    }

    async fn pod(&self, node: &Node, namespace: &str, name: &str) -> Pod {
        self.pod_with(node, namespace, name, &[]).await
    }

    async fn pod_with(&self, node: &Node, namespace: &str, name: &str, ports: &[HostPort]) -> Pod {
        let pod = node.create_pod(namespace, name).await;
        let netns = NetNs::create().unwrap();
        let addresses = self.connect(&pod, &netns, ports).await;
        let any = |port: u16| SocketAddr::from(([0u16; 8], port));
        let servers = [80, 81].into_iter();
        let servers =
            servers.flat_map(|p| [Greeter::tcp(&netns, any(p), name), Greeter::udp(&netns, any(p), name)]);
        let servers = servers.collect();
        Pod { netns, addresses, _servers: servers }
    }
}

impl Pod {
    fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.addresses[0], port)
    }

    fn v6(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.addresses[1], port)
    }
}

async fn reaches(from: &NetNs, to: SocketAddr) -> bool {
    from.run(move || ask_tcp(to)).await.unwrap().is_ok()
}

async fn reaches_udp(from: &NetNs, to: SocketAddr) -> bool {
    from.run(move || ask_udp(to)).await.unwrap().is_ok()
}

/// Waits until a connection is allowed, or is not.
async fn becomes(allowed: bool, from: &NetNs, to: SocketAddr) {
    let wait = async { while reaches(from, to).await != allowed {} };
    tokio::time::timeout(SOON, wait).await.unwrap_or_else(|_| panic!("{to} does not become {allowed}"));
}

/// Whether a datagram of this socket is answered, after several tries if necessary: the machine may be busy.
async fn answers(socket: &UdpSocket, to: SocketAddr) -> bool {
    let wait = async { while ask_udp_from(socket, to).await.is_err() {} };
    tokio::time::timeout(SOON, wait).await.is_ok()
}

fn ingress(pods: Json, rules: Json) -> Json {
    json!({"podSelector": pods, "policyTypes": ["Ingress"], "ingress": rules})
}

fn egress(pods: Json, rules: Json) -> Json {
    json!({"podSelector": pods, "policyTypes": ["Egress"], "egress": rules})
}

fn of(label: &str, value: &str) -> Json {
    json!({"matchLabels": {label: value}})
}

#[test]
fn ingress_is_enforced_by_peer_port_and_family() {
    let node = Node::new();
    node.host
        .block_on(|| async {
            let running = node.start().await;
            let a = running.pod(&node, "x", "a").await;
            let (b, c) = (running.pod(&node, "x", "b").await, running.pod(&node, "y", "c").await);
            assert!(reaches(&b.netns, a.at(80)).await && reaches(&c.netns, a.v6(80)).await, "no policy");
            let ports =
                json!([{"port": 80}, {"port": "second"}, {"port": 80, "endPort": 81, "protocol": "UDP"}]);
            let from = json!([{"from": [{"namespaceSelector": of("ns", "y")}], "ports": ports}]);
            node.put_policy("p", ingress(of("pod", "a"), from)).await;
            becomes(false, &b.netns, a.at(80)).await;
            assert!(reaches(&c.netns, a.at(80)).await && reaches(&c.netns, a.v6(80)).await);
            assert!(reaches(&c.netns, a.at(81)).await && reaches(&c.netns, a.v6(81)).await, "by its name");
            assert!(reaches_udp(&c.netns, a.at(81)).await && reaches_udp(&c.netns, a.v6(80)).await);
            assert!(!reaches(&b.netns, a.v6(81)).await && !reaches_udp(&b.netns, a.at(80)).await);
            assert!(!reaches(&node.outside, a.at(80)).await, "from outside");
            assert!(reaches(&a.netns, b.at(80)).await, "what it opens itself, and the answers");
            for (to, port) in [(a.at(80), 80), (a.v6(81), 81)] {
                assert!(ask_tcp(to).await.is_ok(), "the node reaches its pods on {port}");
            }
            // A label of the namespace goes, and comes back.
            let label = json!({"metadata": {"labels": {"ns": null}}});
            node.server.patch::<Namespace>(&ObjectKey::cluster("y"), label).await;
            becomes(false, &c.netns, a.at(80)).await;
            node.server.put(&namespace("y")).await;
            becomes(true, &c.netns, a.at(80)).await;
            node.server.remove::<NetworkPolicy>(&policy_key(&policy("x", "p", json!({})))).await;
            becomes(true, &b.netns, a.v6(81)).await;
        })
        .unwrap();
}

#[test]
fn egress_is_enforced_behind_services_and_blocks() {
    let node = Node::new();
    let world = Greeter::tcp(&node.outside, "192.0.2.9:80".parse().unwrap(), "world");
    node.host
        .block_on(|| async {
            let running = node.start().await;
            let port =
                HostPort { host_ip: None, host_port: 8080, container_port: 80, protocol: Protocol::Tcp };
            let a = running.pod_with(&node, "x", "a", &[port]).await;
            let (b, c) = (running.pod(&node, "x", "b").await, running.pod(&node, "y", "c").await);
            // A Service of b and one of c.
            let (to_b, to_c) = (b.addresses[0], c.addresses[0]);
            let services = format!(
                "table ip test {{ chain prerouting {{ type nat hook prerouting priority dstnat; \
                 ip daddr 10.43.0.1 dnat to {to_b}; ip daddr 10.43.0.2 dnat to {to_c}; }}; }}"
            );
            nft::apply(&services).await.unwrap();
            let service_of_b: SocketAddr = "10.43.0.1:80".parse().unwrap();
            let service_of_c: SocketAddr = "10.43.0.2:80".parse().unwrap();
            let world_at: SocketAddr = "192.0.2.9:80".parse().unwrap();
            for to in [service_of_b, service_of_c, world_at] {
                assert!(reaches(&a.netns, to).await, "{to} without policies");
            }
            node.put_policy("p", egress(of("pod", "a"), json!([{"to": [{"podSelector": of("pod", "b")}]}])))
                .await;
            becomes(false, &a.netns, c.at(80)).await;
            assert!(reaches(&a.netns, b.at(80)).await && reaches(&a.netns, service_of_b).await);
            assert!(!reaches(&a.netns, service_of_c).await && !reaches(&a.netns, world_at).await);
            assert!(!reaches(&a.netns, c.v6(80)).await);
            assert!(reaches(&c.netns, a.at(80)).await, "what comes in is not isolated");
            // Itself, through the Service.
            assert!(reaches(&a.netns, "192.0.2.1:8080".parse().unwrap()).await, "hairpin");
            let block = json!({"cidr": "0.0.0.0/0", "except": [format!("{to_b}/32"), "203.0.113.0/24"]});
            node.put_policy(
                "p",
                egress(of("pod", "a"), json!([{"to": [{"ipBlock": block}], "ports": [{"port": 80}]}])),
            )
            .await;
            becomes(true, &a.netns, world_at).await;
            assert!(!reaches(&a.netns, b.at(80)).await && !reaches(&a.netns, service_of_b).await);
            assert!(reaches(&a.netns, c.at(80)).await && !reaches(&a.netns, c.at(81)).await);
            assert!(!reaches(&a.netns, c.v6(80)).await, "the block is of IPv4");
        })
        .unwrap();
    drop(world);
}

/// Sends datagrams from a new pod while it gets its link and a while longer, and returns how many arrived; some do in the end
/// if they may.
async fn first_packets(
    node: &Node,
    running: &Running,
    name: &str,
    to: &Pod,
    port: u16,
    may_arrive: bool,
) -> usize {
    let received = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&received);
    let netns = NetNs::open(&to.netns.path()).unwrap();
    let (ready, listens) = oneshot::channel();
    let listener = tokio::spawn(async move {
        netns
            .run(move || async move {
                let socket = UdpSocket::bind(("0.0.0.0", port)).await.unwrap();
                ready.send(()).unwrap();
                while socket.recv_from(&mut [0; 8]).await.is_ok() {
                    counted.fetch_add(1, Ordering::SeqCst);
                }
            })
            .await
    });
    listens.await.unwrap();
    let pod = node.create_pod("x", name).await;
    let netns = NetNs::create().unwrap();
    let target = SocketAddr::new(to.addresses[0], port);
    let connected = Arc::new(AtomicBool::new(false));
    let stands = Arc::clone(&connected);
    let sender = netns.run(move || async move {
        let socket = UdpSocket::bind("0.0.0.0:0").await.unwrap();
        let mut left = 300;
        while left > 0 {
            // There is no route out until the link is up.
            let is_sent = socket.send_to(b"?", target).await.is_ok();
            left -= usize::from(is_sent && stands.load(Ordering::SeqCst));
            tokio::task::yield_now().await;
        }
    });
    let connect = async {
        running.connect(&pod, &netns, &[]).await;
        connected.store(true, Ordering::SeqCst);
    };
    let (sent, ()) = tokio::join!(sender, connect);
    sent.unwrap();
    // The pod's first packets wait until it knows the other's link, so those that may arrive are waited for.
    let arrives = async {
        while received.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let patience = if may_arrive { Duration::from_secs(90) } else { Duration::from_secs(1) };
    let _ = tokio::time::timeout(patience, arrives).await;
    assert!(running.network.addresses(name).is_some() && ask_tcp(to.at(80)).await.is_ok());
    listener.abort();
    received.load(Ordering::SeqCst)
}

#[test]
fn rules_hold_from_the_first_packet() {
    let node = Node::new();
    node.host
        .block_on(|| async {
            let running = node.start().await;
            let a = running.pod(&node, "y", "a").await;
            assert!(first_packets(&node, &running, "free", &a, 7001, true).await > 0, "without policies");
            node.put_policy("p", egress(json!({}), json!([]))).await;
            assert_eq!(first_packets(&node, &running, "bound", &a, 7002, false).await, 0);
        })
        .unwrap();
}

#[test]
fn connections_that_were_allowed_go_on() {
    let node = Node::new();
    node.host
        .block_on(|| async {
            let running = node.start().await;
            let (a, b) = (running.pod(&node, "x", "a").await, running.pod(&node, "x", "b").await);
            let to = a.at(80);
            let socket =
                b.netns.run(|| async { UdpSocket::bind("0.0.0.0:0").await.unwrap().into_std().unwrap() });
            let socket = UdpSocket::from_std(socket.await.unwrap()).unwrap();
            assert!(answers(&socket, to).await, "a flow before the policy");
            node.put_policy("p", ingress(json!({}), json!([]))).await;
            becomes(false, &b.netns, to).await;
            assert!(!reaches_udp(&b.netns, to).await, "a new flow");
            assert!(answers(&socket, to).await, "the flow from before");
        })
        .unwrap();
}

#[test]
fn a_restart_and_tampering_leave_no_gap() {
    let node = Node::new();
    node.host
        .block_on(|| async {
            let running = node.start().await;
            let (a, b) = (running.pod(&node, "x", "a").await, running.pod(&node, "x", "b").await);
            node.put_policy("p", ingress(of("pod", "a"), json!([]))).await;
            becomes(false, &b.netns, a.at(80)).await;
            nft::delete_tables(&[("inet", "other")]).await.unwrap();
            // Another program on the host.
            let flushed =
                tokio::process::Command::new("nft").args(["flush", "ruleset"]).status().await.unwrap();
            assert!(flushed.success());
            becomes(false, &b.netns, a.at(80)).await;
            // The program ends; its rules stay. The pod's object is deleted, as by force.
            running.task.abort();
            drop(running);
            assert!(!reaches(&b.netns, a.at(80)).await);
            node.server.remove::<k8s_openapi::api::core::v1::Pod>(&ObjectKey::namespaced("x", "a")).await;
            let running = node.start().await;
            let later = running.pod(&node, "x", "later").await;
            for _ in 0..3 {
                assert!(!reaches(&b.netns, a.at(80)).await && !reaches(&later.netns, a.at(80)).await);
            }
            assert!(reaches(&b.netns, later.at(80)).await);
            running.policies.detach("a");
            running.network.teardown("a").await.unwrap();
            crate::policy::reset(TABLE).await.unwrap();
        })
        .unwrap();
}

#[test]
fn a_pod_that_the_server_never_told_of_gets_no_link() {
    let node = Node::new();
    node.host
        .block_on(|| async {
            let running = node.start().await;
            let config = PolicyConfig {
                attach_within: Duration::from_millis(50),
                ..PolicyConfig::new(NODE, node.state.path())
            };
            // These are not running, as if the server's answers took too long.
            let policies = Policies::new(config, &running.informers);
            let addresses = ["10.42.0.9".parse().unwrap()];
            let error = policies.attach("s", &ghost("x", "ghost"), &addresses).await.unwrap_err();
            let PolicyError::Late { namespace, name, .. } = &error;
            assert_eq!((namespace.as_str(), name.as_str()), ("x", "ghost"));
        })
        .unwrap();
}

/// The start of an SCTP association. The kernel here has no SCTP, but routes and tracks it.
fn sctp_init(port: u16) -> Vec<u8> {
    let mut packet = Vec::new();
    packet.extend(40_000u16.to_be_bytes());
    packet.extend(port.to_be_bytes());
    packet.extend([0; 8]);
    // Chunk INIT of 20 bytes: tag, window, streams out and in, first number.
    packet.extend([1, 0, 0, 20, 0, 0, 0, 7, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1]);
    let checksum = crc32c(&packet).to_le_bytes();
    packet[8..12].copy_from_slice(&checksum);
    packet
}

fn crc32c(bytes: &[u8]) -> u32 {
    let byte = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg()))
    };
    !bytes.iter().fold(!0, byte)
}

fn raw_sctp() -> std::os::fd::OwnedFd {
    socket(AddressFamily::Inet, SockType::Raw, SockFlag::SOCK_NONBLOCK, SockProtocol::Sctp).unwrap()
}

/// Sends the starts of associations to `ports` and returns those that arrive, up to the last, which must arrive.
async fn sctp(from: &NetNs, to: &Pod, ports: &'static [u16]) -> Vec<u16> {
    use std::os::fd::AsRawFd;
    let listener = to.netns.run(|| async { raw_sctp() }).await.unwrap();
    let IpAddr::V4(target) = to.addresses[0] else { panic!("the first family is IPv4") };
    from.run(move || async move {
        let sender = raw_sctp();
        let [a, b, c, d] = target.octets();
        for port in ports {
            let to = nix::sys::socket::SockaddrIn::new(a, b, c, d, 0);
            sendto(sender.as_raw_fd(), &sctp_init(*port), &to, MsgFlags::empty()).unwrap();
        }
    })
    .await
    .unwrap();
    let mut arrived = Vec::new();
    let wait = async {
        while arrived.last() != ports.last() {
            let mut buffer = [0; 128];
            match recv(listener.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                // Behind an IPv4 header without options.
                Ok(_) => arrived.push(u16::from_be_bytes([buffer[22], buffer[23]])),
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    let in_time = tokio::time::timeout(SOON, wait).await;
    assert!(in_time.is_ok(), "{arrived:?} of {ports:?}");
    arrived
}

/// Whether an echo request is answered.
async fn ping(from: &NetNs, to: &Pod, number: u8) -> bool {
    use std::os::fd::AsRawFd;
    let IpAddr::V4(target) = to.addresses[0] else { panic!("the first family is IPv4") };
    let ask = move || async move {
        let own =
            socket(AddressFamily::Inet, SockType::Raw, SockFlag::SOCK_NONBLOCK, SockProtocol::Icmp).unwrap();
        let [a, b, c, d] = target.octets();
        let to = nix::sys::socket::SockaddrIn::new(a, b, c, d, 0);
        // Type 8, its checksum, and the number that distinguishes connections.
        let request = [8, 0, 0xf7, 0xff - number, 0, number, 0, 0];
        sendto(own.as_raw_fd(), &request, &to, MsgFlags::empty()).unwrap();
        let answered = async {
            let mut buffer = [0; 64];
            while !recv(own.as_raw_fd(), &mut buffer, MsgFlags::empty()).is_ok_and(|_| buffer[20] == 0) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_millis(1500), answered).await.is_ok()
    };
    from.run(ask).await.unwrap()
}

#[test]
fn sctp_and_icmp_follow_the_rules() {
    let node = Node::new();
    node.host
        .block_on(|| async {
            let running = node.start().await;
            let (a, b) = (running.pod(&node, "x", "a").await, running.pod(&node, "x", "b").await);
            assert_eq!(sctp(&b.netns, &a, &[80, 81]).await, [80, 81]);
            assert!(ping(&b.netns, &a, 1).await);
            let rules = json!([{"ports": [{"port": 81, "protocol": "SCTP"}, {"port": 80}]}]);
            node.put_policy("p", ingress(of("pod", "a"), rules)).await;
            becomes(false, &b.netns, a.at(81)).await;
            assert_eq!(sctp(&b.netns, &a, &[80, 82, 81]).await, [81]);
            assert!(!ping(&b.netns, &a, 2).await);
            node.put_policy("p", ingress(of("pod", "a"), json!([{"from": [{"podSelector": {}}]}]))).await;
            becomes(true, &b.netns, a.at(81)).await;
            assert!(ping(&b.netns, &a, 3).await);
        })
        .unwrap();
}
