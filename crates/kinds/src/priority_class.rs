//! PriorityClass

use crate::simple::Simple;
use crate::table::{AGE, Column, NAME, Table, age, cells, flag, name, number};
use crate::{defaults, validation};

/// PriorityClass
pub(crate) static PRIORITY_CLASSES: Simple = Simple {
    default: defaults::default_priority_class,
    validate: validation::validate_priority_class,
    validate_update: Some(validation::validate_priority_class_update),
    table: Table {
        columns: &[
            NAME,
            Column::integer("Value", "The priority of the class's pods; higher ones come first."),
            Column::boolean("Global-Default", "Whether pods without a class get this one."),
            AGE,
            Column::text("PreemptionPolicy", "Whether the class's pods may push others out."),
        ],
        row: |object, clock| {
            cells![
                name(object),
                number(object, "value"),
                flag(object, "globalDefault"),
                age(object, clock),
                object.str_at("preemptionPolicy"),
            ]
        },
    },
    ..Simple::COUNTED
};

#[cfg(test)]
mod tests {
    use object::value;

    use super::*;
    use crate::testing::{check_row, named};

    #[test]
    fn table() {
        let class = value!({"value": 1000, "globalDefault": true, "preemptionPolicy": "Never"});
        check_row(&PRIORITY_CLASSES, &named("c", class), "c | 1000 | true | 3h | Never");
        check_row(&PRIORITY_CLASSES, &named("c", value!({})), "c | 0 | false | 3h | ");
    }
}
