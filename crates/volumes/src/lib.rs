//! Volumes of pods: one file per plugin.
//!
//! [`Volumes`] makes the actual volumes match those that the node's pods need, through the [`VolumePlugin`]s. The state
//! is recorded on disk, so that the next agent can remove or remount the volumes that this one left (`state` decides,
//! `record` stores):
//!
//! | module | volume |
//! | --- | --- |
//! | `empty_dir` | a directory, or a tmpfs, with the lifetime of the pod |
//! | `host_path` | a path of the node |
//! | `projected` | ConfigMaps, Secrets, pod fields and service account tokens as files; the volumes with only one of these sources are projections with one source |
//!
//! Directories are where upstream puts them: `<root>/pods/<uid>/volumes/kubernetes.io~<plugin>/<volume>`.
//! [`ObjectCache`] follows the ConfigMaps and Secrets that pods of this node use. [`downward`] reads pod fields, for
//! volumes and for environments alike. [`subpath`] finds a path inside a volume without leaving it.
//!
//! This crate knows no containers: it returns paths on the host.

mod atomic_writer;
pub mod downward;
mod empty_dir;
mod error;
mod host_path;
mod lane;
mod mount;
mod mount_table;
mod objects;
mod ownership;
mod payload;
mod plugin;
mod projected;
mod record;
mod state;
pub mod subpath;
mod token;
mod volumes;

pub use error::VolumeError;
pub use objects::{Handle, ObjectCache, ObjectId, ObjectKind, references};
pub use ownership::FsGroup;
pub use plugin::{DeviceId, Mounted, Publish, Stage, VolumePlugin};
pub use volumes::{SetUpResults, Volumes, reset};
