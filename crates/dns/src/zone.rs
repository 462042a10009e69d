//! The cluster's names and their meaning, according to the Kubernetes DNS specification.

use std::collections::HashSet;
use std::net::IpAddr;

use hickory_proto::rr::rdata::{A, AAAA, CNAME, NS, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use semantics::ServiceKey;

use crate::index::{Host, Port, Records, Snapshot};

/// Seconds for which an answer may be kept, also one that says that there is nothing.
pub(crate) const TTL_SECONDS: u32 = 5;

/// The version of the specification that the names follow.
const SPECIFICATION_VERSION: &str = "1.1.0";

/// The priority of every SRV record, and the sum of the weights in one answer, as in upstream's cluster DNS.
const SRV_PRIORITY: u16 = 0;
const SRV_WEIGHTS: usize = 100;

/// The cluster's domain, with its name servers.
#[derive(Debug, Clone)]
pub struct Zone {
    /// The domain in lower case, with its final dot.
    domain: String,
    name: Name,
    /// The addresses of the cluster's name server.
    servers: Vec<IpAddr>,
}

/// The result of a lookup.
#[derive(Debug, PartialEq)]
pub(crate) enum Lookup {
    /// Records of the type that was asked for, and further ones that explain them.
    Found { answers: Vec<RData>, additionals: Vec<Record> },
    /// The name is an alias.
    Alias(Name),
    /// The name exists, without records of this type.
    NoData,
    /// There is no such name.
    NoName,
    /// The name is not one of the cluster's.
    Elsewhere,
}

impl Lookup {
    fn found(answers: Vec<RData>) -> Lookup {
        if answers.is_empty() { Lookup::NoData } else { Lookup::Found { answers, additionals: Vec::new() } }
    }
}

impl Zone {
    /// The zone of `domain` (`cluster.local`), whose name server has the addresses `servers`; `None` if the domain is
    /// not a valid domain name.
    pub fn new(domain: &str, servers: Vec<IpAddr>) -> Option<Zone> {
        let domain = format!("{}.", domain.trim_end_matches('.').to_ascii_lowercase());
        let name = Name::from_ascii(&domain).ok().filter(|name| !name.is_root())?;
        Some(Zone { domain, name, servers })
    }

    /// The domain.
    pub(crate) fn name(&self) -> &Name {
        &self.name
    }

    /// Looks up `name` for a query of `kind`.
    pub(crate) fn lookup(&self, snapshot: &Snapshot, name: &Name, kind: RecordType) -> Lookup {
        let name = name.to_lowercase();
        if !self.name.zone_of(&name) {
            return self.reverse(snapshot, &name, kind);
        }
        let Ok(labels) = self.labels(&name) else { return Lookup::NoName };
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        match labels.as_slice() {
            [] => self.apex(kind),
            ["dns-version"] => Lookup::found(only(kind, RecordType::TXT, || {
                RData::TXT(TXT::new(vec![SPECIFICATION_VERSION.to_owned()]))
            })),
            ["dns"] | ["svc"] | ["pod"] => Lookup::NoData,
            ["ns", "dns"] => addresses(self.servers.iter().copied(), kind),
            [namespace, "svc" | "pod"] if snapshot.has_namespace(namespace) => Lookup::NoData,
            [address, namespace, "pod"] if snapshot.has_namespace(namespace) => {
                undashed(address).map_or(Lookup::NoName, |a| addresses([a].into_iter(), kind))
            }
            [rest @ .., service, namespace, "svc"] => {
                let key = ServiceKey::new(namespace, service);
                snapshot
                    .service(&key)
                    .map_or(Lookup::NoName, |records| self.service(&key, records, rest, kind))
            }
            _ => Lookup::NoName,
        }
    }

    /// The record that goes with the answer that there is nothing.
    pub(crate) fn soa(&self) -> Record {
        let server = self.child("ns.dns");
        let contact = self.child("hostmaster");
        // The zone is not transferred, so its serial is never compared.
        let soa = SOA::new(server, contact, 1, 7200, 1800, 86_400, TTL_SECONDS);
        Record::from_rdata(self.name.clone(), TTL_SECONDS, RData::SOA(soa))
    }

    /// The labels of `name` in front of the domain's. Fails for labels that are not text.
    fn labels(&self, name: &Name) -> Result<Vec<String>, std::string::FromUtf8Error> {
        let count = usize::from(name.num_labels()).saturating_sub(usize::from(self.name.num_labels()));
        name.iter().take(count).map(|label| String::from_utf8(label.to_vec())).collect()
    }

    fn child(&self, prefix: &str) -> Name {
        // Names of objects are valid labels and short; should one not be, the domain itself is a harmless answer.
        Name::from_ascii(format!("{prefix}.{}", self.domain)).unwrap_or_else(|_| self.name.clone())
    }

    fn apex(&self, kind: RecordType) -> Lookup {
        match kind {
            RecordType::SOA => Lookup::found(vec![self.soa().data]),
            RecordType::NS => Lookup::found(vec![RData::NS(NS(self.child("ns.dns")))]),
            _ => Lookup::NoData,
        }
    }

    /// A service's own name (`rest` empty), or one below it.
    fn service(&self, key: &ServiceKey, records: &Records, rest: &[&str], kind: RecordType) -> Lookup {
        match (records, rest) {
            (Records::ExternalName(target), []) => external(target, kind),
            (Records::ExternalName(_), _) => Lookup::NoName,
            (_, []) if kind == RecordType::SRV => self.all_ports(key, records, None),
            (Records::ClusterIps { addresses: all, .. }, []) => addresses(all.iter().copied(), kind),
            (Records::Headless { hosts }, []) => addresses(hosts.iter().map(|host| host.address), kind),
            (Records::Headless { hosts } | Records::ClusterIps { hosts, .. }, [name])
                if !name.starts_with('_') =>
            {
                let named = || hosts.iter().filter(|host| host.name == *name);
                match named().next() {
                    None => Lookup::NoName,
                    Some(_) if kind == RecordType::SRV => self.all_ports(key, records, Some(name)),
                    Some(_) => addresses(named().map(|host| host.address), kind),
                }
            }
            (_, names) => port_name(names, kind, || self.targets(key, records)),
        }
    }

    /// The ports of a service with the names and addresses where they are: its own, or those of its endpoints.
    fn targets<'a>(&self, key: &ServiceKey, records: &'a Records) -> Vec<Target<'a>> {
        match records {
            Records::ClusterIps { addresses, ports, .. } => {
                let own = self.child(&format!("{}.{}.svc", key.name, key.namespace));
                let target = |port, address| Target { port, name: own.clone(), address, host: "" };
                ports
                    .iter()
                    .flat_map(|port| addresses.iter().map(move |a| (port, *a)))
                    .map(|(p, a)| target(p, a))
                    .collect()
            }
            Records::Headless { hosts } => self.hosts_targets(key, hosts),
            Records::ExternalName(_) => Vec::new(),
        }
    }

    fn hosts_targets<'a>(&self, key: &ServiceKey, hosts: &'a [Host]) -> Vec<Target<'a>> {
        let name = |host: &Host| self.child(&format!("{}.{}.{}.svc", host.name, key.name, key.namespace));
        let of_host = |host: &'a Host| {
            let name = name(host);
            host.ports.iter().map(move |port| Target {
                port,
                name: name.clone(),
                address: host.address,
                host: &host.name,
            })
        };
        hosts.iter().flat_map(of_host).collect()
    }

    /// All ports of a service, or of one of its hosts, also those without names.
    fn all_ports(&self, key: &ServiceKey, records: &Records, host: Option<&str>) -> Lookup {
        let targets = match (host, records) {
            (Some(host), Records::ClusterIps { hosts, .. } | Records::Headless { hosts }) => {
                let mut targets = self.hosts_targets(key, hosts);
                targets.retain(|target| target.host == host);
                targets
            }
            _ => self.targets(key, records),
        };
        srv(targets)
    }

    /// The names of an address, for `….in-addr.arpa` and `….ip6.arpa`.
    fn reverse(&self, snapshot: &Snapshot, name: &Name, kind: RecordType) -> Lookup {
        let Some(address) = reverse_address(name) else { return Lookup::Elsewhere };
        let owners = snapshot.owners(address);
        if owners.is_empty() {
            return Lookup::Elsewhere;
        }
        if kind != RecordType::PTR {
            return Lookup::NoData;
        }
        let names = owners.iter().map(|owner| {
            let ServiceKey { namespace, name } = &owner.service;
            let host = owner.host.as_ref().map(|host| format!("{host}.")).unwrap_or_default();
            RData::PTR(PTR(self.child(&format!("{host}{name}.{namespace}.svc"))))
        });
        Lookup::found(names.collect())
    }
}

fn only(kind: RecordType, wanted: RecordType, make: impl FnOnce() -> RData) -> Vec<RData> {
    if kind == wanted { vec![make()] } else { Vec::new() }
}

fn fully_qualified(name: &str) -> String {
    format!("{}.", name.trim_end_matches('.'))
}

fn address_data(address: IpAddr) -> RData {
    match address {
        IpAddr::V4(v4) => RData::A(A(v4)),
        IpAddr::V6(v6) => RData::AAAA(AAAA(v6)),
    }
}

/// The addresses of the family that `kind` asks for.
fn addresses(all: impl Iterator<Item = IpAddr>, kind: RecordType) -> Lookup {
    let mut data: Vec<RData> = all.map(address_data).filter(|data| data.record_type() == kind).collect();
    data.dedup();
    Lookup::found(data)
}

/// An alias, which answers a question for CNAME itself, and with its target all others.
fn external(target: &str, kind: RecordType) -> Lookup {
    // An address is not a name, and could not be looked up as one.
    if target.parse::<IpAddr>().is_ok() {
        return Lookup::NoData;
    }
    match Name::from_ascii(fully_qualified(target)) {
        Ok(target) if kind == RecordType::CNAME => Lookup::found(vec![RData::CNAME(CNAME(target))]),
        Ok(target) => Lookup::Alias(target),
        Err(_) => Lookup::NoData,
    }
}

/// Where a port is.
struct Target<'a> {
    port: &'a Port,
    name: Name,
    address: IpAddr,
    /// The name of the endpoint, if it is one.
    host: &'a str,
}

/// Looks up `_port._protocol` (`names`) among the ports. A name that is only a part of such a pair exists, too.
fn port_name<'a>(names: &[&str], kind: RecordType, targets: impl FnOnce() -> Vec<Target<'a>>) -> Lookup {
    let (port_name, protocol) = match names {
        [port, protocol] => (port.strip_prefix('_'), protocol.strip_prefix('_')),
        [protocol] => (None, protocol.strip_prefix('_')),
        _ => return Lookup::NoName,
    };
    let Some(protocol) = protocol.filter(|_| names.len() == 1 || port_name.is_some()) else {
        return Lookup::NoName;
    };
    let mut matching = targets();
    matching.retain(|target| {
        let port = target.port;
        let is_named = !port.name.is_empty() && port_name.is_none_or(|name| port.name == name);
        is_named && port.protocol == protocol
    });
    match matching.is_empty() {
        true => Lookup::NoName,
        false if port_name.is_none() || kind != RecordType::SRV => Lookup::NoData,
        false => srv(matching),
    }
}

/// SRV records to these targets, each once, with the addresses of their names.
fn srv(targets: Vec<Target<'_>>) -> Lookup {
    let mut places: Vec<(u16, Name)> = Vec::new();
    let mut additionals: Vec<Record> = Vec::new();
    let mut seen = HashSet::new();
    for Target { port, name, address, .. } in targets {
        if seen.insert((Some(port.port), None, name.clone())) {
            places.push((port.port, name.clone()));
        }
        if seen.insert((None, Some(address), name.clone())) {
            additionals.push(Record::from_rdata(name, TTL_SECONDS, address_data(address)));
        }
    }
    let weight = u16::try_from(SRV_WEIGHTS / places.len().max(1)).unwrap_or_default().max(1);
    let record = |(port, name)| RData::SRV(SRV::new(SRV_PRIORITY, weight, port, name));
    let answers: Vec<RData> = places.into_iter().map(record).collect();
    if answers.is_empty() { Lookup::NoData } else { Lookup::Found { answers, additionals } }
}

/// The address of a pod's label, where dashes stand for dots or colons.
fn undashed(label: &str) -> Option<IpAddr> {
    let v4 = label.replace('-', ".").parse().map(IpAddr::V4);
    v4.or_else(|_| label.replace('-', ":").parse().map(IpAddr::V6)).ok()
}

/// The address of a complete reverse name.
fn reverse_address(name: &Name) -> Option<IpAddr> {
    let net = name.parse_arpa_name().ok()?;
    (net.prefix_len() == net.max_prefix_len()).then(|| net.addr())
}

#[cfg(test)]
mod tests;
