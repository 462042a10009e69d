use super::*;
use crate::validation::*;

const CASELESS: &str = "an RFC 1123 subdomain must consist of alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'Example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

fn attachment() -> Value {
    value!({"spec": {"attacher": "d.example.com", "nodeName": "n", "source": {"persistentVolumeName": "v"}}})
}

fn source(source: Value) -> Value {
    value!({"spec": {"source": source}})
}

fn inline(patch: Value) -> Value {
    let spec = value!({"accessModes": ["ReadWriteOnce"], "csi": {"driver": "d", "volumeHandle": "h"}});
    let spec = merge_patch(spec, patch).unwrap();
    source(value!({"persistentVolumeName": null, "inlineVolumeSpec": spec}))
}

#[test]
fn volume_attachments() {
    const ONE: &str = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
    let attacher = |name: &str| value!({"spec": {"attacher": name}});
    check_all(
        &attachment(),
        |_| (),
        validate_volume_attachment,
        &[
            (value!({}), &[]),
            (attacher("D.Example.Com"), &[]),
            (attacher(""), &["spec.attacher: Required value"]),
            (attacher("a_b"), &[&format!(r#"spec.attacher: Invalid value: "a_b": {CASELESS}"#)]),
            (attacher(&"a".repeat(64)), &["spec.attacher: Too long: may not be more than 63 characters"]),
            (
                value!({"spec": {"nodeName": ""}}),
                &[&format!(r#"spec.nodeName: Invalid value: "": {SUBDOMAIN}"#)],
            ),
            (
                source(value!({"persistentVolumeName": null})),
                &[&format!("spec.source: Required value: {ONE}")],
            ),
            (source(value!({"inlineVolumeSpec": {}})), &[&format!("spec.source: Forbidden: {ONE}")]),
            (
                source(value!({"persistentVolumeName": ""})),
                &[
                    "spec.source.persistentVolumeName: Required value: must specify non empty persistentVolumeName",
                    &format!(r#"spec.source.persistentVolumeName: Invalid value: "": {SUBDOMAIN}"#),
                ],
            ),
            (
                source(value!({"persistentVolumeName": "-"})),
                &[&format!(r#"spec.source.persistentVolumeName: Invalid value: "-": {SUBDOMAIN}"#)],
            ),
        ],
    );
}

#[test]
fn volumes_inside_of_attachments() {
    const NOT: &str = "may not be specified in the context of inline volumes";
    let path = "spec.source.inlineVolumeSpec";
    check_all(
        &attachment(),
        |_| (),
        validate_volume_attachment,
        &[
            (inline(value!({})), &[]),
            (inline(value!({"persistentVolumeReclaimPolicy": "Retain", "volumeMode": "Filesystem"})), &[]),
            (
                inline(value!({
                    "claimRef": {"name": "c"}, "capacity": {"storage": "1Gi"}, "nodeAffinity": {}, "storageClassName": "s",
                    "persistentVolumeReclaimPolicy": "Delete", "volumeMode": "Block"
                })),
                &[
                    &format!("{path}.claimRef: Forbidden: {NOT}"),
                    &format!("{path}.capacity: Forbidden: {NOT}"),
                    &format!(
                        "{path}.persistentVolumeReclaimPolicy: Forbidden: may only be Retain in the context of inline volumes"
                    ),
                    &format!("{path}.nodeAffinity: Forbidden: {NOT}"),
                    &format!("{path}.storageClassName: Forbidden: {NOT}"),
                    &format!(
                        "{path}.volumeMode: Forbidden: may not specify volumeMode other than Filesystem in the context of inline volumes"
                    ),
                ],
            ),
            (
                inline(value!({"csi": null, "nfs": {"server": "s", "path": "/"}})),
                &[&format!(
                    "{path}.csi: Required value: has to be specified in the context of inline volumes"
                )],
            ),
        ],
    );
}

#[test]
fn states_of_attachments() {
    let status = |status: Value| value!({"status": status});
    let check = |patch: Value, expected: &[&str]| {
        let new = patched(&attachment(), &patch, |_| ());
        assert_eq!(lines(validate_volume_attachment_status_update(&new, &attachment())), expected);
    };
    let long = |bytes: usize| "m".repeat(bytes);
    check(
        status(value!({
            "attached": true, "attachmentMetadata": {"a": (long((256 << 10) - 1))},
            "attachError": {"message": (long(1024)), "errorCode": 0}
        })),
        &[],
    );
    check(
        status(value!({"attachmentMetadata": {"a": (long(256 << 10))}})),
        &["status.attachmentMetadata: Too long: may not be more than 262144 bytes"],
    );
    check(
        status(value!({"attachError": {"message": (long(1025))}, "detachError": {"errorCode": (-1)}})),
        &[
            "status.attachError.message: Too long: may not be more than 262144 bytes",
            "status.detachError.errorCode: Invalid value: -1: must be between 0 and 2147483647, inclusive",
        ],
    );
}

#[test]
fn attachments_do_not_change() {
    let check = |new: Value, old: &Value, expected: &[&str]| {
        assert_eq!(lines(validate_volume_attachment_update(&new, old)), expected);
    };
    check(attachment(), &attachment(), &[]);
    let other = patched(&attachment(), &value!({"spec": {"nodeName": "m"}}), |_| ());
    check(other, &attachment(), &["spec: Invalid value: null: field is immutable"]);
    // From before there were rules.
    let odd = patched(&attachment(), &value!({"spec": {"attacher": "a_b"}}), |_| ());
    check(odd.clone(), &odd, &[]);
}
