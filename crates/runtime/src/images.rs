//! The image store: pulls, imports, lists and removes images, and mounts them.
//!
//! ```text
//! <data-dir>/images/index.json            all images and layers
//! <data-dir>/images/blobs/sha256/<hex>    configurations of images
//! <data-dir>/images/ingest/<id>/          downloads, until they are unpacked
//! ```
//!
//! A layer is stored once, unpacked ([`snapshot`](crate::snapshot)); its archive is not kept. The index is
//! authoritative: a layer or image that it does not list does not exist; remains of an interrupted run are removed at
//! the next start.
//!
//! The store may be opened by several processes at once (the agent and `ironhull image`). It must not know about
//! containers: for it, root file systems are just IDs.

pub mod build;
mod error;
mod import;
mod index;
mod install;
mod manifest;
mod progress;
mod pull;
mod reference;
mod registry;
mod service;
pub mod user;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clock::Clock;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared, WeakShared};
use hostfs::Usages;
use oci_client::Reference;
use parking_lot::Mutex;
use rustix::fs::FlockOperation;

use crate::digest::Digest;
use crate::snapshot::{RootfsMode, Snapshots, UnpackLimits, Usage};
use cri::{AuthConfig, Image};
use error::store_error;
pub use error::{ImageError, PullFailure};
use index::{ImageRecord, IndexFile, Lock};
pub use manifest::ImageConfig;
use progress::Reporter;
pub use progress::{ProgressFn, PullPhase, PullProgress};

/// Settings of a store.
#[derive(Clone, Debug, Default)]
pub struct ImageStoreConfig {
    /// The directory that contains `images`, `layers` and `rootfs`.
    pub data_dir: PathBuf,
    /// Registries (`host` or `host:port`) that are accessed without TLS, in addition to those on the loopback
    /// interface.
    pub insecure_registries: Vec<String>,
    /// Limits on the unpacked size of a layer.
    pub limits: UnpackLimits,
}

/// The store; cheap to clone.
#[derive(Clone)]
pub struct ImageStore {
    store: Arc<Store>,
    pulls: Arc<Mutex<Vec<RunningPull>>>,
    /// The disk usage of writable layers.
    usages: Usages,
}

type PullFuture = BoxFuture<'static, Result<Digest, PullFailure>>;

/// A pull that several callers may wait for. It is cancelled when the last of them is dropped.
struct RunningPull {
    name: Reference,
    auth: Option<AuthConfig>,
    result: WeakShared<PullFuture>,
}

struct Store {
    clock: Clock,
    directory: PathBuf,
    blobs: PathBuf,
    ingest: PathBuf,
    index: IndexFile,
    snapshots: Snapshots,
    insecure_registries: Vec<String>,
    /// Shared by all processes that have the store open, so that none removes another's downloads.
    open: Lock,
}

impl ImageStore {
    /// Opens the store and removes what earlier runs have left unfinished. Blocks.
    pub fn open(config: &ImageStoreConfig, clock: Clock) -> Result<ImageStore, ImageError> {
        let directory = config.data_dir.join("images");
        let (blobs, ingest) = (directory.join("blobs/sha256"), directory.join("ingest"));
        for path in [&blobs, &ingest] {
            std::fs::create_dir_all(path).map_err(store_error("create", path))?;
        }
        let snapshots = Snapshots::open(&config.data_dir, config.limits)?;
        let open = Lock::take(&directory.join("open.lock"), FlockOperation::LockShared)?;
        let store = Store {
            index: IndexFile::new(&directory),
            insecure_registries: config.insecure_registries.clone(),
            clock,
            directory,
            blobs,
            ingest,
            snapshots,
            open,
        };
        store.index.load()?;
        if store.open.change(FlockOperation::NonBlockingLockExclusive).is_ok() {
            store.clean()?;
        }
        // A failed change has released the lock too.
        store.open.change(FlockOperation::LockShared)?;
        Ok(ImageStore { store: Arc::new(store), pulls: Arc::default(), usages: Usages::default() })
    }

    /// Pulls an image by tag or digest and returns its ID. Concurrent callers for the same image with the same
    /// credentials share one download, which is reported to the first one's `progress`.
    pub async fn pull(
        &self,
        name: &str,
        auth: Option<&AuthConfig>,
        progress: Option<ProgressFn>,
    ) -> Result<Digest, ImageError> {
        let name = reference::parse(name)?;
        let result = self.join_pull(&name, auth, progress);
        result.await.map_err(|failure| ImageError::Pull { image: name.whole(), failure })
    }

    fn join_pull(
        &self,
        name: &Reference,
        auth: Option<&AuthConfig>,
        progress: Option<ProgressFn>,
    ) -> Shared<PullFuture> {
        let mut pulls = self.pulls.lock();
        pulls.retain(|pull| pull.result.upgrade().is_some_and(|result| result.peek().is_none()));
        let running = pulls.iter().find(|pull| pull.name == *name && pull.auth.as_ref() == auth);
        if let Some(result) = running.and_then(|pull| pull.result.upgrade()) {
            return result;
        }
        let reporter = Reporter::new(progress);
        let pull = pull::pull(self.store.clone(), name.clone(), auth.cloned(), reporter);
        let result = pull.boxed().shared();
        // It cannot be finished, because it has not been polled.
        if let Some(weak) = result.downgrade() {
            pulls.push(RunningPull { name: name.clone(), auth: auth.cloned(), result: weak });
        }
        result
    }

    /// Imports all images of an archive (`docker save` or OCI layout, possibly compressed) and returns their IDs.
    pub async fn import(
        &self,
        path: impl AsRef<Path>,
        progress: Option<ProgressFn>,
    ) -> Result<Vec<Digest>, ImageError> {
        let path = path.as_ref().to_owned();
        let store = self.store.clone();
        blocking(move || {
            let archive = File::open(&path).map_err(store_error("open", &path))?;
            import::import(&store, archive, &Reporter::new(progress))
        })
        .await
    }

    /// The same from a stream.
    pub async fn import_reader(
        &self,
        archive: impl Read + Send + 'static,
        progress: Option<ProgressFn>,
    ) -> Result<Vec<Digest>, ImageError> {
        let store = self.store.clone();
        blocking(move || import::import(&store, archive, &Reporter::new(progress))).await
    }

    /// All images, in the order of their ids.
    pub fn list(&self) -> Result<Vec<Image>, ImageError> {
        let index = self.store.index.load()?;
        Ok(index.images.iter().map(|(id, record)| image(id, record)).collect())
    }

    /// The image with this tag, digest reference or id.
    pub fn status(&self, name: &str) -> Result<Option<Image>, ImageError> {
        let index = self.store.index.load()?;
        Ok(index.find(name).map(|id| image(id, &index.images[id])))
    }

    /// The image's settings for running it.
    pub fn config(&self, name: &str) -> Result<ImageConfig, ImageError> {
        let index = self.store.index.load()?;
        let id = index.find(name).ok_or_else(|| ImageError::NotPresent(name.to_owned()))?;
        let path = self.store.blob_path(id);
        let document = std::fs::read(&path).map_err(store_error("read", &path))?;
        ImageConfig::parse(&document).map_err(|error| store_error("read", &path)(std::io::Error::from(error)))
    }

    /// Removes an image with all its names, and the layers that no other image and no root file system uses. A missing
    /// one is ignored.
    pub async fn remove(&self, name: &str) -> Result<(), ImageError> {
        let (store, name) = (self.store.clone(), name.to_owned());
        blocking(move || store.remove(&name)).await
    }

    /// Mounts a root file system of an image under an ID chosen by the caller and returns its path. If one is already
    /// mounted under that ID, even from before a restart of the agent, it is kept.
    pub async fn prepare_rootfs(
        &self,
        id: &str,
        name: &str,
        mode: RootfsMode,
    ) -> Result<PathBuf, ImageError> {
        let (store, id, name) = (self.store.clone(), id.to_owned(), name.to_owned());
        blocking(move || {
            let _relying = store.lock("content.lock", FlockOperation::LockShared)?;
            let index = store.index.load()?;
            let image = index.find(&name).ok_or(ImageError::NotPresent(name.clone()))?;
            Ok(store.snapshots.prepare_rootfs(&id, &index.images[image].layers, mode)?)
        })
        .await
    }

    /// Unmounts and removes a root file system, and the layers that only it used. A missing one is ignored.
    pub async fn remove_rootfs(&self, id: &str) -> Result<(), ImageError> {
        let (store, id) = (self.store.clone(), id.to_owned());
        blocking(move || {
            let layers = store.snapshots.remove_rootfs(&id, &store.clock.uid())?;
            let index = store.index.load()?;
            let in_image =
                |layer| index.images.values().any(|image: &ImageRecord| image.layers.contains(layer));
            if layers.iter().all(in_image) { Ok(()) } else { store.collect_garbage() }
        })
        .await
    }

    /// Tries whether containers' root file systems can be mounted on the data directory's file system: the error gives
    /// the reason and advice.
    pub async fn probe(&self) -> Result<(), ImageError> {
        let store = self.store.clone();
        blocking(move || Ok(store.snapshots.probe(&store.clock.uid())?)).await
    }

    /// The ids of all root file systems, also those of containers from before a reboot.
    pub fn rootfs_ids(&self) -> Result<Vec<String>, ImageError> {
        Ok(self.store.snapshots.rootfs_ids()?)
    }

    /// The disk usage of a container's writable layer, as far as it is known: a container may have written more files
    /// than can be counted regularly.
    pub async fn rootfs_usage(&self, id: &str) -> Result<Usage, ImageError> {
        let upper = self.store.snapshots.upper_path(id)?;
        Ok(self.usages.get(&upper).await.map(|measured| measured.usage).unwrap_or_default())
    }
}

impl Store {
    /// A directory for downloads that is removed with its content when it is dropped.
    fn new_ingest_directory(&self) -> Result<IngestDirectory, ImageError> {
        let path = self.ingest.join(self.clock.uid());
        std::fs::create_dir(&path).map_err(store_error("create", &path))?;
        Ok(IngestDirectory(path))
    }
}

struct IngestDirectory(PathBuf);

impl IngestDirectory {
    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for IngestDirectory {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "cannot remove downloads; they stay until the \
                next start");
        }
    }
}

fn image(id: &Digest, record: &ImageRecord) -> Image {
    let user = record.user.split(':').next().unwrap_or_default();
    let uid = user.parse().ok();
    Image {
        id: id.to_string(),
        repo_tags: record.tags.iter().cloned().collect(),
        repo_digests: record.digests.iter().cloned().collect(),
        size: record.size,
        username: if uid.is_some() { String::new() } else { user.to_owned() },
        uid,
        pinned: false,
    }
}

/// Runs blocking work on a separate thread.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ImageError> + Send + 'static,
) -> Result<T, ImageError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(error) => Err(ImageError::Store {
            context: "the program is about to end".to_owned(),
            source: std::io::Error::other(error),
        }),
    }
}
