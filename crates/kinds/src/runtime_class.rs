//! RuntimeClass

use crate::simple::Simple;
use crate::table::{AGE, Column, NAME, Table, age, cells, name};
use crate::{validation, warnings};

/// RuntimeClass
pub(crate) static RUNTIME_CLASSES: Simple = Simple {
    updates_unconditionally: false,
    validate: validation::validate_runtime_class,
    validate_update: Some(validation::validate_runtime_class_update),
    warnings: warnings::of_runtime_class,
    table: Table {
        columns: &[NAME, Column::text("Handler", "What runs the class's pods on a node."), AGE],
        row: |object, clock| cells![name(object), object.str_at("handler"), age(object, clock)],
    },
    ..Simple::PLAIN
};

#[cfg(test)]
mod tests {
    use object::value;

    use super::*;
    use crate::testing::{check_row, named};

    #[test]
    fn table() {
        check_row(&RUNTIME_CLASSES, &named("c", value!({"handler": "runsc"})), "c | runsc | 3h");
    }
}
