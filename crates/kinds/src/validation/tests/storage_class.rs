use super::*;
use crate::defaults::default_storage_class;
use crate::validation::*;

/// As many parameters as this, each with a value of so many bytes.
pub(super) fn parameters(count: usize, bytes: usize) -> Value {
    let mut map = Value::map();
    for number in 0..count {
        map.set(format!("k{number}"), "v".repeat(bytes));
    }
    map
}

#[test]
fn storage_classes() {
    let class = |patch: Value| patched(&value!({"provisioner": "p"}), &patch, default_storage_class);
    let check = |patch: Value, expected: &[&str]| {
        assert_eq!(lines(validate_storage_class(&class(patch.clone()))), expected, "{patch:?}");
    };
    let topologies = |terms: Value| value!({"allowedTopologies": terms});
    let zone = |values: Value| value!({"matchLabelExpressions": [{"key": "zone", "values": values}]});
    check(value!({}), &[]);
    check(value!({"provisioner": "Example.com/Disk"}), &[]);
    check(value!({"provisioner": ""}), &["provisioner: Required value"]);
    check(value!({"provisioner": "A B"}), &[&format!(r#"provisioner: Invalid value: "a b": {QUALIFIED}"#)]);
    check(value!({"parameters": {"type": "ssd"}}), &[]);
    check(
        value!({"parameters": {"": "ssd"}}),
        &[r#"parameters: Invalid value: "": field can not be empty."#],
    );
    check(value!({"parameters": (parameters(512, 1))}), &[]);
    check(
        value!({"parameters": (parameters(513, 1))}),
        &["parameters: Too long: may not be more than 512 bytes"],
    );
    check(
        value!({"parameters": (parameters(1, 256 << 10))}),
        &["parameters: Too long: may not be more than 262144 bytes"],
    );
    check(value!({"reclaimPolicy": "Retain"}), &[]);
    check(
        value!({"reclaimPolicy": "Recycle"}),
        &[r#"reclaimPolicy: Unsupported value: "Recycle": supported values: "Delete", "Retain""#],
    );
    check(value!({"volumeBindingMode": "WaitForFirstConsumer"}), &[]);
    check(
        value!({"volumeBindingMode": "Late"}),
        &[
            r#"volumeBindingMode: Unsupported value: "Late": supported values: "Immediate", "WaitForFirstConsumer""#,
        ],
    );
    check(topologies(value!([(zone(value!(["a", "b"]))), (zone(value!(["a"])))])), &[]);
    check(
        topologies(value!([(zone(value!(["a", "b"]))), (zone(value!(["b", "a"])))])),
        &[r#"allowedTopologies[1].matchLabelExpressions: Duplicate value: """#],
    );
    check(
        topologies(value!([{"matchLabelExpressions": []}])),
        &[r#"allowedTopologies[0].matchLabelExpressions: Duplicate value: """#],
    );
    check(
        topologies(value!([{"matchLabelExpressions": [
            {"key": "zone", "values": ["a", "a"]}, {"key": "zone"}, {"key": "-", "values": ["a"]}
        ]}])),
        &[
            r#"allowedTopologies[0].matchLabelExpressions[0].values[1]: Duplicate value: "a""#,
            "allowedTopologies[0].matchLabelExpressions[1].values: Required value",
            r#"allowedTopologies[0].matchLabelExpressions[1].key: Duplicate value: "zone""#,
            &format!(r#"allowedTopologies[0].matchLabelExpressions[2].key: Invalid value: "-": {QUALIFIED}"#),
        ],
    );
}

#[test]
fn storage_classes_keep_what_volumes_were_made_from() {
    let class = |patch: Value| patched(&value!({"provisioner": "p"}), &patch, default_storage_class);
    let old = class(value!({"parameters": {"a": "b"}}));
    let check = |patch: Value, expected: &[&str]| {
        let new = patched(&old, &patch, default_storage_class);
        assert_eq!(lines(validate_storage_class_update(&new, &old)), expected, "{patch:?}");
    };
    check(value!({"allowVolumeExpansion": true, "mountOptions": ["ro"]}), &[]);
    check(value!({"provisioner": "q"}), &["provisioner: Invalid value: null: field is immutable"]);
    check(value!({"parameters": null}), &["parameters: Invalid value: null: field is immutable"]);
    check(value!({"reclaimPolicy": "Retain"}), &["reclaimPolicy: Invalid value: null: field is immutable"]);
    check(
        value!({"volumeBindingMode": "WaitForFirstConsumer"}),
        &["volumeBindingMode: Invalid value: null: field is immutable"],
    );
}
