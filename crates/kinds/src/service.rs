//! Service

use clock::Clock;
use object::{Value, field};

use crate::networking::addresses;
use crate::strategy::{NameRule, Strategy, restore};
use crate::table::{AGE, Column, NAME, age, cells, join, joined, labels, name, number, or};
use crate::{defaults, validation, warnings};

#[cfg(test)]
mod tests;

/// The strategy of Services (`pkg/registry/core/service/strategy.go`). The server, which knows the other Services,
/// allocates addresses and node ports.
pub(crate) struct Services;

const SELECTABLE: &[&str] = &["spec.clusterIP", "spec.type"];

impl Strategy for Services {
    fn default(&self, object: &mut Value) {
        defaults::default_service(object);
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        restore(object, old, "status");
        drop_what_the_type_has_not(object, old);
    }

    fn validate(&self, object: &Value) -> field::Errors {
        validation::validate_service(object)
    }

    fn validate_update(&self, object: &Value, old: &Value) -> field::Errors {
        validation::validate_service_update(object, old)
    }

    fn validate_status_update(&self, object: &Value, old: &Value) -> field::Errors {
        validation::validate_service_status_update(object, old)
    }

    /// A label, which may start with a digit since 1.37 (KEP-5311).
    fn name_rule(&self) -> NameRule {
        NameRule::Label
    }

    fn has_status(&self) -> bool {
        true
    }

    fn tracks_generation(&self) -> bool {
        false
    }

    fn creates_on_update(&self) -> bool {
        true
    }

    fn returns_deleted(&self) -> bool {
        true
    }

    fn selectable_fields(&self, object: &Value) -> Vec<(&'static str, String)> {
        SELECTABLE.iter().map(|path| (*path, object.str_at(path).to_owned())).collect()
    }

    fn selectable_field_names(&self) -> &'static [&'static str] {
        SELECTABLE
    }

    fn columns(&self) -> &'static [Column] {
        const {
            &[
                NAME,
                Column::text("Type", "How the Service can be reached."),
                Column::text("Cluster-IP", "The address inside the cluster."),
                Column::text("External-IP", "The addresses outside the cluster."),
                Column::text("Port(s)", "The ports, with those on the nodes."),
                AGE,
                Column::text("Selector", "The labels of the pods behind the Service.").wide(),
            ]
        }
    }

    fn row(&self, object: &Value, clock: &Clock) -> Vec<Value> {
        let ip = object.at("spec.clusterIPs").items().next().and_then(Value::as_str).unwrap_or("<none>");
        cells![
            name(object),
            object.str_at("spec.type"),
            ip,
            external(object),
            or(&ports(object), "<none>"),
            age(object, clock),
            labels(object.at("spec.selector")),
        ]
    }

    fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        if old.is_some_and(|old| object.get("status") != old.get("status")) {
            return Vec::new();
        }
        warnings::of_service(object)
    }
}

fn external(service: &Value) -> String {
    let listed = joined(service.at("spec.externalIPs"));
    match service.str_at("spec.type") {
        "ClusterIP" | "NodePort" => or(&listed, "<none>").to_owned(),
        "LoadBalancer" => {
            let given = addresses(service);
            let all = [given.as_str(), listed.as_str()].into_iter().filter(|text| !text.is_empty());
            or(&join(all, ","), "<pending>").to_owned()
        }
        "ExternalName" => service.str_at("spec.externalName").to_owned(),
        _ => "<unknown>".to_owned(),
    }
}

fn ports(service: &Value) -> String {
    let port = |port: &Value| {
        let (own, protocol) = (number(port, "port"), port.str_at("protocol"));
        match number(port, "nodePort") {
            0 => format!("{own}/{protocol}"),
            node => format!("{own}:{node}/{protocol}"),
        }
    };
    service.at("spec.ports").items().map(port).collect::<Vec<_>>().join(",")
}

/// A field of the spec, and whether a Service of this spec can have it.
type TypeField = (&'static str, fn(&Value) -> bool);

const TYPE_FIELDS: [TypeField; 6] = [
    ("ipFamilies", needs_cluster_ip),
    ("ipFamilyPolicy", needs_cluster_ip),
    ("healthCheckNodePort", needs_health_check_port),
    ("allocateLoadBalancerNodePorts", is_load_balancer),
    ("loadBalancerClass", is_load_balancer),
    ("externalTrafficPolicy", takes_external_traffic),
];

/// If the type changes, fields that only the old type can have are dropped if the client left them unchanged: clients
/// that change the type read the object and write it back.
fn drop_what_the_type_has_not(object: &mut Value, old: &Value) {
    let (spec, before) = (object.entry("spec"), old.get("spec"));
    let is_same = |spec: &Value, member: &str| spec.get(member) == before.get(member);
    if needs_cluster_ip(before) && !needs_cluster_ip(spec) && is_same(spec, "clusterIP") {
        spec.remove("clusterIP");
        spec.remove("clusterIPs");
    }
    if needs_node_ports(before) && !needs_node_ports(spec) && node_ports(spec) == node_ports(before) {
        for port in spec.get_mut("ports").into_iter().flat_map(Value::items_mut) {
            port.remove("nodePort");
        }
    }
    let gone =
        TYPE_FIELDS.map(|(field, can_have)| can_have(before) && !can_have(spec) && is_same(spec, field));
    for ((field, _), is_gone) in TYPE_FIELDS.iter().zip(gone) {
        if is_gone {
            spec.remove(field);
        }
    }
}

fn needs_cluster_ip(spec: &Value) -> bool {
    matches!(spec.str_at("type"), "ClusterIP" | "NodePort" | "LoadBalancer")
}

fn is_load_balancer(spec: &Value) -> bool {
    spec.str_at("type") == "LoadBalancer"
}

fn needs_node_ports(spec: &Value) -> bool {
    let allocates = || spec.get("allocateLoadBalancerNodePorts").as_bool().unwrap_or(true);
    spec.str_at("type") == "NodePort" || (is_load_balancer(spec) && allocates())
}

fn needs_health_check_port(spec: &Value) -> bool {
    is_load_balancer(spec) && spec.str_at("externalTrafficPolicy") == "Local"
}

fn takes_external_traffic(spec: &Value) -> bool {
    is_load_balancer(spec)
        || spec.str_at("type") == "NodePort"
        || (spec.str_at("type") == "ClusterIP" && !spec.get("externalIPs").is_empty())
}

fn node_ports(spec: &Value) -> Vec<i64> {
    let mut ports: Vec<i64> = spec.get("ports").items().map(|port| number(port, "nodePort")).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}
