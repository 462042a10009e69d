//! PodDisruptionBudget

use crate::simple::Simple;
use crate::strategy::NameRule;
use crate::table::{AGE, Column, NAME, Table, age, cells, name, number, number_or_text};
use crate::validation;

/// Evictions use up budgets and must not overwrite each other: updates need a version.
pub(crate) static POD_DISRUPTION_BUDGETS: Simple = Simple {
    updates_unconditionally: false,
    name_rule: NameRule::PathSegment,
    validate: validation::validate_pod_disruption_budget,
    validate_status_update: validation::validate_pod_disruption_budget_status_update,
    table: Table {
        columns: &[
            NAME,
            Column::text("Min Available", "How many pods must stay available."),
            Column::text("Max Unavailable", "How many pods may be unavailable."),
            Column::integer("Allowed Disruptions", "How many pods may be disrupted now."),
            AGE,
        ],
        row: |object, clock| {
            cells![
                name(object),
                number_or_text(object.at("spec.minAvailable"), "N/A"),
                number_or_text(object.at("spec.maxUnavailable"), "N/A"),
                number(object, "status.disruptionsAllowed"),
                age(object, clock),
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
        let budget = value!({"spec": {"minAvailable": 0}, "status": {"disruptionsAllowed": 3}});
        check_row(&POD_DISRUPTION_BUDGETS, &named("b", budget), "b | 0 | N/A | 3 | 3h");
        let budget = value!({"spec": {"maxUnavailable": "20%"}});
        check_row(&POD_DISRUPTION_BUDGETS, &named("b", budget), "b | N/A | 20% | 0 | 3h");
    }
}
