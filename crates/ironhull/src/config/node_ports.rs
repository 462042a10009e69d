//! Which addresses of a machine answer node ports.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::Context;
use ipnet::{IpNet, Ipv4Net};

/// The addresses at which a machine reaches itself.
const LOOPBACK: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8);

/// Which addresses of a machine answer node ports.
#[derive(Clone, Debug)]
pub enum NodePortAddresses {
    /// The node's own; with `loopback`, those at which the machine reaches itself too.
    Own {
        /// See there.
        loopback: bool,
    },
    /// Those in these networks; for a family without any network, all.
    In(Vec<IpNet>),
}

impl NodePortAddresses {
    /// The meaning of `--nodeport-addresses`. By default it is like upstream's `primary`, plus the loopback addresses,
    /// which only this machine itself can reach.
    ///
    /// # Errors
    /// If it contains anything else.
    pub fn parse(texts: &[String]) -> anyhow::Result<NodePortAddresses> {
        let network = |text: &String| -> anyhow::Result<IpNet> {
            text.parse().with_context(|| {
                format!(
                    "--nodeport-addresses {text:?} is not a network such as 192.0.2.0/24; `primary` must stand alone"
                )
            })
        };
        Ok(match texts {
            [] => NodePortAddresses::Own { loopback: true },
            [word] if word == "primary" => NodePortAddresses::Own { loopback: false },
            networks => NodePortAddresses::In(networks.iter().map(network).collect::<anyhow::Result<_>>()?),
        })
    }

    /// The networks of those addresses on a node that has `node_ips`.
    pub fn of(&self, node_ips: &[IpAddr]) -> Vec<IpNet> {
        match self {
            NodePortAddresses::In(networks) => networks.clone(),
            NodePortAddresses::Own { loopback } => {
                let own = node_ips.iter().filter(|ip| !ip.is_loopback()).map(|ip| IpNet::from(*ip));
                own.chain(loopback.then_some(LOOPBACK.into())).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_ports_are_answered_where_the_flag_says() {
        let of = |texts: &[&str]| -> Vec<String> {
            let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
            let node_ips = ["192.0.2.7", "127.0.0.1"].map(|ip| ip.parse().unwrap());
            let networks = NodePortAddresses::parse(&texts).unwrap().of(&node_ips);
            networks.iter().map(IpNet::to_string).collect()
        };
        assert_eq!(of(&[]), ["192.0.2.7/32", "127.0.0.0/8"]);
        assert_eq!(of(&["primary"]), ["192.0.2.7/32"]);
        assert_eq!(of(&["198.51.100.0/24", "2001:db8::/32"]), ["198.51.100.0/24", "2001:db8::/32"]);
        let wrong = NodePortAddresses::parse(&["primary".to_owned(), "192.0.2.0/24".to_owned()]);
        assert!(wrong.unwrap_err().to_string().starts_with("--nodeport-addresses \"primary\""));
    }
}
