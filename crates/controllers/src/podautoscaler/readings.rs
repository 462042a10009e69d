//! What the metrics APIs say of pods, as autoscalers read it (upstream: `pkg/controller/podautoscaler/metrics/client.go`).

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use object::{Quantity, Value};

/// The window of a custom metric that does not name one.
const WINDOW: SignedDuration = SignedDuration::from_secs(60);

/// What one pod uses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Reading {
    /// In thousandths.
    pub(super) milli: i64,
    /// When it was measured.
    pub(super) at: Timestamp,
    /// Over which time.
    pub(super) window: SignedDuration,
}

/// By pod.
pub(super) type Readings = BTreeMap<String, Reading>;

/// The readings of a resource from a list of PodMetrics: of whole pods, or of one container in each.
///
/// # Errors
/// The metrics are missing, or those of the container are; in upstream's words.
pub(super) fn of_resource(
    pods: &[Value],
    resource: &str,
    container: Option<&str>,
) -> Result<Readings, String> {
    if pods.is_empty() {
        return Err("no metrics returned from resource metrics API".to_owned());
    }
    let mut readings = Readings::new();
    for pod in pods {
        let milli = match container {
            Some(name) => of_container(pod, resource, name)
                .map_err(|error| format!("failed to get container metrics: {error}"))?,
            None => of_pod(pod, resource),
        };
        if let Some(milli) = milli {
            let window = object::duration::parse(pod.str_at("window")).unwrap_or_default();
            let window = SignedDuration::from_nanos(window);
            let at = pod.at("timestamp").as_str().and_then(|at| at.parse().ok()).unwrap_or_default();
            readings.insert(pod.str_at("metadata.name").to_owned(), Reading { milli, at, window });
        }
    }
    Ok(readings)
}

fn milli(usage: &Value, resource: &str) -> Option<i64> {
    Some(Quantity::parse(usage.get(resource).as_str()?).ok()?.milli_value())
}

/// The sum of a pod's containers; `None` if one of them lacks the resource.
fn of_pod(pod: &Value, resource: &str) -> Option<i64> {
    let mut sum = None;
    for container in pod.get("containers").items() {
        sum = Some(sum.unwrap_or(0i64).saturating_add(milli(container.get("usage"), resource)?));
    }
    sum
}

fn of_container(pod: &Value, resource: &str, name: &str) -> Result<Option<i64>, String> {
    let found = pod.get("containers").items().find(|container| container.str_at("name") == name);
    let found = found.ok_or_else(|| {
        let (namespace, pod) = (pod.str_at("metadata.namespace"), pod.str_at("metadata.name"));
        format!("container {name} not present in metrics for pod {namespace}/{pod}")
    })?;
    Ok(milli(found.get("usage"), resource))
}

/// The readings of a custom metric from a MetricValueList.
///
/// # Errors
/// There are none.
pub(super) fn of_custom(list: &Value) -> Result<Readings, String> {
    let mut readings = Readings::new();
    for item in list.get("items").items() {
        let Some(milli) = milli(item, "value") else { continue };
        let window = item.get("windowSeconds").as_i64().map_or(WINDOW, SignedDuration::from_secs);
        let at = item.get("timestamp").as_str().and_then(|at| at.parse().ok()).unwrap_or_default();
        readings.insert(item.str_at("describedObject.name").to_owned(), Reading { milli, at, window });
    }
    match readings.is_empty() {
        true => Err("no metrics returned from custom metrics API".to_owned()),
        false => Ok(readings),
    }
}

/// The sum of an external metric's values in thousandths, from an ExternalMetricValueList.
///
/// # Errors
/// There are none.
pub(super) fn of_external(list: &Value) -> Result<i64, String> {
    let values: Vec<i64> = list.get("items").items().filter_map(|item| milli(item, "value")).collect();
    if values.is_empty() {
        return Err("no metrics returned from external metrics API".to_owned());
    }
    Ok(values.into_iter().fold(0i64, i64::saturating_add))
}
