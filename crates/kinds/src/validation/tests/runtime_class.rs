use super::*;
use crate::validation::*;

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";

#[test]
fn runtime_classes() {
    check_all(
        &value!({"handler": "runsc"}),
        |_| (),
        validate_runtime_class,
        &[
            (value!({}), &[]),
            (value!({"handler": ""}), &["handler: Required value"]),
            (value!({"handler": "Kata"}), &[&format!(r#"handler: Invalid value: "Kata": {LABEL}"#)]),
            (value!({"handler": "a.b"}), &[r#"handler: Invalid value: "a.b": must not contain dots"#]),
            (value!({"overhead": {"podFixed": {"cpu": "100m", "memory": "64Mi"}}}), &[]),
            (
                value!({"overhead": {"podFixed": {"cpu": "-1"}}}),
                &[r#"overhead.limits[cpu]: Invalid value: "-1": must be greater than or equal to 0"#],
            ),
            (
                value!({"overhead": {"podFixed": {"pods": "1"}}}),
                &[
                    r#"overhead.limits[pods]: Invalid value: "pods": must be a standard resource for containers"#,
                ],
            ),
            (
                value!({"scheduling": {
                    "nodeSelector": {"a": "b"}, "tolerations": [{"key": "a", "operator": "Exists"}]
                }}),
                &[],
            ),
            (
                value!({"scheduling": {"nodeSelector": {"-": "b"}}}),
                &[&format!(r#"scheduling.nodeSelector: Invalid value: "-": {QUALIFIED}"#)],
            ),
            (
                value!({"scheduling": {"tolerations": [{"operator": "Odd", "key": "a"}]}}),
                &[
                    r#"scheduling.tolerations[0].operator: Unsupported value: "Odd": supported values: "Equal", "Exists""#,
                ],
            ),
        ],
    );
}

#[test]
fn runtime_classes_keep_their_handler() {
    let old = value!({"handler": "runsc"});
    check_all(
        &old,
        |_| (),
        |new| validate_runtime_class_update(new, &old),
        &[
            (value!({"scheduling": {"nodeSelector": {"a": "b"}}}), &[]),
            (value!({"handler": "kata"}), &["handler: Invalid value: null: field is immutable"]),
        ],
    );
}
