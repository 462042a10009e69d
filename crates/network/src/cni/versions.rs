//! Which version of the interface a network is spoken to in: one that its configuration offers, this runtime knows, and
//! all of its plugins speak.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::SystemTime;

use parking_lot::Mutex;

use super::config::{ConfigError, ConfigList};
use super::error::PluginError;
use super::exec;

/// What tells one program from another of the same name: where it is, its size, and when it was written.
type Program = (PathBuf, u64, Option<SystemTime>);

/// What plugins said of themselves. A program is asked once, until another takes its place.
#[derive(Debug, Default)]
pub(super) struct Versions(Mutex<HashMap<Program, Vec<String>>>);

impl Versions {
    /// Settles on the newest version that all can speak, before anything else is asked of a plugin.
    ///
    /// # Errors
    /// Where a plugin is missing, does not tell its versions, or speaks none of the configuration's.
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
        // Of each path the newest counts.
        known.retain(|(path, ..), _| *path != program.0);
        known.insert(program, versions.clone());
        Ok(versions)
    }
}
