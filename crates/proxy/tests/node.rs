//! Pod network, service proxy and cluster DNS of one node together, in network namespaces (needs root).

#![expect(clippy::unwrap_used, reason = "helpers of a test")]

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dns::{DnsConfig, Index, Resolver, Server, Zone};
use hickory_proto::op::{Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Name, RecordType};
use hostnet::NetNs;
use hostnet::testing::{Greeter, ask_tcp, ip, link};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use network::{HostPort, LocalConfig, LocalNetwork, Protocol};
use proxy::{Proxier, ProxyConfig, ServiceKey};
use serde_json::json;
use tokio::net::UdpSocket;

const NODE: &str = "node-1";

/// A Service `default/NAME` with one port, and its only slice.
struct Published {
    key: ServiceKey,
    service: Arc<Service>,
    slice: Arc<EndpointSlice>,
}

fn publish(
    name: &str,
    address: &str,
    protocol: &str,
    port: u16,
    node_port: Option<u16>,
    to: &[SocketAddr],
) -> Published {
    let mut ports = json!([{"port": port, "protocol": protocol}]);
    if let Some(node_port) = node_port {
        ports[0]["nodePort"] = node_port.into();
    }
    let spec = json!({
        "clusterIP": address, "clusterIPs": [address], "internalTrafficPolicy": "Local", "ports": ports,
    });
    let service = json!({"metadata": {"name": name, "namespace": "default"}, "spec": spec});
    let endpoints: Vec<_> = to
        .iter()
        .map(|to| json!({"addresses": [to.ip()], "nodeName": NODE, "conditions": {"ready": true}}))
        .collect();
    let slice = json!({
        "metadata": {"name": name, "namespace": "default", "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4", "endpoints": endpoints,
        "ports": [{"name": "", "port": to[0].port(), "protocol": protocol}],
    });
    Published {
        key: ServiceKey::new("default", name),
        service: Arc::new(serde_json::from_value(service).unwrap()),
        slice: Arc::new(serde_json::from_value(slice).unwrap()),
    }
}

async fn start_network(state: &Path) -> LocalNetwork {
    // Settings of hosts on which pods often fail: strict filters, and bridges that pass packets by the rules.
    for (setting, value) in [
        ("ipv4/conf/all/rp_filter", "1"),
        ("ipv4/conf/default/rp_filter", "1"),
        ("ipv4/conf/all/arp_ignore", "1"),
        ("bridge/bridge-nf-call-iptables", "0"),
    ] {
        // Not every kernel has `br_netfilter`, which is the point.
        let _ = std::fs::write(format!("/proc/sys/net/{setting}"), value);
    }
    let subnet = |text: &str| text.parse().unwrap();
    LocalNetwork::new(LocalConfig::new(state, vec![subnet("10.42.0.0/24")], vec![subnet("10.42.0.0/16")]))
        .await
        .unwrap()
}

/// Serves DNS on the gateway, and knows the Service `default/web`.
async fn start_dns(gateway: IpAddr, web: &Published) -> SocketAddr {
    let server = Server::bind(&[SocketAddr::new(gateway, 0)]).await.unwrap();
    let address = server.addresses().unwrap()[0];
    let mut index = Index::new();
    index.service_changed(&dns::ServiceKey::new("default", "web"), Some(Arc::clone(&web.service)));
    index.publish();
    let config = DnsConfig::new(Zone::new("cluster.local", Vec::new()).unwrap(), vec![gateway]);
    let resolver = Arc::new(Resolver::over(config, &index, clock::Clock::system()));
    tokio::spawn(server.run(resolver));
    address
}

/// The answer of the cluster's name server for `default/web`, asked from the calling thread's namespace.
async fn resolve_web() -> String {
    let mut request = Message::new(7, MessageType::Query, OpCode::Query);
    let name = Name::from_ascii("web.default.svc.cluster.local.").unwrap();
    request.add_query(Query::query(name, RecordType::A));
    let socket = UdpSocket::bind("0.0.0.0:0").await.unwrap();
    socket.connect("10.43.0.10:53").await.unwrap();
    socket.send(&request.to_vec().unwrap()).await.unwrap();
    let mut buffer = [0; 512];
    let answer = tokio::time::timeout(Duration::from_secs(5), socket.recv(&mut buffer));
    let length = answer.await.expect("an answer of the cluster's name server").unwrap();
    Message::from_vec(&buffer[..length]).unwrap().answers[0].data.to_string()
}

#[test]
fn pods_find_and_reach_services_of_their_own_node() {
    let (host, outside) = (NetNs::create().unwrap(), NetNs::create().unwrap());
    let state = tempfile::tempdir().unwrap();
    link(&host, "192.0.2.1/24", &outside, "192.0.2.9/24", "up0");
    ip(&host, "route add default via 192.0.2.9");
    let pods: Vec<NetNs> = (0..3).map(|_| NetNs::create().unwrap()).collect();
    let work = || async {
        let network = start_network(state.path()).await;
        let mut targets = Vec::new();
        let mut servers = Vec::new();
        for (number, pod) in pods.iter().enumerate() {
            let host_port =
                HostPort { host_ip: None, host_port: 8080, container_port: 80, protocol: Protocol::Tcp };
            let host_ports = if number == 0 { vec![host_port] } else { Vec::new() };
            let addresses = network.setup(&pod.path(), &format!("pod-{number}"), &host_ports).await.unwrap();
            targets.push(SocketAddr::new(addresses[0], 80));
            servers.push(Greeter::tcp(pod, "0.0.0.0:80".parse().unwrap(), &number.to_string()));
        }
        let web = publish("web", "10.43.0.5", "TCP", 80, Some(30080), &targets);
        let gateway = network.config().gateways().next().unwrap();
        let dns = publish("dns", "10.43.0.10", "UDP", 53, None, &[start_dns(gateway, &web).await]);
        let mut proxier = Proxier::new(&ProxyConfig::new(NODE, vec!["10.42.0.0/16".parse().unwrap()]));
        for published in [&web, &dns] {
            proxier.service_changed(&published.key, Some(Arc::clone(&published.service)));
            proxier.endpoint_slice_changed(&published.key, Some(Arc::clone(&published.slice)));
        }
        proxier.sync().await.unwrap();
        assert_eq!(resolve_web().await, "10.43.0.5", "from the host");
        for pod in &pods {
            assert_eq!(pod.run(resolve_web).await.unwrap(), "10.43.0.5");
            // Thirty connections of each pod also reach itself.
            for address in ["10.43.0.5:80", "192.0.2.1:30080"] {
                let address: SocketAddr = address.parse().unwrap();
                let ask = move || async move {
                    let mut seen = std::collections::BTreeSet::new();
                    for _ in 0..30 {
                        seen.extend(ask_tcp(address).await.unwrap().chars().next());
                    }
                    seen
                };
                assert_eq!(pod.run(ask).await.unwrap().len(), 3, "{address}");
            }
            let host_port: SocketAddr = "192.0.2.1:8080".parse().unwrap();
            assert!(pod.run(move || ask_tcp(host_port)).await.unwrap().unwrap().starts_with("0 "));
        }
        let node_port: SocketAddr = "192.0.2.1:30080".parse().unwrap();
        outside.run(move || ask_tcp(node_port)).await.unwrap().unwrap();
        assert!(ask_tcp("127.0.0.1:30080".parse().unwrap()).await.is_ok());
        drop((servers, network));
        proxy::reset("ironhull-services", Path::new("/nonexistent")).await.unwrap();
        network::reset(state.path()).await.unwrap();
        assert_eq!(hostnet::nft::output(&["list", "ruleset"]).await.unwrap(), "");
    };
    host.block_on(work).unwrap();
}
