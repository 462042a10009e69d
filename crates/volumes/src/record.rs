//! The records of volumes, for the next agent: one file per pod, and one per device.
//!
//! A record is written before its volumes are created, so everything on the node is recorded, and again after some were
//! removed. A file is replaced as a whole, by renaming; only root can read it. It is not synced: mounts do not survive
//! a reboot, and the directories that do are found without a record. A record that cannot be read is logged and
//! skipped, and the directories are scanned instead.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The version of the form below.
const VERSION: u32 = 1;
/// How long a record may be. A pod has a few volumes, and their names and paths are short.
const BYTES_MAX: u64 = 1 << 20;

/// The file of a pod, in the pod's directory.
pub(crate) const POD_FILE: &str = "volumes.json";
/// The file of a device, in the device's directory.
pub(crate) const DEVICE_FILE: &str = "device.json";

/// The volumes of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PodRecord {
    pub(crate) volumes: Vec<VolumeRecord>,
}

/// One volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct VolumeRecord {
    pub(crate) name: String,
    /// The plugin, by the name of its directory.
    pub(crate) plugin: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) device: Option<String>,
    /// The directory that the plugin was given.
    pub(crate) directory: PathBuf,
}

/// A device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeviceRecord {
    pub(crate) device: String,
    pub(crate) plugin: String,
}

#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    version: u32,
    #[serde(flatten)]
    content: T,
}

#[derive(Deserialize)]
struct VersionOnly {
    version: u32,
}

/// Why a record cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    #[error("read the record")]
    Io(#[from] io::Error),
    #[error("the record is damaged")]
    Json(#[from] serde_json::Error),
    #[error("the record has version {0}, written by another version of this program")]
    Version(u32),
}

/// Replaces a record; the directory is made if it is missing. Blocks.
pub(crate) fn write(directory: &Path, name: &str, content: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_vec(&Versioned { version: VERSION, content })?;
    fs::DirBuilder::new().recursive(true).mode(0o750).create(directory)?;
    let unfinished = directory.join(format!("{name}.tmp"));
    hostfs::remove_tree(&unfinished)?;
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    file.write_all(&text)?;
    fs::rename(&unfinished, directory.join(name))
}

/// Reads a record; `None` if there is none. Blocks.
pub(crate) fn read<T: DeserializeOwned>(directory: &Path, name: &str) -> Result<Option<T>, RecordError> {
    let text = match hostfs::read_regular(directory, Path::new(name), BYTES_MAX) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text?,
    };
    // Another version's content may be anything.
    let VersionOnly { version } = serde_json::from_slice(&text)?;
    if version != VERSION {
        return Err(RecordError::Version(version));
    }
    Ok(Some(serde_json::from_slice::<Versioned<T>>(&text)?.content))
}

/// Removes a record, if there is one. Blocks.
pub(crate) fn remove(directory: &Path, name: &str) -> io::Result<()> {
    match fs::remove_file(directory.join(name)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn record(count: usize) -> PodRecord {
        let volume = |number| VolumeRecord {
            name: format!("v{number}"),
            plugin: "kubernetes.io~empty-dir".to_owned(),
            device: (number == 0).then(|| "disk/d^1".to_owned()),
            directory: format!("/pods/u/volumes/{number}").into(),
        };
        PodRecord { volumes: (0..count).map(volume).collect() }
    }

    #[test]
    fn records_come_back_and_are_for_root_alone() {
        let dir = tempfile::tempdir().unwrap();
        let pod = dir.path().join("pods/u");
        assert_eq!(read::<PodRecord>(&pod, POD_FILE).unwrap(), None);
        // Remains of an interrupted agent do not matter.
        fs::create_dir_all(&pod).unwrap();
        fs::write(pod.join("volumes.json.tmp"), "{").unwrap();
        for count in [2, 1] {
            write(&pod, POD_FILE, &record(count)).unwrap();
            assert_eq!(read(&pod, POD_FILE).unwrap(), Some(record(count)));
        }
        assert_eq!(fs::metadata(pod.join(POD_FILE)).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&pod).unwrap().count(), 1);
        remove(&pod, POD_FILE).unwrap();
        remove(&pod, POD_FILE).unwrap();
        assert_eq!(read::<PodRecord>(&pod, POD_FILE).unwrap(), None);
    }

    #[test]
    fn what_is_no_record_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let refused = |text: &[u8]| {
            fs::write(dir.path().join(POD_FILE), text).unwrap();
            read::<PodRecord>(dir.path(), POD_FILE).unwrap_err()
        };
        assert!(matches!(refused(br#"{"version":2,"disks":{}}"#), RecordError::Version(2)));
        for damaged in
            [&b""[..], b"{", b"[]", br#"{"version":1}"#, br#"{"version":1,"volumes":[{"name":1}]}"#]
        {
            assert!(matches!(refused(damaged), RecordError::Json(_)));
        }
        let long = [br#"{"version":1,"volumes":[]}"#.to_vec(), vec![b' '; BYTES_MAX as usize]].concat();
        assert!(matches!(refused(&long), RecordError::Io(_)));
        fs::remove_file(dir.path().join(POD_FILE)).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join(POD_FILE)).unwrap();
        assert!(matches!(read::<PodRecord>(dir.path(), POD_FILE), Err(RecordError::Io(_))));
    }
}
