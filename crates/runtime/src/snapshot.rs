//! Layers on disk, and root file systems assembled from them.
//!
//! Each layer is unpacked once, under its chain id (the digest of itself and all layers below it), in overlayfs's own
//! format. A root file system is an overlay mount of an image's layers with its own writable directory on top, or
//! without one for images that are mounted as volumes.
//!
//! ```text
//! <data-dir>/layers/<chain id>/fs                    a layer
//! <data-dir>/rootfs/<id>/{upper,work,merged}         a root file system; merged is the mount
//! <data-dir>/rootfs/<id>/layers.json                 the chain ids of its layers
//! ```
//!
//! The mounts are in the host's mount namespace and need no process: containers keep theirs when the agent exits, and
//! [`Snapshots::prepare_rootfs`] finds them again. [`images`](crate::images) knows which layers are complete and in
//! use; nothing here may know about names and registries.

mod inside;
mod overlay;
mod tar;
#[cfg(test)]
mod tests;
mod unpack;

use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use crate::digest::{Digest, HashingReader};
use overlay::Overlay;
use unpack::ApplyError;

pub use hostfs::Usage;
pub(crate) use inside::{clean, open as open_inside, open_root, read_file};
pub use overlay::OverlayError;
pub(crate) use tar::{EntryKind, TarReader};

/// The maximum number of lower directories in overlayfs (`OVL_MAX_STACK`).
pub const LAYERS_MAX: usize = 500;
/// A layer's unpacked size is limited, and it is measured as a whole.
const LAYER_LIMITS: hostfs::Limits =
    hostfs::Limits { time: std::time::Duration::MAX, waiting_max: usize::MAX };
const TEMPORARY_PREFIX: &str = ".tmp-";
const LAYERS_FILE: &str = "layers.json";

/// Bounds on what one layer may unpack to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnpackLimits {
    /// Bytes of the uncompressed archive.
    pub bytes_max: u64,
    /// Entries of the archive.
    pub entries_max: u64,
}

impl Default for UnpackLimits {
    fn default() -> UnpackLimits {
        UnpackLimits { bytes_max: 256 << 30, entries_max: 8_000_000 }
    }
}

/// Whether a root file system can be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootfsMode {
    /// For a container: changes go into a separate directory and are removed with it.
    Writable,
    /// For an image that is mounted as a volume.
    ReadOnly,
}

/// Errors of layers and root file systems.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The layer's content is broken, breaks a bound or tries to leave its root.
    #[error("invalid layer {diff_id}: {reason}")]
    InvalidLayer {
        /// The layer's diff id.
        diff_id: Digest,
        /// The reason.
        reason: String,
    },
    /// The layer's content does not match its image.
    #[error("wrong diff id: expected {expected}, found {found}")]
    DiffIdMismatch {
        /// The digest in the image's configuration.
        expected: Digest,
        /// The digest of the content.
        found: Digest,
    },
    /// The name cannot be used for a root file system.
    #[error("invalid root file system id {0:?}: letters, digits, '-', '_' and '.' only")]
    InvalidId(String),
    /// An image has more layers than overlayfs can stack.
    #[error("{0} layers are too many: overlayfs can stack {LAYERS_MAX}")]
    TooManyLayers(usize),
    /// The overlay cannot be mounted.
    #[error(transparent)]
    Overlay(#[from] OverlayError),
    /// This machine failed.
    #[error("{context}")]
    Io {
        /// The step that failed.
        context: String,
        /// Why it failed.
        source: io::Error,
    },
}

/// The layers and root file systems of one data directory. All calls block.
#[derive(Clone, Debug)]
pub struct Snapshots {
    layers: PathBuf,
    rootfs: PathBuf,
    limits: UnpackLimits,
}

impl Snapshots {
    /// Opens (and creates) the directories inside `data_dir`.
    pub fn open(data_dir: &Path, limits: UnpackLimits) -> Result<Snapshots, SnapshotError> {
        let snapshots =
            Snapshots { layers: data_dir.join("layers"), rootfs: data_dir.join("rootfs"), limits };
        // Two empty layers, for images with too few of them to make an overlay.
        for path in snapshots.empty_layers().iter().chain([&snapshots.rootfs]) {
            create_directory(path)?;
        }
        // Image content is for containers alone: setuid programs in it must not be reachable by the
        // host's users.
        for path in [&snapshots.layers, &snapshots.rootfs] {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
            fs::set_permissions(path, mode).map_err(io_error("restrict", path))?;
        }
        Ok(snapshots)
    }

    /// The directory of the layers.
    pub fn layers_path(&self) -> &Path {
        &self.layers
    }

    /// The directory of the root file systems.
    pub fn rootfs_path(&self) -> &Path {
        &self.rootfs
    }

    /// Unpacks a layer on top of `parents` (chain ids, the lowest first), verifies its content against `diff_id`, and
    /// returns its disk usage. `stamp` makes the temporary name unique. The archive is uncompressed. The content is not
    /// synced: see [`sync`](Self::sync).
    pub fn unpack(
        &self,
        archive: impl Read,
        diff_id: &Digest,
        parents: &[Digest],
        stamp: &str,
    ) -> Result<Usage, SnapshotError> {
        let temporary = TemporaryDirectory(self.layers.join(format!("{TEMPORARY_PREFIX}{stamp}")));
        let layer = temporary.0.join("fs");
        create_directory(&layer)?;
        let lower = self.lower_directories(parents);
        let root = match lower.first() {
            None => inside::open_root(&layer).map_err(io_error("open", &layer))?,
            Some(parent) => {
                copy_root_attributes(parent, &layer)?;
                self.mount_upper(&lower, &layer, &temporary.0)?
            }
        };
        let archive = HashingReader::new(archive, self.limits.bytes_max);
        let invalid = |reason| SnapshotError::InvalidLayer { diff_id: diff_id.clone(), reason };
        let rest =
            unpack::apply(root.as_fd(), archive, self.limits.entries_max).map_err(|error| match error {
                ApplyError::Write { path, source } => {
                    SnapshotError::Io { context: format!("write {path:?} of layer {diff_id}"), source }
                }
                error => invalid(causes::chain(&error)),
            })?;
        drop(root);
        let found = rest.finish().map_err(|error| invalid(error.to_string()))?;
        if found != *diff_id {
            return Err(SnapshotError::DiffIdMismatch { expected: diff_id.clone(), found });
        }
        let usage = hostfs::measure(&layer, LAYER_LIMITS).map_err(io_error("measure", &layer))?.usage;
        let chain_id = Digest::chain(parents.last(), diff_id);
        let place = self.layer_path(&chain_id);
        // An existing directory is from a run that ended before it was recorded.
        remove_tree(&place)?;
        for leftover in ["work", "merged"] {
            remove_tree(&temporary.0.join(leftover))?;
        }
        fs::rename(&temporary.0, &place).map_err(io_error("rename the unpacked layer to", &place))?;
        Ok(usage)
    }

    /// Makes all unpacked layers durable. A layer may be recorded as complete only after this.
    pub fn sync(&self) -> Result<(), SnapshotError> {
        let directory = fs::File::open(&self.layers).map_err(io_error("open", &self.layers))?;
        rustix::fs::syncfs(&directory).map_err(io_error("sync", &self.layers))
    }

    /// Whether a layer's directory exists.
    pub fn has_layer(&self, chain_id: &Digest) -> bool {
        self.layer_path(chain_id).join("fs").is_dir()
    }

    /// Moves an unused layer aside. It is removed when the value is dropped, which can take a long time with many files
    /// and should not happen while others wait for a lock. `stamp` makes the name unique.
    pub fn discard_layer(&self, chain_id: &Digest, stamp: &str) -> Result<DiscardedLayer, SnapshotError> {
        let place = self.layer_path(chain_id);
        let trash = TemporaryDirectory(self.layers.join(format!("{TEMPORARY_PREFIX}{stamp}")));
        match fs::rename(&place, &trash.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error("remove", &place)(error)),
            _ => Ok(DiscardedLayer { _directory: trash }),
        }
    }

    /// Removes everything that is not complete or not in `known`. Only when no other process works here.
    pub fn clean(&self, known: impl Fn(&Digest) -> bool) -> Result<(), SnapshotError> {
        for name in names_in(&self.layers)? {
            let kept = name == "empty"
                || Digest::parse(&format!("sha256:{name}")).is_ok_and(|chain_id| known(&chain_id));
            if !kept {
                remove_tree(&self.layers.join(name))?;
            }
        }
        for name in names_in(&self.rootfs)? {
            if name.starts_with(TEMPORARY_PREFIX) {
                remove_tree(&self.rootfs.join(name))?;
            }
        }
        Ok(())
    }

    /// Mounts a root file system from layers (chain ids, the lowest first) and returns its path. If it is already
    /// mounted, even by an earlier run of the agent, nothing else is done. One that exists without being mounted is
    /// from before a reboot and is recreated.
    pub fn prepare_rootfs(
        &self,
        id: &str,
        layers: &[Digest],
        mode: RootfsMode,
    ) -> Result<PathBuf, SnapshotError> {
        let base = self.rootfs_directory(id)?;
        let merged = base.join("merged");
        if overlay::is_mount_point(&merged).map_err(io_error("look at", &merged))? {
            return Ok(merged);
        }
        if layers.len() > LAYERS_MAX - 2 {
            return Err(SnapshotError::TooManyLayers(layers.len()));
        }
        remove_tree(&base)?;
        create_directory(&merged)?;
        let result = self.mount_rootfs(&base, &merged, layers, mode);
        if result.is_err() {
            remove_tree(&base)?;
        }
        result.map(|()| merged)
    }

    fn mount_rootfs(
        &self,
        base: &Path,
        merged: &Path,
        layers: &[Digest],
        mode: RootfsMode,
    ) -> Result<(), SnapshotError> {
        // The used layers are recorded before they are used.
        let list = base.join(LAYERS_FILE);
        let text = serde_json::to_vec(layers).expect("a list of strings can be written as JSON");
        fs::write(&list, text).map_err(io_error("write", &list))?;
        let mut lower = self.lower_directories(layers);
        let mount = match mode {
            RootfsMode::Writable => {
                if lower.is_empty() {
                    lower.push(self.empty_layers()[0].clone());
                }
                let upper = base.join("upper");
                create_directory(&upper)?;
                copy_root_attributes(&lower[0], &upper)?;
                self.mount_upper(&lower, &upper, base)?
            }
            RootfsMode::ReadOnly => {
                // An overlay without upper directory needs two lower ones.
                let missing = 2_usize.saturating_sub(lower.len());
                lower.extend(self.empty_layers().into_iter().take(missing));
                Overlay { lower: &lower, upper: None, scratch: merged }.mount_detached()?
            }
        };
        overlay::attach(&mount, merged).map_err(io_error("attach the overlay to", merged))
    }

    /// Unmounts and removes a root file system; one that does not exist is ignored. Returns its layers.
    pub fn remove_rootfs(&self, id: &str, stamp: &str) -> Result<Vec<Digest>, SnapshotError> {
        let base = self.rootfs_directory(id)?;
        let merged = base.join("merged");
        overlay::detach(&merged).map_err(io_error("unmount", &merged))?;
        let layers = read_layers(&base)?;
        // The name is free at once, however much there is to remove.
        let trash = self.rootfs.join(format!("{TEMPORARY_PREFIX}{stamp}"));
        match fs::rename(&base, &trash) {
            Ok(()) => remove_tree(&trash)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io_error("remove", &base)(error)),
        }
        Ok(layers)
    }

    /// Tests whether root file systems can be mounted here: an error says why not, and what to do.
    pub fn probe(&self, stamp: &str) -> Result<(), SnapshotError> {
        let id = format!("probe-{stamp}");
        let mounted = self.prepare_rootfs(&id, &[], RootfsMode::Writable);
        self.remove_rootfs(&id, stamp)?;
        mounted.map(drop)
    }

    /// The ids of all root file systems, mounted or left from before a reboot.
    pub fn rootfs_ids(&self) -> Result<Vec<String>, SnapshotError> {
        let mut ids = names_in(&self.rootfs)?;
        ids.retain(|name| !name.starts_with(TEMPORARY_PREFIX));
        Ok(ids)
    }

    /// The chain ids that root file systems use.
    pub fn used_layers(&self) -> Result<Vec<Digest>, SnapshotError> {
        let mut layers = Vec::new();
        for id in self.rootfs_ids()? {
            layers.extend(read_layers(&self.rootfs.join(id))?);
        }
        Ok(layers)
    }

    /// The directory for changes to a root file system; it may not exist.
    pub fn upper_path(&self, id: &str) -> Result<PathBuf, SnapshotError> {
        Ok(self.rootfs_directory(id)?.join("upper"))
    }

    /// Mounts an overlay with `upper`, its work directory in `base`.
    fn mount_upper(&self, lower: &[PathBuf], upper: &Path, base: &Path) -> Result<OwnedFd, SnapshotError> {
        let (work, scratch) = (base.join("work"), base.join("merged"));
        create_directory(&work)?;
        create_directory(&scratch)?;
        Ok(Overlay { lower, upper: Some((upper, &work)), scratch: &scratch }.mount_detached()?)
    }

    fn layer_path(&self, chain_id: &Digest) -> PathBuf {
        self.layers.join(chain_id.hex())
    }

    /// Directories of these layers in the order of overlayfs, the topmost first.
    fn lower_directories(&self, layers: &[Digest]) -> Vec<PathBuf> {
        layers.iter().rev().map(|chain_id| self.layer_path(chain_id).join("fs")).collect()
    }

    fn empty_layers(&self) -> [PathBuf; 2] {
        ["1", "2"].map(|name| self.layers.join("empty").join(name))
    }

    fn rootfs_directory(&self, id: &str) -> Result<PathBuf, SnapshotError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if id.is_empty() || id.starts_with('.') || id.len() > 200 || !id.bytes().all(allowed) {
            return Err(SnapshotError::InvalidId(id.to_owned()));
        }
        Ok(self.rootfs.join(id))
    }
}

/// A layer on its way out; see [`Snapshots::discard_layer`].
#[derive(Debug)]
#[must_use = "dropping it removes the files, which should happen without a lock"]
pub struct DiscardedLayer {
    _directory: TemporaryDirectory,
}

/// Removed with all its content when it goes out of scope.
#[derive(Debug)]
struct TemporaryDirectory(PathBuf);

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        if let Err(error) = remove_tree(&self.0) {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot remove files; they stay until the next start"
            );
        }
    }
}

/// The root's own attributes: the topmost layer's are the ones that show.
fn copy_root_attributes(from: &Path, to: &Path) -> Result<(), SnapshotError> {
    use std::os::unix::fs::MetadataExt;
    let metadata = fs::metadata(from).map_err(io_error("look at", from))?;
    std::os::unix::fs::chown(to, Some(metadata.uid()), Some(metadata.gid()))
        .and_then(|()| fs::set_permissions(to, metadata.permissions()))
        .map_err(io_error("set the attributes of", to))
}

fn read_layers(base: &Path) -> Result<Vec<Digest>, SnapshotError> {
    let list = base.join(LAYERS_FILE);
    match fs::read(&list) {
        // A list that cannot be read was cut off by a crash of the machine, which ended the mount too.
        Ok(text) => Ok(serde_json::from_slice(&text).unwrap_or_default()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(io_error("read", &list)(error)),
    }
}

fn names_in(directory: &Path) -> Result<Vec<String>, SnapshotError> {
    let read = || {
        fs::read_dir(directory)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<io::Result<Vec<String>>>()
    };
    read().map_err(io_error("list", directory))
}

fn create_directory(path: &Path) -> Result<(), SnapshotError> {
    fs::create_dir_all(path).map_err(io_error("create", path))
}

fn remove_tree(path: &Path) -> Result<(), SnapshotError> {
    hostfs::remove_tree(path).map_err(io_error("remove", path))
}

/// An error with the step and its path.
fn io_error<E: Into<io::Error>>(action: &str, path: &Path) -> impl FnOnce(E) -> SnapshotError {
    let context = format!("{action} {}", path.display());
    move |error| SnapshotError::Io { context, source: error.into() }
}
