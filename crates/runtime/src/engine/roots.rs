//! Root filesystems from the image store.

use std::path::PathBuf;

use async_trait::async_trait;

use super::{ImageDefaults, RootFilesystem, RootFilesystems};
use crate::images::{ImageConfig, ImageError, ImageStore};
use crate::snapshot::{RootfsMode, Usage};
use cri::{CriError, ImageSpec};

#[async_trait]
impl RootFilesystems for ImageStore {
    async fn prepare(&self, id: &str, image: &ImageSpec) -> Result<RootFilesystem, CriError> {
        let name = &image.image;
        let status = self.status(name)?.ok_or_else(|| ImageError::NotPresent(name.clone()))?;
        let defaults = self.config(&status.id)?.into();
        let path = self.prepare_rootfs(id, &status.id, RootfsMode::Writable).await?;
        let image_ref = status.repo_digests.into_iter().next().unwrap_or_else(|| status.id.clone());
        Ok(RootFilesystem { path, image_id: status.id, image_ref, defaults })
    }

    async fn prepare_volume(&self, id: &str, image: &ImageSpec) -> Result<PathBuf, CriError> {
        Ok(self.prepare_rootfs(id, &image.image, RootfsMode::ReadOnly).await?)
    }

    async fn remove(&self, id: &str) -> Result<(), CriError> {
        Ok(self.remove_rootfs(id).await?)
    }

    async fn usage(&self, id: &str) -> Result<Usage, CriError> {
        Ok(self.rootfs_usage(id).await?)
    }
}

impl From<ImageConfig> for ImageDefaults {
    fn from(config: ImageConfig) -> ImageDefaults {
        ImageDefaults {
            env: config.env,
            entrypoint: config.entrypoint,
            cmd: config.cmd,
            working_dir: config.working_dir,
            user: config.user,
            stop_signal: config.stop_signal,
        }
    }
}
