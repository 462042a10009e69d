use super::*;
use crate::defaults::default_csi_driver;
use crate::validation::*;

#[test]
fn csi_drivers() {
    let spec = |spec: Value| value!({"spec": spec});
    let tokens = |tokens: Value| spec(value!({"tokenRequests": tokens}));
    check_all(
        &value!({"spec": {}}),
        default_csi_driver,
        validate_csi_driver,
        &[
            (value!({}), &[]),
            (spec(value!({"fsGroupPolicy": "File"})), &[]),
            (
                spec(value!({"fsGroupPolicy": "Odd"})),
                &[
                    r#"spec.fsGroupPolicy: Unsupported value: "Odd": supported values: "File", "None", "ReadWriteOnceWithFSType""#,
                ],
            ),
            (tokens(value!([{"audience": ""}, {"audience": "a", "expirationSeconds": 600}])), &[]),
            (
                tokens(value!([{"audience": ""}, {"expirationSeconds": 1}])),
                &[r#"spec.tokenRequests[1].audience: Duplicate value: """#],
            ),
            (
                tokens(value!([
                    {"audience": "a", "expirationSeconds": 599},
                    {"audience": "b", "expirationSeconds": 4294967297i64}
                ])),
                &[
                    "spec.tokenRequests[0].expirationSeconds: Invalid value: 599: may not specify a duration less than 10 minutes",
                    "spec.tokenRequests[1].expirationSeconds: Invalid value: 4294967297: may not specify a duration larger than 2^32 seconds",
                ],
            ),
            (spec(value!({"tokenRequests": [{"audience": "a"}], "serviceAccountTokenInSecrets": true})), &[]),
            (
                spec(value!({"serviceAccountTokenInSecrets": true})),
                &[
                    "spec.serviceAccountTokenInSecrets: Invalid value: true: must be unset if tokenRequests is empty",
                ],
            ),
            (spec(value!({"volumeLifecycleModes": ["Persistent", "Ephemeral"]})), &[]),
            (
                spec(value!({"volumeLifecycleModes": ["Odd"]})),
                &[
                    r#"spec.volumeLifecycleModes: Unsupported value: "Odd": supported values: "Persistent", "Ephemeral""#,
                ],
            ),
            (spec(value!({"nodeAllocatableUpdatePeriodSeconds": 10})), &[]),
            (
                spec(value!({"nodeAllocatableUpdatePeriodSeconds": 9})),
                &[
                    "spec.nodeAllocatableUpdatePeriodSeconds: Invalid value: 9: must be greater than or equal to 10 seconds",
                ],
            ),
        ],
    );
}

#[test]
fn csi_drivers_without_defaults() {
    assert_eq!(
        lines(validate_csi_driver(&value!({"spec": {}}))),
        [
            "spec.attachedRequired: Required value",
            "spec.podInfoOnMount: Required value",
            "spec.storageCapacity: Required value",
            "spec.seLinuxMount: Required value",
        ]
    );
}

#[test]
fn csi_drivers_keep_how_they_attach() {
    let old = patched(&value!({"spec": {}}), &value!({}), default_csi_driver);
    check_all(
        &old,
        default_csi_driver,
        |new| validate_csi_driver_update(new, &old),
        &[
            (value!({"spec": {"podInfoOnMount": true, "fsGroupPolicy": "None"}}), &[]),
            (
                value!({"spec": {"attachRequired": false}}),
                &["spec.attachedRequired: Invalid value: false: field is immutable"],
            ),
            (
                value!({"spec": {"volumeLifecycleModes": ["Ephemeral"]}}),
                &[r#"spec.volumeLifecycleModes: Invalid value: ["Ephemeral"]: field is immutable"#],
            ),
        ],
    );
}
