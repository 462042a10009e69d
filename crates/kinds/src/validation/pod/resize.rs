//! Changes of a running pod's resources (the `resize` subresource).

use object::Value;
use object::field::{Error, Errors, Path};
use semantics::qos_class;

use super::annotations::MIRROR;
use super::{POD, validate_any};
use crate::validation::field::{Field, same};

/// Checks a resize of a Pod, except its metadata: only CPU and memory may change.
pub fn validate_pod_resize(pod: &Value, old: &Value) -> Errors {
    let refusal = if has_pod_resources(pod) || has_pod_resources(old) {
        Some("pods with pod-level resources cannot be resized")
    } else if !old.at("metadata.annotations").get(MIRROR).is_null() {
        Some("static pods cannot be resized")
    } else if old.str_at("spec.os.name") == "windows" {
        Some("windows pods cannot be resized")
    } else {
        None
    };
    if let Some(why) = refusal {
        return Error::forbidden(&Path::root(""), why).into();
    }
    let mut errors = validate_any(pod);
    let root = Field::root(pod, POD);
    let spec = root.child("spec");
    let before = match old.str_at("status.qosClass") {
        "" => qos_class(old).as_str(),
        class => class,
    };
    if before != qos_class(pod).as_str() {
        let class = pod.str_at("status.qosClass");
        errors.invalid(&spec.path, class, "Pod QOS Class may not change as a result of resizing");
    }
    if !node_can_resize(old) {
        spec.forbidden(&mut errors, "Pod running on node without support for resize");
    }
    let mut munged = spec.value.clone();
    for name in ["initContainers", "containers"] {
        validate_containers(&mut errors, &spec, &mut munged, old.get("spec"), name);
    }
    if errors.is_empty() && !same(&munged, old.get("spec")) {
        spec.forbidden(&mut errors, "only cpu and memory resources are mutable");
    }
    errors
}

fn has_pod_resources(pod: &Value) -> bool {
    let resources = pod.at("spec.resources");
    !resources.get("requests").is_empty() || !resources.get("limits").is_empty()
}

/// Nodes that can resize report the resources of running containers.
fn node_can_resize(pod: &Value) -> bool {
    let mut running =
        pod.at("status.containerStatuses").items().filter(|status| !status.at("state.running").is_null());
    running.next().is_none_or(|status| !status.get("resources").is_null())
}

fn validate_containers(
    errors: &mut Errors,
    spec: &Field<'_, '_>,
    munged: &mut Value,
    old: &Value,
    name: &'static str,
) {
    let before: Vec<&Value> = old.get(name).items().collect();
    let containers = spec.child(name);
    if containers.len() != before.len() {
        return spec.forbidden(errors, "only cpu and memory resources are mutable");
    }
    let init = name == "initContainers";
    let now = munged.get_mut(name).map(Value::items_mut).into_iter().flatten();
    for ((container, now), before) in containers.items().zip(now).zip(before) {
        let sidecar = semantics::pods::is_sidecar(before);
        if init && !sidecar {
            if !same(now, before) {
                spec.forbidden(errors, "resources for non-sidecar init containers are immutable");
            }
            continue;
        }
        validate_resize(errors, &container, before);
        take_back_resources(now, before);
        if !same(now, before) {
            spec.forbidden(
                errors,
                match init {
                    true => "only cpu and memory resources for sidecar containers are mutable",
                    false => "only cpu and memory resources are mutable",
                },
            );
        }
    }
}

fn take_back_resources(now: &mut Value, before: &Value) {
    for what in ["limits", "requests"] {
        let before = before.get("resources").get(what);
        let resources = now.entry("resources");
        for name in ["cpu", "memory"] {
            match before.get(name) {
                Value::Null => {
                    resources.get_mut(what).map(|amounts| amounts.remove(name));
                }
                amount => resources.entry(what).set(name, amount.clone()),
            }
        }
    }
}

fn validate_resize(errors: &mut Errors, container: &Field<'_, '_>, before: &Value) {
    let resources = container.child("resources");
    for what in ["requests", "limits"] {
        let amounts = resources.child(what);
        let removed =
            before.get("resources").get(what).entries().any(|(name, _)| amounts.value.get(name).is_null());
        if removed {
            amounts.forbidden(errors, format!("resource {what} cannot be removed"));
        }
    }
    let policy =
        container.value.get("resizePolicy").items().find(|policy| policy.str_at("resourceName") == "memory");
    if policy.is_some_and(|policy| !matches!(policy.str_at("restartPolicy"), "" | "NotRequired")) {
        return;
    }
    let limits = resources.child("limits");
    let (now, before) = (limits.value.get("memory"), before.at("resources.limits.memory"));
    // Refusing a lower limit is left to the node, which knows the current usage (KEP-1287).
    if !now.is_null() && before.is_null() {
        let why = "memory limits cannot be added unless resizePolicy is RestartContainer";
        errors.forbidden(&limits.path.key("memory"), why);
    }
}
