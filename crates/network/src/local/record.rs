//! What the network has made on this host, as it is recorded, and its end.

use std::path::{Path, PathBuf};

use hostnet::{nft, state};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::settings::restore_sysctls;
use crate::error::{NetworkError, io_error};
use crate::foreign;
use crate::ipam::Ipam;
use crate::link::{Netlink, link_name};

/// What [`reset`](crate::reset) must undo, apart from pods' links and kernel settings, which have records of their own.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Created {
    pub(super) bridge: String,
    pub(super) table: String,
    pub(super) pod_subnets: Vec<IpNet>,
}

pub(super) fn created_path(state_dir: &Path) -> PathBuf {
    state_dir.join("network.json")
}

pub(super) fn nodes_path(state_dir: &Path) -> PathBuf {
    state_dir.join("nodes.json")
}

pub(super) fn leases_path(state_dir: &Path) -> PathBuf {
    state_dir.join("leases.json")
}

pub(super) fn sysctl_path(state_dir: &Path) -> PathBuf {
    state_dir.join("sysctl.json")
}

/// Whether there is a record.
///
/// # Errors
/// If it cannot be read.
pub(crate) fn is_recorded(state_dir: &Path) -> Result<bool, NetworkError> {
    Ok(created(state_dir)?.is_some())
}

pub(super) fn created(state_dir: &Path) -> Result<Option<Created>, NetworkError> {
    state::load(&created_path(state_dir)).map_err(io_error("cannot read the record of the network"))
}

/// Removes what is recorded, puts kernel settings back, and at last removes the records. Nothing is done without one.
///
/// # Errors
/// What could not be removed. It can be called again.
pub(crate) async fn remove_recorded(netlink: &Netlink, state_dir: &Path) -> Result<(), NetworkError> {
    let Some(created) = created(state_dir)? else { return Ok(()) };
    let leases_path = leases_path(state_dir);
    for sandbox in Ipam::open(&leases_path, &created.pod_subnets)?.leases().keys() {
        netlink.delete(&link_name(sandbox)).await?;
    }
    nft::delete_tables(&[("inet", &created.table)]).await?;
    foreign::remove().await?;
    for subnet in &created.pod_subnets {
        netlink.delete_unreachable(*subnet).await?;
    }
    netlink.delete(&created.bridge).await?;
    restore_sysctls(&sysctl_path(state_dir)).map_err(io_error("cannot restore a kernel setting"))?;
    state::remove(&leases_path)
        .and_then(|()| state::remove(&nodes_path(state_dir)))
        .and_then(|()| state::remove(&created_path(state_dir)))
        .map_err(io_error("cannot remove a record"))
}
