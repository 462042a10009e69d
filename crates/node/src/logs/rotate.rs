//! Rotates logs that have grown too long (`kubelet/logs/container_log_manager.go`).
//!
//! `0.log` becomes `0.log.<time>`; all but the newest of those are compressed. The engine then opens the log anew.
//! The sizes are looked at from time to time, as nothing tells of them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use runtime::cri::{ContainerFilter, ContainerState, CriError};

use super::rotated;
use crate::shared::Shared;

/// How often the sizes are looked at.
const PERIOD: Duration = Duration::from_secs(10);
const COMPRESSED: &str = "gz";

/// Rotates the logs of all running containers, as long as it is not dropped.
pub(crate) async fn run(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(PERIOD).await;
        if let Err(error) = rotate_all(&shared).await {
            tracing::warn!(error = error.full_message(), "cannot look at the containers' logs");
        }
    }
}

async fn rotate_all(shared: &Shared) -> Result<(), CriError> {
    let filter = ContainerFilter { state: Some(ContainerState::Running), ..ContainerFilter::default() };
    for container in shared.runtime.list_containers(&filter).await? {
        let Ok(status) = shared.runtime.container_status(&container.id).await else { continue };
        let path = PathBuf::from(status.log_path);
        if !fs::metadata(&path).is_ok_and(|meta| meta.len() >= shared.config.log_bytes_max) {
            continue;
        }
        let (files_max, now) = (shared.config.log_files_max, shared.clock.now());
        let file = path.clone();
        let rotated = tokio::task::spawn_blocking(move || rotate(&file, files_max, now)).await;
        match rotated.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(()) => shared.runtime.reopen_container_log(&container.id).await?,
            Err(error) => tracing::warn!(log = %path.display(), %error, "cannot rotate a log"),
        }
    }
    Ok(())
}

/// Makes room for a new file at `path`: of the old ones `files_max - 1` stay.
fn rotate(path: &Path, files_max: usize, now: Timestamp) -> io::Result<()> {
    let old = rotated(path);
    let keep = files_max.saturating_sub(2);
    for surplus in &old[..old.len().saturating_sub(keep)] {
        fs::remove_file(surplus)?;
    }
    for file in &old[old.len().saturating_sub(keep)..] {
        if file.extension().is_none_or(|extension| extension != COMPRESSED) {
            compress(file)?;
        }
    }
    let mut name = path.as_os_str().to_owned();
    name.push(now.strftime(".%Y%m%d-%H%M%S").to_string());
    fs::rename(path, name)
}

fn compress(file: &Path) -> io::Result<()> {
    let mut name = file.as_os_str().to_owned();
    name.push(".tmp");
    let unfinished = PathBuf::from(name);
    let mut encoder = GzEncoder::new(fs::File::create(&unfinished)?, Compression::default());
    io::copy(&mut fs::File::open(file)?, &mut encoder)?;
    encoder.finish()?.sync_all()?;
    let mut name = file.as_os_str().to_owned();
    name.push(format!(".{COMPRESSED}"));
    fs::rename(&unfinished, name)?;
    fs::remove_file(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_files_are_compressed_and_the_oldest_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        for second in 0..6 {
            fs::write(&path, format!("{second}")).unwrap();
            rotate(&path, 4, Timestamp::from_second(1_800_000_000 + second).unwrap()).unwrap();
        }
        let names: Vec<_> = rotated(&path)
            .iter()
            .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
            .collect();
        let expected = ["0.log.20270115-080003.gz", "0.log.20270115-080004.gz", "0.log.20270115-080005"];
        assert_eq!(names, expected);
        assert!(!path.exists());
    }
}
