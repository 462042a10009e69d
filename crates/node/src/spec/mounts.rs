//! The mounts of a container.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cri::{ImageSpec, KeyValue, Mount, MountPropagation};
use k8s_openapi::api::core::v1::{Container, VolumeMount};
use volumes::Mounted;

use super::SpecError;
use super::expand::expand;
use crate::pod::PodInfo;

/// The host's paths that a pod's containers can mount.
#[derive(Clone, Debug, Default)]
pub(crate) struct PodMounts {
    /// Volumes by name.
    pub(crate) volumes: BTreeMap<String, Mounted>,
    /// Image volumes by name, with the result of the pull.
    pub(crate) images: BTreeMap<String, ImageSpec>,
    /// The pod's `/etc/hosts`.
    pub(crate) hosts_file: PathBuf,
}

/// A mount of a path inside a volume, which must be resolved by code that may block on the file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SubPath {
    /// The index of the mount.
    pub(crate) index: usize,
    /// The volume's name.
    pub(crate) volume: String,
    /// The place.
    pub(crate) path: String,
}

/// The mounts of a container, and those among them whose `host_path` is a volume that is to be replaced by a
/// place inside it.
pub(crate) fn mounts(
    pod: &PodInfo,
    container: &Container,
    available: &PodMounts,
    environment: &[KeyValue],
    termination_log: &Path,
) -> Result<(Vec<Mount>, Vec<SubPath>), SpecError> {
    let mut mounts = Vec::new();
    let mut sub_paths = Vec::new();
    for wanted in container.volume_mounts.iter().flatten() {
        let mut mount = volume_mount(wanted, available)?;
        match sub_path(wanted, environment)? {
            Some(path) if mount.image.is_some() => mount.image_sub_path = path,
            Some(path) => sub_paths.push(SubPath { index: mounts.len(), volume: wanted.name.clone(), path }),
            None => {}
        }
        mounts.push(mount);
    }
    let is_taken = |path: &str, mounts: &[Mount]| mounts.iter().any(|mount| mount.container_path == path);
    let file = |container_path: &str, host_path: &Path| Mount {
        container_path: container_path.to_owned(),
        host_path: host_path.to_string_lossy().into_owned(),
        ..Mount::default()
    };
    // A pod in the host's network keeps the image's own file if it mounts one.
    if !is_taken("/etc/hosts", &mounts) && !available.hosts_file.as_os_str().is_empty() {
        mounts.push(file("/etc/hosts", &available.hosts_file));
    }
    let message_path = container.termination_message_path.as_deref().unwrap_or("/dev/termination-log");
    if !message_path.is_empty() && !is_taken(message_path, &mounts) && !pod.uid.is_empty() {
        mounts.push(file(message_path, termination_log));
    }
    Ok((mounts, sub_paths))
}

fn volume_mount(wanted: &VolumeMount, available: &PodMounts) -> Result<Mount, SpecError> {
    let container_path = match wanted.mount_path.starts_with('/') {
        true => wanted.mount_path.clone(),
        false => format!("/{}", wanted.mount_path),
    };
    let propagation = match wanted.mount_propagation.as_deref() {
        Some("HostToContainer") => MountPropagation::HostToContainer,
        Some("Bidirectional") => MountPropagation::Bidirectional,
        _ => MountPropagation::Private,
    };
    if let Some(image) = available.images.get(&wanted.name) {
        return Ok(Mount { container_path, readonly: true, image: Some(image.clone()), ..Mount::default() });
    }
    let missing = || SpecError::NoVolume { volume: wanted.name.clone(), path: wanted.mount_path.clone() };
    let volume = available.volumes.get(&wanted.name).ok_or_else(missing)?;
    let readonly = wanted.read_only == Some(true) || volume.read_only;
    let recursive = matches!(wanted.recursive_read_only.as_deref(), Some("Enabled" | "IfPossible"));
    Ok(Mount {
        container_path,
        host_path: volume.path.to_string_lossy().into_owned(),
        readonly,
        recursive_read_only: readonly && recursive && propagation == MountPropagation::Private,
        propagation,
        ..Mount::default()
    })
}

/// The place inside the volume, with variables replaced; all of them must have values, and an empty one counts as none.
fn sub_path(wanted: &VolumeMount, environment: &[KeyValue]) -> Result<Option<String>, SpecError> {
    if let Some(path) = wanted.sub_path.as_ref().filter(|path| !path.is_empty()) {
        return Ok(Some(path.clone()));
    }
    let Some(expression) = wanted.sub_path_expr.as_ref().filter(|path| !path.is_empty()) else {
        return Ok(None);
    };
    let missing = std::cell::Cell::new(false);
    let path = expand(expression, |name| {
        let found = environment.iter().find(|variable| variable.key == name && !variable.value.is_empty());
        missing.set(missing.get() || found.is_none());
        found.map(|variable| variable.value.as_str())
    });
    if missing.get() { Err(SpecError::SubPathExpr(expression.clone())) } else { Ok(Some(path)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_need_values_that_are_not_empty() {
        let variable = |key: &str, value: &str| KeyValue { key: key.into(), value: value.into() };
        let environment = [variable("POD", "web"), variable("EMPTY", "")];
        let path = |expression: &str| {
            let wanted = VolumeMount { sub_path_expr: Some(expression.into()), ..VolumeMount::default() };
            sub_path(&wanted, &environment).ok()
        };
        let cases = [
            ("logs/$(POD)", Some(Some("logs/web"))),
            ("", Some(None)),
            ("$(EMPTY)", None),
            ("logs/$(EMPTY)", None),
            ("$(MISSING)", None),
        ];
        for (expression, expected) in cases {
            assert_eq!(path(expression).as_ref().map(|path| path.as_deref()), expected, "{expression}");
        }
    }
}
