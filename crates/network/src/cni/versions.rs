//! Selection of a network's interface version: one that its configuration offers, this runtime knows, and all of its
//! plugins support.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::SystemTime;

use parking_lot::Mutex;

use super::config::{ConfigError, ConfigList};
use super::error::PluginError;
use super::exec;

/// Distinguishes programs with the same name: path, size, and modification time.
type Program = (PathBuf, u64, Option<SystemTime>);

/// The plugins' supported versions. A program is queried once, until it is replaced.
#[derive(Debug, Default)]
pub(super) struct Versions(Mutex<HashMap<Program, Vec<String>>>);

impl Versions {
    /// Selects the newest version that all support, before any other call of a plugin.
    ///
    /// # Errors
    /// If a plugin is missing, does not report its versions, or supports none of the configuration's.
    pub(super) async fn settle(
        &self,
        list: &mut ConfigList,
        bin_dirs: &[PathBuf],
    ) -> Result<(), ConfigError> {
        let mut common = list.offered.clone();
        for plugin in &list.plugins {
            let spoken = self.of(plugin.kind(), bin_dirs, &list.version).await?;
            let left: Vec<String> =
                common.iter().filter(|version| spoken.contains(version)).cloned().collect();
            if left.is_empty() {
                let (network, plugin) = (list.name.clone(), plugin.kind().to_owned());
                return Err(ConfigError::Version { network, plugin, offered: common, spoken });
            }
            common = left;
        }
        list.version = common.swap_remove(0);
        Ok(())
    }

    async fn of(&self, plugin: &str, bin_dirs: &[PathBuf], wanted: &str) -> Result<Vec<String>, PluginError> {
        let path = exec::find(bin_dirs, plugin)?;
        let metadata = std::fs::metadata(&path)
            .map_err(|source| PluginError::Run { plugin: plugin.to_owned(), source })?;
        let program = (path, metadata.len(), metadata.modified().ok());
        if let Some(known) = self.0.lock().get(&program) {
            return Ok(known.clone());
        }
        let versions = exec::versions(plugin, bin_dirs, wanted).await?;
        let mut known = self.0.lock();
        // The newest of each path counts.
        known.retain(|(path, ..), _| *path != program.0);
        known.insert(program, versions.clone());
        Ok(versions)
    }
}
