//! The directories that the configuration of the plugins names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use object::Value;
use object::field::{self, Errors};
use serde::Deserialize;

use super::owner::Owner;
use crate::admission::DocumentError;

/// Where the manifests of plugins are.
#[derive(Clone, Debug, Default)]
pub struct Directories(BTreeMap<Owner, PathBuf>);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    kube_config_file: Option<String>,
    static_manifests_dir: Option<String>,
}

impl Directories {
    /// Reads the configuration of a plugin. Returns the names of fields that have no effect here.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub(in crate::admission) fn read(
        &mut self,
        owner: Owner,
        document: &Value,
    ) -> Result<Vec<&'static str>, DocumentError> {
        let (accepted, members) = owner.document();
        accepted.check(document)?;
        accepted.check_members(document, members)?;
        let Document { kube_config_file, static_manifests_dir } = accepted.read(document)?;
        let (file, directory) =
            (kube_config_file.unwrap_or_default(), static_manifests_dir.unwrap_or_default());
        let mut errors = Errors::new();
        if !file.is_empty() {
            check_absolute(&mut errors, "kubeConfigFile", &file);
        }
        if !directory.is_empty() && check_absolute(&mut errors, "staticManifestsDir", &directory) {
            check_directory(&mut errors, &directory);
        }
        accepted.check_values(errors)?;
        if !directory.is_empty() {
            self.0.insert(owner, directory.into());
        }
        Ok(if file.is_empty() { Vec::new() } else { vec!["kubeConfigFile"] })
    }

    pub(super) fn of(&self, owner: Owner) -> Option<&Path> {
        self.0.get(&owner).map(PathBuf::as_path)
    }
}

fn check_absolute(errors: &mut Errors, member: &'static str, path: &str) -> bool {
    let is_absolute = Path::new(path).is_absolute();
    if !is_absolute {
        errors.invalid(&field::Path::root(member), path, "must be an absolute file path");
    }
    is_absolute
}

fn check_directory(errors: &mut Errors, directory: &str) {
    let why = match std::fs::metadata(directory) {
        Ok(found) if found.is_dir() => return,
        Ok(_) => "must be a directory".to_owned(),
        Err(error) => format!("unable to read: {error}"),
    };
    errors.invalid(&field::Path::root("staticManifestsDir"), directory, why);
}
