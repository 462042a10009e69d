use object::value;

use super::*;
use crate::testing::{ago, check_row, named};

#[test]
fn volumes() {
    let volume = value!({
        "spec": {
            "capacity": {"storage": "5Gi"}, "accessModes": ["ReadWriteMany", "ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain", "storageClassName": "fast", "volumeMode": "Filesystem",
            "claimRef": {"namespace": "n", "name": "c"}
        },
        "status": {"phase": "Bound"}
    });
    let row = "v | 5Gi | RWO,RWX | Retain | Bound | n/c | fast | <unset> |  | 3h | Filesystem";
    check_row(&PersistentVolumes, &named("v", volume), row);
    check_row(
        &PersistentVolumes,
        &named("v", value!({})),
        "v | 0 |  |  |  |  |  | <unset> |  | 3h | <unset>",
    );
}

#[test]
fn claims() {
    let claim = value!({
        "metadata": {"annotations": {"volume.beta.kubernetes.io/storage-class": "old"}},
        "spec": {"storageClassName": "new", "volumeName": "v", "volumeMode": "Block", "volumeAttributesClassName": "a"},
        "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOncePod"]}
    });
    check_row(
        &PersistentVolumeClaims,
        &named("c", claim),
        "c | Bound | v | 1Gi | RWOP | old | a | 3h | Block",
    );
    let unbound = value!({
        "metadata": {"deletionTimestamp": (ago(1))}, "status": {"phase": "Pending", "accessModes": ["ReadWriteOnce"]}
    });
    check_row(
        &PersistentVolumeClaims,
        &named("c", unbound),
        "c | Terminating |  |  |  |  | <unset> | 3h | <unset>",
    );
}

#[test]
fn sources_say_the_same_in_both_fields() {
    let prepared = |spec: Value| {
        let mut claim = value!({"spec": spec});
        PersistentVolumeClaims.prepare_create(&mut claim);
        assert_eq!(claim.get("status"), &value!({"phase": "Pending"}));
        claim.get("spec").clone()
    };
    let claim = || value!({"kind": "PersistentVolumeClaim", "name": "c"});
    let other = || value!({"apiGroup": "x.io", "kind": "Thing", "name": "t"});
    let both = |source: Value| value!({"dataSource": (source.clone()), "dataSourceRef": source});
    assert_eq!(prepared(value!({})), value!({}));
    assert_eq!(prepared(value!({"dataSource": (claim())})), both(claim()));
    assert_eq!(prepared(value!({"dataSourceRef": (claim())})), both(claim()));
    assert_eq!(prepared(value!({"dataSource": (other())})), value!({}));
    assert_eq!(prepared(value!({"dataSourceRef": (other())})), both(other()));
    let elsewhere =
        value!({"dataSourceRef": {"kind": "PersistentVolumeClaim", "name": "c", "namespace": "n"}});
    assert_eq!(prepared(elsewhere), value!({}), "the feature is off");
}
