//! Resources that are served in two versions over one collection.

use std::sync::Arc;

use object::{TypeMeta, Value, Versioned};
use schema::ResourceDef;

use super::storage::Storage;

/// How objects become those of the other version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conversion {
    /// `events.k8s.io/v1` over core `v1` events.
    Events,
    /// `autoscaling/v1` over `v2` autoscalers.
    Autoscalers,
}

/// Members of an event that have one name in core `v1` and another in `events.k8s.io/v1`.
const EVENT_NAMES: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];
/// What `autoscaling/v1` cannot say stands in annotations with these names.
const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";

impl Conversion {
    /// The conversion that a served resource needs; `None` if it is stored as it is served.
    pub fn between(storage: &Storage, served: &ResourceDef) -> Option<Conversion> {
        match (&*served.group, &*served.version) {
            ("events.k8s.io", _) => Some(Conversion::Events),
            ("autoscaling", "v1") if storage.version == "v2" => Some(Conversion::Autoscalers),
            _ => None,
        }
    }

    /// A stored version as it is served.
    pub fn present(self, version: &Versioned, type_meta: &Arc<TypeMeta>) -> Versioned {
        let served = self.to_served(version.value());
        Versioned::from_value(Arc::clone(type_meta), &served, Vec::new())
            .expect("the resource version came from a stored version")
    }

    /// A stored object as it is served.
    pub fn to_served(self, mut object: Value) -> Value {
        match self {
            Conversion::Events => {
                rename(&mut object, |(core, events)| (*core, *events));
                object.set("apiVersion", "events.k8s.io/v1");
            }
            Conversion::Autoscalers => {
                autoscaler_to_v1(&mut object);
                object.set("apiVersion", "autoscaling/v1");
            }
        }
        object
    }

    /// A served object as it is stored.
    pub fn to_stored(self, mut object: Value) -> Value {
        match self {
            Conversion::Events => {
                rename(&mut object, |(core, events)| (*events, *core));
                object.set("apiVersion", "v1");
            }
            Conversion::Autoscalers => {
                autoscaler_to_v2(&mut object);
                object.set("apiVersion", "autoscaling/v2");
            }
        }
        object
    }
}

fn rename(
    object: &mut Value,
    direction: impl Fn(&'static (&'static str, &'static str)) -> (&'static str, &'static str),
) {
    for names in &EVENT_NAMES {
        let (from, to) = direction(names);
        if let Some(value) = object.remove(from) {
            object.set(to, value);
        }
    }
}

/// The average CPU utilization is a field of `v1`; all other metrics go into an annotation.
fn autoscaler_to_v1(object: &mut Value) {
    let mut metrics = take_list(object.entry("spec"), "metrics");
    let is_cpu = |metric: &Value| {
        metric.str_at("type") == "Resource"
            && metric.str_at("resource.name") == "cpu"
            && !metric.at("resource.target.averageUtilization").is_null()
    };
    if let Some(index) = metrics.iter().position(is_cpu) {
        let metric = metrics.remove(index);
        let target = metric.at("resource.target.averageUtilization").clone();
        object.entry("spec").set("targetCPUUtilizationPercentage", target);
    }
    annotate(object, METRICS, metrics);
    let behavior = object.entry("spec").remove("behavior");
    if let Some(behavior) = behavior.filter(|behavior| !behavior.is_empty()) {
        set_annotation(object, BEHAVIOR, &behavior);
    }
    if object.get("status").is_null() {
        return;
    }
    let mut current = take_list(object.entry("status"), "currentMetrics");
    let is_cpu = |metric: &Value| {
        metric.str_at("type") == "Resource"
            && metric.str_at("resource.name") == "cpu"
            && !metric.at("resource.current.averageUtilization").is_null()
    };
    if let Some(index) = current.iter().position(is_cpu) {
        let metric = current.remove(index);
        let now = metric.at("resource.current.averageUtilization").clone();
        object.entry("status").set("currentCPUUtilizationPercentage", now);
    }
    annotate(object, CURRENT_METRICS, current);
    let conditions = take_list(object.entry("status"), "conditions");
    annotate(object, CONDITIONS, conditions);
}

fn autoscaler_to_v2(object: &mut Value) {
    let mut metrics = take_annotation(object, METRICS).map(into_list).unwrap_or_default();
    if let Some(target) = object.entry("spec").remove("targetCPUUtilizationPercentage") {
        metrics.insert(
            0,
            object::value!({"type": "Resource", "resource": {
                "name": "cpu", "target": {"type": "Utilization", "averageUtilization": target}
            }}),
        );
    }
    if !metrics.is_empty() {
        object.entry("spec").set("metrics", metrics);
    }
    if let Some(behavior) = take_annotation(object, BEHAVIOR) {
        object.entry("spec").set("behavior", behavior);
    }
    let mut current = take_annotation(object, CURRENT_METRICS).map(into_list).unwrap_or_default();
    let conditions = take_annotation(object, CONDITIONS).map(into_list).unwrap_or_default();
    if object.get("status").is_null() {
        return;
    }
    let status = object.entry("status");
    if let Some(now) = status.remove("currentCPUUtilizationPercentage") {
        current.insert(
            0,
            object::value!({"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": now}}}),
        );
    }
    if !current.is_empty() {
        status.set("currentMetrics", current);
    }
    if !conditions.is_empty() {
        status.set("conditions", conditions);
    }
}

fn into_list(value: Value) -> Vec<Value> {
    if let Value::List(list) = value { list } else { Vec::new() }
}

fn take_list(object: &mut Value, member: &str) -> Vec<Value> {
    object.remove(member).map(into_list).unwrap_or_default()
}

fn annotate(object: &mut Value, name: &'static str, list: Vec<Value>) {
    if !list.is_empty() {
        set_annotation(object, name, &Value::from(list));
    }
}

fn set_annotation(object: &mut Value, name: &'static str, value: &Value) {
    let text = String::from_utf8_lossy(&object::json::to_bytes(value)).into_owned();
    object.entry("metadata").entry("annotations").set(name, text);
}

/// Takes an annotation that holds JSON; text that is none stays where it is.
fn take_annotation(object: &mut Value, name: &str) -> Option<Value> {
    let annotations = object.get_mut("metadata")?.get_mut("annotations")?;
    let value = object::json::parse(annotations.get(name).as_str()?.as_bytes()).ok()?;
    annotations.remove(name);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::value;

    #[test]
    fn an_event_survives_the_way_there_and_back() {
        let core = value!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"},
            "involvedObject": {"kind": "Pod"}, "message": "m", "count": 2i64, "source": {"component": "c"}
        });
        let served = Conversion::Events.to_served(core.clone());
        assert_eq!(served.str_at("note"), "m");
        assert_eq!(served.str_at("regarding.kind"), "Pod");
        assert_eq!(Conversion::Events.to_stored(served), core);
    }

    #[test]
    fn an_autoscaler_survives_the_way_there_and_back() {
        let stored = value!({
            "apiVersion": "autoscaling/v2", "metadata": {"name": "a", "annotations": {}},
            "spec": {"metrics": [
                {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60i64}}},
                {"type": "Resource", "resource": {"name": "memory", "target": {"type": "Utilization", "averageUtilization": 70i64}}}
            ]}
        });
        let served = Conversion::Autoscalers.to_served(stored.clone());
        assert_eq!(served.at("spec.targetCPUUtilizationPercentage").as_i64(), Some(60));
        assert!(served.at("spec.metrics").is_null());
        assert_eq!(Conversion::Autoscalers.to_stored(served), stored);
    }
}
