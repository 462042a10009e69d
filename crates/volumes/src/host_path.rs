//! `hostPath`: a path on the node itself.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use k8s_openapi::api::core::v1::Volume;

use crate::VolumeError;
use crate::lane::blocking;
use crate::plugin::{Mounted, Publish, VolumePlugin};

/// The plugin.
pub(crate) struct HostPath;

#[async_trait]
impl VolumePlugin for HostPath {
    fn directory(&self) -> &'static str {
        "kubernetes.io~host-path"
    }

    fn supports(&self, volume: &Volume) -> bool {
        volume.host_path.is_some()
    }

    async fn publish(&self, request: Publish<'_>) -> Result<Mounted, VolumeError> {
        let Some(source) = &request.volume.host_path else { return Err(VolumeError::NoPlugin) };
        let (path, kind) = (PathBuf::from(&source.path), source.type_.clone().unwrap_or_default());
        // The path may lie on a file system that does not answer.
        blocking(move || {
            check(&path, &kind)?;
            Ok(Mounted::at(path))
        })
        .await
    }
}

/// Checks the path against the volume's type, and creates it if the type says so.
fn check(path: &Path, kind: &str) -> Result<(), VolumeError> {
    let found = match fs::metadata(path) {
        Ok(meta) => Some(meta.file_type()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(VolumeError::io("look at", path)(error)),
    };
    let is_not = |what: &str| VolumeError::HostPathType(format!("{} is not {what}", path.display()));
    let expect =
        |right: Option<bool>, what: &str| if right == Some(true) { Ok(()) } else { Err(is_not(what)) };
    match kind {
        "" => Ok(()),
        "DirectoryOrCreate" if found.is_none() => {
            let made = fs::DirBuilder::new().recursive(true).mode(0o755).create(path);
            made.map_err(VolumeError::io("make", path))
        }
        "FileOrCreate" if found.is_none() => {
            let made = fs::OpenOptions::new().create_new(true).write(true).mode(0o644).open(path);
            made.map(drop).map_err(VolumeError::io("make", path))
        }
        "Directory" | "DirectoryOrCreate" => expect(found.map(|kind| kind.is_dir()), "a directory"),
        "File" | "FileOrCreate" => expect(found.map(|kind| kind.is_file()), "a file"),
        "Socket" => expect(found.map(|kind| kind.is_socket()), "a socket file"),
        "CharDevice" => expect(found.map(|kind| kind.is_char_device()), "a character device"),
        "BlockDevice" => expect(found.map(|kind| kind.is_block_device()), "a block device"),
        other => Err(VolumeError::HostPathType(format!("{other} is an invalid volume type"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_checked_and_made() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let missing = dir.path().join("missing");
        let cases = [
            (dir.path(), "Directory", true),
            (dir.path(), "File", false),
            (&file, "File", true),
            (&file, "Directory", false),
            (&file, "Socket", false),
            (Path::new("/dev/null"), "CharDevice", true),
            (&missing, "", true),
            (&missing, "Directory", false),
            (&missing, "Odd", false),
        ];
        for (path, kind, right) in cases {
            assert_eq!(check(path, kind).is_ok(), right, "{} {kind}", path.display());
        }
        check(&dir.path().join("a/b"), "DirectoryOrCreate").unwrap();
        check(&dir.path().join("c"), "FileOrCreate").unwrap();
        assert!(dir.path().join("a/b").is_dir() && dir.path().join("c").is_file());
    }
}
