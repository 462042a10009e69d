//! Which endpoint of a Service gets a request.

use std::net::{IpAddr, SocketAddr};

use object::{Status, Value, Versioned};

use super::resolve::{Place, Target, number_of, object};
use super::targets::check_pod_address;
use crate::ApiServer;
use crate::request::RequestInfo;

/// A ready endpoint that is a pod of the Service's namespace. A slice may say whatever its author wants; it counts only
/// where the pod that it refers to has that very address (upstream: `isValidAddress`).
pub(super) fn target(server: &ApiServer, info: &RequestInfo) -> Result<Target, Status> {
    let place = Place::read(&info.name)
        .ok_or_else(|| Status::bad_request(format!("invalid service request {:?}", info.name)))?;
    let service = object(server, "services/specs", &info.namespace, place.name)?;
    let port = port(&service, place)?;
    let slices = server.registry.collection("endpointslices");
    let slices = slices.map(|slices| slices.snapshot(&server.registry.hub).objects).unwrap_or_default();
    let of_service = slices.values().filter(|slice| {
        slice.namespace() == info.namespace && slice.label("kubernetes.io/service-name") == Some(place.name)
    });
    let mut addresses = Vec::new();
    for slice in of_service.map(Versioned::value) {
        let number = slice.get("ports").items().find(|p| p.str_at("name") == port);
        let Some(number) = number.and_then(|p| number_of(p.get("port"))) else { continue };
        let ready = |endpoint: &&Value| endpoint.at("conditions.ready").as_bool() != Some(false);
        for endpoint in slice.get("endpoints").items().filter(ready) {
            let ips = endpoint.get("addresses").items().filter_map(|ip| ip.as_str()?.parse::<IpAddr>().ok());
            let of_pod = ips.filter(|ip| is_of_pod(server, &info.namespace, endpoint, *ip));
            addresses.extend(of_pod.map(|ip| SocketAddr::new(ip, number)));
        }
    }
    if addresses.is_empty() {
        let why = format!("no endpoints available for service {:?}", info.name);
        return Err(Status::service_unavailable(why));
    }
    let chosen = server.registry.clock.random_below(addresses.len() as u64) as usize;
    Ok(Target::of_rest(place.scheme, addresses[chosen], info))
}

/// The name of the Service's port that a request names or means.
fn port(service: &Value, place: Place<'_>) -> Result<String, Status> {
    let wanted = place.port;
    let number: Option<i64> = wanted.parse().ok();
    let mut ports = service.at("spec.ports").items();
    let port = ports.find(|port| match number {
        Some(number) => port.get("port").as_i64() == Some(number),
        None => wanted.is_empty() || port.str_at("name") == wanted,
    });
    port.map(|port| port.str_at("name").to_owned()).ok_or_else(|| {
        let shown = number.map_or_else(|| format!("{wanted:?}"), |number| number.to_string());
        Status::service_unavailable(format!("no service port {shown} found for service {:?}", place.name))
    })
}

fn is_of_pod(server: &ApiServer, namespace: &str, endpoint: &Value, ip: IpAddr) -> bool {
    let reference = endpoint.get("targetRef");
    if reference.str_at("kind") != "Pod" || reference.str_at("namespace") != namespace {
        return false;
    }
    let Ok(pod) = object(server, "pods", namespace, reference.str_at("name")) else { return false };
    let has = |text: &str| text.parse::<IpAddr>().is_ok_and(|own| own.to_canonical() == ip.to_canonical());
    let is_own =
        has(pod.str_at("status.podIP")) || pod.at("status.podIPs").items().any(|own| has(own.str_at("ip")));
    is_own && check_pod_address(server, &pod, ip).is_ok()
}
