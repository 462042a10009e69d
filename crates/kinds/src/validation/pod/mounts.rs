//! Mounts and block devices of containers.

use std::collections::{HashMap, HashSet};

use object::Value;
use object::field::Errors;

use super::paths::descending_path;
use crate::validation::field::Field;

/// The valid volumes of a pod, by name.
pub(super) type Volumes<'a> = HashMap<&'a str, &'a Value>;

/// Checks the `volumeMounts` of a container.
pub(super) fn validate_mounts(errors: &mut Errors, container: &Field<'_, '_>, volumes: &Volumes<'_>) {
    let (mounts, devices) = (container.child("volumeMounts"), container.child("volumeDevices"));
    let (device_names, device_paths) = (devices.texts("name"), devices.texts("devicePath"));
    let mut points = HashSet::new();
    for mount in mounts.items() {
        let (name, point) = (mount.child("name"), mount.child("mountPath"));
        name.check_present(errors);
        if volumes.get(name.text()).is_none() {
            name.not_found(errors);
        }
        point.check_present(errors);
        if !points.insert(point.text()) {
            point.invalid(errors, "must be unique");
        }
        if device_names.contains(name.text()) {
            name.invalid(errors, "must not already exist in volumeDevices");
        }
        if device_paths.contains(point.text()) {
            point.invalid(errors, "must not already exist as a path in volumeDevices");
        }
        let (sub_path, expression) = (mount.child("subPath"), mount.child("subPathExpr"));
        // The paths of these errors lack the index upstream, too.
        descending_path(errors, &sub_path.named(mounts.path.child("subPath")));
        if !expression.is_empty() && !sub_path.is_empty() {
            expression.invalid(errors, "subPathExpr and subPath are mutually exclusive");
        }
        descending_path(errors, &expression.named(mounts.path.child("subPathExpr")));
        let propagation = mount.child("mountPropagation");
        validate_propagation(errors, &propagation.named(mounts.path.child("mountPropagation")), container);
        validate_recursion(errors, &mount, &mounts);
    }
}

fn validate_propagation(errors: &mut Errors, propagation: &Field<'_, '_>, container: &Field<'_, '_>) {
    propagation.check_known(errors, &["Bidirectional", "HostToContainer", "None"]);
    let privileged = container.value.at("securityContext.privileged").as_bool() == Some(true);
    if propagation.text() == "Bidirectional" && !privileged {
        propagation
            .forbidden(errors, "Bidirectional mount propagation is available only to privileged containers");
    }
}

fn validate_recursion(errors: &mut Errors, mount: &Field<'_, '_>, mounts: &Field<'_, '_>) {
    let recursive = mount.child("recursiveReadOnly");
    let recursive = recursive.named(mounts.path.child("recursiveReadOnly"));
    match recursive.text() {
        "Enabled" | "IfPossible" => {
            if !mount.child("readOnly").is_true() {
                recursive.forbidden(errors, "may only be specified when readOnly is true");
            }
            if !matches!(mount.child("mountPropagation").text(), "" | "None") {
                let why = "may only be specified when mountPropagation is None or not specified";
                recursive.forbidden(errors, why);
            }
        }
        _ => recursive.check_known(errors, &["Disabled", "Enabled", "IfPossible"]),
    }
}

/// Checks the `volumeDevices` of a container.
pub(super) fn validate_devices(errors: &mut Errors, container: &Field<'_, '_>, volumes: &Volumes<'_>) {
    let (mounts, devices) = (container.child("volumeMounts"), container.child("volumeDevices"));
    let (mount_names, mount_paths) = (mounts.texts("name"), mounts.texts("mountPath"));
    let (mut names, mut paths) = (HashSet::new(), HashSet::new());
    for device in devices.items() {
        let (name, path) = (device.child("name"), device.child("devicePath"));
        name.check_present(errors);
        if names.contains(name.text()) {
            name.invalid(errors, "must be unique");
        }
        match volumes.get(name.text()) {
            None => name.not_found(errors),
            Some(volume) => {
                let is_claim =
                    !volume.get("persistentVolumeClaim").is_null() || !volume.get("ephemeral").is_null();
                if !is_claim {
                    let why = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                    name.invalid(errors, why);
                }
            }
        }
        path.check_present(errors);
        if paths.contains(path.text()) {
            path.invalid(errors, "must be unique");
        }
        if path.text().split('/').any(|part| part == "..") {
            path.invalid(errors, "can not contain backsteps ('..')");
        } else {
            paths.insert(path.text());
        }
        if mount_names.contains(name.text()) {
            name.invalid(errors, "must not already exist in volumeMounts");
        }
        if mount_paths.contains(path.text()) {
            path.invalid(errors, "must not already exist as a path in volumeMounts");
        }
        if !name.is_empty() {
            names.insert(name.text());
        }
    }
}
