//! Environment variables of Services (`pkg/kubelet/envvars`).

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Service;

/// The Service in every pod's environment.
const API_SERVICE: (&str, &str) = ("default", "kubernetes");

/// The variables of the Services for a pod in `namespace`: the API server's, and with `links` those of its own
/// namespace, which take precedence.
pub(crate) fn service_environment(
    services: &[Arc<Service>],
    namespace: &str,
    links: bool,
) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    let place = |service: &Service| {
        let meta = &service.metadata;
        (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
    };
    let is_api =
        |(in_namespace, name): &(String, String)| (in_namespace.as_str(), name.as_str()) == API_SERVICE;
    for service in services.iter().filter(|service| is_api(&place(service))) {
        add(service, &mut variables);
    }
    for service in services.iter().filter(|service| links && place(service).0 == namespace) {
        add(service, &mut variables);
    }
    variables
}

fn variable_name(text: &str) -> String {
    text.to_uppercase().replace('-', "_")
}

fn add(service: &Service, variables: &mut BTreeMap<String, String>) {
    let Some(spec) = &service.spec else { return };
    let Some(ip) = spec.cluster_ip.as_deref().filter(|ip| !ip.is_empty() && *ip != "None") else { return };
    let Some(first) = spec.ports.iter().flatten().next() else { return };
    let name = variable_name(service.metadata.name.as_deref().unwrap_or_default());
    variables.insert(format!("{name}_SERVICE_HOST"), ip.to_owned());
    variables.insert(format!("{name}_SERVICE_PORT"), first.port.to_string());
    let host = if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() };
    for (index, port) in spec.ports.iter().flatten().enumerate() {
        if let Some(port_name) = port.name.as_deref().filter(|name| !name.is_empty()) {
            variables
                .insert(format!("{name}_SERVICE_PORT_{}", variable_name(port_name)), port.port.to_string());
        }
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        let lower = protocol.to_lowercase();
        let url = format!("{lower}://{host}:{}", port.port);
        if index == 0 {
            variables.insert(format!("{name}_PORT"), url.clone());
        }
        let prefix = format!("{name}_PORT_{}_{}", port.port, protocol.to_uppercase());
        variables.insert(format!("{prefix}_PROTO"), lower);
        variables.insert(format!("{prefix}_PORT"), port.port.to_string());
        variables.insert(format!("{prefix}_ADDR"), ip.to_owned());
        variables.insert(prefix, url);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn service(namespace: &str, name: &str, ip: &str) -> Arc<Service> {
        let value = json!({"metadata": {"namespace": namespace, "name": name}, "spec": {"clusterIP": ip,
            "ports": [{"name": "http-alt", "port": 80, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]}});
        Arc::new(serde_json::from_value(value).unwrap())
    }

    #[test]
    fn services_give_both_forms_of_variables() {
        let services = [
            service("default", "kubernetes", "10.43.0.1"),
            service("a", "my-db", "10.43.0.2"),
            service("a", "headless", "None"),
            service("b", "other", "10.43.0.3"),
        ];
        let all = service_environment(&services, "a", true);
        let expected = [
            ("KUBERNETES_SERVICE_HOST", "10.43.0.1"),
            ("MY_DB_SERVICE_HOST", "10.43.0.2"),
            ("MY_DB_SERVICE_PORT", "80"),
            ("MY_DB_SERVICE_PORT_HTTP_ALT", "80"),
            ("MY_DB_PORT", "tcp://10.43.0.2:80"),
            ("MY_DB_PORT_53_UDP", "udp://10.43.0.2:53"),
            ("MY_DB_PORT_53_UDP_ADDR", "10.43.0.2"),
        ];
        for (name, value) in expected {
            assert_eq!(all.get(name).map(String::as_str), Some(value), "{name}");
        }
        assert!(!all.keys().any(|name| name.starts_with("HEADLESS") || name.starts_with("OTHER")));
        let alone = service_environment(&services, "a", false);
        assert!(alone.keys().all(|name| name.starts_with("KUBERNETES_")) && !alone.is_empty());
    }
}
