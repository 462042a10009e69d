//! The target of a request for a node, a pod or a Service.

use std::net::{IpAddr, SocketAddr};

use object::{Status, Value};
use schema::GroupResource;

use super::hosts::{Hosts, is_proxyable};
use super::target::{Place, Scheme, Target, object};
use super::{options, service};
use crate::ApiServer;
use crate::request::RequestInfo;

/// The default port of a node.
const NODE_PORT: u16 = 10250;

/// The target of a request; `None` for the log of a pod that is on no node.
pub(super) fn resolve(
    server: &ApiServer,
    info: &RequestInfo,
    options: &Value,
) -> Result<Option<Target>, Status> {
    match (info.group_resource(), info.subresource.as_str()) {
        (GroupResource::NODES, "proxy") => node(server, info).map(Some),
        (GroupResource::SERVICES, "proxy") => service::target(server, info).map(Some),
        (GroupResource::PODS, "proxy") => pod(server, info).map(Some),
        (GroupResource::PODS, _) => node_call(server, info, options),
        _ => Err(Status::internal_error(format!(
            "{} has no backend to forward requests to",
            info.resource_path()
        ))),
    }
}

/// A path of a node's own server.
///
/// # Errors
/// 404 for an unknown node.
pub(super) fn own_server(server: &ApiServer, name: &str, path: &str) -> Result<Target, Status> {
    let address = node_address(server, name)?;
    Ok(Target { scheme: Scheme::Node, address, path_and_query: path.to_owned(), may_redirect: false })
}

/// A node's own server, or another port of the node.
fn node(server: &ApiServer, info: &RequestInfo) -> Result<Target, Status> {
    let invalid = || Status::bad_request(format!("invalid node request {:?}", info.name));
    let place = Place::read(&info.name).ok_or_else(invalid)?;
    let own = node_address(server, place.name)?;
    let port = match place.port {
        "" => own.port(),
        text => text.parse().ok().filter(|port| *port != 0).ok_or_else(invalid)?,
    };
    if port == own.port() {
        return Ok(Target::of_rest(Scheme::Node, own, info));
    }
    // The listener there is not the node's own server, so it is not shown this server's certificate.
    if !is_proxyable(own.ip()) {
        return Err(Status::bad_request("address not allowed"));
    }
    Ok(Target::of_rest(place.scheme, SocketAddr::new(own.ip(), port), info))
}

fn pod(server: &ApiServer, info: &RequestInfo) -> Result<Target, Status> {
    let place = Place::read(&info.name)
        .ok_or_else(|| Status::bad_request(format!("invalid pod request {:?}", info.name)))?;
    let pod = object(server, "pods", &info.namespace, place.name)?;
    let ip: IpAddr =
        pod.str_at("status.podIP").parse().map_err(|_| Status::bad_request("address not allowed"))?;
    let typed = object::from_value(&pod).map_err(|error| crate::errors::internal(&error))?;
    Hosts::of(server).check(&typed, ip)?;
    Ok(Target::of_rest(place.scheme, SocketAddr::new(ip, pod_port(&pod, place.port)?), info))
}

/// Logs, exec, attach and port-forward are served by the node.
fn node_call(server: &ApiServer, info: &RequestInfo, options: &Value) -> Result<Option<Target>, Status> {
    if info.subresource == "log" {
        options::check_log(&info.parameters, &info.name)?;
    }
    let pod = object(server, "pods", &info.namespace, &info.name)?;
    let node = pod.str_at("spec.nodeName");
    let prefix = format!("{}/{}", info.namespace, info.name);
    let path = match info.subresource.as_str() {
        "portforward" => format!("/portForward/{prefix}"),
        subresource => {
            let asked = match subresource {
                "log" => info.parameters.get("container"),
                _ => options.get("container").as_str(),
            };
            let container = container(&pod, asked, subresource)?;
            if node.is_empty() && subresource == "log" {
                return Ok(None);
            }
            let call = if subresource == "log" { "containerLogs" } else { subresource };
            format!("/{call}/{prefix}/{container}")
        }
    };
    if node.is_empty() {
        return Err(Status::bad_request(format!("pod {} does not have a host assigned", info.name)));
    }
    let query = match info.subresource.as_str() {
        "log" => options::log_of_node(&info.parameters),
        _ => options::of_node(options),
    };
    let path_and_query = if query.is_empty() { path } else { format!("{path}?{query}") };
    let address = node_address(server, node)?;
    Ok(Some(Target { scheme: Scheme::Node, address, path_and_query, may_redirect: false }))
}

/// The container that a request names or means.
fn container(pod: &Value, asked: Option<&str>, subresource: &str) -> Result<String, Status> {
    let lists = ["containers", "initContainers", "ephemeralContainers"];
    let names = |list: &str| -> Vec<&str> {
        pod.get("spec").get(list).items().map(|container| container.str_at("name")).collect()
    };
    let pod_name = pod.str_at("metadata.name");
    match asked.filter(|name| !name.is_empty()) {
        Some(name) if lists.iter().any(|list| names(list).contains(&name)) => Ok(name.to_owned()),
        Some(name) => Err(Status::bad_request(format!("container {name} is not valid for pod {pod_name}"))),
        None => {
            let main = names("containers");
            let annotation =
                pod.at_path(&["metadata", "annotations", "kubectl.kubernetes.io/default-container"]);
            match (main.as_slice(), annotation.as_str()) {
                ([only], _) => Ok((*only).to_owned()),
                (several, Some(name)) if subresource != "log" && several.contains(&name) => {
                    Ok(name.to_owned())
                }
                (several, _) => {
                    let mut message = format!(
                        "a container name must be specified for pod {pod_name}, choose one of: [{}]",
                        several.join(" ")
                    );
                    let init = names("initContainers");
                    if !init.is_empty() {
                        message.push_str(&format!(" or one of the init containers: [{}]", init.join(" ")));
                    }
                    Err(Status::bad_request(message))
                }
            }
        }
    }
}

fn node_address(server: &ApiServer, name: &str) -> Result<SocketAddr, Status> {
    let found = server.registry.collection("minions").and_then(|nodes| nodes.get("", name));
    let node = found.map(|node| node.value()).ok_or_else(|| Status::not_found("", "nodes", name))?;
    let address = |kind: &str| {
        let mut addresses = node.at("status.addresses").items();
        addresses.find(|a| a.str_at("type") == kind).and_then(|a| a.str_at("address").parse::<IpAddr>().ok())
    };
    let ip = address("InternalIP").or_else(|| address("ExternalIP"));
    let ip = ip.ok_or_else(|| {
        Status::internal_error(format!("no preferred addresses found; known addresses: [] of node {name}"))
    })?;
    let port = number_of(node.at("status.daemonEndpoints.kubeletEndpoint.Port")).unwrap_or(NODE_PORT);
    Ok(SocketAddr::new(ip, port))
}

/// The port of a pod, by number or by name; the first declared one if none is named, otherwise 80.
fn pod_port(pod: &Value, wanted: &str) -> Result<u16, Status> {
    let declared = || pod.at("spec.containers").items().flat_map(|container| container.get("ports").items());
    if wanted.is_empty() {
        return Ok(declared().find_map(|port| number_of(port.get("containerPort"))).unwrap_or(80));
    }
    let by_name =
        || declared().find(|p| p.str_at("name") == wanted).and_then(|p| number_of(p.get("containerPort")));
    let by_number = wanted.parse().ok().filter(|port| *port != 0);
    by_number.or_else(by_name).ok_or_else(|| Status::bad_request(format!("invalid port {wanted:?}")))
}

fn number_of(value: &Value) -> Option<u16> {
    value.as_i64().and_then(|number| u16::try_from(number).ok()).filter(|number| *number != 0)
}
