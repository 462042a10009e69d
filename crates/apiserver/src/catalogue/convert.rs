//! Conversion of objects between the stored version and the served version.
//!
//! The conversions of built-in kinds are functions: they never wait and never fail. Those of custom resources may call
//! another service ([`Convert`]), so all code that converts is asynchronous and may fail.

use std::sync::Arc;

use async_trait::async_trait;
use object::{Status, Value};
use schema::ResourceDef;

use super::storage::Storage;

/// Converts objects of a custom resource between its versions. It may be slow, and it may fail.
#[async_trait]
pub trait Convert: Send + Sync + 'static {
    /// The same objects, in the same order, with this `apiVersion`.
    ///
    /// # Errors
    /// The answer to the client instead of the objects.
    async fn convert(&self, objects: Vec<Value>, to: &str) -> Result<Vec<Value>, Status>;
}

/// How objects are converted to the other version.
#[derive(Clone)]
pub enum Conversion {
    /// `events.k8s.io/v1` over core `v1` events.
    Events,
    /// `autoscaling/v1` over `v2` autoscalers.
    Autoscalers,
    /// The versions differ only in their names.
    Renamed,
    /// A different conversion.
    Asked(Arc<dyn Convert>),
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
/// Fields that `autoscaling/v1` does not have are kept in annotations with these names.
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

    /// Stored objects as they are served, with the served `apiVersion`.
    ///
    /// # Errors
    /// The error of [`Convert::convert`].
    pub async fn to_served(&self, mut objects: Vec<Value>, to: &str) -> Result<Vec<Value>, Status> {
        if let Conversion::Asked(converter) = self {
            return ask(converter.as_ref(), objects, to).await;
        }
        for object in &mut objects {
            match self {
                Conversion::Events => rename(object, |(core, events)| (*core, *events)),
                Conversion::Autoscalers => autoscaler_to_v1(object),
                Conversion::Renamed | Conversion::Asked(_) => {}
            }
            object.set("apiVersion", to);
        }
        Ok(objects)
    }

    /// Served objects as they are stored, with the stored `apiVersion`.
    ///
    /// # Errors
    /// The error of [`Convert::convert`].
    pub async fn to_stored(&self, mut objects: Vec<Value>, to: &str) -> Result<Vec<Value>, Status> {
        if let Conversion::Asked(converter) = self {
            return ask(converter.as_ref(), objects, to).await;
        }
        for object in &mut objects {
            match self {
                Conversion::Events => rename(object, |(core, events)| (*events, *core)),
                Conversion::Autoscalers => autoscaler_to_v2(object),
                Conversion::Renamed | Conversion::Asked(_) => {}
            }
            object.set("apiVersion", to);
        }
        Ok(objects)
    }
}

/// Converts objects through an external converter, which may change neither their number nor their identity.
async fn ask(converter: &dyn Convert, objects: Vec<Value>, to: &str) -> Result<Vec<Value>, Status> {
    let identity = |object: &Value| {
        ["metadata.namespace", "metadata.name", "metadata.uid"].map(|path| object.str_at(path).to_owned())
    };
    let before: Vec<_> = objects.iter().map(identity).collect();
    let converted = converter.convert(objects, to).await?;
    let is_right = |object: &Value| object.str_at("apiVersion") == to;
    if converted.iter().map(identity).ne(before) || !converted.iter().all(is_right) {
        return Err(Status::internal_error(format!("the conversion to {to} returned other objects")));
    }
    Ok(converted)
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

/// Takes an annotation that holds JSON; invalid JSON stays in place.
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

    /// An object after the conversion to the served version, and after the conversion back.
    async fn there_and_back(conversion: Conversion, served: &str, stored: &Value) -> (Value, Value) {
        let to_served = conversion.to_served(vec![stored.clone()], served).await.unwrap();
        let back = conversion.to_stored(to_served.clone(), stored.str_at("apiVersion")).await.unwrap();
        (to_served[0].clone(), back[0].clone())
    }

    #[tokio::test]
    async fn an_event_survives_the_way_there_and_back() {
        let core = value!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"},
            "involvedObject": {"kind": "Pod"}, "message": "m", "count": 2i64, "source": {"component": "c"}
        });
        let (served, back) = there_and_back(Conversion::Events, "events.k8s.io/v1", &core).await;
        assert_eq!((served.str_at("apiVersion"), served.str_at("note")), ("events.k8s.io/v1", "m"));
        assert_eq!(served.str_at("regarding.kind"), "Pod");
        assert_eq!(back, core);
    }

    #[tokio::test]
    async fn an_autoscaler_survives_the_way_there_and_back() {
        let stored = value!({
            "apiVersion": "autoscaling/v2", "metadata": {"name": "a", "annotations": {}},
            "spec": {"metrics": [
                {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60i64}}},
                {"type": "Resource", "resource": {"name": "memory", "target": {"type": "Utilization", "averageUtilization": 70i64}}}
            ]}
        });
        let (served, back) = there_and_back(Conversion::Autoscalers, "autoscaling/v1", &stored).await;
        assert_eq!(served.at("spec.targetCPUUtilizationPercentage").as_i64(), Some(60));
        assert!(served.at("spec.metrics").is_null());
        assert_eq!(back, stored);
    }

    /// Marks every object as converted, and fails or cheats if the object's name says so.
    struct Marker;

    #[async_trait]
    impl Convert for Marker {
        async fn convert(&self, mut objects: Vec<Value>, to: &str) -> Result<Vec<Value>, Status> {
            tokio::task::yield_now().await;
            for object in &mut objects {
                match object.str_at("metadata.name") {
                    "fails" => return Err(Status::internal_error("conversion webhook failed")),
                    "cheats" => object.entry("metadata").set("uid", "another"),
                    _ => object.set("converted", true),
                }
                object.set("apiVersion", to);
            }
            Ok(objects)
        }
    }

    #[tokio::test]
    async fn a_conversion_by_somebody_else_may_fail_and_may_not_swap_objects() {
        let conversion = Conversion::Asked(Arc::new(Marker));
        let named =
            |name: &str| value!({"apiVersion": "example.com/v1", "metadata": {"name": name, "uid": "u"}});
        let to = "example.com/v2";
        let converted = conversion.to_served(vec![named("a"), named("b")], to).await.unwrap();
        let names: Vec<&str> = converted.iter().map(|object| object.str_at("metadata.name")).collect();
        assert_eq!(names, ["a", "b"]);
        assert!(converted.iter().all(|object| object.get("converted").as_bool() == Some(true)));
        for name in ["fails", "cheats"] {
            let status = conversion.to_stored(vec![named("a"), named(name)], to).await.unwrap_err();
            assert_eq!(status.code, 500, "{name}");
        }
    }
}
