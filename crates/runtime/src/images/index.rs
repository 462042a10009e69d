//! The list of images and layers: one small JSON file that is replaced as a whole.
//!
//! Several processes may work on a data directory (the agent, `ironhull image`). Processes hold a lock to change the
//! list, and reread the file when it was replaced.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oci_client::Reference;
use parking_lot::Mutex;
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use super::error::{ImageError, store_error};
use super::reference;
use crate::digest::Digest;
use crate::snapshot::Usage;

const VERSION: u32 = 1;

/// Everything that the store knows.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Index {
    version: u32,
    /// By the digest of their configuration.
    pub(super) images: BTreeMap<Digest, ImageRecord>,
    /// Complete layers by chain ID, with their disk usage.
    pub(super) layers: BTreeMap<Digest, Usage>,
}

/// One image.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct ImageRecord {
    pub(super) tags: BTreeSet<String>,
    pub(super) digests: BTreeSet<String>,
    /// Bytes as transferred.
    pub(super) size: u64,
    /// Chain ids, the lowest first.
    pub(super) layers: Vec<Digest>,
    /// The user in its configuration.
    pub(super) user: String,
}

impl Index {
    /// The id of the image with this name, digest reference or id.
    pub(super) fn find(&self, name: &str) -> Option<&Digest> {
        if let Some(id) = reference::as_id(name) {
            return self.images.get_key_value(&id).map(|(id, _)| id);
        }
        let full = reference::parse(name).ok()?;
        self.find_reference(&full)
    }

    pub(super) fn find_reference(&self, reference: &Reference) -> Option<&Digest> {
        let full = reference.whole();
        let names = |image: &ImageRecord| match reference.digest() {
            Some(_) => image.digests.contains(&full),
            None => image.tags.contains(&full),
        };
        self.images.iter().find(|(_, image)| names(image)).map(|(id, _)| id)
    }

    /// Adds names to an image. A tag belongs to only one image.
    pub(super) fn name(&mut self, id: &Digest, tags: &[String], digests: &[String]) {
        for image in self.images.values_mut() {
            for tag in tags {
                image.tags.remove(tag);
            }
        }
        if let Some(image) = self.images.get_mut(id) {
            image.tags.extend(tags.iter().cloned());
            image.digests.extend(digests.iter().cloned());
        }
    }

    /// Whether all layers of an image exist.
    pub(super) fn is_complete(&self, image: &ImageRecord) -> bool {
        image.layers.iter().all(|chain_id| self.layers.contains_key(chain_id))
    }
}

/// Distinguishes versions of the file.
type Stamp = (u64, i64, i64, u64);

/// The file.
pub(super) struct IndexFile {
    path: PathBuf,
    cached: Mutex<Option<(Stamp, Arc<Index>)>>,
}

impl IndexFile {
    pub(super) fn new(directory: &Path) -> IndexFile {
        IndexFile { path: directory.join("index.json"), cached: Mutex::new(None) }
    }

    /// The current list; an empty one if there is no file.
    pub(super) fn load(&self) -> Result<Arc<Index>, ImageError> {
        let mut cached = self.cached.lock();
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Arc::default()),
            Err(error) => return Err(store_error("open", &self.path)(error)),
        };
        let metadata = file.metadata().map_err(store_error("look at", &self.path))?;
        let stamp = (metadata.ino(), metadata.mtime(), metadata.mtime_nsec(), metadata.size());
        match &*cached {
            Some((known, index)) if *known == stamp => return Ok(index.clone()),
            _ => {}
        }
        let index: Index = serde_json::from_reader(std::io::BufReader::new(file))
            .map_err(|error| store_error("read", &self.path)(std::io::Error::from(error)))?;
        if index.version != VERSION {
            let reason = format!("unknown version {}", index.version);
            let error = std::io::Error::new(std::io::ErrorKind::InvalidData, reason);
            return Err(store_error("read", &self.path)(error));
        }
        let index = Arc::new(index);
        *cached = Some((stamp, index.clone()));
        Ok(index)
    }

    /// Replaces the list, durably. The caller holds the lock.
    pub(super) fn replace(&self, mut index: Index) -> Result<(), ImageError> {
        index.version = VERSION;
        let text = serde_json::to_vec(&index).expect("maps with string keys can be written as JSON");
        write_durably(&self.path, &text)
    }
}

/// Writes a file so that after a crash there is the old content or the new.
pub(super) fn write_durably(path: &Path, content: &[u8]) -> Result<(), ImageError> {
    use std::io::Write;
    let new = path.with_extension("new");
    let write = || {
        let mut file = File::create(&new)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
    };
    write().map_err(store_error("write", path))
}

/// A lock among processes and threads, held until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Waits for the lock; blocks.
    pub(super) fn take(path: &Path, operation: FlockOperation) -> Result<Lock, ImageError> {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .map_err(store_error("open", path))?;
        let lock = Lock { file, path: path.to_owned() };
        lock.change(operation)?;
        Ok(lock)
    }

    /// Changes an exclusive lock into a shared one or the other way, or fails if it would have to wait and
    /// must not.
    pub(super) fn change(&self, operation: FlockOperation) -> Result<(), ImageError> {
        loop {
            match rustix::fs::flock(&self.file, operation) {
                Err(rustix::io::Errno::INTR) => {}
                result => return result.map_err(store_error("lock", &self.path)),
            }
        }
    }
}
