//! What containers leave behind when they end: `terminationMessagePath` and its policy.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;

use runtime::cri::{ContainerState, ContainerStatus};

use crate::logs;
use crate::observed::{Observed, label};

/// The longest message, in bytes.
const MESSAGE_BYTES_MAX: u64 = 4096;
/// How much of a log stands in for a message.
const LOG_BYTES_MAX: usize = 2048;
const LOG_LINES_MAX: usize = 80;

/// The messages of all ended containers by id; those that are known already are not read again.
pub(super) fn collect(observed: &Observed, mut known: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let ended = observed.all_containers().filter(|status| status.state == ContainerState::Exited);
    ended
        .map(|status| {
            let message = known.remove(&status.id).unwrap_or_else(|| read(status));
            (status.id.clone(), message)
        })
        .collect()
}

fn read(status: &ContainerStatus) -> String {
    let path = status.annotations.get(label::MESSAGE_PATH);
    let mount = path.and_then(|path| status.mounts.iter().find(|mount| mount.container_path == *path));
    let mut message = Vec::new();
    if let Some(file) = mount.and_then(|mount| File::open(&mount.host_path).ok()) {
        // What cannot be read is no message.
        let _ = file.take(MESSAGE_BYTES_MAX).read_to_end(&mut message);
    }
    let falls_back =
        status.annotations.get(label::MESSAGE_POLICY).is_some_and(|policy| policy == "FallbackToLogsOnError");
    if message.is_empty() && falls_back && status.exit_code != 0 {
        return logs::tail_text(status.log_path.as_ref(), LOG_LINES_MAX, LOG_BYTES_MAX);
    }
    String::from_utf8_lossy(&message).into_owned()
}
