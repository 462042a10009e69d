//! The requests and limits that containers get if they have none.

use object::Value;

/// Says what was filled in.
const ANNOTATION: &str = "kubernetes.io/limit-ranger";

/// Gives the containers of a pod the defaults of a LimitRange.
pub(super) fn fill_in(pod: &mut Value, range: &Value) {
    let (mut requests, mut limits) = (Value::map(), Value::map());
    for limit in range.at("spec.limits").items().filter(|limit| limit.str_at("type") == "Container") {
        for (all, member) in [(&mut requests, "defaultRequest"), (&mut limits, "default")] {
            for (name, amount) in limit.get(member).entries() {
                all.set(name.to_owned(), amount.clone());
            }
        }
    }
    if requests.is_empty() && limits.is_empty() {
        return;
    }
    let mut done = Vec::new();
    for (list, kind) in [("containers", "container"), ("initContainers", "init container")] {
        let Some(containers) = pod.entry("spec").get_mut(list) else { continue };
        for container in containers.items_mut() {
            let name = container.str_at("name").to_owned();
            for (which, defaults, what) in [("requests", &requests, "request"), ("limits", &limits, "limit")]
            {
                let filled = complete(container, which, defaults);
                if !filled.is_empty() {
                    done.push(format!("{} {what} for {kind} {name}", filled.join(", ")));
                }
            }
        }
    }
    if !done.is_empty() {
        let text = format!("LimitRanger plugin set: {}", done.join("; "));
        pod.entry("metadata").entry("annotations").set(ANNOTATION, text);
    }
}

/// Adds the amounts that a container lacks; returns their names, sorted.
fn complete<'d>(container: &mut Value, which: &'static str, defaults: &'d Value) -> Vec<&'d str> {
    let given = container.get("resources").get(which);
    let missing = defaults.entries().filter(|(name, _)| given.get(name).is_null());
    let missing: Vec<(&str, &Value)> = missing.collect();
    if missing.is_empty() {
        return Vec::new();
    }
    let list = container.entry("resources").entry(which);
    let mut names = Vec::with_capacity(missing.len());
    for (name, amount) in missing {
        list.set(name.to_owned(), amount.clone());
        names.push(name);
    }
    names.sort_unstable();
    names
}
