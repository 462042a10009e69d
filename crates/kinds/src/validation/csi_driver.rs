//! CSIDrivers (`pkg/apis/storage/validation`).

use std::collections::HashSet;

use object::Value;
use object::field::{Error, Errors, Path};

use super::field::{Field, IMMUTABLE, same};

const DRIVER: &str = "io.k8s.api.storage.v1.CSIDriver";
/// How long a token must be valid, in seconds.
const TOKEN_SECONDS_MIN: i64 = 600;
const TOKEN_SECONDS_MAX: i64 = 1 << 32;
/// How often the capacity of a node is read at most, in seconds.
const UPDATE_PERIOD_SECONDS_MIN: i64 = 10;

/// Checks a CSIDriver, except its metadata.
pub fn validate_csi_driver(driver: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(driver, DRIVER);
    let spec = root.child("spec");
    // The name in the path is upstream's.
    let attaches = spec.child("attachRequired").named(spec.path.child("attachedRequired"));
    for flag in [attaches, spec.child("podInfoOnMount"), spec.child("storageCapacity")] {
        if !flag.is_set() {
            flag.required(&mut errors, "");
        }
    }
    spec.child("fsGroupPolicy").check_known(&mut errors, &["File", "None", "ReadWriteOnceWithFSType"]);
    let tokens = spec.child("tokenRequests");
    validate_tokens(&mut errors, &tokens);
    let modes = spec.child("volumeLifecycleModes");
    for mode in modes.value.items().filter_map(Value::as_str) {
        if !["Persistent", "Ephemeral"].contains(&mode) {
            errors.not_supported(&modes.path, mode, &["Persistent", "Ephemeral"]);
        }
    }
    let mount = spec.child("seLinuxMount");
    if !mount.is_set() {
        mount.required(&mut errors, "");
    }
    let period = spec.child("nodeAllocatableUpdatePeriodSeconds");
    if period.is_set() && period.number() < UPDATE_PERIOD_SECONDS_MIN {
        period.invalid(&mut errors, "must be greater than or equal to 10 seconds");
    }
    let in_secrets = spec.child("serviceAccountTokenInSecrets");
    if in_secrets.is_set() && tokens.is_empty() {
        in_secrets.invalid(&mut errors, "must be unset if tokenRequests is empty");
    }
    errors
}

/// The audiences of the tokens must differ.
fn validate_tokens(errors: &mut Errors, tokens: &Field<'_, '_>) {
    let mut seen = HashSet::new();
    for token in tokens.items() {
        let audience = token.child("audience");
        if !seen.insert(audience.text()) {
            errors.push_with(|| Error::duplicate(&audience.path, audience.text()));
            continue;
        }
        let seconds = token.child("expirationSeconds");
        if !seconds.is_set() {
            continue;
        }
        if seconds.number() < TOKEN_SECONDS_MIN {
            seconds.invalid(errors, "may not specify a duration less than 10 minutes");
        }
        if seconds.number() > TOKEN_SECONDS_MAX {
            seconds.invalid(errors, "may not specify a duration larger than 2^32 seconds");
        }
    }
}

/// Checks a change of a CSIDriver, except its metadata: how volumes are attached does not change while some are.
pub fn validate_csi_driver_update(driver: &Value, old: &Value) -> Errors {
    let mut errors = validate_csi_driver(driver);
    let spec = Path::root("spec");
    for (name, shown) in
        [("attachRequired", "attachedRequired"), ("volumeLifecycleModes", "volumeLifecycleModes")]
    {
        let value = driver.get("spec").get(name);
        if !same(value, old.get("spec").get(name)) {
            errors.invalid(&spec.child(shown), value.clone(), IMMUTABLE);
        }
    }
    errors
}
