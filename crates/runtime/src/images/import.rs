//! Importing archives: the output of `docker save`, and OCI image layouts, as a tar file that may be compressed.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::error::{ImageError, PullFailure, store_error};
use super::install::{Installed, NewImage, decompress_stream};
use super::manifest::{CONFIG_BYTES_MAX, Descriptor, Document, Index, MANIFEST_BYTES_MAX, Manifest};
use super::pull::check_config;
use super::{Reporter, Store, reference};
use crate::digest::Digest;
use crate::snapshot::{EntryKind, TarReader, clean};
use cri::PullErrorKind;

/// Entries of an archive; each layer is one to three.
const ENTRIES_MAX: u64 = 100_000;
/// Images of an archive.
const IMAGES_MAX: usize = 1000;
/// How deep links and indexes may be nested.
const DEPTH_MAX: usize = 4;
/// Where containerd and Docker write an image's full name.
pub(super) const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// Where OCI layouts carry a tag, and some tools a full name.
const OCI_NAME: &str = "org.opencontainers.image.ref.name";

/// The `manifest.json` of `docker save`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

/// Imports all images of an archive and returns their IDs. Blocks.
pub(super) fn import(
    store: &Store,
    archive: impl Read,
    reporter: &Reporter,
) -> Result<Vec<Digest>, ImageError> {
    let directory = store.new_ingest_directory()?;
    let files = Files::extract(archive, directory.path())?;
    let images = if files.has("manifest.json") {
        docker_images(&files)?
    } else if files.has("index.json") {
        let mut images = Vec::new();
        oci_images(&files, &files.read("index.json", MANIFEST_BYTES_MAX)?, None, 0, &mut images)?;
        images
    } else {
        let reason = "it is not an archive of images: it has neither manifest.json (docker save) nor index.json (OCI layout)";
        return Err(ImageError::Import(PullFailure::corrupt(reason)));
    };
    let mut ids = Vec::with_capacity(images.len());
    for image in images {
        match store.install(&image, reporter)? {
            Installed::Done(id) => ids.push(id),
            Installed::Missing(layers) => {
                let reason = format!("the archive lacks the layers {layers:?}");
                return Err(ImageError::Import(PullFailure::corrupt(reason)));
            }
        }
    }
    Ok(ids)
}

/// What an error says about an archive of which something was read before, or nothing yet.
fn unreadable(error: &std::io::Error, is_archive: bool) -> ImageError {
    use std::io::ErrorKind::{InvalidData, InvalidInput, Other, UnexpectedEof};
    let reason = match error.kind() {
        UnexpectedEof if is_archive => "the archive is incomplete".to_owned(),
        InvalidData | InvalidInput | Other if is_archive => format!("the archive is damaged: {error}"),
        UnexpectedEof | InvalidData | InvalidInput | Other => "it is not a tar archive".to_owned(),
        _ => format!("it cannot be read: {error}"),
    };
    ImageError::Import(PullFailure::corrupt(reason))
}

/// The files of an archive under arbitrary names, which are never used on disk.
struct Files {
    files: HashMap<Vec<u8>, PathBuf>,
    links: HashMap<Vec<u8>, Vec<u8>>,
}

impl Files {
    fn extract(archive: impl Read, directory: &Path) -> Result<Files, ImageError> {
        let damaged = |error: std::io::Error| unreadable(&error, true);
        let archive = decompress_stream(archive).map_err(|error| unreadable(&error, false))?;
        let mut reader = TarReader::new(archive, ENTRIES_MAX);
        let mut files = Files { files: HashMap::new(), links: HashMap::new() };
        let mut buffer = vec![0; 256 << 10];
        let mut is_archive = false;
        while let Some(entry) = reader.next_entry().map_err(|error| unreadable(&error, is_archive))? {
            is_archive = true;
            let Some(name) = clean(&entry.path).map(|parts| parts.join(&b'/')) else { continue };
            match entry.kind {
                EntryKind::File => {
                    let path = directory.join(format!("file-{}", files.files.len()));
                    let mut file = File::create(&path).map_err(store_error("create", &path))?;
                    let mut data = reader.data();
                    loop {
                        let count = data.read(&mut buffer).map_err(damaged)?;
                        if count == 0 {
                            break;
                        }
                        file.write_all(&buffer[..count]).map_err(store_error("write", &path))?;
                    }
                    files.files.insert(name, path);
                }
                // Old versions of Docker link layers that images share.
                EntryKind::Symlink if !entry.link.starts_with(b"/") => {
                    let parent = name.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
                    let target = [&name[..parent], &entry.link].concat();
                    if let Some(target) = clean(&target) {
                        files.links.insert(name, target.join(&b'/'));
                    }
                }
                EntryKind::HardLink => {
                    if let Some(target) = clean(&entry.link) {
                        files.links.insert(name, target.join(&b'/'));
                    }
                }
                _ => {}
            }
        }
        Ok(files)
    }

    fn has(&self, name: &str) -> bool {
        self.path(name).is_ok()
    }

    fn path(&self, name: &str) -> Result<&PathBuf, PullFailure> {
        let missing = || PullFailure::corrupt(format!("the archive lacks {name:?}"));
        let mut key = clean(name.as_bytes()).ok_or_else(missing)?.join(&b'/');
        for _ in 0..DEPTH_MAX {
            if let Some(path) = self.files.get(&key) {
                return Ok(path);
            }
            key = self.links.get(&key).ok_or_else(missing)?.clone();
        }
        Err(missing())
    }

    fn blob(&self, digest: &Digest) -> Result<&PathBuf, PullFailure> {
        self.path(&format!("blobs/sha256/{}", digest.hex()))
    }

    fn read(&self, name: &str, bytes_max: u64) -> Result<Vec<u8>, ImageError> {
        read_bounded(self.path(name).map_err(ImageError::Import)?, bytes_max)
    }

    /// A document of an OCI layout, verified.
    fn document(&self, digest: &Digest, bytes_max: u64) -> Result<Vec<u8>, ImageError> {
        let content = read_bounded(self.blob(digest).map_err(ImageError::Import)?, bytes_max)?;
        let found = Digest::of(&content);
        if found != *digest {
            let reason = format!("wrong digest: expected {digest}, found {found}");
            return Err(ImageError::Import(PullFailure::corrupt(reason)));
        }
        Ok(content)
    }
}

fn read_bounded(path: &Path, bytes_max: u64) -> Result<Vec<u8>, ImageError> {
    let size = fs::metadata(path).map_err(store_error("look at", path))?.len();
    if size > bytes_max {
        let reason = "a document of the archive is larger than allowed";
        return Err(ImageError::Import(PullFailure::corrupt(reason)));
    }
    fs::read(path).map_err(store_error("read", path))
}

fn file_size(path: &Path) -> Result<u64, ImageError> {
    Ok(fs::metadata(path).map_err(store_error("look at", path))?.len())
}

fn docker_images(files: &Files) -> Result<Vec<NewImage>, ImageError> {
    let text = files.read("manifest.json", MANIFEST_BYTES_MAX)?;
    let list: Vec<DockerImage> = serde_json::from_slice(&text).map_err(|error| {
        ImageError::Import(PullFailure::corrupt(format!("cannot read manifest.json: {error}")))
    })?;
    if list.len() > IMAGES_MAX {
        return Err(ImageError::Import(PullFailure::corrupt("the archive has too many images")));
    }
    list.into_iter().map(|image| docker_image(files, image)).collect()
}

fn docker_image(files: &Files, image: DockerImage) -> Result<NewImage, ImageError> {
    let document = files.read(&image.config, CONFIG_BYTES_MAX)?;
    let layers = image.layers.unwrap_or_default();
    let config = check_config(&document, layers.len()).map_err(ImageError::Import)?;
    let mut size = document.len() as u64;
    let mut archives = HashMap::new();
    for (chain_id, layer) in config.chain_ids().into_iter().zip(&layers) {
        let path = files.path(layer).map_err(ImageError::Import)?;
        size += file_size(path)?;
        archives.insert(chain_id, path.clone());
    }
    let tags = image.repo_tags.unwrap_or_default();
    let tags =
        tags.iter().map(|tag| Ok(reference::parse(tag)?.whole())).collect::<Result<_, ImageError>>()?;
    Ok(NewImage { document, config, size, tags, digests: Vec::new(), archives })
}

/// Collects the images of an index; `name` is its name in an outer index.
fn oci_images(
    files: &Files,
    index: &[u8],
    name: Option<&str>,
    depth: usize,
    images: &mut Vec<NewImage>,
) -> Result<(), ImageError> {
    let index = match Document::parse(index).map_err(ImageError::Import)? {
        Document::Index(index) if depth < DEPTH_MAX => index,
        _ => {
            return Err(ImageError::Import(PullFailure::corrupt(
                "index.json is not an index, or is nested too deeply",
            )));
        }
    };
    // The outermost index lists images; the ones inside list the platforms of one image.
    let listed: Vec<&Descriptor> = if depth == 0 {
        index.manifests.iter().collect()
    } else {
        vec![index.pick(name.unwrap_or("the archive")).map_err(ImageError::Import)?]
    };
    if images.len() + listed.len() > IMAGES_MAX {
        return Err(ImageError::Import(PullFailure::corrupt("the archive has too many images")));
    }
    let multi_platform = depth == 0 && is_multi_platform(&index);
    for descriptor in listed {
        let name = image_name(&descriptor.annotations).or_else(|| name.map(str::to_owned));
        let document = files.document(&descriptor.digest, MANIFEST_BYTES_MAX)?;
        let result = match Document::parse(&document).map_err(ImageError::Import)? {
            Document::Index(_) => oci_images(files, &document, name.as_deref(), depth + 1, images),
            Document::Manifest(manifest) => {
                oci_image(files, &manifest, descriptor, name.as_deref()).map(|image| images.push(image))
            }
        };
        match result {
            // One image for several platforms, listed without a separate index.
            Err(ImageError::Import(PullFailure { kind: PullErrorKind::NoMatchingPlatform, .. }))
                if multi_platform => {}
            result => result?,
        }
    }
    if images.is_empty() {
        let reason = "the archive has no image for this machine's platform";
        return Err(ImageError::Import(PullFailure::new(PullErrorKind::NoMatchingPlatform, reason)));
    }
    Ok(())
}

fn is_multi_platform(index: &Index) -> bool {
    index.manifests.iter().filter(|entry| entry.platform.is_some()).count() > 1
}

fn oci_image(
    files: &Files,
    manifest: &Manifest,
    descriptor: &Descriptor,
    name: Option<&str>,
) -> Result<NewImage, ImageError> {
    let document = files.document(&manifest.config.digest, CONFIG_BYTES_MAX)?;
    let config = check_config(&document, manifest.layers.len()).map_err(ImageError::Import)?;
    let mut size = document.len() as u64;
    let mut archives = HashMap::new();
    for (chain_id, layer) in config.chain_ids().into_iter().zip(&manifest.layers) {
        // The diff id verifies the content; an archive may leave out layers that the store has.
        if let Ok(path) = files.blob(&layer.digest) {
            size += file_size(path)?;
            archives.insert(chain_id, path.clone());
        }
    }
    let (mut tags, mut digests) = (Vec::new(), Vec::new());
    if let Some(name) = name {
        let full = reference::parse(name)?;
        digests.push(reference::with_digest(&full, &descriptor.digest));
        if full.digest().is_none() {
            tags.push(full.whole());
        }
    }
    Ok(NewImage { document, config, size, tags, digests, archives })
}

/// The image's name, unless the annotation is only a tag.
fn image_name(annotations: &BTreeMap<String, String>) -> Option<String> {
    let full = annotations.get(CONTAINERD_NAME);
    let reference = annotations.get(OCI_NAME).filter(|name| name.contains(['/', ':']));
    full.or(reference).cloned()
}
