//! Cluster DNS on several hosts: each uses its own server, or another host's if it has none.

use std::sync::Arc;

use libtest_mimic::Trial;
use testbed::{Agent, Host, Network, Server, output, until};

use crate::support::{PATIENCE, PROGRAM, timed_trial};

pub fn trials() -> Vec<Trial> {
    vec![timed_trial("dns_hosts::a_host_without_dns_asks_another", || {
        a_host_without_dns_asks_another();
        Ok(())
    })]
}

/// The API server's address by its name, asked of a server from a host.
fn resolves(host: &Host, server: &str) {
    until(&format!("an answer from {server} on {}", host.name()), PATIENCE, || {
        let mut ask = host.command("busybox");
        ask.args(["nslookup", "kubernetes.default.svc.cluster.local", server]);
        let answer = output(&mut ask).map_err(|error| error.to_string())?;
        if answer.contains("Address: 10.43.0.1\n") { Ok(()) } else { Err(answer) }
    })
    .unwrap_or_else(|error| panic!("{error:?}"));
}

/// The names of the slices, when they are as expected.
fn slices(server: &Server, expected: &[&str]) {
    let path = r#"jsonpath={range .items[*]}{.metadata.name}={.endpoints[0].conditions.ready} {end}"#;
    let selector = "--selector=kubernetes.io/service-name=kube-dns";
    until("the slices of kube-dns", PATIENCE, || {
        let mut get = server.kubectl(&["-n", "kube-system", "get", "endpointslices", selector, "-o", path]);
        let text = output(&mut get).map_err(|error| error.to_string())?;
        let mut found: Vec<&str> = text.split_whitespace().collect();
        found.sort_unstable();
        if found == expected { Ok(()) } else { Err(text) }
    })
    .unwrap_or_else(|error| panic!("{error:?}"));
}

fn a_host_without_dns_asks_another() {
    let network = Network::new().unwrap();
    let host = |name| Arc::new(Host::on(&network, name).unwrap());
    let (first, second) = (host("node-1"), host("node-2"));
    let flags = ["--cluster-cidr=10.42.0.0/16,fd42::/56", "--service-cidr=10.43.0.0/16,fd43::/112"];
    let server = Server::start(&first, PROGRAM, &flags).unwrap_or_else(|error| panic!("{error:?}"));
    let token = std::fs::read_to_string(server.data_dir().join("agent-token")).unwrap();
    let agent = Agent::start(&second, PROGRAM, &server.url(), token.trim(), &[]).unwrap();
    server.wait_node("node-2").unwrap_or_else(|error| panic!("{error:?}\n--- agent\n{}", agent.log()));
    let all = [
        "kube-dns-ipv4-node-1=true",
        "kube-dns-ipv4-node-2=true",
        "kube-dns-ipv6-node-1=true",
        "kube-dns-ipv6-node-2=true",
    ];
    slices(&server, &all);
    for host in [&first, &second] {
        for address in ["10.43.0.10", "fd43::a"] {
            resolves(host, address);
        }
    }

    // Before an agent stops, it has its host's queries redirected to another host's server.
    agent.stop().unwrap();
    for address in ["10.43.0.10", "fd43::a"] {
        let mut ask = second.command("busybox");
        let answer = output(ask.args(["nslookup", "kubernetes.default.svc.cluster.local", address])).unwrap();
        assert!(answer.contains("Address: 10.43.0.1\n"), "{answer}");
    }

    // The same while a host has no server of its own.
    agent.set_flags(&["--server", &server.url(), "--disable", "dns"]);
    agent.start_again().unwrap();
    slices(&server, &[all[0], all[2]]);
    for address in ["10.43.0.10", "fd43::a"] {
        resolves(&second, address);
    }

    // A deleted Node's endpoints are deleted with it.
    agent.stop().unwrap();
    agent.set_flags(&["--server", &server.url()]);
    agent.start_again().unwrap();
    slices(&server, &all);
    agent.stop().unwrap();
    output(&mut server.kubectl(&["delete", "node", "node-2"])).unwrap();
    slices(&server, &[all[0], all[2]]);
}
