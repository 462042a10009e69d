//! Services (`pkg/apis/core/validation/validation.go`).

use std::collections::HashSet;
use std::net::IpAddr;

use object::field::{Errors, Path};
use object::{Value, names};

use super::field::Field;
use super::metadata::validate_labels;
use super::pod::{PROTOCOLS, validate_port};

mod addresses;

pub use addresses::validate_cluster_ips;
use addresses::{validate_address_changes, validate_family_changes};

const SERVICE: &str = "io.k8s.api.core.v1.Service";
const SOURCE_RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";
const TOPOLOGY_HINTS: &str = "service.kubernetes.io/topology-aware-hints";
const TOPOLOGY_MODE: &str = "service.kubernetes.io/topology-mode";
const ONLY_LOAD_BALANCER: &str = "may only be used when `type` is 'LoadBalancer'";
const ON_EXTERNAL_NAME: &str = "may not be set for ExternalName services";
/// A day.
const AFFINITY_SECONDS_MAX: i64 = 86_400;

/// Checks a new Service, except its metadata.
pub fn validate_service(service: &Value) -> Errors {
    validate(service, &Value::Null)
}

/// Addresses and networks of the old Service are let pass, however they are written.
fn validate(service: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(service, SERVICE);
    let spec = root.child("spec");
    let annotations = service.at("metadata.annotations");
    let metadata = Path::root("metadata");
    let notes = metadata.child("annotations");
    let (hints, mode) = (annotations.get(TOPOLOGY_HINTS), annotations.get(TOPOLOGY_MODE));
    if !hints.is_null() && !mode.is_null() && hints != mode {
        let why = format!("must match annotations[{TOPOLOGY_HINTS}] when both are specified");
        errors.invalid(&notes.key(TOPOLOGY_MODE), mode.clone(), why);
    }
    validate_type(&mut errors, &spec);
    validate_ports(&mut errors, &spec);
    let selector = spec.child("selector");
    validate_labels(selector.value, &selector.path, &mut errors);
    validate_affinity(&mut errors, &spec);
    errors.append(addresses::validate_cluster_ips_update(service, old));
    let known = texts(old.at("spec.externalIPs"));
    for ip in spec.child("externalIPs").items() {
        let wrong = names::is_valid_ip_for_legacy_field(&ip.path, ip.text(), &known);
        match wrong.is_empty() {
            true => validate_public_ip(&mut errors, &ip),
            false => errors.append(wrong),
        }
    }
    spec.child("type").check_one_of(&mut errors, &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]);
    validate_port_uniqueness(&mut errors, &spec);
    validate_source_ranges(&mut errors, &spec, annotations, &notes, old);
    let allocates = spec.child("allocateLoadBalancerNodePorts");
    match (is_load_balancer(spec.value), allocates.is_set()) {
        (false, true) => allocates.forbidden(&mut errors, ONLY_LOAD_BALANCER),
        // The path is upstream's.
        (true, false) => errors.required(&Path::root("allocateLoadBalancerNodePorts"), ""),
        _ => {}
    }
    validate_class(&mut errors, &spec);
    validate_traffic(&mut errors, &spec);
    errors
}

/// Checks a change of a Service, except its metadata.
pub fn validate_service_update(service: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(service, SERVICE);
    let (spec, before) = (root.child("spec"), old.get("spec"));
    validate_address_changes(&mut errors, &spec, before);
    validate_family_changes(&mut errors, &spec, before);
    let class = spec.child("loadBalancerClass");
    if is_load_balancer(before)
        && is_load_balancer(spec.value)
        && class.value != before.get("loadBalancerClass")
    {
        class.invalid(&mut errors, "may not change once set");
    }
    let port = spec.child("healthCheckNodePort");
    if needs_health_check(before)
        && needs_health_check(spec.value)
        && port.value != before.get("healthCheckNodePort")
    {
        port.forbidden(&mut errors, "field is immutable");
    }
    errors.append(validate(service, old));
    errors
}

fn texts(list: &Value) -> HashSet<&str> {
    list.items().filter_map(Value::as_str).collect()
}

/// Checks a change of a Service's status, except its metadata.
pub fn validate_service_status_update(service: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    let known: HashSet<&str> =
        old.at("status.loadBalancer.ingress").items().filter_map(|point| point.get("ip").as_str()).collect();
    let root = Field::root(service, SERVICE);
    let status = root.child("status");
    let balancer = status.child("loadBalancer");
    let ingresses = balancer.child("ingress");
    if !is_load_balancer(service.get("spec")) && !ingresses.is_empty() {
        ingresses.forbidden(&mut errors, "may only be used when `spec.type` is 'LoadBalancer'");
        return errors;
    }
    for ingress in ingresses.items() {
        let (ip, mode, name) = (ingress.child("ip"), ingress.child("ipMode"), ingress.child("hostname"));
        if !ip.is_empty() {
            errors.append(names::is_valid_ip_for_legacy_field(&ip.path, ip.text(), &known));
        }
        match (ip.is_empty(), mode.is_set()) {
            (false, false) => mode.required(&mut errors, "must be specified when `ip` is set"),
            (true, true) => mode.forbidden(&mut errors, "may not be specified when `ip` is not set"),
            _ => mode.check_known(&mut errors, &["Proxy", "VIP"]),
        }
        name.check_set(&mut errors, names::is_dns1123_subdomain);
        if names::parse_ip_sloppy(name.text()).is_some() {
            name.invalid(&mut errors, "must be a DNS name, not an IP address");
        }
    }
    errors
}

fn is_load_balancer(spec: &Value) -> bool {
    spec.str_at("type") == "LoadBalancer"
}

fn is_external_name(spec: &Value) -> bool {
    spec.str_at("type") == "ExternalName"
}

/// Whether the Service is headless.
fn is_headless(spec: &Value) -> bool {
    let ips: Vec<&Value> = spec.get("clusterIPs").items().collect();
    matches!(ips.as_slice(), [only] if only.as_str() == Some("None"))
}

/// Whether clients outside of the cluster can reach it.
fn is_external(spec: &Value) -> bool {
    match spec.str_at("type") {
        "LoadBalancer" | "NodePort" => true,
        "ClusterIP" => !spec.get("externalIPs").is_empty(),
        _ => false,
    }
}

/// Whether balancers ask each node if it has endpoints.
fn needs_health_check(spec: &Value) -> bool {
    is_load_balancer(spec) && spec.str_at("externalTrafficPolicy") == "Local"
}

fn validate_type(errors: &mut Errors, spec: &Field<'_, '_>) {
    let headless = is_headless(spec.value);
    if spec.child("ports").is_empty() && !headless && !is_external_name(spec.value) {
        spec.child("ports").required(errors, "");
    }
    let ips = spec.child("clusterIPs");
    match spec.child("type").text() {
        kind @ ("LoadBalancer" | "NodePort") if headless => {
            let why = format!("may not be set to 'None' for {kind} services");
            errors.invalid(&ips.path.index(0), "None", why);
        }
        "ExternalName" => {
            for name in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
                let field = spec.child(name);
                if !field.is_empty() {
                    field.forbidden(errors, ON_EXTERNAL_NAME);
                }
            }
            let name = spec.child("externalName");
            match name.text().strip_suffix('.').unwrap_or(name.text()) {
                "" => name.required(errors, ""),
                domain => errors.invalid_each(&name.path, domain, names::is_dns1123_subdomain(domain)),
            }
        }
        _ => {}
    }
}

fn validate_ports(errors: &mut Errors, spec: &Field<'_, '_>) {
    let ports = spec.child("ports");
    let mut seen = HashSet::new();
    for port in ports.items() {
        let name = port.child("name");
        if !name.is_empty() {
            name.check(errors, names::is_dns1123_label);
            if !seen.insert(name.text()) {
                name.duplicate(errors);
            }
        } else if ports.len() > 1 {
            name.required(errors, "");
        }
        let number = port.child("port");
        errors.invalid_each(&number.path, number.number(), names::is_valid_port_num(number.number()));
        port.child("protocol").check_one_of(errors, &PROTOCOLS);
        validate_port(errors, &port.child("targetPort"));
        let application = port.child("appProtocol");
        if application.is_set() {
            application.check(errors, names::is_qualified_name);
        }
    }
}

fn validate_port_uniqueness(errors: &mut Errors, spec: &Field<'_, '_>) {
    let ports = spec.child("ports");
    if spec.child("type").text() == "ClusterIP" {
        for port in ports.items() {
            let node = port.child("nodePort");
            if node.number() != 0 {
                node.forbidden(errors, "may not be used when `type` is 'ClusterIP'");
            }
        }
    }
    let mut seen = HashSet::new();
    for port in ports.items() {
        let node = port.child("nodePort");
        if node.number() != 0 && !seen.insert((port.child("protocol").text(), node.number())) {
            node.duplicate(errors);
        }
    }
    let mut seen = HashSet::new();
    for port in ports.items() {
        let (protocol, number) = (port.child("protocol").text(), port.child("port").number());
        if !seen.insert((protocol, number)) {
            // Upstream prints the port so, with all fields of its internal type.
            let key = object::value!({
                "Name": "", "Protocol": protocol, "AppProtocol": null, "Port": number, "TargetPort": 0, "NodePort": 0,
            });
            errors.duplicate(&port.path, key);
        }
    }
}

fn validate_affinity(errors: &mut Errors, spec: &Field<'_, '_>) {
    let (affinity, config) = (spec.child("sessionAffinity"), spec.child("sessionAffinityConfig"));
    affinity.check_one_of(errors, &["ClientIP", "None"]);
    match affinity.text() {
        "ClientIP" => {
            const WHEN: &str = "when session affinity type is ClientIP";
            let client = config.child("clientIP");
            let seconds = client.child("timeoutSeconds");
            if let Some(missing) = [&config, &client, &seconds].into_iter().find(|field| !field.is_set()) {
                return missing.required(errors, WHEN);
            }
            if !(1..=AFFINITY_SECONDS_MAX).contains(&seconds.number()) {
                seconds
                    .invalid(errors, format!("must be greater than 0 and less than {AFFINITY_SECONDS_MAX}"));
            }
        }
        "None" if config.is_set() => {
            config.forbidden(errors, "must not be set when session affinity is None");
        }
        _ => {}
    }
}

/// Addresses under which nothing outside of a machine can be reached are useless or dangerous here.
pub(super) fn validate_public_ip(errors: &mut Errors, ip: &Field<'_, '_>) {
    let Some(address) = names::parse_ip_sloppy(ip.text()) else {
        return ip.invalid(errors, "must be a valid IP address");
    };
    if address.is_unspecified() {
        ip.invalid(errors, format!("may not be unspecified ({})", ip.text()));
    }
    if address.is_loopback() {
        ip.invalid(errors, "may not be in the loopback range (127.0.0.0/8, ::1/128)");
    }
    let (link_local, multicast) = match address {
        IpAddr::V4(v4) => (v4.is_link_local(), v4.octets()[..3] == [224, 0, 0]),
        IpAddr::V6(v6) => (v6.is_unicast_link_local(), v6.segments()[0] & 0xff0f == 0xff02),
    };
    if link_local {
        ip.invalid(errors, "may not be in the link-local range (169.254.0.0/16, fe80::/10)");
    }
    if multicast {
        ip.invalid(errors, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
    }
}

fn validate_source_ranges(
    errors: &mut Errors,
    spec: &Field<'_, '_>,
    annotations: &Value,
    notes: &Path<'_>,
    old: &Value,
) {
    let ranges = spec.child("loadBalancerSourceRanges");
    // The path is upstream's.
    let ranges = ranges.named(spec.path.child("LoadBalancerSourceRanges"));
    let applies = is_load_balancer(spec.value);
    if !ranges.is_empty() {
        if !applies {
            ranges.forbidden(errors, ONLY_LOAD_BALANCER);
        }
        let known: HashSet<&str> =
            texts(old.at("spec.loadBalancerSourceRanges")).into_iter().map(str::trim).collect();
        for range in ranges.items() {
            errors.append(names::is_valid_cidr_for_legacy_field(&range.path, range.text().trim(), &known));
        }
        return;
    }
    let Some(annotation) = annotations.get(SOURCE_RANGES).as_str() else { return };
    let path = notes.key(SOURCE_RANGES);
    if !applies {
        errors.forbidden(&path, ONLY_LOAD_BALANCER);
    }
    if !annotation.trim().is_empty() {
        let known = old.get("metadata").get("annotations").get(SOURCE_RANGES).as_str();
        let known: HashSet<&str> =
            known.into_iter().flat_map(|known| known.split(',')).map(str::trim).collect();
        for range in annotation.split(',') {
            errors.append(names::is_valid_cidr_for_legacy_field(&path, range.trim(), &known));
        }
    }
}

fn validate_class(errors: &mut Errors, spec: &Field<'_, '_>) {
    let class = spec.child("loadBalancerClass");
    match (class.is_set(), is_load_balancer(spec.value)) {
        (true, true) => class.check(errors, names::is_qualified_name),
        (true, false) => class.forbidden(errors, ONLY_LOAD_BALANCER),
        (false, _) => {}
    }
}

fn validate_traffic(errors: &mut Errors, spec: &Field<'_, '_>) {
    let external = spec.child("externalTrafficPolicy");
    if is_external(spec.value) {
        external.check_one_of(errors, &["Cluster", "Local"]);
    } else if !external.is_empty() {
        external.invalid(errors, "may only be set for externally-accessible services");
    }
    let health = spec.child("healthCheckNodePort");
    match (needs_health_check(spec.value), health.number()) {
        (false, 0) => {}
        (false, _) => {
            let why = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
            health.invalid(errors, why);
        }
        (true, 0) => health.required(errors, ""),
        (true, _) => health.check_number(errors, names::is_valid_port_num),
    }
    let internal = spec.child("internalTrafficPolicy");
    let has_address = matches!(spec.child("type").text(), "NodePort" | "LoadBalancer" | "ClusterIP");
    if !internal.is_set() && has_address {
        internal.required(errors, "");
    }
    internal.check_known(errors, &["Cluster", "Local"]);
    let distributions = ["PreferClose", "PreferSameNode", "PreferSameZone"];
    spec.child("trafficDistribution").check_known(errors, &distributions);
}
