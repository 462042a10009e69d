//! Addresses and networks in forms that old fields take and new ones do not
//! (`k8s.io/apimachinery/pkg/util/validation/ip.go`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use object::field::Path;
use object::names::{parse_cidr_sloppy, parse_ip_sloppy};
use object::{Value, quote};

use crate::validation::field::Field;

/// Warns about an address. One that is none at all is refused elsewhere.
pub(super) fn of_ip(warnings: &mut Vec<String>, path: &Path<'_>, text: &str) {
    let Some(ip) = parse_ip_sloppy(text) else { return };
    let shown = quote(text);
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => {}
        Ok(IpAddr::V6(v6)) if v6.to_ipv4_mapped().is_none() => {
            let canonical = v6.to_string();
            if canonical != text {
                let canonical = quote(&canonical);
                warnings.push(format!(
                    "{path}: IPv6 address {shown} should be in RFC 5952 canonical format ({canonical})"
                ));
            }
        }
        _ => warnings.push(format!(
            "{path}: non-standard IP address {shown} will be considered invalid in a future Kubernetes release: use {}",
            quote(&ip.to_string())
        )),
    }
}

/// Warns about a network.
pub(super) fn of_cidr(warnings: &mut Vec<String>, path: &Path<'_>, text: &str) {
    let Some((ip, length)) = parse_cidr_sloppy(text) else { return };
    let shown = quote(text);
    let network = format!("{}/{length}", masked(ip, length));
    let is_ambiguous = masked(ip, length) != ip;
    if is_ambiguous {
        let alone = format!("{ip}/{}", if ip.is_ipv4() { 32 } else { 128 });
        warnings.push(format!(
            "{path}: CIDR value {shown} is ambiguous in this context (should be {} or {}?)",
            quote(&network),
            quote(&alone)
        ));
    }
    let (address, digits) = text.split_once('/').unwrap_or((text, ""));
    let has_zeros = digits.len() > 1 && digits.starts_with('0');
    match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) if !has_zeros => {}
        Ok(IpAddr::V6(v6)) if v6.to_ipv4_mapped().is_none() && !has_zeros => {
            let canonical = format!("{v6}/{length}");
            if !is_ambiguous && canonical != text {
                let canonical = quote(&canonical);
                warnings.push(format!(
                    "{path}: IPv6 CIDR value {shown} should be in RFC 5952 canonical format ({canonical})"
                ));
            }
        }
        _ => warnings.push(format!(
            "{path}: non-standard CIDR value {shown} will be considered invalid in a future Kubernetes release: use {}",
            quote(&network)
        )),
    }
}

/// The first address of an address's network.
fn masked(ip: IpAddr, length: u8) -> IpAddr {
    let length = u32::from(length);
    match ip {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
        }
    }
}

/// Warns about the addresses of Endpoints, unless the controller wrote them, which has put them right.
pub(crate) fn of_endpoints(endpoints: &Value, _old: Option<&Value>) -> Vec<String> {
    let manager = ["metadata", "labels", "endpoints.kubernetes.io/managed-by"];
    if endpoints.at_path(&manager).as_str() == Some("endpoint-controller") {
        return Vec::new();
    }
    let mut warnings = Vec::new();
    let root = Field::root(endpoints, "io.k8s.api.core.v1.Endpoints");
    for subset in root.child("subsets").items() {
        for list in ["addresses", "notReadyAddresses"] {
            for address in subset.child(list).items() {
                let ip = address.child("ip");
                of_ip(&mut warnings, &ip.path, ip.text());
            }
        }
    }
    warnings
}

/// Warns about the type of an EndpointSlice, and about its addresses unless a controller wrote them.
pub(crate) fn of_endpoint_slice(slice: &Value, _old: Option<&Value>) -> Vec<String> {
    let mut warnings = Vec::new();
    let root = Field::root(slice, "io.k8s.api.discovery.v1.EndpointSlice");
    if slice.str_at("addressType") == "FQDN" {
        // The path is upstream's.
        warnings.push("spec.addressType: FQDN endpoints are deprecated".to_owned());
    }
    let manager = slice.at_path(&["metadata", "labels", "endpointslice.kubernetes.io/managed-by"]).as_str();
    let ours = ["endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io"];
    if manager.is_some_and(|manager| ours.contains(&manager)) {
        return warnings;
    }
    for endpoint in root.child("endpoints").items() {
        for address in endpoint.child("addresses").items() {
            of_ip(&mut warnings, &address.path, address.text());
        }
    }
    warnings
}

/// Warns about the networks of a NetworkPolicy.
pub(crate) fn of_network_policy(policy: &Value, _old: Option<&Value>) -> Vec<String> {
    let mut warnings = Vec::new();
    let root = Field::root(policy, "io.k8s.api.networking.v1.NetworkPolicy");
    let spec = root.child("spec");
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        for rule in spec.child(direction).items() {
            for peer in rule.child(peers).items() {
                let block = peer.child("ipBlock");
                if !block.is_set() {
                    continue;
                }
                let cidr = block.child("cidr");
                of_cidr(&mut warnings, &cidr.path, cidr.text());
                for except in block.child("except").items() {
                    of_cidr(&mut warnings, &except.path, except.text());
                }
            }
        }
    }
    warnings
}

/// Warns about the annotation that named the class before `ingressClassName` was a field, and about the addresses of the
/// status.
pub(crate) fn of_ingress(ingress: &Value, old: Option<&Value>) -> Vec<String> {
    let mut warnings = Vec::new();
    let annotation = ingress.at_path(&["metadata", "annotations", "kubernetes.io/ingress.class"]);
    let Some(old) = old else {
        if !annotation.is_null() && ingress.at("spec.ingressClassName").is_null() {
            warnings.push(
                "annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead"
                    .to_owned(),
            );
        }
        return warnings;
    };
    if old.get("status") == ingress.get("status") {
        return warnings;
    }
    let root = Field::root(ingress, "io.k8s.api.networking.v1.Ingress");
    for point in root.child("status").child("loadBalancer").child("ingress").items() {
        let ip = point.child("ip");
        of_ip(&mut warnings, &ip.path, ip.text());
    }
    warnings
}
