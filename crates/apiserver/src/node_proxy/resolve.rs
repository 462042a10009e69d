//! Whom a request for a node, a pod or a service is for.

use std::net::{IpAddr, SocketAddr};

use object::{Status, Value};

use crate::ApiServer;
use crate::request::{RequestInfo, query_pairs};

/// The port of a node that says none.
const NODE_PORT: u16 = 10250;

/// How a target is dialed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    Https,
    /// TLS with the server's client certificate, and the node's certificate verified.
    Node,
}

/// Where a request goes.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) scheme: Scheme,
    pub(super) address: SocketAddr,
    pub(super) path_and_query: String,
}

/// The target of a request; `None` for the log of a pod that is on no node.
pub(super) async fn resolve(
    server: &ApiServer,
    info: &RequestInfo,
    query: Option<&str>,
) -> Result<Option<Target>, Status> {
    match (info.resource.as_str(), info.subresource.as_str()) {
        ("nodes", _) => {
            let (_, name, _) = split_name(&info.name);
            let address = node_address(server, name)?;
            let path_and_query = join_path(&info.rest, query);
            Ok(Some(Target { scheme: Scheme::Node, address, path_and_query }))
        }
        ("services", _) => service(server, info, query).map(Some),
        ("pods", "proxy") => {
            let (scheme, name, port) = split_name(&info.name);
            let pod = object(server, "pods", &info.namespace, name)?;
            let address = SocketAddr::new(pod_ip(&pod)?, pod_port(&pod, port)?);
            Ok(Some(Target { scheme, address, path_and_query: join_path(&info.rest, query) }))
        }
        _ => node_call(server, info, query),
    }
}

/// Logs, exec, attach and port-forward are the node's.
fn node_call(server: &ApiServer, info: &RequestInfo, query: Option<&str>) -> Result<Option<Target>, Status> {
    let pod = object(server, "pods", &info.namespace, &info.name)?;
    let node = pod.str_at("spec.nodeName");
    let prefix = format!("{}/{}", info.namespace, info.name);
    let path = match info.subresource.as_str() {
        "portforward" => format!("/portForward/{prefix}"),
        subresource => {
            let container = container(&pod, query, subresource)?;
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
    let query = if info.subresource == "log" { query.map(str::to_owned) } else { query.map(node_query) };
    let path_and_query = match query {
        Some(query) if !query.is_empty() => format!("{path}?{query}"),
        _ => path,
    };
    Ok(Some(Target { scheme: Scheme::Node, address: node_address(server, node)?, path_and_query }))
}

/// The node calls the streams by other names than the API does.
fn node_query(query: &str) -> String {
    let rename = |pair: &str| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let on = matches!(value, "true" | "1");
        match key {
            "stdin" | "stdout" | "stderr" | "tty" if !on => None,
            "stdin" => Some("input=1".to_owned()),
            "stdout" => Some("output=1".to_owned()),
            "stderr" => Some("error=1".to_owned()),
            "tty" => Some("tty=1".to_owned()),
            "container" => None,
            _ => Some(pair.to_owned()),
        }
    };
    query.split('&').filter_map(rename).collect::<Vec<_>>().join("&")
}

/// The container that a request names or means.
fn container(pod: &Value, query: Option<&str>, subresource: &str) -> Result<String, Status> {
    let lists = ["containers", "initContainers", "ephemeralContainers"];
    let names = |list: &str| -> Vec<&str> {
        pod.get("spec").get(list).items().map(|container| container.str_at("name")).collect()
    };
    let pod_name = pod.str_at("metadata.name");
    let asked = query_pairs(query).find(|(key, _)| key == "container").map(|(_, value)| value.into_owned());
    match asked.filter(|name| !name.is_empty()) {
        Some(name) if lists.iter().any(|list| names(list).contains(&name.as_str())) => Ok(name),
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

fn service(server: &ApiServer, info: &RequestInfo, query: Option<&str>) -> Result<Target, Status> {
    let (scheme, name, port) = split_name(&info.name);
    let service = object(server, "services/specs", &info.namespace, name)?;
    let unavailable =
        || Status::service_unavailable(format!("no endpoints available for service {:?}", info.name));
    let ports = service.at("spec.ports");
    let port = ports
        .items()
        .find(|p| {
            port.is_none_or(|wanted| {
                p.str_at("name") == wanted || number(p.get("port")) == wanted.parse().ok()
            })
        })
        .ok_or_else(|| {
            Status::service_unavailable(format!(
                "no service port {:?} found for service {name:?}",
                port.unwrap_or_default()
            ))
        })?;
    let slices = server.registry.collection("endpointslices").ok_or_else(unavailable)?;
    let slices = slices.snapshot(&server.registry.hub).objects;
    let of_service = slices.values().filter(|slice| {
        slice.namespace() == info.namespace && slice.label("kubernetes.io/service-name") == Some(name)
    });
    let mut addresses = Vec::new();
    for slice in of_service.map(object::Versioned::value) {
        let number = slice.get("ports").items().find(|p| p.str_at("name") == port.str_at("name"));
        let Some(number) = number.and_then(|p| number_of(p.get("port"))) else { continue };
        for endpoint in slice.get("endpoints").items() {
            if endpoint.at("conditions.ready").as_bool() == Some(false) {
                continue;
            }
            let ips = endpoint.get("addresses").items().filter_map(|ip| ip.as_str()?.parse::<IpAddr>().ok());
            addresses.extend(ips.map(|ip| SocketAddr::new(ip, number)));
        }
    }
    if addresses.is_empty() {
        return Err(unavailable());
    }
    let chosen = server.registry.clock.random_below(addresses.len() as u64) as usize;
    Ok(Target { scheme, address: addresses[chosen], path_and_query: join_path(&info.rest, query) })
}

fn object(server: &ApiServer, path: &'static str, namespace: &str, name: &str) -> Result<Value, Status> {
    let plural = path.split('/').next().unwrap_or(path);
    let found = server.registry.collection(path).and_then(|collection| collection.get(namespace, name));
    found.map(|object| object.value()).ok_or_else(|| Status::not_found("", plural, name))
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

fn pod_ip(pod: &Value) -> Result<IpAddr, Status> {
    let ip = pod.str_at("status.podIP");
    ip.parse().map_err(|_| {
        Status::bad_request(format!("address not allowed: pod {} has no IP", pod.str_at("metadata.name")))
    })
}

/// The port of a pod, by number or by name; the first declared one if none is named, else 80.
fn pod_port(pod: &Value, wanted: Option<&str>) -> Result<u16, Status> {
    let declared = || pod.at("spec.containers").items().flat_map(|container| container.get("ports").items());
    match wanted {
        None => Ok(declared().find_map(|port| number_of(port.get("containerPort"))).unwrap_or(80)),
        Some(text) => text
            .parse()
            .ok()
            .or_else(|| {
                declared().find(|p| p.str_at("name") == text).and_then(|p| number_of(p.get("containerPort")))
            })
            .ok_or_else(|| Status::bad_request(format!("invalid port {text:?}"))),
    }
}

/// `[SCHEME:]NAME[:PORT]`
fn split_name(text: &str) -> (Scheme, &str, Option<&str>) {
    let (scheme, rest) = match text.split_once(':') {
        Some(("http", rest)) => (Scheme::Http, rest),
        Some(("https", rest)) => (Scheme::Https, rest),
        _ => (Scheme::Http, text),
    };
    match rest.split_once(':') {
        Some((name, port)) => (scheme, name, Some(port).filter(|port| !port.is_empty())),
        None => (scheme, rest, None),
    }
}

fn join_path(rest: &str, query: Option<&str>) -> String {
    match query {
        Some(query) => format!("/{rest}?{query}"),
        None => format!("/{rest}"),
    }
}

fn number(value: &Value) -> Option<i64> {
    value.as_i64()
}

fn number_of(value: &Value) -> Option<u16> {
    value.as_i64().and_then(|number| u16::try_from(number).ok()).filter(|number| *number != 0)
}
