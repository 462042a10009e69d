//! Pulling an image: resolve, fetch missing content, add it to the store.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use oci_client::{Reference, RegistryOperation};

use super::error::PullFailure;
use super::install::{Installed, NewImage};
use super::manifest::{CONFIG_BYTES_MAX, Descriptor, Document, ImageConfig, Manifest, Platform};
use super::registry::Registry;
use super::{PullPhase, Reporter, Store, blocking, reference};
use crate::digest::Digest;
use crate::snapshot::LAYERS_MAX;
use cri::{AuthConfig, PullErrorKind};

/// Layers that are fetched at the same time, as Docker and containerd do.
const DOWNLOADS_MAX: usize = 3;
/// How often to start again when layers are removed in the meantime.
const ROUNDS_MAX: usize = 3;

/// Pulls an image and returns its ID.
pub(super) async fn pull(
    store: Arc<Store>,
    name: Reference,
    auth: Option<AuthConfig>,
    reporter: Reporter,
) -> Result<Digest, PullFailure> {
    reporter.phase(PullPhase::Resolving);
    let registry = Registry::new(&name, auth.as_ref(), &store.insecure_registries)?;
    registry.log_in(RegistryOperation::Pull).await?;
    let (document, target) = registry.resolve().await?;
    let tags = if name.digest().is_some() { Vec::new() } else { vec![name.whole()] };
    let digests = vec![reference::with_digest(&name, &target)];

    let known = store.index.load()?.find(&digests[0]).cloned();
    if let Some(id) = known {
        let (store, tags, digests) = (store.clone(), tags.clone(), digests.clone());
        let found = id.clone();
        if blocking(move || store.rename(&found, &tags, &digests)).await? {
            return Ok(id);
        }
    }
    let manifest = pick_manifest(&registry, &document, &name).await?;
    let document = registry.small_blob(&manifest.config, CONFIG_BYTES_MAX).await?;
    let config = check_config(&document, manifest.layers.len())?;
    // The sizes in a manifest are not trusted.
    let sizes = manifest.layers.iter().map(|layer| layer.size);
    let size = sizes.fold(manifest.config.size, u64::saturating_add);
    let chain = config.chain_ids();
    let mut image = NewImage { document, config, size, tags, digests, archives: HashMap::new() };
    // Removed with everything in it when the pull ends, however it ends.
    let ingest = Arc::new(store.new_ingest_directory()?);
    for _ in 0..ROUNDS_MAX {
        let index = store.index.load()?;
        let wanted: Vec<(Digest, Descriptor)> = chain
            .iter()
            .zip(&manifest.layers)
            .filter(|(chain_id, _)| {
                !index.layers.contains_key(*chain_id) && !image.archives.contains_key(*chain_id)
            })
            .map(|(chain_id, layer)| (chain_id.clone(), layer.clone()))
            .collect();
        download(&registry, ingest.path(), wanted, &reporter, &mut image.archives).await?;
        let (installer, progress, keep) = (store.clone(), reporter.clone(), ingest.clone());
        let (result, returned) = blocking(move || {
            let result = installer.install(&image, &progress);
            // If the pull is dropped now, the directory must outlive the unpacking.
            drop(keep);
            Ok((result, image))
        })
        .await?;
        match result? {
            Installed::Done(id) => {
                reporter.phase(PullPhase::Done);
                return Ok(id);
            }
            Installed::Missing(layers) => {
                tracing::debug!(image = %name, ?layers, "layers disappeared during the pull");
                image = returned;
            }
        }
    }
    Err(PullFailure::new(PullErrorKind::Local, "layers were removed again and again during the pull"))
}

async fn pick_manifest(
    registry: &Registry,
    document: &[u8],
    name: &Reference,
) -> Result<Manifest, PullFailure> {
    let index = match Document::parse(document)? {
        Document::Manifest(manifest) => return Ok(manifest),
        Document::Index(index) => index,
    };
    let picked = registry.manifest_of(index.pick(&name.whole())?).await?;
    match Document::parse(&picked)? {
        Document::Manifest(manifest) => Ok(manifest),
        Document::Index(_) => Err(PullFailure::corrupt("an index inside an index")),
    }
}

/// Reads a configuration and checks it against its manifest and this machine.
pub(super) fn check_config(document: &[u8], layers: usize) -> Result<ImageConfig, PullFailure> {
    let config = ImageConfig::parse(document)
        .map_err(|error| PullFailure::corrupt(format!("cannot read the image's configuration: {error}")))?;
    if config.diff_ids.len() != layers {
        return Err(PullFailure::corrupt(format!(
            "mismatched image rootfs and manifest layers: {} and {layers}",
            config.diff_ids.len()
        )));
    }
    if layers > LAYERS_MAX {
        return Err(PullFailure::corrupt(format!("{layers} layers are too many")));
    }
    let host = Platform::host();
    let fits = (config.os.is_empty() || config.os == host.os)
        && (config.architecture.is_empty() || config.architecture == host.architecture);
    if !fits {
        let reason = format!(
            "the image is for {}/{}, this machine is {}/{}",
            config.os, config.architecture, host.os, host.architecture
        );
        return Err(PullFailure::new(PullErrorKind::NoMatchingPlatform, reason));
    }
    Ok(config)
}

async fn download(
    registry: &Registry,
    directory: &std::path::Path,
    wanted: Vec<(Digest, Descriptor)>,
    reporter: &Reporter,
    archives: &mut HashMap<Digest, PathBuf>,
) -> Result<(), PullFailure> {
    if wanted.is_empty() {
        return Ok(());
    }
    let bytes = wanted.iter().fold(0, |sum: u64, (_, layer)| sum.saturating_add(layer.size));
    reporter.expect(wanted.len(), bytes);
    let downloads = wanted.into_iter().map(|(chain_id, layer)| async move {
        // Two layers of one image may have the same content; each has its own chain id.
        let path = directory.join(chain_id.hex());
        let failed = |error: std::io::Error| {
            PullFailure::new(PullErrorKind::Local, format!("write {}: {error}", path.display()))
        };
        let mut file = tokio::fs::File::create(&path).await.map_err(failed)?;
        registry.blob(&layer, &mut file, |bytes| reporter.received(bytes)).await?;
        reporter.layer_done();
        Ok::<_, PullFailure>((chain_id, path))
    });
    let done: Vec<(Digest, PathBuf)> =
        stream::iter(downloads).buffer_unordered(DOWNLOADS_MAX).try_collect().await?;
    archives.extend(done);
    Ok(())
}
