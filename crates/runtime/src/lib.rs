//! The container runtime: the CRI boundary and the engine that is built in.
//!
//! [`cri`] holds the boundary: [`cri::RuntimeService`] and [`cri::ImageService`], traits with the shape of
//! CRI v1 (`k8s.io/cri-api/pkg/apis/runtime/v1`). The node agent knows only these. What stands behind
//! them here is the embedded engine:
//!
//! - [`images`]: pulls, imports, keeps and removes images (content-addressed blobs and an index);
//! - [`snapshot`]: unpacks layers and mounts root file systems from them;
//! - [`engine`]: pod sandboxes, containers, exec and attach, logs, adoption after a restart;
//! - [`shim`]: the process that stays with a pod's containers when the agent ends.
//!
//! This crate knows nothing of the Kubernetes API: no pods, no object tree, no API server.

pub mod cri;
pub mod engine;
pub mod images;
pub mod shim;
pub mod snapshot;
