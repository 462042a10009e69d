//! Defaults of pods and of pod templates.

use std::collections::HashSet;

use object::{Value, value};
use semantics::Amount;

use super::image::pull_policy;
use super::volume::default_volume;
use super::{each, fill, gated, keep_first, round_resources, within};
use crate::validation::resources;

/// Fills in a Pod.
pub fn default_pod(pod: &mut Value) {
    let spec = pod.entry("spec");
    for name in ["containers", "initContainers"] {
        each(spec, name, |container| within(container, "resources", requests_from_limits));
    }
    default_pod_resources(spec);
    spec.set_default("enableServiceLinks", true);
    if spec.get("hostNetwork").as_bool() == Some(true) {
        for name in ["containers", "initContainers"] {
            each(spec, name, |container| each(container, "ports", default_host_port));
        }
    }
    default_pod_spec(spec);
    within(pod, "status", |status| {
        gated::drop_from_pod_status(status);
        keep_first(status, "podIP", "podIPs", |ip| value!({"ip": ip}), |first| first.get("ip").as_str());
    });
}

/// Fills in the pod template of a workload: fields that a Pod gets only on creation stay unset.
pub fn default_pod_template(template: &mut Value) {
    default_pod_spec(template.entry("spec"));
}

fn default_pod_spec(spec: &mut Value) {
    gated::drop_from_pod(spec);
    fill(spec, "dnsPolicy", "ClusterFirst");
    fill(spec, "restartPolicy", "Always");
    spec.set_default("securityContext", Value::map());
    spec.set_default("terminationGracePeriodSeconds", 30);
    fill(spec, "schedulerName", "default-scheduler");
    // Two names for one field, the second deprecated: they always have the same value.
    let account = spec.str_at("serviceAccount").to_owned();
    if !account.is_empty() {
        fill(spec, "serviceAccountName", account);
    }
    let account = spec.str_at("serviceAccountName").to_owned();
    if !account.is_empty() {
        spec.set("serviceAccount", account);
    }
    each(spec, "volumes", default_volume);
    for name in ["initContainers", "containers", "ephemeralContainers"] {
        each(spec, name, default_container);
    }
    round_resources(spec, "overhead");
    within(spec, "resources", |resources| {
        round_resources(resources, "limits");
        round_resources(resources, "requests");
    });
}

fn default_container(container: &mut Value) {
    let policy = pull_policy(container.str_at("image"));
    fill(container, "imagePullPolicy", policy);
    fill(container, "terminationMessagePath", "/dev/termination-log");
    fill(container, "terminationMessagePolicy", "File");
    each(container, "ports", |port| fill(port, "protocol", "TCP"));
    each(container, "env", |variable| {
        within(variable, "valueFrom", |source| {
            within(source, "fieldRef", |field| fill(field, "apiVersion", "v1"));
            within(source, "fileKeyRef", |file| file.set_default("optional", false));
        });
    });
    within(container, "resources", |resources| {
        round_resources(resources, "limits");
        round_resources(resources, "requests");
    });
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        within(container, name, default_probe);
    }
    within(container, "lifecycle", |lifecycle| {
        for name in ["postStart", "preStop"] {
            within(lifecycle, name, |handler| within(handler, "httpGet", default_http_get));
        }
    });
}

fn default_probe(probe: &mut Value) {
    fill(probe, "timeoutSeconds", 1);
    fill(probe, "periodSeconds", 10);
    fill(probe, "successThreshold", 1);
    fill(probe, "failureThreshold", 3);
    within(probe, "httpGet", default_http_get);
    within(probe, "grpc", |grpc| grpc.set_default("service", ""));
}

fn default_http_get(action: &mut Value) {
    fill(action, "path", "/");
    fill(action, "scheme", "HTTP");
}

fn default_host_port(port: &mut Value) {
    let number = port.get("containerPort").clone();
    fill(port, "hostPort", number);
}

/// A resource with a limit but no request gets the limit as its request.
fn requests_from_limits(resources: &mut Value) {
    let limits = resources.get("limits").clone();
    if limits.as_map().is_none() {
        return;
    }
    let requests = resources.entry("requests");
    // Looked up once: a map of the tree is searched from its start for every name.
    let stated = requests.entries().filter(|(_, request)| !request.is_null());
    let stated: HashSet<String> = stated.map(|(name, _)| name.to_owned()).collect();
    let missing = limits.entries().filter(|(name, limit)| !limit.is_null() && !stated.contains(*name));
    for (name, limit) in missing {
        *requests.entry(name.to_owned()) = limit.clone();
    }
}

/// Resources of the pod as a whole (KEP-2837): if some are set, the others follow from them and from the containers.
fn default_pod_resources(spec: &mut Value) {
    let stated = |spec: &Value, what: &str| !spec.get("resources").get(what).is_empty();
    if !stated(spec, "limits") && !stated(spec, "requests") {
        return;
    }
    let limits = resources::aggregate(spec, Amount::Limits);
    let huge = limits.iter().filter(|(name, _)| resources::is_huge_page(name));
    for (name, amount) in huge {
        if spec.at("resources.requests").get(name).is_null() {
            fill_resource(spec, "limits", name, Value::from(amount.to_string()));
        }
    }
    if stated(spec, "limits") {
        for (name, amount) in resources::aggregate(spec, Amount::Requests) {
            if matches!(name.as_str(), "cpu" | "memory") {
                fill_resource(spec, "requests", &name, Value::from(amount.to_string()));
            }
        }
        for (name, limit) in spec.at("resources.limits").clone().entries() {
            if semantics::is_pod_level(name) {
                fill_resource(spec, "requests", name, limit.clone());
            }
        }
    } else {
        for (name, amount) in limits {
            let counts = matches!(name.as_str(), "cpu" | "memory") && resources::all_limit(spec, &name);
            if counts {
                fill_resource(spec, "limits", &name, Value::from(amount.to_string()));
            }
        }
    }
}

fn fill_resource(spec: &mut Value, what: &'static str, name: &str, amount: Value) {
    let entry = spec.entry("resources").entry(what).entry(name.to_owned());
    if entry.is_null() {
        *entry = amount;
    }
}
