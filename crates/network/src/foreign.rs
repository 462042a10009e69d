//! Rules for pods in a firewall of another program.
//!
//! Docker and ufw set the policy of iptables' `FORWARD` chain to drop. The verdict "accept" of our own table does not
//! help there, because each table decides for itself. So one rule per subnet and direction is inserted at the head of
//! that chain, marked by a comment, and removed again by `reset`. Other chains that drop are reported ([`Obstacle`]).

mod obstacles;

use std::fmt::Write;

use hostnet::nft::{self, NftError};
use ipnet::IpNet;

pub use obstacles::Obstacle;
pub(crate) use obstacles::{Wanted, find as find_obstacles};

/// The usual tables of firewalls: iptables', the example of nftables, firewalld's.
pub(crate) const USUAL_TABLES: [(&str, &str); 4] =
    [("ip", "filter"), ("ip6", "filter"), ("inet", "filter"), ("inet", "firewalld")];

const COMMENT: &str = "ironhull pods";

fn iptables(family_is_v4: bool) -> &'static str {
    if family_is_v4 { "ip" } else { "ip6" }
}

/// Lets packets of `subnets` through `FORWARD` chains whose policy is drop. Does nothing if there is no such chain, or
/// if the rules already exist.
pub(crate) async fn accept_forwarding(subnets: &[IpNet]) -> Result<(), NftError> {
    for family in ["ip", "ip6"] {
        let Some(chain) = forward_chain(family).await else { continue };
        if !chain.contains("policy drop") || chain.contains(COMMENT) {
            continue;
        }
        let mut text = String::new();
        for subnet in subnets.iter().filter(|s| iptables(s.addr().is_ipv4()) == family) {
            for direction in ["saddr", "daddr"] {
                let rule = format!("{family} {direction} {subnet} counter accept comment \"{COMMENT}\"");
                let _ = writeln!(text, "insert rule {family} filter FORWARD {rule}");
            }
        }
        nft::apply(&text).await?;
    }
    Ok(())
}

/// Removes the rules from [`accept_forwarding`].
pub(crate) async fn remove() -> Result<(), NftError> {
    for family in ["ip", "ip6"] {
        let Some(chain) = forward_chain(family).await else { continue };
        let text = handles(&chain).map(|h| format!("delete rule {family} filter FORWARD handle {h}\n"));
        let text = text.collect::<String>();
        if !text.is_empty() {
            nft::apply(&text).await?;
        }
    }
    Ok(())
}

/// The chain as nft lists it. Most hosts have no such chain, so that is not an error.
async fn forward_chain(family: &str) -> Option<String> {
    nft::output(&["-a", "list", "chain", family, "filter", "FORWARD"]).await.ok()
}

fn handles(chain: &str) -> impl Iterator<Item = &str> {
    let ours = chain.lines().filter(|line| line.contains(COMMENT));
    ours.filter_map(|line| line.rsplit_once("# handle ")).map(|(_, handle)| handle.trim())
}

#[cfg(test)]
mod tests {
    use hostnet::NetNs;

    use super::*;

    #[test]
    fn a_dropping_forward_chain_gets_rules_once_and_loses_them_again() {
        let subnets = ["10.42.0.0/16".parse().unwrap(), "fd00::/56".parse().unwrap()];
        NetNs::create()
            .unwrap()
            .block_on(|| async {
                accept_forwarding(&subnets).await.unwrap();
                remove().await.unwrap();
                let docker = "table ip filter { chain FORWARD { type filter hook forward priority 0; policy drop; \
                              ip saddr 172.17.0.0/16 accept; }; }";
                nft::apply(docker).await.unwrap();
                let before = forward_chain("ip").await.unwrap();
                accept_forwarding(&subnets).await.unwrap();
                accept_forwarding(&subnets).await.unwrap();
                let chain = forward_chain("ip").await.unwrap();
                assert_eq!(handles(&chain).count(), 2, "{chain}");
                remove().await.unwrap();
                assert_eq!(forward_chain("ip").await.unwrap(), before);
            })
            .unwrap();
    }
}
