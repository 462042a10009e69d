use super::storage_class::parameters;
use super::*;
use crate::validation::*;

fn class() -> Value {
    value!({"driverName": "d.example.com", "parameters": {"iops": "100"}})
}

#[test]
fn volume_attributes_classes() {
    check_all(
        &class(),
        |_| (),
        validate_volume_attributes_class,
        &[
            (value!({}), &[]),
            (value!({"driverName": ""}), &["driverName: Required value"]),
            (value!({"driverName": "-D"}), &[&format!(r#"driverName: Invalid value: "-d": {QUALIFIED}"#)]),
            (
                value!({"parameters": {"iops": null}}),
                &["parameters: Required value: must contain at least one key/value pair"],
            ),
            (
                value!({"parameters": {"": "1"}}),
                &[r#"parameters: Invalid value: "": field can not be empty."#],
            ),
            (
                value!({"parameters": (parameters(513, 1))}),
                &["parameters: Too long: may not be more than 512 bytes"],
            ),
        ],
    );
}

#[test]
fn volume_attributes_classes_do_not_change() {
    check_all(
        &class(),
        |_| (),
        |new| validate_volume_attributes_class_update(new, &class()),
        &[
            (value!({"metadata": {"labels": {"a": "b"}}}), &[]),
            (
                value!({"driverName": "other"}),
                &["driverName: Forbidden: updates to driverName are forbidden."],
            ),
            (
                value!({"parameters": {"iops": "200"}}),
                &["parameters: Forbidden: updates to parameters are forbidden."],
            ),
        ],
    );
}
