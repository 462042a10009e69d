//! Volumes of pods: one file a plugin.
//!
//! [`Volumes`] sets up and tears down all volumes of a pod through the [`VolumePlugin`]s:
//!
//! | module | volume |
//! | --- | --- |
//! | `empty_dir` | a directory, or a tmpfs, as old as the pod |
//! | `host_path` | a path of the node |
//! | `projected` | ConfigMaps, Secrets, pod fields and service account tokens as files; the volumes with only one of these sources are projections with one source |
//!
//! Directories lie where upstream puts them: `<root>/pods/<uid>/volumes/kubernetes.io~<plugin>/<volume>`.
//! [`ObjectCache`] follows the ConfigMaps and Secrets that pods of this node use. [`downward`] reads pod fields,
//! for volumes and for environments alike. [`subpath`] finds a path inside a volume without being led out of it.
//!
//! This crate knows no containers: it gives paths on the host.

mod atomic_writer;
pub mod downward;
mod empty_dir;
mod error;
mod host_path;
mod mount;
mod objects;
mod ownership;
mod payload;
mod plugin;
mod projected;
pub mod subpath;
mod token;

pub use error::VolumeError;
pub use objects::{Handle, ObjectCache, ObjectId, ObjectKind, references};
pub use ownership::FsGroup;
pub use plugin::{Mounted, SetUp, VolumePlugin, Volumes, reset};
