//! Volumes and claims (`pkg/api/persistentvolume/util.go`, `pkg/api/persistentvolumeclaim/util.go`).

use object::{Value, quote};

use super::labels;
use crate::validation::field::Field;

const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";

/// The sources that are gone, each with since when.
pub(super) const GONE: [(&str, &str); 8] = [
    ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("storageos", "deprecated in v1.22, non-functional in v1.25+"),
    ("quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
];

/// The name of a source in warnings, which is once not that of the field.
pub(super) fn shown(source: &str) -> &str {
    if source == "storageos" { "storageOS" } else { source }
}

fn of_class_annotation(warnings: &mut Vec<String>, object: &Value) {
    if !object.at_path(&["metadata", "annotations", CLASS_ANNOTATION]).is_null() {
        let advice = "deprecated since v1.8; use \"storageClassName\" attribute instead";
        warnings.push(format!("metadata.annotations[{CLASS_ANNOTATION}]: {advice}"));
    }
}

/// Warns about what of a PersistentVolume is deprecated.
pub(crate) fn of_persistent_volume(volume: &Value) -> Vec<String> {
    const MOUNT_OPTIONS: &str = "volume.beta.kubernetes.io/mount-options";
    let mut warnings = Vec::new();
    of_class_annotation(&mut warnings, volume);
    if !volume.at_path(&["metadata", "annotations", MOUNT_OPTIONS]).is_null() {
        let advice = "deprecated since v1.31; use \"mountOptions\" attribute instead";
        warnings.push(format!("metadata.annotations[{MOUNT_OPTIONS}]: {advice}"));
    }
    let root = Field::root(volume, "io.k8s.api.core.v1.PersistentVolume");
    let spec = root.child("spec");
    let policy = spec.child("persistentVolumeReclaimPolicy");
    if policy.text() == "Recycle" {
        warnings.push(format!(
            "{}: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.",
            policy.path
        ));
    }
    for term in spec.child("nodeAffinity").child("required").child("nodeSelectorTerms").items() {
        labels::of_term(&mut warnings, &term, false);
    }
    // Upstream says nothing of these two here.
    let is_told =
        |source: &str| !matches!(source, "flocker" | "quobyte") && !spec.value.get(source).is_null();
    for (source, since) in GONE.iter().filter(|(source, _)| is_told(source)) {
        warnings.push(format!("{}: {since}", spec.path.child(shown(source))));
    }
    warnings
}

/// Warns about what of a PersistentVolumeClaim is deprecated or not whole.
pub(crate) fn of_persistent_volume_claim(claim: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    of_class_annotation(&mut warnings, claim);
    let root = Field::root(claim, "io.k8s.api.core.v1.PersistentVolumeClaim");
    of_claim_spec(&mut warnings, &root.child("spec"));
    warnings
}

/// Warns about the size in the spec of a claim, or of a template for claims.
pub(super) fn of_claim_spec(warnings: &mut Vec<String>, spec: &Field<'_, '_>) {
    let resources = spec.child("resources");
    for list in ["requests", "limits"] {
        of_fraction(warnings, &resources.child(list), "storage");
    }
}

/// Warns about an amount of bytes that is not whole.
pub(super) fn of_fraction(warnings: &mut Vec<String>, amounts: &Field<'_, '_>, name: &str) {
    let Some((_, amount)) = amounts.entries().find(|(key, _)| *key == name) else { return };
    let quantity = amount.quantity();
    if quantity.clone().round_up(0) != quantity {
        let shown = quote(&quantity.to_string());
        warnings
            .push(format!("{}: fractional byte value {shown} is invalid, must be an integer", amount.path));
    }
}
