//! DaemonSet

use object::Value;

use crate::simple::Simple;
use crate::table::{
    AGE, CONTAINERS, Column, IMAGES, NAME, SELECTOR, Table, age, cells, containers, labels, name, number,
    selector,
};
use crate::{defaults, validation, warnings};

/// How often the template was changed, and one: once a field, which clients still read.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

fn template_generation(set: &Value) -> i64 {
    let text = set.at_path(&["metadata", "annotations", TEMPLATE_GENERATION]);
    text.as_str().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Clients can set the number only when they create the object.
fn count_templates(set: &mut Value, old: &Value) {
    let path = "spec.template";
    let number = match template_generation(if old.is_null() { set } else { old }) {
        given if old.is_null() => given.max(1),
        before if validation::same(set.at(path), old.at(path)) => before,
        before => before.saturating_add(1),
    };
    set.entry("metadata").entry("annotations").set(TEMPLATE_GENERATION, number.to_string());
}

/// DaemonSet
pub(crate) static DAEMON_SETS: Simple = Simple {
    default: defaults::default_daemon_set,
    prepare: count_templates,
    validate: validation::validate_daemon_set,
    validate_update: Some(validation::validate_daemon_set_update),
    validate_status_update: validation::validate_daemon_set_status_update,
    warnings: |set, old| warnings::of_spec_template(set, old, "io.k8s.api.apps.v1.DaemonSet"),
    table: Table {
        columns: &[
            NAME,
            Column::integer("Desired", "How many nodes should run a pod."),
            Column::integer("Current", "How many of them do."),
            Column::integer("Ready", "How many of the pods are ready."),
            Column::integer("Up-to-date", "How many pods have the newest template."),
            Column::integer("Available", "How many pods have been ready for long enough."),
            Column::text("Node Selector", "The labels of the nodes that run a pod."),
            AGE,
            CONTAINERS,
            IMAGES,
            SELECTOR,
        ],
        row: |object, clock| {
            let (names, images) = containers(object.at("spec.template.spec.containers"));
            cells![
                name(object),
                number(object, "status.desiredNumberScheduled"),
                number(object, "status.currentNumberScheduled"),
                number(object, "status.numberReady"),
                number(object, "status.updatedNumberScheduled"),
                number(object, "status.numberAvailable"),
                labels(object.at("spec.template.spec.nodeSelector")),
                age(object, clock),
                names,
                images,
                selector(object.at("spec.selector")),
            ]
        },
    },
    ..Simple::WITH_STATUS
};

#[cfg(test)]
mod tests {
    use object::value;

    use super::*;
    use crate::Strategy;
    use crate::testing::{check_row, named};

    fn set(generation: Value, image: &str) -> Value {
        let mut set = value!({"spec": {"template": {"spec": {"containers": [{"image": image}]}}}});
        if !generation.is_null() {
            set.entry("metadata").entry("annotations").set(TEMPLATE_GENERATION, generation);
        }
        set
    }

    #[test]
    fn changes_of_the_template_are_counted() {
        let number = |set: &Value| set.at_path(&["metadata", "annotations", TEMPLATE_GENERATION]).clone();
        for (given, expected) in [(Value::Null, "1"), ("0".into(), "1"), ("7".into(), "7"), ("x".into(), "1")]
        {
            let mut made = set(given, "a");
            DAEMON_SETS.prepare_create(&mut made);
            assert_eq!(number(&made), expected.into());
        }
        for (old, image, expected) in [
            (Value::from("3"), "a", "3"),
            ("3".into(), "b", "4"),
            // From before it was counted.
            (Value::Null, "a", "0"),
            (Value::Null, "b", "1"),
        ] {
            for given in [Value::Null, "9".into()] {
                let (mut changed, old) = (set(given.clone(), image), set(old.clone(), "a"));
                DAEMON_SETS.prepare_update(&mut changed, &old);
                assert_eq!(number(&changed), expected.into());
                let mut status = set(given, image);
                DAEMON_SETS.prepare_status_update(&mut status, &old);
                let before = number(&old).as_str().unwrap_or("0").to_owned();
                assert_eq!(number(&status), before.into());
            }
        }
    }

    #[test]
    fn table() {
        let template =
            value!({"spec": {"nodeSelector": {"disk": "ssd"}, "containers": [{"name": "c", "image": "i"}]}});
        let set = value!({
            "spec": {"template": template, "selector": {"matchLabels": {"a": "b"}}},
            "status": {
                "desiredNumberScheduled": 5, "currentNumberScheduled": 4, "numberReady": 3,
                "updatedNumberScheduled": 2, "numberAvailable": 1
            }
        });
        check_row(&DAEMON_SETS, &named("d", set), "d | 5 | 4 | 3 | 2 | 1 | disk=ssd | 3h | c | i | a=b");
        check_row(
            &DAEMON_SETS,
            &named("d", value!({})),
            "d | 0 | 0 | 0 | 0 | 0 | <none> | 3h |  |  | <none>",
        );
    }
}
