//! StatefulSet

use crate::simple::Simple;
use crate::strategy::NameRule;
use crate::table::{AGE, CONTAINERS, Column, IMAGES, NAME, Table, age, cells, containers, name, number};
use crate::{defaults, validation, warnings};

/// The name of a set is a part of its pods' host names, so it must be a label.
pub(crate) static STATEFUL_SETS: Simple = Simple {
    name_rule: NameRule::Label,
    default: defaults::default_stateful_set,
    validate: validation::validate_stateful_set,
    validate_update: Some(validation::validate_stateful_set_update),
    validate_status_update: validation::validate_stateful_set_status_update,
    warnings: warnings::of_stateful_set,
    table: Table {
        columns: &[
            NAME,
            Column::text("Ready", "How many pods are ready, of how many that are wanted."),
            AGE,
            CONTAINERS,
            IMAGES,
        ],
        row: |object, clock| {
            let (names, images) = containers(object.at("spec.template.spec.containers"));
            let ready = number(object, "status.readyReplicas");
            let ready = format!("{ready}/{}", number(object, "spec.replicas"));
            cells![name(object), ready, age(object, clock), names, images]
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
        let template = value!({"spec": {"containers": [{"name": "c", "image": "i"}]}});
        let set = value!({"spec": {"replicas": 3, "template": template}, "status": {"readyReplicas": 2}});
        check_row(&STATEFUL_SETS, &named("s", set), "s | 2/3 | 3h | c | i");
    }
}
