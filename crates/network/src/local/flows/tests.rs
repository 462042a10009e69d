use std::net::SocketAddr;
use std::time::Duration;

use hostnet::NetNs;
use hostnet::testing::{Greeter, ask_udp_from, ip, link};
use tokio::net::UdpSocket;

use super::*;
use crate::host_port::{HostPort, Protocol};
use crate::local::{LocalConfig, LocalNetwork};

fn parsed(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Asks by one flow until there is an answer: on a busy machine, one may take longer than [`ask_udp_from`] waits. Answers to
/// earlier attempts may still arrive in the socket.
async fn answer(socket: &UdpSocket, to: SocketAddr) -> String {
    let asked = async {
        loop {
            if let Ok(said) = ask_udp_from(socket, to).await {
                return said;
            }
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(90), asked).await;
    in_time.unwrap_or_else(|_| panic!("{to} does not answer"))
}

/// Asks in a pod, from a new socket.
async fn answer_in(pod: &NetNs, to: SocketAddr) -> String {
    let asked = pod.run(move || async move {
        let any: IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0u16; 8].into() };
        answer(&UdpSocket::bind((any, 0)).await.unwrap(), to).await
    });
    asked.await.unwrap()
}

/// How many flows connection tracking has from or to an address, translated or not.
fn flows_of(address: IpAddr) -> usize {
    let count = std::cell::Cell::new(0);
    let look = |flow: &hostnet::conntrack::Flow| {
        let ends =
            [flow.original.source, flow.original.destination, flow.reply.source, flow.reply.destination];
        count.set(count.get() + usize::from(ends.iter().any(|end| end.ip() == address)));
        false
    };
    hostnet::conntrack::end(address.is_ipv4(), address.is_ipv6(), look).unwrap();
    count.get()
}

#[test]
fn flows_end_with_their_pod_and_do_not_reach_the_next_one() {
    // A host with a way to another one, outside of the cluster.
    let (host, outside) = (NetNs::create().unwrap(), NetNs::create().unwrap());
    link(&host, "192.0.2.1/24", &outside, "192.0.2.9/24", "up0");
    ip(&host, "addr add fd99::1/64 dev up0 nodad");
    ip(&outside, "addr add fd99::9/64 dev up0 nodad");
    let state = tempfile::tempdir().unwrap();
    let pods: Vec<NetNs> = (0..3).map(|_| NetNs::create().unwrap()).collect();
    // Few addresses, so that they are reused.
    let subnets = ["10.42.0.0/29", "fd42::/125"].map(|subnet| subnet.parse().unwrap()).to_vec();
    let cluster = ["10.42.0.0/16", "fd42::/56"].map(|subnet| subnet.parse().unwrap()).to_vec();
    let config = LocalConfig::new(state.path(), subnets, cluster);
    let worlds = [
        Greeter::udp(&outside, parsed("192.0.2.9:53"), "world"),
        Greeter::udp(&outside, parsed("[fd99::9]:53"), "world"),
    ];
    // Clients that keep their ports, and therefore their flows.
    let client = |address: &'static str| {
        let bind = move || async move { UdpSocket::bind(address).await.unwrap().into_std().unwrap() };
        outside.block_on(bind).unwrap()
    };
    let clients = [client("192.0.2.9:7000"), client("[fd99::9]:7000")];
    let targets = [parsed("192.0.2.1:8053"), parsed("[fd99::1]:8053")];
    host.block_on(|| async {
        let network = LocalNetwork::new(config).await.unwrap();
        let clients = clients.map(|socket| UdpSocket::from_std(socket).unwrap());
        let ports =
            [HostPort { host_ip: None, host_port: 8053, container_port: 80, protocol: Protocol::Udp }];
        let first = network.setup(&pods[0].path(), "first", &ports).await.unwrap();
        let other = network.setup(&pods[1].path(), "other", &[]).await.unwrap();
        let server = Greeter::udp(&pods[0], parsed("[::]:80"), "first");
        for (client, target) in clients.iter().zip(targets) {
            let said = answer(client, target).await;
            assert!(said.starts_with("first "), "{said}");
        }
        for (pod, end) in [(0, "192.0.2.9:53"), (1, "192.0.2.9:53"), (0, "[fd99::9]:53"), (1, "[fd99::9]:53")]
        {
            let end = parsed(end);
            assert!(answer_in(&pods[pod], end).await.starts_with("world "));
        }
        let between = SocketAddr::new(first[1], 80);
        assert!(answer_in(&pods[1], between).await.starts_with("first "));
        // Translated at one end, at the other, and not at all.
        assert!(flows_of(first[0]) >= 2 && flows_of(first[1]) >= 3);
        let others = (flows_of(other[0]), flows_of(other[1]) - 1);
        drop(server);
        network.teardown("first").await.unwrap();
        assert_eq!((flows_of(first[0]), flows_of(first[1])), (0, 0));
        assert_eq!((flows_of(other[0]), flows_of(other[1])), others, "those of others stay");
        // Another pod gets the same addresses, but not late packets for the previous pod.
        let mut next = Vec::new();
        for number in 0..40 {
            let sandbox = format!("next-{number}");
            next = network.setup(&pods[2].path(), &sandbox, &[]).await.unwrap();
            if next == first {
                break;
            }
            network.teardown(&sandbox).await.unwrap();
        }
        assert_eq!(next, first);
        let server = Greeter::udp(&pods[2], parsed("[::]:80"), "next");
        for (client, target) in clients.iter().zip(targets) {
            // The first pod's late answers may still be in the socket; the next one must not answer.
            while let Ok(said) = ask_udp_from(client, target).await {
                assert!(said.starts_with("first "), "{said}");
            }
        }
        drop(server);
    })
    .unwrap();
    drop(worlds);
}
