//! EndpointSlices and Endpoints.

use std::collections::HashSet;
use std::net::IpAddr;

use object::field::{Error, Errors};
use object::{Value, names};

use super::field::Field;
use super::pod::PROTOCOLS;
use super::service::validate_public_ip;

const SLICE: &str = "io.k8s.api.discovery.v1.EndpointSlice";
const ENDPOINTS: &str = "io.k8s.api.core.v1.Endpoints";
const ADDRESSES_MAX: usize = 100;
const PORTS_MAX: usize = 20_000;
const ENDPOINTS_MAX: usize = 1000;
const HINTS_MAX: usize = 8;
const TOPOLOGY_LABELS_MAX: usize = 16;

/// Checks a new EndpointSlice, except its metadata.
pub fn validate_endpoint_slice(slice: &Value) -> Errors {
    validate_slice(slice, &["FQDN", "IPv4", "IPv6"], &HashSet::new())
}

/// Checks a change of an EndpointSlice, except its metadata. Addresses from the old one are accepted.
pub fn validate_endpoint_slice_update(slice: &Value, old: &Value) -> Errors {
    let endpoints = old.get("endpoints").items();
    let addresses: HashSet<&str> =
        endpoints.flat_map(|endpoint| endpoint.get("addresses").items()).filter_map(Value::as_str).collect();
    let mut errors = validate_slice(slice, &["FQDN", "IP", "IPv4", "IPv6"], &addresses);
    let root = Field::root(slice, SLICE);
    root.child("addressType").check_constant(&mut errors, old.get("addressType"));
    errors
}

fn validate_slice(slice: &Value, types: &[&str], known: &HashSet<&str>) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(slice, SLICE);
    let kind = root.child("addressType");
    kind.check_one_of(&mut errors, types);
    validate_slice_endpoints(&mut errors, &root.child("endpoints"), kind.text(), known);
    validate_slice_ports(&mut errors, &root.child("ports"));
    errors
}

fn validate_slice_endpoints(
    errors: &mut Errors,
    endpoints: &Field<'_, '_>,
    kind: &str,
    known: &HashSet<&str>,
) {
    if endpoints.len() > ENDPOINTS_MAX {
        return errors.push(Error::too_many(&endpoints.path, endpoints.len(), ENDPOINTS_MAX));
    }
    for endpoint in endpoints.items() {
        let addresses = endpoint.child("addresses");
        if addresses.is_empty() {
            addresses.required(errors, "must contain at least 1 address");
        } else if addresses.len() > ADDRESSES_MAX {
            errors.push(Error::too_many(&addresses.path, addresses.len(), ADDRESSES_MAX));
        }
        addresses.items().for_each(|address| validate_address(errors, &address, kind, known));
        let node = endpoint.child("nodeName");
        if node.is_set() {
            node.check(errors, names::is_dns1123_subdomain);
        }
        validate_topology(errors, &endpoint);
        let name = endpoint.child("hostname");
        if name.is_set() {
            name.check(errors, names::is_dns1123_label);
        }
        validate_hints(errors, &endpoint.child("hints"));
    }
}

fn validate_topology(errors: &mut Errors, endpoint: &Field<'_, '_>) {
    let topology = endpoint.child("deprecatedTopology");
    let topology = topology.named(endpoint.path.child("deprecatedTopology"));
    if topology.len() > TOPOLOGY_LABELS_MAX {
        errors.push(Error::too_many(&topology.path, topology.len(), TOPOLOGY_LABELS_MAX));
    }
    super::metadata::validate_labels(topology.value, &topology.path, errors);
    if !topology.value.get("kubernetes.io/hostname").is_null() {
        let path = topology.path.key("kubernetes.io/hostname");
        errors.invalid(&path, topology.value.clone(), "may not be set unless it is the value of nodeName");
    }
}

fn validate_address(errors: &mut Errors, address: &Field<'_, '_>, kind: &str, known: &HashSet<&str>) {
    let text = address.text();
    match kind {
        "IPv4" | "IPv6" => {
            let wrong = names::is_valid_ip_for_legacy_field(&address.path, text, known);
            let is_v4 = matches!(names::parse_ip_sloppy(text), Some(IpAddr::V4(_)));
            if wrong.is_empty() && is_v4 != (kind == "IPv4") {
                address.invalid(errors, format!("must be an {kind} address"));
            }
            let good = wrong.is_empty();
            errors.append(wrong);
            if good {
                validate_public_ip(errors, address);
            }
        }
        "IP" => errors.append(names::is_valid_ip_for_legacy_field(&address.path, text, known)),
        "FQDN" => validate_domain(errors, address),
        _ => {}
    }
}

/// A DNS name with a domain.
fn validate_domain(errors: &mut Errors, name: &Field<'_, '_>) {
    if name.is_empty() {
        return name.required(errors, "");
    }
    let text = name.text().strip_suffix('.').unwrap_or(name.text());
    let wrong = names::is_dns1123_subdomain(text);
    if !wrong.is_empty() {
        errors.invalid(&name.path, text, wrong.join(","));
    } else if !text.contains('.') {
        errors.invalid(&name.path, text, "should be a domain with at least two segments separated by dots");
    } else {
        for label in text.split('.') {
            let wrong = names::is_dns1123_label(label);
            if !wrong.is_empty() {
                return errors.invalid(&name.path, label, wrong.join(","));
            }
        }
    }
}

/// The hints of an endpoint.
fn validate_hints(errors: &mut Errors, hints: &Field<'_, '_>) {
    for list in ["forZones", "forNodes"] {
        let places = hints.child(list);
        if places.len() > HINTS_MAX {
            errors.push(Error::too_many(&places.path, places.len(), HINTS_MAX));
            continue;
        }
        let mut seen = HashSet::new();
        for place in places.items() {
            let name = place.child("name");
            if !seen.insert(name.text()) {
                name.duplicate(errors);
            }
            match list {
                "forNodes" => name.check(errors, names::is_dns1123_subdomain),
                _ => name.check(errors, names::is_valid_label_value),
            }
        }
    }
}

fn validate_slice_ports(errors: &mut Errors, ports: &Field<'_, '_>) {
    if ports.len() > PORTS_MAX {
        return errors.push(Error::too_many(&ports.path, ports.len(), PORTS_MAX));
    }
    let mut seen = HashSet::new();
    for port in ports.items() {
        let (name, protocol) = (port.child("name"), port.child("protocol"));
        name.check_set(errors, names::is_dns1123_label);
        if !seen.insert(name.text()) {
            name.duplicate(errors);
        }
        match protocol.is_set() {
            true => protocol.check_known(errors, &PROTOCOLS),
            false => protocol.required(errors, ""),
        }
        port.child("port").check_number(errors, names::is_valid_port_num);
        let application = port.child("appProtocol");
        if application.is_set() {
            application.check(errors, names::is_qualified_name);
        }
    }
}

/// Checks new Endpoints, except their metadata.
pub fn validate_endpoints(endpoints: &Value) -> Errors {
    validate_endpoints_update(endpoints, &Value::Null)
}

/// Checks a change of Endpoints, except their metadata. Addresses from the old ones are accepted.
pub fn validate_endpoints_update(endpoints: &Value, old: &Value) -> Errors {
    let subsets = old.get("subsets").items();
    let addresses = subsets
        .flat_map(|subset| subset.get("addresses").items().chain(subset.get("notReadyAddresses").items()));
    let known: HashSet<&str> = addresses.filter_map(|address| address.get("ip").as_str()).collect();
    let mut errors = Errors::new();
    let root = Field::root(endpoints, ENDPOINTS);
    for subset in root.child("subsets").items() {
        let (ready, others) = (subset.child("addresses"), subset.child("notReadyAddresses"));
        if ready.is_empty() && others.is_empty() {
            subset.required(&mut errors, "must specify `addresses` or `notReadyAddresses`");
        }
        for address in ready.items().chain(others.items()) {
            let ip = address.child("ip");
            errors.append(names::is_valid_ip_for_legacy_field(&ip.path, ip.text(), &known));
            address.child("hostname").check_set(&mut errors, names::is_dns1123_label);
            let node = address.child("nodeName");
            if node.is_set() {
                node.check(&mut errors, names::is_dns1123_subdomain);
            }
            validate_public_ip(&mut errors, &ip);
        }
        let ports = subset.child("ports");
        for port in ports.items() {
            let (name, number) = (port.child("name"), port.child("port"));
            if ports.len() > 1 && name.is_empty() {
                name.required(&mut errors, "");
            }
            name.check_set(&mut errors, names::is_dns1123_label);
            errors.invalid_each(&number.path, number.number(), names::is_valid_port_num(number.number()));
            port.child("protocol").check_one_of(&mut errors, &PROTOCOLS);
            let application = port.child("appProtocol");
            if application.is_set() {
                application.check(&mut errors, names::is_qualified_name);
            }
        }
    }
    errors
}
