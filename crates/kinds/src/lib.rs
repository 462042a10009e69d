//! The behaviour of single kinds: defaults, rules, preparation and table columns.
//!
//! The API server has one path for every resource; the special behaviour of a kind is a [`Strategy`], which
//! [`strategy`] finds. Kinds that differ only in data are `Simple` tables of that data, with one file per API group;
//! kinds with behaviour have a file each (`deployment.rs` is the one to copy; see `docs/add-a-kind.md`). Kinds that are
//! defined at run time are [`custom`].
//!
//! This crate knows objects and the schema table. It must not know storage, HTTP or any object other than the one at
//! hand (admission and controllers see those).

pub mod custom;
pub mod defaults;
mod json_path;
mod registry;
mod simple;
mod strategy;
pub mod table;
#[cfg(test)]
mod testing;
pub mod validation;
mod warnings;

mod admission;
mod api_service;
mod certificates;
mod config_map;
mod controller_revision;
mod core;
pub mod custom_resource_definition;
mod daemon_set;
mod deployment;
mod endpoint_slice;
mod event;
mod flow_control;
mod horizontal_pod_autoscaler;
mod job;
mod lease;
mod metrics;
mod namespace;
mod networking;
mod node;
mod persistent_volume;
pub mod pod;
mod pod_disruption_budget;
mod priority_class;
mod rbac;
mod replica_set;
mod resource;
mod runtime_class;
mod secret;
mod service;
mod service_account;
mod stateful_set;
mod storage;
mod storage_version_migration;

pub use registry::strategy;
pub use strategy::{NameRule, ScalePaths, Strategy, restore};
