//! Defaults of the core group, except pods.

use object::{Value, value};

use super::{each, fill, keep_first, pod::default_pod_template, round_resources, within};

/// The label that carries a namespace's own name.
const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";
/// How long a client keeps its endpoint, in seconds (three hours).
const CLIENT_IP_AFFINITY_SECONDS: i32 = 10_800;

/// Fills in a Service.
pub fn default_service(service: &mut Value) {
    let spec = service.entry("spec");
    fill(spec, "sessionAffinity", "None");
    match spec.str_at("sessionAffinity") {
        "None" => drop(spec.remove("sessionAffinityConfig")),
        "ClientIP" if spec.at("sessionAffinityConfig.clientIP.timeoutSeconds").is_null() => {
            let config = value!({"clientIP": {"timeoutSeconds": CLIENT_IP_AFFINITY_SECONDS}});
            spec.set("sessionAffinityConfig", config);
        }
        _ => {}
    }
    fill(spec, "type", "ClusterIP");
    each(spec, "ports", |port| {
        fill(port, "protocol", "TCP");
        let number = port.get("port").clone();
        fill(port, "targetPort", number);
    });
    let kind = spec.str_at("type").to_owned();
    let external_ips = !spec.get("externalIPs").is_empty();
    if matches!(kind.as_str(), "LoadBalancer" | "NodePort") || kind == "ClusterIP" && external_ips {
        fill(spec, "externalTrafficPolicy", "Cluster");
    }
    if matches!(kind.as_str(), "LoadBalancer" | "NodePort" | "ClusterIP") {
        spec.set_default("internalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        spec.set_default("allocateLoadBalancerNodePorts", true);
        within(service, "status", |status| {
            within(status, "loadBalancer", |balancer| each(balancer, "ingress", default_ingress_mode));
        });
    }
}

fn default_ingress_mode(ingress: &mut Value) {
    if !ingress.str_at("ip").is_empty() {
        ingress.set_default("ipMode", "VIP");
    }
}

/// Fills in a Namespace: it carries its name as a label, which selectors can use.
pub fn default_namespace(namespace: &mut Value) {
    let name = namespace.str_at("metadata.name").to_owned();
    if !name.is_empty() {
        namespace.entry("metadata").entry("labels").set(NAMESPACE_NAME_LABEL, name);
    }
    fill(namespace.entry("status"), "phase", "Active");
}

/// Fills in a Node: its whole capacity is allocatable.
pub fn default_node(node: &mut Value) {
    within(node, "spec", |spec| {
        keep_first(spec, "podCIDR", "podCIDRs", |text| text.into(), |first| first.as_str());
    });
    within(node, "status", |status| {
        let capacity = status.get("capacity").clone();
        if capacity.as_map().is_some() {
            status.set_default("allocatable", capacity);
        }
        round_resources(status, "capacity");
        round_resources(status, "allocatable");
    });
}

/// Fills in a Secret.
pub fn default_secret(secret: &mut Value) {
    fill(secret, "type", "Opaque");
}

/// Fills in Endpoints.
pub fn default_endpoints(endpoints: &mut Value) {
    each(endpoints, "subsets", |subset| each(subset, "ports", |port| fill(port, "protocol", "TCP")));
}

/// Fills in an EndpointSlice.
pub fn default_endpoint_slice(slice: &mut Value) {
    each(slice, "ports", |port| {
        port.set_default("name", "");
        port.set_default("protocol", "TCP");
    });
}

/// Fills in a ReplicationController: its template's labels become its selector and labels if those are missing.
pub fn default_replication_controller(controller: &mut Value) {
    let labels = controller.at("spec.template.metadata.labels").clone();
    let spec = controller.entry("spec");
    spec.set_default("replicas", 1);
    if spec.get("template").as_map().is_some() {
        default_pod_template(spec.entry("template"));
    }
    if !labels.is_empty() {
        fill(spec, "selector", labels.clone());
        fill(controller.entry("metadata"), "labels", labels);
    }
}

/// Fills in a ResourceQuota.
pub fn default_resource_quota(quota: &mut Value) {
    within(quota, "spec", |spec| round_resources(spec, "hard"));
    within(quota, "status", |status| {
        round_resources(status, "hard");
        round_resources(status, "used");
    });
}

/// Fills in a LimitRange: a container's default limit is the maximum, its default request that limit, otherwise the
/// minimum.
pub fn default_limit_range(range: &mut Value) {
    within(range, "spec", |spec| {
        each(spec, "limits", |item| {
            if item.str_at("type") == "Container" {
                for (target, source) in
                    [("default", "max"), ("defaultRequest", "default"), ("defaultRequest", "min")]
                {
                    let amounts = item.get(source).clone();
                    for (name, amount) in amounts.entries() {
                        let entry = item.entry(target).entry(name.to_owned());
                        if entry.is_null() {
                            *entry = amount.clone();
                        }
                    }
                }
            }
            for name in ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] {
                round_resources(item, name);
            }
        });
    });
}
