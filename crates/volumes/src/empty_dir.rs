//! `emptyDir`: a directory with the lifetime of the pod, on disk or in memory.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::Volume;
use object::Quantity;

use crate::lane::blocking;
use crate::ownership::FsGroup;
use crate::plugin::{Mounted, Publish, VolumePlugin};
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

    async fn publish(&self, request: Publish<'_>) -> Result<Mounted, VolumeError> {
        let Some(source) = &request.volume.empty_dir else { return Err(VolumeError::NoPlugin) };
        let in_memory = match source.medium.as_deref().unwrap_or_default() {
            "" => false,
            "Memory" => true,
            other => return Err(VolumeError::Invalid(format!("unknown storage medium {other:?}"))),
        };
        let wanted = Wanted {
            path: request.directory.to_owned(),
            tmpfs: in_memory.then(|| size_limit(&request)).transpose()?,
            mode: source.mode.and_then(|mode| u32::try_from(mode).ok()).unwrap_or(MODE),
            fs_group: request.fs_group,
        };
        blocking(move || wanted.make()).await
    }
}

/// A volume to make.
struct Wanted {
    path: PathBuf,
    /// In memory, of this size if there is a limit.
    tmpfs: Option<Option<i64>>,
    mode: u32,
    fs_group: Option<FsGroup>,
}

impl Wanted {
    fn make(self) -> Result<Mounted, VolumeError> {
        let path = self.path.as_path();
        let made = !path.exists();
        let mounted = Mounted { is_mount: self.tmpfs.is_some(), ..Mounted::at(path) };
        fs::create_dir_all(path).map_err(VolumeError::io("make", path))?;
        match self.tmpfs {
            Some(size) if !mount::is_mount_point(path).map_err(VolumeError::io("look at", path))? => {
                mount::mount_tmpfs(path, size)?
            }
            _ if !made => return Ok(mounted),
            _ => {}
        }
        fs::set_permissions(path, fs::Permissions::from_mode(self.mode))
            .map_err(VolumeError::io("set the mode of", path))?;
        if let Some(group) = self.fs_group {
            ownership::give_to(path, group, false)?;
        }
        Ok(mounted)
    }
}

/// The limit of the volume, or of the pod's memory or else the node's if that is lower: a tmpfs counts as memory.
fn size_limit(request: &Publish<'_>) -> Result<Option<i64>, VolumeError> {
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
    let allocatable = request.node.status.as_ref().and_then(|status| status.allocatable.as_ref());
    let of_node =
        allocatable.and_then(|list| list.get("memory")).map(|memory| parse(&memory.0)).transpose()?;
    Ok(of_volume.into_iter().chain(of_pod.or(of_node)).min())
}
