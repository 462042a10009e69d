//! What the files of a directory describe, read again when they have changed.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Manifests;
use super::load::{Loaded, ManifestError, load};
use super::metrics::ManifestMetrics;
use super::owner::Owner;
use super::watch::Watch;

/// What a plugin has made of its manifests. It follows the files for as long as it lives.
pub(in crate::admission) struct Source<T> {
    owner: Owner,
    directory: PathBuf,
    make: fn(Loaded) -> T,
    current: ArcSwap<T>,
    /// Of the files that are in force.
    hash: Mutex<String>,
    metrics: ManifestMetrics,
    _stop: DropGuard,
}

impl<T: Send + Sync + 'static> Source<T> {
    /// Reads the manifests of a plugin, if it has any, and follows them from now on.
    ///
    /// # Errors
    /// Why they cannot be used.
    pub(in crate::admission) fn start(
        manifests: &Manifests,
        owner: Owner,
        make: fn(Loaded) -> T,
    ) -> Result<Option<Arc<Source<T>>>, ManifestError> {
        let Some(directory) = manifests.directories.of(owner) else { return Ok(None) };
        // Before they are read, so that no change is missed.
        let watch = Watch::new(directory);
        let loaded = load(owner, directory)?;
        let hash = loaded.hash.clone();
        manifests.metrics.loaded(owner, &hash);
        let stop = CancellationToken::new();
        let source = Arc::new(Source {
            owner,
            directory: directory.to_owned(),
            make,
            current: ArcSwap::from_pointee(make(loaded)),
            hash: Mutex::new(hash),
            metrics: manifests.metrics.clone(),
            _stop: stop.clone().drop_guard(),
        });
        match watch {
            Ok(watch) => {
                tokio::spawn(follow(watch, Arc::downgrade(&source), stop));
            }
            Err(error) => unwatched(owner, directory, &error),
        }
        Ok(Some(source))
    }

    /// What is in force.
    pub(in crate::admission) fn current(&self) -> Arc<T> {
        self.current.load_full()
    }

    fn reload(&self) {
        let (owner, directory) = (self.owner, &self.directory);
        match load(owner, directory) {
            Ok(loaded) => {
                let mut hash = self.hash.lock();
                if loaded.hash == *hash {
                    return;
                }
                hash.clone_from(&loaded.hash);
                self.current.store(Arc::new((self.make)(loaded)));
                self.metrics.loaded(owner, &hash);
                tracing::info!(
                    plugin = owner.plugin(),
                    directory = %directory.display(),
                    "reloaded admission manifests"
                );
            }
            Err(error) => {
                self.metrics.failed(owner);
                tracing::error!(
                    plugin = owner.plugin(),
                    directory = %directory.display(),
                    error = causes::chain(&error),
                    "cannot reload admission manifests; those from before stay in force"
                );
            }
        }
    }
}

fn unwatched(owner: Owner, directory: &Path, error: &std::io::Error) {
    tracing::warn!(
        plugin = owner.plugin(),
        directory = %directory.display(),
        %error,
        "cannot watch admission manifests; changes take effect when the server starts again"
    );
}

/// Reloads after each change, until the source is gone.
async fn follow<T: Send + Sync + 'static>(watch: Watch, source: Weak<Source<T>>, stop: CancellationToken) {
    loop {
        let changed = tokio::select! {
            () = stop.cancelled() => return,
            changed = watch.changed() => changed,
        };
        let Some(source) = source.upgrade() else { return };
        if let Err(error) = changed {
            return unwatched(source.owner, &source.directory, &error);
        }
        // Expressions are compiled to check them: apart from the threads that serve requests.
        let done = tokio::task::spawn_blocking(move || source.reload()).await;
        // The runtime is at its end.
        if done.is_err() {
            return;
        }
    }
}
