use super::*;
use crate::validation::*;

fn capacity() -> Value {
    value!({"storageClassName": "fast", "nodeTopology": {"matchLabels": {"zone": "a"}}, "capacity": "1Gi"})
}

#[test]
fn csi_storage_capacities() {
    check_all(
        &capacity(),
        |_| (),
        validate_csi_storage_capacity,
        &[
            (value!({}), &[]),
            (value!({"nodeTopology": null, "capacity": null}), &[]),
            (
                value!({"storageClassName": ""}),
                &[&format!(r#"storageClassName: Invalid value: "": {SUBDOMAIN}"#)],
            ),
            (
                value!({"nodeTopology": {"matchExpressions": [{"key": "a", "operator": "In"}]}}),
                &[
                    "nodeTopology.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
                ],
            ),
            (
                value!({"capacity": "-1"}),
                &[r#"capacity: Invalid value: "-1": must be greater than or equal to 0"#],
            ),
        ],
    );
}

#[test]
fn csi_storage_capacities_stay_about_the_same() {
    check_all(
        &capacity(),
        |_| (),
        |new| validate_csi_storage_capacity_update(new, &capacity()),
        &[
            (value!({"capacity": "2Gi", "maximumVolumeSize": "1Gi"}), &[]),
            (
                value!({"storageClassName": "slow"}),
                &[r#"storageClassName: Invalid value: "slow": field is immutable"#],
            ),
            (
                value!({"nodeTopology": {"matchLabels": {"zone": "b"}}}),
                &[r#"nodeTopology: Invalid value: {"matchLabels":{"zone":"b"}}: field is immutable"#],
            ),
        ],
    );
}
