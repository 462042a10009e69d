//! `emptyDir`: a directory as old as the pod, on disk or in memory.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::Volume;
use object::Quantity;

use crate::plugin::{Mounted, SetUp, VolumePlugin};
use crate::{VolumeError, mount, ownership};

/// The mode of the directory: everybody may write.
const MODE: u32 = 0o777;

/// The plugin.
pub(crate) struct EmptyDir;

#[async_trait]
impl VolumePlugin for EmptyDir {
    fn directory(&self) -> &'static str {
        "kubernetes.io~empty-dir"
    }

    fn supports(&self, volume: &Volume) -> bool {
        volume.empty_dir.is_some()
    }

    async fn set_up(&self, request: SetUp<'_>) -> Result<Mounted, VolumeError> {
        let Some(source) = &request.volume.empty_dir else { return Err(VolumeError::NoPlugin) };
        let path = request.directory;
        let made = !path.exists();
        fs::create_dir_all(path).map_err(VolumeError::io("make", path))?;
        let in_memory = match source.medium.as_deref().unwrap_or_default() {
            "" => false,
            "Memory" => true,
            other => return Err(VolumeError::Invalid(format!("unknown storage medium {other:?}"))),
        };
        if in_memory && !mount::is_mount_point(path).map_err(VolumeError::io("look at", path))? {
            mount::mount_tmpfs(path, size_limit(&request)?)?;
        } else if !made {
            return Ok(Mounted::at(path));
        }
        let mode = source.mode.and_then(|mode| u32::try_from(mode).ok()).unwrap_or(MODE);
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
            .map_err(VolumeError::io("set the mode of", path))?;
        if let Some(group) = request.fs_group {
            ownership::give_to(path, group, false)?;
        }
        Ok(Mounted::at(path))
    }

    async fn tear_down(&self, directory: &Path) -> Result<(), VolumeError> {
        mount::unmount(directory)?;
        mount::remove_tree(directory)
    }
}

/// The limit of the volume, or of the pod's memory if that is lower: a tmpfs counts as memory.
fn size_limit(request: &SetUp<'_>) -> Result<Option<i64>, VolumeError> {
    let parse = |text: &str| {
        let quantity = Quantity::parse(text);
        quantity.map(|quantity| quantity.value()).map_err(|error| VolumeError::Invalid(error.to_string()))
    };
    let of_volume = request.volume.empty_dir.as_ref().and_then(|source| source.size_limit.as_ref());
    let of_volume = of_volume.map(|limit| parse(&limit.0)).transpose()?.filter(|bytes| *bytes > 0);
    let containers = request.pod.spec.iter().flat_map(|spec| &spec.containers);
    let mut of_pod = Some(0);
    for container in containers {
        let limits = container.resources.as_ref().and_then(|resources| resources.limits.as_ref());
        let memory =
            limits.and_then(|limits| limits.get("memory")).map(|limit| parse(&limit.0)).transpose()?;
        of_pod = of_pod.zip(memory).map(|(sum, bytes)| sum + bytes);
    }
    let of_pod = of_pod.filter(|bytes| *bytes > 0);
    Ok(of_volume.into_iter().chain(of_pod).min())
}
