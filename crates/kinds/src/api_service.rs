//! APIService

use clock::Clock;
use object::{Value, field, value};
use semantics::conditions;

use crate::strategy::{NameRule, Strategy, keep_metadata, keep_spec};
use crate::table::{AGE, Column, NAME, age, cells, name};
use crate::{defaults, validation};

/// A service without a backend is served by this server, and is therefore available from the start.
pub(crate) struct ApiServices;

impl Strategy for ApiServices {
    fn default(&self, object: &mut Value) {
        defaults::default_api_service(object);
    }

    fn prepare_create(&self, object: &mut Value) {
        object.remove("status");
        if object.at("spec.service").is_null() {
            let condition = value!({
                "type": "Available", "status": "True", "reason": "Local", "message": "Local APIServices are always available"
            });
            object.set("status", value!({"conditions": [condition]}));
        }
    }

    fn prepare_status_update(&self, object: &mut Value, old: &Value) {
        keep_spec(object, old);
        keep_metadata(object, old);
    }

    fn kept_by_status(&self) -> &'static [&'static [&'static str]] {
        &[&["metadata"]]
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
        validation::validate_api_service(object)
    }

    fn validate_status_update(&self, object: &Value, old: &Value) -> field::Errors {
        validation::validate_api_service_status_update(object, old)
    }

    fn name_rule(&self) -> NameRule {
        NameRule::PathSegment
    }

    fn has_status(&self) -> bool {
        true
    }

    fn tracks_generation(&self) -> bool {
        false
    }

    fn updates_unconditionally(&self) -> bool {
        false
    }

    fn columns(&self) -> &'static [Column] {
        const {
            &[
                NAME,
                Column::text("Service", "The Service that serves the group version; Local is this server."),
                Column::text("Available", "Whether the Service answers."),
                AGE,
            ]
        }
    }

    fn row(&self, object: &Value, clock: &Clock) -> Vec<Value> {
        let service = match object.at("spec.service") {
            Value::Null => "Local".to_owned(),
            service => format!("{}/{}", service.str_at("namespace"), service.str_at("name")),
        };
        let available = conditions::of(object, "Available");
        let available = match (available.field("status").text(), available.field("reason").text()) {
            _ if available.is_absent() => "Unknown".to_owned(),
            (status, reason) if status == conditions::TRUE || reason.is_empty() => status.to_owned(),
            (status, reason) => format!("{status} ({reason})"),
        };
        cells![name(object), service, available, age(object, clock)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_row, named};

    #[test]
    fn local_services_are_available_at_once() {
        let mut object = named("v1.", value!({"spec": {"version": "v1"}}));
        ApiServices.prepare_create(&mut object);
        check_row(&ApiServices, &object, "v1. | Local | True | 3h");
    }

    #[test]
    fn table() {
        let condition = |status: &str, reason: &str| {
            value!({
                "spec": {"service": {"namespace": "kube-system", "name": "metrics"}},
                "status": {"conditions": [{"type": "Available", "status": status, "reason": reason}]}
            })
        };
        let row = "v1beta1.metrics.k8s.io | kube-system/metrics | False (MissingEndpoints) | 3h";
        check_row(
            &ApiServices,
            &named("v1beta1.metrics.k8s.io", condition("False", "MissingEndpoints")),
            row,
        );
        let service = value!({"spec": {"service": {"namespace": "n", "name": "s"}}});
        check_row(&ApiServices, &named("a", service), "a | n/s | Unknown | 3h");
    }
}
