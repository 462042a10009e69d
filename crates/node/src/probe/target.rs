//! The targets of probes and hooks.

use std::time::Duration;

use k8s_openapi::api::core::v1::{HTTPGetAction, LifecycleHandler, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::http::HttpTarget;
use crate::pod::PodContainer;

/// The target of a probe or a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Exec(Vec<String>),
    Http(HttpTarget),
    Tcp { host: String, port: u16 },
    Grpc { host: String, port: u16, service: String },
    Sleep(Duration),
}

/// The target of a probe.
///
/// # Errors
/// The reason why there is none.
pub(super) fn probe_target(
    probe: &Probe,
    container: &PodContainer,
    ips: &[String],
) -> Result<Target, String> {
    let handler = LifecycleHandler {
        exec: probe.exec.clone(),
        http_get: probe.http_get.clone(),
        tcp_socket: probe.tcp_socket.clone(),
        sleep: None,
    };
    match &probe.grpc {
        Some(grpc) => Ok(Target::Grpc {
            host: ips.first().cloned().unwrap_or_default(),
            port: u16::try_from(grpc.port).map_err(|_| format!("invalid port number: {}", grpc.port))?,
            service: grpc.service.clone().unwrap_or_default(),
        }),
        None => handler_target(&handler, container, ips),
    }
}

/// The target of a lifecycle hook.
///
/// # Errors
/// The reason why there is none.
pub(crate) fn handler_target(
    handler: &LifecycleHandler,
    container: &PodContainer,
    ips: &[String],
) -> Result<Target, String> {
    let own_ip = || ips.first().cloned().unwrap_or_default();
    let host_or_own =
        |host: &Option<String>| host.clone().filter(|host| !host.is_empty()).unwrap_or_else(own_ip);
    if let Some(exec) = &handler.exec {
        return Ok(Target::Exec(exec.command.clone().unwrap_or_default()));
    }
    if let Some(get) = &handler.http_get {
        return Ok(Target::Http(http_target(get, container, host_or_own(&get.host))?));
    }
    if let Some(tcp) = &handler.tcp_socket {
        return Ok(Target::Tcp { host: host_or_own(&tcp.host), port: port(&tcp.port, container)? });
    }
    if let Some(sleep) = &handler.sleep {
        return Ok(Target::Sleep(Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or(0))));
    }
    Err("missing probe handler".to_owned())
}

fn http_target(get: &HTTPGetAction, container: &PodContainer, host: String) -> Result<HttpTarget, String> {
    let headers = get.http_headers.iter().flatten();
    Ok(HttpTarget {
        tls: get.scheme.as_deref().is_some_and(|scheme| scheme.eq_ignore_ascii_case("https")),
        host,
        port: port(&get.port, container)?,
        path: get.path.clone().unwrap_or_default(),
        headers: headers.map(|header| (header.name.clone(), header.value.clone())).collect(),
    })
}

/// A port by number, or by its name in the container.
fn port(wanted: &IntOrString, container: &PodContainer) -> Result<u16, String> {
    let number = match wanted {
        IntOrString::Int(number) => *number,
        IntOrString::String(name) => {
            let mut ports = container.spec.ports.iter().flatten();
            let named = ports.find(|port| port.name.as_deref() == Some(name)).map(|port| port.container_port);
            named
                .or_else(|| name.parse().ok())
                .ok_or_else(|| format!("strconv.Atoi: parsing {name:?}: invalid syntax"))?
        }
    };
    u16::try_from(number)
        .ok()
        .filter(|port| *port > 0)
        .ok_or_else(|| format!("invalid port number: {number}"))
}
