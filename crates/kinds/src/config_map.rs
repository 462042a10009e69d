//! ConfigMap

use crate::simple::Simple;
use crate::table::{AGE, Column, NAME, Table, age, cells, count, name};
use crate::validation;

/// ConfigMap
pub(crate) static CONFIG_MAPS: Simple = Simple {
    validate: validation::validate_config_map,
    validate_update: Some(validation::validate_config_map_update),
    table: Table {
        columns: &[NAME, Column::text("Data", "How many entries there are."), AGE],
        row: |object, clock| {
            cells![name(object), count(object, "data") + count(object, "binaryData"), age(object, clock)]
        },
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
        check_row(&CONFIG_MAPS, &named("c", value!({})), "c | 0 | 3h");
        let map = value!({"data": {"a": "1", "b": "2"}, "binaryData": {"c": "Zm9v"}});
        check_row(&CONFIG_MAPS, &named("c", map), "c | 3 | 3h");
    }
}
