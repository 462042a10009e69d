//! Defaults of storage.

use object::{Value, value};

use super::volume::{default_claim_spec, default_network_volume};
use super::{fill, round_resources};

/// Fills in a PersistentVolume.
pub fn default_persistent_volume(volume: &mut Value) {
    fill(volume.entry("status"), "phase", "Pending");
    let spec = volume.entry("spec");
    fill(spec, "persistentVolumeReclaimPolicy", "Retain");
    spec.set_default("volumeMode", "Filesystem");
    round_resources(spec, "capacity");
    super::within(spec, "hostPath", |source| source.set_default("type", ""));
    default_network_volume(spec);
}

/// Fills in a PersistentVolumeClaim.
pub fn default_persistent_volume_claim(claim: &mut Value) {
    let status = claim.entry("status");
    fill(status, "phase", "Pending");
    // CSIVolumeHealth is off.
    status.remove("healthStatus");
    default_claim_spec(claim.entry("spec"));
}

/// Fills in a StorageClass.
pub fn default_storage_class(class: &mut Value) {
    class.set_default("reclaimPolicy", "Delete");
    class.set_default("volumeBindingMode", "Immediate");
}

/// Fills in a CSIDriver.
pub fn default_csi_driver(driver: &mut Value) {
    let spec = driver.entry("spec");
    spec.set_default("attachRequired", true);
    spec.set_default("podInfoOnMount", false);
    spec.set_default("storageCapacity", false);
    spec.set_default("fsGroupPolicy", "ReadWriteOnceWithFSType");
    fill(spec, "volumeLifecycleModes", value!(["Persistent"]));
    spec.set_default("requiresRepublish", false);
    spec.set_default("seLinuxMount", false);
}
