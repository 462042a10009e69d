//! A cluster's directory: `<state dir>/<name>`, readable only by root.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

/// The paths of a cluster's files.
#[derive(Clone, Debug)]
pub struct StateDir {
    /// The cluster's name.
    pub name: String,
    /// Where all clusters are.
    pub parent: PathBuf,
}

/// The lock of a cluster's supervisor: one process holds it, until it exits.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "the lock is held by the open file")] File);

impl StateDir {
    /// The directory of a cluster, whether or not it exists.
    pub fn new(parent: &Path, name: &str) -> StateDir {
        StateDir { name: name.to_owned(), parent: parent.to_owned() }
    }

    /// The directory.
    pub fn path(&self) -> PathBuf {
        self.parent.join(&self.name)
    }

    /// The administrator's kubeconfig; a secret.
    pub fn kubeconfig(&self) -> PathBuf {
        self.path().join("kubeconfig")
    }

    /// The socket on which the supervisor answers.
    pub fn socket(&self) -> PathBuf {
        self.path().join("control.sock")
    }

    /// The supervisor's log.
    pub fn log(&self) -> PathBuf {
        self.path().join("supervisor.log")
    }

    /// The directory of the nodes' logs, by their names.
    pub fn logs(&self) -> PathBuf {
        self.path().join("logs")
    }

    /// The file with the path of the kubeconfig that the user requested.
    pub fn copies(&self) -> PathBuf {
        self.path().join("kubeconfig-copy")
    }

    /// Makes the directory, and those above it.
    ///
    /// # Errors
    /// If it cannot be created, or belongs to another user.
    pub fn create(&self) -> anyhow::Result<()> {
        let path = self.path();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("cannot create {}", path.display()))?;
        let metadata = fs::symlink_metadata(&path)?;
        ensure!(
            metadata.is_dir() && metadata.uid() == 0 && metadata.mode() & 0o077 == 0,
            "{} must be a directory that only root can read: remove it, or choose another --state-dir",
            path.display()
        );
        Ok(())
    }

    /// Whether there is something of a cluster, running or not.
    pub fn exists(&self) -> bool {
        self.path().exists()
    }

    /// Takes the right to be the supervisor; none if a process has it.
    ///
    /// # Errors
    /// If the directory is not there.
    pub fn lock(&self) -> anyhow::Result<Option<Lock>> {
        let path = self.path().join("lock");
        let file = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }

    /// Whether a supervisor runs.
    ///
    /// # Errors
    /// If the directory cannot be looked at.
    pub fn is_running(&self) -> anyhow::Result<bool> {
        Ok(self.exists() && self.lock()?.is_none())
    }

    /// Removes everything that a cluster has left which does not run any more.
    ///
    /// # Errors
    /// If the directory cannot be removed.
    pub fn remove(&self) -> anyhow::Result<()> {
        let path = self.path();
        if let (Ok(copy), Ok(own)) = (fs::read_to_string(self.copies()), fs::read(self.kubeconfig()))
            // It may have been replaced with another cluster's.
            && fs::read(&copy).is_ok_and(|text| text == own)
        {
            let _ = fs::remove_file(&copy);
        }
        testbed::remove_left_over(&path);
        fs::remove_dir_all(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        // Not while other clusters are in it.
        let _ = fs::remove_dir(&self.parent);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_supervisor_has_the_lock_and_nothing_stays() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDir::new(&directory.path().join("clusters"), "one");
        assert!(!state.exists() && !state.is_running().unwrap());
        state.create().unwrap();
        let lock = state.lock().unwrap();
        assert!(lock.is_some() && state.is_running().unwrap());
        drop(lock);
        assert!(!state.is_running().unwrap());
        let (kept, ours) = (directory.path().join("kept"), directory.path().join("ours"));
        fs::write(state.kubeconfig(), "text").unwrap();
        for (path, text) in [(&kept, "another text"), (&ours, "text")] {
            fs::write(path, text).unwrap();
            state.create().unwrap();
            fs::write(state.kubeconfig(), "text").unwrap();
            fs::write(state.copies(), path.to_str().unwrap()).unwrap();
            state.remove().unwrap();
        }
        assert!(kept.exists() && !ours.exists());
        assert!(!state.parent.exists());
    }
}
