//! Other programs' firewalls that may drop pods' traffic, and how to let it through.
//!
//! A packet must pass every table. If another table drops it, none of our rules can help; so this is reported.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use hostnet::nft::{self, NftError};
use ipnet::IpNet;
use serde_json::Value;

use super::COMMENT;

/// A chain that drops everything it does not accept, in a table that accepts no packets of pods.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Obstacle {
    /// Family, table and chain.
    chain: String,
    /// Rules that let pods through, each in nft's syntax.
    cures: Vec<String>,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cures: Vec<String> = self.cures.iter().map(|cure| format!("nft '{cure}'")).collect();
        write!(
            f,
            "the chain {} of another firewall drops everything it does not accept, and nothing in its table \
                accepts the pods' packets: let them through in that firewall's configuration, or try {}",
            self.chain,
            cures.join("; ")
        )
    }
}

/// The traffic that must pass.
#[derive(Debug)]
pub(crate) struct Wanted<'w> {
    /// The networks of pods.
    pub(crate) pods: &'w [IpNet],
    /// The node's address that carries a tunnel, and the tunnel's UDP port.
    pub(crate) tunnel: Option<(IpAddr, u16)>,
}

impl Wanted<'_> {
    /// The matches that a chain at `hook`, in a table of `family`, must accept.
    fn matches(&self, family: &str, hook: &str) -> Vec<String> {
        let concerns = |ipv4: bool| family == "inet" || family == if ipv4 { "ip" } else { "ip6" };
        let mut matches = Vec::new();
        for network in self.pods.iter().filter(|network| concerns(network.addr().is_ipv4())) {
            let ip = if network.addr().is_ipv4() { "ip" } else { "ip6" };
            matches.push(format!("{ip} saddr {network}"));
            if hook == "forward" {
                matches.push(format!("{ip} daddr {network}"));
            }
        }
        if let (Some((address, port)), "input") = (self.tunnel, hook)
            && concerns(address.is_ipv4())
        {
            matches.push(format!("udp dport {port}"));
        }
        matches
    }
}

/// The chains of other programs that may drop pods' traffic. Whether a rule applies is decided by its text only.
pub(crate) async fn find(wanted: &Wanted<'_>) -> Result<BTreeSet<Obstacle>, NftError> {
    let mut found = BTreeSet::new();
    let listed = nft::output(&["-j", "list", "chains"]).await?;
    let listed: Value = serde_json::from_str(&listed).unwrap_or_default();
    let chains = listed["nftables"].as_array().into_iter().flatten().map(|entry| &entry["chain"]);
    for chain in chains.filter(|chain| chain["policy"] == "drop") {
        let text = |field: &str| chain[field].as_str().unwrap_or_default();
        let (family, table, name, hook) = (text("family"), text("table"), text("name"), text("hook"));
        // For iptables' forward chain, our rules there let packets through.
        let is_opened = family != "inet" && (table, name) == ("filter", "FORWARD");
        if !matches!(hook, "forward" | "input") || is_opened {
            continue;
        }
        let matches = wanted.matches(family, hook);
        if matches.is_empty() {
            continue;
        }
        // It may be removed in the meantime.
        let Ok(rules) = nft::output(&["list", "table", family, table]).await else { continue };
        // Our own rules are where packets are forwarded, and help nowhere else.
        let counts = |rule: &&str| hook == "forward" || !rule.contains(COMMENT);
        let accepts = |wanted: &String| {
            let mut rules = rules.lines().filter(counts);
            rules.any(|rule| rule.contains(wanted.as_str()) && rule.contains("accept"))
        };
        let cures: Vec<String> = matches
            .iter()
            .filter(|wanted| !accepts(wanted))
            .map(|wanted| format!("insert rule {family} {table} {name} {wanted} accept"))
            .collect();
        if !cures.is_empty() {
            found.insert(Obstacle { chain: format!("{family} {table} {name}"), cures });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use hostnet::NetNs;
    use hostnet::testing::{Greeter, ask_tcp, link};

    use std::time::Duration;

    use tokio::sync::watch;

    use super::*;
    use crate::backend_type::BackendType;
    use crate::{LocalConfig, LocalNetwork};

    #[test]
    fn firewalls_that_drop_are_found_and_their_cures_work() {
        let (host, one, two) = (NetNs::create().unwrap(), NetNs::create().unwrap(), NetNs::create().unwrap());
        for (number, pod) in [(1, &one), (2, &two)] {
            link(
                &host,
                &format!("10.42.{number}.1/24"),
                pod,
                &format!("10.42.{number}.2/24"),
                &format!("pod{number}"),
            );
            hostnet::testing::ip(pod, &format!("route add default via 10.42.{number}.1"));
        }
        let server = Greeter::tcp(&two, "10.42.2.2:80".parse().unwrap(), "two");
        let pods = ["10.42.0.0/16", "fd42::/48"].map(|network| network.parse().unwrap());
        let wanted = Wanted { pods: &pods, tunnel: Some(("192.0.2.1".parse().unwrap(), 8472)) };
        host.block_on(|| async {
            std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
            let ask = async || one.run(|| ask_tcp("10.42.2.2:80".parse().unwrap())).await.unwrap();
            assert!(ask().await.is_ok());
            let harmless = "table inet calm { chain forward { type filter hook forward priority 0; policy accept; }; \
                            chain nowhere { }; chain output { type filter hook output priority 0; policy drop; }; }";
            nft::apply(harmless).await.unwrap();
            assert_eq!(find(&wanted).await.unwrap(), BTreeSet::new());
            let firewall = "table inet fence { chain in { type filter hook input priority 0; policy drop; \
                            ct state established accept; }; chain out { type filter hook forward priority 0; policy drop; }; }\n\
                            table ip6 six { chain forward { type filter hook forward priority 0; policy drop; }; }";
            nft::apply(firewall).await.unwrap();
            assert!(ask().await.is_err());
            let found = find(&wanted).await.unwrap();
            let chains: Vec<&str> = found.iter().map(|obstacle| obstacle.chain.as_str()).collect();
            assert_eq!(chains, ["inet fence in", "inet fence out", "ip6 six forward"]);
            let cures: Vec<&String> = found.iter().flat_map(|obstacle| &obstacle.cures).collect();
            assert_eq!(cures.len(), 3 + 4 + 2, "{cures:?}");
            assert!(cures.iter().any(|cure| cure.ends_with("in udp dport 8472 accept")), "{cures:?}");
            let told = found.first().unwrap().to_string();
            assert!(told.contains("nft 'insert rule inet fence in ip saddr 10.42.0.0/16 accept'"), "{told}");
            for cure in cures {
                nft::apply(cure).await.unwrap();
            }
            assert_eq!(find(&wanted).await.unwrap(), BTreeSet::new());
            assert!(ask().await.is_ok());
        })
        .unwrap();
        drop(server);
    }

    #[test]
    fn firewalls_that_come_later_are_opened_or_told_of() {
        let host = NetNs::create().unwrap();
        hostnet::testing::ip(&host, "link set lo up");
        let state = tempfile::tempdir().unwrap();
        host.block_on(|| async {
            let subnets = ["10.42.0.0/24", "10.42.0.0/16"].map(|network| vec![network.parse().unwrap()]);
            let [pods, cluster] = subnets;
            let network = LocalNetwork::new(LocalConfig::new(state.path(), pods, cluster)).await.unwrap();
            let (sender, mut told) = tokio::sync::mpsc::unbounded_channel();
            let backend = watch::Sender::new(BackendType::Vxlan);
            let tell = |obstacle: &Obstacle| sender.send(obstacle.chain.clone()).unwrap();
            let work = async {
                // As Docker and a careful administrator configure it.
                let docker = "table ip filter { chain FORWARD { type filter hook forward priority 0; policy drop; }; \
                              chain INPUT { type filter hook input priority 0; policy drop; }; }";
                let mut nft = std::process::Command::new("nft");
                assert!(nft.arg(docker).status().unwrap().success());
                assert_eq!(told.recv().await.unwrap(), "ip filter INPUT");
                let listed = async || nft::output(&["list", "chain", "ip", "filter", "FORWARD"]).await.unwrap();
                while listed().await.matches("ironhull pods").count() != 2 {
                    tokio::task::yield_now().await;
                }
            };
            let node_ip = "192.0.2.1".parse().unwrap();
            let limit = Duration::from_secs(60);
            tokio::select! {
                ended = network.watch_firewalls(node_ip, backend.subscribe(), tell) => panic!("{ended:?}"),
                done = tokio::time::timeout(limit, work) => done.unwrap(),
            }
        })
        .unwrap();
    }
}
