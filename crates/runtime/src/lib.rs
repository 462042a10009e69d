//! The built-in container engine: an implementation of the traits in [`cri`].
//!
//! - [`digest`]: names of images and layers;
//! - [`images`]: pulls, imports, stores and removes images (content-addressed blobs and an index);
//! - [`snapshot`]: unpacks layers and mounts root file systems from them;
//! - [`engine`]: pod sandboxes, containers, exec and attach, logs, adoption after a restart;
//! - [`shim`]: the process that stays with a pod's containers when the agent exits.
//!
//! This crate knows nothing about the Kubernetes API: no pods, no object tree, no API server.

pub mod digest;
pub mod engine;
pub mod images;
pub mod shim;
pub mod snapshot;
