//! HorizontalPodAutoscaler, in `autoscaling/v2`, its stored version, and in `v1`.

use object::Value;

use crate::simple::Simple;
use crate::table::{AGE, Column, NAME, Table, age, cells, name, number, number_or_text};
use crate::{defaults, validation};

#[cfg(test)]
mod tests;

/// HorizontalPodAutoscaler
pub(crate) static AUTOSCALERS: Simple = Simple {
    default,
    validate: validation::validate_horizontal_pod_autoscaler,
    validate_status_update: validation::validate_horizontal_pod_autoscaler_status_update,
    table: Table {
        columns: &[
            NAME,
            Column::text("Reference", "What is scaled."),
            Column::text("Targets", "What is measured, and what it is kept at."),
            Column::text("MinPods", "How many pods there are at least."),
            Column::text("MaxPods", "How many pods there are at most."),
            Column::text("Replicas", "How many pods there are."),
            AGE,
        ],
        row: |object, clock| {
            let target = object.at("spec.scaleTargetRef");
            cells![
                name(object),
                format!("{}/{}", target.str_at("kind"), target.str_at("name")),
                metrics(object),
                number_or_text(object.at("spec.minReplicas"), "<unset>"),
                number(object, "spec.maxReplicas"),
                number(object, "status.currentReplicas"),
                age(object, clock),
            ]
        },
    },
    ..Simple::WITH_STATUS
};

fn default(object: &mut Value) {
    match object.str_at("apiVersion") {
        "autoscaling/v1" => defaults::default_horizontal_pod_autoscaler_v1(object),
        _ => defaults::default_horizontal_pod_autoscaler(object),
    }
}

/// How many metrics are shown.
const METRICS_MAX: usize = 2;

fn metrics(object: &Value) -> String {
    let (specs, statuses) = (object.at("spec.metrics"), object.at("status.currentMetrics"));
    let texts: Vec<String> = match object.at("spec.targetCPUUtilizationPercentage").as_i64() {
        // The one metric of `v1`.
        Some(target) => {
            let current = object.at("status.currentCPUUtilizationPercentage");
            vec![format!("cpu: {}/{target}%", percent(current, "<unknown>"))]
        }
        None => {
            let none = Value::Null;
            let status = |index: usize| statuses.items().nth(index).unwrap_or(&none);
            specs.items().enumerate().map(|(index, spec)| metric(spec, status(index))).collect()
        }
    };
    match texts.len() {
        0 => "<none>".to_owned(),
        count if count > METRICS_MAX => {
            format!("{} + {} more...", texts[..METRICS_MAX].join(", "), count - METRICS_MAX)
        }
        _ => texts.join(", "),
    }
}

fn percent(value: &Value, absent: &str) -> String {
    value.as_i64().map_or_else(|| absent.to_owned(), |percent| format!("{percent}%"))
}

/// `current/target` of one metric; resources with their name before.
fn metric(spec: &Value, status: &Value) -> String {
    let source = match spec.str_at("type") {
        "External" => "external",
        "Pods" => "pods",
        "Object" => "object",
        "Resource" => "resource",
        "ContainerResource" => "containerResource",
        _ => return "<unknown type>".to_owned(),
    };
    let (spec, status) = (spec.get(source), status.get(source));
    let (target, current) = (spec.get("target"), status.get("current"));
    let is_known = !status.is_null();
    let average = target.get("averageValue").as_str();
    // A missing measured value is zero.
    let measured = |member: &str, absent: &'static str| {
        let value = current.get(member).as_str().unwrap_or(absent);
        if is_known { value.to_owned() } else { "<unknown>".to_owned() }
    };
    match (source, average) {
        ("pods", average) => format!("{}/{}", measured("averageValue", "0"), average.unwrap_or("0")),
        ("external" | "object", Some(average)) => {
            format!("{}/{average} (avg)", measured("averageValue", "<unknown>"))
        }
        ("external" | "object", None) => {
            format!("{}/{}", measured("value", "0"), target.get("value").as_str().unwrap_or("0"))
        }
        (_, Some(average)) => {
            format!("{}: {}/{average}", spec.str_at("name"), measured("averageValue", "0"))
        }
        (_, None) => {
            let used = percent(current.get("averageUtilization"), "<unknown>");
            let wanted = percent(target.get("averageUtilization"), "<auto>");
            format!("{}: {used}/{wanted}", spec.str_at("name"))
        }
    }
}
