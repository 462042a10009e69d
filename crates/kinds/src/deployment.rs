//! Deployment
//!
//! This file is the template for a kind with its own behaviour (`docs/add-a-kind.md`): the strategy contains only the
//! differences from the generic path, and the tests below verify that.

use clock::Clock;
use object::{Value, field};

use crate::strategy::{Strategy, bump_generation, keep_spec, restore};
use crate::table::{AGE, CONTAINERS, Column, IMAGES, NAME, SELECTOR, age, cells, containers, name, number};
use crate::{defaults, validation, warnings};

/// The strategy of Deployments (`pkg/registry/apps/deployment/strategy.go`).
pub(crate) struct Deployments;

impl Strategy for Deployments {
    fn default(&self, object: &mut Value) {
        defaults::default_deployment(object);
    }

    /// Annotations count as a change: the controller copies them to its ReplicaSets.
    fn prepare_update(&self, object: &mut Value, old: &Value) {
        restore(object, old, "status");
        if object.at("metadata.annotations") != old.at("metadata.annotations") {
            bump_generation(object, old);
        }
    }

    /// The controller's writes of the status do not change labels, which belong to users.
    fn prepare_status_update(&self, object: &mut Value, old: &Value) {
        keep_spec(object, old);
        restore(object.entry("metadata"), old.get("metadata"), "labels");
    }

    fn kept_by_status(&self) -> &'static [&'static [&'static str]] {
        &[&["metadata", "labels"]]
    }

    fn validate(&self, object: &Value) -> field::Errors {
        validation::validate_deployment(object)
    }

    fn validate_update(&self, object: &Value, old: &Value) -> field::Errors {
        validation::validate_deployment_update(object, old)
    }

    fn validate_status_update(&self, object: &Value, old: &Value) -> field::Errors {
        validation::validate_deployment_status_update(object, old)
    }

    fn has_status(&self) -> bool {
        true
    }

    fn columns(&self) -> &'static [Column] {
        const {
            &[
                NAME,
                Column::text("Ready", "How many pods are ready, of how many that are wanted."),
                Column::text("Up-to-date", "How many pods have the newest template."),
                Column::text("Available", "How many pods have been ready for long enough."),
                AGE,
                CONTAINERS,
                IMAGES,
                SELECTOR,
            ]
        }
    }

    fn row(&self, object: &Value, clock: &Clock) -> Vec<Value> {
        let (names, images) = containers(object.at("spec.template.spec.containers"));
        let selector = semantics::try_selector(object.at("spec.selector"));
        cells![
            name(object),
            format!("{}/{}", number(object, "status.readyReplicas"), number(object, "spec.replicas")),
            number(object, "status.updatedReplicas"),
            number(object, "status.availableReplicas"),
            age(object, clock),
            names,
            images,
            selector.map_or_else(|_| "<invalid>".to_owned(), |selector| selector.to_string()),
        ]
    }

    fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        warnings::of_workload(object, old, "io.k8s.api.apps.v1.Deployment")
    }
}

#[cfg(test)]
mod tests {
    use object::value;

    use super::*;
    use crate::testing::{check_row, named};

    #[test]
    fn annotations_count_as_a_change_and_labels_do_not() {
        let old = value!({
            "metadata": {"generation": 3, "labels": {"a": "1"}}, "spec": {"replicas": 1}, "status": {"replicas": 1}
        });
        let mut relabelled = old.clone();
        relabelled.entry("metadata").set("labels", value!({"a": "2"}));
        relabelled.remove("status");
        Deployments.prepare_update(&mut relabelled, &old);
        assert_eq!(relabelled.at("metadata.generation"), &Value::from(3i64));
        assert_eq!(relabelled.get("status"), old.get("status"));
        let mut annotated = old.clone();
        annotated.entry("metadata").set("annotations", value!({"kubernetes.io/change-cause": "x"}));
        Deployments.prepare_update(&mut annotated, &old);
        assert_eq!(annotated.at("metadata.generation"), &Value::from(4i64));
    }

    #[test]
    fn a_status_update_changes_neither_spec_nor_labels() {
        let old = value!({"metadata": {"labels": {"a": "1"}}, "spec": {"replicas": 1}});
        let mut new =
            value!({"metadata": {"labels": {}}, "spec": {"replicas": 2}, "status": {"replicas": 2}});
        Deployments.prepare_status_update(&mut new, &old);
        let expected =
            value!({"metadata": {"labels": {"a": "1"}}, "spec": {"replicas": 1}, "status": {"replicas": 2}});
        assert_eq!(new, expected);
    }

    #[test]
    fn table() {
        let template =
            value!({"spec": {"containers": [{"name": "a", "image": "x"}, {"name": "b", "image": "y"}]}});
        let cases = [
            (value!({"spec": {"replicas": 3}}), "d | 0/3 | 0 | 0 | 3h |  |  | "),
            (
                value!({
                    "spec": {"replicas": 2, "template": template, "selector": {"matchLabels": {"app": "a"}}},
                    "status": {"readyReplicas": 1, "updatedReplicas": 2, "availableReplicas": 1}
                }),
                "d | 1/2 | 2 | 1 | 3h | a,b | x,y | app=a",
            ),
            (
                value!({"spec": {"selector": {"matchExpressions": [{"key": "a", "operator": "?"}]}}}),
                "d | 0/0 | 0 | 0 | 3h |  |  | <invalid>",
            ),
        ];
        for (object, row) in cases {
            check_row(&Deployments, &named("d", object), row);
        }
    }

    #[test]
    fn names_that_are_no_hostnames_are_warned_of() {
        assert_eq!(Deployments.warnings(&named("web", value!({})), None), [""; 0]);
        let warnings = Deployments.warnings(&named("a.b", value!({})), None);
        assert!(
            warnings[0].starts_with("metadata.name: this is used in Pod names and hostnames"),
            "{warnings:?}"
        );
    }
}
