//! `ironhull reset`: restores the host to its previous state.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use clock::Clock;
use network::ResetNetwork;

use crate::image::open_store;

/// Stops this machine's pods and removes everything that was created for `data_dir`.
///
/// # Errors
/// The part that could not be removed; a second call continues where this one stopped.
pub async fn run(data_dir: &Path) -> anyhow::Result<()> {
    if !data_dir.exists() {
        println!("nothing to remove: {} does not exist", data_dir.display());
        return Ok(());
    }
    let clock = Clock::system();
    let images = Arc::new(open_store(data_dir, clock.clone())?);
    runtime::engine::reset(&data_dir.join("engine"), Arc::clone(&images) as _, Arc::new(ResetNetwork), clock)
        .await
        .context("cannot stop the containers")?;
    for id in images.rootfs_ids().context("cannot read the file systems of containers")? {
        images.remove_rootfs(&id).await.with_context(|| format!("cannot unmount {id}"))?;
    }
    drop(images);
    network::reset(&data_dir.join("network")).await.context("cannot remove the pod network")?;
    let table = network::PolicyConfig::new("", data_dir).table;
    network::reset_policies(&table).await.context("cannot remove the rules of network policies")?;
    let table = proxy::ProxyConfig::new("", Vec::new()).table;
    proxy::reset(&table, &data_dir.join(proxy::SETTINGS_JOURNAL))
        .await
        .context("cannot take the proxy back")?;
    unmount_below(data_dir).context("cannot unmount the pods' volumes")?;
    std::fs::remove_dir_all(data_dir).with_context(|| format!("cannot remove {}", data_dir.display()))?;
    println!("removed everything that Ironhull had created on this machine");
    Ok(())
}

/// Unmounts everything below a directory, the newest mounts first.
fn unmount_below(directory: &Path) -> anyhow::Result<()> {
    let directory = directory.canonicalize()?;
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4)).map(unescape);
    let ours: Vec<PathBuf> =
        points.filter(|point| point.starts_with(&directory) && *point != directory).collect();
    for point in ours.iter().rev() {
        rustix::mount::unmount(point, rustix::mount::UnmountFlags::DETACH)
            .with_context(|| format!("unmount {}", point.display()))?;
    }
    Ok(())
}

/// Undoes the octal escapes of the kernel's lists of mounts.
fn unescape(text: &str) -> PathBuf {
    let escapes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    PathBuf::from(escapes.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_mounts_are_unescaped() {
        assert_eq!(unescape("/a\\040b\\134c"), Path::new("/a b\\c"));
    }
}
