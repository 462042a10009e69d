//! The kinds of `flowcontrol.apiserver.k8s.io`.

use object::Value;
use semantics::conditions;

use crate::simple::Simple;
use crate::table::{AGE, Column, NAME, Table, age, cells, name, number};
use crate::{defaults, validation};

/// FlowSchema
pub(crate) static FLOW_SCHEMAS: Simple = Simple {
    status_keeps_metadata: true,
    default: defaults::default_flow_schema,
    validate: validation::validate_flow_schema,
    validate_status_update: validation::validate_flow_schema_status_update,
    table: Table {
        columns: &[
            NAME,
            Column::text("PriorityLevel", "The level that the requests get."),
            Column::text("MatchingPrecedence", "The place among the schemas; lower ones are tried first."),
            Column::text("DistinguisherMethod", "What tells the flows of the schema apart."),
            AGE,
            Column::text("MissingPL", "Whether the level does not exist."),
        ],
        row: |object, clock| {
            cells![
                name(object),
                object.str_at("spec.priorityLevelConfiguration.name"),
                number(object, "spec.matchingPrecedence"),
                object.at("spec.distinguisherMethod.type").as_str().unwrap_or("<none>"),
                age(object, clock),
                conditions::of(object, "Dangling").field("status").as_text().unwrap_or("?"),
            ]
        },
    },
    ..Simple::WITH_STATUS
};

/// PriorityLevelConfiguration
pub(crate) static PRIORITY_LEVELS: Simple = Simple {
    status_keeps_metadata: true,
    default: defaults::default_priority_level_configuration,
    validate: validation::validate_priority_level_configuration,
    validate_status_update: validation::validate_priority_level_configuration_status_update,
    table: Table {
        columns: &[
            NAME,
            Column::text("Type", "Whether the level is limited."),
            Column::text("NominalConcurrencyShares", "The level's share of the server's seats."),
            Column::text("Queues", "How many queues there are."),
            Column::text("HandSize", "How many queues a flow is dealt."),
            Column::text("QueueLengthLimit", "How many requests a queue holds."),
            AGE,
        ],
        row: |object, clock| {
            let limited = object.at("spec.limited");
            let queuing = limited.at("limitResponse.queuing");
            let of = |group: &Value, member: &str| match group {
                Value::Null => Value::from("<none>"),
                group => Value::from(number(group, member)),
            };
            cells![
                name(object),
                object.str_at("spec.type"),
                of(limited, "nominalConcurrencyShares"),
                of(queuing, "queues"),
                of(queuing, "handSize"),
                of(queuing, "queueLengthLimit"),
                age(object, clock),
            ]
        },
    },
    ..Simple::WITH_STATUS
};

#[cfg(test)]
mod tests {
    use object::value;

    use crate::testing::{check_row, named};

    #[test]
    fn tables() {
        let of = |plural: &str| crate::registry::strategy("flowcontrol.apiserver.k8s.io", plural);
        let schema = value!({
            "spec": {"priorityLevelConfiguration": {"name": "l"}, "matchingPrecedence": 1000},
            "status": {"conditions": [{"type": "Dangling", "status": "False"}]}
        });
        check_row(of("flowschemas"), &named("f", schema), "f | l | 1000 | <none> | 3h | False");
        let schema = value!({"spec": {"distinguisherMethod": {"type": "ByUser"}}});
        check_row(of("flowschemas"), &named("f", schema), "f |  | 0 | ByUser | 3h | ?");
        let exempt = value!({"spec": {"type": "Exempt"}});
        check_row(
            of("prioritylevelconfigurations"),
            &named("x", exempt),
            "x | Exempt | <none> | <none> | <none> | <none> | 3h",
        );
        let limited = value!({"spec": {"type": "Limited", "limited": {
            "nominalConcurrencyShares": 5,
            "limitResponse": {"type": "Queue", "queuing": {"queues": 64, "handSize": 6, "queueLengthLimit": 50}}
        }}});
        check_row(
            of("prioritylevelconfigurations"),
            &named("l", limited),
            "l | Limited | 5 | 64 | 6 | 50 | 3h",
        );
    }
}
