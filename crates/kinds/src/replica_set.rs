//! ReplicaSet and its older form ReplicationController, whose selector is a plain map.

use clock::Clock;
use object::{Value, field};

use crate::strategy::Strategy;
use crate::table::{
    AGE, CONTAINERS, Column, IMAGES, NAME, SELECTOR, age, cells, containers, labels, name, number, selector,
};
use crate::{defaults, validation, warnings};

/// ReplicaSet
pub(crate) struct ReplicaSets;

/// ReplicationController
pub(crate) struct ReplicationControllers;

const COLUMNS: &[Column] = &[
    NAME,
    Column::integer("Desired", "How many pods are wanted."),
    Column::integer("Current", "How many pods there are."),
    Column::integer("Ready", "How many pods are ready."),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

fn row(object: &Value, clock: &Clock, selector: String) -> Vec<Value> {
    let (names, images) = containers(object.at("spec.template.spec.containers"));
    cells![
        name(object),
        number(object, "spec.replicas"),
        number(object, "status.replicas"),
        number(object, "status.readyReplicas"),
        age(object, clock),
        names,
        images,
        selector,
    ]
}

const SELECTABLE: &[&str] = &["status.replicas"];

fn selectable(object: &Value) -> Vec<(&'static str, String)> {
    vec![(SELECTABLE[0], number(object, SELECTABLE[0]).to_string())]
}

impl Strategy for ReplicaSets {
    fn default(&self, object: &mut Value) {
        defaults::default_replica_set(object);
    }

    fn validate(&self, object: &Value) -> field::Errors {
        validation::validate_replica_set(object)
    }

    fn validate_update(&self, object: &Value, old: &Value) -> field::Errors {
        validation::validate_replica_set_update(object, old)
    }

    fn validate_status_update(&self, object: &Value, old: &Value) -> field::Errors {
        validation::validate_replica_set_status_update(object, old)
    }

    fn has_status(&self) -> bool {
        true
    }

    fn selectable_fields(&self, object: &Value) -> Vec<(&'static str, String)> {
        selectable(object)
    }

    fn selectable_field_names(&self) -> &'static [&'static str] {
        SELECTABLE
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn row(&self, object: &Value, clock: &Clock) -> Vec<Value> {
        row(object, clock, selector(object.at("spec.selector")))
    }

    fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        warnings::of_workload(object, old, "io.k8s.api.apps.v1.ReplicaSet")
    }
}

impl Strategy for ReplicationControllers {
    fn default(&self, object: &mut Value) {
        defaults::default_replication_controller(object);
    }

    fn validate(&self, object: &Value) -> field::Errors {
        validation::validate_replication_controller(object)
    }

    fn validate_status_update(&self, object: &Value, old: &Value) -> field::Errors {
        validation::validate_replication_controller_status_update(object, old)
    }

    fn has_status(&self) -> bool {
        true
    }

    fn orphans_by_default(&self) -> bool {
        true
    }

    fn selectable_fields(&self, object: &Value) -> Vec<(&'static str, String)> {
        selectable(object)
    }

    fn selectable_field_names(&self) -> &'static [&'static str] {
        SELECTABLE
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn row(&self, object: &Value, clock: &Clock) -> Vec<Value> {
        row(object, clock, labels(object.at("spec.selector")))
    }

    fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        warnings::of_replication_controller(object, old)
    }
}

#[cfg(test)]
mod tests {
    use object::value;

    use super::*;
    use crate::testing::{check_row, named};

    #[test]
    fn tables() {
        let object = |selector: Value| {
            let template = value!({"spec": {"containers": [{"name": "c", "image": "i"}]}});
            let spec = value!({"replicas": 3, "template": template, "selector": selector});
            named("r", value!({"spec": spec, "status": {"replicas": 2, "readyReplicas": 1}}))
        };
        check_row(
            &ReplicaSets,
            &object(value!({"matchLabels": {"a": "b"}})),
            "r | 3 | 2 | 1 | 3h | c | i | a=b",
        );
        check_row(&ReplicationControllers, &object(value!({"a": "b"})), "r | 3 | 2 | 1 | 3h | c | i | a=b");
        assert_eq!(ReplicaSets.selectable_fields(&object(value!({}))), [("status.replicas", "2".to_owned())]);
    }
}
