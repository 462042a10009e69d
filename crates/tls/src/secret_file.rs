//! Files that their owner alone can read.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A file that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {path}")]
pub struct SecretFileError {
    /// Which.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// Writes a file that its owner alone can read (mode 0600), whole or not at all. It is on disk when this returns.
///
/// # Errors
/// [`SecretFileError`]; what was there before stays then.
pub fn write_secret(path: &Path, content: &[u8]) -> Result<(), SecretFileError> {
    write(path, content).map_err(|source| SecretFileError { path: path.to_owned(), source })
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let partial = path.with_extension("partial");
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&partial, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn secrets_are_their_owners_and_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.key");
        write_secret(&path, b"first, and longer").unwrap();
        write_secret(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        // A directory is in the way: its contents stay.
        let taken = directory.path().join("taken");
        fs::create_dir_all(taken.join("in it")).unwrap();
        let error = write_secret(&taken, b"text").unwrap_err();
        assert_eq!(error.path, taken);
        assert!(taken.join("in it").is_dir());
    }
}
