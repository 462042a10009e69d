//! PersistentVolume and PersistentVolumeClaim

use clock::Clock;
use object::{Value, field, value};

use crate::strategy::{Strategy, keep_spec};
use crate::table::{AGE, Column, NAME, age, cells, name, or};
use crate::{defaults, validation, warnings};

mod data_source;
#[cfg(test)]
mod tests;

/// The annotation that named the class before `storageClassName` was a field.
const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";

/// PersistentVolume
pub(crate) struct PersistentVolumes;

impl Strategy for PersistentVolumes {
    fn default(&self, object: &mut Value) {
        defaults::default_persistent_volume(object);
    }

    fn prepare_create(&self, object: &mut Value) {
        object.set("status", value!({"phase": "Pending"}));
    }

    /// Records when the phase changed, unless the client does.
    fn set_times(&self, object: &mut Value, old: &Value, clock: &Clock) {
        let (status, before) = (object.entry("status"), old.get("status"));
        let (time, time_before) =
            (status.get("lastPhaseTransitionTime"), before.get("lastPhaseTransitionTime"));
        let is_changed = status.get("phase") != before.get("phase");
        if is_changed && (time.is_null() || time == time_before) {
            status.set("lastPhaseTransitionTime", clock.now_seconds().to_string());
        } else if !is_changed && time.is_null() && !time_before.is_null() {
            status.set("lastPhaseTransitionTime", time_before.clone());
        }
    }

    fn validate(&self, object: &Value) -> field::Errors {
        validation::validate_persistent_volume(object)
    }

    fn validate_update(&self, object: &Value, old: &Value) -> field::Errors {
        validation::validate_persistent_volume_update(object, old)
    }

    fn has_status(&self) -> bool {
        true
    }

    fn tracks_generation(&self) -> bool {
        false
    }

    fn returns_deleted(&self) -> bool {
        true
    }

    fn columns(&self) -> &'static [Column] {
        const {
            &[
                NAME,
                Column::text("Capacity", "How large the volume is."),
                Column::text("Access Modes", "How the volume can be mounted."),
                Column::text("Reclaim Policy", "What becomes of the volume when its claim is gone."),
                Column::text("Status", "Whether the volume is free, bound or released."),
                Column::text("Claim", "The claim that the volume is bound to."),
                Column::text("StorageClass", "The class of the volume."),
                Column::text("VolumeAttributesClass", "The class of the volume's attributes."),
                Column::text("Reason", "Why the volume is in its state."),
                AGE,
                VOLUME_MODE,
            ]
        }
    }

    fn row(&self, object: &Value, clock: &Clock) -> Vec<Value> {
        let claim = match object.at("spec.claimRef") {
            Value::Null => String::new(),
            claim => format!("{}/{}", claim.str_at("namespace"), claim.str_at("name")),
        };
        cells![
            name(object),
            or(object.str_at("spec.capacity.storage"), "0"),
            access_modes(object.at("spec.accessModes")),
            object.str_at("spec.persistentVolumeReclaimPolicy"),
            phase(object),
            claim,
            class(object),
            or(object.str_at("spec.volumeAttributesClassName"), "<unset>"),
            object.str_at("status.reason"),
            age(object, clock),
            or(object.str_at("spec.volumeMode"), "<unset>"),
        ]
    }

    fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        if old.is_some_and(|old| object.get("status") != old.get("status")) {
            return Vec::new();
        }
        warnings::of_persistent_volume(object)
    }
}

/// PersistentVolumeClaim
pub(crate) struct PersistentVolumeClaims;

impl Strategy for PersistentVolumeClaims {
    fn default(&self, object: &mut Value) {
        defaults::default_persistent_volume_claim(object);
    }

    fn prepare_create(&self, object: &mut Value) {
        object.set("status", value!({"phase": "Pending"}));
        data_source::normalize(object, &Value::Null);
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        crate::strategy::restore(object, old, "status");
        data_source::normalize(object, old);
    }

    fn prepare_status_update(&self, object: &mut Value, old: &Value) {
        keep_spec(object, old);
    }

    fn validate(&self, object: &Value) -> field::Errors {
        validation::validate_persistent_volume_claim(object)
    }

    fn validate_update(&self, object: &Value, old: &Value) -> field::Errors {
        validation::validate_persistent_volume_claim_update(object, old)
    }

    fn validate_status_update(&self, object: &Value, old: &Value) -> field::Errors {
        validation::validate_persistent_volume_claim_status_update(object, old)
    }

    fn has_status(&self) -> bool {
        true
    }

    fn tracks_generation(&self) -> bool {
        false
    }

    fn returns_deleted(&self) -> bool {
        true
    }

    fn columns(&self) -> &'static [Column] {
        const {
            &[
                NAME,
                Column::text("Status", "Whether the claim has a volume."),
                Column::text("Volume", "The volume that the claim is bound to."),
                Column::text("Capacity", "How large that volume is."),
                Column::text("Access Modes", "How that volume can be mounted."),
                Column::text("StorageClass", "The class that the claim asks for."),
                Column::text("VolumeAttributesClass", "The class of attributes that the claim asks for."),
                AGE,
                VOLUME_MODE,
            ]
        }
    }

    fn row(&self, object: &Value, clock: &Clock) -> Vec<Value> {
        let volume = object.str_at("spec.volumeName");
        let (mut capacity, mut modes) = ("", String::new());
        if !volume.is_empty() {
            capacity = or(object.str_at("status.capacity.storage"), "0");
            modes = access_modes(object.at("status.accessModes"));
        }
        cells![
            name(object),
            phase(object),
            volume,
            capacity,
            modes,
            class(object),
            or(object.str_at("spec.volumeAttributesClassName"), "<unset>"),
            age(object, clock),
            or(object.str_at("spec.volumeMode"), "<unset>"),
        ]
    }

    fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        if old.is_some_and(|old| object.get("status") != old.get("status")) {
            return Vec::new();
        }
        warnings::of_persistent_volume_claim(object)
    }
}

const VOLUME_MODE: Column =
    Column::text("VolumeMode", "Whether the volume is a file system or a device.").wide();

fn phase(object: &Value) -> &str {
    if object.at("metadata.deletionTimestamp").is_null() {
        object.str_at("status.phase")
    } else {
        "Terminating"
    }
}

fn class(object: &Value) -> &str {
    let annotated = object.at_path(&["metadata", "annotations", CLASS_ANNOTATION]).as_str();
    annotated.unwrap_or_else(|| object.str_at("spec.storageClassName"))
}

/// The modes in their short forms, each once, always in this order.
fn access_modes(modes: &Value) -> String {
    let known = [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ];
    let has = |mode: &str| modes.items().any(|given| given.as_str() == Some(mode));
    let short: Vec<&str> = known.iter().filter(|(mode, _)| has(mode)).map(|(_, short)| *short).collect();
    short.join(",")
}
