//! Rotates logs that have grown too long (`kubelet/logs/container_log_manager.go`).
//!
//! `0.log` becomes `0.log.<time>`; all but the newest of those are compressed. The engine then reopens the log. The
//! sizes are polled, because nothing reports them.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cri::{ContainerFilter, ContainerState, CriError};
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use rustix::fs::OFlags;

use crate::config::NodeConfig;
use crate::logs::{self, rotated};
use crate::shared::Shared;

/// How often the sizes are checked.
const PERIOD: Duration = Duration::from_secs(10);
const COMPRESSED: &str = "gz";

/// Rotates the logs of all running containers, until it is dropped.
pub(crate) async fn run(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(PERIOD).await;
        match rotate_all(&shared).await {
            Ok(()) => {}
            Err(error) if error.is_unimplemented() => {
                tracing::info!("the engine cannot reopen logs and must rotate them itself");
                return;
            }
            Err(error) => {
                tracing::warn!(error = error.full_message(), "cannot check the containers' logs");
            }
        }
    }
}

async fn rotate_all(shared: &Shared) -> Result<(), CriError> {
    let filter = ContainerFilter { state: Some(ContainerState::Running), ..ContainerFilter::default() };
    for container in shared.runtime.list_containers(&filter).await? {
        let Ok(status) = shared.runtime.container_status(&container.id).await else { continue };
        if status.log_path.is_empty() {
            continue;
        }
        let path = PathBuf::from(status.log_path);
        let (limits, now) = (Limits::of(&shared.config), shared.clock.now());
        let file = path.clone();
        match shared.trees.run(move || look_after(&file, limits, now)).await.flatten() {
            Ok(Some(rotated)) => {
                if let Err(error) = shared.runtime.reopen_container_log(&container.id).await {
                    // The engine continues writing to it. Its name may be taken by now.
                    let _ = shared.trees.run(move || restore(&path, &rotated)).await;
                    return Err(error);
                }
            }
            Ok(None) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(log = %path.display(), %error, "cannot rotate a log"),
        }
    }
    Ok(())
}

/// The maximum size of a log.
#[derive(Clone, Copy, Debug)]
struct Limits {
    bytes_max: u64,
    files_max: usize,
}

impl Limits {
    fn of(config: &NodeConfig) -> Limits {
        Limits { bytes_max: config.log_bytes_max, files_max: config.log_files_max }
    }
}

/// Rotates a log if it is too long, and compresses files that were rotated before, for example by the engine. Returns
/// the rotated log's name, if the engine must reopen the log. Blocks.
fn look_after(path: &Path, limits: Limits, now: Timestamp) -> io::Result<Option<OsString>> {
    let (_directory, path) = logs::directory(path)?;
    let is_long = fs::symlink_metadata(&path)?.len() >= limits.bytes_max;
    match is_long {
        true => rotate(&path, limits.files_max, now).map(Some),
        false => tidy_up(&path, limits.files_max, 1).map(|()| None),
    }
}

/// Makes room for a new file at `path`: `files_max - 1` old ones stay.
fn rotate(path: &Path, files_max: usize, now: Timestamp) -> io::Result<OsString> {
    tidy_up(path, files_max.saturating_sub(1), 0)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(now.strftime(".%Y%m%d-%H%M%S").to_string());
    fs::rename(path, path.with_file_name(&name))?;
    Ok(name)
}

/// Restores a log's name. Blocks.
fn restore(path: &Path, rotated: &OsStr) -> io::Result<()> {
    let (_directory, path) = logs::directory(path)?;
    fs::rename(path.with_file_name(rotated), path)
}

/// Removes all but `files_max - 1` old files, and compresses them except the newest `plain` ones, which may still be
/// read. The engine may rotate at the same time, so files that have disappeared are ignored.
fn tidy_up(path: &Path, files_max: usize, plain: usize) -> io::Result<()> {
    let old = rotated(path);
    let surplus = old.len().saturating_sub(files_max.saturating_sub(1));
    for file in &old[..surplus] {
        hostfs::remove_tree(file)?;
    }
    let kept = &old[surplus..];
    for file in &kept[..kept.len().saturating_sub(plain)] {
        if file.extension().is_none_or(|extension| extension != COMPRESSED) {
            match compress(file) {
                // Anything that is not a file is not a log, and must not prevent rotation.
                Err(error) if error.kind() == io::ErrorKind::InvalidData => hostfs::remove_tree(file)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                result => result?,
            }
        }
    }
    Ok(())
}

fn compress(file: &Path) -> io::Result<()> {
    let (Some(directory), Some(name)) = (file.parent(), file.file_name()) else { return Ok(()) };
    let mut source = hostfs::open_regular(directory, Path::new(name), OFlags::RDONLY)?;
    let with = |extension: &str| {
        let mut name = file.as_os_str().to_owned();
        name.push(extension);
        PathBuf::from(name)
    };
    let unfinished = with(".tmp");
    hostfs::remove_tree(&unfinished)?;
    // It must be created exactly here: a link in its place would lead elsewhere.
    let target = fs::File::create_new(&unfinished)?;
    let mut encoder = GzEncoder::new(target, Compression::default());
    io::copy(&mut source, &mut encoder)?;
    encoder.finish()?.sync_all()?;
    fs::rename(&unfinished, with(&format!(".{COMPRESSED}")))?;
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

    #[test]
    fn what_lies_in_a_logs_place_is_not_read_or_written_through() {
        let dir = tempfile::tempdir().unwrap();
        let logs = dir.path().join("pod/container");
        fs::create_dir_all(&logs).unwrap();
        let victim = dir.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        let limits = Limits { bytes_max: 4, files_max: 3 };
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let path = logs.join("0.log");
        // The engine rotated; there is a link at the path of the compressed file, and a FIFO in place of a log.
        fs::write(&path, "").unwrap();
        fs::write(logs.join("0.log.20270101-000000"), "text").unwrap();
        std::os::unix::fs::symlink(&victim, logs.join("0.log.20270101-000000.tmp")).unwrap();
        fs::write(logs.join("0.log.20270102-000000"), "text").unwrap();
        for _ in 0..2 {
            // The link counts as a rotated file and is removed first.
            look_after(&path, limits, now).unwrap();
        }
        let names: Vec<_> = rotated(&path).iter().map(|path| path.file_name().unwrap().to_owned()).collect();
        assert!(names.len() <= 2, "{names:?}");
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            logs.join("0.log.20270101-000000"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        look_after(&path, Limits { bytes_max: 4, files_max: 9 }, now).unwrap();
        assert!(!logs.join("0.log.20270101-000000").exists(), "it was not a log");
        // A directory that was swapped for a link is not entered.
        fs::rename(&logs, dir.path().join("pod/moved")).unwrap();
        std::os::unix::fs::symlink(dir.path().join("pod/moved"), &logs).unwrap();
        assert!(look_after(&path, limits, now).is_err());
    }
}
