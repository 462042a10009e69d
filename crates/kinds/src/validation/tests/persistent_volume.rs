use super::*;
use crate::defaults::default_persistent_volume;
use crate::validation::*;

fn volume() -> Value {
    value!({
        "metadata": {"name": "v"},
        "spec": {
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
            "csi": {"driver": "d.example.com", "volumeHandle": "h"}
        }
    })
}

#[track_caller]
fn check(cases: &[(Value, &[&str])]) {
    let cases: Vec<(Value, &[&str])> =
        cases.iter().map(|(spec, expected)| (value!({"spec": (spec.clone())}), *expected)).collect();
    check_all(&volume(), default_persistent_volume, validate_persistent_volume, &cases);
}

/// The volume with another source.
fn source(name: &'static str, source: Value) -> Value {
    let mut spec = value!({"csi": null});
    spec.set(name, source);
    spec
}

fn affinity(key: &str) -> Value {
    value!({"required": {"nodeSelectorTerms": [
        {"matchExpressions": [{"key": key, "operator": "In", "values": ["a"]}]}
    ]}})
}

#[test]
fn persistent_volumes() {
    check(&[
        (value!({}), &[]),
        (value!({"accessModes": []}), &["spec.accessModes: Required value"]),
        (
            value!({"accessModes": ["Odd"]}),
            &[
                r#"spec.accessModes: Unsupported value: "Odd": supported values: "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod""#,
            ],
        ),
        (
            value!({"accessModes": ["ReadWriteOncePod", "ReadWriteOnce"]}),
            &["spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes"],
        ),
        (
            value!({"capacity": null}),
            &[
                "spec.capacity: Required value",
                r#"spec.capacity: Unsupported value: null: supported values: "storage""#,
            ],
        ),
        (
            value!({"capacity": {"cpu": "1"}}),
            &[
                r#"spec.capacity: Unsupported value: {"storage":"1Gi","cpu":"1"}: supported values: "storage""#,
            ],
        ),
        (
            value!({"capacity": {"storage": "-1"}}),
            &[
                "spec.capacity[storage]: Invalid value: -1: must be a valid resource quantity",
                r#"spec.capacity[storage]: Invalid value: "-1": must be greater than zero"#,
            ],
        ),
        (value!({"persistentVolumeReclaimPolicy": "Recycle"}), &[]),
        (
            value!({"persistentVolumeReclaimPolicy": "Odd"}),
            &[
                r#"spec.persistentVolumeReclaimPolicy: Unsupported value: "Odd": supported values: "Delete", "Recycle", "Retain""#,
            ],
        ),
        (value!({"nodeAffinity": (affinity("zone"))}), &[]),
        (
            value!({"nodeAffinity": {}}),
            &["spec.nodeAffinity.required: Required value: must specify required node constraints"],
        ),
        (
            value!({"nodeAffinity": (affinity("-"))}),
            &[&format!(
                r#"spec.nodeAffinity.required.nodeSelectorTerms[0].matchExpressions[0].key: Invalid value: "-": {QUALIFIED}"#
            )],
        ),
        (
            value!({"storageClassName": "-"}),
            &[&format!(r#"spec.storageClassName: Invalid value: "-": {SUBDOMAIN}"#)],
        ),
        (value!({"volumeMode": "Block"}), &[]),
        (
            value!({"volumeMode": "Odd"}),
            &[r#"spec.volumeMode: Unsupported value: "Odd": supported values: "Block", "Filesystem""#],
        ),
        (value!({"volumeAttributesClassName": "gold"}), &[]),
        (
            value!({"volumeAttributesClassName": ""}),
            &["spec.volumeAttributesClassName: Required value: an empty string is disallowed"],
        ),
        (
            value!({"volumeAttributesClassName": "-", "csi": null, "hostPath": {"path": "/a"}}),
            &[
                &format!(r#"spec.volumeAttributesClassName: Invalid value: "-": {SUBDOMAIN}"#),
                "spec.csi: Required value: has to be specified when using volumeAttributesClassName",
            ],
        ),
    ]);
}

#[test]
fn a_volume_has_one_source() {
    check(&[
        (value!({"csi": null}), &["spec: Required value: must specify a volume type"]),
        (
            value!({"csi": null, "nfs": {"server": "s", "path": "/"}, "cephfs": {"monitors": ["m"]}}),
            &["spec.cephFS: Forbidden: may not specify more than 1 volume type"],
        ),
        (
            value!({"hostPath": {"path": "/a"}}),
            &["spec.csi: Forbidden: may not specify more than 1 volume type"],
        ),
    ]);
}

#[test]
fn sources_of_one_machine() {
    const RECYCLES: &str =
        "spec.persistentVolumeReclaimPolicy: Forbidden: may not be 'recycle' for a hostPath mount of '/'";
    let recycled = |path: &str| {
        let spec = source("hostPath", value!({"path": path}));
        merge_patch(spec, value!({"persistentVolumeReclaimPolicy": "Recycle"})).unwrap()
    };
    let local = |path: &str, affinity: Value| {
        let spec = source("local", value!({"path": path}));
        merge_patch(spec, value!({"nodeAffinity": affinity})).unwrap()
    };
    check(&[
        (source("hostPath", value!({"path": "/a"})), &[]),
        (source("hostPath", value!({"path": ""})), &["spec.hostPath.path: Required value"]),
        (recycled("/a"), &[]),
        (recycled("/"), &[RECYCLES]),
        (recycled("//./"), &[RECYCLES]),
        (
            recycled("/a/.."),
            &[r#"spec.hostPath.path: Invalid value: "/a/..": must not contain '..'"#, RECYCLES],
        ),
        (local("/a", affinity("zone")), &[]),
        (local("", affinity("zone")), &["spec.local.path: Required value"]),
        (
            local("/a/../b", Value::Null),
            &[
                r#"spec.local.path: Invalid value: "/a/../b": must not contain '..'"#,
                "spec.nodeAffinity: Required value: Local volume requires node affinity",
            ],
        ),
    ]);
}

#[test]
fn sources_of_drivers() {
    let csi = |patch: Value| value!({"csi": patch});
    check(&[
        (csi(value!({"nodePublishSecretRef": {"name": "s", "namespace": "n"}})), &[]),
        (
            csi(value!({"driver": "", "volumeHandle": ""})),
            &[
                "spec.csi.driver: Required value",
                &format!(r#"spec.csi.driver: Invalid value: "": {SUBDOMAIN}"#),
                "spec.csi.volumeHandle: Required value",
            ],
        ),
        (
            csi(
                value!({"controllerPublishSecretRef": {}, "nodeExpandSecretRef": {"name": "-", "namespace": "n"}}),
            ),
            &[
                "spec.csi.controllerPublishSecretRef.name: Required value",
                "spec.csi.controllerPublishSecretRef.namespace: Required value",
                &format!(r#"spec.csi.nodeExpandSecretRef.name: Invalid value: "-": {SUBDOMAIN}"#),
            ],
        ),
    ]);
}

#[test]
fn sources_of_the_network() {
    let iscsi = |patch: Value| {
        let target =
            value!({"targetPortal": "10.0.0.1:3260", "iqn": "iqn.2001-04.com.example:disk", "lun": 0});
        source("iscsi", merge_patch(target, patch).unwrap())
    };
    check(&[
        (source("gcePersistentDisk", value!({})), &["spec.persistentDisk.pdName: Required value"]),
        (
            source("nfs", value!({"server": "", "path": "a"})),
            &[
                "spec.nfs.server: Required value",
                r#"spec.nfs.path: Invalid value: "a": must be an absolute path"#,
            ],
        ),
        (source("glusterfs", value!({"endpoints": "e", "path": "p", "endpointsNamespace": "n"})), &[]),
        (
            source("glusterfs", value!({"endpoints": "e", "path": "p", "endpointsNamespace": ""})),
            &[
                r#"spec.glusterfs.endpointsNamespace: Invalid value: "": if the endpointnamespace is set, it must be a valid namespace name"#,
            ],
        ),
        (
            source("cinder", value!({"volumeID": "v", "secretRef": {}})),
            &[
                "spec.cinder.secretRef.name: Required value",
                "spec.cinder.secretRef.namespace: Required value",
            ],
        ),
        (
            source("azureFile", value!({"secretName": "s", "shareName": "s", "secretNamespace": ""})),
            &["spec.azureFile.secretNamespace: Required value"],
        ),
        (iscsi(value!({"initiatorName": "iqn.2001-04.com.example"})), &[]),
        (
            iscsi(value!({"iqn": "iqn", "chapAuthSession": true, "lun": 256})),
            &[
                r#"spec.iscsi.iqn: Invalid value: "iqn": must be valid format"#,
                "spec.iscsi.lun: Invalid value: 256: must be between 0 and 255, inclusive",
                "spec.iscsi.secretRef: Required value",
            ],
        ),
        (
            iscsi(value!({"secretRef": {}, "initiatorName": "eui", "targetPortal": (&*"p".repeat(63))})),
            &[
                &format!(
                    r#"spec.iscsi.targetportal: Invalid value: "{}": Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified."#,
                    "p".repeat(63)
                ),
                "spec.iscsi.secretRef.name: Required value",
                r#"spec.iscsi.initiatorname: Invalid value: "eui": must be valid format"#,
            ],
        ),
    ]);
}

#[test]
fn a_volume_stays_what_it_is() {
    let old = patched(
        &volume(),
        &value!({"spec": {"volumeAttributesClassName": "gold", "nodeAffinity": (affinity("beta.kubernetes.io/os"))}}),
        default_persistent_volume,
    );
    let check = |spec: Value, expected: &[&str]| {
        let new = patched(&old, &value!({"spec": spec}), default_persistent_volume);
        assert_eq!(lines(validate_persistent_volume_update(&new, &old)), expected);
    };
    check(value!({"capacity": {"storage": "2Gi"}, "claimRef": {"name": "c"}, "mountOptions": ["ro"]}), &[]);
    check(value!({"csi": {"controllerExpandSecretRef": {"name": "s", "namespace": "n"}}}), &[]);
    check(value!({"nodeAffinity": (affinity("kubernetes.io/os"))}), &[]);
    check(value!({"volumeAttributesClassName": "silver"}), &[]);
    check(
        value!({"csi": {"volumeHandle": "i"}}),
        &[
            "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation\n-\tcsi: {\"driver\":\"d.example.com\",\"volumeHandle\":\"h\"}\n+\tcsi: {\"driver\":\"d.example.com\",\"volumeHandle\":\"i\"}\n",
        ],
    );
    check(value!({"volumeMode": "Block"}), &[r#"volumeMode: Invalid value: "Block": field is immutable"#]);
    check(value!({"nodeAffinity": null}), &["nodeAffinity: Invalid value: null: field is immutable"]);
    check(
        value!({"nodeAffinity": (affinity("zone"))}),
        &[
            r#"nodeAffinity: Invalid value: {"required":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"zone","operator":"In","values":["a"]}]}]}}: field is immutable"#,
        ],
    );
    check(
        value!({"volumeAttributesClassName": null}),
        &["spec.volumeAttributesClassName: Forbidden: update from non-nil value to nil is forbidden"],
    );
}
