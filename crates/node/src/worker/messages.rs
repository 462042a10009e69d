//! Termination messages of containers: `terminationMessagePath` and its policy (upstream's `getTerminationMessage`).
//!
//! A container controls the type and length of its file, and may change it while it is read; so the file is opened only
//! if it is regular, only its first part is read, and on a thread that nothing else waits for.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use cri::{ContainerState, ContainerStatus};
use hostfs::Lane;

use crate::label;
use crate::logs;
use crate::observed::Observed;

/// The maximum length of a message, in bytes: the end of a longer file is used.
const MESSAGE_BYTES_MAX: u64 = 4096;
/// How much of a log is used as a fallback message.
const LOG_BYTES_MAX: usize = 2048;
const LOG_LINES_MAX: usize = 80;
/// How long reading may take.
const READ_WITHIN: Duration = Duration::from_secs(5);

/// The messages of all ended containers, by ID; known ones are not read again.
pub(super) async fn collect(
    observed: &Observed,
    mut known: BTreeMap<String, String>,
    lane: &Lane,
) -> BTreeMap<String, String> {
    let ended = observed.all_containers().filter(|status| status.state == ContainerState::Exited);
    let mut messages = BTreeMap::new();
    let mut unread = Vec::new();
    for status in ended {
        match known.remove(&status.id) {
            Some(message) => drop(messages.insert(status.id.clone(), message)),
            None => unread.push(Source::of(status)),
        }
    }
    if unread.is_empty() {
        return messages;
    }
    let ids: Vec<String> = unread.iter().map(|source| source.id.clone()).collect();
    let read =
        lane.run_within(READ_WITHIN, move || unread.into_iter().map(Source::read).collect::<Vec<_>>()).await;
    match read {
        Ok(texts) => messages.extend(ids.into_iter().zip(texts)),
        Err(error) => {
            let text = format!("Error on reading termination log: {error}");
            messages.extend(ids.into_iter().map(|id| (id, text.clone())));
        }
    }
    messages
}

/// The possible sources of a container's message.
struct Source {
    id: String,
    file: Option<PathBuf>,
    /// The log, if it is the fallback for a missing message.
    log: Option<PathBuf>,
}

impl Source {
    fn of(status: &ContainerStatus) -> Source {
        let path = status.annotations.get(label::MESSAGE_PATH);
        let mount = path.and_then(|path| status.mounts.iter().find(|mount| mount.container_path == *path));
        let policy = status.annotations.get(label::MESSAGE_POLICY);
        let falls_back =
            policy.is_some_and(|policy| policy == "FallbackToLogsOnError") && status.exit_code != 0;
        Source {
            id: status.id.clone(),
            file: mount.map(|mount| PathBuf::from(&mount.host_path)),
            log: falls_back.then(|| PathBuf::from(&status.log_path)),
        }
    }

    fn read(self) -> String {
        let message = match &self.file {
            None => Vec::new(),
            Some(path) => match hostfs::read_tail(path, MESSAGE_BYTES_MAX) {
                Ok(message) => message,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
                Err(error) => return format!("Error on reading termination log {}: {error}", path.display()),
            },
        };
        match self.log {
            Some(log) if message.is_empty() => logs::tail_text(&log, LOG_LINES_MAX, LOG_BYTES_MAX),
            _ => String::from_utf8_lossy(&message).into_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{container, observed};
    use cri::Mount;
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    use std::os::unix::fs::symlink;
    use std::path::Path;

    async fn message(file: &Path, log: Option<&Path>) -> String {
        let mut status = container("c", 0, 0, ContainerState::Exited, 1);
        status.annotations.insert(label::MESSAGE_PATH.to_owned(), "/dev/termination-log".to_owned());
        status.mounts = vec![Mount {
            container_path: "/dev/termination-log".to_owned(),
            host_path: file.to_string_lossy().into_owned(),
            ..Mount::default()
        }];
        if let Some(log) = log {
            status.annotations.insert(label::MESSAGE_POLICY.to_owned(), "FallbackToLogsOnError".to_owned());
            status.log_path = log.to_string_lossy().into_owned();
        }
        let id = status.id.clone();
        let observed = observed(Vec::new(), vec![status]);
        let lane = Lane::new(1);
        let read = collect(&observed, BTreeMap::new(), &lane);
        tokio::time::timeout(Duration::from_secs(20), read).await.unwrap().remove(&id).unwrap()
    }

    /// A FIFO used to block the thread that read it, and three of them the node.
    #[tokio::test]
    async fn whatever_lies_in_the_files_place_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        mknodat(CWD, path("fifo"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        std::fs::create_dir(path("directory")).unwrap();
        symlink("/etc/hostname", path("link")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
        for name in ["fifo", "directory", "link", "socket"] {
            let text = message(&path(name), None).await;
            assert!(text.starts_with("Error on reading termination log "), "{name}: {text}");
        }
        let text = message(Path::new("/dev/zero"), None).await;
        assert!(text.ends_with("not a regular file"), "{text}");
        assert_eq!(message(&path("none"), None).await, "");
    }

    #[tokio::test]
    async fn a_message_is_the_end_of_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("message");
        std::fs::write(&path, [vec![b'a'; 10_000], b"the end".to_vec()].concat()).unwrap();
        let text = message(&path, None).await;
        assert!(text.len() == 4096 && text.ends_with("athe end"), "{text}");
        let file = std::fs::File::create(&path).unwrap();
        file.set_len(1 << 42).unwrap();
        assert_eq!(message(&path, None).await.len(), 4096);
    }

    #[tokio::test]
    async fn the_end_of_a_huge_log_stands_in() {
        let dir = tempfile::tempdir().unwrap();
        let (empty, log) = (dir.path().join("message"), dir.path().join("0.log"));
        std::fs::write(&empty, "").unwrap();
        let line = format!("2026-07-01T12:00:00Z stdout P {}\n", "x".repeat(16 << 10));
        std::fs::write(&log, line.repeat(64) + "2026-07-01T12:00:00Z stdout F end\n").unwrap();
        let text = message(&empty, Some(&log)).await;
        assert!(text.len() == 2048 && text.ends_with("xxend\n"), "{text}");
        std::fs::remove_file(&log).unwrap();
        mknodat(CWD, &log, FileType::Fifo, Mode::RUSR, 0).unwrap();
        assert_eq!(message(&empty, Some(&log)).await, "");
    }
}
