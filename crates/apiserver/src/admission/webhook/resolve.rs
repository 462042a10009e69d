//! Where the pods of a Service are (upstream: `util/proxy`'s `ResolveEndpoint`).
//!
//! The addresses are those of the Service's endpoints and not its own: the host of this server need not run a service
//! proxy. Whoever may write endpoints may lead reviews elsewhere, but nobody reads them there without the key to a
//! certificate that the webhook's author trusts.

use std::net::{IpAddr, SocketAddr};
use std::ops::Bound;

use object::{Value, quote};
use schema::GroupResource;

use crate::admission::Reader;

const SLICES: GroupResource<'static> = GroupResource::new("discovery.k8s.io", "endpointslices");
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// Where a Service is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// At one of these addresses; there is at least one.
    Addresses(Vec<SocketAddr>),
    /// At a host outside the cluster.
    Host(String, u16),
}

impl Place {
    /// The address to try first.
    pub(super) fn first(&self) -> Option<SocketAddr> {
        match self {
            Place::Addresses(addresses) => addresses.first().copied(),
            Place::Host(..) => None,
        }
    }
}

/// Where a port of a Service is.
///
/// # Errors
/// In upstream's words, if it is nowhere.
pub(super) fn resolve(reader: &dyn Reader, namespace: &str, name: &str, port: u16) -> Result<Place, String> {
    let service = reader.get(GroupResource::SERVICES, namespace, name);
    let service = service.ok_or_else(|| format!("service {} not found", quote(name)))?.value();
    if service.str_at("spec.type") == "ExternalName" {
        return Ok(Place::Host(service.str_at("spec.externalName").to_owned(), port));
    }
    let mut ports = service.at("spec.ports").items();
    let port_name = ports
        .find(|one| one.get("port").as_i64() == Some(i64::from(port)))
        .map(|one| one.str_at("name"))
        .ok_or_else(|| format!("no service port {port} found for service {}", quote(name)))?;
    let mut addresses = Vec::new();
    let slices = reader.all(SLICES);
    let prefix = format!("{namespace}/");
    let from = (Bound::Included(prefix.as_str()), Bound::Unbounded);
    let of_namespace = slices.range::<_, str>(from).take_while(|(key, _)| key.starts_with(&prefix));
    for (_, slice) in of_namespace.filter(|(_, slice)| slice.label(SERVICE_NAME) == Some(name)) {
        addresses.extend(ready(&slice.value(), port_name));
    }
    // Those of the Service's first family, if there are any.
    let is_first = |address: &SocketAddr| match service.at("spec.ipFamilies").items().next() {
        Some(family) => address.is_ipv6() == (family.as_str() == Some("IPv6")),
        None => true,
    };
    if addresses.iter().any(is_first) {
        addresses.retain(is_first);
    }
    match addresses.is_empty() {
        true => Err(format!("no endpoints available for service {}", quote(name))),
        false => Ok(Place::Addresses(addresses)),
    }
}

/// The addresses of a slice that take connections for the port with this name.
fn ready(slice: &Value, port: &str) -> Vec<SocketAddr> {
    let port = slice.get("ports").items().find(|one| one.str_at("name") == port);
    let number = port.and_then(|one| one.get("port").as_i64()).and_then(|port| u16::try_from(port).ok());
    let Some(number) = number else { return Vec::new() };
    let endpoints = slice.get("endpoints").items();
    let ready = endpoints.filter(|endpoint| semantics::EndpointState::of_endpoint(*endpoint).ready);
    // The first address of an endpoint, as in upstream; others lead to the same pod.
    let address =
        |endpoint: &Value| endpoint.get("addresses").items().next()?.as_str()?.parse::<IpAddr>().ok();
    ready.filter_map(address).map(|ip| SocketAddr::new(ip, number)).collect()
}
