//! Selection of a Service's endpoint for a request.

use std::net::{IpAddr, SocketAddr};

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use object::{Status, Value};

use super::hosts::Hosts;
use super::target::{Place, Target, object};
use crate::ApiServer;
use crate::request::RequestInfo;

/// A ready endpoint that is a pod of the Service's namespace. A slice may contain anything that its author wrote; an
/// endpoint counts only if the pod that it refers to has exactly that address (upstream: `isValidAddress`).
pub(super) fn target(server: &ApiServer, info: &RequestInfo) -> Result<Target, Status> {
    let place = Place::read(&info.name)
        .ok_or_else(|| Status::bad_request(format!("invalid service request {:?}", info.name)))?;
    let service = object(server, "services/specs", &info.namespace, place.name)?;
    let port = port(&service, place)?;
    let candidates = candidates(server, &info.namespace, place.name, &port);
    // The first valid one from a random position on: usually one check is enough.
    let start = server.registry.clock.random_below(candidates.len().max(1) as u64) as usize;
    let hosts = Hosts::of(server);
    let mut in_turn = candidates.iter().cycle().skip(start).take(candidates.len());
    let chosen = in_turn.find(|candidate| candidate.is_of_pod(server, &hosts, &info.namespace));
    let chosen = chosen.ok_or_else(|| {
        Status::service_unavailable(format!("no endpoints available for service {:?}", info.name))
    })?;
    Ok(Target::of_rest(place.scheme, chosen.address, info))
}

/// An address that a slice claims to be a pod's.
struct Candidate {
    address: SocketAddr,
    pod: String,
}

/// The ready endpoints that refer to a pod of the namespace.
fn candidates(server: &ApiServer, namespace: &str, service: &str, port: &str) -> Vec<Candidate> {
    let slices = server.registry.collection("endpointslices");
    let slices = slices.map(|slices| slices.objects()).unwrap_or_default();
    let of_service = slices.values().filter(|slice| {
        slice.namespace() == namespace && slice.label("kubernetes.io/service-name") == Some(service)
    });
    let mut candidates = Vec::new();
    for slice in of_service.filter_map(|slice| slice.decode::<EndpointSlice>().ok()) {
        let mut ports = slice.ports.iter().flatten();
        let number = ports.find(|one| one.name.as_deref().unwrap_or_default() == port);
        let Some(number) = number.and_then(|one| u16::try_from(one.port?).ok()) else { continue };
        for endpoint in slice.endpoints.iter().flatten() {
            let ready = endpoint.conditions.as_ref().and_then(|conditions| conditions.ready) != Some(false);
            let reference = endpoint.target_ref.as_ref().filter(|reference| {
                reference.kind.as_deref() == Some("Pod") && reference.namespace.as_deref() == Some(namespace)
            });
            let Some(pod) = reference.and_then(|r| r.name.as_deref()).filter(|_| ready) else { continue };
            let ips = endpoint.addresses.iter().filter_map(|ip| ip.parse::<IpAddr>().ok());
            candidates.extend(
                ips.map(|ip| Candidate { address: SocketAddr::new(ip, number), pod: pod.to_owned() }),
            );
        }
    }
    candidates
}

impl Candidate {
    /// Whether the pod has that very address, and may have it.
    fn is_of_pod(&self, server: &ApiServer, hosts: &Hosts, namespace: &str) -> bool {
        let pod = server.registry.collection("pods").and_then(|pods| pods.get(namespace, &self.pod));
        let Some(pod) = pod.and_then(|pod| pod.decode::<Pod>().ok()) else { return false };
        let ip = self.address.ip();
        let has =
            |text: &str| text.parse::<IpAddr>().is_ok_and(|own| own.to_canonical() == ip.to_canonical());
        let is_own = pod.status.as_ref().is_some_and(|status| {
            status.pod_ip.as_deref().is_some_and(has)
                || status.pod_ips.iter().flatten().any(|own| has(&own.ip))
        });
        is_own && hosts.check(&pod, ip).is_ok()
    }
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
