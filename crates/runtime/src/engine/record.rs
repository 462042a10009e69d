//! The engine's records on disk.
//!
//! ```text
//! <root>/sandboxes/<id>/sandbox.json      the record of a sandbox
//! <root>/sandboxes/<id>/{net,ipc,uts}     its namespaces, each mounted on a file
//! <root>/sandboxes/<id>/{resolv.conf,hostname,shm}    what its containers share
//! <root>/sandboxes/<id>/shim.sock         the shim's socket
//! <root>/containers/<id>/container.json   the record of a container
//! <root>/containers/<id>/state.json       its state, which the shim writes
//! <root>/cgroups.json                     parent cgroups that the engine had to make
//! <root>/boot                             the boot that the records are of
//! ```
//!
//! A record is written before the thing it describes is created, and removed after that is gone, so that nothing on the
//! host is ever without a record. Records are not synced: a crash of the machine also ends everything they describe,
//! and a record that it left unreadable is dropped.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::shim::protocol::{ContainerState, STATE_NAME};
use crate::shim::write_atomically;
use cri::{ContainerConfig, LinuxContainerResources, PodSandboxConfig, PodSandboxState};

/// A sandbox on disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SandboxRecord {
    pub(super) id: String,
    pub(super) config: PodSandboxConfig,
    pub(super) runtime_handler: String,
    pub(super) created_at: jiff::Timestamp,
    pub(super) state: PodSandboxState,
    /// The addresses in its network; empty in the host's.
    pub(super) ips: Vec<IpAddr>,
}

/// A container on disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ContainerRecord {
    pub(super) id: String,
    pub(super) sandbox_id: String,
    pub(super) config: ContainerConfig,
    pub(super) image_id: String,
    pub(super) image_ref: String,
    /// Where its root filesystem is mounted.
    pub(super) rootfs: PathBuf,
    /// The image's defaults for settings that the container does not have.
    pub(super) image: ImageDefaults,
    pub(super) created_at: jiff::Timestamp,
    /// Resources as they were last updated.
    pub(super) resources: LinuxContainerResources,
    /// Why its start failed, if it did.
    #[serde(default)]
    pub(super) start_failure: Option<StartFailure>,
}

/// The parts of an image's configuration that shape a container.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageDefaults {
    /// The environment, `NAME=value`.
    pub env: Vec<String>,
    /// The program and its first arguments.
    pub entrypoint: Vec<String>,
    /// More arguments, which those of the container replace.
    pub cmd: Vec<String>,
    /// The working directory; empty for `/`.
    pub working_dir: String,
    /// The user, `name-or-uid[:name-or-gid]`; empty for root.
    pub user: String,
    /// The signal that asks its process to stop; empty for `SIGTERM`.
    pub stop_signal: String,
}

/// A start that failed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct StartFailure {
    pub(super) message: String,
    pub(super) at: jiff::Timestamp,
}

/// The directories of one engine.
#[derive(Clone, Debug)]
pub(super) struct Store {
    root: PathBuf,
    /// The machine was rebooted since the records were written.
    rebooted: bool,
}

impl Store {
    /// Opens the directories, or creates them. Only root can access them.
    pub(super) fn open(root: &Path) -> io::Result<Store> {
        for directory in [root.to_owned(), root.join("sandboxes"), root.join("containers")] {
            make_private(&directory)?;
        }
        let boot = fs::read("/proc/sys/kernel/random/boot_id")?;
        let marker = root.join("boot");
        let rebooted = fs::read(&marker).is_ok_and(|known| known != boot);
        write_atomically(&marker, &boot)?;
        Ok(Store { root: root.to_owned(), rebooted })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn sandbox(&self, id: &str) -> PathBuf {
        self.root.join("sandboxes").join(id)
    }

    pub(super) fn container(&self, id: &str) -> PathBuf {
        self.root.join("containers").join(id)
    }

    pub(super) fn save_sandbox(&self, record: &SandboxRecord) -> io::Result<()> {
        save(&self.sandbox(&record.id), "sandbox.json", record)
    }

    pub(super) fn save_container(&self, record: &ContainerRecord) -> io::Result<()> {
        save(&self.container(&record.id), "container.json", record)
    }

    pub(super) fn save_state(&self, state: &ContainerState) -> io::Result<()> {
        save(&self.container(&state.id), STATE_NAME, state)
    }

    /// The state recorded by the shim; `None` if the container was never started.
    pub(super) fn state(&self, id: &str) -> io::Result<Option<ContainerState>> {
        load(&self.container(id).join(STATE_NAME))
    }

    pub(super) fn sandboxes(&self) -> io::Result<Vec<SandboxRecord>> {
        self.load_all("sandboxes", "sandbox.json")
    }

    pub(super) fn containers(&self) -> io::Result<Vec<ContainerRecord>> {
        self.load_all("containers", "container.json")
    }

    /// Loads the records of all directories in one. A directory without a record is from a creation that was
    /// interrupted before anything was created, and is removed.
    fn load_all<T: DeserializeOwned>(&self, directory: &str, name: &str) -> io::Result<Vec<T>> {
        let mut records = Vec::new();
        for entry in fs::read_dir(self.root.join(directory))? {
            let path = entry?.path();
            match load(&path.join(name)) {
                Ok(Some(record)) => records.push(record),
                Ok(None) => fs::remove_dir_all(&path)?,
                Err(error) if self.rebooted && error.kind() == io::ErrorKind::InvalidData => {
                    tracing::warn!(path = %path.display(), %error, "dropped a record that a crash left unreadable");
                    fs::remove_dir_all(&path)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(records)
    }

    /// Parent cgroups that the engine made, the outermost first.
    pub(super) fn cgroups(&self) -> io::Result<Vec<String>> {
        Ok(load(&self.root.join("cgroups.json"))?.unwrap_or_default())
    }

    pub(super) fn save_cgroups(&self, cgroups: &[String]) -> io::Result<()> {
        save(&self.root, "cgroups.json", &cgroups)
    }
}

fn make_private(directory: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

fn save(directory: &Path, name: &str, record: &impl Serialize) -> io::Result<()> {
    make_private(directory)?;
    write_atomically(&directory.join(name), &serde_json::to_vec(record)?)
}

fn load<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(text) => Ok(Some(serde_json::from_slice(&text).map_err(|error| {
            io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error}", path.display()))
        })?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unreadable_records_are_dropped_only_after_a_crash() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let container = store.container("one");
        fs::create_dir_all(&container).unwrap();
        fs::create_dir_all(store.container("empty")).unwrap();
        fs::write(container.join("container.json"), "").unwrap();
        assert!(
            Store::open(dir.path()).unwrap().containers().is_err(),
            "the engine has a bug, not the machine"
        );
        fs::write(dir.path().join("boot"), "another").unwrap();
        assert!(Store::open(dir.path()).unwrap().containers().unwrap().is_empty());
        assert!(!container.exists() && !store.container("empty").exists());
    }
}
