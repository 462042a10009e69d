//! The state that `reset` must undo, recorded on disk before it is created.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use hostnet::state;
use serde::{Deserialize, Serialize};

use super::plan::{Plan, steps};
use super::{OverlayError, kernel};
use crate::link::Netlink;

/// The devices that an overlay created on this host. Routes and rules need no record: they carry our protocol number.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) devices: BTreeSet<String>,
}

fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("overlay.json")
}

pub(super) fn load(state_dir: &Path) -> Result<Option<Record>, OverlayError> {
    state::load(&path(state_dir)).map_err(OverlayError::Record)
}

pub(super) fn save(state_dir: &Path, record: &Record) -> Result<(), OverlayError> {
    state::save(&path(state_dir), record).map_err(OverlayError::Record)
}

/// The owner according to a device's alias.
pub(super) fn alias(state_dir: &Path) -> String {
    format!("ironhull {}", state_dir.display())
}

/// Removes devices, routes and rules; without a record, nothing.
pub(crate) async fn reset(netlink: &Netlink, state_dir: &Path) -> Result<(), OverlayError> {
    let Some(record) = load(state_dir)? else { return Ok(()) };
    for device in &record.devices {
        remove_device(netlink, device, &alias(state_dir)).await?;
    }
    let found = kernel::found(netlink, None).await?;
    for step in steps(&found, &Plan::default()) {
        kernel::carry_out(netlink, &step, None).await?;
    }
    state::remove(&path(state_dir)).map_err(OverlayError::Record)
}

/// Removes a device, unless it has a new owner by now. One without an alias is ours: it is in the record.
pub(super) async fn remove_device(netlink: &Netlink, name: &str, alias: &str) -> Result<(), OverlayError> {
    let link = netlink.link(name).await?;
    if link.is_some_and(|link| link.alias.is_none_or(|owner| owner == alias)) {
        netlink.delete(name).await?;
    }
    Ok(())
}
