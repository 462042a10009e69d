//! The packet rules of network policy: their types, and their nftables syntax.
//!
//! ```text
//! forward hook ─▶ egress:  established? own? ─▶ egress4[source]       ─▶ egress_group_N ─▶ egress_policy_P ─▶ accept
//!              ─▶ ingress: established? own? ─▶ ingress4[destination] ─▶ ingress_group_N ─▶ …            or drop
//! ```
//!
//! The two directions are two chains at the same hook, so that "accept" in one of them, however deep, continues with
//! the other. Only forwarded packets are checked: traffic between the node itself and its pods is always allowed.

use std::fmt::Write;
use std::net::IpAddr;

use hostnet::elements::Delta;
use ipnet::IpNet;

use crate::host_port::Protocol;

/// Which end of a connection a rule protects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Direction {
    /// Traffic to a pod.
    Ingress,
    /// Traffic from a pod.
    Egress,
}

impl Direction {
    /// Both, in the order of their indexes.
    pub(crate) const BOTH: [Direction; 2] = [Direction::Ingress, Direction::Egress];

    /// The place of this direction in pairs.
    pub(crate) fn index(self) -> usize {
        match self {
            Direction::Ingress => 0,
            Direction::Egress => 1,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Direction::Ingress => "ingress",
            Direction::Egress => "egress",
        }
    }

    /// The address of a packet that belongs to the pod's peer.
    fn peer(self) -> &'static str {
        match self {
            Direction::Ingress => "saddr",
            Direction::Egress => "daddr",
        }
    }

    /// The address of a packet that belongs to the pod.
    fn pod(self) -> &'static str {
        match self {
            Direction::Ingress => "daddr",
            Direction::Egress => "saddr",
        }
    }
}

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    pub(crate) const BOTH: [Family; 2] = [Family::V4, Family::V6];

    pub(crate) fn of(address: IpAddr) -> Family {
        if address.is_ipv4() { Family::V4 } else { Family::V6 }
    }

    fn nft(self) -> &'static str {
        match self {
            Family::V4 => "ip",
            Family::V6 => "ip6",
        }
    }

    fn digit(self) -> char {
        match self {
            Family::V4 => '4',
            Family::V6 => '6',
        }
    }

    fn address_type(self) -> &'static str {
        match self {
            Family::V4 => "ipv4_addr",
            Family::V6 => "ipv6_addr",
        }
    }
}

/// A chain. Its number is never used again for another chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Chain {
    /// Asks the policies that select a pod, then drops. Pods with the same policies share it.
    Group(Direction, u32),
    /// Accepts what one policy allows.
    Policy(Direction, u32),
    /// A part of a policy's chain: several ports, or a block with exceptions.
    Part(Direction, u32, u32),
}

impl Chain {
    fn direction(self) -> Direction {
        match self {
            Chain::Group(direction, _) | Chain::Policy(direction, _) | Chain::Part(direction, ..) => {
                direction
            }
        }
    }

    fn name(self) -> String {
        let direction = self.direction().word();
        match self {
            Chain::Group(_, group) => format!("{direction}_group_{group}"),
            Chain::Policy(_, policy) => format!("{direction}_policy_{policy}"),
            Chain::Part(_, policy, part) => format!("{direction}_part_{policy}_{part}"),
        }
    }
}

/// The peers of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    /// The pods of a scope.
    Pods(Family, u32),
    /// A block of addresses.
    Block(IpNet),
}

/// The destination ports of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ports {
    /// All ports of a protocol.
    All(Protocol),
    /// From the first to the second.
    Range(Protocol, u16, u16),
    /// The port that has a name in the destination pod.
    Named(Family, Protocol, u32),
}

/// The verdict for packets that match a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The packet is allowed in this direction.
    Accept,
    /// The packet is dropped.
    Drop,
    /// Back to the chain that jumped here.
    Return,
    /// Continue in another chain, and return at its end.
    Jump(Chain),
}

/// One rule: all of its conditions must match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) peer: Option<Peer>,
    pub(crate) ports: Option<Ports>,
    pub(crate) verdict: Verdict,
}

impl Rule {
    fn text(&self, direction: Direction) -> String {
        let mut text = String::new();
        let side = direction.peer();
        match self.peer {
            None => {}
            Some(Peer::Pods(family, scope)) => {
                let _ = write!(text, "{} {side} @peers{}_{scope} ", family.nft(), family.digit());
            }
            // Every address of the family.
            Some(Peer::Block(block)) if block.prefix_len() == 0 => {
                let family = if block.addr().is_ipv4() { "ipv4" } else { "ipv6" };
                let _ = write!(text, "meta nfproto {family} ");
            }
            Some(Peer::Block(block)) => {
                let _ = write!(text, "{} {side} {block} ", Family::of(block.addr()).nft());
            }
        }
        match self.ports {
            None => {}
            Some(Ports::All(protocol)) => {
                let _ = write!(text, "meta l4proto {} ", protocol.nft());
            }
            Some(Ports::Range(protocol, first, last)) if first == last => {
                let _ = write!(text, "{} dport {first} ", protocol.nft());
            }
            Some(Ports::Range(protocol, first, last)) => {
                let _ = write!(text, "{} dport {first}-{last} ", protocol.nft());
            }
            Some(Ports::Named(family, protocol, name)) => {
                let (ip, digit, protocol) = (family.nft(), family.digit(), protocol.nft());
                let _ = write!(text, "{ip} daddr . {protocol} dport @ports{digit}_{name} ");
            }
        }
        match self.verdict {
            Verdict::Accept => text.push_str("accept"),
            Verdict::Drop => text.push_str("drop"),
            Verdict::Return => text.push_str("return"),
            Verdict::Jump(chain) => {
                let _ = write!(text, "jump {}", chain.name());
            }
        }
        text
    }
}

/// A set that exists while policies refer to it; there is one for each address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum SetId {
    /// Addresses of the pods of a scope.
    Peers(u32),
    /// Addresses and ports of the pods with a port of this name.
    Ports(u32),
}

/// A place in one of the table's sets and maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Slot {
    /// A pod of this node may reach itself.
    Own(IpAddr),
    /// A pod of this node is isolated in this direction.
    Isolated(Direction, IpAddr),
    /// A pod belongs to a scope.
    Peer(u32, IpAddr),
    /// A pod has a named port.
    Port(u32, IpAddr, u16),
}

/// The value of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value {
    /// Elements of sets have no value.
    Member,
    /// The group that decides.
    Group(u32),
}

impl Slot {
    /// The dynamic set of the slot, if it is in one.
    pub(crate) fn set(self) -> Option<SetId> {
        match self {
            Slot::Own(_) | Slot::Isolated(..) => None,
            Slot::Peer(scope, _) => Some(SetId::Peers(scope)),
            Slot::Port(name, ..) => Some(SetId::Ports(name)),
        }
    }

    fn address(self) -> IpAddr {
        match self {
            Slot::Own(address)
            | Slot::Isolated(_, address)
            | Slot::Peer(_, address)
            | Slot::Port(_, address, _) => address,
        }
    }

    fn set_name(self) -> String {
        let digit = Family::of(self.address()).digit();
        match self {
            Slot::Own(_) => format!("own{digit}"),
            Slot::Isolated(direction, _) => format!("{}{digit}", direction.word()),
            Slot::Peer(scope, _) => format!("peers{digit}_{scope}"),
            Slot::Port(name, ..) => format!("ports{digit}_{name}"),
        }
    }

    fn element(self, value: Value) -> String {
        match (self, value) {
            (Slot::Own(address), _) => format!("{address} . {address}"),
            (Slot::Isolated(direction, address), Value::Group(group)) => {
                format!("{address} : goto {}", Chain::Group(direction, group).name())
            }
            (Slot::Port(_, address, port), _) => format!("{address} . {port}"),
            (Slot::Isolated(_, address) | Slot::Peer(_, address), _) => address.to_string(),
        }
    }
}

/// Writes the table without pods and policies, replacing an existing one.
pub(crate) fn write_table(text: &mut String, table: &str) {
    let _ = write!(text, "add table inet {table}\ndelete table inet {table}\ntable inet {table} {{\n");
    for family in Family::BOTH {
        let (digit, address) = (family.digit(), family.address_type());
        let _ = writeln!(text, "  set own{digit} {{ type {address} . {address}; }}");
        for direction in Direction::BOTH {
            let _ = writeln!(text, "  map {}{digit} {{ type {address} : verdict; }}", direction.word());
        }
    }
    for (direction, priority) in [(Direction::Egress, 0), (Direction::Ingress, 1)] {
        let (word, pod) = (direction.word(), direction.pod());
        let _ = write!(
            text,
            "  chain {word} {{\n    type filter hook forward priority {priority}; policy accept;\n    \
             ct state established,related accept\n"
        );
        for family in Family::BOTH {
            let (ip, digit) = (family.nft(), family.digit());
            let _ = write!(
                text,
                "    {ip} saddr . {ip} daddr @own{digit} accept\n    {ip} {pod} vmap @{word}{digit}\n"
            );
        }
        text.push_str("  }\n");
    }
    text.push_str("}\n");
}

/// Writes the sets of both families.
pub(crate) fn write_sets(text: &mut String, verb: &str, table: &str, sets: impl Iterator<Item = SetId>) {
    for set in sets {
        for family in Family::BOTH {
            let (digit, address) = (family.digit(), family.address_type());
            let (name, kind) = match set {
                SetId::Peers(scope) => (format!("peers{digit}_{scope}"), address.to_owned()),
                SetId::Ports(name) => (format!("ports{digit}_{name}"), format!("{address} . inet_service")),
            };
            let _ = match verb {
                "add" => writeln!(text, "add set inet {table} {name} {{ type {kind}; }}"),
                _ => writeln!(text, "{verb} set inet {table} {name}"),
            };
        }
    }
}

/// Writes a statement about each chain as such: `verb` is `add`, `flush` or `delete`.
pub(crate) fn write_chains(text: &mut String, verb: &str, table: &str, chains: impl Iterator<Item = Chain>) {
    for chain in chains {
        let _ = writeln!(text, "{verb} chain inet {table} {}", chain.name());
    }
}

/// Writes the rules of a chain that has none.
pub(crate) fn write_rules(text: &mut String, table: &str, chain: Chain, rules: &[Rule]) {
    for rule in rules {
        let _ = writeln!(text, "add rule inet {table} {} {}", chain.name(), rule.text(chain.direction()));
    }
}

/// Writes a delta's changes to sets and maps.
pub(crate) fn write_delta(text: &mut String, table: &str, delta: &Delta<Slot, Value>) {
    write_elements(text, "delete", table, &delta.delete);
    write_elements(text, "add", table, &delta.add);
}

/// Writes one statement for each set; `elements` are sorted, which brings those of a set together.
pub(crate) fn write_elements(text: &mut String, verb: &str, table: &str, elements: &[(Slot, Value)]) {
    let sets = elements.chunk_by(|(one, _), (two, _)| one.set_name() == two.set_name());
    for set in sets {
        let _ = write!(text, "{verb} element inet {table} {} {{ ", set[0].0.set_name());
        for (slot, value) in set {
            let _ = write!(text, "{},", slot.element(*value));
        }
        text.push_str(" }\n");
    }
}
