//! The volumes of a pod and the files that the agent itself puts into containers.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use client::EventType;
use cri::{ImageSpec, PodSandboxConfig};
use jiff::Timestamp;

use super::context::Context;
use crate::images::Wanted;
use crate::spec::{PodMounts, SpecError, hosts_file};

/// Sets up all volumes; returns when one of them must be set up again. Failures are reported as events, and nothing can
/// start then.
pub(super) async fn set_up(context: &Context) -> Option<(PodMounts, Option<Timestamp>)> {
    let Context { shared, pod, .. } = context;
    let node = shared.node();
    let mut mounts = PodMounts::default();
    let mut refresh_at: Option<Timestamp> = None;
    let mut failed = false;
    for (volume, result) in shared.volumes.set_up(&pod.pod, &node).await {
        match result {
            Ok(Some(mounted)) => {
                refresh_at = refresh_at.into_iter().chain(mounted.refresh_at).min();
                mounts.volumes.insert(volume, mounted);
            }
            Ok(None) => {}
            Err(error) => {
                failed = true;
                let message =
                    format!("MountVolume.SetUp failed for volume {volume:?} : {}", error.full_message());
                shared.pod_event(pod, EventType::Warning, "FailedMount", message);
            }
        }
    }
    (!failed).then_some((mounts, refresh_at))
}

/// Gets the images of image volumes (KEP-4639).
pub(super) async fn pull_image_volumes(
    context: &Context,
    sandbox: &PodSandboxConfig,
    mounts: &mut PodMounts,
) -> Result<(), crate::images::Failure> {
    let Context { shared, pod, .. } = context;
    let about = pod.reference();
    for volume in pod.spec().volumes.iter().flatten() {
        let Some(source) = &volume.image else { continue };
        let image = source.reference.as_deref().unwrap_or_default();
        let policy = source.pull_policy.as_deref().unwrap_or_default();
        let ready = shared.images.ensure(Wanted { pod, image, policy, about: &about, sandbox }).await?;
        let spec = ImageSpec {
            image: ready.reference,
            user_specified_image: image.to_owned(),
            ..ImageSpec::default()
        };
        mounts.images.insert(volume.name.clone(), spec);
    }
    Ok(())
}

/// Writes the pod's `/etc/hosts`.
pub(super) fn write_hosts_file(context: &Context, ips: &[String]) -> Result<PathBuf, SpecError> {
    let Context { shared, pod, .. } = context;
    let path = shared.volumes.pod_directory(&pod.uid).join("etc-hosts");
    let host =
        if pod.host_network() { fs::read_to_string("/etc/hosts").unwrap_or_default() } else { String::new() };
    let text = hosts_file(pod, ips, &shared.config.cluster_domain, &host);
    write(&path, text.as_bytes(), 0o644)?;
    Ok(path)
}

/// Creates the empty file in which a container may leave a message.
pub(super) fn make_termination_log(context: &Context, container: &str) -> Result<PathBuf, SpecError> {
    let Context { shared, pod, .. } = context;
    let name = format!("{:08x}", shared.clock.random_u64() >> 32);
    let path = shared.volumes.pod_directory(&pod.uid).join("containers").join(container).join(name);
    // The container's user, whoever it is, must be able to write to it.
    write(&path, b"", 0o666)?;
    Ok(path)
}

fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), SpecError> {
    let write = || {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, content)?;
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
    };
    write().map_err(|source| SpecError::File { path: path.display().to_string(), source })
}
