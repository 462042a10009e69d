//! DaemonSet

use crate::simple::Simple;
use crate::table::{
    AGE, CONTAINERS, Column, IMAGES, NAME, SELECTOR, Table, age, cells, containers, labels, name, number,
    selector,
};
use crate::{defaults, validation};

/// DaemonSet
pub(crate) static DAEMON_SETS: Simple = Simple {
    default: defaults::default_daemon_set,
    validate: validation::validate_daemon_set,
    validate_update: Some(validation::validate_daemon_set_update),
    validate_status_update: validation::validate_daemon_set_status_update,
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
    use crate::testing::{check_row, named};

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
