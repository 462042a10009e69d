//! Adding a fetched image to the store, and removing unused content.
//!
//! Two locks guard the store, also between processes. `unpack.lock` is held while layers are unpacked and added to the
//! list. `content.lock` is held shared while layers must stay (unpacking on top of them, mounting them) and exclusively
//! while layers are removed.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use super::error::{ImageError, store_error};
use super::index::{ImageRecord, Index, Lock, write_durably};
use super::manifest::ImageConfig;
use super::{PullPhase, Reporter, Store};
use crate::digest::Digest;
use crate::snapshot::DiscardedLayer;

/// An image that is ready to be put into the store.
pub(super) struct NewImage {
    /// The configuration document; its digest is the image's id.
    pub(super) document: Vec<u8>,
    pub(super) config: ImageConfig,
    pub(super) size: u64,
    pub(super) tags: Vec<String>,
    pub(super) digests: Vec<String>,
    /// Archives of layers, compressed or not, by chain id. Layers that the store has need none.
    pub(super) archives: HashMap<Digest, PathBuf>,
}

/// The result.
pub(super) enum Installed {
    /// The image is in the store.
    Done(Digest),
    /// These layers were removed while the others were fetched.
    Missing(Vec<Digest>),
}

impl Store {
    /// Unpacks the layers that are missing and adds the image to the list. Blocks.
    pub(super) fn install(&self, image: &NewImage, reporter: &Reporter) -> Result<Installed, ImageError> {
        let _unpacking = self.lock("unpack.lock", FlockOperation::LockExclusive)?;
        let _relying = self.lock("content.lock", FlockOperation::LockShared)?;
        let mut index = Index::clone(&*self.index.load()?);
        let chain = image.config.chain_ids();
        let missing: Vec<Digest> = chain
            .iter()
            .filter(|chain_id| !self.has_layer(&index, chain_id) && !image.archives.contains_key(chain_id))
            .cloned()
            .collect();
        if !missing.is_empty() {
            return Ok(Installed::Missing(missing));
        }
        let mut unpacked = false;
        for (position, (chain_id, diff_id)) in chain.iter().zip(&image.config.diff_ids).enumerate() {
            if self.has_layer(&index, chain_id) {
                continue;
            }
            reporter.phase(PullPhase::Unpacking { layer: position + 1, layers: chain.len() });
            let archive = decompress(&image.archives[chain_id])?;
            let stamp = self.clock.uid();
            let usage = self.snapshots.unpack(archive, diff_id, &chain[..position], &stamp)?;
            index.layers.insert(chain_id.clone(), usage);
            unpacked = true;
        }
        if unpacked {
            self.snapshots.sync()?;
        }
        let id = Digest::of(&image.document);
        write_durably(&self.blob_path(&id), &image.document)?;
        let known = index.images.remove(&id).unwrap_or_default();
        let record = ImageRecord {
            size: image.size,
            layers: chain,
            user: image.config.user.clone(),
            tags: known.tags,
            digests: known.digests,
        };
        index.images.insert(id.clone(), record);
        index.name(&id, &image.tags, &image.digests);
        self.index.replace(index)?;
        Ok(Installed::Done(id))
    }

    /// Adds names to an image that is complete; `false` if it is not. Blocks.
    pub(super) fn rename(
        &self,
        id: &Digest,
        tags: &[String],
        digests: &[String],
    ) -> Result<bool, ImageError> {
        let _listing = self.lock("unpack.lock", FlockOperation::LockExclusive)?;
        let _relying = self.lock("content.lock", FlockOperation::LockShared)?;
        let mut index = Index::clone(&*self.index.load()?);
        match index.images.get(id) {
            Some(image) if index.is_complete(image) => {
                let named = tags.iter().all(|tag| image.tags.contains(tag))
                    && digests.iter().all(|digest| image.digests.contains(digest));
                if named {
                    return Ok(true);
                }
            }
            _ => return Ok(false),
        }
        index.name(id, tags, digests);
        self.index.replace(index)?;
        Ok(true)
    }

    /// Removes an image and whatever only it used. Blocks.
    pub(super) fn remove(&self, name: &str) -> Result<(), ImageError> {
        let removing = self.lock("content.lock", FlockOperation::LockExclusive)?;
        let mut index = Index::clone(&*self.index.load()?);
        let Some(id) = index.find(name).cloned() else { return Ok(()) };
        index.images.remove(&id);
        let discarded = self.collect(index)?;
        drop(removing);
        drop(discarded);
        Ok(())
    }

    /// Removes layers and configurations that neither an image nor a root file system uses. Blocks.
    pub(super) fn collect_garbage(&self) -> Result<(), ImageError> {
        let removing = self.lock("content.lock", FlockOperation::LockExclusive)?;
        let index = Index::clone(&*self.index.load()?);
        let discarded = self.collect(index)?;
        drop(removing);
        drop(discarded);
        Ok(())
    }

    /// Under the lock; the returned value may be dropped without it.
    fn collect(&self, mut index: Index) -> Result<Vec<DiscardedLayer>, ImageError> {
        let mut used: BTreeSet<Digest> = self.snapshots.used_layers()?.into_iter().collect();
        used.extend(index.images.values().flat_map(|image| image.layers.iter().cloned()));
        let unused: Vec<Digest> =
            index.layers.keys().filter(|chain_id| !used.contains(*chain_id)).cloned().collect();
        index.layers.retain(|chain_id, _| used.contains(chain_id));
        let images: BTreeSet<Digest> = index.images.keys().cloned().collect();
        // They are removed from the index first, then from disk.
        self.index.replace(index)?;
        let discarded = unused
            .iter()
            .map(|chain_id| self.snapshots.discard_layer(chain_id, &self.clock.uid()))
            .collect::<Result<_, _>>()?;
        self.remove_blobs(|id| !images.contains(id))?;
        Ok(discarded)
    }

    /// Removes the remains of interrupted runs, only if no other process uses the store. Blocks.
    pub(super) fn clean(&self) -> Result<(), ImageError> {
        let index = self.index.load()?;
        self.snapshots.clean(|chain_id| index.layers.contains_key(chain_id))?;
        for entry in fs::read_dir(&self.ingest).map_err(store_error("list", &self.ingest))? {
            let path = entry.map_err(store_error("list", &self.ingest))?.path();
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.map_err(store_error("remove", &path))?;
        }
        self.remove_blobs(|id| !index.images.contains_key(id))
    }

    fn remove_blobs(&self, unused: impl Fn(&Digest) -> bool) -> Result<(), ImageError> {
        for entry in fs::read_dir(&self.blobs).map_err(store_error("list", &self.blobs))? {
            let path = entry.map_err(store_error("list", &self.blobs))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let keep = Digest::parse(&format!("sha256:{name}")).is_ok_and(|id| !unused(&id));
            if !keep {
                fs::remove_file(&path).map_err(store_error("remove", &path))?;
            }
        }
        Ok(())
    }

    /// The record and the directory: either may be missing without the other after someone's `rm`.
    fn has_layer(&self, index: &Index, chain_id: &Digest) -> bool {
        index.layers.contains_key(chain_id) && self.snapshots.has_layer(chain_id)
    }

    pub(super) fn lock(&self, name: &str, operation: FlockOperation) -> Result<Lock, ImageError> {
        Lock::take(&self.directory.join(name), operation)
    }

    pub(super) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.blobs.join(digest.hex())
    }
}

/// Opens an archive, telling by its first bytes how it is compressed: media types are not always right.
pub(super) fn decompress(path: &Path) -> Result<Box<dyn Read>, ImageError> {
    let file = File::open(path).map_err(store_error("open", path))?;
    decompress_stream(file).map_err(store_error("read", path))
}

/// The same for a stream.
pub(super) fn decompress_stream<'a>(input: impl Read + 'a) -> std::io::Result<Box<dyn Read + 'a>> {
    let mut input = BufReader::with_capacity(128 << 10, input);
    let start = input.fill_buf()?;
    if start.starts_with(&[0x1f, 0x8b]) {
        Ok(Box::new(flate2::bufread::MultiGzDecoder::new(input)))
    } else if start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Ok(Box::new(zstd::Decoder::with_buffer(input)?))
    } else {
        Ok(Box::new(input))
    }
}
