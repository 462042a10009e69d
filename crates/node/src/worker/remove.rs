//! Releases a pod's resources, and removes its remains.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use volumes::subpath;

use crate::label;
use crate::observed::Observed;
use crate::shared::Shared;

/// The default grace period of the containers of an unknown pod.
const ORPHAN_GRACE: Duration = Duration::from_secs(30);

/// Tears down the volumes of a finished pod. Returns whether everything succeeded.
pub(super) async fn clean_up(shared: &Shared, uid: &str) -> bool {
    let directory = shared.volumes.pod_directory(uid);
    let released = shared.trees.run(move || subpath::release_all(&directory)).await;
    let result = match released {
        Ok(Ok(())) => shared.volumes.tear_down_all(uid).await.map_err(|error| error.full_message()),
        Ok(Err(error)) => Err(error.full_message()),
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = &result {
        tracing::warn!(uid, error, "cannot tear down a pod's volumes");
    }
    result.is_ok()
}

/// Removes sandboxes, containers, logs and directories of a pod. Returns whether everything succeeded.
pub(super) async fn remove(shared: &Shared, uid: &str, observed: &Observed) -> bool {
    let mut removed = true;
    let mut log_directories: Vec<_> =
        observed.all_containers().filter_map(|status| pod_log_directory(&status.log_path)).collect();
    for status in observed.all_containers() {
        unlink_log(shared, &status.id);
    }
    // A pod that was deleted early may have one without a sandbox or a container.
    log_directories.extend(own_log_directories(&shared.config.log_dir, uid));
    for sandbox in &observed.sandboxes {
        if let Err(error) = shared.runtime.remove_pod_sandbox(&sandbox.id).await {
            tracing::warn!(
                uid,
                sandbox = sandbox.id,
                error = error.full_message(),
                "cannot remove a sandbox"
            );
            removed = false;
        }
    }
    log_directories.sort();
    log_directories.dedup();
    for directory in log_directories {
        let path = directory.clone();
        if let Err(error) = shared.trees.run(move || hostfs::remove_tree(&path)).await.flatten() {
            tracing::warn!(uid, directory = %directory.display(), %error, "cannot remove the logs of a pod");
            removed = false;
        }
    }
    if let Err(error) = shared.volumes.remove_pod_directory(uid).await {
        tracing::warn!(uid, error = error.full_message(), "cannot remove the directory of a pod");
        removed = false;
    }
    shared.images.forget_pod(uid);
    shared.admitted.release(uid);
    removed
}

/// The directory of a pod's logs, from the path of a container's log in it.
fn pod_log_directory(log: &str) -> Option<std::path::PathBuf> {
    Some(Path::new(log).parent()?.parent()?.to_owned())
}

/// The directories that end in a pod's UID, as all of its logs do.
fn own_log_directories(root: &Path, uid: &str) -> Vec<std::path::PathBuf> {
    let suffix = format!("_{uid}");
    let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
    let own = entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(&suffix));
    own.map(|entry| entry.path()).collect()
}

/// Removes the links to a container's log.
pub(super) fn unlink_log(shared: &Shared, container_id: &str) {
    let Some(directory) = &shared.config.log_links_dir else { return };
    let suffix = format!("-{container_id}.log");
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().ends_with(&suffix) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Stops and removes the remains of a pod that the API server does not know.
pub(crate) async fn remove_orphan(shared: Arc<Shared>, uid: String) {
    let observed = match Observed::ask(&shared.engine, &uid).await {
        Ok(observed) => observed,
        Err(error) => {
            tracing::warn!(
                uid,
                error = error.full_message(),
                "cannot query the engine about an orphaned pod"
            );
            return;
        }
    };
    tracing::info!(uid, "removing a pod that the API server does not know");
    let stops = observed.running().map(|status| {
        let grace = status.annotations.get(label::GRACE_PERIOD).and_then(|seconds| seconds.parse().ok());
        let grace = grace.map_or(ORPHAN_GRACE, Duration::from_secs);
        shared.runtime.stop_container(&status.id, grace)
    });
    for result in futures::future::join_all(stops).await {
        if let Err(error) = result {
            tracing::warn!(uid, error = error.full_message(), "cannot stop an orphaned container");
        }
    }
    for sandbox in &observed.sandboxes {
        if let Err(error) = shared.runtime.stop_pod_sandbox(&sandbox.id).await {
            tracing::warn!(uid, error = error.full_message(), "cannot stop an orphaned sandbox");
        }
    }
    if clean_up(&shared, &uid).await {
        remove(&shared, &uid, &observed).await;
    }
}
