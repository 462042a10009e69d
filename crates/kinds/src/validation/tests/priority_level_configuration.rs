use super::*;
use crate::defaults::default_priority_level_configuration;
use crate::validation::*;

fn level(name: &str, spec: Value) -> Value {
    patched(
        &value!({"metadata": {"name": name}, "spec": spec}),
        &value!({}),
        default_priority_level_configuration,
    )
}

#[track_caller]
fn check(name: &str, spec: Value, expected: &[&str]) {
    assert_eq!(lines(validate_priority_level_configuration(&level(name, spec))), expected);
}

/// A limited level, changed by a merge patch.
#[track_caller]
fn check_limited(patch: Value, expected: &[&str]) {
    let limited = value!({"limitResponse": {"type": "Reject"}});
    let limited = merge_patch(limited, patch).unwrap();
    check("l", value!({"type": "Limited", "limited": limited}), expected);
}

#[test]
fn priority_levels() {
    const ONLY: &str = "type must be 'Exempt' if and only if name is 'exempt'";
    check_limited(value!({}), &[]);
    check("l", value!({"type": "Limited"}), &["spec.limited: Required value"]);
    check(
        "l",
        value!({}),
        &[
            r#"spec.type: Unsupported value: "": supported values: "Exempt", "Limited""#,
            "spec.type: Required value",
        ],
    );
    check("l", value!({"type": "Exempt"}), &[&format!(r#"spec.type: Invalid value: "Exempt": {ONLY}"#)]);
    check(
        "l",
        value!({"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}}, "exempt": {}}),
        &["spec.exempt: Forbidden"],
    );
    let response = |response: Value| value!({"limitResponse": response});
    check_limited(response(value!({"type": "Queue", "queuing": {}})), &[]);
    check_limited(
        response(value!({"type": "Queue"})),
        &["spec.limited.limitResponse.queuing: Required value"],
    );
    check_limited(response(value!({"queuing": {}})), &["spec.limited.limitResponse.queuing: Forbidden"]);
    check_limited(
        response(value!({"type": "Odd"})),
        &[
            r#"spec.limited.limitResponse.type: Unsupported value: "Odd": supported values: "Queue", "Reject""#,
        ],
    );
    check_limited(value!({"nominalConcurrencyShares": 0, "lendablePercent": 100}), &[]);
    check_limited(
        value!({"nominalConcurrencyShares": (-1), "lendablePercent": 101, "borrowingLimitPercent": (-1)}),
        &[
            "spec.limited.nominalConcurrencyShares: Invalid value: -1: must be a non-negative integer",
            "spec.limited.lendablePercent: Invalid value: 101: must be between 0 and 100, inclusive",
            "spec.limited.borrowingLimitPercent: Invalid value: -1: if specified, must be a non-negative integer",
        ],
    );
    let wrong = value!({"status": {"conditions": [{}]}});
    assert_eq!(
        lines(validate_priority_level_configuration_status_update(&wrong, &wrong)),
        ["status.conditions[0].type: Required value: must not be empty"]
    );
}

#[test]
fn queues_of_priority_levels() {
    let queuing = |queuing: Value, expected: &[&str]| {
        let expected: Vec<String> =
            expected.iter().map(|line| format!("spec.limited.limitResponse.queuing.{line}")).collect();
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        check_limited(value!({"limitResponse": {"type": "Queue", "queuing": queuing}}), &expected);
    };
    queuing(value!({"queues": 512, "handSize": 4, "queueLengthLimit": 1}), &[]);
    queuing(
        value!({"queues": (-1), "handSize": (-1), "queueLengthLimit": (-1)}),
        &[
            "queueLengthLimit: Invalid value: -1: must be positive",
            "queues: Invalid value: -1: must be positive",
            "handSize: Invalid value: -1: must be positive",
        ],
    );
    queuing(
        value!({"queues": 10000001, "handSize": 2}),
        &["queues: Invalid value: 10000001: must not be greater than 10000000"],
    );
    queuing(
        value!({"queues": 4, "handSize": 5}),
        &["handSize: Invalid value: 5: should not be greater than queues (4)"],
    );
    queuing(value!({"queues": 1024, "handSize": 6}), &[]);
    queuing(
        value!({"queues": 1024, "handSize": 7}),
        &[
            "handSize: Invalid value: 7: required entropy bits of deckSize 1024 and handSize 7 should not be greater than 60",
        ],
    );
}

#[test]
fn levels_of_the_system_are_fixed() {
    check("exempt", value!({"type": "Exempt"}), &[]);
    let exempt = |exempt: Value| value!({"type": "Exempt", "exempt": exempt});
    check("exempt", exempt(value!({"nominalConcurrencyShares": 10, "lendablePercent": 50})), &[]);
    check(
        "exempt",
        exempt(value!({"nominalConcurrencyShares": (-1), "lendablePercent": (-1)})),
        &[
            "spec.exempt.nominalConcurrencyShares: Invalid value: -1: must be a non-negative integer",
            "spec.exempt.lendablePercent: Invalid value: -1: must be between 0 and 100, inclusive",
        ],
    );
    let limited = value!({"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}}});
    let shown = r#"{"type":"Limited","limited":{"limitResponse":{"type":"Reject"},"nominalConcurrencyShares":30,"lendablePercent":0}}"#;
    check(
        "exempt",
        limited.clone(),
        &[
            r#"spec.type: Invalid value: "Limited": type must be 'Exempt' if and only if name is 'exempt'"#,
            &format!(
                "spec: Invalid value: {shown}: spec of 'exempt' except the 'spec.exempt' field must equal the fixed value"
            ),
        ],
    );
    let five = value!({"type": "Limited", "limited": {
        "nominalConcurrencyShares": 5, "limitResponse": {"type": "Reject"}
    }});
    check("catch-all", five, &[]);
    check(
        "catch-all",
        limited,
        &[&format!("spec: Invalid value: {shown}: spec of 'catch-all' must equal the fixed value")],
    );
}
