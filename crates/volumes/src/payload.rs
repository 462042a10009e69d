//! The files of a projection.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use k8s_openapi::api::core::v1::{ConfigMap, KeyToPath, Secret};

use crate::VolumeError;

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) data: Vec<u8>,
    pub(crate) mode: u32,
    /// The owner, if it is not root.
    pub(crate) uid: Option<u32>,
}

/// Files by their relative paths.
pub(crate) type Payload = BTreeMap<String, File>;

/// The content of a ConfigMap, by key.
pub(crate) fn config_map_data(map: &ConfigMap) -> BTreeMap<&str, &[u8]> {
    let text = map.data.iter().flatten().map(|(key, value)| (key.as_str(), value.as_bytes()));
    let binary = map.binary_data.iter().flatten().map(|(key, value)| (key.as_str(), value.0.as_slice()));
    text.chain(binary).collect()
}

/// The content of a Secret, by key.
pub(crate) fn secret_data(secret: &Secret) -> BTreeMap<&str, &[u8]> {
    secret.data.iter().flatten().map(|(key, value)| (key.as_str(), value.0.as_slice())).collect()
}

/// The files of an object: all keys, or those that items name.
///
/// # Errors
/// [`VolumeError::NoSuchKey`] for an item whose key is missing, unless `optional`.
pub(crate) fn project(
    data: &BTreeMap<&str, &[u8]>,
    items: &[KeyToPath],
    default_mode: u32,
    optional: bool,
    kind: &'static str,
) -> Result<Payload, VolumeError> {
    let file = |data: &[u8], mode| File { data: data.to_vec(), mode, uid: None };
    if items.is_empty() {
        return Ok(data.iter().map(|(key, data)| ((*key).to_owned(), file(data, default_mode))).collect());
    }
    let mut payload = Payload::new();
    for item in items {
        match data.get(item.key.as_str()) {
            Some(data) => {
                payload.insert(clean(&item.path)?, file(data, mode(item.mode, default_mode)));
            }
            None if optional => {}
            None => return Err(VolumeError::NoSuchKey { kind, key: item.key.clone() }),
        }
    }
    Ok(payload)
}

/// The mode of an item, or the volume's.
pub(crate) fn mode(of_item: Option<i32>, default: u32) -> u32 {
    of_item.and_then(|mode| u32::try_from(mode).ok()).unwrap_or(default)
}

/// A relative path without `.` and doubled slashes.
///
/// # Errors
/// [`VolumeError::Invalid`] for paths that are empty, absolute, climb, or begin with `..`.
pub(crate) fn clean(path: &str) -> Result<String, VolumeError> {
    let invalid = |why: &str| VolumeError::Invalid(format!("invalid path {path:?}: {why}"));
    let mut parts = Vec::new();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(part) => parts.push(part.to_string_lossy()),
            Component::CurDir => {}
            Component::ParentDir => return Err(invalid("must not contain '..'")),
            Component::RootDir | Component::Prefix(_) => return Err(invalid("must be relative")),
        }
    }
    match parts.first() {
        None => Err(invalid("must not be empty")),
        // The prefix of the names of the writer's own entries.
        Some(first) if first.starts_with("..") => Err(invalid("must not start with '..'")),
        Some(_) => Ok(parts.join("/")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside() {
        for (path, cleaned) in [
            ("a", Some("a")),
            ("a//b/./c", Some("a/b/c")),
            ("", None),
            ("/a", None),
            ("a/../b", None),
            ("..x", None),
        ] {
            assert_eq!(clean(path).ok().as_deref(), cleaned, "{path}");
        }
    }

    #[test]
    fn items_choose_keys_paths_and_modes() {
        let data = BTreeMap::from([("one", b"1".as_slice()), ("two", b"2")]);
        assert_eq!(project(&data, &[], 0o644, false, "config").unwrap().len(), 2);
        let item =
            KeyToPath { key: "two".into(), path: "x/y".into(), mode: Some(0o400), ..Default::default() };
        let payload = project(&data, std::slice::from_ref(&item), 0o644, false, "config").unwrap();
        assert_eq!(payload["x/y"], File { data: b"2".to_vec(), mode: 0o400, uid: None });
        let missing = KeyToPath { key: "three".into(), ..item };
        let error = project(&data, std::slice::from_ref(&missing), 0o644, false, "config").unwrap_err();
        assert_eq!(error.to_string(), "references non-existent config key: three");
        assert!(project(&data, &[missing], 0o644, true, "config").unwrap().is_empty());
    }
}
