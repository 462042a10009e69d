//! The store as CRI's image service.

use async_trait::async_trait;

use super::reference;
use super::{ImageError, ImageStore, blocking};
use crate::snapshot::Usage;
use cri::{
    AuthConfig, CriError, FilesystemUsage, Image, ImageFilter, ImageFsInfo, ImageService, ImageSpec,
    PodSandboxConfig,
};

#[async_trait]
impl ImageService for ImageStore {
    async fn list_images(&self, filter: &ImageFilter) -> Result<Vec<Image>, CriError> {
        match &filter.image {
            Some(spec) if !spec.image.is_empty() => Ok(self.status(&spec.image)?.into_iter().collect()),
            _ => Ok(self.list()?),
        }
    }

    async fn image_status(&self, image: &ImageSpec) -> Result<Option<Image>, CriError> {
        let found = self.status(&image.image)?;
        if found.is_none() && reference::as_id(&image.image).is_none() {
            // A name that no image can have is an error, not the absence of an image.
            reference::parse(&image.image)?;
        }
        Ok(found)
    }

    async fn pull_image(
        &self,
        image: &ImageSpec,
        auth: Option<&AuthConfig>,
        _sandbox_config: Option<&PodSandboxConfig>,
    ) -> Result<String, CriError> {
        Ok(self.pull(&image.image, auth, None).await?.into())
    }

    async fn remove_image(&self, image: &ImageSpec) -> Result<(), CriError> {
        Ok(self.remove(&image.image).await?)
    }

    async fn image_fs_info(&self) -> Result<ImageFsInfo, CriError> {
        let store = self.store.clone();
        let (images, roots) = blocking(move || {
            let mut images = Usage::default();
            for usage in store.index.load()?.layers.values() {
                images += *usage;
            }
            Ok::<_, ImageError>((images, store.snapshots.rootfs_ids()?))
        })
        .await?;
        let mut containers = Usage::default();
        for usage in futures::future::join_all(roots.iter().map(|id| self.rootfs_usage(id))).await {
            containers += usage?;
        }
        let snapshots = &self.store.snapshots;
        let usage = |path: &std::path::Path, usage: Usage| FilesystemUsage {
            timestamp: self.store.clock.now(),
            mountpoint: path.display().to_string(),
            used_bytes: usage.bytes,
            inodes_used: usage.inodes,
        };
        Ok(ImageFsInfo {
            image_filesystems: vec![usage(snapshots.layers_path(), images)],
            container_filesystems: vec![usage(snapshots.rootfs_path(), containers)],
        })
    }
}
