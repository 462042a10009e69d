//! Pod

use clock::Clock;
use std::collections::{HashMap, VecDeque};

use object::{Value, field, value};
use semantics::{pods, qos_class};

use crate::strategy::{Strategy, keep_spec, restore};
use crate::table::Column;
use crate::{defaults, validation, warnings};

mod label_keys;
mod row;
#[cfg(test)]
mod tests;

/// The strategy of pods (`pkg/registry/core/pod/strategy.go`).
pub(crate) struct Pods;

const SELECTABLE: &[&str] = &[
    "spec.nodeName",
    "spec.host",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "spec.hostNetwork",
    "status.phase",
    "status.podIP",
    "status.podIPs",
    "status.nominatedNodeName",
];

impl Strategy for Pods {
    fn default(&self, object: &mut Value) {
        defaults::default_pod(object);
    }

    fn prepare_create(&self, object: &mut Value) {
        let mut status = value!({"phase": "Pending", "qosClass": (qos_class(object).as_str())});
        if !object.at("spec.schedulingGates").is_empty() {
            let condition = value!({
                "type": "PodScheduled", "status": "False", "reason": "SchedulingGated",
                "message": "Scheduling is blocked due to non-empty scheduling gates"
            });
            status.set("conditions", vec![condition]);
        }
        object.set("status", status);
        label_keys::merge(object);
    }

    /// The node's agent reports the state of its pods. It must not change a pod's owners, or when it is deleted.
    fn prepare_status_update(&self, object: &mut Value, old: &Value) {
        keep_spec(object, old);
        for member in ["ownerReferences", "deletionTimestamp"] {
            restore(object.entry("metadata"), old.get("metadata"), member);
        }
        let status = object.entry("status");
        for member in ["qosClass", "observedGeneration"] {
            status.set_default(member, old.get("status").get(member).clone());
            if status.get(member).is_null() {
                status.remove(member);
            }
        }
        keep_observed_generations(status, old.get("status"));
    }

    fn kept_by_status(&self) -> &'static [&'static [&'static str]] {
        &[&["metadata", "deletionTimestamp"], &["metadata", "ownerReferences"]]
    }

    fn set_times(&self, object: &mut Value, old: &Value, clock: &Clock) {
        if !old.is_null() {
            return;
        }
        let now = clock.now_seconds().to_string();
        for condition in object.at_mut("status.conditions").into_iter().flat_map(Value::items_mut) {
            condition.set_default("lastTransitionTime", now.as_str());
        }
    }

    fn validate(&self, object: &Value) -> field::Errors {
        validation::validate_pod(object)
    }

    fn validate_update(&self, object: &Value, old: &Value) -> field::Errors {
        validation::validate_pod_update(object, old)
    }

    fn validate_status_update(&self, object: &Value, old: &Value) -> field::Errors {
        validation::validate_pod_status_update(object, old)
    }

    /// A binding is checked by the code that creates it, and changes what no update may change.
    fn validate_part_update(&self, subresource: &str, object: &Value, old: &Value) -> field::Errors {
        match subresource {
            "ephemeralcontainers" => validation::validate_ephemeral_containers_update(object, old),
            "resize" => validation::validate_pod_resize(object, old),
            "binding" => field::Errors::new(),
            _ => validation::validate_pod_update(object, old),
        }
    }

    fn has_status(&self) -> bool {
        true
    }

    fn selectable_fields(&self, object: &Value) -> Vec<(&'static str, String)> {
        let text = |path: &str| object.str_at(path).to_owned();
        let uses_host_network = object.at("spec.hostNetwork").as_bool().unwrap_or(false);
        let ip = object.at("status.podIPs").items().next().map_or("", |ip| ip.str_at("ip"));
        SELECTABLE
            .iter()
            .map(|path| match *path {
                // The name of the field in the first versions of the API.
                "spec.host" => (*path, text("spec.nodeName")),
                "spec.hostNetwork" => (*path, uses_host_network.to_string()),
                "status.podIP" => (*path, ip.to_owned()),
                // Accepted as a name, but never set.
                "status.podIPs" => (*path, String::new()),
                path => (path, text(path)),
            })
            .collect()
    }

    fn selectable_field_names(&self) -> &'static [&'static str] {
        SELECTABLE
    }

    /// A pod is given the grace period that it or the client requests; none if no agent runs it.
    fn deletion_grace_seconds(&self, object: &Value, requested: Option<i64>) -> Option<i64> {
        let is_scheduled = !object.at("spec.nodeName").is_empty();
        let has_ended = pods::is_terminal(object);
        if !is_scheduled || has_ended {
            return Some(0);
        }
        let own = object.at("spec.terminationGracePeriodSeconds").as_i64();
        let seconds = requested.or(own).unwrap_or(0);
        Some(if seconds < 0 { 1 } else { seconds })
    }

    fn returns_deleted(&self) -> bool {
        true
    }

    fn columns(&self) -> &'static [Column] {
        row::COLUMNS
    }

    fn row(&self, object: &Value, clock: &Clock) -> Vec<Value> {
        row::cells(object, clock)
    }

    fn row_conditions(&self, object: &Value) -> Value {
        let message = match object.str_at("status.phase") {
            "Succeeded" => "The pod has completed successfully.",
            "Failed" => "The pod failed.",
            _ => return Value::Null,
        };
        let reason = object.str_at("status.phase");
        value!([{"type": "Completed", "status": "True", "reason": reason, "message": message}])
    }

    fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        match old {
            None => {
                let mut all = warnings::of_pod_name(object);
                all.extend(warnings::of_pod(object));
                all
            }
            Some(old) if object.get("status") != old.get("status") => warnings::of_pod_status(object),
            Some(_) => Vec::new(),
        }
    }
}

/// An agent that does not know observed generations must not erase them. Conditions of one type are paired in their
/// order.
fn keep_observed_generations(status: &mut Value, old: &Value) {
    let mut before: HashMap<&str, VecDeque<&Value>> = HashMap::new();
    for old in old.get("conditions").items() {
        before.entry(old.str_at("type")).or_default().push_back(old);
    }
    for condition in status.get_mut("conditions").into_iter().flat_map(Value::items_mut) {
        let Some(old) = before.get_mut(condition.str_at("type")).and_then(VecDeque::pop_front) else {
            continue;
        };
        if condition.get("observedGeneration").is_null() && !old.get("observedGeneration").is_null() {
            condition.set("observedGeneration", old.get("observedGeneration").clone());
        }
    }
}
