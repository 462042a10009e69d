//! The list of API servers: those from the flags, and those in the EndpointSlices of the cluster's own Service
//! `kubernetes`. The list is stored in a file, so that an agent finds a running server after a restart too.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use client::{Informer, Informers, Servers};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use tls::write_secret;
use tokio::sync::Notify;

/// The namespace and the name of the API servers' Service.
const SERVICE: (&str, &str) = ("default", "kubernetes");
/// The label with the name of a slice's Service.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// The list on disk.
pub struct ServersFile(PathBuf);

impl ServersFile {
    /// The file in a directory.
    pub fn new(directory: &Path) -> ServersFile {
        ServersFile(directory.join("servers"))
    }

    /// The addresses in the file, one per line; empty if there is no file.
    pub fn read(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.0).unwrap_or_default();
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }

    fn write(&self, addresses: &[String]) {
        if let Err(error) = write_secret(&self.0, format!("{}\n", addresses.join("\n")).as_bytes()) {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "cannot store the list of API servers");
        }
    }
}

/// One list of another's addresses behind its own, each once.
pub fn joined(first: &[String], then: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut all = first.to_vec();
    for address in then {
        if !all.contains(&address) {
            all.push(address);
        }
    }
    all
}

/// Keeps the servers up to date until it is dropped. Those from the flags always stay: they may be a workaround for a
/// problem in the cluster.
pub async fn follow(servers: Arc<Servers>, flags: Vec<String>, file: ServersFile, informers: Informers) {
    let slices = informers.get::<EndpointSlice>();
    let changed = Arc::new(Notify::new());
    let notify = Arc::clone(&changed);
    let _woken = slices.subscribe(move |change| {
        if is_of_servers(change.object()) {
            notify.notify_one();
        }
    });
    slices.synced().await;
    loop {
        let known = joined(&flags, named(&slices));
        servers.replace(known.clone());
        if file.read() != known {
            file.write(&known);
        }
        changed.notified().await;
    }
}

fn named(slices: &Informer<EndpointSlice>) -> Vec<String> {
    let mut slices = slices.in_namespace(SERVICE.0);
    slices.retain(|slice| is_of_servers(slice));
    slices.sort_by(|one, other| one.metadata.name.cmp(&other.metadata.name));
    slices.iter().flat_map(|slice| addresses(slice)).collect()
}

fn is_of_servers(slice: &EndpointSlice) -> bool {
    let labels = slice.metadata.labels.as_ref();
    let service = labels.and_then(|labels| labels.get(SERVICE_LABEL)).map(String::as_str);
    slice.metadata.namespace.as_deref() == Some(SERVICE.0) && service == Some(SERVICE.1)
}

/// The addresses (`host:port`) of a slice's endpoints that are ready.
fn addresses(slice: &EndpointSlice) -> Vec<String> {
    let ports = slice.ports.iter().flatten().filter(|port| port.name.as_deref() == Some("https"));
    let Some(port) = ports.filter_map(|port| u16::try_from(port.port?).ok()).next() else {
        return Vec::new();
    };
    let endpoints = slice.endpoints.iter().flatten();
    let ready = endpoints.filter(|endpoint| semantics::EndpointState::of_endpoint(*endpoint).ready);
    let ips = ready.flat_map(|endpoint| &endpoint.addresses).filter_map(|ip| ip.parse::<IpAddr>().ok());
    ips.map(|ip| SocketAddr::new(ip, port).to_string()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn slices_name_servers_that_are_ready() {
        let slice = |label: &str| -> EndpointSlice {
            serde_json::from_value(json!({
                "metadata": {"name": "kubernetes", "namespace": "default", "labels": {SERVICE_LABEL: label}},
                "addressType": "IPv4",
                "endpoints": [
                    {"addresses": ["192.0.2.1"]},
                    {"addresses": ["192.0.2.2"], "conditions": {"ready": false}},
                    {"addresses": ["2001:db8::1"], "conditions": {"ready": true}}
                ],
                "ports": [{"name": "https", "port": 6443}]
            }))
            .unwrap()
        };
        assert!(is_of_servers(&slice("kubernetes")) && !is_of_servers(&slice("web")));
        let named = addresses(&slice("kubernetes"));
        assert_eq!(named, ["192.0.2.1:6443", "[2001:db8::1]:6443"]);
        assert_eq!(
            joined(&["a:1".into(), named[0].clone()], named),
            ["a:1", "192.0.2.1:6443", "[2001:db8::1]:6443"]
        );
    }
}
