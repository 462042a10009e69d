//! The data about Services and their endpoints that DNS needs.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use k8s_openapi::api::core::v1::{Service, ServiceSpec};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use semantics::{EndpointState, ServiceKey};

/// The label of an EndpointSlice that names its Service.
const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

/// A port of a Service or of its endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Port {
    /// Empty for a single port, which may be unnamed; it then has no DNS name.
    pub(crate) name: String,
    /// `tcp`, `udp` or `sctp`.
    pub(crate) protocol: String,
    pub(crate) port: u16,
}

/// An endpoint of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Host {
    /// The endpoint's host name, or its address with dashes.
    pub(crate) name: String,
    pub(crate) address: IpAddr,
    pub(crate) ports: Arc<[Port]>,
    /// Whether the name was given, and is not made of the address.
    pub(crate) is_named: bool,
}

/// The meaning of a Service's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Records {
    /// Its own addresses; its endpoints have names too, as in upstream's cluster DNS.
    ClusterIps { addresses: Vec<IpAddr>, ports: Vec<Port>, hosts: Vec<Host> },
    /// Its endpoints' addresses.
    Headless { hosts: Vec<Host> },
    /// Another name.
    ExternalName(String),
}

/// The owner of an address: a Service, or one of its hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) service: ServiceKey,
    pub(crate) host: Option<String>,
}

/// The state of all names at one time. Cloning it is cheap.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    services: imbl::HashMap<ServiceKey, Arc<Records>>,
    /// The namespaces that there are.
    namespaces: imbl::HashSet<Arc<str>>,
    owners: imbl::HashMap<IpAddr, Arc<Vec<Owner>>>,
}

impl Snapshot {
    pub(crate) fn service(&self, key: &ServiceKey) -> Option<&Arc<Records>> {
        self.services.get(key)
    }

    pub(crate) fn has_namespace(&self, namespace: &str) -> bool {
        self.namespaces.contains(namespace)
    }

    pub(crate) fn owners(&self, address: IpAddr) -> &[Owner] {
        self.owners.get(&address).map(|owners| owners.as_slice()).unwrap_or_default()
    }

    /// Replaces the data of a Service.
    fn set(&mut self, key: &ServiceKey, records: Option<Records>) {
        let before = self.services.get(key).cloned();
        if before.as_deref() == records.as_ref() {
            return;
        }
        if let Some(before) = &before {
            for (address, owner) in owners(key, before) {
                self.disown(address, &owner);
            }
        }
        for (address, owner) in records.iter().flat_map(|records| owners(key, records)) {
            let mut all = self.owners.get(&address).map(|owners| owners.to_vec()).unwrap_or_default();
            all.push(owner);
            self.owners.insert(address, Arc::new(all));
        }
        match records {
            Some(records) => self.services.insert(key.clone(), Arc::new(records)),
            None => self.services.remove(key),
        };
    }

    fn disown(&mut self, address: IpAddr, owner: &Owner) {
        let mut all = self.owners.get(&address).map(|owners| owners.to_vec()).unwrap_or_default();
        all.retain(|other| other != owner);
        if all.is_empty() {
            self.owners.remove(&address);
        } else {
            self.owners.insert(address, Arc::new(all));
        }
    }
}

/// Endpoints of a Service with an address own theirs only if they have a name: others' names lead there by accident.
fn owners(key: &ServiceKey, records: &Records) -> Vec<(IpAddr, Owner)> {
    let owner = |host: Option<&str>| Owner { service: key.clone(), host: host.map(str::to_owned) };
    let host = |host: &Host| (host.address, owner(Some(&host.name)));
    match records {
        Records::ClusterIps { addresses, hosts, .. } => {
            let own = addresses.iter().map(|address| (*address, owner(None)));
            own.chain(hosts.iter().filter(|h| h.is_named).map(host)).collect()
        }
        Records::Headless { hosts } => hosts.iter().map(host).collect(),
        Records::ExternalName(_) => Vec::new(),
    }
}

#[derive(Debug, Default)]
struct Source {
    service: Option<Arc<Service>>,
    /// By name.
    slices: BTreeMap<String, Arc<EndpointSlice>>,
}

/// Follows Services and EndpointSlices and publishes snapshots.
#[derive(Debug, Default)]
pub struct Index {
    sources: HashMap<ServiceKey, Source>,
    /// The service of each slice.
    slices: HashMap<ServiceKey, ServiceKey>,
    next: Snapshot,
    published: Arc<ArcSwap<Snapshot>>,
}

impl Index {
    /// An empty index.
    pub fn new() -> Index {
        Index::default()
    }

    /// Where the newest published snapshot is.
    pub fn snapshots(&self) -> Arc<ArcSwap<Snapshot>> {
        Arc::clone(&self.published)
    }

    /// Makes all changes so far visible.
    pub fn publish(&self) {
        self.published.store(Arc::new(self.next.clone()));
    }

    /// Notes whether there is a namespace.
    pub fn namespace_changed(&mut self, name: &str, exists: bool) {
        if exists {
            self.next.namespaces.insert(name.into());
        } else {
            self.next.namespaces.remove(name);
        }
    }

    /// Records the new state of a Service; `None` if it is gone.
    pub fn service_changed(&mut self, key: &ServiceKey, service: Option<Arc<Service>>) {
        self.sources.entry(key.clone()).or_default().service = service;
        self.update(key);
    }

    /// Records the new state of an EndpointSlice; `None` if it is gone.
    pub fn endpoint_slice_changed(&mut self, key: &ServiceKey, slice: Option<Arc<EndpointSlice>>) {
        let labels = slice.as_ref().and_then(|slice| slice.metadata.labels.as_ref());
        let service = labels.and_then(|labels| labels.get(SERVICE_NAME_LABEL));
        let now = service.map(|name| ServiceKey::new(&key.namespace, name));
        let before = match &now {
            Some(service) => self.slices.insert(key.clone(), service.clone()),
            None => self.slices.remove(key),
        };
        if let Some(before) = before.filter(|before| now.as_ref() != Some(before)) {
            self.sources.entry(before.clone()).or_default().slices.remove(&*key.name);
            self.update(&before);
        }
        if let (Some(service), Some(slice)) = (now, slice) {
            self.sources.entry(service.clone()).or_default().slices.insert(key.name.to_string(), slice);
            self.update(&service);
        }
    }

    fn update(&mut self, key: &ServiceKey) {
        let Some(source) = self.sources.get(key) else { return };
        let records = source.service.as_ref().and_then(|service| records(service, &source.slices));
        if source.service.is_none() && source.slices.is_empty() {
            self.sources.remove(key);
        }
        self.next.set(key, records);
    }
}

/// The meaning of a Service's name; `None` if it has no name yet.
fn records(service: &Service, slices: &BTreeMap<String, Arc<EndpointSlice>>) -> Option<Records> {
    let spec = service.spec.as_ref()?;
    if spec.type_.as_deref() == Some("ExternalName") {
        return spec.external_name.clone().map(Records::ExternalName);
    }
    match spec.cluster_ip.as_deref().unwrap_or_default() {
        "" => None,
        "None" => Some(Records::Headless { hosts: hosts(spec, slices) }),
        single => {
            let all = spec.cluster_ips.as_deref().unwrap_or_default();
            let texts = all.iter().map(String::as_str).chain(Some(single).filter(|_| all.is_empty()));
            let addresses = texts.filter_map(|text| text.parse().ok()).collect();
            let ports = spec.ports.iter().flatten().filter_map(|port| {
                self::port(port.name.as_deref(), port.protocol.as_deref(), Some(port.port))
            });
            Some(Records::ClusterIps { addresses, ports: ports.collect(), hosts: hosts(spec, slices) })
        }
    }
}

fn port(name: Option<&str>, protocol: Option<&str>, port: Option<i32>) -> Option<Port> {
    let name = name.unwrap_or_default().to_ascii_lowercase();
    let protocol = protocol.unwrap_or("TCP").to_ascii_lowercase();
    Some(Port { name, protocol, port: u16::try_from(port?).ok()? })
}

fn hosts(spec: &ServiceSpec, slices: &BTreeMap<String, Arc<EndpointSlice>>) -> Vec<Host> {
    let unready_too = spec.publish_not_ready_addresses == Some(true);
    let mut hosts: Vec<Host> = Vec::new();
    for slice in slices.values() {
        let ports = slice.ports.iter().flatten();
        let ports = ports.filter_map(|p| port(p.name.as_deref(), p.protocol.as_deref(), p.port));
        let ports: Arc<[Port]> = ports.collect();
        let endpoints =
            slice.endpoints.iter().flatten().filter(|e| unready_too || EndpointState::of_endpoint(*e).ready);
        hosts.extend(endpoints.flat_map(|endpoint| endpoint_hosts(endpoint, &ports)));
    }
    hosts.sort_by(|a, b| (a.address, &a.name).cmp(&(b.address, &b.name)));
    // While a change moves an endpoint from slice to slice it is in both.
    hosts.dedup();
    hosts
}

fn endpoint_hosts(endpoint: &Endpoint, ports: &Arc<[Port]>) -> impl Iterator<Item = Host> {
    let addresses = endpoint.addresses.iter().filter_map(|text| text.parse::<IpAddr>().ok());
    addresses.map(|address| {
        let given = endpoint.hostname.as_deref().filter(|name| !name.is_empty());
        let name = given.map_or_else(|| dashed(address), str::to_ascii_lowercase);
        Host { name, address, ports: Arc::clone(ports), is_named: given.is_some() }
    })
}

/// An address as a label: `10-42-0-2`, `fd42--2`.
fn dashed(address: IpAddr) -> String {
    address.to_string().replace(['.', ':'], "-")
}
