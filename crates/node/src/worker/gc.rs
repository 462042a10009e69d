//! Removal of dead containers and sandboxes that are no longer needed.

use std::path::Path;

use cri::{ContainerState, ContainerStatus, PodSandboxState};

use super::context::Context;
use super::remove::unlink_log;
use crate::label;
use crate::observed::Observed;

/// How many dead containers of each name stay, for their logs.
const DEAD_PER_NAME: usize = 1;

/// The removable containers and sandboxes.
#[derive(Debug, Default, PartialEq, Eq)]
struct Surplus {
    /// IDs, with the paths of their logs and of the files for their messages.
    containers: Vec<(String, String, Option<String>)>,
    sandboxes: Vec<String>,
}

fn surplus(observed: &Observed) -> Surplus {
    let mut surplus = Surplus::default();
    let mut used = Vec::new();
    for statuses in observed.containers.values() {
        let mut dead = 0;
        for status in statuses {
            let is_dead = matches!(status.state, ContainerState::Exited | ContainerState::Unknown);
            dead += usize::from(is_dead);
            if is_dead && dead > DEAD_PER_NAME {
                surplus.containers.push((status.id.clone(), status.log_path.clone(), message_file(status)));
            } else {
                used.push(status.pod_sandbox_id.as_str());
            }
        }
    }
    let old = observed.sandboxes.iter().skip(1).filter(|sandbox| sandbox.state == PodSandboxState::NotReady);
    surplus.sandboxes =
        old.filter(|old| !used.contains(&old.id.as_str())).map(|old| old.id.clone()).collect();
    surplus
}

/// The file with a container's message, wherever it is.
fn message_file(status: &ContainerStatus) -> Option<String> {
    let path = status.annotations.get(label::MESSAGE_PATH)?;
    let mount = status.mounts.iter().find(|mount| mount.container_path == *path)?;
    Some(mount.host_path.clone())
}

/// Removes the pod's removable dead containers.
pub(super) async fn collect(context: &Context) {
    let shared = &context.shared;
    let Ok(observed) = Observed::ask(&shared.engine, &context.pod.uid).await else { return };
    let surplus = surplus(&observed);
    let own_files = shared.volumes.pod_directory(&context.pod.uid).join("containers");
    for (id, log, message) in surplus.containers {
        match shared.runtime.remove_container(&id).await {
            Ok(()) => {
                unlink_log(shared, &id);
                let message = message.filter(|path| Path::new(path).starts_with(&own_files));
                let removal = move || {
                    crate::logs::remove_all(log.as_ref());
                    message.map_or(Ok(()), |path| hostfs::remove_tree(path.as_ref()))
                };
                if let Err(error) = shared.trees.run(removal).await.flatten() {
                    tracing::warn!(pod = %context.pod.key, container = id, %error, "cannot remove a container's files");
                }
            }
            Err(error) => {
                tracing::warn!(pod = %context.pod.key, container = id, error = error.full_message(), "cannot remove a container");
            }
        }
    }
    for id in surplus.sandboxes {
        if let Err(error) = shared.runtime.remove_pod_sandbox(&id).await {
            tracing::warn!(pod = %context.pod.key, sandbox = id, error = error.full_message(), "cannot remove a sandbox");
        }
    }
}
