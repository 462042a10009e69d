//! The nftables table, and the syntax of its elements and chains.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::IpAddr;

use ipnet::IpNet;

/// The bit of the packet mark that asks for masquerade. Upstream's kube-proxy uses the same.
const MASQUERADE_MARK: &str = "0x4000";

/// The first position of endpoints for traffic from inside the cluster; those for all other traffic are below.
const INSIDE_OFFSET: u32 = 1 << 16;

/// An address and port that serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Target {
    pub(crate) address: IpAddr,
    pub(crate) port: u16,
}

/// An address family; each has its own table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) fn of(address: IpAddr) -> Family {
        if address.is_ipv4() { Family::V4 } else { Family::V6 }
    }

    /// The value of an EndpointSlice's `addressType`.
    pub(crate) fn address_type(self) -> &'static str {
        match self {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        }
    }

    /// nft's word for the family, and for its header.
    pub(crate) fn nft(self) -> &'static str {
        match self {
            Family::V4 => "ip",
            Family::V6 => "ip6",
        }
    }
}

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    /// Reads the API's word; absent means TCP, another word `None`.
    pub(crate) fn parse(text: Option<&str>) -> Option<Protocol> {
        match text {
            None | Some("TCP") => Some(Protocol::Tcp),
            Some("UDP") => Some(Protocol::Udp),
            Some("SCTP") => Some(Protocol::Sctp),
            Some(_) => None,
        }
    }

    /// nft's word.
    pub(crate) fn nft(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        }
    }
}

/// The address that a client connects to: a port of a Service's address, or of every address of the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Front {
    pub(crate) family: Family,
    /// `None` for a node port.
    pub(crate) address: Option<IpAddr>,
    pub(crate) protocol: Protocol,
    pub(crate) port: u16,
}

/// The key of an element, which also says in which set or map it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Slot {
    /// The chain that serves a front; `inside` for clients of this cluster only, where they are treated apart.
    Serve { front: Front, inside: bool },
    /// The endpoint at a position of a front.
    Endpoint { front: Front, inside: bool, position: u32 },
    /// The action for packets to a front without endpoints.
    Refuse(Front),
    /// The chain that lets only some sources reach a front.
    Firewall(Front),
    /// An address whose ports are all ours.
    ClusterIp(IpAddr),
    /// An address of this node's pods, which may reach itself through a service.
    Hairpin(IpAddr),
}

/// The value of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Value {
    /// Of a set: none.
    Member,
    /// A chain that looks for one of `count` endpoints.
    Pick(Pick),
    /// A service's own chain: for session affinity, or for its firewall.
    Own(OwnChain),
    /// An endpoint.
    Endpoint(Target),
    /// Answer with an error.
    Reject,
    /// Drop silently.
    Drop,
}

/// The action of a shared chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Pick {
    pub(crate) protocol: Protocol,
    pub(crate) node_port: bool,
    pub(crate) inside: bool,
    pub(crate) masquerade: bool,
    pub(crate) count: u32,
}

/// A chain that belongs to one port of one service, by a number that is never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct OwnChain {
    pub(crate) kind: OwnKind,
    pub(crate) id: u32,
}

/// The action of a Service's own chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum OwnKind {
    /// Affinity, among all endpoints.
    Cluster,
    /// Masquerade, then as `Cluster`.
    ClusterMasquerade,
    /// Affinity, among the endpoints of this node.
    Local,
    /// As `Cluster`, but masquerading the node's own packets.
    Inside,
    /// Source ranges of a load balancer.
    Firewall,
}

impl OwnChain {
    pub(crate) fn name(self) -> String {
        let word = match self.kind {
            OwnKind::Cluster => "cluster",
            OwnKind::ClusterMasquerade => "external",
            OwnKind::Local => "local",
            OwnKind::Inside => "inside",
            OwnKind::Firewall => "firewall",
        };
        format!("{word}_{}", self.id)
    }
}

impl Pick {
    pub(crate) fn name(self) -> String {
        let Pick { protocol, node_port, inside, masquerade, count } = self;
        let front = if node_port { "port" } else { "service" };
        let inside = if inside { "_inside" } else { "" };
        let masquerade = if masquerade { "_masquerade" } else { "" };
        format!("{front}_{}{inside}{masquerade}_{count}", protocol.nft())
    }

    /// The chain's rules.
    pub(crate) fn rules(self, family: Family) -> Vec<String> {
        let ip = family.nft();
        let protocol = self.protocol.nft();
        let (key, map) = if self.node_port {
            (String::new(), format!("port_endpoints_{protocol}"))
        } else {
            (format!("{ip} daddr . "), format!("endpoints_{protocol}"))
        };
        let offset = if self.inside { format!(" offset {INSIDE_OFFSET}") } else { String::new() };
        let random = format!("numgen random mod {}{offset}", self.count);
        let mut rules = Vec::new();
        if self.inside {
            rules.push("fib saddr type local jump mark_masquerade".to_owned());
        } else if self.masquerade {
            rules.push("jump mark_masquerade".to_owned());
        }
        rules.push(format!("dnat {ip} to {key}{protocol} dport . {random} map @{map}"));
        rules
    }
}

impl Slot {
    fn family(self) -> Family {
        match self {
            Slot::Serve { front, .. }
            | Slot::Endpoint { front, .. }
            | Slot::Refuse(front)
            | Slot::Firewall(front) => front.family,
            Slot::ClusterIp(address) | Slot::Hairpin(address) => Family::of(address),
        }
    }

    fn set(self) -> &'static str {
        match self {
            Slot::Serve { front, inside } => match (front.address.is_some(), inside) {
                (true, false) => "services",
                (true, true) => "services_inside",
                (false, false) => "ports",
                (false, true) => "ports_inside",
            },
            Slot::Endpoint { front, .. } => match (front.address.is_some(), front.protocol) {
                (true, Protocol::Tcp) => "endpoints_tcp",
                (true, Protocol::Udp) => "endpoints_udp",
                (true, Protocol::Sctp) => "endpoints_sctp",
                (false, Protocol::Tcp) => "port_endpoints_tcp",
                (false, Protocol::Udp) => "port_endpoints_udp",
                (false, Protocol::Sctp) => "port_endpoints_sctp",
            },
            Slot::Refuse(front) if front.address.is_some() => "refused_services",
            Slot::Refuse(_) => "refused_ports",
            Slot::Firewall(_) => "firewalls",
            Slot::ClusterIp(_) => "cluster_ips",
            Slot::Hairpin(_) => "hairpin",
        }
    }

    fn key(self) -> String {
        match self {
            Slot::Serve { front, .. } | Slot::Refuse(front) | Slot::Firewall(front) => front.key(),
            Slot::Endpoint { front, inside, position } => {
                let position = if inside { position + INSIDE_OFFSET } else { position };
                match front.address {
                    Some(address) => format!("{address} . {} . {position}", front.port),
                    None => format!("{} . {position}", front.port),
                }
            }
            Slot::ClusterIp(address) => address.to_string(),
            Slot::Hairpin(address) => format!("{address} . {address}"),
        }
    }
}

impl Front {
    fn key(self) -> String {
        let ports = format!("{} . {}", self.protocol.nft(), self.port);
        self.address.map_or(ports.clone(), |address| format!("{address} . {ports}"))
    }
}

fn value(value: Value) -> String {
    match value {
        Value::Member => String::new(),
        Value::Pick(pick) => format!(" : goto {}", pick.name()),
        Value::Own(chain) => format!(" : goto {}", chain.name()),
        Value::Endpoint(Target { address, port }) => format!(" : {address} . {port}"),
        Value::Reject => " : goto refuse".to_owned(),
        Value::Drop => " : drop".to_owned(),
    }
}

/// Writes one statement for each table and set: `verb` is `add` or `delete`.
pub(crate) fn write_elements(text: &mut String, verb: &str, table: &str, elements: &[(Slot, Value)]) {
    let mut sets: BTreeMap<(Family, &'static str), String> = BTreeMap::new();
    for (slot, of_slot) in elements {
        let list = sets.entry((slot.family(), slot.set())).or_default();
        let _ = write!(list, "{}{},", slot.key(), value(*of_slot));
    }
    for ((family, set), list) in sets {
        let _ = writeln!(text, "{verb} element {} {table} {set} {{ {list} }}", family.nft());
    }
}

/// Writes the chains that `picks` name.
pub(crate) fn write_picks(text: &mut String, table: &str, picks: &BTreeSet<(Family, Pick)>) {
    for (family, pick) in picks {
        write_chain(text, table, *family, &pick.name(), &pick.rules(*family));
    }
}

/// Writes a chain, replacing its rules if it exists.
pub(crate) fn write_chain(text: &mut String, table: &str, family: Family, name: &str, rules: &[String]) {
    let ip = family.nft();
    let _ = writeln!(text, "add chain {ip} {table} {name}\nflush chain {ip} {table} {name}");
    for rule in rules {
        let _ = writeln!(text, "add rule {ip} {table} {name} {rule}");
    }
}

/// The networks of a cluster.
#[derive(Debug)]
pub(crate) struct Networks {
    pub(crate) pods: Vec<IpNet>,
    pub(crate) services: Vec<IpNet>,
    pub(crate) node_ports: NodePorts,
}

/// The addresses of the node that answer node ports: those in networks that are named, and all of a family of which none
/// is named.
#[derive(Debug, Clone, Default)]
pub(crate) struct NodePorts(Vec<IpNet>);

impl NodePorts {
    pub(crate) fn new(networks: &[IpNet]) -> NodePorts {
        // Rules take no networks that overlap.
        NodePorts(IpNet::aggregate(&networks.to_vec()))
    }

    fn of(&self, family: Family) -> impl Iterator<Item = &IpNet> {
        self.0.iter().filter(move |network| Family::of(network.addr()) == family)
    }

    /// Whether an address of the node answers.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        let mut named = self.of(Family::of(address)).peekable();
        named.peek().is_none() || named.any(|network| network.contains(&address))
    }

    /// The words that match packets to such an address.
    fn rule(&self, family: Family) -> String {
        let named: Vec<String> = self.of(family).map(IpNet::to_string).collect();
        match named.is_empty() {
            true => "fib daddr type local".to_owned(),
            false => format!("{} daddr {{ {} }} fib daddr type local", family.nft(), named.join(", ")),
        }
    }
}

/// Writes the empty table of a family, replacing an existing one.
pub(crate) fn write_table(text: &mut String, table: &str, family: Family, networks: &Networks) {
    let ip = family.nft();
    let of_family = |networks: &[IpNet]| -> Vec<String> {
        networks.iter().filter(|net| Family::of(net.addr()) == family).map(IpNet::to_string).collect()
    };
    let (pods, services) = (of_family(&networks.pods), of_family(&networks.services));
    let unknown = match services.is_empty() {
        true => String::new(),
        false => format!("{ip} daddr {{ {} }} goto refuse", services.join(", ")),
    };
    let (mut masquerade, mut inside) = (String::new(), String::new());
    if !pods.is_empty() {
        let pods = pods.join(", ");
        masquerade = format!("{ip} saddr != {{ {pods} }} {ip} daddr @cluster_ips jump mark_masquerade");
        inside = format!("{ip} saddr {{ {pods} }} jump inside");
    }
    let loopback = match family {
        Family::V4 => LOOPBACK_V4,
        Family::V6 => "",
    };
    let from_loopback = match family {
        Family::V4 => "ct status dnat oifname != \"lo\" ip saddr 127.0.0.0/8 masquerade fully-random",
        Family::V6 => "",
    };
    let endpoints: String =
        [Protocol::Tcp, Protocol::Udp, Protocol::Sctp].map(|p| endpoint_maps(family, p)).concat();
    let body = TABLE
        .replace("@ENDPOINTS@", &endpoints)
        .replace("@LOOPBACK@", loopback)
        .replace("@FROM_LOOPBACK@", from_loopback)
        .replace("@MASQUERADE_CLUSTER_IPS@", &masquerade)
        .replace("@INSIDE@", &inside)
        .replace("@UNKNOWN_SERVICES@", &unknown)
        .replace("@NODE_PORT@", &networks.node_ports.rule(family))
        .replace("@ADDRESS@", if family == Family::V4 { "ipv4_addr" } else { "ipv6_addr" })
        .replace("@MARK@", MASQUERADE_MARK)
        .replace("@IP@", ip);
    let _ =
        writeln!(text, "add table {ip} {table}\ndelete table {ip} {table}\ntable {ip} {table} {{\n{body}}}");
}

fn endpoint_maps(family: Family, protocol: Protocol) -> String {
    let (ip, protocol) = (family.nft(), protocol.nft());
    let types = format!("{protocol} dport . numgen random mod 2 : {ip} daddr . {protocol} dport");
    format!(
        "  map endpoints_{protocol} {{ typeof {ip} daddr . {types}; }}\n  \
         map port_endpoints_{protocol} {{ typeof {types}; }}\n"
    )
}

/// With `route_localnet`, packets to loopback addresses must not come in from other machines (CVE-2020-8558).
const LOOPBACK_V4: &str = "  chain loopback {
    type filter hook prerouting priority raw; policy accept;
    iifname != \"lo\" ip daddr 127.0.0.0/8 drop
    iifname != \"lo\" ip saddr 127.0.0.0/8 drop
  }
";

/// Endpoints are in one map for each protocol: a map of any protocol's (`th dport`) is not understood by nft 1.0.6
/// when it reads it back before the next transaction.
const TABLE: &str = "  map services { type @ADDRESS@ . inet_proto . inet_service : verdict; }
  map services_inside { type @ADDRESS@ . inet_proto . inet_service : verdict; }
  map ports { type inet_proto . inet_service : verdict; }
  map ports_inside { type inet_proto . inet_service : verdict; }
@ENDPOINTS@  map refused_services { type @ADDRESS@ . inet_proto . inet_service : verdict; }
  map refused_ports { type inet_proto . inet_service : verdict; }
  map firewalls { type @ADDRESS@ . inet_proto . inet_service : verdict; }
  set cluster_ips { type @ADDRESS@; }
  set hairpin { type @ADDRESS@ . @ADDRESS@; }
@LOOPBACK@  chain mark_masquerade {
    meta mark set meta mark or @MARK@
  }
  chain inside {
    @IP@ daddr . meta l4proto . th dport vmap @services_inside
    @NODE_PORT@ meta l4proto . th dport vmap @ports_inside
  }
  chain serve {
    @MASQUERADE_CLUSTER_IPS@
    @INSIDE@
    fib saddr type local jump inside
    @IP@ daddr . meta l4proto . th dport vmap @services
    @NODE_PORT@ meta l4proto . th dport vmap @ports
  }
  chain prerouting {
    type nat hook prerouting priority dstnat; policy accept;
    jump serve
  }
  chain output {
    type nat hook output priority -100; policy accept;
    jump serve
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ct status dnat @IP@ saddr . @IP@ daddr @hairpin masquerade fully-random
    @FROM_LOOPBACK@
    meta mark and @MARK@ != @MARK@ return
    meta mark set meta mark xor @MARK@
    masquerade fully-random
  }
  chain refuse {
    meta l4proto tcp reject with tcp reset
    reject
  }
  chain unserved {
    @IP@ daddr . meta l4proto . th dport vmap @refused_services
    @NODE_PORT@ meta l4proto . th dport vmap @refused_ports
    @IP@ daddr @cluster_ips goto refuse
    @UNKNOWN_SERVICES@
  }
  chain before_translation {
    type filter hook prerouting priority -110; policy accept;
    ct state new @IP@ daddr . meta l4proto . th dport vmap @firewalls
  }
  chain filter_input {
    type filter hook input priority 0; policy accept;
    ct state new jump unserved
  }
  chain filter_forward {
    type filter hook forward priority 0; policy accept;
    ct state new jump unserved
  }
  chain filter_output {
    type filter hook output priority 0; policy accept;
    ct state new jump unserved
  }
";
