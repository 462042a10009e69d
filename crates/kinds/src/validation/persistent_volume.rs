//! PersistentVolumes (`pkg/apis/core/validation/validation.go`).

use object::field::{Errors, Path};
use object::{Value, names};

use super::field::{Field, IMMUTABLE, NOT_POSITIVE, differences, same};
use super::persistent_volume_claim::{validate_basic, validate_modes};
use super::pod::validate_node_selector;

mod source;

const VOLUME: &str = "io.k8s.api.core.v1.PersistentVolume";
/// Labels of nodes that got new names, with the new ones. A volume may follow.
const RENAMED_LABELS: [(&str, &str); 5] = [
    ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
    ("beta.kubernetes.io/os", "kubernetes.io/os"),
    ("beta.kubernetes.io/arch", "kubernetes.io/arch"),
    ("beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type"),
];

/// Checks a PersistentVolume, except its metadata.
pub fn validate_persistent_volume(volume: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(volume, VOLUME);
    let spec = root.child("spec");
    validate_modes(&mut errors, &spec.child("accessModes"), "");
    validate_capacity(&mut errors, &spec.child("capacity"));
    let policy = spec.child("persistentVolumeReclaimPolicy");
    if !policy.is_empty() {
        policy.check_known(&mut errors, &["Delete", "Recycle", "Retain"]);
    }
    let affinity = spec.child("nodeAffinity");
    if affinity.is_set() {
        let required = affinity.child("required");
        match required.is_set() {
            true => validate_node_selector(&mut errors, &required),
            false => required.required(&mut errors, "must specify required node constraints"),
        }
    }
    source::validate(&mut errors, &spec, volume.str_at("metadata.name"));
    let host = spec.child("hostPath");
    if host.is_set() && is_root(host.value.str_at("path")) && policy.text() == "Recycle" {
        policy.forbidden(&mut errors, "may not be 'recycle' for a hostPath mount of '/'");
    }
    spec.child("storageClassName").check_set(&mut errors, names::is_dns1123_subdomain);
    spec.child("volumeMode").check_known(&mut errors, &["Block", "Filesystem"]);
    validate_attributes_class(&mut errors, &spec);
    errors
}

/// Checks a volume of a pod that a driver takes care of, as it stands in a VolumeAttachment.
pub(super) fn validate_inline_volume(errors: &mut Errors, spec: &Field<'_, '_>) {
    const NOT_INLINE: &str = "may not be specified in the context of inline volumes";
    for name in ["claimRef", "capacity"] {
        let member = spec.child(name);
        if member.is_set() && (name == "claimRef" || !member.is_empty()) {
            member.forbidden(errors, NOT_INLINE);
        }
    }
    let csi = spec.child("csi");
    if !csi.is_set() {
        csi.required(errors, "has to be specified in the context of inline volumes");
    }
    validate_modes(errors, &spec.child("accessModes"), "");
    let policy = spec.child("persistentVolumeReclaimPolicy");
    if !matches!(policy.text(), "" | "Retain") {
        policy.forbidden(errors, "may only be Retain in the context of inline volumes");
    }
    let affinity = spec.child("nodeAffinity");
    if affinity.is_set() {
        affinity.forbidden(errors, NOT_INLINE);
    }
    source::validate(errors, spec, "");
    let class = spec.child("storageClassName");
    if !class.is_empty() {
        class.forbidden(errors, NOT_INLINE);
    }
    let mode = spec.child("volumeMode");
    if mode.is_set() && mode.text() != "Filesystem" {
        let why = "may not specify volumeMode other than Filesystem in the context of inline volumes";
        mode.forbidden(errors, why);
    }
}

fn validate_capacity(errors: &mut Errors, capacity: &Field<'_, '_>) {
    capacity.check_present(errors);
    if capacity.value.get("storage").is_null() || capacity.len() > 1 {
        errors.not_supported(&capacity.path, capacity.value.clone(), &["storage"]);
    }
    for (_, amount) in capacity.entries() {
        validate_basic(errors, &amount);
        if amount.quantity().sign() <= 0 {
            errors.invalid(&amount.path, amount.quantity().to_string(), NOT_POSITIVE);
        }
    }
}

fn validate_attributes_class(errors: &mut Errors, spec: &Field<'_, '_>) {
    let (class, csi) = (spec.child("volumeAttributesClassName"), spec.child("csi"));
    if !class.is_set() {
        return;
    }
    match class.text() {
        "" => class.required(errors, "an empty string is disallowed"),
        _ => class.check(errors, names::is_dns1123_subdomain),
    }
    if !csi.is_set() {
        csi.required(errors, "has to be specified when using volumeAttributesClassName");
    }
}

/// Whether a path means the root, however it is written.
fn is_root(path: &str) -> bool {
    let depth = path.split('/').fold(0_usize, |depth, part| match part {
        "" | "." => depth,
        ".." => depth.saturating_sub(1),
        _ => depth.saturating_add(1),
    });
    path.starts_with('/') && depth == 0
}

/// Checks a change of a PersistentVolume, except its metadata: what it is and where it can be mounted stay, but for a
/// secret of its driver and a place that were not named before.
pub fn validate_persistent_volume_update(volume: &Value, old: &Value) -> Errors {
    const SECRET: &str = "controllerExpandSecretRef";
    let mut errors = validate_persistent_volume(volume);
    let (spec, before) = (volume.get("spec"), old.get("spec"));
    let (mut now, was) = (source::of(spec), source::of(before));
    if !was.get("csi").is_null() && was.get("csi").get(SECRET).is_null() && !now.get("csi").is_null() {
        now.entry("csi").remove(SECRET);
    }
    let path = Path::root("spec");
    if !same(&now, &was) {
        let why = "spec.persistentvolumesource is immutable after creation";
        errors
            .forbidden(&path.child("persistentvolumesource"), format!("{why}\n{}", differences(&was, &now)));
    }
    // These two paths lack the spec upstream, too.
    let mode = spec.get("volumeMode");
    if !same(mode, before.get("volumeMode")) {
        errors.invalid(&Path::root("volumeMode"), mode.clone(), IMMUTABLE);
    }
    let affinity = spec.get("nodeAffinity");
    let was = before.get("nodeAffinity");
    if !was.is_null() && !same(affinity, was) && !same(affinity, &renamed(was, affinity)) {
        errors.invalid(&Path::root("nodeAffinity"), affinity.clone(), IMMUTABLE);
    }
    let class = "volumeAttributesClassName";
    if !before.get(class).is_null() && spec.get(class).is_null() {
        errors.forbidden(&path.child(class), "update from non-nil value to nil is forbidden");
    }
    errors
}

/// The affinity with the new names of labels where `new` has them at the same place.
fn renamed(affinity: &Value, new: &Value) -> Value {
    let mut affinity = affinity.clone();
    let terms = affinity.at_mut("required.nodeSelectorTerms").into_iter().flat_map(Value::items_mut);
    for (term, new) in terms.zip(new.at("required.nodeSelectorTerms").items()) {
        let expressions = term.get_mut("matchExpressions").into_iter().flat_map(Value::items_mut);
        for (expression, new) in expressions.zip(new.get("matchExpressions").items()) {
            let names = (expression.str_at("key"), new.str_at("key"));
            if RENAMED_LABELS.contains(&names) {
                expression.set("key", new.get("key").clone());
            }
        }
    }
    affinity
}
