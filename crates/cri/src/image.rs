//! Images in the interface.

use serde::{Deserialize, Serialize};

use super::StringMap;

/// Names an image: a reference as users write it, a digest reference or an image id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageSpec {
    /// The reference to use; for containers what `pull_image` gave.
    pub image: String,
    /// The reference as the user wrote it.
    pub user_specified_image: String,
    /// The runtime handler that the image is for; empty for the default one.
    pub runtime_handler: String,
    /// Free annotations.
    pub annotations: StringMap,
}

impl From<&str> for ImageSpec {
    fn from(image: &str) -> ImageSpec {
        ImageSpec { image: image.to_owned(), user_specified_image: image.to_owned(), ..ImageSpec::default() }
    }
}

/// Selects images; an empty filter selects all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageFilter {
    /// Only this image.
    pub image: Option<ImageSpec>,
}

/// An image that is present.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Image {
    /// The id: the digest of the image's configuration, `sha256:...`.
    pub id: String,
    /// Full names with tags, `docker.io/library/busybox:1.36`.
    pub repo_tags: Vec<String>,
    /// Full names with digests, `docker.io/library/busybox@sha256:...`.
    pub repo_digests: Vec<String>,
    /// Bytes of the compressed content.
    pub size: u64,
    /// The numeric user that the image runs as, if its configuration names one by number.
    pub uid: Option<i64>,
    /// The user's name, if the configuration names one by name. Empty with `uid` unset means root.
    pub username: String,
    /// The image must not be garbage collected.
    pub pinned: bool,
}

/// Credentials for a registry. Text: never log it; `Debug` hides it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct AuthConfig {
    /// User name for basic authentication.
    pub username: String,
    /// Password for basic authentication.
    pub password: String,
    /// Base64 of `username:password`, used if `username` is empty.
    pub auth: String,
    /// The registry these credentials are for; informational.
    pub server_address: String,
    /// A refresh token for the registry's token service.
    pub identity_token: String,
    /// A bearer token to send unchanged.
    pub registry_token: String,
}

impl std::fmt::Debug for AuthConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthConfig").field("server_address", &self.server_address).finish_non_exhaustive()
    }
}

/// Usage of one file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilesystemUsage {
    /// When it was measured.
    pub timestamp: jiff::Timestamp,
    /// The directory that is measured.
    pub mountpoint: String,
    /// Bytes that images (or writable layers) use on it.
    pub used_bytes: u64,
    /// Inodes that they use on it.
    pub inodes_used: u64,
}

/// Usage of the file systems for images and for containers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageFsInfo {
    /// Where images and their unpacked layers are.
    pub image_filesystems: Vec<FilesystemUsage>,
    /// Where the containers' writable layers are.
    pub container_filesystems: Vec<FilesystemUsage>,
}
