//! Records of attachments on disk, which are needed to disconnect them.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use hostnet::state;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::config::ConfigList;

/// A sandbox's connection to a network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Attachment {
    /// The sandbox's id.
    pub(super) id: String,
    /// Its network namespace.
    pub(super) namespace: PathBuf,
    /// `CNI_ARGS`.
    pub(super) arguments: String,
    /// The arguments for plugins that declare the capability.
    pub(super) capabilities: Value,
    /// Where plugins are.
    pub(super) bin_dirs: Vec<PathBuf>,
    /// The network, as it was configured then.
    pub(super) list: ConfigList,
    /// The result of the plugins that have run.
    pub(super) result: Option<Value>,
}

fn directory(state_dir: &Path) -> PathBuf {
    state_dir.join(super::DIRECTORY)
}

fn path(state_dir: &Path, id: &str) -> PathBuf {
    directory(state_dir).join(format!("{id}.json"))
}

impl Attachment {
    /// Writes the record: readers find either the old one or the new one, even after a crash. Only root can read it,
    /// because configurations can contain secrets.
    pub(super) fn save(&self, state_dir: &Path) -> io::Result<()> {
        let directory = directory(state_dir);
        DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
        let path = path(state_dir, &self.id);
        let temporary = path.with_extension("tmp");
        // A file left by a crash does no harm.
        state::remove(&temporary)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        fs::File::open(&directory)?.sync_all()
    }

    pub(super) fn load(state_dir: &Path, id: &str) -> io::Result<Option<Attachment>> {
        state::load(&path(state_dir, id))
    }

    pub(super) fn remove(state_dir: &Path, id: &str) -> io::Result<()> {
        state::remove(&path(state_dir, id))
    }

    /// The ids of all sandboxes that are recorded.
    pub(super) fn all(state_dir: &Path) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(directory(state_dir)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut ids = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            ids.extend(name.to_str().and_then(|name| name.strip_suffix(".json")).map(str::to_owned));
        }
        Ok(ids)
    }
}

/// Removes the directory of the records, which is empty by now.
pub(super) fn remove_all(state_dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory(state_dir)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
