use std::net::SocketAddr;
use std::time::Duration;

use hostnet::sysctl;
use hostnet::testing::{Greeter, ask_tcp, ask_udp, ip, link};
use tokio::net::UdpSocket;

use super::*;
use crate::host_port::Protocol;
use crate::ipam::IpamError;
use crate::preflight::PreflightError;
use crate::reset::{ResetError, reset};
use crate::testing::{once_free, refusal_once_free};

mod spoofing;

/// A host with an uplink to an outside host at 192.0.2.9 and fd99::9, which knows no route back to pods.
struct Host {
    host: NetNs,
    outside: NetNs,
    state: tempfile::TempDir,
}

impl Host {
    fn new() -> Host {
        let (host, outside) = (NetNs::create().unwrap(), NetNs::create().unwrap());
        link(&host, "192.0.2.1/24", &outside, "192.0.2.9/24", "up0");
        ip(&host, "addr add fd99::1/64 dev up0 nodad\n route add default via 192.0.2.9");
        ip(&outside, "addr add fd99::9/64 dev up0 nodad");
        Host { host, outside, state: tempfile::tempdir().unwrap() }
    }

    fn config(&self) -> LocalConfig {
        let net = |text: &str| text.parse::<IpNet>().unwrap();
        let mut config =
            LocalConfig::new(self.state.path(), vec![net("10.42.0.0/24")], vec![net("10.42.0.0/16")]);
        config.pod_subnets.push(net("fd42::/64"));
        config.cluster_subnets.push(net("fd42::/56"));
        config.service_subnets = vec![net("10.43.0.0/16")];
        config
    }
}

fn port(host_port: u16, protocol: Protocol) -> HostPort {
    HostPort { host_ip: None, host_port, container_port: 80, protocol }
}

fn at(address: impl Into<IpAddr>, port: u16) -> SocketAddr {
    SocketAddr::new(address.into(), port)
}

fn parsed(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn pods_reach_each_other_the_host_and_the_world() {
    let env = Host::new();
    let (a, b) = (NetNs::create().unwrap(), NetNs::create().unwrap());
    let world = Greeter::tcp(&env.outside, parsed("192.0.2.9:80"), "world");
    let world6 = Greeter::tcp(&env.outside, parsed("[fd99::9]:80"), "world6");
    env.host
        .block_on(|| async {
            // Settings of hosts that often break pods: strict reverse path filter, answers on the right link only.
            std::fs::write("/proc/sys/net/ipv4/conf/all/rp_filter", "1").unwrap();
            std::fs::write("/proc/sys/net/ipv4/conf/all/arp_ignore", "1").unwrap();
            let network = LocalNetwork::new(env.config()).await.unwrap();
            let pod_a = network.setup(&a.path(), "pod-a", &[]).await.unwrap();
            let pod_b = network.setup(&b.path(), "pod-b", &[]).await.unwrap();
            let server = Greeter::tcp(&b, parsed("0.0.0.0:80"), "b");
            let server6 = Greeter::tcp(&b, at(pod_b[1], 81), "b6");
            let host = Greeter::tcp(&env.host, parsed("192.0.2.1:80"), "host");
            let (b4, b6) = (at(pod_b[0], 80), at(pod_b[1], 81));
            let from_a = |address| a.run(move || ask_tcp(address));
            assert_eq!(from_a(b4).await.unwrap().unwrap(), format!("b {}", pod_a[0]));
            assert_eq!(from_a(b6).await.unwrap().unwrap(), format!("b6 {}", pod_a[1]));
            assert_eq!(ask_tcp(b4).await.unwrap(), "b 10.42.0.1");
            assert_eq!(from_a(parsed("192.0.2.1:80")).await.unwrap().unwrap(), format!("host {}", pod_a[0]));
            assert_eq!(from_a(parsed("192.0.2.9:80")).await.unwrap().unwrap(), "world 192.0.2.1");
            assert_eq!(from_a(parsed("[fd99::9]:80")).await.unwrap().unwrap(), "world6 fd99::1");
            // Packets to an unassigned address are refused at once instead of leaking to the uplink.
            let refused = from_a(parsed("10.42.0.99:80")).await.unwrap().unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::HostUnreachable);
            drop((server, server6, host));
        })
        .unwrap();
    drop((world, world6));
}

/// Sends from one port, again and again, until the answer satisfies the check.
async fn keep_asking(
    from: SocketAddr,
    to: SocketAddr,
    check: impl Fn(&io::Result<String>) -> bool,
) -> String {
    let socket = UdpSocket::bind(from).await.unwrap();
    socket.connect(to).await.unwrap();
    let ask = async {
        loop {
            let mut answer = [0; 256];
            let exchange = async {
                socket.send(b"?").await?;
                let count = socket.recv(&mut answer).await?;
                Ok(String::from_utf8_lossy(&answer[..count]).into_owned())
            };
            let answer = tokio::time::timeout(Duration::from_millis(100), exchange).await;
            let answer = answer.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
            if check(&answer) {
                return answer.unwrap_or_default();
            }
            // Refusals come at once.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), ask).await.expect("the answer comes in time")
}

/// A server on every address answers from the one that was asked, not from the gateway's.
#[test]
fn answers_of_the_hosts_udp_servers_reach_pods() {
    let env = Host::new();
    let pod = NetNs::create().unwrap();
    env.host
        .block_on(|| async {
            let network = LocalNetwork::new(env.config()).await.unwrap();
            let addresses = network.setup(&pod.path(), "pod", &[]).await.unwrap();
            let server = Greeter::udp(&env.host, parsed("[::]:53"), "host");
            // Another address of the host, the gateway's own, and both families; then the same again.
            ip(&env.host, "addr add 192.0.2.77/24 dev up0");
            for target in ["192.0.2.1:53", "192.0.2.77:53", "10.42.0.1:53", "[fd99::1]:53", "192.0.2.1:53"] {
                let (from, target) = (at(addresses[usize::from(target.starts_with('['))], 0), parsed(target));
                let answer = pod.run(move || keep_asking(from, target, Result::is_ok)).await.unwrap();
                assert!(answer.starts_with("host "), "{target}: {answer}");
            }
            drop(server);
        })
        .unwrap();
}

/// A client that sends on from one port reaches the pod that came later, and its successor.
#[test]
fn older_udp_flows_lead_to_host_ports() {
    let env = Host::new();
    let pods = [NetNs::create().unwrap(), NetNs::create().unwrap()];
    env.host
        .block_on(|| async {
            let network = LocalNetwork::new(env.config()).await.unwrap();
            let (from, target) = (parsed("192.0.2.9:5000"), parsed("192.0.2.1:8053"));
            let ask = |check: fn(&io::Result<String>) -> bool| {
                env.outside.run(move || keep_asking(from, target, check))
            };
            // Nobody listens, which the kernel keeps as a flow to the host itself.
            ask(Result::is_err).await.unwrap();
            for (number, pod) in pods.iter().enumerate() {
                let name = format!("pod-{number}");
                network.setup(&pod.path(), &name, &[port(8053, Protocol::Udp)]).await.unwrap();
                let server = Greeter::udp(pod, parsed("0.0.0.0:80"), &name);
                let answer = ask(Result::is_ok).await.unwrap();
                assert!(answer.starts_with(&name), "{answer}");
                drop(server);
                network.teardown(&name).await.unwrap();
                ask(Result::is_err).await.unwrap();
            }
        })
        .unwrap();
}

#[test]
fn host_ports_lead_to_pods_from_everywhere() {
    let env = Host::new();
    let (pod, other) = (NetNs::create().unwrap(), NetNs::create().unwrap());
    env.host
        .block_on(|| async {
            let network = LocalNetwork::new(env.config()).await.unwrap();
            let ports = [port(8080, Protocol::Tcp), port(8053, Protocol::Udp)];
            network.setup(&pod.path(), "pod", &ports).await.unwrap();
            network.setup(&other.path(), "other", &[]).await.unwrap();
            let tcp = Greeter::tcp(&pod, parsed("[::]:80"), "pod");
            let udp = Greeter::udp(&pod, parsed("0.0.0.0:80"), "pod");
            let says = |answer: io::Result<String>| answer.unwrap().split(' ').next().unwrap().to_owned();
            for address in
                ["192.0.2.1:8080", "127.0.0.1:8080", "127.0.0.5:8080", "10.42.0.1:8080", "[fd99::1]:8080"]
            {
                assert_eq!(says(ask_tcp(parsed(address)).await), "pod", "host to {address}");
            }
            assert_eq!(says(ask_udp(parsed("127.0.0.1:8053")).await), "pod");
            let target = parsed("192.0.2.1:8080");
            // From itself (hairpin), from another pod, from outside (whose address is kept).
            assert_eq!(says(pod.run(move || ask_tcp(target)).await.unwrap()), "pod");
            assert_eq!(says(other.run(move || ask_tcp(target)).await.unwrap()), "pod");
            let outside = env.outside.run(move || ask_tcp(target)).await.unwrap().unwrap();
            assert_eq!(outside, "pod ::ffff:192.0.2.9");
            let taken = network.setup(&other.path(), "other", &ports).await.unwrap_err();
            assert!(matches!(taken, NetworkError::Ipam(IpamError::HostPortTaken { .. })), "{taken}");
            network.teardown("pod").await.unwrap();
            assert_eq!(ask_tcp(target).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
            network.setup(&other.path(), "other", &ports).await.unwrap();
            drop((tcp, udp));
        })
        .unwrap();
}

#[test]
fn pods_of_former_subnets_can_go() {
    let env = Host::new();
    let (old, new) = (NetNs::create().unwrap(), NetNs::create().unwrap());
    env.host
        .block_on(|| async {
            let mut config = env.config();
            let network = LocalNetwork::new(config.clone()).await.unwrap();
            network.setup(&old.path(), "old", &[port(8080, Protocol::Tcp)]).await.unwrap();
            drop(network);
            // The Node was deleted and recreated, and another node had been given its range.
            config.pod_subnets = vec!["10.42.7.0/24".parse().unwrap()];
            let network = once_free(async || LocalNetwork::new(config.clone()).await).await;
            assert_eq!(
                network.setup(&new.path(), "new", &[]).await.unwrap(),
                ["10.42.7.2".parse::<IpAddr>().unwrap()]
            );
            network.teardown("old").await.unwrap();
            assert_eq!(network.sandboxes(), ["new"]);
            network.setup(&old.path(), "another", &[port(8080, Protocol::Tcp)]).await.unwrap();
        })
        .unwrap();
}

#[test]
fn queries_that_meet_no_dns_server_are_lost_rather_than_refused() {
    let env = Host::new();
    let pod = NetNs::create().unwrap();
    env.host
        .block_on(|| async {
            let network = LocalNetwork::new(env.config()).await.unwrap();
            network.setup(&pod.path(), "pod", &[]).await.unwrap();
            for gateway in ["10.42.0.1", "fd42::1"] {
                let gateway: IpAddr = gateway.parse().unwrap();
                let own = if gateway.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let ask = async move |port: u16| {
                    let socket = UdpSocket::bind(own).await?;
                    socket.connect((gateway, port)).await?;
                    socket.send(b"?").await?;
                    io::Result::Ok(socket)
                };
                // The kernel's error for a query arrives before the next query is handled. It is not always sent: then
                // both queries are repeated.
                let said = pod.run(async move || {
                    loop {
                        let (dns, other) = (ask(53).await?, ask(54).await?);
                        let mut buffer = [0; 9];
                        let answer = tokio::time::timeout(Duration::from_secs(1), other.recv(&mut buffer));
                        if let Ok(other) = answer.await {
                            let dns = dns.take_error()?.map(|error| error.kind());
                            return io::Result::Ok((other.map_err(|error| error.kind()), dns));
                        }
                    }
                });
                let said = said.await.unwrap().unwrap();
                assert_eq!(said, (Err(io::ErrorKind::ConnectionRefused), None), "{gateway}");
            }
        })
        .unwrap();
}

#[test]
fn a_restart_adopts_pods_and_reset_leaves_the_host_as_it_was() {
    let env = Host::new();
    let pod = NetNs::create().unwrap();
    env.host
        .block_on(|| async {
            let before = snapshot().await;
            let network = LocalNetwork::new(env.config()).await.unwrap();
            let addresses = network.setup(&pod.path(), "pod", &[port(8080, Protocol::Tcp)]).await.unwrap();
            assert!(matches!(LocalNetwork::new(env.config()).await, Err(NetworkError::InUse)));
            assert!(matches!(reset(env.state.path()).await, Err(ResetError::Local(NetworkError::InUse))));
            drop(network);

            let server = Greeter::tcp(&pod, parsed("0.0.0.0:80"), "pod");
            nft::delete_tables(&[("inet", "ironhull-pods")]).await.unwrap();
            let network = once_free(async || LocalNetwork::new(env.config()).await).await;
            assert_eq!(network.addresses("pod"), Some(addresses.clone()));
            assert_eq!(network.sandboxes(), ["pod"]);
            assert!(ask_tcp(parsed("127.0.0.1:8080")).await.unwrap().starts_with("pod "));
            assert_eq!(network.setup(&pod.path(), "pod", &[]).await.unwrap(), addresses, "a repeated set-up");
            assert!(ask_tcp(at(addresses[0], 80)).await.unwrap().starts_with("pod "));
            drop((network, server));

            let stranger = tempfile::tempdir().unwrap();
            let config = LocalConfig { state_dir: stranger.path().to_owned(), ..env.config() };
            let refused = refusal_once_free(async || LocalNetwork::new(config.clone()).await).await;
            let owner = format!("ironhull {}", env.state.path().display());
            assert!(
                matches!(&refused, NetworkError::BridgeTaken { owner: o, .. } if *o == owner),
                "{refused}"
            );
            once_free(async || reset(stranger.path()).await).await;
            once_free(async || reset(env.state.path()).await).await;
            assert_eq!(snapshot().await, before);
            assert_eq!(std::fs::read_dir(env.state.path()).unwrap().count(), 0);
        })
        .unwrap();
}

/// Links, addresses, routes, tables and settings of the calling thread's namespace.
async fn snapshot() -> Vec<String> {
    let mut all = vec![nft::output(&["list", "ruleset"]).await.unwrap()];
    for arguments in [["-br", "link"], ["-br", "addr"], ["-4", "route"], ["-6", "route"]] {
        let output = tokio::process::Command::new("ip").args(arguments).output().await.unwrap();
        all.push(String::from_utf8(output.stdout).unwrap());
    }
    for name in ["net/ipv4/ip_forward", "net/ipv4/conf/all/route_localnet", "net/ipv6/conf/all/forwarding"] {
        all.push(sysctl::read(name).unwrap());
    }
    all
}

#[test]
fn a_host_that_is_not_fit_is_told_so_before_anything_changes() {
    let env = Host::new();
    ip(&env.host, "route add 10.43.128.0/17 via 192.0.2.9");
    env.host
        .block_on(|| async {
            let before = snapshot().await;
            let error = LocalNetwork::new(env.config()).await.err().unwrap();
            assert!(matches!(error, NetworkError::Preflight(PreflightError::Overlap { .. })), "{error}");
            let mut config = env.config();
            config.service_subnets = vec!["10.42.128.0/24".parse().unwrap()];
            let error = preflight(&config).await.unwrap_err();
            assert!(matches!(error, PreflightError::SubnetsOverlap { .. }), "{error}");
            config.service_subnets.clear();
            config.pod_subnets = vec!["10.44.0.0/24".parse().unwrap()];
            let error = preflight(&config).await.unwrap_err();
            assert!(matches!(error, PreflightError::OutsideOfCluster { .. }), "{error}");
            config = env.config();
            config.service_subnets.clear();
            ip(&env.host, "link add ih0 type bridge");
            let error = refusal_once_free(async || LocalNetwork::new(config.clone()).await).await;
            assert!(matches!(error, NetworkError::BridgeTaken { .. }), "{error}");
            ip(&env.host, "link del ih0");
            assert_eq!(snapshot().await, before);
            assert_eq!(std::fs::read_dir(env.state.path()).unwrap().count(), 0);
        })
        .unwrap();
}

#[test]
fn many_pods_are_set_up_at_once_and_vanished_namespaces_are_torn_down() {
    let env = Host::new();
    let pods: Vec<NetNs> = (0..12).map(|_| NetNs::create().unwrap()).collect();
    env.host
        .block_on(|| async {
            let network = LocalNetwork::new(env.config()).await.unwrap();
            let setups = pods.iter().enumerate().map(|(number, pod)| {
                let (network, path) = (&network, pod.path());
                async move { network.setup(&path, &format!("pod-{number}"), &[]).await.unwrap() }
            });
            let addresses = futures::future::join_all(setups).await;
            let distinct: std::collections::BTreeSet<_> = addresses.iter().flatten().collect();
            assert_eq!(distinct.len(), 24);
            let error = network.setup(Path::new("/nonexistent"), "lost", &[]).await.unwrap_err();
            assert!(matches!(error, NetworkError::Namespace(_)), "{error}");
            drop(pods);
            for number in 0..12 {
                network.teardown(&format!("pod-{number}")).await.unwrap();
            }
            assert!(network.sandboxes().is_empty());
            reset(env.state.path()).await.unwrap_err();
        })
        .unwrap();
}

#[test]
fn rules_that_somebody_deletes_come_back() {
    let env = Host::new();
    let pod = NetNs::create().unwrap();
    env.host
        .block_on(|| async {
            let network = LocalNetwork::new(env.config()).await.unwrap();
            network.setup(&pod.path(), "pod", &[port(8080, Protocol::Tcp)]).await.unwrap();
            network.keep_source_towards([[192, 0, 2, 2].into()].into()).await.unwrap();
            let before = nft::output(&["list", "table", "inet", "ironhull-pods"]).await.unwrap();
            let harms = async {
                for harm in [
                    "delete table inet ironhull-pods",
                    "flush chain inet ironhull-pods postrouting",
                    "flush map inet ironhull-pods hostports4",
                    "flush set inet ironhull-pods nodes4",
                ] {
                    // Not with our own code, or it would be considered our own change.
                    let nft = nft::find_program("nft").unwrap();
                    let done = tokio::process::Command::new(nft).args(harm.split(' ')).status().await;
                    assert!(done.unwrap().success(), "{harm}");
                    let wait = async {
                        while nft::output(&["list", "table", "inet", "ironhull-pods"]).await.ok().as_ref()
                            != Some(&before)
                        {
                            tokio::task::yield_now().await;
                        }
                    };
                    let back = tokio::time::timeout(std::time::Duration::from_secs(60), wait).await.is_ok();
                    let now = nft::output(&["list", "table", "inet", "ironhull-pods"]).await;
                    assert!(back, "{harm}: {before}\nis now\n{now:?}");
                }
            };
            tokio::select! {
                // It listens before the first change.
                biased;
                kept = network.keep_rules() => panic!("{kept:?}"),
                () = harms => {}
            }
        })
        .unwrap();
}
