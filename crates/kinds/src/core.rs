//! Kinds of the core group that differ only in data.

use object::Value;

use crate::simple::Simple;
use crate::table::{AGE, Column, NAME, Table, age, cells, containers, labels, name};
use crate::{defaults, validation, warnings};

/// Binding, which is not stored
pub(crate) static BINDINGS: Simple = Simple { validate: validation::validate_binding, ..Simple::PLAIN };

/// ComponentStatus
pub(crate) static COMPONENT_STATUSES: Simple = Simple {
    deprecation: Some("v1 ComponentStatus is deprecated in v1.19+"),
    table: Table {
        columns: &[
            NAME,
            Column::text("Status", "Whether the component is healthy."),
            Column::text("Message", "What it says about its health."),
            Column::text("Error", "Why it is not healthy."),
        ],
        row: |object, _| {
            let is_health = |condition: &&Value| condition.str_at("type") == "Healthy";
            let Some(health) = object.get("conditions").items().find(is_health) else {
                return cells![name(object), "Unknown", "", ""];
            };
            let status = if health.str_at("status") == "True" { "Healthy" } else { "Unhealthy" };
            cells![name(object), status, health.str_at("message"), health.str_at("error")]
        },
    },
    ..Simple::PLAIN
};

/// LimitRange
pub(crate) static LIMIT_RANGES: Simple = Simple {
    creates_on_update: true,
    default: defaults::default_limit_range,
    validate: validation::validate_limit_range,
    ..Simple::PLAIN
};

/// PodTemplate
pub(crate) static POD_TEMPLATES: Simple = Simple {
    returns_deleted: true,
    default: |object| defaults::default_pod_template(object.entry("template")),
    validate: validation::validate_pod_template,
    warnings: warnings::of_pod_template,
    table: Table {
        columns: &[
            NAME,
            Column::text("Containers", "The names of the template's containers."),
            Column::text("Images", "The images of the template's containers."),
            Column::text("Pod Labels", "The labels of pods made of the template."),
        ],
        row: |object, _| {
            let (names, images) = containers(object.at("template.spec.containers"));
            cells![name(object), names, images, labels(object.at("template.metadata.labels"))]
        },
    },
    ..Simple::COUNTED
};

/// ResourceQuota
pub(crate) static RESOURCE_QUOTAS: Simple = Simple {
    has_status: true,
    returns_deleted: true,
    default: defaults::default_resource_quota,
    validate: validation::validate_resource_quota,
    validate_update: Some(validation::validate_resource_quota_update),
    validate_status_update: validation::validate_resource_quota_status_update,
    table: Table {
        columns: &[
            NAME,
            Column::text("Request", "What is used and what may be, of all but limits."),
            Column::text("Limit", "What is used and what may be, of limits."),
            AGE,
        ],
        row: |object, clock| {
            let (limits, requests) = quotas(object);
            cells![name(object), requests, limits, age(object, clock)]
        },
    },
    ..Simple::PLAIN
};

/// Limits and all others, each as `name: used/hard`, sorted by name.
fn quotas(object: &Value) -> (String, String) {
    let (hard, used) = (object.at("status.hard"), object.at("status.used"));
    let mut names: Vec<&str> = hard.entries().map(|(name, _)| name).collect();
    names.sort_unstable();
    let (limits, requests): (Vec<&str>, Vec<&str>) =
        names.into_iter().partition(|name| name.starts_with("limits."));
    let text = |names: Vec<&str>| {
        let amount = |amounts: &Value, name: &str| amounts.get(name).as_str().unwrap_or("0").to_owned();
        let each = names.iter().map(|name| format!("{name}: {}/{}", amount(used, name), amount(hard, name)));
        each.collect::<Vec<_>>().join(", ")
    };
    (text(limits), text(requests))
}

/// Endpoints
pub(crate) static ENDPOINTS: Simple = Simple {
    creates_on_update: true,
    deprecation: Some("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"),
    default: defaults::default_endpoints,
    validate: validation::validate_endpoints,
    validate_update: Some(validation::validate_endpoints_update),
    warnings: warnings::of_endpoints,
    table: Table {
        columns: &[NAME, Column::text("Endpoints", "The addresses and ports that are ready."), AGE],
        row: |object, clock| cells![name(object), endpoints(object), age(object, clock)],
    },
    ..Simple::PLAIN
};

/// The first three addresses with their ports; without ports where a subset has none.
fn endpoints(object: &Value) -> String {
    let subsets = object.get("subsets");
    if subsets.is_empty() {
        return "<none>".to_owned();
    }
    let mut shown: Vec<String> = Vec::new();
    let mut count = 0;
    for subset in subsets.items() {
        let (addresses, ports) = (subset.get("addresses").items(), subset.get("ports").items());
        count += addresses.len() * ports.len().max(1);
        let ports: Vec<Option<i64>> = match ports.len() {
            0 => vec![None],
            _ => ports.take(SHOWN_MAX).map(|port| port.get("port").as_i64().or(Some(0))).collect(),
        };
        for port in ports {
            let left = SHOWN_MAX - shown.len();
            shown.extend(addresses.clone().take(left).map(|address| point(address.str_at("ip"), port)));
        }
    }
    match count - shown.len() {
        0 => shown.join(","),
        more => format!("{} + {more} more...", shown.join(",")),
    }
}

fn point(ip: &str, port: Option<i64>) -> String {
    match port {
        None => ip.to_owned(),
        Some(port) if ip.contains(':') => format!("[{ip}]:{port}"),
        Some(port) => format!("{ip}:{port}"),
    }
}

/// How many addresses of Endpoints are shown.
const SHOWN_MAX: usize = 3;

#[cfg(test)]
mod tests {
    use object::value;

    use super::*;
    use crate::testing::{check_row, named};

    #[test]
    fn endpoints_show_three() {
        let subset = |ips: &[&str], ports: &[i64]| {
            let ips: Vec<Value> = ips.iter().map(|ip| value!({"ip": *ip})).collect();
            let ports: Vec<Value> = ports.iter().map(|port| value!({"port": *port})).collect();
            value!({"addresses": ips, "ports": ports})
        };
        let cases = [
            (vec![], "e | <none> | 3h"),
            (vec![subset(&["10.0.0.1"], &[])], "e | 10.0.0.1 | 3h"),
            (vec![subset(&["10.0.0.1", "fd00::1"], &[80])], "e | 10.0.0.1:80,[fd00::1]:80 | 3h"),
            (
                vec![subset(&["10.0.0.1", "10.0.0.2"], &[80, 443]), subset(&["10.0.0.3"], &[1])],
                "e | 10.0.0.1:80,10.0.0.2:80,10.0.0.1:443 + 2 more... | 3h",
            ),
        ];
        for (subsets, row) in cases {
            check_row(&ENDPOINTS, &named("e", value!({"subsets": subsets})), row);
        }
    }

    #[test]
    fn the_others() {
        let quota = value!({"status": {
            "hard": {"pods": "10", "limits.cpu": "2", "cpu": "1", "limits": "3"},
            "used": {"pods": "3", "limits.cpu": "500m"}
        }});
        let row = "q | cpu: 0/1, limits: 0/3, pods: 3/10 | limits.cpu: 500m/2 | 3h";
        check_row(&RESOURCE_QUOTAS, &named("q", quota), row);
        let container = |name: &str| value!({"name": name, "image": (format!("img-{name}"))});
        let template = value!({"template": {
            "metadata": {"labels": {"b": "2", "a": "1"}},
            "spec": {"containers": [(container("x")), (container("y"))]}
        }});
        check_row(&POD_TEMPLATES, &named("t", template), "t | x,y | img-x,img-y | a=1,b=2");
        let status =
            |status: &str| value!({"conditions": [{"type": "Healthy", "status": status, "message": "ok"}]});
        check_row(&COMPONENT_STATUSES, &named("etcd-0", status("True")), "etcd-0 | Healthy | ok | ");
        check_row(&COMPONENT_STATUSES, &named("x", status("False")), "x | Unhealthy | ok | ");
        check_row(&COMPONENT_STATUSES, &named("x", value!({})), "x | Unknown |  | ");
    }
}
